"""Budget workbooks in the layouts of different editions, and two real ones."""

import os
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pytest

from emulator.carbon import budget
from emulator.carbon.errors import TimeAxisError, UnitsError, UserError
from emulator.data.readers import workbook

DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)

Cells = list[list[Any]]
Sheets = dict[str, Cells]

NOTES: Cells = [
    [None, "A title"],
    [None, "All values in billion tonnes of carbon per year (GtC/yr), for the globe."],
    [None, "1 billion tonnes C = 1 petagram of carbon = 3.664 billion tonnes of CO2"],
]
TERMS = ["land-use change emissions", "atmospheric growth", "ocean sink", "land sink"]


def write(folder: Path, sheets: Sheets, name: str = "") -> Path:
    path = folder / (name or "Global_Carbon_Budget_2024_v1.0.xlsx")
    book = openpyxl.Workbook()
    book.active.title = "Summary"
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def of_2024() -> Sheets:
    """Three years; term k of year i is k + i / 10, model k likewise."""
    fossil = "fossil emissions excluding carbonation"
    terms = [fossil, *TERMS, "cement carbonation sink", "budget imbalance"]
    terms += ["fossil emissions including carbonation"]
    return {
        "Global Carbon Budget": [
            *NOTES,
            ["GtC/yr"],
            ["Year", *terms],
            *([2020 + i, *(k + i / 10 for k in range(8))] for i in range(3)),
            # The projection of the running year knows one column.
            [2023, *[None] * 7, 10.2],
        ],
        "Ocean Sink": [
            *NOTES,
            [None, "FESOM-2.1-REcoM2", "its citation"],
            [],
            ["GtC/yr", *[None] * 3, "Individual models", *[None] * 5, "Data-based"],
            [
                *("year", "GCB", "1 sigma uncertainty", None),
                *("FESOM-2.1-REcoM3", "NEMO-PISCES (IPSL)", None),
                *("Multi-model mean", "Model Spread (sd)", None),
                *("JMA-MLR", "CSIR-ML6", "Average data-products (excl. Watson.)"),
            ],
            [2020, 2.5, 0.4, None, 2.1, 2.3, None, 2.2, 0.1, None, None, None, None],
            [2021, 2.6, 0.4, None, 2.2, 2.4, None, 2.3, 0.1, None, 2.9, None, 2.9],
            [2022, 2.7, 0.4, None, 2.3, 2.5, None, 2.4, 0.1, None, 3.0, 3.2, 3.1],
        ],
        "Terrestrial Sink": [
            *NOTES,
            [None, "CABLE-POP", "its citation"],
            ["GtC/yr", None, None, "Individual models"],
            ["Year", "GCB", None, "CABLE-POP", "LPJ-GUESS ", "Orchidee", None, "Mean"],
            *([2020 + i, 2, None, 1 + i, 2 + i, 3, None, 2] for i in range(3)),
        ],
    }


def of_2019() -> Sheets:
    """The budget begins in the second column and has no cement sink."""
    sheets = of_2024()
    header = ["fossil fuel and industry", *TERMS, "budget imbalance"]
    sheets["Global Carbon Budget"] = [
        *NOTES[:2],
        [None, "Year", *header],
        *([None, float(2016 + i), *(k + i / 10 for k in range(6))] for i in range(3)),
    ]
    sheets["Ocean Sink"] = [
        *NOTES,
        [None, None, None, "Individual models", None, None, None, "Data-based"],
        [
            *("year", "GCB", None, "CSIRO", "MPIOM-HAMOCC", None),
            *("MMM (multi-model mean)", None, "Landschützer", None),
            "MPM (multi-product mean)",
        ],
        *([2016 + i, 2, None, 1 + i, 2, None, 2, None, 2.5, None, 2] for i in range(3)),
    ]
    sheets["Terrestrial Sink"] = [
        *NOTES,
        ["Year", "GCB", None, "CABLE", "LPX", None, "MMM (multi-model mean)"],
        *([2016 + i, 2, None, 1 + i, 2 + i, None, 2] for i in range(3)),
    ]
    return sheets


def of_2025() -> Sheets:
    """Adjusted and unadjusted headline, labels off their place, years as floats."""
    sheets = of_2024()
    sheets["Atmospheric Growth"] = [*NOTES, ["Year", "GCB"], [2020, 5.0]]
    sheets["Terrestrial Sink"] = [
        *NOTES,
        *[[None, "a model", "its citation"]] * 12,
        ["GtC/yr", *[None] * 5, "Individual models"],
        [
            *("Year", "GCB", "GCB unadjusted", None, "LPJ-EOSIM", "LPX", None),
            *("Multi-model mean", "Model Spread (sd)"),
        ],
        *(
            [2020.0 + i, 1.62, 2.0, None, 1 + i, 3 - i, None, 2, 1, None]
            for i in range(3)
        ),
        [2023.0, *[None] * 9],
    ]
    return sheets


