"""Two forcing products of the tiny Earth that differ by a known law."""

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from emulator.carbon.timeaxis import month_of
from emulator.data.mapping.products import MappingSettings, Pair, open_product, pair
from emulator.data.stores import write_store
from tests.worlds import tiny_forcing

WARM = 2.0
"""K by which the product is too warm in July."""


def told_otherwise(forcing: xr.Dataset) -> xr.Dataset:
    """Return it as the other product tells it: warm Julys and half of the rain."""
    july = month_of(forcing["time"].to_numpy()) == 7
    warmth = xr.DataArray(WARM * july, dims="time").astype("f4")
    other = forcing.copy()
    other["tas"] = (forcing["tas"] + warmth).assign_attrs(forcing["tas"].attrs)
    other["pr"] = (forcing["pr"] * np.float32(0.5)).assign_attrs(forcing["pr"].attrs)
    return other.assign_attrs(title="other", settings_hash="other")


def write_pair(
    folder: Path,
    *,
    product: xr.Dataset | None = None,
    onto: xr.Dataset | None = None,
    first: int = 1990,
) -> tuple[Path, Path]:
    """Write the store of the product and that of the one that teachers saw."""
    own = tiny_forcing("land", first=first).assign_attrs(title="own")
    stores = {
        "other": told_otherwise(own) if product is None else product,
        "own": own.sel(time=slice("2005")) if onto is None else onto,
    }
    paths = [write_store(one, folder / f"{n}-0.zarr") for n, one in stores.items()]
    return paths[0], paths[1]


def settings(**changes: Any) -> MappingSettings:
    return MappingSettings(**{"product": "other", "onto": "own", **changes})


def pair_of(paths: tuple[Path, Path], **changes: Any) -> Pair:
    product, onto = map(open_product, paths)
    return pair(settings(**changes), product, onto)
