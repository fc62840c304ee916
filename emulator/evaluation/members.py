"""What each network of an ensemble says, under the forcing of the run or another."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import as_months
from emulator.data.stores import FORCING_SCHEMA, open_store
from emulator.data.windows import Cube
from emulator.evaluation.forecasts import only
from emulator.evaluation.metrics import Months
from emulator.evaluation.task import Array, Mask
from emulator.learning.inference import Emulator


def hindcasts(
    emulator: Emulator, cube: Cube, flux: str, simulation: str, wanted: Mask
) -> Array:
    """Let every member answer for what a simulation saw.

    Args:
        emulator: The members.
        cube: Of the run's store.
        flux: Name of the flux.
        simulation: Name of the simulation.
        wanted: Months; shape (time,).

    Returns:
        kg m-2 s-1; shape (member, teacher, wanted month, cell).
    """
    one = only(cube, simulation)
    found = []
    for member in emulator.members:
        answer = replace(emulator, members=(member,)).hindcast(one, wanted)[flux]
        values = answer.isel(simulation=0).transpose("teacher", "time", "cell")
        found.append(values.to_numpy()[:, wanted])
    return np.stack(found)


def predictions(
    emulator: Emulator, teachers: tuple[str, ...], flux: str, path: Path, months: Months
) -> Array:
    """Let every member answer under the forcing of another store.

    Args:
        emulator: The members.
        teachers: Names.
        flux: Name of the flux.
        path: A store made by ``prepare forcing=NAME``, on the run's grid.
        months: Which months, datetime64[M]; shape (time,).

    Returns:
        kg m-2 s-1; shape (member, teacher, time, cell).

    Raises:
        SettingsError: If the forcing does not reach all of the months.
        CheckpointError: If it lacks what the run needs, or is on another grid.
        StoreError: If it is no forcing store.
    """
    forcing = open_store(path, FORCING_SCHEMA)
    cells = emulator.cells.numpy()
    found = []
    for member in emulator.members:
        answer = replace(emulator, members=(member,)).predict(
            forcing, teachers=teachers
        )
        there = as_months(answer["time"].to_numpy())
        if not np.isin(months, there).all():
            raise SettingsError(
                f"other_forcing={path} gives answers for {there[0]} to {there[-1]}, "
                f"but {months[0]} to {months[-1]} are scored. Prepare forcing that "
                f"covers them and, before them, {emulator.needs}."
            )
        values = answer[flux].transpose("teacher", "time", "lat", "lon").to_numpy()
        packed = values.reshape(*values.shape[:2], -1)[..., cells]
        found.append(packed[:, np.searchsorted(there, months)])
    return np.stack(found)
