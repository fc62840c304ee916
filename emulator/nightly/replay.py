"""Past nights again, as they would have been: with other networks, settings or code.

The archives of forcing know the states that they were in, and when: those of the
nights and vintages that can still be opened. A replay takes a copy of them back to the
first of the nights asked for, and runs each night that brought something on the forcing
that it had, into a deployment of its own.
"""

import os
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from emulator.carbon.errors import SettingsError
from emulator.data import forcing_states, repository, stores
from emulator.nightly.incoming import archive_of
from emulator.nightly.journal import Outcome
from emulator.nightly.night import Places, run
from emulator.nightly.night_settings import NightSettings


def replay(
    settings: NightSettings,
    places: Places,
    target: Path,
    first: datetime,
    last: datetime,
) -> list[Outcome]:
    """Run the nights again that brought something.

    Args:
        settings: Of the deployment whose nights they were; its sources are not asked.
        places: Where runs, stores and champions lie.
        target: Folder of the new deployment; must not exist.
        first: First day, UTC.
        last: Last day, UTC.

    Returns:
        How each of them ended.

    Raises:
        SettingsError: If ``target`` exists, or no night of these days is known.
        UserError: As ``night.run``.
    """
    if target.exists():
        raise SettingsError(
            f"{target} exists already, and a replay begins with nothing. Remove it, or "
            f"move it away."
        )
    sources = {one: archive_of(settings.folder, one) for one in settings.runs}
    known = {
        domain: forcing_states.states(archive) for domain, archive in sources.items()
    }
    begin = max(each[0].arrived for each in known.values())
    nights = sorted(
        {
            state.arrived
            for each in known.values()
            for state in each
            if max(first, begin) <= state.arrived < last + timedelta(days=1)
        }
    )
    if not nights:
        ends = max(each[-1].arrived for each in known.values())
        raise SettingsError(
            f"The archives of {settings.folder} know of no night from {first:%Y-%m-%d} "
            f"to {last:%Y-%m-%d}, only of {begin:%Y-%m-%d} to {ends:%Y-%m-%d}. Choose "
            f"days among these."
        )
    for domain, archive in sources.items():
        copy = archive_of(target, domain)
        copy.parent.mkdir(parents=True, exist_ok=True)
        # Held, so that no night removes what is being copied.
        with (
            repository.writing(archive),
            stores.staged(copy, setting="root") as stage,
        ):
            # Files of a repository never change: links are copies enough.
            shutil.copytree(archive, stage, copy_function=os.link, dirs_exist_ok=True)
        # While a night is replayed, no branch leads to later ones.
        forcing_states.keep(copy, [state.snapshot for state in known[domain]])

    def bring(domain: str, archive: Path, now: datetime) -> None:
        past = [state for state in known[domain] if state.arrived <= now]
        _rewind(archive, past[-1].snapshot)

    # Whoever reads the deployment elsewhere shall see nothing of it.
    aside = replace(settings, root=str(target), archive_url="", mirror_url="")
    return [
        run(replace(aside, now=night.isoformat()), places, collect=bring)
        for night in nights
    ]


def _rewind(archive: Path, snapshot: str) -> None:
    """Let an archive be as it was once."""
    opened = repository.open_repository(archive)
    if opened.lookup_branch(repository.BRANCH) != snapshot:
        opened.reset_branch(repository.BRANCH, snapshot)
