"""Calibrated intervals from the errors of forecasts that were made before.

*Rolling origins*: an emulator that saw labels up to a month predicts the months after
it, as it does in operation, and the teacher says how wrong it was; the origin then
moves on. An interval is ``mean +- factor x scale``, where the scale is the spread
between members, and the factor a quantile of earlier ``|error| / scale`` (split
conformal prediction). Errors inside the training span are interpolation, and far too
small.

Months, cells and regions of one year share their weather, so years are what is
exchangeable; how many independent errors the cells of 15 years are worth is measured,
not counted. Errors of different years are taken for exchangeable, which a drift between
the last origin and now breaks.

Six factors are kept apart: for cells, regions and the globe, each for months and years.
A flux of cells is in kg m-2 s-1; totals of regions are in PgC yr-1 (months, rates) and
PgC (years).

Source:
    Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World; scores
    over a spread: Papadopoulos, Gammerman and Vovk (2008), Normalized nonconformity
    measures; years as groups: Dunn, Wasserman and Ramdas (2023), JASA 118, and Lee,
    Barber and Willett (2023), arXiv 2306.06342.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from emulator.carbon.budget import annual_mean, annual_total, area_rate, quadrature
from emulator.carbon.errors import CheckpointError, SettingsError
from emulator.carbon.timeaxis import years_of
from emulator.carbon.units import KG_PER_PETAGRAM, SECONDS_PER_YEAR
from emulator.data.writing import write_text
from emulator.evaluation.intervals import effective_trials
from emulator.evaluation.metrics import (
    Array,
    Months,
    anomalies,
    detrended,
    mean_cycle,
)

Support = Literal["cell", "region", "globe"]
Period = Literal["month", "year"]
Key = tuple[Support, Period]

KEYS: tuple[Key, ...] = (
    ("cell", "month"), ("cell", "year"),
    ("region", "month"), ("region", "year"),
    ("globe", "month"), ("globe", "year"),
)  # fmt: skip

SCHEMA = "calibration/1"
CALIBRATION_FILE = "calibration.json"

ENOUGH_YEARS = 20
"""Independent years from which a region, or a lead, has a factor of its own. The 90 %
quantile is then the second largest score, not the largest."""

FLOOR = 0.3
"""Least scale, as a share of what the labels vary by themselves: members that agree to
better than an R2 of 0.91 are not believed. The spread of three members is itself wrong
by half; where it may be small by chance, all intervals must be the wider for it (1.5
times with a floor of 0.02, 1.3 with 0.1, 1.03 with 0.3, for errors of 0.45 and a spread
of half of that: tests/evaluation/test_calibration.py)."""


@dataclass(frozen=True, eq=False)
class Errors:
    """Errors of forecasts, of one support and period.

    Attributes:
        residual: Truth - mean over members; NaN where there is no truth; shape
            (step, place).
        spread: Sample standard deviation between members, 0 for one member; shape
            (step, place).
        year: Calendar year of each step; shape (step,).
        lead: Years since the last label, 1 for the first twelve months; shape (step,).
    """

    residual: Array
    spread: Array
    year: npt.NDArray[np.int64]
    lead: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Factors:
    """Factors of one support and period, and what they rest on.

    Attributes:
        values: Half-width / scale, by region and by lead year; one row where places
            are pooled, one column where leads are.
        years: Independent years behind each factor, the fewest.
        places_pooled: Whether all regions (or cells) have one factor.
        leads_pooled: Whether all leads have one factor.
        reference: What the labels vary by themselves, which sets the floor, by region;
            empty for cells, whose reference is in the checkpoint.
    """

    values: tuple[tuple[float, ...], ...]
    years: int
    places_pooled: bool
    leads_pooled: bool
    reference: tuple[float, ...] = ()


@dataclass(frozen=True)
class Calibration:
    """How far the intervals of a run reach.

    Attributes:
        level: The share of truths that an interval should hold.
        leads: Longest lead that was calibrated, years after the last label.
        years: Calendar years whose truth was used, increasing: a forecast made as of
            one of them may not know this calibration.
        regions: Names, in the order of the last axis.
        factors: By support and period.
        about: Flux, simulation, teachers, origins, ..., in words.
    """

    level: float
    leads: int
    years: tuple[int, ...]
    regions: tuple[str, ...]
    factors: Mapping[Key, Factors]
    about: Mapping[str, str] = field(default_factory=dict)

    def half_width(
        self,
        key: Key,
        spread: Array,
        lead: npt.NDArray[np.integer],
        reference: Array | None = None,
    ) -> Array:
        """Return the distance from the mean to either end of the interval.

        Args:
            key: Support and period.
            spread: Sample standard deviation between members, in the unit of the
                support (NaN for one member); shape (..., step, place), where places
                are all cells, ``regions``, or the globe alone.
            lead: Years since the last label, as ``lead_years``; shape (step,). Where
                there are labels (0 or less) the factor of the first year is used,
                since interpolating is no harder.
            reference: For cells: what was given to ``calibrate``; shape (place,).

        Returns:
            Shape (..., step, place); NaN beyond ``leads``, where nothing is known.

        Raises:
            ValueError: If cells come without their reference.
        """
        found = self.factors[key]
        if reference is None:
            if not found.reference:
                raise ValueError(
                    "An interval of cells needs their reference. Give what the labels "
                    "of each cell vary by, as it was given to calibrate."
                )
            reference = np.array(found.reference)
        values = np.array(found.values)
        column = np.clip(lead, 1, self.leads) - 1
        factor = values[:, np.minimum(column, values.shape[1] - 1)].T
        factor = np.where((lead <= self.leads)[:, None], factor, np.nan)
        return np.asarray(factor * scale(spread, reference))

    def interval(
        self,
        key: Key,
        mean: Array,
        spread: Array,
        lead: npt.NDArray[np.integer],
        reference: Array | None = None,
    ) -> tuple[Array, Array]:
        """Return the lower and the upper end; arguments as in ``half_width``."""
        half = self.half_width(key, spread, lead, reference)
        return mean - half, mean + half

    def describe(self, key: Key) -> str:
        """Return in one sentence what an interval is, and what it rests on."""
        found = self.factors[key]
        support, period = key
        pooled = [f"leads of 1 to {self.leads} years"] if found.leads_pooled else []
        if support != "globe" and found.places_pooled:
            pooled.append(f"{support}s")
        together = f"; {' and '.join(pooled)} calibrated together" if pooled else ""
        return (
            f"{self.level:.0%} interval of each {period} and {support}, from errors "
            f"of forecasts for {found.years} years ({self.years[0]} to "
            f"{self.years[-1]}) by emulators that had seen no label of theirs{together}"
        )

    def write(self, path: Path) -> None:
        """Write the calibration as JSON, under its name only when it is whole."""
        factors = {"/".join(key): asdict(each) for key, each in self.factors.items()}
        content = {
            "schema": SCHEMA,
            "level": self.level,
            "leads": self.leads,
            "years": self.years,
            "regions": self.regions,
            "about": dict(self.about),
            "factors": factors,
        }
        write_text(path, json.dumps(content, indent=1, allow_nan=False))


def read(path: Path) -> Calibration:
    """Read what ``Calibration.write`` wrote.

    Raises:
        CheckpointError: If there is no such file, or it is none of these.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        if content["schema"] != SCHEMA:
            raise ValueError(f"its schema is {content['schema']!r}, not {SCHEMA!r}")
        return Calibration(
            level=content["level"],
            leads=content["leads"],
            years=tuple(content["years"]),
            regions=tuple(content["regions"]),
            factors={
                _key(name): Factors(
                    values=tuple(tuple(row) for row in each.pop("values")),
                    reference=tuple(each.pop("reference")),
                    **each,
                )
                for name, each in content["factors"].items()
            },
            about=content["about"],
        )
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise CheckpointError(
            f"{path} holds no calibration that can be read ({error}). Calibrate the "
            f"run again."
        ) from error


