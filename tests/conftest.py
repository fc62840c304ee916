"""Fixtures for all tests: tiny worlds, written once."""

from pathlib import Path

import pytest

from tests.worlds import tiny_store


@pytest.fixture(scope="session")
def land_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_store(tmp_path_factory.mktemp("land"), "land")


@pytest.fixture(scope="session")
def ocean_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_store(tmp_path_factory.mktemp("ocean"), "ocean")
