"""Whether the years of a map are those of the world."""

import re

import xarray as xr

from emulator.evaluation.observed import not_applicable

_DOMAIN = re.compile(r"\b(?:land|ocean): ")


def not_of_the_world(sink_map: xr.Dataset) -> str | None:
    """Return why a map cannot stand beside observations, or None if it can.

    Where the weather is simulated its years are not those of the world: neither budget
    nor CO2 record say anything about them.
    """
    # Domains that differ are named: "land: TRENDY/GOBM; ocean: testbed".
    evidence = _DOMAIN.sub("", str(sink_map.attrs.get("evidence", "not stated")))
    return not_applicable(evidence)
