"""What a run is offered to answer for: taken as it needs it, or refused."""

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CheckpointError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import as_months, require_monotone_complete
from emulator.carbon.variables import variable
from emulator.data.windows import Cube, told_co2
from emulator.learning.checkpoint import Checkpoint

Floats = NDArray[np.float32]


def require_cube(cube: Cube, run: Checkpoint) -> None:
    """Refuse a cube of other CO2, forcing, grid or cells than the run's.

    Raises:
        CheckpointError: If one of these differs.
    """
    if cube.co2_as != run.model.co2_as:
        raise CheckpointError(
            f"The network learned CO2 as {run.model.co2_as}, but the cube tells it as "
            f"{cube.co2_as}. Read it with load_cube(co2_as={run.model.co2_as!r})."
        )
    if cube.slow_years != tuple(run.model.slow_years):
        raise CheckpointError(
            f"The network learned slow means over {run.model.slow_years} years, but "
            f"the cube has {list(cube.slow_years)}. Read it with "
            f"load_cube(slow_years={run.model.slow_years})."
        )
    if cube.forcing_names != run.forcing:
        raise CheckpointError(
            f"The network learned from the forcing {list(run.forcing)}, but the store "
            f"offers {list(cube.forcing_names)}. Ask for the same."
        )
    if not cube.grid.matches(run.grid) or not torch.equal(cube.cells.cpu(), run.cells):
        raise CheckpointError(
            f"The network learned {len(run.cells)} cells of the grid "
            f"{run.grid.describe()}, but the store has {len(cube.cells)} of "
            f"{cube.grid.describe()}. Use the store that the run was trained on."
        )


def read_forcing(
    forcing: xr.Dataset, run: Checkpoint
) -> tuple[NDArray[np.datetime64], Floats, Floats]:
    """Return what a run needs of a forcing.

    Args:
        forcing: Variables (time, lat, lon) and CO2 (time), canonical units.
        run: The run.

    Returns:
        Months (time,), weather (time, forcing, cell) and CO2 as the run is told of it
        (time,), which is NaN where it is not known.

    Raises:
        CheckpointError: If a variable or values are missing, or grid or unit differ.
        TimeAxisError: If months are missing, doubled or out of order.
    """
    co2_as = run.model.co2_as
    of_air = ["co2", "co2_normal"] if co2_as == "rise" else ["co2"]
    names = [*run.forcing, *of_air]
    if missing := [name for name in names if name not in forcing]:
        raise CheckpointError(
            f"The run needs the forcing {', '.join(names)}, but {', '.join(missing)} "
            f"is missing. Prepare forcing with it, or train a run without it "
            f"(model.forcing)."
        )
    found = Grid(lat=forcing["lat"].to_numpy(), lon=forcing["lon"].to_numpy())
    if not found.matches(run.grid):
        raise CheckpointError(
            f"The run works on {run.grid.describe()}, but the forcing is on "
            f"{found.describe()}. Prepare the forcing on the grid of the run."
        )
    months = as_months(forcing["time"].to_numpy())
    require_monotone_complete(months)
    cells = run.cells.numpy()
    weather = np.empty((months.size, len(run.forcing), cells.size), np.float32)
    for channel, name in enumerate(run.forcing):
        _require_unit(forcing[name], name)
        field = forcing[name].transpose("time", "lat", "lon").to_numpy()
        weather[:, channel] = field.reshape(months.size, -1)[:, cells]
        holes = ~np.isfinite(weather[:, channel])
        if holes.any():
            month = months[int(np.flatnonzero(holes.any(axis=1))[0])]
            raise CheckpointError(
                f"The forcing '{name}' has no value in "
                f"{int(holes.any(axis=0).sum())} of the run's {cells.size} cells, "
                f"first in {month}. Fill it, or end the forcing before."
            )
    for name in of_air:
        _require_unit(forcing[name], name)
    co2, normal = (forcing[of_air[row]].to_numpy() for row in (0, -1))
    return months, weather, told_co2(co2, normal, co2_as).astype(np.float32)


def _require_unit(field: xr.DataArray, name: str) -> None:
    """Refuse a stated unit that is not the canonical one."""
    wanted = variable(name).units
    found = field.attrs.get("units", wanted)
    if found != wanted and not (name.startswith("co2") and found == "ppm"):
        raise CheckpointError(
            f"The forcing '{name}' is in {found!r}, but the run learned from "
            f"{wanted!r}. Convert it, or read it through the catalog."
        )
