"""Each plausibility gate lets the plausible pass, stops the rest and says how to mend.

The Earth has 4 x 8 cells. A flux of 1e-8 kg m-2 s-1 everywhere is, by hand,
1e-8 * 5.1006e14 m2 * 3.1536e7 s = 160.9 PgC in a year without leap day.
"""

import dataclasses
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import GateError
from emulator.carbon.grid import Grid
from emulator.data import gates, readers
from emulator.data.check import (
    Measures,
    annual_totals,
    check_forcing,
    check_simulation,
    components,
    judge,
    measure,
    run_gates,
)
from tests.data import tiny_files as tiny

GRID = Grid.regular(tiny.STEP)
AREA = GRID.cell_area()
MONTHS = 24
SEASON = np.cos(2 * np.pi * (np.arange(MONTHS) - 6) / 12)[:, None, None]
"""1 in July, -1 in January."""

NORTH = (GRID.lat > 0)[None, :, None] * np.ones((1, 1, 8))


def earth() -> dict[str, np.ndarray]:
    """Fluxes in which nbp is the sum of its components, with a northern summer."""
    ones = np.ones((MONTHS, *GRID.shape))
    fluxes = {
        "gpp": 8e-9 * (ones + 0.5 * SEASON * NORTH),
        "ra": 4e-9 * ones,
        "rh": 3.7e-9 * ones,
        "fFire": 0.2e-9 * ones,
    }
    fluxes["nbp"] = fluxes["gpp"] - fluxes["ra"] - fluxes["rh"] - fluxes["fFire"]
    return {name: values.astype("f4") for name, values in fluxes.items()}


def fields(frequency: str = "month", **changes: np.ndarray) -> dict[str, xr.DataArray]:
    found = {}
    for name, values in {**earth(), **changes}.items():
        step = 12 if frequency == "year" else 1
        months = np.datetime64("2000-01", "M") + step * np.arange(len(values))
        coords = {"time": months.astype("M8[ns]"), "lat": GRID.lat, "lon": GRID.lon}
        attrs = {
            "source_file": f"{name}.nc",
            "source_calendar": "noleap",
            "frequency": frequency,
        }
        dims = ("time", "lat", "lon")
        found[name] = xr.DataArray(values, coords, dims, name=name, attrs=attrs)
    return found


def test_a_plausible_simulation_passes() -> None:
    result = check_simulation(tiny.entry(), "S2", fields(), AREA)
    assert result.overridden == []
    assert result.residual == pytest.approx(0, abs=1e-6)
    assert result.coverage["nbp"] == 1


def test_totals_use_the_calendar_of_the_file() -> None:
    flux = fields(gpp=np.full((MONTHS, *GRID.shape), 1e-8))["gpp"]
    years, totals = annual_totals(flux, AREA)
    np.testing.assert_array_equal(years, [2000, 2001])
    expected = 1e-8 * 4 * np.pi * 6.371e6**2 * 365 * 86400 / 1e12
    np.testing.assert_allclose(totals, expected, rtol=1e-12)
    _, longer = annual_totals(flux, AREA, "360_day")
    np.testing.assert_allclose(longer, expected * 360 / 365, rtol=1e-12)


