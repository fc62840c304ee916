"""Guessing hidden forcing: what is hidden, what is learned, and who can."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from emulator.carbon.errors import SettingsError
from emulator.learning.batch import inputs_of_cube
from emulator.learning.checkpoint import load_checkpoint
from emulator.learning.fit import train
from emulator.learning.metrics import MetricsFile
from emulator.learning.normalise import fit_normaliser
from emulator.learning.pretraining import (
    PretrainingSettings,
    encoder_of,
    guessing_loss,
    hide,
    pretrain,
)
from emulator.learning.sampler import Sampler
from emulator.models import (
    ModelSettings,
    NetworkShape,
    PointwiseSettings,
    RecurrentSettings,
    SinknetSettings,
    UnetSettings,
    build_network,
)
from tests.learning.cubes import chosen_years, small_cube
from tests.learning.runs import small_gru, tiny_settings


def test_hidden_values_are_hidden_in_every_unit() -> None:
    # Two variables as anomaly and as level, then the calendar, which is never hidden.
    forcing = torch.arange(1.0, 6.0).view(1, 1, 5, 1)
    hidden = torch.tensor([True, False]).view(1, 1, 2, 1)
    assert hide(forcing, hidden, weather=4).flatten().tolist() == [0, 2, 0, 4, 5]


def test_only_guesses_of_hidden_values_count() -> None:
    # One month of memory, two answered; the second variable is hidden in the last:
    # (7 - 5)^2 = 4.
    forcing = torch.tensor([[1.0, 2.0], [3.0, 4.0], [9.0, 5.0]]).view(1, 3, 2, 1)
    hidden = torch.zeros(1, 3, 2, 1, dtype=torch.bool)
    hidden[0, 0], hidden[0, 2, 1] = True, True
    guess = torch.tensor([[0.0, 0.0], [0.0, 7.0]]).view(2, 1, 1, 2)
    assert float(guessing_loss(guess, forcing, hidden)) == 4.0
    assert float(guessing_loss(guess, forcing, torch.zeros_like(hidden))) == 0.0


def shape(inputs: int = 3) -> NetworkShape:
    return NetworkShape(inputs, 2, 1, 1, torch.tensor([9, 10, 20]), (4, 8))


def test_the_encoder_is_that_of_the_cells() -> None:
    recurrent = small_gru().build(shape())
    assert encoder_of(recurrent) is recurrent
    sinknet = SinknetSettings(width=8, map_widths=[4], memory=3).build(shape())
    assert encoder_of(sinknet) is sinknet.cell
    settings = small_gru(pools=[5.0], start_year=1990)
    pools = build_network(settings, shape(inputs=4))
    assert encoder_of(pools) is pools.network


def pretrained(folder: Path, steps: int) -> tuple[dict[str, torch.Tensor], list[dict]]:
    """Pretrain where rain is the anomaly of temperature with the other sign."""
    cube = small_cube()
    tas = cube.forcing[:, :1]
    cube = replace(cube, forcing=torch.cat([tas, 560 - tas], dim=1))
    model = small_gru(memory=2, forcing_channels="anomaly", position=False)
    normaliser = fit_normaliser(cube, chosen_years(cube, 2001, 2003), model)
    inputs = inputs_of_cube(cube, normaliser)
    torch.manual_seed(0)
    network = model.build(
        NetworkShape(
            inputs.channels, normaliser.static.shape[1], 1, 1, cube.cells, (4, 8)
        )
    )
    pretrain(
        network,
        inputs,
        Sampler(
            np.array([[1, 0, 12], [1, 0, 24], [1, 0, 48]]),
            np.arange(3),
            samples=3,
            cells_per_sample=0,
            seed=1,
        ),
        PretrainingSettings(steps=steps, rate=1e-2),
        MetricsFile(folder / "metrics.csv", 1, "pretrain choose"),
        variables=2,
        memory=2,
        months=12,
    )
    with (folder / "metrics.csv").open() as file:
        return network.state_dict(), list(csv.DictReader(file))


def test_it_learns_how_variables_hang_together(tmp_path: Path) -> None:
    _, rows = pretrained(tmp_path, 200)
    assert [(row["stage"], row["step"]) for row in rows] == [
        ("pretrain choose", str(step)) for step in (100, 200)
    ]
    # Where both are hidden, in 0.3 of the cases, nothing can be known.
    assert float(rows[0]["train_loss"]) > 0.6
    assert float(rows[1]["train_loss"]) < 0.45


def test_it_gives_the_same_weights_again(tmp_path: Path) -> None:
    (one, rows), (two, again) = (pretrained(tmp_path, 5) for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert len(rows) == len(again) == 1


@pytest.mark.parametrize(
    "model",
    [
        small_gru(),
        SinknetSettings(width=8, map_widths=[4], memory=3),
        small_gru(fluxes=["nbp"], pools=[5.0], start_year=1991),
    ],
)
def test_a_fit_starts_from_it(
    land_store: Path, tmp_path: Path, model: ModelSettings
) -> None:
    weights = []
    for steps in (0, 3):
        settings = tiny_settings(
            model,
            steps=2,
            pretraining=PretrainingSettings(steps=steps),
            # Pools are carried from 1991 to 2008.
            months_per_sample=216 if model.pools else 12,
        )
        run = train(settings, land_store, tmp_path / str(steps))
        weights.append(load_checkpoint(run / "members/0/emulator.pt").weights)
    name = next(name for name in weights[0] if name.endswith("gru.weight_hh_l0"))
    assert not torch.equal(weights[0][name], weights[1][name])


@pytest.mark.parametrize("model", [PointwiseSettings(), UnetSettings()])
def test_a_network_without_an_encoder_refuses(model: ModelSettings) -> None:
    with pytest.raises(SettingsError, match="no encoder of each cell's forcing to tra"):
        tiny_settings(model, pretraining=PretrainingSettings(steps=1))
    assert isinstance(
        tiny_settings(RecurrentSettings(), pretraining=PretrainingSettings(1)).model,
        RecurrentSettings,
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"steps": -1}, "learning.pretraining.steps is -1, but must be 0 or more"),
        ({"masked": 1.0}, r"learning.pretraining.masked is 1.0, but must be in \(0, 1"),
        ({"rate": 0.0}, "learning.pretraining.rate is 0.0, but must be positive"),
        ({"samples": 0}, "learning.pretraining.samples is 0, but must be at least 1"),
    ],
)
def test_bad_settings_are_named(said: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        PretrainingSettings(**said)
