"""Coastline of the testbed: Natural Earth land polygons as fractions of cells.

``coastline.json`` holds the rings of Natural Earth's 1:110 million land, which is
in the public domain; its first line says where it came from.
"""

from __future__ import annotations

import json
from importlib import resources
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.grid import Grid

Array = NDArray[np.float64]

_LINE_SPACING = 0.25
"""Largest distance between scan lines, degrees; the rings are drawn to about 0.5."""

_FEWEST_LINES = 8
"""Scan lines through a cell at least, so that narrow cells keep their coast."""


def rings() -> list[tuple[Array, bool]]:
    """Return each ring of the coastline, and whether it is a hole.

    Returns:
        Pairs of vertices and hole flag. Vertices are longitude and latitude in
        degrees, shape (vertex, 2), closed; longitudes run through the
        antimeridian without a jump and may lie outside [-180, 180).
    """
    text = resources.files(__package__).joinpath("coastline.json").read_text("utf-8")
    stored = json.loads(text)
    step = float(stored["step_degrees"])
    holes = set(stored["holes"])
    return [
        (np.cumsum(np.reshape(numbers, (-1, 2)), axis=0) * step, index in holes)
        for index, numbers in enumerate(stored["rings"])
    ]


def land_fraction(grid: Grid) -> Array:
    """Return the share of each cell that is land.

    Lines of equal latitude are cut through every row of cells; along a line the
    land is found exactly, between lines it is averaged with the weight cos(lat).

    Args:
        grid: Any regular grid.

    Returns:
        Fractions in [0, 1]; shape (lat, lon).
    """
    lat_edges, lon_edges = grid.edges()
    width = np.diff(lon_edges)
    polygons = rings()
    fraction = np.zeros(grid.shape)
    for row, (south, north) in enumerate(pairwise(lat_edges)):
        count = max(_FEWEST_LINES, int(np.ceil((north - south) / _LINE_SPACING)))
        lines = south + (np.arange(count) + 0.5) * (north - south) / count
        weight = np.cos(np.deg2rad(lines))
        covered = np.zeros(grid.shape[1])
        for vertices, is_hole in polygons:
            if vertices[:, 1].max() < south or vertices[:, 1].min() > north:
                continue
            sign = -1.0 if is_hole else 1.0
            for line, share in zip(lines, weight / weight.sum(), strict=True):
                covered += sign * share * _covered_length(vertices, line, lon_edges)
        fraction[row] = covered / width
    return np.clip(fraction, 0.0, 1.0)


def _covered_length(vertices: Array, line: float, lon_edges: Array) -> Array:
    """Return the degrees of each column inside a ring along one latitude."""
    lon, lat = vertices[:, 0], vertices[:, 1]
    above = lat > line
    crossing = np.flatnonzero(above[:-1] != above[1:])
    run = (line - lat[crossing]) / (lat[crossing + 1] - lat[crossing])
    cuts = np.sort(lon[crossing] + run * (lon[crossing + 1] - lon[crossing]))
    covered = np.zeros(lon_edges.size - 1)
    for west, east in zip(cuts[::2], cuts[1::2], strict=True):
        # A ring may be stored one turn away from the grid.
        for turn in (-360.0, 0.0, 360.0):
            reach = np.clip(lon_edges, west + turn, east + turn)
            covered += np.diff(reach)
    return covered
