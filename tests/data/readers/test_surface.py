"""Areas, fractions and regions come from files on the right grid, or not at all."""

from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from emulator.carbon.errors import (
    CatalogError,
    GateError,
    GridMismatchError,
    UnitsError,
)
from emulator.carbon.grid import Grid
from emulator.carbon.regions import OTHER
from emulator.data import catalog, readers
from emulator.data.entry import Entry
from tests.data import tiny_files as tiny

GRID = Grid.regular(tiny.STEP)


def with_fraction(root: Path, share: np.ndarray, **kwargs: Any) -> Entry:
    units = kwargs.pop("units", "1")
    tiny.write(root / "tiny/static.nc", "frac", share.astype("f4"), units=units)
    source = {"treatment": "multiply", "variable": "frac", "file": "static.nc"}
    return tiny.entry(land_fraction={**source, **kwargs})


def test_an_area_is_that_of_the_sphere_times_the_fraction(tmp_path: Path) -> None:
    share = np.linspace(0, 1, 32).reshape(tiny.SHAPE)
    share[0, 0] = np.nan
    area = readers.process_area(with_fraction(tmp_path, share), GRID, tmp_path)
    np.testing.assert_allclose(area, GRID.cell_area() * np.nan_to_num(share), rtol=1e-6)


@pytest.mark.parametrize("units", ["%", "percent", "Percent", "percentage", "per cent"])
def test_a_fraction_of_the_other_surface_in_percent(tmp_path: Path, units: str) -> None:
    share = np.full(tiny.SHAPE, 25.0)
    entry = with_fraction(tmp_path, share, units=units, complement=True)
    fraction = readers.read_fraction(entry, tmp_path)
    assert fraction is not None
    np.testing.assert_allclose(fraction, 0.75)


def test_fluxes_of_the_whole_cell_need_no_fraction(tmp_path: Path) -> None:
    assert readers.read_fraction(tiny.entry(), tmp_path) is None
    area = readers.process_area(tiny.entry(), GRID, tmp_path)
    np.testing.assert_array_equal(area, GRID.cell_area())


@pytest.mark.parametrize(
    ("size", "units"), [(2e13, "m2"), (2e13, "m^2"), (2e13, None), (2e7, "km2")]
)
def test_a_product_may_have_areas_of_its_own(
    tmp_path: Path, size: float, units: str | None
) -> None:
    area = np.full(tiny.SHAPE, size, "f4")
    tiny.write(tmp_path / "tiny/area.nc", "area", area, units=units)
    entry = tiny.entry(cell_area={"variable": "area", "file": "area.nc"})
    own = readers.process_area(entry, GRID, tmp_path, own_area=True)
    np.testing.assert_allclose(own, 2e13)
    sphere = readers.process_area(entry, GRID, tmp_path)
    np.testing.assert_array_equal(sphere, GRID.cell_area())


@pytest.mark.parametrize(
    ("size", "units", "message"),
    [
        (
            2e7,
            "m2",
            r"'area' add up to 6\.4e\+08 m2 as it is in 'm2', but .* 5\.101e\+14",
        ),
        (2e7, None, r"add up to 6\.4e\+08 m2"),
        (2e13, "degrees2", r"area\.nc: 'area': Unit 'degrees2'"),
    ],
)
def test_areas_in_another_unit_than_they_say_are_refused(
    tmp_path: Path, size: float, units: str | None, message: str
) -> None:
    area = np.full(tiny.SHAPE, size, "f4")
    tiny.write(tmp_path / "tiny/area.nc", "area", area, units=units)
    entry = tiny.entry(cell_area={"variable": "area", "file": "area.nc"})
    with pytest.raises(UnitsError, match=message):
        readers.read_area(entry, GRID, tmp_path)


def test_an_entry_must_say_what_fluxes_refer_to(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"does not say .*treatment: none"):
        readers.read_fraction(tiny.entry(land_fraction=None), tmp_path)


def test_a_fraction_above_one_is_refused(tmp_path: Path) -> None:
    entry = with_fraction(tmp_path, np.full(tiny.SHAPE, 1.5))
    with pytest.raises(GateError, match=r"'frac' runs from 1\.5 to 1\.5"):
        readers.read_fraction(entry, tmp_path)


