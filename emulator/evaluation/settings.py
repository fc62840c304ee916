"""Settings of this room's commands; light, for the command line reads them."""

from dataclasses import dataclass, field

from emulator.carbon.errors import SettingsError
from emulator.evaluation.ensembles import EnsembleSettings
from emulator.learning.adapt_settings import FewShotSettings

CELL_BASELINES = ("climatology", "trend", "persistence", "ridge", "lightgbm")
"""The baselines that predict cells, from the simplest to the strongest."""

PARTS = ("test", "validation", "withheld")


@dataclass
class BaselineSettings:
    """How much work goes into the baselines.

    Attributes:
        names: Which of ``CELL_BASELINES`` to fit; the first must be climatology, the
            reference of every skill.
        rows: Training samples of LightGBM for each teacher.
        trees: Most trees of LightGBM; fewer where validation stops improving.
        threads: Threads of LightGBM.
        seed: Of LightGBM's samples.
    """

    names: list[str] = field(default_factory=lambda: list(CELL_BASELINES))
    rows: int = 200_000
    trees: int = 500
    threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        """Check names and numbers.

        Raises:
            SettingsError: If a name is unknown, climatology is not first, or a number
                is below 1.
        """
        unknown = [name for name in self.names if name not in CELL_BASELINES]
        if unknown or self.names[:1] != ["climatology"]:
            raise SettingsError(
                f"baselines.names must begin with 'climatology' and hold only "
                f"{', '.join(CELL_BASELINES)}; got {', '.join(self.names) or 'none'}."
            )
        for name in ("rows", "trees", "threads"):
            if getattr(self, name) < 1:
                raise SettingsError(
                    f"baselines.{name} is {getattr(self, name)}, but must be at "
                    f"least 1."
                )


@dataclass
class ObservedSettings:
    """What was observed, where the weather of a run is that of the world.

    Attributes:
        workbook: An edition of the Global Carbon Budget under its published name,
            whose residual sink stands beside a land run; None without.
        zonal: Files of inversions or fCO2 products, monthly by latitude.
    """

    workbook: str | None = None
    zonal: list[str] = field(default_factory=list)


@dataclass
class EvaluateSettings:
    """Which run is scored, on which years, beside what.

    Attributes:
        run: The run, a path or the name of a folder below the runs.
        store: The training store, a path or a name below the stores; None for the
            one that the run was trained on. Another has a scorecard of its own.
        split: "test", "validation" for choices before the test years are read, or
            "withheld" for the single years of ``split.withheld``.
        regions: Region sets of the regional totals: "latitude_bands", "srex", or
            names of catalog entries of regions.
        baselines: The baselines beside the network.
        observed: What was observed, beside network and teacher.
        other_forcing: A forcing store of another product for the same months, a path
            or a name below the stores: how much of the spread comes from forcing.
        device: "cpu" or "cuda", where the network computes.
        sweep: Instead of a run all those of a sweep, by its name or folder; "*" stands
            for anything. What these settings have scored already is left alone.
    """

    run: str = ""
    store: str | None = None
    split: str = "test"
    regions: list[str] = field(default_factory=lambda: ["latitude_bands", "srex"])
    baselines: BaselineSettings = field(default_factory=BaselineSettings)
    observed: ObservedSettings = field(default_factory=ObservedSettings)
    other_forcing: str | None = None
    device: str = "cpu"
    sweep: str = ""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            SettingsError: If there is not one of run and sweep, or the split is
                unknown.
        """
        if bool(self.run) == bool(self.sweep):
            raise SettingsError(
                "evaluate needs a run: give run=RUN, with the path that "
                "`sink-emulator train` printed, or sweep=NAME for all runs of a sweep."
            )
        if self.split not in PARTS:
            raise SettingsError(
                f"split is {self.split!r}, but scores are taken on 'test', "
                f"'validation' or 'withheld' years."
            )


@dataclass
class CalibrateSettings:
    """Which run's errors are measured, from where, and how far ahead.

    Attributes:
        run: The run, a path or the name of a folder below the runs.
        store: The training store, a path or a name below the stores; None for the
            one that the run was trained on.
        origins: Last label years of the forecasts, among training and validation
            years; empty for as many as give 20 years of truth.
        leads: Years that each forecast goes on; intervals reach no further. None for
            as many as reach the third of the run's test years, 3 at least: test years
            begin later after the last label than nights do, by the gap of the memory.
        level: The share of truths that intervals should hold.
        coarse_step: Grid of the error fields for joint draws, degrees; the run's own
            grid where that is coarser.
        device: "cpu" or "cuda", where forecasts are computed.
    """

    run: str = ""
    store: str | None = None
    origins: list[int] = field(default_factory=list)
    leads: int | None = None
    level: float = 0.9
    coarse_step: float = 10.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            SettingsError: If no run is given, or a number is outside its range.
        """
        if not self.run:
            raise SettingsError(
                "calibrate needs a run: give run=RUN, with the path that "
                "`sink-emulator train` printed."
            )
        if self.leads is not None and self.leads < 1:
            raise SettingsError(f"leads is {self.leads}, but must be at least 1 year.")
        if not 0 < self.level < 1:
            raise SettingsError(
                f"level is {self.level:g}, but must lie between 0 and 1."
            )
        if self.coarse_step <= 0 or 180 % self.coarse_step:
            raise SettingsError(
                f"coarse_step is {self.coarse_step:g}, but must divide 180. Try 5 or "
                f"10."
            )


