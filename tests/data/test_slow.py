"""Means over the years before, along the weather that a simulation saw."""

import numpy as np
import pytest
import torch

from emulator.carbon.timeaxis import month_range
from emulator.data.slow import slow_means, with_years_before

MONTHS = month_range("2000-01", "2003-12")


def yearly(values: list[float]) -> torch.Tensor:
    """Return one forcing in one cell that is constant within each year."""
    return torch.tensor(values).repeat_interleave(12)[:, None, None]


def test_means_are_those_of_the_years_before() -> None:
    weather = torch.arange(48)[None]
    means = slow_means(yearly([1.0, 2.0, 6.0, 9.0]), weather, MONTHS, [1, 2])
    assert means.shape == (1, 4, 2, 1)
    nan = np.nan
    np.testing.assert_allclose(means[0, :, 0, 0], [nan, 1.0, 2.0, 6.0])
    np.testing.assert_allclose(means[0, :, 1, 0], [nan, nan, 1.5, 4.0])


def test_means_follow_the_weather_that_was_seen() -> None:
    repeated = torch.arange(12).repeat(4)[None]
    means = slow_means(yearly([1.0, 2.0, 6.0, 9.0]), repeated, MONTHS, [2])
    np.testing.assert_allclose(means[0, 2:, 0, 0], [1.0, 1.0])


def test_a_month_that_nobody_knows_makes_its_year_unknown() -> None:
    weather = torch.arange(48)[None].clone()
    weather[0, 14] = -1
    means = slow_means(yearly([1.0, 2.0, 6.0, 9.0]), weather, MONTHS, [1])
    np.testing.assert_allclose(means[0, :, 0, 0], [np.nan, 1.0, np.nan, 6.0])


def test_no_span_makes_no_channel() -> None:
    means = slow_means(yearly([1.0] * 4), torch.arange(48)[None], MONTHS, [])
    assert means.shape == (1, 4, 0, 1)


@pytest.mark.parametrize(
    ("unknown", "years", "first"),
    [(None, 0, 0), (None, 2, 24), (14, 1, 36), (0, 1, 24)],
)
def test_months_count_once_all_years_before_are_known(
    unknown: int | None, years: int, first: int
) -> None:
    known = np.ones(48, bool)
    if unknown is not None:
        known[unknown] = False
    found = with_years_before(known, MONTHS, years)
    assert found[first:].all()
    assert not found[first - 1 : first].any()


def test_an_axis_that_begins_within_a_year_lacks_that_year() -> None:
    months = month_range("2000-03", "2003-12")
    found = with_years_before(np.ones(months.size, bool), months, 1)
    assert str(months[found][0]) == "2002-01"
    means = slow_means(
        torch.ones(months.size, 1, 1), torch.arange(months.size)[None], months, [1]
    )
    assert means[0, :, 0, 0].isnan().tolist() == [True, True, False, False]
