"""Whatever layout a file is written in, it reads back to the values and months.

One law is written in a drawn combination of order, names, longitudes, rows, calendar,
time coding, unit, fill, packing, file format and archive.
"""

import gzip
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cftime
import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.data import readers
from tests.data import tiny_files as tiny

COLUMNS = 8
ROWS = {
    "regular": np.arange(-67.5, 90, 45),
    "poles": np.linspace(-90, 90, 5),
    "gaussian": np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(6)[0])),
    "cropped": np.arange(-59.7, 90, 15),
}
UNITS = {
    "kg m-2 s-1": 1.0,
    "KgC/m2.s": 1.0,
    "kg C m$^{-2}$ s$^{-1}$": 1.0,
    "gC/m2/day": 1e-3 / 86400,
    "mol m-2 s-1": 0.012011,
    "kg C m-2 yr-1": 1 / (365.2425 * 86400),
}
NAMES = (
    ("time", "lat", "lon"),
    ("time", "latitude", "longitude"),
    ("TIME", "LATITUDE", "LONGITUDE"),
    ("time_counter", "lat_FULL", "lon_FULL"),
)
FILLS = (None, -99999.0, -999.0, 1e20, -1e34, float("nan"))
# Powers of two: what is packed is unpacked without rounding.
SCALE, OFFSET = 2.0**-30, 2.0**-20


@dataclass(frozen=True)
class Layout:
    """How one file is written."""

    first_year: int
    years: int
    rows: str
    is_north_first: bool
    turn: int
    is_from_zero: bool
    order: tuple[int, ...]
    names: tuple[str, ...]
    coding: str
    origin: str
    calendar: str
    says_calendar: bool
    day: int
    units: str
    attribute: str
    kind: str
    fill: float | None
    declares_fill: bool
    fill_attribute: str
    file_format: str
    archive: str


LAYOUTS = st.builds(
    Layout,
    first_year=st.integers(1701, 2020),
    years=st.integers(1, 3),
    rows=st.sampled_from(sorted(ROWS)),
    is_north_first=st.booleans(),
    turn=st.integers(0, COLUMNS - 1),
    is_from_zero=st.booleans(),
    order=st.permutations([0, 1, 2]).map(tuple),
    names=st.sampled_from(NAMES),
    coding=st.sampled_from(
        ["days", "hours", "seconds", "months", "years", "%Y%m", "index", "none"]
    ),
    origin=st.sampled_from(["1700-01-01", "0001-01-01 00:00:00", "1699-12-30"]),
    calendar=st.sampled_from(["standard", "noleap", "360_day"]),
    says_calendar=st.booleans(),
    day=st.sampled_from([1, 15, 28]),
    units=st.sampled_from(sorted(UNITS)),
    attribute=st.sampled_from(["units", "Units"]),
    kind=st.sampled_from(["f4", "f8", "i2", "i4"]),
    fill=st.sampled_from(FILLS),
    declares_fill=st.booleans(),
    fill_attribute=st.sampled_from(["_FillValue", "missing_value"]),
    file_format=st.sampled_from(["NETCDF4", "NETCDF3_CLASSIC"]),
    archive=st.sampled_from(["", ".gz", ".tar.gz"]),
)


def codes(layout: Layout) -> np.ndarray:
    """Whole numbers that tell month, row and column apart; a hole in one corner."""
    shape = (12 * layout.years, ROWS[layout.rows].size, COLUMNS)
    return np.arange(np.prod(shape)).reshape(shape) - 300


def axis(layout: Layout) -> tuple[np.ndarray, str | None, str | None]:
    """Return the stored times, their unit and their calendar."""
    index = np.arange(12 * layout.years)
    year, month = layout.first_year + index // 12, index % 12 + 1
    if layout.coding in ("days", "hours", "seconds"):
        stamps = [
            cftime.datetime(y, m, layout.day, calendar=layout.calendar)
            for y, m in zip(year, month, strict=True)
        ]
        units = f"{layout.coding} since {layout.origin}"
        values = cftime.date2num(stamps, units, layout.calendar)
        calendar = layout.calendar if layout.says_calendar else None
        return np.asarray(values, float), units, calendar
    if layout.coding == "months":
        return 12.0 * (layout.first_year - 1700) + index, "months since 1700-1-16", None
    if layout.coding == "years":
        unit = "years since AD 0-Jan-1st (double)"
        return layout.first_year + (index + 0.5) / 12, unit, None
    if layout.coding == "%Y%m":
        return 100.0 * year + month, "month as %Y%m.%f", None
    return index + 1.0, "d" if layout.coding == "index" else None, None