def test_a_fraction_without_values_is_refused(tmp_path: Path) -> None:
    entry = with_fraction(tmp_path, np.full(tiny.SHAPE, np.nan), complement=True)
    with pytest.raises(GateError, match="'frac' has no value in any cell, but shares"):
        readers.read_fraction(entry, tmp_path)


def test_a_fraction_on_another_grid_is_refused(tmp_path: Path) -> None:
    entry = with_fraction(tmp_path, np.ones(tiny.SHAPE))
    with pytest.raises(GridMismatchError, match=r"static\.nc is on a grid of 4x8"):
        readers.process_area(entry, Grid.regular(30.0), tmp_path)


def test_a_fraction_in_two_files_is_refused(tmp_path: Path) -> None:
    entry = with_fraction(tmp_path, np.ones(tiny.SHAPE), file="static*.nc")
    share = np.ones(tiny.SHAPE, "f4")
    tiny.write(tmp_path / "tiny/static2.nc", "frac", share)
    with pytest.raises(CatalogError, match=r"2 files match 'static\*\.nc'"):
        readers.read_fraction(entry, tmp_path)


def regions(layers: list[dict[str, Any]], **changes: Any) -> Entry:
    said = {
        "kind": "regions",
        "years": None,
        "evidence": None,
        "files": "masks*.nc",
        "variables": None,
        "layers": layers,
    }
    return tiny.forcing_entry(**{**said, **changes})


def write_masks(root: Path, **layers: np.ndarray) -> None:
    first = next(iter(layers))
    tiny.write(root / "masks.nc", first, layers.pop(first), units=None)
    with netCDF4.Dataset(root / "masks.nc", "a") as file:
        for name, values in layers.items():
            dims = ("lat", "lon")
            if values.shape != tiny.SHAPE:
                file.createDimension("latitude", values.shape[0])
                file.createVariable("latitude", "f8", "latitude")[:] = [-45, 45]
                dims = ("latitude", "lon")
            file.createVariable(name, values.dtype, dims)[:] = values


def halves() -> tuple[np.ndarray, np.ndarray]:
    west = np.zeros(tiny.SHAPE, "i2")
    west[:, :4] = 7
    north = np.zeros(tiny.SHAPE, "f4")
    north[2:, 4:] = 1
    return west, north


def test_layers_become_fractions_of_any_grid(tmp_path: Path) -> None:
    west, north = halves()
    write_masks(tmp_path, west=west, north=north)
    layers = [
        {"variable": "west", "names": {7: "West"}},
        {"variable": "north", "names": {1: "North-east"}},
    ]
    found = readers.read_regions(regions(layers), Grid.regular(90.0), tmp_path)
    assert found.regions == ("West", "North-east", "other")
    west_share = [[1, 1, 0, 0], [1, 1, 0, 0]]
    np.testing.assert_allclose(found.weights[0], west_share, atol=1e-12)
    np.testing.assert_allclose(found.weights[1], [[0] * 4, [0, 0, 1, 1]], atol=1e-12)
    np.testing.assert_allclose(found.weights.sum(axis=0), 1)


def test_labels_of_one_name_are_one_region(tmp_path: Path) -> None:
    west, north = halves()
    write_masks(tmp_path, west=west, north=north)
    layers = [
        {"variable": "west", "names": {7: "All"}},
        {"variable": "north", "names": {1: "All"}},
    ]
    entry = regions(layers)
    found = readers.read_regions(entry, GRID, tmp_path)
    assert found.regions == ("All", "other")
    np.testing.assert_allclose(found.weights[0], (west > 0) | (north > 0))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([("west", {3: "East"})], "holds no label 3, which .* names 'East'"),
        ([("west", {7: "West"}), ("west", {7: "Again"})], "'Again' of 'west' overlaps"),
    ],
)
def test_regions_that_do_not_fit_are_refused(
    tmp_path: Path, layers: list[tuple[str, dict[int, str]]], message: str
) -> None:
    west, north = halves()
    write_masks(tmp_path, west=west, north=north)
    entry = regions([{"variable": v, "names": n} for v, n in layers])
    with pytest.raises(CatalogError, match=message):
        readers.read_regions(entry, GRID, tmp_path)


def write_stack(root: Path, masks: np.ndarray) -> Entry:
    """Write one mask a region, as GCP_18regions_mask_0.5deg_corr.nc has them."""
    dims = ("region", "lat", "lon")
    tiny.write(root / "masks.nc", "MASK", masks, dims=dims, units=None)
    return regions([{"variable": "MASK", "names": {0: "West", 17: "North-east"}}])


