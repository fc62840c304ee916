"""Everything that a training run is told."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import YearSplit
from emulator.data.settings import DataSettings
from emulator.data.writing import write_text
from emulator.learning.pretraining import PretrainingSettings
from emulator.learning.semisupervised import ConsistencySettings
from emulator.learning.weak_settings import WeakSettings
from emulator.learning.withheld import LABELS_WITHHELD, keep_early
from emulator.models import (
    ModelSettings,
    RecurrentSettings,
    model_from_dict,
    model_to_dict,
)
from emulator.models.base import require, require_choice

SETTINGS_FILE = "settings.yaml"
ACCELERATORS = ("cpu", "gpu")
PRECISIONS = ("32", "bf16")
LOGGERS = ("csv", "wandb")


@dataclass
class LearningSettings:
    """How a network is fitted.

    Attributes:
        steps: Optimiser steps at most.
        samples_per_batch: Windows (simulation, teacher, months) of a step.
        cells_per_batch: Cells of each window; 0 = all (needed by maps and by the
            annual terms).
        months_per_sample: Months answered in a window; also the blocks of inference.
        aligned: Whether training windows start where the blocks of inference do (12
            months: in January), or in any month.
        simulations: Simulations to learn from; empty = all of the store.
        label_fraction: Share of the years, apart from test, that keep their labels;
            below 1 only for studies of how much data are needed.
        labels_withheld: Which years lose theirs: "late" keeps the early, contiguous
            part, whose last years are then those of validation, "random" draws years
            for each simulation and teacher (``learning.withheld``).
        peak_rate: Learning rate after warm-up.
        weight_decay: Of AdamW.
        warmup_steps: Steps of linear rise of the rate; a cosine to zero follows.
        gradient_clip: Largest norm of the gradient; 0 = no limit.
        ema_decay: Of the running mean of the weights, which is what is validated and
            kept; 0 = the weights themselves.
        validate_every: Steps between two validations.
        patience: Validations without improvement after which training stops.
        selection_annual: Weight of the error of global annual totals in the score
            that chooses the weights; the error of cells has weight 1.
        save_every: Steps between two states to resume from.
        members: Networks of the ensemble, with seeds seed, seed + 1, ...
        refit: Whether to train again on train and validation years, for as many
            steps as validation chose.
        sd_power: Power of a cell's spread in its loss weight: 0 = every square metre
            alike, 2 = every kilogram.
        years_weight: Weight of the error of annual means of cells over a window's whole
            years: months_per_sample a multiple of 12.
        contrast: Two simulations that saw the same weather, [S1, S0]: the error of
            their difference, in annual means of cells, is a term of the loss that shows
            slow effects of CO2 without the noise of weather. All simulations of a
            window are then drawn together; samples_per_batch counts these groups.
        contrast_weight: Its weight.
        season_weight: Weight of the error of the mean seasonal cycle of cells over a
            window's years in the loss; the error of cells has weight 1. It needs whole
            years: months_per_sample a multiple of 12.
        component_weight: Weight of each flux but the first in the loss; the first has
            weight 1.
        annual_weight: Weight of the error of the globe's annual totals in the loss. A
            total is the sum of all cells and of the twelve months of a calendar year:
            an error of a part of it, scaled up, would be mostly that of what the part
            leaves out. So windows must hold all cells (cells_per_batch 0) and begin in
            January (aligned, months_per_sample a multiple of 12).
        regional_weight: The same for latitude bands.
        bootstrap_years: Whether each member learns from years drawn again by its seed,
            in blocks with replacement, so that members differ by their record, too.
        weak: Annual totals as labels, where nothing else is known.
        consistency: A mean teacher, on windows without labels.
        pretraining: Guesses of hidden forcing, before the fit.
        unlabelled_years: First and last year whose forcing these two may see; empty =
            all before the test years, and those with labels to learn from.
        transductive: Whether they may see the forcing of test and withheld years, too;
            recorded in the checkpoint, for scores to be shown apart.
    """

    steps: int = 2500
    samples_per_batch: int = 4
    cells_per_batch: int = 256
    months_per_sample: int = 12
    aligned: bool = True
    simulations: list[str] = field(default_factory=list)
    label_fraction: float = 1.0
    labels_withheld: str = "late"
    peak_rate: float = 3e-3
    weight_decay: float = 1e-2
    warmup_steps: int = 100
    gradient_clip: float = 1.0
    ema_decay: float = 0.995
    validate_every: int = 100
    patience: int = 10
    selection_annual: float = 0.0
    save_every: int = 100
    members: int = 1
    bootstrap_years: bool = False
    refit: bool = False
    sd_power: float = 1.0
    component_weight: float = 1.0
    years_weight: float = 0.0
    contrast: list[str] = field(default_factory=list)
    contrast_weight: float = 1.0
    season_weight: float = 0.0
    annual_weight: float = 0.0
    regional_weight: float = 0.0
    weak: WeakSettings = field(default_factory=WeakSettings)
    consistency: ConsistencySettings = field(default_factory=ConsistencySettings)
    pretraining: PretrainingSettings = field(default_factory=PretrainingSettings)
    unlabelled_years: list[int] = field(default_factory=list)
    transductive: bool = False

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        counts = (
            "steps",
            "samples_per_batch",
            "months_per_sample",
            "validate_every",
            "patience",
            "save_every",
            "members",
        )
        for name in counts:
            value = getattr(self, name)
            require(value >= 1, f"learning.{name}", value, "at least 1")
        limits = (
            "cells_per_batch",
            "weight_decay",
            "warmup_steps",
            "gradient_clip",
            "selection_annual",
            "component_weight",
            "years_weight",
            "contrast_weight",
            "season_weight",
            "annual_weight",
            "regional_weight",
        )
        for name in limits:
            value = getattr(self, name)
            require(value >= 0, f"learning.{name}", value, "0 or more")
        require(self.peak_rate > 0, "learning.peak_rate", self.peak_rate, "positive")
        require(
            0 <= self.ema_decay < 1, "learning.ema_decay", self.ema_decay, "in [0, 1)"
        )
        require(
            0 < self.label_fraction <= 1,
            "learning.label_fraction",
            self.label_fraction,
            "in (0, 1]",
        )
        require_choice(
            "learning.labels_withheld", self.labels_withheld, LABELS_WITHHELD
        )
        if self.has_annual_terms and (
            self.cells_per_batch or self.months_per_sample % 12 or not self.aligned
        ):
            raise SettingsError(
                f"Annual totals in the loss need whole years of all cells, but "
                f"learning.cells_per_batch is {self.cells_per_batch}, "
                f"months_per_sample {self.months_per_sample} and aligned "
                f"{self.aligned}. Set them to 0, 12 and true, or annual_weight and "
                f"regional_weight to 0."
            )
        require(
            not (self.years_weight or self.season_weight or self.contrast)
            or self.months_per_sample % 12 == 0,
            "learning.months_per_sample",
            self.months_per_sample,
            "a multiple of 12 while learning.years_weight or season_weight is not 0, "
            "or learning.contrast not empty",
        )
        require(
            len(set(self.contrast)) == len(self.contrast) in (0, 2),
            "learning.contrast",
            self.contrast,
            "two different simulations, or empty",
        )
        years = self.unlabelled_years
        require(
            not years or (len(years) == 2 and years[0] <= years[1]),
            "learning.unlabelled_years",
            years,
            "[first year, last year]",
        )

    @property
    def sees_unlabelled(self) -> bool:
        """Whether something is learned from forcing without labels."""
        return self.consistency.weight > 0 or self.pretraining.steps > 0

    @property
    def has_annual_terms(self) -> bool:
        """Whether the loss contains annual totals."""
        return self.annual_weight > 0 or self.regional_weight > 0


@dataclass
class SplitSettings:
    """Which years, and which places, are for what.

    Attributes:
        train: First and last year; may contain the other two, which then drop out
            together with a gap as long as the memory.
        validation: First and last year, for early stopping and every choice.
        test: First and last year, which training never touches.
        held_out_region: A region without labels in training ("srex:AMZ",
            "latitude_bands:tropics", "box:SOUTH/NORTH/WEST/EAST"), or null.
        buffer: Distance around it where labels are hidden too, degrees.
        withheld: Years of the training span, such as those of an El Nino, that are
            scored by themselves; nothing is learned, normalised or chosen by them.
        withheld_neighbours: Years on both sides of each that are left out with it, at
            least; the gap of the memory may be longer.
    """

    train: list[int]
    validation: list[int]
    test: list[int]
    held_out_region: str | None = None
    buffer: float = 5.0
    withheld: list[int] = field(default_factory=list)
    withheld_neighbours: int = 1

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        for name in ("train", "validation", "test"):
            span = getattr(self, name)
            ordered = len(span) == 2 and span[0] <= span[1]
            require(ordered, f"split.{name}", span, "[first year, last year]")
        require(self.buffer >= 0, "split.buffer", self.buffer, "0 degrees or more")

    def years(self, memory: int) -> YearSplit:
        """Return the checked split with gaps of ``memory`` months."""
        return YearSplit(
            train=(self.train[0], self.train[1]),
            validation=(self.validation[0], self.validation[1]),
            test=(self.test[0], self.test[1]),
            gap_months=memory,
            withheld=tuple(self.withheld),
            withheld_neighbours=self.withheld_neighbours,
        )


@dataclass
class MachineSettings:
    """Where a run computes.

    Attributes:
        accelerator: "cpu" or "gpu".
        precision: "32", or "bf16" for matrix products in bfloat16.
        threads: Threads of the CPU; 0 = as many as torch finds.
    """

    accelerator: str = "cpu"
    precision: str = "32"
    threads: int = 0

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        require_choice("machine.accelerator", self.accelerator, ACCELERATORS)
        require_choice("machine.precision", self.precision, PRECISIONS)
        require(self.threads >= 0, "machine.threads", self.threads, "0 or more")


@dataclass
class LoggerSettings:
    """Where metrics go beside ``metrics.csv``.

    Attributes:
        kind: "csv" (nowhere else) or "wandb".
        project: Project of Weights & Biases.
        offline: Whether W&B writes to the run's folder only.
    """

    kind: str = "csv"
    project: str = "sink-emulator"
    offline: bool = True

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        require_choice("logger.kind", self.kind, LOGGERS)


@dataclass
class PathsSettings:
    """Where things lie.

    Attributes:
        data: Folder of the files that catalog entries name.
        stores: Folder of prepared stores.
        runs: Folder of runs.
        models: Folder of the runs that nights use.
    """

    data: str = "data"
    stores: str = "stores"
    runs: str = "runs"
    models: str = "models"


@dataclass
class TrainSettings:
    """A training run, stated fully.

    Attributes:
        name: First part of the run's folder name.
        data: What the training store holds.
        model: The network.
        split: Years and places.
        seed: Of everything random.
        learning: The fit.
        machine: Where it computes.
        logger: Where metrics go.
        paths: Where things lie.
    """

    name: str
    data: DataSettings
    model: ModelSettings
    split: SplitSettings
    seed: int = 0
    learning: LearningSettings = field(default_factory=LearningSettings)
    machine: MachineSettings = field(default_factory=MachineSettings)
    logger: LoggerSettings = field(default_factory=LoggerSettings)
    paths: PathsSettings = field(default_factory=PathsSettings)

    def __post_init__(self) -> None:
        """Check what concerns several groups.

        Raises:
            SettingsError: If two settings contradict each other.
        """
        require(self.seed >= 0, "seed", self.seed, "0 or more")
        if "=" in self.name or "/" in self.name or not self.name:
            raise SettingsError(
                f"name is {self.name!r}, but it becomes a folder: use letters, digits, "
                f"'-' and '_'."
            )
        if self.split.held_out_region and self.model.label_climatology != "none":
            raise SettingsError(
                f"model.label_climatology is '{self.model.label_climatology}', but "
                f"labels of the held-out region {self.split.held_out_region} must not "
                f"be known. Set model.label_climatology=none."
            )
        if self.split.held_out_region and self.learning.weak.is_used:
            raise SettingsError(
                f"learning.weak uses annual totals, which hold the labels of the "
                f"held-out region {self.split.held_out_region}. Set learning.weak."
                f"weight and learning.weak.regional_weight to 0."
            )
        if self.model.pools and self.learning.weak.is_used:
            raise SettingsError(
                f"learning.weak uses single years, but the pools of this model carry "
                f"carbon from {self.model.start_year} on. Set learning.weak.weight and "
                f"learning.weak.regional_weight to 0, or leave model.pools empty."
            )
        if self.model.needs_map and self.learning.cells_per_batch:
            raise SettingsError(
                f"This model works on whole maps, but learning.cells_per_batch is "
                f"{self.learning.cells_per_batch}. Set it to 0 (all cells)."
            )
        first, last = self.data.years
        if missing := [y for y in self.split.withheld if not first <= y <= last]:
            raise SettingsError(
                f"split.withheld names {missing}, but the labels of data.name="
                f"{self.data.name} are asked for {first} to {last} only. Choose data "
                f"that reach these years, or leave them out."
            )
        if self.learning.pretraining.steps and not isinstance(
            self.model, RecurrentSettings
        ):
            raise SettingsError(
                f"learning.pretraining.steps is {self.learning.pretraining.steps}, but "
                f"this model has no encoder of each cell's forcing to train before the "
                f"fit. Set it to 0, or choose model=recurrent or model=sinknet."
            )
        if self.model.pools and not self.learning.aligned:
            raise SettingsError(
                "Windows of a model with pools begin with model.start_year, but "
                "learning.aligned is false, which lets them begin in any month. Set "
                "learning.aligned=true."
            )
        length = self.learning.months_per_sample
        if self.model.start_year is not None:
            start, split = self.model.start_year, self.split
            last = max(split.train[1], split.validation[1], split.test[1])
            if length < (wanted := 12 * (last + 1 - start)):
                raise SettingsError(
                    f"Pools are carried through one window, from model.start_year "
                    f"{start} on, but learning.months_per_sample is {length}, and "
                    f"{last}, the last year of the split, ends after {wanted}. Set it "
                    f"to {wanted}, or more for years to come: what lies beyond is "
                    f"never answered."
                )
        if self.model.is_anchored and length % 12 and 12 % length:
            raise SettingsError(
                f"learning.months_per_sample is {length}, but windows of this model "
                f"hang on the calendar. Use a divisor or a multiple of 12."
            )

    def years(self) -> YearSplit:
        """Return the split of years with gaps, as far as labels may be known.

        Raises:
            TimeAxisError: If the spans collide, or the labels that are kept are too
                few for the memory.
        """
        split, learning = self.split.years(self.model.memory), self.learning
        if learning.label_fraction < 1 and learning.labels_withheld == "late":
            return keep_early(split, learning.label_fraction)
        return split


def run_id(settings: TrainSettings) -> str:
    """Return ``<name>-<hash>``: equal for settings that give equal results."""
    text = json.dumps(decisive(settings_to_dict(settings)), sort_keys=True)
    return f"{settings.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def decisive(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those plain settings that decide the result of a run, not where it ran."""
    groups = ("data", "model", "split", "seed", "learning")
    kept = {name: values[name] for name in groups}
    return {**kept, "precision": values["machine"]["precision"]}


