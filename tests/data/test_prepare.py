import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.budget import area_total
from emulator.carbon.errors import (
    CatalogError,
    GateError,
    GridMismatchError,
    SettingsError,
    StoreError,
    UserError,
)
from emulator.carbon.grid import Grid
from emulator.data import stores
from emulator.data.prepare import prepare, prepare_forcing, store_path
from emulator.data.settings import DataSettings, ForcingSettings
from emulator.data.stores import FORCING_SCHEMA, TRAINING_SCHEMA, open_store
from emulator.data.windows import load_cube, usable_months
from tests.data import small_files as small

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small.make_files(tmp_path)
    return tmp_path


def made(root: Path, **changes: Any) -> Path:
    """Prepare the small world."""
    return prepare(
        small.settings(**changes),
        data_root=root,
        stores_root=root / "stores",
        catalog_dirs=[root / "catalog"],
    )


def opened(root: Path, **changes: Any) -> xr.Dataset:
    return open_store(made(root, **changes), TRAINING_SCHEMA).load()


def refused(root: Path, error: type[UserError], message: str, **changes: Any) -> None:
    """Show that ``prepare`` stops with a message and leaves nothing."""
    with pytest.raises(error, match=message):
        made(root, **changes)
    assert not (root / "stores").exists() or not list((root / "stores").iterdir())


# --- what is in a store ------------------------------------------------------------


def test_labels_stand_unchanged_where_files_have_them(root: Path) -> None:
    store = opened(root)
    assert store["nbp"].dims == ("simulation", "teacher", "time", "lat", "lon")
    assert store["nbp"].dtype == np.float32
    for simulation in ("S0", "S2"):
        inside = store["nbp"].sel(simulation=simulation, teacher="ONE")
        inside = inside.sel(time=slice("2000", "2003"))
        expected = small.labels(simulation).astype("f4")
        expected[:, small.LAND == 0] = np.nan
        np.testing.assert_array_equal(inside, expected)


def test_time_runs_from_the_history_to_the_end_of_the_forcing(root: Path) -> None:
    store = opened(root, history_years=3)
    months = store["time"].to_numpy().astype("M8[M]")
    assert [str(months[0]), str(months[-1])] == ["1997-01", "2004-12"]
    labelled = store["nbp"].notnull().any(["simulation", "teacher", "lat", "lon"])
    assert months[labelled][0] == np.datetime64("2000-01")
    assert months[labelled][-1] == np.datetime64("2003-12")
    assert store["time"].dt.day.to_numpy().max() == 1


def test_forcing_stands_by_the_time_of_the_weather(root: Path) -> None:
    store = opened(root)
    assert store["tas"].dims == ("weather_time", "lat", "lon")
    np.testing.assert_allclose(store["tas"], small.forcing("tas"), rtol=1e-6)
    np.testing.assert_allclose(store["pr"], small.forcing("pr"), rtol=1e-6)
    assert set(store["weather_kind"].to_numpy()) == {"month"}


def test_control_saw_recycled_weather_with_constant_co2(root: Path) -> None:
    # The weather of 1998-1999 again and again, 2000 saw 1998: so December 1999, the
    # memory of January 2000, saw December 1999, and 2003 saw 1999.
    seen = opened(root).sel(simulation="S0")
    assert int(seen["weather"].sel(time="2000-01-01")) == 0
    assert int(seen["weather"].sel(time="1999-12-01")) == 23
    assert int(seen["weather"].sel(time="2003-07-01")) == 18
    assert (seen["co2"] == 280).all()
    assert (seen["co2_normal"] == 280).all()


def test_history_saw_its_own_weather_and_the_co2_of_the_table(root: Path) -> None:
    seen = opened(root, history_years=3).sel(simulation="S2")
    assert int(seen["weather"].sel(time="2000-01-01")) == 24
    # Weather before the forcing begins is unknown, CO2 is known from 1990 on.
    assert (seen["weather"].sel(time="1997") == -1).all()
    assert float(seen["co2"].sel(time="1997-05-01")) == 307
    assert float(seen["co2"].sel(time="2003-05-01")) == 313


