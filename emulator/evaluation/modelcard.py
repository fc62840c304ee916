"""The model card of a promoted run: ``README.md``, as model hubs read it.

What it learned from, how good it is beside the baselines, where it ends, and whom to
cite. The head is the YAML of Hugging Face's model cards.

Source:
    Mitchell et al. (2019), Model Cards for Model Reporting, FAT* '19.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import yaml

from emulator.evaluation.calibration import CALIBRATION_FILE
from emulator.evaluation.hindcast import NETWORK
from emulator.evaluation.report import score_text
from emulator.evaluation.scores import DEFINITIONS, NET_FLUXES, rank
from emulator.learning.inference import Emulator
from emulator.models import model_name

Card = dict[str, Any]

CARD_FILE = "README.md"
PACKAGE = "sink-emulator"
SHOWN = ("anomaly_r2", "shape_r2", "rmse", "annual_r2_centred", "bias")
"""Scores of the table: two of cells, three of annual totals."""

HEADLINE = ("anomaly_r2", "rmse")
"""Scores in the head, where a model hub looks for them."""


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def model_card(
    emulator: Emulator, record: Card, card: Card | None, files: Mapping[str, str]
) -> str:
    """Return the model card as Markdown.

    Args:
        emulator: The run.
        record: Of the promotion, as ``promotion.json`` has it.
        card: The run's scorecard; None if it has none.
        files: SHA-256 of the files beside the card, by path.
    """
    head = yaml.safe_dump(_head(emulator, record, card), sort_keys=False)
    lines = ["---", head.rstrip(), "---", ""]
    lines += _summary(emulator, record)
    lines += _data(emulator)
    lines += _skill(card)
    lines += _decision(record)
    lines += _limits(emulator, record, card, CALIBRATION_FILE in files)
    lines += _hashes(emulator, record, files)
    lines += _citation(emulator)
    return "\n".join(lines)


def _head(emulator: Emulator, record: Card, card: Card | None) -> Card:
    about = metadata(PACKAGE)
    head = {
        "license": about["License-Expression"].lower(),
        "library_name": PACKAGE,
        "tags": [
            *("carbon-cycle", "carbon-sink", "climate", "emulator", emulator.domain),
            *emulator.fluxes,
            *emulator.teachers,
        ],
        "evidence": record["evidence"],
    }
    if card is None:
        return head
    headline = min(card["records"], key=rank)
    scored = headline["methods"][NETWORK]
    found = {**scored.get("cells", {}), **scored.get("annual", {})}
    values = {name: found.get(name, {}).get("value") for name in HEADLINE}
    head["model-index"] = [
        {
            "name": record["run"],
            "results": [
                {
                    "task": {"type": "emulation", "name": headline["flux"]},
                    "dataset": {
                        "type": "process-model-simulation",
                        "name": f"{headline['teacher']}, {headline['simulation']}",
                        "split": f"test, {_span(card['split']['test'])}",
                    },
                    "metrics": [
                        {"type": name, "value": value}
                        for name, value in values.items()
                        if value is not None
                    ],
                }
            ],
        }
    ]
    return head


def _summary(emulator: Emulator, record: Card) -> Iterator[str]:
    flux = " and ".join(f for f in emulator.fluxes if f in NET_FLUXES) or "fluxes"
    yield f"# {record['run']}"
    yield ""
    yield f"**Evidence: {record['evidence']}.**"
    yield ""
    yield (
        f"Emulates the monthly {flux} of {', '.join(emulator.teachers)} on the "
        f"{emulator.domain}, as these models would simulate it, from forcing and CO2; "
        f"positive is uptake from the air, kg C m-2 s-1. It says nothing by itself "
        f"about the real sink."
    )
    yield ""
    yield "```python"
    yield "import emulator"
    yield ""
    yield 'fluxes = emulator.open_run("THIS FOLDER").predict(forcing)  # xarray'
    yield "```"
    yield ""


def _data(emulator: Emulator) -> Iterator[str]:
    first, about = emulator.first, emulator.attributes()
    split = first.settings["split"]
    step = 180 / emulator.grid.shape[0]
    yield "## Data"
    yield ""
    yield from _table(
        ["", ""],
        [
            ["teachers", ", ".join(emulator.teachers)],
            ["simulations", ", ".join(first.simulations)],
            ["fluxes", ", ".join(emulator.fluxes)],
            ["forcing", ", ".join((*emulator.forcing_names, "co2"))],
            ["static fields", ", ".join(first.static) or "none"],
            ["memory", f"{emulator.memory} months"],
            ["grid", f"{step:g} degrees of latitude, {len(emulator.cells)} cells"],
            ["training years", _span(split["train"])],
            ["validation years", _span(split["validation"])],
            ["test years", _span(split["test"])],
            ["fitted on", about["fitted_on"]],
            ["label climatology as input", first.model.label_climatology],
            ["network", model_name(first.model)],
            ["members", str(len(emulator.members))],
        ],
    )
    yield "Products behind it, each with a licence of its own:"
    yield ""
    yield from _table(
        ["product", "kind", "evidence", "licence", "terms of use"],
        [
            [name, *(_cell(entry.get(key)) for key in _SAID)]
            for name, entry in _entries(emulator).items()
        ],
    )


_SAID = ("kind", "evidence", "licence", "policy")


def _skill(card: Card | None) -> Iterator[str]:
    yield "## Skill"
    yield ""
    if card is None:
        yield "Not scored."
        yield ""
        return
    yield (
        f"On test years that training never saw, read {card['test_reads']} times; "
        f"the baselines have the same inputs and memory. In brackets the 95 % interval "
        f"of a block bootstrap over years. All scores are in scorecard.md."
    )
    yield ""
    headline = min(card["records"], key=rank)
    same = ("flux", "simulation", "scope")
    for record in card["records"]:
        if any(record[name] != headline[name] for name in same):
            continue
        years = record["years"]
        yield (
            f"{record['flux']} of {record['teacher']}, {record['simulation']}, "
            f"{_span((years[0], years[-1])) if years else 'no whole year'}:"
        )
        yield ""
        rows = []
        for method, found in record["methods"].items():
            scores = {**found.get("cells", {}), **found.get("annual", {})}
            rows.append([method, *(score_text(scores.get(name)) for name in SHOWN)])
        yield from _table(["method", *SHOWN], rows)
    yield from (f"- **{name}**: {DEFINITIONS[name]}" for name in SHOWN)
    yield ""


def _decision(record: Card) -> Iterator[str]:
    yield "## Promotion"
    yield ""
    yield f"{record['decision'].capitalize()} at {record['time']}."
    yield ""
    said = [*record["objections"], record["champion"]]
    if record["reason"]:
        said.append(f"Reason given: {record['reason']}")
    yield from (f"- {sentence}" for sentence in said if sentence)
    yield "- The numbers are in promotion.json."
    yield ""


def _limits(
    emulator: Emulator, record: Card, card: Card | None, calibrated: bool
) -> Iterator[str]:
    months = emulator.attributes()["training_months"]
    yield "## Limits"
    yield ""
    yield f"- The evidence is {record['evidence']}; skill elsewhere is not shown."
    yield (
        f"- It learned from {months}. Weather and CO2 beyond what these months held "
        f"are extrapolation."
    )
    yield (
        "- Another forcing product than that of training is a shift; look at both on "
        "the years they share."
    )
    yield (
        f"- Before the first month that is asked for it needs the forcing of "
        f"{emulator.needs}, on its own grid."
    )
    if calibrated:
        yield "- Intervals are calibrated for what these teachers would simulate."
    else:
        yield "- Intervals are not calibrated; the spread of networks is no error."
    yield from (f"- {caveat}" for caveat in (card or {}).get("caveats", []))
    yield ""


def _hashes(
    emulator: Emulator, record: Card, files: Mapping[str, str]
) -> Iterator[str]:
    about = emulator.attributes()
    yield "## Hashes"
    yield ""
    yield from _table(
        ["", ""],
        [
            ["checkpoint", emulator.sha256],
            ["training store", about["training_store_hash"]],
            ["code of training", about["code_version"]],
            ["code of promotion", record["code_version"]],
            *([f"sha256 of {name}", value] for name, value in files.items()),
        ],
    )


def _citation(emulator: Emulator) -> Iterator[str]:
    about = metadata(PACKAGE)
    yield "## Citation"
    yield ""
    yield f"- {about['Name']} {about['Version']}: {about['Summary']}"
    for name, entry in _entries(emulator).items():
        said = [str(entry[key]) for key in ("citation", "doi") if entry.get(key)]
        if said:
            yield f"- {name}: {' '.join(' '.join(said).split())}"
    yield ""


def _entries(emulator: Emulator) -> dict[str, Card]:
    found: dict[str, Card] = json.loads(emulator.first.about["catalog"] or "{}")
    return found


def _cell(value: object) -> str:
    """Return text for one cell of a table: one line, no bars."""
    return " ".join(str(value or "not stated").split()).replace("|", "/")


def _span(years: Any) -> str:
    first, last = years
    return f"{first}-{last}"


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""
