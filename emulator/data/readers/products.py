"""What products say of months and days, whatever their files look like."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError
from emulator.carbon.grid import Grid

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Told:
    """Means over one month or day, in canonical units.

    Attributes:
        fields: By name; float64, NaN where there is no value; shape (lat, lon).
        grid: Where.
        is_final: Whether all that is behind them is final.
    """

    fields: Mapping[str, Array]
    grid: Grid
    is_final: bool


@dataclass(frozen=True, eq=False)
class Piece:
    """A month or a day that a product has.

    Attributes:
        files: The files behind it.
        read: Reads variables of it, by name.
    """

    files: tuple[Path, ...]
    read: Callable[[tuple[str, ...]], Told]

    def identity(self) -> str:
        """Return a word that changes when a file does: name, length or time."""
        found = hashlib.sha256()
        for path in sorted(self.files):
            status = path.stat()
            found.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
        return found.hexdigest()


@dataclass(eq=False)
class Offering:
    """All that a product has.

    Attributes:
        title: The product, for people.
        calendar: Which days its months have.
        months: Whole months, by datetime64[M].
        days: Whole days, by datetime64[D].
        refused: What is wrong with files, in words; the others serve all the same.
    """

    title: str
    calendar: str = "standard"
    months: dict[np.datetime64, Piece] = field(default_factory=dict)
    days: dict[np.datetime64, Piece] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)

    def month(self, month: np.datetime64) -> Piece | None:
        """Return a month: as it is told, else the mean of its days if all are there."""
        if month in self.months:
            return self.months[month]
        days = days_of(month)
        pieces = [self.days[day] for day in days if day in self.days]
        if len(pieces) < len(days):
            return None
        files = dict.fromkeys(path for piece in pieces for path in piece.files)
        return Piece(tuple(files), lambda names: _mean(pieces, names))


def days_of(month: np.datetime64) -> list[np.datetime64]:
    """Return the days of a month, datetime64[D]."""
    return list(np.arange(month, month + 1, dtype="M8[D]"))


def _mean(pieces: list[Piece], names: tuple[str, ...]) -> Told:
    """Return the mean of days, which count alike; no value where one has none."""
    total: dict[str, Array] = {}
    is_final = True
    for piece in pieces:
        told = piece.read(names)
        if piece is pieces[0]:
            grid = told.grid
        elif not told.grid.matches(grid):
            raise GridMismatchError(
                f"{piece.files[0]} is on a grid of {told.grid.describe()}, but the "
                f"first day of its month on {grid.describe()}. Get the month anew."
            )
        for name in names:
            total[name] = total.get(name, 0.0) + told.fields[name]
        is_final &= told.is_final
    means = {name: values / len(pieces) for name, values in total.items()}
    return Told(means, grid, is_final)
