"""An ablation as a table and a figure: scored runs of a sweep, or named one by one."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from emulator.carbon.errors import SettingsError
from emulator.data.writing import write_table, write_text
from emulator.evaluation import comparison_figure, figures, leads
from emulator.evaluation.champion import find_run
from emulator.evaluation.hindcast import MEAN
from emulator.evaluation.paired import (
    AVERAGE,
    SCORES,
    Card,
    Key,
    Row,
    Variant,
    paired_rows,
)
from emulator.evaluation.scorecard import SCHEMA
from emulator.evaluation.scores import rank
from emulator.evaluation.settings import CompareSettings
from emulator.learning.settings import SETTINGS_FILE, read_settings, run_id
from emulator.learning.sweeps import Job, Sweep, read_sweeps

COLUMNS = (
    *("panel", "flux", "simulation", "teacher", "scope", "method", "score", "value"),
    *("low", "high", "difference", "difference_low", "difference_high", "n"),
    *("seeds", "seed_sd", "seed_values"),
)
DEFAULT_NAME = "comparison"


@dataclass(frozen=True)
class Panel:
    """Variants that are compared with each other.

    Attributes:
        name: What they have in common and others have not; empty for a single panel.
        variants: The first is the reference, unless another is asked for.
    """

    name: str
    variants: tuple[Variant, ...]

    @property
    def card(self) -> Card:
        """A scorecard that speaks for all."""
        return self.variants[0].cards[0]


@dataclass(frozen=True)
class Found:
    """What is to be compared.

    Attributes:
        title: Of table and figure.
        panels: The variants.
        missing: Runs of a sweep that are not scored.
        out: Path of the table without its ending.
    """

    title: str
    panels: tuple[Panel, ...]
    missing: tuple[str, ...]
    out: Path


def compare(settings: CompareSettings, *, runs_root: Path = Path("runs")) -> Path:
    """Compare scored runs: a table as .csv and .md, a figure as .png and .pdf.

    Errors by year after the last label stand beside, in ``NAME-leads.csv``.

    Args:
        settings: Which runs, which years, and where the table goes.
        runs_root: Where runs given by name lie.

    Returns:
        Path of the Markdown table.

    Raises:
        SettingsError: If a run is not there, has no scorecard of these years, or was
            scored on other years or labels than the others of its panel.
    """
    suffix = "" if settings.split == "test" else f"-{settings.split}"
    name = f"scorecard{suffix}.json"
    find = _of_sweeps if settings.sweep else _of_runs
    found = find(settings, runs_root, name)
    rows = [
        (panel.name, row)
        for panel in found.panels
        for row in paired_rows(panel.variants, settings.reference)
    ]
    out = found.out
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = (_line(panel, row) for panel, row in rows)
    write_table(out.with_name(f"{out.name}.csv"), COLUMNS, lines)
    named = [
        (panel.name, variant.name, card)
        for panel in found.panels
        for variant in panel.variants
        for card in variant.cards
    ]
    leads.write(named, out.with_name(f"{out.name}-leads.csv"))
    drawn = _figure(found, rows, settings.reference)
    for ending in ("png", "pdf"):
        figures.save(drawn, out.with_name(f"{out.name}.{ending}"))
    text = "\n".join(_markdown(found, rows, settings.reference)) + "\n"
    return write_text(out.with_name(f"{out.name}.md"), text)


def read_card(run_dir: Path, name: str) -> Card:
    """Read a scorecard of a run.

    Raises:
        SettingsError: If there is none, or it is of another schema.
    """
    path = run_dir / name
    if not path.exists():
        raise SettingsError(
            f"{path} is not there. Run `sink-emulator evaluate run={run_dir}` first."
        )
    card: Card = json.loads(path.read_text())
    if card.get("schema") != SCHEMA:
        raise SettingsError(
            f"{path} has the schema {card.get('schema')!r}, but {SCHEMA!r} is wanted. "
            f"Run `sink-emulator evaluate run={run_dir}` again."
        )
    return card


def _of_runs(settings: CompareSettings, runs_root: Path, name: str) -> Found:
    """Return the runs that were named; seeds of the same settings are one variant."""
    groups: dict[str, list[Card]] = {}
    for run in settings.runs:
        folder = find_run(run, runs_root)
        card = read_card(folder, name)
        alike = card["run"]
        if (folder / SETTINGS_FILE).exists():
            alike = run_id(replace(read_settings(folder), seed=0))
        groups.setdefault(alike, []).append(card)
    variants = tuple(Variant(c[0]["run"], tuple(c)) for c in groups.values())
    out = Path(settings.out or DEFAULT_NAME)
    return Found("Comparison of runs", (Panel("", variants),), (), out)


def _of_sweeps(settings: CompareSettings, runs_root: Path, name: str) -> Found:
    """Return the runs of sweeps, by what was swept."""
    sweeps = read_sweeps(settings.sweep, runs_root)
    scored: list[tuple[Sweep, Job, Card]] = []
    missing = []
    for sweep in sweeps:
        for job in sweep.jobs:
            folder = sweep.run_dir(job)
            if (folder / name).exists():
                scored.append((sweep, job, read_card(folder, name)))
            else:
                missing.append(job.run)
    common = _in_common(scored) if len(sweeps) > 1 else {}
    groups: dict[str, dict[str, list[Card]]] = {}
    for sweep, job, card in scored:
        panel, variant = _place(job, card, common.get(sweep.folder, ""))
        groups.setdefault(panel, {}).setdefault(variant, []).append(card)
    if not groups:
        raise SettingsError(
            f"No run of the sweep {settings.sweep!r} has a {name}. Run `sink-emulator "
            f"evaluate sweep={settings.sweep}` first."
        )
    panels = tuple(
        Panel(panel, tuple(Variant(v, tuple(cards)) for v, cards in found.items()))
        for panel, found in groups.items()
    )
    title = ", ".join(sweep.folder.name for sweep in sweeps)
    out = Path(settings.out or sweeps[0].folder / DEFAULT_NAME)
    return Found(title, panels, tuple(missing), out)


def _in_common(scored: Sequence[tuple[Sweep, Job, Card]]) -> dict[Path, str]:
    """Return what sets each sweep apart: its domain if that does, or its name."""
    domains = {sweep.folder: str(card["domain"]) for sweep, _, card in scored}
    if len(set(domains.values())) == len(domains):
        return domains
    return {folder: folder.name for folder in domains}


def _place(job: Job, card: Card, common: str) -> tuple[str, str]:
    """Return panel and variant of a run.

    Each data set has a panel, and of several other keys each value of the first.
    """
    swept = {key: value for key, value in job.swept.items() if key != "seed"}
    others = [key for key in swept if key != "data"]
    apart = {"data", *others[: len(others) > 1]}
    panel = [label(key, value) for key, value in swept.items() if key in apart]
    variant = [label(key, swept[key]) for key in others if key not in apart]
    return (
        ", ".join([common, *panel] if common else panel),
        ", ".join(variant) or str(card["domain"]),
    )


def label(key: str, value: str) -> str:
    """Return what a reader calls a value of a swept key.

    Args:
        key: A group ("model") or a setting ("model.memory").
        value: As it stands on the command line.
    """
    if key == "data.teachers":
        count = value.count(",") + 1
        return f"{count} teachers together" if count > 1 else "each teacher alone"
    is_weight = key.endswith(".weight")
    *before, name = key.replace("/", ".").replace("_", " ").split(".")
    # "consistency 1.0" for "learning.consistency.weight=1.0".
    name = " ".join([*before[1:], *([name] if name != "weight" else [])])
    if value.lower() in ("null", "false") or (is_weight and float(value) == 0):
        return f"no {name}"
    if value.lower() == "true":
        return name
    # A group of its own needs no name: "unet" is enough of a model.
    return f"{name} {value}" if before else value.replace("_", " ")


def _line(panel: str, row: Row) -> list[Any]:
    values = {**vars(row), "panel": panel, "seed_sd": row.seed_sd}
    values["seeds"] = len(row.seeds)
    values["seed_values"] = " ".join(f"{value:.6g}" for value in row.seeds)
    return [values[name] for name in COLUMNS]


def headline(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of the net flux, transient simulation, mean of teachers."""

    def place(row: Row) -> tuple[bool, int, bool, bool]:
        teacher = MEAN if row.teacher == AVERAGE else row.teacher
        return rank({**vars(row), "teacher": teacher})

    best = min(rows, key=place)
    return [row for row in rows if row.key == best.key]


