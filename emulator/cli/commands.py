"""What each command does: settings in, the rooms' functions called, a few lines out.

Each command imports its own room, so that none waits for the imports of another.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emulator.cli.descriptions import PROGRAM
from emulator.cli.output import say, working


def run(asked: argparse.Namespace) -> None:
    """Run the command of a parsed command line.

    Raises:
        UserError: If settings or data do not allow it.
    """
    if asked.command == "catalog":
        from emulator.cli import catalog

        catalog.run(asked.action, asked.names, asked.overrides)
        return
    from emulator.cli import composing

    work = WORK[asked.command]
    if asked.command == "train" and asked.multirun:
        # One after the other and before any run: two runs must not make one store.
        for settings in composing.combinations(
            "train", asked.overrides, asked.config_dir
        ):
            _store(settings)
        folders = composing.sweep("train", asked.overrides, work, asked.config_dir)
        runs = ",".join(str(folder) for folder in folders)
        say(f"Next: {PROGRAM} evaluate run=RUN for each of them, then")
        say(f"      {PROGRAM} compare 'runs=[{runs}]'")
    else:
        work(composing.settings_of(asked.command, asked.overrides, asked.config_dir))


def prepare(settings: Any) -> Path:
    """Make a training store, or say that it is there.

    Args:
        settings: Of type ``emulator.config.PrepareSettings``.

    Returns:
        The store.
    """
    store = _store(settings)
    say(f"Next: {PROGRAM} train data={settings.data.name}")
    return store


def train(settings: Any) -> Path:
    """Fit an emulator, after preparing its store where that is missing.

    Args:
        settings: Of type ``emulator.learning.settings.TrainSettings``.

    Returns:
        The run's folder.
    """
    store = _store(settings)
    from emulator.learning.settings import run_id
    from emulator.learning.training import train as fit

    folder = Path(settings.paths.runs) / run_id(settings)
    say(f"run: {folder}")
    fit(settings, store, folder)
    say(f"Next: {PROGRAM} evaluate run={folder}")
    return folder


def _store(settings: Any) -> Path:
    """Return the store of ``settings.data``, prepared first where it is missing."""
    from emulator.data.prepare import prepare as make
    from emulator.data.prepare import store_path

    paths = settings.paths
    wanted = store_path(settings.data, stores_root=Path(paths.stores))
    if wanted.exists():
        say(f"store: {wanted} (found)")
        return wanted
    with working(f"Preparing {settings.data.name}"):
        store = make(
            settings.data, data_root=Path(paths.data), stores_root=Path(paths.stores)
        )
    say(f"store: {store}")
    return store


WORK: Mapping[str, Callable[[Any], object]] = {
    "prepare": prepare,
    "train": train,
}
"""The function of each command that takes settings."""
