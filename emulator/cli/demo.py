"""``sink-emulator demo``: the whole path, by the commands that a user would type."""

import os
import time
from pathlib import Path

from emulator.cli import commands, composing
from emulator.cli.descriptions import PROGRAM
from emulator.cli.output import say, steps
from emulator.config import DemoCommand
from emulator.data.catalog import ENVIRONMENT_VARIABLE
from emulator.learning.settings import PathsSettings

DOMAINS = ("land", "ocean")
TEACHERS = 10
"""Process models of the simulated Earth, for the progress bar."""
QUICK_BASELINES = ("baselines.rows=20000", "baselines.trees=100")
"""Boosted trees as quick as the demo's networks: one forest for each teacher."""


def walk(settings: DemoCommand) -> Path:
    """Simulate an Earth, then prepare, train, evaluate and predict.

    What is there from an earlier demo with the same settings is used again.

    Returns:
        The sink map.
    """
    started = time.monotonic()
    say("# A small Earth, simulated: no real model, no real weather")
    _simulate(settings)
    where = _overrides(settings.paths)
    runs = {}
    for domain in DOMAINS:
        say(f"\n# The {domain}: prepare, train, evaluate")
        chosen = [f"experiment=demo_{domain}", *where]
        runs[domain] = commands.train(composing.settings_of("train", chosen))
        chosen = [f"run={composing.quoted(runs[domain])}", *QUICK_BASELINES, *where]
        commands.evaluate(composing.settings_of("evaluate", chosen))
    say("\n# The sink of both, as a map")
    chosen = [f"{domain}={composing.quoted(run)}" for domain, run in runs.items()]
    out = composing.quoted(Path(settings.paths.runs) / "sink.zarr")
    chosen += [f"out={out}", "overwrite=true", *where]
    sink = commands.predict(composing.settings_of("predict", chosen))
    minutes = (time.monotonic() - started) / 60
    _conclude(runs, sink, minutes)
    return sink


def _simulate(settings: DemoCommand) -> None:
    """Write the files of the simulated Earth, unless they are there."""
    from emulator.data.testbed import generate

    with steps("Simulating", TEACHERS) as advance:
        folder = generate(
            Path(settings.paths.data),
            grid_step=settings.grid_step,
            first=settings.first,
            last=settings.last,
            seed=settings.seed,
            progress=advance,
        )
    # Its own catalog, since the package's has the years of the default settings.
    known = os.environ.get(ENVIRONMENT_VARIABLE, "")
    own = str(folder.resolve() / "catalog")
    os.environ[ENVIRONMENT_VARIABLE] = os.pathsep.join(filter(None, (own, known)))
    say(f"files: {folder}")


def _overrides(paths: PathsSettings) -> list[str]:
    pairs = vars(paths).items()
    return [f"paths.{name}={composing.quoted(value)}" for name, value in pairs]


def _conclude(runs: dict[str, Path], sink: Path, minutes: float) -> None:
    """Say where everything is and what to do next."""
    say(f"\nDone in {minutes:.0f} minutes. Simulated testbed, not TRENDY.")
    say(f"  sink map      {sink}")
    say(f"                {sink.with_suffix('.nc')} for ncview, Panoply, QGIS, CDO")
    say(f"  picture       {sink.with_suffix('.png')}")
    for domain, run in runs.items():
        say(f"  {domain:5s} scores  {run / 'scorecard.md'}, figures beside it")
    say("Next:")
    say(f"  another network    {PROGRAM} train experiment=demo_land model=pointwise")
    say("                     paths=demo")
    say("  your own ensemble  README.md, 'Bring your own ensemble'")
