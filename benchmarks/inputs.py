"""What is measured on: a store, and the settings of a run on it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from emulator.carbon.errors import SettingsError
from emulator.cli import composing
from emulator.cli.files import options
from emulator.data.settings import DataSettings
from emulator.data.stores import TRAINING_SCHEMA, open_store
from emulator.learning.settings import MachineSettings, SplitSettings, TrainSettings
from emulator.models import RecurrentSettings, UnetSettings

GAP = 3
"""Years between training, validation and test: the memory of the networks."""


def data_of_store(store: Path) -> DataSettings:
    """Return the settings that a store was prepared with.

    Raises:
        SettingsError: If the store does not tell them.
    """
    told = open_store(store, TRAINING_SCHEMA).attrs.get("settings")
    if told is None:
        raise SettingsError(
            f"{store} does not tell the settings it was prepared with. Give a store "
            f"that `sink-emulator prepare` made."
        )
    return DataSettings(**json.loads(told))


def settings_of_run(data: DataSettings, device: str, threads: int) -> TrainSettings:
    """Return the standard run of the recurrent network on a store.

    The network emulates the first flux of the store, which is the net one.
    """
    precision = "bf16" if device == "gpu" else "32"  # as conf/machine has them
    return TrainSettings(
        name="benchmark",
        data=data,
        model=RecurrentSettings(fluxes=data.fluxes[:1]),
        split=_split(data.name, data.years),
        machine=MachineSettings(device, precision, threads),
    )


def on_maps(settings: TrainSettings) -> TrainSettings:
    """Return the same run with the network that works on whole maps."""
    return replace(
        settings,
        model=UnetSettings(fluxes=settings.model.fluxes),
        learning=replace(settings.learning, cells_per_batch=0),
    )


def _split(name: str, years: Sequence[int]) -> SplitSettings:
    """Return the years of ``conf/split``, or else parts of the store's own.

    The last fifth of the labels is for the test, the tenth before for validation.
    """
    if name in options("split") and name in options("data"):
        known: TrainSettings = composing.settings_of("train", [f"data={name}"])
        if list(known.data.years) == list(years):
            return known.split
    first, last = years
    test = last - (last - first) // 5
    end = test - 1 - GAP
    validation = end - (last - first) // 10
    return SplitSettings([first, end], [validation, end], [test, last])
