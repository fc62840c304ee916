"""The forcing that nights have seen: months as they arrived, every state kept.

An archive is an Icechunk repository laid out like a forcing store, one commit for each
night that brought something. A month is ``final``, ``preliminary`` or ``partial``; the
better one replaces the worse, and what it replaced stays in the commits before. Writing
a month costs the same however many there are.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, StoreError, TimeAxisError
from emulator.carbon.timeaxis import (
    as_months,
    require_monotone_complete,
    seconds_per_month,
)
from emulator.carbon.units import SECONDS_PER_DAY
from emulator.data.inputs import NORMAL
from emulator.data.repository import BRANCH, commit, open_repository, writing
from emulator.data.stores import (
    CHUNK_BYTES,
    FORCING_SCHEMA,
    open_store,
    staged,
)

Months = NDArray[np.datetime64]

STATUS = {"final": 0, "preliminary": 1, "partial": 2}
"""Codes of a month's status; of two states of a month the lower code is the better."""

_EPOCH = np.datetime64("1700-01-01", "D")
"""Origin of the time axis, as that of every store."""

_ROW_CHUNK = 120
"""Months in one chunk of a series: a night rewrites the last chunk, some kB."""

_FINGERPRINTED = ("fields", "co2", "co2_normal", "status", "days_seen")

_TEXTS = ("source", "checksum", "fields")

_HASHED_TOGETHER = 120
"""Months read at a time when an archive is seeded."""

_FINGERPRINT_DIGITS = 16
"""Hexadecimal digits kept of a hash of fields: 64 bits tell any two months apart."""

_SERIES = {
    "status": "status of the month's forcing",
    "days_seen": "days of the month that were seen",
    "coverage": "share of the month's days that were seen",
    "revision": "times that the numbers of the whole month were replaced",
    "source": "where the month came from",
    "checksum": "SHA-256 of the files of the source",
    "fields": "hash of the month's fields as they are stored",
    "arrived": "time of arrival, UTC",
}

_ROWS = ("time", "co2", "co2_normal", *_SERIES)


@dataclass(frozen=True, eq=False)
class Month:
    """One month as a source tells it.

    Attributes:
        month: The month, datetime64[M].
        fields: Every forcing variable of the archive, canonical unit, float32, NaN
            where there is no value; shape (lat, lon).
        co2: CO2 of the air, ppm, without its season.
        status: A code of ``STATUS``.
        days_seen: Days of the month behind the fields.
        source: Names of the files, for people.
        checksum: SHA-256 of the files.
    """

    month: np.datetime64
    fields: Mapping[str, NDArray[np.float32]]
    co2: float
    status: int
    days_seen: int
    source: str
    checksum: str


def seed(
    archive: Path,
    store: Path,
    *,
    last: np.datetime64 | None = None,
    now: datetime | None = None,
) -> None:
    """Begin an archive with the months of a prepared forcing store, all of them final.

    An archive that is there already is left as it is; one that is not appears whole or
    not at all.

    Args:
        archive: Where the archive shall be.
        store: A store made by ``prepare forcing=NAME``.
        last: Last month to take; all when None.
        now: Time of arrival, UTC; that of the call when None.

    Raises:
        StoreError: If the store is none or holds no month up to ``last``, or the
            archive cannot be written.
        TimeAxisError: If the store lacks a month between others.
    """
    if archive.exists():
        return
    forcing = open_store(store, FORCING_SCHEMA)
    months = as_months(forcing["time"].to_numpy())
    require_monotone_complete(months)
    count = months.size if last is None else int((months <= last).sum())
    if not count:
        raise StoreError(
            f"{store} begins in {months[0]}, but an archive up to {last} is wanted. "
            f"Seed it with a store that begins earlier."
        )
    forcing = forcing.isel(time=slice(count)).drop_encoding()
    hashes = _hashes_of(forcing)
    days = _days(months[:count])
    arrived = _stamp(now or datetime.now(UTC))
    name = f"{forcing.attrs.get('title', store.stem)} (prepared store)"
    rows: dict[str, NDArray[Any]] = {
        "status": np.zeros(count, np.int8),
        "days_seen": days.astype(np.int8),
        "coverage": np.ones(count, np.float32),
        "revision": np.zeros(count, np.int16),
        "source": np.full(count, name, object),
        "checksum": hashes,
        "fields": hashes,
        "arrived": np.full(count, arrived),
    }
    forcing = forcing.assign(
        {
            name: ("time", values, _series_attributes(name))
            for name, values in rows.items()
        }
    )
    with staged(archive, setting="root") as stage:
        storage = icechunk.local_filesystem_storage(str(stage))
        session = icechunk.Repository.create(storage).writable_session(BRANCH)
        forcing.to_zarr(
            session.store,
            zarr_format=3,
            consolidated=False,
            encoding=_encoding(forcing),
        )
        session.commit(f"seeded with {months[0]} to {months[count - 1]}")


