import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import GridMismatchError
from emulator.carbon.grid import Grid
from emulator.data.regrid import conservative

STEPS = st.sampled_from([10.0, 15.0, 18.0, 20.0, 30.0, 36.0, 45.0, 90.0])


def polar(rows: int) -> Grid:
    """Return a grid whose first and last rows are half cells at the poles."""
    return Grid(lat=np.linspace(-90, 90, rows), lon=np.arange(-180.0, 180, 20))


def total(values: np.ndarray, fraction: np.ndarray, grid: Grid) -> np.ndarray:
    return (np.nan_to_num(values) * fraction * grid.cell_area()).sum(axis=(-2, -1))


def test_two_rows_of_two_cells_by_hand() -> None:
    # Four 90 degree columns into two 180 degree ones; in each row the areas are equal,
    # so the means are plain: (1 + 3) / 2 and, over the one valid cell, 5.
    source = Grid.regular(90.0)
    target = Grid(lat=source.lat, lon=np.array([-90.0, 90.0]))
    field = np.array([[1.0, 3.0, 5.0, np.nan], [2.0, 2.0, np.nan, np.nan]])
    mean, fraction = conservative(source, target).apply(field)
    np.testing.assert_allclose(mean, [[2, 5], [2, np.nan]])
    np.testing.assert_allclose(fraction, [[1, 0.5], [1, 0]])


def test_mean_is_weighted_with_the_valid_fraction() -> None:
    # Coast of 0.25 land at 8 beside full land at 4: (2 + 4) / 1.25 = 4.8 over 0.625.
    source = Grid.regular(90.0)
    target = Grid(lat=source.lat, lon=np.array([-90.0, 90.0]))
    field = np.tile([8.0, 4.0, 1.0, 1.0], (2, 1))
    land = np.tile([0.25, 1.0, np.nan, 0.0], (2, 1))
    mean, fraction = conservative(source, target).apply(field, land)
    np.testing.assert_allclose(mean, [[4.8, np.nan]] * 2)
    np.testing.assert_allclose(fraction, [[0.625, 0]] * 2)


def test_same_grid_changes_nothing() -> None:
    grid = Grid.regular(30.0)
    field = np.random.default_rng(0).normal(size=(3, *grid.shape))
    mean, fraction = conservative(grid, grid).apply(field)
    np.testing.assert_allclose(mean, field, rtol=1e-12)
    np.testing.assert_allclose(fraction, 1, rtol=1e-12)


@settings(deadline=None, max_examples=30)
@given(one=STEPS, other=STEPS, shift=st.floats(0, 40), seed=st.integers(0, 99))
def test_area_integral_is_kept(
    one: float, other: float, shift: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    source = Grid.regular(one)
    turned = np.sort((Grid.regular(other).lon + shift + 180) % 360 - 180)
    target = Grid(lat=Grid.regular(other).lat, lon=turned)
    field = rng.normal(size=(2, *source.shape))
    field[rng.random(field.shape) < 0.4] = np.nan
    land = rng.random(source.shape)
    mean, fraction = conservative(source, target).apply(field, land)
    before = total(field, land, source)
    gross = total(np.abs(field), land, source)
    assert (np.abs(total(mean, fraction, target) - before) <= 1e-12 * gross).all()
    assert fraction.min() >= 0
    assert fraction.max() <= 1 + 1e-12


@pytest.mark.parametrize(
    "source",
    [
        polar(19),
        Grid(
            lat=np.degrees(np.arcsin(np.polynomial.legendre.leggauss(16)[0])),
            lon=np.arange(-180.0, 180, 22.5),
        ),
    ],
    ids=["half cells at the poles", "Gaussian rows"],
)
def test_uneven_rows_keep_the_integral_and_a_constant(source: Grid) -> None:
    target = Grid.regular(15.0)
    field = np.random.default_rng(1).normal(size=source.shape)
    mean, fraction = conservative(source, target).apply(field)
    np.testing.assert_allclose(fraction, 1, rtol=1e-12)
    np.testing.assert_allclose(
        total(mean, fraction, target), total(field, 1, source), rtol=1e-10
    )
    constant, _ = conservative(source, target).apply(np.full(source.shape, 7.0))
    np.testing.assert_allclose(constant, 7.0, rtol=1e-12)


def test_masked_mean_alone_would_lose_carbon() -> None:
    # The law that the valid fraction saves: without it the coast counts in full.
    source, target = Grid.regular(15.0), Grid.regular(45.0)
    rng = np.random.default_rng(2)
    field = np.where(rng.random(source.shape) < 0.5, 1.0, np.nan)
    mean, fraction = conservative(source, target).apply(field)
    before = total(field, 1.0, source)
    assert total(mean, fraction, target) == pytest.approx(before, rel=1e-12)
    assert total(mean, np.isfinite(mean), target) > 1.5 * before


def test_part_of_the_globe_leaves_the_rest_empty() -> None:
    source = Grid(lat=np.arange(5.0, 60, 10), lon=np.arange(-175.0, 0, 10))
    mean, fraction = conservative(source, Grid.regular(45.0)).apply(
        np.ones(source.shape)
    )
    assert np.isnan(mean[:2]).all()
    assert np.isnan(mean[2:, 4:]).all()
    np.testing.assert_allclose(fraction[2, :4], 1)
    assert 0 < fraction[3, 0] < 1


def test_means_alone_are_those_of_maps_regridded_one_by_one() -> None:
    rng = np.random.default_rng(3)
    source = Grid.regular(30.0)
    field = rng.normal(size=(5, *source.shape)).astype("f4")
    field[:, rng.random(source.shape) < 0.4] = np.nan
    field[3] = np.where(rng.random(source.shape) < 0.4, np.nan, 1.0)
    land = np.where(rng.random(source.shape) < 0.2, np.nan, rng.random(source.shape))
    regridding = conservative(source, Grid.regular(45.0))
    single = [regridding.apply(one, land)[0].astype("f4") for one in field]
    means = regridding.means(field, land)
    assert means.dtype == np.float32
    np.testing.assert_array_equal(means, np.stack(single))


def test_field_of_another_grid_is_refused() -> None:
    regridding = conservative(Grid.regular(30.0), Grid.regular(45.0))
    with pytest.raises(GridMismatchError, match=r"\(4, 8\) cells.*6x12, 30 degree"):
        regridding.apply(np.zeros((4, 8)))
