"""Where the bus is and who we are on it."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from busfn.errors import InvalidError


@dataclass(frozen=True, slots=True, kw_only=True)
class BusAddress:
    """How to reach a NATS server. Secrets are left out of ``repr``."""

    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    creds: str = ""
    """Path of a ``.creds`` file."""
    nkey_seed: str = field(default="", repr=False)
    tls: bool = False
    """Insist on TLS, from the first byte (`handshake_first` on the server)."""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    inbox_prefix: str = "_INBOX"
    replicas: int = 0
    """Copies of each stream that we keep there; 0 for three on a cluster and one on a single server."""

    def __post_init__(self) -> None:
        if not 0 <= self.replicas <= 5:
            raise InvalidError(f"replicas must be 1 to 5, or 0 for automatic, not {self.replicas}")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> BusAddress:
        """Reads what `dataclasses.asdict` and JSON made of an address."""
        given: dict[str, Any] = {**data, "servers": tuple(data["servers"])}
        return cls(**given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process was told about the bus."""

    address: BusAddress | None = None
    """None when nothing is configured: an ephemeral app then starts a server of its own."""
    env: str = "main"
    signing_key: bytes | None = field(default=None, repr=False)
    source: str = ""
    """Where the address came from, for messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Texts of the configuration files that exist."""

    config: str | None = field(default=None, repr=False)
    """``busfn/config.toml``."""
    context: str | None = field(default=None, repr=False)
    """A context of the nats CLI, JSON."""
    runtime: str | None = field(default=None, repr=False)
    """Left by a running ``busfn up``, JSON."""


def read_settings(
    environ: Mapping[str, str], files: Files, *, url: str | None = None, env: str | None = None
) -> Settings:
    """Settings by precedence: explicit arguments, environment, config file, a running ``busfn up``.

    Raises `InvalidError` for a file that cannot be read.
    """
    config = _toml(files.config)
    address, source = _address(environ, files, config, url)
    if address is not None:
        address = replace(address, replicas=_replicas(environ, config))
    key = environ.get("BUSFN_SIGNING_KEY") or str(config.get("signing_key", ""))
    if not key and source == RUNTIME:
        key = str(_json(files.runtime, "the runtime file of `busfn up`").get("signing_key", ""))
    return Settings(
        address=address,
        env=env or environ.get("BUSFN_ENV") or str(config.get("env", "")) or "main",
        signing_key=key.encode() if key else None,
        source=source,
    )


def _replicas(environ: Mapping[str, str], config: Mapping[str, Any]) -> int:
    text = environ.get("BUSFN_REPLICAS") or str(config.get("replicas", "0"))
    if not text.isdecimal():
        raise InvalidError(f"BUSFN_REPLICAS (`replicas` in the config file) must be a number, not {text[:20]!r}")
    return int(text)


RUNTIME = "a running `busfn up`"


def _address(
    environ: Mapping[str, str], files: Files, config: Mapping[str, Any], url: str | None
) -> tuple[BusAddress | None, str]:
    creds = environ.get("BUSFN_CREDS", "")
    for value, source in (
        (url, "the command line"),
        (environ.get("BUSFN_URL"), "BUSFN_URL"),
        (environ.get("NATS_URL"), "NATS_URL"),
    ):
        if value:
            return replace(address_of(value), creds=creds), source
    if files.context is not None:
        return _from_context(_json(files.context, "the nats context")), "the nats context"
    if config.get("url"):
        return replace(address_of(str(config["url"])), creds=creds or str(config.get("creds", ""))), "the config file"
    if files.runtime is not None:
        return address_of(str(_json(files.runtime, "the runtime file of `busfn up`").get("url", ""))), RUNTIME
    return None, ""


