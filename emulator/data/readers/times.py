"""Months from the time axes of real files.

Half of the files in circulation have no axis that a library can decode. The
stored day is never trusted: a file gives months, and they are stamped again.
The order of the attempts follows what occurs in published archives.
"""

import re
from dataclasses import dataclass
from typing import Literal

import cftime
import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import TimeAxisError
from emulator.carbon.timeaxis import CALENDARS

Frequency = Literal["month", "year"]

_ELAPSED = re.compile(
    r"^\s*(day|hour|minute|second|hr|min|sec)s?\s+since\s+(.+)$", re.I
)
_MONTHS = re.compile(r"^\s*months?\s+since\s+(-?\d+)-(\d+)", re.I)
_YEARS = re.compile(r"^\s*years?\s+since\s+(?:AD\s*)?(-?\d+)(?:-(\d+))?", re.I)
_PATTERN = re.compile(r"^\s*(year|month|day)\s+as\s+(%Y\S*)", re.I)
_YEAR_RANGE = re.compile(r"(?<!\d)(\d{4})(?:\d{4})?[-_](\d{4})(?:\d{4})?(?!\d)")

# Numeric years outside this range are taken for an index, not for a year.
_FIRST_YEAR, _LAST_YEAR = 1600, 2200


@dataclass(frozen=True, eq=False)
class Axis:
    """The months of a file.

    Attributes:
        months: First of each month, or January of each year; datetime64[M].
        frequency: Whether a step is a month or a year.
        calendar: Calendar of the file: standard, noleap or 360_day.
    """

    months: NDArray[np.datetime64]
    frequency: Frequency
    calendar: str


def decode(
    values: NDArray[np.float64],
    units: str | None,
    calendar: str | None,
    *,
    source: str,
    years: tuple[int, int | None] | None = None,
) -> Axis:
    """Turn the numbers of a time axis into months.

    Args:
        values: The stored numbers; shape (time,).
        units: The unit attribute, whatever it says.
        calendar: The calendar, from the catalog or the file.
        source: Name of the file, for messages and for a range of years in it.
        years: Years which the catalog declares; they anchor an axis that says
            nothing itself.

    Returns:
        The axis, complete and increasing by one month or one year.

    Raises:
        TimeAxisError: If the axis cannot be understood, has gaps or repeats.
    """
    kind = _calendar(calendar, source)
    stamps = _decode_months(values, units or "", kind, source)
    if stamps is None:
        return Axis(*_anchor(values.size, source, years, units), kind)
    if not stamps.size:
        raise TimeAxisError(
            f"{source}: the time axis is empty, but months are needed. Get the file "
            f"again."
        )
    months, frequency = _restamp(stamps, values, source)
    return Axis(months, frequency, kind)


def _calendar(calendar: str | None, source: str) -> str:
    name = (calendar or "standard").lower()
    if name not in CALENDARS:
        raise TimeAxisError(
            f"{source}: the calendar is '{calendar}', but one of {sorted(CALENDARS)} "
            f"is needed. Declare 'calendar' in the catalog entry."
        )
    return CALENDARS[name]


def _decode_months(
    values: NDArray[np.float64], units: str, calendar: str, source: str
) -> NDArray[np.int64] | None:
    """Return months since 1970-01, or None if the axis says nothing."""
    if not np.isfinite(values).all():
        raise TimeAxisError(
            f"{source}: {int((~np.isfinite(values)).sum())} of {values.size} times "
            f"are missing, but all are needed. Get the file again."
        )
    if _ELAPSED.match(units):
        return _from_elapsed(values, units, calendar, source)
    if found := _MONTHS.match(units):
        origin = (int(found[1]) - 1970) * 12 + int(found[2]) - 1
        return origin + np.floor(values).astype(np.int64)
    if found := _YEARS.match(units):
        # A fraction of a year counts from the origin's month only if it has steps
        # shorter than a year; whole years stand for themselves.
        start = int(found[2]) - 1 if found[2] and _is_sub_annual(values) else 0
        return _from_years(int(found[1]) + values) + start
    if found := _PATTERN.match(units):
        return _from_pattern(values, found[1].lower())
    if values.size and values.min() > _FIRST_YEAR and values.max() < _LAST_YEAR:
        return _from_years(values)
    return None


def _from_elapsed(
    values: NDArray[np.float64], units: str, calendar: str, source: str
) -> NDArray[np.int64]:
    try:
        dates = cftime.num2date(values, units, calendar=calendar)
    except (ValueError, OverflowError) as error:
        raise TimeAxisError(
            f"{source}: the time unit '{units}' cannot be read in the calendar "
            f"'{calendar}' ({error}). Declare 'calendar' in the catalog entry, or "
            f"mend the attribute."
        ) from None
    dates = np.atleast_1d(dates)
    months = np.array([(d.year - 1970) * 12 + d.month - 1 for d in dates], np.int64)
    return months - _is_end_stamped(dates, months)


