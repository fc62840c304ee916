"""Fields at single times from many files, the best of each time.

Reanalyses and daily products come as a folder that grows: months of one file overlap
with those of another, and a step comes twice, preliminary and final. Files are indexed
by their steps; what is wanted is read step by step, so that hours of a fine grid need
no more memory than a day of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cftime
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, TimeAxisError, UserError
from emulator.carbon.grid import Grid
from emulator.data.readers.fields import attribute, cleaned, horizontal_dims
from emulator.data.readers.files import changed, open_netcdf

Times = NDArray[np.datetime64]

FOLDERS = {"monthly": "M", "daily": "D", "hourly": "h"}
"""Folders of the files of a reanalysis, and the length of their steps."""

VERSION = "expver"
"""What ECMWF calls the version of an experiment."""

FINAL_VERSION, PRELIMINARY_VERSION = 1, 5
"""ERA5 and ERA5T (documentation of the Climate Data Store)."""

FINAL_WORD = "final"
"""What the name of a file says that is final, where the file itself does not."""

_TIMES = ("valid_time", "time")
_HOUR = np.timedelta64(1, "h")
_MEASURES = {"M": "month", "D": "day", "h": "hour"}


@dataclass(frozen=True, eq=False)
class StepFile:
    """What a file holds, without its values.

    Attributes:
        path: The file.
        steps: Increasing months, days or hours, datetime64 of that unit; (time,).
        variables: Names of those with time, as in the file.
        modified: Time of modification, ns.
        slab: Reads a variable at times that the file holds.
    """

    path: Path
    steps: Times
    variables: frozenset[str]
    modified: int
    slab: "Callable[[str, Times], Slab]"


@dataclass(frozen=True, eq=False)
class Slab:
    """A variable at some times.

    Attributes:
        values: In the file's unit, NaN where there is no value; (time, lat, lon).
        grid: Where.
        units: The unit the file states; None if it states none.
        is_final: Whether each time is final; shape (time,).
    """

    values: NDArray[np.float32]
    grid: Grid
    units: str | None
    is_final: NDArray[np.bool_]


def index(path: Path, measure: str) -> StepFile:
    """Return what a file holds.

    Args:
        path: The file.
        measure: "M", "D" or "h": one step a month, a day, or an hour.

    Raises:
        UserError: If it is no NetCDF file.
        TimeAxisError: If it has no time that can be read, or steps of another length.
    """
    with open_netcdf(path) as opened:
        name = next((n for n in _TIMES if n in opened.variables), None)
        if name is None:
            raise TimeAxisError(
                f"{path} has no time: it holds {sorted(map(str, opened.variables))}, "
                f"but {' or '.join(_TIMES)} is needed. Get it again as NetCDF."
            )
        hours = hours_of(opened[name], path)
        dims = set(opened[name].dims)
        held = [
            str(key)
            for key, variable in opened.variables.items()
            if variable.ndim >= 3 and (not dims or dims <= set(variable.dims))
        ]
    steps = as_steps(hours, measure, path)
    slab = partial(read_slab, path, steps)
    return StepFile(path, steps, frozenset(held), path.stat().st_mtime_ns, slab)


def as_steps(hours: Times, measure: str, path: Path) -> Times:
    """Return the months, days or hours that hours are.

    Args:
        hours: The hours of a file; shape (time,).
        measure: As for ``index``.
        path: The file, for messages.

    Raises:
        TimeAxisError: If there is not one for each step, or some are left out.
    """
    steps = hours.astype(f"M8[{measure}]")
    gaps = np.diff(hours) / _HOUR
    # Three hours apart is one step an hour, too; but the others are not there. Months
    # are no days; single months of each year may have been asked for.
    longest = {"h": 1, "D": 24}.get(measure, np.inf)
    is_sparse = gaps.size > 0 and gaps.min() > longest
    if (np.diff(steps).astype(np.int64) < 1).any() or is_sparse:
        raise TimeAxisError(
            f"{path} has steps of {gaps.min():g} hours, but lies among files of one "
            f"step each {_MEASURES[measure]}, increasing. Put it into another folder "
            f"(monthly, daily, hourly), or get all hours."
        )
    return steps


def there(files: Sequence[StepFile], name: str, steps: Times) -> bool:
    """Return whether some files hold a variable at all of some times."""
    found = np.zeros(steps.shape, bool)
    for file in _having(files, name):
        found |= np.isin(steps, file.steps)
    return bool(found.all())


def read(files: Sequence[StepFile], name: str, steps: Times) -> Slab:
    """Read a variable at some times: final where that is there, else preliminary.

    Of two files that hold the same the one modified last counts.

    Args:
        files: Where to look.
        name: The variable, as in the files.
        steps: Increasing times, in the unit of the files'; shape (time,).

    Raises:
        UserError: If a time is missing, a file cannot be read, says another version
            than final and preliminary, or its grid is not that of the others.
    """
    found: Slab | None = None
    known = np.zeros(steps.shape, bool)
    for file in sorted(_having(files, name), key=lambda one: -one.modified):
        final = known if found is None else found.is_final
        wanted = np.flatnonzero(~final & np.isin(steps, file.steps))
        if not wanted.size:
            continue
        slab = file.slab(name, steps[wanted])
        if found is None:
            found = Slab(
                np.full((steps.size, *slab.grid.shape), np.nan, np.float32),
                slab.grid,
                slab.units,
                known.copy(),
            )
        if not slab.grid.matches(found.grid) or slab.units != found.units:
            raise GridMismatchError(
                f"{file.path} has '{name}' in {slab.units!r} on "
                f"{slab.grid.describe()}, but other files of the same times in "
                f"{found.units!r} on {found.grid.describe()}. Keep one kind."
            )
        better = slab.is_final | ~known[wanted]
        found.values[wanted[better]] = slab.values[better]
        found.is_final[wanted[better]] = slab.is_final[better]
        known[wanted] = True
    if found is None or not known.all():
        raise changed(f"Files of '{name}', with {steps[~known][0]} gone,")
    return found


def _having(files: Sequence[StepFile], name: str) -> list[StepFile]:
    return [file for file in files if name in file.variables]


def read_slab(path: Path, held: Times, name: str, steps: Times) -> Slab:
    """Read a variable of one NetCDF file at times that it holds.

    Args:
        path: The file.
        held: The times it holds, increasing; shape (time,).
        name: The variable, as in the file.
        steps: Which of them; shape (time,).

    Raises:
        UserError: As ``read``.
    """
    place = np.searchsorted(held, steps)
    with open_netcdf(path) as opened:
        variable = opened[name]
        lat, lon = horizontal_dims(variable, path)
        time = next((d for d in _TIMES if d in variable.dims), None)
        others = [d for d in variable.dims if d not in (lat, lon, time, VERSION)]
        if long := [str(d) for d in others if variable.sizes[d] > 1]:
            raise GridMismatchError(
                f"{path}: '{name}' has the dimensions {list(variable.dims)}, but only "
                f"time, {VERSION}, latitude and longitude may be longer than 1. Select "
                f"one of {long} first."
            )
        variable = variable.isel(dict.fromkeys(others, 0))
        if time is None:
            variable = variable.expand_dims("time")
            time = "time"
        else:
            # A stretch at a time: single steps of a file are slow to get.
            stretch = slice(int(place[0]), int(place[-1]) + 1)
            variable = variable.isel({time: stretch}).isel({time: place - place[0]})
        versions = [VERSION] if VERSION in variable.dims else []
        variable = variable.transpose(*versions, time, lat, lon)
        codes = _codes(opened, path)
        units = attribute(variable, "units")
        values, grid = cleaned(opened, variable, path)
    if codes.size not in ((values.shape[0],) if versions else (1, held.size)):
        raise UserError(
            f"{path} has {codes.size} versions in {VERSION} for "
            f"{values.shape[0] if versions else held.size} of '{name}', so that it is "
            f"not known which is final. Get it again."
        )
    if versions:
        values, is_final = merged(values, codes)
    else:
        many = codes[place] if codes.size == held.size else codes
        is_final = np.broadcast_to(many == FINAL_VERSION, steps.shape).copy()
    return Slab(values, grid, units, is_final)


def merged(
    values: NDArray[np.float32], codes: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Merge versions that complement each other: final where it has a value.

    Args:
        values: NaN where a version has nothing; shape (version, time, lat, lon).
        codes: Of the versions; shape (version,).

    Returns:
        The values, (time, lat, lon), and whether nothing of a time is preliminary,
        (time,).
    """
    final, preliminary = np.full((2, *values.shape[1:]), np.nan, np.float32)
    for code, told in zip(codes, values, strict=True):
        (final if code == FINAL_VERSION else preliminary)[:] = told
    is_taken = np.isnan(final) & ~np.isnan(preliminary)
    is_final = ~is_taken.any(axis=(1, 2)) & ~np.isnan(final).all(axis=(1, 2))
    return np.asarray(np.where(is_taken, preliminary, final)), np.asarray(is_final)


