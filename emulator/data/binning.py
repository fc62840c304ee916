"""Means over coarse cells of maps that are too fine to be held in memory.

A map of 300 m has 8.4e9 pixels. It is taken in bands of rows, and every pixel counts
with the share of the coarse cell which it covers, on the sphere. Pixels that a border
of coarse cells crosses are cut there, so that any pair of grids is exact.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError
from emulator.carbon.grid import Grid

Array = NDArray[np.float64]

# Edges are computed from centres: a piece with less of a cell is their rounding.
_EMPTY = 1e-12

# Pixels counted at a time: their keys and weights stay in the cache, 8 MB.
_AT_ONCE = 500_000


@dataclass(frozen=True, eq=False)
class Pieces:
    """Intervals cut at the edges of others, in the order of the first.

    Attributes:
        source: The interval that was cut; shape (piece,).
        target: The interval in which the piece lies; shape (piece,).
        share: Share of the target interval that the piece covers; shape (piece,).
    """

    source: NDArray[np.intp]
    target: NDArray[np.intp]
    share: Array


@dataclass(frozen=True, eq=False)
class Binning:
    """The cells of a fine grid sorted into those of another one.

    Attributes:
        source: The fine grid.
        target: The grid of the means.
        rows: Rows cut at those of the target, shares in sin(lat).
        columns: Columns cut at those of the target.
    """

    source: Grid
    target: Grid
    rows: Pieces
    columns: Pieces

    def add(
        self,
        totals: Array,
        first: int,
        groups: NDArray[np.integer[Any]],
        values: NDArray[Any] | None = None,
    ) -> None:
        """Add a band of rows to the shares, or to the sums, of groups of pixels.

        Args:
            totals: What was added before, changed in place: the share of each target
                cell that pixels of a group cover, or the sum of share x value; shape
                (group, target lat, target lon).
            first: The first row of the band, counted from the south.
            groups: Group of each pixel, below ``len(totals)``; shape (rows, lon).
            values: What to sum up, finite; shape of ``groups``. 1 when None.

        Raises:
            GridMismatchError: If the band does not lie on the source grid.
        """
        last = first + groups.shape[0]
        if groups.shape[1] != self.source.shape[1] or last > self.source.shape[0]:
            raise GridMismatchError(
                f"The rows {first} to {last} with {groups.shape[1]} columns are not on "
                f"{self.source.describe()}. Give bands of the map's own grid."
            )
        begin, end = np.searchsorted(self.rows.source, [first, last])
        across = self.columns.source.size
        step = max(1, _AT_ONCE // across)
        while begin < end:
            row = self.rows.target[begin]
            stop = int(np.searchsorted(self.rows.target[begin:end], row, "right"))
            some = slice(begin, begin + min(step, stop))
            # The pieces in one row of the target are of rows that follow one another.
            inside = slice(
                self.rows.source[some.start] - first,
                self.rows.source[some.stop - 1] - first + 1,
            )
            totals[:, row] += self._sums(
                len(totals),
                groups[inside],
                self.rows.share[some],
                None if values is None else values[inside],
            )
            begin = some.stop

    def _sums(
        self,
        count: int,
        groups: NDArray[np.integer[Any]],
        heights: Array,
        values: NDArray[Any] | None,
    ) -> Array:
        """Return the sums of rows in one target row; shape (group, target lon)."""
        columns = self.columns
        keys = np.take(groups, columns.source, axis=1) + columns.target * count
        weights = heights[:, None] * columns.share
        if values is not None:
            weights *= np.take(values, columns.source, axis=1)
        length = self.target.shape[1] * count
        sums = np.asarray(np.bincount(keys.ravel(), weights.ravel(), length), float)
        return sums.reshape(-1, count).T


def binning(source: Grid, target: Grid) -> Binning:
    """Return how the cells of a grid are sorted into those of another one.

    Args:
        source: The fine grid, which need not cover the globe.
        target: The grid of the means.

    Source:
        The same areas of overlap as first-order conservative remapping, Jones (1999),
        Mon. Weather Rev. 127, 2204-2210.
    """
    rows = _cut(*(np.sin(np.deg2rad(grid.edges()[0])) for grid in (source, target)))
    from_west, to_west = source.edges()[1], target.edges()[1]
    turns = [_cut(from_west + turn, to_west) for turn in (-360.0, 0.0, 360.0)]
    columns = Pieces(
        np.concatenate([turn.source for turn in turns]),
        np.concatenate([turn.target for turn in turns]),
        np.concatenate([turn.share for turn in turns]),
    )
    return Binning(source, target, rows, columns)


def _cut(source: Array, target: Array) -> Pieces:
    """Return the pieces of intervals between edges that lie in those of others."""
    edges = np.union1d(source, target)
    middle = (edges[1:] + edges[:-1]) / 2
    inside_source = np.searchsorted(source, middle) - 1
    inside_target = np.searchsorted(target, middle) - 1
    both = (inside_source >= 0) & (inside_source < source.size - 1)
    both &= (inside_target >= 0) & (inside_target < target.size - 1)
    inside_target = inside_target[both]
    share = np.diff(edges)[both] / np.diff(target)[inside_target]
    large = share > _EMPTY
    return Pieces(inside_source[both][large], inside_target[large], share[large])
