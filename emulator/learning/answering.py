"""Asking a network: blocks of months in, fluxes in canonical units out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from emulator.learning.batch import Draw, Inputs, gather_inputs
from emulator.learning.blocks import Block
from emulator.learning.normalise import Normaliser, take

CELL_MONTHS_AT_ONCE = {"cpu": 25_000, "cuda": 4_000_000}
"""Cell-months, memory included, that go through a network at once. On a CPU larger
pieces fall out of the cache: 500 cells of 48 months take four fifths of the time for
each that 1000 or 4000 do."""


@dataclass(frozen=True, eq=False)
class Answering:
    """A network with what it needs to answer.

    Attributes:
        network: In evaluation mode, on the device of the rest.
        inputs: Features.
        normaliser: References and scales.
        memory: Months before a block.
        length: Months of a block.
        needs_map: Whether the network must be given all cells.
    """

    network: nn.Module
    inputs: Inputs
    normaliser: Normaliser
    memory: int
    length: int
    needs_map: bool

    @torch.no_grad()
    def blocks(
        self, simulation: int, teacher: int, blocks: Sequence[Block]
    ) -> Iterator[tuple[Block, Tensor]]:
        """Yield each block and its kept months' fluxes, kg m-2 s-1.

        The fluxes have shape (kept month, flux, cell).
        """
        cells = self.inputs.weather.shape[1]
        device = self.inputs.weather.device
        budget = CELL_MONTHS_AT_ONCE["cpu" if device.type == "cpu" else "cuda"]
        per_cell = self.memory + self._months(blocks)
        at_once = max(1, budget // (per_cell * cells))
        piece = cells if self.needs_map else max(1, min(cells, budget // per_cell))
        for start in range(0, len(blocks), at_once):
            part = blocks[start : start + at_once]
            months = self._months(part)
            size = (len(part),)
            draw = Draw(
                torch.full(size, simulation, device=device),
                torch.full(size, teacher, device=device),
                torch.tensor([block.first for block in part], device=device),
                None,
            )
            fluxes = torch.cat(
                [
                    self._answer(draw, months, first, min(first + piece, cells))
                    for first in range(0, cells, piece)
                ],
                dim=-1,
            )
            for block, flux in zip(part, fluxes, strict=True):
                yield block, flux[torch.from_numpy(block.kept - block.first)]

    def _months(self, blocks: Sequence[Block]) -> int:
        """Return the months to answer: none of any block lie beyond the time axis."""
        begin = min((block.first for block in blocks), default=0)
        return min(self.length, len(self.inputs.month) - begin)

    def _answer(self, draw: Draw, months: int, first: int, last: int) -> Tensor:
        """Return the fluxes of a draw in cells first to last - 1."""
        device = draw.first.device
        cells: Tensor | None = None
        if last - first < self.inputs.weather.shape[1]:
            cells = torch.arange(first, last, device=device).expand(len(draw.first), -1)
        draw = Draw(draw.simulation, draw.teacher, draw.first, cells)
        forcing, static = gather_inputs(self.inputs, draw, self.memory, months)
        answer = self.network(forcing, static, draw.teacher).float()
        steps = draw.first[:, None] + torch.arange(months, device=device)
        steps = steps.clamp_max(len(self.inputs.month) - 1)
        expected = self.normaliser.expected(
            draw.teacher,
            self.inputs.month[steps],
            self.inputs.co2[draw.simulation[:, None], steps],
            cells,
        )
        scale = take(self.normaliser.scale, (draw.teacher,), cells)[:, None]
        flux: Tensor = expected + scale * answer
        return flux
