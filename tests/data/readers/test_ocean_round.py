"""Ocean models and fCO2 products of the shipped catalog, by the names of their files.

The files are generated: this shows that the rows agree with each other, with the
readers and with the names that files of the budgets' archives have, not that real files
are like that inside.
"""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from emulator.carbon.errors import GridMismatchError, TimeAxisError, UserError
from emulator.carbon.grid import Grid
from emulator.carbon.units import MOLAR_MASS_CARBON, SECONDS_PER_YEAR
from emulator.data import catalog, readers
from tests.data import tiny_files as tiny

FILES = ("gcb_ocean_", "gcb_fco2_", "fco2.")
ROWS = [name for name in catalog.names() if name.startswith(FILES)]

MODELS = [
    # Model, simulation, folder and name in the archive.
    (
        "gcb_ocean_2025.access",
        "A",
        "gobms/ACCESS-CSIRO/A",
        "fgco2_ACCESS_A_1_gr_1959-2024.nc",
    ),
    (
        "gcb_ocean_2025.access",
        "B",
        "gobms/ACCESS-CSIRO/B",
        "fgco2_ACCESS_B_1_gr_1959-2024.nc",
    ),
    (
        "gcb_ocean_2025.cesm_ethz",
        "A",
        "gobms/CESM-ETHZ/A",
        "fgco2_CESM-ETHZ_A_1_gr_1959-2024_v20250827.nc",
    ),
    (
        "gcb_ocean_2025.fesom_recom",
        "A",
        "gobms/FESOM2-REcoM/A",
        "fgco2_FESOM2_REcoM_A_1_gr_1959-2024_v20220716.nc",
    ),
    (
        "gcb_ocean_2025.noresm_oc",
        "A",
        "gobms/NorESM/A",
        "fgco2_NorESM-OC1.2_A_1_gr_1959-2024_v20250818.nc",
    ),
    (
        "gcb_ocean_2025.mom6_princeton",
        "C",
        "gobms/MOM6/C",
        "fgco2_MOM6-COBALT-Princeton_C_1_gr_1959-2024_v20251008.nc",
    ),
    (
        "gcb_ocean_2025.mpiom_hamocc",
        "A",
        "gobms/MPIOM-HAMOCC/A",
        "fgco2_MPIOM-HAMOCC_A_monthly_1959-2024_r360x180.nc",
    ),
    (
        "gcb_ocean_2025.mri_esm2",
        "A",
        "gobms/MRI-ESM2-3/A",
        "fgco2_MRI-ESM2-4_A_1_gr_1959-2024_v20250720.nc",
    ),
    (
        "gcb_ocean_2025.planktom",
        "D",
        "gobms/PlankTOM/D",
        "fgco2_PlankTOM_D_1_gr_1959-2024_v20250729.nc",
    ),
    (
        "gcb_ocean_2025.nemo_pisces_ipsl",
        "A",
        "gobms/IPSL/A",
        "fgco2_Nemo4.2-PISCES_A_1_gr_19580101_20241231_v20250728.nc",
    ),
    ("gcb_ocean_2023.access", "A", "models/ACCESS", "fgco2_ACCESS_A_1_gr_1998-2023.nc"),
    (
        "gcb_ocean_2023.cesm_ethz",
        "B",
        "models/CESM-ETHZ",
        "fgco2_CESM-ETHZ_B_1_gr_1959-2022_v20230615.nc",
    ),
    (
        "gcb_ocean_2023.cnrm_esm2_1",
        "B",
        "models/CNRM/B",
        "fgco2_CNRM-ESM2-1_B_1_gr_1959-2022_v20230706.nc",
    ),
    (
        "gcb_ocean_2023.fesom_recom",
        "A",
        "models/FESOM-REcoM/Tier1/A",
        "fgco2_FESOM2_REcoM_A_1_gr_1959-2022_v20220716.nc",
    ),
    ("gcb_ocean_2023.nemo_pisces_ipsl", "D", "models/IPSL_new/D", "IPSL_D_fgco2.nc"),
    (
        "gcb_ocean_2023.mom6_princeton",
        "A",
        "models/MOM6-Princeton/simA",
        "fgco2_MOM6-Princeton_A_1_gr_1959-2022_v20230625.nc",
    ),
    (
        "gcb_ocean_2023.mri_esm2",
        "A",
        "models/MRI-ESM2-2",
        "fgco2_MRI-ESM2-2_A_1_gr_1959-2022_v20230705.nc",
    ),
]

