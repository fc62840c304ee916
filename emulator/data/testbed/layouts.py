"""How each teacher's files differ, as those of real models do.

Every habit here occurs in the archives of TRENDY or of the global ocean models: both
spellings and orders of coordinates, three calendars, time units that no library
decodes, declared and silent fills, units misspelt or missing, fluxes per cell or per
unit of land, a flux with its sign turned.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """The habits of one group's files.

    Attributes:
        teacher: Name of the model in folders and files.
        coordinates: Names of latitude and longitude.
        north_first: Latitudes run from north to south.
        east_positive: Longitudes run from 0 to 360 instead of -180 to 180.
        calendar: Calendar, which is also the model's own.
        time_units: Unit of the time axis, days or months since a date.
        stamp: Part of a month at which its time stands: 0 start, 0.5 middle.
        fill: Value of cells without data; NaN for IEEE NaN.
        declares_fill: Whether an attribute says so.
        units: Unit of the fluxes as the file spells it; None if it says nothing.
        true_units: Unit to declare in the catalog where the file fails to.
        factor: Stored number per kg m-2 s-1 (land) or mol m-2 s-1 (ocean).
        per: Fluxes are per unit of the whole cell, or of its land (sea).
        fraction: How the share of land (sea) is published: ``static`` in the
            forcing's static file, ``complement`` as the share of the other surface
            in a file of the teacher's own.
        suffix: End of file names (ocean), before ``.nc``.
        dates: File names carry days, not years (ocean).
    """

    teacher: str
    coordinates: tuple[str, str] = ("lat", "lon")
    north_first: bool = False
    east_positive: bool = False
    calendar: Literal["standard", "noleap", "360_day"] = "noleap"
    time_units: str = "days since 1700-01-01"
    stamp: float = 0.5
    fill: float = -99999.0
    declares_fill: bool = True
    units: str | None = "kg m-2 s-1"
    true_units: str | None = None
    factor: float = 1.0
    per: Literal["cell", "surface"] = "surface"
    fraction: Literal["static", "complement"] = "static"
    suffix: str = ""
    dates: bool = False


LAND = (
    Layout("ALDER", ("latitude", "longitude"), per="cell"),
    Layout(
        "BEECH",
        north_first=True,
        east_positive=True,
        calendar="360_day",
        time_units="days since 1850-01-01",
        fill=1e20,
        units="kgC/m2/s",
        fraction="complement",
    ),
    Layout(
        "CEDAR",
        ("latitude", "longitude"),
        east_positive=True,
        calendar="standard",
        # Without zeros in front of the month: a date that GDAL misreads by 270 years.
        time_units="months since 1700-1-16",
        stamp=0.0,
        fill=float("nan"),
        declares_fill=False,
        units="gC m-2 d-1",
        factor=1e3 * 86400.0,
        per="cell",
    ),
    Layout(
        "HAZEL",
        north_first=True,
        time_units="days since 1900-01-01",
        stamp=0.0,
        fill=-999.0,
        units=None,
        true_units="kg m-2 s-1",
    ),
    Layout(
        "LARCH",
        ("latitude", "longitude"),
        north_first=True,
        east_positive=True,
        calendar="standard",
        time_units="days since 1850-01-01",
        fill=1e36,
        units="KgC/m2.s",
    ),
    Layout(
        "ROWAN",
        time_units="months since 1950-01-01",
        declares_fill=False,
        units="kg C m$^{-2}$ s$^{-1}$",
        true_units="kg m-2 s-1",
        per="cell",
    ),
)
"""Layouts of the land teachers, in their order."""

OCEAN = (
    Layout(
        "GANNET",
        east_positive=True,
        calendar="standard",
        time_units="days since 1950-01-01",
        fill=1e20,
        units="mol m-2 s-1",
        suffix="_v20260105",
    ),
    Layout(
        "PETREL",
        ("latitude", "longitude"),
        north_first=True,
        time_units="days since 1850-01-01",
        fill=float("nan"),
        declares_fill=False,
        units="mol/m2/s",
        factor=-1.0,
        per="cell",
    ),
    Layout(
        "SKUA",
        calendar="360_day",
        time_units="months since 1950-01-01",
        units="mol C m-2 yr-1",
        # The mean Gregorian year, by which the unit is read.
        factor=365.2425 * 86400.0,
        fraction="complement",
    ),
    Layout(
        "TERN",
        ("LATITUDE", "LONGITUDE"),
        east_positive=True,
        time_units="days since 1900-01-01",
        stamp=0.0,
        fill=-1e34,
        declares_fill=False,
        units="-",
        true_units="mol m-2 s-1",
        dates=True,
    ),
)
"""Layouts of the ocean teachers, in their order."""
