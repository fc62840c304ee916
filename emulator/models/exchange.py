"""What a network answers as gas exchange: how open the sea is, times what it lacks.

Written around any network. The flux of CO2 into the sea is

    flux = E * D,      E = k(wind, temperature) * K0(temperature) * (1 - ice),

where D is the difference in CO2 between air and water. E is known to a few tens of
percent, and its course from month to month better than that; D is slow, and is what
biology, mixing and the carbonate system make of it. A network that answers with the
flux must learn their product; here it answers with D alone.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from emulator.carbon.errors import SettingsError
from emulator.carbon.seawater import (
    DENSITY,
    SCHMIDT,
    TRANSFER,
    WEISS,
    ZERO_CELSIUS,
)
from emulator.carbon.timeaxis import MONTHS_PER_YEAR
from emulator.models.base import ModelSettings, NetworkShape

DRIVERS = (("tos", "tosforc"), ("sfcWind",), ("siconc",))
"""Temperature, wind and ice: each by the first of its names that the forcing has. The
salinity of the open sea changes E by 1 %, and is left at 35."""

SALINITY = 35.0

UNIT = 1e-9
"""Unit of E, mol m-2 s-1 uatm-1: its size at 20 degC under a wind of 6.5 m s-1."""

LEAST = 0.05
"""Smallest mean E of a cell, in ``UNIT``, that a network's answer is a multiple of, and
least share of it in a month whose reference says what D is: under closed ice hardly
anything passes, whatever D is."""

CHANNELS = 3 * MONTHS_PER_YEAR + 2 * len(DRIVERS)
"""Static channels that a gas exchange needs, as ``GasExchange`` says."""


def exchange(temperature: Tensor, wind: Tensor, ice: Tensor) -> Tensor:
    """Return how much CO2 passes a square metre for each uatm of difference.

    Args:
        temperature: Of the sea surface, degC; any shape.
        wind: At 10 m, m s-1. That of a month is too small by the variance within it,
            which only shares of its own mean do not feel.
        ice: Share of the sea under ice.

    Returns:
        mol m-2 s-1 uatm-1; same shape.

    Source:
        As ``carbon.seawater``: Wanninkhof (2014), equation 4 and table 1, whose
        Schmidt number holds from -2 to 40 degC; Weiss (1974), equation 12.
    """
    temperature = temperature.clamp(-2.0, 40.0)
    schmidt = torch.zeros_like(temperature)
    for factor in reversed(SCHMIDT):
        schmidt = schmidt * temperature + factor
    a1, a2, a3, b1, b2, b3 = WEISS
    hundred = (temperature + ZERO_CELSIUS) / 100
    solubility = (
        a1
        + a2 / hundred
        + a3 * hundred.log()
        + SALINITY * (b1 + b2 * hundred + b3 * hundred.square())
    ).exp()
    # cm h-1 in m s-1, and uatm in atm.
    velocity = TRANSFER / 3.6e5 * wind.square() * (schmidt / 660).rsqrt()
    return (1 - ice.clamp(0, 1)) * velocity * solubility * DENSITY * 1e-6


def driver_places(forcing: tuple[str, ...]) -> list[int]:
    """Return the places of temperature, wind and ice among the forcing variables.

    Raises:
        SettingsError: If one is not there.
    """
    found = [next((n for n in names if n in forcing), None) for names in DRIVERS]
    if None in found:
        wanted = ", ".join(" or ".join(names) for names in DRIVERS)
        raise SettingsError(
            f"model.gas_exchange needs {wanted}, but the forcing is {list(forcing)}. "
            f"Add what is missing to model.forcing, or set model.gas_exchange=false."
        )
    return [forcing.index(name) for name in found if name is not None]


class GasExchange(nn.Module):
    """A network whose answer is D, and whose flux is E * D.

    Args:
        settings: With ``gas_exchange``.
        shape: As the data give it. The last static channels (``CHANNELS``) are the mean
            E of each calendar month, in ``UNIT``; mean and standard deviation of the
            drivers over the globe, which turn level channels into numbers with a unit;
            the teacher's reference flux of each month, and its slope in standardised
            CO2, both in the unit of its answer.

    The reference flux R of a month is that of its mean E; with e = E over the mean E of
    the cell's year and e' the same of the month's mean E, the answer is

        y = R * (e / e' - 1) + e * d,

    so that R + y = E * (D of the reference + d): nothing passes under closed ice, and
    more wind means more of what the reference has, before anything is learned.

    Raises:
        SettingsError: If a driver is missing, or there are other fluxes.
    """

    def __init__(self, settings: ModelSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        if shape.outputs != 1:
            raise SettingsError(
                f"model.gas_exchange is a law of fgco2 alone, but there are "
                f"{shape.outputs} fluxes. Set model.fluxes=[fgco2]."
            )
        self.memory = settings.memory
        variables = len(shape.forcing)
        levels = variables if settings.forcing_channels == "both" else 0
        self.drivers = [levels + place for place in driver_places(shape.forcing)]
        # After the weather: potential radiation, sine and cosine of the month.
        self.calendar = levels + variables + 1
        # What the law needs of a cell is no feature: it has no common scale.
        self.places = shape.statics - CHANNELS
        self.network = settings.build(replace(shape, statics=self.places))

    def forward(self, forcing: Tensor, static: Tensor, teacher: Tensor) -> Tensor:
        """Answer each month after the memory; shapes as in ``models.base``."""
        inside, place = self.seen(forcing, static)
        departure = self.network(inside, place, teacher).float()[:, :, 0]
        count = len(self.drivers)
        year, mean, deviation, reference, slope = torch.split(
            static[:, self.places :], [12, count, count, 12, 12], dim=1
        )
        now = forcing[:, self.memory :]
        drivers = mean[:, None] + deviation[:, None] * now[:, :, self.drivers]
        unit = year.mean(dim=1, keepdim=True).clamp_min(LEAST)
        share = exchange(*drivers.unbind(dim=2)) / UNIT / unit
        month = self._month(now)
        usual = _at(year, month).div(unit).clamp_min(LEAST)
        known = _at(reference, month) + _at(slope, month) * now[:, :, -1]
        answer: Tensor = known * (share / usual - 1) + share * departure
        return answer[:, :, None]

    def seen(self, forcing: Tensor, static: Tensor) -> tuple[Tensor, Tensor]:
        """Return what of forcing and static fields the network inside sees."""
        return forcing, static[:, : self.places]

    def _month(self, forcing: Tensor) -> Tensor:
        """Return the calendar month, 0 to 11; (sample, months)."""
        sine, cosine = forcing[:, :, self.calendar : self.calendar + 2, 0].unbind(dim=2)
        # The channels are those of the middle of the month.
        turn = torch.atan2(sine, cosine) / (2 * math.pi) % 1
        return (turn * MONTHS_PER_YEAR).long().clamp_max(MONTHS_PER_YEAR - 1)


def _at(values: Tensor, month: Tensor) -> Tensor:
    """Return the values (sample, 12, cell) of months (sample, months)."""
    index = month[..., None].expand(-1, -1, values.shape[2])
    return values.gather(1, index)
