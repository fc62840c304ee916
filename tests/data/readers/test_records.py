"""Records through the catalog: what `catalog check` makes of each."""

import os
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import CatalogError
from emulator.data import catalog, readers
from emulator.data.product_check import check
from tests.data import tiny_files as tiny
from tests.data.readers.test_boundary_layer import write as write_surface
from tests.data.readers.test_carbon_monitor import HEADER, days

DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)


def write(folder: Path, name: str, text: str) -> None:
    (folder / "tables").mkdir(exist_ok=True)
    (folder / "tables" / name).write_text(text)


def test_monthly_and_annual_records(tmp_path: Path) -> None:
    write(
        tmp_path,
        "co2_mm_gl.csv",
        "# a\nyear,month,decimal,average,average_unc,trend,trend_unc\n"
        "1979,1,1979.042,336.56,0.11,335.92,0.09\n",
    )
    write(tmp_path, "co2_annmean_gl.csv", "# a\nyear,mean,unc\n1979,336.85,0.10\n")
    write(tmp_path, "co2_gr_gl.txt", "# a\n 1959 0.96 0.31\n 1960 0.71 0.27\n")
    write(tmp_path, "oni.ascii.txt", "SEAS YR TOTAL ANOM\nDJF 1950 24.72 -1.53\n")
    write(tmp_path, "RONI.ascii.txt", "SEAS YR ANOM\nDJF 1950 -1.41\n")
    expected = {
        "noaa_co2_global": ("co2", [335.92]),
        "noaa_co2_annual": ("co2", [336.85] * 12),
        "noaa_co2_growth": ("co2_growth", [0.96] * 12 + [0.71] * 12),
        "oni": ("oni", [-1.53]),
        "roni": ("roni", [-1.41]),
    }
    for name, (variable, values) in expected.items():
        field = readers.read(catalog.load(name), variable, None, tmp_path)
        np.testing.assert_allclose(field, values)
        assert check(catalog.load(name), tmp_path).is_usable


def test_the_boundary_layer_gives_its_global_mean(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    write_surface(tmp_path / "tables", np.arange(8), np.full((8, 41), 340.0))
    said = catalog.load("noaa_co2_boundary_layer")
    field = readers.read(said, "co2", None, tmp_path)
    np.testing.assert_allclose(field, [340.0, 340.0])


def test_fossil_emissions_are_a_rate(tmp_path: Path) -> None:
    # 100 Mt of CO2 a day are 36.5 Gt in a year of 365.2425 days: 9.968 PgC.
    text = HEADER + days("2019-01", 31, 50.0)
    write(tmp_path, "carbonmonitor-global_datas_2026-01-01.csv", text)
    field = readers.read(catalog.load("carbon_monitor"), "e_fos", None, tmp_path)
    np.testing.assert_allclose(field, 36.52425 / 3.664, rtol=1e-6)


def test_the_daily_trend_is_a_record(tmp_path: Path) -> None:
    lines = [f"2024,1,{day},420.0,421.0" for day in range(1, 32)]
    (tmp_path / "co2_trend_gl.csv").write_text("\n".join(lines))
    said = tiny.forcing_entry(
        kind="table",
        reader="record",
        files="co2_trend_gl.csv",
        variables={"co2": {}},
        years=[2024, None],
    )
    np.testing.assert_allclose(readers.read(said, "co2", None, tmp_path), 421)


def test_a_record_without_a_known_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("year,co2\n2000,370\n")
    said = tiny.forcing_entry(
        kind="table",
        reader="record",
        files="mine.csv",
        variables={"co2": {}},
        years=[2000, 2000],
    )
    with pytest.raises(CatalogError, match="is none of the records of 'co2' that are"):
        readers.read(said, "co2", None, tmp_path)


@needs_shared
@pytest.mark.parametrize(
    "name",
    [
        "noaa_co2_global",
        "noaa_co2_mauna_loa",
        "noaa_co2_annual",
        "noaa_co2_growth",
        "oni",
        "gcb_workbook.2023",
        "gcb_workbook.2024",
    ],
)
def test_real_records_are_usable(name: str) -> None:
    report = check(catalog.load(name), SHARED)
    assert report.is_usable, report.problems


@needs_shared
def test_the_real_years_are_means_of_their_months() -> None:
    # NOAA's file begins: 1979, 336.85. Both are rounded to 0.01 ppm.
    years = readers.read(catalog.load("noaa_co2_annual"), "co2", None, SHARED)
    assert float(years[0]) == pytest.approx(336.85, abs=1e-5)
    months = readers.read(catalog.load("noaa_co2_global"), "co2", None, SHARED)
    whole = months.sizes["time"] // 12 * 12
    means = months.values[:whole].reshape(-1, 12).mean(axis=1)
    np.testing.assert_allclose(years.values[:whole:12], means, atol=0.1)


@needs_shared
def test_a_workbook_gives_fossil_emissions() -> None:
    field = readers.read(catalog.load("gcb_workbook.2024"), "e_fos", None, SHARED)
    assert field.sizes["time"] == 12 * (2023 - 1959 + 1)
    # Friedlingstein et al. (2025), abstract: 10.1 GtC in 2023, of which cement had
    # taken up 0.2 again.
    np.testing.assert_allclose(field[-12:], 10.3, atol=0.05)