PRODUCTS = [
    (
        "gcb_fco2_2025.cmems_lsce_ffnn",
        "fco2/CMEMS-LSCE-FFNNv2",
        "GCB-2025_dataprod_CMEMS-LSCE-FFNN_1990-2024.nc",
    ),
    (
        "gcb_fco2_2025.csir_ml6",
        "fco2/CSIR-ML6",
        "GCB-2025_dataprod_CSIR-ML6_1982-2024.nc",
    ),
    ("gcb_fco2_2025.jma_mlr", "fco2/JMA-MLR", "GCB-2025_dataprod_JMA-MLR_1985-2024.nc"),
    (
        "gcb_fco2_2025.nies_ml3",
        "fco2/NIES-ML3",
        "GCB-2025_dataprod_NIES-ML3_1982-2024.nc",
    ),
    (
        "gcb_fco2_2025.oceansoda_ethz",
        "fco2/OceanSODA-ETHZv2",
        "GCB-2025_dataprod_OceanSODA-ETHZv2_1982-2024.nc",
    ),
    ("gcb_fco2_2025.vliz_somffn", "fco2/VLIZ-SOMFFN", "VLIZ_SOM-FFN_GCBv2025_v1208.nc"),
    (
        "gcb_fco2_2023.cmems_lsce_ffnn",
        "dataproducts/CMEMS-LSCE-FFNN",
        "GCB-2023_dataprod_CMEMS-LSCE-FFNN_1990-2022.nc",
    ),
    (
        "gcb_fco2_2023.jma_mlr",
        "dataproducts/JMA-MLR",
        "GCB-2023_dataprod_JMA-MLR_1985-2022_v20230911.nc",
    ),
    (
        "gcb_fco2_2023.ldeo_hpd",
        "dataproducts/LDEO-HPD",
        "GCB-2023_dataprod_LDEO-HPD_1959-2022.nc",
    ),
    (
        "gcb_fco2_2023.nies_ml3",
        "dataproducts/NIES-ML3",
        "GCB-2023_dataprod_NIES-ML3_1980-2022.nc",
    ),
    (
        "gcb_fco2_2023.oceansoda_ethz",
        "dataproducts/OSETHZ-GRaCER-v2023.GCB",
        "GCB-2023_dataprod_OceanSODA-ETHZ_1982-2022.nc",
    ),
    (
        "gcb_fco2_2023.som_ffn",
        "dataproducts/SOM-FFN",
        "GCB-2023_dataprod_SOM-FFN_1982-2022.nc",
    ),
    (
        "gcb_fco2_2023.uoex_watson",
        "dataproducts/Watson_et_al_v2023",
        "GCB-2023_dataprod_UoEX_WATv2_1985-2022.nc",
    ),
]


def first_year(path: str, otherwise: int) -> int:
    """Return the first year in a name."""
    digits = [part[:4] for part in path.replace("-", "_").split("_")]
    return min(
        (int(d) for d in digits if d.isdecimal() and 1950 < int(d) < 2000),
        default=otherwise,
    )


def last_year(path: str, otherwise: int) -> int:
    return 2023 if "1998-2023" in path else otherwise


@pytest.mark.parametrize(("name", "simulation", "folder", "real"), MODELS)
def test_a_model_finds_its_map_among_series_and_simulations(
    tmp_path: Path, name: str, simulation: str, folder: str, real: str
) -> None:
    entry = catalog.load(name)
    path = tmp_path / entry.root / folder / real
    assert entry.years is not None
    assert entry.years[1] is not None
    first = first_year(path.name, entry.years[0])
    last = last_year(path.name, entry.years[1])
    months = (last - first + 1) * 12
    in_kg = entry.variables["fgco2"].units == "kg m-2 s-1"
    tiny.write(
        path,
        "fgco2",
        tiny.law(months),
        time=np.zeros(months),  # undecodable: the name or the entry places it
        time_units=None,
        calendar=None,
        units=entry.variables["fgco2"].units or "mol m-2 s-1",
    )
    stem = path.name
    other = {"A": "B", "B": "C", "C": "D", "D": "A"}[simulation]
    for decoy in (
        stem.replace("fgco2_", "fgco2_glob_", 1),
        stem.replace("fgco2_", "fgco2_reg_", 1),
        stem.replace("fgco2_", "fgco2_ts_", 1),
        stem.replace("fgco2_", "fgo2_", 1),
        stem.replace(f"_{simulation}_", f"_{other}_"),
        f"fgco2_MPIOM-HAMOCC_{simulation}_monthly.1959-2024.global.nc",
    ):
        if not path.with_name(decoy).exists():
            path.with_name(decoy).touch()
    field = readers.read(entry, "fgco2", simulation, tmp_path)
    factor = 1.0 if in_kg else MOLAR_MASS_CARBON
    begins = (entry.years[0] - first) * 12
    ends = begins + (entry.years[1] - entry.years[0] + 1) * 12
    np.testing.assert_allclose(
        field.values, tiny.law(months)[begins:ends] * factor, rtol=1e-6
    )
    assert str(field.time.values[0])[:7] == f"{entry.years[0]}-01"


