"""How a network knows which teacher it answers for, and where on Earth it is."""

from typing import cast

import torch
from torch import Tensor, nn


class Context(nn.Module):
    """One vector per sample and cell from the teacher and the static fields.

    Args:
        teachers: Number of teachers.
        embedding: Length of a teacher's learned vector.
        statics: Static channels.
        width: Length of the vector that is made.
    """

    def __init__(self, teachers: int, embedding: int, statics: int, width: int) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.teacher = nn.Embedding(teachers, embedding)
        self.mix = nn.Sequential(
            nn.Linear(embedding + statics, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, static: Tensor, teacher: Tensor) -> Tensor:
        """Map (sample, static, cell) and (sample,) to (sample, cell, width)."""
        place = static.transpose(1, 2)
        who = self.teacher(teacher)[:, None].expand(-1, place.shape[1], -1)
        return cast("Tensor", self.mix(torch.cat([who, place], dim=-1)))


class Film(nn.Module):
    """Scale and shift of each hidden channel by a context; starts as the identity.

    Source: Perez et al. (2018), FiLM: visual reasoning with a general conditioning
        layer, AAAI 32, equation 2 (with 1 + gamma, so that zero weights change
        nothing).
    """

    def __init__(self, context: int, width: int) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.map = nn.Linear(context, 2 * width)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def forward(self, hidden: Tensor, context: Tensor) -> Tensor:
        """Change (..., width) by a context (..., context) that broadcasts to it."""
        gain, shift = self.map(context).chunk(2, dim=-1)
        return torch.addcmul(shift, hidden, 1 + gain)


def quiet_linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a last layer that answers almost zero, so that training starts there.

    Zero in standardised units is the reference (climatology), a far better first
    guess than noise.
    """
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.mul_(0.1)
        layer.bias.zero_()
    return layer
