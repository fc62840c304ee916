"""The catalog's schema: what one YAML file may say about one product.

Every key is a field of a dataclass below, so the schema is written once. An
unknown key, a missing key or a value of another type is refused with the name
of the key; ``docs/catalog.md`` explains each key with an example.
"""

import difflib
import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any, Literal

from emulator.carbon.errors import CatalogError
from emulator.carbon.variables import VARIABLES
from emulator.data import strict
from emulator.data.drift_source import DriftSource
from emulator.data.fetching.source import FetchSource, has_wildcard

Kind = Literal["teacher", "forcing", "static", "regions", "table"]
Domain = Literal["land", "ocean", "both"]
ReaderName = Literal[
    "trendy",
    "gobm",
    "gridded",
    "table",
    "era5",
    "era5_land",
    "arco_era5",
    "jra3q",
    "ncep",
    "oisst",
    "crujra",
    "ersst",
    "glorys",
    "multiobs_salinity",
    "chlorophyll_cci",
    "chlorophyll_copernicus",
    "gfed4",
    "gfed5",
    "gfas",
    "record",
    "luh",
    "classes",
    "forest_age",
]
Evidence = Literal[
    "", "testbed", "real teacher, simulated forcing", "TRENDY/GOBM", "observed"
]
Calendar = Literal["standard", "noleap", "360_day"]
Years = tuple[int, int | None]

GATES = ("units", "range", "sign", "closure", "coverage")
"""Names under which an entry may override a plausibility gate."""

SUMS = {
    "nbp": {"gpp": 1, "npp": 1, "ra": -1, "rh": -1, "fFire": -1, "fLuc": -1},
    "npp": {"gpp": 1, "ra": -1},
    "ra": {"gpp": 1, "npp": -1},
}
"""With which sign the components stand in a variable that ``sum_of`` rebuilds."""

_SUM_NEEDS = {
    "nbp": ({"gpp", "ra", "rh"}, {"npp", "rh"}),
    "npp": ({"gpp", "ra"},),
    "ra": ({"gpp", "npp"},),
}
_SUM_MAY_LACK = {"fFire", "fLuc"}

_ANSWER_ROLES = ("flux", "pool", "state")
_INPUT_ROLES = ("forcing", "static")


@dataclass(frozen=True)
class VariableSource:
    """How one canonical variable stands in the files of a product.

    Attributes:
        name: Its name in the file; the canonical name when absent.
        units: Its unit, when the file lies or says nothing.
        files: Path pattern below the entry's root, instead of the entry's.
        scale: Factor to apply after the unit conversion.
        sign: -1 turns a flux that is positive to the atmosphere.
        per: Area of the cells, m2, in the same file, by which amounts of whole cells
            are divided; ``units`` are those of the quotient (reader ``gobm``).
        sum_of: Variables of the same entry that add up to it with the signs of
            ``SUMS``, where no file holds it; then nothing else may be said.
        states: Land-use states that make it up (reader ``luh``).
        classes: Numbers of the classes that make it up (reader ``classes``).
    """

    name: str | None = None
    units: str | None = None
    files: str | None = None
    scale: float = 1.0
    sign: Literal[1, -1] = 1
    per: str | None = None
    sum_of: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    classes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check that a sum is said to be nothing else."""
        if self.sum_of and replace(self, sum_of=()) != VariableSource():
            raise CatalogError(
                "'sum_of' stands with other keys, but a sum has no file, unit or sign "
                "of its own. Give those to its components."
            )


@dataclass(frozen=True)
class WeatherSpan:
    """The weather which a span of a simulation's calendar years saw.

    Exactly one of ``same``, ``repeat`` (with ``anchor``) and ``climatology``.

    Attributes:
        years: First and last calendar year, last may be open (null).
        same: The years saw their own weather.
        repeat: First and last year of the weather which was repeated.
        anchor: A calendar year which saw the first year of ``repeat``.
        climatology: First and last year of the mean seasonal cycle seen.
    """

    years: Years
    same: bool = False
    repeat: tuple[int, int] | None = None
    anchor: int | None = None
    climatology: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Check that the span says one thing, and says it fully."""
        said = (self.same, self.repeat is not None, self.climatology is not None)
        if sum(said) != 1:
            raise CatalogError(
                f"The weather of years {_span(self.years)} says {sum(said)} of "
                f"'same', 'repeat' and 'climatology', but exactly one is needed."
            )
        if (self.repeat is None) != (self.anchor is None):
            raise CatalogError(
                f"The weather of years {_span(self.years)} needs 'repeat' and "
                f"'anchor' together: 'anchor' is a calendar year that saw the first "
                f"year of 'repeat'."
            )
        for years in (self.years, self.repeat, self.climatology):
            if years is not None and years[1] is not None and years[0] > years[1]:
                raise CatalogError(
                    f"Years [{years[0]}, {years[1]}] run backwards: write the first "
                    f"year first."
                )


