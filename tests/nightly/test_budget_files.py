import csv
import json
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import xarray as xr

from emulator.data.readers import workbook
from emulator.nightly.budget_files import write_tables
from emulator.nightly.budget_settings import AdjustmentSettings, BudgetSettings
from emulator.nightly.closure import Records, closure
from emulator.nightly.publish import for_netcdf, write_netcdf
from emulator.nightly.series import running
from emulator.nightly.tables import tables

from .test_closure import WORLD, book, record
from .totals import sink_map


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def simulated() -> xr.Dataset:
    """Return a map of simulated weather, with all that is added to it."""
    given = sink_map(
        {"A": np.arange(10.0), "B": np.arange(10.0) + 2}, {"C": np.ones(10)}
    )
    settings = BudgetSettings(
        references=[[1991, 1995]],
        adjustment=AdjustmentSettings("ensemble", 4, [4, 10]),
    )
    found = tables(given, settings)
    return given.merge(found).assign_attrs(given.attrs | found.attrs)


@pytest.fixture(scope="module")
def real() -> xr.Dataset:
    """Return a map of the world's weather, with its closure."""
    given = sink_map({"A": np.full(10, 3.0)}, {"C": np.full(10, 2.5)}, evidence=WORLD)
    given = given.merge(running(given))
    found = closure(given, BudgetSettings(), Records(book(), record()))
    return given.merge(found).assign_attrs(given.attrs | found.attrs)


