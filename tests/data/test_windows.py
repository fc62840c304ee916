from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from emulator.carbon.errors import StoreError
from emulator.carbon.grid import Grid
from emulator.data.stores import write_store
from emulator.data.windows import Cube, load_cube, usable_months
from tests import worlds


def land(path: Path, **chosen: Any) -> Cube:
    names = {"fluxes": ["nbp"], "forcing": ["tas", "pr"], "static": ["sand"]}
    return load_cube(path, **(names | chosen))


def test_cube_follows_the_law_of_the_world(land_store: Path) -> None:
    # nbp = scale [a A(t-1) + b (co2 - 280) / 10 + season]; two Julys of one cell and
    # one simulation differ by A and CO2 only, and A is tas less its seasonal cycle.
    cube = land(land_store, simulations=["S2"], teachers=["TWO"])
    months = list(np.datetime_as_string(cube.months))
    early, late = months.index("1995-07"), months.index("2005-07")
    june = [cube.forcing[cube.weather[0, t - 1], 0] for t in (early, late)]
    expected = 1e-9 * (-0.5 * (june[1] - june[0]) + 0.6 * 20 / 10)
    found = cube.labels[0, 0, late, 0] - cube.labels[0, 0, early, 0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-13)


def test_cube_has_only_cells_with_area_forcing_and_label(land_store: Path) -> None:
    cube = land(land_store)
    # Rows 1 to 3, columns 0 to 3; the southern row has no label, the rest is sea.
    expected = [row * 8 + column for row in (1, 2, 3) for column in range(4)]
    assert cube.cells.tolist() == expected
    assert cube.labels.shape == (3, 2, 22 * 12, 1, 12)
    assert cube.forcing.shape == (20 * 12, 2, 12)
    assert cube.cells.dtype == cube.weather.dtype == torch.int64
    assert cube.labels.dtype == cube.forcing.dtype == cube.co2.dtype == torch.float32


def test_a_cut_comes_before_anything_is_read(tmp_path: Path) -> None:
    # Cell 8 has no label before 2000, and ONE none after 1999 that may be known.
    world = worlds.tiny_world()
    early = world["time"].dt.year < 2000
    world["nbp"][:, :, early.to_numpy(), 1, 0] = np.nan
    path = write_store(world, tmp_path / "late.zarr")
    until = np.array(["1999-12", "1998-12"], "M8[s]")

    def cut(store: xr.Dataset) -> xr.Dataset:
        there = store["time"].dt.year < 2003
        return store.isel(time=there.to_numpy()).assign_coords(
            labels_until=("teacher", until)
        )

    whole, known = land(path), land(path, cut=cut)
    assert str(known.months[-1]) == "2002-12"
    assert 8 in whole.cells.tolist()
    assert 8 not in known.cells.tolist()
    place = whole.cells.tolist().index(known.cells[0].item())
    for teacher, last in enumerate(until.astype("M8[M]")):
        there = known.months <= last
        mine = known.labels[0, teacher, :, 0, 0].numpy()
        np.testing.assert_array_equal(
            mine[there],
            whole.labels[0, teacher, : known.months.size, 0, place].numpy()[there],
        )
        assert np.isfinite(mine[there]).any()
        assert np.isnan(mine[~there]).all()


def test_area_is_that_of_the_domain(land_store: Path) -> None:
    cube = land(land_store)
    whole = Grid.regular(45.0).cell_area().ravel()
    assert cube.area.dtype == torch.float64
    assert cube.area[3].item() == pytest.approx(0.25 * whole[11], rel=1e-6)
    assert cube.area[4].item() == pytest.approx(whole[16], rel=1e-6)


def test_channels_follow_the_names_asked_for(land_store: Path) -> None:
    cube = land(land_store, fluxes=["rh", "nbp"], forcing=["pr", "tas"])
    assert cube.fluxes == ("rh", "nbp")
    assert cube.forcing[:, 1].mean() > 200  # K
    assert cube.forcing[:, 0].mean() < 1e-3  # kg m-2 s-1
    alone = land(land_store)
    torch.testing.assert_close(
        cube.labels[:, :, :, 1], alone.labels[:, :, :, 0], equal_nan=True
    )


def test_simulations_and_teachers_come_in_the_order_asked_for(land_store: Path) -> None:
    cube = land(land_store, simulations=["S2", "S0"], teachers=["TWO"])
    everything = land(land_store)
    assert cube.simulations == ("S2", "S0")
    assert cube.teachers == ("TWO",)
    torch.testing.assert_close(
        cube.labels[1, 0], everything.labels[0, 1], equal_nan=True
    )
    torch.testing.assert_close(cube.weather[0], everything.weather[2])
    assert (cube.co2[1] == 280).all()


def test_recycled_weather_is_usable_before_the_own_weather(land_store: Path) -> None:
    cube = land(land_store)
    # 22 years of months; S2 knows weather from the third year, S0 from the first.
    assert usable_months(cube, "S0", memory=24).sum() == (22 - 2) * 12
    assert usable_months(cube, "S2", memory=24).sum() == (22 - 2 - 2) * 12
    assert np.flatnonzero(usable_months(cube, 2, memory=24))[0] == 4 * 12
    assert usable_months(cube, "S2", memory=0).sum() == 20 * 12
    assert not usable_months(cube, "S0", memory=22 * 12).any()
    assert not usable_months(cube, "S0", memory=30 * 12).any()


