"""What becomes of a run that is promoted, refused, forced or rolled back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import emulator
from emulator.carbon.errors import CheckpointError, GateError, SettingsError, StoreError
from emulator.evaluation.calibration import CALIBRATION_FILE, Calibration
from emulator.evaluation.champion import current, find_champion
from emulator.evaluation.promote import promote
from emulator.evaluation.settings import PromoteSettings
from emulator.learning.fit import train
from tests.evaluation.cards import card, constant
from tests.learning.runs import tiny_settings

GOOD, POOR = constant(0.3, 0.1), constant(0.8, 0.4)


@pytest.fixture(scope="module")
def trained(land_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three hardly trained runs of the land."""
    root = tmp_path_factory.mktemp("trained")
    for seed, name in enumerate(("one", "two", "three")):
        settings = tiny_settings(seed=seed, steps=2, validate_every=2)
        train(settings, land_store, root / name)
    return root


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the runs, each with a scorecard that beats its baselines."""
    root = tmp_path / "runs"
    shutil.copytree(trained, root)
    for run in root.iterdir():
        score(run)
    return root


def score(run: Path, network: dict[str, Any] = GOOD, **changes: Any) -> None:
    own = {"checkpoint": emulator.open_run(run).sha256, "run": run.name}
    (run / "scorecard.json").write_text(json.dumps(card(network, **(own | changes))))


def crown(runs: Path, run: str = "", **settings: Any) -> Path:
    return promote(
        PromoteSettings(run=run, **settings),
        runs_root=runs,
        models_root=runs.parent / "models",
    )


def record(model: Path) -> dict[str, Any]:
    return json.loads((model / "promotion.json").read_text())


def test_a_good_run_becomes_the_champion(runs: Path) -> None:
    model = crown(runs, "one")
    assert model.name == "0001-one"
    link = runs.parent / "models" / "land" / "current"
    # Relative, so that the folder of models can be moved.
    assert link.readlink() == Path("0001-one")
    assert current("land", runs.parent / "models") == model.resolve()
    assert sorted(path.name for path in model.iterdir()) == [
        *("README.md", "members", "metrics.csv", "promotion.json", "scorecard.json"),
        "settings.yaml",
    ]
    said = record(model)
    assert said["decision"] == "promoted"
    assert said["objections"] == []
    assert said["previous"] is None
    assert said["champion"] == "There was no champion before."
    assert said["headline"]["simulation"] == "S2"
    assert {(each["score"], each["passed"]) for each in said["comparisons"]} == {
        ("anomaly_r2", True),
        ("rmse", True),
    }
    # The champion outlives its run, without what only training needs.
    checkpoint = emulator.open_run(runs / "one").sha256
    shutil.rmtree(runs / "one")
    assert emulator.open_run(link).sha256 == checkpoint == said["checkpoint"]
    assert not list(model.rglob("*.ckpt"))


def test_champions_follow_each_other_and_can_be_called_back(runs: Path) -> None:
    first, second = crown(runs, "one"), crown(runs, "two")
    assert record(second)["previous"] == first.name
    assert "same years of the same store" in record(second)["champion"]
    back = crown(runs, rollback=True, domain="land", reason="drifts")
    assert back == first
    assert find_champion("land", runs.parent / "models") == first
    note = json.loads((second / "withdrawn.json").read_text())
    assert (note["champion"], note["reason"]) == ("0001-one", "drifts")
    # The next one follows the champion of its day, not the one that was withdrawn.
    third = crown(runs, "three")
    assert third.name == "0003-three"
    assert crown(runs, rollback=True, domain="land") == first
    # A withdrawn champion may come again, under its own name.
    assert crown(runs, str(second)).name == "0004-two"
    assert not (runs.parent / "models/land/0004-two/withdrawn.json").exists()


def test_promoting_the_champion_again_does_not_hide_the_one_before(runs: Path) -> None:
    first = crown(runs, "one")
    crown(runs, "two")
    again = crown(runs, "two")
    assert again.name == "0003-two"
    assert "same networks" in record(again)["champion"]
    assert crown(runs, rollback=True, domain="land") == first


def test_a_run_that_does_not_beat_its_baselines_is_refused(runs: Path) -> None:
    first = crown(runs, "one")
    score(runs / "two", POOR)
    with pytest.raises(GateError, match="A baseline is as good or better") as e:
        crown(runs, "two")
    assert "force=true reason='WHY'" in str(e.value)
    refusal = json.loads((runs / "two" / "refusal.json").read_text())
    assert refusal["decision"] == "refused"
    # Two baseline objections, and the champion is better in both scores.
    assert len(refusal["objections"]) == 4
    assert find_champion("land", runs.parent / "models") == first


def test_a_run_without_a_scorecard_of_its_own_is_refused(runs: Path) -> None:
    score(runs / "one", checkpoint="f" * 64)
    with pytest.raises(GateError, match="belongs to other networks than those of"):
        crown(runs, "one")
    (runs / "one" / "scorecard.json").unlink()
    with pytest.raises(GateError, match=r"scorecard.json is not there. Run `sink-em"):
        crown(runs, "one")
    assert not (runs.parent / "models").exists()


def test_a_run_without_all_its_networks_is_refused(
    land_store: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(members=2, steps=2, validate_every=2)
    run = train(settings, land_store, tmp_path / "runs" / "one")
    shutil.rmtree(run / "members" / "1")
    score(run)
    with pytest.raises(CheckpointError, match="1 of 2 networks: its training did not"):
        crown(tmp_path / "runs", "one", force=True, reason="Because.")
    assert not (tmp_path / "models").exists()


def test_force_promotes_and_records_why(runs: Path) -> None:
    score(runs / "one", checkpoint="f" * 64)
    (runs / "one" / "scorecard.md").write_text("scores of other networks")
    model = crown(runs, "one", force=True, reason="the first of all")
    said = record(model)
    assert said["decision"] == "promoted by force"
    assert said["reason"] == "the first of all"
    assert "other networks" in said["objections"][0]
    # Scores of other networks do not travel with these.
    assert not list(model.glob("scorecard*"))
    assert "Not scored." in (model / "README.md").read_text()
    # The next one cannot be compared with it, and says so.
    assert "has no scorecard" in record(crown(runs, "two"))["champion"]


def test_force_changes_nothing_for_a_good_run(runs: Path) -> None:
    model = crown(runs, "one", force=True, reason="to be sure")
    assert record(model)["decision"] == "promoted"


@pytest.mark.parametrize("own", [True, False])
def test_only_its_own_calibration_travels_along(runs: Path, own: bool) -> None:
    digest = emulator.open_run(runs / "one").sha256 if own else "f" * 64
    empty = Calibration(0.9, 3, (2001,), (), {}, {"checkpoint": digest})
    empty.write(runs / "one" / CALIBRATION_FILE)
    (runs / "one" / "calibration_errors.npz").write_bytes(b"errors")
    model = crown(runs, "one")
    assert (model / CALIBRATION_FILE).exists() == own
    assert (model / "calibration_errors.npz").exists() == own
    told = (model / "README.md").read_text()
    assert ("Intervals are not calibrated" in told) == (not own)


def test_there_must_be_a_champion_to_go_back_to(runs: Path) -> None:
    with pytest.raises(SettingsError, match=r"The ocean has no champion: .*current is"):
        crown(runs, rollback=True, domain="ocean")
    first = crown(runs, "one")
    with pytest.raises(SettingsError, match="0001-one is the first champion of the l"):
        crown(runs, rollback=True, domain="land")
    second = crown(runs, "two")
    first.rename(first.with_name("elsewhere"))
    with pytest.raises(SettingsError, match="champion before 0002-two was 0001-one, b"):
        crown(runs, rollback=True, domain="land")
    (second / "promotion.json").unlink()
    with pytest.raises(SettingsError, match="nobody knows which champion was before"):
        crown(runs, rollback=True, domain="land")
    shutil.rmtree(second)
    with pytest.raises(SettingsError, match="leads to 0002-two, which is not there"):
        crown(runs, "three")


def test_an_unwritable_place_is_named(runs: Path) -> None:
    settings = PromoteSettings(run="one")
    with pytest.raises(StoreError, match=r"with paths\.models"):
        promote(settings, runs_root=runs, models_root=Path("/dev/null"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "promote needs one of two: run=RUN"),
        ({"run": "one", "rollback": True, "domain": "land"}, "promote needs one of"),
        ({"rollback": True}, "domain is '', but rollback=true needs domain=land"),
        ({"rollback": True, "domain": "air"}, "domain is 'air'"),
        ({"run": "one", "domain": "land"}, "domain=land goes with rollback=true"),
        ({"run": "one", "force": True, "reason": " "}, "add reason='WHY'"),
    ],
)
def test_settings_ask_for_one_thing(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        PromoteSettings(**settings)
