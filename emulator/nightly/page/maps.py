"""The maps of a page: which layers there are, their colour ranges, and years of them.

A layer is one field of one domain in g of carbon per m2 of that domain and year. Only
cells with a share of the domain are kept, in the order of the grid.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import as_months, month_of, years_of
from emulator.carbon.units import SECONDS_PER_YEAR
from emulator.nightly.budget import FRACTIONS, SINKS
from emulator.nightly.page.packing import MISSING, packed, rounded

Array = NDArray[np.float64]

GRAMS_PER_KILOGRAM = 1000.0
UNIT = SECONDS_PER_YEAR * GRAMS_PER_KILOGRAM
"""1 kg m-2 s-1 in g m-2 per mean Gregorian year, the unit of the page's maps."""

KINDS = {"mean": "mean", "teachers": "teacher_std", "emulator": "emulator_std"}
"""What a map can show, and how the variable's name ends."""

FRACTION_STEP = 1e-4
"""Share of a cell, as kept for the page: finer than any colour shows."""

_QUANTILE = 0.98
"""Cells beyond this quantile of the magnitude share the last colour: single cells that
jump must not wash out the map."""

_STEPS_PER_RANGE = 125
"""Rounding steps, at least, from 0 to the end of the colour bar: as fine as 8-bit
colours of both signs, and all that 60 MB hold for 25 years of 1 degree."""

_RANGE_MONTHS, _RANGE_EVERY = 120, 3
"""Months that decide the colour range, and each how many of them are looked at: ten
years hold every season and both phases of El Nino, and one more month hardly moves
them, so that colours stay from night to night."""

_ROUND = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
"""Mantissas of the ends of colour bars."""


@dataclass(frozen=True)
class Layer:
    """One field of a page.

    Attributes:
        domain: "land", "ocean", or "both" for their sum per m2 of the whole cell.
        kind: One of `KINDS`.
        limit: End of the colour bar, g m-2 yr-1.
        step: Rounding step, g m-2 yr-1; 0 for "both", which the browser adds up.
    """

    domain: str
    kind: str
    limit: float
    step: float


def layers(sink_map: xr.Dataset) -> list[Layer]:
    """Return the layers that a map has, with ranges fixed for all of its months."""
    recent = sink_map.isel(time=slice(-_RANGE_MONTHS, None, _RANGE_EVERY))
    found = []
    for kind in KINDS:
        fields = {d: _field(recent, d, kind) for d in SINKS}
        known = {d: f for d, f in fields.items() if f is not None}
        for domain, field in known.items():
            limit = _round_up(_quantile(field))
            found.append(Layer(domain, kind, limit, _step(limit)))
        if len(known) == len(SINKS):
            shares = {d: _fraction(sink_map, d) for d in SINKS}
            parts = [np.nan_to_num(known[d]) * shares[d] for d in SINKS]
            whole = np.add(*parts) if kind == "mean" else np.hypot(*parts)
            there = np.add(*shares.values()) > 0
            limit = _round_up(_quantile(np.where(there, whole, np.nan)))
            found.append(Layer("both", kind, limit, 0.0))
    return found


def grid_content(sink_map: xr.Dataset) -> dict[str, Any]:
    """Return edges of the cells, degrees, and the share of each domain in them."""
    grid = Grid(lat=sink_map["lat"].to_numpy(), lon=sink_map["lon"].to_numpy())
    lat_edges, lon_edges = grid.edges()
    content: dict[str, Any] = {
        "latEdges": lat_edges.tolist(),
        "lonEdges": lon_edges.tolist(),
        "fractionStep": FRACTION_STEP,
    }
    for domain in SINKS:
        if FRACTIONS[domain] not in sink_map:
            continue
        share = _fraction(sink_map, domain)
        codes, _ = rounded(share, FRACTION_STEP)
        # A cell with a small share has a flux too, and must stay one.
        codes[share > 0] = np.maximum(codes[share > 0], 1)
        content[domain] = packed(codes)
    return content


def years(sink_map: xr.Dataset) -> list[int]:
    """Return the years of which a map has any month."""
    return sorted({int(y) for y in years_of(as_months(sink_map["time"].to_numpy()))})


def year_content(
    sink_map: xr.Dataset, year: int, chosen: list[Layer]
) -> dict[str, Any]:
    """Return the maps of one year.

    Returns:
        ``{"year", "layers": {"<domain>_<kind>": {"step", "months", "data"}}}``;
        months 1 to 12 for which the domain has values, step in g m-2 yr-1, data as
        `packed` writes it, (month, cell).
    """
    months = as_months(sink_map["time"].to_numpy())
    inside = np.flatnonzero(years_of(months) == year)
    of_year = sink_map.isel(time=inside)
    numbers = month_of(months[inside])
    content: dict[str, Any] = {}
    for layer in chosen:
        field = _field(of_year, layer.domain, layer.kind) if layer.step else None
        if field is None:
            continue
        cells = field[:, _fraction(sink_map, layer.domain) > 0]
        codes, step = rounded(cells, layer.step)
        known = (codes != MISSING).any(axis=1)
        content[f"{layer.domain}_{layer.kind}"] = {
            "step": step,
            "months": numbers[known].tolist(),
            "data": packed(codes[known]),
        }
    return {"year": year, "layers": content}


def _field(sink_map: xr.Dataset, domain: str, kind: str) -> NDArray[np.float64] | None:
    """Return a layer in g m-2 yr-1, (time, lat, lon); None if there is no value."""
    field = sink_map.get(f"{SINKS[domain]}_{KINDS[kind]}")
    if field is None:
        return None
    values = field.transpose("time", "lat", "lon").to_numpy() * UNIT
    return values if np.isfinite(values).any() else None


def _fraction(sink_map: xr.Dataset, domain: str) -> Array:
    share = sink_map[FRACTIONS[domain]].transpose("lat", "lon").to_numpy()
    known: Array = np.nan_to_num(share.astype(np.float64))
    return known


def _quantile(field: NDArray[np.floating[Any]]) -> float:
    magnitude = np.abs(field[np.isfinite(field)])
    return float(np.quantile(magnitude, _QUANTILE)) if magnitude.size else 0.0


def _round_up(value: float) -> float:
    """Return the next round number; 1 for a field of zeros."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    mantissa = next(m for m in _ROUND if m * power >= value * (1 - 1e-9))
    return float(f"{mantissa * power:.6g}")


def _step(limit: float) -> float:
    """Return the largest of 1, 2, 5 x 10^n that keeps the steps per range."""
    wanted = limit / _STEPS_PER_RANGE
    power = 10.0 ** np.floor(np.log10(wanted))
    mantissa = max(m for m in (1.0, 2.0, 5.0) if m * power <= wanted * (1 + 1e-9))
    return float(f"{mantissa * power:.6g}")
