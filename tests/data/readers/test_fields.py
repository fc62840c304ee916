"""One field in the conventions of many groups reads the same."""

import re
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import (
    GridMismatchError,
    TimeAxisError,
    UnitsError,
    UserError,
)
from emulator.carbon.units import MOLAR_MASS_CARBON
from emulator.data import readers
from emulator.data.readers.fields import Declared, read_field, without_fills
from emulator.data.readers.files import checksum
from tests.data import tiny_files as tiny

MONTHS = 24


def read(path: Path, **kwargs: Any) -> np.ndarray:
    return read_field(path, "nbp", **kwargs).values


@pytest.mark.parametrize(
    "names",
    [
        ("time", "lat", "lon"),
        ("time", "latitude", "longitude"),
        ("time_counter", "lat_FULL", "lon_FULL"),
    ],
)
@pytest.mark.parametrize("is_north_first", [False, True])
@pytest.mark.parametrize("is_from_zero", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_names_orders_and_ranges_of_coordinates_make_no_difference(
    tmp_path: Path,
    names: tuple[str, ...],
    is_north_first: bool,
    is_from_zero: bool,
    order: tuple[int, ...],
) -> None:
    values, lat, lon = tiny.law(MONTHS), tiny.LAT, tiny.LON
    if is_north_first:
        values, lat = values[:, ::-1], lat[::-1]
    if is_from_zero:
        values, lon = np.roll(values, 4, axis=2), np.roll(lon, 4) % 360
    values, names = values.transpose(order), tuple(names[i] for i in order)
    path = tiny.write(tmp_path / "a.nc", "nbp", values, lat=lat, lon=lon, dims=names)
    field = read_field(path, "nbp")
    np.testing.assert_array_equal(field.values, tiny.law(MONTHS))
    np.testing.assert_allclose(field.lat, tiny.LAT)
    np.testing.assert_allclose(field.lon, tiny.LON)


@settings(deadline=None, max_examples=16)
@given(shift=st.integers(0, 7))
def test_rolling_the_columns_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, shift: int
) -> None:
    path = tmp_path_factory.mktemp("roll") / "a.nc"
    values = np.roll(tiny.law(12), shift, axis=2)
    tiny.write(path, "nbp", values, lon=np.roll(tiny.LON, shift))
    np.testing.assert_array_equal(read(path), tiny.law(12))


@pytest.mark.parametrize(
    "fill", [-99999.0, -999.0, 1e20, 9.96921e36, np.nan, -1e34, 1e11]
)
@pytest.mark.parametrize("is_declared", [True, False])
def test_every_kind_of_fill_becomes_nan(
    tmp_path: Path, fill: float, is_declared: bool
) -> None:
    values = tiny.law(MONTHS)
    values[:, 0] = fill
    path = tiny.write(
        tmp_path / "a.nc", "nbp", values, fill=fill if is_declared else None
    )
    expected = tiny.law(MONTHS)
    expected[:, 0] = np.nan
    np.testing.assert_array_equal(read(path), expected)


def test_a_missing_value_of_zero_is_a_value() -> None:
    # Some fraction files declare it, and 0 then means that all is land.
    cleaned = without_fills(np.array([0.0, 0.5], "f4"), {"missing_value": 0.0})
    np.testing.assert_array_equal(cleaned, [0.0, 0.5])


def test_packed_values_are_unpacked() -> None:
    attrs = {"scale_factor": 0.5, "add_offset": 10.0, "_FillValue": np.int16(-999)}
    cleaned = without_fills(np.array([2, -999], "i2"), attrs)
    np.testing.assert_array_equal(cleaned, [11.0, np.nan])


@pytest.mark.parametrize("kind", ["i1", ">i2", "<i4"])
def test_unsigned_integers_in_files_that_know_none(kind: str) -> None:
    # -2 stands for the number before the largest, -1 for the largest: the fill.
    attrs = {"_Unsigned": "true", "_FillValue": np.int8(-1), "missing_value": 1e20}
    values = np.array([0, 3, -2, -1], kind)
    cleaned = without_fills(values, {**attrs, "scale_factor": 0.5}, limit=1e12)
    largest = 2 ** (8 * np.dtype(kind).itemsize) - 1
    np.testing.assert_allclose(cleaned, [0, 1.5, (largest - 1) / 2, np.nan], rtol=1e-7)


