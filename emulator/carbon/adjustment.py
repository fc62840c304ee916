"""Levels of sinks: means moved to a target, and what an edition calls a sink.

Level and anomaly are different claims: models agree better on the course of a sink than
on its mean. Two changes of the level are kept apart from everything else, each under a
name, and none is ever made silently:

* *mean adjustment* moves each teacher's mean over a window to a target's;
* a *definition* turns the mean of models into what an edition of the Global Carbon
  Budget calls the land and the ocean sink.

Source:
    Ke et al. (2024), Natl. Sci. Rev., nwae367 (four years); Friedlingstein et al.
    (2025), Global Carbon Budget 2025, notes of the workbook's sink sheets.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.budget import quadrature

Array = NDArray[np.float64]
Years = NDArray[np.integer]

EDITION_REVISION = {"nbp": 0.12, "fgco2": 0.06}
"""How much the same year's sink changes from one edition to the next, PgC yr-1: root
mean square over years of the land and the ocean sink, the largest of the pairs of
editions 2019 to 2025 (land 0.07 to 0.12, ocean 0.03 to 0.06)."""

PRODUCTS_FROM = 1990
"""First year from which the ocean sink is that of models and products alike."""

OFFSET_YEARS = (1990, 1999)
"""Years whose difference between products and models moves the models before them."""


@dataclass(frozen=True)
class Definition:
    """What an edition calls the land and the ocean sink.

    Attributes:
        name: Of the definition, as in the settings.
        land_factor: Times the mean of DGVMs (S2): what is left without the sinks and
            sources that land use has replaced.
        land_term: Added to the land sink for carbon that moves from land to ocean,
            PgC yr-1.
        land_term_from: First year of that term; it is stated for a decade only, and
            taken for 0 before and for the same after.
        model_factor: Times the mean of ocean models, which take up too little.
        river: Added to products of fCO2: natural outgassing of river carbon, PgC yr-1.
        skin: Added to products for the cool skin of the sea, PgC yr-1.
        has_skin: Begin of the names of products that have it already.
    """

    name: str
    land_factor: float = 1.0
    land_term: float = 0.0
    land_term_from: int = 0
    model_factor: float = 1.0
    river: float = 0.0
    skin: float = 0.0
    has_skin: tuple[str, ...] = ()

    def land(self, sink: Array, years: Years) -> Array:
        """Return the land sink from the mean of DGVMs (S2), PgC yr-1; (..., year)."""
        term = np.where(years >= self.land_term_from, self.land_term, 0.0)
        return sink * self.land_factor + term

    def ocean(
        self,
        models: Array | None,
        products: Mapping[str, Array],
        years: Years,
    ) -> Array:
        """Return the ocean sink, PgC yr-1.

        It is the mean of two means, that of models and that of products. Before
        ``PRODUCTS_FROM`` it is that of models, moved by half the difference between
        the two over ``OFFSET_YEARS``; where there is only one kind, it is that.

        Args:
            models: Mean of ocean models, PgC yr-1; shape (year,); None without any.
            products: Products as they are, without river flux, by name; (year,) each.
            years: Shape (year,).

        Raises:
            ValueError: If there is neither.
        """
        if models is None and not products:
            raise ValueError("An ocean sink needs models or products, got neither.")
        scaled = None if models is None else models * self.model_factor
        if not products:
            return np.asarray(scaled)
        mean = np.mean(
            [values + self._added(name) for name, values in products.items()], axis=0
        )
        if scaled is None:
            return np.asarray(mean)
        inside = (years >= OFFSET_YEARS[0]) & (years <= OFFSET_YEARS[1])
        offset = np.mean((mean - scaled)[inside]) / 2 if inside.any() else np.nan
        return np.where(years < PRODUCTS_FROM, scaled + offset, (scaled + mean) / 2)

    def ocean_factor(self, *, models: bool, products: bool) -> float:
        """Return by what ``ocean`` scales an error that all its teachers share.

        Before ``PRODUCTS_FROM``, too: the offset of those years has it in it.

        Args:
            models: Whether there are ocean models.
            products: Whether there are products.
        """
        if not models:
            return 1.0
        return (self.model_factor + 1) / 2 if products else self.model_factor

    def _added(self, name: str) -> float:
        skinned = name.casefold().startswith(self.has_skin) if self.has_skin else False
        return self.river + (0.0 if skinned else self.skin)


DEFINITIONS = {
    "gcb2024": Definition("gcb2024", river=0.65),
    "gcb2025": Definition(
        "gcb2025",
        land_factor=0.81,
        land_term=-0.07,
        land_term_from=2015,
        model_factor=1.10,
        river=0.65,
        skin=0.18,
        has_skin=("jma", "uexp"),
    ),
}
"""By name. Numbers are those that the sheets of the editions state: of 2024, products
with 0.65 PgC yr-1 of rivers; of 2025, land sink 19 % smaller for replaced sinks and
sources, and 0.07 PgC yr-1 less in the last decade (2015 to 2024); ocean models 10 %
larger; products with river and 0.18 PgC yr-1 of skin, but not JMA and UExP."""


def window_of(last: int, length: int) -> tuple[int, int]:
    """Return first and last year of a window of so many years."""
    return last - length + 1, last


def offset_error(
    difference: Array, years: Years, window: tuple[int, int], *, revision: float
) -> float:
    """Return the standard error of an adjustment of means, PgC yr-1.

    Two errors add in quadrature: the target will be revised, and a window of few years
    does not show the lasting difference between target and teachers, because the years
    differ by themselves. Years are taken for independent.

    Args:
        difference: Target - mean of teachers, PgC yr-1, finite; of as many years as
            possible, since a short window cannot say how much they vary; (year,).
        years: Shape (year,).
        window: First and last year of the window.
        revision: Of the target, PgC yr-1.

    Raises:
        ValueError: If there are fewer than two years.
    """
    if years.size < 2:
        raise ValueError(
            f"How much years differ needs two of them, got {years.size}. Give a longer "
            f"series."
        )
    length = window[1] - window[0] + 1
    variability = float(np.std(difference, ddof=1)) / length**0.5
    return float(quadrature(variability, revision))
