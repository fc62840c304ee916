"""Files in the manner of each group, with known values, read through the catalog.

Layouts, names and time axes are those of published TRENDY and carbon-budget files;
grids are cut to a few cells, lengths in time are the real ones. Every file is read
back to the values it was written from.
"""

import gzip
import tarfile
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pytest

from emulator.carbon.errors import GridMismatchError, TimeAxisError, UnitsError
from emulator.carbon.grid import Grid
from emulator.carbon.units import MOLAR_MASS_CARBON
from emulator.data import readers
from emulator.data.entry import Entry
from tests.data import tiny_files as tiny

ROUND = {"years": [1901, 2024], "ends": 2024, "root": ""}
MONTHS = 325 * 12
SINCE_1901 = slice(201 * 12, None)


def entry(files: str, **changes: Any) -> Entry:
    return tiny.entry(**{**ROUND, "files": files, "variables": {"nbp": {}}, **changes})


def require(
    field: Any, values: np.ndarray, first: str = "1901-01", last: str = "2024-12"
) -> None:
    """Compare with the values written, from south to north and from 180 W to 180 E."""
    np.testing.assert_array_equal(field.values, values)
    assert str(field.time.values[0])[:7] == first
    assert str(field.time.values[-1])[:7] == last
    assert field.attrs["units"] == "kg m-2 s-1"


