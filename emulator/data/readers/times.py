"""Months from the time axes of real files.

Half of the files in circulation have no axis that a library can decode. The
stored day is never trusted: a file gives months, and they are stamped again.
The order of the attempts follows what occurs in published archives.
"""

import re
from dataclasses import dataclass
from pathlib import Path
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
_MONTHS = re.compile(r"^\s*months?\s+since\s+(-?\d+)(?:-(\d+))?", re.I)
_YEARS = re.compile(r"^\s*years?\s+since\s+(?:AD\s*)?(-?\d+)(?:-(\d+))?", re.I)
_PATTERN = re.compile(r"^\s*(year|month|day)\s+as\s+(%Y\S*)", re.I)
_YEAR_RANGE = re.compile(r"(?<!\d)(\d{4})(?:\d{4})?[-_](\d{4})(?:\d{4})?(?!\d)")

COUNTED = "none"
"""The unit that a catalog entry declares for stamps that mean nothing."""

# Months of one calendar differ by a tenth in length, so do stamps of a whole axis.
_EVEN = 1.15

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
    ends: int | None = None,
) -> Axis:
    """Turn the numbers of a time axis into months.

    What unit and calendar say is checked against the number of steps, which is right
    in every file: months follow each other without a gap, and the last is December of
    ``ends`` where that is known. A file that names no calendar gets the one that
    passes.

    Args:
        values: The stored numbers; shape (time,).
        units: The unit attribute, whatever it says; ``COUNTED`` to leave the numbers
            alone and count steps.
        calendar: The calendar, from the catalog or the file; None if neither says.
        source: Name of the file, for messages and for a range of years in it.
        years: Years which the catalog declares; they anchor an axis that says
            nothing itself.
        ends: The last year of the file, where the catalog declares it; an axis that
            says nothing is counted back from its December.

    Returns:
        The axis, complete and increasing by one month or one year.

    Raises:
        TimeAxisError: If the axis cannot be understood, has gaps or repeats, does not
            end as declared, or then has months of no whole years.
    """
    _require_known(calendar, source)
    if not np.isfinite(values).all():
        raise TimeAxisError(
            f"{source}: {int((~np.isfinite(values)).sum())} of {values.size} times "
            f"are missing, but all are needed. Get the file again."
        )
    # Not CALENDARS: "standard" days before 1582 are others than those of the
    # proleptic calendar, by two at the year 1.
    named = (calendar or "standard").lower()
    says = None if units == COUNTED else _decode_months(values, units, named, source)
    if says is None:
        _require_even(values, source)
        months, frequency = _anchor(values.size, source, years, units, ends)
        _require_as_named(months, source)
        return Axis(months, frequency, CALENDARS[named])
    if calendar or not _ELAPSED.match(units or ""):
        return _checked(says, values, named, source, ends)
    try:
        return _checked(says, values, named, source, ends)
    except TimeAxisError:
        for other in ("noleap", "360_day"):
            axis = _in_whole_years(values, units, other, source, ends)
            if axis is not None:
                return axis
        raise


def is_time(units: str | None) -> bool:
    """Return whether a unit is one of time since a date, or of dates."""
    known = (_ELAPSED, _MONTHS, _YEARS, _PATTERN)
    return any(one.match(units or "") for one in known)


