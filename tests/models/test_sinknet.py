"""The network with a memory in each cell and a view of the map."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from emulator.carbon.errors import SettingsError
from emulator.models import (
    ModelSettings,
    NetworkShape,
    RecurrentSettings,
    SinknetSettings,
    model_from_dict,
)

INPUTS, STATICS, OUTPUTS, TEACHERS = 4, 3, 2, 3
SAMPLES, MEMORY, MONTHS = 2, 6, 4
GRID = (6, 8)
GRU = SinknetSettings(memory=MEMORY, width=8, map_widths=[6, 8, 8])
TCN = replace(GRU, encoder="tcn", kernel=2, dilations=[1, 2, 2])


def shape(
    grid: tuple[int, int] = GRID, cells: Tensor | None = None, outputs: int = OUTPUTS
) -> NetworkShape:
    if cells is None:
        cells = torch.arange(grid[0] * grid[1])
    return NetworkShape(INPUTS, STATICS, outputs, TEACHERS, cells, grid)


def loud(network: nn.Module) -> nn.Module:
    """Give all parameters random values: a fresh map adds nothing."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(0.3 * torch.randn(value.shape, generator=generator))
    return network.eval()


def inputs(cells: int, samples: int = SAMPLES) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return (
        torch.randn(samples, MEMORY + MONTHS, INPUTS, cells, generator=generator),
        torch.randn(samples, STATICS, cells, generator=generator),
        torch.tensor([0, 2])[:samples],
    )


@pytest.fixture(params=[GRU, TCN], ids=["gru", "tcn"])
def settings(request: pytest.FixtureRequest) -> SinknetSettings:
    chosen: SinknetSettings = request.param
    return chosen


def test_starts_as_the_recurrent_network(settings: SinknetSettings) -> None:
    values = inputs(48)
    torch.manual_seed(0)
    network = settings.build(shape())
    torch.manual_seed(0)
    alone = RecurrentSettings(
        memory=MEMORY,
        width=8,
        encoder=settings.encoder,
        kernel=settings.kernel,
        dilations=settings.dilations,
    ).build(shape())
    assert torch.equal(network(*values), alone(*values))
    assert (loud(network)(*values) - network.cell(*values)).abs().max() > 0.1


def test_first_steps_of_training_reach_every_parameter() -> None:
    torch.manual_seed(0)
    network = GRU.build(shape())
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    target = torch.randn(SAMPLES, MONTHS, OUTPUTS, 48)
    for _ in range(2):  # the first opens the map's last layer
        optimiser.zero_grad()
        functional.mse_loss(network(*inputs(48)), target).backward()
        optimiser.step()
    still = [
        name
        for name, value in network.named_parameters()
        if value.grad is None or not value.grad.any()
    ]
    assert not still


def test_no_later_month_changes_an_answer(settings: SinknetSettings) -> None:
    network = loud(settings.build(shape()))
    forcing, static, teacher = inputs(48)
    before = network(forcing, static, teacher)
    for month in range(MONTHS):
        changed = forcing.clone()
        changed[:, MEMORY + month :] += 1.0
        after = network(changed, static, teacher)
        torch.testing.assert_close(after[:, :month], before[:, :month])
        assert (after[:, month] - before[:, month]).abs().min() > 0


def test_memory_is_exact_where_windows_are_not_anchored(
    settings: SinknetSettings,
) -> None:
    assert settings.is_anchored == (settings.encoder == "gru")
    network = loud(settings.build(shape()))
    forcing, static, teacher = inputs(48)
    before = network(forcing, static, teacher)
    changed = forcing.clone()
    changed[:, 0] += 1.0  # lies in the memory of the first month alone
    after = network(changed, static, teacher)
    assert ((after[:, 1:] != before[:, 1:]).any()) == settings.is_anchored
    # The same month in a window that starts later.
    late = network(forcing[:, 2:], static, teacher)
    assert torch.allclose(late, before[:, 2:], atol=1e-5) != settings.is_anchored


def test_map_rolls_around_the_globe(settings: SinknetSettings) -> None:
    # Three levels halve the map twice: it may roll by multiples of four cells.
    network = loud(settings.build(shape()))
    forcing, static, teacher = inputs(48)

    def rolled(values: Tensor) -> Tensor:
        return values.unflatten(-1, GRID).roll(4, dims=-1).flatten(-2)

    torch.testing.assert_close(
        network(rolled(forcing), rolled(static), teacher),
        rolled(network(forcing, static, teacher)),
        atol=1e-5,
        rtol=1e-4,
    )


def test_neighbours_are_seen_across_the_date_line_and_not_across_the_pole() -> None:
    # One level, one convolution of three cells: what changes in one cell shows there
    # and in the ring around it, and nowhere else.
    network = loud(replace(GRU, map_widths=[6], map_kernel=3).build(shape()))
    forcing, static, teacher = inputs(48)
    before = network(forcing, static, teacher)
    changed = forcing.clone()
    changed[..., 0] += 1.0  # the south-western corner
    moved = (network(changed, static, teacher) - before).abs().amax(dim=(0, 1, 2))
    seen = {divmod(int(cell), GRID[1]) for cell in torch.nonzero(moved > 1e-6)}
    assert seen == {(row, column) for row in (0, 1) for column in (7, 0, 1)}


