"""Days of OISST: temperature, ice, and which of two files counts."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from emulator.carbon.errors import TimeAxisError, UnitsError, UserError
from emulator.data.readers.oisst import find, ice_cover
from tests.data.centre_files import oisst

SHAPE = (4, 8)
DAY = np.datetime64("2025-06-03", "D")


def sea(value: float = 15.0) -> np.ndarray:
    """Return a sea of one temperature, with land in its first column."""
    values = np.full(SHAPE, value)
    values[:, 0] = np.nan
    return values


def test_a_day_has_temperature_and_ice(tmp_path: Path) -> None:
    ice = np.full(SHAPE, np.nan)
    ice[3, 2] = 0.85
    warm = sea()
    warm[3, 2] = -1.8
    oisst(tmp_path, "2025-06-03", warm, ice)
    told = find(tmp_path).days[DAY].read(("tos", "tosforc", "siconc"))
    assert told.is_final
    # Longitudes began at 22.5 E: land, the first column, is the fifth one from 180 W.
    assert told.grid.lon[4] == 22.5
    expected = np.roll(warm, 4, axis=1)
    np.testing.assert_allclose(told.fields["tos"], expected, atol=1e-6)
    np.testing.assert_array_equal(told.fields["tosforc"], told.fields["tos"])
    cover = np.roll(np.where(np.isnan(warm), np.nan, np.nan_to_num(ice)), 4, axis=1)
    np.testing.assert_allclose(told.fields["siconc"], cover, atol=1e-6)
    # As the generated file states them.
    assert told.units == {"tos": "Celsius", "tosforc": "Celsius", "siconc": "%"}


def test_ice_may_be_in_percent() -> None:
    temperature = np.array([[-1.8, 3.0, np.nan]])
    share, nothing = [[0.85, 0.0, np.nan]], [[0.0, 0.0, np.nan]]
    for ice in ([[85.0, np.nan, np.nan]], [[0.85, np.nan, np.nan]]):
        np.testing.assert_allclose(ice_cover(np.array(ice), temperature), share)
    none = ice_cover(np.full((1, 3), np.nan), temperature)
    np.testing.assert_array_equal(none, nothing)


def test_final_days_replace_preliminary_ones(tmp_path: Path) -> None:
    oisst(tmp_path, "2025-06-03", sea(14.0), preliminary=True)
    told = find(tmp_path).days[DAY].read(("tos",))
    assert (told.is_final, told.fields["tos"][0, 0]) == (False, pytest.approx(14))
    oisst(tmp_path, "2025-06-03", sea(15.0))
    (piece,) = find(tmp_path).days.values()
    assert [path.name for path in piece.files] == ["oisst-avhrr-v02r01.20250603.nc"]
    told = piece.read(("tos",))
    assert (told.is_final, told.fields["tos"][0, 0]) == (True, pytest.approx(15))


def test_a_month_is_the_mean_of_its_days(tmp_path: Path) -> None:
    for day in range(1, 31):
        oisst(tmp_path, f"2025-06-{day:02d}", sea(float(day)), preliminary=day == 30)
        month = find(tmp_path).month(np.datetime64("2025-06", "M"))
        assert (month is None) == (day < 30)
    told = month.read(("tos",))
    assert told.fields["tos"][0, 0] == pytest.approx(15.5)
    assert np.isnan(told.fields["tos"][0, 4])
    assert not told.is_final


def test_names_and_times_must_agree(tmp_path: Path) -> None:
    oisst(tmp_path, "2025-06-03", sea(), inside="2025-06-04")
    message = r"20250603.nc holds 2025-06-04, but its name says 2025-06-03"
    with pytest.raises(TimeAxisError, match=message):
        find(tmp_path).days[DAY].read(("tos",))


@pytest.mark.parametrize("stamp", ["20250631", "20250603_early"])
def test_names_that_say_no_day_are_refused(tmp_path: Path, stamp: str) -> None:
    (tmp_path / f"oisst-avhrr-v02r01.{stamp}.nc").touch()
    said = find(tmp_path).refused
    assert f"{stamp}.nc has no name of OISST" in said[0]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    (said,) = find(tmp_path / "absent").refused
    assert "absent has no file oisst-avhrr-v02r01.YYYYMMDD.nc. Get some" in said


def test_a_unit_is_needed(tmp_path: Path) -> None:
    path = oisst(tmp_path, "2025-06-03", sea())
    with netCDF4.Dataset(path, "a") as file:
        del file["sst"].units
    with pytest.raises(UnitsError, match="'sst' states no unit"):
        find(tmp_path).days[DAY].read(("tos",))


def test_a_truncated_day_is_refused(tmp_path: Path) -> None:
    path = oisst(tmp_path, "2025-06-03", sea())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match="truncated or damaged"):
        find(tmp_path).days[DAY].read(("tos",))
