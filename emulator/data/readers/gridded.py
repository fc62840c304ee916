"""Forcing and static fields on regular grids."""

from pathlib import Path

import xarray as xr

from emulator.carbon.errors import CatalogError
from emulator.data.entry import Entry, Years
from emulator.data.readers.fields import Declared, read_field, to_array
from emulator.data.readers.files import checksum, find_files, unchanging
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
    paths = find_files(entry, variable, simulation, data_root)
    if entry.kind != "static":
        return read_series(entry, variable, simulation, paths, years)
    if len(paths) > 1:
        raise CatalogError(
            f"{len(paths)} files match '{variable}' of catalog entry '{entry.name}' "
            f"({paths[0].name} to {paths[-1].name}), but a static field is in one. "
            f"Narrow 'files'."
        )
    name = entry.variables[variable].name or variable
    with unchanging(paths[0]):
        field = read_field(paths[0], name, declared=Declared.of(entry), has_time=False)
        return to_array(field, entry, variable, paths[0], checksum(paths[0]))
