"""Which months a network answers together, so that an answer has one value only.

A recurrent state runs from the start of a window, so a month's answer depends on
where its window starts. Inference therefore cuts time into blocks that hang on the
calendar (12 months: each starts in January), never on which months are asked for.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Block:
    """One window: ``length`` months from ``first`` on, of which some are kept.

    Attributes:
        first: Place of the first month on the time axis.
        kept: Places of the months whose answers count; (month,).
    """

    first: int
    kept: NDArray[np.int64]


def known_run(known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many known months end with each month; same shape (time,)."""
    place = np.arange(known.size)
    last_hole = np.maximum.accumulate(np.where(known, -1, place))
    return place - last_hole


def plan_blocks(
    months: NDArray[np.datetime64],
    known: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    *,
    length: int,
    memory: int,
    is_anchored: bool,
    origin: int | None = None,
) -> list[Block]:
    """Cut time into blocks and keep those that hold a wanted, answerable month.

    Args:
        months: Time axis, complete; datetime64[M], (time,).
        known: Months whose weather and CO2 are known; (time,).
        wanted: Months to answer; (time,).
        length: Months of a block.
        memory: Months before a block that its first answer depends on.
        is_anchored: Whether a block must begin at its place in the calendar. If not,
            the first block after unknown months begins where the memory is whole.
        origin: A month, counted from January 1970, in which the only block begins;
            None = blocks follow each other, one of them from January 1970 on.

    Returns:
        Blocks in order of time; the last may reach beyond the axis, where nothing is
        kept.
    """
    run = known_run(known)
    begin = int(months[0].astype(np.int64))
    starts = range(-(begin % length), months.size, length)
    if origin is not None:
        starts = range(origin - begin, origin - begin + 1)
    blocks = []
    for start in starts:
        inside = np.arange(max(start, 0), min(start + length, months.size))
        whole = inside[run[inside] > memory]
        if not whole.size:
            continue
        first = start if is_anchored else int(whole[0])
        if first < 0 or run[first] <= memory:
            continue
        answerable = inside[(inside >= first) & (run[inside] - memory > inside - first)]
        kept = answerable[wanted[answerable]]
        if kept.size:
            blocks.append(Block(first, kept))
    return blocks


def plan_sliding(
    known: NDArray[np.bool_],
    wanted: NDArray[np.bool_],
    *,
    length: int,
    memory: int,
) -> list[Block]:
    """Return a block from each month on which ``length`` wanted months can start.

    For training only, where more different windows are welcome.
    """
    run, wanted_run = known_run(known), known_run(wanted)
    blocks = []
    for first in range(wanted.size - length + 1):
        last = first + length - 1
        if run[last] >= memory + length and wanted_run[last] >= length:
            blocks.append(Block(first, np.arange(first, last + 1)))
    return blocks


def answerable(blocks: list[Block], size: int) -> NDArray[np.bool_]:
    """Return which of ``size`` months are kept in a block; (time,)."""
    mask: NDArray[Any] = np.zeros(size, bool)
    for block in blocks:
        mask[block.kept] = True
    return mask
