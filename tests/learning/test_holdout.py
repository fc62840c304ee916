import numpy as np
import pytest
import torch

from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.learning.holdout import hide_region, region_weight
from tests.learning.cubes import small_cube


def test_regions_by_name_and_by_box() -> None:
    grid = Grid.regular(45.0)
    assert region_weight("latitude_bands:north", grid)[3].min() == 1
    assert 0 < region_weight("srex:AMZ", grid).max() <= 1
    box = region_weight("box:0/90/-180/-90", grid)
    assert np.argwhere(box).tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    across = region_weight("box:0/45/100/-100", grid)
    assert np.argwhere(across).tolist() == [[2, 0], [2, 1], [2, 6], [2, 7]]


@pytest.mark.parametrize(
    "region", ["Amazon", "box:1/2/3", "ring:1/2/3/4", "box:a/b/c/d"]
)
def test_refuses_unreadable_regions(region: str) -> None:
    with pytest.raises(SettingsError, match=r"held_out_region is '.*', but must be"):
        region_weight(region, Grid.regular(45.0))


def test_labels_of_the_region_and_its_buffer_are_hidden() -> None:
    # Cells at 22.5 S: 112.5 W and 67.5 W; at 22.5 N: 22.5 E.
    cube = small_cube()
    near = "box:-45/0/-120/-100"
    alone = hide_region(cube, near, buffer=0.0).labels.isnan()
    assert alone.any(dim=0).flatten(0, -2).any(dim=0).tolist() == [True, False, False]
    # 45 degrees of longitude at 22.5 S are 41.4 degrees of a great circle.
    wide = hide_region(cube, near, buffer=42.0).labels.isnan()
    assert wide.any(dim=0).flatten(0, -2).any(dim=0).tolist() == [True, True, False]
    assert not cube.labels.isnan().any()
    assert torch.equal(wide[..., 0], torch.ones_like(wide[..., 0]))


@pytest.mark.parametrize(
    ("region", "count"), [("box:70/90/0/10", 0), ("box:-90/90/-180/180", 3)]
)
def test_refuses_regions_of_no_or_all_cells(region: str, count: int) -> None:
    with pytest.raises(SettingsError, match=f"takes {count} of 3 cells. Choose"):
        hide_region(small_cube(), region, 0.0)
