"""Tests of the land carbon cycle: closure, spin-up, and what each setting does."""

import math
from dataclasses import replace

import numpy as np
import pytest

from emulator.carbon import timeaxis
from emulator.data.testbed import land, land_laws, land_runs
from emulator.data.testbed.land import LandForcing, LandModel
from emulator.data.testbed.land_structure import LandTeacher
from emulator.data.testbed.land_teachers import TEACHERS
from emulator.data.testbed.weather import saturation_pressure
from tests.data.testbed.conftest import Small

ALDER = TEACHERS[0]
MONTH = 30 * 86400.0


def forcing(small: Small, years: int = 3) -> LandForcing:
    """Return the first years of weather under 340 ppm, in months of 30 days."""
    months = 12 * years
    fields = {
        name: field[:months].astype(np.float64)
        for name, field in small.seen.land.items()
    }
    return LandForcing(
        **fields,
        co2=np.full((months, 1), 340.0),
        seconds=np.full((months, 1), MONTH),
    )


def run(teacher: LandTeacher, small: Small) -> land.LandFluxes:
    """Return three years of fluxes from a young landscape."""
    model = LandModel(teacher, small.earth, small.seen.land_cells)
    return model.run(model.first_state(), forcing(small))


@pytest.mark.parametrize("teacher", TEACHERS, ids=lambda teacher: teacher.name)
def test_carbon_closes_in_every_cell_and_month(
    teacher: LandTeacher, small: Small
) -> None:
    model = LandModel(teacher, small.earth, small.seen.land_cells)
    state = model.first_state()
    before = state.carbon()[None]
    fluxes = model.run(state, forcing(small))
    change = np.diff(np.concatenate([before, fluxes.storage]), axis=0)
    gross = (fluxes.gpp + fluxes.ra + fluxes.rh + fluxes.fire) * MONTH
    # A polar night moves nothing: there rounding of the stock, 1e-15 of it, remains.
    allowed = 1e-6 * gross + 1e-14 * fluxes.storage
    assert (np.abs(change - fluxes.nbp * MONTH) <= allowed).all()
    assert min(state.living.min(), state.dead.min(), state.water.min()) >= 0


@pytest.mark.parametrize("teacher", TEACHERS, ids=lambda teacher: teacher.name)
def test_reported_components_make_nbp_but_for_harvest(
    teacher: LandTeacher, small: Small
) -> None:
    fluxes = run(teacher, small)
    reported = fluxes.gpp - fluxes.ra - fluxes.rh
    reported -= fluxes.fire if teacher.fire_in == "fFire" else 0.0
    np.testing.assert_allclose(reported - fluxes.nbp, fluxes.harvest, atol=1e-20)
    assert bool(fluxes.harvest.any()) == (teacher.name == "HAZEL")
    assert bool(fluxes.fire.any()) == (teacher.fire_in != "none")


