"""The gate of promotion: is a run good enough for the nights?

On the headline of its scorecard (net flux, transient simulation, mean of teachers) a
run must beat every baseline in the pooled ``anomaly_r2`` of cells and in the RMSE of
annual totals, and the champion must not be better beyond the interval of the paired
difference over drawn years. A champion that was scored on other years or another store
cannot be compared, and the judgement says so.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.carbon.errors import SettingsError
from emulator.evaluation.paired import Variant, paired_rows
from emulator.evaluation.scores import NET_FLUXES, rank
from emulator.evaluation.settings import CELL_BASELINES

Card = dict[str, Any]

LARGER_IS_BETTER: Mapping[str, bool] = {"anomaly_r2": True, "rmse": False}
"""The scores of the gate."""

RUN = "this run"
CHAMPION = "the champion"


@dataclass(frozen=True)
class Comparison:
    """One score of the run beside a rival's, on the same years.

    Attributes:
        score: Its name.
        rival: "baseline NAME", or the champion.
        run: The run's score.
        other: The rival's.
        low: Lower end of the 95 % interval of ``other`` - ``run``; NaN if undefined.
        high: Its upper end.
        passed: Whether the run may be promoted by this score.
    """

    score: str
    rival: str
    run: float
    other: float
    low: float
    high: float
    passed: bool

    def __str__(self) -> str:
        """Say it in words."""
        span = "" if math.isnan(self.low) else f" ({self.low:+.2f} to {self.high:+.2f})"
        return (
            f"{self.score} {self.run:.2f}, {self.rival} {self.other:.2f}: difference "
            f"{self.other - self.run:+.2f}{span}"
        )


@dataclass(frozen=True)
class Judgement:
    """What the gate found.

    Attributes:
        objections: Why the run should not be promoted; none if it should.
        comparisons: The scores behind it.
        note: How the champion was compared, or why it was not.
    """

    objections: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    note: str = ""


def judge(card: Card, rival: Card | None) -> Judgement:
    """Hold a scorecard against its baselines and the champion's scorecard.

    Args:
        card: Of the run.
        rival: Of the champion; None if there is none to compare with.
    """
    headline = min(card["records"], key=rank)
    objections = list(_gaps(headline))
    own = {**card, "run": RUN, "records": [headline]}
    comparisons = [found for found in _compare(own) if found.rival != RUN]
    for score in LARGER_IS_BETTER:
        mine = [found for found in comparisons if found.score == score]
        if not mine:
            objections.append(
                f"{score} cannot be compared, since the labels of the test years do "
                f"not cover whole years."
            )
        beating = [found for found in mine if not found.passed]
        if beating:
            best = max(beating, key=_gain)
            objections.append(f"A baseline is as good or better: {best}.")
    note = "" if rival is None else _incomparable(card, rival)
    if rival is not None and not note:
        try:
            pairs = list(_compare(own, {**rival, "run": CHAMPION}))
        except SettingsError as error:
            note = f"The champion was not compared: {error}"
        else:
            mine = [found for found in pairs if found.rival == CHAMPION]
            comparisons += mine
            objections += [
                f"The champion is better beyond the interval: {found}."
                for found in mine
                if not found.passed
            ]
            note = "The champion was compared on the same years of the same store."
    return Judgement(tuple(objections), tuple(comparisons), note)


def _gaps(headline: Card) -> Iterator[str]:
    """Yield what a scorecard lacks for a judgement."""
    if headline["flux"] not in NET_FLUXES:
        yield (
            f"The run has {headline['flux']}, but a sink map needs "
            f"{' or '.join(NET_FLUXES)}."
        )
    missing = [name for name in CELL_BASELINES if name not in headline["methods"]]
    if missing:
        yield (
            f"The scorecard lacks the baselines {', '.join(missing)}. Evaluate the run "
            f"with all of them."
        )


def _compare(*cards: Card) -> Iterator[Comparison]:
    """Yield the gate's scores of the first card beside those of all others."""
    variants = [Variant(card["run"], (card,)) for card in cards]
    rows = [row for row in paired_rows(variants) if row.score in LARGER_IS_BETTER]
    own = {row.score: row.value for row in rows if row.method == RUN}
    for row in rows:
        better = 1 if LARGER_IS_BETTER[row.score] else -1
        ends = (better * row.difference_low, better * row.difference_high)
        beaten = better * (own[row.score] - row.value) > 0
        if row.method == CHAMPION:
            # Without an interval nothing is beyond it.
            beaten = not min(ends) > 0
        yield Comparison(
            score=row.score,
            rival=row.method,
            run=own[row.score],
            other=row.value,
            low=row.difference_low,
            high=row.difference_high,
            passed=beaten,
        )


def _gain(found: Comparison) -> float:
    """Return how much better the rival is, in the unit of the score."""
    difference = found.other - found.run
    return difference if LARGER_IS_BETTER[found.score] else -difference


def _incomparable(card: Card, rival: Card) -> str:
    """Say why two runs' scores do not compare; empty if they do."""
    if card["checkpoint"] == rival["checkpoint"]:
        return "The champion was not compared: it has the same networks."
    for what, mine, other in (
        ("store", card["store_hash"], rival["store_hash"]),
        ("test years", _span(card), _span(rival)),
    ):
        if mine != other:
            return (
                f"The champion was not compared: it was scored on other {what}, "
                f"{other} instead of {mine}. Only the baselines were."
            )
    return ""


def _span(card: Card) -> str:
    first, last = card["split"]["test"]
    return f"{first}-{last}"
