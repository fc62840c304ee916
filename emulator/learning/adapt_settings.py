"""How a new teacher is fitted from few years; light, for the command line reads it."""

from dataclasses import dataclass

from emulator.models.base import require, require_choice

REFERENCES = ("own", "others")


@dataclass
class FewShotSettings:
    """How much work the embedding of a new teacher is, and what its reference is.

    Attributes:
        reference: Whose climatology and scale the teacher gets: its "own", of the few
            years, or the mean of the "others" that the network knows. A network that
            was told no climatology (model.label_climatology=none) knows one reference
            for all, which stays.
        prior_years: Years of labels that the scale of the others is worth beside the
            teacher's own, which a few years tell poorly.
        steps: Gauss-Newton steps.
        cells: Cells that the embedding is fitted to; map networks take all.
        seed: Of the draw of these cells.
    """

    reference: str = "own"
    prior_years: float = 4.0
    steps: int = 8
    cells: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        require_choice("fit.reference", self.reference, REFERENCES)
        require(self.prior_years > 0, "fit.prior_years", self.prior_years, "positive")
        for name in ("steps", "cells"):
            value = getattr(self, name)
            require(value >= 1, f"fit.{name}", value, "at least 1")
        require(self.seed >= 0, "fit.seed", self.seed, "0 or more")
