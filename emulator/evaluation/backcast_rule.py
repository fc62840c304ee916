"""From the months that are known to the total of a year: the rule of completion.

A month that is not known yet is taken as its mean season and line, plus the last known
anomaly, which fades::

    rate(last + h) = normal(last + h) + damping^h x mean anomaly of the last w months

Normal, w and damping are fitted to the known labels only, each time anew. Without any
known forcing the same rule on the labels alone is *damped persistence*.

All series are rates of totals, of any unit, with time last: shape (..., time).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emulator.carbon.timeaxis import (
    MONTHS_PER_YEAR,
    Months,
    month_of,
    seconds_per_month,
    years_of,
)
from emulator.carbon.units import KG_PER_PETAGRAM

Array = npt.NDArray[np.floating]

WINDOWS = (1, 3, 6, 12)
"""Months over which the last anomaly is averaged: weather, a season, a year."""

DAMPINGS = np.arange(100) / 100.0
"""What an anomaly keeps from month to month; 0.99 leaves 89 % of it after a year."""


@dataclass(frozen=True, eq=False)
class Normal:
    """A mean season and a line in time.

    Attributes:
        season: Mean of January to December; shape (..., 12).
        slope: Change in a year; shape (...).
        middle: The year at which the season stands.
    """

    season: Array
    slope: Array
    middle: float

    def at(self, months: Months) -> Array:
        """Return the normal of some months; shape (..., time)."""
        since = years_of(months) - self.middle
        line = self.slope[..., None] * since
        return np.asarray(self.season[..., month_of(months) - 1] + line)


def fit_normal(
    rates: Array, months: Months, years: int, *, has_line: bool = True
) -> Normal:
    """Fit season and line to the last whole years of a series.

    Args:
        rates: Known, without NaN; shape (..., time).
        months: datetime64[M], whole years; shape (time,).
        years: Years to look back, at most.
        has_line: Whether there is a line; else the mean season alone.

    Raises:
        ValueError: If the months are no whole years.
    """
    found = years_of(months)
    if months.size % MONTHS_PER_YEAR or months.size == 0 or month_of(months)[0] != 1:
        raise ValueError(
            f"A normal needs whole years, got {months.size} months. Cut the series to "
            f"years from January to December."
        )
    chosen = found > found[-1] - years
    table = rates[..., chosen].reshape(*rates.shape[:-1], -1, MONTHS_PER_YEAR)
    numbers = np.unique(found[chosen]).astype(np.float64)
    middle = float(numbers.mean())
    slope = np.zeros(rates.shape[:-1])
    if has_line and numbers.size > 1:
        time = numbers - middle
        slope = (table.mean(axis=-1) * time).sum(axis=-1) / (time**2).sum()
    return Normal(table.mean(axis=-2), slope, middle)


@dataclass(frozen=True, eq=False)
class Fading:
    """How an anomaly fades, for each series.

    Attributes:
        window: Months that the last anomaly is averaged over; shape (...).
        damping: Share that is left after each month, 0 to 1; shape (...).
    """

    window: npt.NDArray[np.int64]
    damping: Array

    def ahead(self, anomalies: Array, leads: npt.NDArray[np.int64]) -> Array:
        """Return the anomalies of later months.

        Args:
            anomalies: Known ones up to the last, at least twelve; shape (..., time).
            leads: Months after the last; shape (month,).

        Returns:
            Shape (..., month).
        """
        last = np.empty(anomalies.shape[:-1])
        for window in WINDOWS:
            mean = anomalies[..., -window:].mean(axis=-1)
            last = np.where(self.window == window, mean, last)
        return np.asarray(last[..., None] * self.damping[..., None] ** leads)


def fit_fading(anomalies: Array, leads: npt.NDArray[np.int64]) -> Fading:
    """Choose window and damping for the sum over some leads.

    The sum of the anomalies at ``leads`` months after each month of the series is
    predicted from those up to the month; the least squared error decides.

    Args:
        anomalies: Known, without NaN; shape (..., time).
        leads: Months ahead that are to be completed, 1 or more; shape (month,).

    Returns:
        No persistence (damping 0) where the series is too short to tell.
    """
    longest, furthest = max(WINDOWS), int(leads.max())
    count = anomalies.shape[-1] - longest - furthest + 1
    shape = anomalies.shape[:-1]
    window = np.full(shape, longest, np.int64)
    damping = np.zeros(shape)
    if count < MONTHS_PER_YEAR:
        return Fading(window, damping)
    origin = np.arange(longest - 1, longest - 1 + count)
    ahead = sum(anomalies[..., origin + lead] for lead in leads)
    kept = (DAMPINGS[:, None] ** leads).sum(axis=1)
    least = (np.asarray(ahead) ** 2).sum(axis=-1)
    total = np.cumsum(anomalies, axis=-1)
    total = np.concatenate([np.zeros((*shape, 1)), total], axis=-1)
    for width in WINDOWS:
        mean = (total[..., origin + 1] - total[..., origin + 1 - width]) / width
        square, product = (mean**2).sum(axis=-1), (mean * ahead).sum(axis=-1)
        error = (
            (np.asarray(ahead) ** 2).sum(axis=-1)
            - 2 * kept.reshape(-1, *[1] * len(shape)) * product
            + kept.reshape(-1, *[1] * len(shape)) ** 2 * square
        )
        best = error.argmin(axis=0)
        found = np.take_along_axis(error, best[None], axis=0)[0]
        better = found < least
        window = np.where(better, width, window)
        damping = np.where(better, DAMPINGS[best], damping)
        least = np.where(better, found, least)
    return Fading(window, damping)


def complete(
    known: Array,
    months: Months,
    wanted: Months,
    normal: Normal,
    labels: Array,
    labelled: Months,
) -> Array:
    """Return the rates of wanted months: what is known, and the rule for the rest.

    Args:
        known: Rates up to the last known month, without NaN and without holes, twelve
            or more; shape (..., time).
        months: Their months, datetime64[M]; shape (time,).
        wanted: Months to return, datetime64[M]; shape (month,). None before the first
            known one.
        normal: Fitted to the known labels.
        labels: Known labels, without NaN, to which the fading is fitted; shape
            (..., label).
        labelled: Their months; shape (label,).

    Returns:
        Shape (..., month).

    Raises:
        ValueError: If a wanted month lies before the known ones, or these are too few.
    """
    place = (wanted - months[0]).astype(np.int64)
    if (place < 0).any() or months.size < max(WINDOWS):
        raise ValueError(
            f"{wanted[0]} to {wanted[-1]} cannot be completed from {months[0]} to "
            f"{months[-1]}: give the {max(WINDOWS)} months before the first wanted one."
        )
    later = place >= months.size
    rates = np.empty((*known.shape[:-1], wanted.size))
    rates[..., ~later] = known[..., place[~later]]
    if later.any():
        leads = place[later] - months.size + 1
        fading = fit_fading(labels - normal.at(labelled), leads)
        anomalies = fading.ahead(known - normal.at(months), leads)
        rates[..., later] = normal.at(wanted[later]) + anomalies
    return rates


def total(rates: Array, months: Months) -> Array:
    """Return the carbon of some months together, PgC; shape (...).

    Args:
        rates: kg s-1; shape (..., time).
        months: datetime64[M]; shape (time,).
    """
    weight = seconds_per_month(months) / KG_PER_PETAGRAM
    return np.asarray((rates * weight).sum(axis=-1))
