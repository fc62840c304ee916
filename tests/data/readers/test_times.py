"""Time axes as they occur, each in the manner of a real group."""

import cftime
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import TimeAxisError
from emulator.data.readers.times import decode

YEARS = np.arange(24) / 12


def months_from(first: str, count: int) -> np.ndarray:
    return np.datetime64(first, "M") + np.arange(count)


@pytest.mark.parametrize(
    ("values", "units", "calendar", "first"),
    [
        # 31 January and so on, counted in 365-day years: 1901 begins on day 73365.
        (
            201 * 365 + 30.4 * np.arange(24) + 15,
            "days since 1700-01-01",
            "noleap",
            "1901-01",
        ),
        (np.arange(24.0), "months since 1700-1-16", None, "1700-01"),
        (np.arange(24.0), "Months since 1700", None, "1700-01"),
        (np.arange(24) + 0.5, "months since 1860-01-01 00:00:00", None, "1860-01"),
        (1700 + YEARS, "years since AD 0-Jan-1st (double)", None, "1700-01"),
        (10 + YEARS + 1 / 24, "years since 1700-01-01", None, "1710-01"),
        (YEARS, "years since 1700-07-01", None, "1700-07"),
        (
            1699 * 365 + 30.4 * np.arange(24) + 15,
            "days since 0001-01-01",
            "noleap",
            "1700-01",
        ),
        (30 * np.arange(24.0) + 15, "days since 1959-01-01", "360_day", "1959-01"),
        (720 * np.arange(24.0) + 360, "hours since 1900-01-01", "360_day", "1900-01"),
        (np.float32(1901 + YEARS).astype("f8"), "year as %Y.%f", None, "1901-01"),
        (1901 + YEARS, None, None, "1901-01"),
        (200001 + np.arange(12) + 0.5, "month as %Y%m.%f", None, "2000-01"),
        (20000115 + 100 * np.arange(12) + 0.5, "day as %Y%m%d.%f", None, "2000-01"),
        (200001 + np.arange(12.0), None, None, "2000-01"),
        (20000115 + 100 * np.arange(12.0), None, None, "2000-01"),
    ],
)
def test_months_of_axes_that_occur(
    values: np.ndarray, units: str | None, calendar: str | None, first: str
) -> None:
    axis = decode(values, units, calendar, source="file.nc")
    np.testing.assert_array_equal(axis.months, months_from(first, values.size))
    assert axis.frequency == "month"


@pytest.mark.parametrize(
    ("values", "units", "first"),
    [
        (np.arange(5.0), "years since 1700-06-15", 1700),
        (np.arange(5) + 0.5, "years since 1700-01-01", 1700),
        (1950 + np.arange(5.0), None, 1950),
        (365 * np.arange(5) + 182.5, "days since 1700-01-01", 1700),
    ],
)
def test_years_of_axes_that_occur(
    values: np.ndarray, units: str | None, first: int
) -> None:
    axis = decode(values, units, "noleap", source="file.nc")
    assert axis.frequency == "year"
    np.testing.assert_array_equal(axis.months, months_from(f"{first}-01", 60)[::12])


@pytest.mark.parametrize(
    ("source", "count", "years", "first", "frequency"),
    [
        ("CARDAMOM_S2_nbp.nc", 24, (2003, 2004), "2003-01", "month"),
        ("DLEM_S2_nbp.nc", 5, (1700, 1704), "1700-01", "year"),
        (
            "fgco2_FESOM2_REcoM_A_1_gr_1959-1960_v20220716.nc",
            24,
            None,
            "1959-01",
            "month",
        ),
        (
            "fgco2_Nemo_A_1_gr_19580101_19591231_v20250728.nc",
            24,
            None,
            "1958-01",
            "month",
        ),
        ("fgco2_X_1959_1963.nc", 5, (1959, None), "1959-01", "year"),
    ],
)
def test_an_axis_that_says_nothing_is_placed_by_years(
    source: str, count: int, years: tuple[int, int | None], first: str, frequency: str
) -> None:
    axis = decode(np.arange(1.0, count + 1), "d", None, source=source, years=years)
    assert axis.months[0] == np.datetime64(first, "M")
    assert axis.frequency == frequency


@pytest.mark.parametrize(
    ("count", "years", "first", "frequency"),
    [
        (3900, (1901, 2024), "1700-01", "month"),
        (3888, (1901, 2024), "1701-01", "month"),
        (264, (2003, 2024), "2003-01", "month"),
        (325, (1901, 2024), "1700-01", "year"),
        # Months would begin in 1998, after the years that are needed.
        (324, (1901, 2024), "1701-01", "year"),
        (24, None, "2023-01", "month"),
    ],
)
def test_an_axis_that_says_nothing_is_counted_back_from_its_end(
    count: int, years: tuple[int, int] | None, first: str, frequency: str
) -> None:
    values = np.arange(1.0, count + 1)
    axis = decode(values, "d", None, source="f.nc", years=years, ends=2024)
    assert axis.months[0] == np.datetime64(first, "M")
    assert axis.months[-1] == np.datetime64(
        "2024-12" if frequency == "month" else "2024-01", "M"
    )
    assert axis.frequency == frequency


