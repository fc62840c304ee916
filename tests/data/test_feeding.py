"""Products laid out for a night: what is made, when, how good, and what is refused."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import SettingsError, SourceError
from emulator.data import forcing_archive
from emulator.data.feeding import ProductSettings, collect, lay_out
from emulator.data.forcing_archive import STATUS, read, seed
from emulator.data.prepare import prepare_forcing
from emulator.data.stores import FORCING_SCHEMA, open_store
from tests.data import small_files as small
from tests.data.arco_files import arco
from tests.data.centre_files import (
    co2_table,
    hours,
    months,
    new_layout,
    oisst,
    old_layout,
)
from tests.worlds import tiny_forcing, tiny_forcing_store

LAND = tiny_forcing("land")
OCEAN = tiny_forcing("ocean")
UNTIL = np.datetime64("2007-12", "M")
"""Last month of the prepared forcing."""

CO2_SINCE = "1990-01"


def as_cds(field: np.ndarray) -> np.ndarray:
    """Return fields of the archive as files have them: north first, from Greenwich."""
    return np.roll(field[..., ::-1, :], 4, axis=-1)


GRID = {
    "lat": LAND["lat"].to_numpy()[::-1],
    "lon": np.roll(LAND["lon"].to_numpy() % 360, 4),
}


def truth(forcing: xr.Dataset, name: str, month: str) -> np.ndarray:
    return forcing[name].sel(time=month).to_numpy().reshape(1, 4, 8)


class Downloads:
    """Folders as a user's downloads fill them, and the archives of a deployment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.era5, self.oisst = folder / "era5", folder / "oisst"
        self.table = folder / "co2_mm_gl.csv"
        self.co2("2008-12")

    def co2(self, last: str, forcing: xr.Dataset = LAND) -> None:
        """Let NOAA's table end with a month: that of the tiny world."""
        known = forcing["co2"].sel(time=slice(CO2_SINCE, last)).to_numpy()
        co2_table(self.table, CO2_SINCE, known)

    def month(self, month: str, *, preliminary: bool, warmer: float = 0.0) -> Path:
        """Write ERA5's month over land: rain per day in m, temperature in K."""
        rain = np.nan_to_num(truth(LAND, "pr", month)) * 86400 / 1000
        fields = {
            "t2m": as_cds(truth(LAND, "tas", month)) + warmer,
            "tp": as_cds(rain),
        }
        path = self.era5 / "monthly" / f"{month}.nc"
        return new_layout(
            path, months(month, 1), fields, preliminary=preliminary, **GRID
        )

    def night(self, archive: Path, *readers: str, day: str) -> list[str]:
        folders = {"era5": self.era5, "era5_land": self.era5, "oisst": self.oisst}
        products = [ProductSettings(one, str(folders[one])) for one in readers]
        now = datetime.fromisoformat(day).replace(tzinfo=UTC)
        into = self.folder / "downloads" / archive.stem
        changed = collect(products, self.table, archive, into, now=now)
        return [str(month) for month in changed]


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return Downloads(tmp_path)


def archive_of(folder: Path, domain: str) -> Path:
    path = folder / f"{domain}.icechunk"
    seed(path, tiny_forcing_store(folder, domain), last=UNTIL)
    return path


@pytest.fixture
def land(tmp_path: Path) -> Path:
    return archive_of(tmp_path, "land")


def last(archive: Path) -> xr.Dataset:
    return read(archive).isel(time=-1).load()


def feed(archive: Path) -> dict[str, str]:
    """Return what was made: name, and where it comes from."""
    folder = archive.parent / "downloads" / archive.stem / "feed"
    entries = json.loads((folder / "index.json").read_text())["files"]
    on_disk = sorted(path.name for path in folder.glob("*.nc"))
    assert on_disk == sorted(entry["name"] for entry in entries)
    return {entry["name"]: entry["source"] for entry in entries}


