"""The forcing of a store: read, checked, regridded and written by pieces of years.

Like labels, forcing never is in memory as a whole, and what is done need not be done
again. One variable is one job: finding out what a product has may take as long as
reading it, and within a variable one piece follows the other.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from emulator.carbon.errors import GateError, GridMismatchError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import as_months, month_of, years_of
from emulator.data import readers
from emulator.data.check import check_extent
from emulator.data.computing import Computer, require_shared
from emulator.data.entry import Entry
from emulator.data.gates import Extent
from emulator.data.inputs import Forcing, attributes, onto, require_monthly
from emulator.data.pieces import (
    UNSAID,
    Earlier,
    ForcingPiece,
    PieceFile,
    file_checksum,
    identity,
    packed_mask,
    unpacked_mask,
)
from emulator.data.readers.archives import keeping_unpacked
from emulator.data.readers.files import changed
from emulator.data.readers.offering import PRODUCTS
from emulator.data.readers.stretches import STRETCH_BYTES
from emulator.data.stores import folder_of, layout

COPIES = 6
"""How often a stretch is in memory at most while it is read, cleaned and regridded."""


@dataclass(frozen=True, eq=False)
class ForcingPlace:
    """Where in a store the months of each variable of forcing go.

    Attributes:
        stage: The folder of the store that is being written.
        months: The months, datetime64[M], one after the other on its axis of weather;
            shape (time,).
        length: Of that axis, at the end of which a climatology may follow.
        shard: How many of its places are in one file.
        grid: Its grid.
    """

    stage: Path
    months: NDArray[np.datetime64]
    length: int
    shard: int
    grid: Grid

    def spans(self) -> list[NDArray[np.datetime64]]:
        """Return the months in each file that holds some."""
        starts = range(0, self.months.size, self.shard)
        return [self.months[start : start + self.shard] for start in starts]

    def is_piece(self, number: int) -> bool:
        """Return whether a file holds nothing but months.

        One that ends with a climatology is written twice, and may not be shared.
        """
        end = min((number + 1) * self.shard, self.length)
        return end <= self.months.size

    def path(self, variable: str, number: int) -> str:
        """Return a file of a variable."""
        return f"{variable}/c/{number}/0/0"


@dataclass(frozen=True, eq=False)
class ForcingJob:
    """Some files of the store for one variable.

    Attributes:
        entry: The catalog entry.
        variable: Canonical name.
        years: First and last year wanted of it; all when None.
        data_root: The folder below which entries' roots lie.
        place: Where the months go.
        pieces: Number of each file, and the identity of the piece that it is; empty if
            it is none.
        unpacked: Folder for what archives hold.
    """

    entry: Entry
    variable: str
    years: tuple[int, int] | None
    data_root: Path
    place: ForcingPlace
    pieces: tuple[tuple[int, str], ...]
    unpacked: Path


@dataclass(frozen=True, eq=False)
class Weather:
    """What is known of forcing once it is written.

    Attributes:
        forcing: What there was.
        attrs: CF attributes and what the reader found, by variable.
        holes: Cells without a value in some month; shape (lat, lon), by variable.
        overridden: Overridden gates, as ``gate: source``.
        reused: Variables and months taken from each earlier store.
        group: The store.
        shard: Months in one file of it.
    """

    forcing: Forcing
    attrs: dict[str, dict[str, str]]
    holes: dict[str, NDArray[np.bool_]]
    overridden: list[str]
    reused: dict[str, list[str]]
    group: zarr.Group
    shard: int

    def dropped_cells(self, fraction: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return the cells that get no labels since forcing may have holes there."""
        dropped = np.zeros(fraction.shape, bool)
        for name, missing in self.holes.items():
            if "coverage" in self.forcing.offered_by[name].gates:
                dropped |= missing & (fraction > 0)
        return dropped

    def require_forced(
        self, labelled: NDArray[np.bool_], flux: str, source_file: str
    ) -> list[str]:
        """Refuse labels in cells where forcing has holes, if those are not allowed.

        Args:
            labelled: Cells of the domain with a label in some month; (lat, lon).
            flux: Whose labels.
            source_file: Where they are from.

        Returns:
            The overridden gates.

        Raises:
            GateError: If there are such cells, unless the entry of the forcing
                overrides the gate ``coverage``; or if no label is left.
        """
        overridden = []
        labelled = labelled.copy()
        grid = self.forcing.grid
        for name, missing in self.holes.items():
            affected = labelled & missing
            if not affected.any():
                continue
            entry = self.forcing.offered_by[name]
            if "coverage" not in entry.gates:
                row, column = np.argwhere(affected)[0]
                raise GateError(
                    f"{self.attrs[name]['source_file']}: '{name}' of '{entry.name}' "
                    f"has no value in {int(affected.sum())} of {int(labelled.sum())} "
                    f"cells where {source_file} has labels, e.g. in "
                    f"{self._first_without(name, affected)} at {grid.lat[row]:g} N, "
                    f"{grid.lon[column]:g} E; a network needs forcing wherever it "
                    f"learns. Fill the file, or drop these labels by gates: "
                    f"{{coverage: reason}} in '{entry.name}'."
                )
            overridden.append(
                f"coverage: {flux} dropped where {name} of {entry.name} ends"
            )
            labelled &= ~affected
        if not labelled.any():
            raise GateError(
                f"{source_file}: '{flux}' holds no value on the domain of "
                f"the store. Check its fill values and the land fraction, or remove it "
                f"from the 'variables' of its catalog entry."
            )
        return overridden

    def _first_without(self, name: str, cells: NDArray[np.bool_]) -> np.datetime64:
        """Return the first month in which one of some cells has no value."""
        array: Any = self.group[name]
        months = self.forcing.months
        for begin in range(0, months.size, self.shard):
            values = array[begin : min(begin + self.shard, months.size)]
            without = np.isnan(values[:, cells]).any(axis=1)
            if without.any():
                break
        first: np.datetime64 = months[begin + without.argmax()]
        return first


