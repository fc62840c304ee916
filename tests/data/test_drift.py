"""A sink without its drift, as a catalog entry has it and `catalog check` says it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import CatalogError
from emulator.data import catalog
from emulator.data.drift import fit_control, report
from emulator.data.drift_source import DriftSource
from emulator.data.product_check import check
from emulator.data.report_text import text
from tests.data import tiny_files as tiny

DEFAULT = Path(__file__).resolve().parents[3] / "shared/data"
SHARED = Path(os.environ.get("SINK_SHARED_DATA", DEFAULT))
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no data below SINK_SHARED_DATA ({SHARED})"
)
# 1990 of A and 1905 of B are both model year 6.
SOURCE = DriftSource({"A": 1985, "B": 1900})


def test_labels_of_a_control_are_nominal() -> None:
    # B rises from -0.5 by 0.1 a year over model years 1 to 6, and is held there.
    control = (np.arange(1900, 1906), -0.5 + 0.1 * np.arange(6))
    sink = (np.arange(1988, 1994), np.full(6, 2.0))
    found = report(SOURCE, sink, control, "tiny")
    assert found.fitted == (1900, 1905)
    assert found.model_years == (1, 6)
    assert found.slope == pytest.approx(1.0)
    # 1988 to 1990 are model years 4 to 6; 1991 to 1993 lie beyond the control.
    assert found.extrapolated == 0.5
    of_80s, of_90s = found.decades["1988-1989"], found.decades["1990-1993"]
    assert of_80s["drift"] == pytest.approx((-0.2 - 0.1) / 2)
    assert of_80s["sink"] == pytest.approx(2.15)
    # 0.0 in 1990, then held at the end of model year 6, half a year on: 0.05.
    assert of_90s["drift"] == pytest.approx(3 * 0.05 / 4)
    assert (of_90s["raw"], of_90s["sink"]) == (2.0, pytest.approx(2 - 0.0375))


def test_only_the_years_that_are_named_are_fitted() -> None:
    source = DriftSource({"A": 1985, "B": 1900}, form="constant", fit=(1904, 1905))
    labels = np.arange(1900, 1906)
    found = fit_control(source, labels, np.array([9.0, 9, 9, 9, 1, 3]), "tiny")
    assert (found.first, found.last, float(found.level)) == (5, 6, 2.0)


@pytest.mark.parametrize(
    ("source", "labels", "message"),
    [
        (
            SOURCE,
            [1900, 1901],
            "linear fit to 3 years of simulation 'B', but of these 2",
        ),
        (SOURCE, [], "of these 0 are there .whole years: none"),
        (
            DriftSource({"A": 1, "B": 1}, fit=(1900, 1905)),
            [1900, 1901, 1902],
            "fit to 6 years of simulation 'B', 1900 to 1905, but of these 3",
        ),
    ],
)
def test_a_control_that_is_too_short_is_refused(
    source: DriftSource, labels: list[int], message: str
) -> None:
    years = np.array(labels, np.int64)
    with pytest.raises(CatalogError, match=message):
        fit_control(source, years, np.zeros(years.size), "tiny")


def entry(**drift: Any) -> Any:
    simulation = tiny.entry().to_dict()["simulations"]["S2"]
    return tiny.entry(
        domain="ocean",
        reader="gobm",
        root="",
        files="fgco2_{simulation}.nc",
        variables={"fgco2": {}},
        simulations={"A": simulation, "B": {**simulation, "years": [1950, 1953]}},
        years=[2000, 2003],
        drift={"year_one": {"A": 2000, "B": 1950}, **drift},
        gates=dict.fromkeys(("sign", "coverage", "units", "range"), "made up"),
    )


def write(root: Path, simulation: str, first: int, rates: list[float]) -> None:
    """Write a flux that is the same in all cells, PgC a year over the sphere."""
    area = 4 * np.pi * 6.371e6**2
    flux = np.repeat(rates, 12) * 1e12 / (365 * 86400) / area
    values = np.broadcast_to(flux[:, None, None], (flux.size, *tiny.SHAPE))
    tiny.write(
        root / f"fgco2_{simulation}.nc",
        "fgco2",
        values.astype("f4"),
        time=tiny.noleap_days(first, flux.size),
    )


def test_a_check_says_what_the_drift_is(tmp_path: Path) -> None:
    write(tmp_path, "A", 2000, [2.0, 2.0, 2.0, 2.0])
    write(tmp_path, "B", 1950, [-0.3, -0.2, -0.1, 0.0])
    found = check(entry(), tmp_path)
    assert found.drift is not None
    row = found.drift.decades["2000-2003"]
    assert row["raw"] == pytest.approx(2.0, rel=1e-5)
    assert row["sink"] == pytest.approx(2.15, rel=1e-5)
    assert found.to_dict()["drift"]["extrapolated"] == 0
    said = text(found)
    assert "A without the drift of B: linear fit to 1950-1953, model years 1-4" in said
    assert "+1.00 PgC yr-1 a decade" in said
    assert "0% of its years are beyond them" in said
    assert "2000-2003 2.00 -0.15 2.15" in " ".join(said.split())


def test_a_control_that_does_not_fit_its_entry_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, "A", 2000, [2.0, 2.0, 2.0, 2.0])
    write(tmp_path, "B", 1950, [0.0, 0.0, 0.0, 0.0])
    found = check(entry(fit=[1950, 1960]), tmp_path)
    assert found.drift is None
    assert any("fit to 11 years of simulation 'B'" in p for p in found.problems)


def test_without_files_of_the_control_nothing_is_said_of_a_drift(
    tmp_path: Path,
) -> None:
    write(tmp_path, "A", 2000, [2.0, 2.0, 2.0, 2.0])
    found = check(entry(), tmp_path)
    assert found.drift is None
    assert found.is_usable


@needs_shared
def test_a_real_ocean_model_has_the_drift_that_its_description_states() -> None:
    found = check(catalog.load("mitgcm_dic"), SHARED).drift
    assert found is not None
    assert (found.fitted, found.model_years) == ((1992, 2006), (16, 30))
    # "Over its last 15 years by +0.0025 PgC/yr a year".
    assert found.slope == pytest.approx(0.025, abs=0.003)
    # 1982 is model year 27: four of 38 years lie in the control.
    assert found.extrapolated == pytest.approx(34 / 38)
    raw = {span: round(row["raw"], 2) for span, row in found.decades.items()}
    assert raw == {
        "1982-1989": 1.44,
        "1990-1999": 1.92,
        "2000-2009": 2.19,
        "2010-2019": 2.71,
    }
    drift = [row["drift"] for row in found.decades.values()]
    np.testing.assert_allclose(drift, -0.08, atol=0.01)
