"""Regions from a file of integer labels, or of one mask a region."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from emulator.carbon.errors import CatalogError, GridMismatchError
from emulator.carbon.grid import Grid
from emulator.carbon.regions import RegionSet, from_labels
from emulator.data.entry import Entry
from emulator.data.readers.fields import (
    Field,
    field_of,
    horizontal_dims,
    pick_variable,
)
from emulator.data.readers.files import match_files, open_netcdf
from emulator.data.readers.fires import grouped_field


def read_regions(entry: Entry, target: Grid, data_root: Path) -> RegionSet:
    """Read the regions of a catalog entry as fractions of the cells of a grid.

    Labels of the same name, in one layer or several, are one region. A variable with a
    third dimension holds one mask a region, of 0 and 1: its labels are the numbers of
    the masks, from 0.

    Args:
        entry: An entry of kind ``regions``.
        target: The grid on which the regions are wanted.
        data_root: The folder below which entries' roots lie.

    Returns:
        The regions, the last of which is ``other``.

    Raises:
        CatalogError: If the entry is of another kind, its pattern matches several
            files, a named label does not occur, a mask holds anything but 0 and 1, or
            two layers or masks overlap.
        GridMismatchError: If the layers are on different grids.
    """
    if entry.kind != "regions":
        raise CatalogError(
            f"Catalog entry '{entry.name}' is of kind '{entry.kind}', but regions were "
            f"asked. Choose an entry of kind 'regions'."
        )
    paths = match_files(entry, entry.files, "", None, data_root)
    if len(paths) > 1:
        raise CatalogError(
            f"{len(paths)} files match '{entry.files}' of catalog entry "
            f"'{entry.name}', but regions are in one. Narrow 'files'."
        )
    path = paths[0]
    with open_netcdf(path) as dataset:
        fields = [_labels(dataset, path, layer.variable) for layer in entry.layers]
    source = Grid(fields[0].lat, fields[0].lon)
    merged = np.zeros(source.shape, dtype=np.int64)
    numbers: dict[str, int] = {}
    for layer, field in zip(entry.layers, fields, strict=True):
        grid = Grid(field.lat, field.lon)
        if not grid.matches(source):
            raise GridMismatchError(
                f"{path}: '{layer.variable}' is on {grid.describe()}, but the first "
                f"layer on {source.describe()}. Give them separate entries."
            )
        labels = np.nan_to_num(field.values).round().astype(np.int64)
        for label, name in layer.names.items():
            here = labels == label
            if not here.any():
                raise CatalogError(
                    f"{path}: '{layer.variable}' holds no label {label}, which catalog "
                    f"entry '{entry.name}' names '{name}'; it holds "
                    f"{np.unique(labels).tolist()}. Correct 'layers'."
                )
            if (merged[here] != 0).any():
                raise CatalogError(
                    f"{path}: '{name}' of '{layer.variable}' overlaps a region before "
                    f"it, but regions must not share cells. Give them separate "
                    f"entries."
                )
            merged[here] = numbers.setdefault(name, len(numbers) + 1)
    names = {number: name for name, number in numbers.items()}
    return from_labels(merged, names, source, target, name=entry.name)


def _labels(dataset: xr.Dataset, path: Path, name: str) -> Field:
    """Return labels of an open file; where no mask holds, -1."""
    if "/" in name:  # in a group, as GFED4.1s has its regions
        return grouped_field(path, name)
    variable = pick_variable(dataset, name, path, 2)
    flat = horizontal_dims(variable, path)
    long = [d for d in variable.dims if d not in flat and variable.sizes[d] > 1]
    if len(long) != 1:
        return field_of(dataset, path, name, has_time=False)
    masks = [
        field_of(dataset.isel({long[0]: number}), path, name, has_time=False)
        for number in range(variable.sizes[long[0]])
    ]
    labels = np.full(masks[0].values.shape, -1, dtype=np.float32)
    for number, mask in enumerate(masks):
        here = np.nan_to_num(mask.values) == 1
        if (np.nan_to_num(mask.values)[~here] != 0).any():
            raise CatalogError(
                f"{path}: layer {number} of '{name}' holds "
                f"{np.unique(mask.values).tolist()[:9]}, but a mask holds 0 and 1. "
                f"Name a variable of masks or of labels under 'layers'."
            )
        if (labels[here] >= 0).any():
            other = int(labels[here].max())
            raise CatalogError(
                f"{path}: layers {other} and {number} of '{name}' share "
                f"{int((labels[here] >= 0).sum())} cells, but regions must not. Mend "
                f"the file, or give the layers separate entries."
            )
        labels[here] = number
    return replace(masks[0], values=labels)
