"""JRA-3Q and NCEP-DOE R2: means of days and months, and what is refused."""

from collections.abc import Sequence
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from emulator.carbon.errors import (
    GateError,
    GridMismatchError,
    TimeAxisError,
    UnitsError,
)
from emulator.carbon.humidity import missing_vapour, vapour_pressure
from emulator.data import catalog, readers
from emulator.data.readers import jra3q, ncep
from emulator.data.readers.analyses import VARIABLES
from emulator.data.readers.products import Offering, Told
from tests.data import analysis_files
from tests.data.analysis_files import GAUSSIAN, LON, REGULAR
from tests.data.centre_files import hours, months

JUNE = np.datetime64("2025-06", "M")
FIRST = np.datetime64("2025-06-01", "D")
PACKED = 1e-4
"""Relative: 30000 steps of the largest value, and means of some."""


def only(found: Told, name: str) -> float:
    """Return the value of a field that is the same everywhere."""
    assert np.ptp(found.fields[name]) <= 1e-9 * abs(found.fields[name]).max()
    return float(found.fields[name][0, 0])


def whole(offering: Offering) -> Offering:
    assert offering.refused == []
    return offering


def read(offering: Offering, when: np.datetime64, names: Sequence[str]) -> Told:
    found = offering.months if when.dtype == np.dtype("M8[M]") else offering.days
    return found[when].read(tuple(names))


@pytest.mark.parametrize("grid", ["ll125", "gauss"])
def test_months_of_jra3q(tmp_path: Path, grid: str) -> None:
    values = {
        "tmp2m-hgt-an": 290.0,
        "spfh2m-hgt-an": 0.008,
        "pres-sfc-an": 1e5,
        "tprate1have-sfc-fc": 3e-5,
        "dswrf1have-sfc-fc": 180.0,
    }
    for name, value in values.items():
        for month in ("2025-05", "2025-06"):
            analysis_files.jra3q(
                tmp_path / "monthly",
                name,
                months(month, 1),
                np.array([value]),
                grid=grid,
                monthly=True,
            )
    names = ("tas", "huss", "pr", "rsds", "vpd")
    offering = whole(jra3q.find(tmp_path, names))
    assert list(offering.months) == [JUNE - 1, JUNE]
    piece = offering.months[JUNE]
    assert len(piece.files) == 5
    found = piece.read(names)
    assert found.is_final
    rows = REGULAR if grid == "ll125" else GAUSSIAN
    np.testing.assert_allclose(found.grid.lat, rows[::-1], atol=1e-5)
    assert found.grid.lon.tolist() == (LON - 180).tolist()
    expected = [290.0, 0.008, 3e-5, 180.0]
    assert [only(found, name) for name in names[:4]] == pytest.approx(expected, 1e-6)
    # By hand: e = 0.008 * 1e5 / (0.62198 + 0.37802 * 0.008) = 1280.0 Pa; saturation at
    # 290 K after Buck is 611.21 exp(17.502 * 16.84 / 257.81) = 1917.5 Pa.
    assert only(found, "vpd") == pytest.approx(637.5, abs=1.0)
    assert found.units["tas"] == "K"
    assert len(found.units["vpd"].split(", ")) == 3


def states(folder: Path, name: str, values: np.ndarray, first: str = "2025-06-01T00"):
    when = np.datetime64(first, "h") + 6 * np.arange(values.size)
    return analysis_files.jra3q(folder / "hourly", name, when, values)


def test_days_of_jra3q_are_of_moments_and_of_spans(tmp_path: Path) -> None:
    # Two days and an hour more of rates, none of which is of a third day.
    states(tmp_path, "tmp2m-hgt-an", 285.0 + np.arange(8))
    rain = np.append(np.full(24, 2e-5), np.full(25, 4e-5))
    when = hours("2025-06-01T01", 49)
    # Stamped at the end, as its bounds say: 00 of 2 June is of 1 June.
    path = analysis_files.jra3q(
        tmp_path / "hourly", "tprate1have-sfc-fc", when, rain, bounds=1
    )
    offering = whole(jra3q.find(tmp_path, ["tas", "pr"]))
    assert list(offering.days) == [FIRST, FIRST + 1]
    found = read(offering, FIRST, ["tas", "pr"])
    assert only(found, "tas") == pytest.approx(286.5, rel=1e-6)
    assert only(found, "pr") == pytest.approx(2e-5, rel=1e-6)
    # Stamped at the beginning: the first is the hour 01 to 02.
    with netCDF4.Dataset(path, "a") as file:
        file["time_bnds"][:] += 1
    offering = whole(jra3q.find(tmp_path, ["pr"]))
    assert list(offering.days) == [FIRST + 1]
    found = read(offering, FIRST + 1, ["pr"])
    assert only(found, "pr") == pytest.approx((2e-5 + 23 * 4e-5) / 24, rel=1e-6)


