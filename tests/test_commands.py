"""The commands one after the other, as a user types them, on a tiny simulated Earth."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import yaml

from emulator import cli
from emulator.data.testbed import generate
from tests.evaluation.published import budget_workbook

Command = Callable[..., tuple[int, str, str]]

QUICK = (
    "model=pointwise",
    "learning.steps=4",
    "learning.validate_every=2",
    "learning.warmup_steps=1",
    "learning.cells_per_batch=32",
    "machine.threads=1",
)
OWN = {
    "data": "name: tiny\nyears: [2000, 2009]\nhistory_years: 3\n",
    "split": "train: [2000, 2009]\nvalidation: [2004, 2005]\ntest: [2008, 2009]\n",
}


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten years of the testbed at 15 degrees, and data configs for them."""
    root = tmp_path_factory.mktemp("earth")
    generate(root / "data", grid_step=15, first=2000, last=2009)
    for group, text in OWN.items():
        (root / "conf" / group).mkdir(parents=True)
        for domain in ("land", "ocean"):
            named = text.replace("tiny", f"tiny_{domain}")
            (root / "conf" / group / f"tiny_{domain}.yaml").write_text(
                f"defaults: [testbed_{domain}, _self_]\n{named}"
            )
    return root


@pytest.fixture
def here(earth: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder to work in, the tiny Earth in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SINK_DATA", str(earth / "data"))
    monkeypatch.setenv("SINK_CATALOG", str(earth / "data" / "testbed" / "catalog"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


@pytest.fixture
def run(earth: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a command: exit code, stdout, stderr."""
    assert here.is_dir()

    def command(name: str, *arguments: str) -> tuple[int, str, str]:
        code = cli.main([name, *arguments, "--config-dir", str(earth / "conf")])
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def path_of(what: str, said: str) -> Path:
    """Return the path in a line such as ``run: runs/x (found)``."""
    line = next(line for line in said.splitlines() if line.startswith(f"{what}: "))
    return Path(line.removeprefix(f"{what}: ").split(" (")[0])


def test_prepare_makes_a_store_and_then_finds_it(run: Command, here: Path) -> None:
    code, said, wrong = run("prepare", "data=tiny_ocean")
    assert (code, wrong) == (0, "")
    store = path_of("store", said)
    assert store.parent == Path("stores")
    assert xr.open_zarr(store).attrs["evidence"] == "testbed"
    code, said, _ = run("prepare", "data=tiny_ocean")
    assert (code, said) == (0, f"store: {store} (found)\n")
    assert [path.name for path in here.iterdir()] == ["stores"]


def test_prepare_makes_a_store_of_forcing(run: Command) -> None:
    chosen = "forcing=testbed_weather_ocean"
    code, said, _ = run("prepare", chosen, "forcing.years=[2008,2010]")
    assert code == 0
    forcing = xr.open_zarr(path_of("store", said))
    assert "tos" in forcing
    assert "fgco2" not in forcing


def test_from_files_to_a_sink_map(run: Command, here: Path) -> None:
    runs = {}
    for domain in ("land", "ocean"):
        code, said, wrong = run("train", f"data=tiny_{domain}", *QUICK)
        assert (code, wrong) == (0, "")
        runs[domain] = path_of("run", said)
        assert runs[domain].parent == Path("runs")
        assert "=" not in runs[domain].name
        settings = yaml.safe_load((runs[domain] / "settings.yaml").read_text())
        assert settings["learning"]["steps"] == 4

    # The same settings find the finished run and leave its networks alone.
    (network,) = runs["ocean"].glob("members/*/emulator.pt")
    written = network.stat().st_mtime_ns
    _, said, _ = run("train", "data=tiny_ocean", *QUICK)
    assert path_of("run", said) == runs["ocean"]
    assert network.stat().st_mtime_ns == written

    early = ("origins=[2005]", "leads=1", "level=0.5")
    code, said, wrong = run("calibrate", f"run={runs['ocean']}", *early)
    assert (code, wrong) == (0, "")
    assert path_of("calibration", said) == runs["ocean"] / "calibration.json"

    baselines = "baselines.names=[climatology,trend]"
    code, said, wrong = run("evaluate", f"run={runs['ocean']}", baselines, "regions=[]")
    assert code == 0, wrong
    assert path_of("scores", said) == runs["ocean"] / "scorecard.md"
    assert (runs["ocean"] / "scorecard.json").is_file()

    code, said, wrong = run("promote", f"run={runs['ocean']}")
    assert code == 1
    assert "lacks the baselines persistence, ridge, lightgbm" in wrong
    forced = ("force=true", "reason='hardly trained, for a test'")
    code, said, wrong = run("promote", f"run={runs['ocean']}", *forced)
    assert code == 0, wrong
    assert path_of("champion", said).name == f"0001-{runs['ocean'].name}"

    chosen = [f"land={runs['land'].name}", "ocean=current"]
    code, said, wrong = run("predict", *chosen, "out=maps")
    assert code == 0, wrong
    sink = xr.open_zarr(path_of("sink map", said))
    assert sink.attrs["evidence"] == "testbed"
    assert np.isfinite(sink["nbp_mean"]).any()
    assert np.isfinite(sink["fgco2_mean"]).any()
    # Forcing goes on for a year after the teachers end.
    assert sink.indexes["time"][-1].strftime("%Y-%m") == "2010-12"
    assert (here / "maps" / "sink.nc").is_file()
    left = ["maps", "models", "runs", "stores"]
    assert sorted(path.name for path in here.iterdir()) == left


def test_years_are_estimated_as_of_earlier_dates(run: Command, here: Path) -> None:
    stated = ("data=tiny_ocean", *QUICK, "model.memory=0")
    dates = (
        "backcast.years=[2008,2009]",
        "backcast.months_known=[6,12]",
        "backcast.validation_years=1",
        "backcast.adjust_years=4",
    )
    code, said, wrong = run("backcast", *stated, *dates)
    assert (code, wrong) == (0, "")
    table = path_of("backcast", said)
    assert "Evidence: testbed." in table.read_text()
    ends = {*(".md", ".json", ".csv", ".png")}
    assert {path.suffix for path in table.parent.glob("backcast.*")} == ends
    # The years are test years: that they were looked at is noted.
    folder = table.parents[2]
    assert len(json.loads((folder / "test_reads.json").read_text())) == 1

    # A run that is trained so finds what the same settings made.
    _, said, _ = run("train", *stated)
    assert path_of("run", said) == folder
    networks = sorted(folder.rglob("editions/*/members/*/emulator.pt"))
    assert len(networks) == 3
    written = [path.stat().st_mtime_ns for path in networks]
    code, said, wrong = run("backcast", f"run={folder.name}", *dates)
    assert (code, wrong) == (0, "")
    assert path_of("backcast", said) == table
    assert [path.stat().st_mtime_ns for path in networks] == written
    assert here.is_dir()


def test_few_models_of_an_edition_stand_for_all(run: Command, here: Path) -> None:
    rng = np.random.default_rng(0)
    models = {name: list(rng.normal(2, 1, 30)) for name in "ABC"}
    book = budget_workbook(here, range(1971, 2001), models)
    few = ("ensembles.live=[1,2]", "ensembles.windows=[4]", "out=few")
    code, said, wrong = run("ensembles", f"workbook={book}", *few)
    assert (code, wrong) == (0, "")
    table = path_of("ensembles", said)
    assert table == Path("few/ensembles.md")
    assert "| live models | mean-adjusted on 4 years |" in table.read_text()
    assert {path.suffix for path in (here / "few").iterdir()} == {".csv", ".md", ".png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate"], "evaluate needs a run: give run=RUN"),
        (["evaluate", "run=runs/none"], "runs/none"),
        (["calibrate"], "calibrate needs a run: give run=RUN"),
        (["calibrate", "run=runs/none"], "runs/none"),
        (["backcast"], "backcast needs networks: give run=RUN"),
        (["backcast", "run=runs/none"], "runs/none"),
        (["backcast", "run=a", "data=tiny_ocean"], "data, split from run=a"),
        (["backcast", "run=a", "seed=1"], "backcast takes seed from run=a"),
        (
            ["backcast", "experiment=e1"],
            "crujra_era5, land_static. Write them in a folder",
        ),
        (["backcast", "experiment=e2"], "crujra_era5, land_static"),
        (["evaluate", "sweep=none"], "There is no sweep 'none'"),
        (["compare", "sweep=none"], "There is no sweep 'none'"),
        (["compare", "runs=[runs/one]"], "compare needs two runs or more"),
        (
            ["train", "-m", "data=tiny_ocean", "paths.runs=a,b"],
            "The sweep puts runs into 2 folders",
        ),
        (["ensembles"], "ensembles needs an edition of the Global Carbon Budget"),
        (
            ["adapt", "run=x"],
            "adapt needs a run and a store with a teacher that it never",
        ),
        (["ensembles", "workbook=none.xlsx"], "none.xlsx: the name does not say"),
        (["promote"], "promote needs one of two"),
        (["promote", "run=runs/none"], "runs/none"),
        (["promote", "rollback=true", "domain=land"], "The land has no champion"),
        (["predict", "land=current"], "The land has no champion"),
        (["predict"], "predict needs a run"),
        (["predict", "land=runs/none"], "runs/none"),
        (["prepare", "data=tiny_ocean", "paths.stores=/dev/null"], "/dev/null"),
        (["train", "data=tiny_ocean", "modle=unet"], "'modle' is no setting of"),
        (["train", "data=tiny_ocean", "paths.data=none"], "none/testbed/"),
    ],
)
def test_a_users_error_is_one_message(
    run: Command, here: Path, arguments: list[str], message: str
) -> None:
    code, _, wrong = run(*arguments)
    assert code == 1
    assert wrong.startswith(f"sink-emulator {arguments[0]}: ")
    assert message in wrong
    assert "Traceback" not in wrong
    assert not list(here.rglob("*.zarr"))


def test_a_sweep_goes_on_where_runs_fail_and_is_compared(
    run: Command, here: Path
) -> None:
    swept = ("-m", "data=tiny_ocean", *QUICK, "seed=1", "name=trial")
    # The ocean's simulations are A and B: a network of C has nothing to learn from.
    swept += ("learning.simulations=[A],[C],[A,B]",)
    code, said, wrong = run("train", *swept)
    assert code == 1
    assert "sweep: runs/sweeps/trial (3 runs, 0 of them finished already)" in said
    assert len(list((here / "runs").glob("trial-*/members/*/emulator.pt"))) == 2
    assert "1 of 3 runs are not finished:" in wrong
    assert "(learning.simulations=[C]): learning.simulations asks for" in wrong
    assert "tries these again" in wrong
    assert "Traceback" not in wrong
    # The record has what stopped them; runs that ended well have nothing.
    record = json.loads((here / "runs/sweeps/trial/sweep.json").read_text())
    errors = [job["error"] for job in record["jobs"]]
    assert [error is None for error in errors] == [True, False, True]

    # One of the others loses its network, as if it had been killed.
    lost, *kept = sorted((here / "runs").glob("trial-*/members/*/emulator.pt"))
    lost.unlink()
    written = [path.stat().st_mtime_ns for path in kept]
    code, said, wrong = run("train", *swept)
    assert code == 1
    assert "(3 runs, 1 of them finished already)" in said
    assert lost.exists()
    assert [path.stat().st_mtime_ns for path in kept] == written

    few = ("baselines.names=[climatology,trend]", "regions=[]")
    code, said, wrong = run("evaluate", "sweep=trial", *few)
    assert (code, wrong) == (0, "")
    assert said.count("scores: ") == 2
    assert "1 runs are not finished" in said
    code, said, _ = run("evaluate", "sweep=trial", *few)
    assert (code, said.count("scores: ")) == (0, 0)
    assert "scored: 2 runs of trial" in said
    # Other baselines are another question.
    for names in ("[climatology]", "[climatology,trend]"):
        other = (f"baselines.names={names}", "regions=[]")
        code, said, _ = run("evaluate", "sweep=trial", *other)
        assert (code, said.count("scores: ")) == (0, 2)

    code, said, wrong = run("compare", "sweep=trial", "reference='simulations [A,B]'")
    assert (code, wrong) == (0, "")
    table = path_of("comparison", said)
    assert table == Path("runs/sweeps/trial/comparison.md")
    text = table.read_text()
    assert text.count("| simulations [A] |") > 0
    assert "Not in the table, since not scored: trial-" in text
    assert {path.suffix for path in table.parent.glob("comparison.*")} == {
        *(".csv", ".md", ".png", ".pdf")
    }


def test_a_process_that_is_lost_is_told(
    run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr("emulator.cli.sweeping.train_one", die)
    code, _, wrong = run("train", "-m", "data=tiny_ocean", *QUICK, "seed=0,1")
    assert code == 1
    assert "2 of 2 runs are not finished:" in wrong
    assert "(seed=0): RuntimeError: no memory" in wrong


def test_evaluate_goes_on_where_a_run_cannot_be_scored(
    run: Command, here: Path
) -> None:
    swept = ("-m", "data=tiny_ocean", *QUICK, "seed=0,1", "name=damaged")
    assert run("train", *swept)[0] == 0
    damaged, _ = sorted((here / "runs").glob("damaged-*/members/*/emulator.pt"))
    damaged.write_bytes(b"no network")
    few = ("baselines.names=[climatology]", "regions=[]")
    code, said, wrong = run("evaluate", "sweep=damaged", *few)
    assert code == 1
    assert "1 runs could not be scored:" in wrong
    assert damaged.parents[2].name in wrong
    assert said.count("scores: ") == 1


@pytest.mark.slow
def test_a_sweep_makes_a_run_of_each_combination(earth: Path, here: Path) -> None:
    # A process of its own, as from a shell: joblib starts others from it.
    done = subprocess.run(
        [
            *(sys.executable, "-m", "emulator.cli", "train", "-m", "data=tiny_ocean"),
            *QUICK,
            *("seed=0,1", "hydra.launcher.n_jobs=2", "--config-dir", earth / "conf"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "default"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    runs = sorted((here / "runs").glob("tiny_ocean-*"))
    assert len(runs) == 2
    for folder in runs:
        assert (folder / "settings.yaml").is_file()
        assert list(folder.glob("members/*/emulator.pt"))
    assert "compare sweep=tiny_ocean" in done.stdout
    # Hydra leaves nothing of its own: no .hydra, no log files.
    assert [path.name for path in (here / "runs/sweeps/tiny_ocean").iterdir()] == [
        "sweep.json"
    ]
    assert not list(here.rglob(".hydra"))
    assert not list(here.rglob("*.log"))


@pytest.mark.slow
def test_a_wrong_value_stops_a_sweep_before_it_runs(run: Command, here: Path) -> None:
    code, _, wrong = run("train", "-m", "data=tiny_ocean", *QUICK, "seed=0,many")
    assert code == 1
    assert "Setting 'seed': Value 'many'" in wrong
    assert not any(here.iterdir())
