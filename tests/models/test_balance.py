"""Carbon that closes and carbon that comes back, on numbers derived by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from torch import Tensor, nn

from emulator.carbon.errors import SettingsError
from emulator.learning.references import needed_channels
from emulator.models import NetworkShape, RecurrentSettings, build_network
from emulator.models.balance import (
    HUMUS,
    WOOD,
    Balance,
    Pools,
    Soils,
    by_year,
    over_year,
    stocks,
)

CELLS, FLUXES = 6, ["nbp", "gpp", "rh"]
FEATURES = 2
POOLS: dict[str, Any] = {"pools": [2.0, 20.0], "start_year": 1951}
SOILS: dict[str, Any] = {
    "fluxes": FLUXES,
    "closure": True,
    "pools": [30.0, 3.0, 33.0],
    "start_year": 1951,
}


def shape(asked: RecurrentSettings, inputs: int = 4) -> NetworkShape:
    outputs = max(len(asked.fluxes), 1)
    statics = FEATURES + needed_channels(asked, outputs)
    return NetworkShape(inputs, statics, outputs, 1, torch.arange(CELLS), (2, 3))


def balance(**values: Any) -> Balance:
    torch.manual_seed(0)
    asked = RecurrentSettings(memory=2, width=8, **values)
    network = build_network(asked, shape(asked))
    assert isinstance(network, Balance)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.2 * torch.randn(weight.shape))
    return network.eval()


def inputs(network: Balance, months: int = 24) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    static = torch.randn(1, network.places, CELLS, generator=generator)
    # Units of nbp, gpp and rh over that of nbp; rh is 3 in the mean, more in summer.
    units = torch.tensor([1.0, 4.0, 2.0])[: network.needs[2]]
    season = (3 + torch.arange(12.0) - 5.5)[: network.needs[3]] / 3
    speed = torch.zeros(network.needs[0])
    needed = torch.cat([speed, torch.zeros(1), units, season])
    static = torch.cat([static, needed[None, :, None].expand(1, -1, CELLS)], dim=1)
    forcing = torch.randn(1, 2 + months, 4, CELLS, generator=generator)
    return forcing, static, torch.tensor([0])


def places(network: Balance, static: Tensor) -> Tensor:
    """Leave out what only the balance needs."""
    return static[:, : network.places]


@settings(deadline=None)  # the first call wakes torch up
@given(
    st.floats(-10, 10),
    hnp.arrays(np.float64, (2, 40), elements=st.floats(0, 1)),
)
def test_stocks_follow_the_recurrence_and_lose_no_carbon(
    first: float, values: NDArray[np.float64]
) -> None:
    added, kept = torch.from_numpy(values)[:, None]
    wanted = [first]
    for more, left in zip(added[0, :-1].tolist(), kept[0, :-1].tolist(), strict=True):
        wanted.append(left * wanted[-1] + more)
    start = torch.tensor([first], dtype=torch.float64)
    found = stocks(start, added, kept)
    torch.testing.assert_close(
        found[0], torch.tensor(wanted, dtype=torch.float64), rtol=1e-9, atol=1e-9
    )
    # What was there and came in is there at the end, or has left.
    left = (found * (1 - kept))[:, :-1].sum()
    kept_in = start + added[:, :-1].sum()
    torch.testing.assert_close(found[:, -1] + left, kept_in, rtol=1e-9, atol=1e-9)


def one_pool(years: float, **more: str) -> Pools:
    settings = RecurrentSettings(pools=[years], start_year=1951, **more)
    pools = Pools(settings, shape(settings))
    pools.requires_grad_(False)
    # Nothing is learned: empty at first, and at sea half of the uptake stays for good.
    nn.init.zeros_(pools.leave.weight)
    nn.init.zeros_(pools.leave.bias)
    return pools


def still(mean: float = 0.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the reference's mean, CO2, static fields and the teacher."""
    static = torch.zeros(1, FEATURES + 2, CELLS)
    teacher = torch.tensor([0])
    return torch.full((1, 1, CELLS), mean), torch.zeros(1, CELLS), static, teacher


def test_a_pool_gives_back_a_steady_uptake_in_the_end() -> None:
    net = torch.ones(1, 12 * 200, CELLS)
    given_back = one_pool(10.0)(net, *still())
    # The stock follows tau * (1 - exp(-t / tau)), what leaves is stock / tau: nothing
    # at first, 1 - 1/e = 0.632 after ten years, 1 in the end. Monthly steps give
    # 1 / 12 / tau / (1 - exp(-1 / 12 / tau)) = 1 + 1 / 240 times as much.
    months = 1 + 1 / 240
    assert given_back[0, 0, 0] == 0
    wanted = (1 - math.exp(-1)) * months
    assert float(given_back[0, 120, 0]) == pytest.approx(wanted, rel=1e-4)
    assert float(given_back[0, -1, 0]) == pytest.approx(months, rel=1e-4)