def _figure(found: Found, rows: Sequence[tuple[str, Row]], reference: str) -> Any:
    shown = {
        panel.name: headline([row for name, row in rows if name == panel.name])
        for panel in found.panels
    }
    return comparison_figure.comparison(
        shown,
        {p.name: reference or p.variants[0].name for p in found.panels},
        evidence=", ".join(dict.fromkeys(p.card["evidence"] for p in found.panels)),
    )


def _markdown(
    found: Found, rows: Sequence[tuple[str, Row]], reference: str
) -> Iterator[str]:
    evidence = ", ".join(dict.fromkeys(p.card["evidence"] for p in found.panels))
    yield f"# {found.title}"
    yield ""
    yield (
        f"**Evidence: {evidence}.** Scores of {found.panels[0].card['split']['part']} "
        f"years: mean over seeds ± their standard deviation, and in round brackets the "
        f"95 % interval, years drawn again in blocks and seeds one by one. In square "
        f"brackets the difference to the reference, drawn in the same years; **bold** "
        f"where its interval leaves out zero. A baseline has the inputs of the variant "
        f"that serve it best. Definitions stand in the scorecards, all simulations and "
        f"teachers in the CSV."
    )
    yield ""
    if found.missing:
        yield f"**Not in the table, since not scored: {', '.join(found.missing)}.**"
        yield ""
    for panel in found.panels:
        mine = [row for name, row in rows if name == panel.name]
        yield from _panel(panel, mine, reference or panel.variants[0].name)


