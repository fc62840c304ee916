"""NetCDF files inside gzip and tar files, as archives of model output hold them.

What an archive holds is read as a stream into one file of our own name in a temporary
folder, which disappears after reading: no name inside an archive ever becomes a path.
An archive that holds a path out of it, a link or a device is refused all the same,
since nobody made it to carry data.
"""

import errno
import fcntl
import gzip
import hashlib
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from emulator.carbon.errors import UserError
from emulator.data.writing import written_whole

LARGEST = 32 * 2**30
"""Bytes that an archive may hold in all: the largest variables of TRENDY (0.5 degree,
3900 months, float32) take 4 GiB. A share cannot be the limit, since a year of zeros
(fire in a model without fire) is honestly packed a thousandfold."""

NETCDF_STARTS = (b"CDF\x01", b"CDF\x02", b"CDF\x05", b"\x89HDF\r\n\x1a\n")
"""First bytes of classic, 64-bit offset, 64-bit data and NetCDF-4 files."""

START = 512
"""Bytes that tell what a file is: a tar names itself at byte 257."""

SUFFIXES = (".tar.gz", ".tgz", ".tar", ".gz")
"""Endings of archives, the longest first."""

_GZIP = b"\x1f\x8b"
_KEPT: ContextVar[Path | None] = ContextVar("folder of what is unpacked", default=None)
_PIECE = 2**20


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give a path at which the content of ``path`` can be read as a plain file.

    Args:
        path: A file: one packed with gzip, a tar, a tar packed with gzip, or any
            other, which is given as it is.

    Raises:
        UserError: If the archive is truncated, holds no or several NetCDF files, a
            path out of it, a link, or more than ``LARGEST`` bytes, or if there is no
            room to unpack it.
    """
    with path.open("rb") as file:
        start = file.read(START)
    if not (start.startswith(_GZIP) or _is_tar(start)):
        yield path
        return
    kept = _KEPT.get()
    if kept is not None:
        yield _unpacked_once(path, kept, start)
        return
    with tempfile.TemporaryDirectory(prefix="sink-emulator-") as folder:
        target = Path(folder) / "content.nc"
        _unpack_whole(path, target, start)
        yield target


@contextmanager
def keeping_unpacked(folder: Path | None = None) -> Iterator[Path]:
    """Keep what ``unpacked`` unpacks: who reads a file in parts unpacks it once.

    Args:
        folder: One that is kept already by another thread or process; a new one, which
            is removed at the end, when None. Where it cannot be seen, on another
            computer, each reading unpacks for itself.

    Yields:
        The folder.
    """
    if folder is None:
        with (
            tempfile.TemporaryDirectory(prefix="sink-emulator-") as made,
            keeping_unpacked(Path(made)) as place,
        ):
            yield place
        return
    token = _KEPT.set(folder if folder.is_dir() else None)
    try:
        yield folder
    finally:
        _KEPT.reset(token)


def require_bounded(path: Path, size: int) -> None:
    """Refuse an archive that holds more than ``LARGEST`` bytes.

    Args:
        path: The archive.
        size: What it holds, or what was found in it so far, bytes.

    Raises:
        UserError: If it is more.
    """
    if size <= LARGEST:
        return
    raise UserError(
        f"{path} ({path.stat().st_size} bytes) unpacks to {size} bytes or more, but at "
        f"most {LARGEST} are accepted: it may be made to fill the disk. If it is "
        f"right, unpack it beside itself."
    )


def _unpacked_once(path: Path, folder: Path, start: bytes) -> Path:
    """Return the content of an archive, unpacked by whoever comes first."""
    status = path.stat()
    identity = f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
    name = hashlib.sha256(identity.encode()).hexdigest()
    target = folder / f"{name}.nc"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            with written_whole(target) as part:
                _unpack_whole(path, part, start)
    return target


def _unpack_whole(path: Path, target: Path, start: bytes) -> None:
    """Unpack an archive, or say why not."""
    try:
        _unpack(path, target, start)
    except (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError) as error:
        raise UserError(
            f"{path} cannot be unpacked: it is truncated or damaged ({error}), but "
            f"a complete archive is needed. Get it again and compare its size with "
            f"the source's."
        ) from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"{path} cannot be unpacked: no space is left in {target.parent}. Free "
            f"some, point TMPDIR to a larger disk, or unpack the file beside itself."
        ) from None


def _unpack(path: Path, target: Path, start: bytes) -> None:
    if start.startswith(_GZIP):
        with gzip.open(path) as content:
            start = content.read(START)
    if _is_tar(start):
        _unpack_tar(path, target)
        return
    _require_netcdf(start, path)
    with gzip.open(path) as content, target.open("wb") as file:
        _copy(content, file, path)


def _unpack_tar(path: Path, target: Path) -> None:
    """Read a tar as a stream: nothing is unpacked twice, and no header looked for."""
    found: list[str] = []
    size = 0
    with tarfile.open(path, "r|*") as archive:
        for member in archive:
            _require_harmless(member, path)
            size += member.size
            require_bounded(path, size)
            name = PurePosixPath(member.name).name
            # macOS puts a file of attributes, ._NAME, beside each file.
            if not member.isfile() or name.startswith("."):
                continue
            content = archive.extractfile(member)
            start = content.read(START) if content is not None else b""
            if content is None or not start.startswith(NETCDF_STARTS):
                continue
            found.append(member.name)
            if len(found) == 1:
                with target.open("wb") as file:
                    file.write(start)
                    shutil.copyfileobj(content, file, _PIECE)
    if len(found) != 1:
        raise UserError(
            f"{path} holds {len(found)} NetCDF files {found}, but one is needed. "
            f"Unpack it and name the file under 'files' of the catalog entry."
        )


def _require_harmless(member: tarfile.TarInfo, path: Path) -> None:
    place = PurePosixPath(member.name)
    what = None
    if place.is_absolute():
        what = "an absolute path"
    elif ".." in place.parts:
        what = "a path out of it"
    elif member.issym() or member.islnk():
        what = f"a link to '{member.linkname}'"
    elif not (member.isfile() or member.isdir()):
        what = "a device or pipe"
    if what:
        raise UserError(
            f"{path} holds {what}, '{member.name}', but only files and folders of its "
            f"own are accepted. It is damaged or meant to do harm: get it again from "
            f"its provider."
        )


def _require_netcdf(start: bytes, path: Path) -> None:
    if not start.startswith(NETCDF_STARTS):
        raise UserError(
            f"{path} holds something that begins with {start[:8]!r}, but a NetCDF file "
            f"is needed. Get it again."
        )


def _copy(content: gzip.GzipFile, file: BinaryIO, path: Path) -> None:
    size = 0
    while piece := content.read(_PIECE):
        size += len(piece)
        require_bounded(path, size)
        file.write(piece)


def _is_tar(start: bytes) -> bool:
    return start[257:262] == b"ustar"
