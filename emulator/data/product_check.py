"""Is a product complete and sane: the work of ``catalog check``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError, UserError
from emulator.carbon.grid import Grid
from emulator.carbon.variables import VARIABLES
from emulator.data import readers
from emulator.data.budget_column import (
    Annual,
    beside,
    by_decade,
    compared_simulation,
)
from emulator.data.check import (
    NET_FLUX,
    Measures,
    annual_totals,
    check_forcing,
    judge,
    measure,
)
from emulator.data.drift import corrected
from emulator.data.drift import report as drift_report
from emulator.data.entry import Entry, Years
from emulator.data.gates import coverage, extremes
from emulator.data.readers.archives import keeping_unpacked
from emulator.data.readers.prepared import LEFT_OUT
from emulator.data.readers.workbook import Workbook
from emulator.data.report import CheckReport, FieldReport, SignTest

BLOCK_YEARS = 10
"""Years of a teacher that are held at once: seven fluxes at half a degree are 0.9 GB,
of which the sums make three times as much."""

_REGION_STEP = 1.0
"""Grid on which areas of regions are reported, degrees."""

_SQUARE_METRES_PER_MILLION_KM2 = 1e12


def check(
    entry: Entry, data_root: Path, workbook: Workbook | None = None
) -> CheckReport:
    """Read everything an entry names and report what is there.

    Args:
        entry: The catalog entry.
        data_root: The folder below which entries' roots lie.
        workbook: An edition of the Global Carbon Budget to compare a teacher with.

    Returns:
        The report. What is wrong with the data stands in it; nothing is raised.
    """
    report = CheckReport(entry.name, entry.kind, entry.title, entry.evidence)
    if entry.kind == "regions":
        _check_regions(entry, data_root, report)
    elif entry.kind == "teacher":
        nets: dict[str, Annual] = {}
        for simulation in entry.simulations:
            net = _check_teacher(entry, simulation, data_root, report)
            nets |= {simulation: net} if net else {}
        _check_drift(entry, nets, report)
        if workbook:
            _compare(entry, nets, report, workbook)
        if report.is_absent:
            report.problems.append(
                f"Not one file of '{entry.name}' is below "
                f"{data_root / Path(entry.root).expanduser()}, where "
                f"{entry.files or 'those of its variables'} should be. Put the data "
                f"there, or set paths.data (SINK_DATA) to the folder that holds "
                f"'{entry.root}'."
            )
    else:
        fields = _read_all(entry, data_root, report)
        for values in fields.values():
            try:
                report.overridden += check_forcing(entry, values)
            except UserError as error:
                report.problems.append(str(error))
            _check_presence(entry, values, report)
        # Of forcing, only the carbon of fires has a total that anybody knows.
        if "fireobs" in fields:
            fires = fields["fireobs"]
            area = Grid(fires.lat.values, fires.lon.values).cell_area()
            annual = {"fireobs": annual_totals(fires, area)}
            report.totals[""] = _totals_by_decade(annual)
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
) -> Annual | None:
    """Check one simulation; return the annual totals of its net flux."""
    net = NET_FLUX[entry.domain]
    counts = _find_all(entry, simulation, data_root, report)
    if not counts:
        return None  # a simulation that one did not get is missing, not wrong
    with keeping_unpacked():
        measures, held = _measured(entry, simulation, [*counts], data_root, report)
    report.fields += [field.report(simulation, counts[field.name]) for field in held]
    if net not in {field.name for field in held}:
        report.problems.append(
            f"Simulation '{simulation}' of '{entry.name}' has no '{net}', the net flux "
            f"that a teacher needs. Get its file, or remove the simulation."
        )
    if not measures or not measures.fluxes:
        return None
    found = judge(entry, simulation, measures)
    report.problems += found.failures
    report.overridden += found.overridden
    report.coverage[simulation] = found.coverage
    if found.agreement is not None:
        report.signs[simulation] = SignTest(found.agreement, found.evidence)
    if found.residual is not None:
        report.residual[simulation] = found.residual
    annual = {
        name: (np.array(flux.years, np.int64), np.array(flux.totals))
        for name, flux in measures.fluxes.items()
    }
    report.totals[simulation] = _totals_by_decade(annual)
    return annual.get(net)


def _measured(
    entry: Entry,
    simulation: str,
    variables: Sequence[str],
    data_root: Path,
    report: CheckReport,
) -> tuple[Measures | None, list["_Held"]]:
    """Read a simulation some years at a time; what cannot be read is a problem.

    Returns:
        What the gates need to know of its fluxes, None where their area is not known,
        and what each readable variable holds.
    """
    parts: list[Measures] = []
    held: dict[str, _Held] = {}
    area: NDArray[np.float64] | None = None
    is_lost = False
    for years in _blocks(entry.label_years(simulation)):
        fluxes = {}
        for name in variables:
            try:
                values = readers.read(entry, name, simulation, data_root, years=years)
            except UserError as error:
                # What was measured before may rest on it: begin again without it.
                said = _of_all_years(entry, name, simulation, data_root) or error
                report.problems.append(str(said))
                others = [other for other in variables if other != name]
                return _measured(entry, simulation, others, data_root, report)
            held.setdefault(name, _Held(name)).add(values)
            if VARIABLES[name].role == "flux":
                fluxes[name] = values
        if not fluxes or is_lost:
            continue
        try:
            if area is None:
                first = next(iter(fluxes.values()))
                grid = Grid(first.lat.values, first.lon.values)
                area = readers.process_area(entry, grid, data_root, own_area=True)
            parts.append(measure(entry, fluxes, area))
        except UserError as error:
            report.problems.append(str(error))
            is_lost = True
    whole = Measures.joined(parts) if parts else None
    return whole, list(held.values())


def _of_all_years(
    entry: Entry, variable: str, simulation: str, data_root: Path
) -> UserError | None:
    """Return the error of reading all years: it says more than that of a few."""
    try:
        readers.read(entry, variable, simulation, data_root)
    except UserError as error:
        return error
    return None


def _blocks(years: Years | None) -> list[tuple[int, int] | None]:
    """Return stretches of years that are held at once; None for all there are."""
    first, last = years or (0, None)
    if last is None:
        return [None]
    starts = range(first, last + 1, BLOCK_YEARS)
    return [(start, min(start + BLOCK_YEARS - 1, last)) for start in starts]


def _check_drift(entry: Entry, nets: Mapping[str, Annual], report: CheckReport) -> None:
    source = entry.drift
    if source is None or not nets.keys() >= {source.transient, source.control}:
        return
    transient, control = nets[source.transient], nets[source.control]
    try:
        report.drift = drift_report(source, transient, control, entry.name)
    except CatalogError as error:
        report.problems.append(str(error))


def _compare(
    entry: Entry, nets: Mapping[str, Annual], report: CheckReport, workbook: Workbook
) -> None:
    """Put the budget's column beside the sink, without drift as the budget has it."""
    simulation = compared_simulation(entry)
    if simulation is None or simulation not in nets:
        return
    net, source = nets[simulation], entry.drift
    if source is None or report.drift is None or source.transient != simulation:
        report.budget = beside(workbook, entry, simulation, net)
        return
    net = corrected(source, net, nets[source.control], entry.name)
    report.budget = beside(workbook, entry, simulation, net, is_corrected=True)


