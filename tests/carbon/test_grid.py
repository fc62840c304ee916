import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.errors import GridMismatchError
from emulator.carbon.grid import Grid, overlap
from emulator.carbon.units import EARTH_RADIUS

SPHERE = 4 * math.pi * EARTH_RADIUS**2


def gaussian(rows: int) -> Grid:
    """Return a Gaussian grid: latitudes are roots of a Legendre polynomial."""
    sines = np.polynomial.legendre.leggauss(rows)[0]
    lon = np.arange(2 * rows) * 180 / rows - 180
    return Grid(lat=np.rad2deg(np.arcsin(sines)), lon=lon)


def with_polar_half_cells(rows: int, columns: int) -> Grid:
    """Return a grid whose first and last rows are centred on the poles, as CLM's."""
    step = 360 / columns
    return Grid(
        lat=np.linspace(-90, 90, rows), lon=np.arange(columns) * step - 180 + step / 2
    )


GLOBAL_GRIDS = [
    Grid.regular(45.0),
    Grid.regular(3.75),
    Grid.regular(1.0),
    gaussian(64),
    with_polar_half_cells(181, 360),
    with_polar_half_cells(192, 288),
    Grid(  # as a file in float32 has it
        lat=np.arange(-89.75, 90, 0.5).astype("f4"),
        lon=np.arange(-179.75, 180, 0.5).astype("f4"),
    ),
]


@pytest.mark.parametrize("grid", GLOBAL_GRIDS, ids=Grid.describe)
def test_cell_areas_sum_to_the_sphere(grid: Grid) -> None:
    assert grid.is_periodic
    assert grid.cell_area().sum() == pytest.approx(SPHERE, rel=1e-12)


@given(
    st.lists(st.floats(0.9, 1.1), min_size=3, max_size=40),
    st.floats(-89, 60),
    st.integers(3, 20),
)
def test_each_area_is_that_of_its_zone_and_sector(
    steps: list[float], first: float, columns: int
) -> None:
    lat = first + np.cumsum(steps) * (88 - first) / (1.1 * len(steps))
    grid = Grid(lat=lat, lon=-180 + np.arange(columns) * 360 / columns)
    area, (edges, _) = grid.cell_area(), grid.edges()
    for row in range(lat.size):
        low, high = math.radians(edges[row]), math.radians(edges[row + 1])
        expected = (
            EARTH_RADIUS**2
            * (2 * math.pi / columns)
            * abs(math.sin(high) - math.sin(low))
        )
        np.testing.assert_allclose(area[row], expected, rtol=1e-9)


def test_one_octant_by_hand() -> None:
    # Rows of 90 degrees, columns of 90: eight octants of the sphere.
    grid = Grid(lat=np.array([-45.0, 45.0]), lon=np.array([-135.0, -45.0, 45.0, 135.0]))
    np.testing.assert_allclose(grid.cell_area(), SPHERE / 8)


def test_edges_of_half_polar_cells_end_at_the_poles() -> None:
    lat_edges, lon_edges = with_polar_half_cells(181, 360).edges()
    np.testing.assert_allclose(lat_edges[:3], [-90.0, -89.5, -88.5])
    np.testing.assert_allclose(lat_edges[-2:], [89.5, 90.0])
    np.testing.assert_allclose(lon_edges[[0, -1]], [-180.0, 180.0])


def test_gaussian_rows_reach_the_poles() -> None:
    # N48: the last row lies at 88.57, half a row further is 89.5, short of the pole.
    lat_edges, _ = gaussian(96).edges()
    assert (lat_edges[0], lat_edges[-1]) == (-90.0, 90.0)


def test_a_part_of_the_globe_does_not_reach_the_pole() -> None:
    grid = Grid(lat=np.arange(-59.5, 85.0), lon=np.arange(-20.5, 50.0))
    lat_edges, lon_edges = grid.edges()
    assert (lat_edges[0], lat_edges[-1]) == (-60.0, 85.0)
    assert not grid.is_periodic
    assert (lon_edges[0], lon_edges[-1]) == (-21.0, 50.0)
    assert grid.describe() == "145x71, 1 degree, lat -60 to 85, lon -21 to 50"


