"""Tables of CO2 as different providers write them."""

import gzip
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from emulator.carbon.errors import (
    CatalogError,
    GateError,
    TimeAxisError,
    UnitsError,
    UserError,
)
from emulator.data import readers
from emulator.data.entry import Entry
from tests.data import tiny_files as tiny


def table(layout: dict[str, Any] | None, **changes: Any) -> Entry:
    said = {
        "kind": "table",
        "domain": "both",
        "reader": "table",
        "files": "co2*.*",
        "variables": {"co2": {"name": "value", "units": "ppm"}},
        "years": [2000, 2001],
        "table": layout,
    }
    return tiny.forcing_entry(**{**said, **changes})


MONTHLY = {"year": "year", "month": "month"}


def write_monthly(root: Path, years: int = 2) -> None:
    rows = [f"{2000 + i // 12},{i % 12 + 1},{300 + i}" for i in range(12 * years)]
    text = "# a comment\nyear,month,value\n" + "\n".join(rows) + "\n"
    (root / "co2.csv").write_text(text)


def test_months_are_read_in_order(tmp_path: Path) -> None:
    write_monthly(tmp_path)
    series = readers.read(table(MONTHLY), "co2", None, tmp_path)
    assert series.dims == ("time",)
    np.testing.assert_allclose(series, 300 + np.arange(24))
    assert str(series.time.values[12])[:10] == "2001-01-01"


@pytest.mark.parametrize("between", ["   ", "\t", ", "])
def test_columns_without_a_header_are_named(tmp_path: Path, between: str) -> None:
    # The CO2 of TRENDY: a year and a value a line, and nothing else.
    lines = [f" {year}{between}{280 + year - 1999:.2f}" for year in range(1999, 2002)]
    (tmp_path / "co2_ann.txt").write_text("\n".join(lines) + "\n")
    layout = {"year": "year", "columns": ["year", "value"]}
    series = readers.read(table(layout), "co2", None, tmp_path)
    np.testing.assert_allclose(series, np.repeat([281.0, 282.0], 12))


def test_annual_means_have_no_season(tmp_path: Path) -> None:
    write_monthly(tmp_path)
    layout = {**MONTHLY, "annual_mean": True}
    series = readers.read(table(layout), "co2", None, tmp_path)
    # The mean of 300 to 311 is 305.5, of 312 to 323 it is 317.5.
    np.testing.assert_allclose(series, np.repeat([305.5, 317.5], 12))
    assert series.attrs["cell_methods"] == "time: mean (annual)"


def test_an_incomplete_year_has_no_annual_mean(tmp_path: Path) -> None:
    write_monthly(tmp_path)
    text = (tmp_path / "co2.csv").read_text().splitlines()
    (tmp_path / "co2.csv").write_text("\n".join(text[:-1]))
    layout = {**MONTHLY, "annual_mean": True}
    message = "holds 12 months of 2000-01 to 2001-12, but each of 24"
    with pytest.raises(TimeAxisError, match=message):
        readers.read(table(layout), "co2", None, tmp_path)


def test_the_value_of_a_year_stands_for_its_months(tmp_path: Path) -> None:
    (tmp_path / "co2.csv").write_text("Year,value\n2000,369.5\n2001,371.1\n")
    series = readers.read(table({"year": "Year"}), "co2", None, tmp_path)
    np.testing.assert_allclose(series, np.repeat([369.5, 371.1], 12))


def test_dates_and_skipped_lines(tmp_path: Path) -> None:
    rows = [f"2000-{m:02d}-15,{300 + m}" for m in range(1, 13)]
    (tmp_path / "co2.csv").write_text("a title\ndate,value\n" + "\n".join(rows))
    entry = table({"date": "date", "skip": 1}, years=[2000, 2000])
    np.testing.assert_allclose(
        readers.read(entry, "co2", None, tmp_path), 300 + np.arange(1, 13)
    )


def test_years_can_be_selected(tmp_path: Path) -> None:
    write_monthly(tmp_path)
    series = readers.read(table(MONTHLY), "co2", None, tmp_path, years=(2001, 2001))
    np.testing.assert_allclose(series, 312 + np.arange(12))


def write_netcdf(path: Path, values: np.ndarray, units: str | None) -> None:
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", values.size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 2000-01-01", "360_day"
        step = 30 if values.size > 2 else 360
        time[:] = step * np.arange(values.size) + 15
        variable = file.createVariable("value", "f8", ("time",))
        if units:
            variable.units = units
        variable[:] = values


@pytest.mark.parametrize("values", [300 + np.arange(24.0), np.array([300.0, 301])])
def test_a_series_in_netcdf(tmp_path: Path, values: np.ndarray) -> None:
    write_netcdf(tmp_path / "co2.nc", values, "1e-6")
    entry = table(None, variables={"co2": {"name": "value"}})
    series = readers.read(entry, "co2", None, tmp_path)
    expected = values if values.size > 2 else np.repeat(values, 12)
    np.testing.assert_allclose(series, expected)


