"""The global carbon budget on a page: what closes it, the land by name, levels."""

import json
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.nightly.closure import land_number
from emulator.nightly.page import markup
from emulator.nightly.page.series import NO_VALUE, labels, numbers, shown, steps

TERMS = {
    "e_fos": "Fossil emissions, E_FOS",
    "e_luc": "Land-use emissions, E_LUC",
    "g_atm": "Growth in the air, G_ATM",
    "s_ocean": "Ocean sink, S_OCEAN",
    "s_land": "Land sink, S_LAND",
    "cement": "Uptake by cement",
    "b_im": "Imbalance, B_IM",
}
"""Terms of the budget, as the map names them, and in words."""


def content(sink_map: xr.Dataset) -> dict[str, Any] | None:
    """Return the annual budget for the chart; None if the map has none.

    Returns:
        ``{"years": [...], "terms": [{"name", "words", "values"}], "extrapolated":
        [...]}``, PgC yr-1; of years in which any term is known.
    """
    if "closure_year" not in sink_map:
        return None
    values = sink_map["closure_year"].transpose("term", "year").to_numpy()
    known: NDArray[np.bool_] = np.asarray(np.isfinite(values).any(axis=0))
    years = [y for y, k in zip(steps(sink_map, "year"), known, strict=True) if k]
    late: NDArray[np.bool_] = np.asarray(_is_extrapolated(sink_map).any(axis=0))
    return {
        "years": years,
        "terms": [
            {
                "name": name,
                "words": TERMS.get(name, name),
                "values": numbers(row[known]),
            }
            for name, row in zip(labels(sink_map, "term"), values, strict=True)
        ],
        "extrapolated": late[known].tolist(),
    }


def section(sink_map: xr.Dataset) -> str:
    """Return tables of closure, numbers of the land and adjusted levels, as HTML."""
    parts = [
        _closure(sink_map),
        _numbers(sink_map, "land"),
        _numbers(sink_map, "ocean"),
        _levels(sink_map),
    ]
    return "".join(part for part in parts if part)


def _closure(sink_map: xr.Dataset) -> str:
    about = _about(sink_map, "closure")
    if "closure_year" not in sink_map:
        reason = about.get("not applicable", "")
        return (
            f'<p class="note">No closure. {markup.text(reason)}</p>' if reason else ""
        )
    values = sink_map["closure_year"].transpose("year", "term").to_numpy()
    sigmas = sink_map["closure_year_sigma"].transpose("year", "term").to_numpy()
    late = _is_extrapolated(sink_map).T
    rows = [
        [year, *map(_with_sigma, *row)]
        for year, *row in zip(
            steps(sink_map, "year"), values, sigmas, late, strict=True
        )
        if np.isfinite(row[0]).any()
    ]
    head = ["Year", *(TERMS.get(name, name) for name in labels(sink_map, "term"))]
    caption = (
        "E_FOS + E_LUC = G_ATM + S_OCEAN + S_LAND + cement + B_IM, PgC yr⁻¹ "
        "± 1 sd, that of B_IM in quadrature; * extrapolated"
    )
    said = "".join(
        f"<li>{markup.text(name)}: {markup.text(_flat(value))}</li>"
        for name, value in about.items()
    )
    return _unfold(
        "Closure of the budget, year by year",
        markup.table(caption, head, rows[::-1]) + f"<ul>{said}</ul>",
    )


def _numbers(sink_map: xr.Dataset, domain: str) -> str:
    """Return the numbers of a domain that are known, each under its own name."""
    if f"{domain}_year" not in sink_map:
        return ""
    field, number = sink_map[f"{domain}_year"], f"{domain}_number"
    if "region" in field.dims:
        field = field.sel(region="globe")
    values = field.transpose(number, "year").to_numpy()
    known = np.isfinite(values).any(axis=1)
    names = [n for n, k in zip(labels(sink_map, number), known, strict=True) if k]
    if not names:
        return ""
    rows = [
        [year, *map(shown, column)]
        for year, column in zip(steps(sink_map, "year"), values[known].T, strict=True)
        if np.isfinite(column).any()
    ]
    what = markup.text(field.attrs.get("comment", ""))
    return _unfold(
        f"Numbers of the {domain}, by name",
        markup.table("Globe, PgC yr⁻¹", ["Year", *names], rows[::-1])
        + f'<p class="note">{what}</p>',
    )


