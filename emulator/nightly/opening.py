"""Open a sink map, wherever it lies and as of any night."""

import os
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr

from emulator.carbon.errors import StoreError
from emulator.data import repository
from emulator.nightly import archive, bucket, publish
from emulator.nightly.places import ARCHIVE, MIRROR


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
            f"Leave out as_of, or give the folder of a deployment."
        )
    if repository.is_remote(path):
        return bucket.open_latest(str(path))
    # Resolved once: what is read later comes from the same version, even if the link
    # has been moved to a newer one meanwhile.
    store = Path(os.path.realpath(path))
    if not (store / "zarr.json").exists() and (store / MIRROR).exists():
        store = Path(os.path.realpath(store / MIRROR))
    if not (store / "zarr.json").exists():
        raise StoreError(
            f"There is no sink map at {path}. Give the path of the .zarr store that "
            f"`sink-emulator predict` printed, or the folder of a deployment."
        )
    return publish.require_schema(xr.open_zarr(store), str(path))


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