def test_normal_of_co2_is_the_mean_of_thirty_years(root: Path) -> None:
    rows = [f"{year},{300 + year - 1990}" for year in range(1970, 2011)]
    (root / "co2.csv").write_text("\n".join(["year,co2", *rows]) + "\n")
    small.declare(root, small.CO2 | {"years": [1970, 2010]})
    normal = opened(root, history_years=3).sel(simulation="S2")["co2_normal"]
    # 1971 to 2000 had 281 to 310 ppm; before December 1999 the table is too short.
    assert float(normal.sel(time="2000-12-01")) == pytest.approx(295.5)
    assert float(normal.sel(time="1999-12-01")) == pytest.approx(294.5)
    assert normal.sel(time=slice("1997-01-01", "1999-11-01")).isnull().all()


def test_static_fields_area_and_fraction(root: Path) -> None:
    store = opened(root)
    np.testing.assert_allclose(store["area"], small.GRID.cell_area())
    np.testing.assert_allclose(store["fraction"], small.LAND)
    np.testing.assert_allclose(store["elevation"], 100 * small.LAND)
    assert "land_fraction" not in store


def test_fraction_comes_from_the_teacher_without_a_static_entry(root: Path) -> None:
    store = opened(root, static=[], static_variables=[])
    np.testing.assert_allclose(store["fraction"], small.LAND)


def test_store_says_where_it_comes_from(root: Path) -> None:
    path = made(root)
    store = xr.open_zarr(path)
    attrs = store.attrs
    assert attrs["schema"] == "training-store/2"
    assert attrs["Conventions"] == "CF-1.11"
    assert attrs["domain"] == "land"
    assert attrs["evidence"] == "testbed"
    assert path.name == f"small-{attrs['settings_hash']}.zarr"
    assert set(json.loads(attrs["catalog"])) == {"one", "weather", "static", "co2"}
    assert json.loads(attrs["settings"])["fluxes"] == ["nbp"]
    assert json.loads(attrs["source_calendar"]) == {"ONE": "noleap"}
    assert json.loads(attrs["gross_flux_kept"]) == {"ONE": {"S0": 1.0, "S2": 1.0}}
    assert json.loads(attrs["own_state"]) == {}
    assert attrs["gates_overridden"] == "[]"
    nbp = store["nbp"].attrs
    assert nbp["units"] == "kg m-2 s-1"
    assert nbp["standard_name"].startswith("surface_net_downward_mass_flux")
    sources = json.loads(nbp["sources"])
    assert [s["source_file"] for s in sources] == ["ONE_S0_nbp.nc", "ONE_S2_nbp.nc"]
    assert all(len(source["sha256"]) == 64 for source in sources)
    assert store["tas"].attrs["standard_name"] == "air_temperature"
    assert store["tas"].attrs["source_file"] == "tas.nc"
    assert len(store["tas"].attrs["sha256"]) == 64
    assert store["time"].attrs["axis"] == "T"
    assert store["lat"].attrs["units"] == "degrees_north"


def test_cube_of_a_prepared_store(root: Path) -> None:
    cube = load_cube(
        made(root), fluxes=["nbp"], forcing=["tas", "pr"], static=["elevation"]
    )
    assert cube.cells.numel() == 6 * 6
    assert usable_months(cube, "S0", memory=12).sum() == 5 * 12
    assert usable_months(cube, "S2", memory=24).sum() == 4 * 12
    coast = cube.area[5].item() / small.GRID.cell_area()[0, 5]
    assert coast == pytest.approx(0.25)


def test_own_state_of_the_teacher_is_named(root: Path) -> None:
    small.declare(root, small.WEATHER, own_state_of="one")
    assert json.loads(opened(root).attrs["own_state"]) == {"tas": "one", "pr": "one"}


# --- controls with a climatology ---------------------------------------------------


def with_climatology(root: Path, years: list[int]) -> None:
    saw = {
        "weather": [{"years": [1900, None], "climatology": years}],
        "co2": {"constant": 286.0},
        "years": [2001, 2002],
    }
    simulations = small.ONE["simulations"] | {"S0": saw}
    small.declare(root, small.ONE, simulations=simulations)


def test_climatology_is_appended_and_flagged(root: Path) -> None:
    with_climatology(root, [1999, 2001])
    store = opened(root)
    assert store.sizes["weather_time"] == 7 * 12 + 12
    assert list(store["weather_kind"].to_numpy()) == ["month"] * 84 + (
        ["climatology"] * 12
    )
    # The mean of three Marches, 12 months apart, is that of the middle one, 2000.
    march = store["tas"][84 + 2]
    np.testing.assert_allclose(march, small.forcing("tas")[24 + 2], rtol=1e-6)
    seen = store["weather"].sel(simulation="S0")
    assert int(seen.sel(time="2001-03-01")) == int(seen.sel(time="1999-03-01")) == 86
    assert int(store["weather"].sel(simulation="S2", time="2004-12-01")) == 83
    times = store["weather_time"].to_numpy()
    assert (np.diff(times) > np.timedelta64(0)).all()


