"""Maps: a convolutional network, periodic in longitude, on lags of the forcing."""

from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from emulator.carbon.errors import SettingsError
from emulator.models.base import ModelSettings, NetworkShape, require


@dataclass
class UnetSettings(ModelSettings):
    """Settings of the network that sees whole maps.

    Attributes:
        widths: Channels of each level, finest first; each level halves the map.
        lags: Months before the answered month that enter as channels (0 = itself).
        means: Lengths of trailing means (the answered month included) that enter.
        dropout: Share of the coarsest channels set to zero in training.
    """

    memory: int = 24
    widths: list[int] = field(default_factory=lambda: [32, 64, 96])
    lags: list[int] = field(default_factory=lambda: [0, 1, 2, 3])
    means: list[int] = field(default_factory=lambda: [6, 12, 24])
    dropout: float = 0.0

    needs_map: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        super().__post_init__()
        require(
            bool(self.widths) and min(self.widths) >= 1,
            "model.widths",
            self.widths,
            "one positive number a level",
        )
        require(
            bool(self.lags) and min(self.lags) >= 0,
            "model.lags",
            self.lags,
            "months before the answered one, 0 or more",
        )
        require(
            min(self.means, default=1) >= 1,
            "model.means",
            self.means,
            "lengths of at least 1 month",
        )
        require(0 <= self.dropout < 1, "model.dropout", self.dropout, "in [0, 1)")
        reach = max(*self.lags, *(length - 1 for length in self.means), 0)
        if reach > self.memory:
            raise SettingsError(
                f"model.lags and model.means reach {reach} months back, but "
                f"model.memory is {self.memory}. Shorten them or raise the memory."
            )

    def build(self, shape: NetworkShape) -> "Unet":
        """Return the network for data of ``shape``."""
        return Unet(self, shape)


class Unet(nn.Module):
    """A U-Net over the globe; cells outside the domain hold zero."""

    cells: Tensor

    def __init__(self, settings: UnetSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.memory = settings.memory
        self.lags = list(settings.lags)
        self.means = list(settings.means)
        self.grid_shape = shape.grid_shape
        self.register_buffer("cells", shape.cells.clone(), persistent=False)
        self.teacher = nn.Embedding(shape.teachers, settings.embedding)
        # One channel says where the domain is: zero forcing is also a value.
        inputs = shape.inputs * (len(self.lags) + len(self.means)) + shape.statics + 1
        widths = settings.widths
        self.down = nn.ModuleList(
            Block(before, after, settings.embedding)
            for before, after in zip([inputs, *widths[:-1]], widths, strict=True)
        )
        self.up = nn.ModuleList(
            Block(coarse + fine, fine, settings.embedding)
            for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.dropout = nn.Dropout2d(settings.dropout)
        self.leave = nn.Conv2d(widths[0], shape.outputs, 1)
        with torch.no_grad():
            # As in ``conditioning.quiet_linear``: training starts at the reference.
            self.leave.weight.mul_(0.1)
            cast("Tensor", self.leave.bias).zero_()

    def forward(self, forcing: Tensor, static: Tensor, teacher: Tensor) -> Tensor:
        """Answer each month after the memory; shapes as in ``models.base``.

        Raises:
            ValueError: If not all cells are given: a map has no holes to choose.
        """
        if forcing.shape[-1] != self.cells.numel():
            raise ValueError(
                f"The network works on maps of all {self.cells.numel()} cells, but "
                f"got {forcing.shape[-1]}. Set learning.cells_per_batch to 0."
            )
        samples, months = forcing.shape[0], forcing.shape[1] - self.memory
        channels = torch.cat(
            [*self._lagged(forcing), *self._constant(static, months)], dim=2
        )
        maps = self._scatter(channels.flatten(0, 1))
        who = self.teacher(teacher).repeat_interleave(months, dim=0)
        answer = self._network(maps, who).flatten(2)[..., self.cells]
        return answer.view(samples, months, *answer.shape[1:])

    def _lagged(self, forcing: Tensor) -> list[Tensor]:
        """Return (sample, months, channel, cell) for each lag and trailing mean."""
        months = forcing.shape[1] - self.memory
        lagged = [
            forcing[:, self.memory - lag : self.memory - lag + months]
            for lag in self.lags
        ]
        for length in self.means:
            # A difference of running sums is cheaper, but it carries the rounding of
            # all months before: then no memory is finite.
            past = forcing[:, self.memory + 1 - length :]
            lagged.append(past.unfold(1, length, 1).mean(dim=-1))
        return lagged

    def _constant(self, static: Tensor, months: int) -> list[Tensor]:
        """Return static channels and the mask for each of ``months``."""
        place = static[:, None].expand(-1, months, -1, -1)
        return [place, torch.ones_like(place[:, :, :1])]

    def _scatter(self, channels: Tensor) -> Tensor:
        """Put (map, channel, cell) on the map (map, channel, lat, lon)."""
        rows, columns = self.grid_shape
        maps = channels.new_zeros(*channels.shape[:2], rows * columns)
        maps[..., self.cells] = channels
        maps = maps.view(*maps.shape[:2], rows, columns)
        return maps.contiguous(memory_format=torch.channels_last)

    def _network(self, maps: Tensor, who: Tensor) -> Tensor:
        """Go down to the coarsest level and up again."""
        kept: list[Tensor] = []
        for level, block in enumerate(self.down):
            if level:
                # Odd sizes keep a last, smaller cell instead of losing it.
                maps = functional.avg_pool2d(
                    maps, 2, ceil_mode=True, count_include_pad=False
                )
            maps = block(maps, who)
            kept.append(maps)
        maps = self.dropout(kept.pop())
        for block in self.up:
            fine = kept.pop()
            maps = functional.interpolate(maps, size=fine.shape[-2:])
            maps = block(torch.cat([maps, fine], dim=1), who)
        return cast("Tensor", self.leave(maps))


class Block(nn.Module):
    """Two 3 x 3 convolutions, scaled and shifted by the teacher, with a shortcut."""

    def __init__(self, before: int, after: int, embedding: int) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.first = nn.Conv2d(before, after, 3)
        self.second = nn.Conv2d(after, after, 3)
        self.shortcut = nn.Conv2d(before, after, 1)
        self.film = nn.Linear(embedding, 2 * after)
        nn.init.zeros_(self.film.weight)
        nn.init.zeros_(self.film.bias)

    def forward(self, maps: Tensor, who: Tensor) -> Tensor:
        """Map (map, before, lat, lon) and (map, embedding) to (map, after, ...)."""
        gain, shift = self.film(who)[..., None, None].chunk(2, dim=1)
        hidden = torch.addcmul(shift, self.first(around(maps)), 1 + gain)
        hidden = self.second(around(functional.gelu(hidden)))
        return functional.gelu(hidden + self.shortcut(maps))


def around(maps: Tensor) -> Tensor:
    """Add one cell on each side: around the globe in longitude, zeros at the poles."""
    wrapped = functional.pad(maps, (1, 1, 0, 0), mode="circular")
    return functional.pad(wrapped, (0, 0, 1, 1))
