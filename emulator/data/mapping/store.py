"""A map of one forcing product onto another, as it is kept and applied.

It is a small Zarr store of its own: for each variable the method, what is added or
multiplied in each cell and calendar month, and the range that it was learned from. A
prepared store, an archive of forcing and the nights that add to it are mapped by the
same one: stores and archives say by which, and nothing else is mixed in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.mapping import Months, is_beyond, shifted_by_quantiles
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, month_of, month_range
from emulator.data.stores import open_store, write_store

Floats = NDArray[np.floating]

MAP_SCHEMA = "forcing-map/1"
"""What is learned of two products."""

STORE = "fit.zarr"
"""Name of the store in the folder that `sink-emulator map` makes."""

MAPPED_BY = "mapped_by"
"""Attribute of a store or an archive that says by which map it was mapped."""

_LIMITS = {
    **dict.fromkeys(
        (
            *("pr", "rsds", "rlds", "huss", "vpd", "sfcWind"),
            *("sos", "mlotst", "chlos", "fireobs"),
        ),
        (0.0, np.inf),
    ),
    "siconc": (0.0, 1.0),
}
"""What no map may leave: amounts are not negative, no cell is more than covered."""


@dataclass(frozen=True, eq=False)
class Fit:
    """What is learned of one variable; everything float32.

    Attributes:
        method: "delta", "ratio" or "quantiles".
        change: Difference or ratio, (12, lat, lon); of quantiles the shift at each of
            them, (12, quantile, lat, lon). NaN where a product has no value.
        lowest: Smallest value of the source, (12, lat, lon).
        highest: Largest value of the source, (12, lat, lon).
        quantiles: Quantiles of the source, (12, quantile, lat, lon), if it is those.
    """

    method: str
    change: NDArray[np.float32]
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    quantiles: NDArray[np.float32] | None = None

    def apply(self, values: Floats, month: int) -> Floats:
        """Return values of a calendar month, 1 to 12, mapped; float64, (..., lat, lon).

        Args:
            values: Of the source; shape (..., lat, lon).
            month: 1 to 12.
        """
        exact, change = values.astype(np.float64), self.change[month - 1]
        if self.method == "ratio":
            return np.asarray(exact * change)
        if self.quantiles is None:
            return np.asarray(exact + change)
        quantiles = self.quantiles[month - 1].astype(np.float64)
        return shifted_by_quantiles(exact, quantiles, change.astype(np.float64))


@dataclass(frozen=True, eq=False)
class ForcingMap:
    """Fits of all variables, and what they were learned from.

    Attributes:
        identity: Hash of settings and sources: of two maps with the same one the
            numbers are the same.
        title: Name, for people.
        grid: The grid of both products.
        fits: By variable.
        about: Attributes of its store.
    """

    identity: str
    title: str
    grid: Grid
    fits: Mapping[str, Fit]
    about: Mapping[str, str]

    @property
    def years(self) -> tuple[int, int]:
        """First and last year that it was learned from."""
        first, last = json.loads(self.about["years"])
        return first, last

    @property
    def record(self) -> str:
        """What a store or an archive says of it, JSON."""
        said = {name: json.loads(self.about[name]) for name in ("product", "onto")}
        methods = {name: fit.method for name, fit in self.fits.items()}
        known = {"map": self.identity, "title": self.title, "years": list(self.years)}
        return json.dumps({**known, "methods": methods, **said})

    def apply(self, name: str, values: Floats, months: Months) -> NDArray[np.float32]:
        """Return a variable as the other product would tell it.

        Args:
            name: The variable.
            values: Canonical unit; shape (time, lat, lon).
            months: datetime64[M]; shape (time,).

        Returns:
            The same shape, NaN where one of the products has no value.
        """
        fit, limits = self.fits[name], _LIMITS.get(name, (-np.inf, np.inf))
        mapped = np.empty(values.shape, np.float32)
        calendar = month_of(months)
        for month in np.unique(calendar):
            chosen = calendar == month
            mapped[chosen] = np.clip(fit.apply(values[chosen], int(month)), *limits)
        return mapped

    def apply_to_month(
        self, fields: Mapping[str, Floats], month: np.datetime64
    ) -> dict[str, NDArray[np.float32]]:
        """Return the fields (lat, lon) of one month, mapped.

        Raises:
            StoreError: If the map does not know a variable.
            GridMismatchError: If the fields are on another grid.
        """
        if missing := sorted(set(fields) - set(self.fits)):
            raise StoreError(
                f"The map '{self.title}' knows {sorted(self.fits)}, not "
                f"{', '.join(missing)}. Learn one with these variables, from stores "
                f"that have them."
            )
        at = np.array([month], "M8[M]")
        mapped = {}
        for name, values in fields.items():
            self.require_shape(values.shape)
            mapped[name] = self.apply(name, values[None], at)[0]
        return mapped

    def beyond(self, name: str, values: Floats, months: Months) -> float:
        """Return the share of values beyond the range that the map was learned from.

        Args:
            name: The variable.
            values: Of the source, before it is mapped; shape (time, lat, lon).
            months: datetime64[M]; shape (time,).

        Returns:
            Share of the area and the months for which the map has values, 0 to 1.
        """
        fit, area = self.fits[name], self.grid.cell_area()
        outside = known = 0.0
        for one, month in zip(values, month_of(months) - 1, strict=True):
            lowest, highest = fit.lowest[month], fit.highest[month]
            there = np.isfinite(one) & np.isfinite(lowest)
            known += area[there].sum()
            outside += area[there & is_beyond(one, lowest, highest)].sum()
        return float(outside / known) if known else 0.0

    def said_of(self, fields: Mapping[str, Floats], month: np.datetime64) -> str:
        """Return in words by which map a month was mapped, and how much of it is new.

        Args:
            fields: Of the source, before they are mapped; shape (lat, lon).
            month: The month.
        """
        at = np.array([month], "M8[M]")
        shares = {
            name: self.beyond(name, values[None], at) for name, values in fields.items()
        }
        beyond = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
        return f"mapped by {self.title} {self.identity}, beyond its range: {beyond}"

    def require_shape(self, shape: tuple[int, ...]) -> None:
        """Refuse maps of other cells.

        Raises:
            GridMismatchError: If the last dimensions are not those of the grid.
        """
        if shape[-2:] != self.grid.shape:
            raise GridMismatchError(
                f"The map '{self.title}' is of {self.grid.describe()}, but the forcing "
                f"has {shape[-2:]} cells. Prepare it on the grid of the map."
            )


def write_map(found: ForcingMap, path: Path) -> Path:
    """Write a map as a store of its own, whole or not at all; return its path.

    Raises:
        StoreError: As ``write_store``.
    """
    dims = ("month", "lat", "lon")
    fields: dict[str, Any] = {}
    for name, fit in found.fits.items():
        said = {"method": fit.method}
        by_quantile = ("month", f"{name}_quantile", "lat", "lon")
        of_change = dims if fit.quantiles is None else by_quantile
        fields[f"{name}_change"] = (of_change, fit.change, said)
        fields[f"{name}_lowest"] = (dims, fit.lowest)
        fields[f"{name}_highest"] = (dims, fit.highest)
        if fit.quantiles is not None:
            fields[f"{name}_quantiles"] = (by_quantile, fit.quantiles)
    coords = {
        "month": np.arange(1, MONTHS_PER_YEAR + 1),
        "lat": ("lat", found.grid.lat, {"units": "degrees_north"}),
        "lon": ("lon", found.grid.lon, {"units": "degrees_east"}),
    }
    return write_store(xr.Dataset(fields, coords, dict(found.about)), path)


def open_map(path: Path) -> ForcingMap:
    """Read a map, and check that it is one.

    Args:
        path: The folder that `sink-emulator map` printed, or the store in it.

    Raises:
        StoreError: If there is none, or it is of another schema.
    """
    place = path / STORE if (path / STORE).is_dir() else path
    if not place.is_dir():
        raise StoreError(
            f"There is no map of forcing at {path}. Make one with `sink-emulator map "
            f"product=STORE onto=STORE`, or correct the path."
        )
    store = open_store(place, MAP_SCHEMA).load()
    fits = {}
    for key in store:
        name, _, kind = str(key).rpartition("_")
        if kind == "change":
            has_quantiles = f"{name}_quantiles" in store
            fits[name] = Fit(
                method=str(store[key].attrs["method"]),
                change=store[key].to_numpy(),
                lowest=store[f"{name}_lowest"].to_numpy(),
                highest=store[f"{name}_highest"].to_numpy(),
                quantiles=(
                    store[f"{name}_quantiles"].to_numpy() if has_quantiles else None
                ),
            )
    return ForcingMap(
        identity=str(store.attrs["settings_hash"]),
        title=str(store.attrs["title"]),
        grid=Grid(store["lat"].to_numpy(), store["lon"].to_numpy()),
        fits=dict(sorted(fits.items())),
        about={str(name): str(text) for name, text in store.attrs.items()},
    )


def require_same_map(
    attrs: Mapping[str, Any], found: ForcingMap | None, archive: Path
) -> None:
    """Refuse to go on with another map than an archive began with.

    Args:
        attrs: Attributes of the archive, or of the store that one begins with.
        found: The map by which months to come are mapped; None for none.
        archive: Its path, for the message.

    Raises:
        StoreError: If it is another one, if it is missing, or if the archive was begun
            with forcing that was not mapped.
    """
    began = json.loads(str(attrs.get(MAPPED_BY, "null")))
    if found is None and began is None:
        return
    if found is None:
        raise StoreError(
            f"{archive} holds forcing mapped by '{began['title']}' "
            f"{began['map']}, but the source says no map: months would be mixed. Give "
            f"its mapped_by=PATH, the folder that `sink-emulator map` printed."
        )
    if began is None:
        raise StoreError(
            f"{archive} holds forcing that was not mapped, but the source is "
            f"mapped by '{found.title}' {found.identity}: months would be mixed. Leave "
            f"out mapped_by, or begin an archive with the mapped store that "
            f"`sink-emulator map` made."
        )
    if began["map"] != found.identity:
        raise StoreError(
            f"{archive} holds forcing mapped by '{began['title']}' "
            f"{began['map']}, but the source is mapped by '{found.title}' "
            f"{found.identity}: months would be mixed. Give the map of the "
            f"first, or begin an archive with forcing mapped by the other."
        )


def as_other_months(
    found: ForcingMap, fields: Mapping[str, Floats]
) -> list[dict[str, NDArray[np.float32]]]:
    """Return fields mapped as if they were of each month of the year.

    With it a month that comes again under another date is found out: what an archive
    keeps of it was mapped by the month that it was.
    """
    year = month_range("2001-01", "2001-12")
    return [found.apply_to_month(fields, month) for month in year]
