"""What comes in at night: archives of forcing, begun and brought up to date."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np

from emulator.carbon.errors import SettingsError, SourceError
from emulator.data import arrivals, feeding, forcing_archive
from emulator.data.mapping.store import ForcingMap, open_map, require_same_map
from emulator.data.stores import FORCING_SCHEMA, open_store
from emulator.nightly.inputs import find_store
from emulator.nightly.journal import Journal
from emulator.nightly.night_settings import NightSettings, NightSource

FORCING = "forcing"
DOWNLOADS = "downloads"
"""Names in the folder of a deployment."""

Collect = Callable[[str, Path, datetime], object]
"""Brings a domain's archive of forcing up to a time."""


def archive_of(root: Path, domain: str) -> Path:
    """Return the archive of a domain's forcing in a deployment."""
    return root / FORCING / f"{domain}.icechunk"


def from_sources(settings: NightSettings) -> Collect:
    """Return how the sources of the settings are asked."""

    def collect(domain: str, into: Path, now: datetime) -> object:
        source = settings.source_of(domain)
        downloads = into.parents[1] / DOWNLOADS / domain
        by = _map_of(source)
        if source.products:
            products = list(source.products.values())
            table = Path(source.co2_table)
            return feeding.collect(
                products, table, into, downloads, now=now, mapped_by=by
            )
        if not source.url:
            return None
        return arrivals.collect(source, into, downloads, now=now, mapped_by=by)

    return collect


def gather(
    settings: NightSettings,
    stores_root: Path,
    collect: Collect,
    now: datetime,
    journal: Journal,
) -> list[str]:
    """Bring all forcing up to the night; return what failed.

    A source that is down keeps no other from being used.

    Args:
        settings: Of the night.
        stores_root: Folder in which forcing named without a path lies.
        collect: Brings one domain up.
        now: The time of the night, UTC.
        journal: Its log.

    Raises:
        SettingsError: If there is no archive, and no forcing to begin one with.
    """
    failed = []
    for domain in settings.runs:
        into = archive_of(settings.folder, domain)
        if not into.exists():
            name = _begin(settings, domain, into, stores_root, now)
            journal.say("begun forcing", domain=domain, store=name)
        try:
            collect(domain, into, now)
        except SourceError as error:
            failed.append(f"{domain}: {error}")
            journal.say("source failed", domain=domain, said=str(error))
        else:
            journal.say("collected", domain=domain)
    return failed


def _begin(
    settings: NightSettings, domain: str, into: Path, stores_root: Path, now: datetime
) -> str:
    """Begin a domain's archive with prepared forcing; return its name."""
    name = settings.forcing_of(domain)
    if not name:
        raise SettingsError(
            f"{into} is not there, and the {domain} needs forcing to begin with: give "
            f"{domain}_forcing=NAME, which `sink-emulator prepare forcing=NAME` made, "
            f"or put back a backup of the archive."
        )
    last = np.datetime64(settings.until, "M") if settings.until else None
    store = find_store(name, domain, stores_root)
    source = settings.source_of(domain)
    if source.url or source.products:
        # Refused now, it leaves no archive behind that nothing can be added to.
        require_same_map(
            open_store(store, FORCING_SCHEMA).attrs, _map_of(source), store
        )
    forcing_archive.seed(into, store, last=last, now=now)
    return name


def _map_of(source: NightSource) -> ForcingMap | None:
    """Return the map by which a source is mapped; None if it says none."""
    return open_map(Path(source.mapped_by)) if source.mapped_by else None