def write_forcing(
    forcing: Forcing,
    group: zarr.Group,
    data_root: Path,
    *,
    earlier: Earlier,
    computer: Computer,
) -> Weather:
    """Read, check, regrid and write forcing into a store that is being written.

    Args:
        forcing: What there is.
        group: The store, which has an array for each variable; its first places in
            time are those of the months of ``forcing``.
        data_root: The folder below which entries' roots lie.
        earlier: Finished pieces that may be taken.
        computer: Does the work.

    Raises:
        GateError: If a field is implausible or annual.
        GridMismatchError: If files of a variable are on different grids.
        UserError: If a file is damaged or changes meanwhile.
    """
    length, *cells = _array(group, next(iter(forcing.offered_by))).shape
    shard = layout(("time", "lat", "lon"), (length, *cells))[1][0]
    place = ForcingPlace(folder_of(group), forcing.months, length, shard, forcing.grid)
    pieces: dict[str, dict[int, ForcingPiece]] = {}
    reused: dict[str, dict[str, list[str]]] = {}
    spans = place.spans()
    with keeping_unpacked() as unpacked:
        behind = _behind(forcing, spans)
        jobs = []
        for name, entry in forcing.offered_by.items():
            pieces[name], missing = {}, []
            for number, made_from in enumerate(
                _identities(entry, name, behind[name], place)
            ):
                paths = {name: place.path(name, number)}
                taken = earlier.take(ForcingPiece, made_from, place.stage, paths)
                if taken is None:
                    missing.append((number, made_from))
                    continue
                pieces[name][number], store = taken
                if store:
                    span = f"{spans[number][0]} to {spans[number][-1]}"
                    reused.setdefault(store, {}).setdefault(name, []).append(span)
            if missing:
                some = tuple(missing)
                # Absolute: workers of a cluster may have been started elsewhere.
                root = data_root.absolute()
                jobs.append(
                    ForcingJob(entry, name, forcing.years, root, place, some, unpacked)
                )
        need = 4 * shard * np.prod(cells) + COPIES * STRETCH_BYTES
        for job, done in zip(
            jobs, computer.run(fill_forcing, jobs, float(need)), strict=True
        ):
            pieces[job.variable] |= {piece.number: piece for piece in done}
        if behind != _behind(forcing, spans):
            raise changed("Files of the forcing")
    attrs, holes, overridden = {}, {}, []
    for name, entry in forcing.offered_by.items():
        ordered = [pieces[name][number] for number in sorted(pieces[name])]
        _require_one_grid(entry, name, ordered)
        found = ordered[0].files[name].attrs | _origin(entry, ordered)
        extent = Extent.joined(piece.extent for piece in ordered)
        overridden += check_extent(entry, name, extent, found["source_file"])
        masks = [unpacked_mask(piece.files[name].cells) for piece in ordered]
        holes[name] = np.any(masks, axis=0)
        attrs[name] = attributes(name, found)
        _array(group, name).attrs.update(attrs[name])
    taken_over = {
        store: [f"{name} {', '.join(some)}" for name, some in of.items()]
        for store, of in reused.items()
    }
    return Weather(forcing, attrs, holes, overridden, taken_over, group, shard)


