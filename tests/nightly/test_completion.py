"""What the missing days of a month may change, in totals and intervals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.timeaxis import seconds_per_month
from emulator.carbon.units import SECONDS_PER_YEAR
from emulator.learning.fit import train
from emulator.learning.inference import Emulator, open_run
from emulator.nightly import completion
from emulator.nightly.sinkmap import assemble
from tests.learning.runs import tiny_settings
from tests.worlds import tiny_forcing

from .synthetic import prediction, with_intervals

MONTH = np.datetime64("2009-11", "M")


@pytest.fixture(scope="module")
def run(land_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    settings = tiny_settings(members=2, steps=2, validate_every=2)
    folder = tmp_path_factory.mktemp("runs") / "run"
    return open_run(train(settings, land_store, folder))


def warmer(by: float) -> xr.Dataset:
    forcing = tiny_forcing("land").copy(deep=True)
    forcing["tas"].loc[{"time": "2009-11"}] += np.float32(by)
    return forcing


def test_spread_is_that_of_the_totals(run: Emulator) -> None:
    forcings = [warmer(by) for by in (-1.0, 0.0, 2.0)]
    found = completion.spread(run, forcings, MONTH)
    assert found["time"].dt.strftime("%Y-%m").to_numpy().tolist() == [
        "2009-11",
        "2009-12",
    ]
    one = replace(run, members=run.members[:1])
    totals = []
    for forcing in forcings:
        mean = one.predict(forcing)["nbp"].mean("teacher").sel(time="2009-12")
        cells = mean.to_numpy().ravel()[run.cells.numpy()]
        rate = np.nansum(cells * run.area.numpy())
        totals.append(rate * SECONDS_PER_YEAR / 1e12)
    december = found.sel(region="globe").to_numpy()[1]
    assert december == pytest.approx(np.std(totals, ddof=1), rel=1e-3)
    assert december > 0


def test_the_same_completions_change_nothing(run: Emulator) -> None:
    found = completion.spread(run, [warmer(0.0)] * 3, MONTH)
    assert (found < 1e-12).all()


def partial(std: float) -> xr.Dataset:
    """Return a land whose December 2001 is not over, with intervals."""
    given = with_intervals(prediction("land"), reach=24, half=0.1)
    regions = ["globe", "north", "tropics", "south"]
    values = np.zeros((4, 24))
    values[:, -1] = std
    return given.assign({completion.STD: (("region", "time"), values)}).assign_coords(
        region=np.array(regions, dtype=object)
    )


def test_totals_and_intervals_count_it() -> None:
    with_it, without = assemble(partial(0.5), None), assemble(partial(0.0), None)
    place = {"flux": "nbp", "region": "globe"}
    std = with_it["budget_month_completion_std"].sel(place)
    assert std.to_numpy()[-2:].tolist() == [0.0, 0.5]
    # A December is 31 days of the 365.2425 that a rate counts.
    days = seconds_per_month(np.array(["2001-12"], "M8[M]"))[0] / SECONDS_PER_YEAR
    annual = with_it["budget_year_completion_std"].sel(place)
    np.testing.assert_allclose(annual.to_numpy(), [0.0, 0.5 * days])

    def half(sink: xr.Dataset, name: str) -> float:
        ends = sink[f"budget_month_interval_{name}"].sel(place).isel(time=-1)
        return float(ends[1] - ends[0]) / 2

    assert half(with_it, "emulation") == pytest.approx(half(without, "emulation"))
    # 90 % of a normal distribution lie within 1.645 standard deviations.
    expected = np.hypot(half(without, "sink"), 1.6448536 * 0.5)
    assert half(with_it, "sink") == pytest.approx(expected, rel=1e-6)


def test_months_of_a_year_that_are_not_over_err_together() -> None:
    given = partial(0.3)
    given[completion.STD][:, -2] = 0.5
    found = assemble(given, None)["budget_year_completion_std"]
    value = found.sel(flux="nbp", region="globe", year=2001)
    # 30 and 31 days of the 365.2425 that a rate counts, as in the twelve months that
    # end with December: what the one changes, the other remembers.
    expected = (0.5 * 30 + 0.3 * 31) / 365.2425
    np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_nothing_is_counted_where_nothing_is_stated() -> None:
    sink = assemble(prediction("land"), prediction("ocean"))
    assert (sink["budget_month_completion_std"] == 0).all()
    assert (sink["budget_year_completion_std"] == 0).all()
