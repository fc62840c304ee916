"""S_OCEAN: drift taken off models, river carbon added to products, values by hand."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import SettingsError, StoreError
from emulator.carbon.grid import Grid
from emulator.data.readers.workbook import SinkSheet, Table, Workbook
from emulator.nightly import archive, series
from emulator.nightly.adjust import adjusted
from emulator.nightly.budget_settings import AdjustmentSettings, BudgetSettings
from emulator.nightly.closure import Records, closure
from emulator.nightly.ocean_sink import numbers, of_map
from emulator.nightly.tables import tables
from tests.data import tiny_files as tiny

from .nights import predictions, publish_night
from .totals import sink_map

DEFAULT = Path(__file__).resolve().parents[3] / "shared/data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)
REGIONS = ["globe", "north", "tropics", "south", "other"]
SHARES = np.array([1.0, 0.25, 0.5, 0.25, 0.0])
"""Bands of 30 degrees on a sphere: sin 30 is one half."""

# 1991 is model year 30 of A, which the control reaches up to 1995, model year 34: there
# its fit is -0.2 - 0.1 * (34 - 30) / ... by hand: -0.30 in 1991, -0.26 in 1995.
FIT = {
    "form": "linear",
    "first": 10,
    "last": 34,
    "level": (-0.42 * SHARES).tolist(),
    "slope": (0.01 * SHARES).tolist(),
    "control": "B",
    "year_one": 1962,
}


def drifts(**fits: Any) -> str:
    return json.dumps({"regions": REGIONS, "teachers": fits})


def world(
    drift: str = "{}", evidence: str = "TRENDY/GOBM", **rates: float
) -> xr.Dataset:
    """Return a map of 1991 to 2000 whose ocean takes up so much every year."""
    given = sink_map(
        None,
        {name: np.full(10, rate) for name, rate in rates.items()},
        evidence=evidence,
        drift=drift,
    )
    return given.merge(series.running(given))


def globe(values: xr.DataArray, **chosen: Any) -> xr.DataArray:
    return values.sel(region="globe", **chosen)


def test_each_model_stands_beside_itself_without_its_drift() -> None:
    found = world(drifts(C=FIT), C=2.0, D=3.0)
    # The middle of the fitted years is 22: -0.42 + 0.01 * (30 - 22) in 1991.
    sink = globe(found["s_ocean_year"], ocean_teacher="C")
    seconds = 365 * 86400 / (365.2425 * 86400)
    assert float(sink.sel(year=1991)) == pytest.approx((2 + 0.34) * seconds, abs=1e-4)
    assert float(sink.sel(year=1995)) == pytest.approx((2 + 0.30) * seconds, abs=1e-4)
    # Held from the end of 1995 on: -0.42 + 0.01 * 12.5.
    assert float(sink.sel(year=1998)) == pytest.approx((2 + 0.295) * seconds, abs=1e-4)
    raw = globe(found["fgco2_year"], ocean_teacher="C")
    assert float(raw.sel(year=1991)) == pytest.approx(2 * seconds, abs=1e-4)
    assert found["s_ocean_year"].sel(ocean_teacher="D").isnull().all()
    # A band has its share.
    north = found["fgco2_drift"].sel(region="north", ocean_teacher="C")
    np.testing.assert_allclose(north, globe(found["fgco2_drift"])[0] / 4)


def test_years_beyond_the_control_are_flagged() -> None:
    held = world(drifts(C=FIT), C=2.0, D=3.0)["fgco2_drift_held"]
    of_c = held.sel(ocean_teacher="C")
    assert (of_c.sel(time=slice("1991-01", "1995-12")) == 0).all()
    assert (of_c.sel(time=slice("1996-01", "2000-12")) == 1).all()
    assert held.sel(ocean_teacher="D").isnull().all()


def test_an_archive_takes_drifts_up_when_a_run_knows_them(tmp_path: Path) -> None:
    repo = tmp_path / "nightly" / "sink.icechunk"
    publish_night(repo, predictions(last="2001-03"), "2001-04-05")
    given = predictions()
    given["ocean"].attrs["drift"] = drifts(C=FIT, D=FIT)
    publish_night(repo, given, "2002-01-05", first="2001-01")
    found = archive.read_map(repo)
    # Months before the night's window keep what they had: no drift.
    drift = found["fgco2_drift"].sel(region="globe", ocean_teacher="C")
    assert drift.sel(time=slice(None, "2000-12")).isnull().all()
    np.testing.assert_allclose(drift.sel(time=slice("2001-01", None)), -0.295)
    held = found["fgco2_drift_held"].sel(ocean_teacher="C", time="2001-06-01")
    assert float(held) == 1
    assert "model years 10 to 34" in found.attrs["ocean"]


def test_the_mean_is_known_where_the_drift_of_all_models_is() -> None:
    both = world(drifts(C=FIT, D=FIT), C=2.0, D=3.0)
    found = numbers(both, BudgetSettings())
    year = globe(found["ocean_year"])
    assert float(year.sel(ocean_number="s_ocean_raw", year=1991)) == pytest.approx(
        2.5, abs=3e-3
    )
    assert float(year.sel(ocean_number="s_ocean", year=1991)) == pytest.approx(
        2.84, abs=3e-3
    )
    about = json.loads(found.attrs["ocean"])
    assert about["drift taken off"] is True
    assert about["drift"]["C"] == (
        "linear fit to simulation B, model years 10 to 34; model year 1 is labelled "
        "1962; held beyond them"
    )
    # Twelve months that end with a December are its year.
    december = globe(found["ocean_12month"]).sel(time="1991-12-01")
    np.testing.assert_allclose(december, year.sel(year=1991))


def test_a_model_without_control_leaves_the_sink_unknown() -> None:
    why = {"missing": "simulation B is not in the training store"}
    found = numbers(world(drifts(C=FIT, D=why), C=2.0, D=3.0), BudgetSettings())
    year = globe(found["ocean_year"])
    assert year.sel(ocean_number="s_ocean").isnull().all()
    assert year.sel(ocean_number="s_ocean_raw").notnull().all()
    about = json.loads(found.attrs["ocean"])
    assert about["s_ocean is missing"] == ["the drift is not known of D"]
    assert about["drift"]["D"] == why["missing"]


def test_drift_can_be_left_in_by_name() -> None:
    settings = BudgetSettings(drift="off")
    found = numbers(world(drifts(C=FIT), C=2.0), settings)
    assert globe(found["ocean_year"]).sel(ocean_number="s_ocean").isnull().all()
    assert json.loads(found.attrs["ocean"])["s_ocean is missing"] == [
        "drift is left in C"
    ]


def test_river_carbon_is_added_to_products_alone() -> None:
    given = world(drifts(C=FIT), C=2.0, P=1.5)
    settings = BudgetSettings(products=["P"], river="resplandy2018")
    found = numbers(given, settings)
    year = globe(found["ocean_year"]).sel(year=1991)
    # Model 2 + 0.34, product 1.5 + 0.78.
    assert float(year.sel(ocean_number="s_ocean")) == pytest.approx(2.31, abs=3e-3)
    assert float(year.sel(ocean_number="s_ocean_raw")) == pytest.approx(1.75, abs=3e-3)
    # Without a map of it river carbon is known for the globe alone.
    north = found["ocean_year"].sel(region="north", ocean_number="s_ocean")
    assert north.isnull().all()
    about = json.loads(found.attrs["ocean"])
    assert about["river"]["globe"] == 0.78
    assert about["river"]["regions"] == "missing: no budget.river_map is given"
    assert about["coverage of products"] == "stated"


def test_products_without_a_named_river_flux_are_no_sink() -> None:
    given = world(P=1.5)
    found = numbers(given, BudgetSettings(products=["P"]))
    assert globe(found["ocean_year"]).sel(ocean_number="s_ocean").isnull().all()
    assert json.loads(found.attrs["ocean"])["s_ocean is missing"] == [
        "no river flux is named for P"
    ]


def write_river(path: Path, units: str | None = "mol m-2 s-1") -> Path:
    """Write outgassing at one rate in the north, and twice that in the tropics."""
    flux = np.zeros(tiny.SHAPE, "f4")
    flux[3], flux[1:3] = -1e-10, -2e-10
    return tiny.write(path, "fgco2", flux, units=units)


def test_a_map_shares_a_named_river_flux_out_over_bands(tmp_path: Path) -> None:
    path = write_river(tmp_path / "river.nc")
    settings = BudgetSettings(products=["P"], river="jacobson2007", river_map=str(path))
    found = numbers(world(P=1.0), settings)
    year = found["ocean_year"].sel(ocean_number="s_ocean", year=1992)
    added = year - found["ocean_year"].sel(ocean_number="s_ocean_raw", year=1992)
    # Rows of 45 degrees. North of 45 N: 1 - sin 45 of half the sphere, at 1; from the
    # equator to 45: sin 45, at 2, of which sin 30 lies in the tropics.
    sine = np.sin(np.pi / 4)
    north, tropics = (1 - sine) + 2 * (sine - 0.5), 2 * 2 * 0.5
    south = 2 * (sine - 0.5)
    whole = north + tropics + south
    for region, part in (
        ("globe", whole),
        ("north", north),
        ("tropics", tropics),
        ("south", south),
    ):
        expected = 0.45 * part / whole * 366 / 365.2425
        assert float(added.sel(region=region)) == pytest.approx(expected, rel=1e-5)
    assert json.loads(found.attrs["ocean"])["river"]["map"] == "river.nc"


@needs_shared
def test_the_real_map_of_river_carbon_adds_up() -> None:
    path = SHARED / "masks/fgco2_lacroix-river_v20220615.nc"
    settings = BudgetSettings(products=["P"], river="regnier2022", river_map=str(path))
    found = numbers(world(P=1.0), settings)
    year = found["ocean_year"].sel(year=1993) * 365.2425 / 365
    added = year.sel(ocean_number="s_ocean") - year.sel(ocean_number="s_ocean_raw")
    assert float(added.sel(region="globe")) == pytest.approx(0.65, abs=1e-3)
    bands = added.sel(region=["north", "tropics", "south"])
    assert float(bands.sum()) == pytest.approx(0.65, abs=1e-3)
    assert (bands > 0).all()


def test_a_map_without_a_unit_is_refused(tmp_path: Path) -> None:
    path = write_river(tmp_path / "river.nc", units=None)
    settings = BudgetSettings(products=["P"], river="gcb2021", river_map=str(path))
    with pytest.raises(StoreError, match=r"river\.nc: 'fgco2' states no unit"):
        numbers(world(P=1.0), settings)


def test_coverage_is_stated_and_products_scaled_by_name() -> None:
    given = world(M=2.0, P=1.5)
    given["fgco2_coverage"].loc[{"ocean_teacher": "P"}] = 0.75
    stated = numbers(given, BudgetSettings(products=["M", "P"], river="regnier2022"))
    scaled = numbers(
        given,
        BudgetSettings(products=["M", "P"], river="regnier2022", coverage="scaled"),
    )
    # The river flux is that of the whole sea: it is not scaled.
    for found, mean in ((stated, 1.75 + 0.65), (scaled, 2.0 + 0.65)):
        year = globe(found["ocean_year"]).sel(ocean_number="s_ocean", year=1991)
        assert float(year) == pytest.approx(mean, abs=3e-3)
    assert json.loads(scaled.attrs["ocean"])["coverage of products"] == "scaled"


def test_coverage_is_the_share_of_the_sea_with_a_flux() -> None:
    grid = Grid.regular(30)
    flux = np.ones((2, 12, *grid.shape))
    flux[1, :, 3:] = np.nan  # the northern hemisphere
    dims = ("teacher", "time", "lat", "lon")
    prediction = xr.Dataset(
        {
            "fgco2": (dims, flux),
            "fraction": (("lat", "lon"), np.full(grid.shape, 0.5)),
        },
        coords={"lat": grid.lat, "lon": grid.lon},
    )
    given = xr.Dataset(
        coords={"ocean_teacher": ["C", "D"], "region": ["globe", "north", "tropics"]}
    )
    found = of_map(given, {"ocean": prediction})["fgco2_coverage"]
    np.testing.assert_allclose(found, [[1, 1, 1], [0.5, 0, 0.5]])


def book() -> Workbook:
    """Return an edition of 1990 to 2000 with emissions alone."""
    years = np.arange(1990, 2001)
    columns = dict.fromkeys(("e_fos", "e_luc", "g_atm", "cement"), np.ones(11))
    none = Table(years, {})
    sheet = SinkSheet(none, none, none)
    return Workbook(2024, "1.0", Table(years, columns), sheet, sheet)


@pytest.mark.parametrize(
    ("settings", "mean", "said"),
    [
        (BudgetSettings(), 3.34, "less the drift that their control B shows"),
        (BudgetSettings(drift="off"), 3.0, "the drift of their control B is in it"),
        (BudgetSettings(definition="gcb2025"), 3.34 * 1.1, "less the drift"),
    ],
)
def test_the_closure_takes_the_sink_without_drift(
    settings: BudgetSettings, mean: float, said: str
) -> None:
    given = world(drifts(C=FIT, D=FIT), C=2.0, D=4.0)
    totals = given.merge(numbers(given, settings))
    found = closure(totals, settings, Records(book()))
    sink = found["closure_year"].sel(term="s_ocean", year=1991)
    assert float(sink) == pytest.approx(mean, abs=4e-3)
    assert said in json.loads(found.attrs["closure"])["s_ocean"]


RIVERS = BudgetSettings(products=["P"], river="resplandy2018")
"""0.78 PgC yr-1 for P."""
MOVED = AdjustmentSettings(
    target="ensemble", window=4, windows=[4], ocean_members=["C", "P"]
)


@pytest.mark.parametrize(
    ("settings", "fits", "mean", "said"),
    [
        (RIVERS, {"C": FIT, "D": FIT}, (2.34 + 4.34 + 2.28) / 3, "river carbon (respl"),
        # C moves up to the mean of both models, 3.34; P stays, but for its river.
        (
            replace(RIVERS, adjustment=MOVED),
            {"C": FIT, "D": FIT},
            (3.34 + 2.28) / 2,
            "products of fCO2 with river carbon (resplandy2018)",
        ),
        # Drift that is not known stays in; that is no reason to leave a river out.
        (RIVERS, {"C": FIT}, (2 + 4 + 2.28) / 3, "B is in it; products of fCO2 with"),
        (
            replace(RIVERS, adjustment=MOVED, river="off"),
            {"C": FIT, "D": FIT},
            (3.34 + 1.5) / 2,
            "products of fCO2 lack their river carbon, since none is named",
        ),
        # A definition has a river of its own: 0.65.
        (
            replace(RIVERS, adjustment=MOVED, definition="gcb2024"),
            {"C": FIT, "D": FIT},
            (3.34 + 2.15) / 2,
            "products of fCO2 as gcb2024 has them",
        ),
    ],
)
def test_river_carbon_of_products_is_in_the_closure(
    settings: BudgetSettings, fits: dict[str, Any], mean: float, said: str
) -> None:
    given = world(drifts(**fits), C=2.0, D=4.0, P=1.5)
    totals = given.merge(numbers(given, settings)).merge(adjusted(given, settings))
    found = closure(totals, settings, Records(book()))
    sink = found["closure_year"].sel(term="s_ocean", year=1991)
    assert float(sink) == pytest.approx(mean, abs=4e-3)
    december = found["closure_12month"].sel(term="s_ocean", time="1991-12-01")
    assert float(december) == pytest.approx(float(sink))
    assert said in json.loads(found.attrs["closure"])["s_ocean"]


def test_means_are_adjusted_after_the_drift_is_taken_off() -> None:
    given = world(drifts(C=FIT, D=FIT), C=2.0, D=4.0)
    settings = BudgetSettings(
        adjustment=AdjustmentSettings(target="ensemble", window=4, windows=[4])
    )
    moved = adjusted(given, settings)["budget_year_adjusted"]
    year = globe(moved).sel(adjustment_window=4, flux="fgco2", year=1991)
    assert float(year) == pytest.approx(3.34, abs=4e-3)


def test_tables_hold_the_numbers_of_the_ocean_and_say_so() -> None:
    given = world(drifts(C=FIT), C=2.0)
    found = tables(given, BudgetSettings())
    assert {"ocean_month", "ocean_12month", "ocean_year"} <= set(found.data_vars)
    assert "s_ocean" in found["ocean_year"].attrs["comment"]
    assert json.loads(found.attrs["ocean"])["drift taken off"] is True
    # Made anew: what a night added before is passed over.
    again = tables(given.merge(found, compat="override"), BudgetSettings(drift="off"))
    assert globe(again["ocean_year"]).sel(ocean_number="s_ocean").isnull().all()


def test_a_map_of_the_land_has_no_numbers_of_the_ocean() -> None:
    given = sink_map({"A": np.full(10, 1.0)}, None)
    assert not numbers(given, BudgetSettings()).data_vars
    assert not closure(
        given.merge(series.running(given)), BudgetSettings(), Records()
    ).data_vars.keys() & {"ocean_year"}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"drift": "B"}, r"budget\.drift is 'B', but must be one of control, off"),
        ({"river": "0.65"}, r"budget\.river is '0\.65'.*regnier2022"),
        ({"coverage": "yes"}, r"budget\.coverage is 'yes'.*stated, scaled"),
        ({"river_map": "river.nc"}, r"budget\.river_map is given, but budget\.river"),
    ],
)
def test_unknown_options_are_refused(said: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        BudgetSettings(**said)  # type: ignore[arg-type]
