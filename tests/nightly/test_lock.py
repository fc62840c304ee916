"""One night at a time, whatever happened to the one before."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from emulator.carbon.errors import LockError, StoreError
from emulator.nightly.lock import LOCK_FILE, alone


def hold(root: Path, ready: "multiprocessing.synchronize.Event") -> None:
    with alone(root):
        ready.set()
        signal.pause()


def test_the_second_says_who_runs(tmp_path: Path) -> None:
    with alone(tmp_path / "nightly"):
        said = rf"Another night is running.*process {os.getpid()} on .* since 20"
        with pytest.raises(LockError, match=said), alone(tmp_path / "nightly"):
            pass
    with alone(tmp_path / "nightly"):
        holder = json.loads((tmp_path / "nightly" / LOCK_FILE).read_text())
        assert holder["pid"] == os.getpid()


def test_who_has_said_nothing_yet_is_in_the_way_all_the_same(tmp_path: Path) -> None:
    with alone(tmp_path):
        (tmp_path / LOCK_FILE).write_text("")
        with pytest.raises(LockError, match="just begun"), alone(tmp_path):
            pass


def test_the_lock_of_a_dead_process_is_no_obstacle(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    other = context.Process(target=hold, args=(tmp_path, ready))
    other.start()
    assert ready.wait(10)
    with pytest.raises(LockError, match=f"process {other.pid}"), alone(tmp_path):
        pass
    assert other.pid is not None
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    # Its words are still there, its lock is not.
    assert str(other.pid) in (tmp_path / LOCK_FILE).read_text()
    with alone(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(StoreError, match=r"nightly cannot be written \(Not a dir"),
        alone(tmp_path / "file" / "nightly"),
    ):
        pass
