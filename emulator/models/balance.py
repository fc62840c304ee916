"""What a network answers as a balance of carbon: components add up, pools give back.

Written around any network. With ``model.closure`` the first flux is the sum of the
others plus a residual; with ``model.pools`` carbon that was taken up earlier leaves
again, however long ago: a sink lasts only while uptake rises, and a warming that burns
soil carbon ends when the soil is poorer. A network that sees three years cannot know
that, and learns it wrongly from the few decades that labels span.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from emulator.carbon.closure import COMPONENT_SIGNS
from emulator.carbon.timeaxis import MONTHS_PER_YEAR
from emulator.models.base import ModelSettings, NetworkShape
from emulator.models.conditioning import Context, quiet_linear

LARGEST_CHANGE = 2.0
"""Of the logarithm of a pool's turnover time: a cell's may be e^2 = 7.4 times longer or
shorter than the first guess."""

FIRST_STOCK = 3.0
"""Unit of the stocks at the start: three years of a cell's typical anomaly, the order
of what pools of ten years hold; with it weights near zero are a fair first guess."""

FIRST_DISTANCE = 1.0
"""Largest logarithm of a soil's stock at the start over the stock in balance: models
begin near their balance, which the references of later decades are not far from."""

LEAST_RESPIRATION = 0.05
"""Mean respiration that soils can be scaled by, in units of the net flux's anomalies:
below it lie deserts and ice, where a factor has no meaning."""

LARGEST_FACTOR = 10.0
"""By which a month's weather may speed decay up over the annual mean."""

SMALLEST_UNIT = 1e-6
"""Of a component beside the net flux; real ones are 0.1 to 10."""

WOOD, HUMUS = 0.4, 0.3
"""First guesses of the share of what is taken up that becomes wood, and of the share of
decayed litter that stays in the soil: 0.3 in LPJ (Sitch et al., 2003, Global Change
Biology 9, 161-185, section 2.2.6), 0.3 to 0.55 in its relatives."""


FRAILTY = 1.0
"""First guess of how much faster wood dies when less grows, as an exponent: in LPJ the
mortality of trees is the inverse of 1 + k times growth efficiency (Sitch et al., 2003,
section on mortality), so about -1 where growth is what matters."""


