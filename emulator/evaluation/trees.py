"""Gradient-boosted trees over all cells, one model for each teacher.

A sample is a cell, month and simulation. Its features are the forcing anomalies of
this month and of the year before, their means over windows up to the memory, CO2, the
season, the cell's mean climate, its static fields, and its label climatology and
spread. The target is the anomaly of the flux, with or without the trend: trees cannot
extrapolate in CO2, so which is better is chosen on validation months, together with
the number of leaves.

With a ``probability`` the same trees are fitted to that quantile of the anomaly, not to
its mean. Two quantiles are an interval of cells and months; those of a region's total
do not follow from them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from emulator.evaluation.task import Array, Mask, Task

LAST_LAG = 12
"""Months back that are single features; older weather enters as means."""

MEAN_WINDOWS = (3, 6, 12, 24, 36)
"""Trailing windows, months, in so far as the memory holds them."""

LEAVES = (31, 127)
"""Candidates for the number of leaves: LightGBM's default, and four times as many."""

LEARNING_RATE = 0.1
"""Small enough that early stopping, not this number, sets how closely a tree fits."""

PATIENCE = 30
"""Trees without improvement on validation samples after which fitting stops."""

TRIAL_SHARE = 4
"""Choices are made with this fraction of the samples: 1 in 4."""


@dataclass(frozen=True)
class Work:
    """How much is done: training samples, most trees, threads and the seed."""

    rows: int
    trees: int
    threads: int
    seed: int


@dataclass(frozen=True)
class Choice:
    """What was chosen for a teacher: with trend removed or not, leaves, trees."""

    detrend: bool
    leaves: int
    trees: int


