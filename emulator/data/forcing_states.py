"""The states in which an archive of forcing was, one for each night that brought news.

A state stays as long as a night needs it that can still be opened: the map of that
night names the state from which it was predicted.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import icechunk

from emulator.data import forcing_archive, repository


@dataclass(frozen=True)
class State:
    """An archive of forcing as a night left it.

    Attributes:
        snapshot: Its name.
        arrived: When its newest month arrived, UTC.
    """

    snapshot: str
    arrived: datetime


def states(archive: Path) -> list[State]:
    """Return the states that an archive of forcing still has, the oldest first.

    Raises:
        StoreError: If there is no such archive.
    """
    opened = repository.open_repository(archive)
    branch = list(opened.ancestry(branch=repository.BRANCH))
    # A state that is kept for ever stands beside the branch once it is old.
    kept = {tag: opened.lookup_tag(tag) for tag in opened.list_tags()}
    known = {info.id for info in branch}
    beside = {
        snapshot: opened.lookup_snapshot(snapshot)
        for snapshot in kept.values()
        if snapshot not in known
    }
    old = sorted(beside.values(), key=lambda info: info.written_at)
    found = []
    for info in [*old, *reversed(branch)]:
        if info.parent_id is None:
            continue  # the empty repository
        arrived = forcing_archive.read(archive, info.id)["arrived"].to_numpy().max()
        moment = arrived.astype("M8[s]").astype(datetime).replace(tzinfo=UTC)
        found.append(State(info.id, moment))
    return found


def keep(archive: Path, needed: Collection[str]) -> None:
    """Keep states for ever.

    Args:
        archive: The archive.
        needed: Their names; what the archive does not know is passed over, since it
            may come from a backup.

    Raises:
        StoreError: If there is no such archive, or it cannot be written.
    """
    forcing_archive.snapshot_of(archive)  # it must be there
    with repository.writing(archive) as begun:
        _keep(begun.repository, needed)


def retain(archive: Path, *, recent: Collection[str], needed: Collection[str]) -> int:
    """Remove states that nobody needs, with the months that only they had.

    The newest one stays in any case.

    Args:
        archive: The archive.
        recent: States that stay with all that came after them.
        needed: States that stay for ever, as `keep` says.

    Returns:
        Bytes that were freed.

    Raises:
        StoreError: If there is no such archive, another process is writing to it, or
            it cannot be written.
    """
    forcing_archive.snapshot_of(archive)
    with repository.writing(archive) as begun:
        opened = begun.repository
        _keep(opened, needed)
        branch = list(opened.ancestry(branch=repository.BRANCH))
        stay = [info for info in branch[1:] if info.id in recent]
        return repository.forget(begun, [branch[0], *stay])


def _keep(opened: icechunk.Repository, needed: Collection[str]) -> None:
    """Give states that have none a tag, which keeps them."""
    tags = opened.list_tags()
    for snapshot in sorted(needed):
        tag = f"kept-{snapshot}"
        if tag in tags:
            continue
        try:
            opened.lookup_snapshot(snapshot)
        except icechunk.IcechunkError:
            continue
        opened.create_tag(tag, snapshot)
