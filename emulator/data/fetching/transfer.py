"""Files from elsewhere, whole and verified or not at all.

A file is fetched beside its place, checked, forced to disk and renamed. What fails for
a reason that may pass is tried again, each time after twice the wait; what the server
says of the wait is obeyed, up to ``LONGEST_WAIT``. No server can fill the disk: a
transfer ends where more comes than was announced, where nobody announced anything and
no end is seen, and before the file system is full. Addresses appear in messages without
user, password, query.
"""

import hashlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import requests
import urllib3

from emulator.carbon.errors import SettingsError, SourceError, StoreError
from emulator.data.fetching import partial
from emulator.data.fetching.addresses import is_remote, local_path, shown
from emulator.data.fetching.company import Company
from emulator.data.fetching.content import require_plausible
from emulator.data.fetching.refusals import (
    ForbiddenError,
    NotThereError,
    RefusedError,
)
from emulator.data.fetching.session import Session
from emulator.data.fetching.space import gigabytes
from emulator.data.stores import flush

log = logging.getLogger(__name__)

LONGEST_WAIT = 300.0
"""Seconds that are waited at most before another try: who asks for more is down."""

MOST_UNTOLD = 64 * 10**9
"""Bytes of a file whose length nobody tells. Larger than any file that the catalog is
for: a flux of twelve plant types, monthly from 1700 at half a degree, is 48 GB."""

MOST_OF_A_LIST = 256 * 10**6
"""Bytes of a list of files, which is read as a whole: a million rows at most."""

_CHUNK = 2**16
_LOOKED_AFTER = 2**26
"""Bytes between two looks at the space that is left: others write to the disk, too."""

_LONGEST_MESSAGE = 2**20
"""Bytes of what a server may send instead of data: shorter answers are looked into."""

_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that may be others a moment later (RFC 9110, RFC 6585)."""

_AGAIN = "Try again later, as the next night does; if it lasts, ask the source."
_GOES_ON = "The same command goes on from there; if it lasts, ask the source."


@dataclass
class Patience:
    """How long to try.

    Attributes:
        retries: Tries after the first.
        backoff_s: Wait before the second try, s; doubled before each further one.
        timeout_s: Longest silence of a server, s.
        deadline_s: Longest time of one try, s, however steadily a file trickles.
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
    resumes: bool = False,
    newer_than: datetime | None = None,
    check: Callable[[Path], object] | None = None,
    at_most: int | None = None,
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
        at_most: Bytes beyond which it is refused, whatever the server announces; when
            None any number that is announced, else ``MOST_UNTOLD``.
        company: What it shares with other transfers.

    Returns:
        ``target``.

    Raises:
        NotThereError: If the source does not have it.
        ForbiddenError: If the source does not give it, leads elsewhere, or is asked
            with a login that others could read.
        DownError: If its host failed for many files of this company.
        RefusedError: If it has no end.
        SourceError: If it could not be had, or not as announced. Nothing is left,
            unless ``resumes``.
        StoreError: If it cannot be written here, or would fill the disk.
    """
    patience = patience or Patience()
    company = company or Company()
    if sha256 is not None and target.is_file() and _sha256(target) == sha256:
        return target
    job = _Job(
        url,
        target,
        sha256,
        size,
        patience,
        resumes,
        newer_than,
        check,
        at_most,
        company,
    )
    company.require_up(url)
    attempt = 0
    while True:
        company.wait(url, 0.0)
        try:
            path = _fetch_once(job)
        except (SourceError, requests.RequestException) as error:
            refused = _told(error, url, job.again)
            if not _may_pass(error):
                raise refused from None
            if attempt == patience.retries:
                company.gave_up(url)
                raise refused from None
            wait = _wait(error, attempt, patience)
            if _retry_after(error) is not None:
                company.pause(url, wait)
        except OSError as error:
            raise StoreError(
                f"{shown(url)} could not be brought to {target}: {error.strerror}. "
                f"Free some space, or mend the permissions."
            ) from error
        else:
            company.came(url)
            return path
        log.warning("%s Trying again in %.1f s.", refused, wait)
        company.wait(url, wait)
        attempt += 1


def size_of(url: str, patience: Patience, company: Company | None = None) -> int | None:
    """Return the length of a file at an address, bytes; None if that is not told.

    No file is empty: a server that says so without sending one does not know. A host of
    the company that is down is not asked.
    """
    if not is_remote(url):
        path = local_path(url)
        return path.stat().st_size if path.is_file() else None
    company = company or Company()
    headers = {"Accept-Encoding": "identity"}
    with Session() as session:
        try:
            company.require_up(url)
            answer = session.head(
                url,
                timeout=patience.timeout_s,
                headers=headers,
                allow_redirects=True,
            )
        except SourceError:
            return None  # the transfer itself will tell why
        except requests.RequestException:
            company.gave_up(url)
            return None
        company.came(url)
        if answer.status_code != requests.codes.ok:
            return None
        return partial.version_of(answer, url).length or None


def stage_of(target: Path) -> Path:
    """Return where a file is while it is not whole."""
    return target.with_name(f".{target.name}.partial")


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
    at_most: int | None
    company: Company

    @property
    def stage(self) -> Path:
        return stage_of(self.target)

    @property
    def again(self) -> str:
        return _GOES_ON if self.resumes else _AGAIN

    def most(self, announced: int | None) -> int:
        """Return the bytes that are taken, by what the server announced of them."""
        if self.size is not None:
            most = max(self.size, _LONGEST_MESSAGE)
        else:
            most = MOST_UNTOLD if announced is None else announced
        return most if self.at_most is None else min(most, self.at_most)


class _TooSlow(requests.Timeout):
    """The file came, but not in time."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"not complete after {deadline_s:g} s")


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
            job.company.count(-size)
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
    path = local_path(job.url)
    if not path.is_file():
        raise NotThereError(_absent(job.url))
    with path.open("rb") as source, job.stage.open("wb") as file:
        pieces = iter(lambda: source.read(_CHUNK), b"")
        _pour(job, pieces, file, path.stat().st_size)
        _flush(file)
    return True


