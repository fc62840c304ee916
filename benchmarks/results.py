"""``make results``: every table and figure of docs/results.md, by the user's commands.

Runs each experiment (prepare, train, evaluate; finished runs are found) and the demo,
and writes the document from their scorecards. The words before the
tables stand in ``docs/results.head.md`` and are never touched here.

The real models' files are looked for where ``SINK_DATA`` says; experiments whose files
are not there keep their section from an earlier call.
"""

import json
import logging
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator.evaluation import report, targets
from emulator.evaluation.calibration import CALIBRATION_FILE

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "results.md"
HEAD = ROOT / "docs" / "results.head.md"
SECTIONS = ROOT / "docs" / "results"
FIGURES = ROOT / "docs" / "figures"
ANNUAL = ("bias", "rmse", "annual_r2_centred", "detrended_r", "sd_ratio")
CELLS = ("anomaly_r2", "shape_r2", "raw_r2", "cell_r2_median")


@dataclass(frozen=True)
class Experiment:
    """One section of the document.

    Attributes:
        name: Of ``conf/experiment``.
        title: Of the section.
        headline: Simulation whose scores are shown.
        note: What a reader must know before the numbers.
        paths: Group of ``conf/paths``; the demo has its own.
        calibrate: What ``calibrate`` is told, beside the run; None if it is not run.
    """

    name: str
    title: str
    headline: str
    note: str
    paths: str = "standard"
    calibrate: tuple[str, ...] | None = None

    @property
    def command(self) -> str:
        """The commands that make the section again."""
        where = [] if self.paths == "standard" else [f"paths={self.paths}"]
        commands = [["train", f"experiment={self.name}", *where]]
        if self.calibrate is not None:
            commands.append(["calibrate", "run=RUN", *self.calibrate, *where])
        commands.append(["evaluate", "run=RUN", *where])
        lines = [shlex.join(["sink-emulator", *words]) for words in commands]
        return "\n".join(lines) + "    # RUN: the folder that train printed"


EXPERIMENTS = (
    Experiment(
        "lpjwsl",
        "A real vegetation model: LPJ-wsl",
        "S2",
        "Output of a real model; temperature and CO2 measured, the anomalies of rain "
        "and radiation simulated and smoother than weather: an upper bound for TRENDY. "
        "No TRENDY submission.",
        calibrate=("origins=[1976,1982,1988]", "leads=6"),
    ),
    Experiment(
        "ocean_real",
        "A real ocean model: MITgcm-DIC, card `forcing`",
        "A",
        "Output of a real model; sea surface temperature and CO2 measured, wind "
        "anomalies simulated. Inputs are what a night has. The CO2 of the test years "
        "lies beyond that of training.",
        calibrate=("origins=[1995,2001]", "leads=6"),
    ),
    Experiment(
        "ocean_real_surface",
        "The same ocean model, card `surface`",
        "A",
        "**Upper bound, no forecast has these inputs**: also the model's own "
        "temperature, salinity and mixed layer.",
    ),
    Experiment(
        "testbed_land",
        "Testbed, land, by a balance of carbon",
        "S2",
        "Simulated testbed, not TRENDY. Scores of the mean over teachers and of each.",
        "demo",
    ),
    Experiment(
        "demo_land",
        "Testbed, land (the demo)",
        "S2",
        "Simulated testbed, not TRENDY. Scores of the mean over teachers and of each.",
        "demo",
    ),
    Experiment(
        "demo_ocean",
        "Testbed, ocean (the demo)",
        "A",
        "Simulated testbed, not GOBMs. Scores of the mean over teachers and of each.",
        "demo",
    ),
)


@dataclass(frozen=True)
class Sweep:
    """One ablation.

    Attributes:
        name: Of ``conf/experiment``.
        title: Of the section.
        overrides: What the command line changes of the experiment.
        table: What says how the runs compare: "comparison", or "adapt" where each is
            adapted to the teacher that it never saw.
        second: Another experiment, ``name`` and an ending, shown in the same table.
    """

    name: str
    title: str
    overrides: tuple[str, ...] = ()
    table: str = "comparison"
    second: str = ""

    @property
    def commands(self) -> list[list[str]]:
        """The commands that make the section again."""
        if self.table == "adapt":
            return [
                ["train", "-m", f"experiment={self.name}", "paths=demo"],
                ["adapt", f"sweep={self.name}", "paths=demo"],
            ]
        quick = "baselines.names=[climatology,trend,ridge]"
        commands: list[list[str]] = []
        for name, said in ((self.name, self.overrides), (self.second, ())):
            if name:
                commands += [
                    ["train", "-m", f"experiment={name}", "paths=demo", *said],
                    ["evaluate", f"sweep={name}", "paths=demo", quick],
                ]
        compared = f"sweep={self.name}" + "*" * bool(self.second)
        return [*commands, ["compare", compared, "paths=demo"]]


