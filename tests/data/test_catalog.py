"""The catalog's schema, its messages, and every entry that is shipped."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from emulator.carbon.errors import CatalogError
from emulator.carbon.variables import VARIABLES
from emulator.data import catalog
from emulator.data import entry as entry_schema
from emulator.data.entry import Entry, parse_entry
from emulator.data.fetching import source as fetch_source
from tests.data import tiny_files as tiny

SHIPPED = catalog.names()


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_entry_fits_the_schema(name: str) -> None:
    entry = catalog.load(name)
    assert entry.name == name
    assert entry.description
    if entry.kind == "teacher":
        assert entry.land_fraction is not None
        tables = [s.co2.table for s in entry.simulations.values() if s.co2.table]
        assert all(catalog.load(table).kind == "table" for table in tables)


@pytest.mark.parametrize("name", SHIPPED)
def test_an_entry_survives_json_and_back(name: str) -> None:
    entry = catalog.load(name)
    assert parse_entry(name, yaml.safe_load(yaml.dump(entry.to_dict())), "x") == entry


@pytest.mark.parametrize("name", SHIPPED)
def test_no_answer_of_a_model_is_offered_as_forcing(name: str) -> None:
    entry = catalog.load(name)
    if entry.kind in ("forcing", "static"):
        roles = {VARIABLES[variable].role for variable in entry.variables}
        assert roles <= {"forcing", "static"}


def test_the_own_state_of_a_teacher_is_marked() -> None:
    entry = catalog.load("mitgcm_surface")
    assert entry.own_state_of == "mitgcm_dic"
    assert "upper bound" in entry.note


def said(**changes: Any) -> dict[str, Any]:
    content = {**tiny.entry().to_dict(), **changes}
    return {key: value for key, value in content.items() if value != "absent"}


SIMULATION = {
    "weather": [{"years": [2000, None], "same": True}],
    "co2": {"constant": 1},
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"raeder": "x"}, r"tiny\.yaml: unknown key 'raeder'\. Did you mean 'reader'"),
        ({"variables": {"nbp": {"unit": "x"}}}, "unknown key 'variables.nbp.unit'"),
        ({"kind": "absent"}, "the key 'kind' is missing; see docs/catalog.md"),
        ({"kind": "data"}, r"'kind' is 'data', but must be one of \['teacher'"),
        ({"years": [1900]}, r"'years' is \[1900\], but must be a list of 2"),
        ({"years": ["a", 2]}, r"'years' is 'a', but must be a whole number"),
        ({"years": [True, 2]}, r"'years' is True, but must be a whole number"),
        ({"files": 3}, "'files' is 3, but must be text"),
        ({"nbp_contains": "fFire"}, "'nbp_contains' is 'fFire', but must be a list"),
        ({"variables": ["nbp"]}, "'variables' is .* must be names with their values"),
        ({"land_fraction": 1}, "'land_fraction' is 1, but must be keys with their"),
        ({"latency_days": "x"}, "'latency_days' is 'x', but must be a number"),
        (
            {"simulations": {"S0": {**SIMULATION, "weather": "absent"}}},
            "'simulations.S0.weather' is 'absent', but must be a list",
        ),
        (
            {"simulations": {"S0": {"co2": {"constant": 280}}}},
            "the key 'simulations.S0.weather' is missing",
        ),
        (
            {"simulations": {"S0": {**SIMULATION, "weather": []}}},
            "simulations.S0: 'weather' is empty: say which weather",
        ),
        (
            {"simulations": {"S0": {**SIMULATION, "co2": {}}}},
            "simulations.S0.co2: 'co2' needs exactly one of 'constant'",
        ),
        ({"simulations": "absent"}, "'tiny' is a teacher, but has no 'simulations'"),
        ({"evidence": "absent"}, "'tiny' is a teacher: it needs domain"),
        ({"domain": "both"}, "'tiny' is a teacher: it needs domain"),
        ({"variables": {"nep": {}}}, "unknown variable 'nep'; did you mean"),
        ({"variables": {"tas": {}}}, "is a teacher, but 'tas' is a forcing field"),
        ({"variables": {}}, "'tiny' has no 'variables'"),
        ({"files": ""}, "does not say where 'nbp' is"),
        ({"files": "/data/x.nc"}, "'/data/x.nc' is absolute, but must lie below"),
        ({"kind": "forcing", "variables": {"tas": {}}}, "which only teachers have"),
        (
            {"kind": "forcing", "simulations": "absent", "variables": {"spco2": {}}},
            "offers 'spco2' as forcing, but it is a state: an answer of a model",
        ),
        (
            {"kind": "forcing", "simulations": "absent", "variables": {"wo50": {}}},
            "offers 'wo50' as forcing, but it is a state: an answer of a model",
        ),
        (
            {"kind": "static", "simulations": "absent", "variables": {"dissicos": {}}},
            "offers 'dissicos' as static, but it is a state: an answer of a model",
        ),
        (
            {
                "kind": "forcing",
                "simulations": "absent",
                "variables": {"tas": {}},
                "years": "absent",
            },
            "'tiny' is forcing: it needs 'years' and 'evidence'",
        ),
        (
            {"kind": "regions", "simulations": "absent", "variables": "absent"},
            "'tiny' needs 'files' and 'layers'",
        ),
        ({"gates": {"sign": " "}}, r"overrides the gates \['sign'\] without a reason"),
        ({"gates": {"taste": "x"}}, r"unknown gates \['taste'\]; gates are"),
        (
            {"land_fraction": {"treatment": "multiply"}},
            "treatment 'multiply' needs 'variable' and 'file'",
        ),
        (
            {"variables": {"nbp": {"sum_of": ["gpp", "rh"]}, "gpp": {}, "rh": {}}},
            r"'nbp' cannot be the sum of \['gpp', 'rh'\]\. nbp can be that of",
        ),
        (
            {"variables": {"gpp": {"sum_of": ["npp", "ra"]}, "npp": {}, "ra": {}}},
            "'gpp' cannot be the sum of",
        ),
        (
            {"variables": {"npp": {"sum_of": ["gpp", "ra", "fFire"]}}},
            "'npp' cannot be the sum of",
        ),
        (
            {"variables": {"npp": {"sum_of": ["gpp", "ra"]}, "gpp": {}}},
            r"'npp' is the sum of \['ra'\] among others, which no file holds",
        ),
        (
            {"variables": {"nbp": {"sum_of": ["npp", "rh"], "sign": -1}}},
            "'sum_of' stands with other keys",
        ),
        ({"name": "other"}, "'name' is 'other', but must equal the name of the file"),
    ],
)
def test_what_breaks_the_schema_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        parse_entry("tiny", said(**changes), "tiny.yaml")


@pytest.mark.parametrize(
    ("weather", "message"),
    [
        ([{"years": [1900, 1950]}], "years 1900-1950 says 0 of 'same', 'repeat'"),
        (
            [{"years": [1900, None], "same": True, "climatology": [1, 2]}],
            "years 1900- says 2 of",
        ),
        ([{"years": [1900, 1950], "repeat": [1, 2]}], "needs 'repeat' and 'anchor'"),
        ([{"years": [1950, 1900], "same": True}], r"\[1950, 1900\] run backwards"),
        (
            [
                {"years": [1900, None], "same": True},
                {"years": [1950, 1960], "same": True},
            ],
            "spans 1900- and 1950-1960 overlap",
        ),
    ],
)
def test_weather_that_makes_no_sense_is_refused(
    weather: list[dict[str, Any]], message: str
) -> None:
    simulations = {"S0": {**SIMULATION, "weather": weather}}
    with pytest.raises(CatalogError, match=message):
        parse_entry("tiny", said(simulations=simulations), "tiny.yaml")


def test_a_file_of_no_keys_is_refused() -> None:
    with pytest.raises(CatalogError, match="the key 'name' is missing"):
        parse_entry("tiny", None, "tiny.yaml")
    with pytest.raises(CatalogError, match="'' is 3, but must be keys"):
        parse_entry("tiny", 3, "tiny.yaml")


def write_entry(folder: Path, **changes: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "tiny.yaml").write_text(yaml.dump(said(**changes)))


def test_a_folder_of_ones_own_comes_first(tmp_path: Path) -> None:
    write_entry(tmp_path / "weak", label="weak")
    write_entry(tmp_path / "strong", label="strong")
    entry = catalog.load("tiny", [tmp_path / "strong", tmp_path / "weak"])
    assert entry.title == "strong"


def test_the_environment_adds_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_entry(tmp_path / "mine")
    monkeypatch.setenv(catalog.ENVIRONMENT_VARIABLE, str(tmp_path / "mine"))
    assert "tiny" in catalog.names()
    assert catalog.load("tiny").title == "tiny"
    assert catalog.find_catalog_dirs([tmp_path])[:2] == [tmp_path, tmp_path / "mine"]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no catalog folder '.*absent'"):
        catalog.find_catalog_dirs([tmp_path / "absent"])


def test_an_unknown_entry_is_refused(tmp_path: Path) -> None:
    write_entry(tmp_path)
    message = r"no catalog entry 'tony' in .*Did you mean 'tiny'\? .*list` shows all"
    with pytest.raises(CatalogError, match=message):
        catalog.load("tony", [tmp_path])


@pytest.mark.parametrize("content", ["a: [", "a: \x00"])
def test_a_file_that_is_no_yaml_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tiny.yaml").write_text(content)
    with pytest.raises(CatalogError, match=r"tiny\.yaml is no readable YAML"):
        catalog.load("tiny", [tmp_path])


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    # YAML would take the last of the two and say nothing.
    write_entry(tmp_path)
    path = tmp_path / "tiny.yaml"
    text = path.read_text()
    for more, key in (("years: [1, 2]\n", "years"), ("note: {a: 1, a: 2}\n", "a")):
        path.write_text(text + more)
        with pytest.raises(CatalogError, match=rf"tiny\.yaml .*: the key '{key}' sta"):
            catalog.load("tiny", [tmp_path])


# --- files of many models ---------------------------------------------------

MODELS = {
    "alder": {"label": "ALDER", "simulations": {"S0": SIMULATION}},
    "birch": {"variables": {"nbp": {"units": "g m-2 s-1"}, "gpp": None}},
    "cedar": None,
}


def write_models(folder: Path, **changes: Any) -> None:
    folder.mkdir(exist_ok=True)
    every = {k: v for k, v in said().items() if k != "name"}
    every["variables"] = {"nbp": {"sign": -1}, "gpp": {}}
    content = {"name": "many", "every": every, "models": MODELS} | changes
    kept = {key: value for key, value in content.items() if value != "absent"}
    (folder / "many.yaml").write_text(yaml.safe_dump(kept, sort_keys=False))


def test_a_file_of_many_models_holds_an_entry_of_each(tmp_path: Path) -> None:
    write_models(tmp_path)
    assert catalog.names([tmp_path]) == ["many.alder", "many.birch", "many.cedar"]
    alder = catalog.load("many.alder", [tmp_path])
    assert (alder.name, alder.title) == ("many.alder", "ALDER")
    assert list(alder.simulations) == ["S2", "S0"]
    assert list(alder.variables) == ["nbp", "gpp"]


def test_a_model_adds_to_what_all_share_and_null_takes_away(tmp_path: Path) -> None:
    write_models(tmp_path)
    birch = catalog.load("many.birch", [tmp_path])
    assert list(birch.variables) == ["nbp"]
    assert birch.variables["nbp"].units == "g m-2 s-1"
    assert birch.variables["nbp"].sign == -1
    cedar = catalog.load("many.cedar", [tmp_path])
    assert list(cedar.variables) == ["nbp", "gpp"]


def test_a_model_of_ones_own_replaces_one_of_many(tmp_path: Path) -> None:
    write_models(tmp_path / "shipped")
    (tmp_path / "mine").mkdir()
    own = said(name="many.birch", label="MINE")
    (tmp_path / "mine" / "many.birch.yaml").write_text(yaml.safe_dump(own))
    folders = [tmp_path / "mine", tmp_path / "shipped"]
    assert catalog.names(folders) == ["many.alder", "many.birch", "many.cedar"]
    assert catalog.load("many.birch", folders).title == "MINE"
    assert catalog.load("many.alder", folders).title == "ALDER"


def test_a_model_can_be_added_to_many_in_a_file_of_its_own(tmp_path: Path) -> None:
    write_models(tmp_path / "shipped")
    (tmp_path / "mine").mkdir()
    row = {"row_of": "many", "name": "many.oak", "label": "OAK"}
    row |= {"variables": {"gpp": None, "nbp": {"units": "g m-2 s-1"}}}
    (tmp_path / "mine" / "many.oak.yaml").write_text(yaml.safe_dump(row))
    folders = [tmp_path / "mine", tmp_path / "shipped"]
    oak = catalog.load("many.oak", folders)
    assert (oak.name, oak.title, list(oak.variables)) == ("many.oak", "OAK", ["nbp"])
    # What all share is kept, also inside a key.
    assert oak.variables["nbp"].sign == -1
    every = ["many.alder", "many.birch", "many.cedar", "many.oak"]
    assert catalog.members("many", folders) == every
    assert catalog.members("many.oak", folders) == ["many.oak"]
    with pytest.raises(CatalogError, match="There is no catalog entry 'few'"):
        catalog.members("few", folders)


@pytest.mark.parametrize(
    ("row_of", "message"),
    [
        ("one", r"is a row of 'one', but .*one\.yaml describes one product. Name a"),
        ("many.alder", r"is a row of 'many\.alder', but .*many\.yaml describes one"),
        ("nothing", "There is no catalog entry 'nothing'"),
    ],
)
def test_a_row_needs_a_file_of_many(tmp_path: Path, row_of: str, message: str) -> None:
    write_models(tmp_path)
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(said(name="one")))
    row = {"row_of": row_of, "name": "many.oak"}
    (tmp_path / "many.oak.yaml").write_text(yaml.safe_dump(row))
    with pytest.raises(CatalogError, match=message):
        catalog.load("many.oak", [tmp_path])


@pytest.mark.parametrize("name", ["many", "many.oak"])
def test_a_model_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    write_models(tmp_path)
    message = r"many\.yaml holds the models \['alder', .*Ask for one .*'many\.MODEL'"
    with pytest.raises(CatalogError, match=message):
        catalog.load(name, [tmp_path])


@pytest.mark.parametrize(
    "changes",
    [
        {"every": "absent"},
        {"every": 3},
        {"models": ["alder"]},
        {"models": {"alder": 3}},
        {"name": "few"},
        {"label": "X"},
    ],
)
def test_a_file_of_many_models_has_three_keys(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    write_models(tmp_path, **changes)
    message = r"must have the keys \['every', 'models', 'name'\] and no others"
    with pytest.raises(CatalogError, match=message):
        catalog.load("many.alder", [tmp_path])
    # It is listed all the same, so that asking for it says what is wrong.
    assert catalog.names([tmp_path]) == ["many"]


def test_what_is_wrong_in_a_model_names_the_model(tmp_path: Path) -> None:
    write_models(tmp_path, models={"alder": {"raeder": "x"}})
    message = r"many\.yaml, model 'alder': unknown key 'raeder'"
    with pytest.raises(CatalogError, match=message):
        catalog.load("many.alder", [tmp_path])


def keys_of(schema: type) -> set[str]:
    return {item.name for item in dataclasses.fields(schema)}


def test_every_key_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "catalog.md").read_text("utf-8")
    schemas = (
        Entry,
        entry_schema.VariableSource,
        entry_schema.Simulation,
        entry_schema.WeatherSpan,
        entry_schema.Co2,
        entry_schema.Residual,
        entry_schema.FractionSource,
        entry_schema.AreaSource,
        entry_schema.CoordinateSource,
        entry_schema.TableLayout,
        entry_schema.RegionLayer,
        entry_schema.DriftSource,
        fetch_source.FetchSource,
        fetch_source.ClientRequest,
        fetch_source.KnownFile,
    )
    for schema in schemas:
        absent = {k for k in keys_of(schema) if not re.search(rf"`{k}[`:]", text)}
        assert not absent, schema
    assert all(f"| `{gate}` |" in text for gate in entry_schema.GATES)


def test_the_documented_example_fits_the_schema() -> None:
    text = (Path(__file__).parents[2] / "docs" / "catalog.md").read_text("utf-8")
    example = re.search(r"```yaml\n(.*?)```", text, re.S)
    assert example is not None
    said = yaml.safe_load(example[1])
    assert parse_entry("trendy_classic", said, "docs").title == "CLASSIC"