def lead_years(months: Months, last_label: np.datetime64) -> npt.NDArray[np.int64]:
    """Return how many years each month lies after the last month with labels.

    Returns:
        1 for the first twelve months after it, 2 for the next, ...; 0 and less up to
        it; the shape of ``months``.
    """
    since = (months.astype("M8[M]") - last_label.astype("M8[M]")).astype(np.int64)
    lead: npt.NDArray[np.int64] = (since + 11) // 12
    return lead


def aggregate(
    flux: Array, months: Months, area: Array, shares: Array
) -> dict[Key, Array]:
    """Return a flux on all supports and periods.

    Args:
        flux: kg m-2 s-1; shape (..., time, cell).
        months: datetime64[M]; shape (time,).
        area: Area of the domain in each cell, m2; shape (cell,).
        shares: Share of each cell in each region; shape (region, cell).

    Returns:
        By support and period, shape (..., step, place): steps are the months, or the
        years of which all months are there; places are cells, regions, or one globe.

    Raises:
        ValueError: If a value is NaN where there is area.
    """
    found: dict[Key, Array] = {("cell", "month"): flux}
    _, means = annual_mean(np.moveaxis(flux, -2, 0), months)
    found["cell", "year"] = np.moveaxis(means, 0, -2)
    whole: dict[Support, Array] = {"region": shares, "globe": np.ones((1, area.size))}
    for support, parts in whole.items():
        rate = np.stack([area_rate(flux, area * part) for part in parts], axis=-1)
        _, totals = annual_total(np.moveaxis(rate, -2, 0), months)
        found[support, "month"] = rate * SECONDS_PER_YEAR / KG_PER_PETAGRAM
        found[support, "year"] = np.moveaxis(totals, 0, -2)
    return found


