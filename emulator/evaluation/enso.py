"""The globe's annual flux from CO2 and El Nino, the classical regression.

The index comes from the forcing itself, so that it is known wherever the network's
inputs are: the mean temperature of the Nino 3.4 box. Land forcing has no sea; where it
covers the box nowhere, the mean temperature of the tropics stands in, which follows
El Nino by a few months.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import years_of
from emulator.evaluation.metrics import anomalies, monthly_climatology
from emulator.evaluation.task import Array, Mask, Task

NINO34_LAT, NINO34_LON = (-5.0, 5.0), (-170.0, -120.0)
"""The Nino 3.4 box, degrees (Trenberth 1997, Bull. Am. Meteorol. Soc. 78)."""

TROPICS_LAT, ALL_LON = (-23.4, 23.4), (-180.0, 180.0)

TEMPERATURES = ("tos", "tosforc", "tas")
"""Forcing that can carry the index, the best first."""

LAG_STEP = 6
"""Months between the lags of one candidate: El Nino's phases, 2, 8 and 14 months."""


@dataclass(frozen=True, eq=False)
class GlobalRegression:
    """What the regression predicts.

    Attributes:
        prediction: Annual totals, PgC; shape (simulation, teacher, wanted year).
        lags: Lags of the index that were chosen, months; one tuple for each teacher.
    """

    prediction: Array
    lags: list[tuple[int, ...]]


def index(field: Array, grid: Grid) -> tuple[Array, str]:
    """Average a temperature over the Nino 3.4 box, or over the tropics.

    Args:
        field: Temperature, K or degC, NaN where there is none; shape
            (weather_time, lat, lon).
        grid: Its grid.

    Returns:
        The index, in the unit of the field, shape (weather_time,), and what it is.

    Raises:
        ValueError: If there is no value in the tropics.
    """
    boxes = {
        "Nino 3.4": (NINO34_LAT, NINO34_LON),
        "mean of the tropics": (TROPICS_LAT, ALL_LON),
    }
    area = grid.cell_area()
    for name, (lat, lon) in boxes.items():
        inside = ((grid.lat >= lat[0]) & (grid.lat <= lat[1]))[:, None]
        inside = inside & ((grid.lon >= lon[0]) & (grid.lon <= lon[1]))
        inside &= np.isfinite(field).all(axis=0)
        if inside.any():
            return np.average(field[:, inside], axis=1, weights=area[inside]), name
    raise ValueError(
        "The temperature has no value within the tropics: give one that covers them."
    )


def candidates(memory: int) -> list[tuple[int, ...]]:
    """Return sets of lags, none, one, two or three, that the memory allows."""
    sets: list[tuple[int, ...]] = [()]
    for count in (1, 2, 3):
        for first in range(LAG_STEP if count > 1 else 2 * LAG_STEP + 1):
            lags = tuple(first + LAG_STEP * place for place in range(count))
            if lags[-1] <= memory:
                sets.append(lags)
    return sets


def fit(
    task: Task, temperature: Array, totals: Array, years: Sequence[int], *, refit: bool
) -> GlobalRegression:
    """Fit annual totals on CO2 and the lagged index, around each simulation's mean.

    Simulations of a teacher share their coefficients. Lags are chosen on the validation
    years that all of them reach.

    Args:
        task: Months, weather sequence, CO2 and the parts of the years.
        temperature: The index; shape (weather_time,).
        totals: Annual totals of the teachers, PgC, NaN where not whole; shape
            (simulation, teacher, year).
        years: The years of ``totals``, every calendar year of the task.
        refit: Whether to fit on all known years in the end.
    """
    calendar = np.asarray(years)
    train, validation, known, wanted = (
        np.isin(calendar, np.unique(years_of(task.months[part])))
        for part in (task.train, task.validation, task.known, task.wanted)
    )
    final = known if refit else train
    options = candidates(task.memory)
    inputs = [_predictors(task, temperature, lags, calendar) for lags in options]
    prediction = np.full((*totals.shape[:2], int(wanted.sum())), np.nan)
    chosen = []
    for teacher in range(totals.shape[1]):
        target = totals[:, teacher]
        errors = np.stack([
            (_fitted(x, target, train) - target)[:, validation] ** 2 for x in inputs
        ])  # fmt: skip
        best = _least(errors)
        prediction[:, teacher] = _fitted(inputs[best], target, final)[:, wanted]
        chosen.append(options[best])
    return GlobalRegression(prediction, chosen)


def _least(errors: Array) -> int:
    """Return the option with the least error where all know one; (option, ...).

    A long lag may lack a year that a short one has, which is no merit. An option that
    knows nothing is never chosen, unless all are so.
    """
    axes = tuple(range(1, errors.ndim))
    knows = np.isfinite(errors).any(axis=axes)
    shared = np.isfinite(errors[knows]).all(axis=0)
    sums = np.where(shared, errors, 0.0).sum(axis=axes)
    return int(np.argmin(np.where(knows, sums, np.inf)))


def _predictors(
    task: Task,
    temperature: Array,
    lags: tuple[int, ...],
    years: npt.NDArray[np.integer],
) -> Array:
    """Return annual CO2 and lagged index; (simulation, year, predictor)."""
    calendar = years_of(task.months)
    columns = []
    for simulation, seen in enumerate(task.weather):
        monthly = np.where(seen >= 0, temperature[seen], np.nan)
        known = task.train & (seen >= 0)
        normal = monthly_climatology(monthly, task.months, known)
        monthly = anomalies(monthly, task.months, normal)
        series = [task.co2[simulation]]
        for lag in lags:
            shifted = np.full(monthly.shape, np.nan)
            shifted[lag:] = monthly[: monthly.size - lag]
            series.append(shifted)
        columns.append(
            [[each[calendar == year].mean() for each in series] for year in years]
        )
    return np.asarray(columns)


def _fitted(predictors: Array, target: Array, chosen: Mask) -> Array:
    """Fit on the chosen years and return the fitted values of all years.

    Args:
        predictors: Shape (simulation, year, predictor).
        target: Shape (simulation, year).
        chosen: Shape (year,).
    """
    valid = np.isfinite(target) & np.isfinite(predictors).all(-1) & chosen
    result = np.full(target.shape, np.nan)
    present = [row for row in range(len(target)) if valid[row].any()]
    if not present:
        return result
    middle = {row: predictors[row, valid[row]].mean(0) for row in present}
    level = {row: target[row, valid[row]].mean() for row in present}
    x = np.concatenate([predictors[row, valid[row]] - middle[row] for row in present])
    y = np.concatenate([target[row, valid[row]] - level[row] for row in present])
    # The least-norm solution leaves a constant CO2 without a coefficient.
    coefficients = np.linalg.lstsq(x, y, rcond=None)[0]
    for row in present:
        result[row] = level[row] + (predictors[row] - middle[row]) @ coefficients
    return result
