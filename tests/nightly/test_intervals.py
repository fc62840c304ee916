"""Intervals and draws of a map: from calibrated runs, and by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import emulator
from emulator.carbon.timeaxis import as_months, seconds_per_month, years_of
from emulator.evaluation import calibration, forecasts
from emulator.evaluation.error_fields import ErrorFields, read_errors
from emulator.evaluation.origins import calibrate_run
from emulator.evaluation.settings import CalibrateSettings
from emulator.learning.fit import train, training_cube
from emulator.learning.settings import SplitSettings
from emulator.nightly import intervals
from emulator.nightly.inputs import read_forcing
from emulator.nightly.predictions import ask
from emulator.nightly.publish import for_netcdf
from emulator.nightly.settings import PredictSettings
from emulator.nightly.sinkmap import assemble, predict
from tests.learning.runs import tiny_data, tiny_settings
from tests.worlds import tiny_store

from .synthetic import prediction, with_intervals

SPLIT = SplitSettings([1980, 2004], [2001, 2001], [2006, 2008])
FAST = {"steps": 30, "validate_every": 15}
LEADS = 4
NORMAL = 1.6448536


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with stores, a calibrated land run and an ocean run."""
    root = tmp_path_factory.mktemp("calibrated")
    store = tiny_store(root, "land", first=1980)
    settings = tiny_settings(split=SPLIT, members=2, **FAST)
    train(settings, store, root / "land")
    calibrate_run(
        CalibrateSettings(str(root / "land"), str(store), [1992, 1996, 2000], LEADS)
    )
    ocean = tiny_settings(data=tiny_data("ocean"), steps=2, validate_every=2)
    train(ocean, tiny_store(root, "ocean"), root / "ocean")
    return root


@pytest.fixture(scope="module")
def sink(root: Path) -> xr.Dataset:
    settings = PredictSettings(
        land="land",
        ocean="ocean",
        land_forcing=str(root / "tiny-land.zarr"),
        ocean_forcing=str(root / "tiny-ocean.zarr"),
        out=str(root / "map"),
    )
    return emulator.open_sink(predict(settings, runs_root=root)).load()


def by_hand(root: Path, key: calibration.Key, year: int) -> np.ndarray:
    """Return the half-width of a year of the test from members' hindcasts."""
    run = emulator.open_run(root / "land")
    settings = tiny_settings(split=SPLIT, members=2, **FAST)
    cube = training_cube(settings, root / "tiny-land.zarr")
    found = forecasts.forecast(
        run, cube, forecasts.Subject("nbp", "S2"), years_of(cube.months) == year
    )
    area = cube.area.numpy()
    _, shares = forecasts.bands(cube.grid, cube.cells.numpy(), area)
    spread = calibration.aggregate(found.members, found.months, area, shares)[key]
    lead = np.full(12 if key[1] == "month" else 1, year - 2004)
    return calibration.read(root / "land" / "calibration.json").half_width(
        key,
        spread.std(0, ddof=1),
        lead,
        forecasts.cell_reference(run, "nbp").get(key),
    )


def test_cells_reach_as_far_as_calibrated(root: Path, sink: xr.Dataset) -> None:
    ends = sink["nbp_interval_emulation"]
    assert ends.dims == ("bound", "time", "lat", "lon")
    assert ends["bound"].to_numpy().tolist() == ["lower", "upper"]
    half = (ends[1] - ends[0]) / 2
    middle, mean = ends.mean("bound", skipna=False), sink["nbp_mean"]
    within = {"time": slice(None, "2008")}
    np.testing.assert_allclose(middle.sel(within), mean.sel(within), atol=1e-14)
    expected = by_hand(root, ("cell", "month"), 2006)
    cells = emulator.open_run(root / "land").cells.numpy()
    found = half.sel(time="2006").to_numpy().reshape(12, -1)[:, cells]
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    inside = sink["land_fraction"] > 0
    # Labels end with 2004 and leads with 2008; the forcing goes on for a year.
    assert half.sel(time=slice(None, "2008")).where(inside, 1.0).notnull().all()
    assert half.sel(time="2009").isnull().all()
    assert "fgco2_interval_emulation" not in sink
    assert "had seen no label" in ends.attrs["comment"]
    assert "not to be summed" in ends.attrs["comment"]


