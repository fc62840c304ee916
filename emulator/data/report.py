"""Is a product complete and sane: the report of ``catalog check``."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError, UserError
from emulator.carbon.grid import Grid
from emulator.carbon.variables import VARIABLES
from emulator.data import readers
from emulator.data.check import NET_FLUX, annual_totals, check_forcing, run_gates
from emulator.data.entry import Entry
from emulator.data.gates import extremes

_REGION_STEP = 1.0
"""Grid on which areas of regions are reported, degrees."""

_SQUARE_METRES_PER_MILLION_KM2 = 1e12


@dataclass
class FieldReport:
    """What one variable of one product holds.

    Attributes:
        variable: Canonical name.
        simulation: Which simulation; empty where there are none.
        files: Names of its files.
        period: First and last month, and how many steps; empty for static fields.
        calendar: Calendar of the file.
        grid: The grid in words; empty for tables.
        units_found: Unit that the file states or the catalog declares.
        units_used: Unit after reading.
        lowest: Smallest value, in ``units_used``.
        highest: Largest value, in ``units_used``.
    """

    variable: str
    simulation: str
    files: str
    period: str
    calendar: str
    grid: str
    units_found: str
    units_used: str
    lowest: float
    highest: float


@dataclass
class CheckReport:
    """Everything that ``catalog check`` found.

    Attributes:
        name: Name of the entry.
        kind: Its kind.
        evidence: What stands behind its numbers.
        fields: What was read.
        missing: Simulations and variables whose files are not there.
        problems: What must be mended before the entry can be used.
        totals: Global totals of fluxes, PgC yr-1, in the file's own calendar and with
            the product's own areas: simulation, then decade, then flux.
        residual: Share of the gross flux that nbp differs from its components, by
            simulation.
        coverage: Share of the domain with values: simulation, then flux.
        overridden: Failed gates which the entry overrides.
        regions: Area of each region, million km2.
    """

    name: str
    kind: str
    evidence: str
    fields: list[FieldReport] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    totals: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    residual: dict[str, float] = field(default_factory=dict)
    coverage: dict[str, dict[str, float]] = field(default_factory=dict)
    overridden: list[str] = field(default_factory=list)
    regions: dict[str, float] = field(default_factory=dict)

    @property
    def is_usable(self) -> bool:
        """Whether nothing must be mended."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON types."""
        return {**asdict(self), "is_usable": self.is_usable}

    def text(self) -> str:
        """Return the report as text for a terminal."""
        about = f" [{self.evidence}]" if self.evidence else ""
        parts = [f"{self.name} ({self.kind}){about}"]
        parts += [_fields_table(self.fields)] if self.fields else []
        for simulation, decades in self.totals.items():
            parts.append(_totals_table(simulation, decades))
        notes = [
            f"{simulation}: nbp differs from its components by {share:.2%} of GPP"
            for simulation, share in self.residual.items()
        ]
        notes += [
            f"{simulation}: {flux} covers {share:.0%} of the domain"
            for simulation, fluxes in self.coverage.items()
            for flux, share in fluxes.items()
            if flux in NET_FLUX.values()
        ]
        notes += [
            f"{name}: {area:.1f} million km2" for name, area in self.regions.items()
        ]
        notes += [f"overridden gate {gate}" for gate in self.overridden]
        notes += [f"not there: {', '.join(self.missing)}"] if self.missing else []
        notes += [f"PROBLEM: {problem}" for problem in self.problems]
        notes += ["" if self.problems else "Complete and plausible."]
        return "\n\n".join([*parts, "\n".join(notes).rstrip()])


def check(entry: Entry, data_root: Path) -> CheckReport:
    """Read everything an entry names and report what is there.

    Args:
        entry: The catalog entry.
        data_root: The folder below which entries' roots lie.

    Returns:
        The report. What is wrong with the data stands in it; nothing is raised.
    """
    report = CheckReport(entry.name, entry.kind, entry.evidence)
    if entry.kind == "regions":
        _check_regions(entry, data_root, report)
    elif entry.kind == "teacher":
        for simulation in entry.simulations:
            _check_teacher(entry, simulation, data_root, report)
    else:
        for values in _read_all(entry, None, data_root, report).values():
            try:
                report.overridden += check_forcing(entry, values)
            except UserError as error:
                report.problems.append(str(error))
    return report


