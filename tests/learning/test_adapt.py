"""A teacher that lies between two known ones, learned from few years of its labels."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from emulator.carbon.errors import CheckpointError, SettingsError, StoreError
from emulator.carbon.timeaxis import years_of
from emulator.data.stores import write_store
from emulator.data.windows import Cube
from emulator.learning.adapt import (
    adapt,
    adaptation_years,
    cube_of_teacher,
    embeddings,
    moderated,
)
from emulator.learning.adapt_settings import FewShotSettings
from emulator.learning.batch import inputs_of_cube
from emulator.learning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from emulator.learning.fit import train
from emulator.models import (
    MODELS,
    ModelSettings,
    NetworkShape,
    PointwiseSettings,
    UnetSettings,
)
from tests.learning.middle import with_middle
from tests.learning.runs import small_gru, tiny_data, tiny_settings
from tests.worlds import tiny_world

YEARS = np.arange(2001, 2005)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("middle")
    return write_store(with_middle(tiny_world()), folder / "all.zarr")


def member_of(folder: Path, store: Path, model: ModelSettings, **learning: Any) -> Any:
    learning = {"steps": 2, "validate_every": 2} | learning
    data = tiny_data(fluxes=model.fluxes or ["nbp"])
    train(tiny_settings(model, data=data, **learning), store, folder)
    return load_checkpoint(folder / "members" / "0" / "emulator.pt")


@pytest.fixture(scope="module")
def member(land_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Return a network that hardly learned anything."""
    return member_of(tmp_path_factory.mktemp("run"), land_store, small_gru())


@pytest.fixture(scope="module")
def cube(member: Checkpoint, store: Path) -> Cube:
    return cube_of_teacher(member, store, "MIDDLE")


@dataclass
class LinearSettings(ModelSettings):
    """A network whose answer is the embedding times the first two channels."""

    memory: int = 0

    def build(self, shape: NetworkShape) -> nn.Module:
        return Linear(shape.teachers)


class Linear(nn.Module):
    def __init__(self, teachers: int) -> None:
        super().__init__()
        self.teacher = nn.Embedding(teachers, 2)

    def forward(self, forcing: Tensor, _: Tensor, teacher: Tensor) -> Tensor:
        vector = self.teacher(teacher)[:, None, :, None]
        return (forcing[:, :, :2] * vector).sum(dim=2, keepdim=True)


def linear_case(
    member: Checkpoint, cube: Cube, truth: tuple[float, float], years: np.ndarray
) -> tuple[Checkpoint, Cube]:
    """Return a linear network, and a cube that it explains but for a climatology.

    The climatology is another one in each month and cell, and has nothing to do with
    that of the other teachers.
    """
    known = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    linear = replace(
        member, model=LinearSettings(embedding=2), weights={"teacher.weight": known}
    )
    inputs = inputs_of_cube(cube, member.normaliser)
    weather = inputs.weather[cube.weather.clamp_min(0)][..., :2]
    answer = (weather * torch.tensor(truth)).sum(dim=-1)
    generator = torch.Generator().manual_seed(0)
    season = torch.randn(12, answer.shape[-1], generator=generator)[inputs.month]
    labels = 1e-9 * (season + answer)[:, None, :, None]
    labels[:, :, ~np.isin(years_of(cube.months), years)] = torch.nan
    # The first months of all have no weather before them.
    labels[:, :, torch.from_numpy(cube.months < np.datetime64("1990-02"))] = torch.nan
    return linear, replace(cube, labels=labels.where(cube.labels.isfinite(), torch.nan))


def unit_scale(member: Checkpoint) -> Checkpoint:
    """Give all known teachers the scale that ``linear_case`` was made with."""
    ones = torch.full_like(member.normaliser.scale, 1e-9)
    normaliser = replace(member.normaliser, scale=ones, spread=ones)
    return replace(member, normaliser=normaliser)


