"""Variants of known scores: the error of cells is what ``cards.constant`` is told."""

from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import SettingsError
from emulator.evaluation.hindcast import MEAN
from emulator.evaluation.paired import AVERAGE, Row, Variant, paired_rows
from tests.evaluation.cards import YEARS, card, constant, method


def of(rows: list[Row], method: str, score: str = "anomaly_r2") -> Row:
    (found,) = [row for row in rows if (row.method, row.score) == (method, score)]
    return found


def for_teacher(made: dict[str, Any], teacher: str) -> dict[str, Any]:
    (record,) = made["records"]
    return {**made, "teachers": [teacher], "records": [{**record, "teacher": teacher}]}


def test_a_variant_is_the_mean_of_its_seeds() -> None:
    # 1 - error: 0.9 and 0.7, mean 0.8; sd with n - 1 of two values 0.2 apart is
    # 0.2 / sqrt(2).
    seeds = tuple(card(constant(error, 0.1)) for error in (0.1, 0.3))
    rows = list(paired_rows([Variant("one", seeds)]))
    found = of(rows, "one")
    assert found.value == pytest.approx(0.8)
    assert found.seeds == pytest.approx((0.9, 0.7))
    assert found.seed_sd == pytest.approx(0.2 / np.sqrt(2))
    assert (found.n, found.difference) == (len(YEARS), 0.0)
    single = list(paired_rows([Variant("one", seeds[:1])]))
    assert np.isnan(of(single, "one").seed_sd)


def test_seeds_are_drawn_again_too_but_not_against_themselves() -> None:
    # Years are alike: all that is uncertain is which seeds were drawn.
    far = tuple(card(constant(error, 0.1)) for error in (0.1, 0.3))
    near = tuple(card(constant(error, 0.1)) for error in (0.25, 0.25))
    rows = list(paired_rows([Variant("far", far), Variant("near", near)]))
    own = of(rows, "far")
    assert (own.low, own.high) == pytest.approx((0.7, 0.9))
    assert (own.difference_low, own.difference_high) == (0.0, 0.0)
    other = of(rows, "near")
    assert (other.difference_low, other.difference_high) == pytest.approx((-0.15, 0.05))
    assert not other.is_certain


def test_a_difference_is_drawn_in_the_same_years() -> None:
    # Both vary from year to year, and always 0.1 apart: the scores are uncertain, their
    # difference is not.
    errors = [0.1, 0.5, 0.2, 0.6, 0.3, 0.4]
    miss = [0.1, -0.2, 0.3, 0.0, 0.1, -0.1]
    worse = [error + 0.1 for error in errors]
    variants = [
        Variant("good", (card(method(errors, miss)),)),
        Variant("poor", (card(method(worse, miss)),)),
    ]
    poor = of(list(paired_rows(variants)), "poor")
    assert poor.high - poor.low > 0.1
    assert (poor.difference_low, poor.difference_high) == pytest.approx((-0.1, -0.1))
    assert poor.is_certain
    turned = list(paired_rows(variants, "poor"))
    assert of(turned, "good").difference == pytest.approx(0.1)
    # The same series of totals: the interval of the difference is zero, and says so.
    assert not of(turned, "good", "rmse").is_certain


def test_a_baseline_is_taken_where_it_is_best() -> None:
    # Its inputs differ: cells are better in the first, annual totals in the second.
    variants = [
        Variant("one", (card(constant(0.1, 0.1), baseline=constant(0.4, 0.5)),)),
        Variant("two", (card(constant(0.1, 0.1), baseline=constant(0.5, 0.2)),)),
    ]
    rows = list(paired_rows(variants))
    assert of(rows, "baseline ridge").value == pytest.approx(0.6)
    assert of(rows, "baseline ridge", "rmse").value == pytest.approx(0.2)
    assert of(rows, "baseline ridge", "bias").value == pytest.approx(0.2)


def test_networks_of_one_teacher_each_are_compared_with_one_for_all() -> None:
    both = card(constant(0.1, 0.1))
    record = both["records"][0]
    both["records"] = [{**record, "teacher": name} for name in ("ONE", "TWO", MEAN)]
    alone = tuple(
        for_teacher(card(constant(error, 0.1)), teacher)
        for teacher, errors in (("ONE", (0.2, 0.3)), ("TWO", (0.4, 0.5)))
        for error in errors
    )
    rows = list(paired_rows([Variant("together", (both,)), Variant("alone", alone)]))
    assert {row.teacher for row in rows} == {"ONE", "TWO", AVERAGE}
    mean = [row for row in rows if row.teacher == AVERAGE]
    # First seeds 0.8 and 0.6, second seeds 0.7 and 0.5, by hand.
    assert of(mean, "alone").seeds == pytest.approx((0.7, 0.6))
    assert of(mean, "alone").difference == pytest.approx(0.65 - 0.9)
    assert of(mean, "baseline ridge").value == pytest.approx(0.5)


def test_teachers_of_other_years_have_no_average() -> None:
    def alone(teacher: str, first: int) -> dict[str, Any]:
        made = for_teacher(card(constant(0.2, 0.1)), teacher)
        (record,) = made["records"]
        years = list(range(first, first + len(YEARS)))
        return {**made, "records": [{**record, "years": years}]}

    def teachers(*cards: dict[str, Any]) -> set[str]:
        return {row.teacher for row in paired_rows([Variant("alone", cards)])}

    together = teachers(alone("ONE", YEARS[0]), alone("TWO", YEARS[0]))
    assert together == {"ONE", "TWO", AVERAGE}
    # As many years, but not the same.
    apart = teachers(alone("ONE", YEARS[0]), alone("TWO", YEARS[0] + 1))
    assert apart == {"ONE", "TWO"}


def test_what_does_not_compare_is_refused() -> None:
    one = Variant("one", (card(constant(0.1, 0.1)),))
    with pytest.raises(
        SettingsError, match=r"no variant 'two' to refer to, only one\."
    ):
        list(paired_rows([one], "two"))
    other = Variant("other", (for_teacher(card(constant(0.1, 0.1)), "SIX"),))
    with pytest.raises(
        SettingsError, match="no flux, simulation and teacher in common"
    ):
        list(paired_rows([one, other]))
    moved = card(constant(0.1, 0.1))
    moved["records"][0] = {**moved["records"][0], "years": [y + 9 for y in YEARS]}
    with pytest.raises(SettingsError, match="2010-2015 against 2001-2006"):
        list(paired_rows([one, Variant("moved", (moved,))]))


def test_test_years_without_a_whole_year_are_left_out() -> None:
    empty = card(constant(0.1, 0.1))
    empty["records"][0] |= {"years": [], "n_years": 0, "teacher_annual": []}
    assert not list(paired_rows([Variant("one", (empty,))]))
