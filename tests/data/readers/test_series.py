"""Files of one variable are found, joined and checked against the catalog."""

from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import CatalogError, GridMismatchError, TimeAxisError
from emulator.data import readers
from tests.data import tiny_files as tiny


def write_years(root: Path, first: int, years: int, suffix: str = "") -> Path:
    path = root / f"tiny/S2/tiny_S2_nbp{suffix}.nc"
    values = tiny.law(12 * years) + np.float32(first - 2000) * 12e-12
    return tiny.write(path, "nbp", values, time=tiny.noleap_days(first, 12 * years))


def test_files_of_one_year_each_are_joined(tmp_path: Path) -> None:
    write_years(tmp_path, 2001, 1, "_a")
    write_years(tmp_path, 2000, 1, "_b")
    field = readers.read(tiny.entry(), "nbp", "S2", tmp_path)
    assert field.sizes["time"] == 24
    assert (np.diff(field.time.values) > np.timedelta64(0)).all()
    np.testing.assert_allclose(field, tiny.law(24), rtol=1e-6)
    assert field.attrs["source_file"] == "tiny_S2_nbp_b.nc tiny_S2_nbp_a.nc"
    assert len(field.attrs["sha256"].split()) == 2


def test_two_versions_of_the_same_months_are_refused(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 2, "_v1")
    write_years(tmp_path, 2000, 2, "_v2")
    with pytest.raises(TimeAxisError, match="hold the same months from 2000-01"):
        readers.read(tiny.entry(), "nbp", "S2", tmp_path)


def test_a_year_missing_between_files_is_refused(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 1, "_a")
    write_years(tmp_path, 2002, 1, "_b")
    entry = tiny.entry(years=[2000, 2002])
    with pytest.raises(TimeAxisError, match=r"2000-01 to 2002-12 \(24 of 36 steps\)"):
        readers.read(entry, "nbp", "S2", tmp_path)


def test_files_of_two_variables_are_refused(tmp_path: Path) -> None:
    # Both are the only field of their file, and match one pattern.
    for year, name in ((2000, "nbp"), (2001, "nbp_mean")):
        path = tmp_path / f"tiny/S2/tiny_S2_nbp_{year}.nc"
        tiny.write(path, name, tiny.law(12), time=tiny.noleap_days(year, 12))
    message = r"nbp_2000\.nc has 'nbp' and .*nbp_2001\.nc 'nbp_mean', but files of one"
    with pytest.raises(CatalogError, match=message):
        readers.read(tiny.entry(), "nbp", "S2", tmp_path)


def test_files_on_two_grids_are_refused(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 1, "_a")
    path = write_years(tmp_path, 2001, 1, "_b")
    values = tiny.law(12)
    tiny.write(path, "nbp", values, lon=tiny.LON + 5, time=tiny.noleap_days(2001, 12))
    with pytest.raises(GridMismatchError, match="must share a grid"):
        readers.read(tiny.entry(), "nbp", "S2", tmp_path)


@pytest.mark.parametrize(("first", "years"), [(2001, 2), (1999, 2), (2005, 2)])
def test_a_file_without_the_declared_years_is_refused(
    tmp_path: Path, first: int, years: int
) -> None:
    write_years(tmp_path, first, years)
    message = (
        r"tiny_S2_nbp\.nc: of the years 2000-2001 the file holds .*correct 'years'"
    )
    with pytest.raises(TimeAxisError, match=message):
        readers.read(tiny.entry(), "nbp", "S2", tmp_path)


def test_a_file_with_more_years_is_cut(tmp_path: Path) -> None:
    write_years(tmp_path, 1998, 6)
    field = readers.read(tiny.entry(), "nbp", "S2", tmp_path)
    assert str(field.time.values[0])[:7] == "2000-01"
    assert field.sizes["time"] == 24


def test_open_years_read_to_the_end(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 3)
    entry = tiny.entry(years=[2000, None])
    assert readers.read(entry, "nbp", "S2", tmp_path).sizes["time"] == 36


def test_years_may_be_asked_within_the_declared_ones(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 2)
    field = readers.read(tiny.entry(), "nbp", "S2", tmp_path, years=(2001, 2001))
    assert field.sizes["time"] == 12


def test_years_outside_the_declared_ones_are_refused(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 2)
    message = "simulation 'S2', holds the years 2000-2001, but 1990-2001 were asked"
    with pytest.raises(CatalogError, match=message):
        readers.read(tiny.entry(), "nbp", "S2", tmp_path, years=(1990, 2001))


