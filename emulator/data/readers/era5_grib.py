"""ERA5 and ERA5-Land in GRIB, as the archive of ECMWF holds them.

A file is a row of messages, each one field at one time. They are found by their keys,
not by their order, and read where they stand: nothing is written beside the file. Each
message says its version itself, so that a file may go over from ERA5 to ERA5T within a
month, or hold a time in both.

Amounts of ERA5 are of the hour before they are valid, those of ERA5-Land of the day so
far. Where a message says from which step to which, it is held against that. The same
hour may come from two forecasts; the one that began later counts, as in the Climate
Data Store (which takes the first twelve hours of each).

Source:
    Keys: ecCodes, ECMWF; expver, stream and steps: ERA5 data documentation, ECMWF.
"""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, TimeAxisError, UserError
from emulator.carbon.grid import Grid
from emulator.data.readers.fields import canonical_grid, without_fills
from emulator.data.readers.files import unchanging
from emulator.data.readers.steps import (
    FINAL_VERSION,
    Slab,
    StepFile,
    Times,
    as_steps,
    unstated_version,
    versions_of,
)

_ENSEMBLES = ("enda", "edmo")
"""Streams of ten members, of hours and of months."""

_GRIDS = ("regular_ll", "regular_gg")

_DAY = 24
"""Hours; amounts of days or less are told apart from those of months."""

_MISSING = 1e30
"""Set where a field has no value; above any, and taken for a fill."""


@dataclass(frozen=True)
class _Message:
    """One field of a file.

    Attributes:
        offset: Where it begins, bytes.
        valid: The hour at which it is valid.
        units: Of its values.
        is_final: Whether it is of ERA5, not ERA5T.
        step: Hours since its forecast began.
    """

    offset: int
    valid: np.datetime64
    units: str
    is_final: bool
    step: int


_Messages = dict[np.datetime64, _Message]
"""The fields of a variable by the hour at which they are valid."""


def index(path: Path, measure: str, *, counts_on: bool) -> list[StepFile]:
    """Return what a file holds, each variable with the times of its own.

    Args:
        path: The file.
        measure: "M" or "h": a field a month, or an hour.
        counts_on: Whether amounts of hours count on from midnight (ERA5-Land).

    Raises:
        UserError: If ecCodes is not installed, or the file holds no field, is cut off,
            is of the ensemble, or of a version that is not known.
        TimeAxisError: If it holds days, or steps or amounts of another length.
    """
    if measure == "D":
        raise TimeAxisError(
            f"{path} is GRIB among files of days, but of days in GRIB it is not known "
            f"which stamp they have. Put hours into the folder hourly, or get days as "
            f"NetCDF."
        )
    found: dict[str, _Messages] = {}
    with _opened(path) as (eccodes, file):
        for message in _messages(eccodes, file, path):
            name = str(eccodes.codes_get(message, "cfVarName"))
            if measure == "h":
                _require_amount(eccodes, message, name, path, counts_on=counts_on)
            other = _described(eccodes, message, path)
            known = found.setdefault(name, {})
            known[other.valid] = _better(known.get(other.valid), other)
    if not found:
        raise UserError(
            f"{path} holds no GRIB message, but fields are needed. Get it again."
        )
    modified = path.stat().st_mtime_ns
    files = []
    for name, messages in sorted(found.items()):
        hours = np.array(sorted(messages), "M8[h]")
        held = as_steps(hours, measure, path)
        slab = partial(_read, path, held, [messages[hour] for hour in hours])
        files.append(StepFile(path, held, frozenset([name]), modified, slab))
    return files


def _read(
    path: Path, held: Times, messages: list[_Message], name: str, steps: Times
) -> Slab:
    """Read a variable of one file at times that it holds."""
    wanted = [messages[place] for place in np.searchsorted(held, steps)]
    grids: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    fields = []
    with _opened(path) as (eccodes, file):
        for one in wanted:
            file.seek(one.offset)
            with closing(_messages(eccodes, file, path, is_whole=True)) as following:
                message = next(following, None)
                if message is None or not _is(eccodes, message, name, one):
                    raise UserError(
                        f"{path} has no '{name}' of {one.valid} where it was: it was "
                        f"replaced. Run again when the download is over."
                    )
                key = str(eccodes.codes_get(message, "md5GridSection"))
                if key not in grids:
                    grids[key] = _centres(eccodes, message, path)
                lat, lon = grids[key]
                eccodes.codes_set(message, "missingValue", _MISSING)
                raw = eccodes.codes_get_values(message).reshape(lat.size, lon.size)
                fields.append(without_fills(raw, {}))
    units = {one.units for one in wanted}
    if len(grids) > 1 or len(units) > 1:
        raise GridMismatchError(
            f"{path} has '{name}' on {len(grids)} grids and in {sorted(units)}, but "
            f"one of each is needed. Put what is of one kind into files of its own."
        )
    values, lat, lon = canonical_grid(np.stack(fields), lat, lon, path)
    is_final = np.array([one.is_final for one in wanted])
    return Slab(values, Grid(lat, lon), units.pop(), is_final)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[ModuleType, BinaryIO]]:
    """Give ecCodes and a file that does not change meanwhile."""
    try:
        eccodes = import_module("eccodes")
    # It finds its library only when it is imported.
    except (ImportError, RuntimeError):
        raise UserError(
            f"{path} is GRIB, which needs the package eccodes. Install it with `pip "
            f"install 'sink-emulator[grib]'`, or get NetCDF."
        ) from None
    with unchanging(path), path.open("rb") as file:
        yield eccodes, file


