"""Hindcasts and records from arrays, without a trained run."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from emulator.carbon.grid import Grid
from emulator.data.windows import Cube
from emulator.evaluation import hindcast, report, scores
from emulator.evaluation.hindcast import MEAN, NETWORK, Hindcast

YEARS = np.arange("2001-01", "2004-01", dtype="datetime64[M]")
SECONDS_2001 = 365 * 86400.0


def small(teachers: int = 1, cells: int = 2) -> Hindcast:
    """Return three years in which the teacher emits 1, 2, 3 x 1e-9 kg m-2 s-1."""
    level = np.repeat([1e-9, 2e-9, 3e-9], 12)
    truth = np.broadcast_to(level[:, None], (1, teachers, 36, cells)).copy()
    truth *= 1 + np.arange(teachers)[:, None, None]
    normal = np.zeros((1, teachers, 12, cells))
    flat = np.zeros_like(truth)
    return Hindcast(
        flux="nbp",
        simulations=("S2",),
        teachers=tuple("AB"[:teachers]),
        months=YEARS,
        area=np.full(cells, 1e12),
        truth=truth,
        climatology=normal,
        predictions={NETWORK: truth + 1e-9, "climatology": flat, "trend": truth / 2},
        annual={},
        choices={},
        weather_seen=np.zeros(1),
    )


def records(found: Hindcast, **changes: Any) -> list[dict[str, Any]]:
    cells = found.area.size
    values: dict[str, Any] = {
        "region_sets": {},
        "scopes": {"all": np.ones(cells, bool)},
    }
    return list(scores.records(found, **(values | changes)))


def test_annual_totals_weigh_months_by_their_true_length() -> None:
    (record,) = records(small())
    # 1e-9 kg m-2 s-1 x 2e12 m2 x 365 days / 1e12 kg.
    expected = 1e-9 * 2e12 * SECONDS_2001 / 1e12
    np.testing.assert_allclose(
        record["teacher_annual"], expected * np.array([1, 2, 3]), rtol=1e-12
    )
    uneven = small()
    uneven.truth[:] = 0.0
    uneven.truth[..., 0, :] = 1.0  # January
    uneven.truth[..., 13, :] = 1.0  # February
    (record,) = records(uneven)
    january, february, _ = record["teacher_annual"]
    assert january / february == pytest.approx(31 / 28)


def test_scores_of_a_constant_offset_by_hand() -> None:
    methods = records(small())[0]["methods"]
    network = methods[NETWORK]
    # Error 1, variance of 1, 2, 3 is 2/3: 1 - 1 / (2/3) = -0.5; the shape is perfect.
    assert network["cells"]["anomaly_r2"]["value"] == pytest.approx(-0.5)
    assert network["cells"]["shape_r2"]["value"] == pytest.approx(1.0)
    assert network["annual"]["annual_r2"]["value"] == pytest.approx(-0.5)
    assert network["annual"]["annual_r2_centred"]["value"] == pytest.approx(1.0)
    assert network["annual"]["sd_ratio"]["value"] == pytest.approx(1.0)
    unit = 1e-9 * 2e12 * SECONDS_2001 / 1e12
    assert network["annual"]["bias"]["value"] == pytest.approx(unit)
    # Climatology is off by 1, 2, 3: mean square 14/3; the half by 14/12.
    assert network["cells"]["skill_climatology"] == pytest.approx(1 - 3 / 14)
    assert network["cells"]["skill_best_baseline"] == pytest.approx(1 - 12 / 14)
    best = records(small())[0]["best_baseline"]
    assert best == {"cells": "trend", "annual": "trend"}


def test_teachers_without_truth_are_left_out() -> None:
    found = small(2)
    found.truth[:, 1] = np.nan
    assert [each["teacher"] for each in records(found)] == ["A"]


def test_months_without_truth_are_left_out_and_a_broken_year_has_no_total() -> None:
    found = small()
    found.truth[:, :, :5] = np.nan
    (record,) = records(found)
    assert (record["n_months"], record["n_years"]) == (31, 2)
    assert record["years"] == [2002, 2003]
    assert record["methods"][NETWORK]["cells"]["anomaly_r2"]["n"] == 3


def test_less_than_a_year_has_cells_but_no_annual_score_and_no_season() -> None:
    found = small()
    found.truth[:, :, 6:] = np.nan
    (record,) = records(found)
    assert "annual" not in record["methods"][NETWORK]
    assert record["methods"][NETWORK]["season"] == {}
    assert record["best_baseline"]["annual"] is None


def test_cells_that_come_and_go_are_scored_but_not_in_totals() -> None:
    found = small()
    found.truth[:, :, 7, 1] = np.nan
    (record,) = records(found)
    assert record["n_cells"] == 2
    one_cell = 1e-9 * 1e12 * SECONDS_2001 / 1e12
    assert record["teacher_annual"][0] == pytest.approx(one_cell)


def test_scopes_score_their_cells_only() -> None:
    found = small()
    found.predictions[NETWORK][..., 1] += 1e-6
    scopes = {"all": np.array([True, False]), "hidden": np.array([False, True])}
    seen, hidden = records(found, scopes=scopes)
    assert seen["scope"] == "all"
    assert hidden["scope"] == "hidden"
    assert seen["methods"][NETWORK]["cells"]["mse"] == pytest.approx(1e-18)
    assert hidden["methods"][NETWORK]["cells"]["mse"] > 1e-13


def test_regional_totals_use_shares_of_cells() -> None:
    shares = np.array([[0.25, 0.0], [0.75, 1.0], [0.0, 0.0]])
    sets = {"halves": (("west", "east", "nowhere"), shares)}
    (record,) = records(small(), region_sets=sets)
    regions = record["regions"]["halves"]
    assert set(regions) == {"west", "east"}  # a region without area says nothing
    ratio = regions["west"]["teacher_annual"][0] / record["teacher_annual"][0]
    assert ratio == pytest.approx(0.25 / 2)
    network = regions["west"]["methods"][NETWORK]["annual"]
    assert network["rmse"]["low"] is not None
    assert regions["west"]["methods"]["trend"]["annual"]["rmse"]["low"] is None


def test_phase_and_amplitude_of_the_season_are_those_of_the_total() -> None:
    found = small()
    month = np.arange(36) % 12
    found.truth[:] = np.cos(2 * np.pi * (month - 6) / 12)[:, None]
    late = 0.5 * np.cos(2 * np.pi * (month - 8) / 12)[:, None]
    found.predictions[NETWORK][:] = late
    season = records(found)[0]["methods"][NETWORK]["season"]
    assert season["phase_error_months"] == pytest.approx(2.0)
    assert season["cell_phase_error_median"] == pytest.approx(2.0)
    assert season["amplitude_ratio"] == pytest.approx(0.5)
    assert season["cell_amplitude_ratio_median"] == pytest.approx(0.5)


def test_mean_of_teachers_averages_truth_and_predictions() -> None:
    found = small(2).with_mean()
    assert found.teachers == ("A", "B", MEAN)
    np.testing.assert_allclose(found.truth[0, 2], 1.5 * found.truth[0, 0])
    np.testing.assert_allclose(
        found.predictions[NETWORK][0, 2], found.truth[0, 2] + 1e-9
    )


def test_mean_of_teachers_takes_a_missing_cell_as_zero_and_no_absent_teacher() -> None:
    both = small(2)
    both.truth[0, 1, :, 1] = np.nan
    mean = both.with_mean().truth[0, 2]
    np.testing.assert_allclose(mean[0], [1.5e-9, 0.5e-9])
    absent = small(2)
    absent.truth[0, 1] = np.nan
    annual = {"co2_enso": np.array([[[1.0] * 3, [5.0] * 3]])}
    added = replace(absent, annual=annual).with_mean()
    np.testing.assert_allclose(added.truth[0, 2], absent.truth[0, 0])
    np.testing.assert_allclose(added.annual["co2_enso"][0, 2], 1.0)


def test_mean_of_teachers_does_not_jump_where_one_ends() -> None:
    both = small(2)
    both.truth[0, 1, 24:] = np.nan  # the second has no label in the last year
    record = records(both.with_mean())[2]
    assert record["teacher"] == MEAN
    # 1.5 x (1, 2) of the years that both have; the third would be 3 / 2, not 4.5.
    assert record["years"] == [2001, 2002]
    ratio = record["teacher_annual"][1] / record["teacher_annual"][0]
    assert ratio == pytest.approx(2.0)


def test_one_teacher_has_no_mean() -> None:
    assert small().with_mean().teachers == ("A",)


def test_covered_cells_have_every_month_that_any_cell_has() -> None:
    labels = np.ones((4, 3))
    labels[0] = np.nan  # no label at all that month: nobody's fault
    labels[2, 1] = np.nan
    labels[:, 2] = np.nan
    np.testing.assert_array_equal(hindcast.covered(labels), [True, False, False])


def test_hidden_cells_are_the_region_and_its_buffer() -> None:
    grid = Grid.regular(45.0)
    cells = np.array([8, 9, 10, 11])  # row 22.5 S, columns 157.5 W to 22.5 W
    labels = torch.ones(1, 1, 2, 1, 4)
    labels[..., 3] = torch.nan  # without a label anyway: not hidden by the region
    cube = Cube(
        domain="land",
        grid=grid,
        cells=torch.from_numpy(cells),
        area=torch.ones(4, dtype=torch.float64),
        months=YEARS[:2],
        simulations=("S2",),
        teachers=("A",),
        fluxes=("nbp",),
        forcing_names=(),
        static_names=(),
        labels=labels,
        forcing=torch.zeros(2, 0, 4),
        weather=torch.zeros(1, 2, dtype=torch.int64),
        co2=torch.zeros(1, 2),
        static=torch.zeros(0, 4),
        co2_as="level",
        slow_years=(),
        slow=torch.zeros(1, 1, 0, 4),
    )
    inside, hidden = hindcast.hidden_cells(cube, "box:-45/0/-180/-135", 45.0)
    np.testing.assert_array_equal(inside, [True, False, False, False])
    np.testing.assert_array_equal(hidden, [True, True, False, False])
    inside, hidden = hindcast.hidden_cells(cube, None, 45.0)
    assert not inside.any()
    assert not hidden.any()


def test_report_prints_intervals_and_dashes() -> None:
    found = {"value": 0.931, "low": 0.65, "high": 0.99, "n": 9}
    assert report.score_text(found) == "0.93 (0.65 to 0.99)"
    assert report.score_text(found | {"low": None}) == "0.93"
    assert report.score_text(None) == "-"


def test_records_are_sorted_by_what_matters() -> None:
    def record(flux: str, simulation: str, teacher: str, scope: str) -> dict[str, str]:
        return {
            "flux": flux,
            "simulation": simulation,
            "teacher": teacher,
            "scope": scope,
        }

    wanted = [
        record("nbp", "S2", MEAN, "all"),
        record("nbp", "S2", "A", "all"),
        record("nbp", "S2", "A", "held-out region"),
        record("nbp", "S1", MEAN, "all"),
        record("nbp", "S0", MEAN, "all"),
        record("gpp", "S2", MEAN, "all"),
    ]
    shuffled = [wanted[place] for place in (3, 5, 0, 4, 2, 1)]
    assert sorted(shuffled, key=scores.rank) == wanted
