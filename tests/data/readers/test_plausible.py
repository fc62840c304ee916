"""Means over the globe that are near what is observed."""

import numpy as np
import pytest

from emulator.carbon.errors import GateError
from emulator.carbon.grid import Grid
from emulator.data.readers import analyses, crujra
from emulator.data.readers.plausible import GLOBAL_MEANS, require_plausible

GRID = Grid.regular(45.0)


def test_means_are_known_of_all_variables() -> None:
    assert set(GLOBAL_MEANS) == {*analyses.VARIABLES, *crujra.VARIABLES}


def test_cells_count_by_their_area_and_only_with_a_value() -> None:
    # Rows from 45 degrees to a pole have 1 - sin 45 = 0.29 of their half of the sphere:
    # 310 K near the equator and 290 K elsewhere are 304 K, and 310 K without the rest.
    values = np.full(GRID.shape, 310.0)
    values[[0, 3]] = 290.0
    require_plausible("tas", values, GRID, "a product")
    values[[0, 3]] = np.nan
    message = "'tas' of a product is 310 K on the mean of the globe, but 270 to 305 K"
    with pytest.raises(GateError, match=message):
        require_plausible("tas", values, GRID, "a product")


@pytest.mark.parametrize("name", sorted(GLOBAL_MEANS))
def test_other_units_are_refused(name: str) -> None:
    for factor in (1 / 24, 24, -1):
        values = np.full(GRID.shape, factor * np.mean(GLOBAL_MEANS[name]))
        with pytest.raises(GateError, match="Look at the unit that its file states"):
            require_plausible(name, values, GRID, "a product")


def test_a_map_without_values_is_refused() -> None:
    with pytest.raises(GateError, match="is 0 K on the mean"):
        require_plausible("tas", np.full(GRID.shape, np.nan), GRID, "a product")
