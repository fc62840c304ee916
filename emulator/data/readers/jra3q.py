"""JRA-3Q, the reanalysis of the Japan Meteorological Agency, as NCAR has it.

A file holds a variable and a month, named for what it holds:
``jra3q.anl_surf125.0_0_0.tmp2m-hgt-an-ll125.2025060100_2025063018.nc``, and
``jra3q-ms-mn....tmp2m-hgt-an-ll125-mn....nc`` with the mean of the month. States are
analyses of each six hours, rates are of forecasts and of one hour each; grids are of
1.25 degree (``ll125``) or Gaussian (``gauss``). A folder keeps to one.

Source:
    Kosaka et al. (2024), Journal of the Meteorological Society of Japan 102. Names of
    files and variables: NCAR GDEX d640000 and d640002, as other people's code reads
    them; units are those that the files state.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from emulator.data.readers import analyses
from emulator.data.readers.analyses import Layout
from emulator.data.readers.products import Offering

_NAME = re.compile(r"^(?P<name>[a-z0-9]+-[a-z]+-(?:an|fc))-(?:ll125|gauss)(?:-mn)?$")

_QUANTITIES = {
    "tmp2m-hgt-an": "temperature",
    "spfh2m-hgt-an": "humidity",
    "pres-sfc-an": "pressure",
    "tprate1have-sfc-fc": "rain",
    "dswrf1have-sfc-fc": "light",
    "ugrd10m-hgt-an": "east",
    "vgrd10m-hgt-an": "north",
}


def find(folder: Path, names: Sequence[str]) -> Offering:
    """Return what a folder has; arguments as those of ``analyses.find``."""
    return analyses.find(folder, names, Layout("JRA-3Q", _quantity, hours=(6, 1)))


def _quantity(_: Path, name: str) -> str | None:
    """Return the quantity that a variable is."""
    match = _NAME.match(name)
    return _QUANTITIES.get(match["name"]) if match else None
