"""CO2 of the marine boundary layer by latitude: NOAA's reference surface.

A text file with four dozen steps a year: the decimal year, then value and uncertainty
for each of 41 sines of latitude from the South Pole to the North Pole.

Source:
    NOAA GML, https://gml.noaa.gov/ccgg/mbl/mbl.html
    (``co2_GHGreference.<number>_surface.txt``); Masarie and Tans (1995), J. Geophys.
    Res. 100, 11593-11610.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import TimeAxisError, UserError
from emulator.data.readers.files import read_text

Array = NDArray[np.float64]

SINES = np.linspace(-1, 1, 41)
"""Sine of latitude of the columns: every 0.05."""

STEPS_PER_YEAR = 48
"""Four a month, so that each month has as many."""

_STEPS_PER_MONTH = STEPS_PER_YEAR // 12


@dataclass(frozen=True, eq=False)
class BoundaryLayer:
    """Months of the reference surface.

    Attributes:
        months: Whole months, consecutive, datetime64[M]; shape (time,).
        lat: Degrees north, increasing from pole to pole; shape (lat,).
        co2: Mole fraction in dry air, ppm; shape (time, lat).
        sigma: Mean of the stated uncertainties, ppm, which go together within a month;
            shape (time, lat).
    """

    months: NDArray[np.datetime64]
    lat: Array
    co2: Array
    sigma: Array

    def global_mean(self) -> Array:
        """Return the mean over the globe, ppm; shape (time,).

        Equal steps in the sine of latitude are equal areas; the poles bound half a
        step each.
        """
        return np.asarray(np.trapezoid(self.co2, SINES, axis=1) / 2)


def read(path: Path) -> BoundaryLayer:
    """Read a reference surface, as means of its whole months.

    Raises:
        UserError: If the file is not there, holds no numbers, or not 41 pairs a line.
        TimeAxisError: If its steps are not the 48 of each year, one after the other.
    """
    if not path.is_file():
        raise UserError(
            f"No file '{path}'. Make co2_GHGreference.<number>_surface.txt at "
            f"https://gml.noaa.gov/ccgg/mbl/data.php: CO2, surface, global."
        )
    lines = read_text(path).splitlines()
    lines = [line for line in lines if line.strip() and line[0] != "#"]
    wanted = 1 + 2 * SINES.size
    try:
        rows = [[float(word) for word in line.split()] for line in lines]
    except ValueError as error:
        raise UserError(
            f"{path} holds something that is no number ({error}). Get it again."
        ) from None
    if not rows or any(len(row) != wanted for row in rows):
        count = next((len(row) for row in rows if len(row) != wanted), 0)
        raise UserError(
            f"{path} has a line of {count} numbers, but {wanted} are needed: the "
            f"decimal year, then value and uncertainty at {SINES.size} latitudes. Get "
            f"the global surface."
        )
    table = np.array(rows)
    step = np.floor(table[:, 0] * STEPS_PER_YEAR + 0.25).astype(np.int64)
    if (np.diff(step) != 1).any():
        at = table[:-1][np.diff(step) != 1][0, 0]
        raise TimeAxisError(
            f"{path}: the step after {at:.6f} is not 1/{STEPS_PER_YEAR} of a year "
            f"later. Get it again."
        )
    month, steps = np.unique(step // _STEPS_PER_MONTH, return_counts=True)
    is_whole = np.isin(step // _STEPS_PER_MONTH, month[steps == _STEPS_PER_MONTH])
    if not is_whole.any():
        raise TimeAxisError(
            f"{path} has {step.size} steps, but not the {_STEPS_PER_MONTH} of any "
            f"month. Get more of it."
        )
    whole = table[is_whole, 1:].reshape(-1, _STEPS_PER_MONTH, SINES.size, 2)
    means = whole.mean(axis=1)
    stamps = (month[steps == _STEPS_PER_MONTH] - 1970 * 12).astype("M8[M]")
    lat = np.rad2deg(np.arcsin(SINES))
    return BoundaryLayer(stamps, lat, means[..., 0], means[..., 1])
