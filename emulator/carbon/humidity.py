"""Moisture of the air near the surface, from temperature, dewpoint and pressure.

Over water at every temperature, as dewpoints are defined (WMO-No. 8, 2018, 4.1).
Saturation grows faster than linearly with temperature: of means it is below the mean of
saturations, by some per cent where days are warm and nights cold. What is compared must
come from means over the same time.

Source:
    Saturation: Buck (1981), Journal of Applied Meteorology 20, 1527-1532, in the form
    of the IFS documentation CY41R2, part IV, eq. 7.5 (ECMWF), as for ERA5's own
    dewpoint. Specific humidity: the same, eq. 7.4.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_AT_TRIPLE_POINT = 611.21  # Pa
_TRIPLE_POINT = 273.16  # K
_SLOPE = 17.502
_OFFSET = 32.19  # K

GAS_CONSTANT_RATIO = 287.0597 / 461.5250
"""Gas constant of dry air over that of water vapour (IFS documentation)."""


def saturation_pressure(temperature: Array) -> Array:
    """Return the pressure of water vapour that is saturated over water, Pa.

    Args:
        temperature: K; any shape. At a dewpoint it is the pressure of the vapour that
            is there.
    """
    exponent = _SLOPE * (temperature - _TRIPLE_POINT) / (temperature - _OFFSET)
    return np.asarray(_AT_TRIPLE_POINT * np.exp(exponent))


def vapour_pressure_deficit(temperature: Array, dewpoint: Array) -> Array:
    """Return how much vapour pressure is missing to saturation, Pa, never below 0.

    Args:
        temperature: K; any shape.
        dewpoint: K; same shape. Rounding may put it above the temperature.
    """
    return missing_vapour(temperature, saturation_pressure(dewpoint))


def missing_vapour(temperature: Array, vapour: Array) -> Array:
    """Return how much vapour pressure is missing to saturation, Pa, never below 0.

    Args:
        temperature: K; any shape.
        vapour: Pressure of the vapour that is there, Pa; same shape.
    """
    return np.maximum(saturation_pressure(temperature) - vapour, 0.0)


def vapour_pressure(humidity: Array, pressure: Array) -> Array:
    """Return the pressure of the vapour in moist air, Pa: ``specific_humidity`` undone.

    Args:
        humidity: Mass of water vapour in a mass of moist air, 1; any shape.
        pressure: Of the air, Pa; same shape.
    """
    share = GAS_CONSTANT_RATIO + (1 - GAS_CONSTANT_RATIO) * humidity
    return np.asarray(humidity * pressure / share)


def specific_humidity(dewpoint: Array, pressure: Array) -> Array:
    """Return the mass of water vapour in a mass of moist air, 1.

    Args:
        dewpoint: K; any shape.
        pressure: Of the air, Pa; same shape.
    """
    vapour = saturation_pressure(dewpoint)
    dry = pressure - (1 - GAS_CONSTANT_RATIO) * vapour
    return np.asarray(GAS_CONSTANT_RATIO * vapour / dry)
