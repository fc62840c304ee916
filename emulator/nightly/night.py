"""One night: new forcing in, a new sink map out, or everything as it was.

What was done is found in the archives, not in a memory of the last run: whatever the
forcing archive holds and the map does not is done now. A night that is killed leaves
the last complete one, and the next takes up what it began. The steps, in order:

1. fetch what each source has that is new, and archive it;
2. predict the months whose forcing changed and those that remember them;
3. assemble the map from the first year that changes on, with budgets and intervals;
4. hold the new map against its gates and against last night's;
5. commit it in one transaction, then export plain copies, tables and page.
"""

import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import (
    CheckpointError,
    SanityError,
    SettingsError,
    SourceError,
    UserError,
)
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, as_months
from emulator.data import forcing_archive, repository, stores
from emulator.learning.inference import Emulator, open_run
from emulator.nightly import archive, bucket, mirror, retention, sanity
from emulator.nightly.extras import extras
from emulator.nightly.incoming import (
    DOWNLOADS,
    FORCING,
    Collect,
    archive_of,
    from_sources,
    gather,
)
from emulator.nightly.journal import Journal, Outcome, conclude
from emulator.nightly.lock import alone
from emulator.nightly.months import series_of
from emulator.nightly.night_settings import NightSettings
from emulator.nightly.places import ARCHIVE
from emulator.nightly.predictions import Task, refreshed, task, window_start
from emulator.nightly.sinkmap import assemble, find_run, with_intervals
from emulator.nightly.tables import tables

log = logging.getLogger(__name__)

Months = NDArray[np.datetime64]

EXIT_SOURCE = 3
EXIT_SANITY = 4


@dataclass(frozen=True)
class Places:
    """Where runs, stores and champions lie.

    Attributes:
        runs: Folder in which runs named without a path lie.
        stores: Folder in which forcing named without a path lies.
        models: Folder of the champions.
    """

    runs: Path = Path("runs")
    stores: Path = Path("stores")
    models: Path = Path("models")


@dataclass(frozen=True, eq=False)
class _Work:
    """What the steps of a night share.

    Attributes:
        settings: Of the night.
        places: Where runs and stores lie.
        now: The time it runs as of, UTC.
        collect: Brings the forcing up to it.
        journal: Its log.
    """

    settings: NightSettings
    places: Places
    now: datetime
    collect: Collect
    journal: Journal

    @property
    def root(self) -> Path:
        return self.settings.folder

    @property
    def repo(self) -> archive.Location:
        return self.settings.repo


def exit_code(error: BaseException) -> int:
    """Return the exit code of a night that failed: 3, 4, or 1 for all else."""
    if isinstance(error, SourceError):
        return EXIT_SOURCE
    return EXIT_SANITY if isinstance(error, SanityError) else 1


def run(
    settings: NightSettings,
    places: Places | None = None,
    *,
    collect: Collect | None = None,
) -> Outcome:
    """Run a night; a second one at once finds nothing new.

    Args:
        settings: What to work on.
        places: Where runs, stores and champions lie; the current folder's when None.
        collect: Brings the forcing up to the night; None to ask the sources of the
            settings.

    Returns:
        How it ended: with a new map, or with nothing new.

    Raises:
        LockError: If another night runs.
        SourceError: If a source is unavailable or sent what cannot be used. What others
            sent is published all the same, and otherwise nothing changes.
        SanityError: If the new map cannot be right; the old one stays.
        UserError: If anything else is wrong that a user can mend; the old map stays.
    """
    if collect is None:
        collect = from_sources(settings)
    places = places or Places()
    if settings.dry_run:
        with _shadow(settings.folder) as copy:
            aside = replace(settings, root=str(copy))
            return _run(aside, places, collect)
    with alone(settings.folder):
        return _run(settings, places, collect)


def _run(settings: NightSettings, places: Places, collect: Collect) -> Outcome:
    """Run a night that is alone, and write down how it ended."""
    begun, now = time.monotonic(), settings.time()
    journal = Journal(settings.folder, now.isoformat(timespec="seconds"))
    journal.say("begun", pid=os.getpid())
    work = _Work(settings, places, now, collect, journal)
    outcome = Outcome(exit_code=0, said="", night=now, seconds=0.0)
    try:
        outcome, failed = _night(work)
        if settings.mirror_url and not settings.dry_run:
            # Every night, since what an earlier one could not bring there is brought.
            _upload(work)
        if failed:
            raise SourceError(f"{'; '.join(failed)} (otherwise: {outcome.said})")
    except Exception as error:
        said = str(error) if isinstance(error, UserError) else repr(error)
        code = exit_code(error)
        journal.say("failed", exit_code=code, said=said)
        # What was published before it failed is news all the same.
        seconds = time.monotonic() - begun
        outcome = replace(outcome, exit_code=code, said=said, seconds=seconds)
        _conclude(settings.folder, outcome)
        raise
    outcome = replace(outcome, seconds=time.monotonic() - begun)
    journal.say("done", said=outcome.said, seconds=round(outcome.seconds, 1))
    _conclude(settings.folder, outcome)
    return outcome