def _download(job: _Job) -> bool:
    known = shown(job.url)
    held = partial.held(job.stage, known) if job.resumes else None
    if held is not None and held.is_whole:
        job.company.count(held.bytes)
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
        Session() as session,
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
        pieces = _chunks(response, job.patience.deadline_s)
        _pour(job, pieces, file, version.length, offset)
        _flush(file)


def _pour(
    job: _Job,
    pieces: Iterable[bytes],
    file: IO[bytes],
    length: int | None,
    offset: int = 0,
) -> None:
    """Write what comes behind what is there, but no more than there is room for.

    Args:
        job: What is brought.
        pieces: What comes.
        file: The stage, at the place that is written next.
        length: Bytes of the whole file, as its source announces them.
        offset: Bytes that are there.
    """
    company, counted, looked = job.company, offset, offset
    total = length or job.size or 0
    most = job.most(length)
    if length is not None and length > most:
        raise _endless(job, most)
    company.room.hold(job.stage, max(0, total - counted))
    try:
        company.count(offset)
        for piece in pieces:
            if counted + len(piece) > most:
                raise _endless(job, most)
            file.write(piece)
            counted += len(piece)
            company.count(len(piece))
            left = max(0, total - counted)
            if counted - looked < _LOOKED_AFTER:
                company.room.lessen(job.stage, left)
            else:
                company.room.hold(job.stage, left)
                looked = counted
        if length not in (None, counted):
            what = f"{counted} of {length} bytes"
            raise requests.exceptions.ChunkedEncodingError(what)
    except Exception:
        company.count(-counted)  # it is counted again when it is gone on with
        raise
    finally:
        company.room.release(job.stage)


def _endless(job: _Job, most: int) -> SourceError:
    """Return what is wrong with a file that goes on too long; keep nothing of it."""
    partial.discard(job.stage)
    if job.size is not None:
        return SourceError(
            f"{shown(job.url)} is longer than announced: more than {most} bytes came, "
            f"{job.size} were announced. {job.again}"
        )
    if job.at_most is not None:
        cure = "which is more than it may have. Look into it, and ask the source."
    else:
        cure = (
            "or has no end, and nobody said how long it is. Look into it; if it is "
            "right, state its length in 'fetch.known' of an entry of your own, or in "
            "the source's list of files."
        )
    return RefusedError(f"{shown(job.url)} has more than {gigabytes(most)}, {cure}")


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
            f"~/.netrc, which is sent by https:// only; or it has no such file, which "
            f"object stores tell so, too: correct the address."
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
