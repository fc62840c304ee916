"""The labels of one simulation of one teacher, on the grid of a store.

In a store every flux is per unit of the domain's area: a teacher that gives fluxes
per unit of the whole cell is divided by the share of the cell, so that
flux x area x fraction is the carbon of every teacher alike.

Labels are read, measured, regridded and written by blocks of years, each of which ends
with whole files of the store: no more than a block is ever in memory, and what is done
need not be done again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError, GateError, GridMismatchError
from emulator.carbon.grid import Grid
from emulator.data import readers
from emulator.data.check import GateResult, Measures, judge, measure
from emulator.data.computing import Computer, require_shared
from emulator.data.entry import Entry
from emulator.data.inputs import onto, require_monthly
from emulator.data.pieces import (
    UNSAID,
    Earlier,
    LabelPiece,
    PieceFile,
    file_checksum,
    identity,
    packed_mask,
    unpacked_mask,
)
from emulator.data.readers.archives import keeping_unpacked
from emulator.data.readers.files import changed
from emulator.data.readers.held import checksums_of_years, native_shape

LEAST_SHARE = 0.01
"""Cells with less of the domain get no label from a teacher that has fluxes per unit
of the whole cell: there a mismatch of two coastlines would be multiplied by more than
a hundred."""

BLOCK_BYTES = 2**27
"""Of one flux in the files: as many files of the store as fit are made from one block
of years, at least one. Opening a file takes as long as reading 10 MB of it, and 10
years at 0.5 degree are 124 MB."""

MEASURED_BYTES = 2**23
"""Of one flux: a few years at 1 degree, where a year at 0.5 degree takes 12 MB."""

COPIES = 4
"""How often a block is in memory at most while one flux of it is read and cleaned,
beside the fluxes that were read before."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where in a store the labels of a simulation of a teacher go.

    Attributes:
        stage: The folder of the store that is being written.
        indices: Of the simulation and the teacher.
        first: The first month of the store.
        months: How many months it has.
        shard: How many of them are in one file.
        grid: Its grid.
        area: Of its cells, m2; shape (lat, lon).
        share: Of each cell that belongs to the domain; shape (lat, lon).
        dropped: Cells that get no labels, since the forcing has holes there and its
            entry allows that; shape (lat, lon).
    """

    stage: Path
    indices: tuple[int, int]
    first: np.datetime64
    months: int
    shard: int
    grid: Grid
    area: NDArray[np.float64]
    share: NDArray[np.float64]
    dropped: NDArray[np.bool_]

    def spans(self, years: tuple[int, int]) -> list[tuple[int, int]]:
        """Return which of the years are in each file that holds some of them."""
        begin = int(self.first.astype("M8[Y]").astype(int)) + 1970
        step = -(-self.shard // 12)
        starts = range(begin, begin + -(-self.months // 12), step)
        spans = [(max(s, years[0]), min(s + step - 1, years[1])) for s in starts]
        return [span for span in spans if span[0] <= span[1]]

    def begin(self, span: tuple[int, int]) -> np.datetime64:
        """Return the first month of the file that holds the years of ``span``."""
        month: np.datetime64 = self.first + self._number(span[0]) * self.shard
        return month

    def path(self, flux: str, span: tuple[int, int]) -> str:
        """Return the file of a flux that holds the years of ``span``."""
        simulation, teacher = self.indices
        return f"{flux}/c/{simulation}/{teacher}/{self._number(span[0])}/0/0"

    def write(
        self, array: Any, years: tuple[int, int], values: NDArray[np.float32]
    ) -> None:
        """Write labels of some years, which are all labels of the files they touch.

        Those files are written at once: in two parts each would be written twice.
        """
        begin = self._number(years[0]) * self.shard
        end = min((self._number(years[1]) + 1) * self.shard, self.months)
        whole = np.full((end - begin, *self.grid.shape), np.nan, np.float32)
        skipped = self._month(years[0]) - begin
        whole[skipped : skipped + len(values)] = values
        array[(*self.indices, slice(begin, end))] = whole

    def _month(self, year: int) -> int:
        """Return the place of a January on the time axis of the store."""
        return int((np.datetime64(f"{year:04d}-01", "M") - self.first).astype(int))

    def _number(self, year: int) -> int:
        """Return the number of the file that holds a year."""
        return self._month(year) // self.shard


@dataclass(frozen=True, eq=False)
class Block:
    """A job: some years of a simulation, from its files into those of a store.

    Attributes:
        entry: The teacher.
        simulation: One of its simulations.
        fluxes: Fluxes to read.
        data_root: The folder below which entries' roots lie.
        place: Where they go.
        pieces: Consecutive spans of years with the identity of the piece each makes.
        unpacked: Folder for what archives hold.
    """

    entry: Entry
    simulation: str
    fluxes: tuple[str, ...]
    data_root: Path
    place: Place
    pieces: tuple[tuple[tuple[int, int], str], ...]
    unpacked: Path

    @property
    def years(self) -> tuple[int, int]:
        """First and last year."""
        return self.pieces[0][0][0], self.pieces[-1][0][1]


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of one simulation of a teacher once its labels are written.

    Attributes:
        attrs: What the reader found, by flux.
        labelled: Cells with a label in some month; shape (lat, lon), by flux.
        gates: What the plausibility gates found.
        kept: Global mean of |flux| of the first flux in the store, over that in the
            files: how much is lost or won where the two coastlines differ.
        reused: The years taken from each earlier store.
    """

    attrs: dict[str, dict[str, str]]
    labelled: dict[str, NDArray[np.bool_]]
    gates: GateResult
    kept: float
    reused: dict[str, list[tuple[int, int]]]