def forecast_errors(
    members: Array,
    truth: Array,
    months: Months,
    last_label: np.datetime64,
    area: Array,
    shares: Array,
) -> dict[Key, Errors]:
    """Return the errors of the forecasts from one origin.

    Args:
        members: What each member predicts, kg m-2 s-1; shape (member, time, cell).
            For the mean of several teachers: its mean over teachers.
        truth: What the teacher simulated, without NaN; shape (time, cell).
        months: datetime64[M]; shape (time,).
        last_label: Last month whose labels the members have seen, datetime64[M].
        area: m2; shape (cell,).
        shares: Share of each cell in each region; shape (region, cell).

    Raises:
        ValueError: If a month has labels that were seen, or a value is NaN.
    """
    lead = lead_years(months, last_label)
    if (lead < 1).any():
        raise ValueError(
            f"{int((lead < 1).sum())} of {lead.size} months are no forecast: they end "
            f"by {last_label}, up to which labels were seen. Score later months only."
        )
    predicted = aggregate(members, months, area, shares)
    known = aggregate(truth, months, area, shares)
    december = months.astype("M8[M]").astype(np.int64) % 12 == 11
    whole = np.isin(years_of(months), _complete_years(months))
    steps: dict[Period, npt.NDArray[np.bool_]] = {
        "month": np.ones(months.size, bool),
        "year": december & whole,
    }
    found: dict[Key, Errors] = {}
    for (support, period), values in predicted.items():
        several = len(members) > 1
        spread = values.std(0, ddof=1) if several else np.zeros(values.shape[1:])
        found[support, period] = Errors(
            residual=known[support, period] - values.mean(0),
            spread=spread,
            year=years_of(months[steps[period]]),
            lead=lead[steps[period]],
        )
    return found


def gather(origins: Sequence[Mapping[Key, Errors]]) -> dict[Key, Errors]:
    """Join the errors of several origins along their steps."""

    def join(key: Key, name: str) -> Any:
        return np.concatenate([getattr(origin[key], name) for origin in origins])

    return {
        key: Errors(
            *(join(key, name) for name in ("residual", "spread", "year", "lead"))
        )
        for key in origins[0]
    }


