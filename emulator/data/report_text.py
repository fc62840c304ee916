"""Reports of ``catalog check`` as text for a terminal, many of them as one table."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from emulator.data.budget_column import BudgetColumn
from emulator.data.check import NET_FLUX
from emulator.data.drift import DriftReport
from emulator.data.report import CheckReport, FieldReport

_ANNUAL = "annual, or without the months that tell"


def text(report: CheckReport) -> str:
    """Return a report as text."""
    about = f" [{report.evidence}]" if report.evidence else ""
    parts = [f"{report.name} ({report.kind}){about}"]
    parts += [_fields_table(report.fields)] if report.fields else []
    for simulation, decades in report.totals.items():
        parts.append(_totals_table(simulation, decades))
    parts += [_budget_table(report.budget, report.title)] if report.budget else []
    parts += [_drift_table(report.drift)] if report.drift else []
    return "\n\n".join([*parts, "\n".join(_notes(report))])


def summary(reports: Sequence[CheckReport]) -> str:
    """Return one row for each product."""
    rows: list[tuple[str, ...]] = [
        ("product", "label", "variables", "simulations", "period", "grid", "verdict")
    ]
    for report in reports:
        wanted = len(report.found) + len(report.missing)
        first = report.fields[0] if report.fields else None
        count = len(report.problems)
        rows.append(
            (
                report.name,
                report.title,
                f"{len(report.found)} of {wanted}" if wanted else "",
                " ".join(report.totals),
                first.period.partition(",")[0] if first else "",
                first.grid if first else "",
                "no file"
                if report.is_absent
                else f"{count} problem{'s' * (count > 1)}"
                if count
                else "usable",
            )
        )
    return _aligned(rows)


def _notes(report: CheckReport) -> list[str]:
    notes = []
    for simulation, test in report.signs.items():
        verdict = "right" if test.agreement > 0 else "WRONG"
        verdict = verdict if test.agreement else "not told"
        notes.append(
            f"{simulation}: sign {verdict} by {test.evidence}: {test.agreement:.3g}"
        )
    notes += [
        f"{simulation}: sign not tested: "
        f"{_ANNUAL if _has_net(decades) else 'there is no net flux'}"
        for simulation, decades in report.totals.items()
        if simulation and simulation not in report.signs
    ]
    notes += [
        f"{simulation}: nbp differs from its components by {share:.2%} of GPP"
        for simulation, share in report.residual.items()
    ]
    notes += [
        f"{simulation + ': ' * bool(simulation)}{name} covers {share:.0%} of the domain"
        for simulation, shares in report.coverage.items()
        for name, share in shares.items()
        if not simulation or name in NET_FLUX.values()
    ]
    notes += [
        f"{name}: {area:.1f} million km2" for name, area in report.regions.items()
    ]
    notes += [f"overridden gate {gate}" for gate in report.overridden]
    notes += [f"not there: {_grouped(report)}"] if report.missing else []
    notes += [f"PROBLEM: {problem}" for problem in report.problems]
    notes += [] if report.problems else ["Complete and plausible."]
    return notes


def _has_net(decades: Mapping[str, Mapping[str, float]]) -> bool:
    return any(net in row for row in decades.values() for net in NET_FLUX.values())


def _grouped(report: CheckReport) -> str:
    """Return missing variables, each simulation named once."""
    present = {what.rpartition(" ")[0] for what in report.found}
    split = [what.rpartition(" ") for what in report.missing]
    said = []
    for simulation, parts in groupby(split, key=lambda part: part[0]):
        names = ", ".join(name for *_, name in parts)
        said.append(f"{simulation} {names}" if simulation in present else simulation)
        if not simulation:
            said[-1] = names
    return "; ".join(said)


def _fields_table(fields: Sequence[FieldReport]) -> str:
    head = ("", "variable", "files", "period", "grid", "calendar", "unit")
    rows: list[tuple[str, ...]] = [(*head, "lowest", "highest")]
    for item in fields:
        changed = item.units_found not in ("", item.units_used)
        unit = f"{item.units_found} > {item.units_used}" if changed else item.units_used
        rows.append(
            (
                item.simulation,
                item.variable,
                str(item.file_count),
                item.period,
                item.grid,
                item.calendar,
                unit,
                f"{item.lowest:.4g}",
                f"{item.highest:.4g}",
            )
        )
    return _aligned(rows)


def _totals_table(simulation: str, decades: Mapping[str, Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for row in decades.values() for name in row))
    rows = [(", ".join(filter(None, (simulation, "PgC per year"))), *names)]
    for span, values in decades.items():
        cells = (f"{values[n]:.2f}" if n in values else "" for n in names)
        rows.append((span, *cells))
    return _aligned(rows)


def _budget_table(found: BudgetColumn, title: str) -> str:
    edition = f"Global Carbon Budget {found.edition} v{found.version}"
    if not found.column:
        return f"{edition} has no column of '{title}'."
    if not found.decades:
        return f"{edition}, column '{found.column}': no year is in both."
    keys = ("files", "budget", "difference")
    rows: list[tuple[str, ...]] = [("PgC per year, shared years", *keys)]
    rows += [
        (span, *(f"{row[key]:.2f}" for key in keys))
        for span, row in found.decades.items()
    ]
    drift = " without drift" if found.is_corrected else ""
    head = f"{found.simulation}{drift} beside {edition}, column '{found.column}'"
    return f"{head}\n{_aligned(rows)}"


def _drift_table(found: DriftReport) -> str:
    fitted, years = ("-".join(map(str, s)) for s in (found.fitted, found.model_years))
    keys = ("raw", "drift", "sink")
    rows: list[tuple[str, ...]] = [("PgC per year", *keys)]
    rows += [
        (span, *(f"{row[key]:.2f}" for key in keys))
        for span, row in found.decades.items()
    ]
    return (
        f"{found.transient} without the drift of {found.control}: {found.form} fit to "
        f"{fitted}, model years {years}, {found.slope:+.2f} PgC yr-1 a decade; "
        f"{found.extrapolated:.0%} of its years are beyond them, where it is held\n"
    ) + _aligned(rows)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
