"""Hourly ERA5 in one Zarr store: Google's ARCO-ERA5, where it lies or a copy of it.

A store holds every hour as one chunk, so that a day is read at once and years are not:
days are taken one by one, each made into its means and amounts and kept, and read again
only when preliminary ones have become final. For decades of months take monthly files
of the Climate Data Store (``era5``).

The axis of time is laid out for decades to come. What is there the store says itself:
``valid_time_stop`` is the last day of ERA5, ``valid_time_stop_era5t`` that of ERA5T.
Hours within that have a value everywhere, or are refused.

Amounts are of the hour that ends at the stamp, as in ``era5``: those of a day are
stamped 01 to 00 of the next day. That last hour is of a forecast that began in the
day, so that a day is final if its own hours are (ERA5 data documentation, ECMWF).

Source:
    Carver and Merose (2023), ARCO-ERA5, AMS 22nd Conference on AI for Environmental
    Science; names and attributes: README of google-research/arco-era5. Hersbach et al.
    (2020), QJRMS 146.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store

from emulator.carbon.errors import SourceError, TimeAxisError, UnitsError, UserError
from emulator.carbon.grid import Grid
from emulator.carbon.units import convert
from emulator.data.readers.era5_quantities import (
    AMOUNTS,
    COMPONENTS,
    RECIPES,
    SPEED,
    UNITS,
    needed,
)
from emulator.data.readers.fields import canonical_grid
from emulator.data.readers.products import Offering, Piece, Told
from emulator.data.writing import written_whole

Array = NDArray[np.float64]
AnyArray = zarr.Array[Any]

NAMES = {
    "t2m": "2m_temperature",
    "d2m": "2m_dewpoint_temperature",
    "sp": "surface_pressure",
    "tp": "total_precipitation",
    "ssrd": "surface_solar_radiation_downwards",
    "u10": "10m_u_component_of_wind",
    "v10": "10m_v_component_of_wind",
}
"""What the store calls the quantities of ERA5."""

KEPT_DAYS = 62
"""Days before the last final one that are kept: the months of earlier ones have been
taken, and a day of one quantity at 0.25 degree is 4 MB."""

_HOUR = np.timedelta64(1, "h")
_DAY = np.timedelta64(1, "D")


@dataclass(frozen=True, eq=False)
class _Store:
    """A store that was looked into.

    Attributes:
        place: Its folder or URL.
        group: Its arrays.
        grid: Where.
        lat: Its rows, degrees north, in its own order.
        lon: Its columns, degrees east, in its own order.
        first: The first hour of its axis, which has all that follow.
        begin: The first hour that is there.
        end: The last hour that is there.
        last_final: The last day that is final.
        kept: Folder for days.
    """

    place: str
    group: zarr.Group
    grid: Grid
    lat: Array
    lon: Array
    first: np.datetime64
    begin: np.datetime64
    end: np.datetime64
    last_final: np.datetime64
    kept: Path

    def mean(self, name: str, day: np.datetime64) -> Array:
        """Return a quantity of a day, or its amount; float32 as it is kept."""
        status = "final" if day <= self.last_final else "preliminary"
        path = self.kept / f"{name}_{day}_{status}.npy"
        if not path.is_file():
            with written_whole(path) as part:
                np.save(part, self._aggregated(name, day))
        return np.asarray(np.load(path), np.float64)

    def _aggregated(self, name: str, day: np.datetime64) -> NDArray[np.float32]:
        if name == SPEED:
            east, north = (self._hours(one, day) for one in COMPONENTS)
            hours = np.hypot(east, north)
        else:
            hours = self._hours(name, day)
        total = hours.sum(axis=0) if name in AMOUNTS else hours.mean(axis=0)
        place = Path(self.place)
        single = total.astype(np.float32)
        return canonical_grid(single, self.lat, self.lon, place)[0]

    def _hours(self, name: str, day: np.datetime64) -> Array:
        """Return a quantity at the hours of a day; shape (time, lat, lon)."""
        begin = int((day - self.first) / _HOUR) + (name in AMOUNTS)
        with _reached(self.place):
            array = _array(self.group, NAMES[name], self.place)
            raw = np.asarray(array[begin : begin + 24])
        # A chunk that is not there reads as the fill, which need not be NaN; no field
        # of a whole planet has one value.
        flat = raw.reshape(raw.shape[0], -1)
        holes = np.isnan(flat).any(axis=1) | (np.ptp(flat, axis=1) == 0)
        if holes.any():
            hour = self.first + (begin + int(np.argmax(holes))) * _HOUR
            raise SourceError(
                f"{self.place} says that {day} is there, but '{NAMES[name]}' has no "
                f"value, or one alone, at {hour}. It may be at work; run again later."
            )
        units = array.attrs.get("units")
        if not units:
            raise UnitsError(
                f"{self.place}: '{NAMES[name]}' states no unit, but {UNITS[name]!r} is "
                f"needed. Take the store of its maker."
            )
        return convert(raw.astype(np.float64), str(units), UNITS[name])


def find(place: str, names: Sequence[str], scratch: Path) -> Offering:
    """Return the days that a store has.

    Args:
        place: Folder or URL (``gs://``, ``s3://``, ``https://``), read without keys.
        names: Variables that are wanted, of ``era5_quantities.VARIABLES``.
        scratch: Folder in which days are kept, once they are read.

    Returns:
        Days of which all variables are there.
    """
    offering = Offering("ARCO-ERA5")
    needs = needed(names)
    parts = [one for need in needs for one in (COMPONENTS if need == SPEED else [need])]
    try:
        with _reached(place):
            store = _looked_into(place, parts, scratch)
    except UserError as error:
        offering.refused.append(str(error))
        return offering
    _forget(store)
    # The last hour of amounts is stamped in the next day.
    length = 24 if any(part in AMOUNTS for part in parts) else 23
    first = (store.begin + 23 * _HOUR).astype("M8[D]")
    last = (store.end - length * _HOUR).astype("M8[D]")
    for day in np.arange(first, last + _DAY, dtype="M8[D]"):
        status = "final" if day <= store.last_final else "preliminary"
        origin = f"{place} {day} {status}"
        offering.days[day] = Piece((), partial(_read, store, day), (origin,))
    return offering


def _read(store: _Store, day: np.datetime64, names: tuple[str, ...]) -> Told:
    """Return variables of a day."""
    means = {need: store.mean(need, day) for need in needed(names)}
    fields = {}
    for name in names:
        recipe = RECIPES[name]
        fields[name] = recipe.compute(*(means[need] for need in recipe.needs))
    return Told(fields, store.grid, bool(day <= store.last_final))


def _looked_into(place: str, parts: Sequence[str], scratch: Path) -> _Store:
    """Return a store that has some quantities.

    Raises:
        SourceError: If it lacks one.
        TimeAxisError: If it does not say until when it has values, or has not every
            hour.
    """
    group = zarr.open_group(_opened(place), mode="r")
    for part in parts:
        _array(group, NAMES[part], place)
    lat, lon = (
        np.asarray(_array(group, name, place)[:], np.float64)
        for name in ("latitude", "longitude")
    )
    nothing = np.zeros((lat.size, lon.size), np.float32)
    _, rows, columns = canonical_grid(nothing, lat, lon, Path(place))
    first, last = _axis(_array(group, "time", place), place)
    final = _stated(group, "valid_time_stop", place)
    if final is None:
        raise TimeAxisError(
            f"{place} states no valid_time_stop, but its axis of time goes on to "
            f"{last} whatever is there. Take the store of its maker, with attributes."
        )
    latest = _stated(group, "valid_time_stop_era5t", place) or final
    begin = _stated(group, "valid_time_start", place) or first
    word = hashlib.sha256(place.encode()).hexdigest()[:12]
    kept = scratch / f"arco-{word}"
    kept.mkdir(parents=True, exist_ok=True)
    return _Store(
        place=place,
        group=group,
        grid=Grid(rows, columns),
        lat=lat,
        lon=lon,
        first=first,
        begin=max(first, begin.astype("M8[D]").astype("M8[h]")),
        end=min(last, max(latest, final)),
        last_final=(final - 23 * _HOUR).astype("M8[D]"),
        kept=kept,
    )


def _array(group: zarr.Group, name: str, place: str) -> AnyArray:
    """Return an array of a store."""
    found = group.get(name)
    if not isinstance(found, zarr.Array):
        raise SourceError(
            f"{place} has no '{name}', but an ARCO-ERA5 store with the fields of "
            f"the surface is needed. Correct the place."
        )
    return found


def _opened(place: str) -> Store | str:
    """Return what Zarr opens: a folder, or objects that are read without keys."""
    if "://" not in place:
        return place
    try:
        from obstore.store import from_url
    except ImportError:
        raise SourceError(
            f"{place} needs the package obstore. Install it with `pip install "
            f"'sink-emulator[s3]'`, or copy what is needed into a folder."
        ) from None
    from zarr.storage import ObjectStore

    if place.startswith(("http://", "https://")):
        plain = place.startswith("http://")
        objects = from_url(place, client_options={"allow_http": plain})
    else:
        objects = from_url(place, skip_signature=True)
    return ObjectStore(objects, read_only=True)


@contextmanager
def _reached(place: str) -> Iterator[None]:
    """Say what can be done if a store cannot be read."""
    try:
        yield
    except UserError:
        raise
    # What stands behind a store raises as it likes: Zarr, codecs, object stores.
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SourceError(
            f"{place} cannot be read ({first}), but a Zarr store is needed. Check the "
            f"place and the network, or run again later."
        ) from error


def _axis(time: AnyArray, place: str) -> tuple[np.datetime64, np.datetime64]:
    """Return the first and the last hour of an axis that has all between."""
    numbers = np.asarray(time[:], np.float64)
    units = str(time.attrs.get("units", ""))
    calendar = str(time.attrs.get("calendar", "standard"))
    dates = cftime.num2date(numbers[[0, -1]], units, calendar)
    first, last = (
        np.datetime64(date.isoformat(), "s").astype("M8[h]") for date in dates
    )
    steps = np.diff(numbers)
    if numbers.size - 1 != (last - first) / _HOUR or (np.ptp(steps) > 0):
        raise TimeAxisError(
            f"{place} has {numbers.size} times from {first} to {last}, but each hour "
            f"is needed. Take the hourly store."
        )
    return first, last


def _stated(group: zarr.Group, name: str, place: str) -> np.datetime64 | None:
    """Return the hour that an attribute states, of a day its last; None without."""
    said = group.attrs.get(name)
    if said is None:
        return None
    try:
        stamp = datetime.fromisoformat(str(said))
    except ValueError:
        raise TimeAxisError(
            f"{place} states {name} {said!r}, but a date is needed. Take the store of "
            f"its maker."
        ) from None
    hour = np.datetime64(stamp.replace(tzinfo=None), "h")
    return hour + 23 * _HOUR if len(str(said)) == len("2025-06-30") else hour


def _forget(store: _Store) -> None:
    """Remove days that are final by now, or long taken."""
    for path in store.kept.glob("*.npy"):
        _, stamp, status = path.stem.split("_")
        day = np.datetime64(stamp, "D")
        is_late = status == "preliminary" and day <= store.last_final
        if is_late or day < store.last_final - KEPT_DAYS * _DAY:
            path.unlink()