@pytest.mark.parametrize("count", [0, 100, 1200])
def test_steps_that_do_not_reach_the_years_are_refused(count: int) -> None:
    message = f"{count} steps that end with 2024 are neither months nor years that"
    with pytest.raises(TimeAxisError, match=message):
        decode(
            np.arange(float(count)),
            None,
            None,
            source="f.nc",
            years=(1901, 2024),
            ends=2024,
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13], r"after 3 \(step 3 of 12\) comes 5"),
        ([1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11], r"after 3 \(step 3 of 12\) comes 3"),
        ([1, 2, 4, 3, 5, 6, 7, 8, 9, 10, 11, 12], r"after 4 \(step 3 of 12\) comes 3"),
    ],
)
def test_numbers_that_are_no_dates_must_be_even(
    values: list[int], message: str
) -> None:
    with pytest.raises(TimeAxisError, match=message):
        decode(np.array(values, float), "d", None, source="f.nc", years=(2000, 2000))


@pytest.mark.parametrize("calendar", ["noleap", "360_day"])
def test_a_calendar_that_nobody_names_is_the_one_that_passes(calendar: str) -> None:
    # 1700 in years of 365 or 360 days since the year 1, for 20 years.
    stamps = [
        cftime.datetime(1700 + i // 12, i % 12 + 1, 15, calendar=calendar)
        for i in range(240)
    ]
    units = "days since 0001-01-01"
    values = np.asarray(cftime.date2num(stamps, units, calendar), float)
    axis = decode(values, units, None, source="f.nc", ends=1719)
    np.testing.assert_array_equal(axis.months, months_from("1700-01", 240))
    assert axis.calendar == calendar


@pytest.mark.parametrize("calendar", [None, "noleap"])
def test_an_end_that_no_calendar_gives_is_refused(calendar: str | None) -> None:
    days = 365 * 300 + 30.4 * np.arange(24) + 15
    message = r"24 steps are stamped 2000-01 to 2001-12, .* ends with 2024"
    with pytest.raises(TimeAxisError, match=message if calendar else "ends with 2024"):
        decode(days, "days since 1700-01-01", calendar, source="f.nc", ends=2024)


def test_a_calendar_that_lacks_the_origin_is_not_tried() -> None:
    # There is no 31 December in years of 360 days.
    days = 365 * 300 + 30.4 * np.arange(24) + 15
    with pytest.raises(TimeAxisError, match="but the catalog entry says that the file"):
        decode(days, "days since 1699-12-31", None, source="f.nc", ends=2024)


def test_years_must_be_whole_where_the_end_is_declared() -> None:
    with pytest.raises(TimeAxisError, match="stamped 2024-01 to 2024-11, but"):
        decode(np.arange(11.0), "months since 2024-01", None, source="f.nc", ends=2024)


def test_months_must_be_of_whole_years_where_the_end_is_declared() -> None:
    # 3899 months that end with 2024 would begin in February 1700: one is missing.
    message = r"3899 steps are stamped 1700-02 to 2024-12, but months of whole years"
    with pytest.raises(TimeAxisError, match=message):
        decode(
            np.arange(1.0, 3900),
            "months since 1700-1-16",
            None,
            source="f.nc",
            ends=2024,
        )


@pytest.mark.parametrize("calendar", ["noleap", None])
def test_an_origin_on_the_eve_is_no_year_before(calendar: str | None) -> None:
    # Month ends in years of 365 days since 1699-12-31: 31 is 31 January 1700.
    lengths = np.tile([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], 325)
    units = "days since 1699-12-31"
    axis = decode(np.cumsum(lengths), units, calendar, source="f.nc", ends=2024)
    np.testing.assert_array_equal(axis.months, months_from("1700-01", 3900))
    assert axis.calendar == "noleap"


def test_months_stamped_at_their_end_go_back_by_one() -> None:
    # Midnights that end the months of 2000 are the firsts of February to January.
    ends = np.arange("2000-02", "2001-02", dtype="M8[M]").astype("M8[D]")
    days = (ends - np.datetime64("1980-01-01")).astype(float)
    axis = decode(days, "days since 1980-01-01", "standard", source="file.nc")
    np.testing.assert_array_equal(axis.months, months_from("2000-01", 12))


def test_even_steps_that_miss_a_month_are_stamped_anew() -> None:
    # Day 60.8 after 1 January 2001 is 2 March, though it is the third step.
    axis = decode(
        30.4375 * np.arange(24), "days since 2001-01-01", "standard", source="file.nc"
    )
    np.testing.assert_array_equal(axis.months, months_from("2001-01", 24))


@settings(deadline=None)
@given(
    year=st.integers(1700, 2100),
    count=st.integers(1, 10),
    calendar=st.sampled_from(["standard", "noleap", "360_day"]),
    day=st.integers(1, 28),
    unit=st.sampled_from(["days", "hours", "seconds"]),
)
def test_any_day_of_a_month_gives_that_month(
    year: int, count: int, calendar: str, day: int, unit: str
) -> None:
    expected = months_from(f"{year}-01", 12 * count)
    stamps = [
        cftime.datetime(year + i // 12, i % 12 + 1, day, 6, calendar=calendar)
        for i in range(expected.size)
    ]
    units = f"{unit} since 1700-01-01"
    values = np.asarray(cftime.date2num(stamps, units, calendar), dtype=float)
    axis = decode(values, units, calendar, source="file.nc")
    np.testing.assert_array_equal(axis.months, expected)
    assert axis.calendar == calendar


@pytest.mark.parametrize(
    ("values", "units", "calendar", "message"),
    [
        (
            np.delete(np.arange(24.0), 5),
            "months since 2000-01-01",
            None,
            "after 2000-05 comes 2000-07, but every month is needed",
        ),
        (
            np.array([0.0, 1.0, 3.0, 4.0]),
            "years since 1900",
            None,
            "after 1901-01 comes 1903-01, but every year is needed",
        ),
        (
            np.array([0.0, 1.0, 1.0, 2.0]),
            "months since 2000-01-01",
            None,
            "does not increase after 2000-02",
        ),
        (np.array([0.0, np.nan]), "months since 2000-01-01", None, "1 of 2 times are"),
        (np.arange(12.0), "days since 2000-01-01", "lunar", "calendar is 'lunar'"),
        (
            np.arange(12.0),
            "days since yesterday",
            None,
            "cannot be read in the calendar",
        ),
        (np.arange(7.0), None, None, "neither the months nor the years of no years"),
        (np.array([]), "months since 2000-01-01", None, "the time axis is empty"),
    ],
)
def test_axes_that_cannot_be_understood_are_refused(
    values: np.ndarray, units: str | None, calendar: str | None, message: str
) -> None:
    with pytest.raises(TimeAxisError, match=message):
        decode(values, units, calendar, source="file.nc")


def test_a_doubled_and_a_missing_month_do_not_cancel() -> None:
    days = np.arange(0, 720, 30.0)
    days[5] = days[4] + 1
    with pytest.raises(TimeAxisError, match="after 2000-05 comes 2000-05"):
        decode(days, "days since 2000-01-01", "360_day", source="file.nc")


@pytest.mark.parametrize(
    ("calendar", "origin"),
    [
        ("proleptic_gregorian", "0001-01-01"),
        # The same day by Julius Caesar's calendar, which "standard" has before 1582.
        ("standard", "0001-01-03"),
    ],
)
def test_days_before_1582_are_those_of_the_named_calendar(
    calendar: str, origin: str
) -> None:
    # Firsts of the months of 2000 and 2001. 1 January 2000 is day 730119 since
    # 1 January of the year 1: 1999 years of 365 days and 484 leap days.
    firsts = np.arange("2000-01", "2002-01", dtype="M8[M]").astype("M8[D]")
    days = 1999 * 365 + 484 + (firsts - firsts[0]).astype(float)
    axis = decode(days, f"days since {origin}", calendar, source="file.nc")
    np.testing.assert_array_equal(axis.months, months_from("2000-01", 24))
    assert axis.calendar == "standard"


@pytest.mark.parametrize(
    ("years", "ends"), [((1959, 1960), None), (None, 1960), ((1959, 1960), 1960)]
)
@pytest.mark.parametrize("count", [2, 24])
def test_a_name_that_contradicts_the_catalog_is_refused(
    years: tuple[int, int] | None, ends: int | None, count: int
) -> None:
    source = "1959-1960/fgco2_X_A_1_gr_1958-1959_v20250720.nc"
    message = "its name says 1958-1959, but the catalog entry 1959-1960. Correct"
    with pytest.raises(TimeAxisError, match=message):
        decode(
            np.arange(float(count)), "d", None, source=source, years=years, ends=ends
        )


def test_a_name_of_more_years_contradicts_nothing() -> None:
    # The file was cut; its name was not changed.
    source = "fgco2_X_A_1_gr_1958-2024.nc"
    axis = decode(np.zeros(24), None, None, source=source, years=(1959, 1960))
    np.testing.assert_array_equal(axis.months, months_from("1959-01", 24))


def test_a_folder_says_no_years() -> None:
    message = "neither the months nor the years of no years"
    with pytest.raises(TimeAxisError, match=message):
        decode(np.zeros(24), None, None, source="1959-1960/fgco2.nc")


def test_a_unit_that_is_not_understood_is_not_counted() -> None:
    # 24 steps could be the months of the years declared; they are seasons.
    with pytest.raises(
        TimeAxisError, match="'seasons since 1959-01-01' is not underst"
    ):
        decode(
            np.arange(24.0),
            "seasons since 1959-01-01",
            None,
            source="file.nc",
            years=(1959, 1960),
        )
