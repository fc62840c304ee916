"""A training store in memory: cells of the domain, and what each month saw.

The cube holds only the variables and the cells that a run needs, so that it fits in
RAM or on a GPU; a batch is then a set of indices. A month's memory runs along the
weather that the simulation saw, not along the calendar.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from emulator.carbon.errors import StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import as_months
from emulator.data.slow import slow_means, with_years_before
from emulator.data.stores import TRAINING_SCHEMA, open_store

MONTHS_AT_ONCE = 240
"""Months read at a time: 20 years of a 1 degree map are 62 MB, little beside the
cube, and reading larger pieces is not faster."""

Cut = Callable[[xr.Dataset], xr.Dataset]
"""Takes out of an open store what shall not be known."""


@dataclass(frozen=True, eq=False)
class Cube:
    """Labels, forcing and static fields of the cells of one domain.

    Attributes:
        domain: ``land`` or ``ocean``.
        grid: The grid of the store.
        cells: Place of each cell in the flattened map, row by row, int64; (cell,).
        area: Area of the cell that belongs to the domain, m2, float64; (cell,).
        months: Calendar months of the simulations, datetime64[M]; (time,).
        simulations: Names, in the order of the axis; so for the next four.
        teachers: Names.
        fluxes: Names.
        forcing_names: Names.
        static_names: Names.
        labels: What the teachers simulated, canonical units, float32, NaN where
            there is none; (simulation, teacher, time, flux, cell).
        forcing: Weather, canonical units, float32; (weather_time, forcing, cell).
        weather: Index into ``forcing`` of the weather that each month saw, int64,
            -1 where unknown; (simulation, time).
        co2_as: How CO2 is told: "level", "log" or "rise".
        co2: What each month saw of it, float32, NaN where unknown: ppm, or 1
            (``told_co2``); (simulation, time).
        static: Fields that do not change, float32; (static, cell).
        slow_years: Numbers of years that ``slow`` is averaged over.
        slow: Mean forcing of the years before each calendar year, float32, NaN where
            unknown (``slow_means``); (simulation, year, span * forcing, cell).
    """

    domain: str
    grid: Grid
    cells: Tensor
    area: Tensor
    months: NDArray[np.datetime64]
    simulations: tuple[str, ...]
    teachers: tuple[str, ...]
    fluxes: tuple[str, ...]
    forcing_names: tuple[str, ...]
    static_names: tuple[str, ...]
    labels: Tensor
    forcing: Tensor
    weather: Tensor
    co2_as: str
    co2: Tensor
    static: Tensor
    slow_years: tuple[int, ...]
    slow: Tensor

    def to(self, device: torch.device | str) -> "Cube":
        """Return the cube with its tensors on ``device``."""
        tensors: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **tensors)

    def scatter(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values of cells as maps.

        Args:
            values: One value a cell; shape (..., cell).

        Returns:
            Maps with NaN outside the cells; shape (..., lat, lon).

        Raises:
            ValueError: If the last axis is not that of the cells.
        """
        cells = self.cells.cpu().numpy()
        if values.shape[-1:] != cells.shape:
            raise ValueError(
                f"The last axis must hold the {cells.size} cells of the cube, but the "
                f"values have shape {values.shape}."
            )
        maps = np.full((*values.shape[:-1], np.prod(self.grid.shape)), np.nan)
        maps = maps.astype(np.result_type(values.dtype, np.float32), copy=False)
        maps[..., cells] = values
        return maps.reshape(*values.shape[:-1], *self.grid.shape)


def usable_months(cube: Cube, simulation: str | int, memory: int) -> NDArray[np.bool_]:
    """Return which months have their whole memory.

    Args:
        cube: The cube.
        simulation: Name of a simulation, or its place on the axis.
        memory: Months before the month itself that must be known too.

    Returns:
        True where weather and CO2 of the month and of all ``memory`` months before
        it are known, and the years that ``slow`` of each is averaged over, whether or
        not there is a label; shape (time,).
    """
    place = (
        cube.simulations.index(simulation)
        if isinstance(simulation, str)
        else simulation
    )
    seen = (cube.weather[place] >= 0) & cube.co2[place].isfinite()
    years = max(cube.slow_years, default=0)
    known = with_years_before(seen.cpu().numpy(), cube.months, years)
    missing = np.cumsum(np.concatenate([[0], ~known]))
    usable = np.zeros(cube.months.shape, bool)
    if memory < usable.size:
        usable[memory:] = missing[memory + 1 :] == missing[: -memory - 1]
    return usable


