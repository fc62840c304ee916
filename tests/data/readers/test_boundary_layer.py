"""NOAA's reference surface, generated: 48 steps a year, 41 sines of latitude."""

from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import TimeAxisError, UserError
from emulator.data.readers.boundary_layer import SINES, read


def write(folder: Path, steps: np.ndarray, co2: np.ndarray, sigma: float = 0.2) -> Path:
    """Write steps since 1979, with CO2 of (step, latitude), under a long head."""
    lines = ["# NOAA GML", "# Uncertainties are one standard deviation"]
    for step, row in zip(steps, co2, strict=True):
        pairs = " ".join(f"{value:.2f} {sigma:.2f}" for value in row)
        lines.append(f"{1979 + step / 48:.6f} {pairs}")
    path = folder / "co2_GHGreference.1234_surface.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_months_are_means_of_their_four_steps(tmp_path: Path) -> None:
    # Step s holds 336 + s everywhere: January 336 to 339, so 337.5; February 341.5.
    steps = np.arange(10)
    co2 = np.repeat(336.0 + steps[:, None], 41, axis=1)
    found = read(write(tmp_path, steps, co2))
    assert found.months.astype(str).tolist() == ["1979-01", "1979-02"]
    np.testing.assert_allclose(found.co2[:, 20], [337.5, 341.5])
    np.testing.assert_allclose(found.sigma, 0.2)
    np.testing.assert_allclose(found.global_mean(), [337.5, 341.5])
    np.testing.assert_allclose(found.lat[[0, 20, 30, 40]], [-90, 0, 30, 90])


def test_a_whole_year_has_its_twelve_months(tmp_path: Path) -> None:
    steps = np.arange(48)
    found = read(write(tmp_path, steps, np.full((48, 41), 340.0)))
    assert found.months.size == 12
    assert str(found.months[-1]) == "1979-12"


def test_the_mean_is_weighted_by_area(tmp_path: Path) -> None:
    # 340 + 10 s**2 over the sine s from -1 to 1 has the mean 340 + 10/3.
    steps = np.arange(4)
    co2 = np.repeat(340 + 10 * SINES[None] ** 2, 4, axis=0)
    mean = read(write(tmp_path, steps, co2)).global_mean()
    # The trapezoidal rule is off by 10 * 2 * 0.05**2 / 12, the file's digits by less.
    np.testing.assert_allclose(mean, 340 + 10 / 3, atol=0.01)


def test_months_that_begin_late_are_left_out(tmp_path: Path) -> None:
    steps = np.arange(2, 9)
    found = read(write(tmp_path, steps, np.full((7, 41), 340.0)))
    assert found.months.astype(str).tolist() == ["1979-02"]


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No file"):
        read(tmp_path / "co2_GHGreference.1_surface.txt")
    path = write(tmp_path, np.arange(4), np.full((4, 40), 340.0))
    with pytest.raises(UserError, match="a line of 81 numbers, but 83 are needed"):
        read(path)
    path.write_text("expired\n")
    with pytest.raises(UserError, match="no number"):
        read(path)
    path.write_text("# nothing\n")
    with pytest.raises(UserError, match="a line of 0 numbers"):
        read(path)


def test_steps_must_be_complete(tmp_path: Path) -> None:
    steps = np.array([0, 1, 2, 3, 5, 6, 7, 8])
    path = write(tmp_path, steps, np.full((8, 41), 340.0))
    with pytest.raises(TimeAxisError, match=r"the step after 1979\.06\d+ is not 1/48"):
        read(path)
    path = write(tmp_path, np.arange(1, 6), np.full((5, 41), 340.0))
    with pytest.raises(TimeAxisError, match="has 5 steps, but not the 4 of any month"):
        read(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "co2_GHGreference.1_surface.txt"
    path.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(UserError, match=r"surface\.txt is no text .* but a table is"):
        read(path)
