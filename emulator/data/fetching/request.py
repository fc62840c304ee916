"""The request to a service that has a client of its own, as a script to run.

The client reads the user's key from where the service wants it; this software never
sees it. The scripts follow the services' documentation and were never run against them.
"""

import math
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from pprint import pformat

from emulator.carbon.errors import SettingsError
from emulator.data.entry import Entry
from emulator.data.fetching.plan import Choice
from emulator.data.fetching.source import ClientRequest

_CDS = """\
# Request to the Climate Data Store, for the package cdsapi (pip install cdsapi).
# The key belongs into ~/.cdsapirc, and the licence is accepted once on the page
# https://cds.climate.copernicus.eu/datasets/{dataset}
from pathlib import Path

import cdsapi

folder = Path({folder!r})
folder.mkdir(parents=True, exist_ok=True)
request = {request}

client = cdsapi.Client()
# A year that was not over is asked for again when its file is removed.
for year in range({first}, {last} + 1):
    target = folder / ({name!r} + f"_{{year}}.zip")
    if not target.exists():
        part = target.with_name(f".{{target.name}}")
        client.retrieve({dataset!r}, {{**request, "year": [str(year)]}}, str(part))
        part.replace(target)
"""

_COPERNICUS_MARINE = """\
# Request to the Copernicus Marine Service, for the package copernicusmarine (pip
# install copernicusmarine), after `copernicusmarine login` once.
import copernicusmarine

for year in range({first}, {last} + 1):
    copernicusmarine.subset(
        dataset_id={dataset!r},
        variables={variables!r},
        start_datetime=f"{{year}}-01-01",
        end_datetime=f"{{year}}-12-31",
        output_directory={folder!r},{others}
        output_filename={name!r} + f"_{{year}}.nc",
        skip_existing=True,
    )
"""


def script(
    entry: Entry, request: ClientRequest, choice: Choice, data_root: Path, today: date
) -> str:
    """Return a Python script that fetches a product with its service's own client.

    Args:
        entry: The product.
        request: What to ask for.
        choice: Which variables and years.
        data_root: The folder below which entries' roots lie.
        today: The day, where the product is still growing.

    Raises:
        SettingsError: If a variable is asked for that the request does not know, or
            years that the product lacks.
    """
    years = _years(entry, choice, today)
    names = _names(entry, request, choice.variables)
    said: dict[str, list[str]] = {
        "variable": names,
        **{key: list(value) for key, value in request.request.items()},
    }
    others = {key: value for key, value in request.request.items() if value}
    template = _CDS if request.service == "cds" else _COPERNICUS_MARINE
    return template.format(
        dataset=request.dataset,
        folder=str((data_root / Path(entry.root).expanduser()).resolve()),
        name=entry.name,
        request=pformat(said, sort_dicts=False, compact=True, width=76),
        variables=names,
        others="".join(
            f"\n        {key}={_literal(value[0])}," for key, value in others.items()
        ),
        first=years[0],
        last=years[1],
    )


def _years(entry: Entry, choice: Choice, today: date) -> tuple[int, int]:
    first, last = entry.years or (today.year, None)
    last = last or today.year
    if choice.years is None:
        return first, last
    asked = max(first, choice.years[0]), min(last, choice.years[1])
    if asked[0] > asked[1]:
        raise SettingsError(
            f"'{entry.name}' has years from {first} to {last}, but years="
            f"{list(choice.years)} were asked for. Correct them."
        )
    return asked


def _literal(text: str) -> str:
    """Return a value as Python writes it: a number, or text."""
    try:
        number = float(text)
    except ValueError:
        return repr(text)
    return repr(number) if math.isfinite(number) else repr(text)


def _names(entry: Entry, request: ClientRequest, asked: Sequence[str]) -> list[str]:
    unknown = sorted(set(asked) - set(request.variables))
    if unknown:
        raise SettingsError(
            f"'{entry.name}' knows no request for {unknown}, only for "
            f"{sorted(request.variables)}. Correct variables=[...]."
        )
    wanted = asked or list(request.variables)
    return list(dict.fromkeys(n for name in wanted for n in request.variables[name]))
