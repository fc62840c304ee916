"""As of a date, on a tiny Earth: the later world may be anything."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import years_of
from emulator.data.stores import write_store
from emulator.evaluation import backcast_report
from emulator.evaluation.backcast import (
    Backcast,
    Delays,
    Estimate,
    Issue,
    Labels,
    Target,
    _answer,
    _digest,
    _offset,
    _settings,
    backcast,
    of_year,
    plan_issues,
    read_labels,
)
from emulator.evaluation.backcast_known import cut_store
from emulator.evaluation.backcast_settings import BackcastSettings, DelaySettings
from emulator.evaluation.forecasts import Subject
from emulator.learning.checkpoint import Checkpoint, load_checkpoint
from emulator.learning.inference import load_emulator
from emulator.learning.settings import SplitSettings, TrainSettings
from emulator.learning.weak_settings import WeakSettings
from emulator.learning.withheld import years_but_test
from tests.evaluation.published import budget_workbook
from tests.evaluation.test_backcast_known import month, without_later
from tests.learning.runs import small_gru, tiny_settings
from tests.worlds import tiny_world

# The tiny Earth knows no label of its very first month.
SPLIT = SplitSettings([1991, 2004], [2001, 2001], [2006, 2008])
QUICK = {"steps": 4, "validate_every": 2}
ASKED = BackcastSettings(
    years=[2004, 2004],
    months_known=[0, 5, 10, 12],
    periods=["2003-07/2004-06"],
    validation_years=2,
    adjust_years=5,
    delays=DelaySettings(teachers={"TWO": 10}),
)
"""Labels of TWO appear in October, those of ONE in November. By the end of October 2004
only nine months of the year are known, a month later ten."""


def world() -> xr.Dataset:
    return tiny_world(first=1990, last=2006)


def run(**changes: object) -> TrainSettings:
    model = small_gru(width=4, slow_years=[2], co2_as="rise")
    return tiny_settings(model, split=SPLIT, **QUICK | changes)


def one(issue: Issue) -> BackcastSettings:
    """Return what to ask for to get one estimate alone."""
    year = issue.target.year
    return replace(
        ASKED,
        years=[year, year] if year else [],
        months_known=[issue.months_known] if year else [],
        periods=[] if year else ASKED.periods,
        choose="each",
    )


def require_same(found: Estimate, expected: Estimate) -> None:
    assert found.issue == expected.issue
    assert found.teachers == expected.teachers
    for method, totals in expected.totals.items():
        assert np.isfinite(totals).all()
        np.testing.assert_array_equal(found.totals[method], totals, err_msg=method)
    # The one has what came later, the other has not.
    assert np.isfinite(expected.truth).all()
    assert np.isnan(found.truth).all()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_store(world(), tmp_path_factory.mktemp("stores") / "tiny.zarr")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs") / "tiny"


@pytest.fixture(scope="module")
def found(store: Path, folder: Path) -> Backcast:
    """Return one estimate, in the middle of a year."""
    return backcast(replace(ASKED, months_known=[5], periods=[]), run(), store, folder)


# The decisive test: everything is fitted again where all that came later is NaN


def test_the_later_world_may_be_anything(found: Backcast, tmp_path: Path) -> None:
    (expected,) = found.estimates
    later = without_later(world(), expected.issue.known)
    store = write_store(later, tmp_path / "tiny.zarr")
    again = backcast(one(expected.issue), run(), store, tmp_path / "run")
    require_same(again.estimates[0], expected)
    (mine,), (other,) = (
        sorted(folder.rglob("emulator.pt")) for folder in (found.folder, again.folder)
    )
    for name, weights in load_checkpoint(mine).weights.items():
        assert torch.equal(weights, load_checkpoint(other).weights[name])


@pytest.mark.slow
def test_the_later_world_may_be_anything_at_each_date(
    store: Path, tmp_path: Path
) -> None:
    asked = replace(ASKED, choose="each")
    whole = backcast(asked, run(members=2), store, tmp_path / "whole")
    assert len(whole.estimates) == 5
    for place, expected in enumerate(whole.estimates):
        later = without_later(world(), expected.issue.known)
        other = write_store(later, tmp_path / str(place) / "tiny.zarr")
        again = backcast(
            one(expected.issue), run(members=2), other, tmp_path / str(place)
        )
        require_same(again.estimates[0], expected)


@pytest.mark.slow
def test_steps_that_an_edition_inherits_are_known_too(
    store: Path, tmp_path: Path
) -> None:
    whole = backcast(replace(ASKED, periods=[]), run(), store, tmp_path / "whole")
    last = whole.estimates[-1].issue.known
    other = write_store(without_later(world(), last), tmp_path / "tiny.zarr")
    again = backcast(replace(ASKED, periods=[]), run(), other, tmp_path / "other")
    for mine, expected in zip(again.estimates, whole.estimates, strict=True):
        require_same(mine, expected)


# Networks


def test_networks_learn_the_known_labels_and_are_found_again(
    found: Backcast, store: Path, folder: Path
) -> None:
    (expected,) = found.estimates
    known = expected.issue.known
    # Five months are known at the end of June; the labels of 2002 since November 2003.
    assert known.issued == month("2004-06")
    assert known.labels == (month("2002-12"), month("2002-12"))
    path = found.folder / "editions" / "2003-11" / "members" / "0" / "emulator.pt"
    about = load_checkpoint(path).about
    assert (about["first_month"], about["last_month"]) == ("1991-01", "2002-12")
    written = path.stat().st_mtime_ns
    again = backcast(replace(ASKED, months_known=[5], periods=[]), run(), store, folder)
    assert path.stat().st_mtime_ns == written
    np.testing.assert_array_equal(
        again.estimates[0].totals["network"], expected.totals["network"]
    )


def test_other_delays_are_other_networks(found: Backcast) -> None:
    asked = replace(ASKED, months_known=[5], periods=[])
    slower = replace(asked, delays=DelaySettings(labels=12))
    digests = {
        _digest(each, run(), Path("tiny.zarr"), known, month("2003-11"))
        for each in (asked, slower, replace(asked, choose="each"))
        for known in (found.delays, Delays((12, 10), 5.0, 3))
    }
    assert len(digests) == 4  # the delays of the store decide, not how they were asked
    # Which years are estimated decides nothing.
    same = _digest(
        replace(asked, years=[2005, 2006]),
        run(),
        Path("tiny.zarr"),
        found.delays,
        month("2003-11"),
    )
    assert same == found.folder.name


def test_networks_are_moved_to_the_level_of_the_last_labels(
    found: Backcast, store: Path
) -> None:
    # By hand: the mean over 1998 to 2002 of labels - answers, for each month.
    emulator = load_emulator(found.folder / "editions" / "2003-11")
    opened, subject = xr.open_zarr(store), Subject("nbp", "S2")
    known = found.estimates[0].issue.known
    cut = cut_store(opened, known, 10)
    known_labels = read_labels(opened, subject)
    offset = _offset(emulator, cut, subject, known_labels, known, 5)
    names = ["ONE", "TWO"]
    answered, months = _answer(emulator, cut, subject, month("1998-01"), names)
    there = months <= month("2002-12")
    rows = np.isin(known_labels.months, months[there])
    missed = known_labels.rates[..., rows].mean(0) - answered[:, there]
    np.testing.assert_allclose(offset[:, 6], missed[:, 6::12].mean(1))
    # Answers so moved have the labels' mean there.
    moved = answered[:, there] + np.tile(offset, 5)
    wanted = known_labels.rates[..., rows].mean((0, 2))
    np.testing.assert_allclose(moved.mean(1), wanted)
    # And the estimate of the middle of a year follows.
    totals = found.estimates[0].totals
    assert (totals["network"] != totals["network, unadjusted"]).any()


# What is known of labels


def labels(**changes: object) -> Labels:
    months = np.arange(month("2000-01"), month("2005-01"))
    rates = np.ones((2, 1, months.size))
    rates[1] = 3.0
    rates[1, :, 36:] = np.nan  # the second ends with 2002
    values = {"months": months, "teachers": ("A", "B"), "regions": ("globe",)}
    return Labels(**{**values, "rates": rates} | changes)


def test_a_teacher_that_ended_leaves_the_mean() -> None:
    delays = Delays((11, 11), 0.0, 0)
    found = labels()
    assert found.last == [month("2004-12"), month("2002-12")]
    # At the end of November 2003 both have 2002, a year later only one has 2003.
    early = delays.known(month("2003-11"), found.last)
    current, months, rates = found.known(early)
    assert current.all()
    assert (rates == 2.0).all()
    assert months[-1] == month("2002-12")
    late = delays.known(month("2004-11"), found.last)
    current, months, rates = found.known(late)
    assert current.tolist() == [True, False]
    assert (rates == 1.0).all()
    assert months[-1] == month("2003-12")
    # A truth by other teachers would be another flux.
    assert np.isnan(found.truth(of_year(2004), np.array([True, True]))).all()
    assert np.isfinite(found.truth(of_year(2004), np.array([True, False]))).all()
    assert np.isnan(found.truth(of_year(2005), np.array([True, False]))).all()


def test_years_with_holes_are_not_whole() -> None:
    found = labels()
    found.rates[0, :, 20] = np.nan
    found.rates[0, :, 59] = np.nan
    assert found.last == [month("2003-12"), month("2002-12")]
    known = Delays((0, 0), 0.0, 0).known(month("2004-12"), found.last)
    _, months, _ = found.known(known)
    assert (months[0], months[-1]) == (month("2002-01"), month("2003-12"))


def test_without_labels_nothing_is_known() -> None:
    delays = Delays((11, 11), 0.0, 0)
    early = delays.known(month("2000-10"), labels().last)
    with pytest.raises(SettingsError, match="At the end of 2000-10 no whole year of"):
        labels().known(early)
    empty = labels(rates=np.full((2, 1, 60), np.nan))
    with pytest.raises(SettingsError, match="The store has no whole year of labels"):
        plan_issues(BackcastSettings(), empty, delays)


def test_labels_are_summed_over_globe_and_bands(store: Path) -> None:
    tiny = xr.open_zarr(store)
    found = read_labels(tiny, Subject("nbp", "S2"))
    assert found.regions == ("globe", "north", "tropics", "south")
    assert found.teachers == ("ONE", "TWO")
    row = int(np.flatnonzero(found.months == month("2000-07"))[0])
    field = tiny["nbp"].sel(simulation="S2", teacher="TWO").isel(time=row)
    expected = float((field * tiny["area"] * tiny["fraction"]).sum())
    np.testing.assert_allclose(found.rates[1, 0, row], expected, rtol=1e-6)
    np.testing.assert_allclose(
        found.rates[..., row].sum(1), 2 * found.rates[:, 0, row], rtol=1e-6
    )
    assert np.isnan(found.rates[..., years_of(found.months) > 2006]).all()


# Dates of issue


def test_each_number_of_months_has_a_date() -> None:
    asked = BackcastSettings(years=[2003, 2003], periods=["2002-07/2003-06"])
    issues = plan_issues(asked, labels(), Delays((11, 11), 5.0, 3))
    found = [(each.months_known, str(each.known.issued)) for each in issues]
    # January is known on 5 February; no month of the year at the end of January.
    expected = [(0, "2003-01"), (1, "2003-02"), (2, "2003-03"), (11, "2003-12")]
    assert [found[place] for place in (0, 1, 2, 11)] == expected
    assert found[12:] == [(12, "2004-01"), (12, "2003-07")]
    assert issues[0].known.forcing == month("2002-12")
    assert [each.target.name for each in issues[-2:]] == ["2003", "2002-07/2003-06"]


def test_the_last_ten_years_are_estimated_by_default() -> None:
    months = np.arange(month("1980-01"), month("2001-01"))
    rates = np.ones((2, 1, months.size))
    issues = plan_issues(
        BackcastSettings(months_known=[12]),
        labels(months=months, rates=rates),
        Delays((11, 11), 0.0, 0),
    )
    assert [each.target.year for each in issues] == list(range(1991, 2001))


def test_forcing_that_begins_too_late_is_refused(found: Backcast, store: Path) -> None:
    # S2 knows its weather from 1990 on: three months of memory and two whole years of
    # slow means before a month leave January 1993 as the first.
    emulator = load_emulator(found.folder / "editions" / "2003-11")
    known = found.estimates[0].issue.known
    cut = cut_store(xr.open_zarr(store), known, 10)
    subject = Subject("nbp", "S2")
    rates, months = _answer(emulator, cut, subject, month("1993-01"), ["ONE"])
    assert rates.shape == (4, months.size)
    assert (months[0], months[-1]) == (month("1993-01"), month("2004-05"))
    with pytest.raises(SettingsError, match=r"network answer 1993-01 to 2004-05, but"):
        _answer(emulator, cut, subject, month("1992-12"), ["ONE"])


# Tables


def estimates() -> Backcast:
    """Return four years of which the network misses each by 0.1, 0.1, 0.1 and -0.1."""
    delays = Delays((11,), 5.0, 3)
    truth = {2001: 1.0, 2002: 2.0, 2003: 3.0, 2004: 2.0, 2005: np.nan}
    made = []
    for year, value in truth.items():
        known = delays.known(month(f"{year + 1}-01"), (month("2004-12"),))
        off = 0.1 if year < 2004 else -0.1
        mine = 2.5 if np.isnan(value) else value + off
        totals = {name: np.array([mine, 1.0]) for name in backcast_report.METHODS}
        totals["climatology"] = np.array([2.0, 2.0])
        issue = Issue(of_year(year), 12, known)
        made.append(Estimate(issue, totals, np.array([value, 1.0]), ("A",)))
    return Backcast(
        Subject("nbp", "S2"),
        ("globe", "north"),
        tuple(made),
        delays,
        "testbed",
        Path(),
    )


def test_skill_is_that_of_the_years_with_truth() -> None:
    table = backcast_report.skill(estimates(), [0, 12])
    by = {(row.region, row.months_known, row.method): row.scores for row in table}
    network = by["globe", 12, "network"]
    assert network["rmse"].n == 4
    assert network["rmse"].value == pytest.approx(0.1)
    assert network["bias"].value == pytest.approx(0.05)  # (0.3 - 0.1) / 4
    # Climatology 2, 2, 2, 2 misses by 1, 0, -1, 0.
    climatology = by["globe", 12, "climatology"]
    assert climatology["rmse"].value == pytest.approx(np.sqrt(0.5))
    assert np.isnan(climatology["r"].value)
    # r of (1.1, 2.1, 3.1, 1.9) and (1, 2, 3, 2): 2.0 / sqrt(2.03 x 2).
    assert network["r"].value == pytest.approx(2.0 / np.sqrt(2.03 * 2.0))
    assert by["globe", 0, "network"]["rmse"].n == 0
    assert by["north", 12, "network"]["rmse"].n == 5


def test_tables_hold_every_estimate_and_score(tmp_path: Path) -> None:
    made = replace(estimates(), folder=tmp_path)
    path = backcast_report.write(made, BackcastSettings(months_known=[12]), "tiny")
    assert path == tmp_path / "backcast.md"
    text = path.read_text()
    assert "**Evidence: testbed.** nbp of simulation S2" in text
    assert (
        "| 2005 | 12 | 2006-01 | 2004-12 | 2.50 | 2.50 | 2.50 | 2.50 | 2.00 | - |"
        in text
    )
    record = json.loads((tmp_path / "backcast.json").read_text())
    assert len(record["estimates"]) == 5 * 2 * 5
    assert record["estimates"][-10]["truth"] is None
    assert record["delays"] == {"labels": [11], "forcing": 5.0, "co2": 3}
    with (tmp_path / "backcast.csv").open() as file:
        rows = list(csv.DictReader(file))
    # Two regions, one number of months, five methods, four scores.
    assert len(rows) == 2 * 5 * 4
    first = rows[0]
    assert (first["region"], first["method"], first["score"]) == (
        "globe",
        "network",
        "rmse",
    )
    assert float(first["value"]) == pytest.approx(0.1)
    assert (tmp_path / "backcast.png").is_file()
    assert len((tmp_path / "backcast_estimates.csv").read_text().splitlines()) == 51


def test_without_truth_there_are_estimates_only(tmp_path: Path) -> None:
    made = estimates()
    last = replace(made.estimates[-1], truth=np.full(2, np.nan))
    made = replace(made, folder=tmp_path, estimates=(last,))
    path = backcast_report.write(made, BackcastSettings(months_known=[12]), "tiny")
    assert "No estimated year has labels to score it with." in path.read_text()
    assert not (tmp_path / "backcast.png").exists()


def test_labels_that_estimates_are_held_against_are_read() -> None:
    made = estimates()
    assert made.reads_years(2004, 2010)
    assert not made.reads_years(2006, 2010)
    # Without labels nothing is read.
    unknown = replace(made.estimates[-1], truth=np.full(2, np.nan))
    assert not replace(made, estimates=(unknown,)).reads_years(2005, 2010)
    # A span counts by all its months.
    last = made.estimates[-2]
    span = Target(month("2004-07"), month("2005-06"))
    one = replace(last, issue=replace(last.issue, target=span))
    assert replace(made, estimates=(one,)).reads_years(2005, 2010)
    assert not replace(made, estimates=(one,)).reads_years(2006, 2010)


def test_two_years_have_no_interval() -> None:
    found = backcast_report.scores(
        np.array([1.0, 2.0]), np.array([1.5, 2.5]), np.array([2001, 2002])
    )
    assert found["rmse"].value == 0.5
    assert np.isnan(found["rmse"].low)
    assert np.isnan(found["r"].value)


# Tables that networks learn from


@pytest.mark.parametrize(("last", "is_known"), [("2023-12", False), ("2024-12", True)])
def test_a_budget_that_appeared_later_is_refused(
    tmp_path: Path, last: str, is_known: bool
) -> None:
    book = budget_workbook(tmp_path, range(1990, 2024), {"ONE": [1.0] * 34})
    weak = WeakSettings(weight=1.0, workbook=str(book))
    known = Delays((11,), 5.0, 3).known(month(last), (month("2022-12"),))
    if is_known:
        found = _settings(run(weak=weak), ASKED, known)
        assert found.learning.weak == weak
        return
    # The edition of 2024 appears in November 2024.
    with pytest.raises(
        SettingsError, match="edition of 2024, which appeared in 2024-11"
    ):
        _settings(run(weak=weak), ASKED, known)


def test_editions_that_inherit_their_steps_learn_from_a_table_too(
    store: Path, tmp_path: Path
) -> None:
    # The maps of ONE appear after 47 months, in November, its totals in a table of
    # November 2003, which ends with 2002.
    book = budget_workbook(tmp_path, range(1990, 2003), {"ONE": range(13)})
    book = book.rename(tmp_path / book.name.replace("2024", "2003"))
    weak = WeakSettings(weight=1.0, workbook=str(book), every=2)
    delays = DelaySettings(teachers={"ONE": 47, "TWO": 10})
    asked = replace(ASKED, months_known=[5, 12], periods=[], delays=delays)
    whole = backcast(asked, run(weak=weak), store, tmp_path / "whole")
    known = whole.estimates[-1].issue.known
    other = write_store(without_later(world(), known), tmp_path / "tiny.zarr")
    again = backcast(asked, run(weak=weak), other, tmp_path / "other")

    def editions(found: Backcast) -> list[Checkpoint]:
        return [load_checkpoint(path) for path in sorted(found.folder.rglob("*.pt"))]

    first, last = editions(whole)
    assert first.about["weak_years"]["S2"] == [2000, 2001, 2002]
    assert last.about["weak_years"]["S2"] == [2001, 2002]
    assert last.about["step"] == first.about["step"]
    assert last.about["fitted_on"] == "labels of 1991 to 2003"
    for mine, later in zip((first, last), editions(again), strict=True):
        for name, weights in mine.weights.items():
            assert torch.equal(later.weights[name], weights), name


def test_networks_of_an_edition_learn_all_that_was_known() -> None:
    known = Delays((11,), 5.0, 3).known(month("2003-11"), (month("2006-12"),))
    settings = run(weak=WeakSettings(weight=1.0), label_fraction=0.5)
    settings.split.withheld = [1997]
    found = _settings(settings, ASKED, known)
    assert found.split.train == [1991, 2002]
    assert found.split.validation == [2001, 2002]
    assert years_but_test(found.years()).tolist() == list(range(1991, 2003))
    assert not found.learning.weak.is_used
    assert (found.learning.refit, found.learning.label_fraction) == (True, 1.0)
