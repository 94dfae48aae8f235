"""What a deployed app is, as values: its versions, signed, and which of them is served. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from busfn.errors import AuthError, DeserializationError
from busfn.protocol.codecs import BlobRef
from busfn.spec import FunctionSpec

Strategy = Literal["rolling", "recreate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One version of an app; never changed once it is stored."""

    app: str
    version: int = 0
    """1, 2, 3 ...; 0 before it is stored."""
    functions: Sequence[FunctionSpec] = ()
    """Their sources are relative to the unpacked bundle."""
    bundle: BlobRef
    deployed_at: float
    """Unix seconds."""
    strategy: Strategy = "rolling"
    """``rolling``: old workers go when new ones are ready. ``recreate``: they go first."""
    tag: str = ""
    commit: str = ""
    """The git commit of the code, with a ``*`` when there were changes beside it."""
    by: str = ""
    rollback_of: int = 0
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
        """Reads what was stored, without looking at its signature: fit to be shown, not to be run."""
        return cls._from_dict(_text_of(stored))

    @classmethod
    def verify(cls, stored: bytes, key: bytes) -> Deployment:
        """Reads what was stored. Raises `AuthError` unless it was signed with our key: its code is about to be run."""
        text = _text_of(stored)
        signature = str(_object(stored).get("signature", ""))
        if not hmac.compare_digest(signature, _sign(key, text)):
            raise AuthError(
                "a deployment was signed with another key than this host's, so its code is not run:"
                " deploy with the same BUSFN_SIGNING_KEY that the hosts have"
            )
        return cls._from_dict(text)

    def _to_dict(self) -> dict[str, Any]:
        return {
            "app": self.app, "version": self.version, "functions": [one.to_dict() for one in self.functions],
            "bundle": self.bundle.encode(), "deployed_at": self.deployed_at, "strategy": self.strategy,
            "tag": self.tag, "commit": self.commit, "by": self.by, "rollback_of": self.rollback_of,
        }  # fmt: skip

    @classmethod
    def _from_dict(cls, text: str) -> Deployment:
        data = _object(text.encode())
        known: dict[str, Any] = {name: data[name] for name in cls.__slots__ if name in data}
        known["bundle"] = BlobRef.decode(data["bundle"])
        known["functions"] = tuple(FunctionSpec.from_dict(one) for one in data["functions"])
        return cls(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppState:
    """Which version of an app is served."""

    version: int
    stopped: bool = False
    changed_at: float = field(default=0.0)
    """Unix seconds."""

    def encode(self) -> bytes:
        return json.dumps({"version": self.version, "stopped": self.stopped, "changed_at": self.changed_at}).encode()

    @classmethod
    def decode(cls, stored: bytes) -> AppState:
        data = _object(stored)
        return cls(version=data["version"], stopped=data["stopped"], changed_at=data["changed_at"])


def _sign(key: bytes, text: str) -> str:
    return hmac.new(key, b"busfn deployment\0" + text.encode(), hashlib.sha256).hexdigest()


def _text_of(stored: bytes) -> str:
    text = _object(stored).get("deployment")
    if not isinstance(text, str):
        raise DeserializationError("a deployment in the registry cannot be read: it was written by another busfn")
    return text


def _object(stored: bytes) -> Mapping[str, Any]:
    try:
        value: object = json.loads(stored)
    except ValueError as error:
        raise DeserializationError(f"the registry holds something that is no JSON: {stored[:100]!r}") from error
    if not isinstance(value, dict):
        raise DeserializationError(f"the registry holds something that is no JSON object: {stored[:100]!r}")
    return cast("dict[str, Any]", value)
