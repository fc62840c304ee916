"""Standardised inputs and targets, fitted on training months only.

A network sees deviations, and answers with deviations::

    flux = reference(teacher, calendar month, cell, CO2) + scale(teacher, cell) * answer

Everything here travels in the checkpoint, so that inference needs nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import month_of
from emulator.data.slow import year_places
from emulator.data.windows import Cube
from emulator.learning.references import (
    LabelStatistics,
    balance_channels,
    decay_channel,
    exchange_channels,
    standard,
)
from emulator.models import ModelSettings
from emulator.models.exchange import UNIT, driver_places, exchange

DEVIATION_FLOOR = 0.01
"""Smallest standard deviation of a cell's forcing anomaly that is believed, as a share
of the variable's spread over the globe: below it lie constants (sea ice in the
tropics) and rounding, which must not be blown up to unit size."""

ANY_CO2 = torch.finfo(torch.float32)
"""All that can be told: no limit."""

LEAST_CO2 = {"level": 1.0, "log": 0.003, "rise": 0.003}
"""Least spread of CO2 that is a signal: 1 ppm, and its logarithm at 330 ppm."""


@dataclass(frozen=True, eq=False)
class Normaliser:
    """Climatologies, references and scales; all tensors float32.

    Attributes:
        forcing_channels: "both", "anomaly" or "level", as in ``ModelSettings``.
        forcing_mean: Global mean of each forcing variable; (forcing,).
        forcing_deviation: Its standard deviation over cells and months; (forcing,).
        climatology: Mean forcing of each calendar month; (12, forcing, cell).
        deviation: Standard deviation of the anomalies from it; (forcing, cell).
        co2_centre: Mean CO2 as it is told (``told_co2``); ().
        co2_spread: Its standard deviation; ().
        co2_range: The least and the largest that the network is told; (2,).
        slow_mean: Mean of each slow mean; (span * forcing, cell).
        slow_spread: Its standard deviation, of all cells alike; (span * forcing,).
        static: Standardised static channels, and for a balance of carbon or a gas
            exchange those that it needs (``needed_channels``); (teacher, static, cell).
        reference: Flux at ``co2_centre``, kg m-2 s-1; (teacher, 12, flux, cell).
        slope: Its change per unit of CO2 as it is told; (teacher, 12, flux, cell).
        scale: Unit of the network's answer, kg m-2 s-1; (teacher, flux, cell).
        spread: Standard deviation of the labels' anomalies from their monthly
            climatology, kg m-2 s-1, which weighs the loss; (teacher, flux, cell).
        labelled: Whether the teacher has the flux in the cell; bool, like ``scale``.
    """

    forcing_channels: str
    forcing_mean: Tensor
    forcing_deviation: Tensor
    climatology: Tensor
    deviation: Tensor
    co2_centre: Tensor
    co2_spread: Tensor
    co2_range: Tensor
    slow_mean: Tensor
    slow_spread: Tensor
    static: Tensor
    reference: Tensor
    slope: Tensor
    scale: Tensor
    spread: Tensor
    labelled: Tensor

    def to(self, device: torch.device | str) -> "Normaliser":
        """Return the same on ``device``."""
        moved: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, Tensor)
        }
        return replace(self, **moved)

    def state(self) -> dict[str, Any]:
        """Return plain tensors and text, for a checkpoint."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def weather(self, forcing: Tensor, month: Tensor) -> Tensor:
        """Return standardised forcing channels.

        Args:
            forcing: Weather in canonical units; (weather_time, forcing, cell).
            month: Its calendar month, 0 to 11; (weather_time,).

        Returns:
            Shape (weather_time, cell, channel): the order in which batches read it.
        """
        parts = []
        if self.forcing_channels != "level":
            parts.append((forcing - self.climatology[month]) / self.deviation)
        if self.forcing_channels != "anomaly":
            mean, deviation = (
                self.forcing_mean[:, None],
                self.forcing_deviation[:, None],
            )
            parts.append((forcing - mean) / deviation)
        return torch.cat(parts, dim=1).transpose(1, 2).contiguous()

    def air(self, co2: Tensor) -> Tensor:
        """Return standardised CO2 of any shape, held within what may be told."""
        held = torch.clamp(co2, self.co2_range[0], self.co2_range[1])
        return (held - self.co2_centre) / self.co2_spread

    def slow(self, means: Tensor) -> Tensor:
        """Return standardised slow means, 0 where unknown.

        Args:
            means: Canonical units; (simulation, year, span * forcing, cell).

        Returns:
            Shape (simulation, year, cell, span * forcing).
        """
        scaled = (means - self.slow_mean) / self.slow_spread[:, None]
        return scaled.nan_to_num(0.0).transpose(2, 3).contiguous()

    def expected(
        self, teacher: Tensor, month: Tensor, co2: Tensor, cells: Tensor | None
    ) -> Tensor:
        """Return the reference flux of samples.

        Args:
            teacher: (sample,).
            month: Calendar month, 0 to 11; (sample, months).
            co2: CO2 as it is told; (sample, months).
            cells: Which cells, (sample, cell); None = all.

        Returns:
            kg m-2 s-1; (sample, months, flux, cell).
        """
        step = (co2 - self.co2_centre)[:, :, None, None]
        reference = take(self.reference, (teacher[:, None], month), cells)
        return reference + step * take(self.slope, (teacher[:, None], month), cells)