def _messages(
    eccodes: ModuleType, file: BinaryIO, path: Path, *, is_whole: bool = False
) -> Generator[Any, None, None]:
    """Yield the messages from here on; only their keys, or with values, too."""
    while True:
        try:
            found = eccodes.codes_grib_new_from_file(file, headers_only=not is_whole)
        except eccodes.CodesInternalError as error:
            raise UserError(
                f"{path} is cut off or damaged ({error}), but whole GRIB messages are "
                f"needed. Get it again and compare its size with the source's."
            ) from None
        if found is None:
            return
        try:
            yield found
        finally:
            eccodes.codes_release(found)


def _is(eccodes: ModuleType, message: Any, name: str, described: _Message) -> bool:
    """Return whether a message is the one that was found there before."""
    same_name = eccodes.codes_get(message, "cfVarName") == name
    return bool(same_name and _valid(eccodes, message) == described.valid)


def _described(eccodes: ModuleType, message: Any, path: Path) -> _Message:
    """Return what keys say of a message."""
    stream = _stated(eccodes, message, "stream")
    if stream in _ENSEMBLES:
        raise UserError(
            f"{path} is of the ensemble (stream {stream}), whose members are not told "
            f"apart. Ask for the product type reanalysis."
        )
    version = unstated_version(path)
    stated = _stated(eccodes, message, "expver")
    if stated is not None:
        (version,) = versions_of([stated], path)
    return _Message(
        int(eccodes.codes_get(message, "offset")),
        _valid(eccodes, message),
        str(eccodes.codes_get(message, "units")),
        bool(version == FINAL_VERSION),
        int(eccodes.codes_get(message, "endStep")),
    )


def _stated(eccodes: ModuleType, message: Any, key: str) -> str | None:
    """Return a key of ECMWF's own, which messages of other centres lack."""
    if not eccodes.codes_is_defined(message, key):
        return None
    return str(eccodes.codes_get(message, key))


def _better(known: _Message | None, other: _Message) -> _Message:
    """Return the final one of two, else the one whose forecast began later."""
    if known is None or other.is_final > known.is_final:
        return other
    if other.is_final < known.is_final:
        return known
    return other if other.step <= known.step else known


def _valid(eccodes: ModuleType, message: Any) -> np.datetime64:
    """Return the hour at which a message is valid: when its last step ends.

    The key validityDate says so but for means of months, whose forecasts began in the
    month before; the Climate Data Store's own NetCDF files have the sum.
    """
    date, time, first, last = (
        int(eccodes.codes_get(message, key))
        for key in ("dataDate", "dataTime", "startStep", "endStep")
    )
    # The mean of a month may be dated with day 0.
    text = f"{date // 10000:04d}-{date // 100 % 100:02d}-{max(date % 100, 1):02d}"
    begun = np.datetime64(text, "h") + time // 100
    if last - first > _DAY:
        # The month itself: its end is the next one's beginning.
        return begun + (first + last) // 2
    return begun + last


def _require_amount(
    eccodes: ModuleType, message: Any, name: str, path: Path, *, counts_on: bool
) -> None:
    """Refuse amounts of another span than the product's."""
    first, last = (
        int(eccodes.codes_get(message, key)) for key in ("startStep", "endStep")
    )
    # A step alone says nothing of a span; then the values must (era5).
    if first == last or first == (0 if counts_on else last - 1):
        return
    wanted = "from midnight (era5_land)" if counts_on else "of one hour (era5)"
    raise TimeAxisError(
        f"{path} has '{name}' of the steps {first} to {last}, but amounts {wanted} are "
        f"needed. Name the other reader if it is the other product, or get all hours."
    )


def _centres(
    eccodes: ModuleType, message: Any, path: Path
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return latitudes and longitudes in the order of the values."""
    kind = str(eccodes.codes_get(message, "gridType"))
    if kind not in _GRIDS or eccodes.codes_get(message, "jPointsAreConsecutive"):
        raise GridMismatchError(
            f"{path} is on a grid of the kind {kind}, but one of {', '.join(_GRIDS)} "
            f"in rows is needed. Ask for a regular grid, e.g. grid 0.25/0.25."
        )
    shape = tuple(int(eccodes.codes_get(message, key)) for key in ("Nj", "Ni"))
    lat = eccodes.codes_get_array(message, "latitudes").reshape(shape)
    lon = eccodes.codes_get_array(message, "longitudes").reshape(shape)
    return lat[:, 0], lon[0]
