"""What the days that a month still lacks may change.

The forcing of a month that is not over is completed by a rule, and could have been
completed otherwise. The totals of the emulator under other plausible completions say
how much that matters: their standard deviation is an error of its own, counted in the
interval of the sink.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.budget import area_rate
from emulator.carbon.grid import Grid
from emulator.carbon.regions import latitude_bands
from emulator.carbon.timeaxis import as_months, seconds_per_month, years_of
from emulator.carbon.units import KG_PER_PETAGRAM, SECONDS_PER_YEAR
from emulator.learning.inference import Emulator
from emulator.nightly import layout
from emulator.nightly.budget import BUDGET_UNITS, SINKS

Array = NDArray[np.float64]

STD = "completion_std"
"""Name in a prediction: standard deviation of totals over completions; (region, time),
PgC yr-1, 0 where no month is partial."""


def region_names(grid: Grid) -> list[str]:
    """Return the regions of a map's budgets: the globe and the latitude bands."""
    return ["globe", *latitude_bands(grid).regions]


def spread(
    emulator: Emulator, forcings: Iterable[xr.Dataset], since: np.datetime64
) -> xr.DataArray:
    """Return how much totals differ between completions of a month.

    The first network answers alone: networks agree on what weather does far better
    than the completions agree on the weather, and asking all would cost as much as the
    night itself.

    Args:
        emulator: The run.
        forcings: Completions, as ``Emulator.predict`` takes them; two or more.
        since: The month that is not over, datetime64[M]; it and the months after it,
            which remember it, may differ.

    Returns:
        Sample standard deviation of the monthly rates of globe and latitude bands,
        mean of teachers, PgC yr-1; (region, time), from ``since`` on.
    """
    one = replace(emulator, members=emulator.members[:1])
    flux = SINKS[emulator.domain]
    bands = latitude_bands(emulator.grid)
    weights = np.concatenate([np.ones((1, *emulator.grid.shape)), bands.weights])
    weights = weights.reshape(len(weights), -1)[:, emulator.cells.numpy()]
    area = weights * emulator.area.numpy().astype(np.float64)
    totals = []
    for forcing in forcings:
        months = as_months(forcing["time"].to_numpy())
        first = max(int(np.searchsorted(months, since)) - emulator.history, 0)
        answer = one.predict(forcing.isel(time=slice(first, None)).load())
        found = answer[flux].sel(time=slice(since, None))
        maps = found.transpose("teacher", "time", "lat", "lon").to_numpy()
        cells = maps.reshape(*maps.shape[:2], -1)[..., emulator.cells.numpy()]
        mean = np.nan_to_num(cells).mean(axis=0, dtype=np.float64)
        totals.append([area_rate(mean, part) for part in area])
    rates = np.array(totals) * SECONDS_PER_YEAR / KG_PER_PETAGRAM
    return xr.DataArray(
        rates.std(axis=0, ddof=1),
        dims=("region", "time"),
        coords={
            "region": layout.text(region_names(emulator.grid)),
            "time": found["time"],
        },
    )


def of_budgets(totals: xr.Dataset, predictions: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return what the rest of partial months may change in the totals of a map.

    Args:
        totals: ``budget_month`` and ``budget_year``.
        predictions: By domain, with ``completion_std`` where a month may be partial.

    Returns:
        ``budget_month_completion_std(flux, region, time)``, PgC yr-1, and
        ``budget_year_completion_std(flux, region, year)``, PgC: 0 where every month of
        a total is over, and where it is not known that one is not.
    """
    month, year = totals["budget_month"], totals["budget_year"]
    monthly, annual = np.zeros(month.shape), np.zeros(year.shape)
    months = as_months(totals["time"].to_numpy())
    share = seconds_per_month(months) / SECONDS_PER_YEAR
    inside = years_of(months) == totals["year"].to_numpy()[:, None]
    for domain, prediction in predictions.items():
        if STD not in prediction:
            continue
        row = totals.get_index("flux").get_loc(SINKS[domain])
        given = prediction[STD].reindex(region=totals["region"], time=totals["time"])
        monthly[row] = np.nan_to_num(given.transpose("region", "time").to_numpy())
        # Together, as in running totals: what one changes, those after it remember.
        annual[row] = (monthly[row] * share) @ inside.T
    what = "standard deviation over completions of months that are not over"
    return xr.Dataset(
        {
            f"budget_{period}_completion_std": (
                total.dims,
                values,
                {
                    "units": BUDGET_UNITS,
                    "long_name": f"{total.attrs['long_name']}; {what}",
                },
            )
            for period, total, values in (
                ("month", month, monthly),
                ("year", year, annual),
            )
        }
    )
