"""Streams that exist already: whether we can use them, and what has to change first. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from busfn.errors import ConflictError, VersionError

KEY = "busfn-layout"
"""Metadata of a stream: the version of its layout. One without it was made by hand, or before there were versions."""
_KIND = ("retention", "storage")
_OURS = ("republish", "allow_direct", "allow_msg_ttl", "allow_atomic")
"""What a newer layout may switch on. Limits are not among them: they belong to whoever runs the server."""


def layout_of(config: Mapping[str, Any]) -> int:
    """The layout that a stream's configuration names, 0 for none."""
    metadata: Mapping[str, str] = config.get("metadata") or {}
    text = metadata.get(KEY, "0")
    return int(text) if text.isdigit() else 0


def check_layout(name: str, existing: int, ours: int) -> None:
    """Raise `VersionError` for a stream of a busfn that is newer than we are."""
    if existing > ours:
        raise VersionError(
            f"stream {name} has layout {existing}, and this busfn knows layouts up to {ours}: a newer busfn made it."
            " Upgrade busfn here, or use another environment (BUSFN_ENV or --env)"
        )


def upgrade(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The configuration to update a stream to, None when it is fine as it is. Only adds; limits stay as they are.

    Raises `ConflictError` for a stream of another kind, `VersionError` for one of a newer layout.
    """
    name = str(wanted["name"])
    _check_kind(name, existing, wanted)
    ours = layout_of(wanted)
    check_layout(name, layout_of(existing), ours)
    changed: dict[str, Any] = {}
    if layout_of(existing) < ours:
        changed = {key: wanted[key] for key in _OURS if wanted.get(key)}
        changed["metadata"] = {**(existing.get("metadata") or {}), KEY: str(ours)}
        changed["subjects"] = [*existing["subjects"], *(s for s in wanted["subjects"] if s not in existing["subjects"])]
    if wanted["num_replicas"] > existing.get("num_replicas", 1):
        changed["num_replicas"] = wanted["num_replicas"]
    return {**existing, **changed} if changed else None


def _check_kind(name: str, existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    keys = (*_KIND, "max_msgs_per_subject") if wanted.get("discard_new_per_subject") else _KIND
    for key in keys:
        if existing.get(key) != wanted[key]:
            raise ConflictError(
                f"stream {name} exists with {key} {existing.get(key)}, not {wanted[key]}: it cannot be used for this."
                " Use another environment (BUSFN_ENV or --env), or remove the stream with all it holds"
                f" (`nats stream rm {name}`)"
            )
