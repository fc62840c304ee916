"""A new teacher from few years, from the command's settings to its table."""

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from emulator.carbon.errors import CheckpointError, SettingsError
from emulator.carbon.timeaxis import month_range
from emulator.data.stores import write_store
from emulator.evaluation import fewshot
from emulator.evaluation.fewshot import ADAPTED, FULL, Row, few_shot
from emulator.evaluation.paired import AVERAGE
from emulator.evaluation.scorecard import read_count
from emulator.evaluation.settings import AdaptSettings
from emulator.learning import sweeps
from emulator.learning.adapt_settings import FewShotSettings
from emulator.learning.fit import train
from emulator.learning.inference import load_emulator
from emulator.learning.settings import SplitSettings
from emulator.learning.sweeps import Job, Sweep, sweep_folder, write_sweep
from tests.learning.middle import with_middle
from tests.learning.runs import tiny_data, tiny_settings
from tests.worlds import tiny_world


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("middle")
    return write_store(with_middle(tiny_world()), folder / "all.zarr")


@pytest.fixture(scope="module")
def runs(
    land_store: Path, store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder with a run that never saw MIDDLE, and one that did."""
    root = tmp_path_factory.mktemp("runs")
    train(tiny_settings(), land_store, root / "two")
    data = tiny_data(teachers=["ONE", "TWO", "MIDDLE"])
    train(tiny_settings(data=data, steps=2, validate_every=2), store, root / "three")
    return root


def settings(store: Path, **changes: Any) -> AdaptSettings:
    values: dict[str, Any] = {
        "run": "two",
        "store": str(store),
        "years": [1, 2, 4],
        "fit": FewShotSettings(steps=4),
    }
    return AdaptSettings(**values | changes)


@pytest.fixture(scope="module")
def table(runs: Path, store: Path) -> Path:
    return few_shot(settings(store, full="three"), runs_root=runs)


def test_few_years_are_enough_for_a_teacher_between_two(table: Path) -> None:
    with table.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {(row["years"], row["method"]): float(row["anomaly_r2"]) for row in rows}
    assert set(found) == {
        ("1", ADAPTED),
        ("1", "climatology"),
        *(
            (years, name)
            for years in "24"
            for name in (ADAPTED, "climatology", "ridge")
        ),
        ("0", FULL),
    }
    # The law of MIDDLE is that of the others but for its size.
    assert found["4", ADAPTED] > 0.6
    for years in "124":
        assert found[years, ADAPTED] > found[years, "climatology"]
    (last,) = {(row["first"], row["last"]) for row in rows if row["years"] == "4"}
    assert last == ("2001", "2004")


def test_table_and_figure_say_what_they_stand_on(table: Path, runs: Path) -> None:
    text = table.read_text()
    assert "Evidence: testbed." in text
    assert "| MIDDLE | 2 (2003-2004) | ridge |" in text
    assert "| MIDDLE | all | full training |" in text
    assert "fit.reference=own" in text
    assert table.with_suffix(".png").stat().st_size > 10_000
    assert table.parent == runs / "two" / "adapted"
    # It looked at test years, also by the run beside, and says so.
    assert read_count(runs / "two") == 1
    assert read_count(runs / "three") == 1


def test_adapted_networks_can_be_used(table: Path) -> None:
    emulator = load_emulator(table.parent / "MIDDLE-2y")
    assert emulator.teachers == ("MIDDLE",)
    assert emulator.first.about["store"] == "all.zarr"
    assert "labels of 2003, 2004" in emulator.first.about["fitted_on"]


def test_validation_years_come_after_what_is_known(runs: Path, store: Path) -> None:
    found = few_shot(settings(store, split="validation", years=[2]), runs_root=runs)
    # Validation is 2001, with a gap of one year on both sides: 2003 and 2004 are
    # training years after it.
    assert "validation years" in found.read_text()
    assert "full training" not in found.read_text()


def test_runs_of_a_sweep_are_adapted_to_what_they_left_out(
    runs: Path, store: Path
) -> None:
    before = [read_count(runs / name) for name in ("two", "three")]
    jobs = tuple(Job(name, {}) for name in ("three", "two"))
    write_sweep(Sweep(sweep_folder("left_out", runs), runs, jobs))
    asked = AdaptSettings(sweep="left_out", years=[2], fit=FewShotSettings(steps=1))
    table = few_shot(asked, runs_root=runs, stores_root=store.parent)
    assert table == sweep_folder("left_out", runs) / "adapt.md"
    with table.with_suffix(".csv").open() as file:
        found = {(row["teacher"], row["method"]) for row in csv.DictReader(file)}
    assert {("MIDDLE", ADAPTED), ("MIDDLE", FULL)} <= found
    after = [read_count(runs / name) for name in ("two", "three")]
    assert after == [count + 1 for count in before]
    assert load_emulator(runs / "two/adapted/MIDDLE-2y").teachers == ("MIDDLE",)


def recorded(folder: Path, monkeypatch: pytest.MonkeyPatch, *runs: str) -> None:
    """Record a sweep of finished runs, named by the first letters of their teachers."""
    jobs = tuple(Job(run, {}) for run in runs)
    write_sweep(Sweep(sweep_folder("left_out", folder), folder, jobs))
    (folder / "all.zarr").mkdir()

    def loaded(run: Path) -> SimpleNamespace:
        first = SimpleNamespace(about={"store": "all.zarr"})
        return SimpleNamespace(teachers=tuple(run.name.split("-")[0]), first=first)

    monkeypatch.setattr(fewshot, "load_emulator", loaded)
    monkeypatch.setattr(sweeps, "is_finished", lambda run: "unknown" not in run.name)


def test_each_run_of_a_sweep_stands_beside_the_one_that_left_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(tmp_path, monkeypatch, "AB", "ABCD", "CD")
    folder, cases = fewshot._of_sweep("left_out", tmp_path, tmp_path)
    assert folder == sweep_folder("left_out", tmp_path)
    assert [case.run.name for case in cases] == ["AB", "CD"]
    assert {case.full for case in cases} == {tmp_path / "ABCD"}
    assert {case.store for case in cases} == {tmp_path / "all.zarr"}


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (("ABC",), r"leave out \[\] of \['A', 'B', 'C'\]"),
        (("ABC", "ABC-1"), "one must learn all teachers"),
        (("ABC", "AB", "AB-1"), r"leave out \[\['C'\], \['C'\]\] of"),
        (("ABC", "AB", "unknown"), "has unfinished runs: unknown"),
    ],
)
def test_a_sweep_that_leaves_nobody_out_or_one_twice_is_refused(
    runs: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded(tmp_path, monkeypatch, *runs)
    with pytest.raises(SettingsError, match=message):
        fewshot._of_sweep("left_out", tmp_path, tmp_path)


def test_average_is_over_what_all_teachers_have() -> None:
    def row(teacher: str, years: tuple[int, ...], method: str, value: float) -> Row:
        return Row(teacher, years, method, dict.fromkeys(fewshot.SCORES, value))

    one = [row("ONE", (2001,), ADAPTED, 0.2), row("ONE", (2000, 2001), "ridge", 0.9)]
    other = [row("TWO", (1999,), ADAPTED, 0.6)]
    (mean,) = fewshot.averages([*one, *other])
    assert (mean.teacher, mean.method, len(mean.years)) == (AVERAGE, ADAPTED, 1)
    assert mean.scores["anomaly_r2"] == pytest.approx(0.4)
    assert fewshot.averages(one) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": "none"}, "There is no run 'none'"),
        ({"teachers": ["ONE"]}, "learned the teacher 'ONE'"),
        ({"years": [40]}, "but 40 are asked for"),
        ({"run": "three"}, "learned all teachers of .*: ONE, TWO, MIDDLE"),
    ],
)
def test_what_cannot_be_adapted_is_named(
    runs: Path, store: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        few_shot(settings(store, **changes), runs_root=runs)


def test_a_ridge_without_solution_is_left_out(
    runs: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise torch.linalg.LinAlgError("not positive-definite")

    monkeypatch.setattr(fewshot.baselines.ridge, "tune", fail)
    found = few_shot(settings(store, years=[2]), runs_root=runs)
    assert "| climatology |" in found.read_text()
    assert "| ridge |" not in found.read_text()


def test_a_full_run_that_is_not_full_is_refused(runs: Path, store: Path) -> None:
    with pytest.raises(CheckpointError, match="never saw the teacher 'MIDDLE'"):
        few_shot(settings(store, years=[1], full="two"), runs_root=runs)


def test_a_full_run_that_learned_the_scored_years_is_refused(
    runs: Path, store: Path
) -> None:
    data = tiny_data(teachers=["ONE", "TWO", "MIDDLE"])
    split = SplitSettings([1990, 2008], [2006, 2006], [2001, 2001])
    other = tiny_settings(data=data, split=split, steps=2, validate_every=2)
    train(other, store, runs / "other")
    with pytest.raises(SettingsError, match="learned labels of 2008 to 2008, which"):
        few_shot(settings(store, years=[1], full="other"), runs_root=runs)


def test_a_teacher_that_ended_cannot_be_scored(runs: Path, tmp_path: Path) -> None:
    world = with_middle(tiny_world())
    late = world["time"].dt.year.to_numpy() > 2005
    world["nbp"].values[:, 2, late] = np.nan
    store = write_store(world, tmp_path / "ended.zarr")
    with pytest.raises(SettingsError, match="no labels of nbp in the test years"):
        few_shot(settings(store, years=[1]), runs_root=runs)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"run": ""}, "adapt needs a run and a store"),
        ({"store": ""}, "adapt needs a run and a store"),
        ({"sweep": "all"}, "or sweep=NAME alone"),
        ({"run": "", "store": "", "sweep": "x", "full": "y"}, "or sweep=NAME alone"),
        ({"years": []}, r"years is \[\], but must hold numbers"),
        ({"years": [0, 1]}, r"years is \[0, 1\], but must"),
        ({"split": "withheld"}, "split is 'withheld', but scores are taken on 'test'"),
    ],
)
def test_bad_settings_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        AdaptSettings(**{"run": "two", "store": "all", **values})


def test_scores_by_hand() -> None:
    # Two cells of 1 and 3 m2, anomalies of -1 and +1 in turn: their mean square is 1.
    # A prediction 0.5 too high in the second cell has an error of 3 x 0.25 in 4.
    months = month_range("2001-01", "2002-12")
    truth = np.tile([[-1.0, -1.0], [1.0, 1.0]], (12, 1))
    prediction = truth + np.array([0.0, 0.5])
    found = fewshot.score(
        prediction, truth, np.array([1.0, 3.0]), months, np.zeros((12, 2))
    )
    assert found["anomaly_r2"] == pytest.approx(1 - 0.75 * 0.25)
    assert found["shape_r2"] == pytest.approx(1.0)


def test_figure_has_a_panel_for_each_teacher() -> None:
    scores = dict.fromkeys(fewshot.SCORES, 0.5)
    rows = [Row(name, (2001,), ADAPTED, scores) for name in ("ONE", "TWO")]
    figure = fewshot.draw([*rows, Row("ONE", (), FULL, scores)], "testbed")
    panels = [axis for axis in figure.axes if axis.get_title(loc="left")]
    assert [axis.get_title(loc="left") for axis in panels] == ["ONE", "TWO"]
    labels = {line.get_label() for line in panels[0].lines}
    assert {ADAPTED, FULL} <= labels