def is_seeded(forcing: xr.Dataset) -> NDArray[np.bool_]:
    """Return whether each month is of the store with which an archive began.

    Such a month has no file of its own: its checksum is that of its fields.

    Args:
        forcing: As ``read`` returns it.

    Returns:
        Shape (time,).
    """
    return np.asarray(forcing["checksum"].to_numpy() == forcing["fields"].to_numpy())


def read(archive: Path, snapshot: str | None = None) -> xr.Dataset:
    """Open the forcing of an archive lazily, as it is now or was once.

    Args:
        archive: The archive.
        snapshot: A state of it, as ``snapshot_of`` returned it; the newest when None.

    Returns:
        What a forcing store holds, and of each month ``status``, ``coverage``,
        ``days_seen``, ``source``, ``checksum``, ``fields`` (a hash of its numbers),
        ``arrived`` and ``revision``; ``attrs["snapshot"]`` says which state it is.

    Raises:
        StoreError: If there is no such archive, or no such state of it.
    """
    repo = _open(archive)
    try:
        if snapshot is None:
            session = repo.readonly_session(BRANCH)
        else:
            session = repo.readonly_session(snapshot_id=snapshot)
        forcing: xr.Dataset = xr.open_zarr(
            session.store, chunks=None, consolidated=False
        )
    except (icechunk.IcechunkError, zarr.errors.GroupNotFoundError) as error:
        raise StoreError(
            f"The forcing archive {archive} has no state {snapshot or 'at all'}. Ask "
            f"for the newest one, or put back a backup: the next night catches up."
        ) from error
    for name in _TEXTS:
        forcing[name] = forcing[name].astype(object)
    return forcing.assign_attrs(snapshot=session.snapshot_id)


def snapshot_of(archive: Path) -> str:
    """Return the name of the newest state of an archive.

    Raises:
        StoreError: If there is no such archive.
    """
    return _open(archive).lookup_branch(BRANCH)


def fingerprints(forcing: xr.Dataset) -> NDArray[np.object_]:
    """Return a word for each month that changes if anything of its forcing does.

    Equal words mean equal fields, CO2, status and days seen, whichever archive, copy
    or backup they come from.

    Args:
        forcing: As ``read`` returns it, or some months of it.

    Returns:
        Shape (time,).
    """
    return _words({name: forcing[name].to_numpy() for name in _FINGERPRINTED})


def record(archive: Path, arrivals: Sequence[Month], *, now: datetime) -> Months:
    """Write months that arrived, all in one commit.

    A month is replaced by one of the same or a better status, a partial one only by as
    many days or more; what is worse or the same is passed over. CO2 changes the
    30-year normals of later months too.

    Args:
        archive: The archive.
        arrivals: The months, in any order.
        now: Time of arrival, UTC.

    Returns:
        The months whose forcing changed, in order; empty if nothing is new.

    Raises:
        TimeAxisError: If a month would leave a gap, or lies before the first.
        StoreError: If a month lacks a variable of the archive, or the archive cannot
            be written; it is then as it was.
        GridMismatchError: If a field has another shape.
    """
    if not arrivals:
        return np.array([], "M8[M]")
    snapshot_of(archive)  # it must be there: a writer would begin an empty one
    with writing(archive) as begun:
        group = zarr.open_group(begun.session.store, mode="r+")
        arrays: dict[str, Any] = dict(group.arrays())
        rows = _read_rows(arrays)
        before, said_before = _words(rows), _sources(rows)
        fresh: dict[int, Month] = {}
        for arrival in sorted(arrivals, key=lambda one: one.month):
            _require_fitting(arrival, arrays)
            place = _place(arrival, rows["time"])
            if _enter(rows, place, arrival, now):
                fresh[place] = arrival
        changed = _differing(_words(rows), before)
        touched = np.union1d(changed, _differing(_sources(rows), said_before))
        if touched.size:
            _write_rows(arrays, rows, int(touched[0]))
            for place, arrival in fresh.items():
                for name, values in arrival.fields.items():
                    arrays[name][place] = values
            commit(begun, _message(rows, touched), {})
    return rows["time"][changed]