def take(values: Tensor, index: tuple[Tensor, ...], cells: Tensor | None) -> Tensor:
    """Index the leading axes of ``values`` and choose cells on the last.

    Args:
        values: Shape (..., row, cell), as many leading axes as ``index`` has.
        index: Integer tensors that broadcast to one shape (sample, ...).
        cells: Which cells, (sample, cell); None = all.

    Returns:
        Shape (sample, ..., row, cell).
    """
    if cells is None:
        return values[index]
    extra = max(item.ndim for item in index)
    picked = cells.view(cells.shape[0], *[1] * (extra - 1), cells.shape[1])
    # Advanced indices on both sides of the row axis: torch puts the row last.
    place: Any = (*(item[..., None] for item in index), slice(None), picked)
    chosen = values[place]
    return chosen.transpose(-1, -2)


def fit_normaliser(
    cube: Cube,
    chosen: NDArray[np.bool_],
    model: ModelSettings,
    labelled: Tensor | None = None,
) -> Normaliser:
    """Fit everything on the chosen months and the memory that they saw.

    Args:
        cube: Labels and forcing, on the CPU; NaN labels are left out.
        chosen: The training months; (simulation, time).
        model: Memory, and what of the labels may be known.
        labelled: Where each teacher has each flux, if that is more than what the
            cube's labels show (a held-out region); (teacher, flux, cell).

    Raises:
        SettingsError: If the months do not hold each calendar month, or a reference
            simulation is not among those chosen.
    """
    month = month_of(cube.months) - 1
    fitted = _forcing(cube, chosen, month, model.memory)
    co2 = cube.co2.numpy()[chosen].astype(np.float64)
    centre, spread = float(co2.mean()), max(float(co2.std()), LEAST_CO2[model.co2_as])
    labels = LabelStatistics.fit(
        cube, chosen, _reference_rows(cube, chosen, model), month, model
    )
    statics = [_fields(cube), *_climates(fitted["climatology"])]
    if model.position:
        statics.append(position(cube))
    static = torch.cat(statics)[None].expand(len(cube.teachers), -1, -1)
    if model.label_climatology != "none":
        static = torch.cat([static, labels.channels()], dim=1)
    if model.has_soils:
        speed = decay_channel(fitted["climatology"], cube.forcing_names)
        static = torch.cat([static, speed.expand(len(static), -1, -1)], dim=1)
    if model.is_balance:
        needed = balance_channels(
            labels.reference_at(centre), labels.scale, labels.known, model
        )
        static = torch.cat([static, needed], dim=1)
    if model.gas_exchange:
        shared = _exchange(cube, chosen, model.memory, fitted)
        needed = exchange_channels(
            labels.reference_at(centre),
            labels.slope,
            labels.scale,
            torch.tensor(spread),
        )
        shared = shared.expand(len(needed), -1, -1)
        static = torch.cat([static, shared, needed], dim=1)
    return Normaliser(
        forcing_channels=model.forcing_channels,
        **fitted,
        **_slow(cube, chosen),
        co2_centre=torch.tensor(centre),
        co2_spread=torch.tensor(spread),
        co2_range=torch.tensor(
            [co2.min(), co2.max()]
            if model.co2_beyond == "hold"
            else [ANY_CO2.min, ANY_CO2.max],
            dtype=torch.float32,
        ),
        static=static.float().contiguous(),
        reference=labels.reference_at(centre).float(),
        slope=labels.slope.float(),
        scale=labels.scale.float(),
        spread=labels.spread.float(),
        labelled=labels.known if labelled is None else labelled,
    )


def _slow(cube: Cube, chosen: NDArray[np.bool_]) -> dict[str, Tensor]:
    """Fit the slow means of the years that the chosen months lie in."""
    years = year_places(cube.months)
    rows = np.zeros((len(cube.simulations), years[-1] + 1), bool)
    for row, months in enumerate(chosen):
        rows[row, years[months]] = True
    means = cube.slow[torch.from_numpy(rows)].double()
    mean = means.mean(dim=0)
    spread = (means - mean).square().mean(dim=(0, 2)).sqrt()
    # Of all cells alike: where it hardly changes it must hardly count.
    return {
        "slow_mean": mean.float(),
        "slow_spread": torch.where(spread > 0, spread, 1.0).float(),
    }


def weather_months(cube: Cube) -> NDArray[np.int64]:
    """Return the calendar month, 0 to 11, of each weather month; (weather_time,).

    A year map moves whole years, so weather keeps its calendar month; weather which
    no simulation saw has -1.
    """
    month = np.full(cube.forcing.shape[0], -1, np.int64)
    sequence = cube.weather.numpy()
    for row in sequence:
        month[row[row >= 0]] = (month_of(cube.months) - 1)[row >= 0]
    return month


