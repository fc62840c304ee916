"""Do intervals hold what they say? Scores on test years, for the scorecard.

A run that was calibrated has intervals for its forecasts: months after its last label,
as far ahead as was calibrated. They are judged by teachers' labels that nobody has
used, beside the quantiles of boosted trees, which know cells and months only.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.carbon.grid import Grid
from emulator.carbon.regions import latitude_bands
from emulator.data.writing import written_whole
from emulator.evaluation import baselines, intervals, trees
from emulator.evaluation.calibration import (
    KEYS,
    Calibration,
    Errors,
    Key,
    forecast_errors,
    lead_years,
    normal_multiple,
)
from emulator.evaluation.forecasts import Forecast
from emulator.evaluation.settings import BaselineSettings
from emulator.evaluation.task import Array, Mask, Task

Record = dict[str, Any]

DEFINITIONS = {
    "coverage": "share of truths inside the interval; low and high: exact binomial, "
    "95 %, with as many trials as the years and cells are worth; passes if the level "
    "lies between",
    "width": "mean width; cells by area; kg m-2 s-1 for cells, PgC yr-1 for months of "
    "totals, PgC for their years",
    "interval_score": "width + 2 / (1 - level) x the distance outside; less is better",
    "crps": "of the normal distribution with this interval; less is better",
    "reliability": "share of truths inside the interval, narrowed or widened to "
    "another level as that of a normal distribution would be",
    "spread_skill": "spread between members over the error of their mean, root mean "
    "squares; 1 if members were draws from the truth's distribution",
}

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Of the reliability."""


@dataclass(frozen=True, eq=False)
class Ends:
    """An interval of cells and months.

    Attributes:
        lower: kg m-2 s-1; shape (time, cell).
        upper: Shape (time, cell).
    """

    lower: Array
    upper: Array


def judge(
    calibration: Calibration,
    found: Forecast,
    last_label: np.datetime64,
    grid: Grid,
    cells: npt.NDArray[np.int64],
    area: Array,
    references: Mapping[Key, Array],
    other: Ends | None = None,
) -> Record:
    """Score the intervals of the forecasts that a calibration reaches.

    Args:
        calibration: Of the run.
        found: What the run's members say of the scored months.
        last_label: Last month whose labels they learned, datetime64[M].
        grid: The grid of the map.
        cells: Place of each cell in the flattened map; shape (cell,).
        area: Area of the domain, 0 in cells that are not scored, m2; shape (cell,).
        references: Of cells, as ``forecasts.cell_reference``; shape (cell,).
        other: The interval of another method for the months of ``found``.

    Returns:
        What is scored and the scores by support and period; without scores if no
        month lies within reach.
    """
    lead = lead_years(found.months, last_label)
    rows = (lead >= 1) & (lead <= calibration.leads)
    record: Record = {
        "level": calibration.level,
        "flux": calibration.about.get("flux", ""),
        "simulation": calibration.about.get("simulation", ""),
        "teachers": list(found.teachers),
        "about": dict(calibration.about),
        "calibrated_leads": calibration.leads,
        "calibrated_years": list(calibration.years),
        "last_label": str(last_label),
        "months": int(rows.sum()),
        "months_out_of_reach": int((~rows).sum()),
        "first_lead": int(lead.min()),
        "scores": {},
        "lightgbm": {},
    }
    counted = found.whole & (area > 0)
    if not rows.any() or not counted.any():
        return record
    months, inside = found.months[rows], area[counted]
    record["first_month"], record["last_month"] = str(months[0]), str(months[-1])
    bands = latitude_bands(grid)
    shares = np.stack(
        [bands.weight(name).ravel()[cells[counted]] for name in calibration.regions]
    )
    errors = forecast_errors(
        found.members[:, rows][..., counted],
        found.truth[rows][:, counted],
        months,
        last_label,
        inside,
        shares,
    )
    members = len(found.members)
    for key in KEYS:
        each = errors[key]
        if not each.lead.size:  # no whole year
            continue
        reference = references[key][counted] if key in references else None
        half = calibration.half_width(key, each.spread, each.lead, reference)
        weights = inside if key[0] == "cell" else None
        scores = _scores(-half, half, each, calibration.level, weights)
        if members > 1:
            skill = intervals.spread_skill(each.spread, each.residual, members, weights)
            scores["spread_skill"] = _plain(skill.ratio)
            scores["spread_error_correlation"] = _plain(skill.correlation)
        scores["about"] = calibration.describe(key)
        record["scores"]["/".join(key)] = scores
    if other is not None:
        key = ("cell", "month")
        mean = found.members.mean(axis=0)
        lower, upper = (
            (end - mean)[rows][:, counted] for end in (other.lower, other.upper)
        )
        scores = _scores(lower, upper, errors[key], calibration.level, inside)
        record["lightgbm"]["/".join(key)] = scores
    return record


