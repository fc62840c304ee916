"""What of the labels a network may know: climatology, slope in CO2, scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import MONTHS_PER_YEAR
from emulator.data.windows import Cube
from emulator.models import ModelSettings
from emulator.models.exchange import CHANNELS

CANCELLATION = 0.1
"""Smallest net share of the summed slopes that can be scaled: below it, the total is a
small difference of large numbers, and its scale would blow up every cell."""


LLOYD_TAYLOR_ZERO = 227.13
"""K; at this temperature respiration ends (Lloyd and Taylor, 1994)."""

SLOWEST_DECAY = 0.02
"""Of a climate, over that at 10 degC: ice sheets and the highest mountains."""


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
        slope: Its change per unit of CO2 as it is told; same shape.
        co2_mean: CO2 of that mean, as it is told; same shape.
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
        chosen: NDArray[np.bool_],
        rows: NDArray[np.bool_],
        month: NDArray[np.int64],
        model: ModelSettings,
    ) -> "LabelStatistics":
        """Fit means on ``rows`` and the slope on ``chosen``.

        The line in CO2 goes through the mean of the reference simulations; how steep
        it is, a control at another CO2 says too, if it is among those learned.

        Args:
            cube: Labels and CO2.
            chosen: Training months; (simulation, time).
            rows: Those of them of the reference simulations.
            month: Calendar month, 0 to 11; (time,).
            model: What of the labels may be known.
        """
        # Sums about a first guess: fluxes are small numbers, CO2 varies little.
        origin = float(cube.co2.numpy()[rows].mean())
        nothing = torch.zeros((), dtype=torch.float64)
        count, x, y, xx, xy, yy = _sums(cube, rows, month, origin, nothing)
        several = count.clamp_min(1)
        mean, co2_mean = y / several, x / several
        sxx, sxy = xx - x * co2_mean, xy - x * mean
        syy = (yy - y * mean).clamp_min(0)
        # About the reference point: sums of products are those of the line through it.
        _, _, _, over, rise, _ = _sums(cube, chosen, month, co2_mean + origin, mean)
        slope = _slope(over, rise, model)
        if model.co2_level == "total":
            slope = _with_total(slope, _slope(sxx, sxy, model), cube.area.cpu())
        left = (syy - 2 * slope * sxy + slope.square() * sxx).clamp_min(0)
        known = (count > 0).all(dim=1)
        total = count.sum(dim=1).clamp_min(1)
        spread = _floored((syy.sum(dim=1) / total).sqrt(), known, model.scale_floor)
        scale = _floored((left.sum(dim=1) / total).sqrt(), known, model.scale_floor)
        if model.label_climatology == "none":
            mean, scale = _without_climatology(cube, count, y, yy)
        return cls(mean, slope, co2_mean + origin, scale, spread, known)

    def reference_at(self, co2: float) -> Tensor:
        """Return the reference at a CO2 of ``co2``."""
        return self.mean + self.slope * (co2 - self.co2_mean)

    def channels(self) -> Tensor:
        """Return the twelve months and the log spread; (teacher, 13 * flux, cell)."""
        parts = []
        for flux in range(self.mean.shape[2]):
            known = self.known[:, flux]
            months = self.mean[:, :, flux]
            parts.append(standard(months, known[:, None].expand_as(months)))
            parts.append(standard(self.spread[:, flux].log(), known)[:, None])
        return torch.cat(parts, dim=1)


def balance_channels(
    reference: Tensor, scale: Tensor, known: Tensor, model: ModelSettings
) -> Tensor:
    """Return what a balance of carbon needs of a cell, in the first flux's unit.

    Args:
        reference: Flux by calendar month, kg m-2 s-1; (teacher, 12, flux, cell).
        scale: Unit of the network's answer, kg m-2 s-1; (teacher, flux, cell).
        known: Where a teacher has a flux; bool, (teacher, flux, cell).
        model: Which balance.

    Returns:
        The annual mean of the first flux's reference, then the unit of each flux, 0
        where a teacher does not have the flux: then it is no part of the sum. For soils
        also the reference of rh in each calendar month; (teacher, 1 + flux + 0 or 12,
        cell).
    """
    mean = reference.mean(dim=1)[:, :1]
    parts, there = [mean, scale], [known[:, :1], known]
    if model.has_soils:
        release = model.fluxes.index("rh")
        parts.append(reference[:, :, release])
        there.append(known[:, release, None].expand_as(parts[-1]))
    channels = torch.cat(parts, dim=1) / scale[:, :1]
    return torch.where(torch.cat(there, dim=1), channels, 0.0)


def decay_channel(climatology: Tensor, forcing: Sequence[str]) -> Tensor:
    """Return by how much a cell's climate speeds decay up over 10 degC, as logarithm.

    Args:
        climatology: Mean forcing of each calendar month; (12, forcing, cell).
        forcing: Names of the forcing variables.

    Returns:
        Of the mean over the year; (1, 1, cell).

    Raises:
        SettingsError: If ``tas`` is not among the forcing.

    Source: Lloyd and Taylor (1994), Functional Ecology 8, 315-323, equation 11, which
        LPJ and its relatives use.
    """
    if "tas" not in forcing:
        raise SettingsError(
            f"Soils (model.pools with rh) decay by temperature, but the network sees "
            f"{', '.join(forcing)}. Add tas to model.forcing, or leave model.pools "
            f"empty."
        )
    tas = climatology[:, list(forcing).index("tas")].double()
    above = (tas - LLOYD_TAYLOR_ZERO).clamp_min(1.0)
    speed = (308.56 * (1 / 56.02 - 1 / above)).exp().mean(dim=0)
    return speed.clamp_min(SLOWEST_DECAY).log()[None, None]


def exchange_channels(
    reference: Tensor, slope: Tensor, scale: Tensor, co2_spread: Tensor
) -> Tensor:
    """Return what a gas exchange needs of a teacher, in the unit of its answer.

    Args:
        reference: Flux by calendar month, kg m-2 s-1; (teacher, 12, 1, cell).
        slope: Its change per unit of CO2 as it is told; same shape.
        scale: Unit of the network's answer, kg m-2 s-1; (teacher, 1, cell).
        co2_spread: Unit of the CO2 that the network is told; ().

    Returns:
        The reference of each month, then its slope in standardised CO2;
        (teacher, 24, cell).
    """
    parts = torch.cat([reference, slope * co2_spread], dim=1)[:, :, 0]
    return parts / scale


def needed_channels(model: ModelSettings, fluxes: int) -> int:
    """Return how many of the last static channels are no features, but a law's need."""
    if model.gas_exchange:
        return CHANNELS
    if not model.is_balance:
        return 0
    return 1 + fluxes + (1 + MONTHS_PER_YEAR) * model.has_soils


