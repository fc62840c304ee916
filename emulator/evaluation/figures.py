"""Figures of a scorecard: arrays in, a matplotlib figure out.

Every figure carries its evidence, so that a picture that travels alone still says what
stands behind it. Colours are those of Okabe and Ito (2008), and a diverging map without
red and green: both can be told apart by colour-blind readers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from emulator.carbon.grid import Grid
from emulator.data.writing import written_whole

Array = npt.NDArray[Any]

BLACK = "#000000"
METHOD_STYLES: dict[str, tuple[str, str, float]] = {
    "network": ("#D55E00", "-", 2.0),
    "climatology": ("#999999", ":", 1.2),
    "trend": ("#009E73", "--", 1.2),
    "persistence": ("#CC79A7", ":", 1.2),
    "ridge": ("#0072B2", "-.", 1.2),
    "lightgbm": ("#56B4E9", "-", 1.2),
    "co2_enso": ("#E69F00", "--", 1.2),
}
"""Colour, line and width of each method: lines differ too, for print in grey."""

SUPPORT_COLOURS = {"cell": "#0072B2", "region": "#009E73", "globe": "#D55E00"}
PERIOD_LINES = {"month": ("-", "o"), "year": ("--", "s")}
"""How intervals of cells, regions and the globe, months and years, are told apart."""

MAP_RANGE = (-1.0, 1.0)
"""Range of the skill map; R2 below -1 is drawn as -1, as bad as it needs to look."""


def annual_series(
    years: Sequence[int],
    teacher: Sequence[float],
    methods: Mapping[str, Sequence[float]],
    *,
    title: str,
    evidence: str,
) -> Figure:
    """Draw annual totals of the globe, PgC yr-1: teacher, network and baselines."""
    figure, axes = panels(1, evidence, height=3.6)
    axis = axes[0]
    axis.plot(years, teacher, color=BLACK, lw=2.4, marker="o", ms=4, label="teacher")
    for name, series in methods.items():
        colour, line, width = METHOD_STYLES[name]
        axis.plot(years, series, color=colour, ls=line, lw=width, label=name)
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_ylabel("Sink (PgC yr$^{-1}$)")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def skill_map(skill: Array, grid: Grid, *, title: str, evidence: str) -> Figure:
    """Draw the anomaly R2 of each cell on the globe.

    Args:
        skill: ``metrics.cell_r2`` of anomalies, NaN where there is none; shape
            (lat, lon).
        grid: Its grid.
        title: Title.
        evidence: What stands behind the numbers.
    """
    figure, axes = panels(1, evidence, height=4.2)
    axis = axes[0]
    lat_edges, lon_edges = grid.edges()
    drawn = axis.pcolormesh(
        lon_edges,
        lat_edges,
        np.ma.masked_invalid(skill),
        cmap="PuOr",
        vmin=MAP_RANGE[0],
        vmax=MAP_RANGE[1],
    )
    axis.set_facecolor("#E8E8E8")
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_xlabel("Longitude (degrees east)")
    axis.set_ylabel("Latitude (degrees north)")
    axis.set_aspect("equal")
    bar = figure.colorbar(drawn, ax=axis, shrink=0.8, extend="min")
    # Named in full: a bare R2 does not exist here.
    bar.set_label("R$^2$ of a cell's anomalies (1 perfect, 0 their mean)")
    return figure


def regional_anomalies(
    years: Sequence[int],
    regions: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    evidence: str,
) -> Figure:
    """Draw annual anomalies by region.

    Args:
        years: The years.
        regions: By region, totals of the teacher and of the network, PgC yr-1. The
            mean of each over the years is removed.
        title: Title.
        evidence: What stands behind the numbers.
    """
    figure, axes = panels(len(regions), evidence, height=2.6)
    for axis, (region, (teacher, network)) in zip(axes, regions.items(), strict=False):
        axis.axhline(0.0, color="#BBBBBB", lw=0.8)
        for series, (colour, line, width), label in (
            (teacher, (BLACK, "-", 2.0), "teacher"),
            (network, METHOD_STYLES["network"], "network"),
        ):
            values = np.asarray(series) - np.mean(series)
            axis.plot(years, values, color=colour, ls=line, lw=width, label=label)
        axis.set_title(region, loc="left", fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0].legend(fontsize=8, frameon=False)
    figure.supylabel("Anomaly (PgC yr$^{-1}$)", fontsize=9)
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    return figure


def seasonal_cycle(
    cycles: Mapping[str, tuple[Array, Array]], *, title: str, evidence: str
) -> Figure:
    """Draw mean seasonal cycles.

    Args:
        cycles: By region, January to December of the teacher and of the network, as
            a rate in PgC yr-1; shape (12,) each.
        title: Title.
        evidence: What stands behind the numbers.
    """
    figure, axes = panels(len(cycles), evidence, height=2.6)
    months = np.arange(1, 13)
    for axis, (region, (teacher, network)) in zip(axes, cycles.items(), strict=False):
        axis.axhline(0.0, color="#BBBBBB", lw=0.8)
        axis.plot(months, teacher, color=BLACK, lw=2.4, label="teacher")
        colour, line, width = METHOD_STYLES["network"]
        axis.plot(months, network, color=colour, ls=line, lw=width, label="network")
        axis.set_title(region, loc="left", fontsize=9)
        axis.set_xticks(months, list("JFMAMJJASOND"))
    axes[0].legend(fontsize=8, frameon=False)
    figure.supylabel("Sink (PgC yr$^{-1}$)", fontsize=9)
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    return figure


def effects(
    panels_of: Mapping[str, tuple[Sequence[int], Array, Array]],
    *,
    title: str,
    evidence: str,
) -> Figure:
    """Draw annual and cumulated effects of CO2 or climate.

    Args:
        panels_of: By effect, years and annual effects of teacher and network, PgC
            yr-1; shape (year,) each.
        title: Title.
        evidence: What stands behind the numbers.
    """
    figure, axes = panels(2 * len(panels_of), evidence, height=2.6, across=2)
    colour, line, width = METHOD_STYLES["network"]
    for row, (effect, (years, *both)) in enumerate(panels_of.items()):
        for column, unit in enumerate(("PgC yr$^{-1}$", "PgC, cumulated")):
            axis = axes[2 * row + column]
            shown = [np.cumsum(series) if column else series for series in both]
            teacher, network = shown
            axis.axhline(0.0, color="#BBBBBB", lw=0.8)
            axis.plot(years, teacher, color=BLACK, lw=2.4, label="teacher")
            axis.plot(years, network, color=colour, ls=line, lw=width, label="network")
            axis.set_title(effect, loc="left", fontsize=9)
            axis.set_ylabel(unit, fontsize=8)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0].legend(fontsize=8, frameon=False)
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    return figure


def intervals(
    scores: Mapping[str, Mapping[str, Any]],
    trees: Mapping[str, Mapping[str, Any]],
    level: float,
    *,
    title: str,
    evidence: str,
) -> Figure:
    """Draw whether intervals hold what they say.

    Left how many truths intervals of any level hold; in the middle how many those of
    this level hold, with what so few years allow; right the same by year after the last
    label.

    Args:
        scores: By "support/period", as ``judged.judge`` returns them.
        trees: The same of quantiles of boosted trees, for some of them.
        level: Of the interval.
        title: Title.
        evidence: What stands behind the numbers.
    """
    figure, (reliability, tested, by_lead) = panels(3, evidence, height=3.8)
    reliability.plot([0, 1], [0, 1], color="#BBBBBB", lw=0.8)
    for key, each in scores.items():
        support, period = key.split("/")
        colour, (line, marker) = SUPPORT_COLOURS[support], PERIOD_LINES[period]
        style: dict[str, Any] = {"color": colour, "ls": line, "marker": marker}
        style |= {"ms": 3.5, "lw": 1.4}
        levels = [float(other) for other in each["reliability"]]
        shares = list(each["reliability"].values())
        reliability.plot(levels, shares, label=f"{support}, {period}", **style)
        leads = [int(lead) for lead in each["by_lead"]]
        held = [found["coverage"] for found in each["by_lead"].values()]
        by_lead.plot(leads, held, **style)
    reliability.set_xlabel("Level", fontsize=8)
    reliability.set_title("Truths inside", loc="left", fontsize=9)
    reliability.legend(fontsize=7, frameon=False)

    names = []
    everyone = [(key, each, "") for key, each in scores.items()]
    everyone += [(key, each, "\nLightGBM") for key, each in trees.items()]
    for place, (key, each, who) in enumerate(everyone):
        support, period = key.split("/")
        found = each["coverage"]
        ends = [[found["found"] - found["low"]], [found["high"] - found["found"]]]
        tested.errorbar(
            [found["found"]],
            [place],
            xerr=np.maximum(ends, 0.0),
            fmt=PERIOD_LINES[period][1],
            color=METHOD_STYLES["lightgbm"][0] if who else SUPPORT_COLOURS[support],
        )
        names.append(f"{support}, {period}{who}")
    tested.set_yticks(range(len(names)), names)
    tested.invert_yaxis()
    tested.axvline(level, color="#BBBBBB", lw=0.8, zorder=0)
    tested.set_xlim(0, 1.02)
    tested.set_xlabel("95 % interval, exact binomial", fontsize=8)
    tested.set_title(f"Inside the {level:.0%} interval", loc="left", fontsize=9)

    by_lead.axhline(level, color="#BBBBBB", lw=0.8, zorder=0)
    by_lead.set_ylim(0, 1.04)
    by_lead.xaxis.set_major_locator(MaxNLocator(integer=True))
    by_lead.set_xlabel("Years after the last label", fontsize=8)
    by_lead.set_title(f"Inside the {level:.0%} interval", loc="left", fontsize=9)
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure under its name only when it is whole; return its path.

    Args:
        figure: The figure.
        path: Its ending is the format: .png, or .pdf with letters as letters.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = path.suffix.removeprefix(".")
    # Journals want fonts that can be edited, and the same figure is the same file.
    with rc_context({"pdf.fonttype": 42}), written_whole(path) as part:
        figure.savefig(
            part,
            dpi=130,
            format=kind,
            metadata={"CreationDate": None} if kind == "pdf" else None,
        )
    return path


def panels(
    count: int,
    evidence: str,
    *,
    height: float,
    across: int = 3,
    widths: Sequence[float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with its evidence below, and one axis for each panel.

    Args:
        count: Number of panels.
        evidence: What stands behind the numbers.
        height: Of a row of panels, inches.
        across: Panels in a row.
        widths: Relative width of each column; None = all alike.
    """
    columns = min(count, across)
    rows = -(-count // columns)
    # Without pyplot no window system is touched, and nothing is left open.
    figure = Figure(
        figsize=(8.0 if count == 1 else 9.0, height * rows + 0.4),
        layout=ConstrainedLayoutEngine(rect=(0.0, 0.045, 1.0, 0.955)),
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, width_ratios=widths)
    axes = list(grid.ravel())
    for axis in axes[count:]:
        axis.set_axis_off()
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.text(0.01, 0.01, f"Evidence: {evidence}", fontsize=8, color="#444444")
    return figure, axes[:count]