def told_co2(co2: Any, normal: Any, co2_as: str) -> Any:
    """Return CO2 as a network is told of it.

    Args:
        co2: ppm; an array of any shape.
        normal: Its mean over the 30 years up to the month, ppm; same shape.
        co2_as: "level", "log" or "rise".

    Returns:
        The level, ppm, its logarithm ln(co2 / 1 ppm), 1, or the rise ln(co2 / normal),
        1; the logarithm because the effect of CO2 on photosynthesis and on the
        ocean's uptake saturates.
    """
    if co2_as == "level":
        return co2
    return np.log(co2 if co2_as == "log" else co2 / normal)


def load_cube(
    path: Path | str,
    *,
    fluxes: Sequence[str],
    forcing: Sequence[str],
    static: Sequence[str],
    simulations: Sequence[str] | None = None,
    teachers: Sequence[str] | None = None,
    co2_as: str = "level",
    slow_years: Sequence[int] = (),
    cut: Cut | None = None,
) -> Cube:
    """Read what a run needs of a training store.

    Cells are those which belong to the domain, have forcing, and have a label of any
    of the chosen fluxes, teachers and simulations in any month.

    Args:
        path: The training store.
        fluxes: Names of the label variables, in channel order.
        forcing: Names of the forcing variables, in channel order.
        static: Names of the static fields, in channel order.
        simulations: Which simulations; all when None.
        teachers: Which teachers; all when None.
        co2_as: How CO2 is told: "level", "log" or "rise", see ``told_co2``.
        slow_years: Numbers of years to average forcing over, see ``slow_means``.
        cut: Applied to the store before anything is read. Where it adds
            ``labels_until`` (teacher), no label of a later month is read.

    Returns:
        The cube, on the CPU.

    Raises:
        StoreError: If the store lacks a name, holds no label at all for the chosen
            ones, or lacks forcing or static values where there are labels: a NaN
            input would make every weight of a network NaN; or if CO2 shall be told as
            rise and its table begins too late.
    """
    store = open_store(path, TRAINING_SCHEMA)
    if cut is not None:
        store = cut(store)
    simulation_places = _places(store, "simulation", simulations, path)
    teacher_places = _places(store, "teacher", teachers, path)
    _require_variables(store, path, fluxes, ("simulation", "teacher", "time"))
    _require_variables(store, path, forcing, ("weather_time",))
    _require_variables(store, path, static, ())

    fraction = _flat(store["fraction"])
    # Where the fraction is zero a label has no area: it weighs nothing anywhere.
    cells = np.flatnonzero(fraction > 0)
    shape = (len(simulation_places), len(teacher_places), store.sizes["time"])
    labels = np.empty((*shape, len(fluxes), cells.size), np.float32)
    for s, simulation in enumerate(simulation_places.values()):
        for t, teacher in enumerate(teacher_places.values()):
            for channel, name in enumerate(fluxes):
                # Plain integers: lists of places make Zarr read month by month.
                field = store[name][simulation, teacher]
                known = _labels_known(store, teacher)
                labels[s, t, :known, channel] = _packed(field[:known], cells)
                labels[s, t, known:, channel] = np.nan
    labelled = np.isfinite(labels).any(axis=(0, 1, 2, 3))
    if not labelled.any():
        raise StoreError(
            f"{path} holds no label of {list(fluxes)} of {list(teacher_places)} in "
            f"{list(simulation_places)}. Ask for others, or look at the files with "
            f"`sink-emulator catalog check`."
        )
    if not labelled.all():
        cells, labels = cells[labelled], labels[..., labelled]

    weather = np.empty((store.sizes["weather_time"], len(forcing), cells.size), "f4")
    for channel, name in enumerate(forcing):
        weather[:, channel] = _packed(store[name], cells)
        _require_finite(weather[:, channel], name, "forcing", path)
    fields = np.empty((len(static), cells.size), np.float32)
    for channel, name in enumerate(static):
        fields[channel] = _flat(store[name])[cells]
        _require_finite(fields[channel], name, "static", path)
    rows = list(simulation_places.values())
    forcing_seen = torch.from_numpy(weather)
    sequence = torch.from_numpy(store["weather"].to_numpy()[rows].astype(np.int64))
    months = as_months(store["time"].to_numpy())
    return Cube(
        domain=store.attrs["domain"],
        grid=Grid(lat=store["lat"].to_numpy(), lon=store["lon"].to_numpy()),
        cells=torch.from_numpy(cells.astype(np.int64)),
        area=torch.from_numpy((_flat(store["area"]) * fraction)[cells]),
        months=months,
        simulations=tuple(simulation_places),
        teachers=tuple(teacher_places),
        fluxes=tuple(fluxes),
        forcing_names=tuple(forcing),
        static_names=tuple(static),
        labels=torch.from_numpy(labels),
        forcing=forcing_seen,
        weather=sequence,
        co2_as=co2_as,
        co2=torch.from_numpy(_co2(store, path, co2_as)[rows]),
        static=torch.from_numpy(fields),
        slow_years=tuple(slow_years),
        slow=slow_means(forcing_seen, sequence, months, slow_years),
    )


