"""Open a sink map, wherever it lies and as of any night."""

import fcntl
import os
import weakref
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr
import zarr.storage

from emulator.carbon.errors import StoreError
from emulator.data import repository
from emulator.nightly import archive, bucket, publish
from emulator.nightly.places import ARCHIVE, EXPORTS, MIRROR


def open_sink(
    path: str | Path, as_of: str | date | np.datetime64 | None = None
) -> xr.Dataset:
    """Open a sink map lazily: one version of it, whatever is published meanwhile.

    Args:
        path: The store that ``predict`` wrote or its folder; the folder of a
            deployment; its ``sink.zarr`` or ``sink.icechunk``; or the URL of any of
            these, ``s3://bucket/prefix``.
        as_of: A date or time (the last night at or before it, UTC), the name of a
            vintage, or a snapshot id; None is the last night. Only an archive has past
            nights: the one at ``path``, or beside it.

    Raises:
        StoreError: If there is no sink map of this layout, or no such night.
    """
    found = _archive_of(path, mirror_too=as_of is not None)
    if found is not None:
        return archive.read_map(found, archive.find_night(found, as_of))
    if as_of is not None:
        raise StoreError(
            f"There is no archive at or beside {path}, which alone knows past nights. "
            f"Leave out as_of, or give the folder of a deployment, or the URL of its "
            f"archive."
        )
    if repository.is_remote(path):
        return bucket.open_latest(str(path))
    store = _resolved(Path(path))
    while store is not None:
        readable = _held(store)
        if (store / "zarr.json").exists():
            return publish.require_schema(
                xr.open_zarr(readable, chunks=None), str(path)
            )
        store = _resolved(Path(path))  # it was just removed, so there is a newer one
    raise StoreError(
        f"There is no sink map at {path}. Give the path of the .zarr store that "
        f"`sink-emulator predict` printed, or the folder of a deployment."
    )


def _resolved(path: Path) -> Path | None:
    """Return the store itself, whatever links lead to it now.

    What is read later comes from the same version, even if the links have been moved
    to a newer one meanwhile.
    """
    places = (Path(os.path.realpath(path)), Path(os.path.realpath(path / MIRROR)))
    return next((place for place in places if (place / "zarr.json").exists()), None)


def _held(store: Path) -> zarr.storage.LocalStore:
    """Return a store that is not removed while anything reads from it.

    Nights remove the oldest exports, and a chunk that is gone reads as missing values.
    The lock goes with the store that the arrays refer to, not with the data set: what
    was selected from it reads on.
    """
    readable = zarr.storage.LocalStore(store, read_only=True)
    # One that is still being written is hidden, and locked by its writer.
    if store.parent.parent.name == EXPORTS and not store.parent.name.startswith("."):
        try:
            handle = os.open(store.parent, os.O_RDONLY)
        except FileNotFoundError:
            return readable  # just removed, which the caller finds
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_SH)
        weakref.finalize(readable, os.close, handle)
    return readable


def _archive_of(path: str | Path, *, mirror_too: bool) -> str | Path | None:
    """Return the archive that a path names, or the one beside a mirror."""
    if repository.is_remote(path):
        url = str(path).rstrip("/")
        parent = url.rpartition("/")[0]
        remote = [url] if url.endswith(Path(ARCHIVE).suffix) else [f"{url}/{ARCHIVE}"]
        if url.endswith(Path(MIRROR).suffix):
            remote = [f"{parent}/{ARCHIVE}"] if mirror_too else []
        return next(filter(repository.exists, remote), None)
    path = Path(path)
    places = [path, path / ARCHIVE]
    if mirror_too:
        places.append(path.parent / ARCHIVE)
    return next((place for place in places if (place / "refs").is_dir()), None)