def test_a_fill_that_an_integer_cannot_hold_does_no_harm() -> None:
    cleaned = without_fills(np.array([0, 1], "i1"), {"missing_value": 1e20})
    np.testing.assert_array_equal(cleaned, [0.0, 1.0])


def test_doubles_beyond_single_precision_are_fills() -> None:
    cleaned = without_fills(np.array([1.0, 1e300, -1.7e308]), {})
    np.testing.assert_array_equal(cleaned, [1.0, np.nan, np.nan])


@pytest.mark.parametrize("units", ["m2", "m^2", "m**2", "km2"])
def test_areas_above_the_fill_limit_are_values(tmp_path: Path, units: str) -> None:
    area = np.full(tiny.SHAPE, 1.7e13, "f4")
    path = tiny.write(tmp_path / "a.nc", "area", area, units=units)
    assert (read_field(path, "area", has_time=False).values == area).all()


@pytest.mark.parametrize("name", ["NBP", "npp-rh+ld", "nbpAnnual"])
def test_a_variable_of_another_name_is_found(tmp_path: Path, name: str) -> None:
    path = tiny.write(tmp_path / "a.nc", name, tiny.law(12))
    assert read_field(path, "nbp").name == name


def test_two_candidates_are_refused(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.nc", "nep", tiny.law(12))
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("nee", "f4", ("time", "lat", "lon"))
    with pytest.raises(UserError, match=r"no variable 'nbp' and 2 that could be meant"):
        read(path)


def test_only_the_years_asked_are_read(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(36))
    field = read_field(path, "nbp", years=(2001, 2001))
    np.testing.assert_array_equal(field.values, tiny.law(36)[12:24])
    assert field.axis is not None
    assert str(field.axis.months[0]) == "2001-01"


def test_capital_attributes_are_understood(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(12), unit_attribute="Units")
    field = read_field(path, "nbp")
    assert field.units == "kg C m-2 s-1"
    assert field.axis is not None
    assert str(field.axis.months[0]) == "2000-01"


# --- files that are no files ------------------------------------------------


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    path.touch()
    with pytest.raises(UserError, match=r"a\.nc is empty \(0 bytes\).*get it again"):
        read(path)


@pytest.mark.parametrize(
    "start", ["<!DOCTYPE html><html>", "\n<html>", "<?xml version"]
)
def test_a_web_page_is_refused(tmp_path: Path, start: str) -> None:
    path = tmp_path / "a.nc"
    path.write_text(start + "<body>403 Forbidden</body>")
    with pytest.raises(
        UserError, match=r"a\.nc is a web page.*open the file in a browser"
    ):
        read(path)


def test_a_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    path.write_bytes(b"PK" + b"\x00" * 20)
    with pytest.raises(UserError, match=r"a\.nc is a zip archive.*Unpack it"):
        read(path)


def test_some_other_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    path.write_bytes(b"GRIB\x00\x00\x00\x02 and more")
    with pytest.raises(UserError, match=r"begins with b'GRIB.*no NetCDF file"):
        read(path)


@pytest.mark.parametrize(
    "file_format", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"]
)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_file_is_refused(
    tmp_path: Path, file_format: str, share: float
) -> None:
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(120), file_format=file_format)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"a\.nc cannot be read: it is truncated"):
        read(path)