def test_description_names_cells_and_steps() -> None:
    assert Grid.regular(3.75).describe() == "48x96, 3.75 degree"
    assert with_polar_half_cells(192, 288).describe() == "192x288, 0.9424 x 1.25 degree"


def test_matching_tolerates_float32_and_nothing_more() -> None:
    grid = Grid.regular(5.0)
    assert grid.matches(Grid(grid.lat + 5e-4, grid.lon))
    assert not grid.matches(Grid(grid.lat, grid.lon + 5e-3))
    assert not grid.matches(Grid(grid.lat + 5e-3, grid.lon))
    assert not grid.matches(Grid.regular(3.75))
    assert not grid.matches(Grid(grid.lat[1:], grid.lon))


def test_coordinates_are_a_frozen_copy() -> None:
    lat = np.array([-45.0, 45.0])
    grid = Grid(lat=lat, lon=np.array([-90.0, 90.0]))
    lat[0] = 0.0
    assert grid.lat[0] == -45.0
    with pytest.raises(ValueError, match="read-only"):
        grid.lat[0] = 0.0


LAT, LON = np.arange(-87.5, 90, 5.0), np.arange(-177.5, 180, 5.0)


@pytest.mark.parametrize(
    ("lat", "lon", "message"),
    [
        (LAT[::-1], LON, r"increase from south to north, but begin with \[87.5, 82.5"),
        (LAT + 10, LON, r"Latitudes must lie in \[-90, 90\], but span \[-77.5, 97.5\]"),
        (np.delete(LAT, 20), LON, r"jump from 7.5 to 17.5, .* 5 degrees apart: a row"),
        (LAT, LON % 360, r"must lie in \[-180, 180\), but span \[2.5, 357.5\]. Use"),
        (LAT, np.roll(LON, 3), r"increase from west to east, but begin with \[167.5"),
        (LAT, np.delete(LON, 9), r"evenly spaced, but jump from -137.5 to -127.5"),
        (LAT[:1], LON, r"'lat' must hold at least two .* has shape \(1,\)\. Only"),
        (LAT, np.ones((3, 3)), r"'lon' must hold at least two .* shape \(3, 3\)"),
        (np.full(4, np.nan), LON, r"'lat' .* has shape \(4,\) and holds NaN"),
    ],
)
def test_damaged_coordinates_are_refused(
    lat: object, lon: object, message: str
) -> None:
    with pytest.raises(GridMismatchError, match=message):
        Grid(lat=np.asarray(lat), lon=np.asarray(lon))


@pytest.mark.parametrize("step", [7.0, 0.0, -1.0, 180.0])
def test_a_step_must_divide_the_globe(step: float) -> None:
    with pytest.raises(GridMismatchError, match=r"does not divide 180 into whole rows"):
        Grid.regular(step)


@given(
    st.sampled_from([*GLOBAL_GRIDS[:2], gaussian(8), with_polar_half_cells(9, 12)]),
    st.sampled_from([Grid.regular(30.0), gaussian(12), with_polar_half_cells(7, 10)]),
)
def test_a_globe_covers_every_cell_of_another(source: Grid, target: Grid) -> None:
    rows, columns = overlap(source, target)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(columns.sum(axis=1), 1, atol=1e-12)
    # The share of a source cell found again in all targets is 1, too.
    area = rows.T @ target.cell_area() @ columns
    np.testing.assert_allclose(area, source.cell_area(), rtol=1e-9)


def test_overlap_of_four_cells_by_hand() -> None:
    # Sectors of 90 degrees under ones of 180 shifted by 45: half, full, half.
    source = Grid(lat=np.array([-45.0, 45.0]), lon=np.arange(-135.0, 180, 90.0))
    target = Grid(lat=np.array([-45.0, 45.0]), lon=np.array([-45.0, 135.0]))
    rows, columns = overlap(source, target)
    np.testing.assert_allclose(rows, np.eye(2), atol=1e-15)
    np.testing.assert_allclose(columns[0], [0.25, 0.5, 0.25, 0.0], atol=1e-15)
    np.testing.assert_allclose(columns[1], [0.25, 0.0, 0.25, 0.5], atol=1e-15)
