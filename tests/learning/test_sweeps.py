import json
from pathlib import Path

import pytest

from emulator.carbon.errors import SettingsError
from emulator.learning.settings import run_id, write_settings
from emulator.learning.sweeps import (
    Job,
    Sweep,
    is_finished,
    read_sweeps,
    sweep_folder,
    write_sweep,
)
from tests.learning.runs import tiny_settings


def sweep(root: Path, name: str = "trial") -> Sweep:
    jobs = (Job("a-0", {"model": "unet", "seed": "0"}), Job("a-1", {}, "no memory"))
    return Sweep(sweep_folder(name, root), root, jobs)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = sweep(tmp_path)
    path = write_sweep(written)
    assert path == tmp_path / "sweeps" / "trial" / "sweep.json"
    by_name = read_sweeps("trial", tmp_path)
    assert by_name == [written]
    assert read_sweeps(str(path.parent), Path("elsewhere")) == by_name
    assert [job.run for job in written.unfinished()] == ["a-0", "a-1"]


def test_a_star_finds_sweeps_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("trial_ocean", "trial_land", "other"):
        write_sweep(sweep(tmp_path / "runs", name))
    found = read_sweeps("trial_*", tmp_path / "runs")
    assert [each.folder.name for each in found] == ["trial_land", "trial_ocean"]
    monkeypatch.chdir(tmp_path)
    (relative,) = read_sweeps("runs/sweeps/other", Path("elsewhere"))
    assert relative.run_dir(relative.jobs[0]) == Path("runs/a-0")


def test_an_absent_or_damaged_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no sweep 'trial'.*Sweeps there: none"):
        read_sweeps("trial", tmp_path)
    path = write_sweep(sweep(tmp_path))
    with pytest.raises(SettingsError, match=r"Sweeps there: trial\. "):
        read_sweeps("other", tmp_path)
    path.write_text('{"schema": "sweep/1", "jo')
    with pytest.raises(SettingsError, match="is no record of a sweep"):
        read_sweeps("trial", tmp_path)
    path.write_text(json.dumps({"schema": "sweep/0", "jobs": []}))
    with pytest.raises(SettingsError, match="schema 'sweep/0', not 'sweep/1'"):
        read_sweeps("trial", tmp_path)


def test_a_run_is_finished_with_its_last_member(tmp_path: Path) -> None:
    settings = tiny_settings(members=2, seed=5)
    folder = tmp_path / run_id(settings)
    assert not is_finished(folder)
    folder.mkdir()
    write_settings(settings, folder)
    for seed in (5, 6):
        assert not is_finished(folder)
        (folder / "members" / str(seed)).mkdir(parents=True)
        (folder / "members" / str(seed) / "emulator.pt").touch()
    assert is_finished(folder)