def test_terms_of_the_budget_are_found_by_their_names(tmp_path: Path) -> None:
    found = workbook.read(write(tmp_path, of_2024())).budget
    assert list(found.columns) == list(workbook.TERMS)
    np.testing.assert_array_equal(found.years, [2020, 2021, 2022])
    np.testing.assert_allclose(found.columns["e_fos"], [0, 0.1, 0.2])
    np.testing.assert_allclose(found.columns["s_land"], [4, 4.1, 4.2])
    np.testing.assert_allclose(found.columns["cement"], [5, 5.1, 5.2])
    np.testing.assert_allclose(found.columns["b_im"], [6, 6.1, 6.2])


def test_models_products_and_what_is_made_of_them_are_kept_apart(
    tmp_path: Path,
) -> None:
    found = workbook.read(write(tmp_path, of_2024()))
    assert (found.edition, found.version) == (2024, "1.0")
    ocean = found.ocean
    assert list(ocean.models.columns) == ["FESOM-2.1-REcoM3", "NEMO-PISCES (IPSL)"]
    np.testing.assert_allclose(ocean.models.matrix()[1], [2.3, 2.4, 2.5])
    # Products begin where the first of them does.
    np.testing.assert_array_equal(ocean.products.years, [2021, 2022])
    np.testing.assert_allclose(ocean.products.columns["JMA-MLR"], [2.9, 3.0])
    np.testing.assert_allclose(ocean.products.columns["CSIR-ML6"], [np.nan, 3.2])
    assert list(ocean.published.columns) == [
        *("GCB", "1 sigma uncertainty", "Multi-model mean", "Model Spread (sd)"),
        "Average data-products (excl. Watson.)",
    ]
    assert list(found.land.models.columns) == ["CABLE-POP", "LPJ-GUESS", "ORCHIDEE-v3"]
    assert found.land.products.matrix().shape == (0, 3)


def test_the_edition_of_2019(tmp_path: Path) -> None:
    path = write(tmp_path, of_2019(), "Global_Carbon_Budget_2019v1.0.xlsx")
    found = workbook.read(path)
    assert (found.edition, found.version) == (2019, "1.0")
    np.testing.assert_allclose(found.budget.columns["e_fos"], [0, 0.1, 0.2])
    np.testing.assert_allclose(found.budget.columns["cement"], 0)
    np.testing.assert_array_equal(found.budget.years, [2016, 2017, 2018])
    assert list(found.ocean.products.columns) == ["Landschützer"]
    assert list(found.ocean.models.columns) == ["CSIRO", "MPIOM-HAMOCC"]
    assert list(found.land.models.columns) == ["CABLE-POP", "LPX-Bern"]


def test_the_edition_of_2025(tmp_path: Path) -> None:
    path = write(tmp_path, of_2025(), "Global_Carbon_Budget_2025_v1.0.xlsx")
    land = workbook.read(path).land
    np.testing.assert_array_equal(land.models.years, [2020, 2021, 2022])
    # Models stay as they simulated; the headline is adjusted by 19 %.
    np.testing.assert_allclose(land.models.columns["LPJwsl"], [1, 2, 3])
    np.testing.assert_allclose(land.published.columns["GCB"], 1.62)
    np.testing.assert_allclose(land.published.columns["GCB unadjusted"], 2)


@pytest.mark.parametrize(
    ("label", "column"),
    [
        ("LPJ-GUESS", "LPJ-GUESS"),
        ("orchidee", "ORCHIDEE-v3"),
        ("ORCHIDEE-v3", "ORCHIDEE-v3"),
        ("LPJ", None),
        ("CABLE", "CABLE-POP"),
    ],
)
def test_a_land_model_finds_its_column_however_it_is_spelt(
    tmp_path: Path, label: str, column: str | None
) -> None:
    found = workbook.read(write(tmp_path, of_2024())).land.column_of(label)
    assert (found and found[0]) == column


def test_a_column_comes_with_its_years(tmp_path: Path) -> None:
    ocean = workbook.read(write(tmp_path, of_2024())).ocean
    found = ocean.column_of("FESOM2_REcoM")
    assert found is not None
    name, years, values = found
    assert name == "FESOM-2.1-REcoM3"
    np.testing.assert_array_equal(years, [2020, 2021, 2022])
    np.testing.assert_allclose(values, [2.1, 2.2, 2.3])
    product = ocean.column_of("CSIR-ML6")
    assert product is not None
    np.testing.assert_array_equal(product[1], [2021, 2022])