def mid_months(origin: str, first: int, months: int, calendar: str) -> np.ndarray:
    """Days of the middle of each month since ``origin``."""
    stamps = [
        cftime.datetime(first + i // 12, i % 12 + 1, 15, calendar=calendar)
        for i in range(months)
    ]
    days = cftime.date2num(stamps, f"days since {origin}", calendar)
    return np.asarray(days, dtype=np.float64)


# --- land -------------------------------------------------------------------


@pytest.mark.parametrize("is_declared", [True, False])
def test_cable_pop_counts_months_from_an_unpadded_date(
    tmp_path: Path, is_declared: bool
) -> None:
    values = tiny.law(MONTHS)
    values[:, 0, 3:] = -99999
    tiny.write(
        tmp_path / "CABLE-POP/S2/CABLE-POP_S2_nbp.nc",
        "nbp",
        values,
        dims=("time", "latitude", "longitude"),
        time=np.arange(float(MONTHS)),
        time_units="months since 1700-1-16",
        calendar=None,
        fill=-99999.0 if is_declared else None,
    )
    said = entry("CABLE-POP/{simulation}/CABLE-POP_{simulation}_{variable}.nc")
    values[:, 0, 3:] = np.nan
    require(readers.read(said, "nbp", "S2", tmp_path), values[SINCE_1901])


def test_cable_pop_spells_land_use_change_its_own_way(tmp_path: Path) -> None:
    path = tmp_path / "CABLE-POP/S2/CABLE-POP_S2_fLUC.nc"
    tiny.write(path, "fLUC", tiny.law(MONTHS), time=tiny.noleap_days(1700, MONTHS))
    said = entry(
        "CABLE-POP/{simulation}/CABLE-POP_{simulation}_{variable}.nc",
        variables={"fLuc": {}},
    )
    field = readers.read(said, "fLuc", "S2", tmp_path)
    require(field, tiny.law(MONTHS)[SINCE_1901])


def test_visit_ut_counts_years_from_the_year_nought_north_first(tmp_path: Path) -> None:
    tiny.write(
        tmp_path / "VISIT-UT/S2/visit-ut_S2_nbp.nc",
        "nbp",
        tiny.law(MONTHS)[:, ::-1],
        lat=tiny.LAT[::-1],
        time=1700 + (np.arange(MONTHS) + 0.5) / 12,
        time_units="years since AD 0-Jan-1st (double)",
        calendar=None,
    )
    # The prefix is in lower case in one round and in upper case in another.
    said = entry("VISIT-UT/{simulation}/VISIT-UT_{simulation}_{variable}.nc")
    field = readers.read(said, "nbp", "S2", tmp_path)
    require(field, tiny.law(MONTHS)[SINCE_1901])


@pytest.mark.parametrize("units", ["d", None])
def test_cardamom_numbers_its_months_and_adds_percentiles(
    tmp_path: Path, units: str | None
) -> None:
    months = 22 * 12
    path = tiny.write(
        tmp_path / "CARDAMOM/S2/CARDAMOM_S2_nbp.nc",
        "nbp",
        tiny.law(months),
        time=np.arange(1.0, months + 1),
        time_units=units,
        calendar=None,
    )
    share = np.linspace(0, 1, 32, dtype="f4").reshape(tiny.SHAPE)
    with netCDF4.Dataset(path, "a") as file:
        for name in ("nbp_2.5pc", "nbp_25pc", "nbp_97.5pc"):
            file.createVariable(name, "f4", ("time", "lat", "lon"))[:] = 1.0
        for name, values in (("grid_area", 2e13 + 0 * share), ("land_fraction", share)):
            file.createVariable(name, "f4", ("lat", "lon"))[:] = values
    said = entry(
        "CARDAMOM/{simulation}/CARDAMOM_{simulation}_{variable}.nc",
        years=[2003, 2024],
        land_fraction={
            "treatment": "multiply",
            "variable": "land_fraction",
            "file": "CARDAMOM/S2/CARDAMOM_S2_nbp.nc",
        },
    )
    field = readers.read(said, "nbp", "S2", tmp_path)
    require(field, tiny.law(months), first="2003-01")
    area = readers.process_area(said, Grid(tiny.LAT, tiny.LON), tmp_path)
    np.testing.assert_array_equal(area > 0, share > 0)


@pytest.mark.parametrize("calendar", ["noleap", None])
@pytest.mark.parametrize("is_end_stamped", [True, False])
def test_elm_counts_days_since_the_year_one(
    tmp_path: Path, calendar: str | None, is_end_stamped: bool
) -> None:
    # Read in the Gregorian calendar these days would begin in 1698.
    days = mid_months("0001-01-01", 1700, MONTHS, "noleap")
    if is_end_stamped:
        first = mid_months("0001-01-15", 1700, MONTHS + 1, "noleap")
        days = first[1:]
    tiny.write(
        tmp_path / "ELM/S2/E3SM_S2_nbp.nc",
        "nbp",
        tiny.law(MONTHS),
        time=days,
        time_units="days since 0001-01-01 00:00:00",
        calendar=calendar,
    )
    field = readers.read(entry("ELM/S2/E3SM_*_nbp.nc"), "nbp", "S2", tmp_path)
    require(field, tiny.law(MONTHS)[SINCE_1901])
    assert field.attrs["source_calendar"] == "noleap"


def test_clm_fates_wraps_its_columns_and_begins_at_60_south(tmp_path: Path) -> None:
    # 0 to 177.5 and then -180 to -2.5; 3888 months are 1701-2024.
    lat = -59.6842 + 1.8947 * np.arange(79)
    lon = np.concatenate([np.arange(0, 180, 22.5), np.arange(-180, 0, 22.5)])
    months = 324 * 12
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1e-8, (months, lat.size, 1)).astype("f4")
    values = values + np.arange(16, dtype="f4") * np.float32(1e-9)
    tiny.write(
        tmp_path / "CLM-FATES/S2/CLM-FATES_S2_nbp.nc",
        "nbp",
        np.roll(values, 8, axis=2),
        lat=lat,
        lon=lon,
        time=mid_months("1701-01-01", 1701, months, "noleap"),
        time_units="days since 1701-01-01 00:00:00",
    )
    said = entry("CLM-FATES/{simulation}/CLM-FATES_{simulation}_{variable}.nc")
    field = readers.read(said, "nbp", "S2", tmp_path)
    require(field, values[200 * 12 :])
    np.testing.assert_allclose(field.lon, np.arange(-180, 180, 22.5))
    np.testing.assert_allclose(field.lat[[0, -1]], [-59.6842, 88.1024])


def test_isam_names_its_flux_by_a_formula(tmp_path: Path) -> None:
    tiny.write(
        tmp_path / "ISAM/S2/ISAM_S2_nbp.nc",
        "npp-rh+ld",
        np.roll(tiny.law(MONTHS), 4, axis=2),
        lon=np.roll(tiny.LON, 4) % 360,
        time=tiny.noleap_days(1700, MONTHS),
        units="kgC/m2/s",
    )
    field = readers.read(entry("ISAM/S2/ISAM_S2_nbp.nc"), "nbp", "S2", tmp_path)
    require(field, tiny.law(MONTHS)[SINCE_1901])
    assert field.attrs["source_name"] == "npp-rh+ld"