def _checked(
    stamps: NDArray[np.int64],
    values: NDArray[np.float64],
    calendar: str,
    source: str,
    ends: int | None,
) -> Axis:
    """Return consecutive months or years that end as declared, or refuse."""
    if not stamps.size:
        raise TimeAxisError(
            f"{source}: the time axis is empty, but months are needed. Get the file "
            f"again."
        )
    months, frequency = _restamp(stamps, values, source)
    last = months[-1].astype("datetime64[Y]").astype(int) + 1970
    is_december = frequency == "year" or months[-1].astype(int) % 12 == 11
    if ends is not None and not (last == ends and is_december):
        raise TimeAxisError(
            f"{source}: the {months.size} steps are stamped {months[0]} to "
            f"{months[-1]}, but the catalog entry says that the file ends with {ends}. "
            f"If it does, declare its true 'calendar', or 'time_units: {COUNTED}' to "
            f"count the steps back from {ends}; if not, correct 'ends'."
        )
    if ends is not None and frequency == "month" and months.size % 12:
        raise TimeAxisError(
            f"{source}: the {months.size} steps are stamped {months[0]} to "
            f"{months[-1]}, but months of whole years are needed to be sure of them. "
            f"Get the complete file, or declare its true 'calendar' in the catalog "
            f"entry."
        )
    return Axis(months, frequency, CALENDARS[calendar])


def _in_whole_years(
    values: NDArray[np.float64],
    units: str | None,
    calendar: str,
    source: str,
    ends: int | None,
) -> Axis | None:
    """Return the axis in a calendar that nobody named, or None if it does not fit."""
    try:
        stamps = _decode_months(values, units, calendar, source)
        axis = (
            None if stamps is None else _checked(stamps, values, calendar, source, ends)
        )
    except TimeAxisError:
        return None
    if axis is None or axis.months[0].astype(int) % 12:
        return None
    is_whole = axis.frequency == "year" or axis.months.size % 12 == 0
    return axis if is_whole else None


def _require_even(values: NDArray[np.float64], source: str) -> None:
    """Refuse a hole, a repeat or disorder in numbers that are no dates.

    An axis that is the same number throughout has no order to be wrong.
    """
    gaps = np.diff(values)
    if not gaps.size or (gaps == 0).all():
        return
    if gaps.min() <= 0 or gaps.max() > _EVEN * gaps.min():
        place = int(np.argmin(gaps) if gaps.min() <= 0 else np.argmax(gaps))
        raise TimeAxisError(
            f"{source}: the times say no date, and after {values[place]:g} (step "
            f"{place + 1} of {values.size}) comes {values[place + 1]:g}, where even "
            f"steps are needed to count them: a step is missing, doubled or out of "
            f"order. Get the file again, or declare 'time_units' in the catalog entry."
        )


def _require_known(calendar: str | None, source: str) -> None:
    if calendar and calendar.lower() not in CALENDARS:
        raise TimeAxisError(
            f"{source}: the calendar is '{calendar}', but one of {sorted(CALENDARS)} "
            f"is needed. Declare 'calendar' in the catalog entry."
        )


def _decode_months(
    values: NDArray[np.float64], units: str | None, calendar: str, source: str
) -> NDArray[np.int64] | None:
    """Return months since 1970-01, or None if the axis says nothing."""
    units = units or ""
    if _ELAPSED.match(units):
        return _from_elapsed(values, units, calendar, source)
    if found := _MONTHS.match(units):
        origin = (int(found[1]) - 1970) * 12 + int(found[2] or 1) - 1
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
    for kind, digits in (("month", 1), ("day", 100)):
        if _is_date(values / digits):
            return _from_pattern(values, kind)
    if " since " in units:
        raise TimeAxisError(
            f"{source}: the time unit '{units}' is not understood, but seconds to "
            f"years since a date are. Declare 'time_units' in the catalog entry, or "
            f"'{COUNTED}' there if the numbers mean nothing."
        )
    return None


