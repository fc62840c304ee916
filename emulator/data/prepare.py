"""Files of models and forcing in, one training store out.

Everything is read, checked by the plausibility gates, brought onto one grid and one
time axis, and only then does the store appear. Its name ends with the hash of its
settings and of the catalog entries behind it: the same of both gives the same store.
"""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from emulator.carbon.errors import StoreError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import month_range
from emulator.data import readers
from emulator.data.computing import DaskSettings, computing
from emulator.data.entry import Entry
from emulator.data.inputs import (
    Forcing,
    attributes,
    open_forcing,
    read_co2,
    read_static,
    surface,
)
from emulator.data.pieces import Earlier
from emulator.data.seen import CO2, require_seen, seen, weather_axis
from emulator.data.settings import DataSettings, ForcingSettings
from emulator.data.sources import (
    Dirs,
    Settings,
    Sources,
    forcing_sources,
    require_unchanged,
    root_attributes,
    settings_hash,
    training_sources,
)
from emulator.data.stores import (
    FORCING_SCHEMA,
    TRAINING_SCHEMA,
    Empty,
    filling,
    folder_of,
    layout,
)
from emulator.data.teachers import (
    Labels,
    Place,
    asked_years,
    write_labels,
)
from emulator.data.weather import write_climatology, write_forcing

__all__ = [
    "DataSettings",
    "ForcingSettings",
    "prepare",
    "prepare_forcing",
    "store_path",
]

log = logging.getLogger(__name__)

_LABEL_DIMS = ("simulation", "teacher", "time", "lat", "lon")
_WEATHER_DIMS = ("weather_time", "lat", "lon")


def prepare(
    settings: DataSettings,
    *,
    data_root: Path,
    stores_root: Path,
    catalog_dirs: Dirs = None,
    dask: DaskSettings | None = None,
) -> Path:
    """Make the training store of ``settings``, or find it made.

    Labels are made in pieces of years. Those which a store below ``stores_root``, or a
    run that was killed, has made from the same files in the same way are taken over.

    Args:
        settings: What to take.
        data_root: The folder below which catalog entries' roots lie.
        stores_root: The folder of stores.
        catalog_dirs: Folders of catalog entries; the usual ones when None.
        dask: Where labels are computed; in threads when None.

    Returns:
        The store.

    Raises:
        UserError: If an entry, a file or a value is not what it must be; the message
            says what to mend. Nothing is left behind, but where the disk is full,
            Ctrl-C was pressed or workers of a cluster were lost, finished pieces, with
            which the next run goes on.
    """
    sources = training_sources(settings, catalog_dirs)
    path = store_path(settings, stores_root=stores_root, catalog_dirs=catalog_dirs)
    if path.exists():
        require_unchanged(path, TRAINING_SCHEMA, settings, sources, data_root)
        return path
    wanted = _grid(settings, sources, data_root)
    with open_forcing(
        sources.forcing, settings.forcing_variables, wanted, data_root
    ) as forcing:
        _write(settings, sources, forcing, path, data_root, dask or DaskSettings())
    return path


