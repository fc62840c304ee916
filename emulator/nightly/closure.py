"""The global carbon budget with the sinks of a map, by year and over any twelve months.

E_FOS + E_LUC = G_ATM + S_OCEAN + S_LAND + cement + B_IM. Sinks are those of the map,
growth is that of NOAA's record, emissions are those of a budget's edition and, after
its last year, carried on; each value carries a flag that says so. Single months are not
closed: the trend of CO2 is a mean over seasons.

Where the weather is simulated there is nothing to close, and the attribute says so.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon import emissions
from emulator.carbon.adjustment import DEFINITIONS, Definition
from emulator.carbon.budget import (
    budget_imbalance,
    growth_to_pgc,
    quadrature,
    residual_sink,
)
from emulator.carbon.growth import twelve_month_growth
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, as_months, years_of
from emulator.data.readers import carbon_monitor, co2_record, workbook
from emulator.data.readers.carbon_monitor import MonthlyEmissions
from emulator.data.readers.co2_record import Co2Record
from emulator.data.readers.workbook import Workbook
from emulator.evaluation.calibration import normal_multiple
from emulator.nightly import ocean_sink, series
from emulator.nightly.adjust import WINDOW
from emulator.nightly.budget import BUDGET_UNITS
from emulator.nightly.budget_settings import BudgetSettings
from emulator.nightly.evidence import not_of_the_world

Array = NDArray[np.float64]
Flags = NDArray[np.int8]
Months = NDArray[np.datetime64]

ATTRIBUTE = "closure"
"""Attribute of the map that says, as JSON, what the closure rests on."""

TERMS = ("e_fos", "e_luc", "g_atm", "s_ocean", "s_land", "cement", "b_im")

LAND_NUMBER_OF = {"S2": "s_land_s2", "S3": "net_s3"}
"""The number of the land that the total of nbp is, by simulation."""

FLAGS = {
    "missing": 0,
    "published": 1,
    "observed": 2,
    "emulated": 3,
    "extrapolated": 4,
    "derived": 5,
}
"""What a value is: of an edition of the budget, of the CO2 record, of the map, carried
beyond the edition's last year, or computed from others."""

LAND_NUMBERS = {
    "s_land_s2": "S_LAND: total of nbp in simulation S2 (climate and CO2)",
    "net_s3": "total of nbp in simulation S3 (with land use)",
    "net_gcb": "s_land_s2 less bookkeeping emissions from land use (E_LUC)",
    "eluc_dgvm": "S2 less S3, which includes lost sink capacity; known where both are",
    "rss": "residual sink of the budget: E_FOS + E_LUC - G_ATM - S_OCEAN - cement",
}
"""Numbers of the land that are often mixed up, and what each is."""

_NBP_IS = "total of nbp"
"""Key of ``ATTRIBUTE`` that says which of them it is."""

AROUND = {"global": 1, "mauna_loa": 2}
"""Months on either side of a turn whose mean is the level there, as NOAA has it."""

FEWEST_GROWTHS = 3
"""Growths that a product of emissions must share with the budget for its own error to
be measured; with fewer, it is taken to be as wrong as persisted growth."""


@dataclass(frozen=True, eq=False)
class Records:
    """What was observed and published; None where it is not given.

    Attributes:
        book: An edition of the budget.
        co2: The global record.
        mauna_loa: That of Mauna Loa.
        carbon_monitor: Monthly emissions.
    """

    book: Workbook | None = None
    co2: Co2Record | None = None
    mauna_loa: Co2Record | None = None
    carbon_monitor: MonthlyEmissions | None = None


def read_records(settings: BudgetSettings) -> Records:
    """Read the tables that settings name.

    Raises:
        UserError: If one cannot be read.
    """
    where = {
        "book": (settings.workbook, workbook.read),
        "co2": (settings.co2, co2_record.read),
        "mauna_loa": (settings.mauna_loa, co2_record.read),
        "carbon_monitor": (settings.carbon_monitor, carbon_monitor.read),
    }
    found: dict[str, Any] = {
        name: read(Path(path)) for name, (path, read) in where.items() if path
    }
    return Records(**found)


