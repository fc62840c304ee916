"""Effects of CO2 and climate from arrays whose answers are known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from emulator.evaluation import responses
from emulator.evaluation.hindcast import MEAN, NETWORK, Hindcast
from emulator.evaluation.responses import Drivers

SECONDS = 365 * 86400.0
AREA = 1e12 / SECONDS / 1e-9
"""Area of a cell, m2, whose 1e-9 kg m-2 s-1 make 1 PgC in a year of 365 days."""


def small(
    simulations: tuple[str, ...] = ("S0", "S1", "S2"),
    levels: tuple[float, ...] = (0.0, 2.0, 1.0),
    *,
    years: int = 3,
    teachers: int = 1,
    network: float = 1.0,
) -> Hindcast:
    """Return simulations of constant flux, PgC a year, of one of two cells' area.

    Teacher t has (1 + t) times the levels; the network says ``network`` times all.
    """
    months = np.arange("2001-01", f"{2001 + years}-01", dtype="datetime64[M]")
    truth = np.ones((len(levels), teachers, months.size, 2)) * 0.5e-9
    truth *= np.array(levels)[:, None, None, None]
    truth *= (1 + np.arange(teachers))[:, None, None]
    return Hindcast(
        flux="nbp",
        simulations=simulations,
        teachers=tuple("AB"[:teachers]),
        months=months,
        area=np.full(2, AREA),
        truth=truth,
        climatology=np.zeros((len(levels), teachers, 12, 2)),
        predictions={NETWORK: network * truth},
        annual={},
        choices={},
        weather_seen=np.zeros(len(levels)),
    )


def drivers(found: Hindcast) -> Drivers:
    """Return CO2 10 ppm apart and temperature 0.5 K apart, simulation by simulation."""
    steps = np.ones((len(found.simulations), found.months.size))
    order = np.arange(len(found.simulations))[:, None]
    return Drivers(co2=280 + 10 * order * steps, temperature=290 + 0.5 * order * steps)


def respond(found: Hindcast, **bands: Any) -> list[dict[str, Any]]:
    return responses.responses(found, bands, drivers(found))


def test_effects_of_land_by_hand() -> None:
    co2, climate = respond(small(network=1.1))
    assert (co2["effect"], co2["on"], co2["off"]) == ("CO2", "S1", "S0")
    assert (climate["effect"], climate["on"]) == ("climate", "S2")
    (span,) = co2["regions"]["globe"]["spans"]
    assert span["years"] == [2001, 2003]
    assert span["teacher"] == pytest.approx(2.0)  # no leap year among the three
    assert span["network"] == pytest.approx(2.2)
    assert span["ratio"] == pytest.approx(1.1)
    # 2 PgC for 10 ppm; -1 PgC for 0.5 K.
    assert co2["sensitivity"]["teacher"] == pytest.approx(0.2)
    assert co2["sensitivity"]["unit"] == "PgC yr-1 ppm-1"
    assert climate["sensitivity"]["teacher"] == pytest.approx(-2.0)
    assert climate["sensitivity"]["network"] == pytest.approx(-2.2)
    assert co2["ratio"]["value"] == pytest.approx(1.1)


def test_ocean_has_one_effect_of_co2_and_climate_together() -> None:
    (found,) = respond(small(("A", "B"), (2.0, 0.5)))
    assert found["effect"] == "CO2 and climate together"
    assert found["regions"]["globe"]["spans"][0]["teacher"] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("network", "co2", "climate"),
    [(1.14, True, True), (1.16, False, True), (0.74, False, False)],
)
def test_tolerances_are_those_agreed(network: float, co2: bool, climate: bool) -> None:
    found = respond(small(years=5, network=network))
    assert [each["within"] for each in found] == [co2, climate]


def test_few_years_are_shown_but_not_judged() -> None:
    found = respond(small(years=4, network=3.0))
    assert [each["within"] for each in found] == [None, None]


def test_mean_of_teachers_comes_first_and_is_the_mean_of_effects() -> None:
    found = respond(small(teachers=2))
    assert [each["teacher"] for each in found] == [MEAN, "A", "B"] * 2
    spans = [each["regions"]["globe"]["spans"][0] for each in found[:3]]
    assert [span["teacher"] for span in spans] == pytest.approx([3.0, 2.0, 4.0])
    assert found[0]["sensitivity"]["teacher"] == pytest.approx(0.3)


def test_the_mean_is_of_the_years_that_all_teachers_have() -> None:
    # A lacks the first year, B the last: with other years they had no common mean.
    found = small(teachers=2, years=3, network=1.1)
    found.truth[:, 0, :12] = np.nan
    found.truth[:, 1, 24:] = np.nan
    found.truth[1, :, 12:24] *= 2
    mean, first, second = respond(found)[:3]
    assert [each["years"] for each in (first, second)] == [[2002, 2003], [2001, 2002]]
    assert (mean["teacher"], mean["years"]) == (MEAN, [2002])
    # S1 - S0 of 2002 is 2 x 2 and 2 x 2 x 2.
    assert mean["regions"]["globe"]["teacher_annual"] == pytest.approx([6.0])
    assert mean["sensitivity"]["teacher"] == pytest.approx(0.6)
    found.truth[:, 1, 12:24] = np.nan
    assert [each["teacher"] for each in respond(found)] == ["A", "B"] * 2


def test_bands_add_up() -> None:
    found = respond(
        small(network=0.5), north=np.array([1.0, 0.25]), south=np.array([0.0, 0.75])
    )
    regions = found[0]["regions"]
    assert regions["north"]["spans"][0]["teacher"] == pytest.approx(1.25)
    assert regions["south"]["spans"][0]["network"] == pytest.approx(0.375)
    assert "nowhere" not in respond(small(), nowhere=np.zeros(2))[0]["regions"]


def test_only_years_and_cells_of_both_simulations_count() -> None:
    found = small(years=3)
    found.truth[1, :, :12] = np.nan
    found.truth[0, :, 15, 1] = np.nan
    (co2, climate) = respond(found)
    assert co2["years"] == climate["years"] == [2002, 2003]
    assert co2["regions"]["globe"]["spans"][0]["teacher"] == pytest.approx(1.0)
    assert climate["regions"]["globe"]["spans"][0]["teacher"] == pytest.approx(-1.0)


def test_a_teacher_without_a_simulation_or_a_whole_year_has_no_effect() -> None:
    found = small(teachers=2)
    found.truth[0, 1] = np.nan
    assert [each["teacher"] for each in respond(found)] == ["A", MEAN, "A", "B"]
    short = small()
    short.truth[:, :, 6:] = np.nan
    assert respond(short) == []


def test_months_that_the_network_cannot_answer_do_not_count() -> None:
    found = small()
    found.predictions[NETWORK][0, :, :12] = np.nan
    assert respond(found)[0]["years"] == [2002, 2003]


def test_no_change_of_the_driver_and_no_temperature_give_no_sensitivity() -> None:
    found = small()
    still = replace(drivers(found), co2=np.full((3, 36), 280.0), temperature=None)
    co2, climate = responses.responses(found, {}, still)
    assert co2["sensitivity"]["change"] == 0.0
    assert co2["sensitivity"]["teacher"] is None
    assert climate["sensitivity"]["change"] is None


def test_no_effect_at_all_has_no_ratio() -> None:
    found = respond(small(levels=(1.0, 1.0, 1.0), years=5))
    assert found[0]["ratio"]["value"] is None
    assert found[0]["regions"]["globe"]["spans"][0]["ratio"] is None
    assert found[0]["within"] is True


@pytest.mark.parametrize(
    ("years", "lengths"),
    [(3, [3]), (9, [9]), (15, [15]), (16, [8, 8]), (25, [12, 13]), (65, [11] * 6)],
)
def test_blocks_are_near_a_decade(years: int, lengths: list[int]) -> None:
    found = [part.stop - part.start for part in responses.blocks(years)]
    assert sum(found) == years
    assert max(found) <= responses.LONGEST_BLOCK
    assert len(found) == len(lengths)
    assert max(found) - min(found) <= 1


def test_halves_are_shown_beside_a_single_decade() -> None:
    series = np.arange(11.0)
    found = responses.spans(list(range(2014, 2025)), series, 2 * series, 0.15)
    assert [(each["kind"], each["years"]) for each in found] == [
        ("decade", [2014, 2024]),
        ("half", [2014, 2019]),
        ("half", [2020, 2024]),
    ]
    assert found[0]["teacher"] == 5.0
    assert [each["within"] for each in found] == [False, None, None]
