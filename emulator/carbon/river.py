"""Carbon that rivers bring to the sea and that flows out of it again.

It flowed before mankind changed the cycle, and is no sink. Products of observed fCO2
hold it, ocean models without rivers do not: to speak of the same sink, the flux is
added to products, as a named number, and to them alone. Numbers differ between studies
as much as ocean models do, and so the one that is used travels along.

A map of it is meant for whole basins, no claim below.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.budget import region_totals

Array = NDArray[np.float64]


@dataclass(frozen=True)
class River:
    """A named river flux.

    Attributes:
        flux: Added to products of fCO2, PgC yr-1.
        source: Whose number it is.
    """

    flux: float
    source: str


RIVERS = {
    "regnier2022": River(0.65, "Regnier et al. (2022); Global Carbon Budget from 2022"),
    "resplandy2018": River(0.78, "Resplandy et al. (2018)"),
    "gcb2021": River(0.615, "mean of 0.45 and 0.78; Global Carbon Budget 2020, 2021"),
    "jacobson2007": River(0.45, "Jacobson et al. (2007)"),
}
"""By name, as in the settings of a budget."""


def by_region(flux: NDArray[Any], area: NDArray[Any], weights: NDArray[Any]) -> Array:
    """Return what a map of river outgassing adds to a product in each region.

    Args:
        flux: Flux of river carbon, kg m-2 s-1, negative out of the sea, NaN on land;
            shape (lat, lon).
        area: Area of the sea in each cell, m2; shape (lat, lon).
        weights: Share of each cell in each region; shape (region, lat, lon).

    Returns:
        PgC yr-1, positive; shape (region,).
    """
    return -region_totals(np.nan_to_num(flux), area, weights)


def shared_out(river: River, by_place: NDArray[Any]) -> Array:
    """Return a river flux shared out over the globe and its parts as a map has it.

    Args:
        river: The flux of the globe.
        by_place: What the map says of the globe, first, and of each part, PgC yr-1;
            shape (region,).

    Returns:
        PgC yr-1; shape (region,); its first is the flux of the globe.

    Raises:
        ValueError: If the map's total is not positive: it has another sign.
    """
    if not by_place[0] > 0:
        raise ValueError(
            f"The map of river carbon has a total of {by_place[0]:.3g} PgC yr-1, but "
            f"river carbon flows out of the sea, which is negative in the map. Turn "
            f"its sign."
        )
    return np.asarray(river.flux * by_place / by_place[0], np.float64)
