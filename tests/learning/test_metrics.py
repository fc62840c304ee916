"""The rows of a run, under columns of what it learns from."""

import csv
from pathlib import Path

from emulator.learning.metrics import MetricsFile


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_only_terms_of_the_run_have_columns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    metrics = MetricsFile(path, 3, "choose")
    metrics.rewind(0)
    assert path.read_text().split() == [
        "member,stage,step,train_loss,validation_cells,validation_annual,rate,seconds"
    ]
    metrics.append(step=10, gradient_cells=2.0, rate=0.1)
    # A term that is not in every step comes later, and leaves the rows before empty.
    metrics.append(step=20, gradient_cells=1.0, gradient_weak=float("nan"))
    first, second = rows_of(path)
    assert [name for name in first if "_" in name and "valid" not in name] == [
        "train_loss",
        "gradient_cells",
        "gradient_weak",
    ]
    assert (first["member"], first["stage"], first["step"]) == ("3", "choose", "10")
    assert (first["gradient_weak"], second["gradient_weak"]) == ("", "nan")


def test_rewinding_drops_later_rows_of_the_same_member_and_stage(
    tmp_path: Path,
) -> None:
    path = tmp_path / "metrics.csv"
    for member, stage in ((0, "choose"), (0, "refit"), (1, "choose")):
        metrics = MetricsFile(path, member, stage)
        metrics.append(step=10, gradient_cells=1.0)
        metrics.append(step=20, gradient_cells=1.0, cosine_globe=0.5)
    MetricsFile(path, 0, "choose").rewind(10)
    left = [(row["member"], row["stage"], row["step"]) for row in rows_of(path)]
    assert left == [
        ("0", "choose", "10"),
        *(("0", "refit", step) for step in ("10", "20")),
        *(("1", "choose", step) for step in ("10", "20")),
    ]
    MetricsFile(path, 0, "refit").rewind(0)
    MetricsFile(path, 1, "choose").rewind(10)
    assert "cosine_globe" not in path.read_text()
