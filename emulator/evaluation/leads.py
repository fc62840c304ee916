"""How an emulator ages: errors by year after the last label that it knew.

Where labels were withheld, the years after them are as good a test as the test years,
and there are more of them. Runs that differ only in what they learned from months
without labels can be set side by side here, year by year. A year whose annual total a
run was told (weak labels) is marked: its bias is no forecast.
"""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emulator.carbon.timeaxis import MONTHS_PER_YEAR, YearSplit, years_of
from emulator.data.windows import Cube
from emulator.data.writing import written_whole
from emulator.evaluation import metrics
from emulator.evaluation.hindcast import annual_totals, covered
from emulator.evaluation.metrics import Moments
from emulator.evaluation.task import Array, Mask
from emulator.learning.withheld import years_but_test

Record = dict[str, Any]
Years = npt.NDArray[np.int64]

GROUPS = ((1, 5), (6, 10), (11, 20), (21, 40), (41, 999))
"""Leads that are pooled: a single year has one total for each teacher."""

SHOWN = 10
"""Single leads in the Markdown table; all are in the JSON."""

DEFINITIONS = {
    "lead": "years after the last one with monthly labels that the run knew, those of "
    "validation included",
    "bias": "mean over teachers (and years) of prediction - teacher, annual totals of "
    "the domain, PgC yr-1",
    "rmse": "root of their mean square, PgC yr-1",
    "anomaly_r2": "of cells, pooled over teachers and months; anomalies are from each "
    "cell's climatology over the years that the run knew, so that runs which know "
    "other years have another scale",
    "kind": "'test' years, 'weak' years, whose annual totals the run was told, and "
    "others that are 'unlabelled' to it",
}


def ahead(cube: Cube, split: YearSplit, part: str) -> Mask:
    """Return the months after the last known label that have labels to score by.

    Args:
        cube: With all labels.
        split: As far as the run knows labels.
        part: "validation" leaves out test years, and all that follow.

    Returns:
        Whole years only; shape (time,).
    """
    year = years_of(cube.months)
    late = year > years_but_test(split)[-1]
    if part == "validation":
        late &= year < split.test[0]
    labelled = cube.labels.isfinite().flatten(3).any(-1).any(0).any(0).numpy()
    found = late & labelled
    whole, count = np.unique(year[found], return_counts=True)
    chosen: Mask = found & np.isin(year, whole[count == MONTHS_PER_YEAR])
    return chosen


def score(
    predicted: xr.Dataset,
    cube: Cube,
    split: YearSplit,
    chosen: Mask,
    *,
    told: Mapping[str, Sequence[int]] | None = None,
    cells: Mask | None = None,
) -> list[Record]:
    """Score the years after the last label, for each flux and simulation.

    Args:
        predicted: As ``Emulator.hindcast`` returns it, for at least these months.
        cube: With all labels.
        split: As far as the run knows labels.
        chosen: Months to score, as ``ahead`` returns them; shape (time,).
        told: By simulation, years whose annual totals the run was told.
        cells: Cells to score, all when None; shape (cell,).
    """
    if not chosen.any():
        return []
    last = int(years_but_test(split)[-1])
    known = np.isin(years_of(cube.months), years_but_test(split))
    area = cube.area.numpy()
    area = area if cells is None else np.where(cells, area, 0.0)
    months = cube.months[chosen]
    years = np.unique(years_of(months))
    records = []
    for channel, flux in enumerate(cube.fluxes):
        values = predicted[flux].to_numpy()
        for simulation, name in enumerate(cube.simulations):
            found: dict[str, tuple[Array, Moments]] = {}
            for place, teacher in enumerate(cube.teachers):
                truth = cube.labels[simulation, place, :, channel].numpy()
                if not np.isfinite(truth[chosen]).any():
                    continue
                normal = metrics.monthly_climatology(truth, cube.months, known)
                found[teacher] = _judge(
                    values[simulation, place][chosen],
                    truth[chosen],
                    normal,
                    area,
                    months,
                    years,
                )
            if found:
                leads = years - last
                given = (told or {}).get(name, [])
                kinds = [_kind(year, split, given) for year in years]
                named = {"flux": flux, "simulation": name, "last_label": last}
                records.append(named | _record(found, years, leads, kinds))
    return records


