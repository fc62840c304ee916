"""Nights at sea that see salinity and mixed-layer depth too, from three products."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.data import forcing_archive
from emulator.data.feeding import ProductSettings, collect
from emulator.data.forcing_archive import STATUS, seed
from emulator.data.stores import write_store
from tests.data.centre_files import co2_table, months, new_layout, oisst
from tests.data.marine_files import MONTHLY, SALINITY, glorys, salinity
from tests.worlds import with_ocean_state

UNTIL = np.datetime64("2007-12", "M")
MONTH = "2008-01"
SEA = with_ocean_state()
LAT, LON = SEA["lat"].to_numpy(), SEA["lon"].to_numpy()
IN_FILE = {"tos": "thetao", "sos": "so", "mlotst": "mlotst"}


def truth(name: str) -> np.ndarray:
    return SEA[name].sel(time=MONTH).to_numpy()


class Downloads:
    """Folders as a user's downloads fill them for an ocean."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        known = SEA["co2"].sel(time=slice("1990-01", "2008-12")).to_numpy()
        self.table = co2_table(folder / "co2_mm_gl.csv", "1990-01", known)
        wind = np.nan_to_num(truth("sfcWind"))[:, ::-1]
        path = folder / "era5" / "monthly" / "a.nc"
        stamps = months(MONTH, 1)
        new_layout(path, stamps, {"si10": wind}, lat=LAT[::-1], lon=LON)
        for day in range(1, 32):
            field = truth("tosforc")[0] + 0.1 * (day - 16)
            oisst(folder / "oisst", f"{MONTH}-{day:02d}", field, lat=LAT, lon=LON)

    def state(self, edition: str, *, fresher: float = 0.0) -> None:
        """Write the month of an edition of GLORYS12, its water fresher or not."""
        dataset = MONTHLY.format(part="", edition=edition)
        fields = {IN_FILE[name]: truth(name) for name in IN_FILE}
        fields["so"] = fields["so"] - fresher
        path = self.folder / "glorys" / dataset / f"{MONTH}.nc"
        glorys(path, MONTH, fields, lat=LAT, lon=LON)

    def night(self, archive: Path, *readers: str, day: str) -> list[str]:
        products = [ProductSettings(one, str(self.folder / one)) for one in readers]
        now = datetime.fromisoformat(day).replace(tzinfo=UTC)
        into = self.folder / "downloads"
        changed = collect(products, self.table, archive, into, now=now)
        return [str(month) for month in changed]


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return Downloads(tmp_path)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "ocean.icechunk"
    seed(path, write_store(SEA, tmp_path / "sea.zarr"), last=UNTIL)
    return path


def last(archive: Path) -> xr.Dataset:
    return forcing_archive.read(archive).isel(time=-1).load()


def test_a_month_of_the_state_of_the_sea_becomes_final(
    downloads: Downloads, archive: Path
) -> None:
    readers = ("era5", "glorys", "oisst")
    downloads.state("anfc", fresher=0.5)
    assert downloads.night(archive, *readers, day="2008-02-20") == [MONTH]
    found = last(archive)
    assert int(found["status"]) == STATUS["preliminary"]
    np.testing.assert_allclose(found["sos"], truth("sos")[0] - 0.5, atol=1e-4)
    assert downloads.night(archive, *readers, day="2008-02-21") == []

    downloads.state("my")
    assert downloads.night(archive, *readers, day="2008-09-01") == [MONTH]
    found = last(archive)
    assert int(found["status"]) == STATUS["final"]
    # Packed in 60000 steps of the range, OISST by 0.01 K.
    for name, off in (("tos", 1e-3), ("sos", 1e-4), ("mlotst", 2e-3)):
        np.testing.assert_allclose(found[name], truth(name)[0], atol=off)
    for name, off in (("tosforc", 6e-3), ("siconc", 1e-6), ("sfcWind", 1e-5)):
        np.testing.assert_allclose(found[name], truth(name)[0], atol=off)
    source = found["source"].item()
    assert "GLORYS12 final (2008-01.nc); OISST final (" in source


def test_salinity_may_be_that_of_observations(
    downloads: Downloads, archive: Path
) -> None:
    downloads.state("my")
    dataset = SALINITY.format(edition="my")
    path = downloads.folder / "multiobs_salinity" / f"{dataset}.nc"
    salinity(path, MONTH, truth("sos") + 1, lat=LAT, lon=LON)
    # Of two products that tell a variable the first counts.
    readers = ("era5", "multiobs_salinity", "glorys", "oisst")
    assert downloads.night(archive, *readers, day="2008-09-01") == [MONTH]
    found = last(archive)
    np.testing.assert_allclose(found["sos"], truth("sos")[0] + 1, rtol=1e-6)
    np.testing.assert_allclose(found["mlotst"], truth("mlotst")[0], atol=2e-3)


def test_a_month_waits_for_all_of_its_products(
    downloads: Downloads, archive: Path
) -> None:
    downloads.state("myint")
    for path in (downloads.folder / "oisst").glob("**/*20080131*"):
        path.unlink()
    readers = ("era5", "glorys", "oisst")
    assert downloads.night(archive, *readers, day="2008-02-20") == []