def _find_all(
    entry: Entry, simulation: str | None, data_root: Path, report: CheckReport
) -> dict[str, int]:
    """Return how many files each variable has, and note which have none."""
    counts = {}
    for variable in entry.variables:
        what = f"{simulation} {variable}" if simulation else variable
        try:
            files = readers.find_files(entry, variable, simulation, data_root)
        except CatalogError as error:
            report.missing.append(what)
            if not simulation:
                # A model need not report all; its net flux is checked apart.
                report.problems.append(str(error))
            continue
        report.found.append(what)
        counts[variable] = len(files)
    return counts


def _read_all(
    entry: Entry, data_root: Path, report: CheckReport
) -> dict[str, xr.DataArray]:
    """Read the variables of a product without simulations."""
    fields = {}
    for variable, count in _find_all(entry, None, data_root, report).items():
        try:
            values = readers.read(entry, variable, None, data_root)
        except UserError as error:
            report.problems.append(str(error))
            continue
        fields[variable] = values
        held = _Held(variable)
        held.add(values)
        report.fields.append(held.report("", count))
    return fields


def _check_presence(entry: Entry, values: xr.DataArray, report: CheckReport) -> None:
    """Note which share of the domain a field covers, and what of it is not there."""
    name, file = str(values.name), values.attrs["source_file"]
    if left_out := values.attrs.get(LEFT_OUT):
        report.problems.append(
            f"{left_out}. Get what is missing, or end 'years' in the catalog entry "
            f"'{entry.name}' before it."
        )
    if "lat" not in values.dims:
        return
    maps = values if "time" in values.dims else values.expand_dims("time")
    area = Grid(maps.lat.values, maps.lon.values).cell_area()
    if entry.domain in NET_FLUX:
        covered = coverage(maps.values, area, entry.domain)
    else:  # of the whole Earth
        there = np.einsum("tij,ij->t", np.isfinite(maps.values), area)
        covered = float(there.min(initial=np.inf) / area.sum())
    report.coverage.setdefault("", {})[name] = covered
    if covered == 0:
        empty = ~np.isfinite(maps.values).any(axis=(1, 2))
        when = ""
        if "time" in values.dims:
            when = f" in {values.time.values[empty][0].astype('datetime64[M]')}"
        report.problems.append(
            f"{file} ({entry.name}): '{name}' holds no value{when}, but some are "
            f"needed each month. Check its fill value, or get the file again."
        )


