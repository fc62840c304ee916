"""What may be known when, by hand, and that later values change nothing."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import month_range
from emulator.evaluation import backcast_known as known
from emulator.evaluation.backcast_known import Delays, Known
from emulator.evaluation.backcast_settings import BackcastSettings, DelaySettings
from tests.worlds import tiny_world


def month(text: str) -> np.datetime64:
    return np.datetime64(text, "M")


# Dates


def test_an_edition_appears_months_after_its_last_year() -> None:
    # The edition of 2023 ends in 2022 and appears in November 2023.
    assert known.whole_years(month("2023-10"), 11) == 2021
    assert known.whole_years(month("2023-11"), 11) == 2022
    assert known.whole_years(month("2024-10"), 11) == 2022
    # Without delay, the year that ends with the month is known.
    assert known.whole_years(month("2023-12"), 0) == 2023
    assert known.whole_years(month("2023-11"), 0) == 2022


@pytest.mark.parametrize(
    ("days", "until", "issued"),
    [
        (0.0, "2023-03", "2023-03"),
        (5.0, "2023-02", "2023-04"),  # March is known on 5 April
        (30.0, "2023-02", "2023-04"),  # on 30 April
        (31.0, "2023-02", "2023-05"),  # on 1 May; February on 31 March
        (62.0, "2022-12", "2023-06"),  # on 1 June; January on 3 April
    ],
)
def test_forcing_is_known_days_after_its_month(
    days: float, until: str, issued: str
) -> None:
    assert known.forcing_until(month("2023-03"), days) == month(until)
    assert known.issue_month(month("2023-03"), days) == month(issued)


@given(st.integers(0, 2400), st.floats(0, 400))
def test_a_month_is_known_from_its_issue_on_and_not_before(
    first: int, days: float
) -> None:
    wanted = np.datetime64(first, "M")
    issued = known.issue_month(wanted, days)
    assert known.forcing_until(issued, days) >= wanted
    assert known.forcing_until(issued - 1, days) < wanted


def test_what_is_known_follows_from_the_delays() -> None:
    delays = Delays(labels=(11, 20), forcing=5.0, co2=3)
    labelled = (month("2024-12"), month("2024-12"))
    found = delays.known(month("2023-11"), labelled)
    assert found == Known(
        issued=month("2023-11"),
        # 20 months after December 2021 is August 2023.
        labels=(month("2022-12"), month("2021-12")),
        forcing=month("2023-10"),
        co2=month("2022-12"),
    )
    assert found.last_label == month("2022-12")
    # The first appeared in November 2023, the other in August.
    assert delays.appeared(found.labels) == month("2023-11")
    # By February 2023 the mean CO2 of 2022 was not known.
    assert delays.known(month("2023-02"), labelled).co2 == month("2021-12")


def test_no_edition_comes_after_the_last() -> None:
    delays = Delays(labels=(11,), forcing=0.0, co2=0)
    late = delays.known(month("2030-01"), (month("2024-12"),))
    assert late.labels == (month("2024-12"),)
    assert delays.appeared(late.labels) == month("2025-11")


def test_delays_come_from_settings_and_catalog() -> None:
    world = tiny_world(first=2000, last=2004)
    asked = DelaySettings(teachers={"TWO": 15}, forcing_days=7.0)
    assert known.delays_of(world, ["tas", "pr"], asked) == Delays((11, 15), 7.0, 3)
    world["tas"].attrs["catalog_entry"] = "quick"
    world["pr"].attrs["catalog_entry"] = "slow"
    entries = {"quick": {"latency_days": 1}, "slow": {"latency_days": 40}}
    world.attrs["catalog"] = json.dumps(entries)
    assert known.delays_of(world, ["tas", "pr"], asked).forcing == 40.0
    assert known.delays_of(world, ["tas"], asked).forcing == 1.0


# CO2


def test_co2_goes_on_by_its_mean_change() -> None:
    # 300, 302, 304, 306 ppm: + 2 a year; the steps stay in January.
    years = np.repeat([300.0, 302.0, 304.0, 306.0, np.nan, np.nan], 12)
    found = known.extend_yearly(years, 48, 10)
    np.testing.assert_allclose(found[48:], np.repeat([308.0, 310.0], 12))
    # Over the last year alone the change may be another.
    years[36:48] = 309.0
    np.testing.assert_allclose(known.extend_yearly(years, 48, 1)[48:60], 314.0)
    # A constant stays constant, to the bit; a season stays.
    constant = np.full((1, 40), 280.0)
    assert (known.extend_yearly(constant, 30, 5) == 280.0).all()
    season = np.tile(np.arange(12.0), 4)
    np.testing.assert_array_equal(known.extend_yearly(season, 36, 2), season)


def test_too_little_co2_gives_none() -> None:
    assert np.isnan(known.extend_yearly(np.ones(30), 12, 10)[12:]).all()
    assert np.isnan(known.extend_yearly(np.ones(30), 0, 10)).all()
    # Where a simulation's CO2 begins late, its own first year counts.
    values = np.stack([np.arange(36.0), np.arange(36.0)])
    values[1, :12] = np.nan
    found = known.extend_yearly(values, 30, 10)
    np.testing.assert_allclose(found[:, 30:], np.arange(30.0, 36.0)[None].repeat(2, 0))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_later_co2_changes_nothing(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 80))
    until = data.draw(st.integers(0, size))
    values = np.array(
        data.draw(st.lists(st.floats(200, 600), min_size=size, max_size=size))
    )
    later = np.where(np.arange(size) < until, values, np.nan)
    np.testing.assert_array_equal(
        known.extend_yearly(values, until, 10), known.extend_yearly(later, until, 10)
    )


# Stores


def without_later(world: xr.Dataset, cut: Known) -> xr.Dataset:
    """Return the store with NaN for all that ``cut`` does not know."""
    changed = world.copy(deep=True)
    months = world["time"].to_numpy().astype("M8[M]")
    weather = world["weather_time"].to_numpy().astype("M8[M]")
    for name, field in changed.data_vars.items():
        if "teacher" in field.dims:
            for place, last in enumerate(cut.labels):
                field.values[:, place, months > last] = np.nan
        elif field.dims[:1] == ("weather_time",):
            field.values[weather > cut.forcing] = np.nan
        elif name in ("co2", "co2_normal"):
            field.values[:, months > min(cut.co2, cut.forcing)] = np.nan
        elif name == "weather":
            field.values[:, months > cut.forcing] = -1
    return changed


@settings(max_examples=20, deadline=None)
@given(st.integers(24, 100), st.sampled_from(["land", "ocean"]))
def test_a_store_is_cut_the_same_without_what_came_later(
    since: int, domain: str
) -> None:
    world = tiny_world(domain, first=2000, last=2008)
    delays = Delays(labels=(11, 23), forcing=5.0, co2=3)
    last = month("2008-12")
    cut = delays.known(month("2000-01") + since, (last, last))
    found = known.cut_store(world, cut, 10)
    assert found["time"].to_numpy().astype("M8[M]")[-1] == cut.forcing
    xr.testing.assert_identical(
        found.drop_vars(["nbp", "gpp", "ra", "rh", "fgco2"], errors="ignore"),
        known.cut_store(without_later(world, cut), cut, 10).drop_vars(
            ["nbp", "gpp", "ra", "rh", "fgco2"], errors="ignore"
        ),
    )


def test_weather_keeps_its_place_and_what_is_unknown_has_none() -> None:
    world = tiny_world(first=2000, last=2008)
    labels = (month("2002-12"), month("0000-12"))  # TWO has none
    cut = Known(month("2004-05"), labels, month("2004-04"), month("2003-12"))
    found = known.cut_store(world, cut, 10)
    months = month_range("1998-01", "2004-04")
    np.testing.assert_array_equal(found["time"].to_numpy().astype("M8[M]"), months)
    assert found.sizes["weather_time"] == 52
    # S2 saw its own weather, from 2000 on; S1 the first four years again and again.
    np.testing.assert_array_equal(
        found["weather"].sel(simulation="S2"),
        np.where(months < month("2000-01"), -1, np.arange(-24, 52)),
    )
    np.testing.assert_array_equal(
        found["weather"].sel(simulation="S1"), np.arange(-24, 52) % 48
    )
    until = found["labels_until"].to_numpy().astype("M8[M]")
    assert tuple(until) == labels


@pytest.mark.parametrize(
    ("years", "is_known"), [([2000, 2003], True), ([2000, 2004], False), (None, False)]
)
def test_a_climatology_is_known_when_its_last_year_is(
    years: list[int] | None, is_known: bool
) -> None:
    world = tiny_world("ocean", first=2000, last=2008)
    if years:
        spans = [{"years": [1700, None], "climatology": years}]
        entry = {"kind": "teacher", "simulations": {"B": {"weather": spans}}}
        world.attrs["catalog"] = json.dumps({"one": entry})
    cut = Known(
        month("2004-05"), (month("2002-12"),) * 2, month("2004-04"), month("2003-12")
    )
    found = known.cut_store(world, cut, 10)
    rows = found["weather"].sel(simulation="B").to_numpy()
    if not is_known:
        assert (rows == -1).all()
        return
    # 52 months from January 2000 to April 2004, then the twelve of the mean year.
    assert found.sizes["weather_time"] == 64
    np.testing.assert_array_equal(rows, 52 + np.arange(76) % 12)
    mean = world["tosforc"][-12:].to_numpy()
    np.testing.assert_array_equal(found["tosforc"][52:].to_numpy(), mean)


# Settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"years": [2010]}, r"backcast.years must be the first and the last year"),
        ({"years": [2010, 2009]}, r"got \[2010, 2009\]"),
        ({"months_known": [13]}, r"numbers of months from 0 to 12, got \[13\]"),
        ({"months_known": []}, r"from 0 to 12, got \[\]"),
        ({"periods": ["2023"]}, r"backcast.periods has '2023'"),
        ({"periods": ["2023-07/2023-06"]}, r"spans of months such as"),
        ({"periods": ["2023-13/2024-06"]}, r"backcast.periods has"),
        ({"choose": "last"}, r"backcast.choose is 'last', but must be 'first' or"),
        ({"validation_years": 0}, r"backcast.validation_years is 0, but"),
        ({"adjust_years": 0}, r"backcast.adjust_years is 0"),
        ({"normal_years": 2}, r"backcast.normal_years is 2, but must be at least 3"),
        ({"climatology_years": 0}, r"backcast.climatology_years is 0"),
    ],
)
def test_settings_are_checked(change: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        BackcastSettings(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": -1}, "backcast.delays.labels is -1"),
        ({"teachers": {"ONE": -2}}, "backcast.delays.teachers.ONE is -2"),
        ({"forcing_days": -0.5}, "backcast.delays.forcing_days is -0.5"),
        ({"co2": -1}, "backcast.delays.co2 is -1"),
        ({"co2_years": 0}, "backcast.delays.co2_years is 0"),
    ],
)
def test_delays_are_checked(change: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        DelaySettings(**change)
