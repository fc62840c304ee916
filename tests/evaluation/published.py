"""Small files in the layouts of a budget's workbook and of zonal products."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import netCDF4
import numpy as np
import openpyxl

NOTES = [[None, "A title"], [None, "All values in GtC/yr, for the globe."]]
TERMS = {
    "fossil emissions excluding carbonation": 10.0,
    "land-use change emissions": 1.0,
    "atmospheric growth": 5.0,
    "ocean sink": 5.0,
    "land sink": 0.0,
    "cement carbonation sink": 1.0,
    "budget imbalance": 0.0,
}


def budget_workbook(
    folder: Path,
    years: Sequence[int],
    models: Mapping[str, Sequence[float | None]],
    residual: Sequence[float] | None = None,
) -> Path:
    """Write an edition of 2024.

    Args:
        folder: Where it goes.
        years: Its years.
        models: Annual sinks of land models, PgC yr-1; shape (year,) each.
        residual: Residual land sink of the budget, PgC yr-1; 0 without.
    """
    book = openpyxl.Workbook()
    sheet = book.create_sheet("Global Carbon Budget")
    # The other terms cancel, so that what fossil emissions add is the residual.
    added = residual if residual is not None else [0.0] * len(years)
    fossil, *others = TERMS.values()
    rows = [[fossil + more, *others] for more in added]
    for row in [*NOTES, ["Year", *TERMS], *_with_years(years, rows)]:
        sheet.append(row)
    for title, columns in (
        (
            "Ocean Sink",
            {"CESM": [2.0] * len(years), None: [], "JMA": [2.5] * len(years)},
        ),
        ("Terrestrial Sink", models),
    ):
        sheet = book.create_sheet(title)
        header = ["Year", "GCB", None, *columns]
        rows = [
            [2.0, None, *(each[i] if each else None for each in columns.values())]
            for i in range(len(years))
        ]
        for row in [*NOTES, header, *_with_years(years, rows)]:
            sheet.append(row)
    path = folder / "Global_Carbon_Budget_2024_v1.0.xlsx"
    book.save(path)
    return path


def land_product(folder: Path, years: Sequence[int], sink: Sequence[float]) -> Path:
    """Write the zonal land flux of a product.

    Args:
        folder: Where it goes.
        years: Its years.
        sink: Mean annual uptake, PgC yr-1, all from 50 to 60 degrees north and more in
            summer; shape (year,).
    """
    lat = np.arange(-85.0, 90.0, 10.0)
    season = np.where(np.isin(np.arange(12), np.arange(4, 9)), 1.0, -5 / 7)
    uptake = np.asarray(sink)[:, None] + season
    path = folder / "group.fluxes.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", uptake.size)
        file.createDimension("lat", lat.size)
        months = np.arange(uptake.size) + 12 * (years[0] - 1970)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1970-01-01", "standard"
        time[:] = months.astype("M8[M]").astype("M8[D]").astype("f8") + 14
        file.createVariable("lat", "f8", ("lat",))[:] = lat
        flux = file.createVariable("SFCO2_LND", "f8", ("time", "lat"))
        flux.units = "Pg C yr-1 degree-1"
        flux[:] = -uptake.reshape(-1, 1) * (lat == 55) / 10
    return path


def _with_years(
    years: Sequence[int], rows: Sequence[Sequence[float | None]]
) -> list[list[float | None]]:
    return [[year, *row] for year, row in zip(years, rows, strict=True)]
