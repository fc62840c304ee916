"""Few live models of a written edition: the files, the figure, what is refused."""

import csv
from pathlib import Path

import numpy as np
import pytest

from emulator.carbon.errors import SettingsError, UserError
from emulator.data.readers import workbook
from emulator.evaluation import live
from emulator.evaluation.ensembles import EnsembleSettings
from emulator.evaluation.settings import LiveSettings
from tests.evaluation.published import budget_workbook

YEARS = list(range(1981, 2001))
ASKED = EnsembleSettings(live=[1, 2], windows=[3, 5], first=1990, correlations=[0, 1])


def edition(folder: Path, **changes: list[float | None]) -> Path:
    """Write three models that share a signal and differ in noise."""
    rng = np.random.default_rng(1)
    signal = rng.normal(2, 1, 20)
    models = {name: list(signal + rng.normal(0, 0.5, 20)) for name in "ABC"}
    return budget_workbook(folder, YEARS, models | changes)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Return the Markdown table of a report."""
    book = edition(tmp_path)
    return live.report(LiveSettings(str(book), ASKED, str(tmp_path / "new" / "out")))


def test_the_table_says_what_it_stands_on(written: Path) -> None:
    text = written.read_text()
    assert written.name == "ensembles.md"
    assert "annual S_LAND of the models of the Global Carbon Budget 2024 (v1.0)" in text
    assert "errors of emulators are assumed" in text
    assert "Mean of live models for the mean of 3, 1990-2000" in text
    assert "The models: A, B, C." in text
    assert "https://doi.org/10.18160/gcp-2024, CC BY 4.0" in text
    assert "](ensembles.png)" in text
    assert written.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_the_lines_hold_every_score_of_every_case(written: Path) -> None:
    with written.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    # For 0 models two correlations, for 1 and 2 also two windows; each RMSE and R2;
    # for 1 and 2 what an emulator must explain.
    assert len(rows) == 2 * (2 + 4 + 4) + 2
    (row,) = (
        row
        for row in rows
        if (row["live"], row["window"], row["score"]) == ("2", "5", "rmse")
    )
    assert row["others"] == "unknown"
    # Two of three live leave out one: their mean errs by half of what that one does.
    alone = [
        row
        for row in rows
        if (row["live"], row["window"], row["score"]) == ("1", "5", "rmse")
    ]
    assert float(row["median"]) == pytest.approx(float(alone[0]["median"]) / 2)
    needed = [row for row in rows if row["score"] == "emulator_r2_needed"]
    assert [row["live"] for row in needed] == ["1", "2"]
    assert all(row["others"] == "emulated" for row in needed)


def test_the_figure_draws_what_was_found(tmp_path: Path) -> None:
    models = workbook.read(edition(tmp_path)).land.models
    result = live.ensembles.score(models.matrix(), models.years, ASKED)
    figure = live.draw(result, "a written edition")
    (axis,) = figure.axes
    assert any(
        text.get_text() == "Evidence: a written edition" for text in figure.texts
    )
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "live alone, adjusted on 3 years",
        "live alone, adjusted on 5 years",
        "others emulated, errors correlated 0",
        "others emulated, errors correlated 1",
    ]
    level, three, five, *emulated = axis.get_lines()
    np.testing.assert_allclose(level.get_ydata(), result.sd)
    for line, window in ((three, 3), (five, 5)):
        drawn = [row.alone[window].rmse.median for row in result.rows[1:]]
        np.testing.assert_allclose(line.get_ydata(orig=False), drawn)
        # Aside by less than half a model, so that the number can be read.
        np.testing.assert_allclose(line.get_xdata(orig=False), [1, 2], atol=0.4)
    for line, value in zip(emulated, (0, 1), strict=True):
        drawn = [row.with_emulators[value].rmse.median for row in result.rows]
        np.testing.assert_allclose(line.get_ydata(orig=False), drawn)
    low, high = axis.collections[0].get_segments()[0][:, 1]
    assert low == pytest.approx(result.rows[1].alone[3].rmse.low)
    assert high == pytest.approx(result.rows[1].alone[3].rmse.high)


def test_a_model_with_a_gap_is_named(tmp_path: Path) -> None:
    gap: list[float | None] = [2.0] * 20
    gap[12] = None
    path = edition(tmp_path, B=gap)
    message = "B has no value in 1993, but the mean of all needs .* from 1985"
    with pytest.raises(UserError, match=message):
        live.report(LiveSettings(str(path), ASKED, str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_a_gap_before_the_first_window_does_not_matter(tmp_path: Path) -> None:
    gap: list[float | None] = [None, *np.linspace(1, 3, 19)]
    path = edition(tmp_path, B=gap)
    table = live.report(LiveSettings(str(path), ASKED, str(tmp_path / "out")))
    assert "nan" not in table.read_text()


def test_a_workbook_is_needed() -> None:
    with pytest.raises(SettingsError, match="give workbook=PATH"):
        LiveSettings()
