"""Training on a tiny Earth with a known law, end to end."""

import csv
import dataclasses
import errno
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import pytest
import torch
import xarray as xr

from emulator.carbon.errors import SettingsError
from emulator.data.stores import write_store
from emulator.learning.checkpoint import load_checkpoint
from emulator.learning.fit import refit, train, training_cube
from emulator.learning.inference import hindcast
from emulator.learning.settings import (
    LearningSettings,
    MachineSettings,
    SplitSettings,
    TrainSettings,
)
from emulator.learning.training import EmulatorTraining, rate_factor
from emulator.models import (
    ModelSettings,
    PointwiseSettings,
    RecurrentSettings,
    SinknetSettings,
    UnetSettings,
)
from tests.learning.runs import small_gru, tiny_data, tiny_settings
from tests.worlds import tiny_world


def r2_of_test_years(run: Path, store: Path, flux: str = "nbp") -> float:
    """Return 1 - MSE / variance over all cells, months, teachers and simulations."""
    found = hindcast(run, store, years=(2006, 2008))[flux]
    truth = xr.open_zarr(store)[flux].to_numpy()
    truth = truth.reshape(*truth.shape[:3], -1)[..., found["cell"].to_numpy()]
    test = np.isin(found["time"].dt.year, [2006, 2007, 2008])
    predicted, truth = found.to_numpy()[:, :, test], truth[:, :, test]
    there = np.isfinite(truth)
    assert np.isfinite(predicted[there]).all()
    wrong = (predicted - truth)[there]
    return float(1 - np.square(wrong).mean() / truth[there].var())


@pytest.mark.parametrize(
    ("model", "learning"),
    [
        (small_gru(), {}),
        (
            RecurrentSettings(
                memory=3, width=16, encoder="tcn", kernel=2, dilations=[1, 2]
            ),
            {"annual_weight": 0.1, "regional_weight": 0.1},
        ),
        (UnetSettings(memory=3, widths=[16], lags=[0, 1], means=[]), {}),
        (SinknetSettings(memory=3, width=16, map_widths=[8], map_kernel=3), {}),
    ],
)
def test_networks_with_memory_learn_the_law(
    land_store: Path, tmp_path: Path, model: ModelSettings, learning: dict[str, Any]
) -> None:
    run = train(tiny_settings(model, **learning), land_store, tmp_path / "run")
    assert r2_of_test_years(run, land_store) > 0.9


def test_network_without_memory_cannot_know_last_month(
    land_store: Path, tmp_path: Path
) -> None:
    run = train(
        tiny_settings(PointwiseSettings(), steps=100), land_store, tmp_path / "run"
    )
    assert r2_of_test_years(run, land_store) < 0.9


def test_ocean_needs_one_of_the_forcing_variables(
    ocean_store: Path, tmp_path: Path
) -> None:
    model = small_gru(forcing=["tosforc"], label_climatology="co2")
    settings = tiny_settings(model, data=tiny_data("ocean"), cells_per_batch=4)
    run = train(settings, ocean_store, tmp_path / "run")
    assert r2_of_test_years(run, ocean_store, "fgco2") > 0.9


def test_run_holds_what_the_design_says(land_store: Path, tmp_path: Path) -> None:
    settings = tiny_settings(steps=6, validate_every=2, members=2, seed=3)
    run = train(settings, land_store, tmp_path / "run")
    files = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert files == {
        "settings.yaml",
        "metrics.csv",
        *(
            f"members/{seed}/{name}"
            for seed in (3, 4)
            for name in ("emulator.pt", "last.ckpt")
        ),
    }
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["member"], row["step"]) for row in rows] == [
        (str(seed), str(step)) for seed in (3, 4) for step in (2, 4, 6)
    ]
    assert all(float(row["validation_cells"]) > 0 for row in rows)
    one, two = (load_checkpoint(run / f"members/{seed}/emulator.pt") for seed in (3, 4))
    assert one.about["seed"] == 3
    assert one.about["evidence"] == "testbed"
    assert one.about["first_month"] == "1990-01"
    assert one.about["last_month"] == "2004-12"
    assert not torch.equal(*(m.weights["leave.weight"] for m in (one, two)))


