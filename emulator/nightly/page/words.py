"""What a page says in words about tonight's map: evidence, numbers, origin, changes."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from emulator.carbon.timeaxis import as_months
from emulator.nightly.budget import SINKS
from emulator.nightly.closure import land_number
from emulator.nightly.layout import STATUS
from emulator.nightly.page import changes, closing, markup, series
from emulator.nightly.page.series import Series

NO_REAL_OUTPUT = (
    "No TRENDY or GOBM output has been used here; the numbers show that the method "
    "works, not the size of the sink."
)
"""The sentence of the README, for pages whose evidence is not real ensembles'."""

GENERATED = "What went in was generated: a simulated Earth, no weather of the world."

PARTLY_REAL = (
    "Part of what stands behind this page is simulated; the numbers show that the "
    "method works, not the size of the sink."
)

REAL = "TRENDY/GOBM"

_STATUS = {code: word for word, code in STATUS.items()}
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August",
    "September", "October", "November", "December",
)  # fmt: skip
_NAMES = {"nbp": "Land", "fgco2": "Ocean"}
_NET = "Net land, net_s3"
_LAND_WORDS = {
    "s_land_s2": (
        (
            "Land: <code>s_land_s2</code>",
            "The flux <code>nbp</code> of simulation S2: climate and CO2 change, land "
            "cover stays as it was before industry. Its global total is the S_LAND of "
            "the Global Carbon Budget. It is <strong>not</strong> the net exchange of "
            "the land: carbon lost by land-use change is not in it, and the vegetation "
            "of a past landscape takes up more than today's.",
        ),
        (
            "Net land: <code>net_s3</code>, <code>net_gcb</code>",
            "<code>net_s3</code> is the total of simulation S3, with land-use change; "
            "<code>net_gcb</code> is <code>s_land_s2</code> less a bookkeeping "
            "estimate of land-use emissions. They differ, since S3 also lacks the sink "
            "capacity of cleared land, and neither is <code>s_land_s2</code>. Where "
            "this page shows one of them, it carries its name; nothing else here is "
            "net.",
        ),
    ),
    "net_s3": (
        (
            "Net land: <code>net_s3</code>",
            "The flux <code>nbp</code> of simulation S3: climate, CO2 and land use "
            "change. Its global total is the net exchange of the land: carbon lost by "
            "land-use change is in it. It is <strong>not</strong> the S_LAND of the "
            "Global Carbon Budget.",
        ),
        (
            "S_LAND and another net: <code>s_land_s2</code>, <code>net_gcb</code>",
            "<code>s_land_s2</code> is the total of simulation S2, without land-use "
            "change, and the S_LAND of the Global Carbon Budget; "
            "<code>net_gcb</code> is <code>s_land_s2</code> less a bookkeeping "
            "estimate of land-use emissions. It is not <code>net_s3</code>, since S3 "
            "also lacks the sink capacity of cleared land. This map knows neither.",
        ),
    ),
}
"""By number of the land: terms, and what they mean."""
_MOST_CHANGES = 36
"""Months listed one by one; three years of revisions fill a screen."""


def caution(evidence: str) -> str:
    """Return the sentence that the evidence calls for; empty for real ensembles."""
    if evidence == "testbed":
        return f"{NO_REAL_OUTPUT} {GENERATED}"
    if REAL not in evidence:
        return NO_REAL_OUTPUT
    is_simulated = "testbed" in evidence or "simulated" in evidence
    return PARTLY_REAL if is_simulated else ""


def month_name(month: str) -> str:
    """Return "March 2024" for "2024-03"."""
    year, number = month.split("-")
    return f"{_MONTHS[int(number) - 1]} {year}"


def level(sink_map: xr.Dataset, fluxes: Sequence[str] = (*SINKS.values(),)) -> str:
    """Return what the map says of its intervals' level, e.g. "90 %"; or ""."""
    levels = []
    for flux in fluxes:
        name = f"{flux}_interval_emulation"
        said = sink_map[name].attrs.get("long_name", "") if name in sink_map else ""
        if found := re.search(r"(\d+) ?%", said):
            levels.append(f"{found[1]} %")
    return " or ".join(dict.fromkeys(levels))


