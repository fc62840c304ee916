"""A model's annual totals beside its column of a Global Carbon Budget workbook.

The columns hold simulation S2 of land models and the ocean models' sinks, and so the
two agree where the files are read right: a wrong unit, area, sign or year shows at
once. They need not agree in the last digit. The budget takes its own edition's runs
and areas, ocean models with the drift of their control removed (so are they here where
their entry says how), and products of fCO2 with the river flux that the edition adds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError
from emulator.data import catalog
from emulator.data.entry import Entry
from emulator.data.readers.files import find_one
from emulator.data.readers.workbook import Workbook

SIMULATIONS = {"land": "S2", "ocean": "A"}
"""What the budget calls a model's sink."""

EDITIONS = "gcb_workbook"
"""The catalog's workbooks, a row an edition."""

Annual = tuple[NDArray[np.int64], NDArray[np.float64]]


@dataclass(frozen=True)
class BudgetColumn:
    """Means over the years which a model's files and its column share.

    Attributes:
        edition: Year of the edition, e.g. 2024.
        version: Version of the edition.
        column: Name of the column; empty if no column is this model's.
        simulation: The simulation that is compared.
        is_corrected: Whether the drift of its control was taken out.
        decades: By span of the shared years of a decade: ``files``, ``budget`` and
            their ``difference``, PgC yr-1.
    """

    edition: int
    version: str
    column: str
    simulation: str
    is_corrected: bool
    decades: Mapping[str, Mapping[str, float]]


def workbook_for(entry: Entry, data_root: Path) -> Path | None:
    """Return the workbook to compare a teacher with, of those below the data's folder.

    It is the one that ends in the year in which the teacher does, of the same round,
    else the newest; None where no workbook of the catalog is there.
    """
    found: dict[int, Path] = {}
    for name in catalog.members(EDITIONS):
        edition = catalog.load(name)
        try:
            path = find_one(edition, next(iter(edition.variables)), data_root)
        except CatalogError:
            continue  # one that is not here
        found[(edition.years or (0, None))[1] or 0] = path
    last = entry.years[1] if entry.years else None
    return found.get(last or 0) or (found[max(found)] if found else None)


def compared_simulation(entry: Entry) -> str | None:
    """Return the simulation that the budget holds; a product's only one is it, too."""
    wanted = SIMULATIONS[entry.domain]
    if wanted in entry.simulations:
        return wanted
    return next(iter(entry.simulations)) if len(entry.simulations) == 1 else None


def beside(
    book: Workbook,
    entry: Entry,
    simulation: str,
    annual: Annual,
    *,
    is_corrected: bool = False,
) -> BudgetColumn:
    """Compare a teacher with its column.

    Args:
        book: An edition.
        entry: The teacher; its ``label`` finds the column.
        simulation: The simulation of the totals.
        annual: Complete years and the total of each, PgC; shape (year,) both.
        is_corrected: Whether drift was taken out of them.
    """
    sheet = book.land if entry.domain == "land" else book.ocean
    found = sheet.column_of(entry.title)
    if found is None:
        return BudgetColumn(
            book.edition, book.version, "", simulation, is_corrected, {}
        )
    column, years, values = found
    known = np.isfinite(values)
    shared, ours, theirs = np.intersect1d(
        annual[0], years[known], return_indices=True, assume_unique=True
    )
    mine, other = annual[1][ours], values[known][theirs]
    return BudgetColumn(
        book.edition,
        book.version,
        column,
        simulation,
        is_corrected,
        {
            span: {
                "files": float(mine[inside].mean()),
                "budget": float(other[inside].mean()),
                "difference": float((mine - other)[inside].mean()),
            }
            for span, inside in by_decade(shared).items()
        },
    )


def by_decade(years: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Return where the years of each decade are, under its first and last."""
    spans = {}
    for decade in np.unique(years // 10):
        inside = years // 10 == decade
        held = years[inside]
        spans["-".join(dict.fromkeys(map(str, held[[0, -1]])))] = inside
    return spans
