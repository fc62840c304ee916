"""Years drawn again, so that members differ by what they learned from.

Members that differ by seed alone agree too well: all learned the same El Ninos. The
bootstrap gives each member another record of the same length.
"""

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import SettingsError

BLOCK_YEARS = 3
"""Consecutive years that are drawn together, since El Nino and what soils remember make
neighbours alike; near the cube root of the fifty or so years of a record (Hall,
Horowitz and Jing 1995, Biometrika 82)."""

_STREAM = 2
"""Keeps these draws apart from others of the same seed."""


def resampled(
    windows: NDArray[np.int64], year: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """Draw the years of training windows again, with replacement.

    A window goes where the year goes in which it begins, in all simulations and
    teachers alike: they share the weather.

    Args:
        windows: Any rows; shape (window, ...).
        year: Calendar year in which each begins; shape (window,).
        seed: Of the member; the same seed gives the same draw.

    Returns:
        As many years of windows as there were, in circular blocks of ``BLOCK_YEARS``:
        rows of ``windows``, some of them repeatedly, others not at all.

    Raises:
        SettingsError: If all windows begin in the same year.

    Source:
        Politis and Romano (1992), circular block bootstrap.
    """
    years = np.unique(year)
    if years.size < 2:
        raise SettingsError(
            f"learning.bootstrap_years draws years again, but all {len(windows)} "
            f"training windows begin in the same one, as they do with model.pools. "
            f"Turn it off, or shorten learning.months_per_sample."
        )
    generator = np.random.default_rng([seed, _STREAM])
    blocks = -(-years.size // BLOCK_YEARS)
    starts = generator.integers(0, years.size, (blocks, 1))
    places = (starts + np.arange(BLOCK_YEARS)) % years.size
    drawn = years[places.ravel()[: years.size]]
    rows = [np.flatnonzero(year == each) for each in np.sort(drawn)]
    return windows[np.concatenate(rows)]
