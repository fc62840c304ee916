"""Nights that are killed, and what readers see afterwards.

Run as a program, in a process that imports everything once and then forks: zarr and
Icechunk start threads when they are first used, and threads do not survive a fork. So
the process that forks uses neither; every night and every look is a child of its own.

    python -m tests.nightly.faults kill FOLDER KILLS SEED
    python -m tests.nightly.faults fill FOLDER BYTES...
    python -m tests.nightly.faults night FOLDER NUMBER
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import emulator
from emulator.carbon.errors import StoreError
from emulator.nightly import archive, mirror, retention
from emulator.nightly.night_settings import NightSettings
from emulator.nightly.places import ARCHIVE, EXPORTS, MIRROR

from .nights import assembled, predictions

KILLS_PUBLISHING = 20
"""Kills of the part of a night that publishes."""

KILLS = int(os.environ.get("SINK_KILLS", "20"))
"""Kills of whole nights in a test; `make faults` asks for more."""

DISKS = int(os.environ.get("SINK_DISKS", "8"))
"""Amounts of room that a full disk has left in a test of whole nights."""

PUBLISHES = int(os.environ.get("SINK_PUBLISHES", "50"))
"""Nights that pass while a reader holds a map open."""

KEEP = 3
MARKED = np.datetime64("2001-06-01")
"""The month whose values say which night wrote them."""

PARTS = predictions(step=90.0)
MAP = assembled(PARTS, "2002-01-01")
SMALL = MAP[["nbp", "nbp_mean", "status", "issued", "revision"]].assign(
    MAP[["time_bnds", "lat_bnds", "lon_bnds"]]
)
"""As little of the map as can be published: half the work, for many nights."""


def night(root: Path, number: int) -> None:
    """Publish a map on which all of the marked month is ``number``."""
    mirror.repair(root / ARCHIVE, root, keep=KEEP, extras=page)
    commit(root, number)
    mirror.export(root / ARCHIVE, root, keep=KEEP, extras=page)
    if number % 3 == 0:
        retention.retain(root / ARCHIVE, keep_nights=KEEP)


def small_night(root: Path, number: int, kept: NightSettings) -> None:
    """Publish the small map so, keeping what a deployment keeps."""
    commit(root, number, SMALL, {})
    mirror.export(root / ARCHIVE, root, keep=kept.keep_exports, extras=page)
    retention.retain(root / ARCHIVE, keep_nights=kept.keep_nights)


def commit(
    root: Path,
    number: int,
    sink_map: xr.Dataset = MAP,
    parts: dict[str, xr.Dataset] = PARTS,
) -> str:
    """Commit that map."""
    window = sink_map.copy(deep=True)
    marked = window["time"] == MARKED
    for name in ("nbp", "nbp_mean"):
        missing = window[name].isnull()
        window[name] = window[name].where(~marked | missing, np.float32(number))
    return archive.commit(
        root / ARCHIVE,
        window,
        parts,
        message=f"night {number}",
        properties={"issued": f"2002-01-01T00:{number // 60:02d}:{number % 60:02d}"},
    )


def page(folder: Path) -> None:
    """Write the night's number into the export, as a page and its tables would be."""
    (folder / "page").mkdir()
    with_number = str(number_of(emulator.open_sink(folder / MIRROR)))
    (folder / "page" / "index.html").write_text(with_number)


def number_of(sink_map: xr.Dataset) -> int:
    """Return the night of a map, after checking that it is whole."""
    land = MAP["nbp_mean"].notnull()
    found = sink_map[["nbp", "nbp_mean"]].load()
    numbers = np.unique(found["nbp_mean"].sel(time=MARKED).where(land).to_numpy())
    numbers = numbers[np.isfinite(numbers)]
    assert numbers.size == 1, f"values of several nights in one map: {numbers}"
    others = found.drop_sel(time=[MARKED])
    xr.testing.assert_equal(
        others, MAP[["nbp", "nbp_mean"]].drop_sel(time=[MARKED]).load()
    )
    return int(numbers[0])


def seen(root: Path) -> dict[str, int]:
    """Return which night each kind of reader finds."""
    with xr.open_dataset(root / "sink.nc") as small:
        netcdf = float(small["nbp_mean"].sel(time=MARKED).max())
    return {
        "archive": number_of(emulator.open_sink(root)),
        "zarr": number_of(xr.open_zarr(root / MIRROR)),
        "netcdf": round(netcdf),
        "page": int((root / "page" / "index.html").read_text()),
    }


def fill_disks(root: Path, sizes: list[int]) -> list[str]:
    """Publish on disks that have little room left; return what was said of each.

    Readers must find the night before, whole; with room again the next night must
    leave everything in order. ``root`` must be a disk of its own, of a few MB.
    """
    night(root, 1)
    said = []
    for number, room in enumerate(sizes, start=2):
        before = seen(root)
        ballast = root / "ballast"
        free = os.statvfs(root)
        ballast.write_bytes(b"x" * max(0, free.f_bavail * free.f_bsize - room))
        try:
            night(root, number)
            said.append("done")
        except StoreError as error:
            said.append("full" if "disk" in str(error) else str(error))
        ballast.unlink()
        found = seen(root)
        assert found["netcdf"] == found["page"] == found["zarr"], found
        assert found["archive"] in (before["archive"], number), (before, found)
        assert found["zarr"] in (*before.values(), number), (before, found)
    night(root, len(sizes) + 2)
    assert set(seen(root).values()) == {len(sizes) + 2}
    assert list(root.glob("**/.*partial*")) == []
    return said


def forked(work: Callable[[], Any]) -> tuple[int, int]:
    """Start work in a child; return its id and where its result can be read."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    status = 1
    try:
        os.write(writing, json.dumps(work()).encode())
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def result(child: int, reading: int) -> Any:
    """Wait for a child that must succeed, and return what it found."""
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"a child ended with {status}"
    return json.loads(said)


def kill_nights(root: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill nights at random moments; return how often which state was left.

    After each kill every reader must find a whole night, and all plain files the same
    one. At the end a night that is not killed must leave everything in order.
    """
    rng = random.Random(seed)  # noqa: S311 - chance, not secrets
    began = time.monotonic()
    result(*forked(lambda: night(root, 1)))
    duration = time.monotonic() - began
    left: Counter[str] = Counter()
    last = {"archive": 1, "zarr": 1}
    for number in range(2, kills + 2):
        child, reading = forked(lambda number=number: night(root, number))
        time.sleep(rng.uniform(0.0, 1.1 * duration))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reading)
        found = result(*forked(lambda: seen(root)))
        assert found["netcdf"] == found["page"] == found["zarr"], found
        assert found["archive"] in (last["archive"], number), (found, last)
        assert found["zarr"] in (last["zarr"], last["archive"], number), (found, last)
        state = "committed" if found["archive"] == number else "not committed"
        left["exported" if found["zarr"] == number else state] += 1
        last = found
    result(*forked(lambda: night(root, kills + 2)))
    found = result(*forked(lambda: seen(root)))
    assert set(found.values()) == {kills + 2}, found
    stages = list(root.glob("**/.*partial*"))
    assert stages == [], stages
    assert len(list((root / EXPORTS).iterdir())) <= KEEP
    return dict(left)


if __name__ == "__main__":
    place, *numbers = sys.argv[2:]
    arguments = [int(number) for number in numbers]
    if sys.argv[1] == "kill":
        outcome: Any = kill_nights(Path(place), *arguments)
    elif sys.argv[1] == "fill":
        outcome = fill_disks(Path(place), arguments)
    else:
        outcome = night(Path(place), *arguments)
    sys.stdout.write(json.dumps(outcome))