def stack() -> np.ndarray:
    west, north = halves()
    masks = np.zeros((18, *tiny.SHAPE), "f8")
    masks[0], masks[17] = west == 7, north
    return masks


def test_the_regions_of_carbontracker_are_known_by_number(tmp_path: Path) -> None:
    # One cell of each of the 22 regions, and 0 where there is none.
    labels = np.zeros(tiny.SHAPE, "f4")
    labels.flat[:22] = np.arange(1, 23)
    path = tmp_path / "masks/regions.nc"
    tiny.write(path, "transcom_regions", labels, units=None)
    said = catalog.load("transcom_carbontracker")
    found = readers.read_regions(said, GRID, tmp_path)
    assert found.regions[3] == "South American Temperate"
    assert found.regions == (*catalog.load("transcom").layers[0].names.values(), OTHER)
    expected = np.arange(1, 23)[:, None, None] == labels
    np.testing.assert_array_equal(found.weights[:22], expected)


@pytest.mark.parametrize("dtype", ["i1", "f4", "f8"])
def test_masks_of_regions_are_read_by_their_number(tmp_path: Path, dtype: str) -> None:
    masks = stack()
    masks[5, 0, 6] = 1  # a region that the entry does not name
    entry = write_stack(tmp_path, masks.astype(dtype))
    found = readers.read_regions(entry, Grid.regular(90.0), tmp_path)
    assert found.regions == ("West", "North-east", "other")
    west_share = [[1, 1, 0, 0], [1, 1, 0, 0]]
    np.testing.assert_allclose(found.weights[0], west_share, atol=1e-12)
    np.testing.assert_allclose(found.weights[1], [[0] * 4, [0, 0, 1, 1]], atol=1e-12)


def test_masks_without_a_value_are_empty_there(tmp_path: Path) -> None:
    masks = stack()
    masks[masks == 0] = np.nan
    found = readers.read_regions(write_stack(tmp_path, masks), GRID, tmp_path)
    np.testing.assert_array_equal(found.weights[0, :, :4], 1)


def test_masks_that_share_cells_are_refused(tmp_path: Path) -> None:
    masks = stack()
    masks[9, :, 0] = 1
    with pytest.raises(CatalogError, match="layers 0 and 9 of 'MASK' share 4 cells"):
        readers.read_regions(write_stack(tmp_path, masks), GRID, tmp_path)


def test_masks_of_other_numbers_are_refused(tmp_path: Path) -> None:
    masks = stack()
    masks[2, 0, 7] = 4
    message = r"layer 2 of 'MASK' holds \[0.0, 4.0\], but a mask holds 0 and 1"
    with pytest.raises(CatalogError, match=message):
        readers.read_regions(write_stack(tmp_path, masks), GRID, tmp_path)


def test_a_mask_that_is_empty_is_no_region(tmp_path: Path) -> None:
    entry = write_stack(tmp_path, stack()[:, ::-1] * 0)
    with pytest.raises(CatalogError, match="'MASK' holds no label 0, which catalog en"):
        readers.read_regions(entry, GRID, tmp_path)


def test_layers_on_two_grids_are_refused(tmp_path: Path) -> None:
    west, _ = halves()
    write_masks(tmp_path, west=west, coarse=np.full((2, 8), 1, "i2"))
    layers = [
        {"variable": "west", "names": {7: "West"}},
        {"variable": "coarse", "names": {1: "All"}},
    ]
    with pytest.raises(GridMismatchError, match="'coarse' is on 2x8"):
        readers.read_regions(regions(layers), GRID, tmp_path)


def test_regions_in_two_files_are_refused(tmp_path: Path) -> None:
    west, _ = halves()
    for name in ("masks1.nc", "masks2.nc"):
        tiny.write(tmp_path / name, "west", west)
    entry = regions([{"variable": "west", "names": {7: "West"}}])
    with pytest.raises(CatalogError, match="2 files match 'masks"):
        readers.read_regions(entry, GRID, tmp_path)


def test_an_entry_of_another_kind_holds_no_regions(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is of kind 'teacher', but regions were"):
        readers.read_regions(tiny.entry(), GRID, tmp_path)
