"""A deployment after its first night, made once for all tests of nights."""

import logging
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from .deployments import Deployment, deployment, trained

KEYS = {
    "AWS_ACCESS_KEY_ID": "made-up-key",
    "AWS_SECRET_ACCESS_KEY": "made-up-secret",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


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


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Start an S3 server on a free port of this machine; return its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def url(
    s3: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    """Return a place of its own on the S3 server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": s3}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=s3, region_name="us-east-1")
    name = request.node.name.replace("_", "-")[:60]
    client.create_bucket(Bucket=name)
    return f"s3://{name}/deployment"
