import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import StoreError
from emulator.data.stores import (
    FORCING_SCHEMA,
    TRAINING_SCHEMA,
    Empty,
    code_version,
    filling,
    open_store,
    staged,
    write_store,
)
from tests.worlds import tiny_world


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_store_comes_back_as_it_was(tmp_path: Path) -> None:
    world = tiny_world("ocean")
    path = write_store(world, tmp_path / "made" / "world.zarr")
    assert left(path.parent) == ["world.zarr"]
    xr.testing.assert_equal(open_store(path, TRAINING_SCHEMA).load(), world)
    found = xr.open_zarr(path)
    assert found.attrs == world.attrs
    assert found["time"].dtype == "M8[ns]"
    assert found["nbp" if "nbp" in found else "fgco2"].dtype == "f4"


def test_small_maps_lie_in_chunks_of_a_year_and_shards_of_ten(tmp_path: Path) -> None:
    path = write_store(tiny_world(), tmp_path / "world.zarr")
    encoding = xr.open_zarr(path)["nbp"].encoding
    assert encoding["chunks"] == (1, 1, 12, 4, 8)
    assert encoding["shards"] == (1, 1, 120, 4, 8)
    # 22 years are three files of each of two teachers in each of three simulations.
    files = [p for p in (path / "nbp").rglob("*") if p.is_file()]
    assert len(files) == 3 * 2 * 3 + 1


@pytest.mark.parametrize(
    ("months", "grid", "chunk", "shard"),
    [(24, (180, 360), 1, 24), (130, (96, 192), 3, 120), (13, (4, 8), 12, 24)],
)
def test_chunk_of_a_large_map_is_one_month(
    tmp_path: Path, months: int, grid: tuple[int, int], chunk: int, shard: int
) -> None:
    # 180 x 360 x 4 bytes are 259 kB, 96 x 192 x 4 are 74 kB: three of them fit 2^18.
    values = np.full((months, *grid), np.nan, "f4")
    values[-1] = 1
    path = write_store(
        xr.Dataset({"tas": (("time", "lat", "lon"), values)}), tmp_path / "large.zarr"
    )
    opened = xr.open_zarr(path)["tas"]
    assert opened.encoding["chunks"] == (chunk, *grid)
    assert opened.encoding["shards"] == (shard, *grid)
    np.testing.assert_array_equal(opened, values)


def test_months_without_labels_take_no_space(tmp_path: Path) -> None:
    world = tiny_world()
    world["nbp"].values[0] = np.nan
    path = write_store(world, tmp_path / "world.zarr")
    assert not (path / "nbp" / "c" / "0").exists()
    assert np.isnan(open_store(path, TRAINING_SCHEMA)["nbp"][0]).all()


def test_existing_store_is_never_overwritten(tmp_path: Path) -> None:
    path = write_store(tiny_world(), tmp_path / "world.zarr")
    with pytest.raises(StoreError, match="exists already and is never overwritten"):
        write_store(tiny_world(seed=1), path)
    xr.testing.assert_equal(open_store(path, TRAINING_SCHEMA).load(), tiny_world())


def test_missing_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no Zarr store at .*absent\.zarr"):
        open_store(tmp_path / "absent.zarr", TRAINING_SCHEMA)


def test_damaged_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.zarr"
    path.mkdir()
    (path / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match=r"bad\.zarr is no readable store"):
        open_store(path, TRAINING_SCHEMA)


def test_store_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = write_store(tiny_world(), tmp_path / "world.zarr")
    with pytest.raises(StoreError, match=r"'training-store/2', but 'forcing-store/2'"):
        open_store(path, FORCING_SCHEMA)


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with staged(tmp_path / "world") as stage:
            (stage / "half").write_text("written")
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        fail()
    assert left(tmp_path) == []


def test_stage_of_a_killed_writer_is_removed_and_of_a_living_one_is_kept(
    tmp_path: Path,
) -> None:
    (tmp_path / ".world.partial-1").mkdir()
    with staged(tmp_path / "world") as stage:
        assert left(tmp_path) == [stage.name]
        waits = "import fcntl, os, sys; " + (
            "h = os.open(sys.argv[1], os.O_RDONLY); fcntl.flock(h, fcntl.LOCK_EX); "
            "print('held', flush=True); sys.stdin.read()"
        )
        living = tmp_path / ".world.partial-2"
        living.mkdir()
        with subprocess.Popen(
            [sys.executable, "-c", waits, str(living)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            with staged(tmp_path / "other"):
                pass
            assert living.exists()
            writer.communicate(b"")
    assert left(tmp_path) == [".world.partial-2", "other", "world"]


def test_unwritable_place_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match=r"cannot be written \(Not a directory\)"):
        write_store(tiny_world(), tmp_path / "file" / "world.zarr")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_forbidden_place_is_explained(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match=r"cannot be written \(Permission denied\)"):
        write_store(tiny_world(), tmp_path / "world.zarr")


IN_A_NAMESPACE = """
    import subprocess, sys
    from pathlib import Path
    from emulator.carbon.errors import StoreError
    from emulator.data.stores import write_store
    from tests.worlds import tiny_world

    place = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", sys.argv[2], "none", place],
                   check=True)
    try:
        write_store(tiny_world(), place / "world.zarr")
    except StoreError as error:
        sys.stdout.write(f"{error}\\n{sorted(p.name for p in place.iterdir())}\\n")
"""


def in_a_namespace(place: Path, options: str) -> str:
    """Write a store on a file system of its own and return what was said of it."""
    allowed = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", place],
        capture_output=True,
        check=False,
    )
    if allowed.returncode:
        pytest.skip(f"no user namespaces here: {allowed.stderr.decode().strip()}")
    script = textwrap.dedent(IN_A_NAMESPACE)
    run = subprocess.run(
        ["unshare", "-rm", sys.executable, "-W", "error", "-c", script, place, options],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_full_disk_is_explained_and_leaves_nothing(tmp_path: Path) -> None:
    said = in_a_namespace(tmp_path, "size=64k")
    assert "The disk is full" in said
    assert "world.zarr could not be written" in said
    assert "paths.stores" in said
    assert said.splitlines()[-1] == "[]"


def test_read_only_disk_is_explained(tmp_path: Path) -> None:
    said = in_a_namespace(tmp_path, "ro")
    assert "cannot be written (Read-only file system)" in said
    assert said.splitlines()[-1] == "[]"


def test_large_variable_is_filled_piece_by_piece(tmp_path: Path) -> None:
    world = tiny_world()
    dims, labels = world["nbp"].dims, world["nbp"].to_numpy()
    empty = {"nbp": Empty(tuple(map(str, dims)), labels.shape, {"units": "kg"})}
    with filling(world.drop_vars("nbp"), empty, tmp_path / "world.zarr") as group:
        group["nbp"][2, 1] = labels[2, 1]
        group["nbp"].attrs["said"] = "afterwards"
        group.attrs["also"] = "this"
    found = xr.open_zarr(tmp_path / "world.zarr")
    np.testing.assert_array_equal(found["nbp"][2, 1], labels[2, 1])
    assert np.isnan(found["nbp"][0]).all()
    assert found["nbp"].dims == dims
    assert found["nbp"].attrs == {"units": "kg", "said": "afterwards"}
    assert found["nbp"].encoding["shards"] == (1, 1, 120, 4, 8)
    assert found.attrs == world.attrs | {"also": "this"}


def test_version_names_the_commit_of_a_checkout() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", code_version())
