"""Maps that cannot be right, and maps that can."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import SanityError, SettingsError
from emulator.nightly.sanity import SanitySettings, check
from emulator.nightly.sinkmap import assemble

from .synthetic import prediction

SETTINGS = SanitySettings(land=[-50, 50], ocean=[-50, 50])


def long(domain: str, last: str = "2001-12", **changes: float) -> xr.Dataset:
    """Return eight years of about 1 PgC a year: months vary by some percent."""
    given = prediction(domain, first="1994-01", last=last)
    flux = {"land": "nbp", "ocean": "fgco2"}[domain]
    rng = np.random.default_rng(0)
    level = 1e-10 * (1 + 0.05 * rng.normal(size=(1, 200, 1, 1)))
    values = np.where(given[flux].notnull(), level[:, : given.sizes["time"]], np.nan)
    given[flux] = (given[flux].dims, values.astype("f4"))
    for month, factor in changes.items():
        place = {"time": month.removeprefix("m").replace("_", "-")}
        given[flux].loc[place] *= np.float32(factor)
    return given


def both(last: str = "2001-12", **changes: float) -> xr.Dataset:
    return assemble(long("land", last, **changes), long("ocean", last))


@pytest.fixture(scope="module")
def published() -> xr.Dataset:
    return both("2001-11")


def test_first_map_and_new_month_pass(published: xr.Dataset) -> None:
    check(published, None, SETTINGS)
    check(both().sel(time=slice("2001", None)), published, SETTINGS)
    check(both(), published, SETTINGS)


@pytest.mark.parametrize("month", ["2001_12", "2000_07"])
def test_month_out_of_reach_is_refused(published: xr.Dataset, month: str) -> None:
    window = both(**{f"m{month}": 40.0}).sel(time=slice("2000", None))
    what = "the mean of its ten" if month == "2001_12" else "last night's"
    said = rf"nbp of {month.replace('_', '-')} is .* deviations from {what}"
    with pytest.raises(SanityError, match=said):
        check(window, published, SETTINGS)
    wide = SanitySettings(land=[-50, 50], ocean=[-50, 50], reach=1000.0)
    check(window, published, wide)


def test_final_month_is_held_against_its_kind_not_the_preliminary_one() -> None:
    # A preliminary month out of all reach, as if it had been let through.
    odd = both(m2001_12=40.0)
    odd["status"][-1] = 1
    known = both()
    with pytest.raises(SanityError, match=r"2001-12 is .* from last night's"):
        check(known.assign(status=odd["status"]), odd, SETTINGS)
    check(known, odd, SETTINGS)
    with pytest.raises(SanityError, match=r"2001-12 is .* the mean of its ten years"):
        check(odd, known, SETTINGS)


def test_other_networks_may_move_the_level_but_not_leap(
    published: xr.Dataset,
) -> None:
    moved = both()
    for name in ("nbp_mean", "budget_month"):
        moved[name] = moved[name] * 1.5
    check(moved, published, SETTINGS, is_new_vintage=True)
    with pytest.raises(SanityError, match="last night's"):
        check(moved, published, SanitySettings(reach=1.0, noise=[0, 0]))
    with pytest.raises(SanityError, match=r"2001-12 is .* the mean of its ten years"):
        check(both(m2001_12=40.0), published, SETTINGS, is_new_vintage=True)


def test_totals_out_of_bounds_are_refused() -> None:
    wrong_unit = both(m2000=1000.0)
    with pytest.raises(SanityError, match=r"nbp of A is .* PgC in 2000, outside -15 t"):
        check(wrong_unit, None, SanitySettings())


Change = Callable[[xr.Dataset], xr.Dataset]


def without_month(sink: xr.Dataset) -> xr.Dataset:
    return sink.drop_sel(time=np.datetime64("2001-05-01"))


def with_hole(sink: xr.Dataset) -> xr.Dataset:
    cell = np.argwhere(sink["land_fraction"].to_numpy() > 0)[0]
    sink["nbp_mean"][-1, cell[0], cell[1]] = np.nan
    return sink


def with_sea_on_land(sink: xr.Dataset) -> xr.Dataset:
    cell = np.argwhere(sink["land_fraction"].to_numpy() == 0)[0]
    sink["nbp_mean"][-1, cell[0], cell[1]] = 0.0
    return sink


def with_other_coast(sink: xr.Dataset) -> xr.Dataset:
    cell = np.argwhere(sink["land_fraction"].to_numpy() > 0)[0]
    sink["land_fraction"][cell[0], cell[1]] *= 0.5
    return sink


def with_shifted_grid(sink: xr.Dataset) -> xr.Dataset:
    return sink.assign_coords(lon=sink["lon"] + 15.0)


def with_nothing(sink: xr.Dataset) -> xr.Dataset:
    sink["fgco2_mean"] = sink["fgco2_mean"] * np.nan
    return sink


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without_month, "2001-04 is followed by 2001-06"),
        (with_hole, r"nbp of 2001-12 lacks .*% of its cells \(0.0% allowed\)"),
        (with_sea_on_land, "nbp has values outside its domain"),
        (with_other_coast, "land_fraction differs from before in 1 cells"),
        (with_shifted_grid, "the lon of the cells are others than before"),
        (with_nothing, "fgco2 has no value at all"),
        (lambda sink: sink.sel(time=slice(None, "2001-08")), "but ends in 2001-08 now"),
        (lambda sink: sink.drop_vars("fgco2"), "fgco2 is missing, but was published"),
    ],
)
def test_what_cannot_be_is_refused(
    published: xr.Dataset, change: Change, said: str
) -> None:
    with pytest.raises(SanityError, match=said):
        check(change(both().copy(deep=True)), published, SETTINGS)


def test_a_gap_after_the_published_months_is_refused(published: xr.Dataset) -> None:
    known = published.sel(time=slice(None, "2001-10"))
    window = both("2002-02").sel(time=slice("2002", None))
    with pytest.raises(SanityError, match="in 2001-10, but goes on with 2002-01 only"):
        check(window, known, SETTINGS)


def test_all_that_is_wrong_is_told(published: xr.Dataset) -> None:
    wrong = with_other_coast(with_hole(both().copy(deep=True)))
    with pytest.raises(SanityError, match=r"lacks .*; .*land_fraction differs"):
        check(wrong, published, SETTINGS)


def test_a_share_of_holes_can_be_allowed(published: xr.Dataset) -> None:
    allowing = SanitySettings(land=[-50, 50], ocean=[-50, 50], missing=0.5)
    check(with_hole(both().copy(deep=True)), published, allowing)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"land": [1.0]}, "sanity.land is"),
        ({"ocean": [2.0, 1.0]}, "sanity.ocean is"),
        ({"reach": 0.0}, "sanity.reach is 0"),
        ({"noise": [0.1]}, "noise two numbers"),
        ({"missing": 1.0}, "sanity.missing is 1"),
    ],
)
def test_settings_are_checked(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        SanitySettings(**changes)  # type: ignore[arg-type]
