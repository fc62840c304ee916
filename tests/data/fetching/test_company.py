"""Transfers of one moment share pauses, an end, and what hosts are down."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer

import pytest

from emulator.data.fetching.company import IN_VAIN, Company
from emulator.data.fetching.refusals import DownError, StoppedError
from emulator.data.fetching.transfer import Patience, fetch, size_of
from tests.data import servers
from tests.data.servers import Server

CONTENT = b"\x89HDF" + bytes(range(256)) * 64
URL = "https://host.org/a.nc"


def test_a_pause_is_kept_by_all_who_ask_a_host(server: Server, tmp_path: Path) -> None:
    url = server.does(
        "a.nc", servers.status(429, Retry_After="1"), servers.sends(CONTENT)
    )
    other = server.does("b.nc", servers.sends(CONTENT))
    company = Company()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(fetch, url, tmp_path / "a.nc", company=company)
        while not server.asked or not company._paused:
            time.sleep(0.01)
        begun = time.monotonic()
        fetch(other, tmp_path / "b.nc", company=company)
        assert time.monotonic() - begun > 0.5
        first.result()
    assert server.asked[0] == "a.nc"
    # Another host is not asked to wait for this one.
    begun = time.monotonic()
    company.pause(url, 5.0)
    company.wait("https://elsewhere.org/", 0.0)
    assert time.monotonic() - begun < 1


def test_a_pause_ends_where_all_end(tmp_path: Path) -> None:
    company = Company()
    company.pause("http://host.org/a", 60.0)
    Timer(0.1, company.stop).start()
    with pytest.raises(StoppedError):
        fetch("http://host.org/a", tmp_path / "a.nc", company=company)


def test_a_host_that_fails_for_many_files_is_left_alone() -> None:
    company = Company()
    for _ in range(IN_VAIN - 1):
        company.gave_up(URL)
    company.require_up(URL)
    # One file that comes shows that it is at work.
    company.came("https://user:hush@host.org/b.nc")
    for _ in range(IN_VAIN):
        company.require_up(URL)
        company.gave_up(URL)
    with pytest.raises(DownError, match=r"^host\.org is not asked for more: 5 files"):
        company.require_up("https://me:hush@host.org/c.nc")
    company.require_up("https://elsewhere.org/c.nc")
    # A folder of this machine is no host.
    for _ in range(IN_VAIN):
        company.gave_up("file:///data/a.nc")
    company.require_up("/data/b.nc")


def test_lengths_are_not_asked_of_a_host_that_is_down() -> None:
    with servers.serving() as gone:
        url = f"{gone.url}/a.nc"
    company = Company()
    for _ in range(IN_VAIN):
        assert size_of(url, Patience(), company) is None
    with pytest.raises(DownError):
        company.require_up(url)
    assert size_of(url, Patience(), company) is None
