import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import SettingsError
from emulator.data.stores import write_store
from emulator.data.windows import load_cube
from emulator.evaluation import metrics, scorecard
from emulator.evaluation.compare import compare
from emulator.evaluation.hindcast import MEAN, NETWORK
from emulator.evaluation.settings import (
    BaselineSettings,
    CompareSettings,
    EvaluateSettings,
    ObservedSettings,
)
from emulator.learning.fit import train
from emulator.learning.settings import SplitSettings
from tests.evaluation.published import budget_workbook
from tests.learning.runs import small_gru, tiny_data, tiny_settings
from tests.worlds import tiny_forcing_store, tiny_world

BASELINES = {"rows": 500, "trees": 5, "threads": 1}
SPLIT = SplitSettings([1990, 2004], [2001, 2001], [2006, 2008])


@pytest.fixture(scope="module")
def runs(
    land_store: Path, ocean_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder with a run that learned, one that did not, and an ocean's."""
    root = tmp_path_factory.mktemp("runs")
    train(tiny_settings(), land_store, root / "good")
    train(tiny_settings(steps=2, validate_every=2), land_store, root / "poor")
    ocean = tiny_settings(data=tiny_data("ocean"), steps=2, validate_every=2)
    train(ocean, ocean_store, root / "ocean")
    return root


def evaluate(runs: Path, store: Path, name: str, **changes: Any) -> Path:
    settings = EvaluateSettings(
        run=name,
        store=str(store),
        baselines=BaselineSettings(**BASELINES),
        **changes,
    )
    return scorecard.evaluate(settings, runs_root=runs)


@pytest.fixture(scope="module")
def card(runs: Path, land_store: Path) -> dict[str, Any]:
    return json.loads(evaluate(runs, land_store, "good").read_text())


def record(card: dict[str, Any], simulation: str, teacher: str) -> dict[str, Any]:
    return next(
        each
        for each in card["records"]
        if (each["simulation"], each["teacher"]) == (simulation, teacher)
    )


def test_card_says_what_it_stands_on(card: dict[str, Any], runs: Path) -> None:
    assert card["evidence"] == "testbed"
    assert card["split"]["part"] == "test"
    assert card["split"]["gap_years"] == 1
    assert card["label_climatology"] == "climatology"
    assert card["test_reads"] == 1
    assert card["store_hash"] == "tiny"
    assert len(card["checkpoint"]) == 64
    assert set(card["choices"]["nbp"]) >= {"ridge", "lightgbm", "co2_enso"}
    assert {"anomaly_r2", "shape_r2", "annual_r2_centred"} <= set(card["definitions"])
    text = (runs / "good" / "scorecard.md").read_text()
    assert "Evidence: testbed." in text
    assert "| ridge |" in text
    assert "saw weather that training saw" in text
    assert "the weather is simulated (evidence: testbed)" in text
    assert card["observed"]["not_applicable"] in text


def test_every_teacher_simulation_and_their_mean_is_scored(
    card: dict[str, Any],
) -> None:
    found = {(each["simulation"], each["teacher"]) for each in card["records"]}
    assert found == {
        (simulation, teacher)
        for simulation in ("S0", "S1", "S2")
        for teacher in ("ONE", "TWO", MEAN)
    }


def test_headline_comes_first(card: dict[str, Any]) -> None:
    first = card["records"][0]
    assert (first["flux"], first["simulation"], first["teacher"]) == ("nbp", "S2", MEAN)


def test_every_method_has_every_score_with_n(card: dict[str, Any]) -> None:
    found = record(card, "S2", "ONE")
    assert found["n_years"] == 3
    assert found["n_months"] == 36
    assert list(found["methods"]) == [
        NETWORK,
        "climatology",
        "trend",
        "persistence",
        "ridge",
        "lightgbm",
        "co2_enso",
    ]
    for name, method in found["methods"].items():
        assert method["annual"]["rmse"]["n"] == 3
        assert len(method["annual_totals"]) == 3
        if name != "co2_enso":
            assert method["cells"]["anomaly_r2"]["n"] == 3
            assert abs(method["season"]["phase_error_months"]) <= 6


def test_ridge_that_knows_the_law_beats_climatology_and_is_the_best(
    card: dict[str, Any],
) -> None:
    found = record(card, "S2", "ONE")
    methods = found["methods"]
    assert methods["ridge"]["cells"]["anomaly_r2"]["value"] > 0.95
    assert methods["climatology"]["cells"]["skill_climatology"] == 0.0
    assert methods["ridge"]["cells"]["skill_climatology"] > 0.9
    assert found["best_baseline"]["cells"] == "ridge"
    assert methods["ridge"]["cells"]["skill_best_baseline"] == 0.0
    assert methods[NETWORK]["cells"]["anomaly_r2"]["value"] > 0.5


def test_annual_totals_are_those_of_the_labels(
    card: dict[str, Any], land_store: Path
) -> None:
    cube = load_cube(land_store, fluxes=["nbp"], forcing=[], static=[])
    found = record(card, "S2", "TWO")
    months = cube.months
    year = months.astype("M8[Y]") == np.datetime64("2007")
    days = ((months + 1).astype("M8[D]") - months.astype("M8[D]")).astype(float)[year]
    labels = cube.labels[2, 1, :, 0].numpy()[year].astype(float)
    expected = (labels @ cube.area.numpy() * days * 86400).sum() / 1e12
    assert found["years"][1] == 2007
    assert found["teacher_annual"][1] == pytest.approx(expected, rel=1e-6)


def test_mean_of_teachers_is_the_mean_of_their_totals(card: dict[str, Any]) -> None:
    one, two, mean = (record(card, "S2", name) for name in ("ONE", "TWO", MEAN))
    for part in ("ridge", "co2_enso", NETWORK):
        totals = [each["methods"][part]["annual_totals"] for each in (one, two, mean)]
        np.testing.assert_allclose(
            totals[2], np.mean(totals[:2], axis=0), rtol=1e-5, atol=1e-9
        )
    np.testing.assert_allclose(
        mean["teacher_annual"],
        (np.array(one["teacher_annual"]) + two["teacher_annual"]) / 2,
        rtol=1e-5,
    )


def test_regions_add_up_to_the_globe(card: dict[str, Any]) -> None:
    found = record(card, "S2", "ONE")
    for regions in found["regions"].values():
        total = sum(np.array(region["teacher_annual"]) for region in regions.values())
        np.testing.assert_allclose(total, found["teacher_annual"], rtol=1e-6)


def test_recycled_weather_is_told(card: dict[str, Any]) -> None:
    assert record(card, "S0", "ONE")["weather_seen_in_training"] == 1.0
    assert record(card, "S2", "ONE")["weather_seen_in_training"] == 0.0


def test_figures_are_drawn_of_the_mean_and_its_teachers(
    card: dict[str, Any], runs: Path
) -> None:
    assert card
    names = {path.name for path in (runs / "good" / "figures").iterdir()}
    kinds = ("annual", "regions", "season", "skill")
    wanted = {f"{kind}-mean-of-teachers-s2.png" for kind in kinds}
    assert names == wanted | {"teachers-s2.png", "effects.png"}


def test_effects_of_co2_and_climate_stand_beside_the_teachers(
    card: dict[str, Any], runs: Path
) -> None:
    found = {(each["effect"], each["teacher"]): each for each in card["responses"]}
    teachers = (MEAN, "ONE", "TWO")
    assert list(found) == [(e, t) for e in ("CO2", "climate") for t in teachers]
    totals = {
        simulation: np.array(record(card, simulation, "ONE")["teacher_annual"])
        for simulation in ("S0", "S1", "S2")
    }
    co2 = found["CO2", "ONE"]
    effect = np.array(co2["regions"]["globe"]["teacher_annual"])
    np.testing.assert_allclose(effect, totals["S1"] - totals["S0"], rtol=1e-5)
    # 2 ppm a year since 1990: 32, 34 and 36 ppm in 2006 to 2008.
    assert co2["sensitivity"]["change"] == pytest.approx(34.0)
    assert set(co2["regions"]) == {"globe", "north", "tropics", "south"}
    # Three years are not judged.
    assert co2["within"] is None
    assert found["climate", "ONE"]["sensitivity"]["unit"] == "PgC yr-1 K-1"
    text = (runs / "good" / "scorecard.md").read_text()
    assert "## Effects of CO2 and of climate" in text
    assert "| CO2, S1 - S0 | ONE | 2006-2008 |" in text


def test_reads_of_the_test_years_are_counted_and_validation_is_free(
    runs: Path, land_store: Path
) -> None:
    evaluate(runs, land_store, "poor")
    second = json.loads(evaluate(runs, land_store, "poor").read_text())
    assert second["test_reads"] == 2
    path = evaluate(runs, land_store, "poor", split="validation")
    assert path.name == "scorecard-validation.json"
    third = json.loads(path.read_text())
    assert third["test_reads"] == 2
    assert record(third, "S2", "ONE")["years"] == [2001]
    assert any("Validation years chose" in caveat for caveat in third["caveats"])
    assert scorecard.read_count(runs / "poor") == 2


def test_another_store_has_a_scorecard_of_its_own(
    runs: Path, card: dict[str, Any], tmp_path: Path
) -> None:
    world = tiny_world()
    world.attrs["settings_hash"] = "other"
    path = evaluate(runs, write_store(world, tmp_path / "other.zarr"), "good")
    assert path == runs / "good" / "scorecard-on-other.json"
    found = json.loads(path.read_text())
    assert (found["store"], found["store_hash"]) == ("other.zarr", "other")
    assert list((runs / "good" / "figures-on-other").glob("*.png"))
    assert json.loads((runs / "good" / "scorecard.json").read_text()) == card


def test_targets_stand_at_the_top(card: dict[str, Any], runs: Path) -> None:
    found = {row["quantity"]: row for row in card["targets"]}
    gain = found["anomaly_r2 above the best baseline"]
    assert gain["reached"] is False  # nothing beats the ridge, which knows the law
    assert "ridge" in gain["found"]
    assert found["seasonal phase error, months"]["reached"] is True
    assert found["effect of CO2, S1 - S0, decades"]["found"] == "not measured"
    text = (runs / "good" / "scorecard.md").read_text()
    assert text.index("## Targets") < text.index("## Effects") < text.index("## nbp")


def test_spread_is_split_among_teachers_of_one_member(
    card: dict[str, Any], runs: Path
) -> None:
    found = card["decomposition"]
    assert (found["flux"], found["simulation"], found["members"]) == ("nbp", "S2", 1)
    level = found["components"]["globe"]["level"]
    assert level["members"] is None
    totals = [record(card, "S2", name) for name in ("ONE", "TWO")]
    predicted = [each["methods"][NETWORK]["annual_totals"] for each in totals]
    expected = np.var(predicted, axis=0, ddof=1).mean() ** 0.5
    assert level["teachers"]["sd"] == pytest.approx(expected, rel=1e-5)
    text = (runs / "good" / "scorecard.md").read_text()
    assert "## Spread of nbp, S2" in text


def test_members_and_another_forcing_add_to_the_spread(
    land_store: Path, tmp_path: Path
) -> None:
    settings = tiny_settings(steps=2, validate_every=2, members=2)
    train(settings, land_store, tmp_path / "two")
    forcing = tiny_forcing_store(tmp_path)
    path = evaluate(
        tmp_path,
        land_store,
        "two",
        other_forcing=str(forcing),
        split="validation",
    )
    found = json.loads(path.read_text())["decomposition"]
    level = found["components"]["globe"]["level"]
    assert level["members"]["sd"] > 0
    # The very same forcing: nothing comes from it.
    assert level["forcing"]["sd"] == pytest.approx(
        0.0, abs=1e-3 * level["members"]["sd"]
    )
    assert set(found["spread_skill"]) == {"ONE", "TWO"}
    text = (tmp_path / "two" / "scorecard-validation.md").read_text()
    assert "Spread between members over the error" in text


def test_ocean_run_scores_where_its_control_has_no_labels(
    runs: Path, ocean_store: Path
) -> None:
    found = json.loads(evaluate(runs, ocean_store, "ocean").read_text())
    assert found["enso_index"].endswith("of tosforc")
    assert record(found, "A", "ONE-sea")["flux"] == "fgco2"
    text = (runs / "ocean" / "scorecard.md").read_text()
    assert "A - B is the effect of CO2 and climate together" in text
    assert {each["on"] for each in found["responses"]} == {"A"}


def test_held_out_region_is_scored_apart(land_store: Path, tmp_path: Path) -> None:
    split = SplitSettings(
        SPLIT.train, SPLIT.validation, SPLIT.test, "box:0/90/-180/-100", 1.0
    )
    settings = tiny_settings(
        small_gru(label_climatology="none"), split=split, steps=2, validate_every=2
    )
    train(settings, land_store, tmp_path / "held")
    found = json.loads(evaluate(tmp_path, land_store, "held").read_text())
    scopes = {each["scope"]: each for each in found["records"]}
    assert set(scopes) == {"all", "held-out region box:0/90/-180/-100"}
    inside = scopes["held-out region box:0/90/-180/-100"]
    assert inside["n_cells"] + scopes["all"]["n_cells"] == 12
    # Climatology is borrowed there, so it is not perfect in its own mean.
    borrowed = inside["methods"]["climatology"]["cells"]["mse"]
    assert borrowed > 0
    assert any("region was held out" in caveat for caveat in found["caveats"])


def test_baselines_are_kept_for_the_next_run(runs: Path, card: dict[str, Any]) -> None:
    assert card
    assert list((runs / scorecard.BASELINE_FOLDER).glob("*.npz"))


def test_compare_pairs_runs_and_baselines(
    runs: Path, land_store: Path, card: dict[str, Any], tmp_path: Path
) -> None:
    assert card
    evaluate(runs, land_store, "poor")
    settings = CompareSettings(["good", "poor"], out=str(tmp_path / "out" / "table"))
    path = compare(settings, runs_root=runs)
    assert path.name == "table.md"
    assert (path.parent / "table.png").stat().st_size > 10_000
    text = path.read_text()
    assert "Evidence: testbed." in text
    assert "| baseline ridge |" in text
    with (path.parent / "table.csv").open() as file:
        lines = [line.rstrip("\n").split(",") for line in file]
    head = lines[0]
    rows = [dict(zip(head, line, strict=True)) for line in lines[1:]]
    poor = next(
        row
        for row in rows
        if (row["simulation"], row["teacher"], row["method"], row["score"])
        == ("S2", "ONE", "poor", "anomaly_r2")
    )
    assert float(poor["difference"]) < 0
    assert float(poor["difference_high"]) < 0
    good = next(row for row in rows if row["method"] == "good")
    assert float(good["difference"]) == 0.0


def test_compare_refuses_what_does_not_compare(
    runs: Path, ocean_store: Path, card: dict[str, Any]
) -> None:
    assert card
    evaluate(runs, ocean_store, "ocean")
    with pytest.raises(SettingsError, match="no flux, simulation and teacher in"):
        compare(CompareSettings(["good", "ocean"]), runs_root=runs)
    with pytest.raises(SettingsError, match=r"scorecard-validation.json is not there"):
        compare(CompareSettings(["good", "poor"], "validation"), runs_root=runs)


def test_compare_refuses_other_years_and_other_schemas(
    runs: Path, card: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = json.loads(json.dumps(card))
    for each in other["records"]:
        each["years"] = [1999, 2000, 2001]
    path = tmp_path / "other" / "scorecard.json"
    path.write_text(json.dumps(other))
    both = CompareSettings([str(runs / "good"), str(tmp_path / "other")])
    with pytest.raises(SettingsError, match="1999-2001 against 2006-2008"):
        compare(both)
    path.write_text(json.dumps(card | {"schema": "scorecard/0"}))
    with pytest.raises(SettingsError, match="has the schema 'scorecard/0'"):
        compare(both)


def test_absent_run_and_store_are_named(runs: Path) -> None:
    with pytest.raises(SettingsError, match="There is no run 'nothing'"):
        scorecard.evaluate(EvaluateSettings("nothing"), runs_root=runs)
    with pytest.raises(SettingsError, match=r"There is no store 'nowhere.zarr'"):
        scorecard.evaluate(EvaluateSettings("good", "nowhere.zarr"), runs_root=runs)


def test_split_without_labels_is_refused(land_store: Path, tmp_path: Path) -> None:
    split = SplitSettings([1990, 2004], [2001, 2001], [2010, 2012])
    settings = tiny_settings(split=split, steps=2, validate_every=2)
    train(settings, land_store, tmp_path / "late")
    with pytest.raises(SettingsError, match="No teacher has labels in the test years"):
        evaluate(tmp_path, land_store, "late")


def test_real_weather_is_held_against_what_was_observed(tmp_path: Path) -> None:
    world = tiny_world("land").assign_attrs(evidence="TRENDY/GOBM")
    store = write_store(world, tmp_path / "real.zarr")
    split = SplitSettings([1990, 2002], [2000, 2000], [2004, 2008])
    settings = tiny_settings(split=split, steps=2, validate_every=2)
    train(settings, store, tmp_path / "real")
    years = list(range(1990, 2009))
    sink = np.random.default_rng(0).normal(2, 1, len(years))
    book = budget_workbook(tmp_path, years, {"A": list(sink)}, residual=list(sink))
    files = ObservedSettings(str(book))
    few = BaselineSettings(names=["climatology"])
    asked = EvaluateSettings("real", str(store), baselines=few, observed=files)
    card = json.loads(scorecard.evaluate(asked, runs_root=tmp_path).read_text())
    assert card["observed"]["not_applicable"] is None
    compared = card["observed"]["comparisons"]
    # S0 and S1 saw other weather than the world.
    assert {one["simulation"] for one in compared} == {"S2"}
    assert {one["teacher"] for one in compared} == {"ONE", "TWO", MEAN}
    totals = np.array(record(card, "S2", "ONE")["teacher_annual"])
    one = next(one for one in compared if one["teacher"] == "ONE")
    assert one["years"] == [2004, 2008]
    expected = metrics.detrended_r(totals, sink[14:], np.arange(2004, 2009))
    found = one["series"]["teacher"]["detrended_r"]["value"]
    assert found == pytest.approx(float(expected))
    text = (tmp_path / "real" / "scorecard.md").read_text()
    assert "## Against observations" in text
    assert (
        "| budget residual, GCB 2024 v1.0, land | globe | 2004-2008 (n = 5) |" in text
    )


def test_observations_are_looked_for_before_a_run_is_scored(tmp_path: Path) -> None:
    world = tiny_world("ocean").assign_attrs(evidence="TRENDY/GOBM")
    store = write_store(world, tmp_path / "sea.zarr")
    settings = tiny_settings(data=tiny_data("ocean"), steps=2, validate_every=2)
    train(settings, store, tmp_path / "sea")
    files = ObservedSettings(workbook="Global_Carbon_Budget_2024_v1.0.xlsx")
    asked = EvaluateSettings("sea", str(store), observed=files)
    with pytest.raises(SettingsError, match="but this run is of the ocean"):
        scorecard.evaluate(asked, runs_root=tmp_path)
    # Nothing was scored, and so the read of test scores is not counted.
    assert scorecard.read_count(tmp_path / "sea") == 0


def test_settings_need_runs_and_a_known_split() -> None:
    with pytest.raises(SettingsError, match="evaluate needs a run"):
        EvaluateSettings()
    with pytest.raises(SettingsError, match="split is 'train'"):
        EvaluateSettings("run", split="train")
    with pytest.raises(SettingsError, match="compare needs two runs or more, got 1"):
        CompareSettings(["one"])
    with pytest.raises(SettingsError, match="split is 'train'"):
        CompareSettings(["one", "two"], split="train")


def test_card_is_strict_json(card: dict[str, Any]) -> None:
    def walk(found: Any) -> None:
        if isinstance(found, dict):
            for value in found.values():
                walk(value)
        elif isinstance(found, list):
            for value in found:
                walk(value)
        elif isinstance(found, float):
            assert math.isfinite(found)

    walk(card)


def test_a_card_knows_what_was_asked(card: dict[str, Any], tmp_path: Path) -> None:
    assert len(card["asked"]) == 64
    network = tmp_path / "members" / "0" / "emulator.pt"
    network.parent.mkdir(parents=True)
    network.write_bytes(b"one")

    def asked(**changes: Any) -> str:
        values: dict[str, Any] = {"run": str(tmp_path)} | changes
        return scorecard.asked(EvaluateSettings(**values), tmp_path)

    first = asked()
    same: list[dict[str, Any]] = [
        {"run": "", "sweep": "all"},
        {"device": "cuda"},
        {"baselines": BaselineSettings(threads=7)},
    ]
    assert {asked(**changes) for changes in same} == {first}
    other: list[dict[str, Any]] = [
        {"split": "validation"},
        {"regions": []},
        {"store": "another"},
        {"baselines": BaselineSettings(trees=7)},
        {"observed": ObservedSettings(workbook="a.xlsx")},
        {"other_forcing": "b"},
    ]
    assert len({first, *(asked(**changes) for changes in other)}) == 7
    (tmp_path / "calibration.json").write_text("{}")
    calibrated = asked()
    network.write_bytes(b"two")
    assert len({first, calibrated, asked()}) == 3