def test_sdgvm_has_years_under_another_name(tmp_path: Path) -> None:
    tiny.write(
        tmp_path / "SDGVM/S2/SDGVM_S2_nbpAnnual.nc",
        "nbpAnnual",
        tiny.law(325),
        time=360.0 * 24 * np.arange(325) + 180 * 24,
        time_units="hours since 1700-01-01",
        calendar="360_day",
    )
    nbp = {"files": "SDGVM/{simulation}/SDGVM_{simulation}_nbpAnnual.nc"}
    said = entry("SDGVM/{simulation}/*_{variable}.nc", variables={"nbp": nbp})
    field = readers.read(said, "nbp", "S2", tmp_path)
    require(field, tiny.law(325)[201:], last="2024-01")
    assert field.attrs["frequency"] == "year"


def test_sdgvm_counts_hours_of_years_of_360_days(tmp_path: Path) -> None:
    # The logic of 360 days, without the calendar that says so.
    tiny.write(
        tmp_path / "SDGVM/S2/SDGVM_S2_npp.nc",
        "npp",
        tiny.law(124 * 12),
        time=720.0 * np.arange(124 * 12) + 720 + 360,
        time_units="hours since 1900-12-01",
        calendar=None,
    )
    said = entry("SDGVM/S2/SDGVM_S2_{variable}.nc", variables={"npp": {}})
    require(readers.read(said, "npp", "S2", tmp_path), tiny.law(124 * 12))


DLEM = {
    "files": "DLEM/{simulation}/DLEM_{simulation}_{variable}.nc",
    "variables": {
        "nbp": {"sum_of": ["gpp", "ra", "rh", "fFire"]},
        "gpp": {},
        "ra": {},
        "rh": {},
        "fFire": {},
    },
}


def write_components(root: Path, model: str, **files: np.ndarray) -> None:
    for variable, values in files.items():
        path = root / f"{model}/S2/{model}_S2_{variable}.nc"
        tiny.write(path, variable, values, time=tiny.noleap_days(1700, len(values)))


def components() -> dict[str, np.ndarray]:
    """Multiples of one power of two: sums of such floats are exact in any order."""
    unit = np.float32(2**-30)
    months = np.arange(MONTHS, dtype="f4")[:, None, None] % 64
    cells = np.arange(32, dtype="f4").reshape(tiny.SHAPE)
    gpp = unit * (512 + months + cells)
    ra, rh = unit * (200 + cells), unit * (150 + months)
    return {"gpp": gpp, "ra": ra + 0 * gpp, "rh": rh + 0 * gpp, "fFire": 0 * gpp + unit}


@pytest.mark.parametrize("time_units", ["years since 1700-06-15", None])
def test_dlem_has_annual_nbp_and_nan_that_it_does_not_declare(
    tmp_path: Path, time_units: str | None
) -> None:
    values = tiny.law(325)
    values[:, 1] = np.nan
    tiny.write(
        tmp_path / "DLEM/S2/DLEM_S2_nbp.nc",
        "nbp",
        values,
        time=np.arange(325.0),
        time_units=time_units,
        calendar=None,
    )
    said = entry("DLEM/{simulation}/DLEM_{simulation}_{variable}.nc")
    field = readers.read(said, "nbp", "S2", tmp_path)
    require(field, values[201:], last="2024-01")
    assert field.attrs["frequency"] == "year"


def test_dlem_gets_monthly_nbp_from_its_components(tmp_path: Path) -> None:
    parts = components()
    parts["gpp"][:, 1] = np.nan
    parts["fFire"][:, 2] = np.nan  # where nothing ever burns
    write_components(tmp_path, "DLEM", **parts)
    field = readers.read(entry(**DLEM), "nbp", "S2", tmp_path)
    fire = np.nan_to_num(parts["fFire"])
    expected = parts["gpp"] - parts["ra"] - parts["rh"] - fire
    require(field, expected[SINCE_1901])
    assert np.isnan(field.values[:, 1]).all()
    assert np.isfinite(field.values[:, 2]).all()
    assert field.attrs["sum_of"] == "gpp ra rh fFire"
    assert len(field.attrs["source_file"].split()) == 4


def test_files_of_a_sum_are_those_of_its_components(tmp_path: Path) -> None:
    write_components(tmp_path, "DLEM", **components())
    found = readers.find_files(entry(**DLEM), "nbp", "S2", tmp_path)
    names = [path.name for path in found]
    assert names == [f"DLEM_S2_{part}.nc" for part in ("gpp", "ra", "rh", "fFire")]


