"""Nights that collect the feed end with the weather that the teachers saw."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.timeaxis import as_months
from emulator.data import arrivals, forcing_archive
from emulator.data.arrivals import SourceSettings
from emulator.data.forcing_archive import STATUS
from emulator.data.prepare import ForcingSettings, prepare_forcing
from emulator.data.testbed import feed

SEEDED_TO = np.datetime64("1863-12", "M")

NIGHTS = (
    # day, months that change: found by counting latencies of 1, 5 and 65 days.
    (date(1864, 1, 20), ["1864-01"]),  # 18 days
    (date(1864, 1, 20), []),
    (date(1864, 2, 3), ["1864-01", "1864-02"]),  # 31 days, so preliminary; one day
    # January is told as a month, which is the mean of its days but for rounding.
    (date(1864, 2, 7), ["1864-02"]),
    (date(1864, 4, 10), ["1864-01", "1864-02", "1864-03", "1864-04"]),  # one is final
    (date(1866, 6, 1), None),  # all is final, long after
)


@pytest.mark.parametrize(
    "domain", ["land", pytest.param("ocean", marks=pytest.mark.slow)]
)
def test_after_the_last_night_all_is_as_prepared(
    files_root: Path, tmp_path: Path, domain: str
) -> None:
    settings = ForcingSettings(
        name="weather",
        domain=domain,
        forcing=[f"testbed_{domain}_forcing"],
        forcing_variables=list(feed.VARIABLES[domain]),
        co2="co2_testbed",
        static=["testbed_static"],
        static_variables=["land_fraction"],
    )
    testbed = files_root / "testbed"
    store = prepare_forcing(
        settings,
        data_root=files_root,
        stores_root=tmp_path / "stores",
        catalog_dirs=[testbed / "catalog"],
    )
    archive = tmp_path / f"{domain}.icechunk"
    forcing_archive.seed(archive, store, last=SEEDED_TO)
    for day, expected in NIGHTS:
        folder = feed.publish(
            testbed, tmp_path / "feed", domain=domain, as_of=day, first=SEEDED_TO + 1
        )
        changed = arrivals.collect(
            SourceSettings(url=str(folder)),
            archive,
            tmp_path / "downloads",
            now=datetime(day.year, day.month, day.day, 3, tzinfo=UTC),
        )
        if expected is not None:
            assert set(expected) <= {str(month) for month in changed}
            assert expected or not changed.size
            newest = forcing_archive.read(archive).isel(time=-1)
            assert newest["status"] == STATUS["partial"]
    found, wanted = forcing_archive.read(archive), xr.open_zarr(store)
    assert (found["status"] == STATUS["final"]).all()
    np.testing.assert_array_equal(found["time"], wanted["time"])
    for name in (*feed.VARIABLES[domain], "co2"):
        np.testing.assert_array_equal(found[name], wanted[name])
    assert found.attrs["evidence"] == "testbed"
    # Who was preliminary once, was revised once; the rest arrived final.
    months = as_months(found["time"].to_numpy())
    revised = months[found["revision"].to_numpy() > 0]
    assert [str(month) for month in revised][-2:] == ["1864-02", "1864-03"]


def test_preliminary_numbers_differ_from_final_ones(
    files_root: Path, tmp_path: Path
) -> None:
    def told(day: date) -> xr.Dataset:
        folder = feed.publish(
            files_root / "testbed",
            tmp_path / str(day),
            domain="land",
            as_of=day,
            first=SEEDED_TO + 1,
        )
        with xr.open_dataset(sorted(folder.glob("*_186401_*.nc"))[0]) as opened:
            return opened.load()

    change = told(date(1864, 4, 10))["tas"] - told(date(1864, 2, 10))["tas"]
    # The other product errs by half a kelvin.
    assert 0.2 < float(change.std()) < 1.0
