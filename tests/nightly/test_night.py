"""Nights one after the other: new months, revisions, and all that can go wrong."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import emulator
from emulator.carbon.errors import (
    CheckpointError,
    LockError,
    SanityError,
    SettingsError,
    SourceError,
    StoreError,
)
from emulator.carbon.timeaxis import as_months
from emulator.data import forcing_archive
from emulator.data.forcing_states import states
from emulator.evaluation.origins import calibrate_run
from emulator.evaluation.settings import CalibrateSettings
from emulator.learning.fit import train
from emulator.learning.settings import SplitSettings
from emulator.nightly import archive, journal, mirror, night
from emulator.nightly.incoming import archive_of
from emulator.nightly.lock import alone
from emulator.nightly.months import series_of
from emulator.nightly.night import Places, exit_code
from emulator.nightly.night_settings import HealthSettings, NightSettings
from emulator.nightly.replay import replay
from emulator.nightly.sanity import SanitySettings
from emulator.nightly.settings import MapSettings
from tests.learning.runs import tiny_settings
from tests.worlds import tiny_store

from .deployments import Deployment, arrival, deployment, moment, trained


@pytest.fixture
def begun(
    first: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Deployment:
    """Return a copy of it, to go on with; without tables and page, which take time."""
    monkeypatch.setattr(night, "extras", lambda *_: mirror.nothing)
    shutil.copytree(first.root, tmp_path / "nightly", symlinks=True)
    return Deployment(replace(first.settings, root=str(tmp_path / "nightly")))


def sink(made: Deployment, as_of: str | None = None) -> xr.Dataset:
    return emulator.open_sink(made.root, as_of=as_of).load()


def fluxes(sink_map: xr.Dataset) -> xr.Dataset:
    names = ["nbp", "fgco2", "nbp_mean", "fgco2_mean", "nbp_emulator_std"]
    names += ["budget_month", "budget_year", "budget_month_completion_std"]
    return sink_map[[*names, "budget_12month", "status", "coverage"]]


def same(one: xr.Dataset, two: xr.Dataset) -> None:
    # Sums of a matrix product depend in their last bits on the size of the batch.
    xr.testing.assert_allclose(fluxes(one), fluxes(two), rtol=1e-4, atol=1e-13)


@contextmanager
def keeping(made: Deployment) -> Iterator[None]:
    """Check that a night changes nothing that readers see."""
    before, last = sink(made), archive.last_night(made.repo)
    yield
    assert archive.last_night(made.repo) == last
    xr.testing.assert_identical(sink(made), before)


def test_first_night_makes_everything(first: Deployment) -> None:
    found = sink(first)
    assert str(found["time"].to_numpy()[-1].astype("M8[M]")) == "2008-10"
    assert (found["revision"] == 0).all()
    assert (found["issued"] == np.datetime64("2008-11-01T03:00")).all()
    assert (found["status"] == 0).all()
    vintage = json.loads(found.attrs["vintage"])
    snapshot = forcing_archive.snapshot_of(archive_of(first.root, "land"))
    assert vintage["land"]["forcing snapshot"] == snapshot
    assert vintage["ocean"]["teachers"] == ["ONE-sea", "TWO-sea"]
    plain = xr.open_zarr(first.root / "sink.zarr")
    np.testing.assert_array_equal(plain["nbp_mean"], found["nbp_mean"])
    assert (first.root / "sink.nc").is_file()
    assert (first.root / "page" / "index.html").is_file()
    assert (first.root / "tables" / "budget.csv").is_file()
    assert [v.name for v in archive.vintages(first.repo)] == ["v2008-11"]
    status = journal.read_status(first.root)
    assert status["newest"] == {"land": "2008-10", "ocean": "2008-10"}
    assert status["snapshot"] == archive.last_night(first.repo).snapshot
    events = [line["event"] for line in journal.read_log(first.root)]
    assert events[0] == "begun"
    assert events[-1] == "done"
    assert "sink_emulator_night_exit_code 0" in (first.root / "health.prom").read_text()


def test_new_month_is_appended(begun: Deployment) -> None:
    before = sink(begun)
    begun.offer("2008-11")
    outcome = begun.night("2008-12-06")
    assert outcome.changed
    assert outcome.predicted == {"land": 1, "ocean": 1}
    found = sink(begun)
    assert str(found["time"].to_numpy()[-1].astype("M8[M]")) == "2008-11"
    early = {"time": slice(None, "2008-10")}
    for name in ("nbp", "fgco2_mean", "budget_month", "issued", "revision"):
        np.testing.assert_array_equal(found[name].sel(early), before[name])
    assert found["issued"].to_numpy()[-1] == np.datetime64("2008-12-06T03:00")


def test_vintages_stand_side_by_side(first: Deployment, tmp_path: Path) -> None:
    shutil.copytree(first.root, tmp_path / "nightly", symlinks=True)
    made = Deployment(replace(first.settings, root=str(tmp_path / "nightly")))
    made.offer("2008-11")
    made.night("2008-12-06")
    told = xr.open_zarr(made.root / "tables" / "vintages.zarr")
    assert told["vintage"].to_numpy().tolist() == ["v2008-11", "v2008-12"]
    known = told["months_known"].sel(flux="nbp", year=2008).to_numpy()
    assert known.tolist() == [10, 11]
    before = xr.open_zarr(first.root / "tables" / "vintages.zarr")
    one = told["budget_year_to_date"].sel(vintage="v2008-11")
    np.testing.assert_array_equal(
        one.sel(year=before["year"]), before["budget_year_to_date"][0]
    )


def test_revision_is_counted_where_numbers_changed(begun: Deployment) -> None:
    begun.offer("2008-11", status="preliminary", warmer=2.0)
    begun.offer("2008-12", status="preliminary")
    begun.night("2009-01-06")
    begun.offered["land"].clear()
    begun.offered["ocean"].clear()
    begun.offer("2008-11", status="final")
    outcome = begun.night("2009-02-06")
    # Two months of memory, and a window that begins in January: November's change
    # may reach as far as the forcing.
    assert outcome.predicted == {"land": 2, "ocean": 2}
    found, then = sink(begun), sink(begun, as_of="2009-01-31")
    late = {"time": slice("2008-10", None)}
    assert found["revision"].sel(late).to_numpy().tolist() == [0, 1, 1]
    assert found["status"].sel(late).to_numpy().tolist() == [0, 0, 1]
    assert then["status"].sel(late).to_numpy().tolist() == [0, 1, 1]
    assert (found["nbp_mean"] != then["nbp_mean"]).sel(time="2008-11").any()


def test_another_status_alone_is_no_revision(begun: Deployment) -> None:
    begun.offer("2008-11", status="preliminary")
    begun.night("2008-12-06")
    begun.offer("2008-11", status="final")
    outcome = begun.night("2009-02-06")
    assert outcome.changed
    found = sink(begun)
    assert found["status"].to_numpy()[-1] == 0
    then = sink(begun, as_of="2008-12-31")
    np.testing.assert_array_equal(found["nbp"], then["nbp"])


def test_partial_month_is_flagged_and_its_doubt_counted(begun: Deployment) -> None:
    begun.offer("2008-11", status="partial", days=15)
    begun.night("2008-11-16")
    found = sink(begun)
    assert found["status"].to_numpy()[-1] == 2
    assert float(found["coverage"][-1]) == pytest.approx(0.5)
    std = found["budget_month_completion_std"].sel(region="globe")
    assert (std[:, :-1] == 0).all()
    assert (std[:, -1] > 0).all()
    begun.offer("2008-11")
    begun.night("2009-01-16")
    assert (sink(begun)["budget_month_completion_std"] == 0).all()


def test_night_without_news_changes_nothing(begun: Deployment) -> None:
    with keeping(begun):
        outcome = begun.night("2008-11-02")
    assert not outcome.changed
    assert outcome.said == "nothing new"
    status = journal.read_status(begun.root)
    assert status["last_success"] == "2008-11-02T03:00:00+00:00"
    assert status["last_news"] == "2008-11-01T03:00:00+00:00"


def test_source_that_is_down_keeps_the_old_map(begun: Deployment) -> None:
    begun.down = {"land", "ocean"}
    with keeping(begun), pytest.raises(SourceError, match="land does not answer"):
        begun.night("2008-12-06")
    status = journal.read_status(begun.root)
    assert status["exit_code"] == 3
    assert status["last_success"] == "2008-11-01T03:00:00+00:00"
    begun.down = set()
    begun.offer("2008-11")
    assert begun.night("2008-12-07").changed


def test_one_source_that_is_down_stops_no_other(begun: Deployment) -> None:
    begun.down = {"land"}
    begun.offer("2008-11")
    with pytest.raises(SourceError, match=r"otherwise: land: 0 months .*, ocean"):
        begun.night("2008-12-06")
    found = sink(begun)
    assert found["fgco2_mean"][-1].notnull().any()
    assert found["nbp_mean"][-1].isnull().all()
    begun.down = set()
    begun.night("2008-12-07")
    assert sink(begun)["nbp_mean"][-1].notnull().any()


def test_failed_night_says_what_it_published_all_the_same(begun: Deployment) -> None:
    begun.down = {"land"}
    begun.offer("2008-11")
    with pytest.raises(SourceError):
        begun.night("2008-12-06")
    status = journal.read_status(begun.root)
    assert status["exit_code"] == 3
    assert status["last_success"] == "2008-11-01T03:00:00+00:00"
    assert status["last_news"] == "2008-12-06T03:00:00+00:00"
    assert status["newest"] == {"land": "2008-10", "ocean": "2008-11"}
    assert status["predicted"] == {"land": 0, "ocean": 1}
    assert status["snapshot"] == archive.last_night(begun.repo).snapshot


def test_killed_between_forcing_and_map_it_takes_up_the_work(
    begun: Deployment,
) -> None:
    begun.offer("2008-11")
    for domain in ("land", "ocean"):
        begun.collect(domain, archive_of(begun.root, domain), moment("2008-12-06"))
    begun.down = {"land", "ocean"}
    with pytest.raises(SourceError, match="1 months predicted"):
        begun.night("2008-12-07")
    assert sink(begun)["time"].to_numpy()[-1] == np.datetime64("2008-11-01")


def test_map_that_cannot_be_right_is_not_published(begun: Deployment) -> None:
    begun.offer("2008-11", warmer=-20.0)
    narrow = SanitySettings(
        land=[-100, 100], ocean=[-100, 100], reach=1e-6, noise=[0, 0]
    )
    with keeping(begun), pytest.raises(SanityError, match="2008-11 is"):
        begun.night("2008-12-06", sanity=narrow)
    assert journal.read_status(begun.root)["exit_code"] == 4
    # What is right again is published by the next night.
    assert begun.night("2008-12-07").changed


def test_other_networks_make_a_new_vintage(
    begun: Deployment,
    land_store: Path,
    ocean_store: Path,
    tmp_path: Path,
) -> None:
    stores = {"land": land_store, "ocean": ocean_store}
    others = trained(stores, tmp_path / "others", seed=1)
    before = sink(begun)
    outcome = begun.night("2008-11-05", land=str(others["land"]))
    assert outcome.predicted["ocean"] == 0
    found = sink(begun)
    assert (found["revision"] == 1).all()
    assert (found["nbp_mean"] != before["nbp_mean"]).any()
    np.testing.assert_array_equal(found["fgco2"], before["fgco2"])
    names = [vintage.name for vintage in archive.vintages(begun.repo)]
    sha256 = emulator.open_run(others["land"]).sha256[:8]
    assert names == ["v2008-11", f"v2008-11-05-{sha256}"]
    xr.testing.assert_identical(sink(begun, as_of="v2008-11")["nbp"], before["nbp"])


def test_killed_before_a_night_has_its_names_the_next_one_gives_them(
    begun: Deployment,
    land_store: Path,
    ocean_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stores = {"land": land_store, "ocean": ocean_store}
    others = trained(stores, tmp_path / "others", seed=1)
    told: list[list[str]] = []

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as at_that_moment:
        at_that_moment.setattr(archive, "tag_vintage", killed)
        with pytest.raises(KeyboardInterrupt):
            begun.night("2008-12-05", land=str(others["land"]))
    assert [vintage.name for vintage in archive.vintages(begun.repo)] == ["v2008-11"]

    monkeypatch.setattr(
        night,
        "extras",
        lambda repo, *_: (
            lambda _: told.append([vintage.name for vintage in archive.vintages(repo)])
        ),
    )
    assert begun.night("2008-12-06", land=str(others["land"])).said == "nothing new"
    sha256 = emulator.open_run(others["land"]).sha256[:8]
    names = ["v2008-11", "v2008-12", f"v2008-12-05-{sha256}"]
    assert [vintage.name for vintage in archive.vintages(begun.repo)] == names
    assert told == [names]  # and what is exported for it knows them


def test_damaged_checkpoint_keeps_the_old_map(
    begun: Deployment, runs: dict[str, Path], tmp_path: Path
) -> None:
    damaged = shutil.copytree(runs["land"], tmp_path / "damaged")
    path = next(damaged.glob("members/*/emulator.pt"))
    path.write_bytes(path.read_bytes()[:1000])
    begun.offer("2008-11")
    with keeping(begun), pytest.raises(CheckpointError, match="is damaged"):
        begun.night("2008-12-06", land=str(damaged))
    assert journal.read_status(begun.root)["exit_code"] == 1


def test_a_run_that_is_still_trained_is_refused(
    begun: Deployment, runs: dict[str, Path], tmp_path: Path
) -> None:
    partly = shutil.copytree(runs["land"], tmp_path / "partly")
    shutil.rmtree(sorted(partly.glob("members/*"))[1])
    begun.offer("2008-11")
    wanted = pytest.raises(CheckpointError, match="partly has 1 of 2 networks: ")
    with keeping(begun), wanted:
        begun.night("2008-12-06", land=str(partly))
    assert journal.read_status(begun.root)["exit_code"] == 1


def test_another_grid_is_another_vintage(begun: Deployment) -> None:
    begun.night("2008-11-05", map=MapSettings("22.5"))
    assert begun.night("2008-11-06", map=MapSettings("22.5")).said == "nothing new"
    begun.offer("2008-11")
    outcome = begun.night("2008-12-06", map=MapSettings("22.5"))
    found = sink(begun)
    assert outcome.predicted == {"land": 1, "ocean": 1}
    assert found.sizes["lat"] == 8
    assert found["time"].size == sink(begun, as_of="v2008-11")["time"].size + 1


def test_two_at_once_are_one(begun: Deployment) -> None:
    running = pytest.raises(LockError, match="Another night is running")
    with alone(begun.root), keeping(begun), running:
        begun.night("2008-11-02")
    # The one that runs has the last word.
    assert journal.read_status(begun.root)["exit_code"] == 0


def test_clock_set_back_makes_nothing_older(
    begun: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    begun.offer("2008-11")
    begun.night("2003-01-01")
    found = sink(begun)
    assert found["issued"].to_numpy()[-1] == np.datetime64("2008-11-01T03:00")
    assert "The clock says 2003-01-01" in caplog.text
    assert str(archive.last_night(begun.repo).time) == "2008-11-01 03:00:00+00:00"


def test_forcing_from_yesterdays_backup_is_caught_up(
    begun: Deployment, tmp_path: Path
) -> None:
    kept = archive_of(begun.root, "land")
    backup = shutil.copytree(kept, tmp_path / "backup")
    begun.offer("2008-11")
    begun.night("2008-12-06")
    shutil.rmtree(kept)
    shutil.copytree(backup, kept)
    with keeping(begun):
        outcome = begun.night("2008-12-07")
    assert outcome.said == "nothing new"
    # Where the source has nothing any more, nothing is taken back.
    shutil.rmtree(kept)
    shutil.copytree(backup, kept)
    begun.offered["land"].clear()
    with keeping(begun), pytest.raises(StoreError, match="older than the map"):
        begun.night("2008-12-08")


def test_dry_run_publishes_nothing(begun: Deployment) -> None:
    begun.offer("2008-11")
    files = sorted(begun.root.rglob("*"))
    with keeping(begun):
        outcome = begun.night("2008-12-06", dry_run=True)
    assert outcome.said.startswith("would publish: land: 1 months predicted")
    assert not outcome.changed
    assert sorted(begun.root.rglob("*")) == files
    assert begun.night("2008-12-06").changed


def test_many_nights_are_one_prediction_from_final_forcing(
    runs: dict[str, Path], begun: Deployment, tmp_path: Path
) -> None:
    begun.offer("2008-11", status="partial", days=10, warmer=3.0)
    begun.night("2008-11-11")
    begun.offer("2008-11", status="preliminary", warmer=1.0)
    begun.offer("2008-12", status="partial", days=2, warmer=-1.0)
    begun.night("2008-12-06")
    begun.offer("2008-12", status="preliminary", warmer=2.0)
    begun.night("2009-01-06")
    for month in ("2008-11", "2008-12", "2009-01"):
        begun.offer(month)
    begun.night("2009-04-06")
    (tmp_path / "whole").mkdir()
    whole = deployment(tmp_path / "whole", runs, until="2009-01")
    whole.night("2009-04-06")
    same(sink(begun), sink(whole))


@pytest.mark.slow
def test_intervals_and_draws_are_those_of_a_whole_map(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(night, "extras", lambda *_: mirror.nothing)
    store = tiny_store(tmp_path, "land", first=1980)
    split = SplitSettings([1980, 2004], [2001, 2001], [2006, 2008])
    fast = {"members": 2, "steps": 2, "validate_every": 2}
    land = train(tiny_settings(split=split, **fast), store, tmp_path / "land")
    calibrate_run(CalibrateSettings(str(land), str(store), [1992, 1996, 2000], 4))
    forcing = {"land": str(land), "ocean": None}
    (tmp_path / "whole").mkdir()
    made = deployment(tmp_path, runs, **forcing, until="2007-10")
    made.night("2007-11-01")
    for month in ("2007-11", "2007-12", "2008-01"):
        made.offered["land"].append(arrival("land", month))
        made.night(f"2008-{int(month[-2:]) % 11 + 1:02d}-08")
    whole = deployment(tmp_path / "whole", runs, **forcing, until="2008-01")
    whole.night("2008-12-08")
    one, two = sink(made), sink(whole)
    # 2005 to 2007 are whole years within four years of the last label.
    assert one["nbp_draw_time"].size == 36
    names = [name for name in one.data_vars if "interval" in name or "draw" in name]
    names += ["budget_12month_half_width"]
    assert len(names) > 6
    for name in names:
        np.testing.assert_allclose(one[name], two[name], rtol=1e-4, atol=1e-12)


def test_replay_runs_the_nights_again(begun: Deployment, tmp_path: Path) -> None:
    begun.offer("2008-11", status="preliminary", warmer=1.0)
    begun.night("2008-12-06")
    begun.offer("2008-11")
    begun.night("2009-01-20")
    known = states(archive_of(begun.root, "land"))
    assert [f"{state.arrived:%Y-%m-%d}" for state in known] == [
        "2008-11-01",
        "2008-12-06",
        "2009-01-20",
    ]
    again = tmp_path / "again"
    days = (moment("2008-11-01"), moment("2009-01-31"))
    outcomes = replay(begun.settings, Places(), again, *days)
    assert [outcome.changed for outcome in outcomes] == [True, True, True]
    assert states(archive_of(begun.root, "land")) == known
    for as_of in ("2008-11-30", "2008-12-31", None):
        one, two = sink(begun, as_of), emulator.open_sink(again, as_of=as_of)
        same(one, two)
        np.testing.assert_array_equal(one["issued"], two["issued"])
    with pytest.raises(SettingsError, match="again exists already"):
        replay(begun.settings, Places(), again, *days)
    early = (moment("2001-01-01"), moment("2001-02-01"))
    with pytest.raises(SettingsError, match="no night from 2001-01-01 to 2001-02-01"):
        replay(begun.settings, Places(), tmp_path / "early", *early)


def test_first_night_needs_forcing(runs: dict[str, Path], tmp_path: Path) -> None:
    made = deployment(tmp_path, runs, land_forcing="")
    with pytest.raises(SettingsError, match="land needs forcing to begin with"):
        made.night("2008-11-01")
    assert journal.read_status(made.root)["exit_code"] == 1


def test_run_of_the_other_domain_is_refused(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    made = deployment(tmp_path, runs, land=str(runs["ocean"]))
    with pytest.raises(SettingsError, match=r"is a run of the ocean\. Give it as oc"):
        made.night("2008-11-01")


def test_series_of_all_months_go_into_tables(begun: Deployment) -> None:
    published = sink(begun)
    recent = {"time": slice("2007", None), "year": slice(2007, None)}
    window = published.sel(recent)
    tables = ["budget_12month", "rank", "land_12month"]
    window = window.drop_vars([n for n in tables if n in window])
    series = series_of(window, published)
    assert series["time"].size == published["time"].size
    for name in ("budget_month", "nbp_month", "budget_year", "nbp_simulated"):
        np.testing.assert_array_equal(series[name], published[name])
    assert "nbp" not in series
    without = series_of(window, published.drop_vars("budget_month_completion_std"))
    doubt = without["budget_month_completion_std"]
    assert doubt.sel(time=slice(None, "2006")).isnull().all()
    assert as_months(series["time"].to_numpy())[0] < np.datetime64("2007-01")


def test_exit_codes() -> None:
    found = [exit_code(kind("")) for kind in (SourceError, SanityError, StoreError)]
    assert found == [3, 4, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"land": None, "ocean": None}, "nightly needs a run"),
        ({"keep_nights": 0}, "at least one of each stays"),
        ({"completions": 1}, "completions is 1"),
        ({"now": "tomorrow"}, "now is 'tomorrow'"),
    ],
)
def test_settings_are_checked(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        NightSettings(**changes)  # type: ignore[arg-type]


def test_health_limits_are_positive() -> None:
    with pytest.raises(SettingsError, match="both must be positive"):
        HealthSettings(success_hours=0)


def test_a_source_may_be_nowhere() -> None:
    assert NightSettings().source_of("land").url == ""
    time = NightSettings(now="2025-08-01T05:00+02:00").time()
    assert time == moment("2025-08-01T03:00")
