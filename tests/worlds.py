"""A tiny Earth of 4 x 8 cells with a known law, as a store of the real schema.

The law is linear with a lag of one month, so a ridge with lags can find it and a
pointwise network cannot:

    land   nbp   = scale [ a_t A(t-1) + b_t (co2 - 280) / 10 + season ]
    ocean  fgco2 = scale [ a_t A(t-1) + b_t (co2 - 286) / 10 + season ]

``A`` is the anomaly of temperature, K, along the weather which the simulation saw;
``a_t`` and ``b_t`` are ``SENSITIVITY`` and ``FERTILISATION`` of teacher t.
"""

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import month_of, month_range, years_of
from emulator.carbon.variables import VARIABLES
from emulator.data.stores import FORCING_SCHEMA, TRAINING_SCHEMA, write_store

STEP = 45.0
SENSITIVITY = (-1.0, -0.5)
FERTILISATION = (0.3, 0.6)
SCALE = {"land": 1e-9, "ocean": 1e-10}
TEACHERS = {"land": ("ONE", "TWO"), "ocean": ("ONE-sea", "TWO-sea")}
SIMULATIONS = {"land": ("S0", "S1", "S2"), "ocean": ("A", "B")}
FLUXES = {"land": ("nbp", "gpp", "ra", "rh"), "ocean": ("fgco2",)}
FORCING = {"land": ("tas", "pr"), "ocean": ("tosforc", "sfcWind")}
STATIC = {"land": ("elevation", "sand"), "ocean": ("sea_fraction",)}
CO2_FIRST = {"land": 280.0, "ocean": 286.0}
RECYCLED_YEARS = 4
EVIDENCE = "testbed"


def tiny_store(
    folder: Path,
    domain: str = "land",
    *,
    first: int = 1990,
    last: int = 2008,
    history: int = 2,
    seed: int = 0,
    name: str = "tiny",
) -> Path:
    """Write ``tiny_world`` as a training store and return its path."""
    world = tiny_world(domain, first=first, last=last, history=history, seed=seed)
    return write_store(world, folder / f"{name}-{domain}.zarr")


def tiny_forcing_store(
    folder: Path, domain: str = "land", *, first: int = 1990, last: int = 2008
) -> Path:
    """Write ``tiny_forcing`` as a forcing store and return its path."""
    forcing = tiny_forcing(domain, first=first, last=last)
    return write_store(forcing, folder / f"forcing-{domain}.zarr")


def tiny_world(
    domain: str = "land",
    *,
    first: int = 1990,
    last: int = 2008,
    history: int = 2,
    seed: int = 0,
) -> xr.Dataset:
    """Return a training store of the years ``first`` to ``last``.

    Forcing goes one year further than the labels, and there are ``history`` years
    before them. Land: S0 and S1 saw the first four years of weather again and again,
    S0 at 280 ppm; S2 saw its own, which is unknown before ``first``. Ocean: A saw its
    own weather, B a climatology at 286 ppm. Half of each row is land, half is sea; the
    southernmost row is land without labels.
    """
    months = month_range(f"{first - history}-01", f"{last + 1}-12")
    weather_months = month_range(f"{first}-01", f"{last + 1}-12")
    fields, anomaly = _weather(domain, weather_months, seed)
    appended = weather_months
    kind = ["month"] * weather_months.size
    if domain == "ocean":
        appended = np.arange(weather_months[0], weather_months[-1] + 13)
        kind += ["climatology"] * 12
        fields = {
            field: np.concatenate([values, _climatology(values)])
            for field, values in fields.items()
        }
        anomaly = np.concatenate([anomaly, _climatology(anomaly)])

    simulations, teachers = SIMULATIONS[domain], TEACHERS[domain]
    sequence = np.stack([_sequence(s, months, weather_months) for s in simulations])
    co2 = np.stack([_co2(s, months, first, domain) for s in simulations])
    inside = (years_of(months) >= first) & (years_of(months) <= last)
    area, fraction = _surface(domain)
    labels: dict[str, NDArray[np.float32]] = {
        flux: np.full(
            (len(simulations), len(teachers), months.size, *area.shape), np.nan, "f4"
        )
        for flux in FLUXES[domain]
    }
    for s, t in np.ndindex(len(simulations), len(teachers)):
        known = inside & (sequence[s] >= 0) & (np.roll(sequence[s], 1) >= 0)
        known[0] = False
        lagged = anomaly[np.roll(sequence[s], 1)]
        answer = _answer(domain, t, lagged, co2[s], month_of(months))
        for flux, values in answer.items():
            values[~known] = np.nan
            values[:, fraction == 0] = np.nan
            values[:, 0] = np.nan  # Antarctica and the sea round it have no label
            labels[flux][s, t] = values

    dims = ("simulation", "teacher", "time", "lat", "lon")
    return xr.Dataset(
        {
            **{flux: _field(flux, values, dims) for flux, values in labels.items()},
            **{
                field: _field(field, values, ("weather_time", "lat", "lon"))
                for field, values in fields.items()
            },
            "weather": (("simulation", "time"), sequence.astype("i4")),
            "co2": _field("co2", co2, ("simulation", "time")),
            "co2_normal": _field("co2_normal", _normal(co2), ("simulation", "time")),
            **_static(domain),
        },
        coords={
            "simulation": np.array(simulations, object),
            "teacher": np.array(teachers, object),
            "time": months.astype("M8[ns]"),
            "weather_time": appended.astype("M8[ns]"),
            "weather_kind": ("weather_time", np.array(kind, object)),
            **_coordinates(),
        },
        attrs={
            "Conventions": "CF-1.11",
            "title": f"tiny {domain}",
            "schema": TRAINING_SCHEMA,
            "domain": domain,
            "evidence": EVIDENCE,
            "settings_hash": "tiny",
            "code_version": "test",
            "catalog": "{}",
            "source_calendar": "{}",
            "gates_overridden": "[]",
        },
    )