def test_a_month_becomes_final(downloads: Downloads, land: Path) -> None:
    downloads.month("2008-01", preliminary=True, warmer=1.0)
    assert downloads.night(land, "era5", day="2008-02-06") == ["2008-01"]
    found = last(land)
    assert int(found["status"]) == STATUS["preliminary"]
    np.testing.assert_allclose(
        found["tas"], truth(LAND, "tas", "2008-01")[0] + 1, rtol=1e-6
    )
    state = forcing_archive.snapshot_of(land)
    assert downloads.night(land, "era5", day="2008-02-07") == []
    assert forcing_archive.snapshot_of(land) == state

    downloads.month("2008-01", preliminary=False)
    assert downloads.night(land, "era5", day="2008-04-06") == ["2008-01"]
    found = last(land)
    assert int(found["status"]) == STATUS["final"]
    assert int(found["revision"]) == 1
    np.testing.assert_allclose(
        found["tas"], truth(LAND, "tas", "2008-01")[0], rtol=1e-6
    )
    # Rain is there where the archive has any, in its own unit.
    np.testing.assert_allclose(found["pr"], truth(LAND, "pr", "2008-01")[0], rtol=1e-6)
    co2 = float(LAND["co2"].sel(time="2008-01").item())
    assert float(found["co2"]) == pytest.approx(co2)
    source = "ERA5 final (2008-01.nc); CO2 of co2_mm_gl.csv"
    assert found["source"].item() == source
    assert feed(land) == {"era5_200801_final.nc": source}


def test_extended_co2_is_told_and_replaced(downloads: Downloads, land: Path) -> None:
    downloads.co2("2007-11")
    downloads.month("2008-01", preliminary=False)
    downloads.night(land, "era5", day="2008-04-06")
    found = last(land)
    # 2 ppm a year are 10 in the five years to November 2007: two months more.
    expected = float(LAND["co2"].sel(time="2007-11").item()) + 2 * 2 / 12
    assert float(found["co2"]) == pytest.approx(expected, rel=1e-6)
    assert int(found["status"]) == STATUS["preliminary"]
    assert found["source"].item().endswith("CO2 extended from co2_mm_gl.csv")
    downloads.co2("2008-03")
    assert downloads.night(land, "era5", day="2008-06-06") == ["2008-01"]
    assert int(last(land)["status"]) == STATUS["final"]


def test_days_of_the_running_month(downloads: Downloads, land: Path) -> None:
    downloads.month("2008-01", preliminary=True)
    rain = np.nan_to_num(truth(LAND, "pr", "2008-02")) * 86400 / 1000 / 24
    warm = truth(LAND, "tas", "2008-02")
    for day in range(1, 4):
        stamps = hours(f"2008-02-{day:02d}T00", 24)
        fields = {
            "t2m": as_cds(np.repeat(warm, 24, axis=0)) + 0.1 * day,
            "tp": as_cds(np.repeat(rain, 24, axis=0)),
        }
        path = downloads.era5 / "hourly" / f"{day}.nc"
        new_layout(path, stamps, fields, preliminary=True, **GRID)
    # The last hour of the third day has not come.
    assert downloads.night(land, "era5", day="2008-02-06") == ["2008-01", "2008-02"]
    found = last(land)
    assert int(found["status"]) == STATUS["partial"]
    assert int(found["days_seen"]) == 2
    assert sorted(feed(land)) == [
        "era5_200801_preliminary.nc",
        "era5_20080201_daily.nc",
        "era5_20080202_daily.nc",
    ]
    # The month replaces its days.
    downloads.month("2008-02", preliminary=True)
    assert downloads.night(land, "era5", day="2008-03-06") == ["2008-02"]
    assert sorted(feed(land)) == [
        "era5_200801_preliminary.nc",
        "era5_200802_preliminary.nc",
    ]
    np.testing.assert_allclose(last(land)["tas"], warm[0], rtol=1e-6)


def sea(month: str) -> np.ndarray:
    return truth(OCEAN, "tosforc", month)[0]


def ocean_days(downloads: Downloads, preliminary: range) -> None:
    """Write January's temperature, its days 1 to 31 colder and warmer by 0.1 K each."""
    for day in range(1, 32):
        values = np.roll(sea("2008-01"), 4, axis=-1) + 0.1 * (day - 16)
        stamp = f"2008-01-{day:02d}"
        is_early = day in preliminary
        for path in downloads.oisst.glob(f"**/*{stamp.replace('-', '')}*"):
            path.unlink()
        oisst(downloads.oisst, stamp, values, preliminary=is_early)


