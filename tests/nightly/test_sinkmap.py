import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import GridMismatchError, SettingsError, StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.units import EARTH_RADIUS
from emulator.nightly.sinkmap import assemble

from .synthetic import domain_total, prediction

YEAR_IN_SECONDS = 365.2425 * 86400


def total(sink_map: xr.Dataset, name: str, fraction: str) -> xr.DataArray:
    """Sum a map as its comment says, PgC yr-1."""
    field = sink_map[name].astype("f8") * sink_map["area"] * sink_map[fraction]
    summed = field.sum(("lat", "lon"), min_count=1)
    return summed * YEAR_IN_SECONDS / 1e12


def test_same_grid_leaves_the_fluxes_untouched() -> None:
    land = prediction("land")
    sink_map = assemble(land, None)
    assert sink_map["nbp"].dims == ("land_teacher", "time", "lat", "lon")
    np.testing.assert_array_equal(sink_map["nbp"], land["nbp"])
    np.testing.assert_array_equal(sink_map["land_fraction"], land["fraction"])
    assert "fgco2" not in sink_map


@pytest.mark.parametrize("map_grid", ["land", "ocean", 10.0, "45", 7.5])
def test_regridding_conserves_the_total_of_every_teacher_and_month(
    map_grid: str | float,
) -> None:
    land, ocean = prediction("land", step=30), prediction("ocean", step=22.5, seed=1)
    sink_map = assemble(land, ocean, map_grid=map_grid)
    for source, name, fraction in (
        (land, "nbp", "land_fraction"),
        (ocean, "fgco2", "sea_fraction"),
    ):
        expected = [
            [domain_total(month, source["fraction"].to_numpy()) for month in teacher]
            for teacher in source[name].to_numpy()
        ]
        expected = np.array(expected) * YEAR_IN_SECONDS / 1e12
        # Maps are float32: rounding leaves 1e-7 of the gross flux (about 100 PgC).
        found = total(sink_map, name, fraction)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        covered = float((sink_map["area"] * sink_map[fraction]).sum())
        ones = np.ones(source["fraction"].shape)
        assert covered == pytest.approx(
            domain_total(ones, source["fraction"].to_numpy())
        )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([10.0, 15.0, 18.0, 36.0, 60.0]))
def test_no_field_loses_carbon(seed: int, step: float) -> None:
    land = prediction("land", last="2000-01", seed=seed)
    sink_map = assemble(land, None, map_grid=step)
    share = land["fraction"].to_numpy()
    expected = domain_total(land["nbp"].to_numpy()[0, 0], share)
    gross = domain_total(np.abs(land["nbp"].to_numpy()[0, 0]), share)
    found = total(sink_map, "nbp", "land_fraction").to_numpy()[0, 0]
    assert found * 1e12 / YEAR_IN_SECONDS == pytest.approx(expected, abs=1e-6 * gross)


def test_mean_and_spread_of_two_teachers_by_hand() -> None:
    # 1 and 3: mean 2, sample standard deviation sqrt(((-1)^2 + 1^2) / 1) = sqrt 2.
    values = np.array([1.0, 3.0])[:, None, None, None] * 1e-8
    sink_map = assemble(prediction("land", values=values), None)
    inside = sink_map["land_fraction"] > 0
    for name, expected in (
        ("nbp_mean", 2e-8),
        ("nbp_teacher_std", np.sqrt(2) * 1e-8),
        ("nbp_emulator_std", 2e-8),  # the mean of the two, given as |flux|
    ):
        field = sink_map[name].where(inside)
        assert field.dims == ("time", "lat", "lon")
        assert field.dtype == np.float32
        np.testing.assert_allclose(field.min(), expected, rtol=1e-6)
        np.testing.assert_allclose(field.max(), expected, rtol=1e-6)
        assert sink_map[name].where(~inside).isnull().all()


def test_one_teacher_and_one_network_have_no_spread() -> None:
    land = prediction("land", teachers=("A",)).drop_vars("nbp_emulator_std")
    sink_map = assemble(land, None)
    for name in ("nbp_teacher_std", "nbp_emulator_std", "budget_year_teacher_std"):
        assert sink_map[name].isnull().all()
    assert sink_map["budget_year"].notnull().all()


def test_emulator_spread_of_a_lone_network_stays_missing() -> None:
    land = prediction("land")
    land["nbp_emulator_std"] = xr.full_like(land["nbp_emulator_std"], np.nan)
    sink_map = assemble(land, None, map_grid=10)
    assert sink_map["nbp_emulator_std"].isnull().all()
    assert sink_map["nbp_mean"].notnull().any()


def test_total_of_the_mean_is_the_mean_of_totals_where_teachers_differ_in_cells() -> (
    None
):
    land = prediction("land", fraction=np.ones(Grid.regular(30).shape))
    for name in ("nbp", "nbp_emulator_std"):
        land[name][0, :, 4:] = np.nan  # teacher A has nothing in the north
    sink_map = assemble(land, None, map_grid=20)
    teachers = total(sink_map, "nbp", "land_fraction")
    expected = domain_total(land["nbp"][0, 0].to_numpy(), land["fraction"].to_numpy())
    assert float(teachers[0, 0]) == pytest.approx(
        expected * YEAR_IN_SECONDS / 1e12, abs=1e-5
    )
    np.testing.assert_allclose(
        total(sink_map, "nbp_mean", "land_fraction"), teachers.mean("land_teacher"),
        atol=1e-5,
    )  # fmt: skip
    assert sink_map["nbp"].notnull().all()


