"""Workbooks of the Global Carbon Budget: the budget, and each model's annual sink.

Header rows, columns and spellings move with every edition, and so nothing is found by
its place. The header of a sheet is the first row that begins with ``Year``; empty
columns separate the groups beside it; the unit is what the notes above it say. So the
editions 2019 to 2025 read alike.

Source:
    Friedlingstein et al. (2019 to 2025), Global Carbon Budget, supplemental data,
    https://doi.org/10.18160/gcp-2024 and those of the other years.
"""

import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
from numpy.typing import NDArray
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from emulator.carbon.errors import TimeAxisError, UnitsError, UserError
from emulator.carbon.units import convert

Array = NDArray[np.float64]
Row = tuple[Any, ...]

UNITS = "PgC yr-1"
"""The unit of every column; 1 PgC is 1 GtC."""

TERMS = {
    # 2024 adds a column with carbonation beside the one without.
    "e_fos": r"fossil (?!.*including)",
    "e_luc": r"land-use",
    "g_atm": r"atmospheric growth",
    "s_ocean": r"ocean sink",
    "s_land": r"land sink",
    "cement": r"cement",
    "b_im": r"budget imbalance",
}
"""How the columns of the budget sheet begin, in small letters."""

ALIASES = {
    "CABLE": "CABLE-POP",
    "JULES": "JULES-ES",
    "LPJ": "LPJwsl",
    "LPJ-EOSIM": "LPJwsl",
    "LPX": "LPX-Bern",
    "OCNv2": "OCN",
    "Orchidee": "ORCHIDEE-v3",
}
"""Land models that are spelt otherwise in some editions, under their usual name."""

AT_SEA = {
    # The sea's columns name the institution, the model or its version: from edition to
    # edition something else. What stays is one word; the first that fits counts.
    "CNRM": r"cnrm",
    "PlankTOM": r"planktom",
    "PISCES": r"pisces|ipsl",
    "MOM6-COBALT": r"mom6|princeton",
    "FESOM-REcoM": r"fesom|recom",
    "MRI-ESM2": r"\bmri\b",
    "NorESM": r"noresm|micom",
    "CESM": r"cesm",
    "MPIOM-HAMOCC": r"mpiom",
    "ACCESS": r"access|csiro",
    "LSCE-FFNN": r"lsce",
    "JMA-MLR": r"jma",
    "LDEO-HPD": r"ldeo",
    "SOM-FFN": r"som[-_]?ffn|landsch",
    "NIES": r"nies",
    "OceanSODA": r"oceansoda|os_eth",
    "Jena": r"jena|r(ö|oe)denbeck",
    "CSIR-ML6": r"csir\b|csir-",
    "UExP": r"uexp|uo?ex|watson",
}
"""Ocean models and fCO2 products: how their columns and labels are told apart."""

# Neither a model nor a product: what the sheet computes from them.
_SUMMARY = re.compile(r"\b(mean|average|spread|sd|sigma|uncertainty)\b", re.I)
_UNIT = re.compile(r"\b([GM]tC)\s*/\s*yr\b")
_EDITION = re.compile(r"Global_Carbon_Budget_(\d{4})_?v(\d+(?:\.\d+)*)", re.I)
_FIRST_YEAR, _LAST_YEAR = 1700, 2200

_DAMAGES = (
    InvalidFileException,
    zipfile.BadZipFile,
    KeyError,  # a part is missing
    EOFError,
    zlib.error,
    SyntaxError,  # of XML, by whichever library parses it
)
"""How a file that is no whole workbook shows."""


@dataclass(frozen=True, eq=False)
class Table:
    """Annual series of one group of columns.

    Attributes:
        years: Consecutive; shape (year,).
        columns: By name, PgC yr-1, NaN where the sheet is empty; shape (year,) each.
    """

    years: NDArray[np.int64]
    columns: Mapping[str, Array]

    def matrix(self) -> Array:
        """Return all columns; shape (column, year)."""
        series = list(self.columns.values())
        return np.stack(series) if series else np.empty((0, self.years.size))

    def within(self, first: int, last: int) -> "Table":
        """Return the years from ``first`` to ``last``, both included.

        Raises:
            TimeAxisError: If the table does not cover them.
        """
        if first < self.years[0] or last > self.years[-1] or last < first:
            raise TimeAxisError(
                f"The years {first}-{last} are wanted, but the table holds "
                f"{self.years[0]}-{self.years[-1]}. Choose years that it covers, or "
                f"read another edition."
            )
        inside = (self.years >= first) & (self.years <= last)
        columns = {name: values[inside] for name, values in self.columns.items()}
        return Table(self.years[inside], columns)


