"""Intervals and joint draws of a calibrated run, on the run's own grid.

What `calibrate` learned about a run's forecasts is applied to a prediction: the reach
of the interval of the mean of teachers in each cell and month, and of the totals of
latitude bands and globe by month and year; and fields drawn with the covariance of the
earlier errors. Months with labels get the reach of the first year after them; months
beyond the calibrated leads get nothing.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.budget import area_total, running_total
from emulator.carbon.grid import Grid
from emulator.carbon.regions import latitude_bands
from emulator.carbon.timeaxis import as_months, month_of, years_of
from emulator.carbon.variables import variable
from emulator.data.regrid import conservative
from emulator.evaluation.calibration import (
    Calibration,
    Key,
    Support,
    aggregate,
    lead_years,
    normal_multiple,
    widen,
)
from emulator.evaluation.draws import (
    FEWEST_DRAWS,
    TotalSpread,
    joint_draws,
    rescale,
    year_blocks,
)
from emulator.evaluation.error_fields import (
    ERRORS_FILE,
    ErrorFields,
    read_errors,
)
from emulator.evaluation.forecasts import calibration_of, cell_reference
from emulator.learning.inference import Emulator
from emulator.nightly import series
from emulator.nightly.budget import SINKS
from emulator.nightly.predictions import MEMBER_MEAN

Array = NDArray[np.float64]
Months = NDArray[np.datetime64]

HALF_WIDTH = "interval_half_width"
"""Name of the reach of cells in a prediction; (time, lat, lon), kg m-2 s-1."""

ATTRIBUTE = "intervals"
"""Attribute of a prediction that says, as JSON, what its intervals are."""

GLOBE = "globe"

_SEEDS = {"land": 0, "ocean": 1}
"""Of the draws: errors of land and ocean are taken for independent."""


_TOTALS = {
    "emulation": (
        "interval of what the mean of teachers would be",
        "Not the interval of the real sink.",
    ),
    "sink": (
        "interval of the sink as far as teachers and emulator know it",
        "Error of emulation, spread between teachers and what the rest of a month that "
        "is not over may change, in quadrature. Mean adjustment, forcing and budget "
        "errors are not in it: a lower bound. Missing for one teacher.",
    ),
}
"""What the two intervals of a total are: never one variable."""


@dataclass(frozen=True, eq=False)
class _Reach:
    """Half-widths.

    Attributes:
        half: By support and period; shape (step, place).
        running: Of totals of the twelve months that end with each one, PgC; shape
            (time, globe and regions).
        years: Of the annual ones; shape (year,).
    """

    half: dict[Key, Array]
    running: Array
    years: NDArray[np.int64]


def of_run(run: Path, emulator: Emulator, prediction: xr.Dataset) -> xr.Dataset | None:
    """Return the intervals and draws of what a run predicts; None if not calibrated.

    Args:
        run: Folder of the run.
        emulator: The run.
        prediction: With ``member_mean``, as ``predictions.ask`` returns it. For the
            draws, all months after the last label must be in it.

    Returns:
        For the months of the prediction: ``interval_half_width`` (time, lat, lon),
        kg m-2 s-1, distance of either end from the mean of teachers;
        ``month_half_width`` (region, time), PgC yr-1, and ``year_half_width``
        (region, year), PgC, of the globe and of latitude bands, and
        ``running_half_width`` (region, time), PgC, of the twelve months that end with
        each one, all of which must be in the prediction; NaN out of reach; and
        where forecast years are whole and errors are enough, ``draws``
        (draw, draw_time, draw_lat, draw_lon), kg m-2 s-1 per area of the domain, with
        ``draw_area`` (draw_lat, draw_lon), m2. Attributes say level, leads and what
        they rest on.

    Raises:
        CheckpointError: If the calibration or its error fields cannot be read.
        SettingsError: If the calibration is that of other networks.
    """
    calibrated = calibration_of(run, emulator)
    if calibrated is None:
        return None
    flux = SINKS[emulator.domain]
    months = as_months(prediction["time"].to_numpy())
    cells, area = emulator.cells.numpy(), emulator.area.numpy()
    has_flux = emulator.first.normaliser.labelled[:, emulator.fluxes.index(flux)]
    area = np.where(has_flux.any(dim=0).numpy(), area, 0.0)
    maps = prediction[MEMBER_MEAN].transpose("member", "time", "lat", "lon").to_numpy()
    members = maps.reshape(*maps.shape[:2], -1)[..., cells].astype(np.float64)
    last_label = np.datetime64(emulator.first.about["last_month"])
    reach = _reach(calibrated, emulator, members, months, area, last_label)
    half = np.full((months.size, *emulator.grid.shape), np.nan, np.float32)
    half.reshape(months.size, -1)[:, cells] = reach.half["cell", "month"]
    totals = {
        period: np.concatenate(
            [reach.half["globe", period], reach.half["region", period]], axis=1
        ).T
        for period in ("month", "year")
    }
    found = xr.Dataset(
        {
            HALF_WIDTH: (("time", "lat", "lon"), half),
            "month_half_width": (("region", "time"), totals["month"]),
            "year_half_width": (("region", "year"), totals["year"]),
            "running_half_width": (("region", "time"), reach.running.T),
        },
        coords={
            "time": months.astype("datetime64[ns]"),
            "year": reach.years.astype(np.int32),
            "region": np.array([GLOBE, *calibrated.regions], dtype=object),
        },
        attrs={
            "level": calibrated.level,
            "calibrated_leads": calibrated.leads,
            "last_label": str(last_label),
            **{"_".join(key): calibrated.describe(key) for key in calibrated.factors},
        },
    )
    drawn = _draws(
        calibrated,
        read_errors(run / ERRORS_FILE),
        emulator,
        members.mean(axis=0),
        months,
        area,
        reach,
        lead_years(months, last_label),
    )
    if drawn is None:
        return found
    return found.merge(drawn).assign_attrs(drawn.attrs)


def on_map(
    domain: str,
    prediction: xr.Dataset,
    mean: Array,
    half: Array,
    describe: Callable[[Array, str, str], xr.Variable],
) -> xr.Dataset:
    """Return the intervals of cells, and the draws, as variables of the map.

    Args:
        domain: "land" or "ocean".
        prediction: With what ``of_run`` returned.
        mean: Mean of teachers on the map, kg m-2 s-1; (time, lat, lon).
        half: Half-width there; the same shape.
        describe: Makes a map's variable from values, what they are and the name of
            the first dimension.
    """
    flux, about = SINKS[domain], about_of(prediction)
    level = f"{about['level']:.0%}"
    ends = describe(
        np.stack([mean - half, mean + half]),
        f"ends of the {level} interval of what the mean of teachers would be",
        "bound",
    )
    ends.attrs["comment"] = (
        f"{about['cell_month']}. Not the interval of the real sink, and not to be "
        f"summed: see budget_month_interval_emulation. Missing more than "
        f"{about['calibrated_leads']} years after {about['last_label']}; on another "
        f"grid than the run's, an upper bound."
    )
    found = xr.Dataset({f"{flux}_interval_emulation": ends}, coords=_bounds())
    if "draws" not in prediction:
        return found
    names = {name: f"{flux}_{name}" for name in ("draw_time", "draw_lat", "draw_lon")}
    drawn = prediction[["draws", "draw_area"]].rename(
        {"draws": f"{flux}_draws", "draw_area": f"{flux}_draw_area", **names}
    )
    drawn = drawn.drop_vars([n for n in drawn.coords if n not in names.values()])
    drawn.attrs = {}
    long_name = variable(flux).long_name
    drawn[f"{flux}_draws"].attrs = {
        "long_name": f"{long_name}; joint draws of what the mean of teachers would be",
        "units": variable(flux).units,
        "comment": (
            f"Sum any region within a draw, months by their length, weighted with "
            f"{flux}_draw_area; the spread of the sums is that of the region. From "
            f"{about['paths']} paths of earlier errors, scaled to the intervals of the "
            f"totals; mean over draws = ensemble mean."
        ),
    }
    drawn[f"{flux}_draw_area"].attrs = {
        "long_name": "area of the domain in the cell of the draws",
        "units": "m2",
    }
    drawn[names["draw_time"]].attrs = {"standard_name": "time"}
    for name, standard, unit in (
        ("draw_lat", "latitude", "degrees_north"),
        ("draw_lon", "longitude", "degrees_east"),
    ):
        drawn[names[name]].attrs = {"standard_name": standard, "units": unit}
    return found.merge(drawn)


def of_budgets(totals: xr.Dataset, predictions: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Return the intervals of totals, for the domains that are calibrated.

    Args:
        totals: ``budget_month``, ``budget_year``, their ``_teacher_std`` and their
            ``_completion_std``.
        predictions: By domain.

    Returns:
        ``budget_*_interval_emulation`` and ``budget_*_interval_sink`` with the
        dimension ``bound`` first; nothing if no domain is calibrated.
    """
    given = {SINKS[d]: p for d, p in predictions.items() if HALF_WIDTH in p}
    if not given:
        return xr.Dataset()
    found = xr.Dataset(coords=_bounds())
    for period, dim in (("month", "time"), ("year", "year")):
        total = totals[f"budget_{period}"]
        emulation, sink = (np.full(total.shape, np.nan) for _ in range(2))
        said = []
        for flux, prediction in given.items():
            about, row = about_of(prediction), totals.get_index("flux").get_loc(flux)
            half = prediction[f"{period}_half_width"].reindex(
                {"region": total["region"], dim: total[dim]}
            )
            emulation[row] = half.transpose("region", dim).to_numpy()
            teachers = totals[f"budget_{period}_teacher_std"][row].to_numpy()
            rest = totals[f"budget_{period}_completion_std"][row].to_numpy()
            sink[row] = widen(emulation[row], teachers, rest, level=about["level"])
            said.append(
                f"{flux}: {about[f'globe_{period}']}. {about[f'region_{period}']}."
            )
        for name, half_width in (("emulation", emulation), ("sink", sink)):
            what, more = _TOTALS[name]
            attrs = {
                "units": total.attrs["units"],
                "long_name": f"{total.attrs['long_name']}; ends of the {what}",
                "comment": " ".join([more, *said]),
            }
            ends = np.stack([total - half_width, total + half_width])
            variable_name = f"budget_{period}_interval_{name}"
            found[variable_name] = (("bound", *total.dims), ends, attrs)
    for field in found.data_vars.values():
        field.attrs |= {
            f"{flux}_level": about_of(p)["level"] for flux, p in given.items()
        }
    found[series.HALF_WIDTH] = _running_on_map(totals["budget_month"], given)
    return found


