"""What a file must be before its month is archived: every refusal by name.

Names, units and orientation are settled as for every file that is read; beyond that, a
month must be the one its name says, on the archive's grid, in the unit it states, there
wherever the archive has values, and no other month once more.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from emulator.carbon.errors import SourceError, UnitsError, UserError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, as_months
from emulator.carbon.units import convert
from emulator.carbon.variables import VARIABLES
from emulator.data.forcing_archive import STATUS, fields_hash
from emulator.data.gates import extremes
from emulator.data.mapping.store import ForcingMap, as_other_months
from emulator.data.offers import Offer, SourceSettings
from emulator.data.readers.fields import TIME_NAMES, Field, attribute, field_of
from emulator.data.readers.files import open_netcdf

Floats = NDArray[np.float32]

UNLIKELY = 3.0
"""Factor between the mean sizes of a field in one month of two years above which its
unit is not believed: years differ by some percent, units by ten and more (hPa and Pa,
mm and m, percent and shares). Kelvin and Celsius are told apart by range."""

DAILY_SLACK = 0.5
"""Share of a variable's range by which a day may leave it: bounds are those of monthly
means, and a day's rain or wind is above them now and then. Units differ by more."""


@dataclass(frozen=True, eq=False)
class Known:
    """What an archive tells about months to come.

    Attributes:
        grid: Its grid.
        there: Cells with values, by variable; shape (lat, lon).
        size: Mean size of each variable in each calendar month, its own unit.
        seen: Hashes of the fields of all months, and the month of each.
        mapped_by: The map by which months are mapped once they are admitted, if any.
    """

    grid: Grid
    there: Mapping[str, NDArray[np.bool_]]
    size: Mapping[str, NDArray[np.float64]]
    seen: dict[str, np.datetime64]
    mapped_by: ForcingMap | None = None

    @classmethod
    def of(cls, forcing: xr.Dataset, mapped_by: ForcingMap | None = None) -> "Known":
        """Read it from an archive: its last whole year, and what it has seen.

        Args:
            forcing: As ``forcing_archive.read`` returns it, one year at least.
            mapped_by: The map by which its months were mapped, if any.
        """
        months = as_months(forcing["time"].to_numpy())
        whole = np.flatnonzero(forcing["status"].to_numpy() < STATUS["partial"])
        last = forcing.isel(time=whole[-MONTHS_PER_YEAR:])
        grid = Grid(forcing["lat"].to_numpy(), forcing["lon"].to_numpy())
        area = grid.cell_area()
        there, size = {}, {}
        for name in sorted(
            str(name) for name, field in last.items() if field.ndim == 3
        ):
            values = last[name].to_numpy()
            there[name] = np.isfinite(values[-1])
            means = np.full(MONTHS_PER_YEAR, np.nan)
            calendar = as_months(last["time"].to_numpy()).astype(np.int64) % 12
            means[calendar] = [_mean_size(one, area) for one in values]
            size[name] = means
        seen = dict(zip(forcing["fields"].to_numpy(), months, strict=True))
        return cls(grid, there, size, seen, mapped_by)

    def archived(self, name: str, field: Floats, month: np.datetime64) -> Floats:
        """Return a field (lat, lon) as it would be archived."""
        if self.mapped_by is None:
            return field
        return self.mapped_by.apply_to_month({name: field}, month)[name]

    def twins(self, fields: Mapping[str, Floats]) -> set[np.datetime64]:
        """Return the months that are archived with the numbers of ``fields``."""
        told: list[Mapping[str, Floats]] = [fields]
        if self.mapped_by is not None:
            told = list(as_other_months(self.mapped_by, fields))
        found = (self.seen.get(fields_hash(one)) for one in told)
        return {month for month in found if month is not None}


def admit(
    path: Path, offer: Offer, settings: SourceSettings, known: Known
) -> tuple[dict[str, Floats], float]:
    """Read a file of a month or a day, or refuse it.

    Args:
        path: The file, here.
        offer: What it is said to be.
        settings: How things are called in it.
        known: What the archive tells.

    Returns:
        Every variable of the archive, canonical unit, float32, (lat, lon), and CO2,
        ppm.

    Raises:
        SourceError: If anything is not what it must be; the message says what.
    """
    with _named(offer), open_netcdf(path) as opened:
        _require_date(opened, offer)
        fields = {
            name: _admitted(
                field_of(opened, path, settings.variables.get(name, name)),
                name,
                offer,
                known,
            )
            for name in known.there
        }
        co2 = _co2(opened, settings.co2)
    if twins := known.twins(fields) - {offer.month}:
        raise _refusal(
            offer,
            f"holds the numbers of {min(twins)} once more",
            f"{offer.month} is needed",
        )
    return fields, co2


