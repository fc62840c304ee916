"""The score that chooses weights: errors on validation months, in plain torch."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emulator.learning.answering import Answering
from emulator.learning.batch import Inputs
from emulator.learning.blocks import Block
from emulator.learning.losses import AnnualLoss
from emulator.learning.normalise import Normaliser


@dataclass(frozen=True)
class Scores:
    """Errors in units of variance: 1 is about what climatology scores.

    Attributes:
        cells: Area-weighted squared error of monthly fluxes of cells over the
            variance of their anomalies, pooled; mean over fluxes.
        annual: Squared error of global annual totals over their variance in
            training; mean over fluxes. NaN without a whole year.
    """

    cells: float
    annual: float


@dataclass(frozen=True, eq=False)
class Validation:
    """Validation months of every simulation and teacher.

    Attributes:
        inputs: Features.
        normaliser: References and scales.
        labels: kg m-2 s-1; (simulation, teacher, time, flux, cell).
        area: Area of the domain, m2; (cell,).
        annual: Sums and units of annual totals.
        year: Calendar year of each month, counted from the first; (time,).
        plan: Blocks of each simulation.
        memory: Months before a block.
        length: Months of a block.
        needs_map: Whether the network must be given all cells.
    """

    inputs: Inputs
    normaliser: Normaliser
    labels: Tensor
    area: Tensor
    annual: AnnualLoss
    year: Tensor
    plan: dict[int, list[Block]]
    memory: int
    length: int
    needs_map: bool

    def to(self, device: torch.device) -> "Validation":
        """Return the same on ``device``."""
        return replace(
            self,
            inputs=self.inputs.to(device),
            normaliser=self.normaliser.to(device),
            labels=self.labels.to(device),
            area=self.area.to(device),
            annual=self.annual.to(device),
            year=self.year.to(device),
        )

    def score(self, network: nn.Module) -> Scores:
        """Return the errors of a network, which must be on the device of the data."""
        asked = Answering(
            network,
            self.inputs,
            self.normaliser,
            self.memory,
            self.length,
            self.needs_map,
        )
        fluxes = self.labels.shape[3]
        cells = self.labels.new_zeros(2, fluxes, dtype=torch.float64)
        annual = self.labels.new_zeros(2, fluxes, dtype=torch.float64)
        for simulation, blocks in self.plan.items():
            for teacher in range(self.labels.shape[1]):
                spread = self.normaliser.spread[teacher].double()
                totals = self.labels.new_zeros(
                    2, int(self.year[-1]) + 1, fluxes, dtype=torch.float64
                )
                for block, flux in asked.blocks(simulation, teacher, blocks):
                    kept = torch.from_numpy(block.kept).to(flux.device)
                    truth = self.labels[simulation, teacher, kept]
                    there = truth.isfinite()
                    wrong = (flux - truth).where(there, 0.0).double()
                    cells[0] += (wrong.square() * self.area).sum(dim=(0, 2))
                    cells[1] += (spread.square() * self.area * there).sum(dim=(0, 2))
                    monthly = (wrong * self.annual.area[0]).sum(dim=-1)
                    monthly *= self.annual.seconds[kept][:, None]
                    totals[0].index_add_(0, self.year[kept], monthly)
                    held = there.any(dim=-1).double()
                    totals[1].index_add_(0, self.year[kept], held)
                whole = totals[1] == 12
                unit = self.annual.spread[teacher, :, 0]
                annual[0] += ((totals[0] / unit).square() * whole).sum(dim=0)
                annual[1] += whole.sum(dim=0)
        return Scores(_mean_ratio(cells), _mean_ratio(annual))


def years_from_first(months: NDArray[np.datetime64]) -> Tensor:
    """Return the calendar year of each month, 0 for the first; (time,)."""
    year = months.astype("datetime64[Y]").astype(np.int64)
    return torch.from_numpy(year - year[0])


def _mean_ratio(sums: Tensor) -> float:
    """Return the mean over fluxes, which have any, of first over second row."""
    there = sums[1] > 0
    if not there.any():
        return float("nan")
    return float((sums[0, there] / sums[1, there]).mean())
