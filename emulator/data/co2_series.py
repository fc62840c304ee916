"""CO2 of the air month by month, beyond the end of the record where need be.

Months since the end of the record are later than the last one by the mean growth of
the last years: the growth of single years differs by 1 ppm and more with El Nino, so
that one year's would be a guess. Such values are flagged and replaced once the record
has them.
"""

from pathlib import Path

import numpy as np

from emulator.carbon.errors import UserError
from emulator.data.readers import co2_record
from emulator.data.readers.co2_record import Co2Record

GROWTH_MONTHS = 60
"""Months of the mean growth: an El Nino and a La Nina are in most spans of five years,
and the growth itself rises by 0.1 ppm a year in five (0.03 ppm of a month's error)."""

MOST_AHEAD = 24
"""Months beyond which a record is not extended: the error of the growth, some 0.5 ppm a
year, would be one of the size of half a year's growth."""


def of_month(record: Co2Record, month: np.datetime64) -> tuple[float, bool]:
    """Return CO2 without its season, and whether it lies beyond the record.

    Args:
        record: As ``read`` returns it.
        month: The month, datetime64[M].

    Returns:
        ppm, and whether it was extended.

    Raises:
        UserError: If the record begins later, ends too early, has no value for the
            month, or is too short for a growth.
    """
    known = record.months[np.isfinite(record.trend)]
    trend = record.trend[np.isfinite(record.trend)]
    place = int(np.searchsorted(known, month))
    if place < known.size and known[place] == month:
        return float(trend[place]), False
    if not known.size:
        raise UserError(f"{record.source} has no CO2 of any month. Get it again.")
    first, last = known[0], known[-1]
    ahead = int((month - last).astype(np.int64))
    before = np.flatnonzero(known == last - GROWTH_MONTHS)
    if ahead < 1 or ahead > MOST_AHEAD or not before.size:
        raise UserError(
            f"{record.source} has no CO2 of {month}: it holds {first} to {last}, and "
            f"is extended by up to {MOST_AHEAD} months if the month {GROWTH_MONTHS} "
            f"before its end is known. Get it again."
        )
    growth = (trend[-1] - trend[before[0]]) / GROWTH_MONTHS
    return float(trend[-1] + ahead * growth), True


def read(path: Path) -> Co2Record:
    """Read NOAA's monthly record, or its daily trend as means of whole months.

    Args:
        path: ``co2_mm_gl.csv``, ``co2_mm_mlo.csv``, or ``co2_trend_gl.csv`` or
            ``.txt``.

    Raises:
        UserError: If it is none of these.
        TimeAxisError: If its times do not increase.
    """
    if "trend" in path.name:
        return co2_record.read_daily(path)
    return co2_record.read(path)
