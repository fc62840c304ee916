"""The testbed's weather as a centre would offer it, day by day.

On any day there are final months, preliminary ones told by the other product (which
errs: the revision changes numbers), and the days of months that are not told yet.
Final months are the weather that the teachers saw, to the last bit. Latencies are those
of ERA5 and its preliminary ERA5T: about five days and two months by the documentation
of the Climate Data Store. Simulated testbed, not TRENDY.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import StoreError
from emulator.carbon.timeaxis import years_of
from emulator.data.testbed.files import FORCING_UNITS, LABEL, attributes
from emulator.data.testbed.weather import LAND_FORCING, OCEAN_FORCING, RedNoise

Array = NDArray[np.float64]

LATENCY = {"final": 65, "preliminary": 5, "daily": 1}
"""Days from the end of a month, or of a day, until it is offered."""

VARIABLES = {"land": LAND_FORCING, "ocean": OCEAN_FORCING}

_PRODUCT = {
    "final": "forcing",
    "preliminary": "forcing_other",
    "daily": "forcing_other",
}

_DAILY_MEMORY = 0.75
"""Correlation of the noise of successive days: weather lasts three or four."""

_DAILY_SPREAD = {
    # Standard deviation of days within a month; shares of the month's mean except for
    # tas, tos (K) and sos. Assumed, in the order of what stations and buoys see.
    "tas": 3.0,
    "pr": 0.9,
    "rsds": 0.15,
    "vpd": 0.3,
    "tos": 0.2,
    "sfcWind": 0.25,
    "siconc": 0.05,
    "sos": 0.05,
    "mlotst": 0.15,
}

_ADDED = ("tas", "tos", "sos")


@dataclass(frozen=True)
class Piece:
    """One file of the feed.

    Attributes:
        month: Month of its data, datetime64[M].
        day: Day of the month; None for a whole month.
        kind: ``final``, ``preliminary`` or ``daily``.
    """

    month: np.datetime64
    day: int | None
    kind: str

    def name(self, domain: str) -> str:
        """Return the name of the file."""
        stamp = str(self.month).replace("-", "")
        stamp += "" if self.day is None else f"{self.day:02d}"
        return f"testbed_{domain}_{stamp}_{self.kind}.nc"


def publish(
    testbed_folder: Path,
    feed_folder: Path,
    *,
    domain: str,
    as_of: date,
    first: np.datetime64,
) -> Path:
    """Make a folder hold what a centre would offer on a day, and nothing else.

    Files that are there already are left as they are, those that a better one has
    replaced are removed, and the list of files changes last.

    Args:
        testbed_folder: What ``testbed.generate`` returned.
        feed_folder: Folder of the feed; the domain's own folder in it is made.
        domain: ``land`` or ``ocean``.
        as_of: The day.
        first: First month to offer; months beyond the testbed's weather are not.

    Returns:
        The folder with ``index.json``: ``feed_folder / domain``.

    Raises:
        StoreError: If there is no testbed.
    """
    weather = testbed_folder / "forcing"
    if not weather.is_dir():
        raise StoreError(
            f"There is no testbed in {testbed_folder}. Make it with `sink-emulator "
            f"demo`, or correct the path."
        )
    folder = feed_folder / domain
    folder.mkdir(parents=True, exist_ok=True)
    last = _span(_file(testbed_folder, "final", VARIABLES[domain][0]))[1]
    pieces = list(offered(as_of, first, last))
    names = {piece.name(domain) for piece in pieces}
    missing = [piece for piece in pieces if not (folder / piece.name(domain)).exists()]
    for (month, kind), some in groupby(
        missing, lambda piece: (piece.month, piece.kind)
    ):
        told = _told(testbed_folder, domain, kind, month)
        for piece in some:
            _write(_of_day(told, piece), folder / piece.name(domain))
    listed = [_listed(folder / name) for name in sorted(names)]
    index = {"title": f"forcing of the {domain} ({LABEL})", "files": listed}
    stage = folder / ".index.json.partial"
    stage.write_text(json.dumps(index, indent=1) + "\n", "utf-8")
    stage.replace(folder / "index.json")
    for path in folder.glob("*.nc"):
        if path.name not in names:
            path.unlink()
    return folder


def offered(as_of: date, first: np.datetime64, last: np.datetime64) -> Iterator[Piece]:
    """Yield what is offered on a day of the months ``first`` to ``last``."""
    today = np.datetime64(as_of, "D")
    for month in np.arange(first, last + 1):
        end = (month + 1).astype("M8[D]")
        age = int((today - end).astype(np.int64))
        whole = [kind for kind in ("final", "preliminary") if age >= LATENCY[kind]]
        if whole:
            yield Piece(month, None, whole[0])
            continue
        begin = month.astype("M8[D]")
        for day in np.arange(begin + 1, end + 1):
            if int((today - day).astype(np.int64)) >= LATENCY["daily"]:
                yield Piece(month, int((day - begin).astype(np.int64)), "daily")


def daily(
    name: str, months: Array, month: np.datetime64, lat: Array, lon: Array
) -> Array:
    """Return the days of a month, whose mean is the month.

    Days follow the season between the middles of months, and have weather of their
    own.

    Args:
        name: The variable.
        months: The month before, the month, and the one after; shape (3, lat, lon).
        month: Which month it is; it seeds the weather of its days.
        lat: Degrees north; shape (lat,).
        lon: Degrees east; shape (lon,).

    Returns:
        Shape (day, lat, lon).
    """
    before, same, after = months
    length = int(((month + 1).astype("M8[D]") - month.astype("M8[D]")).astype(np.int64))
    place = ((np.arange(length) + 0.5) / length - 0.5)[:, None, None]
    lines = same + np.abs(place) * np.where(place < 0, before - same, after - same)
    seed = [int(str(month).replace("-", "")), list(_DAILY_SPREAD).index(name)]
    noise = RedNoise(length, _DAILY_MEMORY, np.random.default_rng(seed))
    rows, columns = np.meshgrid(lat, lon, indexing="ij")
    weather = noise.at(rows.ravel(), columns.ravel()).reshape(length, *same.shape)
    spread = _DAILY_SPREAD[name]
    if name in _ADDED:
        days = lines + spread * weather
        return np.asarray(days - days.mean(axis=0) + same)
    if name == "siconc":
        # Open sea and pack ice stay as they are; the edge moves.
        wave = np.tanh(weather) - np.tanh(weather).mean(axis=0)
        return np.asarray(same + spread * 4 * same * (1 - same) * wave)
    days = lines * np.exp(spread * weather)
    mean = days.mean(axis=0)
    return np.asarray(days * np.where(mean > 0, same / np.where(mean > 0, mean, 1), 0))


def _told(
    testbed_folder: Path, domain: str, kind: str, month: np.datetime64
) -> xr.Dataset:
    """Return a month as a product tells it, or all its days; dims (time, lat, lon)."""
    fields: dict[str, tuple[tuple[str, ...], Any, dict[str, str]]] = {}
    for name in VARIABLES[domain]:
        path = _file(testbed_folder, kind, name)
        first, last = _span(path)
        near = np.clip(np.arange(month - 1, month + 2), first, last) - first
        with netCDF4.Dataset(path) as weather:
            lat, lon = (np.asarray(weather[axis][:]) for axis in ("lat", "lon"))
            around = [weather[name][int(at)] for at in near.astype(np.int64)]
        months = np.ma.filled(np.ma.stack(around), np.nan)
        values = months[1:2]
        if kind == "daily":
            values = daily(name, months.astype(np.float64), month, lat, lon)
        attrs = {"units": FORCING_UNITS[name], "long_name": f"simulated {name}"}
        fields[name] = (("time", "lat", "lon"), values.astype(np.float32), attrs)
    fields["co2"] = ((), _co2(testbed_folder, month), {"units": "ppm"})
    length = values.shape[0]
    time = month.astype("M8[D]") + np.arange(length)
    return xr.Dataset(
        fields,
        coords={
            "time": ("time", time.astype("M8[ns]")),
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
    )


def _of_day(told: xr.Dataset, piece: Piece) -> xr.Dataset:
    """Return what one file holds of a month or of its days."""
    one = told.isel(time=[(piece.day or 1) - 1])
    when = (
        piece.month if piece.day is None else one["time"].to_numpy()[0].astype("M8[D]")
    )
    return one.assign_attrs(attributes(f"weather of {when}, {piece.kind}"))


def _file(testbed_folder: Path, kind: str, name: str) -> Path:
    return next((testbed_folder / _PRODUCT[kind]).glob(f"{name}_testbed_*.nc"))


def _span(path: Path) -> tuple[np.datetime64, np.datetime64]:
    """Return the first and the last month of a file, whose name tells its years."""
    first, last = path.stem.rpartition("_")[2].split("-")
    return np.datetime64(f"{first}-01", "M"), np.datetime64(f"{last}-12", "M")


def _co2(testbed_folder: Path, month: np.datetime64) -> float:
    """Return the CO2 of a month, ppm: that of its year, as the teachers saw it."""
    table = testbed_folder / "forcing" / "co2_testbed.csv"
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        told = {int(row["year"]): float(row["co2"]) for row in rows}
    return told[int(years_of(np.array([month]))[0])]


def _write(dataset: xr.Dataset, path: Path) -> None:
    stage = path.with_name(f".{path.name}.partial")
    encoding = {
        name: {"zlib": True, "complevel": 1, "_FillValue": np.float32(1e20)}
        for name in dataset.data_vars
        if name != "co2"
    }
    encoding["time"] = {"units": "days since 1950-01-01", "calendar": "standard"}
    encoding |= {name: {"_FillValue": None} for name in ("lat", "lon", "co2")}
    dataset.to_netcdf(stage, engine="netcdf4", encoding=encoding)
    stage.replace(path)


def _listed(path: Path) -> dict[str, str | int]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    return {"name": path.name, "bytes": size, "sha256": sha256}
