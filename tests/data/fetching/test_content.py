"""What came is of the kind that its name says."""

from pathlib import Path

import pytest

from emulator.carbon.errors import SourceError
from emulator.data.fetching.content import STARTS, require_plausible
from tests.data.servers import LOGIN


@pytest.mark.parametrize("ending", STARTS)
def test_each_kind_is_known_by_its_beginning(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "staged"
    kind, starts = STARTS[ending]
    for start in starts:
        path.write_bytes(start + b"and so on")
        require_plausible(path, f"a{ending}", "host/a")
        require_plausible(path, f"A{ending.upper()}", "host/a")
    path.write_bytes(b"something else")
    with pytest.raises(SourceError, match=rf"host/a begins with .*no {kind} file"):
        require_plausible(path, f"a{ending}", "host/a")


@pytest.mark.parametrize(
    "page",
    [
        LOGIN,
        b"\xef\xbb\xbf\n <HTML>",
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        b"<!-- sso 4.2 -->\n<html><body>Please log in</body></html>",
        b"<head><meta http-equiv='refresh' content='0; url=/login'></head>",
    ],
)
@pytest.mark.parametrize("name", ["a.nc", "a.csv", "a.nc.gz", "a"])
def test_a_page_is_no_data(tmp_path: Path, page: bytes, name: str) -> None:
    path = tmp_path / "staged"
    path.write_bytes(page)
    with pytest.raises(SourceError, match="host/a is a web page, but data are needed"):
        require_plausible(path, name, "host/a")


def test_a_page_that_is_wanted_is_one(tmp_path: Path) -> None:
    path = tmp_path / "staged"
    path.write_bytes(LOGIN)
    require_plausible(path, "readme.html", "host/a")


def test_nothing_is_no_data(tmp_path: Path) -> None:
    path = tmp_path / "staged"
    path.touch()
    with pytest.raises(SourceError, match="host/a is empty, but data are needed"):
        require_plausible(path, "a.csv", "host/a")
