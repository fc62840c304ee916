"""Means over coarser cells: by area, of what has values, and of enough of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from emulator.carbon.grid import Grid
from emulator.data.readers.surface_months import coarser

FINE, COARSE = Grid.regular(15.0), Grid.regular(90.0)

fields = arrays(
    np.float32,
    FINE.shape,
    elements=st.one_of(st.floats(-100, 100, width=32), st.just(np.nan)),
)


@given(fields, st.sampled_from([0.0, 0.25, 0.9]))
def test_means_keep_what_they_are_made_of(values: np.ndarray, least: float) -> None:
    found, grid = coarser((values, FINE), 90.0, least)
    assert grid.matches(COARSE)
    area = FINE.cell_area()
    for row, column in np.ndindex(COARSE.shape):
        inside = np.s_[6 * row : 6 * row + 6, 6 * column : 6 * column + 6]
        weight = np.where(np.isnan(values[inside]), 0.0, area[inside])
        share = weight.sum() / area[inside].sum()
        if abs(share - least) < 1e-4 and share > 0:
            continue  # a matter of rounding
        assert np.isfinite(found[row, column]) == (share > least)
        if share > least:
            mean = (np.nan_to_num(values[inside]) * weight).sum() / weight.sum()
            assert found[row, column] == pytest.approx(mean, rel=1e-5, abs=1e-4)


def test_exactly_the_least_is_enough() -> None:
    # 3 of 12 columns, as 9 of 36 cells: a quarter but for rounding.
    values = np.full((2, 48), np.nan, np.float32)
    values[:, :3] = 1.0
    grid = Grid(np.array([-45.0, 45.0]), -180 + 7.5 * (np.arange(48) + 0.5))
    found, _ = coarser((values, grid), 90.0, 0.25)
    assert np.isfinite(found).tolist() == [[True, False, False, False]] * 2


def test_cells_that_are_not_smaller_stay() -> None:
    values = np.full(FINE.shape, np.nan, np.float32)
    for step in (15.0, 1.0):
        found, grid = coarser((values, FINE), step, 0.25)
        assert found is values
        assert grid is FINE
