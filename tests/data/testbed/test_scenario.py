"""Tests of the years and the CO2 of the simulations."""

import numpy as np
import pytest

from emulator.data.testbed import scenario


def test_co2_passes_through_the_observed_values() -> None:
    # Annual means of Mauna Loa and ice cores: 312, 338.8, 369.7 and 424.6 ppm.
    found = scenario.co2(np.array([1950, 1980, 2000, 2024]))
    np.testing.assert_allclose(found, [312.0, 338.8, 369.7, 424.6], atol=2.5)
    assert scenario.co2(np.array([1700])) == pytest.approx(280.0, abs=0.3)


def test_controls_repeat_the_first_twenty_years() -> None:
    spans = scenario.Spans(1950, 2024)
    seen = spans.recycled_year(np.array([1949, 1950, 1969, 1970, 2024]))
    assert seen.tolist() == [1969, 1950, 1969, 1950, 1964]
    assert scenario.Spans(2000, 2004).cycle.tolist() == [2000, 2001, 2002, 2003, 2004]


def test_spans_without_history_start_from_the_spin_up() -> None:
    assert scenario.Spans(1850, 1860).history.size == 0
