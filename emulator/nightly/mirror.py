"""Plain copies of the archive's newest night, for readers that know no Icechunk.

A deployment's folder shows the newest export through links::

    current    -> exports/<night>       the one link that changes, by one rename
    sink.zarr  -> current/sink.zarr     and so on for whatever an export holds
    exports/<night>/sink.zarr, sink.nc, and what others add (page, tables)

An export never changes. Files that are the same as in the export before are hard links
to them, so that an export costs what is new.
"""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from emulator.carbon.errors import StoreError
from emulator.data import repository, stores
from emulator.nightly import archive, netcdf, publish
from emulator.nightly.places import CURRENT, EXPORTS, MIRROR, NETCDF

WHOLE = 3
"""Newest exports that stay whole. Of older ones the Zarr store stays alone: whoever
resolved the link to it reads file after file, and it shares what is the same with the
others. Of `sink.nc`, a copy in each export, a reader holds the one file open.
"""

_READ_TOGETHER = 64
"""Chunks in memory at a time: of a 1 degree map some 10 MB."""

_FLAT = {"name": "default", "configuration": {"separator": "."}}

_NETCDF_PER_ZARR = 1.3
"""Bytes of a map in ``sink.nc`` for one in Zarr, above which the file has too many
holes: without any there are 0.9 to 1.0."""

_NETCDF_INDEX = 2**20
"""Bytes in which no holes are looked for: a small file is mostly its own index."""

Changed = dict[str, frozenset[str] | None]
"""Chunk files of each array that changed; None for an array that is another one."""

Extras = Callable[[Path], object]


def nothing(folder: Path) -> None:
    """Add nothing to an export."""


def export(
    repo: archive.Location, root: Path, *, keep: int, extras: Extras = nothing
) -> Path:
    """Write the newest night as plain files and let the links point to it.

    A night that is exported already is not written again.

    Args:
        repo: Folder of the archive, or its URL.
        root: Folder of the deployment.
        keep: Exports that stay, the new one included; all but the newest `WHOLE` with
            their Zarr store alone. Who opened a map by its resolved path can read it
            for as long; `open_sink` keeps what it opened.
        extras: Writes more into the export, given its folder, in which ``sink.zarr``
            and ``sink.nc`` are already; its entries get links, too.

    Returns:
        The export, ``exports/<night>``.

    Raises:
        StoreError: If there is no night, a name is taken by what is no link, or the
            folder cannot be written; the links are as they were.
    """
    if keep < 1:
        raise ValueError(f"keep is {keep}, but at least the newest export stays.")
    _require_links(root, {MIRROR, NETCDF})
    night = archive.last_night(repo)
    folder = _folder_of(night, root)
    if not folder.exists():
        with stores.staged(folder, setting="root") as stage:
            _write_plain(repo, night.snapshot, stage, newest(root))
            extras(stage)
            _require_links(root, {path.name for path in stage.iterdir()})
    _point(root, folder)
    _remove_old(root, keep)
    return folder


def repair(
    repo: archive.Location, root: Path, *, keep: int, extras: Extras = nothing
) -> Path | None:
    """Mend a deployment after a kill: what was left is removed, what lacks is made.

    Args:
        repo: As `export`.
        root: Folder of the deployment.
        keep: As `export`.
        extras: As `export`.

    Returns:
        The export of the newest night; None if the archive has no night yet.

    Raises:
        StoreError: As `export`.
    """
    for place in (root, root / EXPORTS):
        for left in place.glob(".*.partial-*"):
            _remove_abandoned(left)
    if not repository.exists(repo) or not archive.nights(repo):
        return None
    return export(repo, root, keep=keep, extras=extras)


def newest(root: Path) -> Path | None:
    """Return the export to which a deployment's links point; None if there is none."""
    link = root / CURRENT
    return link.resolve() if (link / MIRROR).exists() else None


def _folder_of(night: archive.Night, root: Path) -> Path:
    """Return a night's export, or how it shall be called.

    One that is not whole any more is the newest again after the archive came from a
    backup; somebody may read it, so that another takes its place.
    """
    stamp = f"{night.time:%Y%m%dT%H%M%S}"
    for made in (root / EXPORTS).glob(f"{stamp}*-{night.snapshot}"):
        if (made / NETCDF).exists():
            return made
    turns = itertools.chain([""], map("-{}".format, itertools.count(1)))
    names = (root / EXPORTS / f"{stamp}{turn}-{night.snapshot}" for turn in turns)
    return next(folder for folder in names if not folder.exists())


