"""Forget nights that nobody needs any more; vintages are never forgotten."""

from collections.abc import Mapping
from pathlib import Path

from emulator.data import forcing_states, repository
from emulator.nightly import archive


def retain(repo: archive.Location, *, keep_nights: int) -> int:
    """Remove all but the last nights and the vintages, with what only they had.

    Args:
        repo: Folder of the archive, or its URL.
        keep_nights: Nights that stay. Who opened an older one cannot read on.

    Returns:
        Bytes that were freed.

    Raises:
        StoreError: If there is no archive, another process is writing to it, or it
            cannot be written.
    """
    if keep_nights < 1:
        raise ValueError(f"keep_nights is {keep_nights}, but the last night stays.")
    repository.open_repository(repo)  # refuses to make one
    with repository.writing(repo) as begun:
        last = archive.branch_of(begun.repository)[-keep_nights:]
        return repository.forget(begun, last) if last else 0


def retain_forcing(
    repo: archive.Location, forcing: Mapping[str, Path], *, keep_nights: int
) -> int:
    """Remove forcing that belongs to no night that can still be opened.

    Each night says from which state of the forcing it was predicted. Those of the
    vintages stay for ever, so that a vintage can be predicted again.

    Args:
        repo: Folder of the archive of maps, or its URL.
        forcing: By domain, the archive of its forcing.
        keep_nights: As of `retain`.

    Returns:
        Bytes that were freed.

    Raises:
        StoreError: As `retain`, of any of the archives.
    """
    opened = repository.open_repository(repo)
    last = archive.branch_of(opened)[-keep_nights:]
    tagged = [opened.lookup_snapshot(opened.lookup_tag(t)) for t in opened.list_tags()]
    freed = 0
    for domain, path in forcing.items():
        key = archive.FORCING_SNAPSHOT.format(domain=domain)
        recent, needed = (
            {str(info.metadata[key]) for info in nights if info.metadata.get(key)}
            for nights in (last, tagged)
        )
        freed += forcing_states.retain(path, recent=recent, needed=needed)
    return freed
