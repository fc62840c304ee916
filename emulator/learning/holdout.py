"""Hiding the labels of a region, so that it can be tested as a place never seen."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.regions import latitude_bands, srex
from emulator.data.windows import Cube


def region_weight(region: str, grid: Grid) -> NDArray[np.float64]:
    """Return the share of each cell that lies in a named region; (lat, lon).

    Args:
        region: "srex:NAME", "latitude_bands:NAME", or a box of cell centres
            "box:SOUTH/NORTH/WEST/EAST" in degrees (west > east crosses 180 degrees).
        grid: The grid.

    Raises:
        SettingsError: If the region is written otherwise or unknown.
    """
    kind, _, name = region.partition(":")
    if kind == "srex":
        return srex(grid).weight(name)
    if kind == "latitude_bands":
        return latitude_bands(grid).weight(name)
    try:
        south, north, west, east = (float(part) for part in name.split("/"))
    except ValueError:
        kind = "unreadable"
    if kind != "box":
        raise SettingsError(
            f"split.held_out_region is {region!r}, but must be 'srex:NAME', "
            f"'latitude_bands:NAME' or 'box:SOUTH/NORTH/WEST/EAST'."
        )
    lat, lon = grid.lat[:, None], grid.lon[None, :]
    across = (lon >= west) & (lon <= east)
    if west > east:
        across = (lon >= west) | (lon <= east)
    return ((lat >= south) & (lat <= north) & across).astype(np.float64)


def hide_region(cube: Cube, region: str, buffer: float) -> Cube:
    """Return the cube without labels in the region and near it.

    Args:
        cube: On the CPU; it is left as it is.
        region: As in ``region_weight``; every cell with a share in it is hidden.
        buffer: Great-circle distance to the region's cells within which labels are
            hidden too, degrees: neighbours have nearly the same weather.

    Raises:
        SettingsError: If the region holds no cell of the domain, or all of them.
    """
    cells = cube.cells.numpy()
    inside = region_weight(region, cube.grid).ravel()[cells] > 0
    lat = np.deg2rad(cube.grid.lat[cells // cube.grid.lon.size])
    lon = np.deg2rad(cube.grid.lon[cells % cube.grid.lon.size])
    points = np.stack(
        [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1
    )
    hidden = inside.copy()
    if inside.any():
        nearness = (points @ points[inside].T).max(axis=1)
        hidden |= nearness >= np.cos(np.deg2rad(buffer))
    if not inside.any() or hidden.all():
        raise SettingsError(
            f"split.held_out_region '{region}' with its buffer takes "
            f"{int(hidden.sum())} of {hidden.size} cells. Choose a region that holds "
            f"some, but not all."
        )
    labels = cube.labels.clone()
    labels[..., torch.from_numpy(hidden)] = torch.nan
    return replace(cube, labels=labels)
