"""The scores of an emulator, as pure functions of arrays.

A bare "R2" does not exist here, because the same prediction can score -2.9 by
one definition and +0.8 by another. Fields are (time, cell), in any unit, with NaN
where the teacher has no value; annual series are (..., year), so that one call
scores many bootstrap draws. ``area`` is the area of the domain in a cell, m2.

Source:
    The definitions of this project's scorecard (docs/method.md, "Scores").
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emulator.carbon.timeaxis import MONTHS_PER_YEAR, month_of, years_of

Array = npt.NDArray[np.floating]
Months = npt.NDArray[np.datetime64]

WEAK_SEASON = 0.1
"""Share of the area whose season is too weak for a phase: the tenth percentile of the
targets agreed for this project."""


@dataclass(frozen=True)
class Moments:
    """Area-weighted sums from which every pooled score follows.

    They add up, so that years can be drawn again without the fields.

    Attributes:
        weight: Sum of area over valid cells and months; shape (...).
        error: Sum of area x (prediction - truth)^2; shape (...).
        first: Sum of area x truth; shape (...).
        second: Sum of area x truth^2; shape (...).
    """

    weight: Array
    error: Array
    first: Array
    second: Array

    def mean_squared_error(self) -> Array:
        """Return the area-weighted mean squared error."""
        return _ratio(self.error, self.weight)

    def r2(self) -> Array:
        """Return 1 - sum a (p - t)^2 / sum a (t - mean t)^2, pooled."""
        spread = self.second - _ratio(self.first**2, self.weight)
        return 1.0 - _ratio(self.error, spread)

    def total(self) -> "Moments":
        """Return the moments summed over their last axis."""
        return Moments(
            self.weight.sum(-1),
            self.error.sum(-1),
            self.first.sum(-1),
            self.second.sum(-1),
        )

    def take(self, draws: npt.NDArray[np.integer]) -> "Moments":
        """Return the moments of the years ``draws`` (..., year)."""
        return Moments(
            self.weight[draws],
            self.error[draws],
            self.first[draws],
            self.second[draws],
        )


def monthly_climatology(
    values: Array, months: Months, chosen: npt.NDArray[np.bool_]
) -> Array:
    """Average each calendar month over the chosen months.

    Args:
        values: Any unit; shape (time, ...). NaN is skipped.
        months: Month of each step, datetime64[M]; shape (time,).
        chosen: Months that may be seen, the training months; shape (time,).

    Returns:
        The mean of January to December; shape (12, ...). NaN where a cell has no
        value in that calendar month.

    Raises:
        ValueError: If a calendar month is not among the chosen ones, since its
            anomaly would then be undefined everywhere.
    """
    calendar = month_of(months) - 1
    absent = sorted(set(range(MONTHS_PER_YEAR)) - set(calendar[chosen].tolist()))
    if absent:
        names = ", ".join(str(month + 1) for month in absent)
        raise ValueError(
            f"A climatology needs every calendar month, but month {names} has no "
            f"training value. Give at least one whole year of training months."
        )
    return np.stack(
        [
            _nanmean(values[chosen & (calendar == month)])
            for month in range(MONTHS_PER_YEAR)
        ]
    )


def anomalies(values: Array, months: Months, climatology: Array) -> Array:
    """Return ``values`` (time, ...) minus the ``climatology`` (12, ...)."""
    departure: Array = values - climatology[month_of(months) - 1]
    return departure


def moments(prediction: Array, truth: Array, area: Array) -> Moments:
    """Sum the moments of each time step over the cells.

    Args:
        prediction: Any unit; shape (time, cell).
        truth: The same unit; shape (time, cell). NaN is not scored.
        area: m2; shape (cell,).

    Returns:
        Moments of shape (time,), in float64.

    Raises:
        ValueError: If a prediction is missing where there is truth: a method may
            not choose the months and cells on which it is scored.
    """
    valid = np.isfinite(truth)
    silent = valid & ~np.isfinite(prediction)
    if silent.any():
        raise ValueError(
            f"{int(silent.sum())} of {int(valid.sum())} predictions are not finite "
            f"where the teacher has a value. Predict every cell and month with truth."
        )
    weight = np.where(valid, np.asarray(area, np.float64), 0.0)
    known = np.where(valid, truth, 0.0).astype(np.float64)
    error = np.where(valid, prediction, 0.0).astype(np.float64) - known
    return Moments(
        weight=weight.sum(-1),
        error=(weight * error**2).sum(-1),
        first=(weight * known).sum(-1),
        second=(weight * known**2).sum(-1),
    )


def yearly(steps: Moments, months: Months) -> tuple[npt.NDArray[np.int64], Moments]:
    """Add the moments (time,) up within each calendar year; (years, moments)."""
    years, place = np.unique(years_of(months), return_inverse=True)

    def add(values: Array) -> Array:
        total = np.bincount(place, weights=values, minlength=years.size)
        return total.astype(np.float64)

    summed = Moments(
        add(steps.weight), add(steps.error), add(steps.first), add(steps.second)
    )
    return years, summed


def raw_r2(prediction: Array, truth: Array, area: Array) -> float:
    """Return the pooled R2 of the values themselves, which flatters.

    A climatology scores 0.8-0.9: never a headline. Shapes as in ``moments``.
    """
    return float(moments(prediction, truth, area).total().r2())


def anomaly_r2(
    prediction: Array, truth: Array, area: Array, months: Months, climatology: Array
) -> float:
    """Return the pooled R2 of the anomalies from the training climatology.

    1 - sum a (p - t)^2 / sum a (t - mean t)^2, the mean over area and time.

    Args:
        prediction: Any unit; shape (time, cell).
        truth: The same unit, NaN where missing; shape (time, cell).
        area: m2; shape (cell,).
        months: datetime64[M]; shape (time,).
        climatology: The truth's over the training months; shape (12, cell).
    """
    return raw_r2(
        anomalies(prediction, months, climatology),
        anomalies(truth, months, climatology),
        area,
    )


def shape_r2(
    prediction: Array, truth: Array, area: Array, months: Months, climatology: Array
) -> float:
    """Return ``anomaly_r2`` after each cell's own test mean is removed.

    The means of prediction and truth are both removed, over the months with
    truth, so that only the course in time counts. Arguments as in ``anomaly_r2``.
    """
    return raw_r2(
        *centred(
            anomalies(prediction, months, climatology),
            anomalies(truth, months, climatology),
        ),
        area,
    )


def centred(prediction: Array, truth: Array) -> tuple[Array, Array]:
    """Remove each cell's mean over the months with truth; (time, cell) both."""
    seen = np.where(np.isfinite(truth), prediction, np.nan)
    return prediction - _nanmean(seen), truth - _nanmean(truth)


