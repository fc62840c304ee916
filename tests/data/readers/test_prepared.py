"""ERA5 and OISST for ``prepare``: the final months, as nights would read them."""

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
from emulator.data import catalog, readers
from emulator.data.entry import Entry, parse_entry
from emulator.data.readers import prepared
from emulator.data.readers.products import Offering, Piece
from tests.data.centre_files import LAT, LON, months, new_layout, oisst, uniform

SHIPPED = (
    "era5",
    "oisst",
    "crujra",
    "ersstv5",
    "glorys",
    "multiobs_salinity",
    "chlorophyll",
    "chlorophyll_copernicus",
)
"""Entries of products that a folder holds."""


def entry(reader: str, variable: str, **more: Any) -> Entry:
    said = {
        "name": "mine",
        "kind": "forcing",
        "domain": "both",
        "reader": reader,
        "evidence": "observed",
        "root": "era5",
        "files": "**/*",
        "variables": {variable: {}},
        "years": [1940, None],
    }
    return parse_entry("mine", said | more, "mine.yaml")


def read(root: Path, one: Entry, years: tuple[int, int] | None = None) -> xr.DataArray:
    (variable,) = one.variables
    return readers.read(one, variable, None, root, years=years)


def rain(root: Path, first: str, count: int, late: int = 0, name: str = "a") -> None:
    """Write months of 1, 2, ... mm a day, the last of them preliminary."""
    new_layout(
        root / "era5" / "monthly" / f"{name}.nc",
        months(first, count),
        {"tp": uniform(1e-3 * np.arange(1, count + 1))},
        preliminary=np.arange(count) >= count - late,
    )


def test_final_months_are_read(tmp_path: Path) -> None:
    rain(tmp_path, "2024-01", 14, late=1)
    found = read(tmp_path, entry("era5", "pr"))
    assert found.dims == ("time", "lat", "lon")
    assert found.dtype == np.float32
    stamps = found["time"].to_numpy().astype("M8[M]")
    assert [str(stamps[0]), str(stamps[-1]), stamps.size] == ["2024-01", "2025-01", 13]
    np.testing.assert_allclose(found[2], 3 / 86400, rtol=1e-6)
    assert found["lat"].to_numpy().tolist() == LAT[::-1].tolist()
    assert float(found["lon"][0]) == LON.min() - 180
    assert found.attrs["units"] == "kg m-2 s-1"
    assert found.attrs["source_units"] == "m"
    assert found.attrs["frequency"] == "month"
    assert found.attrs["source_file"] == "a.nc"
    assert len(found.attrs["sha256"]) == 64


def test_years_are_read_whole(tmp_path: Path) -> None:
    rain(tmp_path, "2023-06", 24)
    found = read(tmp_path, entry("era5", "pr"), (2024, 2024))
    assert found.sizes["time"] == 12
    np.testing.assert_allclose(found[0], 8 / 86400, rtol=1e-6)
    message = r"has the final months 2023-06 to 2023-12 of 'pr', but those of 2023"
    with pytest.raises(TimeAxisError, match=message):
        read(tmp_path, entry("era5", "pr"), (2023, 2023))
    assert read(tmp_path, entry("era5", "pr", years=[2024, None])).sizes["time"] == 17


