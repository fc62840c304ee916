"""Ridge regression on lagged forcing, one for each cell and teacher.

The anomaly of the flux is a linear function of the standardised forcing anomalies of
this month and of the months before, and of CO2; all simulations of a teacher are fitted
together, each around its own climatology. All cells are solved at once in closed form.
The number of lags and the strength are chosen per teacher on validation months.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from emulator.evaluation.task import Array, Mask, Task

LAGS = (0, 2, 5, 11, 23, 35)
"""Candidates for the longest lag, months; those beyond the memory are left out and
the memory itself is added."""

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""Candidates for the penalty, in units of the number of training months: the predictors
have unit variance, so at 1 a lone predictor keeps half of its coefficient."""

CO2_PENALTIES = (0.01, 100.0)
"""Candidates for the penalty on CO2, as a multiple of the others': nearly none keeps
the trend, a large one distrusts it, which matters when CO2 is extrapolated."""

BLOCK_BYTES = 2**27
"""Memory of one block of predictors, bytes: large enough for the threads, small enough
for a laptop."""


@dataclass(frozen=True)
class Choice:
    """What was chosen for a teacher.

    Attributes:
        lags: The longest lag, months.
        strength: The penalty.
        co2: Penalty on CO2 as a multiple of it.
    """

    lags: int
    strength: float
    co2: float


def candidates(memory: int) -> list[Choice]:
    """Return all choices that the memory allows."""
    lags = sorted({lag for lag in LAGS if lag < memory} | {memory})
    return [Choice(*each) for each in itertools.product(lags, STRENGTHS, CO2_PENALTIES)]


def tune(task: Task) -> list[Choice]:
    """Choose lags and strength of each teacher on validation months.

    The choice has the least area-weighted squared error over all simulations.

    Returns:
        One choice for each teacher; the first candidate where a teacher has no labels
        in validation months.
    """
    options = candidates(task.memory)
    errors = np.zeros((len(options), task.labels.shape[1]))
    seen = torch.from_numpy(np.where(task.held_out, 0.0, task.area))
    part = _partly_labelled(task)
    for cells in _blocks(task, task.memory):
        problem = _Normal(task, cells, task.memory)
        checks = [
            (simulation, rows, _predictors(task, simulation, rows, cells, task.memory))
            for simulation in range(task.labels.shape[0])
            if (rows := task.rows(simulation, task.validation)).size
        ]
        normals = {
            simulation: _normals(task, simulation, part[simulation], cells, task.memory)
            for simulation, *_ in checks
        }
        for place, option in enumerate(options):
            weights = problem.solve(option)
            for simulation, rows, predictors in checks:
                size = weights.shape[1]
                fitted = predictors[..., :size] @ weights
                for teacher, normal in normals[simulation].items():
                    level = normal[:, :size] * weights[..., teacher]
                    fitted[..., teacher] -= level.sum(1, keepdim=True)
                truth = task.anomalies[simulation][:, rows, cells]
                miss = fitted.permute(2, 1, 0) - torch.from_numpy(truth)
                squares = torch.nan_to_num(miss).double().square()
                errors[place] += (squares * seen[cells]).sum((1, 2)).numpy()
    return [options[best] for best in errors.argmin(axis=0)]


def predict(task: Task, wanted: Mask, choices: Sequence[Choice]) -> Array:
    """Fit the chosen ridge of each teacher and predict the wanted months.

    Returns:
        kg m-2 s-1; shape (simulation, teacher, wanted, cell); NaN in months whose
        memory is not known.
    """
    longest = max(choice.lags for choice in choices)
    simulations, teachers, _, cells = task.labels.shape
    size = _size(task, longest)
    weights = torch.zeros(teachers, cells, size)
    for block in _blocks(task, longest):
        problem = _Normal(task, block, longest)
        for choice in set(choices):
            solved = problem.solve(choice)
            for teacher in _positions(choices, choice):
                weights[teacher, block, : solved.shape[1]] = solved[..., teacher]
    result = np.full((simulations, teachers, int(wanted.sum()), cells), np.nan, "f4")
    part = _partly_labelled(task)
    for simulation in range(simulations):
        rows = task.rows(simulation, wanted)
        if not rows.size:
            continue
        place = np.searchsorted(np.flatnonzero(wanted), rows)
        for block in _blocks(task, longest):
            predictors = _predictors(task, simulation, rows, block, longest)
            normals = _normals(task, simulation, part[simulation], block, longest)
            for teacher, donor in enumerate(task.donor):
                chosen = weights[teacher, torch.from_numpy(donor[block])]
                own = predictors
                if teacher in normals:
                    own = predictors - normals[teacher][:, None]
                fitted = (own @ chosen[..., None])[..., 0].T.numpy()
                normal = task.climatology[simulation, teacher][task.season[rows], block]
                result[simulation, teacher, place, block] = normal + fitted
    return result


