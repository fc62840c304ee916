"""Forecasts of the mean of teachers by every member of a run, beside the truth.

This is what intervals are about: one flux and simulation, the mean over teachers as the
sink map publishes it. Errors of single teachers are averaged before anything is made of
them, since what they have in common does not average out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.regions import latitude_bands
from emulator.carbon.timeaxis import MONTHS_PER_YEAR
from emulator.data.windows import Cube
from emulator.evaluation.calibration import CALIBRATION_FILE, Calibration, Key, read
from emulator.evaluation.hindcast import covered
from emulator.evaluation.scores import NET_FLUXES, TRANSIENT
from emulator.evaluation.task import Array, Mask
from emulator.learning.inference import Emulator


@dataclass(frozen=True)
class Subject:
    """What is forecast: a net flux of the simulation with changing climate and CO2."""

    flux: str
    simulation: str


@dataclass(frozen=True, eq=False)
class Forecast:
    """What members say of some months, and what teachers simulated.

    Attributes:
        months: Those with truth, datetime64[M]; shape (time,).
        members: Mean over teachers, kg m-2 s-1, NaN as ``truth``; shape
            (member, time, cell).
        truth: Mean over teachers, kg m-2 s-1, NaN where there is none; shape
            (time, cell).
        teachers: Names of those with labels in all these months.
    """

    months: npt.NDArray[np.datetime64]
    members: Array
    truth: Array
    teachers: tuple[str, ...]

    @property
    def whole(self) -> Mask:
        """Cells with truth in every month; shape (cell,)."""
        return covered(self.truth)


def subject_of(emulator: Emulator) -> Subject:
    """Return what the intervals of a run are about.

    Raises:
        SettingsError: If the run has no net flux, or no transient simulation.
    """
    return choose_subject(emulator.fluxes, emulator.first.simulations)


def choose_subject(fluxes: Sequence[str], simulations: Sequence[str]) -> Subject:
    """Return the net flux and the transient simulation among those learned.

    Raises:
        SettingsError: If there is no net flux, or no transient simulation.
    """
    net = [flux for flux in NET_FLUXES if flux in fluxes]
    transient = [name for name in TRANSIENT if name in simulations]
    if not (net and transient):
        raise SettingsError(
            f"Forecasts need one of the fluxes {', '.join(NET_FLUXES)} and of the "
            f"simulations {', '.join(TRANSIENT)}, but the run learned "
            f"{', '.join(fluxes)} of {', '.join(simulations)}. Take a run that "
            f"learned both."
        )
    return Subject(net[0], transient[0])


def forecast(
    emulator: Emulator, cube: Cube, subject: Subject, wanted: Mask
) -> Forecast:
    """Let every member answer the wanted months that teachers have simulated.

    Args:
        emulator: The members.
        cube: Of the run's store.
        subject: What to forecast.
        wanted: Months; shape (time,).

    Raises:
        SettingsError: If no teacher has a label there.
    """
    labels = labels_of(cube, subject)
    wanted = wanted & np.isfinite(labels).any(axis=(0, 2))
    if not wanted.any():
        raise SettingsError(
            f"No teacher has labels of {subject.flux} in simulation "
            f"{subject.simulation} in the months to forecast. Choose others."
        )
    truth, current = mean_of_teachers(labels[:, wanted], labels[:, wanted])
    one = only(cube, subject.simulation)
    members = []
    for member in emulator.members:
        alone = replace(emulator, members=(member,)).hindcast(one, wanted)
        answer = alone[subject.flux].isel(simulation=0)
        values = answer.transpose("teacher", "time", "cell").to_numpy()[:, wanted]
        members.append(mean_of_teachers(values, labels[:, wanted])[0])
    teachers = tuple(np.array(cube.teachers)[current].tolist())
    return Forecast(cube.months[wanted], np.stack(members), truth, teachers)


def calibration_of(run_dir: Path, emulator: Emulator) -> Calibration | None:
    """Return the calibration of a run; None where it has none.

    Raises:
        SettingsError: If it is that of other networks.
        CheckpointError: If it cannot be read.
    """
    path = run_dir / CALIBRATION_FILE
    if not path.exists():
        return None
    found = read(path)
    if found.about.get("checkpoint") != emulator.sha256:
        raise SettingsError(
            f"{path} belongs to networks {found.about.get('checkpoint', '')[:16]}, but "
            f"the run has {emulator.sha256[:16]}. Remove it and the folder 'origins' "
            f"beside it, and calibrate the run again."
        )
    return found


def labels_of(cube: Cube, subject: Subject) -> Array:
    """Return the labels of the subject, (teacher, time, cell), NaN where none is.

    Raises:
        SettingsError: If the cube lacks the simulation, or it has no label.
    """
    if subject.simulation in cube.simulations:
        row = cube.simulations.index(subject.simulation)
        labels = cube.labels[row, :, :, cube.fluxes.index(subject.flux)].cpu().numpy()
        if np.isfinite(labels).any():
            return np.asarray(labels)
    raise SettingsError(
        f"The store has no label of {subject.flux} in simulation {subject.simulation}, "
        f"so that no forecast of it can be judged. Give the store the run was trained "
        f"on."
    )


def mean_of_teachers(values: Array, labels: Array) -> tuple[Array, Mask]:
    """Average over the teachers that have labels in all months with any.

    A cell that only some teachers have counts as 0 for the others, as it does in their
    totals.

    Args:
        values: Of each teacher, any unit; shape (teacher, time, cell).
        labels: Which say where a teacher has the flux; shape (teacher, time, cell).

    Returns:
        The mean, NaN where no teacher has a label, shape (time, cell); and which
        teachers count, shape (teacher,). A teacher that ends before the last month
        does not, for the mean would jump; where all do, nothing is left.
    """
    known: Mask = np.asarray(np.isfinite(labels))
    months: Mask = np.asarray(known.any(axis=2))
    current: Mask = np.asarray((months | ~months.any(axis=0)).all(axis=1))
    current &= months.any(axis=1)
    known = known[current]
    total = np.where(known, values[current].astype(np.float64), 0.0).sum(axis=0)
    there = known.any(axis=0)
    return np.where(there, total / max(int(current.sum()), 1), np.nan), current


def only(cube: Cube, simulation: str) -> Cube:
    """Return the cube with one of its simulations."""
    row = [cube.simulations.index(simulation)]
    return replace(
        cube,
        simulations=(simulation,),
        labels=cube.labels[row],
        weather=cube.weather[row],
        co2=cube.co2[row],
        slow=cube.slow[row],
    )


def cell_reference(emulator: Emulator, flux: str) -> dict[Key, Array]:
    """Return what fluxes of cells vary by themselves, from the checkpoint.

    The standard deviation of each teacher's monthly anomalies, mean over teachers (0
    where one has no flux); that of a year as if its months were independent. Both are
    scales that factors are multiples of, and need no more than the right pattern.

    Returns:
        For months and years, kg m-2 s-1; each of shape (cell,).
    """
    place = emulator.fluxes.index(flux)
    normaliser = emulator.first.normaliser
    known = normaliser.labelled[:, place].numpy()
    spread = normaliser.spread[:, place].numpy().astype(np.float64)
    month = np.where(known, spread, 0.0).mean(axis=0)
    return {("cell", "month"): month, ("cell", "year"): month / MONTHS_PER_YEAR**0.5}


def bands(
    grid: Grid, cells: npt.NDArray[np.int64], area: Array
) -> tuple[tuple[str, ...], Array]:
    """Return the latitude bands with area, and the share of each cell; (region, cell).

    Args:
        grid: The grid of the map.
        cells: Place of each cell in the flattened map; shape (cell,).
        area: Area of the domain in each cell, m2; shape (cell,).
    """
    found = latitude_bands(grid)
    shares = found.weights.reshape(len(found.regions), -1)[:, cells]
    has_area: Mask = np.asarray((shares * area).any(axis=1))
    names = [name for name, has in zip(found.regions, has_area, strict=True) if has]
    return tuple(names), shares[has_area]
