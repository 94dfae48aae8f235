"""Connecting: clear errors, in time, and never a secret in the wrong place."""

from __future__ import annotations

import asyncio
import socket
import subprocess

import pytest

from busfn.bus.core import connect
from busfn.config import BusAddress
from busfn.errors import AuthError, ClientClosed, ConnectionError, InvalidError, ServiceError, VersionError

pytestmark = pytest.mark.anyio


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_no_server_is_told_at_once_and_without_secrets():
    """nats-py tries 60 times with pauses of 2 seconds, and its messages contain the URL."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    url = f"nats://me:s3cret@127.0.0.1:{closed_port()}"
    with pytest.raises(
        ConnectionError, match=r"no NATS server answers at nats://127\.0\.0\.1:\d+.*BUSFN_URL"
    ) as caught:
        await connect(BusAddress(servers=(url,)), name="test", timeout=10)
    assert "s3cret" not in str(caught.value)
    assert loop.time() - started < 2


async def test_a_server_that_says_nothing_is_given_up(scripted):
    scripted.silent = True
    address = await scripted.start()
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(ConnectionError, match="no answer in time"):
        await connect(address, name="test", timeout=0.3)
    assert loop.time() - started < 2


async def test_a_server_that_hangs_up_is_told(scripted):
    scripted.greeting = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with pytest.raises(ConnectionError):
        await connect(await scripted.start(), name="test", timeout=2)


async def test_a_later_server_of_the_list_is_found(address):
    servers = (f"nats://127.0.0.1:{closed_port()}", *address.servers)
    async with await connect(BusAddress(servers=servers, token=address.token), name="test") as bus:
        assert bus.connected


async def test_a_server_that_starts_later_may_be_waited_for(launch):
    port = closed_port()
    address = BusAddress(servers=(f"nats://127.0.0.1:{port}",), token="t")
    connecting = asyncio.create_task(connect(address, name="test", timeout=10, wait=True))
    await asyncio.sleep(0.2)
    await asyncio.to_thread(launch, port=port, token="t")
    await (await connecting).close()


async def test_waiting_ends_with_the_timeout():
    address = BusAddress(servers=(f"nats://127.0.0.1:{closed_port()}",))
    with pytest.raises(ConnectionError):
        await connect(address, name="test", timeout=0.3, wait=True)


async def test_refused_credentials_are_not_tried_again(address):
    with pytest.raises(AuthError):
        await connect(BusAddress(servers=address.servers, token="no"), name="test", timeout=10, wait=True)


async def test_credentials_may_be_in_the_url(launch):
    users = 'authorization { users: [ {user: "me", password: "p@ss"} ] }'
    server = launch(token="", extra_config=users)
    url = f"nats://me:p%40ss@127.0.0.1:{server.port}"
    await (await connect(BusAddress(servers=(url,)), name="test")).close()
    with_token = launch(token="only")
    await (await connect(BusAddress(servers=(f"nats://only@127.0.0.1:{with_token.port}",)), name="test")).close()


@pytest.mark.parametrize("version", ["2.11.9", "1.4.0", "unknown"])
async def test_an_old_server_is_refused(scripted, version):
    scripted.info["version"] = version
    with pytest.raises(VersionError, match=r"needs 2\.12"):
        await connect(await scripted.start(), name="test")


@pytest.mark.parametrize("version", ["2.12.0", "2.13.0-beta.2", "3.0.1"])
async def test_a_new_server_is_taken(scripted, version):
    scripted.info["version"] = version
    await (await connect(await scripted.start(), name="test")).close()


@pytest.mark.parametrize("url", ["http://host", "ws://host:80", "nats://", "nats://host:port"])
async def test_bad_urls_are_told(url):
    with pytest.raises(InvalidError):
        await connect(BusAddress(servers=(url,)), name="test")


async def test_no_jetstream_is_told(launch, name):
    server = launch(jetstream=False)
    async with await connect(server.address, name="test") as bus:
        with pytest.raises(ServiceError, match=r"no JetStream.*-js"):
            await bus.require_jetstream()
        with pytest.raises(ServiceError, match="no JetStream"):
            await bus.queues.purge(name, name)


async def test_an_account_without_jetstream_is_told(launch):
    config = 'accounts { A { users: [ {user: "a", password: "a"} ] } }'
    server = launch(token="", extra_config=config)
    address = BusAddress(servers=server.address.servers, user="a", password="a")
    async with await connect(address, name="test") as bus:
        with pytest.raises(ServiceError, match="JetStream"):
            await bus.require_jetstream()


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[str, str]:
    directory = tmp_path_factory.mktemp("tls")
    cert, key = str(directory / "cert.pem"), str(directory / "key.pem")
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", names]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


def tls_config(certificate: tuple[str, str], first: bool) -> str:
    cert, key = certificate
    return f'tls {{ cert_file: "{cert}", key_file: "{key}", handshake_first: {str(first).lower()} }}'


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_tls_from_the_first_byte(launch, certificate, scheme, collect):
    server = launch(extra_config=tls_config(certificate, first=True))
    url = f"{scheme}://127.0.0.1:{server.port}"
    address = BusAddress(servers=(url,), token=server.address.token, tls=True, tls_ca=certificate[0])
    async with await connect(address, name="test") as bus:
        got = collect()
        await bus.subscribe("a", got)
        for _ in range(20):
            bus.publish("a", b"x" * 500_000)
            await bus.writable()
        await got.reach(20)
        await bus.flush()


async def test_nothing_is_sent_in_clear_when_tls_is_asked_for(scripted):
    """nats-py sends credentials in clear to whoever says that TLS is not required."""
    clear = await scripted.start()
    address = BusAddress(servers=clear.servers, token="s3cret-token", tls=True)
    with pytest.raises(ConnectionError):
        await connect(address, name="test", timeout=2)
    assert b"s3cret-token" not in b"".join(scripted.received)


async def test_a_server_without_handshake_first_is_explained(launch, certificate):
    server = launch(extra_config=tls_config(certificate, first=False))
    address = BusAddress(servers=server.address.servers, token=server.address.token, tls=True, tls_ca=certificate[0])
    with pytest.raises(ConnectionError, match="handshake_first"):
        await connect(address, name="test", timeout=10)


async def test_an_unknown_certificate_is_refused(launch, certificate):
    server = launch(extra_config=tls_config(certificate, first=True))
    address = BusAddress(servers=server.address.servers, token=server.address.token, tls=True)
    with pytest.raises(ConnectionError, match="no TLS"):
        await connect(address, name="test", timeout=5)


async def test_missing_tls_files_are_told(address):
    with pytest.raises(InvalidError, match="TLS files"):
        await connect(BusAddress(servers=address.servers, tls=True, tls_ca="/nowhere/ca.pem"), name="test")


async def test_closing_while_connecting(scripted):
    scripted.silent = True
    connecting = asyncio.create_task(connect(await scripted.start(), name="test", timeout=30))
    await asyncio.sleep(0.05)
    connecting.cancel()
    with pytest.raises((asyncio.CancelledError, ClientClosed)):
        await connecting
