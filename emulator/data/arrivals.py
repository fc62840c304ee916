"""New months of forcing: fetched, checked, completed, archived.

A night looks at what a source offers, brings what the archive lacks and archives what
passes every check. Months follow one another, since memory needs each: behind one that
is missing or refused nothing new is taken. What was refused is told once all else is
done.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import SourceError
from emulator.carbon.timeaxis import as_months
from emulator.data import forcing_archive
from emulator.data.admission import Known, admit
from emulator.data.fetching.refusals import NotThereError
from emulator.data.forcing_archive import STATUS, Month, fields_hash
from emulator.data.mapping.store import ForcingMap, require_same_map
from emulator.data.offers import (
    DAILY,
    Offer,
    SourceSettings,
    bring,
    dated,
    expected,
    listed,
)
from emulator.data.partial import climate_of, complete, length_of
from emulator.data.readers.files import checksum

__all__ = ["SourceSettings", "collect"]

log = logging.getLogger(__name__)

Months = NDArray[np.datetime64]


def collect(
    source: SourceSettings,
    archive: Path,
    downloads: Path,
    *,
    now: datetime,
    mapped_by: ForcingMap | None = None,
) -> Months:
    """Bring what a source has and an archive lacks.

    Args:
        source: The source.
        archive: The forcing archive of one domain.
        downloads: Folder for the files of this archive; those of months that are
            archived whole are removed.
        now: The time, with its zone: no month or day that has not ended is taken.
        mapped_by: The map by which each month is mapped before it is archived, that
            with which the archive began; None if it began with none.

    Returns:
        The months whose forcing changed, in order; empty if nothing is new.

    Raises:
        SourceError: If the source cannot be reached, a file was refused, or a month is
            missing between others. What could be taken is archived all the same:
            ``forcing_archive.fingerprints`` tell what changed.
        StoreError: If the archive is missing or began with another map, or something
            cannot be written.
    """
    forcing = forcing_archive.read(archive)
    require_same_map(forcing.attrs, mapped_by, archive)
    months = as_months(forcing["time"].to_numpy())
    known = Known.of(forcing, mapped_by)
    look = _Look(source, archive, downloads, _day(now), known)
    changed: list[np.datetime64] = []
    taken: list[Month] = []
    following = months[-1] + 1
    for month, offers in sorted(_offers(look, forcing).items()):
        if month < months[0]:
            continue
        if month > following:
            look.refused.append(_gap(following, month))
            break
        wanted = _wanted(offers, forcing, month)
        if any(offer.kind == DAILY for offer in wanted):
            # What completes a month is learned from all months before it.
            changed += _archived(look, taken, now)
        arrival = _arrival(look, month, wanted)
        if arrival is not None:
            look.known.seen[fields_hash(arrival.fields)] = month
            taken.append(arrival)
            following = max(following, month + 1)
        elif month == following:
            break
    changed += _archived(look, taken, now)
    _tidy(look)
    if look.refused:
        raise SourceError("\n".join(look.refused))
    return np.unique(np.array(changed, "M8[M]"))


@dataclass(frozen=True, eq=False)
class _Look:
    """One look at a source, and what came of it.

    Attributes:
        source: The source.
        archive: What is added to.
        downloads: Where files are brought.
        today: The day, UTC.
        known: What the archive tells of months to come.
        kept: Files that may serve again.
        refused: What is wrong with the source, in words.
    """

    source: SourceSettings
    archive: Path
    downloads: Path
    today: np.datetime64
    known: Known
    kept: set[Path] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)


def _archived(look: _Look, arrivals: list[Month], now: datetime) -> list[np.datetime64]:
    """Archive months in one commit, empty the list, and return which changed."""
    for arrival in arrivals:
        log.info("%s arrived from %s", arrival.month, arrival.source)
    changed = list(forcing_archive.record(look.archive, arrivals, now=now))
    arrivals.clear()
    return changed


def _offers(look: _Look, forcing: xr.Dataset) -> dict[np.datetime64, list[Offer]]:
    """Return what there is, or may be, by month."""
    if not look.source.is_pattern:
        return listed(look.source, look.downloads)
    months = as_months(forcing["time"].to_numpy())
    return expected(look.source, months, forcing["status"].to_numpy(), look.today)


def _gap(missing: np.datetime64, offered: np.datetime64) -> str:
    return (
        f"{missing} is missing, but {offered} is offered: nothing after {missing - 1} "
        f"is taken before it is there, since memory needs every month. The next night "
        f"looks again; ask the source if it lasts."
    )


def _wanted(
    offers: Sequence[Offer], forcing: xr.Dataset, month: np.datetime64
) -> list[Offer]:
    """Return the offers that could better what is archived, the best first.

    Days are of use only while nothing tells the whole month.
    """
    ordered = sorted(offers, key=lambda offer: (offer.status, offer.day or 0))
    months = as_months(forcing["time"].to_numpy())
    if month > months[-1] or not ordered:
        return ordered
    there = forcing.isel(time=int((month - months[0]).astype(np.int64)))
    status, known = int(there["status"]), str(there["checksum"].item())
    best = ordered[0]
    is_known = best.sha256 in (None, known) and best.kind != DAILY
    if best.status > status or (best.status == status and is_known):
        return []
    return [offer for offer in ordered if offer.status <= status]


def _arrival(
    look: _Look, month: np.datetime64, wanted: Sequence[Offer]
) -> Month | None:
    """Return what the best of some offers tell of a month; None if that is nothing."""
    try:
        for offer in wanted:
            if offer.kind == DAILY:
                continue
            try:
                return _whole(look, offer)
            except NotThereError:
                if not look.source.is_pattern:
                    raise
        return _from_days(look, month, [o for o in wanted if o.kind == DAILY])
    except SourceError as error:
        look.refused.append(str(error))
        return None


def _whole(look: _Look, offer: Offer) -> Month:
    """Return a month told by one file."""
    path = _brought(look, offer)
    fields, co2 = admit(path, offer, look.source, look.known)
    look.kept.remove(path)
    fields, said = _mapped(look, fields, offer.month)
    return Month(
        month=offer.month,
        fields=fields,
        co2=co2,
        status=offer.status,
        days_seen=length_of(offer.month),
        source=f"{offer.source or offer.name}{said}",
        checksum=checksum(path),
    )


def _from_days(
    look: _Look, month: np.datetime64, offers: Sequence[Offer]
) -> Month | None:
    """Return a month as the mean of its days, completed if some were not seen.

    A refused day counts as not seen.
    """
    total: dict[str, NDArray[np.float64]] = {}
    co2: list[float] = []
    files: dict[str, str] = {}
    hashes: dict[str, str] = {}
    days: list[int] = []
    for offer in offers:
        try:
            path = _brought(look, offer)
            fields, told = admit(path, offer, look.source, look.known)
            _require_another(offer, fields_hash(fields), hashes)
        except NotThereError as error:
            if not look.source.is_pattern:
                look.refused.append(str(error))
            continue
        except SourceError as error:
            look.refused.append(str(error))
            continue
        for name, values in fields.items():
            total[name] = total.get(name, 0.0) + values.astype(np.float64)
        co2.append(told)
        days.append(offer.day or 0)
        files[offer.name] = checksum(path)
    if not days:
        return None
    means = {
        name: (values / len(days)).astype(np.float32) for name, values in total.items()
    }
    # Their mean, not each day: a map is one of monthly means.
    means, said = _mapped(look, means, month)
    is_whole = len(days) == length_of(month)
    if not is_whole:
        forcing = forcing_archive.read(look.archive)
        seen = np.array(days)
        means = {
            name: complete(mean, seen, climate_of(forcing[name], month))
            for name, mean in means.items()
        }
    names = list(dict.fromkeys([min(files), max(files)]))
    return Month(
        month=month,
        fields=means,
        co2=float(np.mean(co2)),
        status=STATUS["preliminary" if is_whole else "partial"],
        days_seen=len(days),
        source=f"{' to '.join(names)} ({len(days)} days){said}",
        checksum=hashlib.sha256("".join(files.values()).encode()).hexdigest(),
    )


def _mapped(
    look: _Look, fields: Mapping[str, NDArray[np.float32]], month: np.datetime64
) -> tuple[dict[str, NDArray[np.float32]], str]:
    """Return fields as the archive's product would tell them, and what was done."""
    by = look.known.mapped_by
    if by is None:
        return dict(fields), ""
    return by.apply_to_month(fields, month), f"; {by.said_of(fields, month)}"