def _check_regions(entry: Entry, data_root: Path, report: CheckReport) -> None:
    grid = Grid.regular(_REGION_STEP)
    try:
        regions = readers.read_regions(entry, grid, data_root)
    except UserError as error:
        report.problems.append(str(error))
        return
    areas = (regions.weights * grid.cell_area()).sum(axis=(1, 2))
    report.regions = {
        name: float(area / _SQUARE_METRES_PER_MILLION_KM2)
        for name, area in zip(regions.regions, areas, strict=True)
    }


def _check_teacher(
    entry: Entry, simulation: str, data_root: Path, report: CheckReport
) -> None:
    net = NET_FLUX[entry.domain]
    fields = _read_all(entry, simulation, data_root, report)
    fluxes = {n: v for n, v in fields.items() if VARIABLES[n].role == "flux"}
    if net not in fluxes:
        report.problems.append(
            f"Simulation '{simulation}' of '{entry.name}' has no '{net}', the net flux "
            f"that a teacher needs. Get its file, or remove the simulation."
        )
    if not fluxes:
        return
    first = next(iter(fluxes.values()))
    try:
        grid = Grid(first.lat.values, first.lon.values)
        area = readers.process_area(entry, grid, data_root, own_area=True)
        found = run_gates(entry, simulation, fluxes, area)
    except UserError as error:
        report.problems.append(str(error))
        return
    report.problems += found.failures
    report.overridden += found.overridden
    report.coverage[simulation] = found.coverage
    if found.residual is not None:
        report.residual[simulation] = found.residual
    report.totals[simulation] = _totals_by_decade(fluxes, area)


def _read_all(
    entry: Entry, simulation: str | None, data_root: Path, report: CheckReport
) -> dict[str, xr.DataArray]:
    fields = {}
    for variable in entry.variables:
        try:
            readers.find_files(entry, variable, simulation, data_root)
        except CatalogError as error:
            if simulation:
                # A model need not report all; its net flux is checked apart.
                report.missing.append(f"{simulation} {variable}")
            else:
                report.problems.append(str(error))
            continue
        try:
            values = readers.read(entry, variable, simulation, data_root)
        except UserError as error:
            report.problems.append(str(error))
            continue
        fields[variable] = values
        report.fields.append(_describe(values, variable, simulation or ""))
    return fields


def _describe(values: xr.DataArray, variable: str, simulation: str) -> FieldReport:
    period = grid = ""
    lowest, highest = extremes(values.values)
    if "time" in values.dims:
        step = "Y" if values.attrs["frequency"] == "year" else "M"
        stamps = values.time.values.astype(f"datetime64[{step}]")
        unit = f"{values.attrs['frequency']}s"
        period = f"{stamps[0]} to {stamps[-1]}, {stamps.size} {unit}"
    if "lat" in values.dims:
        grid = Grid(values.lat.values, values.lon.values).describe()
    return FieldReport(
        variable=variable,
        simulation=simulation,
        files=values.attrs["source_file"],
        period=period,
        calendar=values.attrs.get("source_calendar", ""),
        grid=grid,
        units_found=values.attrs["source_units"],
        units_used=values.attrs["units"],
        lowest=lowest,
        highest=highest,
    )


def _totals_by_decade(
    fluxes: Mapping[str, xr.DataArray], area: NDArray[np.float64]
) -> dict[str, dict[str, float]]:
    """Return mean totals, PgC yr-1, of each decade and flux."""
    totals: dict[str, dict[str, float]] = {}
    for name, flux in fluxes.items():
        years, values = annual_totals(flux, area)
        for decade in np.unique(years // 10):
            inside = years // 10 == decade
            held = years[inside]
            span = f"{held[0]}-{held[-1]}"
            totals.setdefault(span, {})[name] = float(values[inside].mean())
    return dict(sorted(totals.items()))


def _fields_table(fields: list[FieldReport]) -> str:
    head = ("", "variable", "period", "grid", "calendar", "unit", "lowest", "highest")
    rows: list[tuple[str, ...]] = [head]
    for item in fields:
        changed = item.units_found != item.units_used
        unit = f"{item.units_found} > {item.units_used}" if changed else item.units_used
        rows.append(
            (
                item.simulation,
                item.variable,
                item.period,
                item.grid,
                item.calendar,
                unit,
                f"{item.lowest:.4g}",
                f"{item.highest:.4g}",
            )
        )
    return _aligned(rows)


def _totals_table(simulation: str, decades: dict[str, dict[str, float]]) -> str:
    names = list(dict.fromkeys(name for row in decades.values() for name in row))
    rows = [(f"{simulation}, PgC per year", *names)]
    for span, values in decades.items():
        cells = (f"{values[n]:.2f}" if n in values else "" for n in names)
        rows.append((span, *cells))
    return _aligned(rows)


def _aligned(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