def test_teachers_differ_in_structure() -> None:
    assert len(TEACHERS) == 6
    assert len({teacher.stress for teacher in TEACHERS}) == 6
    assert len({teacher.soil_respiration for teacher in TEACHERS}) == 6
    pools = {(teacher.living, teacher.dead) for teacher in TEACHERS}
    assert len(pools) == 6
    assert [teacher.fire_in for teacher in TEACHERS].count("rh") == 1
    assert [teacher.fire_in for teacher in TEACHERS].count("none") == 1
    for teacher in TEACHERS:
        assert sum(pool.share for pool in teacher.living) == pytest.approx(1.0)
        fed = {kind for pool in teacher.dead for kind in pool.takes}
        assert fed == {pool.kind for pool in teacher.living}
        assert teacher.dead[-1].passed == 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"light_use": land_laws.empirical_light_use},
        {"efficiency": 0.6},
        {"nutrients": 0.5},
        {"stress": land_laws.matric_stress},
        {"plant_respiration": land_laws.constant_q10},
        {"soil_respiration": land_laws.constant_q10},
        {"growth": 0.4},
        {"living": TEACHERS[2].living},
        {"dead": TEACHERS[2].dead},
        {"leaf_area": 10.0},
        {"canopy": 1.0},
        {"root_depth": 2.0},
        {"dry_decay": 0.9},
        {"fire": 0.0},
        {"harvest": 0.1},
        {"soil_memory": 3.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_the_sink(change: dict, small: Small) -> None:
    changed = run(replace(ALDER, **change), small).nbp
    assert np.abs(changed - run(ALDER, small).nbp).max() > 1e-12


def test_fire_in_rh_moves_it_there(small: Small) -> None:
    apart = run(ALDER, small)
    within = run(replace(ALDER, fire_in="rh"), small)
    np.testing.assert_allclose(within.rh, apart.rh + apart.fire)
    np.testing.assert_array_equal(within.nbp, apart.nbp)


def test_losses_share_what_decays() -> None:
    # Two processes of 1 and 3 per year act on 2 kg for half a year: together they
    # take 2 (1 - e^-2), a quarter and three quarters of it.
    rates = np.array([[[1.0]], [[3.0]]])
    found = land._decayed(np.array([[2.0]]), rates, 0.5)
    lost = 2 * (1 - math.exp(-2))
    np.testing.assert_allclose(found.ravel(), [lost / 4, 3 * lost / 4])


def test_evaporation_by_hand() -> None:
    # 25 degC, 200 W m-2: net 166 - 49.2 = 116.8 W m-2; slope 189.0 Pa K-1 gives
    # 1.26 * 189.0 / 255.0 * 116.8 / 2.45e6 = 4.45e-5 kg m-2 s-1.
    found = land.evaporative_demand(np.array(298.15), np.array(200.0))
    assert found == pytest.approx(4.45e-5, rel=5e-3)
    slope = saturation_pressure(np.array([25.05])) - saturation_pressure(
        np.array([24.95])
    )
    assert slope[0] / 0.1 == pytest.approx(189.0, rel=2e-3)


def test_snow_waits_for_spring(small: Small) -> None:
    model = LandModel(ALDER, small.earth, small.seen.land_cells[:1])
    state = model.first_state()
    state.water[:] = 0.0
    cold, warm = np.array([263.15]), np.array([278.15])
    model._move_water(state, cold, np.array([40.0]), np.array([1.0]))
    assert state.snow == pytest.approx(40.0)
    assert state.water == pytest.approx(0.0)
    model._move_water(state, warm, np.array([0.0]), np.array([1.0]))
    assert state.snow == pytest.approx(0.0)
    # One millimetre at most evaporates.
    assert 39.0 < state.water[0] <= 40.0


def test_pools_jump_to_their_balance(small: Small) -> None:
    model = LandModel(ALDER, small.earth, small.seen.land_cells[:1])
    state = model.first_state()
    state.gained[:], state.lost[:] = 3.0, 2.0
    state.jump_to_balance()
    np.testing.assert_allclose(state.living, 0.15)
    np.testing.assert_allclose(state.dead, 1.5)
    state.forget_turnover()
    assert not state.gained.any()
    assert not state.lost.any()


def test_a_control_is_balanced_and_co2_makes_a_sink(small: Small) -> None:
    area = small.earth.grid.cell_area().ravel() * small.earth.land_fraction.ravel()
    runs = {
        name: (fluxes, model)
        for name, model, fluxes in land_runs.simulations(
            ALDER, small.earth, small.seen, small.spans, "noleap"
        )
    }
    assert list(runs) == ["S0", "S1", "S2"]
    months = timeaxis.month_range("1990-01", "1999-12")
    seconds = timeaxis.seconds_per_month(months, "noleap")
    sink = {
        name: (fluxes.nbp * area[model.cells]).sum(axis=1) @ seconds / 10 / 1e12
        for name, (fluxes, model) in runs.items()
    }
    assert abs(sink["S0"]) < 0.05
    assert sink["S1"] > 1.0
    # Both end their history with the same state, and see the same first weather.
    np.testing.assert_array_equal(runs["S1"][0].gpp[:12], runs["S2"][0].gpp[:12])
    ice = small.earth.ice_fraction.ravel()[runs["S0"][1].cells]
    assert ice.max() < 0.5


def test_blocks_do_not_show(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = np.ones(small.seen.land_cells.size, dtype=bool)
    years = np.arange(1990, 1996)
    results = []
    for block in (20, 2):
        monkeypatch.setattr(land_runs, "_BLOCK_YEARS", block)
        model = LandModel(ALDER, small.earth, small.seen.land_cells)
        driver = land_runs._Run(model, small.seen, kept, "standard")
        air = np.full(6, 300.0)
        state = model.first_state()
        results.append(driver.through(state, years, air, years).nbp)
    np.testing.assert_array_equal(results[0], results[1])
    assert results[0].shape[0] == 72


def test_calendar_sets_the_length_of_months(small: Small) -> None:
    model = LandModel(ALDER, small.earth, small.seen.land_cells)
    kept = np.ones(small.seen.land_cells.size, dtype=bool)
    lengths = {}
    for calendar in ("360_day", "noleap", "standard"):
        driver = land_runs._Run(model, small.seen, kept, calendar)
        made = driver._forcing(np.array([1996]), np.array([300.0]), np.array([1996]))
        lengths[calendar] = made.seconds.sum() / 86400
    assert lengths == {"360_day": 360, "noleap": 365, "standard": 366}


def test_soil_keeps_part_of_its_warmth_in_winter(small: Small) -> None:
    model = LandModel(ALDER, small.earth, small.seen.land_cells[:1])
    bare, snowy = model.first_state(), model.first_state()
    snowy.snow[:] = 40.0
    cold = np.array([253.15])
    for _ in range(60):
        bare_soil = model._warm_soil(bare, cold)
        snowy_soil = model._warm_soil(snowy, cold)
    # After five years of it, 20 K of frost are 10 K under snow.
    assert bare_soil == pytest.approx(253.15, abs=0.3)
    assert snowy_soil == pytest.approx(263.15, abs=0.3)