def fill_forcing(job: ForcingJob) -> list[ForcingPiece]:
    """Read, measure, regrid and write files of one variable: what one job does.

    Errors are those of ``write_forcing``.
    """
    place, name = job.place, job.variable
    require_shared(place.stage)
    group = zarr.open_group(place.stage, mode="r+", use_consolidated=False)
    array: Any = group[name]
    spans = place.spans()
    done = []
    with (
        keeping_unpacked(job.unpacked),
        readers.open_series(job.entry, name, job.data_root, job.years) as series,
    ):
        for number, made_from in job.pieces:
            months = spans[number]
            values = np.full((months.size, *place.grid.shape), np.nan, np.float32)
            extents: list[Extent] = []
            sources: list[str] = []
            sums: dict[str, str] = {}
            filled = 0
            for part in series.stretches(months):
                field = part.field
                require_monthly(field, job.entry)
                _require_months(field, months[filled : filled + len(field)], part)
                extents.append(Extent.of(name, field.values))
                values[filled : filled + len(field)] = onto(field, place.grid)
                filled += len(field)
                sources += part.sources
                sums |= part.sums
            begin = number * place.shard
            array[begin : begin + months.size] = values
            path = place.path(name, number)
            piece = ForcingPiece(
                made_from,
                Grid(field.lat.values, field.lon.values).describe(),
                {
                    name: PieceFile(
                        path,
                        file_checksum(place.stage / path),
                        {str(key): str(value) for key, value in field.attrs.items()},
                        packed_mask(np.asarray(np.isnan(values).any(axis=0))),
                    )
                },
                number,
                Extent.joined(extents),
                tuple(dict.fromkeys(sources)),
                sums,
            )
            if made_from:
                piece.note(place.stage)
            done.append(piece)
    return done


def write_climatology(weather: Weather, years: tuple[int, int]) -> None:
    """Write the twelve mean months of some years after the months of a store.

    Args:
        weather: The forcing of the store, whose axis of weather has twelve places more.
        years: First and last year, which the forcing has.
    """
    months = weather.forcing.months
    inside = np.flatnonzero(
        (years_of(months) >= years[0]) & (years_of(months) <= years[1])
    )
    month = month_of(months)
    end = months.size
    for name in weather.forcing.offered_by:
        array: Any = weather.group[name]
        total = np.zeros((12, *array.shape[1:]), np.float32)
        for begin in range(inside[0], inside[-1] + 1, weather.shard):
            for place, values in enumerate(
                array[begin : min(begin + weather.shard, inside[-1] + 1)], begin
            ):
                total[month[place] - 1] += values
        # The file is written once more: in parts its chunks would lie in other order.
        begin = end - end % weather.shard
        means = total / np.float32(years[1] - years[0] + 1)
        array[begin : end + 12] = np.concatenate([array[begin:end], means])


def _array(group: zarr.Group, name: str) -> Any:
    return group[name]


def _behind(
    forcing: Forcing, spans: list[NDArray[np.datetime64]]
) -> dict[str, list[list[str]]]:
    """Return what each file of each variable is made from."""
    return {
        name: [series.behind(months) for months in spans]
        for name, series in forcing.series.items()
    }


def _identities(
    entry: Entry, variable: str, behind: list[list[str]], place: ForcingPlace
) -> list[str]:
    """Return the identity of the piece that each file is; empty if it is none."""
    said = {k: v for k, v in entry.to_dict().items() if k not in UNSAID}
    # Of single files the declared years may place the steps; of several they do not.
    if entry.reader in PRODUCTS or len(set(map(tuple, behind))) > 1:
        said = {k: v for k, v in said.items() if k not in ("years", "ends")}
    grid = hashlib.sha256(place.grid.lat.tobytes() + place.grid.lon.tobytes())
    found = []
    for number, months in enumerate(place.spans()):
        made_from = {
            "entry": said,
            "variable": variable,
            "store": [place.shard, grid.hexdigest()],
            "months": months.astype(str).tolist(),
            "files": behind[number],
        }
        found.append(identity(made_from) if place.is_piece(number) else "")
    return found


def _origin(entry: Entry, pieces: list[ForcingPiece]) -> dict[str, str]:
    """Return from which files all pieces of a variable are."""
    sources = [source for piece in pieces for source in piece.sources]
    sums = {where: said for piece in pieces for where, said in piece.sums.items()}
    return readers.origin(entry, sources, sums)


def _require_months(
    field: xr.DataArray, wanted: NDArray[np.datetime64], part: readers.Stretch
) -> None:
    found = as_months(field.time.values)
    if not np.array_equal(found, wanted):
        first = found[0] if found.size else "no month"
        raise changed(f"{part.sources[0]}, with {first} where {wanted[0]} was,")


def _require_one_grid(entry: Entry, name: str, pieces: list[ForcingPiece]) -> None:
    for piece in pieces:
        if piece.grid != pieces[0].grid:
            raise GridMismatchError(
                f"'{name}' of '{entry.name}' is on a grid of {piece.grid} in "
                f"{piece.sources[0]}, but of {pieces[0].grid} in "
                f"{pieces[0].sources[0]}; files of one variable must share a grid. "
                f"Give each its own catalog entry."
            )
