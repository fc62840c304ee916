"""A file comes whole and verified or not at all, however the server misbehaves."""

import errno
import gzip
import hashlib
import os
import time
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from emulator.carbon.errors import SettingsError, SourceError, StoreError
from emulator.data.fetching import space, transfer
from emulator.data.fetching.company import Company
from emulator.data.fetching.partial import version_of
from emulator.data.fetching.refusals import NotThereError, RefusedError
from emulator.data.fetching.transfer import Patience, fetch
from tests.data import servers
from tests.data.servers import Server

CONTENT = b"\x89HDF" + bytes(range(256)) * 64
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ANNOUNCED: dict[str, Any] = {"sha256": SHA256, "size": len(CONTENT)}
QUICK = Patience(retries=2, backoff_s=0.01, timeout_s=1.0, deadline_s=5.0)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the waits between tries instead of waiting."""
    asked: list[float] = []

    def wait(_company: Company, _url: str, seconds: float) -> None:
        asked.extend([seconds] if seconds else [])

    monkeypatch.setattr(Company, "wait", wait)
    return asked


def test_a_file_is_brought_once(server: Server, tmp_path: Path) -> None:
    url = server.does("a.nc", servers.sends(CONTENT))
    target = tmp_path / "new" / "a.nc"
    assert fetch(url, target, **ANNOUNCED, patience=QUICK) == target
    assert target.read_bytes() == CONTENT
    fetch(url, target, **ANNOUNCED, patience=QUICK)
    assert server.asked == ["a.nc"]
    assert [path.name for path in target.parent.iterdir()] == ["a.nc"]


def test_a_file_of_another_checksum_is_brought_again(
    server: Server, tmp_path: Path
) -> None:
    url = server.does("a.nc", servers.sends(CONTENT))
    target = tmp_path / "a.nc"
    target.write_bytes(b"of yesterday")
    fetch(url, target, **ANNOUNCED, patience=QUICK)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("misbehaviour", "message"),
    [
        (servers.resets(CONTENT, 5000), "the transfer broke off|connection failed"),
        (servers.truncates(CONTENT, 5000), "the transfer broke off"),
        (servers.sends(CONTENT[:5000]), "truncated: 5000 bytes came, 16388 were"),
        (servers.sends(CONTENT + b"x"), "longer than announced: 16389 bytes"),
        (servers.sends(CONTENT[:-1] + b"x"), "wrong checksum: SHA-256 "),
        (servers.sends(servers.LOGIN), "is a web page, .* asks for a login"),
        (servers.sends(b"  <html>x"), "is a web page"),
        (servers.sends(b""), "is empty"),
        (servers.status(503), "the server answers 503 Service Unavailable"),
        (servers.status(429), "the server answers 429 Too Many Requests"),
        (servers.hangs(1.5), "the server is silent"),
    ],
)
def test_what_may_pass_is_tried_again_and_then_refused(
    server: Server, tmp_path: Path, misbehaviour: servers.Behaviour, message: str
) -> None:
    url = server.does("a.nc", misbehaviour)
    with pytest.raises(SourceError, match=message):
        fetch(url, tmp_path / "a.nc", **ANNOUNCED, patience=QUICK)
    assert server.asked == ["a.nc"] * 3
    assert not list(tmp_path.iterdir())
    # And where it passes, nobody hears of it.
    server.does("a.nc", misbehaviour, servers.sends(CONTENT))
    assert fetch(url, tmp_path / "a.nc", **ANNOUNCED, patience=QUICK).is_file()


def test_what_was_there_stays_when_the_new_is_refused(
    server: Server, tmp_path: Path
) -> None:
    target = tmp_path / "a.nc"
    target.write_bytes(b"of yesterday")
    url = server.does("a.nc", servers.sends(servers.LOGIN))
    with pytest.raises(SourceError):
        fetch(url, target, **ANNOUNCED, patience=QUICK)
    assert target.read_bytes() == b"of yesterday"


@pytest.mark.parametrize("code", [404, 410])
def test_what_is_not_there_is_asked_for_once(
    server: Server, tmp_path: Path, code: int
) -> None:
    url = server.does("a.nc", servers.status(code))
    with pytest.raises(NotThereError, match=r"a\.nc is not there"):
        fetch(url, tmp_path / "a.nc", patience=QUICK)
    assert server.asked == ["a.nc"]


def test_what_is_forbidden_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    url = server.does("a.nc", servers.status(403))
    with pytest.raises(SourceError, match="answers 403 Forbidden"):
        fetch(url, tmp_path / "a.nc", patience=QUICK)
    assert server.asked == ["a.nc"]


def test_a_server_that_is_down_is_told_as_such(tmp_path: Path) -> None:
    with servers.serving() as gone:
        url = f"{gone.url}/a.nc"
    with pytest.raises(SourceError, match="the connection failed"):
        fetch(url, tmp_path / "a.nc", patience=QUICK)


def test_a_trickle_ends_at_the_deadline(server: Server, tmp_path: Path) -> None:
    url = server.does("a.nc", servers.trickles(CONTENT[:200], 0.01))
    patience = Patience(retries=0, timeout_s=1.0, deadline_s=0.2)
    with pytest.raises(SourceError, match=r"not complete after 0\.2 s"):
        fetch(url, tmp_path / "a.nc", patience=patience)
    assert not list(tmp_path.iterdir())


def test_waits_double(server: Server, tmp_path: Path, waits: list[float]) -> None:
    url = server.does("a.nc", servers.status(500))
    with pytest.raises(SourceError):
        fetch(url, tmp_path / "a.nc", patience=Patience(retries=3, backoff_s=8.0))
    assert [4 <= waits[0] <= 8, 8 <= waits[1] <= 16, 16 <= waits[2] <= 32] == [True] * 3


def test_the_server_says_how_long_to_wait(
    server: Server, tmp_path: Path, waits: list[float]
) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    url = server.does(
        "a.nc",
        servers.status(503, Retry_After="40"),
        servers.status(503, Retry_After=soon),
        servers.status(503, Retry_After="86400"),
        servers.status(503, Retry_After="when it is ready"),
        servers.sends(CONTENT),
    )
    fetch(url, tmp_path / "a.nc", patience=Patience(retries=4, backoff_s=0.1))
    assert waits[0] == 40
    assert 90 < waits[1] <= 100
    assert waits[2] == transfer.LONGEST_WAIT
    assert waits[3] < 1


def test_secrets_are_not_told(
    server: Server,
    tmp_path: Path,
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    server.does("a.nc", servers.status(500))
    url = f"{server.url}/a.nc?token=secret"
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:\d+/a\.nc could") as caught:
        fetch(url, tmp_path / "a.nc", patience=QUICK)
    assert len(waits) == 2
    assert "Trying again" in caplog.text
    assert "secret" not in caplog.text + str(caught.value)
    assert caught.value.__cause__ is None


def test_what_is_newest_is_kept(server: Server, tmp_path: Path) -> None:
    target = tmp_path / "a.nc"
    target.write_bytes(b"of yesterday")
    url = server.does("a.nc", servers.status(304), servers.sends(CONTENT))
    since = datetime(2026, 7, 1, 12, tzinfo=UTC)
    fetch(url, target, newer_than=since, patience=QUICK)
    assert target.read_bytes() == b"of yesterday"
    sent = server.headers_sent[0]["If-Modified-Since"]
    assert sent == "Wed, 01 Jul 2026 12:00:00 GMT"
    fetch(url, target, newer_than=since, patience=QUICK)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(("error", "tries"), [(RefusedError, 1), (SourceError, 3)])
def test_a_file_is_checked_before_it_has_its_name(
    server: Server, tmp_path: Path, error: type[SourceError], tries: int
) -> None:
    def check(path: Path) -> None:
        assert path.read_bytes() == CONTENT
        raise error("no good")

    url = server.does("a.nc", servers.sends(CONTENT))
    counted: list[int] = []
    with pytest.raises(error, match="no good"):
        fetch(
            url,
            tmp_path / "a.nc",
            patience=QUICK,
            check=check,
            company=Company(counted.append),
        )
    assert len(server.asked) == tries
    assert not list(tmp_path.iterdir())
    assert sum(counted) == 0


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        # Parts that nobody asked for; of the second nobody would see what is missing.
        (206, {"Content_Range": f"bytes 0-99/{len(CONTENT)}"}),
        (206, {"Content_Range": "bytes 0-99/*"}),
        (203, {}),
        (300, {}),
        (304, {}),  # "as you have it", but nothing is here
    ],
)
@pytest.mark.parametrize("resumes", [False, True])
def test_what_is_not_the_whole_file_is_no_file(
    server: Server, tmp_path: Path, code: int, headers: dict[str, str], resumes: bool
) -> None:
    def behave(handler: servers.Handler) -> None:
        body = b"" if code == 304 else CONTENT[:100]
        handler.send_headers(code, len(body), **headers)
        handler.wfile.write(body)

    url = server.does("a.nc", behave)
    with pytest.raises(SourceError, match=f"answers {code} .*but 200 and the whole"):
        fetch(url, tmp_path / "a.nc", patience=QUICK, resumes=resumes)
    assert len(server.asked) == 3
    assert not list(tmp_path.iterdir())


def test_an_end_without_its_mark_is_none(server: Server, tmp_path: Path) -> None:
    # Sent in chunks a file has no length: only the last, of no bytes, tells its end.
    def behave(handler: servers.Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(CONTENT), CONTENT) + ending)
        handler.close_connection = True

    url, ending = server.does("a.nc", behave), b""
    with pytest.raises(SourceError, match="the transfer broke off"):
        fetch(url, tmp_path / "a.nc", patience=QUICK)
    assert not list(tmp_path.iterdir())
    ending = b"0\r\n\r\n"
    fetch(url, tmp_path / "a.nc", patience=QUICK)
    assert (tmp_path / "a.nc").read_bytes() == CONTENT


def test_what_is_packed_on_the_way_is_refused(server: Server, tmp_path: Path) -> None:
    packed = gzip.compress(b"1979 337.1\n")
    server.does("co2.txt", servers.sends(packed, Content_Encoding="gzip"))
    with pytest.raises(SourceError, match=r"co2\.txt came packed as 'gzip', but was"):
        fetch(f"{server.url}/co2.txt", tmp_path / "co2.txt", patience=QUICK)
    assert not list(tmp_path.iterdir())
    # Of a packed file some servers say so: it comes as it is stored.
    server.does("a.nc.gz", servers.sends(packed, Content_Encoding="x-gzip"))
    fetch(f"{server.url}/a.nc.gz", tmp_path / "a.nc.gz", patience=QUICK)
    assert (tmp_path / "a.nc.gz").read_bytes() == packed


def test_a_number_that_is_none_is_not_believed() -> None:
    response = requests.Response()
    # int() and float() fail on the first, which is a digit to str.isdigit().
    for said in ("\u00b2", "9" * 5000, "-1", ""):
        response.headers["Content-Length"] = response.headers["Retry-After"] = said
        assert version_of(response, "x").length is None
        error = requests.HTTPError(response=response)
        assert transfer._retry_after(error) is None


def test_another_length_is_seen_before_gigabytes_come(
    server: Server, tmp_path: Path
) -> None:
    url = server.does("a.nc", lambda handler: handler.send_headers(200, 5 * 10**9))
    with pytest.raises(SourceError, match="longer than announced: 5000000000 bytes"):
        fetch(url, tmp_path / "a.nc", size=4 * 10**9, patience=QUICK)
    assert not list(tmp_path.iterdir())


# --- what has no end -----------------------------------------------------------------


@pytest.mark.parametrize("resumes", [False, True])
def test_a_file_without_a_length_and_an_end_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resumes: bool
) -> None:
    monkeypatch.setattr(transfer, "MOST_UNTOLD", 300_000)
    target = tmp_path / "a.nc"
    target.write_bytes(b"of yesterday")
    url = server.does("a.nc", servers.endless(b"\x89HDF", ETag='"one"'))
    counted: list[int] = []
    with pytest.raises(
        RefusedError, match=r"more than 300\.0 kB, or has no end, .*fetch"
    ):
        fetch(
            url,
            target,
            patience=QUICK,
            resumes=resumes,
            company=Company(counted.append),
        )
    # Asked for once: another try brings no end. What came is thrown away.
    assert server.asked == ["a.nc"]
    assert 0 < sum(size for size in counted if size > 0) <= 300_000
    assert sum(counted) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.nc"]
    assert target.read_bytes() == b"of yesterday"


def test_a_file_without_a_length_that_ends_in_time_is_taken(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def behave(handler: servers.Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(CONTENT)
        handler.close_connection = True

    monkeypatch.setattr(transfer, "MOST_UNTOLD", len(CONTENT))
    url = server.does("a.nc", behave)
    fetch(url, tmp_path / "a.nc", patience=QUICK)
    assert (tmp_path / "a.nc").read_bytes() == CONTENT


@pytest.mark.parametrize("resumes", [False, True])
def test_what_exceeds_its_announced_length_ends_there(
    server: Server, tmp_path: Path, resumes: bool
) -> None:
    size = 2 * 2**20
    url = server.does("a.nc", servers.endless(b"\x89HDF", ETag='"one"'))
    counted: list[int] = []
    with pytest.raises(SourceError, match=f"longer than announced: more than {size} b"):
        fetch(
            url,
            tmp_path / "a.nc",
            size=size,
            patience=Patience(retries=0, timeout_s=5.0),
            resumes=resumes,
            company=Company(counted.append),
        )
    assert sum(size for size in counted if size > 0) <= size
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("length", [None, 10**6])
def test_a_list_has_a_limit_whatever_is_announced(
    server: Server, tmp_path: Path, length: int | None
) -> None:
    said = {} if length is None else {"Content_Length": str(length)}
    url = server.does("index.json", servers.endless(b"[", **said))
    counted: list[int] = []
    company = Company(counted.append)
    with pytest.raises(RefusedError, match=r"more than 200\.0 kB, which is more than"):
        fetch(
            url,
            tmp_path / "a.json",
            patience=QUICK,
            at_most=200_000,
            company=company,
        )
    assert server.asked == ["index.json"]
    assert bool(counted) == (length is None)  # what is told is seen before it comes
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("resumes", [False, True])
def test_a_disk_is_not_filled(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resumes: bool
) -> None:
    # A disk of 1 MB, a hundredth of which stays free, and no length is known.
    monkeypatch.setattr(transfer, "_LOOKED_AFTER", 2**16)
    stage = tmp_path / ".a.nc.partial"

    def usage(_: Path) -> Usage:
        there = stage.stat().st_size if stage.exists() else 0
        return Usage(10**6, there, 10**6 - there)

    monkeypatch.setattr(space.shutil, "disk_usage", usage)
    url = server.does("a.nc", servers.endless(b"\x89HDF", ETag='"one"'))
    with pytest.raises(StoreError, match=r"to spare, but more is still to come of one"):
        fetch(url, tmp_path / "a.nc", patience=QUICK, resumes=resumes)
    assert server.asked == ["a.nc"]
    names = [".a.nc.partial", ".a.nc.partial.json"] if resumes else []
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    if resumes:  # 990 kB may be written, and what comes between two looks.
        assert stage.stat().st_size <= 990_000 + 2 * 2**16


def test_what_does_not_fit_is_seen_before_it_comes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: Usage(0, 0, 10_000))
    url = server.does("a.nc", servers.sends(CONTENT))
    counted: list[int] = []
    with pytest.raises(
        StoreError,
        match=r"10\.0 kB to spare, but 16\.4 kB is still to come",
    ):
        fetch(url, tmp_path / "a.nc", patience=QUICK, company=Company(counted.append))
    assert counted == []
    source = tmp_path / "source.nc"
    source.write_bytes(CONTENT)
    with pytest.raises(StoreError, match="to spare"):
        fetch(str(source), tmp_path / "b.nc", patience=QUICK)
    assert [path.name for path in tmp_path.iterdir()] == ["source.nc"]


def test_a_file_that_grows_while_it_is_copied_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.nc"
    source.write_bytes(CONTENT)

    def hold(*_: object) -> None:
        with source.open("ab") as file:
            file.write(CONTENT)

    monkeypatch.setattr(space.Room, "hold", hold)
    monkeypatch.setattr(space.Room, "lessen", lambda *_: None)
    with pytest.raises(SourceError, match=r"a\.nc has more than 16\.4 kB"):
        fetch(str(source), tmp_path / "here" / "a.nc", patience=QUICK)
    assert not list((tmp_path / "here").iterdir())


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.nc").mkdir()
    with pytest.raises(NotThereError, match=r"a\.nc is not there"):
        fetch(str(tmp_path / "a.nc"), tmp_path / "b.nc", patience=QUICK)


def test_a_server_may_fall_silent_on_the_way(server: Server, tmp_path: Path) -> None:
    def stalls(handler: servers.Handler) -> None:
        handler.send_headers(200, len(CONTENT))
        handler.wfile.write(CONTENT[:100])
        handler.wfile.flush()
        time.sleep(1.5)

    url = server.does("a.nc", stalls, servers.sends(CONTENT))
    fetch(url, tmp_path / "a.nc", **ANNOUNCED, patience=QUICK)
    assert server.asked == ["a.nc"] * 2
    server.does("a.nc", stalls)
    with pytest.raises(SourceError, match="the server is silent"):
        fetch(url, tmp_path / "b.nc", patience=Patience(retries=0, timeout_s=0.5))


def test_lengths_are_told_where_they_are(server: Server, tmp_path: Path) -> None:
    server.lengths["a.nc"] = 7
    assert transfer.size_of(f"{server.url}/a.nc", QUICK) == 7
    assert transfer.size_of(f"{server.url}/b.nc", QUICK) is None
    path = tmp_path / "a.nc"
    assert transfer.size_of(f"file://{path}", QUICK) is None
    path.write_bytes(CONTENT)
    assert transfer.size_of(f"file://{path}", QUICK) == len(CONTENT)


def test_lengths_of_a_server_that_is_down_are_not_known() -> None:
    with servers.serving() as gone:
        url = f"{gone.url}/a.nc"
    assert transfer.size_of(url, QUICK) is None


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_files_of_this_machine_are_copied(tmp_path: Path, form: str) -> None:
    source = tmp_path / "of the centre.nc"
    source.write_bytes(CONTENT)
    url = form.format(str(source).replace(" ", "%20") if "file" in form else source)
    target = fetch(url, tmp_path / "here" / "a.nc", **ANNOUNCED, patience=QUICK)
    assert target.read_bytes() == CONTENT
    source.unlink()
    with pytest.raises(NotThereError, match=r"of the centre\.nc is not there"):
        fetch(url, tmp_path / "b.nc", patience=QUICK)


def test_a_full_disk_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "a.nc"
    source.write_bytes(CONTENT)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device\. Free some space"):
        fetch(str(source), tmp_path / "here" / "a.nc", patience=QUICK)
    assert not list((tmp_path / "here").iterdir())


def test_a_file_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source.nc"
    source.write_bytes(CONTENT)
    done: list[str] = []
    flush, rename = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append("flush " + Path(f"/proc/self/fd/{handle}").readlink().name)
        flush(handle)

    def replace(path: Path, target: Path) -> Path:
        done.append(f"rename {path.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    fetch(str(source), tmp_path / "here" / "a.nc", patience=QUICK)
    assert done == ["flush .a.nc.partial", "rename .a.nc.partial", "flush here"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"retries": -1}, "retries and backoff_s must be 0 or more, got -1 and 2"),
        ({"backoff_s": -1.0}, "must be 0 or more, got 4 and -1"),
        ({"timeout_s": 0.0}, "timeout_s and deadline_s must be above 0, got 0 and 900"),
        ({"deadline_s": -5.0}, "must be above 0, got 30 and -5"),
    ],
)
def test_impossible_patience_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Patience(**changes)
