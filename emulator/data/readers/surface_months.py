"""Months at the surface of the sea, from files of one month or many.

Products of the sea come as months, alone or many in a file, with or without levels of
depth, and in editions: a consolidated one and others that reach further and will be
replaced. A month is taken from the first edition that has all of it.

Fields of 1/12 degree or 4 km are ten to forty times those of other forcing, and the
months of a reanalysis would fill any memory: they are averaged over cells of a quarter
degree as they are read.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from emulator.carbon.errors import GridMismatchError, UserError
from emulator.carbon.grid import Grid, overlap
from emulator.carbon.variables import VARIABLES
from emulator.data.readers import steps
from emulator.data.readers.fields import (
    TIME_NAMES,
    attribute,
    cleaned,
    horizontal_dims,
)
from emulator.data.readers.files import open_netcdf
from emulator.data.readers.products import Offering, Piece, Told, converted
from emulator.data.readers.steps import StepFile

log = logging.getLogger(__name__)

Field = tuple[NDArray[np.floating], Grid]

STEP = 0.25
"""Degrees of the smallest cells that are told."""

SHALLOW = 5.0
"""m; a level deeper than this is not the surface. The first of GLORYS is at 0.5 m."""

_ROUNDING = 1e-6
"""Of shares of cells and of degrees."""


@dataclass(frozen=True, eq=False)
class Edition:
    """Files of one kind.

    Attributes:
        files: The files, with months as steps.
        is_final: Whether its months stay as they are.
    """

    files: Sequence[StepFile]
    is_final: bool

    def having(self, source: str) -> dict[np.datetime64, StepFile]:
        """Return the file of each month of a variable, of several the last modified."""
        ordered = sorted(self.files, key=lambda file: file.modified)
        return {
            month: file
            for file in ordered
            if source in file.variables
            for month in file.steps
        }


def indexed(paths: Sequence[Path], offering: Offering) -> list[StepFile]:
    """Return what files of months hold; those that cannot be read are refused."""
    found = []
    for path in paths:
        try:
            found.append(steps.index(path, "M"))
        except UserError as error:
            offering.refused.append(str(error))
    return found


def offer(
    offering: Offering,
    editions: Sequence[Edition],
    sources: Mapping[str, str],
    names: Sequence[str],
    *,
    step: float = STEP,
    least: float = 0.0,
) -> None:
    """Put the months that editions have into an offering.

    Args:
        offering: Gets months of which all variables are there.
        editions: The best first.
        sources: The name in the files of each canonical variable.
        names: Variables that are wanted, of ``sources``.
        step: Degrees of the smallest cells that are told.
        least: Share of a cell that must have values, where smaller ones make it up.
    """
    told = partial(_read, sources, step, least)
    newest: np.datetime64 | None = None
    for edition in editions:
        having = {name: edition.having(sources[name]) for name in names}
        for month in sorted(set().union(*having.values())):
            newest = month if newest is None else max(newest, month)
            files = {name: one[month] for name, one in having.items() if month in one}
            if month in offering.months or len(files) < len(having):
                continue
            read = partial(told, files, month, edition.is_final)
            paths = dict.fromkeys(file.path for file in files.values())
            offering.months[month] = Piece(tuple(paths), read)
    if newest is not None and newest not in offering.months:
        log.warning("%s: no edition has all of %s in %s", offering.title, names, newest)


def _read(
    sources: Mapping[str, str],
    step: float,
    least: float,
    files: Mapping[str, StepFile],
    month: np.datetime64,
    is_final: bool,
    names: tuple[str, ...],
) -> Told:
    """Return variables of a month."""
    found, units = {}, {}
    for name in names:
        wanted = VARIABLES[name].units
        field, units[name] = surface(files[name], sources[name], month, wanted)
        found[name] = coarser(field, step, least)
    grid = found[names[0]][1]
    for name, (_, other) in found.items():
        if not other.matches(grid):
            raise GridMismatchError(
                f"{files[name].path} has '{sources[name]}' of {month} on a grid of "
                f"{other.describe()}, but '{sources[names[0]]}' is on "
                f"{grid.describe()}. Get all from one product."
            )
    fields = {name: values.astype(np.float64) for name, (values, _) in found.items()}
    return Told(fields, grid, is_final, units)


def surface(
    file: StepFile, name: str, month: np.datetime64, units: str
) -> tuple[Field, str]:
    """Return a month of a variable at the surface, and the unit that the file states.

    Args:
        file: A file that holds it.
        name: The variable, as in the file.
        month: One of the file's.
        units: The unit wanted.

    Raises:
        UserError: If the file cannot be read.
        UnitsError: If it states no unit, or one of another kind.
        GridMismatchError: If the variable is not at the surface, or on no global grid.

    Returns:
        The field in the unit wanted, float32, NaN where it is not; and the unit found.
    """
    path = file.path
    with open_netcdf(path) as opened:
        variable = opened[name]
        lat, lon = horizontal_dims(variable, path)
        place = {}
        for dim in (str(d) for d in variable.dims if d not in (lat, lon)):
            if dim in TIME_NAMES or dim == "valid_time":
                place[dim] = int(np.searchsorted(file.steps, month))
                continue
            levels = opened[dim].to_numpy() if dim in opened.variables else None
            place[dim] = _shallowest(levels, variable.sizes[dim], dim, path)
        variable = variable.isel(place).transpose(lat, lon)
        stated = attribute(variable, "units")
        values, grid = cleaned(opened, variable, path)
    field = converted(values, stated, units, f"{path}: '{name}'")
    return (field, grid), stated or ""


def coarser(field: Field, step: float, least: float) -> Field:
    """Return the mean of a field over cells of ``step`` degrees, by area.

    Args:
        field: Values, NaN where there is none, of shape (lat, lon), and their grid.
            One whose cells are not smaller is given back as it is.
        step: Degrees.
        least: Share of a cell that must have values, 0 to 1; with 0 any does.

    Returns:
        The mean over what has values, NaN where that is less than ``least`` of the
        cell or nothing, and the grid.
    """
    values, source = field
    if source.lon[1] - source.lon[0] > step * (1 - _ROUNDING):
        return field
    target = Grid.regular(step)
    rows, columns = (sparse.csr_array(one) for one in overlap(source, target))
    there = ~np.isnan(values)
    amount = (rows @ np.where(there, values, 0)) @ columns.T
    share = (rows @ there.astype(np.float32)) @ columns.T
    # Shares are sums of differences of sines: 9 cells of 36 may be a hair less.
    is_enough = share > max(_ROUNDING, least * (1 - _ROUNDING))
    mean = np.full(target.shape, np.nan)
    np.divide(amount, share, out=mean, where=is_enough)
    return mean, target


def _shallowest(
    levels: NDArray[np.floating] | None, count: int, dim: str, path: Path
) -> int:
    """Return the place of the level at the surface."""
    if levels is None and count == 1:
        return 0
    depth = np.abs(np.atleast_1d(np.nan if levels is None else levels))
    if not depth.min() <= SHALLOW:
        found = f"{depth.min():g} m" if levels is not None else "unknown"
        raise GridMismatchError(
            f"{path}: the shallowest of {count} levels along '{dim}' is at {found}, "
            f"but one within {SHALLOW:g} m of the surface is needed. Get the top level."
        )
    return int(depth.argmin())
