"""Carbon emitted by fires as satellites see it: GFED4.1s, GFED5 and GFAS.

GFED4.1s is one HDF5 file a year, ``GFED4.1s_YYYY.hdf5`` (``_beta`` from 2017 on), with
a group for each month and no coordinates but in two-dimensional ``lat`` and ``lon``.
GFED5 is one NetCDF file a year with a variable for each species. GFAS are daily fields
of species. All become the mean rate of a month in kg of carbon: GFED states amounts of
a month, GFAS rates of CO2, CO and CH4, not of carbon.

Nothing of these is added to an nbp, which has its own fires: they are what one may
compare a simulated fire with, or let a network see.

Source:
    van der Werf et al. (2017), Earth Syst. Sci. Data 9, 697-720 (GFED4.1s); Kaiser et
    al. (2012), Biogeosciences 9, 527-554 (GFAS). Layouts: other people's code; units
    in GFED's files are checked when they are read.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import (
    GridMismatchError,
    TimeAxisError,
    UnitsError,
    UserError,
)
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import seconds_per_month
from emulator.carbon.units import MOLAR_MASS_CARBON
from emulator.carbon.variables import VARIABLES as VOCABULARY
from emulator.data.readers import steps
from emulator.data.readers.fields import (
    Field,
    attribute,
    canonical_grid,
    cleaned,
    horizontal_dims,
    without_fills,
)
from emulator.data.readers.files import NETCDF, open_netcdf, truncated
from emulator.data.readers.products import Offering, Piece, Told, converted

Array = NDArray[np.float64]

NAME = "fireobs"
VARIABLES = (NAME,)
"""What can be had."""

CARBON_SHARE = {
    name: MOLAR_MASS_CARBON / mass
    for name, mass in {"CO2": 44.009e-3, "CO": 28.010e-3, "CH4": 16.043e-3}.items()
}
"""kg of carbon in a kg of what fires give off most (IUPAC standard atomic weights)."""

_GFAS = {"co2fire": "CO2", "cofire": "CO", "ch4fire": "CH4"}

_MONTHLY_AMOUNT = "g m-2 month-1"
"""Of GFED's emissions, where a file says nothing (its documentation)."""

_PER_MONTH = re.compile(r"/\s*mon(?:th)?s?\b|\bmon(?:th)?s?\s*\^?\s*\{?-1\}?")
_SPECIES = re.compile(r"\b(?:CO2|CO|CH4|C|species)\b")
_YEAR = re.compile(r"_(\d{4})(?:_\w+)?\.\w+$")


def find_gfed4(folder: Path) -> Offering:
    """Return the months of GFED4.1s that a folder has."""
    offering = Offering("GFED4.1s")
    for path, year in _years(folder, "**/GFED4*.hdf5", offering):
        try:
            with _groups(path) as file:
                held = [f"{month:02d}" for month in range(1, 13)]
                emissions = file.groups.get("emissions")
                groups = emissions.groups if emissions else {}
                held = [m for m in held if m in groups and "C" in groups[m].variables]
        except UserError as error:
            offering.refused.append(str(error))
            continue
        _offer(offering, path, year, [int(month) for month in held], _read_gfed4)
    return _or_refused(offering, folder, "GFED4.1s_YYYY.hdf5")


def find_gfed5(folder: Path) -> Offering:
    """Return the months of GFED5 that a folder has."""
    offering = Offering("GFED5")
    for path, year in _years(folder, "**/GFED5*monthly*.nc", offering):
        _offer(offering, path, year, list(range(1, 13)), _read_gfed5)
    return _or_refused(offering, folder, "GFED5_Beta_monthly_YYYY.nc")