def test_other_units_are_converted(tmp_path: Path) -> None:
    sheets = of_2024()
    sheets["Terrestrial Sink"][1] = [None, "All values in million tonnes (MtC/yr)."]
    sheets["Terrestrial Sink"][4] = ["MtC/yr", None, None, "Individual models"]
    found = workbook.read(write(tmp_path, sheets)).land.models
    # 1 MtC is 0.001 PgC.
    np.testing.assert_allclose(found.columns["CABLE-POP"], [0.001, 0.002, 0.003])


def test_years_can_be_selected(tmp_path: Path) -> None:
    found = workbook.read(write(tmp_path, of_2024())).budget.within(2021, 2021)
    np.testing.assert_array_equal(found.years, [2021])
    np.testing.assert_allclose(found.columns["e_luc"], [1.1])


@pytest.mark.parametrize("years", [(2019, 2021), (2021, 2024), (2022, 2021)])
def test_years_that_are_not_there_are_refused(
    tmp_path: Path, years: tuple[int, int]
) -> None:
    table = workbook.read(write(tmp_path, of_2024())).budget
    with pytest.raises(TimeAxisError, match="but the table holds 2020-2022"):
        table.within(*years)


def change(sheet: str, row: int, cells: Sequence[Any]) -> Callable[[Sheets], None]:
    def apply(sheets: Sheets) -> None:
        sheets[sheet][row] = list(cells)

    return apply


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda sheets: sheets.pop("Ocean Sink"), UserError, "no sheet .'Ocean Sink'"),
        (change("Terrestrial Sink", 5, ["Yr"]), UserError, "no row that begins with"),
        (
            change("Global Carbon Budget", 4, ["Year", "land sink", "ocean sink"]),
            UserError,
            "has 0 columns for e_fos",
        ),
        (
            change(
                "Global Carbon Budget",
                4,
                ["Year", "fossil emissions", "fossil fuel and industry", *TERMS],
            ),
            UserError,
            "has 2 columns for e_fos",
        ),
        (
            change("Terrestrial Sink", 5, ["Year", "GCB", None, "A", None, "B"]),
            UserError,
            "has 2 groups of models and products, but 1",
        ),
        (
            change("Terrestrial Sink", 5, ["Year", "GCB", None, "OCN", "OCNv2", "B"]),
            UserError,
            "columns of one name",
        ),
        (
            change("Terrestrial Sink", 7, [2021, 2, None, "#REF!", 1, 1, None, 1]),
            UserError,
            "cell D8 holds '#REF!'",
        ),
        (
            change("Terrestrial Sink", 7, [2031, 2, None, 1, 1, 1, None, 1]),
            TimeAxisError,
            "the year after 2020 is not 2021",
        ),
    ],
)
def test_a_workbook_that_is_laid_out_otherwise_is_refused(
    tmp_path: Path, damage: Callable[[Sheets], Any], error: type, message: str
) -> None:
    sheets = of_2024()
    damage(sheets)
    with pytest.raises(error, match=message):
        workbook.read(write(tmp_path, sheets))


def test_a_sheet_without_unit_is_refused(tmp_path: Path) -> None:
    sheets = of_2024()
    sheets["Terrestrial Sink"] = [[], *sheets["Terrestrial Sink"][5:]]
    with pytest.raises(UnitsError, match="'Terrestrial Sink' does not say its unit"):
        workbook.read(write(tmp_path, sheets))


def test_formulas_without_values_are_refused(tmp_path: Path) -> None:
    # A file that no spreadsheet has computed holds the formula and nothing else.
    sheets = of_2024()
    sheets["Terrestrial Sink"][6:] = [
        [2020 + i, "=1+1", None, "=1+1", "=1+1", "=1+1", None, "=1+1"] for i in range(3)
    ]
    with pytest.raises(UserError, match=r"no value under .'CABLE-POP'"):
        workbook.read(write(tmp_path, sheets))


def test_a_file_of_another_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, of_2024(), "budget.xlsx")
    with pytest.raises(UserError, match="does not say the edition"):
        workbook.read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No file .*Global_Carbon_Budget_2024_v1"):
        workbook.read(tmp_path / "Global_Carbon_Budget_2024_v1.0.xlsx")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Global_Carbon_Budget_2024_v1.0.xlsx"
    path.write_text("<html>not found</html>")
    with pytest.raises(UserError, match="cannot be read as an Excel workbook"):
        workbook.read(path)


