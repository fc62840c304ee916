"""Sunlight at the top of the atmosphere: what latitude and month alone give."""

import numpy as np
from numpy.typing import NDArray

SOLAR_CONSTANT = 1361.0
"""Sunlight at one astronomical unit, W m-2 (Kopp & Lean 2011, GRL 38, L01706)."""

_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])


def potential_radiation(lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean insolation of each calendar month.

    Args:
        lat: Latitude, degrees north; shape (cell,).

    Returns:
        Mean over the days of a 365-day year's month, W m-2; shape (12, cell).

    Source:
        Spencer (1971), Search 2(5), 172: declination and distance of the sun; the
        daily integral as in Liou (2002), An introduction to atmospheric radiation,
        2nd ed., equation 2.2.21.
    """
    angle = 2 * np.pi * np.arange(365)[:, None] / 365
    declination = (
        0.006918
        - 0.399912 * np.cos(angle)
        + 0.070257 * np.sin(angle)
        - 0.006758 * np.cos(2 * angle)
        + 0.000907 * np.sin(2 * angle)
        - 0.002697 * np.cos(3 * angle)
        + 0.001480 * np.sin(3 * angle)
    )
    nearness = (
        1.000110
        + 0.034221 * np.cos(angle)
        + 0.001280 * np.sin(angle)
        + 0.000719 * np.cos(2 * angle)
        + 0.000077 * np.sin(2 * angle)
    )
    phi = np.deg2rad(lat)[None, :]
    # Polar night and polar day are where the cosine of the hour angle leaves [-1, 1].
    sunset = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1, 1))
    daily = (SOLAR_CONSTANT / np.pi * nearness) * (
        sunset * np.sin(phi) * np.sin(declination)
        + np.cos(phi) * np.cos(declination) * np.sin(sunset)
    )
    month = np.repeat(np.arange(12), _DAYS)
    return np.stack([daily[month == number].mean(axis=0) for number in range(12)])
