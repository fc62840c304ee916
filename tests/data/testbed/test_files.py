"""Tests that files in every layout read back as what was simulated."""

import csv
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from emulator.carbon import timeaxis
from emulator.carbon.grid import Grid
from emulator.data import catalog, readers
from emulator.data.entry import parse_entry
from emulator.data.testbed import entries, files, layouts, scenario
from emulator.data.testbed.layouts import Layout
from emulator.data.testbed.scenario import Spans

SPANS = Spans(1999, 2001)
MOLAR_MASS = 12.011e-3
GRID = Grid.regular(30.0)
CELLS = np.array([3, 20, 40, 71])


def made(layout: Layout, domain: str) -> dict:
    """Return the entry of the teacher with this layout."""
    return {
        "land": entries.entries(SPANS),
        "ocean": entries.entries(SPANS),
    }[domain][f"testbed_{layout.teacher.lower()}"]


@pytest.mark.parametrize(
    ("layout", "domain"),
    [
        *((layout, "land") for layout in layouts.LAND),
        *((layout, "ocean") for layout in layouts.OCEAN),
    ],
    ids=lambda value: getattr(value, "teacher", value),
)
def test_reader_turns_every_layout_into_the_field(
    layout: Layout, domain: str, tmp_path: Path
) -> None:
    variable = "nbp" if domain == "land" else "fgco2"
    simulation = "S2" if domain == "land" else "A"
    said = made(layout, domain)
    folder = tmp_path / said["root"] / layout.teacher
    name = f"{simulation}/{layout.teacher}_{simulation}_{variable}.nc"
    if domain == "ocean":
        name = files.ocean_name(variable, layout, simulation, SPANS)
    field = np.random.default_rng(0).normal(0, 1e-8, (36, CELLS.size))
    files.write_teacher(
        folder / name,
        variable,
        field,
        CELLS,
        GRID,
        layout,
        SPANS,
        factor=layout.factor,
        units=layout.units,
        simulation=simulation,
    )
    entry = parse_entry(said["name"], said, "here")
    found = readers.read(entry, variable, simulation, tmp_path)

    assert found.shape == (36, *GRID.shape)
    assert GRID.matches(Grid(found.lat.values, found.lon.values))
    months = timeaxis.month_range("1999-01", "2001-12")
    assert (timeaxis.as_months(found.time.values) == months).all()
    assert found.attrs["source_calendar"] == layout.calendar
    packed = found.values.reshape(36, -1)
    expected = field * (1.0 if domain == "land" else MOLAR_MASS)
    np.testing.assert_allclose(packed[:, CELLS], expected, rtol=2e-4)
    elsewhere = np.setdiff1d(np.arange(packed.shape[1]), CELLS)
    assert np.isnan(packed[:, elsewhere]).all()


def test_layouts_cover_what_real_files_do() -> None:
    everything = (*layouts.LAND, *layouts.OCEAN)
    assert {layout.calendar for layout in layouts.LAND} == {
        "standard",
        "noleap",
        "360_day",
    }
    assert len({layout.coordinates for layout in everything}) == 3
    assert len({layout.units for layout in everything}) >= 8
    assert any(layout.units is None for layout in everything)
    assert any(np.isnan(layout.fill) for layout in everything)
    for habit in ("north_first", "east_positive", "declares_fill"):
        assert {getattr(layout, habit) for layout in everything} == {True, False}
    assert any(layout.time_units.startswith("months") for layout in everything)


def test_file_carries_label_and_habits(files_root: Path) -> None:
    folder = files_root / "testbed" / "land"
    with netCDF4.Dataset(folder / "BEECH/S2/BEECH_S2_nbp.nc") as dataset:
        assert "simulated testbed, not TRENDY" in dataset.title
        assert dataset.evidence == "testbed"
        assert dataset["lat"][0] > dataset["lat"][-1]
        assert dataset["lon"][:].min() >= 0
        assert dataset["time"].calendar == "360_day"
        assert dataset["nbp"].units == "kgC/m2/s"
    with netCDF4.Dataset(folder / "HAZEL/S2/HAZEL_S2_nbp.nc") as dataset:
        assert "units" not in dataset["nbp"].ncattrs()
    with netCDF4.Dataset(folder / "ROWAN/S2/ROWAN_S2_nbp.nc") as dataset:
        dataset.set_auto_mask(False)
        assert "_FillValue" not in dataset["nbp"].ncattrs()
        assert (dataset["nbp"][:] == -99999).any()


def test_every_file_is_labelled(files_root: Path) -> None:
    paths = sorted((files_root / "testbed").rglob("*.nc"))
    # Land: 4 teachers of 5 and 2 of 4 variables in 3 simulations, and a fraction;
    # ocean: 4 teachers, 2 variables, 2 simulations, and a fraction; forcing: 9 and 1,
    # and the 9 again as another product tells them.
    assert len(paths) == 4 * 15 + 2 * 12 + 1 + 16 + 1 + 10 + 9
    for path in paths:
        with netCDF4.Dataset(path) as dataset:
            assert "not TRENDY" in dataset.title, path


def test_co2_table_reads_back(files_root: Path) -> None:
    entry = catalog.load("co2_testbed", [files_root / "testbed" / "catalog"])
    found = readers.read(entry, "co2", None, files_root)
    year = timeaxis.years_of(found.time.values)
    np.testing.assert_allclose(found.values, scenario.co2(year), atol=1e-3)
    assert (year[0], year[-1]) == (1700, 1865)


def test_el_nino_is_a_monthly_table(files_root: Path) -> None:
    path = files_root / "testbed" / "forcing" / "el_nino_testbed.csv"
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# simulated testbed, not TRENDY")
    rows = list(csv.DictReader(lines[1:]))
    assert (rows[0]["year"], rows[0]["month"]) == ("1861", "1")
    assert len(rows) == 60


def test_rounding_keeps_twelve_bits() -> None:
    values = np.array([1.0, -3.0e-9, 1 + 2.0**-12, 1 + 2.0**-14, np.nan, 0.0])
    found = files._rounded(values)
    np.testing.assert_allclose(found[:2], values[:2], rtol=2.0**-13)
    assert found[2] == 1 + 2.0**-12
    assert found[3] == 1.0
    assert np.isnan(found[4])
    assert found[5] == 0.0


def test_stamps_follow_the_calendar() -> None:
    months = timeaxis.month_range("2000-01", "2000-03")
    in_leap_years = Layout("", calendar="standard", time_units="days since 2000-01-01")
    np.testing.assert_allclose(files._stamps(months, in_leap_years), [15.5, 45.5, 75.5])
    short = Layout("", calendar="360_day", time_units="days since 1999-01-01", stamp=0)
    np.testing.assert_allclose(files._stamps(months, short), [360, 390, 420])
    ahead = Layout("", calendar="noleap", time_units="days since 2001-01-01", stamp=0)
    np.testing.assert_allclose(files._stamps(months, ahead), [-365, -334, -306])
    counted = Layout("", time_units="months since 1999-1-16", stamp=0)
    np.testing.assert_allclose(files._stamps(months, counted), [12, 13, 14])
