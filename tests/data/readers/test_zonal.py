"""Zonal fluxes in the units and signs of different groups, and real ones."""

import os
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from emulator.carbon.budget import annual_mean
from emulator.carbon.errors import GridMismatchError, UnitsError, UserError
from emulator.data.readers import zonal

DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)

LAT = np.arange(-85.0, 90.0, 10.0)
UNITS = "Pg C yr$^{-1}$ degree$^{-1}$"


def land_release() -> np.ndarray:
    """Two years: 0.02 PgC yr-1 per degree from 50-60 N in winter, -0.03 in summer."""
    flux = np.zeros((24, LAT.size))
    flux[:, LAT == 55] = 0.02
    flux[np.isin(np.arange(24) % 12, np.arange(4, 9))[:, None] & (LAT == 55)] = -0.03
    return flux


def ocean_release() -> np.ndarray:
    """0.01 PgC yr-1 per degree out of the tropics, 0.02 into all other sea."""
    return np.where(np.abs(LAT) < 30, 0.01, -0.02) * np.ones((24, 1))


def write(
    folder: Path,
    values: np.ndarray,
    *,
    name: str = "SFCO2_LND",
    units: str = UNITS,
    lat: np.ndarray = LAT,
    dims: tuple[str, ...] = ("time", "lat"),
    **attributes: Any,
) -> Path:
    path = folder / "group.fluxes.nc"
    with netCDF4.Dataset(path, "w") as file:
        for dim, size in zip(dims, values.shape, strict=True):
            file.createDimension(dim, size)
        time = file.createVariable("time", "i8", ("time",))
        time.units, time.calendar = "hours since 2000-01-15 12:00:00", "standard"
        time[:] = 30.44 * 24 * np.arange(values.shape[dims.index("time")])
        if "lat" in dims:
            file.createVariable("lat", "f8", ("lat",))[:] = lat
        variable = file.createVariable(name, "f8", dims)
        variable.setncatts({"units": units, **attributes})
        variable[:] = values
    return path


def test_a_release_becomes_a_negative_sink(tmp_path: Path) -> None:
    found = zonal.read(write(tmp_path, land_release()), "land")
    assert found.source == "group.fluxes.nc"
    assert str(found.months[0]) == "2000-01"
    assert found.sink.shape == (24, 18)
    np.testing.assert_allclose(found.edges, np.arange(-90, 91, 10))
    # Ten degrees with 0.02 PgC yr-1 each leave in January; 0.3 are taken up in July.
    np.testing.assert_allclose(found.within(-90, 90)[[0, 6]], [-0.2, 0.3], rtol=1e-6)


@pytest.mark.parametrize(
    ("surface", "name", "release"),
    [("land", "SFCO2_LND", land_release()), ("ocean", "SFCO2_OCN", ocean_release())],
)
def test_the_sign_of_the_file_does_not_matter(
    tmp_path: Path, surface: zonal.Surface, name: str, release: np.ndarray
) -> None:
    up = zonal.read(write(tmp_path, release, name=name, long_name="upward"), surface)
    down = zonal.read(write(tmp_path, -release, name=name), surface)
    np.testing.assert_allclose(up.sink, down.sink)
    np.testing.assert_allclose(up.sink, -10 * release, rtol=1e-6)


@pytest.mark.parametrize(
    ("units", "scale"),
    [
        ("PgC/yr/deg", 1.0),
        ("Tg C yr-1 degree-1", 1e-3),
        ("GtC yr-1 per degree", 1.0),
        ("kg s-1 degree-1", 365.2425 * 86400 / 1e12),
    ],
)
def test_units_are_converted(tmp_path: Path, units: str, scale: float) -> None:
    path = write(tmp_path, land_release() / scale, units=units)
    january = zonal.read(path, "land").within(-90, 90)[0]
    assert january == pytest.approx(-0.2, rel=1e-6)


def test_amounts_of_months_become_rates(tmp_path: Path) -> None:
    rates = zonal.read(write(tmp_path, land_release()), "land")
    said = "upward mass flux of carbon for the whole grid box and the whole month"
    found = zonal.read(write(tmp_path, land_release(), long_name=said), "land")
    # February 2001: a twelfth of the number went over in 28 days.
    ratio = found.within(-90, 90) / rates.within(-90, 90)
    assert ratio[13] == pytest.approx(365.2425 / 12 / 28)
    # A year is the sum of its months, and 2001 has 365 of 365.2425 days.
    _, totals = annual_mean(found.within(-90, 90), found.months)
    sums = rates.within(-90, 90).reshape(2, 12).mean(axis=1)
    assert totals[1] == pytest.approx(sums[1] * 365.2425 / 365)


