"""The simplest things that could replace the network.

Each has the network's inputs and memory, is fitted on training months, and makes its
choices on validation months. All of them know the label climatology of their cell and
simulation. Predictions have the shape (simulation, teacher, wanted, cell), kg m-2 s-1.

climatology: the training mean of the calendar month.
trend: climatology plus a line; in time on land, in CO2 at sea.
persistence: climatology plus the last known anomaly, damped by its memory. It needs the
    last label. Held-out years begin years after it, so it has decayed to climatology
    there: it is shown for completeness and would matter at leads of months.
ridge: a regularised linear model of lagged forcing in each cell (``ridge``).
lightgbm: gradient-boosted trees over all cells (``trees``).
co2_enso: for the globe only, annual totals from CO2 and El Nino (``enso``).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.carbon.timeaxis import years_of
from emulator.evaluation import ridge, trees
from emulator.evaluation.settings import BaselineSettings
from emulator.evaluation.task import Array, Mask, Task

PERSISTENCE_WINDOWS = (1, 12, 60)
"""Months over which the last anomaly is averaged: weather, a year, slow pools."""


DESCRIPTIONS = {
    "climatology": "training mean of the calendar month, cell and simulation",
    "trend": "climatology plus a line per cell: in time on land, in CO2 at sea",
    "persistence": "climatology plus the last known anomaly, damped per cell; needs "
    "the last label, and at these leads of years it has decayed to climatology",
    "ridge": "linear in lagged forcing and CO2 per cell; lags, penalty and weight of "
    "CO2 chosen on validation years; simulations fitted jointly",
    "lightgbm": "boosted trees over all cells: lags, trailing means up to the memory, "
    "CO2, season, static fields, climate and label climatology; simulations jointly",
    "co2_enso": "the globe's annual total, linear in CO2 and a lagged El Nino index "
    "taken from the forcing; lags chosen on validation years",
}
"""What the scorecard says about each baseline."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """What one baseline predicts, and what was chosen for it on validation years.

    Attributes:
        prediction: kg m-2 s-1; shape (simulation, teacher, wanted, cell).
        choice: One dictionary of plain values for each teacher.
    """

    prediction: Array
    choice: list[dict[str, Any]]


def fit(
    task: Task, settings: BaselineSettings, *, refit: bool = False
) -> dict[str, Baseline]:
    """Tune, fit and apply every baseline of ``settings``.

    Args:
        task: Labels, forcing and the months to predict.
        settings: Which baselines, and how much work.
        refit: Fit on all known months once choices are made, as the network was.
    """
    final = task.last_fit(refit=refit)
    makers: dict[str, Callable[[], Baseline]] = {
        "climatology": lambda: _plain(final, climatology(final, final.wanted)),
        "trend": lambda: _plain(final, trend(final, final.wanted)),
        "persistence": lambda: _persistence(task, final),
        "ridge": lambda: _ridge(task, final),
        "lightgbm": lambda: _trees(task, final, settings),
    }
    return {name: makers[name]() for name in settings.names}


def climatology(task: Task, wanted: Mask) -> Array:
    """Return the training climatology of the wanted months."""
    return np.asarray(task.climatology[:, :, task.season[wanted]], np.float32)


def trend(task: Task, wanted: Mask) -> Array:
    """Return climatology plus a line: in time on land, in CO2 at sea.

    Time is the calendar year, so that a season is no part of the line. It is fitted to
    the anomalies of each cell, teacher and simulation. Where CO2 is constant (a control
    simulation) it is flat.
    """
    result = climatology(task, wanted)
    for simulation in range(task.labels.shape[0]):
        course = (
            task.co2[simulation]
            if task.domain == "ocean"
            else years_of(task.months).astype(np.float64)
        )
        for teacher, donor in enumerate(task.donor):
            line = _line(
                course[task.train], task.anomalies[simulation, teacher, task.train]
            )
            result[simulation, teacher] += line(course[wanted])[:, donor]
    return result


def persistence(task: Task, wanted: Mask, window: int) -> Array:
    """Return climatology plus the damped mean of the last known anomalies.

    Args:
        task: Labels and training months.
        wanted: Months to predict; shape (time,).
        window: Months over which the last anomaly is averaged. It is damped by
            slope^(lead / window), the slope of one such mean on the one before it,
            per cell, between 0 and 1.
    """
    result = climatology(task, wanted)
    for simulation, teachers in enumerate(task.anomalies):
        for teacher, anomalies in enumerate(teachers):
            known = np.where(task.train[:, None], anomalies, np.nan)
            smooth = _running_mean(known, window)
            damping = _slope(smooth[:-window], smooth[window:]).clip(0.0, 1.0)
            labelled = np.flatnonzero(np.isfinite(smooth).any(axis=1))
            donor = task.donor[teacher]
            for place, month in enumerate(np.flatnonzero(wanted)):
                before = labelled[labelled < month]
                if before.size:
                    lead = month - before[-1]
                    kept = damping ** (lead / window) * smooth[before[-1]]
                    result[simulation, teacher, place] += np.nan_to_num(kept)[donor]
    return result


def _plain(task: Task, prediction: Array) -> Baseline:
    return Baseline(prediction, [{} for _ in range(task.labels.shape[1])])


def _persistence(task: Task, final: Task) -> Baseline:
    errors = [
        task.error(persistence(task, task.validation, window), task.validation)
        for window in PERSISTENCE_WINDOWS
    ]
    best = np.argmin(errors, axis=0)
    fits = [persistence(final, final.wanted, window) for window in PERSISTENCE_WINDOWS]
    prediction = np.stack([fits[b][:, t] for t, b in enumerate(best)], axis=1)
    return Baseline(prediction, [{"window": PERSISTENCE_WINDOWS[b]} for b in best])


def _ridge(task: Task, final: Task) -> Baseline:
    choices = ridge.tune(task)
    prediction = ridge.predict(final, final.wanted, choices)
    return Baseline(prediction, [asdict(choice) for choice in choices])


def _trees(task: Task, final: Task, settings: BaselineSettings) -> Baseline:
    work = trees.Work(settings.rows, settings.trees, settings.threads, settings.seed)
    everything = np.ones(task.months.size, bool)
    before, after = (
        trend(one, everything) - climatology(one, everything) for one in (task, final)
    )
    normal = climatology(final, final.wanted)
    choices = []
    for teacher in range(normal.shape[1]):
        choice = trees.tune(task, teacher, before[:, teacher], work)
        normal[:, teacher] += trees.predict(
            final, teacher, after[:, teacher], choice, final.wanted, work
        )
        choices.append(asdict(choice))
    return Baseline(normal, choices)


def _line(x: Array, y: Array) -> Callable[[Array], Array]:
    """Fit a line of y (time, cell) in x (time,), per cell; NaN of either is skipped."""
    valid = np.isfinite(y) & np.isfinite(x)[:, None]
    count = valid.sum(0).clip(1)
    middle = np.where(valid, x[:, None], 0.0).sum(0) / count
    centred = np.where(valid, x[:, None] - middle, 0.0)
    spread = (centred**2).sum(0)
    product = (centred * np.nan_to_num(y)).sum(0)
    slope = np.divide(product, spread, out=np.zeros_like(product), where=spread > 0)
    level = np.where(valid, y, 0.0).sum(0) / count
    return lambda at: level + slope * (at[:, None] - middle)


def _slope(x: Array, y: Array) -> Array:
    """Return the slope through the origin of y on x (time, cell), 0 if undefined."""
    both = np.isfinite(x) & np.isfinite(y)
    product = np.where(both, x * y, 0.0).sum(0)
    square = np.where(both, x**2, 0.0).sum(0)
    flat = np.zeros(product.shape)
    return np.asarray(np.divide(product, square, out=flat, where=square > 0))


def _running_mean(values: npt.NDArray[Any], window: int) -> Array:
    """Average over the last ``window`` steps of (time, cell); NaN where not whole."""
    valid = np.isfinite(values)
    total = np.cumsum(np.where(valid, values, 0.0), axis=0, dtype=np.float64)
    count = np.cumsum(valid, axis=0)
    result = np.full(values.shape, np.nan)
    if window > values.shape[0]:
        return result
    start = np.zeros((1, values.shape[1]))
    before = np.concatenate([start, total])[: total.shape[0] - window + 1]
    seen = count - np.concatenate([np.zeros((window, count.shape[1])), count[:-window]])
    mean = (total[window - 1 :] - before) / window
    result[window - 1 :] = np.where(seen[window - 1 :] == window, mean, np.nan)
    return result