def _enter(
    rows: dict[str, NDArray[Any]], place: int, arrival: Month, now: datetime
) -> bool:
    """Enter a month into the series; return whether its fields must be written."""
    new: dict[str, Any] = {
        "time": arrival.month,
        "status": arrival.status,
        "days_seen": arrival.days_seen,
        "coverage": arrival.days_seen / _days(np.array([arrival.month]))[0],
        "source": arrival.source,
        "checksum": arrival.checksum,
        "fields": fields_hash(arrival.fields),
        "arrived": _stamp(now),
        "co2": np.float32(arrival.co2),
        "revision": 0,
        "co2_normal": np.nan,
    }
    if place == rows["time"].size:
        for name, series in rows.items():
            rows[name] = np.append(series, np.array([new[name]], series.dtype))
        _renew_normals(rows, place)
        return True
    old = {name: series[place] for name, series in rows.items()}
    rank = (new["status"], -new["days_seen"])
    if rank > (old["status"], -old["days_seen"]):
        return False
    is_same = new["fields"] == old["fields"] and new["co2"] == old["co2"]
    was_whole = old["status"] != STATUS["partial"]
    new["revision"] = old["revision"] + int(was_whole and not is_same)
    if is_same and rank == (old["status"], -old["days_seen"]):
        new["arrived"] = old["arrived"]
    for name, value in new.items():
        if name != "co2_normal":
            rows[name][place] = value
    if new["co2"] != old["co2"]:
        _renew_normals(rows, place)
    return not is_same


def _renew_normals(rows: dict[str, NDArray[Any]], place: int) -> None:
    """Compute the mean CO2 of 30 years again for the months whose window holds one.

    Where the window reaches back before the archive, the months before it count as one
    level, that which makes the normal of the first month right.
    """
    co2 = rows["co2"].astype(np.float64)
    level = (NORMAL * float(rows["co2_normal"][0]) - co2[0]) / (NORMAL - 1)
    whole = np.concatenate([np.full(NORMAL - 1, level), co2])
    for row in range(max(place, 1), min(place + NORMAL, co2.size)):
        rows["co2_normal"][row] = whole[row : row + NORMAL].mean()


def _place(arrival: Month, months: Months) -> int:
    """Return the row of a month, which may be the next one."""
    place = int((arrival.month - months[0]).astype(np.int64))
    if 0 <= place <= months.size:
        return place
    raise TimeAxisError(
        f"{arrival.month} cannot be archived: the archive holds {months[0]} to "
        f"{months[-1]}, and memory needs every month between. Get the months up to "
        f"{arrival.month} first."
    )


def _require_fitting(arrival: Month, arrays: Mapping[str, Any]) -> None:
    wanted = _field_names(arrays)
    if missing := sorted(wanted ^ set(arrival.fields)):
        raise StoreError(
            f"{arrival.month} from {arrival.source} has the variables "
            f"{sorted(arrival.fields)}, but the archive holds {sorted(wanted)} "
            f"(differing: {', '.join(missing)}). Name each in the source's variables, "
            f"or begin an archive from a store with the same ones."
        )
    shape = (arrays["lat"].shape[0], arrays["lon"].shape[0])
    for name, values in arrival.fields.items():
        if values.shape != shape:
            raise GridMismatchError(
                f"'{name}' of {arrival.month} from {arrival.source} has "
                f"{values.shape} cells, but the archive has {shape}. Regrid it first."
            )


def _field_names(arrays: Mapping[str, Any]) -> set[str]:
    return {name for name, array in arrays.items() if array.ndim == 3}