def closure(
    totals: xr.Dataset, settings: BudgetSettings, records: Records
) -> xr.Dataset:
    """Return the budget, the growth of CO2 and the numbers of the land.

    Args:
        totals: A map with what ``series.running`` and ``adjust.adjusted`` return.
        settings: Definition, simulation, adjustment and how emissions are carried on.
        records: What was observed and published.

    Returns:
        PgC yr-1 of the globe: ``land_year(land_number, year)`` and
        ``land_12month(land_number, time)``; and where the weather is that of the world
        and a workbook is given, ``closure_year(term, year)`` and
        ``closure_12month(term, time)``, with ``_sigma`` and ``_flag`` of each, and
        ``co2_growth_year(co2_record, year)`` and ``co2_growth_12month``, ppm yr-1, with
        ``_sigma``. The attribute ``closure``.
    """
    about: dict[str, Any] = {"definition": settings.definition}
    if "nbp" in totals.get_index("flux"):
        about[_NBP_IS] = LAND_NUMBER_OF[settings.simulation]
    reason = not_of_the_world(totals)
    if reason is None and records.book is None:
        reason = "No workbook of the Global Carbon Budget is given: no emissions."
    if reason is not None:
        about["not applicable"] = reason
    found = xr.Dataset()
    for period in ("year", "12month"):
        axis = totals[series.PERIODS[period]]
        ends = _ends(totals, period)
        terms = _sinks(totals, period, settings)
        if reason is None and records.book is not None:
            growth = _growth(ends, records)
            terms |= _emissions(ends, settings, records.book, records.carbon_monitor)
            terms["g_atm"] = _atmosphere(ends, growth.get("global"), records.book)
            terms["b_im"] = _imbalance(terms)
            found = found.merge(_of_terms(terms, period, axis))
            found = found.merge(_of_growth(growth, period, axis))
        nbp = _land_total(totals, period, settings)
        found = found.merge(_land(nbp, terms, period, axis, settings.simulation))
    if reason is None and records.book is not None:
        about |= _said(totals, settings, records.book, records)
    found.attrs = {ATTRIBUTE: json.dumps(about, sort_keys=True)}
    return found


def land_number(sink_map: xr.Dataset) -> str:
    """Return which number of the land the total of a map's nbp is, by name.

    Args:
        sink_map: A map with what ``closure`` returns; without, it is that of S2.
    """
    about = json.loads(sink_map.attrs.get(ATTRIBUTE, "{}"))
    return str(about.get(_NBP_IS, LAND_NUMBER_OF["S2"]))


@dataclass(frozen=True, eq=False)
class _Series:
    """A term of the budget.

    Attributes:
        value: PgC yr-1, NaN where not known; shape (step,).
        sigma: Its standard error; shape (step,).
        flag: One of ``FLAGS`` where it is known; shape (step,).
    """

    value: Array
    sigma: Array
    flag: Flags


def _series(value: Array, sigma: Array | float, flag: Flags | str) -> _Series:
    codes = FLAGS[flag] if isinstance(flag, str) else flag
    known = np.isfinite(value)
    return _Series(
        value,
        np.where(known, sigma, np.nan),
        np.where(known, codes, FLAGS["missing"]).astype(np.int8),
    )


def _ends(totals: xr.Dataset, period: str) -> Months:
    """Return the last month of each total, datetime64[M]."""
    if period == "12month":
        return as_months(totals["time"].to_numpy())
    since = totals["year"].to_numpy().astype(np.int64) - 1970
    return (since * MONTHS_PER_YEAR + MONTHS_PER_YEAR - 1).astype("datetime64[M]")


