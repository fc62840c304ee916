"""The archive of sink maps: every night is one transaction, and nothing is ever lost.

An Icechunk repository with the map in its root group and the predictions from which
it was made, each on its own grid, in ``predictions/<domain>``. A night writes the
steps of its window only, and of these only the chunks whose numbers changed. Series
that a night makes anew as a whole (budget tables: ranks, adjusted totals) lie in
``tables`` and are read as part of the map; they are no month's values, and do not count
as its revision.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import icechunk
import numpy as np
import xarray as xr
import zarr

from emulator.carbon.errors import StoreError
from emulator.data import repository
from emulator.nightly import provenance, publish, window

Location = str | Path
"""Of a repository: its folder, or ``s3://bucket/prefix``."""

_NUMBER = "number"
"""Property that counts the nights; the repository's own first snapshot has none."""

_ISSUED = "issued"

FORCING_SNAPSHOT = "{domain}_forcing_snapshot"
"""Property that says from which state of a domain's forcing a night was predicted."""

NEW_NETWORKS = "new_networks"
"""Property that names the networks that a night was the first to use."""

_PREDICTIONS = "predictions"
TABLES = "tables"


class Night(NamedTuple):
    """One commit of the archive.

    Attributes:
        snapshot: Its id, for ever.
        time: When it was issued, UTC.
        message: What was said of it.
        new_networks: Those that it was the first to use, in a name's letters; "" if
            none.
    """

    snapshot: str
    time: datetime
    message: str
    new_networks: str = ""


class Vintage(NamedTuple):
    """A night that has a name and is never removed.

    Attributes:
        name: The tag.
        snapshot: The night's id.
        time: When the night was issued, UTC.
    """

    name: str
    snapshot: str
    time: datetime


def commit(
    repo: Location,
    map_window: xr.Dataset,
    predictions: Mapping[str, xr.Dataset],
    *,
    message: str,
    properties: Mapping[str, str],
    tables: xr.Dataset | None = None,
) -> str:
    """Write a night in one transaction: the whole of it is seen, or nothing.

    Along the steps (``time``, ``year``, ``<flux>_draw_time``) what the archive has is
    extended or replaced; steps outside the window stay. Chunks whose numbers did not
    change are not written. A month is ``issued`` when its numbers last changed, and
    ``revision`` counts how often they did: both are kept here, not taken from the
    window. Attributes alone are no news.

    Args:
        repo: Folder of the repository, or its ``s3://`` URL; made when missing.
        map_window: The sink map for its newest steps, or from its first month on.
        predictions: By domain, what the map was made from, for new or revised steps.
        message: What to say of the night.
        properties: What else to keep with it; ``issued``, an ISO time in UTC, is taken
            as the night's time, and the clock's if absent.
        tables: Series of all steps of the map, with none of its variables.

    Returns:
        The id of the new snapshot, or of the last one if no number changed.

    Raises:
        StoreError: If another process is writing, the place cannot be written, the
            disk is full, or the window has another grid, teachers or variables than
            the archive and does not begin with its first step.
    """
    _time_of(properties, datetime.now(UTC))  # before the work, not after it
    with repository.writing(repo) as begun:
        store, head = begun.session.store, begun.session.snapshot_id
        news = [
            window.write(store, f"{_PREDICTIONS}/{domain}", prediction)
            for domain, prediction in predictions.items()
        ]
        sink_map = map_window.copy()
        sink_map.attrs.pop("snapshot", None)  # the mark of `read_map`
        news.append(window.write(store, "", sink_map))
        if tables is not None:
            news.append(window.write(store, TABLES, tables))
        if not any(news):
            return head
        whole = window.read(store, "")
        attributes = zarr.open_group(store, mode="r+").attrs
        attributes.update(provenance.coverage_attributes(whole))
        before = begun.repository.lookup_snapshot(head).metadata
        number = int(before.get(_NUMBER, 0)) + 1
        return repository.commit(begun, message, {**properties, _NUMBER: number})


