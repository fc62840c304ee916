"""Files of products laid out as a source offers months and days of a domain.

What a night takes in is one file a month or a day with all variables of the domain on
its archive's grid, and a list of them (``offers``). Products come otherwise: ERA5 in
files of a variable and a year, sea ice in files of a day, CO2 in a table. They are
read, put on the grid and written here, beside the archive; ``arrivals`` then holds them
against the archive as what any other source offers. A file is made once and again when
what it was made from changes.

A month is as good as the worst of its parts: final if all products say so and CO2 is
known, not extended.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import SettingsError, SourceError, UserError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import as_months
from emulator.carbon.variables import VARIABLES
from emulator.data import arrivals, co2_series, forcing_archive
from emulator.data.mapping.store import ForcingMap
from emulator.data.offers import SourceSettings
from emulator.data.readers.co2_record import Co2Record
from emulator.data.readers.files import checksum
from emulator.data.readers.offering import PRODUCTS, place_of
from emulator.data.readers.products import Offering, Piece, Told, days_of, spanned
from emulator.data.regrid import Regridding, conservative
from emulator.data.writing import write_text, written_whole

Months = NDArray[np.datetime64]

FORMAT = 1
"""Raised when the same files make other numbers, so that all are made again."""

INDEX = "index.json"
"""Name of the list."""

LARGEST_STEP = 3.0
"""ppm by which a table may differ from the CO2 with which an archive began: the value
of a year is up to 1.5 ppm from that of its first and last month, and records of the
globe differ by less than 1 ppm."""


@dataclass
class ProductSettings:
    """A product and where its files lie.

    Attributes:
        reader: One of ``emulator.data.readers.offering.PRODUCTS``.
        folder: Folder that a download fills, or a URL; docs/data.md says how.
    """

    reader: str
    folder: str

    def __post_init__(self) -> None:
        """Check that there is such a reader.

        Raises:
            SettingsError: If there is none, or no folder is given.
        """
        if self.reader not in PRODUCTS or not self.folder:
            raise SettingsError(
                f"A product needs a reader, one of {list(PRODUCTS)}, and a folder, got "
                f"{self.reader!r} and {self.folder!r}."
            )


def collect(
    products: Sequence[ProductSettings],
    co2_table: Path,
    archive: Path,
    downloads: Path,
    *,
    now: datetime,
    mapped_by: ForcingMap | None = None,
) -> Months:
    """Bring what products have and an archive lacks.

    Args:
        products: The products; of two that tell a variable the first counts.
        co2_table: NOAA's monthly CO2, or its daily trend.
        archive: The forcing archive of one domain.
        downloads: Folder for files that are made here.
        now: The time, with its zone.
        mapped_by: As of ``arrivals.collect``.

    Returns:
        The months whose forcing changed, as ``arrivals.collect``.

    Raises:
        SettingsError: If no product tells a variable of the archive.
        SourceError: If something is not there or was refused, and as
            ``arrivals.collect``. What could be taken is archived all the same.
        StoreError: If the archive is missing, or something cannot be written.
    """
    forcing = forcing_archive.read(archive)
    feed = downloads / "feed"
    refused = lay_out(products, co2_table, forcing, feed, downloads / "unpacked")
    source = SourceSettings(url=str(feed), index=INDEX, retries=0)
    try:
        changed = arrivals.collect(
            source, archive, downloads, now=now, mapped_by=mapped_by
        )
    except SourceError as error:
        refused.append(str(error))
    if refused:
        raise SourceError("\n".join(refused))
    return changed


def lay_out(
    products: Sequence[ProductSettings],
    co2_table: Path,
    forcing: xr.Dataset,
    feed: Path,
    unpacked: Path,
) -> list[str]:
    """Make a folder hold what products have for an archive, and a list of it.

    Months are those after the prepared forcing with which the archive began; days are
    those of months that are not whole.

    Args:
        products: The products.
        co2_table: The table of CO2.
        forcing: The archive, as ``forcing_archive.read`` returns it.
        feed: The folder; its files are made anew where their sources changed.
        unpacked: Folder for what zips hold.

    Returns:
        What was refused, in words.

    Raises:
        SettingsError: If no product tells a variable of the archive.
        SourceError: If the table of CO2 cannot be read, or is another one than the
            prepared forcing's.
    """
    # In an order of their own: a store opens in any.
    names = sorted(str(name) for name, one in forcing.items() if one.ndim == 3)
    parts = []
    refused: list[str] = []
    for number, (product, told) in enumerate(_shared_out(products, names)):
        offering = _offering(product, told, unpacked / str(number))
        refused += offering.refused
        parts.append((offering, told))
    try:
        co2 = co2_series.read(co2_table)
    except UserError as error:
        raise SourceError(str(error)) from error
    feed.mkdir(parents=True, exist_ok=True)
    making = _Making(
        feed=feed,
        known={str(entry["made_from"]): entry for entry in _listed(feed)},
        grid=Grid(forcing["lat"].to_numpy(), forcing["lon"].to_numpy()),
        co2=co2,
        parts=parts,
    )
    months = as_months(forcing["time"].to_numpy())
    fresh = months[~forcing_archive.is_seeded(forcing)]
    first = fresh[0] if fresh.size else months[-1] + 1
    _require_same_co2(co2, forcing, first - 1)
    entries = []
    for when, pieces in _pieces([offering for offering, _ in parts], first):
        try:
            entries.append(_entry(making, when, pieces))
        except UserError as error:
            refused.append(f"{when} is not taken: {error}")
    _list(feed, entries)
    return refused


@dataclass(frozen=True, eq=False)
class _Making:
    """What the making of files needs.

    Attributes:
        feed: Where they go.
        known: Entries of the last list, by what they were made from.
        grid: The archive's.
        co2: The record.
        parts: What each product has, and the variables that are taken from it.
        maps: How fields of each part come onto the grid.
    """

    feed: Path
    known: Mapping[str, dict[str, Any]]
    grid: Grid
    co2: Co2Record
    parts: Sequence[tuple[Offering, tuple[str, ...]]]
    maps: dict[int, Regridding] = field(default_factory=dict)

    def onto_grid(self, part: int, told: Told) -> dict[str, NDArray[np.float32]]:
        """Return fields of a product on the archive's grid."""
        if told.grid.matches(self.grid):
            return {n: values.astype(np.float32) for n, values in told.fields.items()}
        if part not in self.maps or not self.maps[part].source.matches(told.grid):
            self.maps[part] = conservative(told.grid, self.grid)
        regridding = self.maps[part]
        return {
            name: regridding.apply(values)[0].astype(np.float32)
            for name, values in told.fields.items()
        }