@dataclass
class CompareSettings:
    """Which runs are compared, and where the table goes.

    Attributes:
        runs: Scored runs, paths or names of folders below the runs; those that differ
            in nothing but their seed are one variant.
        split: "test", "validation" or "withheld": which scorecards to read.
        out: Path of the table without its ending: .csv, .md, .png and .pdf are
            written. Empty: "comparison", and of a sweep in its folder.
        sweep: Instead of runs those of a sweep, by its name or folder; "*" stands for
            anything. Each data set has a panel, and of several other swept keys each
            value of the first; what else is swept makes the variants.
        reference: The variant that differences refer to; empty for the first.
    """

    runs: list[str] = field(default_factory=list)
    split: str = "test"
    out: str = ""
    sweep: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            SettingsError: If there are no two runs and no sweep, or both, or the split
                is unknown.
        """
        if bool(self.sweep) == bool(self.runs) or len(self.runs) == 1:
            raise SettingsError(
                f"compare needs two runs or more, got {len(self.runs)}: give "
                f"'runs=[RUN,RUN]', or instead of them sweep=NAME."
            )
        if self.split not in PARTS:
            raise SettingsError(
                f"split is {self.split!r}, but scores are taken on 'test', "
                f"'validation' or 'withheld' years."
            )


@dataclass
class AdaptSettings:
    """Which run learns which new teacher from how many years, and what to score it by.

    Attributes:
        run: The run, a path or the name of a folder below the runs.
        store: A training store with the new teachers beside the run's own, a path or a
            name below the stores.
        teachers: Names of the new teachers; empty for all that the run never saw.
        years: Numbers of years of labels, each the last that may be known.
        full: A run trained on all teachers but not on the scored years, to stand
            beside; empty without.
        split: Years to score on: "test", or "validation" for choices before.
        fit: How the embedding is fitted.
        sweep: Instead of run, store and full a sweep, by its name or folder, in which
            one run learned all teachers and each of the others left some out.
    """

    run: str = ""
    store: str = ""
    teachers: list[str] = field(default_factory=list)
    years: list[int] = field(default_factory=lambda: [1, 2, 5, 10])
    full: str = ""
    split: str = "test"
    fit: FewShotSettings = field(default_factory=FewShotSettings)
    sweep: str = ""

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            SettingsError: If there is neither run and store nor a sweep, or both, a
                number of years is below 1, or the split is another one.
        """
        is_run = bool(self.run and self.store) and not self.sweep
        is_sweep = bool(self.sweep) and not (self.run or self.store or self.full)
        if not (is_run or is_sweep):
            raise SettingsError(
                "adapt needs a run and a store with a teacher that it never saw: give "
                "run=RUN store=STORE, as `sink-emulator train` and `prepare` printed, "
                "or sweep=NAME alone."
            )
        if not self.years or min(self.years) < 1:
            raise SettingsError(
                f"years is {self.years}, but must hold numbers of years, 1 or more."
            )
        if self.split not in ("test", "validation"):
            raise SettingsError(
                f"split is {self.split!r}, but scores are taken on 'test' or "
                f"'validation' years."
            )


@dataclass
class LiveSettings:
    """Whose models are run live, and where the table goes.

    Attributes:
        workbook: An edition of the Global Carbon Budget under its published name.
        ensembles: What to try.
        out: Folder of ensembles.csv, ensembles.md and ensembles.png.
    """

    workbook: str = ""
    ensembles: EnsembleSettings = field(default_factory=EnsembleSettings)
    out: str = "ensembles"

    def __post_init__(self) -> None:
        """Check that there is something to read.

        Raises:
            SettingsError: If no workbook is given.
        """
        if not self.workbook:
            raise SettingsError(
                "ensembles needs an edition of the Global Carbon Budget: give "
                "workbook=PATH. That of 2024 is at https://doi.org/10.18160/gcp-2024."
            )


@dataclass
class PromoteSettings:
    """Which run nights shall use, or which domain goes back to the one before.

    Attributes:
        run: The run, a path or the name of a folder below the runs.
        rollback: Go back to the champion before the present one.
        domain: "land" or "ocean", with ``rollback``; a run knows its own.
        force: Promote a run that the gate refuses; needs a reason.
        reason: Why, for the record.
    """

    run: str = ""
    rollback: bool = False
    domain: str = ""
    force: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        """Check that one thing is asked for.

        Raises:
            SettingsError: If there is no run or a run too many, the domain of a
                rollback is not known, or force has no reason.
        """
        if bool(self.run) == self.rollback:
            raise SettingsError(
                "promote needs one of two: run=RUN, with the path that `sink-emulator "
                "train` printed, or rollback=true domain=land."
            )
        if self.rollback and self.domain not in ("land", "ocean"):
            raise SettingsError(
                f"domain is {self.domain!r}, but rollback=true needs domain=land or "
                f"domain=ocean."
            )
        if self.run and self.domain:
            raise SettingsError(
                f"domain={self.domain} goes with rollback=true; a run knows its own. "
                f"Leave it out."
            )
        if self.force and not self.reason.strip():
            raise SettingsError(
                "force=true promotes what the gate refuses, and the record must say "
                "why: add reason='WHY'."
            )
