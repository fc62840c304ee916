import json
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import UserError
from emulator.carbon.timeaxis import month_range
from emulator.data.readers import workbook
from emulator.data.readers.carbon_monitor import MonthlyEmissions
from emulator.data.readers.co2_record import Co2Record
from emulator.data.readers.workbook import SinkSheet, Table, Workbook
from emulator.nightly import series
from emulator.nightly.adjust import adjusted
from emulator.nightly.budget_settings import AdjustmentSettings, BudgetSettings
from emulator.nightly.closure import FLAGS, Records, closure, land_number, read_records
from emulator.nightly.tables import tables

from .totals import sink_map

DEFAULT = Path(__file__).resolve().parents[3] / "shared/data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)
WORLD = "TRENDY/GOBM"
YEARS = np.arange(1980, 1999)
MEAN_YEAR = 365.2425
NORMAL = 1.6448536


def book(fossil: np.ndarray | None = None) -> Workbook:
    """Return an edition to 1998, closed but for 0.5 PgC."""
    terms = {"e_fos": 10.0, "e_luc": 1.0, "g_atm": 5.0, "cement": 0.2}
    columns = {name: np.full(YEARS.size, value) for name, value in terms.items()}
    if fossil is not None:
        columns["e_fos"] = fossil
    none = Table(YEARS, {})
    sheet = SinkSheet(none, none, none)
    return Workbook(2024, "1.0", Table(YEARS, columns), sheet, sheet)


def record(
    slope: float = 0.2, place: str = "global", last: str = "2000-10", sigma: float = 0.1
) -> Co2Record:
    """Return CO2 that rises evenly, by ``slope`` ppm a month."""
    months = month_range("1990-01", last)
    trend = 350 + slope * np.arange(months.size)
    return Co2Record(place, months, trend, np.full(months.size, sigma), f"{place}.csv")


@pytest.fixture(scope="module")
def world() -> xr.Dataset:
    """Return a map of 1991 to 2000 with 3 PgC yr-1 into land and 2.5 into the sea."""
    given = sink_map({"A": np.full(10, 3.0)}, {"C": np.full(10, 2.5)}, evidence=WORLD)
    return given.merge(series.running(given))


def term(found: xr.Dataset, name: str, year: int, part: str = "") -> float:
    return float(found[f"closure_year{part}"].sel(term=name, year=year))


def test_budget_closes_to_what_is_left(world: xr.Dataset) -> None:
    found = closure(world, BudgetSettings(), Records(book(), record()))
    # 12 x 0.2 ppm are 2.4 x 2.124 = 5.0976 PgC; sinks of 365 days.
    sinks = 5.5 * 365 / MEAN_YEAR
    assert term(found, "g_atm", 1995) == pytest.approx(5.0976)
    assert term(found, "s_land", 1995) == pytest.approx(3 * 365 / MEAN_YEAR, rel=1e-6)
    expected = 10 + 1 - 5.0976 - sinks - 0.2
    assert term(found, "b_im", 1995) == pytest.approx(expected, rel=1e-5)
    # 5 % of 10, 0.7, 2.124 x (0.1^2 + 0.1^2)^0.5, and 0.4 and 1.0, since the map has no
    # intervals.
    sigma = (0.5**2 + 0.7**2 + 2.124**2 * 0.02 + 0.4**2 + 1.0) ** 0.5
    assert term(found, "b_im", 1995, "_sigma") == pytest.approx(sigma)


def test_twelve_months_to_december_close_as_the_year(world: xr.Dataset) -> None:
    found = closure(world, BudgetSettings(), Records(book(), record()))
    for part in ("", "_sigma", "_flag"):
        december = found[f"closure_12month{part}"][:, 11::12]
        np.testing.assert_allclose(december, found[f"closure_year{part}"], rtol=1e-6)
    number = found["land_12month"][:, 11::12]
    np.testing.assert_allclose(number, found["land_year"], rtol=1e-6)
    # Growth that is even in time is so over any twelve months.
    june = found["closure_12month"].sel(term="g_atm", time="1995-06-01")
    assert float(june) == pytest.approx(5.0976)


