"""Regions as shares of cells, so that totals of regions add up to the globe.

A region is a weight between 0 and 1 for every cell: the share of the cell's area that
lies in it. Each set ends with an explicit ``other``, and the weights of a set sum to 1
in every cell. Within a cell the flux is taken as even, so a total of a region is
exact for whole cells and an approximation along its border.

Shipped are the latitude bands of the Global Carbon Budget, land and sea, and SREX.
Others (RECCAP2, TransCom, biomes) come from a user's file by ``from_labels``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
import shapely.geometry
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError, GridMismatchError, SettingsError
from emulator.carbon.grid import Grid, overlap

Array = NDArray[np.float64]

OTHER = "other"
"""Name of the remainder, the last region of every set."""

TROPICS_EDGE = 30.0
"""Latitude that bounds the tropics, degrees (Friedlingstein et al. 2025, ESSD 17)."""

LONGEST_CHORD = 0.1
"""Longest straight piece of a polygon's border in (lon, sin lat), degrees. A line
of constant slope bends there by up to 0.1**2 / 8 degree squared: 4e-7 in sin lat, or
4e-5 of a 1 degree cell."""

_ROUNDING = 1e-9
"""Sums of shares may miss 1 by this much through rounding."""


@dataclass(frozen=True, eq=False)
class RegionSet:
    """Regions that share out every cell.

    Attributes:
        name: Name of the set, e.g. ``latitude_bands``.
        regions: Names of the regions; the last is ``other``.
        weights: Share of each cell in each region, in float64; shape (region, lat,
            lon). Sums to 1 over regions everywhere.
    """

    name: str
    regions: tuple[str, ...]
    weights: Array

    def __post_init__(self) -> None:
        """Check that the regions share out every cell.

        Raises:
            ValueError: If they do not.
        """
        if self.weights.ndim != 3 or len(self.regions) != len(self.weights):
            raise ValueError(
                f"Region set {self.name!r} has {len(self.regions)} names and weights "
                f"of shape {self.weights.shape}; give one map (lat, lon) per name."
            )
        if self.regions[-1] != OTHER or len(set(self.regions)) != len(self.regions):
            raise ValueError(
                f"Region set {self.name!r} must have unique names and end with "
                f"'{OTHER}', got {', '.join(self.regions)}."
            )
        low, high = float(self.weights.min()), float(self.weights.max())
        miss = float(np.abs(self.weights.sum(axis=0) - 1).max())
        if not (low >= 0 and high <= 1 + _ROUNDING and miss <= _ROUNDING):
            raise ValueError(
                f"Weights of region set {self.name!r} must lie in [0, 1] and sum to 1 "
                f"in every cell, but span [{low:g}, {high:g}] and miss 1 by up to "
                f"{miss:g}."
            )

    @classmethod
    def with_other(
        cls, name: str, regions: tuple[str, ...], weights: Array
    ) -> "RegionSet":
        """Return the set of ``regions`` and the remainder of each cell.

        Args:
            name: Name of the set.
            regions: Names without ``other``.
            weights: Share of each cell in each region; shape (region, lat, lon).

        Raises:
            ValueError: If regions overlap, so that a total would count cells twice.
        """
        rest = 1 - weights.sum(axis=0)
        if rest.min() < -_ROUNDING:
            raise ValueError(
                f"Regions of {name!r} overlap: shares of a cell sum to "
                f"{1 - rest.min():g}. Give each place to one region only."
            )
        maps = np.concatenate([weights, np.maximum(rest, 0)[None]])
        return cls(name, (*regions, OTHER), maps)

    def weight(self, region: str) -> Array:
        """Return the share of each cell in one region; shape (lat, lon).

        Raises:
            SettingsError: If the set has no such region.
        """
        if region not in self.regions:
            raise SettingsError(
                f"Region set {self.name!r} has no region {region!r}. Choose one of "
                f"{', '.join(self.regions)}."
            )
        share: Array = self.weights[self.regions.index(region)]
        return share


def globe(grid: Grid) -> RegionSet:
    """Return the set with one region, ``globe``."""
    return RegionSet.with_other("globe", ("globe",), np.ones((1, *grid.shape)))


def latitude_bands(grid: Grid) -> RegionSet:
    """Return north (> 30 N), tropics and south (< 30 S), exact where a cell straddles.

    Source:
        Bands of the Global Carbon Budget, Friedlingstein et al. (2025), ESSD 17.
    """
    edges = np.sin(np.deg2rad(grid.edges()[0]))
    border = np.sin(np.deg2rad(TROPICS_EDGE))
    south, north, height = edges[:-1], edges[1:], np.diff(edges)
    above = np.clip(north - np.maximum(south, border), 0, None) / height
    below = np.clip(np.minimum(north, -border) - south, 0, None) / height
    shares = np.stack([above, 1 - above - below, below])
    # 1 - (1 - x) - x may fall short of 0 by rounding.
    shares = np.clip(shares, 0, 1)
    weights = np.repeat(shares[:, :, None], grid.shape[1], axis=2)
    names = ("north", "tropics", "south")
    return RegionSet.with_other("latitude_bands", names, weights)


def land_sea(land_fraction: NDArray[Any]) -> RegionSet:
    """Return land and sea.

    Args:
        land_fraction: Share of each cell that is land; shape (lat, lon).

    Raises:
        ValueError: If it holds NaN, or leaves [0, 1] by more than packing explains.
    """
    # Packed files leave [0, 1] by their last digit.
    slack = 1e-3
    if not ((land_fraction >= -slack) & (land_fraction <= 1 + slack)).all():
        raise ValueError(
            f"The land fraction must lie in [0, 1], found "
            f"[{land_fraction.min():g}, {land_fraction.max():g}]. Divide percent by "
            f"100 and set cells without land to 0."
        )
    land = np.clip(land_fraction.astype(np.float64), 0, 1)
    return RegionSet.with_other("land_sea", ("land", "sea"), np.stack([land, 1 - land]))


def srex(grid: Grid) -> RegionSet:
    """Return the 26 SREX regions, sea included, by their abbreviations (``AMZ``).

    Source:
        Seneviratne et al. (2012), IPCC SREX, appendix 3.A; shapes as in regionmask.
    """
    # regionmask takes a second to load and is needed here only.
    import regionmask

    shapes = regionmask.defined_regions.srex
    weights = np.stack([_shares(shape, grid) for shape in shapes.polygons])
    return RegionSet.with_other("srex", tuple(shapes.abbrevs), weights)


def from_labels(
    labels: NDArray[Any],
    names: Mapping[int, str],
    source: Grid,
    target: Grid,
    *,
    name: str = "regions",
) -> RegionSet:
    """Return regions of a map of numbers, as shares of the cells of another grid.

    Args:
        labels: Number of the region in each cell; shape of ``source``.
        names: Name of each number; numbers without a name go to ``other``.
        source: Grid of the labels.
        target: Grid of the weights. What the labels do not cover goes to ``other``.
        name: Name of the set.

    Raises:
        GridMismatchError: If the labels are not on ``source``.
        CatalogError: If a named number occurs nowhere, as with a wrong legend.
    """
    if labels.shape != source.shape:
        raise GridMismatchError(
            f"The region labels have shape {labels.shape}, but their grid is "
            f"{source.describe()}. Give the grid of the file that holds them."
        )
    present = set(np.unique(labels).tolist())
    absent = [number for number in names if number not in present]
    if absent:
        found = ", ".join(f"{number:g}" for number in sorted(present)[:40])
        raise CatalogError(
            f"Region {names[absent[0]]!r} has number {absent[0]}, which occurs nowhere "
            f"in the file (found {found}). Correct the legend of {name!r} in its "
            f"catalog entry."
        )
    rows, columns = overlap(source, target)
    weights = np.stack([rows @ (labels == number) @ columns.T for number in names])
    # Sums of many overlaps leave [0, 1] by rounding.
    weights = np.clip(weights, 0, 1)
    return RegionSet.with_other(name, tuple(names.values()), weights)


def polygon(geometry: Mapping[str, Any], grid: Grid) -> Array:
    """Return the share of each cell that lies inside a GeoJSON polygon.

    Borders are straight lines in longitude and latitude, as RFC 7946 has them. A
    polygon across the date line is cut there in two, or goes on beyond 180; a jump
    from 179 to -179 means the long way round. Shares are areas on the sphere, found in
    (lon, sin lat), where areas are true; borders that are neither meridians nor
    parallels err by less than 1e-4 of a 1 degree cell (``LONGEST_CHORD``).

    Args:
        geometry: A GeoJSON geometry of type Polygon or MultiPolygon.
        grid: The grid.

    Returns:
        Shares in [0, 1], float64; shape (lat, lon).

    Raises:
        SettingsError: If it is no such geometry, crosses itself or leaves the globe.
    """
    kind = geometry.get("type")
    if kind not in ("Polygon", "MultiPolygon"):
        raise SettingsError(
            f"A region must be a GeoJSON geometry of type Polygon or MultiPolygon, "
            f"got {kind!r}. Of a Feature, give its 'geometry'."
        )
    try:
        shape = shapely.geometry.shape(geometry)
    except (KeyError, IndexError, TypeError, ValueError, shapely.GEOSException) as bad:
        raise SettingsError(
            f"The coordinates of the GeoJSON {kind} cannot be read ({bad}). They must "
            f"be closed rings of [longitude, latitude] in degrees."
        ) from bad
    if shape.is_empty or not shape.is_valid:
        raise SettingsError(
            f"The GeoJSON {kind} is not a valid area "
            f"({shapely.is_valid_reason(shape) if not shape.is_empty else 'empty'}). "
            f"Mend it, e.g. with shapely.make_valid."
        )
    west, south, east, north = shape.bounds
    if south < -90 or north > 90 or west < -360 or east > 360 or east - west > 360:
        raise SettingsError(
            f"The GeoJSON {kind} spans longitudes [{west:g}, {east:g}] and latitudes "
            f"[{south:g}, {north:g}]; they must be degrees within [-360, 360], at "
            f"most 360 wide, and [-90, 90]. Check the order: longitude comes first."
        )
    return _shares(shape, grid)


def _shares(shape: Any, grid: Grid) -> Array:
    """Return the share of each cell inside a shape in degrees; shape (lat, lon)."""
    # GEOS loses area over denormal coordinates; 1e-9 degree is a tenth of a mm.
    rounded = shapely.transform(shape, lambda degrees: np.round(degrees, 9))
    short = shapely.segmentize(rounded, LONGEST_CHORD)
    flat = shapely.make_valid(shapely.transform(short, _equal_area))
    lat_edges, lon_edges = grid.edges()
    rows = _equal_area(np.stack([np.zeros(lat_edges.size), lat_edges], axis=1))[:, 1]
    west, east = lon_edges[:-1], lon_edges[1:]
    inside = np.zeros(grid.shape)
    for shift in (-360.0, 0.0, 360.0):
        left, low, right, high = flat.bounds
        columns = np.flatnonzero((east + shift > left) & (west + shift < right))
        for row in np.flatnonzero((rows[1:] > low) & (rows[:-1] < high)):
            south, north = rows[row], rows[row + 1]
            # One cut for the row first: the cells then meet a short border.
            strip = shapely.intersection(flat, shapely.box(-720, south, 720, north))
            cells = shapely.box(
                west[columns] + shift, south, east[columns] + shift, north
            )
            inside[row, columns] += shapely.area(shapely.intersection(strip, cells))
    size = np.diff(rows)[:, None] * np.diff(lon_edges)[None, :]
    return np.clip(inside / size, 0, 1)


def _equal_area(degrees: NDArray[Any]) -> Array:
    """Return (lon, lat) in degrees as (lon, sin lat); shape (point, 2).

    Source:
        Lambert's cylindrical equal-area projection.
    """
    return np.stack([degrees[:, 0], np.sin(np.deg2rad(degrees[:, 1]))], axis=1)
