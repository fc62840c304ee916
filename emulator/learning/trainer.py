"""Lightning, told to do nothing of its own: no files, no warnings, no shuffling."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar

from emulator.carbon.errors import CheckpointError
from emulator.learning.checkpoint import UNREADABLE
from emulator.learning.settings import TrainSettings
from emulator.learning.tracking import curves
from emulator.learning.training import LAST_FILE, EmulatorTraining, Steps

log = logging.getLogger(__name__)


def fit_module(module: EmulatorTraining, settings: TrainSettings, folder: Path) -> None:
    """Run a module to the end of its stage, or find it there.

    Args:
        module: With its first weights; ends with the last ones.
        settings: The run.
        folder: Of ``last.ckpt``.

    Raises:
        CheckpointError: If the state to resume from is damaged.
        SettingsError: If the loss is no number any more.
    """
    last = folder / LAST_FILE
    work = module.materials
    step = 0
    if last.exists():
        state = _read_state(last)
        step = int(state["global_step"])
        module.load_state_dict(state["state_dict"])
        if bool(module.finished):
            return
        log.info("Going on from step %d.", step)
    work.metrics.rewind(step)
    told = curves(
        settings, work.metrics.path.parent, work.metrics.member, work.metrics.stage
    )
    # Beside the results, which stdout is for: they may go to a file or a variable.
    bars: list[Callback] = []
    if sys.stderr.isatty():
        bars.append(RichProgressBar(console_kwargs={"stderr": True}))
    with _quiet(), told as logger:
        trainer = lightning.Trainer(
            accelerator=settings.machine.accelerator,
            devices=1,
            precision="bf16-mixed" if settings.machine.precision == "bf16" else "32",
            max_steps=work.stop,
            max_epochs=1,
            gradient_clip_val=settings.learning.gradient_clip or None,
            logger=logger,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=bool(bars),
            callbacks=bars,
            default_root_dir=folder,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            log_every_n_steps=min(50, work.stop),
        )
        trainer.fit(
            module,
            train_dataloaders=Steps(work.stop),
            ckpt_path=last if step else None,
            weights_only=True,
        )


def _read_state(path: Path) -> dict[str, Any]:
    """Read the state to resume from.

    Raises:
        CheckpointError: If it is damaged.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: state[key] for key in ("global_step", "state_dict")}
    except (*UNREADABLE, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({type(error).__name__}), so this member cannot go on "
            f"from there. Remove the file to train the member from the start."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notes on devices and products out of the terminal."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    logger.setLevel(logging.WARNING)
    with warnings.catch_warnings():
        # Lightning 2.6 leans on a part of torch's own pytree that is going away.
        warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
        try:
            yield
        finally:
            logger.setLevel(before)