def test_flags_say_where_a_number_comes_from(world: xr.Dataset) -> None:
    found = closure(world, BudgetSettings(longest=1), Records(book(), record()))
    words = found["closure_year_flag"].attrs["flag_meanings"].split()

    def said(year: int) -> list[str]:
        codes = found["closure_year_flag"].sel(year=year).to_numpy()
        return [words[code] for code in codes]

    sinks = ["emulated", "emulated"]
    early = ["published", "published", "observed", *sinks, "published", "derived"]
    assert said(1998) == early
    late = "extrapolated"
    assert said(1999) == [late, late, "observed", *sinks, late, late]
    # CO2 ends in October 2000, and emissions are carried on for one year.
    assert said(2000) == ["missing", "missing", "missing", *sinks, "missing", "missing"]
    assert np.isnan(term(found, "b_im", 2000))
    assert np.isnan(term(found, "b_im", 2000, "_sigma"))
    # The last twelve months of known growth end in September: a turn needs both months.
    growth = found["closure_12month"].sel(term="g_atm")
    assert growth.sel(time="2000-09-01").notnull()
    assert growth.sel(time="2000-10-01").isnull()
    assert words == list(FLAGS)


def test_without_a_record_growth_is_that_of_the_edition(world: xr.Dataset) -> None:
    found = closure(world, BudgetSettings(), Records(book()))
    assert term(found, "g_atm", 1998) == 5.0
    assert term(found, "g_atm", 1998, "_sigma") == 0.2
    assert term(found, "g_atm", 1998, "_flag") == FLAGS["published"]
    assert np.isnan(term(found, "g_atm", 1999))
    # A year's growth is not spread over months.
    growth = found["closure_12month"].sel(term="g_atm")
    assert growth.notnull().sum() == 8
    assert "co2_growth_year" not in found


def test_edition_stands_in_where_the_record_has_no_year(world: xr.Dataset) -> None:
    late = record(last="1996-06")
    found = closure(world, BudgetSettings(), Records(book(), late))
    assert term(found, "g_atm", 1995, "_flag") == FLAGS["observed"]
    assert term(found, "g_atm", 1996, "_flag") == FLAGS["published"]


def test_station_stands_beside_with_its_larger_error(world: xr.Dataset) -> None:
    station = record(slope=0.3, place="mauna_loa", last="2001-02", sigma=0.0)
    found = closure(world, BudgetSettings(), Records(book(), record(), station))
    growth = found["co2_growth_year"].sel(year=1995)
    np.testing.assert_allclose(growth, [2.4, 3.6])
    assert found["co2_record"].to_numpy().tolist() == ["global", "mauna_loa"]
    # It differs from the globe by 1.2 ppm in every year.
    sigma = found["co2_growth_year_sigma"].sel(year=1995)
    np.testing.assert_allclose(sigma, [0.1 * 2**0.5, 1.2])
    # The budget keeps to the globe, even where the station goes on.
    assert term(found, "g_atm", 1995) == pytest.approx(2.4 * 2.124)
    assert np.isnan(term(found, "g_atm", 2000))
    assert np.isfinite(found["co2_growth_year"].sel(year=2000)[1])


def test_fossil_emissions_grow_on_and_land_use_stays(world: xr.Dataset) -> None:
    fossil = 10 * 1.02 ** (YEARS - 1998.0)
    found = closure(world, BudgetSettings(), Records(book(fossil), record()))
    assert term(found, "e_fos", 1999) == pytest.approx(10.2)
    assert term(found, "e_fos", 2000) == pytest.approx(10.404)
    # Exact growth was never wrong: 5 % of the last year remain.
    assert term(found, "e_fos", 1999, "_sigma") == pytest.approx(0.5)
    assert term(found, "e_luc", 2000) == 1.0
    about = json.loads(found.attrs["closure"])
    assert about["e_fos after it"] == "grown on as in the last 5 years"


def monthly(
    years: list[float], months: int = 12, first: int = 1995
) -> MonthlyEmissions:
    """Return a product with these annual sums, of the last year some months."""
    axis = np.arange(
        np.datetime64(f"{first}-01"),
        12 * (len(years) - 1) + months + np.datetime64(f"{first}-01"),
    )
    return MonthlyEmissions(axis, np.repeat(years, 12)[: axis.size] / 12)


def test_fossil_emissions_follow_the_product(world: xr.Dataset) -> None:
    # A product of 9 in every year but 9.9 in 1999, a tenth more. The budget grew by
    # nothing, as the product in 1996 to 1998: it was never wrong.
    product = monthly([9.0, 9.0, 9.0, 9.0, 9.9])
    records = Records(book(), record(), None, product)
    found = closure(world, BudgetSettings(), records)
    assert term(found, "e_fos", 1999) == pytest.approx(11.0)
    assert term(found, "e_fos", 1999, "_sigma") == pytest.approx(0.5)
    # Then growth is that of the budget, none, from where the product stopped.
    assert term(found, "e_fos", 2000) == pytest.approx(11.0)
    assert "Carbon Monitor up to 1999-12" in found.attrs["closure"]


