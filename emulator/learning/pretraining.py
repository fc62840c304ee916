"""Learning to read forcing before any label is seen.

The encoder of each cell's forcing guesses values that are hidden from it, from the
others of the month, the months before and the place. Its weights then start the fit.

Source: the masking of values of many series and their reconstruction follow Zerveas
    et al. (2021), A transformer-based framework for multivariate time series
    representation learning, arXiv:2010.02803, section 3.2.
"""

import time
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from emulator.learning.batch import Inputs, gather_inputs
from emulator.learning.metrics import MetricsFile
from emulator.learning.sampler import Sampler
from emulator.models.balance import Balance
from emulator.models.base import require
from emulator.models.exchange import GasExchange
from emulator.models.recurrent import Recurrent
from emulator.models.sinknet import Sinknet

ROWS_EVERY = 100
"""Steps between two rows of the metrics."""


@dataclass
class PretrainingSettings:
    """How the encoder learns from forcing alone.

    A run that is killed in here begins this part anew, so keep it short.

    Attributes:
        steps: Steps before the fit; 0 = none.
        masked: Share of the values of cells, months and variables that is hidden.
        rate: Largest learning rate.
        samples: Windows in a step.
    """

    steps: int = 0
    masked: float = 0.3
    rate: float = 3e-3
    samples: int = 4

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        name = "learning.pretraining"
        require(self.steps >= 0, f"{name}.steps", self.steps, "0 or more")
        require(0 < self.masked < 1, f"{name}.masked", self.masked, "in (0, 1)")
        require(self.rate > 0, f"{name}.rate", self.rate, "positive")
        require(self.samples >= 1, f"{name}.samples", self.samples, "at least 1")


def pretrain(
    network: nn.Module,
    inputs: Inputs,
    sampler: Sampler,
    settings: PretrainingSettings,
    metrics: MetricsFile,
    *,
    variables: int,
    memory: int,
    months: int,
) -> None:
    """Fit the encoder of a network, in place, to forcing that is hidden from it.

    The same seed gives the same weights, whatever was drawn before.

    Args:
        network: A ``Recurrent``, or one that holds one, with its first weights.
        inputs: Features, on the network's device.
        sampler: Indices of each step; labels of its windows are not looked at.
        settings: Steps, rate and what is hidden.
        metrics: Where rows go; their ``train_loss`` is the squared error of hidden
            values, whose variance is about 1.
        variables: Forcing variables.
        memory: Months before a window.
        months: Months of a window.
    """
    device, started = inputs.weather.device, time.monotonic()
    torch.manual_seed(sampler.seed)
    encoder = encoder_of(network.train())
    guess = nn.Linear(encoder.head.out_features, variables).to(device)
    weights = [*encoder.parameters(), *guess.parameters()]
    adam = torch.optim.AdamW(weights, lr=settings.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adam, max_lr=settings.rate, total_steps=settings.steps
    )
    metrics.rewind(0)
    since = torch.zeros(2, dtype=torch.float64, device=device)
    for step in range(settings.steps):
        # Also for dropout: the step alone decides.
        torch.manual_seed(sampler.seed * 1_000_003 + step)
        draw = sampler.draw(step).on(device)
        forcing, static = gather_inputs(inputs, draw, memory, months)
        shape = (*forcing.shape[:2], variables, forcing.shape[3])
        hidden = torch.rand(shape, device=device) < settings.masked
        shown = hide(forcing, hidden, inputs.weather.shape[2])
        if isinstance(network, Balance | GasExchange):
            shown, static = network.seen(shown, static)
        features = encoder.features(shown, static, draw.teacher)
        loss = guessing_loss(guess(features), forcing, hidden)
        adam.zero_grad()
        torch.autograd.backward(loss)
        clip_grad_norm_(weights, 1.0)
        adam.step()
        schedule.step()
        since += torch.stack([loss.detach().double(), since.new_ones(())])
        done = step + 1
        if done % ROWS_EVERY == 0 or done == settings.steps:
            metrics.append(
                step=done,
                train_loss=float(since[0] / since[1]),
                rate=float(schedule.get_last_lr()[0]),
                seconds=time.monotonic() - started,
            )
            since.zero_()
    adam.zero_grad()


def hide(forcing: Tensor, hidden: Tensor, weather: int) -> Tensor:
    """Return forcing whose hidden values are 0, their mean, in every unit.

    Args:
        forcing: (sample, time, channel, cell).
        hidden: bool, (sample, time, variable, cell).
        weather: Channels, the first ones, that hold the variables in one unit after
            the other.
    """
    shown = ~hidden.repeat(1, 1, weather // hidden.shape[2], 1)
    return torch.cat([forcing[:, :, :weather] * shown, forcing[:, :, weather:]], dim=2)


def guessing_loss(guess: Tensor, forcing: Tensor, hidden: Tensor) -> Tensor:
    """Return the mean squared error of guesses of what was hidden; ().

    Args:
        guess: Of the last months; (months, sample, cell, variable).
        forcing: Before anything was hidden; (sample, memory + months, channel, cell).
        hidden: bool, (sample, memory + months, variable, cell).
    """
    months, variables = guess.shape[0], hidden.shape[2]
    asked = hidden[:, -months:]
    wrong = guess.permute(1, 0, 3, 2) - forcing[:, -months:, :variables]
    return wrong.square().where(asked, 0.0).sum() / asked.sum().clamp_min(1)


def encoder_of(network: nn.Module) -> Recurrent:
    """Return the encoder of each cell's forcing of a network that has one."""
    inner = network.network if isinstance(network, Balance | GasExchange) else network
    return inner.cell if isinstance(inner, Sinknet) else cast("Recurrent", inner)
