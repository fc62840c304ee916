"""Years drawn again: same length, other years, by the seed alone."""

from itertools import combinations_with_replacement

import numpy as np
import pytest

from emulator.carbon.errors import SettingsError
from emulator.learning import resampling
from emulator.learning.fit import train
from emulator.learning.inference import cube_of_run, load_emulator
from emulator.learning.resampling import resampled
from tests.learning.runs import tiny_settings


def rows(years: int, each: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Return windows numbered one by one, ``each`` of them in a year."""
    return np.arange(years * each)[:, None], np.repeat(1990 + np.arange(years), each)


def test_as_many_years_as_before_in_whole_blocks() -> None:
    windows, year = rows(9)
    found = resampled(windows, year, seed=0)
    assert len(found) == len(windows)
    drawn = np.bincount(found[found[:, 0] % 2 == 0, 0] // 2, minlength=9)
    # Both windows of a year are drawn alike.
    odd = np.bincount(found[found[:, 0] % 2 == 1, 0] // 2, minlength=9)
    np.testing.assert_array_equal(drawn, odd)
    # Nine years are three blocks of three: some choice of their starts explains them.
    blocks = [np.isin(np.arange(9), (start + np.arange(3)) % 9) for start in range(9)]
    sums = [np.sum(each, axis=0) for each in combinations_with_replacement(blocks, 3)]
    assert any((drawn == each).all() for each in sums)


def test_draws_follow_the_seed() -> None:
    windows, year = rows(30)
    draws = [resampled(windows, year, seed)[:, 0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert draws[0].tolist() != draws[2].tolist()


def test_two_thirds_of_the_years_are_drawn_on_average() -> None:
    # A year is in a draw of n / 3 blocks with 1 - (1 - 3 / n)^(n / 3), about 1 - 1 / e.
    windows, year = rows(60, each=1)
    shares = [
        np.unique(resampled(windows, year, seed)).size / 60 for seed in range(200)
    ]
    assert np.mean(shares) == pytest.approx(1 - np.exp(-1), abs=0.02)


def test_windows_of_one_year_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"bootstrap_years.*all 4 .*model\.pools"):
        resampled(*rows(1, each=4), seed=0)


def test_members_learn_from_other_years(land_store, tmp_path, monkeypatch) -> None:
    seen = []
    draw = resampling.resampled

    def spy(windows: np.ndarray, year: np.ndarray, seed: int) -> np.ndarray:
        seen.append((seed, sorted(set(year.tolist()))))
        return draw(windows, year, seed)

    monkeypatch.setattr("emulator.learning.stage.resampled", spy)
    few = {"steps": 2, "validate_every": 2, "members": 2}
    train(tiny_settings(**few, bootstrap_years=True), land_store, tmp_path / "drawn")
    assert [seed for seed, _ in seen] == [0, 1]
    assert 1991 in seen[0][1]
    assert not {2001, 2006, 2007, 2008} & set(seen[0][1])  # validation and test
    train(tiny_settings(**few), land_store, tmp_path / "whole")
    assert len(seen) == 2
    emulators = [load_emulator(tmp_path / name) for name in ("drawn", "whole")]
    cube = cube_of_run(emulators[0], land_store)
    answers = [each.hindcast(cube)["nbp"].to_numpy() for each in emulators]
    assert not np.allclose(*answers, atol=0.0, equal_nan=True)
