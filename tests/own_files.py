"""Files that a user of docs/bring-your-own.md would have, generated on a coarse grid.

Each stands where the document says and is laid out as its group lays it out: names,
time axes, fills, orders of rows and columns, units. The values are a simple law, so
that totals are plausible: a sixth of the land's gross uptake stays there, moved by
temperature; the sea's uptake grows with the years.
"""

from pathlib import Path

import cftime
import numpy as np
from numpy.typing import NDArray

from emulator.carbon.grid import Grid
from emulator.carbon.units import MOLAR_MASS_CARBON
from tests.data.tiny_files import noleap_days, write
from tests.evaluation.published import budget_workbook

Array = NDArray[np.float64]

GRID = Grid.regular(20.0)
LAND = np.broadcast_to((GRID.lon > 0) & (GRID.lon < 140), GRID.shape)
TRENDY = (1700, 2024)
LABELS = (1901, 2024)
WEATHER = (1901, 2025)
SEA_WEATHER = (1959, 2025)
LABELS_AT_SEA = (1959, 2024)


def write_all(root: Path) -> None:
    """Write all files of the document below ``root``."""
    trendy = root / "trendy_v14"
    for simulation in ("S0", "S2"):
        _cable_pop(trendy / "CABLE-POP" / simulation, simulation)
        _visit_ut(trendy / "VISIT-UT" / simulation, simulation)
        _dlem(trendy / "DLEM" / simulation, simulation)
        _mymodel(trendy / "MyModel" / simulation, simulation)
    for simulation in ("A", "B"):
        _cesm(root / "gobm" / "CESM-ETHZ" / simulation, simulation)
        _fesom(root / "gobm" / "FESOM2-REcoM" / simulation, simulation)
    _weather(root / "weather")
    _co2(root)
    budget_workbook(
        _made(root / "tables"),
        range(1959, 2024),
        {"CABLE-POP": [2.5] * 65, "DLEM": [2.0] * 65, "VISIT": [2.2] * 65},
    )


def months(years: tuple[int, int]) -> Array:
    """Return the year of each month, with its fraction at the month's beginning."""
    return years[0] + np.arange(12 * (years[1] - years[0] + 1)) / 12


def season(stamps: Array) -> Array:
    """Return 1 in the summer and -1 in the winter of each row; (time, lat, 1)."""
    phase = np.cos(2 * np.pi * (stamps % 1 - 0.5))
    return phase[:, None, None] * np.sign(GRID.lat)[:, None]


def warmth(stamps: Array) -> Array:
    """Return an anomaly of temperature, K, the same for all who ask; (time, 1, lon)."""
    slow = np.sin(stamps[:, None] * 1.7 + GRID.lon / 40)
    return (slow + np.sin(stamps[:, None] * 0.9))[:, None, :]


def land_fluxes(years: tuple[int, int], strength: float) -> dict[str, Array]:
    """Return gpp, ra, rh and nbp, kg m-2 s-1, NaN at sea; shape (time, lat, lon)."""
    stamps = months(years)
    gpp = strength * 2e-8 * (1.2 + season(stamps) - 0.05 * warmth(stamps))
    ra = 0.5 * gpp
    rh = 0.47 * gpp + 2e-10 * warmth(stamps)
    fluxes = {"gpp": gpp, "ra": ra, "rh": rh, "nbp": gpp - ra - rh}
    return {name: np.where(LAND, values, np.nan) for name, values in fluxes.items()}


def sea_flux(years: tuple[int, int], strength: float, simulation: str) -> Array:
    """Return fgco2, kg m-2 s-1, NaN on land: growing in A, about nothing in B.

    Cold water takes up more, as in the northern Atlantic of every product.
    """
    stamps = months(years)
    growth = (stamps - 1959)[:, None, None] / 65 if simulation == "A" else 0.0
    flux = strength * 2e-10 * (growth - 0.3 * season(stamps)) - 2e-11 * warmth(stamps)
    return np.where(LAND, np.nan, flux)


def _cable_pop(folder: Path, simulation: str) -> None:
    """Months since an unpadded date, a fill value, a share of sea beside it."""
    for name, values in land_fluxes(TRENDY, 1.0).items():
        filled = np.where(np.isnan(values), -99999.0, values)
        write(
            folder / f"CABLE-POP_{simulation}_{name}.nc",
            name,
            filled.astype("f4"),
            lat=GRID.lat,
            lon=GRID.lon,
            dims=("time", "latitude", "longitude"),
            time=np.arange(float(len(values))),
            time_units="months since 1700-1-16",
            calendar=None,
            fill=-99999.0,
        )
    write(
        folder / f"CABLE-POP_{simulation}_oceanCoverFrac.nc",
        "oceanCoverFrac",
        (~LAND).astype("f4"),
        lat=GRID.lat,
        lon=GRID.lon,
        units="1",
        attrs={"missing_value": np.float32(0)},
    )


def _visit_ut(folder: Path, simulation: str) -> None:
    """A prefix in small letters, rows from the north, years since the year nought."""
    for name, values in land_fluxes(TRENDY, 1.1).items():
        write(
            folder / f"visit-ut_{simulation}_{name}.nc",
            name,
            values[:, ::-1].astype("f4"),
            lat=GRID.lat[::-1],
            lon=GRID.lon,
            time=months(TRENDY) + 1 / 24,
            time_units="years since AD 0-Jan-1st (double)",
            calendar=None,
        )


