"""``adapt``: how many years of labels a new teacher needs.

A run that never saw a teacher is adapted to its last 1, 2, 5, ... known years, and each
adapted network is scored on held-out years: beside baselines that know the same labels
and no more, and beside a run that was trained with all labels of all teachers. Of a
sweep in which each run leaves teachers out, all are adapted, each to those it lacks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import YearSplit, years_of
from emulator.data.stores import TRAINING_SCHEMA, open_store
from emulator.data.windows import Cube
from emulator.data.writing import write_table, write_text
from emulator.evaluation import baselines, figures, metrics
from emulator.evaluation import task as tasks
from emulator.evaluation.champion import find_run
from emulator.evaluation.forecasts import Subject, subject_of
from emulator.evaluation.hindcast import annual_totals, covered
from emulator.evaluation.paired import AVERAGE
from emulator.evaluation.scorecard import count_reads, find_store
from emulator.evaluation.settings import AdaptSettings, BaselineSettings
from emulator.evaluation.task import Array, Mask
from emulator.learning.adapt import adapt, adaptation_years, cube_of_teacher
from emulator.learning.checkpoint import CHECKPOINT_FILE, Checkpoint, save_checkpoint
from emulator.learning.inference import Emulator, cube_of_run, load_emulator
from emulator.learning.settings import settings_from_dict
from emulator.learning.sweeps import read_sweeps
from emulator.learning.withheld import years_but_test

NAME = "adapt"
FOLDER = "adapted"
ADAPTED, FULL = "adapted", "full training"
SCORES = ("anomaly_r2", "shape_r2", "annual_r2_centred")
COLUMNS = ("teacher", "years", "first", "last", "method", *SCORES)
"""Columns of the .csv; ``years`` is the number of label years, 0 for full training."""

STYLES = {
    ADAPTED: ("#D55E00", "o", "-"),
    "ridge": ("#0072B2", "s", "-."),
    "climatology": ("#999999", "^", ":"),
}
"""Colour, marker and line of each method in the figure."""


@dataclass(frozen=True)
class Row:
    """The scores of one method for one teacher.

    Attributes:
        teacher: Its name.
        years: Calendar years of the labels that were known; none for full training.
        method: "adapted", a baseline, or "full training".
        scores: By name, as in ``metrics``; NaN where undefined.
    """

    teacher: str
    years: tuple[int, ...]
    method: str
    scores: dict[str, float]


@dataclass(frozen=True)
class _Case:
    """A run and what it is adapted with.

    Attributes:
        run: Its folder.
        store: A training store with the new teachers.
        full: Folder of a run that learned all teachers; None without.
    """

    run: Path
    store: Path
    full: Path | None


def few_shot(
    settings: AdaptSettings,
    *,
    runs_root: Path = Path("runs"),
    stores_root: Path = Path("stores"),
) -> Path:
    """Adapt a run, or those of a sweep, to teachers that it never saw, and score them.

    Args:
        settings: Which runs, teachers and numbers of years.
        runs_root: Where runs and sweeps given by name lie.
        stores_root: Where stores given by name lie.

    Returns:
        Path of ``adapt.md`` in the run's folder ``adapted``, or in the sweep's, with
        ``.csv`` and ``.png`` beside it. The adapted networks are in the run's
        ``adapted/<teacher>-<years>y/members/<seed>/``.

    Raises:
        SettingsError: If run, sweep or store is not there, there is no new teacher, it
            has too few years of labels, the full run learned the scored years, or the
            runs of the sweep leave no teacher out, or one twice.
        CheckpointError: If the store does not fit the run.
    """
    if settings.sweep:
        folder, cases = _of_sweep(settings.sweep, runs_root, stores_root)
        title = folder.name
    else:
        run = find_run(settings.run, runs_root)
        full = find_run(settings.full, runs_root) if settings.full else None
        cases = [_Case(run, find_store(settings.store, stores_root), full)]
        folder, title = run / FOLDER, run.name
    rows: list[Row] = []
    for case in cases:
        emulator = load_emulator(case.run)
        whole = load_emulator(case.full) if case.full else None
        for name in settings.teachers or _new_teachers(emulator, case.store):
            cube = cube_of_teacher(emulator.first, case.store, name)
            out = case.run / FOLDER
            rows += _rows_of(settings, emulator, whole, case.store, cube, out)
    if settings.split == "test":
        for looked_at in dict.fromkeys(f for c in cases for f in (c.run, c.full) if f):
            count_reads(looked_at)
    rows += averages(rows)
    evidence = emulator.attributes()["evidence"]
    figures.save(draw(rows, evidence), folder / f"{NAME}.png")
    write_table(folder / f"{NAME}.csv", COLUMNS, lines(rows))
    text = markdown(rows, settings, title, evidence)
    return write_text(folder / f"{NAME}.md", text)


def averages(rows: Sequence[Row]) -> list[Row]:
    """Return the mean over teachers of what all of them have; none of a single one."""
    teachers = dict.fromkeys(row.teacher for row in rows)
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((len(row.years), row.method), []).append(row)
    return [
        Row(
            AVERAGE,
            found[0].years,  # as many as those of all, whenever the others ended
            method,
            {
                name: float(np.mean([row.scores[name] for row in found]))
                for name in SCORES
            },
        )
        for (_, method), found in groups.items()
        if len(found) == len(teachers) > 1
    ]


def lines(rows: Sequence[Row]) -> Iterator[tuple[object, ...]]:
    """Yield the lines of the .csv, under ``COLUMNS``."""
    for row in rows:
        span = (row.years[0], row.years[-1]) if row.years else ("", "")
        scores = [row.scores[name] for name in SCORES]
        yield (row.teacher, len(row.years), *span, row.method, *scores)


def markdown(
    rows: Sequence[Row], settings: AdaptSettings, run: str, evidence: str
) -> str:
    """Return the table with what it stands on."""
    against = {row.teacher: row.scores for row in rows if row.method == FULL}
    head = ["teacher", "years of labels", "method", *SCORES]
    if against:
        head.append("anomaly_r2 - full training")
    parts = [
        f"# {run}, adapted to teachers that it never saw",
        f"**Evidence: {evidence}.** Scores of the {settings.split} years, anomalies "
        f"from the climatology of all years that may be known. Only the embedding and "
        f"the reference of the teacher (fit.reference={settings.fit.reference}) are "
        f"fitted; baselines know the same years. Ridge needs two, one of them to "
        f"choose its penalty by, and is left out where its equations have no solution.",
        "\n".join(_table(rows, head, against)),
        f"![anomaly_r2 by years of labels]({NAME}.png)",
    ]
    return "\n\n".join(parts) + "\n"


def draw(rows: Sequence[Row], evidence: str) -> Figure:
    """Draw ``anomaly_r2`` against years of labels, a panel for each teacher."""
    names = list(dict.fromkeys(row.teacher for row in rows))
    figure, axes = figures.panels(len(names), evidence, height=3.2)
    for axis, teacher in zip(axes, names, strict=True):
        mine = [row for row in rows if row.teacher == teacher]
        for method, (colour, marker, line) in STYLES.items():
            found = [
                (len(row.years), row.scores["anomaly_r2"])
                for row in mine
                if row.method == method
            ]
            if found:
                axis.plot(
                    *zip(*found, strict=True),
                    color=colour,
                    marker=marker,
                    ls=line,
                    label=method,
                )
        for row in mine:
            if row.method == FULL:
                level = row.scores["anomaly_r2"]
                axis.axhline(level, color=figures.BLACK, lw=1.2, ls="--", label=FULL)
        ticks = sorted({len(row.years) for row in mine if row.years})
        axis.set_xscale("log")
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.axhline(0.0, color="#BBBBBB", lw=0.8)
        axis.set_ylim(bottom=-1.0, top=1.0)
        axis.set_title(teacher, loc="left", fontsize=9)
    axes[0].legend(fontsize=8, frameon=False)
    figure.supxlabel("Years of labels", fontsize=9)
    figure.supylabel("anomaly R$^2$ of cells", fontsize=9)
    return figure


def score(
    prediction: Array,
    truth: Array,
    area: Array,
    months: npt.NDArray[np.datetime64],
    climatology: Array,
) -> dict[str, float]:
    """Return the ``SCORES`` of one prediction.

    Args:
        prediction: kg m-2 s-1; shape (time, cell).
        truth: kg m-2 s-1, NaN where there is none; shape (time, cell).
        area: m2; shape (cell,).
        months: datetime64[M]; shape (time,).
        climatology: Of the truth, kg m-2 s-1; shape (12, cell).
    """
    counted = np.where(covered(truth), area, 0.0)
    annual = [
        annual_totals(np.nan_to_num(values), counted, months)[1]
        for values in (prediction, truth)
    ]
    given = (prediction, truth, area, months, climatology)
    return {
        "anomaly_r2": metrics.anomaly_r2(*given),
        "shape_r2": metrics.shape_r2(*given),
        "annual_r2_centred": float(metrics.annual_r2_centred(*annual)),
    }


def _of_sweep(
    name: str, runs_root: Path, stores_root: Path
) -> tuple[Path, list[_Case]]:
    """Return the folder of a sweep, and each run with the one that left nobody out."""
    sweeps = read_sweeps(name, runs_root)
    unfinished = [job.run for sweep in sweeps for job in sweep.unfinished()]
    if unfinished:
        raise SettingsError(
            f"The sweep {name!r} has unfinished runs: {', '.join(unfinished)}. Run "
            f"`sink-emulator train -m` again for them."
        )
    runs = {
        sweep.run_dir(job): load_emulator(sweep.run_dir(job))
        for sweep in sweeps
        for job in sweep.jobs
    }
    full = max(runs, key=lambda run: len(runs[run].teachers))
    everybody = set(runs[full].teachers)
    left_out = {
        run: everybody - set(each.teachers) for run, each in runs.items() if run != full
    }
    told = [teacher for each in left_out.values() for teacher in each]
    if not told or not all(left_out.values()) or len(set(told)) < len(told):
        raise SettingsError(
            f"The runs of the sweep {name!r} leave out "
            f"{[sorted(each) for each in left_out.values()]} of {sorted(everybody)}, "
            f"but one must learn all teachers, and each other one leave out teachers "
            f"that no other does. Sweep data.teachers alone, as "
            f"experiment=new_teacher does."
        )
    store = find_store(runs[full].first.about["store"], stores_root)
    return sweeps[0].folder, [_Case(run, store, full) for run in left_out]


def _new_teachers(emulator: Emulator, store: Path) -> list[str]:
    """Return the teachers of a store that a run never saw."""
    there = [str(name) for name in open_store(store, TRAINING_SCHEMA)["teacher"].values]
    if new := [name for name in there if name not in emulator.teachers]:
        return new
    raise SettingsError(
        f"The run learned all teachers of {store}: {', '.join(there)}. Give "
        f"store=STORE with one that data.teachers of the run leave out."
    )


def _rows_of(
    settings: AdaptSettings,
    emulator: Emulator,
    full: Emulator | None,
    store: Path,
    cube: Cube,
    folder: Path,
) -> list[Row]:
    """Return the scores of all methods and numbers of years for one teacher."""
    (teacher,) = cube.teachers
    subject = subject_of(emulator)
    split = settings_from_dict(emulator.first.settings).years()
    on_test = settings.split == "test"
    known = years_but_test(split) if on_test else split.years("train")
    wanted = split.months("test" if on_test else "validation", cube.months)
    row, flux = (
        cube.simulations.index(subject.simulation),
        cube.fluxes.index(subject.flux),
    )
    labels = cube.labels[row, 0, :, flux].numpy()
    before = np.isin(years_of(cube.months), known) & np.isfinite(labels).any(axis=1)
    climatology = metrics.monthly_climatology(labels, cube.months, before)
    months = cube.months[wanted]
    predictions: list[tuple[tuple[int, ...], str, Array]] = []
    for count in settings.years:
        years = adaptation_years(cube, known, count)
        members = [
            replace(one, about={**one.about, **_provenance(store)})
            for one in (
                adapt(member, cube, years, settings.fit) for member in emulator.members
            )
        ]
        for one in members:
            path = folder / f"{teacher}-{count}y" / "members" / str(one.about["seed"])
            path.mkdir(parents=True, exist_ok=True)
            save_checkpoint(one, path / CHECKPOINT_FILE)
        shown = tuple(years.tolist())
        mine = _predicted(members, cube, wanted, subject)
        predictions.append((shown, ADAPTED, mine))
        for name, values in _baselines(cube, subject, split, emulator, years, wanted):
            predictions.append((shown, name, values))
    if full is not None:
        _require_unseen(full, years_of(months), settings.split)
        predictions.append(((), FULL, _of_full(full, store, cube, wanted, subject)))
    # All methods are scored in the same cells.
    there = np.all([np.isfinite(each).all(axis=0) for *_, each in predictions], axis=0)
    truth = np.where(there, labels[wanted], np.nan)
    if not np.isfinite(truth).any():
        raise SettingsError(
            f"{teacher} has no labels of {subject.flux} in the {settings.split} years "
            f"of the run, so that nothing can be scored. Choose split=validation."
        )
    rows = np.isfinite(truth).any(axis=1)
    given = (truth[rows], cube.area.numpy(), months[rows], climatology)
    return [
        Row(teacher, years, method, score(values[rows], *given))
        for years, method, values in predictions
    ]


def _provenance(store: Path) -> dict[str, str]:
    attributes = open_store(store, TRAINING_SCHEMA).attrs
    return {
        "store": store.name,
        "store_hash": str(attributes.get("settings_hash", "")),
        "evidence": str(attributes["evidence"]),
        "catalog": str(attributes.get("catalog", "")),
    }


def _predicted(
    members: Sequence[Checkpoint], cube: Cube, wanted: Mask, subject: Subject
) -> Array:
    """Return what adapted networks answer, mean over members; (wanted, cell)."""
    emulator = Emulator(tuple(members), "", torch.device("cpu"))
    found = emulator.hindcast(cube, wanted)[subject.flux]
    values: Array = found.sel(simulation=subject.simulation).to_numpy()[0, wanted]
    return values


def _require_unseen(full: Emulator, scored: npt.NDArray[np.int64], part: str) -> None:
    """Refuse a run that learned the labels by which it would be scored."""
    train = settings_from_dict(full.first.settings)
    split = train.years()
    learned = years_but_test(split) if train.learning.refit else split.years("train")
    if (seen := np.intersect1d(learned, scored)).size:
        raise SettingsError(
            f"The full run learned labels of {seen[0]} to {seen[-1]}, which are "
            f"{part} years of the run that is adapted. Give a run with the same split, "
            f"and for split=validation one with learning.refit=false."
        )


def _of_full(
    full: Emulator, store: Path, cube: Cube, wanted: Mask, subject: Subject
) -> Array:
    """Return what the run with all labels answers, in the cells of ``cube``."""
    every = cube_of_run(full, store)
    (teacher,) = cube.teachers
    # A teacher that the run does not know is refused by name.
    place = every.teachers.index(teacher) if teacher in every.teachers else 0
    one = replace(every, teachers=cube.teachers, labels=every.labels[:, [place]])
    found = full.hindcast(one, wanted)[subject.flux]
    values = found.sel(simulation=subject.simulation).to_numpy()[0, wanted]
    cells = every.cells.numpy()
    at = np.minimum(np.searchsorted(cells, cube.cells.numpy()), cells.size - 1)
    return np.where(cells[at] == cube.cells.numpy(), values[:, at], np.nan)


def _baselines(
    cube: Cube,
    subject: Subject,
    split: YearSplit,
    emulator: Emulator,
    years: npt.NDArray[np.int64],
    wanted: Mask,
) -> Iterator[tuple[str, Array]]:
    """Yield baselines that know the labels of ``years`` alone; (wanted, cell)."""
    names = ["climatology", "ridge"] if years.size > 1 else ["climatology"]
    # The later half chooses, then both are fitted.
    half = max(1, years.size // 2)
    calendar = years_of(cube.months)
    task = replace(
        tasks.from_cube(cube, subject.flux, split, emulator.memory),
        train=np.isin(
            calendar, years[: years.size - half] if half < years.size else years
        ),
        validation=np.isin(calendar, years[years.size - half :]),
        wanted=wanted,
    )
    try:
        fitted = baselines.fit(task, BaselineSettings(names=names), refit=True)
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        # Fewer months than lagged forcing, all but the same: no ridge to speak of.
        fitted = baselines.fit(task, BaselineSettings(names=names[:1]), refit=True)
    row = cube.simulations.index(subject.simulation)
    for name, found in fitted.items():
        yield name, found.prediction[row, 0]


def _table(
    rows: Sequence[Row], head: Sequence[str], against: dict[str, dict[str, float]]
) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        span = f" ({row.years[0]}-{row.years[-1]})" if row.years else ""
        cells = [row.teacher, f"{len(row.years) or 'all'}{span}", row.method]
        cells += [f"{row.scores[name]:.2f}" for name in SCORES]
        if against:
            other = against[row.teacher]["anomaly_r2"]
            cells.append(f"{row.scores['anomaly_r2'] - other:+.2f}")
        yield f"| {' | '.join(cells)} |"
