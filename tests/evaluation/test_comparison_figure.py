import math
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from emulator.evaluation import figures
from emulator.evaluation.comparison_figure import comparison
from emulator.evaluation.paired import Row


def row(method: str, value: float, *, change: float = 0.0, **fields: object) -> Row:
    """Return a score with an interval of 0.1 to both sides, its difference exact."""
    about = {"flux": "nbp", "simulation": "S2", "teacher": "ONE", "scope": "all"}
    about |= {"score": "anomaly_r2", **fields}
    low, high = value - 0.1, value + 0.1
    seeds = (value - 0.01, value + 0.01)
    interval = (value, low, high, change, change, change)
    return Row(
        *(str(about[name]) for name in ("flux", "simulation", "teacher", "scope")),
        method,
        str(about["score"]),
        *interval,
        n=15,
        seeds=seeds,
    )


def panel(*extra: Row) -> list[Row]:
    return [
        row("pointwise", 0.3),
        row("unet", 0.5, change=0.2),
        row("sinknet", 0.31),
        row("baseline trend", 0.2),
        row("baseline ridge", 0.4),
        *extra,
    ]


def drawn(*extra: Row) -> Figure:
    return comparison({"": panel(*extra)}, {"": "pointwise"}, evidence="testbed")


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj() if hasattr(text, "get_text")]


def test_variants_stand_in_order_beside_the_best_baseline() -> None:
    (axis,) = drawn().axes
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ["pointwise", "unet", "sinknet"]
    assert list(axis.get_yticks()) == [2, 1, 0]
    assert "ridge" in texts(drawn())
    assert "trend" not in texts(drawn())
    assert "Evidence: testbed" in texts(drawn())
    assert any("n = 15 years" in text for text in texts(drawn()))


def test_markers_say_what_differs_from_the_reference() -> None:
    (axis,) = drawn().axes
    faces = {
        line.get_xdata()[0]: (line.get_marker(), line.get_markerfacecolor() == "white")
        for line in axis.lines
        if line.get_marker() in ("D", "o")
    }
    assert faces == {0.3: ("D", False), 0.5: ("o", False), 0.31: ("o", True)}


def test_panels_share_their_scores() -> None:
    annual = {"score": "annual_r2_centred"}
    figure = comparison(
        {"land": panel(row("unet", 0.8, **annual)), "ocean": panel()},
        {"land": "pointwise", "ocean": "unet"},
        evidence="testbed",
    )
    assert len(figure.axes) == 4
    assert figure.axes[0].get_xlim() == figure.axes[2].get_xlim()


def test_one_bad_variant_does_not_squeeze_the_others() -> None:
    # An interval that reaches down to -9 is cut where the scores end.
    poor = row("wild", 0.1)
    poor = Row(**{**vars(poor), "low": -9.0})
    (axis,) = drawn(poor).axes
    assert -1.0 < axis.get_xlim()[0] < 0.1


def test_a_score_without_a_value_is_left_out() -> None:
    unknown = row("short", math.nan)
    (axis,) = drawn(unknown).axes
    assert len(axis.get_yticklabels()) == 4


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_the_same_figure_is_the_same_file(tmp_path: Path, ending: str) -> None:
    first, second = (
        figures.save(drawn(), tmp_path / f"{name}.{ending}").read_bytes()
        for name in ("first", "second")
    )
    assert first == second
    # Letters stay letters: fonts are embedded as TrueType, not as outlines.
    if ending == "pdf":
        assert b"/Type3" not in first
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"first.{ending}",
        f"second.{ending}",
    ]
