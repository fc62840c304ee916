import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import TimeAxisError, UserError
from emulator.carbon.growth import twelve_month_growth
from emulator.data.readers.co2_record import Co2Record, read, read_daily

DEFAULT = Path(__file__).resolve().parents[4] / "shared/data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)

GLOBAL = """# a header that grows
# with every year
year,month,decimal,average,average_unc,trend,trend_unc
2023,12,2023.958,421.50,0.16,420.78,0.12
2024,1,2024.042,422.20,0.17,421.05,0.12
"""
PACKAGED = """Date,Decimal Date,Average,Trend
2023-12,2023.958,421.50,0.16,420.78,0.12
2024-01,2024.042,422.20,0.17,421.05,0.12
"""
STATION = """year,month,decimal date,average,deseasonalized,ndays,sdev,unc
1958,3,1958.2027,315.71,314.44,-1,-9.99,-0.99
2026,4,2026.2917,431.12,428.61,23,1.15,0.46
"""
PACKAGED_STATION = """Date,Decimal Date,Average,Interpolated,Trend,Number of Days
1958-03,1958.2027,315.71,314.44,-01,-9.99,-0.99
2026-04,2026.2917,431.12,428.61,23,1.15,0.46
"""


@pytest.mark.parametrize("text", [GLOBAL, PACKAGED])
def test_global_trend_is_told_from_its_uncertainty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "co2.csv"
    path.write_text(text)
    record = read(path)
    assert (record.place, record.source) == ("global", "co2.csv")
    assert record.months.astype(str).tolist() == ["2023-12", "2024-01"]
    np.testing.assert_array_equal(record.trend, [420.78, 421.05])
    np.testing.assert_array_equal(record.sigma, [0.12, 0.12])


@pytest.mark.parametrize("text", [STATION, PACKAGED_STATION])
def test_station_has_no_error_where_none_is_stated(tmp_path: Path, text: str) -> None:
    path = tmp_path / "co2.csv"
    path.write_text(text)
    record = read(path)
    assert record.place == "mauna_loa"
    np.testing.assert_array_equal(record.trend, [314.44, 428.61])
    np.testing.assert_array_equal(record.sigma, [np.nan, 0.46])


def twin(text: str) -> str:
    """Return NOAA's own rendition as its twin: comments, and no header."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    comments = ["# some lines", f"# {lines[0].replace(',', ' ')}"]
    return "\n".join([*comments, *(x.replace(",", "  ") for x in lines[1:]), ""])


@pytest.mark.parametrize(
    ("name", "text", "place", "trend"),
    [
        ("co2_mm_gl", GLOBAL, "global", [420.78, 421.05]),
        ("co2_mm_mlo", STATION, "mauna_loa", [314.44, 428.61]),
    ],
)
def test_twins_have_no_header(
    tmp_path: Path, name: str, text: str, place: str, trend: list[float]
) -> None:
    one, other = tmp_path / f"{name}.csv", tmp_path / f"{name}.txt"
    one.write_text(text)
    other.write_text(twin(text))
    record, same = read(other), read(one)
    assert record.place == place
    np.testing.assert_array_equal(record.trend, trend)
    np.testing.assert_array_equal(record.sigma, same.sigma)
    np.testing.assert_array_equal(record.months, same.months)


def test_rows_of_another_length_are_no_twin(tmp_path: Path) -> None:
    # The station's file of before 2021: the last of seven values counts days.
    path = tmp_path / "co2_mm_mlo.txt"
    path.write_text("1958 3 1958.208 315.71 315.71 314.62 -1\n")
    with pytest.raises(UserError, match=r"begins with 1958 3 .* and no row of theirs"):
        read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begins with nothing, which is no header"),
        ("<html>", "is a web page, but a table is needed"),
        (GLOBAL.replace("trend_unc", "trend_uncertainty"), "is no header of NOAA"),
        (PACKAGED + "2024-02,2024.1\n", "line 4 below the comments"),
        (GLOBAL.replace("421.05", "a lot"), "line 3 below"),
        (GLOBAL.replace("2024,1,", "2024,13,"), "line 3 below"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "co2.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read(path)


@pytest.mark.parametrize(
    "text", [GLOBAL.replace("2024,1,", "2023,12,"), PACKAGED.splitlines()[0]]
)
def test_months_must_increase(tmp_path: Path, text: str) -> None:
    path = tmp_path / "co2.csv"
    path.write_text(text)
    with pytest.raises(TimeAxisError, match="do not increase throughout"):
        read(path)


def test_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No file .*Get co2_mm_gl.csv from"):
        read(tmp_path / "co2.csv")


@needs_shared
def test_growth_of_every_year_is_that_which_noaa_publishes() -> None:
    tables = SHARED / "tables"
    record = read(tables / "co2-mm-gl.csv")
    with (tables / "co2-gr-gl.csv").open() as file:
        published = {
            int(r["Year"]): float(r["Annual Increase"]) for r in csv.DictReader(file)
        }
    years = np.arange(1980, max(published) + 1)
    ends = ((years - 1970) * 12 + 11).astype("datetime64[M]")
    growth, error = twelve_month_growth(record.trend, record.sigma, record.months, ends)
    expected = np.array([published[year] for year in years.tolist()])
    # Both are rounded to 0.01 ppm.
    np.testing.assert_allclose(growth, expected, atol=0.0101)
    assert (error < 0.35).all()


@needs_shared
def test_a_station_is_not_the_globe() -> None:
    tables = SHARED / "tables"
    station, globe = (read(tables / f"co2-mm-{name}.csv") for name in ("mlo", "gl"))
    assert station.place == "mauna_loa"
    ends = np.array(["2023-12", "2024-12"], "datetime64[M]")
    local, _ = twelve_month_growth(
        station.trend, station.sigma, station.months, ends, around=2
    )
    whole, _ = twelve_month_growth(globe.trend, globe.sigma, globe.months, ends)
    # 2023: 3.3 against 2.7 ppm, the whole anomaly of that year.
    assert 0.5 < local[0] - whole[0] < 0.7
    assert -0.5 < local[1] - whole[1] < -0.3


def test_daily_trends_must_be_that(tmp_path: Path) -> None:
    path = tmp_path / "co2_trend_gl.csv"
    with pytest.raises(UserError, match=r"No file .*Get co2_trend_gl.csv"):
        read_daily(path)
    path.write_text("2024,1,1,420.1\n")
    with pytest.raises(UserError, match=r"has the line '2024 1 1 420\.1', but year"):
        read_daily(path)
    path.write_text("2024,1,32,420.1,419.0\n")
    with pytest.raises(UserError, match="Get it again"):
        read_daily(path)
    path.write_text("2024,1,2,420.1,419.0\n2024,1,1,420.1,419.0\n")
    with pytest.raises(TimeAxisError, match="has 2 days that do not increase"):
        read_daily(path)


@pytest.mark.parametrize("read_one", [read, read_daily])
def test_what_is_no_table_is_refused(
    tmp_path: Path, read_one: Callable[[Path], Co2Record]
) -> None:
    path = tmp_path / "co2_mm_gl.csv"
    path.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(UserError, match=r"gl\.csv is no text .* but a table is needed"):
        read_one(path)
    path.write_text("\n <HTML>log in</HTML>")
    with pytest.raises(
        UserError, match=r"gl\.csv is a web page, but a table is needed"
    ):
        read_one(path)
