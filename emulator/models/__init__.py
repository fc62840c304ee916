"""Networks: tensors in, tensors out, each with its settings."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from torch import nn

from emulator.carbon.errors import SettingsError
from emulator.models.balance import Balance
from emulator.models.base import ModelSettings, NetworkShape
from emulator.models.exchange import GasExchange
from emulator.models.pointwise import PointwiseSettings
from emulator.models.recurrent import RecurrentSettings
from emulator.models.sinknet import SinknetSettings
from emulator.models.unet import UnetSettings

MODELS: dict[str, type[ModelSettings]] = {
    "pointwise": PointwiseSettings,
    "recurrent": RecurrentSettings,
    "unet": UnetSettings,
    "sinknet": SinknetSettings,
}
"""Every network by the name that ``model=NAME`` chooses."""

__all__ = [
    "MODELS",
    "ModelSettings",
    "NetworkShape",
    "PointwiseSettings",
    "RecurrentSettings",
    "SinknetSettings",
    "UnetSettings",
    "build_network",
    "model_from_dict",
    "model_name",
    "model_to_dict",
]


def build_network(settings: ModelSettings, shape: NetworkShape) -> nn.Module:
    """Return the network that settings ask for, weights from torch's generator."""
    if settings.is_balance:
        return Balance(settings, shape)
    if settings.gas_exchange:
        return GasExchange(settings, shape)
    return settings.build(shape)


def model_name(settings: ModelSettings) -> str:
    """Return the name under which the settings' class stands in ``MODELS``."""
    for name, kind in MODELS.items():
        if type(settings) is kind:
            return name
    raise SettingsError(
        f"{type(settings).__name__} is no known model. Choose one of: "
        f"{', '.join(MODELS)}, with model=NAME."
    )


def model_to_dict(settings: ModelSettings) -> dict[str, Any]:
    """Return plain values, with the model's name, for YAML and checkpoints."""
    return {"name": model_name(settings), **asdict(settings)}


def model_from_dict(values: Mapping[str, Any]) -> ModelSettings:
    """Return settings from what ``model_to_dict`` made.

    Raises:
        SettingsError: If the name or a setting is unknown.
    """
    chosen = dict(values)
    name = chosen.pop("name", None)
    if name not in MODELS:
        raise SettingsError(
            f"The model {name!r} is unknown. Known are: {', '.join(MODELS)}."
        )
    known = {item.name for item in fields(MODELS[name])}
    if unknown := sorted(chosen.keys() - known):
        raise SettingsError(
            f"The model '{name}' has no setting {', '.join(unknown)}. It has: "
            f"{', '.join(sorted(known))}."
        )
    return MODELS[name](**chosen)
