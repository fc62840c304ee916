"""Files of products come once, whole and verified, however the server misbehaves."""

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from emulator.carbon.errors import (
    CatalogError,
    SettingsError,
    SourceError,
    StoreError,
)
from emulator.data.entry import Entry, parse_entry
from emulator.data.fetching import bring as fetching
from emulator.data.fetching import orders as orders_module
from emulator.data.fetching.bring import Outcome, bring
from emulator.data.fetching.company import IN_VAIN
from emulator.data.fetching.lock import ChecksumLock, read_lock
from emulator.data.fetching.orders import (
    Disk,
    Need,
    Order,
    need,
    orders,
    require_accepted,
    require_space,
    with_lengths,
)
from emulator.data.fetching.settings import FetchSettings
from tests.data import servers
from tests.data import tiny_files as tiny
from tests.data.servers import Server

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONTENT = {name: b"\x89HDF" + name.encode() * 5000 for name in ("a.nc", "b.nc", "c.nc")}
QUICK: dict[str, Any] = {
    "retries": 1,
    "backoff_s": 0.01,
    "timeout_s": 2.0,
    "plain_http": True,
}
TAG = {"ETag": '"one"'}


@pytest.fixture
def server(server: Server) -> Server:
    for name, content in CONTENT.items():
        server.does(f"round/{name}", servers.parts(content, **TAG))
        server.lengths[f"round/{name}"] = len(content)
    return server


def product(base: str, **fetch: Any) -> Entry:
    said = tiny.entry().to_dict()
    said |= {"name": "tiny", "root": "tiny", "policy": "Ask us first."}
    said["years"] = [1800, None]
    said["fetch"] = {"base": base, "files": list(CONTENT), **fetch}
    return parse_entry("tiny", said, "x.yaml")


def settings(**changes: Any) -> FetchSettings:
    return FetchSettings(**{**QUICK, **changes})


class Fetch:
    """One user's folder, fetched into again and again."""

    def __init__(self, root: Path, server: Server) -> None:
        self.root = root
        self.base = f"{server.url}/round/"
        self.folder = root / "tiny"
        self.lock = read_lock(root)
        self.counted: list[int] = []

    def ordered(self, chosen: FetchSettings, **fetch: Any) -> list[Order]:
        one = product(fetch.pop("base", self.base), **fetch)
        return with_lengths(orders([one], self.root, chosen, now=NOW), chosen)

    def __call__(self, now: datetime = NOW, **changes: Any) -> dict[str, str]:
        """Fetch, and return the state of each file by its name."""
        names = set(FetchSettings.__dataclass_fields__) - {"index"}
        chosen = settings(**{k: v for k, v in changes.items() if k in names})
        fetch = {k: v for k, v in changes.items() if k not in names}
        self.root.mkdir(exist_ok=True)
        self.lock = read_lock(self.root)
        done: list[Outcome] = bring(
            self.ordered(chosen, **fetch),
            self.root,
            chosen,
            self.lock,
            now=lambda: now,
            arrived=self.counted.append,
        )
        return {outcome.path.name: outcome.state for outcome in done}

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Fetch:
    return Fetch(tmp_path / "data", server)


def states(state: str) -> dict[str, str]:
    return dict.fromkeys(CONTENT, state)


# --- once ----------------------------------------------------------------------------


def test_what_is_lacking_comes_once(fetch: Fetch, server: Server) -> None:
    assert fetch() == states("fetched")
    for name, content in CONTENT.items():
        assert (fetch.folder / name).read_bytes() == content
    assert sum(fetch.counted) == sum(map(len, CONTENT.values()))
    server.asked.clear()
    assert fetch() == states("there")
    assert server.asked == []
    (fetch.folder / "b.nc").unlink()
    assert fetch() == {**states("there"), "b.nc": "fetched"}
    assert server.asked == ["round/b.nc"]


def test_what_came_is_written_down(fetch: Fetch) -> None:
    fetch()
    lock = read_lock(fetch.root)
    assert sorted(lock.files) == ["tiny/a.nc", "tiny/b.nc", "tiny/c.nc"]
    row = lock.files["tiny/a.nc"]
    assert row.sha256 == hashlib.sha256(CONTENT["a.nc"]).hexdigest()
    assert row.url == f"{fetch.base}a.nc"
    assert (row.bytes, row.date) == (len(CONTENT["a.nc"]), NOW)


