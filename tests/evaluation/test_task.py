from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.timeaxis import YearSplit
from emulator.data.windows import Cube, load_cube, usable_months
from emulator.evaluation import task as tasks
from emulator.evaluation.task import Task

SPLIT = YearSplit(
    train=(1992, 2000), validation=(2002, 2003), test=(2005, 2007), gap_months=12
)
MEMORY = 12


@pytest.fixture(scope="module")
def cube(land_store: Path) -> Cube:
    return load_cube(
        land_store, fluxes=["nbp"], forcing=["tas", "pr"], static=["elevation"]
    )


@pytest.fixture(scope="module")
def task(cube: Cube) -> Task:
    return tasks.from_cube(cube, "nbp", SPLIT, MEMORY)


def test_parts_of_the_years_do_not_touch(task: Task) -> None:
    assert task.train.sum() == 9 * 12
    assert task.validation.sum() == 24
    assert task.wanted.sum() == 36
    assert not (task.train & task.validation).any()
    assert not (task.train & task.wanted).any()


def test_the_last_fit_knows_what_choices_left_out(task: Task) -> None:
    assert task.last_fit(refit=False) is task
    again = task.last_fit(refit=True)
    np.testing.assert_array_equal(again.train, task.known)
    assert again.train.sum() == (9 + 2) * 12
    np.testing.assert_array_equal(again.validation, task.validation)


def test_part_chooses_the_months_to_predict(cube: Cube) -> None:
    found = tasks.from_cube(cube, "nbp", SPLIT, MEMORY, part="validation")
    np.testing.assert_array_equal(found.wanted, found.validation)


def test_usable_months_are_those_of_the_network(cube: Cube, task: Task) -> None:
    for place, name in enumerate(cube.simulations):
        np.testing.assert_array_equal(
            task.usable[place], usable_months(cube, name, MEMORY)
        )


def test_months_of_unknown_co2_are_not_used(cube: Cube) -> None:
    co2 = cube.co2.clone()
    unknown = int(np.flatnonzero(cube.months == np.datetime64("1994-06"))[0])
    co2[2, unknown] = np.nan
    holed = replace(cube, co2=co2)
    found = tasks.from_cube(holed, "nbp", SPLIT, MEMORY)
    np.testing.assert_array_equal(found.usable[2], usable_months(holed, 2, MEMORY))
    assert not found.usable[2, unknown]
    known = np.delete(found.co2_anomalies[2], unknown)
    assert np.isfinite(known).all()


def test_anomalies_have_no_mean_in_training_months(task: Task) -> None:
    known = task.anomalies[:, :, task.train]
    by_month = known.reshape(*known.shape[:2], 9, 12, -1).mean(axis=2)
    assert np.abs(by_month).max() < 1e-6 * np.abs(known).max()


def test_held_out_cells_borrow_from_the_most_similar_climate(task: Task) -> None:
    held_out = np.zeros(task.area.size, bool)
    held_out[2] = True
    forcing = task.forcing.copy()
    forcing[..., 5] = forcing[..., 2]  # cell 5 has the climate of cell 2
    found = replace(task, held_out=held_out, forcing=forcing)
    assert found.donor[0, 2] == 5
    assert found.donor[0, 3] == 3
    np.testing.assert_array_equal(
        found.climatology[..., 2], found.own_climatology[..., 5]
    )


def test_cells_with_few_labels_borrow_too(task: Task) -> None:
    labels = task.labels.copy()
    labels[:, 1, :, 4] = np.nan
    found = replace(task, labels=labels)
    assert found.donor[1, 4] != 4
    assert found.donor[0, 4] == 4


def test_a_changed_test_label_changes_nothing_that_is_learned(task: Task) -> None:
    labels = task.labels.copy()
    labels[:, :, task.wanted] = 1e6
    labels[:, :, task.validation] = -1e6
    found = replace(task, labels=labels)
    np.testing.assert_array_equal(found.climatology, task.climatology)
    np.testing.assert_array_equal(found.forcing_spread, task.forcing_spread)


def test_standardised_weather_has_unit_variance_along_what_was_seen(
    task: Task,
) -> None:
    weather = np.stack(
        [
            task.weather_anomalies(simulation, slice(0, 12))[task.train]
            for simulation in range(3)
        ]
    )
    np.testing.assert_allclose((weather**2).mean((0, 1)), 1.0, rtol=1e-4)


def test_error_is_the_area_weighted_sum_of_squares(task: Task) -> None:
    miss = np.zeros_like(task.labels[:, :, task.wanted])
    miss[0, 1, 0, 3] = 2.0
    miss[2, 1, 5, 3] = 1.0
    prediction = task.labels[:, :, task.wanted] + miss
    expected = [0.0, 5.0 * task.area[3]]
    found = task.error(prediction, task.wanted)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_unknown_flux_and_part_are_refused(cube: Cube) -> None:
    with pytest.raises(ValueError, match=r"Flux 'gpp' is not in the cube.*nbp"):
        tasks.from_cube(cube, "gpp", SPLIT, MEMORY)
    with pytest.raises(ValueError, match="not on 'train'"):
        tasks.from_cube(cube, "nbp", SPLIT, MEMORY, part="train")
