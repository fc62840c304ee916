"""Chlorophyll: means of what was seen, cells of which too little was, and editions."""

from pathlib import Path

import numpy as np

from emulator.carbon.grid import Grid
from emulator.data.readers.chlorophyll import LEAST_SEEN, find
from tests.data.marine_files import cci

COARSE = 90.0
"""Degrees; 6 x 6 cells of 15 make a coarse one, as 4 km make a quarter degree."""

JUNE = np.datetime64("2020-06", "M")


def sea(value: float = 2.0) -> np.ndarray:
    """Return a sea, north first, from 180 W; shape (12, 24)."""
    return np.full((12, 24), value)


def test_cells_are_means_by_area_of_what_was_seen(tmp_path: Path) -> None:
    values = sea(2.0)
    # In the north-western cell three rows hold 4, and its first column nothing.
    values[:3, :6] = 4.0
    values[:, 0] = np.nan
    cci(tmp_path / "2020", "2020-06", values)
    told = find(tmp_path, step=COARSE).months[JUNE].read(("chlos",))
    assert told.is_final
    assert told.grid.matches(Grid.regular(COARSE))
    # Three rows from 45 N are 1 - sin(45) of the hemisphere's area; mg m-3 are 1e-6.
    north = 1 - np.sqrt(0.5)
    expected = np.full((2, 4), 2e-6)
    expected[1, 0] = 1e-6 * (4 * north + 2 * (1 - north))
    np.testing.assert_allclose(told.fields["chlos"], expected, rtol=1e-6)


def test_a_quarter_must_have_been_seen(tmp_path: Path) -> None:
    assert LEAST_SEEN == 0.25
    # Columns of the whole height: 2 of 6 are enough, 1 of 6 is not.
    values = np.full((12, 24), np.nan)
    values[:, 0] = 3.0
    values[:, 6:8] = 3.0
    cci(tmp_path, "2020-06", values)
    told = find(tmp_path, step=COARSE).months[JUNE].read(("chlos",))
    found = told.fields["chlos"]
    assert np.isfinite(found).tolist() == [[False, True, False, False]] * 2
    np.testing.assert_allclose(found[:, 1], 3e-6, rtol=1e-6)


def test_quarter_degrees_are_told(tmp_path: Path) -> None:
    values = np.full((1440, 2880), 0.5)
    values[:, ::2] = np.nan
    cci(tmp_path, "2020-06", values)
    told = find(tmp_path).months[JUNE].read(("chlos",))
    assert told.grid.shape == (720, 1440)
    np.testing.assert_allclose(told.fields["chlos"], 5e-7, rtol=1e-6)


def test_editions_are_not_mixed(tmp_path: Path) -> None:
    cci(tmp_path, "2020-05", sea(), edition="5.0")
    cci(tmp_path, "2020-06", sea())
    offering = find(tmp_path, step=COARSE)
    assert not offering.months
    assert "files of the editions ['5.0', '6.0'], which differ" in offering.refused[0]


def test_names_and_times_must_agree(tmp_path: Path) -> None:
    path = cci(tmp_path, "2020-06", sea())
    path.rename(path.with_name(path.name.replace("202006", "202007")))
    daily = cci(tmp_path, "2020-05", sea())
    daily.rename(daily.with_name(daily.name.replace("1M_MONTHLY", "8D_DAILY")))
    month, other, none = find(tmp_path, step=COARSE).refused
    assert "202007-fv6.0.nc holds 2020-06, but its name says 2020-07" in month
    assert "has no name of a monthly file at 4 km" in other
    assert "has no month of chlorophyll in files ESACCI-OC-L3S" in none