@pytest.mark.parametrize(("name", "folder", "real"), PRODUCTS)
def test_a_product_is_read_in_the_layout_of_the_budget(
    tmp_path: Path, name: str, folder: str, real: str
) -> None:
    entry = catalog.load(name)
    assert entry.years is not None
    assert entry.years[1] is not None
    months = (entry.years[1] - entry.years[0] + 1) * 12
    path = tiny.write(
        tmp_path / entry.root / folder / real,
        "fgco2",
        np.roll(tiny.law(months), 4, axis=2),
        lon=np.roll(tiny.LON, 4) % 360,
        time=np.arange(months) * 30.4375 * 86400,
        time_units=None,
        units="mol m-2 s-1",
        unit_attribute="Units",
    )
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("region", 4)
        file.createVariable("fgco2_reg", "f8", ("region", "time"))[:] = 1.0
        file.createVariable("sfco2", "f4", ("time", "lat", "lon"))[:] = 1.0
        file.createVariable("mask_sfc", "f4", ("lat", "lon"))[:] = 0.5
        file.createVariable("area", "f8", ("lat", "lon"))[:] = 2e13
        file["area"].Units = "m2"
    (path.with_name(path.stem + "_figures.pdf")).touch()
    field = readers.read(entry, "fgco2", "A", tmp_path)
    np.testing.assert_allclose(
        field.values, tiny.law(months) * MOLAR_MASS_CARBON, rtol=1e-6
    )
    grid = Grid(field.lat.values, field.lon.values)
    area = readers.process_area(entry, grid, tmp_path, own_area=True)
    np.testing.assert_allclose(area, 1e13)


def test_models_are_the_columns_of_the_budget_of_2023() -> None:
    columns = {
        *("NEMO3.6-PISCESv2-gas (CNRM)", "FESOM-2.1-REcoM3", "NEMO-PISCES (IPSL)"),
        *("MOM6-COBALT (Princeton)", "MRI-ESM2-21", "MICOM-HAMOCC (NorESM1-OCv1.2)"),
        *("NEMO-PlankTOM12", "CESM-ETHZ", "MPIOM-HAMOCC6", "ACCESS (CSIRO)"),
    }
    models = {catalog.load(n).title for n in ROWS if n.startswith("gcb_ocean_2023.")}
    assert models == columns
    products = {
        *("CMEMS-LSCE-FFNN", "JMA-MLR", "LDEO-HPD", "MPI-SOMFFN", "NIES-ML3"),
        *("OS_ETH_Gracer", "Jena-MLS", "UOEx-Watson"),
    }
    assert {
        catalog.load(n).title for n in ROWS if n.startswith("gcb_fco2_2023.")
    } == products


def test_every_row_says_that_it_was_never_tested() -> None:
    for name in ROWS:
        assert "never read" in catalog.load(name).note.lower(), name


def test_products_have_one_run_and_no_drift() -> None:
    for name in ROWS:
        entry = catalog.load(name)
        is_model = name.startswith("gcb_ocean_")
        assert set(entry.simulations) == (set("ABCD") if is_model else {"A"})
        assert (entry.evidence == "observed") != is_model
        assert (entry.drift is not None) == is_model


# --- layouts of makers ------------------------------------------------------

JENA_DAYS = np.arange("1999-12-31", "2002-01-02", dtype="M8[D]")


