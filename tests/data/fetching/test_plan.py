"""Which files of a product there are, from patterns and from lists."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.errors import CatalogError, SettingsError, SourceError
from emulator.data.entry import Entry, parse_entry
from emulator.data.fetching.plan import (
    Choice,
    Listed,
    Plan,
    plan,
    read_list,
    require_inside,
    target_of,
)
from tests.data import tiny_files as tiny

BASE = "https://host.org/round/"
TODAY = date(2026, 11, 21)
ROUND = "CLM/{simulation}/CLM6.0_{simulation}_{variable}.nc*"


def entry(fetch: dict[str, Any], **changes: Any) -> Entry:
    said = {**tiny.entry().to_dict(), **changes, "fetch": {"base": BASE, **fetch}}
    return parse_entry(said["name"], said, "x.yaml")


def planned(
    one: Entry, choice: Choice | None = None, listed: list[Listed] | None = None
) -> Plan:
    assert one.fetch is not None
    return plan(one, one.fetch, choice or Choice(), listed, TODAY)


def paths(made: Plan) -> list[str]:
    return [file.path for file in made.files]


def rows(*names: str) -> list[Listed]:
    return [Listed(name, 10 + number, "") for number, name in enumerate(names)]


def model(**changes: Any) -> Entry:
    """A model of a round: S0 and S2, nbp and gpp, found by a list."""
    said = {
        "files": ROUND,
        "variables": {"nbp": {}, "gpp": {}},
        "simulations": {
            name: {
                "weather": [{"years": [2000, None], "same": True}],
                "co2": {"constant": 300},
            }
            for name in ("S0", "S2")
        },
        "land_fraction": {"treatment": "none"},
        **changes,
    }
    return entry({"index": f"{BASE}list.json"}, **said)


# --- lists ---------------------------------------------------------------------------


def test_a_round_is_found_by_the_folders_that_its_models_tell() -> None:
    # The prefix CLM6.0 differs from the folder CLM.
    listed = rows(
        "CLM/S2/CLM6.0_S2_nbp.nc",
        "CLM/S2/CLM6.0_S2_gpp.nc.gz",
        "CLM/S0/CLM6.0_S0_nbp.nc.tar.gz",
        "CLM/S0/CLM6.0_S0_gpp.nc",
        "CLM/S2/CLM6.0_S2_nbppft.nc",
        "CLM/S2/CLM_S2_nbp.nc",
        "ED/S2/CLM6.0_S2_nbp.nc",
        "old/CLM/S2/CLM6.0_S2_nbp.nc",
    )
    made = planned(model(), listed=listed)
    assert paths(made) == [
        "CLM/S0/CLM6.0_S0_gpp.nc",
        "CLM/S0/CLM6.0_S0_nbp.nc.tar.gz",
        "CLM/S2/CLM6.0_S2_gpp.nc.gz",
        "CLM/S2/CLM6.0_S2_nbp.nc",
    ]
    assert made.files[3].url == BASE + "CLM/S2/CLM6.0_S2_nbp.nc"
    assert [file.bytes for file in made.files] == [13, 12, 11, 10]
    assert not made.lacking


def test_what_is_chosen_is_asked_for() -> None:
    listed = rows(*(f"CLM/{s}/CLM6.0_{s}_{v}.nc" for s in ("S0", "S2") for v in "ab"))
    listed += rows("CLM/S2/CLM6.0_S2_nbp.nc", "CLM/S2/CLM6.0_S2_gpp.nc")
    chosen = Choice(variables=("gpp",), simulations=("S2",))
    assert paths(planned(model(), chosen, listed)) == ["CLM/S2/CLM6.0_S2_gpp.nc"]


def test_a_sum_needs_its_components_and_a_share_its_file() -> None:
    one = model(
        variables={
            "nbp": {"sum_of": ["gpp", "ra", "rh"]},
            "gpp": {},
            "ra": {},
            "rh": {},
        },
        land_fraction={
            "treatment": "multiply",
            "variable": "sftlf",
            "file": "CLM/*land_fraction*.nc*",
        },
    )
    names = [f"CLM/S2/CLM6.0_S2_{v}.nc" for v in ("gpp", "ra", "rh")]
    listed = rows(*names, "CLM/CLM_land_fraction_v2.nc", "CLM/S2/CLM6.0_S2_nbp.nc")
    made = planned(one, Choice(("nbp",), ("S2",)), listed)
    assert paths(made) == sorted([*names, "CLM/CLM_land_fraction_v2.nc"])


def test_names_in_other_case_are_taken_where_no_other_is() -> None:
    chosen = Choice(("gpp",), ("S2",))
    listed = rows("CLM/S2/CLM6.0_S2_GPP.nc")
    assert paths(planned(model(), chosen, listed)) == ["CLM/S2/CLM6.0_S2_GPP.nc"]
    listed += rows("CLM/S2/CLM6.0_S2_gpp.nc")
    assert paths(planned(model(), chosen, listed)) == ["CLM/S2/CLM6.0_S2_gpp.nc"]


def test_archives_of_what_is_there_unpacked_are_left() -> None:
    chosen = Choice(("gpp",), ("S2",))
    name = "CLM/S2/CLM6.0_S2_gpp.nc"
    listed = rows(f"{name}.gz", name, f"{name}.tar.gz")
    assert paths(planned(model(), chosen, listed)) == [name]


def test_what_is_not_listed_is_told() -> None:
    made = planned(model(), Choice(("gpp",)), rows("CLM/S2/CLM6.0_S2_gpp.nc"))
    assert made.lacking == ("CLM/S0/CLM6.0_S0_gpp.nc*",)
    assert len(made.files) == 1


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("a/*.nc", "a/b.nc", True),
        ("a/*.nc", "a/b/c.nc", False),
        ("**/*.nc", "a/b/c.nc", True),
        ("**/*.nc", "c.nc", True),
        ("a/**/c.nc", "a/c.nc", True),
        ("a/b?.nc", "a/b1.nc", True),
        ("a/b[0-9].nc", "a/b1.nc", True),
        ("a/b[0-9].nc", "a/bx.nc", False),
        ("a.nc", "a.nc.gz", False),
    ],
)
def test_wildcards_stay_in_their_part_of_a_path(
    pattern: str, name: str, matches: bool
) -> None:
    one = model(files=pattern)
    assert paths(planned(one, listed=rows(name))) == ([name] if matches else [])


@given(
    names=st.lists(
        st.sampled_from("abAB*[x] ").map(lambda c: f"CLM/{c}.nc"), max_size=6
    ),
    pattern=st.sampled_from(["CLM/a.nc", "CLM/*.nc", "CLM/[ab].nc", "clm/B.nc"]),
)
def test_a_pattern_finds_what_a_folder_would(names: list[str], pattern: str) -> None:
    # The same question without the search in the sorted list.
    from fnmatch import fnmatchcase

    exact = {n for n in names if fnmatchcase(n, pattern)}
    any_case = {n for n in names if fnmatchcase(n.lower(), pattern.lower())}
    found = planned(model(files=pattern), listed=rows(*names))
    assert set(paths(found)) == (exact or any_case)


@pytest.mark.parametrize(
    "name",
    [
        "CLM/../../../x_gpp.nc",
        "/etc/x_gpp.nc",
        "~/x_gpp.nc",
        "CLM/.ssh/x_gpp.nc",
        "CLM\\x_gpp.nc",
        "CLM/a\n_gpp.nc",
        "CLM/a\x00_gpp.nc",
    ],
)
def test_a_list_cannot_lead_out_of_the_folder(name: str) -> None:
    one = model(files="**/*_{variable}.nc")
    with pytest.raises(SourceError, match="is no plain path below its folder"):
        planned(one, Choice(("gpp",)), rows("CLM/a_gpp.nc", name))


@given(st.text(max_size=30))
def test_a_plain_path_stays_inside(path: str) -> None:
    try:
        require_inside(path, "x")
    except SourceError:
        return
    inside = Path("/data/folder")
    assert (inside / path).resolve().is_relative_to(inside)
    assert (inside / path).resolve() != inside


def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "inside").mkdir()
    (folder / "near").symlink_to(folder / "inside")
    (folder / "far").symlink_to(tmp_path)
    assert target_of(folder, "near/a.nc") == folder / "near" / "a.nc"
    with pytest.raises(SourceError, match="far is or lies behind a link"):
        target_of(folder, "far/a.nc")
    # The folder itself may be one.
    (tmp_path / "linked").symlink_to(folder)
    assert target_of(tmp_path / "linked", "inside/a.nc").parent.name == "inside"


# --- reading lists -------------------------------------------------------------------


def test_a_list_of_the_budget_is_read(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    said = [
        ["trendyv14-gcb2025/CLM/S2/a.nc", 7, "2025-07-10T10:06:27+00:00"],
        ["trendyv14-gcb2025/CLM/S2/keep.txt", 0, "2025-07-10T10:06:27+00:00"],
        ["trendyv14-gcb2025/CLM/.DS_Store", 6148, "2025-07-10T10:06:27+00:00"],
        ["trendyv14-gcb2025/", 5, "2025-07-10T10:06:27+00:00"],
        ["ocean-GCB25/gobms/b.nc", 9, "2025-07-10T10:06:27+00:00"],
        ["", 5, None],
    ]
    path.write_text(json.dumps(said))
    assert read_list(path, "trendyv14-gcb2025/", "x") == [Listed("CLM/S2/a.nc", 7, "")]


def test_a_list_of_nights_is_read(tmp_path: Path) -> None:
    path = tmp_path / "index.json"
    row = {"name": "a.nc", "bytes": 7, "sha256": "AB" * 32}
    said = {"files": [row, {"name": "b.nc"}]}
    path.write_text(json.dumps(said))
    assert read_list(path, "", "x") == [
        Listed("a.nc", 7, "ab" * 32),
        Listed("b.nc", None, ""),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<html>", "x is no list of files .JSONDecodeError"),
        ("7", "x is no list of files .TypeError"),
        ("[[7, 8, 9]]", r"x is no list of files .TypeError: \[7, 8, 9\] is no path"),
        ('[["a.nc", true]]', r"is no path with a number of bytes"),
        ('[["a.nc"]]', "x is no list of files .IndexError"),
        ('{"names": []}', "x is no list of files .KeyError"),
        ('[["a.nc", -1]]', r"is no path with a number of bytes"),
        ('{"files": [{"name": "a.nc", "sha256": 7}]}', "'7' is no SHA-256"),
        ("[" * 100_000, "x is no list of files .RecursionError"),
        ('[["b/a.nc", 7, ""]]', r"lists 1 files, none of .*'round/'; they .*\['b'\]"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "index.json"
    path.write_text(content)
    with pytest.raises(SourceError, match=message):
        read_list(path, "round/", "x")


# --- patterns ------------------------------------------------------------------------


def daily(**changes: Any) -> Entry:
    said = {
        "files": ["{year}{month}/oisst.{year}{month}{day}.nc"],
        "instead": "{year}{month}/oisst.{year}{month}{day}_preliminary.nc",
        "begins": "1981-09-01",
        **changes,
    }
    return entry(said, years=[1981, None], latency_days=14)


def test_days_are_counted_from_the_first_to_today() -> None:
    files = planned(daily()).files
    # 1981-09-01 to 2026-11-21.
    assert len(files) == (TODAY - date(1981, 9, 1)).days + 1
    assert files[0].path == "198109/oisst.19810901.nc"
    assert files[-1].path == "202611/oisst.20261121.nc"
    assert files[0].instead is not None
    assert files[0].instead.url == f"{BASE}198109/oisst.19810901_preliminary.nc"


def test_the_newest_files_may_lack() -> None:
    # 14 days of latency and a month of grace before 2026-11-21: 2026-10-07.
    young = [file.path for file in planned(daily()).files if file.may_lack]
    assert young[0] == "202610/oisst.20261007.nc"


@pytest.mark.parametrize(
    ("pattern", "count", "last"),
    [
        ("a_{year}{month}.nc", 23, "a_202611.nc"),
        ("a_{year}.nc", 2, "a_2026.nc"),
        ("a.nc", 1, "a.nc"),
    ],
)
def test_months_and_years_are_counted(pattern: str, count: int, last: str) -> None:
    made = planned(daily(files=[pattern], instead=""), Choice(years=(2025, 2026)))
    assert len(made.files) == count
    assert made.files[-1].path == last
    assert made.files[-1].instead is None


def test_years_are_those_of_the_entry_without_a_first_day() -> None:
    one = entry({"files": ["{year}.nc"]}, years=[2000, 2003])
    assert paths(planned(one)) == ["2000.nc", "2001.nc", "2002.nc", "2003.nc"]


def test_years_that_a_product_lacks_are_refused() -> None:
    with pytest.raises(SettingsError, match="from 1981-09-01 to 2026-11-21, but years"):
        planned(daily(), Choice(years=(1960, 1970)))


def test_dates_need_a_beginning() -> None:
    said = tiny.entry().to_dict()
    table = {
        "name": said["name"],
        "kind": "table",
        "domain": "both",
        "reader": "table",
        "files": "a.csv",
        "variables": {"co2": {}},
        "fetch": {"base": BASE, "files": ["{year}.csv"]},
    }
    one = parse_entry(said["name"], table, "x")
    with pytest.raises(CatalogError, match="says neither 'years' nor"):
        planned(one)


def test_what_is_known_is_said() -> None:
    known = {"a b.nc": {"bytes": 7, "sha256": "a" * 64}}
    made = planned(entry({"files": ["a b.nc"], "known": known}))
    assert made.files[0].url == f"{BASE}a%20b.nc"
    assert (made.files[0].bytes, made.files[0].sha256) == (7, "a" * 64)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            Choice(variables=("npp",)),
            r"has no variables \['npp'\], it has \['gpp', 'nbp",
        ),
        (
            Choice(simulations=("S9",)),
            r"has no simulations \['S9'\], it has \['S0', 'S2",
        ),
    ],
)
def test_what_a_product_lacks_is_refused(choice: Choice, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        planned(model(), choice, rows("a.nc"))


def test_patterns_without_a_list_are_paths() -> None:
    # The index of the entry is not asked where a caller has no list.
    with pytest.raises(CatalogError, match="one file, but nothing lists them"):
        planned(model())


def test_a_path_of_an_entry_stays_inside() -> None:
    one = entry({}, files="../{simulation}_{variable}.nc")
    with pytest.raises(SourceError, match="is no plain path"):
        planned(one)
