"""Plausibility gates: what must hold before a product is stored.

Each check is pure and knows no files beyond the name it is told. A check that fails
stops with file, found, wanted and cure, unless the catalog entry overrides the gate by
name; then the check returns that name, and the store says so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import GateError
from emulator.carbon.variables import VARIABLES

ANNUAL_LIMITS = {"gpp": (80.0, 220.0), "nbp": (-15.0, 15.0), "fgco2": (-8.0, 8.0)}
"""Bounds of the global total of a year, PgC.

Models range over 100-190 for GPP and a few PgC for the net fluxes; a wrong unit misses
by a factor of 12 (mol), 30 (month) or 1000 (g). Others stop at 200 for GPP, but
LPJ-wsl had 192 in 2012 and grows.
"""

LEAST_GROSS = {"nbp": 1.0, "fgco2": 0.2}
"""PgC that months of a net flux move in a year at least, signs of cells left aside.

A net total has no lower bound, so grams taken for kilograms (1000 times too little) or
kilograms for mol (83 times) would pass by it. LPJ-wsl moves 30 to 34 PgC, the land
teachers of the testbed 19 to 27; MITgcm-DIC 4.6 to 5.3, those of the testbed 3 to 7.
"""

ICE_FREE_LAND = 1.33e14
"""m2: 1.483e14 of land (ESMValTool) without the ice sheets' 1.40e13 and 1.7e12."""

SEA = 3.60e14
"""m2 of sea (ESMValTool)."""

COVERAGE_WANTED = 0.8
"""Share of the ice-free land or of the sea that must hold values in every month."""

RESIDUAL_ALLOWED = 0.01
"""Share of the gross flux that nbp may differ from its components, undeclared."""

Overrides = Mapping[str, str]

Sums = tuple[float, ...]
"""What some months add to a test. Sums of all blocks of months, added up, say what the
test of the whole series would."""


@dataclass(frozen=True)
class Extent:
    """How far values reach.

    Attributes:
        lowest: The smallest; NaN if there is none.
        highest: The largest; NaN if there is none.
        outside: How many lie outside the bounds of their variable.
        size: How many places there are, NaN included.
    """

    lowest: float
    highest: float
    outside: int
    size: int

    @classmethod
    def of(cls, variable: str, values: NDArray[np.floating]) -> "Extent":
        """Return the extent of ``values`` of a variable with bounds."""
        known = VARIABLES[variable]
        lowest, highest = extremes(values)
        outside = 0
        if lowest < known.lower or highest > known.upper:
            outside = int(((values < known.lower) | (values > known.upper)).sum())
        return cls(lowest, highest, outside, values.size)

    @classmethod
    def joined(cls, parts: Iterable["Extent"]) -> "Extent":
        """Return the extent of all parts together."""
        parts = list(parts)
        return cls(
            float(np.fmin.reduce([part.lowest for part in parts])),
            float(np.fmax.reduce([part.highest for part in parts])),
            sum(part.outside for part in parts),
            sum(part.size for part in parts),
        )


def check_units(
    variable: str,
    years: NDArray[np.int64],
    totals: NDArray[np.float64],
    *,
    source: str,
    gross: float = float("nan"),
    overrides: Overrides | None = None,
) -> list[str]:
    """Check a flux's unit by the magnitude of its global total.

    Args:
        variable: Canonical name; those without limits pass.
        years: The years; shape (year,).
        totals: Global totals, PgC yr-1; shape (year,).
        source: The file, for the message.
        gross: What its months move, signs aside, PgC yr-1; NaN if nobody knows.
        overrides: Overridden gates with the reason.

    Returns:
        ``["units"]`` if it failed and is overridden, else an empty list.

    Raises:
        GateError: If the total of some year lies outside the limits, or the months
            move less than ``LEAST_GROSS``.
    """
    lower, upper = ANNUAL_LIMITS.get(variable, (-np.inf, np.inf))
    least = LEAST_GROSS.get(variable, 0.0)
    if gross < least:
        return _fail(
            "units",
            f"{source}: '{variable}' of all cells and months, signs aside, comes to "
            f"{gross:.3g} PgC a year, but at least {least:g} is plausible. The unit or "
            f"a fill value is wrong: declare variables.{variable}.units in the catalog "
            f"entry, or mend the file",
            overrides,
        )
    outside = ~((totals >= lower) & (totals <= upper))
    if not outside.any():
        return []
    worst = int(np.argmax(np.where(outside, np.abs(totals), -1)))
    return _fail(
        "units",
        f"{source}: the global total of '{variable}' in {years[worst]} is "
        f"{totals[worst]:.4g} PgC, but {lower:g} to {upper:g} is plausible. Its unit "
        f"is probably not the one stated: declare variables.{variable}.units in the "
        f"catalog entry",
        overrides,
    )


