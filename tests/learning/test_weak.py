"""Weak labels: annual totals of years of which nothing else is known."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from emulator.carbon.budget import annual_total, area_rate
from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import seconds_per_month, years_of
from emulator.data.readers import workbook
from emulator.data.readers.workbook import SinkSheet, Table, Workbook
from emulator.data.windows import Cube
from emulator.learning.batch import TrainingData, inputs_of_cube
from emulator.learning.checkpoint import Checkpoint, load_checkpoint
from emulator.learning.fit import refit, train, training_cube
from emulator.learning.losses import AnnualLoss
from emulator.learning.normalise import fit_normaliser
from emulator.learning.sampler import Sampler
from emulator.learning.settings import SplitSettings, TrainSettings
from emulator.learning.weak import WeakLabels, WeakLoss, gather_weak
from emulator.learning.weak_settings import WeakSettings
from tests.learning.cubes import chosen_years, small_cube
from tests.learning.runs import small_gru, tiny_settings

YEARS = 24
KNOWN = 2007
"""Last year with monthly labels."""

TEST = np.array([2022, 2023])
VALIDATION = np.array([2019, 2020])
TRAIN = np.arange(2000, KNOWN + 1)


def early(cube: Cube) -> Cube:
    """Return the cube with the labels up to ``KNOWN``."""
    labels = cube.labels.clone()
    labels[:, :, torch.from_numpy(years_of(cube.months) > KNOWN)] = torch.nan
    return replace(cube, labels=labels)


def gather(
    cube: Cube,
    known: Cube | None = None,
    scaled: bool = True,
    until: int | None = None,
    **changes: Any,
) -> WeakLabels | None:
    settings = WeakSettings(**{"weight": 1.0} | changes)
    return gather_weak(
        settings,
        cube,
        known or early(cube),
        np.arange(2000, 2021),
        TEST,
        TRAIN,
        memory=1,
        scaled_by_own=scaled,
        until=until,
    )


def learning_data(cube: Cube) -> tuple[TrainingData, AnnualLoss]:
    """Return what a run that knows the early labels learns from."""
    known, chosen = early(cube), chosen_years(cube, 2001, KNOWN)
    normaliser = fit_normaliser(known, chosen, small_gru(memory=1))
    data = TrainingData(
        inputs=inputs_of_cube(known, normaliser),
        normaliser=normaliser,
        labels=known.labels,
        chosen=torch.from_numpy(chosen),
        weight=torch.ones(1, 1, 3),
    )
    return data, AnnualLoss(known, normaliser, chosen)


class OneCoefficient(nn.Module):
    """A line through nothing: the answer is a multiple of one forcing's anomaly."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.zeros(()))

    def forward(self, forcing: Tensor, _static: Tensor, _teacher: Tensor) -> Tensor:
        answer: Tensor = self.slope * forcing[:, 1:, :1]
        return answer


def test_annual_totals_recover_a_linear_law() -> None:
    # The law: 0.7 of a cell's own deviation for each deviation of temperature. The
    # network sees nothing but annual totals of globe and bands of later years.
    cube = small_cube(YEARS)
    data, annual = learning_data(cube)
    normaliser = data.normaliser
    for simulation in range(2):
        month = data.inputs.month[None]
        expected = normaliser.expected(
            torch.tensor([0]), month, cube.co2[simulation][None], None
        )[0]
        deviation = data.inputs.weather[cube.weather[simulation], :, 0]
        late = torch.from_numpy(years_of(cube.months) > KNOWN)
        law = expected + normaliser.scale[0] * 0.7 * deviation[:, None]
        cube.labels[simulation, 0, late] = law[late]
    labels = gather(cube, early(cube), regional_weight=1.0)
    assert labels is not None
    settings = WeakSettings(weight=1.0, regional_weight=1.0, samples=4)
    loss = WeakLoss.of(labels, settings, seed=0)
    network = OneCoefficient()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.05)
    for step in range(200):
        optimiser.zero_grad()
        loss(network, data, annual, 1, step).backward()
        optimiser.step()
    assert float(network.slope.detach()) == pytest.approx(0.7, rel=1e-3)


