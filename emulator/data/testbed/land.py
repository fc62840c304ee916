"""A land carbon cycle whose laws and pools are chosen by each teacher.

One month of one cell: light, warmth, dryness and CO2 give gross uptake; it feeds
leaves, wood and roots, which respire and shed; litter and soil decay; fire and
harvest take their share. Every pool loses by exponential decay over the month, split
between its losses, so no pool can turn negative and carbon closes to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.units import MOLAR_MASS_CARBON
from emulator.data.testbed.geography import Geography
from emulator.data.testbed.land_structure import LandTeacher
from emulator.data.testbed.scenario import PREINDUSTRIAL_CO2
from emulator.data.testbed.weather import saturation_pressure

Array = NDArray[np.float64]

SECONDS_PER_YEAR = 365.0 * 86400.0
"""Rates of pools are per year of 365 days, whatever the calendar of the files."""

_PHOTONS_PER_JOULE = 2.04e-6
"""Photosynthetically active photons per joule of sunshine, mol J-1 (Meek et al.,
1984: half of the energy, 4.57 umol J-1, less a tenth for reflection)."""

_EXTINCTION = 0.5
"""Extinction of light in a canopy with random leaf angles (Monsi and Saeki, 1953)."""

_BARE_FAPAR = 0.06
"""Light caught by seedlings and buds where no leaves are, so that a cell which lost
its leaves in a drought or a winter can grow them again."""

_DEEP_SHARE = 0.4
"""Share of decay below the reach of the seasons (0.3 m holds about half of the carbon
of the first metre: Jobbagy and Jackson, 2000)."""

_DEEP_MONTHS = 15.0
"""Months by which the deep soil lags; seasons there have an eighth of their size."""

_BURNT = {"leaf": 0.6, "wood": 0.12, "root": 0.05}
"""Share of a living pool burnt where fire passes (GFED combustion completeness)."""


@dataclass(eq=False)
class LandState:
    """What a run carries from month to month; pools in kg m-2, (pool, cell).

    Attributes:
        living: Living carbon.
        dead: Dead carbon.
        water: Plant-available water, mm; (cell,).
        snow: Snow, mm; (cell,).
        soil_heat: Temperature of the upper soil, K; (cell,).
        deep_heat: Temperature of the deep soil, K; (cell,).
        gained: What each pool gained since ``forget_turnover``, living first.
        lost: What each pool lost since then.
    """

    living: Array
    dead: Array
    water: Array
    snow: Array
    soil_heat: Array
    deep_heat: Array
    gained: Array
    lost: Array

    def carbon(self) -> Array:
        """Return all carbon of each cell, kg m-2; (cell,)."""
        return np.asarray(self.living.sum(axis=0) + self.dead.sum(axis=0))

    def copy(self) -> LandState:
        """Return a state that can be changed on its own."""
        return LandState(**{key: value.copy() for key, value in vars(self).items()})

    def forget_turnover(self) -> None:
        """Begin to count gains and losses of the pools anew."""
        self.gained[:] = 0.0
        self.lost[:] = 0.0

    def jump_to_balance(self) -> None:
        """Scale each pool so that its losses would have met its gains.

        Losses are proportional to a pool, so this is its balance for the inputs
        it had; a few rounds settle centuries of soil carbon (Xia et al., 2012).
        """
        # A pool that was nearly empty grows tenfold at most, and is counted again.
        factor = np.clip(self.gained / np.maximum(self.lost, 1e-9), 0.1, 10.0)
        living = self.living.shape[0]
        self.living *= factor[:living]
        self.dead *= factor[living:]


@dataclass(frozen=True, eq=False)
class LandForcing:
    """Weather of a span of months; each (month, cell), in the units of CMIP6.

    Attributes:
        tas: Air temperature, K.
        pr: Rain and snow, kg m-2 s-1.
        rsds: Sunshine, W m-2.
        vpd: Vapour pressure deficit, Pa.
        co2: CO2 of the air, ppm; (month, 1).
        seconds: Length of each month, s; (month, 1).
    """

    tas: Array
    pr: Array
    rsds: Array
    vpd: Array
    co2: Array
    seconds: Array


@dataclass(eq=False)
class LandFluxes:
    """Monthly mean rates, kg C m-2 s-1, positive in their own direction.

    Attributes:
        nbp: Net uptake of the land, with fire and harvest.
        gpp: Gross uptake.
        ra: Plant respiration.
        rh: Decay; with fire where the teacher puts it there.
        fire: Fire.
        harvest: Harvest, which no file reports.
        storage: Carbon in all pools at the end of the month, kg m-2.
    """

    nbp: Array
    gpp: Array
    ra: Array
    rh: Array
    fire: Array
    harvest: Array
    storage: Array

    @classmethod
    def joined(cls, parts: Sequence[LandFluxes]) -> LandFluxes:
        """Return consecutive spans as one; empty arrays if there are none."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                if parts
                else np.empty((0, 0))
                for name in _OUTPUTS
            )
        )


