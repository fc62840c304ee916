"""``python -m benchmarks.reading``: files of TRENDY's size into a store, and a copy.

A flux is generated as TRENDY files hold it: 0.5 degree, float32, a deflated chunk for
each month (not deflated with ``--plain``), the sea filled with -99999. It is then read,
checked, regridded to 1 degree and written by ``prepare``, and, before and after, copied
through the netCDF4 library: values out of one file, into another.

What counts is the ratio of the two speeds, in megabytes of unpacked values a second,
for a copy of the same bytes: one that is laid out and deflated as its source is. The
ratio for the other copy is told beside it. Both are measured on the same machine at the
same time, by the clock and by the time of the processor: the first has threads in it,
the second is fairer where others are at work.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.measuring import Cost, Row, environment, measure
from benchmarks.report import conclude
from emulator.carbon.grid import Grid
from emulator.data.computing import DaskSettings
from emulator.data.prepare import prepare
from emulator.data.settings import DataSettings

STEP = 0.5
"""Grid of TRENDY's largest models, degrees."""

TARGET_STEP = 1.0
"""Grid of the store, degrees."""

LAST = 2024
"""Of the years: TRENDY runs end with the year before they are published."""

MONTHS_COPIED = 120
"""Months that the plain copy holds at a time."""

PROMISED_SPEED = 0.5
"""Of a plain copy."""

PROMISED_MB = 4000.0
"""Of memory, for any number of models."""

FILL = -99999.0
GROSS = ("gpp", "ra", "rh")


@dataclass(frozen=True)
class Size:
    """What is generated.

    Attributes:
        models: How many teachers; they are one file under several names.
        years: Of each flux.
        fluxes: Of each teacher.
        step: Of the grid, degrees.
        packed: Whether files are deflated.
    """

    models: int
    years: int
    fluxes: tuple[str, ...]
    step: float
    packed: bool = True

    @property
    def months(self) -> int:
        """Months of each flux."""
        return 12 * self.years

    @property
    def first(self) -> int:
        """First year."""
        return LAST - self.years + 1


def write_flux(path: Path, flux: str, size: Size) -> None:
    """Write one flux of the land, plausible by size and season, with noise.

    Noise of a tenth packs as badly as the output of a model does: to two thirds.
    """
    grid = Grid.regular(size.step)
    rng = np.random.default_rng(len(flux))
    land = _land(grid) > 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        for name, values in (("latitude", grid.lat), ("longitude", grid.lon)):
            file.createDimension(name, values.size)
            file.createVariable(name, "f8", (name,))[:] = values
        file.createDimension("time", None)
        stamps = file.createVariable("time", "f8", ("time",))
        stamps.units = f"days since {size.first}-01-01"
        stamps.calendar = "noleap"
        held = file.createVariable(
            flux,
            "f4",
            ("time", "latitude", "longitude"),
            zlib=size.packed,
            complevel=1,
            fill_value=np.float32(FILL),
            chunksizes=(1, *grid.shape),
        )
        held.units = "kg m-2 s-1"
        scale = {"gpp": 3e-8, "nbp": 1e-9}.get(flux, 1.5e-8)
        north = np.sign(grid.lat)[:, None]
        for month in range(size.months):
            season = np.cos(2 * np.pi * (month % 12 - 6) / 12) * north
            level = season if flux == "nbp" else 1 + 0.5 * season
            field = scale * (level + 0.1 * rng.normal(size=grid.shape))
            stamps[month] = month * 365 / 12 + 15
            held[month] = np.where(land, field, FILL)


def copy(source: Path, target: Path, flux: str, *, packed: bool) -> None:
    """Copy a flux through the netCDF4 library, block by block."""
    old: Any
    new: Any
    with netCDF4.Dataset(source) as old, netCDF4.Dataset(target, "w") as new:
        old.set_auto_maskandscale(False)
        new.set_auto_maskandscale(False)
        for name, dimension in old.dimensions.items():
            new.createDimension(name, None if name == "time" else dimension.size)
        for name, variable in old.variables.items():
            is_field = name == flux
            made = new.createVariable(
                name,
                variable.dtype,
                variable.dimensions,
                zlib=packed and is_field,
                complevel=1,
                fill_value=np.float32(FILL) if is_field else None,
                chunksizes=variable.chunking() if is_field else None,
            )
            made.set_auto_maskandscale(False)
            said = {name: variable.getncattr(name) for name in variable.ncattrs()}
            said.pop("_FillValue", None)
            made.setncatts(said)
            length = variable.shape[0]
            for begin in range(0, length, MONTHS_COPIED):
                some = slice(begin, min(begin + MONTHS_COPIED, length))
                made[some] = variable[some]


