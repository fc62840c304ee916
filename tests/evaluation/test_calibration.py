import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import CheckpointError, SettingsError
from emulator.carbon.timeaxis import month_range, seconds_per_month
from emulator.evaluation import calibration, intervals
from emulator.evaluation.calibration import Calibration, Errors, Factors

GLOBE_YEAR = ("globe", "year")
CELL_MONTH = ("cell", "month")
REGION_YEAR = ("region", "year")


def errors_of(
    residual: np.ndarray, *, spread: float = 1.0, leads: int = 1, first: int = 1990
) -> Errors:
    """Return errors of one step a year, (year, place), leads going round."""
    steps = np.arange(len(residual))
    return Errors(
        residual, np.full(residual.shape, spread), first + steps, steps % leads + 1
    )


def calibrate(
    key: calibration.Key, errors: Errors, level: float = 0.9, reference: float = 1.0
) -> Calibration:
    places = errors.residual.shape[1]
    return calibration.calibrate(
        {key: errors},
        {key: np.full(places, reference)},
        area=np.ones(places),
        regions=[f"R{place}" for place in range(places)],
        level=level,
    )


# The quantile


def test_one_score_a_year_is_taken_by_its_rank() -> None:
    scores = np.random.default_rng(0).permutation(19).astype(float)[:, None]
    # (19 + 1) x 0.9 = 18: the 18th of 0 ... 18.
    assert calibration.conformal_quantile(scores, np.arange(19), 0.9) == 17
    # (18 + 1) x 0.9 = 17.1 is rounded up to the 18th, the largest.
    assert calibration.conformal_quantile(scores[:18], np.arange(18), 0.9) == max(
        scores[:18]
    )
    # (9 + 1) x 0.9 = 9: nine are just enough, eight are not.
    nine = np.arange(9.0)[:, None]
    assert calibration.conformal_quantile(nine, np.arange(9), 0.9) == 8
    assert calibration.conformal_quantile(nine[:8], np.arange(8), 0.9) == np.inf


def test_weights_and_missing_scores() -> None:
    scores = np.array([[1.0, 9.0], [2.0, np.nan]] * 10)
    year = np.arange(20)
    # Half of the scores of place 0 are 1, half are 2: (20 + 1) 0.9 = 18.9.
    only = calibration.conformal_quantile(scores, year, 0.9, np.array([1.0, 0.0]))
    assert only == 2.0
    assert calibration.conformal_quantile(scores, year, 0.9) == 9.0


def test_coverage_of_exchangeable_years_is_nominal() -> None:
    # 19 years and one more: held with probability 18 / 20 exactly.
    generator = np.random.default_rng(1)
    worlds = 4000
    scores = np.abs(generator.standard_t(3, size=(worlds, 20)))
    held = sum(
        row[19] <= calibration.conformal_quantile(row[:19, None], np.arange(19), 0.9)
        for row in scores
    )
    low, high = intervals.exact_binomial(held, worlds, confidence=0.999)
    assert low <= 0.9 <= high


