"""The settings tree: which dataclass checks which file of ``conf/``.

A thing's settings stand beside the thing; here they are joined to one tree for each
command and told to Hydra, each tree only when its command runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from hydra.core.config_store import ConfigStore

from emulator.carbon.errors import SettingsError
from emulator.data.computing import DaskSettings
from emulator.data.fetching.settings import FetchSettings
from emulator.data.mapping.products import MappingSettings
from emulator.data.settings import DataSettings, ForcingSettings
from emulator.evaluation.backcast_settings import BackcastSettings
from emulator.evaluation.settings import (
    AdaptSettings,
    CalibrateSettings,
    CompareSettings,
    EvaluateSettings,
    LiveSettings,
    PromoteSettings,
)
from emulator.learning.pretraining import PretrainingSettings
from emulator.learning.semisupervised import ConsistencySettings
from emulator.learning.settings import (
    LearningSettings,
    LoggerSettings,
    MachineSettings,
    PathsSettings,
    SplitSettings,
    TrainSettings,
)
from emulator.learning.weak_settings import WeakSettings
from emulator.models import MODELS, ModelSettings
from emulator.nightly.night_settings import NightSettings, NightSource
from emulator.nightly.settings import PredictSettings

SCHEMA = "schema"
"""Name of the schema in a group that has only one kind of settings."""

NO_DATA = "none"
"""Choice of ``data`` that adds nothing: a split may follow the choice, if not null."""


@dataclass
class PrepareCommand:
    """What ``prepare`` is told.

    Attributes:
        data: A training store, or None.
        forcing: A store of forcing without teachers, or None.
        dask: Where labels and forcing are computed.
        paths: Where things lie.
    """

    data: DataSettings | None = None
    forcing: ForcingSettings | None = None
    dask: DaskSettings = field(default_factory=DaskSettings)
    paths: PathsSettings = field(default_factory=PathsSettings)

    def __post_init__(self) -> None:
        """Check that there is one thing to prepare.

        Raises:
            SettingsError: If there is none, or there are two.
        """
        if (self.data is None) == (self.forcing is None):
            raise SettingsError(
                "`prepare` makes one store: say data=NAME, or forcing=NAME for forcing "
                "without teachers. `sink-emulator prepare --help` lists the names."
            )

    @property
    def store(self) -> DataSettings | ForcingSettings:
        """What is to be prepared."""
        return cast(DataSettings | ForcingSettings, self.data or self.forcing)


@dataclass
class MapCommand(MappingSettings):
    """What ``map`` is told.

    Attributes:
        paths: Where things lie.
    """

    paths: PathsSettings = field(default_factory=PathsSettings)


@dataclass
class BackcastCommand:
    """What ``backcast`` is told: a run, or the settings of one, and the dates.

    Attributes:
        run: A trained run, a path or the name of a folder below the runs; empty where
            the settings below state one.
        store: The training store, a path or a name below the stores; None for that of
            the run or of ``data``.
        device: "cpu" or "cuda", where networks answer.
        backcast: What is estimated as of which dates.
        name: As of ``TrainSettings``, and so the others; that of the data when empty.
        data: What the training store holds.
        model: The network.
        split: Years and places.
        seed: Of everything random.
        learning: The fit.
        machine: Where it computes.
        logger: Where metrics go.
        paths: Where things lie.
    """

    run: str = ""
    store: str | None = None
    device: str = "cpu"
    backcast: BackcastSettings = field(default_factory=BackcastSettings)
    name: str = ""
    data: DataSettings | None = None
    model: ModelSettings | None = None
    split: SplitSettings | None = None
    seed: int = 0
    learning: LearningSettings = field(default_factory=LearningSettings)
    machine: MachineSettings = field(default_factory=MachineSettings)
    logger: LoggerSettings = field(default_factory=LoggerSettings)
    paths: PathsSettings = field(default_factory=PathsSettings)

    def __post_init__(self) -> None:
        """Check that there is one run.

        Raises:
            SettingsError: If there is none, or a run and other settings beside it.
        """
        if not self.run and not (self.data and self.model and self.split):
            raise SettingsError(
                "backcast needs networks: give run=RUN, with the path that "
                "`sink-emulator train` printed, or an experiment=NAME that states "
                "data, split and model."
            )
        stated = [name for name in ("data", "model", "split") if getattr(self, name)]
        stated += ["learning"] if self.learning != LearningSettings() else []
        if self.run and (stated or self.seed):
            raise SettingsError(
                f"backcast takes {', '.join(stated) or 'seed'} from run={self.run}: "
                f"leave them out, or leave out run."
            )

    @property
    def training(self) -> TrainSettings:
        """The settings of the run, where they are stated."""
        data = cast(DataSettings, self.data)
        return TrainSettings(
            name=self.name or data.name,
            data=data,
            model=cast(ModelSettings, self.model),
            split=cast(SplitSettings, self.split),
            seed=self.seed,
            learning=self.learning,
            machine=self.machine,
            logger=self.logger,
            paths=self.paths,
        )


@dataclass
class CatalogCommand(FetchSettings):
    """What ``catalog fetch`` is told.

    Attributes:
        paths: Where things lie.
    """

    paths: PathsSettings = field(default_factory=PathsSettings)


@dataclass
class EvaluateCommand(EvaluateSettings):
    """What ``evaluate`` is told.

    Attributes:
        logger: Where scores go beside the run's folder.
        paths: Where things lie.
    """

    logger: LoggerSettings = field(default_factory=LoggerSettings)
    paths: PathsSettings = field(default_factory=PathsSettings)


@dataclass
class CalibrateCommand(CalibrateSettings):
    """What ``calibrate`` is told.

    Attributes:
        paths: Where things lie.
    """

    paths: PathsSettings = field(default_factory=PathsSettings)


@dataclass
class CompareCommand(CompareSettings):
    """What ``compare`` is told.

    Attributes:
        paths: Where things lie.
    """

    paths: PathsSettings = field(default_factory=PathsSettings)


@dataclass
class AdaptCommand(AdaptSettings):
    """What ``adapt`` is told.

    Attributes:
        paths: Where things lie.
    """

    paths: PathsSettings = field(default_factory=PathsSettings)


@dataclass
class PromoteCommand(PromoteSettings):
    """What ``promote`` is told.

    Attributes:
        paths: Where things lie.
    """

    paths: PathsSettings = field(default_factory=PathsSettings)


@dataclass
class PredictCommand(PredictSettings):
    """What ``predict`` is told.

    Attributes:
        paths: Where things lie.
    """

    paths: PathsSettings = field(default_factory=PathsSettings)


@dataclass
class NightlyCommand(NightSettings):
    """What ``nightly`` is told.

    Attributes:
        paths: Where things lie.
    """

    paths: PathsSettings = field(default_factory=PathsSettings)


@dataclass
class DemoCommand:
    """What ``demo`` is told: the simulated Earth and where it goes.

    Attributes:
        grid_step: Degrees; a divisor of 180.
        first: First year of the teachers.
        last: Their last year; the forcing goes on for one more.
        seed: Of the weather.
        paths: Where things lie.
    """

    grid_step: float = 5.0
    first: int = 1950
    last: int = 2024
    seed: int = 0
    paths: PathsSettings = field(default_factory=PathsSettings)

    def __post_init__(self) -> None:
        """Check the grid and the years.

        Raises:
            SettingsError: If the simulated Earth cannot be made so.
        """
        if self.grid_step <= 0 or 180 % self.grid_step:
            raise SettingsError(
                f"grid_step is {self.grid_step}, but must divide 180. Try 5 or 10."
            )
        if self.first >= self.last:
            raise SettingsError(
                f"first is {self.first} and last is {self.last}: the teachers need "
                f"years. Give a later last."
            )


_COMMANDS: Mapping[str, type] = {
    "catalog": CatalogCommand,
    "demo": DemoCommand,
    "prepare": PrepareCommand,
    "map": MapCommand,
    "train": TrainSettings,
    "calibrate": CalibrateCommand,
    "backcast": BackcastCommand,
    "evaluate": EvaluateCommand,
    "compare": CompareCommand,
    "promote": PromoteCommand,
    "predict": PredictCommand,
    "nightly": NightlyCommand,
    "ensembles": LiveSettings,
    "adapt": AdaptCommand,
}

_GROUPS: Mapping[str, type] = {
    "data": DataSettings,
    "forcing": ForcingSettings,
    "split": SplitSettings,
    "source": NightSource,
    "learning": LearningSettings,
    "learning/consistency": ConsistencySettings,
    "learning/pretraining": PretrainingSettings,
    "learning/weak": WeakSettings,
    "machine": MachineSettings,
    "logger": LoggerSettings,
    "paths": PathsSettings,
}


def schema_of(command: str) -> type:
    """Return the settings of a command."""
    return _COMMANDS[command]


def register() -> None:
    """Tell Hydra the schema of every file in ``conf/``."""
    store = ConfigStore.instance()
    for name, command in _COMMANDS.items():
        store.store(name=f"{name}_schema", node=command)
    for name, group in _GROUPS.items():
        store.store(group=name, name=SCHEMA, node=group)
    store.store(group="data", name=NO_DATA, node={}, package="_global_")
    for name, model in MODELS.items():
        store.store(group="model", name=f"{name}_schema", node=model)
