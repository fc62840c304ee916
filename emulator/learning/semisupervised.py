"""Learning from months without labels: a mean teacher.

Teachers end, forcing goes on. On months without labels the network's answer to forcing
that is a little wrong, as wrong as one product is against another, shall be that of
the running mean of its own weights to the forcing as it is. So it learns, without any
label, what not to read into its forcing. (The *mean teacher* is a network; everywhere
else a teacher is a process model.)

Source: Tarvainen & Valpola (2017), Mean teachers are better role models,
    arXiv:1703.01780, section 2; the noise on inputs is here one of products.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from emulator.learning.batch import TrainingData, gather_inputs
from emulator.learning.forcing_errors import ForcingErrors, ForcingErrorSettings
from emulator.learning.normalise import take
from emulator.learning.sampler import Sampler
from emulator.models.base import require


@dataclass
class ConsistencySettings:
    """How the network is held to the running mean of its own weights.

    Attributes:
        weight: Of the term in the loss; 0 = no mean teacher.
        ramp_steps: Steps in which the weight rises from nearly 0: at first the running
            mean knows nothing.
        samples: Windows without labels in a step.
        errors: What is wrong with the forcing that the network sees in them.
    """

    weight: float = 0.0
    ramp_steps: int = 500
    samples: int = 2
    errors: ForcingErrorSettings = field(default_factory=ForcingErrorSettings)

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        for item in ("weight", "ramp_steps"):
            value = getattr(self, item)
            require(value >= 0, f"learning.consistency.{item}", value, "0 or more")
        samples = self.samples
        require(samples >= 1, "learning.consistency.samples", samples, "at least 1")


@dataclass(frozen=True, eq=False)
class MeanTeacher:
    """The consistency term: unlabelled windows and what may be wrong in them.

    Attributes:
        settings: Weight and ramp.
        sampler: Indices of each step's windows.
        counts: Months whose answers are compared; (simulation, time).
        weight: Of a cell in the loss, 0 where there is none; (teacher, flux, cell).
        errors: Of the forcing.
    """

    settings: ConsistencySettings
    sampler: Sampler
    counts: Tensor
    weight: Tensor
    errors: ForcingErrors

    def to(self, device: torch.device | str) -> "MeanTeacher":
        """Return the same on ``device``."""
        return replace(
            self,
            counts=self.counts.to(device),
            weight=self.weight.to(device),
            errors=self.errors.to(device),
        )

    def term(
        self,
        student: nn.Module,
        teacher: nn.Module,
        data: TrainingData,
        step: int,
        memory: int,
        months: int,
    ) -> Tensor:
        """Return the term of a step, times its weight and ramp; ().

        Args:
            student: The network that is fitted; it sees forcing with errors.
            teacher: The running mean of its weights; it sees forcing as it is.
            data: What windows are gathered from; its labels are not looked at.
            step: From which windows and errors follow, with the sampler's seed.
            memory: Months before a window.
            months: Months of a window.
        """
        draw = self.sampler.draw(step).on(data.weight.device)
        forcing, static = gather_inputs(data.inputs, draw, memory, months)
        with torch.no_grad():
            target = teacher.eval()(forcing, static, draw.teacher).float()
        size = data.inputs.month.shape[0]
        window = torch.arange(-memory, months, device=draw.first.device)
        places = draw.first[:, None] + window
        inside = places < size
        places = places.clamp(0, size - 1)
        generator = _generator(self.sampler.seed, step, forcing.device)
        errors = self.errors.draw(data.inputs.month[places], draw.cells, generator)
        # Weather comes first; calendar, slow means and CO2 are the same in products.
        channels = errors.shape[2]
        wrong = torch.cat(
            [forcing[:, :, :channels] + errors, forcing[:, :, channels:]], dim=2
        )
        answer = student(wrong, static, draw.teacher).float()
        counted = self.counts[draw.simulation[:, None], places] & inside
        weight = take(self.weight, (draw.teacher,), draw.cells)[:, None]
        weight = weight * counted[:, memory:, None, None]
        squared = weight * (answer - target).square()
        factor = self.settings.weight * ramp(step, self.settings.ramp_steps)
        term: Tensor = factor * squared.sum() / weight.sum().clamp_min(1e-12)
        return term


def ramp(step: int, steps: int) -> float:
    """Return the share of a term's weight at a step, from 0.007 to 1 in ``steps``.

    Source: Laine & Aila (2017), Temporal ensembling, arXiv:1610.02242, appendix A.
    """
    left = 1 - min(step / steps, 1.0) if steps else 0.0
    return math.exp(-5 * left**2)


def _generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """Return the noise of a step, apart from that of dropout."""
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] >> 1))
