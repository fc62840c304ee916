"""Nights as ``conf/nightly/era5_glorys.yaml`` states them, on generated files.

A network that learned from salinity and mixed-layer depth answers for a month of which
an analysis tells them, and again when the reanalysis does.
"""

from pathlib import Path

import numpy as np
import pytest

import emulator
from emulator.cli import composing
from emulator.data.stores import write_store
from emulator.learning.fit import train
from emulator.nightly import mirror, night
from emulator.nightly.journal import Outcome
from tests.data.centre_files import co2_table, months, new_layout, oisst
from tests.data.marine_files import MONTHLY, glorys
from tests.learning.runs import small_gru, tiny_data, tiny_settings
from tests.worlds import tiny_world, with_ocean_state

MONTH = "2008-11"
"""The month after the forcing that the deployment begins with."""

SEEN = ["tosforc", "sfcWind", "sos", "mlotst"]
FINAL, PRELIMINARY = 0, 1
SEA = with_ocean_state()[[*SEEN, "co2", "co2_normal", "area", "sea_fraction"]]
LAT, LON = SEA["lat"].to_numpy(), SEA["lon"].to_numpy()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Train a network, hardly, that sees the state of the sea."""
    world = tiny_world("ocean")
    whole = with_ocean_state()
    for name in ("sos", "mlotst"):
        weather = whole[name].to_numpy()
        season = np.stack([weather[month::12].mean(axis=0) for month in range(12)])
        dims, attrs = ("weather_time", "lat", "lon"), whole[name].attrs
        world[name] = dims, np.concatenate([weather, season]), attrs
    store = write_store(world, tmp_path / "world.zarr")
    data = tiny_data("ocean", forcing_variables=SEEN)
    settings = tiny_settings(small_gru(memory=2), data=data, steps=2, validate_every=2)
    return train(settings, store, tmp_path / "runs")


class Deployment:
    """A deployment of the ocean alone, and the folders of its products."""

    def __init__(self, folder: Path, run: Path) -> None:
        self.data, self.root = folder / "data", folder / "nightly"
        forcing = with_ocean_state().drop_vars(["tos", "siconc"])
        store = write_store(forcing, folder / "forcing.zarr")
        self.settings = [
            *("nightly=era5_glorys", f"paths.data={self.data}", f"root={self.root}"),
            *("land=null", f"ocean={run}", f"ocean_forcing={store}"),
            *("until=2008-10", "completions=2", "sanity.ocean=[-100,100]"),
        ]
        known = SEA["co2"].to_numpy()
        co2_table(self.data / "tables" / "co2_mm_gl.csv", "1990-01", known)
        now = SEA.sel(time=MONTH)
        wind = np.nan_to_num(now["sfcWind"].to_numpy())[:, ::-1]
        path = self.data / "era5" / "monthly" / "a.nc"
        new_layout(path, months(MONTH, 1), {"si10": wind}, lat=LAT[::-1], lon=LON)
        for day in range(1, 31):
            field = now["tosforc"].to_numpy()[0]
            oisst(self.data / "oisst", f"{MONTH}-{day:02d}", field, lat=LAT, lon=LON)

    def state(self, edition: str, *, deeper: float = 0.0) -> None:
        """Write the month of an edition; its mixed layer is deeper than it was."""
        now = SEA.sel(time=MONTH)
        fields = {"so": now["sos"].to_numpy(), "mlotst": now["mlotst"].to_numpy()}
        fields["mlotst"] = fields["mlotst"] + deeper
        dataset = MONTHLY.format(part="", edition=edition)
        path = self.data / "glorys" / dataset / f"{MONTH}.nc"
        glorys(path, MONTH, fields, lat=LAT, lon=LON)

    def night(self, day: str) -> Outcome:
        given = [*self.settings, f"now={day}T03:00"]
        return night.run(composing.settings_of("nightly", given))

    def told(self) -> tuple[int, np.ndarray]:
        """Return the status of the month and the flux of the first teacher."""
        found = emulator.open_sink(self.root).sel(time=MONTH)
        return int(found["status"][0]), found["fgco2"].to_numpy()[0, 0]


def test_nights_on_the_state_of_the_sea(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(night, "extras", lambda *_: mirror.nothing)
    deployment = Deployment(tmp_path, run)
    deployment.state("anfc", deeper=50.0)
    assert deployment.night("2008-12-20").changed
    status, early = deployment.told()
    assert status == PRELIMINARY
    assert not deployment.night("2008-12-21").changed

    deployment.state("my")
    assert deployment.night("2009-07-01").changed
    status, late = deployment.told()
    assert status == FINAL
    # What the run says of the same month from the forcing the files were made from.
    expected = emulator.open_run(run).predict(with_ocean_state())
    same = expected["fgco2"].sel(time=MONTH).to_numpy()[0, 0]
    there = np.isfinite(same)
    size = np.abs(same[there]).max()
    np.testing.assert_allclose(late[there], same[there], atol=1e-3 * size)
    # A mixed layer that is deeper by 50 m is another flux: the network saw it.
    assert np.abs(early - late)[there].max() > 1e-2 * size
