import numpy as np

from emulator.nightly.page import maps
from emulator.nightly.page.packing import MISSING
from emulator.nightly.sinkmap import assemble
from tests.nightly.synthetic import prediction

from .worlds import small_map, unpacked


def by_name(found: list[maps.Layer]) -> dict[str, maps.Layer]:
    return {f"{layer.domain}_{layer.kind}": layer for layer in found}


def test_map_of_both_has_all_layers() -> None:
    found = by_name(maps.layers(small_map()))
    domains, kinds = ("land", "ocean", "both"), ("mean", "teachers", "emulator")
    assert set(found) == {f"{d}_{k}" for d in domains for k in kinds}


def test_layers_that_a_map_lacks_are_left_out() -> None:
    # One teacher has no spread between teachers; no ocean, no sum of both.
    one = assemble(prediction("land", teachers=("A",)), None)
    assert set(by_name(maps.layers(one))) == {"land_mean", "land_emulator"}


def test_range_and_step_of_an_even_field_by_hand() -> None:
    # 1e-8 kg m-2 s-1 for a Gregorian year of 31556952 s: 315.57 g m-2 yr-1. The next
    # round number is 400; a 125th of it is 3.2, and the next step down is 2.
    even = np.full((1, 24, 6, 12), 1e-8)
    given = prediction("land", teachers=("A",), values=even)
    layer = by_name(maps.layers(assemble(given, None)))["land_mean"]
    assert (layer.limit, layer.step) == (400.0, 2.0)


def test_range_of_both_adds_per_area_of_the_cell() -> None:
    # Half land of 1e-8 and half sea of -3e-8: the cell has -1e-8, 315.57 g m-2 yr-1;
    # the spreads are half of theirs, in quadrature.
    half = np.full((6, 12), 0.5)
    land, ocean = (
        prediction(
            domain,
            teachers=(name,),
            values=np.full((1, 24, 6, 12), value),
            fraction=half,
        )
        for domain, name, value in (("land", "A", 1e-8), ("ocean", "C", -3e-8))
    )
    found = by_name(maps.layers(assemble(land, ocean)))
    assert found["both_mean"].limit == 400.0
    # hypot(0.5 x 315.57, 0.5 x 946.71) = 498.96
    assert found["both_emulator"].limit == 500.0
    assert found["both_mean"].step == 0.0


def test_field_of_zeros_has_a_range() -> None:
    zeros = prediction("land", teachers=("A",), values=np.zeros((1, 24, 6, 12)))
    layer = by_name(maps.layers(assemble(zeros, None)))["land_mean"]
    assert layer.limit == 1.0


def test_year_holds_every_cell_within_half_a_step() -> None:
    sink_map = small_map()
    chosen = maps.layers(sink_map)
    content = maps.year_content(sink_map, 2001, chosen)
    assert content["year"] == 2001
    assert set(content["layers"]) == {
        f"{d}_{k}" for d in ("land", "ocean") for k in ("mean", "teachers", "emulator")
    }
    layer = content["layers"]["ocean_mean"]
    there = sink_map["sea_fraction"].to_numpy() > 0
    wanted = sink_map["fgco2_mean"].to_numpy()[12:24][:, there] * maps.UNIT
    codes = unpacked(layer["data"], wanted.shape)
    assert layer["months"] == list(range(1, 13))
    np.testing.assert_allclose(codes * layer["step"], wanted, atol=0.5 * layer["step"])


def test_months_without_a_domain_are_left_out_of_a_year() -> None:
    land = prediction("land", first="2000-01", last="2001-12")
    ocean = prediction("ocean", first="2000-01", last="2001-03")
    sink_map = assemble(land, ocean)
    layers = maps.year_content(sink_map, 2001, maps.layers(sink_map))["layers"]
    assert layers["land_mean"]["months"] == list(range(1, 13))
    assert layers["ocean_mean"]["months"] == [1, 2, 3]
    cells = int((sink_map["sea_fraction"] > 0).sum())
    assert MISSING not in unpacked(layers["ocean_mean"]["data"], (3, cells))


def test_years_are_those_of_any_month() -> None:
    assert maps.years(small_map()) == [2000, 2001, 2002]


def test_grid_keeps_shares_and_small_ones_too() -> None:
    share = np.zeros((6, 12))
    share[2, 3], share[4, 5] = 0.4321, 1e-6
    sink_map = assemble(prediction("land", fraction=share), None)
    content = maps.grid_content(sink_map)
    assert content["latEdges"] == [-90, -60, -30, 0, 30, 60, 90]
    assert len(content["lonEdges"]) == 13
    assert "ocean" not in content
    codes = unpacked(content["land"], share.shape)
    # 0.4321 is 4321 steps of 1e-4; a millionth is kept as one step, not as none.
    assert (codes[2, 3], codes[4, 5], int((codes > 0).sum())) == (4321, 1, 2)
