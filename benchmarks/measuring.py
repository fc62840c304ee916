"""What a piece of work takes: seconds, and the memory of the process meanwhile."""

import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import psutil
import torch

from emulator.data.stores import code_version

Result = TypeVar("Result")

LOOK_EVERY = 0.02
"""Seconds between two looks at the memory: what lives shorter is not seen."""


@dataclass(frozen=True)
class Cost:
    """What a piece of work took.

    Attributes:
        seconds: Wall-clock time.
        memory_mb: Most memory resident in the process meanwhile, libraries included,
            1e6 bytes.
        gpu_memory_mb: Most memory that tensors held on the GPU, 1e6 bytes; None on
            a CPU.
    """

    seconds: float
    memory_mb: float
    gpu_memory_mb: float | None


@dataclass(frozen=True)
class Promise:
    """A time that the project promises.

    Attributes:
        seconds: At most.
        given_for: The input and the machine it is promised for.
        applies: Whether this is that input, on such a machine.
    """

    seconds: float
    given_for: str
    applies: bool


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: Of what was measured.
        value: The measured number.
        unit: Its unit: "s", "s per step", "samples per s", or "x" for a ratio.
        cost: What the measurement took.
        about: The sizes behind the number.
        promise: What the project promises of it, in seconds; None = nothing.
    """

    name: str
    value: float
    unit: str
    cost: Cost
    about: str
    promise: Promise | None = None

    @property
    def is_kept(self) -> bool | None:
        """Whether the promise is kept; None where there is none for this input."""
        if self.promise is None or not self.promise.applies:
            return None
        return self.value < self.promise.seconds


def measure(
    work: Callable[[], Result], device: str, *, times: int = 1, warm_ups: int = 0
) -> tuple[Result, Cost]:
    """Do ``work`` and say what it took.

    Args:
        work: What to do.
        device: "cpu" or "gpu"; a GPU is waited for.
        times: How often to do it; the median time counts.
        warm_ups: How often to do it before, unmeasured.

    Returns:
        What ``work`` returned at last, and its cost.
    """
    for _ in range(warm_ups):
        work()
    seconds = []
    with _Memory(device) as memory:
        for _ in range(times):
            _wait(device)
            begun = time.perf_counter()
            result = work()
            _wait(device)
            seconds.append(time.perf_counter() - begun)
    return result, Cost(statistics.median(seconds), memory.most, memory.most_on_gpu)


def environment(device: str) -> dict[str, Any]:
    """Return what the times depend on besides the work."""
    gpu = torch.cuda.get_device_name() if device == "gpu" else None
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": code_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device,
        "cpu": _cpu_name(),
        "cpu_cores": os.cpu_count(),
        "gpu": gpu,
        "threads": torch.get_num_threads(),
        # Others at work on the same computer: above the cores, times are too long.
        "load_average": round(psutil.getloadavg()[0], 2),
    }


class _Memory:
    """Watches the memory of this process from a thread of its own."""

    def __init__(self, device: str) -> None:
        self.most = 0.0
        self.most_on_gpu: float | None = None
        self._on_gpu = device == "gpu"
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        if self._on_gpu:
            torch.cuda.reset_peak_memory_stats()
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()
        if self._on_gpu:
            self.most_on_gpu = torch.cuda.max_memory_allocated() / 1e6

    def _watch(self) -> None:
        while not self._done.wait(LOOK_EVERY):
            self._look()

    def _look(self) -> None:
        self.most = max(self.most, self._process.memory_info().rss / 1e6)


def _wait(device: str) -> None:
    """Wait for what a GPU has still to do: calls return before it is done."""
    if device == "gpu":
        torch.cuda.synchronize()


def _cpu_name() -> str:
    """Return the processor's name as the system tells it."""
    told = Path("/proc/cpuinfo")  # platform.processor() is empty on most Linuxes
    if told.exists():
        for line in told.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
