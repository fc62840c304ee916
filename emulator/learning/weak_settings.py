"""How annual totals are used as labels; light, for the command line reads it."""

from dataclasses import dataclass, field

from emulator.carbon.errors import SettingsError
from emulator.models.base import require


@dataclass
class WeakSettings:
    """Annual totals as labels.

    Attributes:
        weight: Weight of the globe's error in the loss of a step that sees it, in units
            of what the totals vary by from year to year, squared up to one unit and
            linear beyond; 0 = not used.
        regional_weight: The same for the mean of three latitude bands.
        every: Steps from one that sees weak labels to the next: its batch holds all
            cells, which is dear on fine grids.
        samples: Years (simulation, teacher, year) of its batch.
        years: First and last year that may have weak labels; empty = those whose
            monthly labels were withheld by ``learning.label_fraction``. A year with
            monthly labels that the run knows has none.
        simulations: Simulations that have weak labels; empty = all that are learned.
        workbook: An edition of the Global Carbon Budget under its published name, of
            which the columns of models are the weak labels of the globe; empty = the
            totals of the store's own labels.
        columns: Name of the column of each teacher that is not spelt like it.
    """

    weight: float = 0.0
    regional_weight: float = 0.0
    every: int = 1
    samples: int = 1
    years: list[int] = field(default_factory=list)
    simulations: list[str] = field(default_factory=list)
    workbook: str = ""
    columns: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        for name in ("weight", "regional_weight"):
            value = getattr(self, name)
            require(value >= 0, f"learning.weak.{name}", value, "0 or more")
        for name in ("every", "samples"):
            value = getattr(self, name)
            require(value >= 1, f"learning.weak.{name}", value, "at least 1")
        require(
            not self.years or (len(self.years) == 2 and self.years[0] <= self.years[1]),
            "learning.weak.years",
            self.years,
            "[first year, last year] or empty",
        )
        if self.workbook and self.regional_weight > 0:
            raise SettingsError(
                f"learning.weak.workbook is {self.workbook!r}, whose columns are of "
                f"the globe, but learning.weak.regional_weight is "
                f"{self.regional_weight}. Set regional_weight to 0."
            )

    @property
    def is_used(self) -> bool:
        """Whether the loss contains weak labels."""
        return self.weight > 0 or self.regional_weight > 0
