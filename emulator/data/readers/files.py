"""Find, open and identify files; whatever is wrong with a file as a file."""

import hashlib
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import xarray as xr

from emulator.carbon.errors import CatalogError, UserError
from emulator.data.entry import Entry
from emulator.data.readers.archives import NETCDF_STARTS, START, SUFFIXES, unpacked

NETCDF = threading.RLock()
"""Held by who opens or reads: the NetCDF library crashes if two threads do so at once,
and the filters of warnings are those of all threads."""

_WEB_PAGE = ("<!doctype", "<html", "<?xml")


def find_files(
    entry: Entry, variable: str, simulation: str | None, data_root: Path
) -> list[Path]:
    """Return the files that hold ``variable``, in the order of their names.

    For a variable that is the sum of others these are the files of the others.

    Raises:
        CatalogError: If the entry lacks the variable or simulation, or no file
            matches the pattern.
    """
    if variable not in entry.variables:
        raise CatalogError(
            f"Catalog entry '{entry.name}' has no variable '{variable}', it has "
            f"{list(entry.variables)}. Add it under 'variables', or do not ask for it."
        )
    if simulation is not None and simulation not in entry.simulations:
        raise CatalogError(
            f"Catalog entry '{entry.name}' has no simulation '{simulation}', it has "
            f"{list(entry.simulations)}. Add it with the weather and CO2 it saw."
        )
    source = entry.variables[variable]
    if source.sum_of:
        return [
            path
            for component in source.sum_of
            for path in find_files(entry, component, simulation, data_root)
        ]
    pattern = source.files or entry.files
    return match_files(entry, pattern, variable, simulation, data_root)


def find_one(
    entry: Entry,
    variable: str,
    data_root: Path,
    *,
    simulation: str | None = None,
    what: str = "a static field is in one",
) -> Path:
    """Return the file of what must be in one: a static field, a table.

    Args:
        entry: The catalog entry.
        variable: Canonical name.
        data_root: The folder below which entries' roots lie.
        simulation: Which simulation of a teacher; None for other products.
        what: What it is, for the message.

    Raises:
        CatalogError: If the entry lacks the variable, or not one file matches.
    """
    paths = find_files(entry, variable, simulation, data_root)
    if len(paths) > 1:
        raise CatalogError(
            f"{len(paths)} files match '{variable}' of catalog entry '{entry.name}' "
            f"({paths[0].name} to {paths[-1].name}), but {what}. Narrow "
            f"'files'."
        )
    return paths[0]


def match_files(
    entry: Entry,
    pattern: str,
    variable: str,
    simulation: str | None,
    data_root: Path,
) -> list[Path]:
    """Return the files below the entry's root that match ``pattern``.

    Where no name matches, names in other case do (``fLUC`` for ``fLuc``). Beside a file
    that was unpacked its archive is left out.

    Raises:
        CatalogError: If the pattern needs a simulation and none is given, or no
            file matches.
    """
    if "{simulation}" in pattern and simulation is None:
        raise CatalogError(
            f"Catalog entry '{entry.name}': the files '{pattern}' need a simulation, "
            f"one of {list(entry.simulations)}."
        )
    pattern = pattern.replace("{simulation}", simulation or "")
    pattern = pattern.replace("{variable}", variable)
    if entry.years is not None:
        pattern = pattern.replace("{year}", f"{entry.years[0]:04d}")
    folder = data_root / Path(entry.root).expanduser()
    found = _glob(folder, pattern) or _glob(folder, _in_any_case(pattern))
    if not found:
        raise CatalogError(
            f"No file '{folder / pattern}', which catalog entry '{entry.name}' needs"
            f"{f' for {variable!r}' if variable else ''}. Put the data there, or set "
            f"paths.data (SINK_DATA) to the folder that holds "
            f"'{entry.root or pattern}'."
        )
    return [path for path in found if _without_archive(path) not in found]


@contextmanager
def unchanging(path: Path) -> Iterator[None]:
    """Refuse a file that is written to, replaced or removed meanwhile.

    Raises:
        UserError: If its size, time or place on the disk is another afterwards.
    """
    before = _identity(path)
    yield
    after = _identity(path)
    if after != before:
        size = "gone" if after is None else f"{after[0]} bytes"
        had = before[0] if before else 0
        raise changed(f"{path}, which had {had} bytes and is now {size},")


