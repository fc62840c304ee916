"""ERA5 and ERA5-Land with their preliminary ERA5T, as the Climate Data Store has them.

A folder holds ``monthly``, ``daily`` and ``hourly`` files: NetCDF of the old layout
(``expver`` a dimension, of two versions one has a value) or the new one
(``valid_time``, ``expver`` along it), GRIB (``era5_grib``), or zips of them. A month
comes from the monthly files, which forcing is prepared from, or from all its days; a
day from the daily files, or from its 24 hours.

Amounts of rain and radiation are of the hour that ends at the stamp: those of a day
are stamped 01 to 00 of the next day, which may be in the next month's file. ERA5-Land
counts on from midnight, and the stamp 00 of the next day has the whole day. Days and
months have amounts per day. Stamps of temperature, pressure and wind are moments: those
of a day are 00 to 23.

Humidity is computed from means of the day or the month, not from hours, so that a
running month and the monthly files agree; the deficit is therefore below the mean of
hourly deficits (see ``carbon.humidity``). Wind speed is the mean of the speeds of all
hours; that of a mean vector is no mean speed and is not used.

Source:
    ERA5 and ERA5-Land data documentation, ECMWF; Hersbach et al. (2020), QJRMS 146;
    Munoz-Sabater et al. (2021), ESSD 13. Short names: the same; each is held against
    the unit that the file states and, later, the range of the archive.
"""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, UserError
from emulator.carbon.grid import Grid
from emulator.data.readers import era5_grib, steps
from emulator.data.readers.era5_quantities import (
    AMOUNTS,
    COMPONENTS,
    RECIPES,
    SPEED,
    UNITS,
    needed,
)
from emulator.data.readers.plausible import mean_of
from emulator.data.readers.products import Offering, Piece, Told, converted, stated
from emulator.data.readers.steps import StepFile
from emulator.data.readers.zipped import SUFFIXES, unpack

log = logging.getLogger(__name__)

Array = NDArray[np.float64]
Times = NDArray[np.datetime64]

_ROUNDING = 2e-3
"""Share of the largest amount by which packing in 16 bits may make one smaller."""


_USUAL_DAY = {"tp": 2.7e-3, "ssrd": 1.6e7}
"""Rain (m) and radiation (J m-2, 185 W m-2) of a day on the mean of the globe (Adler et
al. 2017, Surveys in Geophysics 38; Wild et al. 2015, Climate Dynamics 44)."""


class _Mean(NamedTuple):
    """A quantity of a month or a day, in its unit of ``UNITS``."""

    values: Array
    grid: Grid
    is_final: bool
    stated: str
    """The unit of the files."""


@dataclass(frozen=True, eq=False)
class _Files:
    """Files of one length of step.

    Attributes:
        files: The files.
        measure: "M", "D" or "h".
        counts_on: Whether amounts count on from midnight (ERA5-Land).
    """

    files: list[StepFile]
    measure: str
    counts_on: bool

    def has(self, name: str, when: np.datetime64) -> bool:
        """Return whether all of a quantity is there in a month or on a day."""
        if steps.there(self.files, name, self._steps(name, when)):
            return True
        if name != SPEED or self.measure != "h":
            return False
        return all(self.has(one, when) for one in COMPONENTS)

    def mean(self, name: str, when: np.datetime64) -> _Mean:
        """Return a quantity of a month or a day, or its amount per day."""
        wanted = self._steps(name, when)
        if name == SPEED and not steps.there(self.files, name, wanted):
            return self._mean_speed(wanted)
        hours, grid, is_final, unit = self._read(name, wanted)
        if self.measure == "D" and name in AMOUNTS:
            _require_day(hours, grid, name, when)
        if self.measure != "h" or name not in AMOUNTS:
            return _Mean(hours.mean(axis=0), grid, is_final, unit)
        if self.counts_on:
            _require_counting_on(hours, name, when)
            return _Mean(hours[-1], grid, is_final, unit)
        _require_hourly(hours, name, when)
        return _Mean(hours.sum(axis=0), grid, is_final, unit)

    def _mean_speed(self, wanted: Times) -> _Mean:
        """Return the mean of the speeds of some hours."""
        east, north = (self._read(one, wanted) for one in COMPONENTS)
        if not east.grid.matches(north.grid):
            raise GridMismatchError(
                f"{' and '.join(COMPONENTS)} of {wanted[0]} are on different grids. "
                f"Get both in one request."
            )
        speed = np.hypot(east.values, north.values).mean(axis=0)
        is_final = east.is_final and north.is_final
        return _Mean(speed, east.grid, is_final, east.stated)

    def paths(self, names: Sequence[str], when: np.datetime64) -> tuple[Path, ...]:
        """Return the files that hold some quantities at a time."""
        wanted = set(names) | (set(COMPONENTS) if SPEED in names else set())
        return tuple(
            file.path
            for file in self.files
            for name in sorted(wanted & file.variables)
            if np.isin(self._steps(name, when), file.steps).any()
        )

    def _steps(self, name: str, when: np.datetime64) -> Times:
        """Return the steps that make up a month or a day."""
        if self.measure != "h":
            return np.array([when]).astype(f"M8[{self.measure}]")
        hours = np.arange(24)
        if name in AMOUNTS:
            # Noon, too: an amount that counts on is nowhere less at midnight.
            hours = np.array([12, 24]) if self.counts_on else hours + 1
        return np.asarray(when.astype("M8[h]") + hours)

    def _read(self, name: str, wanted: Times) -> _Mean:
        """Return a quantity at some steps; values of shape (time, lat, lon)."""
        slab = steps.read(self.files, name, wanted)
        what = f"'{name}' of {wanted[0]}"
        values = converted(slab.values.astype(float), slab.units, UNITS[name], what)
        return _Mean(values, slab.grid, bool(slab.is_final.all()), slab.units or "")


