"""Icechunk repositories on a disk or an object store: opened, locked, committed.

A repository keeps every state it ever had. A transaction becomes visible by the
replacement of one small file, so that a writer killed at any moment leaves the last
state as it was.
"""

import errno
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import icechunk

from emulator.carbon.errors import LockError, StoreError
from emulator.data import stores

BRANCH = "main"

TIME_STEPS_IN_MANIFEST = 120
"""Chunks along time that one list of chunks names. A commit writes anew the lists it
touches: of a 1 degree map of 60 years, one in six."""

_IN_FLIGHT = timedelta(days=1)
"""Age of what may be removed from an object store, where no lock tells whether another
writer is just bringing it. None takes a day."""

# Icechunk warns on each opening that a local disk needs a lock, which `writing` holds;
# cron would send that by mail every night.
icechunk.set_logs_filter("icechunk=error")


@dataclass(frozen=True, eq=False)
class Writing:
    """A transaction that has begun, and what is needed to end it.

    Attributes:
        repository: The repository, held alone until the block ends.
        session: Where to write; ``session.store`` is its Zarr store.
        folder: Its folder, or None on an object store.
        known: Names of the files that were there before.
    """

    repository: icechunk.Repository
    session: icechunk.Session
    folder: Path | None
    known: frozenset[str]


def is_remote(location: str | Path) -> bool:
    """Return whether a location is a URL and not a path."""
    return "://" in str(location)