def _sinks(
    totals: xr.Dataset, period: str, settings: BudgetSettings
) -> dict[str, _Series]:
    """Return S_LAND and S_OCEAN of the map, as the definition has them."""
    definition = DEFINITIONS.get(settings.definition)
    years = years_of(_ends(totals, period))
    land = _land_total(totals, period, settings)
    if settings.simulation != "S2":  # with land use, nbp is no S_LAND
        land = np.full(land.shape, np.nan)
    if definition is not None:
        land = definition.land(land, years)
    ocean, ocean_factor = _ocean(totals, period, settings, definition)
    land_factor = 1.0 if definition is None else definition.land_factor
    found = {}
    for name, flux, value, factor, published in (
        ("s_land", "nbp", land, land_factor, emissions.LAND_SIGMA),
        ("s_ocean", "fgco2", ocean, ocean_factor, emissions.OCEAN_SIGMA),
    ):
        # The map's error is one of teachers as they are, before they are scaled.
        known = factor * _interval_sigma(totals, flux, period, settings)
        sigma = np.where(np.isfinite(known), known, published)
        found[name] = _series(value, sigma, "emulated")
    return found


def _land_total(totals: xr.Dataset, period: str, settings: BudgetSettings) -> Array:
    """Return the global total of nbp, (step,), adjusted as asked; NaN without land."""
    if "nbp" not in totals.get_index("flux"):
        return np.full(totals.sizes[series.PERIODS[period]], np.nan)
    mean = totals[f"budget_{period}"]
    if f"budget_{period}_adjusted" in totals:
        chosen = {WINDOW: settings.adjustment.window}
        mean = totals[f"budget_{period}_adjusted"].sel(chosen)
    values: Array = mean.sel(flux="nbp", region="globe").to_numpy()
    return values


def _ocean(
    totals: xr.Dataset,
    period: str,
    settings: BudgetSettings,
    definition: Definition | None,
) -> tuple[Array, float]:
    """Return S_OCEAN, (step,), and by what a definition scales an error of teachers.

    It is made of the members of the adjustment, models and products each in its way.
    """
    years = years_of(_ends(totals, period))
    flux = ocean_sink.FLUX
    if flux not in totals.get_index("flux"):
        return np.full(years.size, np.nan), 1.0
    rates = series.teacher_months(totals, flux).sel(region="globe")
    rates = ocean_sink.without_drift(totals, rates, settings)
    if f"{flux}_adjustment" in totals:
        chosen = {WINDOW: settings.adjustment.window}
        offset = totals[f"{flux}_adjustment"].sel(chosen).sel(region="globe")
        rates = (rates + offset).dropna(ocean_sink.TEACHER, how="all")
    if definition is None:
        rates = ocean_sink.with_rivers(totals, rates, settings)
    each = series.twelve_months(rates)
    if period == "year":
        each = series.calendar_years(rates, totals["year"].to_numpy())
    if definition is None:
        return each.mean(ocean_sink.TEACHER, skipna=False).to_numpy(), 1.0
    by_name = {str(one[ocean_sink.TEACHER].values): one.to_numpy() for one in each}
    models = [v for n, v in by_name.items() if n not in settings.products]
    products = {n: v for n, v in by_name.items() if n in settings.products}
    mean = np.mean(models, axis=0) if models else None
    factor = definition.ocean_factor(models=bool(models), products=bool(products))
    return definition.ocean(mean, products, years), factor


def _interval_sigma(
    totals: xr.Dataset, flux: str, period: str, settings: BudgetSettings
) -> Array:
    """Return the standard error behind the interval of a global sink; (step,)."""
    name = f"budget_{period}_adjusted"
    name = name if name in totals else f"budget_{period}"
    ends = totals.get(f"{name}_interval_sink")
    if ends is None or flux not in totals.get_index("flux"):
        return np.full(totals.sizes[series.PERIODS[period]], np.nan)
    if WINDOW in ends.dims:
        ends = ends.sel({WINDOW: settings.adjustment.window})
    lower, upper = ends.sel(flux=flux, region="globe").transpose("bound", ...).values
    level = float(ends.attrs.get(f"{flux}_level", series.LEVEL))
    return np.asarray((upper - lower) / 2 / normal_multiple(level))