@contextmanager
def open_netcdf(path: Path) -> Iterator[xr.Dataset]:
    """Open a NetCDF file with nothing decoded, also inside a gzip or tar file.

    Raises:
        UserError: If the file is empty, no NetCDF, truncated, an archive that cannot
            be trusted, or changes while it is open.
    """
    with unchanging(path), unpacked(path) as plain:
        _require_netcdf(plain, path)
        try:
            # Files of other groups carry attributes that xarray comments on; what
            # matters in them is checked here by value.
            with NETCDF, warnings.catch_warnings():
                warnings.simplefilter("ignore", xr.SerializationWarning)
                opened = xr.open_dataset(
                    plain, engine="netcdf4", decode_cf=False, cache=False, lock=NETCDF
                )
        except (OSError, RuntimeError, ValueError) as error:
            raise truncated(path, str(error)) from None
        with opened:
            _require_complete(plain, opened, path)
            yield opened


def read_text(path: Path) -> str:
    """Return the text of a file, which is not large, without the mark of its order.

    Raises:
        UserError: If it is no text, or a web page.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no text ({error}), but a table is needed. Get it again, or "
            f"unpack it."
        ) from None
    if text.lstrip().lower().startswith(_WEB_PAGE):
        raise web_page(path, "a table")
    return text


def changed(what: str) -> UserError:
    """Return the error of files that changed between two looks at them."""
    return UserError(
        f"{what} changed while being read, but what is read must be of one version. "
        f"Wait until the transfer is over, then run again."
    )


def web_page(path: Path, wanted: str) -> UserError:
    """Return the error of a page in the place of data."""
    return UserError(
        f"{path} is a web page, but {wanted} is needed. The server sent a message "
        f"instead of the data: open the file in a browser, then get the data again."
    )


def checksum(path: Path) -> str:
    """Return the SHA-256 of a file; computed once while it does not change."""
    status = path.stat()
    return _sha256(str(path.resolve()), status.st_size, status.st_mtime_ns)


def truncated(path: Path, reason: str) -> UserError:
    """Return the error of a file that ends too early or is damaged inside."""
    return UserError(
        f"{path} cannot be read: it is truncated or damaged ({reason}), but a complete "
        f"NetCDF file is needed. Get it again and compare its size with the source's."
    )


@lru_cache(maxsize=4096)
def _sha256(path: str, _size: int, _modified: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _glob(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def _in_any_case(pattern: str) -> str:
    """Return a pattern that matches letters of either case."""
    if "[" in pattern:
        return pattern
    either = (f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in pattern)
    return "".join(either)


def _without_archive(path: Path) -> Path | None:
    """Return the file that an archive unpacks to; None if it is no archive."""
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.with_name(path.name[: -len(suffix)])
    return None


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _require_netcdf(plain: Path, path: Path) -> None:
    with plain.open("rb") as file:
        start = file.read(START)
    if not start:
        raise UserError(
            f"{path} is empty (0 bytes), but a NetCDF file is needed. Its download "
            f"failed: get it again."
        )
    if start.startswith(NETCDF_STARTS):
        return
    if start.lstrip().lower().startswith(tuple(one.encode() for one in _WEB_PAGE)):
        raise web_page(path, "a NetCDF file")
    if start.startswith(b"PK"):
        raise UserError(
            f"{path} is a zip archive, but a NetCDF file is needed. Unpack it."
        )
    raise UserError(
        f"{path} begins with {start[:8]!r}, which is no NetCDF file. Get it again."
    )


def _require_complete(plain: Path, dataset: xr.Dataset, path: Path) -> None:
    """Refuse a classic NetCDF file that is shorter than its variables.

    The library reads zeros beyond the end of such a file without a word.
    """
    with plain.open("rb") as file:
        is_classic = file.read(3) == b"CDF"
    needed = sum(v.size * v.dtype.itemsize for v in dataset.variables.values())
    size = plain.stat().st_size
    if is_classic and size < needed:
        raise truncated(path, f"{size} bytes where {needed} are announced")
