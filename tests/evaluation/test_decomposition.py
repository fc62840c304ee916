"""Where spread comes from, on totals whose sources are known."""

from typing import Any

import numpy as np
import pytest

from emulator.evaluation import decomposition

SECONDS = 365 * 86400.0
AREA = 1e12 / SECONDS / 1e-9
"""Area, m2, whose 1e-9 kg m-2 s-1 make 1 PgC in a year of 365 days."""


def test_members_and_teachers_by_hand() -> None:
    # Teacher means 1 and 3 in both years; members 1 apart on either side of them.
    members = np.array([-1.0, 1.0])[:, None, None]
    totals = members + np.array([1.0, 3.0])[:, None] + np.zeros(2)
    found = decomposition.components(totals)
    # Between members: ((-1)^2 + 1^2) / 1 = 2. Teachers: 2 - 2 / 2 = 1.
    assert found["members"]["sd"] == pytest.approx(np.sqrt(2))
    assert found["teachers"]["sd"] == pytest.approx(1.0)
    assert found["members"]["share"] == pytest.approx(2 / 3)
    assert found["forcing"] is None


def test_forcing_by_hand() -> None:
    totals = np.zeros((1, 1, 4))
    found = decomposition.components(totals, totals + 2.0)
    # Two draws 2 apart have the variance 2.
    assert found["forcing"]["sd"] == pytest.approx(np.sqrt(2))
    assert found["forcing"]["share"] == 1.0
    assert found["members"] is None
    assert found["teachers"] is None


def test_components_are_recovered_from_many_draws() -> None:
    rng = np.random.default_rng(0)
    teachers = rng.normal(0, 1.0, (1, 400, 1))
    noise = rng.normal(0, 0.5, (3, 400, 20))
    found = decomposition.components(teachers + noise)
    assert found["members"]["sd"] == pytest.approx(0.5, rel=0.02)
    assert found["teachers"]["sd"] == pytest.approx(1.0, rel=0.08)


def test_no_difference_between_teachers_counts_as_none() -> None:
    rng = np.random.default_rng(1)
    found = decomposition.components(rng.normal(size=(2, 2, 1)))
    assert found["teachers"]["sd"] >= 0.0
    assert decomposition.components(np.zeros((2, 2, 3)))["members"]["share"] is None


def split(members: np.ndarray, truth: np.ndarray, **changes: Any) -> dict[str, Any]:
    """Decompose fluxes given as PgC a year of two cells of one area."""
    months = np.arange("2001-01", "2004-01", dtype="datetime64[M]")[: truth.shape[1]]
    values: dict[str, Any] = {
        "area": np.full(2, AREA),
        "teachers": ("A", "B"),
        "bands": {"north": np.array([1.0, 0.0]), "nowhere": np.zeros(2)},
    }
    values |= changes
    return decomposition.decompose(0.5e-9 * members, 0.5e-9 * truth, months, **values)


def fields(offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return members that are 1 off on either side, and truth of two teachers."""
    level = np.array([1.0, 3.0])[:, None, None] * np.ones((2, 36, 2))
    signs = np.array([-1.0, 1.0])[:, None, None, None]
    return level + signs + offset, level


def test_globe_and_bands_are_split() -> None:
    found = split(*fields())
    assert found["teachers"] == ["A", "B"]
    assert found["years"] == [2001, 2002, 2003]
    globe = found["components"]["globe"]
    assert globe["level"]["members"]["sd"] == pytest.approx(np.sqrt(2))
    assert globe["level"]["teachers"]["sd"] == pytest.approx(1.0)
    # Nothing varies from year to year.
    assert globe["anomaly"]["members"]["sd"] == pytest.approx(0.0, abs=1e-12)
    north = found["components"]["north"]["level"]
    assert north["members"]["sd"] == pytest.approx(np.sqrt(2) / 2)
    assert "nowhere" not in found["components"]


def test_spread_is_held_against_the_error_of_the_mean() -> None:
    # Spread sqrt(2), error of the mean 2; two members: sqrt(3 / 2 * 2 / 4).
    found = split(*fields(offset=2.0))["spread_skill"]
    for name in ("A", "B"):
        assert found[name]["cell/month"] == pytest.approx(np.sqrt(0.75))
        assert found[name]["globe/year"] == pytest.approx(np.sqrt(0.75))
    assert split(*fields())["spread_skill"]["A"]["globe/year"] is None  # no error


def test_one_member_has_no_spread_to_judge() -> None:
    members, truth = fields()
    found = split(members[:1], truth)
    assert found["spread_skill"] == {}
    assert found["components"]["globe"]["level"]["members"] is None
    assert found["components"]["globe"]["level"]["teachers"]["sd"] > 0


def test_another_forcing_adds_its_part() -> None:
    members, truth = fields()
    found = split(members, truth, other=0.5e-9 * (members + 2.0))["components"]["globe"]
    assert found["level"]["forcing"]["sd"] == pytest.approx(np.sqrt(2))
    assert found["anomaly"]["forcing"]["sd"] == pytest.approx(0.0, abs=1e-12)


def test_teachers_without_truth_and_broken_years_are_left_out() -> None:
    members, truth = fields()
    truth[1] = np.nan
    truth[0, :5] = np.nan
    found = split(members, truth)
    assert found["teachers"] == ["A"]
    assert found["years"] == [2002, 2003]
    assert split(members, truth * np.nan)["teachers"] == []
    short = split(members[:, :, :6], fields()[1][:, :6])
    assert short["years"] == []
    assert "components" not in short
