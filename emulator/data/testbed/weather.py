"""Simulated weather: seasons, El Nino, correlated noise, warming and CO2.

The weather of a cell does not depend on the grid: noise comes from points spread
over the sphere, so the same seed gives the same weather at any resolution. Only
what matters to the flux laws is here, in sizes typical of observations; the regional
tables are read off climate atlases to one figure, and no number is tuned to a product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emulator.carbon import timeaxis
from emulator.data.testbed.geography import Geography, bump, unit_vectors
from emulator.data.testbed.scenario import PREINDUSTRIAL_CO2, co2

Array = NDArray[np.float64]
Months = NDArray[np.datetime64]
Years = NDArray[np.int64]

LAND_FORCING = ("tas", "pr", "rsds", "vpd")
OCEAN_FORCING = ("tos", "sfcWind", "siconc", "sos", "mlotst")

_TRANSIENT_WARMING = 2.3
"""Global warming per doubling of CO2, K; gives 1.0 K from 1950 to 2024."""

_NOISE_POINTS = 400
_NOISE_SCALE = 12.0
"""Points on the sphere (10 degrees apart) and correlation scale of the noise in
degrees, about 1300 km as observed for monthly temperature."""

_RAIN_BY_EL_NINO = (
    # lat, lon, scale, change of ln(pr) per unit of the index: the dozen regions named
    # by Ropelewski and Halpert (1987) for dry and wet El Nino years.
    (-4.0, -58.0, 10.0, -0.18),  # Amazon
    (-2.0, 118.0, 12.0, -0.19),  # Indonesia
    (-20.0, 27.0, 8.0, -0.13),  # southern Africa
    (-20.0, 138.0, 10.0, -0.15),  # northern Australia
    (22.0, 78.0, 8.0, -0.09),  # India
    (12.0, 0.0, 8.0, -0.06),  # West Africa
    (0.0, 38.0, 7.0, 0.15),  # East Africa
    (32.0, -95.0, 9.0, 0.09),  # southern North America
    (-32.0, -58.0, 7.0, 0.13),  # south-eastern South America
    (35.0, 62.0, 9.0, 0.07),  # south-western Asia
)

_RAIN_BY_PLACE = (
    # lat, lon, north-south and east-west scale, factor on the zonal mean rain.
    (22.0, 10.0, 8.0, 25.0, 0.05),  # Sahara
    (24.0, 48.0, 8.0, 10.0, 0.12),  # Arabia
    (42.0, 65.0, 7.0, 14.0, 0.35),  # Turan
    (42.0, 95.0, 6.0, 14.0, 0.20),  # Gobi
    (35.0, -112.0, 8.0, 7.0, 0.35),  # American south-west
    (-25.0, 130.0, 8.0, 14.0, 0.30),  # Australia
    (-24.0, 16.0, 7.0, 5.0, 0.15),  # Namib
    (-22.0, -71.0, 8.0, 3.0, 0.10),  # Atacama
    (8.0, 48.0, 8.0, 5.0, 0.30),  # Horn of Africa
    (-5.0, -62.0, 10.0, 12.0, 1.3),  # Amazon
    (0.0, 113.0, 10.0, 18.0, 1.5),  # Indonesia
    (25.0, 95.0, 7.0, 12.0, 2.2),  # monsoon Asia
    (28.0, 112.0, 6.0, 10.0, 2.6),  # southern China
    (34.0, -84.0, 7.0, 8.0, 2.4),  # American south-east
    (-25.0, -52.0, 6.0, 8.0, 2.5),  # southern Brazil
)


_DAMP_BY_RAIN, _DAMP_BY_WARMTH = 0.05, 0.006
"""Change of relative humidity per unit of ln(rain), and less per K of warm weather."""

_DIM_BY_RAIN = 0.035
"""Sunshine lost per unit of ln(rain), as a share of that above the air."""

_HUMIDITY, _CLEARNESS = (0.10, 0.95), (0.25, 0.75)
"""Bounds of relative humidity, and of the share of sunshine that reaches the ground."""


@dataclass(frozen=True, eq=False)
class Weather:
    """Monthly forcing of land and ocean, packed to the cells that have them.

    Attributes:
        months: Months, datetime64[M]; shape (time,).
        land_cells: Flat index of cells with land; shape (cell,).
        ocean_cells: Flat index of cells with sea; shape (cell,).
        land: tas K, pr kg m-2 s-1, rsds W m-2, vpd Pa; float32 (time, land cell).
        ocean: tos degC, sfcWind m s-1, siconc 1, sos 1e-3, mlotst m; float32 (time,
            ocean cell).
        el_nino: Index of the simulated El Nino, standardised; shape (time,).
    """

    months: Months
    land_cells: NDArray[np.int64]
    ocean_cells: NDArray[np.int64]
    land: dict[str, NDArray[np.float32]]
    ocean: dict[str, NDArray[np.float32]]
    el_nino: Array


def simulate(geography: Geography, months: Months, seed: int) -> Weather:
    """Draw the weather of all ``months``.

    Args:
        geography: The Earth on its grid.
        months: Consecutive months, datetime64[M], beginning with a January; (time,).
        seed: Seed; one value gives one weather, whatever the grid.
    """
    streams = np.random.default_rng(seed).spawn(5)
    el_nino = _el_nino(months, streams[0])
    warming = _warming(timeaxis.years_of(months))
    lat, lon = np.meshgrid(geography.grid.lat, geography.grid.lon, indexing="ij")
    land_cells = np.flatnonzero(geography.land_fraction.ravel() > 0)
    ocean_cells = np.flatnonzero(geography.land_fraction.ravel() < 1)
    warm, wet, windy, current = (
        RedNoise(months.size, memory, stream)
        for memory, stream in zip((0.4, 0.3, 0.3, 0.88), streams[1:], strict=True)
    )
    return Weather(
        months=months,
        land_cells=land_cells,
        ocean_cells=ocean_cells,
        land=_land_weather(
            _Cells.of(geography, lat, lon, land_cells, months),
            el_nino,
            warming,
            warm,
            wet,
        ),
        ocean=_ocean_weather(
            _Cells.of(geography, lat, lon, ocean_cells, months),
            el_nino,
            warming,
            windy,
            current,
        ),
        el_nino=el_nino,
    )


@dataclass(frozen=True, eq=False)
class _Cells:
    """Places (cell,) and seasons (time, 1) of one domain."""

    lat: Array
    lon: Array
    elevation: Array
    continentality: Array
    month: Array

    @classmethod
    def of(
        cls,
        geography: Geography,
        lat: Array,
        lon: Array,
        cells: NDArray[np.int64],
        months: Months,
    ) -> _Cells:
        return cls(
            lat=lat.ravel()[cells],
            lon=lon.ravel()[cells],
            elevation=geography.elevation.ravel()[cells],
            continentality=geography.continentality.ravel()[cells],
            month=timeaxis.month_of(months)[:, None].astype(np.float64),
        )

    def season(self, peak: float) -> Array:
        """Return a wave of the year with its top in month ``peak`` in the north."""
        turned = np.where(self.lat < 0, 6.0, 0.0)
        return np.cos(2 * np.pi * (self.month - peak - turned) / 12)


class RedNoise:
    """Red noise of unit variance, correlated over the sphere.

    Args:
        months: Length of the series.
        memory: Correlation from month to month.
        stream: Source of randomness.
    """

    def __init__(self, months: int, memory: float, stream: np.random.Generator) -> None:
        """Draw the series of all points."""
        shock = stream.standard_normal((months, _NOISE_POINTS))
        shock[1:] *= np.sqrt(1 - memory**2)
        for month in range(1, months):
            shock[month] += memory * shock[month - 1]
        self._series = shock
        # Points of a Fibonacci spiral are evenly spread without clusters at the poles.
        order = np.arange(_NOISE_POINTS) + 0.5
        self._points = unit_vectors(
            np.rad2deg(np.arcsin(1 - 2 * order / _NOISE_POINTS)),
            np.rad2deg(np.pi * (1 + np.sqrt(5)) * order),
        )

    def at(self, lat: Array, lon: Array) -> Array:
        """Return the noise at places, degrees, (cell,); shape (time, cell)."""
        place = unit_vectors(lat, lon)
        angle = np.arccos(np.clip(place @ self._points.T, -1.0, 1.0))
        weight = np.exp(-((angle / np.deg2rad(_NOISE_SCALE)) ** 2))
        weight /= np.sqrt((weight**2).sum(axis=1, keepdims=True))
        return np.asarray(self._series @ weight.T)


def _el_nino(months: Months, stream: np.random.Generator) -> Array:
    """Return a damped oscillation of 45 months, strongest in December.

    Period and phase locking are those of the observed Nino 3.4 index (power between
    two and seven years, largest anomalies in November to January).
    """
    turn = 0.965 * np.exp(2j * np.pi / 45)
    state = 0.0 + 0.0j
    noise = stream.standard_normal((months.size + 240, 2)) @ np.array([1.0, 1.0j])
    series = np.empty(noise.size)
    for step, shock in enumerate(noise):
        state = turn * state + shock
        series[step] = state.real
    # Variance of the real part of this process is 1 / (1 - 0.965^2).
    series *= np.sqrt(1 - 0.965**2)
    calendar = timeaxis.month_of(months)
    return series[240:] * (1 + 0.35 * np.cos(2 * np.pi * (calendar - 12) / 12))


def _warming(years: Years) -> Array:
    """Return the global warming since pre-industrial times, K; shape (time, 1)."""
    doublings = np.log2(co2(years) / PREINDUSTRIAL_CO2)
    return np.asarray(_TRANSIENT_WARMING * doublings)[:, None]


def _delayed(index: Array, months: int) -> Array:
    """Return ``index`` as it was ``months`` ago; shape (time, 1)."""
    return np.concatenate([np.full(months, index[0]), index[: index.size - months]])[
        :, None
    ]


def insolation(latitude: Array, month: Array) -> Array:
    """Return the mean sunshine at the top of the air.

    Args:
        latitude: Degrees north; (cell,).
        month: Month of the year, 1 to 12; (time, 1).

    Returns:
        W m-2; shape (time, cell).

    Source:
        Daily mean insolation on a circular orbit with 1361 W m-2 (Kopp and Lean,
        2011), taken in the middle of the month.
    """
    day = (month - 0.5) * 365 / 12
    declination = np.deg2rad(23.44) * np.sin(2 * np.pi * (day - 80) / 365)
    phi = np.deg2rad(latitude)
    hour = np.arccos(np.clip(-np.tan(phi) * np.tan(declination), -1.0, 1.0))
    return np.asarray(
        1361
        / np.pi
        * (
            hour * np.sin(phi) * np.sin(declination)
            + np.cos(phi) * np.cos(declination) * np.sin(hour)
        )
    )


def saturation_pressure(celsius: Array) -> Array:
    """Return the saturation vapour pressure over water, Pa.

    Source:
        Bolton (1980), Monthly Weather Review 108, equation 10.
    """
    return np.asarray(611.2 * np.exp(17.67 * celsius / (celsius + 243.5)))


def _land_weather(
    cells: _Cells, el_nino: Array, warming: Array, warm: RedNoise, wet: RedNoise
) -> dict[str, NDArray[np.float32]]:
    polar = np.abs(np.sin(np.deg2rad(cells.lat)))
    heat, rain = (each.at(cells.lat, cells.lon) for each in (warm, wet))

    amplitude = (2.0 + 32.0 * cells.continentality) * polar**1.3
    celsius = (
        27.5
        - 44.0 * polar**2.2
        - 0.0055 * cells.elevation
        + amplitude * cells.season(7.2)
    )
    warm_season = 0.5 + 0.5 * cells.season(7.2)
    spread = 0.45 + 2.6 * polar**2 * (1.3 - warm_season)
    tropics = np.exp(-0.5 * (cells.lat / 18) ** 2)
    climate = (1.25 + 1.1 * polar**4) * warming
    # The tropics warm three months after the sea does (Angell, 1981); dry months are
    # warm ones where it is hot.
    anomaly = (
        spread * (0.92 * heat - 0.40 * warm_season * rain)
        + 0.16 * tropics * _delayed(el_nino, 3)
        + climate
    )

    mean_rain = _mean_rain(cells)
    # The drier, the more variable: 20 % of a wet month, 70 % of an arid one.
    swing = 0.20 + 0.50 * np.exp(-mean_rain.mean(axis=0) / 1.0)
    push = np.zeros(cells.lat.size)
    for lat, lon, scale, change in _RAIN_BY_EL_NINO:
        push += change * bump(cells.lat, cells.lon, lat, lon, scale, scale)
    log_rain = swing * rain + push * el_nino[:, None] - 0.5 * swing**2
    daily = mean_rain * np.exp(log_rain)

    humid = np.clip(0.42 + 0.14 * np.log(mean_rain + 0.15), 0.18, 0.85)
    humid = np.clip(
        humid + _DAMP_BY_RAIN * log_rain - _DAMP_BY_WARMTH * (anomaly - climate),
        *_HUMIDITY,
    )
    clear = np.clip(
        0.62 - 0.06 * np.log(mean_rain + 0.2) - _DIM_BY_RAIN * log_rain, *_CLEARNESS
    )
    temperature = celsius + anomaly
    return {
        "tas": (temperature + 273.15).astype(np.float32),
        "pr": (daily / 86400.0).astype(np.float32),
        "rsds": (insolation(cells.lat, cells.month) * clear).astype(np.float32),
        "vpd": (saturation_pressure(temperature) * (1 - humid)).astype(np.float32),
    }


def drier(
    fields: Mapping[str, NDArray[np.float32]],
    lat: Array,
    month: Array,
    *,
    warming: float,
    rain: float,
) -> dict[str, NDArray[np.float32]]:
    """Return land weather that is warmer and drier, as this Earth's dry months are.

    Where it rains less the sun shines more and the air is drier, by the same laws that
    made the weather: nothing could be learned of rain alone where sunshine always goes
    along.

    Args:
        fields: tas, pr, rsds and vpd; (time, cell) each, left as they are.
        lat: Degrees north; (cell,).
        month: Month of the year, 1 to 12; (time, 1).
        warming: Added to temperature, K.
        rain: Factor on rain.
    """
    celsius = fields["tas"].astype(np.float64) - 273.15
    humid = 1 - fields["vpd"] / saturation_pressure(celsius)
    change = _DAMP_BY_RAIN * np.log(rain) - _DAMP_BY_WARMTH * warming
    top = insolation(lat, month)
    light = fields["rsds"] - _DIM_BY_RAIN * np.log(rain) * top
    return {
        "tas": (fields["tas"] + warming).astype(np.float32),
        "pr": (fields["pr"] * rain).astype(np.float32),
        "rsds": np.clip(light, *(end * top for end in _CLEARNESS)).astype(np.float32),
        "vpd": (
            saturation_pressure(celsius + warming)
            * (1 - np.clip(humid + change, *_HUMIDITY))
        ).astype(np.float32),
    }


def _mean_rain(cells: _Cells) -> Array:
    """Return the mean seasonal cycle of rain, mm a day; shape (time, cell)."""
    # The tropical rain follows the sun by one month and a third of its way.
    belt = 9.0 * np.cos(2 * np.pi * (cells.month - 8.0) / 12)
    tropical = 7.0 * np.exp(-0.5 * ((cells.lat - belt) / 9.0) ** 2)
    stormy = 2.4 * np.exp(-0.5 * ((np.abs(cells.lat) - 47) / 13) ** 2)
    inland = 1 + 0.5 * cells.continentality * cells.season(7.0)
    place = np.ones(cells.lat.size)
    for lat, lon, north, east, factor in _RAIN_BY_PLACE:
        place *= factor ** bump(cells.lat, cells.lon, lat, lon, north, east)
    return (tropical + (stormy + 0.35) * inland) * place


def _ocean_weather(
    cells: _Cells, el_nino: Array, warming: Array, windy: RedNoise, current: RedNoise
) -> dict[str, NDArray[np.float32]]:
    polar = np.abs(np.sin(np.deg2rad(cells.lat)))
    gusts, drift = (each.at(cells.lat, cells.lon) for each in (windy, current))
    index = el_nino[:, None]
    tongue = cold_tongue(cells.lat, cells.lon)
    winter = -cells.season(8.5)

    middle = np.exp(-0.5 * ((np.abs(cells.lat) - 42) / 14) ** 2)
    # Winter cooling acts on the sea before it freezes; below -1.8 degC it makes ice.
    potential = (
        28.3
        - 33.0 * polar**2.0
        - 4.0 * tongue
        - (0.8 + 3.8 * middle + 1.5 * polar**4) * winter
        + 1.1 * tongue * index
        + (0.35 + 0.45 * middle) * drift
        + (0.75 + 0.3 * polar**4) * warming
    )
    ice = 1 / (1 + np.exp(np.clip((potential + 2.6) / 0.7, -40, 40)))

    trade = np.exp(-0.5 * ((np.abs(cells.lat) - 14) / 8) ** 2)
    west = np.exp(-0.5 * ((np.abs(cells.lat) - 50) / 11) ** 2)
    wind = (
        5.6
        + 1.5 * trade
        + 3.8 * west
        + (0.4 + 1.4 * west) * winter
        - 1.1 * tongue * index
        + 0.7 * gusts
    )
    wind = np.maximum(wind, 1.5)

    deep = 30 + 25 * trade + 110 * middle + 40 * polar**2
    shallow = 18 + 12 * trade + 12 * west
    depth = shallow + (deep - shallow) * (0.5 + 0.5 * winter) ** 2
    depth = depth * np.exp(0.12 * gusts - 0.10 * drift)
    saline = (
        34.2
        + 1.6 * np.exp(-0.5 * ((np.abs(cells.lat) - 25) / 10) ** 2)
        - 2.0 * (cells.lat > 0) * polar**6
        + 0.08 * drift
    )
    return {
        "tos": np.maximum(potential, -1.8).astype(np.float32),
        "sfcWind": wind.astype(np.float32),
        "siconc": ice.astype(np.float32),
        "sos": np.broadcast_to(saline, wind.shape).astype(np.float32),
        "mlotst": np.clip(depth, 10.0, 350.0).astype(np.float32),
    }


def cold_tongue(lat: Array, lon: Array) -> Array:
    """Return where equatorial upwelling cools the Pacific, 0 to 1."""
    return bump(lat, lon, -1.0, -115.0, 6.0, 28.0)
