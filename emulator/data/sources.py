"""The catalog entries behind a store: which, their hash, and where it says so."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from emulator.carbon.errors import CatalogError, StoreError
from emulator.data import catalog, readers
from emulator.data.entry import Entry
from emulator.data.inputs import FRACTION
from emulator.data.settings import DataSettings, ForcingSettings
from emulator.data.stores import code_version, open_store

Settings = DataSettings | ForcingSettings
Dirs = Sequence[str | Path] | None

HASHED = ("trendy", "gobm", "gridded", "table")
"""Readers that take the checksum of each file they read. Of products in thousands of
files the size alone tells whether they have changed."""

HASH_DIGITS = 8
"""With a hundred stores of one name, two share a hash once in a million."""


@dataclass(frozen=True, eq=False)
class Sources:
    """The catalog entries behind a store, by the part they play.

    Attributes:
        teachers: The teachers.
        forcing: The forcing, in the order in which variables are looked for.
        static: The static fields.
        co2: The tables of CO2, by name.
    """

    teachers: list[Entry]
    forcing: list[Entry]
    static: list[Entry]
    co2: dict[str, Entry]

    def by_name(self) -> dict[str, Entry]:
        """Return all entries by name."""
        entries = [*self.teachers, *self.forcing, *self.static, *self.co2.values()]
        return {entry.name: entry for entry in entries}


def training_sources(settings: DataSettings, dirs: Dirs) -> Sources:
    """Load and check the entries of a training store.

    Raises:
        CatalogError: If one is missing, wrong or of another kind, if two teachers
            have one label, or if no teacher has one of the simulations.
    """
    # All that is missing at once: who brings an ensemble writes many entries.
    named = [*settings.teachers, *settings.forcing, *settings.static]
    if missing := sorted(set(named) - set(catalog.names(dirs))):
        raise CatalogError(
            f"'{settings.name}' needs catalog entries that are not there: "
            f"{', '.join(missing)}. Write them in a folder of your own, with "
            f"--catalog-dir FOLDER; docs/catalog.md says how, and `sink-emulator "
            f"catalog list` shows what is there."
        )
    teachers = [_load(name, "teacher", settings, dirs) for name in settings.teachers]
    titles = [entry.title for entry in teachers]
    if len(set(titles)) < len(titles):
        raise CatalogError(
            f"The teachers {settings.teachers} are labelled {titles}, but each needs a "
            f"label of its own. Change 'label' in a catalog entry."
        )
    tables: set[str] = set()
    for name in settings.simulations:
        having = [entry for entry in teachers if name in entry.simulations]
        if not having:
            offered = {entry.name: list(entry.simulations) for entry in teachers}
            raise CatalogError(
                f"No teacher has a simulation '{name}', they have {offered}. Add it to "
                f"a catalog entry with the weather and the CO2 that it saw, or leave "
                f"it out of data.simulations."
            )
        tables |= {entry.simulations[name].co2.table or "" for entry in having}
    return Sources(
        teachers=teachers,
        forcing=[_load(name, "forcing", settings, dirs) for name in settings.forcing],
        static=[_load(name, "static", settings, dirs) for name in settings.static],
        co2={t: _load(t, "table", settings, dirs) for t in sorted(tables) if t},
    )


def forcing_sources(settings: ForcingSettings, dirs: Dirs) -> Sources:
    """Load and check the entries of a forcing store.

    Raises:
        CatalogError: If one is missing, wrong or of another kind.
    """
    return Sources(
        teachers=[],
        forcing=[_load(name, "forcing", settings, dirs) for name in settings.forcing],
        static=[_load(name, "static", settings, dirs) for name in settings.static],
        co2={settings.co2: _load(settings.co2, "table", settings, dirs)},
    )


def settings_hash(settings: Settings, sources: Sources) -> str:
    """Return the hash of the settings and of all that the catalog says.

    Where files can be had is left aside: no number depends on it.
    """
    entries = {name: replace(e, fetch=None) for name, e in sources.by_name().items()}
    said = {
        "settings": asdict(settings),
        "catalog": {name: entry.to_dict() for name, entry in entries.items()},
    }
    text = json.dumps(said, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]


def root_attributes(
    settings: Settings,
    schema: str,
    sources: Sources,
    data_root: Path,
) -> dict[str, str]:
    """Return the attributes of the root of a store, as far as known before reading."""
    entries = sources.by_name()
    evidence = [e.evidence for e in [*sources.teachers, *sources.forcing] if e.evidence]
    own_state = {
        variable: entry.own_state_of
        for entry in sources.forcing
        for variable in settings.forcing_variables
        if entry.own_state_of and variable in entry.variables
    }
    version = code_version()
    files = _files_behind(settings, sources, data_root)
    sizes = {name: path.stat().st_size for name, (path, _) in files.items()}
    checks = {
        name: (path.stat().st_mtime_ns, readers.checksum(path))
        for name, (path, reader) in files.items()
        if reader in HASHED
    }
    return {
        "Conventions": "CF-1.11",
        "title": settings.name,
        "schema": schema,
        "domain": settings.domain,
        "evidence": "; ".join(dict.fromkeys(evidence)),
        "settings": json.dumps(asdict(settings)),
        "settings_hash": settings_hash(settings, sources),
        "code_version": version,
        "history": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}: sink-emulator {version}",
        "catalog": json.dumps({n: entry.to_dict() for n, entry in entries.items()}),
        "source_bytes": json.dumps(sizes),
        "source_checks": json.dumps(checks),
        "source_calendar": "{}",
        "gates_overridden": "[]",
        # Inputs that are the teacher's own answers: skill with them is an upper bound.
        "own_state": json.dumps(own_state),
    }


def require_unchanged(
    path: Path, schema: str, settings: Settings, sources: Sources, data_root: Path
) -> None:
    """Refuse a store that was made from files which have changed since.

    The files need not be there any more.

    Raises:
        StoreError: If the store is of another schema, or a file has another size than
            when the store was made, or another date and another checksum.
    """
    attrs = open_store(path, schema).attrs
    sizes = json.loads(attrs["source_bytes"])
    checks = json.loads(attrs.get("source_checks", "{}"))
    changed = [
        name
        for name, (file, _) in _files_behind(settings, sources, data_root).items()
        if name in sizes
        and _is_other(file, sizes[name], *checks.get(name, (None, None)))
    ]
    if changed:
        raise StoreError(
            f"{path} was made from other files: {len(changed)} have changed since, "
            f"e.g. {changed[0]}. Remove the store to make it again from these files, "
            f"or put the old files back."
        )


def _load(name: str, kind: str, settings: Settings, dirs: Dirs) -> Entry:
    entry = catalog.load(name, dirs)
    if entry.kind != kind or entry.domain not in (settings.domain, "both"):
        raise CatalogError(
            f"Catalog entry '{name}' is a {entry.kind} of the {entry.domain}, but "
            f"'{settings.name}' needs a {kind} of the {settings.domain} there. Name "
            f"another entry."
        )
    return entry


def _is_other(
    file: Path, size: int, modified: int | None, checksum: str | None
) -> bool:
    """Return whether a file is not what it was; it is read if its date is another."""
    status = file.stat()
    if status.st_size != size or checksum is None or status.st_mtime_ns == modified:
        return status.st_size != size
    return readers.checksum(file) != checksum


def _files_behind(
    settings: Settings, sources: Sources, data_root: Path
) -> dict[str, tuple[Path, str]]:
    """Return every file that the store needs and its reader, where it is there."""
    used = {*settings.forcing_variables, *settings.static_variables, "co2"}
    used |= {FRACTION[settings.domain]}
    simulations: list[str | None] = [None]
    if isinstance(settings, DataSettings):
        used |= set(settings.fluxes)
        simulations += settings.simulations
    found = []
    for entry in sources.by_name().values():
        for variable in used & set(entry.variables):
            for simulation in simulations:
                paths = _files(entry, variable, simulation, data_root)
                found += [(path, entry.reader) for path in paths]
    for teacher in sources.teachers:
        with suppress(CatalogError):  # not there, like files above
            path = readers.fraction_file(teacher, data_root)
            found += [] if path is None else [(path, teacher.reader)]
    named = {
        str(path.relative_to(data_root) if path.is_relative_to(data_root) else path): (
            path,
            reader,
        )
        for path, reader in found
    }
    return dict(sorted(named.items()))


def _files(
    entry: Entry, variable: str, simulation: str | None, data_root: Path
) -> list[Path]:
    if (simulation is None) == bool(entry.simulations):
        return []
    try:
        return readers.find_files(entry, variable, simulation, data_root)
    except CatalogError:
        return []
