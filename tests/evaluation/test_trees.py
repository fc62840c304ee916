from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.timeaxis import YearSplit
from emulator.data.windows import load_cube
from emulator.evaluation import intervals, trees
from emulator.evaluation import task as tasks
from emulator.evaluation.task import Task

SPLIT = YearSplit(
    train=(1992, 2000), validation=(2002, 2003), test=(2005, 2007), gap_months=12
)
WORK = trees.Work(rows=4000, trees=60, threads=1, seed=0)
NOISE = 2e-9


@pytest.fixture(scope="module")
def noisy(land_store: Path) -> Task:
    """Return a task whose labels are normal noise, four times as much in some cells."""
    cube = load_cube(land_store, fluxes=["nbp"], forcing=["tas"], static=["elevation"])
    task = tasks.from_cube(cube, "nbp", SPLIT, 12)
    labels = np.random.default_rng(0).normal(0, NOISE, task.labels.shape)
    labels[..., ::2] *= 4
    return replace(task, labels=labels.astype("f4") + 0 * task.labels)


def interval(task: Task, level: float) -> tuple[np.ndarray, np.ndarray]:
    flat = np.zeros_like(task.labels[:, 0])
    low, high = (
        trees.tune(task, 0, flat, WORK, probability=tail) for tail in trees.tails(level)
    )
    return trees.predict_interval(
        task, 0, flat, (low, high), task.wanted, WORK, level=level
    )


def test_tails_leave_as_much_on_either_side() -> None:
    assert trees.tails(0.9) == (pytest.approx(0.05), pytest.approx(0.95))


def test_quantiles_hold_their_share_and_follow_the_noise(noisy: Task) -> None:
    lower, upper = interval(noisy, 0.8)
    truth = noisy.anomalies[:, 0][:, noisy.wanted]
    known = np.isfinite(truth)
    held = ((lower <= truth) & (truth <= upper))[known].mean()
    assert held == pytest.approx(0.8, abs=0.06)
    # 80 % of a normal distribution lie within 1.282 sd.
    width = np.nanmean(upper - lower, axis=(0, 1))
    assert width[1::2].mean() == pytest.approx(2 * 1.282 * NOISE, rel=0.3)
    assert width[::2].mean() == pytest.approx(8 * 1.282 * NOISE, rel=0.3)
    score = intervals.interval_score(lower, upper, truth, 0.8)
    constant = np.full(truth.shape, 1.282 * np.nanstd(truth))
    assert np.nanmean(score) < np.nanmean(
        intervals.interval_score(-constant, constant, truth, 0.8)
    )


def test_wider_levels_hold_more(noisy: Task) -> None:
    narrow, wide = interval(noisy, 0.5), interval(noisy, 0.9)
    assert np.nanmean(wide[1] - wide[0]) > 1.8 * np.nanmean(narrow[1] - narrow[0])


def test_ends_that_cross_are_sorted(noisy: Task) -> None:
    flat = np.zeros_like(noisy.labels[:, 0])
    choice = trees.Choice(detrend=False, leaves=31, trees=1)
    # Nearly the same quantile twice, from one tree each.
    lower, upper = trees.predict_interval(
        noisy,
        0,
        flat,
        (choice, replace(choice, trees=40)),
        noisy.wanted,
        WORK,
        level=0.01,
    )
    apart = trees.predict(
        noisy, 0, flat, choice, noisy.wanted, WORK, probability=trees.tails(0.01)[0]
    )
    assert (lower <= upper)[np.isfinite(lower)].all()
    assert (lower < apart).any()


def test_trend_is_added_to_quantiles(noisy: Task) -> None:
    flat = np.zeros_like(noisy.labels[:, 0])
    rising = flat + 5e-9
    choice = trees.Choice(detrend=True, leaves=31, trees=1)
    found = [
        trees.predict(noisy, 0, trend, choice, noisy.wanted, WORK, probability=0.5)
        for trend in (flat, rising)
    ]
    # The median of what is left is lower by the trend that is added again.
    np.testing.assert_allclose(found[0], found[1], atol=2e-10)
