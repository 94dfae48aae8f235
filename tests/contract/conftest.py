"""The same tests over every bus.

``--bus=container`` needs a Docker engine; it runs the image in BUSFN_TEST_NATS_IMAGE (default nats:2.15). Where that
cannot be pulled, an image is built FROM scratch around the static nats-server binary of this environment.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from busfn.bus.base import Bus, StreamSpec
from busfn.bus.core import connect
from busfn.bus.memory import MemoryBroker, MemoryBus
from busfn.bus.server import find_server
from busfn.config import BusAddress

Make = Callable[[], Awaitable[Bus]]
IMAGE = "nats:2.15"
BUILT = "busfn-test-nats:local"
TOKEN = "contract"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        kinds = metafunc.config.getoption("--bus") or ["memory", "embedded"]
        marks = {"container": [pytest.mark.container]}
        metafunc.parametrize("kind", [pytest.param(kind, marks=marks.get(kind, [])) for kind in kinds])


@pytest.fixture
async def make_bus(kind: str, name: str, request: pytest.FixtureRequest, anyio_backend: object) -> AsyncIterator[Make]:
    """Makes buses that see one another, and closes them after the test."""
    buses: list[Bus] = []
    broker = MemoryBroker()

    async def make() -> Bus:
        if kind == "memory":
            bus: Bus = MemoryBus(broker)
        else:
            address = request.getfixturevalue("address" if kind == "embedded" else "container_address")
            blobs = {"blob_stream": f"{name}_BLOB", "blob_prefix": f"{name}.blob"}
            bus = await connect(address, name="contract", wait=True, **blobs)
        buses.append(bus)
        return bus

    yield make
    for bus in buses:
        await bus.close()


@pytest.fixture
async def bus(make_bus: Make) -> Bus:
    return await make_bus()


@pytest.fixture
async def other(make_bus: Make) -> Bus:
    """A second connection to the same bus."""
    return await make_bus()


@pytest.fixture
async def jobs(bus: Bus, name: str) -> str:
    """A work stream that keeps ``<name>.>``; its name is the fixture's value."""
    await bus.queues.ensure_stream(StreamSpec(name=name, subjects=(f"{name}.>",), memory=True))
    return name


@pytest.fixture(scope="session")
def container_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BusAddress]:
    """A nats-server in a container of its own."""
    docker = pytest.importorskip("docker")
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    image = _image(client, docker.errors, tmp_path_factory.mktemp("image"))
    client.close()
    yield from _run(image)


def _image(client, errors, directory: Path) -> str:
    wanted = os.environ.get("BUSFN_TEST_NATS_IMAGE", IMAGE)
    for find in (client.images.get, client.images.pull):
        try:
            find(wanted)
            return wanted
        except errors.APIError:
            continue
    shutil.copy(find_server(), directory / "nats-server")
    (directory / "Dockerfile").write_text('FROM scratch\nCOPY nats-server /nats-server\nENTRYPOINT ["/nats-server"]\n')
    client.images.build(path=str(directory), tag=BUILT)
    return BUILT


def _run(image: str) -> Iterator[BusAddress]:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    network = os.environ.get("BUSFN_TEST_NETWORK", "")
    container = DockerContainer(image).with_command(["-js", "--auth", TOKEN, "-sd", "/data"])
    container.waiting_for(LogMessageWaitStrategy("Server is ready"))
    if network == "host":
        # Where published ports do not work: the server listens on the host's loopback.
        container = container.with_kwargs(network_mode="host")
        container.with_command(["-js", "--auth", TOKEN, "-sd", "/data", "-a", "127.0.0.1", "-p", "14222"])
    else:
        container = container.with_exposed_ports(4222)
    with container:
        host, port = (
            ("127.0.0.1", 14222)
            if network == "host"
            else (
                container.get_container_host_ip(),
                container.get_exposed_port(4222),
            )
        )
        yield BusAddress(servers=(f"nats://{host}:{port}",), token=TOKEN)