def test_what_came_by_other_ways_is_looked_at(fetch: Fetch, server: Server) -> None:
    fetch.folder.mkdir(parents=True)
    (fetch.folder / "a.nc").write_bytes(CONTENT["a.nc"])
    assert fetch()["a.nc"] == "noted"
    assert "round/a.nc" not in server.asked
    assert "tiny/a.nc" in read_lock(fetch.root).files
    # A kill before the lock was written leaves the same, and is mended the same way.
    fetch.lock.path.unlink()
    assert fetch() == states("noted")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONTENT["b.nc"] + b"x", "not the file at its source: it has 20005 bytes, "),
        (servers.LOGIN, "tiny/a.nc is a web page"),
    ],
)
def test_another_file_in_its_place_is_refused_and_stays(
    fetch: Fetch, content: bytes, message: str
) -> None:
    fetch.folder.mkdir(parents=True)
    (fetch.folder / "a.nc").write_bytes(content)
    with pytest.raises(SourceError, match=message):
        fetch()
    assert (fetch.folder / "a.nc").read_bytes() == content
    assert fetch.names() == ["a.nc", "b.nc", "c.nc"]


# --- changes -------------------------------------------------------------------------


def test_a_file_that_changed_at_its_source_is_refused(
    fetch: Fetch, server: Server
) -> None:
    fetch()
    server.does("round/a.nc", servers.sends(CONTENT["a.nc"][:-1] + b"x"))
    server.asked.clear()
    # It is not asked for while it is there.
    assert fetch()["a.nc"] == "there"
    (fetch.folder / "a.nc").unlink()
    with pytest.raises(
        SourceError, match=r"is not what it was when it was fetched on 2026-11-21: SHA"
    ):
        fetch()
    # Asked for once: another try brings no other file.
    assert server.asked == ["round/a.nc"]
    assert fetch.names() == ["b.nc", "c.nc"]
    # The cure of the message.
    del fetch.lock.files["tiny/a.nc"]
    fetch.lock.write()
    assert fetch()["a.nc"] == "fetched"


def test_another_length_at_the_source_is_seen_when_verifying(
    fetch: Fetch, server: Server
) -> None:
    fetch()
    assert fetch(verify=True) == states("there")
    server.lengths["round/a.nc"] = 7
    assert fetch() == states("there")
    with pytest.raises(SourceError, match=r"a\.nc has changed since .*it has 7 bytes"):
        fetch(verify=True)
    assert (fetch.folder / "a.nc").read_bytes() == CONTENT["a.nc"]


def test_a_file_that_changed_here_is_refused(fetch: Fetch) -> None:
    fetch()
    path = fetch.folder / "a.nc"
    path.write_bytes(CONTENT["a.nc"][:-1] + b"x")
    # Of the same length: only its checksum tells.
    assert fetch()["a.nc"] == "there"
    with pytest.raises(SourceError, match="20004 bytes as then, but another checksum"):
        fetch(verify=True)
    path.write_bytes(b"\x89HDF")
    with pytest.raises(SourceError, match=r"it has 4 bytes, and had 20004\. Remove it"):
        fetch()
    assert path.read_bytes() == b"\x89HDF"


def test_files_that_their_provider_replaces_are_asked_for_anew(
    fetch: Fetch, server: Server
) -> None:
    fetch(changes=True)
    path = fetch.folder / "a.nc"
    server.does("round/a.nc", servers.status(304), servers.sends(b"\x89HDF longer"))
    assert fetch(changes=True)["a.nc"] == "there"
    sent = dict(zip(server.asked[3:], server.headers_sent[3:], strict=True))
    assert sent["round/a.nc"]["If-Modified-Since"] == "Sat, 21 Nov 2026 11:59:00 GMT"
    later = NOW.replace(year=2027)
    assert fetch(now=later, changes=True)["a.nc"] == "fetched"
    assert path.read_bytes() == b"\x89HDF longer"
    assert read_lock(fetch.root).files["tiny/a.nc"].date == later
    # One that was changed here is not written over, though as long as it was.
    path.write_bytes(b"\x89HDF by me!")
    server.asked.clear()
    with pytest.raises(SourceError, match=r"a\.nc is not as it was .*as then, but ano"):
        fetch(changes=True)
    assert "round/a.nc" not in server.asked
    assert path.read_bytes() == b"\x89HDF by me!"
    # One that came by other ways is as old as nobody knows: it is asked for.
    lock = read_lock(fetch.root)
    del lock.files["tiny/a.nc"]
    lock.write()
    server.headers_sent.clear()
    server.asked.clear()
    assert fetch(changes=True)["a.nc"] == "fetched"
    where = server.asked.index("round/a.nc")
    assert "If-Modified-Since" not in server.headers_sent[where]
    assert path.read_bytes() == b"\x89HDF longer"


