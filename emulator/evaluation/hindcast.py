"""Predictions of a run, and of the baselines, beside what the teachers simulated.

Years are held out in blocks with a gap as long as the memory (``YearSplit``), and a
whole region where the run's settings name one. Everything is cut to the months that are
scored; a teacher that ended earlier has NaN there and is not scored.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from emulator.carbon.budget import annual_total, area_rate
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import years_of
from emulator.data.stores import TRAINING_SCHEMA, open_store
from emulator.data.windows import Cube
from emulator.data.writing import written_whole
from emulator.evaluation import baselines, enso
from emulator.evaluation.settings import BaselineSettings
from emulator.evaluation.task import Array, Mask, Task
from emulator.learning.holdout import hide_region, region_weight

NETWORK = "network"
MEAN = "mean of teachers"
CO2_ENSO = "co2_enso"

LARGEST_CACHE = 2**29
"""Baselines larger than this are not kept on disk, bytes."""


@dataclass(frozen=True, eq=False)
class Hindcast:
    """One flux in the months that are scored: the teachers', and who predicts it.

    Attributes:
        flux: Its name.
        simulations: Names.
        teachers: Names.
        months: datetime64[M]; shape (time,).
        area: Area of the domain, m2; shape (cell,).
        truth: kg m-2 s-1, NaN where there is none; shape
            (simulation, teacher, time, cell).
        climatology: Of the training months, kg m-2 s-1; shape
            (simulation, teacher, 12, cell).
        predictions: By method, the network first; the shape of ``truth``.
        annual: By method, annual totals of the globe, PgC, of methods that predict
            nothing else; shape (simulation, teacher, year).
        choices: By method, what was chosen on validation years for each teacher.
        weather_seen: Share of the months whose weather was seen in training by some
            simulation, as in a control run with recycled weather; (simulation,).
    """

    flux: str
    simulations: tuple[str, ...]
    teachers: tuple[str, ...]
    months: npt.NDArray[np.datetime64]
    area: Array
    truth: Array
    climatology: Array
    predictions: dict[str, Array]
    annual: dict[str, Array]
    choices: dict[str, list[dict[str, Any]]]
    weather_seen: Array

    def with_mean(self) -> "Hindcast":
        """Add the mean over teachers, as one more teacher, where there are several.

        A teacher without labels in a simulation does not count there; a cell that only
        some teachers have counts as zero for the others, as in the mean of totals. Of
        months that some of the others lack there is no mean, since it would jump.
        """
        if len(self.teachers) < 2:
            return self

        def add(values: Array, known: Array) -> Array:
            counted = known.any(axis=(2, 3))
            share = np.where(known, values, 0.0).sum(1) / np.maximum(
                counted.sum(1), 1
            ).reshape(-1, 1, 1)
            mean = np.where(known.any(axis=1), share, np.nan)
            return np.concatenate([values, mean[:, None].astype(values.dtype)], axis=1)

        known = np.asarray(np.isfinite(self.truth))
        months: Mask = np.asarray(known.any(axis=3, keepdims=True))
        # The climatology of a cell exists also for a teacher that ended earlier.
        current: Mask = np.asarray(months.any(axis=2, keepdims=True))
        known = known & np.asarray((months | ~current).all(axis=1, keepdims=True))
        return replace(
            self,
            teachers=(*self.teachers, MEAN),
            truth=add(self.truth, known),
            climatology=add(self.climatology, np.isfinite(self.climatology) & current),
            predictions={
                name: add(values, known) for name, values in self.predictions.items()
            },
            annual={
                name: np.concatenate(
                    [
                        values,
                        np.nanmean(
                            np.where(current[..., 0], values, np.nan),
                            axis=1,
                            keepdims=True,
                        ),
                    ],
                    axis=1,
                )
                for name, values in self.annual.items()
            },
        )


def hidden_cells(cube: Cube, region: str | None, buffer: float) -> tuple[Mask, Mask]:
    """Return which cells are scored as a held-out region, and which are hidden.

    Args:
        cube: On the CPU.
        region: Name as in ``learning.holdout.region_weight``, or None.
        buffer: Distance around it where labels are hidden too, degrees.

    Returns:
        Cells in the region and cells without labels in training; both (cell,).
    """
    nothing = np.zeros(len(cube.cells), bool)
    if region is None:
        return nothing, nothing
    weight = region_weight(region, cube.grid).ravel()[cube.cells.numpy()]
    labelled = cube.labels.isfinite().any(0).any(0).any(0).any(0)
    left = hide_region(cube, region, buffer).labels.isfinite().any(0).any(0).any(0)
    return weight > 0, (labelled & ~left.any(0)).numpy()


def align(
    predicted: xr.Dataset,
    task: Task,
    cube: Cube,
    flux: str,
    fitted: dict[str, baselines.Baseline],
    regression: enso.GlobalRegression | None = None,
) -> Hindcast:
    """Put the network's hindcast beside the baselines and the truth.

    Args:
        predicted: ``<flux>`` (simulation, teacher, time, cell), as
            ``learning.inference.hindcast`` returns it for the same cube.
        task: The task that the baselines were given.
        cube: Its cube.
        flux: Name of the flux.
        fitted: The baselines, by name.
        regression: The globe's regression on CO2 and El Nino.
    """
    network = predicted[flux].transpose("simulation", "teacher", "time", "cell")
    network = network.sel(
        simulation=list(cube.simulations), teacher=list(cube.teachers)
    )
    wanted = task.months[task.wanted]
    place = np.searchsorted(
        network["time"].to_numpy().astype("datetime64[M]"), wanted.astype("M8[M]")
    )
    choices = {name: baseline.choice for name, baseline in fitted.items()}
    annual = {}
    if regression is not None:
        annual[CO2_ENSO] = regression.prediction
        choices[CO2_ENSO] = [{"lags": list(lags)} for lags in regression.lags]
    seen = np.unique(task.weather[:, task.train])
    return Hindcast(
        flux=flux,
        simulations=cube.simulations,
        teachers=cube.teachers,
        months=wanted,
        area=task.area,
        truth=task.labels[:, :, task.wanted],
        climatology=task.own_climatology,
        predictions={
            NETWORK: network.isel(time=place).to_numpy(),
            **{name: baseline.prediction for name, baseline in fitted.items()},
        },
        annual=annual,
        choices=choices,
        weather_seen=np.isin(task.weather[:, task.wanted], seen).mean(axis=1),
    )


def covered(labels: Array) -> Mask:
    """Return the cells with a label in every month that has any.

    Annual totals are taken over these cells, for teacher and emulator alike: a cell
    that comes and goes would be a trend.

    Args:
        labels: NaN where there is none; shape (..., time, cell).

    Returns:
        Shape (..., cell); no cell where there is no month with labels.
    """
    known = np.isfinite(labels)
    months = known.any(axis=-1, keepdims=True)
    whole = (known | ~months).all(axis=-2) & known.any(axis=-2)
    return np.asarray(whole)


def annual_totals(
    values: Array, area: Array, months: npt.NDArray[np.datetime64]
) -> tuple[npt.NDArray[np.int64], Array]:
    """Return annual totals, PgC, of (time, cell) over cells with area; real months."""
    return annual_total(area_rate(values, area), months)


def globe(
    task: Task, store: Path, names: Sequence[str], *, refit: bool
) -> tuple[enso.GlobalRegression, str] | None:
    """Fit the globe's regression, and say what its index is.

    Args:
        task: What a baseline may see.
        store: The training store, for the temperature beyond the domain's cells.
        names: Forcing of the run.
        refit: Whether to fit on validation years too.

    Returns:
        None where the run's forcing has no temperature.
    """
    name = next((each for each in enso.TEMPERATURES if each in names), None)
    if name is None:
        return None
    opened = open_store(store, TRAINING_SCHEMA)
    grid = Grid(lat=opened["lat"].to_numpy(), lon=opened["lon"].to_numpy())
    temperature, kind = enso.index(opened[name].to_numpy(), grid)
    years = np.unique(years_of(task.months))
    totals = np.full((*task.labels.shape[:2], years.size), np.nan)
    for simulation, teacher in np.ndindex(totals.shape[:2]):
        labels = task.labels[simulation, teacher]
        rows = np.isfinite(labels).any(axis=1)
        cells = covered(labels)
        found, series = annual_totals(
            labels[rows][:, cells], task.area[cells], task.months[rows]
        )
        totals[simulation, teacher, np.searchsorted(years, found)] = series
    fitted = enso.fit(task, temperature, totals, years.tolist(), refit=refit)
    return fitted, f"{kind} of {name}"


def cached_fit(
    task: Task,
    settings: BaselineSettings,
    *,
    refit: bool,
    folder: Path,
    about: dict[str, Any],
) -> dict[str, baselines.Baseline]:
    """Fit the baselines, or read them where the same ones were fitted before.

    An ablation scores many runs against the same baselines. ``about`` must hold all
    that the task was made from: store, flux, inputs, years, region, code version.
    """
    key = {**about, "settings": asdict(settings), "refit": refit}
    text = json.dumps(key, sort_keys=True, default=str)
    path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"
    if path.exists():
        with np.load(path) as kept:
            choices = json.loads(str(kept["choices"]))
            return {
                name: baselines.Baseline(kept[name], choices[name])
                for name in settings.names
            }
    fitted = baselines.fit(task, settings, refit=refit)
    arrays = {name: baseline.prediction for name, baseline in fitted.items()}
    if sum(array.nbytes for array in arrays.values()) <= LARGEST_CACHE:
        choices = {name: baseline.choice for name, baseline in fitted.items()}
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            np.savez(part, allow_pickle=False, choices=json.dumps(choices), **arrays)
    return fitted
