"""Two products are held against each other before anything is learned."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import (
    GridMismatchError,
    SettingsError,
    StoreError,
    TimeAxisError,
)
from emulator.carbon.variables import VARIABLES
from emulator.data.mapping.products import MappingSettings, open_product
from emulator.data.stores import write_store
from tests.data.two_products import pair_of, settings, told_otherwise, write_pair
from tests.worlds import tiny_forcing

OWN = tiny_forcing("land")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_pair(tmp_path_factory.mktemp("pair"))


def test_whole_years_of_both_are_learned_from(paths: tuple[Path, Path]) -> None:
    found = pair_of(paths)
    assert found.variables == ("pr", "tas")
    assert found.methods == {"tas": "delta", "pr": "ratio"}
    assert [found.years[0], found.years[-1]] == [1990, 2005]
    # A third of 16 years, rounded down.
    assert found.fitted.tolist() == list(range(1990, 2001))
    assert found.scored.tolist() == list(range(2001, 2006))
    limited = pair_of(paths, years=[1995, 2004], withheld=2, variables=["pr"])
    assert limited.fitted.tolist() == list(range(1995, 2003))
    assert limited.variables == ("pr",)


def test_a_year_that_one_has_in_part_is_left_out(tmp_path: Path) -> None:
    part = OWN.sel(time=slice("1995-06", "2001-11"))
    found = pair_of(write_pair(tmp_path, onto=part))
    assert [found.years[0], found.years[-1]] == [1996, 2000]


def test_the_weather_of_a_training_store_is_a_product(ocean_store: Path) -> None:
    found = open_product(ocean_store)
    # The climatology that the control saw is no month.
    assert [str(found.months[0]), str(found.months[-1])] == ["1990-01", "2009-12"]
    assert set(found.fields) == {"tosforc", "sfcWind"}
    assert not found.is_forcing_store
    values, months = found.of_years("tosforc", np.array([1991, 1992]))
    assert values.shape == (24, 4, 8)
    assert str(months[0]) == "1991-01"


def test_products_without_a_common_year_are_refused(tmp_path: Path) -> None:
    early, late = OWN.sel(time=slice("1999-06")), OWN.sel(time=slice("1999-07", None))
    paths = write_pair(tmp_path, product=early, onto=late)
    with pytest.raises(SettingsError, match=r"no whole year: .* to 1999-06 and"):
        pair_of(paths)


def test_years_that_nobody_has_are_named(paths: tuple[Path, Path]) -> None:
    with pytest.raises(SettingsError, match="share no whole year among 2006-2008"):
        pair_of(paths, years=[2006, 2008])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"years": [1990, 1993], "withheld": 2},
            "4 whole years .* ratio of 'pr' needs 3",
        ),
        (
            {"methods": {"tas": "quantiles", "pr": "ratio"}},
            "quantiles of 'tas' needs 20 to learn from.*fewer quantiles",
        ),
        (
            {"methods": {"tas": "delta"}},
            r"No method is stated for pr\.",
        ),
    ],
)
def test_fewer_years_than_a_method_needs_are_refused(
    paths: tuple[Path, Path], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        pair_of(paths, **changes)


def test_another_grid_is_refused(tmp_path: Path) -> None:
    shifted = told_otherwise(OWN).assign_coords(lon=OWN["lon"] + 1.0)
    with pytest.raises(GridMismatchError, match="a map goes from cell to cell"):
        pair_of(write_pair(tmp_path, product=shifted))


def test_another_domain_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is of the ocean, .* of the land"):
        pair_of(write_pair(tmp_path, product=tiny_forcing("ocean")))


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    dry = told_otherwise(OWN).drop_vars("pr")
    paths = write_pair(tmp_path, product=dry)
    with pytest.raises(StoreError, match=r"has \['tas'\], but not pr"):
        pair_of(paths)
    assert pair_of(paths, variables=["tas"]).variables == ("tas",)


def test_what_is_no_store_is_no_product(tmp_path: Path) -> None:
    path = write_store(OWN.assign_attrs(schema="other/1"), tmp_path / "x.zarr")
    with pytest.raises(StoreError, match="has the schema 'other/1'"):
        open_product(path)


def test_a_hole_between_months_is_refused(tmp_path: Path) -> None:
    holed = OWN.isel(time=[*range(24), *range(25, 60)])
    with pytest.raises(TimeAxisError, match="1 missing between 1991-12 and 1992-02"):
        open_product(write_store(holed, tmp_path / "x.zarr"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"onto": ""}, "one of onto=STORE, to learn, and by=PATH"),
        ({"by": "maps/x"}, "got onto 'own' and by 'maps/x'"),
        ({"onto": "", "by": "x", "run": "r"}, "Leave out by=PATH"),
        ({"methods": {"tas": "magic"}}, "methods.tas is 'magic', but each"),
        ({"methods": {"rain": "delta"}}, "methods.rain is 'delta', but each"),
        ({"years": [2000]}, r"first and the last year, got \[2000\]"),
        ({"years": [2000, 1990]}, r"first and the last year, got \[2000, 1990\]"),
        ({"withheld": 0}, "withheld is 0, but one year"),
        ({"quantiles": 1}, "quantiles is 1 and"),
        ({"largest_ratio": 0.5}, r"largest_ratio 0\.5, but they must be 2 and 1"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(**changes)


def test_usual_methods_are_those_of_what_drives_teachers() -> None:
    usual = MappingSettings(product="a", onto="b").methods
    forcing = {name for name, one in VARIABLES.items() if one.role == "forcing"}
    assert set(usual) <= forcing - {"co2", "co2_normal"}
    # What has no zero to multiply from, or both signs, is never multiplied.
    added = {name for name, method in usual.items() if method == "delta"}
    assert added == {"tas", "tos", "tosforc", "sos", "tauu", "siconc"}