def flux_names(sink_map: xr.Dataset) -> dict[str, str]:
    """Return how each flux is called: the land is net where its total is net_s3."""
    is_net = land_number(sink_map) == "net_s3"
    return _NAMES | ({"nbp": _NET} if is_net else {})


def land_words(sink_map: xr.Dataset) -> str:
    """Return the definitions of the land's number and of those beside it, as HTML."""
    said = _LAND_WORDS[land_number(sink_map)]
    return "\n".join(f"<dt>{term}</dt>\n<dd>{words}</dd>" for term, words in said)


def tiles(sink_map: xr.Dataset, totals: Mapping[str, Series]) -> str:
    """Return the headline: the newest year of land, ocean and both."""
    period = "12month" if "12month" in totals else "year"
    chosen = totals[period]
    names = flux_names(sink_map)
    fluxes = [flux for flux in names if flux in chosen]
    known = [
        i
        for i in range(len(chosen["steps"]))
        if all(chosen[f]["globe"]["mean"][i] is not None for f in fluxes)
    ]
    if not known:
        return "<p>The map holds no whole year yet.</p>"
    last = known[-1]
    step = chosen["steps"][last]
    when = f"12 months to {month_name(step)}" if period == "12month" else f"Year {step}"
    open_months = _not_final(sink_map, period, step)
    parts = []
    for flux in fluxes:
        globe = chosen[flux]["globe"]
        said = [
            _uncertainty(globe, last, level(sink_map, [flux])),
            closing.standing(sink_map, flux),
            open_months,
        ]
        parts.append(_tile(flux, names[flux], when, globe["mean"][last], said))
    if len(fluxes) > 1:
        total = sum(chosen[flux]["globe"]["mean"][last] for flux in fluxes)
        said = ["Sum of both; the map states no interval for it", open_months]
        name = f"{names['nbp']} and ocean".replace(", net_s3", "")
        parts.append(_tile("both", name, when, total, said))
    return "".join(parts)


def _not_final(sink_map: xr.Dataset, period: str, step: int | str) -> str:
    """Return which months of a total may still change; empty if none does."""
    months = as_months(sink_map["time"].to_numpy())
    last = np.datetime64(f"{step}-12" if period == "year" else str(step), "M")
    inside = (months > last - 12) & (months <= last)
    status = sink_map["status"].to_numpy()[inside]
    counts = {
        word: int((status == STATUS[word]).sum()) for word in ("preliminary", "partial")
    }
    said = " and ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"Of its months {said}" if said else ""


def newest(sink_map: xr.Dataset) -> str:
    """Return the newest month and what its forcing is, in plain words."""
    month = as_months(sink_map["time"].to_numpy())[-1]
    status = _STATUS.get(int(sink_map["status"][-1]), "not stated")
    coverage = float(sink_map["coverage"][-1])
    share = (
        f", {coverage * 100:.0f} % of its days seen" if np.isfinite(coverage) else ""
    )
    stated = "not stated" if status == "unknown" else status
    return f"{month_name(str(month))} (forcing {stated}{share})"


def issued(sink_map: xr.Dataset) -> str:
    """Return when the map was issued."""
    vintage = json.loads(sink_map.attrs.get("vintage", "{}"))
    return _time(vintage.get("issued", "not stated"))


def origin(sink_map: xr.Dataset) -> str:
    """Return vintage, forcing, checkpoints and teachers as a list."""
    attrs = sink_map.attrs
    vintage: dict[str, Any] = json.loads(attrs.get("vintage", "{}"))
    pairs = [
        ("Issued", markup.text(issued(sink_map))),
        ("Newest month", markup.text(newest(sink_map))),
        ("Evidence", markup.text(attrs.get("evidence", "not stated"))),
    ]
    for domain in SINKS:
        dim = f"{domain}_teacher"
        if dim not in sink_map.dims:
            continue
        about = vintage.get(domain, {})
        name = domain.capitalize()
        names = series.labels(sink_map, dim)
        forcing = ", ".join(map(str, about.get("forcing", []))) or "not stated"
        checkpoint = about.get("checkpoint", "not stated")
        pairs += [
            (f"{name} teachers", markup.text(", ".join(names))),
            (f"{name} forcing", markup.text(forcing)),
            (f"{name} checkpoint", f"<code>{markup.text(checkpoint)}</code>"),
        ]
        if "forcing snapshot" in about:
            snapshot = markup.text(about["forcing snapshot"])
            pairs.append((f"{name} forcing snapshot", f"<code>{snapshot}</code>"))
    pairs.append(("Code", markup.text(attrs.get("code_version", "not stated"))))
    return markup.facts(pairs)


