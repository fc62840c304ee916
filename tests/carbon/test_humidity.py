"""Moisture of the air against tables and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.humidity import (
    missing_vapour,
    saturation_pressure,
    specific_humidity,
    vapour_pressure,
    vapour_pressure_deficit,
)


@pytest.mark.parametrize(
    # WMO-No. 8 (2018), annex 4.B: over water, at 0, 20 and 40 degC, hPa.
    ("celsius", "pressure"),
    [(0.0, 6.112), (20.0, 23.37), (40.0, 73.78)],
)
def test_saturation_is_that_of_tables(celsius: float, pressure: float) -> None:
    found = saturation_pressure(np.array(celsius + 273.15)) / 100
    assert found == pytest.approx(pressure, rel=0.003)


def test_deficit_and_humidity_by_hand() -> None:
    # Formula at 293.16 K and 283.16 K: 611.21 exp(17.502 * 20 / 260.97) and
    # 611.21 exp(17.502 * 10 / 250.97).
    warm, cold = np.array(293.16), np.array(283.16)
    saturated, there = 2337.28, 1227.60
    assert saturation_pressure(warm) == pytest.approx(saturated, abs=0.02)
    assert saturation_pressure(cold) == pytest.approx(there, abs=0.02)
    assert vapour_pressure_deficit(warm, cold) == pytest.approx(1109.68, abs=0.04)
    # 0.62198 * 1227.60 / (100000 - 0.37802 * 1227.60)
    found = specific_humidity(cold, np.array(1e5))
    assert found == pytest.approx(0.0076711, abs=1e-6)


@given(st.floats(200, 330), st.floats(0, 40))
def test_air_is_never_moister_than_saturated(temperature: float, below: float) -> None:
    air, dew = np.array(temperature), np.array(temperature - below)
    deficit = vapour_pressure_deficit(air, dew)
    assert 0 <= deficit <= saturation_pressure(air)
    # A dewpoint that rounding put above the temperature.
    assert vapour_pressure_deficit(air, air + 0.01) == 0


def test_vapour_of_humid_air_by_hand() -> None:
    # 0.01 * 1e5 / (0.621981 + 0.378019 * 0.01), of 2337.28 Pa at 293.16 K.
    vapour = vapour_pressure(np.array(0.01), np.array(1e5))
    assert vapour == pytest.approx(1598.05, abs=0.01)
    missing = missing_vapour(np.array(293.16), vapour)
    assert missing == pytest.approx(739.23, abs=0.03)
    # More vapour than saturates is rounding, not a deficit below zero.
    assert missing_vapour(np.array(270.0), vapour) == 0


@given(st.floats(200, 330), st.floats(3e4, 1.1e5))
def test_humidity_and_vapour_are_inverse(dewpoint: float, pressure: float) -> None:
    dew, air = np.array(dewpoint), np.array(pressure)
    told = vapour_pressure(specific_humidity(dew, air), air)
    assert told == pytest.approx(float(saturation_pressure(dew)), rel=1e-12)
