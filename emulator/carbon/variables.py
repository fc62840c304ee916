"""The vocabulary: every field the emulator reads or writes, defined once.

Names follow CMIP6 where it has one. Signs are settled here: ``nbp`` and ``fgco2`` are
positive *out of* the air, so a sink is positive; ``ra``, ``rh``, ``fFire`` and ``fLuc``
are positive *into* it. A product with another sign is turned once, where it is read.

Bounds are those of a plausible monthly mean in one cell. They catch a wrong unit or
an undeclared fill value, not a bad model.

Source:
    CMIP6 data request for names and signs; CF standard name table for standard names.
"""

from dataclasses import dataclass
from typing import Literal

from emulator.carbon.errors import CatalogError, UnitsError

Role = Literal["flux", "pool", "forcing", "static", "state", "index"]
Domain = Literal["land", "ocean", "both"]


@dataclass(frozen=True)
class Variable:
    """One field.

    Attributes:
        name: Name inside the package and in its stores.
        long_name: What it is, with its sign where it has one.
        standard_name: CF standard name, or None where CF has none.
        units: Canonical unit.
        role: What the emulator does with it; a ``state`` is an answer of the teacher
            that is neither a flux nor a pool of carbon, an ``index`` a number for the
            globe that stands in a table.
        domain: Where it exists.
        lower: Smallest plausible value, canonical unit.
        upper: Largest plausible value, canonical unit.
    """

    name: str
    long_name: str
    standard_name: str | None
    units: str
    role: Role
    domain: Domain
    lower: float
    upper: float


RATE = "kg m-2 s-1"
"""Canonical unit of a flux: of carbon, except for water (pr, evapotrans)."""

_LAND = 2e-6  # 173 gC m-2 day-1: fires reach a third of it, gC m-2 day-1 exceed it
_SEA = 1e-7  # 263 mol m-2 yr-1: ten times what is seen; mol m-2 s-1 exceed it
_ROUNDING = 1e-8  # 0.9 gC m-2 day-1: some models round below zero
_SLACK = 1e-3  # packed and interpolated fractions leave [0, 1] by this much

_NET = "surface_net_downward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_"
_UP = "surface_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_"
_NET_UP = "surface_net_upward_mass_flux_of_carbon_dioxide_expressed_as_carbon_due_to_"
_SINK = "surface_downward_mass_flux_of_carbon_dioxide_expressed_as_carbon"
_PRODUCTIVITY = "productivity_of_biomass_expressed_as_carbon"
_DIC = "mole_concentration_of_dissolved_inorganic_carbon_in_sea_water"
_PCO2 = "surface_partial_pressure_of_carbon_dioxide_in_sea_water"
_MIXED = "ocean_mixed_layer_thickness_defined_by_sigma_t"
_CHLOROPHYLL = (
    "mass_concentration_of_phytoplankton_expressed_as_chlorophyll_in_sea_water"
)