def test_a_file_of_two_products_comes_once(
    fetch: Fetch, server: Server, tmp_path: Path
) -> None:
    chosen, root = settings(), tmp_path / "data"
    one = product(fetch.base)
    two = replace(one, name="other", label="other")
    made = orders([one, two], root, chosen, now=NOW)
    assert [len(order.files) for order in made] == [3, 0]
    root.mkdir()
    done = bring(made, root, chosen, read_lock(root), now=lambda: NOW)
    assert len(done) == 3
    assert sorted(server.asked) == [f"round/{name}" for name in CONTENT]


@pytest.mark.parametrize("parallel", [1, 3])
def test_so_many_come_at_a_time_and_no_more(
    fetch: Fetch, server: Server, parallel: int
) -> None:
    guard, under_way, most = threading.Lock(), 0, 0

    def counted(handler: servers.Handler) -> None:
        nonlocal under_way, most
        with guard:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.1)
        with guard:
            under_way -= 1
        servers.sends(CONTENT["a.nc"])(handler)

    files = [f"{n}.nc" for n in range(9)]
    for name in files:
        server.does(f"round/{name}", counted)
    fetch(files=files, parallel=parallel)
    assert most == parallel
    assert len(fetch.names()) == 9


def test_a_length_of_nothing_is_none(fetch: Fetch, server: Server) -> None:
    # Some servers answer so to who asks for the length alone.
    server.lengths["round/a.nc"] = 0
    assert fetch() == states("fetched")


# --- misbehaviour --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (servers.resets(CONTENT["a.nc"], 9000), "broke off|connection failed"),
        (servers.truncates(CONTENT["a.nc"], 9000), "the transfer broke off"),
        (servers.sends(CONTENT["a.nc"][:-9]), "truncated: 19995 bytes came, 20004"),
        (servers.sends(servers.LOGIN), "is a web page, .* perhaps asks for a login"),
        (servers.sends(b"no data" * 2858), "is no NetCDF file|longer|truncated"),
        (servers.status(404), r"is not there\. .*Its address begins with http"),
        (servers.status(403), "answers 403 Forbidden.*~/.netrc.*correct the address"),
        (servers.status(503, Retry_After="0"), "answers 503 Service Unavailable"),
        (servers.hangs(3.0), "the server is silent"),
    ],
)
def test_one_that_fails_stops_no_other(
    fetch: Fetch, server: Server, behaviour: servers.Behaviour, message: str
) -> None:
    server.does("round/a.nc", behaviour)
    with pytest.raises(SourceError, match=rf"1 could not be fetched:\n.*{message}"):
        fetch(timeout_s=1.0)
    assert {"b.nc", "c.nc"} <= set(fetch.names())
    assert "a.nc" not in fetch.names()
    assert sorted(read_lock(fetch.root).files) == ["tiny/b.nc", "tiny/c.nc"]
    # The same command goes on.
    server.does("round/a.nc", servers.parts(CONTENT["a.nc"], **TAG))
    assert fetch() == {**states("there"), "a.nc": "fetched"}
    assert (fetch.folder / "a.nc").read_bytes() == CONTENT["a.nc"]
    assert fetch.names() == ["a.nc", "b.nc", "c.nc"]


def test_a_wrong_checksum_is_refused(fetch: Fetch, server: Server) -> None:
    known = {"a.nc": {"bytes": len(CONTENT["a.nc"]), "sha256": "0" * 64}}
    with pytest.raises(SourceError, match="wrong checksum: SHA-256"):
        fetch(known=known)
    assert fetch.names() == ["b.nc", "c.nc"]
    assert server.asked.count("round/a.nc") == 2


