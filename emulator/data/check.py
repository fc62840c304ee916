"""Run the plausibility gates on what readers return, and report on an entry."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.budget import annual_total, area_rate
from emulator.carbon.timeaxis import as_months, month_of
from emulator.carbon.units import KG_PER_PETAGRAM, SECONDS_PER_DAY
from emulator.data import gates
from emulator.data.entry import Entry

NET_FLUX = {"land": "nbp", "ocean": "fgco2"}
"""The flux that is the sink of each domain."""

_SIGNS = {"gpp": 1, "ra": -1, "rh": -1, "fFire": -1, "fLuc": -1}
_NEEDED = ("gpp", "rh")
_YEAR_DAYS = {"standard": 365.2425, "noleap": 365.0, "360_day": 360.0}


@dataclass
class GateResult:
    """What the gates found in one simulation.

    Attributes:
        overridden: Gates that failed and are overridden, as ``gate: source``.
        residual: Share of the gross flux that nbp differs from its components; None
            if they are not there.
        coverage: Share of the domain with values, by flux.
    """

    overridden: list[str] = field(default_factory=list)
    residual: float | None = None
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
        What was found.

    Raises:
        GateError: If a gate fails that the entry does not override.
    """
    result = GateResult()
    overrides = entry.gates
    for name, flux in fields.items():
        source = _source(entry, simulation, flux)
        found = gates.check_range(name, flux.values, source=source, overrides=overrides)
        years, totals = annual_totals(flux, area)
        found += gates.check_units(
            name, years, totals, source=source, overrides=overrides
        )
        result.coverage[name] = gates.coverage(flux.values, area, entry.domain)
        found += gates.check_coverage(
            result.coverage[name], entry.domain, source=source, overrides=overrides
        )
        result.overridden += [f"{gate}: {source}" for gate in found]
    net = fields.get(NET_FLUX[entry.domain])
    if net is not None:
        source = _source(entry, simulation, net)
        parts = components(fields)
        found = _check_sign(entry, net, parts, area, source)
        if parts is not None:
            result.residual = gates.closure_residual(
                net.values, parts, fields["gpp"].values, area
            )
            allowed = entry.residual.allowed if entry.residual else None
            found += gates.check_closure(
                result.residual, allowed, source=source, overrides=overrides
            )
        result.overridden += [f"{gate}: {source}" for gate in found]
    return result


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


def components(fields: Mapping[str, xr.DataArray]) -> NDArray[np.float32] | None:
    """Return gpp - ra - rh - fFire - fLuc, or None without gpp, rh and ra or npp.

    A component which the teacher does not have counts as zero; ra may be given as
    npp. Annual fields cannot be compared with monthly ones.
    """
    if any(name not in fields for name in _NEEDED):
        return None
    given = dict(fields)
    if "ra" not in given and "npp" in given:
        given["ra"] = given["gpp"] - given["npp"]
    net = fields.get("nbp", fields["gpp"])
    used = [name for name in _SIGNS if name in given]
    if "ra" not in used or any(given[name].shape != net.shape for name in used):
        return None
    total = np.zeros(net.shape, dtype=np.float32)
    for name in used:
        total += _SIGNS[name] * given[name].values
    return total


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


def _check_sign(
    entry: Entry,
    net: xr.DataArray,
    parts: NDArray[np.float32] | None,
    area: NDArray[np.float64],
    source: str,
) -> list[str]:
    """Check the sign by components where they are, by a known region otherwise."""
    values = net.values
    month = month_of(net.time.values)
    monthly = net.attrs.get("frequency") != "year"
    if parts is not None:
        agreement = gates.sign_by_components(values, parts, area)
        evidence = "its slope on gpp - ra - rh - fFire - fLuc"
    elif not monthly:
        return []
    elif entry.domain == "land":
        agreement = gates.sign_by_summer(values, month, net.lat.values, area)
        evidence = "its summer minus winter at 40-65 N, kg s-1"
    else:
        agreement = gates.sign_by_winter_atlantic(
            values, month, net.lat.values, net.lon.values, area
        )
        evidence = "the northern Atlantic in winter, kg s-1"
    return gates.check_sign(
        str(net.name), agreement, evidence, source=source, overrides=entry.gates
    )


def _source(entry: Entry, simulation: str | None, values: xr.DataArray) -> str:
    of = f"{entry.name} {simulation}" if simulation else entry.name
    return f"{values.attrs.get('source_file', values.name)} ({of})"
