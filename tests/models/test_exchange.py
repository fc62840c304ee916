"""Gas exchange: seawater's numbers, closed ice, and a flux linear in what it lacks."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from emulator.carbon import seawater
from emulator.carbon.errors import SettingsError
from emulator.models import NetworkShape, RecurrentSettings, build_network
from emulator.models.exchange import (
    CHANNELS,
    LEAST,
    UNIT,
    GasExchange,
    driver_places,
    exchange,
)

CELLS, FEATURES, MONTHS, MEMORY = 4, 3, 24, 2
FORCING = ("siconc", "tos", "sfcWind")
MEAN = torch.tensor([15.0, 7.0, 0.2])
DEVIATION = torch.tensor([10.0, 2.0, 0.3])


class Constant(nn.Module):
    """A network that answers the same everywhere."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, forcing: Tensor, static: Tensor, _: Tensor) -> Tensor:
        assert static.shape[1] == FEATURES
        months = forcing.shape[1] - MEMORY
        return torch.full((len(forcing), months, 1, forcing.shape[3]), self.value)


def shape(**changes: Any) -> NetworkShape:
    values: dict[str, Any] = {
        "inputs": 2 * len(FORCING) + 4,
        "statics": FEATURES + CHANNELS,
        "outputs": 1,
        "teachers": 1,
        "cells": torch.arange(CELLS),
        "grid_shape": (2, 2),
        "forcing": FORCING,
    }
    return NetworkShape(**values | changes)


def law(departure: float, **values: Any) -> GasExchange:
    """Return the law around a network that always says ``departure``."""
    asked = RecurrentSettings(memory=MEMORY, gas_exchange=True, **values)
    network = build_network(asked, shape())
    assert isinstance(network, GasExchange)
    network.network = Constant(departure)
    return network


