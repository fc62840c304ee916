"""Rows on the way from a store to a trained network: cube, batches, steps."""

import csv
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from benchmarks.measuring import Cost, Promise, Row, measure
from emulator.carbon.timeaxis import years_of
from emulator.data.windows import Cube, load_cube
from emulator.learning import stage
from emulator.learning.batch import gather_batch
from emulator.learning.metrics import METRICS_FILE, MetricsFile
from emulator.learning.settings import TrainSettings
from emulator.learning.trainer import fit_module
from emulator.learning.training import EmulatorTraining
from emulator.models import model_name

BATCHES = 20
"""Batches of which the median time is taken."""

PASS_SECONDS = 60.0
PASS_THREADS = 2
"""The promise on a pass: LPJ-wsl's training years in a minute on two cores."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A network after some steps.

    Attributes:
        settings: Of the run.
        module: The network with all that it learned from.
        seconds: Of one step, the optimiser and Lightning included.
        cost: Of all of it: references, warm-up and measured steps.
    """

    settings: TrainSettings
    module: EmulatorTraining
    seconds: float
    cost: Cost


def load_row(settings: TrainSettings, store: Path) -> tuple[Cube, Row]:
    """Read the cube of a run."""
    data, model = settings.data, settings.model
    cube, cost = measure(
        lambda: load_cube(
            store,
            fluxes=model.fluxes or data.fluxes,
            forcing=model.forcing or data.forcing_variables,
            static=data.static_variables,
        ),
        "cpu",
    )
    tensors = (cube.labels, cube.forcing, cube.static)
    size = sum(tensor.nbytes for tensor in tensors) / 1e6
    about = (
        f"{size:.0f} MB: {len(cube.cells)} cells, {cube.months.size} months, "
        f"{len(cube.simulations)} simulations, {len(cube.teachers)} teachers, "
        f"{len(cube.fluxes)} flux, {len(cube.forcing_names)} forcing"
    )
    return cube, Row("load the cube", cost.seconds, "s", cost, about)


def fit_some(settings: TrainSettings, cube: Cube, steps: int, folder: Path) -> Fitted:
    """Fit as ``train`` does, without validation, and time the later steps.

    Args:
        settings: The run.
        cube: Of its variables, on the CPU.
        steps: Steps to time; as many are done before to warm up.
        folder: An empty folder for what the fit writes.
    """
    learning = replace(
        settings.learning,
        steps=2 * steps,
        validate_every=steps,
        save_every=2 * steps,
    )
    years = settings.years().years("train")
    part = np.isin(years_of(cube.months), years)
    modules: list[EmulatorTraining] = []

    # A stage keeps its module to itself; sampler and batches are measured on the very
    # same one instead of a copy of the stage's code.
    def fit(module: EmulatorTraining, asked: TrainSettings, place: Path) -> None:
        modules.append(module)
        fit_module(module, asked, place)

    folder.mkdir(parents=True)
    path = folder / METRICS_FILE
    metrics = MetricsFile(path, settings.seed, "benchmark")
    with mock.patch.object(stage, "fit_module", fit):
        _, cost = measure(
            lambda: stage.run_stage(
                replace(settings, learning=learning),
                cube,
                part,
                None,
                2 * steps,
                folder,
                metrics,
            ),
            settings.machine.accelerator,
        )
    with path.open(newline="") as file:
        half, whole = (float(row["seconds"]) for row in csv.DictReader(file))
    return Fitted(settings, modules[0], (whole - half) / steps, cost)


def gather_row(fitted: Fitted) -> Row:
    """Draw and gather batches, as a step does before it computes."""
    work = fitted.module.materials
    device = work.data.labels.device
    numbers = itertools.cycle(range(work.sampler.steps_per_pass))
    batch, cost = measure(
        lambda: gather_batch(
            work.data,
            work.sampler.draw(next(numbers)).on(device),
            work.memory,
            work.settings.months_per_sample,
        ),
        fitted.settings.machine.accelerator,
        times=BATCHES,
        warm_ups=2,
    )
    samples, months, channels, cells = batch.forcing.shape
    about = f"a sample: {months} months, {channels} channels, {cells} cells"
    speed = samples / cost.seconds
    return Row("gather batches", speed, "samples per s", cost, about)


def step_row(fitted: Fitted) -> Row:
    """Tell the time of one step."""
    name = model_name(fitted.settings.model)
    learning = fitted.settings.learning
    weights = sum(value.numel() for value in fitted.module.network.parameters())
    about = (
        f"{weights} weights, {fitted.module.materials.sampler.samples} samples of "
        f"{learning.cells_per_batch or 'all'} cells and {learning.months_per_sample} "
        f"months after {fitted.settings.model.memory} of memory"
    )
    return Row(f"train {name}", fitted.seconds, "s per step", fitted.cost, about)


def pass_row(fitted: Fitted) -> Row:
    """Tell the time in which every training window and cell is seen once."""
    settings = fitted.settings
    steps = fitted.module.materials.sampler.steps_per_pass
    is_promised = (
        settings.data.name == "lpjwsl"
        and settings.machine.accelerator == "cpu"
        and torch.get_num_threads() <= PASS_THREADS
    )
    promise = Promise(PASS_SECONDS, "LPJ-wsl, two cores", is_promised)
    first, last = settings.split.train
    return Row(
        f"one pass of {model_name(settings.model)}",
        steps * fitted.seconds,
        "s",
        fitted.cost,
        f"{steps} steps x time of a step; training years within {first}-{last}",
        promise,
    )
