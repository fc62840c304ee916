"""Pixels are counted with the area they share with a cell, whatever the two grids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import GridMismatchError
from emulator.carbon.grid import Grid, overlap
from emulator.data import binning as module
from emulator.data.binning import Binning, binning

CESM = Grid(np.linspace(-90, 90, 25), np.arange(-180, 180, 11.25))
TARGETS = [Grid.regular(30.0), Grid.regular(22.5), Grid.regular(2.0), CESM]


def in_bands(
    bins: Binning, groups: np.ndarray, count: int, height: int, values=None
) -> np.ndarray:
    """Add a map in bands of some rows, the northern ones first."""
    totals = np.zeros((count, *bins.target.shape))
    for first in reversed(range(0, groups.shape[0], height)):
        some = slice(first, first + height)
        bins.add(totals, first, groups[some], None if values is None else values[some])
    return totals


def test_pixels_count_with_their_share_of_the_sphere() -> None:
    # One cell from 0 to 90 N over two rows of pixels: sin 45 of it is the lower one.
    source, target = Grid.regular(45.0), Grid.regular(90.0)
    groups = np.zeros(source.shape, np.uint8)
    groups[2] = 1
    shares = in_bands(binning(source, target), groups, 2, 4)
    low = np.sin(np.deg2rad(45))
    np.testing.assert_allclose(shares[1], [[0] * 4, [low] * 4], atol=1e-12)
    np.testing.assert_allclose(shares[0], [[1] * 4, [1 - low] * 4], atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(TARGETS), st.integers(1, 36), st.integers(0, 9))
def test_shares_are_those_of_conservative_regridding(
    target: Grid, height: int, seed: int
) -> None:
    source = Grid.regular(5.0)
    groups = np.random.default_rng(seed).integers(0, 3, source.shape).astype(np.uint8)
    shares = in_bands(binning(source, target), groups, 3, height)
    rows, columns = overlap(source, target)
    for group in range(3):
        expected = rows @ (groups == group) @ columns.T
        np.testing.assert_allclose(shares[group], expected, atol=1e-12)
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-12)
    found = (shares * target.cell_area()).sum(axis=(1, 2))
    held = [(source.cell_area() * (groups == group)).sum() for group in range(3)]
    np.testing.assert_allclose(found, held, rtol=1e-12)


def test_sums_of_values_are_their_area_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 100)
    source, target = Grid.regular(5.0), CESM
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 2, source.shape).astype(np.uint8)
    values = rng.normal(size=source.shape)
    sums = in_bands(binning(source, target), groups, 2, 7, values)
    rows, columns = overlap(source, target)
    expected = rows @ (values * groups) @ columns.T
    np.testing.assert_allclose(sums[1], expected, atol=1e-12)


def test_what_the_map_does_not_cover_counts_as_none() -> None:
    source = Grid(np.array([-5.0, 5.0]), np.array([-175.0, -165.0]))
    totals = np.zeros((1, *Grid.regular(30.0).shape))
    bins = binning(source, Grid.regular(30.0))
    bins.add(totals, 0, np.zeros(source.shape, np.uint8))
    area = (totals[0] * Grid.regular(30.0).cell_area()).sum()
    assert area == pytest.approx(source.cell_area().sum())


@pytest.mark.parametrize(("first", "shape"), [(3, (2, 8)), (0, (2, 7))])
def test_a_band_of_another_grid_is_refused(first: int, shape: tuple[int, int]) -> None:
    bins = binning(Grid.regular(45.0), Grid.regular(90.0))
    with pytest.raises(GridMismatchError, match="are not on 4x8, 45 degree"):
        bins.add(np.zeros((1, 2, 4)), first, np.zeros(shape, np.uint8))
