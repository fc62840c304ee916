"""Laws by which the ocean teachers differ: gas transfer and alkalinity.

Transfer laws give m s-1 from the monthly mean wind (m s-1) and the temperature of the
surface (degC); alkalinity laws give mol kg-1 from salinity and temperature.
"""

import numpy as np
from numpy.typing import NDArray

from emulator.carbon import seawater

Array = NDArray[np.float64]

_GUSTS = 1.23
"""Mean square of the wind over the square of its monthly mean: winds within a month
scatter by about half of their mean (Wanninkhof, 1992: 1.27 for a Rayleigh law)."""


def quadratic_transfer(wind: Array, tos: Array) -> Array:
    """Return the law of Wanninkhof (2014)."""
    return seawater.transfer_velocity(_GUSTS * wind**2, tos)


def mixed_transfer(wind: Array, tos: Array) -> Array:
    """Return the law of Nightingale et al. (2000): 0.222 U2 + 0.333 U, cm h-1."""
    speed = 0.222 * _GUSTS * wind**2 + 0.333 * wind
    return speed * _schmidt(tos, 600.0)


def cubic_transfer(wind: Array, tos: Array) -> Array:
    """Return the law of Wanninkhof and McGillis (1999): 0.0283 U3, cm h-1.

    A Rayleigh wind has a mean cube of 1.91 times the cube of its mean; 1.5 fits
    the smaller scatter that is used for the square.
    """
    return 0.0283 * 1.5 * wind**3 * _schmidt(tos, 660.0)


def linear_transfer(wind: Array, tos: Array) -> Array:
    """Return the law of Tans et al. (1990) recast as velocity: 3.5 (U - 3), cm h-1."""
    return np.maximum(3.5 * (wind - 3.0), 0.5) * _schmidt(tos, 660.0)


def _schmidt(tos: Array, reference: float) -> Array:
    """Return (Sc / reference)^-1/2 in m s-1 per cm h-1."""
    return np.asarray((seawater.schmidt_number(tos) / reference) ** -0.5 / 3.6e5)


def conservative_alkalinity(salinity: Array, tos: Array) -> Array:
    """Return 2300 umol kg-1 at salinity 35, in proportion (Millero et al., 1998)."""
    return 2.300e-3 * salinity / 35.0 + 0.0 * tos


def fitted_alkalinity(salinity: Array, tos: Array) -> Array:
    """Return the subtropical fit of Lee et al. (2006), bounded to its range."""
    fresh = np.clip(salinity, 31.0, 38.0) - 35.0
    cool = np.clip(tos, 5.0, 31.0) - 20.0
    return (
        2305.0 + 58.66 * fresh + 2.32 * fresh**2 - 1.41 * cool + 0.040 * cool**2
    ) * 1e-6
