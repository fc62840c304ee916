"""Scores of several variants on the same years, and how sure their differences are.

The differences to one variant are drawn with the same years for both: a year that is
hard for one is hard for the other, so that a difference can be certain where the scores
themselves are not. A variant is one run or several, which differ in their seed alone:
its score is the mean of theirs, and how far these lie apart stands beside.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emulator.carbon.errors import SettingsError
from emulator.evaluation import metrics
from emulator.evaluation.bootstrap import Draws, Score, score, year_draws
from emulator.evaluation.hindcast import MEAN, NETWORK
from emulator.evaluation.task import Array

Card = dict[str, Any]
Key = tuple[str, str, str, str]
Statistic = Callable[[Draws], Array]
Scores = Mapping[str, Statistic]

SCORES = ("anomaly_r2", "shape_r2", "rmse", "annual_r2_centred", "detrended_r", "bias")

_SEED_STREAM = 1
"""Keeps draws of seeds apart from those of years, which the same number begins."""

AVERAGE = "average of the teachers' scores"
"""Stands for the mean of teachers where some runs know only one teacher."""


@dataclass(frozen=True)
class Variant:
    """Runs that stand for one row of a table.

    Attributes:
        name: Of the row.
        cards: Scorecards of the runs, one a seed; of runs with one teacher each, one a
            seed and teacher.
    """

    name: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Row:
    """One score of one variant or baseline, and its difference to the reference.

    Attributes:
        flux: Of the record.
        simulation: Of the record.
        teacher: Of the record.
        scope: Of the record.
        method: The variant, or "baseline NAME".
        score: Name of the score.
        value: Mean over seeds.
        low: Lower end of its 95 % interval, over years and seeds.
        high: Upper end of its 95 % interval, over years and seeds.
        difference: To the reference, in the same years.
        difference_low: Lower end of its 95 % interval, over years and seeds.
        difference_high: Upper end of its 95 % interval, over years and seeds.
        n: Years.
        seeds: The score of each seed.
    """

    flux: str
    simulation: str
    teacher: str
    scope: str
    method: str
    score: str
    value: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    n: int
    seeds: tuple[float, ...]

    @property
    def key(self) -> Key:
        """Which record it is a score of."""
        return self.flux, self.simulation, self.teacher, self.scope

    @property
    def is_certain(self) -> bool:
        """Whether the interval of the difference leaves out zero."""
        return self.difference_low > 0 or self.difference_high < 0

    @property
    def seed_sd(self) -> float:
        """Standard deviation of the seeds' scores; NaN for a single one."""
        if len(self.seeds) < 2:
            return math.nan
        return float(np.std(self.seeds, ddof=1))


@dataclass(frozen=True, eq=False)
class _Record:
    """What all variants say about one simulation and teacher.

    Attributes:
        years: Whole ones, as the truth has them.
        runs: By variant, the scores of each of its runs.
        baselines: By name, the scores that it has in each variant.
    """

    years: tuple[int, ...]
    runs: Mapping[str, Sequence[Scores]]
    baselines: Mapping[str, Sequence[Scores]]

    @property
    def n(self) -> int:
        """Number of years."""
        return len(self.years)


def paired_rows(variants: Sequence[Variant], reference: str = "") -> Iterator[Row]:
    """Yield the scores of all variants and of their baselines.

    Records that only some of the variants have are left out. Where no mean of teachers
    is common to all, the average of the scores of the teachers that are stands for it.
    A baseline has other inputs in other variants: each score is that of the variant
    where it is best.

    Args:
        variants: At least one.
        reference: Name of the variant that differences refer to; empty for the first.

    Raises:
        SettingsError: If no record is common to all variants, the same record has
            other years or another truth, or the reference is not among them.
    """
    names = [variant.name for variant in variants]
    if reference and reference not in names:
        raise SettingsError(
            f"There is no variant {reference!r} to refer to, only {', '.join(names)}. "
            f"Give one of them as reference."
        )
    found = _records(variants)
    for key, record in {**found, **_averages(found)}.items():
        yield from _rows(key, record, reference or names[0])


