"""Whether what was read has the mean of the Earth's air: other people's units lie."""

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import GateError
from emulator.carbon.grid import Grid
from emulator.carbon.variables import VARIABLES

GLOBAL_MEANS = {
    "tas": (270.0, 305.0),
    "pr": (1.2e-5, 8e-5),
    "rsds": (90.0, 380.0),
    "rlds": (200.0, 450.0),
    "huss": (4e-3, 2e-2),
    "vpd": (100.0, 2000.0),
    "sfcWind": (2.0, 15.0),
}
"""Where means of a day or a month over the globe, or over its land, lie, in canonical
units, with room to spare.

Observed are 287 K, 3.1e-5 kg m-2 s-1 (2.7 mm a day), 185 and 342 W m-2 (Wild et al.
2015, Climate Dynamics 44; Adler et al. 2017, Surveys in Geophysics 38); air of that
warmth holds about 0.01, and lacks some 500 Pa; the wind over sea is 7 to 8 m s-1, half
of it over land. Other units are off by more: degC, mm a day, hPa, g kg-1, amounts."""


def mean_of(values: NDArray[np.float64], grid: Grid) -> float:
    """Return the mean over the area that has values; (lat, lon), NaN where none is."""
    weight = np.where(np.isnan(values), 0.0, grid.cell_area())
    return float(np.nansum(values * weight) / max(weight.sum(), 1.0))


def require_plausible(
    name: str, values: NDArray[np.float64], grid: Grid, what: str
) -> None:
    """Refuse what is in another unit than its file says.

    Args:
        name: Canonical name, of ``GLOBAL_MEANS``.
        values: In the canonical unit, NaN where there is none; shape (lat, lon).
        grid: Where.
        what: Product and time, for the message.

    Raises:
        GateError: If the mean over what has values lies elsewhere.
    """
    mean = mean_of(values, grid)
    low, high = GLOBAL_MEANS[name]
    if not low <= mean <= high:
        units = VARIABLES[name].units
        raise GateError(
            f"'{name}' of {what} is {mean:.4g} {units} on the mean of the globe, but "
            f"{low:g} to {high:g} {units} are plausible. Look at the unit that its "
            f"file states, and at its sign."
        )