def test_totals_are_those_of_budgets() -> None:
    cube = small_cube(YEARS)
    found = gather(cube)
    assert found is not None
    flux, area = cube.labels[1, 0, :, 0].numpy(), cube.area.numpy()
    years, totals = annual_total(area_rate(flux, area), cube.months)
    late = (years > KNOWN) & (years <= 2020)
    # Cells 9 and 10 lie in the south, 20 in the north: rows 1 and 2 of 45 degrees.
    np.testing.assert_allclose(found.totals[1, 0, late, 0, 0], totals[late], rtol=1e-6)
    bands = found.totals[1, 0, late, 1:, 0].sum(dim=-1)
    np.testing.assert_allclose(bands, totals[late], rtol=1e-6)
    assert found.totals[:, :, ~late].isnan().all()
    # Two simulations x 13 years, none of a test year.
    assert found.windows.shape == (26, 3)
    assert found.about == "totals of the store's labels, 2008 to 2020"
    assert not found.of_test


def test_unit_is_the_deviation_of_independent_years() -> None:
    # Totals that alternate between 0 and 2 differ by 2 from year to year: 2 / sqrt 2;
    # a trend of 1 a year counts as 1 / sqrt 2, however long it is.
    cube = small_cube(YEARS)
    area = float(cube.area.sum()) / 1e12  # PgC yr-1 for each kg m-2
    place = torch.from_numpy(years_of(cube.months) - 2000)
    seconds = torch.from_numpy(seconds_per_month(cube.months))
    for simulation, series in enumerate((2.0 * (place % 2), 1.0 * place)):
        flux = series / area / 12 / seconds
        cube.labels[simulation, 0, :, 0] = flux[:, None].float()
    both = gather(cube)
    assert both is not None
    assert float(both.unit[0, 0, 0]) == pytest.approx(((2 + 0.5) / 2) ** 0.5, rel=1e-5)
    trend = gather(cube, simulations=["RUN"])
    assert trend is not None
    assert float(trend.unit[0, 0, 0]) == pytest.approx(0.5**0.5, rel=1e-5)
    assert set(trend.windows[:, 0]) == {1}


def test_a_year_that_misses_a_label_has_no_total() -> None:
    cube = small_cube(YEARS)
    cube.labels[1, 0, 12 * 10 + 4, 0, 2] = torch.nan  # May 2010
    found = gather(cube)
    assert found is not None
    assert found.totals[1, 0, 10].isnan().all()
    assert found.totals[0, 0, 10].isfinite().all()
    assert len(found.windows) == 25


def test_a_year_without_its_memory_has_no_total() -> None:
    cube = small_cube(YEARS)
    cube.weather[1, 12 * 10 - 1] = -1  # nobody knows what December 2009 saw
    found = gather(cube)
    assert found is not None
    years = cube.months[found.windows[found.windows[:, 0] == 1, 2]]
    assert not np.isin(years_of(years), [2009, 2010]).any()


def test_test_years_are_used_only_when_named_and_then_marked() -> None:
    cube = small_cube(YEARS)
    found = gather(cube, years=[2019, 2022])
    assert found is not None
    assert "2022 to 2022 are TEST YEARS: not a forecast" in found.about
    assert found.of_test
    assert found.years == {
        name: [2019, 2020, 2021, 2022] for name in ("CONTROL", "RUN")
    }


def test_batches_are_a_function_of_seed_and_step() -> None:
    cube = small_cube(YEARS)
    data, annual = learning_data(cube)
    labels = gather(cube)
    assert labels is not None
    network = OneCoefficient()

    def values(seed: int, every: int = 1) -> list[float]:
        loss = WeakLoss.of(labels, WeakSettings(weight=1.0, every=every), seed)
        due = [step for step in range(8) if loss.is_due(step)]
        return [float(loss(network, data, annual, 1, step).detach()) for step in due]

    assert values(0) == values(0)
    assert values(0) != values(1)
    # Every second step: the same years one after the other.
    assert values(0, every=2) == values(0)[:4]


def test_weights_scale_globe_and_bands() -> None:
    cube = small_cube(YEARS)
    data, annual = learning_data(cube)
    labels = gather(cube)
    assert labels is not None

    def value(**weights: float) -> float:
        loss = WeakLoss.of(labels, WeakSettings(**weights), 0)
        return float(loss(OneCoefficient(), data, annual, 1, 0).detach())

    globe, bands = value(weight=1.0), value(regional_weight=1.0)
    assert globe > 0
    assert bands > 0
    both = value(weight=2.0, regional_weight=3.0)
    assert both == pytest.approx(2 * globe + 3 * bands, rel=1e-5)