def test_nominal_years_of_a_control_may_be_fewer(root: Path) -> None:
    with_climatology(root, [1999, 2001])
    values = small.labels("S0")[12:36]
    path = small.write_labels(root / "one", "S0", values)
    path.unlink()
    when = small.noleap_days(2001, 24)
    small.write_labels(root / "one", "S0", values, time=when)
    control = opened(root).sel(simulation="S0", teacher="ONE")["nbp"]
    labelled = control.notnull().any(["lat", "lon"])
    years = control["time"].dt.year.to_numpy()[labelled]
    assert sorted(set(years)) == [2001, 2002]


def test_climatology_of_years_without_forcing_is_refused(root: Path) -> None:
    with_climatology(root, [1990, 2001])
    refused(root, CatalogError, "climatology of 1990-2001, but the forcing holds 1998")


# --- other grids and other conventions ---------------------------------------------


def total(store: xr.Dataset, flux: xr.DataArray) -> np.ndarray:
    area = (store["area"] * store["fraction"]).to_numpy()
    return area_total(np.nan_to_num(flux.to_numpy()), area)


def test_regridding_keeps_the_carbon(root: Path) -> None:
    native = opened(root).sel(time=slice("2000", "2003"))
    coarse = opened(root, grid_step=60.0).sel(time=slice("2000", "2003"))
    assert coarse["nbp"].shape[-2:] == (3, 6)
    np.testing.assert_allclose(
        total(coarse, coarse["nbp"]), total(native, native["nbp"]), atol=1e-5
    )
    # Half of the third column of 60 degrees is coast with a quarter of land.
    np.testing.assert_allclose(coarse["fraction"][:, 2], 0.625, rtol=1e-6)
    assert json.loads(coarse.attrs["gross_flux_kept"])["ONE"]["S2"] == pytest.approx(
        1, abs=0.01
    )
    means = coarse["tas"].weighted(coarse["area"]).mean(["lat", "lon"])
    expected = native["tas"].weighted(native["area"]).mean(["lat", "lon"])
    np.testing.assert_allclose(means, expected, rtol=1e-6)


def two_teachers(root: Path, **changes: Any) -> None:
    """Add a teacher with the same carbon, per unit of the whole cell."""
    for simulation in ("S0", "S2"):
        values = small.labels(simulation) * small.LAND
        values[:, small.LAND == 0] = np.nan
        small.write_labels(root / "two", simulation, values)
    said = {
        "name": "two",
        "label": "TWO",
        "root": "two",
        "files": "{simulation}/TWO_{simulation}_{variable}.nc",
        "land_fraction": {"treatment": "none"},
    }
    small.declare(root, small.ONE, **(said | changes))


@pytest.mark.parametrize("step", [None, 60.0])
def test_fluxes_per_cell_and_per_land_agree(root: Path, step: float | None) -> None:
    two_teachers(root)
    store = opened(root, teachers=["one", "two"], grid_step=step)
    one, two = store["nbp"].sel(teacher="ONE"), store["nbp"].sel(teacher="TWO")
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-15)
    kept = json.loads(store.attrs["gross_flux_kept"])["TWO"]["S2"]
    assert kept == pytest.approx(1, abs=0.01)


def test_cells_with_hardly_any_land_get_no_label_per_cell(root: Path) -> None:
    two_teachers(root)
    land = np.where(small.LAND == 0.25, 0.005, small.LAND)
    small.write_static(root, land_fraction=land)
    store = opened(root, teachers=["one", "two"]).sel(time="2001-07-01")
    finite = store["nbp"].sel(simulation="S2").notnull()
    assert finite.sel(teacher="ONE")[:, 5].all()
    assert not finite.sel(teacher="TWO")[:, 5].any()


