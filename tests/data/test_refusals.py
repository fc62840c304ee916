"""Files that no teacher can be made of: what is said, and that nothing is written.

Each fault is put into one file of a small world which is sound otherwise. Every message
names the file, what was found, what is wanted and the cure.
"""

import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import UserError
from emulator.carbon.grid import Grid
from emulator.data.prepare import prepare
from emulator.data.readers import archives, series
from emulator.data.readers.fields import read_field
from tests.data import small_files as small
from tests.data.tiny_files import noleap_days

NAME = "ONE_S2_nbp.nc"
PACKED = "ONE_S2_nbp.nc.tar.gz"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the small world; after the test nothing else may lie anywhere."""
    root = tmp_path / "world"
    small.make_files(root)
    files = "{simulation}/ONE_{simulation}_{variable}.nc*"
    small.declare(root, small.ONE | {"files": files})
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield root
    assert not list(temporary.iterdir())
    assert {path.name for path in tmp_path.iterdir()} == {"world", "temporary"}


def labels() -> np.ndarray:
    values = small.labels("S2")
    values[:, small.LAND == 0] = np.nan
    return values


def path_of(root: Path) -> Path:
    return root / "one" / "S2" / NAME


def write(root: Path, values: np.ndarray | None = None, **how: object) -> None:
    values = labels() if values is None else values
    small.write_labels(root / "one", "S2", values, **how)


def days() -> np.ndarray:
    return noleap_days(small.FIRST, 48)


def truncate(root: Path) -> None:
    path_of(root).write_bytes(path_of(root).read_bytes()[:-2000])


def empty(root: Path) -> None:
    path_of(root).write_bytes(b"")


def web_page(root: Path) -> None:
    path_of(root).write_text("<!DOCTYPE html><title>Sign in</title>")


def another_variable(root: Path) -> None:
    write(root, variable="gpp")
    path_of(root).with_name("ONE_S2_gpp.nc").replace(path_of(root))


def another_quantity(root: Path) -> None:
    write(root, units="kg m-2")


def no_unit(root: Path) -> None:
    write(root, units=None)


def per_month(root: Path) -> None:
    write(root, units="kg m-2 month-1")


def grams(root: Path) -> None:
    write(root, 1e3 * labels())


def said_in_grams(root: Path) -> None:
    write(root, units="gC m-2 s-1")


def impossible(root: Path) -> None:
    values = labels()
    values[7, 4, 2] = 1e-3
    write(root, values)


def flipped(root: Path) -> None:
    write(root, -labels())


def out_of_order(root: Path) -> None:
    time = days()
    time[[5, 6]] = time[[6, 5]]
    write(root, time=time)


def doubled(root: Path) -> None:
    time = days()
    time[6] = time[5]
    write(root, time=time)


def with_a_hole(root: Path) -> None:
    write(root, np.delete(labels(), 5, axis=0), time=np.delete(days(), 5))


def too_short(root: Path) -> None:
    write(root, labels()[:36], time=days()[:36])


def shifted_years(root: Path) -> None:
    write(root, time=days() + 365)


def northern_half(root: Path) -> None:
    # Per unit of the cell, so that no land fraction shows that rows are missing.
    half = Grid(small.GRID.lat[4:], small.GRID.lon)
    for simulation in ("S0", "S2"):
        values = small.labels(simulation)[:, 4:]
        values[:, small.LAND[4:] == 0] = np.nan
        small.write_labels(root / "one", simulation, values, grid=half)
    small.declare(root, small.ONE, land_fraction={"treatment": "none"})


def western_half(root: Path) -> None:
    half = Grid(small.GRID.lat, small.GRID.lon[:6])
    write(root, labels()[:, :, :6], grid=half)


def empty_half(root: Path) -> None:
    values = labels()
    values[20:, :, :3] = np.nan
    write(root, values)


def without_a_row(root: Path) -> None:
    lat = np.arange(-85.0, 90, 10)
    held = np.delete(lat, 7)
    other = type("Rows", (), {"lat": held, "lon": small.GRID.lon})
    write(root, np.ones((48, held.size, 12)) * 1e-9, grid=other)


def pack(root: Path, *others: tarfile.TarInfo) -> None:
    path = path_of(root)
    content = path.read_bytes()
    path.unlink()
    with tarfile.open(path.with_name(PACKED), "w:gz") as archive:
        info = tarfile.TarInfo(NAME)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
        for other in others:
            archive.addfile(other, io.BytesIO(bytes(other.size)))


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def climbing_out(root: Path) -> None:
    pack(root, member("../../../escaped.nc"))


def absolute(root: Path) -> None:
    pack(root, member("/escaped.nc"))


def linking(root: Path) -> None:
    pack(root, member("nbp.nc", tarfile.SYMTYPE, "/etc/passwd"))


def bomb(root: Path) -> None:
    endless = member("zeros")
    endless.size = 2**21
    pack(root, endless)


REFUSALS: list[tuple[Callable[[Path], None], str]] = [
    (truncate, r"it is truncated or damaged .*Get it again and compare its size"),
    (empty, r"is empty \(0 bytes\), but a NetCDF file is needed.*get it again"),
    (web_page, r"is a web page, but a NetCDF file is needed.*then get the data again"),
    (another_variable, r"no variable 'nbp' and 1 that could be .*Get the right file"),
    (another_quantity, r"'kg m-2' cannot become 'kg m-2 s-1'.*variables\.nbp\.units"),
    (no_unit, r"states no unit, but 'nbp' is wanted in .*variables\.nbp\.units"),
    (per_month, r"is per month, which has no fixed length.*variables\.nbp\.units"),
    (grams, r"global total of 'nbp' in \d{4} is .*plausible.*variables\.nbp\.units"),
    (
        said_in_grams,
        r"signs aside, comes to 0\.00\d+ PgC a year.*variables\.nbp\.units",
    ),
    (
        impossible,
        r"1 of \d+ values of 'nbp' lie outside .*e\.g\. 0\.001.*mend the file",
    ),
    (flipped, r"'nbp' has the wrong sign .*must be positive.*variables\.nbp\.sign: -1"),
    (out_of_order, r"time does not increase after .*but must\. .*get the file again"),
    (doubled, r"time does not increase after 2000-06 .*Remove doubled months"),
    (with_a_hole, r"after 2000-05 comes 2000-07, but every month .*complete file"),
    (too_short, r"holds 2000-01 to 2002-12 \(36 of 48 steps\).*missing years"),
    (shifted_years, r"holds 2001-01 to 2003-12 \(36 of 48 steps\).*correct 'years'"),
    (northern_half, r"values for \d+% of the ice-free land .*at least 80%.*Check"),
    (western_half, r"must go round the Earth\. Get the global file"),
    (empty_half, r"values for \d+% of the ice-free land .*at least 80%.*Check"),
    (without_a_row, r"jump from -25 to -5, .*a row is missing\. Get the file again"),
    (climbing_out, r"holds a path out of it, '\.\./.*get it again from its provider"),
    (absolute, r"holds an absolute path, '/escaped\.nc', but only .*get it again"),
    (linking, r"holds a link to '/etc/passwd', 'nbp\.nc', but only .*get it again"),
    (bomb, r"unpacks to \d+ bytes or more, but at most 1048576 .*unpack it beside"),
]


def snapshot(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in sorted(root.rglob("*"))}


def refused(root: Path, message: str) -> None:
    before = snapshot(root)
    with pytest.raises(UserError, match=rf"(?s)ONE_S[02]_nbp\.nc.*{message}"):
        prepare(
            small.settings(),
            data_root=root,
            stores_root=root.parent / "stores",
            catalog_dirs=[root / "catalog"],
        )
    stores = root.parent / "stores"
    if stores.exists():
        stores.rmdir()  # which fails unless it is empty
    assert snapshot(root) == before


@pytest.mark.parametrize(
    ("spoil", "message"), REFUSALS, ids=[spoil.__name__ for spoil, _ in REFUSALS]
)
def test_a_bad_file_is_refused_and_nothing_is_written(
    root: Path,
    spoil: Callable[[Path], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archives, "LARGEST", 2**20)
    spoil(root)
    refused(root, message)


def test_a_file_that_changes_while_it_is_read_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = path_of(root).read_bytes()

    def while_it_is_sent_again(path: Path, *args: object, **kwargs: object) -> object:
        field = read_field(path, *args, **kwargs)
        if path == path_of(root):
            path.write_bytes(content)
        return field

    monkeypatch.setattr(series, "read_field", while_it_is_sent_again)
    refused(root, r"changed while being read, .*must be of one version\. Wait until")


def test_the_same_world_packed_soundly_is_accepted(root: Path) -> None:
    pack(root, member("README"))
    store = prepare(
        small.settings(),
        data_root=root,
        stores_root=root / "stores",
        catalog_dirs=[root / "catalog"],
    )
    assert store.is_dir()