def _running_on_map(
    total: xr.DataArray, given: Mapping[str, xr.Dataset]
) -> xr.DataArray:
    """Return the reach of twelve months; by flux, region and last month, PgC."""
    half, said = xr.full_like(total, np.nan), []
    levels = {}
    for flux, prediction in given.items():
        about, row = about_of(prediction), total.get_index("flux").get_loc(flux)
        levels[f"{flux}_level"] = about["level"]
        own = prediction["running_half_width"].reindex(
            region=total["region"], time=total["time"]
        )
        half[row] = own.transpose("region", "time").to_numpy()
        said.append(f"{flux}: {about['globe_year']}. {about['region_year']}.")
    more = "Any twelve months are taken to err as calendar years do, at the lead of "
    half.attrs = {
        "units": total.attrs["units"],
        "long_name": "reach of the interval of emulation of the total of the 12 months "
        "that end with this one",
        "comment": " ".join([f"{more}their last month.", *said]),
        **levels,
    }
    return half


def about_of(prediction: xr.Dataset) -> dict[str, Any]:
    """Return what ``of_run`` said of its intervals; {} if there are none."""
    about: dict[str, Any] = json.loads(prediction.attrs.get(ATTRIBUTE, "{}"))
    return about


def _bounds() -> dict[str, Any]:
    attrs = {"long_name": "end of the interval"}
    return {"bound": ("bound", np.array(["lower", "upper"], dtype=object), attrs)}


