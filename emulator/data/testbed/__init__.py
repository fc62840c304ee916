"""The testbed: a simulated small Earth with ten carbon-cycle models.

It stands in for TRENDY and the global ocean models until their files are there, and
lets the whole path be tested: files come out, in the real layouts, and nothing else
of the package knows how they were made. Simulated testbed, not TRENDY.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emulator.carbon import timeaxis
from emulator.carbon.errors import StoreError
from emulator.carbon.grid import Grid
from emulator.data.testbed import (
    entries,
    files,
    geography,
    land_runs,
    layouts,
    ocean_runs,
    products,
    weather,
)
from emulator.data.testbed.land_structure import LandTeacher
from emulator.data.testbed.land_teachers import TEACHERS as LAND_TEACHERS
from emulator.data.testbed.layouts import Layout
from emulator.data.testbed.ocean import OceanTeacher
from emulator.data.testbed.ocean_teachers import TEACHERS as OCEAN_TEACHERS
from emulator.data.testbed.scenario import HISTORY_BEGINS, Spans
from emulator.data.testbed.weather import Weather

__all__ = ["generate"]

log = logging.getLogger(__name__)

FORMAT = 3
"""Raised whenever the same settings would give other files."""

_RECEIPT = "testbed.json"


def generate(
    root: Path,
    grid_step: float = 5.0,
    first: int = 1950,
    last: int = 2024,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Simulate the testbed and write its files to ``root/testbed``.

    The folder appears when it is complete. One that is there already, with the same
    settings, is left as it is.

    Args:
        root: Where data are kept (``paths.data``); made if need be.
        grid_step: Step of the grid, degrees; it divides 180.
        first: First year of the teachers' output.
        last: Last year of it; forcing goes on for one year more.
        seed: Seed of the weather.
        progress: Called with the name of each teacher before it is simulated.

    Returns:
        The folder ``root/testbed``. Catalog entries for just these years are in its
        ``catalog``; those of the default years come with the package.

    Raises:
        ValueError: If ``last`` is before ``first``, or ``first`` before the history
            of CO2 begins.
        GridMismatchError: If ``grid_step`` does not divide 180.
        StoreError: If a testbed of other settings is there, or the folder cannot be
            written.
    """
    if not HISTORY_BEGINS < first <= last:
        raise ValueError(
            f"The testbed cannot run from {first} to {last}: 'first' must be after "
            f"{HISTORY_BEGINS} and not after 'last'."
        )
    settings = {
        "format": FORMAT,
        "grid_step": float(grid_step),
        "first": first,
        "last": last,
        "seed": seed,
    }
    grid = Grid.regular(grid_step)
    target = Path(root) / "testbed"
    if target.exists():
        _require_same(target, settings)
        log.info("Found the testbed in %s", target)
        return target
    stage = target.with_name(".testbed-unfinished")
    try:
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        _simulate(stage, grid, Spans(first, last), seed, progress or log.info)
        (stage / _RECEIPT).write_text(json.dumps(settings, indent=1) + "\n", "utf-8")
        stage.rename(target)
    except OSError as error:
        raise StoreError(
            f"The testbed could not be written to {target}: {error}. Choose another "
            f"paths.data, or make room (about 0.3 GB at 5 degrees)."
        ) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return target


def _require_same(target: Path, settings: dict[str, float]) -> None:
    receipt = target / _RECEIPT
    found = json.loads(receipt.read_text("utf-8")) if receipt.is_file() else None
    if found != settings:
        raise StoreError(
            f"{target} holds a testbed with settings {found}, but {settings} is "
            f"wanted. Remove the folder, or choose another paths.data."
        )


def _simulate(
    folder: Path,
    grid: Grid,
    spans: Spans,
    seed: int,
    progress: Callable[[str], None],
) -> None:
    earth = geography.build(grid)
    # One year more than the labels: months that only an emulator can fill.
    months = timeaxis.month_range(f"{spans.first}-01", f"{spans.last + 1}-12")
    seen = weather.simulate(earth, months, seed)
    files.write_forcing(folder / "forcing", earth, seen)
    other = products.another(earth, seen, seed)
    files.write_forcing(folder / "forcing_other", earth, other)
    files.write_static(folder / "forcing" / "static.nc", earth)
    files.write_tables(folder / "forcing", spans, seen)
    entries.write(folder / "catalog", spans)
    for land, layout in zip(LAND_TEACHERS, layouts.LAND, strict=True):
        progress(land.name)
        _run_land(folder / "land" / land.name, land, layout, earth, seen, spans)
    for ocean, layout in zip(OCEAN_TEACHERS, layouts.OCEAN, strict=True):
        progress(ocean.name)
        _run_ocean(folder / "ocean" / ocean.name, ocean, layout, earth, seen, spans)


def _run_land(
    folder: Path,
    teacher: LandTeacher,
    layout: Layout,
    earth: geography.Geography,
    seen: Weather,
    spans: Spans,
) -> None:
    """Simulate and write one land teacher."""
    land = earth.land_fraction.ravel()
    if layout.fraction == "complement":
        name = entries.complement_name("land")
        path = folder / f"{teacher.name}_{name}.nc"
        files.write_fraction(path, name, 1 - earth.land_fraction, earth.grid, layout)
    for simulation, model, fluxes in land_runs.simulations(
        teacher, earth, seen, spans, layout.calendar
    ):
        fields = {
            "nbp": fluxes.nbp,
            "gpp": fluxes.gpp,
            "ra": fluxes.ra,
            "rh": fluxes.rh,
        }
        if teacher.fire_in == "fFire":
            fields["fFire"] = fluxes.fire
        for name, field in fields.items():
            files.write_teacher(
                folder / simulation / f"{teacher.name}_{simulation}_{name}.nc",
                name,
                field * _share(layout, land, model.cells),
                model.cells,
                earth.grid,
                layout,
                spans,
                factor=layout.factor,
                units=layout.units,
                simulation=simulation,
            )


def _run_ocean(
    folder: Path,
    teacher: OceanTeacher,
    layout: Layout,
    earth: geography.Geography,
    seen: Weather,
    spans: Spans,
) -> None:
    """Simulate and write one ocean teacher."""
    sea = 1 - earth.land_fraction.ravel()
    if layout.fraction == "complement":
        name = entries.complement_name("ocean")
        path = folder / f"{teacher.name}_{name}.nc"
        files.write_fraction(path, name, earth.land_fraction, earth.grid, layout)
    for simulation, cells, output in ocean_runs.simulations(
        teacher, earth, seen, spans, layout.calendar
    ):
        fluxes = output.fgco2 * _share(layout, sea, cells)
        for name, field, factor, units in (
            ("fgco2", fluxes, layout.factor, layout.units),
            ("spco2", output.spco2, 1.0, "uatm"),
        ):
            files.write_teacher(
                folder / files.ocean_name(name, layout, simulation, spans),
                name,
                field,
                cells,
                earth.grid,
                layout,
                spans,
                factor=factor,
                units=units,
                simulation=simulation,
            )


def _share(
    layout: Layout, fraction: NDArray[np.float64], cells: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the factor that turns fluxes per unit of surface into the layout's."""
    return fraction[cells] if layout.per == "cell" else np.ones(cells.size)
