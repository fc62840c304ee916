import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.drift import Drift, fit, middle_of_months, model_years

DEFAULT = Path(__file__).resolve().parents[3] / "shared/data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)
# MITgcm-DIC: 1982 of A is model year 27, 1982 of B model year 6.
YEAR_ONE = {"A": 1956, "B": 1977}


def test_a_line_goes_through_its_own_points() -> None:
    # -0.24, -0.20, -0.16: mean -0.20, slope 0.04 a year.
    found = fit(np.array([-0.24, -0.20, -0.16]), np.array([6, 7, 8]), "linear")
    assert (found.first, found.last) == (6, 8)
    np.testing.assert_allclose([found.level, found.slope], [-0.20, 0.04])
    np.testing.assert_allclose(found.at(np.array([6, 7, 8])), [-0.24, -0.20, -0.16])


def test_beyond_the_control_its_end_is_held_and_flagged() -> None:
    found = fit(np.array([-0.24, -0.20, -0.16]), np.array([6, 7, 8]), "linear")
    years = np.array([4, 6, 8, 9, 60])
    # The end of year 8 lies half a year after its middle: -0.16 + 0.02.
    np.testing.assert_allclose(found.at(years), [-0.26, -0.24, -0.16, -0.14, -0.14])
    assert found.is_extrapolated(years).tolist() == [True, False, False, True, True]


def test_a_constant_is_the_mean_of_the_control() -> None:
    cells = np.array([[1.0, 3.0], [np.nan, np.nan]])
    found = fit(cells, np.array([1, 2]), "constant")
    np.testing.assert_array_equal(found.at(np.array([1, 9])), [[2, 2], [np.nan] * 2])
    assert found.slope[0] == 0


def test_months_of_a_year_have_its_fit_as_their_mean() -> None:
    found = fit(np.arange(5.0), np.arange(1, 6), "linear")
    months = np.arange("2003-01", "2004-01", dtype="M8[M]")
    years = model_years(middle_of_months(months), 2001)
    # 2003 is model year 3; January's middle lies 11/24 of a year before that of 2003.
    np.testing.assert_allclose(years[0], 3 - 11 / 24)
    np.testing.assert_allclose(found.at(years).mean(), found.at(np.array([3]))[0])
    assert not found.is_extrapolated(years).any()
    december = model_years(middle_of_months(np.array(["2006-01"], "M8[M]")), 2001)
    assert found.is_extrapolated(december).all()


@given(
    st.floats(-1, 1),
    st.floats(-0.1, 0.1),
    st.integers(1, 50),
    st.integers(3, 60),
)
def test_a_drift_that_is_a_line_is_taken_off_wholly(
    level: float, slope: float, first: int, length: int
) -> None:
    years = np.arange(first, first + length)
    drift = level + slope * years
    sink = np.sin(years)
    found = fit(drift, years, "linear")
    np.testing.assert_allclose((sink + drift) - found.at(years), sink, atol=1e-9)


def test_a_fit_survives_json() -> None:
    found = fit(np.array([[0.0, 1.0, 2.0]]), np.array([6, 7, 8]), "linear")
    back = Drift.from_dict(found.to_dict())
    years = np.arange(5, 12)
    np.testing.assert_array_equal(back.at(years), found.at(years))
    assert back.form == "linear"


@pytest.mark.parametrize(
    ("control", "years", "form", "message"),
    [
        ([1.0, 2.0], [1, 2], "cubic", "one of constant, linear, not 'cubic'"),
        ([1.0, 2.0], [1, 2], "linear", "A linear fit needs 3 years .* got 2"),
        ([1.0, 2.0, 3.0], [1, 2, 4], "linear", "consecutive years"),
        ([1.0, 2.0], [1, 2, 3], "linear", r"shape \(2,\) and 3 model years"),
    ],
)
def test_a_control_that_cannot_be_fitted_is_refused(
    control: list[float], years: list[int], form: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(np.array(control), np.array(years), form)  # type: ignore[arg-type]


@needs_shared
def test_fitting_a_real_control_by_label_would_invent_a_trend() -> None:
    path = SHARED / "ocean/MITgcm-DIC/annual_uptake.csv"
    labels, sink, control = np.genfromtxt(path, delimiter=",", skip_header=1).T
    held = np.isfinite(control)
    control = control[held]

    def trend(values: np.ndarray) -> float:
        return float(np.polyfit(labels[held], values[held], 1)[0] * 10)

    by_label = fit(control, labels[held], "linear")
    wrong = sink - by_label.at(labels)
    # The control settles by 0.052 PgC yr-1 a decade under its labels.
    assert trend(wrong) - trend(sink) == pytest.approx(-0.052, abs=0.001)

    recent = slice(-15, None)
    aligned = fit(
        control[recent], model_years(labels[held], YEAR_ONE["B"])[recent], "linear"
    )
    # "Over its last 15 years by +0.0025 PgC/yr a year", says its description.
    assert float(aligned.slope) == pytest.approx(0.0025, abs=0.0003)
    years = model_years(labels, YEAR_ONE["A"])
    assert years[[0, -1]].tolist() == [27, 64]
    right = sink - aligned.at(years)
    assert abs(trend(right) - trend(sink)) < 0.005
    # Its drift in A is about 0.09 and fading: 4 of 38 years lie in the control.
    assert (right - sink)[0] == pytest.approx(0.085, abs=0.01)
    assert int((~aligned.is_extrapolated(years)).sum()) == 4
