"""Files from elsewhere, whole and verified or not at all.

A file is fetched beside its place, checked, forced to disk and renamed. What fails for
a reason that may pass is tried again, each time after twice the wait; what the server
says of the wait is obeyed, up to ``LONGEST_WAIT``. Addresses appear in messages without
user, password, query; logins are read from ``~/.netrc`` and sent to the host that they
are for.
"""

import hashlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urljoin, urlsplit

import requests
import urllib3

from emulator.carbon.errors import SettingsError, SourceError, StoreError
from emulator.data.fetching import partial
from emulator.data.fetching.content import require_plausible
from emulator.data.stores import flush

log = logging.getLogger(__name__)

LONGEST_WAIT = 300.0
"""Seconds that are waited at most before another try: who asks for more is down."""

_CHUNK = 2**16
_LONGEST_MESSAGE = 2**20
"""Bytes of what a server may send instead of data: shorter answers are looked into."""

_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that may be others a moment later (RFC 9110, RFC 6585)."""

_AGAIN = "The next night tries again; if it lasts, ask the source."
_GOES_ON = "The same command goes on from there; if it lasts, ask the source."


class RefusedError(SourceError):
    """A source answers, and asking again will not change the answer."""


class NotThereError(RefusedError):
    """A source answers, but does not have the file."""


class ForbiddenError(RefusedError):
    """A source answers, but does not give the file."""


class StoppedError(RefusedError):
    """A transfer was told to stop."""


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


class Company:
    """What transfers that run at the same time share: a count, pauses and an end.

    A pause that a server asks one of them for is kept by all that ask this server.
    """

    def __init__(self, arrived: Callable[[int], object] = lambda _: None) -> None:
        """Begin with nothing.

        Args:
            arrived: Called with the bytes of each piece; negative where a piece is
                thrown away.
        """
        self._arrived = arrived
        self._stopped = threading.Event()
        self._paused: dict[str, float] = {}

    def stop(self) -> None:
        """Let all transfers end at their next piece."""
        self._stopped.set()

    def count(self, size: int) -> None:
        """Count bytes.

        Raises:
            StoppedError: If transfers were told to stop.
        """
        self._arrived(size)
        self._go_on()

    def pause(self, url: str, seconds: float) -> None:
        """Let nobody ask the host of an address for some time."""
        until = time.monotonic() + seconds
        host = urlsplit(url).netloc
        self._paused[host] = max(until, self._paused.get(host, until))

    def wait(self, url: str, seconds: float) -> None:
        """Wait, and then as long as the host of an address asked for.

        Raises:
            StoppedError: If transfers were told to stop.
        """
        self._stopped.wait(seconds)
        while (left := self._pause_of(url) - time.monotonic()) > 0:
            if self._stopped.wait(left):
                break
        self._go_on()

    def _pause_of(self, url: str) -> float:
        return self._paused.get(urlsplit(url).netloc, 0.0)

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise StoppedError(
                "The transfer was stopped. The same command goes on from there."
            )


def fetch(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    patience: Patience | None = None,
    resumes: bool = False,
    newer_than: datetime | None = None,
    check: Callable[[Path], object] | None = None,
    company: Company | None = None,
) -> Path:
    """Bring a file here.

    Args:
        url: ``http(s)://``, ``file://``, or a path.
        target: Where it shall be. A file there that is as announced is kept.
        sha256: What its SHA-256 must be; any when None.
        size: Its length, bytes; any when None.
        patience: How long to try.
        resumes: Whether the beginning of a file stays where a transfer breaks off, and
            the next one goes on from there.
        newer_than: Keep what is there unless the server says that it changed since,
            with the time's zone.
        check: Called with the whole file before it gets its name; a ``RefusedError``
            of it ends the matter, a ``SourceError`` lets the file be asked for again.
        company: What it shares with other transfers.

    Returns:
        ``target``.

    Raises:
        NotThereError: If the source does not have it.
        ForbiddenError: If the source does not give it, or leads elsewhere.
        SourceError: If it could not be had, or not as announced. Nothing is left,
            unless ``resumes``.
        StoreError: If it cannot be written here.
    """
    patience = patience or Patience()
    if sha256 is not None and target.is_file() and _sha256(target) == sha256:
        return target
    job = _Job(url, target, sha256, size, patience, resumes, newer_than, check, company)
    attempt = 0
    while True:
        if company is not None:
            company.wait(url, 0.0)
        try:
            return _fetch_once(job)
        except (SourceError, requests.RequestException) as error:
            refused = _told(error, url, job.again)
            if attempt == patience.retries or not _may_pass(error):
                raise refused from None
            wait = _wait(error, attempt, patience)
            if company is not None and _retry_after(error) is not None:
                company.pause(url, wait)
        except OSError as error:
            raise StoreError(
                f"{shown(url)} could not be brought to {target}: {error.strerror}. "
                f"Free some space, or mend the permissions."
            ) from error
        log.warning("%s Trying again in %.1f s.", refused, wait)
        if company is None:
            time.sleep(wait)
        else:
            company.wait(url, wait)
        attempt += 1


def size_of(url: str, patience: Patience) -> int | None:
    """Return the length of a file at an address, bytes; None if that is not told.

    No file is empty: a server that says so without sending one does not know.
    """
    if not is_remote(url):
        path = local_path(url)
        return path.stat().st_size if path.is_file() else None
    headers = {"Accept-Encoding": "identity"}
    with _Session() as session:
        try:
            answer = session.head(
                url,
                timeout=patience.timeout_s,
                headers=headers,
                allow_redirects=True,
            )
        except (requests.RequestException, SourceError):
            return None  # the transfer itself will tell why
        if answer.status_code != requests.codes.ok:
            return None
        return partial.version_of(answer, url).length or None


def stage_of(target: Path) -> Path:
    """Return where a file is while it is not whole."""
    return target.with_name(f".{target.name}.partial")


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


@dataclass(frozen=True)
class _Job:
    """What ``fetch`` was told."""

    url: str
    target: Path
    sha256: str | None
    size: int | None
    patience: Patience
    resumes: bool
    newer_than: datetime | None
    check: Callable[[Path], object] | None
    company: Company | None

    @property
    def stage(self) -> Path:
        return stage_of(self.target)

    @property
    def again(self) -> str:
        return _GOES_ON if self.resumes else _AGAIN

    def count(self, size: int) -> None:
        if self.company is not None:
            self.company.count(size)


class _TooSlow(requests.Timeout):
    """The file came, but not in time."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"not complete after {deadline_s:g} s")