def test_the_ocean_has_two_products(downloads: Downloads, tmp_path: Path) -> None:
    archive = archive_of(tmp_path, "ocean")
    downloads.co2("2008-12", OCEAN)
    wind = {"si10": as_cds(np.nan_to_num(truth(OCEAN, "sfcWind", "2008-01")))}
    path = downloads.era5 / "monthly" / "a.nc"
    new_layout(path, months("2008-01", 1), wind, **GRID)
    ocean_days(downloads, range(20, 32))
    products = ("era5", "oisst")
    assert downloads.night(archive, *products, day="2008-02-06") == ["2008-01"]
    found = last(archive)
    # The wind is final, the sea is not.
    assert int(found["status"]) == STATUS["preliminary"]
    np.testing.assert_allclose(
        found["sfcWind"], truth(OCEAN, "sfcWind", "2008-01")[0], rtol=1e-6
    )
    # Packed by 0.01 K; the mean of 31 days.
    np.testing.assert_allclose(found["tosforc"], sea("2008-01"), atol=0.006)
    ocean_days(downloads, range(0))
    assert downloads.night(archive, *products, day="2008-02-26") == ["2008-01"]
    assert int(last(archive)["status"]) == STATUS["final"]
    assert last(archive)["source"].item() == (
        "ERA5 final (a.nc); OISST final (oisst-avhrr-v02r01.20080101.nc to "
        "oisst-avhrr-v02r01.20080131.nc); CO2 of co2_mm_gl.csv"
    )


def test_finer_fields_are_averaged_by_area(downloads: Downloads, land: Path) -> None:
    # Rows of 22.5 degrees, two of which make one of 45; columns of 45.
    lat = 78.75 - 22.5 * np.arange(8)
    warm = truth(LAND, "tas", "2008-01")[0]
    values = np.repeat(warm[::-1], 2, axis=0)
    # The northern half of each row is warmer by 1 K, the southern colder by 1 K.
    values += np.where(np.arange(8) % 2 == 0, 1.0, -1.0)[:, None]
    rain = np.full((1, 8, 8), 3e-3)
    fields = {"t2m": np.roll(values, 4, axis=-1)[None], "tp": rain}
    path = downloads.era5 / "monthly" / "a.nc"
    new_layout(path, months("2008-01", 1), fields, lat=lat, lon=GRID["lon"])
    downloads.night(land, "era5", day="2008-04-06")
    # Area goes with the sine of latitude: 0 to 22.5 to 45, 45 to 67.5 to 90 degrees.
    sine = np.sin(np.deg2rad([0, 22.5, 45, 67.5, 90]))
    low, high = (
        (sine[i + 2] - 2 * sine[i + 1] + sine[i]) / (sine[i + 2] - sine[i])
        for i in (0, 2)
    )
    lean = np.array([-high, -low, low, high])[:, None]
    np.testing.assert_allclose(last(land)["tas"], warm + lean, rtol=1e-6)


def test_files_are_made_once(downloads: Downloads, land: Path) -> None:
    path = downloads.month("2008-01", preliminary=True)
    downloads.night(land, "era5", day="2008-02-06")
    made = land.parent / "downloads/land/feed/era5_200801_preliminary.nc"
    before = made.stat().st_ino
    downloads.night(land, "era5", day="2008-02-07")
    assert made.stat().st_ino == before
    state = forcing_archive.snapshot_of(land)
    path.touch()
    assert downloads.night(land, "era5", day="2008-02-08") == []
    assert made.stat().st_ino != before
    # The same numbers make the same file, which is no news.
    assert forcing_archive.snapshot_of(land) == state
    # A list that is damaged is made again.
    (made.parent / "index.json").write_text("{")
    assert downloads.night(land, "era5", day="2008-02-09") == []


def test_months_of_the_prepared_forcing_stay(downloads: Downloads, land: Path) -> None:
    downloads.month("2007-12", preliminary=False, warmer=1.0)
    downloads.month("2008-01", preliminary=False)
    assert downloads.night(land, "era5", day="2008-04-06") == ["2008-01"]
    assert list(feed(land)) == ["era5_200801_final.nc"]
    # Not even when all that arrived is final.
    assert downloads.night(land, "era5", day="2008-04-07") == []
    assert list(feed(land)) == ["era5_200801_final.nc"]