def _codes(opened: xr.Dataset, path: Path) -> NDArray[np.int64]:
    """Return the versions that a file states, or one that its name tells."""
    if VERSION not in opened.variables:
        return np.array([unstated_version(path)])
    raw = np.asarray(opened[VERSION].values)
    if raw.dtype.kind == "S" and raw.dtype.itemsize == 1 and raw.ndim:
        raw = np.asarray(np.ascontiguousarray(raw).view(f"S{raw.shape[-1]}")[..., 0])
    texts = [x.decode() if isinstance(x, bytes) else str(x) for x in raw.ravel()]
    return versions_of(texts, path)


def unstated_version(path: Path) -> int:
    """Return the version of a file that states none.

    Such files were all final or all preliminary: nothing in them says which, so that
    only their name can.
    """
    is_final = FINAL_WORD in path.stem.lower()
    return FINAL_VERSION if is_final else PRELIMINARY_VERSION


def versions_of(texts: Sequence[str], path: Path) -> NDArray[np.int64]:
    """Return versions as numbers.

    Args:
        texts: As files have them: 1, 0001, 1.0.
        path: The file, for messages.

    Raises:
        UserError: If one is neither final nor preliminary.
    """
    try:
        codes = np.array([int(float(text)) for text in texts], np.int64)
    except ValueError:
        codes = np.zeros(len(texts), np.int64)
    if not np.isin(codes, (FINAL_VERSION, PRELIMINARY_VERSION)).all():
        raise UserError(
            f"{path} has {VERSION} {sorted(set(texts))}, but {FINAL_VERSION} (final) "
            f"and {PRELIMINARY_VERSION} (preliminary) are known. Get it again."
        )
    return codes


def hours_of(
    time: xr.DataArray, path: Path, values: NDArray[np.float64] | None = None
) -> Times:
    """Return times in whole hours.

    Args:
        time: The variable whose unit and calendar count.
        path: The file, for messages.
        values: Numbers in that unit, by default those of the variable; (time,).

    Raises:
        TimeAxisError: If they cannot be read.
    """
    held = time.values if values is None else values
    numbers = np.atleast_1d(np.asarray(held, np.float64))
    units, calendar = attribute(time, "units"), attribute(time, "calendar")
    try:
        dates = cftime.num2date(numbers, units or "", calendar or "standard")
        stamps = [np.datetime64(date.isoformat(), "s") for date in np.atleast_1d(dates)]
    except (ValueError, OverflowError) as error:
        raise TimeAxisError(
            f"{path}: its time, {units!r}, cannot be read ({error}). Get it again."
        ) from None
    return np.array(stamps, "M8[s]").astype("M8[h]")
