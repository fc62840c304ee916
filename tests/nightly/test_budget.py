import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import emulator
from emulator.carbon.errors import GridMismatchError, SettingsError, StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.units import EARTH_RADIUS
from emulator.nightly.budget import budget
from emulator.nightly.sinkmap import assemble

from .synthetic import prediction

FLUX = 1e-9  # kg m-2 s-1
SPHERE = 4 * np.pi * EARTH_RADIUS**2
# By hand: the whole sphere for a mean Gregorian year, PgC.
GLOBE = FLUX * SPHERE * 365.2425 * 86400 / 1e12

NORTH_EAST = {  # an eighth of the sphere, along meridians and the equator
    "type": "Polygon",
    "coordinates": [[[0, 0], [90, 0], [90, 90], [0, 90], [0, 0]]],
}


def uniform(**more: object) -> xr.Dataset:
    """Return a map where every m2 of the sphere takes up the same."""
    fraction = np.ones(Grid.regular(30).shape)
    values = np.array([0.5, 1.5])[:, None, None, None] * FLUX
    return assemble(
        prediction("land", values=values, fraction=fraction, **more),  # type: ignore[arg-type]
        prediction("ocean", values=values, fraction=fraction, **more),  # type: ignore[arg-type]
    )


def test_globe_by_hand() -> None:
    totals = budget(uniform())
    assert totals["budget_month"].dims == ("flux", "time")
    assert totals["budget_year"].dims == ("flux", "year")
    assert totals["region"].item() == "globe"
    np.testing.assert_allclose(totals["budget_month"], GLOBE, rtol=1e-6)
    # 2000 is a leap year: 366 of 365.2425 days.
    days = np.array([366, 365])
    np.testing.assert_allclose(
        totals["budget_year"].sel(flux="fgco2"), GLOBE * days / 365.2425, rtol=1e-6
    )
    np.testing.assert_allclose(totals["covered_area"], SPHERE)
    assert totals["budget_year"].attrs["units"] == "Pg year-1"


def test_each_teacher_and_their_spread_by_hand() -> None:
    totals = budget(uniform(), "globe")
    np.testing.assert_allclose(
        totals["nbp_month"].sel(land_teacher="A"), 0.5 * GLOBE, rtol=1e-6
    )
    np.testing.assert_allclose(
        totals["fgco2_year"].sel(ocean_teacher="D", year=2001),
        1.5 * GLOBE * 365 / 365.2425,
        rtol=1e-6,
    )
    # 0.5 and 1.5: deviations of 0.5, so sqrt(0.5^2 + 0.5^2) = sqrt 0.5.
    for period in ("month", "year"):
        std = totals[f"budget_{period}_teacher_std"]
        mean = totals[f"budget_{period}"]
        np.testing.assert_allclose(std / mean, np.sqrt(0.5), rtol=1e-6)


def test_months_weigh_by_their_length() -> None:
    # Only February takes up anything: 29 days in 2000, 28 in 2001.
    sink_map = uniform()
    february = sink_map["time"].dt.month == 2
    for name in ("nbp", "nbp_mean", "fgco2", "fgco2_mean"):
        sink_map[name] = sink_map[name].where(february, 0.0)
    by_year = budget(sink_map)["budget_year"].sel(flux="nbp")
    np.testing.assert_allclose(
        by_year, FLUX * SPHERE * np.array([29, 28]) * 86400 / 1e12, rtol=1e-6
    )


def test_incomplete_years_have_no_total() -> None:
    totals = budget(uniform(first="2000-02", last="2001-12"))
    assert totals["year"].to_numpy().tolist() == [2001]
    none = budget(uniform(first="2000-02", last="2000-12"))
    assert none.sizes["year"] == 0
    assert none.sizes["time"] == 11


def test_named_regions_add_up() -> None:
    sink_map = assemble(prediction("land"), prediction("ocean"), map_grid=10)
    bands = [budget(sink_map, name) for name in ("north", "tropics", "south")]
    together = sum(band["budget_year"] for band in bands)
    np.testing.assert_allclose(together, budget(sink_map)["budget_year"], atol=1e-12)
    stated = sink_map["budget_year"].sel(region="tropics")
    np.testing.assert_allclose(bands[1]["budget_year"], stated)


def test_srex_region_by_its_abbreviation() -> None:
    totals = budget(uniform(), "AMZ")
    share = float(totals["covered_area"].sel(flux="nbp")) / SPHERE
    # The Amazon region of SREX: 20 S to 11 N, 66 to 50 W and a strip beside it.
    assert 0.01 < share < 0.02
    np.testing.assert_allclose(totals["budget_month"], share * GLOBE, rtol=1e-6)


