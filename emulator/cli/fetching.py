"""``catalog fetch NAME ...``: get the files of products."""

import contextlib
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from emulator.cli.composing import settings_of
from emulator.cli.output import say, working
from emulator.config import CatalogCommand
from emulator.data import catalog
from emulator.data.entry import Entry
from emulator.data.fetching.bring import Outcome, bring
from emulator.data.fetching.lock import ChecksumLock, alone, read_lock
from emulator.data.fetching.orders import (
    Need,
    need,
    orders,
    require_accepted,
    require_space,
    with_lengths,
)
from emulator.data.fetching.request import script
from emulator.data.fetching.space import gigabytes

WIDTH = 88
"""Columns of licences and conditions."""


def fetch(names: Sequence[str], overrides: Sequence[str]) -> None:
    """Fetch what is lacking of products, and verify what is there.

    Args:
        names: Entries, or files of many models.
        overrides: Settings of ``conf/catalog.yaml``.

    Raises:
        UserError: If something must be accepted, corrected or waited for first.
    """
    settings: CatalogCommand = settings_of("catalog", overrides)
    asked = dict.fromkeys(one for name in names for one in catalog.members(name))
    entries = [catalog.load(name) for name in asked]
    for text in dict.fromkeys(_conditions(entry) for entry in entries):
        say(text)
    for entry in entries:
        require_accepted(entry, settings.accept)
    for entry in filter(_is_elsewhere, entries):
        _tell_elsewhere(entry, settings)
    if files := [entry for entry in entries if not _is_elsewhere(entry)]:
        _fetch(files, settings)


def _fetch(entries: Sequence[Entry], settings: CatalogCommand) -> None:
    data_root = Path(settings.paths.data)
    with working("Asking what there is"):
        made = orders(entries, data_root, settings, now=_now())
        made = with_lengths(made, settings)
    needed = need(made, data_root)
    say(_needed(needed, sum(len(order.files) for order in made)))
    if settings.dry_run:
        for order in made:
            for file in order.files:
                size = "" if file.bytes is None else f"  {gigabytes(file.bytes)}"
                say(f"{order.folder / file.path}{size}")
        return
    require_space(needed)
    with alone(data_root):
        lock = read_lock(data_root)
        _note_acceptance(lock, entries)
        with _bar(needed) as arrived:
            done = bring(made, data_root, settings, lock, now=_now, arrived=arrived)
    say(_told(done, lock))


def _note_acceptance(lock: ChecksumLock, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if entry.fetch and entry.fetch.accept:
            lock.accept(entry.fetch.accept, entry.policy, _now())
    if lock.accepted:
        lock.write()


def _conditions(entry: Entry) -> str:
    """Return under which conditions a product is given, the same for all of a round."""
    said = {
        "licence": entry.licence or "not stated in the catalog: ask the provider",
        "citation": entry.citation,
        "policy": entry.policy,
    }
    lines = [f"{entry.name.partition('.')[0]}:"]
    for key, text in said.items():
        if text:
            lines += textwrap.wrap(
                f"{key}: {text}",
                WIDTH,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
            )
    return "\n".join(lines)


def _is_elsewhere(entry: Entry) -> bool:
    return entry.fetch is not None and not entry.fetch.base


def _tell_elsewhere(entry: Entry, settings: CatalogCommand) -> None:
    """Tell how to get, or read, what no plain transfer brings."""
    source = entry.fetch
    if source is None or source.client is None:
        say(f"{entry.name} is not fetched: {source.in_place if source else ''}")
        return
    root = Path(settings.paths.data)
    request = script(entry, source.client, settings.choice, root, _now().date())
    say(f"{entry.name} is not fetched here: its service has a client of its own.")
    if settings.dry_run:
        say(request.rstrip())
        return
    path = root / f"request_{entry.name}.py"
    root.mkdir(parents=True, exist_ok=True)
    path.write_text(request, "utf-8")
    say(f"request: {path} (run it with the Python that has the client)")


def _needed(needed: Need, files: int) -> str:
    size = ("about " if needed.is_about else "") + gigabytes(needed.bytes)
    unknown = f" and {needed.unknown} of unknown length" if needed.unknown else ""
    rooms = [f"{gigabytes(disk.spare)} to spare" for disk in needed.disks]
    if len(rooms) > 1:
        rooms = [
            f"{gigabytes(disk.bytes)} to {disk.folder}, {room}"
            for disk, room in zip(needed.disks, rooms, strict=True)
        ]
    told = "; ".join(rooms)
    return f"{needed.files} of {files} files to fetch: {size}{unknown}; {told}"


def _told(done: Sequence[Outcome], lock: ChecksumLock) -> str:
    counts = Counter(outcome.state for outcome in done)
    parts = [f"{count} {state}" for state, count in sorted(counts.items())]
    return f"files: {', '.join(parts) or 'none'}\nchecksums: {lock.path}"


@contextlib.contextmanager
def _bar(needed: Need) -> Iterator[Callable[[int], None]]:
    """Show what arrives, on a terminal; silent elsewhere (cron)."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("Fetching", total=needed.bytes or None)
        yield lambda size: bar.advance(task, size)


def _now() -> datetime:
    return datetime.now(UTC)