def test_teacher_without_a_simulation_or_flux_has_no_labels_there(root: Path) -> None:
    simulations = {"S2": small.ONE["simulations"]["S2"]}
    two_teachers(root, simulations=simulations, variables={"nbp": {}})
    grown = small.labels("S2") * 0 + 2e-8
    small.write_labels(root / "one", "S2", grown, variable="gpp")
    small.write_labels(root / "one", "S0", grown, variable="gpp")
    small.declare(root, small.ONE, variables={"nbp": {}, "gpp": {}})
    store = opened(root, teachers=["one", "two"], fluxes=["nbp", "gpp"])
    has = store[["nbp", "gpp"]].notnull().any(["time", "lat", "lon"])
    assert has["nbp"].to_numpy().tolist() == [[True, False], [True, True]]
    assert has["gpp"].to_numpy().tolist() == [[True, False], [True, False]]


def test_first_teacher_may_lack_the_first_simulation(root: Path) -> None:
    two_teachers(root, simulations={"S2": small.ONE["simulations"]["S2"]})
    store = opened(root, teachers=["two", "one"])
    assert list(store["teacher"].to_numpy()) == ["TWO", "ONE"]


def test_years_beyond_the_asked_ones_are_left_out(root: Path) -> None:
    store = opened(root, years=[2001, 2002])
    labelled = store["nbp"].notnull().any(["simulation", "teacher", "lat", "lon"])
    assert labelled.sum() == 24
    assert store["time"].dt.year.to_numpy()[0] == 2000


# --- found again -------------------------------------------------------------------


def test_complete_store_is_found_and_not_written_again(root: Path) -> None:
    path = made(root)
    before = {p: p.stat().st_mtime_ns for p in path.rglob("*")}
    assert made(root) == path
    assert {p: p.stat().st_mtime_ns for p in path.rglob("*")} == before
    expected = store_path(
        small.settings(), stores_root=root / "stores", catalog_dirs=[root / "catalog"]
    )
    assert expected == path


def test_other_settings_or_another_catalog_make_another_store(root: Path) -> None:
    first = made(root)
    assert made(root, history_years=2) != first
    small.declare(root, small.ONE, citation="Somebody (2026)")
    assert made(root) != first
    assert len(list((root / "stores").iterdir())) == 3


def test_store_is_found_without_its_files(root: Path) -> None:
    path = made(root)
    for file in root.rglob("*.nc"):
        file.unlink()
    assert made(root) == path


def test_store_of_changed_files_is_refused(root: Path) -> None:
    path = made(root)
    with (root / "tas.nc").open("ab") as file:
        file.write(b"0")
    with pytest.raises(StoreError, match=r"other files: 1 have changed.*tas\.nc"):
        made(root)
    assert path.exists()


def test_store_of_files_changed_in_place_is_refused(root: Path) -> None:
    # A corrected edition of an unpacked file has the size of the one before.
    path = made(root)
    small.write_labels(root / "one", "S2", 2 * small.labels("S2"))
    table = root / "co2.csv"
    table.write_text(table.read_text().replace("2001,311", "2001,312"))
    with pytest.raises(StoreError, match=r"other files: 2 have changed.*co2\.csv"):
        made(root)
    assert path.exists()


def test_another_fraction_of_a_teacher_is_another_file(root: Path) -> None:
    own = {"static": [], "static_variables": []}
    made(root, **own)
    small.write_static(root, land_fraction=small.LAND[:, ::-1])
    with pytest.raises(StoreError, match=r"1 have changed since, e\.g\. .*static\.nc"):
        made(root, **own)


def test_the_same_files_with_other_dates_are_the_same(root: Path) -> None:
    path = made(root)
    for file in [*root.rglob("*.nc"), root / "co2.csv"]:
        os.utime(file, (0, 0))
    assert made(root) == path


def test_changed_file_that_is_not_used_does_not_matter(root: Path) -> None:
    path = made(root, forcing_variables=["pr"])
    with (root / "tas.nc").open("ab") as file:
        file.write(b"0")
    assert made(root, forcing_variables=["pr"]) == path


def test_entries_with_an_absolute_root_work(root: Path) -> None:
    small.declare(root, small.WEATHER, root=str(root))
    path = made(root)
    elsewhere = root / "one"
    with pytest.raises(CatalogError, match="No file"):
        prepare(
            small.settings(name="other"),
            data_root=elsewhere,
            stores_root=root / "stores",
            catalog_dirs=[root / "catalog"],
        )
    assert [p.name for p in (root / "stores").iterdir()] == [path.name]


# --- refusals ----------------------------------------------------------------------


