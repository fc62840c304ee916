"""The drift of an ocean model as its catalog entry has it taken out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.drift import FEWEST, Drift, fit, model_years
from emulator.carbon.errors import CatalogError
from emulator.data.budget_column import Annual, by_decade
from emulator.data.drift_source import DriftSource


@dataclass(frozen=True)
class DriftReport:
    """A sink as it is, and without the drift of its control.

    Attributes:
        transient: The simulation that is the sink.
        control: The one that shows the drift.
        form: What was fitted to the control.
        fitted: First and last label of the control that were fitted.
        model_years: The same as model years.
        slope: Change of the fit, PgC yr-1 a decade.
        extrapolated: Share of the transient's years that lie outside the fitted model
            years, where the fit is held at its end.
        decades: By span of years: ``raw``, the ``drift`` and the ``sink`` without it,
            PgC yr-1.
    """

    transient: str
    control: str
    form: str
    fitted: tuple[int, int]
    model_years: tuple[int, int]
    slope: float
    extrapolated: float
    decades: Mapping[str, Mapping[str, float]]


def fit_control(
    source: DriftSource, labels: NDArray[np.int64], control: NDArray[Any], name: str
) -> Drift:
    """Fit a control as its entry says.

    Args:
        source: What the entry says.
        labels: Calendar labels of the control's complete years; shape (year,).
        control: Annual totals or means; shape (..., year).
        name: Of the entry, for messages.

    Returns:
        The fit over model years.

    Raises:
        CatalogError: If the control lacks years that are to be fitted, or has too few.
    """
    first, last = source.fit or (int(labels.min(initial=0)), int(labels.max(initial=0)))
    inside = (labels >= first) & (labels <= last)
    count = int(inside.sum())
    wanted = max(last - first + 1 if source.fit else 0, FEWEST[source.form])
    if count < wanted:
        span = f"{labels[0]} to {labels[-1]}" if labels.size else "none"
        asked = f", {first} to {last}" if source.fit else ""
        raise CatalogError(
            f"The drift of '{name}' is a {source.form} fit to {wanted} years of "
            f"simulation '{source.control}'{asked}, but of these {count} are there "
            f"(whole years: {span}). Get the missing files, or correct 'drift' in the "
            f"catalog entry."
        )
    years = model_years(labels[inside], source.year_one[source.control])
    return fit(control[..., inside], years, source.form)


def corrected(
    source: DriftSource, transient: Annual, control: Annual, name: str
) -> Annual:
    """Return annual totals of a sink without the drift of its control.

    Arguments and errors are those of ``report``.
    """
    labels, sink = transient
    found = fit_control(source, *control, name)
    years = model_years(labels, source.year_one[source.transient])
    return labels, sink - found.at(years)


def report(
    source: DriftSource, transient: Annual, control: Annual, name: str
) -> DriftReport:
    """Return what the control changes of a sink.

    Args:
        source: What the entry says.
        transient: Complete years and the total of each, PgC; shape (year,) both.
        control: The same of the control.
        name: Of the entry, for messages.

    Raises:
        CatalogError: See ``fit_control``.
    """
    labels, sink = transient
    found = fit_control(source, *control, name)
    years = model_years(labels, source.year_one[source.transient])
    drift = found.at(years)
    one = source.year_one[source.control] - 1
    return DriftReport(
        transient=source.transient,
        control=source.control,
        form=found.form,
        fitted=(found.first + one, found.last + one),
        model_years=(found.first, found.last),
        slope=float(found.slope) * 10,
        extrapolated=float(found.is_extrapolated(years).mean()),
        decades={
            span: {
                "raw": float(sink[inside].mean()),
                "drift": float(drift[inside].mean()),
                "sink": float((sink - drift)[inside].mean()),
            }
            for span, inside in by_decade(labels).items()
        },
    )
