"""Settings of ``backcast``; light, for the command line reads them."""

import re
from dataclasses import dataclass, field

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import MONTHS_PER_YEAR

CHOICES = ("first", "each")

PERIOD = re.compile(r"(\d{4}-(?:0[1-9]|1[0-2]))/(\d{4}-(?:0[1-9]|1[0-2]))")
"""First and last month of a span."""


@dataclass
class DelaySettings:
    """How long after its time each thing appears.

    Attributes:
        labels: Months from the end of an edition's last year to its appearance. The
            edition of year Y of TRENDY and of the Global Carbon Budget ends in Y - 1
            and appears in November (2022: on the 11th; 2024: on the 13th) or early
            in December (2023: on the 5th).
        teachers: The same of single teachers, by the label that the store has.
        forcing_days: Days from the end of a month until its forcing is there, of
            products whose catalog entry has no ``latency_days``. ERA5T appears five
            days behind the present (Hersbach et al. 2020, QJRMS 146).
        co2: Months from the end of a year to its mean CO2. The global mean of the
            marine boundary layer is published two to three months late.
        co2_years: Known years whose mean change continues CO2 from there.
    """

    labels: int = 11
    teachers: dict[str, int] = field(default_factory=dict)
    forcing_days: float = 5.0
    co2: int = 3
    co2_years: int = 10

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            SettingsError: If a delay is negative, or there are no years to average.
        """
        delays = {"labels": self.labels, "co2": self.co2}
        delays |= {f"teachers.{name}": value for name, value in self.teachers.items()}
        for name, value in {**delays, "forcing_days": self.forcing_days}.items():
            if value < 0:
                raise SettingsError(
                    f"backcast.delays.{name} is {value:g}, but nothing is known before "
                    f"its time: give 0 or more."
                )
        if self.co2_years < 1:
            raise SettingsError(
                f"backcast.delays.co2_years is {self.co2_years}, but must be at least "
                f"1."
            )


@dataclass
class BackcastSettings:
    """What is estimated as of which dates, and how.

    Attributes:
        years: First and last calendar year to estimate; empty for the last ten that
            teachers have labels of.
        months_known: Numbers of months of a year whose forcing is known, 0 to 12: one
            estimate each, issued at the end of the first month that knows so much (0:
            of the month before any is known).
        periods: Other spans of months to estimate when all their forcing is known, as
            "2023-07/2024-06".
        delays: When each thing appears.
        choose: At which edition of the labels the steps of the fit are chosen on
            validation years: "each", or the "first", whose choice later ones keep.
        validation_years: The last years of the known labels, on which steps are
            chosen before all known years are learned.
        adjust_years: Last known years over which the networks are moved to the level
            of the labels, by region and calendar month; 4, 10 or 20 are in use.
        normal_years: Last known years of the mean season and line that anomalies
            refer to; 30 as in a climatological normal (WMO-No. 1203).
        climatology_years: Last known years whose mean is the climatology beside.
    """

    years: list[int] = field(default_factory=list)
    months_known: list[int] = field(default_factory=lambda: list(range(13)))
    periods: list[str] = field(default_factory=list)
    delays: DelaySettings = field(default_factory=DelaySettings)
    choose: str = "first"
    validation_years: int = 5
    adjust_years: int = 10
    normal_years: int = 30
    climatology_years: int = 10

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            SettingsError: If one is impossible.
        """
        if self.years and (len(self.years) != 2 or self.years[0] > self.years[1]):
            raise SettingsError(
                f"backcast.years must be the first and the last year, got {self.years}."
            )
        bad = [k for k in self.months_known if not 0 <= k <= MONTHS_PER_YEAR]
        if bad or not (self.months_known or self.periods):
            raise SettingsError(
                f"backcast.months_known must hold numbers of months from 0 to 12, got "
                f"{self.months_known}."
            )
        for period in self.periods:
            months = PERIOD.fullmatch(period)
            if months is None or months[1] > months[2]:
                raise SettingsError(
                    f"backcast.periods has {period!r}, but must hold spans of months "
                    f"such as '2023-07/2024-06'."
                )
        if self.choose not in CHOICES:
            raise SettingsError(
                f"backcast.choose is {self.choose!r}, but must be "
                f"{' or '.join(map(repr, CHOICES))}."
            )
        counts = {
            "validation_years": 1,
            "adjust_years": 1,
            "normal_years": 3,
            "climatology_years": 1,
        }
        for name, least in counts.items():
            if getattr(self, name) < least:
                raise SettingsError(
                    f"backcast.{name} is {getattr(self, name)}, but must be at least "
                    f"{least}."
                )
