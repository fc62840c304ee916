"""``python -m benchmarks.nights``: what a night costs, and whether that grows.

A network is trained for one step on a coarse testbed. For ``night`` it is then made
wider: each cell of a fine grid gets what its network and forcing were in the coarse
cell around it, teachers are repeated, and members get weights that differ a little. The
answers mean nothing; the work is that of a real run.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from benchmarks.answering import start_row
from benchmarks.inputs import settings_of_run
from benchmarks.making import demo_data, prepare_row, simulate_row
from benchmarks.measuring import Cost, Promise, Row, environment, measure
from benchmarks.report import conclude
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, as_months
from emulator.data import forcing_archive
from emulator.data.forcing_archive import STATUS, Month
from emulator.data.stores import FORCING_SCHEMA, write_store
from emulator.learning.checkpoint import (
    CHECKPOINT_FILE,
    Checkpoint,
    checkpoint_paths,
    load_checkpoint,
    save_checkpoint,
)
from emulator.nightly import archive, night, retention
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

STORE_RATIO, COST_RATIOS = 1.2, (0.8, 1.2)
"""The promise on growth: bytes of an archive for those of its vintages alone, and the
cost of the last nights for that of the first."""

WARM_UP, COMPARED = 10, 50
"""Nights of which the time is not used, and nights at either end that are compared."""

_OF_TEACHER = ("static", "reference", "slope", "scale", "spread", "labelled")
_OF_CELL = (*_OF_TEACHER, "climatology", "deviation", "slow_mean")


def widened(known: Checkpoint, step: float, teachers: int) -> Checkpoint:
    """Return a network of a finer grid and other teachers than it was trained for.

    Args:
        known: A network of a coarse grid.
        step: Of the fine grid, degrees.
        teachers: How many; those that are known come again and again.
    """
    grid = Grid.regular(step)
    rows = np.abs(grid.lat[:, None] - known.grid.lat).argmin(axis=1)
    columns = np.abs(grid.lon[:, None] - known.grid.lon).argmin(axis=1)
    place = np.full(known.grid.shape, -1)
    place.ravel()[known.cells.numpy()] = np.arange(len(known.cells))
    around = place[rows][:, columns].ravel()
    cells = np.flatnonzero(around >= 0)
    share = known.area.numpy() / known.grid.cell_area().ravel()[known.cells.numpy()]
    area = grid.cell_area().ravel()[cells] * share[around[cells]]
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
    fine = fine.reindex(lat=network.grid.lat, lon=network.grid.lon, method="nearest")
    return write_store(fine.assign_attrs(schema=FORCING_SCHEMA), out)


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
            status=STATUS["preliminary"],
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


def measured_night(made: Deployment, now: datetime) -> Cost:
    """Measure the night of a new month and two revised ones."""
    work = {-4: 0.0, -5: 1.0, -6: 1.0}
    _, cost = measure(lambda: made.night(now, work), "cpu")
    return cost


def night_row(folder: Path, step: float, years: int) -> Row:
    """Measure a night in a process of its own, so that its memory is its own."""
    run, store = coarse_run(folder)
    network = widened(load_checkpoint(checkpoint_paths(run)[0]), step, TEACHERS)
    wide = write_members(network, folder / "runs" / "wide", MEMBERS)
    forcing = forcing_of(store, network, years, folder / "forcing.zarr")
    made = Deployment(folder / "nightly", wide, forcing)
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    made.night(begun, {})
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        night_after = begun + timedelta(days=1)
        cost = process.submit(measured_night, made, night_after).result()
    threads = torch.get_num_threads()
    weights = sum(value.numel() for value in network.weights.values())
    is_promised = step == 1.0 and threads <= 2
    verdict = "kept" if cost.memory_mb < NIGHT_MB else "missed"
    about = (
        f"{TEACHERS} teachers x {MEMBERS} networks of {weights} weights, "
        f"{step:g} degree ({len(network.cells)} cells), {years} years: one new month, "
        f"two revised; memory < {NIGHT_MB:g} MB {verdict}"
    )
    promise = Promise(NIGHT_SECONDS, "1 degree, two threads", is_promised)
    return Row("a night", cost.seconds, "s", cost, about, promise)


def growth_rows(folder: Path, nights: int, years: int) -> list[Row]:
    """Run many nights, each of which revises the last month; compare ends.

    The archive, once old nights are forgotten, is compared with one into which only
    what stays was committed: one map, and how the vintages differ.
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
            made.night(begun + timedelta(days=number), {-4: 0.01 * number})
            seconds.append(time.process_time() - start)

    _, cost = measure(work, "cpu")
    repo = folder / "nightly" / ARCHIVE
    alone = folder / "vintages.icechunk"
    kept = _bytes(repo)
    retention.retain(repo, keep_nights=1)
    known = [
        *archive.vintages(repo),
        archive.Vintage("last", *archive.last_night(repo)[:2]),
    ]
    for vintage in known:
        archive.commit(
            alone,
            archive.read_map(repo, vintage.snapshot).load(),
            {"land": _prediction(repo, vintage.snapshot)},
            message=vintage.name,
            properties={"issued": vintage.time.isoformat()},
        )
    store_ratio = _bytes(repo) / _bytes(alone)
    first, last = (
        statistics.median(part)
        for part in (seconds[WARM_UP:][:COMPARED] or seconds, seconds[-COMPARED:])
    )
    sizes = (
        f"{nights} nights, of which the last and {len(known) - 1} vintages stay: "
        f"{_bytes(repo) / 1e6:.2f} MB ({kept / 1e6:.2f} MB with the last "
        f"{made.settings.keep_nights} nights); written alone "
        f"{_bytes(alone) / 1e6:.2f} MB; < {STORE_RATIO:g} promised"
    )
    least, most = COST_RATIOS
    spent = (
        f"{first:.2f} s, then {last:.2f} s of the processor; {least:g} to {most:g} "
        f"promised"
    )
    return [
        Row("archive for its vintages alone", store_ratio, "x", cost, sizes),
        Row("last nights for the first", last / first, "x", cost, spent),
    ]


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
    add("--out", type=Path, help="the JSON file; default below build/benchmarks/")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.set_flush_denormal(True)
    about = environment("cpu")
    about["input"] = f"testbed at {COARSE_STEP:g} degrees"
    measuring: dict[str, Callable[[Path], list[Row]]] = {
        "night": lambda folder: [night_row(folder, asked.grid_step, asked.years)],
        "growth": lambda folder: growth_rows(folder, asked.nights, asked.years),
    }
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        rows = measuring[asked.what](Path(name))
    conclude(rows, about, asked.out, asked.what)
    return 0


if __name__ == "__main__":
    sys.exit(main())
