"""What a catalog entry may say of a drift, and what is refused."""

from typing import Any

import pytest

from emulator.carbon.errors import CatalogError
from emulator.data.entry import Entry, parse_entry
from tests.data import tiny_files as tiny


def entry(drift: dict[str, Any]) -> Entry:
    simulation = tiny.entry().to_dict()["simulations"]["S2"]
    said = tiny.entry(
        domain="ocean",
        reader="gobm",
        variables={"fgco2": {}},
        simulations={"A": simulation, "B": simulation},
    ).to_dict()
    return parse_entry("tiny", {**said, "drift": drift}, "tiny.yaml")


def test_a_line_through_b_is_taken_off_a_unless_said_otherwise() -> None:
    drift = entry({"year_one": {"A": 1959, "B": 1900}}).drift
    assert drift is not None
    assert (drift.transient, drift.control, drift.form) == ("A", "B", "linear")
    assert drift.fit is None


@pytest.mark.parametrize(
    ("drift", "message"),
    [
        ({}, r"'year_one' names \[\], but must give .* 'A' and of the control 'B'"),
        ({"year_one": {"A": 1959}}, r"'year_one' names \['A'\]"),
        (
            {"year_one": {"A": 1959}, "control": "A"},
            "the transient 'A' and of the control 'A'",
        ),
        (
            {"year_one": {"A": 1, "D": 1}, "control": "D"},
            r"has the simulations \['A', 'B'\], but 'drift' needs \['D'\]",
        ),
        (
            {"year_one": {"A": 1, "B": 1}, "fit": [2000, 2001]},
            r"'fit' is \[2000, 2001\], but a linear fit needs 3 years",
        ),
        (
            {"year_one": {"A": 1, "B": 1}, "form": "cubic"},
            r"'drift.form' is 'cubic', but must be one of \['linear', 'constant'\]",
        ),
    ],
)
def test_a_drift_that_cannot_be_fitted_is_refused(
    drift: dict[str, Any], message: str
) -> None:
    with pytest.raises(CatalogError, match=message):
        entry(drift)
