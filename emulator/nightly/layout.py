"""The map's frame: coordinates with bounds, cell areas and flags of each month.

Everything here depends on the grid and the months only, not on the fluxes, and is
written so that CF readers (CDO, QGIS, xarray) find their way.
"""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import as_months, years_of
from emulator.carbon.units import EARTH_RADIUS
from emulator.data import forcing_archive
from emulator.nightly import provenance

Months = NDArray[np.datetime64]

STATUS = {**forcing_archive.STATUS, "unknown": 3}
"""Codes of a month's forcing; where domains differ the higher one holds."""

SIMULATED = {"not_known": -1, "emulated_only": 0, "simulated_by_teacher": 1}
"""Codes that tell a month which a teacher has simulated from one it has not."""


def frame(grid: Grid, months: Months) -> xr.Dataset:
    """Return coordinates with bounds, ``area`` and ``crs`` of a map."""
    lat_edges, lon_edges = grid.edges()
    time = _axis("time", "T", units_metadata="leap_seconds: none")
    lat = _axis("latitude", "Y", units="degrees_north")
    lon = _axis("longitude", "X", units="degrees_east")
    sphere = {
        "long_name": "sphere on which areas are computed",
        "grid_mapping_name": "latitude_longitude",
        "earth_radius": EARTH_RADIUS,
    }
    area = {
        "long_name": "area of the whole cell",
        "standard_name": "cell_area",
        "units": "m2",
        "grid_mapping": "crs",
    }
    return xr.Dataset(
        {
            "crs": ((), np.int32(0), sphere),
            "area": (("lat", "lon"), grid.cell_area(), area),
            "time_bnds": (
                ("time", "bnds"),
                _pairs(_starts(months), _starts(months + 1)),
            ),
            "lat_bnds": (("lat", "bnds"), _pairs(lat_edges[:-1], lat_edges[1:])),
            "lon_bnds": (("lon", "bnds"), _pairs(lon_edges[:-1], lon_edges[1:])),
        },
        coords={
            "time": ("time", _starts(months), {**time, "bounds": "time_bnds"}),
            "lat": ("lat", grid.lat, {**lat, "bounds": "lat_bnds"}),
            "lon": ("lon", grid.lon, {**lon, "bounds": "lon_bnds"}),
        },
    )


def month_flags(
    predictions: Mapping[str, xr.Dataset], months: Months, issued: np.datetime64
) -> xr.Dataset:
    """Return what each month is made of: status, coverage, forcing, issue, revision.

    Args:
        predictions: Prediction of each domain, with ``status`` and ``coverage`` of
            its forcing where the forcing states them.
        months: The months of the map.
        issued: Time of issue, UTC; the same for all months of a new map.
    """
    status = np.full(months.size, -1, np.int8)
    coverage = np.full(months.size, np.inf, np.float32)
    sources: list[set[str]] = [set() for _ in months]
    for prediction in predictions.values():
        slots = month_slots(prediction, months)
        stated = prediction.get("status", STATUS["unknown"])
        status[slots] = np.maximum(status[slots], np.asarray(stated))
        seen = prediction.get("coverage", np.nan)
        coverage[slots] = np.minimum(coverage[slots], np.asarray(seen))
        names = provenance.forcing_names(prediction)
        for slot in slots:
            sources[slot] |= names
    together = ["+".join(sorted(names)) for names in sources]
    known = {words: code for code, words in enumerate(dict.fromkeys(together))}
    codes = np.array([known[words] for words in together], np.int8)
    flags = xr.Dataset(
        {
            "status": _flags("time", status, STATUS, "status of the month's forcing"),
            "coverage": ("time", coverage),
            "forcing_source": _flags("time", codes, known, "forcing products"),
            "issued": ("time", np.full(months.size, issued.astype("M8[ns]"))),
            "revision": ("time", np.zeros(months.size, np.int8)),
        }
    )
    flags["status"].attrs["standard_name"] = "status_flag"
    flags["coverage"].attrs = {
        "long_name": "share of the month's days with forcing; NaN: not stated",
        "units": "1",
    }
    flags["issued"].attrs["long_name"] = "time of issue of the month's values, UTC"
    flags["revision"].attrs = {
        "long_name": "number of times the month's values were revised",
        "units": "1",
    }
    return flags


def simulated(
    prediction: xr.Dataset, teacher_dim: str, months: Months
) -> tuple[xr.Variable, xr.Variable]:
    """Return the teachers' names, and which months each has simulated itself.

    After a teacher's labels end nothing but the emulator speaks for it.
    """
    names = [str(name) for name in prediction["teacher"].to_numpy()]
    codes = np.full((len(names), months.size), SIMULATED["not_known"], np.int8)
    for index, name in enumerate(names):
        span = provenance.label_years(prediction, name)
        if span is not None:
            years = years_of(months)
            within = (years >= span[0]) & (years <= span[1])
            codes[index] = np.where(
                within, SIMULATED["simulated_by_teacher"], SIMULATED["emulated_only"]
            )
    labels = xr.Variable(teacher_dim, text(names), {"long_name": "teacher"})
    flags = _flags(
        (teacher_dim, "time"), codes, SIMULATED, "whether the teacher has this month"
    )
    return labels, flags


def month_slots(prediction: xr.Dataset, months: Months) -> NDArray[np.intp]:
    """Return where a prediction's months stand among the map's."""
    return np.searchsorted(months, as_months(prediction["time"].to_numpy()))


def text(names: list[str]) -> NDArray[np.object_]:
    """Return names as objects: zarr has no stable form of NumPy's own strings."""
    return np.array(names, dtype=object)


def _flags(
    dims: str | tuple[str, ...],
    codes: NDArray[np.int8],
    meanings: Mapping[str, int],
    long_name: str,
) -> xr.Variable:
    """Return a variable of codes, explained as CF section 3.5 wants."""
    attrs = {
        "long_name": long_name,
        "flag_values": np.array(list(meanings.values()), np.int8),
        "flag_meanings": " ".join(meanings),
    }
    return xr.Variable(dims, codes, attrs)


def _axis(standard_name: str, axis: str, **more: str) -> dict[str, str]:
    return {
        "standard_name": standard_name,
        "long_name": standard_name,
        "axis": axis,
        **more,
    }


def _starts(months: Months) -> Months:
    return months.astype("datetime64[ns]")


def _pairs(
    first: NDArray[np.generic], last: NDArray[np.generic]
) -> NDArray[np.generic]:
    return np.stack([first, last], axis=1)