class _Session(requests.Session):
    """Follows a server to another address, but into no other kind of transfer."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return where a response leads to.

        Raises:
            ForbiddenError: If that is neither encrypted nor of the same scheme.
        """
        target: str | None = super().get_redirect_target(resp)
        if target is None:
            return None
        before = urlsplit(resp.url).scheme
        after = urlsplit(urljoin(resp.url, target)).scheme
        if after not in ("https", before):
            resp.close()
            raise ForbiddenError(
                f"{shown(resp.url)} leads on to an address of the scheme '{after}', "
                f"but '{before}' was asked for and only https may replace it. Give the "
                f"address that the file has by now."
            )
        return target


def _fetch_once(job: _Job) -> Path:
    job.target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if not _bring(job):
            return job.target
        try:
            _require_announced(job)
            if job.check is not None:
                job.check(job.stage)
        except SourceError:
            size = job.stage.stat().st_size
            partial.discard(job.stage)
            job.count(-size)
            raise
        job.stage.replace(job.target)
        flush(job.target.parent)
    finally:
        if not job.resumes:
            job.stage.unlink(missing_ok=True)
    partial.forget(job.stage)
    return job.target


def _bring(job: _Job) -> bool:
    """Write the whole file to the stage; False if that of the target is the newest."""
    if is_remote(job.url):
        return _download(job)
    try:
        source = local_path(job.url).open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise NotThereError(_absent(job.url)) from None
    with source, job.stage.open("wb") as file:
        while chunk := source.read(_CHUNK):
            file.write(chunk)
            job.count(len(chunk))
        _flush(file)
    return True


def _download(job: _Job) -> bool:
    known = shown(job.url)
    held = partial.held(job.stage, known) if job.resumes else None
    if held is not None and held.is_whole:
        job.count(held.bytes)
        return True
    # As stored: a length can only be checked of what was sent.
    headers = {"Accept-Encoding": "identity"}
    if held is not None:
        headers |= held.headers()
    if job.newer_than is not None:
        headers["If-Modified-Since"] = format_datetime(
            job.newer_than.astimezone(UTC), usegmt=True
        )
    with (
        _Session() as session,
        session.get(
            job.url, stream=True, timeout=job.patience.timeout_s, headers=headers
        ) as response,
    ):
        code = response.status_code
        if code == requests.codes.not_modified and job.newer_than is not None:
            return False
        goes_on = held is not None and held.is_continued_by(response, known)
        if goes_on or code == requests.codes.ok:
            if held is not None and not goes_on:
                log.info("%s is begun again: it changed, or has no parts.", known)
            offset = held.bytes if held is not None and goes_on else 0
            _write(job, response, offset)
            return True
        if held is None or code not in _NO_SUCH_PART:
            response.raise_for_status()
            raise SourceError(
                f"{known} could not be fetched: the server answers {code} "
                f"{response.reason}, but 200 and the whole file is needed. {job.again}"
            )
    # Some other part came, or none: this version is no more.
    log.info("%s is begun again: what is here is no part of it.", known)
    partial.discard(job.stage)
    return _download(job)


