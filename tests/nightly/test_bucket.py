import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import boto3
import obstore
import pytest
import xarray as xr
from obstore.store import MemoryStore

import emulator
from emulator.carbon.errors import StoreError
from emulator.data import repository
from emulator.nightly import archive, bucket, mirror, night, retention, window

from . import nights
from .deployments import Deployment
from .nights import assembled, publish_night, revised


def predictions() -> dict[str, xr.Dataset]:
    """Return so small a world that it takes few requests."""
    return nights.predictions(step=90.0)


def keys(url: str) -> list[str]:
    """Return what lies below a URL, relative to it."""
    name, _, prefix = url.removeprefix("s3://").partition("/")
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    found = client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=prefix)
    return [
        item["Key"].removeprefix(f"{prefix}/")
        for page in found
        for item in page.get("Contents", [])
    ]


def test_archive_lives_on_an_object_store(url: str, tmp_path: Path) -> None:
    repo = f"{url}/sink.icechunk"
    first = publish_night(repo, predictions(), "2002-01-05")
    better = revised(predictions(), "2001-06")
    second = publish_night(repo, better, "2002-02-05", "2001-01")
    assert publish_night(repo, better, "2002-02-06", "2001-01") == second
    assert [night.snapshot for night in archive.nights(repo)] == [first, second]
    archive.tag_vintage(repo, "v1", first)
    for place in (url, repo, f"{url}/sink.zarr"):
        found = emulator.open_sink(place, as_of="2002-01-31")
        assert found.attrs["snapshot"] == first
        assert emulator.open_sink(place, as_of="v1").attrs["snapshot"] == first
    local = tmp_path / "sink.icechunk"
    publish_night(local, predictions(), "2002-01-05")
    publish_night(local, better, "2002-02-05", "2001-01")
    found, wanted = (
        emulator.open_sink(place).load().assign_attrs(snapshot="", date_created="")
        for place in (url, local)
    )
    xr.testing.assert_equal(found, wanted)
    retention.retain(repo, keep_nights=1)
    assert [night.snapshot for night in archive.nights(repo)] == [first, second]


def test_an_archive_moves_there_file_by_file(first: Deployment, url: str) -> None:
    name, _, prefix = url.removeprefix("s3://").partition("/")
    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    for path in filter(Path.is_file, first.repo.rglob("*")):
        place = f"{prefix}/sink.icechunk/{path.relative_to(first.repo)}"
        client.upload_file(str(path), name, place)
    found, wanted = (emulator.open_sink(place) for place in (url, first.root))
    xr.testing.assert_identical(found[["nbp"]].load(), wanted[["nbp"]].load())
    assert archive.vintages(f"{url}/sink.icechunk") == archive.vintages(first.repo)


def test_second_of_two_writers_is_refused(url: str) -> None:
    repo = f"{url}/sink.icechunk"
    publish_night(repo, predictions(), "2002-01-05")
    slow = assembled(revised(predictions(), "2001-07"), "2002-02-05")
    with repository.writing(repo) as begun:
        other = publish_night(repo, revised(predictions(), "2001-06"), "2002-02-05")
        window.write(begun.session.store, "", slow)
        with pytest.raises(StoreError, match="Another process committed"):
            repository.commit(begun, "late", {})
    assert archive.last_night(repo).snapshot == other


def test_upload_says_last_what_is_newest(url: str, tmp_path: Path) -> None:
    repo = tmp_path / "sink.icechunk"
    publish_night(repo, predictions(), "2002-01-05")
    with pytest.raises(StoreError, match=r"neither an archive nor latest\.json"):
        emulator.open_sink(url)
    first = mirror.export(repo, tmp_path, keep=3)
    bucket.upload(first, url, keep=2)
    xr.testing.assert_identical(
        emulator.open_sink(url).load(), archive.read_map(repo).load()
    )
    # The clock is set back before the last night.
    for month, day in (("2001-06", "2002-02-05"), ("2001-07", "2002-01-04")):
        old = emulator.open_sink(url)
        before = archive.read_map(repo).load()
        publish_night(repo, revised(predictions(), month), day, "2001-01")
        made = bucket.upload(mirror.export(repo, tmp_path, keep=3), url, keep=2)
        xr.testing.assert_identical(old.load(), before)
        wanted = archive.read_map(repo).load()
        xr.testing.assert_identical(emulator.open_sink(url).load(), wanted)
        xr.testing.assert_identical(
            emulator.open_sink(f"{made}/sink.zarr").load(), wanted
        )
    nights = {key.split("/")[1] for key in keys(url) if key.startswith("exports/")}
    assert len(nights) == 2
    assert first.name not in nights


def test_of_exports_of_one_second_the_later_night_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Object stores tell times to the second.
    store = MemoryStore()
    moment = datetime(2002, 1, 5, tzinfo=UTC)
    monkeypatch.setattr(bucket, "_uploaded", lambda *_: moment)
    names = ["20020105T030000-A", "20020106T030000-B", "20020107T030000-C"]
    for name in names:
        obstore.put(store, f"exports/{name}/sink.zarr/zarr.json", b"{}")
    bucket._remove_old(store, names[-1], keep=2)
    left = [item["path"].split("/")[1] for part in store.list() for item in part]
    assert sorted(left) == names[1:]


def test_nights_bring_their_exports_there(
    first: Deployment, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(night, "extras", lambda *_: mirror.nothing)
    shutil.copytree(first.root, tmp_path / "nightly", symlinks=True)
    settings = replace(first.settings, root=str(tmp_path / "nightly"))
    made = Deployment(replace(settings, mirror_url=f"{url[:-12]}-missing/deployment"))
    made.offer("2008-11")
    with pytest.raises(StoreError, match="Check the URL, the network"):
        made.night("2008-12-06")
    at_home = emulator.open_sink(made.root).load()
    assert str(at_home["time"].to_numpy()[-1].astype("M8[M]")) == "2008-11"
    # Nothing is new, but what could not be brought there is brought now.
    made.settings = replace(made.settings, mirror_url=url)
    assert not made.night("2008-12-07").changed
    there = emulator.open_sink(url).load()
    xr.testing.assert_equal(there["nbp_mean"], at_home["nbp_mean"])
    xr.testing.assert_equal(there["budget_12month"], at_home["budget_12month"])