def tune(
    task: Task,
    teacher: int,
    trend: Array,
    work: Work,
    *,
    probability: float | None = None,
) -> Choice:
    """Choose the target, the number of leaves and of trees on validation months.

    Args:
        task: Labels, forcing and months.
        teacher: Position of the teacher.
        trend: The line of the trend baseline minus climatology, kg m-2 s-1, of all
            months; shape (simulation, time, cell).
        work: How much is done.
        probability: Of the quantile to be predicted; None for the mean.
    """
    features = Features(task, teacher)
    fitted = _sample(task, teacher, task.train, work.rows // TRIAL_SHARE, work.seed)
    checked = _sample(
        task, teacher, task.validation, work.rows // TRIAL_SHARE, work.seed + 1
    )
    if not (fitted.size and checked.size):
        return Choice(detrend=False, leaves=LEAVES[0], trees=work.trees)
    inputs, truths = features.at(fitted), features.at(checked)
    trials: dict[float, Choice] = {}
    for detrend in (False, True):
        for leaves in LEAVES:
            y, w = _target(task, teacher, fitted, trend if detrend else None)
            data = lightgbm.Dataset(inputs, y, weight=w)
            y, w = _target(task, teacher, checked, trend if detrend else None)
            model = lightgbm.train(
                _parameters(leaves, work, probability),
                data,
                work.trees,
                valid_sets=[lightgbm.Dataset(truths, y, weight=w, reference=data)],
                callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
            )
            (error,) = model.best_score["valid_0"].values()
            trials[error] = Choice(detrend, leaves, model.best_iteration)
    return trials[min(trials)]


def predict(
    task: Task,
    teacher: int,
    trend: Array,
    choice: Choice,
    wanted: Mask,
    work: Work,
    *,
    probability: float | None = None,
) -> Array:
    """Fit the chosen trees on training months and predict anomalies.

    Args:
        task: Labels, forcing and months.
        teacher: Position of the teacher.
        trend: As in ``tune``.
        choice: What ``tune`` chose for the same probability.
        wanted: Months to predict; shape (time,).
        work: How much is done.
        probability: Of the quantile to predict; None for the mean.

    Returns:
        Anomaly from the climatology, kg m-2 s-1; shape (simulation, wanted, cell);
        NaN in months whose memory is not known, and everywhere for a teacher without
        training labels.
    """
    features = Features(task, teacher)
    samples = _sample(task, teacher, task.train, work.rows, work.seed)
    simulations, _, _, cells = task.labels.shape
    result = np.full((simulations, int(wanted.sum()), cells), np.nan, np.float32)
    if not samples.size:
        return result
    y, w = _target(task, teacher, samples, trend if choice.detrend else None)
    model = lightgbm.train(
        _parameters(choice.leaves, work, probability),
        lightgbm.Dataset(features.at(samples), y, weight=w),
        choice.trees,
    )
    scale = _scale(task, teacher)
    months = np.flatnonzero(wanted)
    for simulation, rows in _months_at_once(task, wanted):
        grid = np.stack(np.meshgrid(rows, np.arange(cells), indexing="ij"))
        where = np.stack([np.full(grid[0].size, simulation), *grid.reshape(2, -1)])
        fitted = np.asarray(model.predict(features.at(where))).reshape(-1, cells)
        place = np.searchsorted(months, rows)
        result[simulation, place] = scale * fitted
        if choice.detrend:
            result[simulation, place] += trend[simulation, rows]
    return result


def predict_interval(
    task: Task,
    teacher: int,
    trend: Array,
    choices: tuple[Choice, Choice],
    wanted: Mask,
    work: Work,
    *,
    level: float = 0.9,
) -> tuple[Array, Array]:
    """Predict the interval of anomalies between two quantiles.

    Args:
        task: Labels, forcing and months.
        teacher: Position of the teacher.
        trend: As in ``tune``.
        choices: What ``tune`` chose for each of ``tails(level)``.
        wanted: Months to predict; shape (time,).
        work: How much is done.
        level: The share of truths that the interval should hold.

    Returns:
        Lower and upper end, as ``predict`` returns anomalies.

    Source:
        Quantiles fitted apart may cross; sorting them never makes them worse:
        Chernozhukov, Fernandez-Val and Galichon (2010), Econometrica 78.
    """
    ends = [
        predict(task, teacher, trend, choice, wanted, work, probability=tail)
        for choice, tail in zip(choices, tails(level), strict=True)
    ]
    return np.minimum(*ends), np.maximum(*ends)


def tails(level: float) -> tuple[float, float]:
    """Return the probabilities of the ends of a central interval."""
    return (1 - level) / 2, (1 + level) / 2


class Features:
    """The features of samples of one teacher.

    A sample is a column (simulation, month, cell) of positions.
    """

    def __init__(self, task: Task, teacher: int) -> None:
        """Compute what all samples share: running sums, climate, label spread."""
        self._task = task
        self._donor = task.donor[teacher]
        self._label_climatology = task.climatology[:, teacher]
        self._label_spread = np.sqrt(
            np.nanmean(
                np.nan_to_num(task.anomalies[:, teacher, task.train]) ** 2, axis=(0, 1)
            )
        )
        self._weather = [
            task.weather_anomalies(simulation, slice(0, task.area.size))
            for simulation in range(task.labels.shape[0])
        ]
        self._summed = [
            np.cumsum(np.pad(anomalies, ((1, 0), (0, 0), (0, 0))), axis=0)
            for anomalies in self._weather
        ]

    def at(self, samples: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the features of samples (3, sample); shape (sample, feature)."""
        parts = np.empty((samples.shape[1], self.size), np.float32)
        for simulation in np.unique(samples[0]):
            mine = samples[0] == simulation
            columns = self._columns(int(simulation), *samples[1:, mine])
            for place, column in enumerate(columns):
                parts[mine, place] = column
        return parts

    @property
    def size(self) -> int:
        """Number of features."""
        task = self._task
        forcings: int = task.forcing.shape[1]
        weather = len(self._lags) + len(self._windows) + 2
        still = int(task.static.shape[0]) + int(task.slow.shape[2])
        return forcings * weather + 5 + still + 2

    @property
    def _lags(self) -> range:
        return range(min(LAST_LAG, self._task.memory) + 1)

    @property
    def _windows(self) -> list[int]:
        return [window for window in MEAN_WINDOWS if window <= self._task.memory + 1]

    def _columns(
        self,
        simulation: int,
        months: npt.NDArray[np.int64],
        cells: npt.NDArray[np.int64],
    ) -> Iterator[Array]:
        task = self._task
        season = task.season[months]
        for forcing in range(task.forcing.shape[1]):
            anomalies = self._weather[simulation][:, forcing]
            summed = self._summed[simulation][:, forcing]
            for lag in self._lags:
                yield anomalies[months - lag, cells]
            for window in self._windows:
                since = summed[months + 1, cells] - summed[months + 1 - window, cells]
                yield since / window
            climate = task.forcing_climatology[simulation][:, forcing]
            yield climate[season, cells]
            yield climate.mean(0)[cells]
        angle = 2 * np.pi * season / 12
        yield from (np.cos(angle), np.sin(angle), task.lat[cells])
        yield task.co2_anomalies[simulation][months]
        yield task.co2[simulation][months]
        slow = task.slow_anomalies[simulation]
        yield from (
            slow[task.year[months], each, cells] for each in range(len(slow[0]))
        )
        yield from (field[cells] for field in task.static)
        yield self._label_climatology[simulation][season, cells]
        yield self._label_spread[self._donor[cells]]


def _sample(
    task: Task, teacher: int, chosen: Mask, rows: int, seed: int
) -> npt.NDArray[np.int64]:
    """Draw samples with labels that may be seen; shape (3, sample)."""
    generator = np.random.default_rng(seed)
    known = np.isfinite(task.anomalies[:, teacher]) & ~task.held_out
    known &= (task.usable & chosen)[..., None]
    flat = np.flatnonzero(known)
    if flat.size > rows:
        flat = np.sort(generator.choice(flat, rows, replace=False))
    return np.stack(np.unravel_index(flat, known.shape))


def _target(
    task: Task, teacher: int, samples: npt.NDArray[np.int64], trend: Array | None
) -> tuple[Array, Array]:
    """Return scaled anomalies and the samples' area as weight."""
    simulation, month, cell = samples
    target = task.anomalies[simulation, teacher, month, cell].astype(np.float64)
    if trend is not None:
        target = target - trend[simulation, month, cell]
    weight = task.area[cell] / task.area.mean()
    return target / _scale(task, teacher), weight


def _scale(task: Task, teacher: int) -> float:
    """Return the spread of training anomalies, kg m-2 s-1, 1 if there is none.

    Fluxes are near 1e-8, where LightGBM's regularisation would stop every split.
    """
    known = task.anomalies[:, teacher, task.train][..., ~task.held_out]
    known = known[np.isfinite(known)]
    spread = float(known.std(dtype=np.float64)) if known.size else 0.0
    return spread if spread > 0 else 1.0


def _parameters(
    leaves: int, work: Work, probability: float | None = None
) -> dict[str, Any]:
    kind: dict[str, Any] = {"objective": "regression", "metric": "l2"}
    if probability is not None:
        kind = {"objective": "quantile", "metric": "quantile", "alpha": probability}
    return {
        **kind,
        "num_leaves": leaves,
        "learning_rate": LEARNING_RATE,
        # Half of the features per tree: lags of one forcing stand in for each other.
        "feature_fraction": 0.5,
        # Neighbouring months of one cell are not independent samples.
        "min_data_in_leaf": 50,
        "num_threads": work.threads,
        "seed": work.seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def _months_at_once(
    task: Task, wanted: Mask
) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield a simulation and a few of its wanted months, about 50 000 samples."""
    step = max(1, 50_000 // task.area.size)
    for simulation in range(task.labels.shape[0]):
        rows = task.rows(simulation, wanted)
        for start in range(0, rows.size, step):
            yield simulation, rows[start : start + step]
