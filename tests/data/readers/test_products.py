"""What is wrong with a month or a day is said of the files behind it."""

from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import GateError, UnitsError, UserError
from emulator.carbon.grid import Grid
from emulator.data.readers.products import Offering, Piece, Told, converted

DAY = np.datetime64("2025-02-01", "D")
PATHS = (Path("/data/b.nc"), Path("/data/a.nc"))


def failing(error: UserError, *paths: Path) -> Piece:
    def read(_: tuple[str, ...]) -> Told:
        raise error

    return Piece(paths, read)


@pytest.mark.parametrize("kind", [UserError, GateError])
def test_an_error_names_the_files_behind_it(kind: type[UserError]) -> None:
    with pytest.raises(kind, match=r"^a\.nc to b\.nc: 'tas' is odd$") as raised:
        failing(kind("'tas' is odd"), *PATHS).tell(("tas",))
    assert type(raised.value) is kind


def test_an_error_that_names_its_file_stays_as_it_is() -> None:
    with pytest.raises(UserError, match=r"^/data/b\.nc is empty$"):
        failing(UserError("/data/b.nc is empty"), *PATHS).tell(("tas",))


def test_what_lies_elsewhere_is_named_by_its_origin() -> None:
    piece = failing(UserError("it is gone"))
    piece = Piece((), piece.read, ("https://example.org/a.zarr",))
    with pytest.raises(UserError, match=r"^https://example\.org/a\.zarr: it is gone$"):
        piece.tell(("tas",))


def test_a_month_of_days_names_the_day_that_is_wrong() -> None:
    offering = Offering("any")
    grid = Grid.regular(90.0)
    told = Told({"tas": np.zeros(grid.shape)}, grid, is_final=True)
    for day in range(28):
        path = Path(f"/data/{day + 1:02d}.nc")
        offering.days[DAY + day] = Piece((path,), lambda _: told)
    wrong = failing(GateError("'tas' is odd"), Path("/data/17.nc"))
    offering.days[DAY + 16] = wrong
    month = offering.month(DAY.astype("M8[M]"))
    assert month is not None
    with pytest.raises(GateError, match=r"^17\.nc: 'tas' is odd$"):
        month.tell(("tas",))


def test_values_come_in_the_unit_in_which_they_are_used() -> None:
    found = converted(np.array([0.0, 1.5], "f4"), "degC", "K", "'t2m'")
    np.testing.assert_array_equal(found, np.array([273.15, 274.65], "f4"))
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("units", "message"),
    [
        (None, r"^a\.nc: 't2m' states no unit, but 'K' is needed\. Get it again\.$"),
        ("", "states no unit, but 'K' is needed"),
        ("Pa", r"^a\.nc: 't2m' is in 'Pa', which cannot become 'K'\. Get it again, as"),
        ("hotness", "is in 'hotness', which cannot become 'K'"),
    ],
)
def test_other_units_are_refused(units: str | None, message: str) -> None:
    with pytest.raises(UnitsError, match=message):
        converted(np.zeros(2), units, "K", "a.nc: 't2m'")
