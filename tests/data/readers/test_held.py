"""Which files the values of some years come from, known before they are read."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import CatalogError
from emulator.data import readers
from emulator.data.entry import Entry
from emulator.data.readers import series
from emulator.data.readers.fields import read_field
from emulator.data.readers.held import checksums_of_years, may_hold, native_shape
from tests.data import tiny_files as tiny

SPANS = [(2000, 2001), (2002, 2002)]


def write(path: Path, year: int, months: int = 12, **how: Any) -> Path:
    values = tiny.law(months)
    when = tiny.noleap_days(year, months)
    axes = {"lat": tiny.LAT, "lon": tiny.LON, "time": when}
    return tiny.write(path, how.pop("name", "nbp"), values, **(axes | how))


def entry(**said: Any) -> Entry:
    usual = {"root": "", "files": "{variable}_*.nc", "years": [2000, 2002]}
    return tiny.entry(**(usual | said))


def files(sums: list[list[str]]) -> list[list[str]]:
    return [[said.split()[0] for said in part] for part in sums]


def test_years_depend_on_the_files_that_hold_them(tmp_path: Path) -> None:
    for year in (2000, 2001, 2002):
        write(tmp_path / f"nbp_{year}.nc", year)
    found = checksums_of_years(entry(), "nbp", "S2", tmp_path, SPANS)
    assert files(found) == [["nbp_2000.nc", "nbp_2001.nc"], ["nbp_2002.nc"]]
    name, checksum = found[1][0].split()
    assert checksum == readers.checksum(tmp_path / name)


def test_all_years_depend_on_a_single_file(tmp_path: Path) -> None:
    write(tmp_path / "nbp_all.nc", 2000, 36)
    found = checksums_of_years(entry(), "nbp", "S2", tmp_path, SPANS)
    assert files(found) == [["nbp_all.nc"]] * 2


@pytest.mark.parametrize("content", [b"", b"<html>", None])
def test_all_years_depend_on_a_file_that_does_not_tell(
    tmp_path: Path, content: bytes | None
) -> None:
    write(tmp_path / "nbp_2002.nc", 2002)
    other = tmp_path / "nbp_other.nc"
    if content is None:
        write(other, 2000, name="something", time_units="days since never")
    else:
        other.write_bytes(content)
    found = checksums_of_years(entry(), "nbp", "S2", tmp_path, SPANS)
    assert files(found) == [["nbp_other.nc"], ["nbp_2002.nc", "nbp_other.nc"]]


def test_a_sum_depends_on_its_components(tmp_path: Path) -> None:
    names = ["gpp", "ra", "rh"]
    for name in names:
        for year in (2000, 2002):
            write(tmp_path / f"{name}_{year}.nc", year, name=name)
    said = entry(variables={n: {} for n in names} | {"nbp": {"sum_of": names}})
    found = checksums_of_years(said, "nbp", "S2", tmp_path, SPANS)
    assert files(found) == [[f"{n}_{y}.nc" for n in names] for y in (2000, 2002)]


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="No file"):
        checksums_of_years(entry(), "nbp", "S2", tmp_path, SPANS)


def test_a_last_year_may_be_open(tmp_path: Path) -> None:
    path = write(tmp_path / "nbp_2001.nc", 2001)
    assert may_hold(path, ["nbp"], entry(), (2001, None))
    assert may_hold(path, ["nbp"], entry(), (1990, None))
    assert not may_hold(path, ["nbp"], entry(), (2002, None))


def test_shape_of_a_field_is_told_without_its_values(tmp_path: Path) -> None:
    path = write(tmp_path / "nbp_2000.nc", 2000)
    assert native_shape(entry(), "nbp", "S2", tmp_path) == tiny.SHAPE
    path.write_bytes(b"nothing")
    assert native_shape(entry(), "nbp", "S2", tmp_path) is None


def test_files_of_other_years_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for year in (2000, 2001, 2002):
        write(tmp_path / f"nbp_{year}.nc", year)
    opened: list[str] = []

    def told(path: Path, *args: Any, **how: Any) -> Any:
        opened.append(path.name)
        return read_field(path, *args, **how)

    monkeypatch.setattr(series, "read_field", told)
    field = readers.read(entry(), "nbp", "S2", tmp_path, years=(2001, 2001))
    assert opened == ["nbp_2001.nc"]
    np.testing.assert_array_equal(field, tiny.law(12))