def read_map(repo: Location, snapshot: str | None = None) -> xr.Dataset:
    """Open the sink map of a night lazily; ``attrs["snapshot"]`` says of which.

    Args:
        repo: Folder of the repository, or its ``s3://`` URL.
        snapshot: The night's id; None is the last night.

    Raises:
        StoreError: If there is no repository, no such night, or no map of this layout.
    """
    session = _session(repository.open_repository(repo), repo, snapshot)
    sink_map = publish.require_schema(window.read(session.store, ""), str(repo))
    if TABLES in zarr.open_group(session.store, mode="r"):
        tables = window.read(session.store, TABLES)
        own = [name for name in tables.variables if name not in sink_map.variables]
        sink_map = sink_map.merge(tables[own])
    return sink_map.assign_attrs(snapshot=session.snapshot_id)


def read_predictions(
    repo: Location, domain: str, snapshot: str | None = None
) -> xr.Dataset | None:
    """Open what a domain's map of a night was made from, on the run's own grid.

    Args:
        repo: Folder of the repository, or its ``s3://`` URL.
        domain: "land" or "ocean".
        snapshot: The night's id; None is the last night.

    Returns:
        The prediction, opened lazily; None if the night has none of this domain.

    Raises:
        StoreError: If there is no repository or no such night.
    """
    session = _session(repository.open_repository(repo), repo, snapshot)
    group = f"{_PREDICTIONS}/{domain}"
    if group not in zarr.open_group(session.store, mode="r"):
        return None
    return window.read(session.store, group)


def last_night(repo: Location) -> Night:
    """Return the newest night.

    Raises:
        StoreError: If there is no repository or no night.
    """
    opened = repository.open_repository(repo)
    return _night(opened.lookup_snapshot(_session(opened, repo, None).snapshot_id))


def nights(repo: Location) -> list[Night]:
    """Return the nights that the archive still has, the first one first.

    Raises:
        StoreError: If there is no repository.
    """
    return [_night(info) for info in _history(repository.open_repository(repo))]


def vintages(repo: Location) -> list[Vintage]:
    """Return the tagged nights, the first one first.

    Raises:
        StoreError: If there is no repository.
    """
    opened = repository.open_repository(repo)
    tagged = [(name, opened.lookup_tag(name)) for name in opened.list_tags()]
    known = {info.id: index for index, info in enumerate(_history(opened))}
    return [
        Vintage(name, snapshot, _night(opened.lookup_snapshot(snapshot)).time)
        for name, snapshot in sorted(tagged, key=lambda tag: (known[tag[1]], tag[0]))
    ]


def tag_vintage(repo: Location, name: str, snapshot: str | None = None) -> str:
    """Give a night a name, by which it is found and kept for ever.

    Args:
        repo: Folder of the repository, or its ``s3://`` URL.
        name: The name, not like a date, e.g. "v2024-07".
        snapshot: The night's id; None is the last night.

    Returns:
        The night's id.

    Raises:
        StoreError: If the name belongs to another night, could be taken for a date, or
            there is no such night.
    """
    if _as_instant(name) is not None or not name or "/" in name:
        raise StoreError(
            f"{name!r} cannot name a vintage: it would be taken for a date or a path. "
            f"Say for instance 'v{name.replace('/', '-')}'."
        )
    with repository.writing(repo) as begun:
        opened = begun.repository
        snapshot = _session(opened, repo, snapshot).snapshot_id
        if name not in opened.list_tags():
            opened.create_tag(name, snapshot)
        elif (taken := opened.lookup_tag(name)) != snapshot:
            raise StoreError(
                f"The vintage {name!r} is the night {taken} and stays so. Choose "
                f"another name."
            )
    return snapshot