@pytest.mark.parametrize(
    ("variable", "parts", "expected"),
    [
        ("npp", ["gpp", "ra"], lambda a: a["gpp"] - a["ra"]),
        ("nbp", ["npp", "rh"], lambda a: a["npp"] - a["rh"]),
        ("ra", ["gpp", "npp"], lambda a: a["gpp"] - a["npp"]),
    ],
)
def test_what_a_model_leaves_out_is_added_up(
    tmp_path: Path, variable: str, parts: list[str], expected: Any
) -> None:
    arrays = components()
    arrays["npp"] = arrays["gpp"] - arrays["ra"]
    write_components(tmp_path, "LPJmL", **arrays)
    variables: dict[str, Any] = {part: {} for part in parts}
    variables[variable] = {"sum_of": parts}
    said = entry("LPJmL/S2/LPJmL_S2_{variable}.nc", variables=variables)
    field = readers.read(said, variable, "S2", tmp_path)
    require(field, expected(arrays)[SINCE_1901])


def test_lpj_guess_respires_by_the_year_only(tmp_path: Path) -> None:
    # rh stands in the file as arh, once a year: no monthly sum can use it.
    arrays = components()
    write_components(tmp_path, "LPJ-GUESS", gpp=arrays["gpp"], ra=arrays["ra"])
    tiny.write(
        tmp_path / "LPJ-GUESS/S2/LPJ-GUESS_S2_rh.nc",
        "arh",
        tiny.law(325),
        time=np.arange(325.0),
        time_units="years since 1700-01-01",
    )
    said = entry(
        "LPJ-GUESS/S2/LPJ-GUESS_S2_{variable}.nc",
        variables={
            "nbp": {"sum_of": ["gpp", "ra", "rh"]},
            "gpp": {},
            "ra": {},
            "rh": {},
        },
    )
    rh = readers.read(said, "rh", "S2", tmp_path)
    require(rh, tiny.law(325)[201:], last="2024-01")
    message = r"'gpp' and 'rh' of 'tiny' are of each month and of each year"
    with pytest.raises(TimeAxisError, match=message):
        readers.read(said, "nbp", "S2", tmp_path)


@pytest.mark.parametrize("extra", [-12, 12])
def test_components_of_other_months_are_not_added(tmp_path: Path, extra: int) -> None:
    # Years with an open end: each file holds what it holds.
    write_components(tmp_path, "DLEM", **components())
    longer = np.zeros((MONTHS + extra, *tiny.SHAPE), "f4")
    time = tiny.noleap_days(1700, MONTHS + extra)
    tiny.write(tmp_path / "DLEM/S2/DLEM_S2_rh.nc", "rh", longer, time=time)
    said = entry(**DLEM, years=[1901, None], ends=None)
    last = 2024 + extra // 12
    message = rf"'rh' .* of 1901-01 to 2024-12 \(.*gpp\.nc\) and 1901-01 to {last}-12"
    with pytest.raises(TimeAxisError, match=message):
        readers.read(said, "nbp", "S2", tmp_path)


def test_components_on_two_grids_are_not_added(tmp_path: Path) -> None:
    write_components(tmp_path, "DLEM", **components())
    tiny.write(
        tmp_path / "DLEM/S2/DLEM_S2_rh.nc",
        "rh",
        np.zeros((MONTHS, 4, 4), "f4"),
        lon=np.arange(-135.0, 180, 90),
        time=tiny.noleap_days(1700, MONTHS),
    )
    message = r"'gpp' and 'rh' .* grids of 4x8, 45 degree and 4x4"
    with pytest.raises(GridMismatchError, match=message):
        readers.read(entry(**DLEM), "nbp", "S2", tmp_path)


def test_isba_ctrip_names_its_coordinates_in_full(tmp_path: Path) -> None:
    lat = np.arange(-59.5, 90, 1.0)
    values = np.random.default_rng(0).normal(0, 1e-8, (24, lat.size, 8)).astype("f4")
    tiny.write(
        tmp_path / "ISBACTRIP/S2/ISBA-CTRIP_S2_nbp.nc",
        "nbp",
        values,
        dims=("time_counter", "lat_FULL", "lon_FULL"),
        lat=lat,
        time=tiny.noleap_days(2000, 24),
    )
    said = entry("ISBACTRIP/*/ISBA-CTRIP_*_nbp.nc", years=[2000, 2001], ends=2001)
    field = readers.read(said, "nbp", "S2", tmp_path)
    require(field, values, first="2000-01", last="2001-12")
    np.testing.assert_allclose(field.lat, lat)