@pytest.mark.parametrize("region", ["globe", "north", "tropics"])
@pytest.mark.parametrize("period", ["month", "year"])
def test_totals_have_intervals_of_their_own(
    root: Path, sink: xr.Dataset, region: str, period: str
) -> None:
    total = sink[f"budget_{period}"].sel(flux="nbp", region=region)
    ends = sink[f"budget_{period}_interval_emulation"].sel(flux="nbp", region=region)
    support = "globe" if region == "globe" else "region"
    place = {"globe": 0, "north": 0, "tropics": 1}[region]
    expected = by_hand(root, (support, period), 2007)[:, place]
    when = {"time": "2007"} if period == "month" else {"year": [2007]}
    half = (ends[1] - total).sel(when)
    np.testing.assert_allclose(half, expected, rtol=1e-4)
    np.testing.assert_allclose((total - ends[0]).sel(when), half, rtol=1e-6)
    late = {"time": "2009"} if period == "month" else {"year": [2009]}
    assert ends.sel(late).isnull().all()


def test_twelve_months_reach_as_far_as_the_year_that_ends_with_them(
    sink: xr.Dataset,
) -> None:
    half = sink["budget_12month_half_width"].sel(flux="nbp")
    years = slice(1982, 2008)
    ends = sink["budget_year_interval_emulation"].sel(flux="nbp", year=years)
    december = half.sel(time=half["time"].dt.month == 12).sel(
        time=slice("1982", "2008")
    )
    # float32 maps against float64 networks.
    np.testing.assert_allclose(december, (ends[1] - ends[0]) / 2, rtol=1e-4)
    # Beyond the leads of calendar years, as these.
    assert half.sel(time="2009").isnull().all()
    assert half.sel(time=slice("1982", "2008")).notnull().any("region").all()
    assert half.attrs["nbp_level"] == 0.9
    assert sink["budget_12month_half_width"].sel(flux="fgco2").isnull().all()


def test_sink_adds_the_spread_between_teachers(sink: xr.Dataset) -> None:
    for period in ("month", "year"):
        total = sink[f"budget_{period}"]
        reach = sink[f"budget_{period}_interval_emulation"][1] - total
        wide = sink[f"budget_{period}_interval_sink"][1] - total
        teachers = sink[f"budget_{period}_teacher_std"]
        expected = np.sqrt(reach**2 + (NORMAL * teachers) ** 2)
        np.testing.assert_allclose(wide, expected, rtol=1e-6)
        # The ocean's run is not calibrated.
        assert wide.sel(flux="fgco2").isnull().all()
        assert wide.sel(flux="nbp", region="globe").notnull().any()
    assert "lower bound" in sink["budget_year_interval_sink"].attrs["comment"]
    assert "The ocean run is not calibrated" in sink.attrs["uncertainty"]
    assert "Of the land, *_interval_emulation holds" in sink.attrs["uncertainty"]
    # What `completion` adds is in it, too.
    assert "what the rest of a month that is not over may" in sink.attrs["uncertainty"]


def test_draws_have_the_mean_and_the_spread_of_the_totals(sink: xr.Dataset) -> None:
    drawn, area = sink["nbp_draws"], sink["nbp_draw_area"]
    assert drawn.sizes["draw"] == 50
    months = as_months(drawn["nbp_draw_time"].to_numpy())
    assert (str(months[0]), str(months[-1])) == ("2005-01", "2008-12")
    # 45 degrees are coarser than the draws' 10: the grids are the same.
    mean = sink["nbp_mean"].sel(time=slice("2005", "2008")).to_numpy()
    np.testing.assert_allclose(drawn.mean("draw"), mean, rtol=1e-3, atol=1e-13)
    rates = (drawn.astype("f8") * area).sum(("nbp_draw_lat", "nbp_draw_lon"))
    carbon = rates.to_numpy() * seconds_per_month(months) / 1e12
    totals = carbon.reshape(50, 4, 12).sum(-1)
    budget = sink["budget_year"].sel(flux="nbp", region="globe", year=slice(2005, 2008))
    np.testing.assert_allclose(totals.mean(0), budget, rtol=1e-3, atol=1e-5)
    ends = sink["budget_year_interval_emulation"].sel(
        flux="nbp", region="globe", year=slice(2005, 2008), bound="upper"
    )
    np.testing.assert_allclose(totals.std(0), (ends - budget) / NORMAL, rtol=0.01)


