"""The four ocean teachers; named after sea birds, so that nobody takes them for real.

Gas transfer and alkalinity laws are published ones; depths, renewal and export are
set so that each takes up 1 to 4 PgC a year in the last decade.
"""

from emulator.data.testbed import ocean_laws as laws
from emulator.data.testbed.ocean import OceanTeacher

TEACHERS = (
    OceanTeacher(
        name="GANNET",
        transfer=laws.quadratic_transfer,
        alkalinity=laws.conservative_alkalinity,
        full_chemistry=True,
        column=370.0,
        diffusion=1.2e-4,
        renewal=90.0,
        upwelling=150.0,
        export=3.0,
        bloom=1.0,
        pattern=1.0,
        surplus=0.075,
    ),
    OceanTeacher(
        name="PETREL",
        transfer=laws.cubic_transfer,
        alkalinity=laws.fitted_alkalinity,
        full_chemistry=True,
        column=430.0,
        diffusion=0.8e-4,
        renewal=110.0,
        upwelling=180.0,
        export=2.0,
        bloom=0.5,
        pattern=1.2,
        surplus=0.09,
    ),
    OceanTeacher(
        name="SKUA",
        transfer=laws.mixed_transfer,
        alkalinity=laws.conservative_alkalinity,
        full_chemistry=False,
        column=340.0,
        diffusion=1.6e-4,
        renewal=75.0,
        upwelling=130.0,
        export=3.5,
        bloom=1.5,
        pattern=0.9,
        surplus=0.06,
    ),
    OceanTeacher(
        name="TERN",
        transfer=laws.linear_transfer,
        alkalinity=laws.fitted_alkalinity,
        full_chemistry=True,
        column=400.0,
        diffusion=1.0e-4,
        renewal=100.0,
        upwelling=160.0,
        export=1.5,
        bloom=0.0,
        pattern=1.1,
        surplus=0.08,
    ),
)
"""No two share the laws of transfer, alkalinity and export."""
