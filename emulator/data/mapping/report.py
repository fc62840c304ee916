"""What a map of forcing leaves: the shift between two products in withheld years.

A map is learned without the last years of the overlap and held against them, so that
what stands here is what a night has to expect, as far as products stay what they are.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.mapping import Shift, monthly_means, residual_shift
from emulator.carbon.regions import OTHER, globe, latitude_bands
from emulator.carbon.variables import VARIABLES
from emulator.data.mapping.fit import learn
from emulator.data.mapping.products import Fields, MappingSettings, Pair, Years
from emulator.data.mapping.store import STORE, ForcingMap, write_map
from emulator.data.stores import staged
from emulator.data.writing import write_text

Report = dict[str, Any]

FILE = "shift"
"""Name of the report beside a map, .md and .json."""

DEFINITIONS = {
    "before, after": "the product as it is, and mapped, against the one that teachers "
    "saw, in years that the fit of this report did not see; the map that is kept is "
    "learned from all years",
    "bias": "mean of the difference over months and area",
    "RMSE": "root of the mean square of the difference over months and area",
    "correlation": "of monthly anomalies, each product's from its own climatology in "
    "the fitted years, pooled over months and area; a map of means hardly changes it",
    "beyond": "share of withheld months and area below the lowest or above the "
    "highest value of the fitted years of that month; after n years without any change "
    "2 / (n + 1) is expected",
}


def shift_report(settings: MappingSettings, found: Pair) -> Report:
    """Return how far two products differ before and after a map, in withheld years.

    Args:
        settings: How maps are learned.
        found: The products.

    Raises:
        UserError: As ``learn``.
    """
    held_out = learn(settings, found, found.fitted)
    regions = _regions(found)
    return {
        "title": held_out.title,
        "evidence": held_out.about["evidence"],
        "product": found.product.title,
        "onto": found.onto.title,
        "learned_from": _span(found.years),
        "fitted": _span(found.fitted),
        "withheld": _span(found.scored),
        "variables": {
            name: _variable(found, held_out, name, regions) for name in found.variables
        },
        "definitions": DEFINITIONS,
    }


def keep(folder: Path, found: ForcingMap, report: Report) -> Path:
    """Write a map and its report, all or nothing; return the folder.

    Raises:
        StoreError: If the folder exists already or cannot be written.
    """
    with staged(folder) as stage:
        write_map(found, stage / STORE)
        write_text(stage / f"{FILE}.json", as_json(report))
        write_text(stage / f"{FILE}.md", markdown(report))
    return folder


def as_json(report: Mapping[str, Any]) -> str:
    """Return JSON, of which NaN is no part."""
    return json.dumps(_plain(report), indent=1, allow_nan=False) + "\n"


def markdown(report: Report) -> str:
    """Return a report for people."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    first, last = report["learned_from"]
    yield f"# {report['product']} mapped onto {report['onto']}"
    yield ""
    yield f"Evidence: {report['evidence'] or 'not stated'}."
    yield ""
    yield (
        f"Learned from {first}-{last}, cell by cell and month by month. Below: learned "
        f"from {_years(report['fitted'])}, held against {_years(report['withheld'])}."
    )
    yield ""
    head = ["variable", "unit", "method", "where", "bias", "RMSE", "correlation"]
    yield from table([*head, "beyond"], list(_rows(report["variables"])))
    for name, text in report["definitions"].items():
        yield f"- **{name}**: {text}"


def _rows(variables: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, one in variables.items():
        for region, before in one["before"].items():
            after = one["after"][region]
            scores = [
                f"{number(before[key])} -> {number(after[key])}"
                for key in ("bias", "rmse", "correlation")
            ]
            beyond = ""
            if region == "globe":
                beyond = f"{one['beyond']:.1%} (expected {one['expected']:.1%})"
            yield [name, one["units"], one["method"], region, *scores, beyond]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table and an empty one."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def number(value: float | None) -> str:
    """Return a number as tables show it."""
    return "-" if value is None or math.isnan(value) else f"{value:.3g}"


def _variable(
    found: Pair,
    held_out: ForcingMap,
    name: str,
    regions: Mapping[str, NDArray[np.float64]],
) -> Report:
    """Return the shift of one variable, before and after."""
    past, past_months = found.product.of_years(name, found.fitted)
    values, months = found.product.of_years(name, found.scored)
    past_truth, _ = found.onto.of_years(name, found.fitted)
    truth, _ = found.onto.of_years(name, found.scored)
    normal = monthly_means(past_truth, past_months)
    weights = np.stack(list(regions.values()))

    def against(shown: Fields, shown_past: Fields) -> dict[str, dict[str, float]]:
        climatologies = monthly_means(shown_past, past_months), normal
        scores = residual_shift(
            _cells(shown),
            _cells(truth),
            months,
            (_cells(climatologies[0]), _cells(climatologies[1])),
            _cells(weights),
        )
        return {
            region: _scores(one) for region, one in zip(regions, scores, strict=True)
        }

    return {
        "units": VARIABLES[name].units,
        "method": found.methods[name],
        "before": against(values, past),
        "after": against(
            held_out.apply(name, values, months),
            held_out.apply(name, past, past_months),
        ),
        "beyond": held_out.beyond(name, values, months),
        "expected": 2 / (found.fitted.size + 1),
    }


def _regions(found: Pair) -> dict[str, NDArray[np.float64]]:
    """Return the area of the domain in each region that has any, m2."""
    grid, area = found.onto.grid, found.onto.area
    regions = {}
    for one in (globe(grid), latitude_bands(grid)):
        for name, weight in zip(one.regions, one.weights, strict=True):
            if name != OTHER and (weight * area).any():
                regions[name] = weight * area
    return regions


def _scores(one: Shift) -> dict[str, float]:
    return {"bias": one.bias, "rmse": one.rmse, "correlation": one.correlation}


def _cells(values: NDArray[Any]) -> NDArray[Any]:
    return values.reshape(len(values), -1)


def _span(years: Years) -> list[int]:
    return [int(years[0]), int(years[-1])]


def _years(span: Sequence[int]) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"


def _plain(value: Any) -> Any:
    """Replace NaN by None, all the way down."""
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