def _is_date(values: NDArray[np.float64]) -> bool:
    """Tell whether all numbers are years and months, as in 200001."""
    year, month = np.divmod(np.floor(values), 100)
    inside = (year > _FIRST_YEAR) & (year < _LAST_YEAR) & (month >= 1) & (month <= 12)
    return bool(values.size and inside.all())


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
            raise _gap(stamps, 12, source)
        return (stamps // 12).astype("datetime64[Y]").astype("datetime64[M]"), "year"
    if (steps == 1).all():
        return stamps.astype("datetime64[M]"), "month"
    # Steps of a constant 30.4 days, or a calendar read wrongly, put single stamps
    # into a neighbouring month; the count is right and the steps are even.
    gaps = np.diff(values)
    is_even = gaps.max() <= _EVEN * gaps.min()
    first = stamps[0]
    drift = np.abs(stamps - (first + np.arange(count))).max()
    if is_even and drift <= 1 and abs(stamps[-1] - first + 1 - count) <= 1:
        return (first + np.arange(count)).astype("datetime64[M]"), "month"
    raise _gap(stamps, 1, source)


def _gap(stamps: NDArray[np.int64], step: int, source: str) -> TimeAxisError:
    """Return the error of an axis that lacks a step."""
    steps = np.diff(stamps)
    place = int(np.argmax(steps != step))
    unit = "year" if step == 12 else "month"
    return TimeAxisError(
        f"{source}: after {_text(stamps[place])} comes {_text(stamps[place + 1])}, but "
        f"every {unit} is needed. Get the complete file; if its calendar attribute is "
        f"wrong, declare 'calendar' in the catalog entry."
    )


def _anchor(
    count: int,
    source: str,
    years: tuple[int, int | None] | None,
    units: str | None,
    ends: int | None,
) -> tuple[NDArray[np.datetime64], Frequency]:
    """Place an axis that says nothing by what the catalog or the file's name says."""
    if ends is not None:
        return _anchor_end(count, source, years, ends)
    spans = [] if years is None or years[1] is None else [(years[0], years[1])]
    spans += _named_years(source)
    for first, last in spans:
        span = last - first + 1
        start = np.datetime64(f"{first:04d}-01", "M")
        if count and count == 12 * span:
            return start + np.arange(count), "month"
        if count and count == span:
            return start + 12 * np.arange(count), "year"
    wanted = f"{spans[0][0]}-{spans[0][1]}" if spans else "no years"
    raise TimeAxisError(
        f"{source}: the time unit is {units!r}, which says no date, and {count} steps "
        f"are neither the months nor the years of {wanted}. Declare the 'years' that "
        f"the file holds in the catalog entry, or the year in which it 'ends'."
    )


def _named_years(source: str) -> list[tuple[int, int]]:
    """Return the range of years in the name of a file, if it has one."""
    found = _YEAR_RANGE.findall(Path(source).name)
    return [(int(first), int(last)) for first, last in found[-1:]]


def _require_as_named(months: NDArray[np.datetime64], source: str) -> None:
    """Refuse years of the catalog where the file's name has as many, but others."""
    years = months[[0, -1]].astype("M8[Y]").astype(int) + 1970
    first, last = int(years[0]), int(years[1])
    for one, other in _named_years(source):
        if one != first and other - one == last - first:
            raise TimeAxisError(
                f"{source}: its times say no date, and its name says {one}-{other}, "
                f"but the catalog entry {first}-{last}. Correct 'years' or 'ends' in "
                f"the catalog entry, or get the file of these years."
            )


def _anchor_end(
    count: int, source: str, years: tuple[int, int | None] | None, ends: int
) -> tuple[NDArray[np.datetime64], Frequency]:
    """Count steps back from the end: months if those reach the declared years.

    324 steps that end in 2024 may be the months since 1998 or the years since 1701.
    """
    after = np.datetime64(f"{ends + 1:04d}-01", "M")
    wanted = ends if years is None else years[0]
    first = ends + 1 - count // 12
    if count and count % 12 == 0 and _FIRST_YEAR <= first <= wanted:
        return after - np.arange(count, 0, -1), "month"
    if count and _FIRST_YEAR <= ends + 1 - count <= wanted:
        return after - 12 * np.arange(count, 0, -1), "year"
    raise TimeAxisError(
        f"{source}: {count} steps that end with {ends} are neither months nor years "
        f"that begin with {wanted} or before. Correct 'years' or 'ends' in the catalog "
        f"entry."
    )


def _text(stamp: np.int64) -> str:
    return str(stamp.astype("datetime64[M]"))
