"""One stage of a member: from the cube's months to fitted weights.

The first stage learns from training years and chooses by validation years; the
second, if asked for, learns from both.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import years_of
from emulator.data.windows import Cube, usable_months
from emulator.learning.batch import Inputs, TrainingData, inputs_of_cube
from emulator.learning.blocks import Block, answerable, plan_blocks, plan_sliding
from emulator.learning.forcing_errors import fit_forcing_errors
from emulator.learning.holdout import hide_region
from emulator.learning.losses import AnnualLoss, cell_weights
from emulator.learning.metrics import MetricsFile
from emulator.learning.normalise import Normaliser, fit_normaliser, seen_weather
from emulator.learning.pretraining import pretrain
from emulator.learning.resampling import resampled
from emulator.learning.sampler import Sampler
from emulator.learning.semisupervised import MeanTeacher
from emulator.learning.settings import TrainSettings
from emulator.learning.trainer import fit_module
from emulator.learning.training import LAST_FILE, EmulatorTraining, Materials
from emulator.learning.unlabelled import open_forcing, open_windows, without
from emulator.learning.validation import Validation, years_from_first
from emulator.learning.weak import WeakLabels, WeakLoss
from emulator.models import NetworkShape, build_network

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a stage ends with.

    Attributes:
        weights: State of the best network.
        normaliser: References and scales, on the CPU.
        shape: Sizes of the network.
        chosen: Months learned from; (simulation, time).
        step: Step of the best network.
        score: Its validation score; NaN without validation.
        is_transductive: Whether it saw forcing of test years, without labels.
    """

    weights: dict[str, Tensor]
    normaliser: Normaliser
    shape: NetworkShape
    chosen: Mask
    step: int
    score: float
    is_transductive: bool


def run_stage(
    settings: TrainSettings,
    cube: Cube,
    part: Mask,
    held: Mask | None,
    stop: int,
    folder: Path,
    metrics: MetricsFile,
    until: int | None = None,
    weak: WeakLabels | None = None,
) -> Outcome:
    """Fit one network, going on where an earlier call stopped.

    Args:
        settings: The run.
        cube: Of the run's variables, on the CPU.
        part: Months to learn from; (time,).
        held: Months to choose by, (time,); None = keep the last weights.
        stop: Steps to do.
        folder: Where the state to resume from is kept.
        metrics: Where rows go; its member is the seed.
        until: Last year whose forcing may be learned from without labels; None = as the
            settings say.
        weak: Annual totals to learn from.

    Raises:
        SettingsError: If no month is left to learn from or to choose by, or the
            training diverges.
        CheckpointError: If the state to resume from is damaged.
    """
    model, seed = settings.model, metrics.member
    folder.mkdir(parents=True, exist_ok=True)
    known = [usable_months(cube, row, 0) for row in range(len(cube.simulations))]
    there = _labelled(cube)
    source = cube
    if settings.split.held_out_region:
        region, buffer = settings.split.held_out_region, settings.split.buffer
        source = hide_region(cube, region, buffer)
    plans = [
        _plan(settings, cube, known[row], part & there.months[row])
        for row in range(len(known))
    ]
    chosen = np.stack([answerable(plan, part.size) for plan in plans])
    if not chosen.any():
        raise SettingsError(
            f"No training month is left: split.train {settings.split.train} holds no "
            f"label with {model.memory} months of known forcing before it. Widen "
            f"split.train, shorten model.memory, or raise data.history_years."
        )
    hidden = there.cells if settings.split.held_out_region else None
    normaliser = fit_normaliser(source, chosen, model, hidden)
    inputs = inputs_of_cube(cube, normaliser)
    annual = AnnualLoss(source, normaliser, chosen)
    shape = NetworkShape(
        inputs=inputs.channels,
        statics=normaliser.static.shape[1],
        outputs=len(cube.fluxes),
        teachers=len(cube.teachers),
        cells=cube.cells,
        grid_shape=cube.grid.shape,
        forcing=cube.forcing_names,
    )
    validation = None
    if held is not None:
        plan = _plan_validation(
            settings,
            cube,
            chosen,
            [known[row] & held & there.months[row] for row in range(len(known))],
        )
        validation = Validation(
            inputs=inputs,
            normaliser=normaliser,
            labels=source.labels,
            area=cube.area,
            annual=annual,
            year=years_from_first(cube.months),
            plan=plan,
            memory=model.memory,
            length=settings.learning.months_per_sample,
            needs_map=model.needs_map,
        )
    data = TrainingData(
        inputs=inputs,
        normaliser=normaliser,
        labels=source.labels,
        chosen=torch.from_numpy(chosen),
        weight=cell_weights(
            cube.area,
            normaliser,
            settings.learning.sd_power,
            settings.learning.component_weight,
        ),
    )
    sampler = _sampler(settings, source, plans, seed)
    unlabelled, mean_teacher = None, None
    if settings.learning.sees_unlabelled:
        unlabelled = _unlabelled(settings, source, known, chosen, until)
    if unlabelled is not None and settings.learning.consistency.weight > 0:
        mean_teacher = _mean_teacher(settings, cube, data, sampler, unlabelled)
    materials = Materials(
        data=data,
        sampler=sampler,
        annual=annual,
        contrast=_contrast(settings, cube, sampler),
        mean_teacher=mean_teacher,
        weak=WeakLoss.of(weak, settings.learning.weak, seed) if weak else None,
        validation=validation,
        metrics=metrics,
        settings=settings.learning,
        memory=model.memory,
        stop=stop,
        folder=folder,
    )
    torch.manual_seed(seed)
    network = build_network(model, shape)
    # A fit that goes on has its weights in the state that it goes on from.
    if unlabelled is not None and not (folder / LAST_FILE).exists():
        _pretrain(network, settings, cube, inputs, sampler, unlabelled, metrics)
    module = EmulatorTraining(network, materials)
    fit_module(module, settings, folder)
    return Outcome(
        weights=module.best.state_dict(),
        normaliser=normaliser.to("cpu"),
        shape=shape,
        chosen=chosen,
        step=int(module.best_step),
        score=float(module.best_score),
        is_transductive=unlabelled is not None and unlabelled.is_transductive,
    )


