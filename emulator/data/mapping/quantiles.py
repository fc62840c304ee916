"""Quantile mapping, trained by xsdba: the one module that needs the extra ``mapping``.

It is trained month by month: with ``group="time.month"`` xsdba also interpolates
between months by the day of a stamp, which for monthly means would mix two of them.
What was trained is applied by ``emulator.carbon.mapping`` and needs no xsdba, so that
nights run without it.
"""

import importlib
import warnings
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import SettingsError
from emulator.carbon.mapping import Array, Floats, Months
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, month_of

KIND = "+"
"""Additive also for what is positive: between quantiles the result is then exactly
that of the other distribution, and no quantile of 0 divides."""


def trained(
    source: Floats, target: Floats, months: Months, count: int, units: str
) -> tuple[Array, Array]:
    """Return the quantiles of each calendar month, and the shift at each of them.

    Args:
        source: Values of the product; shape (time, cell), NaN only in whole cells.
        target: Values of the other product in the same months.
        months: Whole years, datetime64[M]; shape (time,).
        count: How many quantiles, at (i - 1/2) / count.
        units: Unit of both.

    Returns:
        Quantiles of the source, and target - source at each; both float64, shape (12,
        quantile, cell).

    Raises:
        SettingsError: If xsdba is not installed.
    """
    xsdba = _library()
    shape = (MONTHS_PER_YEAR, count, source.shape[1])
    quantiles, shifts = np.full(shape, np.nan), np.full(shape, np.nan)
    known = np.isfinite(source).all(axis=0) & np.isfinite(target).all(axis=0)
    calendar = month_of(months)
    for month in range(1, MONTHS_PER_YEAR + 1):
        chosen = calendar == month
        fields = [
            _field(values[chosen][:, known], months[chosen], units)
            for values in (target, source)
        ]
        with warnings.catch_warnings():
            # Of jsonpickle 4, in which xsdba keeps its own settings.
            warnings.filterwarnings("ignore", "keys will default", DeprecationWarning)
            found = xsdba.EmpiricalQuantileMapping.train(
                *fields, nquantiles=count, kind=KIND, group="time"
            ).ds
        quantiles[month - 1][:, known] = _values(found["hist_q"])
        shifts[month - 1][:, known] = _values(found["af"])
    return quantiles, shifts


def _field(values: Floats, months: Months, units: str) -> xr.DataArray:
    time = months.astype("M8[ns]")
    coords = {"time": time}
    return xr.DataArray(
        values.astype(np.float64), coords, ("time", "cell"), attrs={"units": units}
    )


def _values(field: xr.DataArray) -> NDArray[Any]:
    return field.squeeze("group").transpose("quantiles", "cell").to_numpy()


def _library() -> Any:
    """Import xsdba, which takes seconds, only where it is needed."""
    try:
        return importlib.import_module("xsdba")
    except ImportError as error:
        raise SettingsError(
            f"Quantile mapping needs the library xsdba, which cannot be imported "
            f"({error}). Install it with `pip install 'sink-emulator[mapping]'`, or "
            f"choose methods delta and ratio."
        ) from error
