"""What `catalog fetch` is told."""

from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR

from emulator.carbon.errors import SettingsError
from emulator.data.fetching.plan import Choice
from emulator.data.fetching.transfer import Patience

MOST_PARALLEL = 8
"""Transfers at a time at most: who asks a public server for more is soon refused."""


@dataclass
class FetchSettings(Patience):
    """What is fetched, and how.

    Attributes:
        variables: Canonical names; all of an entry when empty.
        simulations: Simulations of teachers; all when empty.
        years: First and last year of files of days, months or years; all when empty.
        accept: Policies that are accepted, by the names that entries give them.
        index: A list of files, address or path, instead of the entries' own.
        parallel: Transfers at a time.
        verify: Compare what is there with its checksum and its length at the source.
        plain_http: Allow addresses that are not encrypted.
        dry_run: Say what would be fetched, and fetch nothing.
        slowest_kb_s: Mean speed below which a transfer is given up, kB s-1.
        retries: Tries of a transfer after the first.
        backoff_s: Wait before the second try, s; doubled before each further one.
        timeout_s: Longest silence of a server, s.
        deadline_s: Time that every try of a file is given, s, however small it is.
    """

    variables: list[str] = field(default_factory=list)
    simulations: list[str] = field(default_factory=list)
    years: list[int] = field(default_factory=list)
    accept: list[str] = field(default_factory=list)
    index: str = ""
    parallel: int = 4
    verify: bool = False
    plain_http: bool = False
    dry_run: bool = False
    slowest_kb_s: float = 20.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            SettingsError: If a number is impossible.
        """
        super().__post_init__()
        if not 1 <= self.parallel <= MOST_PARALLEL:
            raise SettingsError(
                f"parallel must be from 1 to {MOST_PARALLEL}, got {self.parallel}."
            )
        if self.slowest_kb_s <= 0:
            raise SettingsError(
                f"slowest_kb_s must be above 0, got {self.slowest_kb_s:g}."
            )
        years = list(self.years)
        is_span = len(years) in (0, 2) and years == sorted(years)
        if not is_span or not all(MINYEAR <= year <= MAXYEAR for year in years):
            raise SettingsError(
                f"years must be the first and the last year, e.g. [2000,2024], got "
                f"{years}."
            )

    @property
    def choice(self) -> Choice:
        """What of each product is wanted."""
        years = (self.years[0], self.years[1]) if self.years else None
        return Choice(tuple(self.variables), tuple(self.simulations), years)

    def patience(self, size: int | None) -> Patience:
        """Return how long to try for a file of ``size`` bytes."""
        slowest = (size or 0) / (1000 * self.slowest_kb_s)
        return Patience(
            retries=self.retries,
            backoff_s=self.backoff_s,
            timeout_s=self.timeout_s,
            deadline_s=max(self.deadline_s, slowest),
        )
