"""Model card and skill of the runs behind a page, from the files beside each run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emulator.evaluation.hindcast import NETWORK
from emulator.evaluation.modelcard import CARD_FILE, SHOWN
from emulator.evaluation.report import score_text
from emulator.evaluation.scores import DEFINITIONS, rank
from emulator.nightly.page import markup

SCORECARD = "scorecard.json"

_NAMES = {
    "anomaly_r2": "Cells, R² of anomalies",
    "shape_r2": "Cells, R² of shape",
    "rmse": "Years, RMSE",
    "annual_r2_centred": "Years, R² centred",
    "bias": "Years, bias",
}


def section(cards: Mapping[str, Path]) -> str:
    """Return the skill of each run, and its model card to unfold.

    Args:
        cards: By name, e.g. "land", the folder of a run or champion, or its
            ``README.md``. Of the folder ``scorecard.json`` and ``README.md`` are
            read, where they are.
    """
    if not cards:
        return "<p>No model card was given to this page.</p>"
    return "".join(_one(name, path) for name, path in sorted(cards.items()))


def _one(name: str, path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    parts = [f"<h3>{markup.text(name.capitalize())}</h3>"]
    scored = folder / SCORECARD
    if scored.exists():
        parts.append(_skill(json.loads(scored.read_text(encoding="utf-8"))))
    else:
        parts.append("<p>This run was not scored.</p>")
    card = folder / CARD_FILE
    if card.exists():
        text = markup.from_markdown(card.read_text(encoding="utf-8"), f"{name} card")
        parts.append(
            f"<details><summary>Model card of the {markup.text(name)} emulator"
            f'</summary><div class="card">{text}</div></details>'
        )
    return "".join(parts)


def _skill(card: Mapping[str, Any]) -> str:
    """Return the scores of the headline beside the baselines, and by teacher."""
    records = card["records"]
    if not records:
        return "<p>This run was not scored: no teacher has labels in its years.</p>"
    headline = min(records, key=rank)
    split = card["split"]
    first, last = split[split["part"]]
    about = (
        f"{headline['flux']} of {headline['teacher']}, {headline['simulation']}, "
        f"{split['part']} years {first} to {last}"
    )
    same = ("flux", "simulation", "scope")
    rest = [
        record
        for record in records
        if record is not headline and all(record[key] == headline[key] for key in same)
    ]
    head = ["Method", *(_NAMES[name] for name in SHOWN)]
    parts = [
        markup.table(
            f"{about}: the emulator beside baselines with the same inputs; "
            f"years in PgC yr⁻¹",
            head,
            [
                ["emulator" if method == NETWORK else method, *_scores(found)]
                for method, found in headline["methods"].items()
            ],
        )
    ]
    if rest:
        parts.append(
            markup.table(
                f"The emulator of each teacher, {headline['flux']}, same years",
                ["Teacher", *head[1:]],
                [[r["teacher"], *_scores(r["methods"][NETWORK])] for r in rest],
            )
        )
    meanings = "".join(
        f"<dt>{markup.text(_NAMES[name])}</dt><dd>{markup.text(DEFINITIONS[name])}</dd>"
        for name in SHOWN
    )
    count = int(card["test_reads"])
    reads = "once" if count == 1 else f"{count} times"
    parts.append(
        f'<p class="note">Evidence: {markup.text(card["evidence"])}. Training never '
        f"saw these years; their scores were read {reads}. In brackets the 95 % "
        f"interval of a block bootstrap over years.</p>"
        f"<details><summary>What the scores are</summary><dl>{meanings}</dl></details>"
    )
    return "".join(parts)


def _scores(found: Mapping[str, Any]) -> list[str]:
    scores = {**found.get("cells", {}), **found.get("annual", {})}
    return [score_text(scores.get(name)) for name in SHOWN]
