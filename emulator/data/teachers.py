"""The labels of one simulation of one teacher, on the grid of a store.

In a store every flux is per unit of the domain's area: a teacher that gives fluxes
per unit of the whole cell is divided by the share of the cell, so that
flux x area x fraction is the carbon of every teacher alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError, GateError, GridMismatchError
from emulator.carbon.grid import Grid
from emulator.data import readers
from emulator.data.check import GateResult, check_simulation
from emulator.data.entry import Entry
from emulator.data.inputs import Forcing, onto, require_monthly

LEAST_SHARE = 0.01
"""Cells with less of the domain get no label from a teacher that has fluxes per unit
of the whole cell: there a mismatch of two coastlines would be multiplied by more than
a hundred."""


@dataclass(frozen=True, eq=False)
class Labels:
    """What one simulation of one teacher says.

    Attributes:
        years: First and last year.
        fluxes: kg m-2 s-1 per unit of the domain's area, float32, by name; dims
            (time, lat, lon) of the store.
        gates: What the plausibility gates found.
        kept: Global mean of |flux| of the first of them in the store, over that in the
            files: how much is lost or won where the two coastlines differ.
    """

    years: tuple[int, int]
    fluxes: dict[str, xr.DataArray]
    gates: GateResult
    kept: float


def read_labels(
    entry: Entry,
    simulation: str,
    fluxes: Sequence[str],
    years: tuple[int, int],
    surface: Mapping[str, xr.DataArray],
    grid: Grid,
    data_root: Path,
) -> Labels:
    """Read, check and regrid the fluxes of one simulation.

    Args:
        entry: The teacher.
        simulation: One of its simulations.
        fluxes: Fluxes wanted; those which the teacher lacks are left out, but for the
            first.
        years: First and last year of the labels of the store.
        surface: ``area`` (m2) and ``fraction`` of the store; dims (lat, lon).
        grid: The grid of the store.
        data_root: The folder below which entries' roots lie.

    Raises:
        CatalogError: If the teacher lacks the first flux or the years.
        GateError: If a gate fails.
        GridMismatchError: If the fluxes are on different grids.
    """
    span = asked_years(entry, simulation, years)
    if fluxes[0] not in entry.variables:
        raise CatalogError(
            f"Teacher '{entry.name}' has no '{fluxes[0]}', it has "
            f"{sorted(entry.variables)}, but the first of data.fluxes is needed of "
            f"every teacher. Put another flux first, or leave the teacher out."
        )
    read = {}
    for name in [name for name in fluxes if name in entry.variables]:
        read[name] = readers.read(entry, name, simulation, data_root, years=span)
        require_monthly(read[name], entry)
    first = read[fluxes[0]]
    source = Grid(first.lat.values, first.lon.values)
    for flux in read.values():
        _require_same_grid(flux, first, source)
    own_area = readers.process_area(entry, source, data_root)
    found = check_simulation(entry, simulation, read, own_area)
    own_share = readers.read_fraction(entry, data_root)
    share = surface["fraction"].to_numpy()
    labels = {}
    for name, flux in read.items():
        values = _per_domain(flux, own_share, share, grid)
        coords = {"time": flux.time.values, "lat": grid.lat, "lon": grid.lon}
        dims = ("time", "lat", "lon")
        labels[name] = xr.DataArray(values, coords, dims, attrs=flux.attrs)
    # The map of mean |flux| goes the way of the fluxes, whose own means may cancel.
    gross = abs(first).mean("time", keep_attrs=True)
    on_grid = np.nan_to_num(_per_domain(gross, own_share, share, grid))
    stored = float((on_grid * surface["area"].to_numpy() * share).sum())
    files = float((np.nan_to_num(gross.to_numpy()) * own_area).sum())
    return Labels(span, labels, found, stored / files if files else np.nan)


def asked_years(
    entry: Entry, simulation: str, years: tuple[int, int]
) -> tuple[int, int]:
    """Return the years to read of one simulation.

    A teacher must have all the years asked; a simulation of which the catalog says
    that it has others (a control with nominal years) gives those of them it has.

    Raises:
        CatalogError: If it lacks them.
    """
    declared = entry.label_years(simulation) or (years[0], None)
    last = years[1] if declared[1] is None else declared[1]
    has_own = entry.simulations[simulation].years is not None
    shared = max(years[0], declared[0]), min(years[1], last)
    if shared == years or (has_own and shared[0] <= shared[1]):
        return shared
    held = f"{declared[0]}-{'' if declared[1] is None else declared[1]}"
    raise CatalogError(
        f"Teacher '{entry.name}' has labels of {held} in simulation '{simulation}', "
        f"but data.years asks for {years[0]}-{years[1]}. Ask for years which all "
        f"teachers have, or leave this one out."
    )


def where_forced(
    labels: xr.DataArray,
    flux: str,
    fraction: xr.DataArray,
    forcing: Forcing,
) -> tuple[xr.DataArray, list[str]]:
    """Refuse labels in cells where the forcing has holes, or drop them if allowed.

    Returns:
        The labels, and the overridden gates.

    Raises:
        GateError: If there are such cells, unless the entry of the forcing overrides
            the gate ``coverage``; or if no label is left.
    """
    overridden = []
    labelled = labels.notnull().any("time").to_numpy() & (fraction.to_numpy() > 0)
    for name, field in forcing.fields.items():
        missing = np.isnan(field.to_numpy())
        holes = labelled & missing.any(axis=0)
        if not holes.any():
            continue
        entry = forcing.offered_by[name]
        if "coverage" not in entry.gates:
            month = forcing.months[missing[:, holes].any(axis=1).argmax()]
            row, column = np.argwhere(holes)[0]
            raise GateError(
                f"{field.attrs['source_file']}: '{name}' of '{entry.name}' has no "
                f"value in {int(holes.sum())} of {int(labelled.sum())} cells where "
                f"{labels.attrs['source_file']} has labels, e.g. in {month} at "
                f"{float(labels.lat[row]):g} N, {float(labels.lon[column]):g} E; a "
                f"network needs forcing wherever it learns. Fill the file, or drop "
                f"these labels by gates: {{coverage: reason}} in '{entry.name}'."
            )
        overridden.append(f"coverage: {flux} dropped where {name} of {entry.name} ends")
        labels = labels.where(~holes)
        labelled &= ~holes
    if not labelled.any():
        raise GateError(
            f"{labels.attrs['source_file']}: '{flux}' holds no value on the domain of "
            f"the store. Check its fill values and the land fraction, or remove it "
            f"from the 'variables' of its catalog entry."
        )
    return labels, overridden


def _require_same_grid(flux: xr.DataArray, first: xr.DataArray, grid: Grid) -> None:
    other = Grid(flux.lat.values, flux.lon.values)
    if not other.matches(grid):
        raise GridMismatchError(
            f"{flux.attrs['source_file']} is on a grid of {other.describe()}, but "
            f"{first.attrs['source_file']} on {grid.describe()}; fluxes of one teacher "
            f"must share a grid. Leave one of them out of the catalog entry."
        )


def _per_domain(
    flux: xr.DataArray,
    own_share: xr.DataArray | None,
    share: NDArray[np.float64],
    grid: Grid,
) -> NDArray[np.float32]:
    """Return a flux per unit of the domain's area on the grid of the store."""
    if own_share is not None:
        return onto(flux, grid, own_share.to_numpy())
    # A missing cell holds no carbon, but where all are missing there is no label.
    missing = np.isnan(onto(flux, grid)) | (share < LEAST_SHARE)
    amount = onto(flux.fillna(0.0), grid)
    values = np.divide(amount, share, out=np.full_like(amount, np.nan), where=~missing)
    return values.astype(np.float32, copy=False)
