"""This month only: a perceptron on the channels of a cell and a month."""

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from emulator.models.base import ModelSettings, NetworkShape, require
from emulator.models.conditioning import Context, Film, quiet_linear


@dataclass
class PointwiseSettings(ModelSettings):
    """Settings of the network without memory: what all others must beat.

    Attributes:
        width: Neurons of each hidden layer.
        depth: Hidden layers.
        dropout: Share of hidden values set to zero in training.
    """

    memory: int = 0
    width: int = 64
    depth: int = 2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        super().__post_init__()
        require(self.width >= 1, "model.width", self.width, "at least 1")
        require(self.depth >= 1, "model.depth", self.depth, "at least 1")
        require(0 <= self.dropout < 1, "model.dropout", self.dropout, "in [0, 1)")

    def build(self, shape: NetworkShape) -> "Pointwise":
        """Return the network for data of ``shape``."""
        return Pointwise(self, shape)


class Pointwise(nn.Module):
    """A perceptron shared by all cells and months, conditioned on the teacher."""

    def __init__(self, settings: PointwiseSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        width = settings.width
        self.memory = settings.memory
        self.context = Context(shape.teachers, settings.embedding, shape.statics, width)
        self.enter = nn.Linear(shape.inputs, width)
        self.film = Film(width, width)
        self.hidden = nn.ModuleList(
            nn.Linear(width, width) for _ in range(settings.depth - 1)
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.leave = quiet_linear(width, shape.outputs)

    def forward(self, forcing: Tensor, static: Tensor, teacher: Tensor) -> Tensor:
        """Answer each month from its own forcing; shapes as in ``models.base``."""
        context = self.context(static, teacher)[:, None]
        months = forcing[:, self.memory :].transpose(2, 3)
        hidden = functional.gelu(self.film(self.enter(months), context))
        for layer in self.hidden:
            hidden = functional.gelu(layer(self.dropout(hidden)))
        return cast("Tensor", self.leave(self.dropout(hidden))).transpose(2, 3)
