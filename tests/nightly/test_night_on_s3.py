"""Nights of `sink-emulator nightly` whose archive lies on an object store."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import pytest
import xarray as xr

import emulator
from emulator import cli
from emulator.nightly import archive, journal
from tests.data.centres import Centre

from .conftest import KEYS
from .deployments import UNTIL, Deployment

CHECKOUT = Path(__file__).parents[2]

Command = Callable[..., tuple[int, str, str]]


class Place:
    """A deployment of the land whose archive is at a URL.

    Attributes:
        root: Its folder.
        url: Of its archive.
        centre: Where its months come from.
        arguments: Of the command.
    """

    def __init__(self, first: Deployment, folder: Path, url: str) -> None:
        self.root, self.url = folder / "nightly", url
        self.centre = Centre(folder / "centre")
        self.arguments = [
            "nightly",
            f"root={self.root}",
            f"archive_url={url}",
            f"land={first.settings.land}",
            "ocean=null",
            f"land_forcing={first.settings.land_forcing}",
            f"land_source.url={self.centre.folder}",
            f"until={UNTIL}",
            "completions=0",
            # Networks that learned nothing are no measure of what is plausible.
            "sanity.land=[-100,100]",
            "sanity.reach=1000",
        ]

    def sink(self, as_of: str | None = None) -> xr.Dataset:
        return emulator.open_sink(self.url, as_of=as_of)

    def require_order(self) -> None:
        """Check that the plain copy is that of the newest night."""
        there, here = self.sink(), emulator.open_sink(self.root)
        assert here.attrs["snapshot"] == there.attrs["snapshot"]
        names = ["nbp_mean", "budget_12month", "status", "revision"]
        xr.testing.assert_identical(here[names].load(), there[names].load())
        assert list(self.root.glob("**/.*partial*")) == []
        assert not (self.root / "sink.icechunk").exists()


@pytest.fixture
def place(first: Deployment, tmp_path: Path, url: str) -> Place:
    return Place(first, tmp_path, url)


@pytest.fixture
def nightly(place: Place, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return the command: exit code, stdout, stderr."""

    def command(day: str, *changes: str) -> tuple[int, str, str]:
        code = cli.main([*place.arguments, f"now={day}T03:00", *changes])
        return code, *capsys.readouterr()

    return command


def newest(sink_map: xr.Dataset) -> str:
    return str(sink_map["time"].to_numpy()[-1].astype("M8[M]"))


@pytest.mark.slow
def test_nights_with_the_archive_on_an_object_store(
    place: Place, nightly: Command
) -> None:
    code, said, wrong = nightly("2008-11-20")
    assert (code, wrong) == (0, "")
    assert "sink map:" in said
    place.require_order()
    assert "</html>" in (place.root / "page" / "index.html").read_text()
    assert (place.root / "tables" / "budget.csv").stat().st_size > 0

    preliminary = place.centre.month("2008-11", "preliminary", add=2.0)
    assert nightly("2008-12-06")[0] == 0
    place.centre.forget(preliminary.name)
    place.centre.month("2008-11")
    assert nightly("2009-02-06")[0] == 0
    place.require_order()
    last = archive.last_night(f"{place.url}/sink.icechunk")
    code, said, _ = nightly("2009-02-07")
    assert (code, said.split(" (")[0]) == (0, "nothing new")
    assert archive.last_night(f"{place.url}/sink.icechunk") == last

    # A dry run writes nothing anywhere.
    place.centre.month("2008-12")
    code, said, _ = nightly("2009-02-08", "dry_run=true")
    assert (code, said.split(":")[0]) == (0, "would publish")
    assert archive.last_night(f"{place.url}/sink.icechunk") == last

    then, now = place.sink("2008-12-31"), place.sink()
    assert newest(place.sink("v2008-11")) == UNTIL
    assert newest(then) == newest(now) == "2008-11"
    assert [int(each["status"][-1]) for each in (then, now)] == [1, 0]
    assert int(now["revision"][-1]) == 1
    assert (then["nbp_mean"][-1] != now["nbp_mean"][-1]).any()
    vintages = archive.vintages(f"{place.url}/sink.icechunk")
    assert [each.name for each in vintages] == ["v2008-11", "v2008-12", "v2009-02"]

    secret = KEYS["AWS_SECRET_ACCESS_KEY"].encode()
    for path in filter(Path.is_file, place.root.rglob("*")):
        assert secret not in path.read_bytes(), path


