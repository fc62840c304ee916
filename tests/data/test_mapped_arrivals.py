"""Months of another product are mapped before they are archived, all by one map."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import SourceError, StoreError
from emulator.data import forcing_archive
from emulator.data.arrivals import SourceSettings, collect
from emulator.data.mapping.fit import learn, map_store
from emulator.data.mapping.products import open_product
from emulator.data.mapping.store import ForcingMap
from emulator.data.partial import climate_of, complete
from tests.data.centres import TRUTH, Centre
from tests.data.two_products import pair_of, settings, told_otherwise, write_pair

UNTIL = np.datetime64("2008-06", "M")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ForcingMap]:
    """Return an archive that begins with mapped forcing, to be copied, and the map."""
    folder = tmp_path_factory.mktemp("begun")
    paths = write_pair(folder)
    found = pair_of(paths)
    known = learn(settings(), found, found.years)
    store = map_store(open_product(paths[0]), known, folder / "mapped-0.zarr")
    forcing_archive.seed(folder / "land.icechunk", store, last=UNTIL)
    return folder / "land.icechunk", known


@pytest.fixture
def archive(begun: tuple[Path, ForcingMap], tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun[0], tmp_path / "land.icechunk"))


@pytest.fixture
def known(begun: tuple[Path, ForcingMap]) -> ForcingMap:
    return begun[1]


@pytest.fixture
def centre(tmp_path: Path) -> Centre:
    return Centre(tmp_path / "centre")


def night(
    centre: Centre, archive: Path, day: str, mapped_by: ForcingMap | None
) -> list[str]:
    source = SourceSettings(url=str(centre.folder), retries=0)
    downloads = archive.parent / "downloads"
    now = datetime.fromisoformat(day).replace(tzinfo=UTC)
    changed = collect(source, archive, downloads, now=now, mapped_by=mapped_by)
    return [str(month) for month in changed]


def last(archive: Path) -> xr.Dataset:
    return forcing_archive.read(archive).isel(time=-1).load()


def test_an_archive_says_by_which_map(archive: Path, known: ForcingMap) -> None:
    attrs = forcing_archive.read(archive).attrs
    assert json.loads(attrs["mapped_by"])["map"] == known.identity


def test_a_month_is_mapped_before_it_is_archived(
    archive: Path, centre: Centre, known: ForcingMap
) -> None:
    centre.month("2008-07", change=told_otherwise)
    assert night(centre, archive, "2008-08-06", known) == ["2008-07"]
    found, truth = last(archive), TRUTH.sel(time="2008-07-01")
    np.testing.assert_allclose(found["tas"], truth["tas"], atol=1e-4)
    np.testing.assert_allclose(found["pr"], truth["pr"], rtol=1e-5)
    said = found["source"].item()
    assert said.startswith("tiny_200807_final.nc; mapped by other_onto_own ")
    assert f"{known.identity}, beyond its range: pr " in said
    # A second night finds nothing new.
    assert night(centre, archive, "2008-08-07", known) == []


def test_days_are_mapped_by_their_mean_and_then_completed(
    archive: Path, centre: Centre, known: ForcingMap
) -> None:
    centre.days("2008-07", 1, 4, change=told_otherwise)
    assert night(centre, archive, "2008-07-06", known) == ["2008-07"]
    # Days 1 to 4 of 31 lean by -1.5, -1.4, -1.3, -1.2 K.
    seen = TRUTH["tas"].sel(time="2008-07-01").to_numpy() - 1.35
    before = forcing_archive.read(archive)["tas"]
    climate = climate_of(before, np.datetime64("2008-07", "M"))
    expected = complete(seen, np.arange(1, 5), climate)
    np.testing.assert_allclose(last(archive)["tas"], expected, atol=1e-3)
    assert "(4 days); mapped by" in last(archive)["source"].item()


def test_a_month_that_comes_again_is_found_out_under_its_map(
    archive: Path, centre: Centre, known: ForcingMap
) -> None:
    june = told_otherwise(TRUTH[["tas", "pr"]]).sel(time=["2008-06-01"])

    def stale(told: xr.Dataset) -> xr.Dataset:
        again = june.assign_coords(time=told["time"])
        return again.assign(co2=told["co2"])

    centre.month("2008-07", change=stale)
    with pytest.raises(SourceError, match="holds the numbers of 2008-06 once more"):
        night(centre, archive, "2008-08-06", known)
    assert str(last(archive)["time"].to_numpy().astype("M8[M]")) == "2008-06"


def test_months_are_not_mixed(archive: Path, centre: Centre) -> None:
    centre.month("2008-07", change=told_otherwise)
    state = forcing_archive.snapshot_of(archive)
    with pytest.raises(StoreError, match="months would be mixed"):
        night(centre, archive, "2008-08-06", None)
    assert forcing_archive.snapshot_of(archive) == state


def test_a_unit_is_held_against_what_would_be_archived(
    archive: Path, centre: Centre, known: ForcingMap
) -> None:
    # 1.7 times the archive's rain as it comes, 3.4 times once it is mapped.
    def wet(told: xr.Dataset) -> xr.Dataset:
        other = told_otherwise(told)
        return other.assign(pr=(3.4 * other["pr"]).assign_attrs(other["pr"].attrs))

    centre.month("2008-07", change=wet)
    with pytest.raises(SourceError, match="its unit is not"):
        night(centre, archive, "2008-08-06", known)
