"""What was fetched and accepted: ``checksums.lock`` in the folder of the data.

The first fetch of a file writes its checksum here, and later ones compare. The file is
text, sorted by path, one line a file:

    sha256  relative/path  url  bytes  date

and one line for each policy that was accepted:

    accepted  name  sha256-of-its-text  date
"""

import hashlib
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from emulator.carbon.errors import StoreError
from emulator.data import locking
from emulator.data.fetching.source import is_sha256
from emulator.data.stores import flush

LOCK = "checksums.lock"
"""Name of the file, in the folder of the data."""

_BUSY = ".fetching"
_HEADER = "# checksums of `sink-emulator catalog fetch`: sha256  path  url  bytes  date"
_ACCEPTED = "accepted"
_SAFE = "/:=&,;@+()[]!$'~"
_DATE = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Locked:
    """A file that was fetched.

    Attributes:
        sha256: Its SHA-256 when it was.
        path: Where it is, below the folder of the data.
        url: Where it came from, without what may be secret.
        bytes: Its length.
        date: When it was fetched, UTC.
    """

    sha256: str
    path: str
    url: str
    bytes: int
    date: datetime


@dataclass(frozen=True)
class Acceptance:
    """A policy that was accepted.

    Attributes:
        name: Its name.
        sha256: SHA-256 of the text that was accepted.
        date: When, UTC.
    """

    name: str
    sha256: str
    date: datetime


@dataclass
class ChecksumLock:
    """The content of a ``checksums.lock``.

    Attributes:
        path: The file.
        files: What was fetched, by path.
        accepted: What was accepted, by name.
    """

    path: Path
    files: dict[str, Locked] = field(default_factory=dict)
    accepted: dict[str, Acceptance] = field(default_factory=dict)

    def accept(self, name: str, text: str, now: datetime) -> None:
        """Note that the text of a policy was accepted, unless it is noted."""
        sha256 = text_hash(text)
        known = self.accepted.get(name)
        if known is None or known.sha256 != sha256:
            self.accepted[name] = Acceptance(name, sha256, now.astimezone(UTC))

    def write(self) -> None:
        """Write the file, whole or not at all."""
        rows = [
            f"{row.sha256}  {_quoted(row.path)}  {row.url.replace(' ', '%20')}  "
            f"{row.bytes}  {row.date:{_DATE}}"
            for _, row in sorted(self.files.items())
        ]
        accepted = [
            f"{_ACCEPTED}  {_quoted(row.name)}  {row.sha256}  {row.date:{_DATE}}"
            for _, row in sorted(self.accepted.items())
        ]
        stage = self.path.with_name(f".{self.path.name}.partial")
        with stage.open("w", encoding="utf-8") as file:
            file.write("\n".join([_HEADER, *accepted, *rows, ""]))
            file.flush()
            os.fsync(file.fileno())
        stage.replace(self.path)
        flush(self.path.parent)


def read_lock(folder: Path) -> ChecksumLock:
    """Read the ``checksums.lock`` of a folder; an empty one where there is none.

    Raises:
        StoreError: If a line is none of its kinds.
    """
    lock = ChecksumLock(folder / LOCK)
    try:
        lines = lock.path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return lock
    except UnicodeDecodeError:
        lines = ["no text"]
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            row = _parsed(line)
        except ValueError:
            raise StoreError(
                f"Line {number} of {lock.path} is {line[:80]!r}, but must be 'sha256  "
                f"path  url  bytes  date' or 'accepted  name  sha256  date'. Mend the "
                f"line, or remove it: its file is then held to be fetched as it is."
            ) from None
        if isinstance(row, Acceptance):
            lock.accepted[row.name] = row
        else:
            lock.files[row.path] = row
    return lock


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text, however its lines are broken."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()


def alone(folder: Path) -> AbstractContextManager[None]:
    """Hold the folder of the data alone among fetches until the block ends.

    Raises:
        LockError: If another process fetches into the folder.
        StoreError: If the folder cannot be written.
    """
    return locking.alone(
        folder / _BUSY,
        busy="Another `catalog fetch` is at work",
        cure="set paths.data (SINK_DATA) to another folder",
    )


def _parsed(line: str) -> Locked | Acceptance:
    """Return what a line says.

    Raises:
        ValueError: If it is no such line.
    """
    words = line.split()
    if words[0] == _ACCEPTED:
        _, name, sha256, date = words
        return Acceptance(unquote(name), _checked(sha256), _moment(date))
    sha256, path, url, size, date = words
    return Locked(_checked(sha256), unquote(path), url, int(size), _moment(date))


def _checked(sha256: str) -> str:
    if not is_sha256(sha256):
        raise ValueError(sha256)
    return sha256


def _moment(said: str) -> datetime:
    return datetime.strptime(said, _DATE).replace(tzinfo=UTC)


def _quoted(text: str) -> str:
    """Return a text without blanks, so that words tell where it ends."""
    return quote(text, safe=_SAFE)