def uncertainty(sink_map: xr.Dataset) -> str:
    """Return the map's own words on its spreads and intervals."""
    said = sink_map.attrs.get("uncertainty", "")
    return f"<p>{markup.text(said)}</p>" if said else ""


def citations(sink_map: xr.Dataset) -> str:
    """Return citations, policy and licences of every product, line by line."""
    wanted = {
        "references": "Cite",
        "acknowledgement": "Terms of use",
        "license": "Licences",
    }
    parts = []
    for attribute, title in wanted.items():
        lines = str(sink_map.attrs.get(attribute, "not stated")).splitlines()
        items = "".join(f"<li>{markup.text(line)}</li>" for line in lines)
        parts.append(f"<h3>{title}</h3><ul>{items}</ul>")
    return "".join(parts)


def changed(sink_map: xr.Dataset, previous: xr.Dataset | None) -> str:
    """Return what changed since last night, as a table and sentences."""
    if previous is None:
        return "<p>This is the first night: there is nothing to compare with.</p>"
    found = changes.compare(sink_map, previous)
    intro = f"Compared with the map issued {issued(previous)}: "
    if not found:
        return (
            f"<p>{markup.text(intro)}nothing. No month came and none was revised.</p>"
        )
    parts = [f"<p>{markup.text(intro + _count(found))}</p>"]
    if found.notes:
        items = "".join(f"<li>{markup.text(note)}</li>" for note in found.notes)
        parts.append(f"<ul>{items}</ul>")
    if found.months:
        names = flux_names(sink_map)
        fluxes = [f for f in names if f in sink_map]
        head = ["Month", "What"]
        for flux in fluxes:
            head += [f"{names[flux]} before", f"{names[flux]} now"]
        rows = [
            [month_name(change.month), change.what]
            + [
                series.shown(value)
                for flux in fluxes
                for value in (change.before[flux], change.now[flux])
            ]
            for change in found.months[:_MOST_CHANGES]
        ]
        caption = "Rate of the month, globe, PgC yr⁻¹"
        parts.append(markup.table(caption, head, rows, words=2))
    if len(found.months) > _MOST_CHANGES:
        more = len(found.months) - _MOST_CHANGES
        parts.append(f'<p class="note">And {more} earlier months.</p>')
    return "".join(parts)


def _count(found: changes.Changes) -> str:
    came = sum(change.what == "new" for change in found.months)
    revised = sum("revised" in change.what for change in found.months)
    other = len(found.months) - came - revised
    said = [
        f"{count} {'month' if count == 1 else 'months'} {what}"
        for count, what in (
            (came, "came"),
            (revised, "revised"),
            (other, "of another status with the same numbers"),
        )
        if count
    ]
    return (", ".join(said) or "no month came and none was revised") + "."


def _uncertainty(globe: Series, step: int, stated: str) -> str:
    """Return the best that is known of a total, by its own name."""
    for kind, words in (("sink", "the sink"), ("emulation", "emulation")):
        if kind in globe and globe[kind][0][step] is not None:
            low, high = (globe[kind][end][step] for end in (0, 1))
            ends = f"{series.shown(low, 2)} to {series.shown(high, 2)}"
            return f"{stated} interval of {words}: {ends}".strip().capitalize()
    if "spread" in globe and globe["spread"][step] is not None:
        return f"Teachers differ by ±{globe['spread'][step]:.2f} (1 sd)"
    return "Neither interval nor spread is known"


def _tile(key: str, name: str, when: str, value: float, said: list[str]) -> str:
    about = "".join(f"<li>{markup.text(each)}</li>" for each in said if each)
    return (
        f'<div class="tile {key}"><h3>{name}</h3><p class="when">{markup.text(when)}'
        f'</p><p class="value">{series.shown(value, 2)} '
        f'<span class="unit">PgC yr⁻¹</span></p><ul class="about">{about}</ul></div>'
    )


def _time(stamp: str) -> str:
    """Return "2026-11-21 19:27 UTC" for an ISO time; anything else as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)?Z", str(stamp))
    return f"{found[1]} {found[2]} UTC" if found else str(stamp)
