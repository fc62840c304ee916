"""Rows on making stores, and the components of the demo."""

from pathlib import Path

from benchmarks.measuring import Promise, Row, measure
from emulator.cli import composing
from emulator.data.prepare import prepare
from emulator.data.settings import DataSettings
from emulator.data.testbed import generate
from emulator.evaluation.scorecard import evaluate
from emulator.evaluation.settings import BaselineSettings, EvaluateSettings
from emulator.nightly.settings import PredictSettings
from emulator.nightly.sinkmap import predict

PREPARE_SECONDS = 120.0
"""The promise on preparing LPJ-wsl."""

DEMO_BASELINES = BaselineSettings(rows=20_000, trees=100)
"""As the demo fits them."""


def demo_data(domain: str) -> DataSettings:
    """Return the settings of the demo's store of a domain."""
    chosen = composing.settings_of("train", [f"experiment=demo_{domain}"])
    data: DataSettings = chosen.data
    return data


def simulate_row(data_root: Path, grid_step: float) -> Row:
    """Simulate the Earth of the demo."""
    _, cost = measure(lambda: generate(data_root, grid_step=grid_step), "cpu")
    about = f"weather and 10 teachers at {grid_step:g} degrees"
    return Row("simulate the testbed", cost.seconds, "s", cost, about)


def prepare_row(
    settings: DataSettings, data_root: Path, stores_root: Path
) -> tuple[Path, Row]:
    """Make a store from files."""
    store, cost = measure(
        lambda: prepare(settings, data_root=data_root, stores_root=stores_root), "cpu"
    )
    about = (
        f"{len(settings.teachers)} teachers, {len(settings.simulations)} simulations, "
        f"{len(settings.fluxes)} fluxes, {settings.years[0]}-{settings.years[1]}"
    )
    promise = Promise(PREPARE_SECONDS, "LPJ-wsl", settings.name == "lpjwsl")
    row = Row(f"prepare {settings.name}", cost.seconds, "s", cost, about, promise)
    return store, row


def evaluate_row(run: Path, stores_root: Path, data_root: Path, device: str) -> Row:
    """Score a run beside the demo's baselines."""
    settings = EvaluateSettings(
        run=str(run),
        baselines=DEMO_BASELINES,
        device="cuda" if device == "gpu" else "cpu",
    )
    _, cost = measure(
        lambda: evaluate(
            settings,
            runs_root=run.parent,
            stores_root=stores_root,
            data_root=data_root,
        ),
        device,
    )
    about = "test years, baselines, figures"
    return Row(f"evaluate: {run.name}", cost.seconds, "s", cost, about)


def map_row(land: Path, ocean: Path, stores_root: Path, out: Path) -> Row:
    """Write the sink map of both domains for all months of their forcing."""
    settings = PredictSettings(land=str(land), ocean=str(ocean), out=str(out))
    _, cost = measure(
        lambda: predict(settings, runs_root=land.parent, stores_root=stores_root),
        "cpu",
    )
    about = "both domains, all months, on the CPU; Zarr and netCDF"
    return Row("predict the sink map", cost.seconds, "s", cost, about)
