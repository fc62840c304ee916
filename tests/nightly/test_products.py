"""Nights as ``conf/nightly/era5.yaml`` states them, on generated ERA5 and OISST files.

From preliminary months and single days to final ones, in the layouts of the Climate
Data Store of before and after September 2024, and in GRIB.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import emulator
from emulator.carbon.errors import SettingsError
from emulator.cli import composing
from emulator.data import forcing_archive
from emulator.data.feeding import ProductSettings
from emulator.nightly import mirror, night
from emulator.nightly.incoming import archive_of
from emulator.nightly.journal import Outcome
from emulator.nightly.night_settings import NightSource
from emulator.nightly.page import words
from tests.data.centre_files import (
    co2_table,
    hours,
    months,
    new_layout,
    oisst,
    old_layout,
    zipped,
)
from tests.data.grib_files import grib
from tests.worlds import tiny_forcing, tiny_forcing_store

from .deployments import UNTIL, Deployment, deployment, trained

LAND, OCEAN = tiny_forcing("land"), tiny_forcing("ocean")
LAT = LAND["lat"].to_numpy()[::-1]
LON = np.roll(LAND["lon"].to_numpy() % 360, 4)
FINAL, PRELIMINARY, PARTIAL = 0, 1, 2


def world(month: str) -> dict[str, np.ndarray]:
    """Return the tiny world's weather as ERA5 would tell it; shape (1, lat, lon)."""
    land, ocean = (forcing.sel(time=month) for forcing in (LAND, OCEAN))
    fields = {
        "t2m": land["tas"],
        "tp": land["pr"].fillna(0.0) * 86400 / 1000,
        "si10": ocean["sfcWind"].fillna(0.0),
    }
    return {name: turned(field.to_numpy()) for name, field in fields.items()}


def turned(field: np.ndarray) -> np.ndarray:
    """Return a field with north first and Greenwich at its left."""
    return np.roll(field[..., ::-1, :], 4, axis=-1)


class Centres:
    """The folders that ``conf/nightly/era5.yaml`` names."""

    def __init__(self, data: Path) -> None:
        self.era5, self.oisst = data / "era5", data / "oisst"
        self.tables = data / "tables"

    def month(self, month: str, *, preliminary: bool) -> None:
        """Tell a month in a zip of two files, 1 K too warm until it is final."""
        fields = world(month)
        fields["t2m"] = fields["t2m"] + np.float32(preliminary)
        parts = [
            new_layout(
                self.era5 / "monthly" / f"data_stream-moda_stepType-{kind}.nc",
                months(month, 1),
                {name: fields[name] for name in names},
                preliminary=preliminary,
                lat=LAT,
                lon=LON,
            )
            for kind, names in (("avgua", ["t2m", "si10"]), ("avgad", ["tp"]))
        ]
        zipped(self.era5 / "monthly" / f"{month}.zip", *parts)

    def grib_month(self, month: str) -> None:
        """Tell a month in GRIB, final; the forecast of its rain began before it."""
        path, steps = self.era5 / "monthly" / f"{month}.grib", {"tp": (0, 6)}
        when, grid = months(month, 1), {"lat": LAT, "lon": LON}
        grib(path, when, world(month), steps=steps, stream="moda", **grid)

    def old_months(self, first: str, last: str) -> None:
        """Tell two months in one file of the old layout, the second preliminary."""
        fields = {
            name: np.concatenate([values, world(last)[name]])
            for name, values in world(first).items()
        }
        late = np.array([False, True])
        path = self.era5 / "monthly" / "old.nc"
        old_layout(path, months(first, 2), fields, preliminary=late, lat=LAT, lon=LON)

    def days(self, month: str, count: int) -> None:
        """Tell the first days of a month by their hours; the wind turns round.

        No two days are alike, which would be refused.
        """
        fields = world(month)
        for day in range(1, count + 1):
            stamps = hours(f"{month}-{day:02d}T00", 25)
            turn = np.arange(25)[:, None, None] * np.pi / 2
            wind = fields["si10"] * (1 + 0.01 * day)
            told = {
                "t2m": np.repeat(fields["t2m"], 25, axis=0) + np.float32(0.1 * day),
                "tp": np.repeat(fields["tp"] / 24, 25, axis=0),
                "u10": wind * np.cos(turn),
                "v10": wind * np.sin(turn),
            }
            path = self.era5 / "hourly" / f"{month}-{day:02d}.nc"
            new_layout(path, stamps, told, preliminary=True, lat=LAT, lon=LON)

    def sea(self, month: str, count: int, *, preliminary: bool) -> None:
        """Tell days of a month at sea, all alike; final ones beside preliminary."""
        field = OCEAN["tosforc"].sel(time=month).to_numpy()[0]
        for day in range(1, count + 1):
            stamp = f"{month}-{day:02d}"
            sst = np.roll(field, 4, axis=-1)
            oisst(self.oisst, stamp, sst, preliminary=preliminary)

    def co2(self, last: str) -> None:
        """Let the records end with a month; land and sea of the tiny world differ."""
        for name, forcing in (("co2_mm_gl", LAND), ("sea", OCEAN)):
            known = forcing["co2"].sel(time=slice(None, last)).to_numpy()
            co2_table(self.tables / f"{name}.csv", "1990-01", known)