SWEEPS = (
    Sweep("ablation_inductive_bias_land", "Ablation: which network, on land"),
    Sweep("ablation_inductive_bias_ocean", "Ablation: which network, at sea"),
    Sweep("ablation_memory", "Ablation: how many months of memory"),
    Sweep("ablation_teachers", "Ablation: one network for all teachers, or one each"),
    Sweep("ablation_closure", "Ablation: components that add up, or not"),
    Sweep(
        "semi_testbed_land",
        "Semi-supervised learning where labels end early, on land; beside it, labels "
        "missing at random",
        ("learning.label_fraction=0.3,0.1",),
        second="semi_testbed_land_random",
    ),
    Sweep(
        "semi_testbed_ocean",
        "Semi-supervised learning where labels end early, at sea",
        ("learning.label_fraction=0.3,0.1",),
    ),
    Sweep("new_teacher", "A new teacher: how many years of labels", table="adapt"),
)


def main() -> None:
    """Run what can be run and write the document."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    SECTIONS.mkdir(parents=True, exist_ok=True)
    wanted = sys.argv[1:] or [each.name for each in (*EXPERIMENTS, *SWEEPS)]
    if any(each.paths == "demo" for each in EXPERIMENTS if each.name in wanted):
        _command("demo")
        # The picture of the README.
        shutil.copyfile("runs/demo/sink.png", FIGURES / "demo_sink.png")
    for each in EXPERIMENTS:
        if each.name in wanted:
            _section(each)
    for sweep in SWEEPS:
        if sweep.name in wanted:
            _sweep(sweep)
    parts = [HEAD.read_text().rstrip()]
    for each in (*EXPERIMENTS, *SWEEPS):
        path = SECTIONS / f"{each.name}.md"
        if path.exists():
            parts.append(path.read_text().rstrip())
    DOCUMENT.write_text("\n\n".join(parts) + "\n")
    log.info("Wrote %s.", DOCUMENT)


def _section(experiment: Experiment) -> None:
    """Train and evaluate one experiment, and write its section and figures."""
    where = [] if experiment.paths == "standard" else [f"paths={experiment.paths}"]
    try:
        trained = _command("train", f"experiment={experiment.name}", *where)
    except subprocess.CalledProcessError as error:
        log.warning("%s: left as it is, train failed: %s", experiment.name, error)
        return
    run = _printed(trained, "run")
    card_path = run / "scorecard.json"
    is_scored = card_path.exists()
    if experiment.calibrate is not None and not (run / CALIBRATION_FILE).exists():
        _command("calibrate", f"run={run}", *experiment.calibrate, *where)
        is_scored = False  # without intervals
    if not is_scored:
        quick = ["baselines.rows=20000", "baselines.trees=100"] if where else []
        _command("evaluate", f"run={run}", *quick, *where)
    card = json.loads(card_path.read_text())
    names = _copy_figures(run / "figures", experiment)
    text = section_text(experiment, card, names)
    (SECTIONS / f"{experiment.name}.md").write_text(text)


def _sweep(sweep: Sweep) -> None:
    """Run one ablation, and write its section and figure."""
    for words in sweep.commands:
        _command(*words)
    folder = Path("runs/demo/sweeps") / sweep.name
    shutil.copyfile(folder / f"{sweep.table}.png", FIGURES / f"{sweep.name}.png")
    text = sweep_text(sweep, (folder / f"{sweep.table}.md").read_text())
    (SECTIONS / f"{sweep.name}.md").write_text(text)


def sweep_text(sweep: Sweep, comparison: str) -> str:
    """Return the section of one ablation: the first table of each of its panels."""
    said, *panels = comparison.split("\n## ")
    words = [line for line in said.splitlines() if line.startswith("**Evidence")]
    lines = [f"## {sweep.title}", "", *words, "", "```sh"]
    lines += [shlex.join(["sink-emulator", *command]) for command in sweep.commands]
    lines += ["```", "", f"![{sweep.title}](figures/{sweep.name}.png)", ""]
    if sweep.table == "adapt":
        lines += [line for line in said.splitlines() if line.startswith("|")]
        return "\n".join(lines) + "\n"
    for panel in panels or [said]:
        name, *tables = panel.split("\n### ")
        title = [name.splitlines()[0]] if panels else []
        first, *table = tables[0].rstrip().splitlines()
        lines += [f"**{', '.join([*title, first])}**", *table, ""]
    return "\n".join(lines).rstrip() + "\n"


def _command(*words: str) -> str:
    """Run ``sink-emulator`` as a user would, and return what it printed."""
    log.info("$ sink-emulator %s", " ".join(words))
    program = str(Path(sys.executable).with_name("sink-emulator"))
    done = subprocess.run(  # noqa: S603 (our own program, our own words)
        [program, *words], check=True, capture_output=True, text=True
    )
    log.info("%s", done.stdout.rstrip())
    return done.stdout


def _printed(output: str, what: str) -> Path:
    """Return the path in the line ``what: PATH`` that a command printed."""
    lines = [line for line in output.splitlines() if line.startswith(f"{what}:")]
    return Path(lines[-1].split(":", 1)[1].split("(")[0].strip())


def _copy_figures(folder: Path, experiment: Experiment) -> list[str]:
    """Copy the figures of the headline simulation; return their names."""
    FIGURES.mkdir(exist_ok=True)
    kept = []
    for path in sorted(folder.glob("*.png")):
        # With several teachers, the figures of their mean stand for all.
        is_mean = not any(folder.glob("*mean*")) or "mean" in path.name
        is_headline = f"-{experiment.headline.lower()}." in path.name and is_mean
        if is_headline or path.name == "intervals.png":
            name = f"{experiment.name}-{path.name}"
            shutil.copyfile(path, FIGURES / name)
            kept.append(name)
    return kept


def section_text(
    experiment: Experiment, card: dict[str, Any], figures: list[str]
) -> str:
    """Return the section of one scorecard as Markdown."""
    split = card["split"]
    lines = [
        f"## {experiment.title}",
        "",
        experiment.note,
        "",
        f"Train {split['train'][0]}-{split['train'][1]} (validation "
        f"{split['validation'][0]}-{split['validation'][1]}), test "
        f"{split['test'][0]}-{split['test'][1]}; memory {card['memory']} months; "
        f"{card['members']} network(s), fitted on {card['fitted_on']}; code "
        f"{card['code_version']}; store {card['store_hash']}; test scores read "
        f"{card['test_reads']} time(s).",
        "",
        "```sh",
        experiment.command,
        "```",
        "",
    ]
    rows = [targets.Row(**row) for row in card["targets"]]
    lines += [line for line in targets.markdown(rows) if line.startswith("|")]
    lines.append("")
    chosen = [
        record
        for record in card["records"]
        if record["simulation"] == experiment.headline and record["scope"] == "all"
    ]
    for record in chosen:
        lines += [f"**{record['flux']}, {record['teacher']}, {record['simulation']}**"]
        lines += ["", *_table(record), ""]
    # The first table is that of the scores; the second, by year, is drawn.
    said = "\n".join(report.intervals(card["intervals"])).partition("Coverage by")[0]
    lines += [said.replace("## ", "### ")]
    lines += [f"![{name}](figures/{name})" for name in figures]
    return "\n".join(lines).rstrip() + "\n"


def _table(record: dict[str, Any]) -> list[str]:
    """Return cells and annual totals of all methods; intervals of the latter."""
    columns = [*CELLS, *ANNUAL]
    rows = [
        f"| method | {' | '.join(columns)} |",
        f"|{'---|' * (len(columns) + 1)}",
    ]
    for name, found in record["methods"].items():
        cells, annual = found.get("cells", {}), found.get("annual", {})
        values = [_value(cells.get(each)) for each in CELLS]
        values += [_value(annual.get(each)) for each in ANNUAL]
        rows.append(f"| {name} | {' | '.join(values)} |")
    return rows


def _value(score: Any) -> str:
    """Return a score with its 95 % interval, if it has one."""
    if score is None:
        return "-"
    if not isinstance(score, dict):
        return f"{score:.2f}"
    if score.get("value") is None:
        return "-"
    low, high = score.get("low"), score.get("high")
    between = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
    return f"{score['value']:.2f}{between}"


if __name__ == "__main__":
    main()