def saw(root: Path, simulation: str, **changes: Any) -> None:
    said = small.ONE["simulations"]
    simulations = said | {simulation: said[simulation] | changes}
    small.declare(root, small.ONE, simulations=simulations)


def test_control_without_its_forcing_sequence_is_refused(root: Path) -> None:
    saw(root, "S0", weather=[{"years": [1900, 2001], "same": True}])
    refused(
        root,
        CatalogError,
        r"Simulation 'S0' of 'one' has labels of 2000-2003, but 'weather' in its "
        r"catalog entry says nothing about 2002-2003.*cannot be guessed",
    )


def test_control_without_any_weather_is_refused(root: Path) -> None:
    simulations = small.ONE["simulations"] | {"S0": {"co2": {"constant": 280.0}}}
    small.declare(root, small.ONE, simulations=simulations)
    refused(root, CatalogError, "weather")


def test_forcing_that_does_not_overlap_is_refused(root: Path) -> None:
    small.write_forcing(root, 2010)
    small.declare(root, small.WEATHER, years=[2010, 2016])
    saw(root, "S0", weather=[{"years": [1900, None], "same": True}])
    refused(
        root,
        CatalogError,
        r"'S0' of 'one' has labels of 2000-2003.*2000-2003 saw is not in the forcing, "
        r"which holds 2010-01 to 2016-12: the two do not overlap",
    )


def test_forcing_that_ends_too_early_is_refused(root: Path) -> None:
    small.declare(root, small.WEATHER, years=[1998, 2002])
    refused(root, CatalogError, "which 2003-2003 saw is not in the forcing")


def test_teacher_without_the_asked_years_is_refused(root: Path) -> None:
    refused(
        root,
        CatalogError,
        r"'one' has labels of 2000-2003 in simulation 'S0', but data.years asks for "
        r"1999-2003",
        years=[1999, 2003],
    )


def test_simulation_of_other_years_than_asked_is_refused(root: Path) -> None:
    saw(root, "S0", years=[1950, 1960])
    refused(root, CatalogError, r"labels of 1950-1960 in simulation 'S0'")


def test_teacher_with_open_years_must_hold_those_asked(root: Path) -> None:
    small.declare(root, small.ONE, years=[2000, None])
    refused(root, UserError, "ONE_S0_nbp.nc", years=[2000, 2004])


def test_hole_in_forcing_over_land_is_refused(root: Path) -> None:
    tas = small.forcing("tas")
    tas[30, 1, 2] = np.nan
    small.write_forcing(root, tas=tas)
    refused(
        root,
        GateError,
        r"tas.nc: 'tas' of 'weather' has no value in 1 of 36 cells where "
        r"ONE_S0_nbp.nc has labels, e.g. in 2000-07 at -45 N, -105 E.*coverage",
    )


def test_hole_in_forcing_over_the_sea_does_not_matter(root: Path) -> None:
    tas = small.forcing("tas")
    tas[:, :, 6:] = np.nan
    small.write_forcing(root, tas=tas)
    assert np.isnan(opened(root)["tas"][:, :, 6:]).all()


def test_labels_without_forcing_are_dropped_where_that_is_declared(root: Path) -> None:
    tas = small.forcing("tas")
    tas[30, 1, 2] = np.nan
    small.write_forcing(root, tas=tas)
    small.declare(root, small.WEATHER, gates={"coverage": "its coast is another one"})
    store = opened(root)
    assert np.isnan(store["nbp"][:, :, :, 1, 2]).all()
    assert json.loads(store.attrs["gates_overridden"]) == [
        "coverage: nbp dropped where tas of weather ends"
    ]


def test_labels_without_any_forcing_are_refused_even_then(root: Path) -> None:
    small.write_forcing(root, tas=small.forcing("tas") * np.nan)
    small.declare(root, small.WEATHER, gates={"coverage": "all of it"})
    refused(root, GateError, "'nbp' holds no value on the domain of the store")


def test_co2_table_that_ends_too_early_is_refused(root: Path) -> None:
    small.declare(root, small.CO2, years=[1990, 2001])
    refused(root, CatalogError, "its CO2 table has no value for 2002-2003")


def test_flipped_sign_stops_and_leaves_nothing(root: Path) -> None:
    values = -small.labels("S2")
    values[:, small.LAND == 0] = np.nan
    small.write_labels(root / "one", "S2", values)
    refused(root, GateError, r"ONE_S2_nbp.nc \(one S2\): 'nbp' has the wrong sign")


