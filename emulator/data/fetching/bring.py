"""Fetch the files of catalog entries: what is lacking, verified, each only once.

What was fetched is written into ``checksums.lock`` beside the data. A file that is as
it was fetched is left alone, one that is not is refused and never overwritten. Only
files that their provider replaces are replaced here, too.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from emulator.carbon.errors import SourceError
from emulator.data.fetching import partial, transfer
from emulator.data.fetching.addresses import shown
from emulator.data.fetching.company import Company
from emulator.data.fetching.content import require_plausible
from emulator.data.fetching.lock import ChecksumLock, Locked
from emulator.data.fetching.orders import Order
from emulator.data.fetching.plan import Wanted, target_of
from emulator.data.fetching.refusals import (
    DownError,
    ForbiddenError,
    NotThereError,
    RefusedError,
)
from emulator.data.fetching.settings import FetchSettings
from emulator.data.readers.files import checksum

WRITTEN_EVERY_S = 2.0
"""Seconds between two versions of the lock: what a kill loses is looked at again."""

State = Literal["there", "noted", "fetched", "not yet there"]


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        path: The file.
        state: "there": it was, as it was fetched; "noted": it was, and its checksum
            is known now; "fetched"; "not yet there": too young to be at its source.
        bytes: Its length.
    """

    path: Path
    state: State
    bytes: int


class ChangedError(RefusedError):
    """A file is not what it was when it was first fetched."""


def bring(
    made: Sequence[Order],
    data_root: Path,
    settings: FetchSettings,
    lock: ChecksumLock,
    *,
    now: Callable[[], datetime],
    arrived: Callable[[int], object] = lambda _: None,
) -> list[Outcome]:
    """Fetch what is lacking, and hold what is there against the lock.

    Whoever calls holds the folder alone, by ``lock.alone``.

    Args:
        made: The orders.
        data_root: The folder of the data.
        settings: How to fetch.
        lock: What was fetched before; it is written on the way and at the end.
        now: Tells the time, with its zone.
        arrived: Called with the bytes of each piece that arrives, from any thread.

    Returns:
        What became of each file, in no order.

    Raises:
        SourceError: If some could not be had, or are not what they were; it names
            each. All others are fetched all the same.
        StoreError: If something cannot be written. What was fetched is noted.
    """
    work = _Work(data_root, settings, lock, now, Company(arrived))
    done: list[Outcome] = []
    problems = [
        f"{order.entry.name}: nothing at its source is called '{pattern}'. Correct "
        f"'files' in the entry, or leave out what it is for."
        for order in made
        for pattern in order.lacking
    ]
    left_alone: Counter[str] = Counter()
    try:
        with _pool(settings.parallel, work.company) as pool:
            jobs = [
                pool.submit(_settled, work, order, file)
                for order in made
                for file in order.files
            ]
            for job in as_completed(jobs):
                try:
                    done.append(job.result())
                except DownError as error:
                    left_alone[str(error)] += 1
                except SourceError as error:
                    problems.append(str(error))
                work.write(at_once=False)
    finally:
        work.write(at_once=True)
    if failed := len(problems) + left_alone.total():
        told = [f"{count} more: {said}" for said, count in left_alone.items()]
        raise SourceError(
            "\n".join([f"{failed} could not be fetched:", *sorted(problems), *told])
        )
    return done


@dataclass(eq=False)
class _Work:
    """One fetch, as its threads share it."""

    data_root: Path
    settings: FetchSettings
    lock: ChecksumLock
    now: Callable[[], datetime]
    company: Company
    guard: threading.Lock = field(default_factory=threading.Lock)
    written: float = field(default_factory=time.monotonic)
    is_dirty: bool = False

    def key(self, target: Path) -> str:
        """Return the name of a file in the lock."""
        inside = target.is_relative_to(self.data_root)
        return str(target.relative_to(self.data_root) if inside else target)

    def note(self, target: Path, url: str, sha256: str) -> None:
        row = Locked(
            sha256=sha256,
            path=self.key(target),
            url=shown(url),
            bytes=target.stat().st_size,
            date=self.now(),
        )
        with self.guard:
            self.lock.files[row.path] = row
            self.is_dirty = True

    def write(self, *, at_once: bool) -> None:
        with self.guard:
            due = time.monotonic() - self.written > WRITTEN_EVERY_S
            if self.is_dirty and (at_once or due):
                self.lock.write()
                self.written, self.is_dirty = time.monotonic(), False


