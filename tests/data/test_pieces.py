"""Stores made in pieces: nothing is made twice, and nothing is made differently.

The small world with a file of the store for each year, and each year a block: its
four years and two simulations are eight pieces of labels, the seven years of two
variables fourteen of forcing.
"""

import dataclasses
import errno
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import GridMismatchError, StoreError, UserError
from emulator.carbon.grid import Grid
from emulator.data import stores, teachers, weather
from emulator.data.computing import DaskSettings, LostWorkersError
from emulator.data.pieces import Earlier, LabelPiece, packed_mask, unpacked_mask
from emulator.data.prepare import prepare, prepare_forcing
from emulator.data.readers import archives, stretches
from emulator.data.readers.stretches import FileSeries
from emulator.data.stores import TRAINING_SCHEMA, open_store
from emulator.data.teachers import Block
from emulator.data.weather import ForcingJob
from tests.data import small_files as small

ONE_BY_ONE = DaskSettings(scheduler="synchronous")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stores, "YEARS_IN_SHARD", 1)
    monkeypatch.setattr(teachers, "BLOCK_BYTES", 1)
    small.make_files(tmp_path)
    return tmp_path


@pytest.fixture
def filled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is read, as simulation and years, as it is read."""
    seen: list[str] = []
    fill = teachers.fill_block

    def told(block: Block) -> Any:
        done = fill(block)
        first, last = block.years
        seen.append(f"{block.entry.name} {block.simulation} {first}-{last}")
        return done

    monkeypatch.setattr(teachers, "fill_block", told)
    return seen


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return which pieces of forcing are read, as variable and number."""
    seen: list[str] = []
    fill = weather.fill_forcing

    def listed(job: ForcingJob) -> Any:
        seen.extend(f"{job.variable} {number}" for number, _ in job.pieces)
        return fill(job)

    monkeypatch.setattr(weather, "fill_forcing", listed)
    return seen


def made(root: Path, place: str = "stores", **changes: Any) -> Path:
    return prepare(
        small.settings(**changes),
        data_root=root,
        stores_root=root / place,
        catalog_dirs=[root / "catalog"],
        dask=ONE_BY_ONE,
    )


def opened(path: Path) -> xr.Dataset:
    return open_store(path, TRAINING_SCHEMA).load()