def test_wrong_unit_stops_and_leaves_nothing(root: Path) -> None:
    # Grams said to be kilograms: a thousand times too much.
    small.write_labels(root / "one", "S2", 1e3 * small.labels("S2"))
    refused(root, GateError, r"global total of 'nbp' in \d{4} is .* PgC")


def test_overridden_gate_is_said_by_the_store(root: Path) -> None:
    values = -small.labels("S2")
    small.write_labels(root / "one", "S2", values)
    small.declare(root, small.ONE, gates={"sign": "a test of the gate"})
    said = json.loads(opened(root).attrs["gates_overridden"])
    assert said == ["sign: ONE_S2_nbp.nc (one S2)"]


def test_truncated_file_stops_and_leaves_nothing(root: Path) -> None:
    path = root / "one" / "S2" / "ONE_S2_nbp.nc"
    path.write_bytes(path.read_bytes()[:3000])
    refused(root, UserError, r"ONE_S2_nbp.nc cannot be read")


def test_implausible_forcing_is_refused(root: Path) -> None:
    small.write_forcing(root, tas=small.forcing("tas") - 273.15)
    refused(root, GateError, r"tas.nc \(weather\).*'tas' lie outside")


def test_annual_labels_are_refused(root: Path) -> None:
    small.write_labels(
        root / "one",
        "S0",
        small.labels("S0")[::12],
        time=small.noleap_days(2000, 48)[5::12],
    )
    refused(root, GateError, r"ONE_S0_nbp.nc: 'nbp' of catalog entry 'one' is annual")


def test_fluxes_of_one_teacher_on_two_grids_are_refused(root: Path) -> None:
    other = Grid.regular(45.0)
    for simulation in ("S0", "S2"):
        values = np.full((48, *other.shape), 2e-8)
        small.write_labels(root / "one", simulation, values, variable="gpp", grid=other)
    small.declare(root, small.ONE, variables={"nbp": {}, "gpp": {}})
    refused(
        root,
        GridMismatchError,
        r"ONE_S0_gpp.nc is on a grid of 4x8.*but ONE_S0_nbp.nc on 6x12",
        fluxes=["nbp", "gpp"],
    )


def test_teacher_without_the_first_flux_is_refused(root: Path) -> None:
    refused(
        root,
        CatalogError,
        r"Teacher 'one' has no 'gpp', it has \['nbp'\]",
        fluxes=["gpp", "nbp"],
        grid_step=30.0,
    )


def test_simulation_that_no_teacher_has_is_refused(root: Path) -> None:
    refused(
        root,
        CatalogError,
        r"No teacher has a simulation 'S9', they have \{'one': \['S0', 'S2'\]\}",
        simulations=["S9"],
    )


def test_teachers_with_one_label_are_refused(root: Path) -> None:
    two_teachers(root, label="ONE")
    refused(
        root,
        CatalogError,
        r"\['one', 'two'\] are labelled \['ONE', 'ONE'\]",
        teachers=["one", "two"],
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"co2": {"constant": 300.0}},
        {"weather": [{"years": [1700, None], "repeat": [1998, 1999], "anchor": 2001}]},
    ],
    ids=["co2", "weather"],
)
def test_teachers_that_saw_different_things_are_refused(
    root: Path, changes: dict[str, Any]
) -> None:
    said = small.ONE["simulations"]
    two_teachers(root, simulations=said | {"S0": said["S0"] | changes})
    refused(
        root,
        CatalogError,
        r"'one' and 'two' saw different weather or CO2 in their simulations 'S0'",
        teachers=["one", "two"],
    )


def test_entry_of_another_kind_is_refused(root: Path) -> None:
    refused(
        root,
        CatalogError,
        "'weather' is a forcing of the land, but 'small' needs a teacher of the land",
        teachers=["weather"],
    )


def test_entry_of_another_domain_is_refused(root: Path) -> None:
    small.declare(root, small.WEATHER, domain="ocean")
    refused(root, CatalogError, "'weather' is a forcing of the ocean")


def test_variable_that_no_entry_offers_is_refused(root: Path) -> None:
    refused(
        root,
        CatalogError,
        r"No entry offers 'rsds'; they offer \{'weather': \['pr', 'tas'\]\}",
        forcing_variables=["tas", "rsds"],
    )