@dataclass(frozen=True, eq=False)
class _Unlabelled:
    """Windows without a look at labels.

    Attributes:
        windows: Simulation, teacher and first month; (window, 3).
        answered: Months that they answer; (simulation, time).
        is_transductive: Whether forcing of test years is among them.
    """

    windows: NDArray[np.int64]
    answered: Mask
    is_transductive: bool


def _unlabelled(
    settings: TrainSettings,
    cube: Cube,
    known: list[Mask],
    chosen: Mask,
    until: int | None,
) -> _Unlabelled:
    """Return the windows of all forcing that may be learned from."""
    forcing = open_forcing(settings, cube, chosen, until)
    plans = [
        _plan(settings, cube, months & seen, answered)
        for months, seen, answered in zip(
            known, forcing.seen, forcing.answered, strict=True
        )
    ]
    return _Unlabelled(
        open_windows(cube, plans),
        np.stack([answerable(plan, cube.months.size) for plan in plans]),
        forcing.is_transductive,
    )


def _mean_teacher(
    settings: TrainSettings,
    cube: Cube,
    data: TrainingData,
    labelled: Sampler,
    unlabelled: _Unlabelled,
) -> MeanTeacher:
    """Return the consistency term on the windows that are not learned from labels."""
    consistency = settings.learning.consistency
    windows = without(unlabelled.windows, labelled.windows)
    if not len(windows):
        # As at the origins of a calibration, after which nothing is known.
        windows = unlabelled.windows
    # A held-out region is not looked at, even on a whole map.
    there = torch.zeros(cube.cells.numel(), dtype=torch.bool)
    there[torch.from_numpy(labelled.cells)] = True
    return MeanTeacher(
        settings=consistency,
        sampler=Sampler(
            windows,
            labelled.cells,
            samples=consistency.samples,
            cells_per_sample=settings.learning.cells_per_batch,
            seed=labelled.seed,
        ),
        counts=torch.from_numpy(unlabelled.answered),
        weight=data.weight * there,
        errors=fit_forcing_errors(consistency.errors, cube, data.normaliser),
    )


def _pretrain(
    network: nn.Module,
    settings: TrainSettings,
    cube: Cube,
    inputs: Inputs,
    labelled: Sampler,
    unlabelled: _Unlabelled,
    metrics: MetricsFile,
) -> None:
    """Let a network guess hidden forcing, if that is asked for."""
    learning = settings.learning
    if not learning.pretraining.steps:
        return
    device = "cuda" if settings.machine.accelerator == "gpu" else "cpu"
    pretrain(
        network.to(device),
        inputs.to(device),
        Sampler(
            unlabelled.windows,
            labelled.cells,
            samples=learning.pretraining.samples,
            cells_per_sample=learning.cells_per_batch,
            seed=labelled.seed,
        ),
        learning.pretraining,
        MetricsFile(metrics.path, metrics.member, f"pretrain {metrics.stage}"),
        variables=len(cube.forcing_names),
        memory=settings.model.memory,
        months=learning.months_per_sample,
    )


