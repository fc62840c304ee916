"""Latitude-longitude grids and the exact areas of their cells.

One convention everywhere: latitude from south to north, longitude within
[-180, 180). Readers turn and roll what comes otherwise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError
from emulator.carbon.units import EARTH_RADIUS

Array = NDArray[np.float64]

TOLERANCE = 1e-3
"""Coordinates closer than this are the same, degrees: float32 longitudes of files
are off by 1e-5, and no two grids in use differ by so little."""

LARGEST_STEP = 1.5
"""A latitude step above this multiple of the median is a hole: rows of Gaussian
grids differ by 2 %, a missing row doubles the step."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A latitude-longitude grid, described by its cell centres.

    Rows may be unevenly spaced (Gaussian), and the first and last may be half cells
    centred on the poles. Columns are evenly spaced and need not go round the Earth.

    Attributes:
        lat: Cell centres, degrees north, strictly increasing; shape (lat,).
        lon: Cell centres, degrees east in [-180, 180), increasing; shape (lon,).
    """

    lat: Array
    lon: Array

    def __post_init__(self) -> None:
        """Check and freeze the coordinates.

        Raises:
            GridMismatchError: If they cannot be the centres of such a grid.
        """
        for name in ("lat", "lon"):
            object.__setattr__(self, name, _centres(name, getattr(self, name)))
        self._check_latitudes()
        self._check_longitudes()

    @classmethod
    def regular(cls, step: float) -> "Grid":
        """Return the global grid of ``step`` degrees with cells between the poles.

        Raises:
            GridMismatchError: If ``step`` does not divide 180 degrees.
        """
        rows = round(180 / step) if step > 0 else 0
        if rows < 2 or abs(rows * step - 180) > TOLERANCE:
            raise GridMismatchError(
                f"A grid step of {step:g} degrees does not divide 180 into whole rows. "
                f"Choose one that does, e.g. 0.5, 1, 2.5, 3.75 or 5."
            )
        lat = -90 + (np.arange(rows) + 0.5) * 180 / rows
        lon = -180 + (np.arange(2 * rows) + 0.5) * 180 / rows
        return cls(lat=lat, lon=lon)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells (lat, lon)."""
        return self.lat.size, self.lon.size

    @property
    def is_periodic(self) -> bool:
        """Whether the columns go round the Earth."""
        step = _step(self.lon)
        return abs(self.lon.size * step - 360) < step / 2

    def edges(self) -> tuple[Array, Array]:
        """Return the cell edges in latitude (lat + 1,) and longitude (lon + 1,).

        Edges lie half-way between centres and end at the poles: an outer edge beyond
        a pole is cut there, and one less than half a row short of it (Gaussian rows)
        is moved there. Longitudes may begin below -180, never spanning more than 360.
        """
        middle = (self.lat[1:] + self.lat[:-1]) / 2
        south, north = self.lat[1] - self.lat[0], self.lat[-1] - self.lat[-2]
        first, last = self.lat[0] - south / 2, self.lat[-1] + north / 2
        first = -90.0 if first + 90 < south / 2 else first
        last = 90.0 if 90 - last < north / 2 else last
        step = 360 / self.lon.size if self.is_periodic else _step(self.lon)
        lon_edges = self.lon[0] + (np.arange(self.lon.size + 1) - 0.5) * step
        return np.concatenate([[first], middle, [last]]), lon_edges

    def cell_area(self) -> Array:
        """Return the area of every cell on the sphere, m2; shape (lat, lon).

        Source:
            R2 dlon (sin lat2 - sin lat1), exact on the sphere, written so that the
            small difference of two sines near a pole keeps its digits.
        """
        lat_edges, lon_edges = (np.deg2rad(edges) for edges in self.edges())
        south, north = lat_edges[:-1], lat_edges[1:]
        height = 2 * np.cos((south + north) / 2) * np.sin((north - south) / 2)
        area: Array = EARTH_RADIUS**2 * height[:, None] * np.diff(lon_edges)[None, :]
        return area

    def matches(self, other: "Grid") -> bool:
        """Return whether both grids have the same cells, to 0.001 degree."""
        return self.shape == other.shape and bool(
            np.allclose(self.lat, other.lat, rtol=0, atol=TOLERANCE)
            and np.allclose(self.lon, other.lon, rtol=0, atol=TOLERANCE)
        )

    def describe(self) -> str:
        """Return the grid in words, e.g. ``48x96, 3.75 degree``."""
        lat_step, lon_step = _step(self.lat), _step(self.lon)
        same = abs(lat_step - lon_step) < 0.005 * lon_step
        step = f"{lon_step:.4g}" if same else f"{lat_step:.4g} x {lon_step:.4g}"
        text = f"{self.lat.size}x{self.lon.size}, {step} degree"
        lat_edges, lon_edges = self.edges()
        if lat_edges[-1] - lat_edges[0] < 180 - TOLERANCE:
            text += f", lat {lat_edges[0]:g} to {lat_edges[-1]:g}"
        if not self.is_periodic:
            text += f", lon {lon_edges[0]:g} to {lon_edges[-1]:g}"
        return text

    def _check_latitudes(self) -> None:
        steps = np.diff(self.lat)
        if not (steps > 0).all():
            raise GridMismatchError(
                f"Latitudes must increase from south to north, but begin with "
                f"{self.lat[:3].tolist()}. Sort the rows, south first."
            )
        if self.lat[0] < -90 - TOLERANCE or self.lat[-1] > 90 + TOLERANCE:
            raise GridMismatchError(
                f"Latitudes must lie in [-90, 90], but span [{self.lat[0]:g}, "
                f"{self.lat[-1]:g}]. Check which coordinate is the latitude."
            )
        median = float(np.median(steps))
        if steps.max() > LARGEST_STEP * median:
            hole = int(steps.argmax())
            raise GridMismatchError(
                f"Latitudes jump from {self.lat[hole]:g} to {self.lat[hole + 1]:g}, "
                f"but the rows are {median:g} degrees apart: a row is missing. Get "
                f"the file again, or leave this product out."
            )

    def _check_longitudes(self) -> None:
        if self.lon.min() < -180 or self.lon.max() >= 180:
            raise GridMismatchError(
                f"Longitudes must lie in [-180, 180), but span [{self.lon.min():g}, "
                f"{self.lon.max():g}]. Use (lon + 180) % 360 - 180, then sort."
            )
        steps = np.diff(self.lon)
        if not (steps > 0).all():
            raise GridMismatchError(
                f"Longitudes must increase from west to east, but begin with "
                f"{self.lon[:3].tolist()}. Use (lon + 180) % 360 - 180, then sort."
            )
        if np.ptp(steps) > 2 * TOLERANCE:
            hole = int(steps.argmax())
            raise GridMismatchError(
                f"Longitudes must be evenly spaced, but jump from {self.lon[hole]:g} "
                f"to {self.lon[hole + 1]:g}, where most steps are "
                f"{float(np.median(steps)):g} degrees: a column is missing or doubled. "
                f"Get the file again, or leave this product out."
            )