def _panel(panel: Panel, rows: Sequence[Row], reference: str) -> Iterator[str]:
    if panel.name:
        yield f"## {panel.name}"
        yield ""
    yield "| variant | runs | members | forcing | label climatology | test reads |"
    yield "|---|---|---|---|---|---|"
    for variant in panel.variants:
        card = variant.cards[0]
        reads = max(each["test_reads"] for each in variant.cards)
        yield (
            f"| {variant.name}{_mark(card)} | {len(variant.cards)} | "
            f"{card['members']} | {', '.join(card['forcing'])} | "
            f"{card['label_climatology']} | {reads} |"
        )
    yield ""
    best = headline(rows)
    first = best[0]
    keys = [first.key] + [
        key
        for key in dict.fromkeys(row.key for row in rows)
        if key != first.key and key[:2] == first.key[:2]
    ]
    for key in keys:
        yield from _table(key, [row for row in rows if row.key == key], reference)


def _mark(card: Card) -> str:
    """Return what must stand beside the name of a run that saw test years."""
    return " (transductive)" if card.get("transductive", False) else ""


def _table(key: Key, rows: Sequence[Row], reference: str) -> Iterator[str]:
    flux, simulation, teacher, scope = key
    place = "" if scope == "all" else f", {scope}"
    yield f"### {flux}: {teacher}, {simulation}{place}, n = {rows[0].n} years"
    yield ""
    names = [name for name in SCORES if any(row.score == name for row in rows)]
    yield f"| | {' | '.join(names)} |"
    yield f"|{'---|' * (len(names) + 1)}"
    for method in dict.fromkeys(row.method for row in rows):
        found = {row.score: row for row in rows if row.method == method}
        cells = (_cell(found.get(name), reference) for name in names)
        yield f"| {method} | {' | '.join(cells)} |"
    yield ""


def _cell(row: Row | None, reference: str) -> str:
    if row is None or math.isnan(row.value):
        return "-"
    text = f"{row.value:.2f}"
    if not math.isnan(row.seed_sd):
        text += f" ± {row.seed_sd:.2f}"
    text += _span(row.low, row.high)
    if row.method == reference:
        return text
    change = f"[{row.difference:+.2f}{_span(row.difference_low, row.difference_high)}]"
    return f"{text} **{change}**" if row.is_certain else f"{text} {change}"


def _span(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" ({low:.2f} to {high:.2f})"
