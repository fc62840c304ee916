import io
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

pytest.importorskip(
    "psutil", reason="the benchmarks need psutil: pip install '.[bench]'"
)

from benchmarks import (
    answering,
    demo,
    inputs,
    learning,
    making,
    nights,
    reading,
    report,
    results,
)
from benchmarks.measuring import Cost, Promise, Row, environment, measure
from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.data.computing import DaskSettings
from emulator.learning.checkpoint import checkpoint_paths, load_checkpoint
from emulator.learning.fit import train
from emulator.learning.inference import open_run
from emulator.nightly import intervals, predictions
from tests.learning.runs import small_gru, tiny_data, tiny_settings

COST = Cost(seconds=2.0, memory_mb=100.0, gpu_memory_mb=None)


def row(promise: Promise | None = None) -> Row:
    return Row("prepare it", 2.0, "s", COST, "3 cells", promise)


def test_rows_of_a_tiny_store_are_printed_and_written(
    land_store: Path, tmp_path: Path
) -> None:
    settings = tiny_settings()
    cube, loaded = learning.load_row(settings, land_store)
    fitted = learning.fit_some(settings, cube, 1, tmp_path / "fit")
    rows = [
        loaded,
        learning.gather_row(fitted),
        learning.step_row(fitted),
        learning.pass_row(fitted),
    ]
    run, started = answering.start_row(settings, land_store, tmp_path / "run", "land")
    rows += [started, answering.month_row([(run, land_store)], "cpu", is_demo=False)]

    out = io.StringIO()
    about = environment("cpu")
    report.print_table(rows, about, Console(file=out, width=200))
    path = report.write_json(rows, about, tmp_path / "new" / "rows.json")

    written = json.loads(path.read_text())
    assert written["device"] == "cpu"
    assert written["threads"] >= 1
    assert {"date", "code_version", "torch", "cpu", "gpu"} <= written.keys()
    assert [one["name"] for one in written["rows"]] == [one.name for one in rows]
    assert all(
        one["value"] > 0 and one["cost"]["memory_mb"] > 0 for one in written["rows"]
    )
    assert all(one.name in out.getvalue() for one in rows)
    assert "2 teachers, 1 flux" in loaded.about
    assert "2 of the land" in rows[-1].about


def test_pass_has_the_steps_of_the_sampler(land_store: Path, tmp_path: Path) -> None:
    settings = tiny_settings()
    cube, _ = learning.load_row(settings, land_store)
    fitted = learning.fit_some(settings, cube, 1, tmp_path / "fit")
    steps = fitted.module.materials.sampler.steps_per_pass
    assert learning.pass_row(fitted).value == pytest.approx(steps * fitted.seconds)


