"""An ocean carbon cycle in columns: mixed layer over a thermocline.

The mixed layer exchanges CO2 with the air, is stirred with the thermocline and
exports carbon to it; the thermocline is renewed by water of pre-industrial origin,
faster where water wells up. That water stands for all transport between columns, so
what it brings is counted, and carbon closes in every column to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.carbon import seawater
from emulator.data.testbed.geography import bump
from emulator.data.testbed.scenario import PREINDUSTRIAL_CO2
from emulator.data.testbed.weather import cold_tongue

Array = NDArray[np.float64]
WindLaw = Callable[[Array, Array], Array]
AlkalinityLaw = Callable[[Array, Array], Array]

SECONDS_PER_YEAR = 365.0 * 86400.0


@dataclass(frozen=True)
class OceanTeacher:
    """The structure of one ocean model.

    Attributes:
        name: Name, as in its files.
        transfer: Law of gas transfer.
        alkalinity: Law of alkalinity.
        full_chemistry: Solve the carbonate system each month; otherwise use its
            slope around the pre-industrial state of each cell.
        column: Depth of mixed layer and thermocline together, m.
        diffusion: Exchange between the two, m2 s-1.
        renewal: Years in which the thermocline is renewed away from upwelling.
        upwelling: Upwelling at the equator under a wind of 6.5 m s-1, m a year.
        export: Export of carbon at full light, mol m-2 per year.
        bloom: Exponent of light in the export: 1 follows light, 0 has no season.
        pattern: Strength of the natural pattern of uptake and outgassing.
        surplus: Carbon added to all source water, mol m-3, which makes up for the
            export and brings the natural flux of the globe near zero.
    """

    name: str
    transfer: WindLaw
    alkalinity: AlkalinityLaw
    full_chemistry: bool
    column: float
    diffusion: float
    renewal: float
    upwelling: float
    export: float
    bloom: float
    pattern: float
    surplus: float


@dataclass(eq=False)
class OceanState:
    """What a run carries from month to month; each (cell,).

    Attributes:
        mixed: Carbon of the mixed layer, mol m-3.
        deep: Carbon of the thermocline, mol m-3.
        depth: Depth of the mixed layer, m.
        ph: pH, the first guess of next month's.
    """

    mixed: Array
    deep: Array
    depth: Array
    ph: Array

    def copy(self) -> OceanState:
        """Return a state that can be changed on its own."""
        return OceanState(**{key: value.copy() for key, value in vars(self).items()})


@dataclass(frozen=True, eq=False)
class OceanForcing:
    """Weather of a span of months; each (month, cell).

    Attributes:
        tos: Sea-surface temperature, degC.
        sfcWind: Wind speed, m s-1.
        siconc: Share under ice.
        sos: Salinity, 1e-3.
        mlotst: Depth of the mixed layer, m.
        co2: CO2 of the air, ppm; (month, 1).
        light: Sunshine relative to the brightest month of any cell, 0 to 1.
        seconds: Length of each month, s; (month, 1).
    """

    tos: Array
    sfcWind: Array
    siconc: Array
    sos: Array
    mlotst: Array
    co2: Array
    light: Array
    seconds: Array


@dataclass(eq=False)
class OceanFluxes:
    """Monthly output; each (month, cell).

    Attributes:
        fgco2: Uptake from the air, mol m-2 s-1.
        spco2: Partial pressure of CO2 in the water at the end of the month, uatm.
        supply: Carbon brought by water from elsewhere, mol m-2 s-1.
        storage: Carbon of the column at the end of the month, mol m-2.
    """

    fgco2: Array
    spco2: Array
    supply: Array
    storage: Array

    @classmethod
    def joined(cls, parts: Sequence[OceanFluxes]) -> OceanFluxes:
        """Return consecutive spans as one; empty arrays if there are none."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                if parts
                else np.empty((0, 0))
                for name in _OUTPUTS
            )
        )


_OUTPUTS = ("fgco2", "spco2", "supply", "storage")


