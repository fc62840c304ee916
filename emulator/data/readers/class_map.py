"""Maps of land-cover classes as shares of the cells of a coarse grid.

HILDA+ (0.01 degree), the land cover of ESA CCI and C3S (300 m), and any other map of
numbers whose legend a catalog entry writes down. A share is one of the whole cell, sea
included; what no variable of the entry counts is the remainder.
"""

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError
from emulator.carbon.grid import Grid
from emulator.data.binning import binning
from emulator.data.entry import Entry
from emulator.data.readers.bands import FineMap, open_map
from emulator.data.readers.fields import Declared, Field, to_array
from emulator.data.readers.files import checksum, find_one, unchanging

_CODES = 256
"""Numbers that a byte can hold; the next one stands for no value."""

Legend = tuple[tuple[int, str], ...]


def read(entry: Entry, variable: str, data_root: Path, grid: Grid) -> xr.DataArray:
    """Return the share of each cell that classes cover; dims (lat, lon).

    Args:
        entry: An entry with ``legend``, ``years`` and ``classes`` of its variables.
        variable: Canonical name.
        data_root: The folder below which entries' roots lie.
        grid: The grid of the shares. What the map does not cover counts as none.

    Raises:
        CatalogError: If the file holds a class which the legend lacks, or its own
            legend contradicts the entry's.
        UserError: If the file cannot be read.
        TimeAxisError: If it does not hold the year.
        GridMismatchError: If it is on no complete regular grid.
    """
    path = find_one(entry, variable, data_root)
    source = entry.variables[variable]
    name = source.name or variable
    year = entry.years[0] if entry.years else None
    with unchanging(path):
        status = path.stat()
        shares = _shares(
            path,
            (status.st_size, status.st_mtime_ns),
            name,
            year,
            Declared.of(entry, entry.years),
            tuple(sorted(entry.legend.items())),
            grid,
        )
        sha256 = checksum(path)
    codes = sorted(entry.legend)
    chosen = [codes.index(code) for code in source.classes]
    values = np.clip(shares[chosen].sum(axis=0), 0, 1).astype(np.float32)
    field = Field(values, grid.lat, grid.lon, None, "1", name)
    found = to_array(field, entry, variable, path, sha256)
    found.attrs["source_classes"] = ", ".join(str(code) for code in source.classes)
    found.attrs["source_years"] = f"{year}"
    return found


# All classes are counted at once: the next variable of the entry need not read the
# file again.
@lru_cache(maxsize=1)
def _shares(
    path: Path,
    _identity: tuple[int, int],
    name: str,
    year: int | None,
    declared: Declared,
    legend: Legend,
    grid: Grid,
) -> NDArray[np.float64]:
    """Return the share of each cell of each class; shape (class, lat, lon)."""
    with open_map(path, name, declared, year) as found:
        _require_legend(found, legend)
        fills = _fills(found)
        kind = np.min_scalar_type(len(legend) + 1)
        number = np.full(_CODES + 1, len(legend) + 1, kind)
        number[[fill % _CODES for fill in fills if abs(fill) < _CODES]] = len(legend)
        number[_CODES] = len(legend)
        # A fill that the legend names, such as 0 for the sea, is a class.
        number[[code for code, _ in legend]] = np.arange(len(legend))
        bins = binning(found.grid, grid)
        totals = np.zeros((len(legend) + 1, *grid.shape))
        for first, band in found.bands():
            groups = number[_codes(band, found, fills)]
            if groups.max() > len(legend):
                _refuse_unknown(band, groups > len(legend), found, legend)
            bins.add(totals, first, groups)
    return totals[:-1]


def _codes(
    band: NDArray[Any], found: FineMap, fills: list[int]
) -> NDArray[np.integer[Any]]:
    """Return numbers of classes; signed bytes hold 128 and more as negative ones."""
    if band.dtype.kind in "iu" and band.dtype.itemsize == 1:
        return band.view(np.uint8)
    is_none = np.isin(band, fills)
    codes = np.where(is_none, 0, band)
    if band.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= _CODES:
        raise CatalogError(
            f"{found.path}: '{found.variable.name}' holds {band.dtype} from "
            f"{band.min()} to {band.max()}, but a map of classes holds whole numbers "
            f"from 0 to {_CODES - 1}. Name another variable in the catalog entry."
        )
    return np.where(is_none, _CODES, codes)


def _fills(found: FineMap) -> list[int]:
    """Return what the file declares to be no value."""
    stated = np.atleast_1d(found.variable.attrs.get("_FillValue", []))
    return [int(fill) for fill in stated if np.isfinite(fill)]


def _refuse_unknown(
    band: NDArray[Any], unknown: NDArray[np.bool_], found: FineMap, legend: Legend
) -> None:
    held = band.view(np.uint8) if band.dtype.itemsize == 1 else band
    codes = np.unique(held[unknown]).tolist()
    raise CatalogError(
        f"{found.path}: '{found.variable.name}' holds the classes {codes}, which "
        f"'legend' of the catalog entry lacks; it has {[code for code, _ in legend]}. "
        f"Add them, or get the version of the product that the entry describes."
    )


def _require_legend(found: FineMap, legend: Legend) -> None:
    """Refuse a file whose own legend contradicts that of the entry."""
    attrs = found.variable.attrs
    if "flag_values" not in attrs or "flag_meanings" not in attrs:
        return
    codes = np.atleast_1d(attrs["flag_values"]).astype(np.int64) % _CODES
    meanings = str(attrs["flag_meanings"]).split()
    if codes.size != len(meanings):
        raise CatalogError(
            f"{found.path}: '{found.variable.name}' has {codes.size} flag_values and "
            f"{len(meanings)} flag_meanings, but one word belongs to each number. Get "
            f"the file again."
        )
    said = dict(zip(codes.tolist(), meanings, strict=True))
    for code, meaning in legend:
        held = said.get(code)
        if held is None or _plain(meaning) not in _plain(held):
            raise CatalogError(
                f"{found.path}: class {code} is '{meaning}' in the catalog entry, but "
                f"{held!r} in the file's own legend. Correct 'legend' and 'classes'."
            )


def _plain(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", words.lower())
