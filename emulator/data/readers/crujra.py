"""CRU-JRA: the forcing that TRENDY's land models saw, 6-hourly on land at 0.5 degree.

A file holds a variable and a year, ``crujra.v3.5d.tmp.1901.365d.noc.nc`` or ``.nc.gz``
(``.5d`` is half a degree; ``pre`` may have a version of its own), and always 1460
steps: there is no 29 February. Shortwave radiation has other files,
``tswrf_gcb2025_1901.nc.gz`` (before: ``tswrf_v10_...`` to ``tswrf_v12_...``); of the
diffuse part, ``fd_...``, nothing is made. Its time axes are known to be of all kinds:
steps are counted, and must increase.

Months have the days of a calendar without leap days. Rain is an amount of 6 hours, mm;
radiation a mean, or, in old files named ``dswrf``, an amount of 6 hours. A unit that a
file states counts; one that states none has that of the documentation, and all must
have a mean over the land that is near what is observed. Humidity is
computed from monthly means, as that of ERA5 is, so that the two compare; wind speed is
the mean of 6-hourly speeds.

A yearly product: it trains, but no night can wait for it. Years before 1958 have the
weather of others.

Source:
    Harris (CRU) and others, CRU JRA v2.5 to v3, NERC EDS Centre for Environmental Data
    Analysis; names and units: code of groups that take part in TRENDY.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, TimeAxisError, UnitsError
from emulator.carbon.grid import Grid
from emulator.carbon.humidity import missing_vapour, vapour_pressure
from emulator.carbon.units import SECONDS_PER_DAY, convert
from emulator.data.readers.fields import (
    attribute,
    cleaned,
    horizontal_dims,
    pick_variable,
)
from emulator.data.readers.files import open_netcdf
from emulator.data.readers.plausible import require_plausible
from emulator.data.readers.products import Offering, Piece, Told, stated

Array = NDArray[np.float64]

DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
"""Days of the months; no year has a 29 February."""

A_DAY = 4
"""Steps of a day."""

STEPS = A_DAY * sum(DAYS)
"""Steps of a year: 1460."""

_STEP = SECONDS_PER_DAY / A_DAY
"""Seconds of a step."""

_NAME = re.compile(
    r"^crujra\.v(?P<edition>[\d.]+?)\.5d\.(?P<name>[a-z]+)\.(?P<year>\d{4})"
    r"\.365d\.noc\.nc(?:\.gz)?$",
    re.I,
)
_RADIATION = re.compile(
    r"^(?P<name>tswrf)_(?P<edition>[a-z]+\d+)_(?P<year>\d{4})\.nc(?:\.gz)?$",
    re.I,
)

_SIX_HOURS = re.compile(
    r"\s*(?:/|per|\()?\s*6\s*-?\s*h(?:ou)?r?(?:ly)?s?\)?\s*(?:\^?-1)?\s*$", re.I
)
"""How a unit ends that is per 6 hours: ``mm/6h``, ``mm 6h-1``, ``mm (6 hours)-1``."""


@dataclass(frozen=True)
class _Quantity:
    """What a file holds.

    Attributes:
        stated: The unit of the documentation, for files that state none.
        units: The unit in which it is used.
        amount: The unit of an amount of a step which, over its seconds, is ``units``.
    """

    stated: str
    units: str
    amount: str | None = None


_QUANTITIES = {
    "tmp": _Quantity("K", "K"),
    "pre": _Quantity("mm/6h", "kg m-2 s-1", "kg m-2"),
    "spfh": _Quantity("1", "1"),
    "pres": _Quantity("Pa", "Pa"),
    "ugrd": _Quantity("m s-1", "m s-1"),
    "vgrd": _Quantity("m s-1", "m s-1"),
    "tswrf": _Quantity("W m-2", "W m-2", "J m-2"),
    "dswrf": _Quantity("J m-2/6h", "W m-2", "J m-2"),
    "dlwrf": _Quantity("W m-2", "W m-2", "J m-2"),
}

_SHORTWAVE, _OLD_SHORTWAVE = "tswrf", "dswrf"
"""The old files count where there are none of the new."""

_WIND = ("ugrd", "vgrd")
"""Read together, as their speed."""


@dataclass(frozen=True)
class _Recipe:
    """How a variable comes from quantities of the files.

    Attributes:
        needs: Quantities, each alone or as a pair that is read as its speed.
        compute: Turns their monthly means into the canonical unit.
    """

    needs: tuple[tuple[str, ...], ...]
    compute: Callable[..., Array] = lambda mean: mean


def _deficit(temperature: Array, humidity: Array, pressure: Array) -> Array:
    return missing_vapour(temperature, vapour_pressure(humidity, pressure))


_RECIPES = {
    "tas": _Recipe((("tmp",),)),
    "pr": _Recipe((("pre",),)),
    "rsds": _Recipe(((_SHORTWAVE,),)),
    "rlds": _Recipe((("dlwrf",),)),
    "huss": _Recipe((("spfh",),)),
    "vpd": _Recipe((("tmp",), ("spfh",), ("pres",)), _deficit),
    "sfcWind": _Recipe((_WIND,)),
}

VARIABLES = tuple(_RECIPES)
"""What can be had, by canonical name."""

_KEPT = len(_RECIPES)
"""Means that are kept: the months of a year are asked for one after another."""

_Means = tuple[Array, Grid, str]
"""Monthly means of a year, (12, lat, lon), where, and the unit of the files."""


@dataclass(frozen=True)
class _File:
    """A file of a year.

    Attributes:
        path: The file.
        holds: Its quantity, which is the name of its variable.
    """

    path: Path
    holds: str


_Files = Mapping[tuple[str, int], _File]
"""By quantity and year; shortwave radiation as ``tswrf``, however it is given."""


def find(folder: Path, names: Sequence[str] = VARIABLES) -> Offering:
    """Return the months that a folder has.

    Args:
        folder: Holds files of years, packed or not, in folders or not.
        names: Variables that are wanted, of ``VARIABLES``.

    Returns:
        The months of years of which all is there.
    """
    offering = Offering("CRU-JRA", calendar="noleap")
    files = _files(folder, offering)
    means = lru_cache(_KEPT)(partial(_year, files))
    needs = {one for name in names for need in _RECIPES[name].needs for one in need}
    for year in sorted({year for _, year in files}):
        if any((need, year) not in files for need in needs):
            continue
        paths = tuple(files[need, year].path for need in sorted(needs))
        for number in range(12):
            month = np.datetime64(f"{year}-{number + 1:02d}", "M")
            read = partial(_read, means, year, number)
            offering.months[month] = Piece(paths, read)
    if not offering.months:
        held = sorted({name for name, _ in files})
        offering.refused.append(
            f"{folder} has no year of all of {', '.join(sorted(needs))} in files "
            f"crujra.v*.5d.*.YYYY.365d.noc.nc or tswrf_*_YYYY.nc, packed or not; it "
            f"holds {held}. Get what is missing, or correct the folder; docs/data.md "
            f"says what is needed."
        )
    return offering


def _files(folder: Path, offering: Offering) -> _Files:
    """Return the files of quantities that are there in one edition."""
    held: dict[str, dict[str, dict[int, Path]]] = {}
    # What was unpacked beside its archive comes first, and stays.
    for path in sorted(folder.glob("**/*.nc")) + sorted(folder.glob("**/*.nc.gz")):
        match = _NAME.match(path.name) or _RADIATION.match(path.name)
        if match is None or match["name"].lower() not in _QUANTITIES:
            continue
        editions = held.setdefault(match["name"].lower(), {})
        years = editions.setdefault(match["edition"].lower(), {})
        years.setdefault(int(match["year"]), path)
    found: dict[tuple[str, int], _File] = {}
    for name, editions in held.items():
        if len(editions) > 1:
            offering.refused.append(
                f"{folder} has '{name}' of the editions {sorted(editions)}, which "
                f"differ, but a series is of one. Keep one."
            )
        elif name != _OLD_SHORTWAVE or _SHORTWAVE not in held:
            (years,) = editions.values()
            quantity = _SHORTWAVE if name == _OLD_SHORTWAVE else name
            for year, path in years.items():
                found[quantity, year] = _File(path, name)
    return found


def _read(
    means: Callable[[tuple[str, ...], int], _Means],
    year: int,
    month: int,
    names: tuple[str, ...],
) -> Told:
    """Return variables of a month."""
    needs = dict.fromkeys(need for name in names for need in _RECIPES[name].needs)
    held = {need: means(need, year) for need in needs}
    first = next(iter(held))
    grid = held[first][1]
    for need, (_, other, _) in held.items():
        if not other.matches(grid):
            raise GridMismatchError(
                f"'{need[0]}' of {year} is on a grid of {other.describe()}, but "
                f"'{first[0]}' on {grid.describe()}. Get all from one edition."
            )
    fields, units = {}, {}
    for name in names:
        recipe = _RECIPES[name]
        fields[name] = recipe.compute(*(held[need][0][month] for need in recipe.needs))
        units[name] = stated({need[0]: held[need][2] for need in recipe.needs})
        what = f"CRU-JRA in {year}-{month + 1:02d}"
        require_plausible(name, fields[name], grid, what)
    return Told(fields, grid, is_final=True, units=units)


def _year(files: _Files, names: tuple[str, ...], year: int) -> _Means:
    """Return the monthly means of a quantity, or of the speed of two.

    A month of 6-hourly steps is read at a time: at half a degree it takes 130 MB.
    """
    used = [files[name, year] for name in names]
    with ExitStack() as stack:
        held = [
            _Steps(stack.enter_context(open_netcdf(file.path)), file) for file in used
        ]
        if len({one.units for one in held}) > 1:
            raise UnitsError(
                f"{held[0].path} is in {held[0].units!r}, but {held[1].path} in "
                f"{held[1].units!r}. Get both from one edition."
            )
        means = []
        for number in range(12):
            begin = A_DAY * sum(DAYS[:number])
            span = slice(begin, begin + A_DAY * DAYS[number])
            values, grid = held[0].read(span)
            for one in held[1:]:
                other, where = one.read(span)
                if not where.matches(grid):
                    raise GridMismatchError(
                        f"{one.path} is on a grid of {where.describe()}, but "
                        f"{held[0].path} on {grid.describe()}. Get both from one "
                        f"edition."
                    )
                values = np.hypot(values, other)
            means.append(values.mean(axis=0, dtype=np.float64))
    quantity = _QUANTITIES[used[0].holds]
    unit = held[0].units or quantity.stated
    return _in_unit(np.stack(means), unit, quantity, used[0].path), grid, unit


class _Steps:
    """The 6-hourly steps of an open file of a year."""

    def __init__(self, dataset: xr.Dataset, file: _File) -> None:
        """Check that there are as many as a year has, and in order.

        Raises:
            TimeAxisError: If there are others.
            GridMismatchError: If there are no rows or columns, or more than those.
        """
        self.path, self._dataset = file.path, dataset
        variable = pick_variable(dataset, file.holds, file.path, 3)
        lat, lon = horizontal_dims(variable, file.path)
        times = [str(d) for d in variable.dims if d not in (lat, lon)]
        if len(times) != 1:
            raise GridMismatchError(
                f"{file.path}: '{variable.name}' has the dimensions "
                f"{list(variable.dims)}, but time, latitude and longitude are needed. "
                f"Get it again."
            )
        self._time = times[0]
        self._variable = variable.transpose(self._time, lat, lon)
        self.units = attribute(variable, "units")
        count = variable.sizes[self._time]
        if count != STEPS:
            raise TimeAxisError(
                f"{file.path} has {count} steps, but {STEPS} are needed: {A_DAY} a day "
                f"and no 29 February. Get it again."
            )
        stamps = dataset.variables.get(self._time)
        if stamps is not None and (np.diff(stamps.to_numpy()) <= 0).any():
            raise TimeAxisError(
                f"{file.path}: its times do not increase, but steps are counted. Get "
                f"it again."
            )

    def read(self, span: slice) -> tuple[NDArray[np.float32], Grid]:
        """Return some steps in the file's unit; shape (time, lat, lon)."""
        part = self._variable.isel({self._time: span})
        return cleaned(self._dataset, part, self.path)


def _in_unit(means: Array, unit: str, wanted: _Quantity, path: Path) -> Array:
    """Return means in the unit in which they are used.

    Raises:
        UnitsError: If the unit that the file states is of another kind.
    """
    amount = _SIX_HOURS.sub("", unit)
    readings = [(unit, wanted.units, 1.0)]
    if wanted.amount is not None:
        # First where 6 hours are named: elsewhere "(6 hours)-1" is 6 per hour.
        place = 0 if amount != unit else 1
        readings.insert(place, (amount, wanted.amount, _STEP))
    wrong = []
    for said, needed, seconds in readings:
        try:
            return convert(means, said, needed) / seconds
        except UnitsError as error:
            wrong.append(error)
    raise UnitsError(f"{path}: {wrong[0]}")
