"""The readers that tell months and days of a product: one row each.

``prepare`` and nights take products from here, so that both know the same ones. A new
product is a module with its variables and a ``find``, a row of ``PRODUCTS``, and its
name in ``emulator.data.entry.ReaderName``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emulator.data.readers import (
    analyses,
    arco_era5,
    chlorophyll,
    copernicus_marine,
    crujra,
    era5,
    era5_quantities,
    ersst,
    fires,
    jra3q,
    ncep,
    oisst,
)
from emulator.data.readers.products import Offering

Find = Callable[[str, Sequence[str], Path], Offering]
"""Tells what there is: of a place, the variables wanted, and a folder to work in."""


@dataclass(frozen=True)
class Product:
    """How a product is read.

    Attributes:
        variables: What can be had, by canonical name.
        find: Returns what a place (a folder, or a URL where the product is read from
            afar) has of some variables. What it makes in the folder to work in is
            found there again if the caller keeps that folder.
    """

    variables: tuple[str, ...]
    find: Find


def place_of(root: str, below: Path | None = None) -> str:
    """Return where a product lies: a URL as it is, else a folder.

    Args:
        root: A URL or a folder.
        below: The folder below which it lies, unless it is absolute.
    """
    if "://" in root:
        return root
    folder = Path(root).expanduser()
    return str(below / folder if below else folder)


def _in_folder(find: Callable[[Path, Sequence[str], Path], Offering]) -> Find:
    """Return how a product is found that is read from folders alone."""
    return lambda place, names, scratch: find(Path(place), names, scratch)


def _as_it_lies(find: Callable[[Path, Sequence[str]], Offering]) -> Find:
    """Return how a product is found that needs no folder to work in."""
    return lambda place, names, _: find(Path(place), names)


PRODUCTS = {
    "era5": Product(era5_quantities.VARIABLES, _in_folder(era5.find)),
    "era5_land": Product(
        era5_quantities.VARIABLES, _in_folder(partial(era5.find, counts_on=True))
    ),
    "arco_era5": Product(era5_quantities.VARIABLES, arco_era5.find),
    "jra3q": Product(analyses.VARIABLES, _as_it_lies(jra3q.find)),
    "ncep": Product(analyses.VARIABLES, _as_it_lies(ncep.find)),
    "oisst": Product(
        oisst.VARIABLES, _in_folder(lambda folder, *_: oisst.find(folder))
    ),
    "crujra": Product(crujra.VARIABLES, _as_it_lies(crujra.find)),
    "ersst": Product(ersst.VARIABLES, _as_it_lies(ersst.find)),
    "glorys": Product(
        copernicus_marine.PHYSICS.variables,
        _as_it_lies(partial(copernicus_marine.find, copernicus_marine.PHYSICS)),
    ),
    "multiobs_salinity": Product(
        copernicus_marine.SALINITY.variables,
        _as_it_lies(partial(copernicus_marine.find, copernicus_marine.SALINITY)),
    ),
    "chlorophyll_cci": Product(chlorophyll.VARIABLES, _as_it_lies(chlorophyll.find)),
    "chlorophyll_copernicus": Product(
        copernicus_marine.CHLOROPHYLL.variables,
        _as_it_lies(partial(copernicus_marine.find, copernicus_marine.CHLOROPHYLL)),
    ),
    "gfed4": Product(
        fires.VARIABLES, _in_folder(lambda folder, *_: fires.find_gfed4(folder))
    ),
    "gfed5": Product(
        fires.VARIABLES, _in_folder(lambda folder, *_: fires.find_gfed5(folder))
    ),
    "gfas": Product(
        fires.VARIABLES, _in_folder(lambda folder, *_: fires.find_gfas(folder))
    ),
}
"""The products, by the name of their reader in catalog entries and settings."""
