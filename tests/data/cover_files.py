"""Write small files in the layouts of land-use and land-cover products.

LUH2 as the headers at the World Data Center for Climate have it, land cover of ESA CCI
as a published header has it, HILDA+ and forest age as code that reads them expects.
"""

from collections.abc import Mapping
from pathlib import Path

import netCDF4
import numpy as np

from emulator.carbon.grid import Grid

FIRST_STATES = ["primf", "primn", "secdf", "secdn", "urban", "c3ann"]
STATES = [*FIRST_STATES, "c4ann", "c3per", "c4per", "c3nfx", "pastr", "range"]
FILL = 1e20
LUH_GRID = Grid.regular(15.0)

LCCS = {
    0: "no_data",
    10: "cropland_rainfed",
    50: "tree_broadleaved_evergreen_closed_to_open",
    130: "grassland",
    190: "urban",
    210: "water",
}


def luh_shares(grid: Grid = LUH_GRID) -> dict[str, np.ndarray]:
    """Return states on the western half of the Earth, none in the sea; (lat, lon).

    The first state has 0.01, the second 0.02, ... the twelfth 0.12, together 0.78; in
    the north a tenth more of each.
    """
    north = np.where(grid.lat > 0, 1.1, 1.0)[:, None]
    land = np.where(grid.lon < 0, 1.0, np.nan)[None, :]
    return {name: 0.01 * n * north * land for n, name in enumerate(STATES, 1)}


def write_luh(
    path: Path,
    shares: Mapping[str, np.ndarray],
    *,
    first_year: int = 1998,
    years: int = 5,
    growth: float = 0.0,
    time_units: str = "years since 850-01-01 0:0:0",
) -> Path:
    """Write maps (lat, lon), which grow by a share of themselves each year."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = LUH_GRID
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", None)
        file.createDimension("bounds", 2)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = time_units, "noleap"
        origin = int(time_units.split()[2].split("-")[0])
        offsets = np.arange(years) + first_year - origin
        time[:] = offsets * (365 if time_units.startswith("days") else 1)
        for name, centres in (("lat", grid.lat[::-1]), ("lon", grid.lon)):
            file.createDimension(name, centres.size)
            file.createVariable(name, "f8", (name,))[:] = centres
            bounds = file.createVariable(f"{name}_bounds", "f8", (name, "bounds"))
            bounds[:] = centres[:, None] + [-7.5, 7.5]
        for name, share in shares.items():
            held = file.createVariable(name, "f4", ("time", "lat", "lon"))
            held.set_auto_maskandscale(False)
            held.missing_value = np.float32(FILL)
            # Spelt so in the real files, where it is no fill value of the library.
            held.setncattr("_Fillvalue", np.float32(FILL))
            held.standard_name, held.units = "area_fraction", "1"
            for year in range(years):
                values = share * (1 + growth * year)
                held[year] = np.where(np.isnan(values), FILL, values)[::-1]
    return path


def write_ice_and_water(path: Path, share: np.ndarray) -> Path:
    """Write ``icwtr`` as the static file of LUH2 has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = LUH_GRID
    with netCDF4.Dataset(path, "w") as file:
        for name, centres in (("lat", grid.lat[::-1]), ("lon", grid.lon)):
            file.createDimension(name, centres.size)
            file.createVariable(name, "f8", (name,))[:] = centres
        held = file.createVariable("icwtr", "f4", ("lat", "lon"))
        held.units = "1"
        held[:] = share[::-1]
    return path


def write_classes(
    path: Path,
    codes: np.ndarray,
    grid: Grid,
    *,
    name: str = "lccs_class",
    dims: tuple[str, str, str] = ("time", "lat", "lon"),
    time: np.ndarray | None = None,
    time_units: str | None = "days since 1970-01-01",
    flags: Mapping[int, str] | None = None,
    dtype: str = "u1",
    chunks: tuple[int, int, int] | None = None,
    is_eastern: bool = False,
    fill: float | None = None,
) -> Path:
    """Write maps of classes (year, lat, lon), in the north first.

    With ``is_eastern`` longitudes are 0 to 360.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    half = grid.lon.size // 2
    lon, turned = grid.lon, codes[:, ::-1]
    if is_eastern:
        lon, turned = np.roll(lon, -half) % 360, np.roll(turned, -half, axis=2)
    with netCDF4.Dataset(path, "w") as file:
        for dim, size in zip(dims, codes.shape, strict=True):
            file.createDimension(dim, size)
        file.createVariable(dims[1], "f8", (dims[1],))[:] = grid.lat[::-1]
        file.createVariable(dims[2], "f8", (dims[2],))[:] = lon
        if time is not None:
            axis = file.createVariable(dims[0], "f8", (dims[0],))
            axis[:] = time
            if time_units is not None:
                axis.units = time_units
        held = file.createVariable(
            name, dtype, dims, chunksizes=chunks, zlib=True, fill_value=fill
        )
        held.set_auto_maskandscale(False)
        held[:] = turned.astype(dtype)
        if dtype == "i1":
            held.setncattr("_Unsigned", "true")
        if flags:
            held.flag_values = np.array(list(flags), "u1").astype(dtype)
            held.flag_meanings = " ".join(flags.values())
    return path


def write_ages(path: Path, ages: np.ndarray, grid: Grid) -> Path:
    """Write ages in years (lat, lon), NaN without forest, in the north first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        for dim, centres in (("latitude", grid.lat[::-1]), ("longitude", grid.lon)):
            file.createDimension(dim, centres.size)
            file.createVariable(dim, "f8", (dim,))[:] = centres
        for name in ("ForestAge_TC000", "ForestAge_TC010"):
            dims = ("latitude", "longitude")
            held = file.createVariable(name, "f4", dims, fill_value=-9999.0)
            held.units = "years"
            values = ages if name == "ForestAge_TC010" else ages + 1
            held[:] = np.nan_to_num(values[::-1], nan=-9999.0)
    return path