def _records(variants: Sequence[Variant]) -> dict[Key, _Record]:
    """Return what is common to all variants."""
    keyed = [
        {
            key: [(card, r) for card in variant.cards for r in _of(card, key)]
            for key in dict.fromkeys(
                _key(r) for card in variant.cards for r in card["records"]
            )
        }
        for variant in variants
    ]
    common = [key for key in keyed[0] if all(key in each for each in keyed)]
    if not common:
        cards = [card for variant in variants for card in variant.cards]
        raise SettingsError(
            "The runs have no flux, simulation and teacher in common: "
            + "; ".join(f"{c['run']}: {', '.join(c['teachers'])}" for c in cards)
            + ". Compare runs on the same store."
        )
    found = {}
    for key in common:
        pairs = [pair for each in keyed for pair in each[key]]
        _require_same_truth(pairs)
        first = pairs[0][1]
        if not first["n_years"]:
            continue
        found[key] = _Record(
            tuple(first["years"]),
            {
                variant.name: [
                    _statistics(record["methods"][NETWORK], record)
                    for _, record in each[key]
                ]
                for variant, each in zip(variants, keyed, strict=True)
            },
            {
                name: [
                    _statistics(each[key][0][1]["methods"][name], first)
                    for each in keyed
                    if name in each[key][0][1]["methods"]
                ]
                for name in first["methods"]
                if name != NETWORK
            },
        )
    return found


def _averages(found: Mapping[Key, _Record]) -> dict[Key, _Record]:
    """Return the average over teachers where their mean was not scored by all.

    Teachers that were scored on other years have none.
    """
    groups: dict[tuple[str, str, str], list[_Record]] = {}
    for (flux, simulation, teacher, scope), record in found.items():
        if teacher != MEAN and (flux, simulation, MEAN, scope) not in found:
            groups.setdefault((flux, simulation, scope), []).append(record)
    averages = {}
    for (flux, simulation, scope), records in groups.items():
        first = records[0]
        # Years are drawn by their place: the same place must be the same weather.
        if len(records) < 2 or any(record.years != first.years for record in records):
            continue
        averages[flux, simulation, AVERAGE, scope] = _Record(
            first.years,
            {
                name: _by_place([record.runs[name] for record in records])
                for name in first.runs
            },
            {
                name: _by_place([record.baselines[name] for record in records])
                for name in first.baselines
                if all(name in record.baselines for record in records)
            },
        )
    return averages


def _by_place(every: Sequence[Sequence[Scores]]) -> list[Scores]:
    """Return the means over teachers of the first seed of each, the second, ..."""
    # A seed that only some teachers have says nothing about all.
    return [_mean(each) for each in zip(*every, strict=False)]


def _rows(key: Key, record: _Record, reference: str) -> Iterator[Row]:
    drawn = year_draws(record.n)
    means = {
        name: _over_seeds(runs, place)
        for place, (name, runs) in enumerate(record.runs.items())
    }

    def row(method: str, name: str, own: Statistic, runs: Iterable[Scores]) -> Row:
        change = _difference(own, means[reference][name])
        return Row(
            *key,
            method,
            name,
            *_triple(score(own, record.n, drawn)),
            *_triple(score(change, record.n, drawn)),
            record.n,
            tuple(_value(run[name], record.n) for run in runs),
        )

    for method, mean in means.items():
        for name in mean:
            if name in means[reference]:
                yield row(method, name, mean[name], record.runs[method])
    for baseline, candidates in record.baselines.items():
        for name in means[reference]:
            offered = [each for each in candidates if name in each]
            if offered:
                best = max(offered, key=lambda each: _worth(name, each[name], record.n))
                yield row(f"baseline {baseline}", name, best[name], [best])


def _worth(name: str, statistic: Statistic, years: int) -> float:
    """Return a number that is larger where the score is better."""
    value = _value(statistic, years)
    if math.isnan(value):
        return -math.inf
    return -abs(value) if name in ("rmse", "bias") else value


