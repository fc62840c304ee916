"""Every model of the shipped rounds of TRENDY reads files laid out as it says.

The files are generated: this shows that the rows agree with each other, with the
readers and with the names that files of these rounds have, not that real files are like
that inside.
"""

from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.grid import Grid
from emulator.data import catalog, readers
from emulator.data.entry import SUMS, Entry
from tests.data import tiny_files as tiny

MODELS = [name for name in catalog.names() if name.startswith("trendy_v")]
UNIT = np.float32(2**-30)

LAST_YEARS = {"v9": 2019, "v10": 2020, "v11": 2021, "v12": 2022, "v13": 2023}
LAST_YEARS["v14"] = 2024

NAMED = [
    # Model, variable, where it lies and is called in the index of its round or in code
    # that reads it.
    ("trendy_v14.clm", "nbp", "CLM/S2/CLM6.0_S2_nbp.nc"),
    ("trendy_v14.ed", "nbp", "ED/S2/EDv3_S2_nbp.nc"),
    ("trendy_v14.elm", "nbp", "ELM/S2/E3SM_S2_nbp.nc"),
    ("trendy_v14.jules_es", "nbp", "JULES-ES/S2/JULES_S2_nbp.nc"),
    ("trendy_v14.lpjml", "gpp", "LPJml/S2/LPJmL_S2_gpp.nc"),
    ("trendy_v14.tem", "nbp", "TEM/S2/GDSTEM_S2_nbp.nc"),
    ("trendy_v14.lpjwsl", "nbp", "LPJwsl/S2/LPJ-EOSIM_S2_nbp.nc"),
    ("trendy_v14.sdgvm", "nbp", "SDGVM/S2/SDGVM_S2_nbp.nc.gz"),
    ("trendy_v14.imaple", "nbp", "iMAPLE/S2/iMAPLE_S2_nbp.nc.tar.gz"),
    ("trendy_v14.cable_pop", "fLuc", "CABLE-POP/S2/CABLE-POP_S2_fLUC.nc"),
    ("trendy_v13.clm6_0", "nbp", "CLM5.0/S2/CLM6.0_S2_nbp.nc"),
    ("trendy_v13.lpx_bern", "nbp", "LPX/S2/LPX-Bern_S2_nbp.nc"),
    ("trendy_v13.visit_ut", "nbp", "VISIT-UT/S2/visit-ut_S2_nbp.nc"),
    ("trendy_v13.cardamom", "nbp", "CARDAMOM/S3/CARDAMOM/CARDAMOM_S3_nbp.nc"),
    ("trendy_v13.cardamom", "nbp", "CARDAMOM/S2/CARDAMOM_S2_nbp.nc"),
    ("trendy_v13.imaple", "nbp", "iMAPLE/S2/iMAPLE_S2_Monthly_nbp.nc.tar.gz"),
    ("trendy_v13.sdgvm", "nbp", "SDGVM/S2/SDGVM_S2_nbp.nc"),
    ("trendy_v13.orchidee_v3", "rh", "ORCHIDEE/S1/ORCHIDEE_S1_rh.nc"),
    ("trendy_v12.cable_pop", "gpp", "CABLEPOP/S2/CABLE-POP_S2_gpp.nc"),
    ("trendy_v12.isba_ctrip", "nbp", "ISBACTRIP/S2/ISBA-CTRIP_S2_nbp.nc"),
    ("trendy_v12.yibs", "nbp", "YIBS/S2/YIBs_S2_Monthly_nbp.nc.tar.gz"),
    ("trendy_v12.lpx_bern", "ra", "lpxqs/S2/LPX-Bern_S2_ra.nc"),
    ("trendy_v12.sdgvm", "nbp", "SDGVM/S2/SDGVM_S2_nbpAnnual.nc"),
    ("trendy_v12.elm", "nbp", "ELM/S2/E3SM_S2_nbp.nc"),
    ("trendy_v12.ed", "nbp", "ED/S2/EDv3_S2_nbp.nc"),
    ("trendy_v11.jsbach", "nbp", "JSBACH/v2/S2/JSBACH_S2_nbp.nc"),
    ("trendy_v11.lpjwsl", "nbp", "LPJwsl/S2/LPJ_S2_nbp.nc"),
    ("trendy_v11.sdgvm", "nbp", "SDGVM/S2/SDGVM_S2_nbp.nc.gz"),
    ("trendy_v11.visit", "nbp", "VISIT/S2/VISIT_S2_nbp.nc.gz"),
    ("trendy_v10.jules_es", "nbp", "JULES-ES-1.1/S3/JULES-ES-1p1_S3_nbp_monthly.nc"),
    ("trendy_v10.jules_es", "nbp", "JULES-ES-1.1/JULES-ES-1p1_S3_nbp_monthly.nc"),
    ("trendy_v10.sdgvm", "nbp", "SDGVM/S2/SDGVM_S2_nbp_annual.nc"),
    ("trendy_v9.jules_es", "npp", "JULES-ES-1.0/S3/JULES-ES-1p0_S3_npp_nlim.nc"),
    ("trendy_v9.yibs", "cVeg", "YIBs/S2/YIBs_S2_Annual_cVeg.nc"),
    ("trendy_v9.lpj_guess", "rh", "LPJ-GUESS/S2/LPJ-GUESS_S2_rh_annual.nc"),
    ("trendy_v9.orchidee_v3", "nbp", "ORCHIDEEv3/S2/ORCHIDEEv3_S2_nbp.nc"),
]


