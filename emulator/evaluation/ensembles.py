"""What a few models say of the mean of all: the recipe of the low-latency budget.

A handful of models can be run live, months after the fact, while the whole ensemble
follows a year later. Their mean, moved to the ensemble's level over the years that both
have, stands for the mean of all. Here every choice of so many models is tried, year by
year and with nothing later than the year before; and beside it what it adds to know the
other models too, if each is emulated with an assumed error.

The live runs are those of one edition, with its final forcing: a live run differs from
its final one as well, so these errors are the least to expect.

Source:
    Ke et al. (2024), Natl. Sci. Rev., nwae367: three models, moved to the level of the
    ensemble over four years.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from emulator.carbon.budget import mean_adjustment
from emulator.carbon.errors import SettingsError
from emulator.evaluation import metrics

Array = npt.NDArray[np.floating]
Years = npt.NDArray[np.integer]

SHOWN = (0.05, 0.95)
"""Quantiles over the choices of live models that are given beside the median."""


@dataclass
class EnsembleSettings:
    """Settings of the experiment.

    Attributes:
        live: Numbers of models that are run live.
        windows: Lengths of the windows before each year over which means are
            adjusted, years. Four is the recipe of Ke et al. (2024).
        first: First year that is estimated.
        emulator_r2: Share of each missing model's detrended variability that its
            emulator explains; 0.8 is what this project demands of the median model.
        correlations: Correlations assumed between the errors of two emulators: 0,
            each errs alone; 1, all miss the same.
        choices: Most choices of live models that are tried; beyond, they are drawn.
        seed: Seed of the draw.
    """

    live: list[int] = field(default_factory=lambda: [1, 3, 5, 8])
    windows: list[int] = field(default_factory=lambda: [4, 10, 20])
    first: int = 1990
    emulator_r2: float = 0.8
    correlations: list[float] = field(default_factory=lambda: [0.0, 0.5, 1.0])
    choices: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        """Check numbers.

        Raises:
            SettingsError: If a list is empty or a number is outside its range.
        """
        for name in ("live", "windows"):
            numbers = getattr(self, name)
            if not numbers or min(numbers) < 1:
                raise SettingsError(
                    f"ensembles.{name} must hold numbers of at least 1, found "
                    f"{numbers}."
                )
        for value in (self.emulator_r2, *self.correlations):
            if not 0 <= value <= 1:
                raise SettingsError(
                    f"ensembles.emulator_r2 and ensembles.correlations must lie "
                    f"between 0 and 1, found {value}."
                )
        if self.choices < 1:
            raise SettingsError(
                f"ensembles.choices must be at least 1, found {self.choices}."
            )


@dataclass(frozen=True)
class Spread:
    """A score over the choices of live models.

    Attributes:
        median: The median choice.
        low: The first quantile of ``SHOWN``.
        high: The second.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, scores: Array) -> "Spread":
        """Return the spread of the scores (choice,)."""
        median, low, high = np.quantile(scores, (0.5, *SHOWN))
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True)
class Skill:
    """How well the mean of all is met.

    Attributes:
        rmse: PgC yr-1.
        r2: 1 - sum (p - t)^2 / sum (t - mean t)^2 over years, raw.
    """

    rmse: Spread
    r2: Spread


@dataclass(frozen=True)
class Row:
    """The result for one number of live models.

    Attributes:
        live: The number; 0 stands for emulators alone.
        alone: Skill of the live models, by length of the window; empty without any.
        with_emulators: Skill with all others emulated, by correlation of the errors.
        r2_needed: Emulator R2 at which emulators whose errors are all the same add
            nothing to the median choice, for the best window; NaN without live models.
    """

    live: int
    alone: Mapping[int, Skill]
    with_emulators: Mapping[float, Skill]
    r2_needed: float


@dataclass(frozen=True)
class Result:
    """All that the table shows.

    Attributes:
        models: Number of models.
        years: First and last year that were estimated.
        sd: Standard deviation of the mean of all over these years, PgC yr-1.
        rows: One for each number of live models, emulators alone first.
        settings: What was asked for.
    """

    models: int
    years: tuple[int, int]
    sd: float
    rows: Sequence[Row]
    settings: EnsembleSettings