def _places(
    store: xr.Dataset, dim: str, wanted: Sequence[str] | None, path: Path | str
) -> dict[str, int]:
    """Return each wanted name with its place on the axis, in the order wanted."""
    there = [str(name) for name in store[dim].to_numpy()]
    missing = [name for name in wanted or () if name not in there]
    if missing:
        raise StoreError(
            f"{path} has no {dim} {missing}, it has {there}. Ask for one of these, "
            f"or prepare a store with it."
        )
    return {name: there.index(name) for name in (there if wanted is None else wanted)}


def _require_variables(
    store: xr.Dataset, path: Path | str, names: Sequence[str], leading: tuple[str, ...]
) -> None:
    dims = (*leading, "lat", "lon")
    there = sorted(str(n) for n, field in store.data_vars.items() if field.dims == dims)
    missing = [name for name in names if name not in there]
    if missing:
        raise StoreError(
            f"{path} has no {missing} with dimensions {dims}, it has {there}. Ask for "
            f"one of these, or prepare a store with it."
        )


def _labels_known(store: xr.Dataset, teacher: int) -> int:
    """Return of how many leading months the labels of a teacher may be read."""
    months = as_months(store["time"].to_numpy())
    if "labels_until" not in store.coords:
        return months.size
    last = store["labels_until"].to_numpy()[teacher].astype("M8[M]")
    return int((months <= last).sum())


def _co2(store: xr.Dataset, path: Path | str, co2_as: str) -> NDArray[np.float32]:
    """Return what each simulation saw of CO2; (simulation, time)."""
    told = told_co2(store["co2"].to_numpy(), store["co2_normal"].to_numpy(), co2_as)
    if not np.isfinite(told).any():
        raise StoreError(
            f"{path} knows no CO2 of the 30 years before any month, which a run with "
            f"model.co2_as={co2_as} needs. Name a CO2 table in the catalog that begins "
            f"earlier, or choose model.co2_as=level."
        )
    return np.asarray(told, np.float32)


def _require_finite(
    values: NDArray[np.float32], name: str, role: str, path: Path | str
) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        cells = int(bad.any(axis=tuple(range(bad.ndim - 1))).sum())
        raise StoreError(
            f"{path}: {role} '{name}' has no value in {cells} of {bad.shape[-1]} cells "
            f"that have labels. Leave '{name}' out, or prepare the store again with "
            f"{role} that covers them."
        )


def _flat(field: xr.DataArray) -> NDArray[np.float64]:
    return field.to_numpy().astype(np.float64).ravel()


def _packed(field: xr.DataArray, cells: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return (month, lat, lon) as (month, cell)."""
    packed = np.empty((field.shape[0], cells.size), np.float32)
    for first in range(0, field.shape[0], MONTHS_AT_ONCE):
        piece = field[first : first + MONTHS_AT_ONCE].to_numpy()
        packed[first : first + MONTHS_AT_ONCE] = piece.reshape(piece.shape[0], -1)[
            :, cells
        ]
    return packed
