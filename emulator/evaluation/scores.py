"""All scores of one flux: plain dictionaries for the scorecard, from arrays.

One *record* is one simulation and teacher (or the mean of teachers) in one scope: all
cells, or the cells of a held-out region. Every method of a record is scored on the same
cells and months, and with the same draws of years.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.carbon.budget import area_total
from emulator.evaluation import bootstrap, metrics
from emulator.evaluation.hindcast import (
    MEAN,
    NETWORK,
    Hindcast,
    annual_totals,
    covered,
)
from emulator.evaluation.task import Array, Mask

Record = dict[str, Any]

REFERENCE = "climatology"

NET_FLUXES = ("nbp", "fgco2")
"""What the emulator is for; the other fluxes are their components."""

TRANSIENT = ("S2", "A", "S3", "S1")
"""Simulations with changing climate and CO2, the headline first; then controls."""

DEFINITIONS = {
    "anomaly_r2": "1 - sum a (p - t)^2 / sum a (t - mean t)^2 of anomalies from the "
    "cell's training climatology; a = area of the domain in the cell; pooled over "
    "cells and months",
    "shape_r2": "anomaly_r2 after each cell's mean over the scored months is removed "
    "from prediction and truth",
    "raw_r2": "the same of the values themselves; flatters, never a headline",
    "cell_r2_median": "area-weighted median over cells of each cell's own anomaly R2",
    "cell_r2_p10": "area-weighted tenth percentile over cells of the same",
    "skill_climatology": "1 - MSE / MSE of climatology, monthly values of cells",
    "skill_best_baseline": "1 - MSE / MSE of the baseline with the least MSE",
    "bias": "mean of prediction - teacher, annual totals, PgC yr-1",
    "rmse": "root mean square of prediction - teacher, annual totals, PgC yr-1",
    "relative_error": "rmse over the absolute mean of the teacher's annual totals",
    "annual_r2": "1 - sum (p - t)^2 / sum (t - mean t)^2 of annual totals, raw",
    "annual_r2_centred": "the same with both means over the scored years removed",
    "detrended_r": "correlation of annual totals, each without its line in time",
    "sd_ratio": "sd of predicted / sd of the teacher's annual totals",
    "phase_error_months": "first harmonic of the mean seasonal cycle of the total: "
    "months by which the prediction is late",
    "amplitude_ratio": "ratio of the amplitudes of these harmonics",
    "cell_phase_error_median": "area-weighted median over cells of the absolute phase "
    "error, months",
    "cell_phase_error_mean": "area-weighted mean of the absolute phase error, months, "
    "over cells whose amplitude is above its tenth percentile",
    "cell_amplitude_ratio_median": "area-weighted median over cells of the amplitude "
    "ratio",
    "interval": "95 %, percentile of a circular block bootstrap over years; fisher: "
    "95 %, Fisher's z with one parameter for the line",
    "annual totals": "kg s-1 summed over the teacher's cells, months weighted by their "
    "real length (standard calendar) for teacher and emulator alike",
}


def records(
    hindcast: Hindcast,
    region_sets: Mapping[str, tuple[tuple[str, ...], Array]],
    scopes: Mapping[str, Mask],
) -> Iterator[Record]:
    """Score every simulation and teacher that has truth in the scored months.

    Args:
        hindcast: Truth and predictions, with the mean of teachers if wanted.
        region_sets: By name of the set, the regions and the share of each cell in
            them, (region, cell).
        scopes: By name, the cells that are scored; shape (cell,).

    Yields:
        Records in the order simulation, teacher, scope.
    """
    truth = hindcast.truth
    for s, t in np.ndindex(truth.shape[:2]):
        rows = np.isfinite(truth[s, t]).any(axis=1)
        if not rows.any():
            continue
        for scope, inside in scopes.items():
            cells = inside & np.isfinite(truth[s, t]).any(axis=0)
            if not cells.any():
                continue
            yield {
                "flux": hindcast.flux,
                "simulation": hindcast.simulations[s],
                "teacher": hindcast.teachers[t],
                "scope": scope,
                "weather_seen_in_training": float(hindcast.weather_seen[s]),
                **score(
                    truth[s, t][rows][:, cells],
                    {
                        name: values[s, t][rows][:, cells]
                        for name, values in hindcast.predictions.items()
                    },
                    hindcast.area[cells],
                    hindcast.months[rows],
                    hindcast.climatology[s, t][:, cells],
                    annual_only={
                        name: values[s, t]
                        for name, values in hindcast.annual.items()
                        if scope == "all" and rows.all()
                    },
                    region_sets={
                        name: (regions, weights[:, cells])
                        for name, (regions, weights) in region_sets.items()
                        if scope == "all"
                    },
                ),
            }


def rank(record: Record) -> tuple[bool, int, bool, bool]:
    """Sort records: net flux, transient simulation, mean of teachers, all cells."""
    simulation = record["simulation"]
    return (
        record["flux"] not in NET_FLUXES,
        TRANSIENT.index(simulation) if simulation in TRANSIENT else len(TRANSIENT),
        record["teacher"] != MEAN,
        record["scope"] != "all",
    )


def score(
    truth: Array,
    predictions: Mapping[str, Array],
    area: Array,
    months: npt.NDArray[np.datetime64],
    climatology: Array,
    *,
    annual_only: Mapping[str, Array],
    region_sets: Mapping[str, tuple[tuple[str, ...], Array]],
) -> Record:
    """Score all methods on one set of cells and months.

    Args:
        truth: kg m-2 s-1, NaN where there is none; shape (time, cell).
        predictions: By method; shape (time, cell).
        area: m2; shape (cell,).
        months: datetime64[M]; shape (time,).
        climatology: kg m-2 s-1; shape (12, cell).
        annual_only: Methods with annual totals only, PgC; shape (year,).
        region_sets: As in ``records``.
    """
    whole = covered(truth)
    counted = np.where(whole, area, 0.0)
    years, totals = annual_totals(np.nan_to_num(truth), counted, months)
    drawn = bootstrap.year_draws(years.size) if years.size else None
    methods: dict[str, Record] = {}
    for name, values in predictions.items():
        methods[name] = {
            "cells": _cells(values, truth, area, months, climatology),
            "season": _season(values[:, whole], truth[:, whole], area[whole], months),
        }
        _, predicted = annual_totals(np.nan_to_num(values), counted, months)
        methods[name] |= _annual(predicted, totals, years, drawn)
    for name, predicted in annual_only.items():
        methods[name] = _annual(predicted, totals, years, drawn)
    best = _compare_with_baselines(methods)
    return {
        "first_month": str(months[0]),
        "last_month": str(months[-1]),
        "n_months": int(months.size),
        "n_years": int(years.size),
        "n_cells": int(area.size),
        "years": years.tolist(),
        "teacher_annual": totals.tolist(),
        "best_baseline": best,
        "methods": methods,
        "regions": {
            name: _regions(truth, predictions, counted, months, regions, weights)
            for name, (regions, weights) in region_sets.items()
        },
    }


def _cells(
    values: Array,
    truth: Array,
    area: Array,
    months: npt.NDArray[np.datetime64],
    climatology: Array,
) -> Record:
    p = metrics.anomalies(values, months, climatology)
    t = metrics.anomalies(truth, months, climatology)
    years, pooled = metrics.yearly(metrics.moments(p, t, area), months)
    _, shape = metrics.yearly(metrics.moments(*metrics.centred(p, t), area), months)
    drawn = bootstrap.year_draws(years.size)

    def pooled_score(sums: metrics.Moments) -> dict[str, Any]:
        return bootstrap.score(
            lambda place: sums.take(place).total().r2(), years.size, drawn
        ).as_dict()

    each = metrics.cell_r2(p, t)
    return {
        "anomaly_r2": pooled_score(pooled),
        "shape_r2": pooled_score(shape),
        "raw_r2": _plain(metrics.raw_r2(values, truth, area)),
        "cell_r2_median": _plain(metrics.weighted_quantile(each, area, 0.5)),
        "cell_r2_p10": _plain(metrics.weighted_quantile(each, area, 0.1)),
        "mse": float(pooled.total().mean_squared_error()),
        "yearly": {
            "years": years.tolist(),
            **{name: part.tolist() for name, part in vars(pooled).items()},
        },
        "yearly_shape": {
            "years": years.tolist(),
            **{name: part.tolist() for name, part in vars(shape).items()},
        },
    }


def _annual(
    predicted: Array,
    truth: Array,
    years: npt.NDArray[np.int64],
    drawn: bootstrap.Draws | None,
) -> Record:
    """Score annual totals (year,); nothing where no year is whole."""
    if (
        drawn is None
        or predicted.size != years.size
        or not np.isfinite(predicted).all()
    ):
        return {}

    def interval(kernel: Any, *, timed: bool = False) -> dict[str, Any]:
        def statistic(place: bootstrap.Draws) -> Array:
            when = (years[place],) if timed else ()
            found: Array = kernel(predicted[place], truth[place], *when)
            return found

        return bootstrap.score(statistic, years.size, drawn).as_dict()

    correlation = interval(metrics.detrended_r, timed=True)
    if correlation["value"] is not None:
        fisher = bootstrap.fisher_interval(correlation["value"], years.size)
        correlation["fisher"] = fisher.as_dict()
    return {
        "annual": {
            "bias": interval(metrics.bias),
            "rmse": interval(metrics.rmse),
            "relative_error": interval(metrics.relative_error),
            "annual_r2": interval(metrics.annual_r2),
            "annual_r2_centred": interval(metrics.annual_r2_centred),
            "detrended_r": correlation,
            "sd_ratio": interval(metrics.sd_ratio),
        },
        "annual_totals": predicted.tolist(),
    }


def _season(
    values: Array, truth: Array, area: Array, months: npt.NDArray[np.datetime64]
) -> Record:
    """Score the mean seasonal cycle; nothing unless all calendar months are there."""
    if np.unique(months.astype(np.int64) % 12).size < 12 or not area.size:
        return {}
    cycles = [
        metrics.mean_cycle(area_total(flux, area), months) for flux in (values, truth)
    ]
    p, t = (metrics.mean_cycle(flux, months) for flux in (values, truth))
    late = np.abs(metrics.phase_error(p, t))
    # A cell without a season has no phase.
    late = np.where(metrics.first_harmonic(t)[0] > 0, late, np.nan)
    ratio = metrics.amplitude_ratio(p, t)
    return {
        "phase_error_months": float(metrics.phase_error(*cycles)),
        "amplitude_ratio": _plain(float(metrics.amplitude_ratio(*cycles))),
        "cell_phase_error_median": _plain(metrics.weighted_quantile(late, area, 0.5)),
        "cell_phase_error_mean": _plain(metrics.strong_phase_error(p, t, area)),
        "cell_amplitude_ratio_median": _plain(
            metrics.weighted_quantile(ratio, area, 0.5)
        ),
        "cycle": cycles[0].tolist(),
        "teacher_cycle": cycles[1].tolist(),
    }


def _compare_with_baselines(methods: dict[str, Record]) -> dict[str, str | None]:
    """Add skills against climatology and the best baseline; return the best ones."""
    in_cells = {
        name: found["cells"]["mse"]
        for name, found in methods.items()
        if name != NETWORK and "cells" in found
    }
    in_total = {
        name: found["annual"]["rmse"]["value"]
        for name, found in methods.items()
        if name != NETWORK and "annual" in found
    }
    best = min(in_cells, key=in_cells.__getitem__, default=None)
    for found in methods.values():
        if "cells" in found:
            error = found["cells"]["mse"]
            for name, against in (("climatology", REFERENCE), ("best_baseline", best)):
                reference = in_cells.get(against or "", float("nan"))
                found["cells"][f"skill_{name}"] = _plain(
                    metrics.skill(error, reference)
                )
    return {
        "cells": best,
        "annual": min(in_total, key=in_total.__getitem__, default=None),
    }


def _regions(
    truth: Array,
    predictions: Mapping[str, Array],
    counted: Array,
    months: npt.NDArray[np.datetime64],
    regions: tuple[str, ...],
    weights: Array,
) -> dict[str, Record]:
    """Score annual totals by region; intervals for the network only."""
    found: dict[str, Record] = {}
    known = np.nan_to_num(truth)
    for region, share in zip(regions, weights, strict=True):
        area = counted * share
        if not area.any():
            continue
        years, totals = annual_totals(known, area, months)
        if not years.size:
            continue
        methods: dict[str, Record] = {}
        for name, values in predictions.items():
            _, predicted = annual_totals(np.nan_to_num(values), area, months)
            drawn = bootstrap.year_draws(years.size, 500 if name == NETWORK else 0)
            methods[name] = _annual(predicted, totals, years, drawn)
        found[region] = {
            "area": float(area.sum()),
            "teacher_annual": totals.tolist(),
            "methods": methods,
        }
    return found


def _plain(value: float) -> float | None:
    """Return None for NaN, which JSON does not know."""
    return None if np.isnan(value) else float(value)
