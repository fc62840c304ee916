"""``backcast``: what would have been published at the end of a month, years ago.

For each *edition* of the teachers' labels the networks are fitted anew on what was
known when it appeared: normalisation, references and the number of steps follow from
those labels. In each month of issue the youngest networks answer the months whose
forcing was known, and a rule completes the rest (``backcast_rule``). Later labels,
forcing and CO2 are cut off before anything is read (``backcast_known``).

The labels are those of one store: that an edition revised earlier years is not seen.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from emulator.carbon.errors import SettingsError
from emulator.carbon.grid import Grid
from emulator.carbon.timeaxis import (
    MONTHS_PER_YEAR,
    Months,
    as_months,
    month_of,
    years_of,
)
from emulator.data.readers import workbook
from emulator.data.stores import TRAINING_SCHEMA, open_store
from emulator.data.windows import MONTHS_AT_ONCE
from emulator.evaluation import backcast_rule as rule
from emulator.evaluation import forecasts
from emulator.evaluation.backcast_known import (
    Delays,
    Known,
    Month,
    cut_store,
    delays_of,
    issue_month,
    last_of_year,
)
from emulator.evaluation.backcast_settings import BackcastSettings
from emulator.evaluation.forecasts import Subject
from emulator.learning.checkpoint import CHECKPOINT_FILE
from emulator.learning.fit import refit, train, training_cube
from emulator.learning.inference import Emulator, load_emulator
from emulator.learning.settings import TrainSettings, settings_to_dict

log = logging.getLogger(__name__)

Array = npt.NDArray[np.floating]

FOLDER = "backcast"
EDITIONS = "editions"
NETWORK = "network"
UNADJUSTED = "network, unadjusted"
GLOBE = "globe"

DEFAULT_YEARS = 10
"""Years that are estimated where none are asked for."""


@dataclass(frozen=True)
class Target:
    """A span of months whose total is estimated.

    Attributes:
        first: Its first month.
        last: Its last month.
    """

    first: Month
    last: Month

    @property
    def months(self) -> Months:
        """All its months, datetime64[M]; shape (month,)."""
        return np.arange(self.first, self.last + 1)

    @property
    def year(self) -> int | None:
        """The calendar year, if it is one."""
        year = int(str(self.first)[:4])
        return year if self == of_year(year) else None

    @property
    def name(self) -> str:
        """The year, or first and last month."""
        return str(self.year) if self.year else f"{self.first}/{self.last}"


@dataclass(frozen=True)
class Issue:
    """One estimate to be made.

    Attributes:
        target: Of what.
        months_known: Months of the target whose forcing is known.
        known: All that is known when it is made.
    """

    target: Target
    months_known: int
    known: Known


@dataclass(frozen=True, eq=False)
class Labels:
    """What the teachers simulated, as rates of regions.

    Attributes:
        months: datetime64[M]; shape (time,).
        teachers: Names.
        regions: Names; the first is the globe.
        rates: kg s-1, NaN in months without labels; shape (teacher, region, time).
    """

    months: Months
    teachers: tuple[str, ...]
    regions: tuple[str, ...]
    rates: Array

    @property
    def last(self) -> list[Month]:
        """The last month of the last whole year with labels, by teacher."""
        found = []
        for rates in self.rates[:, 0]:
            years, count = np.unique(
                years_of(self.months[np.isfinite(rates)]), return_counts=True
            )
            whole = years[count == MONTHS_PER_YEAR]
            found.append(last_of_year(int(whole[-1]) if whole.size else 0))
        return found

    def known(self, known: Known) -> tuple[npt.NDArray[np.bool_], Months, Array]:
        """Return the mean of the teachers that the youngest edition has.

        Args:
            known: What may be known.

        Returns:
            Which teachers count, (teacher,): a mean over teachers must not jump where
            one ends. Months of the whole years up to the last label in which all of
            them have labels, (time,), and the rates, kg s-1; (region, time).

        Raises:
            SettingsError: If there is no such year.
        """
        current = np.array([last == known.last_label for last in known.labels])
        chosen = self.rates[current]
        there = np.isfinite(chosen).all(axis=(0, 1))
        there &= self.months <= known.last_label
        years, count = np.unique(years_of(self.months[there]), return_counts=True)
        whole = years[count == MONTHS_PER_YEAR]
        # The years that follow one another up to the last.
        whole = whole[whole - whole[-1:] == np.arange(1 - whole.size, 1)]
        if not whole.size or last_of_year(int(whole[-1])) != known.last_label:
            raise SettingsError(
                f"At the end of {known.issued} no whole year of labels is known. Give "
                f"later backcast.years, or shorter backcast.delays."
            )
        rows = np.isin(years_of(self.months), whole)
        return current, self.months[rows], chosen[..., rows].mean(axis=0)

    def truth(self, target: Target, current: npt.NDArray[np.bool_]) -> Array:
        """Return the total of a target by the same teachers, PgC; shape (region,).

        NaN where one of them has no label of all its months.
        """
        rows = np.isin(self.months, target.months)
        if int(rows.sum()) < target.months.size:
            return np.full(len(self.regions), np.nan)
        return rule.total(self.rates[current][..., rows].mean(axis=0), target.months)


@dataclass(frozen=True, eq=False)
class Estimate:
    """What would have been published, and what came.

    Attributes:
        issue: When, of what, knowing what.
        totals: By method, PgC; shape (region,) each.
        truth: What the same teachers simulated, PgC, NaN if they did not; (region,).
        teachers: Their names.
    """

    issue: Issue
    totals: Mapping[str, Array]
    truth: Array
    teachers: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Backcast:
    """All estimates of a run.

    Attributes:
        subject: Flux and simulation.
        regions: Names; the first is the globe.
        estimates: In the order of targets and months known.
        delays: When each thing appears.
        evidence: What stands behind the numbers.
        folder: Where the refitted networks are.
    """

    subject: Subject
    regions: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    delays: Delays
    evidence: str
    folder: Path

    def reads_years(self, first: int, last: int) -> bool:
        """Return whether an estimate is held against labels of these years."""
        return any(
            ((years >= first) & (years <= last)).any()
            for each in self.estimates
            if np.isfinite(each.truth).any()
            for years in [years_of(each.issue.target.months)]
        )


def backcast(
    settings: BackcastSettings,
    run: TrainSettings,
    store: Path,
    run_dir: Path,
    *,
    device: str = "cpu",
) -> Backcast:
    """Estimate every target as of every date that is asked for.

    Args:
        settings: What, when, and how.
        run: The networks and how they are fitted; of its split only the first
            training year and the held-out region count.
        store: The training store.
        run_dir: Folder of the run; networks go to ``backcast/<hash>/editions`` and
            are found there again.
        device: "cpu" or "cuda", where the networks answer.

    Raises:
        SettingsError: If labels or forcing known at a date are too few.
        StoreError: If the store cannot serve the run.
        CheckpointError: If what was left by an earlier call is damaged.
    """
    opened = open_store(store, TRAINING_SCHEMA)
    fluxes = run.model.fluxes or run.data.fluxes
    learned = run.learning.simulations or [
        str(name) for name in opened["simulation"].to_numpy()
    ]
    subject = forecasts.choose_subject(fluxes, learned)
    forcing = run.model.forcing or run.data.forcing_variables
    delays = delays_of(opened, forcing, settings.delays)
    labels = read_labels(opened, subject)
    issues = plan_issues(settings, labels, delays)
    cut = partial(cut_store, growth_years=settings.delays.co2_years)
    editions = sorted({delays.appeared(issue.known.labels) for issue in issues})
    folder = run_dir / FOLDER / _digest(settings, run, store, delays, editions[0])
    steps: dict[int, int] = {}
    found: dict[Month, Emulator] = {}
    offsets: dict[Month, Array] = {}
    for edition in editions:
        known = delays.known(edition, labels.last)
        log.info("Fitting what was known at the end of %s.", edition)
        each = folder / EDITIONS / str(edition)
        _fit(
            _settings(run, settings, known),
            store,
            each,
            partial(cut, known=known),
            steps if settings.choose == "first" else {},
        )
        emulator = load_emulator(each, device=device)
        steps = {one.about["seed"]: one.about["step"] for one in emulator.members}
        found[edition] = emulator
        offsets[edition] = _offset(
            emulator,
            cut(opened, known=known),
            subject,
            labels,
            known,
            settings.adjust_years,
        )
    estimates = tuple(
        _estimate(
            issue,
            labels,
            subject,
            found[delays.appeared(issue.known.labels)],
            offsets[delays.appeared(issue.known.labels)],
            cut(opened, known=issue.known),
            settings,
        )
        for issue in issues
    )
    evidence = str(opened.attrs.get("evidence", ""))
    return Backcast(subject, labels.regions, estimates, delays, evidence, folder)


def of_year(year: int) -> Target:
    """Return a calendar year as a target."""
    return Target(np.datetime64(f"{year:04d}-01", "M"), last_of_year(year))


def plan_issues(
    settings: BackcastSettings, labels: Labels, delays: Delays
) -> tuple[Issue, ...]:
    """Return every estimate to be made, and what is known at each.

    Args:
        settings: Years, numbers of months, periods.
        labels: For the default years, and for which editions there are.
        delays: When each thing appears.

    Raises:
        SettingsError: If no teacher has a whole year of labels.
    """
    last = labels.last
    final = int(years_of(np.array([max(last)]))[0])
    if final == 0:
        raise SettingsError(
            "The store has no whole year of labels, so that nothing is known at any "
            "date. Prepare it from files with whole years."
        )
    first, until = settings.years or (final - DEFAULT_YEARS + 1, final)
    wanted = [
        (of_year(year), count)
        for year in (range(first, until + 1) if settings.months_known else ())
        for count in sorted(set(settings.months_known))
    ]
    for period in settings.periods:
        begin, end = period.split("/")
        target = Target(np.datetime64(begin, "M"), np.datetime64(end, "M"))
        wanted.append((target, target.months.size))
    issues = []
    for target, count in wanted:
        newest = target.first + max(count, 1) - 1
        issued = issue_month(newest, delays.forcing) - (1 if count == 0 else 0)
        issues.append(Issue(target, count, delays.known(issued, last)))
    return tuple(issues)


def read_labels(store: xr.Dataset, subject: Subject) -> Labels:
    """Sum the labels of a store over the globe and bands of latitude.

    Args:
        store: The store, open.
        subject: Flux and simulation.
    """
    names, weights = _regions(store)
    simulations = [str(name) for name in store["simulation"].to_numpy()]
    field = store[subject.flux][simulations.index(subject.simulation)]
    months = as_months(store["time"].to_numpy())
    teachers = tuple(str(name) for name in store["teacher"].to_numpy())
    rates = np.full((len(teachers), len(names), months.size), np.nan)
    for teacher in range(len(teachers)):
        one = field[teacher]
        for start in range(0, months.size, MONTHS_AT_ONCE):
            piece = one[start : start + MONTHS_AT_ONCE].to_numpy()
            rates[teacher, :, start : start + len(piece)] = _rates(piece, weights)
    return Labels(months, teachers, names, rates)


def _regions(store: xr.Dataset) -> tuple[tuple[str, ...], Array]:
    """Return globe and bands, and the area of each cell in them, m2; (region, cell)."""
    grid = Grid(lat=store["lat"].to_numpy(), lon=store["lon"].to_numpy())
    area = (store["area"] * store["fraction"]).to_numpy().astype(np.float64).ravel()
    area = np.nan_to_num(area)
    names, shares = forecasts.bands(grid, np.arange(area.size), area)
    return (GLOBE, *names), np.concatenate([area[None], shares * area])


def _rates(flux: npt.NDArray[np.floating], weights: Array) -> Array:
    """Sum maps (time, lat, lon), kg m-2 s-1, over regions; kg s-1, (region, time).

    A cell without a value counts as 0; a month without any has none.
    """
    cells = flux.reshape(len(flux), -1).astype(np.float64)
    there = np.isfinite(cells).any(axis=1)
    sums = weights @ np.nan_to_num(cells).T
    return np.where(there, sums, np.nan)


def _settings(
    run: TrainSettings, settings: BackcastSettings, known: Known
) -> TrainSettings:
    """Return the settings of the networks of an edition.

    The steps are chosen on the last known years, then all known years are learned.

    Raises:
        SettingsError: If the run learns from a table that was not known.
    """
    first, last = run.split.train[0], int(str(known.last_label)[:4])
    # A test year that is out of reach: years_but_test then leaves nothing out.
    beyond = last + 1 + -(-run.model.memory // MONTHS_PER_YEAR)
    split = replace(
        run.split,
        train=[first, last],
        validation=[last - settings.validation_years + 1, last],
        test=[beyond, beyond],
        withheld=[],
    )
    weak = run.learning.weak
    if weak.is_used and weak.workbook:
        _require_table(weak.workbook, settings.delays.labels, known)
    elif weak.is_used:
        # The known labels are learned month by month, and of later ones no total is
        # known either.
        weak = replace(weak, weight=0.0, regional_weight=0.0)
    learning = replace(run.learning, refit=True, label_fraction=1.0, weak=weak)
    return replace(run, split=split, learning=learning)


def _require_table(path: str, delay: int, known: Known) -> None:
    """Refuse an edition of the budget that appeared after a date.

    The table is the answer, and every edition revises all years.
    """
    edition = workbook.read(Path(path)).edition
    appeared = last_of_year(edition - 1) + delay
    if appeared > known.issued:
        raise SettingsError(
            f"learning.weak.workbook is the edition of {edition}, which appeared in "
            f"{appeared}, but the networks of {known.issued} may not know it. Take an "
            f"earlier edition, later backcast.years, or no weak labels."
        )


def _fit(
    run: TrainSettings,
    store: Path,
    folder: Path,
    cut: "partial[xr.Dataset]",
    steps: Mapping[int, int],
) -> None:
    """Fit the networks of an edition, for steps known already or chosen here."""
    if not steps:
        train(run, store, folder, cut=cut)
        return
    paths = [folder / "members" / str(seed) / CHECKPOINT_FILE for seed in steps]
    if not all(path.exists() for path in paths):
        years = np.arange(run.split.train[0], run.split.train[1] + 1)
        refit(run, training_cube(run, store, cut=cut), store, years, steps, folder)


def _estimate(
    issue: Issue,
    labels: Labels,
    subject: Subject,
    emulator: Emulator,
    offset: Array,
    cut: xr.Dataset,
    settings: BackcastSettings,
) -> Estimate:
    """Estimate one target from what was known."""
    known, wanted = issue.known, issue.target.months
    current, labelled, rates = labels.known(known)
    normal = rule.fit_normal(rates, labelled, settings.normal_years)
    recent = slice(-MONTHS_PER_YEAR * settings.normal_years, None)
    finish = partial(
        rule.complete,
        wanted=wanted,
        normal=normal,
        labels=rates[:, recent],
        labelled=labelled[recent],
    )
    first = min(issue.target.first, known.forcing - (max(rule.WINDOWS) - 1))
    teachers = [labels.teachers[place] for place in np.flatnonzero(current)]
    answered, months = _answer(emulator, cut, subject, first, teachers)
    plain = rule.fit_normal(rates, labelled, settings.climatology_years, has_line=False)
    adjusted = answered + offset[:, month_of(months) - 1]
    found = {
        NETWORK: finish(adjusted, months),
        UNADJUSTED: finish(answered, months),
        "persistence": finish(rates, labelled),
        "trend": normal.at(wanted),
        "climatology": plain.at(wanted),
    }
    return Estimate(
        issue=issue,
        totals={name: rule.total(each, wanted) for name, each in found.items()},
        truth=labels.truth(issue.target, current),
        teachers=tuple(teachers),
    )


def _offset(
    emulator: Emulator,
    cut: xr.Dataset,
    subject: Subject,
    labels: Labels,
    known: Known,
    years: int,
) -> Array:
    """Return what moves the networks to the level of the known labels.

    The mean difference of the last known years, by calendar month: of a part of the
    year the season counts as much as the level.

    Returns:
        kg s-1; (region, 12).
    """
    current, labelled, rates = labels.known(known)
    recent = slice(-MONTHS_PER_YEAR * years, None)
    teachers = [labels.teachers[place] for place in np.flatnonzero(current)]
    first = labelled[recent][0]
    answered, months = _answer(emulator, cut, subject, first, teachers)
    missed = rates[:, recent] - answered[:, months <= known.last_label]
    return np.asarray(missed.reshape(len(missed), -1, MONTHS_PER_YEAR).mean(axis=1))


def _answer(
    emulator: Emulator,
    cut: xr.Dataset,
    subject: Subject,
    first: Month,
    teachers: Sequence[str],
) -> tuple[Array, Months]:
    """Return the networks' rates of regions from a month to the last known.

    Mean over teachers, kg s-1, (region, time), and the months, (time,).

    Raises:
        SettingsError: If the forcing that is known begins too late.
    """
    months = as_months(cut["time"].to_numpy())
    simulations = [str(name) for name in cut["simulation"].to_numpy()]
    row = simulations.index(subject.simulation)
    seen = cut["weather"].to_numpy()[row]
    start = int(np.searchsorted(months, first - emulator.history))
    holes = np.flatnonzero(seen[start:] < 0)
    start += int(holes[-1]) + 1 if holes.size else 0
    window = slice(start, months.size)
    rows = seen[window]
    # One after the other, as in a transient simulation, Zarr reads them far faster.
    together = rows.size > 0 and bool((np.diff(rows) == 1).all())
    places = slice(int(rows[0]), int(rows[-1]) + 1) if together else rows
    fields = {
        name: (
            ("time", "lat", "lon"),
            cut[name].isel(weather_time=places).to_numpy(),
            cut[name].attrs,
        )
        for name in emulator.forcing_names
    }
    air = {
        name: ("time", cut[name].to_numpy()[row, window])
        for name in ("co2", "co2_normal")
    }
    forcing = xr.Dataset(
        {**fields, **air},
        {
            "time": months[window].astype("M8[ns]"),
            "lat": cut["lat"].to_numpy(),
            "lon": cut["lon"].to_numpy(),
        },
    )
    answer = emulator.predict(forcing, teachers=teachers)
    answered = as_months(answer["time"].to_numpy())
    if answered[0] > first or answered[-1] != months[-1]:
        raise SettingsError(
            f"The forcing that is known, {months[start]} to {months[-1]}, lets the "
            f"network answer {answered[0]} to {answered[-1]}, but {first} to "
            f"{months[-1]} is needed. Give later backcast.years, fewer "
            f"backcast.adjust_years, or a store with longer data.history_years."
        )
    asked = answered >= first
    maps = answer[subject.flux].to_numpy()[:, asked]
    _, weights = _regions(cut)
    rates = np.stack([_rates(one, weights) for one in maps])
    return rates.mean(axis=0), answered[asked]


def _digest(
    settings: BackcastSettings,
    run: TrainSettings,
    store: Path,
    delays: Delays,
    first: Month,
) -> str:
    """Return the hash of all that decides what the networks of an edition are."""
    decisive = {
        "run": {
            key: value
            for key, value in settings_to_dict(run).items()
            if key in ("data", "model", "split", "seed", "learning")
        },
        "precision": run.machine.precision,
        "store": store.name,
        "delays": asdict(delays),
        "co2_years": settings.delays.co2_years,
        "choose": settings.choose,
        "validation_years": settings.validation_years,
        "first": str(first) if settings.choose == "first" else "",
    }
    text = json.dumps(decisive, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