@pytest.mark.parametrize(("apart", "expected"), [(0.5, 0.25), (3.0, 5.0)])
def test_errors_count_squared_up_to_a_unit_and_linearly_beyond(
    apart: float, expected: float
) -> None:
    # 2 (3 - 1/2) = 5, where squares would say 9.
    cube = small_cube(YEARS)
    data, annual = learning_data(cube)
    labels = gather(cube)
    assert labels is not None
    network = OneCoefficient()  # answers the reference
    month = torch.arange(12) + labels.windows[0, 2]
    reference = data.normaliser.expected(
        torch.tensor([0]),
        data.inputs.month[month][None],
        cube.co2[0, month][None],
        None,
    )
    total = annual.annual_totals(reference.double(), month[None])[0, 0, 0, 0]
    year = int(data.inputs.year[month[0]])
    labels.totals[0, 0, year, 0, 0] = total + apart * labels.unit[0, 0, 0]
    one = replace(labels, windows=labels.windows[:1])
    loss = WeakLoss.of(one, WeakSettings(weight=1.0), 0)
    found = float(loss(network, data, annual, 1, 0).detach())
    assert found == pytest.approx(expected, rel=1e-4)


def test_nothing_withheld_is_nothing_weak(caplog: pytest.LogCaptureFixture) -> None:
    cube = small_cube(YEARS)
    with caplog.at_level(logging.WARNING):
        assert gather(cube, cube) is None
    assert "There is no weak label: no label was withheld" in caplog.text
    assert gather(cube, weight=0.0) is None


def require_equal(found: WeakLabels, expected: WeakLabels) -> None:
    for name in ("totals", "unit", "cells"):
        torch.testing.assert_close(
            getattr(found, name),
            getattr(expected, name),
            rtol=0,
            atol=0,
            equal_nan=True,
        )
    np.testing.assert_array_equal(found.windows, expected.windows)


@pytest.mark.parametrize("later", [torch.nan, 1e3])
def test_later_totals_were_not_known_at_an_earlier_date(later: float) -> None:
    cube = small_cube(YEARS)
    found = gather(cube, until=2012)
    assert found is not None
    assert found.about == "totals of the store's labels, 2008 to 2012"
    assert found.totals[:, :, 13:].isnan().all()
    cube.labels[:, :, torch.from_numpy(years_of(cube.months) > 2012)] *= later
    again = gather(cube, until=2012)
    assert again is not None
    require_equal(again, found)
    # Before the first of them there is none, whatever was asked for.
    assert gather(cube, until=KNOWN) is None
    assert gather(cube, until=2009, years=[2010, 2020]) is None


