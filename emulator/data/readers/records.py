"""Tables that have a layout of their own, as series: each known by its file's name.

They stand in catalog entries under the reader ``record``, so that ``catalog check``
tells what is in them, and the CO2 among them can drive a model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError
from emulator.carbon.timeaxis import seconds_per_month
from emulator.carbon.units import SECONDS_PER_YEAR
from emulator.data.entry import Entry, Years
from emulator.data.readers import (
    boundary_layer,
    carbon_monitor,
    co2_record,
    indices,
    workbook,
)
from emulator.data.readers.files import find_one, unchanging
from emulator.data.readers.series import wanted_years
from emulator.data.readers.tables import A_TABLE, as_series, spread

Series = tuple[NDArray[np.datetime64], NDArray[np.float64]]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        names: Pattern of its name, small letters.
        variable: What it holds.
        units: Its unit.
        read: Returns its months and their values.
    """

    names: str
    variable: str
    units: str
    read: Callable[[Path], Series]


def _without_season(path: Path) -> Series:
    record = co2_record.read(path)
    return record.months, record.trend


def _daily(path: Path) -> Series:
    record = co2_record.read_daily(path)
    return record.months, record.trend


def _boundary_layer(path: Path) -> Series:
    surface = boundary_layer.read(path)
    return surface.months, surface.global_mean()


def _nino(path: Path) -> Series:
    index = indices.read_nino(path)
    return index.months, index.values


def _growth(path: Path) -> Series:
    index = indices.read_growth(path)
    return spread(index.months, index.values)


def _fossil(path: Path) -> Series:
    emitted = carbon_monitor.read(path)
    years = seconds_per_month(emitted.months) / SECONDS_PER_YEAR
    return emitted.months, emitted.carbon / years


def _budget(path: Path) -> Series:
    terms = workbook.read(path).budget
    years = (terms.years - 1970).astype("M8[Y]").astype("M8[M]")
    return spread(years, terms.columns["e_fos"])


KINDS = (
    Kind("co2[_-]mm[_-]*", "co2", "ppm", _without_season),
    Kind("co2_trend_*", "co2", "ppm", _daily),
    Kind("co2_ghgreference*_surface.txt", "co2", "ppm", _boundary_layer),
    Kind("co2[_-]gr[_-]*", "co2_growth", "ppm yr-1", _growth),
    Kind("roni*", "roni", "K", _nino),
    Kind("oni*", "oni", "K", _nino),
    Kind("carbonmonitor-global*", "e_fos", "PgC yr-1", _fossil),
    Kind("global_carbon_budget_*.xlsx", "e_fos", "PgC yr-1", _budget),
)
"""What is known, by names of files."""


def read(
    entry: Entry,
    variable: str,
    simulation: str | None,
    data_root: Path,
    years: Years | None,
) -> xr.DataArray:
    """Read a series; dims (time,), one value a month.

    CO2 comes without its season where the file tells it so, and with it from the marine
    boundary layer. Arguments and errors are those of ``emulator.data.readers.read``.
    """
    path = find_one(entry, variable, data_root, simulation=simulation, what=A_TABLE)
    fitting = (k for k in KINDS if fnmatch(path.name.lower(), k.names))
    kind = next((kind for kind in fitting if kind.variable == variable), None)
    if kind is None:
        known = [f"{kind.names} ({kind.variable})" for kind in KINDS]
        raise CatalogError(
            f"{path} is none of the records of '{variable}' that are known by name: "
            f"{', '.join(known)}. Give the file its usual name, or use the reader "
            f"'table'."
        )
    wanted = wanted_years(entry, simulation, years)
    with unchanging(path):
        months, values = kind.read(path)
        return as_series(
            entry, variable, path, months, values, kind.units, kind.names, wanted
        )
