"""Files from elsewhere, whole and verified or not at all.

A file is fetched beside its place, checked, forced to disk and renamed. What fails for
a reason that may pass is tried again, each time after twice the wait; what the server
says of the wait is obeyed. Addresses appear in messages without user, password, query.
"""

import hashlib
import logging
import os
import random
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

import requests
import urllib3

from emulator.carbon.errors import SettingsError, SourceError, StoreError
from emulator.data.stores import flush

log = logging.getLogger(__name__)

LONGEST_WAIT = 300.0
"""Seconds that are waited at most before another try: who asks for more is down."""

_CHUNK = 2**16
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that may be others a moment later (RFC 9110, RFC 6585)."""

_WEB_PAGE = (b"<!doctype", b"<html")


class NotThereError(SourceError):
    """A source answers, but does not have the file."""


@dataclass
class Patience:
    """How long to try.

    Attributes:
        retries: Tries after the first.
        backoff_s: Wait before the second try, s; doubled before each further one.
        timeout_s: Longest silence of a server, s.
        deadline_s: Longest time for one file, s, however steadily it trickles.
    """

    retries: int = 4
    backoff_s: float = 2.0
    timeout_s: float = 30.0
    deadline_s: float = 900.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SettingsError: If a number is impossible.
        """
        if self.retries < 0 or self.backoff_s < 0:
            raise SettingsError(
                f"retries and backoff_s must be 0 or more, got {self.retries} and "
                f"{self.backoff_s:g}."
            )
        if self.timeout_s <= 0 or self.deadline_s <= 0:
            raise SettingsError(
                f"timeout_s and deadline_s must be above 0, got {self.timeout_s:g} and "
                f"{self.deadline_s:g}."
            )


def fetch(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    patience: Patience | None = None,
) -> Path:
    """Bring a file here.

    Args:
        url: ``http(s)://``, ``file://``, or a path.
        target: Where it shall be. A file there that is as announced is kept.
        sha256: What its SHA-256 must be; any when None.
        size: Its length, bytes; any when None.
        patience: How long to try.

    Returns:
        ``target``.

    Raises:
        NotThereError: If the source does not have it.
        SourceError: If it could not be had, or not as announced. Nothing is left.
        StoreError: If it cannot be written here.
    """
    patience = patience or Patience()
    if sha256 is not None and target.is_file() and _sha256(target) == sha256:
        return target
    attempt = 0
    while True:
        try:
            return _fetch_once(url, target, sha256, size, patience)
        except (SourceError, requests.RequestException) as error:
            refused = _told(error, url)
            if attempt == patience.retries or not _may_pass(error):
                raise refused from None
            wait = _wait(error, attempt, patience)
        except OSError as error:
            raise StoreError(
                f"{shown(url)} could not be brought to {target}: {error.strerror}. "
                f"Free some space, or mend the permissions."
            ) from error
        log.warning("%s Trying again in %.1f s.", refused, wait)
        time.sleep(wait)
        attempt += 1


def is_remote(url: str) -> bool:
    """Return whether an address is one of the network."""
    return urlsplit(url).scheme in ("http", "https")


def local_path(url: str) -> Path:
    """Return the path that a ``file://`` address or a path means."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else Path(url)


def shown(url: str) -> str:
    """Return an address without what may be secret: user, password, query."""
    if not is_remote(url):
        return str(local_path(url))
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


class _TooSlow(requests.Timeout):
    """The file came, but not in time."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"not complete after {deadline_s:g} s")


def _fetch_once(
    url: str, target: Path, sha256: str | None, size: int | None, patience: Patience
) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = target.with_name(f".{target.name}.partial")
    try:
        with stage.open("wb") as file:
            _copy(url, file, patience)
            file.flush()
            os.fsync(file.fileno())
        _require_announced(stage, url, sha256, size)
        stage.replace(target)
        flush(target.parent)
    finally:
        stage.unlink(missing_ok=True)
    return target


