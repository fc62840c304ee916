"""What a store is made of: the settings of ``prepare``."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from emulator.carbon.errors import SettingsError
from emulator.carbon.variables import VARIABLES

DOMAINS = ("land", "ocean")


@dataclass
class DataSettings:
    """Settings of a training store.

    Attributes:
        name: Name of the store, without its hash.
        domain: ``land`` or ``ocean``.
        teachers: Catalog entries of the teachers.
        simulations: Simulations to take from each teacher that has them.
        fluxes: Labels; a teacher may lack some, but not the first.
        forcing: Catalog entries of the forcing; of two that offer a variable the
            first is taken.
        forcing_variables: Forcing to take from them.
        static: Catalog entries of static fields.
        static_variables: Static fields to take from them.
        years: First and last year of the labels.
        grid_step: Step of a regular grid, degrees; the grid of the first teacher when
            None.
        history_years: Years before the first label that the memory may reach back to.
    """

    name: str
    domain: str
    teachers: list[str]
    simulations: list[str]
    fluxes: list[str]
    forcing: list[str]
    forcing_variables: list[str]
    years: list[int]
    static: list[str] = field(default_factory=list)
    static_variables: list[str] = field(default_factory=list)
    grid_step: float | None = None
    history_years: int = 10

    def __post_init__(self) -> None:
        """Check what can be checked without the catalog.

        Raises:
            SettingsError: If a value is impossible.
        """
        _require_domain(self.domain)
        for name in ("teachers", "simulations", "fluxes", "forcing"):
            _require_names(name, getattr(self, name))
        _require_names("forcing_variables", self.forcing_variables, "forcing")
        _require_names("fluxes", self.fluxes, "flux", self.domain)
        _require_static(self.static, self.static_variables)
        _require_years(self.years)
        if self.history_years < 0:
            raise SettingsError(
                f"data.history_years must be 0 or more, got {self.history_years}. Give "
                f"at least the memory of the network."
            )


@dataclass
class ForcingSettings:
    """Settings of a forcing store.

    Attributes:
        name: Name of the store, without its hash.
        domain: ``land`` or ``ocean``.
        forcing: Catalog entries of the forcing; of two that offer a variable the
            first is taken.
        forcing_variables: Forcing to take from them.
        co2: Catalog entry of the CO2 table.
        static: Catalog entries of static fields.
        static_variables: Static fields to take from them.
        grid_step: Step of a regular grid, degrees; the grid of the first forcing
            variable when None.
        years: First and last year, or nothing for all months that every forcing
            variable and CO2 have.
    """

    name: str
    domain: str
    forcing: list[str]
    forcing_variables: list[str]
    co2: str
    static: list[str] = field(default_factory=list)
    static_variables: list[str] = field(default_factory=list)
    grid_step: float | None = None
    years: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check what can be checked without the catalog.

        Raises:
            SettingsError: If a value is impossible.
        """
        _require_domain(self.domain)
        _require_names("forcing", self.forcing)
        _require_names("forcing_variables", self.forcing_variables, "forcing")
        _require_static(self.static, self.static_variables)
        if self.years:
            _require_years(self.years)


def _require_domain(domain: str) -> None:
    if domain not in DOMAINS:
        raise SettingsError(
            f"data.domain must be one of {list(DOMAINS)}, got '{domain}'. A store "
            f"holds one of them; make two."
        )


def _require_names(
    setting: str,
    names: Sequence[str],
    role: str | None = None,
    domain: str | None = None,
) -> None:
    if not names or len(set(names)) < len(names):
        raise SettingsError(
            f"data.{setting} must name at least one, and each once, got {list(names)}."
        )
    known = {
        name: variable
        for name, variable in VARIABLES.items()
        if role in (None, variable.role) and domain in (None, variable.domain)
    }
    wrong = [name for name in names if role is not None and name not in known]
    if wrong:
        of = f" of the {domain}" if domain else ""
        raise SettingsError(
            f"data.{setting} names {wrong}, which is no {role}{of}. Choose among "
            f"{sorted(known)}."
        )


def _require_static(entries: Sequence[str], variables: Sequence[str]) -> None:
    if variables:
        _require_names("static_variables", variables, "static")
        _require_names("static", entries)


def _require_years(years: Sequence[int]) -> None:
    if len(years) != 2 or years[0] > years[1]:
        raise SettingsError(
            f"data.years must be the first and the last year, got {list(years)}."
        )