def test_linear_teacher_is_found_whatever_its_climatology(
    member: Checkpoint, cube: Cube
) -> None:
    linear, labelled = linear_case(unit_scale(member), cube, (0.3, -0.7), YEARS)
    # So many years of the others keep the scale at theirs: the law's own unit.
    settings = FewShotSettings(prior_years=1e9, steps=20)
    found = adapt(linear, labelled, YEARS, settings)
    vector = found.weights["teacher.weight"]
    torch.testing.assert_close(vector, torch.tensor([[0.3, -0.7]]), atol=2e-3, rtol=0)
    # With the weather explained, the climatology comes out to rounding.
    member_scale = found.normaliser.scale[0, 0]
    assert torch.allclose(member_scale, torch.tensor(1e-9), rtol=1e-3)


def test_the_last_step_counts(member: Checkpoint, cube: Cube) -> None:
    # The only step is the last one: it leads from the best known teacher, or their
    # mean, towards the truth, half of the way with a damping of 1 and equal slopes.
    linear, labelled = linear_case(unit_scale(member), cube, (0.3, -0.7), YEARS)
    settings = FewShotSettings(prior_years=1e9, steps=1)
    vector = adapt(linear, labelled, YEARS, settings).weights["teacher.weight"][0]
    truth = torch.tensor([0.3, -0.7])
    starts = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]])
    start = torch.linalg.vector_norm(starts - truth, dim=1).min()
    assert torch.linalg.vector_norm(vector - truth) < 0.7 * start


def test_one_year_of_one_simulation_says_nothing_of_the_vector(
    member: Checkpoint, cube: Cube
) -> None:
    linear, labelled = linear_case(unit_scale(member), cube, (0.3, -0.7), YEARS[-1:])
    only = replace(
        labelled,
        simulations=("S2",),
        labels=labelled.labels[2:],
        weather=labelled.weather[2:],
        co2=labelled.co2[2:],
        slow=labelled.slow[2:],
    )
    found = adapt(linear, only, YEARS[-1:], FewShotSettings())
    mean = torch.tensor([[0.5, 0.5]])
    torch.testing.assert_close(found.weights["teacher.weight"], mean, atol=1e-5, rtol=0)


def test_scale_of_few_years_leans_on_others() -> None:
    two, one = torch.tensor([2.0]), torch.tensor([1.0])
    # One year has no freedom; five have squares of 5 x 4 and four degrees:
    # (4 x 1 + 20) / (4 + 4) = 3.
    assert moderated(two, one, years=1, prior=4).item() == 1.0
    assert moderated(two, one, years=5, prior=4).item() == pytest.approx(3**0.5)


@pytest.mark.parametrize("kind", MODELS)
def test_every_network_has_one_embedding(kind: str) -> None:
    settings = MODELS[kind]()
    shape = NetworkShape(3, 2, 1, 4, torch.arange(8 * 16), (8, 16))
    weights = settings.build(shape).state_dict()
    known, split = embeddings(weights)
    assert known.shape == (4, settings.embedding)
    ((name, other),) = split(known[:1] + 1).items()
    assert torch.equal(other, weights[name][:1] + 1)


def test_a_network_without_embedding_is_refused() -> None:
    with pytest.raises(CheckpointError, match="has no embedding of teachers"):
        embeddings({"my_teacher.weight": torch.zeros(1, 1)})


def test_several_embeddings_are_one_vector() -> None:
    weights = {
        "teacher.weight": torch.ones(2, 3),
        "head.weight": torch.ones(1),
        "pools.teacher.weight": torch.zeros(2, 2),
    }
    known, split = embeddings(weights)
    assert known.tolist() == [[1, 1, 1, 0, 0]] * 2
    parts = split(torch.arange(5.0)[None])
    assert parts["teacher.weight"].tolist() == [[0, 1, 2]]
    assert parts["pools.teacher.weight"].tolist() == [[3, 4]]


def test_last_years_are_taken(cube: Cube) -> None:
    assert adaptation_years(cube, np.arange(1990, 2003), 2).tolist() == [2001, 2002]
    with pytest.raises(SettingsError, match=r"MIDDLE has labels in 2 of the years"):
        adaptation_years(cube, np.array([2001, 2002, 2050]), 3)


def test_a_teacher_that_is_known_is_refused(member: Checkpoint, store: Path) -> None:
    with pytest.raises(SettingsError, match="learned the teacher 'ONE' with all its"):
        cube_of_teacher(member, store, "ONE")
    with pytest.raises(SettingsError, match="has no teacher 'OAK', it has"):
        cube_of_teacher(member, store, "OAK")