@dataclass(frozen=True)
class Co2:
    """The atmospheric CO2 which a simulation saw.

    Attributes:
        constant: One value for all months, ppm.
        table: Name of the catalog entry that holds the series.
    """

    constant: float | None = None
    table: str | None = None

    def __post_init__(self) -> None:
        """Check that there is one source of CO2."""
        if (self.constant is None) == (self.table is None):
            raise CatalogError(
                "'co2' needs exactly one of 'constant' (ppm) and 'table' (the name "
                "of a catalog entry)."
            )


@dataclass(frozen=True)
class Simulation:
    """What one simulation of a teacher saw; it cannot be guessed from files.

    Attributes:
        weather: Spans of years with the weather they saw. Years in no span have
            unknown weather.
        co2: The atmospheric CO2 it saw.
        years: Years of its labels, where they differ from the entry's.
        note: Anything a reader of results must know, e.g. "approximate".
    """

    weather: tuple[WeatherSpan, ...]
    co2: Co2
    years: Years | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Check that no year saw two weathers."""
        if not self.weather:
            raise CatalogError(
                "'weather' is empty: say which weather the simulation saw, e.g. "
                "[{years: [1700, null], repeat: [1901, 1920], anchor: 1901}]."
            )
        ordered = sorted(self.weather, key=lambda span: span.years[0])
        for before, after in pairwise(ordered):
            if before.years[1] is None or before.years[1] >= after.years[0]:
                raise CatalogError(
                    f"The weather spans {_span(before.years)} and "
                    f"{_span(after.years)} overlap: a year sees one weather."
                )


@dataclass(frozen=True)
class Residual:
    """The carbon which a teacher's nbp contains but no component reports.

    Attributes:
        allowed: Largest accepted sum of |nbp - components| over the gross flux.
        why: The process behind it, e.g. "establishment flux".
    """

    allowed: float
    why: str


@dataclass(frozen=True)
class FractionSource:
    """Whether fluxes are per unit of land (or sea) or per unit of the cell.

    Attributes:
        treatment: ``multiply`` if totals need the fraction (fluxes per unit of
            land or sea), ``none`` if fluxes are per unit of the whole cell.
        variable: Name of the fraction in ``file``.
        file: Path below the entry's root.
        complement: The file holds the fraction of the *other* surface.
    """

    treatment: Literal["multiply", "none"]
    variable: str | None = None
    file: str | None = None
    complement: bool = False

    def __post_init__(self) -> None:
        """Check that a fraction to multiply with can be found."""
        if self.treatment == "multiply" and not (self.variable and self.file):
            raise CatalogError(
                "'land_fraction' with treatment 'multiply' needs 'variable' and 'file'."
            )


@dataclass(frozen=True)
class CoordinateSource:
    """Cell centres of files whose own coordinates are missing or all the same.

    Attributes:
        lat: The first and the last row of the file, degrees north.
        lon: The first and the last column of the file, degrees east.
    """

    lat: tuple[float, float]
    lon: tuple[float, float]


@dataclass(frozen=True)
class AreaSource:
    """A product's own cell areas, used to compare with its published totals.

    Attributes:
        variable: Name of the area, m2, in ``file``.
        file: Path below the entry's root.
    """

    variable: str
    file: str


@dataclass(frozen=True)
class TableLayout:
    """The columns of a table of one value a year or a month.

    Attributes:
        year: Column of the year, if there is one.
        month: Column of the month, if there is one.
        date: Column of dates such as 1979-01, instead of year and month.
        annual_mean: Replace months by the mean of their year. This takes out the
            season, which e.g. a single station has and a global model never saw.
        skip: Lines to skip before the header, beside those beginning with '#'.
        columns: Names of the columns of a file without a header, in their order.
    """

    year: str | None = None
    month: str | None = None
    date: str | None = None
    annual_mean: bool = False
    skip: int = 0
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class RegionLayer:
    """One variable of integer labels in a file of regions.

    Attributes:
        variable: Its name in the file.
        names: Label to name of region. Labels not named belong to ``other``.
    """

    variable: str
    names: dict[int, str]


@dataclass(frozen=True)
class Entry:
    """One product of the catalog, checked.

    Attributes:
        name: Name of the entry, equal to the name of its file.
        kind: What the product is for.
        domain: The surface it describes.
        reader: The reader which understands its files.
        label: Name of the product in stores and figures; ``name`` when empty.
        evidence: What stands behind its numbers.
        root: Folder below ``paths.data``, or an absolute path.
        files: Path pattern below ``root``; may hold ``{simulation}``,
            ``{variable}`` (the canonical name), ``{year}`` (the first of ``years``) and
            shell wildcards.
        variables: How each canonical variable stands in the files.
        years: First and last year to use; last may be open (null).
        calendar: The files' calendar, when their attribute is absent or wrong.
        time_units: The files' unit of time, when their attribute is absent or wrong;
            ``none`` if the numbers mean nothing and steps must be counted.
        ends: The last year that the files hold: a check of every time axis, and the
            anchor of one that says nothing.
        coordinates: Cell centres, when the files' own are missing or all the same.
        simulations: What each simulation saw (teachers only).
        nbp_contains: Components in the net flux beside gpp - ra - rh.
        residual: Declared difference of nbp and its components.
        drift: How the drift of an ocean model is taken out of its sink.
        land_fraction: How fluxes become totals.
        cell_area: The product's own cell areas, for its published totals.
        table: Columns (tables only).
        layers: Label variables (regions only).
        legend: What each class of a map of classes is, in words that its file's own
            legend must contain.
        own_state_of: The teacher whose own state these fields are: inputs no
            forecast has, so that skill with them is an upper bound.
        gates: Overridden gates with the reason.
        description: One or two sentences for ``catalog show``.
        note: What a user of the numbers must know.
        licence: Licence as its provider states it.
        citation: How to cite it.
        doi: Its digital object identifier.
        policy: Conditions beyond the licence, e.g. co-authorship.
        latency_days: Days from the end of a month to its publication.
        known_since: Date of the edition, for vintages.
        fetch: Where its files can be had.
    """

    name: str
    kind: Kind
    domain: Domain
    reader: ReaderName
    label: str = ""
    evidence: Evidence = ""
    root: str = ""
    files: str = ""
    variables: dict[str, VariableSource] = field(default_factory=dict)
    years: Years | None = None
    calendar: Calendar | None = None
    time_units: str = ""
    ends: int | None = None
    coordinates: CoordinateSource | None = None
    simulations: dict[str, Simulation] = field(default_factory=dict)
    nbp_contains: tuple[str, ...] = ()
    residual: Residual | None = None
    drift: DriftSource | None = None
    land_fraction: FractionSource | None = None
    cell_area: AreaSource | None = None
    table: TableLayout | None = None
    layers: tuple[RegionLayer, ...] = ()
    legend: dict[int, str] = field(default_factory=dict)
    own_state_of: str | None = None
    gates: dict[str, str] = field(default_factory=dict)
    description: str = ""
    note: str = ""
    licence: str = ""
    citation: str = ""
    doi: str = ""
    policy: str = ""
    latency_days: float | None = None
    known_since: str = ""
    fetch: FetchSource | None = None

    def __post_init__(self) -> None:
        """Check what depends on more than one key."""
        _check_variables(self)
        _check_sums(self)
        _check_kind(self)
        _check_shares(self)
        _check_fetch(self)
        if self.drift is not None:
            self.drift.require(self.simulations, self._where())
        unknown = sorted(set(self.gates) - set(GATES))
        if unknown:
            raise CatalogError(
                f"{self._where()} overrides unknown gates {unknown}; gates are "
                f"{list(GATES)}."
            )
        silent = sorted(gate for gate, why in self.gates.items() if not why.strip())
        if silent:
            raise CatalogError(
                f"{self._where()} overrides the gates {silent} without a reason, which "
                f"the store keeps. Write why the data are right."
            )

    @property
    def title(self) -> str:
        """Name of the product in stores and figures."""
        return self.label or self.name

    def label_years(self, simulation: str | None) -> Years | None:
        """Return the years of the labels of ``simulation``."""
        if simulation is not None and self.simulations[simulation].years is not None:
            return self.simulations[simulation].years
        return self.years

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as plain JSON types, without what was left unsaid."""
        said: dict[str, Any] = strict.plain(self)
        return said

    def _where(self) -> str:
        return f"Catalog entry '{self.name}'"


