"""The only module that creates and opens Zarr stores.

A store appears whole or not at all: it is written beside its place under a hidden
name, forced to disk, and renamed. Killed half-way, a write leaves a hidden folder
that the next write of the same store removes, after it has taken from it the pieces
that were finished (``emulator.data.pieces``).
"""

import asyncio
import errno
import fcntl
import itertools
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr
import zarr
from zarr.core.sync import sync
from zarr.storage import LocalStore

from emulator.carbon.errors import StoreError
from emulator.data.computing import LostWorkersError
from emulator.data.writing import write_text

TRAINING_SCHEMA = "training-store/2"
"""Labels, forcing, what each simulation saw, and static fields."""

FORCING_SCHEMA = "forcing-store/2"
"""Forcing, CO2 and static fields of calendar months."""

YEARS_IN_SHARD = 10
"""Years in one file: a 1 degree variable of one teacher makes 31 MB before
compression, large enough for any file system and small enough to copy."""

CHUNK_BYTES = 2**18
"""Largest chunk of several months: a month of a 1 degree map takes as much. Reading
12 x 24 cells month by month took ten times as long as year by year."""

FLUSHED_TOGETHER = 32
"""Files forced to disk at a time: 350 files took 0.1 s instead of 1.5 s."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)

PIECES_FOLDER = ".pieces"
"""Where a writer notes each piece that it has finished, inside its hidden folder."""

PIECES_FILE = "pieces.json"
"""The same notes in a finished store: from what each of its pieces was made."""

_TIME_ENCODING = {
    # Days from before every forcing data set: no month needs a fraction or a sign.
    "units": "days since 1700-01-01",
    "calendar": "standard",
    "dtype": "int32",
}


@dataclass(frozen=True)
class Empty:
    """A variable too large for memory, to be filled piece by piece.

    Attributes:
        dims: Names of its dimensions, ending with lat and lon.
        shape: Their lengths.
        attrs: Its attributes.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    attrs: Mapping[str, str]


def write_store(store: xr.Dataset, path: Path) -> Path:
    """Write a data set as a Zarr store, whole or not at all.

    Args:
        store: The data set; maps have (..., lat, lon) as their last dimensions.
        path: Where the store shall be; its parent is made when missing.

    Returns:
        ``path``.

    Raises:
        StoreError: If the store exists already, the place cannot be written, or the
            disk is full. Nothing is left behind.
    """
    with filling(store, {}, path):
        return path


@contextmanager
def filling(
    store: xr.Dataset, empty: Mapping[str, Empty], path: Path, *, resumes: bool = False
) -> Iterator[zarr.Group]:
    """Write a store of which the largest variables come piece by piece.

    Args:
        store: What is known from the start.
        empty: Float32 variables that hold NaN wherever nothing is written.
        path: Where the store shall be; its parent is made when missing.
        resumes: As of ``staged``.

    Yields:
        The group, to write pieces and attributes into. The store appears at ``path``
        when the block ends without an error.

    Raises:
        StoreError: As ``write_store``.
    """
    with staged(path, resumes=resumes) as stage, no_consolidation_warning():
        store.to_zarr(
            stage,
            mode="w",
            zarr_format=3,
            consolidated=False,
            encoding=_encoding(store),
        )
        group = zarr.open_group(stage, mode="r+")
        for name, field in empty.items():
            chunks, shards = layout(field.dims, field.shape)
            group.create_array(
                name,
                shape=field.shape,
                dtype="float32",
                chunks=chunks,
                shards=shards,
                fill_value=np.nan,
                dimension_names=field.dims,
                attributes=dict(field.attrs),
            )
        yield group
        gather(stage)
        zarr.consolidate_metadata(group.store)


def folder_of(group: zarr.Group) -> Path:
    """Return the folder of a store that is being written."""
    return Path(cast(LocalStore, group.store).root).resolve()


def gather(stage: Path) -> None:
    """Put the notes on all finished pieces of a store into one file in it."""
    notes = finished(stage)
    if notes:
        said = [json.loads(note.read_text(encoding="utf-8")) for note in notes]
        write_text(stage / PIECES_FILE, json.dumps(said))
        shutil.rmtree(stage / PIECES_FOLDER)