# One field in two or three lines reads as a table; the formatter makes ten.
# fmt: off
_ALL = (
    Variable("nbp", "Net biome production of carbon, positive into the land",
             f"{_NET}all_land_processes", RATE, "flux", "land", -_LAND, _LAND),
    Variable("gpp", "Gross primary production of carbon, positive into the land",
             f"gross_primary_{_PRODUCTIVITY}", RATE, "flux", "land", -_ROUNDING, _LAND),
    Variable("npp", "Net primary production of carbon, positive into the land",
             f"net_primary_{_PRODUCTIVITY}", RATE, "flux", "land", -_LAND, _LAND),
    Variable("ra", "Autotrophic respiration of carbon, positive into the air",
             f"{_UP}plant_respiration", RATE, "flux", "land", -_ROUNDING, _LAND),
    Variable("rh", "Heterotrophic respiration of carbon, positive into the air",
             f"{_UP}heterotrophic_respiration",
             RATE, "flux", "land", -_ROUNDING, _LAND),
    Variable("fFire", "Carbon emitted by natural fires, positive into the air",
             f"{_UP}emission_from_fires_excluding_anthropogenic_land_use_change",
             RATE, "flux", "land", -_ROUNDING, _LAND),
    Variable("fLuc", "Carbon emitted by land-use change, positive into the air",
             f"{_NET_UP}emission_from_anthropogenic_land_use_change",
             RATE, "flux", "land", -_LAND, _LAND),
    Variable("fgco2", "Air-sea flux of carbon, positive into the ocean",
             _SINK, RATE, "flux", "ocean", -_SEA, _SEA),
    # Deep peat holds a few hundred kg m-2, the tallest forests some 100.
    Variable("cVeg", "Carbon in vegetation",
             "vegetation_mass_content_of_carbon", "kg m-2", "pool", "land", 0.0, 200.0),
    Variable("cSoil", "Carbon in soil",
             "soil_mass_content_of_carbon", "kg m-2", "pool", "land", 0.0, 2000.0),
    Variable("cLitter", "Carbon in litter",
             "litter_mass_content_of_carbon", "kg m-2", "pool", "land", 0.0, 200.0),
    Variable("mrso", "Water in the soil",
             "mass_content_of_water_in_soil", "kg m-2", "state", "land", 0.0, 5e4),
    Variable("lai", "Leaf area index",
             "leaf_area_index", "1", "state", "land", 0.0, 20.0),
    Variable("evapotrans", "Evapotranspiration of water, positive into the air",
             "water_evapotranspiration_flux", RATE, "state", "land", -1e-4, 1e-3),
    Variable("spco2", "Partial pressure of CO2 in surface sea water",
             _PCO2, "Pa", "state", "ocean", 0.0, 500.0),
    Variable("dissicos", "Dissolved inorganic carbon of the surface layer",
             _DIC, "mol m-3", "state", "ocean", 0.0, 5.0),
    Variable("wo50", "Upward velocity of sea water at 50 m",
             "upward_sea_water_velocity", "m s-1", "state", "ocean", -1e-3, 1e-3),
    Variable("tas", "Near-surface air temperature",
             "air_temperature", "K", "forcing", "land", 150.0, 350.0),
    # Cherrapunji's record month is 9.3 m, 3.6e-3 kg m-2 s-1.
    Variable("pr", "Precipitation of water",
             "precipitation_flux", RATE, "forcing", "land", -_ROUNDING, 5e-3),
    Variable("rsds", "Downwelling shortwave radiation at the surface",
             "surface_downwelling_shortwave_flux_in_air",
             "W m-2", "forcing", "land", -1.0, 600.0),
    # The air above glaciers sends down some 60, that of the tropics 450.
    Variable("rlds", "Downwelling longwave radiation at the surface",
             "surface_downwelling_longwave_flux_in_air",
             "W m-2", "forcing", "land", 0.0, 700.0),
    Variable("huss", "Near-surface specific humidity",
             "specific_humidity", "1", "forcing", "land", -1e-4, 0.05),
    Variable("vpd", "Vapour pressure deficit of near-surface air",
             "water_vapor_saturation_deficit_in_air",
             "Pa", "forcing", "land", -100.0, 1e4),
    Variable("sfcWind", "Near-surface wind speed",
             "wind_speed", "m s-1", "forcing", "both", 0.0, 50.0),
    Variable("tos", "Sea surface temperature",
             "sea_surface_temperature", "degC", "forcing", "ocean", -5.0, 45.0),
    Variable("tosforc", "Sea surface temperature that drives an ocean model",
             "sea_surface_temperature", "degC", "forcing", "ocean", -5.0, 45.0),
    Variable("siconc", "Sea-ice area fraction",
             "sea_ice_area_fraction", "1", "forcing", "ocean", -_SLACK, 1.0 + _SLACK),
    Variable("tauu", "Eastward wind stress on the surface",
             "surface_downward_eastward_stress", "Pa", "forcing", "ocean", -5.0, 5.0),
    Variable("sos", "Sea surface salinity",
             "sea_surface_salinity", "1e-3", "forcing", "ocean", -1.0, 50.0),
    Variable("mlotst", "Ocean mixed-layer depth by density",
             _MIXED, "m", "forcing", "ocean", 0.0, 7000.0),
    # Products end at 1000 mg m-3; blooms reach a few hundred.
    Variable("chlos", "Chlorophyll in the surface layer of the sea",
             _CHLOROPHYLL, "kg m-3", "forcing", "ocean", 0.0, 1e-3),
    Variable("co2", "Mole fraction of CO2 in air",
             "mole_fraction_of_carbon_dioxide_in_air",
             "1e-6", "forcing", "both", 150.0, 3000.0),
    Variable("co2_normal", "Mole fraction of CO2 in air, mean of 30 years to the month",
             "mole_fraction_of_carbon_dioxide_in_air",
             "1e-6", "forcing", "both", 150.0, 3000.0),
    # Peat and deforestation fires of a month give off up to some 10 kg m-2.
    Variable("fireobs", "Carbon emitted by fires as seen from space, into the air",
             None, RATE, "forcing", "land", -_ROUNDING, 1e-5),
    # The strongest El Nino was 2.6 K.
    Variable("oni", "Oceanic Nino Index: Nino 3.4 anomaly, mean of three months",
             None, "K", "index", "both", -5.0, 5.0),
    Variable("roni", "Relative Oceanic Nino Index: the same less that of the tropics",
             None, "K", "index", "both", -5.0, 5.0),
    Variable("co2_growth", "Growth of CO2 in air from January to January",
             None, "1e-6 yr-1", "index", "both", -5.0, 10.0),
    Variable("e_fos", "Fossil emissions of carbon of the world, without carbonation",
             None, "PgC yr-1", "index", "both", 0.0, 30.0),
    # A quarter of the sphere: no map has larger cells.
    Variable("area", "Area of the grid cell",
             "cell_area", "m2", "static", "both", 0.0, 1.3e14),
    Variable("land_fraction", "Share of the cell that is land",
             "land_area_fraction", "1", "static", "both", -_SLACK, 1.0 + _SLACK),
    Variable("sea_fraction", "Share of the cell that is sea",
             "sea_area_fraction", "1", "static", "both", -_SLACK, 1.0 + _SLACK),
    Variable("ice_fraction", "Share of the cell under land ice",
             "land_ice_area_fraction", "1", "static", "land", -_SLACK, 1.0 + _SLACK),
    # CMIP6 has cropFrac and pastureFrac, in percent; its treeFrac is the cover of
    # crowns, not the area of forests, so that forestFrac has a name of its own.
    Variable("forestFrac", "Share of the cell that is forest",
             "area_fraction", "1", "static", "land", -_SLACK, 1.0 + _SLACK),
    Variable("otherNaturalFrac", "Share of the cell that is natural land but no forest",
             "area_fraction", "1", "static", "land", -_SLACK, 1.0 + _SLACK),
    Variable("cropFrac", "Share of the cell that is cropland",
             "area_fraction", "1", "static", "land", -_SLACK, 1.0 + _SLACK),
    Variable("pastureFrac", "Share of the cell that is pasture or rangeland",
             "area_fraction", "1", "static", "land", -_SLACK, 1.0 + _SLACK),
    Variable("urbanFrac", "Share of the cell that is built up",
             "area_fraction", "1", "static", "land", -_SLACK, 1.0 + _SLACK),
    Variable("iceWaterFrac", "Share of the cell under ice or water, the sea included",
             "area_fraction", "1", "static", "land", -_SLACK, 1.0 + _SLACK),
    Variable("forestLossFrac", "Share of the cell that ceases to be forest in a year",
             None, "1", "static", "land", -_SLACK, 1.0 + _SLACK),
    Variable("forestGainFrac", "Share of the cell that becomes forest in a year",
             None, "1", "static", "land", -_SLACK, 1.0 + _SLACK),
    # Older than the oldest stands that inventories date, some 1500 years.
    Variable("forestAge", "Mean age of the forest of the cell, 0 where there is none",
             None, "yr", "static", "land", 0.0, 2000.0),
    Variable("elevation", "Height of the surface above sea level",
             "surface_altitude", "m", "static", "land", -1000.0, 9000.0),
    Variable("sand", "Mass fraction of sand in soil",
             "mass_fraction_of_sand_in_soil",
             "1", "static", "land", -_SLACK, 1.0 + _SLACK),
    Variable("clay", "Mass fraction of clay in soil",
             "mass_fraction_of_clay_in_soil",
             "1", "static", "land", -_SLACK, 1.0 + _SLACK),
)
# fmt: on

VARIABLES: dict[str, Variable] = {variable.name: variable for variable in _ALL}
"""Every field by its name."""


def variable(name: str) -> Variable:
    """Return the definition of a field.

    Raises:
        CatalogError: If the vocabulary has no such field.
    """
    found = VARIABLES.get(name)
    if found is None:
        raise CatalogError(
            f"Variable {name!r} is not in the vocabulary ({', '.join(VARIABLES)}). "
            f"Correct the name; if the file calls it so, map it with 'name' in the "
            f"catalog entry."
        )
    return found


def require_units(name: str, units: str | None) -> None:
    """Raise ``UnitsError`` unless a field is in its canonical unit.

    Args:
        name: Name of the field.
        units: The unit it carries, None if it carries none.

    Raises:
        UnitsError: If the unit is another one, however it may convert: conversion
            belongs to the readers.
        CatalogError: If the vocabulary has no such field.
    """
    wanted = variable(name).units
    if units != wanted:
        raise UnitsError(
            f"Variable {name!r} is in {units!r}, but the emulator needs {wanted!r}. "
            f"Declare the unit of its file in the catalog entry and run `sink-emulator "
            f"prepare` again."
        )