@pytest.mark.parametrize("shared", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("places", [12, 200])
def test_coverage_of_years_with_many_scores(places: int, shared: float) -> None:
    # Errors of a year have the correlation ``shared`` between places.
    generator = np.random.default_rng(2)

    def world() -> np.ndarray:
        common = generator.normal(size=(16, 1))
        own = generator.normal(size=(16, places))
        return np.abs(np.sqrt(shared) * common + np.sqrt(1 - shared) * own)

    held = []
    for _ in range(800):
        scores = world()
        end = calibration.conformal_quantile(scores[:15], np.arange(15), 0.9)
        held.append((scores[15] <= end).mean())
    assert np.mean(held) == pytest.approx(0.9, abs=0.02)


# Scale and floor


def test_scale_is_the_spread_above_its_floor() -> None:
    spread = np.array([0.5, 0.1, np.nan, np.nan])
    reference = np.array([1.0, 1.0, 1.0, np.nan])
    found = calibration.scale(spread, reference)
    np.testing.assert_allclose(found, [0.5, 0.3, 0.3, np.nan])


def _relative_width(floor: float, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return the mean width over that of intervals which know each error's sd."""
    generator = np.random.default_rng(3)
    monkeypatch.setattr(calibration, "FLOOR", floor)
    shape = (40, 500)
    deviation = 0.45 * np.exp(generator.normal(0, 0.15, shape))
    members = 0.5 * deviation * generator.normal(size=(3, *shape))
    spread = members.std(0, ddof=1)
    errors = replace(errors_of(deviation * generator.normal(size=shape)), spread=spread)
    found = calibrate(CELL_MONTH, errors)
    half = found.half_width(CELL_MONTH, spread, np.ones(40, int), np.ones(500))
    return float(half.mean() / (1.645 * deviation).mean())


def test_floor_saves_width_when_members_are_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    default = calibration.FLOOR
    assert _relative_width(default, monkeypatch) == pytest.approx(1.03, abs=0.03)
    assert _relative_width(0.1, monkeypatch) == pytest.approx(1.3, abs=0.05)
    assert _relative_width(0.02, monkeypatch) == pytest.approx(1.5, abs=0.1)


def test_spread_that_knows_the_error_gives_better_intervals() -> None:
    generator = np.random.default_rng(4)
    deviation = np.exp(generator.normal(0, 0.8, (60, 200)))
    errors = replace(
        errors_of(deviation * generator.normal(size=deviation.shape)), spread=deviation
    )
    scores = {}
    for name, spread in (("knows", deviation), ("constant", 1 + 0 * deviation)):
        found = calibrate(CELL_MONTH, replace(errors, spread=spread), reference=0.01)
        half = found.half_width(
            CELL_MONTH, spread, np.ones(60, int), np.full(200, 0.01)
        )
        truth = deviation * generator.normal(size=deviation.shape)
        scores[name] = intervals.interval_score(-half, half, truth, 0.9).mean()
        covered = intervals.coverage(-half, half, truth, np.arange(60))
        assert covered.passes
    assert scores["knows"] < 0.8 * scores["constant"]


# Pooling


def test_regions_are_pooled_below_twenty_years() -> None:
    generator = np.random.default_rng(5)
    residual = generator.normal(size=(40, 2)) * [1.0, 10.0]
    few = calibrate(REGION_YEAR, errors_of(residual[:19])).factors[REGION_YEAR]
    assert few.places_pooled
    assert len(few.values) == 1
    many = calibrate(REGION_YEAR, errors_of(residual[:20])).factors[REGION_YEAR]
    assert not many.places_pooled
    # (20 + 1) x 0.9 = 18.9: the second largest of each region.
    expected = np.sort(np.abs(residual[:20]), axis=0)[18]
    np.testing.assert_allclose(np.ravel(many.values), expected)
    assert few.years == 19
    assert many.years == 20


def test_leads_are_pooled_below_twenty_years_each() -> None:
    growing = np.tile([[1.0], [2.0], [3.0]], (20, 1))
    each = calibrate(GLOBE_YEAR, errors_of(growing, leads=3))
    assert each.factors[GLOBE_YEAR].values == ((1.0, 2.0, 3.0),)
    assert not each.factors[GLOBE_YEAR].leads_pooled
    one = calibrate(GLOBE_YEAR, errors_of(growing[:57], leads=3))
    # 19 years of each lead: (57 + 1) x 0.9 = 52.2 of 57 is among the errors of 3.
    assert one.factors[GLOBE_YEAR] == Factors(((3.0,),), 57, False, True, (1.0,))


def test_many_regions_with_leads_of_their_own() -> None:
    residual = np.tile([[1.0, 10.0], [2.0, 20.0]], (20, 1))
    found = calibrate(REGION_YEAR, errors_of(residual, leads=2))
    assert found.factors[REGION_YEAR].values == ((1.0, 2.0), (10.0, 20.0))
    half = found.half_width(REGION_YEAR, np.ones((4, 2)), np.array([0, 1, 2, 3]))
    np.testing.assert_allclose(half, [[1, 10], [1, 10], [2, 20], [np.nan, np.nan]])


def test_globe_is_never_pooled_with_regions() -> None:
    residual = np.random.default_rng(6).normal(size=(12, 3))
    found = calibration.calibrate(
        {REGION_YEAR: errors_of(10 * residual), GLOBE_YEAR: errors_of(residual[:, :1])},
        {REGION_YEAR: np.ones(3), GLOBE_YEAR: np.ones(1)},
        area=np.ones(5),
        regions=["a", "b", "c"],
    )
    # (12 + 1) x 0.9 = 11.7: the largest.
    largest = np.abs(residual[:, 0]).max()
    assert found.factors[GLOBE_YEAR].values == ((pytest.approx(largest),),)


def test_cells_that_never_vary_are_not_counted() -> None:
    residual = np.random.default_rng(7).normal(size=(12, 3))
    residual[:, 2] = 1e6
    errors = errors_of(residual)
    reference = np.array([1.0, 1.0, 0.0])
    found = calibration.calibrate(
        {CELL_MONTH: errors}, {CELL_MONTH: reference}, area=np.ones(3), regions=[]
    )
    assert found.factors[CELL_MONTH].values[0][0] < 5
    assert found.factors[CELL_MONTH].reference == ()


# The interval


def test_interval_by_hand() -> None:
    found = Calibration(
        level=0.9,
        leads=3,
        years=tuple(range(1995, 2010)),
        regions=("north", "south"),
        factors={
            REGION_YEAR: Factors(((2.0,),), 15, True, True, (0.1, 1.0)),
            CELL_MONTH: Factors(((1.5,),), 15, True, True),
        },
    )
    mean = np.array([[1.0, 2.0]])
    lower, upper = found.interval(
        REGION_YEAR, mean, np.array([[0.2, 0.2]]), np.array([3])
    )
    # Scales: 0.2 above 0.03; 0.3 x 1 above 0.2; twice that either way.
    np.testing.assert_allclose(lower, [[0.6, 1.4]])
    np.testing.assert_allclose(upper, [[1.4, 2.6]])
    with pytest.raises(ValueError, match="An interval of cells needs their reference"):
        found.half_width(CELL_MONTH, mean, np.array([1]))
    half = found.half_width(CELL_MONTH, mean, np.array([1]), np.array([10.0, 1.0]))
    np.testing.assert_allclose(half, [[4.5, 3.0]])
    assert found.describe(REGION_YEAR) == (
        "90% interval of each year and region, from errors of forecasts for 15 years "
        "(1995 to 2009) by emulators that had seen no label of theirs; leads of 1 to "
        "3 years and regions calibrated together"
    )


def test_independent_errors_are_added_in_quadrature() -> None:
    # 1.645 x sqrt(3^2 + 4^2) = 1.645 x 5.
    half = calibration.normal_multiple(0.9) * np.array([3.0, 0.0])
    found = calibration.widen(half, 4.0, np.array([0.0, 3.0]), level=0.9)
    np.testing.assert_allclose(found, 1.6448536 * np.array([5.0, 5.0]), rtol=1e-6)


# Months, years, regions


def test_leads_count_from_the_last_label() -> None:
    months = np.array(["2009-12", "2010-01", "2010-12", "2011-01", "2013-01"], "M8[M]")
    last = np.datetime64("2009-12")
    np.testing.assert_array_equal(calibration.lead_years(months, last), [0, 1, 1, 2, 4])
    np.testing.assert_array_equal(
        calibration.lead_years(months, np.datetime64("2010-06")), [0, 0, 1, 1, 3]
    )


AREA = np.array([2e12, 1e12])
SHARES = np.array([[1.0, 0.0], [0.0, 0.5]])
MONTHS = month_range("2001-01", "2002-12")


def test_supports_by_hand() -> None:
    flux = np.zeros((24, 2))
    flux[:, 0], flux[:, 1] = 1e-8, np.repeat([2e-8, 4e-8], 12)
    found = calibration.aggregate(flux, MONTHS, AREA, SHARES)
    np.testing.assert_allclose(found["cell", "year"], [[1e-8, 2e-8], [1e-8, 4e-8]])
    # 1e-8 kg m-2 s-1 x 2e12 m2 = 2e4 kg s-1; x 365.2425 x 86400 s = 0.6311 Pg.
    np.testing.assert_allclose(
        found["region", "month"][0], [0.63114, 0.31557], rtol=1e-4
    )
    np.testing.assert_allclose(found["globe", "month"][0], [4e4 * 31556952e-12])
    year = seconds_per_month(MONTHS)[:12].sum()
    np.testing.assert_allclose(found["globe", "year"][0], [4e4 * year / 1e12])
    np.testing.assert_allclose(found["region", "year"][1], [2e4 * year / 1e12] * 2)


def test_errors_of_one_origin() -> None:
    generator = np.random.default_rng(8)
    months = month_range("2001-01", "2003-06")
    truth = generator.normal(size=(30, 2)) * 1e-9
    members = truth + np.array([3e-10, -1e-10])[:, None, None]
    origin = np.datetime64("2000-12")
    found = calibration.forecast_errors(members, truth, months, origin, AREA, SHARES)
    assert set(found) == set(calibration.KEYS)
    cells = found[CELL_MONTH]
    # Mean 1e-10 too high; standard deviation of (3, -1): 2 sqrt(2).
    np.testing.assert_allclose(cells.residual, -1e-10)
    np.testing.assert_allclose(cells.spread, np.sqrt(8) * 1e-10)
    np.testing.assert_array_equal(cells.lead, np.repeat([1, 2, 3], [12, 12, 6]))
    globe = found[GLOBE_YEAR]
    np.testing.assert_array_equal(globe.year, [2001, 2002])
    np.testing.assert_array_equal(globe.lead, [1, 2])
    total = 1e-10 * 3e12 * seconds_per_month(months)[:12].sum() / 1e12
    np.testing.assert_allclose(globe.residual[0], -total)
    np.testing.assert_allclose(globe.spread[0], np.sqrt(8) * total)
    alone = calibration.forecast_errors(
        members[:1], truth, months, origin, AREA, SHARES
    )
    assert not alone[GLOBE_YEAR].spread.any()
    with pytest.raises(ValueError, match="12 of 30 months are no forecast"):
        calibration.forecast_errors(
            members, truth, months, np.datetime64("2001-12"), AREA, SHARES
        )


def test_origins_are_joined() -> None:
    one = {GLOBE_YEAR: errors_of(np.ones((3, 1)))}
    two = {GLOBE_YEAR: errors_of(2 * np.ones((2, 1)), first=1993)}
    found = calibration.gather([one, two])[GLOBE_YEAR]
    np.testing.assert_array_equal(found.year, [1990, 1991, 1992, 1993, 1994])
    np.testing.assert_array_equal(found.residual[:, 0], [1, 1, 1, 2, 2])


def test_references_leave_season_and_line_out() -> None:
    months = month_range("1981-01", "2010-12")
    steps = np.arange(months.size)
    noise = np.random.default_rng(9).normal(size=(months.size, 2)) * 1e-10
    regular = 1e-8 * np.sin(2 * np.pi * steps / 12) + 1e-11 * steps
    found = calibration.references(noise + regular[:, None], months, AREA, SHARES)
    # Twelve monthly means and the line take 13 of 360 degrees of freedom.
    np.testing.assert_allclose(found[CELL_MONTH], 1e-10, rtol=0.1)
    np.testing.assert_allclose(found["cell", "year"], 1e-10 / np.sqrt(12), rtol=0.3)
    assert found[REGION_YEAR].shape == (2,)
    # One part in thirty of the trend over the record.
    assert found[GLOBE_YEAR][0] < 0.05 * 3e12 * 1e-11 * 360 * 31556952e-12


# Kept on disk


def test_round_trip(tmp_path: Path) -> None:
    residual = np.random.default_rng(10).normal(size=(25, 2))
    found = calibration.calibrate(
        {REGION_YEAR: errors_of(residual), CELL_MONTH: errors_of(residual)},
        {REGION_YEAR: np.array([0.1, 1 / 3]), CELL_MONTH: np.ones(2)},
        area=np.array([1.0, 2.0]),
        regions=["north", "south"],
        about={"flux": "nbp", "origins": "1989-12"},
    )
    path = tmp_path / calibration.CALIBRATION_FILE
    found.write(path)
    assert calibration.read(path) == found
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.json"]
    assert found.years == tuple(range(1990, 2015))
    assert found.about["flux"] == "nbp"


@pytest.mark.parametrize(
    "change",
    [{"schema": "calibration/0"}, {"factors": {"cell/day": {}}}, {"level": None}],
)
def test_other_files_are_refused(tmp_path: Path, change: dict) -> None:
    path = tmp_path / "calibration.json"
    calibrate(GLOBE_YEAR, errors_of(np.ones((10, 1)))).write(path)
    content = json.loads(path.read_text()) | change
    if change.get("level", 1) is None:
        del content["level"]
    path.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="holds no calibration that can be read"):
        calibration.read(path)


def test_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        calibration.read(tmp_path / "calibration.json")


def test_too_few_years_are_refused() -> None:
    with pytest.raises(SettingsError, match="needs errors of 9 years or more"):
        calibrate(GLOBE_YEAR, errors_of(np.ones((8, 1))))
    assert calibrate(GLOBE_YEAR, errors_of(np.ones((9, 1)))).leads == 1
    assert calibrate(GLOBE_YEAR, errors_of(np.ones((4, 1))), level=0.8).level == 0.8
    missing = np.full((9, 1), np.nan)
    missing[:8] = 1
    with pytest.raises(SettingsError, match="come from 8"):
        calibrate(GLOBE_YEAR, errors_of(missing))


def test_impossible_levels_and_dead_regions_are_refused() -> None:
    with pytest.raises(SettingsError, match="must lie between 0 and 1"):
        calibrate(GLOBE_YEAR, errors_of(np.ones((9, 1))), level=90)
    with pytest.raises(ValueError, match="1 of 1 totals of each year and globe do not"):
        calibrate(GLOBE_YEAR, errors_of(np.ones((9, 1))), reference=0.0)


# All together


def _forecasts(first: int, origins: int, seed: int) -> list[dict]:
    """Return errors of origins three years apart, each with three years to come.

    Members err together, by cell, by region and all over the globe, and apart by
    half of that; errors last over the year and grow with the lead.
    """
    generator = np.random.default_rng(seed)
    cells, found = 20, []
    for origin in range(origins):
        start = first + 3 * origin
        months = month_range(f"{start}-01", f"{start + 2}-12")

        def noise(members: int) -> np.ndarray:
            shape = (members, 36, cells)
            lasting = np.repeat(generator.normal(size=(members, 3, cells)), 12, axis=1)
            common = np.repeat(generator.normal(size=(members, 3, 1)), 12, axis=1)
            return 1e-9 * (generator.normal(size=shape) + lasting + common)

        growth = np.repeat([1.0, 1.2, 1.4], 12)[:, None]
        truth = generator.normal(size=(36, cells)) * 1e-8
        members = truth + growth * (noise(1) + 0.5 * noise(3))
        found.append(
            calibration.forecast_errors(
                members,
                truth,
                months,
                np.datetime64(f"{start - 1}-12"),
                np.full(cells, 1e12),
                np.eye(4)[np.arange(cells) % 4].T,
            )
        )
    return found


@pytest.mark.parametrize("key", calibration.KEYS)
def test_intervals_hold_forecasts_of_later_origins(key: calibration.Key) -> None:
    before = calibration.gather(_forecasts(1960, 7, seed=11))
    after = calibration.gather(_forecasts(2000, 40, seed=12))[key]
    varies = {key: np.full(each.residual.shape[1], 2e-9 if key[0] == "cell" else 0.1)
              for key, each in before.items()}  # fmt: skip
    found = calibration.calibrate(
        before, varies, area=np.ones(20), regions=["a", "b", "c", "d"]
    )
    half = found.half_width(key, after.spread, after.lead, varies[key])
    held = intervals.coverage(-half, half, after.residual, after.year)
    assert found.factors[key].years == 21
    assert held.years == 120
    # The quantile of 21 years is itself uncertain: a beta distribution with sd 0.06.
    assert held.found == pytest.approx(0.9, abs=0.09)
    assert held.found > 0.85
