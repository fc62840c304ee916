"""Packed files read like plain ones; archives that may do harm are refused."""

import gzip
import io
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from emulator.carbon.errors import UserError
from emulator.carbon.grid import Grid
from emulator.data import catalog, readers
from emulator.data.readers import (
    archives,
    class_map,
    forest_age,
    luh,
    surface,
    tables,
)
from emulator.data.readers.fields import read_field
from emulator.data.readers.files import checksum, open_netcdf
from tests.data import cover_files as cover
from tests.data import tiny_files as tiny


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a temporary folder, which must be empty after each test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def content(tmp_path: Path) -> bytes:
    return tiny.write(tmp_path / "plain.nc", "nbp", tiny.law(24)).read_bytes()


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def read(path: Path) -> np.ndarray:
    return read_field(path, "nbp").values


def test_a_gzip_reads_like_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a.nc.gz"
    path.write_bytes(gzip.compress(content(tmp_path)))
    np.testing.assert_array_equal(read(path), tiny.law(24))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_tar_reads_like_its_only_netcdf_file(tmp_path: Path, mode: str) -> None:
    members = {
        "README.txt": b"nbp of S3",
        "home/me/._nbp.nc": archives.NETCDF_STARTS[3] + b" attributes of macOS",
        "home/me/nbp.nc": content(tmp_path),
        "home/me/notes.txt": b"after it",
    }
    path = write_tar(tmp_path / "a.nc.tar.gz", members, mode)
    np.testing.assert_array_equal(read(path), tiny.law(24))


def test_folders_inside_a_tar_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / "nbp.nc").write_bytes(content(tmp_path))
    with tarfile.open(path, "w") as archive:
        archive.add(folder, "output")
    np.testing.assert_array_equal(read(path), tiny.law(24))


def test_a_truncated_gzip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nc.gz"
    packed = gzip.compress(content(tmp_path))
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match=r"a\.nc\.gz cannot be unpacked: it is trunc"):
        read(path)


def test_a_truncated_tar_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"nbp.nc": content(tmp_path)}, "w")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"a\.tar cannot be unpacked: it is trunc"):
        read(path)


def test_a_gzip_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.nc.gz"
    path.write_bytes(gzip.compress(b"<html>" + bytes(1000)))
    with pytest.raises(UserError, match=r"begins with b'<html>.*Get it again"):
        read(path)


@pytest.mark.parametrize("names", [[], ["a.nc", "b.nc"]])
def test_a_tar_must_hold_one_netcdf_file(tmp_path: Path, names: list[str]) -> None:
    members = dict.fromkeys(names, content(tmp_path)) | {"README": b"all of S3"}
    path = write_tar(tmp_path / "a.tar.gz", members)
    with pytest.raises(UserError, match=rf"holds {len(names)} NetCDF files.*Unpack it"):
        read(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../escaped.nc", r"holds a path out of it, '\.\./\.\./escaped\.nc'"),
        ("deep/../../escaped.nc", "holds a path out of it"),
        ("/elsewhere/escaped.nc", "holds an absolute path, '/elsewhere/escaped.nc'"),
    ],
)
def test_a_path_out_of_the_archive_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    # Even behind the file that is wanted: nothing of such an archive is used.
    members = {"nbp.nc": content(tmp_path), name: content(tmp_path)}
    path = write_tar(tmp_path / "a.tar.gz", members)
    with pytest.raises(UserError, match=message + ".*get it again from its provider"):
        read(path)
    assert not list(tmp_path.rglob("escaped*"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.SYMTYPE, "holds a link to '/etc/passwd'"),
        (tarfile.LNKTYPE, "holds a link to '/etc/passwd'"),
        (tarfile.FIFOTYPE, "holds a device or pipe"),
    ],
)
def test_a_link_or_device_in_an_archive_is_refused(
    tmp_path: Path, kind: bytes, message: str
) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("nbp.nc")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(UserError, match=message):
        read(path)


def test_a_gzip_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST", 2**21)
    path = tmp_path / "a.nc.gz"
    path.write_bytes(gzip.compress(archives.NETCDF_STARTS[3] + bytes(2**23)))
    message = r"a\.nc\.gz \(\d+ bytes\) unpacks to 3145728 bytes or more, but at most "
    with pytest.raises(UserError, match=message + "2097152 .*unpack it beside itself"):
        read(path)


def test_a_tar_that_announces_too_much_is_refused_unread(tmp_path: Path) -> None:
    # The size stands in the header: nothing of a petabyte needs to be read.
    path = tmp_path / "a.tar"
    info = tarfile.TarInfo("nbp.nc")
    info.size = 10**15
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(UserError, match=r"unpacks to 10{15} bytes or more"):
        read(path)


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.nc.gz"
    path.write_bytes(gzip.compress(content(tmp_path)))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "_copy", full)
    with pytest.raises(UserError, match=r"no space is left in .*point TMPDIR"):
        read(path)