def parse_entry(name: str, said: object, source: str) -> Entry:
    """Turn the content of one YAML file into a checked entry.

    Args:
        name: Name of the file without its suffix.
        said: The parsed YAML.
        source: The file, for messages.

    Returns:
        The entry.

    Raises:
        CatalogError: If a key is unknown or missing, a value has another type,
            or the keys do not agree with each other.
    """
    try:
        entry = strict.build(Entry, said)
    except CatalogError as error:
        raise CatalogError(f"{source}: {error}") from None
    if not isinstance(entry, Entry) or entry.name != name:
        raise CatalogError(
            f"{source}: 'name' is '{getattr(entry, 'name', None)}', but must equal "
            f"the name of the file, '{name}'."
        )
    return entry


def _check_variables(entry: Entry) -> None:
    for name in entry.variables:
        if name not in VARIABLES:
            close = difflib.get_close_matches(name, VARIABLES, n=1)
            hint = f"; did you mean '{close[0]}'?" if close else "."
            raise CatalogError(
                f"{entry._where()} names the unknown variable '{name}'{hint} "
                f"Canonical names are {sorted(VARIABLES)}."
            )
        role = VARIABLES[name].role
        if entry.kind in ("forcing", "static") and role not in _INPUT_ROLES:
            raise CatalogError(
                f"{entry._where()} offers '{name}' as {entry.kind}, but it is a "
                f"{role}: an answer of a model, which no forecast has. Remove it."
            )
        if entry.kind == "teacher" and role not in _ANSWER_ROLES:
            raise CatalogError(
                f"{entry._where()} is a teacher, but '{name}' is a {role} field. "
                f"Put it into an entry of kind 'forcing' or 'static'."
            )