def test_a_trickle_is_given_up(fetch: Fetch, server: Server) -> None:
    server.does("round/a.nc", servers.trickles(CONTENT["a.nc"], 0.01))
    # 20 kB at 100 kB s-1 or more: a fifth of a second.
    with pytest.raises(SourceError, match=r"not complete after 0\.20004 s"):
        fetch(retries=0, deadline_s=0.01, slowest_kb_s=100.0)


def test_the_cure_of_a_forbidden_path_names_the_prefix(
    fetch: Fetch, server: Server
) -> None:
    rows = [[f"round-2025/{name}", len(CONTENT[name]), ""] for name in CONTENT]
    server.does("list.json", servers.sends(json.dumps(rows).encode()))
    index = f"{fetch.base.removesuffix('round/')}list.json"
    server.does("round/a.nc", servers.status(403))
    with pytest.raises(
        SourceError, match=r"'round-2025/' of the index .*\(Wasabi: strip it, AWS: keep"
    ):
        fetch(index=f"{index}", prefix="round-2025/", files=["*.nc"])
    assert fetch.names() == ["b.nc", "c.nc"]


def test_a_younger_file_may_lack_and_has_a_stand_in(
    fetch: Fetch, server: Server
) -> None:
    early = b"\x89HDF early"
    server.does("round/2026_early.nc", servers.sends(early))
    said: dict[str, Any] = {
        "files": ["{year}.nc"],
        "begins": "2025-01-01",
        "instead": "{year}_early.nc",
    }
    with pytest.raises(SourceError, match=r"2025_early\.nc is not there"):
        fetch(**said)
    assert fetch.names() == ["2026_early.nc"]
    server.does("round/2025.nc", servers.sends(early))
    assert fetch(**said) == {"2025.nc": "fetched", "2026_early.nc": "there"}
    server.does("round/2026_early.nc", servers.status(404))
    (fetch.folder / "2026_early.nc").unlink()
    assert fetch(**said) == {"2025.nc": "there", "2026_early.nc": "not yet there"}


def test_what_a_list_lacks_is_told_at_the_end(fetch: Fetch, server: Server) -> None:
    rows = [[name, len(CONTENT[name]), ""] for name in CONTENT]
    url = server.does("list.json", servers.sends(json.dumps(rows).encode()))
    with pytest.raises(SourceError, match=r"tiny: nothing at its source .*'d\*\.nc'"):
        fetch(index=url, files=["*.nc", "d*.nc"])
    assert fetch.names() == ["a.nc", "b.nc", "c.nc"]


def test_a_file_of_the_listed_length_is_noted(fetch: Fetch, server: Server) -> None:
    rows = [["b.nc", len(CONTENT["b.nc"]), ""]]
    url = server.does("list.json", servers.sends(json.dumps(rows).encode()))
    fetch.folder.mkdir(parents=True)
    (fetch.folder / "b.nc").write_bytes(CONTENT["b.nc"])
    server.lengths.clear()
    assert fetch(index=url, files=["*.nc"]) == {"b.nc": "noted"}


