"""``sink-emulator nightly``: run a night, look at the last one, replay past ones."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from emulator.carbon.errors import SettingsError, UserError
from emulator.cli.output import say, working
from emulator.config import NightlyCommand
from emulator.nightly import journal
from emulator.nightly.night import Places, run
from emulator.nightly.replay import replay


class UnwellError(UserError):
    """A deployment is not well."""


def night(settings: NightlyCommand) -> None:
    """Run a night."""
    with working("Running the night"):
        outcome = run(settings, _places(settings))
    say(f"{outcome.said} ({outcome.seconds:.0f} s)")
    if outcome.changed:
        say(f"sink map: {settings.folder / 'sink.zarr'} (night {outcome.snapshot})")
        say(f"page: {settings.folder / 'page' / 'index.html'}")


def status(settings: NightlyCommand) -> None:
    """Say how the last night ended."""
    found = journal.read_status(settings.folder)
    if not found:
        raise SettingsError(
            f"No night has run in {settings.folder} yet. Run `sink-emulator nightly`, "
            f"or give root=FOLDER."
        )
    say(json.dumps(found, indent=1))


def health(settings: NightlyCommand) -> None:
    """Say whether all is well.

    Raises:
        UnwellError: If it is not.
    """
    found = journal.complaints(
        journal.read_status(settings.folder),
        settings.time(),
        success_hours=settings.health.success_hours,
        month_days=settings.health.month_days,
    )
    if found:
        raise UnwellError(f"{settings.folder} is not well: {'; '.join(found)}.")
    say("well")


def play_again(settings: NightlyCommand, first: str, last: str) -> None:
    """Run past nights as they would have been."""
    days = [_day(name, text) for name, text in (("--from", first), ("--to", last))]
    source = settings.folder
    target = Path(f"{source}-replay")
    with working("Replaying"):
        outcomes = replay(settings, _places(settings), target, days[0], days[1])
    changed = sum(outcome.changed for outcome in outcomes)
    say(f"{len(outcomes)} nights replayed, {changed} with news: {target}")


ACTIONS: Mapping[str, Callable[[NightlyCommand], None]] = {
    "run": night,
    "status": status,
    "health": health,
}
"""What ``nightly ACTION`` does; without a word it runs a night."""


def perform(
    action: str,
    overrides: Sequence[str],
    config_dirs: Sequence[Path],
    days: tuple[str, str],
) -> None:
    """Do what was asked.

    Args:
        action: "run", "status", "health" or "replay".
        overrides: Of the settings.
        config_dirs: A user's own configs.
        days: What ``--from`` and ``--to`` say.
    """
    from emulator.cli import composing

    settings = composing.settings_of("nightly", overrides, config_dirs)
    if action == "replay":
        play_again(settings, *days)
    else:
        ACTIONS[action](settings)


def _places(settings: NightlyCommand) -> Places:
    paths = settings.paths
    return Places(Path(paths.runs), Path(paths.stores), Path(paths.models))


def _day(option: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise SettingsError(
            f"`nightly replay` needs {option} DATE, e.g. {option} 2024-07-01, and got "
            f"{text!r}."
        ) from None
