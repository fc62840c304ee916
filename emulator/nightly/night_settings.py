"""Settings of `nightly`: what a deployment works on, and what it keeps."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from emulator.carbon.errors import SettingsError
from emulator.data.feeding import ProductSettings
from emulator.data.offers import SourceSettings
from emulator.nightly.budget_settings import BudgetSettings
from emulator.nightly.places import ARCHIVE
from emulator.nightly.sanity import SanitySettings
from emulator.nightly.settings import MapSettings, require_map_grid

DOMAINS = ("land", "ocean")


@dataclass(kw_only=True)
class NightSource(SourceSettings):
    """Where the forcing of a domain comes from, or nowhere.

    Attributes:
        url: As of ``SourceSettings``; empty for no source, so that only what the
            archive holds is used.
        products: Folders with files of products instead of a url, each under a name
            of your own; of two that tell a variable the first counts.
        co2_table: NOAA's monthly CO2 or daily trend, for products.
        mapped_by: Map by which each month is mapped before it is archived, the folder
            that `sink-emulator map` printed; empty for none. The forcing to begin with
            must have been mapped by the same.
    """

    url: str = ""
    products: dict[str, ProductSettings] = field(default_factory=dict)
    co2_table: str = ""
    mapped_by: str = ""

    def __post_init__(self) -> None:
        """Check a source that there is.

        Raises:
            SettingsError: If a value is impossible, or it is not one source.
        """
        if self.products and (self.url or not self.co2_table):
            raise SettingsError(
                f"A source is a url, or products and a co2_table: got url "
                f"{self.url!r}, co2_table {self.co2_table!r} and products "
                f"{list(self.products)}."
            )
        if self.url:
            super().__post_init__()


@dataclass
class HealthSettings:
    """When a deployment is not well.

    Attributes:
        success_hours: Hours after the last night that went well; a night that fails
            once and goes well the next day is no alarm.
        month_days: Days after the end of the newest month of forcing. Preliminary
            months of ERA5 come five days after their end; the rest is for trouble.
    """

    success_hours: float = 50.0
    month_days: float = 20.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SettingsError: If one is not positive.
        """
        if min(self.success_hours, self.month_days) <= 0:
            raise SettingsError(
                f"health.success_hours is {self.success_hours:g} and health.month_days "
                f"{self.month_days:g}, but both must be positive."
            )


