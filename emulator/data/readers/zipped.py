"""NetCDF and GRIB files out of a zip, and nothing else out of it."""

import os
import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from emulator.carbon.errors import StoreError, UserError
from emulator.data.fetching.space import gigabytes, spare
from emulator.data.readers.archives import require_bounded

GRIB_SUFFIXES = (".grib", ".grib1", ".grib2", ".grb", ".grb1", ".grb2")
"""How the names of GRIB files end."""

SUFFIXES = (".nc", *GRIB_SUFFIXES)


def unpack(path: Path, into: Path) -> list[Path]:
    """Unpack the data files of a zip, whole or not at all.

    Files keep the time of the zip: it tells which of two downloads is the newer one.

    Args:
        path: The zip.
        into: Folder for its files; one that is there is taken as unpacked.

    Returns:
        The files, in the order of their names.

    Raises:
        UserError: If it is no whole zip, holds no data file or one name twice, holds
            a link or a name that leads out of the folder, or more than is accepted of
            any archive.
        StoreError: If its files need more space than there is.
    """
    if not into.is_dir():
        stage = into.with_name(f".{into.name}.partial")
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        try:
            _extract(path, stage)
            stage.rename(into)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
    return sorted(into.iterdir())


def _extract(path: Path, stage: Path) -> None:
    modified = path.stat().st_mtime_ns
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path)
            size = sum(member.file_size for member in members)
            require_bounded(path, size)
            _require_space(size, path, stage)
            for member in members:
                target = stage / PurePosixPath(member.filename).name
                # No more than the announced length is read, and its checksum compared.
                with archive.open(member) as packed, target.open("xb") as file:
                    shutil.copyfileobj(packed, file)
                os.utime(target, ns=(modified, modified))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(
            f"{path} is no whole zip ({error}), but one of data files is needed. Get "
            f"it again."
        ) from None
    except FileExistsError as error:
        raise UserError(
            f"{path} holds {Path(error.filename).name} twice, and it cannot be told "
            f"which holds. Unpack it into two folders."
        ) from None


def _members(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    members = [one for one in archive.infolist() if not one.is_dir()]
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        if is_link or name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise UserError(
                f"{path} holds '{member.filename}', "
                f"{'a link' if is_link else 'which leads out of its folder'}, but data "
                f"are needed. Nothing of it is unpacked: ask where it came from."
            )
    wanted = [one for one in members if one.filename.endswith(SUFFIXES)]
    if not wanted:
        raise UserError(
            f"{path} holds {[one.filename for one in members]}, none of them a file of "
            f"{', '.join(SUFFIXES)}. Ask for NetCDF or GRIB."
        )
    return wanted


def _require_space(needed: int, path: Path, stage: Path) -> None:
    room = spare(stage)
    if needed > room:
        raise StoreError(
            f"{path} needs {gigabytes(needed)} unpacked, but {stage.parent} has "
            f"{gigabytes(room)} to spare. Free some space."
        )