@contextlib.contextmanager
def _pool(threads: int, company: Company) -> Iterator[ThreadPoolExecutor]:
    """Give threads that end at once where the block fails."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    except BaseException:
        company.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _settled(work: _Work, order: Order, file: Wanted) -> Outcome:
    """Return a file that is there and verified, fetched if need be."""
    target = target_of(order.folder, file.path)
    known = work.lock.files.get(work.key(target))
    if not target.exists():
        return _fetched(work, order, file, known)
    if order.source.changes:
        return _renewed(work, order, file, known)
    if known is None:
        return _noted(work, target, file)
    _require_same_here(target, known, by_content=work.settings.verify)
    _require_same_there(work, target, file, known)
    return Outcome(target, "there", known.bytes)


def _fetched(
    work: _Work,
    order: Order,
    file: Wanted,
    known: Locked | None,
    newer_than: datetime | None = None,
) -> Outcome:
    target = target_of(order.folder, file.path)
    found: list[str] = []

    def check(stage: Path) -> None:
        found.append(file.sha256 or checksum(stage))
        if known and not order.source.changes and found[-1] != known.sha256:
            raise ChangedError(
                f"{shown(file.url)} is not what it was when it was fetched on "
                f"{known.date:%Y-%m-%d}: SHA-256 {found[-1][:12]}... came, "
                f"{known.sha256[:12]}... is in {work.lock.path}. It is refused, since "
                f"results would rest on other data than they say. To take the new file "
                f"remove its line there, and fetch again."
            )

    try:
        transfer.fetch(
            file.url,
            target,
            sha256=file.sha256 or None,
            size=file.bytes,
            patience=work.settings.patience(file.bytes),
            resumes=not order.source.changes,
            newer_than=newer_than,
            check=check,
            company=work.company,
        )
    except NotThereError as error:
        if file.instead is not None:
            return _settled(work, order, replace(file.instead, may_lack=file.may_lack))
        if file.may_lack:
            return Outcome(target, "not yet there", 0)
        raise NotThereError(f"{error} {_hint(order)}") from None
    except ForbiddenError as error:
        raise ForbiddenError(f"{error} {_hint(order)}") from None
    if not found:  # what is here is the newest
        return Outcome(target, "there", target.stat().st_size)
    work.note(target, file.url, found[-1])
    return Outcome(target, "fetched", target.stat().st_size)


def _renewed(work: _Work, order: Order, file: Wanted, known: Locked | None) -> Outcome:
    """Ask whether a file that its provider replaces has been."""
    since = None
    if known is not None:
        _require_same_here(target_of(order.folder, file.path), known, by_content=True)
        since = known.date - timedelta(minutes=1)  # for clocks that differ
    file = replace(file, bytes=None)  # of a moment ago
    return _fetched(work, order, file, known, since)


def _noted(work: _Work, target: Path, file: Wanted) -> Outcome:
    """Take a file that came by other ways, if it is the one at the source."""
    size = target.stat().st_size
    wanted = file.bytes
    if wanted is None:
        patience = work.settings.patience(None)
        wanted = transfer.size_of(file.url, patience, work.company)
    require_plausible(target, target.name, str(target))
    sha256 = checksum(target)
    found, there = f"{size} bytes", f"{wanted} bytes"
    if wanted in (None, size):
        found, there = (f"SHA-256 {one[:12]}..." for one in (sha256, file.sha256))
    if wanted not in (None, size) or file.sha256 not in ("", sha256):
        raise ChangedError(
            f"{target} was not fetched by this command and is not the file at its "
            f"source: it has {found}, {shown(file.url)} has {there}. Remove it to "
            f"fetch it."
        )
    # Killed between its renaming and its noting, a fetch leaves its own note.
    partial.forget(transfer.stage_of(target))
    work.note(target, file.url, sha256)
    return Outcome(target, "noted", size)


def _require_same_here(target: Path, known: Locked, *, by_content: bool) -> None:
    size = target.stat().st_size
    if size == known.bytes and not (by_content and checksum(target) != known.sha256):
        return
    raise ChangedError(
        f"{target} is not as it was fetched on {known.date:%Y-%m-%d}: it has {size} "
        f"bytes{'' if size != known.bytes else ' as then, but another checksum'}, and "
        f"had {known.bytes}. Remove it to fetch it again; if you changed it and mean "
        f"it so, keep it elsewhere, with a catalog entry of your own."
    )


def _require_same_there(work: _Work, target: Path, file: Wanted, known: Locked) -> None:
    if file.bytes not in (None, known.bytes):
        raise ChangedError(
            f"{shown(file.url)} has changed since it was fetched on "
            f"{known.date:%Y-%m-%d}: it has {file.bytes} bytes by now, and had "
            f"{known.bytes}. {target} stays as it is. To take the new file remove it "
            f"and its line in {work.lock.path}, and fetch again."
        )


def _hint(order: Order) -> str:
    """Return what may be wrong with an address."""
    source = order.source
    hint = f"Its address begins with {shown(source.base)}, as the entry says."
    if source.prefix:
        hint += (
            f" Stores differ in whether '{source.prefix}' of the index belongs into "
            f"addresses (Wasabi: strip it, AWS: keep it)."
        )
    return (
        f"{hint} To correct it copy '{order.entry.name}' into a catalog folder of your "
        f"own."
    )