def test_a_refused_month_is_told_and_others_are_taken(
    downloads: Downloads, land: Path
) -> None:
    downloads.month("2008-01", preliminary=False)
    # A field far too warm passes the reader, and fails the gates of every source.
    downloads.month("2008-02", preliminary=False, warmer=300.0)
    (downloads.era5 / "monthly" / "x.nc").write_bytes(b"<html>login")
    with pytest.raises(SourceError) as caught:
        downloads.night(land, "era5", day="2008-06-06")
    said = str(caught.value)
    assert "x.nc is a web page" in said
    assert "era5_200802_final.nc has 'tas' from" in said
    assert str(read(land)["time"].to_numpy()[-1])[:7] == "2008-01"


def test_a_month_that_cannot_be_read_is_told(downloads: Downloads, land: Path) -> None:
    downloads.month("2008-01", preliminary=False)
    path = downloads.month("2008-02", preliminary=False)
    cropped = GRID | {"lat": GRID["lat"][1:]}
    field = {"tp": np.full((1, 3, 8), 1e-3)}
    new_layout(path.with_name("b.nc"), months("2008-02", 1), field, **cropped)
    message = r"2008-02 is not taken: .*b\.nc: 't2m' of 2008-02 is on a grid of 4x8"
    with pytest.raises(SourceError, match=message):
        downloads.night(land, "era5", day="2008-06-06")
    assert str(read(land)["time"].to_numpy()[-1])[:7] == "2008-01"


def test_a_missing_table_is_told(downloads: Downloads, land: Path) -> None:
    downloads.month("2008-01", preliminary=False)
    downloads.table.unlink()
    with pytest.raises(SourceError, match=r"No file .*Get co2_mm_gl.csv"):
        downloads.night(land, "era5", day="2008-06-06")


def test_a_table_must_go_on_with_the_prepared_one(
    downloads: Downloads, land: Path
) -> None:
    downloads.month("2008-01", preliminary=False)
    other = LAND["co2"].sel(time=slice(CO2_SINCE, "2008-12")).to_numpy() + 4
    co2_table(downloads.table, CO2_SINCE, other)
    message = r"has 318 ppm in 2007-12, the last month of the prepared forcing, which"
    with pytest.raises(SourceError, match=message):
        downloads.night(land, "era5", day="2008-06-06")
    co2_table(downloads.table, CO2_SINCE, other - 2)
    assert downloads.night(land, "era5", day="2008-06-06") == ["2008-01"]


def test_an_empty_folder_is_told(downloads: Downloads, land: Path) -> None:
    with pytest.raises(SourceError, match="era5 has no whole month and no whole day"):
        downloads.night(land, "era5", day="2008-06-06")


def test_variables_that_no_product_tells_are_named(
    downloads: Downloads, tmp_path: Path
) -> None:
    archive = archive_of(tmp_path, "ocean")
    message = r"The archive holds tosforc, which no product of the source tells"
    with pytest.raises(SettingsError, match=message):
        downloads.night(archive, "era5", day="2008-06-06")


@pytest.mark.parametrize(("reader", "folder"), [("jra", "x"), ("era5", "")])
def test_products_need_a_reader_and_a_folder(reader: str, folder: str) -> None:
    message = f"one of .*'oisst'.*, and a folder, got '{reader}' and '{folder}'"
    with pytest.raises(SettingsError, match=message):
        ProductSettings(reader, folder)


def test_old_files_serve_as_well(downloads: Downloads, land: Path) -> None:
    fields = {
        "t2m": as_cds(truth(LAND, "tas", "2008-01")),
        "tp": as_cds(np.nan_to_num(truth(LAND, "pr", "2008-01")) * 86.4),
    }
    both = {name: np.repeat(values, 2, axis=0) for name, values in fields.items()}
    path = downloads.era5 / "monthly" / "a.nc"
    late = np.array([False, True])
    old_layout(path, months("2008-01", 2), both, preliminary=late, **GRID)
    products = [ProductSettings("era5", str(downloads.era5))]
    folder = downloads.folder / "feed"
    said = lay_out(products, downloads.table, read(land), folder, folder / "unpacked")
    assert said == []
    names = sorted(path.name for path in folder.glob("*.nc"))
    assert names == ["era5_200801_final.nc", "era5_200802_preliminary.nc"]
    with xr.open_dataset(folder / names[0]) as found:
        # Packed in 60000 steps of the range.
        np.testing.assert_allclose(
            found["tas"], truth(LAND, "tas", "2008-01"), atol=2e-3
        )


