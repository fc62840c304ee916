"""``python -m benchmarks.nights``: what a night costs, and whether that grows.

A network is trained for one step on a coarse testbed. For ``night`` it is then made
wider: each cell of land of a fine grid gets what its network and forcing were in the
coarse cell around it, and chance; teachers are repeated, members get weights that
differ a little, and a calibration is made up. The night before the measured one is
published without asking the networks, which would take most of an hour. The answers
mean nothing; the work is that of a real run.
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from benchmarks.answering import start_row
from benchmarks.inputs import settings_of_run
from benchmarks.making import demo_data, prepare_row, simulate_row
from benchmarks.measuring import Cost, Promise, Row, environment, measure
from benchmarks.report import conclude
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, as_months, month_of
from emulator.carbon.variables import variable
from emulator.data import forcing_archive
from emulator.data.forcing_archive import STATUS, Month
from emulator.data.stores import FORCING_SCHEMA, write_store
from emulator.data.testbed.coastline import land_fraction
from emulator.evaluation.calibration import (
    CALIBRATION_FILE,
    KEYS,
    Calibration,
    Factors,
)
from emulator.evaluation.error_fields import ERRORS_FILE, ErrorFields
from emulator.evaluation.forecasts import bands
from emulator.learning.checkpoint import (
    CHECKPOINT_FILE,
    Checkpoint,
    checkpoint_paths,
    load_checkpoint,
    save_checkpoint,
)
from emulator.learning.inference import Emulator, open_run
from emulator.nightly import archive, night, predictions, retention
from emulator.nightly.inputs import read_forcing
from emulator.nightly.night_settings import NightSettings
from emulator.nightly.places import ARCHIVE
from emulator.nightly.sanity import SanitySettings

NIGHT_SECONDS, NIGHT_MB = 60.0, 4000.0
"""The promise on a night of 10 teachers x 5 members at 1 degree on two cores."""

TEACHERS, MEMBERS = 10, 5
LEAD = 4
"""Months of forcing that are held back, to arrive while nights are measured."""

COARSE_STEP = 15.0
"""Of the testbed, degrees."""

FORECAST_YEARS = 2
"""Between the last label and the last month: teachers end a year or more before today,
and the map is made anew from there on, since draws of these years are joint."""

LEADS, ERROR_YEARS = 5, 20
"""Of the calibration that is made up."""

CHANCE = 0.01
"""Share by which cells inside a coarse one differ: equal ones would cost nothing to
compress."""

STORE_RATIO, COST_RATIOS = 1.2, (0.8, 1.2)
"""The promise on growth: bytes of an archive for those of its vintages alone, and the
cost of the last nights for that of the first."""

WARM_UP, COMPARED = 10, 50
"""Nights of which the time is not used, and nights at either end that are compared."""

_OF_TEACHER = ("static", "reference", "slope", "scale", "spread", "labelled")
_OF_CELL = (*_OF_TEACHER, "climatology", "deviation", "slow_mean")


def widened(
    known: Checkpoint,
    step: float,
    teachers: int,
    fraction: NDArray[np.float64] | None = None,
) -> Checkpoint:
    """Return a network of a finer grid and other teachers than it was trained for.

    Args:
        known: A network of a coarse grid.
        step: Of the fine grid, degrees.
        teachers: How many; those that are known come again and again.
        fraction: Share of each fine cell in the domain, (lat, lon); that of the coarse
            cell around it when None.
    """
    grid = Grid.regular(step)
    rows, columns = (
        _nearest(grid.lat, known.grid.lat),
        _nearest(grid.lon, known.grid.lon),
    )
    place = np.full(known.grid.shape, -1)
    place.ravel()[known.cells.numpy()] = np.arange(len(known.cells))
    around = place[rows][:, columns].ravel()
    if fraction is None:
        coarse = known.grid.cell_area().ravel()[known.cells.numpy()]
        fraction = (known.area.numpy() / coarse)[around].reshape(grid.shape)
    cells = np.flatnonzero((around >= 0) & (fraction.ravel() > 0))
    area = (grid.cell_area() * fraction).ravel()[cells]
    chosen = np.arange(teachers) % len(known.teachers)
    names = tuple(f"{known.teachers[t]}-{n}" for n, t in enumerate(chosen))
    entries = json.loads(known.about["catalog"])
    copies = {
        name: entries[known.teachers[t]]
        for name, t in zip(names, chosen, strict=True)
        if known.teachers[t] in entries
    }
    inside = torch.from_numpy(around[cells])
    normaliser = known.normaliser
    for name in _OF_CELL:
        wide = getattr(normaliser, name)[..., inside]
        wide = wide[chosen] if name in _OF_TEACHER else wide
        normaliser = replace(normaliser, **{name: wide})
    embedding = "context.teacher.weight"
    return replace(
        known,
        weights={**known.weights, embedding: known.weights[embedding][chosen]},
        normaliser=normaliser,
        shape=replace(
            known.shape,
            teachers=teachers,
            cells=torch.from_numpy(cells),
            grid_shape=grid.shape,
        ),
        grid=grid,
        cells=torch.from_numpy(cells),
        area=torch.from_numpy(area),
        teachers=names,
        about={**known.about, "catalog": json.dumps({**entries, **copies})},
    )


def write_members(network: Checkpoint, run: Path, count: int) -> Path:
    """Write a run of several networks that differ a little; return its folder."""
    for seed in range(count):
        chance = torch.Generator().manual_seed(seed)
        weights = {
            name: value * (1 + 0.01 * torch.randn(value.shape, generator=chance))
            for name, value in network.weights.items()
        }
        member = replace(
            network, weights=weights, about={**network.about, "seed": seed}
        )
        folder = run / "members" / str(seed)
        folder.mkdir(parents=True)
        save_checkpoint(member, folder / CHECKPOINT_FILE)
    return run


def forcing_of(store: Path, network: Checkpoint, years: int, out: Path) -> Path:
    """Write the last years of a store's forcing on a network's grid."""
    forcing = read_forcing(store, network.domain, network.forcing)
    forcing = forcing.isel(time=slice(-years * MONTHS_PER_YEAR, None))
    fine = forcing[[*network.forcing, "co2", "co2_normal"]].load()
    fine = fine.drop_vars("own_weather")
    lat, lon = network.grid.lat, network.grid.lon
    places = {
        name: _nearest(axis, forcing[name].to_numpy())
        for name, axis in (("lat", lat), ("lon", lon))
    }
    fine = fine.isel(places).assign_coords(lat=lat, lon=lon)
    if fine.sizes["lat"] > forcing.sizes["lat"]:
        chance = np.random.default_rng(0)
        for name in network.forcing:
            each = chance.standard_normal(fine[name].shape, np.float32)
            fine[name] = fine[name] * (1 + np.float32(CHANCE) * each)
    return write_store(fine.assign_attrs(schema=FORCING_SCHEMA), out)


def _nearest(axis: NDArray[np.float64], known: NDArray[np.float64]) -> NDArray[np.intp]:
    found: NDArray[np.intp] = np.abs(axis[:, None] - known).argmin(axis=1)
    return found


def write_calibration(run: Path, step: float) -> None:
    """Give a run intervals and draws, of errors that are made up.

    Args:
        run: Folder of the run.
        step: Of the grid of the draws, degrees.
    """
    emulator = open_run(run)
    first = emulator.first
    names, _ = bands(first.grid, first.cells.numpy(), first.area.numpy())
    last = int(np.datetime64(first.about["last_month"], "Y").astype(int)) + 1970
    years = tuple(range(last - ERROR_YEARS + 1, last + 1))
    # PgC yr-1 and PgC: of the globe, what land varies by from year to year.
    spread = {"globe": (1.0,), "region": (0.5,) * len(names), "cell": ()}
    factors = {
        key: Factors(((1.6,),), ERROR_YEARS, True, True, spread[key[0]]) for key in KEYS
    }
    about = {"checkpoint": emulator.sha256}
    made = Calibration(0.9, LEADS, years, names, factors, about)
    made.write(run / CALIBRATION_FILE)
    grid = Grid.regular(step)
    months = np.arange(f"{years[0]}-01", f"{last + 1}-01", dtype="M8[M]")
    errors = np.random.default_rng(1).normal(0.0, 1e-9, (months.size, *grid.shape))
    area = grid.cell_area() * land_fraction(grid)
    errors = np.where(area > 0, errors, np.nan).astype(np.float32)
    ErrorFields(months, grid, area, errors).write(run / ERRORS_FILE)


def answer_by_reference(
    emulator: Emulator, forcing: xr.Dataset, wanted: NDArray[np.bool_] | None = None
) -> xr.Dataset:
    """Answer as ``predictions.ask`` does, with references and chance, not networks.

    Args:
        emulator: The run.
        forcing: Of which only months and CO2 are read; begins in a January.
        wanted: Months to answer, (time,); all that can be when None.
    """
    first, flux = emulator.first, emulator.fluxes[0]
    chance = np.random.default_rng(2)
    asked = np.ones(forcing.sizes["time"], bool) if wanted is None else wanted.copy()
    # Windows begin in a January, when their memory is known.
    asked[: -(-emulator.memory // MONTHS_PER_YEAR) * MONTHS_PER_YEAR] = False
    months = as_months(forcing["time"].to_numpy())[asked]
    co2 = torch.from_numpy(forcing["co2"].to_numpy()[asked]).float()[None]
    place = torch.from_numpy(month_of(months) - 1)[None]
    shape = (len(emulator.teachers), months.size, *first.grid.shape)
    mean, deviation = np.full((2, *shape), np.nan, np.float32)
    known = first.normaliser.labelled[:, 0].numpy()
    cells = first.cells.numpy()
    for teacher in range(shape[0]):
        expected = first.normaliser.expected(torch.tensor([teacher]), place, co2, None)
        there = np.where(known[teacher], expected[0, :, 0].numpy(), np.nan)
        each = CHANCE * chance.standard_normal((2, *there.shape), np.float32)
        mean[teacher].reshape(months.size, -1)[:, cells] = there * (1 + each[0])
        spread = np.abs(there * each[1])
        deviation[teacher].reshape(months.size, -1)[:, cells] = spread
    together = np.nan_to_num(mean).mean(axis=0)
    scale = 1 + CHANCE * np.arange(len(emulator.members), dtype=np.float32)
    share = np.zeros(first.grid.shape)
    share.ravel()[cells] = first.area.numpy()
    dims = ("teacher", "time", "lat", "lon")
    about = {"units": variable(flux).units}
    return xr.Dataset(
        {
            flux: (dims, mean, about),
            f"{flux}_emulator_std": (dims, deviation, about),
            predictions.MEMBER_MEAN: (
                ("member", *dims[1:]),
                scale[:, None, None, None] * together,
                about,
            ),
            "fraction": (dims[2:], share / first.grid.cell_area()),
        },
        coords={
            "teacher": np.array(emulator.teachers, dtype=object),
            "time": months.astype("datetime64[ns]"),
            "lat": first.grid.lat,
            "lon": first.grid.lon,
            "member": [int(member.about["seed"]) for member in emulator.members],
        },
    )


class Deployment:
    """A deployment whose source is a prepared forcing, months of which come later.

    Attributes:
        settings: Of its nights.
        forcing: All of the forcing.
    """

    def __init__(self, root: Path, run: Path, forcing: Path) -> None:
        """Take a run of the land and its forcing; nothing is run yet."""
        self.forcing = xr.open_zarr(forcing)
        until = as_months(self.forcing["time"].to_numpy())[-1 - LEAD]
        self.settings = NightSettings(
            root=str(root),
            land=str(run),
            ocean=None,
            land_forcing=str(forcing),
            until=str(until),
            # Networks that learned nothing are no measure of what is plausible.
            sanity=SanitySettings(land=[-1000, 1000], ocean=[-1000, 1000], reach=1e9),
            keep_nights=10,
        )

    def night(self, now: datetime, arrivals: dict[int, float]) -> None:
        """Run a night on which months of the forcing come.

        Args:
            now: Its time.
            arrivals: By place from the end of the forcing (-1 is the last month), by
                how much warmer a month is than in the forcing, K.
        """
        months = [self._month(place, warmer) for place, warmer in arrivals.items()]

        def collect(_: str, into: Path, now: datetime) -> None:
            forcing_archive.record(into, months, now=now)

        settings = replace(self.settings, now=now.isoformat())
        night.run(settings, collect=collect)

    def _month(self, place: int, warmer: float) -> Month:
        then = self.forcing.isel(time=place).load()
        fields = {
            str(name): field.to_numpy().astype(np.float32)
            for name, field in then.items()
            if field.ndim == 2
        }
        fields["tas"] = fields["tas"] + np.float32(warmer)
        return Month(
            month=then["time"].to_numpy().astype("M8[M]"),
            fields=fields,
            co2=float(then["co2"]),
            # What the forcing began with is final: nothing worse replaces it.
            status=STATUS["preliminary" if place >= -LEAD else "final"],
            days_seen=int(then["time"].dt.days_in_month),
            source="benchmark",
            checksum=f"{place} {warmer}",
        )


def coarse_run(folder: Path) -> tuple[Path, Path]:
    """Return a run of the land of a coarse testbed, and its store."""
    simulate_row(folder / "data", COARSE_STEP)
    data = demo_data("land")
    store, _ = prepare_row(data, folder / "data", folder / "stores")
    settings = settings_of_run(data, "cpu", torch.get_num_threads())
    run, _ = start_row(settings, store, folder / "runs" / "coarse", "land")
    return run, store


@dataclass(frozen=True)
class NightCost:
    """What a night took.

    Attributes:
        cost: By the clock; memory looked at now and then.
        processor: Seconds of all cores.
        memory_mb: Most memory that the process ever held, as the system counts it.
    """

    cost: Cost
    processor: float
    memory_mb: float


def measured_night(made: Deployment, now: datetime, threads: int) -> NightCost:
    """Measure the night of a new month and two revised ones."""
    torch.set_num_threads(threads)
    work = {-4: 0.0, -5: 1.0, -6: 1.0}
    begun = time.process_time()
    _, cost = measure(lambda: made.night(now, work), "cpu")
    spent = time.process_time() - begun
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return NightCost(cost, spent, most)


def fine_deployment(
    folder: Path, step: float, years: int, begun: datetime
) -> tuple[Deployment, Checkpoint]:
    """Return a deployment of many networks on a fine grid, after its first night."""
    run, store = coarse_run(folder)
    network = load_checkpoint(checkpoint_paths(run)[0])
    fraction = land_fraction(Grid.regular(step))
    network = widened(network, step, TEACHERS, fraction)
    last = as_months(xr.open_zarr(store)["time"].to_numpy())[-1]
    label = str(last - FORECAST_YEARS * MONTHS_PER_YEAR)
    network = replace(network, about={**network.about, "last_month": label})
    wide = write_members(network, folder / "runs" / "wide", MEMBERS)
    write_calibration(wide, COARSE_STEP)
    forcing = forcing_of(store, network, years, folder / "forcing.zarr")
    made = Deployment(folder / "nightly", wide, forcing)
    with patch.object(predictions, "ask", answer_by_reference):
        made.night(begun, {})
    return made, network


def night_row(folder: Path, step: float, years: int) -> Row:
    """Measure a night in a process of its own, so that its memory is its own."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    made, network = fine_deployment(folder, step, years, begun)
    threads = torch.get_num_threads()
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        night_after = begun + timedelta(days=1)
        found = process.submit(measured_night, made, night_after, threads).result()
    weights = sum(value.numel() for value in network.weights.values())
    is_promised = step == 1.0 and threads <= 2
    verdict = "kept" if found.memory_mb < NIGHT_MB else "missed"
    about = (
        f"{TEACHERS} teachers x {MEMBERS} networks of {weights} weights, "
        f"{step:g} degree ({len(network.cells)} cells), {years} years: one new month, "
        f"two revised; {found.processor:.1f} s of the processor; at most "
        f"{found.memory_mb:.0f} MB, < {NIGHT_MB:g} MB {verdict}"
    )
    promise = Promise(NIGHT_SECONDS, "1 degree, two threads", is_promised)
    return Row("a night", found.cost.seconds, "s", found.cost, about, promise)


