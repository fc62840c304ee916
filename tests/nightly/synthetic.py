"""Predictions of made-up runs on coarse grids, as the tests of the map need them."""

import json

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import month_range

FLUX = {"land": "nbp", "ocean": "fgco2"}
TEACHERS = {"land": ("A", "B"), "ocean": ("C", "D")}
YEARS = {"A": [1990, 2000], "B": [1990, 2001], "C": [1990, 2000], "D": [1990, 2001]}
EVIDENCE = "testbed"


def prediction(
    domain: str,
    *,
    step: float = 30.0,
    first: str = "2000-01",
    last: str = "2001-12",
    teachers: tuple[str, ...] | None = None,
    values: NDArray[np.float64] | None = None,
    fraction: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Return fluxes of about 1e-8 kg m-2 s-1, random unless given."""
    rng = np.random.default_rng(seed)
    grid = Grid.regular(step)
    months = month_range(first, last)
    teachers = teachers or TEACHERS[domain]
    shape = (len(teachers), months.size, *grid.shape)
    if fraction is None:
        fraction = rng.uniform(0.0, 1.0, grid.shape)
        fraction[fraction < 0.3] = 0.0  # some cells lie outside the domain
    if values is None:
        values = rng.normal(1e-8, 2e-8, shape)
    flux = np.where(fraction > 0, np.broadcast_to(values, shape), np.nan)
    dims = ("teacher", "time", "lat", "lon")
    return xr.Dataset(
        {
            FLUX[domain]: (dims, flux.astype(np.float32)),
            f"{FLUX[domain]}_emulator_std": (dims, np.abs(flux).astype(np.float32)),
            "fraction": (("lat", "lon"), fraction),
        },
        coords={
            "teacher": np.array(teachers, dtype=object),
            "time": months.astype("datetime64[ns]"),
            "lat": grid.lat,
            "lon": grid.lon,
        },
        attrs=origin(domain, teachers),
    )


def with_intervals(given: xr.Dataset, *, reach: int, half: float) -> xr.Dataset:
    """Return a prediction with intervals of one width for its first months."""
    months, year = given["time"].to_numpy(), given["time"].dt.year.to_numpy()
    years = np.unique(year)
    regions = ["globe", "north", "tropics", "south"]
    within = np.arange(months.size) < reach
    wide = np.where(within, half, np.nan)
    annual = np.array([half if within[year == y].all() else np.nan for y in years])
    shape = (months.size, given.sizes["lat"], given.sizes["lon"])
    keys = [f"{s}_{p}" for s in ("cell", "region", "globe") for p in ("month", "year")]
    about = {
        **{key: f"90% interval of each {key}, made up" for key in keys},
        "level": 0.9,
        "calibrated_leads": 1,
        "last_label": "1999-12",
        "paths": 9,
    }
    draws = np.zeros((50, 12, 2, 4), np.float32)
    return (
        given.assign(
            {
                "interval_half_width": (
                    ("time", "lat", "lon"),
                    np.broadcast_to(wide[:, None, None], shape).astype(np.float32),
                ),
                "month_half_width": (("region", "time"), np.tile(wide, (4, 1))),
                "year_half_width": (("region", "year"), np.tile(annual, (4, 1))),
                "running_half_width": (("region", "time"), np.tile(wide, (4, 1))),
                "draws": (("draw", "draw_time", "draw_lat", "draw_lon"), draws),
                "draw_area": (("draw_lat", "draw_lon"), np.ones((2, 4))),
            }
        )
        .assign_coords(
            region=np.array(regions, dtype=object),
            year=years.astype(np.int32),
            draw_time=months[:12],
            draw_lat=[-45.0, 45.0],
            draw_lon=[-135.0, -45.0, 45.0, 135.0],
        )
        .assign_attrs(intervals=json.dumps(about))
    )


def origin(domain: str, teachers: tuple[str, ...]) -> dict[str, str]:
    """Return the attributes that a prediction brings along."""
    entries = {
        name: {
            "name": name,
            "kind": "teacher",
            "years": YEARS.get(name, [1990, 2001]),
            "citation": f"Teacher {name} ({domain}), made up",
            "licence": "CC0",
            "policy": f"ask the makers of {name}",
            "doi": f"10.0/{name}",
        }
        for name in teachers
    }
    weather = {"kind": "forcing", "citation": "Weather, made up", "licence": "CC0"}
    return {
        "evidence": EVIDENCE,
        "catalog": json.dumps(entries),
        "forcing_catalog": json.dumps({f"{domain}_weather": weather}),
        "checkpoint": f"hash-of-{domain}",
        "code_version": "0.0.1",
    }


def domain_total(flux: NDArray[np.floating], fraction: NDArray[np.float64]) -> float:
    """Return kg s-1 over the whole grid, in float64, of a regular grid's field."""
    grid = Grid.regular(180 / fraction.shape[0])
    area = grid.cell_area() * fraction
    return float(np.nansum(np.where(area > 0, flux, 0.0) * area))
