"""The archive of forcing keeps every state of every month and never has a gap."""

import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import (
    GridMismatchError,
    LockError,
    StoreError,
    TimeAxisError,
)
from emulator.carbon.timeaxis import as_months, month_range
from emulator.data.forcing_archive import (
    STATUS,
    Month,
    fingerprints,
    read,
    record,
    seed,
    snapshot_of,
)
from emulator.data.repository import writing
from emulator.data.stores import write_store
from emulator.nightly import layout
from tests.worlds import tiny_forcing, tiny_forcing_store

NIGHT = datetime(2009, 1, 5, 3, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return forcing of 1990 to 2009."""
    return tiny_forcing_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def archive(tmp_path: Path, store: Path) -> Path:
    """Return an archive of 1990 to 2007."""
    path = tmp_path / "land.icechunk"
    seed(path, store, last=np.datetime64("2007-12"), now=NIGHT)
    return path


TRUTH = tiny_forcing()


def month(name: str, status: str = "final", **changes: Any) -> Month:
    """Return a month of the true weather, ``add`` warmer."""
    stamp = np.datetime64(name, "M")
    truth = TRUTH.sel(time=stamp.astype("M8[ns]"))
    add = np.float32(changes.pop("add", 0))
    days = (stamp + 1).astype("M8[D]") - stamp.astype("M8[D]")
    said = {
        "month": stamp,
        "fields": {field: truth[field].to_numpy() + add for field in ("tas", "pr")},
        "co2": float(truth["co2"]),
        "status": STATUS[status],
        "days_seen": int(days.astype(int)),
        "source": f"{name}_{status}.nc",
        "checksum": f"{name}{status}{add}",
    }
    return Month(**(said | changes))


def names(months: np.ndarray) -> list[str]:
    return [str(one) for one in months]


def test_seeded_archive_holds_the_store_month_by_month(
    archive: Path, store: Path
) -> None:
    forcing, wanted = read(archive), xr.open_zarr(store).sel(time=slice("2007-12"))
    for name in wanted.variables:
        np.testing.assert_array_equal(forcing[name], wanted[name])
    assert forcing.attrs == wanted.attrs | {"snapshot": snapshot_of(archive)}
    assert (forcing["status"] == STATUS["final"]).all()
    assert (forcing["coverage"] == 1).all()
    assert forcing["days_seen"][:3].to_numpy().tolist() == [31, 28, 31]
    assert (forcing["revision"] == 0).all()
    assert set(forcing["source"].to_numpy()) == {"tiny land forcing (prepared store)"}
    assert (forcing["arrived"] == np.datetime64("2009-01-05T03:00")).all()


def test_seeding_again_changes_nothing(archive: Path, store: Path) -> None:
    before = snapshot_of(archive)
    seed(archive, store)
    assert snapshot_of(archive) == before


def test_store_that_begins_too_late_cannot_seed(tmp_path: Path, store: Path) -> None:
    with pytest.raises(StoreError, match=r"begins in 1990-01, .* up to 1980-12"):
        seed(tmp_path / "late.icechunk", store, last=np.datetime64("1980-12"))
    assert not list(tmp_path.iterdir())


def test_codes_are_those_of_the_map() -> None:
    assert layout.STATUS.items() >= STATUS.items()


def test_months_arrive_in_any_order_and_only_once(archive: Path) -> None:
    arrivals = [month("2008-02", "partial", days_seen=5), month("2008-01")]
    assert names(record(archive, arrivals, now=NIGHT)) == ["2008-01", "2008-02"]
    state = snapshot_of(archive)
    assert record(archive, arrivals, now=NIGHT).size == 0
    assert snapshot_of(archive) == state
    forcing = read(archive)
    np.testing.assert_array_equal(forcing["tas"][-2:], TRUTH["tas"][216:218])
    assert forcing["status"][-2:].to_numpy().tolist() == [0, 2]
    # 5 of the 29 days of February 2008.
    assert forcing["coverage"][-1] == pytest.approx(5 / 29)
    assert names(as_months(forcing["time"].to_numpy())[-2:]) == ["2008-01", "2008-02"]


def test_better_replaces_worse_and_what_was_replaced_is_kept(archive: Path) -> None:
    record(archive, [month("2008-01", "partial", add=3, days_seen=9)], now=NIGHT)
    partial = snapshot_of(archive)
    record(archive, [month("2008-01", "preliminary", add=1)], now=NIGHT)
    preliminary = snapshot_of(archive)
    assert names(record(archive, [month("2008-01")], now=NIGHT)) == ["2008-01"]
    for state, status, add, revision in (
        (partial, "partial", 3, 0),
        # The end of a month is no revision of it.
        (preliminary, "preliminary", 1, 0),
        (None, "final", 0, 1),
    ):
        last = read(archive, state).isel(time=-1)
        assert int(last["status"]) == STATUS[status]
        assert int(last["revision"]) == revision
        assert str(last["source"].item()) == f"2008-01_{status}.nc"
        np.testing.assert_array_equal(
            last["tas"], TRUTH["tas"][216].to_numpy() + np.float32(add)
        )


@pytest.mark.parametrize(
    ("there", "late"),
    [
        (month("2008-01"), month("2008-01", "preliminary", add=1)),
        (month("2008-01", "preliminary"), month("2008-01", "partial", days_seen=30)),
        (
            month("2008-01", "partial", days_seen=9),
            month("2008-01", "partial", days_seen=8, add=1),
        ),
    ],
)
def test_worse_is_passed_over(archive: Path, there: Month, late: Month) -> None:
    record(archive, [there], now=NIGHT)
    state = snapshot_of(archive)
    assert record(archive, [late], now=NIGHT).size == 0
    assert snapshot_of(archive) == state


def test_other_numbers_of_the_same_status_are_a_revision(archive: Path) -> None:
    changed = record(archive, [month("2005-06", add=1)], now=NIGHT)
    assert names(changed) == ["2005-06"]
    revised = read(archive).sel(time="2005-06-01")
    assert int(revised["revision"]) == 1
    assert revised["tas"].to_numpy()[0, 0] == TRUTH["tas"][185].to_numpy()[0, 0] + 1


def test_the_same_numbers_from_another_file_are_no_change(archive: Path) -> None:
    state = snapshot_of(archive)
    assert record(archive, [month("2007-12")], now=NIGHT).size == 0
    # But what is known of their origin is.
    assert read(archive)["source"][-1].item() == "2007-12_final.nc"
    assert read(archive, state)["source"][-1].item() != "2007-12_final.nc"


def test_a_final_month_with_the_numbers_of_the_preliminary_one_changes_status_only(
    archive: Path,
) -> None:
    record(archive, [month("2008-01", "preliminary")], now=NIGHT)
    assert names(record(archive, [month("2008-01")], now=NIGHT)) == ["2008-01"]
    last = read(archive).isel(time=-1)
    assert (int(last["status"]), int(last["revision"])) == (0, 0)


def test_normals_of_new_months_are_those_of_prepare(archive: Path) -> None:
    arrivals = [month(str(name)) for name in month_range("2008-01", "2009-12")]
    record(archive, arrivals, now=NIGHT)
    # In this world, too, the first CO2 held in the years before the first.
    np.testing.assert_allclose(
        read(archive)["co2_normal"], TRUTH["co2_normal"], rtol=2e-7
    )


def test_normal_is_the_mean_of_360_months(tmp_path: Path) -> None:
    long = tiny_forcing(first=1970, last=2007)
    co2 = 330 + 0.1 * np.arange(long.sizes["time"], dtype=np.float32)
    series = long["co2"].copy(data=co2)
    normal = series.rolling(time=360).mean()
    path = forcing_archive_of(tmp_path, long.assign(co2=series, co2_normal=normal))
    changed = record(path, [month("2009-01", co2=400.0)], now=NIGHT)
    assert names(changed) == ["2009-01"]
    expected = (co2[-359:].sum(dtype=float) + 400) / 360
    assert float(read(path)["co2_normal"][-1]) == pytest.approx(expected, rel=1e-7)


def forcing_archive_of(folder: Path, forcing: xr.Dataset) -> Path:
    path = folder / "long.icechunk"
    seed(path, write_store(forcing, folder / "long.zarr"))
    return path


def test_changed_co2_changes_the_normals_after_it(archive: Path) -> None:
    told = float(TRUTH["co2"][213])
    changed = record(archive, [month("2007-10", co2=told + 36)], now=NIGHT)
    assert names(changed) == ["2007-10", "2007-11", "2007-12"]
    before = TRUTH["co2_normal"][213:216]
    # One of 360 months is higher by 36 ppm.
    np.testing.assert_allclose(
        read(archive)["co2_normal"][-3:], before + 0.1, rtol=2e-7
    )


def test_fingerprints_tell_states_apart_in_any_copy(
    archive: Path, tmp_path: Path, store: Path
) -> None:
    other = tmp_path / "other.icechunk"
    seed(other, store, last=np.datetime64("2007-12"))
    assert (fingerprints(read(archive)) == fingerprints(read(other))).all()
    record(archive, [month("2007-12", add=1)], now=NIGHT)
    differing = fingerprints(read(archive)) != fingerprints(read(other))
    assert np.flatnonzero(differing).tolist() == [215]


def test_a_gap_is_refused_and_nothing_is_written(archive: Path) -> None:
    state = snapshot_of(archive)
    with pytest.raises(TimeAxisError, match=r"2008-03 cannot .* 1990-01 to 2008-01"):
        record(archive, [month("2008-03"), month("2008-01")], now=NIGHT)
    with pytest.raises(TimeAxisError, match="1990-01 to 2007-12, and memory needs"):
        record(archive, [month("1990-01", month=np.datetime64("1989-12"))], now=NIGHT)
    assert snapshot_of(archive) == state


def test_months_with_other_variables_or_cells_are_refused(archive: Path) -> None:
    fields = month("2008-01").fields
    with pytest.raises(StoreError, match=r"\['tas'\], .* holds \['pr', 'tas'\].*pr"):
        record(archive, [month("2008-01", fields={"tas": fields["tas"]})], now=NIGHT)
    small = {name: values[1:] for name, values in fields.items()}
    with pytest.raises(GridMismatchError, match=r"\(3, 8\) cells, but .* \(4, 8\)"):
        record(archive, [month("2008-01", fields=small)], now=NIGHT)


def test_absent_and_damaged_archives_are_refused(archive: Path) -> None:
    absent = archive.with_name("none.icechunk")
    for ask in (
        read,
        snapshot_of,
        lambda path: record(path, [month("2008-01")], now=NIGHT),
    ):
        with pytest.raises(StoreError, match=r"no forcing archive at .*none\.icechunk"):
            ask(absent)
    assert not absent.exists()
    with pytest.raises(StoreError, match=r"has no state nonsense.*newest one"):
        read(archive, "nonsense")
    # An archive that was begun and never filled.
    icechunk.Repository.create(icechunk.local_filesystem_storage(str(absent)))
    with pytest.raises(StoreError, match=r"no state at all.*catches up"):
        read(absent)


def test_a_second_writer_is_refused(archive: Path) -> None:
    with writing(archive), pytest.raises(LockError, match="Another process is writing"):
        record(archive, [month("2008-01")], now=NIGHT)


def test_a_reader_keeps_its_state_while_months_arrive(archive: Path) -> None:
    reader = read(archive)
    record(archive, [month("2007-12", add=1), month("2008-01")], now=NIGHT)
    np.testing.assert_array_equal(reader["tas"], TRUTH["tas"][:216])


def test_a_backup_is_caught_up(archive: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.icechunk"
    record(archive, [month("2008-01", "preliminary")], now=NIGHT)
    shutil.copytree(archive, backup)
    arrivals = [month("2008-01"), month("2008-02", "partial", days_seen=3)]
    record(archive, arrivals, now=NIGHT)
    published = fingerprints(read(archive))
    shutil.rmtree(archive)
    shutil.copytree(backup, archive)
    assert names(record(archive, arrivals, now=NIGHT)) == ["2008-01", "2008-02"]
    assert (fingerprints(read(archive)) == published).all()


def test_an_unfinished_commit_leaves_the_archive_as_it_was(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> str:
        raise icechunk.IcechunkError("write error (os error 28)")

    before = fingerprints(read(archive))
    monkeypatch.setattr(icechunk.Session, "flush", full)
    with pytest.raises(StoreError, match=r"The disk is full: .* is as it was before"):
        record(archive, [month("2008-01")], now=NIGHT)
    assert (fingerprints(read(archive)) == before).all()


@settings(max_examples=3, deadline=None)
@given(st.data())
def test_the_order_of_arrival_does_not_matter(
    store: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    # Whatever came before, the best of what ever arrived stands in the end.
    arrivals = [
        month("2008-01", "partial", add=3, days_seen=9),
        month("2008-01", "preliminary", add=1),
        month("2008-01"),
        month("2007-11", add=2),
    ]
    path = tmp_path_factory.mktemp("order") / "a.icechunk"
    seed(path, store, last=np.datetime64("2007-12"))
    for arrival in data.draw(st.permutations(arrivals)):
        record(path, [arrival], now=NIGHT)
    forcing = read(path)
    np.testing.assert_array_equal(forcing["tas"][216], TRUTH["tas"][216])
    assert forcing["status"].to_numpy().max() == 0


@pytest.mark.slow
def test_a_night_costs_the_same_as_at_the_start(archive: Path) -> None:
    def night(count: int) -> tuple[float, int]:
        size = sum(path.stat().st_size for path in archive.rglob("*") if path.is_file())
        begun = time.process_time()
        add = 0.01 * count
        record(archive, [month("2008-01", "partial", days_seen=9, add=add)], now=NIGHT)
        spent = time.process_time() - begun
        now = sum(path.stat().st_size for path in archive.rglob("*") if path.is_file())
        return spent, now - size

    costs = np.array([night(count) for count in range(150)])
    early, late = np.median(costs[5:35], axis=0), np.median(costs[-30:], axis=0)
    assert late[0] < 1.5 * early[0]
    assert late[1] < 1.2 * early[1]
