"""What stands behind a sink map: attributes that travel with it.

A prediction brings its own origin as attributes (`ORIGIN`); this module turns those
of both domains into what a reader of the map needs: evidence, citation, licence and
policy of every product, checkpoints, code version, vintage.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

SCHEMA = "sink-map/1"
"""Name and number of the layout; raised when a reader would have to change."""

ORIGIN = (
    "evidence",
    "catalog",
    "forcing_catalog",
    "checkpoint",
    "code_version",
    "training_store_hash",
    "own_state",
)
"""Attributes that a prediction may carry, all text. ``catalog`` and
``forcing_catalog`` are JSON objects ``{entry name: entry}`` of the products behind the
run and behind its forcing; ``own_state`` is one of inputs that are a teacher's own
answers. What is absent is called "not stated" in the map."""

_NOT_STATED = "not stated"


def root_attributes(
    predictions: Mapping[str, xr.Dataset], issued: np.datetime64, code_version: str
) -> dict[str, str]:
    """Return the root attributes of a sink map (CF-1.11, ACDD-1.3).

    Args:
        predictions: The prediction of each domain, with the attributes `ORIGIN`.
        issued: When the map was made, UTC.
        code_version: Version of this package.
    """
    domains = " and ".join(predictions)
    stamp = f"{np.datetime_as_string(issued, unit='s')}Z"
    evidence = _by_domain(predictions, "evidence")
    products = {d: _products(p) for d, p in predictions.items()}
    entries = {name: e for found in products.values() for name, e in found.items()}
    vintage = {
        domain: {
            "checkpoint": str(prediction.attrs.get("checkpoint", _NOT_STATED)),
            "trained with": str(prediction.attrs.get("code_version", _NOT_STATED)),
            "training store": str(
                prediction.attrs.get("training_store_hash", _NOT_STATED)
            ),
            "forcing": sorted(catalog(prediction, "forcing_catalog")),
            "forcing snapshot": str(
                prediction.attrs.get("forcing_snapshot", _NOT_STATED)
            ),
            "teachers": [str(name) for name in prediction["teacher"].to_numpy()],
            "last month": str(prediction["time"].to_numpy()[-1].astype("M8[M]")),
        }
        for domain, prediction in predictions.items()
    }
    own_state = {
        domain: sorted(json.loads(prediction.attrs.get("own_state", "{}")))
        for domain, prediction in predictions.items()
    }
    return {
        "Conventions": "CF-1.11, ACDD-1.3",
        "schema": SCHEMA,
        "title": f"Monthly carbon sink of {domains}, emulated ({evidence})",
        "summary": (
            "Monthly carbon uptake as process-based models (teachers) would simulate "
            "it, predicted by emulators trained on them: each teacher, ensemble mean, "
            "spread between teachers, regional and global budgets. Positive is uptake "
            "from the air."
        ),
        "keywords": "carbon cycle, carbon sink, nbp, fgco2, emulator",
        "evidence": evidence,
        "source": f"sink-emulator {code_version}, trained on process-model output",
        "code_version": code_version,
        "project": "sink-emulator",
        "history": f"{stamp}: assembled by sink-emulator {code_version}",
        "institution": _NOT_STATED,
        "date_created": stamp,
        "vintage": json.dumps({"issued": stamp, **vintage}, sort_keys=True),
        "products": json.dumps(products, sort_keys=True),
        "references": _lines(entries, "citation", "doi"),
        "acknowledgement": _lines(entries, "policy"),
        "license": (
            "Each product keeps its own licence; cite all of them. "
            + _lines(entries, "licence")
        ),
        "uncertainty": _uncertainty(predictions, own_state),
        "comment": (
            "Fluxes are per m2 of land (nbp) or of sea (fgco2), means over the "
            "month: multiply by area and by land_fraction or sea_fraction to sum."
        ),
    }


def coverage_attributes(sink_map: xr.Dataset) -> dict[str, str | float]:
    """Return ACDD's extent of a map in space and time."""
    bounds = sink_map["time_bnds"].to_numpy()
    return {
        "geospatial_lat_min": float(sink_map["lat_bnds"].min()),
        "geospatial_lat_max": float(sink_map["lat_bnds"].max()),
        "geospatial_lon_min": float(sink_map["lon_bnds"].min()),
        "geospatial_lon_max": float(sink_map["lon_bnds"].max()),
        "time_coverage_start": str(bounds[0, 0].astype("M8[D]")),
        "time_coverage_end": str(bounds[-1, 1].astype("M8[D]")),
        "time_coverage_resolution": "P1M",
    }


