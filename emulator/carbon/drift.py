"""What a control says of the drift of an ocean model, and the sink without it.

An ocean model is not in balance when its simulation begins: it takes up or gives off
carbon though CO2 and climate stay the same, ever less as it settles. The control
(simulation B of the carbon budget) shows that flux alone. The sink is what is left of
the transient simulation when a smooth fit to the control is taken off,

    S_OCEAN = A - fit(B),

which takes off the natural steady flux as well, and no weather of the control. Both are
aligned by *model year*, the years since the start that they share: calendar labels of a
control are often nominal, and a settling control taken off by label takes off a trend
that the transient simulation no longer has.

Beyond the fitted years the fit is held at its end, since a line through a settling
control, drawn on, would turn its last trend into a sink that grows for ever. Such years
are told apart from fitted ones.

Source:
    Friedlingstein et al. (2025), Global Carbon Budget 2024, ESSD 17, on ocean models
    (a fit to simulation B is subtracted from simulation A).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Form = Literal["constant", "linear"]

FORMS = ("constant", "linear")
"""What is fitted to a control: its mean, or a line through it."""

FEWEST = {"constant": 1, "linear": 3}
"""Years that a fit needs: through two, a line fits whatever they are."""


@dataclass(frozen=True, eq=False)
class Drift:
    """A fit to a control, in the unit of what was fitted.

    Attributes:
        form: "constant" or "linear".
        first: First model year that was fitted.
        last: The last one.
        level: Value in the middle of these years; shape (...).
        slope: Change per model year, 0 for a constant; shape (...).
    """

    form: Form
    first: int
    last: int
    level: Array
    slope: Array

    def at(self, model_years: NDArray[Any]) -> Array:
        """Return the fit, held at the ends of the fitted years beyond them.

        Args:
            model_years: The number of a year stands for its middle: months may lie
                between; shape (year,).

        Returns:
            In the unit of the control; shape (..., year).
        """
        inside = np.clip(model_years, self.first - 0.5, self.last + 0.5)
        since = inside - (self.first + self.last) / 2
        return np.asarray(self.level[..., None] + self.slope[..., None] * since)

    def is_extrapolated(self, model_years: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which model years the control says nothing about; shape (year,)."""
        whole = np.floor(np.asarray(model_years) + 0.5)
        return np.asarray((whole < self.first) | (whole > self.last))

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON types."""
        return {
            "form": self.form,
            "first": self.first,
            "last": self.last,
            "level": self.level.tolist(),
            "slope": self.slope.tolist(),
        }

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> "Drift":
        """Return what ``to_dict`` wrote."""
        return cls(
            form=said["form"],
            first=int(said["first"]),
            last=int(said["last"]),
            level=np.asarray(said["level"], np.float64),
            slope=np.asarray(said["slope"], np.float64),
        )


def model_years(labels: NDArray[Any], year_one: int) -> NDArray[Any]:
    """Return the model years of calendar labels.

    Args:
        labels: Years as the files label them; shape (year,).
        year_one: The label that model year 1 has, or would have.
    """
    return np.asarray(labels) - year_one + 1


def middle_of_months(months: NDArray[Any]) -> Array:
    """Return months as decimal years in which the number of a year is its middle.

    Args:
        months: datetime64; shape (time,).
    """
    since = months.astype("datetime64[M]").astype(np.int64)
    return 1970 + (since + 0.5) / 12 - 0.5


def fit(control: NDArray[Any], years: NDArray[Any], form: Form) -> Drift:
    """Fit a control by least squares.

    Args:
        control: Annual totals, PgC yr-1, or annual means of cells, kg m-2 s-1; NaN of a
            cell stays NaN; shape (..., year).
        years: Their model years, one after the other; shape (year,).
        form: "constant" or "linear".

    Returns:
        The fit; its ``level`` and ``slope`` have the shape (...).

    Raises:
        ValueError: If the form is not known, years do not follow each other, or are too
            few for the form.
    """
    if form not in FORMS:
        raise ValueError(
            f"A control is fitted by one of {', '.join(FORMS)}, not {form!r}."
        )
    if control.shape[-1:] != years.shape or (np.diff(years) != 1).any():
        raise ValueError(
            f"The control has the shape {control.shape} and {years.size} model years, "
            f"but consecutive years must be its last dimension."
        )
    if years.size < FEWEST[form]:
        raise ValueError(
            f"A {form} fit needs {FEWEST[form]} years of the control, got "
            f"{years.size}. Give a longer control or another form."
        )
    values = control.astype(np.float64)
    level = values.mean(axis=-1)
    slope = np.zeros_like(level)
    if form == "linear":
        since = years - years.mean()
        slope = (values * since).sum(axis=-1) / (since**2).sum()
    return Drift(form, int(years[0]), int(years[-1]), np.asarray(level), slope)
