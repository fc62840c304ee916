"""Totals over areas and years, and the global carbon budget.

A sink is positive. Two totals are kept apart: a *rate* in PgC yr-1 belongs to a month
and uses the mean Gregorian year; the total of a *year*, PgC, weighs each month by its
true length, so that leap years and the 28 days of February count.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.timeaxis import (
    MONTHS_PER_YEAR,
    as_months,
    month_of,
    seconds_per_month,
    years_of,
)
from emulator.carbon.units import KG_PER_PETAGRAM, PGC_PER_PPM, SECONDS_PER_YEAR

Array = NDArray[np.float64]


def area_rate(flux: NDArray[Any], area: NDArray[Any]) -> Array:
    """Sum a flux density over cells.

    Args:
        flux: Flux density of carbon, kg m-2 s-1; shape (..., lat, lon) or (..., cell).
            Where ``area`` is 0 it may be NaN: nothing is added from there.
        area: Cell area times the fraction covered by the process (and by a region),
            m2; shape (lat, lon) or (cell,).

    Returns:
        The total rate, kg s-1, in float64; shape (...).

    Raises:
        ValueError: If the shapes do not fit, or a NaN lies where there is area, since
            it would turn a global sink into nothing.
    """
    if area.ndim == 0 or flux.shape[flux.ndim - area.ndim :] != area.shape:
        raise ValueError(
            f"The flux has shape {flux.shape}, the area {area.shape}: the last "
            f"dimensions must be the same. Put the cells last."
        )
    cells = flux.reshape(*flux.shape[: flux.ndim - area.ndim], area.size)
    weight = area.ravel().astype(np.float64)
    inside = cells[..., weight != 0]
    missing = int(np.isnan(inside).sum())
    if missing:
        raise ValueError(
            f"{missing} of {inside.size} values are NaN where the area is not 0; "
            f"set the area of cells outside the domain to 0, or their flux."
        )
    # einsum casts in buffers: a float32 cube is not copied into a float64 one.
    rate: Array = np.einsum("...c,c->...", inside, weight[weight != 0], dtype="f8")
    return np.asarray(rate)


def area_total(flux: NDArray[Any], area: NDArray[Any]) -> Array:
    """Return the total over cells as a rate in PgC yr-1 (mean Gregorian year).

    Arguments and errors are those of ``area_rate``.

    Source:
        Unit conventions of Friedlingstein et al. (2025), ESSD 17, table 1.
    """
    return area_rate(flux, area) * SECONDS_PER_YEAR / KG_PER_PETAGRAM


def region_totals(
    flux: NDArray[Any], area: NDArray[Any], weights: NDArray[Any]
) -> Array:
    """Return the total rate of every region, PgC yr-1.

    Args:
        flux: Flux density of carbon, kg m-2 s-1; shape (..., lat, lon) or (..., cell).
        area: Area of the process in each cell, m2; shape (lat, lon) or (cell,).
        weights: Share of each cell in each region; shape (region, lat, lon) or
            (region, cell).

    Returns:
        Rates, PgC yr-1, in float64; shape (..., region).

    Raises:
        ValueError: See ``area_rate``.
    """
    return np.stack([area_total(flux, area * share) for share in weights], axis=-1)


def annual_total(
    rate: NDArray[Any], months: NDArray[Any], calendar: str = "standard"
) -> tuple[NDArray[np.int64], Array]:
    """Return the total of each complete year.

    Args:
        rate: Rate of each month, kg s-1, as ``area_rate`` returns it; shape
            (time, ...).
        months: The months, datetime64; shape (time,).
        calendar: CF calendar whose month lengths count. Scores and maps use
            ``standard`` for every teacher; a comparison with published numbers uses
            the calendar of the file.

    Returns:
        Years with all twelve months, shape (year,), and totals, PgC, in float64;
        shape (year, ...).

    Raises:
        ValueError: If ``rate`` and ``months`` differ in length, or a month is twice.
    """
    years, total, _ = _sum_years(rate, months, calendar)
    return years, total / KG_PER_PETAGRAM


def annual_mean(
    values: NDArray[Any], months: NDArray[Any], calendar: str = "standard"
) -> tuple[NDArray[np.int64], Array]:
    """Return the mean of each complete year, months weighted by their length.

    Args:
        values: Value of each month, any unit; shape (time, ...).
        months: The months, datetime64; shape (time,).
        calendar: CF calendar whose month lengths count.

    Returns:
        Years with all twelve months, shape (year,), and means in the unit of
        ``values``, float64; shape (year, ...).

    Raises:
        ValueError: See ``annual_total``.
    """
    years, total, seconds = _sum_years(values, months, calendar)
    return years, total / seconds.reshape(-1, *[1] * (total.ndim - 1))


def running_total(rate: NDArray[Any], months: NDArray[Any]) -> Array:
    """Return the total of the twelve months that end with each month.

    Each month counts with its true length, so that the total of a December is that of
    its calendar year.

    Args:
        rate: Rate of each month, PgC yr-1 (mean Gregorian year), as ``area_total``
            returns it; shape (time, ...).
        months: The months, increasing, datetime64; shape (time,).

    Returns:
        Totals, PgC, in float64; NaN where one of the twelve months is missing or NaN;
        shape (time, ...).

    Raises:
        ValueError: If ``rate`` and ``months`` differ in length, or the months do not
            increase.
    """
    exact = as_months(months).astype(np.int64)
    if rate.shape[:1] != months.shape or (np.diff(exact) < 1).any():
        raise ValueError(
            f"There are {months.size} months, and values of shape {rate.shape}: time "
            f"must be the first dimension of both, and increase."
        )
    seconds = seconds_per_month(months).reshape(-1, *[1] * (rate.ndim - 1))
    carbon = rate * seconds / SECONDS_PER_YEAR
    total = np.full(rate.shape, np.nan)
    for end in range(MONTHS_PER_YEAR - 1, months.size):
        first = end - MONTHS_PER_YEAR + 1
        if exact[end] - exact[first] == MONTHS_PER_YEAR - 1:
            total[end] = carbon[first : end + 1].sum(axis=0)
    return total


def growth_to_pgc(growth: NDArray[Any]) -> Array:
    """Convert growth of atmospheric CO2, ppm yr-1, into carbon, PgC yr-1.

    Source:
        2.124 PgC per ppm (Ballantyne et al. 2012).
    """
    return np.asarray(growth, np.float64) * PGC_PER_PPM


def pgc_to_growth(carbon: NDArray[Any]) -> Array:
    """Convert carbon that stays in the air, PgC yr-1, into growth, ppm yr-1."""
    return np.asarray(carbon, np.float64) / PGC_PER_PPM


def budget_imbalance(
    *,
    e_fos: NDArray[Any],
    e_luc: NDArray[Any],
    g_atm: NDArray[Any],
    s_ocean: NDArray[Any],
    s_land: NDArray[Any],
    cement: NDArray[Any],
) -> Array:
    """Return what the terms of the budget leave unexplained, PgC yr-1.

    Args:
        e_fos: Fossil emissions *without* cement carbonation, PgC yr-1; shape (year,).
        e_luc: Emissions from land-use change, PgC yr-1; shape (year,).
        g_atm: Growth of the atmosphere, PgC yr-1; shape (year,).
        s_ocean: Ocean sink, PgC yr-1; shape (year,).
        s_land: Land sink, PgC yr-1; shape (year,).
        cement: Sink by cement carbonation, PgC yr-1; shape (year,).

    Source:
        B_IM = E_FOS + E_LUC - G_ATM - S_OCEAN - S_LAND - cement, Friedlingstein et
        al. (2025), ESSD 17, equation 1.
    """
    residual = residual_sink(
        e_fos=e_fos, e_luc=e_luc, g_atm=g_atm, s_ocean=s_ocean, cement=cement
    )
    return residual - np.asarray(s_land, np.float64)


def residual_sink(
    *,
    e_fos: NDArray[Any],
    e_luc: NDArray[Any],
    g_atm: NDArray[Any],
    s_ocean: NDArray[Any],
    cement: NDArray[Any],
) -> Array:
    """Return the land sink that would close the budget, PgC yr-1.

    Arguments are those of ``budget_imbalance``.
    """
    emitted = np.asarray(e_fos, np.float64) + np.asarray(e_luc, np.float64)
    return np.asarray(
        emitted - np.asarray(g_atm) - np.asarray(s_ocean) - np.asarray(cement)
    )


def quadrature(*sigmas: NDArray[Any] | float) -> Array:
    """Return the sigma of a sum of independent terms; same unit and shape."""
    squares = [np.asarray(sigma, np.float64) ** 2 for sigma in sigmas]
    return np.asarray(np.sqrt(np.sum(np.broadcast_arrays(*squares), axis=0)))


def mean_adjustment(
    teacher: NDArray[Any],
    target: NDArray[Any],
    years: NDArray[Any],
    window: tuple[int, int],
) -> Array:
    """Return the offset that moves a teacher's mean over a window to the target's.

    Args:
        teacher: Annual totals, PgC; shape (..., year).
        target: Annual totals to meet, PgC; shape (year,).
        years: The years of both; shape (year,).
        window: First and last year of the window, both included.

    Returns:
        Offset to add to each teacher, PgC yr-1; shape (...).

    Raises:
        ValueError: If the years do not cover the window, or a value in it is NaN,
            since the mean of other years is another adjustment.
    """
    first, last = window
    inside = (years >= first) & (years <= last)
    wanted = last - first + 1
    usable = inside & np.isfinite(target)
    usable &= np.isfinite(teacher).reshape(-1, years.size).all(axis=0)
    if wanted < 1 or int(usable.sum()) != wanted:
        raise ValueError(
            f"The window {first}-{last} needs {wanted} years of teacher and target, "
            f"found {int(usable.sum())}. Choose a window that both cover."
        )
    offset = np.mean(target[inside], dtype=np.float64)
    return np.asarray(offset - np.mean(teacher[..., inside], axis=-1, dtype=np.float64))


def _sum_years(
    values: NDArray[Any], months: NDArray[Any], calendar: str
) -> tuple[NDArray[np.int64], Array, Array]:
    """Return complete years, sum of value times seconds, and their seconds."""
    if values.shape[:1] != months.shape:
        raise ValueError(
            f"There are {months.size} months, but the values have shape "
            f"{values.shape}: time must be the first dimension of both."
        )
    slot = years_of(months) * 12 + month_of(months) - 1
    if np.unique(slot).size != slot.size:
        raise ValueError("A month occurs twice: the year would count it twice.")
    found, count = np.unique(slot // 12, return_counts=True)
    years = found[count == 12]
    seconds = seconds_per_month(months, calendar)
    total = np.empty((years.size, *values.shape[1:]))
    length = np.empty(years.size)
    for index, year in enumerate(years):
        inside = slot // 12 == year
        length[index] = seconds[inside].sum()
        total[index] = np.tensordot(
            seconds[inside], values[inside].astype(np.float64), axes=1
        )
    return years, total, length