def test_a_workbook_damaged_inside_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path, of_2024())
    damaged = tmp_path / "damaged" / whole.name
    damaged.parent.mkdir()
    content = bytearray(whole.read_bytes())
    with zipfile.ZipFile(whole) as archive:
        sheet = archive.getinfo("xl/worksheets/sheet2.xml")
    place = sheet.header_offset + 100
    content[place : place + sheet.compress_size // 2] = bytes(sheet.compress_size // 2)
    damaged.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as an Excel workbook"):
        workbook.read(damaged)


@pytest.mark.parametrize("part", ["xl/worksheets/sheet2.xml", "xl/workbook.xml"])
def test_a_workbook_whose_parts_end_too_early_is_refused(
    tmp_path: Path, part: str
) -> None:
    whole = write(tmp_path, of_2024())
    cut = tmp_path / "cut" / whole.name
    cut.parent.mkdir()
    with zipfile.ZipFile(whole) as before, zipfile.ZipFile(cut, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, content[:-20] if name == part else content)
    with pytest.raises(UserError, match="cannot be read as an Excel workbook"):
        workbook.read(cut)


def real(edition: int) -> workbook.Workbook:
    (path,) = (SHARED / "tables").glob(f"Global_Carbon_Budget_{edition}*.xlsx")
    return workbook.read(path)


@needs_shared
@pytest.mark.parametrize(("edition", "last"), [(2023, 2022), (2024, 2023)])
def test_real_editions_agree_with_themselves(edition: int, last: int) -> None:
    found = real(edition)
    terms = found.budget.columns
    np.testing.assert_array_equal(found.budget.years, np.arange(1959, last + 1))
    balance = budget.budget_imbalance(
        **{name: terms[name] for name in workbook.TERMS if name != "b_im"}
    )
    np.testing.assert_allclose(balance, terms["b_im"], atol=1e-9)
    for sink, count in ((found.land, 20), (found.ocean, 10)):
        assert len(sink.models.columns) == count
        np.testing.assert_allclose(
            sink.models.matrix().mean(axis=0),
            sink.published.columns["Multi-model mean"],
            atol=1e-9,
        )
    np.testing.assert_allclose(found.land.published.columns["GCB"], terms["s_land"])
    np.testing.assert_allclose(found.ocean.published.columns["GCB"], terms["s_ocean"])


@needs_shared
def test_reference_numbers_of_the_edition_of_2024() -> None:
    found = real(2024)
    # Global Carbon Budget 2024, GtC yr-1, to two decimals.
    expected = {
        "e_fos": (9.66, 10.31),
        "e_luc": (1.51, 0.99),
        "g_atm": (6.27, 5.93),
        "s_ocean": (2.88, 2.88),
        "s_land": (2.26, 2.30),
        "cement": (0.19, 0.21),
        "b_im": (-0.42, -0.02),
    }
    chosen = np.isin(found.budget.years, [2015, 2023])
    for term, values in expected.items():
        np.testing.assert_allclose(
            found.budget.columns[term][chosen], values, atol=0.006
        )
    models = found.ocean.models
    assert models.within(2023, 2023).matrix().mean() == pytest.approx(2.71, abs=0.006)
    # The mean of products leaves out the one that was called Watson.
    products = found.ocean.products.within(2023, 2023).columns
    used = [values for name, values in products.items() if "Watson" not in name]
    assert np.mean(used) == pytest.approx(3.05, abs=0.006)


@needs_shared
def test_models_keep_their_names_between_editions() -> None:
    old, new = (set(real(edition).land.models.columns) for edition in (2023, 2024))
    # 2024 replaced CLM 5 by CLM 6, and YIBs by its successor.
    assert old - new == {"CLM5.0", "YIBs"}
    assert new - old == {"CLM6.0", "iMAPLE"}


@needs_shared
@pytest.mark.parametrize("edition", [2023, 2024])
def test_every_column_at_sea_is_told_apart_and_found_by_its_usual_name(
    edition: int,
) -> None:
    ocean = real(edition).ocean
    columns = [*ocean.models.columns, *ocean.products.columns]
    for column in columns:
        found = ocean.column_of(column)
        assert found is not None
        assert found[0] == column
    # As the files of the round and of RECCAP2 spell them.
    spelt = {
        "ACCESS": "ACCESS (CSIRO)",
        "CESM-ETHZ": "CESM-ETHZ",
        "FESOM2_REcoM": "FESOM-2.1-REcoM3",
        "NorESM-OC1.2": "MICOM-HAMOCC (NorESM1-OCv1.2)",
        "MOM6-COBALT-Princeton": "MOM6-COBALT (Princeton)",
        "MPIOM-HAMOCC": "MPIOM-HAMOCC6",
        "MRI-ESM2-3": "MRI-ESM2-21",
        "PlankTOM": "NEMO-PlankTOM12",
        "Nemo4.2-PISCES": "NEMO-PISCES (IPSL)",
        "CNRM-ESM2": "NEMO3.6-PISCESv2-gas (CNRM)",
        "NIES-ML3": "NIES-ML3",
        "JMA-MLR": "JMA-MLR",
    }
    for label, column in spelt.items():
        found = ocean.column_of(label)
        assert found is not None
        assert found[0] == column, label
    assert ocean.column_of("MITgcm-DIC") is None
