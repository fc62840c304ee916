"""The catalog's key ``fetch``: where the files of a product can be had."""

import re
from dataclasses import dataclass, field
from datetime import date
from typing import Literal
from urllib.parse import urlsplit

from emulator.carbon.errors import CatalogError

PLACEHOLDERS = ("simulation", "variable", "year", "month", "day")
"""What may stand in braces in ``files`` and ``instead``."""

_WILDCARDS = re.compile(r"[*?\[]")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DATASET = re.compile(r"[\w.-]+")


@dataclass(frozen=True)
class KnownFile:
    """What is known of a file before it is fetched.

    Attributes:
        bytes: Its length.
        sha256: Its SHA-256.
    """

    bytes: int | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        """Check that the checksum is one."""
        if self.sha256 and not is_sha256(self.sha256):
            raise CatalogError(
                f"'sha256' is {self.sha256!r}, but must be 64 digits of 0-9 and a-f, "
                f"as `sha256sum FILE` prints them."
            )


@dataclass(frozen=True)
class ClientRequest:
    """A request to a service that has a client of its own and wants a login.

    Attributes:
        service: The Climate Data Store, or the Copernicus Marine Service.
        dataset: The service's name of the product.
        variables: The service's names of what each canonical variable is made from.
        request: All else that the request says.
    """

    service: Literal["cds", "copernicusmarine"]
    dataset: str
    variables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    request: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what becomes part of a script that somebody runs."""
        keys = [key for key in self.request if not key.isidentifier()]
        if not _DATASET.fullmatch(self.dataset) or keys:
            raise CatalogError(
                f"'client' names the dataset {self.dataset!r} and in 'request' the "
                f"keys {list(self.request)}, but the one must be letters, digits, '.', "
                f"'_' and '-', the others names of arguments. Write them as the "
                f"service does."
            )
        several = [key for key, said in self.request.items() if len(said) > 1]
        if self.service == "copernicusmarine" and several:
            raise CatalogError(
                f"'request' gives several values to '{several[0]}', but each argument "
                f"of the Copernicus Marine Service's client has one. Leave one."
            )


@dataclass(frozen=True)
class FetchSource:
    """Where the files of a product can be had.

    Exactly one of ``base``, ``client`` and ``in_place``.

    Attributes:
        base: Address of the folder below which files lie as they shall below the
            entry's root. ``https://``, ``file://`` or ``http://``; ends with "/".
        files: Paths below ``base``, with ``PLACEHOLDERS``; those by which the entry is
            read when empty. Wildcards need ``index``.
        instead: Path that is tried where one of ``files`` is not there, e.g. the
            preliminary file of a day.
        index: Address of a list of all files, JSON: ``[[path, bytes, time], ...]``, or
            ``{"files": [{"name": path, "bytes": ..., "sha256": ...}, ...]}``.
        prefix: What paths in ``index`` begin with and addresses do not.
        known: Length and checksum of files by their path below ``base``.
        begins: First day of files of days or months, YYYY-MM-DD; the first of the
            entry's ``years`` when empty.
        changes: The provider replaces files under their name, e.g. by longer ones:
            they are asked for anew each time and are no error.
        accept: Name under which the entry's ``policy`` must be accepted before
            anything is fetched; nothing need be accepted when empty.
        client: A request to a service with a client of its own.
        in_place: How to read the product where it lies, since nobody copies it.
    """

    base: str = ""
    files: tuple[str, ...] = ()
    instead: str = ""
    index: str = ""
    prefix: str = ""
    known: dict[str, KnownFile] = field(default_factory=dict)
    begins: str = ""
    changes: bool = False
    accept: str = ""
    client: ClientRequest | None = None
    in_place: str = ""

    def __post_init__(self) -> None:
        """Check what depends on no other key of the entry."""
        ways = (self.base, self.client, self.in_place)
        if sum(map(bool, ways)) != 1:
            raise CatalogError(
                f"{sum(map(bool, ways))} of 'base', 'client' and 'in_place' are given, "
                f"but exactly one is needed: a folder of files, a request to a "
                f"service, or how to read the product where it lies."
            )
        if self.base:
            require_address(self.base, "base")
            if not self.base.endswith("/"):
                raise CatalogError(
                    f"'base' is {self.base!r}, but must end with '/': it is the folder "
                    f"that the paths of 'files' lie below."
                )
        if self.index:
            require_address(self.index, "index")
        for pattern in (*self.files, self.instead):
            _require_pattern(pattern, has_index=bool(self.index))
        if self.begins:
            try:
                date.fromisoformat(self.begins)
            except ValueError:
                raise CatalogError(
                    f"'begins' is {self.begins!r}, but must be a day such as "
                    f"1981-09-01, in quotes."
                ) from None


def require_address(url: str, key: str) -> None:
    """Refuse an address of an unknown scheme, or one that may hold a secret.

    Raises:
        CatalogError: If it is such an address; what may be secret is not repeated.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http", "file"):
        raise CatalogError(
            f"'{key}' has the scheme '{parts.scheme}', but must begin with https:// "
            f"(or file:///)."
        )
    if "@" in parts.netloc:
        raise CatalogError(
            f"'{key}' holds a user or password, which no catalog may. Write "
            f"'machine {parts.hostname} login USER password PASSWORD' into ~/.netrc "
            f"and take them out of the address."
        )
    if parts.query:
        raise CatalogError(
            f"'{key}' holds a query ('?...'), which may be a key, and entries travel "
            f"into stores. Give an address without one."
        )


def is_sha256(text: str) -> bool:
    """Return whether a text is a SHA-256, in small letters."""
    return _SHA256.fullmatch(text) is not None


def has_wildcard(pattern: str) -> bool:
    """Return whether a path stands for more than one."""
    return bool(_WILDCARDS.search(pattern))


def _require_pattern(pattern: str, *, has_index: bool) -> None:
    unknown = set(re.findall(r"{(\w*)}", pattern)) - set(PLACEHOLDERS)
    if unknown:
        raise CatalogError(
            f"The path '{pattern}' holds {{{min(unknown)}}}; what may stand in braces "
            f"is {', '.join(PLACEHOLDERS)}."
        )
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise CatalogError(
            f"The path '{pattern}' leads out of 'base'. Write it from there on, "
            f"without '..' and without '/' at its beginning."
        )
    if has_wildcard(pattern) and not has_index:
        raise CatalogError(
            f"The path '{pattern}' holds a wildcard, but nothing lists the files. "
            f"Write the path out, or give 'index', the address of a list."
        )
