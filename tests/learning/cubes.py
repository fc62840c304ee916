"""Cubes made by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import month_range
from emulator.data.windows import Cube


def small_cube(years: int = 6, **changes: Any) -> Cube:
    """Return two simulations of one teacher on three cells of a 45 degree grid.

    CONTROL sees the first two years again and again at 280 ppm, RUN its own at a CO2
    that rises by 1 ppm a month.
    """
    generator = torch.Generator().manual_seed(0)
    months = month_range("2000-01", f"{1999 + years}-12")
    size = months.size
    grid = Grid.regular(45.0)
    cells = torch.tensor([9, 10, 20])
    own = torch.arange(size)
    area = torch.from_numpy(grid.cell_area().ravel())[cells]
    cube = Cube(
        domain="land",
        grid=grid,
        cells=cells,
        area=area,
        months=months,
        simulations=("CONTROL", "RUN"),
        teachers=("ONE",),
        fluxes=("nbp",),
        forcing_names=("tas", "pr"),
        static_names=("elevation",),
        labels=1e-9 * torch.randn(2, 1, size, 1, 3, generator=generator),
        forcing=torch.randn(size, 2, 3, generator=generator) * 5 + 280,
        weather=torch.stack([own % 24, own]),
        co2=torch.stack([torch.full((size,), 280.0), 280.0 + own]),
        static=torch.tensor([[1.0, 2.0, 3.0]]),
        co2_as="level",
        slow_years=(),
        slow=torch.zeros(2, size // 12, 0, 3),
    )
    return replace(cube, **changes)


def chosen_years(cube: Cube, first: int, last: int) -> np.ndarray:
    """Return the mask (simulation, time) of whole years."""
    year = cube.months.astype("M8[Y]").astype(int) + 1970
    inside = (year >= first) & (year <= last)
    return np.stack([inside] * len(cube.simulations))
