"""Write the testbed's fields as files in the layouts of real archives."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon import timeaxis
from emulator.carbon.grid import Grid
from emulator.data.testbed.geography import Geography
from emulator.data.testbed.layouts import Layout
from emulator.data.testbed.scenario import Spans, co2
from emulator.data.testbed.weather import Weather

Array = NDArray[np.float64]

LABEL = "simulated testbed, not TRENDY"
"""What every file says of itself."""

_KEPT_BITS = 12
"""Bits of the mantissa kept in monthly fields (rounding by at most 1/8192): noise
below the precision of any model is what makes files large."""

FORCING_UNITS = {
    "tas": "K",
    "pr": "kg m-2 s-1",
    "rsds": "W m-2",
    "vpd": "Pa",
    "tos": "degC",
    "sfcWind": "m s-1",
    "siconc": "1",
    "sos": "1e-3",
    "mlotst": "m",
}
"""Units of the forcing files."""


def write_teacher(
    path: Path,
    name: str,
    field: Array,
    cells: NDArray[np.int64],
    grid: Grid,
    layout: Layout,
    spans: Spans,
    *,
    factor: float,
    units: str | None,
    simulation: str,
) -> None:
    """Write one variable of one simulation.

    Args:
        path: The file; its folder is made.
        name: Name of the variable in the file.
        field: Values; shape (month, cell).
        cells: Flat index of the cells; shape (cell,).
        grid: The grid.
        layout: The habits of the teacher's files.
        spans: Years of the field.
        factor: Stored number per unit of ``field``.
        units: Unit that the file states, or None.
        simulation: Name of the simulation, for the attributes.
    """
    months = _months(spans.first, spans.last)
    full = np.full((months.size, grid.lat.size * grid.lon.size), layout.fill, "f4")
    full[:, cells] = _rounded(field * factor)
    attrs: dict[str, Any] = {"long_name": f"{name} of {layout.teacher}"}
    if units is not None:
        attrs["units"] = units
    if layout.declares_fill:
        attrs["_FillValue"] = np.float32(layout.fill)
        attrs["missing_value"] = np.float32(layout.fill)
    dataset = _dataset({name: (full, attrs)}, grid, layout, months)
    dataset.attrs = attributes(f"{layout.teacher}, simulation {simulation}")
    _save(dataset, path)


def write_fraction(
    path: Path, name: str, fraction: Array, grid: Grid, layout: Layout
) -> None:
    """Write a share of cells, (lat, lon), in the habits of a teacher."""
    attrs = {"units": "1", "long_name": "share of the cell", "missing_value": 0.0}
    dataset = _dataset({name: (fraction.astype("f4"), attrs)}, grid, layout, None)
    dataset.attrs = attributes(f"{layout.teacher}, {name}")
    _save(dataset, path)


def write_forcing(folder: Path, geography: Geography, weather: Weather) -> None:
    """Write every forcing variable, each in a file of its own."""
    grid = geography.grid
    layout = Layout("", calendar="standard", time_units="days since 1950-01-01")
    years = timeaxis.years_of(weather.months)
    for fields, cells in (
        (weather.land, weather.land_cells),
        (weather.ocean, weather.ocean_cells),
    ):
        for name, field in fields.items():
            full = np.full((weather.months.size, grid.lat.size * grid.lon.size), np.nan)
            # Unrounded: teachers saw these very numbers.
            full[:, cells] = field
            stored = np.where(np.isnan(full), 1e20, full).astype("f4")
            attrs = {
                "units": FORCING_UNITS[name],
                "long_name": f"simulated {name}",
                "_FillValue": np.float32(1e20),
            }
            dataset = _dataset({name: (stored, attrs)}, grid, layout, weather.months)
            dataset.attrs = attributes("weather")
            _save(dataset, folder / f"{name}_testbed_{years[0]}-{years[-1]}.nc")


def write_static(path: Path, geography: Geography) -> None:
    """Write cell areas, shares, soils and heights."""
    land = geography.land_fraction
    fields = {
        "area": (geography.grid.cell_area(), "m2"),
        "landfrac": (land, "1"),
        "seafrac": (1 - land, "1"),
        "ice": (geography.ice_fraction, "1"),
        "elevation": (geography.elevation, "m"),
        "sand": (geography.sand, "1"),
        "clay": (geography.clay, "1"),
    }
    arrays = {
        name: (values, {"units": units, "long_name": name})
        for name, (values, units) in fields.items()
    }
    dataset = _dataset(arrays, geography.grid, Layout(""), None)
    dataset.attrs = attributes("geography; coastline Natural Earth, public domain")
    _save(dataset, path)


def write_tables(folder: Path, spans: Spans, weather: Weather) -> None:
    """Write the CO2 of the air by year and the index of El Nino by month."""
    years = np.arange(1700, spans.last + 2)
    _write_csv(
        folder / "co2_testbed.csv",
        "annual mean CO2 of the air, ppm: 280 + 32 exp((year - 1950) / 49.4)",
        {"year": years, "co2": np.round(co2(years), 3)},
    )
    _write_csv(
        folder / "el_nino_testbed.csv",
        "index of the simulated El Nino, about 1 standard deviation",
        {
            "year": timeaxis.years_of(weather.months),
            "month": timeaxis.month_of(weather.months),
            "index": np.round(weather.el_nino, 3),
        },
    )


def ocean_name(variable: str, layout: Layout, simulation: str, spans: Spans) -> str:
    """Return the name of an ocean file, as the global carbon budget names them."""
    first, last = str(spans.first), str(spans.last)
    if layout.dates:
        first, last = f"{first}0101", f"{last}1231"
    return (
        f"{variable}_{layout.teacher}_{simulation}_1_gr_{first}-{last}"
        f"{layout.suffix}.nc"
    )


def _months(first: int, last: int) -> NDArray[np.datetime64]:
    return timeaxis.month_range(f"{first}-01", f"{last}-12")


def _dataset(
    fields: Mapping[str, tuple[NDArray[Any], dict[str, Any]]],
    grid: Grid,
    layout: Layout,
    months: NDArray[np.datetime64] | None,
) -> xr.Dataset:
    """Return fields, stored as (..., cell) or (..., lat, lon), in a layout's order."""
    lat_name, lon_name = layout.coordinates
    lat, lon = grid.lat, grid.lon
    rows = slice(None, None, -1 if layout.north_first else 1)
    # East-positive files begin at Greenwich.
    turn = int(np.searchsorted(lon, 0.0)) if layout.east_positive else 0
    coords: dict[str, Any] = {
        lat_name: (lat_name, lat[rows], {"units": "degrees_north"}),
        lon_name: (
            lon_name,
            np.roll(lon, -turn) % 360 if layout.east_positive else lon,
            {"units": "degrees_east"},
        ),
    }
    dims: tuple[str, ...] = (lat_name, lon_name)
    if months is not None:
        dims = ("time", *dims)
        attrs = {"units": layout.time_units, "calendar": layout.calendar}
        coords["time"] = ("time", _stamps(months, layout), attrs)
    variables = {
        name: (
            dims,
            np.roll(
                values.reshape(
                    *values.shape[:1] if months is not None else (), *grid.shape
                ),
                -turn,
                axis=-1,
            )[..., rows, :],
            attrs,
        )
        for name, (values, attrs) in fields.items()
    }
    return xr.Dataset(variables, coords)


