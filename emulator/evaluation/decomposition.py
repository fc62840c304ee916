"""Where the spread of a sink comes from: members, teachers, forcing.

An ensemble of networks stands for an ensemble of teachers under one forcing. Annual
totals of the scored years are spread between members of one teacher (what the networks
do not agree on), between teachers (what the models do not agree on), and, where a
second realisation of the forcing is given, between forcings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emulator.evaluation import intervals
from emulator.evaluation.hindcast import annual_totals, covered
from emulator.evaluation.metrics import Months
from emulator.evaluation.task import Array, Mask

Record = dict[str, Any]

SOURCES = ("members", "teachers", "forcing")

DEFINITIONS = {
    "members": "mean over teachers and years of the variance between members",
    "teachers": "mean over years of the variance between teachers, each the mean of "
    "its members, less what members alone make of it",
    "forcing": "mean over teachers and years of half the squared difference between "
    "two realisations of the forcing, means of members",
    "level, anomaly": "of annual totals as they are, and after each series' mean over "
    "the scored years is removed",
    "spread_skill": "spread between members over the error of their mean, root mean "
    "squares; 1 if members were draws from the truth's distribution",
}


def components(totals: Array, other: Array | None = None) -> Record:
    """Split the variance of annual totals into its sources.

    Args:
        totals: PgC; shape (member, teacher, year).
        other: The same under another realisation of the forcing; None without.

    Returns:
        Standard deviation, PgC yr-1, and share of the sum of variances by source; None
        where there is one member, one teacher or one forcing. The share of an absent
        source is not known, so shares are those of the sources that are there.

    Source:
        Random effects of a two-way layout: Searle, Casella and McCulloch (1992),
        Variance Components, chapter 4. A negative estimate counts as 0.
    """
    count, teachers, _ = totals.shape
    mean = totals.mean(axis=0)
    variance: dict[str, float | None] = dict.fromkeys(
        ("members", "teachers", "forcing")
    )
    between = 0.0
    if count > 1:
        between = float(totals.var(axis=0, ddof=1).mean())
        variance["members"] = between
    if teachers > 1:
        apart = float(mean.var(axis=0, ddof=1).mean()) - between / count
        variance["teachers"] = max(apart, 0.0)
    if other is not None:
        change = mean - other.mean(axis=0)
        variance["forcing"] = float((change**2).mean() / 2)
    whole = sum(value for value in variance.values() if value is not None)
    return {
        source: None
        if value is None
        else {"sd": float(np.sqrt(value)), "share": value / whole if whole else None}
        for source, value in variance.items()
    }


def decompose(
    members: Array,
    truth: Array,
    months: Months,
    area: Array,
    teachers: Sequence[str],
    bands: Mapping[str, Array],
    other: Array | None = None,
) -> Record:
    """Split the spread of the globe and of bands, and hold members against truth.

    Args:
        members: kg m-2 s-1; shape (member, teacher, time, cell).
        truth: NaN where there is none; shape (teacher, time, cell). Teachers without
            any are left out.
        months: datetime64[M]; shape (time,).
        area: m2; shape (cell,).
        teachers: Names.
        bands: Share of each cell in each band; shape (cell,).
        other: As ``members``, under another forcing.

    Returns:
        By place and by level and anomaly the components; by teacher the spread-skill
        ratios of months of cells and of years of the globe. Without whole years, or
        teachers, nothing.
    """
    known: Mask = np.asarray(np.isfinite(truth).any(axis=(1, 2)))
    found: Record = {"members": len(members), "teachers": [], "years": []}
    rows: Mask = np.asarray(np.isfinite(truth[known]).any(axis=2).all(axis=0))
    if not known.any() or not rows.any():
        return found
    names = [name for name, there in zip(teachers, known, strict=True) if there]
    truth, months = truth[known][:, rows], months[rows]
    # Every teacher counts in its own cells.
    areas = np.stack([np.where(covered(each), area, 0.0) for each in truth])

    def totals(values: Array, share: Array | float = 1.0) -> Array:
        series = [
            [
                annual_totals(np.nan_to_num(each), own * share, months)[1]
                for each, own in zip(member, areas, strict=True)
            ]
            for member in values
        ]
        return np.asarray(series)

    members = members[:, known][:, :, rows]
    other = None if other is None else other[:, known][:, :, rows]
    years = annual_totals(np.nan_to_num(truth[0]), areas[0], months)[0]
    if not years.size:
        return found
    places: dict[str, Array | float] = {"globe": 1.0, **bands}
    found |= {"teachers": names, "years": years.tolist()}
    found["components"] = {
        place: _both(
            totals(members, share), None if other is None else totals(other, share)
        )
        for place, share in places.items()
        if (areas * share).any()
    }
    found["spread_skill"] = {}
    if len(members) > 1:
        globe = totals(members)
        wanted = totals(truth[None])[0]
        for place, name in enumerate(names):
            found["spread_skill"][name] = {
                "cell/month": _skill(members[:, place], truth[place], areas[place]),
                "globe/year": _skill(globe[:, place], wanted[place], None),
            }
    return found


def _both(totals: Array, other: Array | None) -> Record:
    def centred(values: Array) -> Array:
        return np.asarray(values - values.mean(axis=-1, keepdims=True))

    return {
        "level": components(totals, other),
        "anomaly": components(
            centred(totals), None if other is None else centred(other)
        ),
    }


def _skill(members: Array, truth: Array, area: Array | None) -> float | None:
    """Return the spread-skill ratio of members (member, ...) and truth (...)."""
    error = members.mean(axis=0) - truth
    spread = members.std(axis=0, ddof=1)
    found = intervals.spread_skill(spread, error, len(members), area).ratio
    return None if np.isnan(found) else found
