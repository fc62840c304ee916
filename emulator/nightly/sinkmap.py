"""The sink map: what every teacher would simulate, on one grid, with its budgets.

`assemble` joins the predictions of land and ocean, each on its own grid, into one data
set; `predict` is the whole way from trained runs and forcing to files.

A prediction is a data set of one domain with

* ``<flux>(teacher, time, lat, lon)``, kg m-2 s-1 per m2 of the domain, and optionally
  ``<flux>_emulator_std`` alike; the flux is ``nbp`` on land, ``fgco2`` at sea; NaN
  where a teacher has no cell, the same cells in all months;
* ``fraction(lat, lon)``, the share of the cell in the domain;
* optionally what ``intervals.of_run`` returns, its attributes as JSON in one;
* optionally ``completion_std(region, time)``, what the rest of a month that is not over
  may still change (`completion`);
* optionally ``status(time)`` (codes of `layout.STATUS`) and ``coverage(time)`` of the
  forcing;
* the attributes named in `provenance.ORIGIN`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import GridMismatchError, SettingsError, StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.regions import latitude_bands
from emulator.carbon.timeaxis import as_months
from emulator.carbon.variables import variable
from emulator.data import regrid
from emulator.data.stores import code_version
from emulator.evaluation import champion, figures
from emulator.learning.inference import Emulator, open_run
from emulator.nightly import (
    completion,
    intervals,
    layout,
    ocean_sink,
    picture,
    provenance,
    publish,
)
from emulator.nightly.budget import FRACTIONS, SINKS, regional_totals
from emulator.nightly.inputs import OWN_WEATHER, find_store, read_forcing
from emulator.nightly.predictions import ask, described
from emulator.nightly.settings import MapSettings, PredictSettings

__all__ = ["MapSettings", "PredictSettings", "assemble", "predict"]

Array = NDArray[np.float64]

_MAP = ("time", "lat", "lon")
_LAND_OR_SEA = {"land": "land", "ocean": "sea"}


def predict(
    settings: PredictSettings,
    *,
    runs_root: Path = Path("runs"),
    stores_root: Path = Path("stores"),
    models_root: Path = Path("models"),
) -> Path:
    """Ask one or two trained runs about a forcing, and write the sink map.

    Args:
        settings: What to ask, and where the map goes.
        runs_root: Folder in which runs named without a path lie.
        stores_root: Folder in which forcing named without a path lies.
        models_root: Folder of the champions, which ``current`` means.

    Returns:
        The path of the Zarr store; ``sink.nc`` (or its name) lies beside it, and a
        picture, ``sink.png``.

    Raises:
        CheckpointError: If a run cannot be read, or does not fit the forcing.
        StoreError: If the forcing is not there or does not fit, or the map cannot be
            written.
        SettingsError: If a run is of the other domain, there is no champion that was
            asked for, or the grid is not known.
    """
    # Before the minutes of work, not after them.
    publish.require_free(Path(settings.out), overwrite=settings.overwrite)
    roots = (runs_root, stores_root, models_root)
    land = _ask("land", settings.land, settings, *roots)
    ocean = _ask("ocean", settings.ocean, settings, *roots)
    sink_map = assemble(land, ocean, map_grid=settings.map.grid or None)
    store = publish.write(sink_map, Path(settings.out), overwrite=settings.overwrite)
    figures.save(picture.draw(sink_map), store.with_suffix(".png"))
    return store


def assemble(
    land: xr.Dataset | None,
    ocean: xr.Dataset | None,
    *,
    map_grid: str | float | None = None,
    issued: np.datetime64 | None = None,
) -> xr.Dataset:
    """Join the predictions of one or both domains into a sink map.

    Both are regridded conservatively: what the land of a cell takes up on the old
    grid is what the land below it takes up on the new one. Months are the union of
    both, NaN where a domain has none.

    Args:
        land: Prediction of the land (see the module), or None.
        ocean: Prediction of the ocean, or None.
        map_grid: "land" or "ocean" for that prediction's own grid, or a step in
            degrees; None is the grid of the land, or of the ocean if alone.
        issued: Time of issue, UTC; None is now.

    Returns:
        The sink map, all variables described in ``docs/sink_map.md``; maps float32,
        totals float64.

    Raises:
        ValueError: If there is no prediction at all.
        SettingsError: If ``map_grid`` is neither a domain that is there nor a step.
        StoreError: If a prediction lacks a variable, months or teachers.
        GridMismatchError: If cells are missing in some months only, since a total
            would then change without any change of the sink.
    """
    given = {"land": land, "ocean": ocean}
    predictions = {d: _checked(p, d) for d, p in given.items() if p is not None}
    if not predictions:
        raise ValueError("There is nothing to assemble: land and ocean are None.")
    grid = _choose_grid(map_grid, predictions)
    months = np.unique(
        np.concatenate([as_months(p["time"].to_numpy()) for p in predictions.values()])
    )
    issued = np.datetime64("now", "s") if issued is None else issued
    version = code_version()

    sink_map = layout.frame(grid, months)
    for domain, prediction in predictions.items():
        sink_map = sink_map.merge(_domain_part(domain, prediction, grid, months))
    sink_map = sink_map.merge(layout.month_flags(predictions, months, issued))
    sink_map = sink_map.merge(_budgets(sink_map, grid))
    sink_map = sink_map.merge(completion.of_budgets(sink_map, predictions))
    sink_map = sink_map.merge(intervals.of_budgets(sink_map, predictions))
    sea = ocean_sink.of_map(sink_map, predictions)
    sink_map = sink_map.merge(sea)
    for name, field in sink_map.data_vars.items():
        field.attrs["coverage_content_type"] = provenance.content_type(str(name))
    sink_map.attrs = {
        **sea.attrs,
        **provenance.root_attributes(predictions, issued, version),
        **provenance.coverage_attributes(sink_map),
    }
    return sink_map


def find_run(domain: str, run: str, runs_root: Path, models_root: Path) -> Path:
    """Return the champion, a run given as a path, or one below ``runs_root``.

    Raises:
        SettingsError: If there is no such run.
    """
    if run == champion.CURRENT:
        return champion.find_champion(domain, models_root)
    return champion.find_run(run, runs_root)


def _ask(
    domain: str,
    run: str | None,
    settings: PredictSettings,
    runs_root: Path,
    stores_root: Path,
    models_root: Path,
) -> xr.Dataset | None:
    """Return the prediction of one domain, as the module describes it."""
    if not run:
        return None
    folder = find_run(domain, run, runs_root, models_root)
    emulator = open_run(folder)
    if emulator.domain != domain:
        raise SettingsError(
            f"{domain}={run} is a run of the {emulator.domain}. Give it as "
            f"{emulator.domain}={run}."
        )
    attributes = emulator.attributes()
    name = settings.forcing_of(domain) or str(
        stores_root / attributes["training_store"]
    )
    forcing = read_forcing(
        find_store(name, domain, stores_root), domain, emulator.forcing_names
    )
    # A month driven by another year's weather is memory, and no month of a map.
    prediction = ask(emulator, forcing)
    own = forcing[OWN_WEATHER].sel(time=prediction["time"]).to_numpy()
    prediction = described(prediction.isel(time=own), emulator, forcing)
    return with_intervals(prediction, folder, emulator)


def with_intervals(prediction: xr.Dataset, run: Path, emulator: Emulator) -> xr.Dataset:
    """Return a prediction with the intervals and draws of its run, if calibrated."""
    reach = intervals.of_run(run, emulator, prediction)
    if reach is not None:
        # What is not calibrated (no band) has no reach.
        prediction = prediction.merge(reach, join="outer")
        prediction.attrs[intervals.ATTRIBUTE] = json.dumps(reach.attrs)
    return prediction


def _checked(prediction: xr.Dataset, domain: str) -> xr.Dataset:
    """Return the prediction in map order, after checking that it is whole."""
    flux = SINKS[domain]
    if missing := [name for name in (flux, "fraction") if name not in prediction]:
        raise StoreError(
            f"The prediction of the {domain} lacks {', '.join(missing)}; it holds "
            f"{', '.join(map(str, prediction.data_vars))}. Train a run whose data "
            f"settings list {flux!r} among the fluxes."
        )
    teachers, months = prediction.sizes["teacher"], prediction.sizes["time"]
    if not teachers or not months:
        raise StoreError(
            f"The prediction of the {domain} has {teachers} teachers and {months} "
            f"months. Give forcing that is longer than the emulator's memory."
        )
    return prediction.transpose("teacher", *_MAP, ..., missing_dims="ignore")


def _choose_grid(
    map_grid: str | float | None, predictions: Mapping[str, xr.Dataset]
) -> Grid:
    if map_grid is None:
        map_grid = next(iter(predictions))
    if map_grid in predictions:
        return _grid(predictions[str(map_grid)])
    try:
        step = float(map_grid)
    except ValueError:
        raise SettingsError(
            f"map.grid is {map_grid!r}, but this map has {' and '.join(predictions)}. "
            f"Choose {' or '.join(predictions)}, or a step in degrees, e.g. 1.0."
        ) from None
    return Grid.regular(step)


def _grid(prediction: xr.Dataset) -> Grid:
    return Grid(lat=prediction["lat"].to_numpy(), lon=prediction["lon"].to_numpy())


def _domain_part(
    domain: str, prediction: xr.Dataset, grid: Grid, months: NDArray[np.datetime64]
) -> xr.Dataset:
    """Return fluxes, mean, spreads and fraction of one domain on the map grid."""
    flux, teacher = SINKS[domain], f"{domain}_teacher"
    slots = layout.month_slots(prediction, months)
    to_map = _ToMap(prediction, flux, grid)
    teachers = prediction.sizes["teacher"]
    values = np.full((teachers, months.size, *grid.shape), np.nan, np.float32)
    mean, error = np.full((2, *values.shape[1:]), np.nan)
    errors = prediction.get(f"{flux}_emulator_std")
    has_errors = errors is not None and bool(errors.notnull().any())
    mean[slots] = 0.0
    error[slots] = 0.0 if has_errors else np.nan
    # One teacher at a time: only the published float32 holds all of them at once.
    for index in range(teachers):
        field = to_map(prediction[flux][index].to_numpy())
        values[index, slots] = field
        mean[slots] += field / teachers
        if errors is not None and has_errors:
            error[slots] += to_map(errors[index].to_numpy()) / teachers
    deviation = _deviation(values, mean)

    names, flags = layout.simulated(prediction, teacher, months)
    describe = _Describe(domain)
    part = xr.Dataset(
        {
            flux: describe.flux(values, "of each teacher, mean over networks", teacher),
            f"{flux}_mean": describe.flux(mean, "mean over teachers"),
            f"{flux}_teacher_std": describe.spread(
                deviation, "sample standard deviation between teachers"
            ),
            f"{flux}_emulator_std": describe.spread(
                error,
                "standard deviation between the emulator's networks, mean over "
                "teachers: an upper bound for the ensemble mean, not calibrated",
            ),
            FRACTIONS[domain]: describe.fraction(to_map.fraction),
            f"{flux}_simulated": flags,
        },
        coords={teacher: names},
    )
    if intervals.HALF_WIDTH not in prediction:
        return part
    half = np.full(mean.shape, np.nan)
    given = prediction[intervals.HALF_WIDTH].to_numpy()
    half[slots] = to_map(given)
    # The map has 0 where a cell is missing, but out of reach nothing is known.
    half[slots[np.isnan(given).all(axis=(1, 2))]] = np.nan
    return part.merge(intervals.on_map(domain, prediction, mean, half, describe.spread))


class _ToMap:
    """Carry fields of one prediction to the map grid, keeping what they sum to.

    Attributes:
        fraction: Share of each cell of the map where the emulator has a flux.
    """

    def __init__(self, prediction: xr.Dataset, flux: str, grid: Grid) -> None:
        source = _grid(prediction)
        self._covered = _covered(prediction, flux)
        self._operator: regrid.Regridding | None = None
        self.fraction: Array = self._covered
        if not source.matches(grid):
            self._operator = regrid.conservative(source, grid)
            _, self.fraction = self._operator.apply(self._covered, self._covered)

    def __call__(self, field: NDArray[Any]) -> Array:
        """Return (time, lat, lon) on the map grid, NaN where the fraction is 0.

        A cell that this teacher lacks and another has counts as 0, as it does in the
        teacher's own total; the mean of totals is then the total of the mean.
        """
        filled = np.nan_to_num(field.astype(np.float64))
        inside = np.where(self._covered > 0, filled, np.nan)
        if self._operator is None:
            return inside
        return self._operator.apply(inside, self._covered)[0]


def _covered(prediction: xr.Dataset, flux: str) -> Array:
    """Return the share of each cell that has the domain and any teacher's flux."""
    finite = prediction[flux].notnull()
    always, ever = finite.all("time").to_numpy(), finite.any("time").to_numpy()
    if (always != ever).any():
        raise GridMismatchError(
            f"{int((always != ever).any(axis=0).sum())} cells have {flux} in some "
            f"months only, so that totals would not be comparable. Look for NaN in "
            f"the forcing, and predict again."
        )
    fraction = prediction["fraction"].to_numpy().astype(np.float64)
    return np.where(ever.any(axis=0), np.nan_to_num(fraction), 0.0)


