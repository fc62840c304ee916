"""Whole nights, from forcing to page, that are killed, starved of disk or run twice.

A deployment on the tiny world gets a month that is revised every night. There are three
editions of it, and what a whole map of each looks like is known, so that a reader can
tell which night it sees, and that it sees no mixture.

Run as a program: see the module `faults` on why nights are forked. What was trained
and published first lies in folders that the tests made:

    python -m tests.nightly.whole kill ROOT RUNS KILLS SEED
    python -m tests.nightly.whole twice ROOT RUNS
    python -m tests.nightly.whole fill ROOT RUNS POINTS
    python -m tests.nightly.whole look ROOT RUNS
"""

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import emulator
from emulator.carbon.errors import LockError, UserError
from emulator.nightly import journal
from emulator.nightly.night_settings import NightSettings
from emulator.nightly.places import EXPORTS, MIRROR
from emulator.nightly.sanity import SanitySettings

from .deployments import Deployment
from .faults import forked, result

WARMER = (0.0, 4.0, 8.0)
"""Editions of the month: by how much warmer, K."""

MONTH = "2008-11"
KEEP = 3
WHOLE_EVERY = 10
"""So many nights are killed, then one may end."""

WATCHED_EVERY = 0.2
"""Shortest time between two looks of who watches, s."""

LOOKED_AT = ("nbp", "nbp_mean", "fgco2_mean", "budget_month", "budget_year")


def opened(root: Path, runs: Path) -> Deployment:
    """Return a deployment that has run before."""
    return Deployment(
        NightSettings(
            root=str(root),
            land=str(runs / "land"),
            ocean=str(runs / "ocean"),
            completions=0,
            # Networks that learned nothing are no measure of what is plausible.
            sanity=SanitySettings(land=[-100, 100], ocean=[-100, 100], reach=1000),
            keep_nights=KEEP,
            keep_exports=KEEP,
        )
    )


def night(root: Path, runs: Path, number: int, edition: int) -> str:
    """Run a night of its own day, on which the month comes in another edition."""
    made = opened(root, runs)
    made.offer(MONTH, status="preliminary", warmer=WARMER[edition])
    day = date(2008, 12, 6) + timedelta(days=number)
    try:
        return made.night(day.isoformat()).said
    except LockError:
        return "locked"


def keep_edition(root: Path, runs: Path, folder: Path, edition: int) -> None:
    """Keep what a map of an edition looks like that nothing disturbed."""
    night(root, runs, 0, edition)
    small = emulator.open_sink(root)[list(LOOKED_AT)].load()
    small.drop_encoding().to_netcdf(folder / f"{edition}.nc")


def editions(root: Path, runs: Path) -> list[xr.Dataset]:
    """Return whole maps of all editions, made beside the deployment."""
    folder = root.with_name(f"{root.name}-editions")
    folder.mkdir()
    for edition in range(len(WARMER)):
        aside = folder / str(edition)
        shutil.copytree(root, aside, symlinks=True)
        result(
            *forked(
                lambda aside=aside, edition=edition: keep_edition(
                    aside, runs, folder, edition
                )
            )
        )
        shutil.rmtree(aside)
    files = [folder / f"{edition}.nc" for edition in range(len(WARMER))]
    return [xr.load_dataset(file) for file in files]


def edition_of(sink_map: xr.Dataset, known: Sequence[xr.Dataset]) -> int:
    """Return which edition a map shows, after checking that all of it does."""
    found = sink_map[[name for name in LOOKED_AT if name in sink_map]].load()
    fits = [number for number, whole in enumerate(known) if _is_same(found, whole)]
    assert len(fits) == 1, f"a map shows the editions {fits}"
    return fits[0]


def _is_same(found: xr.Dataset, whole: xr.Dataset) -> bool:
    for name, field in found.items():
        wanted = whole[name].transpose(*field.dims)
        if field.shape != wanted.shape:
            return False
        # Sums of a matrix product depend in their last bits on the size of the batch.
        size = float(np.abs(wanted).max())
        if not np.allclose(field, wanted, 1e-4, 1e-6 * size, equal_nan=True):
            return False
    return True


def seen(root: Path, known: Sequence[xr.Dataset]) -> dict[str, int]:
    """Return which edition each kind of reader finds; all files are of one night."""
    plain = [MIRROR, "sink.nc", "page", "tables"]
    exports = {(root / name).resolve().parent for name in plain}
    assert len(exports) == 1, exports
    assert "</html>" in (root / "page" / "index.html").read_text()
    assert (root / "tables" / "budget.csv").stat().st_size > 0
    with xr.open_dataset(root / "sink.nc") as small:
        netcdf = edition_of(small[["nbp_mean", "fgco2_mean"]], known)
    return {
        "archive": edition_of(emulator.open_sink(root), known),
        "zarr": edition_of(emulator.open_sink(root / MIRROR), known),
        "netcdf": netcdf,
    }


def watch(root: Path, known: Sequence[xr.Dataset], end: Path) -> int:
    """Open maps while nights come and go; return how many, all of them whole."""
    count = 0
    while not end.exists():
        began = time.monotonic()
        edition_of(emulator.open_sink(root), known)
        edition_of(emulator.open_sink(root / MIRROR), known)
        count += 2
        # Nights need the processor, too.
        time.sleep(WATCHED_EVERY + 3 * (time.monotonic() - began))
    return count