def _statistics(found: Card, record: Card) -> dict[str, Statistic]:
    """Return the scores as functions of drawn years."""
    statistics: dict[str, Statistic] = {}
    for name, part in (("anomaly_r2", "yearly"), ("shape_r2", "yearly_shape")):
        # Months of years that are not whole count in cells, not in annual totals.
        if "cells" in found and found["cells"][part]["years"] == record["years"]:
            statistics[name] = _pooled(found["cells"][part])
    if "annual_totals" in found:
        p, t, years = (
            np.asarray(values)
            for values in (
                found["annual_totals"],
                record["teacher_annual"],
                record["years"],
            )
        )
        statistics |= {
            "rmse": lambda place: metrics.rmse(p[place], t[place]),
            "annual_r2_centred": lambda place: metrics.annual_r2_centred(
                p[place], t[place]
            ),
            "detrended_r": lambda place: metrics.detrended_r(
                p[place], t[place], years[place]
            ),
            "bias": lambda place: metrics.bias(p[place], t[place]),
        }
    return {name: statistics[name] for name in SCORES if name in statistics}


def _pooled(yearly: Card) -> Statistic:
    sums = metrics.Moments(
        *(np.asarray(yearly[name]) for name in ("weight", "error", "first", "second"))
    )
    return lambda place: sums.take(place).total().r2()


def _mean(every: Sequence[Scores]) -> Scores:
    """Return the mean of the scores that all have, as a function of drawn years."""

    def mean(statistics: Sequence[Statistic]) -> Statistic:
        return lambda place: np.mean([each(place) for each in statistics], axis=0)

    names = [name for name in every[0] if all(name in each for each in every)]
    return {name: mean([each[name] for each in every]) for name in names}


def _over_seeds(runs: Sequence[Scores], variant: int) -> Scores:
    """Return the mean over runs; where years are drawn again, runs are drawn again too.

    Each variant draws its own seeds, since seed 0 of one has nothing in common with
    seed 0 of another, but the same ones each time: against itself nothing differs.
    """

    def mean(statistics: Sequence[Statistic]) -> Statistic:
        def drawn(place: Draws) -> Array:
            found = np.stack([each(place) for each in statistics])
            if place.ndim > 1:
                generator = np.random.default_rng([variant, _SEED_STREAM])
                chosen = generator.integers(0, len(found), found.shape)
                found = np.take_along_axis(found, chosen, axis=0)
            return np.asarray(found.mean(axis=0))

        return drawn

    names = [name for name in runs[0] if all(name in each for each in runs)]
    return {name: mean([each[name] for each in runs]) for name in names}


def _difference(one: Statistic, other: Statistic) -> Statistic:
    return lambda place: np.asarray(one(place) - other(place))


def _value(statistic: Statistic, years: int) -> float:
    return float(statistic(np.arange(years)))


def _triple(found: Score) -> tuple[float, float, float]:
    return found.value, found.low, found.high


def _key(record: Card) -> Key:
    return record["flux"], record["simulation"], record["teacher"], record["scope"]


def _of(card: Card, key: Key) -> list[Card]:
    return [record for record in card["records"] if _key(record) == key]


def _require_same_truth(pairs: Sequence[tuple[Card, Card]]) -> None:
    reference, first = pairs[0]
    for card, record in pairs:
        if record["years"] != first["years"] or not np.allclose(
            record["teacher_annual"], first["teacher_annual"], rtol=1e-3, atol=1e-3
        ):
            raise SettingsError(
                f"{card['run']} was scored on other years or labels of "
                f"{record['teacher']} {record['simulation']} than {reference['run']}: "
                f"{_years(record)} against {_years(first)}. Compare runs on the same "
                f"store and split."
            )


def _years(record: Card) -> str:
    years = record["years"]
    return f"{years[0]}-{years[-1]}" if years else "no whole year"