_NO_SUCH_PART = (requests.codes.partial, requests.codes.requested_range_not_satisfiable)


def _write(job: _Job, response: requests.Response, offset: int) -> None:
    """Write what a response brings behind the first ``offset`` bytes of the stage."""
    _require_as_stored(job, response)
    version = partial.version_of(response, shown(job.url))
    if version.length is not None and version.length > _LONGEST_MESSAGE:
        _require_size(job, version.length)  # before gigabytes come in vain
    with job.stage.open("r+b" if offset else "wb") as file:
        if not offset and job.resumes:
            # Only now: the note must not stand beside the beginning of another version.
            partial.note(job.stage, version)
        file.seek(offset)
        counted = offset
        try:
            job.count(offset)
            for chunk in _chunks(response, job.patience.deadline_s):
                file.write(chunk)
                counted += len(chunk)
                job.count(len(chunk))
            if version.length not in (None, counted):
                what = f"{counted} of {version.length} bytes"
                raise requests.exceptions.ChunkedEncodingError(what)
        except (requests.RequestException, OSError):
            job.count(-counted)  # it is counted again when it is gone on with
            raise
        _flush(file)


def _chunks(response: requests.Response, deadline_s: float) -> Iterator[bytes]:
    begun = time.monotonic()
    try:
        # Whatever is there is taken at once: who waits for a full chunk of a trickle
        # never looks at the clock.
        while chunk := response.raw.read1(_CHUNK):
            yield chunk
            if time.monotonic() - begun > deadline_s:
                raise _TooSlow(deadline_s)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.Timeout(str(error)) from None
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(str(error)) from None


def _require_as_stored(job: _Job, response: requests.Response) -> None:
    """Refuse what was packed on the way against our request.

    Some servers say so of a packed file itself: then it comes as it is stored.
    """
    coding = response.headers.get("Content-Encoding", "identity").lower()
    if coding != "identity" and job.target.suffix.lower() not in (".gz", ".tgz"):
        raise SourceError(
            f"{shown(job.url)} came packed as '{coding}', but was asked for as it is "
            f"stored. {job.again}"
        )


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _require_announced(job: _Job) -> None:
    """Refuse what is not the file that was announced, and say what it is instead."""
    require_plausible(job.stage, job.target.name, shown(job.url))
    _require_size(job, job.stage.stat().st_size)
    if job.sha256 is not None and (came := _sha256(job.stage)) != job.sha256:
        raise SourceError(
            f"{shown(job.url)} has the wrong checksum: SHA-256 {came[:12]}... came, "
            f"{job.sha256[:12]}... was announced. {job.again}"
        )


def _require_size(job: _Job, found: int) -> None:
    if job.size is not None and found != job.size:
        what = "truncated" if found < job.size else "longer than announced"
        raise SourceError(
            f"{shown(job.url)} is {what}: {found} bytes came, {job.size} were "
            f"announced. {job.again}"
        )


def _told(error: Exception, url: str, again: str) -> SourceError:
    """Return an error of the transfer in words, without what may be secret."""
    if isinstance(error, SourceError):
        return error
    response = getattr(error, "response", None)
    if response is not None and response.status_code in (404, 410):
        return NotThereError(_absent(url))
    if response is not None and response.status_code in (401, 403):
        return ForbiddenError(
            f"{shown(url)} could not be fetched: the server answers "
            f"{response.status_code} {response.reason}. Either it wants a login: write "
            f"'machine {urlsplit(url).hostname} login USER password PASSWORD' into "
            f"~/.netrc; or it has no such file, which object stores tell so, too: "
            f"correct the address."
        )
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
    return SourceError(f"{shown(url)} could not be fetched: {reason}. {again}")


def _absent(url: str) -> str:
    return (
        f"{shown(url)} is not there. Correct the source's url, or wait until the "
        f"source offers it."
    )


def _may_pass(error: Exception) -> bool:
    if isinstance(error, RefusedError):
        return False
    response = getattr(error, "response", None)
    return response is None or response.status_code in _PASSING


def _wait(error: Exception, attempt: int, patience: Patience) -> float:
    """Return the seconds to wait: what the server asks for, else twice the last."""
    asked = _retry_after(error)
    # Spread, so that all users of a source do not come back in one moment.
    own = patience.backoff_s * 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311
    return min(LONGEST_WAIT, own if asked is None else max(asked, own))


def _retry_after(error: Exception) -> float | None:
    """Return what a server asks for, s (RFC 9110: seconds or a date)."""
    response = getattr(error, "response", None)
    if response is None:
        return None
    said = str(response.headers.get("Retry-After", "")).strip()
    if partial.is_number(said):
        return float(said)
    try:
        moment = parsedate_to_datetime(said)
        return float((moment - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