def write_labels(
    entry: Entry,
    simulation: str,
    fluxes: Sequence[str],
    years: tuple[int, int],
    place: Place,
    data_root: Path,
    *,
    earlier: Earlier,
    computer: Computer,
) -> Labels:
    """Read, check, regrid and write the fluxes of one simulation.

    Args:
        entry: The teacher.
        simulation: One of its simulations.
        fluxes: Fluxes wanted; those which the teacher lacks are left out, but for the
            first.
        years: First and last year to read, as ``asked_years`` returns them.
        place: Where they go.
        data_root: The folder below which entries' roots lie.
        earlier: Finished pieces that may be taken.
        computer: Does the work.

    Raises:
        CatalogError: If the teacher lacks the first flux or the years.
        GateError: If a gate fails.
        GridMismatchError: If the fluxes are on different grids.
        UserError: If a file is damaged or changes meanwhile.
    """
    if fluxes[0] not in entry.variables:
        raise CatalogError(
            f"Teacher '{entry.name}' has no '{fluxes[0]}', it has "
            f"{sorted(entry.variables)}, but the first of data.fluxes is needed of "
            f"every teacher. Put another flux first, or leave the teacher out."
        )
    names = tuple(name for name in fluxes if name in entry.variables)
    spans = place.spans(years)
    sources = _sources(entry, simulation, names, data_root, spans)
    identities = _identities(entry, simulation, sources, place, data_root, spans)
    pieces: dict[tuple[int, int], LabelPiece] = {}
    reused: dict[str, list[tuple[int, int]]] = {}
    for span, made_from in identities.items():
        paths = {flux: place.path(flux, span) for flux in names}
        if taken := earlier.take(LabelPiece, made_from, place.stage, paths):
            pieces[span], store = taken
            if store:
                reused.setdefault(store, []).append(span)
    missing = [(span, i) for span, i in identities.items() if span not in pieces]
    with keeping_unpacked() as unpacked:
        shape = None
        if len(missing) > 1:
            shape = native_shape(entry, names[0], simulation, data_root)
        blocks = [
            # Absolute: workers of a cluster may have been started elsewhere.
            Block(entry, simulation, names, data_root.absolute(), place, some, unpacked)
            for some in _blocks(missing, shape)
        ]
        need = _memory(blocks, shape, place, len(names))
        for done in computer.run(fill_block, blocks, need):
            pieces |= {piece.years: piece for piece in done}
    if sources != _sources(entry, simulation, names, data_root, spans):
        raise changed(f"Files of '{entry.name}', simulation '{simulation}',")
    return _joined(entry, simulation, [pieces[span] for span in spans], reused)


