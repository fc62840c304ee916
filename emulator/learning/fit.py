"""``train``: a store and settings in, a run's folder with trained members out."""

import contextlib
import importlib.metadata
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import RichProgressBar
from numpy.typing import NDArray
from torch import Tensor

from emulator.carbon.errors import CheckpointError, SettingsError
from emulator.carbon.timeaxis import YearSplit, years_of
from emulator.data.stores import TRAINING_SCHEMA, open_store
from emulator.data.windows import Cube, load_cube, usable_months
from emulator.learning.batch import TrainingData, inputs_of_cube
from emulator.learning.blocks import Block, answerable, plan_blocks, plan_sliding
from emulator.learning.checkpoint import (
    CHECKPOINT_FILE,
    UNREADABLE,
    Checkpoint,
    save_checkpoint,
)
from emulator.learning.holdout import hide_region
from emulator.learning.losses import AnnualLoss, cell_weights
from emulator.learning.metrics import METRICS_FILE, MetricsFile
from emulator.learning.normalise import Normaliser, fit_normaliser
from emulator.learning.sampler import Sampler
from emulator.learning.settings import (
    TrainSettings,
    settings_to_dict,
    write_settings,
)
from emulator.learning.training import LAST_FILE, EmulatorTraining, Materials, Steps
from emulator.learning.validation import Validation, years_from_first
from emulator.models import NetworkShape

log = logging.getLogger(__name__)

Mask = NDArray[np.bool_]


def train(settings: TrainSettings, store: Path, run_dir: Path) -> Path:
    """Train every member of a run, going on where an earlier call stopped.

    Args:
        settings: The run.
        store: The training store.
        run_dir: Folder of the run; members that are finished there are left alone.

    Returns:
        ``run_dir``, with ``settings.yaml``, ``metrics.csv`` and
        ``members/<seed>/emulator.pt``.

    Raises:
        SettingsError: If settings contradict each other or the store, or the folder
            holds another run.
        StoreError: If the store cannot serve the run.
        CheckpointError: If the state to resume from is damaged.
    """
    split = settings.split.years(settings.model.memory)
    run_dir.mkdir(parents=True, exist_ok=True)
    write_settings(settings, run_dir)
    seeds = range(settings.seed, settings.seed + settings.learning.members)
    folders = {seed: run_dir / "members" / str(seed) for seed in seeds}
    missing = [seed for seed in seeds if not (folders[seed] / CHECKPOINT_FILE).exists()]
    if not missing:
        log.info("Found %s finished.", run_dir)
        return run_dir
    if settings.machine.threads:
        torch.set_num_threads(settings.machine.threads)
    # Vanishing gradients of long memories end as denormal numbers, which a CPU
    # multiplies a hundred times slower than zeros.
    torch.set_flush_denormal(True)
    cube = _load(settings, store)
    for seed in missing:
        log.info("Training member %d in %s.", seed, folders[seed])
        _train_member(settings, split, cube, store, run_dir, seed)
    return run_dir


def _load(settings: TrainSettings, store: Path) -> Cube:
    """Return the cube of the run's variables and simulations."""
    data, model = settings.data, settings.model
    _require_offered("model.fluxes", model.fluxes, data.fluxes)
    _require_offered("model.forcing", model.forcing, data.forcing_variables)
    cube = load_cube(
        store,
        fluxes=model.fluxes or data.fluxes,
        forcing=model.forcing or data.forcing_variables,
        static=data.static_variables,
    )
    learned = settings.learning.simulations
    if not learned:
        return cube
    _require_offered("learning.simulations", learned, cube.simulations)
    # Cells are those of all simulations, so that the run can answer for all.
    rows = [cube.simulations.index(name) for name in learned]
    return replace(
        cube,
        simulations=tuple(learned),
        labels=cube.labels[rows],
        weather=cube.weather[rows],
        co2=cube.co2[rows],
    )


def _require_offered(name: str, asked: Sequence[str], offered: Sequence[str]) -> None:
    """Raise ``SettingsError`` unless all that is asked for is offered."""
    if unknown := [item for item in asked if item not in offered]:
        raise SettingsError(
            f"{name} asks for {unknown}, but the data hold {list(offered)}. Choose "
            f"among these, or add them to the data settings."
        )


@dataclass(frozen=True, eq=False)
class _Outcome:
    """What a stage ends with."""

    weights: dict[str, Tensor]
    normaliser: Normaliser
    shape: NetworkShape
    chosen: Mask
    step: int
    score: float


def _train_member(
    settings: TrainSettings,
    split: YearSplit,
    cube: Cube,
    store: Path,
    run_dir: Path,
    seed: int,
) -> None:
    """Choose the steps on validation years, refit if asked, write ``emulator.pt``."""
    folder = run_dir / "members" / str(seed)
    metrics = run_dir / METRICS_FILE
    years = years_of(cube.months)
    part = np.isin(years, split.years("train"))
    held = split.months("validation", cube.months)
    stop = settings.learning.steps
    outcome = _run_stage(
        settings, cube, part, held, stop, folder, MetricsFile(metrics, seed, "choose")
    )
    validation = outcome.score
    if settings.learning.refit:
        part = np.isin(years, _years_but_test(split))
        outcome = _run_stage(
            settings,
            cube,
            part,
            None,
            outcome.step,
            folder / "refit",
            MetricsFile(metrics, seed, "refit"),
        )
    months = cube.months[outcome.chosen.any(axis=0)]
    checkpoint = Checkpoint(
        weights=outcome.weights,
        normaliser=outcome.normaliser,
        model=settings.model,
        shape=outcome.shape,
        grid=cube.grid,
        cells=cube.cells,
        area=cube.area,
        domain=cube.domain,
        teachers=cube.teachers,
        simulations=cube.simulations,
        fluxes=cube.fluxes,
        forcing=cube.forcing_names,
        static=cube.static_names,
        months_per_block=settings.learning.months_per_sample,
        settings=settings_to_dict(settings),
        about={
            **_provenance(store),
            "seed": seed,
            "step": outcome.step,
            "validation_score": validation,
            "fitted_on": "train and validation" if settings.learning.refit else "train",
            "first_month": str(months[0]),
            "last_month": str(months[-1]),
        },
    )
    save_checkpoint(checkpoint, folder / CHECKPOINT_FILE)


