"""What makes up a land teacher: its laws, its pools and its disturbances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Law = Callable[[Array], Array]
LightUse = Callable[[Array, Array, Array, Array], Array]


@dataclass(frozen=True)
class Living:
    """One pool of living carbon.

    Attributes:
        kind: What it is: leaves catch light.
        share: Share of net growth that goes there when leaves are full.
        years: Mean life, years.
        maintenance: Respiration at 15 degC, share of the pool per year.
    """

    kind: Literal["leaf", "wood", "root"]
    share: float
    years: float
    maintenance: float


@dataclass(frozen=True)
class Dead:
    """One pool of dead carbon; what it does not respire goes to the next one.

    Attributes:
        years: Mean life at 15 degC and full moisture, years.
        passed: Share of the decay that goes to the next pool.
        takes: Kinds of living pools that are shed into it.
        burns: Share burnt where fire passes.
    """

    years: float
    passed: float
    takes: tuple[str, ...] = ()
    burns: float = 0.0


@dataclass(frozen=True)
class LandTeacher:
    """The structure of one land model.

    Attributes:
        name: Name, as in its files.
        light_use: Law of light use.
        efficiency: Factor on it that sets the level of gross uptake.
        nutrients: How fast nutrients take back the response to CO2: uptake falls
            with CO2 to the power of minus this.
        stress: Response of uptake to soil moisture.
        plant_respiration: Law of plant respiration.
        soil_respiration: Law of decay.
        growth: Share of uptake respired by growth.
        living: Living pools.
        dead: Dead pools, from litter to the slowest.
        leaf_area: Leaf area per leaf carbon, m2 kg-1.
        canopy: Leaf area at which leaves are full.
        root_depth: Factor on the water a soil holds.
        dry_decay: Decay in dry soil relative to that in moist soil.
        fire: Share of a cell burnt in a year when dry, hot and full of fuel.
        fire_in: Where fire appears in the output.
        harvest: Share of leaves and wood taken in a year from farmed cells. It is
            in the net flux, and in no component.
        soil_memory: Months by which the soil lags the air in temperature.
    """

    name: str
    light_use: LightUse
    efficiency: float
    nutrients: float
    stress: Law
    plant_respiration: Law
    soil_respiration: Law
    growth: float
    living: tuple[Living, ...]
    dead: tuple[Dead, ...]
    leaf_area: float
    canopy: float
    root_depth: float
    dry_decay: float
    fire: float = 0.0
    fire_in: Literal["fFire", "rh", "none"] = "none"
    harvest: float = 0.0
    soil_memory: float = 0.7
