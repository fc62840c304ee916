"""What a product costs in carbon, in years that its map did not see."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from emulator.carbon.errors import SettingsError
from emulator.data.mapping.fit import learn
from emulator.data.mapping.products import Pair
from emulator.data.stores import write_store
from emulator.evaluation.forcing_cost import forcing_cost, write_cost
from emulator.learning.fit import train
from emulator.learning.inference import Emulator, load_emulator
from tests.data.two_products import pair_of, settings, told_otherwise, write_pair
from tests.learning.runs import tiny_settings
from tests.worlds import tiny_forcing


@pytest.fixture(scope="module")
def emulator(land_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    train(tiny_settings(steps=20, validate_every=10), land_store, folder)
    return load_emulator(folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return pair_of(write_pair(tmp_path_factory.mktemp("pair")), withheld=3)


def cost_of(emulator: Emulator, found: Pair) -> dict:
    return forcing_cost(emulator, found, learn(settings(), found, found.fitted))


def test_a_bias_costs_carbon_until_it_is_mapped(
    emulator: Emulator, found: Pair, tmp_path: Path
) -> None:
    cost = cost_of(emulator, found)
    assert cost["flux"] == "nbp"
    assert cost["years"] == [2003, 2004, 2005]
    assert cost["fitted"] == [1990, 2002]
    own, mapped, unmapped = (
        np.array(cost["totals"][kind]) for kind in ("own", "mapped", "unmapped")
    )
    # The map undoes the known law to float32.
    np.testing.assert_allclose(mapped, own, atol=1e-4 * np.abs(unmapped - own).max())
    wrong = unmapped - own
    assert np.abs(wrong).min() > 0
    assert cost["unmapped"] == pytest.approx(
        {
            "bias": wrong.mean(),
            "rmse": np.sqrt((wrong**2).mean()),
            "anomaly_rmse": wrong.std(),
        }
    )
    path = write_cost(cost, tmp_path, "tiny")
    text = path.read_text()
    assert text.startswith("# Cost of forcing in carbon: tiny, other_onto_own\n")
    assert "Evidence: testbed." in text
    assert "| 2003 | " in text
    assert "| unmapped | " in text
    assert json.loads((tmp_path / "cost-tiny.json").read_text()) == json.loads(
        json.dumps(cost)
    )


def test_own_totals_are_those_of_a_prediction(emulator: Emulator, found: Pair) -> None:
    answer = emulator.predict(tiny_forcing("land").sel(time=slice("2005")))["nbp"]
    area = np.zeros(32)
    area[emulator.cells.numpy()] = emulator.area.numpy()
    flux = answer.sel(time="2004").fillna(0).to_numpy().reshape(2, 12, 32) @ area
    days = answer.sel(time="2004")["time"].dt.days_in_month.to_numpy()
    # kg s-1 to PgC: seconds of each month, 1e12 kg; mean of the two teachers.
    expected = (flux * days * 86400).sum(axis=1).mean() / 1e12
    total = cost_of(emulator, found)["totals"]["own"][1]
    assert total == pytest.approx(expected, rel=1e-4)


def test_the_weather_of_a_training_store_is_the_own_one(
    emulator: Emulator, land_store: Path, tmp_path: Path
) -> None:
    product = write_store(
        told_otherwise(tiny_forcing("land")), tmp_path / "other-0.zarr"
    )
    cost = cost_of(emulator, pair_of((product, land_store), years=[1990, 2006]))
    assert cost["mapped"]["rmse"] < 1e-3 * cost["unmapped"]["rmse"]
    both = pair_of((land_store, land_store))
    with pytest.raises(SettingsError, match="is a forcing store, and without its CO2"):
        cost_of(emulator, both)


def test_years_that_cannot_be_answered_are_refused(
    emulator: Emulator, tmp_path: Path
) -> None:
    late = tiny_forcing("land").assign_attrs(title="own")
    paths = write_pair(tmp_path, onto=late)
    found = pair_of(paths, years=[1990, 1993], withheld=1)
    # The first year that is scored is the first of all: its memory is not known.
    early = replace(found, years=found.years[:3], withheld=3)
    with pytest.raises(SettingsError, match=r"all months of \[1990.*: it must know"):
        forcing_cost(emulator, early, learn(settings(), found, found.fitted))


def test_forcing_that_is_not_mapped_is_named(
    emulator: Emulator, tmp_path: Path
) -> None:
    found = pair_of(write_pair(tmp_path), variables=["tas"])
    with pytest.raises(SettingsError, match="needs pr, which is not mapped: only tas"):
        cost_of(emulator, found)


def test_a_run_without_a_net_flux_is_refused(emulator: Emulator, found: Pair) -> None:
    first = replace(emulator.first, fluxes=("gpp",))
    other = replace(emulator, members=(first,))
    with pytest.raises(SettingsError, match="predicts gpp, but the cost in carbon"):
        cost_of(other, found)


def test_equal_products_cost_nothing(emulator: Emulator, tmp_path: Path) -> None:
    own: xr.Dataset = tiny_forcing("land")
    found = pair_of(write_pair(tmp_path, product=own.assign_attrs(title="same")))
    assert cost_of(emulator, found)["mapped"] == dict.fromkeys(
        ("bias", "rmse", "anomaly_rmse"), 0.0
    )