def of_forcing(forcing: Mapping[str, Any], run: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes that a prediction owes to its forcing.

    Args:
        forcing: Attributes of the forcing's store.
        run: Attributes of the run.
    """
    evidence = list(dict.fromkeys((run["evidence"], str(forcing.get("evidence", "")))))
    return {
        "evidence": " with forcing: ".join(filter(None, evidence)),
        "forcing_catalog": json.dumps(
            {
                name: entry
                for name, entry in json.loads(forcing.get("catalog", "{}")).items()
                if entry.get("kind") in ("forcing", "table")
            }
        ),
        "own_state": str(forcing.get("own_state", "{}")),
    }


def content_type(variable: str) -> str:
    """Return the ACDD ``coverage_content_type`` of a variable of the map."""
    if variable in ("area", "crs") or variable.endswith(
        ("_bnds", "_fraction", "_draw_area")
    ):
        return "auxiliaryInformation"
    flags = ("status", "coverage", "forcing_source", "issued", "revision")
    if variable in flags or "_interval_" in variable:
        return "qualityInformation"
    if variable.endswith(
        ("_simulated", "_std", "_half_width", "_error", "_sigma", "_flag", "_held")
    ):
        return "qualityInformation"
    return "modelResult"


def catalog(prediction: xr.Dataset, attribute: str) -> dict[str, dict[str, Any]]:
    """Return the catalog entries of a prediction, ``{name: entry}``; {} if none."""
    found: dict[str, dict[str, Any]] = json.loads(prediction.attrs.get(attribute, "{}"))
    return found


def label_years(prediction: xr.Dataset, teacher: str) -> tuple[int, int] | None:
    """Return first and last year that a teacher simulated; None if not known.

    The entry is the one whose name or label is the teacher's; one without a last
    year does not say when its files end.
    """
    for name, entry in catalog(prediction, "catalog").items():
        if entry.get("kind") in ("forcing", "table") or not entry.get("years"):
            continue
        if teacher in (name, entry.get("name"), entry.get("label")):
            first, last = entry["years"]
            return (int(first), int(last)) if last is not None else None
    return None


def forcing_names(prediction: xr.Dataset) -> set[str]:
    """Return the names of the forcing products, CO2 tables included."""
    return set(catalog(prediction, "forcing_catalog")) or {"not_stated"}


def _products(prediction: xr.Dataset) -> dict[str, dict[str, str]]:
    """Return what must be said about each product behind a prediction."""
    entries = catalog(prediction, "catalog") | catalog(prediction, "forcing_catalog")
    said = ("kind", "evidence", "citation", "doi", "licence", "policy", "known_since")
    return {
        name: {key: str(entry[key]) for key in said if entry.get(key)}
        for name, entry in sorted(entries.items())
    }


def _uncertainty(
    predictions: Mapping[str, xr.Dataset], own_state: Mapping[str, list[str]]
) -> str:
    """Return what the spreads and intervals are, and what is missing."""
    said = [
        "*_teacher_std is the spread between teachers; *_emulator_std is the spread "
        "between networks, an upper bound for the ensemble mean, not calibrated. "
        "Neither is the uncertainty of the real sink."
    ]
    for domain, prediction in predictions.items():
        about = json.loads(prediction.attrs.get("intervals", "{}"))
        if about:
            said.append(
                f"Of the {domain}, *_interval_emulation holds what the mean of "
                f"teachers would be with {about['level']:.0%} probability, up to "
                f"{about['calibrated_leads']} years after {about['last_label']}; "
                f"budget_*_interval_sink adds the spread between teachers and what the "
                f"rest of a month that is not over may change, and nothing else, so it "
                f"is too narrow for the real sink."
            )
        else:
            said.append(
                f"The {domain} run is not calibrated: no intervals, no joint draws."
            )
        if names := own_state[domain]:
            said.append(
                f"The {domain} emulator was given {', '.join(names)} as the teacher "
                f"itself simulates them, which no real forcing offers: its skill is "
                f"an upper bound."
            )
    return " ".join(said)


def _by_domain(predictions: Mapping[str, xr.Dataset], attribute: str) -> str:
    """Return an attribute that all domains share, or each domain's own."""
    found = {
        d: str(p.attrs.get(attribute, _NOT_STATED)) for d, p in predictions.items()
    }
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return "; ".join(f"{domain}: {value}" for domain, value in found.items())


def _lines(entries: Mapping[str, Mapping[str, str]], *keys: str) -> str:
    """Return one line per product with what it says under ``keys``."""
    lines = [
        f"{name}: {', '.join(entry[key] for key in keys if key in entry)}"
        for name, entry in entries.items()
        if any(key in entry for key in keys)
    ]
    return "\n".join(lines) or _NOT_STATED
