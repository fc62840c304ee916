"""The picture: a map of the last whole year, and all years."""

import numpy as np
import pytest

from emulator.nightly import picture
from emulator.nightly.sinkmap import assemble
from tests.nightly.synthetic import prediction


def test_last_year_weighs_months_and_adds_land_and_sea_by_hand() -> None:
    # Land takes up 1e-8 kg m-2 s-1 in January 2001 alone, on a quarter of each cell;
    # the ocean gives off 2e-9 all year on the rest.
    shape = (6, 12)
    land = np.zeros((1, 26, *shape))
    land[:, 12] = 1e-8
    land[:, 24:] = 1e-6  # January and February 2002 are no whole year
    quarter = np.full(shape, 0.25)
    options = {"first": "2000-01", "last": "2002-02"}
    sink_map = assemble(
        prediction("land", teachers=("A",), values=land, fraction=quarter, **options),
        prediction(
            "ocean",
            teachers=("C",),
            values=np.full((1, 26, *shape), -2e-9),
            fraction=1 - quarter,
            **options,
        ),
    )
    year, sink = picture.last_year(sink_map)
    assert year == 2001
    expected = (0.25 * 1e-8 * 31 / 365 - 0.75 * 2e-9) * 365.2425 * 86400 * 1000
    np.testing.assert_allclose(sink, np.full(shape, expected), rtol=1e-5)


def test_last_year_is_one_that_both_domains_have() -> None:
    land = prediction("land", first="2000-01", last="2001-12")
    ocean = prediction("ocean", first="2001-01", last="2003-12")
    year, _ = picture.last_year(assemble(land, ocean))
    assert year == 2001


def test_cells_of_neither_domain_are_missing() -> None:
    only = np.zeros((6, 12))
    only[2, 3] = 0.5
    values = np.full((2, 24, 6, 12), 1e-8)
    _, sink = picture.last_year(
        assemble(prediction("land", values=values, fraction=only), None)
    )
    assert np.isfinite(sink).sum() == 1


@pytest.mark.parametrize("domains", [("land",), ("ocean",), ("land", "ocean")])
def test_the_figure_says_its_evidence_and_its_domains(domains: tuple[str, ...]) -> None:
    parts = {
        each: prediction(each) if each in domains else None
        for each in ("land", "ocean")
    }
    figure = picture.draw(assemble(parts["land"], parts["ocean"]))
    assert "Evidence: testbed" in [text.get_text() for text in figure.texts]
    legend = figure.axes[1].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == list(domains)
