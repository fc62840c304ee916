import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import emulator
from emulator.carbon.errors import LockError, SourceError
from emulator.data import repository
from emulator.nightly import archive, journal, night
from emulator.nightly.night_settings import NightSettings, NightSource
from emulator.nightly.places import ARCHIVE, EXPORTS, MIRROR
from tests.data import servers
from tests.data.centres import TRUTH, Centre, Change

from . import faults
from .deployments import UNTIL, Deployment

CHECKOUT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-W", "error", "-m", "tests.nightly.faults")
WHOLE = (sys.executable, "-W", "error", "-m", "tests.nightly.whole")

Record = Callable[[str, object], None]


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def copied(first: Deployment, folder: Path) -> tuple[Path, Path]:
    """Return a copy of a deployment, and the folder of its runs."""
    runs = Path(str(first.settings.land)).parent
    return shutil.copytree(first.root, folder / "nightly", symlinks=True), runs


@pytest.mark.slow
def test_kill_of_a_whole_night_leaves_the_last_one(
    first: Deployment, tmp_path: Path, record_property: Record
) -> None:
    kills = str(faults.KILLS)
    done = json.loads(run(*WHOLE, "kill", *copied(first, tmp_path), kills, "0"))
    stages = done["killed after"]
    assert sum(stages.values()) >= faults.KILLS
    assert len(stages) > 1, stages  # not all at the same stage
    assert done["opened"] > 0
    told = ", ".join(f"{count} after '{stage}'" for stage, count in stages.items())
    record_property("count", sum(stages.values()))
    record_property("of", f"{told}; {done['opened']} maps opened meanwhile")


def test_kill_while_publishing_leaves_a_whole_night(
    tmp_path: Path, record_property: Record
) -> None:
    left = json.loads(
        run(*PROGRAM, "kill", tmp_path, str(faults.KILLS_PUBLISHING), "0")
    )
    assert sum(left.values()) == faults.KILLS_PUBLISHING
    assert len(left) > 1, left  # not all at the same stage
    record_property("count", sum(left.values()))
    record_property("of", ", ".join(f"{n} {stage}" for stage, n in left.items()))


def test_second_of_two_nights_does_nothing(first: Deployment, tmp_path: Path) -> None:
    said = json.loads(run(*WHOLE, "twice", *copied(first, tmp_path)))
    assert "1 months predicted" in said[0]
    assert said[1] == "locked"


def in_namespace(script: str, *command: str | Path) -> str:
    """Run a program as root of a name space of its own, after a script."""
    outside = ("unshare", "-rm", "sh", "-ec")
    allowed = subprocess.run([*outside, "mount -t tmpfs none /mnt"], check=False)
    if allowed.returncode:
        pytest.skip("no user namespaces here")
    return run(*outside, f'{script}; exec "$@"', "sh", *command)


@pytest.mark.slow
def test_full_disk_at_any_point_of_a_night_keeps_the_last_one(
    first: Deployment, tmp_path: Path, record_property: Record
) -> None:
    whole, runs = copied(first, tmp_path)
    disk = tmp_path / "disk"
    disk.mkdir()
    # Room for some nights and what is thrown away of others.
    script = f"mount -t tmpfs -o size=64m none {disk}; cp -a {whole}/. {disk}"
    points = str(faults.DISKS)
    ended = json.loads(in_namespace(script, *WHOLE, "fill", disk, runs, points))
    full = {place: count for place, count in ended.items() if place != "done"}
    assert sum(full.values()) >= faults.DISKS // 2, ended
    assert len(full) > 1, ended
    record_property("count", sum(full.values()))
    record_property("of", ", ".join(f"{n} in {place}" for place, n in full.items()))


def test_read_only_disk_is_explained_and_the_map_stays(
    first: Deployment, tmp_path: Path
) -> None:
    root, runs = copied(first, tmp_path)
    script = f"mount --bind {root} {root}; mount -o remount,bind,ro {root}"
    found = json.loads(in_namespace(script, *WHOLE, "look", root, runs))
    assert f"{root} cannot be written" in found["said"]
    assert found["newest"] == UNTIL


def block_of_nan(told: xr.Dataset) -> xr.Dataset:
    told["tas"][0, 1:3, 1:3] = np.nan
    return told


