"""Which files of a product there are at its source: from patterns or from a list.

Paths that a server names become paths on this machine. None is taken that leads out of
the product's folder, hides, or holds signs that no data file has.
"""

import json
import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from emulator.carbon.errors import CatalogError, SettingsError, SourceError
from emulator.data.entry import Entry
from emulator.data.fetching.source import FetchSource, has_wildcard, is_sha256

NO_LIST = (ValueError, KeyError, TypeError, IndexError, RecursionError)
"""What is raised where JSON is no list of files."""

GRACE_DAYS = 31
"""Days beyond its usual latency that a file may be late before that is an error."""

_PACKED = (".tar.gz", ".tgz", ".gz")
_DATES = re.compile(r"{(year|month|day)}")


@dataclass(frozen=True)
class Choice:
    """What is wanted of a product; what is empty means all.

    Attributes:
        variables: Canonical names.
        simulations: Simulations of a teacher.
        years: First and last year of files of days, months or years.
    """

    variables: tuple[str, ...] = ()
    simulations: tuple[str, ...] = ()
    years: tuple[int, int] | None = None


@dataclass(frozen=True)
class Wanted:
    """One file.

    Attributes:
        url: Its address.
        path: Where it lies below the entry's root, as it does below the base.
        bytes: Its length; None where nobody says.
        sha256: Its SHA-256; empty where nobody says.
        instead: The file to take where this one is not there.
        may_lack: Whether it is so young that it need not be there.
    """

    url: str
    path: str
    bytes: int | None = None
    sha256: str = ""
    instead: "Wanted | None" = None
    may_lack: bool = False


@dataclass(frozen=True)
class Listed:
    """One file of a list.

    Attributes:
        path: As the list names it, without the source's prefix.
        bytes: Its length; None where the list does not say.
        sha256: Its SHA-256; empty where the list does not say.
    """

    path: str
    bytes: int | None
    sha256: str


@dataclass(frozen=True)
class Plan:
    """The files of a product.

    Attributes:
        files: What can be fetched.
        lacking: Patterns for which the source lists nothing.
    """

    files: tuple[Wanted, ...]
    lacking: tuple[str, ...] = ()


def plan(
    entry: Entry,
    source: FetchSource,
    choice: Choice,
    rows: Sequence[Listed] | None,
    today: date,
) -> Plan:
    """Return the files of a product.

    Args:
        entry: The product.
        source: Where it is, with a base.
        choice: What of it is wanted.
        rows: What ``source.index`` lists; None without an index.
        today: The day.

    Raises:
        SettingsError: If what is wanted is no part of the product.
        CatalogError: If the entry does not say which files there are.
        SourceError: If a listed path leads out of the product's folder.
    """
    if rows is not None:
        return _from_list(entry, source, choice, rows)
    files = []
    for pattern in _patterns(entry, source, choice):
        if has_wildcard(pattern):
            raise CatalogError(
                f"Catalog entry '{entry.name}' reads '{pattern}', which stands for "
                f"more than one file, but nothing lists them. Give 'files' or 'index' "
                f"in its 'fetch'."
            )
        for day, is_young in _days(entry, source, choice, pattern, today):
            path = _dated(pattern, day)
            require_inside(path, f"Catalog entry '{entry.name}'")
            other = _file(source, _dated(source.instead, day))
            files.append(
                _file(
                    source,
                    path,
                    instead=other if source.instead else None,
                    may_lack=is_young,
                )
            )
    return Plan(tuple(dict.fromkeys(files)))


def read_list(path: Path, prefix: str, shown: str) -> list[Listed]:
    """Read a list of files.

    Args:
        path: The list, JSON: ``[[path, bytes, time], ...]`` or
            ``{"files": [{"name": path, "bytes": ..., "sha256": ...}, ...]}``.
        prefix: What wanted paths begin with; it is taken off.
        shown: Where it came from, for messages.

    Raises:
        SourceError: If it is no such list, or nothing begins with ``prefix``.
    """
    try:
        said = json.loads(path.read_text("utf-8"))
        rows = said["files"] if isinstance(said, dict) else said
        found = [listed(row) for row in rows]
    except NO_LIST as error:
        raise SourceError(
            f"{shown} is no list of files ({type(error).__name__}: {error}), but JSON "
            f'is needed: [[path, bytes, time], ...] or {{"files": [{{"name": path, '
            f'"bytes": ...}}, ...]}}. Correct the index, or ask the source.'
        ) from None
    wanted = [
        Listed(row.path.removeprefix(prefix), row.bytes, row.sha256)
        for row in found
        if row.path.startswith(prefix) and not _is_leftover(row)
    ]
    if not wanted:
        begins = sorted({row.path.partition("/")[0] for row in found if row.path})[:12]
        raise SourceError(
            f"{shown} lists {len(found)} files, none of which begins with '{prefix}'; "
            f"they begin with {begins}. Correct the prefix of the entry's 'fetch'."
        )
    return wanted