def test_run_without_calibration_has_none(root: Path) -> None:
    run = emulator.open_run(root / "ocean")
    forcing = read_forcing(root / "tiny-ocean.zarr", "ocean", run.forcing_names)
    assert intervals.of_run(root / "ocean", run, ask(run, forcing)) is None


@pytest.mark.parametrize("kept", [slice(0, 30), slice(0, 36), slice(3, 75)])
def test_errors_that_make_no_paths_make_no_draws(root: Path, kept: slice) -> None:
    # No whole years; not more years than regions; years that begin in April.
    run = emulator.open_run(root / "land")
    path = root / "land" / "calibration_errors.npz"
    whole = read_errors(path)
    forcing = read_forcing(root / "tiny-land.zarr", "land", run.forcing_names)
    part = ErrorFields(whole.months[kept], whole.grid, whole.area, whole.errors[kept])
    part.write(path)
    try:
        found = intervals.of_run(root / "land", run, ask(run, forcing))
    finally:
        whole.write(path)
    assert found is not None
    assert "draws" not in found
    assert "interval_half_width" in found


def test_regions_that_hold_not_all_cells_make_no_draws(root: Path) -> None:
    run = emulator.open_run(root / "land")
    path = root / "land" / "calibration.json"
    before = path.read_text()
    content = json.loads(before)
    content["regions"] = ["north", "tropics"]
    for period in ("month", "year"):
        content["factors"][f"region/{period}"]["reference"].pop()
    forcing = read_forcing(root / "tiny-land.zarr", "land", run.forcing_names)
    path.write_text(json.dumps(content))
    try:
        found = intervals.of_run(root / "land", run, ask(run, forcing))
    finally:
        path.write_text(before)
    assert found is not None
    assert found["region"].to_numpy().tolist() == ["globe", "north", "tropics"]
    assert "draws" not in found


# By hand


def test_regridded_reach_is_that_of_the_cells_below() -> None:
    land = with_intervals(prediction("land"), reach=12, half=2e-8)
    found = assemble(land, None, map_grid=10)
    ends = found["nbp_interval_emulation"]
    half = ((ends[1] - ends[0]) / 2).where(found["land_fraction"] > 0)
    np.testing.assert_allclose(half[:12].min(), 2e-8, rtol=1e-3)
    np.testing.assert_allclose(half[:12].max(), 2e-8, rtol=1e-3)
    assert half[12:].isnull().all()


def test_regions_and_years_out_of_reach_are_missing() -> None:
    land = with_intervals(prediction("land"), reach=18, half=0.5)
    found = assemble(land, prediction("ocean", seed=1))
    ends = found["budget_year_interval_emulation"]
    assert ends.dims == ("bound", "flux", "region", "year")
    width = (ends[1] - ends[0]).sel(flux="nbp")
    np.testing.assert_allclose(width.sel(region="globe"), [1.0, np.nan])
    assert width.sel(region="other").isnull().all()
    assert (ends[1] - ends[0]).sel(flux="fgco2").isnull().all()


def test_one_teacher_has_no_interval_of_the_sink() -> None:
    land = with_intervals(prediction("land", teachers=("A",)), reach=24, half=0.5)
    found = assemble(land, None)
    assert found["budget_year_interval_emulation"].sel(region="globe").notnull().all()
    assert found["budget_year_interval_sink"].isnull().all()


def test_maps_without_calibration_have_no_intervals() -> None:
    found = assemble(prediction("land"), None)
    assert not [name for name in found.variables if "interval" in str(name)]
    assert "bound" not in found.dims


def test_netcdf_holds_intervals_of_totals_only() -> None:
    land = with_intervals(prediction("land"), reach=12, half=1e-8)
    small = for_netcdf(assemble(land, None))
    assert "budget_year_interval_sink" in small
    assert small["bound_name"].to_numpy().tolist() == ["lower", "upper"]
    assert not [name for name in small.variables if "_draw" in str(name)]
    assert "nbp_interval_emulation" not in small


def test_attributes_say_what_it_is() -> None:
    land = with_intervals(prediction("land"), reach=12, half=1e-8)
    found = assemble(land, None)
    assert json.loads(land.attrs["intervals"])["level"] == 0.9
    assert "90% interval" in found["nbp_interval_emulation"].attrs["long_name"]
    assert found["nbp_draws"].attrs["units"] == "kg m-2 s-1"
    for name in ("nbp_interval_emulation", "budget_month_interval_sink"):
        kind = found[name].attrs["coverage_content_type"]
        assert kind == "qualityInformation"
