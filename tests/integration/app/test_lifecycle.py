"""Running apps on a bus of one's own and on a shared one, and what is wrong with some buses."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import lifecycle
import pytest

from busfn import App, Function, errors
from busfn.bus.core import connect
from busfn.bus.server import EmbeddedServer
from busfn.config import BusAddress
from busfn.protocol.subjects import Subjects
from busfn.streams import consumers


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedServer]:
    server = EmbeddedServer.launch().wait_ready()
    yield server
    server.stop()


@pytest.fixture
def configured(shared: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> BusAddress:
    """The process is configured for a server that others use, too."""
    address = shared.address
    monkeypatch.setenv("BUSFN_URL", address.servers[0].replace("://", f"://{address.token}@"))
    monkeypatch.setenv("BUSFN_SIGNING_KEY", "the same on both sides")
    return address


def test_a_function_of_an_app_that_is_not_running_says_so() -> None:
    with pytest.raises(errors.ExecutionError, match=r"has not been hydrated.*not running"):
        lifecycle.square.remote(1)
    with pytest.raises(AttributeError):
        _ = lifecycle.square.object_id
    assert lifecycle.square.local(3) == 9


def test_handles_are_unhydrated_again_after_the_run() -> None:
    with lifecycle.app.run():
        assert lifecycle.square.remote(3) == 9
    with pytest.raises(errors.ExecutionError, match="not running"):
        lifecycle.square.remote(1)


def test_async_with_runs_an_app() -> None:
    async def main() -> int:
        async with lifecycle.app.run():
            return await lifecycle.square.remote.aio(4)

    assert asyncio.run(main()) == 16


def test_an_app_runs_again_after_an_error_in_its_block() -> None:
    with pytest.raises(ZeroDivisionError), lifecycle.app.run():
        _ = 1 / 0
    with lifecycle.app.run():
        assert lifecycle.square.remote(2) == 4


def test_a_configured_bus_is_used_and_left_clean(configured: BusAddress) -> None:
    with lifecycle.app.run():
        assert lifecycle.square.remote(3) == 9
        assert list(lifecycle.square.map(range(100))) == [i * i for i in range(100)]
        assert isinstance(lifecycle.echo.remote(lifecycle.Thing()), lifecycle.Thing)
    assert asyncio.run(_consumers_left(configured)) == []


async def _consumers_left(address: BusAddress) -> list[str]:
    bus = await connect(address, name="test")
    left: list[str] = []
    try:
        for name in lifecycle.app.functions:
            for consumer in consumers(Subjects(), "lifecycle", name):
                try:
                    await bus.queues.lag(consumer.stream, consumer.name)
                except errors.NotFoundError:
                    continue
                left.append(consumer.name)
    finally:
        await bus.close()
    return left


def test_another_client_finds_a_function_by_name(configured: BusAddress) -> None:
    with lifecycle.app.run():
        by_name = textwrap.dedent(
            """
            import busfn
            square = busfn.Function.from_name("lifecycle", "square")
            print(repr(square), square.remote(5), list(square.map([1, 2])))
            """
        )
        done = subprocess.run([sys.executable, "-c", by_name], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "busfn.Function.from_name('lifecycle', 'square') 25 [1, 4]"


def test_the_same_app_can_be_run_twice_on_one_bus(configured: BusAddress) -> None:
    again = textwrap.dedent(
        f"""
        import sys
        sys.path.insert(0, {str(Path(lifecycle.__file__).parent)!r})
        import lifecycle
        with lifecycle.app.run() as app:
            print(lifecycle.square.remote(5), lifecycle.square.app_name, list(lifecycle.square.map([1, 2])))
        """
    )
    with lifecycle.app.run():
        done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, timeout=60, check=True)
        assert re.fullmatch(r"25 lifecycle@run-[0-9a-f]{8} \[1, 4\]\n", done.stdout)
        assert lifecycle.square.remote(3) == 9
    done = subprocess.run([sys.executable, "-c", again], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "25 lifecycle [1, 4]\n"
    assert asyncio.run(_consumers_left(configured)) == []


def test_environments_keep_apps_apart(configured: BusAddress) -> None:
    with lifecycle.app.run(env="one"):
        assert lifecycle.square.object_id == "busfn.one.fn.lifecycle.square"
        assert lifecycle.square.remote(3) == 9


def test_without_a_signing_key_plain_data_works_and_a_pickle_is_refused(
    configured: BusAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BUSFN_SIGNING_KEY")
    with lifecycle.app.run():
        assert lifecycle.echo.remote([1, {"a": (2,)}]) == [1, {"a": (2,)}]
        with pytest.raises(errors.SerializationError, match=r"args\[0\]\['thing'\].*BUSFN_SIGNING_KEY"):
            lifecycle.echo.remote({"thing": lifecycle.Thing()})


def test_an_unknown_function_is_an_error_at_once(configured: BusAddress) -> None:
    script = 'import busfn; busfn.Function.from_name("nobody", "here").remote(1)'
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "Lookup failed for Function 'here' from the 'nobody' app" in done.stderr


def test_no_server_is_a_connection_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUSFN_URL", "nats://127.0.0.1:1")
    with pytest.raises(errors.ConnectionError, match=r"127\.0\.0\.1:1"), lifecycle.app.run():
        pass


def test_a_wrong_token_is_an_auth_error(shared: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUSFN_URL", shared.address.servers[0].replace("://", "://wrong@"))
    with pytest.raises(errors.AuthError), lifecycle.app.run():
        pass


def test_a_server_without_jetstream_is_named_as_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    server = EmbeddedServer.launch(jetstream=False).wait_ready()
    try:
        monkeypatch.setenv("BUSFN_URL", server.address.servers[0].replace("://", f"://{server.address.token}@"))
        with pytest.raises(errors.ServiceError, match="JetStream"), lifecycle.app.run():
            pass
    finally:
        server.stop()


def test_a_worker_that_cannot_import_is_the_error_of_every_call() -> None:
    with lifecycle.broken.run():
        for _ in range(2):
            with pytest.raises(errors.ServiceError, match="failed to start") as caught:
                lifecycle.never.remote()
            assert "not in a worker" in str(caught.value)
        with pytest.raises(errors.ServiceError, match="failed to start"):
            list(lifecycle.never.map([1, 2]))


def test_a_lookup_does_no_io_and_checks_its_names() -> None:
    assert repr(Function.from_name("app", "f")) == "busfn.Function.from_name('app', 'f')"
    with pytest.raises(errors.InvalidError):
        Function.from_name("bad app", "f")
    with pytest.raises(errors.InvalidError, match="class"):
        Function.from_name("app", "Cls.method")
    with pytest.raises(errors.ExecutionError, match="definition is missing"):
        Function.from_name("app", "f").local()


def test_decorating_what_workers_could_not_find_is_refused() -> None:
    app = App("wrong")
    with pytest.raises(errors.InvalidError, match="global scope"):

        @app.function()
        def inner() -> None: ...

    with pytest.raises(errors.InvalidError, match="parentheses"):
        app.function(lambda: None)  # type: ignore[arg-type]