def copied(root: Path, size: Size, *, packed: bool) -> tuple[Cost, float]:
    """Copy all fluxes of one model; return the cost and seconds of the processor."""
    target = root / "copy.nc"

    def work() -> float:
        begun = time.process_time()
        for flux in size.fluxes:
            copy(root / "model" / f"S2_{flux}.nc", target, flux, packed=packed)
            target.unlink()
        return time.process_time() - begun

    processor, cost = measure(work, "cpu")
    return cost, processor


def make_files(root: Path, size: Size) -> None:
    """Write the files of one model, the forcing and the catalog of all."""
    for flux in size.fluxes:
        write_flux(root / "model" / f"S2_{flux}.nc", flux, size)
    grid = Grid.regular(10.0)
    with netCDF4.Dataset(root / "tas.nc", "w") as file:
        for name, values in (("lat", grid.lat), ("lon", grid.lon)):
            file.createDimension(name, values.size)
            file.createVariable(name, "f8", (name,))[:] = values
        file.createDimension("time", size.months)
        stamps = file.createVariable("time", "f8", ("time",))
        stamps.units = f"days since {size.first}-01-01"
        stamps.calendar = "noleap"
        stamps[:] = np.arange(size.months) * 365 / 12 + 15
        held = file.createVariable("tas", "f4", ("time", "lat", "lon"))
        held.units = "K"
        held[:] = 280.0
    fine = Grid.regular(size.step)
    with netCDF4.Dataset(root / "static.nc", "w") as file:
        for name, values in (("lat", fine.lat), ("lon", fine.lon)):
            file.createDimension(name, values.size)
            file.createVariable(name, "f8", (name,))[:] = values
        held = file.createVariable("land_fraction", "f4", ("lat", "lon"))
        held.units = "1"
        held[:] = _land(fine)
    for number in range(size.models):
        _declare(root, _teacher(number, size))
    years = [size.first, LAST]
    common = {"domain": "land", "reader": "gridded", "evidence": "testbed"}
    weather = {"name": "weather", "kind": "forcing", "years": years, **common}
    _declare(root, {**weather, "files": "{variable}.nc", "variables": {"tas": {}}})
    static = {"name": "static", "kind": "static", "files": "static.nc", **common}
    _declare(root, {**static, "variables": {"land_fraction": {}}})


def settings(size: Size) -> DataSettings:
    """Return the settings of the store of all models."""
    return DataSettings(
        name="reading",
        domain="land",
        teachers=[f"model_{number}" for number in range(size.models)],
        simulations=["S2"],
        fluxes=list(size.fluxes),
        forcing=["weather"],
        forcing_variables=["tas"],
        static=["static"],
        static_variables=[],
        years=[size.first, LAST],
        grid_step=TARGET_STEP,
        history_years=0,
    )


def prepared(root: Path, size: Size, dask: DaskSettings) -> tuple[float, float, float]:
    """Make a store; return what it took.

    Returns:
        Seconds, seconds of the processor, and the most memory of this process, 1e6
        bytes.
    """
    begun, before = time.perf_counter(), time.process_time()
    prepare(
        settings(size),
        data_root=root,
        stores_root=root / "stores",
        catalog_dirs=[root / "catalog"],
        dask=dask,
    )
    seconds, processor = time.perf_counter() - begun, time.process_time() - before
    # In kilobytes on Linux; it is the most there ever was, not what was looked at.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return seconds, processor, most


