import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

import emulator
from emulator.carbon.errors import LockError
from emulator.data import repository
from emulator.nightly import archive
from emulator.nightly.places import ARCHIVE, EXPORTS, MIRROR

from . import faults

CHECKOUT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-W", "error", "-m", "tests.nightly.faults")


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_kill_at_any_moment_leaves_a_whole_night(tmp_path: Path) -> None:
    left = json.loads(run(*PROGRAM, "kill", tmp_path, str(faults.KILLS), "0"))
    assert sum(left.values()) == faults.KILLS
    assert len(left) > 1, left  # not all at the same stage


def test_full_disk_leaves_the_last_night(tmp_path: Path) -> None:
    allowed = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", tmp_path],
        capture_output=True,
        check=False,
    )
    if allowed.returncode:
        pytest.skip(f"no user namespaces here: {allowed.stderr.decode().strip()}")
    # From nothing, over the stages of commit and export, to enough for all of it.
    sizes = [0, 4, 16, 40, 80, 120, 160, 240, 400, 600, 4000]
    mount = 'mount -t tmpfs -o size=16m none "$0" && exec "$@"'
    told = run(
        "unshare", "-rm", "sh", "-c", mount, tmp_path,
        *PROGRAM, "fill", tmp_path, *(str(1000 * size) for size in sizes),
    )  # fmt: skip
    said = json.loads(told)
    assert set(said) == {"full", "done"}, said
    assert said[0] == "full"
    assert said[-1] == "done"


def test_second_writer_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    first = faults.commit(tmp_path, 1)
    with (
        repository.writing(tmp_path / ARCHIVE),
        pytest.raises(LockError, match="Another process is writing"),
    ):
        faults.commit(tmp_path, 2)
    assert archive.last_night(tmp_path / ARCHIVE).snapshot == first
    second = faults.commit(tmp_path, 2)
    found = [night.snapshot for night in archive.nights(tmp_path / ARCHIVE)]
    assert found == [first, second]


def test_open_map_stays_one_version_while_nights_pass(tmp_path: Path) -> None:
    faults.night(tmp_path, 1)
    held = {
        "archive": emulator.open_sink(tmp_path),
        "mirror": emulator.open_sink(tmp_path / MIRROR),
        "vintage": emulator.open_sink(tmp_path, as_of="2002-01-01T00:00:01"),
    }
    archive.tag_vintage(tmp_path / ARCHIVE, "v1")  # else retention would remove it
    resolved = xr.open_zarr(os.path.realpath(tmp_path / MIRROR))
    for number in range(2, faults.PUBLISHES + 2):
        faults.night(tmp_path, number)
        if number <= faults.KEEP:  # exports that stay, the newest one included
            assert faults.number_of(resolved.copy()) == 1
        for sink_map in held.values():
            assert faults.number_of(sink_map.copy()) == 1
    assert faults.number_of(emulator.open_sink(tmp_path)) == faults.PUBLISHES + 1


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_everything_is_on_disk_before_it_gets_its_name(tmp_path: Path) -> None:
    log, root = tmp_path / "log", tmp_path / "nightly"
    calls = "fsync,rename,renameat,renameat2,link,linkat"
    strace = ("strace", "-f", "-qq", "-y", "-s", "400", "-e", calls, "-o", log)
    run(*strace, *PROGRAM, "night", root, "1")
    # Calls of several threads are cut in two where they meet; the ends say nothing.
    lines = [line for line in log.read_text().splitlines() if " = -1" not in line]
    synced = {
        found[1]: number
        for number, line in reversed(list(enumerate(lines)))
        if (found := re.search(r"fsync\(\d+<([^>]+)>", line))
    }

    renames = [(n, line) for n, line in enumerate(lines) if "fsync" not in line]

    def named(pattern: str) -> int:
        """Return when something last took a name that fits."""
        fits = [number for number, line in renames if re.search(pattern, line)]
        assert fits, f"nothing took the name {pattern}"
        return fits[-1]

    # The archive: all that the branch points to, then the branch.
    branch = named(r"branch\.main/ref\.json\"")
    parts = ["chunks", "manifests", "snapshots", "transactions"]
    inside = [path for part in parts for path in (root / ARCHIVE / part).glob("*")]
    assert all(synced[str(path)] < branch for path in inside)

    # The export: all files and folders of the stage, its name, the folder, the link.
    (export,) = (root / EXPORTS).iterdir()
    moved = named(rf"\.partial-\d+\".*/{export.name}\"")
    stage = next(
        name
        for name in synced
        if name.endswith(tuple("0123456789")) and ".partial-" in name
    )
    for path in [export, *export.rglob("*")]:
        staged = str(path).replace(str(export), stage)
        assert synced[staged] < moved, path
    current = named(r"/current\"")
    assert moved < synced[str(root / EXPORTS)] < current
    assert any(
        number > current and f"<{root}>" in line and "fsync" in line
        for number, line in enumerate(lines)
    )
