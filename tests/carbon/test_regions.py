import math
from collections.abc import Callable

import numpy as np
import pytest
import shapely
from hypothesis import example, given
from hypothesis import strategies as st

from emulator.carbon.errors import CatalogError, GridMismatchError, SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.regions import (
    RegionSet,
    from_labels,
    globe,
    land_sea,
    latitude_bands,
    polygon,
    srex,
)
from emulator.carbon.units import EARTH_RADIUS

SPHERE = 4 * math.pi * EARTH_RADIUS**2


def quadrants(grid: Grid) -> RegionSet:
    """Return regions from labels: 1 and 2 in the east, nothing in the west."""
    source = Grid.regular(10.0)
    labels = np.zeros(source.shape, int)
    labels[source.lat > 0, source.lon.size // 2 :] = 1
    labels[: source.lat.size // 2, source.lon.size // 2 :] = 2
    return from_labels(labels, {1: "NE", 2: "SE"}, source, grid, name="quadrants")


def half_land(grid: Grid) -> RegionSet:
    fraction = np.linspace(0, 1, grid.shape[0] * grid.shape[1], dtype="f4")
    return land_sea(fraction.reshape(grid.shape))


SETS = [globe, latitude_bands, srex, quadrants, half_land]
GRIDS = [
    Grid.regular(5.0),
    Grid.regular(7.5),
    Grid(lat=np.linspace(-90, 90, 19), lon=np.arange(-180.0, 180, 10)),
    Grid(lat=np.arange(-57.0, 80, 6), lon=np.arange(-60.0, 60, 6)),
]


@pytest.mark.parametrize("grid", GRIDS, ids=Grid.describe)
@pytest.mark.parametrize("build", SETS)
def test_every_set_shares_out_every_cell(
    build: Callable[[Grid], RegionSet], grid: Grid
) -> None:
    regions = build(grid)
    assert regions.regions[-1] == "other"
    assert regions.weights.shape == (len(regions.regions), *grid.shape)
    assert regions.weights.min() >= 0
    assert regions.weights.max() <= 1 + 1e-12
    np.testing.assert_allclose(regions.weights.sum(axis=0), 1, atol=1e-12)


@pytest.mark.parametrize("step", [5.0, 7.5, 45.0])
def test_bands_cover_their_part_of_the_sphere_on_any_grid(step: float) -> None:
    # The tropics are sin(30) = half of the sphere, each other band a quarter; cells
    # of 7.5 and 45 degrees straddle 30 degrees.
    grid = Grid.regular(step)
    bands = latitude_bands(grid)
    assert bands.regions == ("north", "tropics", "south", "other")
    area = (bands.weights * grid.cell_area()).sum(axis=(1, 2))
    np.testing.assert_allclose(
        area / SPHERE, [0.25, 0.5, 0.25, 0], rtol=1e-12, atol=1e-15
    )
    assert bands.weight("north")[-1].min() > 0.4
    assert bands.weight("north")[0].max() == 0


def test_a_straddling_cell_by_hand() -> None:
    # The row 0 to 45 N: north of 30 N lies (sin 45 - sin 30) / sin 45 of it.
    share = latitude_bands(Grid.regular(45.0)).weight("north")[2, 0]
    assert share == pytest.approx((math.sqrt(0.5) - 0.5) / math.sqrt(0.5))


def test_srex_does_not_depend_on_the_grid() -> None:
    # SEA is the box 95-155 E, 10 S-20 N: area R^2 dlon (sin 20 + sin 10).
    sines = math.sin(math.radians(20)) + math.sin(math.radians(10))
    expected = EARTH_RADIUS**2 * math.radians(60) * sines
    for step in (3.0, 7.5):
        grid = Grid.regular(step)
        regions = srex(grid)
        assert len(regions.regions) == 27
        area = (regions.weight("SEA") * grid.cell_area()).sum()
        assert area == pytest.approx(expected, rel=1e-9)


def test_land_and_sea_follow_the_fraction() -> None:
    regions = land_sea(np.array([[0.0, 0.25], [1.0, 1.0005]], "f4"))
    np.testing.assert_allclose(regions.weight("land"), [[0, 0.25], [1, 1]])
    np.testing.assert_allclose(regions.weight("sea"), [[1, 0.75], [0, 0]])
    assert regions.weight("other").max() == 0


@pytest.mark.parametrize("bad", [100.0, -0.1, np.nan])
def test_land_fraction_in_percent_or_missing_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"land fraction must lie in \[0, 1\], found"):
        land_sea(np.array([[0.5, bad]]))


def test_labels_become_shares_by_hand() -> None:
    # Labels in columns of 90 degrees, cells of 180 shifted by 45: half of the first.
    source = Grid(lat=np.array([-45.0, 45.0]), lon=np.arange(-135.0, 180, 90.0))
    target = Grid(lat=np.array([-45.0, 45.0]), lon=np.array([-45.0, 135.0]))
    labels = np.array([[0, 7, 0, 0], [9, 0, 0, 0]])
    regions = from_labels(labels, {7: "a", 9: "b"}, source, target)
    np.testing.assert_allclose(regions.weight("a"), [[0.5, 0], [0, 0]], atol=1e-15)
    np.testing.assert_allclose(regions.weight("b"), [[0, 0], [0.25, 0.25]], atol=1e-15)
    assert regions.name == "regions"


def test_labels_keep_their_area_on_another_grid() -> None:
    grid = Grid.regular(3.0)
    area = (quadrants(grid).weight("NE") * grid.cell_area()).sum()
    assert area == pytest.approx(SPHERE / 4)


def test_what_labels_do_not_cover_is_other() -> None:
    source = Grid(lat=np.array([-5.0, 5.0]), lon=np.array([-5.0, 5.0]))
    regions = from_labels(np.ones((2, 2), int), {1: "box"}, source, Grid.regular(5.0))
    area = (regions.weight("box") * Grid.regular(5.0).cell_area()).sum()
    assert area == pytest.approx(source.cell_area().sum())


def test_labels_refuse_other_grid_and_wrong_legend() -> None:
    grid = Grid.regular(45.0)
    with pytest.raises(GridMismatchError, match=r"shape \(2, 2\), but .* 4x8, 45 degr"):
        from_labels(np.ones((2, 2)), {1: "a"}, grid, grid)
    labels = np.ones(grid.shape)
    with pytest.raises(
        CatalogError, match=r"'b' has number 2, .* nowhere .* \(found 1"
    ):
        from_labels(labels, {1: "a", 2: "b"}, grid, grid, name="biomes")


def test_unknown_region_is_named_with_the_choice() -> None:
    with pytest.raises(
        SettingsError, match=r"'globe' has no region 'moon'. .* globe, o"
    ):
        globe(GRIDS[0]).weight("moon")


ONE = np.ones((1, 1, 1))


@pytest.mark.parametrize(
    ("names", "weights", "message"),
    [
        (("a", "other"), ONE, r"2 names and weights of shape \(1, 1, 1\)"),
        (("a",), ONE[0], r"1 names and weights of shape \(1, 1\)"),
        (("other", "a"), np.repeat(ONE, 2, 0), r"end with 'other', got other, a"),
        (("a", "a", "other"), np.repeat(ONE, 3, 0), r"must have unique names"),
        (("a", "other"), np.array([[[0.5]], [[0.4]]]), r"miss 1 by up to 0.1"),
        (("a", "other"), np.array([[[1.5]], [[-0.5]]]), r"span \[-0.5, 1.5\]"),
        (("a", "other"), np.array([[[np.nan]], [[0.5]]]), r"span \[nan, nan\]"),
    ],
)
def test_weights_that_do_not_share_out_are_refused(
    names: tuple[str, ...], weights: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RegionSet("test", names, weights)


def test_overlapping_regions_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"'test' overlap: shares of a cell sum to 1.5"
    ):
        RegionSet.with_other("test", ("a", "b"), np.array([[[1.0]], [[0.5]]]))


def box(west: float, south: float, east: float, north: float) -> dict[str, object]:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


@given(
    st.floats(-180, 170),
    st.floats(-90, 80),
    st.floats(1, 190),
    st.floats(1, 100),
    st.sampled_from(GRIDS[:3]),
)
@example(2.2e-313, 0.0, 1.0, 5.75, GRIDS[0])
def test_a_box_has_its_exact_area(
    west: float, south: float, width: float, height: float, grid: Grid
) -> None:
    north, width = min(90.0, south + height), min(width, 360 - 1e-6, 360 - west)
    inside = polygon(box(west, south, west + width, north), grid)
    sines = math.sin(math.radians(north)) - math.sin(math.radians(south))
    expected = EARTH_RADIUS**2 * math.radians(width) * sines
    assert (inside * grid.cell_area()).sum() == pytest.approx(expected, rel=1e-7)


def test_a_slanted_border_is_as_good_as_stated() -> None:
    # The triangle 0 E 0 N, 40 E 0 N, 40 E 60 N: lat = 1.5 lon bounds it, so its area
    # is R^2 times the integral of sin(1.5 lon) from 0 to 40 degrees.
    ring = [[0.0, 0.0], [40.0, 0.0], [40.0, 60.0], [0.0, 0.0]]
    grid = Grid.regular(1.0)
    inside = polygon({"type": "Polygon", "coordinates": [ring]}, grid)
    expected = EARTH_RADIUS**2 * (1 - math.cos(math.radians(60))) / 1.5
    assert (inside * grid.cell_area()).sum() == pytest.approx(expected, rel=1e-6)
    # Cell 10-11 E, 15-16 N is cut from 10 E 15 N to 10.67 E 16 N.
    east, low, top = math.radians(2 / 3), math.radians(15), math.radians(16)
    left = (math.cos(low) - math.cos(top)) / 1.5 - east * math.sin(low)
    right = (math.radians(1) - east) * (math.sin(top) - math.sin(low))
    share = (left + right) / (math.radians(1) * (math.sin(top) - math.sin(low)))
    assert inside[105, 190] == pytest.approx(share, abs=1e-4)


def test_whole_globe_parts_and_holes() -> None:
    grid = GRIDS[2]
    np.testing.assert_allclose(polygon(box(-180, -90, 180, 90), grid), 1)
    np.testing.assert_allclose(polygon(box(0, -90, 360, 90), grid), 1)
    parts = {
        "type": "MultiPolygon",
        "coordinates": [
            box(-180, 0, 0, 90)["coordinates"],
            box(0, -90, 180, 0)["coordinates"],
        ],
    }
    assert (polygon(parts, grid) * grid.cell_area()).sum() == pytest.approx(SPHERE / 2)
    outer, hole = box(-20, -20, 20, 20), box(-10, -10, 10, 10)
    ring = {
        "type": "Polygon",
        "coordinates": [*outer["coordinates"], *hole["coordinates"]],
    }
    expected = polygon(outer, grid) - polygon(hole, grid)
    np.testing.assert_allclose(polygon(ring, grid), expected, atol=1e-12)


def test_a_polygon_may_go_on_beyond_the_date_line() -> None:
    grid = Grid.regular(5.0)
    beyond = polygon(box(170, -10, 190, 10), grid)
    cut = polygon(box(170, -10, 180, 10), grid) + polygon(
        box(-180, -10, -170, 10), grid
    )
    np.testing.assert_allclose(beyond, cut, atol=1e-12)


BOW_TIE = [[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]


@pytest.mark.parametrize(
    ("geometry", "message"),
    [
        (
            {"type": "Feature", "geometry": {}},
            r"Polygon or MultiPolygon, got 'Feature'",
        ),
        ({}, r"got None. Of a Feature, give its 'geometry'"),
        ({"type": "Polygon"}, r"coordinates of the GeoJSON Polygon cannot be read"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1]]]}, r"cannot be read \("),
        ({"type": "Polygon", "coordinates": [[["a", 0]]]}, r"cannot be read \("),
        ({"type": "Polygon", "coordinates": []}, r"not a valid area \(empty\)"),
        (
            {"type": "Polygon", "coordinates": [BOW_TIE]},
            r"not a valid area \(Self-inter",
        ),
        (box(0, 0, 10, 100), r"latitudes \[0, 100\]; they must be degrees within"),
        (box(-200, 0, 200, 10), r"at most 360 wide"),
        (box(300, 0, 400, 10), r"longitudes \[300, 400\].*longitude comes first"),
    ],
)
def test_what_is_no_polygon_is_refused(
    geometry: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        polygon(geometry, Grid.regular(45.0))


def test_srex_shapes_leave_no_room_for_overlap() -> None:
    regionmask = pytest.importorskip("regionmask")
    shapes = regionmask.defined_regions.srex.polygons
    whole = shapely.area(shapely.union_all(shapes))
    assert sum(shapely.area(shapes)) == pytest.approx(whole, rel=1e-9)