def find_gfas(folder: Path) -> Offering:
    """Return the days of GFAS that a folder has, of the same species on all."""
    offering = Offering("GFAS")
    files = []
    for path in sorted(folder.glob("**/*.nc")):
        try:
            files.append(steps.index(path, "D"))
        except UserError as error:
            offering.refused.append(str(error))
    species = {name for file in files for name in file.variables} & set(_GFAS)
    files = [file for file in files if species & file.variables]
    incomplete = []
    for day in sorted({day for file in files for day in file.steps}):
        behind = [file for file in files if day in file.steps]
        if species.difference(*(file.variables for file in behind)):
            incomplete.append(day)
        elif "co2fire" in species:
            paths = tuple(file.path for file in behind)
            offering.days[day] = Piece(paths, partial(_read_gfas, behind, day))
    if incomplete:
        offering.refused.append(
            f"{folder} has {', '.join(sorted(species))}, but not all of them of "
            f"{len(incomplete)} days from {incomplete[0]} to {incomplete[-1]}, whose "
            f"carbon would not compare with that of others. Get each of all days."
        )
    return _or_refused(
        offering, folder, "*.nc with daily co2fire (and cofire, ch4fire)"
    )


def grouped_field(path: Path, name: str) -> Field:
    """Return a map in a group of GFED4.1s, such as ``ancill/basis_regions``.

    Raises:
        UserError: If the file cannot be read.
        GridMismatchError: If it has no such map.
    """
    with _groups(path) as file:
        values, lat, lon, units = _gfed4_map(file, name, path)
    return Field(values, lat, lon, None, units, name)


def carbon_rate(values: Array, units: str, month: np.datetime64, path: Path) -> Array:
    """Return the mean rate of a month, kg m-2 s-1, from what was emitted in it.

    Args:
        values: Amounts per area and month; any shape.
        units: Their unit, e.g. ``g C m^-2 month^-1``; the species in it is not looked
            at.
        month: Which month, datetime64[M].
        path: The file, for messages.

    Raises:
        UnitsError: If the unit is not one of a month.
    """
    bare, count = _PER_MONTH.subn(" ", units)
    if count != 1:
        raise UnitsError(
            f"{path}: emissions are in {units!r}, but an amount per month is needed, "
            f"such as {_MONTHLY_AMOUNT!r}. Get the monthly files."
        )
    plain = _SPECIES.sub(" ", bare).replace("^", "")
    amount = converted(values, plain, "kg m-2", f"{path}: the emission of a month")
    return np.asarray(amount / float(seconds_per_month(np.array([month]))[0]))


def _years(
    folder: Path, pattern: str, offering: Offering
) -> Iterator[tuple[Path, int]]:
    """Yield files with the year of their names."""
    found: dict[int, Path] = {}
    for path in sorted(folder.glob(pattern)):
        match = _YEAR.search(path.name)
        if match is None:
            offering.refused.append(
                f"{path} does not say its year where GFED's names do. Rename it as it "
                f"was."
            )
        elif int(match[1]) in found:
            offering.refused.append(
                f"{path} is of the same year as {found[int(match[1])]}, which is read. "
                f"Remove one."
            )
        else:
            found[int(match[1])] = path
    for year, path in sorted(found.items()):
        yield path, year


def _offer(
    offering: Offering,
    path: Path,
    year: int,
    months: Sequence[int],
    read: Callable[[Path, np.datetime64, tuple[str, ...]], Told],
) -> None:
    for number in months:
        month = np.datetime64(f"{year:04d}-{number:02d}", "M")
        offering.months[month] = Piece((path,), partial(read, path, month))


def _or_refused(offering: Offering, folder: Path, wanted: str) -> Offering:
    if not (offering.months or offering.days):
        offering.refused.append(
            f"{folder} has no {wanted}. Get some, or correct the folder; docs/data.md "
            f"says where they are."
        )
    return offering


@contextmanager
def _groups(path: Path) -> Iterator[netCDF4.Dataset]:
    """Open a file with its groups, after what is checked of every file."""
    with open_netcdf(path), NETCDF, netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        yield file


