"""Learning a map of one forcing product onto another, and mapping a store by it.

What is learned of the common years of two products turns the store of the one into a
store as the other would tell it, with which nights begin.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, StoreError
from emulator.carbon.mapping import (
    Months,
    bounded_ratio,
    difference,
    monthly_means,
    monthly_range,
)
from emulator.carbon.timeaxis import years_of
from emulator.carbon.variables import VARIABLES
from emulator.data.mapping import quantiles
from emulator.data.mapping.products import Fields, MappingSettings, Pair, Product, Years
from emulator.data.mapping.store import MAP_SCHEMA, MAPPED_BY, Fit, ForcingMap
from emulator.data.stores import (
    FORCING_SCHEMA,
    Empty,
    code_version,
    filling,
    open_store,
)

HASH_DIGITS = 8
"""As those of stores."""

_MONTHS_AT_ONCE = 120
"""Months mapped at a time, one shard of a store."""


def learn(settings: MappingSettings, found: Pair, years: Years) -> ForcingMap:
    """Learn a map from some years of two products.

    Args:
        settings: How.
        found: The products.
        years: Whole years of both, increasing.

    Raises:
        GridMismatchError: If the product lacks cells or months of the other.
        SettingsError: If quantiles are asked for and xsdba is missing.
    """
    fits = {name: _fit(settings, found, name, years) for name in found.variables}
    sides = {"product": found.product, "onto": found.onto}
    said = {side: one.identity for side, one in sides.items()}
    span = [int(years[0]), int(years[-1])]
    used = _used(settings, found)
    identity = _hash({**said, "settings": used, "years": span})
    version = code_version()
    evidence = [str(one.fields.attrs.get("evidence", "")) for one in sides.values()]
    return ForcingMap(
        identity=identity,
        title=map_name(settings, found),
        grid=found.onto.grid,
        fits=dict(sorted(fits.items())),
        about={
            "Conventions": "CF-1.11",
            "title": map_name(settings, found),
            "schema": MAP_SCHEMA,
            "domain": str(found.onto.fields.attrs["domain"]),
            "evidence": "; ".join(dict.fromkeys(filter(None, evidence))),
            "settings": json.dumps(used),
            "settings_hash": identity,
            "years": json.dumps(span),
            # Nobody could know it before the last month that it was learned from ended.
            "known_since": f"{span[1] + 1}-01-01",
            "code_version": version,
            "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}: sink-emulator {version}",
            **{side: json.dumps(_brief(one)) for side, one in said.items()},
        },
    )


def map_name(settings: MappingSettings, found: Pair) -> str:
    """Return the name of the map and of what is mapped by it."""
    return _plain(settings.name or f"{found.product.title}_onto_{found.onto.title}")


def map_identity(settings: MappingSettings, found: Pair) -> str:
    """Return the hash that the map of all years has, without learning it."""
    sides = {"product": found.product, "onto": found.onto}
    said = {side: one.identity for side, one in sides.items()}
    span = [int(found.years[0]), int(found.years[-1])]
    return _hash({**said, "settings": _used(settings, found), "years": span})


def mapped_path(
    product: Product, by: ForcingMap, stores_root: Path, name: str = ""
) -> Path:
    """Return where the mapped store of a product is, or would be."""
    word = _hash({"map": by.identity, **product.identity})
    return stores_root / f"{_plain(name or by.title)}-{word}.zarr"


def map_store(product: Product, by: ForcingMap, path: Path) -> Path:
    """Write a forcing store as the other product would tell it, all its months.

    Values beyond the range of the map are counted: each variable says their share in
    each year that the map was not learned from (``beyond_map``).

    Args:
        product: A forcing store, on the grid of the map.
        by: The map.
        path: Where the mapped store shall be.

    Raises:
        StoreError: If it is no forcing store, lacks a variable, or as ``write_store``.
        GridMismatchError: If it is on another grid, or lacks cells that the map has.
    """
    if not product.is_forcing_store:
        raise StoreError(
            f"{product.path} is a training store, which is not mapped: its labels "
            f"belong to its own weather. Give a store of `prepare forcing=NAME`."
        )
    if missing := sorted(set(by.fits) - set(map(str, product.fields))):
        raise StoreError(
            f"{product.path} lacks {', '.join(missing)}, which '{by.title}' maps. "
            f"Prepare it with these variables."
        )
    if not product.grid.matches(by.grid):
        raise GridMismatchError(
            f"{product.path} is on {product.grid.describe()}, the map '{by.title}' on "
            f"{by.grid.describe()}. Prepare the store on the grid of the map."
        )
    store = open_store(product.path, FORCING_SCHEMA)
    if MAPPED_BY in store.attrs:
        raise StoreError(
            f"{product.path} was mapped already, by {store.attrs[MAPPED_BY]}. Give the "
            f"store that it was made from."
        )
    rest = store.drop_vars([str(name) for name in product.fields]).load()
    stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}: mapped by {by.title} {by.identity}"
    rest.attrs |= {
        "title": by.title,
        "settings_hash": _hash({"map": by.identity, **product.identity}),
        MAPPED_BY: by.record,
        "history": f"{store.attrs.get('history', '')}\n{stamp}".strip(),
        "code_version": code_version(),
    }
    empty = {
        name: Empty(
            ("time", "lat", "lon"),
            (product.months.size, *product.grid.shape),
            {**store[name].attrs, **_said_of(product, by, name)},
        )
        for name in by.fits
    }
    with filling(rest.drop_encoding(), empty, path) as group:
        arrays: dict[str, Any] = dict(group.arrays())
        for name in by.fits:
            for first in range(0, product.months.size, _MONTHS_AT_ONCE):
                span = slice(first, first + _MONTHS_AT_ONCE)
                values = product.fields[name].isel(time=span).to_numpy()
                mapped = by.apply(name, values, product.months[span])
                _require_no_holes(product, by, name, mapped, product.months[span])
                arrays[name][span] = mapped
    return path


def _fit(settings: MappingSettings, found: Pair, name: str, years: Years) -> Fit:
    source, months = found.product.of_years(name, years)
    target, _ = found.onto.of_years(name, years)
    _require_same_cells(found, name, source, target)
    known = np.isfinite(source).all(axis=0) & np.isfinite(target).all(axis=0)
    lowest, highest = monthly_range(source, months)
    method = found.methods[name]
    places: NDArray[np.float64] | None = None
    if method == "quantiles":
        cells = (months.size, -1)
        places, change = (
            of_cells.reshape(*of_cells.shape[:2], *found.onto.grid.shape)
            for of_cells in quantiles.trained(
                source.reshape(cells),
                target.reshape(cells),
                months,
                settings.quantiles,
                VARIABLES[name].units,
            )
        )
    else:
        means = monthly_means(source, months), monthly_means(target, months)
        if method == "delta":
            change = difference(*means)
        else:
            change = bounded_ratio(*means, settings.largest_ratio)
    return Fit(
        method=method,
        change=_float32(np.where(known, change, np.nan)),
        lowest=_float32(np.where(known, lowest, np.nan)),
        highest=_float32(np.where(known, highest, np.nan)),
        quantiles=None if places is None else _float32(places),
    )


def _require_same_cells(found: Pair, name: str, source: Fields, target: Fields) -> None:
    """Refuse a product that lacks what the other has.

    It may have more: what lies beyond the other's coast is left out.
    """
    there, wanted = np.isfinite(source), np.isfinite(target)
    for product, values in ((found.product, there), (found.onto, wanted)):
        holes = int((values.any(axis=0) & ~values.all(axis=0)).sum())
        if holes:
            raise GridMismatchError(
                f"'{name}' of {product.path} has values in {holes} cells in some "
                f"months and none in others. A map needs all months of a cell: fill "
                f"them, or limit years."
            )
    lacking = int((wanted.any(axis=0) & ~there.any(axis=0)).sum())
    if lacking:
        raise GridMismatchError(
            f"'{name}' of {found.product.path} has no value in {lacking} of "
            f"{int(wanted.any(axis=0).sum())} cells where {found.onto.path} has one: "
            f"the mapped product would lack them. Take a product that reaches as far, "
            f"or prepare it on a coarser grid."
        )


def _require_no_holes(
    product: Product, by: ForcingMap, name: str, mapped: Fields, months: Months
) -> None:
    there = np.isfinite(by.fits[name].lowest[0])
    lacking = np.isnan(mapped) & there
    if lacking.any():
        month = months[int(np.flatnonzero(lacking.any(axis=(1, 2)))[0])]
        raise GridMismatchError(
            f"'{name}' of {product.path} has no value in "
            f"{int(lacking.any(axis=0).sum())} of {int(there.sum())} cells that "
            f"'{by.title}' maps, first in {month}. Fill them, or end the product "
            f"before."
        )


def _said_of(product: Product, by: ForcingMap, name: str) -> dict[str, str]:
    """Return what a mapped variable says: its method, and shares beyond its range."""
    first, last = by.years
    calendar = years_of(product.months)
    shares = {}
    for year in np.unique(calendar):
        if not first <= year <= last:
            values, months = product.of_years(name, np.array([year]))
            shares[str(year)] = round(by.beyond(name, values, months), 4)
    return {"mapped": by.fits[name].method, "beyond_map": json.dumps(shares)}


def _used(settings: MappingSettings, found: Pair) -> dict[str, object]:
    """Return the settings that decide what is learned."""
    said = asdict(settings)
    kept = {name: said[name] for name in ("quantiles", "largest_ratio")}
    return {"methods": dict(sorted(found.methods.items())), **kept}


def _plain(name: str) -> str:
    """Return a name that leads into no other folder: maps come from elsewhere, too."""
    return re.sub(r"[^A-Za-z0-9_.]+", "_", name)


def _brief(identity: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in identity.items() if name != "source_bytes"}


def _hash(said: Mapping[str, object]) -> str:
    text = json.dumps(said, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def _float32(values: NDArray[np.float64]) -> Fields:
    return values.astype(np.float32)
