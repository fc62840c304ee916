"""How an emulator, and the teacher it learned from, follow what was observed.

An emulator can at best be as right about the world as its teacher, and teachers are
far from perfect: the mean of 20 land models follows the residual of the budget with
r = 0.75. So the two always stand side by side, on the same years.

Only the course about each series' own line in time is compared. Levels and trends are
differently defined: inversions contain land-use change, both they and fCO2 products
the outgassing of river carbon, and the residual of the budget the errors of all its
other terms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from emulator.carbon.budget import annual_mean, residual_sink
from emulator.carbon.regions import TROPICS_EDGE
from emulator.data.readers.workbook import Workbook
from emulator.data.readers.zonal import Zonal
from emulator.evaluation import bootstrap, metrics
from emulator.evaluation.bootstrap import Score
from emulator.evaluation.hindcast import NETWORK

Array = npt.NDArray[np.floating]
Years = npt.NDArray[np.integer]
Surface = Literal["land", "ocean"]

LEAST_YEARS = 5
"""With fewer, a line takes half of what there is to compare."""

BANDS = {
    "globe": (-90.0, 90.0),
    "north": (TROPICS_EDGE, 90.0),
    "tropics": (-TROPICS_EDGE, TROPICS_EDGE),
    "south": (-90.0, -TROPICS_EDGE),
}
"""The globe and the regions of ``latitude_bands``, degrees north."""

FLUXES: dict[Surface, str] = {"land": "nbp", "ocean": "fgco2"}
"""The net flux of each surface."""

TEACHER = "teacher"
"""The series of the teacher beside the methods of a scorecard."""

REAL_WEATHER = ("TRENDY/GOBM", "observed")
"""Evidence of teachers and forcing whose years are those of the world."""


@dataclass(frozen=True, eq=False)
class Observation:
    """Annual uptake as observed.

    Attributes:
        name: What it is.
        surface: Of land or ocean.
        region: Where, one of ``BANDS``.
        simulations: Those that saw what the world saw, as far as it counts here.
        years: Consecutive; shape (year,).
        sink: PgC yr-1, positive = uptake; shape (year,).
    """

    name: str
    surface: Surface
    region: str
    simulations: tuple[str, ...]
    years: Years
    sink: Array


@dataclass(frozen=True)
class Agreement:
    """How a series follows an observation, both about their lines in time.

    Attributes:
        detrended_r: Correlation, with its block-bootstrap interval.
        fisher: The same with Fisher's interval.
        detrended_rmse: Root mean square difference, PgC yr-1.
        sd_ratio: Standard deviation / that of the observation.
    """

    detrended_r: Score
    fisher: Score
    detrended_rmse: Score
    sd_ratio: float


@dataclass(frozen=True)
class Comparison:
    """All series against one observation, on the years that they share.

    Attributes:
        observation: Its name.
        surface: Land or ocean.
        region: Where.
        years: First and last year.
        series: By name, in the order given.
    """

    observation: str
    surface: Surface
    region: str
    years: tuple[int, int]
    series: Mapping[str, Agreement]


def not_applicable(evidence: str) -> str | None:
    """Return why an emulator cannot be held against the world, or None if it can.

    Args:
        evidence: What stands behind its numbers, several joined by ``; ``.
    """
    simulated = [one for one in evidence.split("; ") if one not in REAL_WEATHER]
    if not simulated:
        return None
    return (
        f"Not compared with observations: the weather is simulated (evidence: "
        f"{', '.join(simulated)}), so that its years are not those of the world."
    )


def residual(book: Workbook) -> Observation:
    """Return the residual sink of the budget, which S_LAND (``s_land_s2``) should meet.

    It is the land sink that closes the budget, E_FOS + E_LUC - G_ATM - S_OCEAN -
    cement.

    Source:
        Friedlingstein et al. (2025), ESSD 17, equation 1 without B_IM.
    """
    terms = book.budget.columns
    sink = residual_sink(
        e_fos=terms["e_fos"],
        e_luc=terms["e_luc"],
        g_atm=terms["g_atm"],
        s_ocean=terms["s_ocean"],
        cement=terms["cement"],
    )
    known = np.isfinite(sink)
    name = f"budget residual, GCB {book.edition} v{book.version}"
    years = book.budget.years[known]
    return Observation(name, "land", "globe", ("S2",), years, sink[known])


def by_latitude(product: Zonal) -> list[Observation]:
    """Return the annual uptake of the globe and of each band; whole years only."""
    name, surface = product.source.split(".")[0], product.surface
    simulations = ("S2", "S3") if surface == "land" else ("A",)
    found = []
    for region, (south, north) in BANDS.items():
        years, sink = annual_mean(product.within(south, north), product.months)
        found.append(Observation(name, surface, region, simulations, years, sink))
    return found


def agreement(
    sink: Array, observed: Array, years: Years, drawn: bootstrap.Draws
) -> Agreement:
    """Score one series.

    Args:
        sink: Annual totals, PgC yr-1; shape (year,).
        observed: The same as observed; shape (year,).
        years: Shape (year,).
        drawn: Positions of years drawn again, so that series are paired; (draw, year).
    """

    def correlation(place: bootstrap.Draws) -> Array:
        return metrics.detrended_r(sink[place], observed[place], years[place])

    def error(place: bootstrap.Draws) -> Array:
        return metrics.rmse(
            metrics.detrended(sink[place], years[place]),
            metrics.detrended(observed[place], years[place]),
        )

    found = bootstrap.score(correlation, years.size, drawn)
    spread = metrics.sd_ratio(
        metrics.detrended(sink, years), metrics.detrended(observed, years)
    )
    return Agreement(
        detrended_r=found,
        fisher=bootstrap.fisher_interval(found.value, years.size),
        detrended_rmse=bootstrap.score(error, years.size, drawn),
        sd_ratio=float(spread),
    )


def compare(
    series: Mapping[str, Array], years: Years, observation: Observation
) -> Comparison | None:
    """Hold series of annual totals against an observation.

    Args:
        series: By name, e.g. the emulator and its teacher, PgC yr-1; (year,) each.
        years: Their years; shape (year,).
        observation: What was observed.

    Returns:
        The comparison on the years that all share; None if these are fewer than
        ``LEAST_YEARS``.

    Raises:
        ValueError: If a series has not one finite value for each of the years: every
            series must be scored on the same ones.
    """
    for name, values in series.items():
        if values.shape != years.shape or not np.isfinite(values).all():
            raise ValueError(
                f"'{name}' has {int(np.isfinite(values).sum())} values for "
                f"{years.size} years. Give one for each year, or leave the year out."
            )
    shared, here, there = np.intersect1d(years, observation.years, return_indices=True)
    if shared.size < LEAST_YEARS:
        return None
    drawn = bootstrap.year_draws(shared.size)
    return Comparison(
        observation=observation.name,
        surface=observation.surface,
        region=observation.region,
        years=(int(shared[0]), int(shared[-1])),
        series={
            name: agreement(values[here], observation.sink[there], shared, drawn)
            for name, values in series.items()
        },
    )


def of_record(
    record: Mapping[str, Any], observations: Sequence[Observation]
) -> list[Comparison]:
    """Hold the network and its teacher, as a scorecard has them, against observations.

    Args:
        record: A record of a scorecard, as ``scores.score`` makes it.
        observations: Those of another flux or simulation are passed over, and so are
            bands if the record has no ``latitude_bands``.
    """
    found = []
    for one in observations:
        if record["scope"] != "all" or record["flux"] != FLUXES[one.surface]:
            continue
        if record["simulation"] not in one.simulations:
            continue
        bands = record["regions"].get("latitude_bands", {})
        part = record if one.region == "globe" else bands.get(one.region)
        if part is None or "annual_totals" not in part["methods"][NETWORK]:
            continue
        series = {
            NETWORK: np.asarray(part["methods"][NETWORK]["annual_totals"]),
            TEACHER: np.asarray(part["teacher_annual"]),
        }
        comparison = compare(series, np.asarray(record["years"]), one)
        if comparison is not None:
            found.append(comparison)
    return found


def table(comparisons: Sequence[Comparison]) -> str:
    """Return comparisons as Markdown: one row for each observation and series."""
    head = ["observed", "region", "years", "series"]
    head += ["detrended r", "Fisher", "detrended RMSE", "sd ratio"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for one in comparisons:
        for name, found in one.series.items():
            cells = [
                f"{one.observation}, {one.surface}",
                one.region,
                f"{one.years[0]}-{one.years[1]} (n = {found.detrended_r.n})",
                name,
                _text(found.detrended_r),
                f"{found.fisher.low:.2f} to {found.fisher.high:.2f}",
                _text(found.detrended_rmse),
                f"{found.sd_ratio:.2f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _text(score: Score) -> str:
    return f"{score.value:.2f} ({score.low:.2f} to {score.high:.2f})"
