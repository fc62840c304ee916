"""What changed since last night: months that came, months that were revised."""

import json
from dataclasses import dataclass

import numpy as np
import xarray as xr

from emulator.carbon.timeaxis import as_months
from emulator.nightly.budget import SINKS
from emulator.nightly.layout import STATUS
from emulator.nightly.page.series import labels

VISIBLE = 0.0005
"""Change of a total, PgC yr-1, from which on a month is called revised: the last
decimal that the page shows."""

_WORDS = {code: word for word, code in STATUS.items()}


@dataclass(frozen=True)
class MonthChange:
    """One month that differs from last night.

    Attributes:
        month: YYYY-MM.
        what: "new", "revised", or a change of status such as "preliminary to final".
        before: Global total by flux, PgC yr-1; None where there was none.
        now: The same tonight.
    """

    month: str
    what: str
    before: dict[str, float | None]
    now: dict[str, float | None]


@dataclass(frozen=True)
class Changes:
    """What a night changed.

    Attributes:
        months: Months that are new, revised or of another status, the newest first.
        notes: Other changes in words: teachers, checkpoints, evidence, lost months.
    """

    months: list[MonthChange]
    notes: list[str]

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.months or self.notes)


def compare(sink_map: xr.Dataset, previous: xr.Dataset) -> Changes:
    """Return what differs between tonight's map and last night's.

    A month is revised if its count of revisions rose under the same status, or the
    total of any region moved by at least `VISIBLE`.
    """
    now, before = (_by_month(each) for each in (sink_map, previous))
    changed = []
    for month in sorted(now, reverse=True):
        what = _difference(before.get(month), now[month])
        if what:
            changed.append(
                MonthChange(month, what, _globe(before.get(month)), _globe(now[month]))
            )
    lost = sorted(set(before) - set(now))
    notes = _notes(sink_map, previous)
    if lost:
        span = f"{lost[0]} to {lost[-1]}"
        notes.append(f"No longer in the map: {len(lost)} months within {span}.")
    return Changes(changed, notes)


@dataclass(frozen=True)
class _Month:
    totals: dict[tuple[str, str], float]
    status: str
    revision: int


def _by_month(sink_map: xr.Dataset) -> dict[str, _Month]:
    months = as_months(sink_map["time"].to_numpy())
    budget = sink_map["budget_month"].transpose("flux", "region", "time").to_numpy()
    keys = [
        (flux, region)
        for flux in labels(sink_map, "flux")
        for region in labels(sink_map, "region")
    ]
    table = budget.reshape(len(keys), months.size).T
    status, revision = (sink_map[n].to_numpy() for n in ("status", "revision"))
    return {
        str(month): _Month(
            dict(zip(keys, row.tolist(), strict=True)),
            _WORDS.get(int(status[i]), "not stated"),
            int(revision[i]),
        )
        for i, (month, row) in enumerate(zip(months, table, strict=True))
    }


def _difference(before: _Month | None, now: _Month) -> str:
    """Return what changed in a month; empty if nothing did."""
    if before is None:
        return "new"
    said = []
    is_restated = before.status != now.status
    if is_restated:
        said.append(f"{before.status} to {now.status}")
    # The archive counts another status alone as a revision, too.
    if (now.revision > before.revision and not is_restated) or any(
        _moved(before.totals.get(key, np.nan), value)
        for key, value in now.totals.items()
    ):
        said.append("revised")
    return ", ".join(said)


def _moved(before: float, now: float) -> bool:
    if np.isnan(before) or np.isnan(now):
        return bool(np.isnan(before) != np.isnan(now))
    return abs(now - before) >= VISIBLE


def _globe(month: _Month | None) -> dict[str, float | None]:
    if month is None:
        return dict.fromkeys(SINKS.values())
    found = {flux: month.totals.get((flux, "globe"), np.nan) for flux in SINKS.values()}
    return {flux: None if np.isnan(v) else v for flux, v in found.items()}


def _notes(sink_map: xr.Dataset, previous: xr.Dataset) -> list[str]:
    said = []
    for domain in SINKS:
        dim = f"{domain}_teacher"
        now, before = (
            set(labels(each, dim)) if dim in each.coords else set()
            for each in (sink_map, previous)
        )
        if came := sorted(now - before):
            said.append(f"Teachers of the {domain} that came: {', '.join(came)}.")
        if left := sorted(before - now):
            said.append(f"Teachers of the {domain} that left: {', '.join(left)}.")
        marks = [_checkpoint(each, domain) for each in (sink_map, previous)]
        if marks[0] != marks[1] and before and now:
            said.append(f"The {domain} emulator was replaced by another checkpoint.")
    if sink_map.attrs.get("evidence") != previous.attrs.get("evidence"):
        said.append(
            f"Evidence was {previous.attrs.get('evidence', 'not stated')!r} and is "
            f"{sink_map.attrs.get('evidence', 'not stated')!r}."
        )
    return said


def _checkpoint(sink_map: xr.Dataset, domain: str) -> str:
    vintage = json.loads(sink_map.attrs.get("vintage", "{}"))
    return str(vintage.get(domain, {}).get("checkpoint", ""))
