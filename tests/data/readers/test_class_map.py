"""Maps of classes become shares of cells, band by band."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import (
    CatalogError,
    GridMismatchError,
    TimeAxisError,
    UserError,
)
from emulator.carbon.grid import Grid, overlap
from emulator.data import catalog, readers
from emulator.data.entry import Entry, parse_entry
from emulator.data.readers import bands
from tests.data import cover_files as cover

FINE = Grid.regular(5.0)
TARGETS = [Grid.regular(30.0), Grid.regular(22.5)]
DAY_2000 = 10957  # days from 1970-01-01 to 2000-01-01: 30 years with 7 leap days


def codes(seed: int = 0, years: int = 1, legend: dict[int, str] | None = None) -> Any:
    known = list(cover.LCCS if legend is None else legend)
    rng = np.random.default_rng(seed)
    return rng.choice(known, size=(years, *FINE.shape))


def entry(name: str = "esa_landcover", **changes: Any) -> Entry:
    said = {**catalog.load(name).to_dict(), "name": name, **changes}
    return parse_entry(name, said, f"{name}.yaml")


def esa(root: Path, values: Any = None, **how: Any) -> Path:
    name = "ESACCI-LC-L4-LCCS-Map-300m-P1Y-2000-v2.0.7cds.nc"
    values = codes() if values is None else values
    how = {"time": np.array([DAY_2000])} | how
    return cover.write_classes(root / "esa_landcover" / name, values, FINE, **how)


def hilda(
    root: Path, values: Any, name: str = "hildaplus_vGLOB-1.0-f_states.nc", **how: Any
) -> Path:
    return cover.write_classes(
        root / "hildaplus" / name,
        values,
        FINE,
        name="LULC_states",
        dims=("time", "latitude", "longitude"),
        time=np.arange(2019 - len(values) + 1, 2020),
        time_units=None,
        dtype="i1",
        **how,
    )


def expected(values: np.ndarray, classes: list[int], target: Grid) -> np.ndarray:
    rows, columns = overlap(FINE, target)
    return rows @ np.isin(values, classes) @ columns.T


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("height", [1, 7, 36])
def test_classes_become_shares_of_any_grid_in_bands_of_any_height(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Grid, height: int
) -> None:
    monkeypatch.setattr(bands, "_BAND_BYTES", height * FINE.lon.size)
    values = codes()
    esa(tmp_path, values)
    shares = {
        name: readers.read(entry(), name, None, tmp_path, grid=target)
        for name in entry().variables
    }
    forest = shares["forestFrac"]
    np.testing.assert_allclose(forest, expected(values[0], [50], target), atol=1e-6)
    assert forest.attrs["source_years"] == "2000"
    assert forest.attrs["source_classes"].startswith("50, 60")
    # With the remainder, here no data, they share out the cell.
    total = sum(share.to_numpy() for share in shares.values())
    rest = expected(values[0], [0], target)
    np.testing.assert_allclose(total + rest, 1, atol=1e-6)
    for name, share in shares.items():
        assert 0 <= share.min() <= share.max() <= 1
        found = (share.to_numpy() * target.cell_area()).sum()
        inside = np.isin(values[0], entry().variables[name].classes)
        assert found == pytest.approx((inside * FINE.cell_area()).sum(), rel=1e-6)


@pytest.mark.parametrize(
    "how",
    [
        {"dtype": "i1"},
        {"dtype": "i2"},
        {"is_eastern": True},
        {"chunks": (1, 5, 9)},
        {"chunks": (1, 36, 72)},
        {"time": None},
        {"flags": cover.LCCS},
        {"flags": cover.LCCS, "dtype": "i1"},
        {"fill": 0},
    ],
    ids=str,
)
def test_layouts_of_files_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    monkeypatch.setattr(bands, "_BAND_BYTES", 12 * FINE.lon.size)
    values = codes()
    esa(tmp_path, values, **how)
    said = entry(legend=known_legend(), variables=known_variables())
    found = readers.read(said, "iceWaterFrac", None, tmp_path, grid=TARGETS[0])
    wanted = expected(values[0], [210], TARGETS[0])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(("dtype", "fill"), [("u1", 255), ("i2", -32768), ("i4", -1)])
def test_no_value_is_no_class(tmp_path: Path, dtype: str, fill: int) -> None:
    values = codes()
    values[0, :18] = fill
    esa(tmp_path, values, dtype=dtype, fill=fill)
    found = readers.read(entry(), "forestFrac", None, tmp_path, grid=TARGETS[0])
    wanted = expected(values[0], [50], TARGETS[0])
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert found[:3].max() == 0


def test_a_fill_that_the_legend_names_is_a_class(tmp_path: Path) -> None:
    values = codes(years=2, legend=entry("hildaplus_v1").legend)
    hilda(tmp_path, values, fill=0)
    said = entry("hildaplus_v1", years=[2019, 2019])
    found = readers.read(said, "iceWaterFrac", None, tmp_path, grid=TARGETS[0])
    wanted = expected(values[1], [0, 77], TARGETS[0])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def known_legend() -> dict[int, str]:
    """The legend of the entry for the classes that the small files have."""
    return {code: entry().legend[code] for code in cover.LCCS}


def known_variables() -> dict[str, Any]:
    return {
        "forestFrac": {"name": "lccs_class", "classes": [50]},
        "iceWaterFrac": {"name": "lccs_class", "classes": [210]},
    }


def test_without_a_grid_shares_are_of_one_degree(tmp_path: Path) -> None:
    esa(tmp_path)
    assert readers.read(entry(), "cropFrac", None, tmp_path).shape == (180, 360)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    ones = np.full((1, *FINE.shape), 50)
    esa(tmp_path, ones)
    assert readers.read(entry(), "forestFrac", None, tmp_path).min() == 1
    esa(tmp_path, ones * 0 + 190)
    assert readers.read(entry(), "forestFrac", None, tmp_path).max() == 0


def test_a_year_of_hilda_is_found_among_many(tmp_path: Path) -> None:
    legend = entry("hildaplus_v1").legend
    values = codes(years=121, legend=legend)
    hilda(tmp_path, values)
    # The index of a year is year - 1899.
    for year in (1899, 2000, 2019):
        found = readers.read(
            entry("hildaplus_v1", years=[year, year]),
            "forestFrac",
            None,
            tmp_path,
            grid=TARGETS[0],
        )
        wanted = expected(values[year - 1899], [40, 41, 42, 43, 44, 45], TARGETS[0])
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_crops_of_hilda_two_have_three_classes(tmp_path: Path) -> None:
    values = codes(years=20, legend=entry("hildaplus_v2").legend)
    hilda(tmp_path, values, "hildaplus_GLOB-2-1-crop_states.nc")
    said = entry("hildaplus_v2", years=[2000, 2000])
    found = readers.read(said, "cropFrac", None, tmp_path, grid=TARGETS[0])
    wanted = expected(values[0], [22, 23, 24], TARGETS[0])
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    hilda(tmp_path, values)
    with pytest.raises(CatalogError, match=r"holds the classes \[23, 24\], which 'leg"):
        readers.read(entry("hildaplus_v1"), "cropFrac", None, tmp_path)


def test_a_year_that_is_not_there_is_refused(tmp_path: Path) -> None:
    hilda(tmp_path, codes(years=20, legend=entry("hildaplus_v1").legend))
    message = "steps of 'time' are of 2000 to 2019, 0 of them of 1999"
    with pytest.raises(TimeAxisError, match=message):
        readers.read(
            entry("hildaplus_v1", years=[1999, 1999]), "forestFrac", None, tmp_path
        )


def test_a_file_of_another_year_is_refused(tmp_path: Path) -> None:
    esa(tmp_path, time=np.array([DAY_2000 + 366]))
    message = "steps of 'time' are of 2001 to 2001, 0 of them of 2000"
    with pytest.raises(TimeAxisError, match=message):
        readers.read(entry(), "forestFrac", None, tmp_path)


def refused(root: Path, error: type[UserError], message: str, **how: Any) -> None:
    esa(root, **how)
    with pytest.raises(error, match=message):
        readers.read(entry(), "forestFrac", None, root, grid=TARGETS[0])


def test_a_class_that_the_legend_lacks_is_refused(tmp_path: Path) -> None:
    values = codes()
    values[0, 3, 4] = 55
    message = r"'lccs_class' holds the classes \[55\], which 'legend' of the cat"
    refused(tmp_path, CatalogError, message, values=values)


def test_another_meaning_in_the_file_is_refused(tmp_path: Path) -> None:
    flags = entry().legend | {190: "shrubland"}
    message = "class 190 is 'urban' in the catalog entry, but 'shrubland' in the file"
    refused(tmp_path, CatalogError, message, flags=flags)


def test_a_class_that_the_file_does_not_know_is_refused(tmp_path: Path) -> None:
    message = "class 11 is 'cropland' in the catalog entry, but None in the file's"
    refused(tmp_path, CatalogError, message, flags=cover.LCCS)


def test_a_legend_of_unequal_length_is_refused(tmp_path: Path) -> None:
    flags = {0: "no data", 10: "crop"}
    refused(tmp_path, CatalogError, "has 2 flag_values and 3 flag_mean", flags=flags)


@pytest.mark.parametrize(
    ("dtype", "code", "fill"),
    [("i2", 300, None), ("i2", -1, 99), ("f4", 50, None), ("f4", 50, np.nan)],
)
def test_numbers_that_are_no_classes_are_refused(
    tmp_path: Path, dtype: str, code: int, fill: float | None
) -> None:
    values = np.full((1, *FINE.shape), code)
    message = rf"holds .* from {code}.* to {code}.*, but a map of classes holds whole"
    refused(tmp_path, CatalogError, message, values=values, dtype=dtype, fill=fill)


def test_a_map_with_heights_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "esa_landcover"
    root.mkdir()
    dims = ("time", "height", "lat", "lon")
    field = xr.DataArray(
        np.zeros((2, 2, *FINE.shape), np.uint8),
        {"lat": FINE.lat, "lon": FINE.lon},
        dims,
        name="lccs_class",
    )
    field.to_netcdf(root / "C3S-LC-L4-LCCS-Map-300m-P1Y-2000-v2.1.1.nc")
    message = r"\['time', 'height', 'lat', 'lon'\], but a map of .*, or one a year"
    with pytest.raises(GridMismatchError, match=message):
        readers.read(entry(), "forestFrac", None, tmp_path)
