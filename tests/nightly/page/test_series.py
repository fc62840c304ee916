import numpy as np

from emulator.nightly.page import series

from .worlds import small_map


def test_totals_are_those_of_the_map() -> None:
    sink_map = small_map(calibrated=True)
    found = series.totals(sink_map)
    assert set(found) == {"month", "year"}
    assert found["month"]["steps"][:2] == ["2000-01", "2000-02"]
    assert found["year"]["steps"] == [2000, 2001]
    one = found["year"]["nbp"]["tropics"]
    chosen = {"flux": "nbp", "region": "tropics", "year": 2001}
    assert one["mean"][1] == round(float(sink_map["budget_year"].sel(chosen)), 6)
    ends = sink_map["budget_year_interval_emulation"].sel(chosen)
    assert [one["emulation"][0][1], one["emulation"][1][1]] == [
        round(float(end), 6) for end in ends
    ]


def test_what_a_map_lacks_is_left_out() -> None:
    one = series.totals(small_map())["month"]["nbp"]["globe"]
    assert set(one) == {"mean", "spread"}


def test_months_out_of_reach_have_no_ends() -> None:
    one = series.totals(small_map(calibrated=True))["month"]["fgco2"]["globe"]
    assert one["emulation"][0][23] is not None
    assert one["emulation"][0][24] is None


def test_running_totals_are_shown_where_they_are() -> None:
    sink_map = small_map()
    sink_map["budget_12month"] = sink_map["budget_month"] * np.nan
    found = series.totals(sink_map)["12month"]
    assert found["nbp"]["globe"] == {"mean": [None] * 27}


def test_regions_without_cells_are_left_out() -> None:
    assert series.regions(small_map()) == ["globe", "north", "tropics", "south"]


def test_numbers_are_written_without_minus_zero_and_with_a_minus() -> None:
    assert series.numbers(np.array([-1e-9, np.nan])) == [0.0, None]
    assert series.shown(-0.0001) == "0.000"
    assert series.shown(-1.25, 1) == "\N{MINUS SIGN}1.2"
    assert series.shown(None) == series.shown(float("nan")) == series.NO_VALUE