def finished(stage: Path) -> list[Path]:
    """Return the notes on the finished pieces of a store that is being written."""
    return sorted((stage / PIECES_FOLDER).glob("*.json"))


def open_store(path: Path | str, schema: str) -> xr.Dataset:
    """Open a store lazily and check that it is of the kind asked for.

    Args:
        path: The store.
        schema: The kind and version wanted, e.g. ``training-store/1``.

    Raises:
        StoreError: If there is no readable store, or it is of another kind.
    """
    if not (Path(path) / "zarr.json").is_file():
        raise StoreError(
            f"There is no Zarr store at {path}. Make one with `sink-emulator prepare`, "
            f"or correct the path."
        )
    try:
        # Without Dask: a task for each month of a map costs fifteen times its reading.
        store: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=True)
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"{path} is no readable store ({error}). Remove it and run "
            f"`sink-emulator prepare` again."
        ) from error
    found = store.attrs.get("schema")
    if found != schema:
        raise StoreError(
            f"{path} has the schema {found!r}, but {schema!r} is needed here. Prepare "
            f"it again with this version, or give the other kind of store."
        )
    return store


def code_version() -> str:
    """Return the version of this package, with the commit where it is a checkout."""
    version = metadata.version("sink-emulator")
    folder = Path(__file__).resolve().parents[2] / ".git"
    try:
        head = (folder / "HEAD").read_text(encoding="ascii").strip()
        if head.startswith("ref: "):
            head = (folder / head[5:]).read_text(encoding="ascii").strip()
    except OSError:
        return version
    return f"{version}+g{head[:8]}"


@contextmanager
def staged(
    path: Path, *, setting: str = "paths.stores", resumes: bool = False
) -> Iterator[Path]:
    """Give a hidden folder to write into, which becomes ``path`` at the end.

    Args:
        path: What the folder shall be called once it is complete; must not exist.
        setting: The setting that chose its place, for the messages.
        resumes: Whether finished pieces are worth keeping: hidden folders of killed
            writers stay until the end, so that pieces can be taken from them, and so
            does this one where the disk is full, Ctrl-C was pressed, or workers of a
            cluster were lost.

    Yields:
        The folder to write into, on the same file system.

    Raises:
        StoreError: If ``path`` exists, the place cannot be written, or the disk is
            full. The hidden folder is removed, as it is after any other error, but
            for what ``resumes`` says.
    """
    if path.exists():
        raise StoreError(
            f"{path} exists already and is never overwritten. Use it as it is, or "
            f"remove it first."
        )
    try:
        _make_folder(path.parent)
        if not resumes:
            _remove_abandoned(path)
        stage = _make_stage(path)
    except OSError as error:
        raise _explained(error, path, setting) or error from error
    try:
        with locked(stage):
            yield stage
            force_to_disk(stage)
            stage.rename(path)
        force_to_disk(path.parent, recursive=False)
    except BaseException as error:
        wait_for_writes()
        kept = finished(stage) if resumes and _is_passing(error) else []
        if kept:
            _remove_unfinished(stage)
        else:
            shutil.rmtree(stage, ignore_errors=True)
            if resumes:
                _remove_abandoned(path)
        explained = _explained(error, path, setting, len(kept))
        if explained is None:
            raise
        raise explained from error
    if resumes:
        _remove_abandoned(path)


def _is_passing(error: BaseException) -> bool:
    """Whether what stopped a writer says nothing against what it wrote."""
    is_outside = isinstance(error, KeyboardInterrupt | LostWorkersError)
    return is_outside or _code(error) in _FULL


