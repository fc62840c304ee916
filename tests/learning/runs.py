"""Settings of small runs on the tiny world of ``tests.worlds``."""

from typing import Any

from emulator.data.settings import DataSettings
from emulator.learning.settings import (
    LearningSettings,
    MachineSettings,
    SplitSettings,
    TrainSettings,
)
from emulator.models import ModelSettings, RecurrentSettings
from tests.worlds import FORCING, SIMULATIONS, STATIC, TEACHERS


def tiny_data(domain: str = "land", **changes: Any) -> DataSettings:
    values: dict[str, Any] = {
        "name": "tiny",
        "domain": domain,
        "teachers": list(TEACHERS[domain]),
        "simulations": list(SIMULATIONS[domain]),
        "fluxes": ["nbp"] if domain == "land" else ["fgco2"],
        "forcing": ["tiny_forcing"],
        "forcing_variables": list(FORCING[domain]),
        "static": ["tiny_static"],
        "static_variables": list(STATIC[domain]),
        "years": [1990, 2008],
    }
    return DataSettings(**values | changes)


def small_gru(**changes: Any) -> RecurrentSettings:
    return RecurrentSettings(**{"memory": 3, "width": 16} | changes)


def tiny_settings(
    model: ModelSettings | None = None,
    *,
    data: DataSettings | None = None,
    split: SplitSettings | None = None,
    seed: int = 0,
    name: str = "tiny",
    **learning: Any,
) -> TrainSettings:
    """Return settings that learn the law of the tiny world in seconds."""
    values: dict[str, Any] = {
        "steps": 200,
        "samples_per_batch": 8,
        "cells_per_batch": 0,
        "validate_every": 50,
        "peak_rate": 1e-2,
        "warmup_steps": 20,
        "ema_decay": 0.95,
    }
    return TrainSettings(
        name=name,
        data=data or tiny_data(),
        model=model or small_gru(),
        split=split or SplitSettings([1990, 2004], [2001, 2001], [2006, 2008]),
        seed=seed,
        learning=LearningSettings(**values | learning),
        machine=MachineSettings(threads=1),
    )
