"""Tests of the command that makes the testbed, and of the Earth it makes."""

import csv
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

import emulator
from emulator.carbon.errors import GridMismatchError, StoreError
from emulator.carbon.grid import Grid
from emulator.data import catalog, check, readers, testbed
from emulator.data.testbed import entries, files, layouts
from emulator.data.testbed.scenario import Spans

SHIPPED = Path(emulator.__file__).parents[1] / "data_catalog"
TEACHERS = [
    (f"testbed_{layout.teacher.lower()}", domain)
    for domain, group in (("land", layouts.LAND), ("ocean", layouts.OCEAN))
    for layout in group
]


def test_entries_of_the_default_years_are_shipped() -> None:
    for name, entry in entries.entries(Spans(1950, 2024)).items():
        shipped = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text())
        assert shipped == entry, (
            f"data_catalog/{name}.yaml differs from what the testbed writes; run "
            f"emulator.data.testbed.entries.write('data_catalog', Spans(1950, 2024))."
        )


@pytest.mark.parametrize(("name", "domain"), TEACHERS)
def test_files_pass_the_gates(name: str, domain: str, files_root: Path) -> None:
    entry = catalog.load(name, [files_root / "testbed" / "catalog"])
    assert (entry.domain, entry.evidence) == (domain, "testbed")
    simulation = "S2" if domain == "land" else "A"
    fluxes = [name for name in entry.variables if name != "spco2"]
    fields = {
        variable: readers.read(entry, variable, simulation, files_root)
        for variable in fluxes
    }
    net = fields[check.NET_FLUX[domain]]
    grid = Grid(net.lat.values, net.lon.values)
    area = readers.process_area(entry, grid, files_root)
    # On 72 cells the level of the gross flux is off; the other gates must pass.
    result = check.run_gates(entry, simulation, fields, area)
    assert not [text for text in result.failures if "80 to 220" not in text]


def test_forcing_goes_on_for_a_year(files_root: Path) -> None:
    folder = files_root / "testbed" / "catalog"
    for domain, variable in (("land", "pr"), ("ocean", "tos")):
        entry = catalog.load(f"testbed_{domain}_forcing", [folder])
        found = readers.read(entry, variable, None, files_root)
        assert str(found.time.values[-1])[:7] == "1865-12"
        assert entry.years == (1861, 1865)


def test_static_fields_read_back(files_root: Path) -> None:
    entry = catalog.load("testbed_static", [files_root / "testbed" / "catalog"])
    land = readers.read(entry, "land_fraction", None, files_root)
    sea = readers.read(entry, "sea_fraction", None, files_root)
    np.testing.assert_allclose(land + sea, 1.0, atol=1e-6)


def test_the_same_testbed_is_left_alone(files_root: Path) -> None:
    target = files_root / "testbed"
    before = (target / "forcing" / "static.nc").stat().st_mtime_ns
    again = testbed.generate(files_root, grid_step=30.0, first=1861, last=1864, seed=1)
    assert again == target
    assert (target / "forcing" / "static.nc").stat().st_mtime_ns == before


def test_another_testbed_is_not_overwritten(files_root: Path) -> None:
    with pytest.raises(StoreError, match=r"'seed': 1.*'seed': 2.*Remove the folder"):
        testbed.generate(files_root, grid_step=30.0, first=1861, last=1864, seed=2)


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "testbed").mkdir()
    with pytest.raises(StoreError, match="settings None"):
        testbed.generate(tmp_path, grid_step=30.0)


def test_a_failure_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_static", full)
    with pytest.raises(StoreError, match=r"No space left.*Choose another paths\.data"):
        testbed.generate(tmp_path, grid_step=30.0, first=1861, last=1862)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("first", "last"), [(2000, 1999), (1850, 1900)])
def test_impossible_years_are_refused(tmp_path: Path, first: int, last: int) -> None:
    with pytest.raises(ValueError, match=rf"from {first} to {last}.*after 1850"):
        testbed.generate(tmp_path, first=first, last=last)


def test_impossible_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GridMismatchError, match="does not divide 180"):
        testbed.generate(tmp_path, grid_step=7.0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_full_testbed_behaves_as_the_earth_does(tmp_path: Path) -> None:
    """Generate 1950 to 2024 at 5 degrees and measure every promised number."""
    # Seconds of one core, since wall time depends on what else a machine does.
    began = time.process_time()
    seen: list[str] = []
    testbed.generate(tmp_path, progress=seen.append)
    assert time.process_time() - began < 180
    assert seen == [layout.teacher for layout in (*layouts.LAND, *layouts.OCEAN)]

    el_nino = _el_nino(tmp_path)
    anomalies = {"land": [], "ocean": []}
    for name, domain in TEACHERS:
        net, gross, control = (
            ("nbp", "gpp", "S0") if domain == "land" else ("fgco2", None, "B")
        )
        sink = _totals(name, net, "S2" if domain == "land" else "A", tmp_path)
        _require_gates(name, net, control, tmp_path)
        steady = _totals(name, net, control, tmp_path)
        assert 1 < sink[-10:].mean() < 4, name
        if gross:
            # Whole cycles of the repeated weather only: sixty years are three.
            assert abs(steady[-60:].mean()) < 0.05, name
            assert 100 < _totals(name, gross, "S2", tmp_path).mean() < 150, name
        else:
            assert np.ptp(steady) < 0.05, name
        anomalies[domain].append(_detrended(sink))

    warm, cold = el_nino > 0.8, el_nino < -0.8
    land, ocean = (np.mean(anomalies[domain], axis=0) for domain in anomalies)
    assert land[warm].mean() < -0.3
    assert land[cold].mean() > 0.3
    assert np.corrcoef(land, el_nino)[0, 1] < -0.4
    assert ocean[warm].mean() > 0.05
    assert np.corrcoef(ocean, el_nino)[0, 1] > 0.4
    assert 0.3 < np.std(anomalies["land"], axis=0, ddof=1).mean() < 1.0
    assert 0.4 < land.std() < 1.5


def _require_gates(name: str, net: str, simulation: str, root: Path) -> None:
    """Assert that the net flux alone is plausible: northern land breathes in summer."""
    entry = catalog.load(name, [SHIPPED])
    flux = readers.read(entry, net, simulation, root)
    grid = Grid(flux.lat.values, flux.lon.values)
    area = readers.process_area(entry, grid, root)
    check.check_simulation(entry, simulation, {net: flux}, area)


def _totals(name: str, variable: str, simulation: str, root: Path) -> np.ndarray:
    """Return the global total of each year, PgC, as a user would read it."""
    entry = catalog.load(name, [SHIPPED])
    flux = readers.read(entry, variable, simulation, root)
    grid = Grid(flux.lat.values, flux.lon.values)
    area = readers.process_area(entry, grid, root)
    return check.annual_totals(flux, area)[1]


def _el_nino(root: Path) -> np.ndarray:
    """Return the mean index from September to August of each labelled year."""
    path = root / "testbed" / "forcing" / "el_nino_testbed.csv"
    rows = csv.DictReader(path.read_text().splitlines()[1:])
    index = np.array([float(row["index"]) for row in rows])
    return np.array([index[max(0, 12 * y - 4) : 12 * y + 8].mean() for y in range(75)])


def _detrended(values: np.ndarray) -> np.ndarray:
    """Return values less their parabola, since the rise of CO2 bends the trend."""
    time_axis = np.arange(values.size)
    return values - np.polyval(np.polyfit(time_axis, values, 2), time_axis)
