import json

import numpy as np
import xarray as xr

from emulator.nightly.page import closing, series

from .worlds import small_map

TERMS = ["e_fos", "e_luc", "g_atm", "s_ocean", "s_land", "cement", "b_im"]


def closed(sink_map: xr.Dataset) -> xr.Dataset:
    """Return a map with a budget of 2000 and 2001, the latter extrapolated."""
    values = np.array([[10.0, 1, 5, 3, 2.5, 0.2, 0.3], [np.nan] * 7]).T
    values[:2, 1] = 10.5, 1.1
    flags = np.zeros((7, 2), np.int8)
    flags[:, 0], flags[:2, 1] = 1, 4
    meanings = "missing published observed emulated extrapolated derived"
    flag_attrs = {"flag_values": np.arange(6, dtype="i1"), "flag_meanings": meanings}
    return sink_map.assign(
        closure_year=(("term", "year"), values),
        closure_year_sigma=(("term", "year"), np.full((7, 2), 0.5)),
        closure_year_flag=(("term", "year"), flags, flag_attrs),
    ).assign_coords(term=np.array(TERMS, dtype=object))


def test_closure_for_the_chart() -> None:
    found = closing.content(closed(small_map()))
    assert found is not None
    assert found["years"] == [2000, 2001]
    assert found["extrapolated"] == [False, True]
    assert [term["name"] for term in found["terms"]] == TERMS
    assert found["terms"][1]["values"] == [1.0, 1.1]
    assert found["terms"][6]["values"] == [0.3, None]


def test_closure_as_a_table_marks_what_is_extrapolated() -> None:
    found = closing.section(closed(small_map()))
    assert "5.00 \N{PLUS-MINUS SIGN} 0.50<" in found
    assert "10.50 \N{PLUS-MINUS SIGN} 0.50*<" in found


def test_a_map_without_closure_says_why_if_it_knows() -> None:
    sink_map = small_map()
    assert closing.content(sink_map) is None
    assert closing.section(sink_map) == ""
    about = {"not applicable": "The weather is <simulated>."}
    for name in ("closure", "adjustment"):
        sink_map.attrs[name] = json.dumps(about)
    found = closing.section(sink_map)
    assert "No closure. The weather is &lt;simulated&gt;." in found
    assert "Means are not adjusted. The weather" in found


def test_numbers_of_the_ocean_are_those_of_the_globe() -> None:
    sink_map = small_map()
    values = np.full((2, 5, 2), 9.0)
    values[:, 0] = [[2.5, 2.75], [2.0, 2.25]]  # the globe comes first
    attrs = {"comment": "s_ocean: without drift"}
    sink_map = sink_map.assign(
        ocean_year=(("ocean_number", "region", "year"), values, attrs)
    ).assign_coords(ocean_number=np.array(["s_ocean", "s_ocean_raw"], dtype=object))
    found = closing.section(sink_map)
    assert "Numbers of the ocean, by name" in found
    assert "2.75" in found
    assert "9.00" not in found


def test_numbers_of_the_land_keep_their_names() -> None:
    sink_map = small_map()
    values = np.array([[2.0, 2.1], [1.0, 1.25], [np.nan, np.nan]])
    attrs = {"comment": "s_land_s2: S_LAND; net_gcb: net"}
    sink_map = sink_map.assign(
        land_year=(("land_number", "year"), values, attrs)
    ).assign_coords(
        land_number=np.array(["s_land_s2", "net_gcb", "net_s3"], dtype=object)
    )
    found = closing.section(sink_map)
    assert ">net_gcb</th>" in found
    assert ">1.250</td>" in found
    assert "net_s3" not in found
    nothing = sink_map.assign(land_year=sink_map["land_year"] * np.nan)
    assert closing.section(nothing) == ""


def test_adjusted_levels_stand_side_by_side() -> None:
    sink_map = small_map()
    windows = np.array([4, 10])
    adjusted = sink_map["budget_year"].expand_dims(adjustment_window=windows) + 1.0
    sink_map = sink_map.assign(budget_year_adjusted=adjusted)
    sink_map.attrs["adjustment"] = json.dumps({"target": "ensemble"})
    found = closing.section(sink_map)
    assert "Ocean, 10 years" in found
    assert "moved to ensemble" in found
    assert "Land, 10 years" in found
    sink_map.attrs["closure"] = json.dumps({"total of nbp": "net_s3"})
    assert "Net land, 10 years" in closing.section(sink_map)
    value = float(sink_map["budget_year"].sel(flux="nbp", region="globe")[1]) + 1
    assert series.shown(value) in found


def unranked_map(reference: str) -> xr.Dataset:
    sink_map = small_map()
    ranks = xr.zeros_like(sink_map["budget_year"], dtype=np.int16)
    periods = np.array([reference], dtype=object)
    sink_map["budget_year_rank"] = ranks.expand_dims(reference=periods).copy()
    return sink_map


def test_standing_of_the_last_ranked_year() -> None:
    sink_map = unranked_map("2000-2001")
    assert closing.standing(sink_map, "nbp") == ""
    sink_map["budget_year_rank"].loc[{"flux": "nbp", "region": "globe"}] = [[2, 1]]
    found = closing.standing(sink_map, "nbp")
    assert found.startswith("2001: ")
    assert "number 1 of 2 years 2000 to 2001" in found
    assert closing.standing(small_map(), "nbp") == ""


def test_standing_of_a_year_after_the_reference_period() -> None:
    # 2000 alone is the period: 2001, with a smaller sink, is behind it, and not number
    # 2 of one year.
    sink_map = unranked_map("2000-2000")
    sink_map["budget_year_rank"].loc[{"flux": "nbp", "region": "globe"}] = [[1, 2]]
    found = closing.standing(sink_map, "nbp")
    assert "number 2 of 2 years, 2000 to 2000 and itself" in found