def seen_weather(
    cube: Cube, chosen: NDArray[np.bool_], memory: int
) -> NDArray[np.bool_]:
    """Return which weather the chosen months (simulation, time) and memories saw."""
    seen = np.zeros(cube.forcing.shape[0], bool)
    rows, times = np.nonzero(chosen)
    for lag in range(memory + 1):
        seen[cube.weather.numpy()[rows, times - lag]] = True
    return seen


def _forcing(
    cube: Cube, chosen: NDArray[np.bool_], month: NDArray[np.int64], memory: int
) -> dict[str, Tensor]:
    """Fit the forcing's climatology on all weather that the chosen months saw."""
    seen = seen_weather(cube, chosen, memory)
    of_month = weather_months(cube)
    missing = sorted(set(range(12)) - set(of_month[seen].tolist()))
    if missing or set(month[chosen.any(axis=0)].tolist()) != set(range(12)):
        raise SettingsError(
            f"The {int(chosen.sum())} training months do not hold every month of the "
            f"year. Widen split.train to at least one whole year with its memory."
        )
    shape = cube.forcing.shape[1:]
    climatology = torch.zeros(12, *shape, dtype=torch.float64)
    squares = torch.zeros(shape, dtype=torch.float64)
    level = torch.zeros(2, shape[0], dtype=torch.float64)
    for number in range(12):
        part = cube.forcing[torch.from_numpy(seen & (of_month == number))].double()
        climatology[number] = part.mean(dim=0)
        squares += (part - climatology[number]).square().sum(dim=0)
        level += torch.stack([part.sum(dim=(0, 2)), part.square().sum(dim=(0, 2))])
    count = int(seen.sum())
    mean, square = level / (count * shape[1])
    # Rounding can leave a constant variable with a tiny negative variance.
    global_deviation = (square - mean.square()).clamp_min(0).sqrt()
    global_deviation[global_deviation == 0] = 1.0
    floor = DEVIATION_FLOOR * global_deviation[:, None]
    return {
        "forcing_mean": mean.float(),
        "forcing_deviation": global_deviation.float(),
        "climatology": climatology.float(),
        "deviation": (squares / count).sqrt().clamp_min(floor).float(),
    }


def _exchange(
    cube: Cube, chosen: NDArray[np.bool_], memory: int, fitted: Mapping[str, Tensor]
) -> Tensor:
    """Return what a gas exchange needs of forcing (``models.exchange``).

    Returns:
        Mean exchange of each calendar month, mean and deviation of its drivers;
        (1, 12 + drivers + drivers, cell).
    """
    seen, of_month = seen_weather(cube, chosen, memory), weather_months(cube)
    places = driver_places(cube.forcing_names)
    months = []
    for number in range(12):
        part = cube.forcing[torch.from_numpy(seen & (of_month == number))]
        months.append(exchange(*part[:, places].unbind(dim=1)).mean(dim=0) / UNIT)
    numbers = [fitted[name][places] for name in ("forcing_mean", "forcing_deviation")]
    constant = torch.cat(numbers)[:, None].expand(-1, cube.cells.numel())
    return torch.cat([torch.stack(months), constant])[None]


def _reference_rows(
    cube: Cube, chosen: NDArray[np.bool_], model: ModelSettings
) -> NDArray[np.bool_]:
    """Keep only the reference simulations of the chosen months."""
    names = model.reference_simulations
    if not names:
        return chosen
    keep = np.array([name in names for name in cube.simulations])
    rows: NDArray[np.bool_] = chosen & keep[:, None]
    if keep.sum() != len(names) or not rows.any():
        raise SettingsError(
            f"model.reference_simulations is {names}, but the simulations to learn "
            f"from are {list(cube.simulations)}. Choose among these, or leave it empty."
        )
    return rows


def _fields(cube: Cube) -> Tensor:
    return (
        torch.stack([standard(row) for row in cube.static.double()])
        if len(cube.static)
        else torch.zeros(0, cube.cells.numel(), dtype=torch.float64)
    )


def position(cube: Cube) -> Tensor:
    """Return the cells' unit vectors from the centre of the Earth; (3, cell)."""
    row, column = np.divmod(cube.cells.cpu().numpy(), cube.grid.lon.size)
    lat, lon = np.deg2rad(cube.grid.lat[row]), np.deg2rad(cube.grid.lon[column])
    east, north = np.cos(lat) * np.sin(lon), np.sin(lat)
    return torch.from_numpy(np.stack([np.cos(lat) * np.cos(lon), east, north]))


def _climates(climatology: Tensor) -> list[Tensor]:
    """Return mean and seasonal range of each forcing, standardised over cells."""
    mean = climatology.double().mean(dim=0)
    swing = climatology.double().amax(dim=0) - climatology.double().amin(dim=0)
    return [torch.stack([standard(row) for row in part]) for part in (mean, swing)]
