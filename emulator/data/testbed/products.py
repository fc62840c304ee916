"""The same simulated weather as another product would tell it.

Two products of one variable differ by errors that last for months and reach over a
thousand kilometres. Their size: sea surface temperature as NOAA OISST V2 differs from
ERSSTv5 (0.35 K, 0.58 from month to month, measured for 2010-2012); all else is assumed,
as in conf/learning/consistency/products.yaml. Lasting biases are left out: a product
is mapped onto that of the teachers before it is used, which cannot mend single months.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from emulator.data.testbed.geography import Geography
from emulator.data.testbed.weather import RedNoise, Weather

Array = NDArray[np.float64]

PERSISTENCE = 0.58
"""Correlation of an error with that of the month before."""

FREEZING = -1.8
"""Lowest temperature of the sea in the testbed, degC."""

ICE_ERROR = 0.05
"""Largest error of sea ice at its edge, as share of the cell."""


def another(geography: Geography, weather: Weather, seed: int) -> Weather:
    """Return the weather with the errors of another product.

    Args:
        geography: The Earth on its grid.
        weather: What the teachers saw; it is left as it is.
        seed: Of the weather; errors have a stream of their own.
    """
    streams = np.random.default_rng([seed, 1]).spawn(7)
    noises = [RedNoise(weather.months.size, PERSISTENCE, each) for each in streams]
    lat, lon = np.meshgrid(geography.grid.lat, geography.grid.lon, indexing="ij")

    def at(place: int, cells: NDArray[np.int64]) -> Array:
        return noises[place].at(lat.ravel()[cells], lon.ravel()[cells])

    land, sea = weather.land_cells, weather.ocean_cells
    heat, rain, cloud = (at(place, land) for place in (0, 1, 2))
    warm, wind, mixing, salt = (at(place, sea) for place in (3, 4, 5, 6))
    # A month too wet is too dark and too humid, a month too warm too dry.
    dark = -0.5 * rain + np.sqrt(1 - 0.5**2) * cloud
    dry = 0.6 * heat - 0.4 * rain
    return replace(
        weather,
        land=_rounded(
            {
                "tas": weather.land["tas"] + 0.5 * heat,
                "pr": weather.land["pr"] * np.exp(0.25 * rain - 0.25**2 / 2),
                "rsds": weather.land["rsds"] * np.clip(1 + 0.06 * dark, 0.0, None),
                "vpd": weather.land["vpd"] * np.exp(0.1 * dry),
            }
        ),
        ocean=_rounded(
            {
                "tos": np.maximum(weather.ocean["tos"] + 0.35 * warm, FREEZING),
                "sfcWind": weather.ocean["sfcWind"] * np.clip(1 + 0.06 * wind, 0, None),
                "siconc": _ice(weather.ocean["siconc"], warm),
                "sos": weather.ocean["sos"] + 0.15 * salt,
                "mlotst": weather.ocean["mlotst"] * np.exp(0.2 * mixing),
            }
        ),
    )


def _ice(share: NDArray[np.float32], warm: Array) -> Array:
    """Change the ice where there is an edge; open sea and pack stay as they are."""
    edge = 4.0 * share * (1.0 - share)
    return np.asarray(np.clip(share - ICE_ERROR * edge * warm, 0.0, 1.0))


def _rounded(
    fields: Mapping[str, NDArray[np.floating]],
) -> dict[str, NDArray[np.float32]]:
    return {name: field.astype(np.float32) for name, field in fields.items()}
