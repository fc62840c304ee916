"""What of the labels a network may know: climatology, slope in CO2, scale."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emulator.data.windows import Cube
from emulator.models import ModelSettings


def standard(values: Tensor, known: Tensor | None = None) -> Tensor:
    """Return values with mean 0 and deviation 1 where ``known``, 0 elsewhere."""
    known = torch.ones_like(values, dtype=torch.bool) if known is None else known
    if not known.any():
        return torch.zeros_like(values)
    mean = values[known].mean()
    deviation = (values[known] - mean).square().mean().sqrt()
    # A field that is the same everywhere says nothing.
    standard = (values - mean) / deviation if deviation > 0 else values * 0
    return torch.where(known, standard, 0.0)


@dataclass(frozen=True, eq=False)
class LabelStatistics:
    """What the labels say about themselves; float64.

    Attributes:
        mean: Mean flux, kg m-2 s-1; (teacher, 12, flux, cell).
        slope: Its change per ppm of CO2; same shape.
        co2_mean: CO2 of that mean, ppm; same shape.
        scale: Standard deviation about the reference, floored; (teacher, flux, cell).
        spread: Standard deviation about the monthly climatology, floored; same shape.
        known: Whether every calendar month has a label; bool, same shape.
    """

    mean: Tensor
    slope: Tensor
    co2_mean: Tensor
    scale: Tensor
    spread: Tensor
    known: Tensor

    @classmethod
    def fit(
        cls,
        cube: Cube,
        rows: NDArray[np.bool_],
        month: NDArray[np.int64],
        model: ModelSettings,
    ) -> "LabelStatistics":
        """Fit on months ``rows`` (simulation, time) of calendar month ``month``."""
        shape = (len(cube.teachers), 12, *cube.labels.shape[3:])
        count, x, y, xx, xy, yy = torch.zeros(6, *shape, dtype=torch.float64)
        # Sums about a first guess: fluxes are small numbers, CO2 varies little.
        origin = float(cube.co2.numpy()[rows].mean())
        for simulation, number in np.ndindex(len(cube.simulations), 12):
            at = torch.from_numpy(np.flatnonzero(rows[simulation] & (month == number)))
            ppm = (cube.co2[simulation, at].double() - origin)[:, None, None]
            for teacher in range(len(cube.teachers)):
                values = cube.labels[simulation, teacher, at].double()
                there = values.isfinite()
                values = values.nan_to_num(0.0)
                place = (teacher, number)
                count[place] += there.sum(dim=0)
                x[place] += (ppm * there).sum(dim=0)
                y[place] += values.sum(dim=0)
                xx[place] += (ppm.square() * there).sum(dim=0)
                xy[place] += (ppm * values).sum(dim=0)
                yy[place] += values.square().sum(dim=0)
        several = count.clamp_min(1)
        mean, co2_mean = y / several, x / several
        sxx, sxy = xx - x * co2_mean, xy - x * mean
        syy = (yy - y * mean).clamp_min(0)
        slope = _slope(sxx, sxy, model)
        left = (syy - 2 * slope * sxy + slope.square() * sxx).clamp_min(0)
        known = (count > 0).all(dim=1)
        total = count.sum(dim=1).clamp_min(1)
        spread = _floored((syy.sum(dim=1) / total).sqrt(), known, model.scale_floor)
        scale = _floored((left.sum(dim=1) / total).sqrt(), known, model.scale_floor)
        if model.label_climatology == "none":
            mean, scale = _without_climatology(cube, count, y, yy)
        return cls(mean, slope, co2_mean + origin, scale, spread, known)

    def reference_at(self, co2: float) -> Tensor:
        """Return the reference at a CO2 of ``co2`` ppm."""
        return self.mean + self.slope * (co2 - self.co2_mean)

    def channels(self) -> Tensor:
        """Return mean, seasonal range and log spread; (teacher, 3 * flux, cell)."""
        mean = self.mean.mean(dim=1)
        swing = self.mean.amax(dim=1) - self.mean.amin(dim=1)
        parts = []
        for values in (mean, swing, self.spread.log()):
            for flux in range(values.shape[1]):
                parts.append(standard(values[:, flux], self.known[:, flux]))
        return torch.stack(parts, dim=1)


def _slope(sxx: Tensor, sxy: Tensor, model: ModelSettings) -> Tensor:
    """Return the least-squares slope in CO2, zero where CO2 does not change."""
    if model.label_climatology != "co2":
        return torch.zeros_like(sxx)
    if model.co2_slope == "annual":
        sxx, sxy = (
            part.sum(dim=1, keepdim=True).expand_as(part) for part in (sxx, sxy)
        )
    return torch.where(sxx > 0, sxy / sxx.clamp_min(1e-12), 0.0)


def _floored(deviation: Tensor, known: Tensor, quantile: float) -> Tensor:
    """Raise deviations to a quantile over cells; 1 where nothing is known."""
    floored = torch.ones_like(deviation)
    for place in np.ndindex(deviation.shape[:2]):
        values = deviation[place][known[place]]
        if values.numel():
            floor = float(np.quantile(values.numpy(), quantile))
            # No change at all in most cells: then any scale does, but not zero.
            least = floor if floor > 0 else float(values.max()) or 1.0
            floored[place] = deviation[place].clamp_min(least)
            floored[place][~known[place]] = least
    return floored


def _without_climatology(
    cube: Cube, count: Tensor, y: Tensor, yy: Tensor
) -> tuple[Tensor, Tensor]:
    """Return one mean and one deviation per flux, over teachers, months and cells."""
    weight = cube.area.cpu()

    def total(values: Tensor) -> Tensor:
        return (values * weight).sum(dim=(0, 1, 3))

    number = total(count).clamp_min(1e-12)
    mean = total(y) / number
    deviation = (total(yy) / number - mean.square()).clamp_min(0).sqrt()
    deviation[deviation == 0] = 1.0
    return (
        mean[:, None].expand_as(y).clone(),
        deviation[:, None].expand(y.shape[0], *y.shape[2:]).clone(),
    )