def write_jena(root: Path, days: np.ndarray = JENA_DAYS, **how: object) -> Path:
    """Write days of 2e-3 PgC a year and cell, to the air, plus the month's number."""
    path = root / "fco2/oc_v2023_daily.nc"
    path.parent.mkdir(parents=True)
    month = days.astype("M8[M]").astype(int) % 12
    values = np.empty((days.size, *tiny.SHAPE), "f4")
    values[:] = -1e-3 * (2 + month[:, None, None])
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("mtime", days.size), ("lat", 4), ("lon", 8), ("rt", 2)):
            file.createDimension(name, size)
        time = file.createVariable("mtime", "f8", ("mtime",))
        time.units = how.get("units", "seconds since 2000-01-01 00:00:00")
        since = (days - np.datetime64("2000-01-01")).astype(float)
        time[:] = since * 86400 + 43200
        file.createVariable("lat", "f8", ("lat",))[:] = tiny.LAT
        file.createVariable("lon", "f8", ("lon",))[:] = tiny.LON
        flux = file.createVariable("co2flux_ocean", "f4", ("mtime", "lat", "lon"))
        flux.units = "PgC/yr"
        flux[:] = values
        areas = file.createVariable(
            str(how.get("areas", "dxyp")), "f4", how.get("dims", ("lat", "lon"))
        )
        areas.units = how.get("areas_in", "m^2")
        areas[:] = how.get("area", 1e12)
        file.createVariable("co2flux_basin", "f4", ("mtime", "rt"))[:] = 1.0
    return path


def jena(first: int, last: int) -> object:
    entry = catalog.load("fco2.jena_mls")
    return entry.__class__(**{**vars(entry), "years": (first, last)})


def test_jena_gives_days_of_whole_cells_to_the_air(tmp_path: Path) -> None:
    write_jena(tmp_path)
    field = readers.read(jena(2000, 2001), "fgco2", "A", tmp_path)
    assert field.sizes["time"] == 24
    # -2e-3 PgC a year from a cell of 1e12 m2: 2e-3 kg m-2 a year into the sea in
    # January, 3e-3 in February.
    expected = np.array([2e-3, 3e-3]) / SECONDS_PER_YEAR
    np.testing.assert_allclose(field.values[:2, 0, 0], expected, rtol=1e-6)
    assert field.attrs["source_units"] == "PgC yr-1 m-2"
    assert field.attrs["frequency"] == "month"


def test_areas_of_cells_may_be_in_another_unit(tmp_path: Path) -> None:
    write_jena(tmp_path, areas_in="km2", area=1e6)
    field = readers.read(jena(2000, 2001), "fgco2", "A", tmp_path)
    expected = 2e-3 / SECONDS_PER_YEAR
    np.testing.assert_allclose(field.values[0, 0, 0], expected, rtol=1e-6)


def test_a_month_that_lacks_a_day_is_no_month(tmp_path: Path) -> None:
    write_jena(tmp_path, np.delete(JENA_DAYS, 40))
    with pytest.raises(TimeAxisError, match="after 2000-01 comes 2000-03"):
        readers.read(jena(2000, 2001), "fgco2", "A", tmp_path)


def test_a_doubled_day_does_not_stand_for_a_missing_one(tmp_path: Path) -> None:
    days = JENA_DAYS.copy()
    days[40] = days[39]
    write_jena(tmp_path, days)
    with pytest.raises(TimeAxisError, match=r"after 2000-02-08 .* comes 2000-02-08"):
        readers.read(jena(2000, 2001), "fgco2", "A", tmp_path)


def test_hours_are_no_days(tmp_path: Path) -> None:
    days = np.repeat(JENA_DAYS, 4)
    path = write_jena(tmp_path, days)
    with netCDF4.Dataset(path, "a") as file:
        file["mtime"][:] += 6 * 3600 * (np.arange(days.size) % 4 - 2)
    with pytest.raises(TimeAxisError, match=r"after 1999-12-31 \(step 1 of 2932\)"):
        readers.read(jena(2000, 2001), "fgco2", "A", tmp_path)


def test_days_damaged_inside_are_refused(tmp_path: Path) -> None:
    path = write_jena(tmp_path)
    with netCDF4.Dataset(path, "a") as file:
        noise = np.random.default_rng(0).normal(size=(JENA_DAYS.size, *tiny.SHAPE))
        file.renameVariable("co2flux_ocean", "before")
        dims = ("mtime", "lat", "lon")
        file.createVariable("co2flux_ocean", "f4", dims, zlib=True)[:] = noise
    content = bytearray(path.read_bytes())
    place = len(content) - 40000
    content[place : place + 20000] = bytes(20000)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"daily\.nc cannot be read: it is truncated"):
        readers.read(jena(2000, 2001), "fgco2", "A", tmp_path)


