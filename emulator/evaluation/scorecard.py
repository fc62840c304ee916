"""Score a run on held-out years, beside every baseline, and write it down.

Every read of test scores is counted in a file beside the run, and the scorecard says
how often: a choice made after looking is not a test any more.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np

from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.regions import RegionSet, latitude_bands, srex
from emulator.carbon.timeaxis import Part, YearSplit
from emulator.data import catalog, readers
from emulator.data.stores import TRAINING_SCHEMA, code_version, open_store
from emulator.data.windows import Cube
from emulator.data.writing import write_text
from emulator.evaluation import (
    decomposition,
    drawing,
    extremes,
    forecasts,
    hindcast,
    judged,
    leads,
    members,
    reality,
    report,
    responses,
    scores,
    targets,
)
from emulator.evaluation import task as tasks
from emulator.evaluation.baselines import DESCRIPTIONS
from emulator.evaluation.calibration import CALIBRATION_FILE
from emulator.evaluation.champion import find_run
from emulator.evaluation.hindcast import Hindcast
from emulator.evaluation.settings import EvaluateSettings
from emulator.evaluation.task import Array, Mask
from emulator.learning.checkpoint import checkpoint_hash, checkpoint_paths
from emulator.learning.fit import with_known_labels
from emulator.learning.inference import Emulator, cube_of_run, load_emulator
from emulator.learning.settings import SplitSettings, TrainSettings, settings_from_dict

SCHEMA = "scorecard/1"
READS_FILE = "test_reads.json"
QUICK_BASELINES = ("climatology", "trend", "ridge")
"""The baselines of component fluxes; the net flux is scored beside all of them."""

BASELINE_FOLDER = ".baselines"


@dataclass(frozen=True, eq=False)
class _Context:
    """What all fluxes of one scorecard share."""

    emulator: Emulator
    train: TrainSettings
    store: Path
    cube: Cube
    split: YearSplit
    part: Part
    refit: bool
    inside: Mask
    hidden: Mask
    region_sets: dict[str, tuple[tuple[str, ...], Array]]
    cache: Path


def evaluate(
    settings: EvaluateSettings,
    *,
    runs_root: Path = Path("runs"),
    stores_root: Path = Path("stores"),
    data_root: Path = Path("data"),
) -> Path:
    """Score a run and write ``scorecard.json``, ``scorecard.md`` and figures.

    Args:
        settings: Which run, which years, which baselines.
        runs_root: Where a run given by name lies.
        stores_root: Where its store lies.
        data_root: Where region files of catalog entries lie.

    Returns:
        Path of the JSON, in the run's folder; ``scorecard-validation.json`` for
        validation years, and ``scorecard-on-STORE.json`` for another store than that
        of training, so that both stand.

    Raises:
        SettingsError: If the run, its store or a region set is not there.
    """
    run_dir = find_run(settings.run, runs_root)
    emulator = load_emulator(run_dir, device=settings.device)
    evidence = emulator.attributes()["evidence"]
    seen = reality.gather(settings.observed, emulator.domain, evidence)
    store = find_store(settings.store or emulator.first.about["store"], stores_root)
    context = _prepare(emulator, store, settings, run_dir.parent, data_root)
    fluxes = [flux for flux in scores.NET_FLUXES if flux in emulator.fluxes]
    fluxes += [flux for flux in emulator.fluxes if flux not in scores.NET_FLUXES]
    wanted = context.split.months(context.part, context.cube.months)
    if not context.cube.labels[:, :, wanted].isfinite().any():
        raise SettingsError(
            f"No teacher has labels in the {settings.split} years "
            f"{getattr(context.split, settings.split)} of {store}. Choose years of "
            f"the split that the labels cover, and train again."
        )
    ahead = leads.ahead(context.cube, context.split, context.part)
    predicted = emulator.hindcast(context.cube, wanted | ahead)
    found: list[Hindcast] = []
    net: Hindcast | None = None
    index = ""
    for flux in fluxes:
        quick = flux != fluxes[0]
        aligned, index = _hindcast(context, predicted, flux, settings, quick, index)
        net = net or aligned
        found.append(aligned.with_mean())
    scopes = {"all": ~context.inside}
    if context.inside.any():
        scopes[f"held-out region {context.train.split.held_out_region}"] = (
            context.inside
        )
    records = [
        record
        for each in found
        for record in scores.records(each, context.region_sets, scopes)
    ]
    records.sort(key=scores.rank)
    intervals = _intervals(context, settings, run_dir, wanted)
    spread = _decomposition(context, net, settings, wanted, stores_root)
    read = read_count if settings.split == "validation" else count_reads
    reads = read(run_dir)
    extreme = extremes.score(
        found[0],
        _record_of_labels(context, fluxes[0]),
        context.cube.months,
        int(emulator.first.about["last_month"][:4]),
    )
    later = leads.score(
        predicted,
        context.cube,
        context.split,
        ahead,
        told=emulator.first.about.get("weak_years", {}),
        cells=~context.inside,
    )
    held = reality.hold(records, seen)
    card = {
        "schema": SCHEMA,
        "run": run_dir.name,
        "asked": asked(settings, run_dir),
        **_about(context, reads, index),
        "choices": {each.flux: each.choices for each in found},
        "baselines": DESCRIPTIONS,
        "definitions": scores.DEFINITIONS,
        "intervals": intervals,
        "responses": _responses(context, net, wanted),
        "decomposition": spread,
        "extremes": {"definitions": extremes.DEFINITIONS, "records": extreme},
        "leads": {"definitions": leads.DEFINITIONS, "records": later},
        "records": records,
        "observed": held.as_dict(),
    }
    card["targets"] = [asdict(row) for row in targets.rows(card)]
    suffix = "" if settings.split == "test" else f"-{settings.split}"
    if store.name != emulator.first.about["store"]:
        suffix += f"-on-{store.stem}"
    drawing.draw(found[0], card, context.cube, run_dir / f"figures{suffix}")
    text = report.markdown(card) + leads.markdown(later)
    text += extremes.markdown(extreme) + held.markdown()
    write_text(run_dir / f"scorecard{suffix}.md", text)
    text = json.dumps(card, allow_nan=False)
    return write_text(run_dir / f"scorecard{suffix}.json", text)


def asked(settings: EvaluateSettings, run_dir: Path) -> str:
    """Return a hash of what decides a scorecard, which it keeps as ``asked``.

    These are the settings, the networks and their calibration.

    Args:
        settings: What ``evaluate`` is told, by name of the run or of its sweep.
        run_dir: Folder of the run.

    Raises:
        CheckpointError: If the run has no networks.
    """
    # Of a command's settings those of this room; where it computes decides nothing.
    values = {
        each.name: getattr(settings, each.name)
        for each in fields(EvaluateSettings)
        if each.name not in ("run", "sweep", "device")
    }
    values["baselines"] = asdict(settings.baselines) | {"threads": None}
    values["observed"] = asdict(settings.observed)
    calibrated = run_dir / CALIBRATION_FILE
    text = json.dumps(values, sort_keys=True) + checkpoint_hash(
        checkpoint_paths(run_dir)
    )
    if calibrated.exists():
        text += calibrated.read_text()
    return hashlib.sha256(text.encode()).hexdigest()


def find_store(name: str, stores_root: Path) -> Path:
    """Return a training store, given as a path or by its name.

    Raises:
        SettingsError: If there is no such store.
    """
    for path in (Path(name), stores_root / name):
        if path.is_dir():
            return path
    raise SettingsError(
        f"There is no store {name!r}, neither as a path nor in {stores_root}. Give "
        f"store=PATH, or run `sink-emulator prepare` again."
    )


def read_count(run_dir: Path) -> int:
    """Return how often the test scores of a run were read."""
    path = run_dir / READS_FILE
    return len(json.loads(path.read_text())) if path.exists() else 0


def count_reads(run_dir: Path) -> int:
    """Note one more read of the test scores, and return how many there are."""
    path = run_dir / READS_FILE
    reads = json.loads(path.read_text()) if path.exists() else []
    now = datetime.now(UTC).isoformat(timespec="seconds")
    reads.append({"time": now, "code_version": code_version()})
    write_text(path, json.dumps(reads, indent=1))
    return len(reads)


def packed_regions(
    names: Sequence[str], grid: Grid, cells: Array, data_root: Path
) -> dict[str, tuple[tuple[str, ...], Array]]:
    """Return region sets as shares of the cells, (region, cell).

    Args:
        names: "latitude_bands", "srex", or catalog entries of regions.
        grid: The grid of the map.
        cells: Place of each cell in the flattened map; shape (cell,).
        data_root: Where files of catalog entries lie.
    """

    def find(name: str) -> RegionSet:
        if name == "latitude_bands":
            return latitude_bands(grid)
        if name == "srex":
            return srex(grid)
        return readers.read_regions(catalog.load(name), grid, data_root)

    found = {name: find(name) for name in names}
    return {
        name: (each.regions, each.weights.reshape(len(each.regions), -1)[:, cells])
        for name, each in found.items()
    }


def _prepare(
    emulator: Emulator,
    store: Path,
    settings: EvaluateSettings,
    runs: Path,
    data_root: Path,
) -> _Context:
    train = settings_from_dict(emulator.first.settings)
    cube = cube_of_run(emulator, store)
    if _random_labels(train):
        # Baselines know what the run knows; late labels lie outside of the split.
        cube = with_known_labels(cube, train)
    inside, hidden = hindcast.hidden_cells(
        cube, train.split.held_out_region, train.split.buffer
    )
    return _Context(
        emulator=emulator,
        train=train,
        store=store,
        cube=cube,
        split=train.years(),
        part=cast("Part", settings.split),
        # Scored on validation years, baselines must not be fitted there.
        refit=train.learning.refit and settings.split != "validation",
        inside=inside,
        hidden=hidden,
        region_sets=packed_regions(
            settings.regions, cube.grid, cube.cells.numpy(), data_root
        ),
        cache=runs / BASELINE_FOLDER,
    )


def _hindcast(
    context: _Context,
    predicted: Any,
    flux: str,
    settings: EvaluateSettings,
    quick: bool,
    index: str,
) -> tuple[Hindcast, str]:
    """Return one flux aligned with its baselines, and what the index is."""
    task = tasks.from_cube(
        context.cube,
        flux,
        context.split,
        context.emulator.memory,
        part=context.part,
        held_out=context.hidden,
    )
    wanted = settings.baselines
    if quick:
        names = [name for name in wanted.names if name in QUICK_BASELINES]
        wanted = replace(wanted, names=names)
    fitted = hindcast.cached_fit(
        task,
        wanted,
        refit=context.refit,
        folder=context.cache,
        about=_key(context, flux),
    )
    regression = None
    if not quick and not context.hidden.any():
        globe = hindcast.globe(
            task, context.store, context.cube.forcing_names, refit=context.refit
        )
        regression, index = globe or (None, "")
    final = task.last_fit(refit=context.refit)
    aligned = hindcast.align(predicted, final, context.cube, flux, fitted, regression)
    return aligned, index


def _intervals(
    context: _Context, settings: EvaluateSettings, run_dir: Path, wanted: Mask
) -> judged.Record | None:
    """Score the intervals of a calibrated run; None for others, and validation years.

    Raises:
        SettingsError: If the calibration is that of other networks.
    """
    emulator, cube = context.emulator, context.cube
    calibrated = forecasts.calibration_of(run_dir, emulator)
    # Validation years are among those that intervals were calibrated on.
    if context.part != "test" or calibrated is None:
        return None
    subject = forecasts.subject_of(emulator)
    if not np.isfinite(forecasts.labels_of(cube, subject)[:, wanted]).any():
        return None
    found = forecasts.forecast(emulator, cube, subject, wanted)
    other = None
    if "lightgbm" in settings.baselines.names:
        task = tasks.from_cube(
            cube,
            subject.flux,
            context.split,
            emulator.memory,
            part=context.part,
            held_out=context.hidden,
        )
        ends = judged.tree_interval(
            task,
            np.isin(cube.teachers, found.teachers),
            cube.simulations.index(subject.simulation),
            settings.baselines,
            level=calibrated.level,
            refit=context.refit,
            folder=context.cache,
            about=_key(context, subject.flux),
        )
        rows = np.isin(cube.months[wanted], found.months)
        other = judged.Ends(ends.lower[rows], ends.upper[rows])
    return judged.judge(
        calibrated,
        found,
        np.datetime64(emulator.first.about["last_month"]),
        cube.grid,
        cube.cells.numpy(),
        np.where(context.hidden, 0.0, cube.area.numpy()),
        forecasts.cell_reference(emulator, subject.flux),
        other,
    )


def _record_of_labels(context: _Context, flux: str) -> Array:
    """Return the labels that years are called extreme by.

    Validation years may not be judged by test years, nor by withheld ones.

    Returns:
        kg m-2 s-1; shape (simulation, teacher, time, cell).
    """
    cube, split = context.cube, context.split
    labels: Array = cube.labels[..., cube.fluxes.index(flux), :].numpy()
    if context.part != "validation":
        return labels
    unread = split.months("test", cube.months) | split.months("withheld", cube.months)
    return np.where(unread[:, None], np.nan, labels)


def _responses(
    context: _Context, net: Hindcast | None, wanted: Mask
) -> list[responses.Record]:
    """Compare the effects of CO2 and climate on the net flux of each teacher."""
    cube = context.cube
    if net is None:
        return []
    co2 = open_store(context.store, TRAINING_SCHEMA)["co2"]
    seen = co2.sel(simulation=list(cube.simulations)).to_numpy()
    return responses.responses(
        replace(net, area=np.where(context.inside, 0.0, net.area)),
        _bands(cube),
        responses.Drivers.seen(cube, seen, wanted),
    )


def _decomposition(
    context: _Context,
    net: Hindcast | None,
    settings: EvaluateSettings,
    wanted: Mask,
    stores_root: Path,
) -> decomposition.Record:
    """Split the spread of the net flux in the transient simulation."""
    emulator, cube = context.emulator, context.cube
    if net is None:
        return {}
    simulation = min(net.simulations, key=_transience)
    row = net.simulations.index(simulation)
    fluxes = net.predictions[hindcast.NETWORK][row][None]
    if len(emulator.members) > 1:
        fluxes = members.hindcasts(emulator, cube, net.flux, simulation, wanted)
    other = None
    if settings.other_forcing:
        path = find_store(settings.other_forcing, stores_root)
        other = members.predictions(
            emulator, net.teachers, net.flux, path, net.months.astype("M8[M]")
        )
    found = decomposition.decompose(
        fluxes,
        net.truth[row],
        net.months,
        np.where(context.inside, 0.0, net.area),
        net.teachers,
        _bands(cube),
        other,
    )
    return {"flux": net.flux, "simulation": simulation, **found}


def _transience(simulation: str) -> int:
    """Return the rank of a simulation, the transient ones first."""
    known = simulation in scores.TRANSIENT
    return scores.TRANSIENT.index(simulation) if known else len(scores.TRANSIENT)


def _bands(cube: Cube) -> dict[str, Array]:
    """Return the share of each cell in each band of latitude; (cell,)."""
    bands, places = latitude_bands(cube.grid), cube.cells.numpy()
    return {name: bands.weight(name).ravel()[places] for name in bands.regions[:-1]}


def _key(context: _Context, flux: str) -> dict[str, Any]:
    """Return all that the baselines of a flux depend on, besides their settings."""
    return {
        "code": code_version(),
        "store": str(context.store.resolve()),
        "flux": flux,
        "part": context.part,
        "split": asdict(context.split),
        "labels_at_random": _random_labels(context.train),
        "held_out": [context.train.split.held_out_region, context.train.split.buffer],
        "simulations": context.cube.simulations,
        "teachers": context.cube.teachers,
        "forcing": context.cube.forcing_names,
        "co2_as": context.cube.co2_as,
        "slow_years": context.cube.slow_years,
        "static": context.cube.static_names,
        "cells": len(context.cube.cells),
    }


def _random_labels(train: TrainSettings) -> list[float]:
    """Return what decides which labels are missing at random; nothing where none is."""
    learning = train.learning
    if learning.label_fraction == 1 or learning.labels_withheld != "random":
        return []
    return [learning.label_fraction, train.seed]


def _about(context: _Context, reads: int, index: str) -> dict[str, Any]:
    first = context.emulator.first
    split: SplitSettings = context.train.split
    about = context.emulator.attributes()
    own_state = json.loads(first.about.get("own_state") or "{}")
    caveats = [
        "These are withheld years inside the record: interpolation, never the headline."
        if context.part == "withheld"
        else "Withheld years inside the record are interpolation; test years after all "
        "training years are the headline.",
    ]
    if own_state:
        caveats.append(
            f"Upper bound: inputs are the teacher's own state "
            f"({', '.join(sorted(own_state))}), which no night has."
        )
    if context.part == "validation":
        caveats.append(
            "Validation years chose the network's weights and the baselines' settings."
        )
        if context.train.learning.refit:
            caveats.append("The network was fitted again on these years: no test.")
    if first.about.get("transductive", False):
        caveats.append(
            "Transductive: training saw the forcing, or annual totals, of test years. "
            "No forecast; compare with runs that saw the same only."
        )
    if first.about.get("weak_labels"):
        caveats.append(f"Annual totals as labels: {first.about['weak_labels']}.")
    if _random_labels(context.train):
        caveats.append("Labels were withheld at random, which is no shift in time.")
    if context.hidden.any():
        caveats.append(
            "A region was held out: there, baselines borrow climatology and "
            "coefficients from the training cell with the most similar climate."
        )
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "domain": context.emulator.domain,
        "evidence": about["evidence"],
        "checkpoint": context.emulator.sha256,
        "store": context.store.name,
        "store_hash": str(
            open_store(context.store, TRAINING_SCHEMA).attrs.get("settings_hash", "")
        ),
        "code_version": code_version(),
        "training_code_version": about["code_version"],
        "split": {
            "part": context.part,
            "train": list(context.split.train),
            "validation": list(context.split.validation),
            "test": split.test,
            "withheld": context.split.years("withheld").tolist(),
            "gap_years": context.split.gap_years,
            "held_out_region": split.held_out_region,
            "buffer": split.buffer,
        },
        "fitted_on": about["fitted_on"],
        "label_fraction": context.train.learning.label_fraction,
        "labels_withheld": context.train.learning.labels_withheld,
        "transductive": bool(first.about.get("transductive", False)),
        "weak_labels": first.about.get("weak_labels", ""),
        "memory": context.emulator.memory,
        "label_climatology": context.train.model.label_climatology,
        "baselines_refit": context.refit,
        "forcing": list(context.cube.forcing_names),
        "static": list(context.cube.static_names),
        "simulations": list(context.cube.simulations),
        "teachers": list(context.cube.teachers),
        "own_state": sorted(own_state),
        "members": len(context.emulator.members),
        "enso_index": index,
        "test_reads": reads,
        "caveats": caveats,
    }
