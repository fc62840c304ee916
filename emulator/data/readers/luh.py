"""LUH2 and LUH3: states of land use, and transitions between them, as shares of a cell.

``states.nc`` and ``multiple-states_input4MIPs_...nc`` hold the share of every quarter
degree cell in each state on 1 January of each year; ``transitions.nc`` what went from
one to another in the year that follows, as ``a_to_b``. A variable of the catalog entry
names the states that make it up. What leaves and enters them gross, as in LUMIP's
``fracOutLut`` and ``fracInLut``, are ``forestLossFrac`` and ``forestGainFrac``; wood
harvest leaves a forest a forest.

Source:
    Hurtt et al. (2020), Geosci. Model Dev. 13, 5425-5464.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr

from emulator.carbon.errors import (
    CatalogError,
    GateError,
    GridMismatchError,
    TimeAxisError,
)
from emulator.carbon.grid import Grid
from emulator.data.entry import Entry, Years
from emulator.data.readers.fields import (
    Declared,
    Field,
    field_of,
    read_field,
    to_array,
)
from emulator.data.readers.files import (
    checksum,
    find_files,
    find_one,
    open_netcdf,
    unchanging,
)

ICE_WATER = "iceWaterFrac"
"""What is neither land nor land use; a file of its own holds it."""

_FLOWS = {"forestLossFrac": (True, False), "forestGainFrac": (False, True)}
"""Whether the states that a flow is of are those it leaves, and those it enters."""

_NO_AREAS = ("secma", "secmb")
"""Age (yr) and biomass (kg m-2) of secondary land, among the states."""

_TO = "_to_"

# Shares are stored in single precision, of a dozen states.
_SLACK = 1e-3


def read(
    entry: Entry,
    variable: str,
    _simulation: str | None,
    data_root: Path,
    _years: Years | None,
) -> xr.DataArray:
    """Read one variable; dims (lat, lon), the mean over the years of the entry.

    A cell without values (the sea) has none of any state: 0. Arguments and errors are
    those of ``emulator.data.readers.read``; shares that add up to more than a cell are
    a ``GateError``.
    """
    path = find_one(entry, variable, data_root)
    with unchanging(path):
        return _read(entry, variable, path, data_root)


def _read(entry: Entry, variable: str, path: Path, data_root: Path) -> xr.DataArray:
    """Read one variable of a file."""
    source = entry.variables[variable]
    if variable == ICE_WATER:
        name = source.name or variable
        field = read_field(path, name, declared=Declared.of(entry), has_time=False)
        return to_array(_filled(field), entry, variable, path, checksum(path))
    span = entry.years
    if span is None or span[1] is None or not source.states:
        raise CatalogError(
            f"'{variable}' of catalog entry '{entry.name}' needs 'states', and the "
            f"entry 'years', to be read from land-use states. Give both."
        )
    wanted = (span[0], span[1])
    status = path.stat()
    identity = (status.st_size, status.st_mtime_ns)
    declared = Declared.of(entry)
    if variable in _FLOWS:
        field = _flow(path, source.states, _FLOWS[variable], declared, wanted)
    else:
        fields = _states(path, identity, declared, wanted)
        _require_counted(entry, fields, path)
        _require_shares(entry, fields, path, data_root)
        field = _sum([fields[name] for name in source.states])
    found = to_array(_filled(field), entry, variable, path, checksum(path))
    found.attrs["source_years"] = f"{wanted[0]}-{wanted[1]}"
    return found


@lru_cache(maxsize=1)
def _states(
    path: Path,
    _identity: tuple[int, int],
    declared: Declared,
    years: tuple[int, int],
) -> Mapping[str, Field]:
    """Return the mean share of each state, by its name."""
    with open_netcdf(path) as dataset:
        names = [
            str(name)
            for name, held in dataset.variables.items()
            if held.ndim == 3 and str(name) not in _NO_AREAS
        ]
        return {name: _mean(dataset, path, name, declared, years) for name in names}


def _flow(
    path: Path,
    states: tuple[str, ...],
    inside: tuple[bool, bool],
    declared: Declared,
    years: tuple[int, int],
) -> Field:
    """Return the mean yearly flow out of states, or into them, gross."""
    with open_netcdf(path) as dataset:
        pairs = [str(name).split(_TO) for name in dataset.variables]
        names = [
            _TO.join(pair)
            for pair in pairs
            if len(pair) == 2 and (pair[0] in states, pair[1] in states) == inside
        ]
        if not names:
            raise CatalogError(
                f"{path} holds no transition {'from' if inside[0] else 'to'} "
                f"{list(states)}, such as 'secdf_to_c3ann'; it holds "
                f"{[str(name) for name in dataset.variables]}. Correct 'states' or "
                f"'files' in the catalog entry."
            )
        return _sum([_mean(dataset, path, name, declared, years) for name in names])


def _mean(
    dataset: xr.Dataset,
    path: Path,
    name: str,
    declared: Declared,
    years: tuple[int, int],
) -> Field:
    """Return the mean over years of a variable of an open file."""
    field = field_of(dataset, path, name, declared=declared, years=years)
    count = years[1] - years[0] + 1
    if (
        field.axis is None
        or field.axis.frequency != "year"
        or len(field.values) != count
    ):
        raise TimeAxisError(
            f"{path}: '{name}' has {len(field.values)} steps within {years[0]} to "
            f"{years[1]}, but {count}, one a year, are needed. Correct 'years' in the "
            f"catalog entry, or get the file that holds them."
        )
    mean = np.asarray(field.values.mean(axis=0, dtype=np.float64), np.float32)
    return replace(field, values=mean, axis=None)


def _sum(fields: list[Field]) -> Field:
    parts = np.stack([field.values for field in fields])
    total = np.asarray(parts.sum(axis=0, dtype=np.float64), np.float32)
    return replace(fields[0], values=total, name=" + ".join(f.name for f in fields))


def _filled(field: Field) -> Field:
    return replace(field, values=np.nan_to_num(field.values))


def _require_counted(entry: Entry, fields: Mapping[str, Field], path: Path) -> None:
    """Refuse states that are missing from the file, or that no variable counts."""
    named = [
        state
        for variable, source in entry.variables.items()
        if variable not in _FLOWS
        for state in source.states
    ]
    absent = [state for state in named if state not in fields]
    if absent:
        raise CatalogError(
            f"{path} holds no state {absent}, which catalog entry '{entry.name}' "
            f"names; it holds {list(fields)}. Correct 'states' or 'files'."
        )
    left = [state for state in fields if state not in named]
    if left:
        raise CatalogError(
            f"{path} holds the states {left}, which no variable of catalog entry "
            f"'{entry.name}' counts. Add them to the 'states' of one: other versions "
            f"have other states."
        )


def _require_shares(
    entry: Entry, fields: Mapping[str, Field], path: Path, data_root: Path
) -> None:
    """Refuse states that share out more than a cell, ice and water included."""
    total = _sum(list(fields.values()))
    amount = np.nan_to_num(total.values)
    grid = Grid(total.lat, total.lon)
    what = "the states"
    for other in _ice_and_water(entry, data_root):
        field = read_field(
            other,
            entry.variables[ICE_WATER].name or ICE_WATER,
            declared=Declared.of(entry),
            has_time=False,
        )
        if not Grid(field.lat, field.lon).matches(grid):
            raise GridMismatchError(
                f"{other} is on a grid of {Grid(field.lat, field.lon).describe()}, "
                f"but {path} on {grid.describe()}. Get the file of the same version."
            )
        amount = amount + np.nan_to_num(field.values)
        what += f" with ice and water of {other.name}"
    row, column = np.unravel_index(int(amount.argmax()), amount.shape)
    if amount.max() > 1 + _SLACK or amount.min() < -_SLACK:
        raise GateError(
            f"{path}: {what} add up to {amount.min():g} to {amount.max():g}, the most "
            f"at {grid.lat[row]:g} N, {grid.lon[column]:g} E, but shares of a cell add "
            f"up to 1 at most. Get the file again: shares are needed, no percent."
        )


def _ice_and_water(entry: Entry, data_root: Path) -> list[Path]:
    """Return the file of ice and water, if the entry has one and it is there."""
    if ICE_WATER not in entry.variables:
        return []
    try:
        return find_files(entry, ICE_WATER, None, data_root)[:1]
    except CatalogError:
        return []
