"""Steps from many files: which file counts, and what a file may not be."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.errors import GridMismatchError, TimeAxisError, UserError
from emulator.data.readers.products import Offering, Piece, Told
from emulator.data.readers.steps import StepFile, index, merged, read, there
from tests.data.centre_files import (
    LAT,
    UNITS,
    months,
    new_layout,
    old_layout,
    uniform,
)

JUNE = np.array(["2025-06"], "M8[M]")


@given(st.lists(st.sampled_from(["final", "early", "both", "none"]), min_size=1))
def test_merged_versions_are_final_where_they_can_be(states: list[str]) -> None:
    values = np.full((2, len(states), 1, 1), np.nan, np.float32)
    for place, state in enumerate(states):
        if state in ("final", "both"):
            values[0, place] = 1
        if state in ("early", "both"):
            values[1, place] = 5
    found, is_final = merged(values, np.array([1, 5]))
    told = {"final": 1, "both": 1, "early": 5, "none": np.nan}
    np.testing.assert_array_equal(found[:, 0, 0], [told[state] for state in states])
    assert is_final.tolist() == [state in ("final", "both") for state in states]
    # The order of the versions in the file is nothing.
    again, same = merged(values[::-1], np.array([5, 1]))
    np.testing.assert_array_equal(again, found)
    np.testing.assert_array_equal(same, is_final)


def test_a_cell_from_the_preliminary_version_makes_a_time_preliminary() -> None:
    values = np.array([[[[1.0, np.nan]]], [[[5.0, 5.0]]]], np.float32)
    found, is_final = merged(values, np.array([1, 5]))
    assert found.ravel().tolist() == [1, 5]
    assert is_final.tolist() == [False]


def june(folder: Path, name: str = "a", **how: object) -> StepFile:
    path = folder / f"{name}.nc"
    rows = len(how.get("lat", LAT))
    new_layout(path, months("2025-06", 1), {"t2m": uniform([280.0])[:, :rows]}, **how)
    return index(path, "M")


@pytest.mark.parametrize(("code", "is_final"), [("0001", True), ("0005", False)])
def test_versions_may_be_characters(tmp_path: Path, code: str, is_final: bool) -> None:
    path = june(tmp_path).path
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("expver", "was")
        file.createDimension("letters", 4)
        version = file.createVariable("expver", "S1", ("valid_time", "letters"))
        version[:] = np.array([list(code)], "S1")
    assert read([index(path, "M")], "t2m", JUNE).is_final.tolist() == [is_final]


def test_an_unknown_version_is_refused(tmp_path: Path) -> None:
    path = june(tmp_path).path
    for code, said in (("0007", "0007"), ("x", "x")):
        with netCDF4.Dataset(path, "a") as file:
            file["expver"][:] = np.array([code], object)
        with pytest.raises(UserError, match=rf"has expver \['{said}'\], but 1 \(final"):
            read([index(path, "M")], "t2m", JUNE)


def test_versions_that_are_not_named_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    field = {"t2m": uniform([280.0])}
    old_layout(path, months("2025-06", 1), field, preliminary=np.array([True]))
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("expver", "versions")
    with pytest.raises(UserError, match="has 1 versions in expver for 2 of 't2m'"):
        read([index(path, "M")], "t2m", JUNE)


def test_versions_of_other_times_are_refused(tmp_path: Path) -> None:
    path = june(tmp_path).path
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("expver", "was")
        file.createDimension("other", 3)
        version = file.createVariable("expver", str, ("other",))
        version[:] = np.array(["0001"] * 3, object)
    with pytest.raises(UserError, match="has 3 versions in expver for 1 of 't2m'"):
        read([index(path, "M")], "t2m", JUNE)


def test_files_damaged_inside_are_refused(tmp_path: Path) -> None:
    path = june(tmp_path).path
    with netCDF4.Dataset(path, "a") as file:
        dims = ("valid_time", "latitude", "longitude")
        noise = np.random.default_rng(0).normal(size=uniform([0.0]).shape)
        file.createVariable("d2m", "f8", dims, fletcher32=True)[:] = noise
    content = path.read_bytes()
    assert content.count(noise.tobytes()) == 1
    # Its checksum, which stands behind it, is not that of noughts.
    path.write_bytes(content.replace(noise.tobytes(), bytes(noise.nbytes)))
    with pytest.raises(
        UserError, match=r"a\.nc cannot be read: it is truncated or dam"
    ):
        read([index(path, "M")], "d2m", JUNE)


def test_rows_without_latitudes_are_refused(tmp_path: Path) -> None:
    path = june(tmp_path).path
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("latitude", "rows")
    with pytest.raises(GridMismatchError, match="dimension 'latitude' has no coordin"):
        read([index(path, "M")], "t2m", JUNE)


def test_time_may_be_a_single_number(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        time = file.createVariable("valid_time", "i8", ())
        time.units, time[...] = "days since 2025-06-01", 0
        dims = {"number": 1, "latitude": 2, "longitude": 4}
        for name, size in dims.items():
            file.createDimension(name, size)
            file.createVariable(name, "f8", (name,))
        file["latitude"][:], file["longitude"][:] = [45, -45], [0, 90, 180, 270]
        file.createVariable("t2m", "f4", tuple(dims))[:] = 280
    assert read([index(path, "M")], "t2m", JUNE).values.mean() == 280


def test_files_must_have_times(tmp_path: Path) -> None:
    path = june(tmp_path).path
    with netCDF4.Dataset(path, "a") as file:
        file["valid_time"].units = "lately"
    with pytest.raises(TimeAxisError, match=r"its time, 'lately', cannot be read"):
        index(path, "M")
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("valid_time", "when")
    with pytest.raises(TimeAxisError, match=r"a\.nc has no time: it holds \['expver'"):
        index(path, "M")


def test_members_are_refused(tmp_path: Path) -> None:
    path = june(tmp_path).path
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("member", 2)
        dims = ("valid_time", "member", "latitude", "longitude")
        file.createVariable("d2m", "f4", dims)[:] = 280
    with pytest.raises(GridMismatchError, match=r"Select one of \['member'\] first"):
        read([index(path, "M")], "d2m", JUNE)


def test_files_of_the_same_times_are_of_one_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = june(tmp_path, "a", preliminary=True)
    cropped = june(tmp_path, "b", preliminary=True, lat=LAT[1:])
    with pytest.raises(GridMismatchError, match="but other files of the same times in"):
        read([early, cropped], "t2m", JUNE)
    monkeypatch.setitem(UNITS, "t2m", "degC")
    celsius = june(tmp_path, "c", preliminary=True)
    with pytest.raises(GridMismatchError, match="Keep one kind"):
        read([early, celsius], "t2m", JUNE)


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    files = [june(tmp_path)]
    both = np.array(["2025-06", "2025-07"], "M8[M]")
    assert there(files, "t2m", JUNE)
    assert not there(files, "t2m", both)
    assert not there(files, "d2m", JUNE)
    with pytest.raises(UserError, match="'t2m', with 2025-07 gone, changed while"):
        read(files, "t2m", both)


def test_days_of_a_month_share_a_grid(tmp_path: Path) -> None:
    slabs = [
        read([june(tmp_path, "a")], "t2m", JUNE),
        read([june(tmp_path, "b", lat=LAT[1:])], "t2m", JUNE),
    ]
    offering = Offering("product")
    for day in range(30):
        slab = slabs[day == 29]
        told = Told({"tas": slab.values[0]}, slab.grid, True)
        piece = Piece((tmp_path / f"{day}",), lambda _, told=told: told)
        offering.days[np.datetime64("2025-06-01", "D") + day] = piece
    month = offering.month(JUNE[0])
    assert month is not None
    with pytest.raises(GridMismatchError, match=r"29 is on a grid of 4x8, .* first"):
        month.read(("tas",))
