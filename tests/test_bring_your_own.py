"""docs/bring-your-own.md, executed as it stands on generated files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests import own_files

DOCUMENT = Path(__file__).parents[1] / "docs" / "bring-your-own.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)


def blocks(language: str) -> list[str]:
    found = BLOCK.findall(DOCUMENT.read_text("utf-8"))
    return [text for said, text in found if said == language]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Execute the page in an empty folder; the folder, and what was printed."""
    work = tmp_path_factory.mktemp("work")
    own_files.write_all(work / "files")
    for text in blocks("yaml"):
        path = work / text.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    commands = tmp_path_factory.mktemp("bin")
    program = commands / "sink-emulator"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m emulator.cli "$@"\n')
    program.chmod(0o755)
    usual = {k: v for k, v in os.environ.items() if not k.startswith("SINK_")}
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks("sh"))],
        cwd=work,
        env=usual | {"PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert ran.stderr == ""
    return work, ran.stdout


def test_every_yaml_block_says_its_file() -> None:
    for text in blocks("yaml"):
        assert re.match(r"# my(catalog|conf/\w+)/[\w.]+\.yaml\n", text)


@pytest.mark.slow
def test_the_check_passes_over_what_is_not_there(done: tuple[Path, str]) -> None:
    _, said = done
    rows = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    for model in ("cable_pop", "visit_ut", "dlem", "mymodel"):
        assert rows[f"trendy_v14.{model}"].endswith("usable")
    assert rows["trendy_v14.clm"].endswith("no file")
    assert rows["my_gobm.fesom"].endswith("usable")
    assert "S2 beside Global Carbon Budget 2024 v1.0, column 'CABLE-POP'" in said
    assert "Global Carbon Budget 2024 v1.0 has no column of 'MyModel'." in said
    assert "sign right by its slope on gpp - ra - rh - fFire - fLuc" in said


@pytest.mark.slow
def test_stores_hold_what_the_files_say(done: tuple[Path, str]) -> None:
    work, _ = done
    (store,) = (work / "stores").glob("mine_land-*.zarr")
    land = xr.open_zarr(store)
    assert list(land["teacher"].values) == ["CABLE-POP", "VISIT-UT", "DLEM", "MyModel"]
    summer = land["nbp"].sel(simulation="S2", time="2010-07-01")
    months = own_files.months(own_files.TRENDY)
    july = int(np.argmin(np.abs(months - (2010 + 6 / 12))))
    for teacher, strength in (
        ("CABLE-POP", 1.0),
        ("VISIT-UT", 1.1),
        ("DLEM", 0.9),
        ("MyModel", 0.8),
    ):
        written = own_files.land_fluxes(own_files.TRENDY, strength)["nbp"][july]
        np.testing.assert_allclose(
            summer.sel(teacher=teacher), written, rtol=2e-5, atol=1e-14
        )
    (store,) = (work / "stores").glob("mine_ocean-*.zarr")
    sea = xr.open_zarr(store)["fgco2"].sel(time="2010-07-01")
    months = own_files.months(own_files.LABELS_AT_SEA)
    july = int(np.argmin(np.abs(months - (2010 + 6 / 12))))
    for teacher, strength in (("CESM-ETHZ", 1.0), ("FESOM2-REcoM", 1.2)):
        for simulation in ("A", "B"):
            written = own_files.sea_flux(own_files.LABELS_AT_SEA, strength, simulation)[
                july
            ]
            np.testing.assert_allclose(
                sea.sel(teacher=teacher, simulation=simulation),
                written,
                rtol=2e-5,
                atol=1e-15,
            )


@pytest.mark.slow
def test_the_map_goes_on_after_the_models_end(done: tuple[Path, str]) -> None:
    work, _ = done
    sink = xr.open_zarr(work / "maps" / "sink.zarr")
    assert str(sink["time"].values[-1])[:7] == "2025-12"
    assert sink.attrs["evidence"].startswith("TRENDY/GOBM")
    last = sink.isel(time=-1)
    assert np.isfinite(last["nbp_mean"]).any()
    assert np.isfinite(last["fgco2_mean"]).any()
    assert "MyModel" in sink["land_teacher"].values
    assert (work / "maps" / "sink.nc").is_file()
