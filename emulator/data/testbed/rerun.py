"""Teachers of the testbed, run again under weather and CO2 of one's own choice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.units import MOLAR_MASS_CARBON
from emulator.data.testbed import land_runs, layouts, ocean_runs
from emulator.data.testbed.geography import Geography
from emulator.data.testbed.land_teachers import TEACHERS as LAND_TEACHERS
from emulator.data.testbed.ocean_teachers import TEACHERS as OCEAN_TEACHERS
from emulator.data.testbed.prescribed import Prescribed
from emulator.data.testbed.scenario import Spans
from emulator.data.testbed.weather import Weather

Array = NDArray[np.float64]


def net_flux(
    name: str,
    geography: Geography,
    weather: Weather,
    spans: Spans,
    runs: Sequence[Prescribed],
) -> list[Array]:
    """Run one teacher from the first year of output on, as prescribed.

    Args:
        name: Name of a teacher, as "ALDER" or "TERN".
        geography: The Earth.
        weather: That of the testbed, for spin-up and history.
        spans: Years of the testbed.
        runs: What each run sees.

    Returns:
        Uptake of land (``nbp``) or ocean (``fgco2``) in each run, kg m-2 s-1 of carbon
        per unit of land or sea, NaN outside the teacher's cells; (month, lat, lon).

    Raises:
        ValueError: If there is no teacher of that name.
    """
    given = (geography, weather, spans)
    for land, layout in zip(LAND_TEACHERS, layouts.LAND, strict=True):
        if land.name == name:
            model, fluxes = land_runs.prescribed(land, *given, layout.calendar, runs)
            return [_on_map(each.nbp, model.cells, geography) for each in fluxes]
    for ocean, layout in zip(OCEAN_TEACHERS, layouts.OCEAN, strict=True):
        if ocean.name == name:
            cells, output = ocean_runs.prescribed(ocean, *given, layout.calendar, runs)
            return [
                _on_map(each.fgco2 * MOLAR_MASS_CARBON, cells, geography)
                for each in output
            ]
    known = ", ".join(each.name for each in (*LAND_TEACHERS, *OCEAN_TEACHERS))
    raise ValueError(f"The testbed has no teacher '{name}'. It has {known}.")


def _on_map(values: Array, cells: NDArray[np.int64], geography: Geography) -> Array:
    """Return (month, cell) on maps, NaN elsewhere."""
    full = np.full((values.shape[0], geography.land_fraction.size), np.nan)
    full[:, cells] = values
    return full.reshape(-1, *geography.grid.shape)
