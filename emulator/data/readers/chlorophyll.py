"""Monthly chlorophyll at the sea surface: ESA Ocean Colour CCI, and Copernicus level 4.

Both come at 4 km, with gaps where clouds, ice or a low sun hid the sea, and none of the
files says what is land. Fields of that size are a hundred times those of other forcing:
they are averaged over cells of a quarter degree as they are read, by area and over what
was seen; a cell of which less than ``LEAST_SEEN`` was seen has no value. A coarser cell
is then the mean of those of its quarter-degree cells that have one.

ESA CCI: one file a month,
``ESACCI-OC-L3S-CHLOR_A-MERGED-1M_MONTHLY_4km_GEO_PML_OCx-YYYYMM-fv6.0.nc``, rows from
north to south; all months of an edition are final. High latitudes have no value in
winter: as forcing it covers the seas that are seen all year.

Source:
    Sathyendranath et al. (2019), Sensors 19; product user guide of Ocean Colour CCI 6.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from emulator.carbon.grid import Grid, overlap
from emulator.data.readers import copernicus_marine
from emulator.data.readers.products import Offering
from emulator.data.readers.steps import StepFile
from emulator.data.readers.surface_months import Edition, Field, indexed, offer

VARIABLES = ("chlos",)
"""What can be had."""

STEP = 0.25
"""Degrees; 6 x 6 cells of 4 km."""

LEAST_SEEN = 0.25
"""Share of a cell that must have been seen: 9 of 36. Most with less are coast or the
edge of ice, where a few pixels are no mean of the cell."""

_NAME = re.compile(
    r"^ESACCI-OC-L3S-CHLOR_A-MERGED-1M_MONTHLY_4km_\w+-"
    r"(\d{4})(0[1-9]|1[0-2])-fv(\d+\.\d+)\.nc$"
)

_SOURCES = {"chlos": "chlor_a"}


def find_cci(
    folder: Path, names: Sequence[str] = VARIABLES, *, step: float = STEP
) -> Offering:
    """Return the months that a folder has of Ocean Colour CCI.

    Args:
        folder: Holds files of months, in folders or not.
        names: Variables that are wanted, of ``VARIABLES``.
        step: Degrees of the cells that are told.
    """
    offering = Offering("OC-CCI")
    paths = sorted(folder.glob("**/ESACCI-OC-L3S-CHLOR_A-*.nc"))
    editions = {match[3] for path in paths if (match := _NAME.match(path.name))}
    if len(editions) > 1:
        offering.refused.append(
            f"{folder} has files of the editions {sorted(editions)}, which differ, but "
            f"a series is of one. Keep one."
        )
        return offering
    files = [file for file in indexed(paths, offering) if _is_as_named(file, offering)]
    becomes = partial(coarser, target=Grid.regular(step))
    offer(offering, [Edition(files, True)], _SOURCES, names, becomes=becomes)
    if not offering.months:
        offering.refused.append(
            f"{folder} has no month of chlorophyll in files ESACCI-OC-L3S-CHLOR_A-"
            f"MERGED-1M_MONTHLY_4km_GEO_PML_OCx-YYYYMM-fv6.0.nc. Get some, or correct "
            f"the folder; docs/data.md says where they are."
        )
    return offering


def find_copernicus(
    folder: Path, names: Sequence[str] = VARIABLES, *, step: float = STEP
) -> Offering:
    """Return the months that a folder has of Copernicus Marine's level 4.

    Arguments are those of ``find_cci``.
    """
    becomes = partial(coarser, target=Grid.regular(step))
    dataset = copernicus_marine.CHLOROPHYLL
    return copernicus_marine.find(dataset, folder, names, becomes=becomes)


def coarser(field: Field, target: Grid) -> Field:
    """Return the mean of a field over larger cells, by area and over what was seen.

    Args:
        field: Values, NaN where nothing was seen, of shape (lat, lon), and their grid.
        target: The larger cells.

    Returns:
        Float64 values, NaN where less than ``LEAST_SEEN`` of a cell was seen, and
        ``target``.
    """
    values, source = field
    rows, columns = (sparse.csr_array(one) for one in overlap(source, target))
    seen = ~np.isnan(values)
    amount = (rows @ np.where(seen, values, 0)) @ columns.T
    share = (rows @ seen.astype(np.float32)) @ columns.T
    # Shares are sums of products of differences of sines: 9 of 36 may be a hair less.
    is_enough = share >= LEAST_SEEN * (1 - 1e-6)
    mean: NDArray[np.float64] = np.full(target.shape, np.nan)
    np.divide(amount, share, out=mean, where=is_enough)
    return mean, target


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
