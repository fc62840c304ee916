"""Skill against the number of months that were known: table, JSON, CSV and figure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from emulator.data.stores import code_version
from emulator.data.writing import write_table, write_text
from emulator.evaluation import bootstrap, figures, metrics
from emulator.evaluation.backcast import GLOBE, NETWORK, UNADJUSTED, Backcast, Estimate
from emulator.evaluation.backcast_settings import BackcastSettings
from emulator.evaluation.bootstrap import Score

Array = npt.NDArray[np.floating]

NAME = "backcast"

METHODS = {
    NETWORK: "networks fitted to the known labels answer the months whose forcing is "
    "known, moved to the level of the last known labels; the rule completes the rest",
    UNADJUSTED: "the same at the networks' own level",
    "persistence": "the same rule with the known labels alone: season, line and the "
    "last anomaly, damped",
    "trend": "season and line of the known labels",
    "climatology": "mean of the last known years of labels",
}
"""What is compared, and what each is."""

COLUMNS = (
    "target", "months_known", "issued", "labels_until", "forcing_until", "region",
    "method", "estimate", "truth",
)  # fmt: skip
SKILL_COLUMNS = (
    "region", "months_known", "method", "score", "value", "low", "high", "n",
)  # fmt: skip

STYLES = figures.METHOD_STYLES | {UNADJUSTED: ("#E69F00", "--", 1.2)}
"""Colour, line and width of each method."""

SHOWN = {
    "rmse": "RMSE (PgC yr$^{-1}$)",
    "r": "Correlation",
}
"""Scores of the figure, a row each."""


@dataclass(frozen=True)
class Skill:
    """Scores of one method with one number of known months.

    Attributes:
        region: Name.
        months_known: Months of the year whose forcing was known.
        method: One of ``METHODS``.
        scores: By name, over years: ``rmse`` and ``bias``, PgC yr-1, ``r`` and
            ``detrended_r``, 1.
    """

    region: str
    months_known: int
    method: str
    scores: dict[str, Score]


def skill(found: Backcast, months_known: Sequence[int]) -> list[Skill]:
    """Score the calendar years of which the truth is known.

    The years are drawn again in blocks for the intervals; the same draws for all, so
    that methods and numbers of months can be told apart.

    Args:
        found: Estimates.
        months_known: For which numbers of months.
    """
    rows = []
    for place, region in enumerate(found.regions):
        for count in months_known:
            there = [
                each
                for each in found.estimates
                if each.issue.target.year is not None
                and each.issue.months_known == count
                and np.isfinite(each.truth[place])
            ]
            years = np.array([each.issue.target.year for each in there], np.int64)
            truth = np.array([each.truth[place] for each in there])
            for method in METHODS:
                mine = np.array([each.totals[method][place] for each in there])
                rows.append(Skill(region, count, method, scores(mine, truth, years)))
    return rows


def scores(
    prediction: Array, truth: Array, years: npt.NDArray[np.int64]
) -> dict[str, Score]:
    """Return the scores of annual totals with their intervals.

    Args:
        prediction: PgC yr-1; shape (year,).
        truth: PgC yr-1; shape (year,).
        years: Their years; shape (year,).
    """
    if not years.size:
        nothing = Score(np.nan, np.nan, np.nan, 0)
        return dict.fromkeys(("rmse", "bias", "r", "detrended_r"), nothing)
    draws = bootstrap.year_draws(years.size)
    statistics = {
        "rmse": lambda at: metrics.rmse(prediction[at], truth[at]),
        "bias": lambda at: metrics.bias(prediction[at], truth[at]),
        "r": lambda at: correlation(prediction[at], truth[at]),
        "detrended_r": lambda at: metrics.detrended_r(
            prediction[at], truth[at], years[at]
        ),
    }
    return {
        name: bootstrap.score(statistic, years.size, draws)
        for name, statistic in statistics.items()
    }


def correlation(prediction: Array, truth: Array) -> Array:
    """Return the correlation over years, (..., year) to (...).

    NaN with fewer than three years, or where one of the two does not vary.
    """
    if truth.shape[-1] < bootstrap.FEWEST_YEARS:
        return np.full(truth.shape[:-1], np.nan)
    p = prediction - prediction.mean(axis=-1, keepdims=True)
    t = truth - truth.mean(axis=-1, keepdims=True)
    size = np.sqrt((p**2).sum(axis=-1) * (t**2).sum(axis=-1))
    product = (p * t).sum(axis=-1)
    empty = np.full(product.shape, np.nan)
    return np.asarray(np.divide(product, size, out=empty, where=size > 0))


def write(found: Backcast, settings: BackcastSettings, run: str) -> Path:
    """Write all tables and the figure beside the refitted networks.

    Args:
        found: Estimates.
        settings: What was asked for.
        run: Name of the run.

    Returns:
        Path of ``backcast.md``; ``.json``, ``.csv`` (skill), ``.png`` and
        ``backcast_estimates.csv`` are beside it.
    """
    table = skill(found, sorted(set(settings.months_known)))
    write_table(found.folder / f"{NAME}.csv", SKILL_COLUMNS, skill_lines(table))
    estimates = list(estimate_lines(found))
    write_table(found.folder / f"{NAME}_estimates.csv", COLUMNS, estimates)
    content = {
        "run": run,
        "evidence": found.evidence,
        "flux": found.subject.flux,
        "simulation": found.subject.simulation,
        "code_version": code_version(),
        "settings": asdict(settings),
        "delays": asdict(found.delays),
        "methods": METHODS,
        "estimates": [dict(zip(COLUMNS, line, strict=True)) for line in estimates],
        "skill": [
            {
                "region": row.region,
                "months_known": row.months_known,
                "method": row.method,
                **{name: each.as_dict() for name, each in row.scores.items()},
            }
            for row in table
        ],
    }
    text = json.dumps(content, indent=1, allow_nan=False)
    write_text(found.folder / f"{NAME}.json", text)
    scored = [row for row in table if row.scores["rmse"].n]
    if scored:
        figures.save(draw(scored, found), found.folder / f"{NAME}.png")
    return write_text(found.folder / f"{NAME}.md", markdown(found, scored, run))


def estimate_lines(found: Backcast) -> Iterator[tuple[Any, ...]]:
    """Yield the lines under ``COLUMNS``; PgC, None where there is no truth."""
    for each in found.estimates:
        known = each.issue.known
        for place, region in enumerate(found.regions):
            truth = float(each.truth[place])
            for method, totals in each.totals.items():
                yield (
                    each.issue.target.name,
                    each.issue.months_known,
                    str(known.issued),
                    str(known.last_label),
                    str(known.forcing),
                    region,
                    method,
                    float(totals[place]),
                    truth if np.isfinite(truth) else None,
                )


def skill_lines(table: Sequence[Skill]) -> Iterator[tuple[Any, ...]]:
    """Yield the lines under ``SKILL_COLUMNS``; None where a score is undefined."""
    for row in table:
        for name, each in row.scores.items():
            said = each.as_dict()
            values = (said["value"], said["low"], said["high"], said["n"])
            yield (row.region, row.months_known, row.method, name, *values)


def markdown(found: Backcast, scored: Sequence[Skill], run: str) -> str:
    """Return skill and, for the globe, every estimate, with what they stand on."""
    delays = found.delays
    parts = [
        f"# As of a date: {run}",
        f"**Evidence: {found.evidence}.** {found.subject.flux} of simulation "
        f"{found.subject.simulation}, mean over teachers, PgC. Each estimate is "
        f"issued at the end of a month and knows nothing that appeared later: labels "
        f"{_span(delays.labels)} months after their year, forcing {delays.forcing:g} "
        f"days after its month, CO2 {delays.co2} months after its year. Networks are "
        f"fitted anew for each edition of the labels. One edition's labels stand for "
        f"all: revisions of earlier years are not seen.",
        "\n".join(f"- {name}: {what}" for name, what in METHODS.items()),
    ]
    if scored:
        parts += [f"![Skill against months known]({NAME}.png)", "## Skill"]
        parts += [_skill_table(scored, region) for region in found.regions]
    else:
        parts.append("No estimated year has labels to score it with.")
    parts += ["## Estimates, globe", _estimate_table(found.estimates)]
    return "\n\n".join(parts) + "\n"


def draw(scored: Sequence[Skill], found: Backcast) -> Figure:
    """Draw scores against months known, a column for each region.

    Args:
        scored: Skill with at least one year.
        found: For regions and evidence.
    """
    regions = found.regions
    figure, axes = figures.panels(
        len(SHOWN) * len(regions), found.evidence, height=2.6, across=len(regions)
    )
    panels = iter(axes)
    for score, label in SHOWN.items():
        for region in regions:
            axis = next(panels)
            for method in METHODS:
                rows = [
                    row
                    for row in scored
                    if (row.region, row.method) == (region, method)
                ]
                months = [row.months_known for row in rows]
                value, low, high = np.array(
                    [
                        (
                            row.scores[score].value,
                            row.scores[score].low,
                            row.scores[score].high,
                        )
                        for row in rows
                    ]
                ).T
                colour, line, width = STYLES[method]
                axis.plot(
                    months,
                    value,
                    color=colour,
                    ls=line,
                    lw=width,
                    marker="." if method == NETWORK else None,
                    label=method,
                )
                if method == NETWORK:
                    axis.fill_between(months, low, high, color=colour, alpha=0.18, lw=0)
            axis.set_xticks(range(0, 13, 3))
            if score == "rmse":
                axis.set_title(region, loc="left", fontsize=9)
                axis.set_ylim(bottom=0.0)
            if region == GLOBE:
                axis.set_ylabel(label, fontsize=9)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper right", ncols=5, fontsize=8, frameon=False
    )
    figure.supxlabel("Months of the year whose forcing is known", fontsize=9)
    count = max(row.scores["rmse"].n for row in scored)
    figure.suptitle(
        f"{found.subject.flux} as of a date, {count} years, 95 % band",
        x=0.02,
        ha="left",
        fontsize=9,
    )
    return figure


def _skill_table(scored: Sequence[Skill], region: str) -> str:
    """Return the table of a region: RMSE of all, bias and r of the network."""
    mine = [row for row in scored if row.region == region]
    lines = [
        f"### {region}",
        "",
        "| months known | n | RMSE network | unadjusted | persistence | trend "
        "| climatology "
        "| bias network | r network | r detrended |",
        "|" + "---|" * 10,
    ]
    for count in sorted({row.months_known for row in mine}):
        by_method = {row.method: row for row in mine if row.months_known == count}
        network = by_method[NETWORK].scores
        cells = [str(count), str(network["rmse"].n), _text(network["rmse"])]
        cells += [
            _text(by_method[method].scores["rmse"])
            for method in METHODS
            if method != NETWORK
        ]
        cells += [_text(network[name]) for name in ("bias", "r", "detrended_r")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _estimate_table(estimates: Sequence[Estimate]) -> str:
    """Return every estimate of the globe."""
    lines = [
        "| of | months known | issued, end of | labels until | "
        + " | ".join(METHODS)
        + " | teachers |",
        "|" + "---|" * (5 + len(METHODS)),
    ]
    for each in estimates:
        known, truth = each.issue.known, float(each.truth[0])
        cells = [
            each.issue.target.name,
            str(each.issue.months_known),
            str(known.issued),
            str(known.last_label),
            *(f"{each.totals[method][0]:.2f}" for method in METHODS),
            f"{truth:.2f}" if np.isfinite(truth) else "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _text(score: Score) -> str:
    """Return value and interval; a dash where undefined."""
    if not np.isfinite(score.value):
        return "-"
    if not np.isfinite(score.low):
        return f"{score.value:.2f}"
    return f"{score.value:.2f} ({score.low:.2f} to {score.high:.2f})"


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
