"""Indices of one number a month or a year: El Nino, and the growth of CO2.

Source:
    NOAA CPC, https://www.cpc.ncep.noaa.gov/data/indices/ (``oni.ascii.txt``,
    ``RONI.ascii.txt``); NOAA GML, https://gml.noaa.gov/ccgg/trends/gl_gr.html
    (``co2_gr_gl.txt``, ``co2_gr_mlo.txt``). Packages that carry them on as CSV with a
    header are read as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import TimeAxisError, UserError
from emulator.data.readers.files import read_text

SEASONS = (
    *("DJF", "JFM", "FMA", "MAM", "AMJ", "MJJ"),
    *("JJA", "JAS", "ASO", "SON", "OND", "NDJ"),
)
"""Of three months, each under the middle one; DJF is January of its year."""

_NINO_HEADERS = {
    ("seas", "yr", "total", "anom"): "oni",
    ("season", "year", "sst_total", "oni_anomaly"): "oni",
    ("seas", "yr", "anom"): "roni",
}
"""By header in small letters: which index the last column is."""

_MISSING = -99.0
"""Both centres write -99.9 or -99.99 for what is not there yet."""


@dataclass(frozen=True, eq=False)
class Index:
    """A number for each month or year.

    Attributes:
        name: ``oni``, ``roni`` or ``co2_growth``.
        months: Increasing, datetime64[M], January for a year; shape (time,).
        values: K, or ppm yr-1; NaN where missing; shape (time,).
        sigma: Its standard error, NaN where not stated; shape (time,).
    """

    name: str
    months: NDArray[np.datetime64]
    values: NDArray[np.float64]
    sigma: NDArray[np.float64]


def read_nino(path: Path) -> Index:
    """Read ONI or RONI; the header says which.

    Raises:
        UserError: If the file is not there, has another header, or a row cannot be
            read.
        TimeAxisError: If its seasons do not follow one another.
    """
    header, *rows = _rows(path, "oni.ascii.txt")
    name = _NINO_HEADERS.get(tuple(word.casefold() for word in header))
    if name is None:
        raise UserError(
            f"{path} begins with {' '.join(header)!r}, but 'SEAS YR TOTAL ANOM' (ONI) "
            f"or 'SEAS YR ANOM' (RONI) is needed. Get it again."
        )
    months, values = [], []
    for row in rows:
        try:
            season, year, *_, anomaly = row
            number = SEASONS.index(season.upper()) + 1
            months.append(np.datetime64(f"{int(year):04d}-{number:02d}", "M"))
            values.append(float(anomaly))
        except ValueError as error:
            raise UserError(
                f"{path}: the row {' '.join(row)!r} cannot be read ({error}); a season "
                f"such as DJF, a year and an anomaly are needed. Get it again."
            ) from None
    return _index(name, months, values, [np.nan] * len(values), path, step=1)


def read_growth(path: Path) -> Index:
    """Read the annual growth of CO2, ppm yr-1, with its error.

    Raises:
        UserError: If the file is not there, or a row is not of year, growth and error.
        TimeAxisError: If its years do not follow one another.
    """
    rows = _rows(path, "co2_gr_gl.txt")
    if rows and rows[0][0].casefold() == "year":
        rows = rows[1:]
    months, values, sigma = [], [], []
    for row in rows:
        try:
            year, growth, error = (float(word) for word in row)
            months.append(np.datetime64(f"{int(year):04d}-01", "M"))
        except ValueError as wrong:
            raise UserError(
                f"{path}: the row {' '.join(row)!r} cannot be read ({wrong}); year, "
                f"annual increase and its uncertainty are needed. Get it again."
            ) from None
        values.append(growth)
        sigma.append(error)
    return _index("co2_growth", months, values, sigma, path, step=12)


def _rows(path: Path, usual: str) -> list[list[str]]:
    """Return the words of lines that are no comment, parted by blanks or commas.

    A header may hold names of two words; then the commas alone part it.
    """
    if not path.is_file():
        raise UserError(f"No file '{path}'. Get {usual}; docs/data.md says where.")
    lines = read_text(path).splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    if not lines:
        raise UserError(f"{path} holds no data. Get {usual} again.")
    return [
        [word.strip() for word in line.split(",")] if "," in line else line.split()
        for line in lines
    ]


def _index(
    name: str,
    months: Sequence[np.datetime64],
    values: list[float],
    sigma: list[float],
    path: Path,
    step: int,
) -> Index:
    stamps = np.array(months, "M8[M]")
    if not stamps.size or (np.diff(stamps).astype(np.int64) != step).any():
        raise TimeAxisError(
            f"{path} has {stamps.size} {'years' if step == 12 else 'seasons'} that do "
            f"not follow one another. Get it again."
        )
    held = np.array(values)
    held[held < _MISSING] = np.nan
    return Index(name, stamps, held, np.array(sigma))
