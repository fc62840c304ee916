"""The ocean sink: what teachers give, without drift, with river carbon, by name.

A map shows each teacher as it is. Three things stand between that and S_OCEAN, and each
is a variable or a named option, never silent:

* the *drift* of an ocean model, a fit to its control, taken off its totals;
* the *river flux*, carbon of rivers that flows out again, added to products of fCO2;
* the *coverage*, the share of the sea in which a teacher has a flux at all.

Cells are left alone: a fit is one of totals, and river carbon is known by basin.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.drift import Drift, middle_of_months, model_years
from emulator.carbon.errors import StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.regions import latitude_bands
from emulator.carbon.river import RIVERS, by_region, shared_out
from emulator.carbon.timeaxis import as_months, years_of
from emulator.carbon.units import convert
from emulator.data.readers.fields import read_field
from emulator.nightly import layout, series
from emulator.nightly.budget import BUDGET_UNITS
from emulator.nightly.budget_settings import BudgetSettings

Array = NDArray[np.float64]

FLUX, TEACHER = "fgco2", "ocean_teacher"

DRIFT, HELD = "fgco2_drift", "fgco2_drift_held"
COVERAGE = "fgco2_coverage"
"""Names in a map."""

ATTRIBUTE = "ocean"
"""Attribute of the map that says, as JSON, what its ocean sink is."""

NUMBERS = {
    "s_ocean": (
        "ocean sink: models (simulation A) less the drift of their control (B), "
        "products of fCO2 with river carbon; missing where one of these is not known"
    ),
    "s_ocean_raw": "total of fgco2, mean of the teachers as they are",
}
"""Numbers of the ocean that are often mixed up, and what each is."""


def of_map(sink_map: xr.Dataset, predictions: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return what is known of drift and coverage of a map's ocean teachers.

    Args:
        sink_map: A map with its totals.
        predictions: Of each domain; that of the ocean has the attribute ``drift``.

    Returns:
        ``fgco2_coverage(ocean_teacher, region)``; and where a teacher has a control,
        ``fgco2_drift(ocean_teacher, region, time)``, PgC yr-1, with
        ``fgco2_drift_held(ocean_teacher, time)``, 1 where the fit is held beyond its
        model years and 0 within them, and each model's sink,
        ``s_ocean_month(ocean_teacher, region, time)`` and
        ``s_ocean_year(ocean_teacher, region, year)``, PgC yr-1, NaN where the drift is
        not known. Nothing without an ocean.
    """
    if "ocean" not in predictions:
        return xr.Dataset()
    found = _coverage(sink_map, predictions["ocean"])
    said = json.loads(predictions["ocean"].attrs.get("drift", "") or "{}")
    fits = {
        name: fit for name, fit in said.get("teachers", {}).items() if "form" in fit
    }
    names = [str(name) for name in sink_map[TEACHER].to_numpy()]
    if not set(names) & set(fits):
        return found
    months = as_months(sink_map["time"].to_numpy())
    regions = [str(name) for name in sink_map["region"].to_numpy()]
    place = [said["regions"].index(name) for name in regions]
    drift = np.full((len(names), len(regions), months.size), np.nan)
    held = np.full((len(names), months.size), np.nan, np.float32)
    for row, name in enumerate(names):
        if name not in fits:
            continue
        fit, one = Drift.from_dict(fits[name]), fits[name]["year_one"]
        drift[row] = fit.at(model_years(middle_of_months(months), one))[place]
        held[row] = fit.is_extrapolated(model_years(years_of(months), one))
    teacher, region = sink_map[TEACHER], sink_map["region"]
    found[DRIFT] = (
        (TEACHER, "region", "time"),
        drift,
        {
            "units": BUDGET_UNITS,
            "long_name": "drift of each ocean model: fit to the totals of its control",
            "comment": f"See the attribute {ATTRIBUTE}; {HELD} says where it is held.",
        },
    )
    found[HELD] = (
        (TEACHER, "time"),
        held,
        {
            "units": "1",
            "long_name": (
                "1: the drift is held at the end of the model years that the control "
                "shows; 0: fitted in this year; NaN: not known"
            ),
        },
    )
    found = found.assign_coords({TEACHER: teacher, "region": region})
    month = sink_map[f"{FLUX}_month"] - found[DRIFT]
    year = series.calendar_years(month, sink_map["year"].to_numpy())
    for period, total in (("month", month), ("year", year)):
        dims = (TEACHER, "region", series.PERIODS[period])
        total = total.transpose(*dims)
        total.attrs = {
            "units": BUDGET_UNITS,
            "long_name": (
                f"carbon taken up by the ocean, {series.SAID[period]}, each model "
                f"without the drift of its control"
            ),
        }
        found[f"s_ocean_{period}"] = total
    found.attrs = {ATTRIBUTE: json.dumps(_of_fits(names, said), sort_keys=True)}
    return found


