"""Copernicus Marine: which edition counts, the top level, and files of no edition."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from emulator.carbon.errors import GridMismatchError
from emulator.carbon.grid import Grid
from emulator.data.readers.copernicus_marine import (
    CHLOROPHYLL,
    PHYSICS,
    SALINITY,
    find,
)
from emulator.data.readers.products import Offering
from tests.data.marine_files import CHLOROPHYLL as CHLOROPHYLL_DATASET
from tests.data.marine_files import DEPTHS, MONTHLY, chlorophyll, glorys, salinity
from tests.data.marine_files import SALINITY as SALINITY_DATASET

# Rows as in GLORYS12: the last is centred on the pole, none is south of 80 S.
LAT = np.arange(-60.0, 91.0, 30)
LON = -180 + 45.0 * np.arange(8)
SHAPE = (LAT.size, LON.size)
NAMES = ("tos", "sos", "mlotst")
PART = {"thetao": "-thetao", "so": "-so", "mlotst": ""}
"""Forecasts have temperature and salinity in datasets of their own."""


def cells(value: float) -> np.ndarray:
    values = value + 0.01 * np.arange(48).reshape(SHAPE)
    values[:, 3] = np.nan
    return values


def ocean(value: float, months: int = 1) -> dict[str, np.ndarray]:
    """Return temperature, salinity and mixed layer of months, each month 1 more."""
    starts = {"thetao": 10.0, "so": 35.0, "mlotst": 50.0}
    return {
        name: np.stack([cells(start + value + month) for month in range(months)])
        for name, start in starts.items()
    }


def write(
    root: Path, edition: str, month: str, value: float, months: int = 1
) -> list[Path]:
    """Write months as their downloads do: a forecast's in three datasets."""
    whole = {"": ocean(value, months)}
    if edition == "anfc":
        whole = {PART[name]: {name: field} for name, field in whole[""].items()}
    found = []
    for part, fields in whole.items():
        dataset = MONTHLY.format(part=part, edition=edition)
        path = root / f"{dataset}_202311" / month[:4] / f"mean_{month}.nc"
        found.append(glorys(path, month, fields, lat=LAT, lon=LON))
    return found


def told(offering: Offering, month: str, *names: str) -> dict[str, np.ndarray]:
    return dict(offering.months[np.datetime64(month, "M")].read(names).fields)


def test_the_top_level_is_read(tmp_path: Path) -> None:
    dataset = MONTHLY.format(part="", edition="my")
    name = f"{dataset}_thetao-so-mlotst_180.00W-135.00E_60.00S-90.00N_0.49-2.65m.nc"
    glorys(tmp_path / name, "1993-01", ocean(0.0, 2), lat=LAT, lon=LON)
    offering = find(PHYSICS, tmp_path, NAMES)
    assert list(map(str, offering.months)) == ["1993-01", "1993-02"]
    piece = offering.months[np.datetime64("1993-02", "M")]
    found = piece.read(NAMES)
    assert found.is_final
    assert found.grid.lat.tolist() == LAT.tolist()
    assert found.grid.edges()[0][-1] == 90
    # Packed in 60000 steps of the range, which levels widen by 2.
    for name, start in (("tos", 11.0), ("sos", 36.0), ("mlotst", 51.0)):
        np.testing.assert_allclose(found.fields[name], cells(start), atol=1e-4)


def test_levels_may_come_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / f"{MONTHLY.format(part='', edition='my')}.nc"
    glorys(path, "1993-01", ocean(0.0), lat=LAT, lon=LON, depths=DEPTHS[::-1])
    # The writer makes each level 1 less than the one before: now the third is on top.
    found = told(find(PHYSICS, tmp_path, ["tos"]), "1993-01", "tos")
    np.testing.assert_allclose(found["tos"], cells(8.0), atol=1e-4)


