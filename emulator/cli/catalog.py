"""``catalog list|show NAME|check NAME``: what can be used, complete and sane."""

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path

import yaml

from emulator.carbon.errors import CatalogError, SettingsError
from emulator.cli.output import say, working
from emulator.data import catalog as entries

DATA_KEY = "paths.data"


def run(action: str, names: Sequence[str], overrides: Sequence[str]) -> None:
    """List, show or check.

    Args:
        action: ``list``, ``show`` or ``check``.
        names: The entry, for ``show`` and ``check``.
        overrides: ``paths.data=FOLDER`` or nothing.
    """
    data_root = _data_root(overrides)
    if action == "list":
        _list()
    elif action == "show":
        _show(names[0])
    else:
        _check(names[0], data_root)


def _data_root(overrides: Sequence[str]) -> Path:
    """Return the folder of the files; the catalog has no other setting."""
    folder = os.environ.get("SINK_DATA", "data")
    for override in overrides:
        key, _, value = override.partition("=")
        if key != DATA_KEY:
            raise SettingsError(
                f"'{key}' is no setting of `catalog`; it has only {DATA_KEY}=FOLDER."
            )
        folder = value
    return Path(folder)


def _list() -> None:
    found = [entries.load(name) for name in entries.names()]
    width = max(len(entry.name) for entry in found)
    for entry in found:
        years = "-".join(str(year or "") for year in entry.years or ())
        what = f"{entry.kind:8s} {entry.domain:6s} {years:10s}"
        about = textwrap.shorten(entry.description, 72, placeholder=" ...")
        say(f"{entry.name:{width}s}  {what} {about}")


def _show(name: str) -> None:
    path, model = entries.find(name)
    entry = entries.read_entry(path, model)
    if model:
        say(f"# {path}, model '{model}' with the keys that all share")
        said = yaml.safe_dump(entry.to_dict(), sort_keys=False, allow_unicode=True)
    else:
        said = path.read_text(encoding="utf-8")
        say(f"# {path}")
    say(said.rstrip())


def _check(name: str, data_root: Path) -> None:
    from emulator.data.report import check  # reads files: needed here only

    entry = entries.load(name)
    with working(f"Reading {entry.title} below {data_root}"):
        report = check(entry, data_root)
    say(report.text())
    if not report.is_usable:
        raise CatalogError(
            f"'{name}' cannot be used yet: {len(report.problems)} problems stand "
            f"above, each with what to do."
        )
