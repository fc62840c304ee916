"""What is left of a transfer that broke off, and whether it may be gone on with.

Beside the beginning of a file a note is kept that says which version of the file it
belongs to. The rest is asked for on the condition that the server still has this
version (RFC 9110, sections 13.1.5 and 14); what it answers is checked all the same,
since servers ignore ranges, conditions, or both.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import requests

_NUMBER = re.compile(r"[0-9]{1,18}")
_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")


@dataclass(frozen=True)
class Version:
    """Which version of a file a server has.

    Attributes:
        url: Its address, without what may be secret.
        tag: The server's own name of the version ("ETag"); empty where it gives none.
        modified: When the server says that it changed ("Last-Modified").
        length: Bytes of the whole file; None where the server does not say.
    """

    url: str
    tag: str
    modified: str
    length: int | None

    @property
    def condition(self) -> str:
        """What tells the version in a request; empty where nothing does.

        A weak tag ("W/...") stands for files that differ in their bytes.
        """
        return self.modified if self.tag.startswith("W/") else self.tag or self.modified


@dataclass(frozen=True)
class Held:
    """The beginning of a file.

    Attributes:
        bytes: How much of it there is.
        version: The version that it belongs to.
    """

    bytes: int
    version: Version

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing."""
        return self.bytes == self.version.length

    def headers(self) -> dict[str, str]:
        """Return what asks for the rest of the same version."""
        return {
            "Range": f"bytes={self.bytes}-",
            "If-Range": self.version.condition,
        }

    def is_continued_by(self, response: requests.Response, url: str) -> bool:
        """Return whether a response is the rest of the same version."""
        begins = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        return (
            response.status_code == requests.codes.partial_content
            and begins is not None
            and int(begins[1]) == self.bytes
            and version_of(response, url) == self.version
        )


def version_of(response: requests.Response, url: str) -> Version:
    """Return which version a response tells of, whole or in part."""
    headers = response.headers
    part = _RANGE.fullmatch(headers.get("Content-Range", ""))
    length = part[2] if part else headers.get("Content-Length", "")
    return Version(
        url=url,
        tag=headers.get("ETag", ""),
        modified=headers.get("Last-Modified", ""),
        length=int(length) if is_number(length) else None,
    )


def is_number(said: str) -> bool:
    """Return whether a header is a number that can be one of bytes or seconds."""
    return _NUMBER.fullmatch(said) is not None


def held(stage: Path, url: str) -> Held | None:
    """Return what there is of a file; None if it cannot be gone on with."""
    try:
        said = json.loads(_note(stage).read_text("utf-8"))
        version = Version(**said)
        size = stage.stat().st_size
    except (OSError, ValueError, TypeError):
        return None
    fits = version.length is None or size <= version.length
    if not size or not fits or version.url != url or not version.condition:
        return None
    return Held(size, version)


def note(stage: Path, version: Version) -> None:
    """Keep which version of a file is about to be written."""
    _note(stage).write_text(json.dumps(asdict(version)) + "\n", "utf-8")


def discard(stage: Path) -> None:
    """Remove what there is of a file."""
    # The note first: a beginning without a note is begun again, the reverse is not.
    _note(stage).unlink(missing_ok=True)
    stage.unlink(missing_ok=True)


def forget(stage: Path) -> None:
    """Remove the note of a file that is whole."""
    _note(stage).unlink(missing_ok=True)


def _note(stage: Path) -> Path:
    return stage.with_name(f"{stage.name}.json")
