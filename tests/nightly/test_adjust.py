import json
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.adjustment import EDITION_REVISION
from emulator.carbon.errors import SettingsError
from emulator.data.readers import workbook
from emulator.data.readers.workbook import SinkSheet, Table, Workbook
from emulator.nightly import series
from emulator.nightly.adjust import adjusted
from emulator.nightly.budget_settings import AdjustmentSettings, BudgetSettings

from .totals import sink_map

DEFAULT = Path(__file__).resolve().parents[3] / "shared/data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)
WORLD = "TRENDY/GOBM"
YEARS = np.arange(1991, 2001)
NORMAL = 1.6448536


def book(land: dict[str, np.ndarray], ocean: dict[str, np.ndarray]) -> Workbook:
    """Return an edition with these models; headline 9 on land and 8 at sea."""
    sheets = [
        SinkSheet(
            models=Table(YEARS, models),
            products=Table(YEARS, {}),
            published=Table(YEARS, {"GCB": np.full(10, headline)}),
        )
        for models, headline in ((land, 9.0), (ocean, 8.0))
    ]
    return Workbook(2024, "1.0", Table(YEARS, {}), *sheets)


BOOK = book(
    {"A": np.full(10, 3.0), "B": np.full(10, 4.0), "X": np.full(10, 5.0)},
    {"C": np.full(10, 2.5)},
)


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    """Return a map of 1991 to 2000: land 1 and 5, ocean 2, a little variable."""
    wave = 0.1 * np.sin(np.arange(10))
    given = sink_map({"A": 1 + wave, "B": 5 + wave}, {"C": 2 + wave}, evidence=WORLD)
    return given.merge(series.running(given))


def asked(target: str, **more: object) -> BudgetSettings:
    details = {"window": 4, "windows": [4, 10, 20], **more}
    return BudgetSettings(
        adjustment=AdjustmentSettings(target=target, **details),  # type: ignore[arg-type]
        workbook="Global_Carbon_Budget_2024_v1.0.xlsx",
    )


def mean(values: xr.DataArray, flux: str, window: int, first: int) -> float:
    chosen = values.sel(flux=flux, region="globe", adjustment_window=window)
    return float(chosen.sel(year=slice(first, 2000)).mean())


def test_off_adds_nothing(world: xr.Dataset) -> None:
    found = adjusted(world, BudgetSettings())
    assert not found.data_vars
    assert json.loads(found.attrs["adjustment"]) == {"target": "off"}


def test_mean_of_the_window_meets_the_mean_of_the_models(world: xr.Dataset) -> None:
    found = adjusted(world, asked("models"), BOOK)
    year = found["budget_year_adjusted"]
    # Models of the book have the mean 4, and 2.5 at sea. An offset is a rate, of which
    # a year takes its days.
    for window, first in ((4, 1997), (10, 1991)):
        assert mean(year, "nbp", window, first) == pytest.approx(4.0, abs=2e-3)
        assert mean(year, "fgco2", window, first) == pytest.approx(2.5, abs=2e-3)
    # Twenty years are more than both have.
    assert year.sel(adjustment_window=20).isnull().all()
    offset = found["nbp_adjustment"].sel(adjustment_window=10, region="globe")
    assert offset.to_numpy() == pytest.approx([3.0, -1.0], abs=0.05)


def test_own_column_and_headline_are_other_targets(world: xr.Dataset) -> None:
    own = adjusted(world, asked("own"), BOOK)["budget_year_adjusted"]
    assert mean(own, "nbp", 10, 1991) == pytest.approx(3.5, abs=2e-3)
    headline = adjusted(world, asked("published"), BOOK)["budget_year_adjusted"]
    assert mean(headline, "nbp", 10, 1991) == pytest.approx(9.0, abs=5e-3)
    assert mean(headline, "fgco2", 10, 1991) == pytest.approx(8.0, abs=5e-3)


def test_few_members_stand_for_the_mean_of_all(world: xr.Dataset) -> None:
    # B alone, moved down by 2 to the mean of A and B.
    found = adjusted(world, asked("ensemble", land_members=["B"]))
    year = found["budget_year_adjusted"]
    for window, first in ((4, 1997), (10, 1991)):
        of_all = world["budget_year"].sel(flux="nbp", region="globe")
        expected = float(of_all.sel(year=slice(first, 2000)).mean())
        assert mean(year, "nbp", window, first) == pytest.approx(expected, abs=2e-3)
    offset = found["nbp_adjustment"].sel(region="globe", adjustment_window=4)
    np.testing.assert_allclose(offset, [np.nan, -2.0], atol=2e-3)
    about = json.loads(found.attrs["adjustment"])
    assert about["nbp"]["members"] == ["B"]
    assert about["nbp"]["mean of"] == ["A", "B"]
    assert about["nbp"]["windows"] == [[1997, 2000], [1991, 2000], None]