def test_months_are_the_union_and_a_domain_is_missing_where_it_has_none() -> None:
    land = prediction("land", first="2000-01", last="2001-12")
    ocean = prediction("ocean", first="2001-01", last="2002-06")
    sink_map = assemble(land, ocean)
    assert sink_map.sizes["time"] == 30
    by_month = sink_map["budget_month"].sel(region="globe")
    assert by_month.sel(flux="nbp").notnull().sum() == 24
    assert by_month.sel(flux="nbp", time="2002").isnull().all()
    assert by_month.sel(flux="fgco2", time="2000").isnull().all()
    # Complete years only: nbp 2000 and 2001, fgco2 2001.
    assert sink_map["year"].to_numpy().tolist() == [2000, 2001]
    by_year = sink_map["budget_year"].sel(region="globe")
    assert by_year.sel(flux="fgco2").notnull().to_numpy().tolist() == [False, True]
    for name in ("fgco2", "fgco2_mean", "fgco2_teacher_std", "fgco2_emulator_std"):
        assert sink_map[name].sel(time="2000").isnull().all()


def test_uniform_flux_has_the_budget_of_the_sphere() -> None:
    # 1e-9 kg m-2 s-1 on the whole sphere, by hand: 1e-9 * 4 pi R^2 * s / 1e12.
    everywhere = np.ones(Grid.regular(30).shape)
    values = np.full((1, 1, 1, 1), 1e-9)
    land = prediction("land", values=values, fraction=everywhere)
    sink_map = assemble(land, None)
    per_second = 1e-9 * 4 * np.pi * EARTH_RADIUS**2 / 1e12
    globe = sink_map.sel(region="globe", flux="nbp")
    np.testing.assert_allclose(globe["budget_month"], per_second * YEAR_IN_SECONDS)
    days = np.array([366, 365])  # 2000 is a leap year
    np.testing.assert_allclose(globe["budget_year"], per_second * days * 86400)
    # The bands of a sphere by hand: north and south of 30 degrees a quarter each.
    shares = {"north": 0.25, "tropics": 0.5, "south": 0.25, "other": 0.0}
    for region, share in shares.items():
        np.testing.assert_allclose(
            sink_map["budget_month"].sel(region=region, flux="nbp"),
            share * per_second * YEAR_IN_SECONDS,
        )


def test_published_budget_is_the_sum_of_the_published_map() -> None:
    sink_map = assemble(prediction("land"), prediction("ocean", seed=3), map_grid=20)
    for name, fraction in (("nbp", "land_fraction"), ("fgco2", "sea_fraction")):
        stated = sink_map["budget_month"].sel(region="globe", flux=name)
        np.testing.assert_allclose(
            stated, total(sink_map, f"{name}_mean", fraction), rtol=1e-12
        )


def test_months_that_no_teacher_simulated_are_flagged() -> None:
    # The labels of A end with 2000, those of B with 2001.
    land = prediction("land", first="2000-12", last="2002-01")
    flags = assemble(land, None)["nbp_simulated"]
    meanings = dict(
        zip(
            flags.attrs["flag_values"],
            flags.attrs["flag_meanings"].split(),
            strict=True,
        )
    )
    words = [[meanings[int(code)] for code in teacher] for teacher in flags.to_numpy()]
    assert words[0] == ["simulated_by_teacher"] + 13 * ["emulated_only"]
    assert words[1] == 13 * ["simulated_by_teacher"] + ["emulated_only"]


def test_teacher_without_catalog_entry_is_flagged_as_not_known() -> None:
    land = prediction("land")
    land.attrs.pop("catalog")
    assert (assemble(land, None)["nbp_simulated"] == -1).all()


def test_teacher_without_an_end_is_flagged_as_not_known() -> None:
    land = prediction("land")
    entries = json.loads(land.attrs["catalog"])
    entries["A"]["years"] = [1990, None]
    entries["B"]["name"] = "b-files"
    entries["b-files"] = entries.pop("B") | {"label": "B"}  # known by its label
    land.attrs["catalog"] = json.dumps(entries)
    flags = assemble(land, None)["nbp_simulated"]
    assert (flags.sel(land_teacher="A") == -1).all()
    assert (flags.sel(land_teacher="B") == 1).all()


