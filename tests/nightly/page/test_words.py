import json

import numpy as np
import pytest
import xarray as xr

from emulator.nightly.page import series, words

from .worlds import small_map, with_land_use

README = (
    "No TRENDY or GOBM output has been used here; the numbers show that the method "
    "works, not the size of the sink."
)


@pytest.mark.parametrize(
    ("evidence", "wanted"),
    [
        ("testbed", f"{README} {words.GENERATED}"),
        ("real teacher, simulated forcing", README),
        ("not stated", README),
        ("TRENDY/GOBM", ""),
        ("land: TRENDY/GOBM; ocean: TRENDY/GOBM", ""),
        ("land: TRENDY/GOBM; ocean: testbed", words.PARTLY_REAL),
        ("TRENDY/GOBM with forcing: testbed", words.PARTLY_REAL),
    ],
)
def test_caution_follows_the_evidence(evidence: str, wanted: str) -> None:
    assert words.caution(evidence) == wanted


def test_tiles_name_the_last_whole_year_and_its_interval() -> None:
    sink_map = small_map(calibrated=True)
    found = words.tiles(sink_map, series.totals(sink_map))
    total = float(sink_map["budget_year"].sel(flux="nbp", region="globe")[-1])
    assert "Year 2001" in found
    assert series.shown(total, 2) in found
    assert "90 % interval of the sink" in found
    assert "the map states no interval" in found
    assert "preliminary" not in found  # of 2002 only


def test_the_land_is_called_by_its_simulation() -> None:
    given = small_map()
    found = words.tiles(given, series.totals(given))
    assert "<h3>Land</h3>" in found
    assert "<dt>Land: <code>s_land_s2</code></dt>" in words.land_words(given)
    net = with_land_use(given)
    found = words.tiles(net, series.totals(net))
    assert "<h3>Net land, net_s3</h3>" in found
    assert "<h3>Net land and ocean</h3>" in found
    assert "<h3>Land" not in found
    said = words.land_words(net)
    assert said.startswith("<dt>Net land: <code>net_s3</code></dt>")
    assert "It is <strong>not</strong> the S_LAND" in said
    before = net.isel(time=slice(None, -1))
    assert ">Net land, net_s3 before</th>" in words.changed(net, before)


def test_levels_that_differ_are_said_of_their_own_domain() -> None:
    sink_map = small_map(calibrated=True)
    cells = sink_map["fgco2_interval_emulation"]
    cells.attrs["long_name"] = cells.attrs["long_name"].replace("90%", "80%")
    found = words.tiles(sink_map, series.totals(sink_map))
    assert found.count("90 % interval of the sink") == 1
    assert found.count("80 % interval of the sink") == 1
    # The legend of all charts says both.
    assert words.level(sink_map) == "90 % or 80 %"


def test_tiles_without_intervals_name_the_spread() -> None:
    sink_map = small_map(domains="land")
    found = words.tiles(sink_map, series.totals(sink_map))
    assert "Teachers differ by" in found
    assert "Ocean" not in found


def test_running_totals_come_first_and_say_which_months_may_change() -> None:
    sink_map = small_map()
    sink_map["budget_12month"] = sink_map["budget_month"]
    found = words.tiles(sink_map, series.totals(sink_map))
    assert "12 months to March 2002" in found
    assert "Of its months 1 preliminary and 1 partial" in found
    assert "Neither interval nor spread is known" in found


def test_a_map_without_a_whole_year_says_so() -> None:
    sink_map = small_map().isel(year=slice(0, 0))
    found = words.tiles(sink_map, series.totals(sink_map))
    assert found == "<p>The map holds no whole year yet.</p>"


def test_newest_month_says_status_and_coverage() -> None:
    found = words.newest(small_map())
    assert found == "March 2002 (forcing partial, 60 % of its days seen)"
    sink_map = small_map()
    sink_map["status"][-1], sink_map["coverage"][-1] = 3, np.nan
    assert words.newest(sink_map) == "March 2002 (forcing not stated)"


def test_origin_names_checkpoint_forcing_and_teachers() -> None:
    found = words.origin(small_map())
    for wanted in ("2002-03-20 02:10 UTC", "hash-of-land", "ocean_weather", "A, B"):
        assert wanted in found


def test_forcing_snapshot_is_shown_where_it_is_known() -> None:
    sink_map = small_map()
    vintage = json.loads(sink_map.attrs["vintage"])
    vintage["land"]["forcing snapshot"] = "SNAP123"
    sink_map.attrs["vintage"] = json.dumps(vintage)
    assert "SNAP123" in words.origin(sink_map)


def test_citations_stand_line_by_line() -> None:
    found = words.citations(small_map())
    assert "<li>A: Teacher A (land), made up, 10.0/A</li>" in found
    assert "ask the makers of D" in found


def test_changes_of_the_first_night_and_of_a_night_without_news() -> None:
    sink_map = small_map()
    assert "first night" in words.changed(sink_map, None)
    assert "No month came and none was revised" in words.changed(sink_map, sink_map)


def test_changes_are_counted_and_tabulated() -> None:
    sink_map = small_map()
    before = sink_map.isel(time=slice(0, -1)).copy(deep=True)
    before["status"][-1] = 2
    before["budget_month"][..., -2] += 1.0
    found = words.changed(sink_map, before)
    assert "1 month came, 1 month revised, 1 month of another status" in found
    assert "partial to preliminary" in found
    assert "March 2002" in found


def test_many_changes_are_cut_short() -> None:
    sink_map = small_map()
    many = repeated(sink_map, 40)
    assert "And 4 earlier months." in words.changed(many, many.isel(time=[0]))


def repeated(sink_map: xr.Dataset, count: int) -> xr.Dataset:
    """Return a map that says the same of so many months, and one more."""
    start = np.datetime64("1999-01", "M")
    long = sink_map.isel(time=[0] * (count + 1))
    return long.assign_coords(
        time=(start + np.arange(count + 1)).astype("datetime64[ns]")
    )


def test_level_is_read_from_the_map() -> None:
    assert words.level(small_map(calibrated=True)) == "90 %"
    assert words.level(small_map()) == ""