def test_a_full_disk_leaves_no_part_of_a_checkpoint(
    land_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(_: lightning.Trainer, path: Path) -> None:
        path.write_bytes(b"the beginning")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lightning.Trainer, "save_checkpoint", fill)
    with pytest.raises(OSError, match="No space left"):
        train(tiny_settings(steps=2), land_store, tmp_path / "run")
    assert not list(tmp_path.rglob("last.*"))


def test_same_seed_gives_the_same_network(land_store: Path, tmp_path: Path) -> None:
    weights = [
        load_checkpoint(
            train(tiny_settings(steps=5), land_store, tmp_path / name)
            / "members/0/emulator.pt"
        ).weights
        for name in ("one", "two")
    ]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])


def test_test_years_are_never_seen(tmp_path: Path) -> None:
    # Labels and weather of the test years are replaced: nothing may change. (S0 and
    # S1 saw only early weather.)
    worlds = []
    for name in ("one", "two"):
        world = tiny_world()
        if name == "two":
            late = world["time"].dt.year >= 2006
            world["nbp"] = world["nbp"].where(~late, 1e3 * world["nbp"])
            late_weather = world["weather_time"].dt.year >= 2006
            world["tas"] = world["tas"].where(~late_weather, 400.0)
            world["tas"].attrs["units"] = "K"
            world["nbp"].attrs["units"] = "kg m-2 s-1"
        worlds.append(write_store(world, tmp_path / f"{name}.zarr"))
    settings = tiny_settings(steps=20, validate_every=10, refit=True)
    weights = [
        load_checkpoint(
            train(settings, store, tmp_path / store.stem) / "members/0/emulator.pt"
        ).weights
        for store in worlds
    ]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])


def test_early_stopping_keeps_the_best(land_store: Path, tmp_path: Path) -> None:
    # A rate far too high from the start: the first weights stay the best for long.
    settings = tiny_settings(
        steps=200, validate_every=2, patience=3, peak_rate=1.0, warmup_steps=0
    )
    run = train(settings, land_store, tmp_path / "run")
    with (run / "metrics.csv").open() as file:
        scores = [float(row["validation_cells"]) for row in csv.DictReader(file)]
    best = int(np.argmin(scores))
    assert len(scores) == best + 4 < 100
    checkpoint = load_checkpoint(run / "members/0/emulator.pt")
    assert checkpoint.about["step"] == 2 * (best + 1)
    assert checkpoint.about["validation_score"] == pytest.approx(scores[best], rel=1e-4)


def test_contrast_draws_simulations_together(land_store: Path, tmp_path: Path) -> None:
    settings = tiny_settings(
        steps=100,
        simulations=["S0", "S1"],
        contrast=["S1", "S0"],
        samples_per_batch=2,
        peak_rate=3e-3,
    )
    path = train(settings, land_store, tmp_path / "run")
    with (path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["gradient_contrast"]) > 0
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])


def test_refit_learns_from_validation_years_too(
    land_store: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(steps=6, validate_every=3, refit=True)
    run = train(settings, land_store, tmp_path / "run")
    with (run / "metrics.csv").open() as file:
        stages = [row["stage"] for row in csv.DictReader(file)]
    assert stages[:2] == ["choose", "choose"]
    assert set(stages[2:]) == {"refit"}
    checkpoint = load_checkpoint(run / "members/0/emulator.pt")
    assert checkpoint.about["fitted_on"] == "train and validation"
    assert checkpoint.about["validation_score"] < 10


def test_members_learn_anew_from_early_years_alone(tmp_path: Path) -> None:
    settings = tiny_settings(steps=4, validate_every=2)
    weights = []
    for name, later in (("clean", 1.0), ("spoiled", np.nan)):
        world = tiny_world()
        early = world["time"].dt.year < 2000
        world["nbp"] = world["nbp"].where(early, later * world["nbp"])
        world["nbp"].attrs["units"] = "kg m-2 s-1"
        store = write_store(world, tmp_path / f"{name}.zarr")
        cube = training_cube(settings, store)
        folder = tmp_path / name
        years = np.arange(1990, 2000)
        assert refit(settings, cube, store, years, {0: 4, 1: 2}, folder) == folder
        found = [
            load_checkpoint(folder / "members" / str(seed) / "emulator.pt")
            for seed in (0, 1)
        ]
        assert [each.about["step"] for each in found] == [4, 2]
        assert found[0].about["last_month"] == "1999-12"
        assert found[0].about["fitted_on"] == "labels of 1990 to 1999"
        weights.append(found[0].weights)
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])
    # Finished members are found: not even the years are looked at.
    written = (folder / "members" / "0" / "emulator.pt").stat().st_mtime_ns
    refit(settings, cube, store, np.arange(1990, 1992), {0: 4}, folder)
    assert (folder / "members" / "0" / "emulator.pt").stat().st_mtime_ns == written