def write(path: Path, layout: Layout) -> None:
    lat = ROWS[layout.rows]
    lon = np.arange(-180, 180, 360 / COLUMNS)
    values = codes(layout)
    empty = np.zeros(values.shape, bool)
    empty[:, 0, 0] = layout.fill is not None
    attrs: dict[str, Any] = {}
    fill = layout.fill
    if layout.kind.startswith("i"):
        # Packed files declare their fill: no number is impossible to them.
        stored, fill = values.astype(layout.kind), -32768.0
        attrs = {"scale_factor": SCALE, "add_offset": OFFSET}
    else:
        stored = (values * SCALE + OFFSET).astype(layout.kind)
    if layout.fill is not None:
        stored[empty] = fill
        if layout.declares_fill or attrs:
            attrs[layout.fill_attribute] = stored.dtype.type(fill)
    if layout.is_north_first:
        lat, stored = lat[::-1], stored[:, ::-1]
    lon, stored = np.roll(lon, layout.turn), np.roll(stored, layout.turn, axis=2)
    lon = lon % 360 if layout.is_from_zero else lon
    times, units, calendar = axis(layout)
    centres = (times, lat, lon)
    with netCDF4.Dataset(path, "w", format=layout.file_format) as file:
        for name, numbers in zip(layout.names, centres, strict=True):
            file.createDimension(name, numbers.size)
            file.createVariable(name, "f8", (name,))[:] = numbers
        if units is not None:
            file[layout.names[0]].setncattr(layout.attribute, units)
        if calendar is not None:
            file[layout.names[0]].calendar = calendar
        dims = [layout.names[i] for i in layout.order]
        declared = attrs.pop("_FillValue", None)
        variable = file.createVariable("nbp", layout.kind, dims, fill_value=declared)
        variable.set_auto_maskandscale(False)
        variable.setncattr(layout.attribute, layout.units)
        variable.setncatts(attrs)
        variable[:] = stored.transpose(layout.order)


def pack(path: Path, archive: str) -> None:
    content = path.read_bytes()
    if archive:
        path.unlink()
    if archive == ".gz":
        path.with_name(path.name + archive).write_bytes(gzip.compress(content, 1))
    elif archive:
        with tarfile.open(path.with_name(path.name + archive), "w:gz") as tar:
            info = tarfile.TarInfo(f"output/{path.name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


@settings(deadline=None, max_examples=120)
@given(layout=LAYOUTS)
def test_every_layout_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, layout: Layout
) -> None:
    root = tmp_path_factory.mktemp("layout")
    write(root / "MODEL_S2_nbp.nc", layout)
    pack(root / "MODEL_S2_nbp.nc", layout.archive)
    last = layout.first_year + layout.years - 1
    entry = tiny.entry(
        root="",
        files="MODEL_{simulation}_{variable}.nc*",
        variables={"nbp": {}},
        years=[layout.first_year, last],
        ends=last,
    )
    field = readers.read(entry, "nbp", "S2", root)
    expected = (codes(layout) * SCALE + OFFSET) * UNITS[layout.units]
    if layout.fill is not None:
        expected[:, 0, 0] = np.nan
    # What is written is exact in float32. Where the unit changes, our factor and the
    # reader's may differ in the last digit of a double.
    is_changed = UNITS[layout.units] != 1
    np.testing.assert_array_max_ulp(
        field.values, expected.astype("f4"), maxulp=int(is_changed)
    )
    first = np.datetime64(f"{layout.first_year}-01", "M")
    months = field.time.values.astype("datetime64[M]")
    np.testing.assert_array_equal(months, first + np.arange(12 * layout.years))
    np.testing.assert_allclose(field.lat, ROWS[layout.rows])
    np.testing.assert_allclose(field.lon, np.arange(-180, 180, 360 / COLUMNS))