def test_other_cells_forcing_and_grid_are_refused(
    member: Checkpoint, tmp_path: Path
) -> None:
    world = with_middle(tiny_world())
    fewer = world.copy(deep=True)
    fewer["nbp"].values[..., 1, :] = np.nan
    path = write_store(fewer, tmp_path / "fewer.zarr")
    with pytest.raises(CheckpointError, match=r"lacks \d+ of them, on .* beside 'MIDD"):
        cube_of_teacher(member, path, "MIDDLE")
    moved = world.assign_coords(lon=world["lon"] + 1.0)
    path = write_store(moved, tmp_path / "moved.zarr")
    with pytest.raises(CheckpointError, match=r"lacks 0 of them, on"):
        cube_of_teacher(member, path, "MIDDLE")
    path = write_store(world.drop_vars("pr"), tmp_path / "dry.zarr")
    with pytest.raises(StoreError, match=r"has no \['pr'\]"):
        cube_of_teacher(member, path, "MIDDLE")
    alone = world.sel(simulation=["S2"])
    path = write_store(alone, tmp_path / "alone.zarr")
    with pytest.raises(StoreError, match=r"has no simulation \['S0', 'S1'\]"):
        cube_of_teacher(member, path, "MIDDLE")


def test_only_the_embedding_changes(member: Checkpoint, cube: Cube) -> None:
    before = {name: value.clone() for name, value in member.weights.items()}
    found = adapt(member, cube, YEARS, FewShotSettings(steps=3))
    known, split = embeddings(member.weights)
    (name,) = split(known)
    assert found.weights[name].shape == (1, member.model.embedding)
    for key, value in member.weights.items():
        assert torch.equal(value, before[key])
        if key != name:
            assert torch.equal(found.weights[key], value)
    assert found.teachers == ("MIDDLE",)
    assert found.about["last_month"] == "2004-12"
    assert (
        "embedding on labels of 2001, 2002, 2003, 2004, reference of these years"
        in (found.about["fitted_on"])
    )


def test_other_years_leave_no_trace_and_the_same_comes_again(
    member: Checkpoint, cube: Cube
) -> None:
    strange = cube.labels.clone()
    strange[:, :, torch.from_numpy(~np.isin(years_of(cube.months), YEARS))] *= -30
    one, other = (
        adapt(member, each, YEARS, FewShotSettings(steps=3, cells=5))
        for each in (cube, replace(cube, labels=strange))
    )
    for name, value in one.weights.items():
        assert torch.equal(value, other.weights[name])
    for name in ("reference", "slope", "scale", "spread", "static"):
        mine = getattr(one.normaliser, name)
        assert torch.equal(mine, getattr(other.normaliser, name))


def test_what_is_adapted_travels_in_a_file(
    member: Checkpoint, cube: Cube, tmp_path: Path
) -> None:
    found = adapt(member, cube, YEARS, FewShotSettings(steps=1))
    save_checkpoint(found, tmp_path / "emulator.pt")
    again = load_checkpoint(tmp_path / "emulator.pt")
    assert again.teachers == ("MIDDLE",)
    assert again.network().state_dict().keys() == found.weights.keys()


@pytest.mark.parametrize(
    "model",
    [
        small_gru(label_climatology="none"),
        small_gru(label_climatology="co2", reference_simulations=["S2"]),
        small_gru(label_climatology="co2", co2_level="total"),
        PointwiseSettings(width=8),
        small_gru(fluxes=["nbp", "gpp", "ra", "rh"], closure=True),
        UnetSettings(memory=3, widths=[8], lags=[0, 1], means=[]),
    ],
)
def test_every_kind_of_run_adapts(
    model: ModelSettings, land_store: Path, store: Path, tmp_path: Path
) -> None:
    member = member_of(tmp_path / "run", land_store, model)
    cube = cube_of_teacher(member, store, "MIDDLE")
    for reference in ("own", "others"):
        settings = FewShotSettings(steps=2, reference=reference)
        found = adapt(member, cube, YEARS, settings)
        assert embeddings(found.weights)[0].isfinite().all()
        assert found.normaliser.reference.isfinite().all()
        assert (found.normaliser.scale > 0).all()
        text = found.about["fitted_on"]
        is_own = reference == "own" and model.label_climatology != "none"
        assert ("these years" in text) == is_own


