"""Land use and land cover from catalog entries to static fields of a store."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import CatalogError
from emulator.carbon.grid import Grid, overlap
from emulator.data import catalog
from emulator.data.entry import parse_entry
from emulator.data.inputs import surface
from emulator.data.prepare import prepare, prepare_forcing
from emulator.data.product_check import check
from emulator.data.stores import FORCING_SCHEMA, TRAINING_SCHEMA, open_store
from emulator.data.windows import load_cube
from tests.data import cover_files as cover
from tests.data import small_files as small

FINE = Grid.regular(5.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    small.make_files(tmp_path)
    cover.write_luh(tmp_path / "luh2/states.nc", cover.luh_shares(), growth=0.05)
    return tmp_path


def write_cover(root: Path) -> np.ndarray:
    """Write land cover of 2000: water in the east, the rest at random."""
    codes = np.random.default_rng(0).choice([10, 50, 190], size=(1, *FINE.shape))
    codes[0, :, FINE.lon > 0] = 210
    name = "esa_landcover/C3S-LC-L4-LCCS-Map-300m-P1Y-2000-v2.1.1.nc"
    cover.write_classes(root / name, codes, FINE)
    return codes[0]


def test_a_training_store_takes_land_use_as_static_fields(root: Path) -> None:
    small.declare(root, catalog.load("luh2").to_dict(), years=[2000, 2000])
    path = prepare(
        small.settings(
            static=["static", "luh2"], static_variables=["forestFrac", "urbanFrac"]
        ),
        data_root=root,
        stores_root=root / "stores",
        catalog_dirs=[root / "catalog"],
    )
    store = open_store(path, TRAINING_SCHEMA)
    # By hand: 2000 is the third year, 1.1 times what the first has; in the north 1.1
    # times that of the south. The western half of the grid is land of LUH2.
    north = np.where(small.GRID.lat > 0, 1.1, 1.0)[:, None]
    expected = 0.04 * 1.1 * north * (small.GRID.lon < 0)
    np.testing.assert_allclose(store["forestFrac"], expected, rtol=1e-5)
    attrs = store["forestFrac"].attrs
    assert attrs["standard_name"] == "area_fraction"
    assert (attrs["source_years"], attrs["catalog_entry"]) == ("2000-2000", "luh2")
    assert "states.nc" in store.attrs["source_bytes"]
    cube = load_cube(
        path, fluxes=["nbp"], forcing=["tas"], static=["forestFrac", "urbanFrac"]
    )
    assert np.isfinite(cube.static.numpy()).all()


def test_a_forcing_store_takes_land_cover_on_its_own_grid(root: Path) -> None:
    codes = write_cover(root)
    small.declare(root, catalog.load("esa_landcover").to_dict())
    path = prepare_forcing(
        small.forcing_settings(
            static=["static", "esa_landcover"], static_variables=["forestFrac"]
        ),
        data_root=root,
        stores_root=root / "stores",
        catalog_dirs=[root / "catalog"],
    )
    store = open_store(path, FORCING_SCHEMA)
    rows, columns = overlap(FINE, small.GRID)
    expected = rows @ (codes == 50) @ columns.T
    np.testing.assert_allclose(store["forestFrac"], expected, atol=1e-6)


def test_classes_can_say_what_is_land(tmp_path: Path) -> None:
    codes = write_cover(tmp_path)
    said = catalog.load("esa_landcover").to_dict()
    land = {"name": "lccs_class", "classes": [10, 50, 190]}
    entry = parse_entry(
        "x", {**said, "name": "x", "variables": {"land_fraction": land}}, ""
    )
    grid = Grid.regular(22.5)
    found = surface("land", [entry], [], grid, tmp_path)
    rows, columns = overlap(FINE, grid)
    np.testing.assert_allclose(
        found["fraction"], rows @ (codes != 210) @ columns.T, atol=1e-6
    )


def test_an_entry_is_checked_like_any_other(root: Path) -> None:
    write_cover(root)
    report = check(catalog.load("esa_landcover"), root)
    assert report.is_usable
    assert {field.variable for field in report.fields} >= {"cropFrac", "urbanFrac"}
    assert {field.grid for field in report.fields} == {"180x360, 1 degree"}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "luh2",
            {"kind": "table"},
            "is of kind 'table', but its reader 'luh' gives",
        ),
        ("forest_age", {"kind": "table"}, "reader 'forest_age' gives static fields"),
        ("luh2", {"legend": {1: "a"}}, "reader 'luh' and 1 classes in 'legend', which"),
        ("esa_landcover", {"legend": {}}, "reader 'classes' and 0 classes in 'legend'"),
        (
            "esa_landcover",
            {"variables": {"cropFrac": {"name": "lccs_class"}}},
            r"'cropFrac' has the classes \[\] and the states \[\], but 'classes' be",
        ),
        (
            "esa_landcover",
            {"variables": {"cropFrac": {"classes": [10, 13]}}},
            r"'cropFrac' is made up of the classes \[13\] among others, which are not",
        ),
        (
            "forest_age",
            {"variables": {"forestFrac": {"states": ["primf"]}}},
            r"states \['primf'\], but .* 'states' to the reader 'luh'; this is 'forest",
        ),
        ("luh2", {"years": None}, "does not say of which years its shares are to be"),
        ("luh2", {"years": [2000, None]}, "does not say of which years its shares"),
        (
            "esa_landcover",
            {"years": [2000, 2001]},
            "of one year, but 'years' are 2000-2",
        ),
    ],
)
def test_entries_that_do_not_fit_are_refused(
    name: str, changes: dict[str, Any], message: str
) -> None:
    said = catalog.load(name).to_dict() | changes
    with pytest.raises(CatalogError, match=message):
        parse_entry(name, said, f"{name}.yaml")
