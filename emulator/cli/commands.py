"""What each command does: settings in, the rooms' functions called, a few lines out.

Each command imports its own room, so that none waits for the imports of another.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emulator.cli.backcasting import backcast
from emulator.cli.mapping import map_forcing
from emulator.cli.output import say, working
from emulator.config import (
    AdaptCommand,
    CalibrateCommand,
    CompareCommand,
    DemoCommand,
    EvaluateCommand,
    PredictCommand,
    PrepareCommand,
    PromoteCommand,
)
from emulator.data.computing import DaskSettings
from emulator.data.settings import DataSettings, ForcingSettings
from emulator.evaluation.settings import LiveSettings
from emulator.learning.settings import PathsSettings, TrainSettings, run_id


def run(asked: argparse.Namespace) -> None:
    """Run a command that takes settings.

    Args:
        asked: The parsed command line.

    Raises:
        UserError: If settings or data do not allow it.
    """
    from emulator.cli import composing, sweeping

    if asked.command == "train" and asked.multirun:
        sweeping.train_all(asked.overrides, asked.config_dir)
        return
    settings = composing.settings_of(asked.command, asked.overrides, asked.config_dir)
    if isinstance(settings, EvaluateCommand) and settings.sweep:
        sweeping.evaluate_all(settings)
    else:
        WORK[asked.command](settings)


def prepare(settings: PrepareCommand) -> Path:
    """Make a store, or say that it is there."""
    return make_store(settings.store, settings.paths, settings.dask)


def train(settings: TrainSettings) -> Path:
    """Fit an emulator, after preparing its store where that is missing."""
    from emulator.learning.fit import train as fit

    store = make_store(settings.data, settings.paths)
    folder = Path(settings.paths.runs) / run_id(settings)
    fit(settings, store, folder)
    say(f"run: {folder}")
    return folder


def calibrate(settings: CalibrateCommand) -> Path:
    """Forecast from earlier origins and set the width of a run's intervals."""
    from emulator.evaluation.origins import calibrate_run

    paths = settings.paths
    with working(f"Fitting {settings.run} again for each origin"):
        path = calibrate_run(
            settings, runs_root=Path(paths.runs), stores_root=Path(paths.stores)
        )
    say(f"calibration: {path} (error fields beside it)")
    return path


def evaluate(settings: EvaluateCommand) -> Path:
    """Score a run on held-out years, baselines beside it."""
    from emulator.evaluation.scorecard import evaluate as score
    from emulator.learning.tracking import log_scorecard

    paths = settings.paths
    with working(f"Scoring {settings.run} and its baselines"):
        card = score(
            settings,
            runs_root=Path(paths.runs),
            stores_root=Path(paths.stores),
            data_root=Path(paths.data),
        )
        log_scorecard(settings.logger, card)
    say(f"scores: {card.with_suffix('.md')} ({card.name} and figures beside it)")
    return card


def compare(settings: CompareCommand) -> Path:
    """Make one table of several scored runs."""
    from emulator.evaluation.compare import compare as tabulate

    table = tabulate(settings, runs_root=Path(settings.paths.runs))
    say(f"comparison: {table} (.csv, .png and .pdf beside it)")
    return table


def promote(settings: PromoteCommand) -> Path:
    """Make a run the one that nights use, or go back to the one before."""
    from emulator.evaluation.promote import promote as decide

    paths = settings.paths
    model = decide(settings, runs_root=Path(paths.runs), models_root=Path(paths.models))
    say(f"champion: {model} (promotion.json and README.md in it)")
    return model


def predict(settings: PredictCommand) -> Path:
    """Run emulators on forcing and write a sink map."""
    from emulator.nightly.sinkmap import predict as write

    paths = settings.paths
    with working("Predicting"):
        sink = write(
            settings,
            runs_root=Path(paths.runs),
            stores_root=Path(paths.stores),
            models_root=Path(paths.models),
        )
    say(f"sink map: {sink}")
    return sink


def ensembles(settings: LiveSettings) -> Path:
    """Score few live models for the mean of all."""
    from emulator.evaluation.live import report

    with working(f"Choosing among the models of {settings.workbook}"):
        table = report(settings)
    say(f"ensembles: {table} (.csv and .png beside it)")
    return table


def adapt(settings: AdaptCommand) -> Path:
    """Fit a run to teachers that it never saw, and score it."""
    from emulator.evaluation.fewshot import few_shot

    paths = settings.paths
    with working(f"Adapting {settings.run or settings.sweep}"):
        table = few_shot(
            settings, runs_root=Path(paths.runs), stores_root=Path(paths.stores)
        )
    say(f"adapted: {table} (.csv, .png and networks beside it)")
    return table


def demo(settings: DemoCommand) -> Path:
    """Walk the whole path on a simulated Earth."""
    from emulator.cli.demo import walk

    return walk(settings)


def make_store(
    settings: DataSettings | ForcingSettings,
    paths: PathsSettings,
    dask: DaskSettings | None = None,
) -> Path:
    """Return the store of ``settings``, made where it is missing."""
    from emulator.data.prepare import prepare as make
    from emulator.data.prepare import prepare_forcing, store_path

    stores = Path(paths.stores)
    if (found := store_path(settings, stores_root=stores)).exists():
        say(f"store: {found} (found)")
        return found
    with working(f"Preparing {settings.name}"):
        data = Path(paths.data)
        if isinstance(settings, DataSettings):
            store = make(settings, data_root=data, stores_root=stores, dask=dask)
        else:
            store = prepare_forcing(
                settings, data_root=data, stores_root=stores, dask=dask
            )
    say(f"store: {store}")
    return store


WORK: Mapping[str, Callable[[Any], object]] = {
    "prepare": prepare,
    "map": map_forcing,
    "train": train,
    "calibrate": calibrate,
    "backcast": backcast,
    "evaluate": evaluate,
    "compare": compare,
    "promote": promote,
    "predict": predict,
    "ensembles": ensembles,
    "adapt": adapt,
    "demo": demo,
}
"""The function of each command that takes settings."""
