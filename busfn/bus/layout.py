"""Streams and consumers as the server wants to be told, and how an existing stream is brought up to date. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from busfn.bus.base import ConsumerSpec, StreamSpec
from busfn.errors import ConflictError, VersionError

LAYOUT = 1
"""Grows when a stream of an older busfn has to be changed in a way that the older one cannot live with."""
LAYOUT_KEY = "busfn-layout"
_NANO = 1_000_000_000
_DEDUPE_WINDOW = 120.0
_FIXED = ("retention", "storage")
"""What cannot be changed without losing messages."""
_OURS = ("subjects", "discard", "discard_new_per_subject", "max_msgs_per_subject", "allow_msg_ttl", "allow_direct",
         "allow_atomic", "republish", "metadata")  # fmt: skip
"""What busfn depends on. Limits, ages, replicas and placement are an operator's to set."""


def stream_config(spec: StreamSpec, replicas: int = 1) -> dict[str, Any]:
    """The stream as the server wants to be told."""
    config: dict[str, Any] = {
        "name": spec.name,
        "subjects": list(spec.subjects),
        "retention": "workqueue" if spec.kind == "work" else "limits",
        "storage": "memory" if spec.memory else "file",
        "discard": "new" if spec.discard_new else "old",
        "discard_new_per_subject": spec.discard_new and spec.max_per_subject > 0,
        "max_age": int(spec.max_age * _NANO),
        "max_bytes": spec.max_bytes,
        "max_msgs": -1,
        "max_consumers": -1,
        "max_msg_size": -1,
        "max_msgs_per_subject": spec.max_per_subject,
        "duplicate_window": int(min(spec.max_age or _DEDUPE_WINDOW, _DEDUPE_WINDOW) * _NANO),
        "num_replicas": replicas,
        "allow_msg_ttl": spec.allow_ttl,
        "allow_direct": spec.allow_direct,
        "allow_atomic": spec.kind == "work",
        "metadata": {LAYOUT_KEY: str(LAYOUT)},
    }
    if spec.republish is not None:
        source, destination, headers_only = spec.republish
        config["republish"] = {"src": source, "dest": destination, "headers_only": headers_only}
    return config


def consumer_config(spec: ConsumerSpec) -> dict[str, Any]:
    """The consumer as the server wants to be told.

    Nothing is limited but by what workers pull: a limit on unsettled messages would count delayed retries, too.
    No server backoff: it changes the delay of a NAK.
    """
    return {
        "name": spec.name,
        "durable_name": spec.name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": int(spec.ack_wait * _NANO),
        "max_deliver": -1,
        "max_ack_pending": -1,
        "max_waiting": 10000,
        "filter_subject": spec.subject,
        "replay_policy": "instant",
    }


def upgraded(existing: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The configuration that makes an existing stream fit, None when it fits.

    Only what busfn depends on is changed. Raises `ConflictError` for a stream of another kind, `VersionError` for one
    that a newer busfn has made.
    """
    name = wanted["name"]
    for key in _FIXED:
        if existing.get(key) != wanted[key]:
            raise ConflictError(
                f"stream {name} exists with {key} {existing.get(key)}, not {wanted[key]}, which cannot be changed while"
                " it holds messages: use another environment, or remove the stream if nothing in it is needed"
            )
    layout = int((existing.get("metadata") or {}).get(LAYOUT_KEY, 0))
    if layout > LAYOUT:
        raise VersionError(
            f"stream {name} was made by a newer busfn (layout {layout}, this one knows {LAYOUT}): upgrade this side"
        )
    changes = {key: wanted.get(key) for key in _OURS if _differs(key, existing.get(key), wanted.get(key))}
    if not changes:
        return None
    if "metadata" in changes:
        changes["metadata"] = {**(existing.get("metadata") or {}), **wanted["metadata"]}
    return {**existing, **changes}


def _differs(key: str, existing: Any, wanted: Any) -> bool:
    if key == "metadata":
        return bool((existing or {}).get(LAYOUT_KEY) != wanted[LAYOUT_KEY])
    if key == "republish":
        return {**(existing or {}), "headers_only": bool((existing or {}).get("headers_only"))} != (
            wanted or {"headers_only": False}
        )
    return (existing or None) != (wanted or None)  # the server leaves out what is false or empty
