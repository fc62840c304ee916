"""Weak labels: annual totals, where nothing else is known of a teacher.

Long before a teacher's maps can be had, a table says what it summed to. Such a total
reaches the network through the area sum of its monthly answers: a batch is then a whole
year of all cells, drawn apart from the other batches.

The budget table *is* the answer to what is asked of an emulator for its years. So weak
labels are by default those of years whose monthly labels were withheld, never those of
test years; a run that was told to use these says so in its checkpoint.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import huber_loss

from emulator.carbon.errors import SettingsError
from emulator.carbon.timeaxis import seconds_per_month, years_of
from emulator.data.readers import workbook
from emulator.data.slow import year_places
from emulator.data.windows import Cube, usable_months
from emulator.learning.batch import TrainingData, gather_inputs
from emulator.learning.losses import AnnualLoss, region_areas
from emulator.learning.sampler import Sampler
from emulator.learning.weak_settings import WeakSettings
from emulator.learning.withheld import withhold_late

log = logging.getLogger(__name__)

TABLE_FLUX = {"land": ("nbp", "S2"), "ocean": ("fgco2", "A")}
"""Flux and simulation that the columns of a budget's models are totals of: S_LAND is
that of S2 on the land cover of 1700; the drift of B is taken off at sea, which the
adjustment to known years takes back for the most part."""


@dataclass(frozen=True, eq=False)
class WeakLabels:
    """Annual totals that are known, of globe, north, tropics, south.

    Attributes:
        totals: PgC yr-1, NaN where not known; float64, (simulation, teacher, year,
            region, flux), the years counted from the first of the time axis.
        unit: What they vary by from year to year, PgC yr-1; (teacher, region, flux).
        cells: Which cells of a teacher and flux they are totals of; bool,
            (teacher, flux, cell).
        windows: Simulation, teacher and first month of each year with a total; int64,
            (window, 3).
        years: Calendar years with a total, by simulation.
        of_test: Whether test years are among them.
        about: Where they come from, for the checkpoint.
    """

    totals: Tensor
    unit: Tensor
    cells: Tensor
    windows: NDArray[np.int64]
    years: dict[str, list[int]]
    of_test: bool
    about: str

    def to(self, device: torch.device | str) -> "WeakLabels":
        """Return the same on ``device``."""
        return replace(
            self,
            totals=self.totals.to(device),
            unit=self.unit.to(device),
            cells=self.cells.to(device),
        )


def gather_weak(
    settings: WeakSettings,
    whole: Cube,
    known: Cube,
    years: NDArray[np.int64],
    test: NDArray[np.int64],
    train: NDArray[np.int64],
    memory: int,
    *,
    scaled_by_own: bool,
    until: int | None = None,
) -> WeakLabels | None:
    """Return the weak labels of a run, None where there is none.

    Args:
        settings: Which to use.
        whole: With all labels of the store, on the CPU.
        known: The same with the labels that the run may know month by month.
        years: Years that may have weak labels where the settings name none; (year,).
        test: Test years; (year,).
        train: Training years, whose labels alone may say where a table stands; (year,).
        memory: Months of known forcing that a year needs before it.
        scaled_by_own: Whether the unit of a teacher's answers comes from monthly labels
            of its own (``model.label_climatology``).
        until: Last year whose total was known, for a fit as of then; None = of all.

    Raises:
        SettingsError: If years or a workbook were asked for and give no weak label, a
            simulation or column is not there, a teacher has weak labels alone but its
            answers have no unit, or the totals of a region are too few to say what
            they vary by.
        UserError: If the workbook cannot be read.
    """
    if not settings.is_used:
        return None
    if unknown := [s for s in settings.simulations if s not in whole.simulations]:
        raise SettingsError(
            f"learning.weak.simulations names {unknown}, but the run learns from "
            f"{list(whole.simulations)}. Choose among these."
        )
    if settings.years:
        years = np.arange(settings.years[0], settings.years[1] + 1)
    if until is not None:
        whole = withhold_late(whole, until)
        years, train = years[years <= until], train[train <= until]
    cells = _cells(whole)
    # Labels of other years are in the cube, but they judge what was learned.
    learned = _of_years(known, train)
    if settings.workbook:
        book = workbook.read(Path(settings.workbook))
        totals = _totals_of_table(settings, book, whole, learned, cells)
        source = f"Global Carbon Budget {book.edition}, columns of models"
    else:
        totals = _totals_of_labels(whole, cells)
        source = "totals of the store's labels"
    asked = _weak_windows(settings, whole, known, years, memory)
    there = totals[asked[:, 0], asked[:, 1], year_places(whole.months)[asked[:, 2]]]
    windows = asked[there.isfinite().any(dim=-1).any(dim=-1).numpy()]
    if not len(windows):
        if until is not None:
            return None
        if settings.years or settings.workbook:
            raise SettingsError(
                f"No weak label is left: of the years {_span(years)} none has a total "
                f"in the {source}, {memory} months of known forcing before it, and no "
                f"monthly label that the run knows. Choose other learning.weak.years."
            )
        log.warning(
            "There is no weak label: no label was withheld (learning.label_fraction)."
        )
        return None
    if scaled_by_own:
        _require_labels(learned, windows)
    seen = torch.zeros_like(totals, dtype=torch.bool)
    seen[windows[:, 0], windows[:, 1], year_places(whole.months)[windows[:, 2]]] = True
    totals = totals.where(seen, torch.nan)
    used = np.unique(years_of(whole.months[windows[:, 2]]))
    about = f"{source}, {_span(used)}"
    of_test = used[np.isin(used, test)]
    if of_test.size:
        about += f"; of these {_span(of_test)} are TEST YEARS: not a forecast"
    return WeakLabels(
        totals=totals,
        unit=_unit(totals, whole),
        cells=cells,
        windows=windows,
        years={
            name: np.unique(
                years_of(whole.months[windows[windows[:, 0] == row, 2]])
            ).tolist()
            for row, name in enumerate(whole.simulations)
        },
        of_test=bool(of_test.size),
        about=about,
    )


@dataclass(eq=False)
class WeakLoss:
    """Error of annual totals that are known only as such.

    It is squared up to one unit and linear beyond (Huber): decades after the last
    monthly label a line in CO2 may miss by many units, which squared would drown all
    else.

    Attributes:
        labels: The totals.
        sampler: Of their windows, all cells.
        settings: Weights, and how often.
    """

    labels: WeakLabels
    sampler: Sampler
    settings: WeakSettings

    @classmethod
    def of(cls, labels: WeakLabels, settings: WeakSettings, seed: int) -> "WeakLoss":
        """Return the loss of weak labels, its batches drawn by the seed."""
        sampler = Sampler(
            labels.windows,
            np.arange(labels.cells.shape[-1]),
            samples=settings.samples,
            cells_per_sample=0,
            seed=seed,
        )
        return cls(labels, sampler, settings)

    def to(self, device: torch.device | str) -> "WeakLoss":
        """Return the same on ``device``."""
        return replace(self, labels=self.labels.to(device))

    def is_due(self, step: int) -> bool:
        """Whether a step sees weak labels."""
        return step % self.settings.every == 0

    def __call__(
        self,
        network: nn.Module,
        data: TrainingData,
        annual: AnnualLoss,
        memory: int,
        step: int,
    ) -> Tensor:
        """Return the weighted loss of the years that a step sees; ().

        Which they are follows from seed and step alone, so that a run that was killed
        goes on with the same.
        """
        device = data.inputs.month.device
        draw = self.sampler.draw(step // self.settings.every).on(device)
        forcing, static = gather_inputs(data.inputs, draw, memory, 12)
        answer = network(forcing, static, draw.teacher).float()
        month = draw.first[:, None] + torch.arange(12, device=device)
        expected = data.normaliser.expected(
            draw.teacher,
            data.inputs.month[month],
            data.inputs.co2[draw.simulation[:, None], month],
            None,
        )
        flux = expected + data.normaliser.scale[draw.teacher][:, None] * answer
        flux = flux.where(self.labels.cells[draw.teacher][:, None], 0.0)
        found = annual.annual_totals(flux.double(), month)[:, 0]
        year = data.inputs.year[draw.first]
        wanted = self.labels.totals[draw.simulation, draw.teacher, year]
        there = wanted.isfinite()
        wrong = (found - wanted).where(there, 0.0) / self.labels.unit[draw.teacher]
        miss = 2 * huber_loss(wrong, torch.zeros_like(wrong), reduction="none")
        count = there.double()
        globe = miss[:, 0].sum() / count[:, 0].sum().clamp_min(1)
        bands = miss[:, 1:].sum() / count[:, 1:].sum().clamp_min(1)
        both = self.settings.weight * globe + self.settings.regional_weight * bands
        return both.float()


def _cells(cube: Cube) -> Tensor:
    """Return where each teacher has each flux: everywhere, if nobody knows."""
    there = cube.labels.isfinite().any(dim=2).any(dim=0)
    return there | ~there.any(dim=-1, keepdim=True)


def _of_years(cube: Cube, years: NDArray[np.int64]) -> Cube:
    """Return the cube with the labels of some years only."""
    kept = torch.from_numpy(np.isin(years_of(cube.months), years))
    labels = cube.labels.where(kept[:, None, None], torch.nan)
    return replace(cube, labels=labels)


def _require_labels(known: Cube, windows: NDArray[np.int64]) -> None:
    """Refuse weak labels of teachers without any monthly label of training years."""
    own = known.labels.isfinite().flatten(2).any(dim=-1).any(dim=0)
    alone = [known.teachers[t] for t in np.unique(windows[:, 1]) if not own[t]]
    if alone:
        raise SettingsError(
            f"No training year has a monthly label of {alone}, only weak ones, so its "
            f"answers have no unit. Set model.label_climatology=none, keep more "
            f"labels, or calibrate from later origins."
        )


def _weak_windows(
    settings: WeakSettings,
    whole: Cube,
    known: Cube,
    years: NDArray[np.int64],
    memory: int,
) -> NDArray[np.int64]:
    """Return the whole, answerable years without known labels; (window, 3)."""
    windows = []
    starts = np.flatnonzero(whole.months.astype(np.int64) % 12 == 0)
    starts = starts[starts + 12 <= whole.months.size]
    starts = starts[np.isin(years_of(whole.months[starts]), years)]
    for simulation, name in enumerate(whole.simulations):
        if settings.simulations and name not in settings.simulations:
            continue
        usable = usable_months(whole, simulation, memory)
        for teacher in range(len(whole.teachers)):
            labels = known.labels[simulation, teacher]
            windows += [
                (simulation, teacher, first)
                for first in starts.tolist()
                if usable[first : first + 12].all()
                and not labels[first : first + 12].isfinite().any()
            ]
    return np.array(windows, np.int64).reshape(-1, 3)


def _totals_of_labels(cube: Cube, cells: Tensor) -> Tensor:
    """Return annual totals of labels, NaN for years that miss one.

    Args:
        cube: With the labels.
        cells: Cells of each teacher and flux; (teacher, flux, cell).

    Returns:
        PgC yr-1, as in ``WeakLabels``.
    """
    area, place = region_areas(cube), year_places(cube.months)
    shape = (len(cube.simulations), len(cube.teachers), int(place[-1]) + 1)
    totals = torch.full((*shape, len(area), len(cube.fluxes)), torch.nan).double()
    for simulation, teacher, year in np.ndindex(shape):
        at = torch.from_numpy(np.flatnonzero(place == year))
        labels = cube.labels[simulation, teacher, at].double()
        missing = (labels.isnan() & cells[teacher]).any(dim=-1).any(dim=0)
        if len(at) < 12 or missing.all():
            continue
        seconds = torch.from_numpy(seconds_per_month(cube.months[at.numpy()]))
        flux = torch.einsum("mfc,m->fc", labels.nan_to_num(0.0), seconds)
        sums = torch.einsum("fc,rc->rf", flux, area)
        totals[simulation, teacher, year] = sums.where(~missing, torch.nan)
    return totals


def _totals_of_table(
    settings: WeakSettings,
    book: workbook.Workbook,
    whole: Cube,
    known: Cube,
    cells: Tensor,
) -> Tensor:
    """Return what a budget's table says of the globe; PgC yr-1, as in ``WeakLabels``.

    The table sums over another grid and calendar than the store, so that only its
    course is believed where both are known: it is moved by the mean difference to the
    totals of training labels.
    """
    flux, name = TABLE_FLUX[whole.domain]
    if flux not in whole.fluxes or name not in whole.simulations:
        raise SettingsError(
            f"A budget's table holds totals of {flux} in simulation {name}, but the "
            f"run learns {list(whole.fluxes)} from {list(whole.simulations)}. Learn "
            f"these too, or leave learning.weak.workbook empty."
        )
    models = (book.land if whole.domain == "land" else book.ocean).models
    columns = _columns(settings.columns, whole.teachers, models.columns)
    own = _totals_of_labels(known, cells)
    totals = torch.full_like(own, torch.nan)
    simulation, channel = whole.simulations.index(name), whole.fluxes.index(flux)
    first = int(years_of(whole.months[:1])[0])
    place = models.years - first
    inside = (place >= 0) & (place < totals.shape[2])
    for teacher, column in columns.items():
        series = torch.full((totals.shape[2],), torch.nan).double()
        series[place[inside]] = torch.from_numpy(models.columns[column][inside])
        apart = own[simulation, teacher, :, 0, channel] - series
        if apart.isfinite().any():
            series = series + apart.nanmean()
        totals[simulation, teacher, :, 0, channel] = series
    return totals


def _columns(
    named: Mapping[str, str], teachers: tuple[str, ...], columns: Mapping[str, object]
) -> dict[int, str]:
    """Return the column of each teacher that has one, by its place."""
    if bad := [
        teacher
        for teacher, column in named.items()
        if teacher not in teachers or column not in columns
    ]:
        raise SettingsError(
            f"learning.weak.columns names {bad}, but the teachers are "
            f"{list(teachers)} and the columns {sorted(columns)}. Choose among these."
        )
    found = {place: named.get(each, each) for place, each in enumerate(teachers)}
    return {place: column for place, column in found.items() if column in columns}


def _unit(totals: Tensor, cube: Cube) -> Tensor:
    """Return what totals vary by from year to year; (teacher, region, flux).

    The standard deviation of differences between neighbouring years, over the root of
    two: that of independent years, whatever their trend. All simulations count; a
    teacher without two neighbouring years has the mean of the others.
    """
    squares = totals.diff(dim=2).square()
    own = (squares.nanmean(dim=(0, 2)) / 2).sqrt()
    unit = own.where(own.isfinite(), own.nanmean(dim=0))
    known = totals.isfinite().any(dim=2).any(dim=0).any(dim=0)
    if unit[:, known].isnan().any():
        raise SettingsError(
            f"Weak labels of {', '.join(cube.fluxes)} hold no two years in a row, so "
            f"that nothing says what they vary by. Widen learning.weak.years, or "
            f"calibrate from later origins."
        )
    # Totals that are not known, or those of a band without cells, weigh nothing.
    return torch.where(unit > 0, unit, 1.0)


def _span(years: NDArray[np.int64]) -> str:
    return f"{years.min()} to {years.max()}" if years.size else "none"
