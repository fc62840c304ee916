"""Weights & Biases, where a run chooses it (``logger=wandb``).

It is told nothing that the run's folder does not hold: settings.yaml is the config,
metrics.csv the curves, scorecard and figures the results, the ``name`` of the runs
their group. ``wandb`` is imported only here, and only when it is chosen. What it would
gather by itself (the machine, the command line, the code, the terminal) is turned off:
there are names and passwords in such things.
"""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from emulator.carbon.errors import SettingsError
from emulator.learning.settings import (
    LoggerSettings,
    TrainSettings,
    read_settings,
    run_id,
    settings_to_dict,
)
from emulator.models import model_name

RECORD = ("flux", "simulation", "teacher", "scope")

NOT_TOLD = ("paths", "logger")
"""Groups of the settings that say where, not what."""


@contextlib.contextmanager
def curves(
    settings: TrainSettings, run_dir: Path, member: int, stage: str
) -> Iterator[Any]:
    """Yield Lightning's logger of one member and stage, or False without W&B.

    Args:
        settings: The run.
        run_dir: Its folder.
        member: Seed of the member, which has a run of W&B of its own.
        stage: "choose", "refit", ...: first part of the names of its curves.

    Raises:
        SettingsError: If W&B cannot begin.
    """
    if settings.logger.kind == "csv":
        yield False
        return
    with _session(settings.logger, settings, run_dir, member, "train") as session:
        told = settings_to_dict(settings)
        config = {name: told[name] for name in told if name not in NOT_TOLD}
        session.config.update(config, allow_val_change=True)
        from lightning.pytorch.loggers import WandbLogger

        session.define_metric("trainer/global_step")
        session.define_metric(f"{stage}-*", step_metric="trainer/global_step")
        yield WandbLogger(experiment=session, prefix=stage)


def log_scorecard(logger: LoggerSettings, card: Path) -> None:
    """Tell W&B a scorecard and its figures, in the run that holds the curves.

    A run of several members has one scorecard: it stands in the run of the first.

    Args:
        logger: Nothing happens unless it chooses W&B.
        card: scorecard.json in the run's folder, with scorecard.md and figures beside.

    Raises:
        SettingsError: If W&B cannot begin.
    """
    if logger.kind == "csv":
        return
    run_dir = card.parent
    figures = run_dir / card.stem.replace("scorecard", "figures")
    settings = read_settings(run_dir)
    content = json.loads(card.read_text())
    part = content["split"]["part"]
    with _session(logger, settings, run_dir, settings.seed, "evaluate") as session:
        import wandb

        rows = [
            [record[name] for name in RECORD] + [method, score, value]
            for record in content["records"]
            for method, found in record["methods"].items()
            for score, value in _scores(found).items()
        ]
        pictures = {
            f"{part}/{path.stem}": wandb.Image(str(path))
            for path in sorted(figures.glob("*.png"))
        }
        table = wandb.Table(columns=[*RECORD, "method", "score", "value"], data=rows)
        session.log({f"{part}/scores": table, **pictures})
        # Records are sorted, the headline first.
        headline = _scores(content["records"][0]["methods"]["network"])
        session.summary.update({f"{part}/{k}": value for k, value in headline.items()})
        artifact = wandb.Artifact(f"{card.stem}-{run_dir.name}", type="scorecard")
        for path in (card, card.with_suffix(".md")):
            artifact.add_file(str(path))
        session.log_artifact(artifact)


def _scores(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of a method that are numbers, by name."""
    scores: dict[str, float] = {}
    for part in ("cells", "annual", "season"):
        for name, entry in (found.get(part) or {}).items():
            value = entry.get("value") if isinstance(entry, dict) else entry
            if isinstance(value, int | float):
                scores[name] = float(value)
    return scores


@contextlib.contextmanager
def _session(
    logger: LoggerSettings,
    settings: TrainSettings,
    run_dir: Path,
    member: int,
    job_type: str,
) -> Iterator[Any]:
    """Begin, or go on with, the run of a member; end it whatever happens.

    Raises:
        SettingsError: If W&B cannot begin.
    """
    import wandb

    run = run_id(settings)
    try:
        session = wandb.init(
            project=logger.project,
            id=f"{run}-{member}",
            name=f"{run}-{member}",
            group=settings.name,
            job_type=job_type,
            tags=[settings.data.name, settings.data.domain, model_name(settings.model)],
            dir=run_dir,
            mode="offline" if logger.offline else None,
            resume="allow",
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                save_code=False,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
    except wandb.Error as error:
        raise SettingsError(
            f"Weights & Biases cannot begin: {error}. Set logger.offline=true and send "
            f"the run later with `wandb sync`, or log in with `wandb login`."
        ) from error
    failed = True
    try:
        yield session
        failed = False
    finally:
        session.finish(exit_code=int(failed))
