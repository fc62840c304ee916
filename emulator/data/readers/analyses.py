"""Days and months of reanalyses whose files hold states and rates.

What JRA-3Q and NCEP-DOE have in common: a folder of ``monthly``, ``daily`` and
``hourly`` NetCDF files, where hourly is whatever divides the day. States are of the
moment of their stamp. Rates are means over a step, and whether it begins or ends at
the stamp the files must say by bounds of their time: without, hours of rates are
refused, as an hour more or less is another day. Means of days and months need none.

Wind speed is the mean of the speeds of moments, so that it comes from hourly files
alone. Humidity of a month or a day is the mean; the deficit is computed from means, as
that of ERA5.

Other people's files in other people's units: what was read must also have a mean over
the globe that is near what is observed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import (
    GridMismatchError,
    TimeAxisError,
    UserError,
)
from emulator.carbon.grid import Grid
from emulator.carbon.humidity import missing_vapour, vapour_pressure
from emulator.carbon.variables import RATE
from emulator.data.readers import steps
from emulator.data.readers.fields import attribute
from emulator.data.readers.files import open_netcdf
from emulator.data.readers.plausible import require_plausible
from emulator.data.readers.products import Offering, Piece, Told, converted, stated
from emulator.data.readers.steps import StepFile, Times

Array = NDArray[np.float64]

UNITS = {
    "temperature": "K",
    "humidity": "1",
    "pressure": "Pa",
    "rain": RATE,
    "light": "W m-2",
    "east": "m s-1",
    "north": "m s-1",
}
"""Quantities, and the unit in which each is used. Light is shortwave and downward."""

RATES = ("rain", "light")
"""Those that are means over a step; the others are of moments."""

_SPEED = "speed"
_COMPONENTS = ("east", "north")


@dataclass(frozen=True)
class _Recipe:
    """How a variable comes from means of quantities, in its canonical unit."""

    needs: tuple[str, ...]
    compute: Callable[..., Array]


_RECIPES = {
    "tas": _Recipe(("temperature",), lambda temperature: temperature),
    "pr": _Recipe(("rain",), lambda rain: rain),
    "rsds": _Recipe(("light",), lambda light: light),
    "huss": _Recipe(("humidity",), lambda humidity: humidity),
    "vpd": _Recipe(
        ("temperature", "humidity", "pressure"),
        lambda temperature, humidity, pressure: missing_vapour(
            temperature, vapour_pressure(humidity, pressure)
        ),
    ),
    "sfcWind": _Recipe((_SPEED,), lambda speed: speed),
}

VARIABLES = tuple(_RECIPES)
"""What can be had, by canonical name."""

_HOUR = np.timedelta64(1, "h")


@dataclass(frozen=True)
class Layout:
    """How a reanalysis lays out its files.

    Attributes:
        title: The reanalysis, for people.
        quantity: Returns which quantity a variable of a file is, from the file and the
            variable's name; None if it is none of them.
        hours: From step to step of hourly files, of states and of rates.
    """

    title: str
    quantity: Callable[[Path, str], str | None]
    hours: tuple[int, int]

    def every(self, quantity: str) -> int:
        """Return the hours from step to step of a quantity."""
        return self.hours[quantity in RATES]


class _Key(NamedTuple):
    """Files that hold the same: a quantity at steps of a measure, M, D or h."""

    measure: str
    quantity: str


class _Mean(NamedTuple):
    """A quantity of a month or a day, in its unit of ``UNITS``."""

    values: Array
    grid: Grid
    stated: str
    """The unit of the files."""


@dataclass(frozen=True, eq=False)
class _Files:
    """Files that were looked into.

    Attributes:
        layout: How they are laid out.
        held: The file of each step of a quantity, of several the last modified.
        names: The variable's name, one in all files of a quantity.
    """

    layout: Layout
    held: Mapping[_Key, Mapping[np.datetime64, StepFile]]
    names: Mapping[_Key, str]

    def places(self, quantity: str, when: np.datetime64) -> list[_Key]:
        """Return where all of a quantity is there of a month or a day, or nothing.

        The speed of the wind has two places, those of its components.
        """
        for measure in "M" if when.dtype == np.dtype("M8[M]") else "Dh":
            keys = [_Key(measure, quantity)]
            if quantity == _SPEED:
                keys = [_Key(measure, one) for one in _COMPONENTS]
            is_mean_vector = quantity == _SPEED and measure != "h"
            if not is_mean_vector and all(self._has(key, when) for key in keys):
                return keys
        return []

    def mean(self, keys: Sequence[_Key], when: np.datetime64) -> _Mean:
        """Return a quantity of a month or a day from its places."""
        parts = [self._read(key, when) for key in keys]
        grid = parts[0].grid
        for part in parts:
            _require_same_grid(part.grid, grid, "the components of the wind", when)
        values = parts[0].values
        if len(parts) > 1:
            values = np.hypot(*(part.values for part in parts))
        return _Mean(values.mean(axis=0), grid, parts[0].stated)

    def paths(self, keys: Sequence[_Key], when: np.datetime64) -> list[Path]:
        """Return the files behind some places of a month or a day."""
        return [file.path for key in keys for file in self._files(key, when)]

    def _has(self, key: _Key, when: np.datetime64) -> bool:
        held = self.held.get(key, {})
        return all(step in held for step in self._steps(key, when))

    def _files(self, key: _Key, when: np.datetime64) -> list[StepFile]:
        """Return the files of a quantity of a month or a day, each once."""
        held = self.held[key]
        return list(dict.fromkeys(held[step] for step in self._steps(key, when)))

    def _steps(self, key: _Key, when: np.datetime64) -> Times:
        """Return the steps that make up a month or a day."""
        if key.measure != "h":
            return np.array([when]).astype(f"M8[{key.measure}]")
        hours = np.arange(0, 24, self.layout.every(key.quantity))
        return np.asarray(when.astype("M8[h]") + hours)

    def _read(self, key: _Key, when: np.datetime64) -> _Mean:
        """Return a quantity at some steps; values of shape (time, lat, lon)."""
        files, wanted = self._files(key, when), UNITS[key.quantity]
        slab = steps.read(files, self.names[key], self._steps(key, when))
        what = f"'{self.names[key]}' of {when}"
        values = converted(slab.values.astype(float), slab.units, wanted, what)
        return _Mean(values, slab.grid, slab.units or "")


def find(folder: Path, names: Sequence[str], layout: Layout) -> Offering:
    """Return what a folder has of a reanalysis.

    Args:
        folder: Holds ``monthly``, ``daily``, ``hourly``, or some of them.
        names: Variables that are wanted, of ``VARIABLES``.
        layout: How its files are laid out.

    Returns:
        Months and days of which all variables are there; all of them are final.
    """
    offering = Offering(layout.title)
    needs = list(dict.fromkeys(need for name in names for need in _RECIPES[name].needs))
    files = _looked_into(folder, layout, offering)
    stamps = {
        stamp
        for key, held in files.held.items()
        for stamp in np.array([*held]).astype(
            "M8[M]" if key.measure == "M" else "M8[D]"
        )
    }
    for when in sorted(stamps, key=lambda stamp: stamp.astype("M8[D]")):
        places = {need: files.places(need, when) for need in needs}
        if all(places.values()):
            found = offering.months if when.dtype == "M8[M]" else offering.days
            keys = [key for one in places.values() for key in one]
            paths = dict.fromkeys(files.paths(keys, when))
            found[when] = Piece(tuple(paths), partial(_read, files, places, when))
    if not offering.months and not offering.days:
        held = sorted({f"{name} ({key.measure})" for key, name in files.names.items()})
        offering.refused.append(
            f"{folder} has no whole month and no whole day of {', '.join(needs)} in "
            f"its folders {', '.join(steps.FOLDERS)}; it holds {held}. Get what is "
            f"missing, or correct the folder; docs/data.md says what is needed."
        )
    return offering


def _read(
    files: _Files,
    places: Mapping[str, list[_Key]],
    when: np.datetime64,
    names: tuple[str, ...],
) -> Told:
    """Return variables of a month or a day."""
    needs = dict.fromkeys(need for name in names for need in _RECIPES[name].needs)
    means = {need: files.mean(places[need], when) for need in needs}
    grid = next(iter(means.values())).grid
    for need, mean in means.items():
        _require_same_grid(mean.grid, grid, f"'{need}' and the other variables", when)
    fields, units = {}, {}
    for name in names:
        recipe = _RECIPES[name]
        fields[name] = recipe.compute(*(means[need].values for need in recipe.needs))
        units[name] = stated({need: means[need].stated for need in recipe.needs})
        what = f"{files.layout.title} in {when}"
        require_plausible(name, fields[name], grid, what)
    return Told(fields, grid, is_final=True, units=units)


def _looked_into(folder: Path, layout: Layout, offering: Offering) -> _Files:
    """Return the files of a folder; those that cannot be used are refused."""
    found: dict[_Key, list[StepFile]] = {}
    names: dict[_Key, str] = {}
    for name, measure in steps.FOLDERS.items():
        for path in sorted((folder / name).glob("**/*.nc")):
            try:
                for key, variable, file in _indexed(path, measure, layout):
                    if names.setdefault(key, variable) != variable:
                        raise GridMismatchError(
                            f"{path} has '{variable}', but files beside it "
                            f"'{names[key]}', which is the same on another grid. Keep "
                            f"one of them."
                        )
                    found.setdefault(key, []).append(file)
            except UserError as error:
                offering.refused.append(str(error))
    held = {
        key: {
            step: file
            for file in sorted(files, key=lambda file: file.modified)
            for step in file.steps
        }
        for key, files in found.items()
    }
    return _Files(layout, held, names)


def _indexed(
    path: Path, measure: str, layout: Layout
) -> list[tuple[_Key, str, StepFile]]:
    """Return the quantities of a file, each with its variable's name and its steps."""
    with open_netcdf(path) as opened:
        found = {
            str(name): quantity
            for name, variable in opened.variables.items()
            if variable.ndim >= 3 and (quantity := layout.quantity(path, str(name)))
        }
        begun = {
            name: _begun(opened, path, quantity, layout.every(quantity))
            for name, quantity in found.items()
            if measure == "h"
        }
    indexed = []
    for name, quantity in found.items():
        if measure == "h":
            modified = path.stat().st_mtime_ns
            slab = partial(steps.read_slab, path, begun[name])
            file = StepFile(path, begun[name], frozenset([name]), modified, slab)
        else:
            file = replace(steps.index(path, measure), variables=frozenset([name]))
        indexed.append((_Key(measure, quantity), name, file))
    return indexed