@dataclass(frozen=True, eq=False)
class _Labelled:
    """Where labels are: months (simulation, time), cells (teacher, flux, cell)."""

    months: Mask
    cells: Tensor


def _labelled(cube: Cube) -> _Labelled:
    """Look for labels, one teacher at a time to spare memory."""
    labels = cube.labels
    months = np.zeros((labels.shape[0], labels.shape[2]), bool)
    cells = torch.zeros(labels.shape[1], *labels.shape[3:], dtype=torch.bool)
    for simulation, teacher in np.ndindex(labels.shape[:2]):
        there = labels[simulation, teacher].isfinite()
        months[simulation] |= there.any(dim=-1).any(dim=-1).numpy()
        cells[teacher] |= there.any(dim=0)
    return _Labelled(months, cells)


def _plan(
    settings: TrainSettings, cube: Cube, known: Mask, wanted: Mask
) -> list[Block]:
    """Return the training windows of one simulation."""
    length, memory = settings.learning.months_per_sample, settings.model.memory
    if not settings.learning.aligned:
        return plan_sliding(known, wanted, length=length, memory=memory)
    return plan_blocks(
        cube.months,
        known,
        wanted,
        length=length,
        memory=memory,
        is_anchored=settings.model.is_anchored,
        origin=settings.model.origin,
    )


def _plan_validation(
    settings: TrainSettings, cube: Cube, chosen: Mask, wanted: list[Mask]
) -> dict[int, list[Block]]:
    """Return the validation blocks of each simulation.

    Months whose weather training saw are left out if there are others: a control
    that repeats early weather scores memory, not skill.
    """
    seen = seen_weather(cube, chosen, settings.model.memory)
    weather = cube.weather.numpy()
    fresh = [mask & ~seen[weather[row]] for row, mask in enumerate(wanted)]
    if any(mask.any() for mask in fresh):
        wanted = fresh
    plan = {
        row: plan_blocks(
            cube.months,
            usable_months(cube, row, 0),
            mask,
            length=settings.learning.months_per_sample,
            memory=settings.model.memory,
            is_anchored=settings.model.is_anchored,
            origin=settings.model.origin,
        )
        for row, mask in enumerate(wanted)
    }
    if not any(plan.values()):
        raise SettingsError(
            f"No validation month is left: split.validation "
            f"{settings.split.validation} holds no label with {settings.model.memory} "
            f"months of known forcing before it. Move it to years with labels."
        )
    return plan


def _sampler(
    settings: TrainSettings, cube: Cube, plans: list[list[Block]], seed: int
) -> Sampler:
    """Return the sampler of all windows in which a teacher has labels."""
    windows = [
        (simulation, teacher, block.first)
        for simulation, plan in enumerate(plans)
        for teacher in range(len(cube.teachers))
        for block in plan
        if cube.labels[simulation, teacher, torch.from_numpy(block.kept)]
        .isfinite()
        .any()
    ]
    learning = settings.learning
    drawn = np.array(windows, np.int64).reshape(-1, 3)
    if learning.bootstrap_years:
        drawn = resampled(drawn, years_of(cube.months)[drawn[:, 2]], seed)
    cells = _labelled(cube).cells.any(dim=0).any(dim=0)
    return Sampler(
        drawn,
        np.flatnonzero(cells.numpy()),
        samples=learning.samples_per_batch,
        cells_per_sample=learning.cells_per_batch,
        seed=seed,
        together=bool(learning.contrast),
    )


def _contrast(
    settings: TrainSettings, cube: Cube, sampler: Sampler
) -> tuple[tuple[int, int], int] | None:
    """Return which two of the simulations drawn together are compared, and of how many.

    Raises:
        SettingsError: If a window lacks one, or they did not see the same weather.
    """
    names = settings.learning.contrast
    if not names:
        return None
    drawn = [[cube.simulations[row] for row in group[:, 0]] for group in sampler.groups]
    if any(group != drawn[0] or not set(names) <= set(group) for group in drawn):
        raise SettingsError(
            f"learning.contrast is {names}, but not every window has labels of the "
            f"same simulations with these among them: {drawn[0]}. Name others, or "
            f"leave it empty."
        )
    one, other = (cube.weather[cube.simulations.index(name)] for name in names)
    if not one.equal(other):
        raise SettingsError(
            f"learning.contrast is {names}, but they did not see the same weather, so "
            f"its noise does not cancel. Name two that did, or leave it empty."
        )
    return (drawn[0].index(names[0]), drawn[0].index(names[1])), len(drawn[0])
