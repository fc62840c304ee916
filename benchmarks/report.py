"""Rows as a table for a person and as JSON for a comparison over time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measuring import Row

VERDICT = {True: "kept", False: "missed", None: "-"}


def print_table(
    rows: Sequence[Row], about: Mapping[str, Any], console: Console | None = None
) -> None:
    """Print the rows below a line on machine, code and input."""
    console = console or Console()
    table = Table(title="sink-emulator benchmarks", title_justify="left")
    table.add_column("what")
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("promised")
    table.add_column("verdict")
    table.add_column("memory MB", justify="right", no_wrap=True)
    table.add_column("of")
    for row in rows:
        table.add_row(
            row.name,
            f"{row.value:.3g} {row.unit}",
            _promised(row),
            VERDICT[row.is_kept],
            _memory(row),
            row.about,
        )
    console.print(", ".join(f"{key} {value}" for key, value in about.items()))
    console.print(table)


def conclude(
    rows: Sequence[Row], about: Mapping[str, Any], out: Path | None, what: str
) -> None:
    """Print the rows and write them, by default below ``build/benchmarks``."""
    date = about["date"].replace(":", "").partition("+")[0]
    path = out or Path("build", "benchmarks", f"{date}-{what}.json")
    print_table(rows, about)
    print(f"also in {write_json(rows, about, path)}")


def write_json(rows: Sequence[Row], about: Mapping[str, Any], path: Path) -> Path:
    """Write machine, code, input and rows.

    Args:
        rows: The rows.
        about: Machine, code and input.
        path: The file; its folder is made, an older file is replaced.

    Returns:
        ``path``.
    """
    listed = [{**asdict(row), "is_kept": row.is_kept} for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**about, "rows": listed}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _promised(row: Row) -> str:
    if row.promise is None:
        return ""
    return f"< {row.promise.seconds:g} s: {row.promise.given_for}"


def _memory(row: Row) -> str:
    if row.cost.gpu_memory_mb is None:
        return f"{row.cost.memory_mb:.0f}"
    return f"{row.cost.memory_mb:.0f}, GPU {row.cost.gpu_memory_mb:.0f}"
