"""An ablation table: several scored runs, and how sure their differences are.

The differences to the first run are drawn with the same years for both runs: a year
that is hard for one is hard for the other, so that a difference can be certain where
the scores themselves are not.
"""

import csv
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emulator.carbon.errors import SettingsError
from emulator.evaluation import figures, metrics
from emulator.evaluation.bootstrap import Draws, Score, score, year_draws
from emulator.evaluation.hindcast import NETWORK
from emulator.evaluation.scorecard import SCHEMA, find_run
from emulator.evaluation.scores import rank
from emulator.evaluation.settings import CompareSettings
from emulator.evaluation.task import Array

Card = dict[str, Any]
Statistic = Callable[[Draws], Array]

SCORES = ("anomaly_r2", "shape_r2", "rmse", "annual_r2_centred", "detrended_r", "bias")
DRAWN_SCORES = ("anomaly_r2", "shape_r2", "rmse", "annual_r2_centred")


@dataclass(frozen=True)
class Row:
    """One score of one run or baseline, and its difference to the first run's."""

    flux: str
    simulation: str
    teacher: str
    scope: str
    method: str
    score: str
    value: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    n: int


def compare(settings: CompareSettings, *, runs_root: Path = Path("runs")) -> Path:
    """Compare scored runs and write a table as .csv and .md, and a figure as .png.

    Args:
        settings: Which runs, which years, and where the table goes.
        runs_root: Where runs given by name lie.

    Returns:
        Path of the Markdown table.

    Raises:
        SettingsError: If a run is not there, has no scorecard of these years, or was
            scored on other years or labels than the first.
    """
    suffix = "" if settings.split == "test" else f"-{settings.split}"
    cards = [
        read_card(find_run(run, runs_root), f"scorecard{suffix}.json")
        for run in settings.runs
    ]
    rows = list(paired_rows(cards))
    out = Path(settings.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_name(f"{out.name}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Row.__dataclass_fields__)
        writer.writerows(astuple(row) for row in rows)
    figures.save(_figure(rows, cards), out.with_name(f"{out.name}.png"))
    table = out.with_name(f"{out.name}.md")
    table.write_text(_markdown(rows, cards))
    return table


def read_card(run_dir: Path, name: str) -> Card:
    """Read a scorecard of a run.

    Raises:
        SettingsError: If there is none, or it is of another schema.
    """
    path = run_dir / name
    if not path.exists():
        raise SettingsError(
            f"{path} is not there. Run `sink-emulator evaluate run={run_dir}` first."
        )
    card: Card = json.loads(path.read_text())
    if card.get("schema") != SCHEMA:
        raise SettingsError(
            f"{path} has the schema {card.get('schema')!r}, but {SCHEMA!r} is wanted. "
            f"Run `sink-emulator evaluate run={run_dir}` again."
        )
    return card


def paired_rows(cards: Sequence[Card]) -> Iterator[Row]:
    """Yield the scores of all runs, and of the first run's baselines.

    Records that only some of the runs have are left out.

    Raises:
        SettingsError: If no record is common to all runs, or the same record has
            other years or another truth.
    """
    keyed = [{_key(record): record for record in card["records"]} for card in cards]
    common = [key for key in keyed[0] if all(key in each for each in keyed)]
    if not common:
        raise SettingsError(
            "The runs have no flux, simulation and teacher in common: "
            + "; ".join(f"{c['run']}: {', '.join(c['teachers'])}" for c in cards)
            + ". Compare runs on the same store."
        )
    for key in common:
        first = keyed[0][key]
        _require_same_truth(cards, [each[key] for each in keyed])
        drawn = year_draws(first["n_years"]) if first["n_years"] else None
        if drawn is None:
            continue
        methods = [
            (card["run"], each[key]["methods"][NETWORK])
            for card, each in zip(cards, keyed, strict=True)
        ]
        methods += [
            (f"baseline {name}", found)
            for name, found in first["methods"].items()
            if name != NETWORK
        ]
        reference = _statistics(first["methods"][NETWORK], first)
        for method, found in methods:
            for name, statistic in _statistics(found, first).items():
                if name not in reference:
                    continue
                own = score(statistic, first["n_years"], drawn)
                change = score(
                    _difference(statistic, reference[name]), first["n_years"], drawn
                )
                yield Row(*key, method, name, *_triple(own), *_triple(change), own.n)


def _statistics(found: Card, record: Card) -> dict[str, Statistic]:
    """Return the scores as functions of drawn years."""
    statistics: dict[str, Statistic] = {}
    for name, part in (("anomaly_r2", "yearly"), ("shape_r2", "yearly_shape")):
        # Months of years that are not whole count in cells, not in annual totals.
        if "cells" in found and found["cells"][part]["years"] == record["years"]:
            statistics[name] = _pooled(found["cells"][part])
    if "annual_totals" in found:
        p, t, years = (
            np.asarray(values)
            for values in (
                found["annual_totals"],
                record["teacher_annual"],
                record["years"],
            )
        )
        statistics |= {
            "rmse": lambda place: metrics.rmse(p[place], t[place]),
            "annual_r2_centred": lambda place: metrics.annual_r2_centred(
                p[place], t[place]
            ),
            "detrended_r": lambda place: metrics.detrended_r(
                p[place], t[place], years[place]
            ),
            "bias": lambda place: metrics.bias(p[place], t[place]),
        }
    return {name: statistics[name] for name in SCORES if name in statistics}


def _pooled(yearly: Card) -> Statistic:
    sums = metrics.Moments(
        *(np.asarray(yearly[name]) for name in ("weight", "error", "first", "second"))
    )
    return lambda place: sums.take(place).total().r2()


def _difference(one: Statistic, other: Statistic) -> Statistic:
    return lambda place: np.asarray(one(place) - other(place))


def _triple(found: Score) -> tuple[float, float, float]:
    return found.value, found.low, found.high


def _key(record: Card) -> tuple[str, str, str, str]:
    return record["flux"], record["simulation"], record["teacher"], record["scope"]


def _require_same_truth(cards: Sequence[Card], records: Sequence[Card]) -> None:
    first = records[0]
    for card, record in zip(cards, records, strict=True):
        if record["years"] != first["years"] or not np.allclose(
            record["teacher_annual"], first["teacher_annual"], rtol=1e-3, atol=1e-3
        ):
            raise SettingsError(
                f"{card['run']} was scored on other years or labels of "
                f"{record['teacher']} {record['simulation']} than {cards[0]['run']}: "
                f"{_years(record)} against {_years(first)}. Compare runs on the same "
                f"store and split."
            )


def _years(record: Card) -> str:
    years = record["years"]
    return f"{years[0]}-{years[-1]}" if years else "no whole year"


def _headline(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the net flux, transient simulation, mean of teachers."""
    best = min(rows, key=lambda row: rank(asdict(row)))
    key = (best.flux, best.simulation, best.teacher, best.scope)
    return [
        row for row in rows if (row.flux, row.simulation, row.teacher, row.scope) == key
    ]


def _figure(rows: Sequence[Row], cards: Sequence[Card]) -> Any:
    shown = _headline(rows)
    methods = list(dict.fromkeys(row.method for row in shown))
    found = {(row.method, row.score): (row.value, row.low, row.high) for row in shown}
    missing = (math.nan, math.nan, math.nan)
    first = shown[0]
    return figures.comparison(
        methods,
        {
            name: [found.get((method, name), missing) for method in methods]
            for name in DRAWN_SCORES
        },
        title=f"{first.flux} of {first.teacher} {first.simulation}, n = {first.n} "
        f"years, 95 % block bootstrap",
        evidence=cards[0]["evidence"],
    )


def _markdown(rows: Sequence[Row], cards: Sequence[Card]) -> str:
    split = cards[0]["split"]
    lines = [
        "# Comparison of runs",
        "",
        f"**Evidence: {cards[0]['evidence']}.** Scores of the {split['part']} years "
        f"{split[split['part']][0]}-{split[split['part']][1]}, with 95 % intervals of "
        f"a block bootstrap over years. In brackets the difference to "
        f"{cards[0]['run']}, drawn in pairs. Definitions stand in the scorecards.",
        "",
        "| run | forcing | label climatology | members | test scores read |",
        "|---|---|---|---|---|",
        *(
            f"| {card['run']} | {', '.join(card['forcing'])} | "
            f"{card['label_climatology']} | {card['members']} | {card['test_reads']} |"
            for card in cards
        ),
        "",
    ]
    keys = list(dict.fromkeys((r.flux, r.simulation, r.teacher, r.scope) for r in rows))
    for key in keys:
        mine = [r for r in rows if (r.flux, r.simulation, r.teacher, r.scope) == key]
        flux, simulation, teacher, scope = key
        place = "" if scope == "all" else f", {scope}"
        lines += [f"## {flux}: {teacher}, {simulation}{place}, n = {mine[0].n}", ""]
        names = [name for name in SCORES if any(r.score == name for r in mine)]
        lines += [f"| | {' | '.join(names)} |", f"|{'---|' * (len(names) + 1)}"]
        for method in dict.fromkeys(r.method for r in mine):
            found = {r.score: r for r in mine if r.method == method}
            cells = (_cell(found.get(name), method, cards) for name in names)
            lines.append(f"| {method} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _cell(row: Row | None, method: str, cards: Sequence[Card]) -> str:
    if row is None or math.isnan(row.value):
        return "-"
    text = f"{row.value:.2f}{_span(row.low, row.high)}"
    if method == cards[0]["run"]:
        return text
    span = _span(row.difference_low, row.difference_high)
    return f"{text} [{row.difference:+.2f}{span}]"


def _span(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" ({low:.2f} to {high:.2f})"
