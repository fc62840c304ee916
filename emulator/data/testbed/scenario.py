"""The years and the CO2 that the simulations of the testbed see."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Years = NDArray[np.int64]

PREINDUSTRIAL_CO2 = 280.0
"""CO2 before 1750 and of all controls, ppm (ice cores: 277 to 284)."""

_CO2_IN_1950 = 312.0
_CO2_FOLDING_YEARS = 49.4
"""Chosen so that 280 + 32 exp(t / 49.4) passes 312 ppm in 1950, 339 in 1980 and
423 in 2024, as the observed annual means do within 2 ppm."""

HISTORY_BEGINS = 1850
"""Year in which CO2 begins to rise above that of the controls."""

_RECYCLED_YEARS = 20
"""Years of weather that controls repeat, as in TRENDY (1901 to 1920 there)."""


@dataclass(frozen=True)
class Spans:
    """Years of the simulations.

    Attributes:
        first: First year of output.
        last: Last year of output; the weather goes on for one year more.
    """

    first: int
    last: int

    @property
    def output(self) -> Years:
        """All years of output."""
        return np.arange(self.first, self.last + 1)

    @property
    def history(self) -> Years:
        """Years of rising CO2 before the output."""
        return np.arange(HISTORY_BEGINS, self.first)

    @property
    def cycle(self) -> Years:
        """The years whose weather the controls repeat."""
        return self.output[:_RECYCLED_YEARS]

    def recycled_year(self, years: Years) -> Years:
        """Return the year whose weather each year of a control saw."""
        return self.first + (years - self.first) % self.cycle.size


def co2(years: Years) -> Array:
    """Return the annual mean CO2 of the air, ppm, a smooth rise without season.

    Args:
        years: Calendar years; any shape.

    Returns:
        280 + 32 exp((year - 1950) / 49.4), same shape.
    """
    rise = _CO2_IN_1950 - PREINDUSTRIAL_CO2
    return PREINDUSTRIAL_CO2 + rise * np.exp((years - 1950) / _CO2_FOLDING_YEARS)
