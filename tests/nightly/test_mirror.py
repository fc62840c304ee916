import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import emulator
from emulator.carbon.errors import StoreError
from emulator.nightly import archive, mirror, opening, publish

from .nights import predictions, publish_night, revised


def deployment(root: Path) -> Path:
    """Return the archive of a deployment with one night."""
    repo = root / "sink.icechunk"
    publish_night(repo, predictions(), "2002-01-05")
    return repo


def numbers(path: Path) -> xr.Dataset:
    """Return what plain xarray reads, any warning being an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return xr.open_zarr(path).load()


def netcdf(root: Path) -> xr.Dataset:
    with xr.open_dataset(root / "sink.nc") as small:
        return small.load()


def shared(one: Path, two: Path) -> set[str]:
    """Return the chunk files that two exports share."""
    return {
        str(path.relative_to(one))
        for path in one.rglob("c*")
        if path.is_file() and path.samefile(two / path.relative_to(one))
    }


def test_export_is_the_newest_night_as_plain_zarr_and_netcdf(tmp_path: Path) -> None:
    repo = deployment(tmp_path)

    def page(folder: Path) -> None:
        assert numbers(folder / "sink.zarr").sizes["time"] == 24
        (folder / "page").mkdir()
        (folder / "page" / "index.html").write_text("a page")

    folder = mirror.export(repo, tmp_path, keep=3, extras=page)
    assert folder.parent == tmp_path / "exports"
    assert (tmp_path / "page" / "index.html").read_text() == "a page"
    xr.testing.assert_identical(
        numbers(tmp_path / "sink.zarr"), archive.read_map(repo).load()
    )
    with xr.open_dataset(tmp_path / "sink.nc") as small:
        assert small.sizes["time"] == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "current", "exports", "page", "sink.icechunk", "sink.nc", "sink.zarr",
    ]  # fmt: skip


def test_unchanged_chunks_are_links_to_the_last_export(tmp_path: Path) -> None:
    repo = deployment(tmp_path)
    old = mirror.export(repo, tmp_path, keep=3)
    before = numbers(old / "sink.zarr")
    publish_night(repo, revised(predictions(), "2001-06"), "2002-02-05", "2001-01")
    new = mirror.export(repo, tmp_path, keep=3)
    assert new != old
    assert mirror.newest(tmp_path) == new
    xr.testing.assert_identical(
        numbers(tmp_path / "sink.zarr"), archive.read_map(repo).load()
    )
    xr.testing.assert_identical(numbers(old / "sink.zarr"), before)
    # 2 teachers x 2 years in chunks of 12 months; June 2001 is in the second year.
    assert {f for f in shared(old, new) if "/nbp/" in f} == {
        "sink.zarr/nbp/c.0.0.0.0", "sink.zarr/nbp/c.1.0.0.0",
    }  # fmt: skip
    assert len([f for f in shared(old, new) if "/fgco2/" in f]) == 4
    (tmp_path / "whole").mkdir()
    publish.write_netcdf(
        publish.for_netcdf(archive.read_map(repo)), tmp_path / "whole" / "sink.nc"
    )
    xr.testing.assert_identical(netcdf(tmp_path), netcdf(tmp_path / "whole"))


def test_tables_are_exported_with_the_map(tmp_path: Path) -> None:
    repo = deployment(tmp_path)
    window = archive.read_map(repo).load()
    for rank in ([1.0, 2.0], [2.0, 1.0]):
        tables = xr.Dataset({"rank": ("year", rank)}, {"year": window["year"]})
        archive.commit(repo, window, {}, message="", properties={}, tables=tables)
        mirror.export(repo, tmp_path, keep=3)
        xr.testing.assert_identical(
            numbers(tmp_path / "sink.zarr"), archive.read_map(repo).load()
        )
        assert numbers(tmp_path / "sink.zarr")["rank"].to_numpy().tolist() == rank


def test_archive_restored_from_a_backup_is_compared_chunk_by_chunk(
    tmp_path: Path,
) -> None:
    old = mirror.export(deployment(tmp_path), tmp_path, keep=3)
    (tmp_path / "sink.icechunk").rename(tmp_path / "lost")
    repo = tmp_path / "sink.icechunk"
    publish_night(repo, revised(predictions(), "2001-06"), "2002-02-05")
    new = mirror.export(repo, tmp_path, keep=3)
    xr.testing.assert_identical(
        numbers(tmp_path / "sink.zarr"), archive.read_map(repo).load()
    )
    assert "sink.zarr/nbp/c.0.0.0.0" in shared(old, new)
    assert "sink.zarr/nbp/c.0.1.0.0" not in shared(old, new)


def test_second_export_of_a_night_does_nothing(tmp_path: Path) -> None:
    repo = deployment(tmp_path)
    folder = mirror.export(repo, tmp_path, keep=3)
    before = {path: os.lstat(path).st_ino for path in tmp_path.rglob("*")}
    assert mirror.export(repo, tmp_path, keep=3, extras=pytest.fail) == folder
    assert {path: os.lstat(path).st_ino for path in tmp_path.rglob("*")} == before


def test_last_exports_stay(tmp_path: Path) -> None:
    repo = deployment(tmp_path)
    made = [mirror.export(repo, tmp_path, keep=2)]
    for month in ("2001-05", "2001-06", "2001-07"):
        publish_night(repo, revised(predictions(), month), "2002-02-05", "2001-01")
        made.append(mirror.export(repo, tmp_path, keep=2))
    assert sorted((tmp_path / "exports").iterdir()) == sorted(made[-2:])


def test_older_exports_keep_their_zarr_store_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "WHOLE", 2)

    def page(folder: Path) -> None:
        (folder / "page").mkdir()
        (folder / "page" / "index.html").write_text("a page")

    repo = deployment(tmp_path)
    made = [mirror.export(repo, tmp_path, keep=3, extras=page)]
    backup = shutil.copytree(repo, tmp_path / "backup")
    wanted = numbers(made[0] / "sink.zarr")
    resolved = xr.open_zarr(made[0] / "sink.zarr")
    for month in ("2001-05", "2001-06"):
        publish_night(repo, revised(predictions(), month), "2002-02-05", "2001-01")
        made.append(mirror.export(repo, tmp_path, keep=3, extras=page))
    inside = [sorted(path.name for path in export.iterdir()) for export in made]
    whole = ["page", "sink.nc", "sink.zarr"]
    assert inside == [["sink.zarr"], whole, whole]
    xr.testing.assert_identical(resolved.load(), wanted)
    # The archive is taken back to the first night, which is exported anew.
    shutil.rmtree(repo)
    backup.rename(repo)
    again = mirror.export(repo, tmp_path, keep=3, extras=page)
    assert again not in made
    assert mirror.newest(tmp_path) == again
    assert (tmp_path / "page" / "index.html").read_text() == "a page"
    xr.testing.assert_identical(numbers(tmp_path / "sink.zarr"), wanted)
    assert mirror.export(repo, tmp_path, keep=3, extras=pytest.fail) == again
    # The oldest made way, not the one that was touched last.
    assert sorted((tmp_path / "exports").iterdir()) == sorted([*made[1:], again])


def test_foreign_map_is_not_replaced(tmp_path: Path) -> None:
    repo = deployment(tmp_path)
    (tmp_path / "sink.nc").write_text("someone's own file")
    with pytest.raises(StoreError, match=r"sink\.nc is no link.*Move it away"):
        mirror.export(repo, tmp_path, keep=3)
    assert not (tmp_path / "exports").exists()


def test_archive_without_a_night_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no repository at"):
        mirror.export(tmp_path / "sink.icechunk", tmp_path, keep=3)
    with pytest.raises(ValueError, match="keep is 0"):
        mirror.export(tmp_path / "sink.icechunk", tmp_path, keep=0)


def test_what_is_read_is_not_removed(tmp_path: Path) -> None:
    repo = deployment(tmp_path)
    first = mirror.export(repo, tmp_path, keep=1)
    wanted = numbers(first / "sink.zarr")["nbp"]
    opened = emulator.open_sink(tmp_path / "sink.zarr")["nbp"][:, :12]
    for month in ("2001-05", "2001-06"):
        publish_night(repo, revised(predictions(), month), "2002-02-05", "2001-01")
        mirror.export(repo, tmp_path, keep=1)
    assert len(list((tmp_path / "exports").iterdir())) == 2
    np.testing.assert_array_equal(opened, wanted[:, :12])
    del opened
    publish_night(repo, predictions(), "2002-02-05", "2001-01")
    mirror.export(repo, tmp_path, keep=1)
    assert len(list((tmp_path / "exports").iterdir())) == 1


def test_export_that_goes_before_it_is_held_gives_way_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.export(deployment(tmp_path), tmp_path, keep=1)
    resolved = opening._resolved
    # Removed between the moment the link was resolved and the one it is locked.
    places = iter([tmp_path / "exports" / "20020104T000000-GONE" / "sink.zarr"])
    monkeypatch.setattr(
        opening, "_resolved", lambda path: next(places, None) or resolved(path)
    )
    opened = emulator.open_sink(tmp_path / "sink.zarr")
    assert opened.sizes["time"] == 24


def test_past_nights_need_an_archive(tmp_path: Path) -> None:
    path = publish.write(archive.read_map(deployment(tmp_path)), tmp_path / "alone")
    with pytest.raises(StoreError, match="no archive at or beside"):
        emulator.open_sink(path, as_of="2002-01-05")


def test_repair_makes_what_lacks_and_removes_what_was_left(tmp_path: Path) -> None:
    repo = tmp_path / "sink.icechunk"
    assert mirror.repair(repo, tmp_path, keep=3) is None
    deployment(tmp_path)
    (tmp_path / "exports" / ".night.partial-1" / "half").mkdir(parents=True)
    (tmp_path / ".current.partial-1").symlink_to("nowhere")
    folder = mirror.repair(repo, tmp_path, keep=3)
    assert folder == mirror.newest(tmp_path)
    assert not list(tmp_path.rglob(".*partial*"))
    xr.testing.assert_identical(
        numbers(tmp_path / "sink.zarr"), archive.read_map(repo).load()
    )
