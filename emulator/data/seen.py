"""What each simulation saw: its weather and its CO2, month by month."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import CatalogError
from emulator.carbon.timeaxis import years_of
from emulator.data.entry import Entry
from emulator.data.inputs import Forcing, attributes, read_co2
from emulator.data.sequence import UNKNOWN, climatology_years, weather_sequence
from emulator.data.sources import Sources

CO2 = ("co2", "co2_normal")
"""What of CO2 a store holds, in the order of ``read_co2``."""


def weather_axis(
    forcing: Forcing, teachers: Iterable[Entry], simulations: Sequence[str]
) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """Return the coordinates of the weather, and the years of its climatology.

    Returns:
        ``weather_time``, which ends with twelve nominal months if some simulation saw a
        climatology, and ``weather_kind``; first and last year of the climatology.

    Raises:
        CatalogError: If the forcing lacks years of the climatology.
    """
    used = [
        entry.simulations[name]
        for entry in teachers
        for name in simulations
        if name in entry.simulations
    ]
    years = climatology_years(used)
    months, kind = forcing.months, ["month"] * forcing.months.size
    if years is not None:
        inside = (years_of(months) >= years[0]) & (years_of(months) <= years[1])
        if inside.sum() != 12 * (years[1] - years[0] + 1):
            raise CatalogError(
                f"A simulation saw the climatology of {years[0]}-{years[1]}, but the "
                f"forcing holds {months[0]} to {months[-1]}. Correct 'climatology' in "
                f"its catalog entry, or take forcing of these years."
            )
        # A nominal year, so that the axis increases; weather_kind tells.
        months = np.arange(months[0], months[-1] + 13)
        kind = [*kind, *["climatology"] * 12]
    stamps = xr.Variable(
        "weather_time",
        months.astype("datetime64[ns]"),
        {
            "long_name": "Month of the weather",
            "comment": "Where weather_kind is 'climatology' the year is nominal.",
        },
    )
    coords = {
        "weather_time": stamps,
        "weather_kind": ("weather_time", np.array(kind, object)),
    }
    return coords, years


def seen(
    simulations: Sequence[str],
    sources: Sources,
    forcing: Forcing,
    months: NDArray[np.datetime64],
    data_root: Path,
) -> dict[str, tuple[tuple[str, str], NDArray[Any], dict[str, str]]]:
    """Return the weather and the CO2 that each simulation saw.

    Raises:
        CatalogError: If two teachers saw different ones under one name.
    """
    tables = {
        name: read_co2(entry, months, data_root) for name, entry in sources.co2.items()
    }
    weather, co2 = [], []
    for name in simulations:
        having = [entry for entry in sources.teachers if name in entry.simulations]
        first, *others = having
        one = first.simulations[name]
        sequence = weather_sequence(one, months, forcing.months)
        series = tables.get(one.co2.table or "")
        if series is None:
            series = np.full((2, *months.shape), one.co2.constant, np.float32)
        for other in others:
            same = weather_sequence(other.simulations[name], months, forcing.months)
            if other.simulations[name].co2 != one.co2 or (same != sequence).any():
                raise CatalogError(
                    f"'{first.name}' and '{other.name}' saw different weather or CO2 "
                    f"in their simulations '{name}', but a store holds one for each "
                    f"name. Rename one of the two in its catalog entry, or prepare "
                    f"them separately."
                )
        weather.append(sequence)
        co2.append(series)
    about = {
        "long_name": "Place on weather_time of the weather that the simulation saw",
        "comment": f"{UNKNOWN} where nobody knows it.",
    }
    dims = ("simulation", "time")
    return {
        "weather": (dims, np.stack(weather).astype(np.int32), about),
        **{
            name: (dims, np.stack(values), attributes(name, {}))
            for name, values in zip(CO2, zip(*co2, strict=True), strict=True)
        },
    }


def require_seen(
    store: xr.Dataset,
    teacher: Entry,
    simulation: str,
    years: tuple[int, int],
    forcing: Forcing,
) -> None:
    """Refuse labels of months of which weather or CO2 are not known.

    Raises:
        CatalogError: If there are such months.
    """
    saw = store[["weather", "co2"]].sel(simulation=simulation)
    year = years_of(saw["time"].to_numpy())
    inside = (year >= years[0]) & (year <= years[1])
    spans = teacher.simulations[simulation].weather
    said = np.zeros(year.shape, bool)
    for span in spans:
        last = np.inf if span.years[1] is None else span.years[1]
        said |= (year >= span.years[0]) & (year <= last)
    what = (
        f"Simulation '{simulation}' of '{teacher.name}' has labels of "
        f"{years[0]}-{years[1]}"
    )
    unsaid = inside & ~said
    if unsaid.any():
        raise CatalogError(
            f"{what}, but 'weather' in its catalog entry says nothing about "
            f"{_years(year[unsaid])}. Add the weather which these years saw; it cannot "
            f"be guessed."
        )
    lacking = inside & (saw["weather"].to_numpy() == UNKNOWN)
    if lacking.any():
        raise CatalogError(
            f"{what}, but the weather which {_years(year[lacking])} saw is not in the "
            f"forcing, which holds {forcing.months[0]} to {forcing.months[-1]}: the "
            f"two do not overlap there. Ask for other data.years, or take forcing that "
            f"covers them."
        )
    unknown = inside & np.isnan(saw["co2"].to_numpy())
    if unknown.any():
        raise CatalogError(
            f"{what}, but its CO2 table has no value for {_years(year[unknown])}. "
            f"Complete the table, or ask for other data.years."
        )


def _years(years: NDArray[np.int64]) -> str:
    return f"{years.min()}-{years.max()}"