def test_a_simulation_may_have_years_of_its_own(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 2)
    simulations = tiny.entry().to_dict()["simulations"]
    simulations["S2"]["years"] = [2000, 2001]
    entry = tiny.entry(years=[1990, 2020], simulations=simulations)
    assert readers.read(entry, "nbp", "S2", tmp_path).sizes["time"] == 24


def test_annual_files_keep_their_years(tmp_path: Path) -> None:
    path = tmp_path / "tiny/S2/tiny_S2_nbp.nc"
    years = np.array([300.0, 301.0])
    tiny.write(
        path, "nbp", tiny.law(2), time=years, time_units="years since 1700-06-15"
    )
    field = readers.read(tiny.entry(), "nbp", "S2", tmp_path)
    assert field.attrs["frequency"] == "year"
    assert [str(t)[:7] for t in field.time.values] == ["2000-01", "2001-01"]


def test_side_files_of_trendy_are_left_out(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 2)
    write_years(tmp_path, 2000, 2, "_mean_annual")
    assert readers.read(tiny.entry(), "nbp", "S2", tmp_path).sizes["time"] == 24


def test_side_files_alone_are_refused(tmp_path: Path) -> None:
    write_years(tmp_path, 2000, 2, "_zonalNBP")
    with pytest.raises(CatalogError, match="Only side files match 'nbp'"):
        readers.read(tiny.entry(), "nbp", "S2", tmp_path)


def ocean_entry() -> object:
    return tiny.entry(
        domain="ocean",
        reader="gobm",
        root="",
        files="fgco2*_{simulation}_*.nc",
        variables={"fgco2": {}},
    )


def test_an_ocean_file_is_placed_by_its_name(tmp_path: Path) -> None:
    # The fCO2 products keep the time unit where no library looks for it.
    for name in ("fgco2_X_S2_1_gr_2000-2001.nc", "fgco2_X_S2_1_gm_2000-2001.nc"):
        tiny.write(
            tmp_path / name,
            "fgco2",
            tiny.law(24),
            units="mol m-2 s-1",
            time=np.arange(24.0),
            time_units=None,
            calendar=None,
        )
    field = readers.read(ocean_entry(), "fgco2", "S2", tmp_path)
    assert field.attrs["source_file"] == "fgco2_X_S2_1_gr_2000-2001.nc"
    assert str(field.time.values[-1])[:7] == "2001-12"


def test_ocean_series_alone_are_refused(tmp_path: Path) -> None:
    tiny.write(tmp_path / "fgco2_ts_X_S2_1_gr_2000-2001.nc", "fgco2", tiny.law(24))
    with pytest.raises(CatalogError, match="Only global or regional series match"):
        readers.read(ocean_entry(), "fgco2", "S2", tmp_path)


def test_a_missing_file_is_named_with_its_folder(tmp_path: Path) -> None:
    message = r"No file '.*tiny/S2/tiny_S2_nbp\*\.nc'.*paths\.data \(SINK_DATA\)"
    with pytest.raises(CatalogError, match=message):
        readers.read(tiny.entry(), "nbp", "S2", tmp_path)


@pytest.mark.parametrize(
    ("variable", "simulation", "message"),
    [
        ("nbp", "S3", "has no simulation 'S3', it has"),
        ("npp", "S2", "has no variable 'npp', it has"),
        ("nbp", None, "need a simulation, one of"),
    ],
)
def test_what_an_entry_lacks_is_refused(
    tmp_path: Path, variable: str, simulation: str | None, message: str
) -> None:
    with pytest.raises(CatalogError, match=message):
        readers.read(tiny.entry(), variable, simulation, tmp_path)


def static_entry() -> object:
    return tiny.forcing_entry(
        kind="static",
        years=None,
        evidence=None,
        files="static*.nc",
        variables={"land_fraction": {"name": "landfrac"}},
    )


def test_a_static_field_has_no_time(tmp_path: Path) -> None:
    share = np.full(tiny.SHAPE, 0.25, "f4")
    tiny.write(tmp_path / "static.nc", "landfrac", share, units="1")
    field = readers.read(static_entry(), "land_fraction", None, tmp_path)
    assert field.dims == ("lat", "lon")
    np.testing.assert_array_equal(field, share)


def test_a_static_field_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("static1.nc", "static2.nc"):
        share = np.ones(tiny.SHAPE, "f4")
        tiny.write(tmp_path / name, "landfrac", share, units="1")
    with pytest.raises(CatalogError, match="2 files match 'land_fraction'"):
        readers.read(static_entry(), "land_fraction", None, tmp_path)