@pytest.mark.parametrize("later", [np.nan, 1e3])
def test_a_table_ends_at_an_earlier_date_too(
    later: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Training years go on to 2007, but later ones do not move the table either.
    cube = small_cube(YEARS, simulations=("S0", "S2"))
    known = early(cube)
    known.labels[:, :, torch.from_numpy(years_of(cube.months) == 2002)] = torch.nan
    known.labels[:, :, torch.from_numpy(years_of(cube.months) == 2003)] = torch.nan
    column = np.arange(1998.0, 2018.0)
    found = from_table(monkeypatch, cube, {"ONE": column}, known, until=2005)
    assert found.years == {"S0": [], "S2": [2002, 2003]}
    spoiled = replace(known, labels=known.labels.clone())
    spoiled.labels[:, :, torch.from_numpy(years_of(cube.months) > 2005)] *= later
    column[2006 - 1998 :] *= later
    again = from_table(monkeypatch, cube, {"ONE": column}, spoiled, until=2005)
    require_equal(again, found)


def test_impossible_weak_labels_say_why() -> None:
    cube = small_cube(YEARS)
    with pytest.raises(SettingsError, match=r"weak.simulations names \['S9'\], but"):
        gather(cube, simulations=["S9"])
    with pytest.raises(
        SettingsError, match=r"No weak label is left: of the years 2005"
    ):
        gather(cube, years=[2005, 2006])
    with pytest.raises(SettingsError, match=r"hold no two years in a row, so that"):
        gather(cube, years=[2010, 2010])


def budget(columns: dict[str, np.ndarray], first: int) -> Workbook:
    """Return a workbook whose land models have columns from ``first`` on."""
    size = len(next(iter(columns.values())))
    years = np.arange(first, first + size)
    models, nothing = Table(years, columns), Table(years, {})
    sheet = SinkSheet(models=models, products=nothing, published=nothing)
    return Workbook(2024, "1.0", nothing, land=sheet, ocean=sheet)


def from_table(
    monkeypatch: pytest.MonkeyPatch,
    cube: Cube,
    table: dict[str, np.ndarray],
    known: Cube | None = None,
    **changes: Any,
) -> WeakLabels:
    book = budget(table, first=1998)
    monkeypatch.setattr(workbook, "read", lambda _: book)
    found = gather(cube, known, workbook="budget.xlsx", **changes)
    assert found is not None
    return found


def test_a_table_is_moved_to_the_level_of_known_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The table says the year, in PgC; labels of 2000 to 2007 sum to 5 in each year.
    cube = small_cube(YEARS, simulations=("S0", "S2"))
    area = float(cube.area.sum()) / 1e12
    seconds = torch.from_numpy(seconds_per_month(cube.months))
    cube.labels[:] = (5 / area / 12 / seconds)[:, None, None].float()
    column = np.arange(1998.0, 2018.0)
    found = from_table(monkeypatch, cube, {"ONE": column})
    # Mean of 2000 to 2007 is 2003.5, so that 2010 is 6.5 above 5; the table ends 2017.
    assert float(found.totals[1, 0, 10, 0, 0]) == pytest.approx(11.5, rel=1e-5)
    years = years_of(cube.months[found.windows[:, 2]])
    assert years.tolist() == list(range(2008, 2018))
    assert set(found.windows[:, 0]) == {1}
    assert found.totals[:, :, :, 1:].isnan().all()
    assert found.about == "Global Carbon Budget 2024, columns of models, 2008 to 2017"


@pytest.mark.parametrize("held", [TEST, VALIDATION])
def test_labels_of_other_years_than_training_do_not_move_a_table(
    held: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    cube = small_cube(YEARS, simulations=("S0", "S2"))
    known = early(cube)
    known.labels[:, :, torch.from_numpy(np.isin(years_of(cube.months), held))] = 1.0
    column = np.arange(1998.0, 2024.0)
    found = from_table(monkeypatch, cube, {"ONE": column}, known)
    wanted = from_table(monkeypatch, cube, {"ONE": column})
    # 2008 to 2018 have weak labels whatever is held.
    assert wanted.totals[1, 0, 8:19, 0].isfinite().all()
    torch.testing.assert_close(
        found.totals[1, 0, 8:19], wanted.totals[1, 0, 8:19], equal_nan=True
    )


def test_a_teacher_without_labels_is_believed_as_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cube = small_cube(YEARS, simulations=("S0", "S2"))
    nothing = replace(cube, labels=cube.labels * torch.nan)
    found = from_table(
        monkeypatch,
        cube,
        {"Other": np.arange(1998.0, 2018.0)},
        nothing,
        scaled=False,
        columns={"ONE": "Other"},
    )
    assert float(found.totals[1, 0, 10, 0, 0]) == 2010.0
    with pytest.raises(SettingsError, match=r"No training year .* of \['ONE'\], on"):
        gather(cube, nothing)
    # Where its cells are, nobody knows: it has all.
    nowhere = from_table(
        monkeypatch, nothing, {"ONE": np.arange(20.0)}, nothing, scaled=False
    )
    assert nowhere.cells.all()


def test_tables_that_do_not_fit_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    cube = small_cube(YEARS, simulations=("S0", "S2"))
    columns = {"ONE": np.arange(20.0)}
    with pytest.raises(SettingsError, match=r"totals of nbp in simulation S2, but the"):
        from_table(monkeypatch, small_cube(YEARS), columns)
    with pytest.raises(SettingsError, match=r"weak.columns names \['ONE'\], but the"):
        from_table(monkeypatch, cube, columns, columns={"ONE": "Nobody"})
    with pytest.raises(SettingsError, match=r"none has a total in the Global Carbon"):
        from_table(monkeypatch, cube, {"TWO": np.arange(20.0)})


def run_settings(**weak: Any) -> TrainSettings:
    """Return a run that knows 1990 to 1997 by month; later years up to 2004 weakly."""
    return tiny_settings(
        small_gru(width=8, dropout=0.3),
        steps=30,
        validate_every=10,
        save_every=5,
        refit=True,
        label_fraction=0.5,
        weak=WeakSettings(**weak),
    )


def trained(settings: TrainSettings, store: Path, run: Path) -> Checkpoint:
    return load_checkpoint(train(settings, store, run) / "members/0/emulator.pt")


def test_a_run_learns_from_weak_labels_and_says_so(
    land_store: Path, tmp_path: Path
) -> None:
    without = trained(run_settings(), land_store, tmp_path / "without")
    assert without.about["weak_labels"] == ""
    settings = run_settings(weight=0.1, every=2, simulations=["S2"])
    weakly = trained(settings, land_store, tmp_path / "with")
    assert weakly.about["weak_labels"] == "totals of the store's labels, 1998 to 2004"
    years = {"S0": [], "S1": [], "S2": list(range(1998, 2005))}
    assert weakly.about["weak_years"] == years
    assert weakly.about["transductive"] is False
    assert weakly.about["last_month"] == "1997-12"
    assert not torch.equal(
        without.weights["leave.weight"], weakly.weights["leave.weight"]
    )
    metrics = (tmp_path / "with" / "metrics.csv").read_text()
    assert "gradient_weak" in metrics.splitlines()[0]


def test_a_stopped_run_with_weak_labels_ends_with_the_same_bits(
    land_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = run_settings(weight=0.1, every=2, samples=2)
    whole = trained(settings, land_store, tmp_path / "whole")
    draw = Sampler.draw

    def draw_or_stop(self: Sampler, step: int) -> Any:
        if step == 13:
            raise RuntimeError("stopped")
        return draw(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(Sampler, "draw", draw_or_stop)
        with pytest.raises(RuntimeError, match="stopped"):
            train(settings, land_store, tmp_path / "stopped")
    found = trained(settings, land_store, tmp_path / "stopped")
    assert found.about == whole.about
    for name, value in whole.weights.items():
        assert torch.equal(found.weights[name], value), name


def test_a_fit_as_of_a_year_learns_from_weak_labels_up_to_it(
    land_store: Path, tmp_path: Path
) -> None:
    settings = run_settings(weight=0.1, every=2)
    settings.learning.labels_withheld = "random"
    cube = training_cube(settings, land_store)
    later = torch.from_numpy(years_of(cube.months) > 2000)[:, None, None]

    def fitted(name: str, labels: Tensor) -> Checkpoint:
        refit(
            settings,
            replace(cube, labels=labels),
            land_store,
            np.arange(1990, 2001),
            {0: 4},
            tmp_path / name,
            until=2000,
        )
        return load_checkpoint(tmp_path / name / "members/0/emulator.pt")

    found = fitted("clean", cube.labels)
    years = found.about["weak_years"]
    assert all(1990 <= year <= 2000 for each in years.values() for year in each)
    assert len(years["S2"]) > 1
    for name, value in (("none", torch.nan), ("wild", 1e3)):
        again = fitted(name, torch.where(later, value * cube.labels, cube.labels))
        for key, weights in found.weights.items():
            assert torch.equal(again.weights[key], weights), key
    settings.learning.weak = WeakSettings()
    without = fitted("without", cube.labels)
    assert not torch.equal(
        without.weights["leave.weight"], found.weights["leave.weight"]
    )


def test_a_fit_for_given_steps_is_that_behind_a_choice(
    land_store: Path, tmp_path: Path
) -> None:
    settings = run_settings(weight=0.1, every=2)
    chosen = trained(settings, land_store, tmp_path / "run")
    steps = {0: chosen.about["step"]}
    cube = training_cube(settings, land_store)
    refit(settings, cube, land_store, np.arange(1990, 1998), steps, tmp_path / "again")
    again = load_checkpoint(tmp_path / "again/members/0/emulator.pt")
    assert again.about["weak_labels"] == chosen.about["weak_labels"]
    for name, weights in chosen.weights.items():
        assert torch.equal(again.weights[name], weights), name


def test_totals_that_hold_a_held_out_region_are_refused() -> None:
    split = SplitSettings([1990, 2004], [2001, 2001], [2006, 2008], "srex:AMZ")
    model = small_gru(label_climatology="none")
    with pytest.raises(SettingsError, match=r"hold the labels of the held-out region"):
        tiny_settings(model, split=split, weak=WeakSettings(weight=1.0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weight": -1.0}, "learning.weak.weight is -1.0"),
        ({"regional_weight": -1.0}, "learning.weak.regional_weight is -1.0"),
        ({"every": 0}, "learning.weak.every is 0"),
        ({"samples": 0}, "learning.weak.samples is 0"),
        ({"years": [2000]}, r"learning.weak.years is \[2000\]"),
        ({"years": [2001, 2000]}, r"learning.weak.years is \[2001, 2000\]"),
        ({"workbook": "a.xlsx", "regional_weight": 1.0}, "columns are of the globe"),
    ],
)
def test_bad_weak_settings_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        WeakSettings(**values)
