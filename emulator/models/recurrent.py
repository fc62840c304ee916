"""Per-cell memory: a causal encoder of the months before, shared by all cells."""

from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from emulator.carbon.errors import SettingsError
from emulator.models.base import (
    ModelSettings,
    NetworkShape,
    require,
    require_choice,
)
from emulator.models.conditioning import Context, Film, quiet_linear

ENCODERS = ("gru", "tcn")


@dataclass
class RecurrentSettings(ModelSettings):
    """Settings of the network with a memory in each cell.

    Attributes:
        encoder: "gru" (a state that runs from the start of the window) or "tcn"
            (dilated causal convolutions: exactly the same memory for every month).
        width: Neurons of each layer.
        layers: Layers of the GRU.
        dropout: Share of hidden values set to zero in training.
        kernel: Months that one convolution of the "tcn" joins.
        dilations: Spacing of those months, one number a convolution; together they
            reach sum((kernel - 1) * dilation) months back, at most ``memory``.
    """

    encoder: str = "gru"
    width: int = 96
    layers: int = 1
    dropout: float = 0.0
    kernel: int = 3
    dilations: list[int] = field(default_factory=lambda: [1, 1, 2, 4, 8])

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        super().__post_init__()
        require_choice("model.encoder", self.encoder, ENCODERS)
        require(self.width >= 1, "model.width", self.width, "at least 1")
        require(self.layers >= 1, "model.layers", self.layers, "at least 1")
        require(0 <= self.dropout < 1, "model.dropout", self.dropout, "in [0, 1)")
        require(self.kernel >= 2, "model.kernel", self.kernel, "at least 2 months")
        if self.encoder == "tcn" and self.reach > self.memory:
            raise SettingsError(
                f"model.kernel and model.dilations reach {self.reach} months back, "
                f"but model.memory is {self.memory}. Shorten the dilations or raise "
                f"the memory."
            )

    @property
    def reach(self) -> int:
        """Months before its own that an answer of the "tcn" depends on."""
        return (self.kernel - 1) * sum(self.dilations)

    @property
    def is_anchored(self) -> bool:
        """Whether a month's answer depends on where its window starts."""
        return self.encoder == "gru" or super().is_anchored

    def build(self, shape: NetworkShape) -> nn.Module:
        """Return the network for data of ``shape``."""
        return Recurrent(self, shape)


class Recurrent(nn.Module):
    """A causal encoder of each cell's forcing, conditioned on teacher and place."""

    def __init__(self, settings: RecurrentSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        width = settings.width
        self.memory = settings.memory
        self.context = Context(shape.teachers, settings.embedding, shape.statics, width)
        self.enter = nn.Linear(shape.inputs, width)
        self.film = Film(width, width)
        self.encoder: nn.Module = (
            GatedState(settings)
            if settings.encoder == "gru"
            else DilatedConvolutions(settings)
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(3 * width, width)
        self.leave = quiet_linear(width, shape.outputs)

    def forward(self, forcing: Tensor, static: Tensor, teacher: Tensor) -> Tensor:
        """Answer each month after the memory; shapes as in ``models.base``."""
        return self.answer(self.features(forcing, static, teacher)).permute(1, 0, 3, 2)

    def features(self, forcing: Tensor, static: Tensor, teacher: Tensor) -> Tensor:
        """Return what is known of each cell, (months, sample, cell, width)."""
        samples, steps, channels, cells = forcing.shape
        months = steps - self.memory
        context = self.context(static, teacher).flatten(0, 1)
        # Time first and cells beside samples: the layout that the GRU reads fastest.
        series = forcing.permute(1, 0, 3, 2).reshape(steps, samples * cells, channels)
        entered = functional.gelu(self.film(self.enter(series), context))
        encoded = self.encoder(entered, context)[-months:]
        joined = torch.cat(
            [
                self.dropout(encoded),
                entered[self.memory :],
                context.expand(months, -1, -1),
            ],
            dim=-1,
        )
        return functional.gelu(self.head(joined)).view(months, samples, cells, -1)

    def answer(self, features: Tensor) -> Tensor:
        """Map (..., width) to (..., flux)."""
        return cast("Tensor", self.leave(self.dropout(features)))


class GatedState(nn.Module):
    """A GRU whose first state is a function of teacher and place."""

    def __init__(self, settings: RecurrentSettings) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.layers = settings.layers
        self.start = nn.Linear(settings.width, settings.layers * settings.width)
        self.gru = nn.GRU(
            settings.width,
            settings.width,
            settings.layers,
            dropout=settings.dropout if settings.layers > 1 else 0.0,
        )

    def forward(self, series: Tensor, context: Tensor) -> Tensor:
        """Map (time, series, width) and (series, width) to (time, series, width)."""
        start = self.start(context).view(len(context), self.layers, -1)
        encoded, _ = self.gru(series, start.transpose(0, 1).contiguous().tanh())
        return cast("Tensor", encoded)


class DilatedConvolutions(nn.Module):
    """Residual convolutions over the months before; nothing is padded.

    Source: Bai, Kolter & Koltun (2018), arXiv:1803.01271, section 3.
    """

    def __init__(self, settings: RecurrentSettings) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        width = settings.width
        self.past = nn.ModuleList(
            nn.Conv1d(width, width, settings.kernel, dilation=dilation)
            for dilation in settings.dilations
        )
        self.mix = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in self.past)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, series: Tensor, _: Tensor) -> Tensor:
        """Map (time, series, width) to (time - reach, series, width)."""
        hidden = series.permute(1, 2, 0)
        for past, mix in zip(self.past, self.mix, strict=True):
            change = mix(self.dropout(functional.gelu(past(hidden))))
            hidden = hidden[..., -change.shape[-1] :] + change
        return hidden.permute(2, 0, 1)