def test_totals_of_annual_files_are_those_of_months() -> None:
    monthly = fields(gpp=np.full((MONTHS, *GRID.shape), 1e-8))["gpp"]
    annual = fields("year", gpp=np.full((2, *GRID.shape), 1e-8))["gpp"]
    np.testing.assert_allclose(
        annual_totals(annual, AREA)[1], annual_totals(monthly, AREA)[1]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {name: 1000 * earth()[name] for name in ("gpp",)},
            r"gpp\.nc \(tiny S2\): the global total of 'gpp' in 2000 is 1\.2.*e\+05 PgC"
            r".*80 to 220.*variables\.gpp\.units.*gates: \{units:",
        ),
        ({"nbp": 30 * earth()["nbp"]}, r"total of 'nbp' in 2000 is .*-15 to 15"),
        (
            # The mean of |cos| in steps of 30 degrees is 0.622. In the north nbp has
            # a season of 4e-9, round 1e-10, which only its two months of 0 feel:
            # (2.488e-9 + 1e-10 / 6 + 1e-10) / 2 5.1006e14 m2 3.1557e7 s = 20.96 PgC.
            {"nbp": 1e-3 * earth()["nbp"]},
            r"nbp\.nc \(tiny S2\): 'nbp' of all cells and months, signs aside, comes "
            r"to 0\.021 PgC a year, but at least 1 is.*variables\.nbp\.units",
        ),
        ({"nbp": -earth()["nbp"]}, r"'nbp' has the wrong sign by its slope .*sign: -1"),
        (
            {"nbp": earth()["nbp"] - 1e-9},
            r"nbp differs from gpp - ra - rh - fFire - fLuc by 1\d\.\d\d% of the gross "
            r"flux, but at most 1\.00%.*residual: \{allowed:",
        ),
        ({"rh": earth()["rh"] - 2e-8}, r"of 'rh' lie outside .*variables\.rh\.units"),
        (
            {"nbp": np.where(np.arange(8) < 7, np.nan, earth()["nbp"])},
            r"nbp\.nc .*holds values for \d+% of the ice-free land in its emptiest "
            r"month, but at least 80%",
        ),
    ],
)
def test_what_is_not_plausible_is_refused(
    changes: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(GateError, match=message):
        check_simulation(tiny.entry(), "S2", fields(**changes), AREA)


def test_all_failures_are_told_at_once() -> None:
    changes = {"gpp": 10 * earth()["gpp"], "nbp": -earth()["nbp"]}
    with pytest.raises(GateError, match=r"(?s)'gpp' in 2000.*'nbp' has the wrong sign"):
        check_simulation(tiny.entry(), "S2", fields(**changes), AREA)


def test_an_overridden_gate_is_reported() -> None:
    entry = tiny.entry(gates={"sign": "a test"})
    changes = {"nbp": -earth()["nbp"]}
    with pytest.raises(GateError, match="nbp differs from"):
        check_simulation(entry, "S2", fields(**changes), AREA)
    entry = tiny.entry(gates={"sign": "a test", "closure": "a test"})
    result = check_simulation(entry, "S2", fields(**changes), AREA)
    assert result.overridden == ["sign: nbp.nc (tiny S2)", "closure: nbp.nc (tiny S2)"]


def test_a_declared_residual_passes() -> None:
    entry = tiny.entry(residual={"allowed": 0.15, "why": "harvest"})
    harvested = {"nbp": earth()["nbp"] - 1e-9}
    result = check_simulation(entry, "S2", fields(**harvested), AREA)
    # 1e-9 of a gross flux of 8e-9, the season of which vanishes in the mean.
    assert result.residual == pytest.approx(1 / 8, rel=1e-3)


def without(*names: str, **changes: np.ndarray) -> dict[str, xr.DataArray]:
    return {n: v for n, v in fields(**changes).items() if n not in names}


def test_npp_stands_in_for_ra() -> None:
    npp = earth()["gpp"] - earth()["ra"]
    parts = components(without("ra", npp=npp))
    assert parts is not None
    np.testing.assert_allclose(parts, earth()["nbp"], atol=1e-15)


@pytest.mark.parametrize("missing", ["gpp", "rh", "ra"])
def test_without_components_there_is_no_sum(missing: str) -> None:
    assert components(without(missing)) is None


def test_annual_and_monthly_fields_are_not_compared() -> None:
    annual = fields("year", nbp=earth()["nbp"][:2])["nbp"]
    assert components({**fields(), "nbp": annual}) is None


def test_without_components_the_northern_summer_tells_the_sign() -> None:
    flipped = -earth()["nbp"]
    only = without("gpp", "ra", "rh", "fFire", nbp=flipped)
    # No row of this Earth lies between 40 and 65 N; one of 30 degrees does.
    agreement = gates.sign_by_summer(
        flipped, np.tile(np.arange(1, 13), 2), np.array([-60, -20, 20, 60.0]), AREA
    )
    assert agreement < 0
    only["nbp"] = only["nbp"].assign_coords(lat=[-60.0, -20.0, 20.0, 60.0])
    with pytest.raises(GateError, match="summer minus winter at 40-65 N"):
        check_simulation(tiny.entry(), "S2", only, AREA)
    only["nbp"] = -only["nbp"].assign_attrs(only["nbp"].attrs)
    only["nbp"].attrs = {"source_calendar": "noleap", "frequency": "month"}
    assert check_simulation(tiny.entry(), "S2", only, AREA).overridden == []


def test_a_sum_is_not_judged_by_what_it_was_added_up_from() -> None:
    # It agrees with its components whatever they are: only the season can tell.
    found = fields()
    found["nbp"].attrs["sum_of"] = "gpp ra rh fFire"
    assert check_simulation(tiny.entry(), "S2", found, AREA).residual is None
    turned = {
        name: field.assign_coords(lat=[-60.0, -20.0, 20.0, 60.0])
        for name, field in fields(nbp=-earth()["nbp"]).items()
    }
    turned["nbp"].attrs["sum_of"] = "gpp ra rh fFire"
    with pytest.raises(GateError, match="summer minus winter at 40-65 N"):
        check_simulation(tiny.entry(), "S2", turned, AREA)


def test_a_season_that_is_not_there_tells_no_sign() -> None:
    flux = np.ones((3, 4, 8))
    spring = np.array([3, 4, 5])
    assert np.isnan(gates.sign_by_summer(flux, spring, GRID.lat, AREA))
    sign = gates.sign_by_winter_atlantic(flux, spring + 1, GRID.lat, GRID.lon, AREA)
    assert np.isnan(sign)
    zero = np.zeros((3, 4, 8))
    assert np.isnan(gates.sign_by_components(zero, zero, AREA))
    assert np.isnan(gates.closure_residual(zero, zero, zero, AREA))
    assert gates.check_sign("nbp", np.nan, "nothing", source="x") == []


def ocean(flux: float) -> tuple[Any, dict[str, xr.DataArray], np.ndarray]:
    entry = tiny.entry(domain="ocean", reader="gobm", variables={"fgco2": {}})
    grid = Grid.regular(10.0)
    months = np.arange("2000-01", "2002-01", dtype="M8[M]").astype("M8[ns]")
    values = np.full((MONTHS, *grid.shape), flux, "f4")
    coords = {"time": months, "lat": grid.lat, "lon": grid.lon}
    attrs = {"source_file": "f.nc", "source_calendar": "360_day", "frequency": "month"}
    dims = ("time", "lat", "lon")
    field = xr.DataArray(values, coords, dims, name="fgco2", attrs=attrs)
    return entry, {"fgco2": field}, grid.cell_area()


def test_the_winter_atlantic_tells_the_sign_of_an_ocean() -> None:
    entry, found, area = ocean(1e-10)
    assert check_simulation(entry, "S2", found, area).coverage["fgco2"] == 1
    entry, found, area = ocean(-1e-10)
    with pytest.raises(
        GateError, match="'fgco2' has the wrong sign by the northern At"
    ):
        check_simulation(entry, "S2", found, area)


def test_moles_taken_for_kilograms_are_refused() -> None:
    # 1.6 PgC in mol are 134 in kg, were the unit not converted.
    entry, found, area = ocean(1e-10 / 0.012011)
    with pytest.raises(GateError, match=r"total of 'fgco2' in 2000 is .*-8 to 8"):
        check_simulation(entry, "S2", found, area)


def test_kilograms_taken_for_moles_are_refused() -> None:
    # 1.6 PgC of which each kg was taken for a mol and became 0.012 kg.
    entry, found, area = ocean(1e-10 * 0.012011)
    with pytest.raises(GateError, match=r"'fgco2' of all .* comes to 0\.0193 PgC a ye"):
        check_simulation(entry, "S2", found, area)
    over = dataclasses.replace(entry, gates={"units": "a quiet sea"})
    said = check_simulation(over, "S2", found, area).overridden
    assert said == ["units: f.nc (tiny S2)"]


def test_means_of_years_have_no_least_size() -> None:
    quiet = 1e-3 * earth()["nbp"][:2]
    only = {"nbp": fields("year", nbp=quiet)["nbp"]}
    assert check_simulation(tiny.entry(), "S2", only, AREA).overridden == []


def test_an_ocean_with_little_sea_is_refused() -> None:
    entry, found, area = ocean(1e-10)
    with pytest.raises(GateError, match="holds values for 71% of the sea"):
        # Half of the sphere is 2.55e14 m2, of 3.60e14.
        check_simulation(entry, "S2", found, area / 2)


def test_annual_nbp_without_components_has_no_sign_test() -> None:
    only = {"nbp": fields("year", nbp=-0.1 * earth()["nbp"][:2])["nbp"]}
    assert check_simulation(tiny.entry(), "S2", only, AREA).overridden == []


def test_a_simulation_without_net_flux_is_checked_as_far_as_it_goes() -> None:
    assert check_simulation(tiny.entry(), "S2", without("nbp"), AREA).residual is None


def test_a_field_without_any_value_fails_by_coverage_alone() -> None:
    nothing = np.full((MONTHS, *GRID.shape), np.nan, "f4")
    only = {"nbp": fields(nbp=nothing)["nbp"]}
    (said,) = run_gates(tiny.entry(), "S2", only, AREA).failures
    assert "holds values for 0%" in said


def test_months_without_a_value_move_nothing_and_do_not_count() -> None:
    # 3 kg m-2 s-1 on 2 m2 and 1 on 4 m2, then nothing, then 2 on 4 m2: 10 and 8.
    values = np.array([[-3.0, 1.0], [np.nan, np.nan], [np.nan, 2.0]])
    assert gates.gross_sums(values, np.array([2.0, 4.0])) == (18.0, 2.0)


def test_a_flux_that_is_zero_everywhere_is_none() -> None:
    only = {"nbp": fields(nbp=0 * earth()["nbp"])["nbp"]}
    (said,) = run_gates(tiny.entry(), "S2", only, AREA).failures
    assert "comes to 0 PgC a year" in said
    assert "or a fill value is wrong" in said


def test_forcing_in_another_unit_is_refused(tmp_path: Path) -> None:
    celsius = np.full((MONTHS, *tiny.SHAPE), 15.0, "f4")
    tiny.write(tmp_path / "tas.nc", "tas", celsius, units="K")
    entry = tiny.forcing_entry()
    tas = readers.read(entry, "tas", None, tmp_path)
    with pytest.raises(
        GateError, match=r"768 of 768 values of 'tas'.*e\.g\. 15.*units"
    ):
        check_forcing(entry, tas)
    entry = tiny.forcing_entry(variables={"tas": {"units": "degC"}})
    assert check_forcing(entry, readers.read(entry, "tas", None, tmp_path)) == []
    entry = tiny.forcing_entry(gates={"range": "a cold planet"})
    assert check_forcing(entry, tas) == ["range: tas.nc (weather)"]


def test_coverage_is_that_of_the_emptiest_month() -> None:
    values = np.ones((2, *GRID.shape))
    values[1, 2:] = np.nan
    # Half of the sphere is 2.55e14 m2, more than all ice-free land.
    assert gates.coverage(values, AREA, "land") == 1
    half = AREA.sum() / 2 / gates.SEA
    assert gates.coverage(values, AREA, "ocean") == pytest.approx(half)


# --- block by block ----------------------------------------------------------------

YEARS = 6


def long_earth(seed: int, scale: float, names: list[str]) -> dict[str, xr.DataArray]:
    """Return six years of noise with holes: plausible or not, by chance."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, values in earth().items():
        series = scale * np.tile(values, (YEARS // 2, 1, 1)).astype(np.float64)
        series *= rng.normal(1, 0.3, series.shape)
        series[rng.random(series.shape) < 0.1] = np.nan
        found[name] = series.astype("f4")
    return {name: field for name, field in fields(**found).items() if name in names}


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10),
    scale=st.sampled_from([1.0, -1.0, 30.0, 1e-3]),
    cuts=st.sets(st.integers(1, YEARS - 1)),
    names=st.sampled_from([[*earth()], ["nbp"], ["gpp", "nbp"], ["gpp"]]),
)
def test_gates_say_the_same_of_blocks_of_years(
    seed: int, scale: float, cuts: set[int], names: list[str]
) -> None:
    flux = long_earth(seed, scale, names)
    entry = tiny.entry()
    whole = run_gates(entry, "S2", flux, AREA)
    ends = [0, *sorted(cuts), YEARS]
    parts = [
        measure(
            entry,
            {n: f[12 * first : 12 * last] for n, f in flux.items()},
            AREA,
        )
        for first, last in pairwise(ends)
    ]
    joined = judge(entry, "S2", Measures.joined(parts))
    assert joined.failures == whole.failures
    assert joined.coverage == pytest.approx(whole.coverage, rel=1e-12)
    assert joined.evidence == whole.evidence
    for name in ("residual", "agreement"):
        one, other = getattr(joined, name), getattr(whole, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one == pytest.approx(other, rel=1e-9)


def test_the_atlantic_winter_is_the_same_of_blocks() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(1e-9, 1e-9, (72, *GRID.shape)).astype("f4")
    months = np.arange(np.datetime64("2000-01"), np.datetime64("2006-01"))
    coords = {"time": months.astype("M8[ns]"), "lat": GRID.lat, "lon": GRID.lon}
    attrs = {"source_file": "a.nc", "frequency": "month"}
    dims = ("time", "lat", "lon")
    flux = xr.DataArray(values, coords, dims, name="fgco2", attrs=attrs)
    entry = dataclasses.replace(tiny.entry(), domain="ocean")
    whole = measure(entry, {"fgco2": flux}, AREA)
    parts = [measure(entry, {"fgco2": flux[i : i + 24]}, AREA) for i in (0, 24, 48)]
    assert Measures.joined(parts).sign == pytest.approx(whole.sign, rel=1e-12)
    assert whole.sign[1] == 6 * 4