def _copy(url: str, file: IO[bytes], patience: Patience) -> None:
    if is_remote(url):
        _download(url, file, patience)
        return
    try:
        source = local_path(url).open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise NotThereError(_absent(url)) from None
    with source:
        shutil.copyfileobj(source, file, _CHUNK)


def _download(url: str, file: IO[bytes], patience: Patience) -> None:
    begun = time.monotonic()
    # As stored: a length can only be checked of what was sent.
    headers = {"Accept-Encoding": "identity"}
    with requests.get(
        url, stream=True, timeout=patience.timeout_s, headers=headers
    ) as response:
        response.raise_for_status()
        try:
            # Whatever is there is taken at once: who waits for a full chunk of a
            # trickle never looks at the clock.
            while chunk := response.raw.read1(_CHUNK):
                file.write(chunk)
                if time.monotonic() - begun > patience.deadline_s:
                    raise _TooSlow(patience.deadline_s)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.Timeout(str(error)) from None
        except urllib3.exceptions.HTTPError as error:
            raise requests.exceptions.ChunkedEncodingError(str(error)) from None


def _require_announced(
    path: Path, url: str, sha256: str | None, size: int | None
) -> None:
    """Refuse what is not the file that was announced, and say what it is instead."""
    found = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith(_WEB_PAGE):
        raise SourceError(
            f"{shown(url)} is a web page, but data are needed: the server sent a "
            f"message, perhaps asks for a login. Open the address in a browser."
        )
    if not found:
        raise SourceError(f"{shown(url)} is empty, but data are needed. {_AGAIN}")
    if size is not None and found != size:
        what = "truncated" if found < size else "longer than announced"
        raise SourceError(
            f"{shown(url)} is {what}: {found} bytes came, {size} were announced. "
            f"{_AGAIN}"
        )
    if sha256 is not None and (came := _sha256(path)) != sha256:
        raise SourceError(
            f"{shown(url)} has the wrong checksum: SHA-256 {came[:12]}... came, "
            f"{sha256[:12]}... was announced. {_AGAIN}"
        )


_AGAIN = "The next night tries again; if it lasts, ask the source."


def _told(error: Exception, url: str) -> SourceError:
    """Return an error of the transfer in words, without what may be secret."""
    if isinstance(error, SourceError):
        return error
    response = getattr(error, "response", None)
    if response is not None and response.status_code in (404, 410):
        return NotThereError(_absent(url))
    if response is not None:
        reason = f"the server answers {response.status_code} {response.reason}"
    elif isinstance(error, _TooSlow):
        reason = str(error)
    elif isinstance(error, requests.Timeout):
        reason = "the server is silent"
    elif isinstance(error, requests.exceptions.ChunkedEncodingError):
        reason = "the transfer broke off"
    else:
        reason = f"the connection failed ({type(error).__name__})"
    return SourceError(f"{shown(url)} could not be fetched: {reason}. {_AGAIN}")


def _absent(url: str) -> str:
    return (
        f"{shown(url)} is not there. Correct the source's url, or wait until the "
        f"source offers it."
    )


def _may_pass(error: Exception) -> bool:
    if isinstance(error, NotThereError):
        return False
    response = getattr(error, "response", None)
    return response is None or response.status_code in _PASSING


def _wait(error: Exception, attempt: int, patience: Patience) -> float:
    """Return the seconds to wait: what the server asks for, else twice the last."""
    asked = _retry_after(getattr(error, "response", None))
    # Spread, so that all users of a source do not come back in one moment.
    own = patience.backoff_s * 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311
    return min(LONGEST_WAIT, own if asked is None else max(asked, own))


def _retry_after(response: requests.Response | None) -> float | None:
    """Return what a server asks for, s (RFC 9110: seconds or a date)."""
    if response is None:
        return None
    said = str(response.headers.get("Retry-After", "")).strip()
    if said.isdigit():
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
        return float((moment - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
