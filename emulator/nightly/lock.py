"""One night at a time: a lock that dies with the process that holds it."""

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

LOCK_FILE = "lock"


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Hold a deployment alone until the block ends.

    The kernel gives the lock back when its process ends, however it ends. What stands
    in the file only tells others who it was.

    Args:
        root: Folder of the deployment; made when missing.

    Raises:
        LockError: If another night runs.
        StoreError: If the folder cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = os.open(root / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(
            f"{root} cannot be written ({error.strerror}). Mend its permissions or its "
            f"disk, or give the deployment another root=FOLDER."
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockError(
                f"Another night is running in {root} ({_holder(handle)}). Nothing was "
                f"done; wait until it ends, or look at it."
            ) from None
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
