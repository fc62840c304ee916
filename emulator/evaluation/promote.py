"""Make a run the one that nights use, and write down why.

The run is copied whole into ``models/<domain>/NUMBER-RUN`` with a record of what was
compared and a model card; ``current`` then leads there.
"""

import json
import math
import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emulator.carbon.errors import CheckpointError, GateError, SettingsError
from emulator.data.stores import code_version
from emulator.data.writing import write_text
from emulator.evaluation import calibration, champion, modelcard
from emulator.evaluation.compare import read_card
from emulator.evaluation.gate import Judgement, judge
from emulator.evaluation.scores import rank
from emulator.evaluation.settings import PromoteSettings
from emulator.learning.inference import Emulator, load_emulator

Card = dict[str, Any]

SCHEMA = "promotion/1"
REFUSAL_FILE = "refusal.json"
SCORECARD_FILE = "scorecard.json"

KEPT = ("settings.yaml", "metrics.csv", "test_reads.json", "members/*/emulator.pt")
"""What is copied of every run: all that inference needs, and how it was made."""

SCORED = (SCORECARD_FILE, "scorecard.md", "figures/*.png")
CALIBRATED = ("calibration*.*",)


def promote(
    settings: PromoteSettings,
    *,
    runs_root: Path = Path("runs"),
    models_root: Path = Path("models"),
) -> Path:
    """Make a run the champion of its domain, or go back to the champion before.

    Args:
        settings: Which run, or which domain to roll back.
        runs_root: Where a run given by name lies.
        models_root: Where champions are, ``<domain>/current`` leading to one.

    Returns:
        The folder of the champion, with the run's checkpoints, its scorecard, the
        record ``promotion.json`` and the model card ``README.md``.

    Raises:
        GateError: If the run is refused. ``refusal.json`` in its folder says why.
        SettingsError: If there is no such run, or no champion to go back to.
        CheckpointError: If the run's networks cannot be read, or are not all there.
        StoreError: If the champion's folder cannot be written.
    """
    if settings.rollback:
        return champion.roll_back(settings.domain, models_root, reason=settings.reason)
    run_dir = champion.find_run(settings.run, runs_root)
    emulator = load_emulator(run_dir)
    if emulator.missing:
        raise CheckpointError(f"{run_dir} has {emulator.unfinished}")
    present = champion.current(emulator.domain, models_root)
    card, judgement = _judged(run_dir, emulator, present)
    refused = bool(judgement.objections) and not settings.force
    record = _record(run_dir, emulator, card, judgement, settings)
    if refused:
        path = run_dir / REFUSAL_FILE
        write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n")
        raise GateError(
            f"{run_dir} is not promoted. {' '.join(judgement.objections)} The numbers "
            f"are in {path}. Train a better run, or promote this one all the same "
            f"with force=true reason='WHY'."
        )
    record["previous"] = _predecessor(present, emulator)
    with champion.crowned(record["run"], emulator.domain, models_root) as folder:
        _copy(run_dir, folder, emulator, scored=card is not None)
        text = json.dumps(record, indent=1, allow_nan=False)
        (folder / champion.RECORD_FILE).write_text(text + "\n")
        (folder / modelcard.CARD_FILE).write_text(
            modelcard.model_card(emulator, record, card, modelcard.hashes(folder))
        )
    return champion.find_champion(emulator.domain, models_root)


def _judged(
    run_dir: Path, emulator: Emulator, present: Path | None
) -> tuple[Card | None, Judgement]:
    """Return the run's own scorecard, None if it has none, and the judgement."""
    try:
        card = read_card(run_dir, SCORECARD_FILE)
    except SettingsError as error:
        return None, Judgement((str(error),))
    if card["checkpoint"] != emulator.sha256:
        stale = (
            f"{run_dir / SCORECARD_FILE} belongs to other networks than those of the "
            f"run now: {card['checkpoint'][:16]}, not {emulator.sha256[:16]}. Run "
            f"`sink-emulator evaluate run={run_dir}` again."
        )
        return None, Judgement((stale,))
    note = "There was no champion before."
    rival: Card | None = None
    if present is not None:
        try:
            rival = read_card(present, SCORECARD_FILE)
        except SettingsError:
            note = "The champion was not compared: it has no scorecard of this version."
    found = judge(card, rival)
    return card, replace(found, note=found.note or note)


def _record(
    run_dir: Path,
    emulator: Emulator,
    card: Card | None,
    judgement: Judgement,
    settings: PromoteSettings,
) -> Card:
    """Return what was decided, when and by which numbers, for JSON."""
    decision = "promoted"
    if judgement.objections:
        decision = "promoted by force" if settings.force else "refused"
    headline = min(card["records"], key=rank) if card else {}
    return {
        "schema": SCHEMA,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "run": champion.bare_name(run_dir.resolve().name),
        "domain": emulator.domain,
        "evidence": emulator.attributes()["evidence"],
        "checkpoint": emulator.sha256,
        "decision": decision,
        "reason": settings.reason,
        "objections": list(judgement.objections),
        "champion": judgement.note,
        "headline": {
            name: headline[name]
            for name in ("flux", "simulation", "teacher", "years")
            if name in headline
        },
        "store_hash": emulator.attributes()["training_store_hash"],
        "comparisons": [
            {
                name: None if isinstance(value, float) and math.isnan(value) else value
                for name, value in asdict(found).items()
            }
            for found in judgement.comparisons
        ],
        "code_version": code_version(),
    }


def _predecessor(present: Path | None, emulator: Emulator) -> str | None:
    """Return whom a rollback brings back; never the same networks."""
    if present is None:
        return None
    if load_emulator(present).sha256 == emulator.sha256:
        return champion.predecessor(present)
    return present.name


def _copy(run_dir: Path, folder: Path, emulator: Emulator, *, scored: bool) -> None:
    """Copy what belongs to these networks."""
    patterns = KEPT + (SCORED if scored else ())
    path = run_dir / calibration.CALIBRATION_FILE
    if (
        path.exists()
        and calibration.read(path).about.get("checkpoint") == emulator.sha256
    ):
        patterns += CALIBRATED
    for pattern in patterns:
        for source in sorted(run_dir.glob(pattern)):
            target = folder / source.relative_to(run_dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