def address_of(url: str) -> BusAddress:
    """An address from one or more URLs, with credentials taken out of them."""
    servers: list[str] = []
    token = user = password = ""
    for one in filter(None, map(str.strip, url.split(","))):
        try:
            parts = urlsplit(one if "://" in one else f"nats://{one}")
            port = parts.port or 4222
        except ValueError:  # its text may quote a password
            raise InvalidError("the NATS URL is malformed: write it as nats://host:4222") from None
        if not parts.hostname:
            raise InvalidError("the NATS URL has no host: write it as nats://host:4222")
        if parts.username and parts.password is None:
            token, user, password = unquote(parts.username), "", ""
        elif parts.username:
            token, user, password = "", unquote(parts.username), unquote(parts.password or "")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        servers.append(f"{parts.scheme}://{host}:{port}")
    if not servers:
        raise InvalidError("the NATS URL is empty: write it as nats://host:4222")
    tls = any(server.startswith("tls://") for server in servers)
    return BusAddress(servers=tuple(servers), token=token, user=user, password=password, tls=tls)


def _from_context(context: Mapping[str, Any]) -> BusAddress:
    context = {key: value for key, value in context.items() if value is not None}
    address = address_of(str(context.get("url") or "nats://127.0.0.1:4222"))
    return replace(
        address,
        user=str(context.get("user", "")) or address.user,
        password=str(context.get("password", "")) or address.password,
        token=str(context.get("token", "")) or address.token,
        creds=str(context.get("creds", "")),
        tls_ca=str(context.get("ca", "")),
        tls_cert=str(context.get("cert", "")),
        tls_key=str(context.get("key", "")),
        inbox_prefix=str(context.get("inbox_prefix", "")) or "_INBOX",
    )


def _toml(text: str | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text or "")
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"the config file is not valid TOML: {error}") from None


def _json(text: str | None, what: str) -> dict[str, Any]:
    try:
        value: object = json.loads(text or "{}")
    except ValueError as error:
        raise InvalidError(f"{what} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidError(f"{what} must hold a JSON object")
    return cast("dict[str, Any]", value)


def load_settings(*, url: str | None = None, env: str | None = None, follow_runtime: bool = True) -> Settings:
    """`read_settings` over this process's environment and the user's files.

    Without ``follow_runtime`` a running `busfn up` is left aside.
    """
    environ = os.environ
    home = Path(environ.get("HOME", "/"))
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = Files(
        config=_read(config / "busfn" / "config.toml"),
        context=_read_context(config / "nats" / "context", environ.get("NATS_CONTEXT", "")),
        runtime=_read_runtime(runtime_file(environ)) if follow_runtime else None,
    )
    return read_settings(environ, files, url=url, env=env)


def runtime_file(environ: Mapping[str, str]) -> Path:
    """Where ``busfn up`` says how to reach it."""
    base = environ.get("XDG_RUNTIME_DIR")
    return Path(base) / "busfn.json" if base else Path(environ.get("HOME", "/")) / ".cache" / "busfn" / "up.json"


def running(path: Path) -> int | None:
    """The process that has left this runtime file; None when it is gone, or there is no such file."""
    pid = _pid(_read(path))
    return pid if pid is not None and _alive(pid) else None


def _read_runtime(path: Path) -> str | None:
    """What a `busfn up` has left, unless it is gone and could not take it away."""
    text = _read(path)
    pid = _pid(text)
    return text if pid is None or _alive(pid) else None


def _pid(runtime: str | None) -> int | None:
    pid = _json(runtime, "the runtime file of `busfn up`").get("pid")
    return pid if isinstance(pid, int) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and another user's
        return True
    return True


def _read_context(folder: Path, name: str) -> str | None:
    """Only a context that was asked for counts: the CLI's selected one is the operator's, not the program's."""
    if not name:
        return None
    text = _read(folder / f"{name}.json")
    if text is None:
        raise InvalidError(f"NATS_CONTEXT is {name!r}, but there is no {folder / name}.json")
    return text


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidError(f"{path} cannot be read: it is not UTF-8 text") from None