def _write(
    settings: DataSettings,
    sources: Sources,
    forcing: Forcing,
    path: Path,
    data_root: Path,
    dask: DaskSettings,
) -> None:
    """Write a training store."""
    grid = forcing.grid
    static, overridden = read_static(
        sources.static, settings.static_variables, grid, data_root
    )
    base = surface(settings.domain, sources.static, sources.teachers, grid, data_root)
    months = _months(settings, forcing)
    weather_coords, climatology = weather_axis(
        forcing, sources.teachers, settings.simulations
    )
    store = xr.Dataset(
        {
            **seen(settings.simulations, sources, forcing, months, data_root),
            **static,
            **base,
        },
        coords={
            "simulation": np.array(settings.simulations, object),
            "teacher": np.array([entry.title for entry in sources.teachers], object),
            **_coordinates(grid, months),
            **weather_coords,
        },
        attrs=root_attributes(settings, TRAINING_SCHEMA, sources, data_root),
    )
    weather_shape = (store.sizes["weather_time"], *grid.shape)
    shape = (len(settings.simulations), len(sources.teachers), months.size, *grid.shape)
    empty = {
        **{
            name: Empty(_WEATHER_DIMS, weather_shape, {})
            for name in settings.forcing_variables
        },
        **{
            flux: Empty(_LABEL_DIMS, shape, attributes(flux, {}))
            for flux in settings.fluxes
        },
    }
    earlier = Earlier(path.parent, path)
    with (
        computing(dask) as computer,
        filling(store, empty, path, resumes=True) as group,
    ):
        log.info("Reading forcing")
        weather = write_forcing(
            forcing, group, data_root, earlier=earlier, computer=computer
        )
        if climatology is not None:
            write_climatology(weather, climatology)
        dropped = weather.dropped_cells(base["fraction"].to_numpy())
        record = _Record([*weather.overridden, *overridden], weather.reused)
        for s, simulation in enumerate(settings.simulations):
            for t, teacher in enumerate(sources.teachers):
                if simulation not in teacher.simulations:
                    continue
                log.info("Reading %s %s", teacher.title, simulation)
                years = (settings.years[0], settings.years[1])
                years = asked_years(teacher, simulation, years)
                require_seen(store, teacher, simulation, years, forcing)
                place = Place(
                    stage=folder_of(group),
                    indices=(s, t),
                    first=months[0],
                    months=months.size,
                    shard=layout(_LABEL_DIMS, shape)[1][_LABEL_DIMS.index("time")],
                    grid=grid,
                    area=base["area"].to_numpy(),
                    share=base["fraction"].to_numpy(),
                    dropped=dropped,
                )
                labels = write_labels(
                    teacher,
                    simulation,
                    settings.fluxes,
                    years,
                    place,
                    data_root,
                    earlier=earlier,
                    computer=computer,
                )
                record.add(teacher, simulation, labels)
                for flux, attrs in labels.attrs.items():
                    record.override(
                        weather.require_forced(
                            labels.labelled[flux], flux, attrs["source_file"]
                        )
                    )
                    _describe(group[flux], attrs)
        record.write(group)


def prepare_forcing(
    settings: ForcingSettings,
    *,
    data_root: Path,
    stores_root: Path,
    catalog_dirs: Dirs = None,
    dask: DaskSettings | None = None,
) -> Path:
    """Make the forcing store of ``settings``, or find it made.

    It holds forcing (time, lat, lon), ``co2`` (time) and static fields of calendar
    months: what a prediction needs.

    Arguments and errors are those of ``prepare``.
    """
    sources = forcing_sources(settings, catalog_dirs)
    path = store_path(settings, stores_root=stores_root, catalog_dirs=catalog_dirs)
    if path.exists():
        require_unchanged(path, FORCING_SCHEMA, settings, sources, data_root)
        return path
    wanted = None if settings.grid_step is None else Grid.regular(settings.grid_step)
    years = (settings.years[0], settings.years[1]) if settings.years else None
    with open_forcing(
        sources.forcing, settings.forcing_variables, wanted, data_root, years=years
    ) as forcing:
        grid = forcing.grid
        static, overridden = read_static(
            sources.static, settings.static_variables, grid, data_root
        )
        base = surface(settings.domain, sources.static, [], grid, data_root)
        co2 = read_co2(sources.co2[settings.co2], forcing.months, data_root)
        known = np.isfinite(co2[0])
        if not known.any():
            raise StoreError(
                f"'{settings.co2}' has no CO2 for any month of the forcing, "
                f"{forcing.months[0]} to {forcing.months[-1]}. Choose a table of these "
                f"years."
            )
        forcing = replace(forcing, months=forcing.months[known])
        store = xr.Dataset(
            {
                **{
                    name: (("time",), values[known], attributes(name, {}))
                    for name, values in zip(CO2, co2, strict=True)
                },
                **static,
                **base,
            },
            coords=_coordinates(grid, forcing.months),
            attrs=root_attributes(settings, FORCING_SCHEMA, sources, data_root),
        )
        shape = (forcing.months.size, *grid.shape)
        empty = {
            name: Empty(("time", "lat", "lon"), shape, {})
            for name in settings.forcing_variables
        }
        with (
            computing(dask or DaskSettings()) as computer,
            filling(store, empty, path, resumes=True) as group,
        ):
            weather = write_forcing(
                forcing,
                group,
                data_root,
                earlier=Earlier(stores_root, path),
                computer=computer,
            )
            said = json.dumps([*weather.overridden, *overridden])
            group.attrs.update({"gates_overridden": said})
    return path


