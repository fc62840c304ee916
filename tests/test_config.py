"""Every file of ``conf/`` composes to checked settings; mistakes are named."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from emulator.carbon.errors import SettingsError
from emulator.cli import composing, files
from emulator.config import DemoCommand, PredictCommand, PrepareCommand
from emulator.data import catalog
from emulator.data.settings import DataSettings, ForcingSettings
from emulator.learning.settings import (
    TrainSettings,
    run_id,
    settings_from_dict,
    settings_to_dict,
)
from emulator.models import MODELS, NetworkShape
from emulator.nightly.night_settings import NightSettings

CONF = Path(__file__).parents[1] / "conf"
COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
LAND = "data=lpjwsl"
BROUGHT = {"e1", "e2", "e7", "e8"}
"""Experiments whose catalog entries a user adds."""


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def command_of(experiment: str) -> str:
    """Return the command that the comment of an experiment says; ``train`` without."""
    text = (CONF / "experiment" / f"{experiment}.yaml").read_text()
    pattern = rf"^#.*sink-emulator (\w+) .*experiment={experiment}\b"
    said = re.search(pattern, text, re.MULTILINE)
    return said[1] if said else "train"


def train(*overrides: str) -> TrainSettings:
    settings = composing.settings_of("train", overrides)
    assert isinstance(settings, TrainSettings)
    return settings


def require_entries(settings: DataSettings | ForcingSettings) -> None:
    """Check that the catalog has what a data config names."""
    offered = set()
    for name in [*settings.forcing, *settings.static]:
        offered |= set(catalog.load(name).variables)
    assert set(settings.forcing_variables) <= offered
    assert set(settings.static_variables) <= offered
    if isinstance(settings, ForcingSettings):
        assert catalog.load(settings.co2).kind == "table"
        return
    for teacher in settings.teachers:
        entry = catalog.load(teacher)
        assert entry.domain == settings.domain
        assert settings.fluxes[0] in entry.variables
        assert set(settings.simulations) <= set(entry.simulations)


@pytest.mark.parametrize("data", choices("data"))
def test_every_data_config_names_what_the_catalog_has(data: str) -> None:
    settings = composing.settings_of("prepare", [f"data={data}"])
    assert isinstance(settings, PrepareCommand)
    assert settings.data is not None
    assert settings.data.name == data
    require_entries(settings.data)


@pytest.mark.parametrize("forcing", choices("forcing"))
def test_every_forcing_config_names_what_the_catalog_has(forcing: str) -> None:
    settings = composing.settings_of("prepare", [f"forcing={forcing}"])
    assert settings.forcing.name == forcing
    require_entries(settings.forcing)


@pytest.mark.parametrize("data", choices("data"))
def test_every_data_config_has_a_split_with_a_gap(data: str) -> None:
    settings = train(f"data={data}")
    split = settings.split.years(settings.model.memory)
    first, last = settings.data.years
    assert first <= split.train[0] < split.test[1] <= last


@pytest.mark.parametrize("model", choices("model"))
def test_every_model_config_builds_its_network(model: str) -> None:
    settings = train(LAND, f"model={model}").model
    assert type(settings) is MODELS[model]
    shape = NetworkShape(
        inputs=3,
        statics=2,
        outputs=1,
        teachers=1,
        cells=torch.arange(8 * 16),
        grid_shape=(8, 16),
    )
    network = settings.build(shape)
    months = 2
    answer = network(
        torch.zeros(1, settings.memory + months, 3, 8 * 16),
        torch.zeros(1, 2, 8 * 16),
        torch.zeros(1, dtype=torch.int64),
    )
    assert answer.shape == (1, months, 1, 8 * 16)


def test_every_model_has_a_config() -> None:
    assert choices("model") == sorted(MODELS)


@pytest.mark.parametrize(
    ("group", "name"),
    [
        (group, name)
        for group in (
            *("split", "learning", "learning/consistency", "learning/pretraining"),
            *("learning/weak", "machine", "logger", "paths"),
        )
        for name in choices(group)
    ],
)
def test_every_other_choice_composes(group: str, name: str) -> None:
    train(LAND, f"{group}={name}")


@pytest.mark.parametrize("name", choices("nightly"))
def test_every_choice_of_nights_states_both_sources(name: str) -> None:
    settings = composing.settings_of("nightly", [f"nightly={name}", "paths.data=/x"])
    for source in (settings.land_source, settings.ocean_source):
        assert all(one.folder.startswith("/x/") for one in source.products.values())
        assert source.products or source.url


@pytest.mark.parametrize(
    "experiment",
    # Few live models need no run: tests/test_experiments.py.
    [name for name in choices("experiment") if command_of(name) != "ensembles"],
)
def test_every_experiment_states_a_whole_run(experiment: str) -> None:
    command = command_of(experiment)
    settings = composing.settings_of(command, [f"experiment={experiment}"])
    if command == "backcast":
        settings = settings.training
    if experiment not in BROUGHT:
        require_entries(settings.data)
    settings.split.years(settings.model.memory)
    assert settings_from_dict(settings_to_dict(settings)) == settings


@pytest.mark.parametrize("learning", choices("learning"))
def test_learning_without_labels_goes_with_every_fit(learning: str) -> None:
    options = ["learning/consistency=products", "learning/pretraining=masked"]
    settings = train(LAND, f"learning={learning}", *options)
    without = train(LAND, f"learning={learning}")
    assert settings.learning.consistency.weight > 0
    assert settings.learning.pretraining.steps > 0
    assert settings.learning.steps == without.learning.steps
    assert not without.learning.sees_unlabelled
    assert settings_from_dict(settings_to_dict(settings)) == settings


@pytest.mark.parametrize("data", choices("data"))
def test_errors_of_products_are_there_for_all_data(data: str) -> None:
    settings = train(f"data={data}", "learning/consistency=products")
    errors = settings.learning.consistency.errors
    said = errors.spread.keys() | errors.share.keys()
    assert set(settings.data.forcing_variables) <= said


def test_commands_have_a_file_each() -> None:
    from emulator.cli.commands import WORK

    # `nightly` and `catalog` have actions, which modules of their own know.
    assert sorted([*WORK, "nightly", "catalog"]) == COMMANDS


def test_nightly_composes_with_every_source() -> None:
    settings = composing.settings_of("nightly", ["land_source.url=/new"])
    assert settings.land_source.url == "/new"
    assert settings.ocean_source.url == ""
    assert settings.sanity == NightSettings().sanity
    assert settings.budget == NightSettings().budget
    pattern = "'https://host/{date}_{status}.nc'"
    for name in choices("source"):
        chosen = [f"source@land_source={name}", f"land_source.url={pattern}"]
        assert composing.settings_of("nightly", chosen).land_source.is_pattern


def test_demo_and_predict_compose() -> None:
    assert isinstance(composing.settings_of("demo", []), DemoCommand)
    predict = composing.settings_of("predict", ["land=runs/x", "map.grid=5"])
    assert isinstance(predict, PredictCommand)
    assert predict.map.grid == "5"


def test_paths_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINK_DATA", "/somewhere")
    assert train(LAND).paths.data == "/somewhere"
    monkeypatch.delenv("SINK_DATA")
    assert train(LAND).paths.data == "data"


def test_a_map_network_asks_for_whole_maps() -> None:
    assert train(LAND, "model=unet").learning.cells_per_batch == 0


def test_same_settings_make_the_same_run() -> None:
    first = run_id(train(LAND, "seed=3"))
    assert first == run_id(train(LAND, "seed=3", "logger=wandb", "paths.runs=other"))
    assert first != run_id(train(LAND, "seed=4"))
    assert first.startswith("lpjwsl-")
    assert "=" not in first


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([LAND, "model.widht=3"], "'model.widht' is no setting of `train`. Did you me"),
        ([LAND, "lerning.steps=3"], "'lerning' is no setting of `train`"),
        ([LAND, "+foo=1"], "'foo' is no setting; '[+]' adds a group"),
        ([LAND, "+model.foo=1"], "'model.foo' is no setting"),
        ([LAND, "seed=many"], "Setting 'seed': Value 'many' of type 'str' could not"),
        ([LAND, "split.train=[1,b]"], r"Setting 'split.train\[1\]': Value 'b'"),
        ([LAND, "learning.steps=0"], "learning.steps is 0, but must be at least 1"),
        ([LAND, "seed=1,2"], "add --multirun"),
        ([LAND, "seed=[1"], r"Cannot read the override 'seed=\[1'"),
        ([LAND, "model=none"], r"There is no model 'none', only \['pointwise'"),
        ([LAND, "experiment=none"], "There is no experiment 'none'"),
        ([LAND, "~split"], "`train` needs split=..."),
        ([LAND, "split.train=3"], "Setting 'split.train': .* assigned: no list"),
        ([LAND, "split.test=[1994,1950]"], r"split.test is \[1994, 1950\], but must"),
        (["lpjwsl"], "'lpjwsl' sets nothing: say KEY=VALUE"),
        ([], r"`train` needs data=NAME, one of \['lpjwsl', 'mitgcm'"),
        (["=3"], "Config group override must be a string"),
    ],
)
def test_mistakes_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        composing.settings_of("train", overrides)


@pytest.mark.parametrize("overrides", [[], [LAND, "forcing=lpjwsl_forcing"]])
def test_prepare_makes_one_store(overrides: list[str]) -> None:
    with pytest.raises(SettingsError, match="`prepare` makes one store"):
        composing.settings_of("prepare", overrides)


def test_demo_refuses_an_impossible_earth() -> None:
    with pytest.raises(SettingsError, match=r"grid_step is 7\.0, but must divide 180"):
        composing.settings_of("demo", ["grid_step=7"])
    with pytest.raises(SettingsError, match="Give a later last"):
        composing.settings_of("demo", ["first=2000", "last=1990"])


def test_a_mistake_in_a_users_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    mine = tmp_path / "data" / "mine.yaml"
    mine.write_text("defaults: [lpjwsl, _self_]\nname: mine\nteacher: [x]\n")
    with pytest.raises(SettingsError, match="'teacher'"):
        composing.settings_of("prepare", ["data=mine"], [tmp_path])
    mine.write_text("defaults: [lpjwsl, _self_\n")
    with pytest.raises(SettingsError, match="while parsing"):
        composing.settings_of("prepare", ["data=mine"], [tmp_path])


def test_a_users_own_configs_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "with, sign's"
    (folder / "data").mkdir(parents=True)
    mine = folder / "data" / "mine.yaml"
    mine.write_text("defaults: [lpjwsl, _self_]\nname: mine\n")
    with pytest.raises(SettingsError, match=r"no data 'mien', only .*'mine'"):
        composing.settings_of("prepare", ["data=mien"], [folder])
    settings = composing.settings_of("prepare", ["data=mine"], [folder])
    assert settings.data.name == "mine"
    assert settings.data.teachers == ["lpjwsl"]


def test_a_missing_config_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"There is no folder .* for --config-dir"):
        composing.settings_of("prepare", [LAND], [tmp_path / "none"])


def test_a_sweep_is_checked_before_it_runs() -> None:
    found = composing.combinations(
        "train", [LAND, "model=pointwise,recurrent", "seed=0,1", "name=one"]
    )
    assert len({run_id(one.settings) for one in found}) == 4
    # What is said once is no part of what varies.
    assert found[1].swept == {"model": "pointwise", "seed": "1"}
    with pytest.raises(SettingsError, match=r"learning.steps is 0"):
        composing.combinations("train", [LAND, "learning.steps=1,0"])
    with pytest.raises(SettingsError, match=r"Cannot read the override 'seed=\[1"):
        composing.combinations("train", [LAND, "seed=[1"])


def test_an_experiment_says_what_is_swept(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n"
        "defaults:\n  - override /data: lpjwsl\n"
        "name: mine\n"
        "hydra:\n  sweeper:\n    params:\n"
        "      model.memory: 3,12\n      seed: 0,1,2\n"
    )
    found = composing.combinations("train", ["experiment=mine"], [tmp_path])
    assert [(one.settings.model.memory, one.settings.seed) for one in found] == [
        (memory, seed) for memory in (3, 12) for seed in (0, 1, 2)
    ]
    assert list(found[0].swept) == ["model.memory", "seed"]
    # The command line is stronger, and what it fixes is not swept any more.
    found = composing.combinations("train", ["experiment=mine", "seed=7"], [tmp_path])
    assert [one.settings.seed for one in found] == [7, 7]
    assert found[1].swept == {"model.memory": "12"}


@pytest.mark.parametrize("launcher", ["local", "submitit_local"])
def test_a_sweep_takes_other_launchers(launcher: str) -> None:
    if launcher != "local":
        pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    (one,) = composing.combinations("train", [LAND, f"hydra/launcher={launcher}"])
    assert one.settings.data.name == "lpjwsl"


def test_a_broken_installation_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "__file__", str(tmp_path / "emulator" / "cli" / "f.py"))
    with pytest.raises(SettingsError, match="There is no folder 'conf'"):
        files.conf_dir()


def shown_commands() -> list[str]:
    """Return the command lines of the README that need no config of a user's own."""
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    found = [line for line in lines if line.startswith("sink-emulator ")]
    return [line for line in found if "--config-dir" not in line]


@pytest.mark.parametrize("line", shown_commands())
def test_commands_of_the_readme_have_these_settings(line: str) -> None:
    name, *rest = shlex.split(line, comments=True)[1:]
    said = [word for word in rest if "=" in word]
    if "-m" in rest:
        assert len(composing.combinations(name, said)) > 1
    elif name != "catalog":
        assert composing.settings_of(name, said) is not None
