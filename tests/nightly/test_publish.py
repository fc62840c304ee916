import asyncio
import errno
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from zarr.core.buffer import Buffer
from zarr.storage import LocalStore

import emulator
from emulator.carbon.errors import StoreError
from emulator.nightly import publish
from emulator.nightly.sinkmap import assemble

from .synthetic import prediction


@pytest.fixture(scope="module")
def sink_map() -> xr.Dataset:
    return assemble(prediction("land"), prediction("ocean"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_zarr_opens_plainly_and_holds_the_same(
    sink_map: xr.Dataset, tmp_path: Path
) -> None:
    path = publish.write(sink_map, tmp_path / "maps" / "my.zarr")
    assert path == tmp_path / "maps" / "my.zarr"
    assert names(path.parent) == ["my.nc", "my.zarr"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = xr.open_zarr(path)
        xr.testing.assert_identical(back.load(), sink_map)


def test_folder_gets_both_files(sink_map: xr.Dataset, tmp_path: Path) -> None:
    path = publish.write(sink_map, tmp_path / "night")
    assert path == tmp_path / "night" / "sink.zarr"
    assert names(tmp_path / "night") == ["sink.nc", "sink.zarr"]


def test_teachers_lie_in_chunks_of_their_own(
    sink_map: xr.Dataset, tmp_path: Path
) -> None:
    back = xr.open_zarr(publish.write(sink_map, tmp_path))
    assert back["nbp"].encoding["chunks"] == (1, 12, 6, 12)
    assert back["nbp_mean"].encoding["chunks"] == (12, 6, 12)


def test_netcdf_holds_means_spreads_and_budgets(
    sink_map: xr.Dataset, tmp_path: Path
) -> None:
    path = publish.write(sink_map, tmp_path).with_name("sink.nc")
    with xr.open_dataset(path) as small:
        assert "nbp" not in small
        assert "fgco2" not in small
        for name in ("nbp_mean", "fgco2_teacher_std", "nbp_emulator_std", "status"):
            np.testing.assert_array_equal(small[name], sink_map[name])
        assert small["nbp_mean"].dims == ("time", "lat", "lon")
        assert small["budget_month"].dims == ("time", "flux", "region")
        assert small["region_name"].to_numpy().tolist() == [
            "globe", "north", "tropics", "south", "other",
        ]  # fmt: skip
        np.testing.assert_array_equal(
            small["budget_month"].isel(region=0, flux=1),
            sink_map["budget_month"].sel(region="globe", flux="fgco2"),
        )
        assert small.attrs["evidence"] == "testbed"


def test_existing_map_is_kept(sink_map: xr.Dataset, tmp_path: Path) -> None:
    publish.write(sink_map, tmp_path)
    with pytest.raises(StoreError, match=r"sink\.zarr exists already.*overwrite=true"):
        publish.write(sink_map.isel(time=slice(12)), tmp_path)
    assert emulator.open_sink(tmp_path).sizes["time"] == 24
    assert names(tmp_path) == ["sink.nc", "sink.zarr"]


def test_netcdf_alone_is_kept_too(sink_map: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "sink.nc").write_text("someone's own file")
    with pytest.raises(StoreError, match=r"sink\.nc exists already"):
        publish.write(sink_map, tmp_path)


def test_existing_map_is_replaced_when_asked(
    sink_map: xr.Dataset, tmp_path: Path
) -> None:
    publish.write(sink_map, tmp_path)
    publish.write(sink_map.isel(time=slice(12)), tmp_path, overwrite=True)
    assert emulator.open_sink(tmp_path).sizes["time"] == 12
    with xr.open_dataset(tmp_path / "sink.nc") as small:
        assert small.sizes["time"] == 12
    assert names(tmp_path) == ["sink.nc", "sink.zarr"]


def test_full_disk_leaves_nothing(
    sink_map: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(publish, "write_netcdf", fail)
    with pytest.raises(StoreError, match=r"disk of .* is full; nothing was left"):
        publish.write(sink_map, tmp_path)
    assert names(tmp_path) == []


def test_disk_that_fills_amid_the_chunks_leaves_nothing(
    sink_map: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, failed = LocalStore.set, []

    async def fill(self: LocalStore, key: str, value: Buffer) -> None:
        if "/c/" in key and not failed:
            failed.append(key)
            raise OSError(errno.ENOSPC, "No space left on device")
        # Chunks behind the one that fails make their folders again.
        await asyncio.sleep(0.1 if failed else 0)
        await keep(self, key, value)

    monkeypatch.setattr(LocalStore, "set", fill)
    with pytest.raises(StoreError, match=r"disk of .* is full; nothing was left"):
        publish.write(sink_map, tmp_path)
    time.sleep(0.3)
    assert failed
    assert names(tmp_path) == []


def test_any_other_failure_leaves_nothing_either(
    sink_map: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publish, "write_netcdf", fail)
    with pytest.raises(KeyboardInterrupt):
        publish.write(sink_map, tmp_path)
    assert names(tmp_path) == []


def test_all_of_a_map_is_on_disk_before_it_has_its_name(
    sink_map: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: set[str] = set()
    on_disk: list[int] = []
    flush, swap = os.fsync, publish._swap

    def fsync(handle: int) -> None:
        place = Path(f"/proc/self/fd/{handle}").readlink()
        flushed.add(str(place.relative_to(tmp_path)))
        flush(handle)

    def swapped(one: Path, two: Path) -> None:
        parts = [one, *one.rglob("*")]
        on_disk.append(len(parts))
        assert {str(part.relative_to(tmp_path)) for part in parts} <= flushed
        swap(one, two)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(publish, "_swap", swapped)
    publish.write(sink_map, tmp_path)
    assert len(on_disk) == 2  # the store and the netCDF file
    assert min(on_disk) == 1
    assert max(on_disk) > 10
    assert "." in flushed  # the folder that tells their names


def test_failed_rename_puts_the_old_map_back(
    sink_map: xr.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish.write(sink_map, tmp_path)
    swap = publish._swap

    def fail_for_netcdf(one: Path, two: Path) -> None:
        if two == tmp_path / "sink.nc":
            raise OSError(errno.EIO, "Input/output error")
        swap(one, two)

    monkeypatch.setattr(publish, "_swap", fail_for_netcdf)
    with pytest.raises(StoreError, match=r"cannot be written .*Input/output error"):
        publish.write(sink_map.isel(time=slice(12)), tmp_path, overwrite=True)
    assert emulator.open_sink(tmp_path).sizes["time"] == 24
    assert names(tmp_path) == ["sink.nc", "sink.zarr"]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone exchanges folders")
def test_replaced_map_is_there_at_any_moment(tmp_path: Path) -> None:
    store = tmp_path / "sink.zarr"
    store.mkdir()
    (store / "zarr.json").touch()
    writer = os.fork()
    if writer == 0:
        for night in range(2000):
            stage = tmp_path / f"stage-{night}"
            (stage / "sink.zarr").mkdir(parents=True)
            (stage / "sink.zarr" / "zarr.json").touch()
            publish._replace([store], stage)
        os._exit(0)
    looks = missing = 0
    while os.waitpid(writer, os.WNOHANG) == (0, 0):
        looks += 1
        missing += not (store / "zarr.json").exists()
    assert missing == 0
    assert looks > 100


def test_map_is_replaced_where_folders_cannot_be_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "_exchanged", lambda *_: False)
    for place, text in (("stage", "new"), ("", "old")):
        (tmp_path / place / "sink.zarr").mkdir(parents=True)
        (tmp_path / place / "sink.zarr" / "zarr.json").write_text(text)
    publish._replace([tmp_path / "sink.zarr"], tmp_path / "stage")
    assert (tmp_path / "sink.zarr" / "zarr.json").read_text() == "new"
    assert (tmp_path / "stage" / "sink.zarr" / "zarr.json").read_text() == "old"


def test_unwritable_place_is_refused(sink_map: xr.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot be written to .*Choose an out=PATH"):
        publish.write(sink_map, tmp_path / "file" / "map")


def test_link_is_resolved_once(sink_map: xr.Dataset, tmp_path: Path) -> None:
    old = publish.write(sink_map, tmp_path / "old.zarr")
    new = publish.write(sink_map.assign(nbp=-sink_map["nbp"]), tmp_path / "new.zarr")
    link = tmp_path / "latest.zarr"
    link.symlink_to(old)
    opened = emulator.open_sink(link)
    link.unlink()
    link.symlink_to(new)
    np.testing.assert_array_equal(opened["nbp"], sink_map["nbp"])


def test_absent_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no sink map at"):
        emulator.open_sink(tmp_path)


def test_other_store_is_refused(tmp_path: Path) -> None:
    other = xr.Dataset({"x": 1.0}, attrs={"schema": "training-store/1"})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata")
        other.to_zarr(tmp_path / "other.zarr", consolidated=True)
    with pytest.raises(StoreError, match=r"'training-store/1'.*reads 'sink-map/1'"):
        emulator.open_sink(tmp_path / "other.zarr")
