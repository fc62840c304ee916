"""Series of a map's totals: any twelve months, departures from a period, ranks.

Everything is computed from the totals that the map holds, not from its cells, so that
it costs nothing beside a prediction. A running total is the carbon of the twelve months
that end with a month; that of a December is the total of its year.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.budget import running_total
from emulator.carbon.errors import StoreError
from emulator.carbon.timeaxis import (
    MONTHS_PER_YEAR,
    as_months,
    month_of,
    years_of,
)
from emulator.evaluation.calibration import widen
from emulator.evaluation.metrics import anomalies, mean_cycle
from emulator.nightly.budget import BUDGET_UNITS, SINKS, spread

Array = NDArray[np.float64]

HALF_WIDTH = "budget_12month_half_width"
"""What the map says of the reach of running totals, PgC; (flux, region, time)."""

PERIODS = {"month": "time", "12month": "time", "year": "year"}
"""Totals of a map, and the dimension of each."""

SAID = {
    "month": "rate of the month",
    "12month": "total of the 12 months that end with this one",
    "year": "total of the complete year",
}
"""The same totals in words."""

LEVEL = 0.9
"""Of intervals whose attributes say no other."""


def running(sink_map: xr.Dataset) -> xr.Dataset:
    """Return running twelve-month totals, their spread and their intervals.

    Args:
        sink_map: A sink map with ``budget_month`` and ``<flux>_month`` of each teacher;
            for intervals also ``budget_12month_half_width``, and
            ``budget_month_completion_std`` where a month is not over.

    Returns:
        ``budget_12month(flux, region, time)`` and ``budget_12month_teacher_std``,
        PgC yr-1; where the map has half-widths, ``_interval_emulation`` and
        ``_interval_sink`` with ``bound`` first.

    Raises:
        StoreError: If the map has no totals of each teacher.
    """
    month = sink_map["budget_month"].transpose("flux", "region", "time")
    total = twelve_months(month)
    what = f"carbon taken up from the air, {SAID['12month']}"
    total.attrs = {"units": BUDGET_UNITS, "long_name": f"{what}, the ensemble mean"}
    teachers = xr.full_like(total, np.nan)
    for row, flux in enumerate(total["flux"].to_numpy()):
        each = twelve_months(teacher_months(sink_map, str(flux)))
        teachers[row] = spread(each.to_numpy())
    teachers.attrs = {
        "units": BUDGET_UNITS,
        "long_name": f"{what}, the teachers, sample standard deviation between them",
    }
    found = xr.Dataset(
        {"budget_12month": total, "budget_12month_teacher_std": teachers}
    )
    if HALF_WIDTH not in sink_map:
        return found
    half = sink_map[HALF_WIDTH].reindex_like(total).transpose(*total.dims)
    sink = widened(half, teachers.to_numpy(), _completion(sink_map, total))
    for name, width in (("emulation", half.to_numpy()), ("sink", sink)):
        ends = interval(total, width, name)
        ends.attrs |= {k: v for k, v in half.attrs.items() if k not in ends.attrs}
        found[f"budget_12month_interval_{name}"] = ends
    return found


def twelve_months(rate: xr.DataArray) -> xr.DataArray:
    """Return the running totals of monthly rates, PgC; same dims, ``time`` among them.

    Args:
        rate: PgC yr-1; its months increase.
    """
    first = rate.transpose("time", ...)
    months = as_months(first["time"].to_numpy())
    values = running_total(first.to_numpy(), months)
    return first.copy(data=values).transpose(*rate.dims)


def calendar_years(rate: xr.DataArray, years: NDArray[np.integer]) -> xr.DataArray:
    """Return the totals of calendar years, PgC; ``year`` in place of ``time``, last.

    Args:
        rate: PgC yr-1; (..., time).
        years: Which; NaN where one is not complete.
    """
    ends = twelve_months(rate)
    december = ends.isel(time=month_of(ends["time"].to_numpy()) == MONTHS_PER_YEAR)
    own = years_of(december["time"].to_numpy())
    december = december.assign_coords(year=("time", own))
    found = december.swap_dims(time="year").drop_vars("time")
    return found.reindex(year=years).transpose(..., "year")


def teacher_months(sink_map: xr.Dataset, flux: str) -> xr.DataArray:
    """Return the monthly rates of each teacher, PgC yr-1; (teacher, region, time).

    Raises:
        StoreError: If the map does not hold them.
    """
    name = f"{flux}_month"
    if name not in sink_map:
        raise StoreError(
            f"The map has no '{name}', the totals of each teacher, so that their means "
            f"cannot be told apart. Make the map again with this version."
        )
    domain = next(domain for domain, own in SINKS.items() if own == flux)
    return sink_map[name].transpose(f"{domain}_teacher", "region", "time")


def anomaly(values: xr.DataArray, reference: Sequence[int]) -> xr.DataArray:
    """Return departures from the mean over a reference period.

    A monthly rate departs from the mean of its calendar month, a total of a year or of
    twelve months from the mean of the period's calendar years.

    Args:
        values: Totals of a map; with ``year``, or with ``time`` (those of single months
            are told by their name, ``budget_month``).
        reference: First and last year, both included.

    Returns:
        The same unit and dims; NaN where the period is not complete.
    """
    by_year = "year" in values.dims
    dim = "year" if by_year else "time"
    years = values["year"].to_numpy() if by_year else years_of(values["time"].values)
    inside = (years >= reference[0]) & (years <= reference[1])
    wanted = reference[1] - reference[0] + 1
    period = values.isel({dim: inside})
    if by_year:
        mean = period.mean(dim, skipna=False)
        return values - mean.where(int(inside.sum()) == wanted)
    if not str(values.name).startswith("budget_month"):
        # Twelve months that end in a December are that year.
        ends = month_of(period["time"].to_numpy()) == MONTHS_PER_YEAR
        mean = period.isel(time=ends).mean(dim, skipna=False)
        return values - mean.where(int(ends.sum()) == wanted)
    first = values.transpose("time", ...)
    months = as_months(first["time"].to_numpy())
    cycle = np.full((MONTHS_PER_YEAR, *first.shape[1:]), np.nan)
    if int(inside.sum()) == MONTHS_PER_YEAR * wanted:
        cycle = mean_cycle(first.to_numpy()[inside], months[inside])
    departure = first.copy(data=anomalies(first.to_numpy(), months, cycle))
    return departure.transpose(*values.dims)


def rank(values: xr.DataArray, reference: Sequence[int]) -> xr.DataArray:
    """Return the place of each year among the years of a reference period.

    Args:
        values: Annual totals with ``year``.
        reference: First and last year, both included.

    Returns:
        1 for a year with a larger sink than all others of the period, ...; 0 where the
        year or the period is not complete; int16, same dims.
    """
    years = values["year"].to_numpy()
    inside = (years >= reference[0]) & (years <= reference[1])
    period = values.isel(year=inside).rename(year="other")
    larger = (period > values).sum("other")
    known = values.notnull() & period.notnull().all("other")
    known &= int(inside.sum()) == reference[1] - reference[0] + 1
    return (larger + 1).where(known, 0).astype(np.int16).transpose(*values.dims)


def departures(totals: xr.Dataset, references: Sequence[Sequence[int]]) -> xr.Dataset:
    """Return anomalies and ranks against each reference period.

    Args:
        totals: With ``budget_month``, ``budget_12month`` and ``budget_year``.
        references: [first year, last year] each; empty for all complete years.

    Returns:
        ``budget_<period>_anomaly(reference, flux, region, time or year)``, PgC yr-1,
        and ``budget_year_rank(reference, flux, region, year)``; nothing where the map
        has no complete year.
    """
    complete = totals["budget_year"].dropna("year", how="any")["year"].to_numpy()
    if not references:
        if not complete.size:
            return xr.Dataset()
        references = [[int(complete[0]), int(complete[-1])]]
    names = np.array([f"{first}-{last}" for first, last in references], dtype=object)
    axis = xr.Variable(
        "reference", names, {"long_name": "reference period, first and last year"}
    )
    found = xr.Dataset()
    for period, dim in PERIODS.items():
        values = totals[f"budget_{period}"].transpose("flux", "region", dim)
        each = [anomaly(values, reference) for reference in references]
        field = xr.concat(each, dim=axis, coords="minimal", compat="override")
        field.attrs = {
            "units": BUDGET_UNITS,
            "long_name": f"{values.attrs['long_name']}; departure from the mean of the "
            f"reference period",
            "comment": "NaN where the map does not hold the whole period.",
        }
        found[f"budget_{period}_anomaly"] = field
    values = totals["budget_year"].transpose("flux", "region", "year")
    ranks = [rank(values, reference) for reference in references]
    found["budget_year_rank"] = xr.concat(
        ranks, dim=axis, coords="minimal", compat="override"
    )
    found["budget_year_rank"].attrs = {
        "units": "1",
        "long_name": "place of the year's sink among those of the reference period",
        "comment": "1: larger than in all other years; 0: not ranked.",
    }
    return found


def interval(mean: xr.DataArray, half: Array, name: str) -> xr.DataArray:
    """Return the ends of an interval, ``bound`` first.

    Args:
        mean: Totals.
        half: Distance of either end; the same shape.
        name: "emulation" or "sink".
    """
    what = {
        "emulation": "interval of what the mean of teachers would be",
        "sink": "interval of the sink as far as teachers and emulator know it",
    }
    ends = np.stack([mean - half, mean + half])
    attrs = {
        "units": BUDGET_UNITS,
        "long_name": f"{mean.attrs['long_name']}; ends of the {what[name]}",
    }
    bound = xr.Variable(
        "bound",
        np.array(["lower", "upper"], dtype=object),
        {"long_name": "end of the interval"},
    )
    coords = {**mean.coords, "bound": bound}
    return xr.DataArray(ends, coords, ("bound", *mean.dims), attrs=attrs)


def widened(half: xr.DataArray, *sigmas: Array) -> Array:
    """Add independent normal errors to the half-widths of each flux, in quadrature.

    Args:
        half: (flux, ...); its attribute ``<flux>_level`` is the share that the interval
            holds.
        sigmas: Standard deviations, the same unit; shapes that broadcast.
    """
    rows = []
    for row, flux in enumerate(half["flux"].to_numpy()):
        level = float(half.attrs.get(f"{flux}_level", LEVEL))
        each = [np.broadcast_to(sigma, half.shape)[row] for sigma in sigmas]
        rows.append(widen(half[row].to_numpy(), *each, level=level))
    return np.stack(rows)


def _completion(sink_map: xr.Dataset, total: xr.DataArray) -> Array:
    """Return what months that are not over may change in running totals, PgC.

    Where there are several they are taken to err together.
    """
    name = "budget_month_completion_std"
    if name not in sink_map:
        return np.zeros(total.shape)
    rest = sink_map[name].transpose(*total.dims).fillna(0.0)
    found: Array = twelve_months(rest).fillna(0.0).to_numpy()
    return found
