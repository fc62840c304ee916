"""The forcing of a prediction, from a store that `prepare` made or from an archive.

A forcing store holds calendar months, as does the archive that nights add to. A
training store serves as well, by the weather and CO2 of its transient simulation: the
one whose months saw their own weather, not recycled years, and a CO2 that changes.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from emulator.carbon.errors import StoreError
from emulator.carbon.timeaxis import as_months
from emulator.data import forcing_archive
from emulator.data.stores import FORCING_SCHEMA, TRAINING_SCHEMA, open_store

OWN_WEATHER = "own_weather"
"""Whether a month saw its own weather, not that of another year; (time,)."""

_PASSED_ON = ("status", "coverage")


def find_store(name: str, domain: str | None, stores_root: Path) -> Path:
    """Return the store that a name or path means, for one domain.

    Args:
        name: A path, or the name of a store below ``stores_root`` without its hash:
            NAME, or NAME of NAME_<domain>.
        domain: "land" or "ocean"; None where the name alone must tell.
        stores_root: Folder of the prepared stores.

    Raises:
        StoreError: If there is no such store, or more than one.
    """
    names = [name] if domain is None else [name, f"{name}_{domain}"]
    if Path(name).is_dir():
        return Path(name)
    found = [
        path
        for wanted in names
        for path in sorted(stores_root.glob(f"{wanted}-*.zarr"))
        if path.stem.rpartition("-")[0] == wanted
    ]
    if not found:
        raise StoreError(
            f"There is no forcing {name!r}{f' for the {domain}' if domain else ''}: "
            f"neither a path nor a store in {stores_root}. Make it with "
            f"`sink-emulator prepare forcing={name}`, or give the path of a store."
        )
    if len(found) > 1:
        raise StoreError(
            f"Forcing {name!r} could be {' or '.join(map(str, found))}. Give the path "
            f"of the one you mean."
        )
    return found[0]


def read_forcing(path: Path, domain: str, names: Sequence[str]) -> xr.Dataset:
    """Return forcing by calendar month.

    Args:
        path: A training store, a forcing store, or an archive (``*.icechunk``).
        domain: "land" or "ocean"; the store must be of it.
        names: Forcing variables to read.

    Returns:
        Each name (time, lat, lon), ``co2`` and ``co2_normal`` (time), ppm, lazily;
        the coordinate ``own_weather(time)``, false for months that saw recycled
        weather and can serve as memory only; ``status(time)`` and
        ``coverage(time)`` if the store states them; the attributes of the store.

    Raises:
        StoreError: If the store is of the other domain, lacks a variable, or has no
            transient simulation.
    """
    store = _open(path)
    if store.attrs.get("domain") != domain:
        raise StoreError(
            f"{path} is forcing of the {store.attrs.get('domain')}, but the run is of "
            f"the {domain}. Give land_forcing=PATH and ocean_forcing=PATH apart."
        )
    needed = [*names, "co2", "co2_normal"]
    if missing := [name for name in needed if name not in store]:
        raise StoreError(
            f"{path} lacks {', '.join(missing)}, which the {domain} run needs. Prepare "
            f"forcing with these variables."
        )
    kept = [*needed, *(name for name in _PASSED_ON if name in store)]
    if store.attrs["schema"] == FORCING_SCHEMA:
        own = np.ones(store.sizes["time"], bool)
        return store[kept].assign_coords({OWN_WEATHER: ("time", own)})
    return _transient(store[[*kept, "weather"]], path)


def _open(path: Path) -> xr.Dataset:
    """Open a store of either schema, or an archive."""
    if path.suffix == ".icechunk":
        return forcing_archive.read(path)
    try:
        return open_store(path, FORCING_SCHEMA)
    except StoreError:
        return open_store(path, TRAINING_SCHEMA)


def _transient(store: xr.Dataset, path: Path) -> xr.Dataset:
    """Return the forcing that the transient simulation saw, by calendar month."""
    months = as_months(store["time"].to_numpy())
    weather_months = as_months(store["weather_time"].to_numpy())
    weather, co2 = store["weather"].to_numpy(), store["co2"].to_numpy()
    for index in range(store.sizes["simulation"]):
        known = (weather[index] >= 0) & np.isfinite(co2[index])
        if not known.any():
            continue
        last = int(np.flatnonzero(known)[-1])
        # Memory counts on neighbours being neighbours: the last unbroken stretch.
        unknown = np.flatnonzero(~known[:last])
        span = slice(int(unknown[-1]) + 1 if unknown.size else 0, last + 1)
        saw_itself = weather_months[weather[index, last]] == months[last]
        if saw_itself and np.ptp(co2[index, span]) > 0:
            chosen = store.isel(simulation=index, time=span)
            seen = xr.DataArray(weather[index, span], dims="time")
            forcing = chosen.isel(weather_time=seen).drop_vars(
                ["weather", "weather_time", "weather_kind"], errors="ignore"
            )
            own = weather_months[seen.to_numpy()] == months[span]
            return forcing.assign_coords({OWN_WEATHER: ("time", own)})
    simulations = ", ".join(map(str, store["simulation"].to_numpy()))
    raise StoreError(
        f"None of the simulations {simulations} of {path} saw the weather of its own "
        f"months and a changing CO2, so their forcing is not that of any real time. "
        f"Make forcing with `sink-emulator prepare forcing=NAME`."
    )
