"""Carbon closes: the net flux is the sum of its components, a map meets its total.

nbp = gpp - ra - rh - fFire - fLuc + residual, where the residual is what a teacher
does not report (harvest, products, dissolved carbon). All functions are linear or
piecewise linear, in float64, on fluxes of one unit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.budget import area_rate
from emulator.carbon.units import KG_PER_PETAGRAM, SECONDS_PER_YEAR

Array = NDArray[np.float64]
Flux = NDArray[Any]

COMPONENT_SIGNS = {"gpp": 1.0, "ra": -1.0, "rh": -1.0, "fFire": -1.0, "fLuc": -1.0}
"""With which sign each component stands in the net flux into the land."""


def nbp_from_components(
    *,
    gpp: Flux,
    ra: Flux,
    rh: Flux,
    fire: Flux | None = None,
    luc: Flux | None = None,
    residual: Flux | None = None,
) -> Array:
    """Return the net flux that the components add up to, positive into the land.

    Args:
        gpp: Gross primary production, kg m-2 s-1; any shape.
        ra: Autotrophic respiration, kg m-2 s-1; same shape.
        rh: Heterotrophic respiration, kg m-2 s-1; same shape.
        fire: Fire emissions, kg m-2 s-1; None where the teacher has no fire, or has
            it inside another component.
        luc: Emissions from land-use change, kg m-2 s-1; None where there are none.
        residual: What the teacher does not report, kg m-2 s-1, positive into the
            land; None for 0.
    """
    net = np.asarray(gpp, np.float64) - np.asarray(ra, np.float64)
    net = net - np.asarray(rh, np.float64)
    for loss in (fire, luc):
        if loss is not None:
            net = net - np.asarray(loss, np.float64)
    return net if residual is None else net + np.asarray(residual, np.float64)


def close(
    nbp: Flux,
    *,
    gpp: Flux,
    ra: Flux,
    rh: Flux,
    fire: Flux | None = None,
    luc: Flux | None = None,
) -> Array:
    """Return the residual that closes ``nbp`` against its components.

    Arguments are those of ``nbp_from_components``; given the residual, that returns
    ``nbp`` to the rounding of the gross flux.
    """
    net = nbp_from_components(gpp=gpp, ra=ra, rh=rh, fire=fire, luc=luc)
    return np.asarray(nbp, np.float64) - net


def gross_flux(
    *,
    gpp: Flux,
    ra: Flux,
    rh: Flux,
    fire: Flux | None = None,
    luc: Flux | None = None,
) -> Array:
    """Return the sum of the sizes of all components, against which to judge a residual.

    Arguments are those of ``nbp_from_components``.
    """
    gross = np.abs(np.asarray(gpp, np.float64)) + np.abs(np.asarray(ra, np.float64))
    gross = gross + np.abs(np.asarray(rh, np.float64))
    for loss in (fire, luc):
        if loss is not None:
            gross = gross + np.abs(np.asarray(loss, np.float64))
    return gross


def correct_to_total(
    flux: Flux,
    total: NDArray[Any],
    area: NDArray[Any],
    freedom: NDArray[Any],
    *,
    keep_sign: bool = False,
) -> Array:
    """Change a map as little as possible, so that its total is the known one.

    The change is the least-squares one: the smallest sum of area * change**2 /
    freedom, which gives a change in proportion to freedom.

    Args:
        flux: Flux density, kg m-2 s-1; shape (..., lat, lon) or (..., cell). Where
            ``area`` is 0 it is left as it is, and may be NaN.
        total: Total to meet, PgC yr-1 as ``area_total`` returns it; shape (...).
        area: Area of the process in each cell, m2; shape (lat, lon) or (cell,).
        freedom: How far each cell may move, any unit, >= 0; same shape as ``area``.
            Cells without freedom keep their value.
        keep_sign: Never turn the sign of a cell, as components of the net flux must
            not: a cell that reaches 0 stops there, and the others take over its part.
            Cells that are 0 stay 0.

    Returns:
        The corrected flux, kg m-2 s-1, in float64; shape of ``flux``.

    Raises:
        ValueError: If a freedom is negative or NaN, since least squares then have no
            solution; if no cell can move; if the total cannot be met without
            turning a sign; or as ``area_rate`` raises.
    """
    if not (freedom >= 0).all():
        raise ValueError(
            "A freedom is negative or NaN. Give 0 to a cell that must not move."
        )
    wanted = np.asarray(total, np.float64) * KG_PER_PETAGRAM / SECONDS_PER_YEAR
    missing = np.atleast_1d(wanted - area_rate(flux, area)).reshape(-1)
    inside = area.ravel() > 0
    weight = area.ravel()[inside].astype(np.float64)
    freedoms = freedom.ravel()[inside].astype(np.float64)
    corrected = np.array(flux, np.float64).reshape(missing.size, area.size)
    before = corrected[:, inside]
    # Without signs to keep nothing bounds a cell.
    bound = np.abs(before) if keep_sign else np.full(before.shape, np.inf)
    bound[(before * missing[:, None] > 0)] = np.inf
    change = _spread(missing, weight, freedoms, bound)
    corrected[:, inside] = before + change
    return corrected.reshape(flux.shape)


def _spread(missing: Array, area: Array, freedom: Array, bound: Array) -> Array:
    """Return the least-squares change (sample, cell) with sizes up to ``bound``.

    Cells that would pass their bound are set to it and taken out; the step of the
    others then grows, so a cell once taken out never comes back, and the loop ends
    with the exact solution.
    """
    free = np.broadcast_to(freedom > 0, bound.shape) & (bound > 0)
    change = np.zeros(bound.shape)
    sign = np.sign(missing)[:, None]
    left = missing.copy()
    while True:
        capacity = np.where(free, area * freedom, 0.0).sum(axis=1)
        stuck = (capacity == 0) & (np.abs(left) > 1e-12 * np.abs(missing))
        if stuck.any():
            raise ValueError(
                f"{int(stuck.sum())} of {missing.size} maps cannot meet their total: "
                f"no cell is free to move further (area * freedom is 0, or its sign "
                f"would turn). Give freedom to more cells, or correct less."
            )
        step = np.where(capacity > 0, left / np.where(capacity > 0, capacity, 1), 0.0)
        wanted = step[:, None] * freedom
        full = free & (np.abs(wanted) >= bound)
        if not full.any():
            return np.where(free, wanted, change)
        change = np.where(full, sign * np.where(full, bound, 0.0), change)
        free = free & ~full
        left = missing - (change * area).sum(axis=1)