def test_yibs_has_half_cells_at_the_poles_inside_a_tar(tmp_path: Path) -> None:
    lat, lon = np.linspace(-90, 90, 181), np.arange(-157.5, 180, 45)
    values = np.random.default_rng(0).normal(0, 1e-8, (24, 181, 8)).astype("f4")
    values[:, :30] = np.nan
    plain = tiny.write(
        tmp_path / "YIBs_S2_Monthly_nbp.nc",
        "nbp",
        values,
        lat=lat,
        lon=lon,
        time=np.arange(24.0),
        time_units="months since 1700-01-01",
        calendar=None,
    )
    folder = tmp_path / "YIBS/S2"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "YIBs_S2_Monthly_nbp.nc.tar.gz", "w:gz") as archive:
        archive.add(plain, "YIBs_S2_Monthly_nbp.nc")
    plain.unlink()
    said = entry(
        "YIBS/{simulation}/YIBs_{simulation}_Monthly_{variable}.nc*",
        years=[1700, 1701],
        ends=1701,
    )
    field = readers.read(said, "nbp", "S2", tmp_path)
    require(field, values, first="1700-01", last="1701-12")
    edges, _ = Grid(field.lat.values, field.lon.values).edges()
    np.testing.assert_allclose(edges[[0, 1, -2, -1]], [-90, -89.5, 89.5, 90])
    assert field.attrs["source_file"] == "YIBs_S2_Monthly_nbp.nc.tar.gz"


def test_visit_of_older_rounds_begins_in_1860_and_fills_the_sea(tmp_path: Path) -> None:
    # 1956 months: 163 years to 2022. Nothing declares what stands in the sea.
    values = tiny.law(1956)
    values[:, 0, :2], values[:, 0, 2:] = 1e20, -9999
    tiny.write(
        tmp_path / "VISIT/S2/VISIT_S2_nbp.nc",
        "nbp",
        values[:, ::-1],
        lat=tiny.LAT[::-1],
        time=np.arange(1956) + 0.5,
        time_units="months since 1860-01-01",
        calendar=None,
    )
    said = entry("VISIT/S2/VISIT_S2_nbp.nc", years=[1901, 2022], ends=2022)
    field = readers.read(said, "nbp", "S2", tmp_path)
    values[:, 0] = np.nan
    require(field, values[41 * 12 :], last="2022-12")


@pytest.mark.parametrize("suffix", ["", "_1700_2024"])
def test_visit_is_packed_and_named_by_its_years(tmp_path: Path, suffix: str) -> None:
    plain = tiny.write(
        tmp_path / "plain.nc",
        "nbp",
        tiny.law(MONTHS)[:, ::-1],
        lat=tiny.LAT[::-1],
        time=np.arange(MONTHS) + 0.5,
        time_units="months since 1700-01-01",
        calendar=None,
    )
    folder = tmp_path / "VISIT/S2"
    folder.mkdir(parents=True)
    packed = gzip.compress(plain.read_bytes())
    (folder / f"VISIT_S2_nbp{suffix}.nc.gz").write_bytes(packed)
    said = entry("VISIT/{simulation}/VISIT_{simulation}_{variable}*.nc.gz")
    field = readers.read(said, "nbp", "S2", tmp_path)
    require(field, tiny.law(MONTHS)[SINCE_1901])


def test_classic_begins_in_1701_and_writes_latex(tmp_path: Path) -> None:
    months = 324 * 12
    tiny.write(
        tmp_path / "CLASSIC/S2/CLASSIC_S2_nbp.nc",
        "nbp",
        tiny.law(months),
        dims=("time", "latitude", "longitude"),
        time=mid_months("1700-12-31", 1701, months, "365_day"),
        time_units="days since 1700-12-31",
        calendar="365_day",
        units="kg C m$^{-2}$ s$^{-1}$",
    )
    field = readers.read(entry("CLASSIC/S2/CLASSIC_S2_nbp.nc"), "nbp", "S2", tmp_path)
    require(field, tiny.law(months)[200 * 12 :])


def test_jsbach_has_gaussian_rows(tmp_path: Path) -> None:
    # Roots of the Legendre polynomial: the rows of T63, up to 88.57 degrees.
    roots, _ = np.polynomial.legendre.leggauss(96)
    lat = np.rad2deg(np.arcsin(roots))
    values = np.random.default_rng(0).normal(0, 1e-8, (24, 96, 8)).astype("f4")
    path = tmp_path / "JSBACH/S2/JSBACH_S2_nbp.nc"
    tiny.write(path, "nbp", values, lat=lat, time=tiny.noleap_days(2023, 24))
    said = entry("JSBACH/S2/JSBACH_S2_nbp.nc", years=[2023, 2024])
    field = readers.read(said, "nbp", "S2", tmp_path)
    require(field, values, first="2023-01")
    assert float(field.lat[-1]) == pytest.approx(88.572, abs=1e-3)


