import json

import numpy as np
import xarray as xr

from emulator.nightly.page.changes import VISIBLE, compare

from .worlds import small_map


def shifted(sink_map: xr.Dataset, month: int, by: float) -> xr.Dataset:
    """Return a map in which the northern land of one month takes up more."""
    budget = sink_map["budget_month"].copy(deep=True)
    budget.loc[{"flux": "nbp", "region": "north", "time": budget["time"][month]}] += by
    return sink_map.assign(budget_month=budget)


def test_the_same_map_has_no_changes() -> None:
    assert not compare(small_map(), small_map())


def test_new_months_are_listed_newest_first() -> None:
    sink_map = small_map()
    found = compare(sink_map, sink_map.isel(time=slice(0, -2)))
    assert [(c.month, c.what) for c in found.months] == [
        ("2002-03", "new"),
        ("2002-02", "new"),
    ]
    assert found.months[0].before == {"nbp": None, "fgco2": None}
    globe = sink_map["budget_month"].sel(flux="nbp", region="globe")
    assert found.months[0].now["nbp"] == float(globe[-1])


def test_a_month_is_revised_from_what_the_page_can_show() -> None:
    sink_map = small_map()
    assert not compare(sink_map, shifted(sink_map, 3, 0.9 * VISIBLE))
    found = compare(sink_map, shifted(sink_map, 3, 1.1 * VISIBLE))
    assert [(c.month, c.what) for c in found.months] == [("2000-04", "revised")]


def test_a_rise_of_revisions_is_a_revision() -> None:
    sink_map = small_map()
    revision = sink_map["revision"].copy(deep=True)
    revision[5] = 1
    found = compare(sink_map.assign(revision=revision), sink_map)
    assert [(c.month, c.what) for c in found.months] == [("2000-06", "revised")]


def test_a_month_that_lost_a_domain_is_revised() -> None:
    sink_map = small_map()
    found = compare(sink_map, shifted(sink_map, 0, np.nan))
    assert found.months[0].what == "revised"


def test_a_change_of_status_is_named() -> None:
    sink_map = small_map()
    status = sink_map["status"].copy(deep=True)
    status[-3] = 1
    found = compare(sink_map, sink_map.assign(status=status))
    assert [(c.month, c.what) for c in found.months] == [
        ("2002-01", "preliminary to final")
    ]


def test_a_change_of_status_alone_is_no_revision_of_numbers() -> None:
    # The archive counts it as a revision; the numbers of the page are the same.
    sink_map = small_map()
    status, revision = (sink_map[n].copy(deep=True) for n in ("status", "revision"))
    status[-3] = 1
    revision[-3] = 1
    before = sink_map.assign(status=status)
    (change,) = compare(sink_map.assign(revision=revision), before).months
    assert change.what == "preliminary to final"
    moved = shifted(before, 24, 1.1 * VISIBLE)
    (change,) = compare(sink_map.assign(revision=revision), moved).months
    assert change.what == "preliminary to final, revised"


def test_other_changes_are_said_in_words() -> None:
    now, before = small_map(), small_map()
    before = before.assign_coords(land_teacher=np.array(["A", "Z"], dtype=object))
    vintage = json.loads(before.attrs["vintage"])
    vintage["ocean"]["checkpoint"] = "another"
    before.attrs |= {"vintage": json.dumps(vintage), "evidence": "TRENDY/GOBM"}
    assert compare(now, before).notes == [
        "Teachers of the land that came: B.",
        "Teachers of the land that left: Z.",
        "The ocean emulator was replaced by another checkpoint.",
        "Evidence was 'TRENDY/GOBM' and is 'testbed'.",
    ]


def test_lost_months_are_said() -> None:
    sink_map = small_map()
    found = compare(sink_map.isel(time=slice(2, None)), sink_map)
    assert found.notes == ["No longer in the map: 2 months within 2000-01 to 2000-02."]
