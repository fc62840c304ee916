"""Totals of regions as a page shows them: lists of numbers, absent ones left out."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.timeaxis import as_months

PERIODS = {"month": "time", "12month": "time", "year": "year"}
"""Length of a total as the variable's name has it, and the dimension of its steps."""

INTERVALS = ("emulation", "sink")

DECIMALS = 6
"""Of totals in the page's data, PgC yr-1; fewer would be rounded twice when shown."""

SHOWN = 3
"""Decimals of totals in tables, PgC yr-1: 1 TgC, far below any interval."""

_NOTHING = 1e-9
"""A region whose totals never reach this, PgC yr-1, holds no cell of the domain."""

NO_VALUE = "\N{EN DASH}"

Series = dict[str, Any]


def totals(sink_map: xr.Dataset) -> dict[str, Series]:
    """Return every total of a map.

    Returns:
        By period ``{"steps": [...], flux: {region: {"mean": [...], "spread": [...],
        "emulation": [[...], [...]], "sink": [[...], [...]]}}}``, PgC yr-1, None
        where missing; steps are years, or months as YYYY-MM. ``spread`` is the
        standard deviation between teachers. What a map has not got is left out.
    """
    found = {}
    for period, dim in PERIODS.items():
        name = f"budget_{period}"
        if name not in sink_map:
            continue
        series: Series = {"steps": steps(sink_map, dim)}
        for flux in labels(sink_map, "flux"):
            series[flux] = {
                region: _one(sink_map, name, flux, region)
                for region in regions(sink_map)
            }
        found[period] = series
    return found


def regions(sink_map: xr.Dataset) -> list[str]:
    """Return the regions that hold anything, the globe first."""
    totals = sink_map["budget_month"].transpose("region", ...).to_numpy()
    size = np.nanmax(np.abs(totals.reshape(len(totals), -1)), axis=1, initial=0.0)
    names = labels(sink_map, "region")
    return [n for n, s in zip(names, size, strict=True) if n == "globe" or s > _NOTHING]


def labels(sink_map: xr.Dataset, dim: str) -> list[str]:
    """Return the names along a dimension of text."""
    return [str(name) for name in sink_map[dim].to_numpy()]


def steps(sink_map: xr.Dataset, dim: str) -> list[int] | list[str]:
    """Return the years, or the months as YYYY-MM."""
    if dim == "year":
        return [int(year) for year in sink_map["year"].to_numpy()]
    return [str(month) for month in as_months(sink_map["time"].to_numpy())]


def numbers(values: NDArray[Any], decimals: int = DECIMALS) -> list[float | None]:
    """Return rounded numbers, None where a value is missing."""
    known = np.isfinite(values)
    rounded = 0.0 + np.round(np.where(known, values, 0.0).astype(float), decimals)
    return [float(v) if k else None for v, k in zip(rounded, known, strict=True)]


def shown(value: float | None, decimals: int = SHOWN) -> str:
    """Return a number as the page writes it."""
    if value is None or not np.isfinite(value):
        return NO_VALUE
    # 0.0 + turns a negative zero, which would be shown as -0, into 0.
    text = f"{0.0 + round(float(value), decimals):.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _one(sink_map: xr.Dataset, name: str, flux: str, region: str) -> Series:
    chosen = {"flux": flux, "region": region}

    def values(variable: str, **more: str) -> NDArray[Any]:
        found: NDArray[Any] = sink_map[variable].sel({**chosen, **more}).to_numpy()
        return found

    one: Series = {"mean": numbers(values(name))}
    spread = f"{name}_teacher_std"
    if spread in sink_map and np.isfinite(values(spread)).any():
        one["spread"] = numbers(values(spread))
    for kind in INTERVALS:
        interval = f"{name}_interval_{kind}"
        if interval not in sink_map or not np.isfinite(values(interval)).any():
            continue
        one[kind] = [numbers(values(interval, bound=b)) for b in ("lower", "upper")]
    return one
