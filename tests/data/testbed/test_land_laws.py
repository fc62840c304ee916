"""Tests of the laws of light use, water stress and respiration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.data.testbed import land_laws as laws

STRESS = [
    laws.quadratic_stress,
    laws.linear_stress,
    laws.sigmoid_stress,
    laws.saturating_stress,
    laws.hyperbolic_stress,
    laws.matric_stress,
]
RESPIRATION = [
    laws.lloyd_taylor,
    laws.constant_q10,
    laws.arrhenius_law,
    laws.falling_q10,
    laws.square_root_law,
    laws.bell_law,
]
LIGHT_USE = [
    laws.optimal_light_use,
    laws.unlimited_light_use,
    laws.empirical_light_use,
]


@pytest.mark.parametrize("stress", STRESS)
def test_stress_is_one_in_wet_soil_and_falls_with_drought(stress) -> None:
    wetness = np.linspace(0.0, 1.0, 101)
    found = stress(wetness)
    assert found[-1] == pytest.approx(1.0, abs=1e-6)
    assert found[0] <= 0.6 + 1e-12
    assert (np.diff(found) >= -1e-12).all()
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()


def test_no_two_stress_laws_agree() -> None:
    wetness = np.linspace(0.05, 0.9, 50)
    curves = [stress(wetness) for stress in STRESS]
    for index, one in enumerate(curves):
        for other in curves[index + 1 :]:
            assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("law", RESPIRATION)
def test_respiration_is_one_at_15_degrees_and_rises(law) -> None:
    assert law(np.array(288.15)) == pytest.approx(1.0)
    warming = law(np.linspace(265.0, 303.0, 60))
    assert (np.diff(warming) > 0).all()


def test_respiration_by_hand() -> None:
    assert laws.constant_q10(np.array(298.15)) == pytest.approx(1.5)
    # (25 + 12)^2 / 27^2 = 1.878
    assert laws.square_root_law(np.array(298.15)) == pytest.approx(1.878, abs=1e-3)
    # exp(308.56 (1/61.02 - 1/71.02)) = exp(0.7120) = 2.038
    assert laws.lloyd_taylor(np.array(298.15)) == pytest.approx(2.038, abs=2e-3)
    # exp(70000/8.314 (1/288.15 - 1/298.15)) = exp(0.9801) = 2.665
    assert laws.arrhenius_law(np.array(298.15)) == pytest.approx(2.665, abs=2e-3)


@pytest.mark.parametrize("law", RESPIRATION)
@given(celsius=st.floats(-80.0, 60.0))
def test_respiration_is_finite_and_never_negative(law, celsius: float) -> None:
    found = law(np.array(celsius + 273.15))
    assert np.isfinite(found)
    assert found >= 0


@pytest.mark.parametrize("law", LIGHT_USE)
@given(
    celsius=st.floats(-80.0, 60.0),
    vpd=st.floats(0.0, 8000.0),
    co2=st.floats(180.0, 1500.0),
    pressure=st.floats(50000.0, 105000.0),
)
def test_light_use_is_finite_and_never_negative(
    law, celsius: float, vpd: float, co2: float, pressure: float
) -> None:
    tas = np.array(celsius + 273.15)
    found = law(tas, np.array(vpd), np.array(co2), np.array(pressure))
    assert 0 <= found < 0.125


@pytest.mark.parametrize("law", LIGHT_USE)
def test_light_use_responds_as_leaves_do(law) -> None:
    def at(celsius=20.0, vpd=800.0, co2=350.0, pressure=101325.0) -> float:
        values = (celsius + 273.15, vpd, co2, pressure)
        return float(law(*(np.array(value) for value in values)))

    assert at(co2=450.0) > at()
    assert at(vpd=2500.0) < at()
    assert at(celsius=-10.0) < 0.1 * at()


def test_internal_co2_is_that_of_the_p_model() -> None:
    # Stocker et al. (2020), section 2.3: about 0.75 of ambient in temperate leaves;
    # compensation point 4.332 Pa at 25 degC and sea level.
    internal, compensation = laws._internal_co2(
        np.array(298.15), np.array(1000.0), np.array(400.0), np.array(101325.0)
    )
    assert compensation == pytest.approx(4.332, rel=1e-3)
    assert internal / (400e-6 * 101325.0) == pytest.approx(0.76, abs=0.05)


def test_suction_law_by_hand() -> None:
    # w = 0.5: suction 0.002 * 16 = 0.032 MPa; ln(1.5/0.032) / ln(750) = 0.581.
    assert laws.matric_stress(np.array(0.5)) == pytest.approx(0.581, abs=1e-3)
