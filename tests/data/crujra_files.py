"""Files of CRU-JRA, written from known values.

No real file was at hand: names and layout follow the code of groups that take part in
TRENDY and the lists of its files.
"""

import gzip
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

LAT = np.array([-67.5, -22.5, 22.5, 67.5])
LON = -180 + 45 * (np.arange(8) + 0.5)
SHAPE = (LAT.size, LON.size)
LAND = np.arange(32).reshape(SHAPE) % 2 == 0
"""Land only: every other cell."""

STEPS = 1460
MONTH_OF_STEP = np.repeat(
    np.arange(12), 4 * np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
)
"""Place of the month of each step; no year has a 29 February."""

UNITS = {
    "tmp": "Degrees Kelvin",
    "pre": "mm/6h",
    "spfh": "kg/kg",
    "pres": "Pascals",
    "ugrd": "m/s",
    "vgrd": "m/s",
    "dlwrf": "W/m^2",
    "tswrf": "W/m2",
    "dswrf": "J/m^2",
    "fd": "W/m2",
}


def year_file(
    folder: Path,
    name: str,
    year: int,
    values: Array,
    *,
    edition: str = "v3",
    units: str | None = "",
    packed: bool = False,
    inside: str | None = None,
    lon: Array = LON,
) -> Path:
    """Write a year of one variable.

    Args:
        folder: Where to; made if need be.
        name: The variable.
        year: The year.
        values: One value a step, the same on all land, or one for each cell too.
        edition: As it stands in the name of the file.
        units: The attribute; that of ``UNITS`` when empty, left out when None.
        packed: Whether to pack with gzip.
        inside: The variable in the file, where it is called otherwise.
        lon: Longitudes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    radiation = name in ("tswrf", "fd")
    path = folder / f"crujra.{edition}.5d.{name}.{year}.365d.noc.nc"
    if radiation:
        path = folder / f"{name}_{edition}_{year}.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF4_CLASSIC") as file:
        file.createDimension("time", len(values))
        for axis, centres, unit in (
            ("lat", LAT, "degrees_north"),
            ("lon", lon, "degrees_east"),
        ):
            file.createDimension(axis, centres.size)
            file.createVariable(axis, "f4", (axis,))[:] = centres
            file[axis].units = unit
        time = file.createVariable("time", "f4", ("time",))
        time.units, time.calendar = "days since 1901-01-01 00:00:00", "365_day"
        time[:] = 365 * (year - 1901) + np.arange(len(values)) / 4
        variable = file.createVariable(
            inside or name, "f4", ("time", "lat", "lon"), fill_value=-999.9
        )
        if units is not None:
            variable.units = units or UNITS[name]
        cells = np.asarray(values, np.float64)
        cells = cells if cells.ndim == 3 else cells[:, None, None] * np.ones(SHAPE)
        variable[:] = np.where(LAND, cells, -999.9)
    if not packed:
        return path
    archive = path.with_name(f"{path.name}.gz")
    archive.write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()
    return archive
