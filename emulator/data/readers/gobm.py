"""Ocean models and fCO2 products in the layout of the carbon budget and RECCAP2.

Their file names hold the range of years, which places an undecodable time axis, and
their flux is in mol of carbon. Signs that differ are declared in catalog entries.
"""

import re
from pathlib import Path

import xarray as xr

from emulator.carbon.errors import CatalogError
from emulator.data.entry import Entry, Years
from emulator.data.readers.files import find_files
from emulator.data.readers.series import read_series

_SERIES_FILES = re.compile(r"_(gm|gmr|ts|glob|reg)_|\.global\.", re.I)
"""Global and regional series, which lie beside the maps under the same prefix."""


def read(
    entry: Entry,
    variable: str,
    simulation: str | None,
    data_root: Path,
    years: Years | None,
) -> xr.DataArray:
    """Read one variable of one simulation or product; dims (time, lat, lon).

    Arguments and errors are those of ``emulator.data.readers.read``.
    """
    found = find_files(entry, variable, simulation, data_root)
    paths = [path for path in found if not _SERIES_FILES.search(path.name)]
    if not paths:
        raise CatalogError(
            f"Only global or regional series match '{variable}' of catalog entry "
            f"'{entry.name}': {[path.name for path in found]}, but maps are needed. "
            f"Narrow 'files' or get the maps."
        )
    return read_series(entry, variable, simulation, paths, years)
