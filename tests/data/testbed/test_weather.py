"""Tests of the simulated weather."""

import numpy as np
import pytest

from emulator.carbon import timeaxis
from emulator.carbon.grid import Grid
from emulator.data.testbed import geography, weather
from tests.data.testbed.conftest import Small


def test_one_seed_gives_one_weather(small: Small) -> None:
    again = weather.simulate(small.earth, small.seen.months, 0)
    other = weather.simulate(small.earth, small.seen.months, 1)
    np.testing.assert_array_equal(again.land["pr"], small.seen.land["pr"])
    np.testing.assert_array_equal(again.ocean["tos"], small.seen.ocean["tos"])
    assert not np.allclose(other.land["pr"], small.seen.land["pr"], rtol=1e-3)
    assert not np.allclose(other.el_nino, small.seen.el_nino)


def test_weather_of_a_place_does_not_depend_on_the_grid(small: Small) -> None:
    # The centre of a 15-degree cell is that of a 5-degree cell, too.
    fine = geography.build(Grid.regular(5.0))
    seen = weather.simulate(fine, small.seen.months, 0)
    coarse_cell = 6 * 24 + 8  # 7.5N, 52.5W
    fine_cell = (6 * 3 + 1) * 72 + 8 * 3 + 1
    coarse = small.seen.ocean["sfcWind"][:, small.seen.ocean_cells == coarse_cell]
    there = seen.ocean["sfcWind"][:, seen.ocean_cells == fine_cell]
    np.testing.assert_allclose(coarse, there, rtol=1e-6)


def test_fields_are_physical(small: Small) -> None:
    land, ocean = small.seen.land, small.seen.ocean
    assert all(np.isfinite(v).all() for v in (*land.values(), *ocean.values()))
    assert set(land) == set(weather.LAND_FORCING)
    assert set(ocean) == set(weather.OCEAN_FORCING)
    for name, low, high in (
        ("tas", 190.0, 320.0),
        ("pr", 0.0, 1e-3),
        ("rsds", 0.0, 420.0),
        ("vpd", 0.0, 6000.0),
    ):
        assert low <= land[name].min()
        assert land[name].max() <= high
    assert ocean["tos"].min() >= -1.8 - 1e-6
    assert 0 <= ocean["siconc"].min() <= ocean["siconc"].max() <= 1


def test_summers_are_warm_in_their_hemisphere(small: Small) -> None:
    lat = np.repeat(small.earth.grid.lat, 24)[small.seen.land_cells]
    tas = small.seen.land["tas"].reshape(-1, 12, lat.size).mean(axis=0)
    assert (tas[6] - tas[0])[lat > 30].min() > 0
    assert (tas[6] - tas[0])[lat < -20].max() < 0


def test_el_nino_dries_the_amazon_and_slows_the_trade_wind() -> None:
    earth = geography.build(Grid.regular(15.0))
    seen = weather.simulate(earth, timeaxis.month_range("1900-01", "1999-12"), 3)
    index = seen.el_nino
    assert index.std() == pytest.approx(1.0, abs=0.2)
    amazon = seen.land["pr"][:, seen.land_cells == 5 * 24 + 8][:, 0]
    pacific = seen.ocean["sfcWind"][:, seen.ocean_cells == 5 * 24 + 4][:, 0]

    def anomaly(series: np.ndarray) -> np.ndarray:
        by_month = series.reshape(-1, 12)
        return (by_month / by_month.mean(axis=0)).ravel() - 1

    assert np.corrcoef(anomaly(amazon), index)[0, 1] < -0.2
    assert np.corrcoef(anomaly(pacific), index)[0, 1] < -0.5


def test_el_nino_repeats_after_two_to_seven_years() -> None:
    earth = geography.build(Grid.regular(90.0))
    seen = weather.simulate(earth, timeaxis.month_range("1600-01", "1999-12"), 0)
    power = np.abs(np.fft.rfft(seen.el_nino)) ** 2
    period = 1 / np.maximum(np.fft.rfftfreq(seen.el_nino.size, 1 / 12), 1e-9)
    inside = power[(period > 2) & (period < 7)].sum()
    assert inside > 0.5 * power[1:].sum()


def test_noise_remembers_as_long_as_it_should() -> None:
    noise = weather.RedNoise(6000, 0.8, np.random.default_rng(0))._series
    assert noise.std() == pytest.approx(1.0, abs=0.02)
    lagged = np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]
    assert lagged == pytest.approx(0.8, abs=0.01)


def test_insolation_by_hand() -> None:
    # At the equator at equinox, half the day at cos(zenith): 1361 / pi = 433 W m-2;
    # the pole has no sun in December. Mid-March is a week from the equinox.
    found = weather.insolation(np.array([0.0, 89.0]), np.array([[3.0], [12.0]]))
    assert found[0, 0] == pytest.approx(433, rel=0.01)
    assert found[1, 1] == 0.0


def test_saturation_pressure_by_hand() -> None:
    # Bolton's formula holds 611.2 Pa at 0 degC; tables give 2339 Pa at 20 degC.
    assert weather.saturation_pressure(np.array(0.0)) == pytest.approx(611.2)
    assert weather.saturation_pressure(np.array(20.0)) == pytest.approx(2339, rel=2e-3)