def celsius(told: xr.Dataset) -> xr.Dataset:
    told["tas"] = (told["tas"] - 273.15).assign_attrs(units="K")
    return told


def october_again(told: xr.Dataset) -> xr.Dataset:
    october = TRUTH.sel(time="2008-10")
    return told.assign({v: told[v].copy(data=october[v].data) for v in ("tas", "pr")})


CONTENT: dict[str, tuple[Change, str]] = {
    "shifted grid": (lambda t: t.assign_coords(lon=t["lon"] + 22.5), "another grid"),
    "changed unit": (celsius, "150 to 350 is possible"),
    "NaN block": (block_of_nan, "has no value of 'tas' in 4 of"),
    "repeated month": (october_again, "holds the numbers of 2008-10 once more"),
}
BYTES: dict[str, tuple[Callable[[bytes], servers.Behaviour], str]] = {
    "down": (lambda _: servers.status(503), "answers 503"),
    "slow": (lambda _: servers.hangs(0.8), "is silent"),
    "truncated": (lambda b: servers.truncates(b, len(b) // 2), "broke off"),
    "HTML": (lambda _: servers.sends(servers.LOGIN), "is a web page"),
}


@pytest.mark.parametrize("fault", [*CONTENT, *BYTES, "gap"])
def test_a_faulty_source_is_named_and_the_map_stays(
    first: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    root, _ = copied(first, tmp_path)
    before = archive.last_night(root / ARCHIVE)
    centre = Centre(tmp_path / "centre")
    change, said = CONTENT.get(fault, (lambda told: told, "2008-11 is missing"))
    month = "2008-12" if fault == "gap" else "2008-11"
    path = centre.month(month, change=change)
    with servers.serving() as server:
        index = (centre.folder / "index.json").read_bytes()
        server.does("index.json", servers.sends(index))
        behave = servers.sends
        if fault in BYTES:
            behave, said = BYTES[fault]
        server.does(path.name, behave(path.read_bytes()))
        timeout = 0.3 if fault == "slow" else 30.0
        source = NightSource(url=server.url, retries=0, timeout_s=timeout)
        with pytest.raises(SourceError, match=said):
            night.run(
                replace(
                    first.settings,
                    root=str(root),
                    now="2009-01-20T03:00",
                    land_source=source,
                )
            )
    assert archive.last_night(root / ARCHIVE) == before
    assert journal.read_status(root)["exit_code"] == 3


def test_full_disk_leaves_the_last_night(tmp_path: Path) -> None:
    # From nothing, over the stages of commit and export, to enough for all of it.
    sizes = [0, 4, 16, 40, 80, 120, 160, 240, 400, 600, 4000]
    told = in_namespace(
        f"mount -t tmpfs -o size=16m none {shlex.quote(str(tmp_path))}",
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


def test_open_map_stays_one_version_while_nights_pass(
    tmp_path: Path, record_property: Record
) -> None:
    record_property("count", faults.PUBLISHES)
    kept = NightSettings()
    faults.small_night(tmp_path, 1, kept)
    held = {
        "archive": emulator.open_sink(tmp_path),
        "mirror": emulator.open_sink(tmp_path / MIRROR),
        "past night": emulator.open_sink(tmp_path, as_of="2002-01-01T00:00:01"),
        "link resolved once": xr.open_zarr(os.path.realpath(tmp_path / MIRROR)),
    }
    for number in range(2, faults.PUBLISHES + 2):
        faults.small_night(tmp_path, number, kept)
        found = {how: faults.number_of(each.copy()) for how, each in held.items()}
        assert found == dict.fromkeys(held, 1)
    last = faults.PUBLISHES + 1
    assert faults.number_of(emulator.open_sink(tmp_path)) == last
    assert faults.number_of(xr.open_zarr(tmp_path / MIRROR)) == last


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
    moved = named(rf"\.partial-[\d-]+\".*/{export.name}\"")
    stage = next(name for name in synced if re.search(r"\.partial-[\d-]+$", name))
    for path in [export, *export.rglob("*")]:
        staged = str(path).replace(str(export), stage)
        assert synced[staged] < moved, path
    current = named(r"/current\"")
    assert moved < synced[str(root / EXPORTS)] < current
    assert any(
        number > current and f"<{root}>" in line and "fsync" in line
        for number, line in enumerate(lines)
    )
