"""A transfer that breaks off is gone on with where the server still has the version."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import SourceError
from emulator.data.fetching import partial
from emulator.data.fetching.company import Company
from emulator.data.fetching.partial import Held, Version, version_of
from emulator.data.fetching.refusals import StoppedError
from emulator.data.fetching.transfer import Patience, fetch
from tests.data import servers
from tests.data.servers import Server

CONTENT = b"\x89HDF" + bytes(range(256)) * 400
OTHER = b"\x89HDF" + bytes(reversed(range(256))) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TAG = {"ETag": '"one"'}
MODIFIED = {"Last_Modified": "Wed, 01 Jul 2026 00:00:00 GMT"}
ONCE = Patience(retries=0, backoff_s=0.01, timeout_s=5.0, deadline_s=20.0)
TWICE = Patience(retries=1, backoff_s=0.01, timeout_s=5.0, deadline_s=20.0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def broken(url: str, target: Path, server: Server, **version: str) -> int:
    """Let a transfer break off; return how much of the file is there."""
    server.does("a.nc", servers.parts(CONTENT, after=70_000, **version))
    with pytest.raises(SourceError, match=r"broke off.*The same command goes on"):
        fetch(url, target, patience=ONCE, resumes=True)
    assert names(target.parent) == [".a.nc.partial", ".a.nc.partial.json"]
    stage = target.with_name(".a.nc.partial")
    assert CONTENT.startswith(stage.read_bytes())
    server.asked.clear()
    server.headers_sent.clear()
    return stage.stat().st_size


@pytest.mark.parametrize("version", [TAG, MODIFIED, {**TAG, **MODIFIED}])
def test_the_rest_is_asked_for(
    server: Server, tmp_path: Path, version: dict[str, str]
) -> None:
    url, target = f"{server.url}/a.nc", tmp_path / "a.nc"
    there = broken(url, target, server, **version)
    assert there > 0
    server.does("a.nc", servers.parts(CONTENT, **version))
    counted: list[int] = []
    fetch(url, target, patience=ONCE, resumes=True, company=Company(counted.append))
    assert target.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.nc"]
    assert server.headers_sent[0]["Range"] == f"bytes={there}-"
    condition = version.get("ETag") or version["Last_Modified"]
    assert server.headers_sent[0]["If-Range"] == condition
    assert counted[0] == there
    assert sum(counted) == len(CONTENT)


def test_it_is_gone_on_with_in_the_same_call(server: Server, tmp_path: Path) -> None:
    behaviours = [servers.parts(CONTENT, after=n, **TAG) for n in (30_000, 40_000)]
    url = server.does("a.nc", *behaviours, servers.parts(CONTENT, **TAG))
    counted: list[int] = []
    company = Company(counted.append)
    patience = Patience(retries=2, backoff_s=0.01)
    fetch(url, tmp_path / "a.nc", patience=patience, resumes=True, company=company)
    assert (tmp_path / "a.nc").read_bytes() == CONTENT
    assert ["Range" in sent for sent in server.headers_sent] == [False, True, True]
    assert sum(counted) == len(CONTENT)


@pytest.mark.parametrize(
    "answer",
    [
        # The whole file, to who asks for a part.
        servers.sends(CONTENT, **TAG),
        # A part that begins elsewhere.
        servers.parts(CONTENT, begin=1000, **TAG),
        # It has become shorter than what is here.
        servers.status(416),
    ],
)
def test_a_server_without_parts_lets_it_begin_again(
    server: Server, tmp_path: Path, answer: servers.Behaviour
) -> None:
    url, target = f"{server.url}/a.nc", tmp_path / "a.nc"
    broken(url, target, server, **TAG)
    server.does("a.nc", answer, servers.sends(CONTENT, **TAG))
    fetch(url, target, patience=ONCE, resumes=True)
    assert target.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.nc"]


@pytest.mark.parametrize("ignores", [False, True])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (TAG, {"ETag": '"two"'}),
        (MODIFIED, {"Last_Modified": "Thu, 02 Jul 2026 00:00:00 GMT"}),
    ],
)
def test_a_file_that_changed_in_between_is_begun_again(
    server: Server,
    tmp_path: Path,
    before: dict[str, str],
    after: dict[str, str],
    ignores: bool,
) -> None:
    url, target = f"{server.url}/a.nc", tmp_path / "a.nc"
    broken(url, target, server, **before)
    server.does("a.nc", servers.parts(OTHER, ignores_condition=ignores, **after))
    fetch(url, target, patience=ONCE, resumes=True)
    assert target.read_bytes() == OTHER


@pytest.mark.parametrize("version", [{}, {"ETag": 'W/"one"'}])
def test_a_version_without_a_name_is_begun_again(
    server: Server, tmp_path: Path, version: dict[str, str]
) -> None:
    url, target = f"{server.url}/a.nc", tmp_path / "a.nc"
    broken(url, target, server, **version)
    server.does("a.nc", servers.parts(CONTENT, **version))
    fetch(url, target, patience=ONCE, resumes=True)
    assert target.read_bytes() == CONTENT
    assert "Range" not in server.headers_sent[0]


@pytest.mark.parametrize("answer", [servers.status(503), servers.status(404)])
def test_a_beginning_outlives_a_server_that_fails(
    server: Server, tmp_path: Path, answer: servers.Behaviour
) -> None:
    url, target = f"{server.url}/a.nc", tmp_path / "a.nc"
    there = broken(url, target, server, **TAG)
    server.does("a.nc", answer)
    with pytest.raises(SourceError):
        fetch(url, target, patience=ONCE, resumes=True)
    server.does("a.nc", servers.parts(CONTENT, **TAG))
    fetch(url, target, patience=ONCE, resumes=True)
    assert target.read_bytes() == CONTENT
    assert server.headers_sent[-1]["Range"] == f"bytes={there}-"


def test_another_address_is_begun_again(server: Server, tmp_path: Path) -> None:
    broken(f"{server.url}/a.nc", tmp_path / "a.nc", server, **TAG)
    url = server.does("b.nc", servers.parts(OTHER, **TAG))
    fetch(url, tmp_path / "a.nc", patience=ONCE, resumes=True)
    assert (tmp_path / "a.nc").read_bytes() == OTHER


def test_what_is_whole_needs_its_name_only(server: Server, tmp_path: Path) -> None:
    # Killed between the last byte and the renaming.
    url, stage = f"{server.url}/a.nc", tmp_path / ".a.nc.partial"
    stage.write_bytes(CONTENT)
    partial.note(stage, Version(url, '"one"', "", len(CONTENT)))
    fetch(url, tmp_path / "a.nc", sha256=SHA256, patience=ONCE, resumes=True)
    assert not server.asked
    assert names(tmp_path) == ["a.nc"]


def test_what_is_wrong_is_not_gone_on_with(server: Server, tmp_path: Path) -> None:
    url = server.does("a.nc", servers.parts(OTHER, **TAG))
    with pytest.raises(SourceError, match=r"wrong checksum.*The same command goes on"):
        fetch(url, tmp_path / "a.nc", sha256=SHA256, patience=TWICE, resumes=True)
    assert ["Range" in sent for sent in server.headers_sent] == [False, False]
    assert not names(tmp_path)


def test_a_transfer_ends_when_it_is_told_to(server: Server, tmp_path: Path) -> None:
    url = server.does("a.nc", servers.parts(CONTENT, **TAG))
    company = Company(lambda _: company.stop())
    with pytest.raises(StoppedError, match=r"was stopped\. The same command goes on"):
        fetch(url, tmp_path / "a.nc", patience=TWICE, resumes=True, company=company)
    assert server.asked == ["a.nc"]
    assert names(tmp_path) == [".a.nc.partial", ".a.nc.partial.json"]
    with pytest.raises(StoppedError):
        fetch(url, tmp_path / "b.nc", patience=TWICE, company=company)
    assert server.asked == ["a.nc"]


@pytest.mark.parametrize(
    "said",
    [
        "",
        "no json",
        "[]",
        '{"url": "x"}',
        json.dumps({"url": "u", "tag": '"t"', "modified": "", "length": 2}),
    ],
)
def test_a_note_that_fits_nothing_is_no_beginning(tmp_path: Path, said: str) -> None:
    stage = tmp_path / ".a.nc.partial"
    stage.write_bytes(b"abc")
    (tmp_path / ".a.nc.partial.json").write_text(said)
    assert partial.held(stage, "u") is None


def test_an_empty_beginning_is_none(tmp_path: Path) -> None:
    stage = tmp_path / ".a.nc.partial"
    stage.touch()
    partial.note(stage, Version("u", '"t"', "", None))
    assert partial.held(stage, "u") is None
    stage.write_bytes(b"abc")
    assert partial.held(stage, "u") == Held(3, Version("u", '"t"', "", None))


VERSIONS = {'"one"': CONTENT, '"two"': OTHER, '"three"': CONTENT[:50_000]}


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    breaks=st.lists(
        st.tuples(
            st.sampled_from(sorted(VERSIONS)),
            st.integers(0, 60_000),
            st.booleans(),
            st.sampled_from([None, None, 0, 1000]),
        ),
        max_size=4,
    ),
    last=st.sampled_from(sorted(VERSIONS)),
)
def test_whatever_breaks_off_a_file_is_of_one_version(
    server: Server,
    tmp_path_factory: pytest.TempPathFactory,
    breaks: list[tuple[str, int, bool, int | None]],
    last: str,
) -> None:
    # Versions replace each other, transfers break off anywhere, servers ignore
    # conditions and begin parts where they were not asked to.
    answers = [
        servers.parts(
            VERSIONS[tag], after=after, ignores_condition=ignores, begin=begin, ETag=tag
        )
        for tag, after, ignores, begin in breaks
    ]
    url = server.does("a.nc", *answers, servers.parts(VERSIONS[last], ETag=last))
    target = tmp_path_factory.mktemp("any") / "a.nc"
    patience = Patience(retries=9, backoff_s=0.0, timeout_s=5.0)
    fetch(url, target, patience=patience, resumes=True)
    whole = {tag for tag, content in VERSIONS.items() if content == target.read_bytes()}
    assert whole <= {last, *(tag for tag, *_ in breaks)}
    assert len(whole) == 1
    assert names(target.parent) == ["a.nc"]


def response(status: int, **headers: str) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.headers.update({k.replace("_", "-"): v for k, v in headers.items()})
    return made


@given(
    held=st.integers(1, 10**12),
    begin=st.integers(0, 10**12),
    length=st.integers(1, 10**12),
    status=st.sampled_from([200, 206]),
    tag=st.sampled_from(['"one"', '"two"', ""]),
)
def test_only_the_rest_of_the_same_version_continues(
    held: int, begin: int, length: int, status: int, tag: str
) -> None:
    there = Held(held, Version("u", '"one"', "", length))
    where = f"bytes {begin}-{length - 1}/{length}"
    answer = response(status, Content_Range=where, ETag=tag)
    expected = status == 206 and begin == held and tag == '"one"'
    assert there.is_continued_by(answer, "u") == expected


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({"Content_Length": "7"}, 7),
        ({"Content_Length": "2", "Content_Range": "bytes 5-6/7"}, 7),
        ({"Content_Length": "2", "Content_Range": "bytes 5-6/*"}, None),
        ({}, None),
    ],
)
def test_the_length_is_that_of_the_whole_file(
    headers: dict[str, Any], length: int | None
) -> None:
    assert version_of(response(206, **headers), "u").length == length
