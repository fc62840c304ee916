"""Cells on the map, the way around the globe, and the levels of a map."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emulator.models.base import NetworkShape
from emulator.models.maps import Globe, Levels, around, periodic_convolution


def globe(cells: list[int], grid: tuple[int, int]) -> Globe:
    return Globe(NetworkShape(1, 1, 1, 1, torch.tensor(cells), grid))


@settings(deadline=None)  # the first call wakes torch up
@given(rows=st.integers(1, 5), columns=st.integers(1, 6), data=st.data())
def test_what_is_placed_is_picked(rows: int, columns: int, data: st.DataObject) -> None:
    places = st.integers(0, rows * columns - 1)
    cells = data.draw(st.lists(places, min_size=1, unique=True))
    here = globe(cells, (rows, columns))
    values = torch.randn(2, len(cells), 3)
    maps = here.place(values)
    assert maps.shape == (2, 3, rows, columns)
    torch.testing.assert_close(here.pick(maps), values)
    # Nothing is anywhere else.
    torch.testing.assert_close(maps.sum(dim=(2, 3)), values.sum(dim=1))


def test_cells_lie_row_by_row_and_channels_last() -> None:
    # Places 1 and 5 of a map of 2 x 3: first row, second column; second row, third.
    maps = globe([1, 5], (2, 3)).place(torch.tensor([[[7.0, 1.0], [8.0, 2.0]]]))
    assert maps[0, 0].tolist() == [[0, 7, 0], [0, 0, 8]]
    assert maps[0, 1].tolist() == [[0, 1, 0], [0, 0, 2]]
    assert maps.is_contiguous(memory_format=torch.channels_last)


def test_globe_refuses_a_part_of_its_cells() -> None:
    here = globe([0, 1, 4], (2, 3))
    here.require_all(3)
    with pytest.raises(ValueError, match="maps of all 3 cells, but got 2"):
        here.require_all(2)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (3, [3, 1, 2, 3, 1]),
        (5, [2, 3, 1, 2, 3, 1, 2]),
        (9, [3, 1, 2, 3, 1, 2, 3, 1, 2, 3, 1]),  # farther than once around
    ],
)
def test_around_goes_on_as_far_as_a_convolution_sees(
    size: int, expected: list[float]
) -> None:
    maps = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 1, 3)
    assert around(maps, size).flatten().tolist() == expected
    # So the convolution's answer has the size of the map.
    assert periodic_convolution(1, 1, size)(around(maps, size)).shape == maps.shape


class Same(nn.Module):
    """A block that changes nothing."""

    def forward(self, maps: Tensor, _: Tensor) -> Tensor:
        return maps


class Coarser(nn.Module):
    """A block on the way up that answers what comes from the coarser level."""

    def forward(self, maps: Tensor, _: Tensor) -> Tensor:
        return maps[:, : maps.shape[1] // 2]


def test_each_cell_gets_the_mean_it_was_pooled_into() -> None:
    # Five columns make pairs and one that stays alone; three rows likewise.
    maps = torch.tensor([[1.0, 3.0, 5.0, 7.0, 9.0]]).expand(3, 5).clone()
    maps[2] += 10.0
    levels = Levels([Same(), Same()], [Coarser()], dropout=0.0)
    answer = levels(maps.view(1, 1, 3, 5), torch.zeros(1, 1))[0, 0]
    assert answer.tolist() == [
        [2, 2, 6, 6, 9],
        [2, 2, 6, 6, 9],
        [12, 12, 16, 16, 19],
    ]


def test_what_a_level_was_on_the_way_down_reaches_the_way_up() -> None:
    class Finer(nn.Module):
        def forward(self, maps: Tensor, _: Tensor) -> Tensor:
            return maps[:, maps.shape[1] // 2 :]

    maps = torch.randn(2, 3, 7, 5)
    levels = Levels([Same(), Same(), Same()], [Finer(), Finer()], dropout=0.0)
    torch.testing.assert_close(levels(maps, torch.zeros(2, 1)), maps)


def test_dropout_is_of_the_coarsest_channels_in_training() -> None:
    levels = Levels([Same()], [], dropout=0.5)
    maps = torch.ones(1, 64, 2, 2)
    torch.testing.assert_close(levels.eval()(maps, torch.zeros(1, 1)), maps)
    torch.manual_seed(0)
    answer = levels.train()(maps, torch.zeros(1, 1))
    # Whole channels, those that stay are doubled.
    assert set(answer.amax(dim=(2, 3)).flatten().tolist()) == {0.0, 2.0}
    torch.testing.assert_close(answer.amax(dim=(2, 3)), answer.amin(dim=(2, 3)))
