import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.errors import UnitsError
from emulator.carbon.units import conversion, convert

FLUX_SPELLINGS = [
    "kg m-2 s-1",
    "kg C m-2 s-1",
    "kgC/m2/s",
    "KgC/m2.s",
    "Kg m-2 s-1",
    "kg C m$^{-2}$ s$^{-1}$",
    "kg m**-2 s**-1",
    "kg m^-2 s^-1",
    "kg/(m2 s)",
    "kg.m-2.s-1",
    "kg(C) m-2 s-1",
    "kg m\u207b\u00b2 s\u207b\u00b9",
    "kg carbon m-2 s-1",
]


@pytest.mark.parametrize("found", FLUX_SPELLINGS)
def test_every_spelling_of_a_carbon_flux_is_the_same_unit(found: str) -> None:
    assert conversion(found, "kg m-2 s-1") == (1.0, 0.0)


@pytest.mark.parametrize(
    ("found", "wanted", "scale"),
    [
        ("gC/m2/day", "kg m-2 s-1", 1e-3 / 86400),
        ("g C m-2 h-1", "kg m-2 s-1", 1e-3 / 3600),
        ("gC m-2 yr-1", "kg m-2 s-1", 1e-3 / (365.2425 * 86400)),
        ("mol m-2 s-1", "kg m-2 s-1", 12.011e-3),
        ("mol C m-2 yr-1", "kg m-2 s-1", 12.011e-3 / (365.2425 * 86400)),
        ("µmol/m2/s", "kg m-2 s-1", 12.011e-9),
        ("micromol CO2 m-2 s-1", "kg m-2 s-1", 12.011e-9),
        ("kg CO2 m-2 s-1", "kg m-2 s-1", 1 / 3.664),
        ("GtCO2 yr-1", "PgC yr-1", 1 / 3.664),
        ("MtC/yr", "PgC yr-1", 1e-3),
        ("mm/day", "kg m-2 s-1", 1 / 86400),
        ("mm", "kg m-2", 1.0),
        ("kg m-2", "mm", 1.0),
        ("m s-1", "kg m-2 s-1", 1000.0),
        ("J m-2 day-1", "W m-2", 1 / 86400),
        ("W/m^2", "W m-2", 1.0),
        ("uatm", "Pa", 0.101325),
        ("microatm", "Pa", 0.101325),
        ("hPa", "Pa", 100.0),
        ("mbar", "Pa", 100.0),
        ("N m-2", "Pa", 1.0),
        ("ppm", "1e-6", 1.0),
        ("umol mol-1", "1e-6", 1.0),
        ("mol mol-1", "1e-6", 1e6),
        ("psu", "1e-3", 1.0),
        ("g/kg", "1e-3", 1.0),
        ("10^-3", "1e-3", 1.0),
        ("1.e-3", "1e-3", 1.0),
        ("%", "1", 0.01),
        ("percent", "1", 0.01),
        ("(0 - 1)", "1", 1.0),
        ("kg kg-1", "1", 1.0),
        ("cm/h", "m s-1", 0.01 / 3600),
        ("km2", "m2", 1e6),
        ("mmol m-3", "mol m-3", 1e-3),
        ("milligram m-3", "kg m-3", 1e-6),
        ("Pascals", "hPa", 0.01),
        ("Degrees Kelvin", "K", 1.0),
    ],
)
def test_scales_are_those_by_hand(found: str, wanted: str, scale: float) -> None:
    result, offset = conversion(found, wanted)
    assert result == pytest.approx(scale, rel=1e-12)
    assert offset == 0.0


@pytest.mark.parametrize(
    "celsius", ["degC", "°C", "deg C", "degree_Celsius", "degrees_celsius", "C"]
)
def test_celsius_has_an_offset_in_both_directions(celsius: str) -> None:
    there = convert(np.array([-273.15, 0.0, 25.0]), celsius, "K")
    np.testing.assert_allclose(there, [0.0, 273.15, 298.15], atol=1e-12)
    back = convert(np.array([273.15]), "K", celsius)
    np.testing.assert_allclose(back, [0.0], atol=1e-12)
    assert conversion(celsius, "degC") == (1.0, 0.0)


@given(
    st.floats(-1e6, 1e6),
    st.sampled_from(
        [
            ("gC/m2/day", "mol m-2 s-1"),
            ("kg m-2 s-1", "PgC m-2 yr-1"),
            ("uatm", "hPa"),
            ("degC", "K"),
            ("ppm", "%"),
            ("mm day-1", "kg m-2 s-1"),
        ]
    ),
)
def test_there_and_back_is_the_same_value(value: float, pair: tuple[str, str]) -> None:
    there = convert(np.array([value]), *pair)
    back = convert(there, pair[1], pair[0])
    np.testing.assert_allclose(back, [value], rtol=1e-12, atol=1e-9)


def test_floating_type_and_shape_are_kept_and_integers_become_float64() -> None:
    single = convert(np.ones((2, 3), np.float32), "degC", "K")
    assert (single.dtype, single.shape) == (np.float32, (2, 3))
    assert convert(np.array([1]), "hPa", "Pa").dtype == np.float64


def test_nothing_is_copied_where_nothing_changes() -> None:
    values = np.ones(3, np.float32)
    assert convert(values, "kgC/m2/s", "kg m-2 s-1") is values


def test_missing_values_stay_missing() -> None:
    assert np.isnan(convert(np.array([np.nan]), "gC/m2/day", "kg m-2 s-1")).all()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("", r"A field has no unit. Declare it as 'units'"),
        ("kgC m-2 month-1", r"'kgC m-2 month-1' is per month, .* no fixed length"),
        ("mm/month", r"is per month"),
        ("furlong m-2", r"'furlong m-2' is not understood \('furlong' is unknown\)"),
        ("hPa kg?", r"is not understood \('kg\?' is unknown\)"),
        ("K", r"'K' cannot become 'kg m-2 s-1': the two are of different kinds"),
        ("kg m-2", r"of different kinds"),
        ("PgC yr-1", r"of different kinds.*declare the true one as 'units'"),
    ],
)
def test_unknown_and_unfitting_units_are_refused(found: str, message: str) -> None:
    with pytest.raises(UnitsError, match=message):
        convert(np.ones(1), found, "kg m-2 s-1")