def world(
    temperature: Tensor, wind: Tensor, ice: Tensor, air: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the channels of weather (months, cell) that begins in a January.

    The reference is month + 1, with a slope of 2; the month's mean exchange is that of
    15 degC, 7 m s-1 and no ice.
    """
    drivers = torch.stack([temperature, wind, ice], dim=1)
    level = (drivers - MEAN[:, None]) / DEVIATION[:, None]
    level = level[:, [2, 0, 1]]
    angle = 2 * math.pi * (torch.arange(len(wind)) % 12 + 0.5) / 12
    rows = torch.stack([0 * angle, angle.sin(), angle.cos(), 0 * angle + air], dim=1)
    rest = rows[..., None].expand(-1, -1, CELLS)
    now = torch.cat([torch.randn(level.shape), level, rest], dim=1)
    forcing = torch.cat([torch.zeros(MEMORY, *now.shape[1:]), now])[None]
    usual = exchange(torch.tensor(15.0), torch.tensor(7.0), torch.tensor(0.0)) / UNIT
    needed = torch.cat(
        [
            usual.expand(12),
            MEAN,
            DEVIATION,
            torch.arange(12) + 1.0,
            torch.full((12,), 2.0),
        ]
    )
    static = torch.cat([torch.randn(FEATURES), needed])[None, :, None]
    return forcing, static.expand(-1, -1, CELLS), torch.tensor([0])


def steady(value: float) -> Tensor:
    return torch.full((MONTHS, CELLS), value)


def test_exchange_is_that_of_seawater() -> None:
    generator = np.random.default_rng(0)
    temperature = generator.uniform(-1.9, 32, 100)
    wind, ice = generator.uniform(0, 20, 100), generator.uniform(0, 1, 100)
    velocity = seawater.transfer_velocity(wind**2, temperature)
    k0 = seawater.solubility(temperature, np.full(100, 35.0))
    wanted = seawater.gas_flux(velocity, k0, np.ones(100), np.zeros(100), ice)
    found = exchange(*map(torch.from_numpy, (temperature, wind, ice)))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)
    # Its unit: 20 degC and 6.5 m s-1.
    usual = exchange(torch.tensor(20.0), torch.tensor(6.5), torch.tensor(0.0))
    assert float(usual) == pytest.approx(UNIT, rel=0.15)


def test_weather_beyond_the_laws_is_held() -> None:
    still = torch.tensor([0.0, 0.0])
    found = exchange(torch.tensor([-5.0, 45.0]), still + 7, still)
    held = exchange(torch.tensor([-2.0, 40.0]), still + 7, still)
    torch.testing.assert_close(found, held)
    rounded = exchange(still, still + 7, torch.tensor([-1e-3, 1 + 1e-3]))
    assert float(rounded[1]) == 0.0
    torch.testing.assert_close(rounded[0], exchange(still, still + 7, still)[0])


@pytest.mark.parametrize("air", [0.0, 1.5])
def test_nothing_passes_under_closed_ice(air: float) -> None:
    answer = law(3.0)(*world(steady(15.0), steady(7.0), steady(1.0), air))
    month = torch.arange(MONTHS) % 12
    reference = month + 1 + 2 * air
    torch.testing.assert_close(
        answer[0, :, 0], -reference[:, None].expand(-1, CELLS).float()
    )


def test_usual_weather_leaves_the_reference_and_what_the_network_says() -> None:
    answer = law(0.7)(*world(steady(15.0), steady(7.0), steady(0.0)))
    torch.testing.assert_close(answer, torch.full((1, MONTHS, 1, CELLS), 0.7))


def test_twice_the_wind_is_four_times_the_flux() -> None:
    forcing = world(steady(15.0), steady(14.0), steady(0.0))
    month = (torch.arange(MONTHS) % 12 + 1.0)[None, :, None, None]
    answer = law(0.5)(*forcing)
    torch.testing.assert_close(month + answer, (4 * (month + 0.5)).expand_as(answer))
    # Linear in the difference of CO2: the same again for the same more.
    torch.testing.assert_close(
        law(1.5)(*forcing) - answer, torch.full_like(answer, 4.0)
    )


def test_cells_that_are_always_closed_stay_finite() -> None:
    forcing, static, teacher = world(steady(-1.8), steady(7.0), steady(0.9))
    static = static.clone()
    static[:, FEATURES : FEATURES + 12] = 0.0
    answer = law(1.0)(forcing, static, teacher)
    share = float(exchange(*map(torch.tensor, (-1.8, 7.0, 0.9)))) / UNIT / LEAST
    month = torch.arange(MONTHS) % 12 + 1.0
    wanted = month * (share / LEAST - 1) + share
    torch.testing.assert_close(answer[0, :, 0, 0], wanted)


def test_level_channels_alone_will_do() -> None:
    forcing, static, teacher = world(steady(18.0), steady(9.0), steady(0.1))
    both = law(0.5)(forcing, static, teacher)
    network = build_network(
        RecurrentSettings(memory=MEMORY, gas_exchange=True, forcing_channels="level"),
        shape(inputs=len(FORCING) + 4),
    )
    assert isinstance(network, GasExchange)
    network.network = Constant(0.5)
    torch.testing.assert_close(network(forcing[:, :, 3:], static, teacher), both)


def test_missing_drivers_and_other_fluxes_are_refused() -> None:
    assert driver_places(("siconc", "tosforc", "sfcWind", "tos")) == [3, 2, 0]
    with pytest.raises(SettingsError, match=r"tos or tosforc, sfcWind, siconc, but"):
        driver_places(("tosforc", "pr"))
    settings = RecurrentSettings(gas_exchange=True)
    with pytest.raises(SettingsError, match="but there are 2 fluxes"):
        build_network(settings, shape(outputs=2))


@pytest.mark.parametrize(
    "change",
    [
        {"forcing_channels": "anomaly"},
        {"fluxes": ["nbp"]},
        {"pools": [2.0], "start_year": 1951},
        {"fluxes": ["nbp", "rh"], "closure": True},
    ],
)
def test_settings_that_the_law_cannot_follow_are_refused(change: Any) -> None:
    with pytest.raises(SettingsError, match=r"gas_exchange is a law of fgco2 alone"):
        RecurrentSettings(gas_exchange=True, **change)
