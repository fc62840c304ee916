"""Zarr stores as Google's ARCO-ERA5 is laid out, from known values.

The real store was out of reach: names and attributes follow its README, and the code of
those who read it. It is of Zarr's version 2, consolidated, with a chunk an hour.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import zarr

from emulator.data.readers.arco_era5 import NAMES
from tests.data.centre_files import LAT, LON, UNITS, Array

FIRST = np.datetime64("2025-05-30T00", "h")
"""The first hour of these stores; the real one begins in 1900, and has values of 1940
and later."""

PATTERN = np.linspace(0.0, 1e-3, LAT.size * LON.size).reshape(LAT.size, LON.size)
"""Makes fields those of a planet: none has one value everywhere."""


def arco(
    folder: Path,
    fields: Mapping[str, Array],
    *,
    stop: str | None = "2025-06-01",
    stop_era5t: str | None = None,
    laid_out: int = 24 * 10,
    version: int = 3,
    fill: float = np.nan,
    units: Mapping[str, str] = UNITS,
    first: np.datetime64 = FIRST,
    lat: Array = LAT,
    lon: Array = LON,
) -> Path:
    """Write a store; of each hour a value, or a field.

    Args:
        folder: The store.
        fields: By short name, shape (hour, lat, lon), or (hour,): then they are times 1
            to 1.001 from cell to cell.
        stop: The attribute valid_time_stop.
        stop_era5t: That of ERA5T.
        laid_out: Hours of the axis of time; chunks without values are not written.
        version: Of Zarr.
        fill: What is read where no chunk is.
        units: Of quantities.
        first: The first hour.
        lat: Rows, north first.
        lon: Columns.
    """
    group = zarr.open_group(folder, mode="w", zarr_format=version)
    dims = ("time", "latitude", "longitude")

    def put(name: str, values: Array, chunks: tuple[int, ...], **attrs: str) -> None:
        shape = (laid_out, *values.shape[1:]) if values.ndim == 3 else values.shape
        named = dims if values.ndim == 3 else (name,)
        array = group.create_array(
            name,
            shape=shape,
            dtype=values.dtype,
            chunks=chunks,
            fill_value=fill if values.ndim == 3 else 0,
            dimension_names=named if version == 3 else None,
        )
        array.attrs.update(attrs | ({"_ARRAY_DIMENSIONS": list(named)}))
        array[: values.shape[0]] = values

    since = f"hours since {str(first)[:10]}"
    put("time", np.arange(laid_out), (laid_out,), units=since, calendar="standard")
    put("latitude", lat.astype("f4"), (lat.size,))
    put("longitude", lon.astype("f4"), (lon.size,))
    for name, values in fields.items():
        cells = np.multiply.outer(values, 1 + PATTERN) if values.ndim == 1 else values
        put(NAMES[name], cells.astype("f4"), (1, lat.size, lon.size), units=units[name])
    if stop is not None:
        group.attrs["valid_time_stop"] = stop
    if stop_era5t is not None:
        group.attrs["valid_time_stop_era5t"] = stop_era5t
    group.attrs["valid_time_start"] = str(first)[:10]
    if version == 2:
        zarr.consolidate_metadata(folder, zarr_format=2)
    return folder