def _require_links(root: Path, names: set[str]) -> None:
    """Refuse to replace what is not ours."""
    for name in sorted(names):
        if (root / name).exists() and not (root / name).is_symlink():
            raise StoreError(
                f"{root / name} is no link, but a night's export would take its name. "
                f"Move it away, or give the deployment another folder."
            )


def _write_plain(
    repo: archive.Location, snapshot: str, stage: Path, previous: Path | None
) -> None:
    """Write a night as Zarr and netCDF, with what can be of the export before."""
    opened = repository.open_repository(repo)
    changed = None if previous is None else _changed(opened, previous, snapshot)
    source = opened.readonly_session(snapshot_id=snapshot).store
    _write_zarr(source, snapshot, stage / MIRROR, previous, changed)
    small = publish.for_netcdf(archive.read_map(repo, snapshot))
    older = None if previous is None else previous / NETCDF
    months = {} if changed is None else _months(small, changed)
    maps = [stage / MIRROR / str(name) for name, f in small.items() if "lat" in f.dims]
    size = sum(file.stat().st_size for each in maps for file in each.iterdir())
    most = int(_NETCDF_PER_ZARR * size) + _NETCDF_INDEX
    netcdf.write(small, stage / NETCDF, older, months, most_bytes=most)


def _months(small: xr.Dataset, changed: Changed) -> dict[str, NDArray[np.intp]]:
    """Return which months of each map lie in changed chunks."""
    months = {}
    for key, field in small.data_vars.items():
        files = changed.get(f"/{key}", frozenset())
        if files is None or not {"time", "lat", "lon"} <= set(field.dims):
            continue
        axis = field.dims.index("time")
        length = field.encoding["preferred_chunks"]["time"]
        chunks = sorted({int(file.split(".")[axis + 1]) for file in files})
        steps = [np.arange(i * length, (i + 1) * length) for i in chunks]
        found = np.concatenate([np.empty(0, np.intp), *steps])
        months[str(key)] = found[found < field.sizes["time"]]
    return months


def _write_zarr(
    source: icechunk.IcechunkStore,
    snapshot: str,
    store: Path,
    previous: Path | None,
    changed: Changed | None,
) -> None:
    """Copy the map's arrays as they are, chunk by chunk, into a plain Zarr store.

    Chunks lie beside each other (``nbp/c.0.12.0.0``) rather than each in folders of
    its own, of which there would be two for every file.
    """
    group = zarr.open_group(source, mode="r")
    store.mkdir()
    attributes = {**group.attrs, "snapshot": snapshot}
    _write_json(store, {"zarr_format": 3, "node_type": "group"}, attributes)
    for path in _arrays(group):
        name = path.rpartition("/")[2]
        (store / name).mkdir()
        meta = json.loads(sync(_get(source, f"{path}/zarr.json")))
        meta["chunk_key_encoding"] = _FLAT
        _write_json(store / name, meta, meta["attributes"])
        known = None if previous is None else previous / MIRROR / name
        copying = _copy_chunks(
            source,
            path,
            store / name,
            known,
            None if changed is None else changed.get(f"/{path}", frozenset()),
        )
        sync(copying)
    with stores.no_consolidation_warning():
        zarr.consolidate_metadata(str(store))


def _arrays(group: zarr.Group) -> list[str]:
    """Return the paths of the map's arrays: its own, and those of its tables."""
    own = sorted(group.array_keys())
    tables = group.get(archive.TABLES)
    if not isinstance(tables, zarr.Group):
        return own
    more = [name for name in sorted(tables.array_keys()) if name not in own]
    return own + [f"{archive.TABLES}/{name}" for name in more]


def _changed(
    opened: icechunk.Repository, previous: Path, snapshot: str
) -> Changed | None:
    """Return the changed chunks of each array since an export.

    None for an array says that it is another one, None for all that the archive does
    not remember the night of the export: it removed it, or comes from a backup.
    """
    before = previous.name.rpartition("-")[2]
    try:
        diff = opened.diff(from_snapshot_id=before, to_snapshot_id=snapshot)
    except icechunk.IcechunkError:
        return None
    changed: Changed = {
        path: frozenset(".".join(["c", *map(str, chunk)]) for chunk in chunks)
        for path, chunks in diff.updated_chunks.items()
    }
    return changed | dict.fromkeys(diff.new_arrays | diff.deleted_arrays)


