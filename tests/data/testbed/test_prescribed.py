"""Teachers run again: the same question gives the same answer, another one another."""

import numpy as np
import pytest

from emulator.carbon import timeaxis
from emulator.carbon.units import MOLAR_MASS_CARBON
from emulator.data.testbed import (
    land_runs,
    land_teachers,
    layouts,
    ocean_runs,
    ocean_teachers,
    prescribed,
    rerun,
    scenario,
    weather,
)
from emulator.data.testbed.prescribed import Prescribed
from emulator.data.testbed.weather import saturation_pressure
from tests.data.testbed.conftest import Small


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spin up for too short: the runs that are compared begin alike all the same."""
    monkeypatch.setattr(land_runs, "_JUMPING_YEARS", 10)
    monkeypatch.setattr(land_runs, "_SETTLING_YEARS", 0)
    monkeypatch.setattr(ocean_runs, "_SPIN_UP_YEARS", 20)


def test_a_run_that_sees_what_s1_saw_is_s1(small: Small) -> None:
    teacher, layout = land_teachers.TEACHERS[0], layouts.LAND[0]
    given = (small.earth, small.seen, small.spans)
    runs = land_runs.simulations(teacher, *given, layout.calendar)
    model, wanted = next((m, f) for name, m, f in runs if name == "S1")
    again = Prescribed(
        prescribed.recycled(small.seen, small.spans, 1999),
        scenario.co2(small.spans.output),
    )
    (found,) = rerun.net_flux(teacher.name, *given, [again])
    packed = found.reshape(120, -1)
    np.testing.assert_allclose(packed[:, model.cells], wanted.nbp, rtol=1e-12)
    assert np.isnan(np.delete(packed, model.cells, axis=1)).all()


def test_a_run_that_sees_what_a_saw_is_a(small: Small) -> None:
    teacher, layout = ocean_teachers.TEACHERS[0], layouts.OCEAN[0]
    given = (small.earth, small.seen, small.spans)
    runs = ocean_runs.simulations(teacher, *given, layout.calendar)
    cells, wanted = next((c, f) for name, c, f in runs if name == "A")
    # Ten recycled years from the first of output on are these years themselves.
    again = Prescribed(
        prescribed.recycled(small.seen, small.spans, 1999),
        scenario.co2(small.spans.output),
    )
    (found,) = rerun.net_flux(teacher.name, *given, [again])
    np.testing.assert_allclose(
        found.reshape(120, -1)[:, cells], wanted.fgco2 * MOLAR_MASS_CARBON, rtol=1e-12
    )


def test_runs_differ_from_the_year_on_in_which_they_see_something_else(
    small: Small,
) -> None:
    air = scenario.co2(small.spans.output)
    calm = prescribed.recycled(small.seen, small.spans, 1999)
    harsh = prescribed.warmer_and_drier(
        calm, small.earth.grid, 1995, warming=1.0, rain=0.8
    )
    held = prescribed.rising_from(1993, small.spans.output, 0.0)
    runs = [Prescribed(calm, air), Prescribed(harsh, air), Prescribed(calm, held)]
    normal, hot, less = rerun.net_flux(
        "ALDER", small.earth, small.seen, small.spans, runs
    )
    years = timeaxis.years_of(calm.months)
    for other, begins in ((hot, 1995), (less, 1994)):
        same = (other == normal) | np.isnan(normal)
        assert same[years < begins].all()
        assert not same[years >= begins].all()
    uptake = [np.nansum(each[years == 1999]) for each in (normal, less)]
    assert uptake[0] > uptake[1]


def test_recycled_weather_repeats_the_first_years(small: Small) -> None:
    found = prescribed.recycled(small.seen, small.spans, 2012)
    assert (str(found.months[0]), str(found.months[-1])) == ("1990-01", "2012-12")
    for field, source in (
        (found.land["tas"], small.seen.land["tas"]),
        (found.ocean["tos"], small.seen.ocean["tos"]),
    ):
        np.testing.assert_array_equal(field[:120], source[:120])
        np.testing.assert_array_equal(field[240:], source[:36])
    np.testing.assert_array_equal(found.el_nino[120:240], small.seen.el_nino[:120])


def test_a_warm_dry_year_changes_that_year_only(small: Small) -> None:
    before = small.seen.land["tas"].copy()
    found = prescribed.warmer_and_drier(
        small.seen, small.earth.grid, 1995, warming=1.0, rain=0.8
    )
    inside = timeaxis.years_of(small.seen.months) == 1995
    np.testing.assert_array_equal(small.seen.land["tas"], before)
    for name, one, other in (
        ("tas", found.land, small.seen.land),
        ("pr", found.land, small.seen.land),
        ("vpd", found.land, small.seen.land),
        ("tos", found.ocean, small.seen.ocean),
    ):
        changed = (one[name] != other[name]).any(axis=1)
        np.testing.assert_array_equal(changed, inside)
    land, seen = found.land, small.seen.land
    np.testing.assert_allclose(land["tas"][inside], seen["tas"][inside] + 1, rtol=1e-6)
    np.testing.assert_allclose(land["pr"][inside], 0.8 * seen["pr"][inside], rtol=1e-6)

    def humidity(fields: dict[str, np.ndarray]) -> np.ndarray:
        full = saturation_pressure(fields["tas"][inside].astype("f8") - 273.15)
        return 1 - fields["vpd"][inside] / full

    # 0.05 ln 0.8 - 0.006 = -0.0172, where the air is neither dry nor damp already.
    change = humidity(land) - humidity(seen)
    usual = (humidity(seen) > 0.13) & (humidity(seen) < 0.94)
    np.testing.assert_allclose(change[usual], -0.0172, atol=1e-4)
    assert (land["rsds"][inside] >= seen["rsds"][inside] * (1 - 1e-6)).all()


def test_no_change_of_rain_and_warmth_is_no_change(small: Small) -> None:
    grid = small.earth.grid
    found = prescribed.warmer_and_drier(small.seen, grid, 1995, warming=0.0, rain=1.0)
    for name, field in small.seen.land.items():
        np.testing.assert_allclose(found.land[name], field, rtol=1e-4, atol=1e-3)


def test_dry_months_are_those_of_the_weather_itself(small: Small) -> None:
    # Sunshine of another rain, by the law that made both: ln(rain) of two Augusts.
    land = small.seen.land
    one, other = 7, 19
    rain = (land["pr"][other] / land["pr"][one]).astype("f8")
    lat = np.repeat(small.earth.grid.lat, small.earth.grid.lon.size)
    lat = lat[small.seen.land_cells]
    cell = int(np.argmax(np.where(np.abs(lat) < 30, np.abs(np.log(rain)), 0)))
    changed = weather.drier(
        {name: field[[one]] for name, field in land.items()},
        lat,
        np.array([[8.0]]),
        warming=0.0,
        rain=float(rain[cell]),
    )
    found, wanted = changed["rsds"][0, cell], land["rsds"][other, cell]
    assert abs(land["rsds"][one, cell] - wanted) > 1
    assert found == pytest.approx(wanted, rel=1e-3)


def test_co2_rises_by_the_rate_after_the_history() -> None:
    years = np.arange(1990, 1994)
    found = prescribed.rising_from(1991, years, 0.01)
    history = scenario.co2(years)
    np.testing.assert_allclose(found[:2], history[:2])
    np.testing.assert_allclose(found[2:], history[1] * np.array([1.01, 1.01**2]))
    held = prescribed.rising_from(1991, years, 0.0)
    np.testing.assert_allclose(held[2:], history[1])


def test_forcing_is_what_an_emulator_reads(small: Small) -> None:
    seen = prescribed.recycled(small.seen, small.spans, 1999)
    run = Prescribed(seen, scenario.co2(small.spans.output))
    np.testing.assert_array_equal(run.years, small.spans.output)
    found = prescribed.forcing(run, small.earth.grid, "land")
    assert set(found.data_vars) == {"tas", "pr", "rsds", "vpd", "co2", "co2_normal"}
    assert found["tas"].attrs["units"] == "K"
    tas = found["tas"].to_numpy().reshape(120, -1)
    np.testing.assert_array_equal(tas[:, seen.land_cells], seen.land["tas"])
    assert np.isnan(np.delete(tas, seen.land_cells, axis=1)).all()
    # January 1990: eleven months of 1960, the whole of 1961 to 1989, one of 1990.
    years = scenario.co2(np.arange(1960, 1991))
    mean = (11 * years[0] + 12 * years[1:-1].sum() + years[-1]) / 360
    assert float(found["co2_normal"][0]) == pytest.approx(mean)
    assert float(found["co2"][0]) == pytest.approx(years[-1])
    sea = prescribed.forcing(run, small.earth.grid, "ocean")
    assert set(sea.data_vars) >= {"tos", "sfcWind", "siconc", "sos", "mlotst"}


def test_an_unknown_teacher_is_refused(small: Small) -> None:
    with pytest.raises(ValueError, match=r"no teacher 'OAK'.*ALDER.*TERN"):
        rerun.net_flux("OAK", small.earth, small.seen, small.spans, [])
