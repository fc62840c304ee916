"""Write the page of a night: one HTML file, its scripts, and data for each year.

The page asks for nothing outside its own folder and needs no server: what it shows at
once lies in ``data/night.js``, and the maps of a year in ``data/<year>.js``, which is
loaded when that year is chosen. Scripts are named with a hash of their content, so that
a browser never mixes two nights, and the same map gives the same bytes.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import xarray as xr

from emulator.carbon.errors import StoreError
from emulator.carbon.timeaxis import as_months
from emulator.nightly.budget import SINKS
from emulator.nightly.layout import SIMULATED
from emulator.nightly.page import closing, maps, markup, series, skill, words
from emulator.nightly.page.packing import as_json, fingerprint

SCRIPTS = ("decode.js", "projection.js", "map.js", "chart.js", "views.js", "main.js")
"""In the order in which they are loaded: each knows those before it."""

STYLE = "page.css"
DATA = "data"


def write(
    sink_map: xr.Dataset,
    folder: Path,
    *,
    previous: xr.Dataset | None = None,
    cards: Mapping[str, Path] | None = None,
    links: Mapping[str, str] | None = None,
) -> Path:
    """Write the page of a sink map into a new folder.

    Nothing is fsynced or renamed: the folder is meant to be part of a staged export.

    Args:
        sink_map: Tonight's map, lazily opened or in memory. Intervals, totals of 12
            months and either domain may be absent.
        folder: Where the page goes; made if it is not there, else it must be empty.
        previous: Last night's map, to say what changed; None on the first night.
        cards: By domain, the folder of the run or champion that predicts it
            (``scorecard.json`` and ``README.md`` of it are read), or its ``README.md``.
        links: What can be downloaded: text of the link to path (relative to the page)
            or http(s) address.

    Returns:
        The path of ``index.html``.

    Raises:
        StoreError: If ``folder`` holds something already.
        ValueError: If a link is neither relative nor http(s).
    """
    if folder.exists() and any(folder.iterdir()):
        raise StoreError(
            f"The page's folder {folder} is not empty. Give a folder of its own, or "
            f"remove the old page."
        )
    (folder / DATA).mkdir(parents=True, exist_ok=True)
    chosen = maps.layers(sink_map)
    totals = series.totals(sink_map)
    marks = {}
    for year in maps.years(sink_map):
        content = as_json(maps.year_content(sink_map, year, chosen))
        marks[year] = fingerprint(content)
        text = f'sinkPage.receiveYear("{marks[year]}",{content});\n'
        (folder / DATA / f"{year}.js").write_text(text, encoding="ascii")
    night = as_json(_night(sink_map, totals, chosen, marks))
    text = f"sinkPage.receiveNight({night});\n"
    (folder / DATA / "night.js").write_text(text, encoding="ascii")
    assets = {name: _asset(name) for name in (STYLE, *SCRIPTS)}
    for name, asset in assets.items():
        (folder / name).write_text(asset, encoding="utf-8")
    addresses = {name: f"{name}?v={fingerprint(a)}" for name, a in assets.items()}
    addresses["night"] = f"{DATA}/night.js?v={fingerprint(text)}"
    html = _html(sink_map, totals, addresses, previous, cards or {}, links or {})
    index = folder / "index.html"
    index.write_text(html, encoding="utf-8")
    return index


def _night(
    sink_map: xr.Dataset,
    totals: Mapping[str, series.Series],
    chosen: list[maps.Layer],
    marks: Mapping[int, str],
) -> dict[str, Any]:
    """Return what the page knows at once."""
    return {
        "grid": maps.grid_content(sink_map),
        "layers": {
            f"{layer.domain}_{layer.kind}": {"limit": layer.limit, "step": layer.step}
            for layer in chosen
        },
        "months": _months(sink_map),
        "marks": {str(year): mark for year, mark in marks.items()},
        "totals": dict(totals),
        "regions": series.regions(sink_map),
        "level": words.level(sink_map),
        "names": words.flux_names(sink_map),
        "closure": closing.content(sink_map),
    }


def _months(sink_map: xr.Dataset) -> dict[str, Any]:
    """Return what is said of each month, as columns."""
    months = as_months(sink_map["time"].to_numpy())
    source = sink_map["forcing_source"]
    meanings = str(source.attrs.get("flag_meanings", "")).split()
    columns: dict[str, Any] = {
        "month": [str(month) for month in months],
        "status": sink_map["status"].to_numpy().tolist(),
        "coverage": series.numbers(sink_map["coverage"].to_numpy()),
        "source": source.to_numpy().tolist(),
        "sources": meanings,
        "revision": sink_map["revision"].to_numpy().tolist(),
    }
    for domain, flux in SINKS.items():
        if (name := f"{flux}_simulated") in sink_map:
            codes = sink_map[name].transpose(f"{domain}_teacher", "time").to_numpy()
            own = codes == SIMULATED["simulated_by_teacher"]
            unknown = (codes == SIMULATED["not_known"]).any(axis=0)
            # -1: for some teacher it is not known whether it has the month.
            columns[f"{domain}_simulated"] = np.where(
                unknown, -1, own.sum(axis=0)
            ).tolist()
            columns[f"{domain}_teachers"] = int(codes.shape[0])
    return columns


def _html(
    sink_map: xr.Dataset,
    totals: Mapping[str, series.Series],
    addresses: Mapping[str, str],
    previous: xr.Dataset | None,
    cards: Mapping[str, Path],
    links: Mapping[str, str],
) -> str:
    evidence = str(sink_map.attrs.get("evidence", "not stated"))
    first, last = (
        words.month_name(str(as_months(sink_map["time"].to_numpy())[i]))
        for i in (0, -1)
    )
    domains = [d for d, flux in SINKS.items() if f"{flux}_mean" in sink_map]
    downloads = "".join(f"<li>{markup.link(k, v)}</li>" for k, v in links.items())
    scripts = "\n".join(
        f'<script defer src="{markup.text(addresses[name])}"></script>'
        for name in (*SCRIPTS[:-1], "night", SCRIPTS[-1])
    )
    return Template(_asset("index.html")).substitute(
        style=markup.text(addresses[STYLE]),
        scripts=scripts,
        title=markup.text(sink_map.attrs.get("title", "Sink map")),
        domains=markup.text(" and ".join(domains)),
        first=markup.text(first),
        last=markup.text(last),
        evidence=markup.text(evidence),
        caution=markup.text(words.caution(evidence)),
        issued=markup.text(words.issued(sink_map)),
        newest=markup.text(words.newest(sink_map)),
        tiles=words.tiles(sink_map, totals),
        closing=closing.section(sink_map),
        changes=words.changed(sink_map, previous),
        origin=words.origin(sink_map),
        land=words.land_words(sink_map),
        uncertainty=words.uncertainty(sink_map),
        skill=skill.section(cards),
        downloads=f"<ul>{downloads}</ul>" if downloads else "<p>None were given.</p>",
        credits=words.citations(sink_map),
    )


def _asset(name: str) -> str:
    return (files(__package__) / "template" / name).read_text(encoding="utf-8")