def departures(models: Array, years: Years, wanted: Years, window: int) -> Array:
    """Return how far each model, mean-adjusted, lies from the mean of all.

    Args:
        models: Annual sinks, PgC yr-1; shape (model, year).
        years: Consecutive; shape (year,).
        wanted: Years to estimate; shape (wanted,).
        window: Years just before each wanted one over which the model's mean is
            moved to the mean of all.

    Returns:
        PgC yr-1; shape (model, wanted). Averaged over a choice of models, this is the
        error of their mean.

    Raises:
        ValueError: If a window or wanted year is not covered, or a value in it is
            missing.
    """
    everyone = models.mean(axis=0)
    result = np.empty((len(models), len(wanted)))
    for place, year in enumerate(wanted):
        offset = mean_adjustment(models, everyone, years, (year - window, year - 1))
        here = models[:, years == year]
        if here.shape[1] != 1 or not np.isfinite(here).all():
            raise ValueError(
                f"Every model needs a value in {year}, but {here.shape[1]} such years "
                f"are there and {int(np.isfinite(here).sum())} values. Leave out the "
                f"year or the model."
            )
        result[:, place] = here[:, 0] + offset - here.mean()
    return result


def choose(models: int, live: int, most: int, seed: int) -> npt.NDArray[np.bool_]:
    """Return which models are live in each choice.

    Args:
        models: Number of models.
        live: How many are live.
        most: Most choices; if there are more, so many are drawn with replacement.
        seed: Seed of the draw.

    Returns:
        Shape (choice, model).

    Raises:
        ValueError: If more models are to be live than there are.
    """
    if live > models:
        raise ValueError(
            f"{live} of {models} models cannot be live. Ask for at most {models}."
        )
    if math.comb(models, live) <= most:
        chosen = list(itertools.combinations(range(models), live))
        members = np.array(chosen, np.int64).reshape(len(chosen), live)
    else:
        ranks = np.random.default_rng(seed).random((most, models))
        members = ranks.argsort(axis=1)[:, :live]
    result = np.zeros((len(members), models), bool)
    np.put_along_axis(result, members, True, axis=1)
    return result


def live_skill(departure: Array, chosen: npt.NDArray[np.bool_], truth: Array) -> Skill:
    """Score the mean of the live models.

    Args:
        departure: As ``departures`` returns it; shape (model, year).
        chosen: Live models of each choice; shape (choice, model).
        truth: Mean of all models, PgC yr-1; shape (year,).
    """
    estimate = truth + (chosen @ departure) / chosen.sum(axis=1, keepdims=True)
    return Skill(
        Spread.of(metrics.rmse(estimate, truth)),
        Spread.of(metrics.annual_r2(estimate, truth)),
    )


def emulated_rmse(
    chosen: npt.NDArray[np.bool_], sigma: Array, correlation: float
) -> Array:
    """Return the expected error of the mean of live models and emulators of the rest.

    The mean of N models of which some are emulated with errors e has the error
    sum e / N. Each error has the standard deviation sigma, no bias, and the same
    correlation with any other.

    Args:
        chosen: Live models, which have no error; shape (choice, model).
        sigma: Error of each model's emulator, PgC yr-1; shape (model,).
        correlation: Between the errors of two emulators.

    Returns:
        Root mean square, PgC yr-1; shape (choice,).
    """
    missing = np.where(chosen, 0.0, sigma)
    alone = (1.0 - correlation) * (missing**2).sum(axis=1)
    together = correlation * missing.sum(axis=1) ** 2
    return np.asarray(np.sqrt(alone + together) / chosen.shape[1])


def emulator_sigma(models: Array, years: Years, r2: float) -> Array:
    """Return the error of emulators that explain a share of each model's variability.

    Args:
        models: Annual sinks, PgC yr-1; shape (model, year).
        years: Shape (year,).
        r2: Share of the variance about each model's own line in time.

    Returns:
        sqrt(1 - r2) times the standard deviation about the line, PgC yr-1; (model,).
    """
    return np.asarray(np.sqrt(1.0 - r2) * metrics.detrended(models, years).std(-1))