def test_a_map_is_no_table(tmp_path: Path) -> None:
    tiny.write(tmp_path / "co2.nc", "value", tiny.law(24))
    with pytest.raises(TimeAxisError, match="a table needs time alone"):
        readers.read(table(None), "co2", None, tmp_path)


def test_a_series_without_unit_is_refused(tmp_path: Path) -> None:
    write_netcdf(tmp_path / "co2.nc", np.arange(24.0), None)
    entry = table(None, variables={"co2": {"name": "value"}})
    with pytest.raises(UnitsError, match="column 'value' states no unit"):
        readers.read(entry, "co2", None, tmp_path)


def test_columns_may_be_spelt_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "co2.csv").write_text("Year,VALUE\n2000,369\n2001,371\n")
    series = readers.read(table({"year": "year"}), "co2", None, tmp_path)
    np.testing.assert_array_equal(series[::12], [369, 371])
    (tmp_path / "co2.csv").write_text("year,Value,VALUE\n2000,369,1\n2001,371,1\n")
    with pytest.raises(UserError, match="has no column 'value', it has"):
        readers.read(table({"year": "year"}), "co2", None, tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("year,month,value\n", "holds 1 lines of data"),
        # Some files of NOAA have fewer names than columns.
        ("year,month,value\n2000,1,369.5,0.1\n", "line 2 has 4 values under 3 names"),
        ("year,month,co2\n2000,1,369.5\n", "has no column 'value'"),
        ("year,month,value\n2000,1,n/a\n", "holds something that is no number"),
        ("year,month,value\n2000,1,369.5\n", "holds 1 months of 2000-01 to 2001-12"),
        ("year,month,value\n2000,13,369.5\n", "'month' runs from 13 to 13, but num"),
        ("year,month,value\n2000,0,369.5\n", "'month' runs from 0 to 0, but numbers"),
        ("year,month,value\nnan,1,369.5\n", "'year' runs from nan to nan, but num"),
        ("year,month,value,value\n2000,1,1,2\n", "has columns of one name in"),
        ("<!DOCTYPE html>\n<html>log in</html>\n", "is a web page, but a table is"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "co2.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        readers.read(table(MONTHLY), "co2", None, tmp_path)


def test_a_packed_table_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "co2.csv").write_bytes(gzip.compress(b"year,value\n2000,1\n"))
    with pytest.raises(UserError, match=r"co2\.csv is no text .*Get it again, or unpa"):
        readers.read(table(MONTHLY), "co2", None, tmp_path)


@pytest.mark.parametrize("stamp", ["Jan 2000", "2000", "2000-13", "01/2000"])
def test_dates_must_begin_with_year_and_month(tmp_path: Path, stamp: str) -> None:
    (tmp_path / "co2.csv").write_text(f"date,value\n{stamp},369.5\n")
    with pytest.raises(UserError, match=f"'date' holds '{stamp}', but dates such as"):
        readers.read(table({"date": "date"}), "co2", None, tmp_path)


def test_a_number_for_what_is_missing_is_no_co2(tmp_path: Path) -> None:
    write_monthly(tmp_path)
    text = (tmp_path / "co2.csv").read_text().replace(",305\n", ",-99.99\n")
    (tmp_path / "co2.csv").write_text(text)
    with pytest.raises(GateError, match=r"1 of 24 values of 'co2' .*e\.g\. -99\.99"):
        readers.read(table(MONTHLY), "co2", None, tmp_path)
    with_reason = table(MONTHLY, gates={"range": "an experiment"})
    assert readers.read(with_reason, "co2", None, tmp_path)[5] == -99.99


def test_times_of_a_series_may_be_declared(tmp_path: Path) -> None:
    write_netcdf(tmp_path / "co2.nc", 300 + np.arange(24.0), "1e-6")
    said = {"variables": {"co2": {"name": "value"}}, "years": [2001, 2002]}
    counted = table(None, time_units="none", ends=2002, **said)
    series = readers.read(counted, "co2", None, tmp_path)
    assert str(series.time.values[0])[:7] == "2001-01"
    with pytest.raises(TimeAxisError, match="says that the file ends with 2002"):
        readers.read(table(None, ends=2002, **said), "co2", None, tmp_path)


def test_a_month_without_value_is_refused(tmp_path: Path) -> None:
    write_monthly(tmp_path)
    text = (tmp_path / "co2.csv").read_text().replace(",305\n", ",nan\n")
    (tmp_path / "co2.csv").write_text(text)
    with pytest.raises(UserError, match="has no value for 2000-06"):
        readers.read(table(MONTHLY), "co2", None, tmp_path)


def test_two_tables_are_refused(tmp_path: Path) -> None:
    write_monthly(tmp_path)
    (tmp_path / "co2_old.csv").write_text("year,value\n2000,1\n")
    with pytest.raises(CatalogError, match="2 files match 'co2'"):
        readers.read(table(MONTHLY), "co2", None, tmp_path)