class OceanModel:
    """One teacher on the cells of one Earth.

    Args:
        teacher: The structure.
        lat: Latitude of each cell, degrees; (cell,).
        lon: Longitude of each cell, degrees; (cell,).
        area: Area of the sea in each cell, m2; (cell,).
        mean: Climatological weather, twelve months.
    """

    def __init__(
        self,
        teacher: OceanTeacher,
        lat: Array,
        lon: Array,
        area: Array,
        mean: OceanForcing,
    ) -> None:
        """Find the source water that keeps the natural flux near zero."""
        self.teacher = teacher
        self._rising = cold_tongue(lat, lon)
        tos, salinity = mean.tos.mean(axis=0), mean.sos.mean(axis=0)
        alkalinity = teacher.alkalinity(salinity, tos)
        air = seawater.air_fugacity(PREINDUSTRIAL_CO2, tos, salinity)
        self.balanced = seawater.carbon_at_equilibrium(air, alkalinity, tos, salinity)
        pattern = teacher.pattern * _natural_pattern(lat, lon)
        # Weighing by the renewal keeps the natural flux of the globe near zero.
        below = teacher.column - mean.mlotst.mean(axis=0)
        renewal = below / teacher.renewal + self._upwelling(mean.sfcWind).mean(axis=0)
        pattern -= np.average(pattern, weights=renewal * area)
        self.source = seawater.DENSITY * self.balanced + pattern + teacher.surplus
        self._reference = _Chemistry.around(self.balanced, alkalinity, tos, salinity)

    def first_state(self, mean: OceanForcing) -> OceanState:
        """Return columns in balance with pre-industrial air."""
        carbon = seawater.DENSITY * self.balanced
        return OceanState(
            mixed=carbon.copy(),
            deep=self.source.copy(),
            depth=mean.mlotst[-1].copy(),
            ph=np.full(carbon.size, 8.1),
        )

    def run(self, state: OceanState, forcing: OceanForcing) -> OceanFluxes:
        """Advance ``state`` in place through all months of ``forcing``.

        Args:
            state: State at the start; holds the state at the end afterwards.
            forcing: The weather.

        Returns:
            The fluxes; arrays of shape (month, cell), float64.
        """
        chemistry = seawater.constants(forcing.tos, forcing.sos)
        alkalinity = self.teacher.alkalinity(forcing.sos, forcing.tos)
        air = seawater.air_fugacity(forcing.co2, forcing.tos, forcing.sos)
        coefficient = seawater.fugacity_coefficient(forcing.tos)
        velocity = (1 - forcing.siconc) * self.teacher.transfer(
            forcing.sfcWind, forcing.tos
        )
        out = {name: np.empty(forcing.tos.shape) for name in _OUTPUTS}
        for month in range(forcing.tos.shape[0]):
            known = seawater.Constants(
                *(getattr(chemistry, name)[month] for name in _CONSTANTS)
            )
            self._mix(state, forcing.mlotst[month])
            seconds = float(forcing.seconds[month, 0])
            supply = self._renew(state, forcing.sfcWind[month], seconds)
            self._export(state, forcing.light[month], forcing.siconc[month], seconds)
            uptake, fugacity = self._exchange(
                state,
                velocity[month],
                air[month],
                alkalinity[month],
                forcing.tos[month],
                known,
                seconds,
            )
            out["fgco2"][month] = uptake / seconds
            out["supply"][month] = supply / seconds
            out["spco2"][month] = fugacity / coefficient[month]
            out["storage"][month] = self._storage(state)
        return OceanFluxes(**out)

    def _upwelling(self, wind: Array) -> Array:
        """Return the speed of rising water, m a year; it follows the wind's work."""
        return np.asarray(self._rising * self.teacher.upwelling * (wind / 6.5) ** 3)

    def _storage(self, state: OceanState) -> Array:
        below = self.teacher.column - state.depth
        return np.asarray(state.depth * state.mixed + below * state.deep)

    def _mix(self, state: OceanState, depth: Array) -> None:
        """Deepen the mixed layer into the thermocline, or leave water behind."""
        below = self.teacher.column - state.depth
        entrained = np.maximum(depth - state.depth, 0.0)
        left = np.maximum(state.depth - depth, 0.0)
        mixed = (state.depth - left) * state.mixed + entrained * state.deep
        deep = (below - entrained) * state.deep + left * state.mixed
        state.mixed = mixed / depth
        state.deep = deep / (self.teacher.column - depth)
        state.depth = depth

    def _renew(self, state: OceanState, wind: Array, seconds: float) -> Array:
        """Stir the two layers, renew the lower one; return what came, mol m-2."""
        below = self.teacher.column - state.depth
        rising = self._upwelling(wind)
        exchange = (
            self.teacher.diffusion / (0.5 * self.teacher.column)
            + rising / SECONDS_PER_YEAR
        )
        # Two boxes relax to their mean; the decay of their difference is exact.
        excess = state.deep - state.mixed
        harmonic = state.depth * below / self.teacher.column
        moved = excess * harmonic * -np.expm1(-exchange * seconds / harmonic)
        state.mixed = state.mixed + moved / state.depth
        state.deep = state.deep - moved / below
        rate = 1 / self.teacher.renewal + rising / below
        share = -np.expm1(-rate * seconds / SECONDS_PER_YEAR)
        brought = below * (self.source - state.deep) * share
        state.deep = state.deep + brought / below
        return np.asarray(brought)

    def _export(
        self, state: OceanState, light: Array, ice: Array, seconds: float
    ) -> None:
        """Move carbon from the mixed layer to the thermocline."""
        sunk = (
            self.teacher.export
            * seconds
            / SECONDS_PER_YEAR
            * np.maximum(light, 1e-3) ** self.teacher.bloom
            * (1 - ice)
        )
        state.mixed = state.mixed - sunk / state.depth
        state.deep = state.deep + sunk / (self.teacher.column - state.depth)

    def _exchange(
        self,
        state: OceanState,
        velocity: Array,
        air: Array,
        alkalinity: Array,
        tos: Array,
        known: seawater.Constants,
        seconds: float,
    ) -> tuple[Array, Array]:
        """Exchange with the air; return the uptake (mol m-2) and fugacity (uatm)."""
        carbon = state.mixed / seawater.DENSITY
        if self.teacher.full_chemistry:
            state.ph = seawater.ph_of(carbon, alkalinity, known, start=state.ph)
            free = seawater.dissolved_co2(carbon, state.ph, known)
            fugacity = 1e6 * free / known.k0
            capacity = seawater.buffer_capacity(carbon, state.ph, known)
        else:
            fugacity, capacity = self._reference.at(carbon, alkalinity, tos)
        # Implicit in the change of fugacity with carbon, or else a shallow layer
        # would overshoot within the month.
        conductance = velocity * known.k0 * seawater.DENSITY * 1e-6
        slope = fugacity / (capacity * seawater.DENSITY)
        gained = (
            conductance
            * seconds
            * (air - fugacity)
            / (1 + conductance * seconds * slope / state.depth)
        )
        state.mixed = state.mixed + gained / state.depth
        return gained, fugacity + slope * gained / state.depth


