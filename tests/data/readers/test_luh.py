"""States of land use and transitions between them become shares of a cell."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import (
    CatalogError,
    GateError,
    GridMismatchError,
    TimeAxisError,
)
from emulator.carbon.grid import Grid
from emulator.data import catalog, readers
from emulator.data.entry import Entry, parse_entry
from emulator.data.inputs import onto
from tests.data import cover_files as cover

GRID = cover.LUH_GRID
LAND = GRID.lon < 0
# By hand: primf + secdf = 0.01 + 0.03, and so on for states numbered from 1.
SHARES = {
    "forestFrac": 0.01 + 0.03,
    "otherNaturalFrac": 0.02 + 0.04,
    "cropFrac": 0.06 + 0.07 + 0.08 + 0.09 + 0.10,
    "pastureFrac": 0.11 + 0.12,
    "urbanFrac": 0.05,
}


def entry(**changes: Any) -> Entry:
    said = {**catalog.load("luh2").to_dict(), **changes}
    return parse_entry("luh2", said, "luh2.yaml")


def read(root: Path, variable: str, **changes: Any) -> Any:
    return readers.read(entry(**changes), variable, None, root)


def states(root: Path, name: str = "states.nc", **how: Any) -> Path:
    shares = how.pop("shares", cover.luh_shares())
    return cover.write_luh(root / "luh2" / name, shares, **how)


@pytest.mark.parametrize("variable", SHARES)
def test_states_add_up_to_classes(tmp_path: Path, variable: str) -> None:
    states(tmp_path)
    found = read(tmp_path, variable)
    expected = np.where(GRID.lat > 0, 1.1, 1.0)[:, None] * SHARES[variable] * LAND
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dims == ("lat", "lon")
    assert found.attrs["units"] == "1"
    assert found.attrs["source_years"] == "2000-2000"
    assert found.dtype == np.float32


def test_a_file_of_cmip6_is_read_alike(tmp_path: Path) -> None:
    scenario = "multiple-states_input4MIPs_landState_ScenarioMIP_gn_2015-2100.nc"
    states(
        tmp_path, scenario, first_year=2015, time_units="years since 2015-01-01 0:0:0"
    )
    found = read(tmp_path, "urbanFrac", years=[2016, 2016])
    np.testing.assert_allclose(found[0, LAND], 0.05, rtol=1e-6)


def test_days_since_another_year_are_read_alike(tmp_path: Path) -> None:
    states(tmp_path, growth=0.05, time_units="days since 850-01-01")
    found = read(tmp_path, "urbanFrac", years=[2000, 2000])
    np.testing.assert_allclose(found[0, LAND], 0.05 * 1.1, rtol=1e-6)


def test_several_years_give_their_mean(tmp_path: Path) -> None:
    # 1998 is written as it is, each year after it has 5 % of that more: by hand 1.05,
    # 1.1 and 1.15 times as much in 1999 to 2001.
    states(tmp_path, growth=0.05)
    found = read(tmp_path, "urbanFrac", years=[1999, 2001])
    np.testing.assert_allclose(found[0, LAND], 0.05 * 1.1, rtol=1e-6)
    assert found.attrs["source_years"] == "1999-2001"


def test_age_and_biomass_are_no_shares(tmp_path: Path) -> None:
    old = {"secma": np.full(GRID.shape, 80.0), "secmb": np.full(GRID.shape, 9.0)}
    states(tmp_path, shares=cover.luh_shares() | old)
    assert read(tmp_path, "forestFrac").max() < 1


def test_shares_keep_their_area_on_other_grids(tmp_path: Path) -> None:
    states(tmp_path)
    found = {name: read(tmp_path, name) for name in SHARES}
    for target in (Grid.regular(30.0), Grid.regular(22.5)):
        shares = {name: onto(field, target) for name, field in found.items()}
        for name, share in shares.items():
            total = (share * target.cell_area()).sum()
            held = (found[name].to_numpy() * GRID.cell_area()).sum()
            assert total == pytest.approx(held, rel=1e-6)
            assert 0 <= share.min() <= share.max() <= 1
        assert sum(shares.values()).max() <= 1 + 1e-6


def test_ice_and_water_make_up_the_cell(tmp_path: Path) -> None:
    states(tmp_path)
    total = sum(np.nan_to_num(share) for share in cover.luh_shares().values())
    cover.write_ice_and_water(tmp_path / "luh2/staticData_quarterdeg.nc", 1 - total)
    assert read(tmp_path, "forestFrac").max() > 0
    found = read(tmp_path, "iceWaterFrac")
    np.testing.assert_allclose(found, 1 - total, rtol=1e-5)


def test_shares_beyond_a_cell_are_refused(tmp_path: Path) -> None:
    states(tmp_path)
    wet = np.full(GRID.shape, 0.3)
    cover.write_ice_and_water(tmp_path / "luh2/staticData_quarterdeg.nc", wet)
    message = r"with ice and water of staticData.* add up to 0.3 to 1.158, the most at "
    with pytest.raises(GateError, match=message):
        read(tmp_path, "forestFrac")


def test_percent_is_refused(tmp_path: Path) -> None:
    shares = {name: 100 * share for name, share in cover.luh_shares().items()}
    states(tmp_path, shares=shares)
    with pytest.raises(GateError, match=r"the states add up to 0 to 85.8, the most"):
        read(tmp_path, "forestFrac")


def test_ice_and_water_of_another_grid_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states(tmp_path)
    monkeypatch.setattr(cover, "LUH_GRID", Grid.regular(30.0))
    share = np.zeros(cover.LUH_GRID.shape)
    cover.write_ice_and_water(tmp_path / "luh2/staticData_quarterdeg.nc", share)
    with pytest.raises(
        GridMismatchError, match=r"static.* 6x12, .* but .*states.nc on"
    ):
        read(tmp_path, "forestFrac")


def test_states_that_nothing_counts_are_refused(tmp_path: Path) -> None:
    states(tmp_path, shares=cover.luh_shares() | {"pltns": np.zeros(GRID.shape)})
    with pytest.raises(
        CatalogError, match=r"holds the states \['pltns'\], which no var"
    ):
        read(tmp_path, "forestFrac")


def test_states_that_are_not_there_are_refused(tmp_path: Path) -> None:
    shares = cover.luh_shares()
    del shares["range"]
    states(tmp_path, shares=shares)
    with pytest.raises(
        CatalogError, match=r"holds no state \['range'\], which catalog"
    ):
        read(tmp_path, "pastureFrac")


def test_years_that_are_not_there_are_refused(tmp_path: Path) -> None:
    states(tmp_path)
    with pytest.raises(TimeAxisError, match="has 3 steps within 2000 to 2010, but 11"):
        read(tmp_path, "forestFrac", years=[2000, 2010])


def test_two_files_are_refused(tmp_path: Path) -> None:
    states(tmp_path)
    states(tmp_path, "states_old.nc")
    with pytest.raises(CatalogError, match="2 files match 'forestFrac' of catalog ent"):
        read(tmp_path, "forestFrac")


def test_a_variable_needs_states(tmp_path: Path) -> None:
    states(tmp_path)
    with pytest.raises(CatalogError, match=r"'cropFrac' of .* 'luh2' needs 'states'"):
        read(tmp_path, "cropFrac", variables={"cropFrac": {}})


FLOWS = {
    "primf_to_c3ann": 0.010,
    "secdf_to_secdn": 0.002,
    "secdf_to_urban": 0.003,
    "c3ann_to_secdf": 0.004,
    "secdn_to_secdf": 0.001,
    "primn_to_c3ann": 0.050,
    "primf_harv": 0.060,
    "secmf_bioh": 1e9,
}


def transitions(root: Path, flows: dict[str, float], **how: Any) -> None:
    land = np.where(LAND, 1.0, np.nan) * np.ones(GRID.shape)
    maps = {name: rate * land for name, rate in flows.items()}
    cover.write_luh(root / "luh2/transitions.nc", maps, **how)


def test_transitions_are_counted_gross(tmp_path: Path) -> None:
    transitions(tmp_path, FLOWS)
    loss, gain = read(tmp_path, "forestLossFrac"), read(tmp_path, "forestGainFrac")
    np.testing.assert_allclose(loss[0, LAND], 0.015, rtol=1e-6)
    np.testing.assert_allclose(gain[0, LAND], 0.005, rtol=1e-6)
    assert loss[:, ~LAND].max() == 0


def test_gain_less_loss_is_the_change_of_the_states(tmp_path: Path) -> None:
    # Forest falls by 0.01 a year: from 0.04 in 1998 as gain less loss above.
    transitions(tmp_path, FLOWS)
    shares = {name: np.zeros(GRID.shape) for name in cover.STATES}
    shares["secdf"][:, LAND] = 0.04
    states(tmp_path, shares=shares, growth=-0.25)
    gain = read(tmp_path, "forestGainFrac", years=[1998, 2000])
    loss = read(tmp_path, "forestLossFrac", years=[1998, 2000])
    before = read(tmp_path, "forestFrac", years=[1998, 1998])
    after = read(tmp_path, "forestFrac", years=[2001, 2001])
    np.testing.assert_allclose(3 * (gain - loss), after - before, atol=1e-7)


def test_transitions_of_other_names_are_refused(tmp_path: Path) -> None:
    transitions(tmp_path, {"c3ann_to_c4ann": 0.1, "primf_harv": 0.1})
    message = r"holds no transition from \['primf', 'secdf'\], such as .* 'c3ann_to_c4"
    with pytest.raises(CatalogError, match=message):
        read(tmp_path, "forestLossFrac")
    with pytest.raises(CatalogError, match=r"holds no transition to \['primf', 'secdf"):
        read(tmp_path, "forestGainFrac")
