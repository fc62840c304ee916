"""Which weather each month of a simulation saw."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import CatalogError
from emulator.data import catalog, strict
from emulator.data.entry import Simulation
from emulator.data.sequence import UNKNOWN, climatology_years, weather_sequence

WEATHER = np.arange("1948-01", "2013-01", dtype="M8[M]")


def simulation(*weather: dict[str, Any]) -> Simulation:
    said = {"weather": list(weather), "co2": {"constant": 280.0}}
    built = strict.build(Simulation, said)
    assert isinstance(built, Simulation)
    return built


def seen(saw: Simulation, month: str) -> str:
    index = weather_sequence(saw, np.array([month], "M8[M]"), WEATHER)[0]
    return "unknown" if index == UNKNOWN else str(WEATHER[index])


@pytest.mark.parametrize(
    ("month", "weather"),
    [
        ("1948-01", "1976-01"),
        ("1949-12", "1977-12"),
        ("1950-01", "1948-01"),
        ("1979-06", "1977-06"),
        ("1980-06", "1948-06"),
        ("2012-12", "1950-12"),
        ("1700-07", "1968-07"),
    ],
)
def test_lpjwsl_control_saw_the_weather_its_readme_says(
    month: str, weather: str
) -> None:
    # 1948 saw 1976, 1949 saw 1977, 1950 saw 1948, and so on every 30 years.
    entry = catalog.load("lpjwsl")
    assert seen(entry.simulations["S0"], month) == weather
    assert seen(entry.simulations["S1"], month) == weather


def test_lpjwsl_s2_saw_its_own_weather_from_1948() -> None:
    saw = catalog.load("lpjwsl").simulations["S2"]
    assert seen(saw, "1947-12") == "1975-12"
    assert seen(saw, "1948-01") == "1948-01"
    assert seen(saw, "2012-12") == "2012-12"
    assert seen(saw, "2013-01") == "unknown"


def test_the_memory_of_a_cycle_runs_along_the_cycle() -> None:
    # January 1950 saw 1948; the month before it saw December 1977.
    saw = catalog.load("lpjwsl").simulations["S0"]
    months = np.arange("1949-12", "1950-02", dtype="M8[M]")
    index = weather_sequence(saw, months, WEATHER)
    assert [str(m) for m in WEATHER[index]] == ["1977-12", "1948-01"]


def test_mitgcm_before_its_forcing_is_unknown() -> None:
    saw = catalog.load("mitgcm_dic").simulations["A"]
    assert seen(saw, "1981-12") == "unknown"
    assert seen(saw, "1982-01") == "1982-01"


def test_a_climatology_follows_the_weather() -> None:
    saw = catalog.load("mitgcm_dic").simulations["B"]
    months = np.arange("1982-01", "1984-01", dtype="M8[M]")
    index = weather_sequence(saw, months, WEATHER)
    assert index.dtype == np.int32
    np.testing.assert_array_equal(index, WEATHER.size + np.tile(np.arange(12), 2))


def test_years_in_no_span_are_unknown() -> None:
    saw = simulation({"years": [1990, 1999], "same": True})
    assert seen(saw, "1989-12") == "unknown"
    assert seen(saw, "2000-01") == "unknown"


def test_the_order_of_the_weather_does_not_matter() -> None:
    saw = simulation({"years": [1948, 2012], "same": True})
    months = np.arange("1960-01", "1965-01", dtype="M8[M]")
    shuffled = np.random.default_rng(0).permutation(WEATHER)
    index = weather_sequence(saw, months, shuffled)
    np.testing.assert_array_equal(shuffled[index], months)


@settings(deadline=None)
@given(
    year=st.integers(1, 3000),
    first=st.integers(1948, 2000),
    length=st.integers(1, 12),
    anchor=st.integers(1700, 2100),
)
def test_a_cycle_repeats_and_keeps_the_month(
    year: int, first: int, length: int, anchor: int
) -> None:
    cycle = [first, first + length - 1]
    saw = simulation({"years": [1, None], "repeat": cycle, "anchor": anchor})
    assert seen(saw, f"{anchor:04d}-03") == f"{first}-03"
    month = seen(saw, f"{year:04d}-08")
    assert cycle[0] <= int(month[:4]) <= cycle[1]
    assert month[5:] == "08"
    assert seen(saw, f"{year + length:04d}-08") == month


def test_one_store_holds_one_climatology() -> None:
    one = simulation({"years": [1900, None], "climatology": [1982, 2007]})
    same = simulation({"years": [1982, None], "same": True})
    other = simulation({"years": [1900, None], "climatology": [1982, 2000]})
    assert climatology_years([one, same]) == (1982, 2007)
    assert climatology_years([same]) is None
    with pytest.raises(CatalogError, match="climatologies of different years"):
        climatology_years([one, other])
