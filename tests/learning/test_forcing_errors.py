"""Errors of forcing products: size, and correlation in space, time and variables."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.carbon.errors import SettingsError
from emulator.data.windows import Cube
from emulator.learning.forcing_errors import (
    ForcingErrors,
    ForcingErrorSettings,
    fit_forcing_errors,
)
from emulator.learning.normalise import Normaliser, fit_normaliser
from emulator.models import RecurrentSettings
from tests.learning.cubes import chosen_years, small_cube

SAMPLES = 4000


def fitted(cube: Cube, channels: str = "both") -> Normaliser:
    model = RecurrentSettings(memory=0, forcing_channels=channels)
    return fit_normaliser(cube, chosen_years(cube, 2000, 2003), model)


def errors_of(channels: str = "both", **said: Any) -> ForcingErrors:
    cube = small_cube()
    return fit_forcing_errors(
        ForcingErrorSettings(**{"spread": {"tas": 1.0, "pr": 0.5}} | said),
        cube,
        fitted(cube, channels),
    )


def drawn(errors: ForcingErrors, months: int = 3, **changes: Any) -> torch.Tensor:
    """Return many samples in units of their size; (sample, time, channel, cell)."""
    month = torch.arange(months).expand(SAMPLES, -1) % 12
    generator = torch.Generator().manual_seed(0)
    values = replace(errors, **changes).draw(month, None, generator)
    return values / errors.size[month[0]]


def correlation(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(np.corrcoef(one.numpy(), other.numpy())[0, 1])


# The error of a correlation of 4000 samples is at most 1 / sqrt(4000) = 0.016.
NOISE = 0.06


def test_every_month_and_cell_has_the_size_that_was_said() -> None:
    values = drawn(errors_of(), months=5)
    assert values.shape == (SAMPLES, 5, 4, 3)
    assert float(values.mean(dim=0).abs().max()) < NOISE
    torch.testing.assert_close(
        values.std(dim=0), torch.ones(5, 4, 3), atol=NOISE, rtol=0
    )


def test_errors_last_as_an_ar1() -> None:
    values = drawn(errors_of(persistence=0.7), months=4)[:, :, 0, 0]
    for lag in (1, 2, 3):
        for first in range(4 - lag):
            found = correlation(values[:, first], values[:, first + lag])
            assert found == pytest.approx(0.7**lag, abs=NOISE)


def test_errors_reach_as_far_as_the_scale() -> None:
    # Cells 9 and 10 of the 45 degree grid are neighbours at 22.5 S, 45 degrees apart.
    cube, scale_km = small_cube(), 5000.0
    values = drawn(errors_of(scale_km=scale_km))[:, 0, 0]
    place = [(-22.5 if cell < 16 else 22.5, 45 * (cell % 8)) for cell in cube.cells]
    for one, other in ((0, 1), (0, 2)):
        (lat, lon), (lat_, lon_) = (
            [math.radians(x) for x in place[cell]] for cell in (one, other)
        )
        cosine = math.sin(lat) * math.sin(lat_)
        cosine += math.cos(lat) * math.cos(lat_) * math.cos(lon - lon_)
        # Through the Earth: sqrt(2 - 2 cos) radii of 6371 km.
        distance = 6371.0 * math.sqrt(2 - 2 * cosine)
        expected = math.exp(-(distance**2) / (2 * scale_km**2))
        found = correlation(values[:, one], values[:, other])
        assert found == pytest.approx(expected, abs=NOISE)


def test_errors_of_variables_go_together() -> None:
    values = drawn(errors_of(correlation={"tas pr": -0.6}))[:, 1, :, 2]
    assert correlation(values[:, 0], values[:, 1]) == pytest.approx(-0.6, abs=NOISE)
    # Anomaly and level of a variable are wrong by the same kelvin.
    torch.testing.assert_close(values[:, 2:], values[:, :2])


def test_a_correlation_of_others_changes_nothing() -> None:
    said = errors_of(correlation={"rsds pr": -0.5})
    assert torch.equal(said.mixing, torch.eye(2))


@pytest.mark.parametrize("channels", ["both", "anomaly", "level"])
def test_size_is_in_the_units_of_the_channels(channels: str) -> None:
    cube = small_cube()
    normaliser = fitted(cube, channels)
    errors = errors_of(channels, spread={"tas": 1.0}, share={"pr": 0.01})
    kelvin = torch.ones(12, 3)
    rain = 0.01 * normaliser.climatology[:, 1]
    anomaly = torch.stack([kelvin, rain], dim=1) / normaliser.deviation
    level = torch.stack([kelvin, rain], dim=1) / normaliser.forcing_deviation[:, None]
    wanted = {"both": torch.cat([anomaly, level], 1), "anomaly": anomaly}
    torch.testing.assert_close(errors.size, wanted.get(channels, level))


def test_no_error_is_larger_than_the_variability_of_its_cell() -> None:
    errors = errors_of("anomaly", spread={"tas": 1000.0, "pr": 0.0})
    torch.testing.assert_close(errors.size[:, 0], torch.ones(12, 3))
    assert float(errors.size[:, 1].abs().max()) == 0.0


def test_some_cells_have_the_errors_that_all_cells_have() -> None:
    errors = errors_of()
    month = torch.arange(4).expand(2, -1)
    cells = torch.tensor([[2, 0], [1, 2]])
    whole = errors.draw(month, None, torch.Generator().manual_seed(3))
    some = errors.draw(month, cells, torch.Generator().manual_seed(3))
    for sample in range(2):
        torch.testing.assert_close(some[sample], whole[sample][..., cells[sample]])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), persistence=st.floats(0, 0.99))
def test_errors_follow_from_the_generator(seed: int, persistence: float) -> None:
    errors = errors_of(persistence=persistence)
    month = torch.arange(6).expand(2, -1)
    one, two = (
        errors.draw(month, None, torch.Generator().manual_seed(seed)) for _ in range(2)
    )
    assert torch.equal(one, two)
    assert bool(one.isfinite().all())


def test_every_forcing_variable_needs_a_size() -> None:
    with pytest.raises(SettingsError, match=r"does not say how wrong \['pr'\] may be"):
        errors_of(spread={"tas": 1.0})


def test_errors_of_no_size_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"errors are 0 for all of \['tas', 'pr'\]"):
        errors_of(spread={"tas": 0.0, "pr": 0.0})


def test_impossible_correlations_are_refused() -> None:
    cube = replace(small_cube(), forcing_names=("tas", "pr", "rsds"))
    cube = replace(cube, forcing=torch.cat([cube.forcing, cube.forcing[:, :1]], dim=1))
    said = {"tas pr": 0.9, "pr rsds": 0.9, "tas rsds": -0.9}
    wrong = ForcingErrorSettings(
        spread={"tas": 1.0, "pr": 1.0, "rsds": 1.0}, correlation=said
    )
    with pytest.raises(SettingsError, match="no variables are correlated so at the"):
        fit_forcing_errors(wrong, cube, fitted(cube))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            {"spread": {"tas": -1.0}},
            r"errors.spread.tas is -1.0, but must be 0 or more",
        ),
        ({"share": {"pr": -1.0}}, r"errors.share.pr is -1.0, but must be 0 or more"),
        ({"spread": {"tass": 1.0}}, r"a key of .*spread is 'tass', but must be one of"),
        ({"correlation": {"tas": 0.5}}, "'tas', but must be two variables with a spa"),
        ({"correlation": {"tas tas": 0.5}}, "'tas tas', but must be two variables"),
        (
            {"correlation": {"tas pr": 1.0}},
            r"correlation.tas pr is 1.0, but must be in",
        ),
        ({"persistence": 1.0}, r"errors.persistence is 1.0, but must be in \[0, 1\)"),
        ({"scale_km": 0.0}, r"errors.scale_km is 0.0, but must be positive"),
    ],
)
def test_bad_settings_are_named(said: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ForcingErrorSettings(**said)
