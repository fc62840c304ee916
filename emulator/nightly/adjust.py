"""Means of teachers moved to a common level, over windows of several lengths.

Nothing of the map changes: adjusted totals are variables of their own, for all windows
side by side, since it matters which years a level is taken from (2020 to 2022 was La
Nina). Totals of globe and latitude bands are adjusted, cells are not. A target that is
known for the globe alone is met there, and its offset spread evenly over the area.

Products of observed fCO2 are never moved: the river flux in them is another matter.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.adjustment import EDITION_REVISION, offset_error, window_of
from emulator.carbon.budget import mean_adjustment
from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.regions import latitude_bands
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, years_of
from emulator.data.readers.workbook import Workbook
from emulator.nightly import ocean_sink, series
from emulator.nightly.budget import BUDGET_UNITS, FRACTIONS, SINKS
from emulator.nightly.budget_settings import WORKBOOK_TARGETS, BudgetSettings
from emulator.nightly.evidence import not_of_the_world
from emulator.nightly.layout import SIMULATED

Array = NDArray[np.float64]
Years = NDArray[np.int64]

WINDOW = "adjustment_window"
ATTRIBUTE = "adjustment"
"""Attribute of the map that says, as JSON, what was adjusted to what."""

RECORD = 20
"""Years, the last ones, that the variability between target and teachers is taken from,
and in which a model of the workbook must have a value to count in the mean of all."""


@dataclass(frozen=True, eq=False)
class _Adjusted:
    """One flux, adjusted.

    Attributes:
        offset: Of each teacher, PgC yr-1; (window, teacher, region).
        month: Mean of the members, adjusted, PgC yr-1; (window, region, time).
        error: Standard error of the members' mean offset, PgC yr-1; (window, region).
        about: For the attribute.
    """

    offset: xr.DataArray
    month: xr.DataArray
    error: xr.DataArray
    about: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class _Target:
    """What the means of some teachers are moved to.

    Attributes:
        difference: Target - teacher, PgC yr-1, NaN where either is not known; (teacher,
            region, year), the globe alone where the target is global.
        revision: Standard error of the target by its edition, PgC yr-1.
        about: For the attribute.
    """

    difference: Array
    revision: float
    about: Mapping[str, Any]


def adjusted(
    sink_map: xr.Dataset, settings: BudgetSettings, book: Workbook | None = None
) -> xr.Dataset:
    """Return the adjusted totals of a map.

    Args:
        sink_map: A map with the totals of each teacher.
        settings: What is adjusted; nothing where the target is "off", or a workbook for
            weather that is simulated.
        book: The workbook; None where the target needs none.

    Returns:
        PgC yr-1, for each length of the window: ``<flux>_adjustment(adjustment_window,
        <domain>_teacher, region)``, the offsets, NaN of who is no member;
        ``adjustment_error(adjustment_window, flux, region)``;
        ``budget_<period>_adjusted(adjustment_window, flux, region, time or year)``, and
        ``_interval_sink`` of it where the map has that interval, wider by the error.
        The attribute ``adjustment`` says what was done.

    Raises:
        SettingsError: If a member is not in the map, a teacher is not in the workbook,
            or the years of the chosen window are not covered.
        StoreError: If the map has no totals of each teacher.
    """
    asked = settings.adjustment
    about: dict[str, Any] = {"target": asked.target}
    reason = not_of_the_world(sink_map)
    if asked.target in WORKBOOK_TARGETS and reason is not None:
        about["not applicable"] = reason
    if asked.target == "off" or "not applicable" in about:
        return xr.Dataset(attrs={ATTRIBUTE: json.dumps(about)})
    domain_of = {flux: domain for domain, flux in SINKS.items()}
    fluxes = [str(flux) for flux in sink_map["flux"].to_numpy()]
    parts = [_of_flux(sink_map, domain_of[flux], settings, book) for flux in fluxes]
    axis = xr.Variable("flux", np.array(fluxes, dtype=object), {"long_name": "flux"})

    def stacked(fields: list[xr.DataArray]) -> xr.DataArray:
        return xr.concat(fields, dim=axis, coords="minimal", compat="override")

    found = xr.Dataset()
    for flux, part in zip(fluxes, parts, strict=True):
        found[f"{flux}_adjustment"] = part.offset
    error = stacked([part.error for part in parts]).transpose(WINDOW, "flux", "region")
    error.attrs = {
        "units": BUDGET_UNITS,
        "long_name": "standard error of the mean adjustment of the ensemble",
        "comment": (
            "Revision of the target, and the standard deviation from year to year of "
            "target - teachers over the root of the window's years, in quadrature."
        ),
    }
    found["adjustment_error"] = error
    month = stacked([part.month for part in parts])
    totals = {
        "month": month,
        "12month": series.twelve_months(month),
        "year": series.calendar_years(month, sink_map["year"].to_numpy()),
    }
    for period, dim in series.PERIODS.items():
        total = totals[period].transpose(WINDOW, "flux", "region", dim)
        total.attrs = {
            "units": BUDGET_UNITS,
            "long_name": (
                f"carbon taken up from the air, {series.SAID[period]}, mean of the "
                f"members, their means adjusted"
            ),
            "comment": f"See the attribute {ATTRIBUTE} of the map.",
        }
        found[f"budget_{period}_adjusted"] = total
        ends = sink_map.get(f"budget_{period}_interval_sink")
        if ends is not None:
            wider = _interval(total, ends, error)
            found[f"budget_{period}_adjusted_interval_sink"] = wider
    found[WINDOW].attrs = {
        "long_name": "years over which means are adjusted",
        "units": "year",
    }
    about |= {"window": asked.window}
    about |= {flux: part.about for flux, part in zip(fluxes, parts, strict=True)}
    found.attrs = {ATTRIBUTE: json.dumps(about, sort_keys=True)}
    return found


def _of_flux(
    sink_map: xr.Dataset, domain: str, settings: BudgetSettings, book: Workbook | None
) -> _Adjusted:
    """Adjust the teachers of one flux."""
    flux, asked = SINKS[domain], settings.adjustment
    teacher = f"{domain}_teacher"
    months = series.teacher_months(sink_map, flux)
    if flux == ocean_sink.FLUX:
        months = ocean_sink.without_drift(sink_map, months, settings)
    years = np.unique(years_of(months["time"].to_numpy()))
    names = [str(name) for name in months[teacher].to_numpy()]
    members = _members(names, asked.members_of(domain), domain)
    models = [name for name in names if name not in settings.products]
    moved = [name for name in members if name in models]
    place = [names.index(name) for name in moved]
    totals = series.calendar_years(months, years).to_numpy()
    if asked.target == "ensemble":
        of_models = totals[[names.index(name) for name in models]]
        simulated = _simulated(sink_map, flux, years)
        target = _of_ensemble(of_models, totals[place], simulated, models)
    else:
        target = _of_workbook(book, domain, asked.target, moved, totals[place], years)

    windows = _windows(target, years, settings)
    offsets = np.full((len(windows), len(names), totals.shape[1]), np.nan)
    errors = np.full((len(windows), totals.shape[1]), np.nan)
    shares = _area_shares(sink_map, domain)
    is_global = target.difference.shape[1] < totals.shape[1]
    for row, window in enumerate(windows):
        if window is None:
            continue
        # What is added to a teacher that lacks exactly the difference.
        lacking = mean_adjustment(
            -target.difference, np.zeros(years.size), years, window
        )
        # Members that stay where they are have a part in the mean, but no error.
        error = _errors(target, years, window) * len(moved) / len(members)
        offsets[row, [names.index(name) for name in members]] = 0.0
        offsets[row, place] = lacking * shares if is_global else lacking
        errors[row] = error * shares if is_global else error

    windowed = {WINDOW: np.array(asked.windows, np.int32), "region": months["region"]}
    offset = xr.DataArray(
        offsets, {**windowed, teacher: months[teacher]}, (WINDOW, teacher, "region")
    )
    chosen = {teacher: members}
    month = (months.sel(chosen) + offset.sel(chosen)).mean(teacher, skipna=False)
    offset.attrs = {
        "units": BUDGET_UNITS,
        "long_name": f"offset added to the {flux} of each teacher",
        "comment": "NaN: no member, or the window is not covered.",
    }
    return _Adjusted(
        offset=offset,
        month=month,
        error=xr.DataArray(errors, windowed, (WINDOW, "region")),
        about={
            "members": members,
            "not moved": [name for name in members if name not in moved],
            "windows": [list(window) if window else None for window in windows],
            "regions": "offset of the globe, evenly over area" if is_global else "own",
            **target.about,
        },
    )


def _members(names: Sequence[str], wanted: Sequence[str], domain: str) -> list[str]:
    """Return the members in the order of the map."""
    if missing := [name for name in wanted if name not in names]:
        raise SettingsError(
            f"adjustment.{domain}_members names {', '.join(missing)}, but the map has "
            f"{', '.join(names)}. Members are fixed: give those of the map, and expect "
            f"another level."
        )
    return [name for name in names if name in wanted or not wanted]


def _simulated(sink_map: xr.Dataset, flux: str, years: Years) -> NDArray[np.bool_]:
    """Return the years that all teachers have simulated themselves; (year,)."""
    own = (
        sink_map[f"{flux}_simulated"] == SIMULATED["simulated_by_teacher"]
    ).to_numpy()
    months = years_of(sink_map["time"].to_numpy())
    found = [own[:, months == year] for year in years]
    return np.array([y.all() and y.shape[1] == MONTHS_PER_YEAR for y in found])


def _of_ensemble(
    models: Array, totals: Array, simulated: NDArray[np.bool_], names: Sequence[str]
) -> _Target:
    """Return the mean of all models of the map, in the years they have simulated."""
    difference = models.mean(axis=0) - totals
    difference[..., ~simulated] = np.nan
    return _Target(difference, 0.0, {"mean of": list(names)})


def _of_workbook(
    book: Workbook | None,
    domain: str,
    target: str,
    teachers: Sequence[str],
    totals: Array,
    years: Years,
) -> _Target:
    """Return a column, or columns, of a workbook; the globe alone."""
    if book is None:
        raise ValueError(f"The target {target!r} needs a workbook, got none.")
    sheet = {"land": book.land, "ocean": book.ocean}[domain]
    table = sheet.published if target == "published" else sheet.models
    about: dict[str, Any] = {"edition": book.edition, "version": book.version}
    if target == "own":
        if missing := [name for name in teachers if name not in table.columns]:
            raise SettingsError(
                f"adjustment.target is 'own', but the workbook of {book.edition} has "
                f"no column for {', '.join(missing)}; it has "
                f"{', '.join(table.columns)}. Take adjustment.target=models, or limit "
                f"adjustment.{domain}_members."
            )
        columns = [table.columns[name] for name in teachers]
    elif target == "models":
        whole = {
            name: values
            for name, values in table.columns.items()
            if np.isfinite(values[-RECORD:]).all()
        }
        columns = [np.mean(list(whole.values()), axis=0)] * len(teachers)
        about["mean of"] = list(whole)
    else:
        columns = [table.columns["GCB"]] * len(teachers)
    _, here, there = np.intersect1d(years, table.years, return_indices=True)
    difference = np.full((len(teachers), 1, years.size), np.nan)
    for row, column in enumerate(columns):
        difference[row, 0, here] = column[there] - totals[row, 0, here]
    return _Target(difference, EDITION_REVISION[SINKS[domain]], about)


def _windows(
    target: _Target, years: Years, settings: BudgetSettings
) -> list[tuple[int, int] | None]:
    """Return the windows, None where their years are not covered."""
    asked = settings.adjustment
    known = set(years[np.isfinite(target.difference).all(axis=(0, 1))].tolist())
    last = asked.last or max(known, default=0)
    found: list[tuple[int, int] | None] = []
    for length in asked.windows:
        first, _ = window = window_of(last, length)
        covered = known.issuperset(range(first, last + 1))
        if not covered and length == asked.window:
            raise SettingsError(
                f"adjustment.window is {length} years up to {last or 'an unknown year'}"
                f", but target {asked.target!r} and teachers share {len(known)} years"
                f"{f', {min(known)} to {max(known)}' if known else ''}. Give a shorter "
                f"adjustment.window, another adjustment.last or another target."
            )
        found.append(window if covered else None)
    return found


def _errors(target: _Target, years: Years, window: tuple[int, int]) -> Array:
    """Return the standard error of the members' mean offset; (region,)."""
    if not target.difference.shape[0]:  # products alone: nothing is moved
        return np.zeros(target.difference.shape[1])
    mean = target.difference.mean(axis=0)
    known = np.flatnonzero(np.isfinite(mean).all(axis=0) & (years <= window[1]))
    recent = known[-RECORD:]
    return np.array([
        offset_error(each[recent], years[recent], window, revision=target.revision)
        for each in mean
    ])  # fmt: skip


