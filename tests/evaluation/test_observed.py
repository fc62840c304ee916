"""Emulator and teacher against observations: by hand, and on real products."""

import os
from pathlib import Path

import numpy as np
import pytest

from emulator.data.readers import workbook, zonal
from emulator.data.readers.workbook import SinkSheet, Table, Workbook
from emulator.data.readers.zonal import Zonal
from emulator.evaluation import bootstrap, observed, scores
from emulator.evaluation.hindcast import Hindcast
from emulator.evaluation.observed import Observation

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)

YEARS = np.arange(2000, 2012)
WAVE = np.tile([1.0, -1, -1, 1], 3)
LINE = 0.1 * (YEARS - 2000)


def observation(
    region: str = "globe", surface: observed.Surface = "land"
) -> Observation:
    simulations = ("S2",) if surface == "land" else ("A",)
    return Observation("seen", surface, region, simulations, YEARS, 2 + LINE + WAVE)


def test_the_residual_closes_the_budget() -> None:
    values = {"e_fos": 10.0, "e_luc": 1.2, "g_atm": 5.0, "s_ocean": 2.8, "cement": 0.2}
    columns = {name: np.array([value, value]) for name, value in values.items()}
    columns["e_luc"][0] = np.nan
    budget = Table(np.array([2022, 2023]), columns)
    empty = Table(budget.years, {})
    sheet = SinkSheet(empty, empty, empty)
    found = observed.residual(Workbook(2024, "1.0", budget, sheet, sheet))
    # 10 + 1.2 - 5 - 2.8 - 0.2; 2022 lacks a term.
    np.testing.assert_allclose(found.sink, [3.2])
    np.testing.assert_array_equal(found.years, [2023])
    assert found.name == "budget residual, GCB 2024 v1.0"
    assert found.simulations == ("S2",)


def test_products_are_summed_over_bands_and_whole_years() -> None:
    # Rows of 60 degrees take up 1, 2 and 3 PgC yr-1; the last month is left over.
    months = np.arange("2000-01", "2001-02", dtype="datetime64[M]")
    product = Zonal(
        "group.fluxes.nc",
        "ocean",
        months,
        np.array([-90.0, -30, 30, 90]),
        np.tile([1.0, 2, 3], (13, 1)),
    )
    found = {one.region: one for one in observed.by_latitude(product)}
    totals = {region: float(one.sink[0]) for region, one in found.items()}
    expected = {"globe": 6, "north": 3, "tropics": 2, "south": 1}
    assert totals == pytest.approx(expected)
    assert found["globe"].name == "group"
    assert found["globe"].simulations == ("A",)
    assert found["globe"].years.tolist() == [2000]


def test_only_the_course_about_the_line_counts() -> None:
    drawn = bootstrap.year_draws(YEARS.size, draws=200)
    seen = 2 + LINE + WAVE
    found = observed.agreement(5 - 3 * LINE + 0.5 * WAVE, seen, YEARS, drawn)
    assert found.detrended_r.value == pytest.approx(1)
    assert found.sd_ratio == pytest.approx(0.5)
    # The wave has sd 1 and no slope: what is left of it is 0.5.
    assert found.detrended_rmse.value == pytest.approx(0.5)
    assert found.detrended_rmse.n == 12
    opposite = observed.agreement(-WAVE, seen, YEARS, drawn)
    assert opposite.detrended_r.value == pytest.approx(-1)


def test_uncertainty_of_the_correlation() -> None:
    noisy = WAVE + np.random.default_rng(3).normal(0, 0.5, YEARS.size)
    drawn = bootstrap.year_draws(YEARS.size, draws=200)
    found = observed.agreement(noisy, WAVE, YEARS, drawn)
    for score in (found.detrended_r, found.fisher):
        assert score.low < found.detrended_r.value < score.high


def test_series_are_compared_on_the_years_they_share() -> None:
    years = np.arange(2004, 2020)
    series = {"network": np.zeros(16), "teacher": np.zeros(16)}
    series["network"][:8], series["teacher"][:8] = WAVE[4:], -WAVE[4:]
    series["network"][8:] = 100.0  # after the last observed year
    found = observed.compare(series, years, observation())
    assert found is not None
    assert found.years == (2004, 2011)
    assert list(found.series) == ["network", "teacher"]
    assert found.series["network"].detrended_r.value == pytest.approx(1)
    assert found.series["teacher"].detrended_r.value == pytest.approx(-1)
    assert found.series["network"].detrended_r.n == 8


def test_few_shared_years_are_no_comparison() -> None:
    years = np.arange(2008, 2020)
    assert observed.compare({"network": np.ones(12)}, years, observation()) is None


def test_a_series_with_gaps_is_refused() -> None:
    gap = np.where(YEARS == 2003, np.nan, WAVE)
    with pytest.raises(ValueError, match="'network' has 11 values for 12 years"):
        observed.compare({"network": gap}, YEARS, observation())


def part(sign: float) -> dict:
    return {
        "teacher_annual": (2 + WAVE).tolist(),
        "methods": {"network": {"annual_totals": (sign * WAVE).tolist()}},
    }


def record(**changes: object) -> dict:
    return {
        "flux": "nbp",
        "simulation": "S2",
        "scope": "all",
        "years": YEARS.tolist(),
        **part(1.0),
        "regions": {"latitude_bands": {"north": part(-1.0)}},
        **changes,
    }


