"""Emissions of fires from files in the layouts of GFED and GFAS, with known values.

No file of either was at hand: layouts are those of code that reads them.
"""

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import (
    GridMismatchError,
    TimeAxisError,
    UnitsError,
    UserError,
)
from emulator.carbon.grid import Grid
from emulator.data import catalog, readers
from emulator.data.entry import Entry
from emulator.data.prepare import prepare_forcing
from emulator.data.product_check import check
from emulator.data.readers import fires
from emulator.data.report_text import text
from tests.data import small_files as small
from tests.data import tiny_files as tiny

MONTH_SECONDS = {1: 31 * 86400, 2: 28 * 86400, 4: 30 * 86400}
FIRST = np.arange(32, dtype="f4").reshape(tiny.SHAPE)
"""Of the cells, from south to north."""


def entry(reader: str, **changes: object) -> Entry:
    said = {"reader": reader, "variables": {"fireobs": {}}, "files": "**/*", "root": ""}
    return tiny.forcing_entry(**{**said, "years": [2001, 2001], **changes})


def gfed4(
    path: Path, *, units: str | None = "g C m^-2 month^-1", months: int = 12
) -> Path:
    """Month m holds m times 1000 times the number of the cell; rows from the north."""
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("phony_0", 4)
        file.createDimension("phony_1", 8)
        dims = ("phony_0", "phony_1")
        lat = file.createVariable("lat", "f4", dims)
        lat[:] = np.repeat(tiny.LAT[::-1, None], 8, axis=1)
        lon = file.createVariable("lon", "f4", dims)
        lon[:] = np.repeat(tiny.LON[None], 4, axis=0)
        regions = file.createVariable("ancill/basis_regions", "i4", dims)
        regions[:] = (FIRST % 15)[::-1]
        for month in range(1, months + 1):
            carbon = file.createVariable(f"emissions/{month:02d}/C", "f4", dims)
            carbon[:] = 1000 * month * FIRST[::-1]
            if units:
                carbon.units = units
    return path


@pytest.mark.parametrize("units", ["g C m^-2 month^-1", "g/m2/month", None])
def test_gfed4_gives_the_mean_rate_of_each_month(
    tmp_path: Path, units: str | None
) -> None:
    gfed4(tmp_path / "GFED4.1s_2001.hdf5", units=units)
    field = readers.read(entry("gfed4"), "fireobs", None, tmp_path)
    assert field.sizes["time"] == 12
    assert field.attrs["units"] == "kg m-2 s-1"
    for month, seconds in MONTH_SECONDS.items():
        # 1000 g of carbon are 1 kg.
        np.testing.assert_allclose(field[month - 1], month * FIRST / seconds, rtol=1e-6)
    np.testing.assert_allclose(field.lat, tiny.LAT)


def test_gfed4_of_later_years_is_beta_and_may_lack_months(tmp_path: Path) -> None:
    gfed4(tmp_path / "GFED4.1s_2001.hdf5")
    gfed4(tmp_path / "GFED4.1s_2002_beta.hdf5", months=3)
    months = fires.find_gfed4(tmp_path).months
    assert [str(month) for month in months][-4:] == [
        *("2001-12", "2002-01", "2002-02", "2002-03"),
    ]


def test_files_of_one_year_and_without_one_are_told(tmp_path: Path) -> None:
    gfed4(tmp_path / "GFED4.1s_2001.hdf5")
    gfed4(tmp_path / "GFED4.1s_2001_beta.hdf5")
    gfed4(tmp_path / "GFED4.hdf5")
    refused = fires.find_gfed4(tmp_path).refused
    assert any("GFED4.hdf5 does not say its year" in one for one in refused)
    assert any("is of the same year as" in one for one in refused)


@pytest.mark.parametrize("reader", ["gfed4", "gfed5", "gfas"])
def test_an_empty_folder_is_told(tmp_path: Path, reader: str) -> None:
    with pytest.raises(TimeAxisError, match=r"has no .*Get some, or correct the fol"):
        readers.read(entry(reader), "fireobs", None, tmp_path)