def growth_rows(folder: Path, nights: int, years: int, days: float) -> list[Row]:
    """Run many nights, each of which revises the last month; compare ends.

    The archive, once old nights are forgotten, is compared with one into which only
    what stays was committed: one map, and how the vintages differ.

    Args:
        folder: Where to work.
        nights: How many.
        years: Of forcing.
        days: From one night to the next. The first night of a calendar month is a
            vintage; with 30 almost each one is.
    """
    run, store = coarse_run(folder)
    network = load_checkpoint(checkpoint_paths(run)[0])
    forcing = forcing_of(store, network, years, folder / "forcing.zarr")
    made = Deployment(folder / "nightly", run, forcing)
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    made.night(begun, {})
    seconds: list[float] = []

    def work() -> None:
        for number in range(1, nights):
            start = time.process_time()
            made.night(begun + timedelta(days=days * number), {-4: 0.01 * number})
            seconds.append(time.process_time() - start)

    _, cost = measure(work, "cpu")
    repo = folder / "nightly" / ARCHIVE
    kept = _bytes(repo)
    stay, whole, alone = without_nights(repo, folder / "vintages.icechunk")
    first, last = ends(seconds)
    sizes = (
        f"{nights} nights, of which the last and {stay - 1} vintages stay: "
        f"{whole / 1e6:.2f} MB ({kept / 1e6:.2f} MB with the last "
        f"{made.settings.keep_nights} nights); written alone "
        f"{alone / 1e6:.2f} MB; < {STORE_RATIO:g} promised"
    )
    least, most = COST_RATIOS
    spent = (
        f"{first:.2f} s, then {last:.2f} s of the processor; {least:g} to {most:g} "
        f"promised"
    )
    return [
        Row("archive for its vintages alone", whole / alone, "x", cost, sizes),
        Row("last nights for the first", last / first, "x", cost, spent),
    ]


