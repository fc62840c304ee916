"""``train``: a store and settings in, a run's folder with trained members out."""

import importlib.metadata
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import YearSplit, years_of
from emulator.data.stores import TRAINING_SCHEMA, open_store
from emulator.data.windows import Cube, Cut, load_cube
from emulator.learning.checkpoint import CHECKPOINT_FILE, Checkpoint, save_checkpoint
from emulator.learning.drift import control_drifts
from emulator.learning.metrics import METRICS_FILE, MetricsFile
from emulator.learning.settings import (
    LoggerSettings,
    TrainSettings,
    settings_to_dict,
    write_settings,
)
from emulator.learning.stage import Outcome, run_stage
from emulator.learning.sweeps import member_folders
from emulator.learning.weak import WeakLabels, gather_weak
from emulator.learning.withheld import withhold_late, withhold_random, years_but_test

log = logging.getLogger(__name__)

PROVENANCE = ("evidence", "catalog", "title", "gates_overridden", "own_state")
"""Attributes of the training store that travel in the checkpoint."""


def train(
    settings: TrainSettings, store: Path, run_dir: Path, *, cut: Cut | None = None
) -> Path:
    """Train every member of a run, going on where an earlier call stopped.

    Args:
        settings: The run.
        store: The training store.
        run_dir: Folder of the run; members that are finished there are left alone.
        cut: Takes out of the store what the run may not know.

    Returns:
        ``run_dir``, with ``settings.yaml``, ``metrics.csv`` and
        ``members/<seed>/emulator.pt``.

    Raises:
        SettingsError: If settings contradict each other or the store, or the folder
            holds another run.
        StoreError: If the store cannot serve the run.
        CheckpointError: If the state to resume from is damaged.
    """
    split = settings.years()
    if settings.machine.accelerator == "gpu" and not torch.cuda.is_available():
        raise SettingsError(
            "machine.accelerator is 'gpu', but torch finds none here. Choose "
            "machine=cpu, or install the build of torch for your GPU."
        )
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        write_settings(settings, run_dir)
    except OSError as error:
        raise SettingsError(
            f"The run's folder {run_dir} cannot be written: {error.strerror}. Choose "
            f"another with paths.runs, or make it writable."
        ) from error
    folders = member_folders(settings, run_dir)
    missing = [
        seed
        for seed, folder in folders.items()
        if not (folder / CHECKPOINT_FILE).exists()
    ]
    if not missing:
        log.info("Found %s finished.", run_dir)
        return run_dir
    _warn_of_idle(settings)
    cube = training_cube(settings, store, cut)
    known = with_known_labels(cube, settings)
    weak = _weak_labels(settings, cube, known)
    drift = json.dumps(control_drifts(store))
    with _computing(settings.machine.threads):
        for seed in missing:
            log.info("Training member %d in %s.", seed, folders[seed])
            _train_member(settings, split, known, store, run_dir, seed, weak, drift)
    return run_dir


def _warn_of_idle(settings: TrainSettings) -> None:
    """Name settings that change nothing, as they may in one arm of a sweep."""
    learning = settings.learning
    if learning.sees_unlabelled:
        return
    for name in ("unlabelled_years", "transductive"):
        if value := getattr(learning, name):
            log.warning(
                "learning.%s is %s, but nothing learns from forcing without labels: "
                "learning.consistency.weight and learning.pretraining.steps are 0. "
                "Set one of them, or leave it out.",
                name,
                value,
            )


@contextmanager
def _computing(threads: int) -> Iterator[None]:
    """Set how the CPU computes while networks are trained.

    Vanishing gradients of long memories end as denormal numbers, which a CPU multiplies
    a hundred times slower than zeros; other code of the process may need them.
    """
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def refit(
    settings: TrainSettings,
    cube: Cube,
    store: Path,
    years: NDArray[np.int64],
    steps: Mapping[int, int],
    folder: Path,
    until: int | None = None,
) -> Path:
    """Train members anew on some years, without a choice of their own.

    All else is as ``train`` fits again with ``learning.refit``.

    Args:
        settings: The run.
        cube: As ``training_cube`` returns it.
        store: The training store.
        years: Calendar years whose labels are learned; shape (year,).
        steps: Steps of each member, by seed.
        folder: Where the members go, as into a run's folder; those that are finished
            there are left alone.
        until: Last year of which labels, annual totals and forcing without labels are
            known; None = of all that the cube holds.

    Returns:
        ``folder``.

    Raises:
        SettingsError: If no month is left to learn from, weak labels have no unit, or
            the training diverges.
        CheckpointError: If the state to resume from is damaged.
    """
    # Fits behind a run, such as those of a calibration, are no runs to be tracked.
    settings = replace(settings, logger=LoggerSettings())
    folder.mkdir(parents=True, exist_ok=True)
    folders = {seed: folder / "members" / str(seed) for seed in steps}
    missing = [s for s in steps if not (folders[s] / CHECKPOINT_FILE).exists()]
    if not missing:
        return folder
    known = with_known_labels(cube, settings)
    weak = _weak_labels(settings, cube, known, until)
    part = np.isin(years_of(cube.months), years)
    fitted_on = f"labels of {years.min()} to {years.max()}"
    with _computing(settings.machine.threads):
        for seed in missing:
            log.info("Training member %d on %s.", seed, fitted_on)
            outcome = run_stage(
                settings,
                known,
                part,
                None,
                steps[seed],
                folders[seed],
                MetricsFile(folder / METRICS_FILE, seed, "refit"),
                until,
                weak,
            )
            checkpoint = _checkpoint(
                settings, known, store, outcome, seed, np.nan, fitted_on, weak
            )
            save_checkpoint(checkpoint, folders[seed] / CHECKPOINT_FILE)
    return folder


