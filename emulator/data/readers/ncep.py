"""NCEP-DOE Reanalysis 2, as the Physical Sciences Laboratory of NOAA has it.

A file holds a variable and a year, ``air.2m.gauss.2025.nc``, of which means of days
and values of each six hours have the same name; or all months,
``air.2m.mon.mean.nc``. Variables are called alike at all levels (``air``), so that the
name of the file says which is meant. The grid is Gaussian, of 94 rows.

Source:
    Kanamitsu et al. (2002), Bulletin of the American Meteorological Society 83. Names:
    psl.noaa.gov, as other people's code reads them; units are those that the files
    state.
"""

from collections.abc import Sequence
from pathlib import Path

from emulator.data.readers import analyses
from emulator.data.readers.analyses import Layout
from emulator.data.readers.products import Offering

_QUANTITIES = {
    "air.2m": "temperature",
    "shum.2m": "humidity",
    "pres.sfc": "pressure",
    "prate.sfc": "rain",
    "dswrf.sfc": "light",
    "uwnd.10m": "east",
    "vwnd.10m": "north",
}
"""By the beginning of the name of a file; its first part is the variable's name."""


def find(folder: Path, names: Sequence[str]) -> Offering:
    """Return what a folder has; arguments as those of ``analyses.find``."""
    return analyses.find(folder, names, Layout("NCEP-DOE R2", _quantity, hours=(6, 6)))


def _quantity(path: Path, name: str) -> str | None:
    """Return the quantity that a variable of a file is."""
    level = ".".join(path.name.split(".")[:2])
    return _QUANTITIES.get(level) if level.startswith(f"{name}.") else None
