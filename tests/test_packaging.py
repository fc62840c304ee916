"""What is installed works without the checkout beside it."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def project() -> dict[str, object]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if "==" in line)
    return {name.lower().replace("_", "-"): number for name, number in pairs}


def test_every_dependency_is_pinned_within_its_bound() -> None:
    versions = pinned()
    missing = []
    for text in [
        *project()["dependencies"],
        *project()["optional-dependencies"]["dev"],
    ]:
        wanted = Requirement(text)
        number = versions.get(wanted.name.lower().replace("_", "-"))
        if number is None or number not in wanted.specifier:
            missing.append(f"{text}: {number}")
    assert not missing


def test_torch_is_pinned_without_a_build() -> None:
    # "+cpu" would forbid every build with CUDA.
    assert "+" not in pinned()["torch"]


def test_every_dependency_bound_has_a_reason() -> None:
    inside = False
    for line in (ROOT / "pyproject.toml").read_text().splitlines():
        if line.startswith("dependencies = ["):
            inside = True
        elif line == "]":
            inside = False
        elif inside and line.strip().startswith('"'):
            assert "#" in line, line


def test_installed_version_is_that_of_the_project() -> None:
    assert version("sink-emulator") == project()["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == project()["version"]


def test_first_screen_says_what_the_numbers_are_not() -> None:
    screen = (ROOT / "README.md").read_text().splitlines()[:25]
    sentence = (
        "No TRENDY or GOBM output has been used here; the numbers show that the "
        "method works, not the size of the sink."
    )
    assert any(sentence in line for line in screen)


def test_readme_names_only_files_that_exist() -> None:
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text()
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in target:
                assert (ROOT / target).exists(), f"{document} names {target}"


def test_make_help_names_every_target() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for target in ("setup", "demo", "test", "test-all", "lint", "types", "contracts"):
        assert f"make {target} " in shown
    for target in ("notebooks", "bench", "docs", "results", "clean"):
        assert f"make {target} " in shown


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, install it alone into a folder, and return the folder."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    subprocess.run([*build, "--outdir", folder, ROOT], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", site, wheel], check=True, capture_output=True)
    return site


def command(
    site: Path, empty: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run the installed command in an empty folder, away from the checkout."""
    return subprocess.run(
        [site / "bin" / "sink-emulator", *arguments],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_wheel_works_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    help_ = command(installed, tmp_path, "--help")
    assert (help_.returncode, help_.stderr) == (0, "")
    assert "predict" in help_.stdout

    listed = command(installed, tmp_path, "catalog", "list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "lpjwsl" in listed.stdout

    shown = command(installed, tmp_path, "catalog", "show", "lpjwsl")
    assert str(installed) in shown.stdout.splitlines()[0]

    train = command(installed, tmp_path, "train", "--help")
    assert "recurrent" in train.stdout
    wrong = command(installed, tmp_path, "train", "data=lpjwsl", "model.widht=3")
    assert wrong.returncode == 1
    assert "model.widht" in wrong.stderr
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_wheel_holds_configs_catalog_coastline_and_page_but_no_tests(
    installed: Path,
) -> None:
    names = {str(path.relative_to(installed)) for path in installed.rglob("*")}
    assert "emulator/conf/train.yaml" in names
    assert "emulator/data_catalog/lpjwsl.yaml" in names
    assert any(name.startswith("emulator/data/testbed/coastline") for name in names)
    assert "emulator/nightly/page/template/index.html" in names
    assert not any(name.startswith(("tests", "conf", "notebooks")) for name in names)