def fill_block(block: Block) -> list[LabelPiece]:
    """Read, measure, regrid and write some years: what one job does.

    Errors are those of ``write_labels``.

    Raises:
        UserError: If the store is not seen from here, on another computer.
    """
    entry, place = block.entry, block.place
    years = block.years
    require_shared(place.stage)
    with keeping_unpacked(block.unpacked):
        read = {}
        for name in block.fluxes:
            read[name] = readers.read(
                entry, name, block.simulation, block.data_root, years=years
            )
            require_monthly(read[name], entry)
        first = read[block.fluxes[0]]
        source = Grid(first.lat.values, first.lon.values)
        for flux in read.values():
            _require_same_grid(flux, first, source)
        own_area = readers.process_area(entry, source, block.data_root)
        own_share = readers.read_fraction(entry, block.data_root)
    spans = [span for span, _ in block.pieces]
    starts = [12 * (first - years[0]) for first, _ in spans]
    lengths = [12 * (last - first + 1) for first, last in spans]
    parts = [slice(b, b + n) for b, n in zip(starts, lengths, strict=True)]
    group: Any = zarr.open_group(place.stage, mode="r+", use_consolidated=False)
    files: dict[str, list[PieceFile]] = {}
    for name, field in read.items():
        values = _per_domain(field, own_share, place.share, place.grid)
        labelled = [
            packed_mask(~np.isnan(values[inside]).all(axis=0) & (place.share > 0))
            for inside in parts
        ]
        if place.dropped.any():
            values = np.where(place.dropped, np.float32(np.nan), values)
        place.write(group[name], years, values)
        attrs = {str(name): str(value) for name, value in field.attrs.items()}
        paths = [place.path(name, span) for span in spans]
        files[name] = [
            PieceFile(path, file_checksum(place.stage / path), attrs, mask)
            for path, mask in zip(paths, labelled, strict=True)
        ]
    done = []
    for number, (span, made_from) in enumerate(block.pieces):
        some = {flux: field[parts[number]] for flux, field in read.items()}
        piece = LabelPiece(
            made_from,
            source.describe(),
            {flux: found[number] for flux, found in files.items()},
            span,
            _measured(entry, some, own_area),
            _gross(some[block.fluxes[0]], own_share, own_area, place),
        )
        piece.note(place.stage)
        done.append(piece)
    return done


