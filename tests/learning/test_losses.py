"""The loss: weights and annual totals, by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emulator.carbon.budget import annual_total
from emulator.data.windows import Cube
from emulator.learning.batch import Batch
from emulator.learning.losses import AnnualLoss, cell_loss, cell_weights
from emulator.learning.normalise import Normaliser, fit_normaliser
from emulator.models import RecurrentSettings
from tests.learning.cubes import chosen_years, small_cube


def fitted(cube: Cube, mode: str = "climatology") -> tuple[Normaliser, np.ndarray]:
    chosen = chosen_years(cube, 2000, 2003)
    model = RecurrentSettings(memory=0, label_climatology=mode, scale_floor=0.0)
    return fit_normaliser(cube, chosen, model), chosen


def batch_of(target: torch.Tensor, weight: torch.Tensor, first: int = 24) -> Batch:
    samples, months = target.shape[:2]
    return Batch(
        forcing=torch.zeros(samples, months, 1, target.shape[-1]),
        static=torch.zeros(samples, 1, target.shape[-1]),
        teacher=torch.zeros(samples, dtype=torch.int64),
        target=target,
        weight=weight,
        month=torch.arange(first, first + months).expand(samples, -1),
    )


def test_missing_labels_do_not_change_the_loss() -> None:
    target = torch.tensor([[[[1.0, 5.0]]]])
    weight = torch.tensor([[[[2.0, 0.0]]]])
    answer = torch.tensor([[[[3.0, -100.0]]]], requires_grad=True)
    loss = cell_loss(answer, batch_of(target, weight))
    assert float(loss.detach()) == 4.0
    loss.backward()
    assert answer.grad is not None
    assert answer.grad[0, 0, 0, 1] == 0


def test_loss_of_a_batch_without_labels_is_zero() -> None:
    zeros = torch.zeros(1, 1, 1, 2)
    assert float(cell_loss(zeros + 1, batch_of(zeros, zeros))) == 0.0


@pytest.mark.parametrize("mode", ["climatology", "none"])
def test_weight_is_area_times_a_power_of_the_spread(mode: str) -> None:
    # The same physical error must cost the same however fluxes are standardised.
    normaliser, _ = fitted(small_cube(), mode)
    spread = normaliser.spread[0, 0]
    area = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    for power in (0.0, 1.0, 2.0):
        weight = cell_weights(area, normaliser, power)[0, 0]
        assert float(weight.mean()) == pytest.approx(1, rel=1e-5)
        physical = weight / normaliser.scale[0, 0].square()
        expected = area.float() * spread.pow(power - 2)
        torch.testing.assert_close(physical / physical[0], expected / expected[0])


def test_cells_without_the_flux_have_no_weight() -> None:
    cube = small_cube()
    labels = cube.labels.clone()
    labels[..., 1] = torch.nan
    normaliser, _ = fitted(replace(cube, labels=labels))
    weight = cell_weights(cube.area, normaliser, 1.0)[0, 0]
    assert weight[1] == 0
    assert float(weight.sum()) == pytest.approx(2, rel=1e-5)


def test_components_weigh_what_they_are_told_to() -> None:
    cube = small_cube()
    both = replace(cube, labels=cube.labels.repeat(1, 1, 1, 2, 1), fluxes=("a", "b"))
    normaliser, _ = fitted(both)
    weight = cell_weights(cube.area, normaliser, 1.0, component_weight=0.3)
    torch.testing.assert_close(weight[:, 1], 0.3 * weight[:, 0])
    assert float(weight[0, 0].mean()) == pytest.approx(1, rel=1e-5)


def test_annual_totals_are_those_of_the_budget() -> None:
    cube = small_cube()
    normaliser, chosen = fitted(cube)
    loss = AnnualLoss(cube, normaliser, chosen)
    flux = cube.labels[1:, 0, 24:48].double()
    totals = loss.annual_totals(flux, torch.arange(24, 48)[None])
    assert totals.shape == (1, 2, 4, 1)
    rate = (flux[0, :, 0] * cube.area).sum(dim=-1).numpy()
    years, expected = annual_total(rate, cube.months[24:48])
    assert years.tolist() == [2002, 2003]
    np.testing.assert_allclose(totals[0, :, 0, 0], expected, rtol=1e-12)
    # All three cells lie between 45 S and 45 N; the bands share them out.
    torch.testing.assert_close(totals[:, :, 1:].sum(dim=2), totals[:, :, 0])


def test_annual_loss_is_an_error_in_units_of_the_variance() -> None:
    cube = small_cube()
    normaliser, chosen = fitted(cube)
    loss = AnnualLoss(cube, normaliser, chosen)
    # An error of 1 everywhere, in units of each cell's scale.
    target = torch.zeros(1, 12, 1, 3)
    globe, bands = loss(target + 1, batch_of(target, target + 1))
    wrong = normaliser.scale[0].double().expand(1, 12, -1, -1)
    total = loss.annual_totals(wrong, torch.arange(24, 36)[None])[0, 0, :, 0]
    expected = (total / loss.spread[0, 0]).square()
    assert float(globe) == pytest.approx(float(expected[0]), rel=1e-5)
    assert float(bands) == pytest.approx(float(expected[1:].mean()), rel=1e-5)


def test_annual_unit_is_the_deviation_of_training_totals() -> None:
    cube = small_cube()
    normaliser, chosen = fitted(cube)
    loss = AnnualLoss(cube, normaliser, chosen)
    left = cube.labels[:, 0, :48] - normaliser.reference[0].repeat(4, 1, 1)
    places = torch.arange(48).expand(2, -1)
    totals = loss.annual_totals(left.double(), places)[:, :, 0, 0]
    expected = (totals - totals.mean(dim=1, keepdim=True)).square().mean().sqrt()
    torch.testing.assert_close(loss.spread[0, 0, 0], expected)


def test_years_that_are_not_whole_do_not_count() -> None:
    cube = small_cube()
    normaliser, chosen = fitted(cube)
    loss = AnnualLoss(cube, normaliser, chosen)
    target = torch.zeros(1, 24, 1, 3)
    weight = torch.ones_like(target)
    weight[:, 20] = 0
    answer = torch.zeros_like(target)
    answer[:, 12:] = 7.0
    globe, bands = loss(answer, batch_of(target, weight))
    assert float(globe) == float(bands) == 0.0
