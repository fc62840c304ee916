"""What products say of months and days, whatever their files look like."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, UnitsError, UserError
from emulator.carbon.grid import Grid
from emulator.carbon.units import convert

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Told:
    """Means over one month or day, in canonical units.

    Attributes:
        fields: By name; float64, NaN where there is no value; shape (lat, lon).
        grid: Where.
        is_final: Whether all that is behind them is final.
        units: By name, the unit that files state, or of several quantities each with
            its own; what is not told is not there.
    """

    fields: Mapping[str, Array]
    grid: Grid
    is_final: bool
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Piece:
    """A month or a day that a product has.

    Attributes:
        files: The files behind it, if they lie on this machine.
        read: Reads variables of it, by name.
        origins: What is behind it and lies elsewhere, in words that change with it.
    """

    files: tuple[Path, ...]
    read: Callable[[tuple[str, ...]], Told]
    origins: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """What is behind it, for people: names of files, and origins."""
        return (*(path.name for path in self.files), *self.origins)

    def tell(self, names: tuple[str, ...]) -> Told:
        """Read variables of it, by name; what is wrong with it names what is behind it.

        Raises:
            UserError: As ``read``.
        """
        try:
            return self.read(names)
        except UserError as error:
            if any(source in str(error) for source in self.sources):
                raise
            raise type(error)(f"{spanned(self.sources)}: {error}") from None

    def identity(self) -> str:
        """Return a word that changes when a file or an origin does."""
        found = hashlib.sha256()
        for origin in sorted(self.origins):
            found.update(f"{origin}\n".encode())
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
        origins = dict.fromkeys(one for piece in pieces for one in piece.origins)
        return Piece(tuple(files), lambda names: _mean(pieces, names), tuple(origins))


def spanned(sources: Iterable[str]) -> str:
    """Return the first and the last of some sources, in words."""
    names = sorted(set(sources))
    return " to ".join(dict.fromkeys([names[0], names[-1]]))


def days_of(month: np.datetime64) -> list[np.datetime64]:
    """Return the days of a month, datetime64[D]."""
    return list(np.arange(month, month + 1, dtype="M8[D]"))


def _mean(pieces: list[Piece], names: tuple[str, ...]) -> Told:
    """Return the mean of days, which count alike; no value where one has none."""
    total: dict[str, Array] = {}
    is_final = True
    for piece in pieces:
        told = piece.tell(names)
        if piece is pieces[0]:
            grid, units = told.grid, told.units
        elif not told.grid.matches(grid):
            raise GridMismatchError(
                f"{piece.sources[0]} is on a grid of {told.grid.describe()}, but the "
                f"first day of its month on {grid.describe()}. Get the month anew."
            )
        for name in names:
            total[name] = total.get(name, 0.0) + told.fields[name]
        is_final &= told.is_final
    means = {name: values / len(pieces) for name, values in total.items()}
    return Told(means, grid, is_final, units)


def converted(
    values: NDArray[Any], units: str | None, wanted: str, what: str
) -> NDArray[Any]:
    """Return what a file of a product holds in the unit in which it is used.

    Args:
        values: Of any shape.
        units: The unit that the file states; None if it states none.
        wanted: The unit in which they are used.
        what: Variable and time, for messages.

    Returns:
        The same shape and floating type.

    Raises:
        UnitsError: If it states no unit, or one of another kind.
    """
    if not units:
        raise UnitsError(
            f"{what} states no unit, but {wanted!r} is needed. Get it again."
        )
    try:
        return convert(values, units, wanted)
    except UnitsError:
        raise UnitsError(
            f"{what} is in {units!r}, which cannot become {wanted!r}. Get it again, as "
            f"its provider offers it."
        ) from None


def stated(units: Mapping[str, str]) -> str:
    """Return units of quantities in words: of one as it is, of several each by name."""
    if len(units) == 1:
        return next(iter(units.values()))
    return ", ".join(f"{name} {unit}" for name, unit in units.items())
