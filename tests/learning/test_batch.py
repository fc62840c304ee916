"""A gathered batch against slices cut by hand."""

from dataclasses import replace

import numpy as np
import torch

from emulator.data.windows import Cube
from emulator.learning.batch import (
    Draw,
    TrainingData,
    gather_batch,
    gather_inputs,
    inputs_of_cube,
)
from emulator.learning.normalise import fit_normaliser, weather_months
from emulator.models import RecurrentSettings
from tests.learning.cubes import chosen_years, small_cube

MEMORY, MONTHS = 5, 12


def data_of(cube: Cube) -> TrainingData:
    chosen = chosen_years(cube, 2001, 2003)
    model = RecurrentSettings(memory=MEMORY, label_climatology="co2")
    normaliser = fit_normaliser(cube, chosen, model)
    return TrainingData(
        inputs=inputs_of_cube(cube, normaliser),
        normaliser=normaliser,
        labels=cube.labels,
        chosen=torch.from_numpy(chosen),
        weight=torch.tensor([[[1.0, 2.0, 3.0]]]),
    )


def draw(first: list[int], cells: list[list[int]] | None) -> Draw:
    return Draw(
        torch.arange(len(first)) % 2,
        torch.zeros(len(first), dtype=torch.int64),
        torch.tensor(first),
        None if cells is None else torch.tensor(cells),
    )


def test_memory_follows_the_weather_that_was_seen() -> None:
    cube = small_cube()
    data = data_of(cube)
    forcing, static = gather_inputs(data.inputs, draw([36, 36], None), MEMORY, MONTHS)
    assert forcing.shape == (2, 17, data.inputs.channels, 3)
    month = torch.from_numpy(weather_months(cube))
    weather = data.normaliser.weather(cube.forcing, month)
    # CONTROL repeats two years: January 2003 saw month 12, its memory months 7 to 11.
    torch.testing.assert_close(forcing[0, :, :4], weather[7:24].transpose(1, 2))
    torch.testing.assert_close(forcing[1, :, :4], weather[31:48].transpose(1, 2))
    ppm = (cube.co2[1, 31:48] - data.normaliser.co2_centre) / data.normaliser.co2_spread
    torch.testing.assert_close(forcing[1, :, -1, 0], ppm)
    torch.testing.assert_close(static, data.normaliser.static.expand(2, -1, -1))


def test_calendar_channels_belong_to_month_and_latitude() -> None:
    data = data_of(small_cube())
    forcing, _ = gather_inputs(data.inputs, draw([36], None), MEMORY, MONTHS)
    light, sine, cosine = forcing[0, MEMORY:, 4:7].unbind(dim=1)
    # Cells 9 and 10 lie at 22.5 S, cell 20 at 22.5 N.
    torch.testing.assert_close(light[:, 0], light[:, 1])
    assert light[0, 0] > light[0, 2]
    assert light[6, 0] < light[6, 2]
    angle = 2 * np.pi * (torch.arange(12) + 0.5) / 12
    torch.testing.assert_close(sine[:, 1], torch.sin(angle).float())
    torch.testing.assert_close(cosine[:, 1], torch.cos(angle).float())


def test_chosen_cells_are_columns_of_the_whole() -> None:
    data = data_of(small_cube())
    cells = [[2, 0], [1, 1]]
    part = gather_batch(data, draw([24, 37], cells), MEMORY, MONTHS)
    whole = gather_batch(data, draw([24, 37], None), MEMORY, MONTHS)
    for name in ("forcing", "static", "target", "weight"):
        found, expected = getattr(part, name), getattr(whole, name)
        for sample, chosen in enumerate(cells):
            torch.testing.assert_close(found[sample], expected[sample][..., chosen])


def test_target_gives_back_the_label() -> None:
    cube = small_cube()
    data = data_of(cube)
    asked = draw([24, 24], None)
    batch = gather_batch(data, asked, MEMORY, MONTHS)
    month = torch.arange(12).expand(2, -1)
    expected = data.normaliser.expected(asked.teacher, month, cube.co2[:, 24:36], None)
    flux = expected + data.normaliser.scale * batch.target
    torch.testing.assert_close(flux, cube.labels[:, 0, 24:36], rtol=1e-4, atol=1e-13)
    torch.testing.assert_close(batch.weight[1, 3, 0], torch.tensor([1.0, 2.0, 3.0]))


def test_missing_and_unchosen_labels_weigh_nothing() -> None:
    cube = small_cube()
    labels = cube.labels.clone()
    labels[1, 0, 27, 0, 1] = torch.nan
    data = data_of(replace(cube, labels=labels))
    batch = gather_batch(data, draw([24, 24], None), MEMORY, MONTHS)
    assert (batch.weight == 0).nonzero().tolist() == [[1, 3, 0, 1]]
    assert batch.target.isfinite().all()
    # 2004 is no training year; 2003 is.
    late = gather_batch(data, draw([42, 42], None), MEMORY, MONTHS)
    assert (late.weight[:, :6] > 0).all()
    assert (late.weight[:, 6:] == 0).all()
    assert (late.target[:, 6:] == 0).all()


def test_window_beyond_the_axis_counts_no_month_twice() -> None:
    cube = small_cube(years=4)
    data = data_of(cube)
    batch = gather_batch(data, draw([42, 42], None), MEMORY, MONTHS)
    assert batch.forcing.isfinite().all()
    assert (batch.weight[:, :6] > 0).all()
    assert (batch.weight[:, 6:] == 0).all()


def test_unknown_co2_makes_no_nan() -> None:
    cube = small_cube()
    co2 = cube.co2.clone()
    co2[:, :6] = torch.nan
    data = data_of(replace(cube, co2=co2))
    forcing, _ = gather_inputs(data.inputs, draw([6, 6], None), MEMORY, MONTHS)
    assert forcing.isfinite().all()