def _dlem(folder: Path, simulation: str) -> None:
    """An annual nbp, months of its components, NaN that nothing declares."""
    fluxes = land_fluxes(TRENDY, 0.9)
    for name in ("gpp", "ra", "rh"):
        path = folder / f"DLEM_{simulation}_{name}.nc"
        values, time = fluxes[name].astype("f4"), noleap_days(1700, len(fluxes[name]))
        write(path, name, values, lat=GRID.lat, lon=GRID.lon, time=time)
    annual = fluxes["nbp"].reshape(-1, 12, *GRID.shape).mean(axis=1)
    write(
        folder / f"DLEM_{simulation}_nbp.nc",
        "nbp",
        annual.astype("f4"),
        lat=GRID.lat,
        lon=GRID.lon,
        time=np.arange(float(len(annual))),
        time_units="years since 1700-06-15",
        calendar=None,
    )


def _mymodel(folder: Path, simulation: str) -> None:
    """A net flux into the air in grams per day, columns from Greenwich, years 1901-."""
    fluxes = land_fluxes(LABELS, 0.8)
    east = np.roll(np.arange(GRID.lon.size), GRID.lon.size // 2)
    files = {
        "NEE": (-1000 * 86400 * fluxes["nbp"], "gC m-2 day-1"),
        **{name: (fluxes[name], "kg m-2 s-1") for name in ("gpp", "ra", "rh")},
    }
    for name, (values, units) in files.items():
        write(
            folder / f"MyModel_{simulation}_{name}.nc",
            name,
            values[..., east].astype("f4"),
            lat=GRID.lat,
            lon=GRID.lon[east] % 360,
            time=noleap_days(1901, len(values)),
            units=units,
        )


def _cesm(folder: Path, simulation: str) -> None:
    """Moles, times that say nothing: the name of the file has the years."""
    values = sea_flux(LABELS_AT_SEA, 1.0, simulation) / MOLAR_MASS_CARBON
    write(
        folder / f"fgco2_CESM-ETHZ_{simulation}_1_gr_1959-2024_v20250827.nc",
        "fgco2",
        values.astype("f4"),
        lat=GRID.lat,
        lon=GRID.lon,
        time=np.zeros(len(values)),
        time_units=None,
        calendar=None,
        units="mol m-2 s-1",
    )


def _fesom(folder: Path, simulation: str) -> None:
    """Another underscore, names of coordinates in capitals, a fill nobody declares."""
    values = sea_flux(LABELS_AT_SEA, 1.2, simulation) / MOLAR_MASS_CARBON
    filled = np.where(np.isnan(values), 1e35, values)
    days = cftime.date2num(
        [
            cftime.datetime(1959 + i // 12, i % 12 + 1, 15, calendar="standard")
            for i in range(len(values))
        ],
        "days since 1980-01-01",
        "standard",
    )
    write(
        folder / f"fgco2_FESOM2_REcoM_{simulation}_1_gr_1959-2024_v20220716.nc",
        "fgco2",
        filled.astype("f4"),
        lat=GRID.lat,
        lon=GRID.lon,
        dims=("Time", "Lat", "Lon"),
        time=np.asarray(days, "f8"),
        time_units="days since 1980-01-01",
        calendar="standard",
        units="mol m-2 s-1",
        unit_attribute="Units",
    )


def _weather(folder: Path) -> None:
    """Monthly means of what drove the models, and the shares of land and sea."""
    stamps, at_sea = months(WEATHER), months(SEA_WEATHER)
    mean = 30 * np.cos(np.deg2rad(GRID.lat))[:, None]
    fields = {
        "tas": (270 + mean + 8 * season(stamps) + warmth(stamps), "K"),
        "pr": (3e-5 * (1 + 0.3 * season(stamps)) + 0 * warmth(stamps), "mm s-1"),
        "tosforc": (mean + 2 * season(at_sea) + warmth(at_sea), "degC"),
        "sfcWind": (7 + season(at_sea) + 0 * warmth(at_sea), "m s-1"),
    }
    for name, (values, units) in fields.items():
        first = WEATHER[0] if len(values) == stamps.size else SEA_WEATHER[0]
        write(
            folder / f"{name}_{first}-2025.nc",
            name,
            values.astype("f4"),
            lat=GRID.lat,
            lon=GRID.lon,
            time=noleap_days(first, len(values)),
            units=units,
        )
    for name, surface in (("land_fraction", LAND), ("sea_fraction", ~LAND)):
        path, share = folder / f"{name}.nc", surface.astype("f4")
        write(path, name, share, lat=GRID.lat, lon=GRID.lon, units="1")


def _co2(root: Path) -> None:
    """The table of the round without a header, and one that goes on with a header."""
    years = np.arange(TRENDY[0], WEATHER[1] + 1)
    ppm = 277.57 + np.maximum(years - 1850, 0) ** 1.5 / 14.7
    lines = [f"{year} {value:.2f}" for year, value in zip(years, ppm, strict=True)]
    folder = _made(root / "trendy_v14_input" / "CO2field")
    (folder / "global_co2_ann_1700_2024.txt").write_text("\n".join(lines[:-1]) + "\n")
    rows = ["year,co2", *(line.replace(" ", ",") for line in lines)]
    (root / "weather" / "co2_1700-2025.csv").write_text("\n".join(rows) + "\n")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
