"""Causes, not trends: teachers are run again with weather and CO2 that nobody saw.

A small network learns S0, S1 and S2 of three teachers on a coarse testbed. Then it and
the teachers are asked the same two questions: what if CO2 rose by 1 % a year under
recycled weather, and what if one year were 1 K warmer with a fifth less rain.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

from emulator.carbon import timeaxis
from emulator.carbon.budget import annual_total, area_rate
from emulator.carbon.grid import Grid
from emulator.cli import composing
from emulator.data import testbed
from emulator.data.prepare import prepare
from emulator.data.testbed import geography, prescribed, rerun, weather
from emulator.data.testbed.prescribed import Prescribed
from emulator.data.testbed.scenario import Spans
from emulator.evaluation.responses import CLIMATE_TOLERANCE, CO2_TOLERANCE
from emulator.learning.fit import train
from emulator.learning.inference import load_emulator

TEACHERS = ("ALDER", "CEDAR", "LARCH")
STEP, SPANS = 10.0, Spans(1950, 2024)
BRANCH, WARM_DRY, LAST = 1975, 1985, 1995
"""Last year of the history; the changed year; the last one that is asked for."""

BALANCE = (
    "experiment=testbed_land",
    "learning.steps=400",
    "learning.cells_per_batch=32",
    "learning.validate_every=100",
    "learning.refit=false",
)
"""The experiment, smaller. A network without pools is told the level of CO2 and ties
the sink to it, while pools take up the more, the faster CO2 rises: it found 0.5 to 0.7
of the uptake at 1 % a year, which is twice the rate it learned from."""

ONE_TEACHER = 0.25
"""Allowed for a single teacher after so few steps; found: 1.01, 0.93 and 0.86. The
agreed 15 % is asked of all together."""

LEGACY = 0.65
"""Allowed of what a bad year leaves to the years after; found: 0.73, 0.82 and 0.46 of
the teachers'."""


@dataclass(frozen=True)
class Answers:
    """Annual totals, PgC, of what was asked; by run, (teacher, year)."""

    years: np.ndarray
    teacher: dict[str, np.ndarray]
    network: dict[str, np.ndarray]

    def effect(self, who: str, run: str, years: np.ndarray) -> np.ndarray:
        """Return the summed difference from the run with held CO2; (teacher,)."""
        found = self.teacher if who == "teacher" else self.network
        return (found[run] - found["held"])[:, years].sum(axis=1)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Answers:
    """Simulate, train and ask; about five minutes of one core."""
    root = tmp_path_factory.mktemp("earth")
    testbed.generate(root / "data", grid_step=STEP)
    names = ",".join(f"testbed_{name.lower()}" for name in TEACHERS)
    settings = composing.settings_of(
        "train",
        [
            *BALANCE,
            f"data.teachers=[{names}]",
            "machine.threads=1",
        ],
    )
    store = prepare(settings.data, data_root=root / "data", stores_root=root / "stores")
    run = train(settings, store, root / "run")

    earth = geography.build(Grid.regular(STEP))
    months = timeaxis.month_range("1950-01", "2025-12")
    seen = weather.simulate(earth, months, 0)
    usual = prescribed.recycled(seen, SPANS, LAST)
    years = np.arange(SPANS.first, LAST + 1)
    held = prescribed.rising_from(BRANCH, years, 0.0)
    harsh = prescribed.warmer_and_drier(
        usual, earth.grid, WARM_DRY, warming=1.0, rain=0.8
    )
    asked = {
        "held": Prescribed(usual, held),
        "rising": Prescribed(usual, prescribed.rising_from(BRANCH, years, 0.01)),
        "harsh": Prescribed(harsh, held),
    }
    emulator = load_emulator(run)
    predicted = [
        emulator.predict(prescribed.forcing(each, earth.grid, "land"))["nbp"]
        for each in asked.values()
    ]
    simulated = [
        rerun.net_flux(name, earth, seen, SPANS, list(asked.values()))
        for name in TEACHERS
    ]
    area = earth.grid.cell_area() * earth.land_fraction
    teacher = {
        run: [_totals(fields[place], area, usual.months) for fields in simulated]
        for place, run in enumerate(asked)
    }
    network = {
        run: [_network_totals(field, name, area) for name in TEACHERS]
        for run, field in zip(asked, predicted, strict=True)
    }
    late = years > BRANCH
    return Answers(
        years[late],
        {run: np.array(found)[:, late] for run, found in teacher.items()},
        {run: np.array(found)[:, -int(late.sum()) :] for run, found in network.items()},
    )


def _totals(flux: np.ndarray, area: np.ndarray, months: np.ndarray) -> np.ndarray:
    there = np.isfinite(flux).all(axis=0)
    return annual_total(
        area_rate(np.nan_to_num(flux), np.where(there, area, 0.0)), months
    )[1]


def _network_totals(field: xr.DataArray, name: str, area: np.ndarray) -> np.ndarray:
    teachers = [str(each) for each in field["teacher"].to_numpy()]
    place = next(i for i, each in enumerate(teachers) if each.endswith(name))
    months = field["time"].to_numpy().astype("datetime64[M]")
    return _totals(field.isel(teacher=place).to_numpy(), area, months)


@pytest.mark.slow
def test_a_warm_dry_year_lowers_the_sink_as_it_does_the_teachers(
    answers: Answers,
) -> None:
    year = answers.years == WARM_DRY
    teacher, network = (
        answers.effect(who, "harsh", year) for who in ("teacher", "network")
    )
    assert (teacher < -1).all()
    np.testing.assert_allclose(network, teacher, rtol=CLIMATE_TOLERANCE)


@pytest.mark.slow
def test_rising_co2_raises_the_sink_under_recycled_weather(answers: Answers) -> None:
    every = answers.years > BRANCH
    teacher, network = (
        answers.effect(who, "rising", every) for who in ("teacher", "network")
    )
    assert (teacher > 10).all()
    np.testing.assert_allclose(network.sum(), teacher.sum(), rtol=CO2_TOLERANCE)
    np.testing.assert_allclose(network, teacher, rtol=ONE_TEACHER)


@pytest.mark.slow
def test_a_bad_year_is_not_known_before_and_is_made_good_after(
    answers: Answers,
) -> None:
    change = answers.network["harsh"] - answers.network["held"]
    np.testing.assert_allclose(change[:, answers.years < WARM_DRY], 0.0, atol=1e-3)
    # Soils that a bad year left poorer respire less, in the teachers as in the network.
    later = answers.years > WARM_DRY + 2
    teacher, network = (
        answers.effect(who, "harsh", later) for who in ("teacher", "network")
    )
    assert (teacher > 0.5).all()
    np.testing.assert_allclose(network, teacher, rtol=LEGACY)