def tree_interval(
    task: Task,
    teachers: Mask,
    simulation: int,
    settings: BaselineSettings,
    *,
    level: float,
    refit: bool,
    folder: Path,
    about: Mapping[str, Any],
) -> Ends:
    """Fit boosted trees to two quantiles of the mean of teachers.

    Args:
        task: Of the net flux.
        teachers: Which of its teachers count; shape (teacher,).
        simulation: Position of the simulation that is asked for.
        settings: How much work goes into it.
        level: The share of truths that the interval should hold.
        refit: Fit on all known months once choices are made.
        folder: Where the interval is kept for other runs on the same data.
        about: All that the task was made from.

    Returns:
        For the months that the task wants.
    """
    key = {**about, "settings": asdict(settings), "refit": refit, "level": level}
    key |= {"teachers": teachers.tolist(), "simulation": simulation}
    text = json.dumps(key, sort_keys=True, default=str)
    path = folder / f"interval-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Ends(kept["lower"], kept["upper"])
    task = with_mean_of_teachers(task, teachers)
    final = task.last_fit(refit=refit)
    work = trees.Work(settings.rows, settings.trees, settings.threads, settings.seed)
    everything = np.ones(task.months.size, bool)
    before, after = (
        baselines.trend(one, everything) - baselines.climatology(one, everything)
        for one in (task, final)
    )
    low, high = (
        trees.tune(task, 0, before[:, 0], work, probability=tail)
        for tail in trees.tails(level)
    )
    lower, upper = trees.predict_interval(
        final, 0, after[:, 0], (low, high), final.wanted, work, level=level
    )
    normal = baselines.climatology(final, final.wanted)[simulation, 0]
    ends = Ends(lower[simulation] + normal, upper[simulation] + normal)
    folder.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        np.savez(part, allow_pickle=False, lower=ends.lower, upper=ends.upper)
    return ends


def with_mean_of_teachers(task: Task, teachers: Mask) -> Task:
    """Return the task with the mean of some teachers as its only one.

    As ``forecasts.mean_of_teachers``, for months in which all of them have labels.
    """
    labels = task.labels[:, teachers]
    known: Mask = np.asarray(np.isfinite(labels))
    months: Mask = np.asarray(known.any(axis=3))
    together: Mask = np.asarray(months.all(axis=1))[..., None]
    total = np.where(known, labels, 0.0).sum(axis=1) / int(teachers.sum())
    mean = np.where(known.any(axis=1) & together, total, np.nan)
    return replace(task, labels=mean[:, None].astype(task.labels.dtype))


def _scores(
    lower: Array, upper: Array, each: Errors, level: float, weights: Array | None
) -> Record:
    """Score an interval of errors, as distances from the mean of members."""
    truth = each.residual
    covered = intervals.coverage(
        lower, upper, truth, each.year, level=level, weights=weights
    )
    score = intervals.interval_score(lower, upper, truth, level)
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    crps = intervals.crps_gaussian(middle, half / normal_multiple(level), truth)
    by_lead = {}
    held = np.where(np.isnan(truth), np.nan, (lower <= truth) & (truth <= upper))
    for lead in np.unique(each.lead):
        steps = each.lead == lead
        by_lead[str(lead)] = {
            "coverage": intervals.weighted_mean(held[steps], weights),
            "width": intervals.width(lower[steps], upper[steps], weights),
        }
    return {
        "coverage": covered.as_dict(),
        "width": intervals.width(lower, upper, weights),
        "interval_score": intervals.weighted_mean(score, weights),
        "crps": intervals.weighted_mean(crps, weights),
        "reliability": {
            str(other): _share_within(truth - middle, half, level, other, weights)
            for other in LEVELS
        },
        "by_lead": by_lead,
    }


def _share_within(
    error: Array, half: Array, level: float, other: float, weights: Array | None
) -> float:
    """Return the share of errors inside an interval scaled to another level."""
    scaled = half * normal_multiple(other) / normal_multiple(level)
    held = np.where(np.isnan(error), np.nan, np.abs(error) <= scaled)
    return intervals.weighted_mean(held, weights)


def _plain(value: float) -> float | None:
    """Return None for NaN, which JSON does not know."""
    return None if np.isnan(value) else float(value)
