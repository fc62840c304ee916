"""Files as the Climate Data Store and NOAA send them, written from known values.

No real ERA5 or OISST file was at hand: layouts follow the documentation of both and the
code of those who read such files.
"""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Times = NDArray[np.datetime64]

UNITS = {
    "t2m": "K",
    "d2m": "K",
    "sp": "Pa",
    "tp": "m",
    "ssrd": "J m**-2",
    "si10": "m s**-1",
    "u10": "m s**-1",
    "v10": "m s**-1",
}

LAT = np.array([90.0, 45.0, 0.0, -45.0, -90.0])
LON = np.arange(0.0, 360.0, 45.0)
"""North first, from Greenwich to the east, rows centred on the poles: as in ERA5."""

SHAPE = (LAT.size, LON.size)
FILL = -32767


def months(first: str, count: int) -> Times:
    return (np.datetime64(first, "M") + np.arange(count)).astype("M8[h]")


def hours(first: str, count: int) -> Times:
    return np.datetime64(first, "h") + np.arange(count)


def uniform(values: Sequence[float] | Array) -> Array:
    """Return a field for each of some values, the same everywhere."""
    return np.multiply.outer(np.asarray(values, np.float64), np.ones(SHAPE))


def old_layout(
    path: Path,
    times: Times,
    fields: Mapping[str, Array],
    *,
    preliminary: NDArray[np.bool_] | None = None,
    lat: Array = LAT,
    lon: Array = LON,
) -> Path:
    """Write a file of the CDS of before September 2024.

    Values are packed in 16 bits. With ``preliminary`` there is a dimension ``expver``
    of ERA5 (1) and ERA5T (5), and each time has values in one of the two; without, the
    file does not say which it is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        _horizontal(file, lat, lon)
        file.createDimension("time", times.size)
        time = file.createVariable("time", "i4", ("time",))
        time.units, time.calendar = "hours since 1900-01-01 00:00:00.0", "gregorian"
        time[:] = (times - np.datetime64("1900-01-01", "h")).astype(np.int64)
        dims: tuple[str, ...] = ("time", "latitude", "longitude")
        if preliminary is not None:
            file.createDimension("expver", 2)
            file.createVariable("expver", "i4", ("expver",))[:] = [1, 5]
            dims = ("time", "expver", "latitude", "longitude")
        for name, values in fields.items():
            variable = file.createVariable(name, "i2", dims, fill_value=FILL)
            variable.set_auto_maskandscale(False)
            low, high = float(values.min()), float(values.max())
            scale = (high - low) / 60000 or 1.0
            variable.scale_factor, variable.add_offset = scale, (low + high) / 2
            variable.missing_value = np.int16(FILL)
            variable.units = UNITS[name]
            packed = np.rint((values - (low + high) / 2) / scale).astype(np.int16)
            if preliminary is None:
                variable[:] = packed
                continue
            both = np.full((times.size, 2, *packed.shape[1:]), FILL, np.int16)
            both[np.arange(times.size), preliminary.astype(int)] = packed
            variable[:] = both
    return path


def new_layout(
    path: Path,
    times: Times,
    fields: Mapping[str, Array],
    *,
    preliminary: NDArray[np.bool_] | bool = False,
    lat: Array = LAT,
    lon: Array = LON,
) -> Path:
    """Write a file of today's CDS: ``valid_time``, and ``expver`` along it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        _horizontal(file, lat, lon)
        file["latitude"].stored_direction = "decreasing"
        file.createVariable("number", "i8", ())[...] = 0
        file.createDimension("valid_time", times.size)
        time = file.createVariable("valid_time", "i8", ("valid_time",))
        time.units = "seconds since 1970-01-01"
        time.calendar = "proleptic_gregorian"
        time[:] = times.astype("M8[s]").astype(np.int64)
        version = file.createVariable("expver", str, ("valid_time",))
        late = np.broadcast_to(preliminary, times.shape)
        version[:] = np.array(["0005" if one else "0001" for one in late], object)
        dims = ("valid_time", "latitude", "longitude")
        for name, values in fields.items():
            variable = file.createVariable(name, "f4", dims, fill_value=np.nan)
            variable.units = UNITS[name]
            variable.coordinates = "number valid_time latitude longitude expver"
            variable[:] = values
    return path


def zipped(path: Path, *parts: Path) -> Path:
    """Put files into a zip, and remove them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts:
            archive.write(part, part.name)
            part.unlink()
    return path


def oisst(
    folder: Path,
    day: str,
    sst: Array,
    ice: Array | None = None,
    *,
    preliminary: bool = False,
    inside: str | None = None,
    lat: Array | None = None,
    lon: Array | None = None,
) -> Path:
    """Write a day of OISST: packed by 0.01, NaN as -999, no ice where none is seen."""
    rows, columns = sst.shape
    lat = -90 + (np.arange(rows) + 0.5) * 180 / rows if lat is None else lat
    lon = (np.arange(columns) + 0.5) * 360 / columns if lon is None else lon
    stamp = day.replace("-", "")
    word = "_preliminary" if preliminary else ""
    path = folder / stamp[:6] / f"oisst-avhrr-v02r01.{stamp}{word}.nc"
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("time", [0]), ("zlev", [0]), ("lat", lat), ("lon", lon)):
            file.createDimension(name, len(values))
            file.createVariable(name, "f4", (name,))[:] = values
        file["time"].units = "days since 1978-01-01 12:00:00"
        begun = np.datetime64("1978-01-01", "D")
        file["time"][:] = (np.datetime64(inside or day, "D") - begun).astype(int)
        nothing = np.full(sst.shape, np.nan)
        for name, units, values in (
            ("sst", "Celsius", sst),
            ("ice", "%", nothing if ice is None else ice),
        ):
            dims = ("time", "zlev", "lat", "lon")
            variable = file.createVariable(name, "i2", dims, fill_value=-999)
            variable.set_auto_maskandscale(False)
            variable.scale_factor, variable.add_offset = np.float32(0.01), np.float32(0)
            variable.units = units
            packed = np.where(np.isnan(values), -999, np.rint(values / 0.01))
            variable[:] = packed.astype(np.int16)[None, None]
    return path


def co2_table(path: Path, first: str, trend: Sequence[float]) -> Path:
    """Write NOAA's co2_mm_gl.csv; the mean has a season of 2 ppm that trend has not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["# NOAA GML, as its header, of no fixed length"]
    lines += ["year,month,decimal,average,average_unc,trend,trend_unc"]
    for place, value in enumerate(trend):
        month = np.datetime64(first, "M") + place
        year, number = (int(part) for part in str(month).split("-"))
        decimal = year + (number - 0.5) / 12
        season = 2 * np.cos(2 * np.pi * number / 12)
        row = f"{decimal:.3f},{value + season:.2f},0.10,{value:.3f},0.06"
        lines.append(f"{year},{number},{row}")
    path.write_text("\n".join(lines) + "\n")
    return path


def _horizontal(file: netCDF4.Dataset, lat: Array, lon: Array) -> None:
    for name, values, units in (
        ("latitude", lat, "degrees_north"),
        ("longitude", lon, "degrees_east"),
    ):
        file.createDimension(name, values.size)
        file.createVariable(name, "f8", (name,))[:] = values
        file[name].units = units
