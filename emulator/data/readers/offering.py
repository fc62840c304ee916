"""The readers that tell months and days of a product: one row each.

``prepare`` and nights take products from here, so that both know the same ones. A new
product is a module with its variables and a ``find``, a row of ``PRODUCTS``, and its
name in ``emulator.data.entry.ReaderName``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from emulator.data.readers import arco_era5, era5, era5_quantities, oisst
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


def _in_folder(find: Callable[[Path, Sequence[str], Path], Offering]) -> Find:
    """Return how a product is found that is read from folders alone."""
    return lambda place, names, scratch: find(Path(place), names, scratch)


PRODUCTS = {
    "era5": Product(era5_quantities.VARIABLES, _in_folder(era5.find)),
    "era5_land": Product(
        era5_quantities.VARIABLES, _in_folder(partial(era5.find, counts_on=True))
    ),
    "arco_era5": Product(era5_quantities.VARIABLES, arco_era5.find),
    "oisst": Product(
        oisst.VARIABLES, _in_folder(lambda folder, *_: oisst.find(folder))
    ),
}
"""The products, by the name of their reader in catalog entries and settings."""