def files_of(store: Path) -> dict[str, bytes]:
    """Return the files of the arrays: what a store says of itself holds the time."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and "c" in path.relative_to(store).parts
    }


def assert_same(one: Path, other: Path) -> None:
    assert files_of(one) == files_of(other)
    first, second = opened(one), opened(other)
    for attrs in (first.attrs, second.attrs):
        for name in ("code_version", "history", "pieces_reused"):
            attrs.pop(name)
    xr.testing.assert_identical(first, second)


def reused(store: Path) -> dict[str, list[str]]:
    said: dict[str, list[str]] = json.loads(opened(store).attrs["pieces_reused"])
    return said


def label_notes(store: Path) -> list[dict[str, Any]]:
    said = json.loads((store / stores.PIECES_FILE).read_text())
    return [note for note in said if "nbp" in note["files"]]


FORCING_PIECES = 14
FORCING_YEARS = [f"{name} {year}" for name in ("tas", "pr") for year in range(7)]
EVERY_YEAR = [f"one {s} {y}-{y}" for s in ("S0", "S2") for y in range(2000, 2004)]


def by_year(root: Path, last: int = 2003, **entry: Any) -> None:
    """Write a file for each year instead of one for all."""
    for simulation in ("S0", "S2"):
        values = small.labels(simulation)
        values[:, small.LAND == 0] = np.nan
        for year in range(2000, last + 1):
            begin = 12 * (year - 2000)
            path = small.write_labels(
                root / "one",
                simulation,
                values[begin : begin + 12],
                time=small.noleap_days(year, 12),
            )
            path.rename(path.with_name(f"ONE_{simulation}_nbp_{year}.nc"))
    files = "{simulation}/ONE_{simulation}_{variable}_*.nc"
    small.declare(root, small.ONE, files=files, years=[2000, last], **entry)


def per_cell(root: Path) -> None:
    """Add a teacher that gives fluxes per unit of the whole cell."""
    for simulation in ("S0", "S2"):
        values = small.labels(simulation) * small.LAND
        values[:, small.LAND == 0] = np.nan
        small.write_labels(root / "two", simulation, values)
    said = {"name": "two", "label": "TWO", "root": "two"}
    files = "{simulation}/TWO_{simulation}_{variable}.nc"
    fraction = {"treatment": "none"}
    small.declare(root, small.ONE, **said, files=files, land_fraction=fraction)


# --- the same, however it is cut ---------------------------------------------------


@pytest.mark.parametrize("step", [None, 60.0])
def test_blocks_of_years_make_the_store_of_the_whole_series(
    root: Path,
    filled: list[str],
    step: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks = made(root, "blocks", grid_step=step)
    assert filled == EVERY_YEAR
    monkeypatch.setattr(teachers, "BLOCK_BYTES", 2**27)
    whole = made(root, "whole", grid_step=step)
    assert filled[8:] == ["one S0 2000-2003", "one S2 2000-2003"]
    assert_same(blocks, whole)


def test_as_many_years_make_a_block_as_fit(
    root: Path, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A year of 6 x 12 cells takes 12 x 72 x 4 bytes; three fit.
    monkeypatch.setattr(teachers, "BLOCK_BYTES", 3 * 12 * 72 * 4)
    made(root)
    assert filled[:2] == ["one S0 2000-2002", "one S0 2003-2003"]


def test_threads_make_the_same_store(root: Path) -> None:
    alone = made(root, "alone")
    together = prepare(
        small.settings(),
        data_root=root,
        stores_root=root / "together",
        catalog_dirs=[root / "catalog"],
        dask=DaskSettings(workers=3),
    )
    assert_same(alone, together)


def test_files_of_years_make_the_same_labels(root: Path) -> None:
    one = opened(made(root, "one_file"))
    by_year(root)
    for path in (root / "one").rglob("ONE_S?_nbp.nc"):
        path.unlink()
    several = opened(made(root, "many_files"))
    np.testing.assert_array_equal(one["nbp"], several["nbp"])
    sources = json.loads(several["nbp"].attrs["sources"])
    names = [f"ONE_S2_nbp_{year}.nc" for year in range(2000, 2004)]
    assert sources[1]["source_file"] == " ".join(names)
    assert len(set(sources[1]["sha256"].split())) == 4


# --- taken over from other stores --------------------------------------------------


def test_of_an_added_teacher_alone_is_read(root: Path, filled: list[str]) -> None:
    first = made(root)
    per_cell(root)
    filled.clear()
    second = made(root, teachers=["two", "one"])
    assert {said.split()[0] for said in filled} == {"two"}
    years = ", ".join(f"{year}-{year}" for year in range(2000, 2004))
    taken = reused(second)[first.name]
    assert taken[2:] == [f"ONE S0 {years}", f"ONE S2 {years}"]
    assert [said.split(",")[0] for said in taken[:2]] == [
        "tas 1998-01 to 1998-12",
        "pr 1998-01 to 1998-12",
    ]
    assert_same(second, made(root, "anew", teachers=["two", "one"]))


def test_files_are_shared_with_the_earlier_store(root: Path) -> None:
    first = made(root)
    per_cell(root)
    second = made(root, teachers=["two", "one"])
    one = first / "nbp/c/1/0/2/0/0"
    assert one.samefile(second / "nbp/c/1/1/2/0/0")


def test_of_an_added_year_alone_is_read(root: Path, filled: list[str]) -> None:
    by_year(root, last=2002)
    made(root, years=[2000, 2002])
    by_year(root)
    filled.clear()
    second = made(root)
    assert filled == ["one S0 2003-2003", "one S2 2003-2003"]
    assert_same(second, made(root, "anew"))


def test_gates_judge_years_that_were_taken_over(root: Path) -> None:
    by_year(root)
    made(root)
    # Nothing is read again; what was measured then is judged by the entry of now.
    small.declare(
        root,
        small.ONE,
        files="{simulation}/ONE_{simulation}_{variable}_*.nc",
        gates={"range": "nothing fails"},
    )
    again = opened(made(root))
    assert again.attrs["gates_overridden"] == "[]"
    assert json.loads(again.attrs["gross_flux_kept"]) == {"ONE": {"S0": 1.0, "S2": 1.0}}


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({"history_years": 2}, 0),
        ({"grid_step": 60.0}, 8),
        ({"forcing_variables": ["pr"]}, 0),
        ({"static_variables": []}, 0),
    ],
)
def test_what_changes_labels_makes_them_anew(
    root: Path, filled: list[str], change: dict[str, Any], count: int
) -> None:
    made(root)
    filled.clear()
    made(root, **change)
    assert len(filled) == count


def test_files_of_the_store_that_begin_with_other_years_are_made_anew(
    root: Path, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "YEARS_IN_SHARD", 2)
    first = opened(made(root))
    assert filled[:3] == ["one S0 2000-2000", "one S0 2001-2002", "one S0 2003-2003"]
    filled.clear()
    second = opened(made(root, history_years=2))
    assert filled[:2] == ["one S0 2000-2001", "one S0 2002-2003"]
    xr.testing.assert_equal(second["nbp"][..., 12:, :, :], first["nbp"])


def test_a_changed_file_is_read_again(root: Path, filled: list[str]) -> None:
    made(root)
    values = small.labels("S2") * 1.5
    values[:, small.LAND == 0] = np.nan
    small.write_labels(root / "one", "S2", values)
    filled.clear()
    path = made(root, name="other")
    assert filled == EVERY_YEAR[4:]
    store = opened(path).sel(simulation="S2", teacher="ONE", time="2001-07-01")
    np.testing.assert_array_equal(store["nbp"][:, 0], values[18, :, 0].astype("f4"))


def test_another_declaration_makes_them_anew(root: Path, filled: list[str]) -> None:
    made(root)
    filled.clear()
    small.declare(root, small.ONE, citation="Somebody (2026)")
    made(root)
    assert filled == []
    small.declare(root, small.ONE, variables={"nbp": {"scale": 1.5}})
    made(root)
    assert filled == EVERY_YEAR


def test_other_code_makes_them_anew(
    root: Path, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made(root)
    filled.clear()
    monkeypatch.setattr("emulator.data.pieces._code", lambda: "mended")
    made(root, name="other")
    assert filled == EVERY_YEAR


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"0")])
def test_a_damaged_piece_is_made_anew(
    root: Path, filled: list[str], damage: Callable[[Path], object]
) -> None:
    first = made(root)
    filled.clear()
    damage(first / "nbp/c/1/0/3/0/0")
    made(root, name="other")
    assert filled == ["one S2 2002-2002"]


def test_notes_that_cannot_be_read_are_passed_over(
    root: Path, filled: list[str]
) -> None:
    first = made(root)
    notes = first / stores.PIECES_FILE
    said = label_notes(first)
    said[0] = {"identity": said[0]["identity"], "years": "then"}
    notes.write_text(json.dumps([*said, "nothing"]))
    filled.clear()
    made(root, name="other")
    assert len(filled) == 1
    notes.write_text("[")
    made(root, name="third")
    assert len(filled) == 1  # from the second


def test_a_note_without_its_store_is_no_piece(root: Path) -> None:
    first = made(root)
    said = label_notes(first)[0]
    earlier = Earlier(root / "stores", first)
    (first / said["files"]["nbp"]["path"]).unlink()
    paths = {"nbp": "nbp/c/0/0/0/0/0"}
    assert earlier.take(LabelPiece, said["identity"], root, paths) is None
    assert earlier.take(LabelPiece, "unknown", root, paths) is None


def test_masks_are_kept() -> None:
    mask = np.random.default_rng(0).random((7, 9)) < 0.5
    np.testing.assert_array_equal(unpacked_mask(packed_mask(mask)), mask)


# --- forcing -----------------------------------------------------------------------


def weather_by_year(root: Path, last: int = 2004, **entry: Any) -> None:
    """Write forcing with a file for each year instead of one for all."""
    for name, units in (("tas", "K"), ("pr", "kg m-2 s-1")):
        (root / f"{name}.nc").unlink(missing_ok=True)
        for year in range(1998, last + 1):
            begin = 12 * (year - 1998)
            small.write(
                root / f"{name}_{year}.nc",
                name,
                small.forcing(name)[begin : begin + 12].astype("f4"),
                lat=small.GRID.lat,
                lon=small.GRID.lon,
                time=small.noleap_days(year, 12),
                units=units,
            )
    said = {"files": "{variable}_*.nc", "years": [1998, None]} | entry
    small.declare(root, small.WEATHER, **said)


@pytest.mark.parametrize("step", [None, 60.0])
def test_forcing_in_pieces_is_that_of_one(
    root: Path, told: list[str], step: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretches, "STRETCH_BYTES", 1)
    pieces = opened(made(root, "pieces", grid_step=step))
    assert told == FORCING_YEARS
    monkeypatch.setattr(stores, "YEARS_IN_SHARD", 10)
    monkeypatch.setattr(stretches, "STRETCH_BYTES", 2**27)
    whole = opened(made(root, "whole", grid_step=step))
    assert told[14:] == ["tas 0", "pr 0"]
    for name in ("tas", "pr"):
        np.testing.assert_array_equal(pieces[name], whole[name])
        assert pieces[name].attrs == whole[name].attrs


def test_forcing_is_taken_over(root: Path, told: list[str]) -> None:
    first = made(root)
    told.clear()
    second = made(root, fluxes=["nbp"], history_years=2)
    assert told == []
    assert (first / "tas/c/3/0/0").samefile(second / "tas/c/3/0/0")


def test_forcing_of_nights_shares_that_of_training(root: Path, told: list[str]) -> None:
    first = made(root)
    told.clear()
    second = prepare_forcing(
        small.forcing_settings(),
        data_root=root,
        stores_root=root / "stores",
        catalog_dirs=[root / "catalog"],
        dask=ONE_BY_ONE,
    )
    assert told == []
    assert (first / "tas/c/6/0/0").samefile(second / "tas/c/6/0/0")


def test_of_an_added_year_of_forcing_alone_is_read(root: Path, told: list[str]) -> None:
    weather_by_year(root, last=2003)
    made(root)
    weather_by_year(root)
    told.clear()
    second = made(root, name="longer")
    assert told == ["tas 6", "pr 6"]
    names = [f"pr_{year}.nc" for year in range(1998, 2005)]
    assert opened(second)["pr"].attrs["source_file"] == " ".join(names)
    assert_same(second, made(root, "anew", name="longer"))


def test_changed_forcing_is_read_again(root: Path, told: list[str]) -> None:
    weather_by_year(root)
    made(root)
    path = root / "tas_2001.nc"
    warmer = small.forcing("tas")[36:48].astype("f4") + 1
    where = {"lat": small.GRID.lat, "lon": small.GRID.lon, "units": "K"}
    small.write(path, "tas", warmer, time=small.noleap_days(2001, 12), **where)
    told.clear()
    store = opened(made(root, name="other"))
    assert told == ["tas 3"]
    np.testing.assert_array_equal(store["tas"][36:48], warmer)


def test_the_piece_that_ends_with_a_climatology_is_not_shared(
    root: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "YEARS_IN_SHARD", 2)
    plain = made(root, "stores")
    before = files_of(plain)
    spans = small.ONE["simulations"] | {
        "S0": {
            "weather": [{"years": [1700, None], "climatology": [1999, 2001]}],
            "co2": {"constant": 280.0},
        }
    }
    small.declare(root, small.ONE, simulations=spans)
    told.clear()
    store = made(root)
    # Of 1998 to 2004 the last year shares its file with the climatology.
    assert told == ["tas 3", "pr 3"]
    assert files_of(plain) == before
    mean = small.forcing("tas")[12:48].reshape(3, 12, 6, 12).mean(axis=0)
    np.testing.assert_allclose(opened(store)["tas"][-12:], mean, rtol=1e-6)
    assert_same(store, made(root, "anew"))


def test_forcing_that_changes_meanwhile_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = weather.fill_forcing

    def while_it_is_sent_again(job: ForcingJob) -> Any:
        done = fill(job)
        path = root / "tas.nc"
        path.write_bytes(path.read_bytes() + b"0")
        return done

    monkeypatch.setattr(weather, "fill_forcing", while_it_is_sent_again)
    with pytest.raises(UserError, match="Files of the forcing changed while"):
        made(root)
    assert not list((root / "stores").iterdir())


def test_forcing_whose_months_vanish_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fewer(series: FileSeries, months: Any) -> Any:
        for part in read(series, months):
            yield dataclasses.replace(part, field=part.field[1:])

    read = FileSeries.stretches
    monkeypatch.setattr(FileSeries, "stretches", fewer)
    with pytest.raises(UserError, match=r"tas\.nc, with 1998-02 where 1998-01 was,"):
        made(root)


def test_forcing_of_other_years_on_another_grid_is_refused(root: Path) -> None:
    weather_by_year(root)
    other = Grid.regular(45.0)
    field = np.full((12, *other.shape), 280.0, "f4")
    where = {"lat": other.lat, "lon": other.lon, "units": "K"}
    time = small.noleap_days(2004, 12)
    small.write(root / "tas_2004.nc", "tas", field, time=time, **where)
    message = r"'tas' of 'weather' is on a grid of 4x8, 45 degree in tas_2004\.nc"
    with pytest.raises(GridMismatchError, match=message):
        made(root, grid_step=60.0)


def test_a_killed_run_keeps_its_forcing(root: Path, told: list[str]) -> None:
    kill_half_way(root)
    made(root)
    assert told == []


# --- stopped and begun again -------------------------------------------------------

KILLED = """
    import os, signal, sys
    from pathlib import Path
    from emulator.data import stores, teachers
    from emulator.data.computing import DaskSettings
    from emulator.data.prepare import prepare
    from tests.data import small_files as small

    stores.YEARS_IN_SHARD, teachers.BLOCK_BYTES = 1, 1
    write, blocks = teachers.Place.write, []

    def once_more(*args):
        write(*args)
        blocks.append(args)
        if len(blocks) == 6:
            os.kill(os.getpid(), signal.SIGKILL)

    teachers.Place.write = once_more
    root = Path(sys.argv[1])
    prepare(small.settings(), data_root=root, stores_root=root / "stores",
            catalog_dirs=[root / "catalog"], dask=DaskSettings(scheduler="synchronous"))
