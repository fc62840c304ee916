"""``make faults``: every fault that a night must survive, counted into a table.

    python -m tests.nightly.fault_table [--kills N] [--publishes N] [--disks N]

The tests run in full counts, and docs/operations.md says what was counted, when, and
with which version of the code.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emulator.data.stores import code_version

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "operations.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"

FAULTS, NIGHT = "tests/nightly/test_faults.py", "tests/nightly/test_night.py"
ARRIVALS = "tests/data/test_arrivals.py"
TRANSFER = "tests/data/fetching/test_transfer.py"
MIRRORED, JOURNAL = "tests/nightly/test_mirror.py", "tests/nightly/test_journal.py"
PUBLISH = "tests/nightly/test_publish.py"
FORCING, LOCK = "tests/data/test_forcing_archive.py", "tests/nightly/test_lock.py"
SOURCE = f"{FAULTS}::test_a_faulty_source_is_named_and_the_map_stays"
BAD = f"{ARRIVALS}::test_a_bad_month_is_refused_and_the_old_state_stays"

ROWS: Sequence[tuple[str, Sequence[str]]] = (
    ("kill -9 at a random moment of a night", [f"{FAULTS}::test_kill_of_a_whole"]),
    ("kill -9 while publishing", [f"{FAULTS}::test_kill_while_publishing"]),
    ("two runs at once", [
        f"{FAULTS}::test_second", f"{NIGHT}::test_two_at_once",
        f"{LOCK}::test_the_second", f"{FORCING}::test_a_second_writer",
    ]),
    ("disk full, anywhere in a night", [f"{FAULTS}::test_full_disk_at_any_point"]),
    ("disk full, anywhere in publishing", [f"{FAULTS}::test_full_disk_leaves"]),
    ("disk full, in a download", [f"{TRANSFER}::test_a_full_disk"]),
    ("read-only output", [f"{FAULTS}::test_read_only"]),
    ("source down", [
        f"{SOURCE}[down]", f"{NIGHT}::test_source_that_is_down",
        f"{NIGHT}::test_one_source", f"{TRANSFER}::test_a_server_that_is_down",
    ]),
    ("source slow", [f"{SOURCE}[slow]", f"{TRANSFER}::test_a_trickle"]),
    ("truncated file", [f"{SOURCE}[truncated]", f"{ARRIVALS}::test_a_damaged_file"]),
    ("HTML instead of data", [f"{SOURCE}[HTML]"]),
    ("shifted grid", [f"{SOURCE}[shifted grid]", f"{BAD}[shifted grid]"]),
    ("changed unit", [f"{SOURCE}[changed unit]", f"{BAD}[changed unit"]),
    ("NaN block", [f"{SOURCE}[NaN block]", f"{BAD}[NaN block]"]),
    ("repeated month", [f"{SOURCE}[repeated month]", f"{BAD}[repeated month]"]),
    ("a month missing between two", [f"{SOURCE}[gap]", f"{FORCING}::test_a_gap"]),
    ("months out of order", [
        f"{ARRIVALS}::test_months_out_of_order",
        f"{FORCING}::test_the_order_of_arrival",
    ]),
    ("clock set back", [
        f"{NIGHT}::test_clock_set_back", f"{ARRIVALS}::test_a_pattern_with_a_clock",
    ]),
    ("checkpoint replaced", [f"{NIGHT}::test_other_networks"]),
    ("checkpoint damaged", [f"{NIGHT}::test_damaged_checkpoint"]),
    ("map held open while nights are published", [
        f"{FAULTS}::test_open_map", f"{MIRRORED}::test_what_is_read",
    ]),
    ("power cut: fsync before rename", [
        f"{FAULTS}::test_everything_is_on_disk", f"{TRANSFER}::test_a_file_is_on_disk",
        f"{JOURNAL}::test_status_is_on_disk", f"{PUBLISH}::test_all_of_a_map_is_on",
    ]),
    ("stale lock of a dead process", [f"{LOCK}::test_the_lock_of_a_dead"]),
    ("forcing restored from yesterday's backup", [
        f"{NIGHT}::test_forcing_from_yesterdays", f"{ARRIVALS}::test_a_backup",
        f"{FORCING}::test_a_backup",
    ]),
)  # fmt: skip
"""Each fault, and the beginnings of the names of its tests."""


@dataclass(frozen=True)
class Result:
    """How a test ended.

    Attributes:
        outcome: ``passed``, ``failed`` or ``skipped``.
        told: What it recorded: ``count`` of trials, and ``of`` what.
    """

    outcome: str
    told: dict[str, object]


class Listener:
    """Keeps what pytest says of each test that belongs to a fault."""

    def __init__(self) -> None:
        self.results: dict[str, Result] = {}

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what belongs to no fault."""
        wanted = tuple(start for _, starts in ROWS for start in starts)
        others = [item for item in items if not item.nodeid.startswith(wanted)]
        items[:] = [item for item in items if item.nodeid.startswith(wanted)]
        config.hook.pytest_deselected(items=others)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst of what is said of a test."""
        if report.when == "call" or report.outcome != "passed":
            told = dict(report.user_properties)
            self.results[report.nodeid] = Result(report.outcome, told)


def table(results: dict[str, Result]) -> str:
    """Return the rows of all faults as Markdown."""
    lines = ["| fault | test | count | outcome |", "|---|---|---:|---|"]
    for fault, starts in ROWS:
        found = {n: r for n, r in results.items() if n.startswith(tuple(starts))}
        names = {name.partition("::")[2].partition("[")[0] for name in found}
        tests = ", ".join(f"`{name}`" for name in sorted(names)) or "not run"
        count = sum(int(str(r.told.get("count", 1))) for r in found.values())
        lines.append(f"| {fault} | {tests} | {count} | {_outcome(found)} |")
    return "\n".join(lines)


def _outcome(found: dict[str, Result]) -> str:
    """Return in words how the tests of a fault ended."""
    bad = {
        kind: [r for r in found.values() if r.outcome == kind]
        for kind in ("failed", "skipped")
    }
    if not found or bad["failed"]:
        return f"FAILED: {len(bad['failed'])} of {len(found)} tests"
    said = [f"{len(bad['skipped'])} skipped here"] if bad["skipped"] else ["survived"]
    said += [str(result.told["of"]) for result in found.values() if "of" in result.told]
    return ": ".join(said)


def written(page: str, rows: str, when: datetime, version: str) -> str:
    """Return a page with another table between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE} lacks the marks {BEGIN} and {END}.")
    caption = f"Counted by `make faults` on {when:%Y-%m-%d} with version {version}."
    return f"{before}{BEGIN}\n{caption}\n\n{rows}\n{END}{after}"


def main() -> int:
    """Run the tests in full counts and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--publishes", type=int, default=50)
    parser.add_argument("--disks", type=int, default=24)
    asked = parser.parse_args()
    for name, value in vars(asked).items():
        os.environ[f"SINK_{name.upper()}"] = str(value)
    files = sorted({start.partition("::")[0] for _, starts in ROWS for start in starts})
    listener = Listener()
    os.chdir(CHECKOUT)
    # This module imported what pytest would rather have imported itself.
    ignored = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    chosen = ["-m", "", "-q", "-W", ignored, *files]
    ended = pytest.main(chosen, plugins=[listener])
    page = PAGE.read_text(encoding="utf-8")
    rows = table(listener.results)
    text = written(page, rows, datetime.now(UTC), code_version())
    PAGE.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{rows}\n")
    return int(ended)


if __name__ == "__main__":
    sys.exit(main())