def _emissions(
    ends: Months,
    settings: BudgetSettings,
    book: Workbook,
    monitor: MonthlyEmissions | None,
) -> dict[str, _Series]:
    """Return E_FOS, E_LUC and cement: published, then carried on."""
    table, leads = book.budget, settings.longest
    last = int(table.years[-1])
    years = np.arange(table.years[0], last + leads + 1)
    fossil, land_use = table.columns["e_fos"], table.columns["e_luc"]
    cement = table.columns["cement"]
    carried = {
        "e_fos": _fossil(fossil, last, settings, monitor),
        "e_luc": _persisted(land_use, leads),
        "cement": _persisted(cement, leads),
    }
    own = {
        "e_fos": emissions.FOSSIL_SIGMA * fossil,
        "e_luc": np.full(land_use.size, emissions.LAND_USE_SIGMA),
        # The budget states none for cement, which is a fiftieth of fossil emissions.
        "cement": np.zeros(cement.size),
    }
    late = years_of(ends) > last
    flags = np.where(late, FLAGS["extrapolated"], FLAGS["published"]).astype(np.int8)
    found = {}
    for name, (later, error) in carried.items():
        values = np.concatenate([table.columns[name], later])
        sigmas = np.concatenate([own[name], quadrature(own[name][-1], error)])
        found[name] = _series(
            emissions.over_twelve_months(values, years, ends),
            emissions.over_twelve_months(sigmas, years, ends),
            flags,
        )
    return found


def _persisted(values: Array, leads: int) -> tuple[Array, Array]:
    """Return values after the last year, and how wrong they are; (lead,) each."""
    error = emissions.hindcast_error(values, leads, emissions.persisted, fewest=1)
    return emissions.persisted(values, leads), error


def _fossil(
    values: Array,
    last: int,
    settings: BudgetSettings,
    monitor: MonthlyEmissions | None,
) -> tuple[Array, Array]:
    """Return fossil emissions after the last year, and how wrong they are.

    Where the product of emissions has months of a year they are followed; the share of
    the year that it does not have is as uncertain as persisted growth.
    """
    leads = settings.longest
    grow = partial(emissions.grown, span=settings.growth_years)
    later = grow(values, leads)
    error = emissions.hindcast_error(
        values, leads, grow, fewest=settings.growth_years + 1
    )
    if monitor is None:
        return later, error
    followed, share = emissions.scaled(
        values[-1], last, leads, monitor.carbon, monitor.months
    )
    own = _monitor_error(values, last, monitor)
    followed_error = error
    if own is not None:
        apart = own * followed * np.arange(1, leads + 1) ** 0.5
        followed_error = quadrature(apart, (1 - share) * error)
    known = share > 0
    # Beyond the product growth goes on from where it stopped.
    if known.any() and not known.all():
        first = int(known.nonzero()[0][-1]) + 1
        rate = later[0] / values[-1]
        later[first:] = followed[first - 1] * rate ** np.arange(1, leads - first + 1)
    return np.where(known, followed, later), np.where(known, followed_error, error)


def _monitor_error(values: Array, last: int, monitor: MonthlyEmissions) -> float | None:
    """Return by how much the product's annual growth differs from the budget's.

    Root mean square of the difference between relative growths; None for too few.
    """
    years = years_of(monitor.months)
    found, count = np.unique(years, return_counts=True)
    own = {
        year: monitor.carbon[years == year].sum()
        for year in found[count == MONTHS_PER_YEAR].tolist()
    }
    known = dict(zip(range(last - values.size + 1, last + 1), values, strict=True))
    errors = [
        own[year] / own[year - 1] - known[year] / known[year - 1]
        for year in own
        if year - 1 in own and known.keys() >= {year, year - 1}
    ]
    if len(errors) < FEWEST_GROWTHS:
        return None
    return float(np.sqrt(np.mean(np.square(errors))))


