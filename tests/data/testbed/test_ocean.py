"""Tests of the ocean carbon cycle: closure, balance, and what each setting does."""

from dataclasses import replace

import numpy as np
import pytest

from emulator.carbon import seawater
from emulator.data.testbed import ocean, ocean_laws, ocean_runs
from emulator.data.testbed.ocean import OceanTeacher
from emulator.data.testbed.ocean_teachers import TEACHERS
from tests.data.testbed.conftest import Small

GANNET = TEACHERS[0]
MONTH = 30 * 86400.0


def run(teacher: OceanTeacher, small: Small) -> ocean.OceanFluxes:
    """Return three years of output under 340 ppm from a balanced ocean."""
    driver = ocean_runs._Run(teacher, small.earth, small.seen, small.spans, "360_day")
    state = driver.model.first_state(driver.mean)
    years = np.arange(1990, 1993)
    return driver.through(state, years, np.full(3, 340.0), years)


@pytest.mark.parametrize("teacher", TEACHERS, ids=lambda teacher: teacher.name)
def test_carbon_closes_in_every_column_and_month(
    teacher: OceanTeacher, small: Small
) -> None:
    output = run(teacher, small)
    change = np.diff(output.storage, axis=0)
    moved = (output.fgco2 + output.supply)[1:] * MONTH
    gross = (np.abs(output.fgco2) + np.abs(output.supply))[1:] * MONTH
    allowed = 1e-6 * gross + 1e-14 * output.storage[1:]
    assert (np.abs(change - moved) <= allowed).all()
    assert (output.spco2 > 100).all()
    assert (output.spco2 < 1200).all()


def test_teachers_differ_in_structure() -> None:
    assert len(TEACHERS) == 4
    assert len({teacher.transfer for teacher in TEACHERS}) == 4
    assert len({teacher.bloom for teacher in TEACHERS}) == 4
    assert len({teacher.alkalinity for teacher in TEACHERS}) == 2
    assert [teacher.full_chemistry for teacher in TEACHERS].count(False) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"transfer": ocean_laws.cubic_transfer},
        {"alkalinity": ocean_laws.fitted_alkalinity},
        {"full_chemistry": False},
        {"column": 600.0},
        {"diffusion": 3e-4},
        {"renewal": 20.0},
        {"upwelling": 10.0},
        {"export": 0.0},
        {"bloom": 0.0},
        {"pattern": 0.0},
        {"surplus": 0.3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_the_flux(change: dict, small: Small) -> None:
    changed = run(replace(GANNET, **change), small).fgco2
    assert np.abs(changed - run(GANNET, small).fgco2).max() > 1e-11


def test_ice_stops_the_flux(small: Small) -> None:
    driver = ocean_runs._Run(GANNET, small.earth, small.seen, small.spans, "noleap")
    covered = replace(driver.mean, siconc=np.ones_like(driver.mean.siconc))
    state = driver.model.first_state(driver.mean)
    assert not driver.model.run(state, covered).fgco2.any()


def test_linear_chemistry_is_close_to_the_full_one() -> None:
    # Within 1 % of carbon and 5 K of the state around which it is built.
    tos = np.linspace(0.0, 28.0, 15)
    salinity = np.full(15, 35.0)
    alkalinity = np.full(15, 2.3e-3)
    carbon = seawater.carbon_at_equilibrium(
        np.full(15, 280.0), alkalinity, tos, salinity
    )
    simple = ocean._Chemistry.around(carbon, alkalinity, tos, salinity)
    known = seawater.constants(tos + 5, salinity)
    more = carbon * 1.01
    ph = seawater.ph_of(more, alkalinity, known)
    exact = 1e6 * seawater.dissolved_co2(more, ph, known) / known.k0
    found, capacity = simple.at(more, alkalinity, tos + 5)
    np.testing.assert_allclose(found, exact, rtol=0.03)
    exact_capacity = seawater.buffer_capacity(more, ph, known)
    np.testing.assert_allclose(capacity, exact_capacity, rtol=0.08)


def test_transfer_laws_by_hand() -> None:
    # Sc(20 degC) = 668.3. At 8 m/s: 0.251 * 1.23 * 64 * (668.3/660)^-0.5 = 19.6 cm/h.
    wind, tos = np.array(8.0), np.array(20.0)
    to_cm_per_hour = 3.6e5
    assert ocean_laws.quadratic_transfer(wind, tos) * to_cm_per_hour == pytest.approx(
        19.64, abs=0.05
    )
    # (0.222 * 1.23 * 64 + 0.333 * 8) (668.3/600)^-0.5 = 20.14 * 0.9475 = 19.08
    assert ocean_laws.mixed_transfer(wind, tos) * to_cm_per_hour == pytest.approx(
        19.08, abs=0.05
    )
    # 0.0283 * 1.5 * 512 * 0.9937 = 21.60; 3.5 * 5 * 0.9937 = 17.39
    assert ocean_laws.cubic_transfer(wind, tos) * to_cm_per_hour == pytest.approx(
        21.60, abs=0.05
    )
    assert ocean_laws.linear_transfer(wind, tos) * to_cm_per_hour == pytest.approx(
        17.39, abs=0.05
    )


def test_alkalinity_laws_by_hand() -> None:
    salinity, tos = np.array(35.0), np.array(20.0)
    assert ocean_laws.conservative_alkalinity(salinity, tos) == pytest.approx(2.3e-3)
    assert ocean_laws.fitted_alkalinity(salinity, tos) == pytest.approx(2.305e-3)


def test_mixing_keeps_carbon(small: Small) -> None:
    driver = ocean_runs._Run(GANNET, small.earth, small.seen, small.spans, "noleap")
    state = driver.model.first_state(driver.mean)
    state.mixed -= 0.1
    before = driver.model._storage(state)
    for factor in (1.5, 0.4):
        driver.model._mix(state, np.minimum(state.depth * factor, 350.0))
        np.testing.assert_allclose(driver.model._storage(state), before, rtol=1e-14)


def test_a_control_is_steady_and_co2_makes_a_sink(small: Small) -> None:
    sea = 1 - small.earth.land_fraction.ravel()
    area = small.earth.grid.cell_area().ravel() * sea
    sink = {}
    for name, cells, output in ocean_runs.simulations(
        TEACHERS[2], small.earth, small.seen, small.spans, "noleap"
    ):
        by_year = (output.fgco2 * area[cells]).sum(axis=1).reshape(-1, 12).mean(axis=1)
        sink[name] = by_year * 365 * 86400 * 12.011e-15
    assert list(sink) == ["B", "A"]
    assert np.ptp(sink["B"]) < 0.02
    assert (sink["A"] - sink["B"]).min() > 1.0
