"""The experiments of the paper's list: each states its run, or refuses by name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from emulator import cli
from emulator.cli import composing
from emulator.data import catalog
from emulator.learning.settings import TrainSettings

CONF = Path(__file__).parents[1] / "conf"


def composed(experiment: str, *overrides: str) -> TrainSettings:
    settings = composing.settings_of("train", [f"experiment={experiment}", *overrides])
    assert isinstance(settings, TrainSettings)
    return settings


@pytest.mark.parametrize(
    ("experiment", "data", "withheld"),
    [
        ("e3", "lpjwsl", [1997, 1998]),
        ("e4", "testbed_land", [2015, 2016]),
        ("e5", "testbed_land", [1991, 1992, 1993, 2010, 2011, 2021, 2022]),
    ],
)
def test_extreme_years_are_withheld_between_training_years(
    experiment: str, data: str, withheld: list[int]
) -> None:
    settings = composed(experiment)
    assert settings.name == experiment
    assert settings.data.name == data
    split = settings.years()
    assert split.years("withheld").tolist() == withheld
    learned = split.years("train")
    if settings.learning.refit:
        learned = np.concatenate([learned, split.years("validation")])
    # As far as the memory reaches, nothing is learned on either side; beyond it is.
    apart = np.abs(learned[:, None] - np.array(withheld)).min()
    assert (apart - 1) * 12 >= settings.model.memory
    assert learned.min() < withheld[0]
    assert learned.max() > withheld[0]


def refusal(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    *arguments: str,
) -> str:
    """Return what a command says that ends with 1, in an empty folder."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SINK_DATA", raising=False)
    assert cli.main([*arguments]) == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (("train", "experiment=e3"), ["LPJwsl_S0_nbp.nc", "SINK_DATA"]),
        (("train", "experiment=e4"), ["ALDER_S0_nbp.nc"]),
        (("train", "experiment=e4", "data=lpjwsl"), ["[2015, 2016]", "1948 to 2012"]),
        (("train", "experiment=e5", "data=lpjwsl"), ["[2021, 2022]"]),
        (("ensembles", "experiment=e6"), ["workbook=PATH", "gcp-2024"]),
        (("train", "experiment=e7"), ["land_static"]),
        (("backcast", "experiment=e1"), ["crujra_era5", "land_static"]),
        (("backcast", "experiment=e2"), ["crujra_era5", "land_static"]),
        (("backcast", "experiment=e8"), ["era5_ocean", "ocean_static"]),
    ],
)
def test_what_is_missing_is_named(
    arguments: tuple[str, ...],
    missing: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refusal(capsys, monkeypatch, tmp_path, *arguments)
    for word in missing:
        assert word in said


@pytest.mark.parametrize("part", ["validation", "withheld"])
def test_years_to_score_can_be_chosen_on_the_command_line(part: str) -> None:
    settings = composing.settings_of("evaluate", ["run=x", f"split={part}"])
    assert settings.split == part
    # For training it is a group of conf/, as before.
    train = composing.settings_of("train", ["data=lpjwsl", "split=testbed_land"])
    assert train.split.test == [2014, 2024]


def test_three_live_models_are_the_recipe() -> None:
    settings = composing.settings_of(
        "ensembles", ["experiment=e6", "workbook=edition.xlsx"]
    )
    assert settings.ensembles.live == [3]
    assert 4 in settings.ensembles.windows


@pytest.mark.parametrize("experiment", ["e1", "e2", "e8"])
def test_teachers_of_an_experiment_are_in_the_catalog(experiment: str) -> None:
    settings = composing.settings_of("backcast", [f"experiment={experiment}"])
    teachers = [catalog.load(name) for name in settings.training.data.teachers]
    simulations = set(settings.training.data.simulations)
    assert len({entry.title for entry in teachers}) == len(teachers)
    assert all(simulations <= set(entry.simulations) for entry in teachers)


def test_hidden_years_of_products_are_the_last_two() -> None:
    settings = composing.settings_of("backcast", ["experiment=e8"])
    assert settings.training.data.years[1] == settings.backcast.years[1] == 2023
    # Labels of the year before last appear a month before January.
    assert settings.backcast.delays.labels == 23


def swept(experiment: str, *overrides: str) -> list[TrainSettings]:
    asked = [f"experiment={experiment}", *overrides]
    return [one.settings for one in composing.combinations("train", asked)]


def test_each_teacher_is_left_out_once() -> None:
    everybody, *others = (each.data.teachers for each in swept("new_teacher"))
    assert len(everybody) == 6
    left_out = [set(everybody) - set(each) for each in others]
    assert left_out == [{name} for name in everybody]


@pytest.mark.parametrize("domain", ["land", "ocean"])
def test_columns_differ_in_which_labels_are_missing_alone(domain: str) -> None:
    few = ("seed=0", "learning.consistency.weight=0.1", "learning.weak.weight=0.03")
    late = swept(f"semi_testbed_{domain}", *few)
    random = swept(f"semi_testbed_{domain}_random", *few)
    assert {each.learning.labels_withheld for each in random} == {"random"}
    told = [
        replace(
            each,
            name=late[0].name,
            learning=replace(each.learning, labels_withheld="late"),
        )
        for each in random
    ]
    assert told == [each for each in late if each.learning.label_fraction < 1]


@pytest.mark.parametrize("experiment", [f"e{number}" for number in range(3, 9)])
def test_every_experiment_says_its_command_first(experiment: str) -> None:
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()
    head = [line for line in lines[:12] if line.startswith("#")]
    assert any(f"experiment={experiment}" in line for line in head)