def test_a_file_damaged_inside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nc"
    noise = np.random.default_rng(0).normal(size=(120, *tiny.SHAPE)).astype("f4")
    with netCDF4.Dataset(path, "w") as file:
        for dim, centres in (("lat", tiny.LAT), ("lon", tiny.LON)):
            file.createDimension(dim, centres.size)
            file.createVariable(dim, "f8", (dim,))[:] = centres
        file.createDimension("time", 120)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1700-01-01", "noleap"
        time[:] = tiny.noleap_days(2000, 120)
        dims = ("time", "lat", "lon")
        file.createVariable("nbp", "f4", dims, zlib=True, fletcher32=True)[:] = noise
    content = bytearray(path.read_bytes())
    place = len(content) - 2000
    content[place : place + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(
        UserError, match=r"a\.nc cannot be read: it is truncated or dam"
    ):
        read(path)


# --- grids ------------------------------------------------------------------


def test_a_missing_row_is_named(tmp_path: Path) -> None:
    lat = np.delete(np.arange(-87.5, 90, 5), 10)
    values = np.ones((12, lat.size, 8), "f4")
    path = tiny.write(tmp_path / "a.nc", "nbp", values, lat=lat)
    with pytest.raises(
        GridMismatchError, match=r"a\.nc: .*-42\.5 to -32\.5.*row is miss"
    ):
        read(path)


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(12)[..., 1:], lon=tiny.LON[1:])
    with pytest.raises(GridMismatchError, match=r"a\.nc: .*must go round the Earth"):
        read(path)


def test_a_doubled_column_is_refused(tmp_path: Path) -> None:
    lon = np.append(tiny.LON, 202.5)
    values = np.concatenate([tiny.law(12), tiny.law(12)[..., :1]], axis=2)
    path = tiny.write(tmp_path / "a.nc", "nbp", values, lon=lon)
    with pytest.raises(
        GridMismatchError, match=r"a\.nc: the column at -157\.5 degrees"
    ):
        read(path)


def test_plant_types_are_refused(tmp_path: Path) -> None:
    values = np.ones((12, 3, *tiny.SHAPE), "f4")
    dims = ("time", "pft", "lat", "lon")
    path = tiny.write(tmp_path / "a.nc", "nbp", values, dims=dims)
    with pytest.raises(GridMismatchError, match=r"Sum or select \['pft'\] first"):
        read(path)


def test_a_list_of_cells_is_refused(tmp_path: Path) -> None:
    path = tiny.write(
        tmp_path / "a.nc", "nbp", np.ones((12, 5, 2), "f4"), dims=("time", "cell", "b")
    )
    with pytest.raises(GridMismatchError, match="0 of them a latitude"):
        read(path)


def test_a_grid_without_coordinates_is_refused(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(12), dims=("time", "y", "x"))
    with pytest.raises(GridMismatchError, match="dimension 'y' has no coordinate"):
        read(path)


def test_a_map_without_time_is_no_series(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(1)[0])
    with pytest.raises(TimeAxisError, match="0 of which are time"):
        read(path)


def test_plant_types_are_no_months(tmp_path: Path) -> None:
    # As many as the months of the years that the catalog declares.
    dims = ("pft", "lat", "lon")
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(12), dims=dims)
    with pytest.raises(TimeAxisError, match=r"'pft', .* 0 of which are time"):
        read(path, declared=Declared(years=(2000, 2000)))


def test_time_of_an_unknown_name_is_known_by_its_unit(tmp_path: Path) -> None:
    dims = ("mon", "lat", "lon")
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(12), dims=dims)
    with netCDF4.Dataset(path, "a") as file:
        file.createVariable("mon", "f8", ("mon",))[:] = np.arange(12)
        file["mon"].units = "months since 2000-01-01"
    np.testing.assert_array_equal(read(path), tiny.law(12))


def test_two_dimensions_of_time_are_refused(tmp_path: Path) -> None:
    values, dims = np.ones((12, 1, *tiny.SHAPE), "f4"), ("time", "t", "lat", "lon")
    path = tiny.write(tmp_path / "a.nc", "nbp", values, dims=dims)
    with pytest.raises(TimeAxisError, match=r"2 of which are time \['time', 't'\]"):
        read(path)


def test_times_in_words_are_refused(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(2), dims=("t", "lat", "lon"))
    with netCDF4.Dataset(path, "a") as file:
        stamps = file.createVariable("t", str, ("t",))
        stamps[:] = np.array(["2000-01", "2000-02"], object)
    with pytest.raises(TimeAxisError, match=r"its time 't' is .*one number a step is"):
        read(path)


# Firsts of the months from February 2000 to July 2001, in years of 365 days: the
# midnights that end 18 months from January 2000 on.
ENDS = (
    np.cumsum([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] * 2)[:18] + 300.0 * 365
)


