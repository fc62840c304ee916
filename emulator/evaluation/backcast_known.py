"""What may be known when: everything of a store that appeared by a date, no more.

An estimate is *issued* at the end of a month. What it may rest on is cut, each by its
own delay: the labels (an edition of teachers' runs appears months after its last
year), the forcing (days after the end of a month), CO2 (an annual mean appears months
after its year). Normalisation, references, choices and weights follow from these.

What is cut is not there afterwards: later months are taken off the store, not masked,
before anything is read.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emulator.carbon.timeaxis import MONTHS_PER_YEAR, Months, as_months, years_of
from emulator.data.sequence import UNKNOWN
from emulator.evaluation.backcast_settings import DelaySettings

Array = npt.NDArray[np.floating]
Month = np.datetime64

NEVER = np.datetime64("9999-12", "M")
"""When is known what nobody says the date of."""


@dataclass(frozen=True)
class Known:
    """What is known at the end of a month.

    Attributes:
        issued: The month.
        labels: Last month whose labels are known, by teacher, in the store's order.
        forcing: Last month of which all forcing is known.
        co2: Last month whose CO2 is known; later CO2 is extended.
    """

    issued: Month
    labels: tuple[Month, ...]
    forcing: Month
    co2: Month

    @property
    def last_label(self) -> Month:
        """The last month with labels of any teacher."""
        return max(self.labels)


@dataclass(frozen=True)
class Delays:
    """How long after its time each thing of a store appears.

    Attributes:
        labels: Months from the end of an edition's last year to its appearance, by
            teacher, in the store's order.
        forcing: Days from the end of a month until all its forcing is there.
        co2: Months from the end of a year to its mean CO2.
    """

    labels: tuple[int, ...]
    forcing: float
    co2: int

    def known(self, issued: Month, labelled: Sequence[Month]) -> Known:
        """Return what is known at the end of a month.

        Args:
            issued: The month.
            labelled: Last month with labels in the store, by teacher: an edition that
                adds none is no new one.
        """
        labels = tuple(
            min(last, last_of_year(whole_years(issued, delay)))
            for last, delay in zip(labelled, self.labels, strict=True)
        )
        return Known(
            issued=issued,
            labels=labels,
            forcing=forcing_until(issued, self.forcing),
            co2=last_of_year(whole_years(issued, self.co2)),
        )

    def appeared(self, labels: Sequence[Month]) -> Month:
        """Return the month in which the youngest of some labels appeared."""
        return max(
            last + delay for last, delay in zip(labels, self.labels, strict=True)
        )


def delays_of(
    store: xr.Dataset, forcing: Sequence[str], asked: DelaySettings
) -> Delays:
    """Return the delays of a store: those asked for, else those of its catalog.

    Args:
        store: A training store.
        forcing: The forcing variables that are used; the slowest decides.
        asked: The settings.
    """
    catalog = json.loads(store.attrs.get("catalog", "{}"))
    days = []
    for name in forcing:
        entry = str(store[name].attrs.get("catalog_entry", ""))
        said = catalog.get(entry, {}).get("latency_days")
        days.append(asked.forcing_days if said is None else float(said))
    teachers = [str(name) for name in store["teacher"].to_numpy()]
    return Delays(
        labels=tuple(asked.teachers.get(name, asked.labels) for name in teachers),
        forcing=max(days),
        co2=asked.co2,
    )


def whole_years(issued: Month, delay: int) -> int:
    """Return the last year that ended ``delay`` months before a month's end, or more.

    By the end of November 2023, eleven months after the end of 2022, what appears
    after eleven months is known of 2022; a month earlier, of 2021.
    """
    return int(years_of(np.array([issued - delay + 1]))[0]) - 1


def last_of_year(year: int) -> Month:
    """Return the December of a year."""
    return np.datetime64(f"{year:04d}-12", "M")


def forcing_until(issued: Month, days: float) -> Month:
    """Return the last month that ended ``days`` before the end of a month, or more."""
    end = (issued + 1).astype("M8[D]")
    last = issued
    while (last + 1).astype("M8[D]") + np.timedelta64(round(24 * days), "h") > end:
        last = last - 1
    return last


def issue_month(known_month: Month, days: float) -> Month:
    """Return the first month at whose end the forcing of a month is known."""
    issued = known_month
    while forcing_until(issued, days) < known_month:
        issued = issued + 1
    return issued


def extend_yearly(values: Array, known: int, years: int) -> Array:
    """Let a series go on by its mean change over the last known years.

    The value of a month is that of twelve months before plus the mean annual change,
    so that a season, a step in January and a constant stay what they are.

    Args:
        values: Of each month, any unit; shape (..., time). Only the first ``known``
            are looked at.
        known: Leading months that are known.
        years: Years over which the change is averaged; fewer where fewer are known.

    Returns:
        Shape (..., time); NaN where too little is known.
    """
    extended = np.array(values, np.float64)
    extended[..., known:] = np.nan
    change = np.full(values.shape[:-1], np.nan)
    for span in range(min(years, (known - 1) // MONTHS_PER_YEAR), 0, -1):
        back = span * MONTHS_PER_YEAR
        found = (extended[..., known - 1] - extended[..., known - 1 - back]) / span
        change = np.where(np.isfinite(change), change, found)
    for month in range(max(known, MONTHS_PER_YEAR), extended.shape[-1]):
        extended[..., month] = extended[..., month - MONTHS_PER_YEAR] + change
    return extended


def weather_known(store: xr.Dataset) -> Months:
    """Return from which month on each weather of a store may be known.

    Weather of a month is known when the month is; a climatology when its last year
    is, and never if the catalog in the store does not say which years it is of.

    Returns:
        datetime64[M]; shape (weather_time,).
    """
    months = as_months(store["weather_time"].to_numpy())
    kinds = store["weather_kind"].to_numpy()
    last = _climatology_ends(json.loads(store.attrs.get("catalog", "{}")))
    of_mean = NEVER if last is None else last_of_year(last)
    return np.where(kinds == "climatology", of_mean, months)


def cut_store(store: xr.Dataset, known: Known, growth_years: int) -> xr.Dataset:
    """Return a training store as it would have been at a date.

    Args:
        store: The store, open; nothing of its later months is read.
        known: What may be known.
        growth_years: Known years whose mean change continues CO2 to the end of the
            forcing.

    Returns:
        Without weather that was not known, and months after the last known forcing;
        simulations that saw unknown weather have ``UNKNOWN`` there. ``labels_until``
        (teacher) is the last month whose labels may be read.
    """
    months = as_months(store["time"].to_numpy())
    rows = weather_known(store) <= known.forcing
    there = int((months <= known.forcing).sum())
    seen = store["weather"].to_numpy()[:, :there]
    place = np.append(np.where(rows, np.cumsum(rows) - 1, UNKNOWN), UNKNOWN)
    of_air = {
        name: (
            store[name].dims,
            extend_yearly(
                store[name].to_numpy()[:, :there],
                int((months <= min(known.co2, known.forcing)).sum()),
                growth_years,
            ).astype(np.float32),
            store[name].attrs,
        )
        for name in ("co2", "co2_normal")
    }
    places = np.flatnonzero(rows)
    leading = places.size == rows[: places.size].sum()
    # Zarr reads a list of places month by month.
    kept = slice(0, places.size) if leading else places
    cut = store.isel(time=slice(0, there), weather_time=kept)
    cut = cut.assign(weather=(store["weather"].dims, place[seen].astype("i4")))
    # In seconds: nanoseconds have no year 0, that of teachers without labels.
    until = np.array(known.labels, "M8[M]").astype("M8[s]")
    return cut.assign(of_air).assign_coords(labels_until=("teacher", until))


def _climatology_ends(catalog: Mapping[str, Any]) -> int | None:
    """Return the last year of the climatology that a simulation saw, if any says."""
    lasts: list[int] = [
        span["climatology"][1]
        for entry in catalog.values()
        for simulation in entry.get("simulations", {}).values()
        for span in simulation["weather"]
        if span.get("climatology")
    ]
    return max(lasts, default=None)