def test_what_went_in_comes_back() -> None:
    net = torch.zeros(1, 12 * 100, CELLS)
    net[:, :12] = 1.0  # one unit of carbon in the first year
    total = one_pool(5.0)(net, *still()).sum(dim=1) / 12
    # The unit, but for the 1 / 120 by which monthly steps are too large.
    assert float(total[0, 0]) == pytest.approx(1 + 1 / 120, rel=1e-4)


def test_pools_filled_by_the_year_hold_nothing_of_the_running_one() -> None:
    # Two units in the first year, none in the second, one in a third cut at six months.
    net = torch.zeros(1, 30, CELLS)
    net[:, :12], net[:, 24:] = 2.0, 2.0
    given_back = one_pool(10.0, pools_fill="year")(net, *still())[0, :, 0]
    assert (given_back[:12] == 0).all()
    # From the third year on: 2 units, a tenth of them a year, decayed for 0, 1, ...
    # months; the cut year has not come in.
    wanted = 2 / 10 * torch.exp(-torch.arange(18) / 12 / 10)
    torch.testing.assert_close(given_back[12:], wanted)


@settings(deadline=None)
@given(hnp.arrays(np.float64, (40, 2), elements=st.floats(-10, 10)))
def test_a_year_is_gathered_whole(taken: NDArray[np.float64]) -> None:
    gathered = by_year(torch.from_numpy(taken)[None])[0].numpy()
    assert gathered.shape == taken.shape
    np.testing.assert_allclose(gathered.sum(axis=0), taken[:36].sum(axis=0), atol=1e-9)
    assert set(np.flatnonzero(gathered.any(axis=1))) <= {11, 23, 35}


def test_a_steady_reference_is_no_sink_in_the_end() -> None:
    # The reference takes up 0.7 in each cell and nothing else ever happens.
    given_back = one_pool(10.0)(torch.zeros(1, 2400, CELLS), *still(mean=0.7))
    assert float(0.7 - given_back[0, -1, 0]) == pytest.approx(0, abs=0.7 / 200)


def test_at_sea_a_share_stays_and_a_flux_goes_on() -> None:
    pools = one_pool(10.0, steady_flux="free")
    pools.leave.bias[-1] = 0.2
    given_back = pools(torch.ones(1, 2400, CELLS), *still())
    assert float(given_back[0, 0, 0]) == pytest.approx(0.2)
    assert float(given_back[0, -1, 0]) == pytest.approx(0.5 + 0.2, rel=0.01)


def respired(
    net: Tensor,
    decay: Tensor,
    season: float = 3.0,
    fill: str = "month",
    speed: float = 0.0,
    frailty: float = 0.0,
) -> Tensor:
    """Return what soils respire in which nothing is learned; (month,), one cell."""
    settings = RecurrentSettings(**SOILS, pools_fill=fill)
    soils = Soils(settings, replace(shape(settings), statics=FEATURES))
    soils.requires_grad_(False)
    nn.init.zeros_(soils.leave.weight)
    nn.init.zeros_(soils.leave.bias)
    nn.init.constant_(soils.frailty, frailty)
    usual = torch.full((1, 12, 1), season)
    static, air = torch.zeros(1, FEATURES, 1), torch.zeros(1, 1)
    found = soils(
        net[None, :, None],
        decay[None, :, None],
        torch.full((1, 1, 1), speed),
        usual,
        air,
        static,
        torch.tensor([0]),
    )
    return season + found[0, :, 0]


CENTURIES = 12 * 400
LITTER_KEPT = math.exp(-1 / 36)  # of a month, with a turnover of three years
SOIL_KEPT = math.exp(-1 / (12 * 33))


def faster(factor: float) -> float:
    """Return by how much rh jumps if decay goes ``factor`` times as fast.

    Litter respires 1 - HUMUS of what decays, soil what litter gave it.
    """
    litter = (1 - LITTER_KEPT**factor) / (1 - LITTER_KEPT)
    soil = (1 - SOIL_KEPT**factor) / (1 - SOIL_KEPT)
    return (1 - HUMUS) * litter + HUMUS * soil


def test_soils_in_balance_respire_what_comes_in() -> None:
    zero = torch.zeros(120)
    torch.testing.assert_close(respired(zero, zero), torch.full((120,), 3.0))


