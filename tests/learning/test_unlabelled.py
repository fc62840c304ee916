"""Forcing without labels: what may be seen, and what would give the test away."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import years_of
from emulator.data.windows import Cube
from emulator.learning.blocks import Block
from emulator.learning.settings import SplitSettings, TrainSettings
from emulator.learning.unlabelled import (
    OpenForcing,
    open_forcing,
    open_windows,
    without,
)
from tests.learning.cubes import chosen_years, small_cube
from tests.learning.runs import small_gru, tiny_settings

# Of the years 2000 to 2005 learn from the first four, test on the fifth.
SPLIT = SplitSettings([2000, 2003], [2003, 2003], [2004, 2004])
CONTROL, RUN = 0, 1


def told(split: SplitSettings = SPLIT, **learning: Any) -> TrainSettings:
    return tiny_settings(split=split, **learning)


def opened(
    settings: TrainSettings, cube: Cube | None = None, until: int | None = None
) -> OpenForcing:
    cube = cube or small_cube()
    return open_forcing(settings, cube, chosen_years(cube, 2001, 2003), until)


def open_years(mask: np.ndarray, cube: Cube | None = None) -> list[int]:
    """Return the years of which all months are open; others must be closed whole."""
    year = years_of((cube or small_cube()).months)
    for one in np.unique(year):
        assert mask[year == one].all() or not mask[year == one].any()
    return np.unique(year[mask]).tolist()


def test_test_years_and_what_comes_after_are_closed() -> None:
    found = opened(told())
    for row in (CONTROL, RUN):
        assert open_years(found.seen[row]) == [2000, 2001, 2002, 2003]
    assert not found.is_transductive


def test_years_before_the_test_that_have_no_labels_are_open() -> None:
    found = opened(told(SplitSettings([2000, 2001], [2002, 2002], [2005, 2005])))
    assert open_years(found.answered[RUN]) == [2000, 2001, 2002, 2003, 2004]


def test_later_years_are_open_on_request_but_not_those_of_the_test() -> None:
    found = opened(told(unlabelled_years=[2001, 2005]))
    # The first year is still there to be remembered, but is not answered.
    assert open_years(found.seen[RUN]) == [2000, 2001, 2002, 2003, 2005]
    assert open_years(found.answered[RUN]) == [2001, 2002, 2003, 2005]
    assert not found.is_transductive


def test_withheld_years_are_closed() -> None:
    found = opened(told(replace(SPLIT, withheld=[2002])))
    assert open_years(found.seen[CONTROL]) == [2000, 2001, 2003]


def test_weather_of_the_test_is_closed_under_any_name() -> None:
    cube = small_cube()
    sequence = cube.weather.clone()
    sequence[CONTROL, :12] = torch.arange(48, 60)  # the control's 2000 saw that of 2004
    # Without memory: what training months remember is known anyway.
    settings = tiny_settings(small_gru(memory=0), split=SPLIT)
    found = opened(settings, replace(cube, weather=sequence))
    assert open_years(found.seen[CONTROL]) == [2001, 2002, 2003]
    assert open_years(found.seen[RUN]) == [2000, 2001, 2002, 2003]


def test_slow_means_that_hold_the_test_are_closed() -> None:
    cube = replace(small_cube(), slow_years=(1,))
    found = opened(told(unlabelled_years=[2001, 2005]), cube)
    # 2000 has no year before, that of 2005 is the test year.
    assert open_years(found.seen[RUN], cube) == [2001, 2002, 2003]


def test_an_origin_closes_what_was_not_known_then() -> None:
    found = opened(told(), until=2002)
    assert open_years(found.seen[RUN]) == [2000, 2001, 2002]


def test_transductive_use_is_said() -> None:
    found = opened(told(transductive=True))
    assert open_years(found.seen[RUN]) == list(range(2000, 2006))
    assert found.is_transductive
    # Allowed, but not done.
    early = opened(told(transductive=True, unlabelled_years=[2000, 2003]))
    assert not early.is_transductive


def test_windows_are_of_teachers_with_labels() -> None:
    cube = small_cube()
    labels = cube.labels.clone()
    labels[CONTROL] = torch.nan
    plan = [Block(first, np.arange(first, first + 12)) for first in (12, 24)]
    found = open_windows(replace(cube, labels=labels), [plan, plan])
    assert found.tolist() == [[RUN, 0, 12], [RUN, 0, 24]]


def test_no_window_is_an_error() -> None:
    with pytest.raises(SettingsError, match="no month to learn from without labels"):
        open_windows(small_cube(), [[], []])


def test_windows_with_labels_are_left_out() -> None:
    windows = np.array([[0, 0, 3], [0, 1, 3], [1, 0, 3]])
    assert without(windows, windows[1:2]).tolist() == [[0, 0, 3], [1, 0, 3]]
    assert without(windows, windows).shape == (0, 3)
