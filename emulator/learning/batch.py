"""Batches by index: features are computed once, a batch only gathers them."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import month_of
from emulator.data.slow import year_places
from emulator.data.windows import Cube
from emulator.learning.insolation import SOLAR_CONSTANT, potential_radiation
from emulator.learning.normalise import Normaliser, take, weather_months

CALENDAR_CHANNELS = 3
"""Potential radiation, sine and cosine of the time of year."""


class Draw(NamedTuple):
    """The indices of a batch.

    Attributes:
        simulation: (sample,).
        teacher: (sample,).
        first: Place of the first answered month on the time axis; (sample,).
        cells: Which cells, (sample, cell); None = all.
    """

    simulation: Tensor
    teacher: Tensor
    first: Tensor
    cells: Tensor | None

    def on(self, device: torch.device | str) -> "Draw":
        """Return the same on ``device``."""
        cells = None if self.cells is None else self.cells.to(device)
        return Draw(
            self.simulation.to(device),
            self.teacher.to(device),
            self.first.to(device),
            cells,
        )


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything a network may see, standardised, ready to be indexed.

    Attributes:
        weather: Forcing channels; (weather_time, cell, channel).
        calendar: Channels of the calendar month; (12, cell, 3).
        sequence: Index into ``weather`` of each month, -1 = unknown;
            (simulation, time).
        month: Calendar month, 0 to 11; (time,).
        co2: CO2 as it is told; (simulation, time).
        air: The same, standardised, and held in range.
        slow: Means over the years before each calendar year, 0 where unknown;
            (simulation, year, cell, channel).
        year: Calendar year, counted from the first; (time,).
        static: (teacher, static, cell).
    """

    weather: Tensor
    calendar: Tensor
    sequence: Tensor
    month: Tensor
    co2: Tensor
    air: Tensor
    slow: Tensor
    year: Tensor
    static: Tensor

    @property
    def channels(self) -> int:
        """Channels of a gathered ``forcing``: weather, calendar, slow means, CO2."""
        return self.weather.shape[2] + CALENDAR_CHANNELS + self.slow.shape[3] + 1

    def to(self, device: torch.device | str) -> "Inputs":
        """Return the same on ``device``."""
        return replace(self, **{k: v.to(device) for k, v in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs and standardised targets of one step.

    Attributes:
        forcing: (sample, memory + months, channel, cell).
        static: (sample, static, cell).
        teacher: (sample,).
        target: (sample, months, flux, cell); 0 where there is no label.
        weight: Same shape; 0 where there is no label.
        month: Places of the months on the time axis; (sample, months).
    """

    forcing: Tensor
    static: Tensor
    teacher: Tensor
    target: Tensor
    weight: Tensor
    month: Tensor


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What batches are gathered from; all on one device.

    Attributes:
        inputs: Features.
        normaliser: References and scales.
        labels: kg m-2 s-1, NaN = none; (simulation, teacher, time, flux, cell).
        chosen: Training months; (simulation, time).
        weight: Of a cell in the loss; (teacher, flux, cell).
    """

    inputs: Inputs
    normaliser: Normaliser
    labels: Tensor
    chosen: Tensor
    weight: Tensor

    @cached_property
    def end(self) -> int:
        """Place on the time axis after the last training month."""
        return int(self.chosen.any(dim=0).nonzero().max()) + 1

    def to(self, device: torch.device | str) -> "TrainingData":
        """Return the same on ``device``."""
        return TrainingData(
            self.inputs.to(device),
            self.normaliser.to(device),
            self.labels.to(device),
            self.chosen.to(device),
            self.weight.to(device),
        )


def inputs_of_cube(cube: Cube, normaliser: Normaliser) -> Inputs:
    """Return the features of everything that the cube's simulations saw."""
    return make_inputs(
        normaliser,
        place_latitudes(cube.grid, cube.cells),
        cube.months,
        forcing=cube.forcing,
        # Weather that nobody saw is never gathered: any calendar month does.
        weather_month=np.maximum(weather_months(cube), 0),
        sequence=cube.weather,
        co2=cube.co2,
        slow=cube.slow,
    )


def make_inputs(
    normaliser: Normaliser,
    lat: NDArray[np.float64],
    months: NDArray[np.datetime64],
    *,
    forcing: Tensor,
    weather_month: NDArray[np.int64],
    sequence: Tensor,
    co2: Tensor,
    slow: Tensor,
) -> Inputs:
    """Return the features of weather, calendar and CO2.

    Args:
        normaliser: Climatologies and scales.
        lat: Latitude of the cells, degrees north; (cell,).
        months: Time axis; datetime64[M], (time,).
        forcing: Canonical units; (weather_time, forcing, cell).
        weather_month: Calendar month of the weather, 0 to 11; (weather_time,).
        sequence: Index into ``forcing`` of each month; (simulation, time).
        co2: CO2 as it is told; (simulation, time).
        slow: Canonical units; (simulation, year, span * forcing, cell).
    """
    # Months of unknown CO2 are never answered; a NaN would spread in masked sums.
    co2 = co2.float().nan_to_num(float(normaliser.co2_centre))
    return Inputs(
        weather=normaliser.weather(forcing.float(), torch.from_numpy(weather_month)),
        calendar=_calendar(lat),
        sequence=sequence,
        month=torch.from_numpy(month_of(months) - 1),
        co2=co2,
        air=normaliser.air(co2),
        slow=normaliser.slow(slow.float()),
        year=torch.from_numpy(year_places(months)),
        static=normaliser.static,
    )


def place_latitudes(grid: Grid, cells: Tensor) -> NDArray[np.float64]:
    """Return the latitude of each cell, degrees north; (cell,)."""
    latitudes: NDArray[np.float64] = grid.lat[cells.cpu().numpy() // grid.lon.size]
    return latitudes


def gather_inputs(
    inputs: Inputs, draw: Draw, memory: int, months: int
) -> tuple[Tensor, Tensor]:
    """Return forcing (sample, memory + months, channel, cell) and static of a draw.

    Months beyond the time axis repeat the last one; their answers are not used, and
    no earlier answer depends on them.
    """
    steps = _steps(inputs, draw, -memory, months)
    run, year = draw.simulation[:, None], inputs.year[steps]
    weather = inputs.sequence[run, steps].clamp_min(0)
    month = inputs.month[steps]
    air = inputs.air[run, steps]
    if draw.cells is None:
        series, calendar = inputs.weather[weather], inputs.calendar[month]
        slow = inputs.slow[run, year]
        static = inputs.static[draw.teacher]
    else:
        cells = draw.cells[:, None]
        series = inputs.weather[weather[..., None], cells]
        calendar = inputs.calendar[month[..., None], cells]
        slow = inputs.slow[run[..., None], year[..., None], cells]
        static = take(inputs.static, (draw.teacher,), draw.cells)
    level = air[:, :, None, None].expand(*series.shape[:3], 1)
    forcing = torch.cat([series, calendar, slow, level], dim=-1)
    return forcing.transpose(2, 3), static


def gather_batch(data: TrainingData, draw: Draw, memory: int, months: int) -> Batch:
    """Return inputs, standardised targets and weights of a draw.

    What lies after all training months is left out, in whole years if ``months`` are.
    """
    step = 12 if months % 12 == 0 else 1
    left = data.end - int(draw.first.min())
    months = min(months, -(-left // step) * step)
    forcing, static = gather_inputs(data.inputs, draw, memory, months)
    places = _steps(data.inputs, draw, 0, months)
    run, teacher = draw.simulation[:, None], draw.teacher[:, None]
    labels = take(data.labels, (run, teacher, places), draw.cells)
    expected = data.normaliser.expected(
        draw.teacher,
        data.inputs.month[places],
        data.inputs.co2[run, places],
        draw.cells,
    )
    scale = take(data.normaliser.scale, (draw.teacher,), draw.cells)[:, None]
    weight = take(data.weight, (draw.teacher,), draw.cells)[:, None]
    # The axis may end inside a window: repeated months must not count twice.
    inside = draw.first[:, None] + torch.arange(months, device=places.device) == places
    counts = (data.chosen[run, places] & inside)[:, :, None, None]
    there = labels.isfinite() & counts
    return Batch(
        forcing=forcing,
        static=static,
        teacher=draw.teacher,
        target=((labels - expected) / scale).where(there, 0.0),
        weight=weight.expand_as(labels).where(there, 0.0),
        month=places,
    )


def _steps(inputs: Inputs, draw: Draw, begin: int, end: int) -> Tensor:
    """Return places on the time axis from ``first + begin``; (sample, end - begin)."""
    window = torch.arange(begin, end, device=draw.first.device)
    return (draw.first[:, None] + window).clamp(0, inputs.month.shape[0] - 1)


def _calendar(lat: NDArray[np.float64]) -> Tensor:
    """Return potential radiation, sine and cosine of the month; (12, cell, 3)."""
    # The mean over globe and year is a quarter of the solar constant: 0 to about 1.6.
    sunlight = potential_radiation(lat) / (SOLAR_CONSTANT / 4) - 1
    angle = np.broadcast_to(
        2 * np.pi * (np.arange(12)[:, None] + 0.5) / 12, sunlight.shape
    )
    stacked = np.stack([sunlight, np.sin(angle), np.cos(angle)], axis=-1)
    return torch.from_numpy(stacked).float()