def test_a_steady_uptake_is_respired_in_the_end() -> None:
    more = torch.ones(CENTURIES)
    found = respired(more, torch.zeros(CENTURIES))
    # What is not wood is litter in the next month: its share that decays and does
    # not become soil is respired then.
    first = (1 - WOOD) * (1 - LITTER_KEPT) * (1 - HUMUS)
    assert float(found[0]) == pytest.approx(3.0, rel=1e-5)
    assert float(found[1] - 3) == pytest.approx(first, rel=1e-3)
    assert float(found[-1]) == pytest.approx(4.0, rel=1e-4)


def test_a_warming_burns_what_there_is_and_ends() -> None:
    warm = torch.full((CENTURIES,), 3.0)  # decay twice as fast as the reference's
    found = respired(torch.zeros(CENTURIES), warm)
    assert float(found[0]) == pytest.approx(3 * faster(2), rel=1e-5)
    assert float(found[-1]) == pytest.approx(3.0, rel=1e-4)
    # All that is lost is what stocks were too large by, about half of each.
    litter, soil = 3 / 12 / (1 - LITTER_KEPT), 3 / 12 * HUMUS / (1 - SOIL_KEPT)
    lost = litter * (1 - 1 / (1 + LITTER_KEPT)) + soil * (1 - 1 / (1 + SOIL_KEPT))
    assert float((found - 3).sum() / 12) == pytest.approx(lost, rel=1e-3)


def test_a_warming_burns_more_where_more_grew() -> None:
    decay = torch.zeros(CENTURIES + 1)
    decay[-1] = 3.0
    found = respired(torch.full((CENTURIES + 1,), 3.0), decay)
    assert float(found[-2]) == pytest.approx(6.0, rel=1e-4)
    assert float(found[-1]) == pytest.approx(6 * faster(2), rel=1e-4)


def test_litter_that_falls_by_the_year_comes_in_january() -> None:
    more = torch.zeros(24)
    more[:12] = 1.0
    zero = torch.zeros(24)
    change = respired(more, zero, fill="year") - respired(zero, zero, fill="year")
    assert (change[:12] == 0).all()
    # One unit came in, and wood has hardly begun to die.
    january = (1 - WOOD) * (1 - LITTER_KEPT) * (1 - HUMUS)
    assert float(change[12]) == pytest.approx(12 * january, rel=0.02)


WOOD_KEPT = math.exp(-1 / (12 * 30))


def test_a_year_without_growth_kills_trees() -> None:
    net, zero = torch.zeros(480), torch.zeros(480)
    net[11] = -18.0  # of the twelve months' usual 3 * 12, half
    # With this exponent half the growth is twice the deaths.
    found = respired(net, zero, frailty=2 * math.log(2)) - respired(net, zero)
    assert (found[:12] == 0).all()
    wood = WOOD * 3 / 12 / (1 - WOOD_KEPT)
    died = wood * (WOOD_KEPT - WOOD_KEPT**2)
    first = 12 * died * (1 - LITTER_KEPT) * (1 - HUMUS)
    assert float(found[12]) == pytest.approx(first, rel=1e-3)
    assert (found[12:36] > 0).all()


def test_trees_are_in_balance_where_growth_is_the_usual() -> None:
    zero = torch.zeros(480)
    found = respired(zero, zero, frailty=3.0)
    torch.testing.assert_close(found, torch.full((480,), 3.0))


def test_what_a_year_took_up_is_known_after_twelve_months() -> None:
    months = torch.arange(1.0, 25)[None, :, None]
    found = over_year(months)[0, :, 0]
    assert found[11] == 78  # 1 + 2 + ... + 12
    assert found[23] == 222  # 13 + 14 + ... + 24
    torch.testing.assert_close(over_year(months[:, :5])[0, :, 0], found[:5])


def test_in_a_warm_climate_litter_and_soil_give_back_sooner() -> None:
    net, zero = torch.zeros(240), torch.zeros(240)
    net[0] = 12.0  # one unit, of which 1 - WOOD is litter in the second month
    found = respired(net, zero, speed=math.log(3)) - respired(zero, zero)
    kept = LITTER_KEPT**3
    first = 12 * (1 - WOOD) * (1 - kept) * (1 - HUMUS)
    assert float(found[1]) == pytest.approx(first, rel=1e-3)


def test_without_known_respiration_decay_is_steady() -> None:
    decay = torch.randn(120, generator=torch.Generator().manual_seed(0))
    found = respired(torch.ones(120), decay, season=0.0)
    torch.testing.assert_close(found, respired(torch.ones(120), 0 * decay, season=0.0))
    assert (found > 0).all()


