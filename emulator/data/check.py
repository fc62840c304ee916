"""Run the plausibility gates on what readers return."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.budget import annual_total, area_rate
from emulator.carbon.closure import nbp_from_components
from emulator.carbon.errors import GateError
from emulator.carbon.timeaxis import as_months, month_of
from emulator.carbon.units import KG_PER_PETAGRAM, SECONDS_PER_DAY
from emulator.data import gates
from emulator.data.entry import Entry

NET_FLUX = {"land": "nbp", "ocean": "fgco2"}
"""The flux that is the sink of each domain."""

_NEEDED = ("gpp", "ra", "rh")
_YEAR_DAYS = {"standard": 365.2425, "noleap": 365.0, "360_day": 360.0}


@dataclass
class GateResult:
    """What the gates found in one simulation.

    Attributes:
        overridden: Gates that failed and are overridden, as ``gate: source``.
        failures: Messages of the gates that failed.
        residual: Share of the gross flux that nbp differs from its components; None
            if they are not there.
        agreement: What the sign test of the net flux gave, positive where uptake is;
            None where it could not be made.
        evidence: What the sign was tested by; empty without a test.
        coverage: Share of the domain with values, by flux.
    """

    overridden: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    residual: float | None = None
    agreement: float | None = None
    evidence: str = ""
    coverage: dict[str, float] = field(default_factory=dict)


def check_simulation(
    entry: Entry,
    simulation: str,
    fields: Mapping[str, xr.DataArray],
    area: NDArray[np.float64],
) -> GateResult:
    """Run all gates on the fluxes of one simulation of a teacher.

    Args:
        entry: The teacher.
        simulation: Name of the simulation.
        fields: Fluxes by canonical name, as ``readers.read`` returns them, all on one
            grid; the more components, the sharper the gates.
        area: Area to which the fluxes refer, m2; shape (lat, lon).

    Returns:
        What was found; its ``failures`` are empty.

    Raises:
        GateError: If gates fail that the entry does not override; the message holds
            all of them.
    """
    result = run_gates(entry, simulation, fields, area)
    if result.failures:
        raise GateError("\n".join(result.failures))
    return result


def run_gates(
    entry: Entry,
    simulation: str,
    fields: Mapping[str, xr.DataArray],
    area: NDArray[np.float64],
) -> GateResult:
    """Run all gates like ``check_simulation``, but return failures."""
    result = GateResult()
    overrides = entry.gates
    for name, flux in fields.items():
        source = _source(entry, simulation, flux)
        covered = gates.coverage(flux.values, area, entry.domain)
        result.coverage[name] = covered
        years, totals = annual_totals(flux, area)
        with _gathered(result, source) as found:
            found += gates.check_units(
                name, years, totals, source=source, overrides=overrides
            )
        with _gathered(result, source) as found:
            found += gates.check_range(
                name, flux.values, source=source, overrides=overrides
            )
        with _gathered(result, source) as found:
            found += gates.check_coverage(
                covered, entry.domain, source=source, overrides=overrides
            )
    net = fields.get(NET_FLUX[entry.domain])
    if net is None:
        return result
    source = _source(entry, simulation, net)
    # A sum agrees with what it was added up from, whatever is wrong with it.
    parts = None if "sum_of" in net.attrs else components(fields)
    with _gathered(result, source) as found:
        tested = _sign(entry, net, parts, area)
        if tested is not None:
            result.agreement, result.evidence = tested
            found += gates.check_sign(
                str(net.name), *tested, source=source, overrides=overrides
            )
        if parts is not None:
            gross = fields["gpp"].values
            result.residual = gates.closure_residual(net.values, parts, gross, area)
            allowed = entry.residual.allowed if entry.residual else None
            found += gates.check_closure(
                result.residual, allowed, source=source, overrides=overrides
            )
    return result


@contextmanager
def _gathered(result: GateResult, source: str) -> Iterator[list[str]]:
    """Collect overridden gates and the message of one that fails."""
    found: list[str] = []
    try:
        yield found
    except GateError as error:
        result.failures.append(str(error))
    result.overridden += [f"{gate}: {source}" for gate in found]


def check_forcing(entry: Entry, forcing: xr.DataArray) -> list[str]:
    """Run the gates on one forcing or static field.

    Returns:
        Overridden gates, as ``gate: source``.

    Raises:
        GateError: If a gate fails that the entry does not override.
    """
    source = _source(entry, None, forcing)
    found = gates.check_range(
        str(forcing.name), forcing.values, source=source, overrides=entry.gates
    )
    return [f"{gate}: {source}" for gate in found]


def components(fields: Mapping[str, xr.DataArray]) -> NDArray[np.float64] | None:
    """Return gpp - ra - rh - fFire - fLuc, kg m-2 s-1; shape (time, lat, lon).

    A component which the teacher does not have counts as zero; ra may be given as
    npp. None without gpp, rh and one of ra and npp, or if some are annual and others
    monthly, since those cannot be compared.
    """
    given = {name: values.values for name, values in fields.items()}
    if "ra" not in given and "npp" in given and "gpp" in given:
        given["ra"] = given["gpp"] - given["npp"]
    used = [name for name in ("nbp", *_NEEDED, "fFire", "fLuc") if name in given]
    if any(name not in given for name in _NEEDED):
        return None
    if len({given[name].shape for name in used}) > 1:
        return None
    return nbp_from_components(
        gpp=given["gpp"],
        ra=given["ra"],
        rh=given["rh"],
        fire=given.get("fFire"),
        luc=given.get("fLuc"),
    )


def annual_totals(
    flux: xr.DataArray, area: NDArray[np.float64], calendar: str | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return complete years and the global total of each, PgC.

    Args:
        flux: Monthly or annual mean rate, kg m-2 s-1; dims (time, lat, lon). NaN
            counts as no flux.
        area: Area to which the flux refers, m2; shape (lat, lon).
        calendar: Calendar whose lengths count; the file's own by default, so that
            totals compare with published ones.
    """
    used = calendar or str(flux.attrs.get("source_calendar", "standard"))
    rate = area_rate(np.nan_to_num(flux.values), area)
    months = as_months(flux.time.values)
    if flux.attrs.get("frequency") == "year":
        years = months.astype("datetime64[Y]").astype(np.int64) + 1970
        return years, rate * _YEAR_DAYS[used] * SECONDS_PER_DAY / KG_PER_PETAGRAM
    return annual_total(rate, months, used)


