"""Tests of the shipped coastline."""

import numpy as np
import pytest

from emulator.carbon.grid import Grid
from emulator.data.testbed.coastline import land_fraction, rings

FINE = Grid.regular(2.0)


@pytest.fixture(scope="module")
def fine_land() -> np.ndarray:
    """Return the share of land on the 2-degree grid."""
    return land_fraction(FINE)


def at(fraction: np.ndarray, lat: float, lon: float) -> float:
    """Return the fraction of the 2-degree cell that holds a place."""
    row, column = (
        int(np.abs(FINE.lat - lat).argmin()),
        int(np.abs(FINE.lon - lon).argmin()),
    )
    return float(fraction[row, column])


@pytest.mark.parametrize("step", [5.0, 15.0])
def test_land_area_is_that_of_the_earth(step: float) -> None:
    # 148.9 million km2 of land; the 1:110 million outline lacks small islands.
    grid = Grid.regular(step)
    area = (land_fraction(grid) * grid.cell_area()).sum()
    assert area == pytest.approx(148.9e12, rel=0.02)


@pytest.mark.parametrize(
    ("lat", "lon", "expected"),
    [
        (23.0, 12.0, 1.0),  # Sahara
        (62.0, 100.0, 1.0),  # Siberia
        (-85.0, 100.0, 1.0),  # Antarctica, through the pole
        (0.0, -150.0, 0.0),  # Pacific
        (40.0, -40.0, 0.0),  # Atlantic
        (67.0, 178.0, 1.0),  # Chukotka, west of the antimeridian
        (67.0, -176.0, 1.0),  # and east of it
    ],
)
def test_places(lat: float, lon: float, expected: float, fine_land: np.ndarray) -> None:
    assert at(fine_land, lat, lon) == pytest.approx(expected, abs=0.2)


def test_the_caspian_is_a_hole(fine_land: np.ndarray) -> None:
    assert at(fine_land, 41.0, 51.0) < 0.2
    assert [is_hole for _, is_hole in rings()].count(True) == 1


def test_coarse_cells_are_means_of_fine_ones() -> None:
    fine, coarse = Grid.regular(5.0), Grid.regular(15.0)
    area = fine.cell_area()
    blocks = (12, 3, 24, 3)
    expected = (land_fraction(fine) * area).reshape(blocks).sum(axis=(1, 3))
    expected /= area.reshape(blocks).sum(axis=(1, 3))
    # Scan lines of both lie alike, so only their weights differ slightly.
    np.testing.assert_allclose(land_fraction(coarse), expected, atol=0.01)