def score(
    models: Array, years: Years, settings: EnsembleSettings | None = None
) -> Result:
    """Score the mean of few models for the mean of all.

    Args:
        models: Annual sinks of each model of the ensemble, PgC yr-1; (model, year).
        years: Consecutive; shape (year,).
        settings: What to try; the defaults without.

    Raises:
        SettingsError: If more models are to be live than there are, or the years
            before the first do not hold the longest window.
        ValueError: If a value is missing.
    """
    asked = settings or EnsembleSettings()
    if max(asked.live) > len(models):
        raise SettingsError(
            f"ensembles.live asks for {max(asked.live)} live models, but there are "
            f"{len(models)}. Ask for fewer."
        )
    if asked.first - max(asked.windows) < years[0] or asked.first >= years[-1]:
        raise SettingsError(
            f"ensembles.first is {asked.first} with windows up to "
            f"{max(asked.windows)} years, but the models have {years[0]}-{years[-1]}. "
            f"Estimate at least two years that a whole window precedes."
        )
    wanted = years[years >= asked.first]
    inside = models[:, years >= asked.first]
    truth = inside.mean(axis=0)
    sigma = emulator_sigma(inside, wanted, asked.emulator_r2)
    useless = emulator_sigma(inside, wanted, 0.0)
    adjusted = {
        window: departures(models, years, wanted, window) for window in asked.windows
    }
    rows = []
    for live in (0, *asked.live):
        chosen = choose(len(models), live, asked.choices, asked.seed)
        alone = {}
        if live:
            alone = {w: live_skill(adjusted[w], chosen, truth) for w in asked.windows}
        with_emulators = {
            value: _expected(emulated_rmse(chosen, sigma, value), truth)
            for value in asked.correlations
        }
        best = min((skill.rmse.median for skill in alone.values()), default=math.nan)
        # The error grows with sqrt(1 - r2), and is that of `useless` for r2 = 0.
        share = best / float(np.median(emulated_rmse(chosen, useless, 1.0)))
        rows.append(Row(live, alone, with_emulators, 1.0 - share**2))
    span = int(wanted[0]), int(wanted[-1])
    return Result(len(models), span, float(truth.std()), rows, asked)


def table(result: Result) -> str:
    """Return the result as Markdown."""
    windows, correlations = result.settings.windows, result.settings.correlations
    head = [
        "live models",
        *(f"mean-adjusted on {window} years" for window in windows),
        *(f"others emulated, errors correlated {value:g}" for value in correlations),
        "emulator R2 needed",
    ]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in result.rows:
        cells = [
            str(row.live),
            *(_cell(row.alone.get(window)) for window in windows),
            *(_cell(row.with_emulators[value]) for value in correlations),
            "-" if math.isnan(row.r2_needed) else f"{row.r2_needed:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    low, high = SHOWN
    caption = (
        f"Mean of live models for the mean of {result.models}, {result.years[0]}-"
        f"{result.years[1]} (sd {result.sd:.2f} PgC yr-1): RMSE, PgC yr-1, median over "
        f"the choices of live models ({low:.0%} to {high:.0%} of choices), and R2. "
        f"Means are adjusted on the years just before each. An emulator explains "
        f"{result.settings.emulator_r2:.0%} of its model's variability about a line; "
        f"the last column is the share below which emulators whose errors are all the "
        f"same add nothing."
    )
    return "\n".join([caption, "", *lines, ""])


def _expected(rmse: Array, truth: Array) -> Skill:
    """Return the skill of an expected error over choices (choice,)."""
    return Skill(Spread.of(rmse), Spread.of(1.0 - rmse**2 / truth.var()))


def _cell(skill: Skill | None) -> str:
    if skill is None:
        return "-"
    error = skill.rmse
    return (
        f"{error.median:.2f} ({error.low:.2f} to {error.high:.2f}), "
        f"R2 {skill.r2.median:.2f}"
    )