def test_network_is_made_wider_and_answers_for_the_forcing_of_its_cells(
    land_store: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(small_gru(memory=2), steps=1, validate_every=1)
    run = train(settings, land_store, tmp_path / "run")
    known = load_checkpoint(checkpoint_paths(run)[0])
    wide = nights.widened(known, 22.5, 3)
    assert wide.teachers == ("ONE-0", "TWO-1", "ONE-2")
    assert wide.cells.numel() == 4 * known.cells.numel()  # cells of 45 degrees
    assert float(wide.area.sum()) == pytest.approx(float(known.area.sum()))
    emulator = open_run(nights.write_members(wide, tmp_path / "wide", 2))
    store = nights.forcing_of(land_store, wide, 2, tmp_path / "forcing.zarr")
    answer = emulator.predict(xr.open_zarr(store))["nbp"]
    there = np.zeros(wide.grid.shape, bool)
    there.ravel()[wide.cells.numpy()] = True
    # Two years, of which the first is memory: windows begin in a January.
    assert answer.sizes["time"] == 12
    # Cells without a label anywhere are outside of what any teacher answers.
    found = answer.notnull().to_numpy()
    assert (found == found[:, :1]).all()
    assert not found[:, :, ~there].any()
    assert found[0, 0].sum() == 4 * int(known.normaliser.labelled[0, 0].sum())
    assert len({member.about["seed"] for member in emulator.members}) == 2


def test_answers_by_reference_are_laid_out_as_those_of_networks(
    land_store: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(small_gru(memory=2), steps=1, validate_every=1)
    run = train(settings, land_store, tmp_path / "run")
    known = load_checkpoint(checkpoint_paths(run)[0])
    fraction = np.zeros(Grid.regular(22.5).shape)
    fraction[2:, :5] = 0.5
    wide = nights.widened(known, 22.5, 3, fraction)
    assert wide.cells.numel() == 6 * 5
    area = wide.grid.cell_area().ravel()[wide.cells.numpy()]
    np.testing.assert_allclose(wide.area, 0.5 * area)
    emulator = open_run(nights.write_members(wide, tmp_path / "wide", 2))
    store = nights.forcing_of(land_store, wide, 3, tmp_path / "forcing.zarr")
    forcing = xr.open_zarr(store)
    wanted = np.arange(36) >= 20
    for asked in (None, wanted):
        quick = nights.answer_by_reference(emulator, forcing, asked)
        slow = predictions.ask(emulator, forcing, asked)
        assert set(quick.variables) == set(slow.variables)
        for name, field in slow.variables.items():
            assert quick[name].dims == field.dims
            assert quick[name].dtype.kind == field.dtype.kind
            assert quick[name].attrs.get("units") == field.attrs.get("units")
        for axis in slow.coords:
            np.testing.assert_array_equal(quick[axis], slow[axis])
        for name in ("nbp", "nbp_emulator_std", "member_mean"):
            np.testing.assert_array_equal(quick[name].isnull(), slow[name].isnull())
        np.testing.assert_allclose(quick["fraction"], slow["fraction"])


def test_calibration_that_is_made_up_gives_intervals_and_draws(
    land_store: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(small_gru(memory=2), steps=1, validate_every=1)
    run = train(settings, land_store, tmp_path / "run")
    known = load_checkpoint(checkpoint_paths(run)[0])
    label = np.datetime64(known.about["last_month"], "M")
    nights.write_calibration(run, 45.0)
    emulator = open_run(run)
    store = nights.forcing_of(land_store, known, 4, tmp_path / "forcing.zarr")
    forcing = xr.open_zarr(store)
    forecast = label + 1 + np.arange(36) - 12
    forcing = forcing.isel(time=slice(0, 36)).assign_coords(
        time=forecast.astype("M8[ns]")
    )
    answer = predictions.ask(emulator, forcing)
    found = intervals.of_run(run, emulator, answer)
    assert found is not None
    assert found["interval_half_width"].notnull().any()
    assert found["draws"].sizes["draw_time"] == 24


def test_first_and_last_nights_are_compared_without_overlap() -> None:
    # Ten nights of warm-up, then fifty and fifty, and forty between them.
    many = [99.0] * 10 + [1.0] * 50 + [50.0] * 40 + [2.0] * 50
    assert nights.ends(many) == (1.0, 2.0)
    assert nights.ends([99.0] * 10 + [1.0, 1.0, 7.0, 2.0, 2.0]) == (1.0, 2.0)
    assert nights.ends([3.0, 4.0]) == (3.0, 4.0)
    assert nights.ends([3.0]) == (3.0, 3.0)


@pytest.mark.slow
def test_nights_are_measured(tmp_path: Path) -> None:
    row = nights.night_row(tmp_path / "night", 15.0, 5)
    assert "10 teachers x 5 networks" in row.about
    assert row.is_kept is None
    small, same = nights.growth_rows(tmp_path / "growth", 4, 5, 30)
    assert 0.9 < small.value < 3
    assert same.value > 0


@pytest.mark.slow
def test_reading_is_measured_against_a_copy(tmp_path: Path) -> None:
    # At 30 degrees both are too small for the ratio to mean anything.
    size = reading.Size(2, 3, ("nbp", "gpp"), 30.0)
    found = reading.rows(tmp_path, size, DaskSettings(workers=1))
    assert [row.unit for row in found] == ["MB per s", "x", "x"]
    assert all(row.value > 0 for row in found)
    assert found[0].cost.memory_mb > 50
    assert "memory < 4000 MB kept" in found[0].about
    (store,) = (tmp_path / "stores").iterdir()
    assert xr.open_zarr(store).sizes["teacher"] == 2


def test_a_plain_copy_holds_the_same_values(tmp_path: Path) -> None:
    size = reading.Size(1, 1, ("nbp",), 30.0)
    source, target = tmp_path / "source.nc", tmp_path / "target.nc"
    reading.write_flux(source, "nbp", size)
    for packed in (True, False):
        reading.copy(source, target, "nbp", packed=packed)
        with xr.open_dataset(source) as one, xr.open_dataset(target) as other:
            xr.testing.assert_equal(one.load(), other.load())
            assert other["nbp"].encoding["zlib"] == packed
            assert other["nbp"].encoding["chunksizes"] == (1, 6, 12)


def test_a_command_is_measured_in_its_folder(tmp_path: Path) -> None:
    work = (
        "import pathlib, time; pathlib.Path('here').touch(); held = b'1' * 2 * 10**8;"
        "end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    )
    spent = demo.spend([sys.executable, "-c", work], tmp_path)
    assert (tmp_path / "here").exists()
    assert spent.code == 0
    assert spent.processor >= 0.2
    assert spent.memory_mb > 200
    assert demo.spend([sys.executable, "-c", "raise SystemExit(3)"], tmp_path).code == 3


def test_demo_is_judged_by_its_clock_and_its_memory() -> None:
    small, large = (demo.Spent(0, 600.0, 900.0, most) for most in (7000.0, 9000.0))
    kept = demo.demo_row(small, is_promised=True)
    assert kept.is_kept is True
    assert "memory < 8000 MB kept" in kept.about
    missed = demo.demo_row(large, is_promised=True)
    assert missed.cost.memory_mb == 9000.0
    assert "memory < 8000 MB missed" in missed.about
    slow = demo.Spent(0, 901.0, 1700.0, 100.0)
    assert demo.demo_row(slow, is_promised=True).is_kept is False
    other = demo.demo_row(slow, is_promised=False)
    assert other.is_kept is None
    assert "8000" not in other.about


def test_promise_is_judged_where_it_is_given() -> None:
    assert row().is_kept is None
    assert row(Promise(1.0, "another store", applies=False)).is_kept is None
    assert row(Promise(3.0, "this store", applies=True)).is_kept is True
    assert row(Promise(2.0, "this store", applies=True)).is_kept is False


def test_promise_stands_beside_the_measured_value() -> None:
    out = io.StringIO()
    kept = row(Promise(120.0, "LPJ-wsl", applies=True))
    report.print_table([kept], {"device": "cpu"}, Console(file=out, width=160))
    line = next(line for line in out.getvalue().splitlines() if "prepare it" in line)
    cells = [cell.strip() for cell in line.strip("│").split("│")]
    assert cells == ["prepare it", "2 s", "< 120 s: LPJ-wsl", "kept", "100", "3 cells"]


def test_measure_returns_the_last_result_and_counts_no_warm_up() -> None:
    calls = []

    def work() -> int:
        calls.append(time.perf_counter())
        return len(calls)

    result, cost = measure(work, "cpu", times=3, warm_ups=2)
    assert result == 5
    assert cost.seconds >= 0
    assert cost.gpu_memory_mb is None


def test_split_of_a_known_store_is_that_of_its_config() -> None:
    settings = inputs.settings_of_run(making.demo_data("land"), "cpu", 1)
    assert settings.split.test == [2014, 2024]
    assert settings.model.fluxes == ["nbp"]


def test_split_of_an_unknown_store_keeps_its_gaps() -> None:
    settings = inputs.settings_of_run(tiny_data(years=[1960, 2010]), "cpu", 1)
    split = settings.split
    assert (split.train, split.validation) == ([1960, 1996], [1991, 1996])
    assert split.test == [2000, 2010]
    split.years(settings.model.memory)
    assert inputs.on_maps(settings).learning.cells_per_batch == 0


def test_store_must_tell_its_settings(land_store: Path) -> None:
    with pytest.raises(SettingsError, match="does not tell the settings"):
        inputs.data_of_store(land_store)


def test_section_of_an_ablation_has_the_first_table_of_each_panel() -> None:
    said = "# name\n\n**Evidence: testbed.** Words.\n\n| variant |\n"
    tables = "\n### nbp: mean\n\n| a |\n\n### nbp: one\n\n| b |\n"
    sweep = results.Sweep("name", "Title", ("learning.steps=1",))
    text = results.sweep_text(sweep, said + tables)
    assert "sink-emulator train -m experiment=name paths=demo learning.steps=1" in text
    assert "'baselines.names=[climatology,trend,ridge]'" in text
    assert "**Evidence: testbed.** Words." in text
    assert "**nbp: mean**\n\n| a |" in text
    assert "| b |" not in text
    both = results.Sweep("name", "Title", second="name_random")
    assert [command[-2] for command in both.commands if command[0] != "evaluate"] == [
        "experiment=name", "experiment=name_random", "sweep=name*",
    ]  # fmt: skip
    panels = "\n## one\n" + tables + "\n## two\n" + tables
    text = results.sweep_text(sweep, said + panels)
    assert "**one, nbp: mean**" in text
    assert "**two, nbp: mean**" in text


def test_section_of_a_run_shows_targets_and_intervals() -> None:
    split = {"train": [1, 2], "validation": [2, 2], "test": [4, 5]}
    share = {"found": 0.8, "low": 0.5, "high": 0.95, "passes": True, "trials": 9}
    scores = {"coverage": {**share, "years": 3}, "by_lead": {}}
    scores |= {"width": 1.0, "interval_score": 2.0, "crps": 3.0}
    intervals = {
        "scores": {"globe/year": scores}, "lightgbm": {}, "level": 0.9,
        "flux": "nbp", "simulation": "S2", "teachers": ["ONE"],
        "calibrated_leads": 6, "calibrated_years": [1, 2], "last_label": "0002-12",
        "about": {"origins": "1"}, "first_month": "0004-01", "last_month": "0005-12",
        "months_out_of_reach": 0,
    }  # fmt: skip
    target = {"quantity": "coverage", "of": "all", "found": "0.8", "wanted": "0.9"}
    card = {
        "split": split, "memory": 36, "members": 3, "fitted_on": "train",
        "code_version": "1", "store_hash": "2", "test_reads": 1, "records": [],
        "targets": [{**target, "reached": False}], "intervals": intervals,
    }  # fmt: skip
    asked = ("origins=[1]",)
    experiment = results.Experiment("x", "Title", "S2", "Note.", calibrate=asked)
    text = results.section_text(experiment, card, ["x-intervals.png"])
    assert "sink-emulator calibrate run=RUN 'origins=[1]'" in text
    assert "| coverage | all | 0.8 | 0.9 | **no** |" in text
    assert "### Intervals of nbp, S2" in text
    assert "| globe, year | 0.80 (0.50 to 0.95) | yes | 9 | 3 | 1 | 2 | 3 | - |" in text
    assert text.endswith("![x-intervals.png](figures/x-intervals.png)\n")
    never = results.section_text(
        results.Experiment("x", "Title", "S2", "Note."), {**card, "intervals": None}, []
    )
    assert "calibrate" not in never
    assert "Intervals" not in never