def test_forcing_without_a_common_month_is_refused(root: Path) -> None:
    path = root / "later" / "rsds.nc"
    field = 200 + 0 * small.forcing("tas")
    lat, lon = small.GRID.lat, small.GRID.lon
    when = small.noleap_days(2010, field.shape[0])
    small.write(path, "rsds", field, lat=lat, lon=lon, time=when, units="W m-2")
    small.declare(
        root,
        small.WEATHER,
        name="later",
        root="later",
        variables={"rsds": {}},
        years=[2010, 2016],
    )
    refused(
        root,
        CatalogError,
        r"share no month: tas 1998-01 to 2004-12, rsds 2010-01 to 2016-12",
        forcing=["weather", "later"],
        forcing_variables=["tas", "rsds"],
    )


def test_domain_without_any_fraction_is_refused(root: Path) -> None:
    small.declare(root, small.ONE, land_fraction={"treatment": "none"})
    refused(
        root,
        CatalogError,
        "Nothing says which share of a cell is land",
        static=[],
        static_variables=[],
    )


def test_unwritable_output_is_refused(root: Path) -> None:
    (root / "stores").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match=r"small-\w{8}.zarr cannot be written"):
        made(root)


def test_full_disk_before_a_piece_is_finished_leaves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("emulator.data.weather.file_checksum", fail)
    refused(root, StoreError, "The disk is full")


# --- settings ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domain": "air"}, r"data.domain must be one of .*'air'"),
        ({"teachers": []}, r"data.teachers must name at least one"),
        ({"simulations": ["S0", "S0"]}, r"data.simulations .* each once"),
        ({"fluxes": ["fgco2"]}, r"data.fluxes names \['fgco2'\].*no flux of the land"),
        ({"fluxes": ["tas"]}, r"data.fluxes names \['tas'\].*Choose among .*'nbp'"),
        ({"forcing_variables": ["nbp"]}, r"names \['nbp'\], which is no forcing"),
        (
            {"forcing_variables": ["tas", "dissicos"]},
            r"names \['dissicos'\], which is no",
        ),
        ({"forcing_variables": ["spco2"]}, r"names \['spco2'\], which is no forcing"),
        ({"forcing_variables": ["wo50"]}, r"names \['wo50'\], which is no forcing"),
        ({"static_variables": ["wo50"]}, r"names \['wo50'\], which is no static"),
        ({"static_variables": ["tas"]}, r"data.static_variables names \['tas'\]"),
        ({"static": []}, r"data.static must name at least one"),
        ({"years": [2003, 2000]}, r"data.years must be the first and the last"),
        ({"years": [2003]}, r"data.years .* got \[2003\]"),
        ({"history_years": -1}, r"data.history_years must be 0 or more, got -1"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        small.settings(**changes)


def test_impossible_settings_of_forcing_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"data\.forcing must name"):
        small.forcing_settings(forcing=[])
    with pytest.raises(SettingsError, match=r"data\.years"):
        small.forcing_settings(years=[1])


# --- forcing stores ----------------------------------------------------------------


def made_forcing(root: Path, **changes: Any) -> Path:
    return prepare_forcing(
        small.forcing_settings(**changes),
        data_root=root,
        stores_root=root / "stores",
        catalog_dirs=[root / "catalog"],
    )


def test_forcing_store_holds_calendar_months(root: Path) -> None:
    path = made_forcing(root)
    store = open_store(path, FORCING_SCHEMA).load()
    assert store["tas"].dims == ("time", "lat", "lon")
    np.testing.assert_allclose(store["tas"], small.forcing("tas"), rtol=1e-6)
    assert store["co2"].dims == ("time",)
    assert float(store["co2"].sel(time="2004-03-01")) == 314
    assert store["co2_normal"].dims == ("time",)
    np.testing.assert_allclose(store["fraction"], small.LAND)
    np.testing.assert_allclose(store["elevation"], 100 * small.LAND)
    assert store.attrs["evidence"] == "testbed"
    assert set(json.loads(store.attrs["catalog"])) == {"weather", "static", "co2"}
    assert "teacher" not in store.dims
    assert made_forcing(root) == path


def test_forcing_store_of_some_years_on_another_grid(root: Path) -> None:
    path = made_forcing(root, years=[2000, 2001], grid_step=60.0)
    store = open_store(path, FORCING_SCHEMA)
    assert store["tas"].shape == (24, 3, 6)


