"""What a scorecard says of the world: where it is comparable, and where it is not."""

import json
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import SettingsError, UserError
from emulator.evaluation import reality
from emulator.evaluation.settings import ObservedSettings
from tests.evaluation.published import budget_workbook, land_product

YEARS = list(range(2000, 2012))
WAVE = np.tile([1.0, -1, -1, 1], 3)
REAL = "TRENDY/GOBM"


def record(teacher: str = "ONE", simulation: str = "S2", network: float = 1.0) -> dict:
    """Return a scorecard's record: the teacher follows the wave, the network bends."""
    part = {
        "teacher_annual": (2 + WAVE).tolist(),
        "methods": {"network": {"annual_totals": (network * WAVE).tolist()}},
    }
    return {
        "flux": "nbp",
        "teacher": teacher,
        "simulation": simulation,
        "scope": "all",
        "years": YEARS,
        **part,
        "regions": {"latitude_bands": {"north": part}},
    }


@pytest.fixture
def files(tmp_path: Path) -> ObservedSettings:
    """Return a budget and an inversion that both follow the wave."""
    models = {"A": [2.0] * 12}
    book = budget_workbook(tmp_path, YEARS, models, residual=list(3 + WAVE))
    product = land_product(tmp_path, YEARS, 1 + WAVE)
    return ObservedSettings(str(book), [str(product)])


def test_a_real_run_is_held_against_budget_and_inversions(
    files: ObservedSettings,
) -> None:
    seen = reality.gather(files, "land", REAL)
    assert seen.not_applicable is None
    names = ["budget residual, GCB 2024 v1.0", *["group"] * 4]
    assert [one.name for one in seen.observations] == names
    record_two = record("TWO", network=-2.0)
    found = reality.hold([record(), record_two, record("ONE", "S1")], seen).as_dict()
    compared = [
        (one["teacher"], one["simulation"], one["observation"], one["region"])
        for one in found["comparisons"]
    ]
    # S1 did not see the weather of the world; bands are scored where the record is.
    assert compared == [
        (teacher, "S2", name, region)
        for teacher in ("ONE", "TWO")
        for name, region in (
            ("budget residual, GCB 2024 v1.0", "globe"),
            ("group", "globe"),
            ("group", "north"),
        )
    ]
    two = found["comparisons"][3]
    assert two["years"] == (2000, 2011)
    assert two["series"]["network"]["detrended_r"]["value"] == pytest.approx(-1)
    assert two["series"]["network"]["sd_ratio"] == pytest.approx(2)
    assert two["series"]["teacher"]["detrended_r"]["value"] == pytest.approx(1)
    assert two["series"]["teacher"]["detrended_rmse"]["value"] == pytest.approx(0)
    assert two["series"]["network"]["detrended_r"]["fisher"]["n"] == 12
    json.dumps(found, allow_nan=False)


def test_people_read_one_table_for_each_teacher(files: ObservedSettings) -> None:
    seen = reality.gather(files, "land", REAL)
    text = reality.hold([record(), record("TWO")], seen).markdown()
    assert text.startswith("\n## Against observations\n")
    assert text.index("**nbp: ONE, S2**") < text.index("**nbp: TWO, S2**")
    assert text.count("| budget residual, GCB 2024 v1.0, land | globe |") == 4
    assert text.count("| group, land | north |") == 4
    assert text.endswith("|\n")


@pytest.mark.parametrize("network", [0.0, 1.0])
def test_a_score_that_is_undefined_is_null(
    files: ObservedSettings, network: float
) -> None:
    seen = reality.gather(files, "land", REAL)
    found = reality.hold([record(network=network)], seen).as_dict()
    score = found["comparisons"][0]["series"]["network"]["detrended_r"]
    # A network that never changes has no correlation.
    assert (score["value"] is None) == (network == 0)
    json.dumps(found, allow_nan=False)


def test_simulated_weather_is_not_compared_and_says_so() -> None:
    # The files are not even looked for.
    seen = reality.gather(ObservedSettings("none.xlsx", ["none.nc"]), "land", "testbed")
    held = reality.hold([record()], seen)
    found = held.as_dict()
    assert found["comparisons"] == []
    assert found["not_applicable"].startswith("Not compared with observations: the")
    assert f"\n{found['not_applicable']}\n" in held.markdown()


def test_nothing_asked_is_nothing_said() -> None:
    held = reality.hold([record()], reality.gather(ObservedSettings(), "land", REAL))
    assert held.markdown() == ""
    assert held.as_dict()["comparisons"] == []


def test_too_few_shared_years_are_said(tmp_path: Path) -> None:
    product = land_product(tmp_path, [2008, 2009, 2010, 2011], [1.0, 2, 1, 2])
    seen = reality.gather(ObservedSettings(None, [str(product)]), "land", REAL)
    text = reality.hold([record()], seen).markdown()
    assert "Nothing to compare" in text
    assert "shares 5 years" in text


def test_the_residual_of_the_land_says_nothing_of_the_sea(
    files: ObservedSettings,
) -> None:
    with pytest.raises(SettingsError, match="but this run is of the ocean"):
        reality.gather(files, "ocean", REAL)


def test_a_product_without_the_surface_is_refused(files: ObservedSettings) -> None:
    with pytest.raises(UserError, match="'SFCO2_OCN', 'time' and 'lat' are needed"):
        reality.gather(ObservedSettings(None, files.zonal), "ocean", REAL)