def test_status_of_a_month_is_the_worse_of_both_domains() -> None:
    land = prediction("land", first="2000-01", last="2000-03")
    ocean = prediction("ocean", first="2000-02", last="2000-04")
    land["status"] = ("time", np.array([0, 0, 1], np.int8))
    land["coverage"] = ("time", np.array([1.0, 1.0, 0.5]))
    ocean["status"] = ("time", np.array([0, 0, 2], np.int8))
    ocean["coverage"] = ("time", np.array([0.9, 0.9, 0.1]))
    sink_map = assemble(land, ocean)
    assert sink_map["status"].to_numpy().tolist() == [0, 0, 1, 2]
    np.testing.assert_allclose(sink_map["coverage"], [1.0, 0.9, 0.5, 0.1])
    names = sink_map["forcing_source"].attrs["flag_meanings"].split()
    assert [names[code] for code in sink_map["forcing_source"].to_numpy()] == [
        "land_weather",
        "land_weather+ocean_weather",
        "land_weather+ocean_weather",
        "ocean_weather",
    ]


def test_product_behind_both_domains_is_named_once() -> None:
    land, ocean = prediction("land"), prediction("ocean")
    co2 = {"kind": "table", "citation": "CO2, made up"}
    for each in (land, ocean):
        entries = json.loads(each.attrs["forcing_catalog"])
        each.attrs["forcing_catalog"] = json.dumps(entries | {"co2": co2})
    sink_map = assemble(land, ocean)
    assert sink_map["forcing_source"].attrs["flag_meanings"] == (
        "co2+land_weather+ocean_weather"
    )
    assert sink_map.attrs["references"].count("CO2, made up") == 1


def test_forcing_that_states_nothing_is_not_called_final() -> None:
    sink_map = assemble(prediction("land"), None)
    words = sink_map["status"].attrs["flag_meanings"].split()
    assert words == ["final", "preliminary", "partial", "unknown"]
    assert (sink_map["status"] == words.index("unknown")).all()
    assert sink_map["coverage"].isnull().all()


def test_issue_and_revision_are_written() -> None:
    issued = np.datetime64("2026-11-21T03:00:00")
    sink_map = assemble(prediction("land"), None, issued=issued)
    assert (sink_map["issued"] == issued.astype("M8[ns]")).all()
    assert (sink_map["revision"] == 0).all()
    assert sink_map.attrs["date_created"] == "2026-11-21T03:00:00Z"


def test_attributes_say_what_stands_behind_the_map() -> None:
    attrs = assemble(prediction("land"), prediction("ocean")).attrs
    assert attrs["evidence"] == "testbed"
    assert attrs["schema"] == "sink-map/1"
    assert "Teacher C (ocean), made up" in attrs["references"]
    assert "10.0/B" in attrs["references"]
    assert "Weather, made up" in attrs["references"]
    assert "A: CC0" in attrs["license"]
    assert "ask the makers of B" in attrs["acknowledgement"]
    vintage = json.loads(attrs["vintage"])
    assert vintage["land"]["checkpoint"] == "hash-of-land"
    assert vintage["ocean"]["trained with"] == "0.0.1"
    assert vintage["land"]["forcing"] == ["land_weather"]
    assert vintage["land"]["last month"] == "2001-12"
    assert json.loads(attrs["products"])["ocean"]["C"]["licence"] == "CC0"
    assert "The land run is not calibrated: no intervals, no" in attrs["uncertainty"]


def test_inputs_that_no_night_has_are_confessed() -> None:
    ocean = prediction("ocean")
    ocean.attrs["own_state"] = json.dumps({"tos": "C", "sos": "C"})
    said = assemble(None, ocean).attrs["uncertainty"]
    assert "ocean emulator was given sos, tos as the teacher itself" in said
    assert "upper bound." in said


def test_evidence_of_two_kinds_is_told_apart() -> None:
    land, ocean = prediction("land"), prediction("ocean")
    ocean.attrs["evidence"] = "real teacher, simulated forcing"
    attrs = assemble(land, ocean).attrs
    wanted = "land: testbed; ocean: real teacher, simulated forcing"
    assert attrs["evidence"] == wanted
    assert wanted in attrs["title"]


def test_prediction_without_origin_says_so() -> None:
    land = prediction("land")
    land.attrs = {}
    attrs = assemble(land, None).attrs
    assert attrs["evidence"] == attrs["references"] == "not stated"


def test_nothing_to_assemble() -> None:
    with pytest.raises(ValueError, match="land and ocean are None"):
        assemble(None, None)


def test_grid_of_an_absent_domain_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"map\.grid is 'ocean'.*has land.*Choose"):
        assemble(prediction("land"), None, map_grid="ocean")


def test_prediction_without_its_flux_is_refused() -> None:
    with pytest.raises(StoreError, match=r"ocean lacks fgco2.*list 'fgco2' among"):
        assemble(None, prediction("land"))


def test_prediction_without_months_is_refused() -> None:
    with pytest.raises(StoreError, match=r"2 teachers and 0 months\. Give forcing"):
        assemble(prediction("land").isel(time=slice(0)), None)


def test_cells_that_come_and_go_are_refused() -> None:
    fraction = np.ones(Grid.regular(30).shape)
    land = prediction("land", fraction=fraction)
    land["nbp"][1, 3, 2, 2] = np.nan
    with pytest.raises(GridMismatchError, match="1 cells have nbp in some months only"):
        assemble(land, None)
