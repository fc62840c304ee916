"""Files of JRA-3Q as NCAR has them and of NCEP-DOE R2 as NOAA has them.

No real file of either was at hand: names are those that other people's code reads, the
rest (packing, time, bounds) is the usual of both centres.
"""

from pathlib import Path

import netCDF4
import numpy as np

from tests.data.centre_files import Array, Times

REGULAR = np.linspace(90.0, -90.0, 5)
"""Rows of a grid with the poles, north first, as ll125."""

GAUSSIAN = np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(6)[0]))[::-1]
"""Rows of a Gaussian grid, north first."""

LON = np.arange(0.0, 360.0, 45.0)

JRA_UNITS = {
    "tmp2m-hgt-an": "K",
    "spfh2m-hgt-an": "kg kg**-1",
    "pres-sfc-an": "Pa",
    "tprate1have-sfc-fc": "kg m**-2 s**-1",
    "dswrf1have-sfc-fc": "W m**-2",
    "ugrd10m-hgt-an": "m s**-1",
    "vgrd10m-hgt-an": "m s**-1",
}

NCEP_UNITS = {
    "air.2m": "degK",
    "shum.2m": "kg/kg",
    "pres.sfc": "Pascals",
    "prate.sfc": "Kg/m^2/s",
    "dswrf.sfc": "W/m^2",
    "uwnd.10m": "m/s",
    "vwnd.10m": "m/s",
}


def over(values: Array, lat: Array) -> Array:
    """Return a field for each value, the same everywhere; shape (time, lat, lon)."""
    return np.multiply.outer(np.asarray(values, float), np.ones((lat.size, LON.size)))


def jra3q(
    folder: Path,
    name: str,
    times: Times,
    values: Array,
    *,
    grid: str = "ll125",
    monthly: bool = False,
    bounds: int | None = None,
    units: str | None = None,
) -> Path:
    """Write a variable of JRA-3Q.

    Args:
        folder: Where.
        name: Without grid, e.g. ``tmp2m-hgt-an``.
        times: Hours.
        values: The same everywhere; shape (time,).
        grid: ll125 or gauss.
        monthly: Whether it is of d640002, means of months.
        bounds: Hours before a stamp at which its mean begins; no bounds without.
        units: Instead of those of ``JRA_UNITS``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lat = REGULAR if grid == "ll125" else GAUSSIAN
    whole = f"{name}-{grid}" + ("-mn" if monthly else "")
    product = "jra3q-ms-mn" if monthly else "jra3q"
    ends = "_".join(
        str(one)[:13].replace("-", "").replace("T", "") for one in (times[0], times[-1])
    )
    path = folder / f"{product}.stream.0_0_0.{whole}.{ends}.nc"
    with netCDF4.Dataset(path, "w") as file:
        _axes(file, times, lat, "hours since 1947-09-01 00:00:00")
        if bounds is not None:
            file.createDimension("nv", 2)
            file["time"].bounds = "time_bnds"
            begun = np.asarray(file["time"][:]) - bounds
            both = np.stack([begun, begun + 1], axis=1)
            file.createVariable("time_bnds", "f8", ("time", "nv"))[:] = both
        variable = file.createVariable(whole, "f4", ("time", "lat", "lon"))
        variable.units = JRA_UNITS[name] if units is None else units
        variable[:] = over(values, lat)
    return path


def ncep(
    folder: Path,
    level: str,
    times: Times,
    values: Array,
    *,
    name: str | None = None,
    units: str | None = None,
    bounds: int | None = None,
) -> Path:
    """Write a variable of NCEP-DOE R2, packed in 16 bits, at one level.

    Args:
        folder: Where.
        level: As the name of the file begins, e.g. ``air.2m``.
        times: Hours.
        values: The same everywhere; shape (time,).
        name: Of the file; by default that of a year.
        units: Instead of those of ``NCEP_UNITS``.
        bounds: Hours after a stamp at which its mean ends; no bounds without.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{level}.gauss.{str(times[0])[:4]}.nc")
    with netCDF4.Dataset(path, "w", format="NETCDF4_CLASSIC") as file:
        _axes(file, times, GAUSSIAN, "hours since 1800-01-01 00:00:0.0")
        if bounds is not None:
            file.createDimension("nbnds", 2)
            file["time"].bounds = "time_bnds"
            begun = np.asarray(file["time"][:])
            both = np.stack([begun, begun + bounds], axis=1)
            file.createVariable("time_bnds", "f8", ("time", "nbnds"))[:] = both
        file.createDimension("level", 1)
        file.createVariable("level", "f4", ("level",))[:] = 2.0
        dims = ("time", "level", "lat", "lon")
        variable = file.createVariable(level.split(".")[0], "i2", dims)
        variable.set_auto_maskandscale(False)
        scale = max(float(np.abs(values).max()), 1e-9) / 30000
        variable.scale_factor, variable.add_offset = scale, 0.0
        variable.missing_value = np.int16(32766)
        variable.units = NCEP_UNITS[level] if units is None else units
        packed = np.rint(over(values, GAUSSIAN) / scale).astype(np.int16)
        variable[:] = packed[:, None]
    return path


def _axes(file: netCDF4.Dataset, times: Times, lat: Array, since: str) -> None:
    for name, values in (("lat", lat), ("lon", LON)):
        file.createDimension(name, values.size)
        file.createVariable(name, "f4", (name,))[:] = values
    file.createDimension("time", None)
    time = file.createVariable("time", "f8", ("time",))
    time.units = since
    begun = np.datetime64(since.split()[2], "h")
    time[:] = (times - begun).astype(np.int64)
