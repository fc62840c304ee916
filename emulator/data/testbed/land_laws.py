"""Laws by which the land teachers differ: light use, water stress, respiration.

Each law is a plain function of arrays, so that a teacher is a choice of functions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GAS_CONSTANT = 8.314
"""Molar gas constant, J mol-1 K-1."""

_REFERENCE = 288.15
"""Temperature at which every respiration law is 1, K (15 degC)."""

_STANDARD_PRESSURE = 101325.0


def optimal_light_use(tas: Array, vpd: Array, co2: Array, pressure: Array) -> Array:
    """Return the light-use efficiency of the P-model with the Jmax limit.

    Args:
        tas: Air temperature, K; any shape.
        vpd: Vapour pressure deficit, Pa; same shape.
        co2: CO2 of the air, ppm; broadcasts.
        pressure: Air pressure, Pa; broadcasts.

    Returns:
        Carbon taken up per absorbed photon, mol mol-1.

    Source:
        Prentice et al. (2014), Ecology Letters 17; Wang et al. (2017), Nature
        Plants 3, for the limit by electron transport with c* = 0.41; Stocker et al.
        (2020), Geoscientific Model Development 13, equations 16 to 20.
    """
    internal, compensation = _internal_co2(tas, vpd, co2, pressure)
    gain = (internal - compensation) / (internal + 2 * compensation)
    limit = 1 - (0.41 / np.maximum(gain, 0.41)) ** (2 / 3)
    return _quantum_yield(tas) * gain * np.sqrt(limit)


def unlimited_light_use(tas: Array, vpd: Array, co2: Array, pressure: Array) -> Array:
    """Return the light-use efficiency of the P-model without the Jmax limit.

    Arguments and result are those of ``optimal_light_use``.

    Source:
        Prentice et al. (2014); the factor brings the level near that with the limit.
    """
    internal, compensation = _internal_co2(tas, vpd, co2, pressure)
    gain = (internal - compensation) / (internal + 2 * compensation)
    return 0.62 * _quantum_yield(tas) * np.maximum(gain, 0.0)


def empirical_light_use(tas: Array, vpd: Array, co2: Array, pressure: Array) -> Array:
    """Return the efficiency of a satellite-style model: product of scalars.

    Arguments and result are those of ``optimal_light_use``.

    Source:
        Form of MOD17 (Running et al., 2004, BioScience 54) with a logarithmic
        response to CO2 (Bacastow and Keeling, 1973), beta = 0.35.
    """
    celsius = tas - 273.15
    warmth = np.clip((celsius + 4.0) / 16.0, 0.0, 1.0)
    heat = 1 / (1 + np.exp(0.35 * (celsius - 36.0)))
    dryness = 1 / (1 + (vpd / 1800.0) ** 2)
    thin_air = (pressure / _STANDARD_PRESSURE) ** 0.2
    return 0.030 * warmth * heat * dryness * thin_air * (1 + 0.35 * np.log(co2 / 340.0))


def _quantum_yield(tas: Array) -> Array:
    """Return the yield of photosystem II per photon and electron need of CO2.

    Source:
        Bernacchi et al. (2003), as used by Stocker et al. (2020), equation 20; a
        quarter of it enters carbon, and the fit ends where it would turn negative.
    """
    celsius = np.clip(tas - 273.15, -10.0, 45.0)
    return (
        np.maximum(0.352 + 0.022 * celsius - 3.4e-4 * celsius**2, 0.0)
        / 8
        * _frost(celsius)
    )


def _frost(celsius: Array) -> Array:
    """Return how far frost shuts leaves down; half at 1 degC of the monthly mean."""
    return 1 / (1 + np.exp(-(celsius - 1.0) / 1.8))


def _internal_co2(
    tas: Array, vpd: Array, co2: Array, pressure: Array
) -> tuple[Array, Array]:
    """Return the optimal internal CO2 and the compensation point, Pa.

    Source:
        Constants of Bernacchi et al. (2001); viscosity of water after Vogel (1921);
        cost ratio beta = 146 (Stocker et al., 2020).
    """
    kelvin = np.clip(tas, 253.15, 323.15)
    thin = pressure / _STANDARD_PRESSURE

    def arrhenius(energy: float) -> Array:
        return np.asarray(np.exp(energy / GAS_CONSTANT * (1 / 298.15 - 1 / kelvin)))

    compensation = 4.332 * thin * arrhenius(37830.0)
    oxygen = 0.209476 * pressure
    affinity = (
        39.97 * arrhenius(79430.0) * (1 + oxygen / (27480.0 * arrhenius(36380.0)))
    )
    viscosity = 10 ** (247.8 / (kelvin - 140.0) - 247.8 / (298.15 - 140.0))
    ambient = co2 * 1e-6 * pressure
    cost = np.sqrt(146.0 * (affinity + compensation) / (1.6 * viscosity))
    root = np.sqrt(np.maximum(vpd, 20.0))
    internal = (compensation * root + cost * ambient) / (cost + root)
    return internal, compensation


def quadratic_stress(wetness: Array) -> Array:
    """Return a parabola below 60 % that ends at 0.6 (Stocker et al., 2020, eq. 12)."""
    return 1 - 0.4 * np.maximum(0.6 - wetness, 0.0) ** 2 / 0.36


def linear_stress(wetness: Array) -> Array:
    """Return a ramp up to 35 % of the capacity (Feddes et al., 1978)."""
    return np.minimum(wetness / 0.35, 1.0)


def sigmoid_stress(wetness: Array) -> Array:
    """Return a logistic curve with its middle at 25 %, 0 at 0 and 1 at 1."""
    curve = 1 / (1 + np.exp(-12 * (wetness - 0.25)))
    low, high = 1 / (1 + np.exp(3.0)), 1 / (1 + np.exp(-9.0))
    return np.asarray((curve - low) / (high - low))


def saturating_stress(wetness: Array) -> Array:
    """Return 1 - exp(-8 w), scaled to 1 at full capacity."""
    return np.asarray((1 - np.exp(-8.0 * wetness)) / (1 - np.exp(-8.0)))


def hyperbolic_stress(wetness: Array) -> Array:
    """Return w2 / (w2 + 0.5^2), scaled to 1 at full capacity."""
    return wetness**2 / (wetness**2 + 0.25) * 1.25


def matric_stress(wetness: Array) -> Array:
    """Return stress by the logarithm of suction, psi = psi_s w^-4.

    Source:
        Clapp and Hornberger (1978) retention; wilting at 1.5 MPa, saturation at
        2 kPa, as in land-surface models of the second generation.
    """
    suction = 2.0e-3 * np.maximum(wetness, 0.05) ** -4.0
    opening = np.log(1.5 / suction) / np.log(1.5 / 2.0e-3)
    return np.asarray(np.clip(opening, 0.0, 1.0))


def lloyd_taylor(kelvin: Array) -> Array:
    """Return the law of Lloyd and Taylor (1994): energy falls with warmth."""
    bounded = np.maximum(kelvin, 240.0)
    return np.asarray(
        np.exp(308.56 * (1 / (_REFERENCE - 227.13) - 1 / (bounded - 227.13)))
    )


def constant_q10(kelvin: Array) -> Array:
    """Return van 't Hoff's law with Q10 = 1.5 (Mahecha et al., 2010: 1.4)."""
    return np.asarray(1.5 ** ((kelvin - _REFERENCE) / 10))


def arrhenius_law(kelvin: Array) -> Array:
    """Return Arrhenius' law with 70 kJ mol-1, a Q10 of 2.7 at 15 degC."""
    return np.asarray(np.exp(70000.0 / GAS_CONSTANT * (1 / _REFERENCE - 1 / kelvin)))


def falling_q10(kelvin: Array) -> Array:
    """Return a Q10 that falls with warmth (Tjoelker et al., 2001: 3.22 - 0.046 T)."""
    celsius = np.clip(kelvin - 273.15, -25.0, 45.0)
    base = 3.22 - 0.046 * 0.5 * (celsius + 15.0)
    return np.asarray(np.maximum(base, 1.1) ** ((celsius - 15.0) / 10))


def square_root_law(kelvin: Array) -> Array:
    """Return Ratkowsky's law of microbes (1982): (T - T0)^2 with T0 = -12 degC."""
    celsius = kelvin - 273.15
    return np.maximum(celsius + 12.0, 0.0) ** 2 / 27.0**2


def bell_law(kelvin: Array) -> Array:
    """Return a law with an optimum at 37 degC, in the form of O'Connell (1990)."""
    celsius = np.clip(kelvin - 273.15, -30.0, 60.0)

    def curve(degrees: Array | float) -> Array:
        return np.asarray(np.exp(0.15 * degrees * (1 - 0.5 * degrees / 36.9)))

    return np.asarray(curve(celsius) / curve(15.0))