def _deviation(values: NDArray[np.float32], mean: Array) -> Array:
    """Return the sample standard deviation between teachers; NaN for one."""
    if values.shape[0] < 2:
        return np.full(mean.shape, np.nan)
    squares = np.zeros(mean.shape)
    for field in values:
        squares += (field - mean) ** 2
    deviation: Array = np.sqrt(squares / (values.shape[0] - 1))
    return deviation


class _Describe:
    """Turn arrays of a domain into described variables."""

    def __init__(self, domain: str) -> None:
        self._domain = domain
        self._variable = variable(SINKS[domain])

    def flux(self, values: NDArray[Any], what: str, teacher: str = "") -> xr.Variable:
        surface = _LAND_OR_SEA[self._domain]
        field = self.spread(values, what, teacher)
        field.attrs["standard_name"] = str(self._variable.standard_name)
        field.attrs["cell_methods"] = f"area: mean where {surface} time: mean"
        return field

    def spread(self, values: NDArray[Any], what: str, teacher: str = "") -> xr.Variable:
        attrs = {
            "long_name": f"{self._variable.long_name}; {what}",
            "units": self._variable.units,
            "cell_measures": "area: area",
            "grid_mapping": "crs",
        }
        dims = (teacher, *_MAP) if teacher else _MAP
        return xr.Variable(dims, values.astype(np.float32), attrs)

    def fraction(self, values: Array) -> xr.Variable:
        surface = _LAND_OR_SEA[self._domain]
        attrs = {
            "long_name": f"share of the cell that is {surface} with an emulated flux",
            "standard_name": f"{surface}_area_fraction",
            "units": "1",
            "cell_measures": "area: area",
            "grid_mapping": "crs",
        }
        return xr.Variable(("lat", "lon"), values, attrs)


def _budgets(sink_map: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Return the totals of the globe and of the latitude bands."""
    bands = latitude_bands(grid)
    weights = np.concatenate([np.ones((1, *grid.shape)), bands.weights])
    totals = regional_totals(sink_map, weights, ["globe", *bands.regions])
    return totals.drop_vars("covered_area")
