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
from emulator.models.base import ModelSettings, NetworkShape
from emulator.models.conditioning import Context, quiet_linear

MONTHS_PER_YEAR = 12

LARGEST_CHANGE = 2.0
"""Of the logarithm of a pool's turnover time: a cell's may be e^2 = 7.4 times longer or
shorter than the first guess."""

GROWTH = 0.014
"""First guess of how fast uptake by CO2 grew before the start, per year: CO2 above 280
ppm doubled from 1900 (296 ppm) to 1950 (312 ppm), ln 2 / 50."""


class Balance(nn.Module):
    """A network whose fluxes close, and whose pools remember from ``start_year`` on.

    Args:
        settings: With ``closure``, ``pools`` or both.
        shape: As the data give it. The last static channels are preindustrial CO2 as
            it is told, then the annual mean of the first flux's reference and the unit
            of each flux, both in the unit of the first.

    With pools the network inside does not see CO2. Each of its fluxes is a + b * CO2
    instead, where a and b answer to weather and place: beyond the CO2 of training it
    goes on as it was.
    """

    def __init__(self, settings: ModelSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.memory = settings.memory
        self.closes = settings.closure
        self.fluxes = shape.outputs
        inner = shape
        if settings.pools:
            inner = replace(shape, inputs=shape.inputs - 1, outputs=2 * shape.outputs)
        self.network = settings.build(inner)
        self.pools = Pools(settings, shape) if settings.pools else None
        names = settings.fluxes if self.closes else []
        signs = [COMPONENT_SIGNS[name] for name in names[1:]]
        self.register_buffer("signs", torch.tensor(signs), persistent=False)
        # Respiration is where old carbon leaves; alone, the net flux is all there is.
        self.release = names.index("rh") if "rh" in names else 0

    signs: Tensor

    def forward(self, forcing: Tensor, static: Tensor, teacher: Tensor) -> Tensor:
        """Answer each month after the memory; shapes as in ``models.base``."""
        if self.pools is None:
            answer = self.network(forcing, static, teacher).float()
            return self._closed(answer, static)
        air = forcing[:, self.memory :, -1]
        answer = self.network(forcing[:, :, :-1], static, teacher).float()
        level, slope = answer.chunk(2, dim=2)
        answer = self._closed(level + slope * air[:, :, None], static)
        # These two stand before the units of all fluxes.
        preindustrial, mean = static[:, -self.fluxes - 2 : -self.fluxes].unbind(dim=1)
        given = self.pools(
            answer[:, :, 0], air[:, 0] - preindustrial, mean, static, teacher
        )
        changes = [torch.zeros_like(given)] * self.fluxes
        changes[0] = -given
        if self.release:
            changes[self.release] = given / static[:, None, self.release - self.fluxes]
        return answer + torch.stack(changes, dim=2)

    def _closed(self, answer: Tensor, static: Tensor) -> Tensor:
        """Add the components to the residual, which becomes the net flux."""
        if not self.closes:
            return answer
        units = static[:, None, 1 - self.fluxes :]
        parts = (answer[:, :, 1:] * units * self.signs[:, None]).sum(dim=2)
        return torch.cat([answer[:, :, :1] + parts[:, :, None], answer[:, :, 1:]], 2)


class Pools(nn.Module):
    """Carbon that a cell took up, and how it leaves again.

    Each pool takes a share of what a cell takes up and loses at its own rate,

        D[t + 1] = exp(-k / 12) * D[t] + share * (u[t] + m) / 12,

    and the cell gives back the sum of k * D: linear pools in parallel. Shares, which
    add up to 1, and rates are functions of teacher and place. At the start each holds
    what a steady uptake e and one of s * CO2, which grew at a rate g, have left there,
    share * (e / k + s * (CO2 - preindustrial) / (k + g)), with e and s again of
    teacher and place.

    With a steady u all comes back in the end, and what is left is the flux -m: with m
    the reference's mean that is no flux at all, as in vegetation and soil; a cell of
    the sea, where currents bring carbon, keeps what it has learned. With
    ``leaf_years`` carbon lives in leaves and roots before it enters the pools, which
    so do not follow the seasons.

    Source: the linear pools of land and ocean models, for instance Joos et al. (1996),
        Tellus 48B, 397-417, section 2; here fitted, not derived.
    """

    def __init__(self, settings: ModelSettings, shape: NetworkShape) -> None:
        """Make the layers, with weights from the global generator."""
        super().__init__()
        self.count = len(settings.pools)
        self.returns_all = settings.steady_flux == "zero"
        width = 32  # A few numbers of a place: more only learns its noise.
        self.context = Context(shape.teachers, settings.embedding, shape.statics, width)
        self.leave = quiet_linear(width, 2 * self.count + 3)
        self.rates = nn.Parameter(-torch.tensor(settings.pools).log())
        self.growth = nn.Parameter(torch.tensor(GROWTH).log())
        self.leaf_rate = (
            nn.Parameter(-torch.tensor(settings.leaf_years).log())
            if settings.leaf_years
            else None
        )

    def forward(
        self, net: Tensor, rise: Tensor, mean: Tensor, static: Tensor, teacher: Tensor
    ) -> Tensor:
        """Return what the pools give back.

        Args:
            net: What is taken up, by the month; (sample, months, cell).
            rise: CO2 at the start less preindustrial, standardised; (sample, cell).
            mean: Of the reference of ``net``; (sample, cell).
            static: (sample, static, cell).
            teacher: (sample,).

        Returns:
            In the unit of ``net``; same shape.
        """
        place = self.leave(self.context(static, teacher)).float()
        change, share, steady, by_air, flux = place.split(
            [self.count, self.count, 1, 1, 1], dim=-1
        )
        if not self.returns_all:
            mean = flux[..., 0]
        rate = (self.rates + change.clamp(-LARGEST_CHANGE, LARGEST_CHANGE)).exp()
        share = share.softmax(dim=-1)
        grown = by_air * rise[..., None] / (rate + self.growth.exp())
        first = share * (steady / rate + grown)
        taken = (net + mean[:, None])[..., None]
        if self.leaf_rate is not None:
            taken = passed_on(taken, self.leaf_rate.exp())
        taken = share[:, None] * taken / MONTHS_PER_YEAR
        stocks = running(
            torch.cat([first[:, None], taken[:, :-1]], dim=1),
            (-rate / MONTHS_PER_YEAR).exp()[:, None],
        )
        back: Tensor = (stocks * rate[:, None]).sum(dim=-1)
        return back


def passed_on(taken: Tensor, rate: Tensor) -> Tensor:
    """Return what one pool, full at the start, hands on of what it takes.

    Args:
        taken: (sample, months, ...).
        rate: Share lost in a year; ().
    """
    # In balance with the mean of its first year, which weather alone does not move far.
    start = taken[:, :MONTHS_PER_YEAR].mean(dim=1, keepdim=True)
    kept = (-rate / MONTHS_PER_YEAR).exp()
    entered = torch.cat([start, (1 - kept) * taken[:, :-1]], dim=1)
    return running(entered, kept.expand_as(start))


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
