"""Tests of the carbonate system and of gas exchange."""

import numpy as np
import PyCO2SYS
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon import seawater

TEMPERATURE, SALINITY = (
    field.ravel() for field in np.meshgrid(np.linspace(-1.8, 32, 18), [28.0, 35, 39])
)
ALKALINITY = 2.3e-3 * SALINITY / 35.0
CARBON = 2.0e-3 * SALINITY / 35.0 * (1.05 - 0.004 * TEMPERATURE)


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    """Return PyCO2SYS on the same states: Lueker K1 and K2, total scale."""
    return PyCO2SYS.sys(
        par1=ALKALINITY * 1e6,
        par2=CARBON * 1e6,
        par1_type=1,
        par2_type=2,
        temperature=TEMPERATURE,
        salinity=SALINITY,
        opt_k_carbonic=10,
        opt_total_borate=1,
        opt_pH_scale=1,
    )


def test_partial_pressure_agrees_with_pyco2sys(
    reference: dict[str, np.ndarray],
) -> None:
    found = seawater.partial_pressure(CARBON, ALKALINITY, TEMPERATURE, SALINITY)
    np.testing.assert_allclose(found, reference["pCO2"], rtol=0.005)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("k1", "k_carbonic_1"), ("k2", "k_carbonic_2"), ("kb", "k_borate")],
)
def test_constants_agree_with_pyco2sys(
    reference: dict[str, np.ndarray], ours: str, theirs: str
) -> None:
    found = getattr(seawater.constants(TEMPERATURE, SALINITY), ours)
    np.testing.assert_allclose(found, reference[theirs], rtol=1e-3)


def test_water_and_solubility_agree_with_pyco2sys(
    reference: dict[str, np.ndarray],
) -> None:
    known = seawater.constants(TEMPERATURE, SALINITY)
    np.testing.assert_allclose(known.k0, reference["k_CO2"], rtol=1e-3)
    # KW is fitted on the total scale here and converted to it there.
    np.testing.assert_allclose(known.kw, reference["k_water"], rtol=0.02)
    np.testing.assert_allclose(
        seawater.fugacity_coefficient(TEMPERATURE),
        reference["fugacity_factor"],
        rtol=1e-4,
    )


def test_ph_and_revelle_factor_agree_with_pyco2sys(
    reference: dict[str, np.ndarray],
) -> None:
    known = seawater.constants(TEMPERATURE, SALINITY)
    ph = seawater.ph_of(CARBON, ALKALINITY, known)
    np.testing.assert_allclose(ph, reference["pH"], atol=0.002)
    revelle = CARBON / seawater.buffer_capacity(CARBON, ph, known)
    np.testing.assert_allclose(revelle, reference["revelle_factor"], rtol=0.005)


def test_solubility_is_the_printed_check_value() -> None:
    # Dickson et al. (2007), chapter 5, section 7.1: ln K0 = -3.5617 at S = 35, 25 degC.
    found = seawater.solubility(np.array(25.0), np.array(35.0))
    assert np.log(found) == pytest.approx(-3.5617, abs=1e-4)


@given(
    fugacity=st.floats(150.0, 900.0),
    temperature=st.floats(-1.8, 32.0),
    salinity=st.floats(25.0, 40.0),
)
def test_equilibrium_carbon_has_the_fugacity_asked_for(
    fugacity: float, temperature: float, salinity: float
) -> None:
    state = np.array([temperature]), np.array([salinity])
    alkalinity = np.array([2.3e-3 * salinity / 35.0])
    carbon = seawater.carbon_at_equilibrium(np.array([fugacity]), alkalinity, *state)
    known = seawater.constants(*state)
    ph = seawater.ph_of(carbon, alkalinity, known)
    found = 1e6 * seawater.dissolved_co2(carbon, ph, known) / known.k0
    np.testing.assert_allclose(found, fugacity, rtol=1e-7)


def test_buffer_capacity_is_the_derivative() -> None:
    known = seawater.constants(TEMPERATURE, SALINITY)
    step = 1e-9

    def log_co2(carbon: np.ndarray) -> np.ndarray:
        ph = seawater.ph_of(carbon, ALKALINITY, known)
        return np.log(seawater.dissolved_co2(carbon, ph, known))

    slope = (log_co2(CARBON + step) - log_co2(CARBON - step)) / (2 * step)
    ph = seawater.ph_of(CARBON, ALKALINITY, known)
    capacity = seawater.buffer_capacity(CARBON, ph, known)
    np.testing.assert_allclose(slope, 1.0 / capacity, rtol=1e-5)


def test_a_good_first_guess_does_not_change_ph() -> None:
    known = seawater.constants(TEMPERATURE, SALINITY)
    cold = seawater.ph_of(CARBON, ALKALINITY, known)
    warm = seawater.ph_of(CARBON, ALKALINITY, known, start=cold + 0.01)
    np.testing.assert_allclose(warm, cold, atol=1e-9)


def test_missing_carbon_is_refused() -> None:
    known = seawater.constants(TEMPERATURE[:2], SALINITY[:2])
    carbon = np.array([2e-3, np.nan])
    with pytest.raises(ValueError, match=r"did not converge.*1 NaN.*mol kg-1"):
        seawater.ph_of(carbon, ALKALINITY[:2], known)


def test_missing_fugacity_is_refused() -> None:
    fugacity = np.array([280.0, np.nan])
    with pytest.raises(ValueError, match=r"No carbon balances.*1 NaN.*uatm"):
        seawater.carbon_at_equilibrium(
            fugacity, ALKALINITY[:2], TEMPERATURE[:2], SALINITY[:2]
        )


def test_schmidt_number_at_20_degrees() -> None:
    # Wanninkhof (2014), table 1, prints 668 for 20 degC in seawater.
    assert seawater.schmidt_number(np.array(20.0)) == pytest.approx(668, abs=1)


def test_flux_by_hand() -> None:
    # 7 m/s at 20 degC: 0.251 * 49 * (668.3 / 660)^-0.5 = 12.22 cm/h = 3.395e-5 m/s.
    velocity = seawater.transfer_velocity(np.array(49.0), np.array(20.0))
    assert velocity == pytest.approx(3.395e-5, rel=1e-3)
    # 10 uatm more in the air, K0 = 0.03 mol/kg/atm, half covered by ice:
    # 0.5 * 3.395e-5 * 0.03 * 1025 * 1e-5 = 5.22e-9 mol m-2 s-1 into the sea.
    flux = seawater.gas_flux(
        velocity, np.array(0.03), np.array(390.0), np.array(380.0), 0.5
    )
    assert flux == pytest.approx(5.22e-9, rel=1e-3)


def test_moist_air_holds_less_co2() -> None:
    # Saturated air at 20 degC over seawater holds about 2.3 % of water vapour, and
    # the fugacity coefficient is 0.9966: 400 ppm give 400 * 0.977 * 0.9966 = 389.5.
    found = seawater.air_fugacity(400.0, np.array(20.0), np.array(35.0))
    assert found == pytest.approx(389.5, abs=0.3)
