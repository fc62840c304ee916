"""Budgets of a sink map: what a region takes up, by month and by year.

A total is the sum of flux x cell area x share of the cell in the domain x share of
the cell in the region. Months are given as rates (PgC yr-1), years as the carbon of
all twelve months, each with its true length; a year with a missing month has no
total. The totals are computed from the float32 maps as published, so that everybody
who sums them up again, with whatever tool, finds the same numbers.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon import regions
from emulator.carbon.budget import annual_total, area_rate
from emulator.carbon.errors import GridMismatchError, SettingsError, StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.units import KG_PER_PETAGRAM, SECONDS_PER_YEAR

Array = NDArray[np.float64]
Region = str | xr.DataArray | Mapping[str, Any] | Path

SINKS = {"land": "nbp", "ocean": "fgco2"}
"""The flux of each domain that is the sink, positive out of the air."""

FRACTIONS = {"land": "land_fraction", "ocean": "sea_fraction"}
"""Share of a cell that each domain's flux density refers to."""

BUDGET_UNITS = "Pg year-1"
"""PgC yr-1 as UDUNITS writes it; long names say that the mass is of carbon."""

PGC_PER_YEAR = SECONDS_PER_YEAR / KG_PER_PETAGRAM
"""1 kg s-1 in PgC per mean Gregorian year, the unit of monthly rates."""


def budget(sink_map: xr.Dataset, region: Region = "globe") -> xr.Dataset:
    """Return the monthly and annual totals of a region.

    Args:
        sink_map: A sink map, as `emulator.open_sink` opens it.
        region: One of
            a name: "globe", a latitude band ("north", "tropics", "south") or a
            SREX region by its abbreviation, e.g. "AMZ";
            a mask on the map's grid, dims (lat, lon): true or false, or the share
            of each cell that lies in the region, 0 to 1;
            a GeoJSON Polygon, MultiPolygon or Feature, as a mapping or as the path
            of a file.

    Returns:
        PgC yr-1, positive out of the air: ``budget_month(flux, time)`` and
        ``budget_year(flux, year)`` of the ensemble mean, the same with
        ``_teacher_std`` for the spread between teachers, and for each teacher
        ``<flux>_month(<domain>_teacher, time)`` and ``<flux>_year(..., year)``;
        ``covered_area(flux)``, m2, is the part of the region with the flux.

    Raises:
        GridMismatchError: If a mask does not fit the map, or no cell of the map
            lies in the region: a total of 0 would look like a result.
        StoreError: If ``sink_map`` is no sink map.
        SettingsError: If a name is not known, or a GeoJSON is no polygon.
    """
    _require_sink_map(sink_map)
    grid = Grid(lat=sink_map["lat"].to_numpy(), lon=sink_map["lon"].to_numpy())
    weights, name = _region_weights(region, grid)
    totals = regional_totals(sink_map, weights[None], [name])
    if not (totals["covered_area"] > 0).any():
        raise GridMismatchError(
            f"No cell of the map with a flux lies in region {name!r}. Check the "
            f"region's coordinates: degrees, longitude first in GeoJSON."
        )
    return totals.isel(region=0)


