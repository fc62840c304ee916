"""Files come only where they have space, all of a moment together."""

from collections import namedtuple
from pathlib import Path

import pytest

from emulator.carbon.errors import StoreError
from emulator.data.fetching import space
from emulator.data.fetching.space import Room, gigabytes, nearest, spare

Usage = namedtuple("Usage", "total used free")


def has(monkeypatch: pytest.MonkeyPatch, free: int, total: int = 0) -> None:
    usage = Usage(total, total - free, free)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: usage)


@pytest.mark.parametrize(
    ("total", "free", "left"),
    [
        # A hundredth of a small disk stays free, 1 GB of a large one.
        (50 * 10**9, 20 * 10**9, 19_500_000_000),
        (10**13, 20 * 10**9, 19 * 10**9),
        (10**13, 10**9 - 1, 0),
    ],
)
def test_some_space_stays_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int, free: int, left: int
) -> None:
    has(monkeypatch, free, total)
    assert spare(tmp_path) == left


def test_transfers_of_a_moment_share_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, 100)
    room, a, b, c = Room(), tmp_path / "a", tmp_path / "b", tmp_path / "c"
    room.hold(a, 60)
    room.hold(a, 50)  # it replaces what it held itself
    with pytest.raises(
        StoreError,
        match=r"has 100 bytes to spare, but 51 bytes is still to come of one file "
        r"besides 50 bytes of other files\. Free some space",
    ):
        room.hold(b, 51)
    room.hold(b, 50)
    with pytest.raises(StoreError, match="1 bytes is still to come"):
        room.hold(c, 1)
    room.lessen(b, 10)
    room.hold(c, 40)
    room.release(a)
    room.hold(c, 90)


def test_a_file_of_unknown_length_needs_some_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, 10)
    Room().hold(tmp_path / "a", 0)
    has(monkeypatch, 0)
    with pytest.raises(StoreError, match="0 bytes to spare, but more is still to come"):
        Room().hold(tmp_path / "a", 0)


def test_other_file_systems_have_space_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(monkeypatch, 100)
    monkeypatch.setattr(space, "file_system", lambda folder: hash(folder.name))
    room = Room()
    room.hold(tmp_path / "here" / "a", 100)
    room.hold(tmp_path / "there" / "a", 100)


def test_the_nearest_folder_is_one_that_exists(tmp_path: Path) -> None:
    assert nearest(tmp_path / "a" / "b") == tmp_path
    assert nearest(tmp_path) == tmp_path
    assert nearest(Path("no folder at all/a")) == Path()


@pytest.mark.parametrize(
    ("size", "text"),
    [(999, "999 bytes"), (1500, "1.5 kB"), (4.5e6, "4.5 MB"), (2e9, "2.0 GB")],
)
def test_bytes_are_told_in_decimal_units(size: int, text: str) -> None:
    assert gigabytes(size) == text
