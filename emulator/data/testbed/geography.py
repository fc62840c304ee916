"""The testbed's Earth: true coastline, simplified mountains, soils and ice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.grid import Grid
from emulator.data.testbed.coastline import land_fraction

Array = NDArray[np.float64]

_MOUNTAINS = (
    # lat, lon, north-south and east-west scale in degrees, height in m; read off an
    # atlas to the nearest 500 m, since only their cold matters here.
    (33.0, 88.0, 5.0, 12.0, 4500.0),  # Tibet
    (42.0, -112.0, 10.0, 7.0, 1800.0),  # Rocky Mountains
    (-18.0, -68.0, 12.0, 3.0, 3500.0),  # Andes
    (72.0, -40.0, 8.0, 12.0, 2500.0),  # Greenland
    (-82.0, 60.0, 12.0, 120.0, 3000.0),  # Antarctica
    (8.0, 38.0, 6.0, 4.0, 1800.0),  # Ethiopia
    (-26.0, 26.0, 6.0, 6.0, 1200.0),  # southern Africa
    (34.0, 52.0, 5.0, 8.0, 1300.0),  # Iran
    (50.0, 95.0, 5.0, 10.0, 1500.0),  # Altai
    (62.0, 135.0, 8.0, 15.0, 700.0),  # eastern Siberia
)

_CONTINENTAL_SCALE = 15.0
"""Degrees of the sphere over which the sea tempers the seasons, about 1600 km."""


@dataclass(frozen=True, eq=False)
class Geography:
    """Fixed fields of the testbed; each of shape (lat, lon).

    Attributes:
        grid: The grid.
        land_fraction: Share of land in the cell.
        ice_fraction: Share of the land under ice sheets.
        elevation: Height of the land, m; 0 over sea.
        continentality: 0 in mid-ocean to 1 in the middle of Asia.
        sand: Share of sand in the soil.
        clay: Share of clay in the soil.
    """

    grid: Grid
    land_fraction: Array
    ice_fraction: Array
    elevation: Array
    continentality: Array
    sand: Array
    clay: Array


def build(grid: Grid) -> Geography:
    """Return the geography on any grid; nothing in it is random."""
    land = land_fraction(grid)
    lat, lon = (field for field in np.meshgrid(grid.lat, grid.lon, indexing="ij"))
    height = np.zeros(grid.shape)
    for centre_lat, centre_lon, north, east, peak in _MOUNTAINS:
        height += peak * bump(lat, lon, centre_lat, centre_lon, north, east)
    in_greenland = (lat > 60) & (lon > -58) & (lon < -20) & (lat > 95 + lon * 0.6)
    ice = np.where((lat < -60) | in_greenland, 1.0, 0.0)
    # Waves of two lengths stand in for soil maps: 15 to 75 % sand, 10 to 45 % clay.
    wave = np.sin(np.deg2rad(3 * lon + 20)) * np.cos(np.deg2rad(4 * lat))
    ripple = np.sin(np.deg2rad(7 * lon)) * np.sin(np.deg2rad(9 * lat + 40))
    sand = 0.45 + 0.2 * wave + 0.1 * ripple
    clay = 0.27 - 0.12 * wave + 0.05 * ripple
    return Geography(
        grid=grid,
        land_fraction=land,
        ice_fraction=ice,
        elevation=np.where(land > 0, height, 0.0),
        continentality=_continentality(grid, land),
        sand=sand,
        clay=clay,
    )


def bump(
    lat: Array,
    lon: Array,
    centre_lat: float,
    centre_lon: float,
    north: float,
    east: float,
) -> Array:
    """Return a Gaussian hill of height 1, periodic in longitude.

    Args:
        lat: Latitudes, degrees; any shape.
        lon: Longitudes, degrees; same shape.
        centre_lat: Latitude of the top, degrees.
        centre_lon: Longitude of the top, degrees.
        north: Scale in latitude (one standard deviation), degrees.
        east: Scale in longitude (one standard deviation), degrees.
    """
    away = (lon - centre_lon + 180) % 360 - 180
    hill = np.exp(-0.5 * ((lat - centre_lat) / north) ** 2 - 0.5 * (away / east) ** 2)
    return np.asarray(hill)


def unit_vectors(lat: Array, lon: Array) -> Array:
    """Return points of the unit sphere; degrees in, shape (..., 3) out."""
    phi, theta = np.deg2rad(lat), np.deg2rad(lon)
    return np.stack(
        [np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)], axis=-1
    )


def _continentality(grid: Grid, land: Array) -> Array:
    """Return land around each cell, weighted by a Gaussian of the distance."""
    # A 5-degree sample of the land is enough for a field this smooth, and its cost
    # does not grow with the grid.
    coarse = Grid.regular(5.0)
    around = land if grid.matches(coarse) else land_fraction(coarse)
    there = np.meshgrid(coarse.lat, coarse.lon, indexing="ij")
    here = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    weight = coarse.cell_area().ravel()
    source, target = unit_vectors(*there).reshape(-1, 3), unit_vectors(*here)
    scale = np.deg2rad(_CONTINENTAL_SCALE)
    result = np.empty(grid.shape)
    for row in range(grid.shape[0]):
        angle = np.arccos(np.clip(target[row] @ source.T, -1.0, 1.0))
        kernel = np.exp(-0.5 * (angle / scale) ** 2) * weight
        result[row] = kernel @ around.ravel() / kernel.sum(axis=1)
    return result
