"""Which samples a step sees: a pure function of seed and step.

One pass goes through every window of every simulation and teacher, and through all
its cells in random pieces, in random order. Nothing is remembered between steps, so a
run that was killed goes on with exactly the batch that it would have had.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emulator.carbon.errors import SettingsError
from emulator.learning.batch import Draw


class Sampler:
    """Draws of windows and cells.

    Args:
        windows: Simulation, teacher and first month of each window; (window, 3).
        cells: Places, on the cube's cell axis, of cells to learn from; (cell,).
        samples: Windows of a batch.
        cells_per_sample: Cells of each; 0 = all of the cube, in its order.
        seed: Of the run's member.
        together: Whether all simulations of a teacher's window are drawn at once, one
            after the other in their order, with the same cells.

    Raises:
        SettingsError: If there is no window or no cell to learn from.
    """

    def __init__(
        self,
        windows: NDArray[np.int64],
        cells: NDArray[np.int64],
        *,
        samples: int,
        cells_per_sample: int,
        seed: int,
        together: bool = False,
    ) -> None:
        """Count the pieces of a pass."""
        if not len(windows) or not cells.size:
            raise SettingsError(
                f"There is nothing to learn from: {len(windows)} windows of "
                f"{cells.size} cells with labels. Widen split.train, shorten "
                f"model.memory, or prepare the store with more years."
            )
        self.windows = windows
        self.groups = _groups(windows) if together else list(windows[:, None])
        self.cells = cells
        self.cells_per_sample = min(cells_per_sample, cells.size)
        size = self.cells_per_sample
        self.pieces = -(-cells.size // size) if size else 1
        self.samples = min(samples, len(self.groups) * self.pieces)
        self.seed = seed
        self._order = lru_cache(maxsize=2)(self._shuffled)

    @property
    def steps_per_pass(self) -> int:
        """Steps in which every window and cell is seen once."""
        return len(self.groups) * self.pieces // self.samples

    def draw(self, step: int) -> Draw:
        """Return the indices of the batch of a step."""
        turn, place = divmod(step, self.steps_per_pass)
        chosen = self._order(turn)[place * self.samples : (place + 1) * self.samples]
        groups = [self.groups[item // self.pieces] for item in chosen]
        rows = torch.from_numpy(np.concatenate(groups))
        cells = None
        if self.cells_per_sample:
            sizes = torch.tensor([len(group) for group in groups])
            cells = self._cells(turn, chosen).repeat_interleave(sizes, dim=0)
        return Draw(rows[:, 0], rows[:, 1], rows[:, 2], cells)

    def _shuffled(self, turn: int) -> NDArray[np.int64]:
        generator = np.random.default_rng([self.seed, turn])
        return generator.permutation(len(self.groups) * self.pieces)

    def _cells(self, turn: int, chosen: NDArray[np.int64]) -> Tensor:
        """Return each window's piece of its own shuffle of the cells."""
        size = self.cells_per_sample
        drawn = []
        for item in chosen:
            window, piece = divmod(int(item), self.pieces)
            shuffled = np.random.default_rng([self.seed, turn, window]).permutation(
                self.cells
            )
            # The last piece is filled up from the front: all batches have one shape.
            drawn.append(np.take(shuffled, np.arange(size) + piece * size, mode="wrap"))
        return torch.from_numpy(np.stack(drawn))


def _groups(windows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the windows of each teacher and first month, simulations in order.

    A window that comes twice, as those of years drawn again, comes in two groups.
    """
    found, counts = np.unique(windows, axis=0, return_counts=True)
    rows = found.repeat(counts, axis=0)
    turn = np.concatenate([np.arange(count) for count in counts])
    order = np.lexsort((rows[:, 0], turn, rows[:, 2], rows[:, 1]))
    keys = np.column_stack([rows[:, 1:], turn])[order]
    begins = np.flatnonzero((keys[1:] != keys[:-1]).any(axis=1)) + 1
    return np.split(rows[order], begins)
