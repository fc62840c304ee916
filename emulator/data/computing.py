"""Where the work of ``prepare`` is done: in threads here, or on a Dask cluster.

The work is cut into jobs that know nothing of each other: each reads some years, and
writes whole files of a store. So they may run in any order and anywhere.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from emulator.carbon.errors import SettingsError, UserError

Job = TypeVar("Job")
Result = TypeVar("Result")

THREADS, SYNCHRONOUS = "threads", "synchronous"

SECONDS_TO_CONNECT = 30
"""Before a cluster counts as absent: Dask's own limit."""


class LostWorkersError(UserError):
    """Workers of a cluster ended at their work; what is finished is as good as ever."""


@dataclass
class DaskSettings:
    """How ``prepare`` computes; none of it changes what it makes.

    Attributes:
        scheduler: ``threads`` of this process, ``synchronous`` for one job after the
            other, or the address of a Dask scheduler whose workers see the same data
            and the same stores under the same paths, e.g. ``tcp://host:8786``.
        workers: Most threads at a time; as many as there are cores when 0.
        memory_gb: What the jobs that run together in threads may hold, 1e9 bytes: a
            job that needs more runs alone. On a cluster each worker runs as many jobs
            as it has threads.
    """

    scheduler: str = THREADS
    workers: int = 0
    memory_gb: float = 2.0

    def __post_init__(self) -> None:
        """Check that there is a place to compute.

        Raises:
            SettingsError: If a value is impossible.
        """
        known = (THREADS, SYNCHRONOUS)
        if self.scheduler not in known and "://" not in self.scheduler:
            raise SettingsError(
                f"dask.scheduler must be one of {list(known)} or an address such as "
                f"tcp://host:8786, got '{self.scheduler}'."
            )
        if self.workers < 0 or self.memory_gb <= 0:
            raise SettingsError(
                f"dask.workers must be 0 or more and dask.memory_gb positive, got "
                f"{self.workers} and {self.memory_gb:g}."
            )


@dataclass(frozen=True)
class Computer:
    """Does jobs.

    Attributes:
        settings: How.
        client: The connection to a cluster; None without one.
    """

    settings: DaskSettings
    client: Any = None

    def run(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], job_bytes: float
    ) -> list[Result]:
        """Return what ``work`` returns of each job, in their order.

        Args:
            work: A function of a module, with picklable arguments and results.
            jobs: What to do.
            job_bytes: Memory that one of them needs.

        Raises:
            UserError: What the first job that failed raised.
            LostWorkersError: If workers of a cluster ended at their work.
        """
        if self.client is not None:
            return self._run_on_cluster(work, jobs)
        threads = self.threads(job_bytes)
        if threads == 1 or len(jobs) < 2:
            return [work(job) for job in jobs]
        from dask.base import compute
        from dask.delayed import delayed

        tasks = [delayed(work, pure=False)(job) for job in jobs]
        found = compute(  # type: ignore[no-untyped-call]
            *tasks, scheduler=THREADS, num_workers=threads
        )
        return list(found)

    def _run_on_cluster(
        self, work: Callable[[Job], Result], jobs: Sequence[Job]
    ) -> list[Result]:
        from distributed import KilledWorker

        # Impure: they write files, and may be told to write them again.
        futures = self.client.map(work, jobs, pure=False)
        try:
            done: list[Result] = self.client.gather(futures)
        except KilledWorker as error:
            raise LostWorkersError(
                f"Workers of the cluster at '{self.settings.scheduler}' ended at their "
                f"work, again and again ({error.task}), most often for want of memory. "
                f"Look into their logs; give them more memory or fewer threads. The "
                f"same command goes on from what is finished."
            ) from None
        return done

    def threads(self, job_bytes: float) -> int:
        """Return how many threads may work on jobs of ``job_bytes`` at a time."""
        if self.settings.scheduler == SYNCHRONOUS:
            return 1
        most = self.settings.workers or os.cpu_count() or 1
        return max(1, min(most, int(self.settings.memory_gb * 1e9 / job_bytes)))


def require_shared(folder: Path) -> None:
    """Refuse to work where a store that is being written is not seen.

    Raises:
        UserError: If it is not, on another computer.
    """
    if not folder.is_dir():
        raise UserError(
            f"A worker of the cluster does not see {folder}, but workers must see "
            f"data and stores under the same paths as the command. Choose paths.stores "
            f"on a disk that all of them share, or leave dask.scheduler at 'threads'."
        )


@contextmanager
def computing(settings: DaskSettings) -> Iterator[Computer]:
    """Give what does jobs: with a connection to the cluster, if one is asked for.

    Raises:
        UserError: If no cluster answers, it has no worker, or the library for it is
            not installed.
    """
    if settings.scheduler in (THREADS, SYNCHRONOUS):
        yield Computer(settings)
        return
    try:
        from distributed import Client
    except ImportError:
        raise UserError(
            f"dask.scheduler is '{settings.scheduler}', but Dask's distributed "
            f"scheduler is not installed. Install it with `pip install "
            f"'sink-emulator[cluster]'`, or leave dask.scheduler at '{THREADS}'."
        ) from None
    try:
        client = Client(  # type: ignore[no-untyped-call]
            settings.scheduler, timeout=SECONDS_TO_CONNECT
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"No Dask scheduler answers at '{settings.scheduler}' ({error}). Start one "
            f"with `dask scheduler` and `dask worker`, correct the address, or leave "
            f"dask.scheduler at '{THREADS}'."
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=SECONDS_TO_CONNECT)
        except TimeoutError:
            raise UserError(
                f"The Dask scheduler at '{settings.scheduler}' has no worker after "
                f"{SECONDS_TO_CONNECT} s, but one at least is needed. Start some with "
                f"`dask worker {settings.scheduler}`, or leave dask.scheduler at "
                f"'{THREADS}'."
            ) from None
        yield Computer(settings, client)
