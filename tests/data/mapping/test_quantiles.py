"""Quantile mapping trained by xsdba. Importing and compiling it takes long: slow."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.mapping import shifted_by_quantiles
from emulator.carbon.timeaxis import month_of, month_range
from emulator.data.mapping.fit import learn
from emulator.data.mapping.quantiles import trained
from emulator.data.mapping.store import open_map, write_map
from tests.data.two_products import pair_of, settings, write_pair
from tests.worlds import tiny_forcing

pytestmark = pytest.mark.slow

MONTHS = month_range("1950-01", "1999-12")


def weather(cells: int = 3) -> np.ndarray:
    season = 10 * np.cos(2 * np.pi * month_of(MONTHS) / 12)[:, None]
    return season + np.random.default_rng(0).normal(0, 3, (MONTHS.size, cells))


def mapped(values: np.ndarray, quantiles: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    found = np.empty_like(values)
    for month in range(1, 13):
        chosen = month_of(MONTHS) == month
        found[chosen] = shifted_by_quantiles(
            values[chosen], quantiles[month - 1], shifts[month - 1]
        )
    return found


def test_a_monotone_law_is_inverted_within_the_resolution_of_quantiles() -> None:
    truth = weather()
    # Bent and shifted by the month: no delta and no ratio undoes it.
    other = np.sinh(truth / 10) * 12 + 0.3 * month_of(MONTHS)[:, None]
    quantiles, shifts = trained(other, truth, MONTHS, 25, "K")
    assert quantiles.shape == shifts.shape == (12, 25, 3)
    back = mapped(other, quantiles, shifts)
    inside = np.empty(truth.shape, bool)
    for month in range(1, 13):
        chosen = month_of(MONTHS) == month
        low, high = quantiles[month - 1][[0, -1]]
        inside[chosen] = (other[chosen] >= low) & (other[chosen] <= high)
    # Of 50 values the 25 quantiles from 0.02 to 0.98 leave out one on each side.
    assert inside.mean() == pytest.approx(0.96, abs=0.01)
    # A value and its image lie between the same two quantiles.
    resolution = np.diff(quantiles + shifts, axis=1).max()
    assert np.abs(back - truth)[inside].max() < resolution
    assert np.abs(back - truth)[inside].mean() < 0.02
    assert np.abs(other - truth)[inside].mean() > 1


def test_quantiles_lie_where_they_are_said_to() -> None:
    values = weather()
    quantiles, shifts = trained(values, values + 1.5, MONTHS, 20, "K")
    at = (np.arange(20) + 0.5) / 20
    january = values[month_of(MONTHS) == 1]
    np.testing.assert_allclose(quantiles[0], np.quantile(january, at, axis=0))
    np.testing.assert_allclose(shifts, 1.5)


def test_our_formula_is_that_of_xsdba() -> None:
    import xsdba

    truth = weather(2)
    other = 1.3 * truth + 2
    july = month_of(MONTHS) == 7
    time = MONTHS[july].astype("M8[ns]")

    def field(values: np.ndarray) -> xr.DataArray:
        coords = {"time": time}
        return xr.DataArray(values, coords, ("time", "cell"), attrs={"units": "K"})

    with pytest.warns(DeprecationWarning, match="keys will default"):
        reference = xsdba.EmpiricalQuantileMapping.train(
            field(truth[july]), field(other[july]), nquantiles=15, group="time"
        )
    far = np.concatenate([other[july][:-2], [[90.0, 90.0], [-90.0, -90.0]]])
    expected = reference.adjust(field(far), interp="linear")
    quantiles, shifts = trained(other, truth, MONTHS, 15, "K")
    found = shifted_by_quantiles(far, quantiles[6], shifts[6])
    np.testing.assert_allclose(found, expected.transpose("time", "cell"))


def test_cells_without_values_have_no_quantiles() -> None:
    values = weather()
    values[:, 1] = np.nan
    quantiles, shifts = trained(values, values, MONTHS, 5, "K")
    assert np.isnan(quantiles[:, :, 1]).all()
    assert np.isnan(shifts[:, :, 1]).all()
    assert np.isfinite(shifts[:, :, [0, 2]]).all()


def test_quantiles_are_learned_kept_and_applied(tmp_path: Path) -> None:
    own = tiny_forcing("land").assign_attrs(title="own")
    other = own.assign_attrs(title="other")
    # Rain told by its square: bent, and wetter where it is wet.
    other["pr"] = (own["pr"] ** 2 / 3e-5).assign_attrs(own["pr"].attrs).astype("f4")
    paths = write_pair(tmp_path, product=other, onto=own)
    chosen = {"quantiles": 10, "methods": {"pr": "quantiles", "tas": "delta"}}
    found = pair_of(paths, **chosen)
    known = learn(settings(**chosen), found, found.years)
    kept = open_map(write_map(known, tmp_path / "fit.zarr"))
    values, months = found.product.of_years("pr", found.years)
    mapped_ = kept.apply("pr", values, months)
    np.testing.assert_array_equal(mapped_, known.apply("pr", values, months))
    truth, _ = found.onto.of_years("pr", found.years)
    error = np.nanmean(np.abs(mapped_ - truth)) / np.nanmean(np.abs(values - truth))
    # Two of twenty years lie outside 10 quantiles, where the law is bent most.
    assert error < 0.2
    assert (np.isnan(mapped_) == np.isnan(truth)).all()
