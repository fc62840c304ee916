"""Files that stand under their name only when they are whole."""

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield the name to write to; in the end what was written takes ``path``.

    If writing fails nothing is left of it, and what stood under ``path`` stays.

    Args:
        path: Of a file, in a folder that is there.
    """
    # Its own for each process, and the ending kept, which libraries go by.
    part = path.with_name(f".{path.stem}.part-{os.getpid()}{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> Path:
    """Write a text file, whole or not at all; return its path."""
    with written_whole(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def write_table(
    path: Path, columns: Sequence[str], lines: Iterable[Iterable[object]]
) -> Path:
    """Write a .csv file, whole or not at all; return its path."""
    with written_whole(path) as part, part.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(lines)
    return path
