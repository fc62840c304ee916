"""Nights on another product than that of the teachers: mapped, or refused."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import StoreError
from emulator.data import forcing_archive
from emulator.data.feeding import ProductSettings
from emulator.data.mapping.fit import learn, map_store
from emulator.data.mapping.products import open_product
from emulator.data.mapping.report import keep, shift_report
from emulator.nightly.incoming import archive_of, from_sources, gather
from emulator.nightly.journal import Journal
from emulator.nightly.night_settings import NightSettings, NightSource
from tests.data.centre_files import co2_table, months, new_layout
from tests.data.centres import TRUTH, Centre
from tests.data.two_products import (
    WARM,
    pair_of,
    settings,
    told_otherwise,
    write_pair,
)

UNTIL = "2008-06"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Return the store of the product, the same mapped, and the map."""
    folder = tmp_path_factory.mktemp("known")
    paths = write_pair(folder)
    found = pair_of(paths)
    by = learn(settings(), found, found.years)
    kept = keep(folder / "map", by, shift_report(settings(), found))
    return paths[0], map_store(open_product(paths[0]), by, folder / "m-0.zarr"), kept


def night(root: Path, store: Path, source: NightSource) -> list[str]:
    """Bring the forcing of a deployment up to August; return what failed."""
    made = NightSettings(
        root=str(root),
        land="any",
        ocean=None,
        land_forcing=str(store),
        land_source=source,
        until=UNTIL,
    )
    now = datetime(2008, 8, 6, tzinfo=UTC)
    journal = Journal(root, "a night")
    return gather(made, root, from_sources(made), now, journal)


def test_a_night_maps_what_a_centre_offers(
    known: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    _, mapped, by = known
    centre = Centre(tmp_path / "centre")
    centre.month("2008-07", change=told_otherwise)
    source = NightSource(url=str(centre.folder), mapped_by=str(by))
    root = tmp_path / "nightly"
    assert night(root, mapped, source) == []
    found = forcing_archive.read(archive_of(root, "land")).isel(time=-1)
    truth = TRUTH.sel(time="2008-07-01")
    np.testing.assert_allclose(found["tas"], truth["tas"], atol=1e-4)


def test_a_night_maps_what_products_tell(
    known: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    _, mapped, by = known
    truth = TRUTH.sel(time=["2008-07-01"])
    # As the Climate Data Store has it: north first, from Greenwich, rain per day in m.
    as_cds = {
        "t2m": truth["tas"].to_numpy() + WARM,
        "tp": np.nan_to_num(truth["pr"].to_numpy()) * 0.5 * 86400 / 1000,
    }
    as_cds = {n: np.roll(v[..., ::-1, :], 4, axis=-1) for n, v in as_cds.items()}
    new_layout(
        tmp_path / "era5" / "monthly" / "2008-07.nc",
        months("2008-07", 1),
        as_cds,
        preliminary=False,
        lat=TRUTH["lat"].to_numpy()[::-1],
        lon=np.roll(TRUTH["lon"].to_numpy() % 360, 4),
    )
    co2 = TRUTH["co2"].sel(time=slice("1990-01", "2008-12")).to_numpy()
    co2_table(tmp_path / "co2_mm_gl.csv", "1990-01", co2)
    source = NightSource(
        products={"era5": ProductSettings("era5", str(tmp_path / "era5"))},
        co2_table=str(tmp_path / "co2_mm_gl.csv"),
        mapped_by=str(by),
    )
    root = tmp_path / "nightly"
    assert night(root, mapped, source) == []
    found = forcing_archive.read(archive_of(root, "land")).isel(time=-1)
    np.testing.assert_allclose(found["tas"], truth["tas"][0], atol=1e-4)
    np.testing.assert_allclose(found["pr"], truth["pr"][0], rtol=1e-5)
    assert "ERA5 final (2008-07.nc)" in found["source"].item()
    assert "mapped by other_onto_own" in found["source"].item()


@pytest.mark.parametrize("is_mapped", [True, False])
def test_an_archive_that_could_not_go_on_is_not_begun(
    known: tuple[Path, Path, Path], tmp_path: Path, is_mapped: bool
) -> None:
    product, mapped, by = known
    centre = Centre(tmp_path / "centre")
    source = NightSource(url=str(centre.folder), mapped_by="" if is_mapped else str(by))
    root = tmp_path / "nightly"
    with pytest.raises(StoreError, match="months would be mixed"):
        night(root, mapped if is_mapped else product, source)
    assert not archive_of(root, "land").exists()


def test_without_a_source_nothing_is_mixed(
    known: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    root = tmp_path / "nightly"
    assert night(root, known[1], NightSource()) == []
    assert archive_of(root, "land").exists()