class _Held:
    """What one variable holds, gathered from stretches of its years."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._attrs: dict[str, Any] = {}
        self._grid = ""
        self._files: dict[str, None] = {}
        self._stamps: list[NDArray[np.datetime64]] = []
        self._extremes: list[float] = []

    def add(self, values: xr.DataArray) -> None:
        """Take in a stretch; its values are not kept."""
        self._attrs = values.attrs
        self._files[values.attrs["source_file"]] = None
        self._extremes += extremes(values.values)
        if "time" in values.dims:
            step = "Y" if values.attrs["frequency"] == "year" else "M"
            self._stamps.append(values.time.values.astype(f"datetime64[{step}]"))
        if "lat" in values.dims:
            self._grid = Grid(values.lat.values, values.lon.values).describe()

    def report(self, simulation: str, file_count: int) -> FieldReport:
        """Return the report of all stretches."""
        period = ""
        if self._stamps:
            stamps = np.concatenate(self._stamps)
            unit = f"{self._attrs['frequency']}s"
            period = f"{stamps[0]} to {stamps[-1]}, {stamps.size} {unit}"
        lowest, highest = extremes(np.array(self._extremes))
        return FieldReport(
            variable=self.name,
            simulation=simulation,
            files=" ".join(self._files),
            file_count=file_count,
            period=period,
            calendar=self._attrs.get("source_calendar", ""),
            grid=self._grid,
            units_found=self._attrs["source_units"],
            units_used=self._attrs["units"],
            lowest=lowest,
            highest=highest,
        )


def _totals_by_decade(annual: Mapping[str, Annual]) -> dict[str, dict[str, float]]:
    """Return mean totals, PgC yr-1, of each decade and flux."""
    totals: dict[str, dict[str, float]] = {}
    for name, (years, values) in annual.items():
        for span, inside in by_decade(years).items():
            totals.setdefault(span, {})[name] = float(values[inside].mean())
    return dict(sorted(totals.items()))