def _area_shares(sink_map: xr.Dataset, domain: str) -> Array:
    """Return the share of the domain's area that lies in each region of the map."""
    grid = Grid(lat=sink_map["lat"].to_numpy(), lon=sink_map["lon"].to_numpy())
    area = (sink_map["area"] * sink_map[FRACTIONS[domain]]).to_numpy()
    bands = latitude_bands(grid)
    parts = {name: float((area * bands.weight(name)).sum()) for name in bands.regions}
    parts["globe"] = float(area.sum())
    names = [str(name) for name in sink_map["region"].to_numpy()]
    return np.array([parts[name] for name in names]) / parts["globe"]


def _interval(
    total: xr.DataArray, ends: xr.DataArray, error: xr.DataArray
) -> xr.DataArray:
    """Return the interval of the sink about an adjusted total, wider by its error."""
    half = (ends.sel(bound="upper") - ends.sel(bound="lower")) / 2
    half = half.transpose(*total.dims[1:])
    half.attrs = ends.attrs
    wider = [
        series.widened(half, error.sel({WINDOW: window}).to_numpy()[..., None])
        for window in total[WINDOW].to_numpy()
    ]
    found = series.interval(total, np.stack(wider), "sink")
    found.attrs["comment"] = (
        "That of the unadjusted total with the error of the adjustment added in "
        "quadrature. The spread between teachers stays in it: moving their means does "
        "not make them agree on the level."
    )
    return found
