"""Sweeps of hand-made scorecards, from the record on disk to table and figure."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from emulator.carbon.errors import SettingsError
from emulator.evaluation.compare import compare, label
from emulator.evaluation.settings import CompareSettings
from emulator.learning.settings import run_id, write_settings
from emulator.learning.sweeps import Job, Sweep, sweep_folder, write_sweep
from tests.evaluation.cards import card, constant
from tests.learning.runs import tiny_settings

Runs = dict[str, tuple[dict[str, str], float]]
"""By run, what was swept and the error of its cells."""


def write(root: Path, name: str, runs: Runs, domain: str = "land") -> None:
    """Write the record of a sweep, and a scorecard for each of its runs."""
    jobs = tuple(Job(run, swept) for run, (swept, _) in runs.items())
    write_sweep(Sweep(sweep_folder(name, root), root, jobs))
    for run, (_, error) in runs.items():
        write_card(root / run, made(error, run=run, domain=domain))


def made(error: float, **changes: Any) -> dict[str, Any]:
    about = {
        "domain": "land",
        "evidence": "testbed",
        "forcing": ["tas"],
        "label_climatology": "none",
        "members": 1,
    }
    return card(constant(error, 0.1), **{**about, **changes})


def write_card(folder: Path, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    (folder / "scorecard.json").write_text(json.dumps(content))


def lines(table: Path) -> list[dict[str, str]]:
    with table.with_suffix(".csv").open(newline="") as file:
        return list(csv.DictReader(file))


def found(table: Path) -> dict[tuple[str, str], float]:
    """Return ``anomaly_r2`` by panel and method."""
    return {
        (row["panel"], row["method"]): float(row["value"])
        for row in lines(table)
        if row["score"] == "anomaly_r2"
    }


def test_seeds_of_a_sweep_are_one_row(tmp_path: Path) -> None:
    runs: Runs = {
        f"m-{memory}-{seed}": (
            {"model.memory": str(memory), "seed": str(seed)},
            0.5 - memory / 100 + seed / 10,
        )
        for memory in (1, 12)
        for seed in (0, 1)
    }
    write(tmp_path, "memory", runs)
    table = compare(CompareSettings(sweep="memory"), runs_root=tmp_path)
    assert table == tmp_path / "sweeps" / "memory" / "comparison.md"
    # 1 - 0.49 and 1 - 0.59, 1 - 0.38 and 1 - 0.48, by hand.
    assert found(table)["", "memory 1"] == pytest.approx(0.46)
    assert found(table)["", "memory 12"] == pytest.approx(0.57)
    row = next(row for row in lines(table) if row["method"] == "memory 12")
    assert (row["seeds"], row["n"]) == ("2", "6")
    assert row["seed_values"] == "0.62 0.52"
    assert float(row["seed_sd"]) == pytest.approx(0.1 / 2**0.5)
    text = table.read_text()
    assert "| memory 1 | 0.46 ± 0.07" in text
    # Years are all alike here, seeds are not: 0.62 or 0.52 against 0.51 or 0.41. The
    # farthest draws, 1 in 16 of all, lie at the ends of the interval.
    assert "| memory 12 | 0.57 ± 0.07 (0.52 to 0.62) **[+0.11 (0.01 to 0.21)]**" in text
    assert table.with_suffix(".pdf").read_bytes().startswith(b"%PDF")


def test_other_keys_make_panels(tmp_path: Path) -> None:
    runs: Runs = {
        f"s-{share}-{way}": (
            {"learning.label_fraction": share, "learning": way, "seed": "0"},
            error,
        )
        for share, way, error in (
            ("0.1", "standard", 0.6),
            ("0.1", "mean_teacher", 0.5),
            ("1.0", "standard", 0.2),
            ("1.0", "mean_teacher", 0.3),
        )
    }
    write(tmp_path, "semi", runs)
    table = compare(CompareSettings(sweep="semi"), runs_root=tmp_path)
    differences = {
        row["panel"]: float(row["difference"])
        for row in lines(table)
        if (row["method"], row["score"]) == ("mean teacher", "anomaly_r2")
    }
    assert differences == pytest.approx(
        {"label fraction 0.1": 0.1, "label fraction 1.0": -0.1}
    )


def test_further_keys_are_variants_together(tmp_path: Path) -> None:
    runs: Runs = {
        f"{share}{one}{two}": (
            {"learning.label_fraction": share, "model.a": one, "model.b": two},
            0.5,
        )
        for share in "12"
        for one in "xy"
        for two in "xy"
    }
    write(tmp_path, "three", runs)
    table = compare(CompareSettings(sweep="three"), runs_root=tmp_path)
    keys = [key for key in found(table) if "baseline" not in key[1]]
    assert keys[:4] == [
        ("label fraction 1", f"a {one}, b {two}") for one in "xy" for two in "xy"
    ]
    assert len(keys) == 8


def test_sweeps_of_land_and_ocean_stand_in_one_figure(tmp_path: Path) -> None:
    for domain in ("land", "ocean"):
        runs: Runs = {
            f"{domain}-{name}": ({"model": name}, error)
            for name, error in (("pointwise", 0.5), ("unet", 0.3))
        }
        write(tmp_path, f"bias_{domain}", runs, domain)
    asked = CompareSettings(sweep="bias_*", out=str(tmp_path / "out" / "both"))
    table = compare(asked, runs_root=tmp_path)
    assert table == tmp_path / "out" / "both.md"
    panels = dict.fromkeys(panel for panel, _ in found(table))
    assert list(panels) == ["land", "ocean"]


def test_sweeps_of_one_domain_keep_their_names_apart(tmp_path: Path) -> None:
    for name in ("bias_quick", "bias_slow"):
        write(tmp_path, name, {f"{name}-a": ({"model": "unet"}, 0.5)})
    table = compare(CompareSettings(sweep="bias_*"), runs_root=tmp_path)
    panels = dict.fromkeys(panel for panel, _ in found(table))
    assert list(panels) == ["bias_quick", "bias_slow"]


def test_a_sweep_of_data_has_a_panel_for_each(tmp_path: Path) -> None:
    runs: Runs = {
        f"{data}-{model}": ({"model": model, "data": data}, 0.5)
        for data in ("here", "there")
        for model in ("pointwise", "unet")
    }
    write(tmp_path, "places", runs)
    table = compare(CompareSettings(sweep="places"), runs_root=tmp_path)
    assert {key for key in found(table) if "baseline" not in key[1]} == {
        (data, model) for data in ("here", "there") for model in ("pointwise", "unet")
    }


def test_runs_that_are_not_scored_are_named(tmp_path: Path) -> None:
    runs: Runs = {f"m-{m}": ({"model.memory": m}, 0.5) for m in ("1", "12")}
    write(tmp_path, "memory", runs)
    (tmp_path / "m-12" / "scorecard.json").unlink()
    table = compare(CompareSettings(sweep="memory"), runs_root=tmp_path)
    assert "**Not in the table, since not scored: m-12.**" in table.read_text()
    (tmp_path / "m-1" / "scorecard.json").unlink()
    with pytest.raises(
        SettingsError, match=r"No run of the sweep 'memory' has a score"
    ):
        compare(CompareSettings(sweep="memory"), runs_root=tmp_path)


def test_runs_by_name_are_one_variant_where_only_the_seed_differs(
    tmp_path: Path,
) -> None:
    names = []
    for seed, steps, error in ((0, 200, 0.2), (1, 200, 0.4), (0, 100, 0.5)):
        settings = tiny_settings(seed=seed, steps=steps)
        names.append(run_id(settings))
        write_card(tmp_path / names[-1], made(error, run=names[-1]))
        write_settings(settings, tmp_path / names[-1])
    settings = CompareSettings(names, out=str(tmp_path / "table"))
    values = found(compare(settings, runs_root=tmp_path))
    assert values["", names[0]] == pytest.approx(0.7)
    assert values["", names[2]] == pytest.approx(0.5)
    assert ("", names[1]) not in values


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("model", "sinknet", "sinknet"),
        ("learning", "mean_teacher", "mean teacher"),
        ("model.memory", "36", "memory 36"),
        ("learning.label_fraction", "0.1", "label fraction 0.1"),
        ("learning/consistency", "null", "no consistency"),
        ("learning/consistency", "products", "consistency products"),
        ("learning.consistency.weight", "0.0", "no consistency"),
        ("learning.consistency.weight", "1.0", "consistency 1.0"),
        ("model.memory", "0", "memory 0"),
        ("model.closure", "True", "closure"),
        ("model.closure", "False", "no closure"),
        ("data.teachers", "[a,b,c]", "3 teachers together"),
        ("data.teachers", "[a]", "each teacher alone"),
    ],
)
def test_labels_are_for_readers(key: str, value: str, text: str) -> None:
    assert label(key, value) == text