def test_deep_water_is_not_the_surface(tmp_path: Path) -> None:
    path = tmp_path / f"{MONTHLY.format(part='', edition='my')}.nc"
    glorys(path, "1993-01", ocean(0.0), lat=LAT, lon=LON, depths=DEPTHS + 5)
    message = "the shallowest of 3 levels along 'depth' is at 5.494 m, but one within 5"
    offering = find(PHYSICS, tmp_path, ["tos", "mlotst"])
    with pytest.raises(GridMismatchError, match=message):
        told(offering, "1993-01", "tos")
    # The mixed layer has no level.
    found = told(offering, "1993-01", "mlotst")
    np.testing.assert_allclose(found["mlotst"], cells(50.0), atol=1e-4)


def test_levels_of_unknown_depth_are_refused(tmp_path: Path) -> None:
    path = tmp_path / f"{MONTHLY.format(part='', edition='my')}.nc"
    glorys(path, "1993-01", ocean(0.0), lat=LAT, lon=LON)
    with netCDF4.Dataset(path, "a") as file:
        file.renameVariable("depth", "levels")
    with pytest.raises(GridMismatchError, match="along 'depth' is at unknown"):
        told(find(PHYSICS, tmp_path, ["tos"]), "1993-01", "tos")


def test_a_month_becomes_final(tmp_path: Path) -> None:
    steps = []
    for number, edition in enumerate(("anfc", "myint", "my")):
        write(tmp_path, edition, "2024-05", float(number))
        offering = find(PHYSICS, tmp_path, NAMES)
        (piece,) = offering.months.values()
        found = piece.read(NAMES)
        steps.append((len(piece.files), found.is_final, found.fields["mlotst"][0, 0]))
    assert [step[:2] for step in steps] == [(3, False), (1, False), (1, True)]
    assert [step[2] for step in steps] == pytest.approx([50, 51, 52], abs=1e-4)


def test_a_month_is_of_one_edition(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The forecast has no temperature yet, the interim edition no mixed layer.
    temperature, *_ = write(tmp_path, "anfc", "2024-05", 0.0)
    temperature.unlink()
    (interim,) = write(tmp_path, "myint", "2024-05", 0.0)
    with netCDF4.Dataset(interim, "a") as file:
        file.renameVariable("mlotst", "mixed")
    offering = find(PHYSICS, tmp_path, NAMES)
    assert not offering.months
    assert (
        "no month with all of thetao, so, mlotst in files of one"
        in (offering.refused[-1])
    )
    assert "GLORYS12: no edition has all of" in caplog.text
    assert len(find(PHYSICS, tmp_path, ("tos", "sos")).months) == 1


def test_files_of_no_edition_are_told(tmp_path: Path) -> None:
    glorys(tmp_path / "mlotst.nc", "2024-05", ocean(0.0), lat=LAT, lon=LON)
    month, none = find(PHYSICS, tmp_path, NAMES).refused
    assert "mlotst.nc names no dataset in its name or its folders" in month
    assert "cmems_mod_glo_phy_{my,myint,anfc}_0.083deg_P1M-m" in month
    assert "no month with all of" in none


def test_other_datasets_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "my", "2024-05", 0.0)
    climatology = "cmems_mod_glo_phy_my_0.083deg-climatology_P1M-m"
    for other in (climatology, "cmems_mod_glo_phy_my_0.083deg_P1D-m"):
        path = tmp_path / other / "2024.nc"
        glorys(path, "2024-06", ocean(0.0), lat=LAT, lon=LON)
    dataset = SALINITY_DATASET.format(edition="my")
    salinity(
        tmp_path / dataset / "a.nc", "2024-06", cells(34.0)[None], lat=LAT, lon=LON
    )
    physics = find(PHYSICS, tmp_path, NAMES)
    assert (list(map(str, physics.months)), physics.refused) == (["2024-05"], [])
    other = find(SALINITY, tmp_path, ["sos"])
    assert (list(map(str, other.months)), other.refused) == (["2024-06"], [])


