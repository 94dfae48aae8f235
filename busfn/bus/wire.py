"""Opening a connection. The only module that imports nats-py.

nats-py does what it is good at: URLs, TCP, TLS, INFO/CONNECT and authentication in all its forms. Once the server has
answered the handshake we take the socket away from it: its read loop can die unnoticed, its flush is no barrier, its
subscriptions lose messages when they are drained, and some errors close it for good. Its private names are used here
and nowhere else, which is why its version is pinned.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from nats.aio.client import Client
from nats.errors import Error as NatsError

from busfn.config import BusAddress
from busfn.errors import AuthError, ConnectionError, Error, InvalidError, VersionError

OLDEST_SERVER = (2, 12)


@dataclass(frozen=True, slots=True)
class Opened:
    """A socket after the handshake, no longer read by anyone."""

    transport: asyncio.Transport
    unread: bytes
    """What the server sent beyond the handshake."""
    info: dict[str, Any]
    server: str
    keeper: object
    """To be referenced as long as the transport: it closes the socket when it is collected."""


class _Handshake(Client):
    """A client that stops after the handshake: one server, one attempt, no tasks."""

    async def _select_next_server(self) -> None:
        server = self._server_pool[0]
        await self._connect_to_server(server)
        self._current_server = server

    async def _read_loop(self) -> None:
        """We read."""

    async def _flusher(self) -> None:
        """We write."""

    async def _ping_interval(self) -> None:
        """We ping."""

    @property
    def socket(self) -> Any:
        """nats-py's wrapper around reader and writer, None before there is one."""
        return self._transport

    @property
    def writers(self) -> list[Any]:
        """The streams of the socket: the bare one, and under TLS another one above it."""
        both = [getattr(self._transport, name, None) for name in ("_io_writer", "_bare_io_writer")]
        return [writer for writer in both if writer is not None]

    @property
    def server_info(self) -> dict[str, Any]:
        """What the server said of itself."""
        return self._server_info


def bare(url: str) -> str:
    """The URL without user, password or token, fit for messages."""
    parts = split(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def split(url: str) -> SplitResult:
    """Parse a server URL; scheme and port may be missing. Raises `InvalidError`."""
    text = url if "://" in url else f"nats://{url}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidError("not a server URL: its port is no number") from error
    if parts.scheme not in ("nats", "tls") or not parts.hostname:
        raise InvalidError(
            f"not a server URL: {parts.scheme}://{parts.netloc.rpartition('@')[2]}; use nats:// or tls://"
        )
    return parts if port else parts._replace(netloc=f"{parts.netloc.rstrip(':')}:4222")


def wants_tls(url: str, address: BusAddress) -> bool:
    """Whether nothing may go over this connection in clear."""
    return address.tls or split(url).scheme == "tls"


async def open_wire(url: str, address: BusAddress, name: str, timeout: float) -> Opened:
    """Connect to one server and authenticate, within ``timeout`` seconds.

    Raises `AuthError` when it refuses us, `VersionError` when it is too old, `ConnectionError` for all else.
    """
    client = _Handshake()
    try:
        async with asyncio.timeout(timeout):
            await client.connect(**_options(url, address, name, timeout))
        return _take_over(client, url, address)
    except BaseException as error:
        await _discard(client)
        if isinstance(error, (OSError, NatsError, asyncio.TimeoutError, ssl.SSLError)):
            raise _explain(error, url, address) from error
        raise


def _options(url: str, address: BusAddress, name: str, timeout: float) -> dict[str, Any]:
    tls = wants_tls(url, address)
    options: dict[str, Any] = {
        "servers": [bare(url)],
        "name": name,
        "allow_reconnect": False,
        "connect_timeout": timeout,
        "error_cb": _ignore,
        "tls_handshake_first": tls,
        "inbox_prefix": address.inbox_prefix,
    }
    if tls or address.tls_ca or address.tls_cert:
        options["tls"] = _tls_context(address)
    if url not in address.servers:
        # Learnt from the cluster, as an address: its certificate is checked for the name we were told to trust.
        options["tls_hostname"] = split(address.servers[0]).hostname
    return options | _credentials(url, address)


def _credentials(url: str, address: BusAddress) -> dict[str, Any]:
    """Who we are: the address first, then whatever the URLs carry, so that gossiped servers know us too."""
    if address.creds:
        return {"user_credentials": address.creds} | _need_nkeys()
    if address.nkey_seed:
        return {"nkeys_seed_str": address.nkey_seed} | _need_nkeys()
    if address.token:
        return {"token": address.token}
    if address.user:
        return {"user": address.user, "password": address.password}
    for parts in map(split, (url, *address.servers)):
        if parts.username and parts.password is None:
            return {"token": unquote(parts.username)}
        if parts.username:
            return {"user": unquote(parts.username), "password": unquote(parts.password or "")}
    return {}


def _need_nkeys() -> dict[str, Any]:
    try:
        import_module("nkeys")  # nats-py imports it itself, and fails with a worse message
    except ImportError as error:
        raise InvalidError("credentials with keys need the package nkeys: pip install 'nats-py[nkeys]'") from error
    return {}


def _tls_context(address: BusAddress) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=address.tls_ca or None)
        if address.tls_cert:
            context.load_cert_chain(address.tls_cert, address.tls_key or None)
    except OSError as error:
        raise InvalidError(f"the TLS files of the bus cannot be read: {error}") from error
    return context


