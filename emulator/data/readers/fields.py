"""What all readers of gridded files share: pick, decode, turn, convert.

This is the only place where names, signs and units change. A reader of a family
of files adds what is special about the family and nothing else.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import (
    GridMismatchError,
    TimeAxisError,
    UnitsError,
    UserError,
)
from emulator.carbon.grid import TOLERANCE, Grid
from emulator.carbon.units import conversion, convert
from emulator.carbon.variables import VARIABLES
from emulator.data.entry import CoordinateSource, Entry, Years
from emulator.data.readers import times
from emulator.data.readers.files import open_netcdf, truncated

LAT_NAMES = ("lat", "latitude", "ylat", "lat_full", "nav_lat", "y", "ncl2")
LON_NAMES = ("lon", "longitude", "xlon", "lon_full", "nav_lon", "x", "ncl3")
TIME_NAMES = ("time", "time_counter", "tmnth", "time_mon", "t", "month", "year", "ncl0")
"""In small letters. Files written by NCL number their dimensions: time, kind of plant,
latitude and longitude are ncl0 to ncl3."""

FILL_VALUES = (-99999.0, -9999.0, -999.0)
"""Fills that occur without being declared; no field here reaches them."""

FILL_LIMIT = 1e10
"""Larger magnitudes are fills, declared or not; areas in m2 are exempt."""

_AREA_FILL_LIMIT = 1e15

_AREA_SLACK = 100.0
"""Areas may be of land alone or of a cut globe; km2 for m2 are off by 1e6."""

_CLEANED_BYTES = 2**20
_VOCABULARY = {name.lower() for name in VARIABLES}
_SAYS_NOTHING = ("", "-", "nan", "none", "unknown", "undefined")


@dataclass(frozen=True, eq=False)
class Field:
    """One variable of one file in the file's unit, on a canonical grid.

    Attributes:
        values: NaN where the file holds no value; shape (time, lat, lon) or
            (lat, lon).
        lat: Degrees north, increasing; shape (lat,).
        lon: Degrees east, increasing within [-180, 180); shape (lon,).
        axis: The months of the file that were read; None without time.
        units: The unit the file states; None if it states none.
        name: The variable's name in the file.
    """

    values: NDArray[np.float32]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    axis: times.Axis | None
    units: str | None
    name: str


@dataclass(frozen=True)
class Declared:
    """What the catalog says where files say it wrongly, or not at all.

    Attributes:
        calendar: Calendar that overrides the file's.
        years: Years which the file holds; they anchor an axis that says nothing.
        ends: The last year of the file; checked, and the stronger anchor.
        time_units: Unit of time that overrides the file's.
        coordinates: Cell centres of a file that has none.
    """

    calendar: str | None = None
    years: Years | None = None
    ends: int | None = None
    time_units: str | None = None
    coordinates: CoordinateSource | None = None

    @classmethod
    def of(
        cls, entry: Entry, years: Years | None = None, *, is_whole: bool = True
    ) -> "Declared":
        """Return what an entry declares.

        Args:
            entry: The catalog entry.
            years: The years of its labels, for the simulation at hand.
            is_whole: Whether one file holds all the years, so that its first and last
                step are known.
        """
        return cls(
            entry.calendar,
            years if is_whole else None,
            entry.ends if is_whole else None,
            entry.time_units or None,
            entry.coordinates,
        )


NOTHING = Declared()
"""Of files that speak for themselves."""


def read_field(
    path: Path,
    wanted: str,
    *,
    declared: Declared = NOTHING,
    years: Years | None = None,
    has_time: bool = True,
) -> Field:
    """Read one variable of one file.

    Args:
        path: The file.
        wanted: Name of the variable in the file.
        declared: What the catalog says about the file.
        years: Years to read, at most; all without.
        has_time: Whether the field must have a time axis or must have none.

    Returns:
        The field, in the file's unit.

    Raises:
        UserError: If the file cannot be read or holds no such variable.
        GridMismatchError: If it is on no complete regular grid.
        TimeAxisError: If its time axis cannot be understood.
    """
    with open_netcdf(path) as dataset:
        return field_of(
            dataset, path, wanted, declared=declared, years=years, has_time=has_time
        )


def field_of(
    dataset: xr.Dataset,
    path: Path,
    wanted: str,
    *,
    declared: Declared = NOTHING,
    years: Years | None = None,
    has_time: bool = True,
) -> Field:
    """Return one variable of an open file; as ``read_field``, for several of them."""
    variable = pick_variable(dataset, wanted, path, 3 if has_time else 2)
    lat_dim, lon_dim = horizontal_dims(variable, path)
    extra = [d for d in variable.dims if d not in (lat_dim, lon_dim)]
    long = [d for d in extra if variable.sizes[d] > 1]
    time_dim = _time_dim(dataset, variable, extra, path) if has_time else None
    refused = [d for d in long if d != time_dim]
    if refused:
        raise GridMismatchError(
            f"{path}: '{variable.name}' has the dimensions {list(variable.dims)}, "
            f"but only time, latitude and longitude may be longer than 1. Sum or "
            f"select {refused} first."
        )
    variable = variable.isel({d: 0 for d in extra if d != time_dim})
    axis = None
    if time_dim is not None:
        axis = read_axis(dataset, time_dim, path, declared)
        inside = _inside(axis.months, years)
        axis = times.Axis(axis.months[inside], axis.frequency, axis.calendar)
        variable = variable.isel({time_dim: inside})
        variable = variable.transpose(time_dim, lat_dim, lon_dim)
    else:
        variable = variable.transpose(lat_dim, lon_dim)
    values, grid = cleaned(dataset, variable, path, declared.coordinates)
    units = attribute(variable, "units")
    return Field(values, grid.lat, grid.lon, axis, units, str(variable.name))


def cleaned(
    dataset: xr.Dataset,
    variable: xr.DataArray,
    path: Path,
    known: CoordinateSource | None = None,
) -> tuple[NDArray[np.float32], Grid]:
    """Return the values of a variable of an open file without fills, and where.

    Args:
        dataset: The file.
        variable: Some or all of a variable, unpacked by nobody; dims (..., lat, lon).
        path: The file, for messages.
        known: Centres that the catalog declares.

    Returns:
        The values in the file's unit, NaN where there is none, in canonical order; same
        shape.

    Raises:
        UserError: If the file is damaged.
        GridMismatchError: If the variable is on no complete regular grid.
    """
    lat_dim, lon_dim = (str(dim) for dim in variable.dims[-2:])
    lat = coordinate(dataset, lat_dim, LAT_NAMES, path, known.lat if known else None)
    lon = coordinate(dataset, lon_dim, LON_NAMES, path, known.lon if known else None)
    stored = load(variable, path)
    values = without_fills(stored, variable.attrs, fill_limit(variable))
    values, lat, lon = canonical_grid(values, lat, lon, path)
    return values, Grid(lat, lon)


def area_of(
    dataset: xr.Dataset, path: Path, wanted: str, declared: Declared = NOTHING
) -> Field:
    """Return areas of cells of an open file in m2, as which they count if none is said.

    Raises:
        UserError: If the file holds no such variable.
        UnitsError: If its unit is none of an area, or its values are of another.
        GridMismatchError: If it is on no complete regular grid.
    """
    picked = pick_variable(dataset, wanted, path, 2)
    units = attribute(picked, "units") or "m2"
    dataset = dataset.assign({str(picked.name): picked.assign_attrs(units=units)})
    field = field_of(dataset, path, str(picked.name), declared=declared, has_time=False)
    cure = "Mend its unit, or take another variable in the catalog entry."
    try:
        values = convert(field.values, units, "m2")
    except UnitsError as error:
        raise UnitsError(f"{path}: '{wanted}': {error} {cure}") from None
    sphere = float(Grid(field.lat, field.lon).cell_area().sum())
    total = float(np.nansum(values, dtype=np.float64))
    if not sphere / _AREA_SLACK < total < sphere * _AREA_SLACK:
        raise UnitsError(
            f"{path}: the cells of '{wanted}' add up to {total:.4g} m2 as it is in "
            f"{units!r}, but such a grid on the Earth has {sphere:.4g} m2. {cure}"
        )
    return replace(field, values=values, units="m2")


def to_array(
    field: Field, entry: Entry, variable: str, path: Path, checksum: str
) -> xr.DataArray:
    """Return ``field`` under its canonical name, unit and sign.

    Raises:
        UnitsError: If neither catalog nor file states a known unit.
    """
    source = entry.variables[variable]
    units = source.units or field.units
    if units is None:
        raise UnitsError(
            f"{path}: '{field.name}' states no unit, but '{variable}' is wanted in "
            f"'{VARIABLES[variable].units}'. Declare variables.{variable}.units in the "
            f"catalog entry '{entry.name}'."
        )
    try:
        values = convert(field.values, units, VARIABLES[variable].units)
    except UnitsError as error:
        raise UnitsError(
            f"{path}: '{field.name}': {error} Declare variables.{variable}.units in "
            f"the catalog entry '{entry.name}'."
        ) from None
    factor = source.sign * source.scale
    if factor != 1:
        values = values * factor
    dims: tuple[str, ...] = ("lat", "lon")
    coords: dict[str, Any] = {"lat": field.lat, "lon": field.lon}
    attrs: dict[str, Any] = {
        "units": VARIABLES[variable].units,
        "long_name": VARIABLES[variable].long_name,
        "source_file": path.name,
        "source_units": units,
        "source_name": field.name,
        "sha256": checksum,
        "catalog_entry": entry.name,
    }
    if field.axis is not None:
        dims = ("time", *dims)
        coords["time"] = field.axis.months.astype("datetime64[ns]")
        attrs["source_calendar"] = field.axis.calendar
        attrs["frequency"] = field.axis.frequency
    data = np.asarray(values, dtype=np.float32)
    return xr.DataArray(data, coords, dims, name=variable, attrs=attrs)


def pick_variable(
    dataset: xr.Dataset, wanted: str, path: Path, least_dims: int
) -> xr.DataArray:
    """Return the variable: by name, by name in any case, or the only candidate.

    A candidate that is named like another field of the vocabulary is none: a file of
    gpp holds no nbp, whatever the file is called.

    Raises:
        UserError: If none or several variables could be meant.
    """
    if wanted in dataset.variables:
        return dataset[wanted]
    same = [str(n) for n in dataset.variables if str(n).lower() == wanted.lower()]
    large = [
        str(name)
        for name, variable in dataset.variables.items()
        if variable.ndim >= least_dims
        and (variable.dtype.kind == "f" or "scale_factor" in variable.attrs)
    ]
    found = same or large
    if len(found) == 1 and (same or found[0].lower() not in _VOCABULARY):
        return dataset[found[0]]
    raise UserError(
        f"{path} has no variable '{wanted}' and {len(found)} that could be meant "
        f"{found}; it holds {[str(name) for name in dataset.variables]}. Get the right "
        f"file, or give the name in it under variables.<name>.name of the catalog "
        f"entry."
    )


def without_fills(
    values: NDArray[Any], attrs: dict[str, Any], limit: float = FILL_LIMIT
) -> NDArray[np.float32]:
    """Return unpacked float32 values with NaN for every kind of fill.

    ``_FillValue`` is honoured; ``missing_value`` is, unless it is 0, which some
    files declare for a fraction whose 0 is a value. Integers that are ``_Unsigned`` are
    (NetCDF User Guide, attribute conventions). Float32 values are cleaned where
    they are: a copy of ten years takes almost as long as reading them.
    """
    attrs = {str(name).lower(): value for name, value in attrs.items()}
    fills = [_number(f) for f in np.atleast_1d(attrs.get("_fillvalue", []))]
    stated = [_number(f) for f in np.atleast_1d(attrs.get("missing_value", []))]
    fills += [f for f in stated if f != 0 and np.isfinite(f)]
    if values.dtype.kind == "f" and "scale_factor" not in attrs:
        fills += FILL_VALUES
    if values.dtype.kind == "i" and str(attrs.get("_unsigned")).lower() == "true":
        values = values.view(values.dtype.str.replace("i", "u"))
        count = 2 ** (8 * values.itemsize)
        fills = [fill % count for fill in fills if abs(fill) < count]
    scale = _number(attrs.get("scale_factor", 1.0))
    offset = _number(attrs.get("add_offset", 0.0))
    with np.errstate(over="ignore"):  # beyond float32 is beyond any limit
        cleaned = np.atleast_1d(np.require(values, np.float32, "W"))
    stored = np.atleast_1d(values)
    # A few maps at a time, which stay in the cache.
    step = max(1, _CLEANED_BYTES // max(1, cleaned[:1].nbytes))
    for begin in range(0, len(cleaned), step):
        some, part = stored[begin : begin + step], cleaned[begin : begin + step]
        missing = np.zeros(some.shape, dtype=bool)
        for fill in set(fills):
            # A plain number is compared in the precision of the file, as 1e20 must be.
            missing |= some == fill
        if scale != 1 or offset != 0:
            part[...] = (some.astype(np.float64) * scale + offset).astype(np.float32)
        with np.errstate(invalid="ignore"):
            missing |= ~(np.abs(part) <= limit)
        part[missing] = np.nan
    return cleaned.reshape(values.shape)


def fill_limit(variable: xr.DataArray) -> float:
    """Return the magnitude beyond which a variable's values are fills.

    Areas of cells in m2 are larger than what is a fill elsewhere.
    """
    try:
        conversion(attribute(variable, "units") or "", "m2")
    except UnitsError:
        return FILL_LIMIT
    return _AREA_FILL_LIMIT


def attribute(variable: xr.DataArray, wanted: str) -> str | None:
    """Return an attribute spelt in any case; '', '-' and the like say nothing."""
    for name, value in variable.attrs.items():
        text = str(value).strip()
        if str(name).lower() == wanted and text.lower() not in _SAYS_NOTHING:
            return text
    return None


def load(variable: xr.DataArray, path: Path) -> NDArray[Any]:
    """Return the stored values.

    Raises:
        UserError: If the file is damaged where they are.
    """
    try:
        return np.asarray(variable.values)
    except (OSError, RuntimeError) as error:
        raise truncated(path, str(error)) from None


def horizontal_dims(variable: xr.DataArray, path: Path) -> tuple[str, str]:
    """Return the dimensions of latitude and longitude.

    Raises:
        GridMismatchError: If there is not one of each.
    """
    found = []
    for known, what in ((LAT_NAMES, "latitude"), (LON_NAMES, "longitude")):
        dims = [str(d) for d in variable.dims if str(d).lower() in known]
        if len(dims) != 1:
            raise GridMismatchError(
                f"{path}: '{variable.name}' has the dimensions "
                f"{[str(d) for d in variable.dims]}, {len(dims)} of them a "
                f"{what}; one called like {list(known)} is needed. Regrid it to a "
                f"regular grid, or rename its dimensions."
            )
        found.append(dims[0])
    return found[0], found[1]


def coordinate(
    dataset: xr.Dataset,
    dim: str,
    names: tuple[str, ...],
    path: Path,
    ends: tuple[float, float] | None,
) -> NDArray[np.float64]:
    """Return cell centres: the file's, or evenly spaced between those declared.

    Raises:
        GridMismatchError: If the file has none and none are declared.
    """
    held = _along(dataset, dim, names)
    if held is not None:
        centres = np.asarray(held.values, dtype=np.float64)
        if centres.size == 1 or np.ptp(centres) > 0 or np.isnan(centres).any():
            return centres
        found = f"the coordinate '{dim}' is {centres[0]:g} in all {centres.size} places"
    else:
        found = f"the dimension '{dim}' has no coordinate"
    if ends is None:
        raise GridMismatchError(
            f"{path}: {found}, but degrees are needed. Add a variable '{dim}({dim})', "
            f"or declare 'coordinates' in the catalog entry: the first and last row "
            f"and column."
        )
    return np.linspace(*ends, dataset.sizes[dim])


def _along(
    dataset: xr.Dataset, dim: str, names: tuple[str, ...]
) -> xr.DataArray | None:
    """Return the coordinate of a dimension, which may have another known name."""
    if dim in dataset.variables:
        return dataset[dim]
    others = [
        name
        for name, variable in dataset.variables.items()
        if variable.dims == (dim,) and str(name).lower() in names
    ]
    return dataset[others[0]] if len(others) == 1 else None


def _time_dim(
    dataset: xr.Dataset, variable: xr.DataArray, extra: list[Any], path: Path
) -> str:
    """Return the dimension of time: by its name, or by the unit of its coordinate."""
    found = [str(d) for d in extra if str(d).lower() in TIME_NAMES]
    if not found:
        said = {d: _along(dataset, str(d), TIME_NAMES) for d in extra}
        found = [
            str(d)
            for d, axis in said.items()
            if axis is not None and times.is_time(attribute(axis, "units"))
        ]
    if len(found) != 1:
        raise TimeAxisError(
            f"{path}: '{variable.name}' has the dimensions "
            f"{[str(d) for d in variable.dims]}, {len(found)} of which are time "
            f"{found}, but one is needed. Call it 'time', and no other so."
        )
    return found[0]


def read_axis(
    dataset: xr.Dataset, dim: str, path: Path, declared: Declared
) -> times.Axis:
    """Return the months of a dimension of time.

    Raises:
        TimeAxisError: If they cannot be understood.
    """
    values, units = np.arange(dataset.sizes[dim], dtype=np.float64), None
    calendar = declared.calendar
    variable = _along(dataset, dim, TIME_NAMES)
    if variable is not None:
        if variable.dtype.kind not in "iuf" or variable.ndim != 1:
            raise TimeAxisError(
                f"{path}: its time '{variable.name}' is {variable.dtype} with the "
                f"dimensions {list(variable.dims)}, but one number a step is needed. "
                f"Store times as numbers with a unit such as 'days since 1850-01-01'."
            )
        values = load(variable, path).astype(np.float64)
        units = attribute(variable, "units")
        values = _middles(dataset, variable, values, path)
        calendar = calendar or attribute(variable, "calendar")
    return times.decode(
        values,
        declared.time_units or units,
        calendar,
        source=str(path),
        years=declared.years,
        ends=declared.ends,
    )


def _middles(
    dataset: xr.Dataset, time: xr.DataArray, stamps: NDArray[np.float64], path: Path
) -> NDArray[np.float64]:
    """Return the middle of each step where bounds tell it.

    A stamp may be the midnight that ends a month, which is the next month's. Bounds
    that leave gaps or do not hold their stamps say nothing.
    """
    bounds = dataset.get(attribute(time, "bounds") or "")
    if bounds is None or bounds.shape != (stamps.size, 2):
        return stamps
    if attribute(bounds, "units") not in (None, attribute(time, "units")):
        return stamps
    first, last = load(bounds, path).astype(np.float64).T
    holds = (first <= stamps) & (stamps <= last) & (first < last)
    is_whole = holds.all() and (first[1:] == last[:-1]).all()
    return (first + last) / 2 if is_whole else stamps


def _inside(months: NDArray[np.datetime64], years: Years | None) -> slice:
    """Return where in increasing months the years are."""
    if years is None:
        return slice(None)
    first = np.datetime64(f"{years[0]:04d}-01", "M")
    start = int(np.searchsorted(months, first))
    if years[1] is None:
        return slice(start, None)
    after = np.datetime64(f"{years[1] + 1:04d}-01", "M")
    return slice(start, int(np.searchsorted(months, after)))


def canonical_grid(
    values: NDArray[np.float32],
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    path: Path,
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return a field with latitudes and longitudes in canonical order.

    Args:
        values: Shape (..., lat, lon).
        lat: Degrees north; shape (lat,).
        lon: Degrees east; shape (lon,).
        path: The file, for messages.

    Raises:
        GridMismatchError: If they are not those of a regular grid round the Earth.
    """
    if (np.diff(lat) < 0).all():
        lat, values = lat[::-1], values[..., ::-1, :]
    lon = (lon + 180) % 360 - 180
    if (np.diff(lon) < 0).any():
        order = np.argsort(lon, kind="stable")
        lon, values = lon[order], values[..., order]
    if twice := np.flatnonzero(np.abs(np.diff(lon)) < TOLERANCE).tolist():
        raise GridMismatchError(
            f"{path}: the column at {lon[twice[0]]:g} degrees east is there twice, "
            f"maybe a turn further on, but each is needed once. Remove one of the two."
        )
    _require_grid(lat, lon, path)
    return np.ascontiguousarray(values), np.ascontiguousarray(lat), lon


def _require_grid(
    lat: NDArray[np.float64], lon: NDArray[np.float64], path: Path
) -> None:
    try:
        grid = Grid(lat, lon)
    except GridMismatchError as error:
        raise GridMismatchError(f"{path}: {error}") from None
    if not grid.is_periodic:
        raise GridMismatchError(
            f"{path}: the columns span {grid.describe()}, but must go round the Earth. "
            f"Get the global file: a column may be missing."
        )


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
