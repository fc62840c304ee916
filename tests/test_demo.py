"""The demo as it is shipped: complete, and its networks better than the baselines."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from emulator.nightly.journal import read_log

TRANSIENT = {"land": "S2", "ocean": "A"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the demo once, with all its defaults, and return its folder."""
    folder = tmp_path_factory.mktemp("demo")
    # A process of its own, as from a shell.
    known = {name: text for name, text in os.environ.items() if name != "SINK_CATALOG"}
    done = subprocess.run(
        [sys.executable, "-m", "emulator.cli", "demo"],
        cwd=folder,
        env=known,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "demo"


def record(demo: Path, domain: str) -> dict[str, Any]:
    """Return the scores of the mean of teachers in the transient simulation."""
    (path,) = demo.glob(f"{domain}-*/scorecard.json")
    card = json.loads(path.read_text())
    assert card["evidence"] == "testbed"
    return next(
        found
        for found in card["records"]
        if found["teacher"] == "mean of teachers"
        and found["simulation"] == TRANSIENT[domain]
        and found["scope"] == "all"
    )


@pytest.mark.slow
@pytest.mark.parametrize("domain", list(TRANSIENT))
@pytest.mark.parametrize("baseline", ["climatology", "trend", "ridge"])
def test_network_beats_baseline(demo: Path, domain: str, baseline: str) -> None:
    methods = record(demo, domain)["methods"]
    network, other = methods["network"], methods[baseline]
    assert (
        network["cells"]["anomaly_r2"]["value"] > other["cells"]["anomaly_r2"]["value"]
    )
    assert network["annual"]["rmse"]["value"] < other["annual"]["rmse"]["value"]


@pytest.mark.slow
def test_map_and_figures_are_there(demo: Path) -> None:
    sink = xr.open_zarr(demo / "sink.zarr")
    assert sink.attrs["evidence"] == "testbed"
    assert sink.sizes["land_teacher"] == 6
    assert sink.sizes["ocean_teacher"] == 4
    # A year after the teachers end, which only the emulators know.
    last = sink["budget_year"].sel(region="globe", year=2025)
    assert (last > 0).all()
    assert (demo / "sink.nc").is_file()
    for domain in TRANSIENT:
        (run,) = demo.glob(f"{domain}-*")
        assert (run / "scorecard.md").is_file()
        assert list((run / "figures").glob("*.png"))


@pytest.mark.slow
def test_nights_end_with_one_without_news(demo: Path) -> None:
    root = demo / "nightly"
    said = [line["said"] for line in read_log(root) if line["event"] == "done"]
    assert len(said) == 4
    assert said[-1] == "nothing new"
    assert (root / "page" / "index.html").is_file()
    night = xr.open_zarr(root / "sink.zarr")
    # July was preliminary, then final; of October a week is known.
    assert night["status"].sel(time="2025-07").values.item() == 0
    assert night["revision"].sel(time="2025-07").values.item() == 1
    assert night["status"].sel(time="2025-10").values.item() == 2
