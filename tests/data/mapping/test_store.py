"""A map as it is applied to single months, and when an archive refuses it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import GridMismatchError, StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.variables import VARIABLES
from emulator.data.mapping.store import (
    MAPPED_BY,
    Fit,
    ForcingMap,
    as_other_months,
    open_map,
    require_same_map,
)
from emulator.data.stores import write_store
from tests.worlds import tiny_forcing

GRID = Grid.regular(45.0)
SHAPE = (12, *GRID.shape)
JULY = np.datetime64("2024-07", "M")


def simple(identity: str = "0123abcd") -> ForcingMap:
    """Return a map that adds the number of the month, learned from 0 to 10."""
    change = np.broadcast_to(np.arange(1.0, 13)[:, None, None], SHAPE).astype("f4")
    fit = Fit("delta", change, np.zeros(SHAPE, "f4"), np.full(SHAPE, 10, "f4"))
    about = {name: json.dumps({"title": name}) for name in ("product", "onto")}
    about["years"] = "[1990, 1999]"
    return ForcingMap(identity, "simple", GRID, {"tas": fit}, about)


def test_a_month_is_mapped_by_its_month_of_the_year() -> None:
    fields = {"tas": np.full(GRID.shape, 5.0, "f4")}
    mapped = simple().apply_to_month(fields, JULY)
    np.testing.assert_array_equal(mapped["tas"], 12.0)
    assert mapped["tas"].dtype == np.float32
    others = [float(one["tas"][0, 0]) for one in as_other_months(simple(), fields)]
    assert others == [5.0 + month for month in range(1, 13)]


def test_what_lies_beyond_is_told_as_share_of_the_area() -> None:
    values = np.full(GRID.shape, 5.0, "f4")
    values[2:] = 10.5  # the northern hemisphere
    values[0, 0] = np.nan
    found = simple()
    south = GRID.cell_area()[:2].sum() - GRID.cell_area()[0, 0]
    north = GRID.cell_area()[2:].sum()
    share = found.beyond("tas", values[None], np.array([JULY]))
    assert share == pytest.approx(north / (north + south))
    assert found.said_of({"tas": values}, JULY) == (
        f"mapped by simple 0123abcd, beyond its range: tas {share:.1%}"
    )


def test_where_a_map_knows_nothing_nothing_is_beyond() -> None:
    none = np.full(GRID.shape, np.nan, "f4")
    assert simple().beyond("tas", none[None], np.array([JULY])) == 0.0


def test_sea_ice_stays_a_share() -> None:
    found = simple()
    ice = ForcingMap("0", "ice", GRID, {"siconc": found.fits["tas"]}, {})
    values = np.full((1, *GRID.shape), 0.5, "f4")
    assert (ice.apply("siconc", values, np.array([JULY])) == 1.0).all()


@pytest.mark.parametrize(
    "name", [n for n, one in VARIABLES.items() if one.role == "forcing"]
)
def test_what_is_an_amount_is_never_negative(name: str) -> None:
    # Whose lower bound is 0, or as much below it as packing rounds.
    variable = VARIABLES[name]
    is_amount = abs(variable.lower) <= 0.02 * variable.upper
    found = simple()
    fit = replace(found.fits["tas"], change=-found.fits["tas"].change)
    dry = ForcingMap("0", "dry", GRID, {name: fit}, {})
    values = np.zeros((1, *GRID.shape), "f4")
    assert (dry.apply(name, values, np.array([JULY])) == (0 if is_amount else -7)).all()


def test_unknown_variables_are_refused() -> None:
    with pytest.raises(StoreError, match=r"knows \['tas'\], not pr"):
        simple().apply_to_month({"pr": np.zeros(GRID.shape, "f4")}, JULY)


def test_other_cells_are_refused() -> None:
    with pytest.raises(GridMismatchError, match=r"forcing has \(3, 8\) cells"):
        simple().apply_to_month({"tas": np.zeros((3, 8), "f4")}, JULY)


def test_an_archive_goes_on_with_the_map_it_began_with() -> None:
    found = simple()
    require_same_map({}, None, Path("a"))
    require_same_map({MAPPED_BY: found.record}, found, Path("a"))


@pytest.mark.parametrize(
    ("attrs", "found", "message"),
    [
        ({MAPPED_BY: simple().record}, None, "but the source says no map.*mapped_by="),
        ({}, simple(), "forcing that was not mapped, but the source is mapped by"),
        (
            {MAPPED_BY: simple().record},
            simple("ffff0000"),
            "'simple' 0123abcd, but the source is mapped by 'simple' ffff0000",
        ),
    ],
)
def test_another_map_than_the_archive_began_with_is_refused(
    attrs: dict[str, str], found: ForcingMap | None, message: str
) -> None:
    with pytest.raises(StoreError, match=message):
        require_same_map(attrs, found, Path("land.icechunk"))


def test_what_is_no_map_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no map of forcing at"):
        open_map(tmp_path / "none")
    store = write_store(tiny_forcing("land"), tmp_path / "fit.zarr")
    with pytest.raises(StoreError, match="has the schema 'forcing-store/2'"):
        open_map(store)
