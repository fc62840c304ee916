"""What a map leaves, in years that it did not see."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import month_range
from emulator.carbon.variables import VARIABLES
from emulator.data.mapping.fit import learn
from emulator.data.mapping.report import as_json, keep, markdown, shift_report
from emulator.data.mapping.store import open_map
from emulator.data.stores import FORCING_SCHEMA
from emulator.data.testbed import geography, products, weather
from tests.data.two_products import pair_of, settings, told_otherwise, write_pair
from tests.worlds import tiny_forcing


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def report(paths: tuple[Path, Path]) -> dict[str, Any]:
    return shift_report(settings(), pair_of(paths))


def test_a_lasting_bias_is_gone_after_the_map(report: dict[str, Any]) -> None:
    tas = report["variables"]["tas"]
    # 2 K in one of twelve months.
    assert tas["before"]["globe"]["bias"] == pytest.approx(2 / 12, rel=1e-3)
    assert tas["before"]["globe"]["rmse"] == pytest.approx(2 / 12**0.5, rel=1e-3)
    assert abs(tas["after"]["globe"]["bias"]) < 1e-4
    assert tas["after"]["globe"]["rmse"] < 1e-4
    assert tas["after"]["globe"]["correlation"] == pytest.approx(1, abs=1e-5)
    rain = report["variables"]["pr"]
    assert set(rain["before"]) == {"globe", "north", "tropics", "south"}
    assert rain["after"]["tropics"]["rmse"] < 1e-5 * rain["before"]["tropics"]["rmse"]


def test_a_report_says_which_years_it_is_about(report: dict[str, Any]) -> None:
    assert report["learned_from"] == [1990, 2005]
    assert report["fitted"] == [1990, 2000]
    assert report["withheld"] == [2001, 2005]
    tas = report["variables"]["tas"]
    assert tas["expected"] == pytest.approx(2 / 12)
    assert tas["beyond"] == pytest.approx(2 / 12, abs=0.06)


def test_a_report_for_people(report: dict[str, Any]) -> None:
    text = markdown(report)
    assert text.startswith("# other mapped onto own\n\nEvidence: testbed.\n")
    assert "from 1990-2000, held against 2001-2005" in text
    assert "| tas | K | delta | globe | 0.167 -> " in text
    assert "- **bias**: " in text
    one_year = markdown(report | {"withheld": [2005, 2005]})
    assert "held against 2005." in one_year


def test_json_has_null_for_what_has_no_value(report: dict[str, Any]) -> None:
    assert json.loads(as_json(report))["title"] == "other_onto_own"
    assert json.loads(as_json({"a": {"b": float("nan")}})) == {"a": {"b": None}}
    flat = {"globe": {"bias": 0.0, "rmse": 0.0, "correlation": np.nan}}
    tas = report["variables"]["tas"] | {"before": flat, "after": flat}
    assert "| - -> - |" in markdown(report | {"variables": {"tas": tas}})


def test_the_fit_of_the_report_did_not_see_the_withheld_years(tmp_path: Path) -> None:
    own = tiny_forcing("land").assign_attrs(title="own")
    other = told_otherwise(own)
    # From 2003 on the product is 12 K too warm: no year before could tell.
    other["tas"] = other["tas"].copy()
    other["tas"].loc["2003":] += 12.0
    found = pair_of(write_pair(tmp_path, product=other, onto=own), withheld=7)
    shift = shift_report(settings(), found)["variables"]["tas"]
    assert shift["after"]["globe"]["bias"] == pytest.approx(12.0, abs=1e-3)
    assert shift["beyond"] > 0.9


def test_map_and_report_are_kept_together(
    paths: tuple[Path, Path], report: dict[str, Any], tmp_path: Path
) -> None:
    found = pair_of(paths)
    known = learn(settings(), found, found.years)
    folder = keep(tmp_path / "maps" / "x", known, report)
    assert sorted(one.name for one in folder.iterdir()) == [
        "fit.zarr",
        "shift.json",
        "shift.md",
    ]
    assert open_map(folder).identity == known.identity
    with pytest.raises(StoreError, match="exists already"):
        keep(folder, known, report)


MONTHS = month_range("1950-01", "1994-12")


@pytest.fixture(scope="module")
def two_weathers() -> tuple[xr.Dataset, xr.Dataset]:
    """Return the testbed's forcing of the land, and as its other product tells it."""
    earth = geography.build(Grid.regular(30.0))
    seen = weather.simulate(earth, MONTHS, seed=0)
    other = products.another(earth, seen, seed=0)
    return as_store(earth, seen, "own"), as_store(earth, other, "other")


def as_store(
    earth: geography.Geography, one: weather.Weather, title: str
) -> xr.Dataset:
    fields = {}
    for name, packed in one.land.items():
        whole = np.full((MONTHS.size, earth.land_fraction.size), np.nan, "f4")
        whole[:, one.land_cells] = packed
        shaped = whole.reshape(MONTHS.size, *earth.grid.shape)
        units = {"units": VARIABLES[name].units}
        fields[name] = (("time", "lat", "lon"), shaped, units)
    fields["area"] = (("lat", "lon"), earth.grid.cell_area())
    fields["fraction"] = (("lat", "lon"), earth.land_fraction)
    coords = {"time": MONTHS.astype("M8[ns]")}
    coords |= {"lat": earth.grid.lat, "lon": earth.grid.lon}
    about = {"schema": FORCING_SCHEMA, "domain": "land", "title": title}
    return xr.Dataset(fields, coords, about)


def test_the_bias_of_a_testbed_product_goes_and_its_errors_of_months_stay(
    two_weathers: tuple[xr.Dataset, xr.Dataset], tmp_path: Path
) -> None:
    own, other = two_weathers
    # The testbed's products differ by errors of months only: these are lasting.
    biased = other.copy()
    biased["tas"] = (other["tas"] + 1.5).assign_attrs(other["tas"].attrs)
    for name in ("pr", "rsds", "vpd"):
        biased[name] = (other[name] * 1.3).assign_attrs(other[name].attrs)
    paths = write_pair(tmp_path / "biased", product=biased, onto=own)
    lasting = shift_report(settings(), pair_of(paths))["variables"]
    paths = write_pair(tmp_path / "not", product=other, onto=own)
    unbiased = shift_report(settings(), pair_of(paths))["variables"]
    for name in ("tas", "pr", "rsds", "vpd"):
        before, after = (lasting[name][when]["globe"] for when in ("before", "after"))
        error = unbiased[name]["before"]["globe"]["rmse"]
        assert abs(after["bias"]) < 0.1 * abs(before["bias"])
        assert after["rmse"] < before["rmse"]
        # The mean of 30 years errs, too: sqrt(1 + 1 / 30), 2 %, and more where errors
        # last. So much a map costs where there is nothing to mend.
        assert 0.95 * error < after["rmse"] < 1.1 * error
        assert unbiased[name]["after"]["globe"]["rmse"] < 1.1 * error
        assert after["correlation"] == pytest.approx(before["correlation"], abs=0.01)