def test_jules_fills_with_999_and_counts_seconds(tmp_path: Path) -> None:
    values = tiny.law(24)
    values[:, 2, 5] = -999
    tiny.write(
        tmp_path / "JULES-ES/S2/JULES_S2_nbp.nc",
        "nbp",
        np.roll(values, 4, axis=2),
        lon=np.roll(tiny.LON, 4) % 360,
        time=86400 * mid_months("1700-01-01", 2023, 24, "360_day"),
        time_units="seconds since 1700-01-01 00:00:00",
        calendar="360_day",
        fill=-999.0,
    )
    said = entry("JULES-ES/S2/JULES_S2_nbp.nc", years=[2023, 2024])
    field = readers.read(said, "nbp", "S2", tmp_path)
    values[:, 2, 5] = np.nan
    require(field, values, first="2023-01")


def test_coordinates_that_are_all_nought_are_declared(tmp_path: Path) -> None:
    path = tmp_path / "CLM/S2/CLM_S2_nbp.nc"
    zeros = {"lat": np.zeros(4), "lon": np.zeros(8)}
    tiny.write(path, "nbp", tiny.law(MONTHS), time=np.arange(float(MONTHS)), **zeros)
    said = {"files": "CLM/S2/CLM_S2_nbp.nc", "time_units": "none"}
    message = r"'lat' is 0 in all 4 places.*declare 'coordinates' in the catalog entry"
    with pytest.raises(GridMismatchError, match=message):
        readers.read(entry(**said), "nbp", "S2", tmp_path)
    declared = {"lat": [-67.5, 67.5], "lon": [22.5, 337.5]}
    field = readers.read(entry(**said, coordinates=declared), "nbp", "S2", tmp_path)
    require(field, np.roll(tiny.law(MONTHS), 4, axis=2)[SINCE_1901])
    np.testing.assert_allclose(field.lon, tiny.LON)


def test_numbered_dimensions_of_ncl_are_known_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "CLM/S2/CLM_S2_nbp.nc"
    values = tiny.law(24)[:, None]
    tiny.write(path, "nbp", values, dims=("ncl0", "ncl1", "ncl2", "ncl3"))
    said = {"years": [2023, 2024], "files": "CLM/S2/CLM_S2_nbp.nc"}
    declared = {"lat": [-67.5, 67.5], "lon": [-157.5, 157.5]}
    field = readers.read(entry(**said, coordinates=declared), "nbp", "S2", tmp_path)
    require(field, tiny.law(24), first="2023-01")


def test_dimensions_may_have_other_names_than_their_coordinates(tmp_path: Path) -> None:
    path = tiny.write(
        tmp_path / "a.nc", "nbp", tiny.law(24), dims=("t", "y", "x"), time=np.zeros(1)
    )
    coordinates = {"y": ("latitude", tiny.LAT), "x": ("longitude", tiny.LON)}
    coordinates["t"] = ("time", np.arange(24.0))
    with netCDF4.Dataset(path, "a") as file:
        for dim, (name, centres) in coordinates.items():
            file.createVariable(name, "f8", (dim,))[:] = centres
        file["time"].units = "months since 2023-01-01"
    field = readers.read(entry("a.nc", years=[2023, 2024]), "nbp", "S2", tmp_path)
    require(field, tiny.law(24), first="2023-01")


# --- time that is not what it says ------------------------------------------


def write_days(root: Path, origin: str, first: int, years: int) -> None:
    tiny.write(
        root / "a.nc",
        "nbp",
        tiny.law(12 * years),
        time=mid_months(origin, first, 12 * years, "noleap"),
        time_units=f"days since {origin}",
    )


def test_stamps_a_year_too_early_are_refused(tmp_path: Path) -> None:
    # 3888 months are 1701-2024, but these stamps say 1700-2023.
    write_days(tmp_path, "1700-01-01", 1700, 324)
    message = (
        r"a\.nc: the 3888 steps are stamped 1700-01 to 2023-12, but the catalog entry "
        r"says that the file ends with 2024\. .*'time_units: none' to count"
    )
    with pytest.raises(TimeAxisError, match=message):
        readers.read(entry("a.nc"), "nbp", "S2", tmp_path)


