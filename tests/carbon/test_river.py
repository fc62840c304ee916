import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.grid import Grid
from emulator.carbon.river import RIVERS, by_region, shared_out
from emulator.carbon.units import convert

DEFAULT = Path(__file__).resolve().parents[3] / "shared/data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)


def test_outgassing_is_added_by_region() -> None:
    # 1 kg m-2 s-1 over 1 m2 is 31 556 952 s a year, of 1e12 kg to a petagram.
    area = np.array([[1e6, 3e6], [1e6, 5e6]])
    flux = np.array([[-1.0, -1.0], [-2.0, np.nan]])
    weights = np.array([[[1, 1], [1, 1]], [[1, 0], [0, 0]]])
    found = by_region(flux, area, weights)
    np.testing.assert_allclose(found, np.array([6e6, 1e6]) * 31_556_952 / 1e12)


def test_a_named_flux_is_shared_out_as_the_map_has_it() -> None:
    found = shared_out(RIVERS["jacobson2007"], np.array([0.6, 0.2, 0.4]))
    np.testing.assert_allclose(found, [0.45, 0.15, 0.30])


def test_a_map_of_the_other_sign_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a total of -0\.6 PgC yr-1.*Turn its sign"):
        shared_out(RIVERS["regnier2022"], np.array([-0.6, -0.6]))


def test_older_numbers_have_their_own_names() -> None:
    fluxes = {name: river.flux for name, river in RIVERS.items()}
    assert fluxes == {
        "regnier2022": 0.65,
        "resplandy2018": 0.78,
        "gcb2021": 0.615,
        "jacobson2007": 0.45,
    }


@needs_shared
def test_the_real_map_gives_its_published_basins() -> None:
    path = SHARED / "masks/fgco2_lacroix-river_v20220615.nc"
    with xr.open_dataset(path, decode_times=False) as opened:
        river = opened["fgco2"].load()
    masks = SHARED / "masks/RECCAP2_region_masks_all_v20221025.nc"
    with xr.open_dataset(masks) as opened:
        basin = opened["open_ocean"].load()
    grid = Grid.regular(1.0)
    east = np.argsort((river["lon"].values + 180) % 360 - 180, kind="stable")
    flux = convert(river.values[:, east], "mol m-2 s-1", "kg m-2 s-1")
    labels = basin.values[:, east]
    weights = np.stack(
        [np.ones(grid.shape), *(labels == number for number in range(6))]
    ).astype(float)
    found = by_region(flux, grid.cell_area(), weights)
    # Globe, what is no open ocean, then Atlantic, Pacific, Indian, Arctic, Southern.
    published = [0.65, 0.019, 0.270, 0.143, 0.146, 0.030, 0.041]
    np.testing.assert_allclose(found, published, atol=0.0006)
