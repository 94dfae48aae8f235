"""Where the bus is and who we are on it."""

from __future__ import annotations

from dataclasses import dataclass, field


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
