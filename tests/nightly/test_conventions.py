"""What other people's tools make of the files: CF checker, CDO."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from compliance_checker.runner import CheckSuite, ComplianceChecker

from emulator.nightly import publish
from emulator.nightly.sinkmap import assemble

from .synthetic import prediction, with_intervals


@pytest.fixture(scope="module")
def sink_nc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    ocean = prediction("ocean", step=22.5, last="2002-03", seed=1)
    land = with_intervals(prediction("land"), reach=12, half=1e-8)
    sink_map = assemble(land, ocean, map_grid=10)
    return publish.write(sink_map, tmp_path_factory.mktemp("map")).with_name("sink.nc")


def test_cf_checker_finds_nothing(sink_nc: Path, tmp_path: Path) -> None:
    CheckSuite.load_all_available_checkers()
    report = tmp_path / "report.txt"
    passed, errors = ComplianceChecker.run_checker(
        str(sink_nc), ["cf:1.11"], 0, "normal", output_filename=str(report)
    )
    assert passed, report.read_text()
    assert not errors


def cdo(*arguments: str) -> list[float]:
    """Return the numbers that CDO prints."""
    if shutil.which("cdo") is None:
        pytest.skip("CDO is not installed: apt-get install cdo")
    done = subprocess.run(
        ["cdo", "-s", *arguments], check=True, capture_output=True, text=True
    )
    return [float(word) for word in done.stdout.split()]


@pytest.mark.parametrize(
    ("flux", "fraction"), [("nbp", "land_fraction"), ("fgco2", "sea_fraction")]
)
def test_cdo_finds_the_same_totals(sink_nc: Path, flux: str, fraction: str) -> None:
    amount = ["-mul", f"-selname,{flux}_mean", str(sink_nc)]
    area = ["-mul", f"-selname,{fraction}", str(sink_nc), "-gridarea"]
    per_year = 365.2425 * 86400 / 1e12
    totals = cdo(
        "outputf,%.10e,1", f"-mulc,{per_year}", "-fldsum",
        *amount, *area, f"-selname,{fraction}", str(sink_nc),
    )  # fmt: skip
    with xr.open_dataset(sink_nc) as sink:
        index = sink["flux_name"].to_numpy().tolist().index(flux)
        stated = sink["budget_month"].isel(flux=index, region=0).to_numpy()
    has_flux = np.isfinite(stated)
    assert has_flux.any()
    # CDO sums the same float32 map, in its own order.
    np.testing.assert_allclose(
        np.array(totals)[has_flux], stated[has_flux], rtol=1e-5, atol=1e-5
    )


def test_cdo_reads_the_stated_budget(sink_nc: Path) -> None:
    months = cdo("outputf,%.10e,1", "-selname,budget_month", str(sink_nc))
    with xr.open_dataset(sink_nc) as sink:
        stated = sink["budget_month"].to_numpy()
    found = np.reshape(months, stated.shape)
    known = np.isfinite(stated)
    np.testing.assert_allclose(found[known], stated[known], rtol=1e-6)
