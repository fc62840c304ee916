"""ERA5 in GRIB: the same values and rules as in NetCDF, from messages by their keys."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import eccodes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import GridMismatchError, TimeAxisError, UserError
from emulator.data.readers import era5, era5_grib
from emulator.data.readers.products import Told
from tests.data.centre_files import LAT, LON, hours, months, new_layout, uniform, zipped
from tests.data.grib_files import grib

JUNE = np.datetime64("2025-06", "M")
LAST = np.datetime64("2025-06-30", "D")
PACKED = 1e-5
"""Relative: 24 bits of the range of a field, and float32."""


def told(folder: Path, names: Sequence[str], when: np.datetime64, **how: bool) -> Told:
    offering = era5.find(folder, names, folder / "unpacked", **how)
    assert offering.refused == []
    if when.dtype == np.dtype("M8[D]"):
        return offering.days[when].read(tuple(names))
    return offering.months[when].read(tuple(names))


def only(found: Told, name: str) -> float:
    """Return the value of a field that is the same everywhere."""
    assert np.ptp(found.fields[name]) == 0
    return float(found.fields[name][0, 0])


@pytest.mark.parametrize("edition", [1, 2])
def test_months_are_those_of_netcdf(tmp_path: Path, edition: int) -> None:
    rng = np.random.default_rng(edition)
    field = {
        "t2m": 250 + 50 * rng.random((1, LAT.size, LON.size)),
        "d2m": 240 + 10 * rng.random((1, LAT.size, LON.size)),
        "sp": 9e4 + 1e4 * rng.random((1, LAT.size, LON.size)),
        "tp": 0.01 * rng.random((1, LAT.size, LON.size)),
        "ssrd": 2e7 * rng.random((1, LAT.size, LON.size)),
        "si10": 9 * rng.random((1, LAT.size, LON.size)),
    }
    names = ["tas", "pr", "rsds", "huss", "vpd", "sfcWind"]
    when = months("2025-06", 1)
    one, other = tmp_path / "one", tmp_path / "other"
    # Amounts of months are of forecasts that began in the month before.
    steps = {"tp": (0, 6), "ssrd": (0, 6)}
    path = one / "monthly" / "a.grib"
    grib(path, when, field, steps=steps, edition=edition, stream="moda")
    new_layout(other / "monthly" / "a.nc", when, field)
    found, expected = told(one, names, JUNE), told(other, names, JUNE)
    assert found.grid.matches(expected.grid)
    assert found.is_final
    for name in names:
        size = np.abs(expected.fields[name]).max()
        np.testing.assert_allclose(
            found.fields[name], expected.fields[name], atol=PACKED * size
        )
    # Nothing is left beside what was read.
    assert [path.name for path in one.rglob("*")] == ["monthly", "a.grib"]


def test_versions_are_those_of_messages(tmp_path: Path) -> None:
    path = tmp_path / "monthly" / "a.grib"
    warm = {"t2m": uniform([280.0, 281.0])}
    grib(path, months("2025-05", 2), warm, preliminary=np.array([False, True]))
    assert told(tmp_path, ["tas"], JUNE - 1).is_final
    assert not told(tmp_path, ["tas"], JUNE).is_final
    # Both versions of a month in one file, in any order.
    warm = {"t2m": uniform([282.0])}
    grib(path, months("2025-06", 1), warm, append=True)
    grib(path, months("2025-05", 1), warm, append=True, preliminary=True)
    found = told(tmp_path, ["tas"], JUNE)
    assert (only(found, "tas"), found.is_final) == (282, True)
    found = told(tmp_path, ["tas"], JUNE - 1)
    assert (only(found, "tas"), found.is_final) == (280, True)


@settings(max_examples=20, deadline=None)
@given(st.permutations([(month, late) for month in range(3) for late in (0, 1)]))
def test_the_order_of_messages_is_nothing(order: list[tuple[int, int]]) -> None:
    # April in both versions, May and June too; of each the final one counts.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.grib"
        for month, late in order:
            when = months("2025-04", 3)[month : month + 1]
            warm = {"t2m": uniform([280.0 + month + 10 * late])}
            grib(path, when, warm, preliminary=bool(late), append=True)
        (found,) = era5_grib.index(path, "M", counts_on=False)
        slab = found.slab("t2m", found.steps)
    assert [str(step) for step in found.steps] == ["2025-04", "2025-05", "2025-06"]
    assert slab.values[:, 0, 0].tolist() == [280, 281, 282]
    assert slab.is_final.all()


def test_a_version_must_be_known(tmp_path: Path) -> None:
    path = tmp_path / "monthly" / "a.grib"
    warm = {"t2m": uniform([280.0])}
    grib(path, months("2025-06", 1), warm, expver="0073")
    (said, _) = era5.find(tmp_path, ["tas"], tmp_path / "unpacked").refused
    assert "a.grib has expver ['0073'], but 1 (final) and 5 (preliminary)" in said


def test_without_a_version_the_name_says_what_is_final(tmp_path: Path) -> None:
    warm = {"t2m": uniform([280.0])}
    # Without the section in which ECMWF says what is its own.
    plain = {"deleteLocalDefinition": 1}
    for name in ("a", "a_final"):
        path = tmp_path / name / "monthly" / f"{name}.grib"
        grib(path, months("2025-06", 1), warm, **plain)
        assert told(tmp_path / name, ["tas"], JUNE).is_final == (name == "a_final")


def test_hours_of_a_day_and_amounts_of_forecasts(tmp_path: Path) -> None:
    # Rain of forecasts from 06 and 18 UTC, an hour each: 0.1 mm in every hour but 1 mm
    # in the last, 23 to 00 UTC, the sixth hour of the forecast of 18 UTC.
    when = hours("2025-06-30T01", 24)
    rain = uniform(np.append(np.full(23, 1e-4), 1e-3))
    path = tmp_path / "hourly" / "a.grib"
    for place, hour in enumerate(when):
        last = (int(str(hour)[11:13]) - 6 - 1) % 12 + 1
        one = {"tp": rain[place : place + 1]}
        grib(
            path,
            when[place : place + 1],
            one,
            steps={"tp": (last - 1, last)},
            append=True,
        )
    warm = uniform(280.0 + np.arange(24))
    grib(path, when - 1, {"t2m": warm}, append=True)
    found = told(tmp_path, ["tas", "pr"], LAST)
    assert only(found, "tas") == pytest.approx(291.5, rel=PACKED)
    assert only(found, "pr") == pytest.approx(3.3 / 86400, rel=PACKED)


def test_of_two_forecasts_the_later_one_counts(tmp_path: Path) -> None:
    path, when = tmp_path / "hourly" / "a.grib", hours("2025-06-30T01", 24)
    near, far = {"tp": uniform(np.full(24, 1e-4))}, {"tp": uniform(np.full(24, 9e-4))}
    grib(path, when, far, steps={"tp": (13, 14)})
    grib(path, when, near, steps={"tp": (1, 2)}, append=True)
    grib(path, when, far, steps={"tp": (14, 15)}, append=True)
    found = told(tmp_path, ["pr"], LAST)
    assert only(found, "pr") == pytest.approx(2.4 / 86400, rel=PACKED)


def land(folder: Path) -> Path:
    """Write ERA5-Land's rain of a day, 0.1 mm an hour, counted from midnight."""
    path = folder / "hourly" / "a.grib"
    for hour in range(1, 25):
        when = np.array(["2025-06-30T00"], "M8[h]") + hour
        rain = {"tp": uniform([1e-4 * hour])}
        grib(path, when, rain, steps={"tp": (0, hour)}, append=True)
    return path


