"""Sink maps as files: a Zarr store for xarray and a ``sink.nc`` for everybody else.

Both are written into a folder beside their final place and renamed when they are
whole, so that a reader never meets half a map and a failure leaves nothing behind.
"""

import ctypes
import errno
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import xarray as xr

from emulator.carbon.errors import StoreError
from emulator.data import stores
from emulator.nightly.provenance import SCHEMA

_FILL = 9.969209968386869e36
"""netCDF's default fill value of floats: ncview and CDO of today expect a number."""

_TIME = {"units": "days since 1850-01-01", "calendar": "standard", "dtype": "f8"}
"""The epoch of CMIP6; days of a month's start are exact in float64."""

_ISSUED = {"units": "seconds since 1970-01-01", "calendar": "standard", "dtype": "i8"}

_HERE, _RENAME_EXCHANGE = -100, 2
"""AT_FDCWD and the flag of renameat2(2), from Linux's headers."""

_LABELS = (
    "bound", "flux", "region", "land_teacher", "ocean_teacher",
    "reference", "term", "land_number", "ocean_number", "co2_record",
)  # fmt: skip
_MONTHS_PER_CHUNK = 12


def write(sink_map: xr.Dataset, out: Path, *, overwrite: bool = False) -> Path:
    """Write a sink map and, beside it, its ``.nc``.

    Args:
        sink_map: What `emulator.nightly.sinkmap.assemble` returned.
        out: Path of the Zarr store, ending in ``.zarr``, or of a folder, in which
            the files are called ``sink.zarr`` and ``sink.nc``.
        overwrite: Whether a map that stands there may be replaced.

    Returns:
        The path of the Zarr store.

    Raises:
        StoreError: If a map stands there already, the folder cannot be written or
            the disk is full; what stood there before is as it was.
    """
    store, netcdf = require_free(out, overwrite=overwrite)
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{store.stem}-", dir=store.parent))
    except OSError as error:
        raise _unwritable(store.parent, error) from error
    try:
        _write_zarr(sink_map, stage / store.name)
        write_netcdf(for_netcdf(sink_map), stage / netcdf.name)
        stores.force_to_disk(stage)
        _replace([store, netcdf], stage)
        stores.flush(store.parent)
    except OSError as error:
        raise _unwritable(store.parent, error) from error
    finally:
        stores.wait_for_writes()
        shutil.rmtree(stage, ignore_errors=True)
    return store


def require_free(out: Path, *, overwrite: bool) -> tuple[Path, Path]:
    """Return the paths of Zarr store and netCDF file, refusing to replace a map.

    Raises:
        StoreError: If one of them exists and ``overwrite`` is false.
    """
    store = out if out.suffix == ".zarr" else out / "sink.zarr"
    netcdf = store.with_suffix(".nc")
    taken = [path for path in (store, netcdf) if path.exists() or path.is_symlink()]
    if taken and not overwrite:
        raise StoreError(
            f"{taken[0]} exists already. Choose another out=PATH, or replace it with "
            f"overwrite=true."
        )
    return store, netcdf


def require_schema(sink_map: xr.Dataset, place: str) -> xr.Dataset:
    """Return a sink map if it is one of this layout.

    Raises:
        StoreError: If it is not.
    """
    found = sink_map.attrs.get("schema")
    if found != SCHEMA:
        raise StoreError(
            f"{place} has schema {found!r}, but this version reads {SCHEMA!r}. Open it "
            f"with the version that wrote it, or predict again."
        )
    return sink_map


def for_netcdf(sink_map: xr.Dataset) -> xr.Dataset:
    """Return what ``sink.nc`` holds, arranged as CDO and older tools need it.

    Means, spreads, fractions, status and budgets with their intervals; not the
    teachers' maps, and neither intervals of cells nor draws. Time comes
    first, and names stand in ``<dimension>_name`` instead of a coordinate variable of
    text, which CF does not know and CDO skips.
    """
    fluxes = [v for v in sink_map.data_vars if f"{v}_mean" in sink_map]
    maps = [
        name
        for flux in fluxes
        for name in (flux, f"{flux}_interval_emulation")
        if name in sink_map
    ]
    drawn = [name for name in sink_map.variables if "_draw" in str(name)]
    # A second variable with units of time makes CDO doubt which one is the axis.
    small = sink_map.drop_vars([*maps, *drawn, "issued"])
    labels = [name for name in _LABELS if name in small.dims]
    names = {
        f"{name}_name": (name, small[name].to_numpy(), dict(small[name].attrs))
        for name in labels
    }
    small = small.drop_vars(labels).assign_coords(names)
    order = [d for d in ("time", "year", *_LABELS, "lat", "lon") if d in small.dims]
    return small.transpose(*order, ...)