def _read_rows(arrays: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return all series of months, decoded."""
    rows = {name: np.asarray(arrays[name][:]) for name in _ROWS}
    rows["time"] = (_EPOCH + rows["time"].astype("m8[D]")).astype("M8[M]")
    rows["arrived"] = rows["arrived"].astype("M8[s]")
    return {
        name: series.astype(object) if name in _TEXTS else series
        for name, series in rows.items()
    }


def _write_rows(
    arrays: Mapping[str, Any], rows: dict[str, NDArray[Any]], first: int
) -> None:
    """Write all series from a row on, and make room for fields."""
    count = rows["time"].size
    for name in _field_names(arrays):
        arrays[name].resize((count, *arrays[name].shape[1:]))
    raw: dict[str, NDArray[Any]] = dict(rows)
    raw["time"] = (rows["time"].astype("M8[D]") - _EPOCH).astype(np.int32)
    raw["arrived"] = rows["arrived"].astype(np.int64)
    for name, series in raw.items():
        arrays[name].resize((count,))
        arrays[name][first:] = series[first:]


def _message(rows: Mapping[str, NDArray[Any]], touched: NDArray[np.intp]) -> str:
    """Return what a commit brought, e.g. ``2025-01 final to 2025-03 partial``."""
    names = {code: name for name, code in STATUS.items()}
    ends = dict.fromkeys((int(touched[0]), int(touched[-1])))
    return " to ".join(f"{rows['time'][at]} {names[rows['status'][at]]}" for at in ends)


def _words(rows: Mapping[str, NDArray[Any]]) -> NDArray[np.object_]:
    """Return ``fingerprints`` of series."""
    columns = [rows[name].tolist() for name in _FINGERPRINTED]
    words = [" ".join(map(str, row)) for row in zip(*columns, strict=True)]
    return np.array(words, object)


def _sources(rows: Mapping[str, NDArray[Any]]) -> NDArray[np.object_]:
    return np.asarray(rows["source"] + " " + rows["checksum"])


def _differing(new: NDArray[np.object_], old: NDArray[np.object_]) -> NDArray[np.intp]:
    """Return the rows that are new or other than before."""
    same = new[: old.size] == old
    return np.concatenate([np.flatnonzero(~same), np.arange(old.size, new.size)])


def _hashes_of(forcing: xr.Dataset) -> NDArray[np.object_]:
    """Return the hash of each month's fields; shape (time,)."""
    names = [str(name) for name, field in forcing.items() if field.ndim == 3]
    hashes: list[str] = []
    for first in range(0, forcing.sizes["time"], _HASHED_TOGETHER):
        block = forcing[names].isel(time=slice(first, first + _HASHED_TOGETHER)).load()
        fields = {name: block[name].to_numpy() for name in names}
        for row in range(block.sizes["time"]):
            hashes.append(fields_hash({name: fields[name][row] for name in names}))
    return np.array(hashes, object)


def fields_hash(fields: Mapping[str, NDArray[np.float32]]) -> str:
    """Return a hash of the numbers of a month, or of a day."""
    found = hashlib.sha256()
    for name in sorted(fields):
        values = np.ascontiguousarray(fields[name], "<f4")
        # One NaN for all: files and stores fill with others.
        found.update(np.where(np.isnan(values), np.float32(np.nan), values).tobytes())
    return found.hexdigest()[:_FINGERPRINT_DIGITS]


def _days(months: Months) -> NDArray[np.float64]:
    return seconds_per_month(months) / SECONDS_PER_DAY


def _stamp(now: datetime) -> np.datetime64:
    return np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "s")


def _series_attributes(name: str) -> dict[str, Any]:
    attrs: dict[str, Any] = {"long_name": _SERIES[name]}
    if name == "status":
        attrs["flag_values"] = list(STATUS.values())
        attrs["flag_meanings"] = " ".join(STATUS)
    return attrs


def _encoding(forcing: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return how an archive lies on disk: chunks that an append need not rewrite.

    A month of a large map is a chunk of its own; of small maps a year at most shares
    one, as in stores.
    """
    cells = forcing.sizes["lat"] * forcing.sizes["lon"]
    months = int(np.clip(CHUNK_BYTES // (4 * cells), 1, 12))
    encoding: dict[str, dict[str, Any]] = {}
    for name, field in forcing.variables.items():
        if "time" not in field.dims:
            continue
        encoding[str(name)] = {"chunks": (_ROW_CHUNK,)}
        if field.ndim == 3:
            encoding[str(name)] = {"chunks": (months, *field.shape[1:])}
    unit = {"calendar": "standard"}
    encoding["time"] |= unit | {"units": f"days since {_EPOCH}", "dtype": "int32"}
    encoding["arrived"] |= unit | {
        "units": "seconds since 1970-01-01",
        "dtype": "int64",
    }
    return encoding


def _open(archive: Path) -> icechunk.Repository:
    # Icechunk makes a folder of whatever it is asked for, which would pass for an
    # archive that is there.
    if not archive.is_dir():
        raise StoreError(
            f"There is no forcing archive at {archive}. Correct the path; the first "
            f"night begins one from a prepared forcing store."
        )
    return open_repository(archive)
