import numpy as np
import pytest

from emulator.learning.insolation import SOLAR_CONSTANT, potential_radiation


def test_global_annual_mean_is_a_quarter_of_the_solar_constant() -> None:
    # A sphere of cross section pi R^2 spreads its light over 4 pi R^2; the mean of
    # (mean distance / distance)^2 over a year is 1.0001.
    sine = (np.arange(2000) + 0.5) / 1000 - 1
    light = potential_radiation(np.rad2deg(np.arcsin(sine)))
    days = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    mean = np.average(light.mean(axis=1), weights=days)
    assert mean == pytest.approx(SOLAR_CONSTANT / 4, rel=3e-4)


def test_polar_night_is_dark_and_polar_day_bright() -> None:
    december, june = potential_radiation(np.array([80.0]))[[11, 5], 0]
    assert december == 0
    assert june > 500


def test_equator_has_its_maximum_at_equinox() -> None:
    # Overhead at noon: S / pi, times the distance factor of March, 1.01.
    march = potential_radiation(np.array([0.0]))[2, 0]
    assert march == pytest.approx(SOLAR_CONSTANT / np.pi, rel=0.02)