def _growth(ends: Months, records: Records) -> dict[str, tuple[Array, Array]]:
    """Return growth and its standard error by record, ppm yr-1; (step,) each.

    The error of a station is also that it is one: the root mean square difference to
    the global growth, of the calendar years that both have.
    """
    found = {}
    for record in (records.co2, records.mauna_loa):
        if record is not None:
            found[record.place] = _growth_of(record, ends)
    if records.co2 is not None and records.mauna_loa is not None:
        month = records.co2.months
        decembers = month[month.astype(np.int64) % MONTHS_PER_YEAR == 11]
        station, _ = _growth_of(records.mauna_loa, decembers)
        globe, _ = _growth_of(records.co2, decembers)
        both = np.isfinite(station - globe)
        apart = float(np.sqrt(np.mean((station - globe)[both] ** 2)))
        value, sigma = found["mauna_loa"]
        found["mauna_loa"] = value, quadrature(np.nan_to_num(sigma), apart)
    return found


def _growth_of(record: Co2Record, ends: Months) -> tuple[Array, Array]:
    return twelve_month_growth(
        record.trend, record.sigma, record.months, ends, around=AROUND[record.place]
    )


def _atmosphere(
    ends: Months, growth: tuple[Array, Array] | None, book: Workbook
) -> _Series:
    """Return G_ATM: of the record, and of the edition where the record has none.

    A year of the edition stands for the calendar year alone: growth is not spread
    evenly over the months.
    """
    is_year = ends.astype(np.int64) % MONTHS_PER_YEAR == MONTHS_PER_YEAR - 1
    published = emissions.over_twelve_months(
        book.budget.columns["g_atm"], book.budget.years, ends
    )
    published = np.where(is_year, published, np.nan)
    if growth is None:
        return _series(published, emissions.GROWTH_SIGMA, "published")
    value, sigma = (growth_to_pgc(each) for each in growth)
    observed = np.isfinite(value)
    flag = np.where(observed, FLAGS["observed"], FLAGS["published"]).astype(np.int8)
    error = np.where(observed & np.isfinite(sigma), sigma, emissions.GROWTH_SIGMA)
    return _series(np.where(observed, value, published), error, flag)


def _imbalance(terms: Mapping[str, _Series]) -> _Series:
    """Return B_IM, flagged as extrapolated where a term is."""
    value = budget_imbalance(**{name: each.value for name, each in terms.items()})
    sigma = quadrature(*(each.sigma for each in terms.values()))
    late = np.any(
        [each.flag == FLAGS["extrapolated"] for each in terms.values()], axis=0
    )
    flag = np.where(late, FLAGS["extrapolated"], FLAGS["derived"]).astype(np.int8)
    return _series(value, sigma, flag)


def _land(
    nbp: Array,
    terms: Mapping[str, _Series],
    period: str,
    axis: xr.DataArray,
    simulation: str,
) -> xr.Dataset:
    """Return the numbers of the land; missing where the map does not know one."""
    values = dict.fromkeys(LAND_NUMBERS, np.full(axis.size, np.nan))
    values[LAND_NUMBER_OF[simulation]] = nbp
    if "e_luc" in terms:
        values["net_gcb"] = values["s_land_s2"] - terms["e_luc"].value
        others = ("e_fos", "e_luc", "g_atm", "s_ocean", "cement")
        values["rss"] = residual_sink(**{name: terms[name].value for name in others})
    names = np.array(list(LAND_NUMBERS), dtype=object)
    attrs = {
        "units": BUDGET_UNITS,
        "long_name": f"carbon taken up by land, {series.SAID[period]}, by definition",
        "comment": "; ".join(f"{name}: {what}" for name, what in LAND_NUMBERS.items()),
    }
    return xr.Dataset(
        {
            f"land_{period}": (
                ("land_number", axis.dims[0]),
                np.stack([*values.values()]),
                attrs,
            )
        },
        coords={
            "land_number": ("land_number", names, {"long_name": "number of the land"}),
            axis.dims[0]: axis,
        },
    )


