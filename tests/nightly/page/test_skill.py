import json
from pathlib import Path

import pytest

from emulator.nightly.page import skill


def record(teacher: str, rmse: float) -> dict[str, object]:
    """Return one record of a scorecard, as far as the page reads it."""

    def scores(value: float) -> dict[str, object]:
        found = {"value": value, "low": value - 0.1, "high": value + 0.1}
        return {"cells": {"anomaly_r2": found}, "annual": {"rmse": found, "bias": 0.01}}

    return {
        "flux": "nbp",
        "simulation": "S2",
        "scope": "all",
        "teacher": teacher,
        "methods": {"network": scores(rmse), "ridge": scores(rmse + 1)},
    }


def folder_of_run(path: Path, records: list[dict[str, object]], reads: int = 1) -> Path:
    path.mkdir()
    card = {
        "evidence": "testbed",
        "split": {"part": "test", "test": [2014, 2024]},
        "test_reads": reads,
        "records": records,
    }
    (path / "scorecard.json").write_text(json.dumps(card))
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    records = [record("<b>A</b>", 0.5), record("mean of teachers", 0.25)]
    return folder_of_run(tmp_path / "run", records)


def test_skill_stands_beside_baselines_and_by_teacher(run: Path) -> None:
    found = skill.section({"land": run})
    assert "nbp of mean of teachers, S2, test years 2014 to 2024" in found
    assert ">emulator</th>" in found
    assert "0.25 (0.15 to 0.35)" in found
    assert "1.25 (1.15 to 1.35)" in found  # ridge
    assert "&lt;b&gt;A&lt;/b&gt;" in found
    assert "read once" in found
    assert "Model card of" not in found


def test_model_card_is_unfolded_from_either_path(run: Path) -> None:
    (run / "README.md").write_text("---\na: b\n---\n# The card\n\nIts text.\n")
    for path in (run, run / "README.md"):
        found = skill.section({"land": path})
        assert "<summary>Model card of the land emulator</summary>" in found
        assert "Its text." in found


def test_reads_are_counted(tmp_path: Path) -> None:
    run = folder_of_run(tmp_path / "run", [record("A", 0.5)], reads=3)
    found = skill.section({"ocean": run})
    assert "read 3 times" in found
    assert "The emulator of each teacher" not in found


def test_what_was_not_scored_is_said(tmp_path: Path) -> None:
    empty = folder_of_run(tmp_path / "empty", [])
    assert "no teacher has labels" in skill.section({"land": empty})
    assert "was not scored" in skill.section({"land": tmp_path})
    assert "No model card" in skill.section({})