def cell_r2(prediction: Array, truth: Array) -> Array:
    """Return the R2 over time of each cell, NaN where the truth is constant.

    Args:
        prediction: Values or anomalies; shape (time, cell).
        truth: The same unit, NaN where missing; shape (time, cell).

    Returns:
        1 - sum (p - t)^2 / sum (t - the cell's mean t)^2; shape (cell,).
    """
    valid = np.isfinite(truth)
    departure = np.asarray(truth, np.float64) - _nanmean(truth)
    error = np.where(valid, prediction, np.nan).astype(np.float64) - truth
    return 1.0 - _ratio(np.nansum(error**2, axis=0), np.nansum(departure**2, axis=0))


def weighted_quantile(values: Array, weights: Array, probability: float) -> float:
    """Return the quantile of ``values`` (cell,) by area; NaN values are skipped.

    The smallest value below or at which at least ``probability`` of the area lies;
    NaN if there is no value.
    """
    finite = np.isfinite(values) & (weights > 0)
    if not finite.any():
        return float("nan")
    order = np.argsort(values[finite], kind="stable")
    share = np.cumsum(weights[finite][order])
    # The tolerance keeps rounding of the sum from skipping an exact share.
    place = np.searchsorted(share, (probability - 1e-12) * share[-1])
    return float(values[finite][order][min(int(place), order.size - 1)])


def skill(error: float, reference: float) -> float:
    """Return 1 - MSE / MSE of a reference: 1 perfect, 0 no better, < 0 worse."""
    return 1.0 - error / reference if reference > 0 else float("nan")


def bias(prediction: Array, truth: Array) -> Array:
    """Return the mean of prediction - truth over years, PgC yr-1; shape (...)."""
    return np.asarray((prediction - truth).mean(-1))


def rmse(prediction: Array, truth: Array) -> Array:
    """Return the root mean square of prediction - truth, PgC yr-1; shape (...)."""
    return np.asarray(np.sqrt(((prediction - truth) ** 2).mean(-1)))


def relative_error(prediction: Array, truth: Array) -> Array:
    """Return the RMSE of annual totals over the absolute mean truth; shape (...)."""
    return _ratio(rmse(prediction, truth), np.abs(truth.mean(-1)))


def annual_r2(prediction: Array, truth: Array) -> Array:
    """Return 1 - sum (p - t)^2 / sum (t - mean t)^2 over years, raw; shape (...)."""
    spread = ((truth - truth.mean(-1, keepdims=True)) ** 2).sum(-1)
    return 1.0 - _ratio(((prediction - truth) ** 2).sum(-1), spread)


