"""The totals and flags of all months of a map, from which its tables are made."""

import numpy as np
import xarray as xr

from emulator.carbon.timeaxis import as_months


def series_of(window: xr.Dataset, published: xr.Dataset | None) -> xr.Dataset:
    """Return the totals and flags of all months: those published, and a window's.

    Args:
        window: The newest months of a map, as ``sinkmap.assemble`` returns them.
        published: The map up to last night; None before the first.

    Returns:
        The window without maps of months and draws, its ``time`` and ``year`` going
        back to the first that was published.
    """
    names = [
        name
        for name, field in window.variables.items()
        if not {"time", "lat"} <= set(field.dims) and "_draw" not in str(name)
    ]
    # Codes that only hold within the window.
    series = window[names].drop_vars("forcing_source")
    if published is None:
        return series
    first = as_months(window["time"].to_numpy())[0]
    earlier = {
        "time": as_months(published["time"].to_numpy()) < first,
        "year": published["year"].to_numpy() < first.astype("M8[Y]").astype(int) + 1970,
    }
    found = {}
    for name, field in series.variables.items():
        steps = [dim for dim in field.dims if dim in earlier]
        if steps and name in published.variables:
            before = published.variables[name].isel({steps[0]: earlier[str(steps[0])]})
            before = before.transpose(*field.dims)
            axis = field.dims.index(steps[0])
            joined = np.concatenate([before.to_numpy(), field.to_numpy()], axis)
            field = xr.Variable(field.dims, joined, field.attrs)
        elif steps:
            lacking = int(earlier[str(steps[0])].sum())
            field = field.pad({steps[0]: (lacking, 0)})
        found[name] = field
    coords = {name: found.pop(name) for name in series.coords}
    return xr.Dataset(found, coords, series.attrs)