def test_whole_ensemble_keeps_its_mean_and_has_no_error(world: xr.Dataset) -> None:
    found = adjusted(world, asked("ensemble"))
    np.testing.assert_allclose(
        found["budget_month_adjusted"].sel(adjustment_window=4),
        world["budget_month"],
        atol=1e-6,
    )
    np.testing.assert_allclose(
        found["adjustment_error"].sel(adjustment_window=10), 0, atol=1e-6
    )


def test_offset_of_the_globe_is_spread_over_area(world: xr.Dataset) -> None:
    found = adjusted(world, asked("models"), BOOK)
    offset = found["nbp_adjustment"].sel(adjustment_window=10, land_teacher="A")
    parts = offset.sel(region=["north", "tropics", "south", "other"])
    assert float(parts.sum()) == pytest.approx(float(offset.sel(region="globe")))
    # Between 30 S and 30 N lies half of a sphere, a quarter on either side.
    shares = parts / offset.sel(region="globe")
    assert shares.to_numpy() == pytest.approx([0.25, 0.5, 0.25, 0.0], abs=1e-6)
    year = found["budget_year_adjusted"].sel(adjustment_window=10, flux="nbp")
    bands = year.sel(region=["north", "tropics", "south"]).sum("region")
    np.testing.assert_allclose(bands, year.sel(region="globe"), rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)))
def test_level_of_a_teacher_does_not_matter(
    world: xr.Dataset, shift: tuple[float, float]
) -> None:
    before = adjusted(world, asked("models"), BOOK)
    by_teacher = xr.DataArray(np.array(shift), dims="land_teacher")
    moved = world.assign(nbp_month=world["nbp_month"] + by_teacher)
    after = adjusted(moved, asked("models"), BOOK)
    np.testing.assert_allclose(
        after["budget_year_adjusted"].sel(flux="nbp", region="globe"),
        before["budget_year_adjusted"].sel(flux="nbp", region="globe"),
        atol=4e-3,  # a leap year takes a little more of an offset
    )
    np.testing.assert_allclose(
        after["adjustment_error"], before["adjustment_error"], atol=2e-3
    )


def test_error_is_revision_and_variability(world: xr.Dataset) -> None:
    found = adjusted(world, asked("models"), BOOK)["adjustment_error"]
    days = np.array([366 if year % 4 == 0 else 365 for year in YEARS])
    totals = (3 + 0.1 * np.sin(np.arange(10))) * days / 365.2425
    spread = np.std(totals, ddof=1)
    # Land of one edition differs from that of the next by 0.12 PgC yr-1.
    for window in (4, 10):
        expected = (0.12**2 + spread**2 / window) ** 0.5
        value = float(found.sel(flux="nbp", region="globe", adjustment_window=window))
        assert value == pytest.approx(expected, rel=1e-4)
    # The ocean, a lone teacher of 2 with the same wave, is revised by 0.06.
    assert 0.06 < float(found.sel(flux="fgco2", region="globe")[1]) < 0.07


def test_members_that_are_not_moved_bring_no_error() -> None:
    wave = 0.1 * np.sin(np.arange(10))
    given = sink_map(ocean={"C": 2 + wave, "P": 2 + wave}, evidence=WORLD)
    given = given.merge(series.running(given))
    settings_ = asked("models")
    settings_.products = ["P"]
    found = adjusted(given, settings_, BOOK)["adjustment_error"]
    # The mean of a model that is moved and a product that is not moves half as far as
    # the model, and so does its error: revision of 0.06, and the years' variability.
    days = np.array([366 if year % 4 == 0 else 365 for year in YEARS])
    spread = np.std((2 + wave) * days / 365.2425, ddof=1)
    expected = (0.06**2 + spread**2 / 4) ** 0.5 / 2
    value = found.sel(flux="fgco2", region="globe", adjustment_window=4)
    assert float(value) == pytest.approx(expected, rel=1e-4)


def test_interval_of_the_sink_is_wider_by_the_error(world: xr.Dataset) -> None:
    total = world["budget_year"]
    ends = series.interval(total, np.full(total.shape, 0.5), "sink")
    ends.attrs["nbp_level"] = 0.9
    given = world.assign(budget_year_interval_sink=ends)
    found = adjusted(given, asked("models"), BOOK)
    wide = found["budget_year_adjusted_interval_sink"]
    assert wide.dims == ("bound", "adjustment_window", "flux", "region", "year")
    chosen = {"flux": "nbp", "region": "globe", "adjustment_window": 4, "year": 1995}
    reach = wide.sel(chosen, drop=True) - found["budget_year_adjusted"].sel(chosen)
    error = float(found["adjustment_error"].sel(flux="nbp", region="globe")[0])
    expected = (0.25 + (NORMAL * error) ** 2) ** 0.5
    np.testing.assert_allclose(reach, [-expected, expected], rtol=1e-6)
    assert "budget_month_adjusted_interval_sink" not in found