async def _copy_chunks(
    source: icechunk.IcechunkStore,
    path: str,
    folder: Path,
    previous: Path | None,
    changed: frozenset[str] | None,
) -> None:
    """Write the chunks of an array: links to what is known, the rest from the archive.

    Args:
        source: The archive's store.
        path: Of the array.
        folder: Where its files go.
        previous: Where those of the last export are, if there are any.
        changed: Files that differ there; None if that must be found out.
    """
    wanted: dict[str, str] = {}
    async for key in source.list_prefix(f"{path}/"):
        if key.endswith("zarr.json"):
            continue
        file = key.removeprefix(f"{path}/").replace("/", ".")
        same = previous and changed is not None and file not in changed
        if not (previous and same and _linked(previous / file, folder / file)):
            wanted[file] = key
    left = list(wanted)
    while left:
        files, left = left[:_READ_TOGETHER], left[_READ_TOGETHER:]
        chunks = await asyncio.gather(*(_get(source, wanted[file]) for file in files))
        for file, chunk in zip(files, chunks, strict=True):
            known = None if previous is None or changed is not None else previous / file
            if known is None or not _same_link(known, folder / file, chunk):
                (folder / file).write_bytes(chunk)


async def _get(source: icechunk.IcechunkStore, key: str) -> bytes:
    found = await source.get(key, default_buffer_prototype())
    if found is None:
        raise StoreError(
            f"The archive lacks {key}, which it lists. Restore it from a backup."
        )
    return found.to_bytes()


def _same_link(known: Path, file: Path, chunk: bytes) -> bool:
    """Link to a file of an earlier export if it holds the same bytes."""
    return known.is_file() and known.read_bytes() == chunk and _linked(known, file)


def _linked(known: Path, file: Path) -> bool:
    """Link to a file of an earlier export; false where there is none, or no links."""
    try:
        file.hardlink_to(known)
    except OSError:
        return False
    return True


def _write_json(folder: Path, meta: dict[str, Any], attributes: dict[str, Any]) -> None:
    text = json.dumps({**meta, "attributes": attributes}, indent=1)
    (folder / "zarr.json").write_text(text, encoding="utf-8")


def _point(root: Path, folder: Path) -> None:
    """Let the links of a deployment lead to an export; one rename changes them all."""
    _link(root / CURRENT, folder.relative_to(root))
    names = {path.name for path in folder.iterdir()}
    for name in sorted(names):
        _link(root / name, Path(CURRENT) / name)
    for link in root.iterdir():
        ours = link.is_symlink() and link.readlink().parent == Path(CURRENT)
        if ours and link.name not in names:
            link.unlink()
    stores.flush(root)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    staged = link.with_name(f".{link.name}.partial-{os.getpid()}")
    staged.unlink(missing_ok=True)
    staged.symlink_to(target)
    staged.replace(link)


def _remove_old(root: Path, keep: int) -> None:
    """Remove the oldest exports, but never the newest or one that is read."""
    last = newest(root)
    others = [
        store.parent
        for store in (root / EXPORTS).glob(f"*/{MIRROR}")
        if not store.parent.name.startswith(".") and store.parent.resolve() != last
    ]
    # Of the store, whose time does not change when what is beside it goes.
    others.sort(key=lambda path: (path / MIRROR).stat().st_mtime_ns, reverse=True)
    _remove_beside_zarr(others[WHOLE - 1 : keep - 1])
    for old in others[keep - 1 :]:
        try:
            with stores.locked(old):
                # Under a hidden name first: half an export must not look like one.
                hidden = old.with_name(f".{old.name}.partial-{os.getpid()}")
                old.rename(hidden)
                shutil.rmtree(hidden)
        except BlockingIOError:
            continue  # somebody reads it


def _remove_beside_zarr(exports: list[Path]) -> None:
    """Leave the Zarr stores of exports alone."""
    for place in [path for export in exports for path in export.iterdir()]:
        if place.name == MIRROR:
            continue
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()


def _remove_abandoned(left: Path) -> None:
    """Remove what a killed process left; of a living one it is locked."""
    if left.is_symlink():
        left.unlink()
        return
    try:
        with stores.locked(left):
            shutil.rmtree(left)
    except BlockingIOError:
        pass