def test_areas_that_are_not_there_are_named(tmp_path: Path) -> None:
    write_jena(tmp_path, areas="dxy")
    with pytest.raises(
        UserError, match=r"no variable 'dxyp', by which 'co2flux_ocean'"
    ):
        readers.read(jena(2000, 2001), "fgco2", "A", tmp_path)


def test_areas_of_other_cells_are_refused(tmp_path: Path) -> None:
    path = write_jena(tmp_path, areas="other")
    with netCDF4.Dataset(path, "a") as file:
        file.createDimension("y", 2)
        file.createDimension("x", 4)
        file.createVariable("dxyp", "f4", ("y", "x"))[:] = 1e12
        file.createVariable("y", "f8", ("y",))[:] = [-45, 45]
        file.createVariable("x", "f8", ("x",))[:] = [-135, -45, 45, 135]
    message = r"'dxyp' has \(2, 4\) cells, but 'co2flux_ocean' \(4, 8\)"
    with pytest.raises(GridMismatchError, match=message):
        readers.read(jena(2000, 2001), "fgco2", "A", tmp_path)


def test_days_of_an_unknown_unit_are_left_to_the_decoder(tmp_path: Path) -> None:
    write_jena(tmp_path, units="seconds since never")
    with pytest.raises(TimeAxisError, match="never"):
        readers.read(jena(2000, 2001), "fgco2", "A", tmp_path)


def test_som_ffn_turns_mol_a_year_out_of_the_sea(tmp_path: Path) -> None:
    values = np.roll(tiny.law(24), 0, axis=2) * np.float32(1e9)
    values[:, 0, 0] = 1e20
    path = tiny.write(
        tmp_path / "fco2/spco2_MPI-ULB-SOM_FFN_v2023.nc",
        "fgco2_smoothed",
        -values,
        time=tiny.noleap_days(1982, 24),
        units="mol m^{-2} yr^{-1}",
    )
    with netCDF4.Dataset(path, "a") as file:
        for name in ("fgco2_raw", "spco2_raw", "spco2_smoothed"):
            file.createVariable(name, "f4", ("time", "lat", "lon"))[:] = 1.0
        file.createDimension("nmon", 6)
        file.createVariable("date", "i4", ("time", "nmon"))[:] = 1
    field = readers.read(catalog.load("fco2.som_ffn"), "fgco2", "A", tmp_path)
    expected = values * MOLAR_MASS_CARBON / SECONDS_PER_YEAR
    expected[:, 0, 0] = np.nan
    np.testing.assert_allclose(field.values, expected, rtol=1e-6)


def test_maps_may_be_turned_and_filled_without_a_word(tmp_path: Path) -> None:
    # (lon, lat, time), LATITUDE and TIME in capitals, 1e34 undeclared, 1982_1983.
    values = tiny.law(24)
    values[:, 1, 2] = 1e34
    path = tmp_path / "gcb_fco2_2025/fco2/VLIZ/VLIZ_SOM-FFN_GCBv2025_v1208.nc"
    path.parent.mkdir(parents=True)
    with netCDF4.Dataset(path, "w") as file:
        for name, centres in (
            ("LONGITUDE", tiny.LON),
            ("LATITUDE", tiny.LAT),
            ("TIME", np.arange(24.0)),
        ):
            file.createDimension(name, centres.size)
            file.createVariable(name, "f8", (name,))[:] = centres
        dims = ("LONGITUDE", "LATITUDE", "TIME")
        flux = file.createVariable("fgco2", "f4", dims)
        flux.units = "mol m-2 s-1"
        flux[:] = values.transpose(2, 1, 0)
    entry = catalog.load("gcb_fco2_2025.vliz_somffn")
    entry = entry.__class__(**{**vars(entry), "years": (1982, 1983)})
    field = readers.read(entry, "fgco2", "A", tmp_path)
    values[:, 1, 2] = np.nan
    np.testing.assert_allclose(field.values, values * MOLAR_MASS_CARBON, rtol=1e-6)
