"""Properties that every network must have, on random inputs."""

import pytest
import torch
from torch import Tensor, nn

from emulator.carbon.errors import SettingsError
from emulator.models import (
    MODELS,
    ModelSettings,
    NetworkShape,
    PointwiseSettings,
    RecurrentSettings,
    SinknetSettings,
    UnetSettings,
    build_network,
    model_from_dict,
    model_name,
    model_to_dict,
)

SAMPLES, MONTHS, INPUTS, STATICS, OUTPUTS, TEACHERS = 2, 5, 4, 18, 2, 3  # soils: 16
GRID = (5, 8)  # an odd number of rows: pooling must not lose one

SMALL: dict[str, ModelSettings] = {
    "pointwise": PointwiseSettings(width=8),
    "gru": RecurrentSettings(memory=12, width=8),
    "gru2": RecurrentSettings(memory=12, width=8, layers=2),
    "tcn": RecurrentSettings(
        encoder="tcn", memory=12, width=8, kernel=2, dilations=[1, 2, 4]
    ),
    "unet": UnetSettings(memory=12, widths=[6, 8, 8], lags=[0, 2], means=[4]),
    "sinknet": SinknetSettings(memory=12, width=8, map_widths=[4, 6], map_kernel=3),
    "closed": RecurrentSettings(memory=12, width=8, fluxes=["nbp", "rh"], closure=True),
    "pools": RecurrentSettings(
        memory=12,
        width=8,
        fluxes=["nbp", "rh"],
        closure=True,
        pools=[20.0, 2.0, 30.0],
        start_year=1951,
    ),
}


def shape(cells: int = GRID[0] * GRID[1]) -> NetworkShape:
    return NetworkShape(INPUTS, STATICS, OUTPUTS, TEACHERS, torch.arange(cells), GRID)