def check_range(
    variable: str,
    values: NDArray[np.floating] | Extent,
    *,
    source: str,
    overrides: Overrides | None = None,
) -> list[str]:
    """Check that every value is physically possible; NaN passes.

    Args:
        variable: Canonical name, which has bounds in the vocabulary.
        values: The field in the canonical unit, any shape; or its extent.
        source: The file, for the message.
        overrides: Overridden gates with the reason.

    Returns:
        ``["range"]`` if it failed and is overridden, else an empty list.

    Raises:
        GateError: If a value lies outside the bounds.
    """
    known = VARIABLES[variable]
    found = values if isinstance(values, Extent) else Extent.of(variable, values)
    if not found.outside:
        return []
    worst = found.lowest if found.lowest < known.lower else found.highest
    return _fail(
        "range",
        f"{source}: {found.outside} of {found.size} values of '{variable}' lie outside "
        f"{known.lower:g} to {known.upper:g} {known.units}, e.g. {worst:.4g}. The unit "
        f"or a fill value is wrong: declare variables.{variable}.units in the catalog "
        f"entry, or mend the file",
        overrides,
    )


def check_sign(
    variable: str,
    agreement: float,
    evidence: str,
    *,
    source: str,
    overrides: Overrides | None = None,
) -> list[str]:
    """Check that a net flux is positive out of the air.

    Args:
        variable: ``nbp`` or ``fgco2``.
        agreement: Positive if the sign is right; see ``sign_by_components``,
            ``sign_by_summer`` and ``sign_by_winter_atlantic``. NaN passes.
        evidence: What the agreement was found with, for the message.
        source: The file, for the message.
        overrides: Overridden gates with the reason.

    Returns:
        ``["sign"]`` if it failed and is overridden, else an empty list.

    Raises:
        GateError: If the sign is wrong.
    """
    if not agreement < 0:
        return []
    return _fail(
        "sign",
        f"{source}: '{variable}' has the wrong sign by {evidence} ({agreement:.3g}), "
        f"but uptake by land or ocean must be positive. Declare "
        f"variables.{variable}.sign: -1 in the catalog entry",
        overrides,
    )


def check_closure(
    residual: float,
    allowed: float | None,
    *,
    source: str,
    overrides: Overrides | None = None,
) -> list[str]:
    """Check that nbp is the sum of its components, or that a residual is declared.

    Args:
        residual: Share of the gross flux, as ``closure_residual`` returns it.
        allowed: The declared share; None for the usual one.
        source: The file, for the message.
        overrides: Overridden gates with the reason.

    Returns:
        ``["closure"]`` if it failed and is overridden, else an empty list.

    Raises:
        GateError: If the residual is larger than allowed.
    """
    limit = RESIDUAL_ALLOWED if allowed is None else allowed
    if residual <= limit:
        return []
    return _fail(
        "closure",
        f"{source}: nbp differs from gpp - ra - rh - fFire - fLuc by {residual:.2%} of "
        f"the gross flux, but at most {limit:.2%} is allowed. If the model has other "
        f"fluxes (harvest, products), declare residual: {{allowed: "
        f"{1.2 * residual:.2g}, why: ...}} in the catalog entry; else a component is "
        f"missing or wrong",
        overrides,
    )


