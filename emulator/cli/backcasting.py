"""``sink-emulator backcast``: a run or stated settings in, tables and a figure out."""

from pathlib import Path

from emulator.carbon.errors import CatalogError
from emulator.cli.output import say, working
from emulator.config import BackcastCommand, PrepareCommand
from emulator.data.settings import DataSettings
from emulator.learning.settings import TrainSettings, read_settings, run_id


def backcast(settings: BackcastCommand) -> Path:
    """Estimate years as of earlier dates, and score the estimates."""
    from emulator.evaluation import backcast as estimate
    from emulator.evaluation import backcast_report
    from emulator.evaluation.scorecard import count_reads

    run, folder, store = _found(settings) if settings.run else _stated(settings)
    with working(f"Fitting {folder.name} again for each edition of the labels"):
        found = estimate.backcast(
            settings.backcast, run, store, folder, device=settings.device
        )
    if found.reads_years(*run.split.test):
        count_reads(folder)
    table = backcast_report.write(found, settings.backcast, folder.name)
    say(f"backcast: {table} (.csv, .json and .png beside it)")
    return table


def _found(settings: BackcastCommand) -> tuple[TrainSettings, Path, Path]:
    """Return settings, folder and store of a trained run."""
    from emulator.evaluation.champion import find_run
    from emulator.evaluation.scorecard import find_store
    from emulator.learning.inference import load_emulator

    paths = settings.paths
    folder = find_run(settings.run, Path(paths.runs))
    name = settings.store or load_emulator(folder).first.about["store"]
    return read_settings(folder), folder, find_store(name, Path(paths.stores))


def _stated(settings: BackcastCommand) -> tuple[TrainSettings, Path, Path]:
    """Return stated settings, the folder of their run, and the store, made if need be.

    The folder is that which ``train`` would use.
    """
    from emulator.cli import commands
    from emulator.data.prepare import store_path
    from emulator.evaluation.scorecard import find_store
    from emulator.learning.settings import write_settings

    run, stores = settings.training, Path(settings.paths.stores)
    if settings.store:
        store = find_store(settings.store, stores)
    else:
        _require_entries(run.data)
        commands.prepare(PrepareCommand(data=run.data, paths=settings.paths))
        store = store_path(run.data, stores_root=stores)
    folder = Path(settings.paths.runs) / run_id(run)
    folder.mkdir(parents=True, exist_ok=True)
    write_settings(run, folder)
    return run, folder, store


def _require_entries(data: DataSettings) -> None:
    """Name all entries that a catalog lacks, not only the first.

    Raises:
        CatalogError: If it lacks any.
    """
    from emulator.data import catalog

    named = [*data.teachers, *data.forcing, *data.static]
    if missing := sorted(set(named) - set(catalog.names())):
        raise CatalogError(
            f"'{data.name}' needs catalog entries that are not there: "
            f"{', '.join(missing)}. Write them in a folder of your own, with "
            f"--catalog-dir FOLDER; docs/catalog.md says how."
        )
