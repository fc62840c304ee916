"""The settings tree: which dataclass checks which file of ``conf/``.

A thing's settings stand beside the thing; here they are joined to one tree for each
command and told to Hydra, each tree only when its command runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore

from emulator.carbon.errors import SettingsError
from emulator.learning.settings import (
    LearningSettings,
    LoggerSettings,
    MachineSettings,
    PathSettings,
    SplitSettings,
    TrainSettings,
)

SCHEMA = "schema"
"""Name of the schema in a group that has only one kind of settings."""


@dataclass
class DemoSettings:
    """The simulated Earth of the demo.

    Attributes:
        grid_step: Degrees.
        first: First year of the teachers.
        last: Their last year; the forcing goes on for one more.
        seed: Of the weather.
        paths: Where everything goes.
    """

    grid_step: float = 5.0
    first: int = 1950
    last: int = 2024
    seed: int = 0
    paths: PathSettings = field(default_factory=PathSettings)


def register(command: str) -> None:
    """Tell Hydra the schema of ``conf/<command>.yaml`` and of its groups.

    Raises:
        SettingsError: If the command takes no settings.
    """
    if command not in _TREES:
        raise SettingsError(
            f"'{command}' takes no settings; those that do are {sorted(_TREES)}."
        )
    store = ConfigStore.instance()
    store.store(group="paths", name=SCHEMA, node=PathSettings)
    _TREES[command](store)


def _train(store: ConfigStore) -> None:
    from emulator.data.prepare import DataSettings
    from emulator.models import MODELS

    store.store(name="train_schema", node=TrainSettings)
    store.store(group="data", name=SCHEMA, node=DataSettings)
    store.store(group="split", name=SCHEMA, node=SplitSettings)
    store.store(group="learning", name=SCHEMA, node=LearningSettings)
    store.store(group="machine", name=SCHEMA, node=MachineSettings)
    store.store(group="logger", name=SCHEMA, node=LoggerSettings)
    for name, settings in MODELS.items():
        store.store(group="model", name=f"{name}_schema", node=settings)


def _demo(store: ConfigStore) -> None:
    store.store(name="demo_schema", node=DemoSettings)


_TREES: Mapping[str, Callable[[ConfigStore], None]] = {
    "demo": _demo,
    "train": _train,
}
