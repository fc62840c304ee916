"""What the catalog may say about where files can be had, and its messages."""

from datetime import date
from typing import Any

import pytest

from emulator.carbon.errors import CatalogError
from emulator.data import catalog
from emulator.data.entry import Entry, parse_entry
from emulator.data.fetching.lock import text_hash
from emulator.data.fetching.plan import Choice, Listed, plan
from emulator.data.sources import Sources, settings_hash
from tests.data import small_files as small
from tests.data import tiny_files as tiny

BASE = "https://host.org/round/"
CLIENT = {"service": "copernicusmarine", "dataset": "x"}


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
        ({"base": "https://host.org/?key=hush/"}, "'base' holds a query"),
        ({"base": BASE, "index": f"{BASE}a.json?key=hush"}, "'index' holds a query"),
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
            {"base": BASE, "files": ["a"], "known": {"A.nc": {"bytes": 7}}},
            r"'fetch.known' names 'A.nc', but its files are \['a'\]",
        ),
        (
            {"client": {"service": "cds", "dataset": "x\nimport os"}},
            r"names the dataset 'x\\nimport os' .*must be letters, digits",
        ),
        (
            {"client": {**CLIENT, "request": {"a=1, b": ["2"]}}},
            r"in 'request' the keys \['a=1, b'\], but .*names of arguments",
        ),
        (
            {"client": {**CLIENT, "request": {"depth": ["1", "2"]}}},
            "gives several values to 'depth', but each argument",
        ),
        (
            {"client": {"service": "cds", "dataset": "x", "variables": {"pr": ["p"]}}},
            r"'fetch.client' names \['pr'\], which are none of its variables",
        ),
        ({"base": BASE, "accept": "round"}, "wants 'round' to be accepted, but has no"),
    ],
)
def test_what_cannot_be_is_named(fetch: dict[str, Any], message: str) -> None:
    with pytest.raises(CatalogError, match=message) as caught:
        entry(fetch)
    assert "hush" not in str(caught.value)


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


def shipped() -> dict[str, Entry]:
    return {name: catalog.load(name) for name in catalog.names()}


def test_shipped_addresses_are_encrypted_and_paths_follow() -> None:
    for name, one in shipped().items():
        if one.fetch is None or not one.fetch.base:
            continue
        assert one.fetch.base.startswith("https://"), name
        assert one.fetch.index.startswith("https://") or not one.fetch.index, name
        listed: list[Listed] | None = [] if one.fetch.index else None
        found = plan(one, one.fetch, Choice(), listed, date(2026, 11, 21))
        assert found.files or found.lacking, name


def test_what_must_be_accepted_has_one_text_by_name() -> None:
    texts: dict[str, set[str]] = {}
    for one in shipped().values():
        if one.fetch and one.fetch.accept:
            texts.setdefault(one.fetch.accept, set()).add(text_hash(one.policy))
    assert set(texts) == {"trendy_v14", "ocean_gcb25"}
    assert all(len(hashes) == 1 for hashes in texts.values())


@pytest.mark.parametrize(
    ("name", "listed", "address"),
    [
        # Rows of the budget's index of files: the folder
        # differs from the prefix, and Wasabi's addresses lack the version.
        (
            "trendy_v14.clm",
            "CLM/S2/CLM6.0_S2_nbp.nc",
            "https://s3.eu-west-1.wasabisys.com/gcb-2025-upload/land/output/"
            "CLM/S2/CLM6.0_S2_nbp.nc",
        ),
        (
            "trendy_v12.cable_pop",
            "CABLEPOP/S2/CABLE-POP_S2_nbp.nc",
            "https://gcbo-opendata.s3.eu-west-2.amazonaws.com/trendyv12-gcb2023/"
            "CABLEPOP/S2/CABLE-POP_S2_nbp.nc",
        ),
        (
            "gcb_ocean_2025.access",
            "gobms/ACCESS-CSIRO/A/fgco2_ACCESS_A_1_gr_1959-2024.nc",
            "https://s3.eu-west-1.wasabisys.com/gcb-2025-upload/ocean/output/"
            "gobms/ACCESS-CSIRO/A/fgco2_ACCESS_A_1_gr_1959-2024.nc",
        ),
        (
            "gcb_fco2_2025.cmems_lsce_ffnn",
            "fco2/CMEMS-LSCE-FFNNv2/GCB-2025_dataprod_CMEMS-LSCE-FFNN_1990-2024.nc",
            "https://s3.eu-west-1.wasabisys.com/gcb-2025-upload/ocean/output/"
            "fco2/CMEMS-LSCE-FFNNv2/GCB-2025_dataprod_CMEMS-LSCE-FFNN_1990-2024.nc",
        ),
    ],
)
def test_addresses_of_rounds_come_from_their_folders(
    name: str, listed: str, address: str
) -> None:
    one = catalog.load(name)
    assert one.fetch is not None
    rows = [Listed(listed, 7, ""), Listed("CLM/S2/CLM_S2_nbp.nc", 7, "")]
    found = plan(one, one.fetch, Choice(), rows, date(2026, 11, 21))
    assert [file.url for file in found.files] == [address]


def test_days_and_months_have_the_names_of_their_archives() -> None:
    day, month = catalog.load("oisst"), catalog.load("ersstv5")
    assert day.fetch is not None
    assert month.fetch is not None
    today = date(2026, 11, 21)
    first = plan(day, day.fetch, Choice(), None, today).files[0]
    assert first.url.endswith(
        "/v2.1/access/avhrr/198109/oisst-avhrr-v02r01.19810901.nc"
    )
    first = plan(month, month.fetch, Choice(), None, today).files[0]
    assert first.url.endswith("/ersst/v5/netcdf/ersst.v5.185401.nc")
