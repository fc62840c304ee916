"""``python -m benchmarks``: measure, print a table, write JSON."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.answering import month_row, start_row
from benchmarks.inputs import data_of_store, on_maps, settings_of_run
from benchmarks.learning import fit_some, gather_row, load_row, pass_row, step_row
from benchmarks.making import (
    demo_data,
    evaluate_row,
    map_row,
    prepare_row,
    simulate_row,
)
from benchmarks.measuring import Row, environment
from benchmarks.report import conclude
from emulator.carbon.errors import UserError
from emulator.learning.settings import TrainSettings

DEMO_STEP = 5.0
"""Grid step of the demo, degrees: conf/demo.yaml."""

COARSE_STEP = 15.0
"""Grid step without other wish, degrees: a minute or two instead of many."""


def main() -> int:
    """Measure what is asked for."""
    asked = _parser().parse_args()
    console = Console(stderr=True)
    if asked.device == "gpu" and not torch.cuda.is_available():
        console.print("Torch finds no GPU here. Choose --device cpu.")
        return 1
    if asked.threads:
        torch.set_num_threads(asked.threads)
    # As training does: a CPU multiplies denormal numbers a hundred times slower.
    torch.set_flush_denormal(True)
    about = environment(asked.device)
    about["input"] = str(asked.store or f"testbed at {asked.grid_step:g} degrees")
    rows: list[Row] = []
    stopped = False
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        measured = _of_store(asked, folder) if asked.store else _of_demo(asked, folder)
        try:
            for row in measured:
                console.print(f"{row.name}: {row.value:.3g} {row.unit}")
                rows.append(row)
        except UserError as error:
            stopped = True
            console.print(f"Stopped: {error}", markup=False)
        except KeyboardInterrupt:
            stopped = True
            console.print("Stopped by the keyboard.")
    if not rows:
        return 1
    conclude(rows, about, asked.out, asked.device)
    return int(stopped)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--store", type=Path, help="your own training store instead of a testbed")
    add(
        "--data",
        type=Path,
        default=Path(os.environ.get("SINK_DATA", "data")),
        help="folder of the store's files, to time `prepare`; left out if not there",
    )
    add("--device", choices=("cpu", "gpu"), default="cpu")
    add("--threads", type=int, default=0, help="of the CPU; 0 = torch's choice")
    add("--grid-step", type=float, default=COARSE_STEP, help="of the testbed, degrees")
    add("--steps", type=int, default=20, help="training steps to time")
    add("--out", type=Path, help="the JSON file; default below build/benchmarks/")
    return parser


def _of_store(asked: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Measure on a user's store."""
    data = data_of_store(asked.store)
    try:
        yield prepare_row(data, asked.data, folder / "stores")[1]
    except UserError as error:
        console = Console(stderr=True)
        console.print(f"`prepare` is left out: {error}", markup=False)
    settings = settings_of_run(data, asked.device, asked.threads)
    yield from _of_learning(settings, asked.store, asked.steps, folder)
    run, row = start_row(settings, asked.store, folder / "runs" / "own", data.domain)
    yield row
    yield month_row([(run, asked.store)], asked.device, is_demo=False)


def _of_demo(asked: argparse.Namespace, folder: Path) -> Iterator[Row]:
    """Measure on a testbed, and the demo's components with it."""
    files, stores_root = folder / "data", folder / "stores"
    yield simulate_row(files, asked.grid_step)
    stores, settings = {}, {}
    for domain in ("land", "ocean"):
        data = demo_data(domain)
        stores[domain], row = prepare_row(data, files, stores_root)
        settings[domain] = settings_of_run(data, asked.device, asked.threads)
        yield row
    yield from _of_learning(settings["land"], stores["land"], asked.steps, folder)
    runs = {}
    for domain, store in stores.items():
        place = folder / "runs" / domain
        runs[domain], row = start_row(settings[domain], store, place, domain)
        yield row
    pairs = [(runs[domain], stores[domain]) for domain in stores]
    is_demo = asked.grid_step == DEMO_STEP
    yield month_row(pairs, asked.device, is_demo=is_demo)
    yield map_row(runs["land"], runs["ocean"], stores_root, folder / "sink.zarr")
    # At the end: the baselines take longest.
    for run in runs.values():
        yield evaluate_row(run, stores_root, files, asked.device)


def _of_learning(
    settings: TrainSettings, store: Path, steps: int, folder: Path
) -> Iterator[Row]:
    """Measure cube, batches and steps of both networks."""
    cube, row = load_row(settings, store)
    yield row
    recurrent = fit_some(settings, cube, steps, folder / "recurrent")
    yield gather_row(recurrent)
    yield step_row(recurrent)
    yield pass_row(recurrent)
    del recurrent  # its features and labels, on a GPU too
    yield step_row(fit_some(on_maps(settings), cube, steps, folder / "unet"))


if __name__ == "__main__":
    sys.exit(main())