def listed(row: Any) -> Listed:
    """Return what a row of a list says: a path, and its length and checksum if told.

    Raises:
        Exception: One of ``NO_LIST``, if it is no such row.
    """
    if isinstance(row, dict):
        path, size, sha256 = row["name"], row.get("bytes"), row.get("sha256") or ""
    else:
        path, size, sha256 = row[0], row[1], ""
    is_size = size is None or (type(size) is int and size >= 0)
    if not isinstance(path, str) or not is_size:
        raise TypeError(f"{row!r} is no path with a number of bytes")
    sha256 = str(sha256).lower()
    if sha256 and not is_sha256(sha256):
        raise ValueError(f"{sha256!r} is no SHA-256")
    return Listed(path, size, sha256)


def require_inside(path: str, shown: str) -> None:
    """Refuse a path that is not simply a file below a folder.

    Raises:
        SourceError: If it is absolute, leads upwards, hides, or holds control signs.
    """
    parts = PurePosixPath(path).parts
    is_plain = (
        bool(parts)
        and not path.startswith(("/", "~"))
        and not path.endswith("/")
        and not any(part.startswith(".") for part in parts)
        and "\\" not in path
        and path.isprintable()
    )
    if not is_plain:
        raise SourceError(
            f"{shown} names the file {path!r}, which is no plain path below its "
            f"folder. Nothing is fetched from there; tell the source."
        )


def target_of(folder: Path, path: str) -> Path:
    """Return the place of a file below a folder.

    Raises:
        SourceError: If a link on the way leads out of the folder.
    """
    target = folder / path
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise SourceError(
            f"{target.parent} is or lies behind a link that leads out of {folder}. "
            f"Nothing is written there; replace the link by a folder, or set 'root' of "
            f"a catalog entry of your own to where it leads."
        )
    return target


def _from_list(
    entry: Entry, source: FetchSource, choice: Choice, told: Sequence[Listed]
) -> Plan:
    files: dict[str, Wanted] = {}
    lacking = []
    rows = sorted(told, key=lambda row: row.path.lower())
    keys = [row.path.lower() for row in rows]
    for pattern in _patterns(entry, source, choice):
        found = _unpacked(_matching(_DATES.sub("*", pattern), rows, keys))
        if not found:
            lacking.append(pattern)
        for row in found:
            require_inside(row.path, f"The index of '{entry.name}'")
            files[row.path] = _file(source, row.path, row)
    return Plan(tuple(files[path] for path in sorted(files)), tuple(lacking))


def _file(
    source: FetchSource,
    path: str,
    row: Listed | None = None,
    *,
    instead: Wanted | None = None,
    may_lack: bool = False,
) -> Wanted:
    known = source.known.get(path)
    size, sha256 = (row.bytes, row.sha256) if row else (None, "")
    return Wanted(
        url=source.base + quote(path),
        path=path,
        bytes=known.bytes if known and known.bytes is not None else size,
        sha256=known.sha256 if known and known.sha256 else sha256,
        instead=instead,
        may_lack=may_lack,
    )


def _patterns(entry: Entry, source: FetchSource, choice: Choice) -> list[str]:
    """Return the paths that are wanted; dates and wildcards still stand in them."""
    variables = _chosen(choice.variables, entry.variables, "variables", entry)
    simulations = _chosen(choice.simulations, entry.simulations, "simulations", entry)
    if source.files:
        raw = [(pattern, variables) for pattern in source.files]
    else:
        raw = []
        for name in _parts(entry, variables):
            raw.append((entry.variables[name].files or entry.files, [name]))
        surfaces = (
            entry.land_fraction.file if entry.land_fraction else None,
            entry.cell_area.file if entry.cell_area else None,
        )
        raw += [(pattern, [""]) for pattern in surfaces if pattern]
    filled = [
        pattern.replace("{variable}", variable).replace("{simulation}", simulation)
        for pattern, names in raw
        for variable in names
        for simulation in simulations or [""]
    ]
    return list(dict.fromkeys(filled))