class LandModel:
    """One teacher on the cells of one Earth.

    Args:
        teacher: The structure.
        geography: The Earth.
        cells: Flat index of the cells to simulate; shape (cell,).
    """

    def __init__(
        self, teacher: LandTeacher, geography: Geography, cells: NDArray[np.int64]
    ) -> None:
        """Lay the teacher's parameters out as arrays over pools and cells."""
        self.teacher = teacher
        self.cells = cells
        texture = geography.clay.ravel()[cells] - 0.5 * geography.sand.ravel()[cells]
        # 60 to 200 mm of water between wilting and field capacity in the rooted soil.
        self.capacity = teacher.root_depth * np.clip(150 + 200 * texture, 60, 200)
        # Barometric formula with the scale height of a standard atmosphere.
        self.pressure = 101325.0 * np.exp(-geography.elevation.ravel()[cells] / 8400.0)
        # Farms: middle latitudes and the monsoon lands, where most of them are.
        lat = np.repeat(geography.grid.lat, geography.grid.shape[1])[cells]
        self.farmed = np.where((lat > 10) & (lat < 55), 1.0, 0.15)
        self._leaf = np.array([pool.kind == "leaf" for pool in teacher.living])
        self._share = np.array([pool.share for pool in teacher.living])[:, None]
        self._shed = 1 / np.array([pool.years for pool in teacher.living])[:, None]
        self._upkeep = np.array([p.maintenance for p in teacher.living])[:, None]
        self._taken = np.array(
            [0.0 if pool.kind == "root" else 1.0 for pool in teacher.living]
        )[:, None]
        self._burnt = np.array([_BURNT[pool.kind] for pool in teacher.living])[:, None]
        self._decay = 1 / np.array([pool.years for pool in teacher.dead])[:, None]
        self._passed = np.array([pool.passed for pool in teacher.dead])[:, None]
        self._dead_burnt = np.array([pool.burns for pool in teacher.dead])[:, None]
        self._feeds = np.array(
            [
                [float(living.kind in dead.takes) for living in teacher.living]
                for dead in teacher.dead
            ]
        )
        self._feeds /= np.maximum(self._feeds.sum(axis=0), 1.0)

    def first_state(self) -> LandState:
        """Return a young landscape: some of everything, half-wet soil, no snow."""
        teacher, cells = self.teacher, self.cells.size
        return LandState(
            living=np.full((len(teacher.living), cells), 0.1),
            dead=np.full((len(teacher.dead), cells), 1.0),
            water=0.5 * self.capacity,
            snow=np.zeros(cells),
            soil_heat=np.full(cells, 283.0),
            deep_heat=np.full(cells, 283.0),
            gained=np.zeros((len(teacher.living) + len(teacher.dead), cells)),
            lost=np.zeros((len(teacher.living) + len(teacher.dead), cells)),
        )

    def run(self, state: LandState, forcing: LandForcing) -> LandFluxes:
        """Advance ``state`` in place through all months of ``forcing``.

        Args:
            state: State at the start; holds the state at the end afterwards.
            forcing: The weather.

        Returns:
            The fluxes; arrays of shape (month, cell), float64.
        """
        uptake = (
            self.teacher.efficiency
            * self.teacher.light_use(
                forcing.tas, forcing.vpd, forcing.co2, self.pressure
            )
            * (PREINDUSTRIAL_CO2 / forcing.co2) ** self.teacher.nutrients
            * forcing.rsds
            * (_PHOTONS_PER_JOULE * MOLAR_MASS_CARBON)
        )
        demand = evaporative_demand(forcing.tas, forcing.rsds) * forcing.seconds
        breath = self.teacher.plant_respiration(forcing.tas)
        months = forcing.tas.shape[0]
        out = {name: np.empty(forcing.tas.shape) for name in _OUTPUTS}
        for month in range(months):
            seconds = float(forcing.seconds[month, 0])
            wetness = self._move_water(
                state, forcing.tas[month], forcing.pr[month] * seconds, demand[month]
            )
            self._move_carbon(
                state,
                uptake[month] * seconds,
                breath[month],
                wetness,
                forcing.tas[month],
                seconds / SECONDS_PER_YEAR,
                {name: values[month] for name, values in out.items()},
            )
        for name in _OUTPUTS:
            if name != "storage":
                out[name] /= forcing.seconds
        return LandFluxes(**out)

    def _move_water(
        self, state: LandState, tas: Array, water: Array, demand: Array
    ) -> Array:
        """Advance snow and soil water by a month; return the mean wetness, 0 to 1."""
        celsius = tas - 273.15
        frozen = np.clip(0.5 - celsius / 4.0, 0.0, 1.0)
        # A degree-day factor of 3 mm K-1 (Hock, 2003) over 30 days; part of the snow
        # of a month near freezing melts within it.
        potential = np.maximum(celsius + 2.0, 0.0) * 90.0
        snow = state.snow + frozen * water
        melt = np.minimum(snow, potential)
        state.snow = snow - melt
        supply = (1 - frozen) * water + melt
        # Evaporation is demand times wetness, so the month has a closed solution.
        rate = np.maximum(demand, 1.0) / self.capacity
        balance = supply / rate
        end = balance + (state.water - balance) * np.exp(-rate)
        end = np.clip(end, 0.0, self.capacity)
        wetness = 0.5 * (state.water + end) / self.capacity
        state.water = end
        return np.asarray(wetness)

    def _move_carbon(
        self,
        state: LandState,
        light: Array,
        breath: Array,
        wetness: Array,
        tas: Array,
        years: float,
        out: dict[str, Array],
    ) -> None:
        """Advance the pools by a month and write its fluxes, kg m-2 per month."""
        teacher = self.teacher
        stress = np.clip(teacher.stress(wetness), 0.0, 1.0)
        area = teacher.leaf_area * state.living[self._leaf].sum(axis=0)
        caught = np.maximum(1 - np.exp(-_EXTINCTION * area), _BARE_FAPAR)
        gpp = light * caught * stress
        celsius = tas - 273.15
        warmth = self._warm_soil(state, tas)

        growth = gpp * (1 - teacher.growth)
        new = growth * self._allocation(area)
        living = state.living + new
        fire = self._fire(state, wetness, celsius)
        # Frost sheds leaves within eight months, dust within four.
        season = 1.5 / (1 + np.exp((celsius - 1) / 1.5)) + 3 * (1 - stress) ** 2
        rates = np.stack(
            [
                np.broadcast_to(self._upkeep * breath, living.shape),
                self._shed + np.where(self._leaf[:, None], season, 0.0),
                self._burnt * fire,
                self._taken * (teacher.harvest * self.farmed),
            ]
        )
        upkeep, litter, burnt, taken = _decayed(living, rates, years)
        shed = upkeep + litter + burnt + taken
        state.living = living - shed

        gain = self._feeds @ litter
        speed = self.teacher.soil_respiration(warmth) * (
            teacher.dry_decay + (1 - teacher.dry_decay) * np.minimum(wetness / 0.6, 1)
        )
        dead_rates = np.stack([self._decay * speed, self._dead_burnt * fire])
        decayed, ashes = _decayed(state.dead, dead_rates, years)
        moved = decayed * self._passed
        gain[1:] += moved[:-1]
        state.dead = state.dead + gain - decayed - ashes
        state.gained += np.concatenate([new, gain])
        state.lost += np.concatenate([shed, decayed + ashes])

        ra = gpp * teacher.growth + upkeep.sum(axis=0)
        rh = decayed.sum(axis=0) - moved[:-1].sum(axis=0)
        smoke = burnt.sum(axis=0) + ashes.sum(axis=0)
        harvest = taken.sum(axis=0)
        out["gpp"][:] = gpp
        out["ra"][:] = ra
        out["rh"][:] = rh + smoke if teacher.fire_in == "rh" else rh
        out["fire"][:] = smoke
        out["harvest"][:] = harvest
        out["nbp"][:] = gpp - ra - rh - smoke - harvest
        out["storage"][:] = state.carbon()

    def _warm_soil(self, state: LandState, tas: Array) -> Array:
        """Advance the soil's temperature; return that at which carbon decays, K."""
        # Under 20 mm of snow the soil feels half of the cold.
        cover = np.minimum(state.snow / 20.0, 1.0)
        felt = tas + 0.5 * cover * np.maximum(273.15 - tas, 0.0)
        state.soil_heat += -np.expm1(-1 / self.teacher.soil_memory) * (
            felt - state.soil_heat
        )
        state.deep_heat += -np.expm1(-1 / _DEEP_MONTHS) * (felt - state.deep_heat)
        return (1 - _DEEP_SHARE) * state.soil_heat + _DEEP_SHARE * state.deep_heat

    def _allocation(self, area: Array) -> Array:
        """Return the share of growth that each pool gets; (pool, cell), sums to 1."""
        # Leaves come first: their share rises from its rest value to 0.75 where the
        # canopy is empty, and the other pools give way in proportion.
        rest = self._share[self._leaf].sum()
        leaves = 0.75 + (rest - 0.75) * np.minimum(area / self.teacher.canopy, 1.0)
        leaves = np.where(area > self.teacher.canopy, 0.5 * rest, leaves)
        others = (1 - leaves) / (1 - rest)
        factor = np.where(self._leaf[:, None], leaves / rest, others)
        return np.asarray(self._share * factor)

    def _fire(self, state: LandState, wetness: Array, celsius: Array) -> Array:
        """Return the share of the cell burnt, per year."""
        if self.teacher.fire == 0.0:
            return np.zeros_like(wetness)
        fuel = state.dead[0]
        # Fuel limits below 0.2 kg m-2 (Thonicke et al., 2001); wet fuel does not burn.
        dryness = np.maximum(1 - wetness / 0.5, 0.0) ** 2
        heat = np.clip((celsius - 2.0) / 20.0, 0.0, 1.5)
        return np.asarray(self.teacher.fire * fuel / (fuel + 0.2) * dryness * heat)