def settings_to_dict(settings: TrainSettings) -> dict[str, Any]:
    """Return plain values, for YAML and checkpoints."""
    values = asdict(settings)
    values["model"] = model_to_dict(settings.model)
    return values


def settings_from_dict(values: Mapping[str, Any]) -> TrainSettings:
    """Return settings from what ``settings_to_dict`` made.

    Raises:
        SettingsError: If a group or a setting is unknown or missing.
    """
    groups = dict(values)
    kinds = {
        "data": DataSettings,
        "split": SplitSettings,
        "learning": LearningSettings,
        "machine": MachineSettings,
        "logger": LoggerSettings,
        "paths": PathsSettings,
    }
    for name, kind in kinds.items():
        if name in groups:
            groups[name] = _filled(kind, groups[name], name)
    if "model" in groups:
        groups["model"] = model_from_dict(groups["model"])
    return _filled(TrainSettings, groups, "train")


def write_settings(settings: TrainSettings, folder: Path) -> None:
    """Write ``settings.yaml`` of a run, or check that it is the same run.

    Raises:
        SettingsError: If the folder belongs to a run with other settings.
    """
    path = folder / SETTINGS_FILE
    if path.exists():
        found = read_settings(folder)
        if run_id(found) != run_id(settings):
            raise SettingsError(
                f"{folder} holds the run {run_id(found)}, but these settings make "
                f"{run_id(settings)}. Choose another folder, or remove this one."
            )
        return
    text = yaml.safe_dump(settings_to_dict(settings), sort_keys=False)
    write_text(path, text)


def read_settings(folder: Path) -> TrainSettings:
    """Return the settings of a run.

    Raises:
        SettingsError: If there are none, or they cannot be read.
    """
    path = folder / SETTINGS_FILE
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(
            f"{path} cannot be read ({error}). Give the folder of a training run."
        ) from error
    if not isinstance(values, dict):
        raise SettingsError(
            f"{path} holds no settings. Remove the run and train again."
        )
    return settings_from_dict(values)


Kind = TypeVar("Kind")


def _filled(kind: type[Kind], values: Mapping[str, Any], group: str) -> Kind:
    """Return a dataclass from its values, naming what does not fit."""
    # A dataclass is asked for its fields, which mypy knows of instances only.
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    types = get_type_hints(kind)
    values = {
        name: _filled(types[name], value, f"{group}.{name}")
        if is_dataclass(types.get(name)) and isinstance(value, Mapping)
        else value
        for name, value in values.items()
    }
    if unknown := sorted(set(values) - known):
        raise SettingsError(
            f"'{group}' has no setting {', '.join(unknown)}. It has: "
            f"{', '.join(sorted(known))}."
        )
    try:
        return kind(**values)
    except TypeError as error:
        raise SettingsError(f"'{group}' lacks a setting: {error}.") from error