def test_a_list_of_ones_own_replaces_that_of_the_entry(
    fetch: Fetch, server: Server, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.json"
    mine.write_text(json.dumps([["b.nc", len(CONTENT["b.nc"]), ""]]))
    one = product(fetch.base, index=f"{fetch.base}gone.json", files=["*.nc"])
    chosen = settings(index=str(mine))
    other = replace(one, name="other", root="other")
    made = orders([one, other], fetch.root, chosen, now=NOW)
    assert [file.path for order in made for file in order.files] == ["b.nc"] * 2
    assert server.asked == []


@pytest.mark.parametrize("parallel", [1, 4])
def test_a_server_that_is_down_is_not_asked_for_all(
    fetch: Fetch, server: Server, parallel: int
) -> None:
    files = [f"{n}.nc" for n in range(40)]
    for name in files:
        server.does(f"round/{name}", servers.status(503, Retry_After="0"))
    with pytest.raises(
        SourceError,
        match=r"(?s)40 could not be fetched:\n.*\n\d+ more: 127\..*is not asked",
    ) as caught:
        fetch(files=files, parallel=parallel)
    # Twice each; and the others that were under way when the fifth was given up.
    assert 2 * IN_VAIN <= len(server.asked) <= 2 * (IN_VAIN + parallel - 1)
    asked = len(server.asked) // 2
    assert f"\n{40 - asked} more: " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1 + asked + 1


def test_some_that_fail_among_others_end_nothing(fetch: Fetch, server: Server) -> None:
    # Forty are not there, more than a host that is down may fail for.
    rest = {f"{n}.nc": CONTENT["a.nc"] for n in range(3)}
    for name, content in rest.items():
        server.does(f"round/{name}", servers.sends(content))
    files = [f"gone_{n}.nc" for n in range(40)] + list(rest)
    with pytest.raises(SourceError, match="40 could not be fetched"):
        fetch(files=files, parallel=2)
    assert fetch.names() == sorted(rest)
    assert len(read_lock(fetch.root).files) == 3


def test_a_server_that_fails_now_and_then_is_asked_for_all(
    fetch: Fetch, server: Server
) -> None:
    files = [f"{n}.nc" for n in range(4 * IN_VAIN)]
    for n, name in enumerate(files):
        fails = servers.status(503) if n % 2 else servers.sends(CONTENT["a.nc"])
        server.does(f"round/{name}", fails)
    with pytest.raises(SourceError, match=f"{2 * IN_VAIN} could not be") as caught:
        fetch(files=files, parallel=1, retries=0)
    assert "more:" not in str(caught.value)
    assert len(fetch.names()) == 2 * IN_VAIN


# --- space, kills, links -------------------------------------------------------------


def test_space_is_looked_at_before(
    fetch: Fetch, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    Usage = namedtuple("Usage", "total used free")
    total = sum(map(len, CONTENT.values()))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, total - 1))
    needed = need(fetch.ordered(settings()), fetch.root)
    disk = Disk(fetch.root.parent, total, total - 1)
    assert needed == Need(3, total, False, 0, (disk,))
    with pytest.raises(
        StoreError, match=r"60\.0 kB of 3 files .* which has 60\.0 kB to spare"
    ):
        require_space(needed)
    # What is here already, in part or whole, needs no space.
    fetch.folder.mkdir(parents=True)
    (fetch.folder / "a.nc").write_bytes(CONTENT["a.nc"])
    (fetch.folder / ".b.nc.partial").write_bytes(CONTENT["b.nc"][:1000])
    needed = need(fetch.ordered(settings()), fetch.root)
    assert needed.bytes == total - len(CONTENT["a.nc"]) - 1000
    require_space(needed)
    assert server.asked == []