def test_forcing_store_ends_with_its_co2(root: Path) -> None:
    small.declare(root, small.CO2, years=[1990, 2001])
    store = open_store(made_forcing(root), FORCING_SCHEMA)
    assert str(store["time"].to_numpy()[-1].astype("M8[M]")) == "2001-12"


def test_forcing_without_any_co2_is_refused(root: Path) -> None:
    small.declare(root, small.CO2, years=[1990, 1995])
    with pytest.raises(StoreError, match=r"'co2' has no CO2 for any month.*1998-01"):
        made_forcing(root)


def test_training_store_is_no_forcing_store(root: Path) -> None:
    with pytest.raises(StoreError, match="'training-store/2', but 'forcing-store/2'"):
        open_store(made(root), stores.FORCING_SCHEMA)


# --- real models -------------------------------------------------------------------


@needs_shared
def test_lpjwsl_saw_what_its_readme_says(tmp_path: Path) -> None:
    settings = DataSettings(
        name="lpjwsl",
        domain="land",
        teachers=["lpjwsl"],
        simulations=["S0", "S2"],
        fluxes=["nbp"],
        forcing=["lpjwsl_forcing"],
        forcing_variables=["tas", "pr"],
        static=["lpjwsl_static"],
        static_variables=["elevation", "sand", "clay"],
        years=[1948, 1953],
        history_years=3,
    )
    path = prepare(settings, data_root=SHARED, stores_root=tmp_path)
    store = open_store(path, TRAINING_SCHEMA)
    seen = store.sel(simulation="S0", time="1950-01-01")
    weather_time = store["weather_time"].to_numpy()
    assert weather_time[int(seen["weather"])] == np.datetime64("1948-01-01")
    assert float(seen["co2"]) == 280
    memory = store["weather"].sel(simulation="S0", time=slice("1949-01", "1949-12"))
    years = weather_time[memory.to_numpy()].astype("M8[Y]").astype(int) + 1970
    assert set(years) == {1977}
    own = store["weather"].sel(simulation="S2", time="1950-01-01")
    assert weather_time[int(own)] == np.datetime64("1950-01-01")
    before = store["weather"].sel(simulation="S2", time="1947-12-01")
    assert weather_time[int(before)] == np.datetime64("1975-12-01")
    cube = load_cube(
        path, fluxes=["nbp"], forcing=["tas", "pr"], static=["elevation", "sand"]
    )
    assert cube.cells.numel() == 1170


@needs_shared
def test_mitgcm_control_saw_the_climatology(tmp_path: Path) -> None:
    settings = DataSettings(
        name="mitgcm",
        domain="ocean",
        teachers=["mitgcm_dic"],
        simulations=["A", "B"],
        fluxes=["fgco2"],
        forcing=["mitgcm_forcing"],
        forcing_variables=["tosforc"],
        years=[1982, 2019],
    )
    path = prepare(settings, data_root=SHARED, stores_root=tmp_path)
    cube = load_cube(path, fluxes=["fgco2"], forcing=["tosforc"], static=[])
    assert cube.cells.numel() == 4447
    assert (cube.co2[1] == 286).all()
    assert usable_months(cube, "B", memory=36).sum() == (48 - 3) * 12
    # Uptake of A in the 2000s by the file's README: 2.19 PgC/yr on a sphere of
    # 6370 km and in years of 360 days, here 6371 km and 365.2425 days.
    years = np.asarray(cube.months).astype("M8[Y]").astype(int) + 1970
    inside = (years >= 2000) & (years <= 2009)
    mean = cube.labels[0, 0, inside, 0].double().mean(0)
    total = float((mean * cube.area).sum()) * 365.2425 * 86400 / 1e12
    assert total == pytest.approx(2.19 * 365.2425 / 360, abs=0.01)


@needs_shared
def test_forcing_of_lpjwsl_can_be_prepared_alone(tmp_path: Path) -> None:
    settings = ForcingSettings(
        name="now",
        domain="land",
        forcing=["lpjwsl_forcing"],
        forcing_variables=["tas", "pr"],
        co2="co2_lpjwsl",
        static=["lpjwsl_static"],
        years=[2010, 2012],
    )
    path = prepare_forcing(settings, data_root=SHARED, stores_root=tmp_path)
    store = open_store(path, FORCING_SCHEMA)
    assert store["tas"].shape == (36, 48, 96)
    assert float(store["co2"][-1]) == pytest.approx(393.8, abs=0.5)
