"""Single networks of an ensemble, under their own and another forcing."""

from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import SettingsError
from emulator.evaluation import members
from emulator.learning.fit import train
from emulator.learning.inference import cube_of_run, load_emulator
from tests.learning.runs import tiny_settings
from tests.worlds import tiny_forcing_store


@pytest.fixture(scope="module")
def run(land_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = tiny_settings(steps=2, validate_every=2, members=2)
    return train(settings, land_store, tmp_path_factory.mktemp("runs") / "two")


def test_members_average_to_the_emulator(run: Path, land_store: Path) -> None:
    emulator = load_emulator(run)
    cube = cube_of_run(emulator, land_store)
    wanted = cube.months >= np.datetime64("2006-01", "M")
    found = members.hindcasts(emulator, cube, "nbp", "S2", wanted)
    mean = emulator.hindcast(cube, wanted)["nbp"].sel(simulation="S2").to_numpy()
    assert found.shape == (2, 2, int(wanted.sum()), len(cube.cells))
    np.testing.assert_allclose(found.mean(axis=0), mean[:, wanted], rtol=1e-5)
    assert not np.allclose(found[0], found[1], atol=0.0)


def test_the_same_forcing_gives_the_same_answers(
    run: Path, land_store: Path, tmp_path: Path
) -> None:
    emulator = load_emulator(run)
    cube = cube_of_run(emulator, land_store)
    # S2 saw the weather of the calendar and the CO2 that rises.
    forcing = tiny_forcing_store(tmp_path)
    months = np.arange("2006-01", "2009-01", dtype="M8[M]")
    found = members.predictions(emulator, cube.teachers, "nbp", forcing, months)
    wanted = np.isin(cube.months, months)
    own = members.hindcasts(emulator, cube, "nbp", "S2", wanted)
    np.testing.assert_allclose(found, own, rtol=1e-4, atol=1e-13)


def test_forcing_must_reach_the_scored_months(run: Path, tmp_path: Path) -> None:
    emulator = load_emulator(run)
    forcing = tiny_forcing_store(tmp_path, last=2006)
    months = np.arange("2006-01", "2009-01", dtype="M8[M]")
    with pytest.raises(SettingsError, match=r"2006-01 to 2008-12 are scored"):
        members.predictions(emulator, ("ONE",), "nbp", forcing, months)