def stage_of(root: Path, pid: int) -> str:
    """Return the last step that a night of a process said to have ended."""
    lines = journal.read_log(root)
    begun = [n for n, line in enumerate(lines) if line.get("pid") == pid]
    return str(lines[-1]["event"]) if begun else "not begun"


def kill_nights(root: Path, runs: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill nights at random moments, and let one end now and then.

    After each kill every reader finds a whole night, the last one or the one killed,
    and one that is not killed leaves everything in order.

    Returns:
        How many were killed after which step, and how many maps were opened meanwhile.
    """
    rng = random.Random(seed)  # noqa: S311 - chance, not secrets
    known = editions(root, runs)
    result(*forked(lambda: night(root, runs, 1, 0)))
    last = {"archive": 0, "zarr": 0}
    end = root.with_name("no more nights")
    watching = forked(lambda: watch(root, known, end))
    left: Counter[str] = Counter()
    duration, number = 0.0, 1
    is_whole = False
    while left.total() < kills or not is_whole:
        number += 1
        other = [e for e in range(len(WARMER)) if e != last["archive"]]
        edition = rng.choice(other)
        began = time.monotonic()
        child, reading = forked(
            lambda number=number, edition=edition: night(root, runs, number, edition)
        )
        is_whole = duration == 0 or left.total() >= kills
        is_whole = is_whole or number % WHOLE_EVERY == 0
        patience = rng.uniform(0.0, duration)
        while not is_whole and time.monotonic() - began < patience:
            time.sleep(0.005)
            # A night that was faster than last time is over, and killed by nobody.
            is_whole = _has_ended(child)
        if is_whole:
            said = result(child, reading)
            duration = time.monotonic() - began
            assert "months predicted" in said, said
        else:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            left[stage_of(root, child)] += 1
        found = result(*forked(lambda: seen(root, known)))
        assert found["netcdf"] == found["zarr"], found
        assert found["archive"] in (last["archive"], edition), (found, last)
        assert found["zarr"] in (*last.values(), edition), (found, last)
        if is_whole:
            _require_order(root, found, edition)
        last = found
    end.touch()
    return {"killed after": dict(left), "opened": result(*watching)}


def _has_ended(child: int) -> bool:
    ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return ended is not None


def _require_order(root: Path, found: dict[str, int], edition: int) -> None:
    """Check that a night that ended left nothing undone."""
    assert set(found.values()) == {edition}, found
    assert list(root.glob("**/.*partial*")) == []
    assert len(list((root / EXPORTS).iterdir())) <= KEEP
    assert journal.read_status(root)["exit_code"] == 0


def run_twice(root: Path, runs: Path) -> list[str]:
    """Begin a night while another one runs; return what both said."""
    child, reading = forked(lambda: night(root, runs, 1, 1))
    while stage_of(root, child) == "not begun":
        time.sleep(0.005)
    second = result(*forked(lambda: night(root, runs, 2, 2)))
    return [result(child, reading), second]


def attempt(root: Path, runs: Path, number: int, edition: int) -> str:
    """Run a night on a disk that may be full; return where it failed, or "done"."""
    try:
        night(root, runs, number, edition)
    except UserError as error:
        if "disk" not in str(error):
            raise
        return _place(error)
    return "done"


def fill_disks(root: Path, runs: Path, points: int) -> dict[str, int]:
    """Run nights on a disk that has ever more room; return how often each ended where.

    ``root`` must be on a disk of its own, of a few MB.
    """
    known = editions(root, runs)
    before = _free(root)
    result(*forked(lambda: night(root, runs, 1, 0)))
    needed = before - _free(root)
    ended: Counter[str] = Counter()
    last = {"archive": 0, "zarr": 0}
    for point in range(points):
        edition = (last["archive"] + 1) % len(WARMER)
        # What stays is less than what is needed meanwhile.
        room = 2 * needed * point // points
        ballast = root / "ballast"
        ballast.write_bytes(b"x" * max(0, _free(root) - room))
        child = forked(
            lambda point=point, edition=edition: attempt(root, runs, point + 2, edition)
        )
        ended[result(*child)] += 1
        ballast.unlink()
        found = result(*forked(lambda: seen(root, known)))
        assert found["netcdf"] == found["zarr"], found
        assert found["archive"] in (last["archive"], edition), (found, last)
        assert found["zarr"] in (*last.values(), edition), (found, last)
        last = found
    edition = (last["archive"] + 1) % len(WARMER)
    result(*forked(lambda: night(root, runs, points + 2, edition)))
    _require_order(root, result(*forked(lambda: seen(root, known))), edition)
    return dict(ended)


def read_only(root: Path, runs: Path) -> dict[str, Any]:
    """Run a night where nothing can be written; return what is said and seen."""
    try:
        said = night(root, runs, 1, 0)
    except UserError as error:
        said = str(error)
    newest = emulator.open_sink(root)["time"][-1]
    return {"said": said, "newest": str(newest.dt.strftime("%Y-%m").item())}


def _free(folder: Path) -> int:
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_bsize


def _place(error: BaseException) -> str:
    """Return the innermost function of the package from which an error came."""
    package = Path(emulator.__file__).parent
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if package in Path(frame.filename).parents]
    return f"{Path(ours[-1].filename).stem}.{ours[-1].name}"


if __name__ == "__main__":
    command, *places = sys.argv[1:4]
    root, runs = map(Path, places)
    numbers = [int(number) for number in sys.argv[4:]]
    work = {"kill": kill_nights, "twice": run_twice, "fill": fill_disks}
    sys.stdout.write(
        json.dumps({**work, "look": read_only}[command](root, runs, *numbers))
    )
