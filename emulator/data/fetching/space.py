"""Space on the file systems that files come to.

What counts is the file system that a file is written to, which links and mounts may
make another than that of the data's folder, and what all transfers of the moment will
still write to it.
"""

import shutil
import threading
from pathlib import Path

from emulator.carbon.errors import StoreError

MOST_KEPT_FREE = 10**9
"""Bytes of a file system that no transfer takes: one that is full to its last byte
stops whatever else writes to it, first of all the note of what was fetched."""

_KEPT_FREE = 100
"""Of a file system of less than 100 GB a hundredth is kept free."""


def spare(folder: Path) -> int:
    """Return the bytes that may be written to the file system of a folder."""
    usage = shutil.disk_usage(folder)
    return max(0, usage.free - min(MOST_KEPT_FREE, usage.total // _KEPT_FREE))


def nearest(path: Path) -> Path:
    """Return a path, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def file_system(folder: Path) -> int:
    """Return the number of the file system that a folder is on, links followed."""
    return folder.stat().st_dev


def gigabytes(size: float) -> str:
    """Return a number of bytes for a person, in decimal units."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


class Room:
    """What transfers that run at the same time will still write, and where."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._guard = threading.Lock()
        self._left: dict[Path, tuple[int, int]] = {}

    def hold(self, path: Path, left: int) -> None:
        """Hold space for what is still to come of a file.

        Args:
            path: The file; its folder exists.
            left: Bytes that are still to come; 0 where nobody knows.

        Raises:
            StoreError: If its file system cannot take that besides what others hold.
        """
        device = file_system(path.parent)
        with self._guard:
            others = sum(
                held
                for other, (where, held) in self._left.items()
                if where == device and other != path
            )
            room = spare(path.parent)
            if left + others > room or room == 0:
                meant = f" besides {gigabytes(others)} of other files" if others else ""
                raise StoreError(
                    f"{path.parent} has {gigabytes(room)} to spare, but "
                    f"{gigabytes(left) if left else 'more'} is still to come of one "
                    f"file{meant}. Free some space, or ask for less; the same command "
                    f"goes on."
                )
            self._left[path] = device, left

    def lessen(self, path: Path, left: int) -> None:
        """Say that less is to come of a file for which space is held."""
        device, _ = self._left[path]
        self._left[path] = device, left

    def release(self, path: Path) -> None:
        """Hold nothing more for a file."""
        with self._guard:
            self._left.pop(path, None)
