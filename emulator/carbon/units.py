"""Constants of the carbon cycle, and the one place where units are converted.

Every constant carries its source. Inside the package a field is always in its
canonical unit (``emulator.carbon.variables``); other units exist only where files are
read, and there they come in every spelling: ``kgC/m2/s``, ``kg C m$^{-2}$ s$^{-1}$``,
``KgC/m2.s``, ``mol m**-2 s**-1``. ``convert`` understands those and refuses the rest.

Three readings hold for this package, and are wrong elsewhere:

* An amount in mol is an amount of carbon atoms, so mol and kg C convert.
* A depth of water (mm, mm per day) is a mass of water per area (kg m-2).
* A year without a calendar is the mean Gregorian year of 365.2425 days.

A month is refused: it has no fixed length.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import UnitsError

EARTH_RADIUS = 6.371e6
"""Radius of the sphere on which areas are computed, m (IUGG mean radius, rounded)."""

MOLAR_MASS_CARBON = 12.011e-3
"""Molar mass of carbon, kg mol-1 (IUPAC 2021 standard atomic weight)."""

KG_PER_PETAGRAM = 1.0e12
"""Kilograms in one petagram; 1 PgC is 1 GtC."""

PGC_PER_PPM = 2.124
"""Carbon of the air per ppm of CO2, PgC ppm-1 (Ballantyne et al. 2012, as used by
Friedlingstein et al. 2025, ESSD 17, table 1)."""

GTCO2_PER_GTC = 3.664
"""Mass of CO2 per mass of carbon (Friedlingstein et al. 2025, ESSD 17, table 1)."""

SECONDS_PER_DAY = 86400.0
"""Seconds in a day, s."""

DAYS_PER_YEAR = 365.2425
"""Days in the mean year of the Gregorian calendar."""

SECONDS_PER_YEAR = DAYS_PER_YEAR * SECONDS_PER_DAY
"""Seconds in the mean year of the Gregorian calendar, s."""

FREEZING_POINT = 273.15
"""0 degC in K (definition of the Celsius scale)."""

WATER_DENSITY = 1000.0
"""Density of fresh water, kg m-3: 1 mm of rain is 1 kg m-2 (WMO convention)."""


class _Dimension(NamedTuple):
    """Exponents of the base units."""

    mass: float = 0
    length: float = 0
    time: float = 0
    temperature: float = 0

    def times(self, other: "_Dimension", power: float) -> "_Dimension":
        """Return the dimension of ``self * other**power``."""
        return _Dimension(*(a + b * power for a, b in zip(self, other, strict=True)))


@dataclass(frozen=True)
class _Unit:
    """A unit as ``canonical = value * scale + offset`` in kg, m, s, K."""

    scale: float
    offset: float
    dimension: _Dimension


_MASS, _LENGTH, _TIME = _Dimension(1), _Dimension(0, 1), _Dimension(0, 0, 1)
_PRESSURE = _Dimension(1, -1, -2)
_NUMBER = _Dimension()

_PREFIXED = {
    "g": (1e-3, _MASS),
    "t": (1e3, _MASS),
    "mol": (MOLAR_MASS_CARBON, _MASS),
    "m": (1.0, _LENGTH),
    "Pa": (1.0, _PRESSURE),
    "bar": (1e5, _PRESSURE),
    "atm": (101325.0, _PRESSURE),
    "W": (1.0, _Dimension(1, 2, -3)),
    "J": (1.0, _Dimension(1, 2, -2)),
    "N": (1.0, _Dimension(1, 1, -2)),
}
"""Symbols that take a prefix, with their size in base units."""

_PLAIN = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), (1.0, _TIME)),
    **dict.fromkeys(("min", "minute", "minutes"), (60.0, _TIME)),
    **dict.fromkeys(("h", "hr", "hour", "hours"), (3600.0, _TIME)),
    **dict.fromkeys(("d", "day", "days"), (SECONDS_PER_DAY, _TIME)),
    **dict.fromkeys(("y", "yr", "a", "year", "years"), (SECONDS_PER_YEAR, _TIME)),
    **dict.fromkeys(("%", "percent"), (1e-2, _NUMBER)),
    **dict.fromkeys(("-", "fraction", "unitless"), (1.0, _NUMBER)),
    **dict.fromkeys(("psu", "PSU", "pss", "permil"), (1e-3, _NUMBER)),
    **dict.fromkeys(("ppm", "ppmv"), (1e-6, _NUMBER)),
    **dict.fromkeys(("K", "degK", "kelvin", "Kelvin"), (1.0, _Dimension(0, 0, 0, 1))),
    "mole": (MOLAR_MASS_CARBON, _MASS),
    "moles": (MOLAR_MASS_CARBON, _MASS),
    "meter": (1.0, _LENGTH),
    "metre": (1.0, _LENGTH),
    "milligram": (1e-6, _MASS),
    **dict.fromkeys(("Pascal", "Pascals", "pascal"), (1.0, _PRESSURE)),
}
"""Symbols that take no prefix."""

_PREFIXES = dict(
    zip(
        "PTGMkhcmun",
        (1e15, 1e12, 1e9, 1e6, 1e3, 1e2, 1e-2, 1e-3, 1e-6, 1e-9),
        strict=True,
    )
)

_CELSIUS = {"c", "celsius"} | {
    degree + scale
    for degree in ("deg", "degree", "degrees")
    for scale in ("c", "celsius")
}
_KELVIN = {"degkelvin", "degreekelvin", "degreeskelvin", "degreek", "degreesk"}
_MONTHS = {"mon", "mons", "month", "months"}
_NUMBER_TOKEN = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?")
_SYMBOL_TOKEN = re.compile(r"([A-Za-z%]+?)(CO2)?([+-]?\d+(?:\.\d+)?)?")


def convert(values: NDArray[Any], found: str, wanted: str) -> NDArray[Any]:
    """Return ``values`` in another unit.

    Args:
        values: Numbers in the unit ``found``; any shape.
        found: Unit as the file spells it, e.g. ``gC/m2/day``.
        wanted: Unit to return, e.g. ``kg m-2 s-1``.

    Returns:
        The numbers in ``wanted``; same shape and floating type (integers become
        float64). Where nothing changes it is the array itself, not a copy.

    Raises:
        UnitsError: If a unit is not understood, since a guess would be off by orders
            of magnitude, or if the two are of different kinds.
    """
    scale, offset = conversion(found, wanted)
    if scale == 1.0 and offset == 0.0:
        return values
    floating = np.issubdtype(values.dtype, np.floating)
    kind = values.dtype if floating else np.dtype(np.float64)
    # In float64 first, so that float32 values are rounded once.
    converted: NDArray[Any] = (values * np.float64(scale) + offset).astype(kind)
    return converted


def conversion(found: str, wanted: str) -> tuple[float, float]:
    """Return (scale, offset) such that ``wanted = found * scale + offset``.

    Args:
        found: Unit as the file spells it.
        wanted: Unit to return.

    Raises:
        UnitsError: See ``convert``.
    """
    if found == wanted and found.strip():
        return 1.0, 0.0
    source, target = _parse(found), _parse(wanted)
    scale = source.scale / target.scale
    offset = (source.offset - target.offset) / target.scale
    if source.dimension == target.dimension:
        # 1e-6 of a mol per mol and ppm differ in the last digit, not in meaning.
        return (1.0 if abs(scale - 1) < 1e-12 else scale), offset
    depth_to_mass = _Dimension(mass=1, length=-3)
    if source.dimension.times(depth_to_mass, 1) == target.dimension:
        return scale * WATER_DENSITY, 0.0
    if target.dimension.times(depth_to_mass, 1) == source.dimension:
        return scale / WATER_DENSITY, 0.0
    raise UnitsError(
        f"Unit {found!r} cannot become {wanted!r}: the two are of different kinds. "
        f"If the file lies about its unit, declare the true one as 'units' of the "
        f"variable in its catalog entry."
    )


@lru_cache(maxsize=256)
def _parse(text: str) -> _Unit:
    """Read a unit, however it is spelt."""
    plain = re.sub(r"[\s_.°]", "", text.lower())
    for names, zero in ((_CELSIUS, FREEZING_POINT), (_KELVIN, 0.0)):
        if plain in names:
            return _Unit(1.0, zero, _Dimension(temperature=1))
    if re.fullmatch(r"\(?0 ?- ?1\)?", text.strip()):  # ERA5's sea-ice cover
        return _Unit(1.0, 0.0, _NUMBER)
    scale, dimension = 1.0, _NUMBER
    tokens = _tokens(text)
    if not tokens:
        raise UnitsError(
            "A field has no unit. Declare it as 'units' of the variable in its "
            "catalog entry, e.g. 'kg m-2 s-1'; dimensionless is '1'."
        )
    for token, sign in tokens:
        if _NUMBER_TOKEN.fullmatch(token):
            scale *= float(token) ** sign
            continue
        size, base, power = _symbol(token, text)
        scale *= size ** (power * sign)
        dimension = dimension.times(base, power * sign)
    return _Unit(scale, 0.0, dimension)


def _tokens(text: str) -> list[tuple[str, int]]:
    """Split a unit into symbols, each with 1 above and -1 below the slash."""
    plain = text.translate(str.maketrans("⁻⁰¹²³⁴\u2212µμ·", "-01234-uu*"))
    # What brackets hold stays together: kg/(m2 s), kg(C).
    plain = re.sub(r"\(([^)]*)\)", lambda held: held[1].replace(" ", "*"), plain)
    plain = re.sub(r"[${}()\\^]|\*\*", "", plain).replace("micro", "u")
    plain = re.sub(r"(?<![\d.])10(?=[+-]\d)", "1e", plain)
    plain = re.sub(r"(?<=[A-Za-z])[ _]+CO2", "CO2", plain)
    # A dot between symbols multiplies; one inside a number is a decimal point.
    plain = re.sub(r"(?<=[A-Za-z0-9])\.(?=[A-Za-z])(?![eE][+-]?\d)", "*", plain)
    tokens: list[tuple[str, int]] = []
    for index, part in enumerate(plain.split("/")):
        # "kg m-2/s m" is nobody's spelling, but "KgC/m2.s" means per second: what
        # a dot or star joins stays below the slash, what a space joins does not.
        joined, *others = part.split() or [""]
        below = -1 if index else 1
        tokens += [(token, below) for token in joined.split("*") if token]
        tokens += [(token, 1) for token in " ".join(others).replace("*", " ").split()]
    carbon = {"C", "carbon", "Carbon"}
    return [(t, s) for i, (t, s) in enumerate(tokens) if not (t in carbon and i)]


def _symbol(token: str, text: str) -> tuple[float, _Dimension, float]:
    """Return size, dimension and power of one symbol such as ``m-2`` or ``kgC``."""
    match = _SYMBOL_TOKEN.fullmatch(token)
    name, dioxide, power = match.groups() if match else (token, None, None)
    name = {"Kg": "kg", "KgC": "kgC"}.get(name, name)
    if name in _MONTHS:
        raise UnitsError(
            f"Unit {text!r} is per month, which has no fixed length. Convert the file "
            f"to a rate per second, or declare its true 'units' in the catalog entry."
        )
    size = _size(name) or (_size(name[:-1]) if name.endswith("C") else None)
    if size is None:
        raise UnitsError(
            f"Unit {text!r} is not understood ({token!r} is unknown). Declare it as "
            f"'units' of the variable in its catalog entry, e.g. 'kg m-2 s-1'."
        )
    if dioxide and not name.endswith("mol"):
        size = (size[0] / GTCO2_PER_GTC, size[1])
    return size[0], size[1], float(power or 1)


def _size(name: str) -> tuple[float, _Dimension] | None:
    """Return the size of a symbol in base units, or None if it is unknown."""
    if name in _PLAIN:
        return _PLAIN[name]
    if name in _PREFIXED:
        return _PREFIXED[name]
    for prefix, factor in _PREFIXES.items():
        base = name.removeprefix(prefix)
        if base != name and base in _PREFIXED:
            return factor * _PREFIXED[base][0], _PREFIXED[base][1]
    return None
