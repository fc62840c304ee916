"""Errors of forecasts as maps, which `calibrate` keeps for the draws of a night.

Apart from the fits that made them: a night reads them, and fits nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emulator.carbon.errors import CheckpointError
from emulator.carbon.grid import Grid
from emulator.data.writing import written_whole
from emulator.evaluation.task import Array

ERRORS_FILE = "calibration_errors.npz"


@dataclass(frozen=True, eq=False)
class ErrorFields:
    """Truth - mean over members and teachers, of each month that was forecast.

    Attributes:
        months: Increasing, datetime64[M]; shape (time,).
        grid: A coarse grid.
        area: Area of the domain in each cell, m2; shape (lat, lon).
        errors: kg m-2 s-1 per area of the domain, NaN where it has none, float32;
            shape (time, lat, lon).
    """

    months: npt.NDArray[np.datetime64]
    grid: Grid
    area: Array
    errors: Array

    def write(self, path: Path) -> None:
        """Write the fields, under their name only when they are whole."""
        with written_whole(path) as part:
            np.savez_compressed(
                part,
                allow_pickle=False,
                months=self.months.astype("M8[M]").astype(np.int64),
                lat=self.grid.lat,
                lon=self.grid.lon,
                area=self.area,
                errors=self.errors.astype(np.float32),
            )


def read_errors(path: Path) -> ErrorFields:
    """Read what ``ErrorFields.write`` wrote.

    Raises:
        CheckpointError: If there is no such file, or it is none of these.
    """
    try:
        with np.load(path) as kept:
            return ErrorFields(
                kept["months"].astype("M8[M]"),
                Grid(lat=kept["lat"], lon=kept["lon"]),
                kept["area"],
                kept["errors"],
            )
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"{path} holds no error fields that can be read ({error}). Calibrate the "
            f"run again."
        ) from error
