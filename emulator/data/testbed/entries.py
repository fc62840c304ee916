"""The catalog entries of the testbed, written from the same layouts as its files."""

from pathlib import Path
from typing import Any

import yaml

from emulator.data.testbed import layouts
from emulator.data.testbed.land_structure import LandTeacher
from emulator.data.testbed.land_teachers import TEACHERS as LAND_TEACHERS
from emulator.data.testbed.layouts import Layout
from emulator.data.testbed.scenario import PREINDUSTRIAL_CO2, Spans
from emulator.data.testbed.weather import LAND_FORCING, OCEAN_FORCING

_COMMON = {
    "evidence": "testbed",
    "licence": "Apache-2.0, as this package",
    "citation": "sink-emulator, simulated testbed (no real model, no real weather)",
}

_FIRST_YEAR = 1700
"""First year whose weather is told: memory may reach before the first label."""

_NOTES = {
    "ALDER": "Four pools of dead carbon; fire is reported.",
    "BEECH": "Fire is part of rh: there is no fFire, and adding one would count twice.",
    "CEDAR": "No fire.",
    "HAZEL": "Harvest is taken from nbp and reported nowhere.",
    "LARCH": "Deep roots and slow soil; fire is reported.",
    "ROWAN": "Most sensitive to dry soil; fire is reported.",
    "GANNET": "Quadratic law of gas transfer.",
    "PETREL": "Cubic law of gas transfer; the sign in the files is turned.",
    "SKUA": "Linearised carbonate chemistry; mixed law of gas transfer.",
    "TERN": "Linear law of gas transfer; no season in the export.",
}


def entries(spans: Spans) -> dict[str, dict[str, Any]]:
    """Return every entry of the testbed, as plain YAML types.

    Args:
        spans: Years of the teachers' output.
    """
    made = [
        *(
            _land(teacher, layout, spans)
            for teacher, layout in zip(LAND_TEACHERS, layouts.LAND, strict=True)
        ),
        *(_ocean(layout, spans) for layout in layouts.OCEAN),
        _forcing("land", LAND_FORCING, spans),
        _forcing("ocean", OCEAN_FORCING, spans),
        _other("land", LAND_FORCING, spans),
        _other("ocean", OCEAN_FORCING, spans),
        _static(),
        _co2(spans),
    ]
    return {entry["name"]: entry for entry in made}