def references(
    labels: Array, months: Months, area: Array, shares: Array
) -> dict[Key, Array]:
    """Return what labels vary by themselves, on all supports and periods.

    It is the standard deviation of what a mean seasonal cycle and a line in time leave.
    Take labels up to the first origin: they know nothing of the errors to come.

    Args:
        labels: kg m-2 s-1, NaN-free, whole years; shape (time, cell).
        months: datetime64[M]; shape (time,).
        area: m2; shape (cell,).
        shares: Share of each cell in each region; shape (region, cell).

    Returns:
        By support and period, in the unit of the support; shape (place,).
    """
    found: dict[Key, Array] = {}
    for (support, period), values in aggregate(labels, months, area, shares).items():
        departure, steps = values, np.arange(len(values))
        if period == "month":
            departure = anomalies(values, months, mean_cycle(values, months))
        found[support, period] = detrended(departure.T, steps).std(-1)
    return found


def scale(spread: Array, reference: Array) -> Array:
    """Return the spread between members, held above ``FLOOR`` x reference.

    Args:
        spread: Any unit, NaN for one member; shape (..., place).
        reference: The same unit; shape (place,).
    """
    return np.asarray(np.fmax(spread, FLOOR * reference))


def conformal_quantile(
    scores: Array,
    year: npt.NDArray[np.integer],
    level: float,
    weights: Array | None = None,
) -> float:
    """Return the score that those of a new year stay below with this probability.

    The score of rank (n + 1) level among n, rounded up, by weight. Where each year
    gives one score, n is their number, and the probability is exact for exchangeable
    years. Where years give many, n is the number of independent ones that they are
    worth (``intervals.effective_trials``). With n = years throughout, the probability
    would be guaranteed (Lee, Barber and Willett), but for 15 years of many cells it
    would be 0.96 in place of 0.90; this n keeps it within 0.02
    (tests/evaluation/test_calibration.py).

    Args:
        scores: NaN is skipped; shape (step, place).
        year: Calendar year of each step; shape (step,).
        level: Probability.
        weights: Weight of each place (area); shape (place,).

    Returns:
        The quantile; infinity with n below level / (1 - level).
    """
    known = np.isfinite(scores)
    weight = np.where(known, 1.0 if weights is None else weights, 0.0)
    ordered = np.argsort(scores, axis=None)  # NaN, without weight, comes last
    share = weight.ravel()[ordered].cumsum() / weight.sum()

    def quantile(probability: float) -> float:
        # The tolerance keeps rounding of the sum from skipping an exact rank.
        place = np.searchsorted(share, probability - 1e-9)
        if probability > 1 + 1e-9:
            return float("inf")
        return float(scores.ravel()[ordered[place]])

    inside = np.where(known, scores <= quantile(level), np.nan)
    trials = effective_trials(inside, year, weights)
    return quantile(level * (trials + 1) / trials)


def calibrate(
    errors: Mapping[Key, Errors],
    references: Mapping[Key, Array],
    *,
    area: Array,
    regions: Sequence[str],
    level: float = 0.9,
    about: Mapping[str, str] | None = None,
) -> Calibration:
    """Turn the errors of earlier forecasts into the reach of intervals.

    Regions have a factor of their own where there are ``ENOUGH_YEARS``, else one that
    holds for a region drawn at random; so have lead years. The globe is never pooled
    with regions. Cells without variability (reference 0 or NaN) are not counted.

    Args:
        errors: Of all origins, as ``gather`` returns them.
        references: What the labels vary by themselves, as ``references`` returns it.
        area: Weight of each cell; shape (cell,).
        regions: Names of the regions.
        level: The share of truths that an interval should hold.
        about: Flux, simulation, teachers, origins, ..., in words.

    Raises:
        SettingsError: If the level is no probability, or there are too few years for
            it: no finite interval is then known to hold it.
        ValueError: If a region never varies, for its errors then have no unit.
    """
    if not 0 < level < 1:
        raise SettingsError(
            f"The level of an interval is {level:g}, but must lie between 0 and 1."
        )
    found: dict[Key, Factors] = {}
    seen = np.unique(np.concatenate([each.year for each in errors.values()]))
    longest = max(int(each.lead.max()) for each in errors.values())
    for key, each in errors.items():
        weights = area if key[0] == "cell" else None
        found[key] = _factors(key, each, references[key], weights, level, longest)
    return Calibration(
        level=level,
        leads=longest,
        years=tuple(seen.tolist()),
        regions=tuple(regions),
        factors=found,
        about=dict(about or {}),
    )