def without_drift(
    totals: xr.Dataset, rates: xr.DataArray, settings: BudgetSettings
) -> xr.DataArray:
    """Return monthly totals of the ocean's teachers without the drift of models.

    As they are where ``settings.drift`` is "off", or the drift of a model is not known:
    a mean of models with and without their drift would be neither.

    Args:
        totals: A map with ``fgco2_drift``, if known.
        rates: PgC yr-1; dims ocean_teacher, time and perhaps region, with coordinates.
        settings: Which teachers are products, and whether drift is taken off.
    """
    if not is_drift_known(totals, settings):
        return rates
    drift = totals[DRIFT].sel(region=rates["region"], time=rates["time"])
    return (rates - drift.fillna(0.0)).transpose(*rates.dims)


def with_rivers(
    totals: xr.Dataset, rates: xr.DataArray, settings: BudgetSettings
) -> xr.DataArray:
    """Return monthly totals of the ocean's teachers, products with river carbon.

    And products over the whole sea, where ``settings.coverage`` asks for it. As they
    are where no river flux is named, since they are no sink then.

    Args:
        totals: A map with ``fgco2_coverage``.
        rates: PgC yr-1; dims ocean_teacher, time and perhaps region, with coordinates.
        settings: Which teachers are products, their river flux and coverage.

    Raises:
        UserError: If the map of river carbon cannot be read.
    """
    is_product = rates[TEACHER].isin(settings.products)
    if settings.river == "off" or not bool(is_product.any()):
        return rates
    river, _ = _river(totals, settings)
    sink = rates
    if settings.coverage == "scaled":
        share = totals[COVERAGE].fillna(1.0)
        sink = rates / share.sel({"region": rates["region"], TEACHER: rates[TEACHER]})
    sink = sink + river.sel(region=rates["region"])
    return rates.where(~is_product, sink).transpose(*rates.dims)


def is_drift_known(totals: xr.Dataset, settings: BudgetSettings) -> bool:
    """Return whether drift is to be taken off, and known of all models of a map."""
    if settings.drift == "off" or DRIFT not in totals:
        return False
    return not _drifting(totals, settings)


def numbers(totals: xr.Dataset, settings: BudgetSettings) -> xr.Dataset:
    """Return the numbers of the ocean under their names.

    Args:
        totals: A map with the totals of each teacher.
        settings: Products, river flux, coverage and drift.

    Returns:
        ``ocean_<period>(ocean_number, region, time or year)``, PgC yr-1; the attribute
        ``ocean`` says what was done. Nothing without an ocean.

    Raises:
        UserError: If the map of river carbon cannot be read.
    """
    if f"{FLUX}_month" not in totals:
        return xr.Dataset()
    raw = series.teacher_months(totals, FLUX)
    products = [n for n in _names(totals) if n in settings.products]
    reasons = _unknown(totals, settings, products)
    sink = with_rivers(totals, without_drift(totals, raw, settings), settings)
    about: dict[str, Any] = json.loads(totals.attrs.get(ATTRIBUTE, "{}"))
    about |= {"drift taken off": is_drift_known(totals, settings), "products": products}
    if products:
        _, told = _river(totals, settings)
        about |= {"river": told, "coverage of products": settings.coverage}
    sink = sink.mean(TEACHER, skipna=False)
    if reasons:
        sink = xr.full_like(sink, np.nan)
        about["s_ocean is missing"] = reasons
    months = {"s_ocean": sink, "s_ocean_raw": raw.mean(TEACHER, skipna=False)}
    axis = xr.Variable(
        "ocean_number", layout.text(list(months)), {"long_name": "number of the ocean"}
    )
    month = xr.concat(
        [
            each.drop_attrs().drop_vars(TEACHER, errors="ignore")
            for each in months.values()
        ],
        dim=axis,
        coords="minimal",
        compat="override",
    )
    found = xr.Dataset(attrs={ATTRIBUTE: json.dumps(about, sort_keys=True)})
    by_period = {
        "month": month,
        "12month": series.twelve_months(month),
        "year": series.calendar_years(month, totals["year"].to_numpy()),
    }
    for period, dim in series.PERIODS.items():
        total = by_period[period].transpose("ocean_number", "region", dim)
        total.attrs = {
            "units": BUDGET_UNITS,
            "long_name": f"carbon taken up by the ocean, {series.SAID[period]}",
            "comment": "; ".join(f"{name}: {said}" for name, said in NUMBERS.items()),
        }
        found[f"ocean_{period}"] = total
    return found


def _names(totals: xr.Dataset) -> list[str]:
    return [str(name) for name in totals[TEACHER].to_numpy()]


