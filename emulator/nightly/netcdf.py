"""Write a night's ``sink.nc`` from that of the night before.

To compress all maps of 60 years at 1 degree takes a minute, a copy of the last file in
which the changed months are replaced a second.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.nightly import publish

Steps = NDArray[np.intp]

_CODING = {"units", "calendar", "_FillValue", "coordinates"}
"""Attributes that tell how numbers are stored, and do not change."""


def write(
    small: xr.Dataset,
    path: Path,
    previous: Path | None,
    changed: Mapping[str, Steps],
    *,
    most_bytes: int,
) -> None:
    """Write what `publish.for_netcdf` returned, taking what can be from an older file.

    Args:
        small: What the file shall hold.
        path: The file; must not exist.
        previous: An older file, which stays as it is; None to write all.
        changed: Of each map (time, lat, lon), the months in which it differs from the
            older file, later months of it included; a map that is not named is
            written as a whole.
        most_bytes: Size above which the file is written anew. HDF5 does not fill the
            place of a month that was replaced, so that it grows a little every night.
    """
    if previous is not None and previous.is_file() and _fits(small, previous):
        shutil.copyfile(previous, path)
        with netCDF4.Dataset(path, "r+") as file:
            _renew(file, small, changed)
        if path.stat().st_size <= most_bytes:
            return
        path.unlink()
    publish.write_netcdf(small, path)


def _fits(small: xr.Dataset, previous: Path) -> bool:
    """Return whether an older file differs in numbers and later months only."""
    with netCDF4.Dataset(previous) as file:
        if set(file.variables) != set(map(str, small.variables)):
            return False
        if set(file.dimensions) != set(small.dims):
            return False
        lengths = {name: dim.size for name, dim in file.dimensions.items()}
        grown = small.sizes["time"] - lengths.pop("time")
        return grown >= 0 and all(
            small.sizes[name] == length for name, length in lengths.items()
        )


def _renew(
    file: netCDF4.Dataset, small: xr.Dataset, changed: Mapping[str, Steps]
) -> None:
    _describe(file, small.attrs)
    encoding = publish.netcdf_encoding(small)
    for key, field in small.variables.items():
        name, coding = str(key), encoding[str(key)]
        steps = changed.get(name)
        where: Any = ... if steps is None else steps
        if steps is not None:
            field = field.isel(time=steps)
        plain = xr.Variable(field.dims, field.to_numpy(), field.attrs, coding)
        values = xr.conventions.encode_cf_variable(plain, name=name).values
        if values.dtype.kind == "T":
            values = values.astype(object)  # netCDF4 knows no StringDType
        file[name].set_auto_maskandscale(False)
        if values.size:
            file[name][where] = values
        _describe(file[name], field.attrs)


def _describe(node: Any, attrs: Mapping[Any, Any]) -> None:
    """Give a file or variable its attributes, where they differ."""
    there = {name: node.getncattr(name) for name in node.ncattrs()}
    for name in there.keys() - attrs.keys() - _CODING:
        node.delncattr(name)
    for name, value in attrs.items():
        if name not in there or not np.array_equal(there[name], value):
            node.setncattr(name, value)