def test_space_is_looked_at_where_files_come_to(
    fetch: Fetch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The product's folder is a link to another disk, and has another one mounted in it.
    far = tmp_path / "far"
    (far / "mounted").mkdir(parents=True)
    fetch.root.mkdir()
    fetch.folder.symlink_to(far)
    free = {fetch.root: 10**9, fetch.folder: 40_000, fetch.folder / "mounted": 100}
    number = {folder: i for i, folder in enumerate(free)}
    monkeypatch.setattr(orders_module, "file_system", number.__getitem__)
    monkeypatch.setattr(orders_module, "spare", free.__getitem__)
    known = {"a.nc": {"bytes": 30_000}, "mounted/new/b.nc": {"bytes": 100}}
    needed = need(fetch.ordered(settings(), files=list(known), known=known), fetch.root)
    assert needed.disks == (
        Disk(fetch.root, 0, 10**9),
        Disk(fetch.folder, 30_000, 40_000),
        Disk(fetch.folder / "mounted", 100, 100),
    )
    assert needed.bytes == 30_100
    require_space(needed)
    free[fetch.folder / "mounted"] = 99
    needed = need(fetch.ordered(settings(), files=list(known), known=known), fetch.root)
    with pytest.raises(StoreError, match=r"100 bytes of 2 files .*/mounted, which has"):
        require_space(needed)
    # All files that come to a disk together, not each alone.
    known["c.nc"] = {"bytes": 11_000}
    free[fetch.folder / "mounted"] = 100
    needed = need(fetch.ordered(settings(), files=list(known), known=known), fetch.root)
    with pytest.raises(StoreError, match=r"41\.0 kB of 3 files .*tiny, which has"):
        require_space(needed)


def test_products_of_other_sizes_do_not_tell_of_each_other(
    fetch: Fetch, server: Server
) -> None:
    for year in range(1800, 2027):
        server.lengths[f"round/{year}.nc"] = 100
    chosen = settings()
    years = product(fetch.base, files=["{year}.nc"], begins="1800-01-01")
    few = replace(product(fetch.base), name="few", root="few")
    made = with_lengths(orders([years, few], fetch.root, chosen, now=NOW), chosen)
    total = 227 * 100 + sum(map(len, CONTENT.values()))
    assert (need(made, fetch.root).bytes, need(made, fetch.root).unknown) == (total, 0)


def test_lengths_of_many_are_told_by_some(fetch: Fetch, server: Server) -> None:
    for year in range(1800, 2000):
        server.lengths[f"round/{year}.nc"] = 100
    made = fetch.ordered(settings(), files=["{year}.nc"], begins="1800-01-01")
    # 1800-2026: the lengths of 27 years are told by nobody, of others by each third.
    needed = need(made, fetch.root)
    assert needed.files == 227
    assert (needed.bytes, needed.is_about, needed.unknown) == (22_700, True, 0)


def test_lengths_that_nobody_tells_are_unknown(fetch: Fetch, server: Server) -> None:
    server.lengths.clear()
    needed = need(fetch.ordered(settings()), fetch.root)
    assert (needed.files, needed.bytes, needed.unknown) == (3, 0, 3)


def test_a_full_disk_ends_all_and_keeps_what_came(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = os.fsync

    def full(handle: int) -> None:
        if "b.nc" in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left on device"):
            fetch(parallel=1)
    assert {"a.nc", ".b.nc.partial", ".b.nc.partial.json"} <= set(fetch.names())
    assert "tiny/a.nc" in read_lock(fetch.root).files
    states = fetch()
    assert (states["a.nc"], states["b.nc"]) == ("there", "fetched")


PROGRAM = """
import sys
from pathlib import Path
from tests.data.fetching.test_bring import Fetch, Server
Fetch(Path(sys.argv[1]), Server(sys.argv[2]))(retries=0, timeout_s=30.0)
"""


def test_a_kill_leaves_a_beginning_that_is_gone_on_with(
    fetch: Fetch, server: Server
) -> None:
    def stalls(handler: servers.Handler) -> None:
        content = CONTENT["a.nc"]
        handler.send_headers(200, len(content), **TAG)
        handler.wfile.write(content[:12_000])
        handler.wfile.flush()
        stalled.set()
        time.sleep(20)

    stalled = threading.Event()
    server.does("round/a.nc", stalls)
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(fetch.root), server.url], cwd=root
    ) as process:
        assert stalled.wait(60)
        stage = fetch.folder / ".a.nc.partial"
        limit = time.monotonic() + 20
        others = {"b.nc", "c.nc"}
        while not (
            stage.exists() and stage.stat().st_size and others <= set(fetch.names())
        ):
            assert time.monotonic() < limit
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert {".a.nc.partial", ".a.nc.partial.json", *others} <= set(fetch.names())
    here = stage.stat().st_size
    server.does("round/a.nc", servers.parts(CONTENT["a.nc"], **TAG))
    server.asked.clear()
    server.headers_sent.clear()
    assert fetch() == {"a.nc": "fetched", "b.nc": "noted", "c.nc": "noted"}
    assert server.headers_sent[0]["Range"] == f"bytes={here}-"
    assert server.asked == ["round/a.nc"]
    assert (fetch.folder / "a.nc").read_bytes() == CONTENT["a.nc"]
    assert fetch.names() == ["a.nc", "b.nc", "c.nc"]