_OUTPUTS = ("nbp", "gpp", "ra", "rh", "fire", "harvest", "storage")


def evaporative_demand(tas: Array, rsds: Array) -> Array:
    """Return potential evaporation, kg m-2 s-1.

    Args:
        tas: Air temperature, K; any shape.
        rsds: Sunshine, W m-2; same shape.

    Source:
        Priestley and Taylor (1972), alpha = 1.26; net radiation as in SPLASH (Davis
        et al., 2017), with 0.17 albedo and longwave loss (107 - T) W m-2 under
        half-clear sky.
    """
    celsius = tas - 273.15
    net = np.maximum(0.83 * rsds - 0.6 * (107.0 - celsius), 0.0)
    slope = saturation_pressure(celsius) * 17.67 * 243.5 / (celsius + 243.5) ** 2
    # Psychrometric constant 66 Pa K-1 and heat of evaporation 2.45 MJ kg-1.
    return np.asarray(1.26 * slope / (slope + 66.0) * net / 2.45e6)


def _decayed(pools: Array, rates: Array, years: float) -> Array:
    """Return what each process takes from each pool within ``years``.

    Args:
        pools: Carbon, kg m-2; (pool, cell).
        rates: Share per year; (process, pool, cell).
        years: Length of the step.

    Returns:
        Losses, kg m-2; (process, pool, cell). Together less than the pool.
    """
    total = rates.sum(axis=0)
    lost = -np.expm1(-total * years) * pools
    return np.asarray(rates * (lost / np.maximum(total, 1e-30)))