_CONSTANTS = ("k0", "k1", "k2", "kb", "kw", "boron")


@dataclass(frozen=True, eq=False)
class _Chemistry:
    """The carbonate system as power laws around a state; each (cell,).

    Source:
        Sarmiento and Gruber (2006), Ocean Biogeochemical Dynamics, section 8.3: a
        Revelle factor for carbon, -0.94 of it for alkalinity, 4.23 % per K.
    """

    carbon: Array
    alkalinity: Array
    tos: Array
    fugacity: Array
    revelle: Array

    @classmethod
    def around(
        cls, carbon: Array, alkalinity: Array, tos: Array, salinity: Array
    ) -> _Chemistry:
        known = seawater.constants(tos, salinity)
        ph = seawater.ph_of(carbon, alkalinity, known)
        return cls(
            carbon,
            alkalinity,
            tos,
            1e6 * seawater.dissolved_co2(carbon, ph, known) / known.k0,
            carbon / seawater.buffer_capacity(carbon, ph, known),
        )

    def at(self, carbon: Array, alkalinity: Array, tos: Array) -> tuple[Array, Array]:
        """Return fugacity (uatm) and buffer capacity (mol kg-1)."""
        # The Revelle factor rises with carbon: 1 % of carbon adds 0.3 to it near the
        # present state, which keeps the ocean from taking up too easily.
        change = np.log(carbon / self.carbon)
        revelle = self.revelle + 30.0 * change
        fugacity = self.fugacity * np.exp(
            (self.revelle + 15.0 * change) * change
            - 0.94 * self.revelle * np.log(alkalinity / self.alkalinity)
            + 0.0423 * (tos - self.tos)
        )
        return fugacity, carbon / revelle


def _natural_pattern(lat: Array, lon: Array) -> Array:
    """Return carbon of the source water above balance with the air, mol m-3.

    Rich water wells up at the equator and around Antarctica; water that sinks in the
    North Atlantic and in the subtropical convergence left the air hungry for CO2
    (Takahashi et al., 2009, for the places and signs).
    """
    return np.asarray(
        0.30 * cold_tongue(lat, lon)
        + 0.05 * bump(lat, lon, 0.0, 0.0, 7.0, 200.0)
        + 0.05 * bump(lat, lon, -62.0, 0.0, 5.0, 400.0)
        - 0.05 * bump(lat, lon, -42.0, 0.0, 7.0, 400.0)
        - 0.10 * bump(lat, lon, 58.0, -30.0, 12.0, 30.0)
        - 0.05 * bump(lat, lon, 40.0, 160.0, 8.0, 40.0)
    )