def test_a_rate_that_is_not_of_a_month_is_refused(tmp_path: Path) -> None:
    gfed4(tmp_path / "GFED4.1s_2001.hdf5", units="g C m^-2 day^-1")
    with pytest.raises(UnitsError, match="but an amount per month is needed, such as"):
        readers.read(entry("gfed4"), "fireobs", None, tmp_path)


def test_the_regions_of_gfed_are_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "gfed4").mkdir()
    gfed4(tmp_path / "gfed4" / "GFED4.1s_1997.hdf5")
    said = catalog.load("gfed_regions")
    found = readers.read_regions(said, Grid(tiny.LAT, tiny.LON), tmp_path)
    assert len(found.regions) == 15
    assert found.regions[0] == "Boreal North America"
    assert found.regions[13:] == ("Australia and New Zealand", "other")
    np.testing.assert_allclose(found.weights[0], FIRST % 15 == 1)
    np.testing.assert_allclose(found.weights[14], FIRST % 15 == 0, atol=1e-12)


def test_a_file_without_the_map_is_refused(tmp_path: Path) -> None:
    path = gfed4(tmp_path / "GFED4.1s_1997.hdf5")
    with pytest.raises(
        GridMismatchError, match=r"no map 'ancill/area'; it has the gro"
    ):
        fires.grouped_field(path, "ancill/area")
    (tmp_path / "page.hdf5").write_text("<html>")
    with pytest.raises(UserError, match="is a web page"):
        fires.grouped_field(tmp_path / "page.hdf5", "ancill/area")


def test_a_map_without_coordinates_is_regular(tmp_path: Path) -> None:
    path = tmp_path / "GFED4.1s_2001.hdf5"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("y", 4)
        file.createDimension("x", 8)
        file.createVariable("ancill/basis_regions", "i4", ("y", "x"))[:] = FIRST[::-1]
    field = fires.grouped_field(path, "ancill/basis_regions")
    np.testing.assert_allclose(field.values, FIRST)
    np.testing.assert_allclose(field.lat, tiny.LAT)
    np.testing.assert_allclose(field.lon, tiny.LON)


def gfed5(path: Path, species: dict[str, float], *, months: int = 12) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("lat", tiny.LAT[::-1]), ("lon", tiny.LON)):
            file.createDimension(name, values.size)
            file.createVariable(name, "f4", (name,))[:] = values
        file.createDimension("time", months)
        for name, factor in species.items():
            dims = ("time", "lat", "lon")
            variable = file.createVariable(name, "f4", dims)
            variable.units = f"g {name} m-2 month-1"
            number = np.arange(1, months + 1)[:, None, None]
            variable[:] = factor * number * FIRST[::-1]
    return path


def test_gfed5_adds_up_the_carbon_of_species(tmp_path: Path) -> None:
    # As much of each as holds 1 g of carbon: 44.009/12.011 and so on.
    held = {"CO2": 44.009 / 12.011, "CO": 28.010 / 12.011, "CH4": 16.043 / 12.011}
    gfed5(tmp_path / "GFED5_Beta_monthly_2001.nc", {**held, "DM": 9.0})
    field = readers.read(entry("gfed5"), "fireobs", None, tmp_path)
    expected = 3e-3 * 4 * FIRST / MONTH_SECONDS[4]
    np.testing.assert_allclose(field[3], expected, rtol=1e-6)


def test_gfed5_takes_carbon_where_it_stands(tmp_path: Path) -> None:
    gfed5(tmp_path / "GFED5_Beta_monthly_2001.nc", {"C": 1.0, "CO2": 9.0})
    field = readers.read(entry("gfed5"), "fireobs", None, tmp_path)
    np.testing.assert_allclose(field[1], 2e-3 * FIRST / MONTH_SECONDS[2], rtol=1e-6)


