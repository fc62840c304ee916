"""Zips give NetCDF files and nothing else, and write nowhere else."""

import os
import stat
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from emulator.carbon.errors import StoreError, UserError
from emulator.data.fetching import space
from emulator.data.readers import archives
from emulator.data.readers.zipped import unpack


def make(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_files_come_out_with_the_time_of_the_zip(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.zip", ("one/b.nc", b"b"), ("a.nc", b"a"), ("notes.txt", b"-")
    )
    os.utime(path, (1e9, 1e9))
    found = unpack(path, tmp_path / "out")
    assert [one.name for one in found] == ["a.nc", "b.nc"]
    assert [one.read_bytes() for one in found] == [b"a", b"b"]
    assert found[0].stat().st_mtime == 1e9
    # What is there is taken as it is.
    found[0].write_bytes(b"kept")
    assert unpack(path, tmp_path / "out")[0].read_bytes() == b"kept"


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("a.nc")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("../a.nc", "holds '../a.nc', which leads out of its folder"),
        ("/etc/a.nc", "holds '/etc/a.nc', which leads out"),
        ("..\\a.nc", "which leads out of its folder"),
        ("C:\\a.nc", "which leads out of its folder"),
        (link(), "holds 'a.nc', a link, but data are needed"),
        ("a.txt", r"holds \['a.txt'\], none of them a file of .nc, .grib"),
    ],
)
def test_what_is_no_plain_file_is_refused(
    tmp_path: Path, member: str | zipfile.ZipInfo, message: str
) -> None:
    path = make(tmp_path / "a.zip", (member, b"content"))
    with pytest.raises(UserError, match=message):
        unpack(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_twice_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", ("x/a.nc", b"1"), ("y/a.nc", b"2"))
    with pytest.raises(UserError, match=r"holds a\.nc twice"):
        unpack(path, tmp_path / "out")


def test_damage_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "a.zip", ("a.nc", b"content" * 100))
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(UserError, match="is no whole zip"):
        unpack(path, tmp_path / "out")
    path.write_bytes(whole.replace(b"content", b"CONTENT", 1))
    with pytest.raises(UserError, match=r"is no whole zip \(Bad CRC-32"):
        unpack(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


def test_a_zip_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "LARGEST", 1000)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.nc", bytes(500))
        archive.writestr("b.nc", bytes(501))
    assert path.stat().st_size < 500
    message = r"a\.zip \(\d+ bytes\) unpacks to 1001 bytes .* at most 1000 are accepted"
    with pytest.raises(UserError, match=message):
        unpack(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]


def test_more_than_the_disk_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "a.zip", ("a.nc", b"content"))

    # Of 70 kB a hundredth stays free.
    usage = namedtuple("Usage", "total used free")(70_000, 69_294, 706)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(
        StoreError, match=r"needs 7 bytes unpacked, but .* has 6 bytes to spare"
    ):
        unpack(path, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [path]
