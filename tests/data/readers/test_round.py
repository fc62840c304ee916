"""Every model of the shipped rounds of TRENDY reads files laid out as it says.

The files are generated: this shows that the rows agree with each other and with the
readers, not that real files are like that.
"""

from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.grid import Grid
from emulator.data import catalog, readers
from emulator.data.entry import SUMS, Entry
from tests.data import tiny_files as tiny

MODELS = [name for name in catalog.names() if name.startswith("trendy_v")]
MONTHS = 3888
UNIT = np.float32(2**-30)


def file_of(entry: Entry, variable: str, root: Path) -> Path:
    """Return where a row says that a file of S2 is."""
    pattern = entry.variables[variable].files or entry.files
    pattern = pattern.replace("{simulation}", "S2").replace("{variable}", variable)
    return root / entry.root / pattern.replace("*", "")


def write_fluxes(entry: Entry, root: Path) -> dict[str, np.ndarray]:
    """Write nbp, or what adds up to it; numbers are exact in float32."""
    months = 22 * 12 if entry.years == (2003, 2024) else MONTHS
    parts = entry.variables["nbp"].sum_of or ("nbp",)
    written = {}
    for number, part in enumerate(parts, start=1):
        values = np.arange(months, dtype="f4")[:, None, None] % 64
        values = UNIT * (number * values + np.zeros(tiny.SHAPE, "f4"))
        first = 2025 - months // 12
        time = tiny.noleap_days(first, months)
        tiny.write(file_of(entry, part, root), part, values, time=time)
        written[part] = values
    return written


@pytest.mark.parametrize("name", MODELS)
def test_a_row_reads_files_laid_out_as_it_says(tmp_path: Path, name: str) -> None:
    entry = catalog.load(name)
    written = write_fluxes(entry, tmp_path)
    field = readers.read(entry, "nbp", "S2", tmp_path)
    signs = {"nbp": 1, **SUMS["nbp"]}
    expected = sum(signs[part] * values for part, values in written.items())
    assert entry.years is not None
    first = str(entry.years[0])
    assert [str(t)[:7] for t in field.time.values[[0, -1]]] == [
        f"{first}-01",
        "2024-12",
    ]
    np.testing.assert_array_equal(field, expected[-field.sizes["time"] :])


@pytest.mark.parametrize("name", MODELS)
def test_a_row_says_what_a_share_of_land_does(tmp_path: Path, name: str) -> None:
    entry = catalog.load(name)
    source = entry.land_fraction
    assert source is not None
    grid = Grid(tiny.LAT, tiny.LON)
    if source.treatment == "none":
        np.testing.assert_array_equal(
            readers.process_area(entry, grid, tmp_path), grid.cell_area()
        )
        return
    assert source.file is not None
    assert source.variable is not None
    path = tmp_path / entry.root / source.file.replace("*", "")
    share = np.full(tiny.SHAPE, 0.25, "f4")
    tiny.write(path, source.variable, share, units="1")
    land = 0.75 if source.complement else 0.25
    area = readers.process_area(entry, grid, tmp_path)
    np.testing.assert_allclose(area, land * grid.cell_area())


def test_models_are_labelled_as_in_the_budget() -> None:
    # The columns of the Global Carbon Budget 2025, with which totals are compared.
    columns = {
        *("CABLE-POP", "CLASSIC", "CLM6.0", "CLM-FATES", "DLEM", "ED", "ELM"),
        *("ELM-FATES", "GDSTEM", "IBIS", "iMAPLE", "ISAM", "JSBACH", "JULES-ES"),
        *("LPJ-EOSIM", "LPJ-GUESS", "LPJml", "LPX", "Orchidee", "SDGVM"),
        *("VISIT", "VISIT-UT"),
    }
    titles = {catalog.load(name).title for name in MODELS}
    assert titles == columns | {"CARDAMOM"}


def test_a_round_says_that_it_was_never_tested() -> None:
    for name in MODELS:
        note = catalog.load(name).note
        assert "never read" in note.lower(), name
