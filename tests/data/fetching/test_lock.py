"""What was fetched is written down, and read again as it was."""

import errno
import fcntl
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import LockError, StoreError
from emulator.data.fetching.lock import (
    ChecksumLock,
    Locked,
    alone,
    read_lock,
    text_hash,
)

NOW = datetime(2026, 11, 21, 22, 5, 7, tzinfo=UTC)
SHA = "0123456789abcdef" * 4


def row(path: str, **changes: object) -> Locked:
    said = {"sha256": SHA, "url": "https://host.org/a", "bytes": 7, "date": NOW}
    return Locked(path=path, **{**said, **changes})  # type: ignore[arg-type]


def test_the_file_is_sorted_text(tmp_path: Path) -> None:
    lock = read_lock(tmp_path)
    for path in ("b/two.nc", "a/one file.nc"):
        lock.files[path] = row(path)
    lock.accept("round", "Ask  us\nfirst.", NOW)
    lock.write()
    assert (tmp_path / "checksums.lock").read_text().splitlines()[1:] == [
        f"accepted  round  {text_hash('Ask us first.')}  2026-11-21T22:05:07Z",
        f"{SHA}  a/one%20file.nc  https://host.org/a  7  2026-11-21T22:05:07Z",
        f"{SHA}  b/two.nc  https://host.org/a  7  2026-11-21T22:05:07Z",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["checksums.lock"]


@settings(deadline=None, max_examples=30)  # each forces a file to the disk
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
        max_size=4,
    )
)
def test_whatever_a_path_is_it_comes_back(
    tmp_path_factory: pytest.TempPathFactory, paths: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("lock")
    lock = ChecksumLock(folder / "checksums.lock", {path: row(path) for path in paths})
    lock.write()
    assert read_lock(folder) == lock


def test_an_acceptance_keeps_its_date_until_the_text_changes(tmp_path: Path) -> None:
    lock = read_lock(tmp_path)
    lock.accept("round", "Ask us.", NOW)
    later = NOW.replace(year=2027)
    lock.accept("round", "Ask\nus.", later)
    assert lock.accepted["round"].date == NOW
    lock.accept("round", "Ask us twice.", later)
    assert lock.accepted["round"].date == later
    assert lock.accepted["round"].sha256 == text_hash("Ask us twice.")


@pytest.mark.parametrize(
    "line",
    [
        "no line",
        f"{SHA}  a  b  7",
        f"{SHA[:-1]}  a  b  7  2026-11-21T22:05:07Z",
        f"{SHA}  a  b  x  2026-11-21T22:05:07Z",
        f"{SHA}  a  b  7  yesterday",
        f"accepted  round  {SHA}",
    ],
)
def test_a_line_of_no_kind_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "checksums.lock").write_text(f"# a comment\n\n{line}\n")
    with pytest.raises(StoreError, match=r"Line 3 of .* must be 'sha256  path  url"):
        read_lock(tmp_path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checksums.lock").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="Line 1 of"):
        read_lock(tmp_path)


def test_one_fetches_at_a_time(tmp_path: Path) -> None:
    with (
        alone(tmp_path),
        pytest.raises(LockError, match=rf"is at work in .* \(process {os.getpid()} on"),
        alone(tmp_path),
    ):
        pass
    with alone(tmp_path):
        pass


def test_a_killed_fetch_holds_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from emulator.data.fetching.lock import alone\n"
        "with alone(Path(sys.argv[1])):\n"
        "    sys.stdout.write('held')\n"
        "    sys.stdout.flush()\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"held"
        with (
            pytest.raises(LockError, match=f"process {process.pid}"),
            alone(tmp_path),
        ):
            pass
        process.kill()
        process.wait()
    with alone(tmp_path):
        pass


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with (
        pytest.raises(StoreError, match=r"data cannot be written .*set paths.data"),
        alone(tmp_path / "data"),
    ):
        pass


def test_a_disk_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(StoreError, match=r"cannot be locked \(No locks available\)"),
        alone(tmp_path),
    ):
        pass


def test_the_lock_is_whole_or_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = ChecksumLock(tmp_path / "checksums.lock", {"a": row("a")})
    lock.write()
    before = lock.path.read_text()

    def full(_: int) -> None:
        raise OSError("full")

    monkeypatch.setattr(os, "fsync", full)
    lock.files["b"] = row("b")
    with pytest.raises(OSError, match="full"):
        lock.write()
    assert lock.path.read_text() == before
