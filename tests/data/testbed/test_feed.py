"""The feed offers what a centre would have offered on a day."""

import hashlib
import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import StoreError
from emulator.carbon.timeaxis import month_range
from emulator.data.testbed import feed
from emulator.data.testbed.feed import Piece, daily, offered, publish
from emulator.data.testbed.files import LABEL

FIRST = np.datetime64("1864-01", "M")


def names(folder: Path) -> list[str]:
    return [
        entry["name"]
        for entry in json.loads((folder / "index.json").read_text())["files"]
    ]


def values(path: Path, name: str) -> np.ndarray:
    with xr.open_dataset(path) as opened:
        return opened[name].to_numpy()


@pytest.mark.parametrize(
    ("today", "kind"),
    [
        # January ends on 1 February, 0 h: 5 days later it is the 6th, 65 days later
        # 7 April.
        (date(2001, 4, 7), "final"),
        (date(2001, 4, 6), "preliminary"),
        (date(2001, 2, 6), "preliminary"),
        (date(2001, 2, 5), "daily"),
    ],
)
def test_months_get_better_with_time(today: date, kind: str) -> None:
    january = np.datetime64("2001-01", "M")
    pieces = list(offered(today, january, january))
    assert {piece.kind for piece in pieces} == {kind}
    assert len(pieces) == (31 if kind == "daily" else 1)


def test_days_are_offered_one_day_after_their_end() -> None:
    january = np.datetime64("2001-01", "M")
    assert list(offered(date(2001, 1, 2), january, january)) == []
    assert list(offered(date(2001, 1, 4), january, january + 5)) == [
        Piece(january, 1, "daily"),
        Piece(january, 2, "daily"),
    ]


@pytest.mark.parametrize("name", list(feed.VARIABLES["land"] + feed.VARIABLES["ocean"]))
def test_days_have_the_mean_of_their_month(name: str) -> None:
    rng = np.random.default_rng(0)
    months = rng.uniform(0, 1, (3, 4, 6))
    lat, lon = np.linspace(-60, 60, 4), np.linspace(-150, 150, 6)
    months[:, 0, 0] = 0.0
    days = daily(name, months, np.datetime64("2001-02", "M"), lat, lon)
    assert days.shape == (28, 4, 6)
    np.testing.assert_allclose(days.mean(axis=0), months[1], rtol=1e-12, atol=1e-12)
    assert days.std(axis=0)[1:].min() > 0
    if name not in ("tas", "tos", "sos"):
        assert days.min() >= 0
    again = daily(name, months, np.datetime64("2001-02", "M"), lat, lon)
    np.testing.assert_array_equal(again, days)


def test_days_follow_the_season() -> None:
    # From 0 through 30 to 60 K: the first day is half a month before the middle.
    months = np.array([0.0, 30.0, 60.0])[:, None, None] * np.ones((3, 2, 4))
    lat, lon = np.array([-45.0, 45.0]), np.array([-135.0, -45.0, 45.0, 135.0])
    days = daily("tas", months, np.datetime64("2001-04", "M"), lat, lon).mean(
        axis=(1, 2)
    )
    assert days[0] == pytest.approx(15.5, abs=6)
    assert days[-1] == pytest.approx(44.5, abs=6)


@pytest.mark.parametrize("domain", ["land", "ocean"])
def test_final_is_what_teachers_saw_and_preliminary_is_not(
    files_root: Path, tmp_path: Path, domain: str
) -> None:
    testbed = files_root / "testbed"
    folder = publish(
        testbed, tmp_path, domain=domain, as_of=date(1864, 5, 10), first=FIRST
    )
    assert folder == tmp_path / domain
    # February's 65 days are over on 5 May, and April's 5 days on the 6th.
    assert names(folder) == [
        *(f"testbed_{domain}_186401_final.nc", f"testbed_{domain}_186402_final.nc"),
        *(f"testbed_{domain}_186403_preliminary.nc",),
        *(f"testbed_{domain}_186404_preliminary.nc",),
        *(f"testbed_{domain}_186405{day:02d}_daily.nc" for day in range(1, 9)),
    ]
    for name in feed.VARIABLES[domain]:
        truth = xr.open_dataset(next((testbed / "forcing").glob(f"{name}_testbed_*")))
        told = values(folder / f"testbed_{domain}_186402_final.nc", name)
        np.testing.assert_array_equal(told[0], truth[name].sel(time="1864-02")[0])
        told = values(folder / f"testbed_{domain}_186403_preliminary.nc", name)
        there = np.isfinite(told[0])
        true = truth[name].sel(time="1864-03")[0].to_numpy()
        assert (told[0] != true)[there].any()
        truth.close()


def test_files_say_what_they_are(files_root: Path, tmp_path: Path) -> None:
    folder = publish(
        files_root / "testbed",
        tmp_path,
        domain="land",
        as_of=date(1864, 3, 3),
        first=FIRST,
    )
    listed = json.loads((folder / "index.json").read_text())
    assert LABEL in listed["title"]
    for entry in listed["files"]:
        content = (folder / entry["name"]).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        with xr.open_dataset(folder / entry["name"]) as told:
            assert told.attrs["evidence"] == "testbed"
            assert LABEL in told.attrs["title"]
            # 280 + 32 exp(-86 / 49.4)
            assert float(told["co2"]) == pytest.approx(285.612, abs=0.001)
            stamp = str(told["time"].to_numpy()[0])[:10].replace("-", "")
            assert stamp.startswith(entry["name"].split("_")[2])


def test_replaced_files_go_and_others_stay(files_root: Path, tmp_path: Path) -> None:
    def on(day: date) -> Path:
        testbed = files_root / "testbed"
        return publish(testbed, tmp_path, domain="land", as_of=day, first=FIRST)

    folder = on(date(1864, 2, 6))
    january = folder / "testbed_land_186401_preliminary.nc"
    before = january.stat().st_mtime_ns
    assert on(date(1864, 2, 9)) == folder
    assert january.stat().st_mtime_ns == before
    on(date(1864, 4, 20))
    assert not january.exists()
    on_disk = {path.name for path in folder.iterdir()}
    assert on_disk == {*names(folder), "index.json"}


def test_the_feed_ends_with_the_weather(files_root: Path, tmp_path: Path) -> None:
    folder = publish(
        files_root / "testbed",
        tmp_path,
        domain="ocean",
        as_of=date(1900, 1, 1),
        first=np.datetime64("1865-11", "M"),
    )
    assert names(folder) == [
        f"testbed_ocean_{str(month).replace('-', '')}_final.nc"
        for month in month_range("1865-11", "1865-12")
    ]


def test_an_absent_testbed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no testbed in"):
        publish(tmp_path, tmp_path, domain="land", as_of=date(2000, 1, 1), first=FIRST)