def _write_zarr(sink_map: xr.Dataset, path: Path) -> None:
    encoding = encoding_of(sink_map, fill=None)
    for name, field in sink_map.data_vars.items():
        sizes = {**field.sizes}
        for dim in ("land_teacher", "ocean_teacher"):
            sizes |= {dim: 1} if {dim, "lat"} <= set(sizes) else {}
        if "lat" in sizes and "time" in sizes:
            sizes["time"] = min(_MONTHS_PER_CHUNK, sizes["time"])
        if field.ndim:
            encoding[str(name)]["chunks"] = tuple(sizes[d] for d in field.dims)
    with warnings.catch_warnings():
        # Not in the v3 specification yet, but plain xr.open_zarr warns without.
        warnings.filterwarnings("ignore", "Consolidated metadata", UserWarning)
        sink_map.to_zarr(path, mode="w-", consolidated=True, encoding=encoding)


def write_netcdf(small: xr.Dataset, path: Path) -> None:
    """Write what `for_netcdf` returned as CF netCDF-4, compressed."""
    encoding = netcdf_encoding(small)
    # Unlimited, so that cdo mergetime and ncrcat can append months.
    small.to_netcdf(path, engine="netcdf4", encoding=encoding, unlimited_dims=["time"])


def netcdf_encoding(small: xr.Dataset) -> dict[str, dict[str, object]]:
    """Return how each variable of ``sink.nc`` is stored: fills as numbers, zipped."""
    encoding = encoding_of(small, fill=_FILL)
    for name, field in small.data_vars.items():
        if {"lat", "time"} <= set(field.dims):
            encoding[str(name)] |= {"zlib": True, "complevel": 4, "shuffle": True}
    return encoding


def encoding_of(
    dataset: xr.Dataset, fill: float | None = None
) -> dict[str, dict[str, object]]:
    """Return how each variable is stored: times as numbers, fills where NaN may be."""
    encoding: dict[str, dict[str, object]] = {}
    for key, field in dataset.variables.items():
        name, kind = str(key), field.dtype.kind
        encoding[name] = {}
        if kind == "M":
            encoding[name] = {**(_ISSUED if name == "issued" else _TIME)}
            encoding[name] |= {"_FillValue": None}
        elif name in ("lat", "lon", "lat_bnds", "lon_bnds", "area"):
            encoding[name] = {"_FillValue": None}
        elif kind == "f" and fill is not None:
            encoding[name] = {"_FillValue": fill}
    return encoding


def _replace(targets: list[Path], stage: Path) -> None:
    """Swap the staged files with what stands there; on failure swap them back."""
    done: list[Path] = []
    try:
        for target in targets:
            _swap(stage / target.name, target)
            done.append(target)
    except OSError:
        for target in reversed(done):
            _swap(target, stage / target.name)
        raise


def _swap(one: Path, two: Path) -> None:
    """Give two files or folders each other's name; the second may not be there.

    A folder cannot be renamed over another one. Linux exchanges them at once, so that
    a reader finds one of them at any moment; elsewhere there is none for a moment.
    """
    if not os.path.lexists(two):
        one.rename(two)
        return
    if _exchanged(one, two):
        return
    aside = one.with_name(f"{one.name}.aside")
    two.rename(aside)
    one.rename(two)
    aside.rename(one)


def _exchanged(one: Path, two: Path) -> bool:
    """Exchange two names by Linux's renameat2; false where it, or the disk, cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # another system, or an old libc
        return False
    names = os.fsencode(one), os.fsencode(two)
    done: int = renameat2(_HERE, names[0], _HERE, names[1], _RENAME_EXCHANGE)
    return done == 0


def _unwritable(folder: Path, error: OSError) -> StoreError:
    if error.errno == errno.ENOSPC:
        return StoreError(
            f"The disk of {folder} is full; nothing was left there. Free some space, "
            f"or choose another out=PATH or a coarser map.grid."
        )
    return StoreError(
        f"The sink map cannot be written to {folder}: {error.strerror or error}. "
        f"Choose an out=PATH in a folder that you may write."
    )