def test_components_add_up_to_the_net_flux_and_a_residual() -> None:
    network = balance(fluxes=FLUXES, closure=True)
    forcing, static, teacher = inputs(network)
    answer = network(forcing, static, teacher)
    residual = network.network(forcing, places(network, static), teacher)[:, :, 0]
    # In units of nbp: nbp = 4 gpp - 2 rh + residual.
    wanted = 4 * answer[:, :, 1] - 2 * answer[:, :, 2] + residual
    torch.testing.assert_close(answer[:, :, 0], wanted)


def test_closure_holds_in_bf16_too() -> None:
    network = balance(**SOILS)
    forcing, static, teacher = inputs(network, 240)
    place = places(network, static)
    with torch.autocast("cpu", torch.bfloat16):
        answer = network(forcing, static, teacher)
        inside = network.network(forcing[:, :, :-1], place, teacher).float()
    residual = inside[:, :, 0]  # CO2 does not act on it
    wanted = 4 * answer[:, :, 1] - 2 * answer[:, :, 2] + residual
    # The soils' carbon leaves through rh, so closure knows of it.
    torch.testing.assert_close(answer[:, :, 0], wanted, rtol=1e-5, atol=1e-5)


def test_pools_alone_change_the_only_flux() -> None:
    network = balance(fluxes=["fgco2"], **POOLS)
    forcing, static, teacher = inputs(network)
    answer = network(forcing, static, teacher)
    assert answer.shape == (1, 24, 1, CELLS)
    place = places(network, static)
    level, slope = network.network(forcing[:, :, :-1], place, teacher).chunk(2, 2)
    net = level + slope * forcing[:, 2:, None, -1]
    assert network.pools is not None
    given_back = network.pools(
        net[:, :, 0], static[:, -2:-1], forcing[:, 2, -1], place, teacher
    )
    torch.testing.assert_close(answer[:, :, 0], net[:, :, 0] - given_back)


def test_co2_acts_in_a_line() -> None:
    network = balance(fluxes=["fgco2"], **POOLS)
    forcing, static, teacher = inputs(network)
    more = forcing.clone()
    more[:, :, -1] += 1
    # All it does is to change the slope's part, pools included: twice that, twice it.
    most = forcing.clone()
    most[:, :, -1] += 2
    answers = [network(f, static, teacher) for f in (forcing, more, most)]
    assert (answers[1] != answers[0]).any()
    torch.testing.assert_close(answers[2] - answers[1], answers[1] - answers[0])


def test_co2_reaches_respiration_through_soils_only() -> None:
    network = balance(**SOILS)
    forcing, static, teacher = inputs(network)
    more = forcing.clone()
    more[:, 12, -1] += 1  # in the eleventh of the months after the memory of two
    change = network(more, static, teacher) - network(forcing, static, teacher)
    nbp, gpp, rh = change[0].unbind(dim=1)
    assert (gpp[10] != 0).all()
    assert (gpp[11:] == 0).all()
    # nothing before, nothing in that month, and in every month after it in which
    # something decays
    torch.testing.assert_close(rh[:11], torch.zeros(11, CELLS))
    assert (rh[11:].abs().amax(dim=0) > 0).all()
    # unit of gpp 4, of rh 2, over that of nbp: no change of the residual
    torch.testing.assert_close(nbp, 4 * gpp - 2 * rh, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"closure": True}, "model.fluxes is [], but must be the net flux"),
        ({"closure": True, "fluxes": ["nbp", "lai"]}, "then some of gpp, ra, rh"),
        ({"pools": [0.0], "start_year": 1951}, "model.pools is 0.0, but must be posit"),
        ({"steady_flux": "none"}, "model.steady_flux is 'none', but must be one of"),
        ({"pools_fill": "day"}, "model.pools_fill is 'day', but must be one of"),
        ({"pools": [2.0]}, "model.start_year is None, but must be the year"),
        ({"start_year": 1951}, "model.start_year is 1951, but must be"),
        ({"fluxes": ["nbp", "rh"], **POOLS}, "components with rh and model.closure"),
        ({**SOILS, "pools": [2.0, 20.0]}, "the turnover times of wood, litter and soi"),
        ({**SOILS, "label_climatology": "co2"}, "model.pools tell what CO2 does"),
        (
            {"fluxes": ["nbp", "gpp"], "closure": True, **POOLS},
            "components with rh and model.closure",
        ),
    ],
)
def test_contradictions_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("[", r"\[")):
        RecurrentSettings(**values)
