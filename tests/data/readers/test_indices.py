import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import TimeAxisError, UserError
from emulator.data.readers.indices import SEASONS, Index, read_growth, read_nino

DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)

ONI = """ SEAS   YR   TOTAL   ANOM
  NDJ  1949  24.60  -1.40
  DJF  1950  24.72  -1.53
  JFM  1950  25.17  -1.34
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "oni.ascii.txt"
    path.write_text(text)
    return path


def test_seasons_stand_under_their_middle_month(tmp_path: Path) -> None:
    found = read_nino(write(tmp_path, ONI))
    assert found.name == "oni"
    assert found.months.astype(str).tolist() == ["1949-12", "1950-01", "1950-02"]
    np.testing.assert_allclose(found.values, [-1.40, -1.53, -1.34])
    assert SEASONS[6] == "JJA"


def test_the_relative_index_has_no_total(tmp_path: Path) -> None:
    text = " SEAS  YR  ANOM\n DJF 1950 -1.41\n JFM 1950 -99.90\n"
    found = read_nino(write(tmp_path, text))
    assert found.name == "roni"
    np.testing.assert_allclose(found.values, [-1.41, np.nan])


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", UserError, "holds no data"),
        ("year,month,value\n1950,1,2\n", UserError, "begins with 'year month value'"),
        (ONI.replace("DJF", "XYZ"), UserError, "the row 'XYZ 1950 24.72 -1.53' cannot"),
        (ONI.replace("-1.34", "cold"), UserError, "cannot be read"),
        (ONI + "  AMJ 1950 1 1\n", TimeAxisError, "4 seasons that do not follow one"),
        (ONI.splitlines()[0] + "\n", TimeAxisError, "has 0 seasons"),
    ],
)
def test_other_tables_are_refused(
    tmp_path: Path, text: str, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        read_nino(write(tmp_path, text))


@pytest.mark.parametrize("lines", [0, 40])
def test_growth_stands_below_comments_of_any_length(tmp_path: Path, lines: int) -> None:
    text = "# a comment, with numbers 1 2 3\n" * lines
    text += "  1959     0.96     0.31\n  1960     0.71     0.27\n"
    found = read_growth(write(tmp_path, text))
    assert found.months.astype(str).tolist() == ["1959-01", "1960-01"]
    np.testing.assert_allclose(found.values, [0.96, 0.71])
    np.testing.assert_allclose(found.sigma, [0.31, 0.27])


def test_growth_may_have_a_header_and_commas(tmp_path: Path) -> None:
    text = "# comment\nyear,ann inc,unc\n2023,2.74,0.08\n2024,3.73,0.08\n"
    np.testing.assert_allclose(read_growth(write(tmp_path, text)).values, [2.74, 3.73])


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("1959 0.96\n", UserError, "year, annual increase and its uncertainty are"),
        ("1959 fast 0.3\n", UserError, "cannot be read"),
        ("1959 1 1\n1961 1 1\n", TimeAxisError, "2 years that do not follow"),
    ],
)
def test_another_table_of_growth_is_refused(
    tmp_path: Path, text: str, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        read_growth(write(tmp_path, text))


def test_a_missing_file_says_which_one_to_get(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Get oni\.ascii\.txt"):
        read_nino(tmp_path / "oni.ascii.txt")


@needs_shared
def test_the_real_index_knows_its_strongest_events() -> None:
    found = read_nino(SHARED / "tables" / "oni.csv")
    assert str(found.months[0]) == "1950-01"
    # NOAA CPC: 2.6 K in NDJ 2015/16, 2.4 K in NDJ 1997/98, to the rounding of editions.
    for month, anomaly in (("2015-12", 2.6), ("1997-12", 2.4)):
        value = found.values[found.months == np.datetime64(month, "M")]
        assert value == pytest.approx(anomaly, abs=0.15)


@needs_shared
def test_the_real_growth_is_that_of_the_budget() -> None:
    found = read_growth(SHARED / "tables" / "co2-gr-gl.csv")
    assert str(found.months[0]) == "1959-01"
    year = found.months == np.datetime64("2015-01", "M")
    # Global Carbon Budget: 6.27 PgC in 2015, 2.124 PgC a ppm.
    assert found.values[year] * 2.124 == pytest.approx(6.27, abs=0.15)


def test_a_year_that_is_no_number_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "co2_gr_gl.txt"
    path.write_text("2020 2.3 0.1\nnan 2.4 0.1\n")
    with pytest.raises(UserError, match=r"the row 'nan 2\.4 0\.1' cannot be read"):
        read_growth(path)


@pytest.mark.parametrize("read", [read_nino, read_growth])
def test_what_is_no_text_is_refused(
    tmp_path: Path, read: Callable[[Path], Index]
) -> None:
    path = tmp_path / "table.txt"
    path.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(
        UserError, match=r"table\.txt is no text .* but a table is need"
    ):
        read(path)