def test_mask_and_polygon_agree() -> None:
    sink_map = uniform()
    inside = (sink_map["lat"] > 0) & (sink_map["lon"] > 0) & (sink_map["lon"] < 90)
    by_mask = budget(sink_map, inside.rename("north_east"))
    by_polygon = budget(sink_map, NORTH_EAST)
    assert by_mask["region"].item() == "north_east"
    np.testing.assert_allclose(by_mask["budget_month"], GLOBE / 8, rtol=1e-6)
    np.testing.assert_allclose(by_polygon["budget_month"], GLOBE / 8, rtol=1e-6)


def test_mask_of_shares_in_any_order_counts_in_part() -> None:
    sink_map = uniform()
    half = xr.full_like(sink_map["area"], 0.5).transpose("lon", "lat")
    np.testing.assert_allclose(
        budget(sink_map, half)["budget_month"], GLOBE / 2, rtol=1e-6
    )
    bare = xr.DataArray(np.full((6, 12), 0.5), dims=("lat", "lon"))
    assert budget(sink_map, bare)["region"].item() == "mask"


@pytest.mark.parametrize("wrap", ["feature", "collection", "file"])
def test_geojson_may_be_wrapped(wrap: str, tmp_path: Path) -> None:
    feature = {
        "type": "Feature",
        "properties": {"name": "corner"},
        "geometry": NORTH_EAST,
    }
    region: object = feature
    if wrap == "collection":
        region = {"type": "FeatureCollection", "features": [feature]}
    if wrap == "file":
        region = tmp_path / "corner.geojson"
        region.write_text(json.dumps(feature))
    totals = budget(uniform(), region)  # type: ignore[arg-type]
    assert totals["region"].item() == "corner"
    np.testing.assert_allclose(totals["budget_month"], GLOBE / 8, rtol=1e-6)


def test_public_name_is_this_function() -> None:
    assert emulator.budget is budget


def test_region_outside_the_emulated_cells_is_refused() -> None:
    fraction = np.ones(Grid.regular(30).shape)
    fraction[3:] = 0.0  # nothing north of the equator
    sink_map = assemble(prediction("land", fraction=fraction), None)
    with pytest.raises(GridMismatchError, match=r"No cell .* lies in region 'north'"):
        budget(sink_map, "north")


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        SettingsError, match=r"'Mars' is not known\. Known are globe, .*AMZ"
    ):
        budget(uniform(), "Mars")


def test_mask_on_another_grid_is_refused() -> None:
    other = Grid.regular(45)
    mask = xr.DataArray(
        np.ones(other.shape), {"lat": other.lat, "lon": other.lon}, ("lat", "lon")
    )
    with pytest.raises(GridMismatchError, match=r"mask's grid is 4x8.*map's is 6x12"):
        budget(uniform(), mask)


def test_mask_with_time_is_refused() -> None:
    with pytest.raises(GridMismatchError, match=r"dimensions \('time', 'lat', 'lon'\)"):
        budget(uniform(), uniform()["nbp_mean"])


@pytest.mark.parametrize("value", [2.0, -1.0, np.nan])
def test_mask_beyond_a_share_is_refused(value: float) -> None:
    sink_map = uniform()
    with pytest.raises(GridMismatchError, match="share of each cell, 0 to 1"):
        budget(sink_map, xr.full_like(sink_map["area"], value))


def test_geojson_of_another_kind_is_refused() -> None:
    with pytest.raises(SettingsError, match="Polygon or MultiPolygon, got 'Point'"):
        budget(uniform(), {"type": "Point", "coordinates": [0, 0]})


def test_geojson_with_two_features_is_refused() -> None:
    two = {"type": "FeatureCollection", "features": [NORTH_EAST, NORTH_EAST]}
    with pytest.raises(SettingsError, match="holds 2 features, but a region is one"):
        budget(uniform(), two)


def test_unreadable_geojson_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No GeoJSON could be read"):
        budget(uniform(), tmp_path / "absent.geojson")
    (tmp_path / "broken.geojson").write_text("{")
    with pytest.raises(SettingsError, match="No GeoJSON could be read"):
        budget(uniform(), tmp_path / "broken.geojson")


def test_region_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match="got int"):
        budget(uniform(), 3)  # type: ignore[arg-type]


def test_other_data_set_is_refused() -> None:
    with pytest.raises(StoreError, match="no sink map: area, lat, lon, time missing"):
        budget(xr.Dataset())


def test_map_of_means_is_refused() -> None:
    with pytest.raises(StoreError, match=r"sink\.nc holds the means only"):
        budget(uniform().drop_vars(["nbp", "fgco2"]))
