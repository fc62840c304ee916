"""The rule of completion, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.timeaxis import month_range
from emulator.evaluation import backcast_rule as rule


def test_a_normal_is_season_and_line() -> None:
    # Season 1..12 about its level, which rises by 2 a year: found exactly.
    months = month_range("2000-01", "2004-12")
    season = np.tile(np.arange(1.0, 13.0), 5)
    level = 2.0 * np.repeat(np.arange(5.0), 12)
    normal = rule.fit_normal(np.stack([season + level, season]), months, 30)
    np.testing.assert_allclose(normal.slope, [2.0, 0.0], atol=1e-12)
    assert normal.middle == 2002.0
    later = month_range("2006-01", "2006-12")
    # Six years after 2000: level 12.
    np.testing.assert_allclose(normal.at(later)[0], np.arange(1.0, 13.0) + 12.0)
    # Without the line, the mean level 4 stays.
    plain = rule.fit_normal(season + level, months, 30, has_line=False)
    np.testing.assert_allclose(plain.at(later), np.arange(1.0, 13.0) + 4.0)


def test_a_normal_is_of_the_last_years() -> None:
    months = month_range("2000-01", "2004-12")
    rates = np.repeat([100.0, 100.0, 1.0, 2.0, 3.0], 12)
    normal = rule.fit_normal(rates, months, 3)
    np.testing.assert_allclose(normal.at(months[-12:]), 3.0)
    np.testing.assert_allclose(rule.fit_normal(rates, months, 1).at(months[-1:]), 3.0)


@pytest.mark.parametrize(
    ("first", "last"), [("2000-01", "2000-11"), ("2000-02", "2001-01")]
)
def test_a_normal_needs_whole_years(first: str, last: str) -> None:
    months = month_range(first, last)
    with pytest.raises(ValueError, match="A normal needs whole years"):
        rule.fit_normal(np.zeros(months.size), months, 30)


def test_fading_of_a_known_process_is_found() -> None:
    # x(t + 1) = 0.8 x(t) without noise: window 1 and damping 0.8, whatever the leads.
    anomalies = 0.8 ** np.arange(100.0)
    for leads in (np.array([1]), np.arange(1, 7), np.array([5, 6])):
        found = rule.fit_fading(anomalies, leads)
        assert (int(found.window), float(found.damping)) == (1, 0.8)
    ahead = found.ahead(anomalies, np.array([1, 2]))
    np.testing.assert_allclose(ahead, anomalies[-1] * np.array([0.8, 0.64]))


def test_a_constant_anomaly_stays_as_far_as_it_can() -> None:
    found = rule.fit_fading(np.ones((2, 60)), np.arange(1, 13))
    np.testing.assert_array_equal(found.damping, 0.99)


def test_white_noise_and_alternation_do_not_persist() -> None:
    alternating = np.tile([1.0, -1.0], 40)
    assert rule.fit_fading(alternating, np.array([1])).damping == 0.0
    # Too few months to tell: 12 + 12 leave none.
    found = rule.fit_fading(np.ones(30), np.arange(1, 13))
    assert found.damping == 0.0
    np.testing.assert_array_equal(found.ahead(np.ones(30), np.array([1])), [0.0])


def test_known_months_are_kept_and_the_rest_completed() -> None:
    labelled = month_range("2000-01", "2009-12")
    labels = np.zeros(120)
    labels[:] = 0.8 ** (np.arange(120) % 60)  # two pulses that fade
    normal = rule.Normal(np.zeros(12), np.zeros(()), 2005.0)
    months = month_range("2009-06", "2010-06")
    known = np.full(13, 2.0)
    known[-1] = 5.0
    wanted = month_range("2010-05", "2010-08")
    found = rule.complete(known, months, wanted, normal, labels, labelled)
    fading = rule.fit_fading(labels, np.array([1, 2]))
    np.testing.assert_array_equal(found[:2], [2.0, 5.0])
    np.testing.assert_allclose(found[2:], fading.ahead(known, np.array([1, 2])))
    assert fading.window == 1
    np.testing.assert_allclose(found[2] / 5.0, fading.damping)


def test_completion_refuses_what_it_cannot_know() -> None:
    normal = rule.Normal(np.zeros(12), np.zeros(()), 2005.0)
    months = month_range("2009-06", "2010-06")
    labels = np.zeros(60)
    labelled = month_range("2004-01", "2008-12")
    early, few = month_range("2009-05", "2009-05"), months[-3:]
    with pytest.raises(ValueError, match="2009-05 to 2009-05 cannot be completed"):
        rule.complete(np.zeros(13), months, early, normal, labels, labelled)
    with pytest.raises(ValueError, match="give the 12 months before"):
        rule.complete(np.zeros(3), few, few, normal, labels, labelled)


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_completion_is_linear_in_what_is_known(known: int, seed: int) -> None:
    # Twice all anomalies is twice the completion: no step depends on the unit.
    generator = np.random.default_rng(seed)
    labelled = month_range("2000-01", "2009-12")
    labels = generator.normal(size=(3, 120))
    answered = generator.normal(size=(3, 24 + known))
    months = np.arange(np.datetime64("2008-01"), np.datetime64("2010-01") + known)
    wanted = month_range("2010-01", "2010-12")
    totals = []
    for scale in (1.0, 2.0):
        normal = rule.fit_normal(scale * labels, labelled, 30)
        rates = rule.complete(
            scale * answered, months, wanted, normal, scale * labels, labelled
        )
        totals.append(rule.total(rates, wanted))
    np.testing.assert_allclose(totals[1], 2 * totals[0])


def test_a_total_weighs_months_by_their_length() -> None:
    # 1e12 kg/s x 59 days of January and February 2001 = 5.0976e18 kg = 5097600 PgC.
    months = month_range("2001-01", "2001-02")
    found = rule.total(np.full((2, 2), 1e12), months)
    np.testing.assert_allclose(found, 59 * 86400 * 1e12 / 1e12)
