"""Gates that a night's map must pass before anybody sees it.

A broken source, a wrong unit or a damaged store show in the map: totals out of all
bounds or far from last night's, holes, other coasts, months that are missing. A map
that fails is not published; the one of the night before stays.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import SanityError, SettingsError
from emulator.carbon.timeaxis import as_months, month_of
from emulator.data.gates import ANNUAL_LIMITS
from emulator.nightly.budget import FRACTIONS, SINKS

Array = NDArray[np.float64]
Months = NDArray[np.datetime64]

FEWEST_YEARS = 5
"""Years of a calendar month from which its spread is believed."""

SAME_MASK = 1e-6
"""Difference of fractions that is rounding of a regridding."""


def _limits(flux: str) -> list[float]:
    return list(ANNUAL_LIMITS[flux])


@dataclass
class SanitySettings:
    """How far a night's map may go.

    Attributes:
        land: Bounds of each land teacher's global total of a year, PgC. Those of
            ``catalog check``: TRENDY's S_LAND was 2.3 to 3.9 in 2013-2023, single
            models about 1 beside it (Global Carbon Budget 2024), and wrong units miss
            by factors.
        ocean: The same of the ocean (2.7 to 3.0; single models within 1).
        reach: How far a month's global rate may lie from last night's, or one that is
            new or has another status from the mean of its calendar month in the ten
            years before, in standard deviations of that calendar month between years.
            (Products of forcing differ by as much as years do: what a preliminary
            month gave is no measure of the final one.) The El Nino years 2015 and
            2023 took S_LAND 1.4 of them below the mean of 2013-2023 (Global Carbon
            Budget 2024); four times that is no weather.
        noise: Least such standard deviation, PgC yr-1, land and ocean: editions of
            the budget differ by as much (RMSE of S_LAND up to 0.12, of S_OCEAN 0.06).
        missing: Share of the domain's cells that may lack a value.
    """

    land: list[float] = field(default_factory=lambda: _limits("nbp"))
    ocean: list[float] = field(default_factory=lambda: _limits("fgco2"))
    reach: float = 6.0
    noise: list[float] = field(default_factory=lambda: [0.12, 0.06])
    missing: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SettingsError: If bounds are no pair in order, or a number is negative.
        """
        for name in ("land", "ocean"):
            bounds = getattr(self, name)
            if len(bounds) != 2 or bounds[0] >= bounds[1]:
                raise SettingsError(
                    f"sanity.{name} is {bounds}, but must be the lower and the upper "
                    f"bound of a year's total, PgC, e.g. [-8, 8]."
                )
        if self.reach <= 0 or len(self.noise) != 2 or min(self.noise) < 0:
            raise SettingsError(
                f"sanity.reach is {self.reach} and sanity.noise {self.noise}, but "
                f"reach must be positive, and noise two numbers, for land and ocean, "
                f"not below 0."
            )
        if not 0 <= self.missing < 1:
            raise SettingsError(
                f"sanity.missing is {self.missing}, but must be a share in [0, 1)."
            )


def check(
    window: xr.Dataset,
    published: xr.Dataset | None,
    settings: SanitySettings,
    *,
    is_new_vintage: bool = False,
) -> None:
    """Refuse a map that cannot be right.

    Args:
        window: The months of the map that this night would publish.
        published: The map of the night before; None before the first.
        settings: The bounds.
        is_new_vintage: Whether another checkpoint made it, so that masks may differ
            and months need not be near those of the night before.

    Raises:
        SanityError: If a gate fails; all that do are named.
    """
    failed = list(_calendar(window, published))
    for domain, flux in SINKS.items():
        if flux not in window:
            if published is not None and flux in published:
                failed.append(f"{flux} is missing, but was published before")
            continue
        failed += _holes(window, domain, settings.missing)
        failed += _totals(window, domain, getattr(settings, domain))
        if published is not None and flux in published:
            if not is_new_vintage:
                failed += _masks(window, published, domain)
            place = list(SINKS).index(domain)
            failed += _near(
                window,
                published,
                flux,
                settings.reach,
                settings.noise[place],
                is_new_vintage=is_new_vintage,
            )
    if failed:
        raise SanityError(
            f"The new map cannot be right, and the old one stays: {'; '.join(failed)}. "
            f"Look at the forcing of the months named, and at what changed since; "
            f"widen sanity.* only if the numbers are right."
        )


def _calendar(window: xr.Dataset, published: xr.Dataset | None) -> Iterator[str]:
    """Yield what is wrong with the months of a window."""
    months = as_months(window["time"].to_numpy())
    steps = np.diff(months).astype(np.int64)
    if (steps != 1).any():
        place = int(np.flatnonzero(steps != 1)[0])
        yield f"{months[place]} is followed by {months[place + 1]}"
    if published is None:
        return
    known = as_months(published["time"].to_numpy())
    if months[0] > known[-1] + 1:
        yield f"the map ended in {known[-1]}, but goes on with {months[0]} only"
    if months[-1] < known[-1]:
        yield f"the map ended in {known[-1]}, but ends in {months[-1]} now"


