"""The run that nights use, and the ones before it: ``models/<domain>/current``.

Each promoted run is a folder of its own, numbered in the order of promotion, with a
copy of all that inference needs: the run it came from may be removed. ``current`` is a
link to one of them and is replaced by one rename, so that whoever looks sees the old
champion or the new one. Each folder says whom it followed, and rolling back goes there.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emulator.carbon.errors import SettingsError
from emulator.data.stores import staged
from emulator.data.writing import write_text

CURRENT = "current"
RECORD_FILE = "promotion.json"
WITHDRAWN_FILE = "withdrawn.json"

_NUMBERED = re.compile(r"(\d{4,})-(.+)")


def current(domain: str, models_root: Path) -> Path | None:
    """Return the folder of the present champion; None if there never was one.

    Args:
        domain: "land" or "ocean".
        models_root: Folder of the promoted runs.

    Raises:
        SettingsError: If ``current`` leads nowhere.
    """
    link = models_root / domain / CURRENT
    if link.is_dir():
        # Resolved, since the link may move while its models are being used.
        return link.resolve()
    if link.is_symlink():
        raise SettingsError(
            f"{link} leads to {link.readlink()}, which is not there. Put that folder "
            f"back, or remove the link and promote a run."
        )
    return None


def find_champion(domain: str, models_root: Path) -> Path:
    """Return the folder of the present champion.

    Raises:
        SettingsError: If there is none.
    """
    found = current(domain, models_root)
    if found is None:
        raise SettingsError(
            f"The {domain} has no champion: {models_root / domain / CURRENT} is not "
            f"there. Choose one with `sink-emulator promote run=RUN`, or give the path "
            f"of a run."
        )
    return found


def find_run(name: str, runs_root: Path) -> Path:
    """Return the folder of a run, given as a path or by its name.

    Raises:
        SettingsError: If there is no such folder.
    """
    for path in (Path(name), runs_root / name):
        if path.is_dir():
            return path
    raise SettingsError(
        f"There is no run {name!r}, neither as a path nor in {runs_root}. Give the "
        f"path that `sink-emulator train` printed."
    )


@contextmanager
def crowned(run: str, domain: str, models_root: Path) -> Iterator[Path]:
    """Give a hidden folder to fill, which becomes the champion at the end.

    Args:
        run: Name of the run; without the number, if it was promoted before.
        domain: "land" or "ocean".
        models_root: Folder of the promoted runs.

    Yields:
        The folder; it must hold the record of the promotion when the block ends.

    Raises:
        StoreError: If the folder cannot be written; the champion stays as it was.
    """
    folder = models_root / domain
    matches = [_NUMBERED.fullmatch(path.name) for path in folder.glob("*")]
    number = 1 + max((int(match[1]) for match in matches if match), default=0)
    path = folder / f"{number:04d}-{bare_name(run)}"
    with staged(path, setting="paths.models") as stage:
        yield stage
    _point(folder / CURRENT, path.name)


def bare_name(run: str) -> str:
    """Return the name of a run without the number that its promotion gave it."""
    match = _NUMBERED.fullmatch(run)
    return match[2] if match else run


def predecessor(model: Path) -> str | None:
    """Return the name of the folder that was champion before this one."""
    previous: str | None = _record(model)["previous"]
    return previous


def roll_back(domain: str, models_root: Path, *, reason: str = "") -> Path:
    """Make the previous champion the present one again.

    The one that is left keeps its folder, and a note of when and why.

    Args:
        domain: "land" or "ocean".
        models_root: Folder of the promoted runs.
        reason: Why, for the note.

    Returns:
        The folder of the champion that is back.

    Raises:
        SettingsError: If there is no champion, none before it, or its folder is gone.
    """
    now = find_champion(domain, models_root)
    previous = predecessor(now)
    if previous is None:
        raise SettingsError(
            f"{now.name} is the first champion of the {domain}: there is none to go "
            f"back to. Promote another run instead."
        )
    back = now.parent / previous
    if not back.is_dir():
        raise SettingsError(
            f"The champion before {now.name} was {previous}, but {back} is not there. "
            f"Put it back, or promote another run."
        )
    _point(models_root / domain / CURRENT, previous)
    note = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "champion": previous,
        "reason": reason,
    }
    write_text(now / WITHDRAWN_FILE, json.dumps(note, indent=1) + "\n")
    return back


def _record(model: Path) -> dict[str, Any]:
    path = model / RECORD_FILE
    if not path.is_file():
        raise SettingsError(
            f"{path} is not there, so that nobody knows which champion was before. "
            f"Promote a run instead: `sink-emulator promote run=RUN`."
        )
    record: dict[str, Any] = json.loads(path.read_text())
    return record


def _point(link: Path, name: str) -> None:
    """Let ``link`` lead to a folder beside it, by one rename."""
    fresh = link.with_name(f".{link.name}-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(name)
    fresh.replace(link)