def _is_end_stamped(dates: NDArray[np.object_], months: NDArray[np.int64]) -> bool:
    """Tell whether a month is stamped with the midnight that ends it.

    Then a year runs from 1 February to 1 January, which no first stamp does.
    """
    midnight = all(d.day == 1 and d.hour == 0 and d.minute == 0 for d in dates)
    whole = months.size % 12 == 0 and months.size > 0
    return bool(midnight and whole and months[0] % 12 == 1 and months[-1] % 12 == 0)


def _from_years(years: NDArray[np.float64]) -> NDArray[np.int64]:
    # Stored in float32, 1950 + 1/12 can fall a hair below February.
    tolerance = 1e-3 if _is_sub_annual(years) else 0.0
    whole = np.floor(years + tolerance / 12)
    month = np.floor((years - whole) * 12 + 12 * tolerance).astype(np.int64)
    return (whole.astype(np.int64) - 1970) * 12 + np.clip(month, 0, 11)


def _from_pattern(values: NDArray[np.float64], kind: str) -> NDArray[np.int64]:
    if kind == "year":
        return _from_years(values)
    stamp = np.floor(values).astype(np.int64)
    if kind == "day":
        stamp //= 100
    return (stamp // 100 - 1970) * 12 + stamp % 100 - 1


def _is_sub_annual(years: NDArray[np.float64]) -> bool:
    return bool(years.size > 1 and np.median(np.diff(years)) < 0.5)


def _restamp(
    stamps: NDArray[np.int64], values: NDArray[np.float64], source: str
) -> tuple[NDArray[np.datetime64], Frequency]:
    """Return consecutive months or years, or refuse."""
    count = stamps.size
    steps = np.diff(stamps)
    if count > 1 and (np.diff(values) <= 0).any():
        place = int(np.argmax(np.diff(values) <= 0))
        raise TimeAxisError(
            f"{source}: time does not increase after {_text(stamps[place])} (step "
            f"{place + 1} of {count}), but must. Remove doubled months, or get the "
            f"file again."
        )
    if count > 1 and np.median(steps) == 12:
        if (steps != 12).any():
            _refuse_gap(stamps, 12, source)
        years = stamps // 12 + 1970
        return (years - 1970).astype("datetime64[Y]").astype("datetime64[M]"), "year"
    if (steps == 1).all():
        return stamps.astype("datetime64[M]"), "month"
    # Steps of a constant 30.4 days, or a calendar read wrongly, put single stamps
    # into a neighbouring month; the count is right and the steps are even.
    gaps = np.diff(values)
    is_even = gaps.max() <= 1.15 * gaps.min()
    first = stamps[0]
    drift = np.abs(stamps - (first + np.arange(count))).max()
    if is_even and drift <= 1 and abs(stamps[-1] - first + 1 - count) <= 1:
        return (first + np.arange(count)).astype("datetime64[M]"), "month"
    _refuse_gap(stamps, 1, source)
    raise AssertionError  # pragma: no cover


def _refuse_gap(stamps: NDArray[np.int64], step: int, source: str) -> None:
    steps = np.diff(stamps)
    place = int(np.argmax(steps != step))
    unit = "year" if step == 12 else "month"
    raise TimeAxisError(
        f"{source}: after {_text(stamps[place])} comes {_text(stamps[place + 1])}, but "
        f"every {unit} is needed. Get the complete file; if its calendar attribute is "
        f"wrong, declare 'calendar' in the catalog entry."
    )


def _anchor(
    count: int,
    source: str,
    years: tuple[int, int | None] | None,
    units: str | None,
) -> tuple[NDArray[np.datetime64], Frequency]:
    """Place an axis that says nothing by declared years or the file's name."""
    spans = [] if years is None or years[1] is None else [(years[0], years[1])]
    spans += [(int(a), int(b)) for a, b in _YEAR_RANGE.findall(source)[-1:]]
    for first, last in spans:
        span = last - first + 1
        if count == 12 * span:
            start = np.datetime64(f"{first:04d}-01", "M")
            return start + np.arange(count), "month"
        if count == span:
            start = np.datetime64(f"{first:04d}-01", "M")
            return start + 12 * np.arange(count), "year"
    wanted = f"{spans[0][0]}-{spans[0][1]}" if spans else "no years"
    raise TimeAxisError(
        f"{source}: the time unit is {units!r}, which says no date, and {count} steps "
        f"are neither the months nor the years of {wanted}. Declare the 'years' that "
        f"the file holds in the catalog entry."
    )


def _text(stamp: np.int64) -> str:
    return str(stamp.astype("datetime64[M]"))