def tiny_forcing(
    domain: str = "land", *, first: int = 1990, last: int = 2008, seed: int = 0
) -> xr.Dataset:
    """Return the weather and the rising CO2 of ``tiny_world`` by calendar month.

    It ends one year after the labels: a forecast for a year that no teacher simulated.
    """
    months = month_range(f"{first}-01", f"{last + 1}-12")
    fields, _ = _weather(domain, months, seed)
    co2 = _co2("S2" if domain == "land" else "A", months, first, domain)
    return xr.Dataset(
        {
            **{
                field: _field(field, values, ("time", "lat", "lon"))
                for field, values in fields.items()
            },
            "co2": _field("co2", co2, ("time",)),
            "co2_normal": _field("co2_normal", _normal(co2), ("time",)),
            **_static(domain),
        },
        coords={"time": months.astype("M8[ns]"), **_coordinates()},
        attrs={
            "Conventions": "CF-1.11",
            "title": f"tiny {domain} forcing",
            "schema": FORCING_SCHEMA,
            "domain": domain,
            "evidence": EVIDENCE,
            "settings_hash": "tiny",
            "code_version": "test",
            "catalog": "{}",
            "source_calendar": "{}",
            "gates_overridden": "[]",
        },
    )


def with_ocean_state(*, seed: int = 0) -> xr.Dataset:
    """Return ``tiny_forcing`` of the ocean with the state of the sea at its surface.

    ``tos``, ``sos`` and ``mlotst`` have a season and noise, and there is no ice.
    """
    forcing = tiny_forcing("ocean", seed=seed)
    there = forcing["tosforc"].notnull().to_numpy()
    season = np.cos(2 * np.pi * (month_of(forcing["time"].to_numpy()) - 7) / 12)
    noise = np.random.default_rng(seed + 1).normal(0, 1, there.shape)
    state = {
        "tos": forcing["tosforc"].to_numpy() + 0.1 * noise,
        "sos": 35 + 0.2 * noise,
        "mlotst": 60 - 20 * season[:, None, None] + noise,
        "siconc": np.zeros(there.shape),
    }
    dims = ("time", "lat", "lon")
    return forcing.assign(
        {n: _field(n, np.where(there, one, np.nan), dims) for n, one in state.items()}
    )