def _admitted(field: Field, name: str, offer: Offer, known: Known) -> Floats:
    """Return a variable in its canonical unit, or refuse it."""
    called = field.name
    if not Grid(field.lat, field.lon).matches(known.grid):
        raise _refusal(
            offer,
            f"is on another grid: '{called}' on "
            f"{Grid(field.lat, field.lon).describe()} from {field.lat[0]:g} N "
            f"{field.lon[0]:g} E",
            f"{known.grid.describe()} from {known.grid.lat[0]:g} N "
            f"{known.grid.lon[0]:g} E is needed",
        )
    wanted = VARIABLES[name].units
    if field.units is None:
        raise UnitsError(f"'{called}' states no unit, but {wanted!r} is needed.")
    values = convert(field.values[0], field.units, wanted).astype(np.float32)
    lower, upper = _bounds(name, offer)
    low, high = extremes(values)
    if low < lower or high > upper:
        raise _refusal(
            offer,
            f"has '{called}' from {low:g} to {high:g} {wanted}",
            f"{lower:g} to {upper:g} is possible: its unit is not the "
            f"{field.units!r} that it states, or a fill value is not declared",
        )
    missing = known.there[name] & ~np.isfinite(values)
    if missing.any():
        raise _refusal(
            offer,
            f"has no value of '{called}' in {int(missing.sum())} of "
            f"{int(known.there[name].sum())} cells",
            "all that the months before had are needed",
        )
    usual = known.size[name][int(offer.month.astype(np.int64)) % MONTHS_PER_YEAR]
    inside = np.where(known.there[name], values, np.float32(np.nan))
    found = _mean_size(
        known.archived(name, inside, offer.month), known.grid.cell_area()
    )
    if max(found, usual) > UNLIKELY * min(found, usual):
        raise _refusal(
            offer,
            f"has '{called}' of {found:.3g} {wanted} on average",
            f"the same month had {usual:.3g} the year before: its unit is not the "
            f"{field.units!r} that it states",
        )
    return inside


def _bounds(name: str, offer: Offer) -> tuple[float, float]:
    """Return what the gates allow, and rather more for a day than for a month."""
    lower, upper = VARIABLES[name].lower, VARIABLES[name].upper
    slack = 0.0 if offer.day is None else DAILY_SLACK * (upper - lower)
    return lower - slack, upper + slack


def _co2(opened: xr.Dataset, called: str) -> float:
    if called not in opened.variables or opened[called].size != 1:
        raise UserError(
            f"'{called}' is not in it as one number, but the CO2 of the month is "
            f"needed."
        )
    units = attribute(opened[called], "units") or VARIABLES["co2"].units
    raw = np.asarray(opened[called].values, np.float64).reshape(1)
    co2 = convert(raw, units, VARIABLES["co2"].units)
    if not VARIABLES["co2"].lower <= co2[0] <= VARIABLES["co2"].upper:
        raise UserError(
            f"CO2 is {co2[0]:g} ppm, but {VARIABLES['co2'].lower:g} to "
            f"{VARIABLES['co2'].upper:g} is possible."
        )
    return float(co2[0])


def _require_date(opened: xr.Dataset, offer: Offer) -> None:
    """Refuse a file whose time is not that of its name."""
    name = next((name for name in TIME_NAMES if name in opened.variables), None)
    if name is None or opened[name].size != 1:
        raise UserError("It holds no single time, but a month or a day is needed.")
    stamp = _date(opened[name])
    wanted = str(offer.month) if offer.day is None else offer.date
    if stamp[: len(wanted)] != wanted:
        raise _refusal(
            offer, f"holds {stamp[: len(wanted)]}", f"its name says {wanted}"
        )


def _date(time: xr.DataArray) -> str:
    units, calendar = attribute(time, "units"), attribute(time, "calendar")
    number = float(np.asarray(time.values).reshape(1)[0])
    try:
        when: Any = cftime.num2date(number, units or "", calendar or "standard")
    except (ValueError, OverflowError) as error:
        raise UserError(f"Its time cannot be read ({error}).") from None
    return f"{when.year:04d}-{when.month:02d}-{when.day:02d}"


def _mean_size(values: NDArray[np.floating], area: NDArray[np.float64]) -> float:
    """Return the area mean of the absolute values that are there."""
    there = np.isfinite(values)
    return float((np.abs(values[there]) * area[there]).sum() / area[there].sum())


@contextmanager
def _named(offer: Offer) -> Iterator[None]:
    """Tell what readers refuse as a refusal of the file."""
    try:
        yield
    except SourceError:
        raise
    except UserError as error:
        raise SourceError(
            f"{offer.name} is refused, {offer.date} stays as it was: {error}"
        ) from error


def _refusal(offer: Offer, found: str, wanted: str) -> SourceError:
    return SourceError(
        f"{offer.name} {found}, but {wanted}. It is refused, {offer.date} stays as it "
        f"was; the next night looks again. Ask the source if it lasts."
    )
