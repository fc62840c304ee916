"""Monthly sea surface temperature: NOAA ERSSTv5.

Either one file a month, ``ersst.v5.YYYYMM.nc``, as NCEI offers them (a level ``lev`` of
length one; attributes of before and after 2008 differ, so that nothing is taken from
them but the unit), or all months in one, ``sst.mnmean.nc`` of PSL. The analysis is of
whole months, of which all count as final; one that is analysed again counts as a
revision.

Source:
    Huang et al. (2017), Journal of Climate 30; names of files and variables: NOAA NCEI
    and PSL.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emulator.data.readers.products import Offering
from emulator.data.readers.steps import StepFile
from emulator.data.readers.surface_months import Edition, indexed, offer

VARIABLES = ("tos", "tosforc")
"""What can be had; the temperature also under the name for what drives a model."""

_SOURCES = dict.fromkeys(VARIABLES, "sst")

_NAME = re.compile(r"^ersst\.v(\d+)\.(\d{4})(0[1-9]|1[0-2])\.nc$")

_PATTERNS = ("**/ersst*.nc", "**/sst.mnmean*.nc")


def find(folder: Path, names: Sequence[str] = VARIABLES) -> Offering:
    """Return the months that a folder has.

    Args:
        folder: Holds files of months, in folders or not.
        names: Variables that are wanted, of ``VARIABLES``.
    """
    offering = Offering("ERSSTv5")
    paths = sorted({path for one in _PATTERNS for path in folder.glob(one)})
    files = [
        file
        for file in indexed(paths, offering)
        if _is_as_named(file.path, file, offering)
    ]
    offer(offering, [Edition(files, is_final=True)], _SOURCES, names)
    if not offering.months:
        offering.refused.append(
            f"{folder} has no month of sea surface temperature in files "
            f"ersst.v5.YYYYMM.nc or sst.mnmean.nc. Get some, or correct the folder; "
            f"docs/data.md says where they are."
        )
    return offering


def _is_as_named(path: Path, file: StepFile, offering: Offering) -> bool:
    """Return whether a file is of the version and the month of its name."""
    match = _NAME.match(path.name)
    if match is None:
        return True
    version, year, month = match.groups()
    wrong = None
    if version != "5":
        wrong = f"is of version {version}, but months of version 5 are needed"
    elif not np.array_equal(file.steps, [np.datetime64(f"{year}-{month}", "M")]):
        held = ", ".join(map(str, file.steps))
        wrong = f"holds {held}, but its name says {year}-{month}"
    if wrong:
        offering.refused.append(f"{path} {wrong}. Get it again, or remove it.")
    return wrong is None
