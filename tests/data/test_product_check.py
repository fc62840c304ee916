"""The report of `catalog check`: what it says of tiny files and of real ones."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.data import catalog
from emulator.data.entry import Entry
from emulator.data.product_check import check
from emulator.data.readers import workbook
from emulator.data.report_text import summary, text
from tests.data import tiny_files as tiny
from tests.data.centre_files import months, new_layout, uniform
from tests.evaluation.published import budget_workbook

DEFAULT = Path(__file__).resolve().parents[3] / "shared" / "data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)


def write_teacher(root: Path, **changes: np.ndarray) -> None:
    ones = np.ones((24, *tiny.SHAPE), "f4")
    fluxes = {"gpp": 8e-9 * ones, "ra": 4e-9 * ones, "rh": 3.9e-9 * ones}
    fluxes["nbp"] = fluxes["gpp"] - fluxes["ra"] - fluxes["rh"]
    for name, values in {**fluxes, **changes}.items():
        tiny.write(root / f"tiny/S2/tiny_S2_{name}.nc", name, values)


def test_a_good_teacher_is_usable(tmp_path: Path) -> None:
    write_teacher(tmp_path)
    report = check(tiny.entry(), tmp_path)
    assert report.is_usable
    assert report.missing == ["S2 fFire"]
    # 8e-9 kg m-2 s-1 on the sphere over 365 days.
    expected = 8e-9 * 4 * np.pi * 6.371e6**2 * 365 * 86400 / 1e12
    assert report.totals["S2"]["2000-2001"]["gpp"] == pytest.approx(expected, rel=1e-6)
    assert report.coverage["S2"]["nbp"] == 1
    assert report.residual["S2"] < 1e-6
    described = next(f for f in report.fields if f.variable == "gpp")
    assert described.period == "2000-01 to 2001-12, 24 months"
    assert described.grid == "4x8, 45 degree"
    assert (described.units_found, described.units_used) == (
        "kg C m-2 s-1",
        "kg m-2 s-1",
    )


def test_the_text_and_the_json_say_the_same(tmp_path: Path) -> None:
    write_teacher(tmp_path)
    report = check(tiny.entry(gates={"sign": "a test"}), tmp_path)
    said = text(report)
    assert said.startswith("tiny (teacher) [testbed]")
    assert "kg C m-2 s-1 > kg m-2 s-1" in said
    assert "S2, PgC per year" in said
    assert "not there: S2 fFire" in said
    assert said.endswith("Complete and plausible.")
    assert json.loads(json.dumps(report.to_dict()))["is_usable"] is True


def test_a_flipped_sign_is_a_problem_and_an_override_is_told(tmp_path: Path) -> None:
    flipped = np.full((24, *tiny.SHAPE), -1e-10, "f4")
    write_teacher(tmp_path, nbp=flipped)
    report = check(tiny.entry(), tmp_path)
    assert not report.is_usable
    assert "PROBLEM: tiny_S2_nbp.nc (tiny S2): 'nbp' has the wrong" in text(report)
    # Twice 1e-10 of 8e-9 is told, but is no problem: the cure of the sign mends it.
    assert "S2: nbp differs from its components by 2.50% of GPP" in text(report)
    assert len(report.problems) == 1
    overridden = tiny.entry(gates={"sign": "a test", "closure": "a test"})
    report = check(overridden, tmp_path)
    assert report.is_usable
    assert "overridden gate sign: tiny_S2_nbp.nc (tiny S2)" in text(report)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    write_teacher(tmp_path)
    (tmp_path / "tiny/S2/tiny_S2_nbp.nc").write_bytes(b"")
    tiny.write(tmp_path / "tiny/S2/tiny_S2_rh.nc", "rh", tiny.law(24), units="bananas")
    problems = check(tiny.entry(), tmp_path).problems
    assert len(problems) == 3
    assert "is empty" in problems[0]
    assert "bananas" in problems[1]
    assert "has no 'nbp', the net flux" in problems[2]


def test_a_teacher_without_files_is_no_teacher(tmp_path: Path) -> None:
    report = check(tiny.entry(), tmp_path)
    assert len(report.missing) == 5
    assert report.is_absent
    assert not report.is_usable
    wanted = f"below {tmp_path}/tiny, where {{simulation}}/tiny_{{simulation}}_"
    assert wanted in report.problems[0]


def write_six_years(root: Path) -> None:
    """Write gpp, ra, rh and an nbp that is a little off, other in each year."""
    year = (np.arange(72) // 12)[:, None, None]
    ones = np.ones((72, *tiny.SHAPE))
    gpp = 8e-9 * (1 + 0.01 * year) * ones
    fluxes = {"gpp": gpp, "ra": 0.5 * gpp, "rh": 0.45 * gpp, "nbp": 0.0501 * gpp}
    for name, values in fluxes.items():
        path = root / f"tiny/S2/tiny_S2_{name}.nc"
        tiny.write(path, name, values.astype("f4"), time=tiny.noleap_days(1998, 72))


def test_years_are_read_in_blocks_and_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_six_years(tmp_path)
    said = tiny.entry(years=[1998, 2003])
    found = {}
    for years in (1, 4, 100):
        monkeypatch.setattr("emulator.data.product_check.BLOCK_YEARS", years)
        found[years] = check(said, tmp_path).to_dict()
    assert found[100]["fields"][0]["period"] == "1998-01 to 2003-12, 72 months"
    # By hand: 0.0501 instead of 0.05 of GPP.
    assert found[1]["residual"]["S2"] == pytest.approx(1e-4, rel=1e-3)
    for years in (1, 4):
        residual, slope = (found[years].pop(key) for key in ("residual", "signs"))
        assert residual["S2"] == pytest.approx(1e-4, rel=1e-3)
        assert slope["S2"]["agreement"] == pytest.approx(1.002)
        whole = {k: v for k, v in found[100].items() if k in found[years]}
        assert found[years] == whole


def test_what_fails_in_a_later_block_is_told_of_all_years(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulator.data.product_check.BLOCK_YEARS", 2)
    write_six_years(tmp_path)
    short = np.full((48, *tiny.SHAPE), 4e-9, "f4")
    path = tmp_path / "tiny/S2/tiny_S2_rh.nc"
    tiny.write(path, "rh", short, time=tiny.noleap_days(1998, 48))
    report = check(tiny.entry(years=[1998, 2003]), tmp_path)
    (problem,) = report.problems
    assert "of the years 1998-2003 the file holds 1998-01 to 2001-12" in problem
    # The others are checked all the same, without the closure that needs rh.
    assert [item.variable for item in report.fields] == ["nbp", "gpp", "ra"]
    assert report.residual == {}
    assert list(report.totals["S2"]) == ["1998-1999", "2000-2003"]


def test_fields_are_told_whole_where_their_area_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emulator.data.product_check.BLOCK_YEARS", 2)
    write_six_years(tmp_path)
    source = {"treatment": "multiply", "variable": "frac", "file": "static.nc"}
    said = tiny.entry(years=[1998, 2003], land_fraction=source)
    report = check(said, tmp_path)
    assert len(report.problems) == 1
    assert report.fields[0].period == "1998-01 to 2003-12, 72 months"
    assert report.totals == {}


def test_a_simulation_that_one_did_not_get_is_missing_not_wrong(tmp_path: Path) -> None:
    write_teacher(tmp_path)
    s2 = {"weather": [{"years": [2000, None], "same": True}], "co2": {"constant": 280}}
    report = check(tiny.entry(simulations={"S0": s2, "S2": s2}), tmp_path)
    assert report.is_usable
    assert "not there: S0; S2 fFire" in text(report)
    # One without its net flux is wrong.
    path = tmp_path / "tiny/S2/tiny_S2_nbp.nc"
    path.unlink()
    assert "Simulation 'S2' of 'tiny' has no 'nbp'" in text(
        check(tiny.entry(), tmp_path)
    )


def test_the_sign_test_is_told_and_so_is_that_there_was_none(tmp_path: Path) -> None:
    # 1e-10 more in one half of the world than the other, in all that there is.
    east = np.where(tiny.LON > 0, 2e-8, 1e-8) * np.ones((24, *tiny.SHAPE))
    write_teacher(tmp_path, gpp=east.astype("f4"), nbp=(east - 7.9e-9).astype("f4"))
    report = check(tiny.entry(), tmp_path)
    assert report.signs["S2"].agreement == pytest.approx(1, abs=1e-4)
    assert "S2: sign right by its slope on gpp - ra - rh - fFire" in text(report)
    tiny.write(
        tmp_path / "yearly/S2/tiny_S2_nbp.nc",
        "nbp",
        1e-10 * np.ones((2, *tiny.SHAPE), "f4"),
        time=np.array([2000.0, 2001.0]),
        time_units="years since 0000-01-01",
    )
    report = check(tiny.entry(root="yearly"), tmp_path)
    assert report.signs == {}
    assert "S2: sign not tested: annual" in text(report)
    # Without a season to tell it is neither right nor wrong.
    for name in ("gpp", "ra", "rh"):
        (tmp_path / f"tiny/S2/tiny_S2_{name}.nc").unlink()
    tiny.write(tmp_path / "tiny/S2/tiny_S2_nbp.nc", "nbp", 0 * east.astype("f4"))
    assert "S2: sign not told by its summer" in text(check(tiny.entry(), tmp_path))
    tiny.write(tmp_path / "tiny/S2/tiny_S2_gpp.nc", "gpp", east.astype("f4"))
    (tmp_path / "tiny/S2/tiny_S2_nbp.nc").unlink()
    said = text(check(tiny.entry(), tmp_path))
    assert "S2: sign not tested: there is no net flux" in said


def with_nbp(root: Path, rate: float) -> None:
    """Write nbp of one rate, kg m-2 s-1, that takes up more in the northern summer."""
    season = np.cos(2 * np.pi * (np.arange(24) % 12 - 6.5) / 12)
    north = np.sign(tiny.LAT)[None, :, None]
    nbp = rate + 1e-9 * season[:, None, None] * north * np.ones((24, *tiny.SHAPE))
    tiny.write(root / "tiny/S2/tiny_S2_nbp.nc", "nbp", nbp.astype("f4"))


def test_a_model_stands_beside_its_column_of_the_budget(tmp_path: Path) -> None:
    # 2e-10 kg m-2 s-1 over the sphere and 365 days: 3.2174 PgC, of which the north's
    # summer takes away what the south's adds.
    with_nbp(tmp_path, 2e-10)
    columns = {"ELM": [9.0] * 4, "LPJ-EOSIM": [9.0, 3.0, 3.5, 9.0]}
    book = workbook.read(budget_workbook(tmp_path, range(1999, 2003), columns))
    report = check(tiny.entry(label="LPJwsl"), tmp_path, book)
    assert report.budget is not None
    assert (report.budget.column, report.budget.simulation) == ("LPJwsl", "S2")
    row = report.budget.decades["2000-2001"]
    assert row["files"] == pytest.approx(3.2174, abs=1e-3)
    # The mean of the two years that both have.
    assert row["budget"] == pytest.approx(3.25)
    assert row["difference"] == pytest.approx(3.2174 - 3.25, abs=1e-3)
    said = text(report)
    assert "S2 beside Global Carbon Budget 2024 v1.0, column 'LPJwsl'" in said
    assert "2000-2001                   3.22   3.25    -0.03" in said
    none = check(tiny.entry(label="ALDER"), tmp_path, book)
    assert "Budget 2024 v1.0 has no column of 'ALDER'." in text(none)
    assert check(tiny.entry(label="LPJwsl"), tmp_path).budget is None


def test_an_ocean_model_is_compared_without_its_drift(tmp_path: Path) -> None:
    # A rises with the years, B falls by as much: without the drift A rises twice so.
    years = np.repeat(np.arange(4), 12)[:, None, None] * np.ones((48, *tiny.SHAPE))
    for simulation, sign in (("A", 1), ("B", -1)):
        path = tmp_path / f"tiny/{simulation}/tiny_{simulation}_fgco2.nc"
        values = (sign * 1e-11 * years).astype("f4")
        tiny.write(path, "fgco2", values, time=tiny.noleap_days(1999, 48))
    saw = {"weather": [{"years": [1999, None], "same": True}], "co2": {"constant": 280}}
    said = tiny.entry(
        domain="ocean",
        reader="gobm",
        label="CESM-ETHZ",
        variables={"fgco2": {}},
        years=[1999, 2002],
        simulations={"A": saw, "B": saw},
        drift={"year_one": {"A": 1999, "B": 1999}},
        gates={"coverage": "a test"},
    )
    book = workbook.read(
        budget_workbook(tmp_path, range(1999, 2003), {"ED": [1.0] * 4})
    )
    report = check(said, tmp_path, book)
    assert report.budget is not None
    assert report.budget.is_corrected
    # 1e-11 kg m-2 s-1 on the sphere over 365 days are 0.16087 PgC; years 1 to 3 of it.
    row = report.budget.decades["2000-2002"]
    assert row["files"] == pytest.approx(2 * 2 * 0.16087, rel=1e-3)
    assert row["budget"] == 2.0
    assert "A without drift beside Global Carbon Budget 2024" in text(report)


def test_a_column_of_other_years_and_another_simulation(tmp_path: Path) -> None:
    with_nbp(tmp_path, 2e-10)
    book = workbook.read(budget_workbook(tmp_path, range(1990, 1993), {"T": [1, 2, 3]}))
    said = text(check(tiny.entry(label="T"), tmp_path, book))
    assert "column 'T': no year is in both." in said
    saw = {"weather": [{"years": [2000, None], "same": True}], "co2": {"constant": 280}}
    two = tiny.entry(label="T", simulations={"S0": saw, "S1": saw})
    (tmp_path / "tiny/S2").rename(tmp_path / "tiny/S0")
    (tmp_path / "tiny/S0/tiny_S2_nbp.nc").rename(tmp_path / "tiny/S0/tiny_S0_nbp.nc")
    assert check(two, tmp_path, book).budget is None


def test_many_products_are_summed_up_in_a_table(tmp_path: Path) -> None:
    write_teacher(tmp_path)
    reports = [
        check(tiny.entry(), tmp_path),
        check(tiny.entry(root="absent"), tmp_path),
        check(tiny.entry(gates={}, cell_area={"variable": "a", "file": "b"}), tmp_path),
    ]
    _, good, absent, bad = summary(reports).splitlines()
    assert good.split() == [
        *("tiny", "tiny", "4", "of", "5", "S2", "2000-01", "to", "2001-12"),
        *("4x8,", "45", "degree", "usable"),
    ]
    assert absent.split() == ["tiny", "tiny", "0", "of", "5", "no", "file"]
    assert bad.endswith("1 problem")


def test_numbers_that_are_none_are_null_in_json(tmp_path: Path) -> None:
    nothing = np.full((24, *tiny.SHAPE), np.nan, "f4")
    tiny.write(tmp_path / "tas.nc", "tas", nothing, units="K")
    said = check(tiny.forcing_entry(), tmp_path).to_dict()
    assert said["fields"][0]["lowest"] is None
    json.dumps(said, allow_nan=False)


def test_a_fraction_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    write_teacher(tmp_path)
    source = {"treatment": "multiply", "variable": "frac", "file": "static.nc"}
    report = check(tiny.entry(land_fraction=source), tmp_path)
    assert "static.nc', which catalog entry 'tiny' needs." in report.problems[0]


def test_forcing_and_annual_fields_are_described(tmp_path: Path) -> None:
    warm = np.full((24, *tiny.SHAPE), 288.0, "f4")
    tiny.write(tmp_path / "tas.nc", "tas", warm, units="K")
    report = check(tiny.forcing_entry(), tmp_path)
    assert report.is_usable
    assert report.fields[0].lowest == report.fields[0].highest == 288
    celsius = tiny.forcing_entry(variables={"tas": {"units": "degC"}})
    assert "values of 'tas' lie outside" in check(celsius, tmp_path).problems[0]
    assert "No file" in check(tiny.forcing_entry(), tmp_path / "absent").problems[0]


def test_forcing_says_what_it_covers(tmp_path: Path) -> None:
    # The western half of a sphere of 510.06 million km2, less of its second month.
    tas = np.where(tiny.LON < 0, 288.0, np.nan) * np.ones((24, *tiny.SHAPE), "f4")
    tas[1, :, :2] = np.nan
    tiny.write(tmp_path / "tas.nc", "tas", tas.astype("f4"), units="K")
    west = (tiny.LON < 0).sum()
    share = (west - 2) / tiny.LON.size
    for domain, area in (("both", 510.06), ("ocean", 360.0), ("land", 133.0)):
        report = check(tiny.forcing_entry(domain=domain), tmp_path)
        assert report.is_usable
        covered = min(1.0, share * 510.06 / area)
        assert report.coverage == {"": {"tas": pytest.approx(covered, abs=1e-3)}}
        assert f"\ntas covers {covered:.0%} of the domain" in text(report)
        assert report.to_dict()["coverage"][""]["tas"] == pytest.approx(covered, 1e-3)


def test_a_month_without_any_value_is_a_problem(tmp_path: Path) -> None:
    tas = np.full((24, *tiny.SHAPE), 288.0, "f4")
    tas[5] = np.nan
    tiny.write(tmp_path / "tas.nc", "tas", tas, units="K")
    (problem,) = check(tiny.forcing_entry(), tmp_path).problems
    assert problem.startswith(
        "tas.nc (weather): 'tas' holds no value in 2000-06, but some"
    )
    static = tiny.forcing_entry(kind="static", years=None, evidence=None)
    tiny.write(tmp_path / "tas.nc", "tas", tas[5], units="K")
    (problem,) = check(static, tmp_path).problems
    assert "'tas' holds no value, but some" in problem


def test_a_product_with_a_gap_is_not_complete(tmp_path: Path) -> None:
    rain = tiny.forcing_entry(
        reader="era5", files="**/*", variables={"pr": {}}, years=[1940, None]
    )

    def told(first: str, count: int) -> None:
        path = tmp_path / "monthly" / f"{first}.nc"
        new_layout(path, months(first, count), {"tp": uniform([1e-3] * count)})

    told("2024-01", 2)
    assert check(rain, tmp_path).is_usable
    told("2024-04", 1)
    report = check(rain, tmp_path)
    assert report.fields[0].period == "2024-01 to 2024-02, 2 months"
    assert "  m > kg m-2 s-1  " in text(report)
    (problem,) = report.problems
    assert (
        "has no 'pr' of 2024-03, so that months after it are left out. Get" in problem
    )


def test_a_field_without_values_is_described(tmp_path: Path) -> None:
    nothing = np.full((24, *tiny.SHAPE), np.nan, "f4")
    tiny.write(tmp_path / "tas.nc", "tas", nothing, units="K")
    assert np.isnan(check(tiny.forcing_entry(), tmp_path).fields[0].lowest)


def regions(**changes: Any) -> Entry:
    said = {
        "kind": "regions",
        "years": None,
        "evidence": None,
        "files": "masks.nc",
        "variables": None,
        "layers": [{"variable": "half", "names": {1: "South"}}],
    }
    return tiny.forcing_entry(**{**said, **changes})


def test_regions_are_reported_by_area(tmp_path: Path) -> None:
    half = np.zeros(tiny.SHAPE, "i2")
    half[:2] = 1
    tiny.write(tmp_path / "masks.nc", "half", half, units=None)
    report = check(regions(), tmp_path)
    # Half of 510.06 million km2, the sphere of 6371 km.
    assert report.regions == pytest.approx({"South": 255.03, "other": 255.03}, abs=0.01)
    assert "South: 255.0 million km2" in text(report)
    assert not check(regions(files="absent.nc"), tmp_path).is_usable


# --- real models ------------------------------------------------------------

LPJ = """\
S0 1950-1959 159.8 64.7 61.6 3.56 -0.48
S0 1960-1969 159.4 65.0 61.4 3.49 0.14
S0 1970-1979 160.2 65.3 61.5 3.46 0.31
S0 1980-1989 159.8 64.6 61.3 3.53 -0.28
S0 1990-1999 159.4 64.9 61.0 3.49 0.41
S0 2000-2009 160.2 65.2 61.3 3.48 0.43
S1 1950-1959 169.9 69.4 64.5 4.07 0.83
S1 1960-1969 171.1 70.8 64.7 4.04 2.07
S1 1970-1979 174.9 72.5 65.0 4.08 3.45
S1 1980-1989 178.4 73.8 65.5 4.29 3.97
S1 1990-1999 181.5 75.7 66.1 4.40 5.25
S1 2000-2009 187.1 78.5 68.2 4.53 5.84
S2 1950-1959 169.4 69.5 64.4 4.05 1.00
S2 1960-1969 171.1 70.8 64.5 4.00 2.22
S2 1970-1979 174.9 72.3 64.9 4.08 3.32
S2 1980-1989 177.8 73.4 65.9 4.23 3.22
S2 1990-1999 182.8 75.7 67.3 4.35 3.98
S2 2000-2009 187.3 78.0 70.5 4.47 2.99
"""
"""Published with the data: simulation, decade, gpp, npp, rh, fFire, nbp in PgC."""


@needs_shared
def test_lpjwsl_has_the_totals_it_was_published_with() -> None:
    report = check(catalog.load("lpjwsl"), SHARED)
    assert report.is_usable
    assert report.overridden == []
    for line in LPJ.splitlines():
        simulation, decade, *published = line.split()
        found = report.totals[simulation][decade]
        for name, value in zip(
            ("gpp", "npp", "rh", "fFire", "nbp"), published, strict=True
        ):
            # Half of the last published digit, and what 11 stored bits leave open.
            digits = len(value.split(".")[1])
            tolerance = 0.5 * 10**-digits + 0.005
            assert found[name] == pytest.approx(float(value), abs=tolerance)
    # The establishment flux is small; rounding of the files is most of this.
    assert max(report.residual.values()) < 0.001


@needs_shared
def test_mitgcm_has_the_totals_it_was_published_with() -> None:
    report = check(catalog.load("mitgcm_dic"), SHARED)
    assert report.is_usable
    found = {span: row["fgco2"] for span, row in report.totals["A"].items()}
    published = {
        "1982-1989": 1.44,
        "1990-1999": 1.92,
        "2000-2009": 2.19,
        "2010-2019": 2.71,
    }
    assert found == pytest.approx(published, abs=0.006)
    spans = {"1982-1989": 8, "1990-1999": 10, "2000-2006": 7}
    mean = sum(report.totals["B"][s]["fgco2"] * n for s, n in spans.items()) / 25
    assert mean == pytest.approx(-0.12, abs=0.006)


@needs_shared
@pytest.mark.parametrize(
    "name",
    [
        "lpjwsl_forcing",
        "lpjwsl_static",
        "co2_lpjwsl",
        "mitgcm_forcing",
        "mitgcm_surface",
        "mitgcm_static",
        "co2_mitgcm",
        "reccap2_ocean",
        "reccap2_ocean_biomes",
        "reccap2_land",
        "transcom",
        "biomes",
    ],
)
def test_every_real_product_is_usable(name: str) -> None:
    report = check(catalog.load(name), SHARED)
    assert report.is_usable, text(report)


@needs_shared
def test_known_regions_have_their_known_areas() -> None:
    # Australia with Tasmania 7.7 million km2; Europe as TransCom draws it 9.6; the
    # Atlantic without its marginal and southern seas about 70.
    areas = check(catalog.load("transcom"), SHARED).regions
    assert areas["Australia"] == pytest.approx(7.9, abs=0.4)
    assert areas["Europe"] == pytest.approx(9.6, abs=0.5)
    areas = check(catalog.load("reccap2_ocean"), SHARED).regions
    assert areas["Atlantic"] == pytest.approx(70, abs=3)


@needs_shared
def test_co2_of_lpjwsl_has_no_season() -> None:
    from emulator.data import readers

    series = readers.read(catalog.load("co2_lpjwsl"), "co2", None, SHARED)
    by_year = series.values.reshape(-1, 12)
    assert (by_year == by_year[:, :1]).all()
    # NOAA, Mauna Loa: the mean of 2012 is 393.9 to 394.1 by version.
    assert by_year[-1, 0] == pytest.approx(394.0, abs=0.2)