def _sign(
    entry: Entry,
    net: xr.DataArray,
    parts: NDArray[np.float64] | None,
    area: NDArray[np.float64],
) -> tuple[float, str] | None:
    """Test the sign by components where they are, by a known region otherwise.

    Returns:
        The agreement, positive if the sign is right, and what it was found by; None if
        nothing tells, as for annual fluxes without components.
    """
    values = net.values
    month = month_of(net.time.values)
    if parts is not None:
        agreement = gates.sign_by_components(values, parts, area)
        evidence = "its slope on gpp - ra - rh - fFire - fLuc"
    elif net.attrs.get("frequency") == "year":
        return None
    elif entry.domain == "land":
        agreement = gates.sign_by_summer(values, month, net.lat.values, area)
        evidence = "its summer minus winter at 40-65 N, kg s-1"
    else:
        agreement = gates.sign_by_winter_atlantic(
            values, month, net.lat.values, net.lon.values, area
        )
        evidence = "the northern Atlantic in winter, kg s-1"
    return None if np.isnan(agreement) else (agreement, evidence)


def _source(entry: Entry, simulation: str | None, values: xr.DataArray) -> str:
    of = f"{entry.name} {simulation}" if simulation else entry.name
    return f"{values.attrs.get('source_file', values.name)} ({of})"