def test_wind_is_the_mean_of_speeds(tmp_path: Path) -> None:
    turn = np.arange(4) * np.pi / 2
    states(tmp_path, "ugrd10m-hgt-an", 5 * np.cos(turn))
    states(tmp_path, "vgrd10m-hgt-an", 5 * np.sin(turn))
    found = read(whole(jra3q.find(tmp_path, ["sfcWind"])), FIRST, ["sfcWind"])
    assert only(found, "sfcWind") == pytest.approx(5, rel=1e-6)


def test_mean_vectors_are_no_wind(tmp_path: Path) -> None:
    for name in ("ugrd10m-hgt-an", "vgrd10m-hgt-an"):
        analysis_files.jra3q(
            tmp_path / "monthly",
            name,
            months("2025-06", 1),
            np.array([5.0]),
            monthly=True,
        )
    offering = jra3q.find(tmp_path, ["sfcWind"])
    assert not offering.months
    (said,) = offering.refused
    assert "no whole month and no whole day of speed in its folders monthly" in said
    assert "it holds ['ugrd10m-hgt-an-ll125-mn (M)', 'vgrd10m" in said


def test_a_folder_keeps_to_one_grid(tmp_path: Path) -> None:
    states(tmp_path, "tmp2m-hgt-an", np.full(4, 285.0))
    when = hours("2025-06-01T00", 24)[::6]
    analysis_files.jra3q(
        tmp_path / "hourly", "tmp2m-hgt-an", when, np.full(4, 285.0), grid="gauss"
    )
    offering = jra3q.find(tmp_path, ["tas"])
    assert list(offering.days) == [FIRST]
    (said,) = offering.refused
    assert "has 'tmp2m-hgt-an-ll125', but files beside it 'tmp2m-hgt-an-gauss'" in said


def test_variables_share_a_grid(tmp_path: Path) -> None:
    turn = np.ones(4) * 5
    states(tmp_path, "ugrd10m-hgt-an", turn)
    when = hours("2025-06-01T00", 24)[::6]
    analysis_files.jra3q(
        tmp_path / "hourly", "vgrd10m-hgt-an", when, turn, grid="gauss"
    )
    offering = whole(jra3q.find(tmp_path, ["sfcWind"]))
    with pytest.raises(GridMismatchError, match="components of the wind of 2025-06-01"):
        read(offering, FIRST, ["sfcWind"])
    states(tmp_path, "tmp2m-hgt-an", np.full(4, 290.0))
    for name, value in (("spfh2m-hgt-an", 0.008), ("pres-sfc-an", 1e5)):
        analysis_files.jra3q(
            tmp_path / "hourly", name, when, np.full(4, value), grid="gauss"
        )
    offering = whole(jra3q.find(tmp_path, ["vpd"]))
    with pytest.raises(GridMismatchError, match="'humidity' and the other variables"):
        read(offering, FIRST, ["vpd"])


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        (None, "has rates of hours, but no bounds of time that say whether"),
        (6, "has rates of 6 to 6 hours, but 1 are needed"),
    ],
)
def test_rates_of_hours_need_bounds(
    tmp_path: Path, bounds: int | None, message: str
) -> None:
    when = hours("2025-06-01T00", 24)
    path = analysis_files.jra3q(
        tmp_path / "hourly", "tprate1have-sfc-fc", when, np.full(24, 3e-5), bounds=1
    )
    with netCDF4.Dataset(path, "a") as file:
        if bounds is None:
            file["time"].delncattr("bounds")
        else:
            file["time_bnds"][:, 1] = np.asarray(file["time_bnds"][:, 0]) + bounds
    offering = jra3q.find(tmp_path, ["pr"])
    assert not offering.days
    assert f"{path} {message}" in offering.refused[0]


def test_times_must_be_there_and_increase(tmp_path: Path) -> None:
    path = states(tmp_path, "tmp2m-hgt-an", np.full(4, 285.0))
    with netCDF4.Dataset(path, "a") as file:
        file["time"][:] = np.asarray(file["time"][:])[::-1]
    assert "has times that do not increase" in jra3q.find(tmp_path, ["tas"]).refused[0]
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("time", "moment")
    assert (
        f"{path} has no time, but the hours"
        in (jra3q.find(tmp_path, ["tas"]).refused[0])
    )


def test_a_unit_is_needed(tmp_path: Path) -> None:
    when, warm = hours("2025-06-01T00", 24)[::6], np.full(4, 285.0)
    folder = tmp_path / "hourly"
    analysis_files.jra3q(folder, "tmp2m-hgt-an", when, warm, units="")
    offering = whole(jra3q.find(tmp_path, ["tas"]))
    with pytest.raises(
        UnitsError, match="'tmp2m-hgt-an-ll125' of 2025-06-01 states no"
    ):
        read(offering, FIRST, ["tas"])