def test_budget_reads_like_the_sheet_of_the_workbook(
    real: xr.Dataset, tmp_path: Path
) -> None:
    write_tables(real, tmp_path)
    edition = openpyxl.Workbook()
    with (tmp_path / "budget.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    for name in ("Global Carbon Budget", "Terrestrial Sink", "Ocean Sink"):
        sheet = edition.create_sheet(name)
        if name != "Global Carbon Budget":  # what the reader wants besides
            sheet.append(["GtC/yr"])
            sheet.append(
                ["Year", "GCB", None, "A", None, "P"][: 6 if "O" in name else 4]
            )
            sheet.append([2000, 1, None, 1, None, 1][: 6 if "O" in name else 4])
            continue
        for line in lines:
            cells = [_number(cell) for cell in line]
            sheet.append(cells)
    path = tmp_path / "Global_Carbon_Budget_2024_v1.0.xlsx"
    edition.save(path)
    found = workbook.read(path).budget
    assert found.years.tolist() == list(range(1991, 2001))
    for term, values in found.columns.items():
        expected = real["closure_year"].sel(term=term)
        np.testing.assert_allclose(values, expected, rtol=1e-6)


def _number(cell: str) -> float | str | None:
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return cell


def test_budget_says_its_errors_and_sources(real: xr.Dataset, tmp_path: Path) -> None:
    write_tables(real, tmp_path)
    lines = (tmp_path / "budget.csv").read_text().splitlines()
    head = next(line for line in lines if line.startswith("Year,")).split(",")
    row = dict(
        zip(
            head,
            next(li for li in lines if li.startswith("1999,")).split(","),
            strict=True,
        )
    )
    assert row["sigma of land sink"] == "1"
    assert row["source of land sink"] == "emulated"
    assert row["source of land-use change emissions"] == "extrapolated"
    assert row["source of atmospheric growth"] == "observed"
    assert float(row["land sink"]) == pytest.approx(3 * 365 / 365.2425, rel=1e-6)


def test_budget_of_simulated_weather_has_sinks_alone(
    simulated: xr.Dataset, tmp_path: Path
) -> None:
    write_tables(simulated, tmp_path)
    text = (tmp_path / "budget.csv").read_text()
    assert "the weather is simulated" in text
    assert "Evidence: testbed" in text
    row = next(line for line in text.splitlines() if line.startswith("1999,")).split(
        ","
    )
    year = simulated["budget_year"].sel(year=1999, region="globe")
    ocean, land = (f"{float(year.sel(flux=flux)):.7g}" for flux in ("fgco2", "nbp"))
    assert row[:8] == ["1999", "", "", "", ocean, land, "", ""]
    assert row[-7:] == ["missing"] * 3 + ["emulated"] * 2 + ["missing"] * 2


def test_net_flux_of_land_use_is_no_land_sink(tmp_path: Path) -> None:
    given = sink_map({"A": np.ones(10)}, {"C": np.ones(10)})
    found = tables(given, BudgetSettings(simulation="S3"))
    # The total of S3 is net_s3; S_LAND is that of S2, which the map does not know.
    write_tables(given.merge(found).assign_attrs(found.attrs), tmp_path)
    text = (tmp_path / "budget.csv").read_text()
    row = next(line for line in text.splitlines() if line.startswith("1999,"))
    cells = row.split(",")
    # Ocean and land sink are the fourth and fifth term.
    assert cells[5] == ""
    assert cells[-7:][3:5] == ["emulated", "missing"]


def test_ocean_sink_is_without_drift_where_it_is_known(
    simulated: xr.Dataset, tmp_path: Path
) -> None:
    known = simulated["ocean_year"].copy(deep=True)
    known.loc[{"ocean_number": "s_ocean", "region": "globe"}] = 0.7
    write_tables(simulated.assign(ocean_year=known), tmp_path)
    text = (tmp_path / "budget.csv").read_text()
    row = next(line for line in text.splitlines() if line.startswith("1999,"))
    assert row.split(",")[4] == "0.7"


def test_totals_stand_with_all_that_is_known_of_them(
    simulated: xr.Dataset, tmp_path: Path
) -> None:
    write_tables(simulated, tmp_path)
    annual = rows(tmp_path / "annual.csv")
    row = next(
        r
        for r in annual
        if (r["flux"], r["region"], r["year"]) == ("nbp", "globe", "1995")
    )
    chosen = {"flux": "nbp", "region": "globe", "year": 1995}
    for column, name, more in (
        ("PgC_per_year", "budget_year", {}),
        ("teacher_std", "budget_year_teacher_std", {}),
        ("anomaly_from_1991-1995", "budget_year_anomaly", {"reference": "1991-1995"}),
        ("rank_in_1991-1995", "budget_year_rank", {"reference": "1991-1995"}),
        ("adjusted_years_4", "budget_year_adjusted", {"adjustment_window": 4}),
    ):
        expected = float(simulated[name].sel(chosen | more))
        assert float(row[column]) == pytest.approx(expected, rel=1e-6)
    assert row["rank_in_1991-1995"] == "1"
    monthly = rows(tmp_path / "monthly.csv")
    assert monthly[0]["month"] == "1991-01"
    assert len(monthly) == 2 * 5 * 120
    # Twelve months are whole from December on.
    running_ = rows(tmp_path / "twelve_months.csv")
    assert running_[0]["month"] == "1991-12"
    assert len(running_) == 2 * 5 * 109


def test_intervals_of_totals_have_columns(
    tmp_path: Path, simulated: xr.Dataset
) -> None:
    total = simulated["budget_year"]
    ends = xr.concat([total - 1, total + 1], dim="bound").assign_coords(
        bound=np.array(["lower", "upper"], dtype=object)
    )
    write_tables(simulated.assign(budget_year_interval_sink=ends), tmp_path)
    row = rows(tmp_path / "annual.csv")[0]
    value = float(row["PgC_per_year"])
    assert row["year"] == "1991"
    assert float(row["sink_lower"]) == pytest.approx(value - 1, abs=1e-6)
    assert float(row["sink_upper"]) == pytest.approx(value + 1, abs=1e-6)


def test_vintages_are_written_where_there_are_any(
    simulated: xr.Dataset, tmp_path: Path
) -> None:
    names = ["budget.csv", "annual.csv", "twelve_months.csv", "monthly.csv"]
    assert [path.name for path in write_tables(simulated, tmp_path / "a")] == names
    history = [("2000-12", simulated)]
    written = write_tables(simulated, tmp_path / "b", history)
    assert [path.name for path in written] == [*names, "vintages.csv", "vintages.zarr"]
    assert all(path.exists() for path in written)
    with xr.open_zarr(written[-1]) as earlier:
        later = write_tables(
            simulated, tmp_path / "c", [("2001-01", simulated)], earlier.load()
        )
    header = later[-2].read_text().splitlines()[0]
    assert header == "number,flux,region,period,2000-12,2001-01"


def test_what_is_added_can_be_written_as_netcdf(
    real: xr.Dataset, simulated: xr.Dataset, tmp_path: Path
) -> None:
    for sink_map_ in (real, simulated):
        small = for_netcdf(sink_map_)
        assert not [
            n for n, c in small.coords.items() if c.dtype == object and n in small.dims
        ]
        write_netcdf(small, tmp_path / "sink.nc")
        with xr.open_dataset(tmp_path / "sink.nc") as written:
            found = written["budget_12month"].transpose(*small["budget_12month"].dims)
            np.testing.assert_allclose(found, small["budget_12month"])


def test_what_is_added_says_what_it_is(simulated: xr.Dataset) -> None:
    added = [
        n
        for n in simulated.data_vars
        if "adjust" in n or "anomaly" in n or "12month" in n
    ]
    assert len(added) > 8
    for name in added:
        attrs = simulated[name].attrs
        assert attrs["long_name"]
        assert attrs["units"] == "Pg year-1"
        assert attrs["coverage_content_type"] in ("modelResult", "qualityInformation")
    kind = {n: simulated[n].attrs["coverage_content_type"] for n in simulated.data_vars}
    assert kind["adjustment_error"] == "qualityInformation"
    assert kind["budget_year_adjusted"] == "modelResult"


def test_tables_are_made_anew_over_those_of_an_earlier_night(
    simulated: xr.Dataset,
) -> None:
    settings = BudgetSettings(
        references=[[1991, 1995]],
        adjustment=AdjustmentSettings("ensemble", 4, [4, 10]),
    )
    again = tables(simulated, settings)
    for name in again.data_vars:
        xr.testing.assert_identical(again[name], simulated[name])


def test_the_named_ocean_sink_stands_beside_the_teachers_as_they_are(
    tmp_path: Path,
) -> None:
    fit = {
        "form": "constant", "first": 1, "last": 40, "control": "B", "year_one": 1970,
        "level": [-0.5, -0.1, -0.3, -0.1, 0.0], "slope": [0.0] * 5,
    }  # fmt: skip
    regions = ["globe", "north", "tropics", "south", "other"]
    drift = json.dumps({"regions": regions, "teachers": {"C": fit}})
    given = sink_map({"A": np.ones(10)}, {"C": np.full(10, 2.0)}, drift=drift)
    found = tables(given, BudgetSettings())
    whole = given.merge(found).assign_attrs(given.attrs | found.attrs)
    write_tables(whole, tmp_path)
    for row in rows(tmp_path / "annual.csv"):
        if row["region"] == "other":
            continue
        if row["flux"] == "nbp":
            assert row["s_ocean"] == ""
        if row["flux"] == "fgco2" and row["region"] == "globe":
            gained = float(row["s_ocean"]) - float(row["PgC_per_year"])
            assert gained == pytest.approx(0.5, rel=3e-3)
    assert "constant fit to simulation B" in (tmp_path / "budget.csv").read_text()
    # netCDF holds the numbers under their names, as all labels.
    assert "ocean_number_name" in for_netcdf(whole)
