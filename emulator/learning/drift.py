"""What the controls of a training store say of the drift of its ocean models.

Fitted once, when a run is trained, and kept in its checkpoints: a night has neither the
store nor the teachers' files. Labels stay as the teachers have them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.budget import annual_total, area_rate
from emulator.carbon.grid import Grid
from emulator.carbon.regions import latitude_bands
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, as_months
from emulator.data import strict
from emulator.data.drift import fit_control
from emulator.data.drift_source import DriftSource
from emulator.data.stores import TRAINING_SCHEMA, open_store

FLUX = "fgco2"


def control_drifts(store: Path) -> dict[str, Any]:
    """Return the fit to the control of each ocean model that has one.

    Args:
        store: A training store.

    Returns:
        Plain JSON types: ``regions``, globe and latitude bands; ``teachers``, by label:
        the fit (``Drift.to_dict``; level and slope by region, PgC yr-1), with
        ``control`` and ``year_one``, the label of model year 1 of the transient; or
        ``missing``, why there is none. Empty for land, and where no entry says
        anything of a drift.

    Raises:
        CatalogError: If a control lacks the years that its entry wants fitted.
    """
    data = open_store(store, TRAINING_SCHEMA)
    entries = json.loads(data.attrs.get("catalog", "{}"))
    sources = {
        said.get("label") or name: strict.build(DriftSource, said["drift"])
        for name, said in entries.items()
        if "drift" in said
    }
    if FLUX not in data or not sources:
        return {}
    grid = Grid(lat=data["lat"].to_numpy(), lon=data["lon"].to_numpy())
    bands = latitude_bands(grid)
    weights = np.concatenate([np.ones((1, *grid.shape)), bands.weights])
    area = weights * (data["area"] * data["fraction"]).fillna(0.0).to_numpy()
    held = {str(name) for name in data["simulation"].to_numpy()}
    found: dict[str, Any] = {}
    for teacher, source in sources.items():
        if source.control not in held:
            why = f"simulation {source.control} is not in the training store"
            found[teacher] = {"missing": why}
            continue
        labels = data[FLUX].sel(simulation=source.control, teacher=teacher)
        years, totals = _annual(labels, area)
        drift = fit_control(source, years, totals.T, teacher)
        found[teacher] = {
            **drift.to_dict(),
            "control": source.control,
            "year_one": source.year_one[source.transient],
        }
    return {"regions": ["globe", *bands.regions], "teachers": found}


def _annual(
    labels: xr.DataArray, area: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return complete years with labels and their totals, PgC; (year, region)."""
    months = as_months(labels["time"].to_numpy())
    rates = np.full((months.size, area.shape[0]), np.nan)
    # A year at a time: a control of 1 degree takes 200 MB.
    for first in range(0, months.size, MONTHS_PER_YEAR):
        part = slice(first, first + MONTHS_PER_YEAR)
        values = labels.isel(time=part).to_numpy()
        known = np.isfinite(values).any(axis=(1, 2))
        filled = np.nan_to_num(values[known])
        for region, weighted in enumerate(area):
            rates[part, region][known] = area_rate(filled, weighted)
    known = np.isfinite(rates).all(axis=1)
    return annual_total(rates[known], months[known])
