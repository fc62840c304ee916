"""One night at a time."""

from contextlib import AbstractContextManager
from pathlib import Path

from emulator.data import locking

LOCK_FILE = "lock"


def alone(root: Path) -> AbstractContextManager[None]:
    """Hold a deployment alone until the block ends.

    Args:
        root: Folder of the deployment; made when missing.

    Raises:
        LockError: If another night runs.
        StoreError: If the folder cannot be written.
    """
    return locking.alone(
        root / LOCK_FILE,
        busy="Another night is running",
        cure="give the deployment another root=FOLDER",
    )
