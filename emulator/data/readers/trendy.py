"""Land models in the layout of TRENDY: one variable a file, a folder a simulation.

What varies between models (directories, prefixes, units, calendars, fills, latitude
order) is declared in catalog entries or decoded for all families in ``fields``.
"""

import re
from pathlib import Path

import xarray as xr

from emulator.carbon.errors import CatalogError
from emulator.data.entry import Entry, Years
from emulator.data.readers.files import find_files
from emulator.data.readers.series import read_series

_SIDE_FILES = re.compile(r"mean_annual|zonalnbp|_pft|pft_", re.I)
"""Files that TRENDY groups put beside a variable and that patterns catch."""


def read(
    entry: Entry,
    variable: str,
    simulation: str | None,
    data_root: Path,
    years: Years | None,
) -> xr.DataArray:
    """Read one variable of one simulation; dims (time, lat, lon).

    Arguments and errors are those of ``emulator.data.readers.read``.
    """
    found = find_files(entry, variable, simulation, data_root)
    paths = [path for path in found if not _SIDE_FILES.search(path.name)]
    if not paths:
        raise CatalogError(
            f"Only side files match '{variable}' of catalog entry '{entry.name}': "
            f"{[path.name for path in found]}, but its field is needed. Narrow 'files' "
            f"or get the field."
        )
    return read_series(entry, variable, simulation, paths, years)