"""


def kill_half_way(root: Path) -> Path:
    """Kill a run before the sixth piece is noted; return what it leaves."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(KILLED), root],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert run.returncode == -9, run.stderr
    (left,) = (root / "stores").iterdir()
    assert ".zarr.partial-" in left.name
    return left


def test_a_killed_run_is_gone_on_with(root: Path, filled: list[str]) -> None:
    left = kill_half_way(root)
    assert len(stores.finished(left)) == FORCING_PIECES + 5
    path = made(root)
    assert filled == EVERY_YEAR[5:]
    assert [p.name for p in (root / "stores").iterdir()] == [path.name]
    assert not (path / stores.PIECES_FOLDER).exists()
    assert reused(path) == {}
    assert_same(path, made(root, "uninterrupted"))


def test_a_piece_that_a_power_cut_spoiled_is_made_anew(
    root: Path, filled: list[str]
) -> None:
    left = kill_half_way(root)
    (left / "nbp/c/0/0/2/0/0").write_bytes(b"")
    path = made(root)
    assert filled == ["one S0 2001-2001", *EVERY_YEAR[5:]]
    assert_same(path, made(root, "uninterrupted"))


def test_what_a_killed_run_left_serves_another_store(
    root: Path, filled: list[str]
) -> None:
    left = kill_half_way(root)
    path = made(root, name="other")
    assert filled == EVERY_YEAR[5:]
    (name,) = reused(path)
    assert name == left.name.partition(".partial-")[0].removeprefix(".")


