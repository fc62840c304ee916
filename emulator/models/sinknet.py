"""A memory in each cell, then a look at the map: what the neighbours remember."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from emulator.models.base import NetworkShape, require
from emulator.models.conditioning import Film
from emulator.models.maps import (
    Globe,
    Levels,
    around,
    modulated,
    periodic_convolution,
)
from emulator.models.recurrent import Recurrent, RecurrentSettings


@dataclass
class SinknetSettings(RecurrentSettings):
    """Settings of the network with a memory in each cell and a view of the map.

    Attributes:
        map_widths: Channels of each level of the map, finest first; each level
            halves the map.
        map_kernel: Cells along the side of the square that a convolution joins.
    """

    map_widths: list[int] = field(default_factory=lambda: [32, 64, 96])
    map_kernel: int = 5

    needs_map: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        super().__post_init__()
        require(
            bool(self.map_widths) and min(self.map_widths) >= 1,
            "model.map_widths",
            self.map_widths,
            "one positive number a level",
        )
        require(
            self.map_kernel >= 3 and self.map_kernel % 2 == 1,
            "model.map_kernel",
            self.map_kernel,
            "an odd number, at least 3",
        )

    def build(self, shape: NetworkShape) -> "Sinknet":
        """Return the network for data of ``shape``."""
        return Sinknet(self, shape)


class Sinknet(nn.Module):
    """The recurrent network, and what the map of its features adds to its answer.

    The map's last layer is zero at first, so training starts from cells that do not
    talk to each other, and the map learns what these cannot know.
    """

    def __init__(self, settings: SinknetSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        widths, embedding = settings.map_widths, settings.embedding
        kernel = settings.map_kernel
        self.globe = Globe(shape)
        self.cell = Recurrent(settings, shape)
        # Its bias tells the map where the domain is: outside all channels are zero.
        self.enter = nn.Linear(settings.width, widths[0])
        self.levels = Levels(
            [
                MapBlock(before, after, embedding, kernel)
                for before, after in zip([widths[0], *widths[:-1]], widths, strict=True)
            ],
            [
                MapBlock(coarse + fine, fine, embedding, kernel)
                for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
            ],
            settings.dropout,
        )
        self.leave = nn.Linear(widths[0], shape.outputs)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, forcing: Tensor, static: Tensor, teacher: Tensor) -> Tensor:
        """Answer each month after the memory; shapes as in ``models.base``.

        Raises:
            ValueError: If not all cells are given: a map has no holes to choose.
        """
        self.globe.require_all(forcing.shape[-1])
        features = self.cell.features(forcing, static, teacher)
        # Narrow before the map is made: cells are fewer than places on the map.
        maps = self.globe.place(self.enter(features).flatten(0, 1))
        who = self.cell.context.teacher(teacher).repeat(len(features), 1)
        added = self.leave(self.globe.pick(self.levels(maps, who)))
        answer = self.cell.answer(features)
        fluxes: Tensor = answer + added.view_as(answer)
        return fluxes.permute(1, 0, 3, 2)


class MapBlock(nn.Module):
    """Each channel joins its neighbourhood, then channels join in each place.

    Source: Liu et al. (2022), A ConvNet for the 2020s, arXiv:2201.03545, figure 4,
        with the teacher's scale and shift in place of the normalisation, twice the
        channels inside instead of four times, and kernels of 5 instead of 7: about
        half the time of two full 3 x 3 convolutions.
    """

    def __init__(self, before: int, after: int, embedding: int, kernel: int) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.kernel = kernel
        self.enter = nn.Conv2d(before, after, 1)
        self.near = periodic_convolution(after, after, kernel, groups=after)
        self.film = Film(embedding, after)
        self.widen = nn.Conv2d(after, 2 * after, 1)
        self.narrow = nn.Conv2d(2 * after, after, 1)

    def forward(self, maps: Tensor, who: Tensor) -> Tensor:
        """Map (map, before, lat, lon) and (map, embedding) to (map, after, ...)."""
        maps = self.enter(maps)
        hidden = self.near(around(maps, self.kernel))
        hidden = self.widen(modulated(hidden, self.film, who))
        change: Tensor = self.narrow(functional.gelu(hidden))
        return maps + change
