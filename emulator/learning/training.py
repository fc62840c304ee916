"""One network fitted on Lightning: one loss, one optimiser, exact resume.

A step is a pure function of the state and of its number: the sampler derives the
batch, and dropout its noise, from (seed, step). All state (weights, running mean,
best weights, optimiser, schedule) is in ``last.ckpt``, so a run that was killed goes
on to the very same weights.
"""

import copy
import math
import operator
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from emulator.carbon.errors import SettingsError
from emulator.learning.batch import TrainingData, gather_batch
from emulator.learning.losses import (
    AnnualLoss,
    cell_loss,
    contrast_loss,
    gradient_balance,
    season_loss,
    years_loss,
)
from emulator.learning.metrics import MetricsFile
from emulator.learning.sampler import Sampler
from emulator.learning.semisupervised import MeanTeacher
from emulator.learning.settings import LearningSettings
from emulator.learning.validation import Validation
from emulator.learning.weak import WeakLoss

LAST_FILE = "last.ckpt"


@dataclass(eq=False)
class Materials:
    """What a fit works with, beside the network.

    Attributes:
        data: Tensors that batches are gathered from.
        sampler: Indices of each step.
        annual: Annual totals in the loss.
        contrast: Places of two simulations among those drawn together, and how many
            these are; None = no term.
        mean_teacher: Months without labels in the loss; None = none.
        weak: Annual totals of years without monthly labels in the loss; None = none.
        validation: What chooses the weights; None = no choice, the last ones stay.
        metrics: Where rows go.
        settings: The fit.
        memory: Months before a window.
        stop: Steps after which the fit ends; the schedule spans ``settings.steps``.
        folder: Where ``last.ckpt`` is.
    """

    data: TrainingData
    sampler: Sampler
    annual: AnnualLoss
    contrast: tuple[tuple[int, int], int] | None
    mean_teacher: MeanTeacher | None
    weak: WeakLoss | None
    validation: Validation | None
    metrics: MetricsFile
    settings: LearningSettings
    memory: int
    stop: int
    folder: Path

    def to(self, device: torch.device) -> None:
        """Move all tensors to ``device``."""
        self.data = self.data.to(device)
        self.annual = self.annual.to(device)
        if self.mean_teacher is not None:
            self.mean_teacher = self.mean_teacher.to(device)
        if self.weak is not None:
            self.weak = self.weak.to(device)
        if self.validation is not None:
            self.validation = self.validation.to(device)


class Steps:
    """Numbers the steps; what a batch holds follows from the number alone.

    Lightning stores and restores its place, and asks for no shuffling of its own.
    """

    def __init__(self, stop: int) -> None:
        """Count to ``stop``."""
        self.stop = stop

    def __len__(self) -> int:
        """Return the number of steps."""
        return self.stop

    def __iter__(self) -> Iterator[int]:
        """Yield the numbers."""
        return iter(range(self.stop))

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the place is Lightning's own count of steps."""
        return {}

    def load_state_dict(self, _: dict[str, Any]) -> None:
        """Need nothing."""