def _conclude(root: Path, outcome: Outcome) -> None:
    """Write the status; a full disk must not hide how the night ended."""
    try:
        conclude(root, outcome)
    except OSError as error:
        log.warning("The status of %s cannot be written: %s", root, error.strerror)


def _night(work: _Work) -> tuple[Outcome, list[str]]:
    """Do the steps of a night; return what came of it, and which sources failed."""
    settings = work.settings
    settings.require_one_archive()
    folders = {
        domain: find_run(domain, name, work.places.runs, work.places.models)
        for domain, name in settings.runs.items()
    }
    emulators = {domain: _open(domain, path) for domain, path in folders.items()}
    beside = extras(work.repo, work.root, folders)
    begun = _is_begun(work.repo)
    if not settings.dry_run:
        # If a night was killed before it could: first names, which an export tells.
        if begun:
            _name_vintages(work.repo)
        mirror.repair(work.repo, work.root, keep=settings.keep_exports, extras=beside)

    failed = gather(settings, work.places.stores, work.collect, work.now, work.journal)
    tasks: dict[str, Task] = {}
    for domain, emulator in emulators.items():
        forcing = forcing_archive.read(archive_of(work.root, domain))
        stored = archive.read_predictions(work.repo, domain) if begun else None
        tasks[domain] = task(emulator, forcing, stored)
    newest = {domain: str(one.months[-1]) for domain, one in tasks.items()}
    predicted = {domain: int(one.stale.sum()) for domain, one in tasks.items()}
    work.journal.say("compared", newest=newest, to_predict=predicted)
    said, snapshot, changed = "nothing new", None, False
    if not all(one.is_done for one in tasks.values()):
        said, snapshot = _renew(work, tasks, folders)
        changed = not settings.dry_run
        if changed:
            mirror.export(
                work.repo, work.root, keep=settings.keep_exports, extras=beside
            )
            kept = settings.keep_nights
            freed = retention.retain(work.repo, keep_nights=kept)
            inputs = {domain: archive_of(work.root, domain) for domain in tasks}
            freed += retention.retain_forcing(work.repo, inputs, keep_nights=kept)
            work.journal.say("exported", freed_bytes=freed)
    if begun and snapshot is None:
        snapshot = archive.last_night(work.repo).snapshot
    outcome = Outcome(
        exit_code=0,
        said=said,
        night=work.now,
        seconds=0.0,
        snapshot=snapshot,
        changed=changed,
        predicted=predicted,
        newest=newest,
    )
    return outcome, failed


def _upload(work: _Work) -> None:
    """Bring the newest export to the object store, unless it is there."""
    export = mirror.newest(work.root)
    if export is not None:
        settings = work.settings
        made = bucket.upload(export, settings.mirror_url, keep=settings.mirror_exports)
        work.journal.say("mirrored", url=made)


def _is_begun(repo: archive.Location) -> bool:
    """Return whether there is a night: a killed first one leaves an empty archive."""
    return repository.exists(repo) and bool(archive.nights(repo))


def _open(domain: str, folder: Path) -> Emulator:
    """Open a domain's run.

    Raises:
        SettingsError: If it is of the other domain.
        CheckpointError: If its training did not end: each network that is ready later
            would be another emulator, and a vintage.
    """
    emulator = open_run(folder)
    if emulator.missing:
        raise CheckpointError(f"{folder} has {emulator.unfinished}")
    if emulator.domain != domain:
        raise SettingsError(
            f"{domain}={folder} is a run of the {emulator.domain}. Give it as "
            f"{emulator.domain}={folder}."
        )
    return emulator


