"""The plain copy of a night on an object store.

There are no links and no renames there: every export has a prefix of its own, which
never changes, and ``latest.json``, written last, says which is the newest. Keys,
endpoint and region come from the environment (``AWS_ACCESS_KEY_ID``, …).
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr
import zarr.storage

from emulator.carbon.errors import StoreError
from emulator.data import repository
from emulator.nightly import publish
from emulator.nightly.places import EXPORTS, LATEST, MIRROR, NETCDF

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_TOGETHER = 16
"""Files on their way at a time."""


def upload(export: Path, url: str, *, keep: int) -> str:
    """Copy an export below a URL, then say there that it is the newest.

    Files that it shares with the export before are copied within the object store. An
    upload that was broken off is done again as a whole; readers see nothing of it.

    Args:
        export: What `mirror.export` returned.
        url: Where the deployment is mirrored, ``s3://bucket/prefix``.
        keep: Exports that stay there, the new one included.

    Returns:
        The URL of the export.

    Raises:
        StoreError: If the object store cannot be reached or written; ``latest.json`` is
            as it was.
        ValueError: If ``keep`` is less than 1.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}, but at least the newest export stays.")
    with _reached(url) as store:
        last = _latest(store)
        if last != export.name:
            before = None if last is None else export.with_name(last)
            files = sorted(path for path in export.rglob("*") if path.is_file())
            with ThreadPoolExecutor(_TOGETHER) as threads:
                list(
                    threads.map(lambda file: _send(store, export, file, before), files)
                )
            _say(store, export.name)
        _remove_old(store, export.name, keep)
    return f"{url.rstrip('/')}/{EXPORTS}/{export.name}"


def open_latest(url: str) -> xr.Dataset:
    """Open the newest sink map below a URL lazily, as plain Zarr.

    Args:
        url: Where a deployment is mirrored, or the URL of a ``.zarr`` store.

    Raises:
        StoreError: If there is none, or the object store cannot be reached.
    """
    if not url.rstrip("/").endswith(".zarr"):
        with _reached(url) as store:
            night = _latest(store)
        if night is None:
            raise StoreError(
                f"There is no sink map at {url}: it has neither an archive nor "
                f"{LATEST}. Correct the URL, or wait for the first night."
            )
        url = f"{url.rstrip('/')}/{EXPORTS}/{night}/{MIRROR}"
    with _reached(url) as store:
        readable = zarr.storage.ObjectStore(store, read_only=True)
        return publish.require_schema(xr.open_zarr(readable, chunks=None), url)


def _send(store: "ObjectStore", export: Path, file: Path, before: Path | None) -> None:
    """Bring one file of an export to its place."""
    import obstore

    inside = file.relative_to(export)
    target = f"{EXPORTS}/{export.name}/{inside.as_posix()}"
    if before is not None and _same(file, before / inside):
        try:
            obstore.copy(store, f"{EXPORTS}/{before.name}/{inside.as_posix()}", target)
        except FileNotFoundError:  # removed there by somebody
            pass
        else:
            return
    obstore.put(store, target, file)


def _same(file: Path, known: Path) -> bool:
    return known.exists() and known.samefile(file)


def _say(store: "ObjectStore", night: str) -> None:
    import obstore

    inside = f"{EXPORTS}/{night}"
    said = {
        "night": night,
        "zarr": f"{inside}/{MIRROR}",
        "netcdf": f"{inside}/{NETCDF}",
    }
    obstore.put(store, LATEST, json.dumps(said, indent=1).encode())


def _latest(store: "ObjectStore") -> str | None:
    """Return the name of the newest export; None if there is none."""
    import obstore

    try:
        said = bytes(obstore.get(store, LATEST).bytes())
    except FileNotFoundError:
        return None
    return str(json.loads(said)["night"])


def _remove_old(store: "ObjectStore", last: str, keep: int) -> None:
    """Remove the oldest exports, and what broken uploads left."""
    import obstore

    found = obstore.list_with_delimiter(store, f"{EXPORTS}/")["common_prefixes"]
    others = list({Path(prefix).name for prefix in found} - {last})
    # Names begin with the night; servers tell times to the second only.
    others.sort(key=lambda name: (_uploaded(store, name), name), reverse=True)
    for old in others[keep - 1 :]:
        for part in obstore.list(store, f"{EXPORTS}/{old}/"):
            obstore.delete(store, [item["path"] for item in part])


def _uploaded(store: "ObjectStore", night: str) -> datetime:
    """Return when an export came by the server's clock; a broken one long ago."""
    import obstore

    try:
        last = obstore.head(store, f"{EXPORTS}/{night}/{MIRROR}/zarr.json")
    except FileNotFoundError:
        return datetime.min.replace(tzinfo=UTC)
    return last["last_modified"]


@contextmanager
def _reached(url: str) -> Iterator["ObjectStore"]:
    """Give the object store of a URL, and say what can be done if it fails."""
    try:
        import obstore.exceptions
        from obstore.store import from_url
    except ImportError:
        raise StoreError(
            f"{url} needs the package obstore. Install it with `pip install "
            f"'sink-emulator[s3]'`."
        ) from None
    plain = (repository.endpoint() or "").startswith("http://")
    try:
        yield from_url(url, client_options={"allow_http": plain})
    except (obstore.exceptions.BaseError, OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise StoreError(
            f"{url} cannot be read or written ({first}). Check the URL, the network "
            f"and the keys in the environment."
        ) from error
