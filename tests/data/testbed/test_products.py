import numpy as np
import pytest

from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import month_range
from emulator.data.testbed import geography, products, weather
from emulator.data.testbed.weather import Weather


@pytest.fixture(scope="module")
def both() -> tuple[Weather, Weather]:
    """Return 30 years of weather, and the same by the other product."""
    earth = geography.build(Grid.regular(15.0))
    months = month_range("1950-01", "1979-12")
    seen = weather.simulate(earth, months, seed=0)
    return seen, products.another(earth, seen, seed=0)


@pytest.mark.parametrize(
    ("domain", "name", "size"),
    [
        ("land", "tas", 0.5),
        ("ocean", "sos", 0.15),
        ("land", "pr", 0.25),
        ("land", "rsds", 0.06),
        ("ocean", "sfcWind", 0.06),
        ("ocean", "mlotst", 0.2),
    ],
)
def test_errors_have_the_size_that_is_said(
    both: tuple[Weather, Weather], domain: str, name: str, size: float
) -> None:
    one, other = (getattr(each, domain)[name].astype(float) for each in both)
    lit = one.min(axis=0) > 0
    one, other = one[:, lit], other[:, lit]
    # Temperature and salt err by so much, the others by a share of themselves.
    error = other - one if name in ("tas", "sos") else np.log(other / one)
    assert error.std() == pytest.approx(size, rel=0.1)


def test_errors_last_for_months_and_are_no_bias(both: tuple[Weather, Weather]) -> None:
    error = both[1].land["tas"].astype(float) - both[0].land["tas"]
    lagged = np.mean(error[1:] * error[:-1]) / np.mean(error**2)
    # Many cells, 360 months: the mean of such noise errs by a few hundredths.
    assert lagged == pytest.approx(products.PERSISTENCE, abs=0.05)
    assert abs(error.mean()) < 0.1


def test_what_cannot_be_is_not_told(both: tuple[Weather, Weather]) -> None:
    other = both[1]
    assert all(np.isfinite(field).all() for field in other.land.values())
    assert all(np.isfinite(field).all() for field in other.ocean.values())
    assert other.land["pr"].min() >= 0
    assert other.land["rsds"].min() >= 0
    assert 0 <= other.ocean["siconc"].min() <= other.ocean["siconc"].max() <= 1
    assert other.ocean["tos"].min() >= products.FREEZING - 1e-6
    # Dark months of the polar night stay dark.
    dark = both[0].land["rsds"] == 0
    assert (other.land["rsds"][dark] == 0).all()


def test_the_same_seed_gives_the_same_errors(both: tuple[Weather, Weather]) -> None:
    earth = geography.build(Grid.regular(15.0))
    again = products.another(earth, both[0], seed=0)
    assert (again.land["tas"] == both[1].land["tas"]).all()
    unlike = products.another(earth, both[0], seed=1)
    assert (unlike.land["tas"] != both[1].land["tas"]).any()
    # What the teachers saw stays what it was.
    assert both[0].months is both[1].months