def write(folder: Path, spans: Spans) -> None:
    """Write every entry to ``folder``, one YAML file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, entry in entries(spans).items():
        text = yaml.dump(entry, Dumper=_Plain, sort_keys=False, width=88)
        head = "# Simulated testbed, not TRENDY. Written by emulator.data.testbed.\n"
        (folder / f"{name}.yaml").write_text(head + text, encoding="utf-8")


class _Plain(yaml.SafeDumper):
    """YAML without anchors: an entry is read and changed by people."""

    def ignore_aliases(self, data: Any) -> bool:
        """Return that no value is worth an anchor."""
        del data
        return True


def _on_one_line(dumper: _Plain, values: list[Any]) -> yaml.Node:
    """Return a list on one line if its values are plain."""
    is_flat = not any(isinstance(value, (list, dict)) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, is_flat)


_Plain.add_representer(list, _on_one_line)


def _land(teacher: LandTeacher, layout: Layout, spans: Spans) -> dict[str, Any]:
    repeat = {
        "repeat": [int(spans.cycle[0]), int(spans.cycle[-1])],
        "anchor": spans.first,
    }
    constant, rising = {"constant": PREINDUSTRIAL_CO2}, {"table": "co2_testbed"}
    fluxes = ["nbp", "gpp", "ra", "rh"]
    fluxes += ["fFire"] if teacher.fire_in == "fFire" else []
    entry = _teacher(layout, "land", fluxes, spans)
    entry["files"] = (
        f"{layout.teacher}/{{simulation}}/"
        f"{layout.teacher}_{{simulation}}_{{variable}}.nc"
    )
    entry["simulations"] = {
        "S0": {"weather": [{"years": [_FIRST_YEAR, None], **repeat}], "co2": constant},
        "S1": {"weather": [{"years": [_FIRST_YEAR, None], **repeat}], "co2": rising},
        "S2": {
            "weather": [
                {"years": [_FIRST_YEAR, spans.first - 1], **repeat},
                {"years": [spans.first, None], "same": True},
            ],
            "co2": rising,
        },
    }
    entry["nbp_contains"] = {"fFire": ["fFire"], "rh": ["fire in rh"], "none": []}[
        teacher.fire_in
    ]
    if teacher.harvest:
        entry["nbp_contains"].append("harvest")
        entry["residual"] = {
            "allowed": 0.04,
            "why": "harvest is taken from nbp, but reported in no component",
        }
    return entry


def _ocean(layout: Layout, spans: Spans) -> dict[str, Any]:
    repeated = [int(spans.cycle[0]), int(spans.cycle[-1])]
    entry = _teacher(layout, "ocean", ["fgco2"], spans)
    entry["variables"]["spco2"] = {"units": "uatm"}
    if layout.factor < 0:
        entry["variables"]["fgco2"]["sign"] = -1
    entry["files"] = (
        f"{layout.teacher}/{{variable}}_{layout.teacher}_{{simulation}}_1_gr_*.nc"
    )
    entry["simulations"] = {
        "A": {
            "weather": [
                {
                    "years": [_FIRST_YEAR, spans.first - 1],
                    "repeat": repeated,
                    "anchor": spans.first,
                },
                {"years": [spans.first, None], "same": True},
            ],
            "co2": {"table": "co2_testbed"},
        },
        "B": {
            "weather": [{"years": [_FIRST_YEAR, None], "climatology": repeated}],
            "co2": {"constant": PREINDUSTRIAL_CO2},
            "note": "The years are nominal.",
        },
    }
    return entry


def _teacher(
    layout: Layout, domain: str, fluxes: list[str], spans: Spans
) -> dict[str, Any]:
    own = {"units": layout.true_units} if layout.true_units else {}
    return {
        "name": f"testbed_{layout.teacher.lower()}",
        "label": layout.teacher,
        "kind": "teacher",
        "domain": domain,
        "reader": "trendy" if domain == "land" else "gobm",
        "description": f"{layout.teacher}, a simulated {domain} model of the testbed.",
        "note": _NOTES[layout.teacher],
        **_COMMON,
        "root": f"testbed/{domain}",
        "variables": {name: dict(own) for name in fluxes},
        "years": [spans.first, spans.last],
        "land_fraction": _fraction(layout, domain),
    }


def _fraction(layout: Layout, domain: str) -> dict[str, Any]:
    if layout.per == "cell":
        return {"treatment": "none"}
    if layout.fraction == "complement":
        name = complement_name(domain)
        return {
            "treatment": "multiply",
            "variable": name,
            "file": f"{layout.teacher}/{layout.teacher}_{name}.nc",
            "complement": True,
        }
    return {
        "treatment": "multiply",
        "variable": "landfrac" if domain == "land" else "seafrac",
        "file": "../forcing/static.nc",
    }


def complement_name(domain: str) -> str:
    """Return what the share of the other surface is called in a teacher's file."""
    return "oceanCoverFrac" if domain == "land" else "landCoverFrac"


def _forcing(domain: str, names: tuple[str, ...], spans: Spans) -> dict[str, Any]:
    return {
        "name": f"testbed_{domain}_forcing",
        "kind": "forcing",
        "domain": domain,
        "reader": "gridded",
        "description": f"Simulated weather of the testbed over {domain}.",
        "note": "Goes on for one year after the teachers end, as real forcing does.",
        **_COMMON,
        "root": "testbed/forcing",
        "files": "{variable}_testbed_*.nc",
        "variables": {name: {} for name in names},
        "years": [spans.first, spans.last + 1],
    }


def _other(domain: str, names: tuple[str, ...], spans: Spans) -> dict[str, Any]:
    """Return the entry of the second product of the same weather."""
    return {
        **_forcing(domain, names, spans),
        "name": f"testbed_{domain}_other",
        "description": f"The weather of the testbed over {domain}, by another product.",
        "note": "No teacher saw these numbers: errors of products are added.",
        "root": "testbed/forcing_other",
    }


def _static() -> dict[str, Any]:
    renamed = {"land_fraction": "landfrac", "sea_fraction": "seafrac"}
    renamed |= {"ice_fraction": "ice"}
    names = ("area", *renamed, "elevation", "sand", "clay")
    return {
        "name": "testbed_static",
        "kind": "static",
        "domain": "both",
        "reader": "gridded",
        "description": "True coastline (Natural Earth), simplified relief and soils.",
        **_COMMON,
        "root": "testbed/forcing",
        "files": "static.nc",
        "variables": {
            name: {"name": renamed[name]} if name in renamed else {} for name in names
        },
    }


def _co2(spans: Spans) -> dict[str, Any]:
    return {
        "name": "co2_testbed",
        "kind": "table",
        "domain": "both",
        "reader": "table",
        "description": "A smooth rise of CO2 close to the observed one, 1700 onwards.",
        **_COMMON,
        "root": "testbed/forcing",
        "files": "co2_testbed.csv",
        "variables": {"co2": {"units": "ppm"}},
        "table": {"year": "year"},
        "years": [_FIRST_YEAR, spans.last + 1],
    }
