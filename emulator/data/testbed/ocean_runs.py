"""Spin-up and simulations A and B of an ocean teacher."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from emulator.carbon import timeaxis
from emulator.data.testbed.geography import Geography
from emulator.data.testbed.ocean import (
    OceanFluxes,
    OceanForcing,
    OceanModel,
    OceanState,
    OceanTeacher,
)
from emulator.data.testbed.prescribed import Prescribed
from emulator.data.testbed.scenario import PREINDUSTRIAL_CO2, Spans, co2
from emulator.data.testbed.weather import Weather, insolation

Array = NDArray[np.float64]
Years = NDArray[np.int64]

_SPIN_UP_YEARS = 200
"""Four times the renewal of the thermocline, which leaves 2 % of the first error."""

_BLOCK_YEARS = 20
"""Years computed at once; bounds the memory that the constants take."""

_LEAST_SEA = 0.05
"""Share of sea below which a cell is left to the land."""

_BRIGHTEST = 550.0
"""Insolation of the brightest month of any cell, W m-2."""


def simulations(
    teacher: OceanTeacher,
    geography: Geography,
    weather: Weather,
    spans: Spans,
    calendar: str,
) -> Iterator[tuple[str, NDArray[np.int64], OceanFluxes]]:
    """Run B and A of one teacher.

    B sees pre-industrial CO2 and the mean seasons of the recycled years; A sees
    rising CO2 and, from the first year of output, the weather itself.

    Args:
        teacher: Its structure.
        geography: The Earth.
        weather: Weather of at least all years of ``spans``.
        spans: Years of the output.
        calendar: The teacher's calendar, which sets the length of its months.

    Yields:
        Name of the simulation, the flat index of its cells, and the output of all
        months from January of the first to December of the last year; (month, cell).
    """
    run = _Run(teacher, geography, weather, spans, calendar)
    years, history = spans.output, spans.history
    constant = np.full(years.size, PREINDUSTRIAL_CO2)
    state = run.spin_up()
    yield "B", run.cells, run.through(state.copy(), None, constant, years)
    run.through(state, spans.recycled_year(history), co2(history), history, keep=False)
    yield "A", run.cells, run.through(state, years, co2(years), years)


def prescribed(
    teacher: OceanTeacher,
    geography: Geography,
    weather: Weather,
    spans: Spans,
    calendar: str,
    runs: Sequence[Prescribed],
) -> tuple[NDArray[np.int64], list[OceanFluxes]]:
    """Go on as A does, from the first year of output on, but as prescribed.

    Args:
        teacher: Its structure.
        geography: The Earth.
        weather: As in ``simulations``, for spin-up and history.
        spans: Years of the simulations; every run begins with the first.
        calendar: The teacher's calendar.
        runs: What each run sees.

    Returns:
        Flat index of the cells, and the output of all months of each run.
    """
    run = _Run(teacher, geography, weather, spans, calendar)
    state, history = run.spin_up(), spans.history
    run.through(state, spans.recycled_year(history), co2(history), history, keep=False)
    output = []
    for each in runs:
        run.see(each.weather)
        years = each.years
        output.append(run.through(state.copy(), years, each.co2, years))
    return run.cells, output


class _Run:
    """A model with its weather, which can be taken through any years."""

    def __init__(
        self,
        teacher: OceanTeacher,
        geography: Geography,
        weather: Weather,
        spans: Spans,
        calendar: str,
    ) -> None:
        sea = 1 - geography.land_fraction.ravel()[weather.ocean_cells]
        kept = self._kept = sea >= _LEAST_SEA
        self.cells = weather.ocean_cells[kept]
        self._calendar = calendar
        self.see(weather)
        grid = geography.grid
        lat = np.repeat(grid.lat, grid.shape[1])[self.cells]
        lon = np.tile(grid.lon, grid.shape[0])[self.cells]
        month = np.arange(1.0, 13.0)[:, None]
        self._light = np.minimum(insolation(lat, month) / _BRIGHTEST, 1.0)
        self._mean = {
            name: field[: 12 * spans.cycle.size]
            .astype(np.float64)
            .reshape(-1, 12, field.shape[1])
            .mean(axis=0)
            for name, field in self._fields.items()
        }
        self.mean = self._forcing(None, np.array([PREINDUSTRIAL_CO2]), np.array([2001]))
        area = grid.cell_area().ravel()[self.cells] * sea[kept]
        self.model = OceanModel(teacher, lat, lon, area, self.mean)

    def see(self, weather: Weather) -> None:
        """Take the weather of all years to come from ``weather``."""
        self._fields = {
            name: field[:, self._kept] for name, field in weather.ocean.items()
        }
        self._first = int(timeaxis.years_of(weather.months)[0])

    def spin_up(self) -> OceanState:
        """Return the state in balance with mean seasons and pre-industrial CO2."""
        state = self.model.first_state(self.mean)
        block = np.arange(_BLOCK_YEARS)
        constant = np.full(block.size, PREINDUSTRIAL_CO2)
        for _ in range(_SPIN_UP_YEARS // _BLOCK_YEARS):
            self.through(state, None, constant, block, keep=False)
        return state

    def through(
        self,
        state: OceanState,
        weather_years: Years | None,
        air: Array,
        years: Years,
        keep: bool = True,
    ) -> OceanFluxes:
        """Take ``state`` through ``years``.

        Args:
            state: Changed in place.
            weather_years: Year whose weather each year sees; None for the mean
                seasons; (year,).
            air: CO2 of each year, ppm; (year,).
            years: Calendar years, for the length of months; (year,).
            keep: Whether to return the output.
        """
        blocks: list[OceanFluxes] = []
        for start in range(0, years.size, _BLOCK_YEARS):
            part = slice(start, start + _BLOCK_YEARS)
            seen = None if weather_years is None else weather_years[part]
            output = self.model.run(state, self._forcing(seen, air[part], years[part]))
            blocks = [*blocks, output] if keep else []
        return OceanFluxes.joined(blocks)

    def _forcing(
        self, weather_years: Years | None, air: Array, years: Years
    ) -> OceanForcing:
        month = np.arange(12)
        calendar = ((years - 1970)[:, None] * 12 + month).ravel()
        seconds = timeaxis.seconds_per_month(
            calendar.astype("datetime64[M]"), self._calendar
        )
        if weather_years is None:
            fields = {
                name: np.tile(mean, (years.size, 1))
                for name, mean in self._mean.items()
            }
        else:
            index = ((weather_years - self._first)[:, None] * 12 + month).ravel()
            fields = {
                name: field[index].astype(np.float64)
                for name, field in self._fields.items()
            }
        return OceanForcing(
            **fields,
            co2=np.repeat(air, 12)[:, None],
            light=np.tile(self._light, (years.size, 1)),
            seconds=seconds[:, None],
        )
