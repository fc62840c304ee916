"""ERA5 as the Climate Data Store sends it: known values in, the same values out."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import (
    GridMismatchError,
    UnitsError,
    UserError,
)
from emulator.carbon.grid import Grid
from emulator.carbon.humidity import vapour_pressure_deficit
from emulator.data.readers.era5 import find
from emulator.data.readers.products import Told
from tests.data.centre_files import (
    LAT,
    LON,
    UNITS,
    hours,
    months,
    new_layout,
    old_layout,
    uniform,
    zipped,
)

JUNE = np.datetime64("2025-06", "M")
LAST = np.datetime64("2025-06-30", "D")
ROUND = 1e-6
"""Relative, of float32; packing in 16 bits is given where it counts."""


def month(
    folder: Path, names: Sequence[str], when: np.datetime64 = JUNE, **how: bool
) -> Told:
    offering = find(folder, names, folder / "unpacked", **how)
    assert offering.refused == []
    piece = offering.month(when)
    assert piece is not None
    return piece.tell(tuple(names))


def day(
    folder: Path, names: Sequence[str], when: np.datetime64 = LAST, **how: bool
) -> Told:
    offering = find(folder, names, folder / "unpacked", **how)
    assert offering.refused == []
    return offering.days[when].read(tuple(names))


def only(told: Told, name: str) -> float:
    """Return the value of a field that is the same everywhere."""
    assert np.ptp(told.fields[name]) < 1e-9 * abs(told.fields[name]).max() + 1e-12
    return float(told.fields[name].mean())


@pytest.mark.parametrize("write", [old_layout, new_layout])
def test_amounts_of_months_are_per_day(tmp_path: Path, write: object) -> None:
    # 3 mm a day are 3 kg m-2 in 86400 s; 17.28 MJ m-2 a day are 200 W m-2.
    fields = {"tp": uniform([0.003]), "ssrd": uniform([17.28e6])}
    write(tmp_path / "monthly" / "june_final.nc", months("2025-06", 1), fields)
    told = month(tmp_path, ["pr", "rsds"])
    assert only(told, "pr") == pytest.approx(3 / 86400, rel=ROUND)
    assert only(told, "rsds") == pytest.approx(200, rel=ROUND)
    assert told.is_final


def test_rows_go_north_and_columns_begin_at_the_date_line(tmp_path: Path) -> None:
    field = (LAT[:, None] + LON[None, :] / 1000 + 250)[None]
    new_layout(tmp_path / "monthly" / "a.nc", months("2025-06", 1), {"t2m": field})
    told = month(tmp_path, ["tas"])
    grid = told.grid
    assert grid.lat.tolist() == [-90, -45, 0, 45, 90]
    assert grid.lon.tolist() == [-180, -135, -90, -45, 0, 45, 90, 135]
    expected = grid.lat[:, None] + (grid.lon % 360)[None, :] / 1000 + 250
    np.testing.assert_allclose(told.fields["tas"], expected, rtol=ROUND)


def test_versions_of_the_old_layout_complement_each_other(tmp_path: Path) -> None:
    old_layout(
        tmp_path / "monthly" / "a.nc",
        months("2025-04", 3),
        {"t2m": uniform([280.0, 281.0, 282.0])},
        preliminary=np.array([False, False, True]),
    )
    for when, value, is_final in (("2025-05", 281, True), ("2025-06", 282, False)):
        told = month(tmp_path, ["tas"], np.datetime64(when, "M"))
        # Packed in 60000 steps of 2 K.
        assert only(told, "tas") == pytest.approx(value, abs=4e-5)
        assert told.is_final is is_final


def test_versions_of_the_new_layout_go_along_time(tmp_path: Path) -> None:
    new_layout(
        tmp_path / "monthly" / "a.nc",
        months("2025-05", 2),
        {"t2m": uniform([281.0, 282.0])},
        preliminary=np.array([False, True]),
    )
    assert month(tmp_path, ["tas"], np.datetime64("2025-05", "M")).is_final
    told = month(tmp_path, ["tas"])
    assert (only(told, "tas"), told.is_final) == (282, False)


def test_a_month_is_preliminary_if_one_variable_is(tmp_path: Path) -> None:
    when = months("2025-06", 1)
    new_layout(tmp_path / "monthly" / "a.nc", when, {"t2m": uniform([282.0])})
    rain = {"tp": uniform([0.001])}
    new_layout(tmp_path / "monthly" / "b.nc", when, rain, preliminary=True)
    assert month(tmp_path, ["tas"]).is_final
    assert not month(tmp_path, ["tas", "pr"]).is_final


def test_without_a_version_the_name_says_what_is_final(tmp_path: Path) -> None:
    old_layout(
        tmp_path / "monthly" / "a.nc", months("2025-06", 1), {"t2m": uniform([280.0])}
    )
    assert not month(tmp_path, ["tas"]).is_final
    (tmp_path / "monthly" / "a.nc").rename(tmp_path / "monthly" / "a_final.nc")
    assert month(tmp_path, ["tas"]).is_final


def test_final_replaces_preliminary_and_the_newer_file_the_older(
    tmp_path: Path,
) -> None:
    for age, (name, value, preliminary) in enumerate(
        [("a", 290.0, True), ("b", 280.0, False), ("c", 281.0, False)]
    ):
        path = tmp_path / "monthly" / f"{name}.nc"
        field = {"t2m": uniform([value])}
        new_layout(path, months("2025-06", 1), field, preliminary=preliminary)
        os.utime(path, (1e9 - age, 1e9 - age))
    # b is newer than c, and a is preliminary.
    told = month(tmp_path, ["tas"])
    assert (only(told, "tas"), told.is_final) == (280, True)


def test_a_zip_of_moments_and_amounts(tmp_path: Path) -> None:
    when = months("2025-06", 1)
    moments = new_layout(
        tmp_path / "monthly" / "data_stream-moda_stepType-avgua.nc",
        when,
        {"t2m": uniform([293.16]), "d2m": uniform([283.16])},
        preliminary=True,
    )
    amounts = new_layout(
        tmp_path / "monthly" / "data_stream-moda_stepType-avgad.nc",
        when + 6,  # hours: amounts are stamped otherwise
        {"tp": uniform([0.001])},
        preliminary=True,
    )
    zipped(tmp_path / "monthly" / "june.zip", moments, amounts)
    told = month(tmp_path, ["pr", "vpd"])
    assert told.units == {"pr": "m", "vpd": "t2m K, d2m K"}
    assert only(told, "pr") == pytest.approx(1 / 86400, rel=ROUND)
    # 2337.28 Pa at 293.16 K, 1227.60 Pa at 283.16 K: tests/carbon/test_humidity.py.
    assert only(told, "vpd") == pytest.approx(1109.68, abs=0.1)
    assert not told.is_final
    # It is unpacked once, and forgotten with the zip.
    (kept,) = (tmp_path / "unpacked").iterdir()
    assert kept.name.startswith("june-")
    (tmp_path / "monthly" / "june.zip").unlink()
    find(tmp_path, ["pr"], tmp_path / "unpacked")
    assert list((tmp_path / "unpacked").iterdir()) == []


def hourly(folder: Path, write: object = new_layout) -> None:
    """Write the hours of 30 June and the first of 1 July, in a file for each month.

    Temperature is 280 K plus the hour; rain 0.1 mm in each hour, 1 mm in the last one,
    which is stamped in July; wind blows with 5 m/s from all sides in turn.
    """
    when = hours("2025-06-30T00", 25)
    temperature = 280.0 + np.arange(25)
    rain = np.append(np.full(24, 1e-4), 1e-3)
    turn = np.pi / 2 * np.arange(25)
    fields = {
        "t2m": uniform(temperature),
        "tp": uniform(rain),
        "u10": uniform(5 * np.cos(turn)),
        "v10": uniform(5 * np.sin(turn)),
    }
    june = {name: values[:24] for name, values in fields.items()}
    july = {name: values[24:] for name, values in fields.items()}
    write(folder / "hourly" / "june.nc", when[:24], june)
    write(folder / "hourly" / "july.nc", when[24:], july)


@pytest.mark.parametrize("write", [old_layout, new_layout])
def test_a_day_has_its_last_hour_in_the_file_of_the_next(
    tmp_path: Path, write: object
) -> None:
    hourly(tmp_path, write)
    told = day(tmp_path, ["tas", "pr"])
    # Moments 00 to 23: 280 + 11.5. Amounts 01 to 00: 23 * 0.1 mm + 1 mm a day; the
    # stamp 00 of 30 June is of 29 June.
    assert only(told, "tas") == pytest.approx(291.5, abs=2e-4)
    assert only(told, "pr") == pytest.approx(3.3 / 86400, rel=1e-4)


def test_a_month_is_final_though_its_last_hour_is_in_a_preliminary_one(
    tmp_path: Path,
) -> None:
    """The forecast that amounts come from began in the final month.

    It began at 18 UTC: amounts up to 06 UTC of 1 July are of ERA5, moments of that day
    of ERA5T, in one file of the old layout each.
    """
    when = hours("2025-06-30T00", 49)
    late = when >= np.datetime64("2025-07-01T00")
    later = when > np.datetime64("2025-07-01T06")
    rain, warm = uniform(1e-4 * np.ones(49)), uniform(280 + np.arange(49) / 10)
    rain[24] *= 2
    folder = tmp_path / "hourly"
    old_layout(folder / "a.nc", when, {"t2m": warm}, preliminary=late)
    old_layout(folder / "b.nc", when, {"tp": rain}, preliminary=later)
    june = day(tmp_path, ["tas", "pr"])
    july = day(tmp_path, ["tas", "pr"], LAST + 1)
    assert (june.is_final, july.is_final) == (True, False)
    assert day(tmp_path, ["pr"], LAST).is_final
    # 23 hours of 0.1 mm and one of 0.2; in July 24 of 0.1.
    assert only(june, "pr") == pytest.approx(2.5 / 86400, rel=1e-4)
    assert only(july, "pr") == pytest.approx(2.4 / 86400, rel=1e-4)
    assert only(june, "tas") == pytest.approx(281.15, abs=1e-4)
    assert only(july, "tas") == pytest.approx(283.55, abs=1e-4)


def test_a_day_without_its_last_hour_is_not_there(tmp_path: Path) -> None:
    hourly(tmp_path)
    (tmp_path / "hourly" / "july.nc").unlink()
    assert list(find(tmp_path, ["tas"], tmp_path).days) == [LAST]
    assert list(find(tmp_path, ["pr"], tmp_path).days) == []


def test_wind_is_the_mean_of_speeds(tmp_path: Path) -> None:
    hourly(tmp_path)
    # The mean vector is zero.
    assert only(day(tmp_path, ["sfcWind"]), "sfcWind") == pytest.approx(5, rel=ROUND)


def test_mean_vectors_are_no_wind(tmp_path: Path) -> None:
    wind = {"u10": uniform([1.0]), "v10": uniform([0.0])}
    new_layout(tmp_path / "monthly" / "a.nc", months("2025-06", 1), wind)
    offering = find(tmp_path, ["sfcWind"], tmp_path / "unpacked")
    assert offering.month(JUNE) is None
    (said,) = offering.refused
    assert "no whole month and no whole day of si10" in said
    assert "it holds ['u10', 'v10']" in said
    wind = {"si10": uniform([5.0])}
    new_layout(tmp_path / "monthly" / "b.nc", months("2025-06", 1), wind)
    assert only(month(tmp_path, ["sfcWind"]), "sfcWind") == 5


def test_era5_land_counts_on_from_midnight(tmp_path: Path) -> None:
    # The day has 0.1 mm an hour; stamp 00 has the day before.
    when = hours("2025-06-30T00", 25)
    rain = {"tp": uniform(np.append(9e-3, 1e-4 * np.arange(1, 25)))}
    new_layout(tmp_path / "hourly" / "a.nc", when, rain)
    told = day(tmp_path, ["pr"], counts_on=True)
    assert only(told, "pr") == pytest.approx(2.4 / 86400, rel=ROUND)
    with pytest.raises(UserError, match="counts on from midnight, but amounts of"):
        day(tmp_path, ["pr"])


def test_era5_land_has_no_value_at_sea(tmp_path: Path) -> None:
    # The first column is sea. 6 mm in a month's mean day; 5 MJ m-2 in one day.
    sea = np.zeros(LON.size)
    sea[0] = np.nan
    rain = {"tp": uniform([6e-3]) + sea}
    new_layout(tmp_path / "monthly" / "a.nc", months("2025-06", 1), rain)
    light = {"ssrd": uniform(5e6 * np.arange(25) / 24) + sea}
    light["ssrd"][0] = 4e6 + sea  # the day before
    new_layout(tmp_path / "hourly" / "a.nc", hours("2025-06-30T00", 25), light)
    for told, name, value in (
        (month(tmp_path, ["pr"], counts_on=True), "pr", 6 / 86400),
        (day(tmp_path, ["rsds"], counts_on=True), "rsds", 5e6 / 86400),
    ):
        at_sea = told.grid.lon == 0
        assert np.isnan(told.fields[name][:, at_sea]).all()
        np.testing.assert_allclose(told.fields[name][:, ~at_sea], value, rtol=ROUND)


def test_layouts_of_before_and_after_2024_lie_in_one_folder(tmp_path: Path) -> None:
    may, june = months("2025-05", 1), months("2025-06", 1)
    late = np.array([False])
    warm = {"t2m": uniform([281.0])}
    old_layout(tmp_path / "monthly" / "a.nc", may, warm, preliminary=late)
    new_layout(tmp_path / "monthly" / "b.nc", june, {"t2m": uniform([282.0])})
    for when, value in ((JUNE - 1, 281.0), (JUNE, 282.0)):
        told = month(tmp_path, ["tas"], when)
        assert (only(told, "tas"), told.is_final) == (value, True)
    # The hours of 30 June in the old layout, midnight in the new one.
    rain, first = uniform(1e-4 * np.ones(25)), hours("2025-06-30T00", 25)
    old = {"tp": rain[:24] * np.linspace(1, 2, 24)[:, None, None]}
    old_layout(tmp_path / "hourly" / "a.nc", first[:24], old)
    new_layout(tmp_path / "hourly" / "b.nc", first[24:], {"tp": rain[24:]})
    # 0.1 mm times 1 + k/23 for k = 1 to 23, which add up to 35, and 0.1 mm.
    assert only(day(tmp_path, ["pr"]), "pr") == pytest.approx(3.6 / 86400, rel=1e-4)


def test_hours_are_no_era5_land(tmp_path: Path) -> None:
    when = hours("2025-06-30T00", 25)
    light = np.maximum(0, np.cos(2 * np.pi * (np.arange(25) - 12) / 24)) * 1e6
    new_layout(tmp_path / "hourly" / "a.nc", when, {"ssrd": uniform(light)})
    with pytest.raises(UserError, match="falls from noon to midnight, so that it"):
        day(tmp_path, ["rsds"], counts_on=True)


def test_a_month_of_all_its_days(tmp_path: Path) -> None:
    when = np.arange("2025-06-01", "2025-07-01", dtype="M8[D]").astype("M8[h]")
    warm = uniform(270.0 + np.arange(30))
    new_layout(
        tmp_path / "daily" / "a.nc",
        when,
        {"t2m": warm},
        preliminary=np.arange(30) == 29,
    )
    told = month(tmp_path, ["tas"])
    assert only(told, "tas") == pytest.approx(284.5)
    assert not told.is_final
    assert day(tmp_path, ["tas"], np.datetime64("2025-06-29", "D")).is_final
    assert find(tmp_path, ["tas"], tmp_path).month(JUNE - 1) is None


def test_deficit_of_a_day_is_that_of_its_means(tmp_path: Path) -> None:
    when = hours("2025-06-30T00", 24)
    warm = 285 + 10 * np.sin(2 * np.pi * np.arange(24) / 24)
    fields = {"t2m": uniform(warm), "d2m": uniform(np.full(24, 280.0))}
    new_layout(tmp_path / "hourly" / "a.nc", when, fields)
    expected = vapour_pressure_deficit(np.array(285.0), np.array(280.0))
    found = only(day(tmp_path, ["vpd"]), "vpd")
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_specific_humidity(tmp_path: Path) -> None:
    fields = {"d2m": uniform([283.16]), "sp": uniform([1e5])}
    new_layout(tmp_path / "monthly" / "a.nc", months("2025-06", 1), fields)
    found = only(month(tmp_path, ["huss"]), "huss")
    assert found == pytest.approx(0.0076711, abs=1e-6)


@pytest.mark.parametrize(
    ("folder", "times", "steps"),
    [
        ("monthly", hours("2025-06-30T00", 24), "1 hours"),
        ("daily", hours("2025-06-30T00", 24), "1 hours"),
        ("daily", months("2025-06", 3), "720 hours"),
        ("hourly", hours("2025-06-30T00", 24)[::6], "6 hours"),
        ("hourly", hours("2025-06-30T00", 24)[::-1], "-1 hours"),
    ],
)
def test_steps_must_be_those_of_the_folder(
    tmp_path: Path, folder: str, times: np.ndarray, steps: str
) -> None:
    field = {"t2m": uniform(np.full(times.size, 280.0))}
    new_layout(tmp_path / folder / "a.nc", times, field)
    said = find(tmp_path, ["tas"], tmp_path / "unpacked").refused
    assert f"a.nc has steps of {steps}" in said[0]


@pytest.mark.parametrize(("name", "amount"), [("tp", 2.7e-3), ("ssrd", 1.6e7)])
def test_days_that_are_means_of_hours_are_no_amounts(
    tmp_path: Path, name: str, amount: float
) -> None:
    variable = {"tp": "pr", "ssrd": "rsds"}[name]
    when = hours("2025-06-30T00", 1)
    new_layout(tmp_path / "daily" / "a.nc", when, {name: uniform([amount])})
    assert only(day(tmp_path, [variable]), variable) > 0
    new_layout(tmp_path / "daily" / "a.nc", when, {name: uniform([amount / 24])})
    with pytest.raises(UserError, match=r"it is the mean of its hours, but their sum"):
        day(tmp_path, [variable])


def test_a_month_that_waits_for_a_variable_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = {"t2m": uniform([280.0]), "tp": uniform([0.001])}
    new_layout(tmp_path / "monthly" / "a.nc", months("2025-05", 1), both)
    assert month(tmp_path, ["tas", "pr"], JUNE - 1).is_final
    assert not caplog.messages
    del both["tp"]
    new_layout(tmp_path / "monthly" / "b.nc", months("2025-06", 1), both)
    assert find(tmp_path, ["tas", "pr"], tmp_path / "unpacked").month(JUNE) is None
    assert caplog.messages == [f"2025-06 waits for ['tp'] in {tmp_path / 'monthly'}"]


def test_damaged_files_are_refused_and_others_serve(tmp_path: Path) -> None:
    new_layout(
        tmp_path / "monthly" / "a.nc", months("2025-06", 1), {"t2m": uniform([280.0])}
    )
    (tmp_path / "monthly" / "b.nc").write_bytes(b"")
    (tmp_path / "monthly" / "c.zip").write_bytes(b"PK")
    offering = find(tmp_path, ["tas"], tmp_path / "unpacked")
    assert "c.zip is no whole zip" in offering.refused[0]
    assert "b.nc is empty (0 bytes)" in offering.refused[1]
    assert offering.month(JUNE) is not None


def test_variables_of_other_grids_are_refused(tmp_path: Path) -> None:
    when = months("2025-06", 1)
    new_layout(tmp_path / "monthly" / "a.nc", when, {"t2m": uniform([280.0])})
    other = {"lat": LAT[::-1][1:], "lon": LON}
    rain = {"tp": uniform([0.001])[:, 1:]}
    new_layout(tmp_path / "monthly" / "b.nc", when, rain, **other)
    with pytest.raises(GridMismatchError, match="'tp' of 2025-06 is on a grid of 4x8"):
        month(tmp_path, ["tas", "pr"])
    hour = hours("2025-06-30T00", 24)
    calm = uniform(np.zeros(24))
    new_layout(tmp_path / "hourly" / "u.nc", hour, {"u10": calm})
    new_layout(tmp_path / "hourly" / "v.nc", hour, {"v10": calm[:, 1:]}, **other)
    with pytest.raises(GridMismatchError, match="u10 and v10 of 2025-06-30T00 are on"):
        day(tmp_path, ["sfcWind"])


def test_a_unit_is_needed_and_must_be_of_the_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, when = tmp_path / "monthly" / "a.nc", months("2025-06", 1)
    monkeypatch.setitem(UNITS, "t2m", "")
    new_layout(path, when, {"t2m": uniform([280.0])})
    with pytest.raises(UnitsError, match="'t2m' of 2025-06 states no unit, but 'K'"):
        month(tmp_path, ["tas"])
    monkeypatch.setitem(UNITS, "t2m", "Pa")
    new_layout(path, when, {"t2m": uniform([280.0])})
    message = r"a\.nc: 't2m' of 2025-06 is in 'Pa', which cannot become 'K'\. Get it"
    with pytest.raises(UnitsError, match=message):
        month(tmp_path, ["tas"])


def test_polar_rows_are_half_cells() -> None:
    assert Grid(LAT[::-1], np.arange(-180, 180, 45.0)).edges()[0].tolist() == (
        [-90, -67.5, -22.5, 22.5, 67.5, 90]
    )