def file_of(entry: Entry, variable: str, root: Path) -> Path:
    """Return where a row says that a file of S2 is."""
    pattern = entry.variables[variable].files or entry.files
    pattern = pattern.replace("{simulation}", "S2").replace("{variable}", variable)
    if pattern.startswith("*/"):
        pattern = f"SOME-FOLDER/{pattern[2:]}"
    return root / entry.root / pattern.replace("/**", "").replace("*", "")


def months_of(entry: Entry) -> int:
    """Return the months of a file: from 1701, or those of an analysis."""
    assert entry.ends is not None
    assert entry.years is not None
    first = 1701 if entry.years[0] == 1901 else entry.years[0]
    return (entry.ends - first + 1) * 12


def write_fluxes(entry: Entry, root: Path) -> dict[str, np.ndarray]:
    """Write nbp, or what adds up to it; numbers are exact in float32."""
    months = months_of(entry)
    parts = entry.variables["nbp"].sum_of or ("nbp",)
    written = {}
    for number, part in enumerate(parts, start=1):
        values = np.arange(months, dtype="f4")[:, None, None] % 64
        values = UNIT * (number * values + np.zeros(tiny.SHAPE, "f4"))
        assert entry.ends is not None
        first = entry.ends + 1 - months // 12
        time = tiny.noleap_days(first, months)
        inside = entry.variables[part].name or part
        tiny.write(file_of(entry, part, root), inside, values, time=time)
        written[part] = values
    return written


