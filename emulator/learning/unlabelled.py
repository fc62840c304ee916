"""Which forcing may be learned from where nobody looks at labels.

Forcing is known for more months than labels: after a teacher ends, in the gaps between
parts, in validation years, where labels are withheld. Learning from it gives away
nothing of the labels, but where the forcing of test years is among it the network has
seen what it is tested on: *transductive*, to be shown apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import years_of
from emulator.data.slow import with_years_before
from emulator.data.windows import Cube
from emulator.learning.blocks import Block
from emulator.learning.normalise import seen_weather
from emulator.learning.settings import TrainSettings

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class OpenForcing:
    """Months that may be seen without their labels.

    Attributes:
        seen: Months that a window or its memory may hold; (simulation, time).
        answered: Those that it may answer; (simulation, time).
        is_transductive: Whether forcing of test years is among them.
    """

    seen: Mask
    answered: Mask
    is_transductive: bool


def open_forcing(
    settings: TrainSettings, cube: Cube, chosen: Mask, until: int | None = None
) -> OpenForcing:
    """Return which forcing a run may learn from without labels.

    Forcing that only test or withheld years saw is closed, also where it is the memory,
    or part of a slow mean, of other years, or is told under another year's name; so is
    that of later years than ``learning.unlabelled_years`` ends with.

    Args:
        settings: The run.
        cube: All that is known.
        chosen: Months learned from with labels; (simulation, time).
        until: Last year that may be looked at, if earlier than the settings say.
    """
    learning, split = settings.learning, settings.split
    year = years_of(cube.months)
    tested = (year >= split.test[0]) & (year <= split.test[1])
    tested |= np.isin(year, split.withheld)
    first, last = _years(settings, cube)
    late = year > (last if until is None else min(last, until))
    closed = late if learning.transductive else late | tested
    shut = _with_its_weather(cube, chosen, settings.model.memory, closed)
    span = max(cube.slow_years, default=0)
    seen = np.stack([with_years_before(~row, cube.months, span) for row in shut])
    told = seen & _with_its_weather(cube, chosen, settings.model.memory, tested)
    return OpenForcing(seen, seen & (year >= first), bool(told.any()))


def open_windows(cube: Cube, plans: list[list[Block]]) -> NDArray[np.int64]:
    """Return simulation, teacher and first month of windows; (window, 3).

    A teacher answers for a simulation if it has labels anywhere in it.

    Args:
        cube: With its labels.
        plans: Windows of each simulation.

    Raises:
        SettingsError: If there is none.
    """
    windows = [
        (simulation, teacher, block.first)
        for simulation, plan in enumerate(plans)
        for teacher in range(len(cube.teachers))
        if cube.labels[simulation, teacher].isfinite().any()
        for block in plan
    ]
    if not windows:
        raise SettingsError(
            "There is no month to learn from without labels: no window of "
            "learning.months_per_sample months with its memory lies in "
            "learning.unlabelled_years and outside of test years. Widen the years, or "
            "turn learning.consistency and learning.pretraining off."
        )
    return np.array(windows, np.int64)


def without(windows: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the windows (window, 3) that are not among the others, in their order."""
    known = {tuple(window) for window in others.tolist()}
    left = [tuple(window) not in known for window in windows.tolist()]
    kept: NDArray[np.int64] = windows[np.array(left, bool)]
    return kept


def _years(settings: TrainSettings, cube: Cube) -> tuple[int, int]:
    """Return the first and last year of forcing that may be learned from."""
    split, learning = settings.split, settings.learning
    year = years_of(cube.months)
    if learning.unlabelled_years:
        return learning.unlabelled_years[0], learning.unlabelled_years[1]
    if learning.transductive:
        return int(year[0]), int(year[-1])
    # Forcing later than the test years was not known before them either.
    return int(year[0]), max(split.train[1], split.validation[1], split.test[0] - 1)


def _with_its_weather(cube: Cube, chosen: Mask, memory: int, months: Mask) -> Mask:
    """Return the months (time,), and all that saw weather which only these saw.

    Weather that the months learned from saw is known anyway: a control repeats it.

    Returns:
        Shape (simulation, time).
    """
    sequence = cube.weather.numpy()
    own = np.zeros(cube.forcing.shape[0], bool)
    for row in sequence:
        own[row[months & (row >= 0)]] = True
    own &= ~seen_weather(cube, chosen, memory)
    found: Mask = months | (own[sequence] & (sequence >= 0))
    return found
