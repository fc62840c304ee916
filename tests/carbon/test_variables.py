import importlib.resources
import re

import pytest

from emulator.carbon.errors import CatalogError, UnitsError
from emulator.carbon.units import conversion
from emulator.carbon.variables import VARIABLES, Variable, require_units, variable

AGREED = (
    "nbp gpp npp ra rh fFire fLuc cVeg cSoil cLitter mrso lai evapotrans fgco2 spco2 "
    "dissicos wo50 tas pr rsds rlds huss vpd sfcWind tos tosforc siconc tauu sos "
    "mlotst chlos fireobs oni roni co2_growth e_fos co2 co2_normal area "
    "land_fraction sea_fraction elevation sand clay "
    "ice_fraction forestFrac otherNaturalFrac cropFrac pastureFrac urbanFrac "
    "iceWaterFrac forestLossFrac forestGainFrac forestAge"
)
WITHOUT_STANDARD_NAME = {
    *("forestLossFrac", "forestGainFrac", "forestAge"),
    *("fireobs", "oni", "roni", "co2_growth", "e_fos"),
}


def test_vocabulary_is_the_agreed_one_and_names_are_unique() -> None:
    assert sorted(VARIABLES) == sorted(AGREED.split())
    assert all(name == field.name for name, field in VARIABLES.items())


@pytest.mark.parametrize("field", VARIABLES.values(), ids=VARIABLES)
def test_every_field_is_complete(field: Variable) -> None:
    assert field.lower < field.upper
    assert field.long_name[0].isupper()
    # A unit that its own reader does not understand could never be converted to.
    assert conversion(f" {field.units}", field.units) == (1.0, 0.0)


def test_standard_names_are_those_of_cf() -> None:
    pytest.importorskip("compliance_checker", reason="ships the CF name table")
    table = importlib.resources.files("compliance_checker").joinpath(
        "data/cf-standard-name-table.xml"
    )
    text = table.read_text("utf-8")
    for field in VARIABLES.values():
        if field.name not in WITHOUT_STANDARD_NAME:
            assert f'<entry id="{field.standard_name}">' in text, field.name


def test_fluxes_say_their_sign_and_that_they_are_carbon() -> None:
    for field in VARIABLES.values():
        if field.role == "flux":
            assert field.units == "kg m-2 s-1"
            sign = r"positive into the (land|ocean|air)"
            assert re.search(sign, field.long_name)
            assert re.search(r"arbon|production", field.long_name)


@pytest.mark.parametrize(
    ("name", "typical", "wrong_units"),
    [
        # 10 gC m-2 day-1 of a rain forest, in the units that files confuse.
        ("gpp", 1.2e-7, [1.0e-2, 10.0]),
        # 20 mol m-2 yr-1 of the strongest ocean source.
        ("fgco2", 7.6e-9, [6.3e-7, 0.24]),
        ("tas", 288.0, [15.0]),
        ("pr", 1e-4, [8.6]),
        ("tos", 15.0, [288.0]),
        ("siconc", 0.9, [90.0]),
        ("co2", 420.0, [4.2e-4]),
        ("spco2", 42.0, []),
    ],
)
def test_bounds_let_values_pass_and_stop_other_units(
    name: str, typical: float, wrong_units: list[float]
) -> None:
    field = variable(name)
    assert field.lower <= typical <= field.upper
    assert not any(field.lower <= wrong <= field.upper for wrong in wrong_units)


def test_unknown_variable_is_named() -> None:
    with pytest.raises(CatalogError, match=r"Variable 'NEE' is not in the vocabulary"):
        variable("NEE")


def test_required_unit_is_the_canonical_one() -> None:
    require_units("nbp", "kg m-2 s-1")
    with pytest.raises(UnitsError, match=r"'nbp' is in 'gC m-2 d-1', but .* needs 'kg"):
        require_units("nbp", "gC m-2 d-1")
    with pytest.raises(UnitsError, match=r"'tas' is in None"):
        require_units("tas", None)
