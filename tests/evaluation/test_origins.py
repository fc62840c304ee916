"""Rolling origins on the tiny Earth: what is learned, forecast and written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import month_range, years_of
from emulator.data.stores import write_store
from emulator.evaluation import calibration, forecasts, origins
from emulator.evaluation.error_fields import read_errors
from emulator.evaluation.forecasts import Forecast, Subject
from emulator.evaluation.settings import CalibrateSettings
from emulator.learning.checkpoint import load_checkpoint
from emulator.learning.fit import train, training_cube
from emulator.learning.inference import load_emulator
from emulator.learning.settings import SplitSettings
from emulator.learning.weak_settings import WeakSettings
from tests.learning.runs import small_gru, tiny_settings
from tests.worlds import tiny_store, tiny_world

SPLIT = SplitSettings([1980, 2004], [2001, 2001], [2006, 2008])
QUICK = {"steps": 6, "validate_every": 3, "members": 2}
ORIGINS = [1991, 1994, 1997, 2000]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_store(tmp_path_factory.mktemp("long"), first=1980)


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with two members, calibrated."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_settings(split=SPLIT, **QUICK), store, folder)
    calibrate(folder, store)
    return folder


def calibrate(run: Path, store: Path, **changes: object) -> Path:
    values: dict = {"run": str(run), "store": str(store), "origins": ORIGINS}
    values["leads"] = 3
    return origins.calibrate_run(CalibrateSettings(**values | changes))


# Which origins


def test_origins_are_found_backwards_from_the_last_year() -> None:
    years = np.arange(1950, 2011)
    found = origins.plan_origins(years, [], 3, 0.9)
    # Seven forecasts of three years are the first that give twenty.
    assert found == (1989, 1992, 1995, 1998, 2001, 2004, 2007)
    assert origins.plan_origins(years, [], 10, 0.9) == (1990, 2000)


def test_origins_do_not_begin_before_half_of_the_years() -> None:
    # The middle of 23 years is 1996; 1995 would be next.
    found = origins.plan_origins(np.arange(1985, 2008), [], 3, 0.9)
    assert found == (1998, 2001, 2004)


def test_no_origin_and_no_truth_in_test_years() -> None:
    years = np.setdiff1d(np.arange(1950, 2011), np.arange(1995, 2000))
    found = origins.plan_origins(years, [], 3, 0.9)
    assert found == (1983, 1986, 1989, 1992, 2001, 2004, 2007)
    np.testing.assert_array_equal(origins.truth_years(years, 1993, 3), [1994])


def test_intervals_reach_test_years_behind_the_gap() -> None:
    # Labels end in 1994, three years of memory follow: 1998 is the fourth year after.
    assert origins.leads_to_test([1998, 2012], 1994) == 6
    assert origins.leads_to_test([1998, 1998], 1994) == 4
    # Test years inside the record, or right after it.
    assert origins.leads_to_test([1998, 2012], 2020) == 3
    assert origins.leads_to_test([2006, 2006], 2005) == 3


def test_asked_origins_are_sorted_and_checked() -> None:
    years = np.arange(1980, 2001)
    assert origins.plan_origins(years, [1996, 1990, 1996], 6, 0.9) == (1990, 1996)
    for bad in (1970, 1983, 2000, 2010):
        with pytest.raises(SettingsError, match=rf"origins has {bad}, with"):
            origins.plan_origins(years, [1990, bad], 6, 0.9)


def test_too_few_years_are_refused_before_anything_is_fitted() -> None:
    years = np.arange(1980, 2001)
    message = r"2 origins with 4 years each give 8 years of errors, but a 90% .* 9"
    with pytest.raises(SettingsError, match=message):
        origins.plan_origins(years, [1988, 1992], 4, 0.9)
    assert origins.plan_origins(years, [1988, 1992], 4, 0.8) == (1988, 1992)
    with pytest.raises(SettingsError, match=r"0 origins .* within none"):
        origins.plan_origins(years[:0], [], 3, 0.9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run": ""}, "calibrate needs a run: give run=RUN"),
        ({"leads": 0}, "leads is 0"),
        ({"level": 90}, "level is 90, but must lie between 0 and 1"),
        ({"coarse_step": 7.0}, "coarse_step is 7, but must divide 180"),
        ({"coarse_step": 0.0}, "coarse_step is 0"),
    ],
)
def test_settings_are_checked(change: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        CalibrateSettings(**{"run": "run"} | change)


# The command


def test_intervals_reach_test_years_by_default(store: Path, tmp_path: Path) -> None:
    # The last label is of 2004, and a memory of 3 months hides 2005: 2008 is the third
    # test year.
    train(tiny_settings(split=SPLIT, **QUICK), store, tmp_path / "run")
    calibrate(tmp_path / "run", store, leads=None)
    assert calibration.read(tmp_path / "run" / "calibration.json").leads == 4


def test_calibration_says_what_it_rests_on(run: Path) -> None:
    found = calibration.read(run / "calibration.json")
    assert found.level == 0.9
    assert found.leads == 3
    assert found.years == tuple(range(1992, 2004))
    assert found.regions == ("north", "tropics", "south")
    assert set(found.factors) == set(calibration.KEYS)
    assert found.about["flux"] == "nbp"
    assert found.about["simulation"] == "S2"
    assert found.about["teachers"] == "ONE, TWO"
    assert found.about["origins"] == "1991, 1994, 1997, 2000"
    assert found.about["members"] == "2"
    assert found.about["checkpoint"] == load_emulator(run).sha256


def test_members_of_an_origin_saw_labels_up_to_it_only(run: Path) -> None:
    for origin in ORIGINS:
        for seed in (0, 1):
            path = f"origins/{origin}/members/{seed}/emulator.pt"
            found = load_checkpoint(run / path)
            chosen = load_checkpoint(run / f"members/{seed}/emulator.pt")
            assert found.about["last_month"] == f"{origin}-12"
            assert found.about["step"] == chosen.about["step"]


def test_members_of_an_origin_saw_weak_labels_up_to_it_only(tmp_path: Path) -> None:
    # One teacher: of two, the years with labels of both would be too few.
    world = tiny_world(first=1980).isel(teacher=[0])
    store = write_store(world, tmp_path / "tiny.zarr")
    weak = {"label_fraction": 0.7, "labels_withheld": "random"}
    weak["weak"] = WeakSettings(weight=0.1)
    train(tiny_settings(split=SPLIT, **QUICK | weak), store, tmp_path / "run")
    calibrate(tmp_path / "run", store, origins=[1991, 1997], leads=6, level=0.8)
    seen = {}
    for name in ("members/0", "origins/1991/members/0", "origins/1997/members/0"):
        about = load_checkpoint(tmp_path / "run" / name / "emulator.pt").about
        seen[name[:12]] = about["weak_years"]["S2"]
    every = seen["members/0"]
    assert seen["origins/1991"] == [year for year in every if year <= 1991]
    assert seen["origins/1997"] == [year for year in every if year <= 1997]
    assert 0 < len(seen["origins/1991"]) < len(seen["origins/1997"]) < len(every)


def test_teachers_without_a_year_in_common_are_refused_before_any_fit(
    store: Path, tmp_path: Path
) -> None:
    quick = {"split": SPLIT, "steps": 2, "validate_every": 2}
    weak = {"label_fraction": 0.7, "labels_withheld": "random"}
    run = train(tiny_settings(**quick | weak), store, tmp_path / "random")
    with pytest.raises(SettingsError, match="=random left each of the 2 teachers othe"):
        calibrate(run, store)
    assert not (run / "origins").exists()

    world = tiny_world(first=1980).load()
    for teacher, year in ((0, "1985"), (1, "1986")):
        lacking = {"time": year, "teacher": world["teacher"][teacher]}
        world["nbp"].loc[lacking] = np.nan
    holed = write_store(world, tmp_path / "holed.zarr")
    run = train(tiny_settings(**quick), holed, tmp_path / "holed")
    with pytest.raises(SettingsError, match="all months up to the first origin"):
        calibrate(run, holed)
    assert not (run / "origins").exists()


def test_factors_follow_from_the_errors_of_the_origins(run: Path, store: Path) -> None:
    # By hand for the globe and years: all leads pooled, (12 + 1) x 0.9 = 11.7, so the
    # factor is the largest of 12 |error| / scale.
    found = calibration.read(run / "calibration.json").factors["globe", "year"]
    cube = training_cube(tiny_settings(split=SPLIT, **QUICK), store)
    scores = []
    for origin in ORIGINS:
        emulator = load_emulator(run / "origins" / str(origin))
        years = years_of(cube.months)
        each = forecasts.forecast(
            emulator,
            cube,
            Subject("nbp", "S2"),
            (years > origin) & (years <= origin + 3),
        )
        area = cube.area.numpy()
        totals = calibration.aggregate(
            np.concatenate([each.members, each.truth[None]]),
            each.months,
            area,
            np.ones((1, area.size)),
        )["globe", "year"][..., 0]
        spread = np.maximum(totals[:2].std(0, ddof=1), 0.3 * found.reference[0])
        scores.append(np.abs(totals[2] - totals[:2].mean(0)) / spread)
    assert found.values == ((pytest.approx(np.max(scores), rel=1e-5),),)
    assert found.years == 12


def test_error_fields_sum_to_the_error_of_the_globe(run: Path, store: Path) -> None:
    fields = read_errors(run / "calibration_errors.npz")
    np.testing.assert_array_equal(fields.months, month_range("1992-01", "2003-12"))
    # 45 degrees are coarser than 10: the run's own grid.
    assert fields.grid.shape == (4, 8)
    assert fields.errors.dtype == np.float32
    total = (np.nan_to_num(fields.errors) * fields.area).sum(axis=(1, 2))
    cube = training_cube(tiny_settings(split=SPLIT, **QUICK), store)
    emulator = load_emulator(run / "origins" / "1997")
    wanted = years_of(cube.months) == 1999
    each = forecasts.forecast(emulator, cube, Subject("nbp", "S2"), wanted)
    expected = (each.truth - each.members.mean(0)) @ cube.area.numpy()
    np.testing.assert_allclose(total[84:96], expected, rtol=1e-5)


def test_finished_origins_are_found(run: Path, store: Path) -> None:
    written = {path: path.stat().st_mtime_ns for path in run.rglob("emulator.pt")}
    before = json.loads((run / "calibration.json").read_text())
    assert calibrate(run, store) == run / "calibration.json"
    assert json.loads((run / "calibration.json").read_text()) == before
    assert {path: path.stat().st_mtime_ns for path in run.rglob("emulator.pt")} == (
        written
    )


def test_truth_of_test_years_changes_nothing(run: Path, tmp_path: Path) -> None:
    world = tiny_world(first=1980)
    late = world["time"].dt.year >= 2006
    world["nbp"] = world["nbp"].where(~late, 1e3 * world["nbp"])
    world["nbp"].attrs["units"] = "kg m-2 s-1"
    other = write_store(world, tmp_path / "other.zarr")
    before = (run / "calibration.json").read_text()
    calibrate(run, other)
    assert (run / "calibration.json").read_text() == before


def test_hidden_cells_do_not_count(store: Path, tmp_path: Path) -> None:
    split = SplitSettings(
        SPLIT.train, SPLIT.validation, SPLIT.test, "box:0/90/-180/-100", 1.0
    )
    settings = tiny_settings(
        small_gru(label_climatology="none"), split=split, steps=2, validate_every=2
    )
    folder = train(settings, store, tmp_path / "held")
    calibrate(folder, store, origins=[1997, 2000], level=0.8)
    area = read_errors(folder / "calibration_errors.npz").area
    assert not area[2:, :2].any()
    assert area[2:, 2:4].all()


def test_runs_without_a_net_flux_are_refused(store: Path, tmp_path: Path) -> None:
    model = small_gru(fluxes=["gpp"])
    settings = tiny_settings(model, split=SPLIT, steps=2, validate_every=2)
    settings.data.fluxes = ["nbp", "gpp"]
    folder = train(settings, store, tmp_path / "gpp")
    with pytest.raises(SettingsError, match="the run learned gpp of S0, S1, S2"):
        calibrate(folder, store)


# Error fields


def test_coarse_fields_keep_totals_and_take_the_latest_origin(store: Path) -> None:
    grid = Grid.regular(5.0)
    cells = np.arange(grid.shape[0] * grid.shape[1])
    cube = replace(
        training_cube(tiny_settings(), store),
        grid=grid,
        cells=torch.from_numpy(cells),
        area=torch.from_numpy(0.5 * grid.cell_area().ravel()),
    )
    generator = np.random.default_rng(0)
    months = month_range("2001-01", "2001-02")
    truth = generator.normal(size=(2, cells.size))
    early = Forecast(months, np.zeros((1, 2, cells.size)), 0 * truth, ("a",))
    late = Forecast(months[1:], np.zeros((2, 1, cells.size)), truth[1:], ("a",))
    inside = generator.random(cells.size) < 0.7
    found = origins.coarse_errors({1999: early, 2000: late}, cube, inside, 10.0)
    assert found.grid.shape == (18, 36)
    totals = (np.nan_to_num(found.errors) * found.area).sum(axis=(1, 2))
    expected = (truth[1] * cube.area.numpy())[inside].sum()
    np.testing.assert_allclose(totals, [0.0, expected], rtol=1e-5)
