"""A trained run in use: what it answers, and what it refuses."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from emulator.carbon.errors import CheckpointError, TimeAxisError
from emulator.learning.checkpoint import FORMAT, checkpoint_paths, load_checkpoint
from emulator.learning.fit import train
from emulator.learning.inference import (
    Emulator,
    cube_of_run,
    hindcast,
    load_emulator,
    open_run,
)
from tests.learning.runs import small_gru, tiny_data, tiny_settings
from tests.worlds import tiny_forcing, tiny_store


@pytest.fixture(scope="module")
def run(land_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = tiny_settings(small_gru(memory=5), steps=30, members=2)
    return train(settings, land_store, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def emulator(run: Path) -> Emulator:
    return load_emulator(run)


def same(one: xr.Dataset, two: xr.Dataset) -> None:
    # Sums of a matrix product depend in their last bits on the size of the batch.
    xr.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-14)


def test_prediction_is_that_of_the_simulation_with_the_same_weather(
    emulator: Emulator, run: Path, land_store: Path
) -> None:
    # S2 sees the calendar's weather and CO2, which tiny_forcing holds.
    found = emulator.predict(tiny_forcing())
    expected = hindcast(run, land_store).sel(simulation="S2")
    months = found["time"]
    assert str(months[0].dt.strftime("%Y-%m").item()) == "1991-01"
    assert str(months[-1].dt.strftime("%Y-%m").item()) == "2009-12"
    cells = expected["cell"].to_numpy()
    for flux in ("nbp", "nbp_emulator_std"):
        flat = found[flux].to_numpy().reshape(2, months.size, -1)
        wanted = expected[flux].sel(time=months).to_numpy()
        np.testing.assert_allclose(flat[..., cells], wanted, rtol=1e-4, atol=1e-14)
        assert np.isnan(np.delete(flat, cells, axis=-1)).all()
        assert np.isfinite(wanted).all()


def test_slow_inputs_are_those_of_the_simulation_with_the_same_weather(
    land_store: Path, tmp_path: Path
) -> None:
    model = small_gru(memory=5, slow_years=[1, 2], co2_as="rise")
    path = train(tiny_settings(model, steps=30), land_store, tmp_path / "run")
    emulator = load_emulator(path)
    assert emulator.history == 5 + 11 + 2 * 12 + 11
    found = emulator.predict(tiny_forcing())
    expected = hindcast(path, land_store).sel(simulation="S2", time=found["time"])
    assert str(found["time"][0].dt.strftime("%Y-%m").item()) == "1993-01"
    flat = found["nbp"].to_numpy().reshape(2, found.sizes["time"], -1)
    cells = expected["cell"].to_numpy()
    np.testing.assert_allclose(
        flat[..., cells], expected["nbp"].to_numpy(), rtol=1e-4, atol=1e-14
    )
    # Slow means and the rise of CO2 are answered for: other values, other answers.
    forcing = tiny_forcing()
    warmer = forcing.assign(tas=forcing["tas"] + (forcing["time.year"] == 1995))
    later = {"time": slice("1997-06", "1997-12")}
    changed = emulator.predict(warmer)["nbp"].sel(later) - found["nbp"].sel(later)
    assert float(abs(changed).max()) > 0
    risen = forcing.assign(co2_normal=forcing["co2_normal"] - 5)
    assert float(abs(emulator.predict(risen)["nbp"] - found["nbp"]).max()) > 0
    with pytest.raises(CheckpointError, match="co2, co2_normal, but co2_normal is mis"):
        emulator.predict(forcing.drop_vars("co2_normal"))


def test_months_do_not_depend_on_which_others_are_asked(emulator: Emulator) -> None:
    forcing = tiny_forcing()
    whole = emulator.predict(forcing)
    # Begins and ends in the middle of a year; the memory is 5 months.
    part = emulator.predict(forcing.sel(time=slice("1995-08", "1999-03")))
    times = part["time"].to_index()
    assert times[0].strftime("%Y-%m") == "1996-01"
    assert times[-1].strftime("%Y-%m") == "1999-03"
    same(part, whole.sel(time=times))
    late = emulator.predict(forcing.sel(time=slice("1995-07", "1999-03")))
    same(late, part)


def test_history_is_all_that_is_needed(emulator: Emulator) -> None:
    assert emulator.history == 5 + 11
    months = slice("1997-08", "1998-12")  # December 1998 and 16 months before
    part = emulator.predict(tiny_forcing().sel(time=months))
    assert part["time"].to_index()[-1].strftime("%Y-%m") == "1998-12"


def test_hindcast_of_years_is_part_of_the_whole(run: Path, land_store: Path) -> None:
    whole = hindcast(run, land_store)
    part = hindcast(run, land_store, years=(2006, 2007), simulations=["S1"])
    inside = np.isin(whole["time"].dt.year, [2006, 2007])
    same(part.isel(time=inside), whole.sel(simulation=["S1"]).isel(time=inside))
    assert part["nbp"].isel(time=~inside).isnull().all()


def test_hindcast_answers_months_whose_memory_is_known(
    run: Path, land_store: Path
) -> None:
    found = hindcast(run, land_store)["nbp"].notnull().any(["teacher", "cell"])
    # S0 knows its weather from 1988 on, S2 from 1990 on; blocks begin in January.
    for simulation, year in (("S0", 1989), ("S2", 1991)):
        expected = found["time"].dt.year >= year
        assert (found.sel(simulation=simulation) == expected).all()


def test_members_are_averaged(run: Path, land_store: Path) -> None:
    parts = [hindcast(path, land_store) for path in checkpoint_paths(run)]
    assert parts[0]["nbp_emulator_std"].isnull().all()
    both = hindcast(run, land_store)
    values = np.stack([part["nbp"].to_numpy() for part in parts]).astype(np.float64)
    np.testing.assert_allclose(both["nbp"], values.mean(axis=0), rtol=1e-4, atol=1e-15)
    np.testing.assert_allclose(
        both["nbp_emulator_std"], values.std(axis=0, ddof=1), rtol=1e-3, atol=1e-15
    )


def test_teachers_may_be_chosen(emulator: Emulator) -> None:
    forcing = tiny_forcing().sel(time=slice("1990", "1992"))
    whole, one = emulator.predict(forcing), emulator.predict(forcing, teachers=["TWO"])
    same(one, whole.sel(teacher=["TWO"]))


def test_prediction_says_where_it_comes_from(emulator: Emulator) -> None:
    found = emulator.predict(tiny_forcing().sel(time=slice("1990", "1992")))
    assert found.attrs["evidence"] == "testbed"
    assert found.attrs["domain"] == "land"
    assert found.attrs["training_store"] == "tiny-land.zarr"
    assert found.attrs["training_months"] == "1990-01 to 2004-12"
    assert found.attrs["members"] == "[0, 1]"
    assert len(found.attrs["checkpoint"]) == 64
    assert found["nbp"].attrs["units"] == "kg m-2 s-1"
    assert found["nbp"].dtype == np.float32


def test_teachers_without_a_cell_or_flux_get_none(run: Path) -> None:
    checkpoint = load_checkpoint(checkpoint_paths(run)[0])
    checkpoint.normaliser.labelled[1, 0, 0] = False
    half = Emulator((checkpoint,), "", torch.device("cpu"))
    found = half.predict(tiny_forcing().sel(time=slice("1990", "1992")))["nbp"]
    missing = found.isnull().to_numpy().reshape(2, 24, -1)[..., checkpoint.cells]
    assert missing[1, :, 0].all()
    assert missing.sum() == 24


def drop(name: str) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda forcing: forcing.drop_vars(name)


def hole(forcing: xr.Dataset) -> xr.Dataset:
    values = forcing["pr"].copy()
    values[30, 2, 1] = np.nan
    return forcing.assign(pr=values)


def celsius(forcing: xr.Dataset) -> xr.Dataset:
    changed = forcing.copy()
    changed["tas"].attrs["units"] = "degC"
    return changed


def test_pools_are_carried_from_a_stated_year(land_store: Path, tmp_path: Path) -> None:
    model = small_gru(
        memory=5, fluxes=["nbp"], co2_as="log", pools=[1.0, 8.0], start_year=1992
    )
    settings = tiny_settings(model, steps=30, months_per_sample=600)
    path = train(settings, land_store, tmp_path / "run")
    emulator = load_emulator(path)
    found = emulator.predict(tiny_forcing())
    assert str(found["time"][0].dt.strftime("%Y-%m").item()) == "1992-01"
    expected = hindcast(path, land_store).sel(simulation="S2", time=found["time"])
    flat = found["nbp"].to_numpy().reshape(2, found.sizes["time"], -1)
    np.testing.assert_allclose(
        flat[..., expected["cell"].to_numpy()],
        expected["nbp"].to_numpy(),
        rtol=1e-4,
        atol=1e-14,
    )
    # What later months bring changes nothing; what was taken up once is remembered.
    same(
        emulator.predict(tiny_forcing().sel(time=slice(None, "2000"))),
        found.sel(time=slice(None, "2000")),
    )
    warmer = tiny_forcing()
    warmer = warmer.assign(tas=warmer["tas"] + (warmer["time.year"] == 1993))
    changed = emulator.predict(warmer)["nbp"] - found["nbp"]
    assert float(np.abs(changed.sel(time="1992")).max()) <= 1e-14
    assert (np.abs(changed.sel(time="2009")) > 0).any()
    with pytest.raises(
        CheckpointError, match=r"from 1991-08 on, from which pools.* up to 2041-12"
    ):
        emulator.predict(tiny_forcing().sel(time=slice("1993", None)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (drop("pr"), CheckpointError, r"needs the forcing tas, pr, co2, but pr is mis"),
        (drop("co2"), CheckpointError, r"but co2 is missing"),
        (hole, CheckpointError, r"'pr' has no value in 1 of .* first in 1992-07"),
        (celsius, CheckpointError, r"'tas' is in 'degC', but the run learned from 'K'"),
        (
            lambda forcing: forcing.assign_coords(lat=forcing["lat"] + 1),
            CheckpointError,
            r"The run works on 4x8, .* Prepare the forcing on the grid",
        ),
        (
            lambda forcing: forcing.isel(time=slice(0, 9)),
            CheckpointError,
            r"holds no month with all that it depends on before it: up to 16 months",
        ),
        (
            lambda forcing: forcing.drop_isel(time=5),
            TimeAxisError,
            r"1 missing between",
        ),
    ],
)
def test_unfit_forcing_is_refused(
    emulator: Emulator,
    change: Callable[[xr.Dataset], xr.Dataset],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        emulator.predict(change(tiny_forcing()))


def test_unknown_co2_ends_the_answers(emulator: Emulator) -> None:
    forcing = tiny_forcing()
    co2 = forcing["co2"].copy()
    co2[-3:] = np.nan
    found = emulator.predict(forcing.assign(co2=co2))
    assert found["time"].to_index()[-1].strftime("%Y-%m") == "2009-09"


def test_teacher_it_never_saw_is_refused(emulator: Emulator) -> None:
    with pytest.raises(CheckpointError, match=r"never saw the teacher 'CABLE': it lea"):
        emulator.predict(tiny_forcing(), teachers=["CABLE"])


def test_store_of_another_kind_is_refused(emulator: Emulator, land_store: Path) -> None:
    cube = cube_of_run(emulator, land_store)
    with pytest.raises(CheckpointError, match=r"learned from the forcing .* offers"):
        emulator.hindcast(replace(cube, forcing_names=("tas", "vpd")))
    with pytest.raises(CheckpointError, match=r"learned CO2 as level, but .* as rise"):
        emulator.hindcast(replace(cube, co2_as="rise"))
    with pytest.raises(
        CheckpointError, match=r"slow means over \[\] years, but .*\[2\]"
    ):
        emulator.hindcast(replace(cube, slow_years=(2,)))
    fewer = replace(cube, cells=cube.cells[1:])
    with pytest.raises(CheckpointError, match=r"learned \d+ cells of the grid 4x8"):
        emulator.hindcast(fewer)
    other = replace(cube, teachers=("ONE", "THREE"))
    with pytest.raises(CheckpointError, match=r"never saw the teacher 'THREE'"):
        emulator.hindcast(other)


def test_old_damaged_and_missing_checkpoints_are_refused(
    run: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"holds no members/\*/emulator.pt"):
        open_run(tmp_path)
    with pytest.raises(CheckpointError, match=r"There is no checkpoint"):
        load_checkpoint(tmp_path / "emulator.pt")
    path = checkpoint_paths(run)[0]
    content: dict[str, Any] = torch.load(path, weights_only=True)
    assert content["format"] == FORMAT

    changed = tmp_path / "emulator.pt"
    torch.save({**content, "format": 0}, changed)
    with pytest.raises(CheckpointError, match=r"has checkpoint format 0, but this ve"):
        open_run(changed)
    torch.save([1, 2], changed)
    with pytest.raises(CheckpointError, match=r"has checkpoint format None"):
        open_run(changed)
    del content["cells"]
    torch.save(content, changed)
    with pytest.raises(CheckpointError, match=r"lacks parts .*KeyError\('cells'\)"):
        open_run(changed)
    changed.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"is damaged or no checkpoint"):
        open_run(changed)


def test_weights_of_another_version_of_the_network_are_refused(run: Path) -> None:
    found = load_checkpoint(checkpoint_paths(run)[0])
    name, *others = found.weights
    kept = {each: found.weights[each] for each in others}
    about = {**found.about, "code_version": "0.0.7"}
    with pytest.raises(CheckpointError, match=r"version 0\.0\.7 do not fit the n"):
        replace(found, weights=kept, about=about).network()
    assert found.network().state_dict()[name].equal(found.weights[name])


def test_members_of_different_runs_are_refused(run: Path, tmp_path: Path) -> None:
    for seed, path in enumerate(checkpoint_paths(run)):
        content = torch.load(path, weights_only=True)
        content["settings"]["seed"] = seed
        folder = tmp_path / "members" / str(seed)
        folder.mkdir(parents=True)
        torch.save(content, folder / "emulator.pt")
    with pytest.raises(CheckpointError, match=r"was trained with other settings than"):
        open_run(tmp_path)


def test_a_run_whose_training_did_not_end_is_warned_of(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "begun"
    shutil.copytree(run, folder)
    assert load_emulator(folder).missing == 0
    assert not caplog.text
    shutil.rmtree(sorted(folder.glob("members/*"))[1])
    begun = load_emulator(folder)
    assert begun.missing == 1
    said = f"{folder} has 1 of 2 networks: its training did not end. Give its command"
    assert said in caplog.text
    # One network by itself is asked for as such.
    caplog.clear()
    load_emulator(next(folder.glob("members/*/emulator.pt")))
    assert not caplog.text


def test_members_of_one_run_may_come_from_two_machines(
    run: Path, tmp_path: Path
) -> None:
    # A run that was killed goes on wherever it may: its id says the same run.
    for seed, path in enumerate(checkpoint_paths(run)):
        content = torch.load(path, weights_only=True)
        content["settings"]["machine"]["threads"] = seed
        content["settings"]["paths"]["runs"] = f"runs{seed}"
        content["settings"]["logger"]["kind"] = ("csv", "wandb")[seed]
        folder = tmp_path / "members" / str(seed)
        folder.mkdir(parents=True)
        torch.save(content, folder / "emulator.pt")
    assert len(open_run(tmp_path).members) == 2


def test_large_maps_go_through_in_pieces(
    run: Path, land_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = hindcast(run, land_store, years=(2000, 2001))
    pieces = {"cpu": 17 * 4, "cuda": 1}  # four cells of one window at a time
    monkeypatch.setattr("emulator.learning.answering.CELL_MONTHS_AT_ONCE", pieces)
    same(hindcast(run, land_store, years=(2000, 2001)), whole)


def test_ocean_run_answers_for_the_ocean(ocean_store: Path, tmp_path: Path) -> None:
    settings = tiny_settings(data=tiny_data("ocean"), steps=3)
    found = load_emulator(train(settings, ocean_store, tmp_path / "run"))
    assert found.domain == "ocean"
    assert found.fluxes == ("fgco2",)
    assert found.forcing_names == ("tosforc", "sfcWind")
    fluxes = found.predict(tiny_forcing("ocean"))
    assert fluxes["fgco2"].notnull().any()
    with pytest.raises(CheckpointError, match=r"needs the forcing tosforc, sfcWind"):
        found.predict(tiny_forcing("land"))


def test_shorter_store_of_the_same_cells_serves(run: Path, tmp_path: Path) -> None:
    short = tiny_store(tmp_path, last=1999)
    assert hindcast(run, short)["nbp"].notnull().any()