@dataclass(frozen=True, eq=False)
class SinkSheet:
    """One sink as each model and product has it.

    Attributes:
        models: Process models, not adjusted in any way: DGVMs (simulation S2) or
            ocean biogeochemistry models.
        products: Products of observed fCO2, with the river flux that the edition
            adds; no columns on land.
        published: What the budget made of them: the headline ``GCB``, adjusted as
            the edition says, unadjusted values, means and spreads.
    """

    models: Table
    products: Table
    published: Table

    def column_of(self, label: str) -> tuple[str, NDArray[np.int64], Array] | None:
        """Return name, years and values of a model's or product's column.

        Args:
            label: The model as anybody spells it, e.g. ``LPJ-EOSIM`` or
                ``FESOM2_REcoM``.

        Returns:
            The column, PgC yr-1; None if none is of this model.
        """
        wanted = _identity(label)
        for table in (self.models, self.products):
            for name, values in table.columns.items():
                if _identity(name) == wanted:
                    return name, table.years, values
        return None


@dataclass(frozen=True, eq=False)
class Workbook:
    """One edition of the Global Carbon Budget.

    Attributes:
        edition: The year in its name, e.g. 2024, whose last year of data is 2023.
        version: As in its name, e.g. ``1.0``.
        budget: The terms of the budget under the names of ``TERMS``.
        land: S_LAND.
        ocean: S_OCEAN.
    """

    edition: int
    version: str
    budget: Table
    land: SinkSheet
    ocean: SinkSheet


def read(path: Path) -> Workbook:
    """Read an edition.

    Args:
        path: The workbook under its published name, ``Global_Carbon_Budget_*.xlsx``.

    Returns:
        The edition, in PgC yr-1 with sinks positive. Where an edition has no cement
        sink (2019), its column is 0, since that budget closes without it.

    Raises:
        UserError: If the file is no such workbook, or a sheet is not laid out as
            described above.
        UnitsError: If a sheet does not say its unit.
        TimeAxisError: If the years of a sheet are not consecutive.
    """
    named = _EDITION.search(path.name)
    if named is None:
        raise UserError(
            f"{path}: the name does not say the edition; it should be like "
            f"Global_Carbon_Budget_2024_v1.0.xlsx. Give the file its published name."
        )
    sheets = _load(path, ("Global Carbon Budget", "Terrestrial Sink", "Ocean Sink"))
    budget, land, ocean = (_sheet(rows, where) for where, rows in sheets.items())
    return Workbook(
        edition=int(named[1]),
        version=named[2],
        budget=_budget(budget),
        land=_sink(land, groups=1),
        ocean=_sink(ocean, groups=2),
    )


def _load(path: Path, wanted: Iterable[str]) -> dict[str, list[Row]]:
    """Return the cells of sheets, under where they are for messages."""
    if not path.is_file():
        raise UserError(
            f"No file '{path}'. Get the workbook of an edition, e.g. that of 2024 from "
            f"https://doi.org/10.18160/gcp-2024."
        )
    try:
        # Excel extensions that the library leaves out hold no numbers.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        with closing(book):
            return _cells(book, path, wanted)
    except _DAMAGES as error:
        raise UserError(
            f"{path} cannot be read as an Excel workbook (.xlsx): {error}. Get it "
            f"again."
        ) from None


def _cells(
    book: openpyxl.Workbook, path: Path, wanted: Iterable[str]
) -> dict[str, list[Row]]:
    """Return the cells of sheets, which are read only now."""
    found = {name.strip().casefold(): name for name in book.sheetnames}
    missing = [name for name in wanted if name.casefold() not in found]
    if missing:
        raise UserError(
            f"{path} has no sheet {missing}, it has {book.sheetnames}. Give the "
            f"workbook of the global budget, not the one of nations."
        )
    return {
        f"{path}, sheet '{name}'": list(
            book[found[name.casefold()]].iter_rows(values_only=True)
        )
        for name in wanted
    }