def _parts(entry: Entry, variables: Sequence[str]) -> list[str]:
    """Return variables that files hold: for a sum its components."""
    parts: list[str] = []
    for name in variables:
        parts += entry.variables[name].sum_of or (name,)
    return list(dict.fromkeys(parts))


def _chosen(
    asked: Sequence[str], offered: Sequence[str] | dict[str, Any], what: str, e: Entry
) -> list[str]:
    unknown = sorted(set(asked) - set(offered))
    if unknown:
        raise SettingsError(
            f"'{e.name}' has no {what} {unknown}, it has {sorted(offered)}. Correct "
            f"{what}=[...], or leave it out to fetch all."
        )
    return [name for name in offered if not asked or name in asked]


def _days(
    entry: Entry, source: FetchSource, choice: Choice, pattern: str, today: date
) -> Iterator[tuple[date | None, bool]]:
    """Give the first day of each file of a pattern, and whether it may be lacking."""
    if not _DATES.search(pattern):
        yield None, False
        return
    if entry.years is None and not source.begins:
        raise CatalogError(
            f"Catalog entry '{entry.name}' has files of dates, '{pattern}', but says "
            f"neither 'years' nor 'fetch.begins'. Add the first day."
        )
    first, last = _period(entry, source, choice, today)
    latest = today - timedelta(days=(entry.latency_days or 0) + GRACE_DAYS)
    day = first
    while day <= last:
        following = _following(day, pattern)
        yield day, following > latest
        day = following


def _period(
    entry: Entry, source: FetchSource, choice: Choice, today: date
) -> tuple[date, date]:
    begins = date.fromisoformat(source.begins) if source.begins else date.min
    years = entry.years or (begins.year, None)
    first = max(begins, date(years[0], 1, 1))
    last = min(today, date(years[1], 12, 31) if years[1] else today)
    if choice.years:
        asked = date(choice.years[0], 1, 1), date(choice.years[1], 12, 31)
        if asked[1] < first or asked[0] > last:
            raise SettingsError(
                f"'{entry.name}' has files from {first} to {last}, but years="
                f"{list(choice.years)} were asked for. Correct them."
            )
        first, last = max(first, asked[0]), min(last, asked[1])
    return first, last


def _following(day: date, pattern: str) -> date:
    """Return the first day of the file after the one that holds ``day``."""
    if "{day}" in pattern:
        return day + timedelta(days=1)
    if "{month}" in pattern:
        return (day.replace(day=1) + timedelta(days=31)).replace(day=1)
    return date(day.year + 1, 1, 1)


def _dated(pattern: str, day: date | None) -> str:
    if day is None:
        return pattern
    filled = pattern.replace("{year}", f"{day:%Y}").replace("{month}", f"{day:%m}")
    return filled.replace("{day}", f"{day:%d}")


def _is_leftover(row: Listed) -> bool:
    """Return whether a row is no data: empty, or hidden as ``.keep``, ``.DS_Store``."""
    name = row.path.rpartition("/")[2]
    return not name or row.bytes == 0 or (name.startswith(".") and name != "..")


def _unpacked(rows: Sequence[Listed]) -> list[Listed]:
    """Leave out archives of what is there unpacked, too, as readers do."""
    paths = {row.path for row in rows}
    return [row for row in rows if _without_archive(row.path) not in paths]


def _without_archive(path: str) -> str | None:
    for ending in _PACKED:
        if path.endswith(ending):
            return path.removesuffix(ending)
    return None


def _matching(
    pattern: str, rows: Sequence[Listed], keys: Sequence[str]
) -> list[Listed]:
    """Return what a pattern matches, in other case where nothing else does.

    Args:
        pattern: A path with shell wildcards; each stays in its part of the path, but
            for ``**``, as where files are read.
        rows: Rows in the order of ``keys``.
        keys: Their paths in small letters.
    """
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0].lower()
    begin = bisect_left(keys, literal)
    near = rows[begin : bisect_right(keys, literal + chr(sys.maxunicode))]
    parts = pattern.split("/")
    return [row for row in near if _fits(row.path.split("/"), parts)] or [
        row
        for row in near
        if _fits(row.path.lower().split("/"), pattern.lower().split("/"))
    ]


def _fits(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    if not patterns or not parts:
        return not patterns and not parts
    if patterns[0] == "**":
        return any(_fits(parts[n:], patterns[1:]) for n in range(len(parts)))
    return fnmatchcase(parts[0], patterns[0]) and _fits(parts[1:], patterns[1:])