def test_nights_go_on_where_prepared_forcing_ends(tmp_path: Path) -> None:
    """What nights add is, to the last bit, what ``prepare`` would have made of it."""
    small.make_files(tmp_path)
    entry = {"reader": "era5", "root": "era5", "files": "**/*", "years": [1998, None]}
    small.declare(tmp_path, small.WEATHER, **entry)
    grid = {"lat": small.GRID.lat[::-1], "lon": np.roll(small.GRID.lon % 360, 6)}
    count = 12 * 7
    fields = {
        "t2m": np.roll(small.forcing("tas")[:, ::-1], 6, axis=-1),
        "tp": np.roll(small.forcing("pr")[:, ::-1], 6, axis=-1) * 86.4,
    }
    new_layout(tmp_path / "era5/monthly/a.nc", months("1998-01", count), fields, **grid)
    annual = 300 + np.repeat(np.arange(15.0), 12)
    table = co2_table(tmp_path / "co2_mm_gl.csv", "1990-01", annual)
    store = prepare_forcing(
        small.forcing_settings(),
        data_root=tmp_path,
        stores_root=tmp_path / "stores",
        catalog_dirs=[tmp_path / "catalog"],
    )
    whole = open_store(store, FORCING_SCHEMA)
    np.testing.assert_allclose(whole["pr"], small.forcing("pr"), rtol=1e-6)
    archive = tmp_path / "land.icechunk"
    seed(archive, store, last=np.datetime64("2003-12", "M"))
    products = [ProductSettings("era5", str(tmp_path / "era5"))]
    now = datetime(2005, 6, 1, tzinfo=UTC)
    changed = collect(products, table, archive, tmp_path / "downloads", now=now)
    assert changed.size == 12
    found = read(archive)
    assert (found["status"] == STATUS["final"]).all()
    for name in ("tas", "pr", "co2"):
        np.testing.assert_array_equal(found[name], whole[name])


def test_a_store_of_hours_is_read_day_by_day(downloads: Downloads, land: Path) -> None:
    place, first = downloads.folder / "arco.zarr", np.datetime64("2008-01-01T00", "h")
    warm = as_cds(truth(LAND, "tas", "2008-01"))
    rain = as_cds(np.nan_to_num(truth(LAND, "pr", "2008-01"))) * 3.6
    hour = np.arange(24 * 32)[:, None, None]
    # 0.1 K warmer each day, around the middle of the month.
    fields = {"t2m": warm + 0.1 * (hour // 24 - 15), "tp": np.repeat(rain, 768, axis=0)}

    def night(day: str, **ends: str) -> list[str]:
        arco(place, fields, first=first, laid_out=24 * 60, **GRID, **ends)
        product = ProductSettings("arco_era5", str(place))
        now = datetime.fromisoformat(day).replace(tzinfo=UTC)
        into = downloads.folder / "downloads"
        found = collect([product], downloads.table, land, into, now=now)
        return [str(month) for month in found]

    # The third day has moments, but the last hour of its rain is of the fourth.
    early = {"stop": "2007-12-31", "stop_era5t": "2008-01-03"}
    assert night("2008-01-09", **early) == ["2008-01"]
    feed = downloads.folder / "downloads" / "feed"
    made = sorted(path.name for path in feed.glob("*.nc"))
    assert made == [f"arcoera5_2008010{day}_daily.nc" for day in (1, 2)]
    assert int(last(land)["days_seen"]) == 2
    # What was read is kept, and taken from there.
    kept = sorted((downloads.folder / "downloads" / "unpacked" / "0").glob("*/*.npy"))
    assert len(kept) == 4
    assert night("2008-01-10", **early) == []
    assert night("2008-05-09", stop="2008-02-01") == ["2008-01"]
    found = last(land)
    assert int(found["status"]) == STATUS["final"]
    for name in ("tas", "pr"):
        expected = truth(LAND, name, "2008-01")[0]
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)
    source = f"ARCO-ERA5 final ({place} 2008-01-01 final to {place} 2008-01-31 final)"
    assert found["source"].item() == f"{source}; CO2 of co2_mm_gl.csv"