def _encoding(store: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return how each variable lies on disk."""
    encoding: dict[str, dict[str, Any]] = {}
    for name, field in store.variables.items():
        said: dict[str, Any] = {}
        if np.issubdtype(field.dtype, np.datetime64):
            said |= _TIME_ENCODING
        if field.dims[-2:] == ("lat", "lon") and field.ndim > 2:
            said["chunks"], said["shards"] = layout(field.dims, field.shape)
        if np.issubdtype(field.dtype, np.floating):
            said["_FillValue"] = None if field.ndim < 2 else np.nan
        encoding[str(name)] = said
    return encoding


def layout(
    dims: tuple[Any, ...], shape: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the inner chunk, which is one month of the map, and the shard.

    Readers take a month of the map; one file holds some years of one variable of one
    teacher. Of maps much smaller than those of 1 degree, where the handling of a chunk
    costs far more than its reading, several months share a chunk.
    """
    length = dict(zip(dims, shape, strict=True))
    chunk = {dim: length[dim] if dim in ("lat", "lon") else 1 for dim in dims}
    shard = dict(chunk)
    map_bytes = 4 * length["lat"] * length["lon"]
    months = next((n for n in (12, 6, 4, 3, 2) if n * map_bytes <= CHUNK_BYTES), 1)
    for dim in ("time", "weather_time"):
        if dim in length:
            chunk[dim] = months
            years = min(12 * YEARS_IN_SHARD, length[dim])
            shard[dim] = months * -(-years // months)
    return tuple(chunk.values()), tuple(shard.values())


@contextmanager
def no_consolidation_warning() -> Iterator[None]:
    """Silence zarr's remark that consolidated metadata are not in the v3 text.

    Plain ``xr.open_zarr`` warns of a store without them, and opens it slowly. They are
    also made beside the notes on pieces, of which zarr says that they are no array.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
        warnings.filterwarnings("ignore", f"Object at {re.escape(PIECES_FILE)}")
        yield


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a lock on a folder: the sign that its writer is alive.

    Raises:
        BlockingIOError: If another process holds one.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def wait_for_writes() -> None:
    """Wait for the chunks that Zarr still writes behind one that failed.

    Removed under its hands, a folder would be made again by the next of them.
    """
    sync(_written())


async def _written() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(
            errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)
        ) from None


def _make_stage(path: Path) -> Path:
    """Make the hidden folder; in containers, all writers have one process number."""
    for number in itertools.count():
        stage = path.with_name(f".{path.name}.partial-{os.getpid()}-{number}")
        with suppress(FileExistsError):
            stage.mkdir()
            break
    return stage


def _remove_unfinished(stage: Path) -> None:
    """Remove all but finished pieces and the notes on them."""
    notes = finished(stage)
    kept = {note.relative_to(stage).as_posix() for note in notes}
    for note in notes:
        said = json.loads(note.read_text(encoding="utf-8"))
        kept |= {file["path"] for file in said["files"].values()}
    for place in stage.rglob("*"):
        if place.is_file() and place.relative_to(stage).as_posix() not in kept:
            place.unlink(missing_ok=True)


def _remove_abandoned(path: Path) -> None:
    """Remove what killed writers of the same store left."""
    for stage in path.parent.glob(f".{path.name}.partial-*"):
        try:
            with locked(stage):
                shutil.rmtree(stage)
        except OSError:
            continue  # its writer is alive, or it is gone already


def force_to_disk(folder: Path, *, recursive: bool = True) -> None:
    """Flush files and folders, so that a power cut after the rename loses nothing."""
    inside = sorted(folder.rglob("*")) if recursive else []
    # Together, since the disk then gathers what it would write one by one.
    with ThreadPoolExecutor(FLUSHED_TOGETHER) as threads:
        list(threads.map(flush, [*inside, folder]))


def flush(place: Path) -> None:
    """Force one file or folder to disk."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _explained(
    error: BaseException, path: Path, setting: str, kept: int = 0
) -> StoreError | None:
    """Return what a user can do about a failed write, if anything."""
    code = _code(error)
    if code in _FULL:
        but = f", but for {kept} finished pieces with which the next run goes on"
        return StoreError(
            f"The disk is full: {path} could not be written, and what was written "
            f"has been removed{but if kept else ''}. Free some space, or choose "
            f"another place with {setting}."
        )
    if code is not None:
        return StoreError(
            f"{path} cannot be written ({os.strerror(code)}). Choose a place that "
            f"you may write to with {setting}."
        )
    return None


def _code(error: BaseException) -> int | None:
    """Return the error number behind a failure, if it is the disk's."""
    cause: BaseException | None = error
    while cause is not None:
        code = cause.errno if isinstance(cause, OSError) else None
        if code in _FULL or code in _FORBIDDEN:
            return code
        cause = cause.__cause__ or cause.__context__
    return None
