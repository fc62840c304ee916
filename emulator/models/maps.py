"""Maps: cells in their places on the globe, and the way down to coarse maps and up.

What every network over the globe shares; each brings blocks of its own.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from emulator.models.base import NetworkShape
from emulator.models.conditioning import Film


class Globe(nn.Module):
    """Where the cells lie on the map; what is outside the domain holds zero."""

    cells: Tensor

    def __init__(self, shape: NetworkShape) -> None:
        """Keep the places; they are data of the run and no weights."""
        super().__init__()
        self.rows, self.columns = shape.grid_shape
        self.register_buffer("cells", shape.cells.clone(), persistent=False)

    def require_all(self, count: int) -> None:
        """Raise ``ValueError`` unless all cells are given: a map has no holes."""
        if count != self.cells.numel():
            raise ValueError(
                f"The network works on maps of all {self.cells.numel()} cells, but "
                f"got {count}. Set learning.cells_per_batch to 0."
            )

    def place(self, values: Tensor) -> Tensor:
        """Put (map, cell, channel) on the map (map, channel, lat, lon).

        Channels stay the fastest in memory ("channels last"), as convolutions of
        few channels want them.
        """
        maps = values.new_zeros(len(values), self.rows * self.columns, values.shape[2])
        maps = maps.index_copy(1, self.cells, values)
        return maps.view(len(values), self.rows, self.columns, -1).permute(0, 3, 1, 2)

    def pick(self, maps: Tensor) -> Tensor:
        """Take (map, cell, channel) from the map (map, channel, lat, lon)."""
        return maps.permute(0, 2, 3, 1).flatten(1, 2).index_select(1, self.cells)


class Levels(nn.Module):
    """From fine to coarse maps and back, with what each level was on the way down.

    Source: Ronneberger, Fischer & Brox (2015), arXiv:1505.04597, figure 1.

    Args:
        down: A block for each level, the finest first.
        up: A block for each level but the coarsest, the coarsest of these first; it
            is given the channels of the coarser level and those kept of its own.
        dropout: Share of the coarsest channels set to zero in training.

    Blocks map (map, channel, lat, lon) and (map, embedding) to (map, channel, ...).
    """

    def __init__(
        self, down: Iterable[nn.Module], up: Iterable[nn.Module], dropout: float
    ) -> None:
        """Keep the blocks."""
        super().__init__()
        self.down = nn.ModuleList(down)
        self.up = nn.ModuleList(up)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, maps: Tensor, who: Tensor) -> Tensor:
        """Map (map, channel, lat, lon) of any size to the finest block's channels."""
        kept: list[Tensor] = []
        for level, block in enumerate(self.down):
            if level:
                # Odd sizes keep a last, smaller cell instead of losing it. Unlike a
                # padded map, it keeps its true neighbours around the globe.
                maps = functional.avg_pool2d(
                    maps, 2, ceil_mode=True, count_include_pad=False
                )
            maps = block(maps, who)
            kept.append(maps)
        maps = self.dropout(kept.pop())
        for block in self.up:
            fine = kept.pop()
            # Twice the size and then cut: each cell gets what it was pooled into.
            maps = functional.interpolate(maps, scale_factor=2)
            maps = maps[..., : fine.shape[-2], : fine.shape[-1]]
            maps = block(torch.cat([maps, fine], dim=1), who)
        return maps


def modulated(maps: Tensor, film: Film, who: Tensor) -> Tensor:
    """Scale and shift each channel of (map, channel, lat, lon) by (map, embedding)."""
    changed: Tensor = film(maps.permute(0, 2, 3, 1), who[:, None, None])
    return changed.permute(0, 3, 1, 2)


def periodic_convolution(
    before: int, after: int, size: int = 3, groups: int = 1
) -> nn.Conv2d:
    """Return a convolution for maps that ``around`` made wider.

    Longitude is not padded, latitude is, by zeros: there is nothing beyond a pole.
    """
    return nn.Conv2d(before, after, size, padding=(size // 2, 0), groups=groups)


def around(maps: Tensor, size: int = 3) -> Tensor:
    """Go on around the globe by what a convolution of ``size`` cells sees beyond.

    Unlike torch's circular padding, it keeps channels last and takes maps of any
    width: on the coarsest ones a convolution may see farther than once around.
    """
    width, beyond = maps.shape[-1], size // 2
    if beyond <= width:
        return torch.cat([maps[..., -beyond:], maps, maps[..., :beyond]], dim=-1)
    place = torch.arange(-beyond, width + beyond, device=maps.device) % width
    return maps[..., place]