def test_product_that_was_wrong_widens_the_error(world: xr.Dataset) -> None:
    # In 1996, 1997, 1998 the product grew by 0, 10 % and -1/11; the budget by nothing.
    product = monthly([9.0, 9.0, 9.9, 9.0, 9.9])
    found = closure(world, BudgetSettings(), Records(book(), record(), None, product))
    wrong = ((0.1**2 + (1 / 11) ** 2) / 3) ** 0.5 * 11.0
    expected = (0.5**2 + wrong**2) ** 0.5
    assert term(found, "e_fos", 1999, "_sigma") == pytest.approx(expected)
    # With two growths to judge by it is as uncertain as growth without it: certain.
    short = monthly([9.0, 9.9, 9.0, 9.9], first=1996)
    found = closure(world, BudgetSettings(), Records(book(), record(), None, short))
    assert term(found, "e_fos", 1999, "_sigma") == pytest.approx(0.5)


def test_part_of_a_year_is_as_uncertain_as_what_is_missing(world: xr.Dataset) -> None:
    # A budget that jumps: growing on over one year is wrong by 0.4 in the mean.
    fossil = 10 + 0.2 * (-1.0) ** (YEARS - 1998)
    product = monthly([9.8, 10.2, 9.8, 10.2, 9.8], months=3)
    plain = BudgetSettings(growth_years=1)
    without = closure(world, plain, Records(book(fossil), record()))
    followed = closure(world, plain, Records(book(fossil), record(), None, product))
    own = 0.05 * fossil[-1]
    missing = (term(without, "e_fos", 1999, "_sigma") ** 2 - own**2) ** 0.5
    assert missing > 0.3
    expected = (own**2 + (0.75 * missing) ** 2) ** 0.5
    assert term(followed, "e_fos", 1999, "_sigma") == pytest.approx(expected, rel=1e-4)
    assert term(followed, "e_fos", 1999) == pytest.approx(9.8)


def test_errors_of_sinks_are_those_of_the_map(world: xr.Dataset) -> None:
    total = world["budget_year"]
    half = np.where(total["year"] == 2000, np.nan, 0.5) * np.ones(total.shape)
    ends = series.interval(total, half, "sink").assign_attrs(nbp_level=0.9)
    given = world.assign(budget_year_interval_sink=ends)
    found = closure(given, BudgetSettings(), Records(book(), record()))
    assert term(found, "s_land", 1995, "_sigma") == pytest.approx(0.5 / NORMAL)
    assert term(found, "s_land", 2000, "_sigma") == 1.0


@pytest.mark.parametrize(
    ("definition", "products", "land", "ocean"),
    [
        ("unadjusted", [], 1.0, 1.0),
        ("gcb2024", [], 1.0, 1.0),
        ("gcb2025", [], 0.81, 1.10),
        # An error that C and D share enters half of the sink 10 % larger.
        ("gcb2025", ["D"], 0.81, 1.05),
        ("gcb2025", ["C", "D"], 0.81, 1.0),
    ],
)
def test_errors_of_sinks_are_scaled_as_the_definition_scales_the_sinks(
    definition: str, products: list[str], land: float, ocean: float
) -> None:
    given = sink_map(
        {"A": np.full(10, 3.0)},
        {"C": np.full(10, 2.5), "D": np.full(10, 2.0)},
        evidence=WORLD,
    )
    given = given.merge(series.running(given))
    total = given["budget_year"]
    half = np.where(total["year"] == 2000, np.nan, 0.5) * np.ones(total.shape)
    given["budget_year_interval_sink"] = series.interval(total, half, "sink")
    settings = BudgetSettings(definition=definition, products=products)
    found = closure(given, settings, Records(book(), record()))
    for name, factor, published in (("s_land", land, 1.0), ("s_ocean", ocean, 0.4)):
        error = term(found, name, 1995, "_sigma")
        assert error == pytest.approx(factor * 0.5 / NORMAL)
        # That of the Global Carbon Budget is one of its own sinks.
        assert term(found, name, 2000, "_sigma") == published