def regional_totals(
    sink_map: xr.Dataset, weights: Array, names: list[str]
) -> xr.Dataset:
    """Return the totals of several regions, as `budget` does for one.

    Args:
        sink_map: A sink map; of it ``area``, the fractions and the fluxes of each
            teacher are used.
        weights: Share of each cell in each region, 0 to 1; (region, lat, lon).
        names: Name of each region.

    Returns:
        The variables of `budget`, with a dimension ``region`` before the last.
    """
    months = sink_map["time"].to_numpy().astype("datetime64[M]")
    present = {d: f for d, f in SINKS.items() if f in sink_map}
    parts: list[xr.Dataset] = []
    for domain, flux in present.items():
        share = sink_map["area"] * sink_map[FRACTIONS[domain]]
        weighted = weights * share.to_numpy().astype(np.float64)
        teacher = f"{domain}_teacher"
        rates = np.stack(
            [
                _rates(sink_map[flux].isel({teacher: i}).to_numpy(), weighted)
                for i in range(sink_map.sizes[teacher])
            ]
        )
        mean_rates = _rates(sink_map[f"{flux}_mean"].to_numpy(), weighted)
        years, by_year = _annual(rates, months)
        _, mean_by_year = _annual(mean_rates, months)
        by_month, mean = rates * PGC_PER_YEAR, mean_rates * PGC_PER_YEAR
        parts.append(
            xr.Dataset(
                {
                    f"{flux}_month": ((teacher, "region", "time"), by_month),
                    f"{flux}_year": ((teacher, "region", "year"), by_year),
                    "budget_month": (("region", "time"), mean),
                    "budget_month_teacher_std": (("region", "time"), spread(by_month)),
                    "budget_year": (("region", "year"), mean_by_year),
                    "budget_year_teacher_std": (("region", "year"), spread(by_year)),
                    "covered_area": (("region",), weighted.sum(axis=(1, 2))),
                },
                coords={
                    teacher: sink_map[teacher],
                    "time": sink_map["time"],
                    "year": ("year", years),
                },
            )
        )
    totals = _join(parts, list(present.values()))
    totals = totals.assign_coords(region=("region", np.array(names, dtype=object)))
    return _described(totals)


def spread(values: Array) -> Array:
    """Return the sample standard deviation over the first axis; NaN for one value."""
    if values.shape[0] < 2:
        return np.full(values.shape[1:], np.nan)
    deviation: Array = np.std(values, axis=0, ddof=1)
    return deviation


def _rates(flux: NDArray[np.floating], area: Array) -> Array:
    """Return the rate of each region and month, kg s-1; NaN where no flux is.

    Args:
        flux: kg m-2 s-1; (time, lat, lon); a month without the domain is all NaN.
        area: Area of the domain and region in each cell, m2; (region, lat, lon).
    """
    known = np.isfinite(flux).any(axis=(1, 2))
    rates = np.full((area.shape[0], flux.shape[0]), np.nan)
    for region, region_area in enumerate(area):
        rates[region, known] = area_rate(flux[known], region_area)
    return rates


def _annual(
    rates: Array, months: NDArray[np.datetime64]
) -> tuple[NDArray[np.int32], Array]:
    """Return the complete years and their totals, PgC; (..., time) -> (..., year).

    Complete is a year of twelve months for which every series has a value.
    """
    known = np.isfinite(rates).all(axis=tuple(range(rates.ndim - 1)))
    years, totals = annual_total(np.moveaxis(rates[..., known], -1, 0), months[known])
    return years.astype(np.int32), np.moveaxis(totals, 0, -1)


def _join(parts: list[xr.Dataset], fluxes: list[str]) -> xr.Dataset:
    """Stack the shared variables along ``flux``; years become the union."""
    shared = [
        "budget_month", "budget_month_teacher_std",
        "budget_year", "budget_year_teacher_std", "covered_area",
    ]  # fmt: skip
    flux = xr.Variable("flux", np.array(fluxes, dtype=object))
    stacked = xr.concat([part[shared] for part in parts], dim=flux, join="outer")
    own = [part.drop_vars(shared) for part in parts]
    return xr.merge([stacked, *own], join="outer", compat="no_conflicts")


def _described(totals: xr.Dataset) -> xr.Dataset:
    """Say in the attributes what each total is."""
    of = {"month": "rate of the month", "year": "total of the complete year"}
    for name, total in totals.data_vars.items():
        if name == "covered_area":
            total.attrs = {"units": "m2", "long_name": "area of the region with flux"}
            continue
        period = of["month" if "month" in str(name) else "year"]
        who = "each teacher"
        if str(name).startswith("budget"):
            who = "the ensemble mean"
        if str(name).endswith("teacher_std"):
            who = "the teachers, sample standard deviation between them"
        total.attrs = {
            "units": BUDGET_UNITS,
            "long_name": f"carbon taken up from the air, {period}, {who}",
        }
    totals["region"].attrs["long_name"] = "region"
    totals["flux"].attrs["long_name"] = "flux"
    totals["year"].attrs = {"long_name": "calendar year", "units": "1"}
    return totals