def test_stamps_known_to_be_wrong_are_counted(tmp_path: Path) -> None:
    write_days(tmp_path, "1700-01-01", 1700, 324)
    field = readers.read(entry("a.nc", time_units="none"), "nbp", "S2", tmp_path)
    require(field, tiny.law(3888)[200 * 12 :])


def test_a_unit_of_time_may_be_declared(tmp_path: Path) -> None:
    write_days(tmp_path, "1700-01-01", 1700, 324)
    said = entry("a.nc", time_units="days since 1701-01-01")
    require(readers.read(said, "nbp", "S2", tmp_path), tiny.law(3888)[200 * 12 :])


# --- sea --------------------------------------------------------------------


def ocean(files: str, **changes: Any) -> Entry:
    said = {
        "reader": "gobm",
        "domain": "ocean",
        "variables": {"fgco2": {}},
        "years": [1959, 2024],
        "ends": None,
    }
    return entry(files, **{**said, **changes})


def in_kg(values: np.ndarray) -> np.ndarray:
    return (values.astype("f8") * MOLAR_MASS_CARBON).astype("f4")


def write_ocean(path: Path, values: np.ndarray, **how: Any) -> Path:
    usual = {
        "units": "mol m-2 s-1",
        "time": np.zeros(len(values)),
        "time_units": None,
        "calendar": None,
    }
    return tiny.write(path, "fgco2", values, **{**usual, **how})


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("fgco2_FESOM2_REcoM_A_1_gr_1959-2024_v20220716.nc", 1959),
        ("fgco2_Nemo4.2-PISCES_A_1_gr_19580101_20241231_v20250728.nc", 1958),
        ("fgco2_MPIOM-HAMOCC_A_monthly_1959-2024_r360x180.nc", 1959),
    ],
)
def test_ocean_models_are_placed_by_the_years_of_their_name(
    tmp_path: Path, name: str, first: int
) -> None:
    values = tiny.law(12 * (2025 - first))
    write_ocean(tmp_path / "A" / name, values)
    simulations = {"A": tiny.entry().to_dict()["simulations"]["S2"]}
    model = name.split("_A_")[0]
    said = ocean(f"{{simulation}}/{model}_A_*.nc", simulations=simulations)
    field = readers.read(said, "fgco2", "A", tmp_path)
    require(field, in_kg(values)[12 * (1959 - first) :], first="1959-01")


@pytest.mark.parametrize("time_units", [None, "seconds since 1980-01-01"])
def test_nies_turns_the_sign_and_counts_seconds_without_a_unit(
    tmp_path: Path, time_units: str | None
) -> None:
    months = 43 * 12
    name = "GCB-2025_dataprod_NIES-ML3_1982-2024.nc"
    seconds = 86400 * mid_months("1980-01-01", 1982, months, "standard")
    write_ocean(tmp_path / name, -tiny.law(months), time=seconds)
    said = ocean(
        "GCB-2025_dataprod_NIES-ML3_*.nc",
        years=[1982, 2024],
        variables={"fgco2": {"sign": -1}},
        time_units=time_units,
    )
    field = readers.read(said, "fgco2", "S2", tmp_path)
    require(field, in_kg(tiny.law(months)), first="1982-01")


def test_cnrm_gives_kg_of_carbon_at_whole_degrees(tmp_path: Path) -> None:
    # Its columns stand at 0, 1, ... 359: where other products have their edges.
    lon = np.arange(0, 360, 45.0)
    values = tiny.law(24)
    path = tmp_path / "fgco2_CNRM_A_1_gr_2023-2024.nc"
    write_ocean(path, values, lon=lon, units="kg m-2 s-1")
    field = readers.read(ocean(path.name, years=[2023, 2024]), "fgco2", "S2", tmp_path)
    require(field, np.roll(values, 4, axis=2), first="2023-01")
    grid = Grid(field.lat.values, field.lon.values)
    np.testing.assert_allclose(grid.edges()[1], np.arange(-202.5, 180, 45))


