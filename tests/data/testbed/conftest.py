"""A small simulated Earth, shared by the tests of the testbed."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from emulator.carbon import timeaxis
from emulator.carbon.grid import Grid
from emulator.data import testbed
from emulator.data.testbed import geography, land_runs, ocean_runs, weather
from emulator.data.testbed.geography import Geography
from emulator.data.testbed.scenario import Spans
from emulator.data.testbed.weather import Weather


@dataclass(frozen=True)
class Small:
    """A 15-degree Earth with ten years of output."""

    earth: Geography
    seen: Weather
    spans: Spans


@pytest.fixture(scope="session")
def small() -> Small:
    """Return geography and weather of 1990 to 2000 on 12 x 24 cells."""
    earth = geography.build(Grid.regular(15.0))
    months = timeaxis.month_range("1990-01", "2000-12")
    return Small(earth, weather.simulate(earth, months, 0), Spans(1990, 1999))


@pytest.fixture(scope="session")
def files_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data folder with a testbed of 30 degrees, 1861 to 1864.

    So early, there is little history to simulate; and the files do not need a
    spin-up that ends in balance.
    """
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(land_runs, "_JUMPING_YEARS", 16)
        patch.setattr(land_runs, "_SETTLING_YEARS", 4)
        patch.setattr(ocean_runs, "_SPIN_UP_YEARS", 20)
        testbed.generate(root, grid_step=30.0, first=1861, last=1864, seed=1)
    return root