def test_annual_selection_changes_the_score(land_store: Path, tmp_path: Path) -> None:
    runs = [
        train(
            tiny_settings(steps=4, validate_every=4, selection_annual=weight),
            land_store,
            tmp_path / str(weight),
        )
        for weight in (0.0, 1.0)
    ]
    with (runs[1] / "metrics.csv").open() as file:
        row = next(csv.DictReader(file))
    scores = [
        load_checkpoint(run / "members/0/emulator.pt").about["validation_score"]
        for run in runs
    ]
    assert scores[0] == pytest.approx(float(row["validation_cells"]), rel=1e-4)
    assert scores[1] - scores[0] == pytest.approx(
        float(row["validation_annual"]), rel=1e-3
    )


def test_fewer_labels_and_simulations_change_the_network(
    land_store: Path, tmp_path: Path
) -> None:
    weights = []
    for learning in ({}, {"label_fraction": 0.2}, {"simulations": ["S2"]}):
        settings = tiny_settings(steps=3, name=f"r{len(weights)}", **learning)
        run = train(settings, land_store, tmp_path / settings.name)
        checkpoint = load_checkpoint(run / "members/0/emulator.pt")
        weights.append(checkpoint.weights["leave.weight"])
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert checkpoint.simulations == ("S2",)
    # What was learned from S2 answers for all that the store holds.
    assert hindcast(run, land_store).sizes["simulation"] == 3


def test_held_out_region_is_predicted_but_not_learned(
    land_store: Path, tmp_path: Path
) -> None:
    split = SplitSettings(
        [1990, 2004], [2001, 2001], [2006, 2008], "box:0/90/-180/-100", buffer=1.0
    )
    model = small_gru(label_climatology="none")
    settings = tiny_settings(model, split=split, aligned=False)
    run = train(settings, land_store, tmp_path / "run")
    found = hindcast(run, land_store, years=(2006, 2008))["nbp"]
    inside = (found["lat"] > 0) & (found["lon"] < -100)
    assert inside.any()
    assert found.isel(time=-13).sel(simulation="S2")[:, inside].notnull().all()
    assert r2_of_test_years(run, land_store) > 0.8


def test_bf16_rounds_what_is_learned(land_store: Path, tmp_path: Path) -> None:
    losses = {}
    for precision in ("32", "bf16"):
        settings = tiny_settings(steps=5)
        settings.machine = MachineSettings(precision=precision, threads=1)
        run = train(settings, land_store, tmp_path / precision)
        with (run / "metrics.csv").open() as file:
            (row,) = csv.DictReader(file)
        losses[precision] = float(row["train_loss"])
    # Eight bits of a mantissa are good for 0.4 % of each product.
    assert losses["bf16"] != losses["32"]
    assert losses["bf16"] == pytest.approx(losses["32"], rel=0.02)


def test_progress_is_shown_on_a_terminal_and_never_among_the_results(
    land_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for is_terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda shown=is_terminal: shown)
        train(tiny_settings(steps=3), land_store, tmp_path / str(is_terminal))
        out, err = capsys.readouterr()
        # stdout belongs to the path of the run: run=$(sink-emulator train ...).
        assert out == ""
        assert ("3/3" in err) == is_terminal


