"""Maps: a convolutional network, periodic in longitude, on lags of the forcing."""

from dataclasses import dataclass, field
from typing import ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from emulator.carbon.errors import SettingsError
from emulator.models.base import ModelSettings, NetworkShape, require
from emulator.models.conditioning import Film, quiet_linear
from emulator.models.maps import (
    Globe,
    Levels,
    around,
    modulated,
    periodic_convolution,
)


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

    def __init__(self, settings: UnetSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.memory = settings.memory
        self.lags = list(settings.lags)
        self.means = list(settings.means)
        self.globe = Globe(shape)
        self.teacher = nn.Embedding(shape.teachers, settings.embedding)
        # One channel says where the domain is: zero forcing is also a value.
        inputs = shape.inputs * (len(self.lags) + len(self.means)) + shape.statics + 1
        widths = settings.widths
        self.levels = Levels(
            [
                Block(before, after, settings.embedding)
                for before, after in zip([inputs, *widths[:-1]], widths, strict=True)
            ],
            [
                Block(coarse + fine, fine, settings.embedding)
                for fine, coarse in zip(widths[-2::-1], widths[:0:-1], strict=True)
            ],
            settings.dropout,
        )
        self.leave = quiet_linear(widths[0], shape.outputs)

    def forward(self, forcing: Tensor, static: Tensor, teacher: Tensor) -> Tensor:
        """Answer each month after the memory; shapes as in ``models.base``.

        Raises:
            ValueError: If not all cells are given: a map has no holes to choose.
        """
        self.globe.require_all(forcing.shape[-1])
        samples, months = forcing.shape[0], forcing.shape[1] - self.memory
        channels = torch.cat(
            [*self._lagged(forcing), *self._constant(static, months)], dim=2
        )
        maps = self.globe.place(channels.flatten(0, 1).transpose(1, 2))
        who = self.teacher(teacher).repeat_interleave(months, dim=0)
        answer = self.leave(self.globe.pick(self.levels(maps, who)))
        fluxes = answer.transpose(1, 2).unflatten(0, (samples, months))
        return cast("Tensor", fluxes)

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


class Block(nn.Module):
    """Two 3 x 3 convolutions, scaled and shifted by the teacher, with a shortcut."""

    def __init__(self, before: int, after: int, embedding: int) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.first = periodic_convolution(before, after)
        self.second = periodic_convolution(after, after)
        self.shortcut = nn.Conv2d(before, after, 1)
        self.film = Film(embedding, after)

    def forward(self, maps: Tensor, who: Tensor) -> Tensor:
        """Map (map, before, lat, lon) and (map, embedding) to (map, after, ...)."""
        hidden = modulated(self.first(around(maps)), self.film, who)
        hidden = self.second(around(functional.gelu(hidden)))
        return functional.gelu(hidden + self.shortcut(maps))
