"""A run killed in the middle goes on to the very same weights."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from emulator.carbon.errors import CheckpointError
from emulator.learning.checkpoint import load_checkpoint
from emulator.learning.fit import train
from emulator.learning.forcing_errors import ForcingErrorSettings
from emulator.learning.pretraining import PretrainingSettings
from emulator.learning.semisupervised import ConsistencySettings
from emulator.learning.settings import TrainSettings, write_settings
from tests.learning.runs import small_gru, tiny_settings

KILLED = """
import os, signal, sys
from pathlib import Path
from emulator.learning import fit
from emulator.learning.sampler import Sampler
from emulator.learning.settings import read_settings

draw = Sampler.draw

def draw_or_die(self, step):
    if step == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(self, step)

Sampler.draw = draw_or_die
run = Path(sys.argv[1])
fit.train(read_settings(run), Path(sys.argv[2]), run)
"""


def settings() -> TrainSettings:
    """Return a run with all that draws something: dropout, cells, errors, masks."""
    model = small_gru(width=8, layers=2, dropout=0.3)
    errors = ForcingErrorSettings(spread={"tas": 0.5}, share={"pr": 0.2})
    return tiny_settings(
        model,
        steps=30,
        validate_every=10,
        save_every=7,
        cells_per_batch=5,
        refit=True,
        season_weight=0.1,
        consistency=ConsistencySettings(1.0, ramp_steps=20, errors=errors),
        pretraining=PretrainingSettings(steps=8),
    )


def kill_at(step: int, run: Path, store: Path) -> None:
    run.mkdir(parents=True, exist_ok=True)
    write_settings(settings(), run)
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(run), str(store), str(step)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()


def test_killed_run_ends_with_the_same_bits(
    land_store: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole = train(settings(), land_store, tmp_path / "whole")
    step = int(np.random.default_rng().integers(10, 30))
    request.node.add_report_section("call", "step", f"killed at step {step}")
    killed = tmp_path / "killed"
    kill_at(5, killed, land_store)  # in the pretraining
    kill_at(step, killed, land_store)
    assert not list(killed.glob("members/*/emulator.pt"))

    train(settings(), land_store, killed)

    expected = load_checkpoint(whole / "members/0/emulator.pt")
    found = load_checkpoint(killed / "members/0/emulator.pt")
    assert found.about == expected.about
    for name, value in expected.weights.items():
        assert torch.equal(found.weights[name], value), f"{name}, killed at {step}"
    rows = [
        [line.rsplit(",", 1)[0] for line in metrics.read_text().splitlines()]
        for metrics in (whole / "metrics.csv", killed / "metrics.csv")
    ]
    # The training loss is a mean since the last validation, also over the kill.
    assert rows[0] == rows[1]


def test_finished_run_is_found_done(land_store: Path, tmp_path: Path) -> None:
    chosen = tiny_settings(steps=2)
    run = train(chosen, land_store, tmp_path / "run")
    before = (run / "members/0/emulator.pt").stat().st_mtime_ns
    # Even without its store: nothing is left to do.
    assert train(chosen, tmp_path / "nowhere", run) == run
    assert (run / "members/0/emulator.pt").stat().st_mtime_ns == before


def test_finished_stage_is_not_fitted_again(land_store: Path, tmp_path: Path) -> None:
    chosen = tiny_settings(steps=5)
    run = train(chosen, land_store, tmp_path / "run")
    path = run / "members/0/emulator.pt"
    expected = load_checkpoint(path)
    path.unlink()  # as if killed between the last step and the checkpoint
    train(chosen, land_store, run)
    found = load_checkpoint(path)
    for name, value in expected.weights.items():
        assert torch.equal(found.weights[name], value)


def test_damaged_state_says_how_to_go_on(land_store: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "members/0").mkdir(parents=True)
    (run / "members/0/last.ckpt").write_bytes(b"not a state")
    with pytest.raises(CheckpointError, match=r"last.ckpt is damaged .* Remove the fi"):
        train(tiny_settings(steps=2), land_store, run)