def _reach(
    calibrated: Calibration,
    emulator: Emulator,
    members: Array,
    months: Months,
    area: Array,
    last_label: np.datetime64,
) -> _Reach:
    """Return the half-widths of all supports and periods."""
    shares = _shares(calibrated, emulator.grid)[:, emulator.cells.numpy()]
    own = cell_reference(emulator, SINKS[emulator.domain])
    years, count = np.unique(years_of(months), return_counts=True)
    years = years[count == 12]
    ends = (month_of(months) == 12) & np.isin(years_of(months), years)
    leads = {"month": lead_years(months, last_label)}
    leads["year"] = leads["month"][ends]
    half: dict[Key, Array] = {}
    for key, values in aggregate(members, months, area, shares).items():
        several = len(members) > 1
        spread = values.std(0, ddof=1) if several else np.zeros(values.shape[1:])
        width = calibrated.half_width(key, spread, leads[key[1]], own.get(key))
        half[key] = np.asarray(width, np.float64)
    running = _running(calibrated, members, months, area, shares, leads["month"])
    return _Reach(half, running, years)


def _running(
    calibrated: Calibration,
    members: Array,
    months: Months,
    area: Array,
    shares: Array,
    leads: NDArray[np.int64],
) -> Array:
    """Return how far totals of any twelve months reach; (time, globe and regions).

    They are taken to err as calendar years do, at the lead of their last month: of
    LPJ-wsl's nbp, 1948 to 2012 without its trend, the standard deviation of twelve
    months is 0.96 to 1.06 of that of calendar years, whichever month ends them.
    """
    found = []
    whole: dict[Support, Array] = {"globe": np.ones((1, area.size)), "region": shares}
    for support, parts in whole.items():
        rates = np.stack([area_total(members, area * part) for part in parts], axis=-1)
        totals = running_total(np.moveaxis(rates, 1, 0), months)
        several = len(members) > 1
        spread = totals.std(1, ddof=1) if several else np.zeros(totals[:, 0].shape)
        width = calibrated.half_width((support, "year"), spread, leads)
        # The least spread must not stand for months that are not there.
        found.append(np.where(np.isnan(totals[:, 0]), np.nan, width))
    return np.concatenate(found, axis=1)