class EmulatorTraining(lightning.LightningModule):
    """Fit a network; no physics, no plots, no data in here.

    Args:
        network: With its first weights.
        materials: Everything else.
    """

    best_score: Tensor
    best_step: Tensor
    stale: Tensor
    finished: Tensor
    loss_sum: Tensor

    def __init__(self, network: nn.Module, materials: Materials) -> None:
        """Copy the network for its running mean and for the best of these."""
        super().__init__()
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.best = copy.deepcopy(self.average)
        self.materials = materials
        self.started = time.monotonic()
        # Buffers, since these decide how a resumed run goes on.
        self.register_buffer("best_score", torch.tensor(math.inf, dtype=torch.float64))
        self.register_buffer("best_step", torch.tensor(0))
        self.register_buffer("stale", torch.tensor(0))
        self.register_buffer("finished", torch.tensor(False))
        self.register_buffer("loss_sum", torch.zeros(2, dtype=torch.float64))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW with a linear warm-up and a cosine over all steps."""
        settings = self.materials.settings
        adam = torch.optim.AdamW(
            self.network.parameters(),
            lr=settings.peak_rate,
            weight_decay=settings.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            adam, lambda step: rate_factor(step, settings.warmup_steps, settings.steps)
        )
        return {
            "optimizer": adam,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_fit_start(self) -> None:
        """Move the data to the network's device."""
        self.materials.to(self.device)

    def training_step(self, _: Any, __: int) -> Tensor:
        """Return the loss of the step that comes next."""
        terms = self.terms(self.global_step)
        loss = reduce(operator.add, terms.values())
        self.loss_sum += torch.stack(
            [loss.detach().double(), self.loss_sum.new_ones(())]
        )
        self.log("loss", loss, prog_bar=True, batch_size=1)
        return loss

    def terms(self, step: int) -> dict[str, Tensor]:
        """Return what a step's loss is the sum of, each times its weight.

        Names are those of ``losses.TERMS``; a term whose weight is 0 is not there.
        """
        work = self.materials
        # Dropout must not depend on how often the run was interrupted.
        torch.manual_seed(work.sampler.seed * 1_000_003 + step)
        draw = work.sampler.draw(step).on(self.device)
        batch = gather_batch(
            work.data, draw, work.memory, work.settings.months_per_sample
        )
        answer = self.network(batch.forcing, batch.static, batch.teacher).float()
        terms = {"cells": cell_loss(answer, batch)}
        if work.settings.years_weight > 0:
            years = years_loss(answer, batch)
            terms["years"] = work.settings.years_weight * years
        if work.contrast is not None:
            contrast = contrast_loss(answer, batch, *work.contrast)
            terms["contrast"] = work.settings.contrast_weight * contrast
        if work.settings.season_weight > 0:
            season = season_loss(answer, batch)
            terms["season"] = work.settings.season_weight * season
        if work.settings.has_annual_terms:
            globe, bands = work.annual(answer, batch)
            if work.settings.annual_weight > 0:
                terms["globe"] = work.settings.annual_weight * globe
            if work.settings.regional_weight > 0:
                terms["bands"] = work.settings.regional_weight * bands
        if work.mean_teacher is not None:
            terms["consistency"] = work.mean_teacher.term(
                self.network,
                self.average,
                work.data,
                step,
                work.memory,
                work.settings.months_per_sample,
            )
        if work.weak is not None and work.weak.is_due(step):
            terms["weak"] = work.weak(
                self.network, work.data, work.annual, work.memory, step
            )
        return terms

    def on_train_batch_end(self, *_: Any) -> None:
        """Follow the weights, validate and save when it is time."""
        step, settings = self.global_step, self.materials.settings
        self._follow(step)
        is_last = step >= self.materials.stop
        if is_last or step % settings.validate_every == 0:
            self._validate(step)
        is_last = is_last or self.trainer.should_stop
        if is_last:
            self._require_score(step)
            self.finished.fill_(True)
        if is_last or step % settings.save_every == 0:
            self.save()

    def save(self) -> None:
        """Write ``last.ckpt`` under its name only when it is whole."""
        path = self.materials.folder / LAST_FILE
        temporary = path.with_suffix(".part")
        try:
            self.trainer.save_checkpoint(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)  # of a disk that is full

    @torch.no_grad()
    def _follow(self, step: int) -> None:
        """Move the running mean towards the weights."""
        # Early on, the mean over all steps so far: first weights are soon forgotten.
        decay = min(self.materials.settings.ema_decay, (1 + step) / (10 + step))
        for mean, value in zip(
            self.average.parameters(), self.network.parameters(), strict=True
        ):
            mean.lerp_(value, 1 - decay)

    def _validate(self, step: int) -> None:
        """Score the running mean, keep it if it is the best, stop if none comes."""
        work = self.materials
        row = {"step": float(step), "rate": self._rate()}
        row["train_loss"] = float(self.loss_sum[0] / self.loss_sum[1])
        row |= self._balance(step)
        row["seconds"] = time.monotonic() - self.started
        if not math.isfinite(row["train_loss"]):
            raise SettingsError(
                f"The loss is {row['train_loss']} before step {step}: training "
                f"diverged. {_cure(work.settings)}"
            )
        self.loss_sum.zero_()
        if work.validation is None:
            self._keep(step, math.nan)
        else:
            scores = work.validation.score(self.average.eval())
            row["validation_cells"] = scores.cells
            row["validation_annual"] = scores.annual
            score = scores.cells
            if work.settings.selection_annual > 0:
                if math.isfinite(scores.cells) and math.isnan(scores.annual):
                    raise SettingsError(
                        f"learning.selection_annual is "
                        f"{work.settings.selection_annual}, but no year of validation "
                        f"has labels in all its months. Set it to 0, or move "
                        f"split.validation to years that are whole."
                    )
                score += work.settings.selection_annual * scores.annual
            if score < float(self.best_score):
                self._keep(step, score)
            else:
                self.stale += 1
            if int(self.stale) >= work.settings.patience:
                self.trainer.should_stop = True
        work.metrics.append(**row)
        if self.trainer.logger is not None:
            self.trainer.logger.log_metrics(row, step)

    def _require_score(self, step: int) -> None:
        """Refuse to end with the first weights, which nothing has chosen."""
        work = self.materials
        if work.validation is not None and not math.isfinite(float(self.best_score)):
            raise SettingsError(
                f"No validation up to step {step} gave a score: training diverged. "
                f"{_cure(work.settings)}"
            )

    @torch.enable_grad()
    def _balance(self, step: int) -> dict[str, float]:
        """Return the pull of each term on the batch of the next step."""
        # In the precision of training; the hook is called outside of it.
        with self.trainer.precision_plugin.train_step_context():
            terms = self.terms(step)
        return gradient_balance(terms, self.network.parameters())

    def _keep(self, step: int, score: float) -> None:
        self.best.load_state_dict(self.average.state_dict())
        self.best_score.fill_(score)
        self.best_step.fill_(step)
        self.stale.zero_()

    def _rate(self) -> float:
        optimizer = self.trainer.optimizers[0]
        return float(optimizer.param_groups[0]["lr"])


def rate_factor(step: int, warmup: int, steps: int) -> float:
    """Return the learning rate of a step as a share of its peak."""
    if step < warmup:
        return (step + 1) / warmup
    done = min((step - warmup) / max(steps - warmup, 1), 1.0)
    return 0.5 * (1 + math.cos(math.pi * done))


def _cure(settings: LearningSettings) -> str:
    """Return what to do against a training that diverged."""
    steps = [
        f"Lower learning.peak_rate ({settings.peak_rate:g})",
        f"raise learning.warmup_steps ({settings.warmup_steps})",
    ]
    if settings.gradient_clip == 0:
        steps.append("set learning.gradient_clip, which is off, to 1")
    return f"{', or '.join(steps)}."
