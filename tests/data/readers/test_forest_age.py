"""Ages of forest become a mean over the forest of a cell, and its share."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import CatalogError, GateError, GridMismatchError
from emulator.carbon.grid import Grid, overlap
from emulator.data import catalog, readers
from emulator.data.entry import Entry, parse_entry
from emulator.data.readers import bands
from tests.data import cover_files as cover
from tests.data import tiny_files as tiny

FINE = Grid.regular(5.0)
NAME = "forest_age/202432118501222_BGIForestAgeMPIBGC1.0.0.nc"


def entry(**changes: Any) -> Entry:
    said = {**catalog.load("forest_age").to_dict(), **changes}
    return parse_entry("forest_age", said, "forest_age.yaml")


def ages() -> np.ndarray:
    """Return ages of 1 to 300 years in a third of all pixels, none in the south."""
    rng = np.random.default_rng(3)
    values = rng.uniform(1, 300, FINE.shape)
    values[rng.random(FINE.shape) > 1 / 3] = np.nan
    values[:12] = np.nan
    return values


@pytest.mark.parametrize("target", [Grid.regular(30.0), Grid.regular(22.5)])
def test_the_mean_is_over_the_forest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Grid
) -> None:
    monkeypatch.setattr(bands, "_BAND_BYTES", 5 * 4 * FINE.lon.size)
    values = ages()
    cover.write_ages(tmp_path / NAME, values, FINE)
    share = readers.read(entry(), "forestFrac", None, tmp_path, grid=target)
    age = readers.read(entry(), "forestAge", None, tmp_path, grid=target)
    rows, columns = overlap(FINE, target)
    wanted_share = rows @ np.isfinite(values) @ columns.T
    amount = rows @ np.nan_to_num(values) @ columns.T
    np.testing.assert_allclose(share, wanted_share, atol=1e-6)
    wanted = np.divide(
        amount, wanted_share, out=np.zeros(target.shape), where=wanted_share > 0
    )
    np.testing.assert_allclose(age, wanted, rtol=1e-5)
    assert age.attrs["units"] == "yr"
    assert (age.to_numpy()[target.lat < -45] == 0).all()


def test_pixels_count_with_their_area(tmp_path: Path) -> None:
    # By hand: two rows of 5 degrees at the pole, 100 years old in the polar one, 10 in
    # the other; of the cap from 80 N the polar one has 1 - sin 85 of 1 - sin 80.
    values = np.full(FINE.shape, np.nan)
    values[-1], values[-2] = 100.0, 10.0
    cover.write_ages(tmp_path / NAME, values, FINE)
    target = Grid.regular(10.0)
    age = readers.read(entry(), "forestAge", None, tmp_path, grid=target)
    polar = (1 - np.sin(np.deg2rad(85))) / (1 - np.sin(np.deg2rad(80)))
    np.testing.assert_allclose(age[-1], 100 * polar + 10 * (1 - polar), rtol=1e-5)


def test_another_tree_cover_is_another_variable(tmp_path: Path) -> None:
    cover.write_ages(tmp_path / NAME, np.full(FINE.shape, 20.0), FINE)
    said = entry(variables={"forestAge": {"name": "ForestAge_TC000"}})
    assert readers.read(said, "forestAge", None, tmp_path).max() == 21


def test_impossible_ages_are_refused(tmp_path: Path) -> None:
    cover.write_ages(tmp_path / NAME, np.full(FINE.shape, 32767.0), FINE)
    with pytest.raises(GateError, match="runs from 32767 to 32767, but the age of"):
        readers.read(entry(), "forestAge", None, tmp_path)


def test_the_unit_of_the_age_is_that_of_the_entry(tmp_path: Path) -> None:
    cover.write_ages(tmp_path / NAME, np.full(FINE.shape, 24.0), FINE)
    said = entry(variables={"forestAge": {"name": "ForestAge_TC010", "units": "d"}})
    # By hand: 24 days are 24 / 365.2425 years.
    age = readers.read(said, "forestAge", None, tmp_path)
    np.testing.assert_allclose(age, 24 / 365.2425, rtol=1e-6)


def test_other_variables_are_refused(tmp_path: Path) -> None:
    said = entry(variables={"cropFrac": {"name": "ForestAge_TC010"}})
    with pytest.raises(
        CatalogError, match=r"offers 'cropFrac', but the reader forest_"
    ):
        readers.read(said, "cropFrac", None, tmp_path)


def test_several_steps_are_refused(tmp_path: Path) -> None:
    values = np.ones((2, *tiny.SHAPE), "f4")
    tiny.write(tmp_path / NAME, "ForestAge_TC010", values, units="years")
    with pytest.raises(GridMismatchError, match="a map of latitude and longitude is n"):
        readers.read(entry(), "forestAge", None, tmp_path)
