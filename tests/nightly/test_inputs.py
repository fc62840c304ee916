from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import StoreError
from emulator.carbon.timeaxis import month_range
from emulator.data import forcing_archive
from emulator.data.stores import FORCING_SCHEMA, TRAINING_SCHEMA, write_store
from emulator.nightly.inputs import find_store, read_forcing

DIMS = ("lat", "lon")
COORDS = {"lat": [-45.0, 45.0], "lon": [-90.0, 90.0]}


def training_store(**changes: object) -> xr.Dataset:
    """Return two simulations: S0 saw 2000 again and again, S2 its own months.

    ``tas`` is the number of the weather month; S2 also saw 2000 before it began.
    """
    months = month_range("1999-01", "2002-12")
    weather_months = month_range("2000-01", "2001-12")
    recycled = np.arange(48) % 12
    own = np.concatenate([np.arange(12), np.arange(24), np.full(12, -1)])
    weather = np.stack([recycled, own]).astype(np.int32)
    co2 = np.stack([np.full(48, 280.0), 370 + np.arange(48.0)]).astype(np.float32)
    tas = np.broadcast_to(np.arange(24.0)[:, None, None], (24, 2, 2))
    store = xr.Dataset(
        {
            "tas": (("weather_time", *DIMS), tas.astype(np.float32)),
            "weather": (("simulation", "time"), weather),
            "co2": (("simulation", "time"), co2),
            "co2_normal": (("simulation", "time"), co2 - 15),
            "fraction": (DIMS, np.ones((2, 2))),
        },
        coords={
            "simulation": np.array(["S0", "S2"], dtype=object),
            "time": months.astype("M8[ns]"),
            "weather_time": weather_months.astype("M8[ns]"),
            **COORDS,
        },
        attrs={"schema": TRAINING_SCHEMA, "domain": "land", "evidence": "testbed"},
    )
    return store.assign(changes)


def forcing_store(domain: str = "land") -> xr.Dataset:
    months = month_range("2000-01", "2000-06")
    return xr.Dataset(
        {
            "tas": (("time", *DIMS), np.ones((6, 2, 2), np.float32)),
            "co2": (("time",), np.arange(6, dtype=np.float32)),
            "co2_normal": (("time",), np.arange(6, dtype=np.float32)),
            "status": (("time",), np.zeros(6, np.int8)),
            "fraction": (DIMS, np.ones((2, 2))),
            "elevation": (DIMS, np.ones((2, 2))),
        },
        coords={"time": months.astype("M8[ns]"), **COORDS},
        attrs={"schema": FORCING_SCHEMA, "domain": domain},
    )


def test_training_store_gives_what_its_transient_simulation_saw(tmp_path: Path) -> None:
    path = write_store(training_store(), tmp_path / "store.zarr")
    forcing = read_forcing(path, "land", ["tas"])
    # 2002 has no weather yet; 1999 saw that of 2000.
    assert str(forcing["time"].to_numpy()[[0, -1]].astype("M8[M]")) == (
        "['1999-01' '2001-12']"
    )
    assert forcing["tas"].dims == ("time", "lat", "lon")
    seen = [*range(12), *range(24)]
    np.testing.assert_array_equal(forcing["tas"][:, 0, 0], seen)
    np.testing.assert_array_equal(forcing["co2"], 370 + np.arange(36))
    assert forcing["own_weather"].to_numpy().tolist() == 12 * [False] + 24 * [True]
    assert forcing.attrs["evidence"] == "testbed"
    assert set(forcing.coords) >= {"time", "lat", "lon"}
    assert "weather_time" not in forcing.variables


def test_weather_before_a_hole_is_left_out(tmp_path: Path) -> None:
    store = training_store()
    store["weather"][1, 11] = -1
    path = write_store(store, tmp_path / "store.zarr")
    forcing = read_forcing(path, "land", ["tas"])
    assert forcing.sizes["time"] == 24
    np.testing.assert_array_equal(forcing["tas"][:, 0, 0], np.arange(24))


def test_forcing_store_is_taken_as_it_is(tmp_path: Path) -> None:
    path = write_store(forcing_store(), tmp_path / "store.zarr")
    forcing = read_forcing(path, "land", ["tas"])
    assert set(forcing.data_vars) == {"tas", "co2", "co2_normal", "status"}
    assert forcing.sizes["time"] == 6
    assert forcing["own_weather"].all()


def test_archive_is_read_like_a_forcing_store(tmp_path: Path) -> None:
    store = write_store(forcing_store().drop_vars("status"), tmp_path / "store.zarr")
    archive = tmp_path / "land.icechunk"
    forcing_archive.seed(archive, store, last=np.datetime64("2000-05"))
    assert find_store(str(archive), "land", tmp_path) == archive
    forcing = read_forcing(archive, "land", ["tas"])
    assert forcing.sizes["time"] == 5
    assert set(forcing.data_vars) == {"tas", "co2", "co2_normal", "status", "coverage"}
    assert forcing.attrs["snapshot"] == forcing_archive.snapshot_of(archive)
    assert forcing["own_weather"].all()


def test_store_without_transient_simulation_is_refused(tmp_path: Path) -> None:
    store = training_store().isel(simulation=[0])
    path = write_store(store, tmp_path / "store.zarr")
    with pytest.raises(StoreError, match=r"None of the simulations S0 .* own months"):
        read_forcing(path, "land", ["tas"])


def test_store_without_any_weather_is_refused(tmp_path: Path) -> None:
    store = training_store()
    store["weather"][:] = -1
    path = write_store(store, tmp_path / "store.zarr")
    with pytest.raises(StoreError, match="None of the simulations S0, S2"):
        read_forcing(path, "land", ["tas"])


def test_forcing_of_the_other_domain_is_refused(tmp_path: Path) -> None:
    path = write_store(forcing_store("ocean"), tmp_path / "store.zarr")
    with pytest.raises(StoreError, match=r"forcing of the ocean, but the run is of"):
        read_forcing(path, "land", ["tas"])


def test_missing_variables_are_named(tmp_path: Path) -> None:
    path = write_store(forcing_store(), tmp_path / "store.zarr")
    with pytest.raises(StoreError, match="lacks pr, rsds, which the land run needs"):
        read_forcing(path, "land", ["tas", "pr", "rsds"])


def test_store_is_found_by_path_by_name_and_by_name_of_its_domain(
    tmp_path: Path,
) -> None:
    names = ("era-11111111", "testbed_land-22222222", "testbed_ocean-33333333")
    for name in names:
        (tmp_path / f"{name}.zarr").mkdir()
    era, land, ocean = (tmp_path / f"{name}.zarr" for name in names)
    assert find_store(str(land), "ocean", tmp_path / "elsewhere") == land
    assert find_store("era", "land", tmp_path) == era
    assert find_store("testbed_land", "land", tmp_path) == land
    assert find_store("testbed", "ocean", tmp_path) == ocean


def test_absent_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "era5-land-11111111.zarr").mkdir()
    with pytest.raises(StoreError, match=r"no forcing 'era5' for the land.*prepare"):
        find_store("era5", "land", tmp_path)


def test_ambiguous_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "era-11111111.zarr").mkdir()
    (tmp_path / "era-22222222.zarr").mkdir()
    with pytest.raises(StoreError, match=r"'era' could be .*1\.zarr or .*2\.zarr"):
        find_store("era", "land", tmp_path)
