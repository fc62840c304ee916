"""Carbon dioxide in seawater: solubility, carbonate chemistry, gas exchange.

All equilibrium constants are stoichiometric, in mol kg-1 of seawater, on the total
pH scale and at surface pressure. Alkalinity is that of carbonate, borate and water;
phosphate and silicate (below 0.2 % of it in most surface water) are left out.

Source:
    Dickson, Sabine and Christian (2007), Guide to Best Practices for Ocean CO2
    Measurements, PICES Special Publication 3, chapter 5; Lueker et al. (2000);
    Weiss (1974); Wanninkhof (2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ZERO_CELSIUS = 273.15
"""0 degC in K."""

DENSITY = 1025.0
"""Density of surface seawater, kg m-3; it varies by about 1 %."""

_GAS_CONSTANT = 82.0578
"""Molar gas constant, cm3 atm mol-1 K-1 (CODATA 2018)."""

WEISS = (-60.2409, 93.4517, 23.3585, 0.023517, -0.023656, 0.0047036)
"""Of ln K0 in mol kg-1 atm-1: A1 to A3 and B1 to B3 of Weiss (1974), table 1."""

SCHMIDT = (2116.8, -136.25, 4.7353, -0.092307, 0.0007555)
"""Of the Schmidt number of CO2, in powers of degC; Wanninkhof (2014), table 1."""

TRANSFER = 0.251
"""Transfer velocity over squared wind, cm h-1 (m s-1)-2; Wanninkhof (2014), eq. 4."""

_NEWTON_STEPS = 30
_NEWTON_TOLERANCE = 1e-10
"""Change of pH, or of ln(CO2), at which an iteration has converged."""


@dataclass(frozen=True)
class Constants:
    """Equilibrium constants of the carbonate system at one state of the sea.

    Attributes:
        k0: Solubility of CO2, mol kg-1 atm-1.
        k1: First dissociation of carbonic acid, mol kg-1.
        k2: Second dissociation of carbonic acid, mol kg-1.
        kb: Dissociation of boric acid, mol kg-1.
        kw: Ion product of water, mol2 kg-2.
        boron: Total boron, mol kg-1.
    """

    k0: Array
    k1: Array
    k2: Array
    kb: Array
    kw: Array
    boron: Array


def constants(temperature: Array, salinity: Array) -> Constants:
    """Return the equilibrium constants on the total pH scale.

    Args:
        temperature: Sea-surface temperature, degC; any shape.
        salinity: Practical salinity, 1e-3; same shape.

    Source:
        K1, K2: Lueker, Dickson and Keeling (2000), Marine Chemistry 70. KB:
        Dickson (1990), Deep-Sea Research 37. KW: Millero (1995), as given by
        Dickson et al. (2007), chapter 5. Boron: Uppstrom (1974).
    """
    kelvin = temperature + ZERO_CELSIUS
    log_kelvin = np.log(kelvin)
    root = np.sqrt(salinity)
    square = salinity**2
    pk1 = (
        3633.86 / kelvin
        - 61.2172
        + 9.67770 * log_kelvin
        - 0.011555 * salinity
        + 0.0001152 * square
    )
    pk2 = (
        471.78 / kelvin
        + 25.9290
        - 3.16967 * log_kelvin
        - 0.01781 * salinity
        + 0.0001122 * square
    )
    log_kb = (
        (
            -8966.90
            - 2890.53 * root
            - 77.942 * salinity
            + 1.728 * root * salinity
            - 0.0996 * square
        )
        / kelvin
        + 148.0248
        + 137.1942 * root
        + 1.62142 * salinity
        - (24.4344 + 25.085 * root + 0.2474 * salinity) * log_kelvin
        + 0.053105 * root * kelvin
    )
    log_kw = (
        148.9652
        - 13847.26 / kelvin
        - 23.6521 * log_kelvin
        + (118.67 / kelvin - 5.977 + 1.0495 * log_kelvin) * root
        - 0.01615 * salinity
    )
    return Constants(
        k0=solubility(temperature, salinity),
        k1=10.0**-pk1,
        k2=10.0**-pk2,
        kb=np.exp(log_kb),
        kw=np.exp(log_kw),
        # 0.232 mg of boron per kg and unit of chlorinity; S = 1.80655 Cl.
        boron=0.000232 / 10.811 * salinity / 1.80655,
    )


def solubility(temperature: Array, salinity: Array) -> Array:
    """Return the solubility of CO2, K0.

    Args:
        temperature: Sea-surface temperature, degC; any shape.
        salinity: Practical salinity, 1e-3; same shape.

    Returns:
        K0 in mol kg-1 atm-1, per fugacity of CO2.

    Source:
        Weiss (1974), Marine Chemistry 2, equation 12 and table 1.
    """
    a1, a2, a3, b1, b2, b3 = WEISS
    hundred = (temperature + ZERO_CELSIUS) / 100.0
    exponent = (
        a1
        + a2 / hundred
        + a3 * np.log(hundred)
        + salinity * (b1 + b2 * hundred + b3 * hundred**2)
    )
    return np.asarray(np.exp(exponent))


def fugacity_coefficient(temperature: Array) -> Array:
    """Return the ratio of fugacity to partial pressure of CO2 at 1 atm.

    Args:
        temperature: Sea-surface temperature, degC; any shape.

    Source:
        Weiss (1974), equations 6 and 9, for CO2 dilute in air.
    """
    kelvin = temperature + ZERO_CELSIUS
    virial = (
        -1636.75 + 12.0408 * kelvin - 0.0327957 * kelvin**2 + 3.16528e-5 * kelvin**3
    )
    cross = 57.7 - 0.118 * kelvin
    return np.asarray(np.exp((virial + 2.0 * cross) / (_GAS_CONSTANT * kelvin)))


def vapour_pressure(temperature: Array, salinity: Array) -> Array:
    """Return the saturation pressure of water vapour over seawater, atm.

    Args:
        temperature: Sea-surface temperature, degC; any shape.
        salinity: Practical salinity, 1e-3; same shape.

    Source:
        Weiss and Price (1980), Marine Chemistry 8, equation 10.
    """
    hundred = (temperature + ZERO_CELSIUS) / 100.0
    return np.asarray(
        np.exp(
            24.4543 - 67.4509 / hundred - 4.8489 * np.log(hundred) - 0.000544 * salinity
        )
    )


def ph_of(
    carbon: Array, alkalinity: Array, known: Constants, start: Array | float = 8.0
) -> Array:
    """Return pH, found by Newton's method on the alkalinity balance.

    Args:
        carbon: Dissolved inorganic carbon, mol kg-1; any shape.
        alkalinity: Total alkalinity, mol kg-1; same shape.
        known: Equilibrium constants, same shape.
        start: First guess of pH; the last month's value saves iterations.

    Returns:
        pH on the total scale, same shape.

    Raises:
        ValueError: If the iteration does not converge, which happens for NaN and
            for mixtures that no seawater has.
    """
    ph: Array = np.broadcast_to(np.asarray(start, dtype=np.float64), carbon.shape)
    for _ in range(_NEWTON_STEPS):
        hydrogen = 10.0**-ph
        present, slope = _alkalinity(hydrogen, carbon, known)
        # d(alkalinity)/d(pH) = -ln(10) H d(alkalinity)/dH. A step of one unit at
        # most keeps the iteration where this slope is useful.
        step = (alkalinity - present) / (-np.log(10.0) * hydrogen * slope)
        ph = ph + np.clip(step, -1.0, 1.0)
        if np.abs(step).max(initial=0.0) < _NEWTON_TOLERANCE:
            return ph
    raise ValueError(
        f"The carbonate system did not converge in {_NEWTON_STEPS} steps for carbon "
        f"{np.nanmin(carbon):.3g} to {np.nanmax(carbon):.3g} and alkalinity "
        f"{np.nanmin(alkalinity):.3g} to {np.nanmax(alkalinity):.3g} mol kg-1 "
        f"({int(np.isnan(carbon + alkalinity).sum())} NaN). Give both in mol kg-1, "
        f"about 2e-3, and leave out missing cells."
    )


def dissolved_co2(carbon: Array, ph: Array, known: Constants) -> Array:
    """Return dissolved CO2 (with carbonic acid), mol kg-1.

    Args:
        carbon: Dissolved inorganic carbon, mol kg-1; any shape.
        ph: pH on the total scale; same shape.
        known: Equilibrium constants.
    """
    hydrogen = 10.0**-ph
    return carbon / (1.0 + known.k1 / hydrogen + known.k1 * known.k2 / hydrogen**2)


def buffer_capacity(carbon: Array, ph: Array, known: Constants) -> Array:
    """Return by how much carbon must rise for CO2 to rise by the factor e.

    The Revelle factor is ``carbon`` divided by this value.

    Args:
        carbon: Dissolved inorganic carbon, mol kg-1; any shape.
        ph: pH on the total scale; same shape.
        known: Equilibrium constants.

    Returns:
        dDIC / dln[CO2] at constant alkalinity, mol kg-1.

    Source:
        Egleston, Sabine and Morel (2010), Global Biogeochemical Cycles 24, table 1.
    """
    hydrogen = 10.0**-ph
    bicarbonate = known.k1 * dissolved_co2(carbon, ph, known) / hydrogen
    carbonate = known.k2 * bicarbonate / hydrogen
    borate = known.boron * known.kb / (known.kb + hydrogen)
    response = (
        bicarbonate
        + 4.0 * carbonate
        + borate * hydrogen / (known.kb + hydrogen)
        + hydrogen
        + known.kw / hydrogen
    )
    return carbon - (bicarbonate + 2.0 * carbonate) ** 2 / response


def partial_pressure(
    carbon: Array, alkalinity: Array, temperature: Array, salinity: Array
) -> Array:
    """Return the partial pressure of CO2 of seawater.

    Args:
        carbon: Dissolved inorganic carbon, mol kg-1; any shape.
        alkalinity: Total alkalinity, mol kg-1; same shape.
        temperature: Sea-surface temperature, degC; same shape.
        salinity: Practical salinity, 1e-3; same shape.

    Returns:
        pCO2 in uatm.

    Raises:
        ValueError: If the carbonate system has no solution for the values given.
    """
    known = constants(temperature, salinity)
    ph = ph_of(carbon, alkalinity, known)
    fugacity = dissolved_co2(carbon, ph, known) / known.k0
    return 1e6 * fugacity / fugacity_coefficient(temperature)


def carbon_at_equilibrium(
    fugacity: Array, alkalinity: Array, temperature: Array, salinity: Array
) -> Array:
    """Return the dissolved inorganic carbon of water in balance with the air.

    Args:
        fugacity: Fugacity of CO2 in the air at the surface, uatm; any shape.
        alkalinity: Total alkalinity, mol kg-1; same shape.
        temperature: Sea-surface temperature, degC; same shape.
        salinity: Practical salinity, 1e-3; same shape.

    Returns:
        Dissolved inorganic carbon, mol kg-1.

    Raises:
        ValueError: If the carbonate system has no solution for the values given.
    """
    known = constants(temperature, salinity)
    free = known.k0 * fugacity * 1e-6
    # At given CO2 the alkalinity balance needs no carbon: carbonate species follow
    # from [CO2] and H alone, so one scalar iteration in pH is enough.
    ph = np.full(np.shape(free), 8.0)
    for _ in range(_NEWTON_STEPS):
        hydrogen = 10.0**-ph
        bicarbonate = known.k1 * free / hydrogen
        carbonate = known.k2 * bicarbonate / hydrogen
        borate = known.boron * known.kb / (known.kb + hydrogen)
        hydroxide = known.kw / hydrogen
        present = bicarbonate + 2.0 * carbonate + borate + hydroxide - hydrogen
        slope = np.log(10.0) * (
            bicarbonate
            + 4.0 * carbonate
            + borate * hydrogen / (known.kb + hydrogen)
            + hydroxide
            + hydrogen
        )
        step = (alkalinity - present) / slope
        ph = ph + np.clip(step, -1.0, 1.0)
        if np.abs(step).max(initial=0.0) < _NEWTON_TOLERANCE:
            hydrogen = 10.0**-ph
            bicarbonate = known.k1 * free / hydrogen
            carbonate = known.k2 * bicarbonate / hydrogen
            return np.asarray(free + bicarbonate + carbonate)
    raise ValueError(
        f"No carbon balances a fugacity of {np.nanmin(fugacity):.3g} to "
        f"{np.nanmax(fugacity):.3g} uatm within {_NEWTON_STEPS} steps "
        f"({int(np.isnan(free + alkalinity).sum())} NaN). Give fugacity in uatm, "
        f"alkalinity in mol kg-1, and leave out missing cells."
    )


def air_fugacity(
    mole_fraction: Array | float, temperature: Array, salinity: Array
) -> Array:
    """Return the fugacity of CO2 in moist air at 1 atm over the sea.

    Args:
        mole_fraction: CO2 in dry air, ppm.
        temperature: Sea-surface temperature, degC; any shape.
        salinity: Practical salinity, 1e-3; same shape.

    Returns:
        Fugacity, uatm.
    """
    moist = mole_fraction * (1.0 - vapour_pressure(temperature, salinity))
    return moist * fugacity_coefficient(temperature)


def schmidt_number(temperature: Array) -> Array:
    """Return the Schmidt number of CO2 in seawater of salinity 35.

    Args:
        temperature: Sea-surface temperature, degC, from -2 to 40.

    Source:
        Wanninkhof (2014), Limnology and Oceanography: Methods 12, table 1.
    """
    s0, s1, s2, s3, s4 = SCHMIDT
    return (
        s0
        + s1 * temperature
        + s2 * temperature**2
        + s3 * temperature**3
        + s4 * temperature**4
    )


def transfer_velocity(wind_square: Array, temperature: Array) -> Array:
    """Return the gas transfer velocity of CO2 over open water.

    Args:
        wind_square: Mean of the squared 10 m wind speed, m2 s-2. The square of a
            monthly mean wind is too small by the variance within the month.
        temperature: Sea-surface temperature, degC; same shape.

    Returns:
        Transfer velocity, m s-1.

    Source:
        Wanninkhof (2014), equation 4: 0.251 cm h-1 (m s-1)-2.
    """
    centimetres_per_hour = (
        TRANSFER * wind_square * (schmidt_number(temperature) / 660.0) ** -0.5
    )
    return centimetres_per_hour / 100.0 / 3600.0


def gas_flux(
    velocity: Array, k0: Array, air: Array, sea: Array, ice: Array | float = 0.0
) -> Array:
    """Return the flux of CO2 from the air into the sea.

    Args:
        velocity: Transfer velocity, m s-1; any shape.
        k0: Solubility, mol kg-1 atm-1; same shape.
        air: Fugacity of CO2 in the air, uatm; same shape.
        sea: Fugacity of CO2 in the water, uatm; same shape.
        ice: Share of the sea under ice, which lets nothing through.

    Returns:
        Flux in mol m-2 s-1, positive into the sea.
    """
    return (1.0 - ice) * velocity * k0 * DENSITY * (air - sea) * 1e-6


def _alkalinity(
    hydrogen: Array, carbon: Array, known: Constants
) -> tuple[Array, Array]:
    """Return the alkalinity at ``hydrogen`` (mol kg-1) and its derivative by it."""
    k12 = known.k1 * known.k2
    total = hydrogen**2 + known.k1 * hydrogen + k12
    charge = known.k1 * hydrogen + 2.0 * k12
    borate = known.boron * known.kb / (known.kb + hydrogen)
    hydroxide = known.kw / hydrogen
    alkalinity = carbon * charge / total + borate + hydroxide - hydrogen
    slope = (
        carbon * (known.k1 * total - charge * (2.0 * hydrogen + known.k1)) / total**2
        - borate / (known.kb + hydrogen)
        - hydroxide / hydrogen
        - 1.0
    )
    return alkalinity, slope
