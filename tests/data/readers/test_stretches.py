"""Forcing in files, some months at a time."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import TimeAxisError
from emulator.data import readers
from emulator.data.entry import Entry
from emulator.data.readers import stretches
from tests.data.tiny_files import LAT, LON, forcing_entry, noleap_days, write

YEAR_BYTES = 48 * LAT.size * LON.size


def weather(**changes: Any) -> Entry:
    return forcing_entry(
        **{"files": "{variable}_*.nc", "years": [2000, None]} | changes
    )


def write_years(root: Path, first: int, last: int, months: int = 12) -> np.ndarray:
    """Write a file a year, the last of which has fewer months; return all of it."""
    count = 12 * (last - first) + months
    values = 280 + np.arange(count, dtype="f4")[:, None, None] + np.zeros((4, 8), "f4")
    for year in range(first, last + 1):
        some = values[12 * (year - first) : 12 * (year - first + 1)]
        time = noleap_days(year, len(some))
        write(root / f"tas_{year}.nc", "tas", some, units="K", time=time)
    return values


def test_all_months_of_an_open_series_are_known_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "STRETCH_BYTES", 2 * YEAR_BYTES)
    values = write_years(tmp_path, 1999, 2004, months=5)[12:]
    with readers.open_series(weather(), "tas", tmp_path, None) as series:
        months = series.months()
        assert [str(months[0]), str(months[-1])] == ["2000-01", "2004-05"]
        parts = list(series.stretches(months))
    assert [len(part.field) for part in parts] == [24, 24, 5]
    np.testing.assert_array_equal(np.concatenate([p.field for p in parts]), values)
    assert parts[0].sources == ("tas_2000.nc tas_2001.nc",)
    assert len(parts[0].sums["tas_2000.nc tas_2001.nc"].split()) == 2


def test_some_months_are_read_from_the_files_of_their_years(tmp_path: Path) -> None:
    values = write_years(tmp_path, 2000, 2003)
    with readers.open_series(weather(), "tas", tmp_path, None) as series:
        wanted = series.months()[8:20]
        (part,) = series.stretches(wanted)
        np.testing.assert_array_equal(part.field, values[8:20])
        assert [said.split()[0] for said in series.behind(wanted)] == [
            "tas_2000.nc",
            "tas_2001.nc",
        ]


def test_years_that_are_asked_for_limit_the_series(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 2003)
    with readers.open_series(weather(), "tas", tmp_path, (2001, 2002)) as series:
        months = series.months()
        assert [str(months[0]), months.size] == ["2001-01", 24]
        assert [len(part.field) for part in series.stretches(months)] == [24]


def test_what_axes_do_not_tell_reading_does(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 2003)
    (tmp_path / "tas_2002.nc").unlink()
    with (
        readers.open_series(weather(), "tas", tmp_path, None) as series,
        pytest.raises(TimeAxisError, match="of the years 2000- the file holds"),
    ):
        series.months()


def test_attributes_of_joined_stretches_name_each_file_once() -> None:
    sums = {"a.nc b.nc": "1 2", "b.nc c.nc": "2 3"}
    found = readers.origin(weather(), list(sums), sums)
    assert found == {"source_file": "a.nc b.nc c.nc", "sha256": "1 2 3"}
