"""One picture of a sink map: where the carbon goes, and how much in each year."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from emulator.carbon.grid import Grid
from emulator.carbon.units import SECONDS_PER_YEAR
from emulator.evaluation import figures
from emulator.nightly.budget import FRACTIONS, SINKS

GRAMS_PER_KILOGRAM = 1000.0
MAP_QUANTILE = 0.98
"""Cells beyond this quantile of the magnitude share the last colour: single cells that
jump must not wash out the map."""

STYLES = {"nbp": ("land", "#009E73", "-"), "fgco2": ("ocean", "#0072B2", "--")}
"""Name, colour (Okabe and Ito 2008) and line of each domain."""


def draw(sink_map: xr.Dataset) -> Figure:
    """Draw the mean sink of the last whole year, and the totals of all years.

    Args:
        sink_map: What `emulator.nightly.sinkmap.assemble` returned.
    """
    evidence = str(sink_map.attrs.get("evidence", "not stated"))
    figure, axes = figures.panels(2, evidence, height=3.6, across=2, widths=(1.55, 1))
    _draw_map(axes[0], figure, sink_map)
    _draw_years(axes[1], sink_map)
    return figure


def last_year(sink_map: xr.Dataset) -> tuple[int, NDArray[np.float64]]:
    """Return the last calendar year of twelve months, and its mean sink.

    The months are those in which every domain of the map has a flux; without such a
    year, the last year is taken.

    Returns:
        The year, and the uptake in g of carbon per m2 of the whole cell and year,
        months weighted by length; NaN where neither domain has a flux; (lat, lon).
    """
    months = sink_map.indexes["time"]
    fluxes = [flux for flux in SINKS.values() if f"{flux}_mean" in sink_map]
    known_months = np.logical_and.reduce(
        [sink_map[f"{flux}_mean"].notnull().any(("lat", "lon")) for flux in fluxes]
    )
    counts = months.year[known_months].value_counts()
    year = int(max(counts.index[counts == 12], default=months[-1].year))
    inside = np.flatnonzero(months.year == year)
    days = months[inside].days_in_month.to_numpy(dtype=float)
    total = np.zeros((sink_map.sizes["lat"], sink_map.sizes["lon"]))
    known = np.zeros(total.shape, bool)
    for domain, fraction in FRACTIONS.items():
        flux = SINKS[domain]
        if flux not in fluxes:
            continue
        values = sink_map[f"{flux}_mean"].isel(time=inside).to_numpy()
        mean = np.average(values.astype(float), axis=0, weights=days)
        there = np.isfinite(mean)
        share = sink_map[fraction].to_numpy()
        total[there] += (mean * share)[there]
        known |= there
    total[~known] = np.nan
    return year, total * SECONDS_PER_YEAR * GRAMS_PER_KILOGRAM


def _draw_map(axis: Axes, figure: Figure, sink_map: xr.Dataset) -> None:
    year, sink = last_year(sink_map)
    grid = Grid(sink_map["lat"].to_numpy(), sink_map["lon"].to_numpy())
    lat_edges, lon_edges = grid.edges()
    limit = float(np.nanquantile(np.abs(sink), MAP_QUANTILE)) or 1.0
    drawn = axis.pcolormesh(
        lon_edges,
        lat_edges,
        np.ma.masked_invalid(sink),
        cmap="PuOr",
        vmin=-limit,
        vmax=limit,
    )
    axis.set_facecolor("#E8E8E8")
    axis.set_aspect("equal")
    axis.set_title(f"Net uptake in {year}, mean of all teachers", loc="left", size=10)
    axis.set_xlabel("Longitude (degrees east)", size=8)
    axis.set_ylabel("Latitude (degrees north)", size=8)
    bar = figure.colorbar(
        drawn, ax=axis, orientation="horizontal", shrink=0.7, extend="both"
    )
    bar.set_label("g C m$^{-2}$ yr$^{-1}$ (sink positive)", size=8)
    bar.ax.tick_params(labelsize=8)


def _draw_years(axis: Axes, sink_map: xr.Dataset) -> None:
    globe = sink_map["budget_year"].sel(region="globe")
    spread = sink_map["budget_year_teacher_std"].sel(region="globe")
    years = globe["year"].to_numpy()
    for flux in globe["flux"].to_numpy():
        name, colour, line = STYLES[str(flux)]
        mean = globe.sel(flux=flux).to_numpy()
        deviation = np.nan_to_num(spread.sel(flux=flux).to_numpy())
        axis.fill_between(
            years, mean - deviation, mean + deviation, color=colour, alpha=0.2, lw=0
        )
        axis.plot(years, mean, color=colour, ls=line, lw=1.8, label=name)
    axis.axhline(0, color="#999999", lw=0.8)
    axis.set_title("Annual totals, ± sd between teachers", loc="left", size=10)
    axis.set_ylabel("Sink (PgC yr$^{-1}$)", size=8)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.legend(fontsize=8, frameon=False)
