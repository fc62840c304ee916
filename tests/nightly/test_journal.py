"""What a night leaves behind: whole lines, whole files, figures of health."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from emulator.nightly import journal
from emulator.nightly.journal import Journal, Outcome

NOW = datetime(2025, 3, 1, 3, tzinfo=UTC)
WELL = Outcome(
    exit_code=0,
    said="land: 1 months predicted",
    night=NOW,
    seconds=12.34,
    snapshot="ABC",
    changed=True,
    predicted={"land": 1, "ocean": 2},
    newest={"land": "2025-02", "ocean": "2024-12"},
)


def test_lines_are_json_and_only_added(tmp_path: Path) -> None:
    for event in ("begun", "done"):
        Journal(tmp_path, "tonight").say(event, path=tmp_path, count=3)
    lines = journal.read_log(tmp_path)
    assert [line["event"] for line in lines] == ["begun", "done"]
    assert lines[0]["night"] == "tonight"
    assert lines[0]["path"] == str(tmp_path)
    assert lines[0]["count"] == 3
    assert datetime.fromisoformat(lines[0]["time"]).tzinfo is not None


def test_half_a_line_of_a_killed_night_spoils_no_other(tmp_path: Path) -> None:
    Journal(tmp_path, "one").say("begun")
    with (tmp_path / journal.LOG_FILE).open("a") as file:
        file.write('{"time": "2025-')
    Journal(tmp_path, "two").say("begun")
    assert [line["night"] for line in journal.read_log(tmp_path)] == ["one", "two"]


def test_a_log_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / journal.LOG_FILE).mkdir()
    Journal(tmp_path, "one").say("begun")
    assert "cannot be written" in caplog.text
    assert '"begun"' in caplog.text


def test_status_keeps_what_a_failed_night_does_not_know(tmp_path: Path) -> None:
    assert journal.read_status(tmp_path) == {}
    journal.conclude(tmp_path, WELL)
    later = NOW + timedelta(days=1)
    journal.conclude(tmp_path, Outcome(3, "the source is down", later, 1.0))
    status = journal.read_status(tmp_path)
    assert status["exit_code"] == 3
    assert status["said"] == "the source is down"
    assert status["last_run"] == "2025-03-02T03:00:00+00:00"
    assert status["last_success"] == status["last_news"] == "2025-03-01T03:00:00+00:00"
    assert status["snapshot"] == "ABC"
    assert status["newest"] == {"land": "2025-02", "ocean": "2024-12"}
    journal.conclude(tmp_path, replace(WELL, changed=False, night=later))
    status = journal.read_status(tmp_path)
    assert status["last_success"] == "2025-03-02T03:00:00+00:00"
    assert status["last_news"] == "2025-03-01T03:00:00+00:00"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "health.prom",
        "status.json",
    ]


def test_status_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    flush, rename = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        done.append(f"flush {Path(f'/proc/self/fd/{handle}').readlink().name}")
        flush(handle)

    def named(path: Path, target: Path) -> Path:
        done.append(f"name {target.name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", named)
    journal.conclude(tmp_path, WELL)
    assert done == [
        step
        for file in ("status.json", "health.prom")
        for step in (f"flush .{file}.part", f"name {file}", f"flush {tmp_path.name}")
    ]


def test_damaged_status_counts_for_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / journal.STATUS_FILE).write_text('{"exit')
    assert journal.read_status(tmp_path) == {}
    assert "damaged" in caplog.text


def test_figures_are_what_prometheus_reads(tmp_path: Path) -> None:
    journal.conclude(tmp_path, WELL)
    lines = (tmp_path / journal.HEALTH_FILE).read_text().splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    stamp = str(int(NOW.timestamp()))
    assert samples["sink_emulator_night_last_success_timestamp_seconds"] == stamp
    assert samples["sink_emulator_night_exit_code"] == "0"
    assert samples["sink_emulator_night_months_predicted"] == "3"
    assert samples["sink_emulator_night_duration_seconds"] == "12.3"
    # December 2024 ends with the year.
    december = 'sink_emulator_night_newest_month_timestamp_seconds{domain="ocean"}'
    assert samples[december] == str(int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()))
    for name in {line.split("{")[0].split(" ")[0] for line in samples}:
        assert f"# TYPE {name} gauge" in lines
        assert any(line.startswith(f"# HELP {name} ") for line in lines)
    # The night lasted 12 s, but it stands for its begin.
    assert samples["sink_emulator_night_last_run_timestamp_seconds"] == stamp
    said = next(line for line in lines if "HELP sink_emulator_night_last_run" in line)
    assert said.endswith("The last night, by its begin or what now= said.")


def test_a_deployment_is_well_or_says_why_not(tmp_path: Path) -> None:
    limits = {"success_hours": 50.0, "month_days": 20.0}
    assert journal.complaints({}, NOW, **limits) == ["no night has run here"]
    status = journal.conclude(tmp_path, WELL)
    (old,) = journal.complaints(status, NOW, **limits)
    assert old.startswith("the newest month of the ocean is 2024-12, which ended 59 d")
    assert not journal.complaints(status, NOW, success_hours=1, month_days=60)
    late = NOW + timedelta(hours=51)
    assert any(
        "51 hours ago" in one for one in journal.complaints(status, late, **limits)
    )
    status = journal.conclude(tmp_path / "", Outcome(4, "odd", late, 1.0))
    assert "the last night failed (4): odd" in journal.complaints(
        status, late, **limits
    )
    never = json.loads(json.dumps(status)) | {"last_success": None}
    assert "no night has gone well yet" in journal.complaints(never, late, **limits)
