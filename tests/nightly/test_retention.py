from pathlib import Path

import pytest
import xarray as xr

import emulator
from emulator.carbon.errors import StoreError
from emulator.nightly import archive, retention

from .nights import predictions, publish_night, revised


def size(repo: Path) -> int:
    return sum(path.stat().st_size for path in repo.rglob("*") if path.is_file())


def test_old_nights_go_and_vintages_stay(tmp_path: Path) -> None:
    repo = tmp_path / "sink.icechunk"
    nights = []
    for number in range(1, 7):
        # The clock is set back before the fourth night.
        day = f"2002-01-{number if number < 4 else number - 2:02d}"
        given = revised(predictions(), "2001-06", factor=float(number))
        nights.append(publish_night(repo, given, day, "2001-01"))
        if number == 2:
            archive.tag_vintage(repo, "v1")
    kept = [nights[1], nights[4], nights[5]]
    wanted = {night: archive.read_map(repo, night).load() for night in kept}
    before = size(repo)
    freed = retention.retain(repo, keep_nights=2)
    assert 0 < freed <= before - size(repo) + 5000  # snapshots are written anew
    assert [night.snapshot for night in archive.nights(repo)] == kept
    for night in kept:
        xr.testing.assert_identical(archive.read_map(repo, night).load(), wanted[night])
    assert emulator.open_sink(repo, as_of="v1").attrs["snapshot"] == nights[1]
    assert emulator.open_sink(repo, as_of="2002-01-02").attrs["snapshot"] == nights[1]
    with pytest.raises(StoreError, match=f"no night '{nights[0]}'"):
        emulator.open_sink(repo, as_of=nights[0])
    # Nothing is left of the others: another round finds nothing, and nights go on.
    assert retention.retain(repo, keep_nights=2) < 5000
    last = publish_night(repo, predictions(), "2002-01-07", "2001-01")
    assert [night.snapshot for night in archive.nights(repo)] == [*kept, last]
    assert [vintage.name for vintage in archive.vintages(repo)] == ["v1"]


def test_retention_refuses_nonsense(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_nights is 0"):
        retention.retain(tmp_path, keep_nights=0)
    with pytest.raises(StoreError, match="There is no repository"):
        retention.retain(tmp_path / "sink.icechunk", keep_nights=1)
    assert not (tmp_path / "sink.icechunk").exists()