def _levels(sink_map: xr.Dataset) -> str:
    """Return annual totals with adjusted means, for every window side by side."""
    about = _about(sink_map, "adjustment")
    if "budget_year_adjusted" not in sink_map:
        reason = about.get("not applicable", "")
        return _note(f"Means are not adjusted. {reason}") if reason else ""
    adjusted = sink_map["budget_year_adjusted"].sel(region="globe")
    windows = [int(w) for w in adjusted["adjustment_window"].to_numpy()]
    table = adjusted.transpose("year", "flux", "adjustment_window").to_numpy()
    names = {"nbp": "Land", "fgco2": "Ocean"}
    if land_number(sink_map) == "net_s3":
        names["nbp"] = "Net land"
    head = ["Year"]
    for flux in labels(sink_map, "flux"):
        head += [f"{names.get(flux, flux)}, {window} years" for window in windows]
    rows = [
        [year, *map(shown, row.ravel())]
        for year, row in zip(steps(sink_map, "year"), table, strict=True)
        if np.isfinite(row).any()
    ]
    caption = (
        f"Totals with means moved to {about.get('target', 'a target')} over windows of "
        f"several lengths, globe, PgC yr⁻¹"
    )
    return _unfold("Adjusted means", markup.table(caption, head, rows[::-1]))


def standing(sink_map: xr.Dataset, flux: str) -> str:
    """Return how the last ranked year compares, in words; empty if it is not known."""
    if "budget_year_rank" not in sink_map:
        return ""
    chosen = {"flux": flux, "region": "globe"}
    ranks = sink_map["budget_year_rank"].sel(chosen).isel(reference=0).to_numpy()
    if not (ranked := np.flatnonzero(ranks > 0)).size:
        return ""
    last = int(ranked[-1])
    year = steps(sink_map, "year")[last]
    period = labels(sink_map, "reference")[0]
    first, end = map(int, period.split("-"))
    total = shown(sink_map["budget_year"].sel(chosen).to_numpy()[last], 2)
    count, among = end - first + 1, f"years {first} to {end}"
    if not first <= int(year) <= end:  # it may come after all of them
        count, among = count + 1, f"years, {first} to {end} and itself"
    return (
        f"{year}: {total}, number {int(ranks[last])} of {count} {among} "
        f"(1 is the largest sink)"
    )


def _with_sigma(value: float, sigma: float, is_late: bool) -> str:
    if not np.isfinite(value):
        return NO_VALUE
    error = f" ± {sigma:.2f}" if np.isfinite(sigma) else ""
    return f"{shown(value, 2)}{error}{'*' if is_late else ''}"


def _is_extrapolated(sink_map: xr.Dataset) -> NDArray[np.bool_]:
    """Return which values of the closure are carried on; (term, year)."""
    flags = sink_map["closure_year_flag"].transpose("term", "year")
    meanings = str(flags.attrs["flag_meanings"]).split()
    code = np.atleast_1d(flags.attrs["flag_values"])[meanings.index("extrapolated")]
    return np.asarray(flags.to_numpy() == code)


def _about(sink_map: xr.Dataset, attribute: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sink_map.attrs.get(attribute, "{}"))
    return found


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return str(value)


def _note(said: str) -> str:
    return f'<p class="note">{markup.text(said)}</p>'


def _unfold(title: str, inside: str) -> str:
    return f"<details><summary>{markup.text(title)}</summary>{inside}</details>"