def _draws(
    calibrated: Calibration,
    kept: ErrorFields,
    emulator: Emulator,
    mean: Array,
    months: Months,
    area: Array,
    reach: _Reach,
    lead: NDArray[np.int64],
) -> xr.Dataset | None:
    """Return joint draws of the whole years within reach; None where none can be.

    They need such a year, errors of consecutive whole years, more of these than there
    are regions, and regions that hold all cells.
    """
    inside = (lead >= 1) & (lead <= calibrated.leads)
    years, count = np.unique(years_of(months[inside]), return_counts=True)
    years = years[count == 12]
    wanted = np.isin(years_of(months), years)
    steps = np.diff(kept.months.astype(np.int64))
    whole = kept.months.size % 12 == 0 and month_of(kept.months)[0] == 1
    known = kept.months.size // 12
    regions = len(calibrated.regions)
    if not (years.size and whole and (steps == 1).all()) or known < years.size:
        return None
    if known <= regions:
        return None
    maps = np.full((int(wanted.sum()), np.prod(emulator.grid.shape)), np.nan)
    maps[:, emulator.cells.numpy()] = np.where(area > 0, mean[wanted], np.nan)
    share = np.zeros(maps.shape[1])
    share[emulator.cells.numpy()] = area
    field, coarse_area = _coarse(
        maps.reshape(-1, *emulator.grid.shape),
        share.reshape(emulator.grid.shape),
        emulator.grid,
        kept.grid,
    )
    there = coarse_area.ravel() > 0
    shares = _shares(calibrated, kept.grid)[:, there]
    if not np.allclose(shares.sum(axis=0), 1.0, atol=1e-6):
        return None
    errors = np.nan_to_num(kept.errors.reshape(kept.months.size, -1)[:, there])
    paths = year_blocks(errors, years.size)[-(FEWEST_DRAWS - 1) :]
    one = normal_multiple(calibrated.level)
    rows = np.isin(reach.years, years)
    spread = TotalSpread(
        region_month=reach.half["region", "month"][wanted] / one,
        region_year=reach.half["region", "year"][rows] / one,
        globe_month=reach.half["globe", "month"][wanted, 0] / one,
        globe_year=reach.half["globe", "year"][rows, 0] / one,
    )
    fitted = rescale(paths, months[wanted], coarse_area.ravel()[there], shares, spread)
    drawn = joint_draws(
        field.reshape(field.shape[0], -1)[:, there],
        fitted,
        FEWEST_DRAWS,
        seed=_SEEDS[emulator.domain],
    )
    result = np.full((FEWEST_DRAWS, field.shape[0], there.size), np.nan, np.float32)
    result[..., there] = drawn
    dims = ("draw", "draw_time", "draw_lat", "draw_lon")
    return xr.Dataset(
        {
            "draws": (dims, result.reshape(*result.shape[:2], *kept.grid.shape)),
            "draw_area": (dims[2:], coarse_area),
        },
        coords={
            "draw_time": months[wanted].astype("datetime64[ns]"),
            "draw_lat": kept.grid.lat,
            "draw_lon": kept.grid.lon,
        },
        attrs={"paths": len(paths)},
    )


def _shares(calibrated: Calibration, grid: Grid) -> Array:
    """Return the share of each cell in the calibrated regions; (region, cells)."""
    bands = latitude_bands(grid)
    return np.stack([bands.weight(name).ravel() for name in calibrated.regions])


def _coarse(field: Array, area: Array, grid: Grid, target: Grid) -> tuple[Array, Array]:
    """Return a field and the domain's area on the grid of the errors."""
    if grid.matches(target):
        return field, area
    carried, part = conservative(grid, target).apply(field, area / grid.cell_area())
    return carried, part[0] * target.cell_area()
