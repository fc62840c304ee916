"""What a night predicts, and that it is what predicting everything would give."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import CheckpointError, StoreError
from emulator.carbon.timeaxis import as_months, month_range
from emulator.data import forcing_archive
from emulator.data.forcing_archive import Month
from emulator.learning.fit import train
from emulator.learning.inference import Emulator, open_run
from emulator.models import ModelSettings, PointwiseSettings
from emulator.nightly import predictions
from emulator.nightly.predictions import (
    KEY,
    MEMBER_MEAN,
    affected,
    ask,
    refreshed,
    task,
)
from tests.learning.runs import small_gru, tiny_settings
from tests.worlds import FORCING, tiny_forcing, tiny_forcing_store

NOW = datetime(2009, 6, 1, tzinfo=UTC)
LAST = np.datetime64("2008-10", "M")

MODELS: dict[str, ModelSettings] = {
    "window": small_gru(encoder="tcn", kernel=2, dilations=[1, 2], memory=3),
    "anchored": small_gru(memory=5),
    "slow": small_gru(memory=2, slow_years=[2]),
    "pools": small_gru(
        fluxes=["nbp"], co2_as="log", pools=[1.0, 8.0], start_year=1992, memory=2
    ),
}


@pytest.fixture(scope="module", params=list(MODELS))
def run(
    request: pytest.FixtureRequest,
    land_store: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Emulator:
    model = MODELS[request.param]
    length = {"months_per_sample": 252} if model.pools else {}
    settings = tiny_settings(model, members=2, steps=2, validate_every=2, **length)
    folder = tmp_path_factory.mktemp("runs") / request.param
    return open_run(train(settings, land_store, folder))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return an archive of the tiny forcing that ends in October 2008."""
    path = tmp_path / "land.icechunk"
    store = tiny_forcing_store(tmp_path, "land")
    forcing_archive.seed(path, store, last=LAST, now=NOW)
    return path


def arrival(month: str, *, warmer: float = 0.0, **changes: Any) -> Month:
    """Return a month of the tiny world, perhaps warmer than it was."""
    forcing = tiny_forcing("land").sel(time=month).squeeze("time")
    fields = {name: forcing[name].to_numpy() for name in FORCING["land"]}
    fields["tas"] = fields["tas"] + np.float32(warmer)
    about: dict[str, Any] = {
        "status": 0,
        "days_seen": int(forcing["time"].dt.days_in_month),
        "source": "tiny",
        "checksum": f"{month}{warmer}",
    }
    return Month(
        month=np.datetime64(month, "M"),
        fields=fields,
        co2=float(forcing["co2"]),
        **about | changes,
    )


def whole(run: Emulator, archive: Path) -> xr.Dataset:
    """Predict everything from scratch."""
    forcing = forcing_archive.read(archive)
    return refreshed(task(run, forcing, None), as_months(forcing["time"].to_numpy())[0])


def same(one: xr.Dataset, two: xr.Dataset) -> None:
    names = ["nbp", "nbp_emulator_std", MEMBER_MEAN, KEY, "status", "fraction"]
    # Sums of a matrix product depend in their last bits on the size of the batch.
    xr.testing.assert_allclose(one[names], two[names], rtol=1e-4, atol=1e-14)


def test_all_at_once_is_what_the_run_predicts(run: Emulator, archive: Path) -> None:
    forcing = forcing_archive.read(archive)
    found, expected = ask(run, forcing), run.predict(forcing)
    for name in ("nbp", "nbp_emulator_std"):
        xr.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-14)
    mean = expected["nbp"].fillna(0.0).mean("teacher")
    np.testing.assert_allclose(
        found[MEMBER_MEAN].mean("member"), mean, rtol=1e-4, atol=1e-14
    )
    assert found.sizes["member"] == 2


def test_a_month_that_is_new_is_all_that_is_predicted(
    run: Emulator, archive: Path
) -> None:
    before = whole(run, archive)
    forcing_archive.record(archive, [arrival("2008-11")], now=NOW)
    work = task(run, forcing_archive.read(archive), before)
    assert work.months[work.stale].astype(str).tolist() == ["2008-11"]
    found = refreshed(work, np.datetime64("2008-01", "M"))
    assert found.sizes["time"] == 11
    same(found, whole(run, archive).sel(time="2008"))
    # What an earlier night left stays bit by bit.
    old = found["nbp"].sel(time=slice(None, "2008-10"))
    xr.testing.assert_identical(old, before["nbp"].sel(time="2008"))


def test_a_revision_reaches_as_far_as_it_is_remembered(
    run: Emulator, archive: Path
) -> None:
    before = whole(run, archive)
    changes = [arrival("2005-03", warmer=3.0), arrival("2008-11")]
    forcing_archive.record(archive, changes, now=NOW)
    work = task(run, forcing_archive.read(archive), before)
    first = np.datetime64("2005-03", "M")
    assert work.first == first
    expected = affected(
        work.months, np.isin(work.months, [first, LAST + 1]), run.history
    )
    np.testing.assert_array_equal(work.stale, expected)
    found = refreshed(work, np.datetime64("2005-01", "M"))
    again = whole(run, archive)
    same(found, again.sel(time=slice("2005", None)))
    late = {"time": slice("2005-04", None)}
    changed = again["nbp"].sel(late) - before["nbp"].sel(late)
    assert (np.abs(changed) > 1e-13).any()


