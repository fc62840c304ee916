"""Daily fossil emissions by Carbon Monitor, summed to months of the world.

The table has a row for each country, day and sector, and aggregates (``WORLD``,
``ROW``, ``EU27 & UK``) among the countries: adding all up counts emissions twice,
adding countries without ``ROW`` misses some. ``WORLD`` alone is read.

Source:
    Liu et al. (2020), Scientific Data 7, https://carbonmonitor.org.
"""

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import UserError
from emulator.carbon.units import GTCO2_PER_GTC
from emulator.data.readers.files import read_text

WORLD = "world"
_COLUMNS = ("country", "date", "sector", "value")


@dataclass(frozen=True, eq=False)
class MonthlyEmissions:
    """Emissions of the world.

    Attributes:
        months: Complete months, increasing, datetime64[M]; shape (time,).
        carbon: PgC in each month; shape (time,).
    """

    months: NDArray[np.datetime64]
    carbon: NDArray[np.float64]


def read(path: Path) -> MonthlyEmissions:
    """Read ``carbonmonitor-global_datas_*.csv``; months with all of their days.

    Raises:
        UserError: If the file is not there, has other columns, a value that is none, no
            row of the world, or no complete month.
    """
    if not path.is_file():
        raise UserError(
            f"No file '{path}'. Get the global table from https://carbonmonitor.org, "
            f"or leave budget.carbon_monitor empty."
        )
    days: dict[np.datetime64, dict[str, float]] = defaultdict(dict)
    reader = csv.DictReader(read_text(path).splitlines(), restval="")
    found = reader.fieldnames or []
    if missing := [name for name in _COLUMNS if name not in found]:
        raise UserError(
            f"{path} has no column {', '.join(missing)}, it has "
            f"{', '.join(found) or 'none'}. Get it again."
        )
    for row in reader:
        if row["country"].strip().casefold() != WORLD:
            continue
        try:
            day, month, year = row["date"].strip().split("/")
            stamp = np.datetime64(f"{year}-{month:0>2}-{day:0>2}", "D")
            days[stamp][row["sector"].strip()] = float(row["value"])
        except ValueError as error:
            raise UserError(
                f"{path}: line {reader.line_num} cannot be read ({error}); a date "
                f"like 31/12/2023 and a number are needed. Get it again."
            ) from None
    if not days:
        raise UserError(
            f"{path} has no row of the country 'WORLD', whose growth is wanted. Get "
            f"the global table."
        )
    sectors = set().union(*days.values())
    whole = {
        day: sum(each.values()) for day, each in days.items() if each.keys() == sectors
    }
    stamps = np.array(sorted(whole), "datetime64[D]")
    values = np.array([whole[day] for day in stamps])
    months, which, count = np.unique(
        stamps.astype("datetime64[M]"), return_inverse=True, return_counts=True
    )
    lengths = ((months + 1).astype("M8[D]") - months.astype("M8[D]")).astype(np.int64)
    complete = count == lengths
    if not complete.any():
        raise UserError(
            f"{path} has no month with all of its days and of the sectors "
            f"{', '.join(sorted(sectors))}. Get it again."
        )
    total = np.bincount(which, values) / 1e3 / GTCO2_PER_GTC  # Mt of CO2 to PgC
    return MonthlyEmissions(months[complete], total[complete])
