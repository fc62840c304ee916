"""``metrics.csv``: one row a validation, appended as training goes."""

import csv
from pathlib import Path

from emulator.learning.losses import TERMS

METRICS_FILE = "metrics.csv"
COLUMNS = (
    "member",
    "stage",
    "step",
    "train_loss",
    "validation_cells",
    "validation_annual",
    *(f"gradient_{term}" for term in TERMS),
    *(f"cosine_{term}" for term in TERMS if term != "cells"),
    "rate",
    "seconds",
)


class MetricsFile:
    """The rows of one member and stage in the metrics of a run.

    Args:
        path: The file; made with its header if missing.
        member: Seed of the member.
        stage: "choose" or "refit".
    """

    def __init__(self, path: Path, member: int, stage: str) -> None:
        """Remember the place; nothing is written yet."""
        self.path = path
        self.member = member
        self.stage = stage

    def rewind(self, step: int) -> None:
        """Drop rows of this member and stage beyond ``step``: they will come again."""
        rows = self._rows()
        kept = [row for row in rows if not self._is_later(row, step)]
        temporary = self.path.with_suffix(".part")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)
        temporary.replace(self.path)

    def append(self, **values: float) -> None:
        """Add a row."""
        rounded = {name: f"{value:.6g}" for name, value in values.items()}
        rounded["step"] = str(int(values["step"]))
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, COLUMNS).writerow(
                {"member": self.member, "stage": self.stage, **rounded}
            )

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        # A kill may have cut the last row short.
        return [row for row in rows if None not in row.values()]

    def _is_later(self, row: dict[str, str], step: int) -> bool:
        mine = row["member"] == str(self.member) and row["stage"] == self.stage
        return mine and int(row["step"]) > step
