"""Months of products for ``prepare``, from the same files as nights take.

What a night goes on with must begin with the same product: another one has another
coast and another climate. Only final months count, as all months of a prepared store
do; preliminary ones are the night's.
"""

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError, GridMismatchError, TimeAxisError
from emulator.carbon.grid import Grid
from emulator.carbon.variables import VARIABLES
from emulator.data.entry import Entry, Years
from emulator.data.readers.files import changed, checksum
from emulator.data.readers.offering import PRODUCTS, place_of
from emulator.data.readers.products import Offering, Piece, days_of, spanned
from emulator.data.readers.series import wanted_years
from emulator.data.readers.stretches import STRETCH_BYTES, Months, Stretch

log = logging.getLogger(__name__)

_ANY: Years = (1900, None)

LEFT_OUT = "left_out"
"""Attribute of a field: which month lacks before others that are there, in words."""


def read(
    entry: Entry,
    variable: str,
    simulation: str | None,
    data_root: Path,
    years: Years | None,
) -> xr.DataArray:
    """Read one variable; dims (time, lat, lon), final months alone.

    Arguments and errors are those of ``emulator.data.readers.read``. The entry's root
    is the folder of the product; the names in its files are known.
    """
    del simulation  # products have none
    with open_product(entry, variable, data_root, years) as product:
        parts = list(product.stretches(product.months()))
    names = [name for part in parts for name in part.sources]
    sums = {where: said for part in parts for where, said in part.sums.items()}
    joined = xr.concat([part.field for part in parts], "time", combine_attrs="override")
    gap = product.gap()
    return joined.assign_attrs(origin(names, sums) | ({LEFT_OUT: gap} if gap else {}))


@contextmanager
def open_product(
    entry: Entry, variable: str, data_root: Path, years: Years | None
) -> Iterator["ProductSeries"]:
    """Open one variable of a product, to be read some months at a time.

    Arguments are those of ``emulator.data.readers.read``.

    Raises:
        CatalogError: If the reader does not know the variable.
    """
    place = place_of(entry.root, data_root)
    wanted = wanted_years(entry, None, years) or _ANY
    with tempfile.TemporaryDirectory(prefix="sink-emulator-") as scratch:
        offering = _offering(entry, variable, place, Path(scratch))
        yield ProductSeries(entry, variable, place, wanted, offering)


