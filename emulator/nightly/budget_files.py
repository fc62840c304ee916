"""The tables of a map as files: the budget, each total, and all vintages.

Numbers are PgC yr-1, which is GtC yr-1, positive into land and sea.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.timeaxis import as_months
from emulator.nightly import series, vintages
from emulator.nightly.adjust import WINDOW
from emulator.nightly.closure import FLAGS, land_number

_COLUMNS = {
    "e_fos": "fossil emissions excluding carbonation",
    "e_luc": "land-use change emissions",
    "g_atm": "atmospheric growth",
    "s_ocean": "ocean sink",
    "s_land": "land sink",
    "cement": "cement carbonation sink",
    "b_im": "budget imbalance",
}
"""Terms in the order and under the names of the workbook."""

_FILES = {"annual": "year", "twelve_months": "12month", "monthly": "month"}


def write_tables(
    sink_map: xr.Dataset,
    folder: Path,
    history: Sequence[tuple[str, xr.Dataset]] = (),
    earlier: xr.Dataset | None = None,
) -> list[Path]:
    """Write the tables of a map.

    Args:
        sink_map: A map with what ``tables`` returns.
        folder: Where they go; made when missing.
        history: Name and map of each vintage, oldest first.
        earlier: ``vintages.zarr`` of an earlier night, opened: vintages that need not
            be read again.

    Returns:
        ``budget.csv``, laid out like the sheet "Global Carbon Budget" of its workbook;
        ``annual.csv``, ``twelve_months.csv`` and ``monthly.csv``, a row for each flux,
        region and period; and where there are vintages ``vintages.csv`` and
        ``vintages.zarr``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [folder / "budget.csv"]
    _write_rows(written[0], budget_rows(sink_map))
    for name, period in _FILES.items():
        written.append(folder / f"{name}.csv")
        _write_rows(written[-1], _series_rows(sink_map, period))
    if history or earlier is not None:
        found = vintages.side_by_side(history, earlier)
        written += [folder / "vintages.csv", folder / "vintages.zarr"]
        vintages.write_csv(found, written[-2])
        vintages.write_zarr(found, written[-1])
    return written


def budget_rows(sink_map: xr.Dataset) -> Iterator[list[str]]:
    """Yield the rows of ``budget.csv``.

    Notes first, the unit above the years, then a row for each year: the terms under the
    names of the workbook, after an empty column their standard errors, after another
    where each comes from. Terms of a budget that is not closed are empty.
    """
    about = json.loads(sink_map.attrs.get("closure", "{}"))
    yield ["", "Global Carbon Budget with the sinks of a sink map"]
    yield [
        "",
        "All values in billion tonnes of carbon per year (GtC/yr), for the globe",
    ]
    yield ["", f"Evidence: {sink_map.attrs.get('evidence', 'not stated')}"]
    yield ["", f"Issued: {sink_map.attrs.get('date_created', 'not stated')}"]
    yield ["", f"Closure: {json.dumps(about, sort_keys=True)}"]
    yield ["", f"Ocean: {sink_map.attrs.get('ocean', 'not stated')}"]
    yield ["", f"Adjustment: {sink_map.attrs.get('adjustment', 'not stated')}"]
    yield ["GtC/yr"]
    names = list(_COLUMNS.values())
    sigmas = [f"sigma of {name}" for name in names]
    sources = [f"source of {name}" for name in names]
    yield ["Year", *names, "", *sigmas, "", *sources]
    years = sink_map["year"].to_numpy()
    if "closure_year" in sink_map:
        by_term = sink_map[["closure_year", "closure_year_sigma", "closure_year_flag"]]
        by_term = by_term.sel(term=list(_COLUMNS)).transpose("year", "term")
        values, errors, flags = (by_term[name].to_numpy() for name in by_term)
        words = {code: word for word, code in FLAGS.items()}
        for year, value, error, flag in zip(years, values, errors, flags, strict=True):
            said = [words[code] for code in flag.tolist()]
            yield [str(year), *map(_text, value), "", *map(_text, error), "", *said]
        return
    sinks = {
        term: _sink(sink_map, flux, name)
        for term, flux, name in (
            ("s_ocean", "fgco2", "ocean"),
            ("s_land", "nbp", "land"),
        )
        if flux in sink_map.get_index("flux")
    }
    for place, year in enumerate(years):
        cells = {term: _text(values[place]) for term, values in sinks.items()}
        blank = [""] * len(_COLUMNS)
        said = ["emulated" if cells.get(term) else "missing" for term in _COLUMNS]
        row = [cells.get(term, "") for term in _COLUMNS]
        yield [str(year), *row, "", *blank, "", *said]


def _sink(sink_map: xr.Dataset, flux: str, domain: str) -> NDArray[np.float64]:
    """Return the annual sink of a domain as a budget has it, PgC yr-1; (year,).

    The ocean's is without drift and with rivers where that is known; where ``nbp`` is
    that of S3, with land use, the land has none.
    """
    total: NDArray[np.float64] = (
        sink_map["budget_year"].sel(flux=flux, region="globe").to_numpy()
    )
    numbers = sink_map.get(f"{domain}_year")
    if numbers is None:
        return total
    if domain == "ocean":
        named = numbers.sel(ocean_number="s_ocean", region="globe").to_numpy()
        return np.asarray(named if np.isfinite(named).any() else total)
    is_sink = land_number(sink_map) == "s_land_s2"
    return total if is_sink else np.full(total.shape, np.nan)


def _series_rows(sink_map: xr.Dataset, period: str) -> Iterator[list[str]]:
    """Yield a header, and a row for each flux, region and step of a total."""
    dim, base = series.PERIODS[period], f"budget_{period}"
    columns: dict[str, xr.DataArray] = {"PgC_per_year": sink_map[base]}
    for suffix in ("teacher_std", "completion_std"):
        if f"{base}_{suffix}" in sink_map:
            columns[suffix] = sink_map[f"{base}_{suffix}"]
    for suffix, along, named in (
        ("interval_emulation", "bound", "emulation"),
        ("interval_sink", "bound", "sink"),
        ("anomaly", "reference", "anomaly_from"),
        ("rank", "reference", "rank_in"),
        ("adjusted", WINDOW, "adjusted_years"),
    ):
        field = sink_map.get(f"{base}_{suffix}")
        if field is not None:
            for each in field[along].to_numpy():
                columns[f"{named}_{each}"] = field.sel({along: each})
    numbers = sink_map.get(f"ocean_{period}")
    if numbers is not None:
        # A column beside that of the teachers as they are; empty on land.
        sink = numbers.sel(ocean_number="s_ocean").expand_dims(flux=["fgco2"])
        columns["s_ocean"] = sink.reindex(flux=sink_map["flux"])
    order = ("flux", "region", dim)
    values = [each.transpose(*order).to_numpy() for each in columns.values()]
    steps = sink_map[dim].to_numpy()
    if dim == "time":
        steps = as_months(steps)
    yield ["flux", "region", "year" if dim == "year" else "month", *columns]
    for i, flux in enumerate(sink_map["flux"].to_numpy()):
        for j, region in enumerate(sink_map["region"].to_numpy()):
            for k, step in enumerate(steps):
                cells = [_text(each[i, j, k]) for each in values]
                if cells[0]:
                    yield [str(flux), str(region), str(step), *cells]


def _text(value: float) -> str:
    """Return a number with the digits that a float32 map has; nothing for NaN."""
    return "" if np.isnan(value) else f"{value:.7g}"


def _write_rows(path: Path, rows: Iterator[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