def _sums(
    cube: Cube,
    rows: NDArray[np.bool_],
    month: NDArray[np.int64],
    co2_origin: float | Tensor,
    flux_origin: Tensor,
) -> tuple[Tensor, ...]:
    """Return count, x, y, xx, xy, yy of CO2 x and flux y about an origin.

    Each (teacher, 12, flux, cell), over the labelled months ``rows``.
    """
    shape = (len(cube.teachers), 12, *cube.labels.shape[3:])
    sums = torch.zeros(6, *shape, dtype=torch.float64)
    co2_at = torch.as_tensor(co2_origin, dtype=torch.float64).expand(shape)
    flux_at = flux_origin.expand(shape)
    for simulation, number in np.ndindex(len(cube.simulations), 12):
        at = torch.from_numpy(np.flatnonzero(rows[simulation] & (month == number)))
        co2 = cube.co2[simulation, at].double()[:, None, None]
        for teacher in range(len(cube.teachers)):
            labels = cube.labels[simulation, teacher, at].double()
            there = labels.isfinite()
            x = (co2 - co2_at[teacher, number]) * there
            y = (labels - flux_at[teacher, number]).where(there, 0.0)
            products = (there.double(), x, y, x * x, x * y, y * y)
            for total, product in zip(sums, products, strict=True):
                total[teacher, number] += product.sum(dim=0)
    return tuple(sums)


def _slope(sxx: Tensor, sxy: Tensor, model: ModelSettings) -> Tensor:
    """Return the least-squares slope in CO2, zero where CO2 does not change."""
    if model.label_climatology != "co2":
        return torch.zeros_like(sxx)
    if model.co2_slope == "annual":
        sxx, sxy = (
            part.sum(dim=1, keepdim=True).expand_as(part) for part in (sxx, sxy)
        )
    return torch.where(sxx > 0, sxy / sxx.clamp_min(1e-12), 0.0)


def _with_total(slope: Tensor, own: Tensor, area: Tensor) -> Tensor:
    """Scale slopes so that their area sum over year and cells is that of ``own``.

    Raises:
        SettingsError: If the slopes nearly cancel over the domain, so that no scale
            gives the total.
    """
    found, wanted = (
        (part * area).sum(dim=(1, 3), keepdim=True) for part in (slope, own)
    )
    gross = (slope.abs() * area).sum(dim=(1, 3), keepdim=True)
    if ((found.abs() < CANCELLATION * gross) & (gross > 0)).any():
        raise SettingsError(
            "The slopes in CO2 cancel over the domain, so that model.co2_level=total "
            "has no meaning here. Choose model.co2_level=cells."
        )
    return slope * torch.where(gross > 0, wanted / found, 1.0)


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