def _shared_out(
    products: Sequence[ProductSettings], names: Sequence[str]
) -> list[tuple[ProductSettings, tuple[str, ...]]]:
    """Return each product with the variables that are taken from it."""
    left = list(names)
    shared = []
    for product in products:
        known = PRODUCTS[product.reader].variables
        told = tuple(name for name in left if name in known)
        left = [name for name in left if name not in told]
        if told:
            shared.append((product, told))
    if left:
        offered = {one.reader: PRODUCTS[one.reader].variables for one in products}
        raise SettingsError(
            f"The archive holds {', '.join(left)}, which no product of the source "
            f"tells: {offered}. Add a product, or train and prepare without."
        )
    return shared


def _require_same_co2(
    record: Co2Record, forcing: xr.Dataset, last: np.datetime64
) -> None:
    """Refuse a table that does not go on where the prepared forcing ended."""
    place = np.flatnonzero(record.months == last)
    if not place.size:
        return
    found = float(record.trend[place[0]])
    at = as_months(forcing["time"].to_numpy()) == last
    known = float(forcing["co2"].to_numpy()[at][0])
    if abs(found - known) > LARGEST_STEP:
        raise SourceError(
            f"{record.source} has {found:g} ppm in {last}, the last month of the "
            f"prepared forcing, which has {known:g} ppm: the networks would take the "
            f"step for a change. Give the table that goes on with the prepared one's."
        )


def _offering(
    product: ProductSettings, names: tuple[str, ...], unpacked: Path
) -> Offering:
    place = place_of(product.folder)
    return PRODUCTS[product.reader].find(place, names, unpacked)