def with_bounds(path: Path, bounds: np.ndarray, units: str | None = None) -> Path:
    tiny.write(path, "nbp", tiny.law(18), time=ENDS)
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("nv", 2)
        file.createVariable("time_bnds", "f8", ("time", "nv"))[:] = bounds
        file["time"].bounds = "time_bnds"
        if units:
            file["time_bnds"].units = units
    return path


def test_bounds_tell_which_month_a_midnight_ends(tmp_path: Path) -> None:
    bounds = np.stack([np.append(300.0 * 365, ENDS[:-1]), ENDS], axis=1)
    field = read_field(with_bounds(tmp_path / "a.nc", bounds), "nbp")
    assert field.axis is not None
    assert str(field.axis.months[0]) == "2000-01"


@pytest.mark.parametrize(
    ("bounds", "units"),
    [
        (np.zeros((18, 2)), None),
        (np.stack([ENDS - 3000, ENDS - 2970], axis=1), None),
        (np.stack([ENDS - 1, ENDS], axis=1), None),
        (np.full((18, 2), np.nan), None),
        (np.stack([np.append(0, ENDS[:-1]), ENDS], axis=1), "hours since 1700-01-01"),
    ],
)
def test_bounds_that_hold_no_stamps_say_nothing(
    tmp_path: Path, bounds: np.ndarray, units: str | None
) -> None:
    field = read_field(with_bounds(tmp_path / "a.nc", bounds, units), "nbp")
    assert field.axis is not None
    assert str(field.axis.months[0]) == "2000-02"


# --- units and signs --------------------------------------------------------


def place(tmp_path: Path, variable: str = "nbp", **kwargs: Any) -> Path:
    path = tmp_path / f"tiny/S2/tiny_S2_{variable}.nc"
    return tiny.write(path, variable, tiny.law(MONTHS), **kwargs)


def test_a_field_is_named_and_described(tmp_path: Path) -> None:
    path = place(tmp_path)
    field = readers.read(tiny.entry(), "nbp", "S2", tmp_path)
    assert field.name == "nbp"
    assert field.dims == ("time", "lat", "lon")
    assert field.dtype == np.float32
    assert field.time.values[0] == np.datetime64("2000-01-01")
    assert field.attrs["units"] == "kg m-2 s-1"
    assert field.attrs["source_units"] == "kg C m-2 s-1"
    assert field.attrs["source_calendar"] == "noleap"
    assert field.attrs["frequency"] == "month"
    assert field.attrs["sha256"] == checksum(path)
    assert field.attrs["catalog_entry"] == "tiny"


def test_mol_become_kg_of_carbon(tmp_path: Path) -> None:
    place(tmp_path, units="mol m-2 s-1")
    field = readers.read(tiny.entry(), "nbp", "S2", tmp_path)
    np.testing.assert_allclose(
        field, tiny.law(MONTHS).astype("f8") * MOLAR_MASS_CARBON, rtol=1e-6
    )


def test_the_catalog_corrects_unit_sign_and_scale(tmp_path: Path) -> None:
    # The file says kg, but holds grams a day to the air, per ten square metres.
    place(tmp_path)
    nbp = {"units": "g m-2 day-1", "sign": -1, "scale": 0.1}
    entry = tiny.entry(variables={"nbp": nbp})
    field = readers.read(entry, "nbp", "S2", tmp_path)
    expected = -0.1 * tiny.law(MONTHS).astype("f8") / 1000 / 86400
    np.testing.assert_allclose(field, expected, rtol=1e-6)


def test_a_field_without_unit_is_refused(tmp_path: Path) -> None:
    place(tmp_path, units=None)
    with pytest.raises(
        UnitsError, match=r"'nbp' states no unit.*variables\.nbp\.units"
    ):
        readers.read(tiny.entry(), "nbp", "S2", tmp_path)


@pytest.mark.parametrize("units", ["degC", "bananas"])
def test_a_field_of_another_unit_is_refused(tmp_path: Path, units: str) -> None:
    path = place(tmp_path, units=units)
    message = rf"{re.escape(str(path))}: 'nbp'.*{units}.*variables\.nbp\.units"
    with pytest.raises(UnitsError, match=message):
        readers.read(tiny.entry(), "nbp", "S2", tmp_path)


def test_a_checksum_is_that_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert checksum(path) == expected
