import numpy as np
import pytest
import torch

from emulator.carbon.errors import SettingsError
from emulator.learning.sampler import Sampler

WINDOWS = np.array([[s, t, f] for s in range(2) for t in range(2) for f in (3, 15, 27)])
CELLS = np.array([0, 1, 2, 4, 5, 8, 9])


def sampler(samples: int = 5, cells: int = 3, seed: int = 1) -> Sampler:
    return Sampler(WINDOWS, CELLS, samples=samples, cells_per_sample=cells, seed=seed)


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    one, two = sampler(), sampler()
    for step in (17, 0, 3, 17):
        two.draw(step + 1)
        for a, b in zip(one.draw(step), two.draw(step), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(sampler(seed=2).draw(0).cells, one.draw(0).cells)


def test_a_pass_shows_every_window_and_cell() -> None:
    drawn = sampler(samples=6)
    assert drawn.steps_per_pass == 12 * 3 // 6
    for turn in range(2):
        shown = set()
        for step in range(drawn.steps_per_pass):
            draw = drawn.draw(turn * drawn.steps_per_pass + step)
            assert draw.cells.shape == (6, 3)
            for s, t, f, cells in zip(*draw, strict=True):
                shown |= {(int(s), int(t), int(f), int(cell)) for cell in cells}
        assert len(shown) == 12 * len(CELLS)


def test_passes_differ() -> None:
    drawn = sampler()
    first, second = drawn.draw(0), drawn.draw(drawn.steps_per_pass)
    assert not torch.equal(first.cells, second.cells)


def test_all_cells_need_no_indices() -> None:
    drawn = sampler(samples=50, cells=0)
    assert drawn.samples == 12
    assert drawn.draw(0).cells is None


def test_more_cells_than_there_are_is_all_labelled_ones() -> None:
    assert sorted(sampler(cells=100).draw(0).cells[0].tolist()) == CELLS.tolist()


@pytest.mark.parametrize(
    ("windows", "cells"), [(WINDOWS[:0], CELLS), (WINDOWS, CELLS[:0])]
)
def test_refuses_to_learn_from_nothing(windows: np.ndarray, cells: np.ndarray) -> None:
    with pytest.raises(SettingsError, match=r"nothing to learn from: \d+ windows of"):
        Sampler(windows, cells, samples=1, cells_per_sample=1, seed=0)


def test_simulations_come_together_with_the_same_cells() -> None:
    drawn = Sampler(
        WINDOWS, CELLS, samples=2, cells_per_sample=3, seed=1, together=True
    )
    assert drawn.steps_per_pass == 6 * 3 // 2
    shown = set()
    for step in range(drawn.steps_per_pass):
        draw = drawn.draw(step)
        assert draw.simulation.tolist() == [0, 1, 0, 1]
        for group in (slice(0, 2), slice(2, 4)):
            one, other = draw.cells[group]
            assert torch.equal(one, other)
            assert len(set(draw.teacher[group].tolist())) == 1
            assert len(set(draw.first[group].tolist())) == 1
            shown |= {
                (int(draw.teacher[group][0]), int(draw.first[group][0]), int(cell))
                for cell in one
            }
    assert len(shown) == 6 * len(CELLS)


def test_years_drawn_again_come_in_groups_of_their_own() -> None:
    twice = np.concatenate([WINDOWS, WINDOWS[:2], WINDOWS[6:8]])
    drawn = Sampler(twice, CELLS, samples=1, cells_per_sample=0, seed=1, together=True)
    for group in drawn.groups:
        assert len(np.unique(group, axis=0)) == len(group)
        assert len(np.unique(group[:, 1:], axis=0)) == 1
    found = np.concatenate(drawn.groups)
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, twice.tolist()))
