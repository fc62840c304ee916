"""How each number was seen at each issue of the map, side by side.

A vintage is a state of knowledge. The same year has another number in each: months
were missing, forcing was preliminary, a teacher's edition changed. A year that is not
over is shown as the carbon of the months that were known, with their number, and never
as if it were whole. A changed ensemble is not a changed sink: each vintage says its
teachers, and whether they are those of the vintage before.
"""

import csv
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.timeaxis import as_months, seconds_per_month, years_of
from emulator.carbon.units import SECONDS_PER_YEAR
from emulator.nightly.budget import BUDGET_UNITS

_SERIES = (
    "budget_month", "budget_12month", "budget_year",
    "budget_12month_interval_sink", "budget_year_interval_sink",
)  # fmt: skip

_CSV = {
    "year": ("budget_year", "year"),
    "year_to_date": ("budget_year_to_date", "year"),
    "months_known": ("months_known", "year"),
    "12_months": ("budget_12month", "time"),
}
"""Numbers of the table, the variable of each, and its dimension."""

SAME = 5e-7
"""PgC yr-1: numbers of two vintages that are the same to the rounding of float32 maps
are no revision."""


def side_by_side(
    history: Sequence[tuple[str, xr.Dataset]], earlier: xr.Dataset | None = None
) -> xr.Dataset:
    """Return the totals of several vintages.

    Args:
        history: Name and map of each, of which only totals are read; those that were
            issued at the same time stay in this order.
        earlier: What this function returned for vintages before them, so that old maps
            need not be read again. A name that comes again is taken from ``history``.

    Returns:
        With ``vintage`` first, in the order of issue: ``budget_month``,
        ``budget_12month``, ``budget_year`` and their intervals of the sink where there
        are any; ``budget_year_to_date(vintage, flux, region, year)``, PgC of the months
        known; ``months_known(vintage, flux, year)``; ``issued``, ``teachers``, and
        ``same_teachers``, 1 where they are those of the vintage before.

    Raises:
        ValueError: If there is no vintage at all, or a name twice.
    """
    names = [name for name, _ in history]
    if len(set(names)) < len(names):
        raise ValueError(f"Vintages need names of their own, got {', '.join(names)}.")
    parts = [_one(name, sink_map) for name, sink_map in history]
    if earlier is not None:
        kept = [str(name) not in names for name in earlier["vintage"].to_numpy()]
        old = _plain_text(earlier.drop_vars("same_teachers").isel(vintage=kept))
        parts = [old, *parts] if any(kept) else parts
    if not parts:
        raise ValueError("There is no vintage to show.")
    found = xr.concat(
        parts, dim="vintage", join="outer", data_vars="all", combine_attrs="override"
    )
    # One may have been named after nights that came after it.
    issued = found["issued"].to_numpy().astype(str)
    found = found.isel(vintage=np.argsort(issued, kind="stable"))
    found["months_known"] = found["months_known"].fillna(0).astype(np.int8)
    teachers = found["teachers"].to_numpy().tolist()
    same = [1, *(a == b for a, b in itertools.pairwise(teachers))]
    found["same_teachers"] = ("vintage", np.array(same, np.int8))
    found["same_teachers"].attrs = {
        "long_name": "whether the teachers are those of the vintage before",
        "flag_values": np.array([0, 1], np.int8),
        "flag_meanings": "others same",
    }
    found.attrs = {
        "title": "The same totals at each issue of the map",
        "evidence": "; ".join(
            dict.fromkeys(str(part.attrs.get("evidence")) for part in parts)
        ),
    }
    return found


def write_csv(vintages: xr.Dataset, path: Path) -> None:
    """Write a column for each vintage, a row for each number; PgC yr-1.

    Years are all there; of the running totals only those that some vintage has
    otherwise than another.
    """
    names = [str(name) for name in vintages["vintage"].to_numpy()]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "flux", "region", "period", *names])
        for number, (variable, dim) in _CSV.items():
            values = vintages[variable]
            if "region" not in values.dims:
                values = values.expand_dims(region=["all"])
            values = values.transpose("flux", "region", dim, "vintage")
            periods = values[dim].to_numpy()
            if dim == "time":
                periods = as_months(periods)
            cells = values.to_numpy()
            for i, flux in enumerate(values["flux"].to_numpy()):
                for j, region in enumerate(values["region"].to_numpy()):
                    for k, period in enumerate(periods):
                        row = cells[i, j, k]
                        if dim == "year" or _differ(row):
                            shown = ["" if np.isnan(x) else f"{x:.6g}" for x in row]
                            writer.writerow([number, flux, region, period, *shown])


def write_zarr(vintages: xr.Dataset, path: Path) -> None:
    """Write all of it as a Zarr store, replacing what stands there."""
    plain = vintages.drop_encoding()
    with warnings.catch_warnings():
        # Not in the v3 specification yet, but plain xr.open_zarr warns without.
        warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
        plain.to_zarr(path, mode="w", consolidated=True)


def _differ(row: NDArray[np.float64]) -> bool:
    """Return whether a number is new or another in some vintage."""
    known = row[np.isfinite(row)]
    return bool(known.size) and (known.size < row.size or float(np.ptp(known)) > SAME)


def _one(name: str, sink_map: xr.Dataset) -> xr.Dataset:
    """Return what is kept of one map; ``vintage`` first."""
    kept = [variable for variable in _SERIES if variable in sink_map]
    found = sink_map[kept].load()
    months = as_months(found["time"].to_numpy())
    rates = found["budget_month"].transpose("flux", "region", "time").to_numpy()
    carbon = rates * seconds_per_month(months) / SECONDS_PER_YEAR
    years = np.unique(years_of(months))
    found = found.reindex(year=years.astype(np.int32))
    to_date, count = [], []
    for year in years:
        inside = years_of(months) == year
        known = np.isfinite(carbon[..., inside])
        total = np.nansum(carbon[..., inside], axis=-1)
        to_date.append(np.where(known.any(axis=-1), total, np.nan))
        count.append(known[:, 0].sum(axis=-1))
    found["budget_year_to_date"] = (
        ("flux", "region", "year"),
        np.stack(to_date, axis=-1),
        {
            "units": BUDGET_UNITS,
            "long_name": "carbon taken up in the months of the year that were known",
        },
    )
    found["months_known"] = (
        ("flux", "year"),
        np.stack(count, axis=-1).astype(np.int8),
        {"long_name": "months of the year that were known", "units": "1"},
    )
    teachers = [
        f"{domain}: {', '.join(map(str, sink_map[f'{domain}_teacher'].to_numpy()))}"
        for domain in ("land", "ocean")
        if f"{domain}_teacher" in sink_map.coords
    ]
    found["teachers"] = xr.Variable((), np.array("; ".join(teachers), dtype=object))
    issued = str(sink_map.attrs.get("date_created", "not stated"))
    found["issued"] = xr.Variable((), np.array(issued, dtype=object))
    unused = [n for n in found.coords if n not in found.dims]
    found = found.drop_vars(unused).expand_dims(vintage=np.array([name], dtype=object))
    found["vintage"].attrs = {"long_name": "issue of the map"}
    return found.assign_attrs(sink_map.attrs)


def _plain_text(found: xr.Dataset) -> xr.Dataset:
    """Return a data set whose text is Python's: what Zarr returns does not join it."""
    text = [name for name, field in found.variables.items() if field.dtype.kind in "TU"]
    plain = {
        name: (
            found[name].dims,
            np.array([str(one) for one in found[name].to_numpy()], dtype=object),
            found[name].attrs,
        )
        for name in text
    }
    return found.assign(plain)