def _begun(opened: xr.Dataset, path: Path, quantity: str, every: int) -> Times:
    """Return the moments of a state, or when the steps of a rate begin; (time,).

    Raises:
        TimeAxisError: If there is no time, steps are not increasing, or bounds of a
            rate are missing or not those of steps.
    """
    if "time" not in opened.variables:
        raise TimeAxisError(
            f"{path} has no time, but the hours of its fields are needed. Get it again."
        )
    time = opened["time"]
    hours = steps.hours_of(time, path)
    if quantity in RATES:
        bounds = opened.get(attribute(time, "bounds") or "")
        if bounds is None:
            raise TimeAxisError(
                f"{path} has rates of hours, but no bounds of time that say whether "
                f"they are of the time before their stamp or after. Get means of days "
                f"or months, or add the bounds."
            )
        first, last = (
            steps.hours_of(time, path, np.asarray(bounds.values)[:, end])
            for end in (0, 1)
        )
        if (last - first != every * _HOUR).any():
            raise TimeAxisError(
                f"{path} has rates of {(last - first).min() / _HOUR:g} to "
                f"{(last - first).max() / _HOUR:g} hours, but {every} are needed. Get "
                f"others, or means of days."
            )
        hours = first
    if (np.diff(hours) <= 0 * _HOUR).any():
        raise TimeAxisError(
            f"{path} has times that do not increase, so that it is not known which of "
            f"two counts. Get it again."
        )
    return hours


def _require_same_grid(grid: Grid, other: Grid, what: str, when: np.datetime64) -> None:
    if not grid.matches(other):
        raise GridMismatchError(
            f"{what} of {when} are on grids of {grid.describe()} and of "
            f"{other.describe()}. Get all on one."
        )