def _check_sums(entry: Entry) -> None:
    for name, source in entry.variables.items():
        if not source.sum_of:
            continue
        said, needs = set(source.sum_of), _SUM_NEEDS.get(name, ())
        if said - _SUM_MAY_LACK not in needs or (
            name != "nbp" and said & _SUM_MAY_LACK
        ):
            raise CatalogError(
                f"{entry._where()}: '{name}' cannot be the sum of {sorted(said)}. "
                f"nbp can be that of gpp, ra, rh or of npp, rh, each with fFire and "
                f"fLuc where the model has them; npp that of gpp, ra; ra that of gpp, "
                f"npp."
            )
        absent = [
            part
            for part in source.sum_of
            if part not in entry.variables or entry.variables[part].sum_of
        ]
        if absent:
            raise CatalogError(
                f"{entry._where()}: '{name}' is the sum of {absent} among others, "
                f"which no file holds. Add them under 'variables', or leave them out."
            )


def _check_kind(entry: Entry) -> None:
    if entry.kind == "teacher":
        if not entry.simulations:
            raise CatalogError(
                f"{entry._where()} is a teacher, but has no 'simulations': say for "
                f"each which weather and CO2 it saw."
            )
        if entry.domain == "both" or entry.years is None or not entry.evidence:
            raise CatalogError(
                f"{entry._where()} is a teacher: it needs domain 'land' or 'ocean', "
                f"'years' and 'evidence'."
            )
    elif entry.simulations:
        raise CatalogError(
            f"{entry._where()} has 'simulations', which only teachers have; its kind "
            f"is '{entry.kind}'."
        )
    if entry.kind == "forcing" and (entry.years is None or not entry.evidence):
        raise CatalogError(
            f"{entry._where()} is forcing: it needs 'years' and 'evidence'."
        )
    if entry.kind == "regions" and not (entry.layers and entry.files):
        raise CatalogError(f"{entry._where()} needs 'files' and 'layers'.")
    if entry.kind != "regions" and not entry.variables:
        raise CatalogError(f"{entry._where()} has no 'variables'.")
    absolute = [pattern for pattern in _patterns(entry) if pattern.startswith("/")]
    if absolute:
        raise CatalogError(
            f"{entry._where()}: the path pattern '{absolute[0]}' is absolute, but must "
            f"lie below 'root'. Move its folder to 'root', which may be absolute."
        )
    for name, source in entry.variables.items():
        if not (source.files or entry.files or source.sum_of):
            raise CatalogError(
                f"{entry._where()} does not say where '{name}' is: give 'files' for "
                f"the entry or for the variable."
            )


