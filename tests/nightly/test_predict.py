"""From trained runs to files: land and ocean, months after the teachers end."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import emulator
from emulator.carbon.errors import SettingsError, StoreError
from emulator.carbon.grid import Grid
from emulator.data.stores import write_store
from emulator.learning.fit import train
from emulator.nightly.settings import MapSettings, PredictSettings
from emulator.nightly.sinkmap import predict
from tests.learning.runs import tiny_data, tiny_settings
from tests.worlds import TEACHERS, tiny_forcing, tiny_forcing_store


@pytest.fixture(scope="module")
def runs(
    land_store: Path, ocean_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder with hardly trained runs ``land`` (two networks), ``ocean``."""
    root = tmp_path_factory.mktemp("runs")
    fast = {"steps": 2, "validate_every": 2}
    train(tiny_settings(members=2, **fast), land_store, root / "land")
    ocean = tiny_settings(data=tiny_data("ocean"), **fast)
    train(ocean, ocean_store, root / "ocean")
    return root


@pytest.fixture(scope="module")
def both(
    runs: Path,
    land_store: Path,
    ocean_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return the map of both runs on their training stores."""
    settings = PredictSettings(
        land="land",
        ocean="ocean",
        land_forcing=str(land_store),
        ocean_forcing=str(ocean_store),
        map=MapSettings("22.5"),
        out=str(tmp_path_factory.mktemp("both")),
    )
    return predict(settings, runs_root=runs)


def test_map_of_both_domains_has_the_months_after_the_teachers(both: Path) -> None:
    sink = emulator.open_sink(both)
    assert sink["land_teacher"].to_numpy().tolist() == list(TEACHERS["land"])
    assert sink["ocean_teacher"].to_numpy().tolist() == list(TEACHERS["ocean"])
    assert Grid(sink["lat"].to_numpy(), sink["lon"].to_numpy()).shape == (8, 16)
    # Labels end with 2008, forcing with 2009; three months of memory before.
    assert str(sink["time"].to_numpy()[-1].astype("M8[M]")) == "2009-12"
    assert sink["year"].to_numpy()[-1] == 2009
    assert sink["budget_year"].sel(year=2009, region="globe").notnull().all()
    assert sink.attrs["evidence"] == "testbed"
    assert both.with_name("sink.nc").exists()


def test_two_networks_have_a_spread_and_one_has_none(both: Path) -> None:
    sink = emulator.open_sink(both)
    assert (sink["nbp_emulator_std"].where(sink["land_fraction"] > 0) >= 0).any()
    assert sink["fgco2_emulator_std"].isnull().all()


def test_map_says_which_checkpoint_it_came_from(both: Path, runs: Path) -> None:
    vintage = json.loads(emulator.open_sink(both).attrs["vintage"])
    assert vintage["land"]["checkpoint"] == emulator.open_run(runs / "land").sha256
    assert vintage["ocean"]["training store"] == "tiny"


def test_map_keeps_what_the_run_predicts(both: Path, runs: Path) -> None:
    run = emulator.open_run(runs / "land")
    prediction = run.predict(tiny_forcing("land"))
    month = prediction["time"].to_numpy()[-1]
    flux = prediction["nbp"].sel(teacher="ONE", time=month).to_numpy().ravel()
    cells = flux[run.cells.numpy()].astype("f8")
    expected = float((cells * run.area.numpy()).sum()) * 365.2425 * 86400 / 1e12
    totals = emulator.budget(emulator.open_sink(both))
    found = totals["nbp_month"].sel(land_teacher="ONE", time=month)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_run_is_asked_about_its_training_store_when_nothing_else_is_said(
    runs: Path, land_store: Path, tmp_path: Path
) -> None:
    settings = PredictSettings(land=str(runs / "land"), out=str(tmp_path / "a.zarr"))
    sink = emulator.open_sink(predict(settings, stores_root=land_store.parent))
    assert "fgco2" not in sink
    assert sink.sizes["lat"] == 4


def test_recycled_weather_is_memory_and_no_month_of_the_map(
    runs: Path, land_store: Path, tmp_path: Path
) -> None:
    # S2 of this store saw the weather of 1992 in 1988 and 1989.
    store = xr.open_zarr(land_store).load()
    s2 = store["simulation"].to_numpy().tolist().index("S2")
    store["weather"][s2, :24] = 24 + np.arange(24) % 12
    write_store(store, tmp_path / "history-12345678.zarr")
    settings = PredictSettings(land="land", forcing="history", out=str(tmp_path / "m"))
    path = predict(settings, runs_root=runs, stores_root=tmp_path)
    first = emulator.open_sink(path)["time"].to_numpy()[0]
    # Without the history as memory the map would begin after January 1990.
    assert first == np.datetime64("1990-01")


def test_forcing_store_gives_what_its_status_says(runs: Path, tmp_path: Path) -> None:
    store = tiny_forcing_store(tmp_path, "ocean", first=1990, last=2008)
    with_status = xr.open_zarr(store).load()
    with_status["status"] = ("time", np.ones(with_status.sizes["time"], "i1"))
    store = write_store(with_status, tmp_path / "night-12345678.zarr")
    settings = PredictSettings(
        ocean="ocean", forcing="night", out=str(tmp_path / "map")
    )
    sink = emulator.open_sink(predict(settings, runs_root=runs, stores_root=tmp_path))
    assert (sink["status"] == 1).all()
    assert sink["fgco2_mean"].notnull().any()


def test_existing_map_stops_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "sink.nc").touch()
    settings = PredictSettings(land="no such run", out=str(tmp_path))
    with pytest.raises(StoreError, match="exists already"):
        predict(settings)


def test_absent_run_is_refused(tmp_path: Path) -> None:
    settings = PredictSettings(land="absent", out=str(tmp_path / "map"))
    with pytest.raises(SettingsError, match=r"no run 'absent', neither as a path nor"):
        predict(settings, runs_root=tmp_path)


def test_run_of_the_other_domain_is_refused(runs: Path, tmp_path: Path) -> None:
    settings = PredictSettings(ocean="land", out=str(tmp_path / "map"))
    with pytest.raises(SettingsError, match=r"ocean=land is a run of the land\. Give"):
        predict(settings, runs_root=runs)
    assert not (tmp_path / "map").exists()


def test_settings_need_a_run() -> None:
    with pytest.raises(SettingsError, match="predict needs a run"):
        PredictSettings()


@pytest.mark.parametrize("grid", ["ocean", "1 degree"])
def test_settings_refuse_an_unknown_grid(grid: str) -> None:
    with pytest.raises(SettingsError, match=r"map\.grid is .* this map is of land"):
        PredictSettings(land="run", map=MapSettings(grid))


@pytest.mark.parametrize("grid", ["", "land", "2.5"])
def test_settings_know_these_grids(grid: str) -> None:
    assert PredictSettings(land="run", map=MapSettings(grid)).map.grid == grid


def test_forcing_of_a_domain_goes_before_that_of_both() -> None:
    settings = PredictSettings(land="run", forcing="era5", ocean_forcing="oras")
    assert settings.forcing_of("land") == "era5"
    assert settings.forcing_of("ocean") == "oras"
    assert replace(settings, forcing="").forcing_of("land") == ""
