"""ERSSTv5: months of NCEI and of PSL, and the real file."""

import os
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from emulator.carbon.errors import UnitsError
from emulator.data import catalog, readers
from emulator.data.readers.ersst import find
from tests.data.marine_files import ersst_month, ersst_series

DEFAULT = Path(__file__).parents[4] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared_data = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)


def sea(value: float) -> np.ndarray:
    """Return a sea that is warmer by its row, south first, with land at Greenwich."""
    values = value + 0.1 * np.arange(89)[:, None] * np.ones(180)
    values[:, 0] = np.nan
    return values


def as_told(values: np.ndarray) -> np.ndarray:
    """Return a field from 180 W instead of Greenwich."""
    return np.roll(values, 90, axis=1)


@pytest.mark.parametrize("month", ["2007-12", "2008-01"])
def test_months_of_both_kinds_are_read(tmp_path: Path, month: str) -> None:
    ersst_month(tmp_path / month[:4], month, sea(10.0))
    offering = find(tmp_path, ("tos", "tosforc"))
    assert list(map(str, offering.months)) == [month]
    told = offering.months[np.datetime64(month, "M")].read(("tos", "tosforc"))
    assert told.is_final
    assert told.grid.lat[[0, -1]].tolist() == [-88, 88]
    assert told.grid.lon[[0, -1]].tolist() == [-180, 178]
    unit = "degree_C" if month < "2008" else "Celsius"
    assert told.units == {"tos": unit, "tosforc": unit}
    for values in told.fields.values():
        np.testing.assert_allclose(values, as_told(sea(10.0)), rtol=1e-6)
        # Land is at Greenwich, which is the ninetieth column from 180 W.
        assert np.isnan(values).all(axis=0).nonzero()[0].tolist() == [90]


def test_all_months_may_be_in_one_file(tmp_path: Path) -> None:
    series = np.stack([sea(value) for value in (10.0, 11.0, 12.0)])
    ersst_series(tmp_path / "sst.mnmean.nc", "2007-12", series)
    offering = find(tmp_path)
    assert list(map(str, offering.months)) == ["2007-12", "2008-01", "2008-02"]
    for values, piece in zip(series, offering.months.values(), strict=True):
        told = piece.read(("tos",))
        np.testing.assert_allclose(told.fields["tos"], as_told(values), rtol=1e-6)


def test_of_two_files_the_last_modified_counts(tmp_path: Path) -> None:
    series = ersst_series(tmp_path / "sst.mnmean.nc", "2008-01", sea(10.0)[None])
    month = ersst_month(tmp_path, "2008-01", sea(11.0))
    for path, when in ((series, 1), (month, 2)):
        os.utime(path, (when, when))
    (piece,) = find(tmp_path).months.values()
    assert piece.files == (month,)
    os.utime(series, (3, 3))
    (piece,) = find(tmp_path).months.values()
    assert piece.files == (series,)


def test_names_times_and_versions_must_agree(tmp_path: Path) -> None:
    ersst_month(tmp_path, "2007-01", sea(10.0), inside="2007-02")
    ersst_month(tmp_path, "2008-01", sea(10.0), version=4)
    (tmp_path / "ersst.v5.200802.nc").write_bytes(b"<html>")
    offering = find(tmp_path)
    assert not offering.months
    page, other, old, none = offering.refused
    assert "is a web page" in page
    assert "200701.nc holds 2007-02, but its name says 2007-01" in old
    assert "ersst.v4.200801.nc is of version 4, but months of version 5" in other
    assert "has no month of sea surface temperature in files ersst.v5" in none


def test_a_unit_is_needed(tmp_path: Path) -> None:
    path = ersst_month(tmp_path, "2008-01", sea(10.0))
    with netCDF4.Dataset(path, "a") as file:
        del file["sst"].units
    (piece,) = find(tmp_path).months.values()
    with pytest.raises(UnitsError, match="'sst' states no unit, but 'degC' is needed"):
        piece.read(("tos",))


@needs_shared_data
def test_the_real_file() -> None:
    offering = find(SHARED / "observed")
    assert offering.refused == []
    months = list(offering.months)
    assert [str(months[0]), str(months[-1]), len(months)] == ["2010-01", "2020-08", 128]
    means = {}
    for month in ("2010-01", "2015-08", "2020-08"):
        told = offering.months[np.datetime64(month, "M")].read(("tos",))
        tos = told.fields["tos"]
        there = ~np.isnan(tos)
        area = told.grid.cell_area()
        assert -1.81 <= np.nanmin(tos) < np.nanmax(tos) < 45
        means[month] = float((tos[there] * area[there]).sum() / area[there].sum())
        # Sea and sea ice: 71 % of the Earth, and coasts of 2 degrees.
        assert 0.70 < area[there].sum() / 5.10e14 < 0.75
    # Taken from the file by weights of cos(lat) instead of areas, without this code.
    expected = dict.fromkeys(means, 0.0)
    with netCDF4.Dataset(SHARED / "observed" / "ersstv5_2010-2020.nc") as file:
        weight = np.cos(np.deg2rad(file["lat"][:]))[:, None] * np.ones(180)
        for month in means:
            place = (np.datetime64(month, "M") - np.datetime64("2010-01", "M")).astype(
                int
            )
            sst = np.ma.masked_invalid(file["sst"][place])
            expected[month] = float(np.ma.average(sst, weights=weight))
    assert means == pytest.approx(expected, abs=2e-3)
    # The year-round mean of the sea is 18 degC; August of 2015 was warmer than usual.
    assert all(17.5 < value < 19.0 for value in means.values())
    assert means["2015-08"] > means["2010-01"]


@needs_shared_data
def test_the_real_file_by_the_catalog() -> None:
    entry = replace(catalog.load("ersstv5"), root="observed")
    tos = readers.read(entry, "tos", None, SHARED, years=(2011, 2012))
    assert tos.sizes == {"time": 24, "lat": 89, "lon": 180}
    assert tos.attrs["units"] == "degC"
    assert tos.attrs["source_file"] == "ersstv5_2010-2020.nc"
    with netCDF4.Dataset(SHARED / "observed" / "ersstv5_2010-2020.nc") as file:
        # January 2011 is the thirteenth month, the equator the forty-fifth row.
        raw = np.ma.filled(file["sst"][12, 44], np.nan)
    np.testing.assert_array_equal(tos[0, 44].to_numpy(), np.roll(raw, 90))
