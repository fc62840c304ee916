"""The command line: what it accepts, what it says, how it ends."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from emulator import cli
from emulator.cli.descriptions import COMMANDS
from emulator.data.budget_column import BudgetColumn, workbook_for
from emulator.data.report import CheckReport, FieldReport
from tests.data import tiny_files as tiny
from tests.evaluation.published import budget_workbook


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run every test in an empty folder, without a user's own catalog or data."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("SINK_DATA", "SINK_CATALOG"):
        monkeypatch.delenv(name, raising=False)
    return folder


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert name in shown
        assert command.summary.split()[0] in shown


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_a_command_shows_examples_and_settings(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"sink-emulator {COMMANDS[name].examples[0]}" in shown
    if name != "catalog":
        assert "settings and their defaults" in shown


def test_help_of_train_names_the_networks(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["train", "--help"])
    assert "pointwise, recurrent, sinknet, unet" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_is_immediate_and_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys; from emulator.cli import main; main(sys.argv[1:]); "
        "heavy = {'torch', 'lightning', 'xarray', 'zarr', 'hydra', 'matplotlib'}; "
        "sys.exit(len(heavy & set(sys.modules)))"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, check=False
    )
    assert done.returncode == 0
    # A second is the promise; the rest is for a busy machine.
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "--frobnicate", "seed=1"], "unknown option --frobnicate"),
        (["prepare", "-m", "data=lpjwsl"], "unknown option -m"),
        (["catalog"], "say one of list, show, check"),
        (["catalog", "drop"], "say one of list, show, check"),
        (["nightly", "stats"], "say nothing, or one of run, status, health, replay"),
        (["nightly", "status", "health"], "say nothing, or one of run, status"),
        (["nightly", "--from", "2024-01-01"], "--from and --to belong to `nightly re"),
        (["catalog", "show"], "'show' takes one, 'check' and 'fetch' one or more"),
        (["catalog", "show", "biomes", "era5"], "'show' takes one, 'check' and"),
        (["catalog", "check"], "'show' takes one, 'check' and 'fetch' one or more"),
        (["catalog", "list", "--json"], "--json belongs to `catalog check`"),
        (["catalog", "list", "lpjwsl"], "'list' takes no name"),
        (["catalog", "fetch"], "'check' and 'fetch' one or more"),
    ],
)
def test_bad_usage_exits_with_two(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_catalog_lists_products(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:3] == ["lpjwsl", "teacher", "land"] for line in lines)


def test_catalog_shows_an_entry(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog", "show", "lpjwsl"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# ")
    assert "reader: trendy" in shown


def test_catalog_shows_one_model_of_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog", "show", "trendy_v14.cardamom"]) == 0
    shown = capsys.readouterr().out
    assert "trendy_v14.yaml, model 'cardamom'" in shown
    assert "label: CARDAMOM" in shown
    assert "CLASSIC" not in shown


def test_catalog_of_a_user_comes_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "coast.yaml").write_text(
        "name: coast\nkind: static\ndomain: land\nreader: gridded\n"
        "description: My own.\nfiles: coast.nc\nvariables: {area: {}}\n"
    )
    assert cli.main(["catalog", "list", "--catalog-dir", str(mine)]) == 0
    assert "My own." in capsys.readouterr().out
    assert "SINK_CATALOG" not in os.environ


def test_catalog_of_a_missing_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog", "list", "--catalog-dir", "nowhere"]) == 1
    assert "nowhere" in capsys.readouterr().err


def test_catalog_check_says_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["catalog", "check", "lpjwsl_static", "paths.data=elsewhere"]
    assert cli.main(asked) == 1
    shown = capsys.readouterr()
    assert "elsewhere/land/forcing/static.nc" in shown.out
    assert "'lpjwsl_static' cannot be used yet" in shown.err


def write_round(root: Path) -> None:
    """Write a round of two models, of which one has files, and name its folder."""
    said = {
        "name": "mine",
        "every": {
            "kind": "forcing",
            "domain": "land",
            "reader": "gridded",
            "evidence": "testbed",
            "variables": {"tas": {}},
            "years": [2000, 2001],
        },
        "models": {"one": {"files": "one.nc"}, "two": {"files": "two.nc"}},
    }
    (root / "catalog").mkdir()
    (root / "catalog" / "mine.yaml").write_text(yaml.safe_dump(said))
    warm = np.full((24, *tiny.SHAPE), 288.0, "f4")
    tiny.write(root / "one.nc", "tas", warm, units="K")


def test_catalog_check_of_a_round_passes_over_models_without_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_round(tmp_path)
    where = ["--catalog-dir", str(tmp_path / "catalog"), f"paths.data={tmp_path}"]
    assert cli.main(["catalog", "check", "mine", *where]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split()[0] == "mine.one"
    assert lines[-2].endswith("usable")
    assert lines[-1].split()[0] == "mine.two"
    assert lines[-1].endswith("no file")
    # Who asks for the model itself wants it, whatever else is asked.
    assert cli.main(["catalog", "check", "mine.two", "mine", *where]) == 1
    capsys.readouterr()
    assert cli.main(["catalog", "check", "mine.one", "mine.two", *where]) == 1
    shown = capsys.readouterr()
    assert "'mine.two' cannot be used yet: 1 problem stands above" in shown.err
    (tmp_path / "one.nc").unlink()
    assert cli.main(["catalog", "check", "mine", *where]) == 1
    assert "Not one file of mine is below" in capsys.readouterr().err


def test_catalog_check_prints_json_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_round(tmp_path)
    where = ["--catalog-dir", str(tmp_path / "catalog"), f"paths.data={tmp_path}"]
    assert cli.main(["catalog", "check", "mine", "--json", *where]) == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said) == [
        *("schema", "data", "workbook", "is_usable", "failed", "absent", "products"),
    ]
    assert said["schema"] == "catalog-check/1"
    assert (said["is_usable"], said["failed"]) == (True, [])
    assert said["absent"] == ["mine.two"]
    (product,) = said["products"]
    assert product["fields"][0]["period"] == "2000-01 to 2001-12, 24 months"
    tiny.write(tmp_path / "two.nc", "tas", np.zeros((24, *tiny.SHAPE), "f4"), units="K")
    assert cli.main(["catalog", "check", "mine", "--json", *where]) == 1
    shown = capsys.readouterr()
    said = json.loads(shown.out)
    assert (said["is_usable"], said["failed"]) == (False, ["mine.two"])
    assert "values of 'tas' lie outside" in said["products"][1]["problems"][0]
    assert "'mine.two' cannot be used yet" in shown.err


def test_the_keys_of_the_json_are_documented() -> None:
    text = (Path(__file__).parents[1] / "docs" / "catalog.md").read_text("utf-8")
    keys = {item.name for item in dataclasses.fields(CheckReport)}
    keys |= {item.name for item in dataclasses.fields(FieldReport)}
    keys |= {item.name for item in dataclasses.fields(BudgetColumn)}
    keys |= {"schema", "data", "workbook", "failed", "absent", "products"}
    keys |= {"is_usable", "is_absent", "agreement"}
    assert not {key for key in keys if f"`{key}`" not in text}


def test_catalog_check_compares_with_a_workbook(
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["catalog", "check", "lpjwsl", "workbook=GCB.xlsx"]
    assert cli.main(asked) == 1
    assert "GCB.xlsx: the name does not say the edition" in capsys.readouterr().err


def test_catalog_check_finds_the_workbook_that_was_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = tiny.entry(gates={"sign": "a tiny Earth"}).to_dict()
    said |= {"label": "ELM", "variables": {"nbp": {}}}
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "tiny.yaml").write_text(yaml.safe_dump(said))
    ones = np.full((24, *tiny.SHAPE), 2e-10, "f4")
    tiny.write(tmp_path / "tiny/S2/tiny_S2_nbp.nc", "nbp", ones)
    where = ["--catalog-dir", str(tmp_path / "catalog"), f"paths.data={tmp_path}"]
    assert cli.main(["catalog", "check", "tiny", *where]) == 0
    assert "Global Carbon Budget" not in capsys.readouterr().out
    tables = tmp_path / "tables"
    tables.mkdir()
    book = budget_workbook(tables, range(1999, 2003), {"ELM": [3.0] * 4})
    assert cli.main(["catalog", "check", "tiny", *where]) == 0
    shown = capsys.readouterr().out
    assert "S2 beside Global Carbon Budget 2024 v1.0, column 'ELM'" in shown
    # Of several that one whose last year is the round's, 2022, else the newest.
    book.rename(tables / "Global_Carbon_Budget_2023v1.1.xlsx")
    budget_workbook(tables, range(1999, 2003), {"ELM": [3.0] * 4})
    for last, edition in ((2001, 2024), (2022, 2023), (2023, 2024)):
        entry = tiny.entry(years=[2000, last])
        path = workbook_for(entry, tmp_path)
        assert path is not None
        assert f"Budget_{edition}" in path.name


def test_catalog_shows_a_round_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog", "show", "trendy_v14"]) == 0
    assert "NEVER TESTED AGAINST A REAL FILE" in capsys.readouterr().out


def test_catalog_refuses_other_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog", "list", "path.data=x"]) == 1
    assert "'path.data' is no setting of `catalog`" in capsys.readouterr().err


def test_unknown_entry_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["catalog", "show", "nothing"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(
        "sink-emulator catalog: There is no catalog entry 'nothing'"
    )
    assert "Traceback" not in shown


def test_debug_shows_where_an_error_comes_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["catalog", "show", "nothing", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m emulator.cli catalog list | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_file_that_cannot_be_written_is_one_message(
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def write(_: object) -> None:
        (empty_folder / "file").touch()
        (empty_folder / "file" / "below").write_text("")

    monkeypatch.setattr("emulator.cli._run", write)
    assert cli.main(["catalog", "list"]) == 1
    shown = capsys.readouterr().err
    assert "file/below' cannot be read or written: Not a directory" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "A disk is full. Free some space where `paths` and `out` lead"),
        (("runs/last.ckpt",), "'runs/last.ckpt' cannot be written: the disk is full"),
        (("runs/source", None, "runs/copy"), "'runs/copy' cannot be written: the"),
    ],
)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_one_message(
    names: tuple[str | None, ...],
    message: str,
    number: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: object) -> None:
        raise OSError(number, os.strerror(number), *names)

    monkeypatch.setattr("emulator.cli._run", fail)
    assert cli.main(["catalog", "list"]) == 1
    assert message in capsys.readouterr().err


def test_other_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError("no file in it")

    monkeypatch.setattr("emulator.cli._run", fail)
    with pytest.raises(OSError, match="no file in it"):
        cli.main(["catalog", "list"])


def test_interrupt_exits_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("emulator.cli._run", interrupted)
    assert cli.main(["catalog", "list"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_commands_that_make_no_run_leave_no_folder(empty_folder: Path) -> None:
    cli.main(["catalog", "list"])
    cli.main(["train", "model.widht=3"])
    cli.main(["evaluate", "run=runs/none"])
    assert not any(empty_folder.iterdir())