def test_a_revision_that_nobody_remembers_is_predicted_alone(
    land_store: Path, archive: Path, tmp_path: Path
) -> None:
    model = PointwiseSettings(memory=0)
    settings = tiny_settings(model, steps=1, validate_every=1)
    run = open_run(train(settings, land_store, tmp_path / "pointwise"))
    before = whole(run, archive)
    forcing_archive.record(archive, [arrival("2008-07", warmer=3.0)], now=NOW)
    work = task(run, forcing_archive.read(archive), before)
    assert work.months[work.stale].astype(str).tolist() == ["2008-07"]
    found = refreshed(work, np.datetime64("2008-01", "M"))
    again = whole(run, archive).sel(time="2008")
    xr.testing.assert_allclose(found["nbp"], again["nbp"], rtol=1e-4, atol=1e-14)


def test_nothing_new_is_nothing_to_do(run: Emulator, archive: Path) -> None:
    before = whole(run, archive)
    work = task(run, forcing_archive.read(archive), before)
    assert work.is_done
    assert work.first == np.datetime64("9999-12", "M")


def test_another_status_with_the_same_numbers_changes_no_number(
    run: Emulator, archive: Path
) -> None:
    early = arrival("2008-11", status=1)
    forcing_archive.record(archive, [early], now=NOW)
    before = whole(run, archive)
    forcing_archive.record(archive, [arrival("2008-11", status=0)], now=NOW)
    work = task(run, forcing_archive.read(archive), before)
    assert not work.is_done
    found = refreshed(work, np.datetime64("2008-01", "M"))
    xr.testing.assert_identical(found["nbp"], before["nbp"].sel(time="2008"))
    assert found["status"].to_numpy()[-1] == 0
    assert before["status"].to_numpy()[-1] == 1


def test_another_checkpoint_predicts_everything(run: Emulator, archive: Path) -> None:
    before = whole(run, archive).assign_attrs(checkpoint="another")
    work = task(run, forcing_archive.read(archive), before)
    assert work.stale.all()
    assert work.is_fresh


def test_another_past_predicts_everything(run: Emulator, archive: Path) -> None:
    before = whole(run, archive)
    first = forcing_archive.read(archive)["time"].to_numpy()[0]
    month = str(first.astype("M8[M]"))
    forcing_archive.record(archive, [arrival(month, warmer=1.0)], now=NOW)
    assert task(run, forcing_archive.read(archive), before).is_fresh


def test_an_archive_older_than_the_map_is_refused(run: Emulator, archive: Path) -> None:
    restored = forcing_archive.snapshot_of(archive)
    forcing_archive.record(archive, [arrival("2008-11")], now=NOW)
    before = whole(run, archive)
    forcing = forcing_archive.read(archive, restored)
    with pytest.raises(StoreError, match=r"ends in 2008-10, but 2008-11 was published"):
        task(run, forcing, before)


def test_history_reaches_forward() -> None:
    months = month_range("2000-01", "2000-12")
    changed = np.zeros(12, bool)
    changed[[2, 11]] = True
    # By hand: March and two months that remember it; December.
    expected = [2, 3, 4, 11]
    assert np.flatnonzero(affected(months, changed, 2)).tolist() == expected


def test_a_run_that_ends_before_its_forcing_is_refused(
    land_store: Path, archive: Path, tmp_path: Path
) -> None:
    # Pools are carried from 1992 on through 17 years: to December 2008.
    settings = tiny_settings(
        MODELS["pools"], steps=1, validate_every=1, months_per_sample=204
    )
    run = open_run(train(settings, land_store, tmp_path / "short"))
    months = [arrival(month) for month in ("2008-11", "2008-12", "2009-01")]
    forcing_archive.record(archive, months, now=NOW)
    with pytest.raises(CheckpointError, match="reaches 2009-01, but the run answers"):
        whole(run, archive)


def test_a_run_without_the_sink_is_refused(
    land_store: Path, archive: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(small_gru(fluxes=["gpp"]), steps=1, validate_every=1)
    settings.data.fluxes = ["gpp"]
    run = open_run(train(settings, land_store, tmp_path / "gross"))
    with pytest.raises(CheckpointError, match="learned gpp, but a map of the land"):
        ask(run, forcing_archive.read(archive))


def test_nothing_wanted_is_a_mistake(run: Emulator, archive: Path) -> None:
    forcing = forcing_archive.read(archive)
    with pytest.raises(ValueError, match="No month is wanted"):
        ask(run, forcing, np.zeros(forcing.sizes["time"], bool))


def test_window_begins_with_the_first_forecast_year(
    run: Emulator, archive: Path
) -> None:
    before = whole(run, archive)
    forcing_archive.record(archive, [arrival("2008-11")], now=NOW)
    work = task(run, forcing_archive.read(archive), before)
    # Labels up to 2004 were learned: the draws of 2005 to 2008 are joint.
    assert str(work.forecast) == "2005-01"
    assert str(predictions.window_start([work])) == "2005-01"
    revised = [arrival("2003-05", warmer=1.0)]
    forcing_archive.record(archive, revised, now=NOW)
    work = task(run, forcing_archive.read(archive), before)
    assert str(predictions.window_start([work])) == "2003-01"
