"""Sink maps with given totals, as the tests of budget tables need them."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import years_of
from emulator.nightly.sinkmap import assemble

from .synthetic import prediction

SECONDS = 365.2425 * 86400
"""In the mean Gregorian year."""


def sink_map(
    land: Mapping[str, NDArray[np.floating]] | None = None,
    ocean: Mapping[str, NDArray[np.floating]] | None = None,
    *,
    first: str = "1991-01",
    last: str = "2000-12",
    evidence: str = "testbed",
    drift: str = "{}",
) -> xr.Dataset:
    """Return a map whose teachers take up given global rates, PgC yr-1, by year.

    The flux is even over the domain, so that bands have their share of its area.
    """
    months = np.arange(np.datetime64(first), np.datetime64(last) + 1)
    grid = Grid.regular(30)
    half = np.full(grid.shape, 0.5)
    area = grid.cell_area().sum() / 2
    given = {"land": land, "ocean": ocean}
    parts: dict[str, xr.Dataset | None] = {}
    for domain, rates in given.items():
        if rates is None:
            parts[domain] = None
            continue
        year = years_of(months) - years_of(months)[0]
        flux = np.stack([np.asarray(each)[year] for each in rates.values()])
        flux = flux[:, :, None, None] * 1e12 / SECONDS / area
        parts[domain] = prediction(
            domain, first=first, last=last, teachers=tuple(rates), fraction=half,
            values=flux,
        )  # fmt: skip
        parts[domain].attrs |= {"evidence": evidence, "drift": drift}
    return assemble(parts["land"], parts["ocean"])