def _of_terms(
    terms: Mapping[str, _Series], period: str, axis: xr.DataArray
) -> xr.Dataset:
    """Return the terms of the budget as variables."""
    dims = ("term", str(axis.dims[0]))
    what = f"global carbon budget, {series.SAID[period]}"
    stacked = {
        part: np.stack([getattr(terms[name], part) for name in TERMS])
        for part in ("value", "sigma", "flag")
    }
    names = np.array(list(TERMS), dtype=object)
    return xr.Dataset(
        {
            f"closure_{period}": (dims, stacked["value"], {
                "units": BUDGET_UNITS,
                "long_name": what,
                "comment": "E_FOS + E_LUC = G_ATM + S_OCEAN + S_LAND + cement + B_IM. "
                f"See the attribute {ATTRIBUTE} of the map.",
            }),
            f"closure_{period}_sigma": (dims, stacked["sigma"], {
                "units": BUDGET_UNITS,
                "long_name": f"{what}; standard error, of B_IM in quadrature",
                "comment": "Of the sinks that behind the map's interval_sink, where it "
                "has one, else that of the Global Carbon Budget.",
            }),
            f"closure_{period}_flag": (dims, stacked["flag"], {
                "long_name": f"{what}; where the number comes from",
                "flag_values": np.array(list(FLAGS.values()), np.int8),
                "flag_meanings": " ".join(FLAGS),
            }),
        },
        coords={
            "term": ("term", names, {"long_name": "term of the budget"}),
            axis.dims[0]: axis,
        },
    )  # fmt: skip


def _of_growth(
    growth: Mapping[str, tuple[Array, Array]], period: str, axis: xr.DataArray
) -> xr.Dataset:
    """Return the growth of CO2 as variables; none without a record."""
    if not growth:
        return xr.Dataset()
    dims = ("co2_record", str(axis.dims[0]))
    values, sigmas = (np.stack(each) for each in zip(*growth.values(), strict=True))
    what = f"growth of CO2 over the 12 months, deseasonalised, {series.SAID[period]}"
    attrs = {"units": "1e-6 year-1", "long_name": what}
    more = {**attrs, "long_name": f"{what}; standard error"}
    names = np.array(list(growth), dtype=object)
    return xr.Dataset(
        {
            f"co2_growth_{period}": (dims, values, attrs),
            f"co2_growth_{period}_sigma": (dims, sigmas, more),
        },
        coords={
            "co2_record": ("co2_record", names, {"long_name": "record of CO2"}),
            axis.dims[0]: axis,
        },
    )


def _of_ocean(totals: xr.Dataset, settings: BudgetSettings) -> str:
    """Return what S_OCEAN is."""
    said = "simulation A of the models less the drift that their control B shows"
    if ocean_sink.TEACHER not in totals.coords:
        return "the map has no ocean"
    if not ocean_sink.is_drift_known(totals, settings):
        said = "simulation A of the models; the drift of their control B is in it"
    if not totals[ocean_sink.TEACHER].isin(settings.products).any():
        return said
    if settings.definition in DEFINITIONS:
        return f"{said}; products of fCO2 as {settings.definition} has them"
    if settings.river == "off":
        return f"{said}; products of fCO2 lack their river carbon, since none is named"
    return f"{said}; products of fCO2 with river carbon ({settings.river})"


def _said(
    totals: xr.Dataset, settings: BudgetSettings, book: Workbook, records: Records
) -> dict[str, Any]:
    """Return what the closure rests on."""
    how = f"grown on as in the last {settings.growth_years} years"
    if records.carbon_monitor is not None:
        last = records.carbon_monitor.months[-1]
        how = f"growth of Carbon Monitor up to {last}, then {how}"
    said: dict[str, Any] = {
        "edition": book.edition,
        "version": book.version,
        "last year of the edition": int(book.budget.years[-1]),
        "e_fos after it": how,
        "e_luc after it": "as in the last year",
        "cement after it": "as in the last year",
        "s_ocean": _of_ocean(totals, settings),
    }
    for record in (records.co2, records.mauna_loa):
        if record is not None:
            retrieved = settings.co2_retrieved or "not stated"
            said[record.place] = {
                "file": record.source,
                "last month": str(record.months[-1]),
                "retrieved": retrieved,
            }
    return said
