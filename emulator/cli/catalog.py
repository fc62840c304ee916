"""``catalog list|show NAME|check NAME ...``: what can be used, complete and sane."""

import json
import os
import textwrap
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from emulator.carbon.errors import CatalogError, SettingsError
from emulator.cli.output import say, steps
from emulator.data import catalog as entries

DATA_KEY = "paths.data"
WORKBOOK_KEY = "workbook"

JSON_SCHEMA = "catalog-check/1"
"""Of what ``check --json`` prints: raised when a key is removed or changes meaning."""


def run(
    action: str, names: Sequence[str], overrides: Sequence[str], *, as_json: bool
) -> None:
    """List, show or check.

    Args:
        action: ``list``, ``show`` or ``check``.
        names: The entry for ``show``, one or more for ``check``.
        overrides: ``paths.data=FOLDER``, ``workbook=FILE`` or nothing.
        as_json: Whether ``check`` prints JSON instead of text.
    """
    said = _settings(overrides)
    if action == "list":
        _list()
    elif action == "show":
        _show(names[0])
    else:
        _check(names, Path(said[DATA_KEY]), said[WORKBOOK_KEY], as_json=as_json)


def _settings(overrides: Sequence[str]) -> dict[str, str]:
    """Return the settings: the folder of the files, and what to compare with."""
    said = {DATA_KEY: os.environ.get("SINK_DATA", "data"), WORKBOOK_KEY: ""}
    for override in overrides:
        key, _, value = override.partition("=")
        if key not in said:
            raise SettingsError(
                f"'{key}' is no setting of `catalog`; it has {DATA_KEY}=FOLDER and, "
                f"for 'check', {WORKBOOK_KEY}=FILE."
            )
        said[key] = value
    return said


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
    is_many = entries.members(name) != [name]
    entry = None if is_many else entries.read_entry(path, model)
    if entry and model:
        say(f"# {path}, model '{model}' with the keys that all share")
        said = yaml.safe_dump(entry.to_dict(), sort_keys=False, allow_unicode=True)
    else:
        said = path.read_text(encoding="utf-8")
        say(f"# {path}")
    say(said.rstrip())


def _check(
    names: Sequence[str], data_root: Path, workbook: str, *, as_json: bool
) -> None:
    """Check entries and all models of files of many; tell all, then fail if one does.

    A model without any file is what one did not get, unless it was asked for by its
    own name.
    """
    # These read files: needed here only.
    from emulator.data.budget_column import workbook_for
    from emulator.data.product_check import check
    from emulator.data.readers import workbook as workbooks
    from emulator.data.report_text import summary, text

    read = cache(workbooks.read)
    given = Path(workbook) if workbook else None
    if given:
        read(given)  # it was asked for, whether there is a teacher to compare or not
    every = dict.fromkeys(one for name in names for one in entries.members(name))
    asked = {one: one in names for one in every}
    reports = []
    with steps(f"Reading below {data_root}:", len(asked)) as begin:
        for name in asked:
            begin(name)
            entry, book = entries.load(name), None
            if entry.kind == "teacher":
                path = given or workbook_for(entry, data_root)
                book = read(path) if path else None
            reports.append(check(entry, data_root, book))
    present = [
        report for report in reports if asked[report.name] or not report.is_absent
    ]
    absent = [name for name in asked if name not in {report.name for report in present}]
    failed = [report.name for report in present if not report.is_usable]
    if as_json:
        said: dict[str, Any] = {
            "schema": JSON_SCHEMA,
            "data": str(data_root),
            "workbook": workbook or None,
            "is_usable": bool(present) and not failed,
            "failed": failed,
            "absent": absent,
            "products": [report.to_dict() for report in present],
        }
        say(json.dumps(said, indent=2, allow_nan=False))
    else:
        for report in present:
            say(text(report) + "\n" * (len(asked) > 1))
        if len(asked) > 1:
            say(summary(reports))
    if not present:
        raise CatalogError(
            f"Not one file of {', '.join(names)} is below {data_root}. Put the data "
            f"there, or set {DATA_KEY} (SINK_DATA) to where they are."
        )
    if failed:
        count = sum(len(report.problems) for report in present)
        named = ", ".join(f"'{name}'" for name in failed)
        raise CatalogError(
            f"{named} cannot be used yet: {count} problem{'s' * (count > 1)} "
            f"stand{'s' * (count == 1)} above, each with what to do."
        )
