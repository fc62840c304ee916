"""Forcing some months at a time: a series may be too long for memory.

Which months there are is told by time axes, before values are read.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.timeaxis import as_months, years_of
from emulator.data.entry import Entry, Years
from emulator.data.readers.held import checksums_of_years, months_held, native_shape

Months = NDArray[np.datetime64]

STRETCH_BYTES = 2**25
"""Of values read at a time: what is made of them takes several times as much."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Consecutive months of one variable.

    Attributes:
        field: As ``emulator.data.readers.read`` returns it; dims (time, lat, lon).
        sources: Names of what it was read from.
        sums: SHA-256 of what it was read from, by where that lies.
    """

    field: xr.DataArray
    sources: tuple[str, ...]
    sums: dict[str, str]


class Series(Protocol):
    """One variable of one product, in months."""

    def months(self) -> Months:
        """Return the months that can be read, increasing and without a gap.

        Raises:
            UserError: As ``emulator.data.readers.read``.
        """

    def behind(self, months: Months) -> list[str]:
        """Return words that change with what some months are read from."""

    def stretches(self, months: Months) -> Iterator[Stretch]:
        """Read months, as many at a time as ``STRETCH_BYTES`` hold, at least one.

        Args:
            months: Increasing months, of those that can be read; shape (time,).

        Raises:
            UserError: As ``emulator.data.readers.read``.
        """


@dataclass(frozen=True)
class FileSeries:
    """A series in files of whole years.

    Attributes:
        entry: The catalog entry.
        variable: Canonical name.
        data_root: The folder below which entries' roots lie.
        years: Years to read; those which the entry declares when None.
        read: Reads some years, as ``emulator.data.readers.read`` does.
    """

    entry: Entry
    variable: str
    data_root: Path
    years: Years | None
    read: Callable[[Years | None], xr.DataArray] = field(repr=False)

    def months(self) -> Months:
        """Return the months there are: see ``Series``."""
        return self._months

    @cached_property
    def _months(self) -> Months:
        """Told once: where axes do not tell, the whole series is read for it."""
        wanted = self.years or self.entry.label_years(None)
        held = months_held(self.entry, self.variable, self.data_root, wanted)
        # Where axes do not tell, or not what is wanted, reading says what is wrong.
        return as_months(self.read(self.years).time.values) if held is None else held

    def behind(self, months: Months) -> list[str]:
        """Return names and checksums of files: see ``Series``."""
        (found,) = checksums_of_years(
            self.entry, self.variable, None, self.data_root, [_span(months)]
        )
        return found

    def stretches(self, months: Months) -> Iterator[Stretch]:
        """Read months: see ``Series``."""
        shape = native_shape(self.entry, self.variable, None, self.data_root)
        year_bytes = 48 * shape[0] * shape[1] if shape else STRETCH_BYTES
        step = max(1, STRETCH_BYTES // year_bytes)
        first, last = _span(months)
        is_open = self.years is None and (self.entry.years or (0, None))[1] is None
        end = int(years_of(self._months[-1:])[0]) if is_open else None
        for begin in range(first, last + 1, step):
            until = min(begin + step - 1, last)
            # The last year of an open series may not be over.
            values = self.read((begin, None if until == end else until))
            values = values.isel(time=np.isin(as_months(values.time.values), months))
            file, checksum = values.attrs["source_file"], values.attrs["sha256"]
            yield Stretch(values, (file,), {file: checksum})


def origin(sources: Sequence[str], sums: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes ``source_file`` and ``sha256`` of joined stretches."""
    return {"source_file": _each(sources), "sha256": _each([*sums.values()])}


def _each(lists: Sequence[str]) -> str:
    """Return the words of some lists, each once."""
    return " ".join(dict.fromkeys(" ".join(lists).split(" ")))


def _span(months: Months) -> tuple[int, int]:
    years = years_of(months[[0, -1]])
    return int(years[0]), int(years[1])
