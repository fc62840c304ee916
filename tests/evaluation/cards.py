"""Scorecards by hand, small enough that every score is known."""

from typing import Any

from emulator.evaluation.settings import CELL_BASELINES

YEARS = list(range(2001, 2007))
TRUTH = [1.0, 2.0, 1.5, 3.0, 2.5, 2.0]


def method(errors: list[float], miss: list[float]) -> dict[str, Any]:
    """Return a method with known scores.

    Args:
        errors: Squared error of each year's cells; truth has mean 0 and mean square 1
            in every year, so that ``anomaly_r2`` is 1 - mean(errors).
        miss: Prediction - truth of annual totals, PgC; their RMSE is its own.
    """
    ones, zeros = [1.0] * len(errors), [0.0] * len(errors)
    moments = {"weight": ones, "error": errors, "first": zeros, "second": ones}
    return {
        "cells": {
            "anomaly_r2": plain(1 - sum(errors) / len(errors)),
            "yearly": {"years": YEARS, **moments},
            "yearly_shape": {"years": YEARS, **moments},
        },
        "annual": {"rmse": plain((sum(m * m for m in miss) / len(miss)) ** 0.5)},
        "annual_totals": [t + m for t, m in zip(TRUTH, miss, strict=True)],
    }


def plain(value: float) -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "n": len(YEARS)}


def constant(error: float, miss: float) -> dict[str, Any]:
    """Return a method with the same error in every year."""
    return method([error] * len(YEARS), [miss] * len(YEARS))


def card(
    network: dict[str, Any], *, baseline: dict[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """Return a scorecard of one teacher whose baselines are all alike."""
    other = baseline or constant(0.5, 0.2)
    record = {
        "flux": "nbp",
        "simulation": "S2",
        "teacher": "ONE",
        "scope": "all",
        "years": YEARS,
        "n_years": len(YEARS),
        "teacher_annual": TRUTH,
        "methods": {"network": network, **dict.fromkeys(CELL_BASELINES, other)},
    }
    return {
        "schema": "scorecard/1",
        "run": "tiny",
        "checkpoint": "own",
        "store_hash": "tiny",
        "split": {"part": "test", "test": [YEARS[0], YEARS[-1]]},
        "teachers": ["ONE"],
        "test_reads": 1,
        "caveats": ["A caveat of the scorecard."],
        "records": [record],
        **changes,
    }
