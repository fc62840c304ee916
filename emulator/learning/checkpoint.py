"""``emulator.pt``: one file with all that inference needs, safe to load.

It holds tensors, numbers and text only, so ``torch.load(weights_only=True)`` reads it
and nothing in it can run.
"""

import hashlib
import os
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emulator.carbon.errors import CheckpointError
from emulator.carbon.grid import Grid
from emulator.learning.normalise import Normaliser
from emulator.models import (
    ModelSettings,
    NetworkShape,
    build_network,
    model_from_dict,
    model_to_dict,
)

FORMAT = 2
"""Raised whenever the layout changes: an old file is refused, never misread."""

CHECKPOINT_FILE = "emulator.pt"

UNREADABLE = (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError)
"""What ``torch.load`` raises for files that are cut short or something else."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """One trained network.

    Attributes:
        weights: State of the network.
        normaliser: References and scales.
        model: Settings of the network.
        shape: Sizes of the network.
        grid: Of the training store.
        cells: Place of each cell in the flattened map; (cell,).
        area: Area of the domain in each cell, m2; (cell,).
        domain: "land" or "ocean".
        teachers: Names, in the order of the embedding; so for the next four.
        simulations: Names.
        fluxes: Names.
        forcing: Names.
        static: Names.
        months_per_block: Length of the blocks of inference.
        settings: All settings of the run, plain.
        about: Provenance: evidence, catalog, store, store_hash, code_version, seed,
            step, validation, fitted_on, first_month and last_month of training.
    """

    weights: dict[str, Tensor]
    normaliser: Normaliser
    model: ModelSettings
    shape: NetworkShape
    grid: Grid
    cells: Tensor
    area: Tensor
    domain: str
    teachers: tuple[str, ...]
    simulations: tuple[str, ...]
    fluxes: tuple[str, ...]
    forcing: tuple[str, ...]
    static: tuple[str, ...]
    months_per_block: int
    settings: dict[str, Any]
    about: dict[str, Any]

    def network(self) -> nn.Module:
        """Return the network with its weights, in evaluation mode.

        Raises:
            CheckpointError: If the weights are those of another network, as where a
                version of the package changed it.
        """
        network = build_network(self.model, self.shape)
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            found = self.about.get("code_version", "unknown")
            raise CheckpointError(
                f"The weights of a network trained with version {found} do not fit "
                f"the network as this version builds it. Remove the run and train "
                f"again, or use the version that wrote it."
            ) from error
        return network.eval()


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint under its name only when it is whole."""
    content = {
        "format": FORMAT,
        "weights": {name: value.cpu() for name, value in checkpoint.weights.items()},
        "normaliser": checkpoint.normaliser.to("cpu").state(),
        "model": model_to_dict(checkpoint.model),
        "inputs": checkpoint.shape.inputs,
        "grid": {
            "lat": torch.from_numpy(np.array(checkpoint.grid.lat)),
            "lon": torch.from_numpy(np.array(checkpoint.grid.lon)),
        },
        "cells": checkpoint.cells.cpu(),
        "area": checkpoint.area.cpu(),
        "domain": checkpoint.domain,
        "teachers": list(checkpoint.teachers),
        "simulations": list(checkpoint.simulations),
        "fluxes": list(checkpoint.fluxes),
        "forcing": list(checkpoint.forcing),
        "static": list(checkpoint.static),
        "memory": checkpoint.model.memory,
        "months_per_block": checkpoint.months_per_block,
        "settings": checkpoint.settings,
        "about": checkpoint.about,
    }
    write_whole(content, path)


def write_whole(content: Any, path: Path) -> None:
    """Save with torch beside ``path``, force it to disk, then rename."""
    temporary = path.with_suffix(path.suffix + ".part")
    with temporary.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        CheckpointError: If the file is missing, damaged, no checkpoint, or of another
            format.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no checkpoint {path}. Train the run to its end, or give the "
            f"folder of another."
        ) from error
    except UNREADABLE as error:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint of this package "
            f"({type(error).__name__}). Remove it and train again, or copy it again."
        ) from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {found}, but this version of the package "
            f"reads {FORMAT}. Train again, or use the version that wrote it."
        )
    try:
        return _from_content(content)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} lacks parts of a checkpoint of format {FORMAT} ({error!r}). Copy "
            f"it again, or train again."
        ) from error


def checkpoint_hash(paths: Sequence[Path]) -> str:
    """Return the sha256 of the members' checkpoints, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _from_content(content: dict[str, Any]) -> Checkpoint:
    normaliser = Normaliser(**content["normaliser"])
    grid = Grid(lat=content["grid"]["lat"].numpy(), lon=content["grid"]["lon"].numpy())
    return Checkpoint(
        weights=content["weights"],
        normaliser=normaliser,
        model=model_from_dict(content["model"]),
        shape=NetworkShape(
            inputs=content["inputs"],
            statics=normaliser.static.shape[1],
            outputs=len(content["fluxes"]),
            teachers=len(content["teachers"]),
            cells=content["cells"],
            grid_shape=grid.shape,
            forcing=tuple(content["forcing"]),
        ),
        grid=grid,
        cells=content["cells"],
        area=content["area"],
        domain=content["domain"],
        teachers=tuple(content["teachers"]),
        simulations=tuple(content["simulations"]),
        fluxes=tuple(content["fluxes"]),
        forcing=tuple(content["forcing"]),
        static=tuple(content["static"]),
        months_per_block=content["months_per_block"],
        settings=content["settings"],
        about=content["about"],
    )


def checkpoint_paths(run: Path) -> list[Path]:
    """Return the members' checkpoints of a run's folder, or the one file itself.

    Raises:
        CheckpointError: If there is none.
    """
    if run.is_file():
        return [run]
    paths = sorted(run.glob(f"members/*/{CHECKPOINT_FILE}"))
    if not paths:
        raise CheckpointError(
            f"{run} holds no members/*/{CHECKPOINT_FILE}. Give the folder of a "
            f"finished training run, or one {CHECKPOINT_FILE}."
        )
    return paths