def _stamps(months: NDArray[np.datetime64], layout: Layout) -> Array:
    """Return the numbers of the time axis in the layout's unit and calendar."""
    unit, _, origin = layout.time_units.split()
    first = timeaxis.as_months(np.array(["-".join(_padded(origin))], "datetime64[D]"))
    elapsed = (months - first[0]).astype(np.int64)
    if unit == "months":
        return np.asarray(elapsed + layout.stamp)
    # The origin may lie before, within or after the months.
    every = np.arange(min(first[0], months[0]), max(first[0], months[-1]) + 1)
    days = timeaxis.seconds_per_month(every, layout.calendar) / 86400.0
    starts = np.concatenate([[0.0], np.cumsum(days)])
    origin_day = starts[np.searchsorted(every, first[0])]
    place = np.searchsorted(every, months)
    return np.asarray(starts[place] - origin_day + layout.stamp * days[place])


def _padded(date: str) -> list[str]:
    return [part.zfill(2) for part in date.split("-")]


def _rounded(values: Array) -> NDArray[np.float32]:
    """Return float32 rounded to ``_KEPT_BITS`` of mantissa; NaN stays."""
    dropped = 23 - _KEPT_BITS
    bits = values.astype(np.float32).view(np.uint32)
    half, mask = (
        np.uint32(1 << (dropped - 1)),
        np.uint32(~((1 << dropped) - 1) & 2**32 - 1),
    )
    return ((bits + half) & mask).view(np.float32)


def attributes(what: str) -> dict[str, str]:
    """Return what a file says of itself."""
    return {
        "title": f"{what} ({LABEL})",
        "evidence": "testbed",
        "comment": f"{LABEL}: a simulated small Earth to test with; no statement about "
        "the real carbon cycle can be made from it",
        "source": "emulator.data.testbed",
    }


def _save(dataset: xr.Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"zlib": True, "complevel": 1, "shuffle": True}
        for name, variable in dataset.data_vars.items()
        if variable.ndim == 3
    }
    for name, variable in dataset.variables.items():
        # Without this, xarray adds a fill of its own to files that declare none.
        if "_FillValue" not in variable.attrs:
            encoding.setdefault(str(name), {})["_FillValue"] = None
    dataset.to_netcdf(path, engine="netcdf4", encoding=encoding)


def _write_csv(path: Path, comment: str, columns: Mapping[str, NDArray[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {LABEL}: {comment}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(
            zip(*(values.tolist() for values in columns.values()), strict=True)
        )
