"""What the catalog may say about where files can be had, and its messages."""

from typing import Any

import pytest

from emulator.carbon.errors import CatalogError
from emulator.data.entry import Entry, parse_entry
from emulator.data.sources import Sources, settings_hash
from tests.data import small_files as small
from tests.data import tiny_files as tiny

BASE = "https://host.org/round/"


def entry(fetch: dict[str, Any], **changes: Any) -> Entry:
    said = {**tiny.entry().to_dict(), **changes, "fetch": fetch}
    return parse_entry(said["name"], said, "x.yaml")


def test_a_source_is_kept_as_it_is_said() -> None:
    said = {
        "base": BASE,
        "files": ["{year}/a_{year}{month}{day}.nc"],
        "instead": "{year}/a_{year}{month}{day}_preliminary.nc",
        "known": {"1999/a_19990101.nc": {"bytes": 3, "sha256": "a" * 64}},
        "begins": "1981-09-01",
        "changes": True,
    }
    source = entry(said).fetch
    assert source is not None
    assert source.files == ("{year}/a_{year}{month}{day}.nc",)
    assert source.known["1999/a_19990101.nc"].bytes == 3
    assert entry(said).to_dict()["fetch"] == said


@pytest.mark.parametrize(
    ("fetch", "message"),
    [
        ({}, "fetch: 0 of 'base', 'client' and 'in_place' are given"),
        ({"base": BASE, "in_place": "x"}, "2 of 'base', 'client' and 'in_place'"),
        ({"base": "ftp://host.org/"}, "'base' has the scheme 'ftp', but must begin"),
        ({"base": "/data/"}, "'base' has the scheme '', but must begin with https"),
        ({"base": "https://host.org/a"}, "'https://host.org/a', but must end with '/'"),
        (
            {"base": "https://me:hush@host.org/"},
            "'base' holds a user or password.*machine host.org login USER",
        ),
        ({"base": BASE, "index": "index.json"}, "'index' has the scheme ''"),
        (
            {"base": BASE, "files": ["{years}.nc"]},
            r"'\{years\}.nc' holds \{years\}; what may stand in braces is simulation",
        ),
        ({"base": BASE, "files": ["../a.nc"]}, "'../a.nc' leads out of 'base'"),
        ({"base": BASE, "files": ["/a.nc"]}, "'/a.nc' leads out of 'base'"),
        ({"base": BASE, "files": ["*.nc"]}, r"'\*.nc' holds a wildcard, but nothing"),
        (
            {"base": BASE, "files": ["a.nc"], "instead": "?.nc"},
            r"'\?.nc' holds a wildcard, but nothing",
        ),
        (
            {"base": BASE, "files": ["a.nc"], "begins": "1981-9"},
            "'begins' is '1981-9', but must be a day such as",
        ),
        (
            {"base": BASE, "files": ["a"], "known": {"a": {"sha256": "A" * 64}}},
            "'sha256' is 'AAAA.*but must be 64 digits",
        ),
        (
            {"client": {"service": "ftp", "dataset": "x"}},
            "'fetch.client.service' is 'ftp', but must be one of",
        ),
        (
            {"client": {"service": "cds", "dataset": "x", "variables": {"pr": ["p"]}}},
            r"'fetch.client' names \['pr'\], which are none of its variables",
        ),
        ({"base": BASE, "accept": "round"}, "wants 'round' to be accepted, but has no"),
    ],
)
def test_what_cannot_be_is_named(fetch: dict[str, Any], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        entry(fetch)


def test_wildcards_of_the_entry_need_a_list_or_paths() -> None:
    files = "{simulation}/{variable}_*.nc"
    with pytest.raises(CatalogError, match="neither 'files' nor 'index'"):
        entry({"base": BASE}, files=files)
    assert entry({"base": BASE, "files": ["{variable}.nc"]}, files=files).fetch
    assert entry({"base": BASE, "index": f"{BASE}list.json"}, files=files).fetch


def test_another_address_makes_no_other_store() -> None:
    def hashed(**fetch: Any) -> str:
        one = entry(fetch)
        sources = Sources(teachers=[one], forcing=[], static=[], co2={})
        return settings_hash(small.settings(), sources)

    assert hashed(in_place="here") == hashed(in_place="there")
