"""What is wrong with forcing: random differences as large as between two products.

Two products of one variable differ in ways that last, reach far, and go with those of
other variables. White noise on each cell and month would average out in a network's
memory and in every total; this does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from emulator.carbon.errors import SettingsError
from emulator.carbon.units import EARTH_RADIUS
from emulator.carbon.variables import VARIABLES
from emulator.data.windows import Cube
from emulator.learning.normalise import Normaliser, position, take
from emulator.models.base import require, require_choice

WAVES = 64
"""Waves that a map of errors is the sum of: with far fewer it is no Gaussian field any
more, with more a step takes longer."""


@dataclass
class ForcingErrorSettings:
    """A Gaussian field for each forcing variable.

    Its size is ``spread`` plus ``share`` of the climatology; its correlation in space
    is exp(-distance^2 / (2 scale^2)), in time persistence^months, and between variables
    what ``correlation`` says.

    Attributes:
        spread: Standard deviation of each variable's error, canonical units. Variables
            that a run does not have are left out, so that one table serves all.
        share: The same as share of the cell's mean of the calendar month.
        correlation: Of the errors of two variables, "one other": number; else 0.
        persistence: Correlation of an error with that of the month before.
        scale_km: Length of the correlation in space, km.
    """

    spread: dict[str, float] = field(default_factory=dict)
    share: dict[str, float] = field(default_factory=dict)
    correlation: dict[str, float] = field(default_factory=dict)
    persistence: float = 0.6
    scale_km: float = 900.0

    def __post_init__(self) -> None:
        """Check the values; ``SettingsError`` names the first bad one."""
        name = "learning.consistency.errors"
        for item in ("spread", "share"):
            for variable, value in getattr(self, item).items():
                require_choice(f"a key of {name}.{item}", variable, tuple(VARIABLES))
                require(value >= 0, f"{name}.{item}.{variable}", value, "0 or more")
        for pair, value in self.correlation.items():
            require(
                len(set(pair.split())) == 2,
                f"a key of {name}.correlation",
                pair,
                "two variables with a space between",
            )
            require(-1 < value < 1, f"{name}.correlation.{pair}", value, "in (-1, 1)")
        require(
            0 <= self.persistence < 1,
            f"{name}.persistence",
            self.persistence,
            "in [0, 1)",
        )
        require(self.scale_km > 0, f"{name}.scale_km", self.scale_km, "positive")


@dataclass(frozen=True, eq=False)
class ForcingErrors:
    """Errors of a forcing product, in the units in which a network sees forcing.

    Attributes:
        points: Unit vectors from the centre of the Earth to the cells; (cell, 3).
        size: Standard deviation of each weather channel; (12, channel, cell).
        mixing: Lower root of the correlation of the variables; (variable, variable).
        persistence: Correlation of an error with that of the month before.
        scale: Length of the correlation in space, Earth radii.
    """

    points: Tensor
    size: Tensor
    mixing: Tensor
    persistence: float
    scale: float

    def to(self, device: torch.device | str) -> "ForcingErrors":
        """Return the same on ``device``."""
        return replace(
            self,
            points=self.points.to(device),
            size=self.size.to(device),
            mixing=self.mixing.to(device),
        )

    def draw(
        self, month: Tensor, cells: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Return errors of samples.

        Args:
            month: Calendar months in order, 0 to 11; (sample, time).
            cells: Which cells, (sample, cell); None = all.
            generator: On the device of the tensors.

        Returns:
            Of the weather channels, standardised; (sample, time, channel, cell).
        """
        samples, steps = month.shape
        variables = len(self.mixing)
        points = self.points.expand(samples, -1, -1)
        if cells is not None:
            points = self.points[cells]

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, device=month.device)

        # A sum of waves has the same statistics in every cell of any grid, and its
        # correlation is the transform of how the wave vectors are distributed.
        phase = points @ (normal(samples, 3, WAVES) / self.scale)
        waves = torch.cat([phase.cos(), phase.sin()], dim=-1) / math.sqrt(WAVES)
        heights = self.mixing @ normal(samples, steps, variables, 2 * WAVES)
        heights = torch.einsum("ts,bsvk->btvk", self._lasting(steps), heights)
        errors = torch.einsum("btvk,bck->btvc", heights, waves)
        size = take(self.size, (month,), cells)
        return size * errors.repeat(1, 1, size.shape[2] // variables, 1)

    def _lasting(self, steps: int) -> Tensor:
        """Return the matrix that makes white noise a stationary AR(1); (time, time)."""
        lag = torch.arange(steps)[:, None] - torch.arange(steps)
        matrix = torch.where(lag >= 0, self.persistence ** lag.clamp_min(0), 0.0)
        # The first month has no month before, and yet the variance of all.
        matrix[:, 1:] *= math.sqrt(1 - self.persistence**2)
        return matrix.to(self.points)


def fit_forcing_errors(
    settings: ForcingErrorSettings, cube: Cube, normaliser: Normaliser
) -> ForcingErrors:
    """Return the errors of a run's forcing as its network sees them.

    No error is larger than the variability of its own cell: where there is nothing to
    disagree about, such as the temperature of water under ice, products agree.

    Raises:
        SettingsError: If a forcing variable has no size, two correlations are no
            correlations together, or nothing would be wrong at all.
    """
    names = cube.forcing_names
    said = settings.spread.keys() | settings.share.keys()
    if missing := [name for name in names if name not in said]:
        raise SettingsError(
            f"learning.consistency.errors does not say how wrong {missing} may be. "
            f"Name each in spread or share; 0 = never wrong."
        )
    spread = _of_variables(settings.spread, names)
    share = _of_variables(settings.share, names)
    size = spread + share * normaliser.climatology.abs()
    size = size.minimum(normaliser.deviation)
    if not (size > 0).any():
        raise SettingsError(
            f"learning.consistency.errors are 0 for all of {list(names)}: there "
            f"is nothing to learn from. Raise spread or share, or set "
            f"learning.consistency.weight to 0."
        )
    parts = []
    if normaliser.forcing_channels != "level":
        parts.append(size / normaliser.deviation)
    if normaliser.forcing_channels != "anomaly":
        parts.append(size / normaliser.forcing_deviation[:, None])
    return ForcingErrors(
        points=position(cube).T.float().contiguous(),
        size=torch.cat(parts, dim=1),
        mixing=_mixing(settings.correlation, names),
        persistence=settings.persistence,
        scale=1e3 * settings.scale_km / EARTH_RADIUS,
    )


def _of_variables(values: dict[str, float], names: Sequence[str]) -> Tensor:
    return torch.tensor([[values.get(name, 0.0)] for name in names])


def _mixing(correlation: dict[str, float], names: Sequence[str]) -> Tensor:
    """Return the lower root of the correlation matrix; (variable, variable)."""
    matrix = torch.eye(len(names), dtype=torch.float64)
    for pair, value in correlation.items():
        one, other = pair.split()
        if one in names and other in names:
            row, column = names.index(one), names.index(other)
            matrix[row, column] = matrix[column, row] = value
    root, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed):
        raise SettingsError(
            f"learning.consistency.errors.correlation holds {correlation}, but no "
            f"variables are correlated so at the same time. Bring the numbers nearer "
            f"to 0."
        )
    lower: Tensor = root.float()
    return lower
