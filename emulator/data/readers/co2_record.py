"""Monthly CO2 of NOAA with its deseasonalised trend: global mean, and Mauna Loa.

Three renditions of each are read: NOAA's own ``co2_mm_gl.csv`` and ``co2_mm_mlo.csv``,
their twins ``.txt`` with the same columns but no header, and those of the public "CO2
PPM" data package, whose headers have fewer names than their rows have values, so that
a reader who trusts them takes an uncertainty for the trend. A file that is none of
these is refused.

Source:
    https://gml.noaa.gov/ccgg/trends/gl_data.html and .../data.html;
    https://github.com/datasets/co2-ppm.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.carbon.errors import TimeAxisError, UserError
from emulator.data.readers.files import read_text

Array = NDArray[np.float64]

_GLOBAL = ("date", "", "", "", "trend", "sigma")
_STATION = ("date", "", "", "trend", "", "", "sigma")
_NOAA_GLOBAL = ("global", ("year", "month", "", "", "", "trend", "sigma"))
_NOAA_STATION = ("mauna_loa", ("year", "month", "", "", "trend", "", "", "sigma"))
_LAYOUTS = {
    ("year", "month", "decimal", "average", "average_unc", "trend", "trend_unc"): (
        _NOAA_GLOBAL
    ),
    ("date", "decimal date", "average", "trend"): ("global", _GLOBAL),
    ("year", "month", "decimal date", "average", "deseasonalized", "ndays", "sdev",
     "unc"): _NOAA_STATION,
    ("date", "decimal date", "average", "interpolated", "trend", "number of days"): (
        "mauna_loa", _STATION,
    ),
}  # fmt: skip
"""By header in small letters: whose record it is, and what the values of a row are."""

_UNNAMED = {("gl", 7): _NOAA_GLOBAL, ("mlo", 8): _NOAA_STATION}
"""By the end of the name of a file without a header, and the values of its rows: the
station's of some years ago had seven, of which the last was no error."""


@dataclass(frozen=True, eq=False)
class Co2Record:
    """Deseasonalised CO2 in dry air.

    Attributes:
        place: "global" for the mean over marine surface sites, or "mauna_loa".
        months: Increasing, datetime64[M]; shape (time,).
        trend: ppm, NaN where missing; shape (time,).
        sigma: Standard error, ppm, NaN where not stated; shape (time,).
        source: Name of the file.
    """

    place: str
    months: NDArray[np.datetime64]
    trend: Array
    sigma: Array
    source: str


def read(path: Path) -> Co2Record:
    """Read a record.

    Raises:
        UserError: If the file is not there, or none of the renditions above.
        TimeAxisError: If its months do not increase.
    """
    if not path.is_file():
        raise UserError(
            f"No file '{path}'. Get co2_mm_gl.csv from "
            f"https://gml.noaa.gov/ccgg/trends/gl_data.html."
        )
    lines = read_text(path).splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    begin = lines[0] if lines else "nothing"
    header = tuple(name.strip().casefold() for name in begin.split(","))
    if header in _LAYOUTS:
        place, meanings = _LAYOUTS[header]
        rows = list(csv.reader(lines[1:]))
    else:
        rows = [line.split() for line in lines]
        key = path.stem.lower().split("_")[-1], len(begin.split())
        if key not in _UNNAMED:
            raise UserError(
                f"{path} begins with {begin}, which is no header of NOAA's monthly CO2 "
                f"(co2_mm_gl.csv, co2_mm_mlo.csv) and no row of theirs without one "
                f"(co2_mm_gl.txt, co2_mm_mlo.txt). Get it again."
            )
        place, meanings = _UNNAMED[key]
    months, values = [], []
    for number, row in enumerate(rows, start=1 + len(lines) - len(rows)):
        try:
            named = dict(zip(meanings, row, strict=True))
            month = named.get("date") or f"{named['year']}-{int(named['month']):02d}"
            months.append(np.datetime64(month.strip()[:7], "M"))
            values.append((float(named["trend"]), float(named["sigma"])))
        except ValueError as error:
            raise UserError(
                f"{path}: line {number} below the comments, {row}, cannot be read "
                f"({error}). Get it again."
            ) from None
    stamps = np.array(months, "datetime64[M]")
    if not stamps.size or (np.diff(stamps).astype(np.int64) < 1).any():
        raise TimeAxisError(
            f"{path} has {stamps.size} months that do not increase throughout. Get it "
            f"again."
        )
    # NOAA writes -99.99, -9.99 and -0.99 for what is missing.
    known = np.array([[np.nan if x < 0 else x for x in pair] for pair in values])
    return Co2Record(place, stamps, known[:, 0], known[:, 1], path.name)


def read_daily(path: Path) -> Co2Record:
    """Read the daily global trend, ``co2_trend_gl.csv`` or ``.txt``, as monthly means.

    Months of which a day is missing are left out: the first and the running one.

    Raises:
        UserError: If the file is not there, or not of year, month, day, the smoothed
            value and the trend.
        TimeAxisError: If its days do not increase.
    """
    if not path.is_file():
        raise UserError(
            f"No file '{path}'. Get co2_trend_gl.csv from "
            f"https://gml.noaa.gov/ccgg/trends/gl_trend.html."
        )
    days, trend = [], []
    for line in read_text(path).replace(",", " ").splitlines():
        values = line.split()
        if not values or line.startswith(("#", "year")):
            continue
        try:
            year, month, day = (int(value) for value in values[:3])
            days.append(np.datetime64(f"{year:04d}-{month:02d}-{day:02d}", "D"))
            _, one = (float(value) for value in values[3:])
        except ValueError as error:
            raise UserError(
                f"{path} has the line {line!r}, but year, month, day, smoothed value "
                f"and trend are needed ({error}). Get it again."
            ) from None
        trend.append(one if one > 0 else np.nan)
    stamps, daily = np.array(days, "M8[D]"), np.array(trend)
    if not stamps.size or (np.diff(stamps).astype(np.int64) < 1).any():
        raise TimeAxisError(
            f"{path} has {stamps.size} days that do not increase throughout. Get it "
            f"again."
        )
    months, first = np.unique(stamps.astype("M8[M]"), return_index=True)
    count = np.diff(np.append(first, daily.size))
    length = (months + 1).astype("M8[D]") - months.astype("M8[D]")
    is_whole = count == length.astype(np.int64)
    means = np.add.reduceat(daily, first)[is_whole] / count[is_whole]
    nothing = np.full(means.size, np.nan)
    return Co2Record("global", months[is_whole], means, nothing, path.name)
