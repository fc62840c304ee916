"""Fixtures for all tests: tiny worlds, written once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.data.servers import Server, serving
from tests.worlds import tiny_store


@pytest.fixture(scope="session")
def land_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_store(tmp_path_factory.mktemp("land"), "land")


@pytest.fixture(scope="session")
def ocean_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_store(tmp_path_factory.mktemp("ocean"), "ocean")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as running:
        yield running
