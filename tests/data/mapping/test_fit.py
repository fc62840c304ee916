"""What is learned of two products, and a store that is mapped by it."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import GridMismatchError, SettingsError, StoreError
from emulator.carbon.timeaxis import month_of
from emulator.data.mapping.fit import learn, map_identity, map_store, mapped_path
from emulator.data.mapping.products import open_product
from emulator.data.mapping.store import Fit, ForcingMap, open_map, write_map
from emulator.data.stores import FORCING_SCHEMA, open_store, write_store
from tests.data.two_products import WARM, pair_of, settings, told_otherwise, write_pair
from tests.worlds import tiny_forcing, tiny_store

OWN = tiny_forcing("land")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_pair(tmp_path_factory.mktemp("pair"))


def learned(paths: tuple[Path, Path], **changes: Any) -> ForcingMap:
    found = pair_of(paths, **changes)
    return learn(settings(**changes), found, found.years)


@pytest.fixture(scope="module")
def known(paths: tuple[Path, Path]) -> ForcingMap:
    return learned(paths)


def test_a_known_difference_is_learned(known: ForcingMap) -> None:
    delta = known.fits["tas"].change
    np.testing.assert_allclose(delta[6], -WARM, atol=1e-4)
    np.testing.assert_allclose(np.delete(delta, 6, axis=0), 0, atol=1e-4)
    ratio = known.fits["pr"].change
    there = OWN["pr"][0].notnull().to_numpy()
    np.testing.assert_allclose(ratio[:, there], 2.0, rtol=1e-5)
    assert np.isnan(ratio[:, ~there]).all()


def test_only_common_years_are_learned_from(
    tmp_path: Path, known: ForcingMap, paths: tuple[Path, Path]
) -> None:
    # The own product ends in 2005; what the other says later must not count.
    later = told_otherwise(OWN)
    for name in ("tas", "pr"):
        later[name] = later[name].copy()
        later[name].loc["2006":] *= 1.5
    changed = write_pair(tmp_path, product=later.assign_attrs(settings_hash="later"))
    found = learned(changed)
    assert found.years == (1990, 2005)
    for name, fit in known.fits.items():
        for part in ("change", "lowest", "highest"):
            np.testing.assert_array_equal(
                getattr(found.fits[name], part), getattr(fit, part)
            )
    # Nor what lies before the years that are asked for.
    limited = learned(paths, years=[1995, 2005])
    values = OWN["tas"].sel(time=slice("1995", "2005")).groupby("time.month").max()
    warm = WARM * (values["month"] == 7)
    np.testing.assert_allclose(limited.fits["tas"].highest, values + warm, rtol=1e-6)


def test_cells_and_calendar_months_are_learned_apart(
    tmp_path: Path, known: ForcingMap
) -> None:
    # 3 K warmer and rain of a third in the Marches of one cell of land.
    row, column = np.argwhere(np.isfinite(known.fits["pr"].change[2]))[4]
    here = (month_of(OWN["time"].to_numpy()) == 3, row, column)
    other = told_otherwise(OWN).copy(deep=True)
    other["tas"].values[here] += np.float32(3.0)
    other["pr"].values[here] /= np.float32(3.0)
    found = learned(write_pair(tmp_path, product=other))
    for name, change in (("tas", -3.0), ("pr", 6.0)):
        expected = known.fits[name].change.copy()
        expected[2, row, column] = change
        np.testing.assert_allclose(found.fits[name].change, expected, atol=1e-4)


def test_a_name_leads_into_no_other_folder(
    tmp_path: Path, known: ForcingMap, paths: tuple[Path, Path]
) -> None:
    product = open_product(paths[0])
    from_elsewhere = replace(known, title="../../mine")
    for path in (
        mapped_path(product, from_elsewhere, tmp_path),
        mapped_path(product, known, tmp_path, "../../mine"),
    ):
        assert path.parent == tmp_path
        assert path.name.startswith(".._.._mine-")


def test_a_map_says_what_it_is(known: ForcingMap, paths: tuple[Path, Path]) -> None:
    about = known.about
    assert known.title == "other_onto_own"
    assert known.years == (1990, 2005)
    assert about["known_since"] == "2006-01-01"
    assert about["evidence"] == "testbed"
    said = json.loads(known.record)
    assert said["map"] == known.identity == map_identity(settings(), pair_of(paths))
    assert said["methods"] == {"pr": "ratio", "tas": "delta"}
    assert said["product"]["title"] == "other"
    assert said["onto"]["months"] == "1990-01 to 2005-12"


@pytest.mark.parametrize(
    "changes",
    [{"largest_ratio": 5.0}, {"years": [1991, 2005]}, {"variables": ["tas"]}],
)
def test_what_decides_the_map_decides_its_identity(
    paths: tuple[Path, Path], known: ForcingMap, changes: dict[str, Any]
) -> None:
    assert learned(paths, **changes).identity != known.identity
    assert learned(paths, withheld=2).identity == known.identity


def test_a_map_is_kept_and_read_back(known: ForcingMap, tmp_path: Path) -> None:
    path = write_map(known, tmp_path / "map" / "fit.zarr")
    for place in (path, path.parent):
        again = open_map(place)
        assert again.identity == known.identity
        assert again.record == known.record
        for name, fit in known.fits.items():
            other = again.fits[name]
            assert (other.method, other.quantiles) == (fit.method, None)
            np.testing.assert_array_equal(other.change, fit.change)
            np.testing.assert_array_equal(other.lowest, fit.lowest)
            np.testing.assert_array_equal(other.highest, fit.highest)


def test_a_mapped_store_is_the_other_product(
    paths: tuple[Path, Path], known: ForcingMap, tmp_path: Path
) -> None:
    product = open_product(paths[0])
    path = mapped_path(product, known, tmp_path)
    assert path.name.startswith("other_onto_own-")
    found = open_store(map_store(product, known, path), FORCING_SCHEMA).load()
    # Also the four years that the other product does not have.
    np.testing.assert_allclose(found["tas"], OWN["tas"], atol=1e-4)
    np.testing.assert_allclose(found["pr"], OWN["pr"], rtol=1e-5)
    np.testing.assert_array_equal(found["co2"], OWN["co2"])
    np.testing.assert_array_equal(found["time"], OWN["time"])
    assert found["tas"].attrs["units"] == "K"
    assert found["tas"].attrs["mapped"] == "delta"
    assert json.loads(found.attrs["mapped_by"])["map"] == known.identity
    assert found.attrs["title"] == "other_onto_own"
    assert found.attrs["settings_hash"] == path.stem.rpartition("-")[2]
    assert "mapped by other_onto_own" in found.attrs["history"]


def test_values_beyond_the_fit_are_counted(tmp_path: Path, known: ForcingMap) -> None:
    hot = told_otherwise(OWN)
    hot["tas"] = hot["tas"].copy()
    # Two of twelve months of 2007 far too hot everywhere.
    hot["tas"].loc["2007-01":"2007-02"] += 30.0
    path = write_store(hot, tmp_path / "hot.zarr")
    product = open_product(path)
    mapped = map_store(product, known, tmp_path / "mapped.zarr")
    shares = json.loads(open_store(mapped, FORCING_SCHEMA)["tas"].attrs["beyond_map"])
    assert list(shares) == ["2006", "2007", "2008", "2009"]
    usual = np.mean([shares[year] for year in ("2006", "2008", "2009")])
    # Of 16 years 2 / 17 are beyond without any change.
    assert usual == pytest.approx(2 / 17, abs=0.06)
    assert shares["2007"] == pytest.approx(2 / 12 + 10 / 12 * usual, abs=0.06)


def test_equal_products_stay_as_they_are(tmp_path: Path) -> None:
    paths = write_pair(tmp_path, product=OWN.assign_attrs(title="same"))
    same = learned(paths)
    for name in ("tas", "pr"):
        values, months = open_product(paths[0]).of_years(name, np.arange(1990, 2010))
        np.testing.assert_array_equal(same.apply(name, values, months), values)


def test_no_map_makes_negative_rain(paths: tuple[Path, Path]) -> None:
    found = learned(paths, methods={"tas": "delta", "pr": "delta"})
    months = np.array(["2007-01"], "M8[M]")
    none = np.zeros((1, 4, 8), "f4")
    fit = found.fits["pr"]
    wetter = fit.change[0] > 0
    mapped = found.apply("pr", none, months)[0]
    assert (mapped[wetter] > 0).all()
    # The other way round rain would become less than none.
    back = ForcingMap("x", "x", found.grid, {"pr": _turned(found)}, {})
    there = np.isfinite(fit.change[0])
    assert (back.apply("pr", none, months)[0][there] == 0).all()


def _turned(found: ForcingMap) -> Fit:
    fit = found.fits["pr"]
    return replace(fit, change=-fit.change)


# --- what is refused ----------------------------------------------------------------


def holed(forcing: xr.Dataset, *, months: slice) -> xr.Dataset:
    """Return it without the rain of one cell of land."""
    rain = forcing["pr"].copy()
    rain.loc[{"time": months, "lat": rain.lat[2], "lon": rain.lon[1]}] = np.nan
    return forcing.assign(pr=rain)


def test_a_product_that_lacks_cells_is_refused(tmp_path: Path) -> None:
    less = holed(told_otherwise(OWN), months=slice(None))
    with pytest.raises(GridMismatchError, match="no value in 1 of 16 cells"):
        learned(write_pair(tmp_path, product=less))


def test_a_product_that_reaches_further_is_cut(tmp_path: Path) -> None:
    less = holed(OWN, months=slice(None)).sel(time=slice("2005"))
    found = learned(write_pair(tmp_path, onto=less))
    assert np.isnan(found.fits["pr"].change[:, 2, 1]).all()
    assert np.isfinite(found.fits["pr"].change).all(axis=0).sum() == 15


def test_holes_in_time_are_refused(tmp_path: Path) -> None:
    less = holed(told_otherwise(OWN), months=slice("1999-03", "1999-05"))
    with pytest.raises(GridMismatchError, match="in 1 cells in some months"):
        learned(write_pair(tmp_path, product=less))


def test_holes_after_the_fit_are_refused(tmp_path: Path, known: ForcingMap) -> None:
    less = holed(told_otherwise(OWN), months=slice("2008-03", "2008-05"))
    path = write_store(less, tmp_path / "less.zarr")
    with pytest.raises(GridMismatchError, match=r"in 1 of 16 .* first in 2008-03"):
        map_store(open_product(path), known, tmp_path / "mapped.zarr")
    assert [one.name for one in tmp_path.iterdir()] == ["less.zarr"]


def test_only_forcing_stores_are_mapped(tmp_path: Path, known: ForcingMap) -> None:
    with pytest.raises(StoreError, match="is a training store, which is not mapped"):
        map_store(open_product(tiny_store(tmp_path)), known, tmp_path / "mapped.zarr")


def test_a_store_is_mapped_once(
    paths: tuple[Path, Path], known: ForcingMap, tmp_path: Path
) -> None:
    once = map_store(open_product(paths[0]), known, tmp_path / "once.zarr")
    with pytest.raises(StoreError, match="was mapped already"):
        map_store(open_product(once), known, tmp_path / "twice.zarr")


def test_a_store_without_a_variable_of_the_map_is_refused(
    tmp_path: Path, known: ForcingMap
) -> None:
    dry = write_store(OWN.drop_vars("pr"), tmp_path / "dry.zarr")
    with pytest.raises(StoreError, match="lacks pr, which 'other_onto_own' maps"):
        map_store(open_product(dry), known, tmp_path / "mapped.zarr")


def test_a_store_on_another_grid_is_refused(tmp_path: Path, known: ForcingMap) -> None:
    moved = OWN.assign_coords(lon=OWN["lon"] + 1.0)
    path = write_store(moved, tmp_path / "moved.zarr")
    with pytest.raises(GridMismatchError, match="Prepare the store on the grid of"):
        map_store(open_product(path), known, tmp_path / "mapped.zarr")


def test_quantiles_without_their_library_say_what_to_install(
    paths: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xsdba", None)
    methods = {"tas": "quantiles", "pr": "ratio"}
    with pytest.raises(SettingsError, match=r"pip install 'sink-emulator\[mapping\]'"):
        learned(paths, methods=methods, quantiles=5)