def _take_over(client: _Handshake, url: str, address: BusAddress) -> Opened:
    inner = client.socket
    if not client.is_connected or inner is None:
        raise ConnectionError(f"the server at {bare(url)} closed the connection during the handshake")
    transport = inner._io_writer.transport
    if wants_tls(url, address) and transport.get_extra_info("ssl_object") is None:
        raise ConnectionError(f"the server at {bare(url)} does not speak TLS, and TLS was asked for")
    info = client.server_info
    _check_version(str(info.get("version", "0.0.0")), url)
    return Opened(transport, bytes(inner._io_reader._buffer), info, url, client)


def _check_version(version: str, url: str) -> None:
    digits = version.split("-")[0].split("+")[0].split(".")
    known = all(part.isdigit() for part in digits)
    if not known or tuple(int(part) for part in digits) < OLDEST_SERVER:
        oldest = ".".join(map(str, OLDEST_SERVER))
        raise VersionError(f"the server at {bare(url)} is nats-server {version}; busfn needs {oldest} or newer")


async def _discard(client: _Handshake) -> None:
    """Drop the socket of a handshake that failed; there is nothing to say on it."""
    for writer in client.writers:
        writer.transport.abort()
    await asyncio.sleep(0)  # the transport lets go of its socket with the next turn


async def _ignore(error: Exception) -> None:
    """Errors of the handshake are raised, too."""


def _broke_off(error: Exception) -> bool:
    """A server that expects plain text gets a TLS greeting: it says nothing, hangs up, or answers in clear."""
    hung_up = "empty response from server" in str(error)
    return hung_up or isinstance(error, (ssl.SSLError, ConnectionResetError, asyncio.TimeoutError))


def _explain(error: Exception, url: str, address: BusAddress) -> Error:
    where, text = bare(url), str(error)
    if "authorization" in text.lower() or "authentication" in text.lower():
        return AuthError(
            f"the server at {where} refused our credentials ({text.removeprefix('nats: ')}):"
            " check the token, or user and password, in BUSFN_URL (`busfn url` prints those of your own `busfn up`)"
        )
    if wants_tls(url, address) and _broke_off(error):
        return ConnectionError(
            f"no TLS with the server at {where}: {text or 'no answer in time'}."
            " busfn sends nothing in clear when TLS is asked for: the server needs `tls { handshake_first: true }`"
        )
    if isinstance(error, (OSError, asyncio.TimeoutError)):
        return ConnectionError(
            f"no NATS server answers at {where}: {text or 'no answer in time'}."
            " Set BUSFN_URL to where one runs; without it, `busfn up` starts one"
        )
    return ConnectionError(f"the server at {where} did not take us: {text}")