def test_an_interrupt_ends_all_and_keeps_what_came(
    fetch: Fetch, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.does("round/c.nc", servers.trickles(CONTENT["c.nc"], 0.01))

    def interrupted(jobs: list[Any]) -> Iterator[Any]:
        yield jobs[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "as_completed", interrupted)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch()
    assert time.monotonic() - begun < 10  # c.nc alone would take 200 s
    assert "tiny/a.nc" in read_lock(fetch.root).files


def test_the_lock_is_written_on_the_way(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "WRITTEN_EVERY_S", 0.0)
    written: list[int] = []
    write = ChecksumLock.write

    def counted(lock: ChecksumLock) -> None:
        written.append(len(lock.files))
        write(lock)

    monkeypatch.setattr(ChecksumLock, "write", counted)
    fetch(parallel=1)
    assert len(written) > 1
    assert written[-1] == 3


def test_a_link_out_of_the_folder_is_not_followed(fetch: Fetch, tmp_path: Path) -> None:
    fetch.folder.mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (fetch.folder / "sub").symlink_to(outside)
    with pytest.raises(SourceError, match="link that leads out of"):
        fetch(files=["sub/a.nc"])
    assert not list(outside.iterdir())


def test_files_outside_the_data_are_noted_by_their_path(
    fetch: Fetch, tmp_path: Path
) -> None:
    said = product(fetch.base).to_dict() | {"root": str(tmp_path / "far")}
    made = orders([parse_entry("tiny", said, "x")], fetch.root, settings(), now=NOW)
    fetch.root.mkdir()
    bring(made, fetch.root, settings(), fetch.lock, now=lambda: NOW)
    assert str(tmp_path / "far" / "a.nc") in read_lock(fetch.root).files


# --- conditions ----------------------------------------------------------------------


def test_a_policy_is_accepted_by_name() -> None:
    one = product("https://host.org/", accept="round")
    with pytest.raises(
        SettingsError, match=r"on a condition: Ask us first\. .*say accept=\[round\]"
    ):
        require_accepted(one, ["another"])
    require_accepted(one, ["round"])
    require_accepted(product("https://host.org/"), [])


def test_an_entry_without_a_source_is_told(tmp_path: Path) -> None:
    said = tiny.entry()
    with pytest.raises(CatalogError, match="does not say where its files can be had"):
        orders([said], tmp_path, settings(), now=NOW)
    require_accepted(said, [])


@pytest.mark.parametrize("key", ["base", "index"])
def test_what_is_not_encrypted_must_be_allowed(tmp_path: Path, key: str) -> None:
    said = {"base": "https://host.org/", "index": "https://host.org/list.json"}
    said[key] = said[key].replace("https", "http")
    with pytest.raises(SettingsError, match=r"host\.org/.*is not encrypted.*plain_h"):
        orders(
            [product(said["base"], index=said["index"])],
            tmp_path,
            FetchSettings(),
            now=NOW,
        )


def test_folders_of_this_machine_are_sources(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, content in CONTENT.items():
        (source / name).write_bytes(content)
    root = tmp_path / "data"
    chosen = FetchSettings()
    made = orders([product(f"file://{source}/")], root, chosen, now=NOW)
    made = with_lengths(made, chosen)
    assert need(made, root).bytes == sum(map(len, CONTENT.values()))
    root.mkdir()
    done = bring(made, root, chosen, read_lock(root), now=lambda: NOW)
    assert {outcome.state for outcome in done} == {"fetched"}
    assert (root / "tiny" / "a.nc").read_bytes() == CONTENT["a.nc"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parallel": 0}, "parallel must be from 1 to 8, got 0"),
        ({"parallel": 9}, "parallel must be from 1 to 8, got 9"),
        ({"slowest_kb_s": 0.0}, "slowest_kb_s must be above 0, got 0"),
        ({"years": [2000]}, r"years must be the first and the last .*got \[2000\]"),
        ({"years": [2001, 2000]}, "years must be the first and the last"),
        ({"years": [0, 2000]}, r"years must be the first .*got \[0, 2000\]"),
        ({"years": [2000, 20000]}, "years must be the first and the last"),
        ({"retries": -1}, "retries and backoff_s must be 0 or more"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        FetchSettings(**changes)


def test_large_files_are_given_more_time() -> None:
    # 4 GB at 20 kB s-1: 200 000 s.
    assert FetchSettings().patience(4_000_000_000).deadline_s == 200_000
    assert FetchSettings().patience(1000).deadline_s == 900
    assert FetchSettings().patience(None).deadline_s == 900
