"""Daily sea surface temperature and sea ice: NOAA OISST v2.1, final and preliminary.

One file a day, ``oisst-avhrr-v02r01.YYYYMMDD.nc``; until it is final its name ends with
``_preliminary``. Where both lie in the folder the final one counts.

Source:
    Huang et al. (2021), Journal of Climate 34; names of files and variables: NOAA NCEI.
"""

import re
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import TimeAxisError
from emulator.data.readers import steps
from emulator.data.readers.products import Offering, Piece, Told, converted

Array = NDArray[np.float64]

VARIABLES = ("tos", "tosforc", "siconc")
"""What can be had; the temperature also under the name for what drives a model."""

_NAME = re.compile(r"^oisst-avhrr-v\d\dr\d\d\.(\d{4})(\d\d)(\d\d)(_preliminary)?\.nc$")

_PERCENT = 1.5
"""Largest ice cover above which shares are percent: at any time some sea is covered
wholly, and what the unit of the file says has been both."""


def find(folder: Path) -> Offering:
    """Return the days that a folder has, in folders of months or not."""
    offering = Offering("OISST")
    found: dict[np.datetime64, tuple[bool, Path]] = {}
    for path in sorted(folder.glob("**/oisst-avhrr-*.nc")):
        named = _named(path)
        if named is None:
            offering.refused.append(
                f"{path} has no name of OISST, oisst-avhrr-v02r01.YYYYMMDD.nc or "
                f"..._preliminary.nc, so that its day and status are not known. "
                f"Rename it as it was."
            )
            continue
        day, is_final = named
        if day not in found or is_final:
            found[day] = is_final, path
    for day, (is_final, path) in sorted(found.items()):
        read = partial(_read, path, day, is_final)
        offering.days[day] = Piece((path,), read)
    if not found:
        offering.refused.append(
            f"{folder} has no file oisst-avhrr-v02r01.YYYYMMDD.nc. Get some, or "
            f"correct the folder; docs/data.md says where they are."
        )
    return offering


def _named(path: Path) -> tuple[np.datetime64, bool] | None:
    """Return the day that a name tells and whether it is final."""
    match = _NAME.match(path.name)
    try:
        stamp = date(*(int(part) for part in match.groups()[:3])) if match else None
    except ValueError:
        return None
    return None if match is None else (np.datetime64(stamp, "D"), match[4] is None)


def _read(
    path: Path, day: np.datetime64, is_final: bool, names: tuple[str, ...]
) -> Told:
    """Return a day."""
    file = steps.index(path, "D")
    if file.steps.tolist() != [day.item()]:
        raise TimeAxisError(
            f"{path} holds {', '.join(map(str, file.steps))}, but its name says {day}. "
            f"Get it again."
        )
    surface = steps.read([file], "sst", file.steps)
    stored = surface.values[0].astype(float)
    temperature = converted(stored, surface.units, "degC", f"{path}: 'sst'")
    fields: dict[str, Array] = {}
    units: dict[str, str] = {}
    for name in names:
        fields[name], units[name] = temperature, surface.units or ""
        if name == "siconc":
            ice = steps.read([file], "ice", file.steps)
            fields[name] = ice_cover(ice.values[0].astype(np.float64), temperature)
            units[name] = ice.units or ""
    return Told(fields, surface.grid, is_final, units)


def ice_cover(ice: Array, temperature: Array) -> Array:
    """Return the share of the sea that is covered.

    Args:
        ice: Shares or percent, NaN where nothing is said; shape (lat, lon).
        temperature: Of the sea, NaN over land; same shape. Sea of which nothing is
            said is open.
    """
    share = ice / 100 if np.nanmax(ice, initial=0.0) > _PERCENT else ice
    return np.where(np.isnan(share) & ~np.isnan(temperature), 0.0, share)
