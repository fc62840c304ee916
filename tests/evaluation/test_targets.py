"""What was agreed, beside what cards made by hand reached."""

from typing import Any

import pytest

from emulator.evaluation import targets
from emulator.evaluation.hindcast import MEAN
from tests.evaluation.cards import card, constant, plain


def scored(**changes: Any) -> dict[str, Any]:
    """Return a network with anomaly_r2 0.7 beside baselines with 0.5."""
    found = constant(0.3, 0.1)
    found["cells"]["shape_r2"] = plain(0.7)
    found["annual"] |= {
        "annual_r2_centred": {"value": 0.96, "low": 0.85, "high": 0.99, "n": 6},
        "sd_ratio": plain(1.1),
        "relative_error": plain(0.015),
    }
    found["season"] = {"cell_phase_error_mean": 0.3}
    for part, values in changes.items():
        found[part] = found[part] | values
    return found


def made(*networks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the card of a testbed with a teacher for each network."""
    first = card(networks[0])["records"][0] | {"n_cells": 1}
    records = [
        {
            **first,
            "teacher": f"T{place}",
            "methods": first["methods"] | {"network": network},
        }
        for place, network in enumerate(networks)
    ]
    everything = {"evidence": "testbed", "responses": [], "intervals": None}
    return card(networks[0]) | everything | {"records": records} | changes


def row(found: dict[str, Any], quantity: str) -> targets.Row:
    return next(each for each in targets.rows(found) if quantity in each.quantity)


def test_a_run_that_reaches_everything_measured() -> None:
    found = targets.rows(made(scored()))
    assert [each.reached for each in found] == [True, True, True, None]
    assert found[0].found == "+0.20 (0.70; climatology 0.50)"
    assert found[1].found == "0.96 (0.85 to 0.99)"
    assert found[-1].found == "not measured: not calibrated"


@pytest.mark.parametrize(
    ("quantity", "part", "values"),
    [
        ("anomaly_r2 above", "cells", {"anomaly_r2": plain(0.55)}),
        (
            "annual_r2_centred",
            "annual",
            {"annual_r2_centred": {"value": 0.89, "low": 0.85, "high": 1, "n": 6}},
        ),
        (
            "annual_r2_centred",
            "annual",
            {"annual_r2_centred": {"value": 0.96, "low": 0.79, "high": 1, "n": 6}},
        ),
        ("phase", "season", {"cell_phase_error_mean": 0.6}),
    ],
)
def test_each_limit_counts(quantity: str, part: str, values: dict[str, Any]) -> None:
    assert row(made(scored()), quantity).reached is True
    assert row(made(scored(**{part: values})), quantity).reached is False


def test_the_worst_teacher_answers_for_all_and_the_mean_does_not_count() -> None:
    poor = scored(season={"cell_phase_error_mean": 0.8})
    found = made(scored(), poor)
    found["records"].append(
        found["records"][0] | {"teacher": MEAN, "methods": {"network": {}}}
    )
    phase = row(found, "phase")
    assert phase.reached is False
    assert phase.of == "T1, the worst; 1 of 2 reach it"
    assert phase.found == "0.80"


def test_only_headline_records_count() -> None:
    found = made(scored())
    other = found["records"][0]
    for changes in ({"simulation": "S1"}, {"flux": "gpp"}, {"scope": "held-out"}):
        found["records"].append(other | {"teacher": "X"} | changes)
    assert row(found, "phase").of == "T0"
    assert targets.rows(found | {"records": []}) == []


def test_an_ocean_of_the_testbed_is_judged_by_its_share_of_the_sink() -> None:
    found = made(scored())
    for record in found["records"]:
        record |= {"flux": "fgco2", "simulation": "A"}
    assert row(found, "/ sink").found == "1.5%"
    assert row(found, "/ sink").reached is True
    limits = scored(annual={"relative_error": plain(0.021)})
    found["records"][0]["methods"]["network"] = limits
    assert row(found, "/ sink").reached is False


def test_what_was_not_measured_is_said() -> None:
    short = scored()
    del short["annual"], short["season"]
    found = made(short)
    assert row(found, "annual_r2_centred").found == "not measured"
    assert row(found, "phase").reached is None


def test_real_models_have_targets_of_their_own() -> None:
    found = made(scored(), evidence="real teacher, simulated forcing")
    found["records"][0]["teacher"] = "LPJwsl"
    names = [each.quantity for each in targets.rows(found)]
    assert "annual_r2_centred" not in names
    assert row(found, "anomaly_r2, cells").wanted == "at least 0.66"
    assert row(found, "annual_r2_centred, annual").reached is True
    assert row(found, "sd_ratio, annual").wanted == "at least 0.85 and at most 1.15"
    wide = scored(annual={"sd_ratio": plain(1.2)})
    found["records"][0]["methods"]["network"] = wide
    assert row(found, "sd_ratio, annual").reached is False


@pytest.mark.parametrize(
    ("own_state", "shape", "rmse"), [([], 0.66, 0.08), (["tos"], 0.84, 0.06)]
)
def test_the_cards_of_the_ocean_model_differ(
    own_state: list[str], shape: float, rmse: float
) -> None:
    found = made(scored(), evidence="real", own_state=own_state)
    found["records"][0] |= {"teacher": "MITgcm-DIC", "simulation": "A"}
    assert row(found, "shape_r2").wanted == f"at least {shape:g}"
    assert row(found, "shape_r2").reached is (shape < 0.7)
    # The network misses by 0.1 PgC every year.
    assert row(found, "rmse").wanted == f"at most {rmse:g}"
    assert row(found, "rmse").reached is False
    del found["records"][0]["methods"]["network"]["annual"]
    assert row(found, "rmse").found == "not measured"


def effect(teacher: str, ratio: float, within: bool | None) -> dict[str, Any]:
    span = {"years": [2014, 2024], "teacher": 2.0, "network": 2.0 * ratio}
    span |= {"ratio": ratio, "within": within}
    return {
        "effect": "CO2",
        "on": "S1",
        "off": "S0",
        "teacher": teacher,
        "tolerance": 0.15,
        "regions": {"globe": {"spans": [span]}},
    }


def test_the_worst_decade_of_an_effect_is_shown() -> None:
    effects = [
        effect(MEAN, 3.0, False),
        effect("A", 1.1, True),
        effect("B", 0.7, False),
    ]
    found = row(made(scored(), responses=effects), "effect of CO2")
    assert found.reached is False
    assert found.of == "B, 2014-2024, the worst; 1 of 2 reach it"
    assert found.found == "1.40 against 2.00 PgC yr-1, ratio 0.70"
    assert found.wanted == "within 15% of the teacher's"
    few = row(made(scored(), responses=[effect("A", 1.1, None)]), "effect of CO2")
    assert few.reached is None


def test_intervals_are_judged_by_coverage_and_width() -> None:
    def each(passes: bool, width: float) -> dict[str, Any]:
        return {"coverage": {"passes": passes}, "width": width}

    scores = {"cell/month": each(True, 1.0), "globe/year": each(False, 1.0)}
    intervals = {"scores": scores, "lightgbm": {"cell/month": each(True, 0.9)}}
    found = made(scored(), intervals=intervals)
    assert row(found, "coverage").found == "1 of 2 pass; not globe year"
    assert row(found, "coverage").reached is False
    assert row(found, "width").reached is False
    out_of_reach = made(scored(), intervals={"scores": {}, "lightgbm": {}})
    assert "no test month" in row(out_of_reach, "coverage").found


def test_table_says_what_was_missed_and_where_it_comes_from() -> None:
    phase = {"season": {"cell_phase_error_mean": 0.6}}
    text = "\n".join(targets.markdown(targets.rows(made(scored(**phase)))))
    assert "| seasonal phase error, months | T0 | 0.60 | below 0.5 | **no** |" in text
    assert "agreed" in text
    assert list(targets.markdown([])) == []