def single_weight(value: float, **learning: Any) -> EmulatorTraining:
    """Return the training of one weight, without data."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, value)
    work: Any = SimpleNamespace(settings=LearningSettings(**learning))
    return EmulatorTraining(network, work)


def test_running_mean_forgets_the_first_weights_soon_by_hand() -> None:
    module = single_weight(0.0, ema_decay=0.9)
    torch.nn.init.ones_(module.network.weight)
    # After step 1 (1 + 1) / (10 + 1) of the mean, which is 0, is kept.
    module._follow(1)
    assert float(module.average.weight) == pytest.approx(1 - 2 / 11)
    # After step 1000 that would be 0.99, so that 0.9 is.
    module._follow(1000)
    assert float(module.average.weight) == pytest.approx(1 - 0.9 * 2 / 11)


def test_weights_decay_apart_from_the_gradient() -> None:
    module = single_weight(1.0, peak_rate=0.1, weight_decay=0.5, warmup_steps=0)
    adam: Any = module.configure_optimizers()
    module.network.weight.grad = torch.zeros(1, 1)
    adam["optimizer"].step()
    # AdamW: 1 - rate x decay. Plain Adam would make a step of the rate, to 0.9.
    assert module.network.weight.item() == pytest.approx(1 - 0.1 * 0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_learns_the_law(land_store: Path, tmp_path: Path) -> None:
    settings = tiny_settings()
    settings.machine = MachineSettings(accelerator="gpu", precision="bf16")
    run = train(settings, land_store, tmp_path / "run")
    assert r2_of_test_years(run, land_store) > 0.9


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_missing_gpu_is_said(land_store: Path, tmp_path: Path) -> None:
    settings = tiny_settings(steps=5)
    settings.machine = MachineSettings(accelerator="gpu")
    with pytest.raises(SettingsError, match=r"'gpu', but torch finds none"):
        train(settings, land_store, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": small_gru(fluxes=["ra"])}, r"model.fluxes asks for \['ra'\], but"),
        ({"model": small_gru(forcing=["vpd"])}, r"model.forcing asks for \['vpd'\]"),
        ({"simulations": ["S3"]}, r"learning.simulations asks for \['S3'\], but the"),
        (
            {"split": SplitSettings([1985, 1988], [1992, 1992], [2006, 2008])},
            r"No training month is left: split.train \[1985, 1988\]",
        ),
        (
            {"split": SplitSettings([1990, 2004], [2015, 2015], [2006, 2008])},
            r"No validation month is left: split.validation \[2015, 2015\]",
        ),
        (
            {"contrast": ["S1", "S0"], "simulations": ["S1", "S2"]},
            r"not every window has labels of the same simulations .* leave it empty",
        ),
        (
            {
                "contrast": ["S2", "S0"],
                "split": SplitSettings([1996, 2004], [2001, 2001], [2006, 2008]),
            },
            r"\['S2', 'S0'\], but they did not see the same weather",
        ),
        (
            {"peak_rate": 1e30, "warmup_steps": 0, "gradient_clip": 0.0},
            r"The loss is nan before step 50: training diverged. Lower learning.peak_"
            r"rate \(1e\+30\), or raise .*_steps \(0\), or set .*_clip, which is off",
        ),
        (
            # The loss of the only step is that of the first weights, and finite.
            {"steps": 1, "peak_rate": 1e30, "warmup_steps": 0},
            r"No validation up to step 1 gave a score: training diverged. Lower "
            r".*warmup_steps \(0\)\.$",
        ),
    ],
)
def test_impossible_runs_say_why(
    land_store: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    settings = tiny_settings(**{"validate_every": 50} | changes)
    with pytest.raises(SettingsError, match=message):
        train(settings, land_store, tmp_path / "run")


def test_a_choice_by_annual_totals_needs_a_whole_year(tmp_path: Path) -> None:
    world = tiny_world("land")
    june = world["time"].to_numpy() == np.datetime64("2001-06-01")
    world["nbp"] = world["nbp"].where(~xr.DataArray(june, dims="time"))
    store = write_store(world, tmp_path / "holes.zarr")
    settings = tiny_settings(steps=2, validate_every=2, selection_annual=1.0)
    with pytest.raises(SettingsError, match=r"selection_annual is 1.0, but no year of"):
        train(settings, store, tmp_path / "run")


def test_unwritable_folder_is_said(land_store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"cannot be written: Not a directory"):
        train(tiny_settings(steps=1), land_store, tmp_path / "file" / "run")


def test_rate_rises_and_falls() -> None:
    factors = [rate_factor(step, 4, 12) for step in range(13)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4] == 1.0
    assert factors[8] == pytest.approx(0.5)
    assert factors[12] == pytest.approx(0.0)
    assert rate_factor(0, 0, 0) == 1.0


def test_settings_of_the_run_are_not_changed(land_store: Path, tmp_path: Path) -> None:
    settings = tiny_settings(steps=2)
    before: TrainSettings = dataclasses.replace(settings)
    train(settings, land_store, tmp_path / "run")
    assert settings == before
