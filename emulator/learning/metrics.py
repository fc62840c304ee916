"""``metrics.csv``: one row a validation, added as training goes.

A term of the loss has columns only where a run has the term.
"""

import csv
from pathlib import Path

from emulator.data.writing import written_whole
from emulator.learning.losses import TERMS

METRICS_FILE = "metrics.csv"

_SCORES = (
    "member",
    "stage",
    "step",
    "train_loss",
    "validation_cells",
    "validation_annual",
)
_TERMS = (
    *(f"gradient_{term}" for term in TERMS),
    *(f"cosine_{term}" for term in TERMS if term != "cells"),
)
_COURSE = ("rate", "seconds")


class MetricsFile:
    """The rows of one member and stage in the metrics of a run.

    Args:
        path: The file; made with its header if missing.
        member: Seed of the member.
        stage: "choose" or "refit", or what comes before one of them.
    """

    def __init__(self, path: Path, member: int, stage: str) -> None:
        """Remember the place; nothing is written yet."""
        self.path = path
        self.member = member
        self.stage = stage

    def rewind(self, step: int) -> None:
        """Drop rows of this member and stage beyond ``step``: they will come again."""
        self._write([row for row in self._rows() if not self._is_later(row, step)])

    def append(self, **values: float) -> None:
        """Add a row."""
        row = {name: f"{value:.6g}" for name, value in values.items()}
        row |= {"member": str(self.member), "stage": self.stage}
        row["step"] = str(int(values["step"]))
        self._write([*self._rows(), row])

    def _write(self, rows: list[dict[str, str]]) -> None:
        """Put the rows under the columns that they need, whole or not at all."""
        terms = [name for name in _TERMS if any(row.get(name) for row in rows)]
        with written_whole(self.path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(
                file, (*_SCORES, *terms, *_COURSE), extrasaction="ignore"
            )
            writer.writeheader()
            writer.writerows(rows)

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _is_later(self, row: dict[str, str], step: int) -> bool:
        mine = row["member"] == str(self.member) and row["stage"] == self.stage
        return mine and int(row["step"]) > step
