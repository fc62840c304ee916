import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.errors import TimeAxisError
from emulator.carbon.timeaxis import (
    YearSplit,
    as_months,
    month_of,
    month_range,
    require_monotone_complete,
    seconds_per_month,
    years_of,
)

DAY = 86400.0


def test_range_holds_both_ends() -> None:
    months = month_range("1999-11", "2000-02")
    assert months.astype(str).tolist() == ["1999-11", "1999-12", "2000-01", "2000-02"]
    assert years_of(months).tolist() == [1999, 1999, 2000, 2000]
    assert month_of(months).tolist() == [11, 12, 1, 2]


def test_range_refuses_to_run_backwards() -> None:
    with pytest.raises(TimeAxisError, match=r"last month 1999-01 lies before .* 2000"):
        month_range("2000-01", "1999-01")


def test_months_before_1970_and_of_other_resolutions() -> None:
    stamps = np.array(["1700-01-16T12", "1969-12-31T23"], "M8[ns]")
    assert years_of(stamps).tolist() == [1700, 1969]
    assert month_of(stamps).tolist() == [1, 12]


@pytest.mark.parametrize(
    ("calendar", "february", "year"),
    [
        ("standard", 29, 366),
        ("gregorian", 29, 366),
        ("proleptic_gregorian", 29, 366),
        ("noleap", 28, 365),
        ("365_day", 28, 365),
        ("360_day", 30, 360),
    ],
)
def test_a_leap_year_in_each_calendar(calendar: str, february: int, year: int) -> None:
    seconds = seconds_per_month(month_range("2000-01", "2000-12"), calendar)
    assert seconds[1] == february * DAY
    assert seconds.sum() == year * DAY
    assert seconds.dtype == np.float64


def test_centuries_of_the_standard_calendar() -> None:
    # 1900 is no leap year, 2000 is: 400 years hold 97 leap days.
    seconds = seconds_per_month(month_range("1701-01", "2100-12"))
    assert seconds.sum() == (400 * 365 + 97) * DAY
    assert seconds_per_month(month_range("1900-02", "1900-02"))[0] == 28 * DAY


def test_unknown_calendar_is_named() -> None:
    with pytest.raises(
        TimeAxisError, match=r"Calendar 'julian' is not one of standard"
    ):
        seconds_per_month(month_range("2000-01", "2000-12"), "julian")


@pytest.mark.parametrize(
    ("times", "found"),
    [
        (np.arange(3), "int64"),
        (np.array(["2000-01", "NaT"], "M8[M]"), r"missing times \(NaT\)"),
    ],
)
def test_what_is_no_time_is_refused(times: np.ndarray, found: str) -> None:
    with pytest.raises(TimeAxisError, match=f"must be datetime64.* found {found}"):
        as_months(times)


@pytest.mark.parametrize(
    ("months", "message"),
    [
        (["2000-01", "2000-02", "2000-05"], r"2 missing between 2000-02 and 2000-05"),
        (["2000-01", "2000-01"], r"one month twice at 2000-01 and 2000-01"),
        (["2000-02", "2000-01"], r"not in order at 2000-02 and 2000-01"),
    ],
)
def test_holes_in_time_are_named(months: list[str], message: str) -> None:
    with pytest.raises(TimeAxisError, match=message):
        require_monotone_complete(np.array(months, "M8[M]"))


def test_complete_months_pass_whatever_their_day() -> None:
    require_monotone_complete(
        np.array(["1999-12-31", "2000-01-16", "2000-02-01"], "M8")
    )
    require_monotone_complete(month_range("2000-01", "2000-01"))


def test_validation_inside_training_takes_its_gaps_with_it() -> None:
    # Three years of memory: 1986-88 and 1995-97 belong to nobody.
    split = YearSplit((1948, 1997), (1989, 1994), (2001, 2012), gap_months=36)
    assert split.gap_years == 3
    assert split.years("train").tolist() == list(range(1948, 1986))
    assert split.years("validation").tolist() == list(range(1989, 1995))
    assert split.years("test").tolist() == list(range(2001, 2013))


def test_training_goes_on_after_what_is_held_out() -> None:
    split = YearSplit((1950, 2000), (1970, 1971), (1987, 1987), gap_months=13)
    expected = [*range(1950, 1968), *range(1974, 1985), *range(1990, 2001)]
    assert split.years("train").tolist() == expected