def test_another_fault_of_the_disk_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nc.gz"
    path.write_bytes(gzip.compress(content(tmp_path)))

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(archives, "_copy", broken)
    with pytest.raises(OSError, match="Input/output error"):
        read(path)


def test_a_file_unpacked_beside_its_archive_is_the_one_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny/S2/tiny_S2_nbp.nc"
    tiny.write(path, "nbp", tiny.law(24))
    packed = path.with_name("tiny_S2_nbp.nc.gz")
    packed.write_bytes(b"the archive is not even opened")
    field = readers.read(tiny.entry(), "nbp", "S2", tmp_path)
    assert field.attrs["source_file"] == path.name


# --- files that change ------------------------------------------------------


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(24))
    size = path.stat().st_size
    message = rf"a\.nc, which had {size} bytes and is now {size + 4} bytes, changed "
    with (
        pytest.raises(UserError, match=message + r"while .*Wait until"),
        open_netcdf(path),
        path.open("ab") as file,
    ):
        file.write(b"more")


def test_a_file_replaced_by_one_of_the_same_size_is_refused(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(24))
    status = path.stat()
    other = tmp_path / "b.nc"
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(UserError, match="changed while"), open_netcdf(path):
        other.replace(path)


def test_a_file_removed_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tiny.write(tmp_path / "a.nc", "nbp", tiny.law(24))
    with pytest.raises(UserError, match="is now gone"), open_netcdf(path):
        path.unlink()


def test_a_file_that_changes_before_its_checksum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The checksum in the store must be that of the values in the store.
    path = tiny.write(tmp_path / "tiny/S2/tiny_S2_nbp.nc", "nbp", tiny.law(24))

    def and_then_append(*args: object, **kwargs: object) -> object:
        field = read_field(*args, **kwargs)
        with path.open("ab") as file:
            file.write(b"more")
        return field

    monkeypatch.setattr(readers.series, "read_field", and_then_append)
    with pytest.raises(UserError, match="changed while being read"):
        readers.read(tiny.entry(), "nbp", "S2", tmp_path)


LAND_USE = Grid.regular(30.0)


def write_cover(root: Path) -> Path:
    path = root / "esa_landcover/ESACCI-LC-L4-LCCS-Map-300m-P1Y-2000-v2.0.7cds.nc"
    values = np.full((1, *LAND_USE.shape), 50)
    return cover.write_classes(path, values, LAND_USE, time=np.array([10957]))


def write_age(root: Path) -> Path:
    path = root / "forest_age/1_BGIForestAgeMPIBGC1.0.0.nc"
    return cover.write_ages(path, np.ones(LAND_USE.shape), LAND_USE)


def write_states(root: Path) -> Path:
    return cover.write_luh(root / "luh2/states.nc", cover.luh_shares())


def write_years(root: Path) -> Path:
    path = root / "tables/co2_annmean_gl.csv"
    path.parent.mkdir()
    path.write_text("year,mean,unc\n1979,336.85,0.10\n")
    return path


def write_growth(root: Path) -> Path:
    path = root / "tables/co2_gr_gl.txt"
    path.parent.mkdir()
    path.write_text("1959 0.96 0.31\n")
    return path


@pytest.mark.parametrize(
    ("name", "variable", "write", "module"),
    [
        ("esa_landcover", "forestFrac", write_cover, class_map),
        ("forest_age", "forestAge", write_age, forest_age),
        ("luh2", "cropFrac", write_states, luh),
        ("noaa_co2_annual", "co2", write_years, tables),
        ("noaa_co2_growth", "co2_growth", write_growth, tables),
    ],
)
def test_what_is_read_otherwise_is_of_its_checksum_too(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    variable: str,
    write: Callable[[Path], Path],
    module: ModuleType,
) -> None:
    path = write(tmp_path)
    entry = catalog.load(name)
    assert readers.read(entry, variable, None, tmp_path, grid=LAND_USE).size
    append_before_checksum(path, monkeypatch, module)
    message = rf"{path.name}, which had \d+ bytes .* changed while .*Wait until"
    with pytest.raises(UserError, match=message):
        readers.read(entry, variable, None, tmp_path, grid=LAND_USE)


def test_a_share_of_land_is_of_its_checksum_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = np.ones(tiny.SHAPE, "f4")
    path = tiny.write(tmp_path / "tiny/static.nc", "frac", share, units="1")
    source = {"treatment": "multiply", "variable": "frac", "file": "static.nc"}
    append_before_checksum(path, monkeypatch, surface)
    with pytest.raises(UserError, match=r"static\.nc, which had .* changed while"):
        readers.read_fraction(tiny.entry(land_fraction=source), tmp_path)


def append_before_checksum(
    path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType
) -> None:
    """Let a file grow between the reading of its values and of its checksum."""

    def later(of: Path) -> str:
        with path.open("ab") as file:
            file.write(b"#")
        return checksum(of)

    monkeypatch.setattr(module, "checksum", later)