@pytest.mark.parametrize("said", ["Pg C yr-1", "-", "mol C", None])
def test_a_unit_that_lies_is_corrected_by_the_catalog(
    tmp_path: Path, said: str | None
) -> None:
    # GEOMAR, FESOM, NorESM and B-SOSE of RECCAP2; all of them hold mol m-2 s-1.
    path = tmp_path / "fgco2_X_A_1_gr_2023-2024.nc"
    write_ocean(path, tiny.law(24), units=said)
    with pytest.raises(UnitsError, match=r"2024\.nc: 'fgco2'.*variables\.fgco2\.units"):
        readers.read(ocean(path.name, years=[2023, 2024]), "fgco2", "S2", tmp_path)
    true = {"fgco2": {"units": "mol m-2 s-1"}}
    known = ocean(path.name, years=[2023, 2024], variables=true)
    field = readers.read(known, "fgco2", "S2", tmp_path)
    require(field, in_kg(tiny.law(24)), first="2023-01")


@pytest.mark.parametrize(
    "names",
    [
        ("TIME", "LATITUDE", "LONGITUDE"),
        ("tmnth", "ylat", "xlon"),
        ("t", "y", "x"),
        ("Time", "Lat", "Lon"),
        ("time_mon", "latitude", "longitude"),
    ],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_coordinates_of_the_sea_have_many_names(
    tmp_path: Path, names: tuple[str, ...], order: tuple[int, ...]
) -> None:
    days = mid_months("1970-01-01", 2023, 24, "standard")
    path = tmp_path / "fgco2_X.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, centres in zip(names, (days, tiny.LAT, tiny.LON), strict=True):
            file.createDimension(name, centres.size)
            file.createVariable(name, "f8", (name,))[:] = centres
        file[names[0]].units = "days since 1970-01-01"
        flux = file.createVariable("fgco2", "f4", [names[i] for i in order])
        flux.units = "mol m-2 s-1"
        flux[:] = tiny.law(24).transpose(order)
    field = readers.read(ocean(path.name, years=[2023, 2024]), "fgco2", "S2", tmp_path)
    require(field, in_kg(tiny.law(24)), first="2023-01")


def test_attributes_in_capitals_and_regional_series_beside_the_map(
    tmp_path: Path,
) -> None:
    months = 40 * 12
    path = write_ocean(
        tmp_path / "GCB-2025_dataprod_UExP-FNN-U_1985-2024.nc",
        np.roll(tiny.law(months), 4, axis=2),
        lon=np.roll(tiny.LON, 4) % 360,
        time=mid_months("1970-01-15", 1985, months, "standard"),
        time_units="days since 1970-01-15",
        unit_attribute="Units",
        attrs={"Long_name": "air-sea CO2 flux", "Missing_value": -12345.0},
    )
    share = np.full(tiny.SHAPE, 0.5, "f4")
    with netCDF4.Dataset(path, "a") as file:
        file["fgco2"][:, 0, 0] = -12345.0
        file.createDimension("region", 4)
        file.createVariable("fgco2_reg", "f8", ("region", "time"))[:] = 1.0
        for name in ("sfco2", "tos"):
            file.createVariable(name, "f4", ("time", "lat", "lon"))[:] = 1.0
        file.createVariable("mask_sfc", "f4", ("lat", "lon"))[:] = share
        file.createVariable("area", "f8", ("lat", "lon"))[:] = 2e13
        file["area"].Units = "m2"
    said = ocean(
        path.name,
        years=[1985, 2024],
        ends=2024,
        land_fraction={
            "treatment": "multiply",
            "variable": "mask_sfc",
            "file": path.name,
        },
        cell_area={"variable": "area", "file": path.name},
    )
    field = readers.read(said, "fgco2", "S2", tmp_path)
    expected = in_kg(tiny.law(months))
    expected[:, 0, 4] = np.nan
    require(field, expected, first="1985-01")
    grid = Grid(field.lat.values, field.lon.values)
    area = readers.process_area(said, grid, tmp_path, own_area=True)
    np.testing.assert_allclose(area, 1e13)


def test_an_ocean_share_that_calls_nought_missing_is_land(tmp_path: Path) -> None:
    share = np.linspace(0, 1, 32, dtype="f4").reshape(tiny.SHAPE)
    share[0] = 0
    path = tmp_path / "CABLE-POP/CABLE-POP_oceanCoverFrac.nc"
    tiny.write(
        path, "oceanCoverFrac", share, units="1", attrs={"missing_value": np.float32(0)}
    )
    said = entry(
        "a.nc",
        land_fraction={
            "treatment": "multiply",
            "variable": "oceanCoverFrac",
            "file": "CABLE-POP/CABLE-POP_oceanCoverFrac.nc",
            "complement": True,
        },
    )
    found = readers.read_fraction(said, tmp_path)
    assert found is not None
    np.testing.assert_allclose(found, 1 - share.astype("f8"), atol=1e-7)