def training_cube(settings: TrainSettings, store: Path, cut: Cut | None = None) -> Cube:
    """Return the cube of the run's variables and simulations, with all labels.

    Args:
        settings: The run.
        store: The training store.
        cut: Takes out of the store what the run may not know.

    Raises:
        SettingsError: If settings ask for what the data do not offer.
        StoreError: If the store cannot serve the run.
    """
    data, model = settings.data, settings.model
    _require_offered("model.fluxes", model.fluxes, data.fluxes)
    _require_offered("model.forcing", model.forcing, data.forcing_variables)
    cube = load_cube(
        store,
        fluxes=model.fluxes or data.fluxes,
        forcing=model.forcing or data.forcing_variables,
        static=data.static_variables,
        co2_as=model.co2_as,
        slow_years=model.slow_years,
        cut=cut,
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
        slow=cube.slow[rows],
    )


def with_known_labels(cube: Cube, settings: TrainSettings) -> Cube:
    """Return the cube without the labels that are withheld from the run."""
    learning = settings.learning
    if learning.label_fraction == 1:
        return cube
    split = settings.years()
    if learning.labels_withheld == "late":
        return withhold_late(cube, int(years_but_test(split)[-1]))
    return withhold_random(cube, split, learning.label_fraction, settings.seed)


def _weak_labels(
    settings: TrainSettings, whole: Cube, known: Cube, until: int | None = None
) -> WeakLabels | None:
    """Return the annual totals that the run learns from, of years up to ``until``."""
    split = settings.split.years(settings.model.memory)
    return gather_weak(
        settings.learning.weak,
        whole,
        known,
        years_but_test(split),
        np.union1d(split.years("test"), split.years("withheld")),
        settings.years().years("train"),
        settings.model.memory,
        scaled_by_own=settings.model.label_climatology != "none",
        until=until,
    )


def _require_offered(name: str, asked: Sequence[str], offered: Sequence[str]) -> None:
    """Raise ``SettingsError`` unless all that is asked for is offered."""
    if unknown := [item for item in asked if item not in offered]:
        raise SettingsError(
            f"{name} asks for {unknown}, but the data hold {list(offered)}. Choose "
            f"among these, or add them to the data settings."
        )


def _train_member(
    settings: TrainSettings,
    split: YearSplit,
    cube: Cube,
    store: Path,
    run_dir: Path,
    seed: int,
    weak: WeakLabels | None,
    drift: str,
) -> None:
    """Choose the steps on validation years, refit if asked, write ``emulator.pt``."""
    folder = run_dir / "members" / str(seed)
    metrics = run_dir / METRICS_FILE
    years = years_of(cube.months)
    part = np.isin(years, split.years("train"))
    held = split.months("validation", cube.months)
    stop = settings.learning.steps
    outcome = run_stage(
        settings,
        cube,
        part,
        held,
        stop,
        folder,
        MetricsFile(metrics, seed, "choose"),
        weak=weak,
    )
    validation = outcome.score
    if settings.learning.refit:
        part = np.isin(years, years_but_test(split))
        outcome = run_stage(
            settings,
            cube,
            part,
            None,
            outcome.step,
            folder / "refit",
            MetricsFile(metrics, seed, "refit"),
            weak=weak,
        )
    fitted_on = "train and validation" if settings.learning.refit else "train"
    checkpoint = _checkpoint(
        settings, cube, store, outcome, seed, validation, fitted_on, weak, drift
    )
    save_checkpoint(checkpoint, folder / CHECKPOINT_FILE)


def _checkpoint(
    settings: TrainSettings,
    cube: Cube,
    store: Path,
    outcome: Outcome,
    seed: int,
    validation: float,
    fitted_on: str,
    weak: WeakLabels | None = None,
    drift: str = "{}",
) -> Checkpoint:
    """Return what a member leaves behind."""
    months = cube.months[outcome.chosen.any(axis=0)]
    return Checkpoint(
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
            "fitted_on": fitted_on,
            "transductive": outcome.is_transductive or bool(weak and weak.of_test),
            "weak_labels": weak.about if weak else "",
            "weak_years": weak.years if weak else {},
            "drift": drift,
            "first_month": str(months[0]),
            "last_month": str(months[-1]),
        },
    )


def _provenance(store: Path) -> dict[str, Any]:
    """Return what stands behind the labels and the code, as plain text."""
    attributes = open_store(store, TRAINING_SCHEMA).attrs
    about = {name: str(attributes.get(name, "")) for name in PROVENANCE}
    return {
        **about,
        "store": store.name,
        "store_hash": str(attributes.get("settings_hash", "")),
        "code_version": importlib.metadata.version("sink-emulator"),
    }
