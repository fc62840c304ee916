"""Monthly chlorophyll at the sea surface: ESA Ocean Colour CCI.

One file a month at 4 km, rows from north to south,
``ESACCI-OC-L3S-CHLOR_A-MERGED-1M_MONTHLY_4km_GEO_PML_OCx-YYYYMM-fv6.0.nc``; all months
of an edition are final. There are gaps where clouds, ice or a low sun hid the sea, and
nothing in a file says what is land. Cells of a quarter degree get the mean of what was
seen of them, and none if that is less than ``LEAST_SEEN``; a coarser cell is then the
mean of those of its quarter-degree cells that have one. High latitudes have no value in
winter: as forcing it covers the seas that are seen all year.

Source:
    Sathyendranath et al. (2019), Sensors 19; product user guide of Ocean Colour CCI 6.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from emulator.data.readers.products import Offering
from emulator.data.readers.steps import StepFile
from emulator.data.readers.surface_months import STEP, Edition, indexed, offer

VARIABLES = ("chlos",)
"""What can be had."""

LEAST_SEEN = 0.25
"""Share of a cell that must have been seen: 9 of 36. Most with less are coast or the
edge of ice, where a few pixels are no mean of the cell."""

_NAME = re.compile(
    r"^ESACCI-OC-L3S-CHLOR_A-MERGED-1M_MONTHLY_4km_\w+-"
    r"(\d{4})(0[1-9]|1[0-2])-fv(\d+\.\d+)\.nc$"
)

_SOURCES = {"chlos": "chlor_a"}


def find(
    folder: Path, names: Sequence[str] = VARIABLES, *, step: float = STEP
) -> Offering:
    """Return the months that a folder has of Ocean Colour CCI.

    Args:
        folder: Holds files of months, in folders or not.
        names: Variables that are wanted, of ``VARIABLES``.
        step: Degrees of the smallest cells that are told.
    """
    offering = Offering("OC-CCI")
    paths = sorted(folder.glob("**/ESACCI-OC-L3S-CHLOR_A-*.nc"))
    versions = {match[3] for path in paths if (match := _NAME.match(path.name))}
    if len(versions) > 1:
        offering.refused.append(
            f"{folder} has files of the editions {sorted(versions)}, which differ, but "
            f"a series is of one. Keep one."
        )
        return offering
    files = [file for file in indexed(paths, offering) if _is_as_named(file, offering)]
    editions = [Edition(files, is_final=True)]
    offer(offering, editions, _SOURCES, names, step=step, least=LEAST_SEEN)
    if not offering.months:
        offering.refused.append(
            f"{folder} has no month of chlorophyll in files ESACCI-OC-L3S-CHLOR_A-"
            f"MERGED-1M_MONTHLY_4km_GEO_PML_OCx-YYYYMM-fv6.0.nc. Get some, or correct "
            f"the folder; docs/data.md says where they are."
        )
    return offering


def _is_as_named(file: StepFile, offering: Offering) -> bool:
    """Return whether a file has a name of the product, and is of its month."""
    match = _NAME.match(file.path.name)
    wrong = "has no name of a monthly file at 4 km, so that its edition is not known"
    if match is not None:
        month = np.datetime64(f"{match[1]}-{match[2]}", "M")
        if np.array_equal(file.steps, [month]):
            return True
        held = ", ".join(map(str, file.steps))
        wrong = f"holds {held}, but its name says {month}"
    offering.refused.append(f"{file.path} {wrong}. Get it again, or remove it.")
    return False
