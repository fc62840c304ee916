"""A run is held against its baselines and the champion, by scores known by hand."""

import copy
import math

import pytest

from emulator.evaluation.gate import Comparison, judge
from tests.evaluation.cards import YEARS, card, constant, method

GOOD = constant(0.3, 0.1)


def test_a_run_that_beats_every_baseline_passes() -> None:
    # anomaly_r2 = 1 - 0.3 against 1 - 0.5; RMSE 0.1 against 0.2 PgC.
    found = judge(card(GOOD), None)
    assert found.objections == ()
    assert found.note == ""
    assert len(found.comparisons) == 2 * 5
    r2 = next(each for each in found.comparisons if each.score == "anomaly_r2")
    assert (r2.run, r2.other) == pytest.approx((0.7, 0.5))
    # The same errors in every year: nothing is uncertain about the difference.
    assert (r2.low, r2.high) == pytest.approx((-0.2, -0.2))
    assert all(each.passed for each in found.comparisons)


@pytest.mark.parametrize("network", [constant(0.5, 0.1), constant(0.6, 0.1)])
def test_as_good_as_a_baseline_is_not_better(network: dict[str, object]) -> None:
    (said,) = judge(card(network), None).objections
    assert said.startswith("A baseline is as good or better: anomaly_r2 0.")
    assert "baseline climatology 0.50" in said


def test_worse_in_annual_totals_names_the_best_baseline() -> None:
    scored = card(constant(0.3, 0.25))
    scored["records"][0]["methods"]["co2_enso"] = {
        key: value
        for key, value in constant(0.5, 0.05).items()
        if key in ("annual", "annual_totals")
    }
    (said,) = judge(scored, None).objections
    assert "rmse 0.25, baseline co2_enso 0.05: difference -0.20" in said


def test_every_baseline_must_have_been_fitted() -> None:
    scored = card(GOOD)
    for name in ("ridge", "lightgbm"):
        del scored["records"][0]["methods"][name]
    (said,) = judge(scored, None).objections
    assert "lacks the baselines ridge, lightgbm. Evaluate the run" in said


def test_a_run_without_the_net_flux_makes_no_map() -> None:
    scored = card(GOOD)
    scored["records"][0]["flux"] = "gpp"
    (said,) = judge(scored, None).objections
    assert said == "The run has gpp, but a sink map needs nbp or fgco2."


def test_the_headline_is_the_net_flux_of_the_transient_simulation() -> None:
    scored = card(GOOD)
    control = copy.deepcopy(scored["records"][0])
    control |= {"simulation": "S0"}
    control["methods"]["network"] = constant(0.9, 0.9)
    scored["records"].insert(0, control)
    assert judge(scored, None).objections == ()


def test_test_years_without_a_whole_year_do_not_compare() -> None:
    scored = card(GOOD)
    scored["records"][0] |= {"years": [], "n_years": 0, "teacher_annual": []}
    found = judge(scored, None).objections
    assert [said.split()[0] for said in found] == ["anomaly_r2", "rmse"]
    assert all("do not cover whole years" in said for said in found)


def test_a_champion_that_is_surely_better_stays() -> None:
    better = card(constant(0.2, 0.1), checkpoint="other")
    found = judge(card(GOOD), better)
    (said,) = found.objections
    assert said == (
        "The champion is better beyond the interval: anomaly_r2 0.70, the champion "
        "0.80: difference +0.10 (+0.10 to +0.10)."
    )
    (said,) = judge(card(GOOD), card(constant(0.3, 0.05), checkpoint="x")).objections
    assert "rmse 0.10, the champion 0.05" in said
    assert "same years of the same store" in found.note


def test_a_champion_that_may_be_better_by_chance_goes() -> None:
    # Better by 0.3 in one year and worse by 0.04 in five: by 0.1 / 6 in the mean, but
    # three drawn blocks of two years miss that year in (2/3)^3 = 30 % of draws.
    lucky = card(method([0.0] + [0.34] * 5, [0.1] * len(YEARS)), checkpoint="other")
    found = judge(card(GOOD), lucky)
    assert found.objections == ()
    (r2,) = (
        each
        for each in found.comparisons
        if (each.score, each.rival) == ("anomaly_r2", "the champion")
    )
    assert r2.other - r2.run == pytest.approx(0.1 / 6)
    assert r2.low < 0 < r2.high


def test_a_worse_champion_goes() -> None:
    worse = card(constant(0.4, 0.15), checkpoint="other")
    assert judge(card(GOOD), worse).objections == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"store_hash": "else"}, "on other store, else instead of tiny"),
        (
            {"split": {"test": [1990, 1995]}},
            "other test years, 1990-1995 instead of 2001-2006. Only the baselines",
        ),
        ({"checkpoint": "own"}, "it has the same networks"),
    ],
)
def test_a_champion_scored_elsewhere_is_not_compared(
    changes: dict[str, object], said: str
) -> None:
    better = card(constant(0.1, 0.01), **({"checkpoint": "other"} | changes))
    found = judge(card(GOOD), better)
    assert found.objections == ()
    assert said in found.note


def test_a_champion_with_other_labels_is_not_compared() -> None:
    better = card(constant(0.1, 0.01), checkpoint="other")
    better["records"][0]["teacher_annual"] = [0.0] * len(YEARS)
    found = judge(card(GOOD), better)
    assert found.objections == ()
    assert "The champion was not compared: the champion was scored on" in found.note
    better["records"][0]["teacher"] = "TWO"
    assert "no flux, simulation and teacher in common" in judge(card(GOOD), better).note


def test_a_comparison_without_interval_says_so_by_silence() -> None:
    found = Comparison("rmse", "baseline trend", 0.1, 0.2, math.nan, math.nan, True)
    assert str(found) == "rmse 0.10, baseline trend 0.20: difference +0.10"
