"""Extreme years: is the sign right, and how much of the anomaly comes out?

The anomaly of a year is its global total minus the teacher's mean over the nine years
around it. Where that is at least one standard deviation of such anomalies, sign and
amplitude are scored; elsewhere there is no extreme to be caught, and the absolute
error is what can be said. Predictions are held against the same reference of the
teacher, so that an error of the level counts too: amplitude = 1 + error / anomaly.

A year with training years after it is interpolated, as ``split.withheld`` years are.
Only years that no training year follows are forward, and these are the headline.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.evaluation.hindcast import MEAN, Hindcast, annual_totals, covered
from emulator.evaluation.scores import TRANSIENT
from emulator.evaluation.task import Array

Record = dict[str, Any]
Years = npt.NDArray[np.int64]

REFERENCE_YEARS = 9
"""Years of the centred reference: longer than an El Nino, shorter than a trend."""

FEWEST_REFERENCE_YEARS = 5
"""Near an end of the record the reference shrinks on both sides alike, since one that
leans to a side would take a trend for an anomaly; below this there is none."""

DEFINITIONS = {
    "anomaly": f"the teacher's annual total minus its mean over the {REFERENCE_YEARS} "
    f"years around, fewer near an end of its record (at least "
    f"{FEWEST_REFERENCE_YEARS}), PgC yr-1",
    "extreme": "a year whose anomaly is at least one standard deviation of all "
    "anomalies of the teacher's record",
    "sign": "whether prediction - reference of the teacher has the sign of the anomaly",
    "amplitude": "(prediction - reference of the teacher) / anomaly; over several "
    "years the slope through the origin",
    "error": "prediction - teacher, PgC yr-1; 'error of others' is its mean absolute "
    "value over the years that are not extreme",
    "kind": "'interpolation' where training years follow the year, else 'forward', "
    "which is the headline",
}


def centred_anomalies(years: Years, totals: Array) -> Array:
    """Return annual totals minus their centred mean.

    Args:
        years: Increasing, holes allowed; shape (year,).
        totals: PgC yr-1; shape (year,).

    Returns:
        Shape (year,); NaN where too few years lie around, or one of them is missing.
    """
    known = dict(zip(years.tolist(), totals.tolist(), strict=True))
    found = np.full(len(known), np.nan)
    for place, year in enumerate(known):
        side = REFERENCE_YEARS // 2
        while side and not all(y in known for y in range(year - side, year + side + 1)):
            side -= 1
        if 2 * side + 1 >= FEWEST_REFERENCE_YEARS:
            around = [known[y] for y in range(year - side, year + side + 1)]
            found[place] = known[year] - np.mean(around)
    return found


def judge(
    years: Years,
    totals: Array,
    scored: Years,
    predictions: Mapping[str, Array],
    *,
    last_fitted: int,
) -> Record:
    """Score predictions of some years of a teacher's record.

    Args:
        years: Years of the record, increasing; shape (year,).
        totals: The teacher's annual totals, PgC yr-1; shape (year,).
        scored: Which years are scored, all of the record; shape (scored,).
        predictions: By method, annual totals, PgC yr-1; shape (scored,).
        last_fitted: Last year that anything was learned from.

    Returns:
        Plain values: ``sd``, each of the ``years`` and, by method, a summary.
    """
    anomalies = centred_anomalies(years, totals)
    sd = float(np.nanstd(anomalies, ddof=1)) if np.isfinite(anomalies).sum() > 1 else 0
    place = np.searchsorted(years, scored)
    anomaly, truth = anomalies[place], totals[place]
    # An anomaly that is not known is not an extreme one.
    extreme = np.nan_to_num(np.abs(anomaly)) >= sd if sd > 0 else np.isnan(truth)
    departures = {
        name: values - (truth - anomaly) for name, values in predictions.items()
    }
    rows = []
    for row, year in enumerate(scored.tolist()):
        ahead = year > last_fitted
        rows.append(
            {
                "year": year,
                "kind": "forward" if ahead else "interpolation",
                "anomaly": _plain(anomaly[row]),
                "is_extreme": bool(extreme[row]),
                "methods": {
                    name: {
                        "error": float(values[row] - truth[row]),
                        **(
                            _extreme(departures[name][row], anomaly[row])
                            if extreme[row]
                            else {}
                        ),
                    }
                    for name, values in predictions.items()
                },
            }
        )
    return {
        "sd": sd,
        "years": rows,
        "methods": {
            name: _summary(departures[name], anomaly, values - truth, extreme)
            for name, values in predictions.items()
        },
    }


def score(
    hindcast: Hindcast,
    labels: Array,
    months: npt.NDArray[np.datetime64],
    last_fitted: int,
) -> list[Record]:
    """Judge each teacher, and their mean, in the simulation with its own weather.

    Args:
        hindcast: Truth and predictions in the scored months.
        labels: The teachers' whole record, kg m-2 s-1, NaN where there is none; shape
            (simulation, teacher, time, cell).
        months: Of the record, datetime64[M]; shape (time,).
        last_fitted: Last year that anything was learned from.

    Returns:
        Records of ``judge`` with flux, simulation and teacher, the mean first; none
        where no whole year of such a simulation is scored.
    """
    known = [name for name in TRANSIENT if name in hindcast.simulations]
    row = hindcast.simulations.index(known[0]) if known else 0
    series: dict[str, tuple[dict[int, float], Years, dict[str, Array]]] = {}
    for place, teacher in enumerate(hindcast.teachers[: labels.shape[1]]):
        found = _series(hindcast, labels[row, place], months, row, place)
        if known and found is not None:
            series[teacher] = found
    if len(series) > 1:
        series = {MEAN: _mean(list(series.values())), **series}
    return [
        {
            "flux": hindcast.flux,
            "simulation": known[0],
            "teacher": teacher,
            **judge(
                np.array(list(record), np.int64),
                np.array(list(record.values())),
                scored,
                predictions,
                last_fitted=last_fitted,
            ),
        }
        for teacher, (record, scored, predictions) in series.items()
        if scored.size
    ]


def markdown(records: Sequence[Record]) -> str:
    """Return the part of the scorecard for people; nothing without records."""
    return "\n".join(_lines(records)) + "\n" if records else ""


def _lines(records: Sequence[Record]) -> Iterator[str]:
    first = records[0]
    kinds = {each["kind"] for each in first["years"]}
    yield f"\n## Extreme years of {first['flux']}, {first['simulation']}"
    yield ""
    if "interpolation" in kinds:
        yield (
            "> Training years follow some of these years: interpolation, not the "
            "headline. Only forward years are."
        )
        yield ""
    methods = list(first["methods"])
    names = " | ".join(f"{name}: error, amplitude" for name in methods)
    yield f"{first['teacher']}, sd of its anomalies {first['sd']:.2f} PgC yr-1:"
    yield ""
    yield f"| year | kind | anomaly | extreme | {names} |"
    yield f"|{'---|' * (4 + len(methods))}"
    for each in first["years"]:
        cells = [str(each["year"]), each["kind"], _number(each["anomaly"], "+.2f")]
        cells.append("yes" if each["is_extreme"] else "no")
        for name in methods:
            found = each["methods"][name]
            amplitude = found.get("amplitude")
            shown = f"{found['error']:+.2f}, {_number(amplitude)}"
            cells.append(shown if each["is_extreme"] else f"{found['error']:+.2f}")
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield "| teacher | method | extreme | signs right | amplitude | error of others |"
    yield "|---|---|---|---|---|---|"
    for record in records:
        for name, found in record["methods"].items():
            yield (
                f"| {record['teacher']} | {name} | {found['extremes']} | "
                f"{found['signs_right']} | {_number(found['amplitude'])} | "
                f"{_number(found['absolute_error'])} |"
            )
    yield ""
    yield from (f"- **{name}**: {text}" for name, text in DEFINITIONS.items())


def _series(
    hindcast: Hindcast,
    labels: Array,
    months: npt.NDArray[np.datetime64],
    row: int,
    place: int,
) -> tuple[dict[int, float], Years, dict[str, Array]] | None:
    """Return a teacher's record, the scored years, and predictions of these.

    Totals are taken over the cells with labels in the whole record.
    """
    rows = np.isfinite(labels).any(axis=1)
    area = np.where(covered(labels), hindcast.area, 0.0)
    years, totals = annual_totals(np.nan_to_num(labels[rows]), area, months[rows])
    known = dict(zip(years.tolist(), totals.tolist(), strict=True))
    truth = np.isfinite(hindcast.truth[row, place]).any(axis=1)
    if not known or not truth.any():
        return None
    predictions = {}
    scored = years[:0]
    for name, values in hindcast.predictions.items():
        scored, predictions[name] = annual_totals(
            np.nan_to_num(values[row, place][truth]), area, hindcast.months[truth]
        )
    for name, totals in hindcast.annual.items():
        if totals.shape[2] == scored.size:
            predictions[name] = totals[row, place]
    return known, scored, predictions


def _mean(
    series: Sequence[tuple[dict[int, float], Years, dict[str, Array]]],
) -> tuple[dict[int, float], Years, dict[str, Array]]:
    """Average teachers over the years that all of them have."""
    records = [record for record, _, _ in series]
    shared = sorted(set.intersection(*(set(record) for record in records)))
    scored = np.array(
        sorted(set.intersection(*(set(years.tolist()) for _, years, _ in series))),
        np.int64,
    )
    names = [name for name in series[0][2] if all(name in p for _, _, p in series)]
    return (
        {year: float(np.mean([record[year] for record in records])) for year in shared},
        scored,
        {
            name: np.mean(
                [p[name][np.searchsorted(years, scored)] for _, years, p in series],
                axis=0,
            )
            for name in names
        },
    )


def _extreme(departure: float, anomaly: float) -> Record:
    return {
        "sign": bool(np.sign(departure) == np.sign(anomaly)),
        "amplitude": float(departure / anomaly),
    }


def _summary(departure: Array, anomaly: Array, error: Array, extreme: Array) -> Record:
    """Return what a method does in all extreme years, and in the others."""
    p, t = departure[extreme], anomaly[extreme]
    other = np.abs(error[~extreme])
    return {
        "extremes": int(extreme.sum()),
        "signs_right": int((np.sign(p) == np.sign(t)).sum()),
        "amplitude": float(p @ t / (t @ t)) if t.size else None,
        "absolute_error": float(other.mean()) if other.size else None,
    }


def _plain(value: float) -> float | None:
    """Return None for NaN, which JSON does not know."""
    return None if np.isnan(value) else float(value)


def _number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)