def _pieces(
    offerings: Sequence[Offering], first: np.datetime64
) -> Iterator[tuple[np.datetime64, list[Piece]]]:
    """Yield months, and days of other months, of which all products have something."""
    days = set.intersection(*(set(offering.days) for offering in offerings))
    months = {
        month
        for offering in offerings
        for month in (*offering.months, *(day.astype("M8[M]") for day in offering.days))
    }
    for month in sorted(month for month in months if month >= first):
        whole = [offering.month(month) for offering in offerings]
        if all(whole):
            yield month, [piece for piece in whole if piece]
            continue
        for day in days_of(month):
            if day in days:
                yield day, [offering.days[day] for offering in offerings]


def _entry(
    making: _Making, when: np.datetime64, pieces: Sequence[Piece]
) -> dict[str, Any]:
    """Return what the list says of a month or day, its file made if need be."""
    co2, is_extended = co2_series.of_month(making.co2, when.astype("M8[M]"))
    made_from = _identity(making, when, pieces, co2, is_extended)
    known = making.known.get(made_from)
    if known is not None and (making.feed / known["name"]).is_file():
        return known
    fields: dict[str, NDArray[np.float32]] = {}
    said, is_final = [], not is_extended
    for part, piece in enumerate(pieces):
        offering, names = making.parts[part]
        told = piece.tell(names)
        fields |= making.onto_grid(part, told)
        is_final &= told.is_final
        status = "final" if told.is_final else "preliminary"
        said.append(f"{offering.title} {status} ({spanned(piece.sources)})")
    said.append(f"CO2 {'extended from' if is_extended else 'of'} {making.co2.source}")
    is_day = when.dtype == np.dtype("M8[D]")
    kind = "daily" if is_day else "final" if is_final else "preliminary"
    titles = "_".join(offering.title.lower() for offering, _ in making.parts)
    path = making.feed / f"{titles}_{when}_{kind}.nc".replace("-", "")
    _write(path, making.grid, fields, co2, when, "; ".join(said))
    return {
        "name": path.name,
        "bytes": path.stat().st_size,
        "sha256": checksum(path),
        "source": "; ".join(said),
        "made_from": made_from,
    }


def _identity(
    making: _Making,
    when: np.datetime64,
    pieces: Sequence[Piece],
    co2: float,
    is_extended: bool,
) -> str:
    """Return a word that changes when what a file is made from does."""
    said = [FORMAT, when, co2, is_extended, making.grid.lat, making.grid.lon]
    said += [names for _, names in making.parts]
    said += [piece.identity() for piece in pieces]
    text = " ".join(
        str(one.tolist() if isinstance(one, np.ndarray) else one) for one in said
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _write(
    path: Path,
    grid: Grid,
    fields: Mapping[str, NDArray[np.float32]],
    co2: float,
    when: np.datetime64,
    source: str,
) -> None:
    told = xr.Dataset(
        {
            name: (("time", "lat", "lon"), values[None], _units(name))
            for name, values in fields.items()
        }
        | {"co2": ((), co2, _units("co2"))},
        coords={
            "time": ("time", np.array([when], "M8[ns]")),
            "lat": ("lat", grid.lat, {"units": "degrees_north"}),
            "lon": ("lon", grid.lon, {"units": "degrees_east"}),
        },
        attrs={"Conventions": "CF-1.11", "source": source},
    )
    time = {"units": "days since 1950-01-01", "calendar": "standard"}
    with written_whole(path) as part:
        told.to_netcdf(part, engine="netcdf4", encoding={"time": time})


def _units(name: str) -> dict[str, str]:
    return {"units": VARIABLES[name].units}


def _listed(feed: Path) -> list[dict[str, Any]]:
    """Return what the last list says; nothing if there is none that can be read."""
    try:
        entries = json.loads((feed / INDEX).read_text("utf-8"))["files"]
        return [entry for entry in entries if entry["made_from"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _list(feed: Path, entries: Sequence[dict[str, Any]]) -> None:
    """Write the list, then remove files that it does not name."""
    write_text(feed / INDEX, json.dumps({"files": entries}, indent=1) + "\n")
    names = {entry["name"] for entry in entries}
    for path in feed.glob("*.nc"):
        if path.name not in names:
            path.unlink()