def test_products_are_never_moved(world: xr.Dataset) -> None:
    settings_ = asked("models")
    settings_.products = ["C"]
    found = adjusted(world, settings_, BOOK)
    assert (found["fgco2_adjustment"].sel(adjustment_window=4) == 0).all()
    about = json.loads(found.attrs["adjustment"])["fgco2"]
    assert (about["members"], about["not moved"]) == (["C"], ["C"])


def test_years_that_teachers_have_not_simulated_set_no_level() -> None:
    # Teachers of the made-up catalog end with 2000 and 2001.
    steps = np.where(np.arange(1991, 2004) > 2000, 50.0, 1.0)
    given = sink_map({"A": steps, "B": steps + 2}, last="2003-12")
    given = given.merge(series.running(given))
    about = adjusted(given, asked("ensemble", windows=[4])).attrs["adjustment"]
    assert json.loads(about)["nbp"]["windows"] == [[1997, 2000]]
    about = adjusted(given, asked("ensemble", windows=[4], last=1999)).attrs
    assert json.loads(about["adjustment"])["nbp"]["windows"] == [[1996, 1999]]


def test_model_that_lacks_recent_years_does_not_count() -> None:
    steps = np.ones(10)
    given = sink_map({"A": steps}, evidence=WORLD)
    given = given.merge(series.running(given))
    late = np.where(YEARS == 2000, np.nan, 100.0)
    other = book({"A": np.full(10, 3.0), "X": late}, {})
    found = adjusted(given, asked("models"), other)
    about = json.loads(found.attrs["adjustment"])["nbp"]
    assert about["mean of"] == ["A"]
    assert (about["edition"], about["version"]) == (2024, "1.0")


@pytest.mark.parametrize("target", ["models", "own", "published"])
def test_simulated_weather_is_not_moved_to_the_world(target: str) -> None:
    given = sink_map({"A": np.ones(10)}, evidence="testbed")
    given = given.merge(series.running(given))
    found = adjusted(given, asked(target))
    assert not found.data_vars
    about = json.loads(found.attrs["adjustment"])
    assert "the weather is simulated" in about["not applicable"]


@pytest.mark.parametrize(
    ("target", "more", "message"),
    [
        ("models", {"land_members": ["Z"]}, r"land_members names Z, but the map has A"),
        ("models", {"window": 20}, r"window is 20 years up to 2000, but target 'mode"),
        ("models", {"last": 2005}, r"up to 2005, .* share 10 years, 1991 to 2000"),
        ("own", {}, r"workbook of 2024 has no column for B; it has A"),
    ],
)
def test_what_does_not_fit_is_refused(
    world: xr.Dataset, target: str, more: dict[str, object], message: str
) -> None:
    other = book({"A": np.ones(10)}, {"C": np.ones(10)})
    with pytest.raises(SettingsError, match=message):
        adjusted(world, asked(target, **more), other)


def test_no_year_in_common_is_said(world: xr.Dataset) -> None:
    unknown = world.assign(nbp_simulated=xr.full_like(world["nbp_simulated"], -1))
    with pytest.raises(
        SettingsError, match=r"up to an unknown year, .* share 0 years\."
    ):
        adjusted(unknown, asked("ensemble"))


def test_workbook_target_needs_its_workbook(world: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="target 'models' needs a workbook, got none"):
        adjusted(world, asked("models"))


@needs_shared
@pytest.mark.parametrize(("term", "flux"), [("s_land", "nbp"), ("s_ocean", "fgco2")])
def test_editions_differ_by_no_more_than_is_counted(term: str, flux: str) -> None:
    before, after = (
        workbook.read(SHARED / "tables" / f"Global_Carbon_Budget_{name}.xlsx")
        .budget.within(1990, 2022)
        .columns[term]
        for name in ("2023v1.1", "2024_v1.0")
    )
    apart = float(np.mean((before - after) ** 2)) ** 0.5
    assert EDITION_REVISION[flux] / 3 < apart <= EDITION_REVISION[flux]


@needs_shared
def test_own_column_moves_a_model_to_what_it_simulated() -> None:
    path = SHARED / "tables" / "Global_Carbon_Budget_2024_v1.0.xlsx"
    edition = workbook.read(path)
    own = edition.land.models.within(2014, 2023).columns["LPJwsl"]
    given = sink_map(
        {"LPJwsl": own + 1.0}, first="2014-01", last="2023-12", evidence=WORLD
    )
    given = given.merge(series.running(given))
    found = adjusted(given, asked("own", window=10, windows=[10]), edition)
    offset = found["nbp_adjustment"].sel(region="globe").item()
    assert offset == pytest.approx(-1.0, abs=0.01)