def test_era5_land_counts_on_from_midnight(tmp_path: Path) -> None:
    land(tmp_path)
    found = told(tmp_path, ["pr"], LAST, counts_on=True)
    assert only(found, "pr") == pytest.approx(2.4 / 86400, rel=PACKED)


def test_amounts_of_the_other_product_are_refused(tmp_path: Path) -> None:
    path = land(tmp_path)
    message = r"a.grib has 'tp' of the steps 0 to 2, but amounts of one hour \(era5\)"
    with pytest.raises(TimeAxisError, match=message):
        era5_grib.index(path, "h", counts_on=False)
    when, rain = hours("2025-06-30T01", 1), {"tp": uniform([1e-4])}
    grib(path, when, rain, steps={"tp": (6, 7)})
    message = r"steps 6 to 7, but amounts from midnight \(era5_land\)"
    with pytest.raises(TimeAxisError, match=message):
        era5_grib.index(path, "h", counts_on=True)


def test_the_sea_has_no_value(tmp_path: Path) -> None:
    field = uniform([280.0])
    field[0, 0] = np.nan
    grib(tmp_path / "monthly" / "a.grib", months("2025-06", 1), {"t2m": field})
    found = told(tmp_path, ["tas"], JUNE, counts_on=True).fields["tas"]
    # North is last.
    assert np.isnan(found).sum(axis=1).tolist() == [0, 0, 0, 0, LON.size]