def test_bands_take_their_share_of_a_row(tmp_path: Path) -> None:
    found = zonal.read(write(tmp_path, ocean_release(), name="SFCO2_OCN"), "ocean")
    # Uptake of 0.02 per degree: 60 degrees, of them 5 between 25 and 35 N.
    assert found.within(30, 90)[0] == pytest.approx(60 * 0.02, rel=1e-6)
    assert found.within(25, 35)[0] == pytest.approx(5 * 0.02 - 5 * 0.01, rel=1e-6)
    thirds = [found.within(*band)[0] for band in ((-90, -30), (-30, 30), (30, 90))]
    assert sum(thirds) == pytest.approx(found.within(-90, 90)[0])


def test_rows_from_north_to_south_and_at_the_poles(tmp_path: Path) -> None:
    # Rows on the poles reach over half a step, as in LMDZ.
    lat = np.linspace(90, -90, 19)
    values = np.where(np.abs(lat) < 30, 0.01, -0.02) * np.ones((24, 1))
    path = write(tmp_path, values, lat=lat, name="SFCO2_OCN")
    found = zonal.read(path, "ocean")
    np.testing.assert_allclose(np.diff(found.edges)[[0, 1, -1]], [5, 10, 5])
    assert found.edges[0] == -90
    # Of 180 degrees, 50 release.
    expected = 130 * 0.02 - 50 * 0.01
    assert found.within(-90, 90)[0] == pytest.approx(expected, rel=1e-6)


def test_rows_without_any_value_are_empty(tmp_path: Path) -> None:
    values = ocean_release()
    values[:, -1] = 1e20
    path = write(tmp_path, values, name="SFCO2_OCN", FillValue=1e20)
    np.testing.assert_array_equal(zonal.read(path, "ocean").sink[:, -1], 0)


def gap() -> np.ndarray:
    values = land_release()
    values[3, 5] = np.nan
    return values


@pytest.mark.parametrize(
    ("values", "changes", "error", "message"),
    [
        (
            ocean_release(),
            {"name": "SFCO2_OCN"},
            UserError,
            r"holds .*, but 'SFCO2_LND', 'time' and 'lat' are needed",
        ),
        (land_release(), {"units": "Pg C yr-1"}, UnitsError, "flux per degree of lat"),
        (
            land_release(),
            {"units": "kg degree-1"},
            UnitsError,
            r"\.nc: 'SFCO2_LND': Unit 'kg *' cannot become",
        ),
        (land_release(), {"units": ""}, UnitsError, "flux per degree of latitude"),
        (
            land_release() + 1,
            {"units": "Pg C yr-1 degree-1"},
            UnitsError,
            "but no net flux exceeds 15",
        ),
        (gap(), {}, UserError, "1 values of rows that have values otherwise"),
        (land_release() * 0, {}, UserError, "its sign cannot be told"),
        (
            -land_release(),
            {"long_name": "upward flux"},
            UserError,
            "'upward flux', but where uptake is certain its values are 0.5",
        ),
        (land_release()[:5], {}, UserError, "July against January"),
        (
            land_release()[:, :9],
            {"lat": LAT[:9]},
            GridMismatchError,
            "span -90 to 0 degrees north, but must reach both poles",
        ),
        (
            land_release(),
            {"lat": np.sort(np.abs(LAT))},
            GridMismatchError,
            "do not run from pole to pole",
        ),
        (
            land_release()[:, :, None],
            {"dims": ("time", "lat", "lon")},
            GridMismatchError,
            "but time and lat are needed",
        ),
    ],
)
def test_a_file_that_says_something_else_is_refused(
    tmp_path: Path, values: np.ndarray, changes: dict, error: type, message: str
) -> None:
    path = write(tmp_path, values, **changes)
    with pytest.raises(error, match=message):
        zonal.read(path, "land")


@needs_shared
@pytest.mark.parametrize(
    ("name", "surface", "first", "last", "year", "sink"),
    [
        # Summed by hand over the rows, times their width: months of CAMS count alike,
        # those of the others by their length.
        ("CAMSv20r1", "land", "1990-01", "2020-05", 2010, 2.59),
        ("CAMSv20r1", "ocean", "1990-01", "2020-05", 2017, 2.28),
        ("CT2019B", "land", "2000-01", "2018-12", 2010, 0.98),
        ("CT2019B", "ocean", "2000-01", "2018-12", 2018, 3.35),
        ("SOM-FFN", "ocean", "1982-01", "2017-12", 2017, 2.08),
    ],
)
def test_real_products(
    name: str, surface: zonal.Surface, first: str, last: str, year: int, sink: float
) -> None:
    path = SHARED / "observed" / f"{name}.fluxes_za_ts_monthly.nc"
    found = zonal.read(path, surface)
    assert [str(found.months[0]), str(found.months[-1])] == [first, last]
    years, totals = annual_mean(found.within(-90, 90), found.months)
    assert totals[years == year][0] == pytest.approx(sink, abs=0.01)