def _models(totals: xr.Dataset, settings: BudgetSettings) -> list[str]:
    return [name for name in _names(totals) if name not in settings.products]


def _drifting(totals: xr.Dataset, settings: BudgetSettings) -> list[str]:
    """Return the models whose drift is not known."""
    models = _models(totals, settings)
    if DRIFT not in totals:
        return models
    known = totals[DRIFT].notnull().all(["region", "time"])
    return [name for name in models if not bool(known.sel({TEACHER: name}))]


def _unknown(
    totals: xr.Dataset, settings: BudgetSettings, products: list[str]
) -> list[str]:
    """Return why the ocean sink is not known; empty if it is."""
    reasons = []
    models = _models(totals, settings)
    if models and settings.drift == "off":
        reasons.append(f"drift is left in {', '.join(models)}")
    elif unknown := _drifting(totals, settings):
        reasons.append(f"the drift is not known of {', '.join(unknown)}")
    if products and settings.river == "off":
        reasons.append(f"no river flux is named for {', '.join(products)}")
    return reasons


def _coverage(sink_map: xr.Dataset, prediction: xr.Dataset) -> xr.Dataset:
    """Return the share of the run's sea in which each teacher has a flux."""
    grid = Grid(lat=prediction["lat"].to_numpy(), lon=prediction["lon"].to_numpy())
    bands = latitude_bands(grid)
    parts = dict(zip(bands.regions, bands.weights, strict=True))
    parts["globe"] = np.ones(grid.shape)
    sea = grid.cell_area() * np.nan_to_num(prediction["fraction"].to_numpy())
    has_flux = prediction[FLUX].isel(time=0).notnull().to_numpy()
    regions = [str(name) for name in sink_map["region"].to_numpy()]
    share = np.full((has_flux.shape[0], len(regions)), np.nan)
    for column, name in enumerate(regions):
        area = sea * parts[name]
        if area.sum() > 0:
            share[:, column] = (area * has_flux).sum(axis=(1, 2)) / area.sum()
    attrs = {
        "units": "1",
        "long_name": "share of the sea of the run in which the teacher has a flux",
    }
    return xr.Dataset(
        {COVERAGE: ((TEACHER, "region"), share, attrs)},
        coords={TEACHER: sink_map[TEACHER], "region": sink_map["region"]},
    )


def _of_fits(names: list[str], said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was fitted, for the attribute."""
    told: dict[str, Any] = {}
    for name in names:
        fit = said["teachers"].get(name, {"missing": "its entry says nothing of one"})
        if "form" not in fit:
            told[name] = fit["missing"]
            continue
        told[name] = (
            f"{fit['form']} fit to simulation {fit['control']}, model years "
            f"{fit['first']} to {fit['last']}; model year 1 is labelled "
            f"{fit['year_one']}; held beyond them"
        )
    return {"drift": told}


def _river(
    totals: xr.Dataset, settings: BudgetSettings
) -> tuple[xr.DataArray, dict[str, Any]]:
    """Return what is added to products, PgC yr-1 by region, and what is said of it."""
    regions = [str(name) for name in totals["region"].to_numpy()]
    values = np.full(len(regions), np.nan)
    told: dict[str, Any] = {"name": settings.river}
    if settings.river == "off":
        return xr.DataArray(values, {"region": totals["region"]}, ("region",)), told
    river = RIVERS[settings.river]
    told |= {"globe": river.flux, "source": river.source}
    values[regions.index("globe")] = river.flux
    if settings.river_map:
        parts = ["globe", *(name for name in regions if name != "globe")]
        shared = shared_out(river, _from_map(Path(settings.river_map), parts))
        values = np.array([shared[parts.index(name)] for name in regions])
        told["map"] = Path(settings.river_map).name
    else:
        told["regions"] = "missing: no budget.river_map is given"
    return xr.DataArray(values, {"region": totals["region"]}, ("region",)), told


def _from_map(path: Path, regions: list[str]) -> Array:
    """Return what a map of river outgassing adds in each region, PgC yr-1."""
    field = read_field(path, FLUX, has_time=False)
    if field.units is None:
        raise StoreError(
            f"{path}: '{FLUX}' states no unit, but a map of river carbon is in mol m-2 "
            f"s-1 or alike. Get the file again."
        )
    grid = Grid(field.lat, field.lon)
    bands = latitude_bands(grid)
    parts = dict(zip(bands.regions, bands.weights, strict=True))
    parts["globe"] = np.ones(grid.shape)
    flux = convert(field.values.astype(np.float64), field.units, "kg m-2 s-1")
    weights = np.stack([parts[name] for name in regions])
    return by_region(flux, grid.cell_area(), weights)
