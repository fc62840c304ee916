"""Forget nights that nobody needs any more; vintages are never forgotten."""

from datetime import UTC, datetime, timedelta

from emulator.data import repository
from emulator.nightly import archive

_IN_FLIGHT = timedelta(days=1)
"""Age of what may be removed from an object store, where no lock tells whether another
night is just writing it. None takes a day."""


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
        opened = begun.repository
        last = archive.branch_of(opened)[-keep_nights:]
        if last:
            # The earliest, since a clock may have been set back between them.
            opened.expire_snapshots(min(info.written_at for info in last))
        if begun.folder is not None:
            # Its snapshots were written anew: what they replaced goes only after that.
            kept = {f for f in repository.files(begun.folder) if "snapshots/" in f}
            repository.force_out(begun.folder, kept)
        age = timedelta() if begun.folder is not None else _IN_FLIGHT
        return opened.garbage_collect(datetime.now(UTC) - age).bytes_deleted
