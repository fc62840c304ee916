"""``calibrate``: how wrong a run was, whenever it had to look ahead.

The members of a run are fitted again, each as long as before, on the labels up to an
earlier *origin*, and forecast the years after it. From the errors follow the intervals
of the run (``calibration``) and the error fields that joint draws are made of
(``draws``). Origins and the truth that follows lie among training and validation
years: test years judge the intervals, and are not looked at here.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import MONTHS_PER_YEAR, years_of
from emulator.data.regrid import conservative
from emulator.data.stores import code_version
from emulator.data.windows import Cube
from emulator.evaluation import calibration, forecasts
from emulator.evaluation.calibration import CALIBRATION_FILE, ENOUGH_YEARS, Key
from emulator.evaluation.champion import find_run
from emulator.evaluation.error_fields import ERRORS_FILE, ErrorFields
from emulator.evaluation.forecasts import Forecast, Subject
from emulator.evaluation.hindcast import covered, hidden_cells
from emulator.evaluation.scorecard import find_store
from emulator.evaluation.settings import CalibrateSettings
from emulator.evaluation.task import Array, Mask
from emulator.learning.fit import refit, training_cube, with_known_labels
from emulator.learning.inference import Emulator, load_emulator
from emulator.learning.offered import require_cube
from emulator.learning.settings import TrainSettings, settings_from_dict
from emulator.learning.withheld import years_but_test

log = logging.getLogger(__name__)

ORIGINS_FOLDER = "origins"

FEWEST_YEARS = 5
"""Years of labels before the first origin: what labels vary by is measured there, about
a line in time, which takes two of them."""

TESTED_YEARS = 3
"""Test years that intervals reach by default: the longest a night looks ahead."""

Years = npt.NDArray[np.int64]


def calibrate_run(
    settings: CalibrateSettings,
    *,
    runs_root: Path = Path("runs"),
    stores_root: Path = Path("stores"),
) -> Path:
    """Forecast from earlier origins, and write what the errors say.

    Args:
        settings: Which run, which origins.
        runs_root: Where a run given by name lies.
        stores_root: Where its store lies.

    Returns:
        Path of ``calibration.json`` in the run's folder, with
        ``calibration_errors.npz`` beside it; the members of the origins are in
        ``origins/<year>/`` and are found again.

    Raises:
        SettingsError: If the run or its store is not there, or the origins leave too
            few years to calibrate with.
    """
    run_dir = find_run(settings.run, runs_root)
    emulator = load_emulator(run_dir, device=settings.device)
    store = find_store(settings.store or emulator.first.about["store"], stores_root)
    train = settings_from_dict(emulator.first.settings)
    subject = forecasts.subject_of(emulator)
    whole = training_cube(train, store)
    cube = with_known_labels(whole, train)
    require_cube(cube, emulator.first)
    offered = np.intersect1d(
        years_but_test(train.years()),
        _labelled_years(forecasts.labels_of(cube, subject), cube.months),
    )
    last_label = int(emulator.first.about["last_month"][:4])
    leads = settings.leads or leads_to_test(train.split.test, last_label)
    origins = plan_origins(offered, settings.origins, leads, settings.level)
    early = np.isin(years_of(cube.months), offered[offered <= origins[0]])
    past = _past(cube, subject, early, train)  # before the work, not after it
    steps = {each.about["seed"]: each.about["step"] for each in emulator.members}
    found: dict[int, Forecast] = {}
    for origin in origins:
        log.info("Forecasting from the end of %d.", origin)
        folder = run_dir / ORIGINS_FOLDER / str(origin)
        years = offered[offered <= origin]
        refit(train, whole, store, years, steps, folder, until=origin)
        members = load_emulator(folder, device=settings.device)
        after = np.isin(years_of(cube.months), truth_years(offered, origin, leads))
        found[origin] = forecasts.forecast(members, cube, subject, after)
    _, hidden = hidden_cells(cube, train.split.held_out_region, train.split.buffer)
    cells = ~hidden & np.all([each.whole for each in found.values()], axis=0)
    fitted, cells = _fit(found, cube, emulator, subject, past, early, cells, settings)
    fields = coarse_errors(found, cube, cells, settings.coarse_step)
    fields.write(run_dir / ERRORS_FILE)
    path = run_dir / CALIBRATION_FILE
    fitted.write(path)
    return path


def leads_to_test(test: Sequence[int], last_label: int) -> int:
    """Return how many years ahead intervals must reach to be tested, 3 at least.

    Args:
        test: First and last test year.
        last_label: Last year whose labels the run learned.
    """
    return max(TESTED_YEARS, min(test[0] + TESTED_YEARS - 1, test[1]) - last_label)


def plan_origins(
    years: Years, asked: Sequence[int], leads: int, level: float
) -> tuple[int, ...]:
    """Return the last label years of the forecasts, increasing.

    Args:
        years: Those that may be learned from and that may be truth, increasing.
        asked: Origins; none for as many as give ``ENOUGH_YEARS`` of truth, each year
            forecast once, the last ending with the last year, and none before half of
            the years: an emulator that saw so few would err more than the run.
        leads: Years that are forecast.
        level: The share of truths that intervals should hold.

    Raises:
        SettingsError: If an origin is no such year or leaves no truth, or fewer years
            are forecast than the level needs.
    """
    chosen = sorted(set(asked))
    if years.size and not chosen:
        middle, origin = int(years[years.size // 2]), int(years[-1]) - leads
        while origin >= middle and _count(years, chosen, leads) < ENOUGH_YEARS:
            if origin in years:
                chosen.insert(0, origin)
            origin -= leads
    for origin in chosen:
        before = int((years <= origin).sum())
        after = truth_years(years, origin, leads).size
        if origin not in years or before < FEWEST_YEARS or not after:
            raise SettingsError(
                f"origins has {origin}, with {before} years to learn from and {after} "
                f"to forecast, but it must be one of the training and validation years "
                f"with labels ({_span(years)}), with {FEWEST_YEARS} years up to it and "
                f"one or more after it. Choose another."
            )
    needed = math.ceil(level / (1 - level) - 1e-9)  # 0.9 / 0.1 is not 9 in floats
    count = _count(years, chosen, leads)
    if count < needed:
        raise SettingsError(
            f"{len(chosen)} origins with {leads} years each give {count} years of "
            f"errors, but a {level:.0%} interval needs {needed}. Give earlier "
            f"origins=[YEAR,...] within {_span(years)}, other leads, or a lower level."
        )
    return tuple(chosen)


def truth_years(years: Years, origin: int, leads: int) -> Years:
    """Return which of the years are forecast from an origin."""
    return years[(years > origin) & (years <= origin + leads)]


def coarse_errors(
    found: Mapping[int, Forecast], cube: Cube, cells: Mask, step: float
) -> ErrorFields:
    """Return one error field for each month, from the latest origin before it.

    Args:
        found: Forecasts by origin.
        cube: Of the run.
        cells: Cells with errors in all months; shape (cell,).
        step: Of the coarse grid, degrees; the cube's own grid where that is coarser.
    """
    latest: dict[np.datetime64, Array] = {}
    for origin in sorted(found):
        each = found[origin]
        errors = np.where(cells, each.truth - each.members.mean(axis=0), np.nan)
        latest |= dict(zip(each.months, errors, strict=True))
    months = np.array(sorted(latest), "M8[M]")
    maps = cube.scatter(np.stack([latest[month] for month in months]))
    area = np.nan_to_num(cube.scatter(np.where(cells, cube.area.numpy(), 0.0)))
    if 360 / cube.grid.lon.size >= step:
        return ErrorFields(months, cube.grid, area, maps.astype(np.float32))
    target = Grid.regular(step)
    fraction = area / cube.grid.cell_area()
    coarse, part = conservative(cube.grid, target).apply(maps, fraction)
    return ErrorFields(
        months, target, part[0] * target.cell_area(), coarse.astype(np.float32)
    )


def _past(cube: Cube, subject: Subject, early: Mask, train: TrainSettings) -> Array:
    """Return the mean of teachers up to the first origin; (time, cell).

    Raises:
        SettingsError: If no teacher has all months that any has, so that there is none.
    """
    labels = forecasts.labels_of(cube, subject)[:, early]
    past, _ = forecasts.mean_of_teachers(labels, labels)
    if covered(past).any():
        return past
    learning = train.learning
    if learning.label_fraction < 1 and learning.labels_withheld == "random":
        raise SettingsError(
            f"learning.labels_withheld=random left each of the {len(labels)} teachers "
            f"other years, so that no year has the mean that intervals are of. "
            f"Calibrate a run with labels_withheld=late or label_fraction=1, or one of "
            f"a single teacher."
        )
    raise SettingsError(
        f"No cell has labels of {subject.flux} in all months up to the first origin "
        f"that any teacher has. Give earlier origins=[YEAR,...], or train on teachers "
        f"whose labels cover the same months."
    )


def _fit(
    found: Mapping[int, Forecast],
    cube: Cube,
    emulator: Emulator,
    subject: Subject,
    past: Array,
    early: Mask,
    cells: Mask,
    settings: CalibrateSettings,
) -> tuple[calibration.Calibration, Mask]:
    """Calibrate on the cells with truth in all months, and return these."""
    rows = np.isfinite(past).any(axis=1)
    cells = cells & covered(past)
    if not cells.any():
        raise SettingsError(
            f"No cell has labels of {subject.flux} in all forecast months and before "
            f"the first origin. Choose origins between which the teachers' labels "
            f"cover the same cells."
        )
    area = cube.area.numpy()[cells]
    names, shares = forecasts.bands(cube.grid, cube.cells.numpy()[cells], area)
    references: dict[Key, Array] = calibration.references(
        past[rows][:, cells], cube.months[early][rows], area, shares
    )
    own = forecasts.cell_reference(emulator, subject.flux)
    references |= {key: values[cells] for key, values in own.items()}
    errors = calibration.gather(
        [
            calibration.forecast_errors(
                each.members[..., cells],
                each.truth[:, cells],
                each.months,
                np.datetime64(f"{origin}-12"),
                area,
                shares,
            )
            for origin, each in found.items()
        ]
    )
    teachers = {name: None for each in found.values() for name in each.teachers}
    about = {
        "flux": subject.flux,
        "simulation": subject.simulation,
        "teachers": ", ".join(teachers),
        "origins": ", ".join(str(origin) for origin in found),
        "members": str(len(emulator.members)),
        "checkpoint": emulator.sha256,
        "code_version": code_version(),
    }
    fitted = calibration.calibrate(
        errors,
        references,
        area=area,
        regions=names,
        level=settings.level,
        about=about,
    )
    return fitted, cells


def _labelled_years(labels: Array, months: npt.NDArray[np.datetime64]) -> Years:
    """Return the years with labels in every month, of (teacher, time, cell)."""
    rows = np.isfinite(labels).any(axis=(0, 2))
    years, count = np.unique(years_of(months[rows]), return_counts=True)
    whole: Years = years[count == MONTHS_PER_YEAR]
    return whole


def _span(years: Years) -> str:
    return f"{years[0]}-{years[-1]}" if years.size else "none"


def _count(years: Years, origins: Sequence[int], leads: int) -> int:
    """Return how many different years are forecast."""
    found = [truth_years(years, origin, leads) for origin in origins]
    return int(np.unique(np.concatenate([*found, years[:0]])).size)