def _require_sink_map(sink_map: xr.Dataset) -> None:
    """Raise ``StoreError`` unless the data set has what a budget needs."""
    wanted = {"area", "time", "lat", "lon"}
    present = [flux for flux in SINKS.values() if flux in sink_map]
    if missing := sorted(wanted - set(sink_map.variables)):
        raise StoreError(
            f"This is no sink map: {', '.join(missing)} missing. Open one with "
            f"emulator.open_sink(path)."
        )
    if not present:
        raise StoreError(
            "This sink map has neither nbp nor fgco2 of each teacher. Open the Zarr "
            "store with emulator.open_sink(path); sink.nc holds the means only."
        )


def _region_weights(region: Region, grid: Grid) -> tuple[Array, str]:
    """Return the share of each cell in the region, (lat, lon), and its name."""
    if isinstance(region, xr.DataArray):
        return _mask_weights(region, grid), str(region.name or "mask")
    if isinstance(region, Path):
        try:
            region = json.loads(region.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"No GeoJSON could be read from {region}: {error}. Give the path of "
                f"a file with one Polygon, MultiPolygon or Feature."
            ) from error
    if isinstance(region, Mapping):
        return _polygon_weights(region, grid)
    if not isinstance(region, str):
        raise TypeError(
            f"A region is a name, a DataArray, a GeoJSON mapping or a Path, "
            f"got {type(region).__name__}."
        )
    return _named_weights(region, grid), region


def _named_weights(name: str, grid: Grid) -> Array:
    """Look a region up: globe, then latitude bands, then SREX."""
    if name == "globe":
        return np.ones(grid.shape)
    known: list[str] = ["globe"]
    for region_set in (regions.latitude_bands, regions.srex):
        found = region_set(grid)
        if name in found.regions and name != "other":
            return found.weight(name)
        known += [region for region in found.regions if region != "other"]
    raise SettingsError(
        f"Region {name!r} is not known. Known are {', '.join(known)}; for any other "
        f"give a mask (DataArray) or a GeoJSON polygon."
    )


def _mask_weights(mask: xr.DataArray, grid: Grid) -> Array:
    """Return a mask's shares after checking that it fits the map."""
    if set(mask.dims) != {"lat", "lon"}:
        raise GridMismatchError(
            f"The mask has dimensions {tuple(mask.dims)}, but needs ('lat', 'lon')."
        )
    mask = mask.transpose("lat", "lon")
    if "lat" in mask.coords and "lon" in mask.coords:
        own = Grid(lat=mask["lat"].to_numpy(), lon=mask["lon"].to_numpy())
        fits, found = own.matches(grid), own.describe()
    else:
        fits, found = mask.shape == grid.shape, f"{mask.shape} without coordinates"
    if not fits:
        raise GridMismatchError(
            f"The mask's grid is {found}, but the map's is {grid.describe()}. Regrid "
            f"the mask, or give the region as a GeoJSON polygon."
        )
    weights: Array = mask.to_numpy().astype(np.float64)
    if not ((weights >= 0) & (weights <= 1)).all():
        raise GridMismatchError(
            f"The mask spans {weights.min():g} to {weights.max():g}, but needs the "
            f"share of each cell, 0 to 1, without NaN. Use (labels == number)."
        )
    return weights


def _polygon_weights(geojson: Mapping[str, Any], grid: Grid) -> tuple[Array, str]:
    """Unwrap a feature and return the shares and the name of its polygon."""
    name = "polygon"
    if geojson.get("type") == "FeatureCollection":
        features = geojson.get("features", [])
        if len(features) != 1:
            raise SettingsError(
                f"The GeoJSON holds {len(features)} features, but a region is one. "
                f"Choose one, or join them into a MultiPolygon."
            )
        geojson = features[0]
    if geojson.get("type") == "Feature":
        name = str((geojson.get("properties") or {}).get("name", name))
        geojson = geojson["geometry"]
    return regions.polygon(dict(geojson), grid), name