def _brought(look: _Look, offer: Offer) -> Path:
    """Bring a file, unless it lies in the future; it is kept until it is archived.

    What is refused is kept, too: it need not be brought again to be refused again.
    """
    if offer.day is None:
        end = (offer.month + 1).astype("M8[D]")
    else:
        end = offer.month.astype("M8[D]") + offer.day
    if end > look.today:
        raise SourceError(
            f"{offer.name} tells of {offer.date}, which has not ended: it is "
            f"{look.today} by the clock of this machine (UTC). It is refused; set the "
            f"clock if it is wrong, else ask the source."
        )
    path = bring(offer, look.source, look.downloads)
    look.kept.add(path)
    return path


def _require_another(offer: Offer, found: str, hashes: dict[str, str]) -> None:
    """Refuse a day that has the numbers of another one."""
    twin = hashes.setdefault(found, offer.date)
    if twin != offer.date:
        raise SourceError(
            f"{offer.name} holds the numbers of {twin} once more, but {offer.date} is "
            f"needed. It is refused and counts as not seen; the next night looks again."
        )


def _tidy(look: _Look) -> None:
    """Remove files of months that are archived whole."""
    for path in look.downloads.glob("*"):
        if path not in look.kept and dated(path.name, look.source) is not None:
            path.unlink()


def _day(now: datetime) -> np.datetime64:
    return np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "D")