def normal_multiple(level: float) -> float:
    """Return the half-width of a normal interval over its sd: 1.645 for 90 %."""
    return float(stats.norm.ppf((1 + level) / 2))


def widen(half_width: Array, *sigmas: Array | float, level: float) -> Array:
    """Add independent normal errors to an interval, in quadrature.

    Args:
        half_width: Of the interval, any unit; any shape.
        sigmas: Standard deviations of the other errors (spread between teachers, mean
            adjustment, forcing, budget), the same unit; shapes that broadcast.
        level: The share that the interval holds.
    """
    multiple = normal_multiple(level)
    return multiple * quadrature(half_width / multiple, *sigmas)


def _factors(
    key: Key,
    errors: Errors,
    reference: Array,
    weights: Array | None,
    level: float,
    longest: int,
) -> Factors:
    """Return the factors of one support and period."""
    by_lead = [errors.lead == lead for lead in range(1, longest + 1)]
    leads_pooled = min(_years(errors, steps) for steps in by_lead) < ENOUGH_YEARS
    groups = [np.ones(errors.lead.size, bool)] if leads_pooled else by_lead
    years = min(_years(errors, steps) for steps in groups)
    needed = level / (1 - level)
    # The tolerance is for 0.9 / 0.1, which is not 9 in floating point.
    if years < needed - 1e-9:
        raise SettingsError(
            f"A {level:.0%} interval needs errors of {int(np.ceil(needed - 1e-9))} "
            f"years or more, but those of each {key[1]} and {key[0]} come from "
            f"{years}. Forecast from more origins, or lower the level."
        )
    varies = reference > 0
    if key[0] != "cell" and not varies.all():
        raise ValueError(
            f"{int((~varies).sum())} of {varies.size} totals of each {key[1]} and "
            f"{key[0]} do not vary. Leave out regions without area in the domain."
        )
    size = np.where(varies, scale(errors.spread, reference), np.nan)
    scores = np.abs(errors.residual) / size
    places_pooled = key[0] == "cell" or (key[0] == "region" and years < ENOUGH_YEARS)
    columns = [slice(None)]
    if not places_pooled:
        columns = [slice(place, place + 1) for place in range(scores.shape[1])]
    values = tuple(
        tuple(
            conformal_quantile(
                scores[steps][:, some], errors.year[steps], level, weights
            )
            for steps in groups
        )
        for some in columns
    )
    kept = () if key[0] == "cell" else tuple(reference.tolist())
    return Factors(values, years, places_pooled, leads_pooled, kept)


def _years(errors: Errors, steps: npt.NDArray[np.bool_]) -> int:
    """Return the number of different years with truth among the steps."""
    known = np.isfinite(errors.residual).any(axis=1)
    return int(np.unique(errors.year[steps & known]).size)


def _complete_years(months: Months) -> npt.NDArray[np.int64]:
    years, count = np.unique(years_of(months), return_counts=True)
    complete: npt.NDArray[np.int64] = years[count == 12]
    return complete


def _key(name: str) -> Key:
    return next(key for key in KEYS if "/".join(key) == name)