@dataclass(frozen=True, eq=False)
class ProductSeries:
    """The final months of a product: see ``stretches.Series``.

    Attributes:
        entry: The catalog entry.
        variable: Canonical name.
        place: Where the product lies.
        wanted: First and last year; the last may be open.
        offering: What is there.
    """

    entry: Entry
    variable: str
    place: str
    wanted: Years
    offering: Offering

    def months(self) -> Months:
        """Return the months there are, up to the last final one.

        Only months at the end are read to see that: those before it count as final
        until ``stretches`` finds otherwise.

        Raises:
            TimeAxisError: If they are not those wanted.
        """
        whole = self._whole()
        there = list(whole.values())
        count = there.index(False) if False in there else len(there)
        months = list(whole)[:count]
        while months and not self._piece(months[-1]).tell((self.variable,)).is_final:
            months.pop()
        gap = self._gap(whole)
        if not _reaches(months, self.wanted):
            held = f"{months[0]} to {months[-1]}" if months else "none"
            late = f"{count - len(months)} more are preliminary (docs/data.md: Status)."
            said = [
                f"{self.place} has the final months {held} of '{self.variable}', but "
                f"{_span(self.wanted)} are needed without a gap.",
                *([late] if len(months) < count else []),
                *([f"{gap}."] if gap else []),
                *self.offering.refused,
                f"Get what is missing, or correct 'years' in the catalog entry "
                f"'{self.entry.name}'.",
            ]
            raise TimeAxisError(" ".join(said))
        if gap:
            log.warning("%s", gap)
        return np.array(months, "M8[M]")

    def gap(self) -> str:
        """Return which month lacks before others, in words; nothing if none does."""
        return self._gap(self._whole())

    def _whole(self) -> dict[np.datetime64, bool]:
        """Return whether each month that is wanted is there, with all its days."""
        every = _months(self.offering, self.wanted)
        return {month: self.offering.month(month) is not None for month in every}

    def _gap(self, whole: Mapping[np.datetime64, bool]) -> str:
        there = [month for month, is_there in whole.items() if is_there]
        lacks = [month for month, is_there in whole.items() if not is_there]
        if not there or not lacks or there[-1] < lacks[0]:
            return ""
        month = lacks[0]
        days = days_of(month)
        lacking = [day for day in days if day not in self.offering.days]
        some = f" ({len(lacking)} of {len(days)} days lack, the first {lacking[0]})"
        return (
            f"{self.place} has no '{self.variable}' of {month}"
            f"{some if len(lacking) < len(days) else ''}, so that months after it are "
            f"left out"
        )

    def behind(self, months: Months) -> list[str]:
        """Return names and checksums of files, and other origins."""
        said: dict[str, None] = {}
        for month in months:
            piece = self._piece(month)
            for path in piece.files:
                there = checksum(path) if path.exists() else "gone"
                said[f"{path.name} {there}"] = None
            said |= dict.fromkeys(piece.origins)
        return list(said)

    def stretches(self, months: Months) -> Iterator[Stretch]:
        """Read months.

        Raises:
            TimeAxisError: If one is preliminary.
            GridMismatchError: If they are on different grids.
            UserError: If one is gone meanwhile.
        """
        grid: Grid | None = None
        found = ""
        fields: list[NDArray[np.float32]] = []
        names: list[str] = []
        sums: dict[str, str] = {}
        for number, month in enumerate(months):
            piece = self._piece(month)
            told = piece.tell((self.variable,))
            if not told.is_final:
                raise TimeAxisError(
                    f"{piece.sources[0]}: '{self.variable}' of {month} is preliminary, "
                    f"but of later months final, and a series needs final ones. Get "
                    f"the final month, or end 'years' in the catalog entry "
                    f"'{self.entry.name}' before it."
                )
            grid = grid or told.grid
            if not told.grid.matches(grid):
                raise GridMismatchError(
                    f"{piece.sources[0]} is on a grid of {told.grid.describe()}, but "
                    f"the months before on {grid.describe()}. Get all on one grid."
                )
            found = found or told.units.get(self.variable, "")
            fields.append(told.fields[self.variable].astype(np.float32))
            names += piece.sources
            sums |= {str(p): checksum(p) for p in piece.files if str(p) not in sums}
            if piece.origins:
                # What lies elsewhere is known by what was read of it.
                content = hashlib.sha256(fields[-1].tobytes()).hexdigest()
                sums[str(month)] = content
            held = (len(fields) + 1) * fields[0].nbytes
            if held > STRETCH_BYTES or number == len(months) - 1:
                read = months[number + 1 - len(fields) : number + 1]
                values = self._array(read, np.stack(fields), grid, found)
                yield Stretch(values, tuple(dict.fromkeys(names)), sums)
                fields, names, sums = [], [], {}

    def _piece(self, month: np.datetime64) -> Piece:
        piece = self.offering.month(month)
        if piece is None:
            raise changed(f"{self.place}, with '{self.variable}' of {month} gone,")
        return piece

    def _array(
        self, months: Months, values: NDArray[np.float32], grid: Grid, found: str
    ) -> xr.DataArray:
        known = VARIABLES[self.variable]
        attrs = {
            "units": known.units,
            "long_name": known.long_name,
            "source_file": "",
            "source_units": found,
            "source_name": self.offering.title,
            "source_calendar": self.offering.calendar,
            "frequency": "month",
            "sha256": "",
            "catalog_entry": self.entry.name,
        }
        coords = {"time": months.astype("M8[ns]"), "lat": grid.lat, "lon": grid.lon}
        dims = ("time", "lat", "lon")
        return xr.DataArray(values, coords, dims, name=self.variable, attrs=attrs)


def origin(sources: Sequence[str], sums: Mapping[str, str]) -> dict[str, str]:
    """Return the first and the last source of joined stretches, and one checksum."""
    return {"source_file": spanned(sources), "sha256": _checksum([*sums.values()])}


def _offering(entry: Entry, variable: str, place: str, scratch: Path) -> Offering:
    """Return what the place of an entry has.

    Raises:
        CatalogError: If the reader does not know the variable.
    """
    product = PRODUCTS[entry.reader]
    known = product.variables
    if variable not in known:
        raise CatalogError(
            f"Catalog entry '{entry.name}' offers '{variable}', but the reader "
            f"{entry.reader} knows {list(known)}. Remove it from 'variables'."
        )
    return product.find(place, [variable], scratch)


def _months(offering: Offering, wanted: Years) -> NDArray[np.datetime64]:
    """Return the months from the first to the last that may be there."""
    stamps = np.array([*offering.months, *offering.days], "M8[D]").astype("M8[M]")
    year = stamps.astype("M8[Y]").astype(np.int64) + 1970
    last = np.inf if wanted[1] is None else wanted[1]
    stamps = stamps[(year >= wanted[0]) & (year <= last)]
    if not stamps.size:
        return stamps
    return np.arange(stamps.min(), stamps.max() + 1)


def _reaches(months: list[np.datetime64], wanted: Years) -> bool:
    """Return whether months, which follow one another, are those of some years.

    Years with an open end are those of the product: a folder may hold fewer.
    """
    if wanted[1] is None or not months:
        return bool(months)
    ends = (f"{wanted[0]:04d}-01", f"{wanted[1]:04d}-12")
    return (str(months[0]), str(months[-1])) == ends


def _span(years: Years) -> str:
    return f"those of {years[0]} to {years[1] or 'any year'}"


def _checksum(sums: list[str]) -> str:
    """Return the SHA-256 of what was read, that of their own if there are several."""
    if len(sums) < 2:
        return "".join(sums)
    return hashlib.sha256("".join(sums).encode()).hexdigest()