@dataclass(frozen=True, eq=False)
class _Sheet:
    """A sheet, its parts found by what they say.

    Attributes:
        where: File and sheet, for messages.
        names: The header, empty text where a column has no name; shape (column,).
        year: Place of the column with the years.
        factor: What turns its numbers into PgC yr-1.
        rows: Rows of a year, each with its number in the spreadsheet.
    """

    where: str
    names: Sequence[str]
    year: int
    factor: float
    rows: Sequence[tuple[int, Row]]

    def groups(self) -> list[list[tuple[str, int]]]:
        """Return names and places of columns, split where a column has no name."""
        groups: list[list[tuple[str, int]]] = [[]]
        for place, name in enumerate(self.names):
            if place <= self.year:
                continue
            if name:
                groups[-1].append((name, place))
            elif groups[-1]:
                groups.append([])
        return [group for group in groups if group]

    def table(self, columns: Sequence[tuple[str, int]]) -> Table:
        """Return the columns, from the first to the last year that has a value."""
        names = [name for name, _ in columns]
        if len(set(names)) < len(names):
            raise UserError(
                f"{self.where} has columns of one name in {names}, which cannot be "
                f"told apart. Rename one in the sheet."
            )
        values = np.array(
            [[self._number(*row, place) for _, place in columns] for row in self.rows]
        ).reshape(len(self.rows), len(columns))
        filled = np.flatnonzero(np.isfinite(values).any(axis=1))
        if not filled.size:
            raise UserError(
                f"{self.where} has no value under {names}. Open the workbook in a "
                f"spreadsheet and save it, so that its formulas have values."
            )
        years = np.array([round(row[self.year]) for _, row in self.rows], np.int64)
        kept = slice(filled[0], filled[-1] + 1)
        years, values = years[kept], values[kept]
        if (np.diff(years) != 1).any():
            after = years[:-1][np.diff(years) != 1][0]
            raise TimeAxisError(
                f"{self.where}: the year after {after} is not {after + 1}, but "
                f"consecutive years are needed. Get the workbook again."
            )
        return Table(years, dict(zip(names, values.T, strict=True)))

    def _number(self, number: int, row: Row, place: int) -> float:
        cell = row[place] if place < len(row) else None
        if cell is None or (isinstance(cell, str) and not cell.strip()):
            return np.nan
        if not isinstance(cell, int | float):
            raise UserError(
                f"{self.where}, cell {get_column_letter(place + 1)}{number} holds "
                f"{cell!r}, but a number or nothing is needed. Mend the cell."
            )
        return float(cell) * self.factor


def _sheet(rows: Sequence[Row], where: str) -> _Sheet:
    header = next((i for i, row in enumerate(rows) if _is_header(row)), None)
    if header is None:
        raise UserError(
            f"{where} has no row that begins with 'Year' among {len(rows)}. Get the "
            f"workbook again; if its layout is new, the reader must learn it."
        )
    names = [_text(cell) for cell in rows[header]]
    year = next(place for place, name in enumerate(names) if name)
    return _Sheet(
        where=where,
        names=names,
        year=year,
        factor=_factor(rows[:header], where),
        # Rows count from 1 in a spreadsheet; below the header there may be a second.
        rows=[
            (number, row)
            for number, row in enumerate(rows[header + 1 :], start=header + 2)
            if year < len(row) and _is_year(row[year])
        ],
    )


def _budget(sheet: _Sheet) -> Table:
    columns = []
    names = [pair for group in sheet.groups() for pair in group]
    for term, begins in TERMS.items():
        found = [pair for pair in names if re.match(begins, pair[0].casefold())]
        if len(found) > 1 or (not found and term != "cement"):
            raise UserError(
                f"{sheet.where} has {len(found)} columns for {term} among "
                f"{[name for name, _ in names]}, but one is needed. If the edition "
                f"spells it anew, the reader must learn it."
            )
        columns += [(term, place) for _, place in found]
    table = sheet.table(columns)
    absent = {term: np.zeros(table.years.size) for term in TERMS}
    return Table(table.years, {**absent, **table.columns})


def _sink(sheet: _Sheet, groups: int) -> SinkSheet:
    """Read a sheet with the headline first, then ``groups`` groups of columns."""
    headline, *others = sheet.groups()
    summary = [pair for group in others for pair in group if _SUMMARY.search(pair[0])]
    found = [
        [(ALIASES.get(name, name), place) for name, place in group]
        for group in (
            [pair for pair in group if pair not in summary] for group in others
        )
        if group
    ]
    if len(found) != groups:
        raise UserError(
            f"{sheet.where} has {len(found)} groups of models and products, but "
            f"{groups} are needed, with an empty column between them; the columns are "
            f"{[[name for name, _ in group] for group in found]}. If the edition is "
            f"laid out anew, the reader must learn it."
        )
    models, *products = [sheet.table(group) for group in found]
    none = Table(models.years, {})
    return SinkSheet(
        models=models,
        products=products[0] if products else none,
        published=sheet.table(headline + summary),
    )


def _identity(label: str) -> str:
    """Return one spelling for all of a model's."""
    spelt = {name.casefold(): usual for name, usual in ALIASES.items()}
    usual = spelt.get(label.casefold(), label)
    for name, word in AT_SEA.items():
        if re.search(word, usual, re.I):
            return name
    return usual.casefold()


def _is_header(row: Row) -> bool:
    first = next((text for text in map(_text, row) if text), "")
    return first.casefold() == "year"


def _is_year(cell: Any) -> bool:
    return isinstance(cell, int | float) and _FIRST_YEAR <= cell <= _LAST_YEAR


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _factor(notes: Sequence[Row], where: str) -> float:
    """Return what turns the unit named in the notes into PgC yr-1."""
    for row in notes:
        named = _UNIT.search(" ".join(map(_text, row)))
        if named:
            return float(convert(np.ones(1), f"{named[1]}/yr", UNITS)[0])
    raise UnitsError(
        f"{where} does not say its unit above the header, but 'GtC/yr' or 'MtC/yr' is "
        f"needed. Write it into the cell above 'Year'."
    )
