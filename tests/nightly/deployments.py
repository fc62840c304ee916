"""A deployment on the tiny world, and a source that is told what to offer."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from emulator.carbon.errors import SourceError
from emulator.data import forcing_archive
from emulator.data.forcing_archive import STATUS, Month
from emulator.learning.fit import train
from emulator.nightly import night
from emulator.nightly.journal import Outcome
from emulator.nightly.night_settings import NightSettings
from emulator.nightly.sanity import SanitySettings
from tests.learning.runs import small_gru, tiny_data, tiny_settings
from tests.worlds import FORCING, tiny_forcing, tiny_forcing_store

DOMAINS = ("land", "ocean")
UNTIL = "2008-10"
"""Last month of the forcing that a deployment begins with."""


def arrival(
    domain: str,
    month: str,
    *,
    status: str = "final",
    warmer: float = 0.0,
    days: int | None = None,
) -> Month:
    """Return a month of the tiny world, perhaps warmer than it was."""
    forcing = tiny_forcing(domain).sel(time=month).squeeze("time")
    fields = {name: forcing[name].to_numpy() for name in FORCING[domain]}
    first = FORCING[domain][0]
    fields[first] = fields[first] + np.float32(warmer)
    return Month(
        month=np.datetime64(month, "M"),
        fields=fields,
        co2=float(forcing["co2"]),
        status=STATUS[status],
        days_seen=days or int(forcing["time"].dt.days_in_month),
        source="tiny",
        checksum=f"{month} {status} {warmer} {days}",
    )


def trained(stores: dict[str, Path], root: Path, *, seed: int = 0) -> dict[str, Path]:
    """Train runs ``land`` (two networks) and ``ocean``, hardly."""
    fast: dict[str, Any] = {"steps": 2, "validate_every": 2, "seed": seed}
    model = small_gru(memory=2)
    land = tiny_settings(model, members=2, **fast)
    ocean = tiny_settings(model, data=tiny_data("ocean"), **fast)
    return {
        "land": train(land, stores["land"], root / "land"),
        "ocean": train(ocean, stores["ocean"], root / "ocean"),
    }


@dataclass
class Deployment:
    """A deployment with a source in memory.

    Attributes:
        settings: Of its nights.
        offered: What the source of each domain has.
        down: Domains whose source does not answer.
    """

    settings: NightSettings
    offered: dict[str, list[Month]] = field(
        default_factory=lambda: {domain: [] for domain in DOMAINS}
    )
    down: set[str] = field(default_factory=set)

    @property
    def root(self) -> Path:
        return self.settings.folder

    @property
    def repo(self) -> Path:
        return self.root / "sink.icechunk"

    def offer(self, month: str, **about: Any) -> None:
        """Let both sources have a month."""
        for domain in DOMAINS:
            self.offered[domain].append(arrival(domain, month, **about))

    def collect(self, domain: str, into: Path, now: datetime) -> None:
        if domain in self.down:
            raise SourceError(f"the source of the {domain} does not answer")
        forcing_archive.record(into, self.offered[domain], now=now)

    def night(self, day: str, **changes: Any) -> Outcome:
        """Run the night of a day."""
        settings = replace(self.settings, now=f"{day}T03:00", **changes)
        return night.run(settings, collect=self.collect)


def deployment(root: Path, runs: dict[str, Path], **changes: Any) -> Deployment:
    """Return a deployment in ``root / "nightly"`` that has not run yet."""
    about: dict[str, Any] = {
        "root": str(root / "nightly"),
        "land": str(runs["land"]),
        "ocean": str(runs["ocean"]),
        "land_forcing": str(tiny_forcing_store(root, "land")),
        "ocean_forcing": str(tiny_forcing_store(root, "ocean")),
        "until": UNTIL,
        "completions": 2,
        # Networks that learned nothing are no measure of what is plausible.
        "sanity": SanitySettings(land=[-100, 100], ocean=[-100, 100]),
    }
    return Deployment(NightSettings(**about | changes))


def moment(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)
