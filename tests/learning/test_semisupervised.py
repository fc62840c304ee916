"""The mean teacher: its weights, its term, and that it leaves everything else alone."""

import csv
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from emulator.carbon.errors import SettingsError
from emulator.data.stores import write_store
from emulator.learning import training
from emulator.learning.batch import TrainingData, inputs_of_cube
from emulator.learning.checkpoint import Checkpoint, load_checkpoint
from emulator.learning.fit import train
from emulator.learning.forcing_errors import (
    ForcingErrors,
    ForcingErrorSettings,
    fit_forcing_errors,
)
from emulator.learning.normalise import fit_normaliser
from emulator.learning.sampler import Sampler
from emulator.learning.semisupervised import ConsistencySettings, MeanTeacher, ramp
from emulator.learning.training import EmulatorTraining
from emulator.models import RecurrentSettings
from tests.learning.cubes import chosen_years, small_cube
from tests.learning.runs import small_gru, tiny_settings
from tests.worlds import tiny_world

MEMORY, MONTHS = 2, 12
PRODUCTS = {"spread": {"tas": 0.5}, "share": {"pr": 0.2}}


class Answer(nn.Module):
    """``gain`` times the first forcing channel of each answered month."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, forcing: Tensor, _: Tensor, __: Tensor) -> Tensor:
        return self.gain * forcing[:, MEMORY:, :1]


def world(errors: float, **said: Any) -> tuple[MeanTeacher, TrainingData]:
    """Return the term of windows of whole maps, with errors of one size in all."""
    cube = small_cube()
    chosen = chosen_years(cube, 2001, 2003)
    model = RecurrentSettings(memory=MEMORY, forcing_channels="anomaly")
    normaliser = fit_normaliser(cube, chosen, model)
    fitted = fit_forcing_errors(
        ForcingErrorSettings(spread={"tas": 1.0, "pr": 1.0}), cube, normaliser
    )
    data = TrainingData(
        inputs_of_cube(cube, normaliser),
        normaliser,
        cube.labels,
        torch.from_numpy(chosen),
        torch.tensor([[[1.0, 2.0, 0.0]]]),
    )
    sampler = Sampler(
        np.array([[0, 0, 24], [1, 0, 36], [1, 0, 60]]),
        np.arange(3),
        samples=3,
        cells_per_sample=0,
        seed=5,
    )
    size: ForcingErrors = replace(fitted, size=torch.full_like(fitted.size, errors))
    counts = torch.ones(2, 72, dtype=torch.bool)
    settings = ConsistencySettings(**{"weight": 0.5, "ramp_steps": 0} | said)
    return MeanTeacher(settings, sampler, counts, data.weight, size), data


def term(
    teacher: MeanTeacher, data: TrainingData, gains: tuple[float, float], step: int = 0
) -> Tensor:
    student, mean = (Answer(gain) for gain in gains)
    return teacher.term(student, mean, data, step, MEMORY, MONTHS).detach()


def test_term_is_zero_for_the_same_network_and_forcing() -> None:
    assert float(term(*world(errors=0.0), (0.7, 0.7))) == 0.0


def test_term_is_the_weighted_squared_difference_of_answers() -> None:
    # (0.7 f - 0.4 f)^2, the cells weighted as 1 : 2 : 0, times the weight of 0.5.
    teacher, data = world(errors=0.0)
    found = term(teacher, data, (0.7, 0.4))
    seen = [
        data.inputs.weather[data.inputs.sequence[run, first : first + 12], :, 0]
        for run, first in ((0, 24), (1, 36), (1, 60))
    ]
    squared = (0.3 * torch.stack(seen)).square().mean(dim=(0, 1))
    expected = 0.5 * (squared[0] + 2 * squared[1]) / 3
    torch.testing.assert_close(found, expected)


def test_errors_of_forcing_are_what_the_student_alone_sees() -> None:
    # The student answers 2 (f + e), its mean 2 f: the square is 4 e^2 on average.
    teacher, data = world(errors=0.1)
    found = [float(term(teacher, data, (2.0, 2.0), step)) for step in range(200)]
    assert np.mean(found) == pytest.approx(0.5 * 4 * 0.1**2, rel=0.1)
    again = float(term(teacher, data, (2.0, 2.0), 7))
    assert again == found[7]
    assert len(set(found)) == len(found)


def test_only_the_student_learns() -> None:
    teacher, data = world(errors=0.1)
    student, mean = Answer(1.0), Answer(0.5)
    teacher.term(student, mean, data, 0, MEMORY, MONTHS).backward()
    assert student.gain.grad is not None
    assert float(student.gain.grad) > 0
    assert mean.gain.grad is None


def test_months_that_do_not_count_are_left_out() -> None:
    teacher, data = world(errors=0.0)
    counts = torch.zeros_like(teacher.counts)
    assert float(term(replace(teacher, counts=counts), data, (1.0, 0.0))) == 0.0
    counts[1, 40] = True
    found = term(replace(teacher, counts=counts), data, (1.0, 0.0))
    squared = data.inputs.weather[data.inputs.sequence[1, 40], :, 0].square()
    torch.testing.assert_close(found, 0.5 * (squared[0] + 2 * squared[1]) / 3)


def test_a_window_may_reach_beyond_the_axis() -> None:
    teacher, data = world(errors=0.1)
    late = Sampler(
        np.array([[1, 0, 66]]), np.arange(3), samples=1, cells_per_sample=0, seed=5
    )
    teacher = replace(teacher, sampler=late, errors=replace(teacher.errors, scale=1.0))
    found = term(replace(teacher, errors=_none(teacher.errors)), data, (1.0, 0.0))
    squared = data.inputs.weather[66:72, :, 0].square().mean(dim=0)
    torch.testing.assert_close(found, 0.5 * (squared[0] + 2 * squared[1]) / 3)


def _none(errors: ForcingErrors) -> ForcingErrors:
    return replace(errors, size=torch.zeros_like(errors.size))


def test_weight_rises_with_the_ramp() -> None:
    assert ramp(0, 100) == pytest.approx(np.exp(-5))
    assert ramp(50, 100) == pytest.approx(np.exp(-5 * 0.25))
    assert ramp(100, 100) == ramp(900, 100) == ramp(0, 0) == 1.0
    teacher, data = world(errors=0.0, ramp_steps=100)
    early, late = (float(term(teacher, data, (1.0, 0.0), step)) for step in (0, 100))
    # All windows are in each batch, in another order.
    assert early == pytest.approx(np.exp(-5) * late, rel=1e-5)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"weight": -1.0},
            "learning.consistency.weight is -1.0, but must be 0 or more",
        ),
        ({"ramp_steps": -1}, "learning.consistency.ramp_steps is -1, but must be 0"),
        ({"samples": 0}, "learning.consistency.samples is 0, but must be at least 1"),
    ],
)
def test_bad_settings_are_named(said: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ConsistencySettings(**said)


def run_of(store: Path, folder: Path, weight: float = 1.0, **learning: Any) -> Path:
    """Train for as many steps as show all windows without labels."""
    consistency = ConsistencySettings(
        weight, ramp_steps=0, samples=8, errors=ForcingErrorSettings(**PRODUCTS)
    )
    settings = tiny_settings(
        small_gru(width=8, dropout=0.2),
        **{"steps": 6, "validate_every": 6, "consistency": consistency} | learning,
    )
    return train(settings, store, folder)


def member(run: Path) -> Checkpoint:
    return load_checkpoint(run / "members/0/emulator.pt")


def same(one: Checkpoint, other: Checkpoint) -> bool:
    return all(
        torch.equal(value, other.weights[name]) for name, value in one.weights.items()
    )


def test_running_mean_follows_the_formula(
    land_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights: list[Tensor] = []
    begun, ended = EmulatorTraining.on_fit_start, EmulatorTraining.on_train_batch_end

    def begin(module: EmulatorTraining) -> None:
        begun(module)
        weights.append(module.network.leave.weight.detach().clone())

    def end(module: EmulatorTraining, *rest: Any) -> None:
        weights.append(module.network.leave.weight.detach().clone())
        ended(module, *rest)

    monkeypatch.setattr(EmulatorTraining, "on_fit_start", begin)
    monkeypatch.setattr(EmulatorTraining, "on_train_batch_end", end)
    run = run_of(land_store, tmp_path / "run", ema_decay=0.6)
    mean = weights[0].double()
    for step, weight in enumerate(weights[1:], start=1):
        # The mean of all steps so far until the decay of 0.6 is longer.
        decay = min(0.6, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * weight.double()
    state = torch.load(run / "members/0/last.ckpt", weights_only=True)["state_dict"]
    assert len(weights) == 7
    torch.testing.assert_close(state["average.leave.weight"].double(), mean)
    torch.testing.assert_close(state["network.leave.weight"], weights[-1])


def test_it_changes_the_network_alike_for_the_same_seed(
    land_store: Path, tmp_path: Path
) -> None:
    one, two, off, never = (
        member(run_of(land_store, tmp_path / name, **said))
        for name, said in (
            ("one", {}),
            ("two", {}),
            ("off", {"weight": 0.0}),
            ("never", {"consistency": ConsistencySettings()}),
        )
    )
    assert same(one, two)
    assert not same(one, off)
    assert same(off, never)


def test_forcing_of_test_years_is_not_seen_unless_said(tmp_path: Path) -> None:
    stores = []
    for name, change in (("as it is", 0.0), ("hotter", 9.0)):
        earth = tiny_world()
        test = earth["weather_time"].dt.year >= 2006
        earth["tas"] = xr.where(test, earth["tas"] + change, earth["tas"]).assign_attrs(
            earth["tas"].attrs
        )
        stores.append(write_store(earth, tmp_path / f"{name}.zarr"))
    for transductive in (False, True):
        runs = [
            member(
                run_of(
                    store,
                    tmp_path / f"{store.stem} {transductive}",
                    transductive=transductive,
                )
            )
            for store in stores
        ]
        assert same(*runs) != transductive
        assert all(run.about["transductive"] == transductive for run in runs)


def test_settings_of_what_is_off_are_named(
    land_store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    idle = {"unlabelled_years": [1990, 1999], "transductive": True}
    settings = tiny_settings(steps=2, validate_every=2, **idle)
    with caplog.at_level(logging.WARNING):
        train(settings, land_store, tmp_path / "off")
    told = [message for message in caplog.messages if "nothing learns" in message]
    assert [message.partition(", ")[0] for message in told] == [
        "learning.unlabelled_years is [1990",
        "learning.transductive is True",
    ]
    assert all("learning.consistency.weight" in message for message in told)
    caplog.clear()
    run_of(land_store, tmp_path / "on", **idle)
    assert "nothing learns" not in caplog.text


def test_labels_of_unlabelled_years_are_not_seen(tmp_path: Path) -> None:
    earth = tiny_world()
    other = earth.copy(deep=True)
    # 2002 and 2005 are gaps between training, validation and test.
    gap = np.isin(earth["time"].dt.year, [2000, 2002, 2005])
    other["nbp"][:, :, gap] *= 5
    runs = [
        member(run_of(write_store(one, tmp_path / f"{i}.zarr"), tmp_path / str(i)))
        for i, one in enumerate((earth, other))
    ]
    assert same(*runs)


def test_all_windows_are_drawn_where_each_has_labels(
    land_store: Path, tmp_path: Path
) -> None:
    # Up to 1999 all years have labels.
    run_of(land_store, tmp_path / "run", unlabelled_years=[1990, 1999])


def test_no_open_month_is_an_error(land_store: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no month to learn from without labels"):
        run_of(land_store, tmp_path / "run", unlabelled_years=[2006, 2008])


def test_pull_of_each_term_is_logged_and_changes_nothing(
    land_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terms = {"season_weight": 0.1, "annual_weight": 0.1, "validate_every": 2}
    logged = run_of(land_store, tmp_path / "logged", **terms)
    with (logged / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    for row in rows:
        for name in ("cells", "season", "globe", "consistency"):
            assert float(row[f"gradient_{name}"]) > 0
        for name in ("season", "globe", "consistency"):
            assert -1 <= float(row[f"cosine_{name}"]) <= 1
        assert "gradient_bands" not in row
    monkeypatch.setattr(training, "gradient_balance", lambda *_: {})
    silent = run_of(land_store, tmp_path / "silent", **terms)
    assert same(member(logged), member(silent))
