"""What a deployed app is, as values: its versions, signed, and which of them is served. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from busfn.errors import AuthError, ProtocolError
from busfn.protocol.codecs import BlobRef
from busfn.protocol.records import Count, Items, Moment, Text, Token, from_plain, parse, read_record
from busfn.protocol.shapes import is_named
from busfn.spec import FunctionSpec

Strategy = Literal["rolling", "recreate"]

MAX_FUNCTIONS = 10_000
"""Functions of an app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One version of an app; never changed once it is stored."""

    app: Token
    version: Count = 0
    """1, 2, 3 ...; 0 before it is stored."""
    functions: Annotated[Sequence[FunctionSpec], Items(MAX_FUNCTIONS)] = ()
    """Their sources are relative to the unpacked bundle."""
    bundle: BlobRef
    deployed_at: Moment
    """Unix seconds."""
    strategy: Strategy = "rolling"
    """``rolling``: old workers go when new ones are ready. ``recreate``: they go first."""
    tag: str = ""
    commit: str = ""
    """The git commit of the code, with a ``*`` when there were changes beside it."""
    by: str = ""
    rollback_of: Count = 0
    """The version whose code this one brings back."""

    def function(self, name: str) -> FunctionSpec | None:
        """The function with this name."""
        return next((one for one in self.functions if one.name == name), None)

    def encode(self, key: bytes) -> bytes:
        """As it is stored, signed."""
        text = json.dumps(self._to_dict(), sort_keys=True, separators=(",", ":"))
        return json.dumps({"deployment": text, "signature": _sign(key, text)}).encode()

    @classmethod
    def decode(cls, stored: bytes) -> Deployment:
        """Reads what was stored, without looking at its signature: fit to be shown, not to be run.

        Raises `ProtocolError`.
        """
        return cls._from_text(read_record(_Signed, stored, _WHAT).deployment)

    @classmethod
    def verify(cls, stored: bytes, key: bytes) -> Deployment:
        """Reads what was stored. Raises `ProtocolError`, and `AuthError` unless it was signed with our key: its code is
        about to be run."""
        signed = read_record(_Signed, stored, _WHAT)
        if not hmac.compare_digest(signed.signature.encode(), _sign(key, signed.deployment).encode()):
            raise AuthError(
                "a deployment was signed with another key than this host's, so its code is not run:"
                " deploy with the same BUSFN_SIGNING_KEY that the hosts have"
            )
        return cls._from_text(signed.deployment)

    def _to_dict(self) -> dict[str, Any]:
        return {
            "app": self.app, "version": self.version, "functions": [one.to_dict() for one in self.functions],
            "bundle": self.bundle.encode(), "deployed_at": self.deployed_at, "strategy": self.strategy,
            "tag": self.tag, "commit": self.commit, "by": self.by, "rollback_of": self.rollback_of,
        }  # fmt: skip

    @classmethod
    def _from_text(cls, text: str) -> Deployment:
        data = parse(text, _WHAT)
        if not is_named(data) or not isinstance(data.get("bundle"), str):
            raise ProtocolError(f"{_WHAT} cannot be read: it names no bundle")
        return from_plain(cls, {**data, "bundle": asdict(BlobRef.decode(data["bundle"]))}, _WHAT)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """Which version of an app is served."""

    version: Count
    stopped: bool = False
    changed_at: Moment = field(default=0.0)
    """Unix seconds."""

    def encode(self) -> bytes:
        return json.dumps({"version": self.version, "stopped": self.stopped, "changed_at": self.changed_at}).encode()

    @classmethod
    def decode(cls, stored: bytes) -> AppState:
        """Reads what `encode` wrote; raises `ProtocolError`."""
        return read_record(cls, stored, "the state of an app")


_WHAT = "a deployment in the registry"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """What is stored: the text of a deployment, and the signature over exactly this text."""

    deployment: str
    signature: Annotated[str, Text(200)] = ""


def _sign(key: bytes, text: str) -> str:
    return hmac.new(key, b"busfn deployment\0" + text.encode(), hashlib.sha256).hexdigest()
