"""Which labels a run may know, where some are withheld."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import TimeAxisError
from emulator.carbon.timeaxis import YearSplit, years_of
from emulator.data.windows import Cube
from emulator.learning import fit
from emulator.learning.checkpoint import load_checkpoint
from emulator.learning.fit import train, training_cube, with_known_labels
from emulator.learning.withheld import (
    keep_early,
    withhold_late,
    withhold_random,
    years_but_test,
)
from tests.learning.cubes import small_cube
from tests.learning.runs import tiny_settings

TESTBED = YearSplit((1950, 2010), (2005, 2010), (2014, 2024), gap_months=12)


def test_withheld_years_are_never_learned() -> None:
    split = YearSplit((1990, 2004), (2002, 2004), (2007, 2008), 12, withheld=(1996,))
    # 1995 and 1997 are the gap of a year.
    assert years_but_test(split).tolist() == [*range(1990, 1995), *range(1998, 2005)]


def test_early_labels_bring_their_own_validation_years() -> None:
    # 61 years; 30 % are 18, of which the last fifth, 4, choose; one year of gap.
    split = keep_early(TESTBED, 0.3)
    assert (split.train, split.validation) == ((1950, 1967), (1964, 1967))
    assert split.years("train").tolist() == list(range(1950, 1963))
    assert split.test == TESTBED.test
    # Fitted again, a run learns from all that is kept.
    assert years_but_test(split).tolist() == list(range(1950, 1968))


def test_a_handful_of_years_still_holds_one_to_choose_by() -> None:
    # 10 % of 61 are 6: one to choose by, one of gap, four to learn from.
    split = keep_early(TESTBED, 0.1)
    assert split.validation == (1955, 1955)
    assert split.years("train").tolist() == [1950, 1951, 1952, 1953]


def test_single_years_that_are_withheld_stay_so() -> None:
    split = replace(TESTBED, withheld=(1955, 1983))
    # 1954-1956 and 1982-1984 are hidden; the first 28 of the other 55 end in 1980.
    early = keep_early(split, 0.5)
    assert (early.train, early.withheld) == ((1950, 1980), (1955,))
    assert not np.isin([1954, 1955, 1956], years_but_test(early)).any()
    assert years_but_test(early).size == 28


def test_too_few_labels_for_the_memory_are_refused() -> None:
    with pytest.raises(TimeAxisError, match=r"No training year is left: .* 1950-1951"):
        keep_early(TESTBED, 0.03)


@settings(deadline=None)  # other work on the machine is no failure
@given(
    # Of 16 years, less would leave none beside one to choose by and two of gap.
    fraction=st.floats(0.3, 0.99),
    first=st.integers(1900, 1990),
    gap=st.integers(0, 24),
)
def test_no_kept_year_is_later_than_a_withheld_one(
    fraction: float, first: int, gap: int
) -> None:
    split = YearSplit((first, 2005), (2000, 2002), (2009, 2012), gap)
    everything, kept = (
        years_but_test(split),
        years_but_test(keep_early(split, fraction)),
    )
    assert kept.tolist() == everything[: kept.size].tolist()
    assert kept.size == max(1, round(fraction * everything.size))


def test_late_labels_are_gone_and_their_forcing_stays() -> None:
    cube = small_cube(6)  # 2000 to 2005
    kept = withhold_late(cube, 2003)
    late = torch.from_numpy(years_of(cube.months) > 2003)
    assert kept.labels[:, :, late].isnan().all()
    assert torch.equal(kept.labels[:, :, ~late], cube.labels[:, :, ~late])
    assert cube.labels.isfinite().all()
    assert kept.forcing is cube.forcing


def test_random_labels_are_drawn_for_each_simulation_and_teacher() -> None:
    cube = small_cube(20)
    split = YearSplit((2000, 2015), (2014, 2015), (2017, 2019), 12)
    kept = withhold_random(cube, split, 0.5, seed=3)
    year = years_of(cube.months)
    there = kept.labels.isfinite().all(dim=-1).all(dim=-1)[:, 0].numpy()
    # Years 2000 to 2015: 8 of 16 stay; what is near the test years is left alone.
    known = [set(year[row & (year < 2016)]) for row in there]
    assert [len(each) for each in known] == [8, 8]
    assert known[0] != known[1]
    assert there[:, year >= 2016].all()
    again = withhold_random(cube, split, 0.5, seed=3)
    assert torch.equal(again.labels.isnan(), kept.labels.isnan())
    other = withhold_random(cube, split, 0.5, seed=4)
    assert not torch.equal(other.labels.isnan(), kept.labels.isnan())


def test_a_cube_of_one_simulation_hides_the_same() -> None:
    cube = small_cube(20)
    one = small_cube(20, simulations=("RUN",), labels=cube.labels[1:])
    split = YearSplit((2000, 2015), (2014, 2015), (2017, 2019), 12)
    both = withhold_random(cube, split, 0.5, seed=3).labels[1:]
    assert torch.equal(
        withhold_random(one, split, 0.5, seed=3).labels.isnan(), both.isnan()
    )


def test_a_run_that_knows_all_is_left_as_it_is() -> None:
    cube = small_cube()
    assert with_known_labels(cube, tiny_settings()) is cube


@pytest.mark.parametrize("how", ["late", "random"])
def test_nothing_that_is_learned_depends_on_withheld_labels(
    how: str, land_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = tiny_settings(
        steps=4, validate_every=2, refit=True, label_fraction=0.5, labels_withheld=how
    )
    cube = training_cube(chosen, land_store)
    hidden = with_known_labels(cube, chosen).labels.isnan()
    # Whatever the withheld labels are, and those of the test years.
    test = torch.from_numpy(np.isin(years_of(cube.months), [2006, 2007, 2008]))
    hidden |= test[:, None, None]
    assert (hidden & cube.labels.isfinite()).any()
    noisy = cube.labels + hidden * 1e-6

    def learned(labels: torch.Tensor, name: str) -> dict[str, torch.Tensor]:
        def whole(*_: object) -> Cube:
            return replace(cube, labels=labels)

        monkeypatch.setattr(fit, "training_cube", whole)
        run = train(chosen, land_store, tmp_path / name)
        found = load_checkpoint(run / "members/0/emulator.pt")
        tensors = {
            key: value
            for key, value in found.normaliser.state().items()
            if isinstance(value, torch.Tensor)
        }
        score = torch.tensor(found.about["validation_score"])
        return found.weights | tensors | {"score": score}

    one, other = learned(cube.labels, "one"), learned(noisy, "other")
    for name, value in one.items():
        assert torch.equal(other[name], value), name