@pytest.mark.parametrize("name", MODELS)
def test_a_row_reads_files_laid_out_as_it_says(tmp_path: Path, name: str) -> None:
    entry = catalog.load(name)
    last = LAST_YEARS[name.removeprefix("trendy_").split(".")[0]]
    written = write_fluxes(entry, tmp_path)
    field = readers.read(entry, "nbp", "S2", tmp_path)
    signs = {"nbp": 1, **SUMS["nbp"]}
    expected = sum(signs[part] * values for part, values in written.items())
    assert entry.years is not None
    first = str(entry.years[0])
    assert [str(t)[:7] for t in field.time.values[[0, -1]]] == [
        f"{first}-01",
        f"{last}-12",
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
    folder = source.file.replace("/**", "").replace("*/", "SOME-FOLDER/")
    path = tmp_path / entry.root / folder.replace("*", "")
    share = np.full(tiny.SHAPE, 0.25, "f4")
    tiny.write(path, source.variable, share, units="1")
    land = 0.75 if source.complement else 0.25
    area = readers.process_area(entry, grid, tmp_path)
    np.testing.assert_allclose(area, land * grid.cell_area())


@pytest.mark.parametrize(("name", "variable", "real"), NAMED)
def test_a_row_finds_its_file_by_its_real_name_among_others(
    tmp_path: Path, name: str, variable: str, real: str
) -> None:
    entry = catalog.load(name)
    path = tmp_path / entry.root / real
    simulation = real.split("_S")[1][0]
    prefix = path.name.split("_S")[0]
    here, other = f"S{simulation}", f"S{(int(simulation) + 1) % 4}"
    beside = [
        path.name.replace(f"_{here}_", f"_{other}_"),
        f"{prefix}_{here}_mean_annual_{variable}.nc",
        f"{prefix}_{here}_{variable}pft.nc",
        f"{prefix}_{here}_{variable}pft_lu.nc",
        f"{prefix}_{here}_zonalNBP.nc",
        f"{prefix}_{here}_zonalNBP.txt",
        f"{prefix}_{here}_evapotrans.nc",
        f"OTHER_{here}_{variable}.nc",
    ]
    path.parent.mkdir(parents=True)
    for file in (path, *(path.with_name(decoy) for decoy in beside)):
        file.touch()
    found = readers.find_files(entry, variable, here, tmp_path)
    # The reader leaves side files out by name; everything else the pattern must.
    assert [p for p in found if "mean_annual" not in p.name] == [path]


@pytest.mark.parametrize(
    ("version", "without", "columns"),
    [
        (
            "v14",
            {"CARDAMOM"},
            "CABLE-POP CLASSIC CLM6.0 CLM-FATES DLEM ED ELM ELM-FATES GDSTEM IBIS "
            "iMAPLE ISAM JSBACH JULES-ES LPJ-EOSIM LPJ-GUESS LPJml LPX Orchidee SDGVM "
            "VISIT VISIT-UT",
        ),
        (
            "v13",
            {"CARDAMOM", "VISIT-UT"},
            "CABLE-POP CLASSIC CLM6.0 DLEM ED ELM IBIS iMAPLE ISAM ISBA-CTRIP JSBACH "
            "JULES-ES LPJ-GUESS LPJml LPJwsl LPX-Bern OCN ORCHIDEE-v3 SDGVM VISIT",
        ),
        (
            "v12",
            {"CARDAMOM"},
            "CABLE-POP CLASSIC CLM5.0 DLEM ED ELM IBIS ISAM ISBA-CTRIP JSBACH JULES-ES "
            "LPJ-GUESS LPJwsl LPJml LPX-Bern OCN ORCHIDEE-v3 SDGVM VISIT YIBs",
        ),
    ],
)
def test_models_are_labelled_as_in_the_budget(
    version: str, without: set[str], columns: str
) -> None:
    # The columns of the Global Carbon Budget, with which totals are compared; and the
    # models that are none of them.
    rows = [name for name in MODELS if name.startswith(f"trendy_{version}.")]
    titles = {catalog.load(name).title for name in rows}
    assert titles == set(columns.split()) | without


def test_rounds_have_as_many_models_as_are_known() -> None:
    counts = {
        version: sum(name.startswith(f"trendy_{version}.") for name in MODELS)
        for version in LAST_YEARS
    }
    # v11, v12 and v13 as the index of files counts them; OCN and ISBA-CTRIP of v14
    # are empty; v10 are those of v9 and v11 alike.
    assert counts == {"v9": 19, "v10": 17, "v11": 18, "v12": 21, "v13": 22, "v14": 23}


def test_a_round_says_that_it_was_never_tested() -> None:
    for name in MODELS:
        note = catalog.load(name).note
        assert "never read" in note.lower(), name
