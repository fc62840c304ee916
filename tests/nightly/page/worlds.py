"""Sink maps for pages, and the inverse of what the page packs."""

import base64
import zlib

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.nightly.budget_settings import BudgetSettings
from emulator.nightly.sinkmap import assemble
from emulator.nightly.tables import tables
from tests.nightly.synthetic import prediction, with_intervals

FIRST, LAST = "2000-01", "2002-03"


def small_map(*, calibrated: bool = False, domains: str = "land ocean") -> xr.Dataset:
    """Return a map of 30 degrees, 27 months, the last one not over."""
    parts = {
        domain: prediction(domain, first=FIRST, last=LAST, seed=seed)
        for seed, domain in enumerate(("land", "ocean"))
        if domain in domains.split()
    }
    if calibrated:
        parts = {d: with_intervals(p, reach=24, half=0.4) for d, p in parts.items()}
    issued = np.datetime64("2002-03-20T02:10:00")
    sink_map = assemble(parts.get("land"), parts.get("ocean"), issued=issued)
    status = sink_map["status"].copy()
    status[:] = 0
    status[-2:] = [1, 2]
    coverage = sink_map["coverage"].copy()
    coverage[:] = 1.0
    coverage[-1] = 0.6
    return sink_map.assign(status=status, coverage=coverage)


def with_land_use(sink_map: xr.Dataset) -> xr.Dataset:
    """Return a map whose land is that of simulation S3."""
    found = tables(sink_map, BudgetSettings(simulation="S3"))
    return sink_map.merge(found).assign_attrs(found.attrs)


def unpacked(text: str, shape: tuple[int, ...]) -> NDArray[np.int16]:
    """Undo ``packing.packed``, as ``decode.js`` does."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    low, high = raw.astype(np.uint16).reshape(2, *shape)
    folded = low | (high << 8)
    steps = ((folded >> 1) ^ -(folded & 1)).astype(np.int16)
    return np.cumsum(steps, axis=-1, dtype=np.int16)