def overlap(source: Grid, target: Grid) -> tuple[Array, Array]:
    """Return how much of each target row and column each source one covers.

    The share of a target cell covered by a source cell is the product of the two, so
    ``rows @ field @ columns.T`` is the area mean of ``field`` over target cells, where
    the source covers them.

    Args:
        source: Grid that covers.
        target: Grid whose cells are covered.

    Returns:
        Shares in [0, 1]: rows by area, i.e. in sin(lat), shape (target lat, source
        lat); columns with longitude periodic, shape (target lon, source lon).
    """
    rows = _overlap(*(np.sin(np.deg2rad(grid.edges()[0])) for grid in (source, target)))
    from_west, to_west = source.edges()[1], target.edges()[1]
    columns = sum(_overlap(from_west + turn, to_west) for turn in (-360.0, 0.0, 360.0))
    return rows, np.asarray(columns)


def _overlap(source: Array, target: Array) -> Array:
    """Return the share of each interval of ``target`` inside each of ``source``."""
    first = np.maximum(target[:-1, None], source[None, :-1])
    last = np.minimum(target[1:, None], source[None, 1:])
    covered: Array = np.clip(last - first, 0, None) / np.diff(target)[:, None]
    return covered


def _centres(name: str, values: NDArray[Any]) -> Array:
    """Return coordinates as a frozen float64 copy."""
    centres = np.array(values, dtype=np.float64)
    if centres.ndim != 1 or centres.size < 2 or not np.isfinite(centres).all():
        raise GridMismatchError(
            f"Coordinate {name!r} must hold at least two finite cell centres in one "
            f"dimension, but has shape {centres.shape}"
            f"{'' if np.isfinite(centres).all() else ' and holds NaN'}. Only "
            f"latitude-longitude grids can be read: regrid the file first."
        )
    centres.flags.writeable = False
    return centres


def _step(centres: Array) -> float:
    return float((centres[-1] - centres[0]) / (centres.size - 1))