class Balance(nn.Module):
    """A network whose fluxes close, and whose pools remember from ``start_year`` on.

    Args:
        settings: With ``closure``, ``pools`` or both.
        shape: As the data give it. The last static channels are with soils the
            logarithm of the speed of decay in a cell's climate, then the annual mean of
            the first flux's reference, then the unit of each flux, then with soils the
            reference of rh in each calendar month; fluxes in the unit of the first, 0
            for what a teacher does not have.

    With pools the network inside does not see CO2. Each of its fluxes is a + b * CO2
    instead, where a and b answer to weather and place: beyond the CO2 of training it
    goes on as it was. Where rh is among the fluxes, b is 0 for it and for the residual:
    what CO2 does to them goes through the soils. There a is what the month's weather
    does to decay, and rh is that times what there is to decay (``Soils``).
    """

    signs: Tensor
    sees_co2: Tensor

    def __init__(self, settings: ModelSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.memory = settings.memory
        self.closes = settings.closure
        # What a balance needs of a cell is no feature: it has no common scale.
        soils = settings.has_soils
        self.needs = [int(soils), 1, shape.outputs, MONTHS_PER_YEAR * soils]
        self.places = shape.statics - sum(self.needs)
        inner = replace(shape, statics=self.places)
        self.pools: Pools | Soils | None = None
        if settings.pools:
            self.pools = (Soils if settings.has_soils else Pools)(settings, inner)
            inner = replace(inner, inputs=shape.inputs - 1, outputs=2 * shape.outputs)
        self.network = settings.build(inner)
        names = settings.fluxes if self.closes else []
        signs = [COMPONENT_SIGNS[name] for name in names[1:]]
        self.register_buffer("signs", torch.tensor(signs), persistent=False)
        # Soils know CO2 by what plants gave them. Answered directly, rh took the quick
        # part of what pools hold, and the pools learned to be too slow.
        sees_co2 = torch.ones(shape.outputs, 1)
        if settings.has_soils:
            self.release = names.index("rh")
            sees_co2[[0, self.release]] = 0.0
        self.register_buffer("sees_co2", sees_co2, persistent=False)

    def forward(self, forcing: Tensor, static: Tensor, teacher: Tensor) -> Tensor:
        """Answer each month after the memory; shapes as in ``models.base``."""
        speed, mean, units, season = torch.split(
            static[:, self.places :], self.needs, dim=1
        )
        inside, place = self.seen(forcing, static)
        answer = self.network(inside, place, teacher).float()
        if self.pools is None:
            return self._closed(answer, units)
        air = forcing[:, self.memory :, -1]
        level, slope = answer.chunk(2, dim=2)
        answer = level + self.sees_co2 * slope * air[:, :, None]
        if isinstance(self.pools, Pools):
            given = self.pools(answer[:, :, 0], mean, air[:, 0], place, teacher)
            return _with(answer, 0, answer[:, :, 0] - given)
        unit = units[:, self.release, None]
        decay = answer[:, :, self.release] * unit
        others = self._closed(_with(answer, self.release, 0.0), units)
        respired = self.pools(
            others[:, :, 0] + mean, decay, speed, season, air[:, 0], place, teacher
        )
        # A teacher without the flux has no unit of it, and no labels either.
        own = torch.where(unit > 0, respired / unit.clamp_min(SMALLEST_UNIT), 0.0)
        return _with(_with(others, 0, others[:, :, 0] - respired), self.release, own)

    def seen(self, forcing: Tensor, static: Tensor) -> tuple[Tensor, Tensor]:
        """Return what of forcing and static fields the network inside sees."""
        if self.pools is not None:
            forcing = forcing[:, :, :-1]
        return forcing, static[:, : self.places]

    def _closed(self, answer: Tensor, units: Tensor) -> Tensor:
        """Add the components to the residual, which becomes the net flux."""
        if not self.closes:
            return answer
        signed = (units[:, 1:] * self.signs[:, None])[:, None]
        parts = (answer[:, :, 1:] * signed).sum(dim=2, keepdim=True)
        return torch.cat([answer[:, :, :1] + parts, answer[:, :, 1:]], dim=2)


class Pools(nn.Module):
    """Carbon that a cell took up, and how it leaves again.

    Each pool takes a share of what a cell takes up and loses at its own rate,

        D[t + 1] = exp(-k / 12) * D[t] + share * (u[t] + m) / 12,

    and the cell gives back the sum of k * D: linear pools in parallel. With
    ``pools_fill`` "year" a year's uptake comes at once when it is over. Shares, rates
    and the stocks at the start are functions of teacher and place. In vegetation and
    soil (``steady_flux`` "zero") m is the reference's mean and shares add up to 1: of a
    steady uptake all comes back in the end. At sea ("free") currents bring and take
    carbon: m is 0, a learned flux is given back too, and a last share stays for good.

    Source: the linear pools of land and ocean models, for instance Joos et al. (1996),
        Tellus 48B, 397-417, section 2; here fitted, not derived.
    """

    def __init__(self, settings: ModelSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.count = len(settings.pools)
        self.is_free = settings.steady_flux == "free"
        self.fills_yearly = settings.pools_fill == "year"
        width = 32  # A few numbers of a place: more only learns its noise.
        self.context = Context(shape.teachers, settings.embedding, shape.statics, width)
        self.leave = quiet_linear(width, 4 * self.count + self.is_free)
        self.rates = nn.Parameter(-torch.tensor(settings.pools).log())

    def forward(
        self, net: Tensor, mean: Tensor, air: Tensor, static: Tensor, teacher: Tensor
    ) -> Tensor:
        """Return what the pools give back.

        Args:
            net: What is taken up, by the month; (sample, months, cell).
            mean: Of the reference of ``net``; (sample, 1, cell).
            air: CO2 at the start, standardised; (sample, cell).
            static: (sample, static, cell).
            teacher: (sample,).

        Returns:
            In the unit of ``net``; same shape.
        """
        place = self.leave(self.context(static, teacher)).float()
        change, share, stock, stock_by_air = place[..., : 4 * self.count].chunk(4, -1)
        rate = (self.rates + change.clamp(-LARGEST_CHANGE, LARGEST_CHANGE)).exp()
        first = FIRST_STOCK * (stock + stock_by_air * air[..., None])
        if self.is_free:
            stays = torch.zeros_like(share[..., :1])
            share = torch.cat([share, stays], -1).softmax(-1)[..., : self.count]
        else:
            net = net + mean
            share = share.softmax(-1)
        taken = share[:, None] * net[..., None] / MONTHS_PER_YEAR
        if self.fills_yearly:
            taken = by_year(taken)
        kept = (-rate / MONTHS_PER_YEAR).exp()[:, None].expand_as(taken)
        back: Tensor = (stocks(first, taken, kept) * rate[:, None]).sum(dim=-1)
        return back + place[:, None, :, -1] if self.is_free else back


class Soils(nn.Module):
    """Wood, litter and soil through which carbon passes before it is respired.

    A share of what a cell takes up becomes wood; the rest and dead wood are litter, a
    share of which becomes soil as it decays. Litter and soil decay at their own rates
    times a factor f of the month, which is the network's answer to the weather:

        D[t + 1] = exp(-k * f[t] / 12) * D[t] + what comes in,

    and what leaves litter and soil for the air is rh. So a warm month burns a share of
    what there is: less if there is less, more if CO2 has fed the soils, by one law for
    both. Wood dies at its own rate times exp(-a * g), where g is how much more than
    usual, as a share, the last twelve months took up: years without growth kill trees,
    and their carbon leaves over the years that follow. With ``pools_fill`` "year" a
    year's litter comes at once when it is over. Shares, rates, a and the stocks at the
    start are functions of teacher and place.

    Source: first-order decay with a modifier of temperature and moisture, as in LPJ
        (Sitch et al., 2003, Global Change Biology 9, 161-185, equations 20 to 24) and
        most land models; the numbers are fitted.
    """

    def __init__(self, settings: ModelSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.fills_yearly = settings.pools_fill == "year"
        width = 32  # A few numbers of a place: more only learns its noise.
        self.context = Context(shape.teachers, settings.embedding, shape.statics, width)
        self.leave = quiet_linear(width, 12)
        self.rates = nn.Parameter(-torch.tensor(settings.pools).log())
        self.shares = nn.Parameter(torch.tensor([WOOD, HUMUS]).logit())
        self.frailty = nn.Parameter(torch.tensor(FRAILTY))

    def forward(
        self,
        net: Tensor,
        decay: Tensor,
        speed: Tensor,
        season: Tensor,
        air: Tensor,
        static: Tensor,
        teacher: Tensor,
    ) -> Tensor:
        """Return respiration less its reference.

        Args:
            net: Net flux at the reference's rh, in the unit of all; (sample, months,
                cell). The first month is a January.
            decay: What the weather adds to rh where stocks are in balance; same shape.
            speed: Logarithm of how fast litter and soil decay in a cell's climate, over
                ``model.pools``; (sample, 1, cell).
            season: Reference of rh by calendar month, 0 where the teacher has none;
                (sample, 12, cell).
            air: CO2 at the start, standardised; (sample, cell).
            static: (sample, static, cell).
            teacher: (sample,).

        Returns:
            Shape of ``net``.
        """
        place = self.leave(self.context(static, teacher)).float()
        change, share, stock, stock_by_air, frailty = torch.split(
            place, [3, 2, 3, 3, 1], dim=-1
        )
        change = change.clamp(-LARGEST_CHANGE, LARGEST_CHANGE)
        # What kills wood is a lack of growth, not warmth.
        climate = torch.cat([0 * speed, speed, speed], dim=1).transpose(1, 2)
        rate = (self.rates + climate + change).exp()
        wood_share, humus = (self.shares + share).sigmoid()[:, None].unbind(dim=-1)
        distance = (stock + stock_by_air * air[..., None]).clamp(
            -FIRST_DISTANCE, FIRST_DISTANCE
        )
        month = torch.arange(net.shape[1], device=net.device) % MONTHS_PER_YEAR
        usual = season[:, month]
        mean = season.mean(dim=1).clamp_min(LEAST_RESPIRATION)
        factor = ((usual + decay) / mean[:, None]).clamp(0.0, LARGEST_FACTOR)
        # Where rh is not known all of it is the net flux's, and decay is steady.
        known = season.any(dim=1)[:, None]
        factor = torch.where(known, factor, 1.0)
        kept = (-rate / MONTHS_PER_YEAR).exp()[:, None]
        # Stocks that a steady mean respiration keeps in balance, times e^distance.
        first = mean[..., None] / MONTHS_PER_YEAR * distance.exp() / (1 - kept[:, 0])
        taken = (net + usual) / MONTHS_PER_YEAR

        grown = wood_share * taken
        # In balance as much is taken up as is respired.
        more = torch.where(known, over_year(taken) / mean[:, None] - 1, 0.0)
        more[:, : MONTHS_PER_YEAR - 1] = 0.0
        dying = -(self.frailty + frailty[..., 0])[:, None] * more
        kept_wood = kept[..., 0] ** dying.clamp(-LARGEST_CHANGE, LARGEST_CHANGE).exp()
        wood = stocks(first[..., 0] * wood_share[:, 0], grown, kept_wood)
        fallen = taken - grown + wood * (1 - kept_wood)
        if self.fills_yearly:
            fallen = by_year(fallen)
        kept_litter = kept[..., 1] ** factor
        decayed = stocks(first[..., 1], fallen, kept_litter) * (1 - kept_litter)
        kept_soil = kept[..., 2] ** factor
        soil = stocks(first[..., 2] * humus[:, 0], humus * decayed, kept_soil)
        respired = (1 - humus) * decayed + soil * (1 - kept_soil)
        return MONTHS_PER_YEAR * respired - usual


def _with(fluxes: Tensor, place: int, values: Tensor | float) -> Tensor:
    """Return fluxes (sample, months, flux, cell) with one of them replaced."""
    changed = fluxes.clone()
    changed[:, :, place] = values
    return changed


def by_year(taken: Tensor) -> Tensor:
    """Gather what each year took up in its last month.

    Args:
        taken: Of each month from a January on; (sample, time, ...).

    Returns:
        Same shape; nothing of a year that the time axis cuts short.
    """
    whole = taken.shape[1] // MONTHS_PER_YEAR
    end = whole * MONTHS_PER_YEAR
    gathered = torch.zeros_like(taken)
    years = taken[:, :end].reshape(-1, whole, MONTHS_PER_YEAR, *taken.shape[2:])
    gathered[:, MONTHS_PER_YEAR - 1 : end : MONTHS_PER_YEAR] = years.sum(dim=2)
    return gathered


def over_year(taken: Tensor) -> Tensor:
    """Return what each month and the eleven before it took up, (sample, time, ...)."""
    before = taken.new_zeros(taken.shape[0], MONTHS_PER_YEAR - 1, *taken.shape[2:])
    return torch.cat([before, taken], dim=1).unfold(1, MONTHS_PER_YEAR, 1).sum(dim=-1)


def stocks(first: Tensor, added: Tensor, kept: Tensor) -> Tensor:
    """Return D with D[0] = first and D[t + 1] = kept[t] * D[t] + added[t].

    Args:
        first: (sample, ...).
        added: (sample, time, ...).
        kept: What is left of a stock after each step; shape of ``added``.

    Returns:
        Shape of ``added``; in log2(time) steps instead of one after the other, since
        after each the sum reaches back twice as far.
    """
    total = torch.cat([first[:, None], added[:, :-1]], dim=1)
    kept = torch.cat([torch.zeros_like(kept[:, :1]), kept[:, :-1]], dim=1)
    for reach in range(math.ceil(math.log2(max(total.shape[1], 1)))):
        total = total + kept * _earlier(total, 2**reach)
        kept = kept * _earlier(kept, 2**reach)
    return total


def _earlier(values: Tensor, steps: int) -> Tensor:
    """Return values of some steps before, 0 before the first."""
    return torch.cat([torch.zeros_like(values[:, :steps]), values[:, :-steps]], dim=1)