def test_numbers_of_the_land_keep_their_names(world: xr.Dataset) -> None:
    found = closure(world, BudgetSettings(), Records(book(), record()))
    land = found["land_year"].sel(year=1995)
    total = 3 * 365 / MEAN_YEAR
    by_name = {
        str(n): float(v)
        for n, v in zip(land["land_number"].values, land.values, strict=True)
    }
    assert by_name["s_land_s2"] == pytest.approx(total, rel=1e-6)
    assert by_name["net_gcb"] == pytest.approx(total - 1.0, rel=1e-6)
    # The residual is the land sink that would close the budget.
    closing = term(found, "b_im", 1995) + total
    assert by_name["rss"] == pytest.approx(closing, rel=1e-6)
    assert np.isnan(by_name["net_s3"])
    assert np.isnan(by_name["eluc_dgvm"])
    assert "S2 less S3, which includes lost sink" in found["land_year"].attrs["comment"]


def test_land_with_land_use_is_no_land_sink(world: xr.Dataset) -> None:
    found = closure(world, BudgetSettings(simulation="S3"), Records(book(), record()))
    land = found["land_year"].sel(year=1995)
    known = land.dropna("land_number")["land_number"].to_numpy().tolist()
    assert known == ["net_s3", "rss"]
    assert land_number(found) == "net_s3"
    # Before a year is over, too; and a map without these tables is of S2.
    month = world.isel(time=[0], year=[])
    begun = closure(month, BudgetSettings(simulation="S3"), Records())
    assert begun["land_12month"].isnull().all()
    assert land_number(begun) == "net_s3"
    assert land_number(world) == "s_land_s2"
    assert np.isnan(term(found, "s_land", 1995))
    assert np.isnan(term(found, "b_im", 1995))


def test_definition_of_2025_changes_the_terms_and_not_the_land_numbers(
    world: xr.Dataset,
) -> None:
    plain = closure(world, BudgetSettings(), Records(book(), record()))
    settings = BudgetSettings(definition="gcb2025")
    found = closure(world, settings, Records(book(), record()))
    # 19 % less on land (no term before 2015), 10 % more at sea.
    for name, factor in (("s_land", 0.81), ("s_ocean", 1.10), ("g_atm", 1.0)):
        expected = factor * term(plain, name, 1995)
        assert term(found, name, 1995) == pytest.approx(expected, rel=1e-5)
    land = found["land_year"].sel(land_number="s_land_s2")
    np.testing.assert_array_equal(land, plain["land_year"].sel(land_number="s_land_s2"))
    running = found["closure_12month"].sel(term="s_ocean", time="1995-06-01")
    assert float(running) == pytest.approx(1.1 * 2.5 * 365 / MEAN_YEAR, rel=1e-5)


def test_definition_tells_products_from_models_and_keeps_adjustments() -> None:
    steps = np.full(10, 2.0)
    given = sink_map(None, {"C": steps, "D": steps + 2, "P": steps - 1}, evidence=WORLD)
    given = given.merge(series.running(given))
    settings = BudgetSettings(
        definition="gcb2025",
        products=["P"],
        adjustment=AdjustmentSettings(
            target="ensemble", window=10, windows=[10], ocean_members=["C", "P"]
        ),
    )
    totals = given.merge(adjusted(given, settings))
    found = closure(totals, settings, Records(book(), record()))
    # C moves up to the mean of C and D, 3, and by 10 % to 3.3; P, 1, gets 0.65 and
    # 0.18; D is no member.
    days = 365 / MEAN_YEAR
    expected = (3.3 * days + days + 0.83) / 2
    assert term(found, "s_ocean", 1995) == pytest.approx(expected, rel=1e-3)
    # Without land there is no imbalance.
    assert np.isnan(term(found, "b_im", 1995))


def test_map_of_the_land_alone_has_no_ocean() -> None:
    given = sink_map({"A": np.full(10, 3.0)}, evidence=WORLD)
    given = given.merge(series.running(given))
    for definition in ("unadjusted", "gcb2025"):
        settings = BudgetSettings(definition=definition)
        found = closure(given, settings, Records(book(), record()))
        assert np.isnan(term(found, "s_ocean", 1995))
        assert np.isfinite(term(found, "s_land", 1995))


def test_adjusted_sinks_enter_the_budget() -> None:
    more = sink_map(
        {"A": np.full(10, 3.0), "B": np.full(10, 1.0)},
        {"C": np.ones(10)},
        evidence=WORLD,
    )
    settings = BudgetSettings(
        adjustment=AdjustmentSettings("ensemble", 4, [4, 10], land_members=["B"])
    )
    found = tables(more, settings)
    assert "not applicable" in json.loads(found.attrs["closure"])  # no workbook given
    # B alone, moved to the mean of both.
    land = found["land_year"].sel(land_number="s_land_s2", year=1995)
    assert float(land) == pytest.approx(2 * 365 / MEAN_YEAR, rel=1e-3)


