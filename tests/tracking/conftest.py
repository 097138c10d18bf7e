"""The stores of these tests, and a command for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks._server import Server
from pipeline.tracking.client import command, wait_for_delivery
from tests.servers import Proxy


@pytest.fixture(autouse=True)
def a_command_of_its_own() -> Iterator[None]:
    """A command warns of an outage once, and waits for MLflow at its end; here each test stands for one."""
    command().is_behind = False
    yield
    wait_for_delivery()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"), store)
    server.start()
    server.wait()
    yield server
    server.stop()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    proxy = Proxy(server)
    yield proxy
    proxy.close()
