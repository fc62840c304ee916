"""Many runs by one command: what fails in one stops no other."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emulator.carbon.errors import SweepError, UserError
from emulator.cli import composing
from emulator.cli.commands import evaluate, make_store
from emulator.cli.composing import Combination, Outcome
from emulator.cli.descriptions import PROGRAM
from emulator.cli.output import say
from emulator.config import EvaluateCommand
from emulator.data.prepare import store_path
from emulator.learning.settings import TrainSettings, run_id
from emulator.learning.sweeps import (
    Job,
    Sweep,
    is_finished,
    read_sweeps,
    sweep_folder,
    write_sweep,
)

SHOWN = 300
"""Characters of an error in the list at the end; the record has all of them."""


def train_all(overrides: Sequence[str], config_dirs: Sequence[Path]) -> Sweep:
    """Train every run of a sweep that is not finished, and keep the record of all.

    Args:
        overrides: Of ``train -m``.
        config_dirs: A user's own folders with groups such as ``data/``.

    Raises:
        SettingsError: If a combination does not fit; then none is started.
        SweepError: If some runs failed; the others are done.
    """
    found = composing.combinations("train", overrides, config_dirs)
    if len(roots := {one.settings.paths.runs for one in found}) > 1:
        raise SweepError(
            f"The sweep puts runs into {len(roots)} folders, but its record stands in "
            f"one. Give one paths.runs."
        )
    # Settings that do not decide the result, such as threads, make no run of their own.
    runs = {run_id(one.settings): one for one in found}
    # Stores are made here, one after the other: two runs must not make the same.
    for one in {_store(one.settings): one for one in runs.values()}.values():
        make_store(one.settings.data, one.settings.paths)
    sweep = _sweep(runs)
    record = write_sweep(sweep)
    missing = {job.run: runs[job.run] for job in sweep.unfinished()}
    say(
        f"sweep: {record.parent} ({len(runs)} runs, {len(runs) - len(missing)} of them "
        f"finished already)"
    )
    if missing:
        outcomes = composing.launch(
            "train",
            overrides,
            list(missing.values()),
            train_one,
            sweep.folder,
            config_dirs,
        )
        sweep = _with_errors(sweep, dict(zip(missing, outcomes, strict=True)))
        write_sweep(sweep)
    _require_all(sweep, runs)
    where = "".join(f" {text}" for text in overrides if text.startswith("paths"))
    name = sweep.folder.name
    say(f"Next: {PROGRAM} evaluate sweep={name}{where}")
    say(f"      {PROGRAM} compare sweep={name}{where}")
    return sweep


def evaluate_all(settings: EvaluateCommand) -> list[Path]:
    """Score every run of a sweep that is finished and not scored so yet.

    Args:
        settings: What ``evaluate`` is told, with ``sweep``.

    Returns:
        The scorecards, those that were there included.

    Raises:
        SettingsError: If there is no such sweep.
        SweepError: If some runs could not be scored; the others are.
    """
    suffix = "" if settings.split == "test" else f"-{settings.split}"
    cards, faults, unfinished = [], [], 0
    for sweep in read_sweeps(settings.sweep, Path(settings.paths.runs)):
        unfinished += len(sweep.unfinished())
        for job in sweep.jobs:
            folder = sweep.run_dir(job)
            card = folder / f"scorecard{suffix}.json"
            if not is_finished(folder):
                continue
            # On another store a run has another scorecard, each time anew.
            if settings.store or not _answers(card, settings, folder):
                try:
                    card = evaluate(replace(settings, run=str(folder), sweep=""))
                except UserError as error:
                    faults.append(f"  {job.run}: {str(error)[:SHOWN]}")
                    continue
            cards.append(card)
    if unfinished:
        say(f"{unfinished} runs are not finished: `{PROGRAM} train -m` again for them.")
    if faults:
        told = "\n".join(faults)
        raise SweepError(f"{len(faults)} runs could not be scored:\n{told}")
    say(f"scored: {len(cards)} runs of {settings.sweep}")
    return cards


def _answers(card: Path, settings: EvaluateCommand, run_dir: Path) -> bool:
    """Return whether a scorecard is there, of these settings and these networks."""
    from emulator.evaluation.scorecard import asked

    if not card.exists():
        return False
    found = json.loads(card.read_text()).get("asked")
    return bool(found == asked(settings, run_dir))


def train_one(settings: TrainSettings) -> None:
    """Train one run of a sweep, in whichever process."""
    from emulator.learning.fit import train

    folder = Path(settings.paths.runs) / run_id(settings)
    train(settings, _store(settings), folder)
    say(f"run: {folder}")


def _store(settings: TrainSettings) -> Path:
    return store_path(settings.data, stores_root=Path(settings.paths.stores))


def _sweep(runs: dict[str, Combination]) -> Sweep:
    settings = [one.settings for one in runs.values()]
    names = dict.fromkeys(one.name for one in settings)
    root = Path(settings[0].paths.runs)
    jobs = tuple(Job(run, dict(one.swept)) for run, one in runs.items())
    return Sweep(sweep_folder("-".join(names), root), root, jobs)


def _with_errors(sweep: Sweep, outcomes: dict[str, Outcome]) -> Sweep:
    def told(job: Job) -> Job:
        ended = outcomes.get(job.run)
        # A launcher that broke down may have lost the word of runs that had ended well.
        if ended is None or is_finished(sweep.run_dir(job)):
            return job
        return replace(job, error=ended.error)

    return replace(sweep, jobs=tuple(told(job) for job in sweep.jobs))


def _require_all(sweep: Sweep, runs: dict[str, Combination]) -> None:
    """Raise ``SweepError`` with a list of what is missing, unless all is there."""
    missing = sweep.unfinished()
    if not missing:
        return
    lines = [f"{len(missing)} of {len(runs)} runs are not finished:"]
    for job in missing:
        what = " ".join(f"{key}={value}" for key, value in job.swept.items())
        why = (job.error or "no error was told").strip()
        # Of a traceback the last line says most.
        why = why.splitlines()[-1] if why.startswith("Traceback") else why
        lines.append(f"  {job.run} ({what}): {why[:SHOWN]}")
    lines.append(
        f"Whole messages are in {sweep.folder}. The same command finds the finished "
        f"runs and tries these again."
    )
    raise SweepError("\n".join(lines))