def test_a_refusal_leaves_nothing_of_a_killed_run_either(root: Path) -> None:
    kill_half_way(root)
    small.write_labels(root / "one", "S2", 1e3 * small.labels("S2"))
    with pytest.raises(UserError, match="PgC"):
        made(root)
    assert not list((root / "stores").iterdir())


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            StoreError,
            r"disk is full.* removed, but for 19 finished pieces with which the next",
        ),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (LostWorkersError("no memory"), LostWorkersError, "no memory"),
    ],
    ids=["full", "Ctrl-C", "workers"],
)
def test_pieces_outlive_a_full_disk_and_a_keyboard(
    root: Path,
    filled: list[str],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
    message: str | None,
) -> None:
    def fail(*_: object) -> None:
        if len(filled) == 5:
            raise error
        write(*_)

    write = teachers.Place.write
    with monkeypatch.context() as patch:
        patch.setattr(teachers.Place, "write", fail)
        with pytest.raises(raised, match=message):
            made(root)
    (left,) = (root / "stores").iterdir()
    files = {path.name for path in left.rglob("*") if path.is_file()}
    assert "zarr.json" not in files
    assert sum(path.is_file() for path in left.rglob("*")) == 2 * 19
    path = made(root)
    assert filled == EVERY_YEAR
    assert_same(path, made(root, "uninterrupted"))


