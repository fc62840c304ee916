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

SMALLEST_UNIT = 1e-6
"""Of a component beside the net flux; real ones are 0.1 to 10."""


class Balance(nn.Module):
    """A network whose fluxes close, and whose pools remember from ``start_year`` on.

    Args:
        settings: With ``closure``, ``pools`` or both.
        shape: As the data give it. The last static channels are the annual mean of the
            first flux's reference, then the unit of each flux, all in the unit of the
            first; 0 for what a teacher does not have.

    With pools the network inside does not see CO2. Each of its fluxes is a + b * CO2
    instead, where a and b answer to weather and place: beyond the CO2 of training it
    goes on as it was. Where rh is among the fluxes, b is 0 for it and for the residual:
    what CO2 does to them goes through the pools.
    """

    signs: Tensor
    sees_co2: Tensor

    def __init__(self, settings: ModelSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.memory = settings.memory
        self.closes = settings.closure
        self.fluxes = shape.outputs
        # What a balance needs of a cell is no feature: it has no common scale.
        self.places = shape.statics - 1 - shape.outputs
        inner = replace(shape, statics=self.places)
        self.pools = None
        if settings.pools:
            self.pools = Pools(settings, inner)
            inner = replace(inner, inputs=shape.inputs - 1, outputs=2 * shape.outputs)
        self.network = settings.build(inner)
        names = settings.fluxes if self.closes else []
        signs = [COMPONENT_SIGNS[name] for name in names[1:]]
        self.register_buffer("signs", torch.tensor(signs), persistent=False)
        # Respiration is where old carbon leaves; alone, the net flux is all there is.
        self.release = names.index("rh") if "rh" in names else 0
        # Soils know CO2 by what plants gave them. Answered directly, rh took the quick
        # part of what pools hold, and the pools learned to be too slow.
        sees_co2 = torch.ones(self.fluxes, 1)
        if self.release:
            sees_co2[[0, self.release]] = 0.0
        self.register_buffer("sees_co2", sees_co2, persistent=False)

    def forward(self, forcing: Tensor, static: Tensor, teacher: Tensor) -> Tensor:
        """Answer each month after the memory; shapes as in ``models.base``."""
        mean, units = static[:, self.places, None], static[:, self.places + 1 :]
        inside, place = self.seen(forcing, static)
        answer = self.network(inside, place, teacher).float()
        if self.pools is None:
            return self._closed(answer, units)
        air = forcing[:, self.memory :, -1]
        level, slope = answer.chunk(2, dim=2)
        answer = level + self.sees_co2 * slope * air[:, :, None]
        answer = self._closed(answer, units)
        given = self.pools(answer[:, :, 0], mean, air[:, 0], place, teacher)
        changes = [torch.zeros_like(given)] * self.fluxes
        changes[0] = -given
        if self.release:
            unit = units[:, self.release, None]
            # A teacher without the flux has no unit of it, and no labels either.
            changes[self.release] = torch.where(
                unit > 0, given / unit.clamp_min(SMALLEST_UNIT), 0.0
            )
        return answer + torch.stack(changes, dim=2)

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
        stocks = running(
            torch.cat([first[:, None], taken[:, :-1]], dim=1),
            (-rate / MONTHS_PER_YEAR).exp()[:, None],
        )
        back: Tensor = (stocks * rate[:, None]).sum(dim=-1)
        return back + place[:, None, :, -1] if self.is_free else back


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


def running(added: Tensor, kept: Tensor) -> Tensor:
    """Return D with D[t] = kept * D[t - 1] + added[t], from D[-1] = 0.

    Args:
        added: (sample, time, ...).
        kept: What is left of the step before, constant in time; (sample, 1, ...).

    Returns:
        Shape of ``added``; in log2(time) steps instead of one after the other, since
        after each the sum reaches back twice as far.
    """
    total = added
    for reach in range(math.ceil(math.log2(max(added.shape[1], 1)))):
        step = 2**reach
        before = torch.cat([torch.zeros_like(total[:, :step]), total[:, :-step]], dim=1)
        total = total + kept * before
        kept = kept.square()
    return total