@pytest.mark.parametrize(
    ("name", "variable", "value", "units"),
    [
        ("tmp2m-hgt-an", "tas", 15.0, "K"),  # degC
        ("tprate1have-sfc-fc", "pr", 2.7, "kg m-2 s-1"),  # mm a day
        ("dswrf1have-sfc-fc", "rsds", -180.0, "W m-2"),  # upward
        ("spfh2m-hgt-an", "huss", 8.0, "1"),  # g kg-1
    ],
)
def test_a_unit_that_lies_is_found_out(
    tmp_path: Path, name: str, variable: str, value: float, units: str
) -> None:
    when, folder = months("2025-06", 1), tmp_path / "monthly"
    analysis_files.jra3q(
        folder, name, when, np.array([value]), units=units, monthly=True
    )
    offering = whole(jra3q.find(tmp_path, [variable]))
    message = f"'{variable}' of JRA-3Q in 2025-06 is {value:.4g} .* plausible. Look at"
    with pytest.raises(GateError, match=message):
        read(offering, JUNE, [variable])


def test_months_and_days_of_ncep(tmp_path: Path) -> None:
    may = months("2025-05", 1)
    analysis_files.ncep(
        tmp_path / "monthly",
        "air.2m",
        may,
        np.array([288.0]),
        name="air.2m.mon.mean.nc",
    )
    june = np.arange("2025-06-01", "2025-07-01", dtype="M8[D]").astype("M8[h]")
    warm = 273.0 + np.arange(30)
    analysis_files.ncep(tmp_path / "daily", "air.2m", june, warm)
    # The same at another level, which is not meant.
    analysis_files.ncep(
        tmp_path / "daily", "air.2m", june, warm + 9, name="air.sig995.2025.nc"
    )
    offering = whole(ncep.find(tmp_path, ["tas"]))
    found = read(offering, JUNE - 1, ["tas"])
    assert only(found, "tas") == pytest.approx(288, rel=PACKED)
    np.testing.assert_allclose(found.grid.lat, GAUSSIAN[::-1], atol=1e-5)
    month = offering.month(JUNE)
    assert month is not None
    assert only(month.read(("tas",)), "tas") == pytest.approx(287.5, rel=PACKED)


def test_every_variable_of_ncep(tmp_path: Path) -> None:
    day = np.array(["2025-06-01"], "M8[h]")
    values = {
        "air.2m": 290.0,
        "shum.2m": 0.008,
        "pres.sfc": 1e5,
        "prate.sfc": 3e-5,
        "dswrf.sfc": 180.0,
    }
    for level, value in values.items():
        analysis_files.ncep(tmp_path / "daily", level, day, np.array([value]))
    six = hours("2025-06-01T00", 24)[::6]
    for level in ("uwnd.10m", "vwnd.10m"):
        analysis_files.ncep(tmp_path / "hourly", level, six, np.full(4, 3.0))
    names = ("tas", "huss", "pr", "rsds", "vpd", "sfcWind")
    found = read(whole(ncep.find(tmp_path, names)), FIRST, names)
    expected = [290.0, 0.008, 3e-5, 180.0]
    assert [only(found, name) for name in names[:4]] == pytest.approx(expected, PACKED)
    deficit = missing_vapour(
        np.array(290.0), vapour_pressure(np.array(0.008), np.array(1e5))
    )
    assert only(found, "vpd") == pytest.approx(float(deficit), rel=1e-3)
    assert only(found, "sfcWind") == pytest.approx(18**0.5, rel=PACKED)


def test_rates_of_six_hours(tmp_path: Path) -> None:
    six = hours("2025-06-01T00", 24)[::6]
    rain = np.array([1e-5, 2e-5, 4e-5, 5e-5])
    analysis_files.ncep(tmp_path / "hourly", "prate.sfc", six, rain, bounds=6)
    found = read(whole(ncep.find(tmp_path, ["pr"])), FIRST, ["pr"])
    assert only(found, "pr") == pytest.approx(3e-5, rel=PACKED)


def test_hours_in_the_wrong_folder_are_refused(tmp_path: Path) -> None:
    six = hours("2025-06-01T00", 24)[::6]
    analysis_files.ncep(tmp_path / "daily", "air.2m", six, np.full(4, 285.0))
    assert (
        "air.2m.gauss.2025.nc has steps of 6 hours, but lies among files of one"
        in (ncep.find(tmp_path, ["tas"]).refused[0])
    )


def test_shipped_entries_name_what_readers_know(tmp_path: Path) -> None:
    for name in ("jra3q", "ncep_r2"):
        shipped = catalog.load(name)
        assert set(shipped.variables) <= set(VARIABLES)
        for variable in shipped.variables:
            with pytest.raises(TimeAxisError, match="final months none"):
                readers.read(shipped, variable, None, tmp_path)
