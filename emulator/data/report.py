"""What ``catalog check`` reports of a product."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from emulator.data.budget_column import BudgetColumn
from emulator.data.drift import DriftReport


@dataclass
class FieldReport:
    """What one variable of one product holds.

    Attributes:
        variable: Canonical name.
        simulation: Which simulation; empty where there are none.
        files: Names of its files.
        file_count: How many they are.
        period: First and last month, and how many steps; empty for static fields.
        calendar: Calendar of the file.
        grid: The grid in words; empty for tables.
        units_found: Unit that the file states or the catalog declares; with the name
            of each where it is made of several quantities, empty where it is not told.
        units_used: Unit after reading.
        lowest: Smallest value, in ``units_used``.
        highest: Largest value, in ``units_used``.
    """

    variable: str
    simulation: str
    files: str
    file_count: int
    period: str
    calendar: str
    grid: str
    units_found: str
    units_used: str
    lowest: float
    highest: float


@dataclass
class SignTest:
    """Whether the net flux of a simulation is positive where carbon is taken up.

    Attributes:
        agreement: Positive if it is, in the unit of the evidence.
        evidence: What it was tested by.
    """

    agreement: float
    evidence: str


@dataclass
class CheckReport:
    """Everything that ``catalog check`` found.

    Attributes:
        name: Name of the entry.
        kind: Its kind.
        title: Name of the product in stores and figures.
        evidence: What stands behind its numbers.
        found: Variables that have files, with their simulation where there is one.
        missing: Those that have none.
        fields: What was read.
        problems: What must be mended before the entry can be used.
        totals: Global totals of fluxes, PgC yr-1, in the file's own calendar and with
            the product's own areas: simulation, then decade, then flux.
        signs: The sign test of each simulation that can be tested.
        residual: Share of the gross flux that nbp differs from its components, by
            simulation.
        coverage: Share of the domain with values, in the month that has fewest:
            simulation (empty where there are none), then variable.
        budget: The same totals in a workbook of the Global Carbon Budget; None where
            none was named or nothing can be compared.
        drift: The sink without the drift of its control; None where the entry says
            nothing of it, or the control is not there.
        overridden: Failed gates which the entry overrides.
        regions: Area of each region, million km2.
    """

    name: str
    kind: str
    title: str = ""
    evidence: str = ""
    found: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    fields: list[FieldReport] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    totals: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    signs: dict[str, SignTest] = field(default_factory=dict)
    residual: dict[str, float] = field(default_factory=dict)
    coverage: dict[str, dict[str, float]] = field(default_factory=dict)
    budget: BudgetColumn | None = None
    drift: DriftReport | None = None
    overridden: list[str] = field(default_factory=list)
    regions: dict[str, float] = field(default_factory=dict)

    @property
    def is_usable(self) -> bool:
        """Whether nothing must be mended."""
        return not self.problems

    @property
    def is_absent(self) -> bool:
        """Whether not one file of a product of variables is there."""
        return self.kind != "regions" and not self.found

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types; a number that is none is null."""
        said: dict[str, Any] = _finite(asdict(self))
        return {
            **said,
            "is_usable": self.is_usable,
            "is_absent": self.is_absent,
        }


def _finite(said: Any) -> Any:
    """Return plain values with None for numbers that JSON does not have."""
    if isinstance(said, dict):
        return {key: _finite(value) for key, value in said.items()}
    if isinstance(said, list):
        return [_finite(value) for value in said]
    if isinstance(said, float) and not math.isfinite(said):
        return None
    return said
