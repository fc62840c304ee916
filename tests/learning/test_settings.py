from pathlib import Path
from typing import Any

import pytest

from emulator.carbon.errors import SettingsError, TimeAxisError
from emulator.learning.forcing_errors import ForcingErrorSettings
from emulator.learning.pretraining import PretrainingSettings
from emulator.learning.semisupervised import ConsistencySettings
from emulator.learning.settings import (
    LearningSettings,
    LoggerSettings,
    MachineSettings,
    SplitSettings,
    TrainSettings,
    read_settings,
    run_id,
    settings_from_dict,
    settings_to_dict,
    write_settings,
)
from emulator.learning.weak_settings import WeakSettings
from emulator.models import PointwiseSettings, RecurrentSettings, UnetSettings
from tests.learning.runs import small_gru, tiny_settings

SPLIT = ([1990, 2004], [2001, 2001], [2006, 2008])


@pytest.mark.parametrize("model", [small_gru(), PointwiseSettings(), UnetSettings()])
def test_settings_survive_a_file(tmp_path: Path, model: Any) -> None:
    settings = tiny_settings(model, name="one")
    write_settings(settings, tmp_path)
    assert read_settings(tmp_path) == settings
    write_settings(settings, tmp_path)  # the same run goes on


def test_run_id_follows_what_changes_the_result() -> None:
    first = tiny_settings()
    assert run_id(first) == run_id(tiny_settings())
    assert run_id(first).startswith("tiny-")
    assert "=" not in run_id(first)
    assert run_id(tiny_settings(steps=7)) != run_id(first)
    assert run_id(tiny_settings(seed=1)) != run_id(first)
    assert run_id(tiny_settings(small_gru(width=5))) != run_id(first)
    elsewhere = tiny_settings()
    elsewhere.paths.runs = "elsewhere"
    elsewhere.machine.threads = 7
    elsewhere.logger.kind = "wandb"
    assert run_id(elsewhere) == run_id(first)


def test_groups_inside_learning_survive_a_file(tmp_path: Path) -> None:
    errors = ForcingErrorSettings(spread={"tas": 0.5}, correlation={"tas pr": -0.2})
    settings = tiny_settings(
        consistency=ConsistencySettings(0.5, errors=errors),
        pretraining=PretrainingSettings(steps=3),
    )
    write_settings(settings, tmp_path)
    assert read_settings(tmp_path) == settings
    assert run_id(settings) != run_id(tiny_settings())
    values = settings_to_dict(settings)
    values["learning"]["consistency"]["errors"]["spred"] = {}
    with pytest.raises(SettingsError, match=r"'learning.consistency.errors' has no"):
        settings_from_dict(values)


@pytest.mark.parametrize(
    ("learning", "message"),
    [
        ({"season_weight": -1.0}, "learning.season_weight is -1.0, but must be 0 or m"),
        (
            {"season_weight": 1.0, "months_per_sample": 30},
            "months_per_sample is 30, but must be a multiple of 12 while",
        ),
        ({"unlabelled_years": [2000]}, r"unlabelled_years is \[2000\], but must be"),
        ({"unlabelled_years": [2001, 2000]}, r"unlabelled_years is \[2001, 2000\]"),
    ],
)
def test_bad_terms_are_named(learning: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        LearningSettings(**learning)


def test_another_runs_folder_is_refused(tmp_path: Path) -> None:
    write_settings(tiny_settings(), tmp_path)
    with pytest.raises(SettingsError, match=r"holds the run tiny-\w+, but these"):
        write_settings(tiny_settings(steps=3), tmp_path)


def test_withheld_years_reach_the_split() -> None:
    split = SplitSettings(*SPLIT, withheld=[1996], withheld_neighbours=2)
    years = split.years(memory=0)
    assert years.years("withheld").tolist() == [1996]
    assert 1994 not in years.years("train")
    assert SplitSettings(*SPLIT).years(memory=0).withheld == ()


def test_withheld_years_must_be_in_the_data() -> None:
    split = SplitSettings([1990, 2022], [2001, 2001], [2006, 2008], withheld=[1996])
    tiny_settings(split=split)
    split.withheld = [1996, 2015, 2016]
    with pytest.raises(
        SettingsError, match=r"names \[2015, 2016\], but .* 1990 to 200"
    ):
        tiny_settings(split=split)


def test_unreadable_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot be read .* Give the folder"):
        read_settings(tmp_path)
    (tmp_path / "settings.yaml").write_text("- 1")
    with pytest.raises(SettingsError, match=r"holds no settings"):
        read_settings(tmp_path)


def test_unknown_and_missing_settings_are_named() -> None:
    values = settings_to_dict(tiny_settings())
    values["learning"]["stepps"] = 3
    with pytest.raises(SettingsError, match=r"'learning' has no setting stepps. It"):
        settings_from_dict(values)
    values = settings_to_dict(tiny_settings())
    del values["split"]["test"]
    with pytest.raises(SettingsError, match=r"'split' lacks a setting: .*'test'"):
        settings_from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "learning.steps is 0, but must be at least 1"),
        ({"samples_per_batch": 0}, "learning.samples_per_batch is 0"),
        ({"months_per_sample": 0}, "learning.months_per_sample is 0"),
        ({"validate_every": 0}, "learning.validate_every is 0"),
        ({"patience": 0}, "learning.patience is 0"),
        ({"save_every": 0}, "learning.save_every is 0"),
        ({"members": 0}, "learning.members is 0"),
        ({"cells_per_batch": -1}, "learning.cells_per_batch is -1"),
        (
            {"years_weight": 0.1, "months_per_sample": 6},
            "a multiple of 12 while learning.years_weight",
        ),
        ({"contrast": ["S1"]}, r"learning.contrast is \['S1'\], but must be two"),
        ({"contrast": ["S1", "S1"]}, r"'S1'\], but must be two different simulations"),
        ({"contrast_weight": -1.0}, "learning.contrast_weight is -1.0"),
        ({"component_weight": -1.0}, "learning.component_weight is -1.0"),
        ({"weight_decay": -1.0}, "learning.weight_decay is -1.0"),
        ({"warmup_steps": -1}, "learning.warmup_steps is -1"),
        ({"gradient_clip": -1.0}, "learning.gradient_clip is -1.0"),
        ({"selection_annual": -1.0}, "learning.selection_annual is -1.0"),
        ({"regional_weight": -1.0}, "learning.regional_weight is -1.0"),
        ({"peak_rate": 0.0}, "learning.peak_rate is 0.0"),
        ({"ema_decay": 1.0}, "learning.ema_decay is 1.0"),
        ({"label_fraction": 0.0}, "learning.label_fraction is 0.0"),
        ({"labels_withheld": "early"}, "learning.labels_withheld is 'early', but"),
        ({"annual_weight": 1.0}, "need whole years of all cells, but"),
        (
            {"annual_weight": 1.0, "cells_per_batch": 0, "aligned": False},
            "aligned False",
        ),
        (
            {"regional_weight": 1.0, "cells_per_batch": 0, "months_per_sample": 6},
            "months_per_sample 6",
        ),
    ],
)
def test_bad_learning_settings_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        LearningSettings(**values)