def test_withheld_years_take_their_neighbours_with_them() -> None:
    # No memory: 1997-98 and one year on each side are hidden, nothing else.
    split = YearSplit(
        (1990, 2005), (1992, 1992), (2008, 2009), 0, withheld=(1998, 1997)
    )
    assert split.years("withheld").tolist() == [1997, 1998]
    left = [1990, 1991, 1993, 1994, 1995, *range(2000, 2006)]
    assert split.years("train").tolist() == left
    # A memory of three years hides three years on each side, neighbours included.
    split = YearSplit((1980, 2005), (1985, 1985), (2009, 2009), 36, withheld=(1997,))
    assert split.years("train").tolist() == [
        *range(1980, 1982),
        *range(1989, 1994),
        *range(2001, 2006),
    ]
    assert split.near_withheld(np.array([1993, 1994, 1997, 2000, 2001])).tolist() == [
        False,
        True,
        True,
        True,
        False,
    ]


def test_no_withheld_year_changes_nothing() -> None:
    split = YearSplit((1950, 2000), (1970, 1971), (1987, 1987), gap_months=13)
    other = YearSplit(
        (1950, 2000), (1970, 1971), (1987, 1987), 13, withheld_neighbours=5
    )
    assert split.years("withheld").size == 0
    assert split.years("train").tolist() == other.years("train").tolist()


@pytest.mark.parametrize(
    ("withheld", "neighbours", "message"),
    [
        ((2006,), 1, r"withheld years \[2006\] are not among the training years 1990-"),
        ((1997, 2001), 1, r"withheld years \[2001\] .* or are test years \(2001-2001"),
        ((1993,), 1, r"validation years \[1992\] are withheld, or as near .* \[1993\]"),
        ((1997,), -1, r"withheld_neighbours must be 0 or more, got -1"),
        (tuple(range(1993, 2000, 3)), 9, r"validation years \[1992\]"),
    ],
)
def test_withheld_years_that_collide_are_refused(
    withheld: tuple[int, ...], neighbours: int, message: str
) -> None:
    with pytest.raises(TimeAxisError, match=message):
        YearSplit(
            (1990, 2005),
            (1992, 1992),
            (2001, 2001),
            0,
            withheld=withheld,
            withheld_neighbours=neighbours,
        )


def test_withholding_everything_leaves_no_training_year() -> None:
    with pytest.raises(TimeAxisError, match="test and withheld years and 0-year gaps"):
        YearSplit((1990, 1992), (1995, 1995), (1999, 1999), 0, withheld=(1991,))


def test_months_of_a_part() -> None:
    split = YearSplit((2000, 2001), (2003, 2003), (2005, 2006), gap_months=12)
    months = month_range("2001-12", "2003-02")
    assert split.months("train", months).tolist() == [True] + [False] * 14
    assert split.months("validation", months).sum() == 2


@given(
    st.integers(0, 60),
    st.integers(1960, 1990),
    st.integers(1, 6),
    st.integers(0, 4),
    st.integers(1, 10),
)
def test_parts_are_apart_by_the_memory(
    gap: int, start: int, length: int, slack: int, tail: int
) -> None:
    years = -(-gap // 12)
    validation = (start, start + length)
    test = (validation[1] + years + 1 + slack, validation[1] + years + 1 + slack + tail)
    split = YearSplit((1940, validation[1]), validation, test, gap_months=gap)
    parts = [split.years(part) for part in ("train", "validation", "test")]
    for index, one in enumerate(parts):
        for other in parts[index + 1 :]:
            distance = np.abs(one[:, None] - other[None, :]).min()
            assert (distance - 1) * 12 >= gap


@pytest.mark.parametrize(
    ("spans", "gap", "message"),
    [
        (
            ((1990, 1980), (1985, 1986), (2000, 2001)),
            0,
            r"train years 1990-1980 run ba",
        ),
        (((1950, 1980), (1985, 1986), (1986, 1990)), 0, r"1986-1990 are overlapping"),
        (
            ((1950, 1990), (1980, 1990), (1993, 2000)),
            36,
            r"validation years 1980-1990 and the test years 1993-2000 are 2 years apart"
            r", but a memory of 36 months needs 3 years",
        ),
        (((1950, 1980), (1982, 1984), (1990, 2000)), 24, r"train years 1950-1980 and"),
        (((1950, 1980), (1978, 1984), (1990, 2000)), 24, r"overlapping"),
        (((1950, 1990), (1970, 1975), (1991, 2000)), 12, r"test years 1991-2000 are 0"),
        (((1980, 1990), (1982, 1988), (1998, 2000)), 36, r"No training year is left"),
        (
            ((1980, 1990), (1995, 1996), (2000, 2001)),
            -1,
            r"gap must be 0 months or mor",
        ),
    ],
)
def test_spans_that_collide_are_refused(
    spans: tuple[tuple[int, int], ...], gap: int, message: str
) -> None:
    with pytest.raises(TimeAxisError, match=message):
        YearSplit(*spans, gap_months=gap)