def check_coverage(
    covered: float,
    domain: str,
    *,
    source: str,
    overrides: Overrides | None = None,
) -> list[str]:
    """Check that a field holds values over most of its domain.

    Args:
        covered: Share of the domain, as ``coverage`` returns it.
        domain: ``land`` or ``ocean``.
        source: The file, for the message.
        overrides: Overridden gates with the reason.

    Returns:
        ``["coverage"]`` if it failed and is overridden, else an empty list.

    Raises:
        GateError: If less than ``COVERAGE_WANTED`` is covered.
    """
    if covered >= COVERAGE_WANTED:
        return []
    what = "ice-free land" if domain == "land" else "sea"
    return _fail(
        "coverage",
        f"{source} holds values for {covered:.0%} of the {what} in its emptiest month, "
        f"but at least {COVERAGE_WANTED:.0%} is needed. Check fill values and the land "
        f"fraction; a regional product cannot be a teacher of the globe",
        overrides,
    )


def extremes(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return the smallest and the largest value; NaN if there is none."""
    if not values.size:
        return float("nan"), float("nan")
    # These pass over NaN without a copy of the values.
    return float(np.fmin.reduce(values, axis=None)), float(
        np.fmax.reduce(values, axis=None)
    )


def coverage(
    values: NDArray[np.floating], area: NDArray[np.float64], domain: str
) -> float:
    """Return the share of the domain with values, in the month that has fewest.

    Args:
        values: Field with NaN where it holds no value; shape (time, lat, lon).
        area: Area to which the flux refers, m2; shape (lat, lon).
        domain: ``land`` or ``ocean``.
    """
    finite = np.isfinite(values).reshape(values.shape[0], -1)
    per_month = np.einsum("tc,c->t", finite, area.ravel())
    reference = ICE_FREE_LAND if domain == "land" else SEA
    return float(min(1.0, per_month.min(initial=np.inf) / reference))


def gross_sums(values: NDArray[np.floating], area: NDArray[np.float64]) -> Sums:
    """Return the size of a flux added up over months, kg s-1, and their number.

    Months without any value do not count: the coverage tells of those.

    Args:
        values: Flux, kg m-2 s-1, NaN where it holds no value; shape (time, cell).
        area: Area to which it refers, m2; shape (cell,).
    """
    rate = np.einsum("tc,c->t", np.abs(np.nan_to_num(values)), area)
    return float(rate.sum()), float((~np.isnan(values).all(axis=1)).sum())


def closure_residual(
    net: NDArray[np.floating],
    components: NDArray[np.floating],
    gross: NDArray[np.floating],
    area: NDArray[np.float64],
) -> float:
    """Return the sum of |net - components| over all cells and months, per gross flux.

    Args:
        net: nbp, kg m-2 s-1; shape (time, lat, lon).
        components: gpp - ra - rh - fFire - fLuc, same unit and shape.
        gross: gpp, same unit and shape.
        area: Area to which the fluxes refer, m2; shape (lat, lon).

    Returns:
        The share; NaN if there is no gross flux.
    """
    missing, total = closure_sums(net, components, gross, area)
    return missing / total if total else np.nan


def closure_sums(
    net: NDArray[np.floating],
    components: NDArray[np.floating],
    gross: NDArray[np.floating],
    area: NDArray[np.float64],
) -> Sums:
    """Return the two sums whose ratio is ``closure_residual``, kg s-1 x months."""
    missing = np.nansum(np.abs(net - components), axis=0, dtype=np.float64)
    total = np.nansum(gross, axis=0, dtype=np.float64)
    return float((missing * area).sum()), float((total * area).sum())


def sign_by_components(
    net: NDArray[np.floating],
    components: NDArray[np.floating],
    area: NDArray[np.float64],
) -> float:
    """Return how much better ``net`` fits its components than ``-net`` does.

    Args:
        net: nbp, kg m-2 s-1; shape (time, lat, lon).
        components: gpp - ra - rh - fFire - fLuc, same unit and shape.
        area: Area to which the fluxes refer, m2; shape (lat, lon).

    Returns:
        The regression slope of ``net`` on ``components`` through the origin: near 1
        if the sign is right, near -1 if it is flipped.
    """
    return slope(component_sums(net, components, area))


def component_sums(
    net: NDArray[np.floating],
    components: NDArray[np.floating],
    area: NDArray[np.float64],
) -> Sums:
    """Return the two sums whose ratio, the ``slope``, is ``sign_by_components``."""
    weight = np.broadcast_to(area, net.shape)
    both = np.isfinite(net) & np.isfinite(components)
    square = float((weight[both] * components[both].astype(np.float64) ** 2).sum())
    product = float(
        (weight[both] * net[both].astype(np.float64) * components[both]).sum()
    )
    return product, square


def slope(sums: Sums) -> float:
    """Return product / square of ``component_sums``; NaN without components."""
    product, square = sums
    return product / square if square else np.nan


def sign_by_summer(
    net: NDArray[np.floating],
    month: NDArray[np.int64],
    lat: NDArray[np.float64],
    area: NDArray[np.float64],
) -> float:
    """Return summer minus winter nbp of the northern land, kg s-1.

    The land between 40 and 65 degrees north takes up carbon in June to August and
    gives it off in December to February, in every model and in the air.

    Args:
        net: nbp, kg m-2 s-1; shape (time, lat, lon).
        month: Month of the year, 1 to 12; shape (time,).
        lat: Degrees north; shape (lat,).
        area: Area to which the flux refers, m2; shape (lat, lon).
    """
    return summer_over_winter(summer_sums(net, month, lat, area))


def summer_sums(
    net: NDArray[np.floating],
    month: NDArray[np.int64],
    lat: NDArray[np.float64],
    area: NDArray[np.float64],
) -> Sums:
    """Return sum and number of the summers, then of the winters, 40-65 N; kg s-1."""
    weight = area * ((lat >= 40) & (lat <= 65))[:, None]
    rate = np.einsum("tij,ij->t", np.nan_to_num(net), weight)
    summer, winter = np.isin(month, (6, 7, 8)), np.isin(month, (12, 1, 2))
    return (
        float(rate[summer].sum()),
        float(summer.sum()),
        float(rate[winter].sum()),
        float(winter.sum()),
    )


def summer_over_winter(sums: Sums) -> float:
    """Return the difference of the means of ``summer_sums``; NaN if one lacks."""
    summer, summers, winter, winters = sums
    if not (summers and winters):
        return float("nan")
    return summer / summers - winter / winters


def sign_by_winter_atlantic(
    net: NDArray[np.floating],
    month: NDArray[np.int64],
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    area: NDArray[np.float64],
) -> float:
    """Return fgco2 of the northern Atlantic in winter, kg s-1.

    The Atlantic between 50 and 60 degrees north takes up carbon in December to March
    in every product.

    Args:
        net: fgco2, kg m-2 s-1; shape (time, lat, lon).
        month: Month of the year, 1 to 12; shape (time,).
        lat: Degrees north; shape (lat,).
        lon: Degrees east within [-180, 180); shape (lon,).
        area: Area to which the flux refers, m2; shape (lat, lon).
    """
    return mean_of(winter_atlantic_sums(net, month, lat, lon, area))


def winter_atlantic_sums(
    net: NDArray[np.floating],
    month: NDArray[np.int64],
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    area: NDArray[np.float64],
) -> Sums:
    """Return sum and number of the winter months, 50-60 N of the Atlantic; kg s-1."""
    rows, columns = (lat >= 50) & (lat <= 60), (lon >= -55) & (lon <= -5)
    weight = area * (rows[:, None] & columns[None, :])
    rate = np.einsum("tij,ij->t", np.nan_to_num(net), weight)
    winter = np.isin(month, (12, 1, 2, 3))
    return float(rate[winter].sum()), float(winter.sum())


def mean_of(sums: Sums) -> float:
    """Return sum / number; NaN of nothing."""
    total, count = sums
    return total / count if count else float("nan")


def _fail(gate: str, message: str, overrides: Overrides | None) -> list[str]:
    """Return the name of an overridden gate, or stop."""
    if overrides and gate in overrides:
        return [gate]
    raise GateError(
        f"{message}. If the data are right, override the gate in the catalog entry "
        f"with the reason: gates: {{{gate}: ...}}."
    )
