"""Forcing and static fields on regular grids."""

from pathlib import Path

import xarray as xr

from emulator.data.entry import Entry, Years
from emulator.data.readers.fields import Declared, read_field, to_array
from emulator.data.readers.files import checksum, find_files, find_one, unchanging
from emulator.data.readers.series import read_series


def read(
    entry: Entry,
    variable: str,
    simulation: str | None,
    data_root: Path,
    years: Years | None,
) -> xr.DataArray:
    """Read one variable; dims (time, lat, lon), or (lat, lon) for static entries.

    Arguments and errors are those of ``emulator.data.readers.read``.
    """
    if entry.kind != "static":
        paths = find_files(entry, variable, simulation, data_root)
        return read_series(entry, variable, simulation, paths, years)
    path = find_one(entry, variable, data_root)
    name = entry.variables[variable].name or variable
    with unchanging(path):
        field = read_field(path, name, declared=Declared.of(entry), has_time=False)
        return to_array(field, entry, variable, path, checksum(path))
