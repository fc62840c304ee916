import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.budget import area_total
from emulator.carbon.closure import (
    close,
    correct_to_total,
    gross_flux,
    nbp_from_components,
)
from emulator.carbon.grid import Grid

GRID = Grid.regular(30.0)
AREA = GRID.cell_area()
PGC_PER_YEAR = 365.2425 * 86400 / 1e12


def components(seed: int) -> dict[str, np.ndarray]:
    """Return fluxes of a few cells, kg m-2 s-1, in float32 as files have them."""
    rng = np.random.default_rng(seed)
    names = ("gpp", "ra", "rh", "fire", "luc")
    return {name: rng.gamma(1.0, 1e-8, (4, 5)).astype("f4") for name in names}


def test_net_flux_by_hand() -> None:
    parts = {"gpp": np.array([10.0]), "ra": np.array([4.0]), "rh": np.array([3.0])}
    assert nbp_from_components(**parts) == [3.0]
    fire, luc = np.array([1.0]), np.array([-0.5])
    assert nbp_from_components(**parts, fire=fire) == [2.0]
    assert nbp_from_components(**parts, fire=fire, luc=luc) == [2.5]
    residual = np.array([0.25])
    assert nbp_from_components(**parts, luc=luc, residual=residual) == [3.75]
    assert close(np.array([2.0]), **parts, fire=fire, luc=luc) == [-0.5]
    assert gross_flux(**parts, fire=fire, luc=luc) == [18.5]


@given(st.integers(0, 2**32 - 1))
def test_closure_is_exact_in_float64(seed: int) -> None:
    parts = components(seed)
    nbp = np.random.default_rng(seed + 1).normal(0, 1e-8, (4, 5))
    residual = close(nbp, **parts)
    assert residual.dtype == np.float64
    again = nbp_from_components(**parts, residual=residual)
    # Two roundings of numbers no larger than the gross flux.
    assert (np.abs(again - nbp) <= 2**-52 * (gross_flux(**parts) + np.abs(nbp))).all()


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_correction_meets_the_total_and_keeps_frozen_cells(
    seed: int, keep_sign: bool
) -> None:
    rng = np.random.default_rng(seed)
    flux = rng.normal(0, 1e-8, (3, *GRID.shape))
    freedom = rng.random(GRID.shape)
    freedom[0] = 0.0
    total = area_total(flux, AREA) + np.array([-0.3, 0.0, 2.0])
    corrected = correct_to_total(flux, total, AREA, freedom, keep_sign=keep_sign)
    gross = area_total(np.abs(flux), AREA).max()
    found = area_total(corrected, AREA)
    np.testing.assert_allclose(found, total, rtol=0, atol=1e-13 * gross)
    np.testing.assert_array_equal(corrected[:, 0], flux[:, 0])
    if keep_sign:
        assert (corrected * flux >= 0).all()


def test_correction_is_in_proportion_to_freedom() -> None:
    # Two cells of 1e12 m2, freedoms 1 and 3: of 4 kg s-1 in 1e-12 m-2, one and three.
    area = np.full(2, 1e12)
    flux = np.array([1e-9, 1e-9])
    total = np.array(4 * 1e-9 * 1e12 * PGC_PER_YEAR) + area_total(flux, area)
    corrected = correct_to_total(flux, total, area, np.array([1.0, 3.0]))
    np.testing.assert_allclose(corrected, [2e-9, 4e-9], rtol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_correction_is_the_smallest_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    area, freedom = rng.random(6) * 1e12 + 1e11, rng.random(6) + 0.1
    flux = rng.normal(0, 1e-8, 6)
    wanted = area_total(flux, area) + 0.5
    change = correct_to_total(flux, wanted, area, freedom) - flux
    other = rng.normal(0, 1e-9, 6)
    other -= (other * area).sum() / area.sum()  # any other way with the same total
    cost = (area / freedom * change**2).sum()
    assert cost <= (area / freedom * (change + other) ** 2).sum() * (1 + 1e-12)


def test_a_cell_that_reaches_zero_stops_there() -> None:
    # The total falls by 3: both cells would lose 1.5, but the first has only 1.
    area = np.ones(3) * 1e12
    flux = np.array([1e-9, 5e-9, 0.0])
    total = np.array(3e-9 * 1e12 * PGC_PER_YEAR)
    freedom = np.ones(3)
    corrected = correct_to_total(flux, total, area, freedom, keep_sign=True)
    np.testing.assert_allclose(corrected, [0.0, 3e-9, 0.0], atol=1e-24)
    turned = correct_to_total(flux, total, area, freedom)
    np.testing.assert_allclose(turned, [0.0, 4e-9, -1e-9], atol=1e-24)
    # Upwards, negative cells stop at 0 and positive ones are free.
    total = np.array(-1e-9 * 1e12 * PGC_PER_YEAR)
    corrected = correct_to_total(-flux, total, area, freedom, keep_sign=True)
    np.testing.assert_allclose(corrected, [0.0, -1e-9, 0.0], atol=1e-24)


def test_cells_without_area_are_left_alone() -> None:
    flux = np.array([1e-9, np.nan], "f4")
    area, freedom = np.array([1e12, 0.0]), np.ones(2)
    corrected = correct_to_total(flux, np.array(0.5), area, freedom)
    assert area_total(corrected, area) == pytest.approx(0.5)
    assert np.isnan(corrected[1])


@pytest.mark.parametrize("bad", [-1.0, np.nan])
def test_negative_freedom_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"A freedom is negative or NaN. Give 0 to"):
        correct_to_total(np.ones(2), np.array(1.0), np.ones(2), np.array([1.0, bad]))


@pytest.mark.parametrize(
    ("freedom", "keep_sign", "total"), [(0.0, False, 1.0), (1.0, True, -1.0)]
)
def test_a_total_out_of_reach_is_refused(
    freedom: float, keep_sign: bool, total: float
) -> None:
    flux, area = np.full((2, 3), 1e-9), np.full(3, 1e12)
    with pytest.raises(ValueError, match=r"2 of 2 maps cannot meet their total"):
        correct_to_total(
            flux, np.full(2, total), area, np.full(3, freedom), keep_sign=keep_sign
        )


def test_missing_fluxes_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"1 of 1 values are NaN where the area is not"
    ):
        correct_to_total(np.array([np.nan]), np.array(0.0), np.ones(1), np.ones(1))
