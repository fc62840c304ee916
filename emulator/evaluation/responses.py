"""What CO2 and what climate do to the sink: the effect of one step between simulations.

Simulations of a teacher that differ in one thing tell what that thing does. On land S1
saw more CO2 than S0, and S2 another climate than S1. At sea only A (transient) and B
(control) exist, so that A - B is the effect of CO2 and climate together. The same
differences of the emulator show whether it learned causes or a trend.

Everything here is a pure function of annual totals.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.carbon.timeaxis import years_of
from emulator.data.windows import Cube
from emulator.evaluation import bootstrap
from emulator.evaluation.enso import TEMPERATURES
from emulator.evaluation.hindcast import MEAN, NETWORK, Hindcast, annual_totals, covered
from emulator.evaluation.task import Array, Mask

Record = dict[str, Any]
Years = npt.NDArray[np.int64]

CO2_TOLERANCE = 0.15
"""Share of the teacher's effect by which the emulator's may differ, effects of CO2.
Agreed tolerance of this project; no publication states one."""

CLIMATE_TOLERANCE = 0.25
"""The same for effects of climate, whose decadal means hold more weather. Agreed
tolerance of this project."""

LONGEST_BLOCK = 15
"""Years of the longest block; effects are judged on blocks near a decade."""

FEWEST_YEARS = 5
"""Years of the shortest block on which an effect is judged: fewer are weather."""

GLOBE = "globe"

DEFINITIONS = {
    "effect": "annual total of one simulation minus that of another which did not see "
    "the change, in cells where the teacher has both; PgC yr-1",
    "within": "the emulator's mean effect differs from the teacher's by no more than "
    "the agreed tolerance (15 % of the teacher's for CO2, 25 % for climate)",
    "decade": "equal parts of the scored years, as near to ten years as they can be "
    "without one longer than 15; half: the halves of these years, not judged",
    "sensitivity": "mean effect over the mean difference of what drove it: PgC yr-1 "
    "per ppm of CO2, or per K of the domain's mean temperature",
}


@dataclass(frozen=True)
class Effect:
    """A difference between two simulations.

    Attributes:
        name: What it is the effect of.
        on: The simulation that saw the change.
        off: The one that did not.
        tolerance: Share of the teacher's effect by which the emulator may differ.
        driver: What changed: "co2" or "temperature".
    """

    name: str
    on: str
    off: str
    tolerance: float
    driver: str


EFFECTS = (
    Effect("CO2", "S1", "S0", CO2_TOLERANCE, "co2"),
    Effect("climate", "S2", "S1", CLIMATE_TOLERANCE, "temperature"),
    Effect("CO2 and climate together", "A", "B", CO2_TOLERANCE, "co2"),
)
"""CO2 makes most of A - B, so that its tolerance holds there."""

UNITS = {"co2": "PgC yr-1 ppm-1", "temperature": "PgC yr-1 K-1"}


@dataclass(frozen=True, eq=False)
class Drivers:
    """What the simulations saw, averaged over the domain.

    Attributes:
        co2: ppm; shape (simulation, time).
        temperature: Area mean of air or sea, K or degC; shape (simulation, time); None
            where the run's forcing has none.
    """

    co2: Array
    temperature: Array | None

    @classmethod
    def seen(cls, cube: Cube, co2: Array, wanted: Mask) -> "Drivers":
        """Average what the simulations of a cube saw in some months.

        Args:
            cube: On the CPU.
            co2: ppm; shape (simulation, time).
            wanted: Months; shape (time,).
        """
        name = next((each for each in TEMPERATURES if each in cube.forcing_names), None)
        temperature = None
        if name is not None:
            field = cube.forcing[:, cube.forcing_names.index(name)].numpy()
            mean = np.average(field.astype(np.float64), axis=1, weights=cube.area)
            weather = cube.weather.numpy()[:, wanted]
            temperature = np.where(weather >= 0, mean[weather], np.nan)
        return cls(np.asarray(co2[:, wanted], np.float64), temperature)

    def of(self, name: str) -> Array | None:
        """Return the series of a driver."""
        return self.co2 if name == "co2" else self.temperature


def responses(
    hindcast: Hindcast, bands: Mapping[str, Array], drivers: Drivers
) -> list[Record]:
    """Compare the effects of CO2 and of climate, teacher by teacher.

    Args:
        hindcast: Of the single teachers, without their mean.
        bands: Share of each cell in each band of latitude; shape (cell,).
        drivers: Of the hindcast's simulations and months.

    Returns:
        One record for each effect whose two simulations are there and each teacher
        that has both; before them the mean of these teachers over the years that all
        of them have, where there are several teachers and such years.
    """
    records: list[Record] = []
    for effect in EFFECTS:
        if not {effect.on, effect.off} <= set(hindcast.simulations):
            continue
        teachers = range(len(hindcast.teachers))
        found = _present(
            _of_teacher(hindcast, effect, teacher, bands, drivers)
            for teacher in teachers
        )
        common = found
        if any(each["years"] != found[0]["years"] for each in found):
            # A mean whose members change from year to year would jump.
            shared = set.intersection(*(set(each["years"]) for each in found))
            common = _present(
                _of_teacher(hindcast, effect, teacher, bands, drivers, shared)
                for teacher in teachers
            )
        records += [*_mean(common), *found]
    return records


def blocks(years: int) -> list[slice]:
    """Cut years into equal parts near a decade, none longer than ``LONGEST_BLOCK``."""
    count = max(1, (years + 4) // 10)
    return _parts(years, count)


def spans(
    years: Sequence[int], teacher: Array, network: Array, tolerance: float
) -> list[Record]:
    """Compare mean effects over decades, and over the halves of the years.

    Args:
        years: Calendar years; (year,).
        teacher: Annual effects, PgC yr-1; (year,).
        network: The same of the emulator.
        tolerance: Share of the teacher's effect.

    Returns:
        Kind, first and last year, means, ratio (None where the teacher's effect is 0)
        and ``within``, which is None for halves and fewer than ``FEWEST_YEARS`` years.
    """
    count = len(years)
    parts = [("decade", part) for part in blocks(count)]
    if count >= 2 * FEWEST_YEARS and len(parts) != 2:
        parts += [("half", part) for part in _parts(count, 2)]
    found = []
    for kind, part in parts:
        t, n = float(teacher[part].mean()), float(network[part].mean())
        judged = kind == "decade" and len(years[part]) >= FEWEST_YEARS
        found.append(
            {
                "kind": kind,
                "years": [int(years[part][0]), int(years[part][-1])],
                "teacher": t,
                "network": n,
                "ratio": n / t if t else None,
                "within": abs(n - t) <= tolerance * abs(t) if judged else None,
            }
        )
    return found


def _of_teacher(
    hindcast: Hindcast,
    effect: Effect,
    teacher: int,
    bands: Mapping[str, Array],
    drivers: Drivers,
    only: Collection[int] | None = None,
) -> Record | None:
    """Compare one effect of one teacher; None where it lacks a simulation.

    Where ``only`` is given, other years do not count.
    """
    on, off = (hindcast.simulations.index(name) for name in (effect.on, effect.off))
    truth = [hindcast.truth[row, teacher] for row in (on, off)]
    network = [hindcast.predictions[NETWORK][row, teacher] for row in (on, off)]
    # A month counts where all four speak.
    rows = np.all([np.isfinite(x).any(axis=1) for x in (*truth, *network)], axis=0)
    if only is not None:
        rows &= np.isin(years_of(hindcast.months), list(only))
    if not rows.any():
        return None
    months = hindcast.months[rows]
    truth, network = ([each[rows] for each in pair] for pair in (truth, network))
    whole = np.logical_and(*(covered(each) for each in truth))
    area = np.where(whole, hindcast.area, 0.0)

    def total(pair: list[Array], share: Array | float = 1.0) -> tuple[Years, Array]:
        years, first = annual_totals(np.nan_to_num(pair[0]), area * share, months)
        _, second = annual_totals(np.nan_to_num(pair[1]), area * share, months)
        return years, first - second

    years, teachers = total(truth)
    if not years.size:
        return None
    regions = {
        name: (total(truth, share)[1], total(network, share)[1])
        for name, share in bands.items()
        if (area * share).any()
    }
    driver = drivers.of(effect.driver)
    change = None
    if driver is not None:
        inside = np.isin(years_of(months), years)
        change = float((driver[on] - driver[off])[rows][inside].mean())
    return _record(
        hindcast.flux,
        effect,
        hindcast.teachers[teacher],
        years.tolist(),
        {GLOBE: (teachers, total(network)[1]), **regions},
        change,
    )


def _record(
    flux: str,
    effect: Effect,
    teacher: str,
    years: list[int],
    series: Mapping[str, tuple[Array, Array]],
    change: float | None,
) -> Record:
    truth, network = series[GLOBE]
    judged = spans(years, truth, network, effect.tolerance)
    verdicts = [span["within"] for span in judged if span["within"] is not None]
    drawn = bootstrap.year_draws(len(years))

    def ratio(place: bootstrap.Draws) -> Array:
        bottom = truth[place].mean(-1)
        nothing = np.full(np.shape(bottom), np.nan)
        top = network[place].mean(-1)
        return np.asarray(np.divide(top, bottom, nothing, where=bottom != 0))

    per = change if change else np.nan
    return {
        "flux": flux,
        "effect": effect.name,
        "on": effect.on,
        "off": effect.off,
        "teacher": teacher,
        "tolerance": effect.tolerance,
        "years": years,
        "within": all(verdicts) if verdicts else None,
        "ratio": bootstrap.score(ratio, len(years), drawn).as_dict(),
        "sensitivity": {
            "unit": UNITS[effect.driver],
            "change": change,
            "teacher": _plain(truth.mean() / per),
            "network": _plain(network.mean() / per),
        },
        "regions": {
            name: {
                "teacher_annual": t.tolist(),
                "network_annual": n.tolist(),
                "spans": spans(years, t, n, effect.tolerance),
            }
            for name, (t, n) in series.items()
        },
    }


def _present(found: Iterable[Record | None]) -> list[Record]:
    return [each for each in found if each is not None]


def _mean(found: Sequence[Record]) -> list[Record]:
    """Return the record of the mean of teachers; none unless there are several."""
    if len(found) < 2:
        return []
    first = found[0]
    effect = next(each for each in EFFECTS if each.name == first["effect"])
    series = {
        name: tuple(
            np.mean([each["regions"][name][part] for each in found], axis=0)
            for part in ("teacher_annual", "network_annual")
        )
        for name in first["regions"]
        if all(name in each["regions"] for each in found)
    }
    change = first["sensitivity"]["change"]
    return [_record(first["flux"], effect, MEAN, first["years"], series, change)]


def _parts(years: int, count: int) -> list[slice]:
    edges = np.linspace(0, years, count + 1).round().astype(int)
    return [slice(a, b) for a, b in pairwise(edges)]


def _plain(value: float) -> float | None:
    """Return None for NaN, which JSON does not know."""
    return None if np.isnan(value) else float(value)