def loud(network: nn.Module) -> nn.Module:
    """Give all parameters random values: fresh FiLM layers ignore the teacher."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    return network.eval()


def inputs(memory: int, cells: int, months: int = MONTHS) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(SAMPLES, memory + months, INPUTS, cells, generator=generator),
        torch.randn(SAMPLES, STATICS, cells, generator=generator),
        torch.tensor([0, 2]),
    )


@pytest.fixture(params=SMALL)
def settings(request: pytest.FixtureRequest) -> ModelSettings:
    return SMALL[request.param]


@pytest.fixture
def network(settings: ModelSettings) -> nn.Module:
    return loud(build_network(settings, shape()))


def test_answers_each_month_after_the_memory(
    settings: ModelSettings, network: nn.Module
) -> None:
    answer = network(*inputs(settings.memory, 40))
    assert answer.shape == (SAMPLES, MONTHS, OUTPUTS, 40)
    assert answer.isfinite().all()


def test_no_answer_depends_on_a_later_month(
    settings: ModelSettings, network: nn.Module
) -> None:
    forcing, static, teacher = inputs(settings.memory, 40)
    before = network(forcing, static, teacher)
    changed = forcing.clone()
    changed[:, settings.memory + 2] += 1.0
    after = network(changed, static, teacher)
    torch.testing.assert_close(after[:, :2], before[:, :2])
    assert (after[:, 2] - before[:, 2]).abs().max() > 1e-4


def test_answers_use_the_memory_if_there_is_one(
    settings: ModelSettings, network: nn.Module
) -> None:
    forcing, static, teacher = inputs(settings.memory, 40)
    changed = forcing.clone()
    changed[:, : settings.memory] += 1.0
    difference = network(changed, static, teacher) - network(forcing, static, teacher)
    assert (difference.abs().max() > 1e-6) == (settings.memory > 0)


def test_memory_is_finite_where_windows_are_not_anchored(
    settings: ModelSettings, network: nn.Module
) -> None:
    forcing, static, teacher = inputs(settings.memory, 40)
    changed = forcing.clone()
    changed[:, 0] += 1.0  # lies in the memory of the first month alone
    difference = network(changed, static, teacher) - network(forcing, static, teacher)
    assert (difference[:, 1:].abs().max() > 0) == settings.is_anchored


@pytest.mark.parametrize(
    "settings",
    # Elsewhere a state runs from the start of the window.
    [name for name, settings in SMALL.items() if not settings.is_anchored],
    indirect=True,
)
def test_one_window_equals_several_where_windows_are_not_anchored(
    settings: ModelSettings, network: nn.Module
) -> None:
    forcing, static, teacher = inputs(settings.memory, 40)
    whole = network(forcing, static, teacher)
    part = network(forcing[:, 3:], static, teacher)
    torch.testing.assert_close(part, whole[:, 3:])


def test_teacher_and_place_change_the_answer(
    settings: ModelSettings, network: nn.Module
) -> None:
    forcing, static, teacher = inputs(settings.memory, 40)
    before = network(forcing, static, teacher)
    other = network(forcing, static, torch.tensor([1, 2]))
    assert (other[0] - before[0]).abs().max() > 1e-4
    torch.testing.assert_close(other[1], before[1])
    elsewhere = network(forcing, static + 1.0, teacher)
    assert (elsewhere - before).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["pointwise", "gru", "tcn"])
def test_cells_do_not_talk_to_each_other(name: str) -> None:
    network = loud(SMALL[name].build(shape()))
    forcing, static, teacher = inputs(SMALL[name].memory, 40)
    some = torch.tensor([3, 17])
    part = network(forcing[..., some], static[..., some], teacher)
    torch.testing.assert_close(part, network(forcing, static, teacher)[..., some])


def test_unet_is_periodic_in_longitude() -> None:
    # Two levels of pooling: the map may roll by multiples of four cells.
    network = loud(SMALL["unet"].build(shape()))
    forcing, static, teacher = inputs(12, 40)

    def rolled(values: Tensor) -> Tensor:
        return values.unflatten(-1, GRID).roll(4, dims=-1).flatten(-2)

    torch.testing.assert_close(
        network(rolled(forcing), rolled(static), teacher),
        rolled(network(forcing, static, teacher)),
    )


def test_unet_refuses_a_part_of_the_map() -> None:
    network = SMALL["unet"].build(shape())
    with pytest.raises(ValueError, match="maps of all 40 cells, but got 7"):
        network(*inputs(12, 7))


def test_unet_trailing_mean_is_the_mean_of_the_last_months() -> None:
    network = UnetSettings(memory=3, widths=[4], lags=[1], means=[3]).build(shape())
    forcing, _, _ = inputs(3, 40)
    lag, mean = network._lagged(forcing)
    torch.testing.assert_close(lag[:, 1], forcing[:, 3])
    torch.testing.assert_close(mean[:, 1], forcing[:, 2:5].mean(dim=1))


def test_networks_start_near_the_reference(settings: ModelSettings) -> None:
    torch.manual_seed(0)
    network = settings.build(shape()).eval()
    assert network(*inputs(settings.memory, 40)).abs().mean() < 0.2


def test_dropout_acts_in_training_only() -> None:
    settings = RecurrentSettings(memory=3, width=8, dropout=0.5)
    network = loud(settings.build(shape()))
    values = inputs(3, 40)
    torch.testing.assert_close(network(*values), network(*values))
    network.train()
    assert (network(*values) - network(*values)).abs().max() > 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_settings_survive_a_plain_dictionary(name: str) -> None:
    settings = MODELS[name](label_climatology="co2", embedding=3)
    values = model_to_dict(settings)
    assert values["name"] == name == model_name(settings)
    assert model_from_dict(values) == settings


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("pointwise", {"memory": -1}, "model.memory is -1, but must be 0 months"),
        ("pointwise", {"width": 0}, "model.width is 0"),
        ("pointwise", {"depth": 0}, "model.depth is 0"),
        ("pointwise", {"dropout": 1.0}, "model.dropout is 1.0"),
        ("pointwise", {"embedding": 0}, "model.embedding is 0"),
        ("pointwise", {"scale_floor": 1.0}, "model.scale_floor is 1.0"),
        ("pointwise", {"label_climatology": "mean"}, "one of: none, climatology, co2"),
        ("pointwise", {"co2_slope": "year"}, "one of: month, annual"),
        ("pointwise", {"co2_as": "ppm"}, "model.co2_as is 'ppm'.* level, rise"),
        ("pointwise", {"slow_years": [0]}, "model.slow_years is 0"),
        ("pointwise", {"forcing_channels": "raw"}, "one of: both, anomaly, level"),
        ("recurrent", {"encoder": "lstm"}, "model.encoder is 'lstm'"),
        ("recurrent", {"width": 0}, "model.width is 0"),
        ("recurrent", {"layers": 0}, "model.layers is 0"),
        ("recurrent", {"dropout": -0.1}, "model.dropout is -0.1"),
        ("recurrent", {"kernel": 1}, "model.kernel is 1"),
        (
            "recurrent",
            {"encoder": "tcn", "memory": 12},
            "reach 32 months back, but model.memory is 12",
        ),
        ("unet", {"widths": []}, r"model.widths is \[\]"),
        ("unet", {"lags": [-1]}, r"model.lags is \[-1\]"),
        ("unet", {"means": [0]}, r"model.means is \[0\]"),
        ("unet", {"dropout": 2.0}, "model.dropout is 2.0"),
        ("unet", {"memory": 3}, "reach 23 months back, but model.memory is 3"),
        ("unet", {"hidden": 3}, "'unet' has no setting hidden. It has: closure"),
        ("transformer", {}, "'transformer' is unknown. Known are: pointwise"),
    ],
)
def test_bad_settings_say_what_is_wrong(
    kind: str, values: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        model_from_dict({"name": kind, **values})


def test_base_settings_are_no_model() -> None:
    with pytest.raises(SettingsError, match="ModelSettings is no known model"):
        model_name(ModelSettings())
    with pytest.raises(NotImplementedError, match="does not build"):
        ModelSettings().build(shape())