@pytest.fixture(scope="module")
def runs(
    land_store: Path, ocean_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    stores = {"land": land_store, "ocean": ocean_store}
    return trained(stores, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def centres(tmp_path: Path) -> Iterator[Centres]:
    found = Centres(tmp_path / "data")
    found.co2("2008-12")
    return found


class Nights:
    """A deployment that is run by the settings of ``nightly=era5``."""

    def __init__(self, folder: Path, runs: dict[str, Path]) -> None:
        self.root = folder / "nightly"
        self.settings = ["nightly=era5", f"paths.data={folder / 'data'}"]
        sea = folder / "data" / "tables" / "sea.csv"
        self.settings += [f"ocean_source.co2_table={sea}"]
        self.settings += [f"root={self.root}", f"until={UNTIL}", "completions=2"]
        for domain, run in runs.items():
            store = tiny_forcing_store(folder, domain)
            self.settings += [f"{domain}={run}", f"{domain}_forcing={store}"]
            # Networks that learned nothing are no measure of what is plausible.
            self.settings += [f"sanity.{domain}=[-100,100]"]

    def run(self, day: str, *changes: str) -> Outcome:
        given = [*self.settings, f"now={day}T03:00", *changes]
        return night.run(composing.settings_of("nightly", given))

    def status(self) -> list[int]:
        found = emulator.open_sink(self.root)
        return found["status"].sel(time=slice("2008-11", None)).to_numpy().tolist()


def test_nights_on_products_from_days_to_final(
    centres: Centres,
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(night, "extras", lambda *_: mirror.nothing)
    nights = Nights(tmp_path, runs)
    centres.month("2008-11", preliminary=True)
    centres.sea("2008-11", 30, preliminary=True)
    centres.days("2008-12", 3)
    centres.sea("2008-12", 4, preliminary=True)
    assert nights.run("2008-12-09").changed
    assert nights.status() == [PRELIMINARY, PARTIAL]
    coverage = emulator.open_sink(nights.root)["coverage"].to_numpy()
    assert coverage[-1] == pytest.approx(3 / 31)
    assert not nights.run("2008-12-09").changed
    # The same month in the old layout, final; the next one, still preliminary.
    centres.old_months("2008-11", "2008-12")
    centres.sea("2008-11", 30, preliminary=False)
    centres.sea("2008-12", 31, preliminary=True)
    assert nights.run("2009-01-09").changed
    assert nights.status() == [FINAL, PRELIMINARY]
    centres.grib_month("2008-12")
    centres.sea("2008-12", 31, preliminary=False)
    monkeypatch.undo()
    assert nights.run("2009-03-09").changed
    assert nights.status() == [FINAL, FINAL]
    assert not nights.run("2009-03-10").changed

    # The archives hold what the files were made from.
    for domain, truth in (("land", LAND), ("ocean", OCEAN)):
        found = forcing_archive.read(archive_of(nights.root, domain))
        names = [str(name) for name, one in found.items() if one.ndim == 3]
        for name in (*names, "co2"):
            expected = truth[name].sel(time=slice("2008-11", "2008-12"))
            told = found[name].sel(time=slice("2008-11", "2008-12"))
            # The old layout is packed in 60000 steps of the range, OISST by 0.01 K.
            off = {"tosforc": 6e-3, "pr": 1e-8}.get(name, 2e-3)
            np.testing.assert_allclose(told, expected, rtol=1e-5, atol=off)
        assert "ERA5 final (" in found["source"].to_numpy()[-1]
    # The map is that of nights to which the same months came otherwise.
    same = by_hand(tmp_path / "by_hand", runs)
    for name in ("nbp", "fgco2"):
        one, other = (
            emulator.open_sink(root)[name].sel(time=slice("2008-11", None)).to_numpy()
            for root in (nights.root, same.root)
        )
        size = np.nanmax(np.abs(other))
        np.testing.assert_allclose(one, other, atol=1e-3 * size)
    # Whatever the files, the networks are of the testbed, and the page says so, and
    # that what it shows was generated.
    page = (nights.root / "page" / "index.html").read_text()
    assert f"Evidence: testbed.</strong> {words.caution('testbed')}" in page
    assert "What went in was generated" in page


def by_hand(folder: Path, runs: dict[str, Path]) -> Deployment:
    folder.mkdir()
    made = deployment(folder, runs)
    made.offer("2008-11")
    made.offer("2008-12")
    made.night("2009-03-09")
    return made


def test_a_source_is_one_of_two(tmp_path: Path) -> None:
    products = {"era5": ProductSettings("era5", str(tmp_path))}
    with pytest.raises(SettingsError, match=r"A source is a url, or products and a"):
        NightSource(products=products)
    with pytest.raises(SettingsError, match=r"products \['era5'\]"):
        NightSource(products=products, co2_table="co2.csv", url="folder")


def test_a_product_is_replaced_by_name() -> None:
    given = ["nightly=era5", "land_source.products.era5.reader=era5_land"]
    settings = composing.settings_of("nightly", given)
    assert settings.land_source.products["era5"].reader == "era5_land"
    assert settings.ocean_source.products["era5"].reader == "era5"
