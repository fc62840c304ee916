"""What ERA5 holds of the air near the surface, and what becomes of it.

Source:
    ERA5 and ERA5-Land data documentation, ECMWF.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.humidity import specific_humidity, vapour_pressure_deficit
from emulator.carbon.units import SECONDS_PER_DAY, WATER_DENSITY

Array = NDArray[np.float64]

UNITS = {
    "t2m": "K",
    "d2m": "K",
    "sp": "Pa",
    "tp": "m",
    "ssrd": "J m-2",
    "si10": "m s-1",
    "u10": "m s-1",
    "v10": "m s-1",
}
"""Short names, and the unit in which each is used; amounts are per day."""

AMOUNTS = ("tp", "ssrd")
"""Those that are amounts of a span of time; the others are of moments."""

SPEED = "si10"
COMPONENTS = ("u10", "v10")


@dataclass(frozen=True)
class Recipe:
    """How a variable comes from quantities.

    Attributes:
        needs: Their short names.
        compute: Turns their means into the canonical unit.
    """

    needs: tuple[str, ...]
    compute: Callable[..., Array]


RECIPES = {
    "tas": Recipe(("t2m",), lambda t2m: t2m),
    "pr": Recipe(("tp",), lambda tp: tp * WATER_DENSITY / SECONDS_PER_DAY),
    "rsds": Recipe(("ssrd",), lambda ssrd: ssrd / SECONDS_PER_DAY),
    "huss": Recipe(("d2m", "sp"), specific_humidity),
    "vpd": Recipe(("t2m", "d2m"), vapour_pressure_deficit),
    "sfcWind": Recipe((SPEED,), lambda speed: speed),
}
"""Of variables, by canonical name."""

VARIABLES = tuple(RECIPES)
"""What can be had, by canonical name."""


def needed(names: Sequence[str]) -> list[str]:
    """Return the quantities that variables need, each once."""
    return list(dict.fromkeys(need for name in names for need in RECIPES[name].needs))
