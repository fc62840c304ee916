"""CO2 of a month: of the record, else from its growth, flagged."""

from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import UserError
from emulator.data.co2_series import of_month, read
from emulator.data.readers.co2_record import Co2Record
from tests.data.centre_files import co2_table

RISE = 0.2
"""ppm a month."""


def record(first: str, count: int) -> Co2Record:
    months = np.datetime64(first, "M") + np.arange(count)
    trend = 400 + RISE * np.arange(count)
    return Co2Record("global", months, trend, np.full(count, 0.1), "co2_mm_gl.csv")


def month(stamp: str) -> np.datetime64:
    return np.datetime64(stamp, "M")


def test_months_of_the_record_are_taken(tmp_path: Path) -> None:
    # The average has a season of 2 ppm, which the trend has not.
    path = co2_table(tmp_path / "co2_mm_gl.csv", "2015-01", 400 + RISE * np.arange(72))
    found, is_extended = of_month(read(path), month("2016-03"))
    assert (found, is_extended) == (pytest.approx(400 + 14 * RISE), False)


def test_later_months_grow_as_the_last_five_years() -> None:
    known = record("2010-01", 120)
    # Growth before the last five years counts for nothing.
    known.trend[:50] -= 30
    found, is_extended = of_month(known, month("2020-03"))
    assert is_extended
    assert found == pytest.approx(400 + RISE * (119 + 3))


def test_a_missing_last_month_is_extended() -> None:
    known = record("2010-01", 120)
    known.trend[-1] = np.nan
    found, is_extended = of_month(known, month("2019-12"))
    assert is_extended
    assert found == pytest.approx(400 + RISE * 119)


@pytest.mark.parametrize(
    ("count", "wanted"),
    [
        (120, "2009-12"),  # before it begins
        (120, "2022-01"),  # 25 months after its end
        (60, "2015-01"),  # too short for a growth
    ],
)
def test_other_months_are_refused(count: int, wanted: str) -> None:
    message = f"has no CO2 of {wanted}: it holds 2010-01 to"
    with pytest.raises(UserError, match=message):
        of_month(record("2010-01", count), month(wanted))


def test_a_record_without_values_is_refused() -> None:
    known = record("2010-01", 3)
    known.trend[:] = np.nan
    with pytest.raises(UserError, match="has no CO2 of any month"):
        of_month(known, month("2010-02"))


@pytest.mark.parametrize("suffix", [".csv", ".txt"])
def test_daily_trends_become_means_of_whole_months(tmp_path: Path, suffix: str) -> None:
    days = np.arange("2024-01-15", "2024-03-20", dtype="M8[D]")
    lines = ["# NOAA", "year,month,day,smoothed,trend" if suffix == ".csv" else "#"]
    for place, day in enumerate(days):
        row = [*str(day).split("-"), "425.00", f"{420 + 0.01 * place:.2f}"]
        lines.append((" " if suffix == ".txt" else ",").join(row))
    path = tmp_path / f"co2_trend_gl{suffix}"
    path.write_text("\n".join(lines) + "\n")
    found = read(path)
    # February 2024 is the only whole month: days 17 to 45, 31 on average.
    assert found.months.tolist() == [month("2024-02").item()]
    assert found.trend[0] == pytest.approx(420.31)
