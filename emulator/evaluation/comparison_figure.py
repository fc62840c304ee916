"""The figure of an ablation: variants, their intervals, their seeds, the best baseline.

As wide as two columns of a journal, in the colours of Okabe and Ito (2008); what colour
says, the shape of a marker says too.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from emulator.evaluation.paired import Row

DRAWN = {
    "anomaly_r2": "R$^2$ of monthly anomalies, cells",
    "annual_r2_centred": "R$^2$ of annual totals, centred",
}
"""The scores that are drawn, best at 1, and what the axis calls them."""

BASELINE = "baseline "
WIDTH = 7.1  # inches: 180 mm, two columns of most journals
BLUE, BAND, LINE, SEED = "#0072B2", "#F3D9B1", "#E69F00", "#56B4E9"


def comparison(
    panels: Mapping[str, Sequence[Row]],
    references: Mapping[str, str],
    *,
    evidence: str,
) -> Figure:
    """Draw one row of axes a panel, and one column a score.

    Args:
        panels: By name, the rows of one record: variants from top to bottom, baselines
            among them.
        references: By panel, the variant that differences refer to.
        evidence: What stands behind the numbers.
    """
    scores = [
        score
        for score in DRAWN
        if any(row.score == score for rows in panels.values() for row in rows)
    ]
    heights = [0.55 + 0.27 * len(_variants(rows)) for rows in panels.values()]
    # Without pyplot no window system is touched, and nothing is left open.
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.85))
    FigureCanvasAgg(figure)
    below = 0.58 / figure.get_size_inches()[1]
    figure.set_layout_engine(
        ConstrainedLayoutEngine(rect=(0.0, below, 1.0, 1.0 - below), h_pad=0.06)
    )
    axes = figure.subplots(
        len(panels), len(scores), squeeze=False, sharex="col", height_ratios=heights
    )
    for (name, rows), line in zip(panels.items(), axes, strict=True):
        for score, axis in zip(scores, line, strict=True):
            _draw(axis, rows, score, references[name])
        first = rows[0]
        line[0].set_yticks(*_ticks(rows))
        line[0].set_title(
            ": ".join(filter(None, (name, _record(first)))),
            loc="left",
            fontsize=8,
            fontweight="bold",
            pad=12,
        )
    for score, axis in zip(scores, axes[-1], strict=True):
        axis.set_xlabel(DRAWN[score], fontsize=8)
    for column, score in enumerate(scores):
        _limit(
            list(axes[:, column]), [r for rows in panels.values() for r in rows], score
        )
    figure.legend(
        handles=_handles(),
        loc="lower left",
        bbox_to_anchor=(0.01, 0.16 / figure.get_size_inches()[1]),
        ncols=3,
        fontsize=7,
        frameon=False,
        handlelength=1.6,
        columnspacing=1.4,
    )
    figure.text(0.015, 0.01, f"Evidence: {evidence}", fontsize=6.5, color="#444444")
    return figure


def _draw(axis: Axes, rows: Sequence[Row], score: str, reference: str) -> None:
    """Draw one score of one panel."""
    mine = {row.method: row for row in rows if row.score == score}
    best = _best_baseline(list(mine.values()))
    if best is not None:
        axis.axvspan(best.low, best.high, color=BAND, lw=0, alpha=0.6, zorder=0)
        axis.axvline(best.value, color=LINE, lw=1.2, ls="--", zorder=1)
        axis.annotate(
            best.method.removeprefix(BASELINE),
            (best.value, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color="#8A5A00",
        )
    for place, name in zip(*_ticks(rows), strict=True):
        row = mine.get(name)
        if row is None or math.isnan(row.value):
            continue
        axis.plot([row.low, row.high], [place, place], color=BLUE, lw=1.4, zorder=2)
        # Beside the line, or the seeds would hide behind the mean.
        lower = np.full(len(row.seeds), place - 0.27)
        axis.plot(row.seeds, lower, "|", color=SEED, ms=5, mew=1.3, zorder=3)
        filled = row.is_certain or name == reference
        axis.plot(
            row.value,
            place,
            marker="D" if name == reference else "o",
            color=BLUE,
            ms=5.5,
            mfc=BLUE if filled else "white",
            mew=1.2,
            zorder=4,
        )
    axis.set_yticks(_ticks(rows)[0], [])
    axis.set_ylim(-0.65, len(_variants(rows)) - 0.5)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.grid(axis="x", color="#E4E4E4", lw=0.6, zorder=-1)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8, left=False)


def _limit(axes: Sequence[Axes], rows: Sequence[Row], score: str) -> None:
    """Let no interval of one poor variant squeeze all others together."""
    mine = [row for row in rows if row.score == score]
    best = _best_baseline(mine)
    shown = [row for row in mine if not row.method.startswith(BASELINE)]
    shown += [] if best is None else [best]
    values = [v for row in shown for v in (row.value, *row.seeds) if math.isfinite(v)]
    if not values:
        return
    ends = [v for row in shown for v in (row.low, row.high) if math.isfinite(v)]
    reach = max(max(values) - min(values), 0.1)
    left = max(min([*ends, *values]), min(values) - reach)
    right = min(max([*ends, *values]), max(values) + reach)
    margin = 0.05 * max(right - left, reach)
    for axis in axes:
        axis.set_xlim(left - margin, right + margin)


def _best_baseline(rows: Sequence[Row]) -> Row | None:
    known = [
        r for r in rows if r.method.startswith(BASELINE) and math.isfinite(r.value)
    ]
    return max(known, key=lambda row: row.value, default=None)


def _variants(rows: Sequence[Row]) -> list[str]:
    names = dict.fromkeys(row.method for row in rows)
    return [name for name in names if not name.startswith(BASELINE)]


def _ticks(rows: Sequence[Row]) -> tuple[list[int], list[str]]:
    """Return place and name of the variants, the first on top."""
    names = _variants(rows)
    return list(range(len(names)))[::-1], names


def _record(row: Row) -> str:
    place = "" if row.scope == "all" else f", {row.scope}"
    return f"{row.flux}, {row.teacher}, {row.simulation}{place}, n = {row.n} years"


def _handles() -> list[Line2D | Patch]:
    def marker(shape: str, label: str, **style: object) -> Line2D:
        chosen = {"color": BLUE, "ms": 5.5, "mew": 1.2, "lw": 0.0, **style}
        return Line2D([], [], marker=shape, label=label, **chosen)  # type: ignore[arg-type]

    return [
        marker("D", "reference", lw=1.4),
        marker("o", "differs from it (95 %, same years)", lw=1.4),
        marker("o", "may not differ", lw=1.4, mfc="white"),
        Line2D([], [], color=BLUE, lw=1.4, label="95 % interval, years and seeds"),
        marker("|", "each seed", color=SEED, ms=6, mew=1.3),
        Patch(fc=BAND, ec=LINE, ls="--", label="best baseline, 95 %"),
    ]
