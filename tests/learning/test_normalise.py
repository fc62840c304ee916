"""References and scales: fitted on training months, by hand where it matters."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from emulator.carbon.errors import SettingsError
from emulator.data.windows import Cube
from emulator.learning.normalise import (
    DEVIATION_FLOOR,
    Normaliser,
    fit_normaliser,
    seen_weather,
    take,
    weather_months,
)
from emulator.learning.references import SLOWEST_DECAY, decay_channel
from emulator.models import PointwiseSettings, RecurrentSettings
from tests.learning.cubes import chosen_years, small_cube


def fit(cube=None, first=2000, last=2003, memory=0, **model) -> Normaliser:
    cube = small_cube() if cube is None else cube
    settings = RecurrentSettings(memory=memory, **model)
    return fit_normaliser(cube, chosen_years(cube, first, last), settings)


def test_climatology_is_the_mean_of_each_calendar_month() -> None:
    cube = small_cube()
    fitted = fit(cube)
    # RUN sees months 0 to 47 of the weather, CONTROL some of the same.
    for month in range(12):
        expected = cube.forcing[month:48:12].mean(dim=0)
        torch.testing.assert_close(fitted.climatology[month], expected)
    anomaly = cube.forcing[:48] - fitted.climatology.repeat(4, 1, 1)
    torch.testing.assert_close(fitted.deviation, anomaly.square().mean(dim=0).sqrt())


def test_nothing_outside_training_is_seen() -> None:
    cube = small_cube()
    forcing, labels = cube.forcing.clone(), cube.labels.clone()
    forcing[48:] += 100.0
    labels[:, :, 48:] += 1.0
    co2 = cube.co2.clone()
    co2[:, 48:] += 1000.0
    other = replace(cube, forcing=forcing, labels=labels, co2=co2)
    for mode in ("none", "climatology", "co2"):
        one = fit(cube, label_climatology=mode)
        two = fit(other, label_climatology=mode)
        for name, value in one.state().items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, two.state()[name]), f"{mode}: {name}"


def test_memory_of_training_months_is_seen() -> None:
    cube = small_cube()
    seen = seen_weather(cube, chosen_years(cube, 2003, 2003), memory=6)
    # RUN: July 2002 to December 2003; CONTROL: its 24 months of weather.
    expected = np.zeros(72, bool)
    expected[30:48] = True
    expected[6:24] = True
    np.testing.assert_array_equal(seen, expected)


def test_calendar_month_of_weather_and_of_weather_nobody_saw() -> None:
    cube = small_cube()
    cube = replace(cube, weather=cube.weather.clone().clamp_max(30))
    month = weather_months(cube)
    assert month[:14].tolist() == [*range(12), 0, 1]
    assert (month[31:] == -1).all()


def test_weather_channels_are_anomaly_and_level() -> None:
    cube = small_cube()
    month = torch.from_numpy(weather_months(cube))
    both = fit(cube)
    channels = both.weather(cube.forcing, month)
    assert channels.shape == (72, 3, 4)
    torch.testing.assert_close(
        channels[5, 2, 0],
        (cube.forcing[5, 0, 2] - both.climatology[5, 0, 2]) / both.deviation[0, 2],
    )
    torch.testing.assert_close(
        channels[5, 2, 3],
        (cube.forcing[5, 1, 2] - both.forcing_mean[1]) / both.forcing_deviation[1],
    )
    for kind, part in (("anomaly", channels[..., :2]), ("level", channels[..., 2:])):
        alone = fit(cube, forcing_channels=kind).weather(cube.forcing, month)
        torch.testing.assert_close(alone, part)


def test_constant_forcing_is_not_blown_up() -> None:
    cube = small_cube()
    forcing = cube.forcing.clone()
    forcing[:, 0, 0] = 280.0  # one cell never changes
    forcing[:, 1] = 7.0  # one variable is the same everywhere
    fitted = fit(replace(cube, forcing=forcing))
    floor = DEVIATION_FLOOR * fitted.forcing_deviation[0]
    torch.testing.assert_close(fitted.deviation[0, 0], floor)
    assert fitted.forcing_deviation[1] == 1.0
    channels = fitted.weather(forcing, torch.from_numpy(weather_months(cube)))
    assert channels.abs().max() < 10


@pytest.mark.parametrize("slope", ["month", "annual"])
def test_co2_reference_recovers_a_line(slope: str) -> None:
    cube = small_cube()
    season = torch.arange(72) % 12
    line = (1e-9 * season + 2e-10 * (cube.co2 - 300))[:, None, :, None, None]
    cube = replace(cube, labels=line.expand(2, 1, 72, 1, 3).clone())
    fitted = fit(cube, label_climatology="co2", co2_slope=slope)
    torch.testing.assert_close(fitted.slope, torch.full((1, 12, 1, 3), 2e-10))
    # Also far outside the training months' CO2.
    found = fitted.expected(
        torch.tensor([0]), torch.tensor([[3]]), torch.tensor([[1000.0]]), None
    )
    torch.testing.assert_close(found, torch.full((1, 1, 1, 3), 3e-9 + 2e-10 * 700))


def test_slope_in_co2_uses_the_control_but_goes_through_the_reference() -> None:
    # CONTROL at 280 ppm takes up 0, RUN 1e-9 per ppm above 300: not one line. Through
    # RUN's own mean of each month, least squares by hand over both.
    cube = small_cube()
    flux = torch.stack([torch.zeros(72), 1e-9 * (cube.co2[1] - 300)])
    labels = flux[:, None, :, None, None].expand(2, 1, 72, 1, 3).clone()
    fitted = fit(
        replace(cube, labels=labels),
        label_climatology="co2",
        co2_slope="annual",
        reference_simulations=["RUN"],
    )
    over, rise = 0.0, 0.0
    for month in range(12):
        ppm = cube.co2[1, month:48:12].double()
        y = 1e-9 * (ppm - 300)
        over += float((ppm - ppm.mean()).square().sum() + 4 * (280 - ppm.mean()) ** 2)
        rise += float(
            ((ppm - ppm.mean()) * (y - y.mean())).sum()
            + 4 * (280 - ppm.mean()) * (0 - y.mean())
        )
    torch.testing.assert_close(
        fitted.slope, torch.full((1, 12, 1, 3), rise / over), rtol=1e-5, atol=0
    )


def co2_cube(slopes: list[float]) -> Cube:
    """RUN follows one slope per cell; CONTROL, at 280 ppm, is what RUN is at 300."""
    cube = small_cube()
    pattern = torch.tensor(slopes)
    step = (cube.co2[1] - 300)[:, None] * pattern
    flux = torch.stack([torch.zeros(72, 3), step])
    return replace(cube, labels=flux[:, None, :, None].clone())


def test_co2_total_follows_the_reference_simulation() -> None:
    cube = co2_cube([1e-9, 2e-9, 4e-9])
    options = {"label_climatology": "co2", "reference_simulations": ["RUN"]}
    total = fit(cube, co2_level="total", **options).slope[0, 0, 0].double()
    cells = fit(cube, **options).slope[0, 0, 0].double()
    own = torch.tensor([1e-9, 2e-9, 4e-9], dtype=torch.float64)
    assert (cells < own).all()
    assert float((total * cube.area).sum()) == pytest.approx(
        float((own * cube.area).sum()), rel=1e-5
    )
    # One factor for all cells.
    ratio = total / cells
    torch.testing.assert_close(ratio, ratio[:1].expand(3), rtol=1e-5, atol=0)


def test_co2_total_refuses_slopes_that_cancel() -> None:
    areas = small_cube().area
    slopes = [1e-9, float(-1e-9 * areas[0] / areas[1]), 0.0]
    with pytest.raises(SettingsError, match="cancel over the domain"):
        fit(
            co2_cube(slopes),
            co2_level="total",
            label_climatology="co2",
            reference_simulations=["RUN"],
        )


def test_co2_beyond_training_is_held_or_not() -> None:
    # RUN rises from 280 to 327 ppm in the four training years.
    ppm = torch.tensor([200.0, 300.0, 327.0, 500.0])
    free = fit(co2_beyond="extrapolate")
    held = fit(co2_beyond="hold")
    told = held.air(ppm) * held.co2_spread + held.co2_centre
    torch.testing.assert_close(told, torch.tensor([280.0, 300.0, 327.0, 327.0]))
    torch.testing.assert_close(free.air(ppm) * free.co2_spread + free.co2_centre, ppm)


def test_position_is_a_unit_vector_or_nothing() -> None:
    cube = small_cube()
    with_place = fit(cube, label_climatology="none").static[0]
    without = fit(cube, label_climatology="none", position=False).static[0]
    assert len(with_place) == len(without) + 3
    # Cell 9 of the 45 degree grid lies at 22.5 S, 112.5 W.
    lat, lon = np.deg2rad(-22.5), np.deg2rad(-112.5)
    expected = [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)]
    np.testing.assert_allclose(with_place[-3:, 0], expected, rtol=1e-6)


def test_climatology_of_labels_is_pooled_or_of_one_simulation() -> None:
    cube = small_cube()
    pooled = fit(cube)
    torch.testing.assert_close(
        pooled.reference[0, 4], cube.labels[:, 0, 4:48:12].mean(dim=(0, 1))
    )
    alone = fit(cube, reference_simulations=["RUN"])
    torch.testing.assert_close(
        alone.reference[0, 4], cube.labels[1, 0, 4:48:12].mean(dim=0)
    )
    left = cube.labels[1, 0, :48] - alone.reference[0].repeat(4, 1, 1)
    torch.testing.assert_close(
        alone.scale[0], left.square().mean(dim=0).sqrt(), rtol=0.1, atol=0
    )


def test_without_label_climatology_all_cells_share_mean_and_scale() -> None:
    cube = small_cube()
    fitted = fit(cube, label_climatology="none")
    values = cube.labels[:, 0, :48, 0].double()
    mean = (values * cube.area).sum() / (cube.area.sum() * 96)
    torch.testing.assert_close(fitted.reference, torch.full((1, 12, 1, 3), float(mean)))
    variance = ((values - mean).square() * cube.area).sum() / (cube.area.sum() * 96)
    scale = torch.full((1, 1, 3), float(variance.sqrt()))
    torch.testing.assert_close(fitted.scale, scale)
    with_labels = fit(cube)
    # Twelve months of climatology and one spread.
    assert with_labels.static.shape[1] == fitted.static.shape[1] + 13


def test_small_scales_are_raised_to_the_quantile() -> None:
    cube = small_cube()
    labels = cube.labels.clone()
    labels[..., 1] = 0.0
    fitted = fit(replace(cube, labels=labels), scale_floor=0.5)
    scale = fitted.scale[0, 0]
    assert scale[1] == scale[[0, 2]].min()


def test_missing_labels_leave_a_finite_reference_and_are_marked() -> None:
    cube = small_cube()
    labels = cube.labels.clone()
    labels[..., 2] = torch.nan
    labels[1, :, 7] = torch.nan
    fitted = fit(replace(cube, labels=labels))
    assert fitted.labelled[0, 0].tolist() == [True, True, False]
    for value in fitted.state().values():
        if isinstance(value, torch.Tensor):
            assert value.isfinite().all()
    torch.testing.assert_close(
        fitted.reference[0, 7, 0, 0],
        labels[[0, 0, 0, 0, 1, 1, 1], 0][
            torch.arange(7), torch.tensor([7, 19, 31, 43, 19, 31, 43]), 0, 0
        ].mean(),
    )


def test_static_channels_are_standardised() -> None:
    fitted = fit()
    static = fitted.static[0]
    # Elevation; mean and range of two forcings; place; twelve months of the label
    # together, and its spread.
    assert static.shape == (1 + 4 + 3 + 12 + 1, 3)
    alone = static[[0, 1, 2, 3, 4, -1]]
    torch.testing.assert_close(alone.mean(dim=1), torch.zeros(6), atol=1e-5, rtol=0)
    assert static[8:20].mean().item() == pytest.approx(0, abs=1e-5)
    assert static[0].tolist() == pytest.approx([-(1.5**0.5), 0, 1.5**0.5])


def test_take_chooses_cells_of_each_sample() -> None:
    values = torch.arange(2 * 12 * 3 * 5).view(2, 12, 3, 5)
    teacher, month = torch.tensor([[1], [0]]), torch.tensor([[4, 5], [6, 7]])
    cells = torch.tensor([[0, 3], [4, 4]])
    found = take(values, (teacher, month), cells)
    assert found.shape == (2, 2, 3, 2)
    assert found[1, 0, 2].tolist() == [values[0, 6, 2, 4]] * 2
    whole = take(values, (teacher, month), None)
    assert torch.equal(whole[..., [0, 3]][0], found[0])


def test_refuses_an_incomplete_year_and_unknown_reference() -> None:
    cube = small_cube()
    chosen = chosen_years(cube, 2001, 2001)
    chosen[:, 14:] = False
    with pytest.raises(SettingsError, match="do not hold every month of the year"):
        fit_normaliser(cube, chosen, PointwiseSettings())
    with pytest.raises(SettingsError, match=r"reference_simulations is \['S9'\], but"):
        fit(cube, reference_simulations=["S9"])


def test_decay_goes_by_the_temperature_of_a_place() -> None:
    # 10 degC all year, 25 degC, half a year of each, and an ice sheet.
    tas = torch.tensor([283.15, 298.15, 298.15, 220.0]).expand(12, 4).clone()
    tas[:6, 2] = 283.15
    found = decay_channel(torch.stack([0 * tas, tas], dim=1), ["pr", "tas"])
    warm = 308.56 * (1 / 56.02 - 1 / 71.02)
    wanted = [0, warm, np.log((1 + np.exp(warm)) / 2), np.log(SLOWEST_DECAY)]
    assert found.shape == (1, 1, 4)
    assert found[0, 0].tolist() == pytest.approx(wanted, rel=1e-5, abs=1e-5)
    with pytest.raises(SettingsError, match=r"network sees pr, rsds. Add tas"):
        decay_channel(tas[:, None], ["pr", "rsds"])


def test_a_flux_that_a_teacher_lacks_is_no_part_of_its_balance() -> None:
    cube = small_cube()
    labels = cube.labels.repeat(1, 1, 1, 2, 1)
    labels[:, :, :, 1] *= 3
    both = replace(cube, labels=labels, fluxes=("nbp", "fFire"))
    model = RecurrentSettings(memory=0, fluxes=["nbp", "fFire"], closure=True)
    chosen = chosen_years(both, 2000, 2003)
    has = fit_normaliser(both, chosen, model).static[:, -3:]
    # Mean of the reference, and the units of nbp and fire: 1 and 3.
    unit = fit_normaliser(both, chosen, model)
    mean = unit.reference[:, :, 0].mean(dim=1) / unit.scale[:, 0]
    torch.testing.assert_close(has[:, 0], mean)
    torch.testing.assert_close(has[:, 1], torch.ones_like(mean))
    torch.testing.assert_close(has[:, 2], torch.full_like(mean, 3.0))
    labels[:, :, :, 1] = torch.nan
    lacks = fit_normaliser(both, chosen, model).static[:, -3:]
    torch.testing.assert_close(lacks[:, :2], has[:, :2])
    assert (lacks[:, 2] == 0).all()
