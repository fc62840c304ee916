"""Rows on a trained network in use: a month, predicted for every teacher."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import xarray as xr

from benchmarks.measuring import Promise, Row, measure
from emulator.learning.fit import train
from emulator.learning.inference import Emulator, load_emulator
from emulator.learning.settings import TrainSettings
from emulator.nightly.inputs import read_forcing

MONTH_SECONDS = 1.0
"""The promise on a month of all teachers of the demo."""

TIMES = 5
"""Predictions of which the median time is taken."""


def start_row(
    settings: TrainSettings, store: Path, run: Path, domain: str
) -> tuple[Path, Row]:
    """Train for a single step: what training takes apart from its steps."""
    once = replace(settings, learning=replace(settings.learning, steps=1))
    _, cost = measure(lambda: train(once, store, run), settings.machine.accelerator)
    about = "cube, references, one step, one validation, checkpoint"
    return run, Row(f"train, but for steps: {domain}", cost.seconds, "s", cost, about)


def month_row(pairs: Sequence[tuple[Path, Path]], device: str, *, is_demo: bool) -> Row:
    """Predict the last month of the forcing for every teacher.

    Args:
        pairs: A run and the store whose forcing it answers, for each domain.
        device: "cpu" or "gpu".
        is_demo: Whether these are all teachers of the demo, on its grid.
    """
    where = "cuda" if device == "gpu" else "cpu"
    asked = []
    for run, store in pairs:
        emulator = load_emulator(run, device=where)
        asked.append((emulator, _last_month(emulator, store)))
    answers, cost = measure(
        lambda: [emulator.predict(forcing) for emulator, forcing in asked],
        device,
        times=TIMES,
        warm_ups=1,
    )
    sizes = [
        f"{answer.sizes['teacher']} of the {emulator.domain} "
        f"({len(emulator.cells)} cells)"
        for (emulator, _), answer in zip(asked, answers, strict=True)
    ]
    return Row(
        "predict a month, all teachers",
        cost.seconds,
        "s",
        cost,
        f"{', '.join(sizes)}; forcing is in memory, the month's whole block answered",
        Promise(MONTH_SECONDS, "the demo", is_demo),
    )


def _last_month(emulator: Emulator, store: Path) -> xr.Dataset:
    """Return the last month of the forcing with all that came before it."""
    forcing = read_forcing(store, emulator.domain, emulator.forcing_names)
    return forcing.isel(time=slice(-emulator.history - 1, None)).load()
