"""One process at a time in a folder: a lock that dies with who holds it."""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from emulator.carbon.errors import LockError, StoreError


@contextmanager
def alone(path: Path, *, busy: str, cure: str) -> Iterator[None]:
    """Hold a folder alone until the block ends.

    The kernel gives the lock back when its process ends, however it ends. What stands
    in the file only tells others who it was.

    Args:
        path: The file to lock; its folder is made when missing.
        busy: What another process does in the folder, to begin a message.
        cure: What to do if the folder cannot be written.

    Raises:
        LockError: If another process holds it.
        StoreError: If the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(
            f"{path.parent} cannot be written ({error.strerror}). Mend its permissions "
            f"or its disk, or {cure}."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockError(
                f"{busy} in {path.parent} ({_holder(handle)}). Nothing was done; wait "
                f"until it ends, or look at it."
            ) from None
        except OSError as error:
            raise StoreError(
                f"{path} cannot be locked ({error.strerror}), but two at a time would "
                f"spoil each other's files. Use a disk that has locks, or {cure}."
            ) from error
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with contextlib.suppress(OSError):  # a full disk is no reason not to begin
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(holder).encode() + b"\n", 0)
        yield
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    """Return who says to hold the lock; who has just begun may not have said so."""
    try:
        said = json.loads(os.pread(handle, 1000, 0))
        return f"process {said['pid']} on {said['host']} since {said['since']}"
    except (ValueError, KeyError, TypeError):
        return "which has just begun"