def _holes(window: xr.Dataset, domain: str, allowed: float) -> Iterator[str]:
    """Yield what is missing inside the domain, and what is there outside it."""
    flux = SINKS[domain]
    mean = window[f"{flux}_mean"].transpose("time", "lat", "lon").to_numpy()
    inside = window[FRACTIONS[domain]].to_numpy() > 0
    months = as_months(window["time"].to_numpy())
    finite = np.isfinite(mean)
    there = finite.any(axis=(1, 2))
    if not there.any():
        yield f"{flux} has no value at all"
        return
    first = int(np.argmax(there))
    last = there.size - int(np.argmax(there[::-1]))
    share = 1 - finite[first:last, inside].mean(axis=1)
    if (share > allowed).any():
        worst = int(np.argmax(share))
        yield (
            f"{flux} of {months[first + worst]} lacks {share[worst]:.1%} of its cells "
            f"({allowed:.1%} allowed)"
        )
    if finite[:, ~inside].any():
        yield f"{flux} has values outside its domain"


def _totals(window: xr.Dataset, domain: str, bounds: list[float]) -> Iterator[str]:
    """Yield which teacher's global total of a year lies outside its bounds."""
    flux, lower, upper = SINKS[domain], *bounds
    totals = window[f"{flux}_year"].sel(region="globe")
    values = totals.transpose(f"{domain}_teacher", "year").to_numpy()
    outside = ~((values >= lower) & (values <= upper)) & np.isfinite(values)
    if outside.any():
        teacher, year = map(int, np.argwhere(outside)[0])
        yield (
            f"{flux} of {totals[f'{domain}_teacher'].to_numpy()[teacher]} is "
            f"{values[teacher, year]:.4g} PgC in {totals['year'].to_numpy()[year]}, "
            f"outside {lower:g} to {upper:g}"
        )


def _masks(window: xr.Dataset, published: xr.Dataset, domain: str) -> Iterator[str]:
    """Yield where grid or coast are not those of the night before."""
    for axis in ("lat", "lon"):
        if not np.array_equal(window[axis], published[axis]):
            yield f"the {axis} of the cells are others than before"
            return
    for name in ("area", FRACTIONS[domain]):
        difference = np.abs(window[name].to_numpy() - published[name].to_numpy())
        scale = float(np.abs(published[name]).max())
        changed = int((difference > SAME_MASK * scale).sum())
        if changed:
            yield f"{name} differs from before in {changed} cells"


def _near(
    window: xr.Dataset,
    published: xr.Dataset,
    flux: str,
    reach: float,
    noise: float,
    *,
    is_new_vintage: bool,
) -> Iterator[str]:
    """Yield the month farthest out of reach: of last night's value, or of its kind."""
    now, months = _globe(window, flux)
    then, known = _globe(published, flux)
    past, past_months = (now, months) if is_new_vintage else (then, known)
    restated = _restated(window, published)
    worst, said = reach, ""
    for value, month in zip(now, months, strict=True):
        is_new = month > known[-1]
        if not np.isfinite(value) or (is_new_vintage and not is_new):
            continue
        alike = (month_of(past_months) == month_of(np.array([month]))[0]) & (
            past_months < month
        )
        same_month = past[alike & np.isfinite(past)]
        if same_month.size < FEWEST_YEARS:
            continue
        spread = max(float(same_month.std(ddof=1)), noise)
        expected, what = float(same_month[-10:].mean()), "the mean of its ten years"
        if not is_new and month not in restated:
            at = np.flatnonzero(known == month)
            if not at.size or not np.isfinite(then[at[0]]):
                continue
            expected, what = float(then[at[0]]), "last night's"
        if abs(value - expected) / spread > worst:
            worst = abs(value - expected) / spread
            said = (
                f"the global {flux} of {month} is {value:.3g} PgC yr-1, {worst:.1f} "
                f"standard deviations from {what} {expected:.3g} ({reach:g} allowed)"
            )
    if said:
        yield said


def _restated(window: xr.Dataset, published: xr.Dataset) -> Months:
    """Return the months whose status is another than last night."""
    _, now, then = np.intersect1d(
        window["time"].to_numpy(), published["time"].to_numpy(), return_indices=True
    )
    status, before = window["status"].to_numpy(), published["status"].to_numpy()
    months = as_months(window["time"].to_numpy())
    found: Months = months[now[status[now] != before[then]]]
    return found


def _globe(sink_map: xr.Dataset, flux: str) -> tuple[Array, Months]:
    """Return the global rate by month, PgC yr-1, and the months."""
    rate = sink_map["budget_month"].sel(flux=flux, region="globe")
    return rate.to_numpy().astype(np.float64), as_months(sink_map["time"].to_numpy())
