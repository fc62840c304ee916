"""A month that is not over: completed by climatology and persistence, and otherwise.

The days that were not seen take the climatology of the cell plus a part of the anomaly
of the days that were seen: the part that, over the years, lasted from one month to the
next. With a the anomaly of the days seen, w their share of the month and r the
correlation of the anomalies of successive months, the month is

    climatology + a (w + (1 - w) r),

so that one day says little and a whole month everything. How else the month could have
gone on, analogue years tell: what they brought that persistence did not foresee.

Source:
    Damped persistence: Lorenz (1973), Journal of Applied Meteorology 12; normals of 30
    years: WMO-No. 1203 (2017); analogues: Lorenz (1969), Journal of the Atmospheric
    Sciences 26.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import SourceError
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, as_months
from emulator.data.forcing_archive import STATUS
from emulator.data.inputs import NORMAL

Floats = NDArray[np.floating]

LEAST_YEARS = 3
"""Years without which neither a climatology nor a correlation means anything."""


@dataclass(frozen=True, eq=False)
class Climate:
    """What the months before a month say of it, cell by cell.

    Attributes:
        month: The month, datetime64[M].
        normal: Mean of the month before, the same and the month after, as the calendar
            has them; shape (3, lat, lon).
        persistence: Correlation of the anomalies of successive months, 0 to 1; shape
            (lat, lon).
        lowest: Smallest value ever seen; shape (lat, lon).
        highest: Largest value ever seen; shape (lat, lon).
        innovations: What each year's same month brought beyond persistence of the
            month before it; shape (year, lat, lon).
        before: Anomaly of the month before, in each year; shape (year, lat, lon).
        latest: Anomaly of the last month before ``month``; shape (lat, lon).
    """

    month: np.datetime64
    normal: Floats
    persistence: Floats
    lowest: Floats
    highest: Floats
    innovations: Floats
    before: Floats
    latest: Floats

    @classmethod
    def of(cls, past: Floats, month: np.datetime64) -> "Climate":
        """Learn the climate of a variable from the months before one.

        Args:
            past: The variable in the months up to the one before ``month``; of more
                than 30 years the last 30 count; shape (time, lat, lon).
            month: The month.

        Raises:
            SourceError: If there are fewer than ``LEAST_YEARS`` years.
        """
        years = min(past.shape[0], NORMAL) // MONTHS_PER_YEAR
        if years < LEAST_YEARS:
            raise SourceError(
                f"{month} is not over, and only {past.shape[0]} months are known "
                f"before it: completing it needs {LEAST_YEARS} years. Begin the "
                f"archive with a store of more years."
            )
        used = past[-years * MONTHS_PER_YEAR :].astype(np.float32)
        # Rows are years that end with the month before; the month itself comes first.
        cycle = used.reshape(years, MONTHS_PER_YEAR, *used.shape[1:])
        normal = cycle.mean(axis=0)
        anomaly = used - np.tile(normal, (years, 1, 1))
        persistence = _lagged_correlation(anomaly)
        # The same month of last year is the first row of the last year.
        before, same = anomaly[11:-1:12], anomaly[12::12]
        return cls(
            month=month,
            normal=np.stack([normal[-1], normal[0], normal[1]]),
            persistence=persistence,
            lowest=used.min(axis=0),
            highest=used.max(axis=0),
            innovations=same - persistence * before,
            before=before,
            latest=anomaly[-1],
        )


def complete(seen: Floats, days: NDArray[np.integer], climate: Climate) -> Floats:
    """Return the mean of a month of which only some days were seen.

    Args:
        seen: Mean of the days seen; shape (lat, lon).
        days: Which days of the month were seen, from 1; shape (day,).
        climate: Of this variable and month.

    Returns:
        The month, never beyond what was ever seen in the cell; float32, (lat, lon).
    """
    length = length_of(climate.month)
    share = days.size / length
    usual = _daily_normal(climate, length)[days - 1].mean(axis=0)
    kept = share + (1 - share) * climate.persistence
    whole = climate.normal[1] + (seen - usual) * kept
    lowest, highest = np.fmin(climate.lowest, seen), np.fmax(climate.highest, seen)
    return np.asarray(np.clip(whole, lowest, highest), np.float32)


def alternatives(
    forcing: xr.Dataset,
    month: np.datetime64,
    count: int = 8,
    *,
    since: np.datetime64 | None = None,
) -> Iterator[xr.Dataset]:
    """Tell how a partial month could also have gone on.

    The days not seen bring what the same month brought in a year that began alike, all
    variables and cells together. An anomaly of the month is made smaller by the square
    root of the share not seen, as the mean of independent days would be: rather too
    much than too little where days hang together.

    Args:
        forcing: As ``forcing_archive.read`` returns it, with the years before.
        month: The partial month.
        count: How many; at most as many as there are years before.
        since: First month to return; all when None.

    Yields:
        The months from ``since`` on with other numbers in ``month``; most alike first.

    Raises:
        SourceError: If too few years are known before the month.
        ValueError: If the month is not partial.
    """
    months = as_months(forcing["time"].to_numpy())
    place = int(np.searchsorted(months, month))
    state = forcing.isel(time=place)
    if months[place] != month or int(state["status"]) != STATUS["partial"]:
        raise ValueError(f"{month} is no partial month of this forcing.")
    names = [str(name) for name, field in forcing.items() if field.ndim == 3]
    climates = {name: climate_of(forcing[name], month) for name in names}
    chosen = analogues(climates.values(), forcing["lat"].to_numpy())[:count]
    unseen = 1 - float(state["days_seen"]) / length_of(month)
    window = forcing if since is None else forcing.isel(time=months >= since)
    window = window.load()
    own = as_months(window["time"].to_numpy()) == month
    for year in chosen:
        other = window.copy()
        for name, climate in climates.items():
            values = window[name].to_numpy().copy()
            changed = values[own] + np.sqrt(unseen) * climate.innovations[year]
            values[own] = np.clip(
                changed,
                np.fmin(climate.lowest, values[own]),
                np.fmax(climate.highest, values[own]),
            )
            other[name] = other[name].copy(data=values)
        yield other


def climate_of(field: xr.DataArray, month: np.datetime64) -> Climate:
    """Return the climate of a variable of an archive before a month.

    Args:
        field: Dims (time, lat, lon), read lazily: only 30 years are loaded.
        month: The month.

    Raises:
        SourceError: If too few years are known before the month.
    """
    months = as_months(field["time"].to_numpy())
    end = int((month - months[0]).astype(np.int64))
    past = field.isel(time=slice(max(0, end - NORMAL), end)).to_numpy()
    return Climate.of(past, month)


def analogues(
    climates: Iterable[Climate], lat: NDArray[np.floating]
) -> NDArray[np.intp]:
    """Return years by how alike the month before was, most alike first.

    Args:
        climates: Of every variable.
        lat: Latitudes, degrees north; shape (lat,).

    Returns:
        Places along the ``year`` of ``Climate.innovations``; shape (year,).
    """
    area = np.cos(np.deg2rad(lat))[:, None]
    distance: float | Floats = 0.0
    for climate in climates:
        spread = climate.before.std(axis=0)
        there = np.isfinite(spread) & (spread > 0)
        weight = np.where(there, area, 0.0)
        scaled = (climate.before - climate.latest) / np.where(there, spread, 1.0)
        square = np.where(there, scaled, 0.0) ** 2
        distance = distance + (square * weight).sum(axis=(1, 2)) / weight.sum()
    return np.argsort(distance, kind="stable")


def _lagged_correlation(anomaly: Floats) -> Floats:
    """Return the correlation of each month with the one before, 0 to 1."""
    together = (anomaly[1:] * anomaly[:-1]).mean(axis=0)
    power = (anomaly**2).mean(axis=0)
    constant = power == 0
    return np.asarray(np.clip(together / np.where(constant, 1.0, power), 0.0, 1.0))


def _daily_normal(climate: Climate, length: int) -> Floats:
    """Return the climatology of each day; its mean is that of the month.

    Days lie on lines between the middles of months, moved so that the month keeps its
    mean; shape (day, lat, lon).
    """
    before, same, after = climate.normal
    place = (np.arange(length) + 0.5) / length - 0.5
    away = np.where(place[:, None, None] < 0, before - same, after - same)
    lines = same + np.abs(place)[:, None, None] * away
    return np.asarray(lines - lines.mean(axis=0) + same)


def length_of(month: np.datetime64) -> int:
    """Return the days of a month."""
    return int(((month + 1).astype("M8[D]") - month.astype("M8[D]")).astype(np.int64))
