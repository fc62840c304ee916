"""A world of NetCDF files with their catalog, as ``prepare`` finds it: 30 degrees.

Forcing runs from 1998 to 2004, labels from 2000 to 2003. The western half of the
Earth is land; one column of it is a coast with a quarter of land. Labels are

    nbp = 1e-9 cos(2 pi (month - 7) / 12) sign(lat) + 1e-12 n    kg m-2 s-1

with n the number of the month since January 2000, plus 1e-10 in S0: every value
tells from which month and simulation it comes.
"""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml
from numpy.typing import NDArray

from emulator.carbon.grid import Grid
from emulator.data.settings import DataSettings, ForcingSettings
from tests.data.tiny_files import noleap_days, write

GRID = Grid.regular(30.0)
FIRST, LAST = 2000, 2003
FORCING_FIRST, FORCING_LAST = 1998, 2004
LAND = np.where(np.arange(12) < 5, 1.0, np.where(np.arange(12) == 5, 0.25, 0.0))
LAND = np.tile(LAND, (6, 1))

ONE = {
    "name": "one",
    "label": "ONE",
    "kind": "teacher",
    "domain": "land",
    "reader": "trendy",
    "evidence": "testbed",
    "root": "one",
    "files": "{simulation}/ONE_{simulation}_{variable}.nc",
    "variables": {"nbp": {}},
    "years": [FIRST, LAST],
    "simulations": {
        "S0": {
            "weather": [
                {"years": [1700, None], "repeat": [1998, 1999], "anchor": 2000}
            ],
            "co2": {"constant": 280.0},
        },
        "S2": {
            "weather": [{"years": [1998, None], "same": True}],
            "co2": {"table": "co2"},
        },
    },
    "land_fraction": {
        "treatment": "multiply",
        "variable": "land_fraction",
        "file": "../static.nc",
    },
}
WEATHER = {
    "name": "weather",
    "kind": "forcing",
    "domain": "land",
    "reader": "gridded",
    "evidence": "testbed",
    "files": "{variable}.nc",
    "variables": {"tas": {}, "pr": {}},
    "years": [FORCING_FIRST, FORCING_LAST],
}
STATIC = {
    "name": "static",
    "kind": "static",
    "domain": "both",
    "reader": "gridded",
    "files": "static.nc",
    "variables": {"land_fraction": {}, "elevation": {}},
}
CO2 = {
    "name": "co2",
    "kind": "table",
    "domain": "both",
    "reader": "table",
    "files": "co2.csv",
    "variables": {"co2": {"units": "ppm"}},
    "table": {"year": "year"},
    "years": [1990, FORCING_LAST],
}


def make_files(root: Path) -> None:
    """Write all files and the catalog below ``root``."""
    for simulation in ("S0", "S2"):
        write_labels(root / "one", simulation)
    write_forcing(root)
    write_static(root)
    rows = [f"{year},{300 + year - 1990}" for year in range(1990, FORCING_LAST + 1)]
    (root / "co2.csv").write_text("\n".join(["year,co2", *rows]) + "\n")
    for entry in (ONE, WEATHER, STATIC, CO2):
        declare(root, entry)


def declare(root: Path, entry: dict[str, Any], /, **changes: Any) -> None:
    """Write a catalog entry; a change to None removes a key."""
    said = {k: v for k, v in (entry | changes).items() if v is not None}
    folder = root / "catalog"
    folder.mkdir(exist_ok=True)
    (folder / f"{said['name']}.yaml").write_text(yaml.safe_dump(said))


def labels(simulation: str = "S2", grid: Grid = GRID) -> NDArray[np.float64]:
    """Return nbp, kg m-2 s-1; shape (time, lat, lon)."""
    number = np.arange(12 * (LAST - FIRST + 1))
    season = np.cos(2 * np.pi * (number % 12 - 6) / 12)
    field = 1e-9 * season[:, None, None] * np.sign(grid.lat)[:, None]
    field = field + 1e-12 * number[:, None, None] + 1e-10 * (simulation == "S0")
    return np.broadcast_to(field, (number.size, *grid.shape)).copy()


def write_labels(
    folder: Path,
    simulation: str,
    values: NDArray[np.float64] | None = None,
    *,
    variable: str = "nbp",
    grid: Grid = GRID,
    **how: Any,
) -> Path:
    """Write one variable of one simulation, NaN over the sea."""
    if values is None:
        values = labels(simulation, grid)
        values[:, LAND == 0] = np.nan
    path = folder / simulation / f"{folder.name.upper()}_{simulation}_{variable}.nc"
    lat, lon = grid.lat, grid.lon
    axis = {"time": noleap_days(FIRST, values.shape[0])} | how
    return write(path, variable, values.astype("f4"), lat=lat, lon=lon, **axis)


def forcing(variable: str) -> NDArray[np.float64]:
    """Return tas, K, or pr, kg m-2 s-1: row, column and month can be told apart."""
    months = np.arange(12 * (FORCING_LAST - FORCING_FIRST + 1))[:, None, None]
    rows, columns = np.indices(GRID.shape)
    number = months + 0.1 * rows + 0.001 * columns
    return 250 + 0.1 * number if variable == "tas" else 1e-7 * (1 + number)


def write_forcing(
    root: Path, first_year: int = FORCING_FIRST, **values: NDArray[np.float64]
) -> None:
    """Write both forcing variables, or others than the usual ones."""
    units = {"tas": "K", "pr": "kg m-2 s-1"}
    for name in ("tas", "pr"):
        field = values.get(name, forcing(name)).astype("f4")
        write(
            root / f"{name}.nc",
            name,
            field,
            lat=GRID.lat,
            lon=GRID.lon,
            time=noleap_days(first_year, field.shape[0]),
            units=units[name],
        )


def write_static(root: Path, **values: NDArray[np.float64]) -> None:
    """Write land fraction and elevation into one file."""
    fields = {"land_fraction": LAND, "elevation": 100.0 * LAND} | values
    path = root / "static.nc"
    units = {"land_fraction": "1", "elevation": "m"}
    for name, field in fields.items():
        write(
            root / f"{name}.part.nc",
            name,
            field.astype("f4"),
            lat=GRID.lat,
            lon=GRID.lon,
            units=units[name],
        )
    parts = [xr.load_dataset(root / f"{name}.part.nc") for name in fields]
    xr.merge(parts).to_netcdf(path)
    for name in fields:
        (root / f"{name}.part.nc").unlink()


def settings(**changes: Any) -> DataSettings:
    """Return the settings of a training store of this world."""
    said: dict[str, Any] = {
        "name": "small",
        "domain": "land",
        "teachers": ["one"],
        "simulations": ["S0", "S2"],
        "fluxes": ["nbp"],
        "forcing": ["weather"],
        "forcing_variables": ["tas", "pr"],
        "static": ["static"],
        "static_variables": ["elevation"],
        "years": [FIRST, LAST],
        "history_years": 1,
    }
    return DataSettings(**(said | changes))


def forcing_settings(**changes: Any) -> ForcingSettings:
    """Return the settings of a forcing store of this world."""
    said: dict[str, Any] = {
        "name": "now",
        "domain": "land",
        "forcing": ["weather"],
        "forcing_variables": ["tas", "pr"],
        "co2": "co2",
        "static": ["static"],
        "static_variables": ["elevation"],
    }
    return ForcingSettings(**(said | changes))
