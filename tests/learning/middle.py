"""A third teacher of the tiny world, between the two."""

import numpy as np
import xarray as xr


def with_middle(world: xr.Dataset) -> xr.Dataset:
    """Add the teacher MIDDLE, the mean of the two."""
    middle = world.isel(teacher=[0]).assign_coords(teacher=np.array(["MIDDLE"], object))
    labels = [name for name in world if "teacher" in world[name].dims]
    for name in labels:
        middle[name] = middle[name].copy(
            data=world[name].mean("teacher", keepdims=True).to_numpy()
        )
        middle[name].attrs = world[name].attrs
    joined = xr.concat([world[labels], middle[labels]], "teacher")
    return xr.merge([joined, world.drop_dims("teacher")]).assign_attrs(world.attrs)
