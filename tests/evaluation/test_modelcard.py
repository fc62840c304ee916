"""What a model card says, and that machines can read its head."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import emulator
from emulator.evaluation.modelcard import hashes, model_card
from emulator.learning.fit import train
from emulator.learning.inference import Emulator
from tests.evaluation.cards import YEARS, card, constant
from tests.learning.runs import tiny_settings

RECORD = {
    "run": "tiny-0123",
    "time": "2026-01-02T03:04:05+00:00",
    "evidence": "testbed",
    "decision": "promoted by force",
    "reason": "for a test",
    "objections": ["A baseline is as good or better."],
    "champion": "There was no champion before.",
    "code_version": "1.2.3",
}


@pytest.fixture(scope="module")
def run(land_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    folder = tmp_path_factory.mktemp("run")
    train(tiny_settings(steps=2, validate_every=2), land_store, folder)
    found = emulator.open_run(folder)
    entries = {
        "one": {
            "kind": "teacher",
            "licence": "CC BY 4.0",
            "citation": "Someone\n  (2020)",
            "doi": "10.1/x",
            "policy": "ask | first",
        },
        "weather": {"kind": "forcing"},
    }
    found.first.about["catalog"] = json.dumps(entries)
    return found


def told(run: Emulator, scored: Any = None, files: Any = None) -> str:
    return model_card(run, RECORD, scored, files or {})


def head(text: str) -> dict[str, Any]:
    _, front, _ = text.split("---\n", 2)
    return yaml.safe_load(front)


def test_the_head_is_that_of_a_model_hub(run: Emulator) -> None:
    front = head(told(run, card(constant(0.3, 0.1))))
    assert front["license"] == "apache-2.0"
    assert front["evidence"] == "testbed"
    assert {"carbon-sink", "land", "nbp", "ONE", "TWO"} <= set(front["tags"])
    (index,) = front["model-index"]
    assert index["name"] == "tiny-0123"
    (result,) = index["results"]
    assert result["dataset"]["name"] == "ONE, S2"
    assert result["dataset"]["split"] == "test, 2001-2006"
    found = {each["type"]: each["value"] for each in result["metrics"]}
    # By hand: 1 - 0.3, and an error of 0.1 PgC in every year.
    assert found == pytest.approx({"anomaly_r2": 0.7, "rmse": 0.1})


def test_the_text_says_what_when_whom_and_how_good(run: Emulator) -> None:
    text = told(run, card(constant(0.3, 0.1)))
    assert "**Evidence: testbed.**" in text
    assert "| forcing | tas, pr, co2 |" in text
    assert "| memory | 3 months |" in text
    assert "| training years | 1990-2004 |" in text
    assert "| grid | 45 degrees of latitude" in text
    assert "| network | recurrent |" in text
    assert "| members | 1 |" in text
    assert f"nbp of ONE, S2, {YEARS[0]}-{YEARS[-1]}:" in text
    # Columns: anomaly_r2, shape_r2, rmse, annual_r2_centred, bias.
    assert "| network | 0.70 | - | 0.10 | - | - |" in text
    assert "| ridge | 0.50 | - | 0.20 | - | - |" in text
    assert "Promoted by force at 2026-01-02T03:04:05+00:00." in text
    assert "- A baseline is as good or better." in text
    assert "- Reason given: for a test" in text
    assert "- A caveat of the scorecard." in text
    assert "Intervals are not calibrated" in text


def test_every_product_keeps_its_licence_and_citation(run: Emulator) -> None:
    text = told(run)
    # A bar or a line break would tear the table.
    assert "| one | teacher | not stated | CC BY 4.0 | ask / first |" in text
    assert "| weather | forcing | not stated | not stated | not stated |" in text
    assert "- one: Someone (2020) 10.1/x" in text
    assert "- sink-emulator " in text


def test_a_run_without_scores_says_so_and_gives_no_metrics(run: Emulator) -> None:
    text = told(run)
    assert "Not scored." in text
    assert "model-index" not in head(text)


def test_a_calibrated_run_says_what_for(run: Emulator) -> None:
    text = told(run, files={"calibration.json": "0" * 64})
    assert "Intervals are calibrated for what these teachers would" in text
    assert f"| sha256 of calibration.json | {'0' * 64} |" in text


def test_a_record_without_a_whole_year_has_no_span(run: Emulator) -> None:
    scored = card(constant(0.3, 0.1))
    scored["records"][0]["years"] = []
    assert "nbp of ONE, S2, no whole year:" in told(run, scored)


def test_only_the_headline_simulation_is_shown(run: Emulator) -> None:
    scored = card(constant(0.3, 0.1))
    scored["records"].append({**scored["records"][0], "simulation": "S0"})
    assert "S0" not in told(run, scored).split("## Skill")[1].split("## Promotion")[0]


def test_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "members" / "0").mkdir(parents=True)
    (tmp_path / "members" / "0" / "emulator.pt").write_bytes(b"weights")
    assert hashes(tmp_path) == {
        "members/0/emulator.pt": hashlib.sha256(b"weights").hexdigest()
    }
