import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import emulator
from emulator.carbon.errors import StoreError
from emulator.data import forcing_archive
from emulator.data.forcing_states import states
from emulator.nightly import archive, mirror, night, retention
from emulator.nightly.incoming import archive_of
from emulator.nightly.night import Places
from emulator.nightly.replay import replay

from .deployments import Deployment, moment
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
    wanted = {each: archive.read_map(repo, each).load() for each in kept}
    before = size(repo)
    freed = retention.retain(repo, keep_nights=2)
    assert 0 < freed <= before - size(repo) + 5000  # snapshots are written anew
    assert [each.snapshot for each in archive.nights(repo)] == kept
    for each in kept:
        xr.testing.assert_identical(archive.read_map(repo, each).load(), wanted[each])
    assert emulator.open_sink(repo, as_of="v1").attrs["snapshot"] == nights[1]
    assert emulator.open_sink(repo, as_of="2002-01-02").attrs["snapshot"] == nights[1]
    with pytest.raises(StoreError, match=f"no night '{nights[0]}'"):
        emulator.open_sink(repo, as_of=nights[0])
    # Nothing is left of the others: another round finds nothing, and nights go on.
    assert retention.retain(repo, keep_nights=2) < 5000
    last = publish_night(repo, predictions(), "2002-01-07", "2001-01")
    assert [each.snapshot for each in archive.nights(repo)] == [*kept, last]
    assert [vintage.name for vintage in archive.vintages(repo)] == ["v1"]


def test_forcing_of_nights_that_can_be_opened_stays(
    first: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(night, "extras", lambda *_: mirror.nothing)
    shutil.copytree(first.root, tmp_path / "nightly", symlinks=True)
    settings = replace(first.settings, root=str(tmp_path / "nightly"), keep_nights=2)
    made = Deployment(settings)
    for day in range(4, 30, 5):
        made.offer("2008-11", status="partial", days=day)
        made.night(f"2008-11-{day + 1:02d}")
    made.offer("2008-11")
    made.night("2008-12-06")
    kept = ["2008-11-01T03:00", "2008-11-30T03:00", "2008-12-06T03:00"]
    for domain in ("land", "ocean"):
        path = archive_of(made.root, domain)
        known = [f"{state.arrived:%Y-%m-%dT%H:%M}" for state in states(path)]
        assert known == kept
    for vintage in archive.vintages(made.repo):
        sink_map = emulator.open_sink(made.root, as_of=vintage.name)
        told = json.loads(sink_map.attrs["vintage"])["land"]["forcing snapshot"]
        forcing = forcing_archive.read(archive_of(made.root, "land"), told)
        assert forcing["time"][-1] == sink_map["time"][-1]
    # The vintages are predicted again from what they knew, and beside all that others
    # read: the URLs are not asked for anything.
    again = tmp_path / "again"
    place = "s3://nowhere/deployment"
    settings = replace(settings, archive_url=place, mirror_url=place)
    days = (moment("2008-11-01"), moment("2008-12-31"))
    outcomes = replay(settings, Places(), again, *days)
    assert [outcome.changed for outcome in outcomes] == [True, True, True]
    for name in ("v2008-11", "v2008-12"):
        one, two = (emulator.open_sink(root, name) for root in (made.root, again))
        np.testing.assert_allclose(one["nbp_mean"], two["nbp_mean"], rtol=1e-4)
        np.testing.assert_array_equal(one["status"], two["status"])


def test_retention_refuses_nonsense(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep_nights is 0"):
        retention.retain(tmp_path, keep_nights=0)
    with pytest.raises(StoreError, match="There is no repository"):
        retention.retain(tmp_path / "sink.icechunk", keep_nights=1)
    assert not (tmp_path / "sink.icechunk").exists()
