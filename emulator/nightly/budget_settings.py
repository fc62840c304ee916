"""Settings of the budget tables; light to import, for the command line reads them."""

from dataclasses import dataclass, field

from emulator.carbon.errors import SettingsError

TARGETS = ("off", "ensemble", "models", "own", "published")
"""What the level of teachers can be moved to; see ``AdjustmentSettings``."""

WORKBOOK_TARGETS = ("models", "own", "published")
"""Those that are columns of a workbook of the Global Carbon Budget."""

RIVERS = ("off", "regnier2022", "resplandy2018", "gcb2021", "jacobson2007")
"""River fluxes by name; see ``emulator.carbon.river``."""

DEFINITIONS = ("unadjusted", "gcb2024", "gcb2025")
"""What the sinks of the closure are called by; see ``BudgetSettings``."""

SIMULATIONS = ("S2", "S3")


@dataclass
class AdjustmentSettings:
    """How the means of teachers are moved to a common level.

    Attributes:
        target: "off": not at all. "ensemble": to the mean of all teachers of the map,
            in years that they have simulated themselves. Columns of the workbook,
            where the weather is that of the world: "models", the mean of its models,
            not adjusted in any way; "own", the teacher's own column; "published", the
            headline number.
        window: Length of the window whose adjustment goes into closure and land
            numbers, years; one of ``windows``.
        windows: Windows that stand side by side, years.
        last: Last year of all windows; None for the last year that all have.
        land_members: The land teachers whose adjusted mean is taken, fixed: a changed
            ensemble is not a changed sink. Empty for all of the map.
        ocean_members: The ocean teachers, alike.
    """

    target: str = "off"
    window: int = 10
    windows: list[int] = field(default_factory=lambda: [4, 10, 20])
    last: int | None = None
    land_members: list[str] = field(default_factory=list)
    ocean_members: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check names and numbers.

        Raises:
            SettingsError: If the target is not known, or the window none of those that
                are compared.
        """
        if self.target not in TARGETS:
            raise SettingsError(
                f"adjustment.target is {self.target!r}, but must be one of "
                f"{', '.join(TARGETS)}."
            )
        # One year has no variability, so that its error would not be known.
        if min(self.windows, default=0) < 2 or self.window not in self.windows:
            raise SettingsError(
                f"adjustment.windows is {self.windows} and adjustment.window "
                f"{self.window}, but windows have 2 years or more, and the one that is "
                f"used must be among them."
            )
        if len(set(self.windows)) < len(self.windows):
            raise SettingsError(
                f"adjustment.windows is {self.windows}, but each must occur once."
            )

    def members_of(self, domain: str) -> list[str]:
        """Return the members of a domain, "land" or "ocean"; empty for all."""
        return {"land": self.land_members, "ocean": self.ocean_members}[domain]


@dataclass
class BudgetSettings:
    """What stands beside the totals of a map.

    Attributes:
        references: Reference periods of anomalies and ranks, [first year, last year]
            each; empty for all complete years of the map.
        simulation: The simulation whose ``nbp`` the map shows: "S2" (climate and CO2),
            whose total is S_LAND, or "S3" (with land use).
        adjustment: How means are adjusted.
        definition: "unadjusted": sinks as the teachers have them. "gcb2024" and
            "gcb2025": the sinks of the closure as that edition defines them.
        products: Ocean teachers that are products of observed fCO2, not models.
        drift: "control": the drift that the control of an ocean model shows is taken
            off its totals where they become S_OCEAN; "off": not at all.
        river: River carbon that is added to products where they become S_OCEAN, one of
            ``RIVERS``.
        river_map: A map of it, in whose proportions latitude bands share it; None: it
            is known for the globe alone.
        coverage: "stated": products as far as they reach; "scaled": to the whole sea of
            the run, by the share of it in which they have a flux.
        workbook: An edition of the Global Carbon Budget under its published name; None
            without.
        co2: Monthly global CO2 of NOAA with its trend, a .csv; None without.
        mauna_loa: Monthly CO2 at Mauna Loa, alike, to stand beside it.
        co2_retrieved: When ``co2`` was got, e.g. "2026-05-08": NOAA revises it.
        carbon_monitor: Daily emissions by Carbon Monitor, a .csv; None to let fossil
            emissions grow on as in the last years of the workbook.
        growth_years: So many years, the last of the workbook.
        longest: Years after the workbook's last for which emissions are extrapolated.
    """

    references: list[list[int]] = field(default_factory=list)
    simulation: str = "S2"
    adjustment: AdjustmentSettings = field(default_factory=AdjustmentSettings)
    definition: str = "unadjusted"
    products: list[str] = field(default_factory=list)
    drift: str = "control"
    river: str = "off"
    river_map: str | None = None
    coverage: str = "stated"
    workbook: str | None = None
    co2: str | None = None
    mauna_loa: str | None = None
    co2_retrieved: str = ""
    carbon_monitor: str | None = None
    growth_years: int = 5
    longest: int = 3

    def __post_init__(self) -> None:
        """Check names, periods and numbers.

        Raises:
            SettingsError: If a name is not known, a period is none, a number is too
                small, or a workbook is needed and not given.
        """
        for name, value, known in (
            ("definition", self.definition, DEFINITIONS),
            ("simulation", self.simulation, SIMULATIONS),
            ("drift", self.drift, ("control", "off")),
            ("river", self.river, RIVERS),
            ("coverage", self.coverage, ("stated", "scaled")),
        ):
            if value not in known:
                raise SettingsError(
                    f"budget.{name} is {value!r}, but must be one of "
                    f"{', '.join(known)}."
                )
        for period in self.references:
            if len(period) != 2 or period[0] > period[1]:
                raise SettingsError(
                    f"budget.references holds {period}, but a period is [first year, "
                    f"last year], e.g. [1991, 2020]."
                )
        if self.river_map and self.river == "off":
            raise SettingsError(
                f"budget.river_map is given, but budget.river is 'off'. Name the flux "
                f"that the map shares out, one of {', '.join(RIVERS[1:])}."
            )
        if self.growth_years < 1 or self.longest < 0:
            raise SettingsError(
                f"budget.growth_years is {self.growth_years} and budget.longest "
                f"{self.longest}, but at least 1 and 0 are needed."
            )
        target = self.adjustment.target
        if target in WORKBOOK_TARGETS and self.workbook is None:
            raise SettingsError(
                f"adjustment.target is {target!r}, a column of a workbook, but none is "
                f"given. Give budget.workbook=PATH, or adjustment.target=ensemble."
            )
        if target == "published" and self.definition != "unadjusted":
            raise SettingsError(
                f"adjustment.target is 'published', which has a definition already, "
                f"and budget.definition is {self.definition!r}: the change would be "
                f"made twice. Take adjustment.target=models, or "
                f"budget.definition=unadjusted."
            )
