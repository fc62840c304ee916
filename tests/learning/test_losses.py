"""The loss: weights and annual totals, by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emulator.carbon.budget import annual_total
from emulator.data.windows import Cube
from emulator.learning.batch import Batch
from emulator.learning.losses import (
    AnnualLoss,
    cell_loss,
    cell_weights,
    contrast_loss,
    gradient_balance,
    season_loss,
    years_loss,
)
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


def test_season_is_the_mean_over_years_without_the_annual_mean() -> None:
    # Errors of two years: 3 and 1 in January, 0 elsewhere, and 5 in each month of the
    # second year. Means of the months: 4.5 in January, 2.5 elsewhere; less their mean
    # 2 2/3 that is 11/6 once and -1/6 eleven times, squared (121 + 11) / 36 / 12.
    answer = torch.zeros(1, 24, 1, 2)
    answer[:, 0, :, 0], answer[:, 12, :, 0] = 3.0, 1.0
    answer[:, 12:, :, 0] += 5.0
    target, weight = torch.zeros_like(answer), torch.ones_like(answer)
    loss = season_loss(answer, batch_of(target, weight))
    assert float(loss) == pytest.approx((121 + 11) / 36 / 12 / 2)
    # Weight is that of the cell: 3 of 4.
    weight[..., 0] = 3.0
    loss = season_loss(answer, batch_of(target, weight))
    assert float(loss) == pytest.approx((121 + 11) / 36 / 12 * 3 / 4)


def test_season_needs_each_month_once() -> None:
    answer = torch.zeros(1, 24, 1, 1)
    answer[:, 5] = 12.0
    target, weight = torch.zeros_like(answer), torch.ones_like(answer)
    weight[:, 17] = 0  # June is known in the first year only: its error is 12, not 6
    loss = season_loss(answer, batch_of(target, weight))
    assert float(loss) == pytest.approx((11**2 + 11) / 12)
    weight[:, 5] = 0
    assert float(season_loss(answer, batch_of(target, weight))) == 0.0


def test_a_constant_error_is_no_error_of_the_season() -> None:
    answer = torch.full((2, 12, 1, 3), 7.0)
    target = torch.zeros_like(answer)
    loss = season_loss(answer, batch_of(target, torch.ones_like(target)))
    assert float(loss) == pytest.approx(0, abs=1e-10)


def test_balance_is_length_and_angle_of_gradients() -> None:
    # Gradients at (1, 2): of the cells (3, 4), of the season (8, 0), of the globe none.
    weight = torch.tensor([1.0, 2.0], requires_grad=True)
    frozen = torch.tensor([1.0])
    terms = {
        "cells": 3 * weight[0] + 2 * weight[1] * frozen[0] + weight[1].square() / 2,
        "season": 4 * weight[0].square(),
        "globe": 0 * weight.sum(),
    }
    found = gradient_balance(terms, [weight, frozen])
    assert found["gradient_cells"] == pytest.approx(5)
    assert found["gradient_season"] == pytest.approx(8)
    assert found["cosine_season"] == pytest.approx(0.6)
    assert found["gradient_globe"] == 0
    assert np.isnan(found["cosine_globe"])
    assert weight.grad is None


def test_contrast_sees_differences_of_two_simulations_only() -> None:
    # Two groups of three simulations: errors that all share are none, nor are those of
    # the third; 0.5 between the first two in one group of two is (12 * 0.25 + 0) / 2.
    target = torch.zeros(6, 12, 1, 2)
    batch = batch_of(target, torch.ones_like(target))
    answer = target + 7.0
    answer[[2, 5]] += 100.0
    assert float(contrast_loss(answer, batch, (1, 0), 3)) == 0.0
    answer[1] += 0.5
    assert float(contrast_loss(answer, batch, (1, 0), 3)) == pytest.approx(1.5)
    # What is right in the difference is right, whatever the level.
    batch.target[1] += 0.5
    assert float(contrast_loss(answer, batch, (1, 0), 3)) == 0.0


def test_years_weigh_what_is_slow_twelve_times() -> None:
    target = torch.zeros(1, 24, 1, 2)
    weight = torch.ones_like(target)
    alternating = target.clone()
    alternating[:, ::2], alternating[:, 1::2] = 1.0, -1.0
    batch = batch_of(target, weight)
    # Errors that cancel within the year are none; a steady one counts each month.
    assert float(years_loss(alternating, batch)) == 0.0
    assert float(years_loss(target + 0.5, batch)) == pytest.approx(12 * 0.25)
    # A year in which one month of a cell has no label says nothing of that cell.
    weight[0, 3, 0, 0] = 0.0
    wrong = target.clone()
    wrong[0, :12, 0, 0] = 100.0
    assert float(years_loss(wrong, batch_of(target, weight))) == 0.0


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


def test_annual_unit_knows_no_years_without_labels() -> None:
    # TWO has labels in RUN alone, and of its four years in the last two. What it has is
    # what ONE has, so its unit is that of these two years: half their difference.
    cube = small_cube()
    normaliser, chosen = fitted(cube)
    both = replace(
        cube, teachers=("ONE", "TWO"), labels=cube.labels.repeat(1, 2, 1, 1, 1)
    )
    both.labels[0, 1], both.labels[1, 1, :24] = torch.nan, torch.nan
    twice = {
        name: getattr(normaliser, name).repeat(2, *[1] * (number - 1))
        for name, number in (("reference", 4), ("slope", 4), ("scale", 3))
    }
    loss = AnnualLoss(both, replace(normaliser, **twice), chosen)
    left = cube.labels[1, 0, 24:48] - normaliser.reference[0].repeat(2, 1, 1)
    totals = loss.annual_totals(left.double()[None], torch.arange(24, 48)[None])[0]
    expected = (totals[1] - totals[0]).abs().T / 2
    torch.testing.assert_close(loss.spread[1, :, 0], expected[:, 0])
    assert loss.spread[0].equal(AnnualLoss(cube, normaliser, chosen).spread[0])
