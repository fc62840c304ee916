"""Real masks of regions have the areas that are known of them, on any grid."""

import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from emulator.carbon.grid import Grid
from emulator.data import catalog, readers

DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)

MILLION_KM2 = 1e12


def areas(name: str, step: float = 1.0) -> dict[str, float]:
    """Return the area of each region, million km2."""
    grid = Grid.regular(step)
    found = readers.read_regions(catalog.load(name), grid, SHARED)
    assert found.weights.min() >= 0
    np.testing.assert_allclose(found.weights.sum(axis=0), 1, atol=1e-9)
    total = (found.weights * grid.cell_area()).sum(axis=(1, 2)) / MILLION_KM2
    return dict(zip(found.regions, total.tolist(), strict=True))


@pytest.mark.parametrize(
    "name",
    ["reccap2_land", "reccap2_ocean", "reccap2_ocean_biomes", "transcom", "biomes"],
)
def test_areas_are_the_same_on_every_grid(name: str) -> None:
    fine, coarse = areas(name), areas(name, 3.75)
    assert coarse == pytest.approx(fine, rel=1e-6)


def test_land_regions_have_the_size_of_their_continents() -> None:
    # Million km2, lakes included: Africa 30.4, South America 17.8, Russia 17.1.
    found = areas("reccap2_land")
    africa = found["Northern Africa"] + found["Southern Africa"]
    assert africa == pytest.approx(30.4, rel=0.03)
    assert found["South America"] == pytest.approx(17.8, rel=0.03)
    assert found["Russia"] == pytest.approx(17.1, rel=0.03)


def test_transcom_shares_out_land_and_sea() -> None:
    # 148.9 of land without Antarctica (14.0) and Greenland (2.2); 361 of sea.
    found = list(areas("transcom").values())
    assert sum(found[:11]) == pytest.approx(148.9 - 14.0 - 2.2, rel=0.02)
    assert sum(found[11:22]) == pytest.approx(361, rel=0.02)
    # Australia with New Zealand, 7.69 and 0.27.
    assert found[9] == pytest.approx(7.96, rel=0.02)


def test_biomes_of_the_ocean_make_up_its_basins() -> None:
    basins, biomes = areas("reccap2_ocean"), areas("reccap2_ocean_biomes")
    parts = list(biomes.values())
    held = [sum(parts[:6]), sum(parts[6:12]), sum(parts[12:16]), parts[16]]
    assert held == pytest.approx(list(basins.values())[:4], rel=1e-9)
    assert sum(parts[17:20]) == pytest.approx(basins["Southern"], rel=1e-9)


def test_a_biome_has_the_area_of_its_cells() -> None:
    with netCDF4.Dataset(SHARED / "masks" / "wwf_biomes_0.5deg.nc") as file:
        labels, lat = file["biome"][:].data, file["lat"][:].data
    # By hand: R2 dlon (sin north - sin south), R = 6371 km, half a degree.
    edges = np.deg2rad([lat - 0.25, lat + 0.25])
    strip = 6.371**2 * np.deg2rad(0.5) * (np.sin(edges[1]) - np.sin(edges[0]))
    boreal = ((labels == 6).sum(axis=1) * strip).sum()
    assert areas("biomes")["boreal"] == pytest.approx(boreal, rel=1e-4)