@pytest.mark.slow
def test_a_kill_leaves_the_last_night_there(place: Place, nightly: Command) -> None:
    assert nightly("2008-11-20")[0] == 0
    program = [sys.executable, "-W", "error", "-m", "emulator.cli", *place.arguments]
    for month, step in (("2008-11", "passed"), ("2008-12", "committed")):
        before = place.sink().load()
        place.centre.month(month)
        day = f"now={np.datetime64(month, 'M') + 1}-06T03:00"
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        with subprocess.Popen([*program, day], env=environment) as killed:
            while not said(place.root, killed.pid, step):
                assert killed.poll() is None, "the night was too fast to be killed"
                time.sleep(0.002)
            killed.kill()
        found = place.sink()
        if found.attrs["snapshot"] == before.attrs["snapshot"]:
            xr.testing.assert_identical(found.load(), before)
        else:
            assert newest(found) == month
            assert found["nbp_mean"][-1].notnull().any()
        assert nightly(f"{np.datetime64(month, 'M') + 1}-07")[0] == 0
        assert newest(place.sink()) == month
        place.require_order()


def said(root: Path, pid: int, step: str) -> bool:
    """Return whether the night of a process has ended a step."""
    lines = journal.read_log(root)
    begun = [n for n, line in enumerate(lines) if line.get("pid") == pid]
    return bool(begun) and step in {line["event"] for line in lines[begun[0] :]}


def reset_rights(s3: str, free: str) -> None:
    """Let the server take so many requests before it looks at keys."""
    plain = {"Content-Type": "text/plain"}  # else it is taken for a form
    asked = Request(f"{s3}/moto-api/reset-auth", free.encode(), plain)  # noqa: S310 - our own server
    with urlopen(asked) as answer:  # noqa: S310
        assert json.load(answer)["status"] == "ok"


def test_what_cannot_be_reached_is_named(
    place: Place, nightly: Command, s3: str
) -> None:
    code, _, wrong = nightly("2008-11-20", "archive_url=s3://absent/deployment")
    assert code == 1
    assert "NoSuchBucket" in wrong
    assert "keys in the environment" in wrong
    reset_rights(s3, "0")
    try:
        code, _, wrong = nightly("2008-11-20")
    finally:
        reset_rights(s3, "inf")
    assert code == 1
    assert "InvalidAccessKeyId" in wrong
    for path in filter(Path.is_file, place.root.rglob("*")):
        text = path.read_text()
        assert not any(KEYS[name] in text for name in KEYS if "KEY" in name), path
    # Nothing was begun that a night with the right keys would have to mend.
    assert not (place.root / "forcing").exists()


def test_no_archive_is_left_behind(place: Place, nightly: Command) -> None:
    left = place.root / "sink.icechunk"
    left.mkdir(parents=True)
    code, _, wrong = nightly("2008-11-20")
    assert code == 1
    assert f"{left} is there, but archive_url names another archive" in wrong


@pytest.mark.parametrize("key", ["archive_url", "mirror_url"])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("s3://key:secret@bucket/prefix", "must be s3://BUCKET/PREFIX and nothing"),
        ("s3://bucket/prefix?secret", "must be s3://BUCKET/PREFIX and nothing"),
        ("http://secret/prefix", "must be s3://BUCKET/PREFIX and nothing"),
        ("s3://bucket", "is s3://bucket, a whole bucket"),
    ],
)
def test_urls_are_plain(
    capsys: pytest.CaptureFixture[str], key: str, url: str, why: str
) -> None:
    assert cli.main(["nightly", f"{key}='{url}'"]) == 1
    wrong = capsys.readouterr().err
    assert f"{key} {why}" in wrong
    assert "secret" not in wrong


def test_the_folder_is_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["nightly", "root=s3://bucket/prefix"]) == 1
    assert "archive_url=s3://BUCKET/PREFIX" in capsys.readouterr().err
