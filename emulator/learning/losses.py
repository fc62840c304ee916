"""What training makes small: errors of cells, of their season, and of annual totals.

All errors are standardised; missing labels have zero weight.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emulator.carbon.regions import latitude_bands
from emulator.carbon.timeaxis import seconds_per_month
from emulator.carbon.units import KG_PER_PETAGRAM
from emulator.data.windows import Cube
from emulator.learning.batch import Batch
from emulator.learning.normalise import Normaliser

TERMS = (
    "cells",
    "years",
    "contrast",
    "season",
    "globe",
    "bands",
    "consistency",
    "weak",
)
"""Names of the terms of the loss, in the order in which they are added."""


def cell_weights(
    area: Tensor,
    normaliser: Normaliser,
    sd_power: float,
    component_weight: float = 1.0,
) -> Tensor:
    """Return the weight of a squared standardised error.

    With power 0 every square metre counts alike, however little its flux varies; with
    power 2 every kilogram does, which is what a pooled R2 scores. Teachers get the same
    total weight, and so do fluxes, but for ``component_weight``.

    Args:
        area: Area of the cells, m2; (cell,).
        normaliser: Scales; its ``spread`` is what is raised to the power.
        sd_power: The power.
        component_weight: Of all fluxes but the first.

    Returns:
        Mean 1 over labelled cells, for components ``component_weight``;
        (teacher, flux, cell).
    """
    relative = normaliser.scale.double() / normaliser.spread.double()
    spread = normaliser.spread.double()
    there = normaliser.labelled.double()
    # Logarithms: a flux of 1e-9 to the power of 2 leaves float32's comfort.
    weight = area * relative.square() * (sd_power * spread.log()).exp() * there
    mean = weight.sum(dim=-1, keepdim=True) / there.sum(dim=-1, keepdim=True).clamp_min(
        1
    )
    weight = torch.where(mean > 0, weight / mean, 0.0).float()
    weight[:, 1:] *= component_weight
    return weight


def cell_loss(answer: Tensor, batch: Batch) -> Tensor:
    """Return the weighted mean squared error of standardised fluxes; ()."""
    squared = batch.weight * (answer - batch.target).square()
    return squared.sum() / batch.weight.sum().clamp_min(1e-12)


def years_loss(answer: Tensor, batch: Batch) -> Tensor:
    """Return the weighted mean squared error of annual means of cells, times 12; ().

    Errors of months that have nothing to do with each other make it as large as
    ``cell_loss``; what is more is slow: pools and trends, which the weather of single
    months hides. A year of a cell and flux counts if every month has a label.
    """
    there = whole_years(batch.weight > 0)
    wrong = whole_years(answer - batch.target).where(there, 0.0).mean(dim=2)
    weight = whole_years(batch.weight).mean(dim=2) * there.all(dim=2)
    squared = 12 * weight * wrong.square()
    return squared.sum() / weight.sum().clamp_min(1e-12)


def contrast_loss(
    answer: Tensor, batch: Batch, pair: tuple[int, int], size: int
) -> Tensor:
    """Return ``years_loss`` of the difference between two simulations; ().

    Where both saw the same weather the difference shows the effect of CO2 alone: the
    noise of weather, which hides slow changes of one simulation, cancels.

    Args:
        answer: Simulations of the same teacher, months and cells follow one another;
            (group * simulation, months, flux, cell).
        batch: Of the same samples.
        pair: Places of the two in each group; the second is taken from the first.
        size: Simulations of a group.
    """
    one, other = (slice(place, None, size) for place in pair)
    # Units of a cell are the teacher's, the same in all simulations.
    there = torch.minimum(batch.weight[one], batch.weight[other])
    difference = replace(
        batch, target=batch.target[one] - batch.target[other], weight=there
    )
    return years_loss(answer[one] - answer[other], difference)


def season_loss(answer: Tensor, batch: Batch) -> Tensor:
    """Return the weighted mean squared error of the mean seasonal cycle of cells; ().

    The cycle is the mean of each calendar month over the whole years of a window, less
    the mean of the twelve: what stays of the errors of cells when weather, which has no
    season of its own, and the annual mean are averaged out. Its unit is that of
    ``cell_loss``. A cell and flux counts if every calendar month has a label.
    """
    there = whole_years(batch.weight > 0)
    wrong = whole_years(answer - batch.target).where(there, 0.0)
    count = there.sum(dim=1)
    cycle = wrong.sum(dim=1) / count.clamp_min(1)
    cycle = cycle - cycle.mean(dim=1, keepdim=True)
    weight = batch.weight.amax(dim=1) * (count > 0).all(dim=1)
    squared = weight * cycle.square().mean(dim=1)
    return squared.sum() / weight.sum().clamp_min(1e-12)


def gradient_balance(
    terms: Mapping[str, Tensor], weights: Iterable[Tensor]
) -> dict[str, float]:
    """Return how strongly, and in which direction, each term pulls at the weights.

    A term whose gradient is far smaller than that of the cells does nothing, one that
    is far larger does everything, and a negative cosine means that both cannot be had.
    Gradients that the optimiser holds are not touched.

    Args:
        terms: As ``EmulatorTraining.terms`` returns them, each times its weight.
        weights: Of the network.

    Returns:
        ``gradient_NAME``, the norm of a term's gradient, and for all but the cells
        ``cosine_NAME``, the cosine of its angle with that of the cells; NaN where one
        of the two is zero.
    """
    trained = [weight for weight in weights if weight.requires_grad]
    pulls = {}
    for name, term in terms.items():
        pulled = torch.autograd.grad(
            term, trained, retain_graph=True, materialize_grads=True
        )
        pulls[name] = torch.cat([pull.flatten() for pull in pulled]).double()
    balance = {}
    for name, pull in pulls.items():
        balance[f"gradient_{name}"] = float(pull.norm())
        if name != "cells":
            both = pull.norm() * pulls["cells"].norm()
            balance[f"cosine_{name}"] = float(pull @ pulls["cells"] / both)
    return balance


class AnnualLoss:
    """Squared error of annual totals of the globe and of latitude bands.

    Args:
        cube: Area, months and labels, on the CPU.
        normaliser: References and scales, on the CPU.
        chosen: Training months, which set the unit of the errors; (simulation, time).
    """

    def __init__(
        self, cube: Cube, normaliser: Normaliser, chosen: NDArray[np.bool_]
    ) -> None:
        """Measure how much the totals vary from year to year."""
        self.area = region_areas(cube)
        self.seconds = torch.from_numpy(seconds_per_month(cube.months))
        self.scale = normaliser.scale
        self.spread = self._spread(cube, normaliser, chosen)

    def to(self, device: torch.device | str) -> "AnnualLoss":
        """Move the tensors to ``device`` and return the loss."""
        for name, value in vars(self).items():
            setattr(self, name, value.to(device))
        return self

    def __call__(self, answer: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss of the globe and the mean one of the bands.

        Each is the squared error of annual totals in units of their own variance,
        over years whose twelve months are all in the batch.
        """
        there = batch.weight > 0
        wrong = (answer - batch.target) * there * self.scale[batch.teacher][:, None]
        totals = self.annual_totals(wrong.double(), batch.month)
        complete = whole_years(there.any(dim=-1)).all(dim=2)
        spread = self.spread[batch.teacher].transpose(1, 2)[:, None]
        squared = (totals / spread).square() * complete[:, :, None]
        squared = squared.sum(dim=(0, 1, 3)) / complete.sum().clamp_min(1)
        return squared[0].float(), squared[1:].mean().float()

    def annual_totals(self, flux: Tensor, month: Tensor) -> Tensor:
        """Return totals of whole years.

        Args:
            flux: kg m-2 s-1 of all cells, no NaN; (sample, 12 * year, flux, cell).
            month: Places of the months on the time axis; (sample, 12 * year).

        Returns:
            PgC yr-1 of globe, north, tropics, south; (sample, year, region, flux).
        """
        rates = torch.einsum("smfc,rc->smrf", flux, self.area)
        monthly = rates * self.seconds[month][:, :, None, None]
        return whole_years(monthly).sum(dim=2)

    def _spread(
        self, cube: Cube, normaliser: Normaliser, chosen: NDArray[np.bool_]
    ) -> Tensor:
        """Return the deviation of annual totals, PgC yr-1; (teacher, flux, region)."""
        shape = (len(cube.teachers), len(cube.fluxes), len(self.area))
        squares, count = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape)
        month = torch.from_numpy(cube.months.astype(np.int64) % 12)
        for simulation, rows in enumerate(chosen):
            at = _complete(rows, month.numpy())
            if not at.numel():
                continue
            for teacher in range(shape[0]):
                who = torch.tensor([teacher])
                expected = normaliser.expected(
                    who, month[at][None], cube.co2[simulation, at][None], None
                )[0]
                labels = cube.labels[simulation, teacher, at]
                # A year that this teacher does not have would pass for one without
                # any departure, and make the unit too small.
                whole = whole_years(labels.isfinite().any(dim=-1)[None]).all(dim=2)[0]
                whole = whole[:, None]
                left = (labels - expected).nan_to_num(0.0)
                totals = self.annual_totals(left.double()[None], at[None])[0] * whole
                mean = totals.sum(dim=0) / whole.sum(dim=0).clamp_min(1)
                deviation = (totals - mean) * whole
                squares[teacher] += deviation.square().sum(dim=0).T
                count[teacher] += whole.sum(dim=0).T
        spread = (squares / count.clamp_min(1)).sqrt()
        # A band without cells has no variance and no error either: any unit does.
        return torch.where(spread > 0, spread, 1.0)


def region_areas(cube: Cube) -> Tensor:
    """Return the domain's area in globe, north, tropics and south; (region, cell).

    Its unit, Pg of carbon for each kg m-2, turns fluxes into PgC s-1.
    """
    bands = latitude_bands(cube.grid).weights[:-1].reshape(3, -1)
    shares = np.concatenate([np.ones((1, bands.shape[1])), bands])
    # 1 kg m-2 s-1 over one second in PgC: sums stay near 1, far from rounding.
    return torch.from_numpy(shares)[:, cube.cells] * cube.area / KG_PER_PETAGRAM


def whole_years(values: Tensor) -> Tensor:
    """Fold (sample, 12 * year, ...) to (sample, year, 12, ...)."""
    return values.reshape(len(values), -1, 12, *values.shape[2:])


def _complete(rows: NDArray[np.bool_], month: NDArray[np.int64]) -> Tensor:
    """Return places of all months of those calendar years that are chosen whole."""
    year = np.cumsum(month == 0)
    whole = np.bincount(year, rows)[year] == 12
    return torch.from_numpy(np.flatnonzero(whole & rows))