@dataclass
class NightSettings:
    """What a night works on, with what, and what it keeps.

    Attributes:
        root: Folder of the deployment, made by the first night.
        archive_url: Object store on which the archive lies, "s3://bucket/prefix"; empty
            for the folder of the deployment. Lock, forcing, plain copies and page are
            in the folder in any case. Keys come from the environment.
        land: The land run: "current" for the champion, a path, or the name of a folder
            below the runs; None for a map of the ocean alone.
        ocean: The ocean run, alike.
        forcing: The prepared forcing that the first night begins with, a path or a name
            given to ``prepare``, looked up for each domain as NAME and NAME_<domain>.
        land_forcing: That of the land, where it is not ``forcing``.
        ocean_forcing: That of the ocean, where it is not ``forcing``.
        until: Last month of the prepared forcing to begin with, e.g. "2024-06"; empty
            for all of it.
        land_source: Where new months of the land's forcing come from.
        ocean_source: Where those of the ocean come from.
        map: The grid of the map.
        completions: In how many ways a month that is not over is completed otherwise,
            to see what its missing days may change; 0 for not at all.
        budget: What stands beside the totals.
        sanity: What a map must be like to be published.
        health: When ``nightly health`` complains.
        keep_nights: Nights that can be opened and replayed besides the vintages, which
            stay for ever, forcing and all.
        keep_exports: Plain Zarr copies that stay, for readers who are slow; they share
            what is the same.
        mirror_url: Object store to which each plain copy is brought,
            "s3://bucket/prefix"; empty for none. Keys come from the environment.
        mirror_exports: Plain copies that stay there, each of them a whole one.
        now: The time to run as of, ISO, UTC; empty for the clock's.
        dry_run: Whether to do all the work and publish nothing.
    """

    root: str = "nightly"
    archive_url: str = ""
    land: str | None = "current"
    ocean: str | None = "current"
    forcing: str = ""
    land_forcing: str = ""
    ocean_forcing: str = ""
    until: str = ""
    land_source: NightSource = field(default_factory=NightSource)
    ocean_source: NightSource = field(default_factory=NightSource)
    map: MapSettings = field(default_factory=MapSettings)
    completions: int = 8
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    sanity: SanitySettings = field(default_factory=SanitySettings)
    health: HealthSettings = field(default_factory=HealthSettings)
    keep_nights: int = 60
    keep_exports: int = 60
    mirror_url: str = ""
    mirror_exports: int = 3
    now: str = ""
    dry_run: bool = False

    def __post_init__(self) -> None:
        """Check that there is something to do, and the numbers.

        Raises:
            SettingsError: If there is no run, or a value is impossible.
        """
        if not self.runs:
            raise SettingsError(
                "nightly needs a run: give land=RUN, ocean=RUN or both, or promote one."
            )
        require_map_grid(self.map.grid, list(self.runs))
        if min(self.keep_nights, self.keep_exports, self.mirror_exports) < 1:
            raise SettingsError(
                f"keep_nights is {self.keep_nights}, keep_exports {self.keep_exports} "
                f"and mirror_exports {self.mirror_exports}, but at least one of each "
                f"stays."
            )
        if "://" in self.root:
            raise SettingsError(
                "root is a URL, but the lock, the forcing and the plain copies need a "
                "folder. Give root=FOLDER, and archive_url=s3://BUCKET/PREFIX for the "
                "archive."
            )
        _require_object_store("archive_url", self.archive_url)
        _require_object_store("mirror_url", self.mirror_url)
        if self.completions < 0 or self.completions == 1:
            raise SettingsError(
                f"completions is {self.completions}, but must be 0, or 2 and more: one "
                f"has no spread."
            )
        self.time()

    @property
    def runs(self) -> dict[str, str]:
        """The run of each domain that has one."""
        given = {"land": self.land, "ocean": self.ocean}
        return {domain: run for domain, run in given.items() if run}

    @property
    def folder(self) -> Path:
        """The deployment."""
        return Path(self.root)

    @property
    def repo(self) -> str | Path:
        """The archive."""
        if self.archive_url:
            return f"{self.archive_url.rstrip('/')}/{ARCHIVE}"
        return self.folder / ARCHIVE

    def require_one_archive(self) -> None:
        """Refuse to leave an archive behind that readers of the folder would open.

        Raises:
            SettingsError: If the folder has one, and the settings name another.
        """
        left = self.folder / ARCHIVE
        if self.archive_url and left.exists():
            raise SettingsError(
                f"{left} is there, but archive_url names another archive. Copy it to "
                f"{self.repo} and move it away, or leave archive_url out."
            )

    def forcing_of(self, domain: str) -> str:
        """Return the prepared forcing that a domain begins with; empty if none."""
        own = {"land": self.land_forcing, "ocean": self.ocean_forcing}
        return own[domain] or self.forcing

    def source_of(self, domain: str) -> NightSource:
        """Return where new months of a domain's forcing come from."""
        return {"land": self.land_source, "ocean": self.ocean_source}[domain]

    def time(self) -> datetime:
        """Return the time to run as of, UTC.

        Raises:
            SettingsError: If ``now`` is no time.
        """
        if not self.now:
            return datetime.now(UTC)
        try:
            given = datetime.fromisoformat(self.now)
        except ValueError:
            raise SettingsError(
                f"now is {self.now!r}, but must be a time in ISO form, e.g. "
                f"2025-08-01T03:00."
            ) from None
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)


def _require_object_store(key: str, url: str) -> None:
    """Refuse what is no place on an object store, or may hold a secret."""
    if not url:
        return
    parts = urlsplit(url)
    if parts.scheme != "s3" or parts.query or "@" in parts.netloc or not parts.netloc:
        # It is not repeated: a key may be in it.
        raise SettingsError(
            f"{key} must be s3://BUCKET/PREFIX and nothing else. Keys, endpoint and "
            f"region belong into the environment: AWS_ACCESS_KEY_ID, "
            f"AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL, AWS_REGION."
        )
    if not parts.path.strip("/"):
        raise SettingsError(
            f"{key} is {url}, a whole bucket, but a deployment has a place of its own "
            f"in it. Give {key}={url.rstrip('/')}/PREFIX."
        )