def write(cards: Sequence[tuple[str, str, Mapping[str, Any]]], path: Path) -> None:
    """Write a row for each run, flux, simulation and lead as CSV.

    Args:
        cards: Panel, variant and scorecard of each run.
        path: The file; none is written where no run has years after its last label.
    """
    rows = []
    for panel, variant, card in cards:
        about = {"panel": panel, "variant": variant, "run": card["run"]}
        about |= {name: card.get(name, "") for name in ("transductive", "weak_labels")}
        for record in card.get("leads", {}).get("records", []):
            about |= {name: record[name] for name in ("flux", "simulation")}
            rows += [about | row for row in [*record["leads"], *record["groups"]]]
    if not rows:
        return
    with written_whole(path) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def markdown(records: Sequence[Record]) -> str:
    """Return the scores as Markdown; nothing where there are none."""
    if not records:
        return ""
    lines = ["## Years after the last label", ""]
    lines += [f"- **{name}**: {text}" for name, text in DEFINITIONS.items()]
    for record in records:
        lines += [
            "",
            f"### {record['flux']}, {record['simulation']}: last label "
            f"{record['last_label']}",
            "",
            "| lead | years | kind | teachers | bias | rmse | anomaly_r2 |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in [*record["groups"], *record["leads"][:SHOWN]]:
            numbers = (_number(row[name]) for name in ("bias", "rmse", "anomaly_r2"))
            lines.append(
                f"| {row['lead']} | {row['year']} | {row['kind']} | {row['teachers']} "
                f"| {' | '.join(numbers)} |"
            )
    return "\n".join(lines) + "\n"


def _judge(
    predicted: Array,
    truth: Array,
    normal: Array,
    area: Array,
    months: npt.NDArray[np.datetime64],
    years: Years,
) -> tuple[Array, Moments]:
    """Return errors of annual totals, PgC, and moments of anomalies, both (year,)."""
    # A cell without a known climatology has no anomaly.
    there = metrics.anomalies(truth, months, normal)
    _, moments = metrics.yearly(
        metrics.moments(metrics.anomalies(predicted, months, normal), there, area),
        months,
    )
    errors = np.full(years.size, np.nan)
    rows = np.isfinite(truth).any(axis=1)
    whole = covered(truth)
    if whole.any():
        at, wanted = annual_totals(truth[rows][:, whole], area[whole], months[rows])
        _, given = annual_totals(predicted[rows][:, whole], area[whole], months[rows])
        errors[np.searchsorted(years, at)] = given - wanted
    return errors, moments


def _record(
    found: Mapping[str, tuple[Array, Moments]],
    years: Years,
    leads: Years,
    kinds: Sequence[str],
) -> Record:
    """Return scores by lead, pooled over teachers, and of each teacher."""
    errors = np.stack([error for error, _ in found.values()])
    moments = Moments(
        **{
            name: np.stack([asdict(part)[name] for _, part in found.values()])
            for name in ("weight", "error", "first", "second")
        }
    )
    rows = [
        _row(errors, moments, leads == lead, str(lead), str(year), kind)
        for lead, year, kind in zip(leads, years, kinds, strict=True)
    ]
    groups = []
    for first, last in GROUPS:
        inside = (leads >= first) & (leads <= last)
        if inside.sum() > 1:
            span = [f"{part[inside][0]}-{part[inside][-1]}" for part in (leads, years)]
            among = np.array(kinds)[inside]
            kind = ", ".join(dict.fromkeys(among.tolist()))
            groups.append(_row(errors, moments, inside, span[0], span[1], kind))
    for kind in dict.fromkeys(kinds):
        inside = np.array(kinds) == kind
        span = [f"{part[inside][0]}-{part[inside][-1]}" for part in (leads, years)]
        groups.append(_row(errors, moments, inside, span[0], span[1], f"all {kind}"))
    by_teacher = {
        name: {
            "bias": [_plain(value) for value in error],
            "anomaly_r2": [_plain(value) for value in part.r2()],
        }
        for name, (error, part) in found.items()
    }
    return {"leads": rows, "groups": groups, "by_teacher": by_teacher}


def _row(
    errors: Array, moments: Moments, inside: Mask, lead: str, year: str, kind: str
) -> Record:
    """Return the scores of the years ``inside``, pooled over teachers."""
    error = errors[:, inside]
    there = np.isfinite(error)
    few = max(int(there.sum()), 1)
    has_any = bool(there.any())
    left = np.where(there, error, 0.0)
    pooled = Moments(
        **{
            name: np.asarray(part[:, inside].sum())
            for name, part in asdict(moments).items()
        }
    )
    return {
        "lead": lead,
        "year": year,
        "kind": kind,
        "teachers": int(there.any(axis=1).sum()),
        "bias": float(left.sum() / few) if has_any else None,
        "rmse": float(np.sqrt((left**2).sum() / few)) if has_any else None,
        "anomaly_r2": _plain(float(pooled.r2())),
    }


def _kind(year: int, split: YearSplit, told: Sequence[int]) -> str:
    if year in told:
        return "weak"
    return "test" if split.test[0] <= year <= split.test[1] else "unlabelled"


def _plain(value: float) -> float | None:
    """Return None for what JSON does not know."""
    return float(value) if math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