def _renew(
    work: _Work, tasks: Mapping[str, Task], folders: Mapping[str, Path]
) -> tuple[str, str | None]:
    """Make and commit the new map; return what was done, and the snapshot."""
    settings = work.settings
    published = archive.read_map(work.repo) if _is_begun(work.repo) else None
    fresh = {domain: one for domain, one in tasks.items() if one.is_fresh}
    since = window_start(list(tasks.values()))
    if published is None:
        since = min(one.months[0] for one in tasks.values())
    else:
        since = max(since, as_months(published["time"].to_numpy())[0])
    issued = _issued(work.now, published)
    predictions, window = _assembled(settings, tasks, folders, since, issued)
    is_new_vintage = published is not None and bool(fresh)
    if published is not None and not _same_grid(window, published):
        since = as_months(published["time"].to_numpy())[0]
        predictions, window = _assembled(settings, tasks, folders, since, issued)
        is_new_vintage = True
    networks = {} if published is None else fresh
    extra = tables(series_of(window, published), settings.budget)
    sanity.check(window, published, settings.sanity, is_new_vintage=is_new_vintage)
    months = as_months(window["time"].to_numpy())
    said = f"{_counted(tasks)}; the map reaches {months[-1]}"
    work.journal.say("passed", window=f"{months[0]} to {months[-1]}")
    if settings.dry_run:
        return f"would publish: {said}", None
    snapshot = archive.commit(
        work.repo,
        window.assign_attrs(extra.attrs),
        predictions,
        tables=extra,
        message=said,
        properties={
            "issued": f"{np.datetime_as_string(issued, unit='s')}Z",
            archive.NEW_NETWORKS: "-".join(
                one.emulator.sha256[:8] for one in networks.values()
            ),
            **{
                key.format(domain=domain): str(prediction.attrs.get(what, ""))
                for domain, prediction in predictions.items()
                for key, what in (
                    ("{domain}_checkpoint", "checkpoint"),
                    (archive.FORCING_SNAPSHOT, "forcing_snapshot"),
                )
            },
        },
    )
    work.journal.say("committed", snapshot=snapshot, said=said)
    _name_vintages(work.repo)
    return said, snapshot


def _assembled(
    settings: NightSettings,
    tasks: Mapping[str, Task],
    folders: Mapping[str, Path],
    since: np.datetime64,
    issued: np.datetime64,
) -> tuple[dict[str, xr.Dataset], xr.Dataset]:
    """Return the predictions from a month on, and the map that they make."""
    predictions = {
        # A year more, into which running totals of the first months reach back.
        domain: refreshed(
            one, since - MONTHS_PER_YEAR, completions=settings.completions
        )
        for domain, one in tasks.items()
    }
    given = {
        domain: _since(
            with_intervals(prediction, folders[domain], tasks[domain].emulator), since
        )
        for domain, prediction in predictions.items()
    }
    window = assemble(
        given.get("land"),
        given.get("ocean"),
        map_grid=settings.map.grid or None,
        issued=issued,
    )
    return predictions, window


def _since(prediction: xr.Dataset, month: np.datetime64) -> xr.Dataset:
    """Return a prediction from a January on."""
    found = prediction.sel(time=slice(month, None))
    if "year" in found.dims:
        found = found.sel(year=slice(month.astype("M8[Y]").astype(int) + 1970, None))
    return found


def _issued(now: datetime, published: xr.Dataset | None) -> np.datetime64:
    """Return the time of issue: never before the last one, even if the clock is."""
    issued = np.datetime64(now.replace(tzinfo=None), "s")
    if published is None:
        return issued
    last = published["issued"].to_numpy().max().astype("M8[s]")
    if last > issued:
        log.warning("The clock says %s, but the last night was %s", issued, last)
    return max(issued, last)


def _same_grid(window: xr.Dataset, published: xr.Dataset) -> bool:
    return all(np.array_equal(window[axis], published[axis]) for axis in ("lat", "lon"))


def _counted(tasks: Mapping[str, Task]) -> str:
    """Return in words what was predicted."""
    return ", ".join(
        f"{domain}: {int(one.stale.sum())} months predicted"
        + (" anew" if one.is_fresh else "")
        for domain, one in tasks.items()
    )


def _name_vintages(repo: archive.Location) -> None:
    """Name the last night, if it is the first of its calendar month or of networks.

    Named nights are never removed, so that it can be said for ever how a year was seen
    in which month.
    """
    night = archive.last_night(repo)
    names = [f"v{night.time:%Y-%m}"]
    if night.new_networks:
        names.append(f"v{night.time:%Y-%m-%d}-{night.new_networks}")
    known = {vintage.name for vintage in archive.vintages(repo)}
    for name in names:
        if name not in known:
            archive.tag_vintage(repo, name)


@contextmanager
def _shadow(root: Path) -> Iterator[Path]:
    """Give a copy of a deployment to work in, which is removed in the end.

    Archives never change a file that is there, so that links are copies enough.
    """
    copy = root / f".dry.partial-{os.getpid()}"
    copy.mkdir(parents=True)
    try:
        with stores.locked(copy):
            for name in (FORCING, DOWNLOADS, ARCHIVE):
                if (root / name).exists():
                    shutil.copytree(root / name, copy / name, copy_function=os.link)
            yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)
