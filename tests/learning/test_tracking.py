"""Weights & Biases without a network: what it was told is read from its own files."""

import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator.carbon.errors import SettingsError
from emulator.evaluation import figures
from emulator.learning import tracking
from emulator.learning.fit import train
from emulator.learning.settings import LoggerSettings, run_id, write_settings
from tests.evaluation.cards import card, constant
from tests.learning.runs import tiny_settings
from tests.worlds import tiny_store

OFFLINE = LoggerSettings(kind="wandb", project="mine")
SECRET = "0123456789abcdef" * 2 + "01234567"


def told(run_dir: Path) -> list[dict[str, Any]]:
    """Return what each session was told, in the order of sessions."""
    sessions = []
    for path in sorted(run_dir.glob("wandb/offline-run-*/*.wandb")):
        found: dict[str, Any] = {
            "history": [],
            "config": {},
            "summary": {},
            "files": [],
        }
        for record in whole(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                run = record.run
                found |= {
                    "id": run.run_id,
                    "group": run.run_group,
                    "job": run.job_type,
                    "tags": list(run.tags),
                    "project": run.project,
                }
                found["config"] |= items(run.config.update)
            elif kind == "config":
                found["config"] |= items(record.config.update)
            elif kind == "history":
                found["history"].append(items(record.history.item))
            elif kind == "summary":
                found["summary"] |= items(record.summary.update)
            elif kind == "artifact":
                found["files"] += [
                    one.path for one in record.artifact.manifest.contents
                ]
        sessions.append(found)
    return sessions


def whole(path: Path) -> list[Any]:
    """Return the records of a session, once its own process has written the last."""
    from wandb.proto import wandb_internal_pb2

    for _ in range(300):
        pieces = list(records(path.read_bytes()))
        found = [wandb_internal_pb2.Record.FromString(data) for data in pieces]
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.1)
    raise AssertionError(f"{path} was not finished")


def records(log: bytes) -> Iterator[bytes]:
    """Yield the records of W&B's own file: a log as of LevelDB after seven bytes.

    Blocks of 32 KiB hold pieces: checksum (4 bytes), length (2), kind (1: whole, 2:
    first, 3: middle, 4: last), data; fewer than seven bytes at a block's end fill it.
    """
    place, parts = 7, []
    while place + 7 <= len(log):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        length, kind = struct.unpack_from("<HB", log, place + 4)
        parts.append(log[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):
            yield b"".join(parts)
            parts = []


def items(entries: Any) -> dict[str, Any]:
    return {
        entry.key or ".".join(entry.nested_key): json.loads(entry.value_json)
        for entry in entries
    }


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    # Its caches lie in the home folder otherwise.
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


@pytest.mark.slow
def test_a_run_of_two_stages_is_one_run_with_config_and_curves(tmp_path: Path) -> None:
    settings = tiny_settings(
        name="trial", steps=4, validate_every=2, refit=True, warmup_steps=1
    )
    settings.logger = OFFLINE
    run = train(settings, tiny_store(tmp_path), tmp_path / "run")
    first, second = told(run)
    assert first["id"] == second["id"] == f"{run_id(settings)}-0"
    assert (first["group"], first["job"], first["project"]) == (
        "trial",
        "train",
        "mine",
    )
    assert first["tags"] == ["tiny", "land", "recurrent"]
    assert first["config"]["learning"]["steps"] == 4
    assert first["config"]["model"]["memory"] == 3
    assert not {"paths", "logger"} & set(first["config"])
    losses = [row for row in first["history"] if "choose-train_loss" in row]
    assert [row["trainer/global_step"] for row in losses] == [2, 4]
    assert any("refit-train_loss" in row for row in second["history"])
    # Whatever it may know of the machine, it is not in its files.
    for path in run.rglob("wandb/**/*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes()
    assert not list(run.rglob("wandb-metadata.json"))
    # The same is said without it.
    assert (run / "metrics.csv").read_text().count("\n") >= 3


@pytest.mark.slow
def test_a_scorecard_goes_to_the_run_that_holds_the_curves(tmp_path: Path) -> None:
    settings = tiny_settings(name="trial", seed=3)
    write_settings(settings, tmp_path)
    path = tmp_path / "scorecard.json"
    path.write_text(json.dumps(card(constant(0.25, 0.1))))
    path.with_suffix(".md").write_text("# Scores\n")
    drawn = figures.annual_series([2001], [1.0], {}, title="T", evidence="testbed")
    figures.save(drawn, tmp_path / "figures" / "annual.png")

    tracking.log_scorecard(OFFLINE, path)

    (session,) = told(tmp_path)
    assert session["id"] == f"{run_id(settings)}-3"
    assert (session["group"], session["job"]) == ("trial", "evaluate")
    # 1 - 0.25, by hand.
    assert session["summary"]["test/anomaly_r2"] == 0.75
    assert session["summary"]["test/rmse"] == pytest.approx(0.1)
    # Tables and pictures are told as "NAME.what".
    logged = {key.partition(".")[0] for row in session["history"] for key in row}
    assert {"test/scores", "test/annual"} <= logged
    assert {"scorecard.json", "scorecard.md"} <= set(session["files"])


def test_without_it_nothing_is_told_or_imported(tmp_path: Path) -> None:
    with tracking.curves(tiny_settings(), tmp_path, 0, "choose") as logger:
        assert logger is False
    tracking.log_scorecard(LoggerSettings(), tmp_path / "scorecard.json")
    assert not list(tmp_path.iterdir())
    modules = "emulator.learning.fit, emulator.evaluation.scorecard"
    asked = f"import sys, {modules}; sys.exit('wandb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0


def test_a_login_that_is_missing_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    def refuse(**_: object) -> None:
        raise wandb.errors.UsageError("no API key configured")

    monkeypatch.setattr(wandb, "init", refuse)
    settings = tiny_settings()
    settings.logger = LoggerSettings(kind="wandb", offline=False)
    with (
        pytest.raises(SettingsError, match=r"no API key.*logger.offline=true"),
        tracking.curves(settings, tmp_path, 0, "choose"),
    ):
        pass
