"""Which forcing product is mapped onto which: settings, and what they must share.

Networks are trained on one product (CRU-JRA) and run on another (ERA5). Both are
prepared as stores on one grid; ``fit`` learns from what they share.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, SettingsError, StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.mapping import Months
from emulator.carbon.timeaxis import (
    MONTHS_PER_YEAR,
    as_months,
    require_monotone_complete,
    years_of,
)
from emulator.carbon.variables import VARIABLES
from emulator.data.stores import FORCING_SCHEMA, TRAINING_SCHEMA, open_store

Fields = NDArray[np.float32]
Years = NDArray[np.int64]

METHODS = ("delta", "ratio", "quantiles")

USUAL_METHODS = {
    **dict.fromkeys(("tas", "tos", "tosforc", "sos", "tauu", "siconc"), "delta"),
    **dict.fromkeys(
        ("pr", "rsds", "rlds", "huss", "vpd", "sfcWind", "mlotst", "chlos"), "ratio"
    ),
}
"""Added where a quantity has no zero, or where zero is its usual value (sea ice)."""

LEAST_YEARS = 3
"""Years without which a mean of a calendar month means nothing."""


@dataclass
class MappingSettings:
    """How one product is mapped onto another.

    Attributes:
        product: The store that is mapped, a path or a name given to ``prepare``.
        onto: The store with the product that teachers saw; empty with ``by``.
        by: A map that was learned before, to map another store of the product by it.
        name: Of the map and the mapped store; from both products when empty.
        variables: What is mapped; all that ``onto`` has when empty.
        methods: "delta", "ratio" or "quantiles" of each variable.
        years: First and last year to learn from; all that both have when empty.
        withheld: Last years of these, which the report on what is left is about; the
            last third when None. The map itself is learned from all years.
        quantiles: How many, for the method of that name.
        largest_ratio: Largest ratio; its inverse is the smallest.
        run: A run for which the cost in carbon is told; empty for none.
        device: "cpu" or "cuda", where networks answer.
    """

    product: str
    onto: str = ""
    by: str = ""
    name: str = ""
    variables: list[str] = field(default_factory=list)
    methods: dict[str, str] = field(default_factory=lambda: dict(USUAL_METHODS))
    years: list[int] = field(default_factory=list)
    withheld: int | None = None
    quantiles: int = 20
    largest_ratio: float = 10.0
    run: str = ""
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check what can be checked without the stores.

        Raises:
            SettingsError: If a value is impossible.
        """
        if bool(self.onto) == bool(self.by):
            raise SettingsError(
                f"map needs product=STORE and one of onto=STORE, to learn, and "
                f"by=PATH, a map that was learned: got onto {self.onto!r} and by "
                f"{self.by!r}."
            )
        if self.by and self.run:
            raise SettingsError(
                "run= tells the cost of a map in withheld years, with onto=STORE. "
                "Leave out by=PATH."
            )
        for name, method in self.methods.items():
            if name not in VARIABLES or method not in METHODS:
                raise SettingsError(
                    f"methods.{name} is {method!r}, but each forcing variable has one "
                    f"of {', '.join(METHODS)}. Correct the name or the method."
                )
        if self.years and (len(self.years) != 2 or self.years[0] > self.years[1]):
            raise SettingsError(
                f"years must be the first and the last year, got {self.years}."
            )
        if self.withheld is not None and self.withheld < 1:
            raise SettingsError(
                f"withheld is {self.withheld}, but one year at least is kept from the "
                f"fit to see what is left. Leave it out for the last third."
            )
        if self.quantiles < 2 or not self.largest_ratio >= 1:
            raise SettingsError(
                f"quantiles is {self.quantiles} and largest_ratio "
                f"{self.largest_ratio:g}, but they must be 2 and 1 or more."
            )


@dataclass(frozen=True, eq=False)
class Product:
    """Forcing of calendar months, from a store of either kind.

    Attributes:
        path: The store.
        fields: Its forcing (time, lat, lon), lazily, with its attributes.
        months: datetime64[M]; shape (time,).
        grid: Its grid.
        area: Area of the domain in each cell, m2; shape (lat, lon).
    """

    path: Path
    fields: xr.Dataset
    months: Months
    grid: Grid
    area: NDArray[np.float64]

    @property
    def title(self) -> str:
        """Its name."""
        return str(self.fields.attrs.get("title", self.path.stem))

    @property
    def is_forcing_store(self) -> bool:
        """Whether it has what a prediction needs, CO2 of calendar months."""
        return bool(self.fields.attrs["schema"] == FORCING_SCHEMA)

    @property
    def identity(self) -> dict[str, str]:
        """Name, kind and hash of the store, and the sizes of what it was made from."""
        said = {
            name: str(self.fields.attrs.get(name, ""))
            for name in ("title", "schema", "settings_hash", "source_bytes")
        }
        return said | {"months": f"{self.months[0]} to {self.months[-1]}"}

    def of_years(self, name: str, years: Years) -> tuple[Fields, Months]:
        """Return a variable in some years, float32 (time, lat, lon), and the months."""
        chosen = np.flatnonzero(np.isin(years_of(self.months), years))
        span = slice(int(chosen[0]), int(chosen[-1]) + 1)
        return self.fields[name].isel(time=span).to_numpy(), self.months[span]