def _weather(
    domain: str, months: NDArray[np.datetime64], seed: int
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float64]]:
    """Return the forcing, and the anomaly of its first variable, K."""
    rng = np.random.default_rng(seed)
    grid = Grid.regular(STEP)
    shape = (months.size, *grid.shape)
    anomaly = rng.normal(0, 1, shape)
    anomaly -= np.stack([anomaly[m::12].mean(axis=0) for m in range(12)])[
        month_of(months) - 1
    ]
    other = rng.gamma(4, 0.25, shape)
    season = 10 * np.cos(2 * np.pi * (month_of(months) - 7) / 12)[:, None, None]
    season = season * np.sign(grid.lat)[None, :, None]
    mean = 30 * np.cos(np.deg2rad(grid.lat))[None, :, None]
    if domain == "land":
        fields = {"tas": 270 + mean + season + anomaly, "pr": 3e-5 * other}
        # Real rain products end at the coast, temperature does not.
        fields["pr"][:, _surface("land")[1] == 0] = np.nan
    else:
        fields = {"tosforc": mean + 0.5 * season + anomaly, "sfcWind": 7 * other}
        for values in fields.values():
            values[:, _surface("ocean")[1] == 0] = np.nan
    return {name: values.astype("f4") for name, values in fields.items()}, anomaly


def _answer(
    domain: str,
    teacher: int,
    lagged: NDArray[np.float64],
    co2: NDArray[np.float64],
    month: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    a, b = SENSITIVITY[teacher], FERTILISATION[teacher]
    growth = (b * (co2 - CO2_FIRST[domain]) / 10)[:, None, None]
    season = np.cos(2 * np.pi * (month - 7) / 12)[:, None, None]
    net = SCALE[domain] * (a * lagged + growth + season)
    if domain == "ocean":
        return {"fgco2": net}
    gpp = SCALE[domain] * (30 + 10 * season + growth + 0 * lagged)
    ra = 0.5 * gpp
    return {"nbp": net, "gpp": gpp, "ra": ra, "rh": gpp - ra - net}


def _sequence(
    simulation: str,
    months: NDArray[np.datetime64],
    weather_months: NDArray[np.datetime64],
) -> NDArray[np.int64]:
    """Return which weather each month saw."""
    offset = (months - weather_months[0]).astype(int)
    if simulation in ("S0", "S1"):
        return offset % (12 * RECYCLED_YEARS)
    if simulation == "B":
        return weather_months.size + month_of(months) - 1
    return np.where(offset >= 0, offset, -1)


def _co2(
    simulation: str, months: NDArray[np.datetime64], first: int, domain: str
) -> NDArray[np.float64]:
    """Return CO2, ppm: constant in controls, else rising by 2 ppm a year."""
    base = CO2_FIRST[domain]
    if simulation in ("S0", "B"):
        return np.full(months.size, base)
    return np.maximum(base, base + 2.0 * (years_of(months) - first))


def _normal(co2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean CO2 of 30 years, ppm, as if the first value held before."""
    before = np.repeat(co2[..., :1], 359, axis=-1)
    whole = np.concatenate([before, co2], axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(whole, 360, axis=-1)
    return np.asarray(windows.mean(axis=-1))


def _surface(domain: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the cell area, m2, and the share of the cell in the domain."""
    grid = Grid.regular(STEP)
    land = np.zeros(grid.shape)
    land[:, :4] = 1.0
    land[1, 3] = 0.25  # one coast
    return grid.cell_area(), land if domain == "land" else 1 - land


def _static(domain: str) -> dict[str, tuple[tuple[str, str], NDArray, dict[str, str]]]:
    area, fraction = _surface(domain)
    rows, columns = np.indices(area.shape)
    fields = {
        "area": area,
        "land_fraction": fraction if domain == "land" else 1 - fraction,
        "sea_fraction": 1 - fraction if domain == "land" else fraction,
        "elevation": 100.0 * (rows + columns),
        "sand": 0.1 * rows,
    }
    described = {
        name: (("lat", "lon"), values, {"units": VARIABLES[name].units})
        for name, values in fields.items()
    }
    return described | {"fraction": (("lat", "lon"), fraction, {"units": "1"})}


def _climatology(values: NDArray) -> NDArray:
    return np.stack([values[month::12].mean(axis=0) for month in range(12)])


def _field(
    name: str, values: NDArray, dims: tuple[str, ...]
) -> tuple[tuple[str, ...], NDArray[np.float32], dict[str, str]]:
    return dims, values.astype("f4"), {"units": VARIABLES[name].units}


def _coordinates() -> dict[str, tuple[str, NDArray[np.float64], dict[str, str]]]:
    grid = Grid.regular(STEP)
    return {
        "lat": ("lat", grid.lat, {"units": "degrees_north", "axis": "Y"}),
        "lon": ("lon", grid.lon, {"units": "degrees_east", "axis": "X"}),
    }
