"""A deployment after its first night, made once for all tests of nights."""

from pathlib import Path

import pytest

from .deployments import Deployment, deployment, trained


@pytest.fixture(scope="session")
def runs(
    land_store: Path, ocean_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    stores = {"land": land_store, "ocean": ocean_store}
    return trained(stores, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def first(
    runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Deployment:
    """Return a deployment after its first night; to be copied, not gone on with."""
    made = deployment(tmp_path_factory.mktemp("first"), runs)
    outcome = made.night("2008-11-01")
    assert outcome.changed
    return made
