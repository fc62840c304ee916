"""Write tiny NetCDF files in the manners of real ones, and their catalog entries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np

from emulator.data.entry import Entry, parse_entry

STEP = 45.0
LAT = np.arange(-67.5, 90, STEP)
LON = np.arange(-157.5, 180, STEP)
SHAPE = (LAT.size, LON.size)


def law(months: int) -> np.ndarray:
    """A field that tells row, column and month apart, of the size of a flux."""
    rows = np.arange(LAT.size)[:, None] * 1e-9
    columns = np.arange(LON.size)[None, :] * 1e-10
    time = np.arange(months)[:, None, None] * 1e-12
    return (1e-9 + time + rows + columns).astype("f4")


def write(
    path: Path,
    name: str,
    values: np.ndarray,
    *,
    lat: np.ndarray = LAT,
    lon: np.ndarray = LON,
    time: np.ndarray | None = None,
    time_units: str | None = "days since 1700-01-01",
    calendar: str | None = "noleap",
    units: str | None = "kg C m-2 s-1",
    dims: tuple[str, ...] | None = None,
    attrs: Mapping[str, Any] | None = None,
    fill: float | None = None,
    file_format: str = "NETCDF4",
    unit_attribute: str = "units",
) -> Path:
    """Write one variable; by default like TRENDY, monthly from January 2000."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if dims is None:
        dims = ("time", "lat", "lon") if values.ndim == 3 else ("lat", "lon")
    steps = [n for dim, n in zip(dims, values.shape, strict=True) if "time" in dim]
    if time is None and steps:
        time = noleap_days(2000, steps[0])
    with netCDF4.Dataset(path, "w", format=file_format) as file:
        for dim, size in zip(dims, values.shape, strict=True):
            file.createDimension(dim, size)
        for dim in dims:
            if dim.lower() in ("lat", "latitude", "lat_full"):
                file.createVariable(dim, "f8", (dim,))[:] = lat
            elif dim.lower() in ("lon", "longitude", "lon_full"):
                file.createVariable(dim, "f8", (dim,))[:] = lon
            elif dim.lower().startswith("time") and time is not None:
                axis = file.createVariable(dim, "f8", (dim,))
                if time_units is not None:
                    axis.setncattr(unit_attribute, time_units)
                if calendar is not None:
                    axis.calendar = calendar
                axis[:] = time
        variable = file.createVariable(name, values.dtype, dims, fill_value=fill)
        variable.set_auto_maskandscale(False)
        if units is not None:
            variable.setncattr(unit_attribute, units)
        for key, value in (attrs or {}).items():
            variable.setncattr(key, value)
        variable[:] = values
    return path


def noleap_days(first_year: int, months: int) -> np.ndarray:
    """Days since 1700-01-01 of mid-months in a calendar without leap years."""
    lengths = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    index = np.arange(months)
    middle = starts[index % 12] + lengths[index % 12] / 2
    return (first_year - 1700 + index // 12) * 365 + middle


def entry(**changes: Any) -> Entry:
    """A teacher ``tiny`` with one simulation, in folders like TRENDY's."""
    said: dict[str, Any] = {
        "name": "tiny",
        "kind": "teacher",
        "domain": "land",
        "reader": "trendy",
        "evidence": "testbed",
        "root": "tiny",
        "files": "{simulation}/tiny_{simulation}_{variable}*.nc",
        "variables": {"nbp": {}, "gpp": {}, "ra": {}, "rh": {}, "fFire": {}},
        "years": [2000, 2001],
        "simulations": {
            "S2": {
                "weather": [{"years": [2000, None], "same": True}],
                "co2": {"constant": 280},
            }
        },
        "land_fraction": {"treatment": "none"},
    }
    said.update(changes)
    said = {key: value for key, value in said.items() if value is not None}
    return parse_entry(said["name"], said, f"{said['name']}.yaml")


def forcing_entry(**changes: Any) -> Entry:
    """A forcing product ``weather`` with one file a variable."""
    said = {
        "kind": "forcing",
        "name": "weather",
        "root": "",
        "reader": "gridded",
        "files": "{variable}.nc",
        "variables": {"tas": {}},
        "simulations": None,
        "land_fraction": None,
    }
    return entry(**{**said, **changes})
