"""A gas exchange from data to a run: fitted, trained, asked and adapted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import years_of
from emulator.data.stores import write_store
from emulator.learning.adapt import adapt, cube_of_teacher
from emulator.learning.adapt_settings import FewShotSettings
from emulator.learning.batch import Draw, gather_inputs, inputs_of_cube
from emulator.learning.checkpoint import load_checkpoint
from emulator.learning.fit import train
from emulator.learning.inference import load_emulator
from emulator.learning.normalise import fit_normaliser
from emulator.learning.pretraining import PretrainingSettings, encoder_of
from emulator.learning.references import exchange_channels, needed_channels
from emulator.learning.settings import TrainSettings
from emulator.models import NetworkShape, build_network
from emulator.models.exchange import CHANNELS, GasExchange, exchange
from tests.learning.cubes import chosen_years, small_cube
from tests.learning.middle import with_middle
from tests.learning.runs import small_gru, tiny_data, tiny_settings
from tests.worlds import tiny_forcing, tiny_world

NAMES = ("tosforc", "sfcWind", "siconc")
MODEL = small_gru(memory=1, gas_exchange=True)


class Silent(nn.Module):
    """A network that says nothing."""

    def forward(self, forcing: Tensor, _static: Tensor, _teacher: Tensor) -> Tensor:
        return torch.zeros_like(forcing[:, 1:, :1])


def test_a_fixed_difference_of_co2_is_explained_before_anything_is_learned() -> None:
    # Labels are E * D, with E of each month's own weather and a D of the season.
    generator = torch.Generator().manual_seed(1)
    cube = small_cube(8)
    size = len(cube.months)

    def drawn(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(size, 3, generator=generator)

    drivers = [drawn(5, 20), drawn(4, 10), drawn(0.0, 0.4)]
    open_sea = exchange(*drivers)
    month = torch.arange(size) % 12
    difference = torch.randn(12, 3, generator=generator) * 20
    labels = 0.012 * open_sea * difference[month]
    cube = replace(
        cube,
        domain="ocean",
        fluxes=("fgco2",),
        forcing_names=NAMES,
        forcing=torch.stack(drivers, dim=1),
        simulations=cube.simulations[1:],
        labels=labels[None, None, :, None],
        weather=cube.weather[1:],
        co2=cube.co2[1:],
        slow=cube.slow[1:],
    )
    chosen = chosen_years(cube, 2000, 2007)
    chosen[:, 0] = False
    normaliser = fit_normaliser(cube, chosen, MODEL)
    inputs = inputs_of_cube(cube, normaliser)
    statics = normaliser.static.shape[1]
    network = build_network(
        MODEL,
        NetworkShape(inputs.channels, statics, 1, 1, cube.cells, (4, 8), NAMES),
    )
    assert isinstance(network, GasExchange)
    network.network = Silent()
    first = torch.tensor([1])
    draw = Draw(torch.tensor([0]), torch.tensor([0]), first, None)
    forcing, static = gather_inputs(inputs, draw, 1, size - 1)
    answer = network(forcing, static, torch.tensor([0]))
    places = torch.arange(1, size)[None]
    expected = normaliser.expected(
        torch.tensor([0]), inputs.month[places], cube.co2[:1, 1:], None
    )
    found = expected + normaliser.scale[:1, None] * answer
    # The first January is the memory's: its weather is in the mean E, not its label.
    whole = (places[0] % 12) != 0
    torch.testing.assert_close(found[0, whole, 0], labels[1:][whole], rtol=1e-3, atol=0)


def icy(world: xr.Dataset) -> xr.Dataset:
    """Add ice over the southern half, of another share every month."""
    wind = world["sfcWind"]
    share = xr.where(world["lat"] < 0, wind / (wind + 7), 0 * wind)
    world["siconc"] = share.transpose(*wind.dims).astype("f4")
    world["siconc"].attrs = {"units": "1"}
    return world


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("icy")
    return write_store(icy(with_middle(tiny_world("ocean"))), folder / "ocean.zarr")


def asked(**learning: object) -> TrainSettings:
    data = tiny_data("ocean", forcing_variables=list(NAMES))
    few = {"steps": 3, "validate_every": 3}
    return tiny_settings(replace(MODEL, memory=3), data=data, **few, **learning)


@pytest.fixture(scope="module")
def run(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that knows ONE and TWO, and that guessed forcing before."""
    earth = xr.open_zarr(store).load()
    two = earth.isel(teacher=slice(0, 2))
    folder = tmp_path_factory.mktemp("run")
    known = write_store(two, folder / "two.zarr")
    settings = asked(pretraining=PretrainingSettings(steps=2))
    return train(settings, known, folder / "run")


def test_a_run_lets_nothing_through_closed_ice(run: Path) -> None:
    emulator = load_emulator(run)
    network = emulator.first.network()
    assert isinstance(network, GasExchange)
    assert encoder_of(network) is network.network
    forcing = icy(tiny_forcing("ocean"))
    usual = emulator.predict(forcing)["fgco2"]
    closed = forcing["siconc"] * 0 + 1
    closed.attrs = {"units": "1"}
    frozen = emulator.predict(forcing.assign(siconc=closed))["fgco2"]
    scale = float(np.abs(usual).mean())
    assert scale > 1e-11
    assert float(np.abs(frozen).max()) < 1e-5 * scale


def test_a_new_teacher_brings_its_own_reference(run: Path, store: Path) -> None:
    member = load_checkpoint(run / "members/0/emulator.pt")
    cube = cube_of_teacher(member, store, "MIDDLE")
    settings = FewShotSettings(steps=1, cells=5)
    found = adapt(member, cube, np.arange(2001, 2005), settings)
    known, normaliser = member.normaliser, found.normaliser
    place = normaliser.static.shape[1] - CHANNELS
    assert needed_channels(member.model, 1) == CHANNELS
    # What forcing says is shared by all teachers.
    torch.testing.assert_close(
        normaliser.static[:, place : place + CHANNELS - 24],
        known.static[:1, place : place + CHANNELS - 24],
    )
    # Weather explained, the reference moves on; until then it was that of these years.
    there = normaliser.labelled[0, 0]
    rows = torch.from_numpy(np.isin(years_of(cube.months), range(2001, 2005)))
    labels = cube.labels[:, 0, rows, 0]
    mean = labels.reshape(len(labels), 4, 12, -1).mean(dim=(0, 1))
    wanted = (mean / normaliser.scale[0])[:, there]
    mine = normaliser.static[0, -24:-12][:, there]
    torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-3)


def test_channels_are_in_the_unit_of_the_answer() -> None:
    reference = torch.arange(12.0).view(1, 12, 1, 1) * 1e-9
    slope, scale = torch.full((1, 12, 1, 1), 2e-10), torch.full((1, 1, 1), 2e-9)
    found = exchange_channels(reference, slope, scale, torch.tensor(30.0))
    torch.testing.assert_close(found[0, :12, 0], torch.arange(12.0) / 2)
    torch.testing.assert_close(found[0, 12:, 0], torch.full((12,), 3.0))


def test_forcing_without_ice_is_refused(ocean_store: Path, tmp_path: Path) -> None:
    settings = tiny_settings(MODEL, data=tiny_data("ocean"), steps=2)
    with pytest.raises(SettingsError, match=r"needs tos or tosforc, sfcWind, siconc"):
        train(settings, ocean_store, tmp_path / "run")