def _measured(
    entry: Entry, fluxes: Mapping[str, xr.DataArray], area: NDArray[np.float64]
) -> Measures:
    """Measure years of a simulation, as many at a time as the cache holds."""
    some = next(iter(fluxes.values()))
    step = 12 * max(1, MEASURED_BYTES // (12 * 4 * area.size))
    return Measures.joined(
        [
            measure(entry, {n: f[b : b + step] for n, f in fluxes.items()}, area)
            for b in range(0, some.shape[0], step)
        ]
    )


def _gross(
    first: xr.DataArray,
    own_share: xr.DataArray | None,
    own_area: NDArray[np.float64],
    place: Place,
) -> tuple[float, float, float]:
    """Return the months, and mean |flux| in the store and in the files, kg s-1.

    The map of mean |flux| goes the way of the fluxes, whose own means may cancel.
    """
    values = first.to_numpy()
    total, count = np.zeros(values.shape[1:]), np.zeros(values.shape[1:])
    for size in map(np.abs, values):  # map by map, which stays in the cache
        there = ~np.isnan(size)
        np.add(total, size, out=total, where=there)
        count += there
    with np.errstate(invalid="ignore"):
        gross = first[0].copy(data=total / count)
    share = place.share
    on_grid = np.nan_to_num(_per_domain(gross, own_share, share, place.grid))
    stored = float((on_grid * place.area * share).sum())
    files = float((np.nan_to_num(gross.to_numpy()) * own_area).sum())
    return float(first.shape[0]), stored, files


def _sources(
    entry: Entry,
    simulation: str,
    fluxes: tuple[str, ...],
    data_root: Path,
    spans: list[tuple[int, int]],
) -> dict[str, list[list[str]]]:
    """Return the checksums behind each flux and span of years."""
    return {
        flux: checksums_of_years(entry, flux, simulation, data_root, spans)
        for flux in fluxes
    }


def _identities(
    entry: Entry,
    simulation: str,
    sources: dict[str, list[list[str]]],
    place: Place,
    data_root: Path,
    spans: list[tuple[int, int]],
) -> dict[tuple[int, int], str]:
    """Return the identity of the piece of each span of years."""
    said = {k: v for k, v in entry.to_dict().items() if k not in UNSAID}
    # Of single files the declared years may place the steps; of several they do not.
    is_spread = all(len(set(map(tuple, sums))) > 1 for sums in sources.values())
    if is_spread:
        said = {k: v for k, v in said.items() if k not in ("years", "ends")}
    said["simulations"] = {
        name: None if is_spread else one.years
        for name, one in entry.simulations.items()
    }
    common = {
        "entry": said,
        "simulation": simulation,
        "own_share": readers.fraction_checksum(entry, data_root),
        "store": [
            place.shard,
            *(
                hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
                for array in (
                    place.grid.lat,
                    place.grid.lon,
                    place.share,
                    place.dropped,
                )
            ),
        ],
    }
    return {
        span: identity(
            {
                **common,
                "years": span,
                "begin": str(place.begin(span)),
                "files": {flux: sums[number] for flux, sums in sources.items()},
            }
        )
        for number, span in enumerate(spans)
    }


def _blocks(
    missing: list[tuple[tuple[int, int], str]], shape: tuple[int, int] | None
) -> list[tuple[tuple[tuple[int, int], str], ...]]:
    """Return the pieces that are to be made, those of one block of years together."""
    year_bytes = 12 * 4 * shape[0] * shape[1] if shape else BLOCK_BYTES
    blocks: list[list[tuple[tuple[int, int], str]]] = []
    for piece in missing:
        (first, last), _ = piece
        if blocks and blocks[-1][-1][0][1] == first - 1:
            begin = blocks[-1][0][0][0]
            if (last - begin + 1) * year_bytes <= BLOCK_BYTES:
                blocks[-1].append(piece)
                continue
        blocks.append([piece])
    return [tuple(block) for block in blocks]


def _memory(
    blocks: list[Block], shape: tuple[int, int] | None, place: Place, fluxes: int
) -> float:
    """Return the bytes that the largest block needs."""
    longest = max((b.years[1] - b.years[0] + 1 for b in blocks), default=1)
    cells = float(np.prod(shape or place.grid.shape) + np.prod(place.grid.shape))
    return 12 * longest * 4 * cells * (fluxes + COPIES)


def _joined(
    entry: Entry,
    simulation: str,
    pieces: list[LabelPiece],
    reused: dict[str, list[tuple[int, int]]],
) -> Labels:
    """Judge what was found in all years together."""
    for piece in pieces:
        if piece.grid != pieces[0].grid:
            raise GridMismatchError(
                f"'{entry.name}', simulation '{simulation}', is on a grid of "
                f"{piece.grid} in {_span(piece.years)}, but of {pieces[0].grid} in "
                f"{_span(pieces[0].years)}; files of one variable must share a grid. "
                f"Give each its own catalog entry."
            )
    found = judge(entry, simulation, Measures.joined([p.measures for p in pieces]))
    if found.failures:
        raise GateError("\n".join(found.failures))
    months, stored, files = np.array([piece.gross for piece in pieces]).T
    kept = (months @ stored) / (months @ files) if (months @ files) else np.nan
    attrs = {}
    labelled = {}
    for flux in pieces[0].files:
        parts = [piece.files[flux] for piece in pieces]
        attrs[flux] = _merged([part.attrs for part in parts])
        labelled[flux] = unpacked_mask(parts[0].cells)
        for part in parts[1:]:
            labelled[flux] |= unpacked_mask(part.cells)
    return Labels(attrs, labelled, found, float(kept), reused)


def _merged(attrs: list[dict[str, str]]) -> dict[str, str]:
    """Return the attributes of a whole series: files are listed, each once."""
    merged = dict(attrs[0])
    for name in ("source_file", "sha256"):
        said = list(dict.fromkeys(part[name] for part in attrs))
        if len(said) > 1:
            merged[name] = " ".join(dict.fromkeys(" ".join(said).split(" ")))
    return merged


def _span(years: tuple[int, int]) -> str:
    return f"{years[0]}-{years[1]}"


def asked_years(
    entry: Entry, simulation: str, years: tuple[int, int]
) -> tuple[int, int]:
    """Return the years to read of one simulation.

    A teacher must have all the years asked; a simulation of which the catalog says
    that it has others (a control with nominal years) gives those of them it has.

    Raises:
        CatalogError: If it lacks them.
    """
    declared = entry.label_years(simulation) or (years[0], None)
    last = years[1] if declared[1] is None else declared[1]
    has_own = entry.simulations[simulation].years is not None
    shared = max(years[0], declared[0]), min(years[1], last)
    if shared == years or (has_own and shared[0] <= shared[1]):
        return shared
    held = f"{declared[0]}-{'' if declared[1] is None else declared[1]}"
    raise CatalogError(
        f"Teacher '{entry.name}' has labels of {held} in simulation '{simulation}', "
        f"but data.years asks for {years[0]}-{years[1]}. Ask for years which all "
        f"teachers have, or leave this one out."
    )


def _require_same_grid(flux: xr.DataArray, first: xr.DataArray, grid: Grid) -> None:
    other = Grid(flux.lat.values, flux.lon.values)
    if not other.matches(grid):
        raise GridMismatchError(
            f"{flux.attrs['source_file']} is on a grid of {other.describe()}, but "
            f"{first.attrs['source_file']} on {grid.describe()}; fluxes of one teacher "
            f"must share a grid. Leave one of them out of the catalog entry."
        )


def _per_domain(
    flux: xr.DataArray,
    own_share: xr.DataArray | None,
    share: NDArray[np.float64],
    grid: Grid,
) -> NDArray[np.float32]:
    """Return a flux per unit of the domain's area on the grid of the store."""
    if own_share is not None:
        return onto(flux, grid, own_share.to_numpy())
    # A missing cell holds no carbon, but where all are missing there is no label.
    missing = np.isnan(onto(flux, grid)) | (share < LEAST_SHARE)
    amount = onto(flux.fillna(0.0), grid)
    values = np.divide(amount, share, out=np.full_like(amount, np.nan), where=~missing)
    return values.astype(np.float32, copy=False)
