"""What a source of forcing offers: files of months, and of the days of running ones.

A source is a folder, here or on a web server, with a list of its files (``index.json``:
``{"files": [{"name": ..., "bytes": ..., "sha256": ...}]}``), or a pattern of addresses
that is tried month by month. Names say the rest: a date, and a word for the status.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import SettingsError, SourceError
from emulator.data.fetching.addresses import is_remote, local_path, shown
from emulator.data.fetching.plan import NO_LIST, Listed
from emulator.data.fetching.plan import listed as listed_row
from emulator.data.fetching.transfer import MOST_OF_A_LIST, Patience, fetch
from emulator.data.forcing_archive import STATUS

DAILY = "daily"
KINDS = ("final", "preliminary", DAILY)
"""Kinds of files, the best first."""


@dataclass(kw_only=True)
class SourceSettings(Patience):
    """Where the forcing of a domain comes from, how it is called, how long to try.

    Attributes:
        url: A folder (path, ``file://`` or ``http(s)://``) that holds ``index``, or a
            pattern of file addresses with ``{date}`` (YYYYMM, or YYYYMMDD of a day)
            and ``{status}``.
        index: Name of the list of files in the folder.
        words: What names say for final, preliminary and daily files.
        variables: Names in the files of forcing variables that are called otherwise.
        co2: Name in the files of the CO2 of the air, without its season.
        retries: Tries of a transfer after the first.
        backoff_s: Wait before the second try, s; doubled before each further one.
        timeout_s: Longest silence of a server, s.
        deadline_s: Longest time of one try, s, however steadily a file trickles.
    """

    url: str
    index: str = "index.json"
    words: dict[str, str] = field(
        default_factory=lambda: {kind: kind for kind in KINDS}
    )
    variables: dict[str, str] = field(default_factory=dict)
    co2: str = "co2"

    def __post_init__(self) -> None:
        """Check what can be checked without asking the source.

        Raises:
            SettingsError: If a value is impossible.
        """
        super().__post_init__()
        if not self.url:
            raise SettingsError(
                "A source needs a url: a folder, or a pattern with {date} and {status}."
            )
        name = shown(self.url).rpartition("/")[2]
        if self.is_pattern and not ("{date}" in name and "{status}" in name):
            raise SettingsError(
                f"The pattern {shown(self.url)} of a source has the name of a file "
                f"'{name}', but it must hold {{date}} and {{status}}: files are kept "
                f"under it, and told apart by it."
            )
        if set(self.words) != set(KINDS) or len(set(self.words.values())) < len(KINDS):
            raise SettingsError(
                f"words of a source must name {', '.join(KINDS)}, each by a word of "
                f"its own, got {dict(self.words)}."
            )

    @property
    def is_pattern(self) -> bool:
        """Whether addresses are tried, since there is no list of files."""
        return "{date}" in self.url


@dataclass(frozen=True)
class Offer:
    """One file that a source has, or may have.

    Attributes:
        url: Its address.
        name: Its name.
        month: The month of its data, datetime64[M].
        day: The day of the month; None for a file of the whole month.
        kind: One of ``KINDS``.
        sha256: Its SHA-256; None where the source does not say.
        size: Its length, bytes; None where the source does not say.
        source: Where its data are from, for people; None where that is its name.
    """

    url: str
    name: str
    month: np.datetime64
    day: int | None
    kind: str
    sha256: str | None = None
    size: int | None = None
    source: str | None = None

    @property
    def status(self) -> int:
        """Code of the status that a month of such files has; days are partial."""
        return STATUS["partial" if self.kind == DAILY else self.kind]

    @property
    def date(self) -> str:
        """The month, or the day, in words."""
        return str(self.month) + (f"-{self.day:02d}" if self.day else "")


def listed(
    settings: SourceSettings, downloads: Path
) -> dict[np.datetime64, list[Offer]]:
    """Return the files in the list of a source, by month.

    Args:
        settings: The source; no pattern.
        downloads: Folder for the list.

    Raises:
        SourceError: If the list cannot be had or read, or names a file twice.
    """
    folder = settings.url.rstrip("/")
    url = f"{folder}/{settings.index}"
    path = fetch(
        url, downloads / settings.index, patience=settings, at_most=MOST_OF_A_LIST
    )
    offers: dict[np.datetime64, list[Offer]] = {}
    for row, source in _rows(path, url):
        made = _offer(row, source, folder, settings)
        if made is None:
            continue
        same_month = offers.setdefault(made.month, [])
        twins = [o for o in same_month if (o.kind, o.day) == (made.kind, made.day)]
        if any(twin.sha256 != made.sha256 for twin in twins):
            raise SourceError(
                f"{shown(url)} offers the {made.kind} file of {made.date} twice, with "
                f"other contents: {twins[0].name} and {made.name}. Ask the source "
                f"which holds."
            )
        if not twins:
            same_month.append(made)
    return offers


def expected(
    settings: SourceSettings,
    months: NDArray[np.datetime64],
    status: NDArray[np.integer],
    today: np.datetime64,
) -> dict[np.datetime64, list[Offer]]:
    """Return the files that a pattern may have, by month.

    A file is taken once under its name: a source that changes files in place needs a
    list. Only what is better than what is archived is asked for.

    Args:
        settings: The source, a pattern.
        months: The archived months; (time,).
        status: Their status; (time,).
        today: The day, UTC.
    """
    running = today.astype("M8[M]")
    known = dict(zip(months.tolist(), status.tolist(), strict=True))
    first = months[status > 0][0] if (status > 0).any() else months[-1] + 1
    offers: dict[np.datetime64, list[Offer]] = {}
    for month in np.arange(first, running + 1):
        best = known.get(month.item(), STATUS["partial"] + 1)
        kinds = [kind for kind in KINDS[:2] if STATUS[kind] < best and month < running]
        offers[month] = [_guess(settings, month, None, kind) for kind in kinds]
        if best >= STATUS["partial"]:
            ended = np.arange(month.astype("M8[D]"), (month + 1).astype("M8[D]"))
            days = int((ended < today).sum())
            offers[month] += [
                _guess(settings, month, day, DAILY) for day in range(1, days + 1)
            ]
    return offers


def dated(
    name: str, settings: SourceSettings
) -> tuple[np.datetime64, int | None, str] | None:
    """Return month, day (None of a whole month) and kind that a file's name tells.

    None for a name that tells no such thing.
    """
    kinds = {word: kind for kind, word in settings.words.items()}
    words = "|".join(map(re.escape, kinds))
    found = re.search(rf"(?<!\d)(\d{{4}})(\d\d)(\d\d)?_({words})(?![a-z])", name)
    if found is None or "/" in name:
        return None
    year, month, day, word = found.groups()
    if (day is None) == (kinds[word] == DAILY):
        return None
    try:
        stamp = date(int(year), int(month), int(day or 1))
    except ValueError:
        return None
    return np.datetime64(stamp, "M"), stamp.day if day else None, kinds[word]


def bring(offer: Offer, settings: SourceSettings, downloads: Path) -> Path:
    """Bring an offered file here, unless it is here as it is offered.

    Raises:
        NotThereError: If the source does not have it.
        SourceError: If it cannot be had whole.
    """
    target = downloads / offer.name
    # By its checksum, where one is told, it is compared below.
    is_here = offer.sha256 is None and target.is_file()
    if is_here and offer.size in (None, target.stat().st_size):
        return target
    return fetch(
        offer.url, target, sha256=offer.sha256, size=offer.size, patience=settings
    )


def _rows(path: Path, url: str) -> list[tuple[Listed, str | None]]:
    """Return the files of a list, and where the data of each are from, if it says."""
    try:
        rows = json.loads(path.read_text("utf-8"))["files"]
        return [(listed_row(row), row.get("source")) for row in rows]
    except (*NO_LIST, AttributeError) as error:
        raise SourceError(
            f"{shown(url)} is no list of files ({type(error).__name__}: {error}); "
            f'{{"files": [{{"name": ..., "bytes": ..., "sha256": ...}}]}} is needed. '
            f"Correct the source's url or index."
        ) from None


def _offer(
    row: Listed, source: str | None, folder: str, settings: SourceSettings
) -> Offer | None:
    """Return what a listed file is; None for one that is no month or day."""
    said = dated(row.path, settings)
    if said is None:
        return None
    url, sha256 = f"{folder}/{row.path}", row.sha256 or None
    return Offer(url, row.path, *said, sha256, row.bytes, source)


def _guess(
    settings: SourceSettings, month: np.datetime64, day: int | None, kind: str
) -> Offer:
    stamp = str(month).replace("-", "") + (f"{day:02d}" if day else "")
    url = settings.url.replace("{date}", stamp)
    url = url.replace("{status}", settings.words[kind])
    path = shown(url) if is_remote(url) else local_path(url).name
    return Offer(url, path.rpartition("/")[2], month, day, kind)