def rows(root: Path, size: Size, dask: DaskSettings) -> list[Row]:
    """Measure the store of all models and the copies of one."""
    make_files(root, size)
    cells = int(np.prod(Grid.regular(size.step).shape))
    raw_mb = len(size.fluxes) * size.months * cells * 4 / 1e6
    # Before and after what they are compared with: others may be at work meanwhile.
    before = {packed: copied(root, size, packed=packed) for packed in (True, False)}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        done = process.submit(prepared, root, size, dask).result()
    spent, processor, memory = done
    after = {packed: copied(root, size, packed=packed) for packed in (True, False)}
    speed = size.models * raw_mb / spent
    threads = "one thread" if dask.workers == 1 else "threads as there are cores"
    sizes = (
        f"{size.models} models x {len(size.fluxes)} fluxes x {size.months} months at "
        f"{size.step:g} degree to {TARGET_STEP:g}: {size.models * raw_mb / 1e3:.1f} GB "
        f"unpacked, {threads}, {processor:.0f} s of the processor"
    )
    kept = "kept" if memory < PROMISED_MB else "missed"
    about = f"{sizes}; memory < {PROMISED_MB:g} MB {kept}"
    cost = Cost(spent, memory, None)
    found = [Row("prepare 0.5 degree", speed, "MB per s", cost, about)]
    for packed in (size.packed, not size.packed):
        is_same = packed == size.packed
        took, worked = np.mean(
            [(cost.seconds, busy) for cost, busy in (before[packed], after[packed])], 0
        )
        ratio = speed / (raw_mb / took)
        about = (
            f"a plain copy, {'' if packed else 'not '}deflated, made "
            f"{raw_mb / took:.0f} MB per s; "
            f"{size.models * worked / processor:.2f} by the processor"
        )
        if is_same:
            verdict = "kept" if ratio >= PROMISED_SPEED else "missed"
            about += f"; at least {PROMISED_SPEED:g} of it promised: {verdict}"
        name = "like its source" if is_same else "unlike its source"
        found.append(
            Row(f"prepare for a copy {name}", ratio, "x", after[packed][0], about)
        )
    return found


def _land(grid: Grid) -> NDArray[np.float64]:
    """Return a third of the Earth as land, with a coast."""
    lon = np.cos(np.deg2rad(grid.lon)) ** 2
    return np.broadcast_to(np.clip(5 * lon - 3.2, 0, 1), grid.shape)


def _teacher(number: int, size: Size) -> dict[str, Any]:
    return {
        "name": f"model_{number}",
        "label": f"MODEL {number}",
        "kind": "teacher",
        "domain": "land",
        "reader": "trendy",
        "evidence": "testbed",
        "root": "model",
        "files": "{simulation}_{variable}.nc",
        "variables": {flux: {} for flux in size.fluxes},
        "years": [size.first, LAST],
        "simulations": {
            "S2": {
                "weather": [{"years": [size.first, None], "same": True}],
                "co2": {"constant": 400.0},
            }
        },
        "land_fraction": {
            "treatment": "multiply",
            "variable": "land_fraction",
            "file": "../static.nc",
        },
        # Noise is not carbon: only how fast it is read is looked at.
        "gates": dict.fromkeys(("units", "closure", "sign"), "generated"),
    }


def _declare(root: Path, entry: dict[str, Any]) -> None:
    folder = root / "catalog"
    folder.mkdir(exist_ok=True)
    (folder / f"{entry['name']}.yaml").write_text(yaml.safe_dump(entry))


def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.reading", description=__doc__
    )
    add = parser.add_argument
    add("--models", type=int, default=2)
    add("--years", type=int, default=20, help="of each flux; 325 in TRENDY")
    add("--components", action="store_true", help="gpp, ra and rh beside nbp")
    add("--plain", action="store_true", help="files that are not deflated")
    add("--full", action="store_true", help="22 models of 325 years: hours")
    add("--workers", type=int, default=0, help="threads; 0 = as there are cores")
    add("--folder", type=Path, help="where files are made; a temporary folder")
    add("--out", type=Path, help="the JSON file; default below build/benchmarks/")
    asked = parser.parse_args()
    fluxes = ("nbp", *GROSS) if asked.components or asked.full else ("nbp",)
    models, years = (22, 325) if asked.full else (asked.models, asked.years)
    size = Size(models, years, fluxes, STEP, packed=not asked.plain)
    about = environment("cpu")
    about["input"] = f"generated files at {STEP:g} degree"
    dask = DaskSettings(workers=asked.workers)
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=asked.folder) as name:
        measured = rows(Path(name), size, dask)
    conclude(measured, about, asked.out, "reading")
    return 0


if __name__ == "__main__":
    sys.exit(main())