def _gfed4_map(
    file: netCDF4.Dataset, name: str, path: Path
) -> tuple[NDArray[np.float32], Array, Array, str | None]:
    """Return a map of GFED4.1s with latitudes, longitudes and its unit."""
    group, _, last = name.rpartition("/")
    held = file[group].variables if group in _paths(file) else {}
    if last not in held or held[last].ndim != 2:
        raise GridMismatchError(
            f"{path} has no map '{name}'; it has the groups {_paths(file)}. Get a file "
            f"of GFED4.1s."
        )
    variable = held[last]
    attrs = {key: variable.getncattr(key) for key in variable.ncattrs()}
    try:
        raw = np.asarray(variable[:])
    except (OSError, RuntimeError) as error:
        raise truncated(path, str(error)) from None
    rows, columns = raw.shape
    if {"lat", "lon"} <= set(file.variables):
        # Two-dimensional in the real files, though the grid is regular.
        lat = np.asarray(file["lat"][:], np.float64)
        lon = np.asarray(file["lon"][:], np.float64)
        lat, lon = (lat[:, 0], lon[0]) if lat.ndim == 2 else (lat, lon)
    else:
        lat = 90 - (np.arange(rows) + 0.5) * 180 / rows
        lon = -180 + (np.arange(columns) + 0.5) * 360 / columns
    values, lat, lon = canonical_grid(without_fills(raw, attrs), lat, lon, path)
    units = attribute(xr.DataArray(0, attrs=attrs), "units")
    return values, lat, lon, units


def _paths(file: netCDF4.Dataset) -> list[str]:
    """Return the paths of all groups."""
    found = []
    for name, group in file.groups.items():
        found += [name, *(f"{name}/{one}" for one in _paths(group))]
    return found


def _read_gfed4(path: Path, month: np.datetime64, names: tuple[str, ...]) -> Told:
    with _groups(path) as file:
        name = f"emissions/{str(month)[5:]}/C"
        values, lat, lon, units = _gfed4_map(file, name, path)
    rate = carbon_rate(values.astype(np.float64), units or _MONTHLY_AMOUNT, month, path)
    told = dict.fromkeys(names, units or "")
    return Told(dict.fromkeys(names, rate), Grid(lat, lon), is_final=True, units=told)


def _read_gfed5(path: Path, month: np.datetime64, names: tuple[str, ...]) -> Told:
    """Read the carbon of a month, as it stands or from its three main species."""
    number = int(str(month)[5:]) - 1
    parts: list[Array] = []
    with open_netcdf(path) as dataset:
        shares = {"C": 1.0} if "C" in dataset.variables else CARBON_SHARE
        held = [name for name in shares if name in dataset.variables]
        if not held or ("C" not in held and "CO2" not in held):
            raise UnitsError(
                f"{path} holds {sorted(map(str, dataset.variables))}, but 'C' or 'CO2' "
                f"is needed. Get the file with emissions of species."
            )
        for name in held:
            variable = dataset[name]
            if variable.ndim != 3 or variable.shape[0] != 12:
                raise TimeAxisError(
                    f"{path}: '{name}' has the shape {variable.shape}, but twelve "
                    f"months of maps are needed. Get the whole year."
                )
            units = attribute(variable, "units") or _MONTHLY_AMOUNT
            one = variable[number].transpose(*horizontal_dims(variable, path))
            values, grid = cleaned(dataset, one, path)
            rate = carbon_rate(values.astype(np.float64), units, month, path)
            parts.append(shares[name] * rate)
    total = np.sum(parts, axis=0)
    told = dict.fromkeys(names, units)
    return Told(dict.fromkeys(names, total), grid, is_final=True, units=told)


def _read_gfas(
    files: Sequence[steps.StepFile], day: np.datetime64, names: tuple[str, ...]
) -> Told:
    """Read the carbon of a day; species that no file has count as nothing."""
    parts: list[Array] = []
    wanted = np.array([day])
    for name, species in _GFAS.items():
        if not steps.there(files, name, wanted):
            continue
        slab = steps.read(files, name, wanted)
        rate = converted(
            slab.values[0].astype(float),
            slab.units,
            VOCABULARY[NAME].units,
            f"'{name}' of {day}",
        )
        parts.append(CARBON_SHARE[species] * rate)
    total = np.sum(parts, axis=0)
    told = dict.fromkeys(names, slab.units or "")
    return Told(dict.fromkeys(names, total), slab.grid, is_final=True, units=told)
