from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from emulator.carbon.grid import Grid
from emulator.evaluation import figures
from emulator.evaluation.settings import CELL_BASELINES

YEARS = [2001, 2002, 2003]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj() if hasattr(text, "get_text")]


def annual() -> Figure:
    return figures.annual_series(
        YEARS,
        [1.0, 2.0, 3.0],
        {"network": [1.0, 2.0, 2.5], "ridge": [2.0, 2.0, 2.0]},
        title="Annual",
        evidence="testbed",
    )


def skill() -> Figure:
    grid = Grid.regular(45.0)
    field = np.full(grid.shape, np.nan)
    field[1, 2] = 0.5
    return figures.skill_map(field, grid, title="Skill", evidence="testbed")


def regions() -> Figure:
    return figures.regional_anomalies(
        YEARS,
        {name: ([1.0, 2.0, 3.0], [2.0, 2.0, 5.0]) for name in "abcd"},
        title="Regions",
        evidence="testbed",
    )


def season() -> Figure:
    cycle = np.cos(np.arange(12))
    return figures.seasonal_cycle(
        {"globe": (cycle, cycle / 2)}, title="Season", evidence="testbed"
    )


def effects() -> Figure:
    series = np.array([1.0, 2.0])
    years = [2001, 2002]
    panels = {"CO2": (years, series, series), "climate": (years, -series, -series)}
    return figures.effects(panels, title="Effects", evidence="testbed")


def intervals() -> Figure:
    coverage = {"found": 0.8, "low": 0.5, "high": 0.95}
    one = {
        "coverage": coverage,
        "reliability": {"0.5": 0.4, "0.9": 0.8},
        "by_lead": {"1": {"coverage": 1.0}, "2": {"coverage": 0.6}},
    }
    return figures.intervals(
        {"cell/month": one, "globe/year": one},
        {"cell/month": one},
        0.9,
        title="Intervals",
        evidence="testbed",
    )


@pytest.mark.parametrize("draw", [annual, skill, regions, season, effects, intervals])
def test_every_figure_carries_its_evidence_and_title(draw, tmp_path: Path) -> None:
    figure = draw()
    assert "Evidence: testbed" in texts(figure)
    assert any(draw.__name__.capitalize() in text for text in texts(figure))
    path = figures.save(figure, tmp_path / "folder" / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_series_are_drawn_as_given() -> None:
    lines = annual().axes[0].get_lines()
    np.testing.assert_array_equal(lines[0].get_ydata(), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(lines[1].get_ydata(), [1.0, 2.0, 2.5])
    assert [line.get_label() for line in lines] == ["teacher", "network", "ridge"]


def test_skill_map_shows_each_cell_in_its_place_and_names_its_score() -> None:
    axis, bar = skill().axes
    (mesh,) = axis.collections
    shown = np.ma.masked_invalid(mesh.get_array()).reshape(4, 8)
    assert shown.count() == 1
    assert shown[1, 2] == 0.5
    # The cell of 22.5 S, 67.5 W, by its south-western corner.
    np.testing.assert_allclose(mesh.get_coordinates()[1, 2], [-90.0, -45.0])
    assert bar.get_ylabel().startswith("R$^2$ of a cell's anomalies")


def test_seasonal_cycles_are_drawn_by_calendar_month() -> None:
    _, teacher, network = season().axes[0].get_lines()
    np.testing.assert_array_equal(teacher.get_xdata(), np.arange(1, 13))
    np.testing.assert_allclose(teacher.get_ydata(), np.cos(np.arange(12)))
    np.testing.assert_allclose(network.get_ydata(), np.cos(np.arange(12)) / 2)


def test_anomalies_have_no_mean() -> None:
    axis = regions().axes[0]
    teacher, network = (
        line for line in axis.get_lines() if line.get_label() in ("teacher", "network")
    )
    np.testing.assert_allclose(teacher.get_ydata(), [-1.0, 0.0, 1.0])
    np.testing.assert_allclose(network.get_ydata(), [-1.0, -1.0, 2.0])


def test_intervals_are_drawn_as_given() -> None:
    reliability, tested, by_lead = intervals().axes
    drawn = reliability.get_lines()[1]
    np.testing.assert_array_equal(drawn.get_xdata(), [0.5, 0.9])
    np.testing.assert_array_equal(drawn.get_ydata(), [0.4, 0.8])
    names = [label.get_text() for label in tested.get_yticklabels()]
    assert names == ["cell, month", "globe, year", "cell, month\nLightGBM"]
    bar = tested.containers[0].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(bar[:, 0], [0.5, 0.95])
    np.testing.assert_array_equal(by_lead.get_lines()[1].get_ydata(), [1.0, 0.6])


def test_every_method_has_a_style_of_its_own() -> None:
    assert set(figures.METHOD_STYLES) == {"network", *CELL_BASELINES, "co2_enso"}
    colours = {colour for colour, _, _ in figures.METHOD_STYLES.values()}
    assert len(colours) == len(figures.METHOD_STYLES)
