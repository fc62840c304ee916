"""``python -m benchmarks.demo``: the whole demo, its clock and its memory.

The same command that a user types, in a process of its own and an empty folder, which
is removed at the end. Making the environment is not part of it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import Cost, Promise, Row, environment
from benchmarks.report import conclude

DEMO_SECONDS, DEMO_MB, DEMO_CORES = 900.0, 8000.0, 2
"""The promise: a quarter of an hour and less than 8 GB on two cores."""


@dataclass(frozen=True)
class Spent:
    """What a command took.

    Attributes:
        code: Its exit code; negative, the signal that ended it.
        seconds: Of the clock.
        processor: Seconds of all cores together.
        memory_mb: The most that it ever held, 1e6 bytes.
    """

    code: int
    seconds: float
    processor: float
    memory_mb: float


def spend(command: Sequence[str], folder: Path) -> Spent:
    """Run a command in a folder and return what it took, its children included."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder)  # noqa: S603 (our own program)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    # In kilobytes on Linux.
    most = used.ru_maxrss * 1024 / 1e6
    return Spent(process.returncode, seconds, used.ru_utime + used.ru_stime, most)


def demo_row(spent: Spent, *, is_promised: bool) -> Row:
    """Tell what the demo took.

    Args:
        spent: As ``spend`` returns it.
        is_promised: Whether it was the demo as it is shipped, on as many cores as the
            promise is for.
    """
    about = (
        f"{spent.processor:.0f} s of the processor; simulate, and for land and ocean "
        f"prepare, train, evaluate; the map, four nights and their page"
    )
    if is_promised:
        kept = "kept" if spent.memory_mb < DEMO_MB else "missed"
        about += f"; memory < {DEMO_MB:g} MB {kept}"
    cost = Cost(spent.seconds, spent.memory_mb, None)
    promise = Promise(DEMO_SECONDS, f"{DEMO_CORES} cores", is_promised)
    return Row("demo", spent.seconds, "s", cost, about, promise)


def main() -> int:
    """Measure the demo."""
    parser = argparse.ArgumentParser("python -m benchmarks.demo", description=__doc__)
    add = parser.add_argument
    add("overrides", nargs="*", help="of the demo, e.g. grid_step=15")
    add("--folder", type=Path, help="where it runs; a temporary folder")
    add("--out", type=Path, help="the JSON file; default below build/benchmarks/")
    asked = parser.parse_args()
    about = environment("cpu")
    about["input"] = " ".join(["demo", *asked.overrides])
    command = [sys.executable, "-m", "emulator.cli", "demo", *asked.overrides]
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=asked.folder) as name:
        spent = spend(command, Path(name))
    if spent.code:
        print(f"The demo ended with {spent.code}: nothing is measured.")
        return 1
    is_promised = not asked.overrides and about["cpu_cores"] <= DEMO_CORES
    conclude([demo_row(spent, is_promised=is_promised)], about, asked.out, "demo")
    return 0


if __name__ == "__main__":
    sys.exit(main())