def test_month_without_co2_spoils_the_memory_of_those_after(land_store: Path) -> None:
    cube = land(land_store)
    cube.co2[0, 100] = torch.nan
    lost = ~usable_months(cube, "S0", memory=3)
    assert np.flatnonzero(lost).tolist() == [0, 1, 2, 100, 101, 102, 103]


def test_co2_is_told_as_level_logarithm_or_rise(land_store: Path) -> None:
    level, rise = land(land_store), land(land_store, co2_as="rise")
    assert level.co2_as == "level"
    assert rise.co2_as == "rise"
    logarithm = land(land_store, co2_as="log").co2
    torch.testing.assert_close(logarithm, level.co2.log(), equal_nan=True)
    # A constant CO2 is its own mean; the other rises from its first value.
    assert (rise.co2[0] == 0).all()
    month = 20 * 12 + 6
    ppm = float(level.co2[2, month])
    since = level.co2[2, : month + 1].sum() + level.co2[2, 0] * (359 - month)
    wanted = np.log(ppm * 360 / float(since))
    assert float(rise.co2[2, month]) == pytest.approx(wanted, rel=1e-4)


def test_rise_of_an_unknown_past_is_refused(tmp_path: Path) -> None:
    world = worlds.tiny_world()
    path = tmp_path / "world.zarr"
    write_store(world.assign(co2_normal=world["co2_normal"] * np.nan), path)
    with pytest.raises(StoreError, match=r"30 years before.*model\.co2_as=level"):
        land(path, co2_as="rise")


def test_slow_means_need_their_years(land_store: Path) -> None:
    cube = land(land_store, slow_years=[2])
    assert cube.slow.shape == (3, 22, len(cube.forcing_names), len(cube.cells))
    # S2 knows weather from the third year on, its means from the fifth.
    assert np.flatnonzero(usable_months(cube, "S2", memory=0))[0] == 4 * 12
    january = cube.forcing[cube.weather[2, 2 * 12 : 4 * 12]].mean(dim=0)
    torch.testing.assert_close(cube.slow[2, 4], january)


def test_control_of_the_ocean_sees_the_climatology(ocean_store: Path) -> None:
    cube = load_cube(
        ocean_store, fluxes=["fgco2"], forcing=["tosforc"], static=["sea_fraction"]
    )
    weather = cube.weather[cube.simulations.index("B")]
    january = cube.forcing[weather[0], 0]
    torch.testing.assert_close(january, cube.forcing[: 20 * 12 : 12, 0].mean(0))
    assert (weather[12:24] == weather[:12]).all()
    assert usable_months(cube, "B", memory=12).sum() == 21 * 12


def test_scatter_puts_cells_back_into_maps(land_store: Path) -> None:
    cube = land(land_store)
    maps = cube.scatter(np.arange(24, dtype=np.float32).reshape(2, 12))
    assert maps.shape == (2, 4, 8)
    assert maps.dtype == np.float32
    assert maps[1, 1, 3] == 15
    assert np.isnan(maps[:, 0]).all()
    assert np.isfinite(maps).sum() == 24
    assert cube.scatter(np.ones(12)).dtype == np.float64
    with pytest.raises(ValueError, match=r"12 cells of the cube.*\(3,\)"):
        cube.scatter(np.zeros(3))


def test_cube_moves_with_all_its_tensors(land_store: Path) -> None:
    moved = land(land_store).to("meta")
    tensors = [v for v in vars(moved).values() if isinstance(v, torch.Tensor)]
    assert len(tensors) == 8
    assert all(tensor.device.type == "meta" for tensor in tensors)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"fluxes": ["fFire"]}, r"no \['fFire'\].*it has \['gpp', 'nbp', 'ra', 'rh'\]"),
        ({"forcing": ["vpd"]}, r"no \['vpd'\].*it has \['pr', 'tas'\]"),
        ({"static": ["clay"]}, r"no \['clay'\].*'sand'"),
        ({"simulations": ["S3"]}, r"no simulation \['S3'\].*'S0', 'S1', 'S2'"),
        ({"teachers": ["THREE"]}, r"no teacher \['THREE'\].*'ONE', 'TWO'"),
    ],
)
def test_missing_name_is_refused_with_those_there(
    land_store: Path, chosen: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        land(land_store, **chosen)


def broken(folder: Path, name: str, place: tuple[slice | int, ...]) -> Path:
    world = worlds.tiny_world()
    world[name].values[place] = np.nan
    return write_store(world, folder / "broken.zarr")


def test_hole_in_forcing_of_a_labelled_cell_is_refused(tmp_path: Path) -> None:
    path = broken(tmp_path, "tas", (17, 2, 1))
    with pytest.raises(StoreError, match="forcing 'tas' has no value in 1 of 12 cells"):
        land(path)


def test_hole_in_static_of_a_labelled_cell_is_refused(tmp_path: Path) -> None:
    path = broken(tmp_path, "sand", (2, slice(None)))
    with pytest.raises(StoreError, match="static 'sand' has no value in 4 of 12 cells"):
        land(path)


def test_store_without_labels_is_refused(tmp_path: Path) -> None:
    path = broken(tmp_path, "nbp", (slice(None),))
    with pytest.raises(StoreError, match=r"holds no label of \['nbp'\]"):
        land(path)


def test_cube_reads_more_months_than_fit_in_one_piece(
    land_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = land(land_store)
    monkeypatch.setattr("emulator.data.windows.MONTHS_AT_ONCE", 7)
    torch.testing.assert_close(land(land_store).forcing, whole.forcing)