def ends(seconds: list[float]) -> tuple[float, float]:
    """Return the median cost of the first nights after the warm-up, and of the last.

    Where there are too few nights for both, half of them stand for either.
    """
    after = seconds[WARM_UP:] or seconds
    count = min(COMPARED, max(1, len(after) // 2))
    return statistics.median(after[:count]), statistics.median(after[-count:])


def without_nights(repo: Path, alone: Path) -> tuple[int, int, int]:
    """Forget all nights but the last and the vintages; write these into an archive.

    Args:
        repo: The archive of a deployment.
        alone: The archive to make.

    Returns:
        How many stay, and the bytes of both archives.
    """
    retention.retain(repo, keep_nights=1)
    stay = [*archive.vintages(repo)]
    last = archive.last_night(repo)
    if last.snapshot not in [vintage.snapshot for vintage in stay]:
        stay.append(archive.Vintage("last", last.snapshot, last.time))
    for vintage in stay:
        archive.commit(
            alone,
            archive.read_map(repo, vintage.snapshot).load(),
            {"land": _prediction(repo, vintage.snapshot)},
            message=vintage.name,
            properties={"issued": vintage.time.isoformat()},
        )
    return len(stay), _bytes(repo), _bytes(alone)


def _prediction(repo: Path, snapshot: str) -> xr.Dataset:
    found = archive.read_predictions(repo, "land", snapshot)
    if found is None:
        raise ValueError(f"The night {snapshot} has no prediction.")
    return found.load()


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser("python -m benchmarks.nights", description=__doc__)
    add = parser.add_argument
    add("what", choices=("night", "growth"))
    add("--threads", type=int, default=2)
    add("--grid-step", type=float, default=1.0, help="of the map of `night`, degrees")
    add("--years", type=int, default=10, help="of forcing")
    add("--nights", type=int, default=1000, help="of `growth`")
    add("--days", type=float, default=1.0, help="from night to night of `growth`")
    add("--out", type=Path, help="the JSON file; default below build/benchmarks/")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.set_flush_denormal(True)
    about = environment("cpu")
    about["input"] = f"testbed at {COARSE_STEP:g} degrees"
    measuring: dict[str, Callable[[Path], list[Row]]] = {
        "night": lambda folder: [night_row(folder, asked.grid_step, asked.years)],
        "growth": lambda folder: growth_rows(
            folder, asked.nights, asked.years, asked.days
        ),
    }
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        rows = measuring[asked.what](Path(name))
    conclude(rows, about, asked.out, asked.what)
    return 0


if __name__ == "__main__":
    sys.exit(main())
