"""Run the plausibility gates on what readers return.

A series may be too long for memory. So gates judge measures, small numbers that are
taken block by block of years and joined: the answer is that for the whole series.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.budget import annual_total, area_rate
from emulator.carbon.closure import nbp_from_components
from emulator.carbon.errors import GateError
from emulator.carbon.timeaxis import as_months, month_of
from emulator.carbon.units import (
    KG_PER_PETAGRAM,
    SECONDS_PER_DAY,
    SECONDS_PER_YEAR,
)
from emulator.data import gates
from emulator.data.entry import Entry

NET_FLUX = {"land": "nbp", "ocean": "fgco2"}
"""The flux that is the sink of each domain."""

_NEEDED = ("gpp", "ra", "rh")
_RATE = SECONDS_PER_YEAR / KG_PER_PETAGRAM  # PgC yr-1 in a kg s-1
_YEAR_DAYS = {"standard": 365.2425, "noleap": 365.0, "360_day": 360.0}

_SIGN_TESTS: dict[str, tuple[Callable[[gates.Sums], float], str]] = {
    "components": (gates.slope, "its slope on gpp - ra - rh - fFire - fLuc"),
    "summer": (gates.summer_over_winter, "its summer minus winter at 40-65 N, kg s-1"),
    "winter": (gates.mean_of, "the northern Atlantic in winter, kg s-1"),
}
"""How the sums of each test become an agreement, and the test in words."""


@dataclass(frozen=True)
class FluxMeasures:
    """What gates need to know of some years of one flux.

    Attributes:
        source_file: The files it is from.
        years: Complete years.
        totals: Global total of each, PgC.
        extent: How far the values reach.
        coverage: Share of the domain with values, in the month that has fewest.
        gross: The sums of what months of a net flux move; zeros of others.
    """

    source_file: str
    years: tuple[int, ...]
    totals: tuple[float, ...]
    extent: gates.Extent
    coverage: float
    gross: gates.Sums


@dataclass(frozen=True)
class Measures:
    """What gates need to know of some years of one simulation.

    Attributes:
        fluxes: Of each flux, by canonical name.
        test: The test of the sign that can be made; empty if none can.
        sign: The sums of that test.
        closure: The sums of the closure residual; empty without components.
    """

    fluxes: dict[str, FluxMeasures]
    test: str = ""
    sign: gates.Sums = ()
    closure: gates.Sums = ()

    @classmethod
    def joined(cls, parts: Sequence["Measures"]) -> "Measures":
        """Return the measures of consecutive blocks of years together."""
        return cls(
            {
                name: _joined([part.fluxes[name] for part in parts])
                for name in parts[0].fluxes
            },
            parts[0].test,
            _added([part.sign for part in parts]),
            _added([part.closure for part in parts]),
        )


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
    return judge(entry, simulation, measure(entry, fields, area))


def measure(
    entry: Entry, fields: Mapping[str, xr.DataArray], area: NDArray[np.float64]
) -> Measures:
    """Measure what gates need to know, of whole years of a simulation.

    Arguments are those of ``check_simulation``.
    """
    fluxes = {}
    cells = np.flatnonzero(area)
    weight = area.ravel()[cells]
    of_cells = {name: _of_cells(flux, cells) for name, flux in fields.items()}
    for name, flux in fields.items():
        years, totals = annual_totals(of_cells[name], weight)
        fluxes[name] = FluxMeasures(
            str(flux.attrs.get("source_file", name)),
            tuple(years.tolist()),
            tuple(totals.tolist()),
            gates.Extent.of(name, flux.values),
            gates.coverage(of_cells[name].values, weight, entry.domain),
            _moved(name, of_cells[name], weight),
        )
    net = fields.get(NET_FLUX[entry.domain])
    if net is None:
        return Measures(fluxes)
    # A sum agrees with what it was added up from, whatever is wrong with it.
    parts = None if "sum_of" in net.attrs else components(of_cells)
    if parts is None:
        return Measures(fluxes, *_season(entry, net, area))
    values, gross = of_cells[NET_FLUX[entry.domain]].values, of_cells["gpp"].values
    sign = gates.component_sums(values, parts, weight)
    closure = gates.closure_sums(values, parts, gross, weight)
    return Measures(fluxes, "components", sign, closure)


def _of_cells(flux: xr.DataArray, cells: NDArray[np.int64]) -> xr.DataArray:
    """Return a flux where it counts, on land a third of the map; dims (time, cell)."""
    values = flux.values.reshape(flux.shape[0], -1)
    if cells.size < values.shape[1]:
        values = values[:, cells]
    times = {"time": flux["time"].values}
    return xr.DataArray(values, times, ("time", "cell"), attrs=flux.attrs)


def judge(entry: Entry, simulation: str, measures: Measures) -> GateResult:
    """Run all gates on the measures of a simulation; failures are returned."""
    result = GateResult()
    overrides = entry.gates
    for name, flux in measures.fluxes.items():
        source = _source(entry, simulation, flux.source_file)
        result.coverage[name] = flux.coverage
        years, totals = np.array(flux.years, np.int64), np.array(flux.totals)
        with _gathered(result, source) as found:
            found += gates.check_units(
                name,
                years,
                totals,
                source=source,
                gross=gates.mean_of(flux.gross) * _RATE,
                overrides=overrides,
            )
        with _gathered(result, source) as found:
            found += gates.check_range(
                name, flux.extent, source=source, overrides=overrides
            )
        with _gathered(result, source) as found:
            found += gates.check_coverage(
                flux.coverage, entry.domain, source=source, overrides=overrides
            )
    net = NET_FLUX[entry.domain]
    if net not in measures.fluxes:
        return result
    source = _source(entry, simulation, measures.fluxes[net].source_file)
    if measures.closure:
        missing, gross = measures.closure
        result.residual = missing / gross if gross else np.nan
    with _gathered(result, source) as found:
        tested = _agreement(measures)
        if tested is not None:
            result.agreement, result.evidence = tested
            found += gates.check_sign(net, *tested, source=source, overrides=overrides)
        # With the wrong sign it does not close either, and that has another cure.
        if result.residual is not None:
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
    extent = gates.Extent.of(str(forcing.name), forcing.values)
    file = str(forcing.attrs.get("source_file", forcing.name))
    return check_extent(entry, str(forcing.name), extent, file)


def check_extent(
    entry: Entry, variable: str, extent: gates.Extent, file: str
) -> list[str]:
    """Run the gates on how far a forcing field reaches, as ``check_forcing`` does."""
    source = _source(entry, None, file)
    found = gates.check_range(variable, extent, source=source, overrides=entry.gates)
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


def _moved(name: str, flux: xr.DataArray, area: NDArray[np.float64]) -> gates.Sums:
    """Return what months of a net flux move; in means of years most cancels."""
    if name not in gates.LEAST_GROSS or flux.attrs.get("frequency") == "year":
        return (0.0, 0.0)
    return gates.gross_sums(flux.values, area)


def _season(
    entry: Entry, net: xr.DataArray, area: NDArray[np.float64]
) -> tuple[str, gates.Sums]:
    """Return the test of the sign by a known region and season, and its sums."""
    if net.attrs.get("frequency") == "year":
        return "", ()
    values, month, lat = net.values, month_of(net.time.values), net.lat.values
    if entry.domain == "land":
        return "summer", gates.summer_sums(values, month, lat, area)
    lon = net.lon.values
    return "winter", gates.winter_atlantic_sums(values, month, lat, lon, area)


def _agreement(measures: Measures) -> tuple[float, str] | None:
    """Return the result of the sign's test and its evidence; None if nothing tells."""
    if not measures.test:
        return None
    evaluate, evidence = _SIGN_TESTS[measures.test]
    agreement = evaluate(measures.sign)
    return None if np.isnan(agreement) else (agreement, evidence)


def _joined(parts: Sequence[FluxMeasures]) -> FluxMeasures:
    files = " ".join(dict.fromkeys(part.source_file for part in parts))
    return FluxMeasures(
        files,
        tuple(year for part in parts for year in part.years),
        tuple(total for part in parts for total in part.totals),
        gates.Extent.joined(part.extent for part in parts),
        min(part.coverage for part in parts),
        _added([part.gross for part in parts]),
    )


def _added(sums: Sequence[gates.Sums]) -> gates.Sums:
    return tuple(float(sum(terms)) for terms in zip(*sums, strict=True))


def _source(entry: Entry, simulation: str | None, file: str) -> str:
    of = f"{entry.name} {simulation}" if simulation else entry.name
    return f"{file} ({of})"
