"""What is to be fetched, under which conditions, and whether the disk can hold it."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from emulator.carbon.errors import CatalogError, SettingsError, StoreError
from emulator.data.entry import Entry
from emulator.data.fetching import transfer
from emulator.data.fetching.addresses import shown
from emulator.data.fetching.company import Company
from emulator.data.fetching.plan import Listed, Wanted, plan, read_list, target_of
from emulator.data.fetching.settings import FetchSettings
from emulator.data.fetching.source import FetchSource
from emulator.data.fetching.space import file_system, gigabytes, nearest, spare

ASKED_FOR_LENGTH = 64
"""Files whose length is asked for one by one; of more, so many tell of the rest."""


@dataclass(frozen=True)
class Order:
    """The files of one product.

    Attributes:
        entry: The product.
        source: Where it is.
        folder: Its root on this machine.
        files: Its files.
        lacking: Patterns for which the source lists nothing.
    """

    entry: Entry
    source: FetchSource
    folder: Path
    files: tuple[Wanted, ...]
    lacking: tuple[str, ...]


@dataclass(frozen=True)
class Disk:
    """A file system that files come to.

    Attributes:
        folder: A folder on it.
        bytes: What is to come there, as far as it is known.
        spare: What it can take, bytes.
    """

    folder: Path
    bytes: int
    spare: int


@dataclass(frozen=True)
class Need:
    """What is to come.

    Attributes:
        files: Number of files.
        bytes: What they take, as far as it is known.
        is_about: Whether that is estimated from some of them.
        unknown: Number of files of which nobody says how long they are.
        disks: Where they come to; that of the data's folder is the first.
    """

    files: int
    bytes: int
    is_about: bool
    unknown: int
    disks: tuple[Disk, ...]


def require_accepted(entry: Entry, accepted: Sequence[str]) -> None:
    """Refuse to fetch a product whose policy was not accepted by name.

    Raises:
        SettingsError: If it wants to be, with its text.
    """
    name = entry.fetch.accept if entry.fetch else ""
    if name and name not in accepted:
        raise SettingsError(
            f"'{entry.name}' is given on a condition: {' '.join(entry.policy.split())} "
            f"If you agree, say accept=[{name}]; nothing was fetched."
        )


def orders(
    entries: Sequence[Entry],
    data_root: Path,
    settings: FetchSettings,
    *,
    now: datetime,
) -> list[Order]:
    """Return which files of products there are, after asking their lists.

    A file of several products is ordered once, by the first of them.

    Args:
        entries: Products, each with a ``fetch`` that has a ``base``.
        data_root: The folder below which entries' roots lie.
        settings: What is wanted.
        now: The time, with its zone.

    Raises:
        CatalogError: If an entry does not say where its files are.
        SettingsError: If what is wanted is no part of a product, or an address is not
            encrypted and that was not allowed.
        SourceError: If a list cannot be had, or names what no list may.
    """
    lists: dict[tuple[str, str], list[Listed]] = {}
    ordered: set[Path] = set()
    made = []
    for entry in entries:
        source = _source(entry)
        index = (settings.index or source.index) if source.index else ""
        for url in (source.base, index):
            _require_encrypted(url, settings)
        key = (index, source.prefix)
        if index and key not in lists:
            lists[key] = _listed(index, source.prefix, settings)
        listed = lists[key] if index else None
        found = plan(entry, source, settings.choice, listed, now.date())
        folder = data_root / Path(entry.root).expanduser()
        files = tuple(f for f in found.files if folder / f.path not in ordered)
        ordered.update(folder / file.path for file in files)
        made.append(Order(entry, source, folder, files, found.lacking))
    return made


def with_lengths(made: Sequence[Order], settings: FetchSettings) -> list[Order]:
    """Return orders with the lengths that their sources tell when asked.

    Args:
        made: What ``orders`` returned.
        settings: How to ask; ``verify`` asks for those of files that are there, too.

    Raises:
        SourceError: If a link leads out of a product's folder.
    """
    company = Company()
    with ThreadPoolExecutor(settings.parallel) as pool:
        return [_sized(order, settings, pool, company) for order in made]


def need(made: Sequence[Order], data_root: Path) -> Need:
    """Return what fetching takes, all files together, on each file system.

    Args:
        made: Orders, with lengths.
        data_root: The folder of the data.

    Raises:
        SourceError: If a link leads out of a product's folder.
    """
    to_come = {file_system(nearest(data_root)): (nearest(data_root), 0.0)}
    files, unknown, is_about = 0, 0, False
    for order in made:
        left = _lacking(order)
        known = [size for size in left.values() if size is not None]
        is_sample = len(left) > ASKED_FOR_LENGTH and 0 < len(known) < len(left)
        usual = sum(known) / len(known) if is_sample else 0.0
        for target, size in left.items():
            # Where it is written: links and mounts may lead to another disk.
            folder = nearest(target.parent)
            first, others = to_come.get(file_system(folder), (folder, 0.0))
            more = usual if size is None else size
            to_come[file_system(folder)] = first, others + more
        files += len(left)
        unknown += 0 if is_sample else len(left) - len(known)
        is_about = is_about or is_sample
    disks = tuple(
        Disk(folder, round(size), spare(folder)) for folder, size in to_come.values()
    )
    total = sum(disk.bytes for disk in disks)
    return Need(files, total, is_about, unknown, disks)


def require_space(needed: Need) -> None:
    """Refuse to begin what a disk cannot hold.

    Raises:
        StoreError: If one has too little space.
    """
    for disk in needed.disks:
        if disk.bytes > disk.spare:
            raise StoreError(
                f"{gigabytes(disk.bytes)} of {needed.files} files are to come to the "
                f"disk of {disk.folder}, which has {gigabytes(disk.spare)} to spare. "
                f"Free some space, set paths.data (SINK_DATA), or 'root' of an entry "
                f"that leads there, to a larger disk, or ask for less by variables, "
                f"simulations or years."
            )


def _source(entry: Entry) -> FetchSource:
    if entry.fetch is None or not entry.fetch.base:
        raise CatalogError(
            f"Catalog entry '{entry.name}' does not say where its files can be had. "
            f"Get them from their provider, or add 'fetch' to an entry of your own; "
            f"docs/catalog.md says how."
        )
    return entry.fetch


def _require_encrypted(url: str, settings: FetchSettings) -> None:
    if urlsplit(url).scheme == "http" and not settings.plain_http:
        raise SettingsError(
            f"{shown(url)} is not encrypted: anybody between here and there can change "
            f"what comes. Correct it to https:// in the entry's 'fetch', or say "
            f"plain_http=true."
        )


def _listed(index: str, prefix: str, settings: FetchSettings) -> list[Listed]:
    with tempfile.TemporaryDirectory(prefix="sink-emulator-") as folder:
        path = Path(folder) / "index.json"
        transfer.fetch(
            index,
            path,
            patience=settings.patience(None),
            at_most=transfer.MOST_OF_A_LIST,
        )
        return read_list(path, prefix, shown(index))


def _sized(
    order: Order, settings: FetchSettings, pool: ThreadPoolExecutor, company: Company
) -> Order:
    there = {
        file.path
        for file in order.files
        if target_of(order.folder, file.path).exists() and not settings.verify
    }
    unknown = [
        number
        for number, file in enumerate(order.files)
        if file.bytes is None and file.path not in there
    ]
    step = max(1, len(unknown) // ASKED_FOR_LENGTH)
    asked = unknown if settings.verify else unknown[::step]
    patience = settings.patience(None)
    urls = [order.files[number].url for number in asked]
    lengths = pool.map(lambda url: transfer.size_of(url, patience, company), urls)
    files = list(order.files)
    for number, length in zip(asked, lengths, strict=True):
        files[number] = replace(files[number], bytes=length)
    return replace(order, files=tuple(files))


def _lacking(order: Order) -> dict[Path, int | None]:
    """Return what is still to come of each file that is, bytes; None if unknown."""
    left: dict[Path, int | None] = {}
    for file in order.files:
        target = target_of(order.folder, file.path)
        if target.exists() and not order.source.changes:
            continue
        stage = transfer.stage_of(target)
        here = stage.stat().st_size if stage.exists() else 0
        left[target] = None if file.bytes is None else max(0, file.bytes - here)
    return left