def _check_shares(entry: Entry) -> None:
    """Check what readers of land cover and land use need, and others must not have."""
    is_map, is_states = entry.reader == "classes", entry.reader == "luh"
    if (is_map or is_states or entry.reader == "forest_age") and entry.kind != "static":
        raise CatalogError(
            f"{entry._where()} is of kind '{entry.kind}', but its reader "
            f"'{entry.reader}' gives static fields. Write kind: static."
        )
    if bool(entry.legend) != is_map:
        raise CatalogError(
            f"{entry._where()} has the reader '{entry.reader}' and "
            f"{len(entry.legend)} classes in 'legend', which the reader 'classes' "
            f"needs and no other has."
        )
    for name, source in entry.variables.items():
        if bool(source.classes) != is_map or (source.states and not is_states):
            raise CatalogError(
                f"{entry._where()}: '{name}' has the classes {list(source.classes)} "
                f"and the states {list(source.states)}, but 'classes' belong to every "
                f"variable of the reader 'classes' and to no other, 'states' to the "
                f"reader 'luh'; this is '{entry.reader}'."
            )
        absent = sorted(set(source.classes) - set(entry.legend))
        if absent:
            raise CatalogError(
                f"{entry._where()}: '{name}' is made up of the classes {absent} among "
                f"others, which are not in 'legend'. Add them there, in words."
            )
    if (is_map or is_states) and (entry.years is None or entry.years[1] is None):
        raise CatalogError(
            f"{entry._where()} does not say of which years its shares are to be. Give "
            f"'years', the first and the last; twice the same for one year."
        )
    if is_map and entry.years is not None and entry.years[0] != entry.years[1]:
        raise CatalogError(
            f"{entry._where()}: a map of classes is of one year, but 'years' are "
            f"{_span(entry.years)}. Write the same year twice."
        )


def _require_known(entry: Entry, source: FetchSource) -> None:
    """Refuse a checksum of no file: what it was meant for would go unchecked."""
    surfaces = [one.file for one in (entry.land_fraction, entry.cell_area) if one]
    read = [*_patterns(entry), *filter(None, surfaces)]
    patterns = [
        re.sub(r"{\w+}", "*", pattern)
        for pattern in filter(None, [*(source.files or read), source.instead])
    ]
    for path in source.known:
        if not any(fnmatchcase(path.lower(), one.lower()) for one in patterns):
            raise CatalogError(
                f"{entry._where()}: 'fetch.known' names '{path}', but its files are "
                f"{patterns}. Correct the path, from 'base' on."
            )


def _patterns(entry: Entry) -> list[str]:
    return [entry.files, *(v.files for v in entry.variables.values() if v.files)]


def _check_fetch(entry: Entry) -> None:
    source = entry.fetch
    if source is None:
        return
    if source.accept and not entry.policy:
        raise CatalogError(
            f"{entry._where()} wants '{source.accept}' to be accepted, but has no "
            f"'policy': write what is to be accepted."
        )
    _require_known(entry, source)
    if source.base and not (source.files or source.index):
        listless = [pattern for pattern in _patterns(entry) if has_wildcard(pattern)]
        if listless:
            raise CatalogError(
                f"{entry._where()}: 'fetch' has neither 'files' nor 'index', and "
                f"'{listless[0]}' stands for more than one path. Give one of them."
            )
    if source.client:
        unknown = sorted(set(source.client.variables) - set(entry.variables))
        if unknown:
            raise CatalogError(
                f"{entry._where()}: 'fetch.client' names {unknown}, which are none of "
                f"its variables {sorted(entry.variables)}."
            )


def _span(years: Years) -> str:
    return f"{years[0]}-{'' if years[1] is None else years[1]}"
