"""States of an archive of forcing go when nobody needs them, and only then."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import LockError, StoreError
from emulator.data.forcing_archive import STATUS, Month, read, record, seed, snapshot_of
from emulator.data.forcing_states import keep, retain, states
from emulator.data.repository import writing
from tests.worlds import tiny_forcing, tiny_forcing_store

FIRST = datetime(2008, 1, 1, 3, tzinfo=UTC)
TRUTH = tiny_forcing().sel(time="2008-01-01")


def days(count: int) -> Month:
    """Return January 2008 after some days, warmer each day."""
    fields = {
        name: TRUTH[name].to_numpy() + np.float32(count) for name in ("tas", "pr")
    }
    return Month(
        month=np.datetime64("2008-01"),
        fields=fields,
        co2=float(TRUTH["co2"]),
        status=STATUS["partial"],
        days_seen=count,
        source="tiny",
        checksum=str(count),
    )


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return an archive that has been in six states: seeded, and after 1 to 5 days."""
    path = tmp_path / "land.icechunk"
    seed(path, tiny_forcing_store(tmp_path), last=np.datetime64("2007-12"), now=FIRST)
    for count in range(1, 6):
        record(path, [days(count)], now=FIRST + timedelta(days=count))
    return path


def size(archive: Path) -> int:
    return sum(path.stat().st_size for path in archive.rglob("*") if path.is_file())


def test_states_are_told_with_their_arrival(archive: Path) -> None:
    known = states(archive)
    assert [state.arrived for state in known] == [
        FIRST + timedelta(days=count) for count in range(6)
    ]
    assert known[-1].snapshot == snapshot_of(archive)


def test_what_is_needed_or_recent_stays(archive: Path) -> None:
    seeded, _, second, _, fourth, last = (state.snapshot for state in states(archive))
    wanted = {name: read(archive, name).load() for name in (second, fourth, last)}
    before = size(archive)
    freed = retain(archive, recent=[fourth], needed=[second, "1CECHNKREP0F1RSTCMT0"])
    assert freed > 0
    assert size(archive) < before
    assert [state.snapshot for state in states(archive)] == [second, fourth, last]
    for name, forcing in wanted.items():
        xr.testing.assert_identical(read(archive, name).load(), forcing)
    with pytest.raises(StoreError, match=f"no state {seeded}"):
        read(archive, seeded)
    # What is needed stays for ever, even if nobody says so again; nights go on.
    retain(archive, recent=[], needed=[second])
    record(archive, [days(6)], now=FIRST + timedelta(days=6))
    retain(archive, recent=[], needed=[])
    assert [state.snapshot for state in states(archive)] == [
        second,
        snapshot_of(archive),
    ]
    xr.testing.assert_identical(read(archive, second).load(), wanted[second])
    assert int(read(archive)["days_seen"][-1]) == 6


def test_an_archive_stays_as_large_as_what_it_holds(archive: Path) -> None:
    retain(archive, recent=[], needed=[])
    before = size(archive)
    for count in range(6, 26):
        record(archive, [days(count)], now=FIRST + timedelta(days=count))
        retain(archive, recent=[], needed=[])
    # The series of sources and checksums are a little longer.
    assert size(archive) < 1.05 * before


def test_who_may_not_write_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no forcing archive at"):
        retain(tmp_path / "absent", recent=[], needed=[])
    with pytest.raises(StoreError, match="no forcing archive at"):
        keep(tmp_path / "absent", [])
    with writing(archive), pytest.raises(LockError, match="Another process is writ"):
        retain(archive, recent=[], needed=[])