def test_teacher_changes_the_cells_and_the_map() -> None:
    network = loud(GRU.build(shape()))
    forcing, static, teacher = inputs(48)
    before = network(forcing, static, teacher)
    after = network(forcing, static, torch.tensor([1, 2]))
    assert (after[0] - before[0]).abs().max() > 0.1
    torch.testing.assert_close(after[1], before[1])
    # Through the map alone: each block's scale and shift differ.
    maps = torch.randn(1, 6, *GRID)
    who = network.cell.context.teacher(torch.tensor([[0], [1]]))
    one, two = network.levels(maps, who[0]), network.levels(maps, who[1])
    assert (one - two).abs().max() > 0.01


def test_place_changes_the_answer() -> None:
    network = loud(GRU.build(shape()))
    forcing, static, teacher = inputs(48)
    moved = network(forcing, static + 1, teacher) - network(forcing, static, teacher)
    assert moved.abs().max() > 0.1


def test_cells_may_be_a_part_of_the_map_in_any_order() -> None:
    order = torch.tensor([17, 3, 40, 4, 30])
    network = loud(GRU.build(shape(cells=order)))
    forcing, static, teacher = inputs(5)
    answer = network(forcing, static, teacher)
    turned = torch.tensor([4, 2, 0, 1, 3])
    other = loud(GRU.build(shape(cells=order[turned])))
    torch.testing.assert_close(
        other(forcing[..., turned], static[..., turned], teacher), answer[..., turned]
    )
    with pytest.raises(ValueError, match="maps of all 5 cells, but got 48"):
        network(*inputs(48))


@pytest.mark.parametrize("grid", [(1, 1), (2, 3), (5, 7), (9, 18), (6, 13)])
def test_any_size_of_the_map_is_answered(grid: tuple[int, int]) -> None:
    cells = grid[0] * grid[1]
    answer = loud(GRU.build(shape(grid)))(*inputs(cells))
    assert answer.shape == (SAMPLES, MONTHS, OUTPUTS, cells)
    assert answer.isfinite().all()


def test_samples_do_not_talk_to_each_other() -> None:
    network = loud(GRU.build(shape()))
    forcing, static, teacher = inputs(48)
    both = network(forcing, static, teacher)
    second = network(forcing[1:], static[1:], teacher[1:])
    torch.testing.assert_close(second[0], both[1])


def test_bfloat16_answers_almost_the_same(settings: SinknetSettings) -> None:
    torch.manual_seed(0)
    network = settings.build(shape()).eval()
    nn.init.normal_(network.leave.weight, std=0.3)
    exact = network(*inputs(48))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(*inputs(48))
    assert rounded.isfinite().all()
    # Eight bits of a number, a few layers deep: some percent of the spread.
    error = (rounded.float() - exact).square().mean().sqrt() / exact.std()
    assert 0 < error < 0.03


def test_weights_load_without_code(tmp_path: Path) -> None:
    network = loud(GRU.build(shape()))
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    other = GRU.build(shape()).eval()
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(other(*inputs(48)), network(*inputs(48)))


def test_wider_kernels_see_farther() -> None:
    def reach(kernel: int) -> int:
        settings = replace(GRU, map_widths=[6], map_kernel=kernel)
        network = loud(settings.build(shape((1, 16))))
        forcing, static, teacher = inputs(16)
        changed = forcing.clone()
        changed[..., 8] += 1.0
        moved = network(changed, static, teacher) - network(forcing, static, teacher)
        return int((moved.abs().amax(dim=(0, 1, 2)) > 1e-6).sum())

    assert [reach(3), reach(5), reach(7)] == [3, 5, 7]


def test_learns_what_flows_in_from_the_neighbour() -> None:
    # The flux is last month's forcing of the cell to the west: cells that do not
    # talk to each other cannot know it, forcing being independent noise.
    def error(settings: ModelSettings) -> float:
        torch.manual_seed(0)
        network = settings.build(shape((4, 8), outputs=1))
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
        static, teacher = torch.zeros(8, STATICS, 32), torch.zeros(8, dtype=torch.int64)
        losses = []
        for _ in range(150):
            forcing = torch.randn(8, 3 + MONTHS, INPUTS, 32)
            last = forcing[:, 2:-1, :1].unflatten(-1, (4, 8))
            loss = functional.mse_loss(
                network(forcing, static, teacher), last.roll(1, dims=-1).flatten(-2)
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        return sum(losses[-10:]) / 10

    assert error(RecurrentSettings(memory=3, width=16)) > 0.9
    small = SinknetSettings(memory=3, width=16, map_widths=[16, 16], map_kernel=3)
    assert error(small) < 0.3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"map_widths": []}, r"model.map_widths is \[\], but must be one positive"),
        ({"map_widths": [8, 0]}, r"model.map_widths is \[8, 0\]"),
        ({"map_kernel": 1}, "model.map_kernel is 1, but must be an odd number"),
        ({"map_kernel": 4}, "model.map_kernel is 4, but must be an odd number"),
        ({"width": 0}, "model.width is 0"),
        ({"encoder": "tcn", "memory": 12}, "reach 32 months back"),
        ({"widths": [8]}, "'sinknet' has no setting widths. It has: .*map_widths"),
    ],
)
def test_bad_settings_say_what_is_wrong(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        model_from_dict({"name": "sinknet", **values})
