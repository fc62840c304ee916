"""What a night leaves for people and machines: a log, its state, and figures of health.

``log.jsonl`` has one JSON object a line and only grows; ``status.json`` says how the
last night ended and when one last went well; ``health.prom`` says the same to
Prometheus (textfile collector). The latter two are replaced whole.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from emulator.data.stores import flush

log = logging.getLogger(__name__)

LOG_FILE = "log.jsonl"
STATUS_FILE = "status.json"
HEALTH_FILE = "health.prom"

PREFIX = "sink_emulator_night"

_HELP = {
    "exit_code": "How the last night ended: 0, or the exit code of its failure.",
    # No time of an end: a night stands for the time that its map says, too.
    "last_run_timestamp_seconds": "The last night, by its begin or what now= said.",
    "last_success_timestamp_seconds": "The last night that went well, alike.",
    "last_news_timestamp_seconds": "The last night that changed the map, alike.",
    "newest_month_timestamp_seconds": "End of the newest month of the map.",
    "duration_seconds": "How long the last night took.",
    "months_predicted": "Months that the last night predicted.",
}


@dataclass
class Journal:
    """The log of one night.

    Attributes:
        root: Folder of the deployment.
        night: Name of the night: the time it stands for, ISO, UTC.
    """

    root: Path
    night: str

    def say(self, event: str, **about: Any) -> None:
        """Append a line.

        A line that cannot be written is told to stderr and otherwise let go: a full
        disk must not hide how the night ended.
        """
        line = {"time": _stamp(datetime.now(UTC)), "night": self.night, "event": event}
        text = json.dumps(line | about, default=str) + "\n"
        path = self.root / LOG_FILE
        try:
            with path.open("ab+") as file:
                # A killed night may have left half a line.
                if file.tell() and _last_byte(path) != b"\n":
                    text = "\n" + text
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            log.warning("%s cannot be written (%s): %s", path, error.strerror, text)


@dataclass(frozen=True)
class Outcome:
    """How a night ended.

    Attributes:
        exit_code: 0, or that of the failure.
        said: One sentence.
        night: The time the night stands for, UTC.
        seconds: How long it took.
        snapshot: Of the map; None if there is none.
        changed: Whether the map changed.
        predicted: Months predicted, by domain.
        newest: Newest month of the map's forcing, by domain, e.g. "2025-03".
    """

    exit_code: int
    said: str
    night: datetime
    seconds: float
    snapshot: str | None = None
    changed: bool = False
    predicted: Mapping[str, int] = field(default_factory=dict)
    newest: Mapping[str, str] = field(default_factory=dict)


def conclude(root: Path, outcome: Outcome) -> dict[str, Any]:
    """Write ``status.json`` and ``health.prom`` of a night that ended.

    What a failed night does not know stays as the night before left it.

    Returns:
        The status.

    Raises:
        OSError: If they cannot be written.
    """
    before = read_status(root)
    night = _stamp(outcome.night)
    went_well = outcome.exit_code == 0
    status: dict[str, Any] = {
        "exit_code": outcome.exit_code,
        "said": outcome.said,
        "last_run": night,
        "last_success": night if went_well else before.get("last_success"),
        "last_news": night if outcome.changed else before.get("last_news"),
        "seconds": round(outcome.seconds, 1),
        "snapshot": outcome.snapshot or before.get("snapshot"),
        "predicted": dict(outcome.predicted),
        "newest": {**before.get("newest", {}), **outcome.newest},
    }
    write_whole(root / STATUS_FILE, json.dumps(status, indent=1) + "\n")
    write_whole(root / HEALTH_FILE, metrics(status))
    return status


def read_status(root: Path) -> dict[str, Any]:
    """Return how the last night ended; {} if there was none."""
    try:
        found: dict[str, Any] = json.loads((root / STATUS_FILE).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        log.warning("%s is damaged and counts for nothing", root / STATUS_FILE)
        return {}
    return found


def read_log(root: Path) -> list[dict[str, Any]]:
    """Return the lines of the log that are whole, the oldest first."""
    path = root / LOG_FILE
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:  # of a night that was killed while it wrote
            continue
    return found


def metrics(status: Mapping[str, Any]) -> str:
    """Return a status as Prometheus reads it.

    Source:
        Prometheus, text-based exposition format 0.0.4.
    """
    months = sum(status["predicted"].values())
    values: dict[str, list[tuple[str, float]]] = {
        "exit_code": [("", status["exit_code"])],
        "duration_seconds": [("", status["seconds"])],
        "months_predicted": [("", months)],
        "newest_month_timestamp_seconds": [
            (f'{{domain="{domain}"}}', end_of_month(month).timestamp())
            for domain, month in sorted(status["newest"].items())
        ],
    }
    for name in ("last_run", "last_success", "last_news"):
        if status[name]:
            moment = datetime.fromisoformat(status[name])
            values[f"{name}_timestamp_seconds"] = [("", moment.timestamp())]
    lines = []
    for name, samples in sorted(values.items()):
        lines += [f"# HELP {PREFIX}_{name} {_HELP[name]}"]
        lines += [f"# TYPE {PREFIX}_{name} gauge"]
        lines += [f"{PREFIX}_{name}{label} {value:.15g}" for label, value in samples]
    return "\n".join(lines) + "\n"


def complaints(
    status: Mapping[str, Any],
    now: datetime,
    *,
    success_hours: float,
    month_days: float,
) -> list[str]:
    """Return what is not well with a deployment; empty if all is.

    Args:
        status: Of the last night.
        now: The time, UTC.
        success_hours: Hours after the last night that went well that are too long.
        month_days: Days after the end of the newest month that are too long.
    """
    if not status:
        return ["no night has run here"]
    found = []
    if status["exit_code"]:
        found.append(f"the last night failed ({status['exit_code']}): {status['said']}")
    last = status.get("last_success")
    age = now - datetime.fromisoformat(last) if last else None
    if age is None:
        found.append("no night has gone well yet")
    elif age > timedelta(hours=success_hours):
        hours = age / timedelta(hours=1)
        found.append(
            f"the last night that went well was {hours:.0f} hours ago, more than "
            f"{success_hours:g}"
        )
    for domain, month in sorted(status.get("newest", {}).items()):
        days = (now - end_of_month(month)) / timedelta(days=1)
        if days > month_days:
            found.append(
                f"the newest month of the {domain} is {month}, which ended "
                f"{days:.0f} days ago, more than {month_days:g}"
            )
    return found


def end_of_month(month: str) -> datetime:
    """Return the moment at which a month such as "2025-03" ends, UTC."""
    year, number = map(int, month.split("-"))
    return datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def write_whole(path: Path, text: str) -> None:
    """Write a small file under its name only when it is whole and on the disk."""
    stage = path.with_name(f".{path.name}.part")
    with stage.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    stage.replace(path)
    flush(path.parent)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
