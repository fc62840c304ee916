"""CRU-JRA: months without leap days, amounts of 6 hours, and which file counts."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from emulator.carbon.errors import (
    GateError,
    GridMismatchError,
    TimeAxisError,
    UnitsError,
    UserError,
)
from emulator.carbon.humidity import specific_humidity, vapour_pressure_deficit
from emulator.data import catalog, readers
from emulator.data.readers import crujra
from emulator.data.readers.crujra import find
from emulator.data.readers.products import Offering
from tests.data.crujra_files import (
    LAND,
    LAT,
    LON,
    MONTH_OF_STEP,
    SHAPE,
    STEPS,
    year_file,
)

FEBRUARY = np.datetime64("2000-02", "M")
EVEN = np.ones(STEPS)


def told(offering: Offering, month: str, *names: str) -> dict[str, np.ndarray]:
    """Return variables of a month."""
    return dict(offering.months[np.datetime64(month, "M")].read(names).fields)


def on_land(value: float) -> np.ndarray:
    return np.where(LAND, value, np.nan)


def test_months_have_no_leap_day(tmp_path: Path) -> None:
    # 2000 was a leap year: the file has 1460 steps all the same, and steps 125 to 236
    # are February's. A step of each month's number, but 59 days begin March.
    year_file(tmp_path, "tmp", 2000, 270.0 + MONTH_OF_STEP)
    offering = find(tmp_path, ["tas"])
    assert sorted(map(str, offering.months)) == [
        f"2000-{month:02d}" for month in range(1, 13)
    ]
    assert offering.calendar == "noleap"
    for place, piece in enumerate(offering.months.values()):
        one = piece.read(("tas",))
        assert one.is_final
        np.testing.assert_array_equal(one.fields["tas"], on_land(270.0 + place))
    assert one.grid.lat.tolist() == LAT.tolist()
    assert one.grid.lon.tolist() == LON.tolist()


@pytest.mark.parametrize(
    # 1.5 mm in each 6 hours are 6 mm a day.
    ("units", "value"),
    [
        ("mm/6h", 1.5),
        ("mm 6h-1", 1.5),
        ("mm (6 hours)-1", 1.5),
        ("mm per 6-hourly", 1.5),
        ("mm", 1.5),
        ("kg m-2", 1.5),
        ("mm/day", 6.0),
        (None, 1.5),
    ],
)
def test_rain_is_an_amount_of_six_hours(
    tmp_path: Path, units: str | None, value: float
) -> None:
    # The version of rain is its own.
    path = year_file(tmp_path, "pre", 2000, value * EVEN, edition="v3.02", units=units)
    assert path.name == "crujra.v3.02.5d.pre.2000.365d.noc.nc"
    found = find(tmp_path, ["pr"]).months[FEBRUARY].read(("pr",))
    np.testing.assert_allclose(found.fields["pr"], on_land(6 / 86400), rtol=1e-7)
    assert found.units == {"pr": units or "mm/6h"}


@pytest.mark.parametrize("name", ["gcb2025", "v10", "v15"])
def test_shortwave_has_files_of_its_own(tmp_path: Path, name: str) -> None:
    path = year_file(tmp_path, "tswrf", 1958, 200.0 * EVEN, edition=name, packed=True)
    assert path.name == f"tswrf_{name}_1958.nc.gz"
    year_file(tmp_path, "fd", 1958, 80.0 * EVEN, edition=name)
    found = told(find(tmp_path, ["rsds"]), "1958-12", "rsds")
    np.testing.assert_array_equal(found["rsds"], on_land(200.0))


def test_old_shortwave_is_an_amount(tmp_path: Path) -> None:
    # 4.32 MJ in 6 hours are 200 W.
    year_file(tmp_path, "dswrf", 2000, 4.32e6 * EVEN, edition="V1.1")
    found = told(find(tmp_path, ["rsds"]), "2000-02", "rsds")
    np.testing.assert_allclose(found["rsds"], on_land(200.0), rtol=1e-7)
    # Where there is radiation of the newer kind, that counts.
    year_file(tmp_path, "tswrf", 2000, 190.0 * EVEN, edition="v10")
    found = told(find(tmp_path, ["rsds"]), "2000-02", "rsds")
    np.testing.assert_array_equal(found["rsds"], on_land(190.0))


def test_humidity_is_that_of_monthly_means(tmp_path: Path) -> None:
    # Days and nights differ; the means are those of a dewpoint of 283 K at 960 hPa.
    turn = np.where(np.arange(STEPS) % 4 < 2, 1.0, -1.0)
    moist = float(specific_humidity(np.array(283.0), np.array(96000.0)))
    year_file(tmp_path, "tmp", 2000, 293 + 8 * turn)
    year_file(tmp_path, "spfh", 2000, moist * (1 + 0.1 * turn))
    year_file(tmp_path, "pres", 2000, 96000 - 200 * turn)
    year_file(tmp_path, "dlwrf", 2000, 300 * EVEN)
    found = told(find(tmp_path, ["vpd", "huss"]), "2000-02", "vpd", "huss")
    deficit = float(vapour_pressure_deficit(np.array(293.0), np.array(283.0)))
    np.testing.assert_allclose(found["vpd"], on_land(deficit), rtol=1e-5)
    np.testing.assert_allclose(found["huss"], on_land(moist), rtol=1e-6)
    longwave = told(find(tmp_path, ["rlds"]), "2000-02", "rlds")
    np.testing.assert_array_equal(longwave["rlds"], on_land(300.0))


def test_wind_is_the_mean_of_speeds(tmp_path: Path) -> None:
    # It turns round: the mean vector is nothing, the speed is always 5 m s-1.
    turn = np.where(np.arange(STEPS) % 2, 1.0, -1.0)
    year_file(tmp_path, "ugrd", 2000, 3 * turn, packed=True)
    year_file(tmp_path, "vgrd", 2000, 4 * turn, packed=True)
    found = told(find(tmp_path, ["sfcWind"]), "2000-02", "sfcWind")
    np.testing.assert_allclose(found["sfcWind"], on_land(5.0), rtol=1e-7)


def test_winds_share_a_unit(tmp_path: Path) -> None:
    year_file(tmp_path, "ugrd", 2000, EVEN)
    year_file(tmp_path, "vgrd", 2000, EVEN, units="cm/s")
    with pytest.raises(UnitsError, match=r"ugrd.*is in 'm/s', but .*vgrd.* in 'cm/s'"):
        told(find(tmp_path, ["sfcWind"]), "2000-02", "sfcWind")


def test_cells_keep_their_place(tmp_path: Path) -> None:
    cells = 280 + np.arange(32.0).reshape(SHAPE) / 2
    lon = np.roll(LON % 360, 4)
    values = np.broadcast_to(np.roll(cells, 4, axis=1), (STEPS, *SHAPE))
    path = year_file(tmp_path, "tmp", 2000, values, lon=lon)
    with netCDF4.Dataset(path) as file:
        assert file["lon"][0] == 22.5
    one = find(tmp_path, ["tas"]).months[FEBRUARY].read(("tas",))
    # The mask is every other column, which half a turn of 4 leaves where it is.
    np.testing.assert_array_equal(one.fields["tas"], np.where(LAND, cells, np.nan))


def test_a_year_is_there_when_all_of_it_is(tmp_path: Path) -> None:
    for year in (2000, 2001):
        year_file(tmp_path / "tmp", "tmp", year, 280 * EVEN)
    year_file(tmp_path / "spfh", "spfh", 2001, 0.01 * EVEN)
    year_file(tmp_path / "pres", "pres", 2001, 1e5 * EVEN)
    assert len(find(tmp_path, ["tas"]).months) == 24
    both = find(tmp_path, ["tas", "vpd"])
    assert {str(month)[:4] for month in both.months} == {"2001"}
    (piece, *_) = both.months.values()
    assert [path.name.split(".")[3] for path in piece.files] == ["pres", "spfh", "tmp"]


def test_files_are_unpacked_once_a_year(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for year in (2000, 2001):
        year_file(tmp_path, "tmp", year, year - 1720 + 0.5 * MONTH_OF_STEP, packed=True)
    opened: list[str] = []
    whole = crujra.open_netcdf
    monkeypatch.setattr(
        crujra, "open_netcdf", lambda path: (opened.append(path.name), whole(path))[1]
    )
    offering = find(tmp_path, ["tas"])
    found = [piece.read(("tas",)) for piece in offering.months.values()]
    assert opened == [
        f"crujra.v3.5d.tmp.{year}.365d.noc.nc.gz" for year in (2000, 2001)
    ]
    expected = [280 + 0.5 * m for m in range(12)] + [281 + 0.5 * m for m in range(12)]
    assert [one.fields["tas"][0, 0] for one in found] == expected


def test_what_is_unpacked_stands_for_its_archive(tmp_path: Path) -> None:
    year_file(tmp_path, "tmp", 2000, 280 * EVEN, packed=True)
    path = year_file(tmp_path, "tmp", 2000, 281 * EVEN)
    offering = find(tmp_path, ["tas"])
    assert offering.months[FEBRUARY].files == (path,)
    assert offering.refused == []


def test_editions_are_not_mixed(tmp_path: Path) -> None:
    year_file(tmp_path, "tmp", 2000, 280 * EVEN, edition="v2.5")
    year_file(tmp_path, "tmp", 2001, 280 * EVEN, edition="v3")
    offering = find(tmp_path, ["tas"])
    assert not offering.months
    assert "'tmp' of the editions ['2.5', '3'], which differ" in offering.refused[0]


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    year_file(tmp_path, "tmp", 2000, 280 * EVEN)
    (said,) = find(tmp_path, ["tas", "pr"]).refused
    assert "has no year of all of pre, tmp in files crujra.v*" in said
    assert "it holds ['tmp']" in said


@pytest.mark.parametrize("steps", [1464, 365])
def test_steps_are_counted(tmp_path: Path, steps: int) -> None:
    year_file(tmp_path, "tmp", 2000, np.full(steps, 280.0))
    message = rf"has {steps} steps, but 1460 are needed: 4 a day and no 29 February"
    with pytest.raises(TimeAxisError, match=message):
        told(find(tmp_path, ["tas"]), "2000-02", "tas")


def test_times_must_increase(tmp_path: Path) -> None:
    path = year_file(tmp_path, "tmp", 2000, 280 * EVEN)
    with netCDF4.Dataset(path, "a") as file:
        file["time"][7] = file["time"][6]
    with pytest.raises(TimeAxisError, match="its times do not increase"):
        told(find(tmp_path, ["tas"]), "2000-02", "tas")


@pytest.mark.parametrize(
    ("name", "variable", "units"),
    [("tmp", "tas", "m s-1"), ("pre", "pr", "K"), ("tswrf", "rsds", "mm/6h")],
)
def test_units_of_another_kind_are_refused(
    tmp_path: Path, name: str, variable: str, units: str
) -> None:
    edition = "v10" if name == "tswrf" else "v3"
    year_file(tmp_path, name, 2000, EVEN, units=units, edition=edition)
    with pytest.raises(UnitsError, match=rf"{name}.*2000.*cannot become"):
        told(find(tmp_path, [variable]), "2000-02", variable)


def test_grids_must_match(tmp_path: Path) -> None:
    other = LON + 10
    year_file(tmp_path, "ugrd", 2000, EVEN)
    year_file(tmp_path, "vgrd", 2000, EVEN, lon=other)
    with pytest.raises(
        GridMismatchError, match=r"vgrd.2000.*is on a grid.*one edition"
    ):
        told(find(tmp_path, ["sfcWind"]), "2000-02", "sfcWind")
    year_file(tmp_path, "tmp", 2000, EVEN)
    year_file(tmp_path, "spfh", 2000, EVEN, lon=other)
    year_file(tmp_path, "pres", 2000, EVEN)
    with pytest.raises(GridMismatchError, match="'spfh' of 2000 is on a grid"):
        told(find(tmp_path, ["vpd"]), "2000-02", "vpd")


def test_a_variable_has_three_dimensions(tmp_path: Path) -> None:
    path = year_file(tmp_path, "pre", 2000, EVEN)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("pre", "rain")
        file.createDimension("height", 2)
        dims = ("time", "height", "lat", "lon")
        file.createVariable("pre", "f4", dims)[:] = 1.0
    with pytest.raises(GridMismatchError, match="but time, latitude and longitude are"):
        told(find(tmp_path, ["pr"]), "2000-02", "pr")


@pytest.mark.parametrize(
    ("name", "value", "variable"),
    # What the documentation says of files without a unit, W m-2 and mm, is not so.
    [("tswrf", 4.32e6, "rsds"), ("dswrf", 200.0, "rsds"), ("pre", 3e-5, "pr")],
)
def test_a_unit_that_is_not_stated_shows_in_the_mean(
    tmp_path: Path, name: str, value: float, variable: str
) -> None:
    year_file(tmp_path, name, 2000, value * EVEN, units=None)
    with pytest.raises(
        GateError, match=rf"'{variable}' of CRU-JRA in 2000-02 is .* Look"
    ):
        told(find(tmp_path, [variable]), "2000-02", variable)


def test_a_truncated_archive_is_refused(tmp_path: Path) -> None:
    path = year_file(tmp_path, "tmp", 2000, 280 * EVEN, packed=True)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match="cannot be unpacked: it is truncated"):
        told(find(tmp_path, ["tas"]), "2000-02", "tas")


def test_years_are_read_by_the_catalog(tmp_path: Path) -> None:
    for year in (1999, 2000, 2001):
        values = (year - 1998) * (15.0 + MONTH_OF_STEP) / 100
        year_file(tmp_path / "crujra", "pre", year, values, edition="v3.02")
    entry = catalog.load("crujra")
    found = readers.read(entry, "pr", None, tmp_path, years=(2000, 2001))
    assert found.sizes == {"time": 24, "lat": 4, "lon": 8}
    assert found.attrs["source_calendar"] == "noleap"
    # Twice and thrice 0.15 to 0.26 mm in 6 hours.
    hundredths = np.arange(15.0, 27)
    amounts = np.concatenate([2 * hundredths, 3 * hundredths]) / 100
    np.testing.assert_allclose(found[:, 0, 0] * 21600, amounts, rtol=1e-6)
