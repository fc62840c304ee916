"""The record of a sweep: which runs belong together, and what varies among them.

``train -m`` writes it before the first run begins; ``evaluate`` and ``compare`` read
it, so that nobody types the folders of an ablation. Whether a run is finished is never
written down: its folder says so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from emulator.carbon.errors import SettingsError
from emulator.data.writing import write_text
from emulator.learning.checkpoint import CHECKPOINT_FILE
from emulator.learning.settings import SETTINGS_FILE, TrainSettings, read_settings

SWEEP_FOLDER = "sweeps"
"""Below the runs: one folder a sweep."""

SWEEP_FILE = "sweep.json"
SWEEP_SCHEMA = "sweep/1"


@dataclass(frozen=True)
class Job:
    """One run of a sweep.

    Attributes:
        run: Name of its folder below the runs.
        swept: What varies, as it was said: by key of the setting or group, in the
            order of the sweep.
        error: What stopped it last time; None if nothing did.
    """

    run: str
    swept: Mapping[str, str]
    error: str | None = None


@dataclass(frozen=True)
class Sweep:
    """Runs that were asked for together.

    Attributes:
        folder: Of the record, and of what is made from all runs.
        runs_root: Where the runs lie.
        jobs: The runs.
    """

    folder: Path
    runs_root: Path
    jobs: tuple[Job, ...]

    def run_dir(self, job: Job) -> Path:
        """Return the folder of a run."""
        return self.runs_root / job.run

    def unfinished(self) -> list[Job]:
        """Return the runs without all of their networks."""
        return [job for job in self.jobs if not is_finished(self.run_dir(job))]


def member_folders(settings: TrainSettings, run_dir: Path) -> dict[int, Path]:
    """Return the folder of each member of a run, by its seed."""
    seeds = range(settings.seed, settings.seed + settings.learning.members)
    return {seed: run_dir / "members" / str(seed) for seed in seeds}


def is_finished(run_dir: Path) -> bool:
    """Return whether a run has the networks of all its members."""
    if not (run_dir / SETTINGS_FILE).exists():
        return False
    folders = member_folders(read_settings(run_dir), run_dir).values()
    return all((folder / CHECKPOINT_FILE).exists() for folder in folders)


def sweep_folder(name: str, runs_root: Path) -> Path:
    """Return the folder of the sweep of that name, there or not."""
    return runs_root / SWEEP_FOLDER / name


def write_sweep(sweep: Sweep) -> Path:
    """Write the record, under its name only when it is whole; return its path."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        {"run": job.run, "swept": dict(job.swept), "error": job.error}
        for job in sweep.jobs
    ]
    path = sweep.folder / SWEEP_FILE
    text = json.dumps({"schema": SWEEP_SCHEMA, "jobs": jobs}, indent=1)
    return write_text(path, text)


def read_sweeps(name: str, runs_root: Path) -> list[Sweep]:
    """Read sweeps, given by name or folder.

    Args:
        name: The ``name`` of their runs, such as that of an experiment, or a path;
            "*" stands for anything.
        runs_root: Where runs lie.

    Raises:
        SettingsError: If there is none, or one cannot be read.
    """
    known = runs_root / SWEEP_FOLDER
    # An absolute name joined to a folder would leave it: `Path.glob` refuses that.
    near = [] if Path(name).is_absolute() else [(known, name)]
    for root, pattern in (*near, _anchored(Path(name))):
        found = sorted(root.glob(f"{pattern}/{SWEEP_FILE}"))
        if found:
            return [_read(path) for path in found]
    there = sorted(path.parent.name for path in known.glob(f"*/{SWEEP_FILE}"))
    raise SettingsError(
        f"There is no sweep {name!r}, neither in {known} nor as a path. Sweeps there: "
        f"{', '.join(there) or 'none'}. `sink-emulator train -m` makes one."
    )


def _anchored(path: Path) -> tuple[Path, str]:
    """Return a folder and a pattern below it, since a pattern must be relative."""
    anchor = Path(path.anchor)
    return anchor, str(path.relative_to(anchor))


def _read(path: Path) -> Sweep:
    try:
        found = json.loads(path.read_text())
        if found["schema"] != SWEEP_SCHEMA:
            raise ValueError(f"schema {found['schema']!r}, not {SWEEP_SCHEMA!r}")
        jobs = tuple(Job(**job) for job in found["jobs"])
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path} is no record of a sweep ({error}). Run the same `sink-emulator "
            f"train -m` again: it writes the record anew and finds finished runs."
        ) from error
    # Runs are found by the record's place, so that a folder of runs can be moved.
    return Sweep(path.parent, path.parents[2], jobs)
