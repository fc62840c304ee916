"""Which labels a run may know, where some are withheld from it.

What matters in operation is a shift forward in time: teachers end, forcing goes on.
So labels are withheld *late*: an early, contiguous part of the years is kept, and the
years after it are as if no teacher had reached them, while their forcing stays. All
that a run learns from labels follows: weights, references, scales, and the choice of
the weights, whose validation years are the last of those kept. A validation set that
withheld labels had helped to make would be larger than the training set, and choose
better than anybody could (Oliver et al. 2018, Realistic evaluation of deep
semi-supervised learning algorithms, on small validation sets).

Labels that are missing at random are easier: between two known years there is little
to bridge. They are offered for comparison.
"""

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from emulator.carbon.timeaxis import YearSplit, years_of

# Settings lean on this module, and the command line reads them for every command.
if TYPE_CHECKING:
    from emulator.data.windows import Cube

LABELS_WITHHELD = ("late", "random")

VALIDATION_SHARE = 0.2
"""Share of the kept years that choose the weights. The standard splits take a tenth of
the record, but of a few years a tenth is none."""


def years_but_test(split: YearSplit) -> NDArray[np.int64]:
    """Return train and validation years, and what lies between, that may be learned.

    Test years, withheld years and what is too near to them are not among them.
    """
    spans = (split.train, split.validation)
    years = np.unique(np.concatenate([np.arange(a, b + 1) for a, b in spans]))
    first, last = split.test
    near = (years >= first - split.gap_years) & (years <= last + split.gap_years)
    kept: NDArray[np.int64] = years[~near & ~split.near_withheld(years)]
    return kept


def keep_early(split: YearSplit, fraction: float) -> YearSplit:
    """Return the split of a run that knows the early labels only.

    Args:
        split: Of the run that knows all.
        fraction: Share of its years, apart from test, that stay; in (0, 1).

    Returns:
        Training years end with the last kept year. Validation years are the last fifth
        of the kept ones, at least one, with the gap before them; test years stay.

    Raises:
        TimeAxisError: If no training year is left beside validation and gap.
    """
    years = years_but_test(split)
    kept = years[: max(1, round(fraction * years.size))]
    count = max(1, round(VALIDATION_SHARE * kept.size))
    last = int(kept[-1])
    return replace(
        split,
        train=(int(kept[0]), last),
        validation=(last - count + 1, last),
        withheld=tuple(year for year in split.withheld if year <= last),
    )


def withhold_late(cube: "Cube", last: int) -> "Cube":
    """Return the cube without labels after a year.

    Args:
        cube: On the CPU; it is left as it is.
        last: The last year that may be known.
    """
    late = years_of(cube.months) > last
    labels = cube.labels.clone()
    labels[:, :, torch.from_numpy(late)] = torch.nan
    return replace(cube, labels=labels)


def withhold_random(
    cube: "Cube", split: YearSplit, fraction: float, seed: int
) -> "Cube":
    """Return the cube without the labels of years drawn at random.

    Each simulation of each teacher keeps as many years, but its own. Test years are
    left as they are: no run learns from them.

    Args:
        cube: On the CPU; it is left as it is.
        split: Of the run.
        fraction: Share of the years, apart from test, that keep their labels.
        seed: Of the run, not of a member: members must not know more together.
    """
    years = years_but_test(split)
    count = max(1, round(fraction * years.size))
    year, labels = years_of(cube.months), cube.labels.clone()
    for simulation, teacher in np.ndindex(labels.shape[:2]):
        # By name: a cube of fewer simulations must hide the same.
        name = f"{cube.simulations[simulation]}/{cube.teachers[teacher]}"
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        hidden = np.isin(year, generator.permutation(years)[count:])
        labels[simulation, teacher, torch.from_numpy(hidden)] = torch.nan
    return replace(cube, labels=labels)
