"""Drifts that the controls of a training store show, kept in checkpoints."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.drift import Drift
from emulator.carbon.errors import CatalogError
from emulator.data.stores import write_store
from emulator.learning.drift import control_drifts
from emulator.learning.fit import train
from emulator.learning.inference import open_run
from tests.learning.runs import tiny_data, tiny_settings
from tests.worlds import tiny_world

# 2000 of A and 1996 of B are both model year 11.
DRIFT = {"year_one": {"A": 1990, "B": 1986}}


def store(folder: Path, *, rate: float = -0.1, **drifts: Any) -> Path:
    """Write a store whose control takes up ``rate``, and 0.01 more in each year.

    PgC yr-1 of the globe from 1990 to 2008, spread evenly over the cells with a label.
    """
    world = tiny_world("ocean")
    control = world["fgco2"].sel(simulation="B")
    known = control.notnull().to_numpy()
    area = (world["area"] * world["fraction"]).to_numpy()
    sea = float((area * known[0].any(axis=0)).sum())
    years = world["time"].dt.year.to_numpy()
    rates = (rate + 0.01 * (years - 1990)) * 1e12 / (365.2425 * 86400)
    values = np.where(known, rates[:, None, None] / sea, np.nan)
    world["fgco2"].loc[{"simulation": "B"}] = values.astype("f4")
    entries = {
        f"entry_{number}": {"label": name, "kind": "teacher", "drift": drift}
        for number, (name, drift) in enumerate(drifts.items())
    }
    entries["weather"] = {"kind": "forcing"}
    world.attrs["catalog"] = json.dumps(entries)
    return write_store(world, folder / "drifting.zarr")


def test_totals_of_each_control_are_fitted(tmp_path: Path) -> None:
    found = control_drifts(store(tmp_path, **{"ONE-sea": DRIFT}))
    assert found["regions"] == ["globe", "north", "tropics", "south", "other"]
    assert list(found["teachers"]) == ["ONE-sea"]
    said = found["teachers"]["ONE-sea"]
    # 1990 to 2008 of B are model years 5 to 23.
    assert (said["first"], said["last"], said["control"]) == (5, 23, "B")
    assert said["year_one"] == 1990
    fit = Drift.from_dict(said)
    globe, *bands = fit.at(np.array([5, 23]))
    # Years of 365 days take up less than their mean rate, by 0.07 %.
    np.testing.assert_allclose(globe, [-0.10, 0.08], atol=2e-4)
    np.testing.assert_allclose(sum(bands), globe, atol=1e-12)


def test_a_control_that_the_store_lacks_is_said_to_be_missing(tmp_path: Path) -> None:
    drift = {"year_one": {"A": 1990, "E": 1986}, "control": "E"}
    found = control_drifts(store(tmp_path, **{"ONE-sea": drift}))
    assert found["teachers"]["ONE-sea"] == {
        "missing": "simulation E is not in the training store"
    }


def test_without_a_word_of_drift_there_is_none(
    tmp_path: Path, land_store: Path
) -> None:
    assert control_drifts(store(tmp_path)) == {}
    assert control_drifts(land_store) == {}


def test_years_that_are_not_there_stop_a_training(tmp_path: Path) -> None:
    drift = {**DRIFT, "fit": [1980, 2000]}
    with pytest.raises(CatalogError, match="fit to 21 years of simulation 'B'"):
        control_drifts(store(tmp_path, **{"ONE-sea": drift}))


def test_a_run_keeps_the_fit_and_leaves_labels_alone(tmp_path: Path) -> None:
    path = store(tmp_path, **{"ONE-sea": DRIFT, "TWO-sea": DRIFT})
    settings = tiny_settings(data=tiny_data("ocean"), steps=2, validate_every=2)
    run = train(settings, path, tmp_path / "run")
    kept = json.loads(open_run(run).attributes()["drift"])
    assert kept == control_drifts(path)