def test_salinity_of_observations(tmp_path: Path) -> None:
    for edition, value in (("nrt", 34.0), ("my", 35.0)):
        dataset = SALINITY_DATASET.format(edition=edition)
        series = np.stack([cells(value), cells(value + 1)])
        count = 2 if edition == "nrt" else 1
        path = tmp_path / f"{dataset}_1740598002242.nc"
        salinity(path, "2024-05", series[:count], lat=LAT, lon=LON)
    offering = find(SALINITY, tmp_path, ["sos"])
    may, june = (piece.read(("sos",)) for piece in offering.months.values())
    assert (may.is_final, june.is_final) == (True, False)
    np.testing.assert_allclose(may.fields["sos"], cells(35.0), rtol=1e-6)
    np.testing.assert_allclose(june.fields["sos"], cells(35.0), rtol=1e-6)


def test_variables_share_a_grid(tmp_path: Path) -> None:
    temperature, *_ = write(tmp_path, "anfc", "2024-05", 0.0)
    glorys(
        temperature,
        "2024-05",
        {"thetao": ocean(0.0)["thetao"][:, 1:]},
        lat=LAT[1:],
        lon=LON,
    )
    message = r"'mlotst' of 2024-05 on a grid of 6x8.*but 'thetao' is on 5x8"
    with pytest.raises(GridMismatchError, match=message):
        told(find(PHYSICS, tmp_path, ["tos", "mlotst"]), "2024-05", "tos", "mlotst")


def test_a_damaged_file_is_refused_and_others_serve(tmp_path: Path) -> None:
    write(tmp_path, "my", "2024-05", 0.0)
    (broken,) = write(tmp_path, "my", "2024-06", 0.0)
    broken.write_bytes(broken.read_bytes()[:3000])
    offering = find(PHYSICS, tmp_path, NAMES)
    assert list(map(str, offering.months)) == ["2024-05"]
    assert "mean_2024-06.nc cannot be read: it is truncated" in offering.refused[0]


def test_chlorophyll_has_editions(tmp_path: Path) -> None:
    for edition, month, value in (
        ("my", "2020-05", 1.0),
        ("nrt", "2020-05", 3.0),
        ("nrt", "2020-06", 4.0),
    ):
        dataset = CHLOROPHYLL_DATASET.format(edition=edition)
        # A coarse cell is 6 x 6 of these. In the first a sixth was seen: too little.
        values = np.full((12, 24), value)
        values[:, 1:6] = np.nan
        path = tmp_path / month[:4] / f"{month.replace('-', '')}01_{dataset}.nc"
        chlorophyll(path, month, values, name="CHL", fill=-999.0)
    offering = find(CHLOROPHYLL, tmp_path, ["chlos"], step=90.0)
    assert offering.refused == []
    may, june = (piece.read(("chlos",)) for piece in offering.months.values())
    assert (may.is_final, june.is_final) == (True, False)
    for told, value in ((may, 1e-6), (june, 4e-6)):
        assert told.grid.shape == (2, 4)
        assert np.isnan(told.fields["chlos"][:, 0]).all()
        np.testing.assert_allclose(told.fields["chlos"][:, 1:], value, rtol=1e-6)


def test_fine_cells_are_told_as_coarser_ones(tmp_path: Path) -> None:
    # Rows of 30 degrees and columns of 45 make cells of 90, where there is any sea.
    write(tmp_path, "my", "2024-05", 0.0)
    (piece,) = find(PHYSICS, tmp_path, NAMES, step=90.0).months.values()
    told = piece.read(NAMES)
    assert told.grid.matches(Grid.regular(90.0))
    # The column of the first cell from 180 W is that centred on it, half of it, which
    # with the one at 135 W and half of that at 90 W makes 90 degrees.
    edges = np.sin(np.deg2rad([0, 15, 45, 75, 90]))
    rows = np.diff(edges) / edges[-1]
    cells_north = cells(50.0)[2:]
    columns = cells_north[:, [0, 1, 2]] @ np.array([0.25, 0.5, 0.25])
    np.testing.assert_allclose(told.fields["mlotst"][1, 0], rows @ columns, atol=1e-4)
    # The fourth column has no value, and leaves the mean to the others.
    weights = np.array([0.25, 0.25])
    columns = cells_north[:, [2, 4]] @ weights / weights.sum()
    np.testing.assert_allclose(told.fields["mlotst"][1, 1], rows @ columns, atol=1e-4)