def find(
    folder: Path, names: Sequence[str], unpacked: Path, *, counts_on: bool = False
) -> Offering:
    """Return what a folder of the Climate Data Store's files has.

    Args:
        folder: Holds ``monthly``, ``daily``, ``hourly``, or some of them.
        names: Variables that are wanted, of ``VARIABLES``.
        unpacked: Folder for what zips hold.
        counts_on: Whether hourly amounts count on from midnight (ERA5-Land).

    Returns:
        Months and days of which all variables are there.
    """
    offering = Offering("ERA5-Land" if counts_on else "ERA5")
    needs = sorted(needed(names))
    variables: set[str] = set()
    used: set[Path] = set()
    for name, measure in steps.FOLDERS.items():
        files = []
        for path in _plain(folder / name, unpacked, offering):
            try:
                files += _indexed(path, measure, counts_on=counts_on)
            except UserError as error:
                offering.refused.append(str(error))
        used |= {file.path.parent for file in files}
        variables = variables.union(*(file.variables for file in files))
        held = _Files(files, measure, counts_on)
        found = offering.months if measure == "M" else offering.days
        times = _times(files, measure)
        for when in times:
            if when not in found and all(held.has(need, when) for need in needs):
                read = partial(_read, held, when)
                found[when] = Piece(held.paths(needs, when), read)
        if measure == "M" and times and times[-1] not in found:
            missing = [need for need in needs if not held.has(need, times[-1])]
            log.warning("%s waits for %s in %s", times[-1], missing, folder / name)
    if not offering.months and not offering.days:
        offering.refused.append(
            f"{folder} has no whole month and no whole day of {', '.join(needs)} in "
            f"its folders {', '.join(steps.FOLDERS)}; it holds {sorted(variables)}. "
            f"Get what is missing, or correct the folder; docs/data.md says what is "
            f"needed."
        )
    for path in unpacked.glob("*") if unpacked.is_dir() else ():
        if path not in used:
            shutil.rmtree(path)
    return offering


def _indexed(path: Path, measure: str, *, counts_on: bool) -> list[StepFile]:
    """Return what a file holds; of GRIB each variable by itself."""
    if path.suffix == ".nc":
        return [steps.index(path, measure)]
    return era5_grib.index(path, measure, counts_on=counts_on)


def _read(held: _Files, when: np.datetime64, names: tuple[str, ...]) -> Told:
    """Return variables of a month or a day."""
    means = {need: held.mean(need, when) for need in needed(names)}
    grid = next(iter(means.values())).grid
    for need, mean in means.items():
        if not mean.grid.matches(grid):
            raise GridMismatchError(
                f"'{need}' of {when} is on a grid of {mean.grid.describe()}, but the "
                f"other variables on {grid.describe()}. Get all from one product."
            )
    fields, units = {}, {}
    for name in names:
        recipe = RECIPES[name]
        fields[name] = recipe.compute(*(means[need].values for need in recipe.needs))
        units[name] = stated({need: means[need].stated for need in recipe.needs})
    return Told(fields, grid, all(mean.is_final for mean in means.values()), units)


def _plain(folder: Path, unpacked: Path, offering: Offering) -> list[Path]:
    """Return the NetCDF and GRIB files of a folder, those in zips unpacked."""
    found = []
    for path in sorted(folder.glob("**/*")):
        if path.suffix in SUFFIXES and path.is_file():
            found.append(path)
        elif path.suffix == ".zip" and path.is_file():
            status = path.stat()
            place = f"{path.stem}-{status.st_size}-{status.st_mtime_ns}"
            try:
                found += unpack(path, unpacked / place)
            except UserError as error:
                offering.refused.append(str(error))
    return found


def _times(files: Sequence[StepFile], measure: str) -> list[np.datetime64]:
    """Return the months, or the days, that files may hold, in order."""
    wanted = "M" if measure == "M" else "D"
    found = {when for file in files for when in file.steps.astype(f"M8[{wanted}]")}
    return sorted(found)


def _require_day(values: Array, grid: Grid, name: str, when: np.datetime64) -> None:
    """Refuse means of hours: the Climate Data Store makes days of either kind."""
    mean = mean_of(values[0], grid)
    usual = _USUAL_DAY[name]
    if not mean > usual / np.sqrt(24):
        raise UserError(
            f"'{name}' of the day {when} is {mean:.3g} {UNITS[name]} on the mean of "
            f"the globe, where {usual:.2g} is usual: it is the mean of its hours, but "
            f"their sum is needed. Ask for the daily sum, or for hours."
        )


def _require_hourly(values: Array, name: str, when: np.datetime64) -> None:
    """Refuse amounts that count on: their sum would be twelve times too much."""
    falls = (np.diff(values, axis=0) < 0).any()
    more = np.diff(np.nansum(values, axis=(1, 2))) > 0
    # Somewhere it rains in most hours, and nowhere does rain end.
    if not falls and more.mean() > 0.5:
        raise UserError(
            f"'{name}' of {when} grows all day and everywhere, so that it counts on "
            f"from midnight, but amounts of single hours are needed. Name the reader "
            f"era5_land if it is ERA5-Land."
        )


def _require_counting_on(values: Array, name: str, when: np.datetime64) -> None:
    """Refuse amounts of single hours."""
    noon, midnight = values
    if (noon - midnight > _ROUNDING * np.nanmax(values)).any():
        raise UserError(
            f"'{name}' of {when} falls from noon to midnight, so that it is of single "
            f"hours, but amounts that count on from midnight are needed. Name the "
            f"reader era5 if it is ERA5."
        )