class _Normal:
    """The normal equations of a block of cells, for all teachers.

    Predictors are ordered by lag, so that fewer lags are a leading part of the same
    matrix. Teachers labelled in the same months share one matrix. The few cells and
    months that a teacher lacks within its months count as climatology.
    """

    def __init__(self, task: Task, cells: slice, lags: int) -> None:
        self.task = task
        self.groups: list[tuple[list[int], Tensor, Tensor, int]] = []
        seen = np.isfinite(task.labels) & ~task.held_out
        labelled: Mask = np.asarray(seen.any(axis=3))
        keys = [labelled[:, teacher].tobytes() for teacher in range(labelled.shape[1])]
        for key in dict.fromkeys(keys):
            members = _positions(keys, key)
            gram, product, count = self._accumulate(
                task, cells, lags, members, labelled[:, members[0]]
            )
            self.groups.append((members, gram, product, count))
        self.teachers = labelled.shape[1]

    def _accumulate(
        self, task: Task, cells: slice, lags: int, members: list[int], labelled: Mask
    ) -> tuple[Tensor, Tensor, int]:
        size = _size(task, lags)
        width = cells.stop - cells.start
        gram = torch.zeros(width, size, size)
        product = torch.zeros(width, size, len(members))
        count = 0
        for simulation in range(task.labels.shape[0]):
            rows = task.rows(simulation, task.train & labelled[simulation])
            if not rows.size:
                continue
            x = _predictors(task, simulation, rows, cells, lags)
            y = task.anomalies[simulation][members][:, rows, cells]
            target = torch.from_numpy(np.nan_to_num(y)).permute(2, 1, 0)
            x = x - x.mean(1, keepdim=True)
            gram += x.mT @ x
            product += x.mT @ target
            count += rows.size
        return gram, product, count

    def solve(self, choice: Choice) -> Tensor:
        """Return coefficients, kg m-2 s-1; shape (cell, predictor, teacher)."""
        size = _size(self.task, choice.lags)
        penalty = torch.full((size,), choice.strength)
        penalty[0] *= choice.co2
        result: Tensor | None = None
        for members, gram, product, count in self.groups:
            if result is None:
                result = torch.zeros(gram.shape[0], size, self.teachers)
            if count:
                matrix = gram[:, :size, :size] + torch.diag(penalty * count)
                factor = torch.linalg.cholesky(matrix)
                result[..., members] = torch.cholesky_solve(product[:, :size], factor)
        if result is None:
            raise AssertionError("A task has at least one teacher.")
        return result


def _size(task: Task, lags: int) -> int:
    """Return the number of predictors: CO2, slow means and lagged forcing."""
    return 1 + int(task.slow.shape[2]) + int(task.forcing.shape[1]) * (lags + 1)


def _predictors(
    task: Task, simulation: int, rows: npt.NDArray[np.int64], cells: slice, lags: int
) -> Tensor:
    """Return CO2, slow means and lagged forcing; shape (cell, row, predictor)."""
    anomalies = task.weather_anomalies(simulation, cells)
    lagged = anomalies[rows[:, None] - np.arange(lags + 1)]
    by_cell = lagged.reshape(rows.size, -1, lagged.shape[-1]).transpose(2, 0, 1)
    co2 = task.co2_anomalies[simulation][rows].astype(np.float32)
    slow = task.slow_anomalies[simulation][task.year[rows]][..., cells]
    leading = 1 + slow.shape[1]
    shape = (by_cell.shape[0], rows.size, leading + by_cell.shape[2])
    whole = np.empty(shape, np.float32)
    whole[..., 0] = co2
    whole[..., 1:leading] = slow.transpose(2, 0, 1)
    whole[..., leading:] = by_cell
    return torch.from_numpy(whole)


def _partly_labelled(task: Task) -> list[dict[int, npt.NDArray[np.int64]]]:
    """Return the training months of teachers that lack some of them.

    Returns:
        For each simulation, by teacher, positions in time.
    """
    seen = np.isfinite(task.labels) & ~task.held_out
    labelled: Mask = np.asarray(seen.any(axis=3))
    found: list[dict[int, npt.NDArray[np.int64]]] = []
    for simulation, known in enumerate(labelled):
        rows = task.rows(simulation, task.train)
        months = {teacher: rows[mine[rows]] for teacher, mine in enumerate(known)}
        found.append({t: own for t, own in months.items() if 0 < own.size < rows.size})
    return found


def _normals(
    task: Task,
    simulation: int,
    months: dict[int, npt.NDArray[np.int64]],
    cells: slice,
    lags: int,
) -> dict[int, Tensor]:
    """Return the mean predictors of a teacher's own months; (cell, predictor).

    Its climatology is that of these months, those of the forcing and CO2 are not.
    """
    return {
        teacher: _predictors(task, simulation, rows, cells, lags).mean(1)
        for teacher, rows in months.items()
    }


def _blocks(task: Task, lags: int) -> Iterator[slice]:
    """Yield slices of cells whose predictors fit into ``BLOCK_BYTES``."""
    size = _size(task, lags)
    most = max(int(task.usable.sum(axis=1).max()), size)
    step = max(1, BLOCK_BYTES // (4 * most * size))
    cells = task.area.size
    for start in range(0, cells, step):
        yield slice(start, min(start + step, cells))


def _positions(values: Sequence[Any], wanted: object) -> list[int]:
    return [place for place, value in enumerate(values) if value == wanted]