def test_soils_know_the_new_teachers_respiration(
    land_store: Path, store: Path, tmp_path: Path
) -> None:
    fluxes = ["nbp", "gpp", "ra", "rh"]
    model = small_gru(
        fluxes=fluxes, closure=True, pools=[20.0, 3.0, 30.0], start_year=1991
    )
    member = member_of(tmp_path / "run", land_store, model, months_per_sample=240)
    cube = cube_of_teacher(member, store, "MIDDLE")
    settings = FewShotSettings(steps=1, reference="others")
    found = adapt(member, cube, YEARS, settings).normaliser
    there = found.labelled[0].all(dim=0)
    # The climate's decay stays; the last channels are rh in the unit of the net flux.
    speed = -(1 + 1 + len(fluxes) + 12)
    torch.testing.assert_close(
        found.static[:, speed], member.normaliser.static[:1, speed]
    )
    season = found.reference[0, :, 3] / found.scale[0, 0]
    torch.testing.assert_close(found.static[0, -12:, there], season[:, there])


@pytest.mark.parametrize(
    ("model", "months"),
    [
        (small_gru(fluxes=["nbp", "gpp", "ra", "rh"], closure=True), 12),
        (small_gru(fluxes=["nbp"], pools=[5.0], start_year=1991), 240),
    ],
)
def test_a_balance_knows_the_new_teachers_mean_and_units(
    model: ModelSettings, months: int, land_store: Path, store: Path, tmp_path: Path
) -> None:
    member = member_of(tmp_path / "run", land_store, model, months_per_sample=months)
    cube = cube_of_teacher(member, store, "MIDDLE")
    fluxes = len(model.fluxes)
    labels = cube.labels[:, 0, np.isin(years_of(cube.months), YEARS)]
    means = {"own": labels[:, :, 0].double().mean(dim=(0, 1)).float()}
    for reference in ("own", "others"):
        settings = FewShotSettings(steps=1, reference=reference)
        found = adapt(member, cube, YEARS, settings).normaliser
        there = found.labelled[0].all(dim=0)
        mean, units = found.static[0, -1 - fluxes], found.static[0, -fluxes:]
        scale = found.scale[0]
        torch.testing.assert_close(units[:, there], (scale / scale[0])[:, there])
        # The reference of others is left as it is, one's own is then profiled out.
        wanted = means.get(reference, found.reference[0, :, 0].mean(dim=0)) / scale[0]
        torch.testing.assert_close(mean[there], wanted[there], rtol=1e-4, atol=1e-5)
        place = found.static.shape[1] - 1 - 14 * fluxes
        torch.testing.assert_close(
            found.static[:, :place], member.normaliser.static[:1, :place]
        )


def test_reference_of_others_is_their_mean(member: Checkpoint, cube: Cube) -> None:
    found = adapt(member, cube, YEARS, FewShotSettings(steps=1, reference="others"))
    known = member.normaliser
    there = known.labelled.all(dim=0)[0]
    mean = known.reference.mean(dim=0, keepdim=True)
    torch.testing.assert_close(
        found.normaliser.reference[..., there], mean[..., there], rtol=1e-5, atol=0
    )


def test_a_year_with_holes_is_no_climatology(member: Checkpoint, cube: Cube) -> None:
    labels = cube.labels.clone()
    labels[:, :, torch.from_numpy(cube.months == np.datetime64("2004-06"))] = torch.nan
    with pytest.raises(
        SettingsError, match=r"in every month of the year in 2004, with"
    ):
        adapt(member, replace(cube, labels=labels), YEARS[-1:], FewShotSettings())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"reference": "mine"},
            "fit.reference is 'mine', but must be one of: own, oth",
        ),
        ({"prior_years": 0.0}, "fit.prior_years is 0.0, but must be positive"),
        ({"steps": 0}, "fit.steps is 0, but must be at least 1"),
        ({"cells": 0}, "fit.cells is 0, but must be at least 1"),
        ({"seed": -1}, "fit.seed is -1, but must be 0 or more"),
    ],
)
def test_bad_settings_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        FewShotSettings(**values)