@pytest.mark.parametrize(
    ("evidence", "message"),
    [
        ("testbed", "the weather is simulated (evidence: testbed)"),
        ("land: TRENDY/GOBM; ocean: testbed", "(evidence: testbed)"),
        ("land: TRENDY/GOBM; ocean: observed", "No workbook"),
    ],
)
def test_what_cannot_be_closed_says_why(evidence: str, message: str) -> None:
    given = sink_map({"A": np.full(10, 3.0)}, evidence=evidence)
    given.attrs["evidence"] = evidence
    # A path that does not exist is not even looked for where the weather is simulated.
    path = "no/such/co2.csv" if "testbed" in evidence else None
    found = tables(given, BudgetSettings(co2=path))
    assert message in json.loads(found.attrs["closure"])["not applicable"]
    assert "closure_year" not in found
    assert found["land_year"].sel(land_number="s_land_s2").notnull().all()
    assert found["land_year"].sel(land_number="net_gcb").isnull().all()


def test_records_are_read_from_where_settings_say(tmp_path: Path) -> None:
    co2 = tmp_path / "co2_mm_gl.csv"
    co2.write_text("Date,Decimal Date,Average,Trend\n2024-01,2024.0,1,1,420.5,0.1\n")
    emitted = tmp_path / "cm.csv"
    january = "".join(f"WORLD,{day}/01/2024,Power,1\n" for day in range(1, 32))
    emitted.write_text(f"country,date,sector,value\n{january}")
    settings = BudgetSettings(co2=str(co2), carbon_monitor=str(emitted))
    found = read_records(settings)
    assert found.co2 is not None
    assert found.co2.trend.tolist() == [420.5]
    assert found.carbon_monitor is not None
    assert found.carbon_monitor.months.size == 1
    assert found.book is None
    assert found.mauna_loa is None
    with pytest.raises(UserError, match="does not say the edition"):
        read_records(BudgetSettings(workbook="none.xlsx"))


@needs_shared
def test_real_budget_closes_as_published() -> None:
    path = SHARED / "tables" / "Global_Carbon_Budget_2024_v1.0.xlsx"
    edition = workbook.read(path)
    published = edition.budget.within(1991, 2000)
    days = np.array([366 if year % 4 == 0 else 365 for year in published.years])
    given = sink_map(
        {"A": published.columns["s_land"] * MEAN_YEAR / days},
        {"C": published.columns["s_ocean"] * MEAN_YEAR / days},
        evidence=WORLD,
    )
    found = tables(given, BudgetSettings(workbook=str(path)))
    imbalance = found["closure_year"].sel(term="b_im")
    np.testing.assert_allclose(imbalance, published.columns["b_im"], atol=1e-4)
    # With NOAA's record in place of the edition's growth they differ by its revisions.
    co2 = str(SHARED / "tables" / "co2-mm-gl.csv")
    found = tables(
        given,
        BudgetSettings(workbook=str(path), co2=co2, co2_retrieved="2026-05-08"),
    )
    revised = found["closure_year"].sel(term="b_im") - published.columns["b_im"]
    assert 0 < float(np.abs(revised).max()) < 0.6
    about = json.loads(found.attrs["closure"])
    assert about["global"]["retrieved"] == "2026-05-08"
    assert about["global"]["last month"] == "2026-04"


@needs_shared
def test_last_edition_was_carried_on_within_its_error() -> None:
    # What the edition of 2023 would have said of 2023, against that of 2024.
    tables_of = SHARED / "tables"
    before = workbook.read(tables_of / "Global_Carbon_Budget_2023v1.1.xlsx")
    after = workbook.read(tables_of / "Global_Carbon_Budget_2024_v1.0.xlsx")
    given = sink_map(
        {"A": np.full(6, 3.0)}, first="2018-01", last="2023-12", evidence=WORLD
    )
    given = given.merge(series.running(given))
    found = closure(given, BudgetSettings(), Records(before))
    for name in ("e_fos", "e_luc", "cement"):
        truth = float(after.budget.columns[name][-1])
        # Two standard errors; those of E_LUC are large, cement differs by its edition.
        reach = 2 * term(found, name, 2023, "_sigma") + (
            0.02 if name == "cement" else 0
        )
        assert abs(term(found, name, 2023) - truth) < reach
    assert abs(term(found, "e_fos", 2023) - after.budget.columns["e_fos"][-1]) < 0.2
