"""What is to be fetched, under which conditions, and whether the disk can hold it."""

import shutil
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
from emulator.data.fetching.plan import Listed, Wanted, plan, read_list, target_of
from emulator.data.fetching.settings import FetchSettings
from emulator.data.fetching.source import FetchSource
from emulator.data.fetching.transfer import shown

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
class Need:
    """What is to come.

    Attributes:
        files: Number of files.
        bytes: What they take, as far as it is known.
        is_about: Whether that is estimated from some of them.
        unknown: Number of files of which nobody says how long they are.
        free: Bytes that the disk has.
    """

    files: int
    bytes: int
    is_about: bool
    unknown: int
    free: int


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
    with ThreadPoolExecutor(settings.parallel) as pool:
        return [_sized(order, settings, pool) for order in made]


def need(made: Sequence[Order], data_root: Path) -> Need:
    """Return what fetching takes.

    Args:
        made: Orders, with lengths.
        data_root: The folder of the data; its disk is looked at.
    """
    to_come = [
        (order, file)
        for order in made
        for file in order.files
        if order.source.changes or not target_of(order.folder, file.path).exists()
    ]
    known = [_left(order, file) for order, file in to_come if file.bytes is not None]
    unknown = len(to_come) - len(known)
    is_about = len(to_come) > ASKED_FOR_LENGTH and bool(known) and unknown > 0
    total = sum(known)
    if is_about:
        total, unknown = round(total / len(known) * len(to_come)), 0
    place = data_root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    return Need(len(to_come), total, is_about, unknown, free)


def require_space(needed: Need, data_root: Path) -> None:
    """Refuse to begin what the disk cannot hold.

    Raises:
        StoreError: If it has too little space.
    """
    if needed.bytes > needed.free:
        raise StoreError(
            f"{needed.files} files of {gigabytes(needed.bytes)} are to be fetched, but "
            f"{data_root} has {gigabytes(needed.free)} left. Free some space, set "
            f"paths.data (SINK_DATA) to a larger disk, or ask for less by variables, "
            f"simulations or years."
        )


def gigabytes(size: int) -> str:
    """Return a number of bytes for a person, in decimal units."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


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
        transfer.fetch(index, path, patience=settings.patience(None))
        return read_list(path, prefix, shown(index))


def _sized(order: Order, settings: FetchSettings, pool: ThreadPoolExecutor) -> Order:
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
    lengths = pool.map(lambda url: transfer.size_of(url, patience), urls)
    files = list(order.files)
    for number, length in zip(asked, lengths, strict=True):
        files[number] = replace(files[number], bytes=length)
    return replace(order, files=tuple(files))


def _left(order: Order, file: Wanted) -> int:
    """Return how much of a file is still to come, bytes."""
    target = target_of(order.folder, file.path)
    stage = transfer.stage_of(target)
    here = stage.stat().st_size if stage.exists() else 0
    return max(0, (file.bytes or 0) - here)