def test_a_scorecard_is_held_against_what_it_can_be() -> None:
    offered = [observation(), observation("north"), observation("south")]
    offered.append(observation(surface="ocean"))
    globe, north = observed.of_record(record(), offered)
    assert (globe.region, north.region) == ("globe", "north")
    assert globe.series["network"].detrended_r.value == pytest.approx(1)
    assert north.series["network"].detrended_r.value == pytest.approx(-1)
    assert globe.series["teacher"].detrended_r.value == pytest.approx(1)


def test_records_of_scorecards_have_what_is_needed() -> None:
    # Two cells, one in the north; the network has the teacher's course, doubled.
    months = np.arange("2000-01", "2012-01", dtype="datetime64[M]")
    truth = np.repeat(WAVE, 12)[:, None] * np.array([1e-9, 2e-9])
    (made,) = scores.records(
        Hindcast(
            flux="nbp",
            simulations=("S2",),
            teachers=("A",),
            months=months,
            area=np.full(2, 1e12),
            truth=truth[None, None],
            climatology=np.zeros((1, 1, 12, 2)),
            predictions={
                "network": 2 * truth[None, None],
                "climatology": 0 * truth[None, None],
            },
            annual={},
            choices={},
            weather_seen=np.zeros(1),
        ),
        {"latitude_bands": (("north", "south"), np.eye(2))},
        {"all": np.ones(2, bool)},
    )
    globe, north = observed.of_record(made, [observation(), observation("north")])
    for found in (globe, north):
        ratio = found.series["network"].sd_ratio / found.series["teacher"].sd_ratio
        assert ratio == pytest.approx(2)
    # A third of the teacher's flux is in the north.
    ratio = globe.series["teacher"].sd_ratio / north.series["teacher"].sd_ratio
    assert ratio == pytest.approx(3)


@pytest.mark.parametrize(
    "changes",
    [
        {"simulation": "S1"},
        {"flux": "gpp"},
        {"scope": "held out"},
        {"methods": {"network": {}}},
        {"years": [2009, 2010], "teacher_annual": [1, 2]}
        | {"methods": {"network": {"annual_totals": [1, 2]}}},
    ],
)
def test_a_scorecard_of_something_else_is_passed_over(changes: dict) -> None:
    assert not observed.of_record(record(**changes), [observation()])


def test_the_table_has_the_teacher_beside() -> None:
    found = observed.of_record(record(), [observation()])
    header, _, network, teacher = observed.table(found).splitlines()
    assert header.startswith("| observed | region | years | series | detrended r |")
    assert network.startswith("| seen, land | globe | 2000-2011 (n = 12) | network | ")
    assert teacher.startswith("| seen, land | globe | 2000-2011 (n = 12) | teacher | ")
    rmse = found[0].series["teacher"].detrended_rmse
    assert f"| {rmse.value:.2f} ({rmse.low:.2f} to {rmse.high:.2f}) |" in teacher


@pytest.mark.parametrize("evidence", ["TRENDY/GOBM", "TRENDY/GOBM; observed"])
def test_real_weather_can_be_held_against_the_world(evidence: str) -> None:
    assert observed.not_applicable(evidence) is None


@pytest.mark.parametrize(
    "evidence", ["testbed", "TRENDY/GOBM; real teacher, simulated forcing"]
)
def test_simulated_weather_cannot_and_says_so(evidence: str) -> None:
    reason = observed.not_applicable(evidence)
    assert reason is not None
    assert "the weather is simulated" in reason
    assert evidence.split("; ")[-1] in reason
    assert "TRENDY" not in reason


def real_budget() -> Workbook:
    (path,) = (SHARED / "tables").glob("Global_Carbon_Budget_2024*.xlsx")
    return workbook.read(path)


def real_product(name: str, surface: zonal.Surface) -> list[Observation]:
    path = SHARED / "observed" / f"{name}.fluxes_za_ts_monthly.nc"
    return observed.by_latitude(zonal.read(path, surface))


@needs_shared
def test_the_ceiling_that_teachers_set() -> None:
    book = real_budget()
    models = book.land.models.within(1990, 2023)
    found = observed.compare(
        {"mean": models.matrix().mean(axis=0), **models.columns},
        models.years,
        observed.residual(book),
    )
    assert found is not None
    scores = {name: one.detrended_r.value for name, one in found.series.items()}
    # Published: the mean of land models follows the residual with r = 0.75.
    assert scores.pop("mean") == pytest.approx(0.75, abs=0.005)
    assert max(scores.values()) < 0.9


@needs_shared
def test_inversions_follow_the_residual() -> None:
    # Both follow the growth of the air; a wrong sign or weight of months would show.
    residual = observed.residual(real_budget())
    for name, least in (("CAMSv20r1", 0.9), ("CT2019B", 0.75)):
        globe = real_product(name, "land")[0]
        found = observed.compare({"residual": residual.sink}, residual.years, globe)
        assert found is not None
        assert found.series["residual"].detrended_r.value > least


@needs_shared
def test_bands_of_real_products_add_up_to_the_globe() -> None:
    globe, *bands = real_product("SOM-FFN", "ocean")
    assert globe.years.tolist() == list(range(1982, 2018))
    np.testing.assert_allclose(sum(band.sink for band in bands), globe.sink)
    # The northern and southern sea take up carbon, the tropics lose it.
    signs = {band.region: np.sign(band.sink.mean()) for band in bands}
    assert signs == {"north": 1, "tropics": -1, "south": 1}