def find_night(repo: Location, as_of: str | date | np.datetime64 | None) -> str:
    """Return the id of the last night at or before a date, of a tag, or an id.

    Args:
        repo: Folder of the repository, or its ``s3://`` URL.
        as_of: A date (the whole of that day, UTC), a time, as an object or in ISO form;
            the name of a vintage; or a snapshot id. None is the last night.

    Raises:
        StoreError: If there is no such night.
    """
    opened = repository.open_repository(repo)
    if isinstance(as_of, str) and as_of in opened.list_tags():
        return opened.lookup_tag(as_of)
    instant = None if as_of is None else _as_instant(as_of)
    if instant is None:
        return _session(opened, repo, None if as_of is None else str(as_of)).snapshot_id
    known = [_night(info) for info in _history(opened)]
    past = [night for night in known if night.time <= instant]
    if not past:
        first = f"; the first is of {known[0].time:%Y-%m-%d %H:%M}" if known else ""
        raise StoreError(
            f"{repo} has no night at or before {as_of}{first}. Choose a later date, or "
            f"a vintage: {', '.join(sorted(opened.list_tags())) or 'there is none'}."
        )
    return past[-1].snapshot


def _session(
    opened: icechunk.Repository, repo: Location, snapshot: str | None
) -> icechunk.Session:
    if snapshot is None:
        session = opened.readonly_session(repository.BRANCH)
        if _NUMBER in opened.lookup_snapshot(session.snapshot_id).metadata:
            return session
        raise StoreError(
            f"{repo} has no night yet. Run `sink-emulator nightly` to make the first."
        )
    try:
        return opened.readonly_session(snapshot_id=snapshot)
    except (icechunk.IcechunkError, ValueError) as error:
        raise StoreError(
            f"{repo} has no night {snapshot!r}: {len(_history(opened))} nights and the "
            f"vintages {', '.join(sorted(opened.list_tags())) or '(none)'} are there. "
            f"Give one of these, or a date."
        ) from error


def branch_of(opened: icechunk.Repository) -> list[icechunk.SnapshotInfo]:
    """Return the nights of the branch, the last one last."""
    known = reversed(list(opened.ancestry(branch=repository.BRANCH)))
    return [info for info in known if _NUMBER in info.metadata]


def _history(opened: icechunk.Repository) -> list[icechunk.SnapshotInfo]:
    """Return the nights in the order in which they were committed.

    Clocks may be set back, numbers of commits are not. A vintage whose neighbours are
    gone stands beside the branch, so its tag is followed, too.
    """
    found = {info.id: info for info in opened.ancestry(branch=repository.BRANCH)}
    for tag in opened.list_tags():
        found |= {info.id: info for info in opened.ancestry(tag=tag)}
    made = [info for info in found.values() if _NUMBER in info.metadata]
    return sorted(made, key=lambda info: int(info.metadata[_NUMBER]))


def _night(info: icechunk.SnapshotInfo) -> Night:
    time = _time_of(dict(info.metadata), info.written_at)
    return Night(info.id, time, info.message, str(info.metadata.get(NEW_NETWORKS, "")))


def _time_of(properties: Mapping[str, Any], written: datetime) -> datetime:
    """Return the time that a night says of itself, or that of its writing."""
    if _ISSUED not in properties:
        return written
    try:
        time = datetime.fromisoformat(str(properties[_ISSUED]))
    except ValueError:
        raise ValueError(
            f"The property 'issued' is {properties[_ISSUED]!r}, but must be a time in "
            f"ISO form, e.g. 2024-07-01T03:00:00Z."
        ) from None
    return time.replace(tzinfo=time.tzinfo or UTC)


def _as_instant(when: str | date | np.datetime64) -> datetime | None:
    """Return the last moment that ``when`` includes; None if it is no date."""
    if isinstance(when, np.datetime64):
        when = str(when.astype("M8[D]" if when.dtype == "M8[D]" else "M8[s]"))
    if isinstance(when, str):
        try:
            is_day = len(when.strip()) <= len("2024-07-01")
            when = (date if is_day else datetime).fromisoformat(when.strip())
        except ValueError:
            return None
    if isinstance(when, datetime):
        return when.replace(tzinfo=when.tzinfo or UTC)
    return datetime(when.year, when.month, when.day, 23, 59, 59, 999999, UTC)
