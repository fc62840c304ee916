"""Spin-up and simulations S0, S1 and S2 of a land teacher."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from emulator.carbon import timeaxis
from emulator.data.testbed.geography import Geography
from emulator.data.testbed.land import LandFluxes, LandForcing, LandModel, LandState
from emulator.data.testbed.land_structure import LandTeacher
from emulator.data.testbed.prescribed import Prescribed
from emulator.data.testbed.scenario import PREINDUSTRIAL_CO2, Spans, co2
from emulator.data.testbed.weather import Weather

Array = NDArray[np.float64]
Years = NDArray[np.int64]

_JUMPING_YEARS = 160
"""Years of spin-up in which the pools jump to their balance after each cycle."""

_SETTLING_YEARS = 80
"""Years without jumps, in which what the jumps left behind dies away."""

_BLOCK_YEARS = 20
"""Years computed at once; bounds the memory that light use takes."""

_LEAST_LAND = 0.02
"""Share of land below which a cell is left to the sea."""


def simulations(
    teacher: LandTeacher,
    geography: Geography,
    weather: Weather,
    spans: Spans,
    calendar: str,
) -> Iterator[tuple[str, LandModel, LandFluxes]]:
    """Run S0, S1 and S2 of one teacher.

    S0 sees pre-industrial CO2 and recycled weather, S1 rising CO2 and recycled
    weather, S2 rising CO2 and, from the first year of output, the weather itself.

    Args:
        teacher: Its structure.
        geography: The Earth.
        weather: Weather of at least all years of ``spans``.
        spans: Years of the output.
        calendar: The teacher's calendar, which sets the length of its months.

    Yields:
        Name of the simulation, the model with its cells, and the fluxes of all months
        from January of the first to December of the last year; (month, cell).
    """
    run = _Run.of(teacher, geography, weather, calendar)
    state = run.spin_up(spans)
    years, repeated = spans.output, spans.recycled_year(spans.output)
    constant = np.full(years.size, PREINDUSTRIAL_CO2)
    yield "S0", run.model, run.through(state.copy(), repeated, constant, years)

    history = spans.history
    run.through(state, spans.recycled_year(history), co2(history), history, keep=False)
    yield "S1", run.model, run.through(state.copy(), repeated, co2(years), years)
    yield "S2", run.model, run.through(state, years, co2(years), years)


def prescribed(
    teacher: LandTeacher,
    geography: Geography,
    weather: Weather,
    spans: Spans,
    calendar: str,
    runs: Sequence[Prescribed],
) -> tuple[LandModel, list[LandFluxes]]:
    """Go on as S1 does, from the first year of output on, but as prescribed.

    Args:
        teacher: Its structure.
        geography: The Earth.
        weather: As in ``simulations``, for spin-up and history.
        spans: Years of the simulations; every run begins with the first.
        calendar: The teacher's calendar.
        runs: What each run sees.

    Returns:
        The model with its cells, and the fluxes of all months of each run.
    """
    run = _Run.of(teacher, geography, weather, calendar)
    state, history = run.spin_up(spans), spans.history
    run.through(state, spans.recycled_year(history), co2(history), history, keep=False)
    fluxes = []
    for each in runs:
        run.see(each.weather)
        years = each.years
        fluxes.append(run.through(state.copy(), years, each.co2, years))
    return run.model, fluxes


class _Run:
    """A model with its weather, which can be taken through any years."""

    @classmethod
    def of(
        cls, teacher: LandTeacher, geography: Geography, weather: Weather, calendar: str
    ) -> "_Run":
        """Return the model on all cells with enough land and without an ice sheet."""
        cells = weather.land_cells
        kept = (geography.land_fraction.ravel()[cells] >= _LEAST_LAND) & (
            geography.ice_fraction.ravel()[cells] < 0.5
        )
        return cls(LandModel(teacher, geography, cells[kept]), weather, kept, calendar)

    def __init__(
        self,
        model: LandModel,
        weather: Weather,
        kept: NDArray[np.bool_],
        calendar: str,
    ) -> None:
        self.model = model
        self._kept = kept
        self._calendar = calendar
        self.see(weather)

    def see(self, weather: Weather) -> None:
        """Take the weather of all years to come from ``weather``."""
        self._fields = {
            name: field[:, self._kept] for name, field in weather.land.items()
        }
        self._first = int(timeaxis.years_of(weather.months)[0])

    def spin_up(self, spans: Spans) -> LandState:
        """Return the state in balance with recycled weather and pre-industrial CO2."""
        cycle = spans.cycle
        constant = np.full(cycle.size, PREINDUSTRIAL_CO2)
        state = self.model.first_state()
        for elapsed in range(0, _JUMPING_YEARS + _SETTLING_YEARS, cycle.size):
            state.forget_turnover()
            self.through(state, cycle, constant, cycle, keep=False)
            if elapsed < _JUMPING_YEARS:
                state.jump_to_balance()
        return state

    def through(
        self,
        state: LandState,
        weather_years: Years,
        air: Array,
        years: Years,
        keep: bool = True,
    ) -> LandFluxes:
        """Take ``state`` through ``years``, seeing the weather of other years.

        Args:
            state: Changed in place.
            weather_years: Year whose weather each year sees; (year,).
            air: CO2 of each year, ppm; (year,).
            years: Calendar years, for the length of months; (year,).
            keep: Whether to return the fluxes of all years, or of the last block.
        """
        blocks: list[LandFluxes] = []
        for start in range(0, years.size, _BLOCK_YEARS):
            part = slice(start, start + _BLOCK_YEARS)
            forcing = self._forcing(weather_years[part], air[part], years[part])
            fluxes = self.model.run(state, forcing)
            blocks = [*blocks, fluxes] if keep else []
        return LandFluxes.joined(blocks)

    def _forcing(self, weather_years: Years, air: Array, years: Years) -> LandForcing:
        month = np.arange(12)
        index = ((weather_years - self._first)[:, None] * 12 + month).ravel()
        calendar = ((years - 1970)[:, None] * 12 + month).ravel()
        seconds = timeaxis.seconds_per_month(
            calendar.astype("datetime64[M]"), self._calendar
        )
        fields = {
            name: field[index].astype(np.float64)
            for name, field in self._fields.items()
        }
        return LandForcing(
            **fields, co2=np.repeat(air, 12)[:, None], seconds=seconds[:, None]
        )
