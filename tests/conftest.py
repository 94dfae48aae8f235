"""Fixtures for all tests: a loop, a server, names, and something to collect what arrives.

Async tests say ``pytestmark = pytest.mark.anyio``. ``--uvloop`` runs them on uvloop.
``--bus=memory|embedded|container`` chooses where the contract suite runs; it may be given several times, and is memory
and embedded by default.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import hypothesis
import pytest

from busfn.bus.core import NatsBus, connect
from busfn.bus.server import EmbeddedServer
from busfn.config import BusAddress

hypothesis.settings.register_profile("machine", deadline=None)  # a busy machine is no bug
hypothesis.settings.load_profile("machine")

BUSES = ("memory", "embedded", "container")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bus", action="append", choices=BUSES, default=[], help="where the contract suite runs")
    parser.addoption("--full", action="store_true", help="run tests of losses at the sizes that are promised")
    parser.addoption("--uvloop", action="store_true", help="run async tests on uvloop")


def pytest_configure() -> None:
    """Let what tests start take signals as it does in a terminal: a shell has its background jobs, and `nohup` what it
    runs, ignore some of them, which all that they start would inherit. What is handled is not inherited."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """asyncio only."""
    return "asyncio", {"use_uvloop": bool(request.config.getoption("--uvloop"))}


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether to run at full size."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """One nats-server for all tests that do not hurt it."""
    server = EmbeddedServer.launch().wait_ready()
    yield server
    server.stop()


@pytest.fixture
def address(server: EmbeddedServer) -> BusAddress:
    """Where the server of this session is."""
    return server.address


@pytest.fixture
def name() -> str:
    """A token nobody else uses, for subjects and streams."""
    return f"t{secrets.token_hex(6)}"


Connect = Callable[..., Awaitable[NatsBus]]


@pytest.fixture
async def connected(anyio_backend: object) -> AsyncIterator[Connect]:
    """Makes NATS buses (`await connected(address)`) and closes them after the test."""
    buses: list[NatsBus] = []

    async def make(address: BusAddress, **options: str) -> NatsBus:
        bus = await connect(address, name="test", **options)
        buses.append(bus)
        return bus

    yield make
    for bus in buses:
        await bus.close()


class Collector:
    """A handler that keeps what it gets: `await collector.reach(3)`."""

    def __init__(self) -> None:
        self.items: list[object] = []
        self._grown = asyncio.Event()

    def __call__(self, item: object) -> None:
        self.items.append(item)
        self._grown.set()

    async def reach(self, count: int, timeout: float = 10.0) -> list:
        """Wait until there are at least so many, and return them."""
        async with asyncio.timeout(timeout):
            while len(self.items) < count:
                self._grown.clear()
                await self._grown.wait()
        return list(self.items)


@pytest.fixture
def collect() -> Callable[[], Collector]:
    """Makes collectors."""
    return Collector
