"""``sink-emulator demo``: the whole path, by the commands that a user would type."""

import os
import shutil
import time
from datetime import datetime
from pathlib import Path

import numpy as np

from emulator.cli import commands, composing
from emulator.cli.descriptions import PROGRAM
from emulator.cli.output import say, steps
from emulator.config import DemoCommand
from emulator.data.catalog import ENVIRONMENT_VARIABLE
from emulator.learning.settings import PathsSettings

DOMAINS = ("land", "ocean")
YEARS_OF_NIGHTS = 15
"""Years before those of the nights that their forcing begins."""
TEACHERS = 10
"""Process models of the simulated Earth, for the progress bar."""
QUICK_BASELINES = ("baselines.rows=20000", "baselines.trees=100")
"""Boosted trees as quick as the demo's networks: one forest for each teacher."""


def walk(settings: DemoCommand) -> Path:
    """Simulate an Earth, then prepare, train, evaluate, predict and run some nights.

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
    nights = _nights(settings, runs, where)
    minutes = (time.monotonic() - started) / 60
    _conclude(runs, sink, nights, minutes)
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


def _nights(settings: DemoCommand, runs: dict[str, Path], where: list[str]) -> Path:
    """Run nights in the year after the teachers end, as a centre offers its weather.

    Returns:
        The folder of the deployment.
    """
    from emulator.cli import nightly
    from emulator.data.testbed import feed

    year = settings.last + 1
    root, offers = (Path(settings.paths.runs) / name for name in ("nightly", "offers"))
    for folder in (root, offers):
        shutil.rmtree(folder, ignore_errors=True)
    say("\n# Nights: weather comes in, the map follows")
    chosen = [f"root={composing.quoted(root)}", f"until={year}-06", *where]
    # Older years would only make a larger map.
    years = f"forcing.years=[{max(settings.first, year - YEARS_OF_NIGHTS)},{year}]"
    for domain, run in runs.items():
        named = [f"forcing=testbed_weather_{domain}", years, *where]
        store = commands.prepare(composing.settings_of("prepare", named))
        chosen += [
            f"{domain}={composing.quoted(run)}",
            f"{domain}_forcing={composing.quoted(store)}",
            f"{domain}_source.url={composing.quoted(offers / domain)}",
        ]
    for title, now in (
        ("the first night, on what is known up to June", datetime(year, 7, 2, 3)),
        ("a new month, preliminary, and days of the next", datetime(year, 8, 8, 3)),
        ("a revision: July is final", datetime(year, 10, 8, 3)),
        ("a night without news", datetime(year, 10, 8, 4)),
    ):
        say(f"\n{now:%Y-%m-%d %H:%M}: {title}")
        for domain in runs:
            feed.publish(
                Path(settings.paths.data) / "testbed",
                offers,
                domain=domain,
                as_of=now.date(),
                first=np.datetime64(f"{year}-07", "M"),
            )
        night = [*chosen, f"now={now.isoformat()}"]
        nightly.night(composing.settings_of("nightly", night))
    return root


def _overrides(paths: PathsSettings) -> list[str]:
    pairs = vars(paths).items()
    return [f"paths.{name}={composing.quoted(value)}" for name, value in pairs]


def _conclude(runs: dict[str, Path], sink: Path, nights: Path, minutes: float) -> None:
    """Say where everything is and what to do next."""
    say(f"\nDone in {minutes:.0f} minutes. Simulated testbed, not TRENDY.")
    say(f"  sink map      {sink}")
    say(f"                {sink.with_suffix('.nc')} for ncview, Panoply, QGIS, CDO")
    say(f"  picture       {sink.with_suffix('.png')}")
    say(f"  page          {nights / 'page' / 'index.html'}, of the last night")
    for domain, run in runs.items():
        say(f"  {domain:5s} scores  {run / 'scorecard.md'}, figures beside it")
    say("Next:")
    say(f"  another network    {PROGRAM} train experiment=demo_land model=pointwise")
    say("                     paths=demo")
    say("  your own ensemble  README.md, 'Bring your own ensemble'")
