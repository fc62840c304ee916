from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.nightly import series, vintages

from .totals import sink_map


def night(last: str, *, level: float = 1.0, teachers: str = "AB") -> xr.Dataset:
    """Return the map of a night that knows months up to one, of 2000 or 2001."""
    found = sink_map(
        {name: np.full(2, level) for name in teachers}, first="2000-01", last=last
    )
    found.attrs["date_created"] = f"{last}-28T00:00:00Z"
    return found.merge(series.running(found))


@pytest.fixture(scope="module")
def history() -> list[tuple[str, xr.Dataset]]:
    """Return 2000 as seen in July 2000, and in January and June 2001, revised."""
    return [
        ("2000-07", night("2000-06")),
        ("2001-01", night("2000-12")),
        ("2001-07", night("2001-06", level=2.0)),
    ]


def test_a_year_is_seen_as_far_as_it_was_known(
    history: list[tuple[str, xr.Dataset]],
) -> None:
    found = vintages.side_by_side(history)
    assert found["vintage"].to_numpy().tolist() == ["2000-07", "2001-01", "2001-07"]
    seen = found.sel(flux="nbp", year=2000).sel(region="globe")
    # No total before it is over; 1 PgC yr-1 over 366 days, then 2.
    whole = 366 / 365.2425
    np.testing.assert_allclose(
        seen["budget_year"], [np.nan, whole, 2 * whole], rtol=1e-6
    )
    # The first half of 2000 has 182 days.
    to_date = [182 / 365.2425, whole, 2 * whole]
    np.testing.assert_allclose(seen["budget_year_to_date"], to_date, rtol=1e-6)
    assert found["months_known"].sel(flux="nbp").to_numpy().tolist() == [
        [6, 0], [12, 0], [12, 6]
    ]  # fmt: skip
    assert found["issued"].to_numpy().tolist()[0] == "2000-06-28T00:00:00Z"


def test_changed_ensemble_is_said() -> None:
    found = vintages.side_by_side(
        [
            ("a", night("2000-06")),
            ("b", night("2000-06")),
            ("c", night("2000-06", teachers="A")),
        ]
    )
    assert found["teachers"].to_numpy().tolist() == [
        "land: A, B",
        "land: A, B",
        "land: A",
    ]
    assert found["same_teachers"].to_numpy().tolist() == [1, 1, 0]


def test_old_vintages_need_not_be_read_again(
    history: list[tuple[str, xr.Dataset]], tmp_path: Path
) -> None:
    store = tmp_path / "vintages.zarr"
    vintages.write_zarr(vintages.side_by_side(history[:2]), store)
    with xr.open_zarr(store) as earlier:
        # One comes again, with what is known of it now.
        found = vintages.side_by_side(history[1:], earlier.load())
    xr.testing.assert_allclose(found, vintages.side_by_side(history))
    vintages.write_zarr(found, store)
    with xr.open_zarr(store) as again:
        assert again.sizes["vintage"] == 3


def test_a_vintage_named_late_stands_where_it_was_issued(
    history: list[tuple[str, xr.Dataset]],
) -> None:
    first, (_, second), third = history
    other = night("2000-12", teachers="A")
    changed = [first, ("late", other.assign_attrs(second.attrs)), third]
    earlier = vintages.side_by_side([first, third])
    assert earlier["same_teachers"].to_numpy().tolist() == [1, 1]
    found = vintages.side_by_side(changed[1:2], earlier)
    assert found["vintage"].to_numpy().tolist() == ["2000-07", "late", "2001-07"]
    assert found["same_teachers"].to_numpy().tolist() == [1, 0, 0]
    xr.testing.assert_allclose(found, vintages.side_by_side(changed))


def test_table_has_a_column_for_each_vintage(
    history: list[tuple[str, xr.Dataset]], tmp_path: Path
) -> None:
    path = tmp_path / "vintages.csv"
    vintages.write_csv(vintages.side_by_side(history), path)
    lines = path.read_text().splitlines()
    assert lines[0] == "number,flux,region,period,2000-07,2001-01,2001-07"
    # 366 / 365.2425 and twice that.
    assert "year,nbp,globe,2000,,1.00207,2.00415" in lines
    assert "months_known,nbp,all,2000,6,12,12" in lines
    assert "12_months,nbp,globe,2000-12,,1.00207,2.00415" in lines
    # Nobody has had twelve months before.
    assert not [
        line for line in lines if line.startswith("12_months,nbp,globe,2000-1,")
    ]


def test_running_totals_that_nobody_revised_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "vintages.csv"
    same = [("a", night("2001-01")), ("b", night("2001-01"))]
    vintages.write_csv(vintages.side_by_side(same), path)
    text = path.read_text()
    assert "12_months" not in text
    assert "year,nbp,globe,2000,1.00207,1.00207" in text


def test_vintages_need_names_of_their_own() -> None:
    one = night("2000-06")
    with pytest.raises(ValueError, match="names of their own, got a, a"):
        vintages.side_by_side([("a", one), ("a", one)])
    with pytest.raises(ValueError, match="There is no vintage to show"):
        vintages.side_by_side([])
