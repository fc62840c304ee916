"""Jobs are done in their order's results, wherever they are done."""

import builtins
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emulator.carbon.errors import GateError, SettingsError, UserError
from emulator.data import computing as computing_module
from emulator.data import stores, teachers
from emulator.data.computing import Computer, DaskSettings, computing
from emulator.data.prepare import prepare
from tests.data import small_files as small

GIGABYTE = 1e9


def halved(number: int) -> float:
    """Return the half, the later the smaller the number: an order to be kept."""
    time.sleep(0.02 * (4 - number))
    return number / 2


def process(_: int) -> int:
    return os.getpid()


def refuse(number: int) -> int:
    if number == 2:
        raise GateError("the second is not plausible")
    return number


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_results_come_in_the_order_of_the_jobs(scheduler: str) -> None:
    with computing(DaskSettings(scheduler, workers=3)) as computer:
        assert computer.run(halved, [1, 2, 3], 1.0) == [0.5, 1.0, 1.5]
        assert computer.run(halved, [], 1.0) == []


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_what_a_job_raises_is_raised(scheduler: str) -> None:
    with (
        computing(DaskSettings(scheduler, workers=2)) as computer,
        pytest.raises(GateError, match="second is not plausible"),
    ):
        computer.run(refuse, [1, 2, 3], 1.0)


@pytest.mark.parametrize(
    ("settings", "job_gb", "threads"),
    [
        (DaskSettings(workers=8), 0.1, 8),
        (DaskSettings(workers=8), 0.5, 4),  # 2 GB by default
        (DaskSettings(workers=8, memory_gb=4), 0.5, 8),
        (DaskSettings(workers=8), 5.0, 1),  # one must be allowed
        (DaskSettings(), 1e-9, os.cpu_count()),
        (DaskSettings("synchronous", workers=8), 0.1, 1),
    ],
)
def test_as_many_threads_work_as_memory_allows(
    settings: DaskSettings, job_gb: float, threads: int
) -> None:
    assert Computer(settings).threads(job_gb * GIGABYTE) == threads


def test_jobs_run_together() -> None:
    both = threading.Barrier(2, timeout=30)
    with computing(DaskSettings(workers=2)) as computer:
        found = computer.run(lambda _: both.wait(), [1, 2], 1.0)
    assert sorted(found) == [0, 1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scheduler": "processes"}, r"dask.scheduler must be one of .*'processes'"),
        ({"workers": -1}, r"dask.workers must be 0 or more .* got -1 and 2"),
        ({"memory_gb": 0.0}, r"dask.memory_gb positive, got 0 and 0"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        DaskSettings(**wrong)


def test_a_missing_library_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *how: Any, **more: Any) -> Any:
        if name == "distributed":
            raise ImportError(name)
        return imported(name, *how, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with (
        pytest.raises(UserError, match=r"pip install 'sink-emulator\[cluster\]'"),
        computing(DaskSettings("tcp://127.0.0.1:8786")),
    ):
        pass


def test_a_cluster_that_does_not_answer_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(computing_module, "SECONDS_TO_CONNECT", 1)
    with (
        pytest.raises(
            UserError, match=r"No Dask scheduler answers at 'tcp://127.0.0.1"
        ),
        computing(DaskSettings("tcp://127.0.0.1:9")),
    ):
        pass


def test_a_cluster_without_workers_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(computing_module, "SECONDS_TO_CONNECT", 1)
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, dashboard_address=None
        ) as empty,
        pytest.raises(UserError, match="has no worker after 1 s, but one at least is"),
        computing(DaskSettings(empty.scheduler_address)),
    ):
        pass


def test_workers_that_end_at_their_work_are_told_of() -> None:
    distributed = pytest.importorskip("distributed")

    class Client:
        def map(self, *_: Any, **__: Any) -> list[Any]:
            return []

        def gather(self, _: list[Any]) -> list[Any]:
            raise distributed.KilledWorker("halved-1", None, 3)

    computer = Computer(DaskSettings("tcp://127.0.0.1:8786"), Client())
    message = r"ended at their work, again and again \(halved-1\).*The same command"
    with pytest.raises(UserError, match=message):
        computer.run(halved, [1], 1.0)


@pytest.fixture
def cluster() -> Iterator[str]:
    """Start a scheduler and two worker processes; give the address."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as made:
        yield made.scheduler_address


@pytest.mark.slow
def test_a_cluster_of_processes_makes_the_same_store(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "YEARS_IN_SHARD", 1)
    monkeypatch.setattr(teachers, "BLOCK_BYTES", 1)
    small.make_files(tmp_path)
    made = {}
    for name, scheduler in (("here", "synchronous"), ("there", cluster)):
        made[name] = prepare(
            small.settings(),
            data_root=tmp_path,
            stores_root=tmp_path / name,
            catalog_dirs=[tmp_path / "catalog"],
            dask=DaskSettings(scheduler),
        )
    for path in (made["here"] / "nbp" / "c").rglob("*"):
        other = made["there"] / path.relative_to(made["here"])
        assert path.is_dir() or path.read_bytes() == other.read_bytes()
    with computing(DaskSettings(cluster)) as computer:
        assert os.getpid() not in computer.run(process, [1, 2, 3, 4], 1.0)
        with pytest.raises(GateError, match="second is not plausible"):
            computer.run(refuse, [1, 2, 3], 1.0)
    # An error on a worker stops the command as one here does, and leaves nothing.
    small.write_labels(tmp_path / "one", "S2", np.full((48, 6, 12), 1e-3))
    with pytest.raises(GateError, match="PgC"):
        prepare(
            small.settings(name="wrong"),
            data_root=tmp_path,
            stores_root=tmp_path / "refused",
            catalog_dirs=[tmp_path / "catalog"],
            dask=DaskSettings(cluster),
        )
    assert not list((tmp_path / "refused").iterdir())
