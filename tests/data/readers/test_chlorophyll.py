"""Chlorophyll: means of what was seen, cells of which too little was, and editions."""

from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.grid import Grid
from emulator.data.readers.chlorophyll import (
    LEAST_SEEN,
    coarser,
    find_cci,
    find_copernicus,
)
from tests.data.marine_files import CHLOROPHYLL, cci, chlorophyll

FINE, COARSE = 15.0, 90.0
"""Degrees; 6 x 6 fine cells make a coarse one, as 4 km make a quarter degree."""

JUNE = np.datetime64("2020-06", "M")
MAY = np.datetime64("2020-05", "M")


def sea(value: float = 2.0) -> np.ndarray:
    """Return a sea, north first, from 180 W; shape (12, 24)."""
    return np.full((12, 24), value)


def test_cells_are_means_by_area_of_what_was_seen(tmp_path: Path) -> None:
    values = sea(2.0)
    # In the north-western cell three rows hold 4, and its first column nothing.
    values[:3, :6] = 4.0
    values[:, 0] = np.nan
    cci(tmp_path / "2020", "2020-06", values)
    told = find_cci(tmp_path, step=COARSE).months[JUNE].read(("chlos",))
    assert told.is_final
    assert told.grid.matches(Grid.regular(COARSE))
    # Three rows from 45 N are 1 - sin(45) of the hemisphere's area; mg m-3 are 1e-6.
    north = 1 - np.sqrt(0.5)
    expected = np.full((2, 4), 2e-6)
    expected[1, 0] = 1e-6 * (4 * north + 2 * (1 - north))
    np.testing.assert_allclose(told.fields["chlos"], expected, rtol=1e-6)


@pytest.mark.parametrize(("seen", "is_told"), [(1, False), (2, True)])
def test_a_quarter_must_have_been_seen(seen: int, is_told: bool) -> None:
    # Columns of the whole height: 1 of 6 is less than a quarter, 2 of 6 are more.
    values = np.full((12, 24), np.nan, np.float32)
    values[:, :seen] = 3.0
    found, grid = coarser((values, Grid.regular(FINE)), Grid.regular(COARSE))
    assert np.isfinite(found[:, 0]).tolist() == [is_told, is_told]
    assert np.isnan(found[:, 1:]).all()
    assert grid.shape == (2, 4)
    np.testing.assert_allclose(found[:, 0][np.isfinite(found[:, 0])], 3.0)


def test_exactly_the_least_is_enough() -> None:
    assert LEAST_SEEN == 0.25
    # 3 of 12 columns, as 9 of 36 cells: a quarter but for rounding.
    values = np.full((2, 48), np.nan, np.float32)
    values[:, :3] = 1.0
    lat, lon = np.array([-45.0, 45.0]), -180 + 7.5 * (np.arange(48) + 0.5)
    found, _ = coarser((values, Grid(lat, lon)), Grid.regular(COARSE))
    assert np.isfinite(found).tolist() == [[True, False, False, False]] * 2


def test_quarter_degrees_are_told(tmp_path: Path) -> None:
    values = np.full((1440, 2880), 0.5)
    values[:, ::2] = np.nan
    cci(tmp_path, "2020-06", values)
    told = find_cci(tmp_path).months[JUNE].read(("chlos",))
    assert told.grid.shape == (720, 1440)
    np.testing.assert_allclose(told.fields["chlos"], 5e-7, rtol=1e-6)


def test_editions_are_not_mixed(tmp_path: Path) -> None:
    cci(tmp_path, "2020-05", sea(), edition="5.0")
    cci(tmp_path, "2020-06", sea())
    offering = find_cci(tmp_path, step=COARSE)
    assert not offering.months
    assert "files of the editions ['5.0', '6.0'], which differ" in offering.refused[0]


def test_names_and_times_must_agree(tmp_path: Path) -> None:
    path = cci(tmp_path, "2020-06", sea())
    path.rename(path.with_name(path.name.replace("202006", "202007")))
    daily = cci(tmp_path, "2020-05", sea())
    daily.rename(daily.with_name(daily.name.replace("1M_MONTHLY", "8D_DAILY")))
    month, other, none = find_cci(tmp_path, step=COARSE).refused
    assert "202007-fv6.0.nc holds 2020-06, but its name says 2020-07" in month
    assert "has no name of a monthly file at 4 km" in other
    assert "has no month of chlorophyll in files ESACCI-OC-L3S" in none


def test_level_4_has_editions(tmp_path: Path) -> None:
    for edition, month, value in (
        ("my", "2020-05", 1.0),
        ("nrt", "2020-05", 3.0),
        ("nrt", "2020-06", 4.0),
    ):
        dataset = CHLOROPHYLL.format(edition=edition)
        path = tmp_path / month[:4] / f"{month.replace('-', '')}01_{dataset}.nc"
        chlorophyll(path, month, sea(value), name="CHL", fill=-999.0)
    offering = find_copernicus(tmp_path, step=COARSE)
    assert offering.refused == []
    may, june = (offering.months[month].read(("chlos",)) for month in (MAY, JUNE))
    assert (may.is_final, june.is_final) == (True, False)
    np.testing.assert_allclose(may.fields["chlos"], 1e-6, rtol=1e-6)
    np.testing.assert_allclose(june.fields["chlos"], 4e-6, rtol=1e-6)
