"""Emulate the natural carbon sinks: train on process models, run on recent climate.

The public functions, imported only when they are first used:

* ``open_run(path)``: a trained run; ``.predict(forcing)`` gives its fluxes;
* ``open_sink(path, as_of)``: a published sink map, of the last night or a past one;
* ``budget(sink_map, region)``: what a region takes up, by month and by year.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

_PUBLIC = {
    "open_run": "emulator.learning.inference",
    "open_sink": "emulator.nightly.opening",
    "budget": "emulator.nightly.budget",
}

__all__ = ["__version__", "budget", "open_run", "open_sink"]


def __getattr__(name: str) -> Any:
    """Import a public function, or read the version, on first use."""
    if name == "__version__":
        found: Any = version("sink-emulator")
    elif name in _PUBLIC:
        found = getattr(import_module(_PUBLIC[name]), name)
    else:
        raise AttributeError(f"module 'emulator' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public functions, imported or not."""
    return sorted({*globals(), *__all__})