def endpoint() -> str | None:
    """Return the URL of the object store's server; None is Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL")


def exists(location: str | Path) -> bool:
    """Return whether there is a repository, whole enough to be opened."""
    # Icechunk makes the folder that it is asked about.
    if not is_remote(location) and not (Path(location) / "refs").is_dir():
        return False
    with _explaining(location):
        return icechunk.Repository.exists(_storage(location))


def open_repository(location: str | Path) -> icechunk.Repository:
    """Open a repository for reading.

    Args:
        location: A folder, or ``s3://bucket/prefix``; endpoint, region and keys of an
            object store come from the environment (``AWS_ENDPOINT_URL``, …).

    Raises:
        StoreError: If there is none, or it cannot be reached.
    """
    if not exists(location):
        raise StoreError(
            f"There is no repository at {location}. Correct the path, or let "
            f"`sink-emulator nightly` make one."
        )
    with _explaining(location):
        return icechunk.Repository.open(_storage(location), _config())


@contextmanager
def writing(location: str | Path) -> Iterator[Writing]:
    """Hold a repository, made when missing, for one transaction.

    On a disk the lock dies with its process. On an object store the second of two
    writers is refused when it commits.

    Args:
        location: A folder, or ``s3://bucket/prefix``.

    Yields:
        The transaction. Without a `commit` nothing of it is ever seen.

    Raises:
        StoreError: If another process writes, the place cannot be written, or the
            disk is full.
    """
    with _explaining(location), ExitStack() as held:
        folder = None if is_remote(location) else Path(location)
        known: frozenset[str] = frozenset()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(stores.locked(folder))
            except BlockingIOError:
                raise LockError(
                    f"Another process is writing to {location}; this one did nothing. "
                    f"Wait until it ends, then run again."
                ) from None
            known = frozenset(files(folder))
        repository = icechunk.Repository.open_or_create(_storage(location), _config())
        yield Writing(repository, repository.writable_session(BRANCH), folder, known)


def commit(begun: Writing, message: str, metadata: Mapping[str, str | int]) -> str:
    """End a transaction: all of it is seen from now on, even after a power cut.

    On a disk everything is forced out before the branch points to it. Icechunk does
    not, so that a power cut could leave a branch that points to lost chunks.

    Returns:
        The id of the new snapshot.

    Raises:
        StoreError: If another writer was faster; nothing of theirs is lost.
    """
    try:
        if begun.folder is None:
            return begun.session.commit(message, dict(metadata))
        base = begun.session.snapshot_id
        snapshot = begun.session.flush(message, dict(metadata))
        force_out(begun.folder, files(begun.folder) - begun.known)
        begun.repository.reset_branch(BRANCH, snapshot, from_snapshot_id=base)
        reference = Path("refs") / f"branch.{BRANCH}" / "ref.json"
        force_out(begun.folder, {str(reference)})
    except (icechunk.ConflictError, icechunk.IcechunkError) as error:
        if isinstance(error, icechunk.ConflictError) or "conflict" in str(error):
            raise StoreError(
                "Another process committed to the repository meanwhile; its work is "
                "kept and this one's is not. Run again, one at a time."
            ) from error
        raise
    return snapshot


def forget(begun: Writing, stay: Sequence[icechunk.SnapshotInfo]) -> int:
    """Remove what is older than some states of the branch, and no tag keeps.

    Args:
        begun: Of the repository; nothing of the transaction is committed.
        stay: States that stay, with all that came after them.

    Returns:
        Bytes that were freed.
    """
    # The earliest, since a clock may have been set back between them.
    begun.repository.expire_snapshots(min(info.written_at for info in stay))
    if begun.folder is not None:
        # Its snapshots were written anew: what they replaced goes only after that.
        kept = {f for f in files(begun.folder) if "snapshots/" in f}
        force_out(begun.folder, kept)
    age = timedelta() if begun.folder is not None else _IN_FLIGHT
    return begun.repository.garbage_collect(datetime.now(UTC) - age).bytes_deleted


def _storage(location: str | Path) -> icechunk.Storage:
    if not is_remote(location):
        return icechunk.local_filesystem_storage(str(location))
    scheme, _, rest = str(location).partition("://")
    bucket, _, prefix = rest.strip("/").partition("/")
    if scheme != "s3" or not bucket or not prefix:
        raise StoreError(
            f"{location} is no place for a repository. Give the path of a folder, or "
            f"s3://BUCKET/PREFIX."
        )
    return icechunk.s3_storage(
        bucket=bucket,
        prefix=prefix,
        region=os.environ.get("AWS_REGION", os.environ.get("AWS_DEFAULT_REGION")),
        endpoint_url=endpoint(),
        allow_http=(endpoint() or "").startswith("http://"),
        # A server of one's own rarely has a host name for each bucket.
        force_path_style=endpoint() is not None,
        from_env=True,
    )


def _config() -> icechunk.RepositoryConfig:
    config = icechunk.RepositoryConfig.default()
    any_array = icechunk.ManifestSplitCondition.AnyArray()
    time = icechunk.ManifestSplitDimCondition.DimensionName("^time$")
    config.manifest = icechunk.ManifestConfig(
        splitting=icechunk.ManifestSplittingConfig.from_dict(
            {any_array: {time: TIME_STEPS_IN_MANIFEST}}
        )
    )
    return config


def files(folder: Path) -> set[str]:
    """Return the files of a repository, relative to it; none is ever changed."""
    return {
        f"{kind}/{name}"
        for kind in ("chunks", "manifests", "snapshots", "transactions")
        if (folder / kind).is_dir()
        for name in os.listdir(folder / kind)  # noqa: PTH208 - names alone, and fast
    }


def force_out(folder: Path, changed: set[str]) -> None:
    """Force files of a repository, and the folders they are in, to disk."""
    places = {folder / file for file in changed}
    # Together, since the disk then gathers what it would write one by one.
    with ThreadPoolExecutor(stores.FLUSHED_TOGETHER) as threads:
        list(threads.map(stores.flush, places))
        list(threads.map(stores.flush, {place.parent for place in places}))


@contextmanager
def _explaining(location: str | Path) -> Iterator[None]:
    """Say of a failed access what a user can do about it."""
    try:
        yield
    except (OSError, icechunk.IcechunkError) as error:
        code = error.errno if isinstance(error, OSError) else None
        if found := re.search(r"os error (\d+)", str(error)):
            code = int(found[1])
        raise _as_store_error(location, code, error) from error


def _as_store_error(
    location: str | Path, code: int | None, error: Exception
) -> StoreError:
    if is_remote(location):
        return StoreError(
            f"{location} cannot be read or written ({_reason(str(error))}). Check the "
            f"URL, the network and the keys in the environment (AWS_ACCESS_KEY_ID, "
            f"AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL)."
        )
    if code in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"The disk is full: {location} is as it was before. Free some space, or "
            f"keep fewer nights."
        )
    if code is not None:
        return StoreError(
            f"{location} cannot be read or written ({os.strerror(code)}). Give a place "
            f"that you may write to."
        )
    first = str(error).strip().lstrip("x ").splitlines()[0]
    return StoreError(
        f"The repository {location} cannot be read or written ({first}). Check the "
        f"path, or restore it from a backup."
    )


def _reason(said: str) -> str:
    """Return why an object store failed: Icechunk tells the innermost cause last."""
    told = re.search(r'code: "(\w+)", message: "([^"]*)"', said)
    if told:
        return f"{told[1]}: {told[2].rstrip('.')}"
    return re.sub(r"^[|`x>\s-]*\s", "", f" {said.strip().splitlines()[-1]}")
