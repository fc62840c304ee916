"""What a catalog entry says of the drift of an ocean model."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from emulator.carbon.drift import FEWEST
from emulator.carbon.errors import CatalogError


@dataclass(frozen=True)
class DriftSource:
    """How the drift that a control shows is taken out of a sink.

    Attributes:
        year_one: Of the transient and of the control, the calendar label that model
            year 1, the first since the start that both share, has or would have.
            Labels of a control are often nominal: no file tells this.
        transient: The simulation that is the sink.
        control: The one under constant CO2 and weather.
        form: What is fitted to the control's annual totals: a line or their mean.
        fit: First and last label of the control that are fitted; all when absent.
    """

    year_one: dict[str, int] = field(default_factory=dict)
    transient: str = "A"
    control: str = "B"
    form: Literal["linear", "constant"] = "linear"
    fit: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check that both simulations are aligned, and that a fit is possible."""
        wanted = {self.transient, self.control}
        if set(self.year_one) != wanted or len(wanted) < 2:
            raise CatalogError(
                f"'year_one' names {sorted(self.year_one)}, but must give the label of "
                f"model year 1 of the transient '{self.transient}' and of the control "
                f"'{self.control}', e.g. {{A: 1959, B: 1959}} where both run side by "
                f"side under the same labels."
            )
        fewest = FEWEST[self.form]
        if self.fit is not None and self.fit[1] - self.fit[0] + 1 < fewest:
            raise CatalogError(
                f"'fit' is [{self.fit[0]}, {self.fit[1]}], but a {self.form} fit needs "
                f"{fewest} years of the control or more."
            )

    def require(self, simulations: Collection[str], where: str) -> None:
        """Refuse simulations that the entry does not have.

        Raises:
            CatalogError: If the transient or the control is none of them.
        """
        if absent := sorted(set(self.year_one) - set(simulations)):
            raise CatalogError(
                f"{where} has the simulations {sorted(simulations)}, but 'drift' needs "
                f"{absent} as well. Add them, or correct 'drift'."
            )
