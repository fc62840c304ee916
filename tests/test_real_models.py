"""The experiments on real models, in a short form: the path, not the scores."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator import cli

DEFAULT = Path(__file__).parents[2] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
SHORT = (
    "learning.steps=40",
    "learning.validate_every=40",
    "learning.warmup_steps=10",
    "learning.members=1",
    "learning.refit=false",
)
EVIDENCE = "real teacher, simulated forcing"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
    ),
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SINK_DATA", str(SHARED.resolve()))
    monkeypatch.delenv("SINK_CATALOG", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("experiment", "domain", "flux"),
    [
        ("lpjwsl", "land", "nbp"),
        ("ocean_real", "ocean", "fgco2"),
        ("ocean_real_surface", "ocean", "fgco2"),
    ],
)
def test_experiment_runs_from_files_to_map(
    here: Path, experiment: str, domain: str, flux: str
) -> None:
    assert cli.main(["train", f"experiment={experiment}", *SHORT]) == 0
    (run,) = (here / "runs").glob(f"{experiment}-*")
    few = "baselines.names=[climatology,trend]"
    assert cli.main(["evaluate", f"run={run}", few]) == 0
    card = json.loads((run / "scorecard.json").read_text())
    assert card["evidence"] == EVIDENCE
    assert card["domain"] == domain
    assert cli.main(["predict", f"{domain}={run}", "out=maps"]) == 0
    sink = xr.open_zarr(here / "maps" / "sink.zarr")
    assert sink.attrs["evidence"] == EVIDENCE
    assert np.isfinite(sink["budget_year"].sel(flux=flux, region="globe")).any()