def test_amounts_of_a_whole_month_are_of_that_month(tmp_path: Path) -> None:
    # Valid, as the keys have it, when July begins.
    july, rain = months("2025-07", 1), {"tp": uniform([0.001])}
    grib(tmp_path / "monthly" / "a.grib", july, rain, steps={"tp": (0, 720)})
    assert only(told(tmp_path, ["pr"], JUNE), "pr") == pytest.approx(1 / 86400, 1e-5)


def test_a_month_without_a_day_of_its_own(tmp_path: Path) -> None:
    grib(
        tmp_path / "monthly" / "a.grib",
        months("2025-06", 1),
        {"t2m": uniform([280.0])},
        stream="moda",
        day=0,
    )
    assert only(told(tmp_path, ["tas"], JUNE), "tas") == 280


def test_a_zip_of_grib(tmp_path: Path) -> None:
    inside = grib(tmp_path / "data.grib", months("2025-06", 1), {"t2m": uniform([280])})
    (tmp_path / "monthly").mkdir()
    zipped(tmp_path / "monthly" / "a.zip", inside)
    assert only(told(tmp_path, ["tas"], JUNE), "tas") == 280


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda whole: whole[:-20], r"a\.grib is cut off or damaged \(End of resource"),
        (lambda _: b"", r"a\.grib holds no GRIB message"),
        (lambda _: b"<!DOCTYPE html><html>", r"a\.grib holds no GRIB message"),
    ],
)
def test_damaged_files_are_refused(
    tmp_path: Path, content: object, message: str
) -> None:
    path = tmp_path / "a.grib"
    grib(path, months("2025-05", 2), {"t2m": uniform([280.0, 281.0])})
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(UserError, match=message):
        era5_grib.index(path, "M", counts_on=False)


@pytest.mark.parametrize(
    ("measure", "times", "keys", "message"),
    [
        ("D", months("2025-06", 1), {}, "among files of days, but of days in GRIB"),
        ("M", hours("2025-06-30T00", 2), {}, "steps of 1 hours, but lies among"),
        ("h", hours("2025-06-30T00", 24)[::6], {}, "steps of 6 hours, but lies"),
        ("M", months("2025-06", 1), {"stream": "edmo"}, r"ensemble \(stream edmo\)"),
    ],
)
def test_other_contents_are_refused(
    tmp_path: Path,
    measure: str,
    times: np.ndarray,
    keys: dict[str, object],
    message: str,
) -> None:
    field = {"t2m": uniform(np.full(times.size, 280.0))}
    path = grib(tmp_path / "a.grib", times, field, **keys)
    with pytest.raises(UserError, match=message):
        era5_grib.index(path, measure, counts_on=False)


def test_grids_are_regular_and_one(tmp_path: Path) -> None:
    path = tmp_path / "a.grib"
    message = eccodes.codes_grib_new_from_samples("reduced_gg_pl_32_grib1")
    with path.open("wb") as file:
        eccodes.codes_write(message, file)
    (found,) = era5_grib.index(path, "M", counts_on=False)
    (variable,) = found.variables
    with pytest.raises(GridMismatchError, match="of the kind reduced_gg, but one of"):
        found.slab(variable, found.steps)
    warm = {"t2m": uniform([280.0])}
    grib(path, months("2025-05", 1), warm)
    grib(path, months("2025-06", 1), warm, lon=LON[::2] * 0.5, append=True, Ni=8)
    (found,) = era5_grib.index(path, "M", counts_on=False)
    with pytest.raises(GridMismatchError, match=r"'t2m' on 2 grids and in \['K'\]"):
        found.slab("t2m", found.steps)


def test_a_file_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "monthly" / "a.grib"
    both = {"t2m": uniform([280.0]), "d2m": uniform([270.0])}
    grib(path, months("2025-06", 1), both)
    piece = era5.find(tmp_path, ["tas"], tmp_path / "unpacked").months[JUNE]
    grib(path, months("2025-06", 1), dict(reversed(both.items())))
    with pytest.raises(UserError, match="has no 't2m' of 2025-06-01T00 where it was"):
        piece.read(("tas",))
    path.write_bytes(b"")
    with pytest.raises(UserError, match="has no 't2m' of 2025-06-01T00 where it was"):
        piece.read(("tas",))


def test_eccodes_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = grib(
        tmp_path / "monthly" / "a.grib", months("2025-06", 1), {"t2m": uniform([280])}
    )
    # None there means that there is no such module.
    monkeypatch.setitem(sys.modules, "eccodes", None)
    (said, _) = era5.find(tmp_path, ["tas"], tmp_path / "unpacked").refused
    assert f"{path} is GRIB, which needs the package eccodes. Install it with" in said
    assert "'sink-emulator[grib]'" in said
