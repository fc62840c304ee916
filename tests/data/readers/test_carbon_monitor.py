from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import UserError
from emulator.data.readers.carbon_monitor import read

HEADER = "country,date,sector,value,timestamp\n"


def days(month: str, count: int, value: float, country: str = "WORLD") -> str:
    year, number = month.split("-")
    return "".join(
        f"{country},{day:02d}/{number}/{year},{sector},{value},0\n"
        for day in range(1, count + 1)
        for sector in ("Power", "Industry")
    )


def test_world_is_summed_and_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "cm.csv"
    # 2 x 50 Mt of CO2 a day for 31 days: 3.1 Gt, over 3.664 in PgC.
    text = HEADER + days("2023-01", 31, 50.0) + days("2023-01", 31, 9.0, "China")
    text += days("2023-01", 31, 20.0, "EU27 & UK") + days("2023-02", 27, 50.0)
    path.write_text(text)
    found = read(path)
    # February lacks its last day.
    assert found.months.astype(str).tolist() == ["2023-01"]
    np.testing.assert_allclose(found.carbon, [3.1 / 3.664])


def test_day_without_a_sector_leaves_its_month_out(tmp_path: Path) -> None:
    path = tmp_path / "cm.csv"
    march = days("2023-03", 31, 1.0).replace("WORLD,05/03/2023,Power,1.0,0\n", "")
    path.write_text(HEADER + days("2023-01", 31, 1.0) + march)
    assert read(path).months.astype(str).tolist() == ["2023-01"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column country, date, sector, value, it has none"),
        ("country,date\n", "has no column sector, value, it has country, date"),
        (HEADER + days("2023-01", 1, 1.0, "China"), "no row of the country 'WORLD'"),
        (HEADER + "WORLD,2023-01-01,Power,1,0\n", "line 2 cannot be read"),
        (HEADER + "WORLD,01/01/2023,Power,much,0\n", "line 2 cannot be read"),
        (HEADER + "WORLD,01/01/2023,Power\n", "line 2 cannot be read"),
        (HEADER + "WORLD\n", "line 2 cannot be read"),
        ("<html>log in</html>", "is a web page, but a table is needed"),
        (
            HEADER + "WORLD,01/01/2023,Power,1,0\nWORLD,02/01/2023,Industry,1,0\n",
            "no month with all of its days and of the sectors Industry, Power",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cm.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read(path)


def test_table_without_a_whole_month_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cm.csv"
    path.write_text(HEADER + days("2023-01", 30, 1.0))
    with pytest.raises(UserError, match="no month with all of its days"):
        read(path)


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"leave budget\.carbon_monitor empty"):
        read(tmp_path / "cm.csv")
