import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.carbon.adjustment import DEFINITIONS, offset_error, window_of

YEARS = np.arange(1985, 2025)


def test_land_sink_of_2025_is_a_fifth_smaller() -> None:
    # -19 % of 2.0 is 1.62; from 2015 on 0.07 less, 1.55.
    found = DEFINITIONS["gcb2025"].land(np.full(YEARS.size, 2.0), YEARS)
    np.testing.assert_allclose(found[YEARS < 2015], 1.62)
    np.testing.assert_allclose(found[YEARS >= 2015], 1.55)


def test_land_sink_of_2024_is_that_of_the_models() -> None:
    sink = np.linspace(1, 3, YEARS.size)
    np.testing.assert_array_equal(DEFINITIONS["gcb2024"].land(sink, YEARS), sink)


def test_ocean_sink_of_2025_is_half_of_models_and_half_of_products() -> None:
    # Models 2.0 + 10 % = 2.2; products 2.0 + 0.65 + 0.18 = 2.83, and JMA, which has the
    # skin, 2.65: mean 2.74. The sink is (2.2 + 2.74) / 2 = 2.47; before 1990 the
    # models move up by half of 2.74 - 2.2: 2.47, too.
    two = np.full(YEARS.size, 2.0)
    products = {"VLIZ-SOMFFN": two, "JMA-MLR": two}
    found = DEFINITIONS["gcb2025"].ocean(two, products, YEARS)
    np.testing.assert_allclose(found, 2.47)


@pytest.mark.parametrize(
    ("name", "added"), [("JMA-MLR", 0.65), ("UExP-FNN-U", 0.65), ("NIES-ML3", 0.83)]
)
def test_products_get_river_and_skin_unless_they_have_it(
    name: str, added: float
) -> None:
    ones = np.ones(YEARS.size)
    found = DEFINITIONS["gcb2025"].ocean(None, {name: ones}, YEARS)
    np.testing.assert_allclose(found, 1 + added)


def test_products_of_2024_get_the_river_alone() -> None:
    ones = np.ones(YEARS.size)
    found = DEFINITIONS["gcb2024"].ocean(None, {"NIES-ML3": ones}, YEARS)
    np.testing.assert_allclose(found, 1.65)


def test_models_alone_are_ten_percent_larger() -> None:
    found = DEFINITIONS["gcb2025"].ocean(np.full(YEARS.size, 3.0), {}, YEARS)
    np.testing.assert_allclose(found, 3.3)
    # The edition's 2024: unadjusted 3.175 of models and products became 3.389; models
    # alone explain 0.05 of each of their PgC, the skin up to 0.09.
    models, products = np.full(YEARS.size, 2.9), {"A": np.full(YEARS.size, 2.8)}
    rise = DEFINITIONS["gcb2025"].ocean(models, products, YEARS) - DEFINITIONS[
        "gcb2024"
    ].ocean(models, products, YEARS)
    np.testing.assert_allclose(rise, (0.29 + 0.18) / 2)


def test_ocean_before_1990_is_that_of_models_moved_half_way() -> None:
    # Models rise from 1.0 to 1.8 over 1985 to 1993; products exist from 1990 on and
    # are 2 higher: by 1 the models move, without a jump.
    years = np.arange(1985, 2000)
    models = 1.0 + 0.1 * (years - 1985)
    product = np.where(years < 1990, np.nan, models + 2.0 - 0.65)
    found = DEFINITIONS["gcb2024"].ocean(models, {"A": product}, years)
    np.testing.assert_allclose(found, models + 1.0)


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize(("models", "products"), [(1, 0), (0, 1), (1, 1)])
def test_a_shared_error_is_scaled_as_the_ocean_sink_is(
    name: str, models: bool, products: bool
) -> None:
    definition = DEFINITIONS[name]

    def sink(error: float) -> np.ndarray:
        level = np.full(YEARS.size, 2.0 + error)
        some = {"A": level, "B": level} if products else {}
        return definition.ocean(level if models else None, some, YEARS)

    factor = definition.ocean_factor(models=models, products=products)
    np.testing.assert_allclose(sink(0.3) - sink(0.0), 0.3 * factor)


def test_an_ocean_sink_needs_something() -> None:
    with pytest.raises(ValueError, match="needs models or products, got neither"):
        DEFINITIONS["gcb2025"].ocean(None, {}, YEARS)


def test_window_holds_its_years() -> None:
    assert window_of(2023, 4) == (2020, 2023)


def test_error_of_an_offset_by_hand() -> None:
    # 0 and 2 have the sample standard deviation 2^0.5, over the root of two years 1;
    # with a revision of 0.75 in quadrature 1.25.
    years, difference = np.array([2000, 2001]), np.array([0.0, 2.0])
    window = (2000, 2001)
    assert offset_error(difference, years, window, revision=0.0) == pytest.approx(1.0)
    assert offset_error(difference, years, window, revision=0.75) == pytest.approx(1.25)


@given(st.floats(-5, 5), st.integers(2, 20))
def test_error_of_an_offset_knows_no_level(level: float, length: int) -> None:
    years = np.arange(2000, 2020)
    difference = np.sin(years)
    window = (2020 - length, 2019)
    found = offset_error(difference + level, years, window, revision=0.1)
    longer = offset_error(difference, years, (1900, 2019), revision=0.1)
    assert found == pytest.approx(offset_error(difference, years, window, revision=0.1))
    assert found > longer > 0.1


def test_one_year_has_no_variability() -> None:
    with pytest.raises(ValueError, match="needs two of them, got 1"):
        offset_error(np.ones(1), np.array([2000]), (2000, 2000), revision=0.1)
