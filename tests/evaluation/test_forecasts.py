"""The mean of teachers, what members say of it, and what cells vary by."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import years_of
from emulator.data.windows import Cube
from emulator.evaluation import forecasts
from emulator.evaluation.forecasts import Subject
from emulator.learning.fit import train, training_cube
from emulator.learning.inference import Emulator, load_emulator
from tests.learning.runs import tiny_settings

NAN = np.nan
S2 = Subject("nbp", "S2")


@pytest.fixture(scope="module")
def emulator(land_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    settings = tiny_settings(steps=4, validate_every=2, members=2)
    return load_emulator(train(settings, land_store, tmp_path_factory.mktemp("run")))


@pytest.fixture(scope="module")
def cube(land_store: Path) -> Cube:
    return training_cube(tiny_settings(), land_store)


def test_a_cell_of_some_teachers_counts_as_zero_for_the_others() -> None:
    labels = np.array([[[2.0, NAN, NAN]], [[4.0, 6.0, NAN]]])
    mean, current = forecasts.mean_of_teachers(labels, labels)
    np.testing.assert_array_equal(mean, [[3.0, 3.0, NAN]])
    assert current.all()
    # Values are averaged where labels are, whatever else is predicted.
    mean, _ = forecasts.mean_of_teachers(np.ones_like(labels), labels)
    np.testing.assert_array_equal(mean, [[1.0, 0.5, NAN]])


def test_a_teacher_that_ends_earlier_does_not_count() -> None:
    labels = np.array([[[1.0], [NAN], [NAN]], [[3.0], [5.0], [NAN]]])
    mean, current = forecasts.mean_of_teachers(labels, labels)
    # The last month has no label of anybody: it ends nobody.
    np.testing.assert_array_equal(mean, [[3.0], [5.0], [NAN]])
    np.testing.assert_array_equal(current, [False, True])


def test_teachers_that_never_meet_have_no_mean() -> None:
    labels = np.array([[[1.0], [NAN]], [[NAN], [5.0]]])
    mean, current = forecasts.mean_of_teachers(labels, labels)
    assert np.isnan(mean).all()
    assert not current.any()


def test_members_answer_for_the_mean_of_teachers(
    emulator: Emulator, cube: Cube
) -> None:
    wanted = years_of(cube.months) >= 2008
    found = forecasts.forecast(emulator, cube, S2, wanted)
    # Forcing goes on in 2009, labels do not.
    assert str(found.months[-1]) == "2008-12"
    assert found.teachers == ("ONE", "TWO")
    labels = cube.labels[2, :, years_of(cube.months) == 2008, 0].numpy()
    np.testing.assert_allclose(found.truth, labels.mean(0), rtol=1e-6)
    assert found.whole.all()
    both = emulator.hindcast(cube, years_of(cube.months) == 2008)["nbp"]
    mean = both.sel(simulation="S2", time="2008").mean("teacher").to_numpy()
    np.testing.assert_allclose(found.members.mean(0), mean, rtol=1e-4)
    assert not np.allclose(*found.members, atol=0)


def test_what_has_no_labels_is_refused(cube: Cube) -> None:
    for lacking in (
        replace(cube, labels=torch.full_like(cube.labels, NAN)),
        forecasts.only(cube, "S0"),
    ):
        with pytest.raises(SettingsError, match="no label of nbp in simulation S2"):
            forecasts.labels_of(lacking, S2)


def test_months_without_labels_are_no_forecast(emulator: Emulator, cube: Cube) -> None:
    with pytest.raises(SettingsError, match="No teacher has labels of nbp in simul"):
        forecasts.forecast(emulator, cube, S2, years_of(cube.months) == 2009)


def test_one_simulation_is_left(cube: Cube) -> None:
    found = forecasts.only(cube, "S1")
    assert found.simulations == ("S1",)
    assert torch.equal(found.weather[0], cube.weather[1])
    assert torch.equal(found.co2[0], cube.co2[1])
    assert found.slow.shape[0] == found.labels.shape[0] == 1


def test_subject_is_the_net_flux_of_the_transient_run(emulator: Emulator) -> None:
    assert forecasts.subject_of(emulator) == S2
    control = replace(emulator.first, simulations=("S0",))
    with pytest.raises(SettingsError, match=r"the run learned nbp of S0\."):
        forecasts.subject_of(replace(emulator, members=(control,)))


def test_cells_vary_as_the_mean_of_their_teachers(emulator: Emulator) -> None:
    normaliser = emulator.first.normaliser
    spread = torch.ones_like(normaliser.spread)
    spread[1] = 3.0
    labelled = torch.ones_like(normaliser.labelled)
    labelled[1, :, 0] = False
    member = replace(
        emulator.first,
        normaliser=replace(normaliser, spread=spread, labelled=labelled),
    )
    found = forecasts.cell_reference(replace(emulator, members=(member,)), "nbp")
    np.testing.assert_allclose(found["cell", "month"][:2], [0.5, 2.0])
    np.testing.assert_allclose(found["cell", "year"][1], 2.0 / np.sqrt(12))


def test_bands_without_area_are_left_out() -> None:
    grid = Grid.regular(45.0)
    cells = np.arange(8, 32)  # without the southernmost row
    area = np.ones(cells.size)
    names, shares = forecasts.bands(grid, cells, area)
    assert names == ("north", "tropics", "south")
    np.testing.assert_allclose(shares.sum(axis=0), 1.0)
    area[:16] = 0.0  # two rows: what is left lies north of 45 N
    names, shares = forecasts.bands(grid, cells, area)
    assert names == ("north",)
    np.testing.assert_array_equal(shares[0, 16:], 1.0)