def store_path(
    settings: Settings,
    *,
    stores_root: Path,
    catalog_dirs: Dirs = None,
) -> Path:
    """Return where the store of ``settings`` is, or would be.

    Raises:
        CatalogError: If a catalog entry is missing or wrong.
    """
    if isinstance(settings, DataSettings):
        sources = training_sources(settings, catalog_dirs)
    else:
        sources = forcing_sources(settings, catalog_dirs)
    return stores_root / f"{settings.name}-{settings_hash(settings, sources)}.zarr"


def _grid(settings: DataSettings, sources: Sources, data_root: Path) -> Grid:
    """Return the grid asked for, else that of the first teacher."""
    if settings.grid_step is not None:
        return Grid.regular(settings.grid_step)
    years = (settings.years[0], settings.years[1])
    teacher, simulation = next(
        (teacher, simulation)
        for teacher in sources.teachers
        for simulation in settings.simulations
        if simulation in teacher.simulations
    )
    first, _ = asked_years(teacher, simulation, years)
    field = readers.read(
        teacher, settings.fluxes[0], simulation, data_root, years=(first, first)
    )
    return Grid(field.lat.values, field.lon.values)


def _months(settings: DataSettings, forcing: Forcing) -> NDArray[np.datetime64]:
    """Return the months from the history before the labels to the forcing's end."""
    first, last = settings.years
    end = max(np.datetime64(f"{last:04d}-12", "M"), forcing.months[-1])
    return month_range(f"{first - settings.history_years:04d}-01", str(end))


def _describe(array: Any, attrs: dict[str, str]) -> None:
    """Say from which files the labels of one simulation are."""
    names = ("catalog_entry", "source_file", "source_units", "sha256")
    said = json.loads(array.attrs.get("sources", "[]"))
    said.append({name: attrs.get(name, "") for name in names})
    array.attrs["sources"] = json.dumps(said)


class _Record:
    """What is known of the labels only once they have been read."""

    def __init__(self, overridden: list[str], reused: dict[str, list[str]]) -> None:
        """Begin with the forcing: gates overridden and what earlier stores had."""
        self._overridden = overridden
        self._calendars: dict[str, str] = {}
        self._residual: dict[str, dict[str, float]] = {}
        self._kept: dict[str, dict[str, float]] = {}
        self._reused = reused

    def override(self, gates: list[str]) -> None:
        """Note overridden gates, each once."""
        self._overridden = list(dict.fromkeys([*self._overridden, *gates]))

    def add(self, teacher: Entry, simulation: str, labels: Labels) -> None:
        """Note what was found in one simulation."""
        self.override(labels.gates.overridden)
        first = next(iter(labels.attrs.values()))
        self._calendars[teacher.title] = first["source_calendar"]
        for store, spans in labels.reused.items():
            years = ", ".join(f"{begin}-{end}" for begin, end in spans)
            taken = self._reused.setdefault(store, [])
            taken.append(f"{teacher.title} {simulation} {years}")
        self._kept.setdefault(teacher.title, {})[simulation] = round(labels.kept, 5)
        if labels.gates.residual is not None:
            residual = self._residual.setdefault(teacher.title, {})
            residual[simulation] = float(f"{labels.gates.residual:.3g}")

    def write(self, group: zarr.Group) -> None:
        """Write it all into the root of the store."""
        group.attrs.update(
            {
                "gates_overridden": json.dumps(self._overridden),
                "source_calendar": json.dumps(self._calendars),
                "closure_residual": json.dumps(self._residual),
                "gross_flux_kept": json.dumps(self._kept),
                "pieces_reused": json.dumps(self._reused),
            }
        )


def _coordinates(
    grid: Grid, months: NDArray[np.datetime64]
) -> dict[str, tuple[str, NDArray[Any], dict[str, str]]]:
    """Return latitude, longitude and the first day of each month, as CF has them."""
    named = {
        "time": (months.astype("datetime64[ns]"), "T", {}),
        "lat": (grid.lat, "Y", {"units": "degrees_north"}),
        "lon": (grid.lon, "X", {"units": "degrees_east"}),
    }
    names = {"time": "time", "lat": "latitude", "lon": "longitude"}
    return {
        dim: (dim, values, {"standard_name": names[dim], "axis": axis, **units})
        for dim, (values, axis, units) in named.items()
    }