def test_months_end_before_a_gap(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rain(tmp_path, "2024-01", 2)
    assert read(tmp_path, entry("era5", "pr")).sizes["time"] == 2
    assert not caplog.messages
    rain(tmp_path, "2024-04", 2, name="b")
    assert read(tmp_path, entry("era5", "pr")).sizes["time"] == 2
    assert "has no 'pr' of 2024-03, so that months after it are left" in caplog.text


def test_the_day_that_lacks_is_told(tmp_path: Path) -> None:
    whole = Offering("days")
    for day in np.arange("2020-01", "2020-04", dtype="M8[D]"):
        whole.days[day] = Piece((), lambda _: pytest.fail("not to be read"))
    series = prepared.ProductSeries(
        entry("oisst", "tos"), "tos", str(tmp_path), (1981, None), whole
    )
    assert series.gap() == ""
    del whole.days[np.datetime64("2020-03-31")]  # the last month is not over
    assert series.gap() == ""
    for day in ("2020-01-07", "2020-01-09"):
        del whole.days[np.datetime64(day)]
    said = (
        f"{tmp_path} has no 'tos' of 2020-01 (2 of 31 days lack, the first "
        f"2020-01-07), so that months after it are left out"
    )
    assert series.gap() == said
    # In the first month it leaves nothing at all.
    with pytest.raises(TimeAxisError, match=r"months none .* a gap\. .*-01-07\), s"):
        series.months()


def test_months_that_are_there_but_preliminary_are_told(tmp_path: Path) -> None:
    rain(tmp_path, "2024-01", 3, late=3)
    message = r"final months none of 'pr', .* a gap\. 3 more are preliminary \(docs"
    with pytest.raises(TimeAxisError, match=message):
        read(tmp_path, entry("era5", "pr"))


def test_a_preliminary_month_before_final_ones_is_refused(tmp_path: Path) -> None:
    rain(tmp_path, "2024-01", 14, late=1)
    rain(tmp_path, "2025-03", 1, name="b")
    message = r"a\.nc: 'pr' of 2025-02 is preliminary, but of later months final"
    with pytest.raises(TimeAxisError, match=message):
        read(tmp_path, entry("era5", "pr"))


def test_months_are_read_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rain(tmp_path, "2024-01", 5)
    whole = read(tmp_path, entry("era5", "pr"))
    # A month of 5 x 8 cells takes 160 bytes; two fit.
    monkeypatch.setattr(prepared, "STRETCH_BYTES", 2 * whole[0].nbytes)
    with prepared.open_product(entry("era5", "pr"), "pr", tmp_path, None) as product:
        parts = list(product.stretches(product.months()))
    assert [len(part.field) for part in parts] == [2, 2, 1]
    xr.testing.assert_identical(read(tmp_path, entry("era5", "pr")), whole)


def test_what_vanishes_meanwhile_is_noticed(tmp_path: Path) -> None:
    rain(tmp_path, "2024-01", 2)
    with prepared.open_product(entry("era5", "pr"), "pr", tmp_path, None) as product:
        months = product.months()
        before = product.behind(months)
        (tmp_path / "era5" / "monthly" / "a.nc").unlink()
        assert product.behind(months) == ["a.nc gone"] != before
        product.offering.months.clear()
        with pytest.raises(UserError, match="'pr' of 2024-01 gone, changed while"):
            next(product.stretches(months))


def test_nothing_is_told(tmp_path: Path) -> None:
    message = r"final months none of 'pr', but those of 1940 to any year.*no whole"
    with pytest.raises(TimeAxisError, match=message):
        read(tmp_path, entry("era5", "pr"))


def test_months_share_a_grid(tmp_path: Path) -> None:
    rain(tmp_path, "2024-01", 1)
    path = tmp_path / "era5" / "monthly" / "b.nc"
    other = uniform([1e-3])[:, 1:]
    new_layout(path, months("2024-02", 1), {"tp": other}, lat=LAT[1:])
    with pytest.raises(GridMismatchError, match=r"b\.nc is on a grid of 4x8"):
        read(tmp_path, entry("era5", "pr"))


def test_days_at_sea_make_months(tmp_path: Path) -> None:
    days = [(month, day) for month in (1, 2) for day in range(1, 29 + 2 * (month < 2))]
    for month, day in [*days, (1, 31)]:
        oisst(tmp_path / "era5", f"2025-{month:02d}-{day:02d}", np.full((4, 8), 10.0))
    found = read(tmp_path, entry("oisst", "tos"))
    assert found.sizes["time"] == 2
    assert found.attrs["source_units"] == "Celsius"
    assert found.attrs["source_file"] == (
        "oisst-avhrr-v02r01.20250101.nc to oisst-avhrr-v02r01.20250228.nc"
    )
    np.testing.assert_allclose(found, 10, rtol=1e-6)


def test_variables_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="offers 'tos', but the reader era5_land"):
        read(tmp_path, entry("era5_land", "tos"))


def test_shipped_entries_name_what_readers_know(tmp_path: Path) -> None:
    for name in SHIPPED:
        shipped = catalog.load(name)
        for variable in shipped.variables:
            with pytest.raises(TimeAxisError, match="final months none"):
                readers.read(shipped, variable, None, tmp_path)
