"""Files of NOAA, Copernicus Marine and ESA at sea, written from known values.

Of ERSSTv5 a real file was at hand, of the others none: their layouts follow the user
manuals and the code of those who read such files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import netCDF4
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

DEPTHS = np.array([0.494, 1.541, 2.646])
"""m; the first levels of GLORYS12."""

MONTHLY = "cmems_mod_glo_phy{part}_{edition}_0.083deg_P1M-m"
SALINITY = "cmems_obs-mob_glo_phy-sss_{edition}_multi_P1M"
CHLOROPHYLL = "cmems_obs-oc_glo_bgc-plankton_{edition}_l4-multi-4km_P1M"

FILL = -32767


def ersst_month(
    folder: Path,
    month: str,
    sst: Array,
    *,
    inside: str | None = None,
    version: int = 5,
) -> Path:
    """Write a month of ERSST as NCEI does; attributes change with 2008.

    ``sst`` has 89 rows from 88 S and 180 columns from Greenwich.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"ersst.v{version}.{month.replace('-', '')}.nc"
    is_old = month < "2008"
    kind = "NETCDF3_CLASSIC" if is_old else "NETCDF4"
    since = "1854-01-15" if is_old else "1800-01-01"
    with netCDF4.Dataset(path, "w", format=kind) as file:
        for name, values in (
            ("time", [0.0]),
            ("lev", [0.0]),
            ("lat", np.arange(-88.0, 89.0, 2)),
            ("lon", np.arange(0.0, 360.0, 2)),
        ):
            file.createDimension(name, len(values))
            file.createVariable(name, "f4" if is_old else "f8", (name,))[:] = values
        stamp = np.datetime64(f"{inside or month}-15" if is_old else f"{month}-01", "D")
        days = float((stamp - np.datetime64(since, "D")).astype(int))
        file["time"].units = f"days since {since} 00:00:00"
        file["time"][:] = days
        for name, values in (("sst", sst), ("ssta", 0 * sst)):
            dims = ("time", "lev", "lat", "lon")
            variable = file.createVariable(name, "f4", dims, fill_value=-999.0)
            variable.units = "degree_C" if is_old else "Celsius"
            variable[:] = np.where(np.isnan(sst), -999.0, values)[None, None]
    return path


def ersst_series(path: Path, first: str, sst: Array) -> Path:
    """Write months in one file as PSL does: north first, no level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (
            ("lat", np.arange(88.0, -89.0, -2)),
            ("lon", np.arange(0.0, 360.0, 2)),
            ("time", _days(first, len(sst), "1800-01-01")),
        ):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
        file["time"].units = "days since 1800-1-1 00:00:00"
        fill = np.float32(-9.96921e36)
        variable = file.createVariable("sst", "f4", ("time", "lat", "lon"))
        variable.missing_value, variable.units = fill, "degC"
        variable[:] = np.where(np.isnan(sst), fill, sst)[:, ::-1]
    return path


def glorys(
    path: Path,
    first: str,
    fields: Mapping[str, Array],
    *,
    lat: Array,
    lon: Array,
    depths: Array = DEPTHS,
) -> Path:
    """Write months of GLORYS12: packed in 16 bits, levels below the first are colder.

    Args:
        path: Where to.
        first: The first month.
        fields: By name in the file, of the surface; (time, lat, lon). ``thetao`` and
            ``so`` get levels, each of 1 less.
        lat: Degrees north.
        lon: Degrees east.
        depths: The levels, m.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(next(iter(fields.values())))
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (
            ("time", 24.0 * _days(first, count, "1950-01-01") + 360),
            ("depth", depths),
            ("latitude", lat),
            ("longitude", lon),
        ):
            file.createDimension(name, len(values))
            file.createVariable(name, "f4", (name,))[:] = values
        file["time"].units = "hours since 1950-01-01 00:00:00"
        file["time"].calendar = "gregorian"
        for name, values in fields.items():
            cells = np.asarray(values, np.float64)
            dims: tuple[str, ...] = ("time", "latitude", "longitude")
            if name in ("thetao", "so"):
                dims = ("time", "depth", "latitude", "longitude")
                cells = cells[:, None] - np.arange(depths.size)[:, None, None]
            variable = file.createVariable(name, "i2", dims, fill_value=FILL)
            variable.set_auto_maskandscale(False)
            low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
            scale = (high - low) / 60000 or 1.0
            variable.scale_factor, variable.add_offset = scale, (low + high) / 2
            variable.units = {"thetao": "degrees_C", "so": "1e-3"}.get(name, "m")
            packed = np.rint((cells - (low + high) / 2) / scale)
            variable[:] = np.where(np.isnan(cells), FILL, packed).astype(np.int16)
    return path


def salinity(path: Path, first: str, sos: Array, *, lat: Array, lon: Array) -> Path:
    """Write months of the multi-observation salinity, with a depth of one level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (
            ("time", _days(first, len(sos), "1950-01-01")),
            ("depth", [0.0]),
            ("latitude", lat),
            ("longitude", lon),
        ):
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
        file["time"].units = "days since 1950-01-01"
        dims = ("time", "depth", "latitude", "longitude")
        for name, values in (("sos", sos), ("dos", 1000 + sos)):
            variable = file.createVariable(name, "f4", dims, fill_value=9.96921e36)
            variable.units = "1e-3" if name == "sos" else "kg m-3"
            variable[:] = np.where(np.isnan(sos), 9.96921e36, values)[:, None]
    return path


def chlorophyll(
    path: Path, month: str, values: Array, *, name: str = "chlor_a", fill: float
) -> Path:
    """Write a month of chlorophyll, mg m-3, north first; NaN as the fill.

    ``values`` go from the north and from 180 W and have twice as many columns as rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = len(values)
    step = 180 / rows
    is_cci = name == "chlor_a"
    axes = ("lat", "lon") if is_cci else ("latitude", "longitude")
    with netCDF4.Dataset(path, "w") as file:
        for axis, centres in (
            ("time", _days(month, 1, "1970-01-01")),
            (axes[0], 90 - step * (np.arange(rows) + 0.5)),
            (axes[1], -180 + step * (np.arange(2 * rows) + 0.5)),
        ):
            file.createDimension(axis, len(centres))
            file.createVariable(axis, "f8", (axis,))[:] = centres
        file["time"].units = "days since 1970-01-01 00:00:00"
        variable = file.createVariable(name, "f4", ("time", *axes), fill_value=fill)
        variable.units = "milligram m-3"
        variable[:] = np.where(np.isnan(values), fill, values)[None]
    return path


def cci(folder: Path, month: str, values: Array, *, edition: str = "6.0") -> Path:
    """Write a month of Ocean Colour CCI."""
    stamp = month.replace("-", "")
    name = f"ESACCI-OC-L3S-CHLOR_A-MERGED-1M_MONTHLY_4km_GEO_PML_OCx-{stamp}"
    return chlorophyll(
        folder / f"{name}-fv{edition}.nc", month, values, fill=9.96921e36
    )


def _days(first: str, count: int, since: str) -> Array:
    months: Sequence[np.datetime64] = np.datetime64(first, "M") + np.arange(count)
    days = np.asarray(months).astype("M8[D]") - np.datetime64(since, "D")
    return np.asarray(days.astype(np.float64))