def annual_r2_centred(prediction: Array, truth: Array) -> Array:
    """Return ``annual_r2`` with both test means removed; shape (...)."""
    return annual_r2(
        prediction - prediction.mean(-1, keepdims=True),
        truth - truth.mean(-1, keepdims=True),
    )


def detrended(series: Array, years: npt.NDArray[np.integer]) -> Array:
    """Remove the least-squares line in ``years`` from ``series``, (..., year)."""
    time = years - years.mean(-1, keepdims=True)
    level = series - series.mean(-1, keepdims=True)
    slope = _ratio((time * level).sum(-1), (time**2.0).sum(-1))
    return np.asarray(level - np.nan_to_num(slope)[..., None] * time)


def detrended_r(
    prediction: Array, truth: Array, years: npt.NDArray[np.integer]
) -> Array:
    """Return the correlation of two series without their lines; shape (...).

    It is NaN with fewer than four years, when a line leaves nothing to compare.
    """
    if truth.shape[-1] < 4:
        return np.full(truth.shape[:-1], np.nan)
    p, t = detrended(prediction, years), detrended(truth, years)
    return _ratio((p * t).sum(-1), np.sqrt((p**2).sum(-1) * (t**2).sum(-1)))


def sd_ratio(prediction: Array, truth: Array) -> Array:
    """Return sd of the prediction / sd of the truth over years; shape (...)."""
    return _ratio(prediction.std(-1), truth.std(-1))


def mean_cycle(values: Array, months: Months) -> Array:
    """Return the mean January to December of ``values`` (time, ...); (12, ...)."""
    return monthly_climatology(values, months, np.ones(months.size, bool))


def first_harmonic(cycle: Array) -> tuple[Array, Array]:
    """Fit A cos(2 pi (m - phase) / 12) to a mean seasonal cycle.

    Args:
        cycle: January to December, any unit; shape (12, ...).

    Returns:
        The amplitude A, in the unit of the cycle, and the phase: months from the
        middle of January to the maximum, in [0, 12); both of shape (...).
    """
    angle = 2.0 * np.pi * np.arange(MONTHS_PER_YEAR) / MONTHS_PER_YEAR
    harmonic = 2.0 / MONTHS_PER_YEAR * np.tensordot(np.exp(1j * angle), cycle, (0, 0))
    phase = np.angle(harmonic) / (2.0 * np.pi) * MONTHS_PER_YEAR % MONTHS_PER_YEAR
    return np.abs(harmonic), np.asarray(phase)


def phase_error(prediction: Array, truth: Array) -> Array:
    """Return by how many months the prediction's cycle is late, in [-6, 6).

    Args:
        prediction: Mean seasonal cycle; shape (12, ...).
        truth: Mean seasonal cycle; shape (12, ...).
    """
    difference = first_harmonic(prediction)[1] - first_harmonic(truth)[1]
    half = MONTHS_PER_YEAR / 2
    return np.asarray((difference + half) % MONTHS_PER_YEAR - half)


def strong_phase_error(prediction: Array, truth: Array, area: Array) -> float:
    """Return the mean absolute phase error where the truth has a season, months.

    Cells count whose amplitude is above its tenth percentile by area: below it, the
    time of the maximum is noise.

    Args:
        prediction: Mean seasonal cycle; shape (12, cell).
        truth: Mean seasonal cycle; shape (12, cell).
        area: m2; shape (cell,).

    Returns:
        Weighted by area; NaN where no cell is left.
    """
    amplitude = first_harmonic(truth)[0]
    seasonal = amplitude > weighted_quantile(amplitude, area, WEAK_SEASON)
    weight = np.where(seasonal, area, 0.0)
    late = np.abs(phase_error(prediction, truth))
    return float(_ratio((weight * late).sum(), weight.sum()))


def amplitude_ratio(prediction: Array, truth: Array) -> Array:
    """Return the ratio of first-harmonic amplitudes of two cycles (12, ...)."""
    return _ratio(first_harmonic(prediction)[0], first_harmonic(truth)[0])


def _nanmean(values: Array) -> Array:
    """Average over the first axis without numpy's warning for empty cells."""
    valid = np.isfinite(values)
    total = np.where(valid, values, 0.0).sum(0, dtype=np.float64)
    return _ratio(total, valid.sum(0))


def _ratio(numerator: Array, denominator: npt.NDArray[np.generic]) -> Array:
    """Divide; NaN, not a warning, where there is nothing to divide by."""
    bottom = np.asarray(denominator, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.asarray(numerator, np.float64) / bottom
    return np.where(bottom > 0, result, np.nan)