def _years_but_test(split: YearSplit) -> NDArray[np.int64]:
    """Return train and validation years and what lies between, apart from test."""
    spans = (split.train, split.validation)
    years = np.unique(np.concatenate([np.arange(a, b + 1) for a, b in spans]))
    first, last = split.test
    near = (years >= first - split.gap_years) & (years <= last + split.gap_years)
    kept: NDArray[np.int64] = years[~near]
    return kept


def _run_stage(
    settings: TrainSettings,
    cube: Cube,
    part: Mask,
    held: Mask | None,
    stop: int,
    folder: Path,
    metrics: MetricsFile,
) -> _Outcome:
    """Fit one network on the months ``part`` (time,), going on where it stopped."""
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
    )
    validation = None
    if held is not None:
        plan = {
            row: plan_blocks(
                cube.months,
                known[row],
                held & there.months[row],
                length=settings.learning.months_per_sample,
                memory=model.memory,
                is_anchored=model.is_anchored,
            )
            for row in range(len(known))
        }
        if not any(plan.values()):
            raise SettingsError(
                f"No validation month is left: split.validation "
                f"{settings.split.validation} holds no label with {model.memory} "
                f"months of known forcing before it. Move it to years with labels."
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
    materials = Materials(
        data=TrainingData(
            inputs=inputs,
            normaliser=normaliser,
            labels=source.labels,
            chosen=torch.from_numpy(chosen),
            weight=cell_weights(cube.area, normaliser, settings.learning.sd_power),
        ),
        sampler=_sampler(settings, source, plans, seed),
        annual=annual,
        validation=validation,
        metrics=metrics,
        settings=settings.learning,
        memory=model.memory,
        stop=stop,
        folder=folder,
    )
    torch.manual_seed(seed)
    module = EmulatorTraining(model.build(shape), materials)
    _fit(module, settings, folder)
    return _Outcome(
        weights=module.best.state_dict(),
        normaliser=normaliser.to("cpu"),
        shape=shape,
        chosen=chosen,
        step=int(module.best_step),
        score=float(module.best_score),
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
    )


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
    if learning.label_fraction < 1:
        count = max(1, round(len(drawn) * learning.label_fraction))
        order = np.random.default_rng([seed, len(drawn)]).permutation(len(drawn))
        drawn = drawn[np.sort(order[:count])]
    cells = _labelled(cube).cells.any(dim=0).any(dim=0)
    return Sampler(
        drawn,
        np.flatnonzero(cells.numpy()),
        samples=learning.samples_per_batch,
        cells_per_sample=learning.cells_per_batch,
        seed=seed,
    )


def _fit(module: EmulatorTraining, settings: TrainSettings, folder: Path) -> None:
    """Run Lightning to the end of the stage, or find it there."""
    last = folder / LAST_FILE
    work = module.materials
    step = 0
    if last.exists():
        state = _read_state(last)
        step = int(state["global_step"])
        module.load_state_dict(state["state_dict"])
        if bool(module.finished):
            return
        log.info("Going on from step %d.", step)
    work.metrics.rewind(step)
    with _quiet():
        trainer = lightning.Trainer(
            accelerator=settings.machine.accelerator,
            devices=1,
            precision="bf16-mixed" if settings.machine.precision == "bf16" else "32",
            max_steps=work.stop,
            max_epochs=1,
            gradient_clip_val=settings.learning.gradient_clip or None,
            logger=_logger(settings, folder, work.metrics.member),
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
            callbacks=[RichProgressBar()] if sys.stderr.isatty() else None,
            default_root_dir=folder,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            log_every_n_steps=50,
        )
        trainer.fit(
            module,
            train_dataloaders=Steps(work.stop),
            ckpt_path=last if step else None,
            weights_only=True,
        )


def _read_state(path: Path) -> dict[str, Any]:
    """Read the state to resume from.

    Raises:
        CheckpointError: If it is damaged.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: state[key] for key in ("global_step", "state_dict")}
    except (*UNREADABLE, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}), so this member cannot go on "
            f"from there. Remove the file to train the member from the start."
        ) from error


def _logger(settings: TrainSettings, folder: Path, member: int) -> Any:
    """Return W&B's logger if it is chosen; ``metrics.csv`` is written in any case."""
    if settings.logger.kind == "csv":
        return False
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(
        project=settings.logger.project,
        name=f"{settings.name}-{member}",
        save_dir=folder,
        offline=settings.logger.offline,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notes on devices and products out of the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _provenance(store: Path) -> dict[str, Any]:
    """Return what stands behind the labels and the code, as plain text."""
    attributes = open_store(store, TRAINING_SCHEMA).attrs
    about = {
        name: str(attributes.get(name, ""))
        for name in ("evidence", "catalog", "title", "gates_overridden")
    }
    return {
        **about,
        "store": store.name,
        "store_hash": str(attributes.get("settings_hash", "")),
        "code_version": importlib.metadata.version("sink-emulator"),
    }
