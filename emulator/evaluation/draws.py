"""Joint draws of a flux around its mean, on a coarse grid.

Cell intervals cannot be summed: how errors go together in space and time decides the
interval of a total. A draw is the mean plus a random combination of *paths*: error
fields of earlier forecasts, month by month and cell by cell, as they came. Draws have
the covariance of the paths, rescaled so that totals of regions and of the globe spread
as their calibrated intervals say. Between and beyond these regions, and between months
and years, the correlations are those of the paths; with K paths no more than K patterns
exist, so that the interval of a small area rests on K errors.

A combination, and not one path drawn again, because 15 paths would give 15 draws.

Source:
    Multipliers of whole error fields: the wild bootstrap, Wu (1986), Annals of
    Statistics 14; without sampling error in the covariance: Pham (2001), Monthly
    Weather Review 129, second-order-exact sampling.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emulator.carbon.timeaxis import MONTHS_PER_YEAR, month_of, seconds_per_month
from emulator.carbon.units import KG_PER_PETAGRAM, SECONDS_PER_YEAR
from emulator.evaluation.metrics import Array, Months

FEWEST_DRAWS = 50
"""Fewest draws that are given out: the ends of a 90 % interval then have two or three
draws beyond each."""

SWEEPS = 500
"""Most turns of fitting regions and globe to their spreads, one after the other: where
the globe spreads nearly as much as all regions together, it takes hundreds."""

TOLERANCE = 1e-3
"""Relative change of a scale below which fitting ends."""


LEAST_TOTAL = 0.01
"""Least spread that is fitted: of a region as a share of the largest, of the globe as a
share of the sum over regions. Less would have errors cancel to rounding."""


@dataclass(frozen=True, eq=False)
class TotalSpread:
    """Standard deviations that totals of the draws should have.

    A calibrated half-width over ``calibration.normal_multiple(level)``.

    Attributes:
        region_month: Monthly rates of regions, PgC yr-1; shape (time, region).
        region_year: Totals of years, PgC; shape (year, region).
        globe_month: Monthly rates of the globe, PgC yr-1; shape (time,).
        globe_year: Totals of years, PgC; shape (year,).
    """

    region_month: Array
    region_year: Array
    globe_month: Array
    globe_year: Array


def year_blocks(errors: Array, years: int) -> Array:
    """Return paths of consecutive years, wherever they begin.

    For origins so far apart that each year was forecast once: a path then begins at
    any lead, and ``rescale`` gives each of its years the spread of its own.

    Args:
        errors: Truth - mean of consecutive years, January to December; shape
            (time, cell).
        years: Length of a path, years.

    Returns:
        As many paths as years, the last ones going on with the first year; shape
        (path, years x 12, cell).

    Raises:
        ValueError: If the errors are no whole years, or fewer than a path has.

    Source:
        Circular blocks: Politis and Romano (1992).
    """
    count, rest = divmod(len(errors), MONTHS_PER_YEAR)
    if rest or count < years:
        raise ValueError(
            f"Errors of {len(errors)} months make no paths of {years} whole years. "
            f"Give consecutive years from January to December, {years} or more."
        )
    by_year = errors.reshape(count, MONTHS_PER_YEAR, -1)
    place = (np.arange(count)[:, None] + np.arange(years)) % count
    return np.asarray(by_year[place].reshape(count, years * MONTHS_PER_YEAR, -1))


def rescale(
    paths: Array, months: Months, area: Array, shares: Array, wanted: TotalSpread
) -> Array:
    """Scale paths so that totals have the spread that was calibrated.

    Annual means and the departures of months from them are scaled apart: the first to
    the spread of years, the second to what months spread beyond it. A region's cells
    are first multiplied by one number. Then the totals of regions and globe are given
    their spread in turn until all have it, each time changing cells by their regression
    on the total: the joint normal distribution nearest to that of the errors. Where the
    globe is to spread by more than all regions together, which cannot be, the globe is
    right and the regions spread by more.

    Args:
        paths: Error fields, kg m-2 s-1; shape (path, time, cell).
        months: The months that are drawn for, whole years from January on,
            datetime64[M]; shape (time,).
        area: Area of the domain in each cell, m2; shape (cell,).
        shares: Share of each cell in each region, the sum over regions 1; shape
            (region, cell).
        wanted: Spread of the totals.

    Returns:
        Paths whose totals have the root mean square ``wanted`` over paths: annual
        totals in each year, monthly rates over the months of each year.

    Raises:
        ValueError: If the months are no whole years, the paths are not as long, the
            regions are no partition of the globe, or not fewer than the paths: so few
            patterns cannot give each region its own spread.

    Source:
        Iterative proportional scaling of a normal distribution: Speed and Kiiveri
        (1986), Annals of Statistics 14.
    """
    _require_years(paths, months)
    if not np.allclose(shares.sum(0)[area > 0], 1.0, atol=1e-6):
        raise ValueError(
            "The regions do not add up to the globe: the shares of a cell must sum to "
            "1. Add the region of all that is left, and take none that overlap."
        )
    if len(paths) <= len(shares):
        raise ValueError(
            f"{len(paths)} paths cannot be fitted to {len(shares)} regions. Give more "
            f"paths, or fewer and larger regions."
        )
    years = months.size // MONTHS_PER_YEAR
    seconds = seconds_per_month(months).reshape(years, MONTHS_PER_YEAR, 1)
    fields = paths.astype(np.float64).reshape(
        len(paths), years, MONTHS_PER_YEAR, area.size
    )
    means = (fields * seconds).sum(2, keepdims=True) / seconds.sum(1, keepdims=True)
    rest = fields - means
    result = np.empty_like(fields)
    for year in range(years):
        part = slice(year * MONTHS_PER_YEAR, (year + 1) * MONTHS_PER_YEAR)
        per_year = seconds[year].sum() / KG_PER_PETAGRAM
        annual = _matched(
            means[:, year, 0],
            area * per_year,
            shares,
            wanted.region_year[year],
            wanted.globe_year[year],
        )
        # What is left for months once the year has its share, as rates.
        to_rate = SECONDS_PER_YEAR / KG_PER_PETAGRAM
        monthly = _matched(
            rest[:, year].reshape(-1, area.size),
            area * to_rate,
            shares,
            _beyond(wanted.region_month[part], wanted.region_year[year]),
            _beyond(wanted.globe_month[part], wanted.globe_year[year]),
        )
        result[:, year] = annual[:, None] + monthly.reshape(rest[:, year].shape)
    return result.reshape(paths.shape)


def joint_draws(mean: Array, paths: Array, draws: int, *, seed: int = 0) -> Array:
    """Draw fields around their mean with the covariance of the paths.

    Args:
        mean: Any unit; shape (time, cell).
        paths: Error fields, the same unit; shape (path, time, cell).
        draws: Number of draws, more than paths and at least ``FEWEST_DRAWS``.
        seed: The same seed gives the same draws.

    Returns:
        Shape (draw, time, cell). Their mean is ``mean``, and the covariance about it
        is that of the paths about zero, to rounding: a bias of the errors counts as
        spread.

    Raises:
        ValueError: If there are too few draws.
    """
    fewest = max(FEWEST_DRAWS, len(paths) + 1)
    if draws < fewest:
        raise ValueError(
            f"{draws} draws are too few for {len(paths)} paths: give {fewest} or more."
        )
    generator = np.random.default_rng(seed)
    normal = generator.normal(size=(draws, len(paths)))
    # Orthonormal columns without mean: the covariance of the multipliers is the unit
    # matrix, not only on average.
    columns, _ = np.linalg.qr(normal - normal.mean(axis=0))
    multipliers = columns * np.sqrt(draws / len(paths))
    return np.asarray(mean + np.tensordot(multipliers, paths, 1))


def _matched(
    fields: Array, area: Array, shares: Array, regions: Array, globe: Array
) -> Array:
    """Scale fields (sample, cell) until totals have the spread that is wanted.

    ``area`` carries the unit of the totals.
    """
    weights = area * shares
    regions = np.maximum(regions, LEAST_TOTAL * regions.max())
    fields = fields * (1 + (_ratio(regions, fields @ weights.T) - 1) @ shares)
    # No errors of regions add up to more than all of them at once, or to less than
    # the largest against all others; asking for it would blow up single cells.
    together = regions.sum()
    least = max(2 * regions.max() - together, LEAST_TOTAL * together)
    globe_within = np.clip(globe, least, together)
    wanted = np.append(regions, globe_within)
    totals = np.column_stack([fields @ weights.T, fields @ area])
    mixing = np.eye(len(fields))
    for _ in range(SWEEPS):
        largest = 0.0
        for place, spread in enumerate(wanted):
            total = totals[:, place]
            power = float(total @ total)
            if power == 0:
                continue
            change = float(spread) / math.sqrt(power / total.size) - 1
            # Everything changes by its regression on the total; what is uncorrelated
            # with it stays.
            step = change / power * total
            mixing += np.outer(step, total @ mixing)
            totals = totals + np.outer(step, total @ totals)
            largest = max(largest, abs(change))
        if largest < TOLERANCE:
            break
    fields = mixing @ fields
    beyond = max(float(globe / together), 1.0) if together > 0 else 1.0
    return np.asarray(fields * beyond)


def _ratio(wanted: Array, totals: Array) -> Array:
    """Return the wanted spread over that of totals (sample, ...), 1 where it is 0."""
    found = np.sqrt((totals**2).mean(axis=0))
    return np.asarray(
        np.divide(wanted, found, out=np.ones_like(found), where=found > 0)
    )


def _beyond(months: Array, year: Array) -> Array:
    """Return what months (12, ...) spread beyond their year, in root mean square."""
    return np.asarray(np.sqrt(np.maximum((months**2).mean(axis=0) - year**2, 0.0)))


def _require_years(paths: Array, months: npt.NDArray[np.datetime64]) -> None:
    whole = months.size and months.size % MONTHS_PER_YEAR == 0
    steps = np.diff(months.astype("M8[M]")).astype(np.int64)
    if not whole or month_of(months)[0] != 1 or (steps != 1).any():
        raise ValueError(
            f"Draws need whole years from January on, got {months.size} months from "
            f"{months[:1]}. Draw for whole years, and choose months afterwards."
        )
    if paths.shape[1] != months.size:
        raise ValueError(
            f"The paths have {paths.shape[1]} months, but {months.size} are drawn for. "
            f"Give paths as long as the months."
        )