def open_product(path: Path) -> Product:
    """Open a forcing store, or the weather of a training store.

    Raises:
        StoreError: If it is neither.
        TimeAxisError: If it lacks a month between others.
    """
    try:
        store = open_store(path, FORCING_SCHEMA)
    except StoreError:
        store = open_store(path, TRAINING_SCHEMA)
        is_month = store["weather_kind"].to_numpy() == "month"
        store = store.drop_dims("time").isel(weather_time=is_month)
        store = store.rename(weather_time="time")
    months = as_months(store["time"].to_numpy())
    require_monotone_complete(months)
    dims = ("time", "lat", "lon")
    return Product(
        path=path,
        fields=store[[name for name, one in store.items() if one.dims == dims]],
        months=months,
        grid=Grid(store["lat"].to_numpy(), store["lon"].to_numpy()),
        area=store["area"].to_numpy() * store["fraction"].to_numpy(),
    )


@dataclass(frozen=True, eq=False)
class Pair:
    """Two products that can be mapped.

    Attributes:
        product: What is mapped.
        onto: What teachers saw.
        variables: What is mapped.
        methods: The method of each.
        years: Whole years of both; shape (year,).
        withheld: How many of these, the last, are kept from the fit of the report.
    """

    product: Product
    onto: Product
    variables: tuple[str, ...]
    methods: Mapping[str, str]
    years: Years
    withheld: int

    @property
    def fitted(self) -> Years:
        """The years that the fit of the report sees."""
        return self.years[: -self.withheld]

    @property
    def scored(self) -> Years:
        """The years that it does not see."""
        return self.years[-self.withheld :]


def pair(settings: MappingSettings, product: Product, onto: Product) -> Pair:
    """Hold two products against each other.

    Raises:
        SettingsError: If a variable has no method, or common years are none, or too
            few for a method.
        StoreError: If domains differ, or a product lacks a variable.
        GridMismatchError: If the grids differ.
    """
    if not product.grid.matches(onto.grid):
        raise GridMismatchError(
            f"{product.path} is on {product.grid.describe()}, {onto.path} on "
            f"{onto.grid.describe()}: a map goes from cell to cell. Prepare the first "
            f"with the grid_step of the second."
        )
    domains = [str(one.fields.attrs.get("domain")) for one in (product, onto)]
    if domains[0] != domains[1]:
        raise StoreError(
            f"{product.path} is of the {domains[0]}, {onto.path} of the {domains[1]}. "
            f"Give two stores of one domain."
        )
    names = tuple(settings.variables or sorted(map(str, onto.fields)))
    for one in (product, onto):
        if missing := [name for name in names if name not in one.fields]:
            raise StoreError(
                f"{one.path} has {sorted(map(str, one.fields))}, but not "
                f"{', '.join(missing)}. Prepare it with these, or say variables=[...] "
                f"for a map of fewer, which serves networks that need no more."
            )
    if unsaid := [name for name in names if name not in settings.methods]:
        raise SettingsError(
            f"No method is stated for {', '.join(unsaid)}. Say methods.{unsaid[0]}= "
            f"one of {', '.join(METHODS)}."
        )
    years = _common_years(settings, product, onto)
    withheld = settings.withheld or max(1, years.size // 3)
    found = Pair(
        product,
        onto,
        names,
        {name: settings.methods[name] for name in names},
        years,
        withheld,
    )
    _require_enough(settings, found)
    return found


def _common_years(settings: MappingSettings, product: Product, onto: Product) -> Years:
    """Return the whole years of both among those asked for."""
    common = np.intersect1d(product.months, onto.months)
    years, counts = np.unique(years_of(common), return_counts=True)
    whole: Years = years[counts == MONTHS_PER_YEAR]
    if settings.years:
        first, last = settings.years
        whole = whole[(whole >= first) & (whole <= last)]
    if whole.size:
        return whole
    limit = f" among {settings.years[0]}-{settings.years[1]}" if settings.years else ""
    held = " and ".join(
        f"{one.title} {one.months[0]} to {one.months[-1]}" for one in (product, onto)
    )
    raise SettingsError(
        f"The products share no whole year{limit}: {held}. Prepare years that both "
        f"have, or give other years."
    )


def _require_enough(settings: MappingSettings, found: Pair) -> None:
    """Refuse fewer years than a method needs."""
    least = dict.fromkeys(found.variables, LEAST_YEARS)
    least |= {
        name: max(LEAST_YEARS, settings.quantiles)
        for name, method in found.methods.items()
        if method == "quantiles"
    }
    left = found.years.size - found.withheld
    if few := {name: years for name, years in least.items() if years > left}:
        name = max(few, key=lambda one: few[one])
        raise SettingsError(
            f"{found.years.size} whole years are common, {found.years[0]}-"
            f"{found.years[-1]}, {found.withheld} of them withheld, but "
            f"{found.methods[name]} of '{name}' needs {few[name]} to learn from. "
            f"Prepare more years, withhold fewer, or choose another method"
            f"{' or fewer quantiles' if found.methods[name] == 'quantiles' else ''}."
        )