def test_bad_other_settings_are_named() -> None:
    with pytest.raises(SettingsError, match=r"split.train is \[1990\], but must be"):
        SplitSettings([1990], *SPLIT[1:])
    with pytest.raises(SettingsError, match=r"split.buffer is -1"):
        SplitSettings(*SPLIT, buffer=-1.0)
    with pytest.raises(SettingsError, match=r"machine.accelerator is 'tpu'"):
        MachineSettings(accelerator="tpu")
    with pytest.raises(SettingsError, match=r"machine.precision is '16'"):
        MachineSettings(precision="16")
    with pytest.raises(SettingsError, match=r"machine.threads is -1"):
        MachineSettings(threads=-1)
    with pytest.raises(SettingsError, match=r"logger.kind is 'tensorboard'"):
        LoggerSettings(kind="tensorboard")


def test_gaps_as_long_as_the_memory_are_enforced() -> None:
    split = SplitSettings([1990, 2004], [2001, 2001], [2006, 2008])
    assert split.years(12).years("train").tolist() == [
        *range(1990, 2000),
        2003,
        2004,
    ]
    with pytest.raises(TimeAxisError, match=r"needs 2 years between"):
        split.years(13)


def test_years_follow_the_labels_that_are_kept() -> None:
    whole = tiny_settings()
    assert whole.years() == whole.split.years(3)
    assert tiny_settings(label_fraction=0.5, labels_withheld="random").years() == (
        whole.years()
    )
    # 1990 to 2004 are 15 years, of which 8 stay; the last two of them choose.
    kept = tiny_settings(label_fraction=0.5).years()
    assert (kept.train, kept.validation) == ((1990, 1997), (1996, 1997))


def test_settings_that_contradict_each_other_are_refused() -> None:
    def settings(**changes: Any) -> TrainSettings:
        values: dict[str, Any] = {
            "name": "a",
            "data": tiny_settings().data,
            "model": small_gru(),
            "split": SplitSettings(*SPLIT),
        }
        return TrainSettings(**values | changes)

    with pytest.raises(SettingsError, match=r"seed is -1"):
        settings(seed=-1)
    with pytest.raises(SettingsError, match=r"name is 'a=b', but it becomes a folder"):
        settings(name="a=b")
    with pytest.raises(SettingsError, match=r"must not be known. Set .*=none"):
        settings(split=SplitSettings(*SPLIT, held_out_region="srex:AMZ"))
    with pytest.raises(SettingsError, match=r"works on whole maps, but learning.cells"):
        settings(model=UnetSettings())
    with pytest.raises(SettingsError, match=r"Use a divisor or a multiple of 12"):
        settings(learning=LearningSettings(months_per_sample=7))
    pools = small_gru(pools=[2.0], start_year=1991)
    with pytest.raises(SettingsError, match=r"begin with model.start_year, but learni"):
        settings(model=pools, learning=LearningSettings(aligned=False))
    # The last year of the split is 2008: 18 years from 1991 on are 216 months.
    settings(model=pools, learning=LearningSettings(months_per_sample=216))
    with pytest.raises(
        SettingsError, match=r"start_year 1991 on.* is 204, and 2008.* Set it to 216"
    ):
        settings(model=pools, learning=LearningSettings(months_per_sample=204))
    weak = LearningSettings(weak=WeakSettings(weight=1.0))
    with pytest.raises(SettingsError, match=r"weak uses single years.* 1991 on. Set"):
        settings(model=pools, learning=weak)
    free = RecurrentSettings(encoder="tcn")
    settings(model=free, learning=LearningSettings(months_per_sample=7))