def test_gfed5_without_latitudes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "GFED5_Beta_monthly_2001.nc"
    with netCDF4.Dataset(path, "w") as file:
        dims = {"time": 12, "lat": 4, "lon": 8}
        for name, size in dims.items():
            file.createDimension(name, size)
        file.createVariable("C", "f4", tuple(dims))[:] = 1.0
    with pytest.raises(GridMismatchError, match="dimension 'lat' has no coordinate"):
        readers.read(entry("gfed5"), "fireobs", None, tmp_path)


@pytest.mark.parametrize(
    ("species", "months", "message"),
    [
        ({"CO": 1.0}, 12, "but 'C' or 'CO2' is needed"),
        ({"C": 1.0}, 11, "twelve months of maps are needed"),
    ],
)
def test_other_files_of_gfed5_are_refused(
    tmp_path: Path, species: dict[str, float], months: int, message: str
) -> None:
    gfed5(tmp_path / "GFED5_Beta_monthly_2001.nc", species, months=months)
    with pytest.raises(UserError, match=message):
        readers.read(entry("gfed5"), "fireobs", None, tmp_path)


def gfas(
    path: Path, days: np.ndarray, *, first: str = "2001-01-01", **factors: float
) -> Path:
    """Day d since the first holds d + 1 times 1e-9 times the number of the cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        lon = np.roll(tiny.LON, 4) % 360
        for name, values in (("latitude", tiny.LAT[::-1]), ("longitude", lon)):
            file.createDimension(name, values.size)
            file.createVariable(name, "f4", (name,))[:] = values
        file.createDimension("time", days.size)
        time = file.createVariable("time", "i4", ("time",))
        time.units = "hours since 1900-01-01"
        start = (np.datetime64(first) - np.datetime64("1900-01-01")).astype(int)
        time[:] = 24 * (start + days)
        for name, factor in factors.items():
            variable = file.createVariable(
                name, "f4", ("time", "latitude", "longitude")
            )
            if factor:
                variable.units = "kg m**-2 s**-1"
            cells = np.roll(FIRST, 4, axis=1)[::-1]
            variable[:] = factor * 1e-9 * (days + 1)[:, None, None] * cells
    return path


def test_gfas_gives_months_of_days_in_carbon(tmp_path: Path) -> None:
    days = np.arange(60)
    gfas(tmp_path / "a.nc", days[:20], co2fire=44.009 / 12.011)
    gfas(tmp_path / "b.nc", days[20:], co2fire=44.009 / 12.011)
    gfas(tmp_path / "other/co.nc", days, cofire=28.010 / 12.011)
    field = readers.read(entry("gfas", years=[2001, None]), "fireobs", None, tmp_path)
    # Days 1 to 31 have the mean 16; once as CO2 and once as CO.
    np.testing.assert_allclose(field[0], 2 * 16e-9 * FIRST, rtol=1e-6)
    # March has one day only.
    assert field.sizes["time"] == 2
    np.testing.assert_allclose(field.lon, tiny.LON)


def test_gfas_months_need_all_their_days(tmp_path: Path) -> None:
    days = np.delete(np.arange(100), 40)
    gfas(tmp_path / "2001.nc", days, co2fire=1.0)
    with pytest.raises(TimeAxisError, match="final months 2001-01 to 2001-01"):
        readers.read(entry("gfas"), "fireobs", None, tmp_path)


def test_gfas_days_that_lack_a_species_are_told(tmp_path: Path) -> None:
    days = np.arange(31)
    gfas(tmp_path / "co2.nc", days, co2fire=1.0)
    gfas(tmp_path / "co.nc", days[:29], cofire=1.0)
    offering = fires.find_gfas(tmp_path)
    assert len(offering.days) == 29
    (said,) = offering.refused
    assert "not all of them of 2 days from 2001-01-30 to 2001-01-31" in said


def test_a_map_damaged_inside_is_refused(tmp_path: Path) -> None:
    path = gfed4(tmp_path / "GFED4.1s_2001.hdf5")
    noise = np.random.default_rng(0).random(tiny.SHAPE)
    with netCDF4.Dataset(path, "a") as file:
        dims = ("phony_0", "phony_1")
        file.createVariable("ancill/area", "f8", dims, fletcher32=True)[:] = noise
    content = path.read_bytes()
    assert content.count(noise.tobytes()) == 1
    path.write_bytes(content.replace(noise.tobytes(), bytes(noise.nbytes)))
    with pytest.raises(UserError, match=r"2001\.hdf5 cannot be read: it is truncated"):
        fires.grouped_field(path, "ancill/area")


def test_a_file_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    gfas(tmp_path / "good.nc", np.arange(31), co2fire=1.0)
    gfed4(tmp_path / "GFED4.1s_2001.hdf5")
    for name in ("bad.nc", "GFED4.1s_2002.hdf5"):
        (tmp_path / name).write_text("<html>log in</html>")
    found = fires.find_gfas(tmp_path), fires.find_gfed4(tmp_path)
    assert (len(found[0].days), len(found[1].months)) == (31, 12)
    for offering in found:
        (said,) = offering.refused
        assert "is a web page, but a NetCDF file is needed" in said


def test_gfas_without_a_unit_is_refused(tmp_path: Path) -> None:
    gfas(tmp_path / "2001.nc", np.arange(31), co2fire=0.0)
    with pytest.raises(UnitsError, match=r"2001\.nc: 'co2fire' of 2001-01-01 states"):
        readers.read(entry("gfas"), "fireobs", None, tmp_path)


@pytest.mark.parametrize("name", ["gfed4", "gfed5"])
def test_check_tells_the_totals_of_a_year_of_fires(tmp_path: Path, name: str) -> None:
    # 1 g of carbon in each square metre and month: 12e-3 kg a year on 5.1006e14 m2.
    (tmp_path / name).mkdir()
    if name == "gfed4":
        path = gfed4(tmp_path / name / "GFED4.1s_2001.hdf5")
        with netCDF4.Dataset(path, "a") as file:
            for month in range(1, 13):
                file[f"emissions/{month:02d}/C"][:] = 1.0
    else:
        path = gfed5(tmp_path / name / "GFED5_Beta_monthly_2001.nc", {"C": 1.0})
        with netCDF4.Dataset(path, "a") as file:
            file["C"][:] = 1.0
    report = check(catalog.load(name), tmp_path)
    assert report.is_usable, report.problems
    total = 12e-3 * 4 * np.pi * 6.371e6**2 / 1e12
    assert report.totals[""]["2001"]["fireobs"] == pytest.approx(total, rel=1e-5)
    assert "PgC per year  fireobs" in text(report)


def test_fires_can_be_forcing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.make_files(tmp_path)
    monkeypatch.setenv("SINK_CATALOG", str(tmp_path / "catalog"))
    (tmp_path / "gfed5").mkdir()
    for year in (2001, 2002):
        gfed5(tmp_path / f"gfed5/GFED5_Beta_monthly_{year}.nc", {"C": 1.0})
    said = small.forcing_settings(
        forcing=["weather", "gfed5"],
        forcing_variables=["tas", "fireobs"],
        years=[2001, 2002],
    )
    store = prepare_forcing(said, data_root=tmp_path, stores_root=tmp_path / "stores")
    fires = xr.open_zarr(store)["fireobs"]
    # The world's total of April is kept from 45 to 30 degrees.
    expected = 4e-3 * FIRST / MONTH_SECONDS[4] * Grid(tiny.LAT, tiny.LON).cell_area()
    total = (fires[3].values * small.GRID.cell_area()).sum()
    assert total == pytest.approx(expected.sum(), rel=1e-5)


def test_check_reads_gfas(tmp_path: Path) -> None:
    gfas(tmp_path / "gfas/2003.nc", np.arange(31), first="2003-01-01", co2fire=1.0)
    report = check(catalog.load("gfas"), tmp_path)
    assert report.is_usable, report.problems
    assert report.fields[0].period == "2003-01 to 2003-01, 1 months"