# --- files that are packed, that change, that differ -------------------------------


def test_an_archive_is_unpacked_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = made(root, "plain")
    for path in (root / "one").rglob("*.nc"):
        subprocess.run(["gzip", path], check=True)
    files = small.ONE["files"] + ".gz"
    small.declare(root, small.ONE, files=files)
    seen: list[Path] = []
    unpack = archives._unpack

    def told(path: Path, *how: Any) -> None:
        seen.append(path)
        unpack(path, *how)

    monkeypatch.setattr(archives, "_unpack", told)
    packed = made(root, "packed", grid_step=30.0)
    assert sorted(path.name for path in seen) == [
        f"ONE_{simulation}_nbp.nc.gz" for simulation in ("S0", "S2")
    ]
    assert files_of(packed) == files_of(plain)


def test_a_file_that_changes_between_blocks_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = teachers.fill_block

    def while_it_is_sent_again(block: Block) -> Any:
        done = fill(block)
        if block.years == (2001, 2001):
            small.write_labels(root / "one", block.simulation)
            path = root / "one" / "S0" / "ONE_S0_nbp.nc"
            path.write_bytes(path.read_bytes() + b"0")
        return done

    monkeypatch.setattr(teachers, "fill_block", while_it_is_sent_again)
    with pytest.raises(UserError, match=r"'one', simulation 'S0', changed while"):
        made(root)
    assert not list((root / "stores").iterdir())


def test_files_of_other_years_on_another_grid_are_refused(root: Path) -> None:
    by_year(root)
    other = Grid.regular(45.0)
    values = np.full((12, *other.shape), 1e-10)
    when = small.noleap_days(2003, 12)
    path = small.write_labels(root / "one", "S0", values, grid=other, time=when)
    path.replace(path.with_name("ONE_S0_nbp_2003.nc"))
    small.declare(
        root,
        small.ONE,
        files="{simulation}/ONE_{simulation}_{variable}_*.nc",
        land_fraction={"treatment": "none"},
    )
    with pytest.raises(
        GridMismatchError, match=r"4x8, 45 degree in 2003-2003, but of 6x12"
    ):
        made(root, grid_step=60.0)


def test_a_worker_that_does_not_see_the_store_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = teachers.fill_block

    def elsewhere(block: Block) -> Any:
        place = dataclasses.replace(block.place, stage=root / "not" / "shared")
        return fill(dataclasses.replace(block, place=place))

    monkeypatch.setattr(teachers, "fill_block", elsewhere)
    with pytest.raises(UserError, match=r"does not see .*not/shared.*paths\.stores"):
        made(root)
