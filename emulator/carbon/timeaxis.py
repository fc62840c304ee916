"""Months, the seconds they hold in each calendar, and blocked splits of years.

A time axis is an array of ``datetime64[M]``: a month has no day, so the day that a
file happens to stamp cannot matter. The calendar of a file enters only where a mean
rate becomes a total.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import TimeAxisError
from emulator.carbon.units import SECONDS_PER_DAY

Months = NDArray[np.datetime64]
Span = tuple[int, int]
Part = Literal["train", "validation", "test", "withheld"]

MONTHS_PER_YEAR = 12

CALENDARS = {
    **dict.fromkeys(("standard", "gregorian", "proleptic_gregorian"), "standard"),
    **dict.fromkeys(("noleap", "365_day"), "noleap"),
    "360_day": "360_day",
}
"""CF names of calendars, and the one that stands for each."""

_DAYS_NOLEAP = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.float64)


def month_range(first: str, last: str) -> Months:
    """Return all months from ``first`` to ``last``, both included.

    Args:
        first: First month as ``YYYY-MM``.
        last: Last month as ``YYYY-MM``.

    Raises:
        TimeAxisError: If the last month lies before the first.
    """
    start, stop = np.datetime64(first, "M"), np.datetime64(last, "M")
    if stop < start:
        raise TimeAxisError(
            f"The last month {last} lies before the first, {first}. Swap the two."
        )
    return np.arange(start, stop + 1)


def as_months(times: NDArray[Any]) -> Months:
    """Return times of any resolution as months.

    Raises:
        TimeAxisError: If they are no datetime64, or some are missing.
    """
    if times.dtype.kind != "M" or np.isnat(times).any():
        found = "missing times (NaT)" if times.dtype.kind == "M" else f"{times.dtype}"
        raise TimeAxisError(
            f"Months must be datetime64 without gaps, found {found}. Decode the time "
            f"axis of the file first, or re-stamp it by its catalog entry."
        )
    return times.astype("datetime64[M]")


def years_of(months: NDArray[Any]) -> NDArray[np.int64]:
    """Return the calendar year of each month; same shape."""
    return as_months(months).astype("datetime64[Y]").astype(np.int64) + 1970


def month_of(months: NDArray[Any]) -> NDArray[np.int64]:
    """Return the month of the year, 1 to 12; same shape."""
    return as_months(months).astype(np.int64) % 12 + 1


def seconds_per_month(
    months: NDArray[Any], calendar: str = "standard"
) -> NDArray[np.float64]:
    """Return the length of each month, s; same shape.

    Args:
        months: The months, datetime64.
        calendar: A CF calendar: standard (also gregorian, proleptic_gregorian),
            noleap (also 365_day) or 360_day.

    Raises:
        TimeAxisError: If the calendar is none of these.
    """
    kind = CALENDARS.get(calendar)
    if kind is None:
        raise TimeAxisError(
            f"Calendar {calendar!r} is not one of {', '.join(CALENDARS)}. Declare the "
            f"true one as 'calendar' in the catalog entry."
        )
    exact = as_months(months)
    if kind == "360_day":
        days = np.full(exact.shape, 30.0)
    elif kind == "noleap":
        days = _DAYS_NOLEAP[month_of(exact) - 1]
    else:
        days = ((exact + 1).astype("M8[D]") - exact.astype("M8[D]")).astype(np.float64)
    return days * SECONDS_PER_DAY


def require_monotone_complete(months: NDArray[Any]) -> None:
    """Raise ``TimeAxisError`` unless each month is followed by the next one.

    Raises:
        TimeAxisError: At the first place where a month is missing, doubled or out of
            order, since every memory window counts on neighbours being neighbours.
    """
    exact = as_months(months)
    steps = np.diff(exact).astype(np.int64)
    if (steps == 1).all():
        return
    at = int(np.flatnonzero(steps != 1)[0])
    step = int(steps[at])
    fault = f"{step - 1} missing between" if step > 1 else "not in order at"
    fault = "one month twice at" if step == 0 else fault
    raise TimeAxisError(
        f"Months must follow one another without holes, but there is {fault} "
        f"{exact[at]} and {exact[at + 1]}. Get the file again, or limit 'years' in "
        f"the catalog entry to the complete part."
    )


@dataclass(frozen=True)
class YearSplit:
    """Training, validation and test years, apart by at least the memory.

    A span is (first year, last year), both included. ``validation`` and ``test`` may
    lie inside ``train``: they and the gap on both sides then drop out of training.
    Outside, they must keep the distance themselves. Single years ``withheld`` from the
    training span, such as those of an El Nino, drop out in the same way, together with
    their neighbours, whose fluxes carry the echo of the extreme.

    Attributes:
        train: Span of training years, before anything inside it is taken out.
        validation: Span of validation years.
        test: Span of test years.
        gap_months: Months that must lie between two parts: the memory of the network,
            rounded up to whole years.
        withheld: Years inside ``train`` that nothing is learned from, to be scored.
        withheld_neighbours: Years on both sides of each that nothing is learned from
            either, where the gap does not hide as many already.
    """

    train: Span
    validation: Span
    test: Span
    gap_months: int
    withheld: tuple[int, ...] = ()
    withheld_neighbours: int = 1

    def __post_init__(self) -> None:
        """Check the order, the overlap and the gaps.

        Raises:
            TimeAxisError: If a span runs backwards, two parts share years or come
                closer than the memory, a withheld year is no year of the training
                span or one of test, or no training year is left.
        """
        if self.gap_months < 0:
            raise TimeAxisError(
                f"The gap must be 0 months or more, got {self.gap_months}. Give the "
                f"memory of the network."
            )
        for part in ("train", "validation", "test"):
            first, last = getattr(self, part)
            if last < first:
                raise TimeAxisError(
                    f"The {part} years {first}-{last} run backwards. Give the first "
                    f"year first."
                )
        self._require_apart("validation", "test")
        for part in ("validation", "test"):
            if not _contains(self.train, getattr(self, part)):
                self._require_apart("train", part)
        self._require_withheld()
        if not self.years("train").size:
            raise TimeAxisError(
                f"No training year is left: taking validation, test and withheld years "
                f"and {self.gap_years}-year gaps out of {_text(self.train)} leaves "
                f"nothing. Lengthen train, or shorten the memory."
            )

    @property
    def gap_years(self) -> int:
        """Whole years that cover ``gap_months``."""
        return -(-self.gap_months // 12)

    def years(self, part: Part) -> NDArray[np.int64]:
        """Return the years of a part, increasing; shape (year,)."""
        if part == "withheld":
            return np.unique(np.array(self.withheld, np.int64))
        first, last = getattr(self, part)
        years = np.arange(first, last + 1, dtype=np.int64)
        if part != "train":
            return years
        keep = np.ones(years.shape, bool)
        for other in (self.validation, self.test):
            if _contains(self.train, other):
                begin, end = other[0] - self.gap_years, other[1] + self.gap_years
                keep &= (years < begin) | (years > end)
        return years[keep & ~self.near_withheld(years)]

    def near_withheld(self, years: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which years a withheld one hides, itself included; same shape."""
        distance = max(self.gap_years, self.withheld_neighbours)
        apart = np.abs(years[..., None] - self.years("withheld"))
        near: NDArray[np.bool_] = (apart <= distance).any(axis=-1)
        return near

    def months(self, part: Part, months: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which ``months`` belong to a part; shape (time,)."""
        return np.isin(years_of(months), self.years(part))

    def _require_withheld(self) -> None:
        if self.withheld_neighbours < 0:
            raise TimeAxisError(
                f"withheld_neighbours must be 0 or more, got "
                f"{self.withheld_neighbours}. Give the years on each side."
            )
        years, test = self.years("withheld"), self.years("test")
        inside = (years >= self.train[0]) & (years <= self.train[1])
        bad = years[~inside | np.isin(years, test)]
        if bad.size:
            raise TimeAxisError(
                f"The withheld years {bad.tolist()} are not among the training years "
                f"{_text(self.train)}, or are test years ({_text(self.test)}). Years "
                f"that no training year follows belong to test."
            )
        close = self.years("validation")
        close = close[self.near_withheld(close)]
        if close.size:
            raise TimeAxisError(
                f"The validation years {close.tolist()} are withheld, or as near to "
                f"the withheld years {years.tolist()} as the memory of "
                f"{self.gap_months} months or their neighbours reach. Move validation."
            )

    def _require_apart(self, one: str, other: str) -> None:
        early, late = sorted((getattr(self, one), getattr(self, other)))
        between = late[0] - early[1] - 1
        if between < self.gap_years:
            found = f"{between} years apart" if between >= 0 else "overlapping"
            raise TimeAxisError(
                f"The {one} years {_text(getattr(self, one))} and the {other} years "
                f"{_text(getattr(self, other))} are {found}, but a memory of "
                f"{self.gap_months} months needs {self.gap_years} years between them. "
                f"Move one of the two, or shorten the memory."
            )


def _contains(outer: Span, inner: Span) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1]


def _text(span: Span) -> str:
    return f"{span[0]}-{span[1]}"
